"""The peer's side of the protocol: one JSON object a line on standard input, one answer a line on standard output.

    {"do": "install", "queues": ["q0", ...]}                 make tables, groups, queues
        -> {"versions": {...}, "python": "3.11.7", "bulk": true, "delays": true}
    {"do": "workers", "case": "drain", "queues": [...]}
        -> {"commands": [[...], ...], "env": {...}, "setting": "..."}
    {"do": "enqueue", "job": "noop", "first": 0, "count": 5000, "bulk": false, "queues": [...]}
        -> {"seconds": 1.2, "cpu": 0.9}
    {"do": "pace", "job": "noop", "first": 0, "gaps": [0.05, ...], "queues": [...]}
        -> {"at": [monotonic seconds, ...]}
    {"do": "delay", "job": "noop", "first": 0, "count": 40000, "seconds": 3600, "queues": [...]}
        -> {"at": the time they are due}
    {"do": "recorded"}
        -> {"count": runs that the peer's database says ended well, or null}
    {"do": "bye"}

A refusal is {"error": "<traceback>"}. What a library prints goes to standard error.
"""

from __future__ import annotations

import asyncio
import importlib.metadata
import json
import os
import platform
import sys
import time
import traceback

BATCH = 1_000
SHARE = 16  # jobs at the same time in the case `sleep`, over all workers


class Driver:
    """A peer with a blocking client; a subclass says how it sends."""

    packages: tuple[str, ...] = ()
    bulk = False
    delays = False

    @staticmethod
    def env() -> dict[str, str]:
        """What the driver and the workers need in their environment besides the BENCH_ variables."""
        return {}

    def install(self, queues: list[str]) -> None:
        """Make what the peer needs in its fresh database or broker."""

    def workers(self, case: str, queues: list[str]) -> tuple[str, list[list[str]]]:
        """The setting in words, and the command lines of the worker processes."""
        raise NotImplementedError

    def send(self, job: str, tag: int, queue: str) -> None:
        """Enqueue one job."""
        raise NotImplementedError

    def send_many(self, job: str, tags: range, queue: str) -> None:
        """Enqueue one batch with the peer's bulk call."""
        raise NotImplementedError

    def send_later(self, job: str, tags: range, queue: str, seconds: float) -> None:
        """Enqueue jobs that are due in so many seconds."""
        raise NotImplementedError

    def recorded(self) -> int | None:
        """How many runs the database has as ended well; None for a peer that keeps no runs in one."""
        return None

    def do_install(self, queues: list[str]) -> dict[str, object]:
        """Install, and say what was installed."""
        self.install(queues)
        versions = {name: importlib.metadata.version(name) for name in self.packages}
        return {
            "versions": versions,
            "python": platform.python_version(),
            "bulk": self.bulk,
            "delays": self.delays,
        }

    def do_workers(self, case: str, queues: list[str]) -> dict[str, object]:
        """Say how to start the workers."""
        setting, commands = self.workers(case, queues)
        return {"setting": setting, "commands": commands, "env": self.env()}

    def do_enqueue(self, job: str, first: int, count: int, bulk: bool, queues: list[str]) -> dict[str, object]:  # noqa: FBT001 - a field of the request
        """Send `count` jobs with tags from `first`, and say what it took."""
        started, cpu = time.monotonic(), time.process_time()
        if bulk:
            for begin in range(first, first + count, BATCH):
                self.send_many(job, range(begin, min(begin + BATCH, first + count)), queues[0])
        else:
            for tag in range(first, first + count):
                self.send(job, tag, queues[tag % len(queues)])
        return {"seconds": time.monotonic() - started, "cpu": time.process_time() - cpu}

    def do_pace(self, job: str, first: int, gaps: list[float], queues: list[str]) -> dict[str, object]:
        """Send a job after each gap; the time is taken just before the call."""
        at = []
        for tag, gap in enumerate(gaps, first):
            time.sleep(gap)
            at.append(time.monotonic())
            self.send(job, tag, queues[tag % len(queues)])
        return {"at": at}

    def do_delay(self, job: str, first: int, count: int, seconds: float, queues: list[str]) -> dict[str, object]:
        """Send jobs that are due later."""
        due = time.monotonic() + seconds
        for begin in range(first, first + count, BATCH):
            self.send_later(job, range(begin, min(begin + BATCH, first + count)), queues[0], seconds)
        return {"at": due}

    def do_recorded(self) -> dict[str, object]:
        """Count the runs in the peer's database."""
        return {"count": self.recorded()}

    def answer(self, request: dict[str, object]) -> dict[str, object]:
        """Carry out one request."""
        todo = dict(request)
        return getattr(self, f"do_{todo.pop('do')}")(**todo)


class AsyncDriver(Driver):
    """A peer with an asyncio client: one loop for its life, every send awaited before the next."""

    def __init__(self) -> None:
        self.runner = asyncio.Runner(loop_factory=self.loop_factory())

    def loop_factory(self) -> object:
        """Uvloop where the peer brings it, since its own command line then uses it too."""
        try:
            import uvloop  # noqa: PLC0415 - not every peer has it
        except ImportError:
            return None
        return uvloop.new_event_loop

    async def asend(self, job: str, tag: int, queue: str) -> None:
        """Enqueue one job."""
        raise NotImplementedError

    async def asend_many(self, job: str, tags: range, queue: str) -> None:
        """Enqueue one batch with the peer's bulk call."""
        raise NotImplementedError

    def do_enqueue(self, job: str, first: int, count: int, bulk: bool, queues: list[str]) -> dict[str, object]:  # noqa: FBT001 - a field of the request
        """Send `count` jobs with tags from `first`, and say what it took."""
        started, cpu = time.monotonic(), time.process_time()
        self.runner.run(self._enqueue(job, range(first, first + count), queues, bulk=bulk))
        return {"seconds": time.monotonic() - started, "cpu": time.process_time() - cpu}

    async def _enqueue(self, job: str, tags: range, queues: list[str], *, bulk: bool) -> None:
        if bulk:
            for begin in range(0, len(tags), BATCH):
                await self.asend_many(job, tags[begin : begin + BATCH], queues[0])
        else:
            for tag in tags:
                await self.asend(job, tag, queues[tag % len(queues)])

    def do_pace(self, job: str, first: int, gaps: list[float], queues: list[str]) -> dict[str, object]:
        """Send a job after each gap; the time is taken just before the call."""
        return {"at": self.runner.run(self._pace(job, first, gaps, queues))}

    async def _pace(self, job: str, first: int, gaps: list[float], queues: list[str]) -> list[float]:
        at = []
        for tag, gap in enumerate(gaps, first):
            await asyncio.sleep(gap)
            at.append(time.monotonic())
            await self.asend(job, tag, queues[tag % len(queues)])
        return at


def program(name: str) -> str:
    """The path of a program that the peer installed beside its Python."""
    return os.path.join(os.path.dirname(sys.executable), name)  # noqa: PTH118, PTH120 - the link is wanted, unresolved


def serve(make: type[Driver]) -> None:
    """Answer requests until `bye` or the end of the input."""
    answers = os.fdopen(os.dup(1), "w")
    os.dup2(2, 1)
    os.environ.update(make.env())  # before anything of the peer is imported
    driver = make()
    for line in sys.stdin:
        request = json.loads(line)
        if request["do"] == "bye":
            return
        try:
            answer = driver.answer(request)
        except Exception:  # noqa: BLE001 - the other side reports it
            answer = {"error": traceback.format_exc()}
        answers.write(json.dumps(answer) + "\n")
        answers.flush()
