"""The job `apply_forgetting_policies_job`: what nobody recalls counts for less.

    score = max(floor, 0.5 ^ ((idle days - window) / half-life)) * (1 + 0.05 * log2(1 + recalls)), at most 1

A function of timestamps alone, so any number of runs gives the same scores. Days are of 24 hours, whatever a tenant's
clocks do, and count when they are full: within a day nothing changes, and an hourly run writes one row in 24. A score
is only ever lowered; a recall puts it back to 1.
"""

from __future__ import annotations

from datetime import UTC, datetime
from typing import TYPE_CHECKING

from sqlalchemy import text

from actors.memory.settings import MemorySettings, get_memory_settings
from actors.memory.stretches import Stretch, walk
from callboard import Backoff, Run, cron, current_run, job

if TYPE_CHECKING:
    from collections.abc import Mapping

    from sqlalchemy import Connection

# The exponent is cut where the power is nothing: Postgres calls an underflow an error. Rows are locked in the order of
# their ids, as all jobs here do. One that is recalled between the look and the lock is left as the recall made it.
_LOWER = text("""
with idle as materialized (
    select m.id, m.decay_score, m.last_accessed_at, m.usage_count,
        power(0.5::float8, least(100, (
            floor(date_part('epoch', :now - coalesce(m.last_accessed_at, m.created_at)) / 86400)
            - coalesce(s.decay_window_days, :window)) / coalesce(s.decay_half_life_days, :half_life))) as remains
    from memory.memories m left join memory.tenant_settings s on s.tenant_id = m.tenant_id
    where m.id > :after and m.id <= :last and m.retention_status = 'active' and not m.legal_hold and not m.pinned
        and coalesce(m.last_accessed_at, m.created_at)
            <= :now - make_interval(secs => 86400 * coalesce(s.decay_window_days, :window))
        and not (m.is_summary and exists (
            select from memory.memories p where p.id = any(m.parent_ids) and p.tier = 'hot'))
), scored as materialized (
    select id, last_accessed_at, score from (
        select *, least(1, greatest(:floor, remains)
            * (1 + 0.05::float8 * ln(1 + greatest(usage_count, 0)::float8) / ln(2::float8)))::real as score
        from idle) s
    where score < decay_score
), locked as materialized (
    select m.id, s.score from scored s join memory.memories m using (id)
    where m.last_accessed_at is not distinct from s.last_accessed_at and m.decay_score > s.score
    order by m.id for no key update of m
), lowered as (
    update memory.memories m set decay_score = l.score from locked l where m.id = l.id returning m.id
)
select (select count(*) from idle) as scanned, count(*) as decayed,
    count(*) filter (where idle.remains <= :floor) as floor_reached
from lowered join idle using (id)
""")


@job(
    "apply_forgetting_policies_job",
    queue="maintenance",
    cadence=cron("20 * * * *"),
    retry=Backoff(max_retries=3, base=60),
    time_limit=1800,
    label="Forget what is not recalled",
)
def apply_forgetting_policies() -> None:
    """Lower the scores of memories that nobody has recalled for a while."""
    forget(current_run(), get_memory_settings(), datetime.now(UTC))


def forget(run: Run, settings: MemorySettings, now: datetime) -> None:
    """Lower what is to be lowered at `now`; `floor_reached` are those of the `decayed` that fall no further."""
    rules = {
        "now": now,
        "window": settings.decay_window_days,
        "half_life": settings.decay_half_life_days,
        "floor": settings.decay_floor,
    }

    def lower(connection: Connection, stretch: Stretch) -> Mapping[str, int]:
        looked = connection.execute(_LOWER, {**rules, "after": stretch.after, "last": stretch.last})
        row = looked.mappings().one()
        return {**row, "unchanged": row["scanned"] - row["decayed"]}

    run.count(scanned=0, decayed=0, unchanged=0, floor_reached=0)
    walk(run, settings.lifecycle_batch, lower)
    if not run.counts["decayed"]:
        run.quiet()
