"""Postgres to SQLite: all tables as they were at one moment, with no more than one batch of rows in memory."""

from __future__ import annotations

import sqlite3
from contextlib import closing
from typing import TYPE_CHECKING

from sqlalchemy import select, text

from actors.sessions.backup.columns import codec_of, converter, readable, stored_columns
from actors.sessions.backup.errors import BackupCancelled, BackupError
from actors.sessions.tables import metadata
from callboard import Run, transaction

if TYPE_CHECKING:
    from datetime import datetime
    from pathlib import Path

    from sqlalchemy import Connection, Table

FORMAT = 1


def write_snapshot(path: Path, taken_at: datetime, batch_rows: int, run: Run) -> int:
    """Write all tables to a new SQLite file, and return the number of rows.

    Nothing is synced or journalled while writing: the file counts only after `check_file` and a sync by the caller.
    """
    with closing(sqlite3.connect(path, isolation_level=None)) as lite, transaction() as connection:
        lite.executescript("PRAGMA journal_mode = OFF; PRAGMA synchronous = OFF; PRAGMA cache_size = -8192;")
        connection.execute(text("SET TRANSACTION ISOLATION LEVEL REPEATABLE READ, READ ONLY"))
        _describe(lite, taken_at)
        rows = 0
        for table in metadata.sorted_tables:
            copied = _copy(connection, lite, table, batch_rows, run)
            lite.execute("INSERT INTO backup_tables VALUES (?, ?)", (table.name, copied))
            rows += copied
    return rows


def _describe(lite: sqlite3.Connection, taken_at: datetime) -> None:
    lite.execute("CREATE TABLE backup_info (format INTEGER NOT NULL, taken_at TEXT NOT NULL)")
    lite.execute("INSERT INTO backup_info VALUES (?, ?)", (FORMAT, taken_at.isoformat()))
    lite.execute("CREATE TABLE backup_tables (name TEXT PRIMARY KEY, row_count INTEGER NOT NULL)")


def _copy(connection: Connection, lite: sqlite3.Connection, table: Table, batch_rows: int, run: Run) -> int:
    columns = stored_columns(table)
    convert = converter([codec_of(column).to_sqlite for column in columns])
    lite.execute(_create(table))
    insert = f'INSERT INTO "{table.name}" VALUES ({", ".join("?" * len(columns))})'  # noqa: S608 - our own names
    query = select(*[readable(column) for column in columns]).order_by(*table.primary_key.columns)
    result = connection.execution_options(yield_per=batch_rows).execute(query)
    copied = 0
    for batch in result.partitions():
        if run.cancelled:
            raise BackupCancelled(f"cancelled in table {table.name}")
        lite.execute("BEGIN")
        lite.executemany(insert, [convert(tuple(row)) for row in batch])
        lite.execute("COMMIT")
        copied += len(batch)
        run.progress(copied, 0, f"{copied} rows of {table.name}")
    return copied


def _create(table: Table) -> str:
    columns = [
        f'"{column.name}" {codec_of(column).sqlite_type}{"" if column.nullable else " NOT NULL"}'
        for column in stored_columns(table)
    ]
    key = ", ".join(f'"{column.name}"' for column in table.primary_key.columns)
    return f'CREATE TABLE "{table.name}" ({", ".join(columns)}, PRIMARY KEY ({key}))'


def check_file(path: Path) -> None:
    """Make sure that a backup can be read to its end and holds as many rows as were written.

    Raises:
        BackupError: It is not, with what SQLite found.
    """
    with closing(open_readonly(path)) as lite:
        try:
            found = [row[0] for row in lite.execute("PRAGMA integrity_check")]
            expected = dict(lite.execute("SELECT name, row_count FROM backup_tables"))
            (made,) = lite.execute("SELECT format FROM backup_info").fetchone()
            counts = {name: _count(lite, name) for name in expected}
        except sqlite3.DatabaseError as error:
            raise BackupError(f"{path} is no backup, or damaged: {error}; take another one") from error
    if found != ["ok"]:
        raise BackupError(f"{path} is damaged: {'; '.join(found[:3])}; take another one")
    if made != FORMAT:
        raise BackupError(f"{path} has format {made}, this version reads {FORMAT}; use the version that wrote it")
    if counts != expected:
        raise BackupError(f"{path} holds {counts} rows instead of {expected}; take another one")


def _count(lite: sqlite3.Connection, table: str) -> int:
    (count,) = lite.execute(f'SELECT count(*) FROM "{table}"').fetchone()  # noqa: S608 - a name from the backup itself
    return int(count)


def open_readonly(path: Path) -> sqlite3.Connection:
    """A connection that cannot change the file, nor make one.

    Raises:
        BackupError: There is no such file.
    """
    if not path.is_file():
        raise BackupError(f"no backup {path}: give the path of a file such as sessions.db.bak-20260101020000")
    return sqlite3.connect(f"{path.absolute().as_uri()}?mode=ro&immutable=1", uri=True, isolation_level=None)
