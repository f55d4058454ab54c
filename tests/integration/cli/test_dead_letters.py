from __future__ import annotations

import json
import signal
import time
from datetime import timedelta
from typing import TYPE_CHECKING, Any

import pytest
from sqlalchemy import text

from callboard.ledger.database import transaction
from tests.integration.cli.conftest import state_of
from tests.support import eventually

if TYPE_CHECKING:
    import subprocess
    from collections.abc import Callable

    from tests.integration.cli.conftest import Board

    Start = Callable[..., subprocess.Popen[str]]


def letters(board: Board, *argv: str) -> list[dict[str, Any]]:
    answer = board("dead-letters", "list", "--state", "all", "--json", *argv)
    assert answer.code == 0
    found: list[dict[str, Any]] = json.loads(answer.out)
    return sorted(found, key=lambda letter: int(letter["id"]))


@pytest.fixture
def three(board: Board) -> list[int]:
    """Dead letters of `broken`, oldest first; the first is two days old, the last of another error and kind."""
    for reason in ("the disk is full", "the disk is full", "no paper"):
        assert board("run", "broken", "--arg", f"reason={reason}").code == 1
    ids = [int(letter["id"]) for letter in letters(board)]
    change = text("update board.dead_letters set created_at = now() - :age, kind = :kind where id = :id")
    with transaction() as connection:
        connection.execute(change, {"id": ids[0], "age": timedelta(days=2), "kind": "runtime"})
        connection.execute(change, {"id": ids[2], "age": timedelta(0), "kind": "transient"})
    return ids


def test_letters_are_listed_with_their_error_and_age(board: Board, three: list[int]) -> None:
    lines = board("dead-letters", "list").out.splitlines()
    assert [line.split()[0] for line in lines] == ["id", *(str(letter) for letter in reversed(three))]
    assert "PermanentError: no paper" in lines[1]
    assert "2 d ago" in lines[3]


def test_a_letter_is_shown_with_its_story_and_its_payload(board: Board, three: list[int]) -> None:
    page = board("dead-letters", "show", str(three[2])).out
    assert "broken  open" in page
    assert 'arguments   {"reason": "no paper"}' in page
    assert "raise PermanentError(reason)" in page
    payload = json.loads(board("dead-letters", "show", str(three[2]), "--payload").out)
    assert payload["kwargs"] == {"reason": "no paper"}
    shown = json.loads(board("dead-letters", "show", str(three[2]), "--json").out)
    assert (shown["state"], shown["job"]) == ("open", "broken")
    assert "payload" not in shown


@pytest.mark.parametrize(
    ("filters", "chosen"),
    [
        (["--job", "broken"], [0, 1, 2]),
        (["--error", "DISK"], [0, 1]),
        (["--kind", "transient"], [2]),
        (["--older-than", "1d"], [0]),
        (["--newer-than", "1d"], [1, 2]),
        (["--error", "disk", "--newer-than", "1h"], [1]),
        (["--all"], [0, 1, 2]),
        (["job:bro*", "kind:transient"], [2]),
        (["error:disk", "--older-than", "1d"], [0]),
    ],
)
def test_a_dry_run_names_what_a_filter_means_and_does_nothing(
    board: Board, three: list[int], filters: list[str], chosen: list[int]
) -> None:
    ids = [three[index] for index in chosen]
    for verb in ("replay", "discard"):
        answer = board("dead-letters", verb, "--dry-run", *filters)
        assert answer.code == 0
        first, *plan = answer.out.splitlines()
        assert first == f"Would {verb} {len(ids)} letter{'s' if len(ids) > 1 else ''}: " + ", ".join(map(str, ids))
        assert f"{len(ids):>6}  broken" in "\n".join(plan)
    assert {letter["state"] for letter in letters(board)} == {"open"}


def test_replay_makes_a_run_with_the_same_payload_and_correlation(board: Board, three: list[int]) -> None:
    answer = board("dead-letters", "replay", str(three[2]))
    assert answer.code == 0
    letter = letters(board)[2]
    assert letter["state"] == "replayed"
    run = json.loads(board("run", "show", str(letter["replay_run_id"]), "--json").out)
    assert (run["args"], run["trigger"]) == ({"reason": "no paper"}, f"replay:{three[2]}")
    assert run["correlation_id"] == letter["correlation_id"]
    assert run["id"][:8] in answer.out


def test_replaying_twice_is_refused_with_who_and_when(board: Board, three: list[int]) -> None:
    board("dead-letters", "replay", str(three[0]))
    again = board("dead-letters", "replay", str(three[0]))
    assert again.code == 1
    assert again.err.count("\n") == 1
    settled = letters(board)[0]
    assert f"was replayed at {settled['settled_at'][:10]}" in again.err
    assert f"by {settled['settled_by']}" in again.err
    assert settled["settled_by"].startswith("cli:")
    discarded = board("dead-letters", "discard", str(three[0]))
    assert discarded.code == 1
    assert "was replayed at" in discarded.err
    both = board("dead-letters", "replay", str(three[0]), str(three[1]), "--yes")
    assert both.code == 1
    assert "refused" in both.err
    assert [letter["state"] for letter in letters(board)] == ["replayed", "replayed", "open"]


def test_discarding_keeps_the_row(board: Board, three: list[int]) -> None:
    answer = board("dead-letters", "discard", "--error", "disk", "--yes")
    assert (answer.code, answer.out) == (0, "2 discarded, 0 refused.\n")
    assert [letter["state"] for letter in letters(board)] == ["discarded", "discarded", "open"]
    assert "No open dead letter fits" in board("dead-letters", "discard", "--error", "disk").err
    assert board("dead-letters", "replay", str(three[0])).code == 1


@pytest.mark.parametrize(
    ("argv", "code", "words"),
    [
        (["replay"], 2, "choose letters by their ids"),
        (["replay", "1", "--all"], 2, "choose letters by their ids"),
        (["replay", "--all"], 2, "add --yes to do it, or --dry-run"),
        (["discard", "--all"], 2, "add --yes to do it, or --dry-run"),
        (["replay", "987654"], 4, "No dead letter has the id 987654"),
        (["discard", "987654"], 4, "No dead letter has the id 987654"),
        (["show", "987654"], 4, "No dead letter has the id 987654"),
        (["replay", "--job", "quick"], 4, "No open dead letter fits"),
        (["replay", "--older-than", "old"], 2, "is no age"),
        (["replay", "seven"], 2, "'seven' is no id"),
        (["replay", "isue:12"], 2, "did you mean issue:"),
        (["replay", "1", "job:broken"], 2, "choose letters by their ids"),
        (["replay", "--all", "--yes", "--arg", "reason=x"], 2, "--arg changes the arguments of one letter"),
        (["replay", "1", "--detach", "--arg", "reason=x"], 2, "leave --detach out"),
        (["show", "seven"], 2, "'seven' is no id"),
    ],
)
@pytest.mark.usefixtures("three")
def test_what_is_not_meant_is_not_done(board: Board, argv: list[str], code: int, words: str) -> None:
    answer = board("dead-letters", *argv)
    assert answer.code == code
    assert words in answer.err
    assert answer.err.count("\n") == 1
    assert {letter["state"] for letter in letters(board)} == {"open"}


@pytest.mark.usefixtures("three")
def test_a_bulk_replay_keeps_to_its_rate_and_tells_each_letter(board: Board) -> None:
    began = time.monotonic()
    answer = board("dead-letters", "replay", "--all", "--rate", "10", "--yes", "--json")
    assert time.monotonic() - began >= 0.2
    events = json.loads(answer.out)
    assert [event["result"] for event in events] == ["replayed"] * 3
    assert {state_of(event["detail"]) for event in events} == {"pending"}


@pytest.mark.usefixtures("three")
def test_a_bulk_replay_that_is_interrupted_says_how_far_it_came(board: Board) -> None:
    replaying = board.start("dead-letters", "replay", "--all", "--rate", "0.05", "--yes")
    assert replaying.stdout is not None
    assert replaying.stdout.readline().startswith("letter ")
    replaying.send_signal(signal.SIGINT)
    _, err = replaying.communicate(timeout=20)
    assert replaying.returncode == 130, err
    assert "Stopped after 1 of 3" in err
    assert [letter["state"] for letter in letters(board)] == ["replayed", "open", "open"]


def test_a_bulk_replay_is_left_to_the_workers(board: Board, three: list[int], worker: Start) -> None:
    told = board("dead-letters", "replay", "--all", "--detach", "--yes", "--why", "mended", "--json")
    asked = json.loads(told.out)
    assert (told.code, asked["state"], asked["total"], asked["why"]) == (0, "pending", 3, "mended")
    assert {letter["state"] for letter in letters(board)} == {"open"}, "this command does nothing itself"
    one = board("dead-letters", "replay", str(three[0]), "--detach")
    assert "Bulk replay 2 of 1 letter is asked for." in one.out
    assert f"callboard cancel {one.out.split()[-3]}" in one.out
    (board.folder / "mended").touch()
    worker()
    eventually(lambda: {letter["state"] for letter in letters(board)} == {"replayed"}, 20)
    assert board("run", "show", asked["run_id"]).code == 0


def test_a_canary_that_fails_spares_the_rest(board: Board, three: list[int], worker: Start) -> None:
    worker()
    answer = board("dead-letters", "replay", "--all", "--canary", "--yes")
    assert answer.code == 1
    assert "the rest is left" in answer.err
    assert "1 replayed, 1 refused or failed, 2 left as they were." in answer.out
    assert [letter["state"] for letter in letters(board)[:3]] == ["replayed", "open", "open"]
    assert len(letters(board)) == len(three) + 1, "the canary's run died too"


@pytest.mark.usefixtures("three")
def test_a_canary_that_completes_lets_the_rest_follow(board: Board, worker: Start) -> None:
    (board.folder / "mended").touch()
    worker()
    answer = board("dead-letters", "replay", "--all", "--canary", "--yes")
    assert answer.code == 0
    assert "its run completed: now the rest" in answer.out
    assert {letter["state"] for letter in letters(board)} == {"replayed"}


def test_arguments_are_changed_for_one_letter_and_its_story_tells_so(board: Board, three: list[int]) -> None:
    last = str(three[2])
    wrong = board("dead-letters", "replay", last, "--arg", "raeson=x")
    assert (wrong.code, "did you mean 'reason'" in wrong.err) == (2, True)
    answer = board("dead-letters", "replay", "error:paper", "--arg", "reason=new ink", "--why", "ink came")
    assert answer.code == 0
    shown = json.loads(board("dead-letters", "show", last, "--json").out)
    assert (shown["args"], shown["replay_args"]) == ({"reason": "no paper"}, {"reason": "new ink"})
    assert shown["settled_why"] == "ink came"
    assert [step["replay_state"] for step in shown["lineage"]] == ["pending"]
    (attempt,) = shown["history"]
    assert attempt["error"] == "no paper"
    run = json.loads(board("run", "show", shown["replay_run_id"], "--json").out)
    assert (run["args"], run["replayed_from"]) == ({"reason": "new ink"}, three[2])
    page = board("dead-letters", "show", last).out
    assert 'changed to  {"reason": "new ink"}' in page
    assert "because     ink came" in page
    assert "pending, with other arguments" in page


def test_letters_that_came_of_replays_know_each_other(board: Board, three: list[int], worker: Start) -> None:
    worker()
    board("dead-letters", "replay", str(three[0]))
    died = eventually(lambda: [letter for letter in letters(board) if letter["id"] > three[2]], 20)
    (child,) = died
    page = board("dead-letters", "show", str(three[0])).out
    assert f"Its replay died too: callboard dead-letters show {child['id']}" in page
    assert f"{three[0]} *" in page
    chain = json.loads(board("dead-letters", "show", str(child["id"]), "--json").out)["lineage"]
    assert [(step["id"], step["replay_state"]) for step in chain] == [(three[0], "failed"), (child["id"], None)]


def test_a_replay_stops_when_the_same_failure_returns_unless_told_to_go_on(
    board: Board, three: list[int], worker: Start
) -> None:
    worker()
    answer = board("dead-letters", "replay", "error:disk", "--rate", "0.7", "--yes")
    assert answer.code == 1
    assert "failed as before, with issue" in answer.err
    assert "1 replayed, 1 refused or failed, " in answer.out
    issue = letters(board)[0]["issue_id"]
    assert f"callboard issues show {issue}" in answer.out
    going_on = board("dead-letters", "replay", f"issue:{issue}", "--keep-going", "--yes", "--json")
    assert {event["result"] for event in json.loads(going_on.out)} == {"replayed"}
    assert three[1] in [event["letter_id"] for event in json.loads(going_on.out)]


def test_a_listing_takes_the_filter_language_and_many_are_told_calmly(board: Board, three: list[int]) -> None:
    assert [letter["id"] for letter in letters(board, "error:disk", "age:>1d")] == [three[0]]
    plan = json.loads(board("dead-letters", "replay", "kind:transient", "--dry-run", "--json").out)
    assert (plan["count"], plan["by_job"], plan["single_conflicts"]) == (1, {"broken": 1}, {})
    columns = ", ".join(column for column in letters(board)[0] if column not in ("id", "replay_args", "args"))
    with transaction() as connection:
        connection.execute(
            text(
                f"insert into board.dead_letters ({columns}, payload) select {columns}, payload "
                "from board.dead_letters, generate_series(1, 30) where id = :id"
            ),
            {"id": three[2]},
        )
    answer = board("dead-letters", "replay", "--all", "--yes")
    assert (answer.code, answer.err) == (0, "")
    assert answer.out == "33 replayed, 0 refused or failed, 0 left as they were.\n"
