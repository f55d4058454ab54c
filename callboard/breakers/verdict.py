"""What the end of a call says of its target."""

from __future__ import annotations

from enum import Enum, auto
from typing import TYPE_CHECKING

from callboard._causes import is_httpx
from callboard.errors import AuthenticationError, BreakerOpen, PermanentError, TransientError
from callboard.outside import NotPublic

if TYPE_CHECKING:
    import httpx

_CLIENT_ERRORS = range(400, 500)
_PASSING = frozenset({408, 425, 429})
_OWN_MISTAKES = ("UnsupportedProtocol", "LocalProtocolError")


class Verdict(Enum):
    """`WELL`: the target answers. `UNWELL`: it does not, or not properly. `UNKNOWN`: nothing was learned of it."""

    WELL = auto()
    UNWELL = auto()
    UNKNOWN = auto()


def verdict(error: BaseException | None) -> Verdict:
    """Judge by what a call raised; None is nothing.

    An answer that blames the caller (4xx, a refused credential) comes from a target that is well.
    """
    if isinstance(error, BreakerOpen | NotPublic):  # nothing was sent
        return Verdict.UNKNOWN
    if error is None or isinstance(error, PermanentError | AuthenticationError):
        return Verdict.WELL
    if isinstance(error, TransientError | ConnectionError | TimeoutError):
        return Verdict.UNWELL
    if is_httpx(error, "HTTPStatusError"):
        return _by_status(error)  # type: ignore[arg-type]  # what the name says it is
    if is_httpx(error, "TransportError") and not is_httpx(error, *_OWN_MISTAKES):
        return Verdict.UNWELL
    return Verdict.UNKNOWN


def _by_status(error: httpx.HTTPStatusError) -> Verdict:
    status = error.response.status_code
    return Verdict.WELL if status in _CLIENT_ERRORS and status not in _PASSING else Verdict.UNWELL
