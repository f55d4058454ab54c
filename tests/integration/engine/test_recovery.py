"""Recovery: dead workers, an absent ledger, old months."""

from __future__ import annotations

import threading
from datetime import UTC, datetime, timedelta
from typing import TYPE_CHECKING
from uuid import UUID, uuid4

import pytest
from dramatiq import Message
from sqlalchemy import create_engine, make_url, text
from sqlalchemy.pool import NullPool

from callboard import every, job, transaction
from callboard.broker import RedisBroker
from callboard.envelope import delivery_id, facts_of
from callboard.ledger import partitions, workers
from callboard.ledger.database import get_engine
from callboard.ledger.recorder import Recorder
from scheduler.janitor import Janitor
from scheduler.reaper import RESTARTED, Reaper
from tests.board import Board
from tests.support import eventually

if TYPE_CHECKING:
    from callboard import Job


def lead() -> bool:
    return True


def dead_worker(broker_id: str) -> UUID:
    worker_id = uuid4()
    with transaction() as connection:
        row = {"host": "h", "pid": 1, "version": "0", "queues": ["default"], "threads": 1}
        workers.register(connection, lease=-1, id=worker_id, broker_id=broker_id, **row)
    return worker_id


def start_on_dead_worker(board: Board, declared: Job[[], None], broker_id: str = "gone") -> Message[None]:
    """A run that was started by a worker that has died since, its message claimed and not acknowledged."""
    message = declared.send()
    engine = create_engine(board.database_url, poolclass=NullPool)
    recorder = Recorder(engine, dead_worker(broker_id), board.settings)
    recorder.start(facts_of(message, declared.spec))
    return message


def reaper(board: Board) -> Reaper:
    return Reaper(get_engine(), board.broker, board.settings, lead)


def test_a_dead_workers_run_goes_back_and_completes(board: Board) -> None:
    @job("lost", single=True)
    def lost() -> None: ...

    message = start_on_dead_worker(board, lost)
    reaper(board).tick()
    (run,) = board.query("select state, crashes, token, history from board.runs")
    assert (run.state, run.crashes, run.token) == ("pending", 1, None)
    assert run.history[0]["event"] == "lost"
    assert board.one("select state from board.workers") == "dead"
    assert board.one("select lease_until > now() from board.claims")
    with board.worker():
        eventually(lambda: board.query("select id::text from board.runs where state = 'completed'"))
    assert board.one("select id::text from board.runs") == message.message_id
    assert board.one("select attempt from board.runs") == 2


def test_the_third_unfinished_start_is_a_dead_letter_of_kind_poison(board: Board) -> None:
    @job("poison", durable=True)
    def poison() -> None: ...

    start_on_dead_worker(board, poison)
    board.execute("update board.runs set crashes = 2")
    reaper(board).tick()
    with board.worker():
        (letter,) = eventually(lambda: board.query("select * from board.dead_letters"))
        eventually(lambda: board.broker.depths(["default"])["default"][:2] == (0, 0))
    assert (letter.kind, letter.reason, letter.error_type) == ("poison", "poison", "PoisonMessage")
    assert board.query("select state, crashes from board.runs") == [("failed", 3)]


def test_after_a_suspect_nothing_begins_before_its_end_is_written(board: Board) -> None:
    """A killer that began in between would take it along, and make poison of it."""
    began, enough = {name: threading.Event() for name in ("suspect", "other")}, threading.Event()

    @job("suspect")
    def suspect() -> None:
        began["suspect"].set()
        enough.wait(10)

    @job("other")
    def other() -> None:
        began["other"].set()

    message = suspect.message()
    assert isinstance(board.broker, RedisBroker)
    board.broker.client.hset(f"{board.broker.namespace}:crashes", delivery_id(message), 2)
    apart = create_engine(board.database_url, poolclass=NullPool)
    with board.worker(), apart.connect() as writing:
        other.send()  # now this process has tokens, and the next one needs nothing of the ledger
        assert began["other"].wait(10)
        began["other"].clear()
        board.broker.enqueue(message)
        assert began["suspect"].wait(10)
        row = text("select from board.runs where id = :id for update")
        writing.execute(row, {"id": message.message_id})
        enough.set()
        other.send()
        assert not began["other"].wait(0.3)
        writing.rollback()
        assert began["other"].wait(10)
        state = "select state from board.runs where id = :id"
        assert board.one(state, id=message.message_id) == "completed"


def test_a_job_that_must_not_run_again_fails_with_the_servers_restart(board: Board) -> None:
    @job("once", on_crash="fail", durable=True, single=True)
    def once() -> None: ...

    start_on_dead_worker(board, once)
    reaper(board).tick()
    assert board.query("select state, error from board.runs") == [("failed", RESTARTED)]
    assert board.query("select reason, error_type from board.dead_letters") == [("worker lost", "WorkerLost")]
    assert board.one("select count(*) from board.claims") == 0


def test_a_run_of_a_process_without_a_broker_fails_with_it(board: Board) -> None:
    @job("here", cadence=every(seconds=60))
    def here() -> None: ...

    start_on_dead_worker(board, here, broker_id="")
    reaper(board).tick()
    assert board.one("select state from board.runs") == "failed"


def test_only_a_leader_reaps(board: Board) -> None:
    @job("lost")
    def lost() -> None: ...

    start_on_dead_worker(board, lost)
    Reaper(get_engine(), board.broker, board.settings, lambda: False).tick()
    assert board.one("select state from board.runs") == "running"


def test_months_are_made_ahead_and_dropped_whole_unless_a_run_is_open(board: Board) -> None:
    now = datetime(2027, 3, 15, tzinfo=UTC)
    with transaction() as connection:
        made = partitions.ensure(connection, now=now)
        assert made == ["runs_2027_03", "runs_2027_04", "runs_2027_05"]
        assert partitions.ensure(connection, now=now) == []
    board.execute(
        "insert into board.runs (id, created_at, job, queue, state, trigger, correlation_id)"
        " values (gen_random_uuid(), '2027-03-20', 'j', 'q', 'pending', 't', 'c')"
    )
    later = datetime(2027, 9, 1, tzinfo=UTC)
    with transaction() as connection:
        dropped = partitions.prune(connection, older_than=timedelta(days=90), now=later)
        assert "runs_2027_04" in dropped
        assert "runs_2027_03" not in dropped


def test_rows_without_a_month_wait_in_the_default_partition_and_move(board: Board) -> None:
    board.execute(
        "insert into board.runs (id, created_at, job, queue, state, trigger, correlation_id)"
        " values (gen_random_uuid(), '2031-05-20', 'j', 'q', 'completed', 't', 'c')"
    )
    assert board.one("select count(*) from board.runs_default") == 1
    with transaction() as connection:
        partitions.ensure(connection, now=datetime(2031, 5, 2, tzinfo=UTC))
    assert board.one("select count(*) from board.runs_default") == 0
    assert board.one("select count(*) from board.runs_2031_05") == 1


def test_the_janitor_tidies_when_it_leads(board: Board) -> None:
    board.execute(
        "insert into board.occurrences (job, scheduled_for, outcome, recorded_at)"
        " values ('j', now(), 'fired', now() - interval '91 days'), ('j', now() - interval '1 s', 'fired', now())"
    )
    Janitor(get_engine(), board.settings, lambda: False).tick()
    assert board.one("select count(*) from board.occurrences") == 2
    Janitor(get_engine(), board.settings, lead).tick()
    assert board.one("select count(*) from board.occurrences") == 1


def test_a_frozen_worker_that_wakes_up_is_taken_back(board: Board) -> None:
    with board.worker():
        board.execute("update board.workers set state = 'dead'")
        eventually(lambda: board.one("select state from board.workers") == "alive")
    assert board.one("select state from board.workers") == "stopped"


def allow_connections(url: str, *, allowed: bool) -> None:
    """Close a database to new connections and end those that are there, or open it again."""
    name = make_url(url).database
    engine = create_engine(make_url(url).set(database="postgres"), poolclass=NullPool, isolation_level="AUTOCOMMIT")
    with engine.connect() as connection:
        connection.exec_driver_sql(f"alter database {name} allow_connections {allowed}")
        if not allowed:
            ending = f"select pg_terminate_backend(pid) from pg_stat_activity where datname = '{name}'"
            connection.exec_driver_sql(ending)


def test_a_ledger_that_is_away_holds_a_run_back_and_loses_nothing(
    board: Board, capsys: pytest.CaptureFixture[str], caplog: pytest.LogCaptureFixture
) -> None:
    entered, leave = threading.Event(), threading.Event()

    @job("wait")
    def wait() -> None:
        entered.set()
        assert leave.wait(10)

    with board.worker():
        message = wait.send()
        assert entered.wait(5)
        allow_connections(board.database_url, allowed=False)
        try:
            leave.set()
            eventually(lambda: "ledger.away" in capsys.readouterr().out + caplog.text)
        finally:
            allow_connections(board.database_url, allowed=True)
        eventually(lambda: board.query("select state from board.runs") == [("completed",)])
    assert board.one("select id::text from board.runs") == message.message_id
