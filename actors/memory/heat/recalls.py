"""What recalls do to memories' heat: skipped -> batched -> immediate, and never back.

Windows end at the recalls themselves, not at the run: twenty recalls within an hour make a memory hot, whenever a run
gets to see them. So a run that comes late, or that is done again, finds the same.
"""

from __future__ import annotations

from dataclasses import dataclass, field
from typing import TYPE_CHECKING

from sqlalchemy import text

from actors.memory.growth import SETTLED, hold_watermark, move_watermark
from actors.memory.heat.score import keep_events

if TYPE_CHECKING:
    from datetime import datetime

    from sqlalchemy import Connection

    from actors.memory.settings import MemorySettings

WATERMARK = "recalls"

_NEXT = text(f"""
with next as (
    select r.id, {SETTLED} as settled from memory.recalls r where r.id > :after order by r.id limit :most
), ready as (
    select id from next where id < coalesce((select min(id) from next where not settled), 9223372036854775807)
)
select coalesce(max(id), 0) as last, count(*) as events from ready
""")  # noqa: S608 - a constant
_WARM = text("""
with fresh as materialized (
    select memory_id, min(recalled_at) as first, max(recalled_at) as last
    from memory.recalls where id > :after and id <= :last group by memory_id
), counted as (
    select r.id, r.memory_id,
        count(*) over (partition by r.memory_id order by r.recalled_at
            range between interval '24 hours' preceding and current row) as in_a_day,
        count(*) over (partition by r.memory_id order by r.recalled_at
            range between interval '1 hour' preceding and current row) as in_an_hour
    from memory.recalls r join fresh f on f.memory_id = r.memory_id
    where r.id <= :last and r.recalled_at between f.first - interval '24 hours' and f.last
), warm as materialized (
    select memory_id, case when max(in_an_hour) >= :immediate then 'immediate' else 'batched' end as heat
    from counted where id > :after
    group by memory_id having max(in_an_hour) >= :immediate or max(in_a_day) >= :batched
), held as (
    select m.id, w.heat from memory.memories m join warm w on w.memory_id = m.id
    where m.retention_status = 'active'
      and array_position(array['skipped', 'batched', 'immediate'], w.heat)
        > array_position(array['skipped', 'batched', 'immediate'], m.heat)
    order by m.id for no key update of m
)
update memory.memories m set heat = held.heat from held where m.id = held.id
returning m.id, m.tenant_id, m.heat
""")


@dataclass(slots=True)
class Batch:
    """What some recalls have changed."""

    events: int
    batched: list[int] = field(default_factory=list)
    immediate: list[int] = field(default_factory=list)


def read_recalls(connection: Connection, settings: MemorySettings, *, most: int, now: datetime) -> Batch:
    """Heat up what the next recalls concern, and move the watermark, in the caller's transaction."""
    position, _ = hold_watermark(connection, WATERMARK, now=now)
    last, events = connection.execute(_NEXT, {"after": position, "most": most}).one()
    if not events:
        return Batch(0)
    given = {
        "after": position,
        "last": last,
        "batched": settings.heat_batched,
        "immediate": settings.heat_immediate,
    }
    rows = sorted(connection.execute(_WARM, given))
    if rows:
        keep_events(connection, [(row.id, row.tenant_id, f"memory.heat.{row.heat}") for row in rows], now)
    move_watermark(connection, WATERMARK, last, now=now)
    return Batch(
        events,
        [row.id for row in rows if row.heat == "batched"],
        [row.id for row in rows if row.heat == "immediate"],
    )
