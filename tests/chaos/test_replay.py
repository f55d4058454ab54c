"""Three operators replay the same letters at once and one is killed, or his worker: each letter is replayed once."""

from __future__ import annotations

from typing import TYPE_CHECKING

import pytest

from tests.chaos.fleet import Fleet
from tests.chaos.replay import bury, replay

if TYPE_CHECKING:
    from collections.abc import Iterator
    from pathlib import Path

pytestmark = pytest.mark.long

# Shorter than the settings that ship, so that the suite is: what is promised is the order of things.
QUICK = {"heartbeat_seconds": 0.5, "lease_seconds": 2, "recovery_seconds": 1, "leader_poll_seconds": 0.5}


@pytest.fixture
def fleet(postgres_url: str, broker_url: str, tmp_path: Path) -> Iterator[Fleet]:
    processes = Fleet(postgres_url, broker_url, tmp_path, canary_seconds=0, **QUICK)
    yield processes
    processes.stop()


def test_three_operators_and_a_kill_replay_every_letter_once(fleet: Fleet) -> None:
    bury(fleet, 2000)
    tally = replay(fleet, letters=2000, operators=3, kill=True, workers=1, rate=400, settle=60)
    assert tally.clean, tally
    assert sum(tally.by.values()) == 2000
    assert tally.by[tally.killed] > 0, "the killed one had replayed nothing: the round has shown nothing"


def test_a_worker_that_is_killed_in_a_bulk_replay_is_succeeded_by_another(fleet: Fleet) -> None:
    bury(fleet, 2000)
    tally = replay(fleet, letters=2000, operators=1, kill=True, workers=1, rate=400, settle=60, detach=True)
    assert tally.clean, tally
    assert tally.by == {"operator-1": 2000}
    assert tally.killed == "operator-1"
    assert tally.reports == ((2, "completed", 2000),), "the report is of both attempts"
