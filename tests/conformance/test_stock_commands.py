"""Dramatiq's and periodiq's own commands read our broker: `dramatiq callboard:get_broker ...` and the like."""

from __future__ import annotations

import subprocess
import sys
from pathlib import Path
from typing import TYPE_CHECKING

import pytest

from callboard.compose import make_broker
from tests.chaos.fleet import Fleet
from tests.chaos.kills import send
from tests.support import eventually

if TYPE_CHECKING:
    from collections.abc import Iterator

BIN = Path(sys.executable).parent


@pytest.fixture
def fleet(postgres_url: str, broker_url: str, tmp_path: Path) -> Iterator[Fleet]:
    processes = Fleet(postgres_url, broker_url, tmp_path)
    yield processes
    processes.stop()


def start(fleet: Fleet, *command: str) -> None:
    with fleet.output.open("ab") as output:
        fleet.processes.append(subprocess.Popen(command, env=fleet.environment, stdout=output, stderr=output))


def test_the_stock_worker_runs_and_records_our_jobs(fleet: Fleet) -> None:
    start(fleet, str(BIN / "dramatiq"), "callboard:get_broker", "tests.chaos.jobs", "-p", "1", "-t", "2")
    (message_id,) = send(make_broker(fleet.environment["CALLBOARD_BROKER_URL"], namespace="callboard"), "short", [(1,)])
    eventually(lambda: fleet.query("select 1 from board.runs where state = 'completed'"), 30)
    assert fleet.query("select id::text, job from board.runs") == [(message_id, "short")]


def test_the_stock_scheduler_finds_our_cadences(fleet: Fleet) -> None:
    start(fleet, str(BIN / "periodiq"), "-v", "callboard:get_broker", "tests.chaos.jobs")
    start(fleet, str(BIN / "dramatiq"), "callboard:get_broker", "tests.chaos.jobs", "-p", "1", "-t", "2")
    eventually(lambda: len(fleet.effects("grid")) >= 2, 40)
    rows = fleet.query("select trigger, scheduled_for from board.runs where job = 'grid' and state = 'completed'")
    assert {row.trigger for row in rows} == {"schedule"}
    assert all(row.scheduled_for.second % 3 == 0 for row in rows)
