"""The job `db_pruning`: the oldest events go while the database is above its size limit.

First whole partitions, oldest month first, never the current month's or a later one's. If that is not enough, the
oldest rows of the oldest partition that is left, up to so many in a run. Deleted rows do not make the database smaller:
their space is used again by new ones once it was vacuumed. So they are counted as what they will free, and space that
can be used again counts as free; otherwise the job would delete row after row, hour after hour, without an effect.
"""

from __future__ import annotations

from datetime import UTC, datetime
from typing import TYPE_CHECKING, NamedTuple

from sqlalchemy import text
from sqlalchemy.exc import OperationalError

from actors.revenue.event_tables import Month, Partition, hold_partitions, partitions
from actors.revenue.settings import get_revenue_settings
from callboard import Backoff, PermanentError, TransientError, cron, current_run, job, transaction

if TYPE_CHECKING:
    from collections.abc import Iterator, Sequence

    from actors.revenue.settings import RevenueSettings
    from callboard import Run

_GIB = 1024**3
_TIMEOUTS = ("55P03", "57014")  # of a lock, of a statement
_SAMPLE_PAGES = 200
# What a page cannot hold, and what rows of different lengths leave empty at its end: no space that new rows could use.
_PACKED = 0.95
_LINE_POINTER = 4  # bytes a row takes at its page's head; its own are padded to a multiple of 8

_WHOLE_WAIT = text("select set_config('statement_timeout', :wait, true)")
_DEAD = text("select coalesce(max(n_dead_tup), 0) from pg_stat_all_tables where relid = cast(:name as regclass)")
_SIZE = text("select pg_database_size(current_database())")


class _Batch(NamedTuple):
    """Places of rows, and the time of the newest one."""

    places: Sequence[str]
    until: datetime


@job(
    "db_pruning",
    queue="maintenance",
    cadence=cron("0 * * * *"),
    on_crash="fail",
    retry=Backoff(max_retries=2, base=60),
    time_limit=1800,
    label="Database Pruning",
)
def db_pruning(max_size_bytes: int = 0) -> None:
    """Drop the oldest event partitions while the database is above its size limit."""
    settings, run = get_revenue_settings(), current_run()
    run.count(dropped_partitions=0, deleted_rows=0)
    limit = max_size_bytes or round(settings.max_database_size_gb * _GIB)
    if limit < 0:
        raise PermanentError(f"max_size_bytes={max_size_bytes} is below 0; give a number of bytes, or leave it out")
    if limit == 0:
        run.note(skipped=True, reason="MAX_DATABASE_SIZE_GB is not set")
        run.quiet()
        return
    _Pruner(run, settings).prune(limit, datetime.now(UTC))


class _Pruner:
    """One run."""

    def __init__(self, run: Run, settings: RevenueSettings) -> None:
        self._run, self._settings = run, settings

    def prune(self, limit: int, now: datetime) -> None:
        """Get the database down to `limit` bytes, or as near to it as one run may.

        Raises:
            TransientError: Somebody holds a lock on an event table for too long.
        """
        try:
            self._drop_while_over(limit, Month.of(now))
            excess = _database_size() - limit
            if excess > 0 and not self._run.cancelled:
                self._delete(excess)
        finally:
            self._run.note(current_size_gb=round(_database_size() / _GIB, 2))
        if not any(self._run.counts.values()):
            self._run.quiet()

    def _drop_while_over(self, limit: int, current: Month) -> None:
        while _database_size() > limit and not self._run.cancelled:
            dropped = self._drop_oldest(current)
            if dropped is None:
                return
            self._run.count(dropped_partitions=1)
            self._run.progress(self._run.counts["dropped_partitions"], 0, f"Dropped {dropped}")
            self._run.log.info("pruning.dropped", partition=dropped)

    def _drop_oldest(self, current: Month) -> str | None:
        """Drop the oldest partition of a month before the current one, and return its name; None without such a one."""
        try:
            with transaction() as connection:
                hold_partitions(connection, self._settings.partition_lock_seconds)
                old = [one for one in partitions(connection) if one.month is not None and one.month < current]
                if not old:
                    return None
                oldest = min(old, key=lambda one: one.age)
                # The locks of the parent and of the partition are waited for one after the other, the first one held.
                connection.execute(_WHOLE_WAIT, {"wait": f"{2000 * self._settings.partition_lock_seconds:.0f}ms"})
                connection.execute(text(f"drop table revenue.{oldest.name}"))
        except OperationalError as error:
            if getattr(error.orig, "sqlstate", None) not in _TIMEOUTS:
                raise
            raise TransientError(
                f"No partition could be dropped: somebody held a lock on the event tables for more than "
                f"{self._settings.partition_lock_seconds} s; end the transaction that pg_stat_activity shows as oldest"
            ) from error
        return oldest.name

    def _delete(self, excess: int) -> None:
        """Delete oldest rows until the bytes they took, with those that can be used again, are as many as `excess`."""
        left = self._settings.pruning_batches
        found = _by_age()
        for partition in found:
            if _has_dead_rows(partition):  # of a run that was killed before it came to that, or of somebody else's
                _vacuum(partition)
        excess -= sum(_reusable(one) for one in found)
        for partition in found:
            if excess <= 0 or left == 0 or self._run.cancelled:
                return
            batches, freed = self._delete_from(partition, excess, left)
            left, excess = left - batches, excess - freed
            if batches:
                _vacuum(partition)

    def _delete_from(self, partition: Partition, excess: int, most: int) -> tuple[int, int]:
        """How many batches went, and how many bytes they took."""
        done = freed = 0
        for batch in _oldest(partition, self._settings.pruning_batch, most):
            rows, bytes_freed = _delete_batch(partition, batch)
            done, freed = done + 1, freed + bytes_freed
            self._run.count(deleted_rows=rows)
            self._run.progress(done, most, f"Deleted {self._run.counts['deleted_rows']} rows")
            if freed >= excess or self._run.cancelled:
                break
        return done, freed


def _database_size() -> int:
    with transaction() as connection:
        return int(connection.execute(_SIZE).scalar_one())


def _by_age() -> list[Partition]:
    """Partitions that are named by a month, oldest first."""
    with transaction() as connection:
        found = [one for one in partitions(connection) if one.month is not None]
    return sorted(found, key=lambda one: one.age)


def _oldest(partition: Partition, size: int, most: int) -> Iterator[_Batch]:
    """The places of a partition's oldest rows in batches, from one pass over it: no index begins with the time."""
    statement = text(f"""
        with oldest as (
            select ctid, timestamp, row_number() over (order by timestamp) as number
            from revenue.{partition.name} order by timestamp limit :rows
        )
        select array_agg(cast(ctid as text)) as places, max(timestamp) as until
        from oldest group by (number - 1) / :size order by 2
    """)  # noqa: S608 - a partition's name, from the catalogue
    with transaction() as connection:
        rows = connection.execute(statement, {"rows": size * most, "size": size}).all()
    yield from (_Batch(row.places, row.until) for row in rows)


def _delete_batch(partition: Partition, batch: _Batch) -> tuple[int, int]:
    """Rows deleted, and bytes they took. A place that a newer row has taken meanwhile is left alone."""
    statement = text(f"""
        with gone as (
            delete from revenue.{partition.name} as t
            where ctid = any(cast(:places as tid[])) and timestamp <= :until
            returning {_ROW_BYTES} as bytes
        )
        select count(*), coalesce(sum(bytes), 0) from gone
    """)  # noqa: S608 - a partition's name, from the catalogue
    with transaction() as connection:
        rows, freed = connection.execute(statement, {"places": batch.places, "until": batch.until}).one()
    return int(rows), int(freed)


_ROW_BYTES = f"((pg_column_size(t) + 7) / 8 * 8 + {_LINE_POINTER})"


def _reusable(partition: Partition) -> int:
    """Bytes of a partition that new rows can use, as far as its last vacuum tells: its pages, less its rows' widths."""
    facts = text("""
        select c.relpages, current_setting('block_size')::int as page,
               c.reltuples + coalesce(s.n_ins_since_vacuum, 0) as rows
        from pg_class c left join pg_stat_all_tables s on s.relid = c.oid
        where c.oid = cast(:name as regclass)
    """)
    with transaction() as connection:
        told = connection.execute(facts, {"name": f"revenue.{partition.name}"}).one()
        if told.rows < 0 or told.relpages == 0:  # never vacuumed, or empty
            return 0
        percent = min(100.0, 100.0 * _SAMPLE_PAGES / told.relpages)
        sample = f"""
            select avg({_ROW_BYTES}) from revenue.{partition.name} as t tablesample system ({percent:.6f})
        """  # noqa: S608 - a partition's name, from the catalogue
        width = connection.execute(text(sample)).scalar_one()
    return max(0, int(told.relpages * told.page * _PACKED - told.rows * float(width or 0)))


def _has_dead_rows(partition: Partition) -> bool:
    with transaction() as connection:
        return bool(connection.execute(_DEAD, {"name": f"revenue.{partition.name}"}).scalar_one())


def _vacuum(partition: Partition) -> None:
    """Make the space of deleted rows usable; not while somebody else holds the table."""
    with transaction() as connection:
        engine = connection.engine
    with engine.connect() as connection:
        free = connection.execution_options(isolation_level="AUTOCOMMIT")
        free.execute(text(f"vacuum (analyze, skip_locked) revenue.{partition.name}"))
