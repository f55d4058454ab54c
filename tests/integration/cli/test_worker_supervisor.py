"""The supervisor of `callboard worker` with real processes: stuck jobs, renewal, and the end."""

from __future__ import annotations

import os
import signal
import time
from functools import partial
from itertools import pairwise
from typing import TYPE_CHECKING, Any

import psutil  # type: ignore[import-untyped] # ships no types
import pytest
from dramatiq import Message
from sqlalchemy import text

from callboard import make_broker
from callboard.ledger.database import transaction
from tests.integration.cli.conftest import living, logged, registered, stop
from tests.support import alive, eventually

if TYPE_CHECKING:
    import subprocess
    from collections.abc import Callable

    from tests.integration.cli.conftest import Board

    Start = Callable[..., subprocess.Popen[str]]

JOBS = "tests.integration.cli.stuck_jobs"  # not imported here: this process declares none of them
WAYS = ("sleep", *(pytest.param(way, marks=pytest.mark.long) for way in ("socket", "lock", "regex", "except")))
LIMIT, GRACE = 1.0, 1.0
#: How much later than limit and grace a stuck process may be gone.
ALLOWANCE = 2.5


@pytest.fixture(autouse=True)
def _stuck_jobs(board: Board, monkeypatch: pytest.MonkeyPatch) -> None:  # noqa: ARG001 - its variables come first
    """The jobs that get stuck, and times shorter than those that ship; what is promised is the order of things."""
    quick = {"TIME_LIMIT_GRACE": GRACE, "HEARTBEAT": 0.5, "LEASE": 4, "RECOVERY": 1}
    for name, value in quick.items():
        monkeypatch.setenv(f"CALLBOARD_{name}_SECONDS", str(value))
    monkeypatch.setenv("CALLBOARD_ACTORS", JOBS)


def send(actor: str, *arguments: tuple[object, ...]) -> list[str]:
    """Send one message for each tuple of arguments; the ids of the runs."""
    broker = make_broker()
    broker.declare_queue("stuck")
    made: list[Message[None]] = [
        Message(queue_name="stuck", actor_name=actor, args=given, kwargs={}, options={}) for given in arguments
    ]
    ids = [broker.enqueue(message).message_id for message in made]
    broker.close()
    return ids


def signed(board: Board, name: str) -> list[tuple[int, float]]:
    """The starts that a job wrote down: process and time."""
    path = board.folder / name
    lines = path.read_text().splitlines() if path.exists() else []
    return [(int(pid), float(at)) for pid, at in (line.split() for line in lines)]


def rows(sql: str, **given: object) -> list[dict[str, Any]]:
    with transaction() as connection:
        return [dict(row) for row in connection.execute(text(sql), given).mappings()]


def run_of(run_id: str) -> dict[str, Any]:
    found = rows("select * from board.runs where id = :id", id=run_id)
    return found[0] if found else {}


def ended(run_id: str, state: str = "completed") -> dict[str, Any]:
    def row() -> dict[str, Any]:
        found = run_of(run_id)
        assert found.get("state") == state, found
        return found

    return eventually(row, 30)


def neighbours_in_both(board: Board) -> dict[str, int]:
    """Patient runs in the one and in the other of two processes of four threads: their ids, and in which."""
    numbers = range(5)
    ids = send("patient", *((number,) for number in numbers))
    eventually(lambda: all(signed(board, f"patient-{number}") for number in numbers), 20, what="all to have begun")
    running = {run_id: signed(board, f"patient-{number}")[0][0] for run_id, number in zip(ids, numbers, strict=True)}
    assert len(set(running.values())) == 2
    return running


@pytest.mark.parametrize("way", WAYS)
def test_a_stuck_job_is_ended_by_force_its_neighbours_complete_and_the_sibling_is_not_touched(
    board: Board, service: Start, monkeypatch: pytest.MonkeyPatch, way: str
) -> None:
    monkeypatch.setenv(
        "CALLBOARD_LEASE_SECONDS", "12"
    )  # on a busy machine it must not end before the process is told of
    supervisor = service("worker", "--processes", "2", "--threads", "4")
    pids = living(2)
    patients = neighbours_in_both(board)
    (run_id,) = send("stuck", (way,))
    ((victim, began),) = eventually(lambda: signed(board, "stuck"), 20)
    eventually(lambda: not alive(victim), 20, what="the end of the stuck process")
    late = time.time() - began - LIMIT - GRACE
    assert 0 <= late < ALLOWANCE, late
    row = ended(run_id, "failed")
    assert row["error_type"] == "HardTimeLimitExceeded"
    assert f"exceeded its hard limit of {LIMIT + GRACE:g} s" in row["error"]
    assert (row["attempt"], row["crashes"]) == (1, 0)
    (letter,) = rows("select run_id::text, kind from board.dead_letters")
    assert letter["run_id"] == run_id
    neighbours = {run for run, pid in patients.items() if pid == victim}
    (board.folder / "enough").touch()
    done = [ended(patient) for patient in patients]
    assert {row["crashes"] for row in done} == {0}, "they are not to blame"
    for row in done:
        story = " ".join(entry["detail"] for entry in row["history"] or ())
        assert (run_id in story) == (str(row["id"]) in neighbours), row["history"]
    now = living(2)
    assert pids - {victim} < now, "the sibling was replaced too"
    assert len(signed(board, "stuck")) == 1
    assert stop(supervisor) == 0


@pytest.mark.long
def test_a_job_that_holds_the_gil_beyond_its_lease_is_ended_long_before_its_limit(
    board: Board, service: Start, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setenv("CALLBOARD_MAX_CRASHES", "1")
    service("worker", "--processes", "1", "--threads", "2")
    send("greedy", ())
    ((victim, began),) = eventually(lambda: signed(board, "greedy"), 20)
    eventually(lambda: not alive(victim), 20, what="the end of the frozen process")
    assert 4 - 1 < time.time() - began < 4 + 4
    assert "kept all others from running" in str(logged(board, "worker.killed")[0]["reason"])
    letter = eventually(lambda: rows("select kind, job from board.dead_letters"), 20)
    assert letter == [{"kind": "poison", "job": "greedy"}]


@pytest.mark.long
def test_a_job_that_hangs_each_time_is_given_up_after_its_retries(board: Board, service: Start) -> None:
    service("worker", "--processes", "1", "--threads", "2")
    (run_id,) = send("stuck_again", ())
    row = ended(run_id, "failed")
    assert row["attempt"] == 2
    assert len(signed(board, "stuck_again")) == 2
    failed = rows("select attempt, error_type from board.failures where run_id = :id order by id", id=run_id)
    assert [each["attempt"] for each in failed] == [1, 2]
    assert {each["error_type"] for each in failed} == {"HardTimeLimitExceeded"}


def completed(wanted: int) -> bool:
    """Whether so many runs have."""
    return int(rows("select count(*) from board.runs where state = 'completed'")[0]["count"]) >= wanted


@pytest.mark.long
@pytest.mark.parametrize("wear", ["jobs", "memory"])
def test_processes_are_renewed_one_at_a_time_without_losing_a_job_or_a_place(
    board: Board, service: Start, monkeypatch: pytest.MonkeyPatch, wear: str
) -> None:
    limits = {"jobs": ("MAX_JOBS", "25"), "memory": ("MAX_MEMORY_MB", "150")}
    name, limit = limits[wear]
    monkeypatch.setenv(f"CALLBOARD_WORKER_{name}", limit)
    supervisor = service("worker", "--processes", "2", "--threads", "2")
    first = living(2)
    sent: list[str] = []
    fewest, deadline = 2, time.monotonic() + 60
    while len(logged(board, "worker.renewed")) < 4:
        assert time.monotonic() < deadline, (board.folder / "service.log").read_text()[-2000:]
        leaks = wear == "memory" and len(logged(board, "worker.renewing")) == len(logged(board, "worker.renewed"))
        sent += send("leak", (5,)) if leaks else send("brief", (1,), (2,))
        fewest = min(fewest, sum(alive(pid) for pid in registered()))
        eventually(partial(completed, len(sent) - 10), 20)
    assert fewest == 2, "for a while fewer than two worked"
    assert len(first & living(2)) == 0, "both were renewed"
    for run_id in sent:
        assert ended(run_id)["attempt"] == 1
    assert logged(board, "worker.died") == []
    assert logged(board, "worker.killed") == []
    _one_at_a_time(board)
    assert stop(supervisor) == 0


def _one_at_a_time(board: Board) -> None:
    told = [line["event"] for line in logged(board, "worker.renewing") + logged(board, "worker.renewed")]
    assert told.count("worker.renewing") - told.count("worker.renewed") in (0, 1)
    lines = (board.folder / "service.log").read_text()
    order = [word for word in lines.replace('"', " ").split() if word in ("worker.renewing", "worker.renewed")]
    assert all(one != two for one, two in pairwise(order)), order


def test_the_first_sigterm_drains_and_the_second_one_is_harmless(board: Board, service: Start) -> None:
    supervisor = service("worker", "--processes", "2", "--threads", "1")
    pids = living(2)
    patients = send("patient", (1,), (2,), (3,))
    eventually(lambda: sum(bool(signed(board, f"patient-{number}")) for number in (1, 2, 3)) == 2, 20)
    supervisor.send_signal(signal.SIGTERM)
    eventually(lambda: logged(board, "workers.stopping"), 5)
    supervisor.send_signal(signal.SIGTERM)
    for pid in pids:
        os.kill(pid, signal.SIGTERM)
    (board.folder / "enough").touch()
    assert supervisor.wait(12) == 0
    states = sorted(run_of(run_id).get("state", "not begun") for run_id in patients)
    assert states == ["completed", "completed", "not begun"]
    assert logged(board, "workers.stopped")[0]["killed"] == []
    assert not any(alive(pid) for pid in pids)


@pytest.mark.long
@pytest.mark.parametrize(("metrics", "most"), [("false", 20e6), ("true", 32e6)])
def test_the_supervisor_is_thin(service: Start, monkeypatch: pytest.MonkeyPatch, metrics: str, most: float) -> None:
    monkeypatch.setenv("CALLBOARD_METRICS", metrics)
    supervisor = service("worker", "--processes", "1", "--threads", "1")
    living(1)
    process = psutil.Process(supervisor.pid)
    assert process.memory_info().rss < most
    loaded = " ".join(each.path for each in process.memory_maps())
    assert "psycopg" not in loaded
    before = sum(process.cpu_times()[:2])
    began = time.monotonic()
    eventually(lambda: time.monotonic() > began + 3, 10, every=0.1)
    assert sum(process.cpu_times()[:2]) - before < 0.05 * 3
