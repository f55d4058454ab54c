"""Scoring memories anew, and what follows from a score: below the tenant's threshold a memory is gated.

A gated memory has no vector; one that rises above the threshold gets one, which costs tokens, and so waits while its
tenant has no budget. Pinned memories, summaries and those under a legal hold are scored, but stay as they are.
"""

from __future__ import annotations

from dataclasses import dataclass
from typing import TYPE_CHECKING

from sqlalchemy import text

from actors.memory.budget import tokens_left
from actors.memory.embedding import embedding_refresh
from actors.memory.heat.importance import Facts, importance
from actors.memory.terms import terms_of
from actors.memory.texts import Keyring, Unreadable
from callboard import DuplicateRun, outbox

if TYPE_CHECKING:
    from collections.abc import Sequence
    from datetime import datetime
    from typing import Any
    from uuid import UUID

    from sqlalchemy import Connection, Row

    from actors.memory.settings import MemorySettings

SOURCE = "intelligence_reevaluate"

# Locked in the order of their ids, as all jobs here do.
_HELD = text("""
select m.id, m.tenant_id, m.user_id, m.text_ciphertext, m.extracted_type, m.source, m.usage_count, m.gated,
    m.pinned or m.is_summary or m.legal_hold as fixed, u.plan,
    coalesce(m.last_accessed_at, m.created_at) as last_used_at
from memory.memories m join memory.users u on u.id = m.user_id
where m.id = any(:ids) and m.retention_status = 'active' order by m.id for no key update of m
""")
_SCORE = text("""
update memory.memories m set importance_score = n.score, scored_at = :now, gated = n.gated
from unnest(cast(:ids as bigint[]), cast(:scores as smallint[]), cast(:gated as boolean[])) as n(id, score, gated)
where m.id = n.id
""")
_FORGET_VECTORS = text("delete from memory.embeddings where memory_id = any(:ids)")
_EVENTS = text("""
insert into memory.memory_events (memory_id, tenant_id, event_type, source, created_at)
select id, tenant_id, event_type, :source, :now
from unnest(cast(:ids as bigint[]), cast(:tenants as uuid[]), cast(:types as text[])) as n(id, tenant_id, event_type)
""")


@dataclass(slots=True)
class _Scored:
    row: Row[Any]
    score: int
    gated: bool
    skipped: bool = False


def rescore(
    connection: Connection, memory_ids: Sequence[int], settings: MemorySettings, now: datetime
) -> dict[str, int]:
    """Score these memories; how many were rescored, promoted, demoted and, for want of a budget, not promoted."""
    rows = connection.execute(_HELD, {"ids": list(memory_ids)}).all()
    scored = _scored(connection, rows, settings, now)
    if scored:
        _write(connection, scored, now)
    promoted = [each for each in scored if each.row.gated and not each.gated]
    demoted = [each for each in scored if each.gated and not each.row.gated]
    connection.execute(_FORGET_VECTORS, {"ids": [each.row.id for each in demoted]})
    _tell(connection, promoted, demoted, now)
    for each in promoted:
        ask_for(connection, embedding_refresh, each.row.id)
    return {
        "rescored": len(scored),
        "promoted": len(promoted),
        "demoted": len(demoted),
        "budget_skipped": sum(each.skipped for each in scored),
    }


def ask_for(connection: Connection, wanted: Any, memory_id: int) -> None:  # noqa: ANN401 - a job that takes the id
    """Ask for a run, unless there is one already, if the connection's transaction commits."""
    try:
        outbox.send(connection, wanted, memory_id=memory_id)
    except DuplicateRun:
        return


def _scored(connection: Connection, rows: Sequence[Row[Any]], settings: MemorySettings, now: datetime) -> list[_Scored]:
    tenants: set[UUID] = {row.tenant_id for row in rows}
    thresholds = {tenant: terms.gating_threshold for tenant, terms in terms_of(connection, tenants).items()}
    budgets = {tenant: tokens_left(connection, tenant, now.date()) for tenant in tenants}
    keyring = Keyring.of(connection, {row.user_id for row in rows})
    found = []
    for row in rows:
        score = importance(_facts(row, keyring), settings.importance_weights, now)
        found.append(_gate(row, score, thresholds[row.tenant_id], budgets[row.tenant_id]))
    return found


def _facts(row: Row[Any], keyring: Keyring) -> Facts:
    try:
        words = keyring.decrypt(row.user_id, bytes(row.text_ciphertext))
    except Unreadable:
        words = None
    return Facts(words, row.extracted_type, row.source, row.plan, row.usage_count, row.last_used_at)


def _gate(row: Row[Any], score: int, threshold: float, budget: int | None) -> _Scored:
    gated = score < 100 * threshold
    if row.fixed or gated == row.gated:
        return _Scored(row, score, row.gated)
    if not gated and budget is not None and budget <= 0:
        return _Scored(row, score, gated=True, skipped=True)
    return _Scored(row, score, gated)


def _write(connection: Connection, scored: Sequence[_Scored], now: datetime) -> None:
    given = {
        "ids": [each.row.id for each in scored],
        "scores": [each.score for each in scored],
        "gated": [each.gated for each in scored],
        "now": now,
    }
    connection.execute(_SCORE, given)


def _tell(connection: Connection, promoted: Sequence[_Scored], demoted: Sequence[_Scored], now: datetime) -> None:
    pairs = [(each.row, "memory.promoted") for each in promoted] + [(each.row, "memory.demoted") for each in demoted]
    if pairs:
        keep_events(connection, [(row.id, row.tenant_id, event_type) for row, event_type in pairs], now)


def keep_events(connection: Connection, events: Sequence[tuple[int, UUID, str]], now: datetime) -> None:
    """Write steps in memories' lives: memory, tenant, type."""
    ids, tenants, types = (list(column) for column in zip(*events, strict=True))
    connection.execute(_EVENTS, {"ids": ids, "tenants": tenants, "types": types, "source": SOURCE, "now": now})
