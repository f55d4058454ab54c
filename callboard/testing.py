"""Fixtures for the tests of people who write jobs: no servers, no threads, no waiting.

In a `conftest.py`: `pytest_plugins = ["callboard.testing"]`. Then a test may take

- `callboard_broker`: what jobs send stays in memory until `drain()` runs it, here, through the real middleware;
- `callboard_clock`: a clock that stands until it is told to `advance`;
- `callboard_run`: the current run of a job that is called directly, to ask what it counted, or to cancel it.
"""

from __future__ import annotations

import math
from dataclasses import dataclass, field
from datetime import UTC, datetime, timedelta
from types import SimpleNamespace
from typing import TYPE_CHECKING, Any
from uuid import UUID

import dramatiq.broker
import pytest
from dramatiq import Broker, Middleware, set_broker
from dramatiq.worker import WorkerThread

from callboard._memory_outbox import MemoryOutbox
from callboard.broker import memory
from callboard.broker.consumer import Proxy
from callboard.broker.delivery import Lane
from callboard.broker.memory import MemoryStore
from callboard.envelope import facts_of
from callboard.errors import DuplicateRun
from callboard.ledger.facts import Refused, Report, RunFacts, Started
from callboard.middleware import RunRecord, stack
from callboard.middleware._execution import execution_of
from callboard.outcome import Acknowledge, Failed, Failure, GiveBack, Outcome, Resend, Retry
from callboard.run import Run, enter_run
from callboard.spec import spec_of

if TYPE_CHECKING:
    from collections.abc import Iterator, Sequence

    from dramatiq import Message, Worker
    from dramatiq.broker import MessageProxy
    from sqlalchemy import Connection

    from callboard.broker.delivery import Delivery
    from callboard.ledger.facts import Ending
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
    """What a worker asks of the recorder, on a dictionary."""

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

    def begun(self, facts: RunFacts, started: Started) -> None:
        """An attempt runs now; of a light one nobody told us before."""
        run = self.runs.setdefault(facts.id, MemoryRun(facts))
        run.attempts, run.state = max(run.attempts, started.attempt), "running"

    def tokens(self) -> int:
        return 1

    def finish_many(self, endings: Sequence[Ending]) -> list[bool]:
        for ending in endings:
            run = self.runs[ending.facts.id]
            run.outcomes.append(ending.outcome)
            run.report, run.state = ending.report, _STATES.get(type(ending.outcome).__name__, "pending")
        return [True for _ in endings]


_STATES = {"Completed": "completed", "Failed": "failed", "Cancelled": "cancelled"}


def _holds(run: MemoryRun, facts: RunFacts) -> bool:
    same = (run.facts.job, run.facts.scope) == (facts.job, facts.scope)
    return same and run.facts.id != facts.id and run.state in ("pending", "running")


class _MemoryRecord(RunRecord):
    """The run-record middleware, writing to memory."""

    def __init__(self) -> None:
        super().__init__()
        self.memory = _MemoryRecorder()

    @property
    def recorder(self) -> _MemoryRecorder:  # type: ignore[override]  # the calls that are made while nobody crashes
        return self.memory

    def before_worker_boot(self, broker: Broker, worker: Worker) -> None:
        """There is no ledger to register with."""

    def before_process_message(self, broker: Broker, message: MessageProxy) -> None:
        """Know the run from its first attempt on."""
        super().before_process_message(broker, message)
        execution = execution_of(message)
        if execution is not None:
            self.memory.begun(execution.facts, execution.started)

    def _insert(self, message: Message[Any], spec: JobSpec) -> None:
        self.memory.insert(facts_of(message, spec))


class _Sent(Middleware):
    """Keeps what was sent, as it was sent."""

    def __init__(self) -> None:
        self.messages: list[Message[Any]] = []

    def after_enqueue(self, broker: Broker, message: Message[Any], delay: int) -> None:  # noqa: ARG002 - hook
        self.messages.append(message)


class MemoryBroker(memory.MemoryBroker):
    """The broker in memory, and `drain`: what waits is run in the caller's thread, through the real middleware.

    Its clock stands, and `drain` moves it to when the next message is due.
    """

    def __init__(self) -> None:
        self._now = 0.0
        self._record = _MemoryRecord()
        self._sent = _Sent()
        real = [m for m in stack(self._record) if type(m).__name__ not in ("TimeLimit", "AsyncIO")]
        super().__init__(store=MemoryStore(clock=lambda: self._now), middleware=[*real, self._sent])
        self._outbox = MemoryOutbox(send=self.enqueue_many, forget=self._forget)

    @property
    def sent(self) -> list[Message[Any]]:
        """Every message so far, retries too, in the order they were sent."""
        return self._sent.messages

    @property
    def runs(self) -> list[MemoryRun]:
        """Every run so far, in the order they were first seen."""
        return list(self._record.memory.runs.values())

    def drain(self, *, most: int = 1000) -> list[MemoryRun]:
        """Run all that waits, retries and what the jobs send included, without waiting for delays.

        Args:
            most: Attempts after which this raises instead of going on for ever.

        Raises:
            RuntimeError: More than `most` attempts would be made.
            ValueError: A message cannot be read; says why.
        """
        attempts = 0
        while (delivery := self._next()) is not None:
            if attempts == most:
                self.settle([(delivery, GiveBack())])
                raise RuntimeError(f"{most} attempts were made and messages are left: does a job send itself for ever?")
            self._attempt(delivery)
            attempts += 1
        return self.runs

    def keep_until_commit(self, connection: Connection, messages: Sequence[Message[Any]]) -> list[RunFacts]:
        """What `callboard.outbox` does here: the runs are pending now, their messages leave with the commit.

        Raises:
            DuplicateRun: As `outbox.send`.
        """
        written: list[RunFacts] = []
        try:
            for message in messages:
                facts = facts_of(message, spec_of(self.get_actor(message.actor_name)))
                self._record.memory.insert(facts)
                written.append(facts)
        except DuplicateRun:
            self._forget(messages[: len(written)])
            raise
        self._outbox.keep(connection, messages)
        return written

    def _forget(self, messages: Sequence[Message[Any]]) -> None:
        for message in messages:
            self._record.memory.runs.pop(UUID(message.message_id), None)

    def _next(self) -> Delivery | None:
        due = self.store.promote()
        while (queue := self.store.head(self.queues - self.paused())) is None and due < math.inf:
            self._now += due
            due = self.store.promote()
        found = [] if queue is None else self.fetch([Lane((queue,), 1)], 0)
        return found[0] if found else None

    def _attempt(self, delivery: Delivery) -> None:
        if delivery.message is None:
            self.settle([(delivery, Acknowledge())])
            raise ValueError(f"a message in queue {delivery.queue!r} cannot be read: {delivery.defect}")
        consumers = {delivery.queue: SimpleNamespace(post_process_message=self._settle)}
        queue = SimpleNamespace(task_done=lambda: None)
        thread = WorkerThread(broker=self, consumers=consumers, work_queue=queue, worker_timeout=0)  # type: ignore[arg-type]  # the two calls it makes
        thread.process_message(Proxy(delivery, delivery.message))

    def _settle(self, message: Proxy) -> None:
        settlement = message.settlement or Acknowledge()
        self.settle([(message.delivery, settlement)])
        if isinstance(settlement, Resend):
            self.sent.append(message._message)  # noqa: SLF001 - the proxied message


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
