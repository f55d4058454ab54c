"""Migrated databases for tests: one that was used is emptied and used again, for a tenth of what a new one costs.

A copy of the template is some hundreds of files; most tests write to a handful of tables.
"""

from __future__ import annotations

from collections import deque
from contextlib import closing
from dataclasses import dataclass
from itertools import count
from typing import TYPE_CHECKING, Any

from callboard.embedded._endpoints import connect

if TYPE_CHECKING:
    from collections.abc import Callable

    import psycopg

#: How many rest before one is used again: what a test left running is over by then, or its connection is seen.
RESTING = 2

_OURS = "relnamespace not in (select oid from pg_namespace where nspname in ('pg_catalog', 'information_schema'))"
_TABLES = f"""
select oid::regclass::text from pg_class
where relkind = 'r' and relpersistence = 'p' and relname <> 'alembic_version' and {_OURS} order by oid
"""
_SEQUENCES = f"select oid::regclass::text from pg_class where relkind = 'S' and {_OURS} order by oid"
_DEFINITIONS = (
    "class", "attribute", "attrdef", "constraint", "index", "proc", "rewrite", "trigger", "namespace", "statistic",
    "db_role_setting",
)  # fmt: skip
# Whatever changes a definition writes a row with the number of its transaction, or takes one away.
_SHAPE = "select " + ", ".join(
    f"(select concat(count(*), ' up to ', max(xmin::text::bigint)) from pg_{name})" for name in _DEFINITIONS
)
_REVISION = "select array_agg(version_num) from public.alembic_version"
_VISITORS = """
select count(*) from pg_stat_activity
where datname = current_database() and backend_type = 'client backend' and pid <> pg_backend_pid()
"""


@dataclass
class Database:
    """One that may be used, and how it looked when nobody had used it."""

    name: str
    url: str
    shape: Any = None
    revision: Any = None


class Databases:
    """Gives out databases that are as the template is: every table, no row, every sequence at its start.

    Args:
        make: Makes a database of this name from the template, and returns its URL.
        drop: Drops it, whoever is connected.
    """

    def __init__(self, make: Callable[[str], str], drop: Callable[[str], None]) -> None:
        self._make = make
        self._drop = drop
        self._used: deque[Database] = deque()
        self._numbers = count(1)

    def take(self) -> Database:
        """One for this test alone."""
        while len(self._used) > RESTING:
            database = self._used.popleft()
            if _emptied(database):
                return database
            self._drop(database.name)
        name = f"test_{next(self._numbers)}"
        database = Database(name, self._make(name))
        with closing(connect(database.url, autocommit=True)) as connection:
            assert not _written(connection), "a migration leaves rows, and an emptied database would lack them"
            database.shape, database.revision = _one(connection, _SHAPE), _one(connection, _REVISION)
        return database

    def give_back(self, database: Database) -> None:
        """The test is over; it is looked at when it is taken again."""
        self._used.append(database)


def _emptied(database: Database) -> bool:
    """Whether it could be: while somebody is connected, or when its tables have become others, it must be dropped."""
    with closing(connect(database.url, autocommit=True)) as connection:
        if _one(connection, _VISITORS) != (0,) or _one(connection, _SHAPE) != database.shape:
            return False
        if _one(connection, _REVISION) != database.revision:
            return False
        if written := _written(connection):
            connection.execute(f"truncate {', '.join(written)} cascade")
            database.shape = _one(connection, _SHAPE)
        connection.execute("select pg_stat_reset()")
        for name in _those(connection, _SEQUENCES, "(select is_called from {})"):
            connection.execute("select setval(%s, 1, false)", (name,))
    return True


def _written(connection: psycopg.Connection) -> list[str]:
    """Tables that have a row."""
    return _those(connection, _TABLES, "exists (select from {})")


def _those(connection: psycopg.Connection, names: str, condition: str) -> list[str]:
    """Which of the relations that a query names meet a condition."""
    asked = " union all ".join(
        f"select '{name}' where {condition.format(name)}" for (name,) in connection.execute(names)
    )
    return [name for (name,) in connection.execute(asked)]


def _one(connection: psycopg.Connection, query: str) -> tuple[Any, ...] | None:
    return connection.execute(query).fetchone()
