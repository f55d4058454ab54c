"""`python -m callboard.notary FD SLOT...`: writes down what became of the runs of a worker process that was killed.

Its supervisor starts it when the process is dead, with the process's status page (`callboard.supervisor.page`) in the
open file FD, and the slots whose attempts had outlived their hard limit. Those attempts end as the worker itself would
have ended them: failed, with a retry if there is one left. The attempts beside them are given back; they are not to
blame, so that they count neither as attempts nor as crashes.

Only the holder of an attempt's token can end it. So a run that went elsewhere meanwhile is left alone, and if nobody
writes at all, the end of the worker's lease sends the runs elsewhere, as after any crash.

The messages stay with the dead process until its lease at the broker ends. Then they are given out again: that of an
ended run is dropped, that of one that waits for its retry waits with it.
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

from callboard.broker import get_broker
from callboard.envelope import facts_of
from callboard.journal import finished
from callboard.ledger import failures, runs
from callboard.ledger.database import dispose, get_engine, transaction
from callboard.ledger.facts import Report, Started
from callboard.ledger.recorder import Recorder
from callboard.loading import load_actors
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
    from callboard.spec import JobSpec
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
    """One attempt of the dead process."""

    message: Message[Any]
    spec: JobSpec
    facts: RunFacts
    started: Started
    seconds: float
    limit: float
    guilty: bool


def write(page: StatusPage, guilty: set[int]) -> int:
    """Write down what became of each attempt on the page; returns how many could not be written."""
    broker = get_broker()
    cases = [_case(broker, page, attempt, attempt.slot in guilty) for attempt in page.running()]
    known = [case for case in cases if case is not None]
    blamed = ", ".join(str(case.facts.id) for case in known if case.guilty)
    recorder = Recorder(get_engine(), uuid4(), get_settings())
    written = [_patiently(recorder, case, blamed) for case in sorted(known, key=lambda case: not case.guilty)]
    return len(cases) - sum(written)


def _case(broker: Any, page: StatusPage, attempt: Attempt, guilty: bool) -> _Case | None:  # noqa: ANN401, FBT001 - dramatiq's
    run_id, body = str(UUID(bytes=attempt.run_id)), page.body(attempt)
    try:
        message: Message[Any] = Message.decode(body)
        spec = spec_of(broker.get_actor(message.actor_name))
        facts = facts_of(message, spec)
    except Exception as error:  # noqa: BLE001 - one that cannot be read must not keep the others from being written
        logger.warning("notary.unreadable", run_id=run_id, length=len(body), error=str(error).partition("\n")[0])
        return None
    seconds = (time.monotonic_ns() - attempt.started_ns) / 1e9
    limit = round((attempt.deadline_ns - attempt.started_ns) / 1e9, 2)
    started = Started(attempt=attempt.attempt, token=attempt.token, recorded=attempt.recorded)
    return _Case(message, spec, facts, started, seconds, limit, guilty)


def _patiently(recorder: Recorder, case: _Case, blamed: str) -> bool:
    deadline = time.monotonic() + _PATIENCE_SECONDS
    while True:
        try:
            _end(recorder, case, blamed)
        except Exception as error:
            if time.monotonic() > deadline:
                logger.exception("notary.gave_up", run_id=str(case.facts.id))
                return False
            logger.warning("notary.waits", run_id=str(case.facts.id), error=str(error).partition("\n")[0])
            time.sleep(_WAIT_SECONDS)
        else:
            return True


def _end(recorder: Recorder, case: _Case, blamed: str) -> None:
    outcome: Outcome = _verdict(case) if case.guilty else Interrupted()
    facts, delivery = case.facts, case.facts.delivery
    kept = recorder.finish(facts, case.started, outcome, Report(), delivery=delivery)
    if kept and not case.guilty:
        _explain(facts, f"its process was killed because run {blamed} had outlived its hard limit")
    run = Run.begin(facts, case.started)
    finished(facts, outcome, run=run, milliseconds=round(case.seconds * 1000), fenced=not kept)


def _verdict(case: _Case) -> Outcome:
    error = HardTimeLimitExceeded(
        f"exceeded its hard limit of {case.limit:g} s (time_limit and CALLBOARD_TIME_LIMIT_GRACE_SECONDS); "
        "its worker process was killed"
    )
    failure = Failure.of(error, job=case.facts.job, scope=case.facts.scope)
    delay = _retry_delay(case)
    return Failed(failure, "retries exhausted") if delay is None else Retry(failure, delay)


def _retry_delay(case: _Case) -> float | None:
    """Seconds before the next attempt; None if there is none.

    The message that comes back is the old one and does not count this retry, so the failures on record count too.
    """
    with transaction() as connection:
        failed = len(failures.of_run(connection, case.facts.id))
    retry = max(failed, int(case.message.options.get("retries", 0))) + 1
    if retry > case.message.options.get("max_retries", case.spec.retry.max_retries):
        return None
    return case.spec.retry.delay(retry, random=random.random)


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
    missed = write(page, {int(slot) for slot in arguments[1:]})
    page.close()
    dispose()
    return 1 if missed else 0


if __name__ == "__main__":
    sys.exit(main(sys.argv[1:]))
