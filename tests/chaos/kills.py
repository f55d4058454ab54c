"""Kill workers while jobs run, and count what became of every message; as a command: `python -m tests.chaos.kills`."""

from __future__ import annotations

import argparse
import os
import random
import tempfile
import time
from collections import Counter
from contextlib import closing
from dataclasses import dataclass
from pathlib import Path
from typing import TYPE_CHECKING

from dramatiq import Message

from callboard.broker import RedisBroker
from callboard.compose import make_broker
from callboard.embedded import EmbeddedServers
from callboard.ledger import migrate
from tests.chaos.fleet import Fleet
from tests.support import eventually

if TYPE_CHECKING:
    from collections.abc import Iterable, Sequence
    from typing import Any

_OPEN = "select count(*) from board.runs where state in ('pending', 'running')"
_STATES = "select state, count(*) from board.runs where job = 'short' group by 1"


@dataclass(frozen=True)
class Tally:
    """What became of the messages of one round; `caught_running` runs were under way when their worker died."""

    sent: int
    kills: int
    caught_running: int
    states: dict[str, int]
    unrecorded: int
    dead_letters: int
    unmarked_doubles: int
    seconds_to_settle: float

    @property
    def clean(self) -> bool:
        """Every message ended once, in the ledger, and no start went unmarked."""
        ended = self.states.get("completed", 0) + self.states.get("failed", 0)
        settled = ended == self.sent and set(self.states) <= {"completed", "failed"}
        return settled and self.unrecorded == 0 and self.unmarked_doubles == 0


def kill_workers(fleet: Fleet, *, jobs: int, kills: int, workers: int, seed: int, settle: float = 60) -> Tally:
    """Send `jobs` short jobs, kill a random worker `kills` times with some of them running, and count.

    Args:
        fleet: Whose processes are killed; its scheduler lives on.
        jobs: Messages to send.
        kills: How often.
        workers: Processes; a killed one is replaced at once.
        seed: Of which worker dies when.
        settle: Seconds after the last kill in which every run must have ended.
    """
    dice = random.Random(seed)
    fleet.scheduler()
    for _ in range(workers):
        fleet.worker()
    eventually(lambda: fleet.query("select count(*) from board.workers where state = 'alive'")[0][0] == workers, 30)
    sent = _send_all_at_once(fleet, jobs)
    for number in range(kills):
        _wait_for_progress(fleet, target=int(jobs * 0.9 * (number + 1) / (kills + 1)))
        victim = dice.choice([process for process in fleet.processes if process.args[-1].find("run_worker") > 0])
        fleet.kill(victim)
        fleet.worker()
    began = time.monotonic()
    eventually(lambda: _done(fleet) >= jobs and fleet.query(_OPEN)[0][0] == 0, settle, every=0.2)
    return _count(fleet, sent, kills, time.monotonic() - began)


def _send_all_at_once(fleet: Fleet, jobs: int) -> list[str]:
    """Workers that take each message as it comes have none left to be killed with."""
    url = fleet.environment["CALLBOARD_BROKER_URL"]
    with closing(make_broker(url, namespace="callboard")) as operator:
        operator.pause("short")
        sent = send(make_broker(url, namespace="callboard"), "short", [(number,) for number in range(jobs)])
        operator.resume("short")
    return sent


def send(broker: RedisBroker, actor: str, arguments: Iterable[tuple[object, ...]]) -> list[str]:
    """Send messages to an actor of `tests.chaos.jobs` without importing it here; closes the broker."""
    broker.declare_queue("short")
    sent: list[Message[None]] = [
        broker.enqueue(Message(queue_name="short", actor_name=actor, args=args, kwargs={}, options={}))
        for args in arguments
    ]
    broker.close()
    return [message.message_id for message in sent]


def _done(fleet: Fleet) -> int:
    return int(fleet.query("select count(*) from board.runs where state in ('completed', 'failed')")[0][0])


def _wait_for_progress(fleet: Fleet, target: int) -> None:
    eventually(lambda: _done(fleet) >= target, 120, every=0.05, what=f"{target} runs ended")


def _count(fleet: Fleet, sent: Sequence[str], kills: int, seconds: float) -> Tally:
    rows: Sequence[Any] = fleet.query("select id::text, attempt, crashes, state from board.runs where job = 'short'")
    known = {row[0]: row for row in rows}
    starts = Counter(words[3] for words in fleet.effects("short"))
    # A start is marked when the run's row counts it: an attempt, or a crash that the ledger wrote down.
    doubles = sum(starts[run_id] > known[run_id][1] for run_id in known)
    return Tally(
        sent=len(sent),
        kills=kills,
        caught_running=sum(row[2] > 0 for row in rows),
        states={state: int(count) for state, count in fleet.query(_STATES)},
        unrecorded=len(set(sent) - set(known)),
        dead_letters=int(fleet.query("select count(*) from board.dead_letters")[0][0]),
        unmarked_doubles=doubles,
        seconds_to_settle=round(seconds, 1),
    )


def main() -> None:
    """The full-size round: 5,000 jobs, 20 kills, the settings as they ship."""
    parser = argparse.ArgumentParser()
    parser.add_argument("--jobs", type=int, default=5000)
    parser.add_argument("--kills", type=int, default=20)
    parser.add_argument("--seed", type=int, default=os.getpid())
    given = parser.parse_args()
    folder = Path(tempfile.mkdtemp(prefix="kills-"))
    with EmbeddedServers(folder / "servers") as servers:
        endpoints = servers.start()
        migrate.upgrade(endpoints.database_url)
        fleet = Fleet(endpoints.database_url, endpoints.broker_url, folder)
        try:
            tally = kill_workers(fleet, jobs=given.jobs, kills=given.kills, workers=2, seed=given.seed)
        finally:
            fleet.stop()
    print(f"seed={given.seed} {tally} clean={tally.clean}")  # noqa: T201 - a command's answer


if __name__ == "__main__":
    main()
