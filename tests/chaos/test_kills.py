"""Real processes, real kills: nothing is lost, nothing runs twice unmarked, everything is recorded."""

from __future__ import annotations

import os
import signal
from typing import TYPE_CHECKING

import pytest

from callboard.compose import make_broker
from tests.chaos.fleet import Fleet
from tests.chaos.kills import kill_workers, send
from tests.support import eventually

if TYPE_CHECKING:
    from collections.abc import Iterator
    from pathlib import Path

pytestmark = pytest.mark.long

ALIVE = "select count(*) from board.workers where state = 'alive' and lease_until > now()"
# Shorter than the settings that ship, so that the suite is: what is promised is the order of things.
QUICK = {"heartbeat_seconds": 0.5, "lease_seconds": 2, "recovery_seconds": 1, "leader_poll_seconds": 0.5}


@pytest.fixture
def fleet(postgres_url: str, broker_url: str, tmp_path: Path) -> Iterator[Fleet]:
    processes = Fleet(postgres_url, broker_url, tmp_path, **QUICK)
    yield processes
    processes.stop()


def send_one(fleet: Fleet, actor: str, *args: object) -> str:
    broker = make_broker(fleet.environment["CALLBOARD_BROKER_URL"], namespace="callboard")
    (message_id,) = send(broker, actor, [args])
    return message_id


def test_killed_workers_lose_nothing_and_double_nothing_unmarked(fleet: Fleet) -> None:
    tally = kill_workers(fleet, jobs=2400, kills=5, workers=2, seed=4711)
    assert tally.clean, tally
    assert tally.sent == 2400
    assert tally.caught_running > 0, "no kill hit a running job: the round has shown nothing"


def test_a_message_that_kills_its_workers_is_poison_after_three(fleet: Fleet) -> None:
    fleet.scheduler()
    killer = send_one(fleet, "killer")
    for _ in range(3):
        worker = fleet.worker()
        assert eventually(worker.poll, 30) == -signal.SIGKILL
        fleet.processes.remove(worker)
    fleet.worker()
    eventually(lambda: fleet.query("select 1 from board.dead_letters"), 30)
    assert fleet.query("select kind, run_id::text from board.dead_letters") == [("poison", killer)]
    assert len(fleet.effects("killer")) == 3


def test_a_job_that_fails_on_a_crash_is_not_started_again(fleet: Fleet) -> None:
    fleet.scheduler()
    send_one(fleet, "fragile")
    worker = fleet.worker()
    assert eventually(worker.poll, 30) == -signal.SIGKILL
    fleet.processes.remove(worker)
    fleet.worker()
    eventually(lambda: fleet.query("select 1 from board.runs where state = 'failed'"), 30)
    assert fleet.query("select error from board.runs where job = 'fragile'") == [("Server restarted during execution",)]
    assert len(fleet.effects("fragile")) == 1


def test_a_killed_leader_is_followed_and_no_tick_is_lost_or_doubled(fleet: Fleet) -> None:
    fleet.worker()
    first = fleet.scheduler()
    eventually(lambda: fleet.effects("second"), 30)
    fleet.scheduler()
    for _ in range(3):
        before = len(fleet.effects("second"))
        eventually(lambda before=before: len(fleet.effects("second")) >= before + 2, 30)
        fleet.kill(first)
        first = fleet.processes[-1]
        fleet.scheduler()
    before = len(fleet.effects("second"))
    eventually(lambda: len(fleet.effects("second")) >= before + 2, 30)
    fleet.stop()
    of_second = "from board.occurrences where job = 'second'"
    times = [row[0] for row in fleet.query(f"select extract(epoch from scheduled_for)::int {of_second} order by 1")]
    assert times == list(range(times[0], times[-1] + 1))
    fired = fleet.query(f"select count(*), count(distinct run_id) {of_second} and outcome = 'fired'")
    assert fired[0][0] == fired[0][1]
    started = [words[2] for words in fleet.effects("second")]
    assert len(started) == len(set(started))


def test_a_stopping_worker_gives_back_what_it_runs(fleet: Fleet) -> None:
    fleet._env["CALLBOARD_SHUTDOWN_GRACE_SECONDS"] = "0.5"
    fleet.scheduler()
    worker = fleet.worker()
    message_id = send_one(fleet, "patient", 30)
    eventually(lambda: fleet.effects("patient"), 30)
    worker.terminate()
    os.kill(worker.pid, signal.SIGTERM)  # a second one is harmless
    assert worker.wait(10) == 0
    fleet.processes.remove(worker)
    row = "select state, attempt, reason from board.runs where id::text = :id"
    assert fleet.query(row, id=message_id) == [("pending", 0, "interrupted")]
    fleet.worker()
    eventually(lambda: len(fleet.effects("patient")) == 2, 30)
