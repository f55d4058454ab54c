"""How columns of Postgres are kept in SQLite, and how they come back; one table for both ways.

integers           INTEGER
boolean            INTEGER   0 or 1
double precision   REAL
text               TEXT
uuid               TEXT      with hyphens
timestamptz        TEXT      ISO 8601 in UTC
jsonb              TEXT      JSON
bytea              BLOB
"""

from __future__ import annotations

from collections.abc import Callable
from datetime import UTC, datetime
from typing import TYPE_CHECKING, Any, NamedTuple
from uuid import UUID

from sqlalchemy import Boolean, DateTime, Float, Integer, LargeBinary, Text, Uuid, cast
from sqlalchemy.dialects.postgresql import JSONB

if TYPE_CHECKING:
    from sqlalchemy import Column, ColumnElement, Table


Convert = Callable[[Any], Any]


class Codec(NamedTuple):
    """A SQLite type, and the way of a value there and back; None is not asked about."""

    sqlite_type: str
    to_sqlite: Convert
    to_postgres: Convert


def _same(value: object) -> object:
    return value


def _utc(moment: datetime) -> str:
    return moment.astimezone(UTC).isoformat()


_CODECS: tuple[tuple[type, Codec], ...] = (
    (Boolean, Codec("INTEGER", int, bool)),
    (Integer, Codec("INTEGER", _same, _same)),
    (Float, Codec("REAL", _same, _same)),
    (Uuid, Codec("TEXT", str, UUID)),
    (DateTime, Codec("TEXT", _utc, datetime.fromisoformat)),
    (JSONB, Codec("TEXT", _same, _same)),
    (LargeBinary, Codec("BLOB", bytes, _same)),
    (Text, Codec("TEXT", _same, _same)),
)


def codec_of(column: Column[Any]) -> Codec:
    """How values of a column are converted.

    Raises:
        TypeError: Its type has no codec yet.
    """
    for kind, codec in _CODECS:
        if isinstance(column.type, kind):
            return codec
    raise TypeError(f"column {column} of type {column.type!r} cannot be backed up; give it a codec in {__name__}")


def stored_columns(table: Table) -> list[Column[Any]]:
    """The columns that a backup holds: all but those which Postgres computes from others."""
    return [column for column in table.columns if column.computed is None]


def readable(column: Column[Any]) -> ColumnElement[Any]:
    """What to select for the column's codec."""
    return cast(column, Text) if isinstance(column.type, JSONB) else column


def converter(converts: list[Convert]) -> Callable[[tuple[Any, ...]], list[Any]]:
    """A function that converts whole rows."""

    def convert(row: tuple[Any, ...]) -> list[Any]:
        return [None if value is None else to(value) for to, value in zip(converts, row, strict=True)]

    return convert
