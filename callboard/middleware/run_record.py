"""Run record: an attempt is in the ledger before it runs, and its end is there before its message is forgotten."""

from __future__ import annotations

import socket
import threading
from typing import TYPE_CHECKING, Any, TypeVar
from uuid import uuid4

import structlog
from dramatiq import Middleware
from dramatiq.middleware import SkipMessage
from sqlalchemy.exc import DBAPIError, InterfaceError, OperationalError, SQLAlchemyError
from sqlalchemy.exc import TimeoutError as PoolTimeoutError

from callboard import dispatch
from callboard.envelope import KEY, delivery_id, facts_of
from callboard.errors import LedgerUnavailable
from callboard.failures import Kind
from callboard.heart import Heart
from callboard.journal import finished, started
from callboard.ledger.database import get_engine, transaction
from callboard.ledger.facts import Refused, Report
from callboard.ledger.recorder import Recorder
from callboard.middleware._execution import Execution, execution_of
from callboard.outcome import (
    Acknowledge,
    Cancelled,
    Completed,
    Failed,
    Failure,
    GiveBack,
    Interrupted,
    Outcome,
    Resend,
    Retry,
    Settlement,
)
from callboard.run import Run, enter_run
from callboard.settings import get_settings
from callboard.spec import spec_of

if TYPE_CHECKING:
    from collections.abc import Callable

    from dramatiq import Broker, Message, Worker
    from dramatiq.broker import MessageProxy

    from callboard.ledger.facts import RunFacts, Started
    from callboard.spec import JobSpec

T = TypeVar("T")
logger: structlog.stdlib.BoundLogger = structlog.get_logger(__name__)

_AWAY = (OperationalError, InterfaceError, PoolTimeoutError)
_FIRST_WAIT, _LONGEST_WAIT = 0.2, 5.0
_AGAIN_SECONDS = 2.0


class PoisonMessage(Exception):  # noqa: N818 - the operators' word for it
    """The message was started several times and never finished: it kills its workers."""


class MessageExpired(Exception):  # noqa: N818 - what happened to it
    """A middleware refused the message for good, e.g. for its age."""


class RunRecord(Middleware):
    """Writes attempts to the ledger; see `callboard.ledger.recorder` for what is promised."""

    def __init__(self) -> None:
        self._recorder: Recorder | None = None
        self._heart: Heart | None = None
        self._stopping = threading.Event()

    @property
    def actor_options(self) -> set[str]:
        """`periodic` is periodiq's: a cadence, or periodiq's own cron spec on a plain actor."""
        return {"periodic"}

    def before_worker_boot(self, broker: Broker, worker: Worker) -> None:
        """Register this process with the ledger and begin its heartbeat."""
        self._stopping.clear()
        broker.accepting = True  # type: ignore[attr-defined]  # see before_worker_shutdown
        worker_id = uuid4()
        settings = get_settings()
        self._recorder = Recorder(get_engine(), worker_id, settings)
        self._heart = Heart(broker, worker_id, settings, threads=worker.worker_threads, host=socket.gethostname())
        self._heart.start()

    def before_worker_shutdown(self, broker: Broker, worker: Worker) -> None:  # noqa: ARG002 - hook
        """Nothing new is begun, and nobody waits for an absent ledger any more."""
        self._stopping.set()
        broker.accepting = False  # type: ignore[attr-defined]  # Callboard's broker reads it, others need not

    def after_worker_shutdown(self, broker: Broker, worker: Worker) -> None:  # noqa: ARG002 - hook
        """Say goodbye to the ledger."""
        if self._heart is not None:
            self._heart.stop()

    def before_enqueue(self, broker: Broker, message: Message[Any], delay: int) -> None:  # noqa: ARG002 - hook
        """Write the pending run of a durable job before its message leaves.

        Raises:
            DuplicateRun: The job is single, and a run is already pending or running; nothing is sent.
            LedgerUnavailable: The ledger did not take the run; nothing is sent.
        """
        envelope = message.options[KEY]
        if "scheduled_at" in message.options:  # sent by the stock periodiq command
            envelope |= {"trigger": "schedule", "scheduled_for": message.options["scheduled_at"]}
            return
        actor = broker.actors.get(message.actor_name)
        if actor is None or envelope.get("recorded") or not spec_of(actor).is_durable:
            return
        envelope["recorded"] = True
        self._insert(message, spec_of(actor))

    def _insert(self, message: Message[Any], spec: JobSpec) -> None:
        try:
            with transaction() as connection:
                dispatch.insert(connection, message, spec)
        except (SQLAlchemyError, LookupError) as error:
            told = str(error).partition("\n")[0]
            raise LedgerUnavailable(
                f"Job {spec.name!r} is durable and the ledger did not take its run: {told}"
            ) from error

    def before_process_message(self, broker: Broker, message: MessageProxy) -> None:
        """Begin the attempt, or skip a message that must not run.

        Dramatiq swallows what else a hook raises and runs the job all the same; so whatever goes wrong here is logged,
        and the message comes back later.

        Raises:
            SkipMessage: The run is over, waits, is held elsewhere, overlaps with another, or is poison.
        """
        try:
            self._begin(broker, message)
        except SkipMessage:
            raise
        except Exception as error:
            logger.exception("run.not_started", error=str(error).partition("\n")[0], retry_in_seconds=_AGAIN_SECONDS)
            message.settlement = Resend(_AGAIN_SECONDS)  # type: ignore[attr-defined]  # ours, see the broker's consumer
            raise SkipMessage("not started") from error

    def _begin(self, broker: Broker, message: MessageProxy) -> None:
        if self._stopping.is_set():
            message.settlement = GiveBack()  # type: ignore[attr-defined]  # ours, see the broker's consumer
            raise SkipMessage("stopping")
        spec = spec_of(broker.get_actor(message.actor_name))
        facts = facts_of(message._message, spec)  # noqa: SLF001 - the proxied message
        answer = self._start(facts)
        if isinstance(answer, Refused):
            message.settlement = self._turn_away(message, facts, answer)  # type: ignore[attr-defined]  # ours
            raise SkipMessage(answer.reason)
        run = Run.begin(facts, answer)
        message.execution = Execution(spec, facts, answer, run)  # type: ignore[attr-defined]  # ours, see _execution
        enter_run(run)
        if self._heart is not None:
            self._heart.watch(run)
        started(run, spec)

    def _start(self, facts: RunFacts) -> Started | Refused:
        def attempt() -> Started | Refused:
            if self._recorder is None:
                raise RuntimeError("No worker has booted in this process: RunRecord starts with the worker.")
            return self._recorder.start(facts)

        return self._until_recorded(attempt) or Refused("elsewhere")

    def _until_recorded(self, write: Callable[[], T]) -> T | None:
        """Repeat `write` while the ledger is away; None when the worker stops before it is back."""
        wait = _FIRST_WAIT
        while True:
            try:
                return write()
            except _AWAY as error:
                logger.warning("ledger.away", error=str(error).partition("\n")[0], retry_in_seconds=wait)
            if self._stopping.wait(wait):
                return None
            wait = min(wait * 2, _LONGEST_WAIT)

    def _turn_away(self, message: MessageProxy, facts: RunFacts, answer: Refused) -> Settlement:
        if answer.reason in ("early", "elsewhere", "limit"):
            return Resend(answer.delay) if answer.delay else GiveBack()
        if answer.reason == "poison":
            error = PoisonMessage(f"started {answer.detail} times without an end; its worker died each time")
            failure = Failure.of(error, job=facts.job, scope=facts.scope, kind=Kind.POISON)
            self._bury(facts, failure, "poison", int(answer.detail))
        finished(facts, answer, retries=message.options.get("retries", 0))
        return Acknowledge()

    def _bury(self, facts: RunFacts, failure: Failure, reason: str, attempt: int) -> None:
        recorder = self._recorder
        if recorder is not None:
            self._until_recorded(lambda: recorder.bury(facts, failure, reason=reason, attempt=attempt))

    def after_process_message(
        self,
        broker: Broker,  # noqa: ARG002 - hook
        message: MessageProxy,
        *,
        result: Any = None,  # noqa: ANN401, ARG002 - hook
        exception: BaseException | None = None,  # noqa: ARG002 - the other middleware decided what it means
    ) -> None:
        """Record how the attempt ended; only then is the message settled."""
        execution = execution_of(message)
        if execution is None or execution.recorded:
            return
        outcome = execution.outcome or Completed()
        message.settlement = self._finish(message, execution, outcome)  # type: ignore[attr-defined]  # ours
        if self._heart is not None:
            self._heart.unwatch(execution.run)
        enter_run(None)

    def after_skip_message(self, broker: Broker, message: MessageProxy) -> None:
        """Another middleware skipped a started attempt: expired if it failed the message, else cancelled."""
        execution = execution_of(message)
        if execution is not None and not execution.recorded:
            execution.outcome = _skipped(execution, failed=message.failed)
            self.after_process_message(broker, message)

    def _finish(self, message: MessageProxy, execution: Execution, outcome: Outcome) -> Settlement:
        report = Report(execution.run.counts, execution.run.notes, execution.run.latest_progress)
        kept = self._until_recorded(lambda: self._record(message, execution, outcome, report))
        if kept is None:
            return GiveBack()
        execution.recorded = True
        finished(execution.facts, outcome, run=execution.run, milliseconds=execution.milliseconds, fenced=not kept)
        match outcome:
            case Retry(_, delay) if kept:
                return Resend(delay)
            case Interrupted() if kept:
                return GiveBack()
            case _:
                return Acknowledge()

    def _record(self, message: MessageProxy, execution: Execution, outcome: Outcome, report: Report) -> bool:
        if self._recorder is None:
            raise RuntimeError("No worker has booted in this process: RunRecord starts with the worker.")
        delivery = delivery_id(message._message)  # noqa: SLF001 - the proxied message
        try:
            return self._recorder.finish(execution.facts, execution.started, outcome, report, delivery=delivery)
        except _AWAY:
            raise
        except (DBAPIError, SQLAlchemyError, ValueError) as error:
            # What the run reported cannot be written; the run itself must still end.
            logger.exception("ledger.report_refused", error=str(error).partition("\n")[0])
            return self._recorder.finish(execution.facts, execution.started, outcome, Report(), delivery=delivery)


def _skipped(execution: Execution, *, failed: bool) -> Outcome:
    if not failed:
        return Cancelled("skipped by a middleware")
    error = MessageExpired("the message is older than its max_age")
    return Failed(Failure.of(error, job=execution.spec.name, scope=execution.facts.scope), "expired")
