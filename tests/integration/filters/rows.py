"""Rows of every resource, made by dice."""

from __future__ import annotations

from datetime import UTC, datetime, timedelta
from typing import TYPE_CHECKING, Any
from uuid import UUID

from sqlalchemy import insert

from callboard.filters import FIELDS
from callboard.ledger import tables
from callboard.ledger.account_tables import audit

if TYPE_CHECKING:
    import random
    from collections.abc import Callable

    from sqlalchemy import Connection


NOW = datetime.now(UTC).replace(microsecond=0)
TABLES = {name: audit if name == "audit" else getattr(tables, name) for name in FIELDS}
JOBS = ["sync_mail", "sync_prices", "Sync%all", "build_index", "a_b", "axb", "ärger"]
QUEUES = ["mail", "default", "low priority", ""]
KINDS = ["authentication", "transient", "runtime", "poison"]
TYPES = ["TimeoutError", "ValueError", "OSError"]
ERRORS = ["timed out after 30 s", "no such row: 12", "100% full", 'say "no"', "back\\slash", "Übel war's", "a_c"]
TRIGGERS = ["send", "schedule", "cli:anna", "manual:user:1", "manual:api_key:2", "replay:7", "job:sync_mail"]
PROJECTS = ["p1", "p2", "p3", None]
SCOPES = ["", "p1", "42"]
IDS = [UUID(f"0197c2{n:02x}-0000-7000-8000-{n:012x}") for n in range(60)]
WORKERS = [UUID(f"0197ff{n:02x}-0000-7000-8000-00000000000{n}") for n in range(3)]
LABELS = ["recoverable", "non_recoverable", "manual_review_required"]


def fill(connection: Connection, dice: random.Random, count: int = 60) -> dict[str, list[dict[str, Any]]]:
    """Rows of every resource, in the ledger and as plain mappings."""
    makers: dict[str, Callable[[random.Random, int], dict[str, Any]]] = {
        "runs": _run,
        "failures": _failure,
        "dead_letters": _letter,
        "issues": _issue,
        "audit": _act,
    }
    found: dict[str, list[dict[str, Any]]] = {}
    for name, make in makers.items():
        rows = [make(dice, n) for n in range(count)]
        ids = IDS if name == "runs" else range(1, count + 1)
        connection.execute(insert(TABLES[name]), [row | {"id": own} for own, row in zip(ids, rows, strict=False)])
        found[name] = [dict(row) for row in connection.execute(TABLES[name].select()).mappings()]
    for run in found["runs"]:
        run["issues"] = {row["issue_id"] for row in found["failures"] if row["run_id"] == run["id"]}
    return found


def _ago(dice: random.Random) -> datetime:
    """Some moment, often the same one for several rows."""
    return NOW - timedelta(seconds=dice.choice([0, 59, 3600, 7200, 86_400, 200_000]) + dice.choice([0, 0, 1]))


def _common(dice: random.Random) -> dict[str, Any]:
    return {"job": dice.choice(JOBS), "scope": dice.choice(SCOPES), "project_id": dice.choice(PROJECTS)}


def _failing(dice: random.Random) -> dict[str, Any]:
    return {"error_type": dice.choice(TYPES), "error": dice.choice(ERRORS)}


def _run(dice: random.Random, n: int) -> dict[str, Any]:
    state = dice.choice(tables.STATES)
    created = _ago(dice)
    failed = state == "failed" or (state == "pending" and dice.random() < 0.3)
    error = {"error_kind": dice.choice(KINDS), **_failing(dice)} if failed else {}
    caused = dice.random() < 0.4
    blank = dict.fromkeys(("error_kind", "error_type", "error"))
    return _common(dice) | {
        "created_at": created,
        "queue": dice.choice(QUEUES),
        "state": state,
        "trigger": dice.choice(TRIGGERS),
        "correlation_id": f"job-{dice.choice(IDS[:4]) if caused else IDS[n]}",
        "parent_id": dice.choice(IDS[:4]) if caused else None,
        "attempt": dice.randrange(4),
        "worker_id": dice.choice([*WORKERS, None]),
        "started_at": None if state == "pending" else created + timedelta(seconds=1),
        "finished_at": None if state in ("pending", "running") else created + timedelta(seconds=dice.choice([2, 90])),
        **blank,
        **error,
    }


def _failure(dice: random.Random, _n: int) -> dict[str, Any]:
    return (
        _common(dice)
        | _failing(dice)
        | {
            "run_id": dice.choice(IDS),
            "issue_id": dice.choice([1, 2, 12, None]),
            "queue": dice.choice(QUEUES),
            "attempt": dice.randrange(1, 4),
            "kind": dice.choice(KINDS),
            "retryable": dice.random() < 0.5,
            "label": dice.choice(LABELS),
            "correlation_id": f"job-{dice.choice(IDS[:4])}",
            "occurred_at": _ago(dice),
        }
    )


def _letter(dice: random.Random, _n: int) -> dict[str, Any]:
    state = dice.choice(tables.LETTER_STATES)
    settled = {"settled_by": dice.choice(["cli:anna", "cli:ben"]), "replay_run_id": dice.choice(IDS)}
    return (
        _common(dice)
        | _failing(dice)
        | {
            "run_id": dice.choice(IDS),
            "issue_id": dice.choice([1, 2, 12, None]),
            "queue": dice.choice(QUEUES),
            "payload": b"secret",
            "kind": dice.choice(KINDS),
            "reason": dice.choice(["attempts are used up", "not retryable"]),
            "attempts": dice.randrange(1, 5),
            "correlation_id": f"job-{dice.choice(IDS[:4])}",
            "created_at": _ago(dice),
            "state": state,
            **(dict.fromkeys(settled) if state == "open" else settled),
        }
    )


def _issue(dice: random.Random, n: int) -> dict[str, Any]:
    last = _ago(dice)
    return _common(dice) | {
        "fingerprint": str(n),
        "type": dice.choice(["job_failure", "queue_health"]),
        "severity": dice.choice(tables.SEVERITIES),
        "subject": dice.choice(QUEUES),
        "error_type": dice.choice(TYPES),
        "title": dice.choice(ERRORS),
        "kind": dice.choice(KINDS),
        "status": dice.choice(tables.ISSUE_STATUSES),
        "occurrences": dice.choice([1, 2, 12, 200]),
        "reopened": dice.randrange(3),
        "first_seen_at": last - timedelta(days=dice.randrange(3)),
        "last_seen_at": last,
        "silenced_until": dice.choice([None, NOW - timedelta(hours=1), NOW + timedelta(days=1)]),
    }


def _act(dice: random.Random, _n: int) -> dict[str, Any]:
    return {
        "at": _ago(dice),
        "who": dice.choice(TRIGGERS),
        "action": dice.choice(["run.cancel", "run.trigger", "queue.pause"]),
        "resource_type": dice.choice(["run", "queue"]),
        "resource_id": dice.choice(["mail", "7", "job-1"]),
        "team_id": dice.choice([*WORKERS, None]),
        "why": dice.choice([*ERRORS, ""]),
        "ip": dice.choice(["10.0.0.1", "10.0.0.2", None]),
    }
