"""`python -m callboard.notary FD SLOT...`: ends the attempts of a worker process that was killed, in its stead.

Its supervisor starts it when the process is dead, with the process's status page (`callboard.supervisor.page`) in the
open file FD, and the slots whose attempts had outlived their hard limit. Those attempts end as the worker itself would
have ended them: failed, with a retry if there is one left. The attempts beside them are given back; they are not to
blame, so that they count neither as attempts nor as crashes, and their history says why they start again.

Each is written first and settled then, as by `callboard.worker.committer`. Only the holder of an attempt's token can
end it, and only the holder of a message can settle it: what went elsewhere meanwhile is left alone. What is not
written, because nobody can or because no body was kept, comes back when the leases end, as after any crash. That is
also what becomes of what the process had fetched but not begun, and of what it had done but not written.
"""

from __future__ import annotations

import random
import signal
import sys
import time
from dataclasses import dataclass
from datetime import UTC, datetime
from typing import TYPE_CHECKING
from uuid import UUID, uuid4

import structlog
from dramatiq import Message
from dramatiq.middleware import TimeLimitExceeded
from sqlalchemy import text

from callboard.broker import RedisBroker
from callboard.broker.consumer import Proxy
from callboard.broker.delivery import Delivery
from callboard.compose import get_broker
from callboard.envelope import delivery_id, facts_of, stamp
from callboard.failures import Kind, classify
from callboard.ledger import failures, runs
from callboard.ledger.database import dispose, get_engine, transaction
from callboard.ledger.facts import Ending, Report, Started
from callboard.ledger.recorder import Recorder
from callboard.loading import load_actors
from callboard.middleware import conclude
from callboard.middleware._execution import Execution
from callboard.outcome import Failed, Failure, Interrupted, Outcome, Retry
from callboard.run import Run
from callboard.settings import get_settings
from callboard.spec import spec_of
from callboard.supervisor.page import StatusPage
from observability import logs

if TYPE_CHECKING:
    from collections.abc import Sequence
    from typing import Any

    from callboard.ledger.facts import RunFacts
    from callboard.supervisor.page import Attempt

logger: structlog.stdlib.BoundLogger = structlog.get_logger(__name__)

#: While the ledger is away we try again for so long; the lease of the dead process is over before that.
_PATIENCE_SECONDS, _WAIT_SECONDS = 60.0, 0.5
_NOTE = text("""
update board.runs set history = coalesce(history, '[]'::jsonb) || cast(:event as jsonb)
where id = :id and created_at = :created_at
""")


class HardTimeLimitExceeded(TimeLimitExceeded):
    """The attempt did not end within its time limit and the grace after it, so that its process was killed."""


@dataclass(frozen=True)
class _Case:
    """One attempt of the dead process; times in seconds."""

    proxy: Proxy
    execution: Execution
    seconds: float
    limit: float
    guilty: bool


class Notary:
    """Writes and settles for the process whose page this is."""

    def __init__(self, page: StatusPage, guilty: set[int]) -> None:
        self._broker = get_broker()
        self._redis = self._broker if isinstance(self._broker, RedisBroker) and page.broker_id else None
        if self._redis is not None:  # elsewhere a dead process's messages are given out again at once
            self._redis.broker_id = page.broker_id  # they are held under that name, and the dead cannot object
        self._recorder = Recorder(get_engine(), uuid4(), get_settings())
        self._page = page
        self._guilty = guilty
        self._blamed = ", ".join(
            str(UUID(bytes=attempt.run_id)) for attempt in page.running() if attempt.slot in guilty
        )

    def write(self) -> int:
        """End every attempt on the page, the guilty first; returns how many could not be ended."""
        attempts = sorted(self._page.running(), key=lambda attempt: attempt.slot not in self._guilty)
        return sum(not self._patiently(attempt) for attempt in attempts)

    def _patiently(self, attempt: Attempt) -> bool:
        run_id, deadline = str(UUID(bytes=attempt.run_id)), time.monotonic() + _PATIENCE_SECONDS
        case: _Case | None = None
        while True:
            try:
                case = case or self._case(attempt)
                self._end(case)
            except Exception as error:
                told = str(error).partition("\n")[0]
                if time.monotonic() > deadline or not _may_pass(error):
                    logger.exception("notary.gave_up", run_id=run_id, error=told)
                    return False
                logger.warning("notary.waits", run_id=run_id, error=told)
                time.sleep(_WAIT_SECONDS)
            else:
                return True

    def _case(self, attempt: Attempt) -> _Case:
        message: Message[Any] = Message.decode(self._page.body(attempt))
        spec = spec_of(self._broker.get_actor(message.actor_name))
        stamp(message, None)
        delivery = Delivery(delivery_id(message), message.queue_name, self._page.body(attempt), message)
        facts = facts_of(message, spec, body=delivery.body)
        started = Started(attempt=attempt.attempt, token=attempt.token, recorded=attempt.recorded)
        proxy = Proxy(delivery, message)
        proxy.execution = Execution(spec, facts, started, Run.begin(facts, started))
        seconds = (time.monotonic_ns() - attempt.started_ns) / 1e9
        limit = round((attempt.deadline_ns - attempt.started_ns) / 1e9, 2)
        return _Case(proxy, proxy.execution, seconds, limit, attempt.slot in self._guilty)

    def _end(self, case: _Case) -> None:
        execution, facts = case.execution, case.execution.facts
        if execution.ending is None:  # a second try says the same as the first one
            outcome: Outcome = _verdict(case) if case.guilty else Interrupted()
            delivery = delivery_id(case.proxy._message)  # noqa: SLF001 - the proxied message, its retries counted
            now = time.monotonic()
            execution.ending = Ending(facts, execution.started, outcome, Report(), delivery, case.seconds, now)
        kept = self._recorder.finish_many([execution.ending])[0]
        if kept and not case.guilty:
            _explain(facts, f"its process was killed because run {self._blamed} had outlived its hard limit")
        settlement = conclude(case.proxy, kept=kept)
        if settlement is not None and self._redis is not None:
            _ = self._redis.client  # connects, which `settle` takes for granted
            self._redis.settle([(case.proxy.delivery, settlement)])


def _may_pass(error: Exception) -> bool:
    """Whether trying again may help: a server that is away comes back, a message that cannot be read does not."""
    return classify(error).kind is Kind.TRANSIENT


def _verdict(case: _Case) -> Outcome:
    facts, message = case.execution.facts, case.proxy._message  # noqa: SLF001 - the proxied message
    error = HardTimeLimitExceeded(
        f"exceeded its hard limit of {case.limit:g} s (time_limit and CALLBOARD_TIME_LIMIT_GRACE_SECONDS); "
        "its worker process was killed"
    )
    failure = Failure.of(error, job=facts.job, scope=facts.concern)
    retry = max(_failures(facts), int(message.options.get("retries", 0))) + 1
    policy = case.execution.spec.retry
    most = message.options.get("max_retries", policy.max_retries)
    delay = policy.delay(retry, random=random.random) if retry <= most else None
    if delay is None:
        return Failed(failure, "retries exhausted")
    message.options["retries"] = retry
    return Retry(failure, delay)


def _failures(facts: RunFacts) -> int:
    """How often the run failed before; its message may not know, where nobody could settle it."""
    with transaction() as connection:
        return len(failures.of_run(connection, facts.id))


def _explain(facts: RunFacts, detail: str) -> None:
    event = runs.event("given back", datetime.now(UTC), detail)
    with transaction() as connection:
        connection.execute(_NOTE, {"id": facts.id, "created_at": facts.created_at, "event": event})


def main(arguments: Sequence[str]) -> int:
    """Write, within a minute; the exit code is 1 if something could not be written."""
    for number in (signal.SIGTERM, signal.SIGINT):
        signal.signal(number, signal.SIG_IGN)  # a supervisor that stops waits for us a few seconds
    settings = get_settings()
    logs.configure(format=settings.log_format, level=settings.log_level, service="worker")
    page = StatusPage.opened(int(arguments[0]))
    load_actors(settings)
    missed = Notary(page, {int(slot) for slot in arguments[1:]}).write()
    page.close()
    dispose()
    return 1 if missed else 0


if __name__ == "__main__":
    sys.exit(main(sys.argv[1:]))
