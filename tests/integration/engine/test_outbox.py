"""The outbox on real servers: what commits is sent, what does not is not, whatever dies in between."""

from __future__ import annotations

import logging
import os
import subprocess
import sys
import threading
from contextlib import ExitStack
from pathlib import Path
from typing import TYPE_CHECKING

import pytest
from dramatiq import Middleware
from sqlalchemy import Engine, create_engine, text
from sqlalchemy.exc import IntegrityError
from sqlalchemy.orm import Session, scoped_session, sessionmaker
from sqlalchemy.pool import NullPool

from callboard import ArgumentsError, DuplicateRun, current_run, job, outbox
from callboard.compose import make_broker
from callboard.ledger.database import get_engine
from scheduler.reconciler import Reconciler
from tests.board import Board
from tests.support import eventually

if TYPE_CHECKING:
    from collections.abc import Iterator

    from callboard import Job
    from callboard.broker import Transport

ROOT = Path(__file__).parents[3]


@pytest.fixture
def engine(board: Board) -> Iterator[Engine]:
    """The caller's own engine, on the ledger's database."""
    made = create_engine(
        board.database_url.replace("postgresql://", "postgresql+psycopg://"),
        pool_size=1,
        max_overflow=0,
        pool_timeout=5,
    )
    yield made
    made.dispose()


@pytest.fixture
def confirm(board: Board) -> Job[[int], None]:
    """A job that nothing else marks as durable."""
    assert board.broker.actors == {}

    @job("confirm")
    def confirm(order: int) -> None:
        current_run().count(order=order)

    return confirm


def ready(board: Board) -> int:
    return board.broker.depths(["default"])["default"].ready


def reconciler(board: Board, broker: Transport | None = None) -> Reconciler:
    settings = board.settings.model_copy(update={"recovery_seconds": 0.001})
    return Reconciler(get_engine(), broker or board.broker, settings, lambda: True)


def states(board: Board) -> list[tuple[str, bool]]:
    return [tuple(row) for row in board.query("select state, enqueued_at is not null from board.runs order by id")]


def test_a_message_leaves_when_the_session_commits_and_not_before(
    board: Board, engine: Engine, confirm: Job[[int], None]
) -> None:
    with Session(engine) as session:
        facts = outbox.send(session, confirm, 7)
        assert (ready(board), board.one("select count(*) from board.runs")) == (0, 0)
        session.commit()
        assert ready(board) == 1
    assert states(board) == [("pending", True)]
    with board.worker():
        eventually(lambda: states(board) == [("completed", True)])
    (run,) = board.query("select id, job, trigger, args, counts, attempt from board.runs")
    assert run == (facts.id, "confirm", "send", {"order": 7}, {"order": 7}, 1)


def test_a_rollback_takes_it_back(board: Board, engine: Engine, confirm: Job[[int], None]) -> None:
    with Session(engine) as session:
        outbox.send(session, confirm, 7)
        session.rollback()
        session.execute(text("select 1"))
        session.commit()
    assert (ready(board), states(board)) == (0, [])


def test_a_block_that_raises_takes_it_back(board: Board, engine: Engine, confirm: Job[[int], None]) -> None:
    def fail() -> None:
        with engine.begin() as connection:
            outbox.send(connection, confirm, 7)
            raise ZeroDivisionError

    with pytest.raises(ZeroDivisionError):
        fail()
    assert (ready(board), states(board)) == (0, [])


def test_a_rollback_to_a_savepoint_takes_back_what_came_after_it(
    board: Board, engine: Engine, confirm: Job[[int], None]
) -> None:
    with Session(engine) as session, session.begin():
        first = outbox.send(session, confirm, 1)
        with session.begin_nested() as savepoint:
            outbox.send(session, confirm, 2)
            savepoint.rollback()
        with session.begin_nested():
            third = outbox.send(session, confirm, 3)
        assert ready(board) == 0
    assert ready(board) == 2
    assert {row.id for row in board.query("select id from board.runs")} == {first.id, third.id}


def test_a_savepoint_of_plain_sql_counts_too(board: Board, engine: Engine, confirm: Job[[int], None]) -> None:
    with engine.begin() as connection:
        connection.execute(text("savepoint here"))
        outbox.send(connection, confirm, 1)
        connection.execute(text("rollback to here"))
    assert (ready(board), states(board)) == (0, [])


def test_a_commit_that_the_server_refuses_sends_nothing(
    board: Board, engine: Engine, confirm: Job[[int], None]
) -> None:
    board.execute("create table late (n int unique deferrable initially deferred)")
    with Session(engine) as session:
        session.execute(text("insert into late values (1), (1)"))
        outbox.send(session, confirm, 1)
        with pytest.raises(IntegrityError, match="late_n_key"):
            session.commit()
    assert (ready(board), states(board)) == (0, [])


def test_a_connection_that_stays_open_hands_over_when_it_goes_on(
    board: Board, engine: Engine, confirm: Job[[int], None]
) -> None:
    with engine.connect() as connection:
        outbox.send(connection, confirm, 1)
        connection.commit()
        connection.execute(text("select 1"))
        assert ready(board) == 1
        outbox.send(connection, confirm, 2)
        connection.commit()
    assert ready(board) == 2


def test_a_pool_without_a_connection_to_spare_holds_nothing_up(board: Board, confirm: Job[[int], None]) -> None:
    with ExitStack() as held:
        while get_engine().pool.checkedout() < board.settings.worker_threads + 3:  # type: ignore[attr-defined]  # QueuePool's
            held.enter_context(get_engine().connect())
        with get_engine().begin() as last:
            outbox.send(last, confirm, 1)
        assert ready(board) == 1


def test_a_scoped_session_will_do(board: Board, engine: Engine, confirm: Job[[int], None]) -> None:
    session = scoped_session(sessionmaker(engine))
    outbox.send(session, confirm, 1)  # type: ignore[arg-type]  # SQLAlchemy types it as another class
    session.commit()
    session.remove()
    assert ready(board) == 1


def test_a_job_may_send_in_its_own_transaction(board: Board, confirm: Job[[int], None]) -> None:
    from callboard import transaction

    @job("parent")
    def parent() -> None:
        with transaction() as connection:
            outbox.send_many(connection, confirm, [{"order": n} for n in range(5)])

    sent = parent.send()
    with board.worker(threads=4):
        eventually(lambda: board.one("select count(*) from board.runs where state = 'completed'") == 6)
    children = board.query("select trigger, parent_id::text from board.runs where job = 'confirm'")
    assert children == [("job:parent", sent.message_id)] * 5


def test_what_cannot_be_sent_is_said_before_the_commit(board: Board, engine: Engine, confirm: Job[[int], None]) -> None:
    with engine.begin() as connection:
        with pytest.raises(ArgumentsError, match="missing a required argument: 'order'"):
            outbox.send(connection, confirm)  # type: ignore[call-arg]  # what is tested
        with pytest.raises(ArgumentsError, match="JSON"):
            outbox.send(connection, confirm, object())  # type: ignore[arg-type]  # what is tested
        with pytest.raises(ArgumentsError, match="more than the 262,144"):
            outbox.send_many(connection, confirm, [(1,), ("x" * 300_000,)])
        outbox.send(connection, confirm, 1)
    assert ready(board) == 1


def test_a_duplicate_of_a_single_job_is_said_before_the_commit(board: Board, engine: Engine) -> None:
    @job("sync", single_per="account")
    def sync(account: int) -> None: ...

    with engine.begin() as connection:
        first = outbox.send(connection, sync, 1)
        with pytest.raises(DuplicateRun) as told:
            outbox.send_many(connection, sync, [(2,), (3,), (1,)])
        assert told.value.existing == first.id
        with pytest.raises(DuplicateRun):
            outbox.send_many(connection, sync, [(4,), (4,)])
        outbox.send(connection, sync, 2)
    assert ready(board) == 2
    assert board.query("select scope from board.claims order by scope") == [("1",), ("2",)]


def test_another_database_is_refused(confirm: Job[[int], None], empty_postgres_url: str) -> None:
    for url, said in ((empty_postgres_url, "the ledger is on"), ("sqlite://", "is no Postgres")):
        other = create_engine(url.replace("postgresql://", "postgresql+psycopg://"), poolclass=NullPool)
        with other.begin() as connection, pytest.raises(ValueError, match=said):
            outbox.send(connection, confirm, 1)
    with pytest.raises(TypeError, match="AsyncSession"):
        outbox.send(get_engine(), confirm, 1)  # type: ignore[arg-type]  # what is tested


def test_a_database_that_was_not_migrated_is_refused(
    monkeypatch: pytest.MonkeyPatch, empty_postgres_url: str, broker_url: str
) -> None:
    from tests.board import open_board

    with open_board(monkeypatch, empty_postgres_url, broker_url):
        declared = job("confirm")(lambda: None)
        with get_engine().begin() as connection, pytest.raises(ValueError, match="callboard migrate"):
            outbox.send(connection, declared)


def test_a_broker_that_is_away_is_made_up_for(
    board: Board, engine: Engine, caplog: pytest.LogCaptureFixture, capsys: pytest.CaptureFixture[str]
) -> None:
    away = make_broker("redis://127.0.0.1:1")
    declared = job("away")(lambda: None)
    declared.broker = away
    with caplog.at_level(logging.WARNING), Session(engine) as session, session.begin():
        outbox.send(session, declared)
    assert "outbox.send_postponed" in capsys.readouterr().out + caplog.text
    assert states(board) == [("pending", False)]
    reconciler(board).tick()
    assert ready(board) == 1
    assert states(board) == [("pending", True)]
    assert board.one("select history -> 0 ->> 'event' from board.runs") == "sent again"
    away.close()


CRASHING = """
import os, sys
from dramatiq import Middleware
from sqlalchemy.orm import Session
from callboard import get_broker, job, outbox
from callboard.ledger.database import get_engine

class Crash(Middleware):
    def before_enqueue(self, broker, message, delay):
        os._exit(9)

job("confirm")(lambda order: None)
get_broker().add_middleware(Crash())
with Session(get_engine()) as session, session.begin():
    outbox.send_many(session, get_broker().get_actor("confirm"), [(n,) for n in range(3)])
"""


def test_a_crash_between_commit_and_publish_is_made_up_for(board: Board) -> None:
    job("confirm")(lambda order: order)
    done = subprocess.run([sys.executable, "-c", CRASHING], cwd=ROOT, env=os.environ.copy(), check=False, timeout=60)
    assert done.returncode == 9
    assert states(board) == [("pending", False)] * 3
    assert ready(board) == 0
    reconciler(board).tick()
    assert ready(board) == 3
    with board.worker():
        eventually(lambda: states(board) == [("completed", True)] * 3)
    assert board.one("select max(attempt) from board.runs") == 1


class Gate(Middleware):
    """Lets nobody through before all have come."""

    def __init__(self, parties: int) -> None:
        self.barrier = threading.Barrier(parties, timeout=20)
        self._met = threading.local()

    def before_enqueue(self, *_: object) -> None:
        if not getattr(self._met, "once", False):
            self._met.once = True
            self.barrier.wait()


def test_two_reconcilers_and_the_relay_at_once_do_not_double(
    board: Board, engine: Engine, confirm: Job[[int], None]
) -> None:
    """All three have seen that the messages are not there before the first one sends them."""
    others = [make_broker(board.settings.broker_url) for _ in range(2)]
    gate = Gate(3)
    for broker in (board.broker, *others):
        broker.add_middleware(gate)
    threads = [threading.Thread(target=reconciler(board, broker).tick) for broker in others]
    with Session(engine) as session:
        outbox.send_many(session, confirm, [(n,) for n in range(50)])
        committing = threading.Thread(target=session.commit)
        committing.start()
        eventually(lambda: board.one("select count(*) from board.runs") == 50)
        for thread in threads:
            thread.start()
        for thread in (committing, *threads):
            thread.join(20)
    assert ready(board) == 50
    with board.worker(threads=4):
        eventually(lambda: states(board) == [("completed", True)] * 50)
    assert board.one("select max(attempt) from board.runs") == 1
    for broker in others:
        broker.close()


def calls(board: Board) -> dict[str, int]:
    stats = board.broker.client.info("commandstats")  # type: ignore[attr-defined]  # Redis's
    return {name.removeprefix("cmdstat_"): int(row["calls"]) for name, row in stats.items()}


def test_a_thousand_messages_of_a_transaction_leave_in_one_round_trip(
    board: Board, engine: Engine, confirm: Job[[int], None]
) -> None:
    with Session(engine) as session, session.begin():
        outbox.send(session, confirm, 0)  # connects, checks the server and loads the script
    before = calls(board)
    with Session(engine) as session, session.begin():
        facts = outbox.send_many(session, confirm, [{"order": n} for n in range(1000)])
    after = calls(board)
    assert after.get("evalsha", 0) + after.get("fcall", 0) - before.get("evalsha", 0) - before.get("fcall", 0) == 1
    assert ready(board) == 1001
    assert len({fact.id for fact in facts}) == 1000
    assert board.one("select count(*) from board.runs where enqueued_at is not null") == 1001
