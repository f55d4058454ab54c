"""Fixtures for the tests of people who write jobs: no servers, no threads, no waiting.

In a `conftest.py`: `pytest_plugins = ["callboard.testing"]`. Then a test may take

- `callboard_broker`: what jobs send stays in memory until `drain()` runs it, here, through the real middleware;
- `callboard_clock`: a clock that stands until it is told to `advance`;
- `callboard_run`: the current run of a job that is called directly, to ask what it counted, or to cancel it.
"""

from __future__ import annotations

import heapq
import itertools
from dataclasses import dataclass, field
from datetime import UTC, datetime, timedelta
from types import SimpleNamespace
from typing import TYPE_CHECKING, Any

import dramatiq.broker
import pytest
from dramatiq import Broker, set_broker
from dramatiq.broker import MessageProxy
from dramatiq.worker import WorkerThread

from callboard.envelope import facts_of
from callboard.errors import DuplicateRun
from callboard.ledger.facts import Refused, Report, RunFacts, Started
from callboard.middleware import RunRecord, stack
from callboard.outcome import Acknowledge, Failed, Failure, GiveBack, Outcome, Resend, Retry
from callboard.run import Run, enter_run

if TYPE_CHECKING:
    from collections.abc import Iterator
    from uuid import UUID

    from dramatiq import Message, Worker

    from callboard.spec import JobSpec

__all__ = ["Clock", "MemoryBroker", "MemoryRun", "callboard_broker", "callboard_clock", "callboard_run"]


@dataclass
class Clock:
    """A clock that stands: call it for the time in UTC, `advance` it by seconds."""

    now: datetime = datetime(2026, 1, 5, 12, 0, tzinfo=UTC)

    def __call__(self) -> datetime:
        """The time, in UTC."""
        return self.now

    def advance(self, seconds: float) -> datetime:
        """Move on, and return the new time."""
        self.now += timedelta(seconds=seconds)
        return self.now


@dataclass
class MemoryRun:
    """What a `MemoryBroker` knows of one run."""

    facts: RunFacts
    state: str = "pending"
    attempts: int = 0
    outcomes: list[Outcome] = field(default_factory=list)
    report: Report = field(default_factory=Report)

    @property
    def failure(self) -> Failure | None:
        """The failure of the last attempt, if it failed."""
        last = self.outcomes[-1] if self.outcomes else None
        return last.failure if isinstance(last, Retry | Failed) else None


class _MemoryRecorder:
    """The recorder's two calls, on a dictionary."""

    def __init__(self) -> None:
        self.runs: dict[UUID, MemoryRun] = {}

    def insert(self, facts: RunFacts) -> MemoryRun:
        holder = next((run.facts.id for run in self.runs.values() if _holds(run, facts)), None)
        if facts.single and holder is not None:
            raise DuplicateRun(facts.job, holder, facts.scope)
        return self.runs.setdefault(facts.id, MemoryRun(facts))

    def start(self, facts: RunFacts) -> Started | Refused:
        try:
            run = self.insert(facts)
        except DuplicateRun as error:
            self.runs[facts.id] = MemoryRun(facts, state="cancelled")
            return Refused("overlap", detail=str(error.existing))
        run.attempts, run.state = run.attempts + 1, "running"
        return Started(attempt=run.attempts, token=run.attempts)

    def finish(self, facts: RunFacts, _started: Started, outcome: Outcome, report: Report, *, delivery: str) -> bool:
        del delivery
        run = self.runs[facts.id]
        run.outcomes.append(outcome)
        run.report, run.state = report, _STATES.get(type(outcome).__name__, "pending")
        return True


_STATES = {"Completed": "completed", "Failed": "failed", "Cancelled": "cancelled"}


def _holds(run: MemoryRun, facts: RunFacts) -> bool:
    same = (run.facts.job, run.facts.scope) == (facts.job, facts.scope)
    return same and run.facts.id != facts.id and run.state in ("pending", "running")


class _MemoryRecord(RunRecord):
    """The run-record middleware, writing to memory."""

    def __init__(self) -> None:
        super().__init__()
        self.recorder = _MemoryRecorder()
        self._recorder = self.recorder  # type: ignore[assignment]  # the same two calls

    def before_worker_boot(self, broker: Broker, worker: Worker) -> None:
        """There is no ledger to register with."""

    def _insert(self, message: Message[Any], spec: JobSpec) -> None:
        self.recorder.insert(facts_of(message, spec))


class MemoryBroker(Broker):
    """Keeps what is sent until `drain` runs it, in the caller's thread, through the real middleware."""

    def __init__(self) -> None:
        self._record = _MemoryRecord()
        super().__init__(
            middleware=[m for m in stack(self._record) if type(m).__name__ not in ("TimeLimit", "AsyncIO")]
        )
        self.sent: list[Message[Any]] = []
        self._waiting: list[tuple[float, int, Message[Any]]] = []
        self._order = itertools.count()

    @property
    def runs(self) -> list[MemoryRun]:
        """Every run so far, in the order they were first seen."""
        return list(self._record.recorder.runs.values())

    def declare_queue(self, queue_name: str) -> None:
        """Queues need no making."""
        self.queues[queue_name] = None

    def enqueue(self, message: Message[Any], *, delay: int | None = None) -> Message[Any]:
        """Keep a message; `delay` (milliseconds) orders it behind what is due before."""
        self.emit_before("enqueue", message, delay)
        self.sent.append(message)
        heapq.heappush(self._waiting, (delay or 0, next(self._order), message))
        self.emit_after("enqueue", message, delay)
        return message

    def drain(self, *, most: int = 1000) -> list[MemoryRun]:
        """Run all that waits, retries and what the jobs send included, without waiting for delays.

        Args:
            most: Attempts after which this raises instead of going on for ever.

        Raises:
            RuntimeError: More than `most` attempts were made.
        """
        for _ in range(most):
            if not self._waiting:
                return self.runs
            self._attempt(heapq.heappop(self._waiting)[2])
        raise RuntimeError(f"{most} attempts were made and messages are left: does a job send itself for ever?")

    def _attempt(self, message: Message[Any]) -> None:
        consumers = {message.queue_name: SimpleNamespace(post_process_message=self._settle)}
        queue = SimpleNamespace(task_done=lambda: None)
        thread = WorkerThread(broker=self, consumers=consumers, work_queue=queue, worker_timeout=0)  # type: ignore[arg-type]  # the two calls it makes
        thread.process_message(MessageProxy(message.copy()))

    def _settle(self, message: MessageProxy) -> None:
        settlement = getattr(message, "settlement", Acknowledge())
        if isinstance(settlement, Resend):
            self.enqueue(message._message, delay=int(settlement.delay * 1000))  # noqa: SLF001 - the proxied message
        elif isinstance(settlement, GiveBack):
            heapq.heappush(self._waiting, (0, next(self._order), message._message))  # noqa: SLF001 - the same


@pytest.fixture
def callboard_broker() -> Iterator[MemoryBroker]:
    """A broker in memory that all jobs declared so far, and during the test, belong to."""
    before: Any = dramatiq.broker.global_broker
    broker = MemoryBroker()
    actors = dict(before.actors) if before is not None else {}
    set_broker(broker)
    for actor in actors.values():
        actor.broker = broker
        broker.declare_actor(actor)
    yield broker
    for actor in actors.values():
        actor.broker = before
    dramatiq.broker.global_broker = before


@pytest.fixture
def callboard_clock() -> Clock:
    """A clock that stands at Monday 2026-01-05 12:00 UTC."""
    return Clock()


@pytest.fixture
def callboard_run() -> Iterator[Run]:
    """The current run while the test lasts."""
    run = Run(job="test")
    enter_run(run)
    yield run
    enter_run(None)
