"""Reading a table that only grows, in the order of its ids, without missing what is committed late.

Ids are handed out before rows are committed, so behind a row that is there an earlier one may still appear. A reader
therefore stops before the first row whose transaction does not precede all that still run.
"""

from __future__ import annotations

from typing import TYPE_CHECKING

from sqlalchemy import text

if TYPE_CHECKING:
    from datetime import datetime

    from sqlalchemy import Connection

_XMIN, _XMAX = (f"pg_snapshot_{end}(pg_current_snapshot())::text::bigint" for end in ("xmin", "xmax"))
#: Of a row of table `r`: its transaction is none of those that began since the oldest one that still runs. Postgres
#: keeps 32 bits of a row's transaction, so the distance is taken modulo that.
SETTLED = f"""
(((r.xmin::text::bigint - {_XMIN}) % 4294967296 + 4294967296) % 4294967296 >= {_XMAX} - {_XMIN})
"""

_HOLD = text("""
insert into memory.watermarks (name, position, updated_at) values (:name, 0, :now)
on conflict (name) do update set name = excluded.name
returning position, updated_at
""")
_MOVE = text("update memory.watermarks set position = :position, updated_at = :now where name = :name")


def hold_watermark(connection: Connection, name: str, *, now: datetime) -> tuple[int, datetime]:
    """How far a job has read, and when that was written; held until the caller's transaction ends."""
    position, updated_at = connection.execute(_HOLD, {"name": name, "now": now}).one()
    return int(position), updated_at


def move_watermark(connection: Connection, name: str, position: int, *, now: datetime) -> None:
    """Note how far the job has read, in the transaction that did the work."""
    connection.execute(_MOVE, {"name": name, "position": position, "now": now})
