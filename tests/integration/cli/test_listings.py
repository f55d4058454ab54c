from __future__ import annotations

import json
from datetime import UTC, datetime, timedelta
from typing import TYPE_CHECKING, Any

import pytest

from callboard.ledger import schedules
from callboard.ledger.database import transaction
from cli import runs as runs_command
from tests.support import eventually

if TYPE_CHECKING:
    import subprocess
    from collections.abc import Callable

    from tests.integration.cli.conftest import Board


def parsed(board: Board, *argv: str) -> Any:  # noqa: ANN401 - JSON
    answer = board(*argv, "--json")
    assert (answer.code, answer.err) == (0, "")
    return json.loads(answer.out)


@pytest.mark.parametrize(
    ("argv", "advice"),
    [
        (["runs"], "callboard trigger JOB"),
        (["workers"], "callboard up"),
        (["schedules"], "callboard scheduler"),
        (["schedules", "--next"], "callboard scheduler"),
        (["dead-letters", "list"], "nothing to repair"),
        (["dead-letters", "list", "--state", "all"], "No dead letter fits"),
    ],
)
def test_an_empty_listing_says_what_to_do_and_is_an_empty_array(board: Board, argv: list[str], advice: str) -> None:
    answer = board(*argv)
    assert (answer.code, answer.err) == (0, "")
    assert advice in answer.out
    if "--next" not in argv:
        assert parsed(board, *argv) == []


def test_runs_are_listed_newest_first_with_what_they_counted(board: Board) -> None:
    assert board("run", "quick", "--arg", "items=7").code == 0
    assert board("run", "broken").code == 1
    lines = board("runs").out.splitlines()
    assert lines[0].split() == ["run", "job", "state", "when", "took", "asked", "by", "counts", "or", "error"]
    assert lines[1].split()[1:3] == ["broken", "failed"]
    assert "PermanentError: the disk is full" in lines[1]
    assert lines[2].split()[1:3] == ["quick", "completed"]
    assert lines[2].rstrip().endswith("items=7"), "a count of 0 is noise"


def test_runs_are_chosen_by_a_filter_and_options_narrow_it(board: Board) -> None:
    for words in (["quick"], ["broken"], ["quick", "--arg", "items=3"]):
        board("run", *words)

    def jobs(*words: str) -> list[str]:
        return [run["job"] for run in parsed(board, "runs", *words)]

    assert jobs("state:completed") == ["quick", "quick"]
    assert jobs("job:br*", "error:DISK") == ["broken"]
    assert jobs("-state:failed", "age:<1h") == ["quick", "quick"], "a minus is no option"
    assert [run["job"] for run in json.loads(board("runs", "--json", "--", "-quick").out)] == ["broken"]
    assert jobs("bro", "--state", "failed", "--job", "b*k*n", "--since", "1h", "--trigger", "cli*") == ["broken"]
    assert jobs("bro", "--state", "completed") == []
    refused = board("runs", "jb:quick")
    assert (refused.code, refused.out) == (2, "")
    assert "runs have no field jb; did you mean job:?" in refused.err


def test_a_listing_of_runs_says_how_to_see_the_rest(board: Board) -> None:
    for _ in range(3):
        board("run", "quick")
    first = board("runs", "--limit", "2")
    cursor = first.err.split("--cursor ")[1].strip()
    rest = board("runs", "--limit", "2", "--cursor", cursor)
    ids = [line.split()[0] for answer in (first, rest) for line in answer.out.splitlines()[1:]]
    assert ids == [run["id"][:18] for run in parsed(board, "runs")]
    assert rest.err == ""
    wrong = board("runs", "--cursor", "nonsense")
    assert (wrong.code, wrong.out) == (2, "")
    assert "Begin again without one" in wrong.err


def test_runs_as_json_have_stable_keys_utc_times_and_whole_ids(board: Board) -> None:
    board("run", "quick")
    (run,) = parsed(board, "runs")
    assert list(run) == [*runs_command.KEYS, "wait_seconds", "duration_seconds", "end_to_end_seconds"]
    assert (run["job"], run["state"], run["counts"]) == ("quick", "completed", {"items": 3, "errors": 0})
    assert run["finished_at"].endswith("Z")
    assert datetime.fromisoformat(run["finished_at"]) > datetime.now(UTC) - timedelta(minutes=1)
    assert 0 <= run["duration_seconds"] < 10


@pytest.mark.parametrize(
    ("filters", "jobs"),
    [
        (["--job", "quick"], ["quick"]),
        (["--job", "qu*"], ["quick"]),
        (["--state", "failed"], ["broken"]),
        (["--queue", "fast"], ["needy", "broken", "quick"]),
        (["--queue", "slow"], []),
        (["--trigger", "cli"], ["needy", "broken", "quick"]),
        (["--trigger", "schedule"], []),
        (["--since", "1h"], ["needy", "broken", "quick"]),
        (["--limit", "1"], ["needy"]),
        (["--state", "completed", "--job", "n*"], ["needy"]),
    ],
)
def test_runs_are_filtered(board: Board, filters: list[str], jobs: list[str]) -> None:
    for argv in (["quick"], ["broken"], ["needy", "--arg", "project=atlas"]):
        board("run", *argv)
    assert [run["job"] for run in parsed(board, "runs", *filters)] == jobs


def test_runs_of_one_correlation_are_found(board: Board) -> None:
    board("run", "quick")
    board("run", "quick")
    correlation = parsed(board, "runs")[0]["correlation_id"]
    assert len(parsed(board, "runs", "--correlation", correlation)) == 1


def test_jobs_show_their_cadence_in_words(board: Board) -> None:
    answer = board("jobs")
    rows = {line.split()[0]: line for line in answer.out.splitlines()[1:]}
    assert list(rows) == ["broken", "long", "needy", "nightly", "quick", "stubborn"]
    assert "every day at 02:00 UTC" in rows["nightly"]
    assert "on request" in rows["needy"]
    assert rows["quick"].rstrip().endswith("Count some items.")


def test_jobs_as_json_say_all_that_was_declared(board: Board) -> None:
    by_name = {job["job"]: job for job in parsed(board, "jobs")}
    assert by_name["nightly"]["cadence"] == "0 2 * * *"
    assert by_name["nightly"]["next_at"].endswith("T02:00:00Z")
    assert by_name["long"]["single"] is True
    assert by_name["broken"]["retry"] == "NoRetry()"
    assert by_name["needy"]["next_at"] is None


def declare(*jobs: str) -> datetime:
    """Schedules in the ledger, as the scheduler writes them."""
    grid = datetime.now(UTC).replace(minute=0, second=0, microsecond=0)
    rows = [{"job": job, "queue": "fast", "cadence": "every(seconds=3600)", "interval_seconds": 3600.0} for job in jobs]
    with transaction() as connection:
        schedules.declare(connection, rows, now=grid)
    return grid


def test_schedules_show_the_next_fire_and_the_last_ticks_as_a_strip(board: Board) -> None:
    board("run", "quick")
    grid = declare("quick", "retired")
    run_id = parsed(board, "runs")[0]["id"]
    hours = [grid - timedelta(hours=back) for back in (3, 2, 1)]
    with transaction() as connection:
        schedules.record(connection, "quick", hours[:1], "skipped", reason="overlap")
        schedules.record(connection, "quick", hours[1:2], "coalesced", into=hours[2])
        schedules.record(connection, "quick", hours[2:], "fired", run_id=run_id)
    answer = board("schedules")
    lines = {line.split()[0]: line.rstrip() for line in answer.out.splitlines()}
    assert lines["quick"].endswith("-=✓")
    assert "every hour" in lines["quick"]
    assert " retired " in lines["retired"][8:], "no loaded module declares it"
    assert "✗ failed" in answer.out.splitlines()[-1]
    row = parsed(board, "schedules")[0]
    assert [tick["outcome"] for tick in row["last_ticks"]] == ["skipped", "coalesced", "fired"]
    assert row["last_ticks"][2]["run_state"] == "completed"
    assert len(row["next_fires"]) == 10
    assert "now" not in row


def test_the_next_ten_fires_are_on_the_grid(board: Board) -> None:
    board("jobs")  # declares them in this process
    declare("quick")
    answer = board("schedules", "--next")
    fires = [line.split()[0] for line in answer.out.splitlines()[1:] if "UTC" in line]
    assert len(fires) == 10
    assert all(fire.endswith(":00:00") or fire.startswith("20") for fire in fires)


def test_pausing_and_resuming_a_schedule(board: Board) -> None:
    board("jobs")
    declare("quick")
    assert "callboard schedules resume quick" in board("schedules", "pause", "quick", "--why", "flood").out
    assert [row["why"] for row in json.loads(board("audit", "action:schedule.pause", "--json").out)] == ["flood"]
    assert "paused" in board("schedules").out
    row = parsed(board, "schedules")[0]
    assert row["paused_by"].startswith("cli:")
    assert row["next_fires"] == []
    assert board("schedules", "resume", "quick").code == 0
    assert parsed(board, "schedules")[0]["paused_at"] is None


@pytest.mark.parametrize("verb", ["pause", "resume"])
def test_a_schedule_that_does_not_exist(board: Board, verb: str) -> None:
    answer = board("schedules", verb, "nope")
    assert answer.code == 4
    assert "No schedule is called 'nope'" in answer.err


def test_a_job_that_the_board_knows_and_this_terminal_does_not(board: Board) -> None:
    declare("elsewhere")
    answer = board("trigger", "elsewhere")
    assert (answer.code, answer.out) == (4, "")
    assert "The board knows job 'elsewhere'" in answer.err
    assert "add its module to CALLBOARD_ACTORS, which is tests.integration.cli.board_jobs." in answer.err
    assert "No job is called 'nowhere'" in board("trigger", "nowhere").err


def test_workers_and_queues_know_the_living(board: Board, worker: Callable[..., subprocess.Popen[str]]) -> None:
    board("trigger", "needy", "--arg", "project=atlas")
    answer = board("queues")
    assert "Nobody works on fast" in answer.out
    assert {row["queue"]: (row["ready"], row["workers"]) for row in parsed(board, "queues")}["fast"] == (1, 0)
    process = worker()
    (row,) = eventually(lambda: parsed(board, "workers"), 20, what="the worker to register")
    assert (row["pid"], row["state"], row["threads"]) == (process.pid, "alive", 2)
    assert row["queues"] == ["callboard_notifications", "callboard_replays", "fast", "slow"]
    assert str(process.pid) in board("workers").out
    eventually(
        lambda: {row["queue"]: (row["ready"], row["workers"]) for row in parsed(board, "queues")}["fast"] == (0, 1),
        what="the queue to be worked on",
    )


def test_queues_show_the_ledger_while_the_broker_is_away(board: Board, monkeypatch: pytest.MonkeyPatch) -> None:
    board("run", "quick")
    monkeypatch.setenv("CALLBOARD_BROKER_URL", "redis://127.0.0.1:1/0")
    answer = board("queues")
    assert answer.code == 0
    assert "?" in answer.out
    assert "The broker does not answer" in answer.err
