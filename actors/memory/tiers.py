"""The job `tier_transition_job`: hot, warm or cold, by when a memory was last recalled.

A tier is a label that ranking goes by; it is kept in the memory's row alone, which is read together with its vector.

    hot -> warm          no recall for 30 days
    warm -> cold         180 days in warm without one
    cold -> warm -> hot  a recall does that at once; where one did not, this job does, one tier for it
    hot -> warm          what a user has above the quota: the longest unused first, of these the least important

A move starts the memory's time in its new tier, so that a second run moves nothing. Days are of 24 hours.
"""

from __future__ import annotations

from array import array
from datetime import UTC, datetime
from typing import TYPE_CHECKING, Any

from sqlalchemy import text

from actors.memory.settings import MemorySettings, get_memory_settings
from actors.memory.stretches import Stretch, walk
from callboard import Backoff, Run, cron, current_run, job, transaction

if TYPE_CHECKING:
    from collections.abc import Mapping

    from sqlalchemy import Connection

# Moves the rows of `due`, unless they were recalled since, and writes an event for each. A recall that lies in the
# future, because the clock was set back, must not promote twice: hence "greatest".
_MOVE = """
locked as materialized (
    select m.id, d.was, d.became from due d join memory.memories m using (id)
    where m.tier = d.was and m.last_accessed_at is not distinct from d.last_accessed_at
    order by m.id for no key update of m
), moved as (
    update memory.memories m set tier = l.became, tier_changed_at = greatest(:now, m.last_accessed_at)
    from locked l where m.id = l.id
    returning m.id, m.tenant_id, l.was, l.became, l.became = 'hot' or l.was = 'cold' as promoted
), told as (
    insert into memory.memory_events (memory_id, tenant_id, event_type, source, payload, created_at)
    select id, tenant_id, 'memory.tier_changed', 'tier_transition_job', jsonb_build_object(
        'from', was, 'to', became, 'reason', case when promoted then 'recall' else :reason end), :now
    from moved order by id
)
"""
_BY_AGE = text(f"""
with looked as materialized (
    select m.id, m.tier as was, m.tier_changed_at, m.last_accessed_at, m.created_at,
        :now - make_interval(secs => 86400 * coalesce(s.hot_to_warm_days, :hot_days)) as not_hot,
        :now - make_interval(secs => 86400 * coalesce(s.warm_to_cold_days, :warm_days)) as not_warm
    from memory.memories m left join memory.tenant_settings s on s.tenant_id = m.tenant_id
    where m.id > :after and m.id <= :last and m.retention_status in ('active', 'archived')
), due as materialized (
    select * from (select id, was, last_accessed_at, case
            when was = 'hot' and coalesce(last_accessed_at, created_at) <= not_hot then 'warm'
            when was = 'warm' and last_accessed_at > tier_changed_at and last_accessed_at > not_hot then 'hot'
            when was = 'warm' and greatest(tier_changed_at, last_accessed_at) <= not_warm then 'cold'
            when was = 'cold' and last_accessed_at > tier_changed_at and last_accessed_at > not_warm then 'warm'
        end as became from looked) l
    where became is not null
), {_MOVE}
select (select count(*) from looked) as scanned, count(*) filter (where became = 'warm' and not promoted) as to_warm,
    count(*) filter (where became = 'cold') as to_cold, count(*) filter (where promoted) as promoted
from moved
""")  # noqa: S608 - put together from constants

_HOT = "m.tier = 'hot' and m.retention_status in ('active', 'archived')"
_OVER_QUOTA = text(f"""
with crowded as materialized (
    select m.user_id, coalesce(s.hot_quota, :quota) as quota
    from memory.memories m left join memory.tenant_settings s on s.tenant_id = m.tenant_id
    where {_HOT} and coalesce(s.hot_quota, :quota) > 0
    group by 1, 2 having count(*) > coalesce(s.hot_quota, :quota)
)
select id from (
    select m.id, c.quota, row_number() over (
        partition by m.user_id order by coalesce(m.last_accessed_at, m.created_at) desc, m.importance desc, m.id desc
    ) as place
    from memory.memories m join crowded c using (user_id) where {_HOT}) ranked
where place > quota order by id
""")  # noqa: S608 - see above
_PUSH_DOWN = text(f"""
with due as materialized (
    select m.id, 'hot' as was, m.last_accessed_at, 'warm' as became from memory.memories m
    where m.id = any(cast(:ids as bigint[])) and {_HOT} and coalesce(m.last_accessed_at <= :now, true)
), {_MOVE}
select count(*) from moved
""")  # noqa: S608 - see above


@job(
    "tier_transition_job",
    queue="maintenance",
    cadence=cron("0 * * * *"),
    retry=Backoff(max_retries=3, base=60),
    time_limit=1800,
    label="Move memories between tiers",
)
def tier_transition() -> None:
    """Move memories between hot, warm and cold by when they were last recalled."""
    move(current_run(), get_memory_settings(), datetime.now(UTC))


def move(run: Run, settings: MemorySettings, now: datetime) -> None:
    """Make the moves that are due at `now`; those over quota are not counted as `to_warm` too."""
    run.count(scanned=0, to_warm=0, to_cold=0, promoted=0, over_quota=0)
    _move_by_age(run, settings, now)
    _move_over_quota(run, settings, now)
    if sum(run.counts.values()) == run.counts["scanned"]:
        run.quiet()


def _move_by_age(run: Run, settings: MemorySettings, now: datetime) -> None:
    rules: dict[str, Any] = {
        "now": now,
        "reason": "age",
        "hot_days": settings.hot_to_warm_days,
        "warm_days": settings.warm_to_cold_days,
    }

    def by_age(connection: Connection, stretch: Stretch) -> Mapping[str, int]:
        row = connection.execute(_BY_AGE, {**rules, "after": stretch.after, "last": stretch.last})
        return dict(row.mappings().one())

    walk(run, settings.lifecycle_batch, by_age)


def _move_over_quota(run: Run, settings: MemorySettings, now: datetime) -> None:
    if run.cancelled:
        return
    ids, size = _over_quota(settings), settings.lifecycle_batch
    for start in range(0, len(ids), size):
        if run.cancelled:
            return
        chosen = {"ids": ids[start : start + size].tolist(), "now": now, "reason": "quota"}
        with transaction() as connection:
            moved = connection.execute(_PUSH_DOWN, chosen).scalar_one()
        run.count(over_quota=moved)
        run.progress(min(start + size, len(ids)), len(ids), "over the quota of hot memories")


def _over_quota(settings: MemorySettings) -> array[int]:
    """Ids of the hot memories that their users have no place for: 8 bytes each, fetched in portions."""
    ids = array("q")
    with transaction() as connection:
        found = connection.execute(
            _OVER_QUOTA, {"quota": settings.hot_quota}, execution_options={"stream_results": True}
        )
        for portion in found.scalars().partitions(settings.lifecycle_batch):
            ids.extend(portion)
    return ids
