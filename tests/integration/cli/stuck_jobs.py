"""Jobs that no exception reaches, and their neighbours; they find the test's folder in BOARD_JOBS_FOLDER."""

from __future__ import annotations

import os
import re
import socket
import threading
import time
from pathlib import Path

from callboard import Backoff, NoRetry, job

LIMIT = 1.0
_kept: list[bytearray] = []


def folder() -> Path:
    return Path(os.environ["BOARD_JOBS_FOLDER"])


def _sign(name: str) -> None:
    """Say where and when the job starts: one line, in one write."""
    with (folder() / name).open("a") as file:
        file.write(f"{os.getpid()} {time.time()}\n")


def _socket() -> None:
    ours, theirs = socket.socketpair()
    with ours, theirs:
        ours.recv(1)


def _lock() -> None:
    lock = threading.Lock()
    lock.acquire()
    lock.acquire()


def _regex() -> None:
    """Holds the GIL all the while: no other thread of the process runs."""
    re.match(r"(a|aa)+$", "a" * 60 + "b")


def _except() -> None:
    while True:
        try:
            time.sleep(0.01)
        except BaseException:  # noqa: BLE001, S112 - what is tested
            continue


def _sleep() -> None:
    time.sleep(3600)


WAYS = {"socket": _socket, "lock": _lock, "regex": _regex, "except": _except, "sleep": _sleep}


@job("stuck", queue="stuck", time_limit=LIMIT, retry=NoRetry())
def stuck(way: str) -> None:
    """Never end."""
    _sign("stuck")
    WAYS[way]()


@job("stuck_again", queue="stuck", time_limit=LIMIT, retry=Backoff(max_retries=1, base=0.1, cap=0.1))
def stuck_again() -> None:
    """Never end, with one retry."""
    _sign("stuck_again")
    _lock()


@job("patient", queue="stuck")
def patient(number: int) -> None:
    """Wait until the file `enough` is there."""
    _sign(f"patient-{number}")
    while not (folder() / "enough").exists():
        time.sleep(0.02)


@job("brief", queue="stuck")
def brief(number: int) -> None:
    """Take a few milliseconds."""
    time.sleep(0.005)
    _sign(f"brief-{number % 2}")


@job("leak", queue="stuck")
def leak(megabytes: int) -> None:
    """Keep memory for ever."""
    _kept.append(bytearray(os.urandom(1)) * (megabytes * 1_000_000))
    _sign("leak")


@job("greedy", queue="stuck", time_limit=600)
def greedy() -> None:
    """Let no other thread of the process run."""
    _sign("greedy")
    _regex()
