"""Answers that are no success, as JSON under `/v1` and as a page elsewhere. None tells a stack or a secret."""

from __future__ import annotations

import math
from http import HTTPStatus
from typing import TYPE_CHECKING, Any
from urllib.parse import quote

from fastapi.responses import JSONResponse, RedirectResponse, Response

from callboard.errors import (
    Conflict,
    DuplicateRun,
    FilterError,
    Forbidden,
    Invalid,
    NotFound,
    ReplayRefused,
    SignInRefused,
    Unsupported,
)
from console.pages._nav import list_of
from console.templating import page
from observability.redaction import redact_text

if TYPE_CHECKING:
    from fastapi import Request

    from callboard.errors import CallboardError

RETRY_SECONDS = 5
_STATUS: dict[type[CallboardError], int] = {
    SignInRefused: 401,
    Forbidden: 403,
    NotFound: 404,
    DuplicateRun: 409,
    ReplayRefused: 409,
    Conflict: 409,
    Unsupported: 409,
}
_TITLES = {
    400: "That cannot be read",
    401: "Sign in first",
    403: "Not yours to do",
    404: "Nothing is here",
    409: "That cannot be done now",
    429: "Too often",
    503: "Not now",
}


def headers_of(error: CallboardError) -> dict[str, str]:
    """When to come back, for whoever has to wait."""
    wait = error.retry_after if isinstance(error, SignInRefused) else None
    return {} if wait is None else {"Retry-After": str(math.ceil(wait))}


def is_api(request: Request) -> bool:
    """Whether whoever asks reads JSON."""
    return str(request.scope["path"]).startswith("/v1/")


def status_of(error: CallboardError) -> int:
    """The HTTP status that tells of it; 400 for all that has no better one."""
    if isinstance(error, SignInRefused) and error.retry_after is not None:
        return 429
    return next((status for kind, status in _STATUS.items() if isinstance(error, kind)), 400)


def refusal(
    request: Request,
    status: int,
    text: str,
    *,
    headers: dict[str, str] | None = None,
    **more: Any,  # noqa: ANN401 - fields of the JSON answer
) -> Response:
    """An answer that says no, and why."""
    message = redact_text(text)
    if is_api(request):
        return JSONResponse({"error": message, **more}, status, headers=headers)
    title = _TITLES.get(status) or HTTPStatus(status).phrase
    around = list_of(request.url.path) if status == HTTPStatus.NOT_FOUND else None
    answer = page(request, "error.html", status=status, title=title, message=message, around=around, **more)
    answer.headers.update(headers or {})
    return answer


def of_error(request: Request, error: CallboardError) -> Response:
    """The answer to an act that was refused."""
    return refusal(request, status_of(error), str(error), headers=headers_of(error), **_more(error))


def _more(error: CallboardError) -> dict[str, Any]:
    match error:
        case DuplicateRun():
            return {"existing_run_id": str(error.existing)}
        case Invalid():
            return {"field": error.field}
        case FilterError():
            return {"field": "filter"}
        case _:
            return {}


def nowhere(request: Request) -> Response:
    """No page, or no part of the API, is where somebody looked."""
    return refusal(request, 404, f"Nothing is at {request.url.path}: the address is mistyped, or out of date.")


def no_id(request: Request, given: object) -> Response:
    """A page was asked for by what cannot be an id."""
    return refusal(request, 404, f"Nothing has the id {given} here.")


def away(request: Request, what: str) -> Response:
    """Something that we need does not answer now."""
    return refusal(request, 503, f"{what}; try again in a moment.", headers={"Retry-After": str(RETRY_SECONDS)})


def unexpected(request: Request, reference: str) -> Response:
    """A mistake of ours; the log has the rest under the reference."""
    text = f"Something went wrong here. The log says more under {reference}."
    return refusal(request, 500, text, headers={"X-Correlation-Id": reference}, correlation_id=reference)


def sign_in_first(request: Request) -> Response:
    """Who asks is not known: a program is told so, a person goes to the sign-in and comes back."""
    if is_api(request):
        headers = {"WWW-Authenticate": "Bearer"}
        return refusal(
            request, 401, "sign in, or send an API key as a bearer token in the header Authorization.", headers=headers
        )
    if request.method != "GET" or request.headers.get("hx-request"):
        return refusal(request, 401, "Your sign-in has ended. Sign in again.", headers={"HX-Redirect": "/sign-in"})
    asked = request.url.path + (f"?{request.url.query}" if request.url.query else "")
    return RedirectResponse(f"/sign-in?next={quote(asked)}", 303)
