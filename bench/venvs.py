"""The peers' virtual environments: each in a folder of its own, made once, made again when its pins change."""

from __future__ import annotations

import os
import shutil
import subprocess
import sys
from pathlib import Path
from typing import TYPE_CHECKING

from bench.entrants import OURS

if TYPE_CHECKING:
    from bench.entrants import Entrant

_STAMP = ".pins"


def home() -> Path:
    """CALLBOARD_BENCH_HOME, or `.callboard/bench`."""
    return Path(os.environ.get("CALLBOARD_BENCH_HOME") or ".callboard/bench").expanduser().absolute()


def python_of(entrant: Entrant) -> Path:
    """The Python of the entrant's environment; ours is the one that runs this."""
    if entrant.name == OURS:
        return Path(sys.executable)
    return home() / entrant.path.name / "bin" / "python"


def prepare(entrant: Entrant) -> None:
    """Make the environment, unless it is there with these pins.

    Raises:
        SystemExit: No Python is new enough for this peer.
        subprocess.CalledProcessError: pip failed; it has said why.
    """
    if entrant.name == OURS:
        return
    python, pins = python_of(entrant), entrant.path / "requirements.txt"
    stamp = python.parent.parent / _STAMP
    if python.exists() and stamp.exists() and stamp.read_text(encoding="utf-8") == pins.read_text(encoding="utf-8"):
        return
    print(f"installing {entrant.name} into {python.parent.parent}", flush=True)
    _run([interpreter(entrant.python), "-m", "venv", "--clear", str(python.parent.parent)])
    _run([str(python), "-m", "pip", "install", "-q", "--disable-pip-version-check", "-r", str(pins)])
    shutil.copyfile(pins, stamp)


def interpreter(least: tuple[int, int]) -> str:
    """This Python if it is new enough, else the newest one found on the PATH or under ~/.pyenv.

    Raises:
        SystemExit: None is.
    """
    if sys.version_info[:2] >= least:
        return sys.executable
    names = [f"python3.{minor}" for minor in range(16, least[1] - 1, -1)]
    for name in names:
        for candidate in (name, *sorted(map(str, Path.home().glob(f".pyenv/versions/*/bin/{name}")), reverse=True)):
            if _runs(candidate):
                return candidate
    raise SystemExit(f"bench: Python {least[0]}.{least[1]} or newer is needed and none of {', '.join(names)} was found")


def _runs(python: str) -> bool:
    try:
        probe = subprocess.run(  # noqa: S603 - a Python by name
            [python, "-c", "import venv, ensurepip"], check=False, capture_output=True
        )
    except OSError:
        return False
    return probe.returncode == 0


def _run(command: list[str]) -> None:
    subprocess.run(command, check=True)  # noqa: S603 - our own words
