"""Migrations: what they build is what the code expects, and every step can be undone."""

from __future__ import annotations

from alembic.autogenerate import compare_metadata
from alembic.migration import MigrationContext
from sqlalchemy import MetaData, create_engine, inspect
from sqlalchemy.pool import NullPool

from actors.memory import tables as memory
from actors.revenue import tables as revenue
from actors.sessions import tables as sessions
from callboard.ledger import account_tables, migrate, replay_tables, tables


def differences(url: str, metadata: MetaData, schema: str) -> list[object]:
    options = {
        "include_schemas": True,
        "include_name": lambda name, kind, _parents: kind != "schema" or name == schema,
        "include_object": lambda _o, name, kind, _r, _c: not (kind == "table" and str(name).startswith("runs_")),
        "compare_server_default": False,
    }
    with create_engine(url, poolclass=NullPool).connect() as connection:
        return list(compare_metadata(MigrationContext.configure(connection, opts=options), metadata))


def test_the_migrations_build_the_tables_that_the_code_knows(postgres_url: str) -> None:
    assert account_tables.metadata is replay_tables.metadata is tables.metadata
    assert differences(postgres_url, tables.metadata, "board") == []
    assert differences(postgres_url, sessions.metadata, "sessions") == []
    assert differences(postgres_url, memory.metadata, "memory") == []
    assert differences(postgres_url, revenue.metadata, "revenue") == []


def test_a_missing_column_would_be_seen(postgres_url: str) -> None:
    with create_engine(postgres_url, poolclass=NullPool).begin() as connection:
        connection.exec_driver_sql("alter table board.workers drop column pid")
    assert differences(postgres_url, tables.metadata, "board") != []


def test_every_step_goes_up_down_and_up_again(empty_postgres_url: str) -> None:
    assert migrate.current(empty_postgres_url) is None
    migrate.upgrade(empty_postgres_url)
    assert migrate.current(empty_postgres_url) == migrate.head()
    migrate.upgrade(empty_postgres_url)
    migrate.downgrade(empty_postgres_url, "base")
    names = inspect(create_engine(empty_postgres_url, poolclass=NullPool)).get_schema_names()
    assert {"board", "sessions", "memory", "revenue"} & set(names) == set()
    migrate.upgrade(empty_postgres_url)
    assert migrate.current(empty_postgres_url) == migrate.head()
