"""What is counted of the attempts that end here: once they are in the ledger, a batch at a time.

Counting costs a few microseconds a batch and series, not a job and series: a committer adds a batch up first. What was
counted is in the ledger; what a process wrote and could not count any more, killed between the two, the ledger knows.
"""

from __future__ import annotations

import time
from functools import lru_cache
from typing import TYPE_CHECKING, Any

import structlog

from callboard.envelope import KEY
from callboard.outcome import Cancelled, Completed, Failed, Interrupted, PutOff, Retry
from callboard.settings import get_settings
from observability import tracing
from observability.catalogue import ENQUEUE_SOURCES, OTHER, OUTCOMES, RECORD_KINDS, RESULTS, WAIT_BUCKETS
from observability.meters import Batch, Meters, Tally, of_this_process
from observability.snapshot import RUN_BUCKETS

if TYPE_CHECKING:
    from collections.abc import Callable, Iterable, Mapping, Sequence

    from dramatiq import Message
    from dramatiq.broker import MessageProxy

    from callboard.ledger.facts import Ending, Refused, RunFacts
    from callboard.middleware._execution import Execution
    from callboard.outcome import Outcome
    from callboard.settings import Settings
    from callboard.spec import JobSpec
    from observability.intent import Attempt

logger: structlog.stdlib.BoundLogger = structlog.get_logger(__name__)

_OUTCOMES: Mapping[type[Outcome], str] = {
    Completed: "success",
    Retry: "retry",
    Failed: "failed",
    Cancelled: "cancelled",
    Interrupted: "shutdown",
    PutOff: "postponed",
}
#: The run goes on.
_ONGOING = ("retry", "shutdown", "postponed")
_CHAIN, _API = "chain", "api"


class _Group:
    """Attempts of one job that ended alike."""

    __slots__ = ("count", "cpu", "runs")

    def __init__(self) -> None:
        self.count = 0
        self.cpu = 0.0
        self.runs = Tally(RUN_BUCKETS)


class _Attempts:
    """Adds attempts up to a batch; `offset` makes Unix time of monotonic time."""

    def __init__(self, meters: Meters) -> None:
        self.batch = Batch()
        self._meters = meters
        self._offset = time.time() - time.monotonic()
        self._groups: dict[tuple[str, str, str], _Group] = {}
        self._waits: dict[str, Tally] = {}
        self._wholes: dict[str, Tally] = {}

    def add(self, message: MessageProxy, execution: Execution, ending: Ending) -> None:
        """Count one that has ended."""
        facts, name = execution.facts, _name(ending.outcome)
        group = self._groups.get((facts.queue, facts.job, name))
        if group is None:
            group = self._groups[facts.queue, facts.job, name] = _Group()
        group.count += 1
        group.cpu += ending.cpu
        group.runs.add(ending.seconds, ending.trace)
        sent = message._message  # noqa: SLF001 - the proxied message
        since = sent.options[KEY].get("eligible_at")
        if since is not None:
            _tally(self._waits, facts.queue).add(execution.began + self._offset - since, ending.trace)
        if name not in _ONGOING:
            whole = ending.ended + self._offset - sent.message_timestamp / 1000
            _tally(self._wholes, facts.queue).add(whole, ending.trace)
            if execution.spec.slo is not None:
                self._objective(execution.spec, good=name == "success", seconds=whole)
        if name != "success" or ending.report.counts or facts.crashes:
            self._rare(facts, ending, self._meters.actor(facts.job), name)

    def close(self) -> Batch:
        """All of them, as what is to be counted."""
        batch = self.batch
        for (queue, job, name), group in self._groups.items():
            actor = self._meters.actor(job)
            batch.inc("attempts_total", (queue, actor, name), group.count)
            if name not in _ONGOING:
                batch.inc("finished_total", (queue, actor, name), group.count)
            batch.inc("run_cpu_seconds_total", (actor,), group.cpu)
            batch.merge("run_duration_seconds", (queue, actor), group.runs)
        for name, tallies in (("queue_wait_seconds", self._waits), ("end_to_end_seconds", self._wholes)):
            for queue, tally in tallies.items():
                batch.merge(name, (queue,), tally)
        return batch

    def _objective(self, spec: JobSpec, *, good: bool, seconds: float) -> None:
        within = None if spec.slo is None else spec.slo.within
        result = "good" if good and (within is None or seconds <= within) else "bad"
        self.batch.inc("slo_events_total", (spec.slo_name, result))

    def _rare(self, facts: RunFacts, ending: Ending, actor: str, name: str) -> None:
        """What most attempts have none of: an error, counts, a crash before."""
        batch = self.batch
        if isinstance(ending.outcome, Retry | Failed):
            batch.inc("errors_total", (actor, self._meters.error_type(ending.outcome.failure.error_type)))
        if name == "retry":
            batch.inc("enqueued_total", (facts.queue, actor, "retry"))
        if facts.crashes:
            batch.inc("redeliveries_total", (facts.queue, actor))
        for kind, number in ending.report.counts.items() if name not in _ONGOING else ():
            if number > 0:
                batch.inc("records_processed_total", (actor, kind if kind in RECORD_KINDS else OTHER), number)


def _tally(tallies: dict[str, Tally], queue: str) -> Tally:
    tally = tallies.get(queue)
    if tally is None:
        tally = tallies[queue] = Tally(WAIT_BUCKETS)
    return tally


def _name(outcome: Outcome) -> str:
    if type(outcome) is Failed and outcome.reason == "expired":
        return "expired"
    return _OUTCOMES[type(outcome)]


class Metering:
    """Counts for one process.

    Args:
        meters: Where.
    """

    def __init__(self, meters: Meters) -> None:
        self._meters = meters
        self._lost: dict[tuple[str, str], int] = {}

    @classmethod
    def of(cls, settings: Settings) -> Metering | None:
        """The one of this process; None if nothing is to be counted."""
        return cls(of_this_process(settings.metrics_most_actors)) if settings.metrics else None

    def declare(self, specs: Iterable[JobSpec]) -> None:
        """Make the series of every declared job appear, so that a first failure is a rise from 0."""
        inc, actor = self._meters.inc, self._meters.actor
        for signal, reason in (("label", "actor_budget"), *tracing.LOSS_KINDS):
            inc("telemetry_dropped_total", (signal, reason), 0)
        for operation in ("fetch", "settle"):
            inc("broker_errors_total", (operation,), 0)
        for channel, result in (("mail", "sent"), ("mail", "failed")):
            inc("notifications_total", (channel, result), 0)
        for spec in specs:
            name = actor(spec.name)
            for outcome in OUTCOMES:
                inc("attempts_total", (spec.queue, name, outcome), 0)
            for result in RESULTS:
                inc("finished_total", (spec.queue, name, result), 0)
            for source in ENQUEUE_SOURCES:
                inc("enqueued_total", (spec.queue, name, source), 0)
            inc("redeliveries_total", (spec.queue, name), 0)
            inc("errors_total", (name, "PoisonMessage"), 0)
            for result in ("good", "bad") if spec.slo_name else ():
                inc("slo_events_total", (spec.slo_name, result), 0)

    # Attempts

    def batch(self, messages: Iterable[MessageProxy]) -> Batch:
        """What the attempts that have ended among a batch of messages come to."""
        attempts = _Attempts(self._meters)
        for message in messages:
            execution: Execution | None = vars(message).get("execution")
            if execution is not None and execution.ending is not None:
                attempts.add(message, execution, execution.ending)
        return attempts.close()

    def intend(self, batch: Batch, ending: Ending) -> None:
        """Say what will be counted once the batch is in the ledger; `ending` is one of it. See `count`."""
        facts = ending.facts
        started = ending.started
        self._meters.intend(batch, (facts.id, facts.created_at, started.token, started.attempt))

    def count(self, batch: Batch) -> None:
        """Count what is in the ledger now."""
        self._meters.add(batch)

    def done(self) -> None:
        """The intention is fulfilled, or void."""
        self._meters.done()

    def answer(self, was_committed: Callable[[Attempt], bool]) -> None:
        """Tell the supervisor what of the batches of dead processes is in the ledger."""
        self._meters.answer(was_committed)

    def turned_away(self, facts: RunFacts, answer: Refused) -> None:
        """Count a message that was not allowed to start and is over: skipped for an overlap, cancelled, or poison."""
        result = _RESULTS.get((answer.reason, answer.detail)) or _RESULTS.get((answer.reason, ""))
        if result is None:
            return
        actor = self._meters.actor(facts.job)
        if result == "failed":
            self._meters.inc("redeliveries_total", (facts.queue, actor))
            self._meters.inc("errors_total", (actor, "PoisonMessage"))
        self._meters.inc("attempts_total", (facts.queue, actor, result))
        self._meters.inc("finished_total", (facts.queue, actor, result))

    # The rest

    def enqueued(self, messages: Sequence[Message[Any]]) -> None:
        """Count messages that the broker took."""
        counts: dict[tuple[str, str, str], int] = {}
        for message in messages:
            key = message.queue_name, message.actor_name, _source(message)
            counts[key] = counts.get(key, 0) + 1
        for (queue, job, source), count in counts.items():
            self._meters.inc("enqueued_total", (queue, self._meters.actor(job), source), count)

    def prefetched(self, messages: int) -> None:
        """Say how many messages lie here that no thread has begun."""
        self._meters.set("worker_prefetched_messages", messages)

    def progressed(self, job: str, at: float) -> None:
        """Say that a run of the job got on at a moment, in Unix seconds."""
        self._meters.set("last_progress_timestamp_seconds", at, (self._meters.actor(job),))

    def gave_up(self, job: str, queue: str, error_type: str) -> None:
        """Count a run that somebody else than its worker has failed."""
        actor = self._meters.actor(job)
        self._meters.inc("attempts_total", (queue, actor, "failed"))
        self._meters.inc("finished_total", (queue, actor, "failed"))
        self._meters.inc("errors_total", (actor, self._meters.error_type(error_type)))

    def notified(self, channel: str, result: str) -> None:
        """Count an attempt to send a notification."""
        self._meters.inc("notifications_total", (channel, result))

    def opened(self, kind: str, times: int) -> None:
        """Count how often a breaker opened; 0 makes the series appear, so that the first time is a rise."""
        self._meters.inc("breaker_openings_total", (kind,), times)

    # The scheduler

    def leads(self, *, leads: bool) -> None:
        """Say whether this scheduler leads."""
        self._meters.set("scheduler_leader", leads)

    def ticked(self, at: float) -> None:
        """Say that the cadences were looked at, in Unix seconds."""
        self._meters.set("scheduler_last_tick_timestamp_seconds", at)

    def fired(self, lag: float) -> None:
        """Count a tick that was sent so many seconds after it was due."""
        batch, tally = Batch(), Tally(WAIT_BUCKETS)
        tally.add(lag)
        batch.merge("scheduler_tick_lag_seconds", (), tally)
        self._meters.add(batch)

    def lost(self, losses: Mapping[tuple[str, str], int]) -> None:
        """Count what telemetry has given up, by signal and reason, of which the totals so far are given."""
        for labels, total in losses.items():
            self._meters.inc("telemetry_dropped_total", labels, total - self._lost.get(labels, 0))
            self._lost[labels] = total

    def broker_failed(self, operation: str) -> None:
        """Count a call to the broker that failed."""
        self._meters.inc("broker_errors_total", (operation,))


@lru_cache(maxsize=1)
def _of_this_process() -> Metering | None:
    return Metering.of(get_settings())


def count_enqueued(messages: Sequence[Message[Any]]) -> None:
    """Count messages that the broker took, in whatever process sent them; it never raises."""
    try:
        metering = _of_this_process()
        if metering is not None:
            metering.enqueued(messages)
    except Exception as error:  # what is not counted is sent all the same
        logger.exception("metrics.not_counted", error=str(error).partition("\n")[0], messages=len(messages))


def count_notified(channel: str, result: str) -> None:
    """Count an attempt to send a notification, by whichever process; it never raises."""
    try:
        metering = _of_this_process()
        if metering is not None:
            metering.notified(channel, result)
    except Exception as error:  # what is not counted went out all the same
        logger.exception("metrics.not_counted", error=str(error).partition("\n")[0], channel=channel)


def count_opened(kind: str, times: int = 1) -> None:
    """Count how often a breaker of a kind opened; it never raises."""
    try:
        metering = _of_this_process()
        if metering is not None:
            metering.opened(kind, times)
    except Exception as error:  # what is not counted is open all the same
        logger.exception("metrics.not_counted", error=str(error).partition("\n")[0], breaker=kind)


_RESULTS = {("overlap", ""): "skipped", ("ended", "cancelled"): "cancelled", ("poison", ""): "failed"}


def _source(message: Message[Any]) -> str:
    trigger = str((message.options.get(KEY) or {}).get("trigger", "")).partition(":")[0]
    if trigger == "job":
        return _CHAIN
    return trigger if trigger in ENQUEUE_SOURCES else _API
