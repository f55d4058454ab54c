from __future__ import annotations

import json
import os
import pty
import re
import signal
import subprocess
import sys
from typing import TYPE_CHECKING

import pytest

from callboard.job import get_job
from callboard.ledger import listing
from callboard.ledger.database import transaction
from tests.integration.cli.conftest import ROOT, state_of
from tests.support import eventually

if TYPE_CHECKING:
    from collections.abc import Callable

    from tests.integration.cli.conftest import Board

    Start = Callable[..., subprocess.Popen[str]]


def newest(board: Board) -> str:
    return str(json.loads(board("runs", "--json").out)[0]["id"])


def one_line(text: str) -> bool:
    return text.endswith("\n") and text.count("\n") == 1


def test_run_ends_with_the_code_of_its_outcome_and_is_in_the_ledger(board: Board) -> None:
    answer = board("run", "quick", "--arg", "items=2")
    assert answer.code == 0
    assert re.fullmatch(r"quick completed in \d\.\d s  items=2 errors=0  run [0-9a-f-]{36}\n", answer.out)
    assert state_of(answer.out.split()[-1]) == "completed"


def test_a_run_that_fails_exits_1_and_says_where_to_look(board: Board) -> None:
    answer = board("run", "broken", "--arg", "reason=no paper")
    assert answer.code == 1
    assert "broken failed: PermanentError: no paper" in answer.out
    assert f"callboard run show {newest(board)[:18]}" in answer.err


@pytest.mark.parametrize(
    ("argv", "code", "words"),
    [
        (["run", "quik"], 4, "No job is called 'quik'; did you mean quick?"),
        (["run", "needy"], 2, "missing a required argument: 'project'"),
        (["run", "quick", "--arg", "nothing=1"], 2, "unexpected keyword argument 'nothing'"),
        (["run", "quick", "--arg", "5"], 2, "write it like --arg limit=5"),
        (["run"], 2, "see `callboard run --help`"),
        (["trigger", "quick", "limit=5"], 2, "(limit=5); an argument of the job is given as --arg KEY=VALUE."),
        (["run", "show", "ffff0000"], 4, "fits no run"),
        (["run", "show", "zz"], 4, "is no run id"),
        (["trigger", "quik"], 4, "did you mean quick?"),
        (["trigger", "needy", "--arg", "projekt=a"], 2, "missing a required argument: 'project'"),
        (["trigger", "quick", "--notify", "anna"], 2, "ops@example.org"),
        (["cancel", "ffff0000"], 4, "fits no run"),
        (["runs", "--state", "done"], 2, "is none of pending, running"),
        (["runs", "--since", "yesterday"], 2, "2h, 3d or 1w"),
        (["runs", "--limit", "few"], 2, "not 'few'"),
        (["dead-letters", "list", "--state", "dead"], 2, "open, replayed, discarded, all"),
    ],
)
def test_errors_are_one_line_with_their_mend_and_their_code(
    board: Board, argv: list[str], code: int, words: str
) -> None:
    answer = board(*argv)
    assert answer.code == code
    assert words in answer.err
    assert one_line(answer.err)
    assert answer.out == ""


def test_arguments_are_json_or_text(board: Board) -> None:
    board("run", "needy", "--arg", "project=atlas", "--arg", "limit=9")
    page = json.loads(board("run", "show", newest(board), "--json").out)
    assert page["args"] == {"project": "atlas", "limit": 9}
    assert page["notes"] == {"project": "atlas", "limit": 9}


def test_run_show_tells_a_failure_with_its_traceback_and_what_to_do(board: Board) -> None:
    board("run", "broken")
    answer = board("run", "show", newest(board)[:6])
    assert answer.code == 0
    assert answer.out.splitlines()[0].split()[1:] == ["broken", "failed"]
    assert "attempt 1 failed" in answer.out
    assert "raise PermanentError(reason)" in answer.out
    assert "callboard dead-letters replay 1 " in answer.out.splitlines()[-1]
    page = json.loads(board("run", "show", newest(board), "--json").out)
    assert page["failures"][0]["error"] == "the disk is full"
    assert page["children"] == []


def test_an_actor_runs_without_the_command_line_too(board: Board) -> None:
    def actors(*argv: str) -> subprocess.CompletedProcess[str]:
        command = [sys.executable, "-m", "actors", *argv]
        return subprocess.run(command, cwd=ROOT, capture_output=True, text=True, check=False)

    done = actors("quick", "--arg", "items=4")
    assert done.returncode == 0
    assert "quick completed in" in done.stdout
    assert "items=4" in done.stdout
    assert actors("broken").returncode == 1
    unknown = actors("quik")
    assert (unknown.returncode, unknown.stderr) == (4, "No job is called 'quik'; did you mean quick?\n")
    assert json.loads(board("runs", "--json").out)[1]["counts"] == {"items": 4, "errors": 0}


def test_a_duplicate_names_the_run_that_is_there_and_exits_3(board: Board) -> None:
    first = board("trigger", "long")
    assert first.code == 0
    existing = newest(board)
    assert existing[:18] in first.out
    for again in (board("trigger", "long"), board("trigger", "long", "--wait"), board("run", "long")):
        assert again.code == 3
        assert existing in again.err
    assert f"callboard run show {existing[:18]}" in board("trigger", "long").err
    assert len(json.loads(board("runs", "--json").out)) == 1


def test_notify_is_kept_with_the_run(board: Board) -> None:
    board("trigger", "quick", "--notify", "anna@example.org", "--notify", "ben@example.org")
    run_id = newest(board)
    with transaction() as connection:
        run = listing.run(connection, run_id)
    assert run["notify"] == ["anna@example.org", "ben@example.org"]
    assert run["trigger"].startswith("cli")


@pytest.mark.parametrize(("job", "code", "words"), [("quick", 0, "completed"), ("broken", 1, "the disk is full")])
def test_waiting_ends_with_the_code_of_the_outcome(
    board: Board, worker: Start, job: str, code: int, words: str
) -> None:
    worker()
    answer = board("trigger", job, "--wait")
    assert answer.code == code
    assert words in answer.out


def test_waiting_sees_retries_through(board: Board, worker: Start) -> None:
    worker()
    answer = board("trigger", "stubborn", "--wait")
    assert answer.code == 1
    assert "OSError: no route to host" in answer.out
    page = json.loads(board("run", "show", newest(board), "--json").out)
    assert [failure["attempt"] for failure in page["failures"]] == [1, 2, 3]


def test_waiting_shows_progress_and_a_cancelled_run_exits_6(board: Board, worker: Start) -> None:
    worker()
    waiting = board.start("trigger", "long", "--wait")
    assert waiting.stderr is not None
    told = ""
    while "step by step" not in told:
        told = waiting.stderr.readline()
        assert told, "the command ended before it told of progress"
    assert re.match(r"long running \d+/200 step by step", told)
    answer = board("cancel", newest(board)[:18])
    assert "is asked to stop" in answer.out
    out, _ = waiting.communicate(timeout=20)
    assert waiting.returncode == 6
    assert "long cancelled" in out


def test_ctrl_c_while_waiting_leaves_the_run_alone(board: Board, worker: Start) -> None:
    worker()
    waiting = board.start("trigger", "long", "--wait")
    assert waiting.stderr is not None
    assert "long" in waiting.stderr.readline()
    run_id = newest(board)
    waiting.send_signal(2)
    _, err = waiting.communicate(timeout=20)
    assert waiting.returncode == 130
    assert f"callboard cancel {run_id[:18]}" in err
    assert "Traceback" not in err
    (board.folder / "enough").touch()
    eventually(lambda: state_of(run_id) == "completed", 20, what="the run to go on to its end")


@pytest.mark.parametrize("how", [signal.SIGINT, signal.SIGTERM])
def test_a_run_in_process_that_is_stopped_says_so_and_is_not_left_running(board: Board, how: signal.Signals) -> None:
    process = board.start("run", "long")
    eventually(lambda: "running" in board("runs").out, 20, what="the run to begin")
    process.send_signal(how)
    out, _ = process.communicate(timeout=20)
    assert process.returncode == 6
    assert "long cancelled" in out
    assert state_of(newest(board)) == "cancelled"


def test_on_a_terminal_waiting_shows_a_bar(board: Board, worker: Start) -> None:
    worker()
    master, slave = pty.openpty()
    waiting = board.start("trigger", "long", "--arg", "total=40", "--wait", stderr=slave)
    os.close(slave)
    shown = b""
    while b"%" not in shown or b"step by step" not in shown:
        shown += os.read(master, 4096)
    out, _ = waiting.communicate(timeout=20)
    os.close(master)
    assert waiting.returncode == 0
    assert out.startswith("long completed in")
    assert "━".encode() in shown


def test_a_pending_run_is_cancelled_at_once(board: Board) -> None:
    board("trigger", "long")
    run_id = newest(board)
    assert "it had not started" in board("cancel", run_id).out
    assert state_of(run_id) == "cancelled"
    again = board("cancel", run_id)
    assert again.code == 4
    assert "neither pending nor running" in again.err


def test_a_missing_ledger_exits_5_with_its_mend(board: Board, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setenv("CALLBOARD_DATABASE_URL", "postgresql://anna:hunter2@127.0.0.1:1/none")
    answer = board("runs")
    assert answer.code == 5
    assert one_line(answer.err)
    assert "CALLBOARD_DATABASE_URL" in answer.err
    assert "hunter2" not in answer.err
    monkeypatch.delenv("CALLBOARD_DATABASE_URL")
    monkeypatch.delenv("CALLBOARD_BROKER_URL")
    answer = board("runs")
    assert answer.code == 5
    assert "start one with `callboard up`" in answer.err


def test_a_broker_that_is_away_leaves_the_run_in_the_ledger(board: Board, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setenv("CALLBOARD_BROKER_URL", "redis://127.0.0.1:1/0")
    answer = board("trigger", "quick")
    assert answer.code == 5
    assert "The run is in the ledger" in answer.err
    assert state_of(newest(board)) == "pending"


def test_a_setting_that_does_not_fit_exits_2(board: Board, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setenv("CALLBOARD_WORKER_THREADS", "many")
    answer = board("runs")
    assert answer.code == 2
    assert "CALLBOARD_WORKER_THREADS=many does not fit" in answer.err
    assert one_line(answer.err)


def test_the_sample_sessions_of_up_are_used_by_run(board: Board, monkeypatch: pytest.MonkeyPatch) -> None:
    sandbox = board.folder / "home" / "sandbox"
    sandbox.mkdir(parents=True)
    (sandbox / "environment.json").write_text('{"CALLBOARD_SESSIONS_CLAUDE_DIR": "/samples"}')
    monkeypatch.setenv("CALLBOARD_SESSIONS_CLAUDE_DIR", "")  # so that the test's end takes it out again
    monkeypatch.delenv("CALLBOARD_SESSIONS_CLAUDE_DIR")
    answer = board("run", "quick")
    assert "the samples in" in answer.err
    assert os.environ["CALLBOARD_SESSIONS_CLAUDE_DIR"] == "/samples"
    assert "sample" not in board("run", "quick").err, "what is set already is not overruled"
    assert get_job("quick")
