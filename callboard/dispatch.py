"""Into the ledger first, into the broker after the commit: how durable runs begin.

If the process dies between the two, the run is pending without a message; the scheduler's reconciler sends it again.
"""

from __future__ import annotations

from typing import TYPE_CHECKING, Any

import structlog
from dramatiq.errors import ConnectionClosed

from callboard.envelope import KEY, facts_of, stamp
from callboard.errors import DuplicateRun
from callboard.ledger import claims, runs
from callboard.ledger.database import transaction
from callboard.settings import get_settings
from callboard.spec import spec_of

if TYPE_CHECKING:
    from collections.abc import Callable
    from datetime import datetime

    from dramatiq import Broker, Message
    from dramatiq.actor import Actor
    from sqlalchemy import Connection

    from callboard.job import Job
    from callboard.ledger.facts import RunFacts
    from callboard.spec import JobSpec


logger: structlog.stdlib.BoundLogger = structlog.get_logger(__name__)


def message_for(
    job: Actor[Any, Any],
    *,
    kwargs: dict[str, Any] | None = None,
    trigger: str,
    scheduled_for: datetime | None = None,
    missed: int = 0,
    notify: tuple[str, ...] = (),
    correlation_id: str | None = None,
    durable: bool = True,
) -> Message[Any]:
    """A message for a run that the ledger is about to hold.

    Raises:
        ArgumentsError: The arguments do not fit the job's signature.
    """
    spec = spec_of(job)
    spec.bind((), kwargs or {})
    message = job.message_with_options(kwargs=kwargs)
    envelope: dict[str, Any] = {"trigger": trigger, "recorded": True, "durable": durable, "missed": missed}
    if scheduled_for is not None:
        envelope["scheduled_for"] = scheduled_for.isoformat()
    if notify:  # told besides those whom the job itself names
        envelope["notify"] = [*spec.notify, *notify]
    if correlation_id is not None:
        envelope["correlation_id"] = correlation_id
    message.options[KEY] = envelope
    stamp(message, None)
    return message


def insert(connection: Connection, message: Message[Any], spec: JobSpec) -> RunFacts:
    """Write the pending run of a message, and its claim if the job is single.

    Raises:
        DuplicateRun: Another run of the job holds the claim; nothing was written.
    """
    facts = facts_of(message, spec)
    if facts.single:
        holder = claims.take(connection, facts, lease=get_settings().pending_lease_seconds)
        if holder is not None:
            raise DuplicateRun(facts.job, holder, facts.scope)
    runs.insert_pending(connection, facts)
    return facts


def enqueue(broker: Broker, message: Message[Any], facts: RunFacts) -> None:
    """Hand the message of a committed run to the broker, and remember that it took it.

    Raises:
        ConnectionClosed: The broker did not take it; the reconciler will send it again.
    """
    broker.enqueue(message)
    with transaction() as connection:
        runs.mark_enqueued(connection, facts.id, facts.created_at)


def send_surely(broker: Broker, message: Message[Any], *, delay: int | None = None) -> None:
    """Send what must not be lost: what the broker does not take becomes a pending run, which the reconciler sends.

    Args:
        broker: Where to.
        message: What to send.
        delay: Milliseconds until it may be delivered.

    Raises:
        LedgerUnavailable, sqlalchemy.exc.DBAPIError: The ledger does not answer either.
    """
    try:
        broker.enqueue(message, delay=delay)
    except ConnectionClosed:
        envelope = message.options.setdefault(KEY, {})
        envelope |= {"recorded": True, "durable": True}
        stamp(message, delay)
        with transaction() as connection:
            insert(connection, message, spec_of(broker.get_actor(message.actor_name)))
        logger.warning("message.kept_in_ledger", job=message.actor_name, message_id=message.message_id)


def trigger(
    job: Job[Any, Any],
    *,
    kwargs: dict[str, Any] | None = None,
    by: str,
    notify: tuple[str, ...] = (),
    also: Callable[[Connection, RunFacts], None] | None = None,
) -> RunFacts:
    """Ask for a run of a job now.

    Args:
        job: What to run.
        kwargs: Its arguments, by name.
        by: What asked, e.g. `cli` or `manual:user:anna`.
        notify: Mail addresses to tell when it is done.
        also: What else is to be written in the run's transaction.

    Raises:
        ArgumentsError: The arguments do not fit the job's signature.
        DuplicateRun: The job is single, and a run is already pending or running.
    """
    message = message_for(job, kwargs=kwargs, trigger=by, notify=notify)
    with transaction() as connection:
        facts = insert(connection, message, job.spec)
        if also is not None:
            also(connection, facts)
    enqueue(job.broker, message, facts)
    return facts
