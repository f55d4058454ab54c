"""Bulk replays that were started from a page: each in a thread of this process, watched and stopped from its page.

What is replayed is in the ledger and exactly once, whatever becomes of the thread; a stopped one is begun anew and
goes on with what is left.
"""

from __future__ import annotations

import secrets
import threading
from collections import Counter
from dataclasses import dataclass, field
from datetime import UTC, datetime
from typing import TYPE_CHECKING, Literal

import structlog

from callboard.operations import letters
from observability.redaction import redact_text

if TYPE_CHECKING:
    from uuid import UUID

    from callboard.filters import Filter
    from callboard.operations import Who

_log = structlog.get_logger(__name__)
_KEPT = 20
_STOP_SECONDS = 10.0


@dataclass(frozen=True, slots=True, kw_only=True)
class Order:
    """What was asked for; the options are those of `letters.replay_many`."""

    chosen: Filter
    who: Who
    why: str = ""
    rate: float | None = None
    canary: bool = False
    stop_on_same: bool = True
    limit: int | None = None


@dataclass(slots=True)
class Replaying:
    """One bulk replay: how far it is, and how it ended."""

    key: str
    order: Order
    total: int
    started_at: datetime
    state: Literal["running", "stopping", "done", "stopped", "failed"] = "running"
    counts: Counter[str] = field(default_factory=Counter)
    detail: str = ""
    refusals: list[str] = field(default_factory=list)
    first_run: UUID | None = None
    finished_at: datetime | None = None
    asked_to_stop: threading.Event = field(default_factory=threading.Event)

    @property
    def dealt_with(self) -> int:
        """Letters that were replayed or refused."""
        return self.counts["replayed"] + self.counts["refused"]

    @property
    def over(self) -> bool:
        """Whether nothing more is going to happen."""
        return self.finished_at is not None

    def run(self) -> None:
        """Replay, to the end or to the stop."""
        try:
            self._follow()
            self.state = "done" if self.state == "running" else self.state
        except Exception as error:  # noqa: BLE001 - logged, and told on its page
            _log.exception("console.bulk_replay_failed", filter=self.order.chosen.text)
            self.state, self.detail = "failed", redact_text(str(error))
        finally:
            self.finished_at = datetime.now(UTC)

    def _follow(self) -> None:
        order = self.order
        events = letters.replay_many(
            order.chosen,
            who=order.who,
            why=order.why,
            rate=order.rate,
            canary=order.canary,
            stop_on_same=order.stop_on_same,
            limit=order.limit,
            stop=self.asked_to_stop.is_set,
        )
        for event in events:
            self._note(event)

    def _note(self, event: letters.ReplayEvent) -> None:
        self.counts[event.result] += 1
        self.first_run = self.first_run or event.run_id
        if event.result == "refused" and len(self.refusals) < _KEPT:
            self.refusals.append(event.detail)
        if event.result in ("stopped", "canary_failed", "same_failure"):
            self.state, self.detail = "stopped", event.detail


class BulkReplays:
    """Those of this process, the last ones that ended too."""

    def __init__(self) -> None:
        self._all: dict[str, Replaying] = {}
        self._threads: dict[str, threading.Thread] = {}

    def start(self, order: Order, *, total: int) -> Replaying:
        """Begin; `total` is how many letters the plan has counted."""
        self._forget()
        one = Replaying(secrets.token_hex(4), order, total, datetime.now(UTC))
        thread = threading.Thread(target=one.run, name=f"bulk-replay-{one.key}", daemon=True)
        self._all[one.key], self._threads[one.key] = one, thread
        thread.start()
        return one

    def get(self, key: str) -> Replaying | None:
        """The one of that key; None if there is none, or it is forgotten."""
        return self._all.get(key)

    def latest(self) -> list[Replaying]:
        """Newest first."""
        return sorted(self._all.values(), key=lambda one: one.started_at, reverse=True)

    def stop(self, key: str) -> None:
        """Ask one to end after the batch under way."""
        one = self._all.get(key)
        if one is not None and not one.over:
            one.asked_to_stop.set()
            one.state = "stopping"

    def close(self) -> None:
        """Stop all, and wait for the batches under way."""
        for key in self._all:
            self.stop(key)
        for thread in self._threads.values():
            thread.join(_STOP_SECONDS)

    def _forget(self) -> None:
        for one in [one for one in self.latest() if one.over][_KEPT:]:
            del self._all[one.key], self._threads[one.key]
