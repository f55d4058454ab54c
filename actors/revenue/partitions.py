"""The job `partition_creation`: every event table has its partitions of this month and the next ones.

A partition is made as a table of its own and then attached, which, unlike `CREATE TABLE ... PARTITION OF`, keeps nobody
from reading or writing the others; the indexes of the parent come with it.
"""

from __future__ import annotations

from dataclasses import dataclass, field
from datetime import UTC, datetime
from typing import TYPE_CHECKING

from sqlalchemy import text
from sqlalchemy.exc import DBAPIError

from actors.revenue.event_tables import EVENT_TABLES, Month, hold_partitions, partitioned_tables, partitions
from actors.revenue.settings import get_revenue_settings
from callboard import Backoff, PermanentError, cron, current_run, job, transaction

if TYPE_CHECKING:
    from collections.abc import Sequence

    from sqlalchemy import Connection

# What stands in the way: a default partition that holds such rows, a partition that overlaps, a table of that name.
_BLOCKED = {
    "23514": "the default partition holds rows of that month; move them out of it, then it can be made",
    "42P17": "another partition covers a part of that month; correct its bounds",
    "42P07": "a table of that name is there and is no partition; attach it, or rename it",
}


@job(
    "partition_creation",
    queue="maintenance",
    cadence=cron("0 4 * * *"),
    on_crash="fail",
    retry=Backoff(max_retries=5, base=60),
    time_limit=600,
    label="Partition Creation",
)
def partition_creation() -> None:
    """Create monthly partitions for the event tables."""
    run, settings = current_run(), get_revenue_settings()
    months = [Month.of(datetime.now(UTC)).later(number) for number in range(settings.partition_months_ahead + 1)]
    made = create(months, wait_seconds=settings.partition_lock_seconds)
    run.note(created=made.created, existing=made.existing)
    if made.skipped:
        run.note(skipped_tables=made.skipped)
    if made.blocked:
        told = "; ".join(f"{name}: {why}" for name, why in made.blocked.items())
        raise PermanentError(f"{len(made.blocked)} partitions could not be made: {told}")
    if not made.created:
        run.quiet()


@dataclass(slots=True)
class Made:
    """Names of partitions that were made, were there, or cannot be made and why; `skipped` are tables without any."""

    created: list[str] = field(default_factory=list)
    existing: list[str] = field(default_factory=list)
    skipped: list[str] = field(default_factory=list)
    blocked: dict[str, str] = field(default_factory=dict)


def create(months: Sequence[Month], *, wait_seconds: float) -> Made:
    """Make what is missing, each partition in a transaction of its own.

    Raises:
        sqlalchemy.exc.DBAPIError: Such as a lock that was not to be had; what was made stays.
    """
    made = Made()
    with transaction() as connection:
        tables = partitioned_tables(connection)
    made.skipped = [table for table in EVENT_TABLES if table not in tables]
    for table in tables:
        for month in months:
            _one(made, table, month, wait_seconds)
    return made


def _one(made: Made, table: str, month: Month, wait_seconds: float) -> None:
    name = f"{table}_{month}"
    try:
        with transaction() as connection:
            hold_partitions(connection, wait_seconds)
            there = any(known.name == name for known in partitions(connection))
            if not there:
                _attach(connection, table, name, month)
    except DBAPIError as error:
        made.blocked[name] = _why(error)
    else:
        (made.existing if there else made.created).append(name)


def _attach(connection: Connection, table: str, name: str, month: Month) -> None:
    """Names are of our own making: an event table's and a month's."""
    parent, child = f"revenue.{table}", f"revenue.{name}"
    begin, end = month.begin.isoformat(), month.later(1).begin.isoformat()
    connection.execute(text(f"create table {child} (like {parent} including defaults including constraints)"))
    connection.execute(text(f"alter table {parent} attach partition {child} for values from ('{begin}') to ('{end}')"))


def _why(error: DBAPIError) -> str:
    """What blocks a partition; any other error fails the run as it is."""
    state = getattr(error.orig, "sqlstate", None)
    if state not in _BLOCKED:
        raise error
    return _BLOCKED[state]
