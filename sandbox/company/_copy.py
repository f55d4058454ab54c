"""Rows into tables by COPY, in its text format."""

from __future__ import annotations

import json
from datetime import datetime
from typing import TYPE_CHECKING, Any

from psycopg import sql

if TYPE_CHECKING:
    from collections.abc import Callable, Iterable, Sequence

    from psycopg import Connection

_LINES = 2_000
_SPECIAL = str.maketrans({"\\": "\\\\", "\n": "\\n", "\t": "\\t", "\r": "\\r"})


def copy(connection: Connection, table: str, columns: Sequence[str], rows: Iterable[Sequence[object]]) -> int:
    """Put rows into `schema.table`; returns how many that were. Sequences of texts become arrays."""
    statement = sql.SQL("copy {} ({}) from stdin").format(
        sql.Identifier(*table.split(".")), sql.SQL(", ").join(map(sql.Identifier, columns))
    )
    total, lines = 0, list[str]()
    with connection.cursor() as cursor, cursor.copy(statement) as stream:
        for row in rows:
            lines.append("\t".join([value if type(value) is str else _text(value) for value in row]))
            total += 1
            if len(lines) == _LINES:
                stream.write("\n".join(lines) + "\n")
                lines.clear()
        if lines:
            stream.write("\n".join(lines) + "\n")
    return total


def escaped(text: str) -> str:
    """A text of which it is not known that it is free of backslashes, tabs and line ends: `copy` takes texts as is."""
    return text.translate(_SPECIAL)


def _text(value: object) -> str:
    return "\\N" if value is None else _WRITERS.get(type(value), str)(value)


_WRITERS: dict[type, Callable[[Any], str]] = {
    bool: lambda value: "t" if value else "f",
    bytes: lambda value: "\\\\x" + value.hex(),
    datetime: datetime.isoformat,
    dict: lambda value: escaped(json.dumps(value)),
    tuple: lambda value: "{" + ",".join(value) + "}",
}
