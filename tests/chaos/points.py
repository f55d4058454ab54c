"""Every job of a catalogue, run twice in a row and killed at random points: the end is that of one clean run.

`python -m tests.chaos.points [--jobs a,b] [--points 20] [--seed N]` does it on the sample company with all its
stand-ins, and prints a line for each job. A point is a statement, a commit or a request: see `forge`.
"""

from __future__ import annotations

import argparse
import json
import random
import subprocess
import sys
from contextlib import contextmanager
from dataclasses import dataclass, field
from typing import TYPE_CHECKING, Any

from tests.chaos.forge import CATALOGUES
from tests.chaos.portrait import difference, portrait

if TYPE_CHECKING:
    from collections.abc import Callable, Iterator, Mapping, Sequence

    from tests.chaos.portrait import Portrait


@dataclass(frozen=True)
class Case:
    """A job with arguments for one run, and the schema that it changes."""

    job: str
    schema: str
    arguments: Mapping[str, Any] = field(default_factory=dict)
    before: tuple[str, ...] = ()  #: jobs that run first, whole: what they leave is what this one works on

    @property
    def name(self) -> str:
        """What a test is called."""
        return self.job


@dataclass
class Finding:
    """What came of one case."""

    case: Case
    steps: int = 0
    killed_at: list[int] = field(default_factory=list)
    wrong: list[str] = field(default_factory=list)


class Forge:
    """The process that runs jobs in forks of itself."""

    def __init__(self, environment: Mapping[str, str]) -> None:
        self._environment = dict(environment)
        self._process = subprocess.Popen(
            [sys.executable, "-m", "tests.chaos.forge"],
            stdin=subprocess.PIPE,
            stdout=subprocess.PIPE,
            text=True,
            env=self._environment | {"CALLBOARD_ACTORS": ",".join(CATALOGUES)},
        )

    def run(self, job: str, arguments: Mapping[str, Any], *, database: str, kill_at: int | None = None) -> dict[str, Any]:
        """Run a job and all that it sends.

        Returns:
            `steps`: how many there were, None if it was killed; `killed`; `error`: a traceback, or None.
        """
        order = {
            "environment": {"CALLBOARD_DATABASE_URL": database},
            "job": job,
            "arguments": dict(arguments),
            "kill_at": kill_at,
        }
        assert self._process.stdin is not None
        assert self._process.stdout is not None
        self._process.stdin.write(json.dumps(order) + "\n")
        self._process.stdin.flush()
        line = self._process.stdout.readline()
        if not line:
            raise RuntimeError(f"the forge ended with {self._process.wait()}")
        answer: dict[str, Any] = json.loads(line)
        return answer

    def close(self) -> None:
        """End it."""
        assert self._process.stdin is not None
        self._process.stdin.close()
        self._process.wait()
        assert self._process.stdout is not None
        self._process.stdout.close()


class Proof:
    """Holds each kill against one clean run.

    Args:
        forge: Runs the jobs.
        scene: Gives the URL of a fresh database with the scene, and takes it away again.
    """

    def __init__(self, forge: Forge, scene: Callable[[Case], Any]) -> None:
        self._forge, self._scene = forge, scene

    def of(self, case: Case, *, points: int, dice: random.Random) -> Finding:
        """Run it once, twice, and killed at so many points."""
        found = Finding(case)
        clean, found.steps = self._clean(case, found)
        self._twice(case, clean, found)
        candidates = range(1, found.steps + 1)
        for at in sorted(dice.sample(candidates, min(points, len(candidates)))):
            self._killed(case, clean, at, found)
        return found

    def _clean(self, case: Case, found: Finding) -> tuple[Portrait, int]:
        with self._scene(case) as url:
            before = portrait(url, case.schema)
            told = self._go(case, url, found, "once")
            after = portrait(url, case.schema)
            if before == after:
                found.wrong.append("it changes nothing on this scene")
            return after, told["steps"] or 0

    def _twice(self, case: Case, clean: Portrait, found: Finding) -> None:
        with self._scene(case) as url:
            self._go(case, url, found, "first of two")
            self._go(case, url, found, "second of two")
            self._compare(url, case, clean, found, "run twice")

    def _killed(self, case: Case, clean: Portrait, at: int, found: Finding) -> None:
        with self._scene(case) as url:
            told = self._forge.run(case.job, case.arguments, database=url, kill_at=at)
            if told["killed"]:
                found.killed_at.append(at)
            self._go(case, url, found, f"after a kill at {at}")
            self._compare(url, case, clean, found, f"killed at {at} of {found.steps}")

    def _go(self, case: Case, url: str, found: Finding, when: str) -> dict[str, Any]:
        told = self._forge.run(case.job, case.arguments, database=url)
        if told["error"]:
            found.wrong.append(f"{when}: {told['error']}")
        return told

    def _compare(self, url: str, case: Case, clean: Portrait, found: Finding, when: str) -> None:
        told = difference(clean, portrait(url, case.schema))
        if told:
            found.wrong.append(f"{when}:\n{told}")
