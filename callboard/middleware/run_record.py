"""Run record: an attempt is known before it runs, and its end is in the ledger before its message is forgotten.

Most first attempts are *light*: nothing has to be asked of the ledger before they start. The broker's delivery proves
that they were given out, and one row, written when they end, tells all of it. If they run on, the heart writes a row
while they do. Every other attempt has its row before it starts: of a durable, single or limited job, a retry, a message
that was given out before or whose enqueue got no answer.
"""

from __future__ import annotations

import socket
import threading
import time
from typing import TYPE_CHECKING, Any, TypeVar
from uuid import uuid4

import structlog
from dramatiq import Middleware
from dramatiq.middleware import SkipMessage
from sqlalchemy.exc import SQLAlchemyError

from callboard import dispatch
from callboard.broker.codec import encode
from callboard.broker.pulse import Pulse
from callboard.broker.transport import Transport
from callboard.envelope import KEY, delay_again, delivery_id, facts_of, stamp
from callboard.errors import LedgerUnavailable
from callboard.failures import Kind
from callboard.heart import Heart
from callboard.journal import finished
from callboard.ledger.database import AWAY, get_engine, transaction
from callboard.ledger.facts import Ending, Refused, Report, Started
from callboard.ledger.gate import Gate
from callboard.ledger.recorder import Recorder
from callboard.metering import Metering
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
    PutOff,
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

    from callboard.broker.delivery import Delivery
    from callboard.ledger.facts import RunFacts
    from callboard.spec import JobSpec

T = TypeVar("T")
logger: structlog.stdlib.BoundLogger = structlog.get_logger(__name__)

_FIRST_WAIT, _LONGEST_WAIT = 0.2, 2.0
_AGAIN_SECONDS = 2.0


class PoisonMessage(Exception):  # noqa: N818 - the operators' word for it
    """The message was started several times and never finished: it kills its workers."""


class MessageExpired(Exception):  # noqa: N818 - what happened to it
    """A middleware refused the message for good, e.g. for its age."""


class RunRecord(Middleware):
    """Writes attempts to the ledger; see `callboard.ledger.recorder` for what is promised."""

    def __init__(self) -> None:
        self._recorder: Recorder | None = None
        self._gate: Gate | None = None
        self._heart: Heart | None = None
        self._pulse: Pulse | None = None
        self._stopping = threading.Event()
        #: What is counted; None before a worker has booted, and when nothing is to be counted.
        self.metering: Metering | None = None

    @property
    def actor_options(self) -> set[str]:
        """`periodic` is periodiq's: a cadence, or periodiq's own cron spec on a plain actor."""
        return {"periodic"}

    @property
    def recorder(self) -> Recorder:
        """What writes.

        Raises:
            RuntimeError: No worker has booted in this process.
        """
        if self._recorder is None:
            raise RuntimeError("No worker has booted in this process: RunRecord starts with the worker.")
        return self._recorder

    def before_worker_boot(self, broker: Broker, worker: Worker) -> None:
        """Register this process with the ledger and the broker, and begin its heartbeats."""
        self._stopping.clear()
        worker_id = uuid4()
        settings = get_settings()
        self._recorder = Recorder(get_engine(), worker_id, settings)
        self._gate = Gate(self._recorder)
        threads, host = worker.worker_threads, socket.gethostname()
        self.metering = Metering.of(settings)
        queues = worker.consumer_whitelist or None  # None: whatever is declared
        self._heart = Heart(
            broker, worker_id, settings, self._recorder, self.metering, threads=threads, host=host, queues=queues
        )
        self._heart.start()
        if self.metering is not None:
            self.metering.declare(spec_of(actor) for actor in broker.actors.values())
        if isinstance(broker, Transport):
            broker.accepting = True
            self._pulse = Pulse(broker)
            self._pulse.start()

    def before_worker_shutdown(self, broker: Broker, worker: Worker) -> None:  # noqa: ARG002 - hook
        """Nothing new is begun, and nobody waits for an absent ledger any more."""
        self._stopping.set()
        if isinstance(broker, Transport):
            broker.accepting = False

    def after_worker_shutdown(self, broker: Broker, worker: Worker) -> None:  # noqa: ARG002 - hook
        """Say goodbye to the broker and to the ledger."""
        if self._pulse is not None:
            self._pulse.stop()
            self._pulse = None
        if self._heart is not None:
            self._heart.stop()
        if self._recorder is not None:
            self._recorder.close()

    def before_enqueue(self, broker: Broker, message: Message[Any], delay: int) -> None:  # noqa: ARG002 - hook
        """Write the pending run of a durable job before its message leaves.

        Raises:
            ArgumentsError: It is not JSON, or too large.
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
        encode(message, limit=get_settings().message_max_bytes)  # what cannot be sent gets no run
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
        delivery: Delivery | None = vars(message).get("delivery")
        stamp(message._message, None)  # noqa: SLF001 - the proxied message
        facts = _facts(message._message, spec, delivery)  # noqa: SLF001 - the proxied message
        light = delivery is not None and _is_light(message.options, spec, facts)
        answer = self._start_lightly() if light else self._start(facts)
        if isinstance(answer, Refused):
            message.refused = answer  # type: ignore[attr-defined]  # ours, for the trace
            message.settlement = self._turn_away(message, facts, answer)  # type: ignore[attr-defined]  # ours
            raise SkipMessage(answer.reason)
        run = Run.begin(facts, answer)
        execution = Execution(spec, facts, answer, run)
        message.execution = execution  # type: ignore[attr-defined]  # ours, see _execution
        enter_run(run)
        if self._heart is not None:
            self._heart.watch(execution)

    def _start(self, facts: RunFacts) -> Started | Refused:
        start = self.recorder.start if self._gate is None else self._gate.start
        return self._until_recorded(lambda: start(facts)) or Refused("elsewhere")

    def _start_lightly(self) -> Started | Refused:
        token = self._until_recorded(self.recorder.tokens)  # once in a thousand calls it asks the ledger
        return Refused("elsewhere") if token is None else Started(1, token, recorded=False)

    def _until_recorded(self, write: Callable[[], T]) -> T | None:
        """Repeat `write` while the ledger is away; None when the worker stops before it is back."""
        wait = _FIRST_WAIT
        while True:
            try:
                return write()
            except AWAY as error:
                logger.warning("ledger.away", error=str(error).partition("\n")[0], retry_in_seconds=wait)
            if self._stopping.wait(wait):
                return None
            wait = min(wait * 2, _LONGEST_WAIT)

    def _turn_away(self, message: MessageProxy, facts: RunFacts, answer: Refused) -> Settlement:
        if answer.reason in ("early", "elsewhere", "limit"):
            return Resend(answer.delay) if answer.delay else GiveBack()
        if answer.reason == "poison":
            error = PoisonMessage(f"started {answer.detail} times without an end; its worker died each time")
            failure = Failure.of(error, job=facts.job, scope=facts.concern, kind=Kind.POISON)
            self._bury(facts, failure, "poison", int(answer.detail))
        finished(facts, answer, retries=message.options.get("retries", 0))
        if self.metering is not None:
            self.metering.turned_away(facts, answer)
        return Acknowledge()

    def _bury(self, facts: RunFacts, failure: Failure, reason: str, attempt: int) -> None:
        self._until_recorded(lambda: self.recorder.bury(facts, failure, reason=reason, attempt=attempt))

    def after_process_message(
        self,
        broker: Broker,  # noqa: ARG002 - hook
        message: MessageProxy,
        *,
        result: Any = None,  # noqa: ANN401, ARG002 - hook
        exception: BaseException | None = None,  # noqa: ARG002 - the other middleware decided what it means
    ) -> None:
        """Say how the attempt ended. A worker that commits in groups records it; for others it is recorded here."""
        execution = execution_of(message)
        if execution is None or execution.ending is not None:
            return
        now, run = time.monotonic(), execution.run
        execution.ending = Ending(
            facts=execution.facts,
            started=execution.started,
            outcome=execution.outcome or Completed(),
            report=Report(run.counts, run.notes, run.latest_progress, run.token_usages, run.log_lines, run.is_quiet),
            delivery=delivery_id(message._message),  # noqa: SLF001 - the proxied message
            seconds=now - execution.began,
            ended=now,
            cpu=time.thread_time() - execution.cpu,
            trace=run.exemplar,
        )
        if self._heart is not None:
            self._heart.unwatch(execution)
        enter_run(None)
        if not vars(message).get("deferred"):
            ending = execution.ending
            kept = self._until_recorded(lambda: self.recorder.finish_many([ending])[0])
            if kept and self.metering is not None:
                self.metering.count(self.metering.batch([message]))
            message.settlement = conclude(message, kept=kept)  # type: ignore[attr-defined]  # ours

    def after_skip_message(self, broker: Broker, message: MessageProxy) -> None:
        """Another middleware skipped a started attempt: expired if it failed the message, else cancelled."""
        execution = execution_of(message)
        if execution is not None and execution.ending is None:
            execution.outcome = _skipped(execution, failed=message.failed)
            self.after_process_message(broker, message)


def _facts(message: Message[Any], spec: JobSpec, delivery: Delivery | None) -> RunFacts:
    if delivery is None:
        return facts_of(message, spec)
    return facts_of(message, spec, body=delivery.body, crashes=delivery.crashes)


def _is_light(options: dict[str, Any], spec: JobSpec, facts: RunFacts) -> bool:
    if facts.crashes or facts.durable or not spec.is_light or options.get("retries"):
        return False
    envelope = options[KEY]
    return not (envelope.get("unsure") or envelope.get("begun"))


def conclude(message: MessageProxy, *, kept: bool | None) -> Settlement | None:
    """What becomes of a message whose attempt has ended, and its log line.

    Args:
        message: The message.
        kept: What the recorder answered: False when the attempt had lost its run; None when the worker stopped before
            the ledger was back.

    Returns:
        None when nothing may be done with it: its run is not recorded, so it stays claimed until the lease is over.
        The next start then says that there was one before.
    """
    execution = execution_of(message)
    if execution is None or execution.ending is None:
        raise ValueError(f"message {message.message_id} has not ended; conclude only what did.")
    if kept is None:
        return None
    ending = execution.ending
    milliseconds = round(ending.seconds * 1000)
    finished(
        execution.facts,
        ending.outcome,
        run=execution.run,
        milliseconds=milliseconds,
        fenced=not kept,
        began=execution.began,
    )
    if isinstance(ending.outcome, Retry) and kept:
        delay_again(message.options, ending.outcome.delay)
        return Resend(ending.outcome.delay)
    pause = ending.outcome.delay if kept and isinstance(ending.outcome, PutOff) else 0.0
    if kept and not isinstance(ending.outcome, Interrupted | PutOff):
        return Acknowledge()
    # Given back; or the run was taken from us, and nobody may have its message: whoever gets it asks the ledger first.
    message.options[KEY]["begun"] = True
    delay_again(message.options, pause)
    return Resend(pause)


def _skipped(execution: Execution, *, failed: bool) -> Outcome:
    if not failed:
        return Cancelled("skipped by a middleware")
    error = MessageExpired("the message is older than its max_age")
    return Failed(Failure.of(error, job=execution.spec.name, scope=execution.facts.concern), "expired")
