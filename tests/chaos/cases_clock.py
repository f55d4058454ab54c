"""Clocks that are wrong: i of the design document."""

from __future__ import annotations

import os
import time
from pathlib import Path
from typing import TYPE_CHECKING

from tests.chaos.case import Case
from tests.chaos.tally import percentiles
from tests.support import eventually

if TYPE_CHECKING:
    import subprocess

    from tests.chaos.stage import Stage
    from tests.chaos.tally import Tally

_HOOK = Path(__file__).parent / "wrong_clock"
_ROOT = Path(__file__).parent.parent.parent
_LETTERS = "select count(*) from board.dead_letters where state = 'open'"


def shifted(seconds: float) -> dict[str, str]:
    """Environment of a process whose wall clock is off by `seconds`; its monotonic clock is not."""
    return {"PYTHONPATH": f"{_ROOT}{os.pathsep}{_HOOK}", "CHAOS_CLOCK_SHIFT": str(seconds)}


def wrong_worker(stage: Stage, *, shift: float, seconds: float = 20, kill: bool = True) -> Tally:
    """A worker with a wrong clock beside one with the right one: no run of a live worker is taken from it.

    Args:
        stage: Where.
        shift: How wrong, in seconds.
        seconds: How long its jobs last, longer than a lease.
        kill: Kill it in the end with other jobs running: these must start elsewhere.
    """
    stage.scheduler(env=shifted(shift))
    wrong = stage.worker(env=shifted(shift))
    stage.await_workers(1)
    stage.send("long", 8, kwargs={"seconds": seconds})
    _await_starts(stage, "long", 8)
    stage.worker()
    stage.await_workers(2)
    stage.send("work", 20)
    eventually(lambda: sum(e.what == "E" and e.job == "long" for e in stage.effects()) == 8, seconds + 30, every=0.1)
    early = len(stage.starts("long"))
    killed = _kill_with_jobs(stage, wrong) if kill else None
    stage.settle(timeout=40)
    tally = stage.tally()
    tally.facts |= {"clock off by s": shift, "starts of 8 jobs of a live worker": early}
    if killed is not None:
        tally.recovery = percentiles(e.seconds - killed for e in stage.starts("hold") if e.seconds > killed)
    tally.expect(early == 8, f"8 jobs of a live worker were started {early} times")
    return tally


def _kill_with_jobs(stage: Stage, worker: subprocess.Popen[bytes]) -> float:
    """Both workers are busy when the one is killed; its jobs take no time when they start again."""
    stage.send("hold", 16, kwargs={"seconds": 3})
    _await_starts(stage, "hold", 16)
    stage.fleet.kill(worker)
    return time.monotonic()


def _await_starts(stage: Stage, job: str, count: int) -> None:
    eventually(lambda: len(stage.starts(job)) >= count, 60, every=0.05, what=f"{count} starts of {job}")


def wrong_producer(stage: Stage, *, shift: float, messages: int = 20, delay: float = 3) -> Tally:
    """A producer with a wrong clock: what it delays is due by the server's clock, plain or durable."""
    stage.workers(1)
    for job in ("work", "kept"):
        stage.send(job, messages, delay=int(delay * 1000), env=shifted(shift))
        stage.send(job, messages, env=shifted(shift))
    stage.settle()
    tally = stage.tally()
    sent = stage.sent("ok")
    first = min(sent.values())
    waits = sorted(e.seconds - sent[e.run] for e in stage.starts() if e.run in sent)
    tally.facts |= {"clock off by s": shift, "seconds from send to start": [round(waits[0], 2), round(waits[-1], 2)]}
    delayed = sum(wait >= delay - 0.1 for wait in waits)
    tally.expect(delayed == 2 * messages, f"{delayed} of {2 * messages} delayed messages waited {delay} s")
    tally.expect(waits[-1] < delay + 5, f"a message waited {waits[-1]:.1f} s, from {first:.0f}")
    return tally


def fast_forward(stage: Stage, *, shift: float, letters: int = 5) -> Tally:
    """Dead letters, and then workers and a scheduler whose clocks are days ahead: the letters stay."""
    stage.workers(1)
    stage.send("unlucky", letters)
    eventually(lambda: stage.fleet_query(_LETTERS)[0][0] == letters, 30, every=0.1)
    for process in list(stage.fleet.processes):
        stage.stop(process)
    stage.scheduler(env=shifted(shift))
    stage.worker(env=shifted(shift))
    stage.send("work", 20, env=shifted(shift))
    stage.settle()
    tally = stage.tally()
    kept = stage.fleet_query(_LETTERS)[0][0]
    tally.facts |= {"clock off by s": shift, "dead letters kept": kept}
    tally.expect(kept == letters, f"{kept} of {letters} dead letters are left")
    return tally


_HOUR, _DAY = 3600, 86_400
_SHIFTS = (90, -90, _HOUR, -_HOUR, 8 * _DAY, -8 * _DAY)

CASES = [
    *(
        Case(name=f"i1{chr(97 + n)}", fault=f"worker and scheduler clocks off by {shift:+,} s", play=wrong_worker,
             size={"shift": shift}, quick={"seconds": 4} if shift == -90 else None)
        for n, shift in enumerate(_SHIFTS)
    ),
    *(
        Case(name=f"i3{chr(97 + n)}", fault=f"producer clock off by {shift:+,} s", play=wrong_producer,
             size={"shift": shift})
        for n, shift in enumerate((*_SHIFTS, 600, -600, 400 * _DAY, -400 * _DAY))
    ),
    Case(name="i4", fault="clocks 8 days ahead, dead letters", play=fast_forward, size={"shift": 8 * _DAY}),
]  # fmt: skip
