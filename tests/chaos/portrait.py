"""The rows of a schema as plain values that two runs of one job can be compared by.

What only says when, which number the server gave out, how long it took, or how a text was sealed is left out; the id of
a memory is told by what the memory is. Logs of attempts are left out too: a request that a kill left without an answer
is rightly made, and logged, again.
"""

from __future__ import annotations

import re
from collections import Counter
from typing import TYPE_CHECKING, Any

import sqlalchemy as sa
from pgvector.sqlalchemy import HALFVEC

from actors.memory import tables as memory
from actors.revenue import tables as revenue

if TYPE_CHECKING:
    from collections.abc import Iterator, Mapping

_LOGS = {"webhook_attempts", "siem_attempts", "tenant_tokens", "watermarks"}
_LEFT_OUT = {"id", "latency_seconds", "transaction_id", "attempts", "starts", "position", "retry_count", "run_id"} | {
    "sync_job_id"
}
_TABLES = {"memory": memory.metadata, "revenue": revenue.metadata}
_PARTITIONS = sa.text("""
select relname::text from pg_class
where relispartition and relkind = 'r' and relnamespace = cast(:schema as regnamespace)
""")
_SHOWN = 600  # characters of a row
_MEMORY_IDS = {"memory_id", "superseded_by", "replaced_memory_id"}

_MOMENT = re.compile(r"\d{4}-\d\d-\d\dT[\d:.+]+Z?")  # within a JSON document

Portrait = dict[str, Counter[str]]


def portrait(url: str, schema: str) -> Portrait:
    """Each table's rows, with how often each comes."""
    engine = sa.create_engine(url, poolclass=sa.NullPool)
    with engine.connect() as connection:
        names = _memories(connection) if schema == "memory" else {}
        rows = {
            table.name: Counter(_rows(connection, table, names))
            for table in _TABLES[schema].sorted_tables
            if table.name not in _LOGS
        }
        return rows | {"partitions": Counter(connection.execute(_PARTITIONS, {"schema": schema}).scalars())}


def difference(one: Portrait, other: Portrait, *, most: int = 5) -> str:
    """What tells two portraits apart, for people; empty if nothing does."""
    lines = []
    for table in sorted(one.keys() | other.keys()):
        first, second = one.get(table, Counter()), other.get(table, Counter())
        lines += [f"{table} - {row[:_SHOWN]}" for row in list(first - second)[:most]]
        lines += [f"{table} + {row[:_SHOWN]}" for row in list(second - first)[:most]]
    return "\n".join(lines)


def _memories(connection: sa.Connection) -> Mapping[int, str]:
    found = connection.execute(
        sa.text(
            "select id, concat_ws('/', user_id, environment, extracted_type, extracted_key, content_hash)"
            " from memory.memories"
        )
    )
    return {row[0]: row[1] for row in found}


def _rows(connection: sa.Connection, table: sa.Table, names: Mapping[int, str]) -> Iterator[str]:
    kept = [column for column in table.columns if column.name not in _LEFT_OUT or _is_given(column)]
    for row in connection.execute(sa.select(*kept)) if kept else ():
        yield "  ".join(f"{column.name}={_told(column, value, names)}" for column, value in zip(kept, row, strict=True))


def _is_given(column: sa.Column[Any]) -> bool:
    """An id that the scene gave: in a table whose rows no job makes."""
    return column.name == "id" and column.table.name in {"tenants", "users", "connections", "teams", "projects", "apps"}


def _told(column: sa.Column[Any], value: object, names: Mapping[int, str]) -> object:
    if value is None:
        return None
    if isinstance(column.type, sa.DateTime | sa.LargeBinary | HALFVEC) or (
        column.name == "source_object_id" and isinstance(value, int)
    ):
        return "…"
    if column.name in _MEMORY_IDS:
        return names.get(value, value)  # type: ignore[call-overload]  # an integer
    if column.name == "parent_ids":
        return sorted(names.get(one, str(one)) for one in value)  # type: ignore[attr-defined]  # a list of them
    return round(value, 3) if isinstance(value, float) else _MOMENT.sub("…", str(value))
