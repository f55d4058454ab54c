"""Where a page ended, as callers carry it to the next one: opaque to them, and checked when it comes back."""

from __future__ import annotations

import base64
import binascii
import json
from datetime import UTC, datetime
from typing import TYPE_CHECKING, Any, NamedTuple
from uuid import UUID

from callboard.errors import FilterError

if TYPE_CHECKING:
    from collections.abc import Callable, Sequence

#: How each type of a key is written in JSON, and read from it.
_WRITE: dict[type, Callable[[Any], Any]] = {datetime: datetime.isoformat, UUID: str, int: int}
_READ: dict[type, Callable[[Any], Any]] = {datetime: datetime.fromisoformat, UUID: UUID, int: int}
_BIGINT = 2**63
_MOST_CHARACTERS = 300


class Cursor(NamedTuple):
    """The key of the last row that was shown or looked at, and the moment that ages are counted from on all pages."""

    now: datetime
    key: tuple[Any, ...]

    def text(self, resource: str) -> str:
        """As callers carry it: base64url of JSON."""
        key = [_WRITE[type(value)](value) for value in self.key]
        told = json.dumps([resource, self.now.isoformat(), *key], separators=(",", ":"))
        return base64.urlsafe_b64encode(told.encode()).rstrip(b"=").decode()


def read(text: str, resource: str, types: Sequence[type]) -> Cursor:
    """The cursor that a caller brings back.

    Raises:
        FilterError: It is none of ours, or was given out for another resource.
    """
    try:
        padded = text[:_MOST_CHARACTERS] + "=" * (-len(text[:_MOST_CHARACTERS]) % 4)
        told, now, *key = json.loads(base64.b64decode(padded, altchars=b"-_", validate=True))
        values = [_READ[kind](value) for kind, value in zip(types, key, strict=True)]
        cursor = Cursor(_moment(datetime.fromisoformat(now)), tuple(map(_checked, values)))
    except (ValueError, TypeError, AttributeError, OverflowError, RecursionError, binascii.Error):
        raise _refused(text, "no listing gave it out") from None
    if told != resource:
        raise _refused(text, f"it is of another listing than that of {resource.replace('_', ' ')}")
    return cursor


def _refused(text: str, why: str) -> FilterError:
    return FilterError(f"The cursor {text[:40]!r} cannot be used: {why}. Begin again without one.")


def _checked(value: Any) -> Any:  # noqa: ANN401 - a key's value
    if isinstance(value, datetime):
        return _moment(value)
    if isinstance(value, int) and not -_BIGINT <= value < _BIGINT:
        raise ValueError("it is greater than any number of the ledger")
    return value


def _moment(value: datetime) -> datetime:
    if value.tzinfo is None:
        raise ValueError("a moment without its zone")
    return value.astimezone(UTC)
