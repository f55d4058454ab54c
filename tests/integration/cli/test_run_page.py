"""What `callboard run show` says of a run that does not run, and how its time is told apart."""

from __future__ import annotations

import json
import re
from typing import TYPE_CHECKING, Any

import pytest

from tests.support import eventually

if TYPE_CHECKING:
    import subprocess
    from collections.abc import Callable

    from tests.integration.cli.conftest import Board

    Start = Callable[..., subprocess.Popen[str]]


def asked(board: Board, job: str) -> str:
    board("trigger", job)
    return str(json.loads(board("runs", "--json").out)[0]["id"])


def shown(board: Board, run_id: str) -> dict[str, Any]:
    found: dict[str, Any] = json.loads(board("run", "show", run_id, "--json").out)
    return found


def facts(board: Board, run_id: str) -> dict[str, str]:
    """The page's facts by their label."""
    lines = board("run", "show", run_id).out.splitlines()[1:]
    return {line[2:14].strip(): line[14:].strip() for line in lines if re.match(r"  \w", line)}


def test_a_run_that_nobody_takes_says_so_with_the_command_that_helps(board: Board) -> None:
    run_id = asked(board, "quick")
    page = facts(board, run_id)
    assert page["waits"] == "no worker takes queue fast: callboard worker"
    assert re.fullmatch(r"waited \d+\.\d s, end to end \d+\.\d s so far", page["times"])
    (wait,) = shown(board, run_id)["waits"]
    assert wait == {
        "kind": "no_worker",
        "text": "no worker takes queue fast",
        "command": "callboard worker",
        "until": None,
    }
    board("queues", "pause", "fast")
    page = facts(board, run_id)
    assert page["waits"] == "queue fast is paused: callboard queues resume fast"
    assert page["and then"] == "no worker takes queue fast: callboard worker"


def test_a_run_that_has_ended_waits_for_nothing_and_its_times_are_told_apart(board: Board) -> None:
    board("run", "quick")
    (run,) = json.loads(board("runs", "--json").out)
    page = facts(board, run["id"])
    assert "waits" not in page
    assert re.fullmatch(r"waited \d\.\d s, ran \d\.\d s, end to end \d\.\d s", page["times"])
    found = shown(board, run["id"])
    assert found["waits"] == []
    assert found["end_to_end_seconds"] >= found["duration_seconds"]
    assert found["wait_seconds"] >= 0


def test_a_retry_says_when_and_after_what(board: Board, worker: Start, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setenv("STUBBORN_SECONDS", "600")
    worker()
    run_id = asked(board, "stubborn")
    eventually(lambda: shown(board, run_id)["retry_at"], 30, what="the first retry")
    page = facts(board, run_id)
    assert re.match(r"attempt 2 in \d+ min after OSError: no route to host: callboard run show ", page["waits"])
    found = shown(board, run_id)
    assert found["waits"][0]["kind"] == "retry"
    assert found["waits"][0]["until"] == found["retry_at"]
    assert found["wait_seconds"] == 0, "the pause is no waiting"
    assert found["duration_seconds"] is None, "no attempt runs"


@pytest.mark.parametrize("broken", ["broker", "actors"])
def test_the_page_is_shown_whatever_else_is_broken(board: Board, monkeypatch: pytest.MonkeyPatch, broken: str) -> None:
    run_id = asked(board, "quick")
    variables = {"broker": ("BROKER_URL", "redis://127.0.0.1:9/0"), "actors": ("ACTORS", "no.such.module")}
    name, value = variables[broken]
    monkeypatch.setenv(f"CALLBOARD_{name}", value)
    answer = board("run", "show", run_id)
    assert answer.code == 0
    assert "no worker takes queue fast" in answer.out
