"""Asks an API, and turns what it refuses into the errors that the engine raises for the same."""

from __future__ import annotations

import json
from typing import TYPE_CHECKING, Any
from urllib.parse import quote, urlsplit
from uuid import UUID

import httpx

from callboard.errors import (
    ArgumentsError,
    CallboardError,
    Conflict,
    DuplicateRun,
    Forbidden,
    LedgerUnavailable,
    NotFound,
    ReplayRefused,
)
from cli._output import say

if TYPE_CHECKING:
    from collections.abc import Generator, Mapping

_SECONDS = 30.0
_SAID: dict[int, type[CallboardError]] = {400: ArgumentsError, 404: NotFound, 422: ArgumentsError}
_LOOPBACK = ("localhost", "127.0.0.1", "::1")


class Http:
    """One console's API; the key goes into a header and nowhere else."""

    def __init__(self, url: str, key: str) -> None:
        self._url = url
        parts = urlsplit(url)
        if parts.scheme == "http" and parts.hostname not in _LOOPBACK:
            say(f"{url} is no https: whoever is on the way can read the key.", stderr=True)
        headers = {"Authorization": f"Bearer {key}", "User-Agent": "callboard"}
        self._options: dict[str, Any] = {"base_url": url, "headers": headers, "timeout": _SECONDS}

    def get(self, *path: object, **params: object) -> Any:  # noqa: ANN401 - JSON
        """The answer to a GET; parameters that are None are left out."""
        given = {name: _word(value) for name, value in params.items() if value is not None}
        return self._ask("GET", path, params=given)

    def post(self, *path: object, body: Mapping[str, object] | None = None) -> Any:  # noqa: ANN401 - JSON
        """The answer to a POST."""
        return self._ask("POST", path, json=dict(body or {}))

    def patch(self, *path: object, body: Mapping[str, object]) -> Any:  # noqa: ANN401 - JSON
        """The answer to a PATCH."""
        return self._ask("PATCH", path, json=dict(body))

    def delete(self, *path: object, **params: object) -> Any:  # noqa: ANN401 - JSON
        """The answer to a DELETE."""
        return self._ask("DELETE", path, params={name: _word(value) for name, value in params.items()})

    def lines(self, *path: object, body: Mapping[str, object]) -> Generator[Any, None, None]:
        """The lines of a streamed answer, each as it comes; whoever stops reading them closes the connection."""
        place = _place(path)
        try:
            with (
                httpx.Client(**self._options | {"timeout": httpx.Timeout(_SECONDS, read=None)}) as client,
                client.stream("POST", place, json=dict(body)) as answer,
            ):
                if not answer.is_success:
                    answer.read()
                    raise self._refused(place, answer)
                yield from map(json.loads, answer.iter_lines())
        except httpx.TransportError as error:
            raise self._away(error) from None

    def _ask(self, method: str, path: tuple[object, ...], **options: Any) -> Any:  # noqa: ANN401 - JSON
        place = _place(path)
        try:
            with httpx.Client(**self._options) as client:
                answer = client.request(method, place, **options)
        except httpx.TransportError as error:
            raise self._away(error) from None
        if not answer.is_success:
            raise self._refused(place, answer)
        try:
            return answer.json()
        except ValueError:
            raise LedgerUnavailable(f"{self._url} answers, but not as Callboard's API: is the address right?") from None

    def _away(self, error: httpx.TransportError) -> CallboardError:
        return LedgerUnavailable(f"the API at {self._url} cannot be reached: {str(error) or type(error).__name__}.")

    def _refused(self, place: str, answer: httpx.Response) -> CallboardError:
        body = _body(answer)
        told = str(body.get("error") or f"it answers {answer.status_code} {answer.reason_phrase}")
        status = answer.status_code
        if status == 401:  # noqa: PLR2004 - as HTTP has it, and the ones below
            return Forbidden(f"the API at {self._url} does not take this key: it is unknown, revoked or expired.")
        if status == 409:  # noqa: PLR2004
            return _conflict(place, told, body.get("existing_run_id"))
        if status in _SAID:
            return _SAID[status](told)
        kind = LedgerUnavailable if status >= 500 else Forbidden if status == 403 else Conflict  # noqa: PLR2004
        return kind(f"the API at {self._url}: {told}")


def _place(path: tuple[object, ...]) -> str:
    return "/v1/" + "/".join(quote(str(part), safe="") for part in path)


def _word(value: object) -> str:
    return str(value).lower() if isinstance(value, bool) else str(value)


def _body(answer: httpx.Response) -> dict[str, Any]:
    try:
        found = answer.json()
    except ValueError:
        return {}
    return found if isinstance(found, dict) else {}


def _conflict(place: str, told: str, existing: str | None) -> CallboardError:
    if existing is not None:
        duplicate = DuplicateRun("", UUID(existing))
        duplicate.args = (told,)
        return duplicate
    return ReplayRefused(told) if place.startswith("/v1/dead-letters") else Conflict(told)
