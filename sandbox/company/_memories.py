"""Memories, as the jobs left them when they last ran, and what happened to them."""

from __future__ import annotations

import math
from datetime import datetime, timedelta
from typing import TYPE_CHECKING, NamedTuple

from sandbox.company._copy import copy
from sandbox.company._words import remark

if TYPE_CHECKING:
    import random
    from collections.abc import Iterator
    from uuid import UUID

    from psycopg import Connection

    from sandbox.company._people import Tenant, User
    from sandbox.company._plan import Plan

_ENVIRONMENTS = ("production", "production", "production", "staging", "development")
_SOURCES = ("api", "api", "integration", "chat")
_RECALLED, _HELD, _PINNED, _SHORT_LIVED = 0.6, 0.002, 0.01, 0.02
_ARCHIVE, _EXPIRY, _GRACE, _WARM, _COLD = (timedelta(days=days) for days in (90, 150, 7, 30, 210))
_DAY = timedelta(days=1)
_COLUMNS = (
    "id tenant_id user_id project_id environment text_ciphertext content_hash extracted_type extracted_key tags source "
    "importance importance_score decay_score usage_count last_accessed_at created_at updated_at tier tier_changed_at "
    "retention_status archive_at retention_expires_at hard_delete_at expires_at deleted_at deletion_method legal_hold "
    "pinned"
)
_HAPPENED = (
    """insert into memory.memory_events (memory_id, tenant_id, event_type, source, created_at)
    select id, tenant_id, 'memory.created', source, created_at from memory.memories where id between %s and %s""",
    """insert into memory.recalls (memory_id, tenant_id, user_id, recalled_at)
    select id, tenant_id, user_id, last_accessed_at from memory.memories
    where id between %s and %s and last_accessed_at > %s - interval '7 days' order by last_accessed_at""",
)
# Ten memories that became hot within the last hour.
_HOT = """
with chosen as (
    update memory.memories set usage_count = usage_count + 25, last_accessed_at = %(now)s - interval '1 minute',
        decay_score = 1, tier = 'hot', tier_changed_at = %(now)s
    where id = any(array(select id from memory.memories where id between %(first)s and %(last)s
        and retention_status = 'active' order by id desc limit 10))
    returning id, tenant_id, user_id)
insert into memory.recalls (memory_id, tenant_id, user_id, recalled_at)
select id, tenant_id, user_id, %(now)s - n * interval '2 minutes' from chosen, generate_series(25, 1, -1) n
"""


class _Life(NamedTuple):
    """Where a memory stands; the columns from `decay_score` to `deletion_method`."""

    decay_score: float
    usage_count: int
    last_accessed_at: datetime | None
    created_at: datetime
    updated_at: datetime
    tier: str
    tier_changed_at: datetime
    retention_status: str
    archive_at: datetime
    retention_expires_at: datetime
    hard_delete_at: datetime | None
    expires_at: datetime | None
    deleted_at: datetime | None
    deletion_method: str | None


def write_memories(connection: Connection, plan: Plan, tenants: list[Tenant], rng: random.Random) -> int:
    """Put them into the tables, with their events and recalls; returns how many they are."""
    if not plan.memories:
        return 0
    sequence = "pg_get_serial_sequence('memory.memories', 'id')"
    reserve = f"select setval({sequence}, nextval({sequence}) + %s)"
    (last,) = connection.execute(reserve, [plan.memories - 1]).fetchone() or (0,)
    first = last - plan.memories + 1
    written = copy(connection, "memory.memories", _COLUMNS.split(), _rows(plan, tenants, rng, first))
    connection.execute(_HAPPENED[0], [first, last])
    connection.execute(_HAPPENED[1], [first, last, plan.now])
    connection.execute(_HOT, {"first": first, "last": last, "now": plan.now})
    return written


def _rows(plan: Plan, tenants: list[Tenant], rng: random.Random, first: int) -> Iterator[tuple[object, ...]]:
    """Oldest first, as they were written, the tenants' among each other."""
    owners = [tenant for tenant in tenants for _ in range(tenant.memories)]
    rng.shuffle(owners)
    span = (plan.oldest_days - plan.youngest_days) / max(1, len(owners))
    for number, tenant in enumerate(owners):
        born = plan.now - timedelta(days=plan.oldest_days - span * (number + rng.random()))
        yield first + number, tenant.id, *_memory(plan, tenant, rng.choice(tenant.users), born, rng)


def _memory(plan: Plan, tenant: Tenant, user: User, born: datetime, rng: random.Random) -> tuple[object, ...]:
    said, life = remark(rng), _life(plan, born, rng)
    importance = round(rng.random(), 3)
    project: UUID | None = rng.choice(tenant.projects)
    text = said.text
    return (
        user.id,
        project,
        rng.choice(_ENVIRONMENTS),
        user.key.encrypt(text),
        user.key.hash(text),
        said.category,
        said.key,
        said.tags,
        rng.choice(_SOURCES),
        importance,
        round(importance * 100),
        *life,
        rng.random() < _HELD,
        rng.random() < _PINNED,
    )


def _life(plan: Plan, born: datetime, rng: random.Random) -> _Life:
    """By the catalogue's own rules, at the time that the jobs last ran."""
    seen = plan.now - plan.behind_days * _DAY
    used = born + (plan.now - born) * rng.random() if rng.random() < _RECALLED else None
    touched = used or born
    idle = (seen - touched) // _DAY - _WARM.days
    tier, since = "hot", born
    if seen - touched >= _WARM:
        tier, since = "warm", touched + _WARM
    if seen - touched >= _COLD:
        tier, since = "cold", touched + _COLD
    ends = born + rng.uniform(1, 200) * _DAY if rng.random() < _SHORT_LIVED else None
    state = "active" if seen - born < _ARCHIVE else "archived"
    deleted = min(ends, born + _EXPIRY) if ends else born + _EXPIRY
    if deleted <= seen:
        state = "soft_deleted" if seen < deleted + _GRACE else "hard_delete_pending"
    uses = rng.randrange(1, 30) if used else 0
    gone = state in ("soft_deleted", "hard_delete_pending")
    return _Life(
        decay_score=_score(idle, uses) if state == "active" else 1.0,
        usage_count=uses,
        last_accessed_at=used,
        created_at=born,
        updated_at=born,
        tier=tier,
        tier_changed_at=since,
        retention_status=state,
        archive_at=born + _ARCHIVE,
        retention_expires_at=born + _EXPIRY,
        hard_delete_at=deleted + _GRACE if gone else None,
        expires_at=ends,
        deleted_at=deleted if gone else None,
        deletion_method="retention_policy" if gone else None,
    )


def _score(idle: int, uses: int) -> float:
    """`idle` days after the window, with a half-life of 30."""
    return min(1.0, max(0.05, math.exp2(-max(0, idle) / 30)) * (1 + 0.05 * math.log2(1 + uses)))
