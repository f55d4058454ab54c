"""Let two schedulers fire for a while, kill one over its fire times if asked to, and count the ticks.

As a command: `python -m tests.chaos.cadence --seconds 600 [--kill-every 7]`.
"""

from __future__ import annotations

import argparse
import tempfile
import threading
import time
from pathlib import Path

from callboard.embedded import EmbeddedServers
from callboard.ledger import migrate
from tests.chaos.fleet import Fleet

_OCCURRENCES = """
select job, count(*) as ticks, count(*) filter (where outcome = 'fired') as fired,
       count(distinct run_id) filter (where outcome = 'fired') as runs,
       extract(epoch from max(scheduled_for) - min(scheduled_for))::int as seconds
from board.occurrences group by 1 order by 1
"""
_STEP = {"grid": 3, "second": 1}


def _watch(fleet: Fleet, seconds: float, kill_every: float) -> int:
    kills, pause = 0, threading.Event()
    end = time.monotonic() + seconds
    while time.monotonic() < end:
        pause.wait(min(kill_every or seconds, max(end - time.monotonic(), 0)))
        if kill_every and time.monotonic() < end:
            leader = next(process for process in fleet.processes if "scheduler" in str(process.args))
            fleet.kill(leader)
            fleet.scheduler()
            kills += 1
    return kills


def _tell(fleet: Fleet) -> None:
    for row in fleet.query(_OCCURRENCES):
        lost = row.seconds // _STEP[row.job] + 1 - row.ticks
        starts = fleet.effects(row.job)
        late = sorted(float(words[0]) - float(words[2]) for words in starts)
        doubled = len(starts) - len({words[2] for words in starts})
        print(  # noqa: T201 - a command's answer
            f"{row.job}: {row.ticks} ticks, {row.fired} fired as {row.runs} runs, {lost} lost, {doubled} doubled;"
            f" {len(starts)} starts after their grid point: p50 {late[len(late) // 2] * 1000:.0f} ms,"
            f" p99 {late[int(len(late) * 0.99)] * 1000:.0f} ms, max {late[-1] * 1000:.0f} ms"
        )
    print("outcomes:", fleet.query("select job, outcome, reason, count(*) from board.occurrences group by 1, 2, 3"))  # noqa: T201 - the same


def main() -> None:
    """Two schedulers, two workers, cadences of 1 s and 3 s."""
    parser = argparse.ArgumentParser()
    parser.add_argument("--seconds", type=float, default=600)
    parser.add_argument("--kill-every", type=float, default=0)
    given = parser.parse_args()
    folder = Path(tempfile.mkdtemp(prefix="cadence-"))
    with EmbeddedServers(folder / "servers") as servers:
        endpoints = servers.start()
        migrate.upgrade(endpoints.database_url)
        fleet = Fleet(endpoints.database_url, endpoints.broker_url, folder)
        try:
            for _ in range(2):
                fleet.worker()
                fleet.scheduler()
            kills = _watch(fleet, given.seconds, given.kill_every)
        finally:
            fleet.stop()
        print(f"{given.seconds:.0f} s, {kills} schedulers killed")  # noqa: T201 - the same
        _tell(fleet)


if __name__ == "__main__":
    main()
