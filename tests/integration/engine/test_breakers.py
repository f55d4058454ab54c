"""Circuit breakers on a real ledger: one state for all workers, and nothing to pay while all is well."""

from __future__ import annotations

from concurrent.futures import ThreadPoolExecutor
from contextlib import suppress
from typing import TYPE_CHECKING

import httpx
import pytest
from sqlalchemy import event

from callboard import BreakerOpen, NotPublic, PermanentError, Postponed, TransientError, breaker, transaction
from callboard.breakers import known as knowing
from callboard.breakers.verdict import Verdict, verdict
from callboard.ledger import breakers as ledger
from callboard.ledger.database import get_engine

if TYPE_CHECKING:
    from collections.abc import Iterator

    from tests.board import Board

KEY = "siem:one"


@pytest.fixture(autouse=True)
def other_process(monkeypatch: pytest.MonkeyPatch) -> knowing.Known:
    """This test's process knows nothing yet."""
    from callboard.breakers import circuit

    fresh = knowing.Known()
    monkeypatch.setattr(circuit, "known", fresh)
    return fresh


def fail(times: int = 1, key: str = KEY, *, failures: int = 3, cooldown: float = 60.0) -> None:
    for _ in range(times):
        with suppress(TransientError), breaker(key, failures=failures, cooldown=cooldown):
            raise TransientError("away")


def succeed(key: str = KEY) -> None:
    with breaker(key, failures=3):
        pass


def row(board: Board, key: str = KEY) -> tuple[str, int]:
    (found,) = board.query("select state, failures from board.breakers where key = :key", key=key)
    return found.state, found.failures


def cool(board: Board, known: knowing.Known) -> None:
    """The cooldown is over."""
    board.execute("update board.breakers set opened_at = opened_at - make_interval(secs => cooldown)")
    known.of(KEY, anew=True)


def test_it_opens_after_failures_in_a_row_and_says_for_how_long(board: Board) -> None:
    fail(2)
    assert row(board) == ("closed", 2)
    succeed()
    assert row(board) == ("closed", 0)
    fail(3)
    assert row(board) == ("open", 3)
    with pytest.raises(BreakerOpen, match="siem:one") as refused:
        succeed()
    assert refused.value.retry_after == pytest.approx(60, abs=2)
    succeed("siem:two")


def test_another_process_sees_it(board: Board, other_process: knowing.Known) -> None:
    fail(3)
    unaware = knowing.Known()
    assert unaware.of(KEY).state == "open"
    assert other_process.of(KEY).state == "open"
    assert row(board) == ("open", 3)


def test_one_probe_closes_it_and_only_one_goes(board: Board, other_process: knowing.Known) -> None:
    fail(3)
    cool(board, other_process)
    first = breaker(KEY)
    with first:
        with pytest.raises(BreakerOpen):
            succeed()
        assert row(board)[0] == "half_open"
    assert row(board) == ("closed", 0)
    succeed()


def test_a_probe_that_fails_begins_the_cooldown_anew(board: Board, other_process: knowing.Known) -> None:
    fail(3)
    since = board.one("select unwell_since from board.breakers")
    cool(board, other_process)
    fail()
    assert row(board) == ("open", 4)
    assert board.one("select unwell_since from board.breakers") == since
    with pytest.raises(BreakerOpen) as refused:
        succeed()
    assert refused.value.retry_after == pytest.approx(60, abs=2)


def test_a_probe_that_learned_nothing_leaves_room_for_the_next(board: Board, other_process: knowing.Known) -> None:
    fail(3)
    cool(board, other_process)
    with pytest.raises(Postponed), breaker(KEY):
        raise Postponed(1, "no free slot")
    assert row(board) == ("open", 3)
    succeed()
    assert row(board) == ("closed", 0)


def test_a_probe_whose_process_died_is_made_again(board: Board, other_process: knowing.Known) -> None:
    fail(3)
    cool(board, other_process)
    lost = breaker(KEY)
    lost.__enter__()
    board.execute("update board.breakers set probe_until = now()")
    other_process.of(KEY, anew=True)
    succeed()
    assert row(board) == ("closed", 0)
    fail(3)
    lost.__exit__(None, None, None)
    assert row(board) == ("open", 3), "a late probe may not close what opened since"


def test_sixteen_threads_win_one_probe(board: Board, other_process: knowing.Known) -> None:
    fail(3)
    cool(board, other_process)
    won: list[int] = []

    def call(number: int) -> None:
        with suppress(BreakerOpen, TransientError), breaker(KEY):
            won.append(number)
            raise TransientError("still away")

    with ThreadPoolExecutor(16) as pool:
        list(pool.map(call, range(64)))
    assert len(won) == 1
    assert row(board) == ("open", 4)


def test_failures_that_were_under_way_do_not_lengthen_the_pause(board: Board) -> None:
    slow = breaker(KEY, failures=3)
    slow.__enter__()
    fail(3)
    opened = board.one("select opened_at from board.breakers")
    error = TransientError("late")
    slow.__exit__(type(error), error, None)
    assert (row(board), board.one("select opened_at from board.breakers")) == (("open", 3), opened)


@pytest.fixture
def statements(board: Board) -> Iterator[list[str]]:  # noqa: ARG001 - its engine
    found: list[str] = []

    def note(_connection: object, _cursor: object, statement: str, *_: object) -> None:
        found.append(statement)

    event.listen(get_engine(), "before_cursor_execute", note)
    yield found
    event.remove(get_engine(), "before_cursor_execute", note)


def test_while_all_is_well_it_costs_one_statement_a_second_for_all_keys(
    statements: list[str], monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr(knowing, "FRESH_SECONDS", 1000.0)
    statements.clear()
    for number in range(200):
        succeed(f"siem:{number}")
    assert len(statements) <= 1


def test_a_reset_closes_it(board: Board, other_process: knowing.Known) -> None:
    fail(3)
    with transaction() as connection:
        closed = ledger.reset(connection, KEY)
        assert ledger.reset(connection, "siem:none") is None
    assert closed is not None
    assert (closed["state"], closed["probe_at"]) == ("closed", None)
    other_process.of(KEY, anew=True)
    succeed()
    assert row(board) == ("closed", 0)


def test_the_counts_by_kind(board: Board) -> None:
    fail(3)
    fail(1, "siem:two")
    fail(3, "webhook:a:b")
    board.execute("update board.breakers set unwell_since = now() - interval '1 hour' where key = 'webhook:a:b'")
    with transaction() as connection:
        found = [(one["kind"], one["state"], one["breakers"]) for one in ledger.by_kind(connection)]
        longest = max(one["open_seconds"] for one in ledger.by_kind(connection))
        keys = [one["key"] for one in ledger.listing(connection, unwell=True)]
    assert found == [("siem", "closed", 1), ("siem", "open", 1), ("webhook", "open", 1)]
    assert longest == pytest.approx(3600, abs=5)
    assert keys == ["webhook:a:b", KEY, "siem:two"]


def test_without_a_ledger_it_lets_everything_pass(monkeypatch: pytest.MonkeyPatch) -> None:
    def missing() -> None:
        raise LookupError

    monkeypatch.setattr(knowing, "get_engine", missing)
    monkeypatch.setattr("callboard.breakers.circuit.transaction", missing)
    fail(9, failures=1)
    succeed()


def answered(status: int) -> httpx.HTTPStatusError:
    request = httpx.Request("POST", "http://target")
    return httpx.HTTPStatusError("no", request=request, response=httpx.Response(status, request=request))


@pytest.mark.parametrize(
    ("error", "expected"),
    [
        (None, Verdict.WELL),
        (TransientError("away"), Verdict.UNWELL),
        (BreakerOpen("other", retry_after=1), Verdict.UNKNOWN),
        (PermanentError("400"), Verdict.WELL),
        (NotPublic("10.0.0.1"), Verdict.UNKNOWN),
        (httpx.ConnectTimeout("slow"), Verdict.UNWELL),
        (httpx.UnsupportedProtocol("ftp"), Verdict.UNKNOWN),
        (answered(404), Verdict.WELL),
        (answered(429), Verdict.UNWELL),
        (answered(503), Verdict.UNWELL),
        (ConnectionResetError(), Verdict.UNWELL),
        (KeyError("ours"), Verdict.UNKNOWN),
        (Postponed(1, "later"), Verdict.UNKNOWN),
    ],
)
def test_what_the_end_of_a_call_says_of_its_target(error: BaseException | None, expected: Verdict) -> None:
    assert verdict(error) is expected


@pytest.mark.parametrize("given", [{"key": ""}, {"key": "k" * 201}, {"failures": 0}, {"cooldown": 0}])
def test_what_makes_no_sense_is_refused(given: dict[str, object]) -> None:
    with pytest.raises(ValueError, match="breaker"):
        breaker(**({"key": KEY} | given))  # type: ignore[arg-type]  # wrong on purpose
