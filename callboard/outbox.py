"""The outbox: messages that leave only if the caller's SQL transaction commits.

    with Session(engine) as session, session.begin():
        session.add(order)
        outbox.send(session, confirm_order, order_id=order.id)

There is no table of its own: the pending run, written through the caller's connection, is the outbox row.

1. `send` writes it. A rollback, also to a savepoint, takes it back.
2. When the transaction is over (the connection goes back to its pool, or begins another transaction), the runs are
   looked up in the ledger. Those that are there were committed: their messages go to the broker in one call, and that
   is noted in the ledger.
3. Whatever keeps 2 from happening, a crash or a broker that is away, the scheduler's reconciler makes up for it.

The second step uses connections of its own: the caller's pool may have none left to give.
"""

from __future__ import annotations

from functools import lru_cache
from typing import TYPE_CHECKING, Any, NamedTuple, ParamSpec

import structlog
from sqlalchemy import Connection, event, text

from callboard.broker.codec import encode
from callboard.broker.transport import Transport
from callboard.dispatch import insert
from callboard.envelope import KEY, facts_of, stamp
from callboard.ledger import runs
from callboard.ledger.database import database_url, get_engine, make_engine
from callboard.settings import get_settings

if TYPE_CHECKING:
    from collections.abc import Callable, Iterable, Mapping, Sequence
    from uuid import UUID

    from dramatiq import Broker, Message
    from sqlalchemy import Engine, Row
    from sqlalchemy.orm import Session
    from sqlalchemy.pool import ConnectionPoolEntry

    from callboard.job import Job
    from callboard.ledger.facts import RunFacts

P = ParamSpec("P")
logger: structlog.stdlib.BoundLogger = structlog.get_logger(__name__)

_WAITING = "callboard.outbox"
_CHECKED = "callboard.outbox.checked"
# A server has no name of its own; the moment it started and the number of a database in it tell two apart.
_PLACE = text("""
select current_database(), pg_postmaster_start_time(),
       (select oid from pg_database where datname = current_database()), to_regclass('board.runs') is not null
""")


class _Letter(NamedTuple):
    """A message that waits for its transaction, and the run it is for."""

    broker: Broker
    message: Message[Any]
    facts: RunFacts


def send(target: Session | Connection, job: Job[P, Any], /, *args: P.args, **kwargs: P.kwargs) -> RunFacts:
    """Ask for a run of a job, if the transaction of `target` commits.

    The run is durable, whatever the job says. What the broker does after the commit is logged and never raised here.

    Args:
        target: A session or connection on the ledger's database.
        job: What to run.
        *args: The job's arguments.
        **kwargs: The job's arguments.

    Raises:
        ArgumentsError: The arguments do not fit the job's signature, or are not JSON.
        DuplicateRun: The job is single, and a run is already pending or running; the transaction can go on.
        ValueError: `target` is on another database than the ledger.
    """
    return _put(target, job, [_message(job, args, kwargs)])[0]


def send_many(
    target: Session | Connection, job: Job[Any, Any], arguments: Iterable[Mapping[str, Any] | Sequence[Any]]
) -> list[RunFacts]:
    """Ask for one run for each item, if the transaction of `target` commits; all of them or, if this raises, none.

    Args:
        target: A session or connection on the ledger's database.
        job: What to run.
        arguments: A mapping is taken as arguments by name, a list or tuple as arguments by position.

    Raises:
        ArgumentsError, DuplicateRun, ValueError: As `send`, for any of them.
    """
    return _put(target, job, [_message(job, *_split(item)) for item in arguments])


def _split(item: Mapping[str, Any] | Sequence[Any]) -> tuple[tuple[Any, ...], dict[str, Any]]:
    # A mapping has keys, and a sequence has not: also where it is a row of SQLAlchemy's.
    return ((), dict(item)) if hasattr(item, "keys") else (tuple(item), {})


def _message(job: Job[Any, Any], args: tuple[Any, ...], kwargs: dict[str, Any]) -> Message[Any]:
    job.spec.bind(args, kwargs)
    message = job.message_with_options(args=args, kwargs=kwargs)
    message.options[KEY] = {"recorded": True, "durable": True}
    stamp(message, None)
    return message


def _put(target: Session | Connection, job: Job[Any, Any], messages: Sequence[Message[Any]]) -> list[RunFacts]:
    connection = _connection(target)
    keep: Callable[..., list[RunFacts]] | None = getattr(job.broker, "keep_until_commit", None)
    if keep is not None:  # the broker of `callboard.testing`: there is no ledger
        return keep(connection, messages)
    _require_ledger(connection)
    limit = get_settings().message_max_bytes
    bodies = [encode(message, limit=limit) for message in messages]
    if job.spec.is_single:
        with connection.begin_nested():
            written = [insert(connection, message, job.spec) for message in messages]
    else:
        pairs = zip(messages, bodies, strict=True)
        written = [facts_of(message, job.spec, body=body) for message, body in pairs]
        runs.insert_many_pending(connection, written)
    letters = [_Letter(job.broker, message, facts) for message, facts in zip(messages, written, strict=True)]
    _await_end(connection, letters)
    return written


def _connection(target: Session | Connection) -> Connection:
    # Not by the class: sqlalchemy.orm would cost every worker its memory.
    found: object = (
        target.connection() if not isinstance(target, Connection) and hasattr(target, "connection") else target
    )
    if not isinstance(found, Connection):
        raise TypeError(
            f"outbox.send needs a sqlalchemy.orm.Session or a sqlalchemy.Connection, not {type(target).__name__}; "
            "from an AsyncSession call it inside `await session.run_sync(...)`."
        )
    return found


# Where it is


def _require_ledger(connection: Connection) -> None:
    """Make sure that the run's row lands where the workers look for it; asked once for each database connection.

    Raises:
        ValueError: It would not; says where it is and where the ledger is.
    """
    if connection.info.get(_CHECKED):
        return
    url = connection.engine.url.render_as_string(hide_password=True)
    if connection.dialect.name != "postgresql":
        raise ValueError(f"outbox.send: {url} is no Postgres; use a session on the ledger's database.")
    here, ledger = connection.execute(_PLACE).one(), _ledger_place(_engine_beside(get_engine()))
    if tuple(here[:3]) != tuple(ledger[:3]):
        where = get_engine().url.render_as_string(hide_password=True)
        raise ValueError(
            f"outbox.send: the session is on {url} and the ledger is on {where}; use a session on the ledger's "
            "database, or point CALLBOARD_DATABASE_URL at this one."
        )
    if not here[3]:
        raise ValueError(f"outbox.send: {url} has no schema `board` yet; run `callboard migrate`.")
    connection.info[_CHECKED] = True


def _ledger_place(engine: Engine) -> Row[Any]:
    with engine.connect() as connection:
        return connection.execute(_PLACE).one()


@lru_cache(maxsize=1)
def _engine_beside(engine: Engine) -> Engine:
    """Connections of the outbox's own, to the same database; closed together with those of `engine`."""
    made = make_engine(database_url(get_settings()), pool_size=2, application="callboard-outbox")
    event.listen(engine, "engine_disposed", lambda _: made.dispose())
    return made.execution_options(isolation_level="AUTOCOMMIT")


# When the transaction is over


def _await_end(connection: Connection, letters: list[_Letter]) -> None:
    pool = connection.engine.pool
    if not event.contains(pool, "checkin", _given_back):
        event.listen(pool, "checkin", _given_back)
    if not event.contains(connection, "begin", _begun):
        event.listen(connection, "begin", _begun)
    connection.info.setdefault(_WAITING, []).extend(letters)


def _given_back(_driver: object, entry: ConnectionPoolEntry) -> None:
    _hand_over(entry.info.pop(_WAITING, ()))


def _begun(connection: Connection) -> None:
    _hand_over(connection.info.pop(_WAITING, ()))


def _hand_over(letters: Sequence[_Letter]) -> None:
    """Send what was committed. Never raises: the caller's transaction is over, and the reconciler sends the rest."""
    if not letters:
        return
    try:
        _relay(letters)
    except Exception as error:  # noqa: BLE001 - as said above
        told = str(error).partition("\n")[0]
        logger.warning("outbox.send_postponed", messages=len(letters), error=told, error_type=type(error).__name__)


def _relay(letters: Sequence[_Letter]) -> None:
    engine = _engine_beside(get_engine())
    with engine.connect() as connection:
        committed = runs.unsent(connection, [_key(letter) for letter in letters])
    leaving = [letter for letter in letters if letter.facts.id in committed]
    for broker in {letter.broker for letter in leaving}:
        _enqueue(broker, [letter.message for letter in leaving if letter.broker is broker])
    if leaving:
        with engine.connect() as connection:
            runs.mark_all_enqueued(connection, [_key(letter) for letter in leaving])


def _key(letter: _Letter) -> tuple[UUID, Any]:
    return letter.facts.id, letter.facts.created_at


def _enqueue(broker: Broker, messages: list[Message[Any]]) -> None:
    if isinstance(broker, Transport):
        broker.enqueue_many(messages)
        return
    for message in messages:
        broker.enqueue(message)
