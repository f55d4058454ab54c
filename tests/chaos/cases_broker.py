"""The broker dies, forgets, freezes, fills up, or cannot be reached: b, c, f1 and m of the design document."""

from __future__ import annotations

import signal
import threading
import time
from typing import TYPE_CHECKING, Any

import psutil  # type: ignore[import-untyped] # ships no types

from tests.chaos.case import Case
from tests.chaos.tally import percentiles
from tests.support import eventually

if TYPE_CHECKING:
    from collections.abc import Callable
    from pathlib import Path

    from tests.chaos.stage import Stage
    from tests.chaos.tally import Tally

_ENDED = "select count(*) from board.runs where state in ('completed', 'failed')"
_DAY_MS = 86_400_000


def pause(seconds: float) -> None:
    """Let the fault last."""
    threading.Event().wait(seconds)


def _await_ended(stage: Stage, count: int) -> None:
    eventually(lambda: stage.fleet_query(_ENDED)[0][0] >= count, 120, every=0.05, what=f"{count} runs ended")


def _await_sends(stage: Stage, count: int) -> None:
    eventually(lambda: len(stage.sent("ok")) >= count, 120, every=0.02, what=f"{count} sends answered")


def _after(stage: Stage, moment: float) -> list[float]:
    """Seconds from `moment` to the end of each run that was sent before it and ended after it."""
    sent = stage.sent("ok")
    ends = {effect.run: effect.seconds for effect in stage.effects() if effect.what == "E"}
    return [ends[run] - moment for run, at in sent.items() if at < moment and ends.get(run, 0) > moment]


def killed_broker(stage: Stage, *, messages: int = 5000, fsync: str = "everysec", down: float = 3) -> Tally:
    """SIGKILL under load, and the same server again after a few seconds; the producer repeats what was refused."""
    stage.workers(2)
    stage.client.config_set("appendfsync", fsync)
    stage.send("work", messages, tries=100, wait=False)
    _await_sends(stage, messages // 2)
    stage.valkey.kill()
    stage.valkey.wait()
    pause(down)
    stage.restart_servers()
    healed = time.monotonic()
    stage.await_sent()
    stage.settle()
    tally = stage.tally()
    tally.recovery = percentiles(_after(stage, healed))
    tally.expect(tally.acked == messages, f"{tally.acked} of {messages} sends were answered in the end")
    return tally


class _SizeWatch(threading.Thread):
    """Notes how long a file is, many times a second."""

    def __init__(self, path: Path) -> None:
        super().__init__(daemon=True)
        self._path = path
        self._sizes: list[tuple[float, int]] = []
        self._over = threading.Event()

    def run(self) -> None:
        while not self._over.wait(0.02):
            self._sizes.append((time.monotonic(), self._path.stat().st_size))

    def stop(self) -> None:
        self._over.set()
        self.join()

    def size_before(self, seconds: float) -> int:
        """How long it was so many seconds before the last look."""
        last = self._sizes[-1][0]
        return next(size for moment, size in reversed(self._sizes) if moment <= last - seconds)


def power_cut(stage: Stage, *, job: str = "kept", messages: int = 5000, lost_seconds: float = 1.0) -> Tally:
    """SIGKILL, and what the append-only file got within the last second is gone: with `everysec` it was not synced."""
    stage.workers(2)
    watch = _SizeWatch(stage.append_only_files()[-1])
    watch.start()
    stage.send(job, messages, tries=100, wait=False)
    _await_sends(stage, messages // 2)
    stage.valkey.kill()
    stage.valkey.wait()
    watch.stop()
    (file,) = stage.append_only_files()[-1:]
    kept = watch.size_before(lost_seconds)
    cut = file.stat().st_size - kept
    with file.open("r+b") as opened:
        opened.truncate(kept)
    stage.restart_servers()
    healed = time.monotonic()
    stage.await_sent()
    stage.settle()
    tally = stage.tally()
    tally.recovery = percentiles(_after(stage, healed))
    tally.facts["bytes of the append-only file cut off"] = cut
    tally.expect(cut > 0, "nothing was cut off: the case has shown nothing")
    return tally


def flushed(stage: Stage, *, messages: int = 5000, running: bool = True, wait: float = 60) -> Tally:
    """FLUSHALL with durable runs pending or running."""
    stage.scheduler()
    stage.send("kept", messages, kwargs={"milliseconds": 20})
    if running:
        stage.worker(processes=2)
        _await_ended(stage, messages // 10)
    stage.client.flushall()
    healed = time.monotonic()
    open_ = messages - stage.fleet_query(_ENDED)[0][0]
    if not running:
        stage.worker(processes=2)
    stage.settle(timeout=wait)
    took = time.monotonic() - healed
    tally = stage.tally()
    tally.recovery = percentiles(_after(stage, healed))
    tally.facts |= {"open at the FLUSHALL": open_, "seconds until all had ended": round(took, 1)}
    tally.expect(open_ > messages // 3, f"only {open_} runs were open: the case has shown nothing")
    return tally


def volatile(stage: Stage) -> Tally:
    """A server without an append-only file: workers and producers refuse it."""
    stage.client.config_set("appendonly", "no")
    worker = stage.worker_process()
    stage.send("work", 5)
    try:
        eventually(lambda: worker.poll() is not None, 20, what="the worker's end")
    except AssertionError:
        code = None
    else:
        code = worker.returncode
        stage.fleet.processes.remove(worker)
    stage.client.config_set("appendonly", "yes")  # for the accounts
    tally = stage.tally()
    told = stage.fleet.output.read_text()
    tally.facts |= {"exit code of the worker": code, "producer": "refused" if tally.refused else "accepted"}
    tally.expect(code not in (0, None), f"the worker ended with {code}: it took a server that forgets")
    tally.expect(tally.acked == 0, f"{tally.acked} sends were taken by a server that forgets")
    tally.expect("append-only" in told, "no message says what is wrong with the server")
    return tally


def _under_load(
    stage: Stage, fault: Callable[[], None], *, messages: int, delayed: int, rate: float = 150, workers: int = 2
) -> Tally:
    """Plain and delayed messages before, during and after a fault that lasts as long as `fault` takes."""
    stage.workers(workers)
    stage.send("work", delayed, delay=8000 if messages > 1000 else 4000)  # due while the fault lasts
    stage.send("work", messages, rate=rate, tries=200, kwargs={"milliseconds": 10}, wait=False)
    _await_sends(stage, delayed + messages // 6)
    fault()
    healed = time.monotonic()
    stage.await_sent()
    stage.settle()
    tally = stage.tally()
    tally.recovery = percentiles(_after(stage, healed))
    tally.expect(
        tally.acked == messages + delayed, f"{tally.acked} of {messages + delayed} sends were answered in the end"
    )
    return tally


def refused(stage: Stage, *, seconds: float = 10, messages: int = 1500, delayed: int = 100) -> Tally:
    """The broker's connections are cut and refused."""

    def fault() -> None:
        stage.broker.refuse()
        pause(seconds)
        stage.broker.heal()

    return _under_load(stage, fault, messages=messages, delayed=delayed)


def black_hole(
    stage: Stage, *, seconds: float = 10, messages: int = 1500, delayed: int = 100, deliver: bool = True
) -> Tally:
    """Connections are up and nothing comes through; then what was held arrives, or is gone with its connection."""

    def fault() -> None:
        stage.broker.hold()
        pause(seconds)
        stage.broker.heal(deliver=deliver)

    return _under_load(stage, fault, messages=messages, delayed=delayed)


def frozen(stage: Stage, *, seconds: float = 8, messages: int = 1500, delayed: int = 100) -> Tally:
    """SIGSTOP to the server."""

    def fault() -> None:
        stage.valkey.send_signal(signal.SIGSTOP)
        pause(seconds)
        stage.valkey.send_signal(signal.SIGCONT)

    return _under_load(stage, fault, messages=messages, delayed=delayed)


def rough(stage: Stage, *, seconds: float = 60, latency: float = 0.2, messages: int = 1000) -> Tally:
    """Latency 0 to 400 ms on every chunk, and 1 % of them reset the connection instead."""

    def fault() -> None:
        stage.broker.slow(latency, latency, reset_chance=0.01)
        pause(seconds)
        stage.broker.heal()

    return _under_load(stage, fault, messages=messages, delayed=0)


def failing_meanwhile(stage: Stage, *, jobs: int = 40, seconds: float = 20) -> Tally:
    """Jobs that fail while the broker is away: each must be tried again."""
    stage.workers(3, threads=16)
    stage.send("flaky", jobs, kwargs={"seconds": 3})
    eventually(lambda: len(stage.starts("flaky")) >= jobs, 30, every=0.02)
    stage.broker.refuse()
    pause(seconds)
    stage.broker.heal()
    healed = time.monotonic()
    stage.settle()
    tally = stage.tally()
    tally.recovery = percentiles(_after(stage, healed))
    raised = sum(effect.what == "X" and effect.seconds < healed for effect in stage.effects())
    tally.facts["failed meanwhile"] = raised
    tally.expect(raised == jobs, f"{raised} of {jobs} failed meanwhile: the case has shown nothing")
    tally.expect(tally.completed == jobs, f"{tally.completed} of {jobs} came back and completed")
    return tally


def lost_fetches(stage: Stage, *, replies: int = 5, messages: int = 400) -> Tally:
    """Replies that bring messages are lost: the server thinks they were taken, the worker never saw them."""
    stage.workers(2)
    stage.send("work", messages, kwargs={"milliseconds": 100}, rate=100, wait=False)
    _await_ended(stage, messages // 8)
    stage.broker.lose_replies(replies, reply=b'"actor_name"')
    eventually(lambda: stage.broker.dropped >= replies, 30, what="lost replies")
    healed = time.monotonic()
    stage.await_sent()
    stage.settle()
    tally = stage.tally()
    tally.recovery = percentiles(_after(stage, healed))
    tally.facts["lost replies"] = stage.broker.dropped
    return tally


def lost_enqueues(stage: Stage, *, replies: int = 20, messages: int = 400) -> Tally:
    """Replies to sends are lost, and the producer sends again: the message is there once."""
    stage.workers(2)
    stage.broker.lose_replies(replies, request=b'"actor_name"')
    stage.send("work", messages, rate=100, tries=100)
    stage.settle()
    tally = stage.tally()
    tally.facts["lost replies"] = stage.broker.dropped
    tally.expect(stage.broker.dropped == replies, f"{stage.broker.dropped} replies were lost, not {replies}")
    tally.expect(tally.acked == messages, f"{tally.acked} of {messages} sends were answered in the end")
    tally.expect(tally.restarted == 0, f"{tally.restarted} jobs ran twice")
    return tally


def lost_settlements(stage: Stage, *, replies: int = 20, messages: int = 400, word: bytes = b"\r\nack\r\n") -> Tally:
    """Replies to acknowledgements are lost: they are repeated, and nothing runs again."""
    stage.workers(2)
    stage.broker.lose_replies(replies, request=word)
    stage.send("work", messages, rate=100)
    stage.settle()
    tally = stage.tally()
    tally.facts["lost replies"] = stage.broker.dropped
    tally.expect(stage.broker.dropped == replies, f"{stage.broker.dropped} replies were lost, not {replies}")
    tally.expect(tally.restarted == 0, f"{tally.restarted} jobs ran twice")
    return tally


def out_of_memory(stage: Stage, *, seconds: float = 10, messages: int = 1500) -> Tally:
    """`maxmemory` is reached: sends are refused; what runs is acknowledged, what fails is tried again, leases hold."""
    stage.workers(2)
    stage.send("work", messages, kwargs={"milliseconds": 200}, bulk=500)
    stage.send("flaky", 8, kwargs={"seconds": 2})
    _await_ended(stage, 16)
    stage.client.config_set("maxmemory", int(stage.client.info("memory")["used_memory"] * 0.9))
    before = stage.fleet_query(_ENDED)[0][0], stage.in_broker()
    stage.send("work", 20, wait=False)
    pause(seconds)
    during = stage.fleet_query(_ENDED)[0][0] - before[0], before[1] - stage.in_broker()
    stage.client.config_set("maxmemory", 0)
    stage.await_sent()
    healed = time.monotonic()
    stage.settle(timeout=30 + messages / 50)
    tally = stage.tally()
    tally.recovery = percentiles(_after(stage, healed))
    tally.facts |= {"ended meanwhile": during[0], "acknowledged meanwhile": during[1], "sends refused": tally.refused}
    tally.expect(tally.refused > 0, "no send was refused: memory was not full, and the case has shown nothing")
    tally.expect(during[1] > 0, "nothing was acknowledged while memory was full")
    return tally


def far_delays(stage: Stage, *, delays: int = 40_000) -> Tally:
    """So many messages for tomorrow, then one that is due in 2 s and one that fails once."""
    stage.workers(1)
    before = _memory(stage)
    stage.send("work", delays, delay=_DAY_MS, bulk=1000, log="far.log")
    stage.send("work", 1, delay=2000)
    stage.send("flaky", 1)
    stage.settle(far=delays)
    tally = stage.tally(far=delays)
    due = {run: at + 2 for run, at in stage.sent("ok").items()}
    late = [e.seconds - due[e.run] for e in stage.starts("work") if e.run in due]
    tally.facts |= {"delays": delays, "seconds late": [round(seconds, 3) for seconds in late]}
    tally.facts |= {"worker grew by MB": round((_memory(stage) - before) / 1e6, 1), "delays left": stage.in_broker()}
    tally.expect(bool(late) and max(late) < 1, f"the due message came {late} s late")
    tally.expect(stage.in_broker() == delays, f"{stage.in_broker()} of {delays} delays are left")
    return tally


def _memory(stage: Stage) -> int:
    """Resident bytes of every process."""
    first = [psutil.Process(process.pid) for process in stage.fleet.processes]
    family = [each for process in first for each in (process, *process.children(recursive=True))]
    return sum(int(process.memory_info().rss) for process in family)


def crowded(stage: Stage, *, keys: int = 1_000_000, dead: int = 20, messages: int = 1000) -> Tally:
    """Foreign keys in the same server, and dead workers: no call may block it for long."""
    for start in range(0, keys, 10_000):
        stage.client.mset({f"foreign:{number}": "x" for number in range(start, start + 10_000)})
    stage.scheduler()
    crowd = stage.worker(processes=dead, threads=2)
    stage.await_workers(dead)
    stage.send("hold", dead * 2, kwargs={"seconds": 600})
    eventually(lambda: len(stage.starts("hold")) == dead * 2, 60, every=0.05)
    stage.client.config_set("slowlog-log-slower-than", 1000)
    stage.client.slowlog_reset()
    stage.fleet.kill(crowd)
    stage.worker(processes=2)
    stage.send("work", messages, rate=100)
    stage.settle(timeout=60)
    tally = stage.tally()
    slow = stage.client.slowlog_get(128)
    longest = max((entry["duration"] / 1000 for entry in slow), default=0.0)
    tally.facts |= {"keys": keys, "dead workers": dead, "longest call in ms": round(longest, 1)}
    tally.expect(longest < 50, f"a call took {longest:.0f} ms: {_worst(slow)}")
    return tally


def _worst(slow: list[dict[str, Any]]) -> object:
    return max(slow, key=lambda entry: int(entry["duration"]))["command"][:80]


CASES = [
    Case(name="b1", fault="broker SIGKILL + restart, appendfsync everysec", play=killed_broker,
         quick={"messages": 600, "down": 1}),
    Case(name="b1a", fault="the same, appendfsync always", play=killed_broker, size={"fsync": "always"}),
    Case(name="b2", fault="power cut: a second of the append-only file is gone, durable jobs", play=power_cut),
    Case(name="b2p", fault="the same, plain jobs", play=power_cut, size={"job": "work"}, promised=False),
    Case(name="b4", fault="FLUSHALL, 5,000 durable runs pending and running", play=flushed,
         quick={"messages": 300, "wait": 20}),
    Case(name="b4p", fault="FLUSHALL, 5,000 durable runs pending, no worker", play=flushed, size={"running": False}),
    Case(name="b5", fault="a broker without persistence", play=volatile, quick={}),
    Case(name="c1", fault="connections refused for 10 s", play=refused,
         quick={"seconds": 3, "messages": 300, "delayed": 20}),
    Case(name="c2", fault="black hole for 10 s, held bytes arrive", play=black_hole),
    Case(name="c2x", fault="black hole for 10 s, held bytes are gone", play=black_hole, size={"deliver": False}),
    Case(name="c3", fault="broker frozen for 8 s", play=frozen),
    Case(name="c4", fault="40 jobs fail inside a cut of 20 s", play=failing_meanwhile,
         quick={"jobs": 10, "seconds": 5}),
    Case(name="c5", fault="5 lost fetch replies", play=lost_fetches, quick={"messages": 150}),
    Case(name="c6", fault="20 lost replies to sends", play=lost_enqueues, quick={"messages": 100, "replies": 10}),
    Case(name="c6a", fault="20 lost replies to acknowledgements", play=lost_settlements),
    Case(name="c7", fault="maxmemory reached for 10 s", play=out_of_memory, quick={"seconds": 3, "messages": 300}),
    Case(name="c8", fault="latency 0-400 ms and 1 % resets for 60 s", play=rough),
    Case(name="f1", fault="40,000 delays of a day, then one due in 2 s and a retry", play=far_delays,
         quick={"delays": 2000}),
    Case(name="m1", fault="1,000,000 foreign keys and 20 dead workers", play=crowded),
]  # fmt: skip
