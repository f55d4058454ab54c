"""`callboard issues` and `callboard failures` on a real ledger."""

from __future__ import annotations

import json
from typing import TYPE_CHECKING, Any

import pytest

from callboard.failures import Kind
from callboard.ledger import failures
from callboard.ledger.database import transaction
from callboard.ledger.failures import Failing
from callboard.outcome import Failure
from tests.integration.engine.recorder_kit import facts
from tests.support import eventually

if TYPE_CHECKING:
    import subprocess
    from collections.abc import Callable

    from tests.integration.cli.conftest import Board


def fail(message: str, *, kind: Kind | None = None, buried: str | None = "spent", **given: Any) -> None:  # noqa: ANN401
    run = facts(**given)
    failure = Failure.of(ConnectionError(message), job=run.job, scope=run.concern, kind=kind)
    lines = [{"at": "2026-01-05T12:00:00.000Z", "level": "info", "event": "sync.page", "logger": "sync", "page": 3}]
    with transaction() as connection:
        failures.record(connection, Failing(run, 1, failure, buried, "0af7", lines, 1.5))


def rows(text: str) -> list[dict[str, Any]]:
    found: list[dict[str, Any]] = json.loads(text)
    return found


def test_an_empty_board_says_so(board: Board) -> None:
    assert board("issues").out.startswith("No issue fits: nothing to mend.")
    assert board("failures").out.startswith("No failure fits.")
    assert board("issues", "--json").out == "[]\n"


def test_issues_are_listed_and_filtered(board: Board) -> None:
    fail("mail server away", job="mail")
    fail("mail server away", job="mail")
    fail("cookie expired", job="sync", kind=Kind.AUTHENTICATION)
    found = rows(board("issues", "--json").out)
    assert [(row["job"], row["type"], row["occurrences"]) for row in found] == [
        ("sync", "authentication_required", 1),
        ("mail", "job_failure", 2),
    ]
    assert [row["job"] for row in rows(board("issues", "list", "job:mail", "--json").out)] == ["mail"]
    table = board("issues").out
    assert "critical" in table
    assert "ConnectionError: mail server away" in table
    assert [row["job"] for row in rows(board("issues", "job:mail", "--json").out)] == ["mail"]
    assert len(rows(board("issues", "-n", "1", "status:open", "--json").out)) == 1
    assert board("issues", "jbo:mail").code == board("issues", "list", "jbo:mail").code == 2
    nearly = board("issues", "resolv", "1")
    assert (nearly.code, nearly.out) == (2, "")
    assert "did you mean resolve?" in nearly.err
    for group in ("failures", "dead-letters"):
        assert board(group, "job:mail", "--json").out == board(group, "list", "job:mail", "--json").out


def test_one_issue_is_shown_with_what_to_do_next(board: Board) -> None:
    fail("mail server away", job="mail", project_id="p1")
    page = board("issues", "show", "1").out
    assert "issue 1  ConnectionError: mail server away" in page
    assert "1 open of 1" in page
    assert "`callboard dead-letters replay issue:1 --dry-run`" in page
    told = json.loads(board("issues", "show", "1", "--json").out)
    assert (told["open_letters"], told["project_id"], len(told["failures"])) == (1, "p1", 1)
    assert (board("issues", "show", "7").code, board("issues", "show", "x").code) == (4, 2)


def test_an_issue_is_taken_silenced_resolved_and_opened_again(board: Board) -> None:
    fail("mail server away", buried=None)
    assert "is yours" in board("issues", "take", "1").out
    assert "is silent until" in board("issues", "silence", "1", "--for", "2h").out
    assert "silent" in board("issues").out
    assert "no longer silent" in board("issues", "silence", "1", "--end").out
    assert board("issues", "silence", "1").code == 2
    assert "is resolved" in board("issues", "resolve", "1", "--why", "fixed by 1.2").out
    assert board("issues").out.startswith("No issue fits")
    page = board("issues", "show", "1").out
    assert "fixed by 1.2" in page
    fail("mail server away", buried=None)
    (row,) = rows(board("issues", "--json").out)
    assert (row["status"], row["reopened"], row["occurrences"]) == ("open", 1, 2)
    assert board("issues", "reopen", "1").code == 0


def test_failures_are_listed_and_shown_with_their_lines(board: Board) -> None:
    fail("mail server away", job="mail", args={"to": "anna"})
    fail("no route", job="sync")
    found = rows(board("failures", "--json").out)
    assert [(row["job"], row["retryable"], row["duration_seconds"]) for row in found] == [
        ("sync", True, 1.5),
        ("mail", True, 1.5),
    ]
    assert [row["id"] for row in rows(board("failures", "list", "job:mail", "--json").out)] == [1]
    page = board("failures", "show", "1").out
    for part in ("failure 1  mail", "sync.page page=3", '{"to": "anna"}', "ConnectionError: mail server away", "0af7"):
        assert part in page
    assert "`callboard failures retry 1`" in page
    assert json.loads(board("failures", "show", "1", "--json").out)["log"][0]["page"] == 3
    assert (board("failures", "show", "9").code, board("failures", "show", "x").code) == (4, 2)


def test_a_failure_is_retried_once(board: Board, worker: Callable[..., subprocess.Popen[str]]) -> None:
    assert board("trigger", "broken").code == 0
    worker()
    eventually(lambda: rows(board("failures", "--json").out), 20, every=0.2, what="a failure")
    (failure,) = rows(board("failures", "--json").out)
    refused = board("failures", "retry", str(failure["id"]))
    assert (refused.code, "is not retryable" in refused.err) == (1, True)
    good = board("failures", "retry", str(failure["id"]), "--force", "--why", "mended")
    assert (good.code, good.out.startswith(f"failure {failure['id']}  runs again: callboard run show ")) == (0, True)
    again = board("failures", "retry", str(failure["id"]), "--json", "--force")
    assert (again.code, rows(again.out)[0]["result"]) == (1, "refused")


@pytest.mark.parametrize("command", ["issues", "failures"])
def test_help_is_plain(board: Board, command: str) -> None:
    assert "show" in board(command, "--help").out
