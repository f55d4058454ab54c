"""Processes that die, are asked to stop, or are killed by their own jobs: a, d, e, f2 and k of the design document."""

from __future__ import annotations

import os
import random
import signal
import time
from collections import Counter
from typing import TYPE_CHECKING, Any

import psutil  # type: ignore[import-untyped] # ships no types

from tests.chaos.case import Case
from tests.chaos.tally import percentiles
from tests.support import alive, eventually

if TYPE_CHECKING:
    import subprocess
    from collections.abc import Iterable, Mapping

    from tests.chaos.stage import Stage
    from tests.chaos.tally import Tally

_EVENTS = """
select count(distinct r.id) from board.runs r, jsonb_array_elements(coalesce(r.history, '[]'::jsonb)) h
where h ->> 'event' = :event
"""
_CRASHED = "select count(*) from board.runs where crashes > 0"
_KINDS = "select r.job, d.kind, count(*) from board.dead_letters d join board.runs r on r.id = d.run_id group by 1, 2"


def killed_workers(
    stage: Stage,
    *,
    victims: int = 20,
    threads: int = 8,
    rate: float = 0,
    spare: int = 2,
    job: str = "hold",
    seconds: float = 600,
    within: float = 15,
) -> Tally:
    """Workers whose threads are all busy are killed one by one; how long until their runs start again elsewhere?

    Args:
        stage: Where.
        victims: Processes to kill.
        threads: Of each.
        rate: Other messages a second meanwhile.
        spare: Processes that live on.
        job: `hold` takes no time when it starts again, `long` takes as long as before.
        seconds: How long it takes.
        within: What p95 of the recovery must not be above, in seconds.
    """
    stage.scheduler()
    stage.worker(processes=victims, threads=threads)
    stage.await_workers(victims)
    stage.send(job, victims * threads, kwargs={"seconds": seconds})
    _await_starts(stage, job, victims * threads)
    doomed = sorted({effect.pid for effect in stage.starts(job)})
    stage.worker(processes=spare)
    stage.await_workers(victims + spare)
    if rate:
        stage.send("work", int(rate * 40), rate=rate, wait=False)
    killed = _kill_all(doomed, random.Random(stage.seed), pause=0.5)
    stage.settle(timeout=60)
    stage.await_sent()
    stage.settle()
    tally = stage.tally()
    tally.recovery = percentiles(_restarts(stage, killed))
    tally.facts |= {"workers killed": len(killed), "runs caught running": victims * threads}
    tally.expect(len(_restarts(stage, killed)) == victims * threads, "not every run that was caught started again")
    p95 = tally.recovery[1] if tally.recovery else within
    tally.expect(p95 <= within, f"p95 of the recovery is {p95} s, above {within}")
    return tally


def _kill_all(pids: Iterable[int], dice: random.Random, pause: float) -> dict[int, float]:
    killed: dict[int, float] = {}
    for pid in pids:
        time.sleep(dice.uniform(0, pause))  # another moment of its heartbeat for each
        os.kill(pid, signal.SIGKILL)
        killed[pid] = time.monotonic()
    return killed


def _restarts(stage: Stage, killed: Mapping[int, float]) -> list[float]:
    """Seconds from a process's death to the next start of each run it had begun and not ended."""
    effects = stage.effects()
    ended = {(effect.run, effect.pid) for effect in effects if effect.what != "S"}
    caught = {
        e.run: killed[e.pid] for e in effects if e.what == "S" and e.pid in killed and (e.run, e.pid) not in ended
    }
    again: dict[str, float] = {}
    for effect in effects:
        if effect.what == "S" and effect.run in caught and effect.seconds > caught[effect.run]:
            again.setdefault(effect.run, effect.seconds - caught[effect.run])
    return list(again.values())


def _await_starts(stage: Stage, job: str, count: int, timeout: float = 60) -> None:
    eventually(lambda: len(stage.starts(job)) >= count, timeout, every=0.05, what=f"{count} starts of {job}")


def killed_supervisor(stage: Stage, *, seconds: float = 20) -> Tally:
    """kill -9 of `callboard worker -p 2`: its children must be gone within 2 s, long jobs or not."""
    stage.scheduler()
    supervisor = stage.worker(processes=2)
    stage.await_workers(2)
    stage.send("hold", 16, kwargs={"seconds": seconds})
    _await_starts(stage, "hold", 9)
    children = [child.pid for child in psutil.Process(supervisor.pid).children(recursive=True)]
    stage.fleet.kill(supervisor)
    began = time.monotonic()
    _wait(lambda: not any(alive(pid) for pid in children), 30)
    gone = time.monotonic() - began
    stage.worker(processes=2)
    stage.settle(timeout=60)
    tally = stage.tally()
    tally.recovery = percentiles(_restarts(stage, dict.fromkeys(children, began)))
    tally.facts |= {"children": len(children), "seconds until they were gone": round(gone, 2)}
    tally.expect(gone <= 2, f"the children outlived their supervisor by {gone:.1f} s")
    return tally


def _wait(check: object, timeout: float) -> bool:
    assert callable(check)
    deadline = time.monotonic() + timeout
    while not check():
        if time.monotonic() > deadline:
            return False
        time.sleep(0.02)
    return True


def killed_child(stage: Stage, *, messages: int = 1200) -> Tally:
    """kill -9 of one of three worker processes: it is replaced, its siblings go on."""
    stage.scheduler()
    supervisor = stage.worker(processes=3, threads=4)
    stage.await_workers(3)
    stage.send("work", messages, rate=40, kwargs={"milliseconds": 250}, wait=False)
    _await_starts(stage, "work", 30)
    before = {effect.pid for effect in stage.starts()}
    victim = min(before)
    os.kill(victim, signal.SIGKILL)
    killed = time.monotonic()
    _wait(lambda: {e.pid for e in stage.starts()} - before, 30)
    replaced = time.monotonic() - killed
    stage.await_sent()
    stage.settle()
    tally = stage.tally()
    after = {effect.pid for effect in stage.starts() if effect.seconds > killed}
    tally.recovery = percentiles(_restarts(stage, {victim: killed}))
    tally.facts |= {"seconds until the new process worked": round(replaced, 1)}
    tally.expect(before - {victim} <= after, "a sibling of the killed process stopped working")
    tally.expect(bool(after - before), "no process took the place of the killed one")
    tally.expect(supervisor.poll() is None, "the supervisor ended")
    return tally


def shared_out(stage: Stage, *, seconds: float = 5) -> Tally:
    """16 long jobs on two processes of 8 threads: neither may hoard what the other could run."""
    stage.scheduler()
    stage.worker(processes=2)
    stage.await_workers(2)
    stage.send("long", 16, kwargs={"seconds": seconds})
    began = time.monotonic()
    _wait(lambda: len(stage.starts("long")) == 16, seconds)
    spread = sorted(Counter(effect.pid for effect in stage.starts("long")).values())
    all_running = time.monotonic() - began
    stage.settle()
    tally = stage.tally()
    tally.facts |= {"jobs by process": spread, "seconds until all ran": round(all_running, 2)}
    tally.expect(spread == [8, 8], f"16 jobs on 2 x 8 threads ran as {spread} at first")
    return tally


def frozen_worker(stage: Stage, *, seconds: float = 20, job_seconds: float = 30) -> Tally:
    """A worker process sleeps through its lease and goes on: what it reports then is refused.

    Two attempts of a run at the same time cannot be kept from happening here, only from being recorded twice; a
    supervisor would kill the sleeper, so it has none.
    """
    stage.scheduler()
    stage.worker_process()
    stage.await_workers(1)
    stage.send("long", 4, kwargs={"seconds": job_seconds})
    stage.send("work", 50)
    _await_starts(stage, "long", 4)
    (pid,) = {effect.pid for effect in stage.starts("long")}
    os.kill(pid, signal.SIGSTOP)
    frozen = time.monotonic()
    stage.worker()
    _wait(lambda: time.monotonic() > frozen + seconds, seconds + 1)
    os.kill(pid, signal.SIGCONT)
    stage.settle(timeout=2 * job_seconds + 30)
    tally = stage.tally()
    again = [effect.seconds - frozen for effect in stage.starts("long") if effect.pid != pid]
    tally.recovery = percentiles(again)
    tally.facts["attempts that went on after their lease"], tally.overlapping = tally.overlapping, 0
    tally.expect(len(again) == 4, f"{len(again)} of 4 runs were taken over")
    return tally


def terminated(
    stage: Stage,
    *,
    seconds: float,
    running: int = 8,
    waiting: int = 52,
    late: int = 0,
    again: bool = False,
    kill: float = 0,
) -> Tally:
    """SIGTERM to a worker with busy threads and a full queue; see the cases for what differs.

    Args:
        stage: Where; its grace is a setting.
        seconds: How long each of the running jobs lasts the first time.
        running: How many there are.
        waiting: Messages that wait behind them.
        late: Messages that are sent after the signal.
        again: Send a second SIGTERM half a second later.
        kill: SIGKILL so many seconds after the signal; 0: never.
    """
    (worker,) = stage.workers(1)
    stage.send("hold", running, kwargs={"seconds": seconds})
    _await_starts(stage, "hold", running)
    stage.send("work", waiting)
    pids = {effect.pid for effect in stage.starts()}
    asked = time.monotonic()
    worker.terminate()
    if late:
        stage.send("work", late, wait=False)
    _wait(lambda: time.monotonic() > asked + 0.5, 1)
    if again:
        worker.terminate()
    _wait(lambda: time.monotonic() > asked + 1.0, 1)
    held = stage.claimed()
    going = running - len([effect for effect in stage.effects() if effect.what != "S" and effect.job == "hold"])
    _end(stage, worker, asked, kill)
    took = time.monotonic() - asked
    stage.await_sent()
    stage.worker()
    stage.settle(timeout=60)
    tally = stage.tally()
    begun = sum(effect.pid in pids and effect.seconds > asked + 0.5 for effect in stage.starts())
    tally.facts |= {
        "seconds to stop": round(took, 2),
        "held 1 s after SIGTERM, above the running": max(0, held - going),
    }
    tally.facts["runs interrupted"] = stage.fleet_query(_EVENTS, event="interrupted")[0][0]
    tally.expect(held <= going, f"{held} messages were held 1 s after SIGTERM, and {going} ran")
    tally.expect(begun == 0, f"{begun} jobs were begun by a worker that was stopping")
    if kill:
        tally.recovery = percentiles(_restarts(stage, dict.fromkeys(pids, asked + kill)))
    return tally


def _end(stage: Stage, worker: subprocess.Popen[bytes], asked: float, kill: float) -> None:
    if kill:
        _wait(lambda: time.monotonic() > asked + kill, kill + 1)
        stage.fleet.kill(worker)
        return
    worker.wait(60)
    stage.fleet.processes.remove(worker)


def drained(stage: Stage, *, seconds: float = 6, **size: Any) -> Tally:  # noqa: ANN401 - sizes
    """Jobs shorter than the grace: they end, nothing runs twice, and the worker stops when the last one has ended."""
    tally = terminated(stage, seconds=seconds, **size)
    tally.expect(tally.restarted == 0, f"{tally.restarted} runs started twice")
    tally.expect(tally.facts["seconds to stop"] < seconds + 3, "the worker stopped late")
    return tally


def interrupted(stage: Stage, *, seconds: float = 30, grace: float = 2) -> Tally:
    """Jobs longer than the grace: interrupted, recorded as that, and run again elsewhere."""
    tally = terminated(stage, seconds=seconds)
    tally.expect(tally.facts["runs interrupted"] == 8, "not every interrupted run says so")
    tally.expect(tally.facts["seconds to stop"] < grace + 4, "the worker outlived its grace")
    return tally


def poison(
    stage: Stage,
    *,
    innocents: int = 200,
    killers: int = 1,
    hanging: tuple[str, ...] = (),
    processes: int = 2,
    wait: float = 150,
) -> Tally:
    """Jobs of three kinds that kill their process, so many of each, among innocent ones and such as only hang."""
    stage.scheduler()
    stage.worker(processes=processes)
    stage.await_workers(processes)
    for number, job in enumerate(("leave", "segfault", "shoot")):
        stage.send("work", innocents // 3 + (number < innocents % 3), kwargs={"milliseconds": 20}, wait=False)
        stage.send(job, killers)
    for job in hanging:
        stage.send(job, 1, wait=False)
    stage.await_sent()
    took = stage.settle(timeout=wait)
    tally = stage.tally()
    deaths = {job: len(stage.starts(job)) for job in ("leave", "segfault", "shoot")}
    letters = {job: (kind, count) for job, kind, count in stage.fleet_query(_KINDS)}
    done = len({effect.run for effect in stage.effects() if effect.what == "E" and effect.job == "work"})
    most = max(Counter(effect.run for effect in stage.starts("work")).values())
    tally.facts |= {"process deaths": deaths, "seconds until all had ended": round(took, 1), "innocents": done}
    tally.facts |= {"most starts of an innocent": most}
    expected = dict.fromkeys(deaths, ("poison", killers)) | dict.fromkeys(hanging, ("transient", 1))
    tally.expect(max(deaths.values()) <= 3 * killers, f"a poison killed more than 3 processes: {deaths}")
    tally.expect(letters == expected, f"dead letters are {letters}")
    tally.expect(done == innocents, f"{done} of {innocents} innocents completed")
    return tally


def full_hands(stage: Stage, *, seconds: float = 10, delays: int = 8100) -> Tally:
    """All threads busy for longer than the lease, and thousands of delays: a live worker must not look dead."""
    stage.send("work", delays, delay=86_400_000, bulk=1000, log="far.log")
    stage.workers(1)
    stage.send("long", 16, kwargs={"seconds": seconds})
    _await_starts(stage, "long", 8)
    stage.worker()
    stage.settle(timeout=4 * seconds + 30, far=delays)
    tally = stage.tally(far=delays)
    tally.expect(tally.restarted == 0, f"{tally.restarted} runs of live workers started twice")
    return tally


_LIMITS = ("limit_sleep", "limit_recv", "limit_lock", "limit_queue", "limit_regex", "limit_except")


def limits(stage: Stage, *, jobs: tuple[str, ...] = _LIMITS, neighbours: int = 2, wait: float = 60) -> Tally:
    """Jobs that no exception can stop, past a limit of 2 s, beside neighbours that did nothing wrong."""
    stage.scheduler()
    stage.worker(processes=2)
    stage.await_workers(2)
    stage.send("hold", neighbours, kwargs={"seconds": 30})
    for job in jobs:
        stage.send(job, 1, wait=False)
    stage.await_sent()
    stage.settle(timeout=wait)
    tally = stage.tally()
    took = {row.job: round(float(row.seconds), 1) for row in stage.fleet_query(_TOOK)}
    outcomes = {row.job: f"{row.state}: {row.error_type}, {row.reason}" for row in stage.fleet_query(_TOOK)}
    tally.facts |= {"seconds to the end": took, "outcome": outcomes}
    tally.expect(set(took) == set(jobs), f"never ended: {sorted(set(jobs) - set(took))}")
    late = {job: seconds for job, seconds in took.items() if seconds > 2 + 5 + 3}  # the last 3 to write it down
    tally.expect(not late, f"ended later than limit + grace: {late}")
    return tally


_TOOK = """
select job, state, error_type, reason, extract(epoch from finished_at - coalesce(started_at, created_at)) as seconds
from board.runs where job like 'limit_%' and finished_at is not null
"""


def near_limit(stage: Stage, *, messages: int = 4000, limit: int = 1000, spread: int = 4) -> Tally:
    """Jobs that last their limit give or take: each completes or is given up on, never both."""
    stage.workers(2)
    dice = random.Random(stage.seed)
    for _ in range(8):
        length = limit - 100 + dice.uniform(-spread, 25 * spread)
        stage.send("about", messages // 8, kwargs={"milliseconds": length}, wait=False)
    stage.await_sent()
    stage.settle(timeout=30 + messages / 8)
    return stage.tally()


_GRACE: dict[str, object] = {"shutdown_grace_seconds": 10}
_SHORT_GRACE: dict[str, object] = {"shutdown_grace_seconds": 2}

CASES = [
    Case(name="a1", fault="kill -9 of 20 workers with all threads busy, idle queue", play=killed_workers,
         quick={"victims": 2, "spare": 1}),
    Case(name="a1t", fault="the same with 4 workers, under 20 messages/s", play=killed_workers,
         size={"victims": 4, "rate": 20}),
    Case(name="a1l", fault="the same with 2 workers, and the jobs last 20 s again", play=killed_workers,
         size={"victims": 2, "job": "long", "seconds": 20}),
    Case(name="a2", fault="kill -9 of the supervisor", play=killed_supervisor, quick={"seconds": 8}),
    Case(name="a3", fault="one of three worker processes dies", play=killed_child),
    Case(name="a4", fault="16 long jobs for 2 processes of 8 threads", play=shared_out),
    Case(name="a5", fault="a worker process without supervisor frozen for longer than its lease", play=frozen_worker),
    Case(name="d1", fault="SIGTERM, jobs end within the grace", play=drained, settings=_GRACE),
    Case(name="d2", fault="SIGTERM, jobs outlast the grace", play=interrupted, quick={}, settings=_SHORT_GRACE),
    Case(name="d2k", fault="SIGTERM, then SIGKILL after 2 s", play=terminated, size={"seconds": 60, "kill": 2},
         settings={"shutdown_grace_seconds": 30}),
    Case(name="d3", fault="two SIGTERM", play=drained, size={"again": True}, settings=_GRACE),
    Case(name="d4", fault="messages arrive during the shutdown", play=drained,
         size={"late": 8, "waiting": 0}, settings=_GRACE),
    Case(name="e", fault="os._exit, segfault and SIGKILL in jobs", play=poison, quick={"innocents": 60, "wait": 40}),
    Case(name="e2", fault="six such jobs among innocent ones and two that only hang", play=poison,
         size={"innocents": 60, "killers": 2, "hanging": ("limit_sleep", "limit_regex")}),
    Case(name="f2", fault="busy for longer than the lease, 8,100 delays", play=full_hands,
         settings={"lease_seconds": 3, "heartbeat_seconds": 1}),
    Case(name="k1", fault="jobs that no exception can stop", play=limits),
    Case(name="k2", fault="4,000 jobs that last about their limit", play=near_limit),
]  # fmt: skip
