"""Bulk replays as people see them."""

from __future__ import annotations

from dataclasses import dataclass
from typing import TYPE_CHECKING, Literal

from callboard.ledger import bulk_replays
from callboard.ledger.database import transaction

if TYPE_CHECKING:
    from collections.abc import Mapping, Sequence
    from datetime import datetime
    from typing import Any
    from uuid import UUID

    from sqlalchemy import Connection

State = Literal["pending", "running", "stopping", "done", "stopped", "failed"]


@dataclass(frozen=True, slots=True, kw_only=True)
class ReplayView:
    """One bulk replay: what was asked for, how far it is, and how it ended.

    Attributes:
        id: Its own number.
        run_id: The run that does it.
        limit: Letters at most; None: all that fit.
        total: Letters that fitted when it was asked for, `limit` at most.
        replayed: Letters that run again.
        refused: Letters that stayed open, because they could not be replayed.
        left: Letters left as they were, where it ended early.
        refusals: Why, of the first ones that were refused.
        first_run_id: Of the first letter; the canary, where one was asked for.
        canary_ok: Whether that run completed, where it was awaited.
        state: `stopped` by somebody, or by what was seen; `failed`: its run did, and its dead letter goes on with it.
        result: How it ended, where it did so by itself.
        detail: Why it ended early, or does not go on.
    """

    id: int
    run_id: UUID
    filter: str
    who: str
    why: str
    rate: float | None
    canary: bool
    stop_on_same: bool
    limit: int | None
    total: int
    replayed: int
    refused: int
    left: int | None
    refusals: Sequence[str]
    first_run_id: UUID | None
    canary_ok: bool
    state: State
    result: Literal["done", "stopped", "canary_failed", "same_failure"] | None
    detail: str
    created_at: datetime
    ended_at: datetime | None

    @property
    def dealt_with(self) -> int:
        """Letters that were replayed or refused."""
        return self.replayed + self.refused

    @property
    def over(self) -> bool:
        """Whether nothing more is going to happen."""
        return self.state in ("done", "stopped", "failed")


def get(replay_id: int) -> ReplayView:
    """One.

    Raises:
        NotFound: There is none of that id.
    """
    with transaction() as connection:
        return tell(bulk_replays.get(connection, replay_id))


def under_way(connection: Connection, *, limit: int = 20) -> list[ReplayView]:
    """Those that are not over, the newest first."""
    return [tell(row) for row in bulk_replays.listing(connection, limit=limit, under_way=True)]


def latest(connection: Connection, *, limit: int) -> list[ReplayView]:
    """The newest first."""
    return [tell(row) for row in bulk_replays.listing(connection, limit=limit)]


def tell(row: Mapping[Any, Any]) -> ReplayView:
    """A row of `callboard.ledger.bulk_replays`."""
    names = ("id", "run_id", "filter", "who", "why", "rate", "canary", "stop_on_same", "total", "replayed", "refusals")
    return ReplayView(
        **{name: row[name] for name in (*names, "canary_ok", "result", "created_at")},
        limit=row["most"],
        refused=len(row["refused"]),
        left=row["letters_left"],
        first_run_id=row["first_run"],
        state=_state(row),
        detail=row["detail"] or row["run_error"] or "",
        ended_at=row["ended_at"] or row["run_finished_at"],
    )


def _state(row: Mapping[Any, Any]) -> State:
    if row["result"] is not None:
        return "done" if row["result"] == "done" else "stopped"
    match row["run_state"]:
        case "pending":
            return "pending"
        case "running":
            return "running" if row["run_cancel_requested_at"] is None else "stopping"
        case "cancelled":
            return "stopped"
    return "failed"
