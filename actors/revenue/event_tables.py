"""The event tables and their partitions by month: `events_2026_11` holds November 2026, in UTC.

Whoever makes or drops partitions holds one advisory lock meanwhile, so that both see what is really there, and waits
for locks no longer than the settings say: a lock that is waited for keeps everybody else waiting behind it.
"""

from __future__ import annotations

import re
from dataclasses import dataclass
from datetime import UTC, datetime
from typing import TYPE_CHECKING, Self

from sqlalchemy import text

if TYPE_CHECKING:
    from collections.abc import Sequence

    from sqlalchemy import Connection

#: In the order in which a month is pruned.
EVENT_TABLES = ("events", "metric_events", "funnel_events")

_LOCK_KEY = 0x0CA11B0E  # an advisory lock key of our own
_LOCK = text("select set_config('lock_timeout', :wait, true), pg_advisory_xact_lock(:key)")
_NAME = re.compile(r"(?P<table>[a-z_]+)_(?P<year>\d{4})_(?P<month>0[1-9]|1[0-2])")
_PARTITIONS = text("""
select parent.relname as table_name, child.relname as name,
       pg_get_expr(child.relpartbound, child.oid) = 'DEFAULT' as is_default
from pg_inherits link
join pg_class parent on parent.oid = link.inhparent
join pg_class child on child.oid = link.inhrelid
join pg_namespace home on home.oid = parent.relnamespace
where home.nspname = 'revenue' and parent.relkind = 'p' and parent.relname = any(:tables)
order by child.relname
""")
_PARTITIONED = text("""
select c.relname from pg_class c join pg_namespace home on home.oid = c.relnamespace
where home.nspname = 'revenue' and c.relkind = 'p' and c.relname = any(:tables)
""")


@dataclass(frozen=True, slots=True, order=True)
class Month:
    """A month of the calendar, in UTC."""

    year: int
    month: int

    @classmethod
    def of(cls, moment: datetime) -> Self:
        """The month that a moment is in."""
        at = moment.astimezone(UTC)
        return cls(at.year, at.month)

    def later(self, months: int) -> Month:
        """So many months later."""
        number = self.year * 12 + self.month - 1 + months
        return Month(number // 12, number % 12 + 1)

    @property
    def begin(self) -> datetime:
        """Its first moment."""
        return datetime(self.year, self.month, 1, tzinfo=UTC)

    def __str__(self) -> str:
        return f"{self.year:04}_{self.month:02}"


@dataclass(frozen=True, slots=True)
class Partition:
    """A partition; `month` is None where its name tells of none, as of a default partition."""

    table: str
    name: str
    month: Month | None
    is_default: bool

    @property
    def age(self) -> tuple[Month, int]:
        """What partitions of a month are sorted by: older months first, then the order of `EVENT_TABLES`."""
        return self.month or Month(0, 0), EVENT_TABLES.index(self.table)


def hold_partitions(connection: Connection, wait_seconds: float) -> None:
    """Be the only one who makes or drops partitions, until the transaction ends.

    Args:
        connection: In a transaction.
        wait_seconds: How long this, and every lock taken after it in the transaction, is waited for.
    """
    connection.execute(_LOCK, {"wait": f"{round(wait_seconds * 1000)}ms", "key": _LOCK_KEY})


def partitions(connection: Connection) -> Sequence[Partition]:
    """All partitions of the event tables, by name."""
    rows = connection.execute(_PARTITIONS, {"tables": list(EVENT_TABLES)})
    return [Partition(row.table_name, row.name, month_of(row.table_name, row.name), row.is_default) for row in rows]


def partitioned_tables(connection: Connection) -> Sequence[str]:
    """The event tables that are there and partitioned, in the order of `EVENT_TABLES`."""
    found = set(connection.scalars(_PARTITIONED, {"tables": list(EVENT_TABLES)}))
    return [name for name in EVENT_TABLES if name in found]


def month_of(table: str, name: str) -> Month | None:
    """The month in the name of a table's partition; None if it is named otherwise."""
    found = _NAME.fullmatch(name)
    if found is None or found["table"] != table:
        return None
    return Month(int(found["year"]), int(found["month"]))
