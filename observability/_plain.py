"""Any value as JSON can hold it: redacted, bounded in length, and never an exception."""

from __future__ import annotations

import math
from collections.abc import Collection, Mapping
from datetime import UTC, date, datetime, time, timedelta
from decimal import Decimal
from enum import Enum
from itertools import islice
from pathlib import PurePath
from typing import TypeAlias
from uuid import UUID

from observability._escape import shorten
from observability._secret_keys import hides
from observability.redaction import REDACTED, redact, redact_text

#: Characters of one text, and items of one container, that a log line keeps.
MAX_TEXT = 8192
MAX_ITEMS = 100
# Longer text is cut before secrets are looked for, far behind the last character that is kept.
_MAX_SEARCHED = 16 * MAX_TEXT
# Bits of the greatest integer that is written as a number: str() refuses the really great ones.
_MAX_BITS = 256
_CONTAINERS = (Mapping, list, tuple, set, frozenset)

Plain: TypeAlias = "bool | int | float | str | list[Plain] | dict[str, Plain] | None"


def plain(value: object) -> Plain:
    """`value` for a log line: secrets hidden, text cut at `MAX_TEXT`, what JSON does not know as its text or repr."""
    try:
        return _safely(redact(value[:_MAX_SEARCHED] if isinstance(value, str | bytes) else value))
    except Exception as error:  # noqa: BLE001 - a container whose own methods fail must not fail the job that logs it
        return _unprintable(value, error)


def plain_fields(fields: Mapping[str, object]) -> dict[str, Plain]:
    """The fields of a line, each by itself: one that cannot be read leaves the others readable."""
    shown = islice(fields.items(), MAX_ITEMS)
    return {redact_text(str(key)): REDACTED if hides(str(key), value) else plain(value) for key, value in shown}


def clean_text(text: str) -> str:
    """Secrets hidden, then cut at `MAX_TEXT`."""
    return shorten(redact_text(text[:_MAX_SEARCHED]), MAX_TEXT)


def timestamp(moment: datetime, timespec: str = "auto") -> str:
    """RFC 3339 in UTC with a Z; a naive moment is taken for UTC, as everywhere in this house."""
    aware = moment.replace(tzinfo=UTC) if moment.tzinfo is None else moment.astimezone(UTC)
    return aware.isoformat(timespec=timespec).replace("+00:00", "Z")


def _safely(value: object) -> Plain:
    try:
        return _convert(value)
    except Exception as error:  # noqa: BLE001 - one bad value leaves its neighbours readable
        return _unprintable(value, error)


def _unprintable(value: object, error: Exception) -> str:
    return f"<unprintable {type(value).__name__}: {type(error).__name__}>"


def _convert(value: object) -> Plain:
    if value is None or value is True or value is False:
        return value
    if isinstance(value, Enum):
        return plain(value.value)  # redact() saw the member, not what it stands for
    if isinstance(value, str):
        return shorten(value, MAX_TEXT)
    if isinstance(value, (int, float)):
        return _number(value)
    return _container(value) if isinstance(value, _CONTAINERS) else _object(value)


def _number(value: float) -> Plain:
    if isinstance(value, int):
        return value if value.bit_length() <= _MAX_BITS else shorten(hex(value), MAX_TEXT)
    return value if math.isfinite(value) else str(value)


def _container(value: Collection[object]) -> Plain:
    more = {"...": f"{len(value) - MAX_ITEMS} more items"} if len(value) > MAX_ITEMS else {}
    if isinstance(value, Mapping):
        return {_key(key): _safely(item) for key, item in islice(value.items(), MAX_ITEMS)} | more
    return [*(_safely(item) for item in islice(value, MAX_ITEMS)), *more.values()]


def _key(key: object) -> str:
    return key if isinstance(key, str) else clean_text(str(key))


def _object(value: object) -> str:
    return clean_text(_spelled(value))


def _spelled(value: object) -> str:
    if isinstance(value, datetime):
        return timestamp(value)
    if isinstance(value, timedelta):
        return f"{value.total_seconds():g}s"
    if isinstance(value, date | time):
        return value.isoformat()
    if isinstance(value, bytes):
        return value.decode("utf-8", "backslashreplace")
    if isinstance(value, BaseException):
        return f"{type(value).__name__}: {value}"
    return str(value) if isinstance(value, UUID | Decimal | PurePath) else repr(value)
