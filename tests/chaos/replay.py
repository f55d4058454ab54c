"""Several operators replay the same letters at once, and one is killed; as a command: `python -m tests.chaos.replay`.

Every letter must have one run, and that run must have been done once, whoever replayed it and whoever died. With
`--detach` the operators leave it to workers of their own, and the one that has most to do is killed.
"""

from __future__ import annotations

import argparse
import subprocess
import sys
import tempfile
import time
from collections import Counter
from dataclasses import dataclass
from pathlib import Path
from typing import TYPE_CHECKING, cast

from dramatiq import Message
from sqlalchemy import create_engine, text
from sqlalchemy.pool import NullPool

from callboard.bulk_replay import NAME, QUEUE
from callboard.embedded import EmbeddedServers
from callboard.envelope import facts_of
from callboard.ids import new_id
from callboard.ledger import failures, migrate
from callboard.ledger.failures import Failing
from callboard.outcome import Failure
from callboard.spec import JobSpec
from tests.chaos.fleet import Fleet
from tests.support import eventually

if TYPE_CHECKING:
    from callboard.ledger.wire import Cursor

_BATCH = 1000
_REPLAYED = "select count(*) from board.dead_letters where state = 'replayed'"
_OPEN = "select count(*) from board.runs where state in ('pending', 'running')"
_RUNS = """
select count(*), count(distinct trigger), count(*) filter (where state = 'completed'),
       count(*) filter (where history::text like '%sent again%')
from board.runs where trigger like 'replay:%'
"""
_RATE = """
select count(*), extract(epoch from max(settled_at) - min(settled_at))::float8
from board.dead_letters where state = 'replayed'
"""
_BUSIEST = """
select b.id, b.who, w.pid from board.bulk_replays b
join board.runs r on r.id = b.run_id join board.workers w on w.id = r.worker_id
where b.result is null and r.state = 'running' order by b.replayed desc limit 1
"""
_REPORTS = "select attempt, state, (counts->>'replayed')::int from board.runs where job = :job order by attempt, 3"
_FILL = """
insert into board.runs (id, created_at, job, queue, state, trigger, correlation_id, args, eligible_at, finished_at)
select id, moment, 'old', 'paper', 'completed', 'send', 'job-' || id, '{}', moment, moment
from (select gen_random_uuid() as id, now() - n * interval '1 ms' as moment from generate_series(1, :count) n) as old
"""


@dataclass(frozen=True)
class Tally:
    """What became of the letters.

    Attributes:
        letters: Made before.
        replayed: Marked so.
        runs: With a trigger `replay:<id>`.
        triggers: Different ones among these.
        completed: Runs among these.
        done: Runs whose job wrote its line, each counted once.
        doubled: Runs whose job wrote more than one.
        sent_again: Runs whose message the reconciler had to send.
        by: Letters that each operator replayed.
        killed: The operator, or the one's worker, that was killed; empty if none was.
        reports: Of bulk replays left to workers: which attempt, how it ended, and how many letters it says it replayed.
        per_second: Letters replayed, over the time from the first batch to the last.
        seconds_to_finish: From the operators' start until every run had ended.
    """

    letters: int
    replayed: int
    runs: int
    triggers: int
    completed: int
    done: int
    doubled: int
    sent_again: int
    by: dict[str, int]
    killed: str
    per_second: float
    seconds_to_finish: float
    reports: tuple[tuple[int, str, int], ...] = ()

    @property
    def clean(self) -> bool:
        """Every letter was replayed exactly once, and its run was done exactly once."""
        each = {self.replayed, self.runs, self.triggers, self.completed, self.done}
        return each == {self.letters} and self.doubled == 0


def bury(fleet: Fleet, count: int) -> None:
    """Write so many dead letters of the job `paper`, as the recorder does."""
    spec = JobSpec(name="paper", fn=lambda number: number, queue="paper")
    failure = Failure.of(ConnectionError("no route to the printer"), job="paper", scope="")
    engine = create_engine(fleet.environment["CALLBOARD_DATABASE_URL"], poolclass=NullPool)
    for start in range(0, count, _BATCH):
        numbers = range(start, min(start + _BATCH, count))
        messages = [Message("paper", "paper", (number,), {}, {}, message_id=new_id()) for number in numbers]
        failing = [Failing(facts_of(message, spec), 4, failure, "retries exhausted") for message in messages]
        with engine.begin() as connection:
            failures.record_many(cast("Cursor", connection.connection.cursor()), failing)


def fill(fleet: Fleet, runs: int) -> None:
    """Write so many runs that ended long ago, for tables and indexes of that size."""
    if runs:
        engine = create_engine(fleet.environment["CALLBOARD_DATABASE_URL"], poolclass=NullPool)
        with engine.begin() as connection:
            connection.execute(text(_FILL), {"count": runs})
        # Otherwise the server does so by itself, while the replay is measured.
        with engine.connect().execution_options(isolation_level="AUTOCOMMIT") as connection:
            connection.execute(text("vacuum (analyze) board.runs, board.dead_letters"))


def replay(
    fleet: Fleet,
    *,
    letters: int,
    operators: int,
    kill: bool,
    workers: int = 2,
    rate: float | None = None,
    settle: float = 300,
    detach: bool = False,
) -> Tally:
    """Let operators replay all letters at once, kill one in the middle, and count what became of them.

    Args:
        fleet: Whose processes do the runs.
        letters: How many there are.
        operators: How many commands start at the same time.
        kill: Whether one is killed once a third is replayed.
        workers: Processes.
        rate: Letters a second of each operator; None: as fast as it goes.
        settle: Seconds until every run must have ended.
        detach: Leave it to two workers of its own.
    """
    fleet.scheduler()
    replaying = [fleet.worker(QUEUE) for _ in range(2 * detach)]
    for _ in range(workers):
        fleet.worker("paper,grid" if detach else "")
    alive = "select count(*) from board.workers where state = 'alive'"
    eventually(lambda: fleet.query(alive)[0][0] == workers + len(replaying), 30)
    began = time.monotonic()
    names = [f"operator-{number}" for number in range(1, operators + 1)]
    commands = {name: _operator(fleet, name, rate, detach=detach) for name in names}
    killed = ""
    if kill:
        killed = _kill_a_worker(fleet, replaying, letters) if detach else _kill_one(fleet, commands, letters)
    for name, command in commands.items():
        if (detach or name != killed) and command.wait(settle) != 0:
            raise AssertionError(f"{name} ended with {command.returncode}: see {fleet.output}")
    eventually(lambda: fleet.query(_OPEN)[0][0] == 0, settle, every=0.2, what="the end of every run")
    return _count(fleet, letters, killed, time.monotonic() - began)


def _operator(fleet: Fleet, name: str, rate: float | None, *, detach: bool) -> subprocess.Popen[bytes]:
    words = ["dead-letters", "replay", "job:paper", "--yes", "--keep-going", "--why", "the printer is back"]
    words += [] if rate is None else ["--rate", str(rate)]
    words += ["--detach"] if detach else []
    return fleet.start([sys.executable, "-m", "cli", *words], {"LOGNAME": name})


def _kill_one(fleet: Fleet, commands: dict[str, subprocess.Popen[bytes]], letters: int) -> str:
    """Kill the operator that has replayed most, once a third of the letters is replayed."""
    eventually(lambda: fleet.query(_REPLAYED)[0][0] >= letters / 3, 120, every=0.005, what="a third of the letters")
    by = _by_operator(fleet)
    victim = max(by, key=lambda name: by[name])
    if commands[victim].poll() is not None:
        raise AssertionError("the operator had finished before it was killed: more letters are needed")
    fleet.kill(commands[victim])
    return victim


def _kill_a_worker(fleet: Fleet, replaying: list[subprocess.Popen[bytes]], letters: int) -> str:
    """Kill the worker of the operator who has replayed most, once a third of the letters is replayed."""
    eventually(lambda: fleet.query(_REPLAYED)[0][0] >= letters / 3, 120, every=0.005, what="a third of the letters")
    number, who, pid = fleet.query(_BUSIEST)[0]
    fleet.kill(next(process for process in replaying if process.pid == pid))
    if fleet.query("select result from board.bulk_replays where id = :id", id=number)[0][0] is not None:
        raise AssertionError("it had finished before it was killed: more letters are needed")
    return str(who).removeprefix("cli:")


def _by_operator(fleet: Fleet) -> dict[str, int]:
    rows = fleet.query(
        "select settled_by, count(*) from board.dead_letters where state = 'replayed' group by 1 order by 1"
    )
    return {name.removeprefix("cli:"): int(count) for name, count in rows}


def _count(fleet: Fleet, letters: int, killed: str, seconds: float) -> Tally:
    runs, triggers, completed, sent_again = fleet.query(_RUNS)[0]
    replayed, took = fleet.query(_RATE)[0]
    starts = Counter(words[3] for words in fleet.effects("paper"))
    return Tally(
        letters=letters,
        replayed=replayed,
        runs=runs,
        triggers=triggers,
        completed=completed,
        done=len(starts),
        doubled=sum(count > 1 for count in starts.values()),
        sent_again=sent_again,
        by=_by_operator(fleet),
        killed=killed,
        per_second=round(replayed / max(took, 0.001)),
        seconds_to_finish=round(seconds, 1),
        reports=tuple(tuple(row) for row in fleet.query(_REPORTS, job=NAME)),
    )


def main() -> None:
    """The full-size round, with the settings as they ship."""
    parser = argparse.ArgumentParser()
    parser.add_argument("--letters", type=int, default=50_000)
    parser.add_argument("--operators", type=int, default=3)
    parser.add_argument("--workers", type=int, default=2)
    parser.add_argument("--runs", type=int, default=0, help="old runs that are in the ledger already")
    parser.add_argument("--kill", action="store_true", help="kill one operator in the middle")
    parser.add_argument("--detach", action="store_true", help="leave it to workers, and kill one of these")
    given = parser.parse_args()
    folder = Path(tempfile.mkdtemp(prefix="replay-"))
    with EmbeddedServers(folder / "servers") as servers:
        endpoints = servers.start()
        migrate.upgrade(endpoints.database_url)
        fleet = Fleet(endpoints.database_url, endpoints.broker_url, folder)
        try:
            bury(fleet, given.letters)
            fill(fleet, given.runs)
            tally = replay(
                fleet,
                letters=given.letters,
                operators=given.operators,
                kill=given.kill,
                workers=given.workers,
                detach=given.detach,
            )
        finally:
            fleet.stop()
    print(f"{tally} clean={tally.clean}")  # noqa: T201 - a command's answer


if __name__ == "__main__":
    main()
