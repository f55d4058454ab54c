"""The command line over the API: the same words, tables, JSON and exit codes as where the board is."""

from __future__ import annotations

import json
import os
import subprocess
import sys
from datetime import UTC, datetime
from pathlib import Path
from typing import TYPE_CHECKING, Any

import pytest

from callboard.ledger import schedules
from callboard.ledger.database import transaction
from callboard.operations import Who, runs
from cli.board import use
from cli.top._watch import _Looker, once
from tests.console.api.caller import add_key
from tests.console.api.far import SCOPES, Answer, Line
from tests.console.kit import add_user
from tests.support import eventually, free_port

if TYPE_CHECKING:
    from collections.abc import Callable
    from uuid import UUID

    from console.server import ConsoleServer
    from tests.board import Board

ROOT = Path(__file__).parent.parent.parent.parent


@pytest.fixture
def operator(board: Board) -> UUID:  # noqa: ARG001 - whose ledger it is
    return add_user("operator")


@pytest.fixture
def line(server: ConsoleServer, operator: UUID, capsys: pytest.CaptureFixture[str]) -> Line:
    return Line(capsys, server.url, add_key(operator, SCOPES))


@pytest.fixture
def failed(board: Board) -> Callable[[int], None]:
    def make(count: int) -> None:
        for _ in range(count):
            runs.trigger("broken", {}, who=Who("test"))
        with board.worker():
            eventually(lambda: board.one("select count(*) from board.runs where state = 'failed'") >= count)

    return make


def _declare() -> None:
    row = {"job": "prune", "queue": "upkeep", "cadence": "0 2 * * *", "interval_seconds": 86400.0}
    with transaction() as connection:
        schedules.declare(connection, [row], now=datetime.now(UTC))


_MOVING = {"wait_seconds", "end_to_end_seconds", "oldest_ready_seconds", "overdue_seconds", "next_at", "next_fires"}


def _still(value: Any) -> Any:  # noqa: ANN401 - JSON
    """Without what the time between two commands changes, and times to the millisecond."""
    if isinstance(value, dict):
        return {name: _still(one) for name, one in value.items() if name not in _MOVING}
    return [_still(one) for one in value] if isinstance(value, list) else value


def _head(answer: Answer) -> list[str]:
    """The first line without the room that its columns take: ages have more or fewer digits a moment later."""
    return answer.out.splitlines()[0].split()


@pytest.mark.usefixtures("board")
def test_every_listing_is_the_same_from_far(line: Line, failed: Callable[[int], None]) -> None:
    failed(2)
    _declare()
    runs.trigger("load", {"items": 4}, who=Who("test"))
    for argv in (
        ("runs",),
        ("runs", "job:broken", "-n", "1"),
        ("jobs",),
        ("schedules",),
        ("queues",),
        ("workers", "--all"),
        ("failures",),
        ("failures", "show", "1"),
        ("issues",),
        ("issues", "show", "1"),
        ("dead-letters", "list"),
        ("dead-letters", "show", "1"),
        ("run", "show", line.here("runs", "--json").json[0]["id"]),
    ):
        here, far = line.here(*argv, "--json").json, line.far(*argv, "--json").json
        assert here, argv
        assert _still(far) == _still(here), argv
        assert _head(line.far(*argv)) == _head(line.here(*argv)), argv


def test_a_run_is_asked_for_waited_for_and_told(line: Line, board: Board, operator: UUID) -> None:
    with board.worker():
        done = line.far("trigger", "load", "--arg", "items=3", "--wait")
    assert (done.code, "completed" in done.out) == (0, True)
    told = line.far("run", "show", board.one("select id::text from board.runs")[:18])
    assert "items=3" in told.out
    assert board.one("select trigger from board.runs") == f"manual:api_key:{_key_of(board, operator)}"
    with board.worker():
        failed = line.far("trigger", "broken", "--wait")
    assert (failed.code, "the disk is full" in failed.out) == (1, True)


def _key_of(board: Board, user_id: UUID) -> object:
    return board.one("select id from board.api_keys where user_id = :user_id", user_id=user_id)


def test_what_is_refused_has_the_same_exit_code(line: Line, board: Board) -> None:
    assert line.far("trigger", "prune").code == 0
    duplicate = line.far("trigger", "prune")
    assert (duplicate.code, "callboard run show" in duplicate.err) == (3, True)
    assert "already has run" in duplicate.err
    run_id = board.one("select id::text from board.runs")
    assert line.far("cancel", run_id).code == 0
    assert "no run" in line.far("cancel", "ffff0000").err
    for argv, code in (
        (("run", "show", "ffff0000"), 4),
        (("cancel", run_id), 4),
        (("trigger", "lod"), 4),
        (("trigger", "load", "--arg", "itms=3"), 2),
        (("runs", "stat:failed"), 2),
        (("queues", "pause", "upkep"), 4),
        (("failures", "show", "77"), 4),
        (("issues", "take", "77"), 4),
        (("dead-letters", "replay", "77"), 4),
        (("schedules", "pause", "prune"), 4),  # the scheduler has not declared it yet
    ):
        far, here = line.far(*argv), line.here(*argv)
        assert far.code == here.code == code, (argv, far.err)
        assert far.err == here.err, argv


def test_queues_schedules_and_issues_are_changed_from_far(
    line: Line, board: Board, failed: Callable[[int], None]
) -> None:
    failed(1)
    _declare()
    assert "is paused" in line.far("queues", "pause", "upkeep").out
    assert line.far("queues", "--json").json[0]["paused"] or line.far("queues", "--json").json[-1]["paused"]
    assert "at most 2 at once" in line.far("queues", "limit", "upkeep", "2").out
    assert "goes on" in line.far("queues", "resume", "upkeep").out
    assert "is paused" in line.far("schedules", "pause", "prune").out
    assert "fires again" in line.far("schedules", "resume", "prune").out
    assert "is yours" in line.far("issues", "take", "1").out
    assert "silent until" in line.far("issues", "silence", "1", "--for", "2h").out
    assert "is resolved" in line.far("issues", "resolve", "1", "--why", "mended").out
    assert line.far("failures", "retry", "1").code == 1
    assert "runs again" in line.far("failures", "retry", "1", "--force").out
    who = {row.who for row in board.query("select who from board.audit")} - {"test"}
    assert len(who) == 1
    assert who.pop().startswith("manual:api_key:")


def test_dead_letters_are_replayed_and_discarded_from_far(
    line: Line, board: Board, failed: Callable[[int], None]
) -> None:
    failed(6)
    assert "Would replay 6 letters: 1, 2, 3, 4, 5, 6" in line.far("dead-letters", "replay", "--all", "--dry-run").out
    one = line.far("dead-letters", "replay", "1", "--arg", "mended=true", "--why", "mended")
    assert "Letter 1 runs again" in one.out
    again = line.far("dead-letters", "replay", "1")
    assert again.code == line.here("dead-letters", "replay", "1").code == 1
    assert "was replayed at" in again.err
    left = line.far("dead-letters", "replay", "--all", "--limit", "2", "--rate", "9", "--yes", "--json", "--detach")
    assert (left.json["state"], left.json["total"], left.json["limit"], left.json["rate"]) == ("pending", 2, 2, 9.0)
    assert line.far("cancel", left.json["run_id"]).code == 0
    some = line.far("dead-letters", "replay", "job:broken", "--limit", "3", "--yes", "--json", "--keep-going")
    assert [event["result"] for event in some.json] == ["replayed"] * 3
    assert "2 discarded, 0 refused" in line.far("dead-letters", "discard", "--all", "--yes", "--why", "old").out
    states = dict(board.query("select state, count(*) from board.dead_letters group by 1"))
    assert states == {"replayed": 4, "discarded": 2}
    hidden = line.far("dead-letters", "show", "1", "--payload")
    assert (hidden.code, "does not work over an API" in hidden.err) == (2, True)


def test_a_key_that_is_refused_and_an_api_that_is_not_there(line: Line, board: Board, operator: UUID) -> None:
    line.key = add_key(operator, ("jobs:read",))
    denied = line.far("trigger", "load")
    assert (denied.code, "lacks the scope jobs:write" in denied.err) == (1, True)
    board.execute("update board.api_keys set revoked_at = now()")
    unknown = line.far("runs")
    assert (unknown.code, "does not take this key" in unknown.err) == (1, True)
    line.url = f"http://127.0.0.1:{free_port()}"
    away = line.far("runs")
    assert (away.code, "cannot be reached" in away.err) == (5, True)


def test_what_is_of_this_machine_says_so(line: Line, monkeypatch: pytest.MonkeyPatch) -> None:
    for argv in (
        ("check",),
        ("run", "load"),
        ("queues", "delayed", "upkeep"),
        ("users", "password", "anna@example.org", "--stdin"),
        ("users", "link", "anna@example.org"),
        ("keys", "create", "ci", "--user", "anna@example.org"),
    ):
        refused = line.far(*argv)
        assert (refused.code, "does not work over an API" in refused.err) == (2, True), argv
    assert "is no address" in line.here("--api", "board.example.org", "--key", "x", "runs").err
    assert "needs a key" in line.here("--api", line.url, "runs").err
    monkeypatch.setenv("CALLBOARD_API_URL", "http://127.0.0.1:9")
    assert line.here("sessions", "search", "x").code == 2  # it would not be the board that is meant
    assert line.here("migrate", "--help").code == 0


@pytest.fixture
def short_looks(monkeypatch: pytest.MonkeyPatch) -> None:
    """Two looks of `--once` and `--json` are a second apart; here less."""
    monkeypatch.setattr(once, "__defaults__", (0.05,))


@pytest.mark.usefixtures("short_looks")
def test_top_is_the_same_from_far(line: Line, board: Board, failed: Callable[[int], None]) -> None:
    failed(2)
    _declare()
    runs.trigger("load", {"items": 4}, who=Who("test"))
    here, far = line.here("top", "--json"), line.far("top", "--json")
    assert here.code == far.code == 1  # no worker lives
    told, same = json.loads(far.out), json.loads(here.out)
    for name in ("queues", "jobs", "schedules", "workers", "runs"):
        assert [sorted(row) for row in told[name]] == [sorted(row) for row in same[name]], name
    assert [row["attempts"] for row in told["jobs"]] == [row["attempts"] for row in same["jobs"]]
    assert sum(row["failed"] for row in told["jobs"]) == board.one("select count(*) from board.failures") == 2
    assert "no worker is alive" in [problem["text"] for problem in told["problems"]]
    assert "1 queues" in line.far("top", "--once").out


@pytest.mark.usefixtures("short_looks")
def test_top_says_that_the_api_is_away_or_refuses_the_key(line: Line, board: Board) -> None:
    board.execute("update board.api_keys set revoked_at = now()")
    refused = line.far("top", "--once")
    assert (refused.code, "does not take this key" in refused.err) == (1, True)
    use(line.url, line.key)
    looker = _Looker(lambda: None)  # as the live screen has it
    looker.start()
    looker.join(10)
    assert "does not take this key" in str(looker.refused)
    line.url = f"http://127.0.0.1:{free_port()}"
    away = line.far("top", "--once")
    assert (away.code, away.out.count("? the API does not answer")) == (5, 5)
    assert list(json.loads(line.far("top", "--json").out)["down"]) == ["api"]


def test_it_needs_no_setting_of_the_board(line: Line) -> None:
    runs.trigger("load", {"items": 4}, who=Who("test"))
    clean = {name: value for name, value in os.environ.items() if not name.startswith("CALLBOARD_")}
    given = clean | {"CALLBOARD_API_URL": line.url, "CALLBOARD_API_KEY": line.key, "CALLBOARD_ACTORS": "not.there"}
    done = subprocess.run(
        [sys.executable, "-m", "cli", "runs", "--json"], cwd=ROOT, env=given, capture_output=True, text=True, check=True
    )
    assert [run["job"] for run in json.loads(done.stdout)] == ["load"]
