"""SQLite to Postgres: the way back."""

from __future__ import annotations

from contextlib import closing
from typing import TYPE_CHECKING, Any

from psycopg import sql
from sqlalchemy import cast, func, select, text
from sqlalchemy.dialects.postgresql import REGCLASS

from actors.sessions.backup.columns import codec_of, converter, stored_columns
from actors.sessions.backup.errors import BackupError
from actors.sessions.backup.snapshot import check_file, open_readonly
from actors.sessions.tables import metadata
from callboard import transaction

if TYPE_CHECKING:
    import sqlite3
    from pathlib import Path

    from sqlalchemy import Column, Connection, Table


def restore(path: Path, *, replace: bool = False) -> int:
    """Load a backup into the catalogue's tables, and return the number of rows; all of it, or nothing.

    Ids stay as they were, so vectors of the same messages stay right. If the vectors are lost too, or older or newer
    than the backup and the database is a new one, delete their folder and call `reset_index(everything=True)`.

    Args:
        path: A file that the job `backup` made.
        replace: Whether what is in the tables now may be thrown away.

    Raises:
        BackupError: The file is no whole backup of these tables, or they are not empty and `replace` is false.
    """
    check_file(path)
    tables = metadata.sorted_tables
    with closing(open_readonly(path)) as lite, transaction() as connection:
        _require_columns(lite, path, tables)
        _make_room(connection, tables, replace=replace)
        return sum(_load(lite, connection, table) for table in tables)


def _require_columns(lite: sqlite3.Connection, path: Path, tables: list[Table]) -> None:
    for table in tables:
        there = {row[1] for row in lite.execute(f'PRAGMA table_info("{table.name}")')}
        missing = [column.name for column in _required(table) if column.name not in there]
        if missing:
            raise BackupError(
                f"{path} lacks {table.name}.{missing[0]}: it comes from another version; restore it with the version "
                "that wrote it, then migrate"
            )


def _required(table: Table) -> list[Column[Any]]:
    return [column for column in stored_columns(table) if not column.nullable and column.server_default is None]


def _make_room(connection: Connection, tables: list[Table], *, replace: bool) -> None:
    names = ", ".join(f'"{table.schema}"."{table.name}"' for table in tables)
    connection.execute(text(f"LOCK TABLE {names} IN ACCESS EXCLUSIVE MODE"))
    for table in tables:
        if not replace and connection.scalar(select(func.count()).select_from(table)):
            raise BackupError(f"table {table} is not empty; pass replace=True to throw away what is there now")
    connection.execute(text(f"TRUNCATE {names}"))


def _load(lite: sqlite3.Connection, connection: Connection, table: Table) -> int:
    """COPY writes identity columns as they are given, which an INSERT would refuse."""
    there = {row[1] for row in lite.execute(f'PRAGMA table_info("{table.name}")')}
    columns = [column for column in stored_columns(table) if column.name in there]
    convert = converter([codec_of(column).to_postgres for column in columns])
    names = ", ".join(f'"{column.name}"' for column in columns)
    rows = lite.execute(f'SELECT {names} FROM "{table.name}"')  # noqa: S608 - our own names
    loaded = 0
    cursor = connection.connection.cursor()
    with cursor.copy(_copy_statement(table, columns)) as copy:
        for row in rows:
            copy.write_row(convert(row))
            loaded += 1
    _continue_identity(connection, table)
    return loaded


def _copy_statement(table: Table, columns: list[Column[Any]]) -> sql.Composed:
    target = sql.Identifier(str(table.schema), table.name)
    return sql.SQL("COPY {} ({}) FROM STDIN").format(
        target, sql.SQL(", ").join(sql.Identifier(column.name) for column in columns)
    )


def _continue_identity(connection: Connection, table: Table) -> None:
    """New rows get ids above those that were loaded, and above those that were there: vectors may still carry them."""
    for column in table.columns:
        if column.identity is not None:
            sequence = func.pg_get_serial_sequence(f"{table.schema}.{table.name}", column.name)
            last = func.pg_sequence_last_value(cast(sequence, REGCLASS))
            highest = func.greatest(select(func.max(column)).scalar_subquery(), last)  # of nulls: null
            connection.execute(select(func.setval(sequence, func.coalesce(highest, 1), highest.is_not(None))))
