"""What the API's document says of refusals. `console.answers` gives them."""

from __future__ import annotations

from typing import Any

from console.api.models.problems import Conflict, Problem

_CONFLICT = 409
_MEANING = {
    400: "What was asked for does not make sense; the body says what, and how to mend it.",
    401: "Nobody is signed in, and no key that holds was given.",
    403: "Whoever asks may not do that.",
    404: "There is none, or none that whoever asks may know of.",
    409: "It is there already, or was done already; or this board cannot do it.",
    413: "The body is too large.",
    421: "The request was meant for another host.",
    422: "A field or parameter has the wrong shape; the body names it.",
    429: "Too many requests in a short time; `Retry-After` says when to ask again, in seconds.",
    500: "A fault of ours; it is in the log.",
    503: "Postgres or the broker cannot be reached. Nothing is lost; ask again.",
}
_ALWAYS = (400, 401, 403, 413, 421, 422, 500, 503)


def documented(*more: int) -> dict[int | str, dict[str, Any]]:
    """What the document says of refusals: those that may always come, and `more` of this resource."""
    return {
        status: {"model": Conflict if status == _CONFLICT else Problem, "description": _MEANING[status]}
        for status in sorted({*_ALWAYS, *more})
    }
