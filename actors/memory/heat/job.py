"""The jobs `intelligence_reevaluate` and `reevaluate_memory`.

Each run reads the recalls since the last one. A memory that becomes batched is scored in the same transaction; one that
becomes immediate gets a run of its own, at once. Besides, each run scores the next part of all memories, so that in
`sweep_days` every memory had its turn.
"""

from __future__ import annotations

import math
from datetime import UTC, datetime
from typing import TYPE_CHECKING

from sqlalchemy import text

from actors.memory.growth import hold_watermark, move_watermark
from actors.memory.heat.recalls import read_recalls
from actors.memory.heat.score import ask_for, rescore
from actors.memory.settings import MemorySettings, get_memory_settings
from callboard import Backoff, Run, cron, current_run, job, transaction

if TYPE_CHECKING:
    from collections.abc import Sequence

    from sqlalchemy import Connection

_RECALLS_AT_ONCE, _SCORED_AT_ONCE = 5_000, 1_000
_RUNS_A_DAY = 144
_SWEEP = "reevaluation"
#: Without any of these a run has changed nothing but scores, by a little.
_TOLD = ("became_batched", "became_immediate", "promoted", "demoted", "budget_skipped")
_NEXT = text("""
select id from memory.memories where id > :after and retention_status = 'active' order by id limit :most
""")
_ALL = text("select greatest(reltuples, 0)::bigint from pg_class where oid = 'memory.memories'::regclass")


@job(
    "intelligence_reevaluate",
    queue="intelligence",
    cadence=cron("*/10 * * * *"),
    retry=Backoff(max_retries=2, base=30, cap=300),
    time_limit=1800,
    label="Score memories anew",
)
def intelligence_reevaluate() -> None:
    """Score what was recalled often, and the next part of all memories."""
    run, settings = current_run(), get_memory_settings()
    _zero(run)
    now = datetime.now(UTC)
    heat_up(run, settings, now)
    sweep(run, settings, now)
    if not any(run.counts[name] for name in _TOLD):
        run.quiet()


@job(
    "reevaluate_memory",
    queue="intelligence",
    single_per="memory_id",
    retry=Backoff(max_retries=2, base=15, cap=300),
    time_limit=60,
    label="Score a memory anew",
)
def reevaluate_memory(memory_id: int) -> None:
    """Score one memory, which has become hot."""
    run = current_run()
    _zero(run)
    with transaction() as connection:
        counts = rescore(connection, [memory_id], get_memory_settings(), datetime.now(UTC))
    run.count(**counts)


def heat_up(run: Run, settings: MemorySettings, now: datetime) -> None:
    """Read all recalls since the last run, some thousands in each transaction."""
    while not run.cancelled:
        with transaction() as connection:
            batch = read_recalls(connection, settings, most=_RECALLS_AT_ONCE, now=now)
            counts = rescore(connection, batch.batched, settings, now) if batch.batched else {}
            for memory in batch.immediate:
                ask_for(connection, reevaluate_memory, memory)
        run.count(
            recall_events_scanned=batch.events,
            became_batched=len(batch.batched),
            became_immediate=len(batch.immediate),
            **counts,
        )
        if not batch.events:
            return


def sweep(run: Run, settings: MemorySettings, now: datetime) -> None:
    """Score the memories that come next, as many as this run's share of `sweep_days` is; behind the last, the first."""
    left = share(settings)
    while left > 0 and not run.cancelled:
        with transaction() as connection:
            ids = _next(connection, min(left, _SCORED_AT_ONCE), now)
            counts = rescore(connection, ids, settings, now) if ids else {}
        run.count(**counts)
        left -= len(ids)
        if not ids:
            return


def share(settings: MemorySettings) -> int:
    """How many memories a run has to score."""
    with transaction() as connection:
        memories: int = connection.scalars(_ALL).one()
    return max(math.ceil(memories / (_RUNS_A_DAY * settings.sweep_days)), 1)


def _next(connection: Connection, most: int, now: datetime) -> Sequence[int]:
    position, _ = hold_watermark(connection, _SWEEP, now=now)
    ids = connection.scalars(_NEXT, {"after": position, "most": most}).all()
    move_watermark(connection, _SWEEP, ids[-1] if ids else 0, now=now)
    return ids


def _zero(run: Run) -> None:
    names = (
        "recall_events_scanned",
        "became_batched",
        "became_immediate",
        "rescored",
        "promoted",
        "demoted",
        "budget_skipped",
    )
    run.count(**dict.fromkeys(names, 0))
