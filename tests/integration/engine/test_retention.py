"""What the janitor forgets, and what it never does."""

from __future__ import annotations

import pytest

from callboard.ledger import retention
from callboard.ledger.database import get_engine
from scheduler.janitor import Janitor
from tests.board import Board

OLD, NEW = "now() - interval '91 days'", "now() - interval '89 days'"


def failure(board: Board, when: str, *, run: str, issue: int) -> None:
    board.execute(f"""
        insert into board.failures (run_id, issue_id, job, queue, attempt, kind, retryable, label, error_type, error,
            correlation_id, occurred_at)
        values ('{run}', {issue}, 'j', 'q', 1, 'runtime', false, 'x', 'E', 'e', 'c', {when})
    """)


def issue(board: Board, number: int, when: str, status: str = "open") -> None:
    board.execute(f"""
        insert into board.issues (id, fingerprint, job, error_type, title, kind, status, last_seen_at)
        values ({number}, 'f{number}', 'j', 'E', 't', 'runtime', '{status}', {when})
    """)


def status(board: Board) -> dict[int, tuple[str, str | None, str | None]]:
    rows = board.query("select id, status, status_by, note from board.issues")
    return {row.id: (row.status, row.status_by, row.note) for row in rows}


def letter(board: Board, run: str, number: int, state: str) -> None:
    board.execute(f"""
        insert into board.dead_letters (run_id, issue_id, job, queue, payload, kind, reason, error_type, error,
            attempts, correlation_id, created_at, state)
        values ('{run}', {number}, 'j', 'q', 'x', 'runtime', 'r', 'E', 'e', 1, 'c', {OLD}, '{state}')
    """)


def tidy(board: Board) -> None:
    Janitor(get_engine(), board.settings, lambda: True).tick()


def test_old_rows_go_and_what_an_open_letter_needs_stays(board: Board) -> None:
    runs = {name: f"00000000-0000-0000-0000-00000000000{n}" for n, name in enumerate(("old", "new", "open", "done"))}
    for name, when in (("old", OLD), ("new", NEW), ("open", OLD), ("done", OLD)):
        failure(board, when, run=runs[name], issue=1)
    issue(board, 1, OLD)
    issue(board, 2, OLD, "resolved")
    issue(board, 3, OLD, "pending")
    issue(board, 4, NEW)
    letter(board, runs["open"], 1, "open")
    letter(board, runs["done"], 2, "replayed")
    tidy(board)
    left = {str(row.run_id) for row in board.query("select run_id from board.failures")}
    assert left == {runs["new"], runs["open"]}
    assert [row.id for row in board.query("select id from board.issues order by id")] == [1, 3, 4]
    assert board.one("select count(*) from board.dead_letters") == 2


def test_the_rest_goes_by_its_own_age(board: Board) -> None:
    for when in (OLD, NEW):
        board.execute(f"""
            insert into board.token_usages (run_id, category, model, correlation_id, calls, prompt_tokens,
                completion_tokens, recorded_at) values (gen_random_uuid(), 'x', '', 'c', 1, 1, 1, {when})
        """)
        board.execute(
            f"insert into board.audit (who, action, resource_type, resource_id, at) values ('w', 'a', 'r', '1', {when})"
        )
        board.execute(
            f"insert into board.trends (at, job, outcome, attempts, seconds) values ({when}, 'j', 'ok', 1, 1)"
        )
        board.execute(f"""
            insert into board.bulk_replays (run_id, filter, who, canary, stop_on_same, total, newest, last_failure,
                created_at) values (gen_random_uuid(), '', 'w', false, true, 1, 1, 1, {when})
        """)
    board.execute(
        "insert into board.audit (who, action, resource_type, resource_id, at) "
        "values ('w', 'a', 'r', '1', now() - interval '366 days')"
    )
    tidy(board)
    names = ("token_usages", "bulk_replays", "audit", "trends")
    counts = {name: board.one(f"select count(*) from board.{name}") for name in names}
    assert counts == {"token_usages": 1, "bulk_replays": 1, "audit": 2, "trends": 0}


def test_it_goes_on_until_nothing_old_is_left(board: Board) -> None:
    board.execute(f"""
        insert into board.audit (who, action, resource_type, resource_id, at)
        select 'w', 'a', 'r', '1', now() - interval '400 days' from generate_series(1, {retention.BATCH + 1})
    """)
    tidy(board)
    assert board.one("select count(*) from board.audit") == 0


def _quiet_issues(board: Board, days: int) -> None:
    """1: quiet; 2: with an open letter; 3: somebody's; 4: of a health check; 5: reopened today; 6: not so quiet yet."""
    long_ago, lately = f"now() - interval '{days} days 1 minute'", f"now() - interval '{days} days' + interval '1 hour'"
    for number in range(1, 7):
        issue(board, number, lately if number == 6 else long_ago, "pending" if number == 3 else "open")
    letter(board, "00000000-0000-0000-0000-000000000001", 1, "replayed")
    letter(board, "00000000-0000-0000-0000-000000000002", 2, "open")
    board.execute("update board.issues set kind = 'health' where id = 4")
    board.execute("update board.issues set status_at = now(), status_by = 'anna' where id = 5")


def test_the_issue_of_failures_that_do_not_come_back_is_resolved(board: Board) -> None:
    _quiet_issues(board, 14)
    tidy(board)
    quiet = ("resolved", "janitor", "quiet for 14 days")
    left = ("open", None, None)
    assert status(board) == {
        1: quiet, 2: left, 3: ("pending", None, None), 4: left, 5: ("open", "anna", None), 6: left,
    }  # fmt: skip


@pytest.mark.parametrize(("days", "resolved"), [(0, set()), (1, {1, 6}), (15, set())])
def test_how_long_is_quiet_is_a_setting(board: Board, days: int, resolved: set[int]) -> None:
    _quiet_issues(board, 14)
    settings = board.settings.model_copy(update={"issue_quiet_days": days})
    Janitor(get_engine(), settings, lambda: True).tick()
    assert {number for number, (found, _, _) in status(board).items() if found == "resolved"} == resolved
