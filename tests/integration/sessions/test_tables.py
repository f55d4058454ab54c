from __future__ import annotations

from typing import TYPE_CHECKING

from alembic.autogenerate import compare_metadata
from alembic.migration import MigrationContext
from sqlalchemy import create_engine, inspect, text
from sqlalchemy.pool import NullPool

from actors.sessions.tables import metadata
from callboard.ledger import migrate

if TYPE_CHECKING:
    from sqlalchemy import Connection


def _differences(connection: Connection) -> list[object]:
    options = {
        "include_schemas": True,
        "include_name": lambda name, kind, _parents: kind != "schema" or name == "sessions",
        "compare_type": True,
        "compare_server_default": True,
    }
    return list(compare_metadata(MigrationContext.configure(connection, opts=options), metadata))


def test_the_migration_makes_the_tables_as_they_are_declared(postgres_url: str) -> None:
    engine = create_engine(postgres_url, poolclass=NullPool)
    with engine.connect() as connection:
        assert [d for d in _differences(connection) if "alembic_version" not in str(d)] == []


def test_the_migration_goes_down_and_up_again(empty_postgres_url: str) -> None:
    engine = create_engine(empty_postgres_url, poolclass=NullPool)
    migrate.upgrade(empty_postgres_url)
    migrate.downgrade(empty_postgres_url, "0001")
    with engine.connect() as connection:
        assert "sessions" not in inspect(connection).get_schema_names()
    migrate.upgrade(empty_postgres_url)
    with engine.connect() as connection:
        assert set(inspect(connection).get_table_names("sessions")) == {table.name for table in metadata.sorted_tables}


def test_pending_messages_are_found_without_reading_the_table(postgres_url: str) -> None:
    engine = create_engine(postgres_url, poolclass=NullPool)
    pending = "select id from sessions.messages where vector_indexed = 0 and type = 'assistant' order by id limit 50"
    with engine.connect() as connection:
        connection.execute(text("set enable_seqscan = off; set enable_bitmapscan = off"))
        plan = "\n".join(row[0] for row in connection.execute(text(f"explain {pending}")))
    assert "messages_pending_idx" in plan
