"""What a message tells of its run, as one row of a statement that writes many: JSON that the server unfolds."""

from __future__ import annotations

from datetime import UTC, datetime
from typing import TYPE_CHECKING, Any

if TYPE_CHECKING:
    from callboard.ledger.facts import RunFacts

#: Columns of `told` for `json_to_recordset`.
TOLD = """id uuid, created_at timestamptz, job text, queue text, trigger text, scope text, correlation_id text,
    parent_id uuid, args jsonb, scheduled_for timestamptz, missed integer, eligible_at timestamptz, notify text[],
    project_id text"""
#: The columns of board.runs they go to, and with what.
INTO = """id, created_at, job, queue, trigger, scope, correlation_id, parent_id, args, scheduled_for, missed,
    eligible_at, notify, project_id"""
VALUES = """id, created_at, job, queue, trigger, coalesce(scope, ''), correlation_id, parent_id,
    coalesce(args, '{}'), scheduled_for, coalesce(missed, 0), eligible_at, notify, project_id"""


def told(facts: RunFacts) -> dict[str, Any]:
    """The row; what most runs do not have is left out, which costs nothing."""
    row: dict[str, Any] = {
        "id": facts.id,
        "created_at": facts.created_at,
        "job": facts.job,
        "queue": facts.queue,
        "trigger": facts.trigger,
        "correlation_id": facts.correlation_id,
        "eligible_at": facts.eligible_at or facts.created_at,
    }
    if facts.args:
        row["args"] = facts.args
    if facts.parent_id is not None:
        row["parent_id"] = facts.parent_id
    if facts.scope:
        row["scope"] = facts.scope
    if facts.scheduled_for is not None:
        row["scheduled_for"] = facts.scheduled_for
    if facts.missed:
        row["missed"] = facts.missed
    if facts.notify:
        row["notify"] = facts.notify
    if facts.project_id is not None:
        row["project_id"] = facts.project_id
    return row


def event(name: str, detail: str) -> dict[str, str]:
    """One entry of a run's history."""
    return {"at": datetime.now(UTC).isoformat(), "event": name, "detail": detail}
