"""Health checks of the leader: they open issues of queues, of what is outside and of jobs, and resolve them."""

from __future__ import annotations

import threading
import time
from typing import Any
from uuid import uuid4

import pytest
from dramatiq.errors import ConnectionClosed

from callboard import DeclarationError, NoRetry, job
from callboard import health as registry
from callboard.health import health_check, health_checks
from callboard.ledger import workers
from callboard.ledger.database import get_engine, transaction
from callboard.operations import Who
from callboard.operations import issues as operations
from callboard.operations.letters import discard, replay
from scheduler.health import HealthChecks
from tests.board import Board
from tests.integration.engine.letters import bury
from tests.support import eventually


@pytest.fixture(autouse=True)
def _no_checks_before(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(registry, "_checks", {})


def checks(board: Board, *, leading: bool = True, **given: Any) -> HealthChecks:  # noqa: ANN401 - settings
    return HealthChecks(get_engine(), board.broker, board.settings.model_copy(update=given), lambda: leading)


def told(board: Board, kind: str) -> list[tuple[Any, ...]]:
    query = "select subject, severity, status, occurrences from board.issues where type = :kind order by subject"
    return [tuple(row) for row in board.query(query, kind=kind)]


def live_worker(queues: list[str]) -> None:
    with transaction() as connection:
        row = {"host": "h", "pid": 1, "version": "0", "broker_id": "b", "queues": queues, "threads": 1}
        workers.register(connection, lease=60, id=uuid4(), **row)


def test_a_queue_with_work_and_nobody_to_do_it(board: Board) -> None:
    @job("mail", queue="mail")
    def mail() -> None: ...

    @job("idle", queue="idle")
    def idle() -> None: ...

    loop = checks(board)
    mail.send()
    loop.tick()
    assert told(board, "queue_health_degraded") == []  # a worker that is being replaced is none yet
    loop.tick()
    assert told(board, "queue_health_degraded") == [("mail", "critical", "open", 1)]
    loop.tick()
    assert told(board, "queue_health_degraded") == [("mail", "critical", "open", 1)]
    live_worker(["mail"])
    loop.tick()
    assert told(board, "queue_health_degraded") == [("mail", "critical", "resolved", 1)]
    (row,) = board.query("select title, note, status_by from board.issues")
    assert (row.title, row.note, row.status_by) == (
        "queue mail has 1 messages and no live worker",
        "healthy again",
        "health check",
    )
    board.execute("update board.workers set lease_until = now() - interval '1 s'")
    loop.tick()
    loop.tick()
    assert told(board, "queue_health_degraded") == [("mail", "critical", "open", 2)]


def test_a_canary_alone_is_no_work(board: Board) -> None:
    @job("mail", queue="mail")
    def mail() -> None: ...

    mail.send()
    board.execute("insert into board.canaries (queue, sent_at) values ('mail', now())")
    loop = checks(board)
    loop.tick()
    loop.tick()
    assert told(board, "queue_health_degraded") == []


def test_what_is_outside_opens_an_issue_and_resolves_it(board: Board) -> None:
    away = threading.Event()
    away.set()

    @health_check("ai_microservice", severity="error")
    def _ask() -> None:
        if away.is_set():
            raise ConnectionError("https://u:hunter2@ai.example answered 503")

    @health_check("fine")
    def _fine() -> None: ...

    loop = checks(board)
    loop.tick()
    assert told(board, "dependency_unavailable") == [("ai_microservice", "error", "open", 1)]
    title = board.one("select title from board.issues")
    assert title == "ai_microservice is unavailable: ConnectionError: https://u:[redacted]@ai.example answered 503"
    away.clear()
    loop.tick()
    assert told(board, "dependency_unavailable") == [("ai_microservice", "error", "resolved", 1)]
    away.set()
    loop.tick()
    assert board.query("select reopened, status_by from board.issues") == [(1, "recurrence")]


def test_a_check_that_hangs_is_answered_for_and_holds_one_thread(board: Board) -> None:
    held, asked = threading.Event(), []

    @health_check("slow", patience=0.05)
    def _ask() -> None:
        asked.append(1)
        held.wait(20)

    loop = checks(board)
    try:
        loop.tick()
        loop.tick()
        assert len(asked) == 1
        assert board.one("select title from board.issues") == "slow is unavailable: no answer within 0.05 s"
    finally:
        held.set()


def test_a_check_that_hangs_does_not_hold_up_a_stop(board: Board) -> None:
    entered, held = threading.Event(), threading.Event()

    @health_check("slow", patience=60.0)
    def _ask() -> None:
        entered.set()
        held.wait(20)

    loop = checks(board)
    loop.start()
    try:
        assert entered.wait(5)
        began = time.monotonic()
        loop.stop()
        assert time.monotonic() - began < 3
        assert board.query("select * from board.issues") == []
    finally:
        held.set()


def test_while_the_broker_is_away_it_is_said_and_queues_are_left_as_they_are(
    board: Board, monkeypatch: pytest.MonkeyPatch
) -> None:
    @job("mail", queue="mail")
    def mail() -> None: ...

    mail.send()
    loop = checks(board)
    loop.tick()
    loop.tick()
    before = told(board, "queue_health_degraded")

    def refuse(*_args: object) -> None:
        raise ConnectionClosed("connection refused")

    with monkeypatch.context() as patched:
        patched.setattr(board.broker, "depths", refuse)
        loop.tick()
        assert told(board, "dependency_unavailable") == [("broker", "critical", "open", 1)]
        assert told(board, "queue_health_degraded") == before == [("mail", "critical", "open", 1)]
    loop.tick()
    assert told(board, "dependency_unavailable") == [("broker", "critical", "resolved", 1)]


def failures(board: Board, count: int, *, error: str = "ReadTimeout", kind: str = "transient", scope: str = "") -> None:
    board.execute(
        """
        insert into board.failures
            (run_id, job, queue, attempt, kind, retryable, label, error_type, error, correlation_id, scope)
        select gen_random_uuid(), 'j', 'default', 1, :kind, true, 'recoverable', :error, 'x', 'c', :scope
        from generate_series(1, :count)
        """,
        count=count,
        error=error,
        kind=kind,
        scope=scope,
    )


def test_too_many_failures_of_one_class_within_an_hour(board: Board) -> None:
    loop = checks(board)
    failures(board, 10)
    failures(board, 11, error="Old")
    board.execute("update board.failures set occurred_at = now() - interval '61 min' where error_type = 'Old'")
    loop.tick()
    assert told(board, "job_health_degraded") == []
    failures(board, 1)
    loop.tick()
    assert told(board, "job_health_degraded") == [("error:ReadTimeout", "warning", "open", 1)]
    failures(board, 40)
    loop.tick()
    assert told(board, "job_health_degraded") == [("error:ReadTimeout", "critical", "open", 1)]
    board.execute("delete from board.failures")
    loop.tick()
    assert told(board, "job_health_degraded") == [("error:ReadTimeout", "critical", "resolved", 1)]


def test_what_somebody_has_dealt_with_counts_no_more_and_the_rest_is_named(board: Board) -> None:
    @job("brittle", queue="brittle", retry=NoRetry())
    def brittle(number: int) -> None:
        if number:
            raise RuntimeError("still wrong")

    @job("other", queue="brittle")
    def other() -> None: ...

    one, two, three, four = bury(brittle, [(0,), (1,), (0,), (0,)], error="first cause")
    bury(other, [(), ()], error="another one")
    first, second = (row.id for row in board.query("select id from board.issues order by job"))
    loop = checks(board, health_errors_per_hour_warning=1)

    def counted() -> Any:  # noqa: ANN401 - a row
        loop.tick()
        return board.query("select title, status from board.issues where type = 'job_health_degraded'")[0]

    both = f"issue:{second}, issue:{first}"
    assert counted() == (f"6 attempts failed with ValueError within an hour ({both})", "open")
    discard(four, who=Who("cli:anna"))
    replay(one, who=Who("cli:anna"))
    assert counted().title.startswith("5 attempts"), "a replay that has not ended has shown nothing"
    replay(two, who=Who("cli:anna"))
    with board.worker():
        eventually(lambda: board.one("select count(*) from board.runs where finished_at is not null") == 2)
    assert counted().title.startswith("3 attempts"), "a replay that failed has a failure of its own"
    operations.resolve(second, who=Who("cli:anna"))
    assert counted().status == "resolved"
    assert board.one("select count(*) from board.dead_letters where id = :id and state = 'open'", id=three) == 1


def test_an_issue_that_comes_back_brings_back_what_was_resolved_too_early(board: Board) -> None:
    @job("brittle")
    def brittle() -> None: ...

    loop = checks(board, health_errors_per_hour_warning=1)
    for act, expected in ((None, "open"), (operations.resolve, "resolved"), (operations.reopen, "open")):
        if act is None:
            bury(brittle, [(), ()], error="x")
        else:
            act(board.one("select id from board.issues where type <> 'job_health_degraded'"), who=Who("cli:anna"))
        loop.tick()
        assert told(board, "job_health_degraded")[0][2] == expected


def test_refused_credentials_by_account_and_in_all(board: Board) -> None:
    loop = checks(board)
    failures(board, 4, kind="authentication", scope="account 7")
    failures(board, 1, kind="authentication")
    loop.tick()
    assert told(board, "job_health_degraded") == [("authentication:account 7", "warning", "open", 1)]
    failures(board, 7, kind="authentication", scope="account 7")
    loop.tick()
    assert told(board, "job_health_degraded") == [
        ("authentication", "warning", "open", 1),
        ("authentication:account 7", "critical", "open", 1),
    ]


def test_too_many_runs_that_wait_for_a_retry(board: Board) -> None:
    board.execute("""
        insert into board.runs (id, created_at, job, queue, state, trigger, correlation_id, reason)
        select gen_random_uuid(), now(), 'j', 'q', 'pending', 'send', 'c', 'retry' from generate_series(1, 51)
    """)
    checks(board, health_retries_warning=51).tick()
    assert told(board, "job_health_degraded") == []
    checks(board).tick()
    assert told(board, "job_health_degraded") == [("retries", "warning", "open", 1)]
    checks(board, health_retries_critical=50).tick()
    assert told(board, "job_health_degraded") == [("retries", "critical", "open", 1)]
    assert board.one("select title from board.issues") == "more than 50 runs wait for a retry"


def test_an_issue_that_was_resolved_too_early_opens_again(board: Board) -> None:
    loop = checks(board)
    failures(board, 11)
    loop.tick()
    operations.resolve(board.one("select id from board.issues"), who=Who("cli:anna"))
    loop.tick()
    assert board.query("select status, occurrences, reopened from board.issues") == [("open", 2, 1)]


def test_a_fault_of_a_check_is_no_issue_and_stops_no_other(board: Board, monkeypatch: pytest.MonkeyPatch) -> None:
    failures(board, 11)
    loop = checks(board)
    monkeypatch.setattr(board.broker, "get_declared_queues", lambda: 1 / 0)
    loop.tick()
    kinds = {row.type for row in board.query("select type from board.issues")}
    assert "queue_health_degraded" not in kinds
    assert told(board, "job_health_degraded") == [("error:ReadTimeout", "warning", "open", 1)]


def test_who_does_not_lead_looks_at_nothing(board: Board) -> None:
    failures(board, 100)
    checks(board, leading=False).tick()
    checks(board, health_seconds=0).tick()
    assert board.query("select * from board.issues") == []


def test_a_check_is_declared_once_and_properly() -> None:
    @health_check("x")
    def first() -> None: ...

    health_check("x")(first)  # its module was loaded again
    assert list(health_checks()) == ["x"]
    with pytest.raises(DeclarationError, match="declared twice"):
        health_check("x")(lambda: None)
    with pytest.raises(DeclarationError, match="name what it checks"):
        health_check("")
    with pytest.raises(DeclarationError, match="must be one of info, warning, error, critical"):
        health_check("y", severity="bad")  # type: ignore[arg-type] # what is refused
