"""What processes use: CPU to the microsecond, memory, and how much of the machine others took meanwhile."""

from __future__ import annotations

import os
import platform
import time
from dataclasses import dataclass
from pathlib import Path
from typing import TYPE_CHECKING

import psutil  # type: ignore[import-untyped] # ships no types

if TYPE_CHECKING:
    from collections.abc import Iterable

_TICKS = os.sysconf("SC_CLK_TCK")
_BUSY = (0, 1, 2, 5, 6, 7)  # user, nice, system, irq, softirq, steal in the first line of /proc/stat


def tree(roots: Iterable[int]) -> list[psutil.Process]:
    """The living processes of these roots and all their descendants."""
    found: dict[int, psutil.Process] = {}
    for root in roots:
        try:
            process = psutil.Process(root)
            for each in (process, *process.children(recursive=True)):
                found[each.pid] = each
        except psutil.NoSuchProcess:
            continue
    return list(found.values())


def cpu_seconds(roots: Iterable[int]) -> float:
    """CPU of the trees since they began, ended children included as soon as their parent has reaped them."""
    return sum(_cpu(process) for process in tree(roots))


def _cpu(process: psutil.Process) -> float:
    """The process clock counts nanoseconds, where utime and stime count hundredths of a second."""
    try:
        times = process.cpu_times()
        return time.clock_gettime(~process.pid << 3 | 2) + float(times.children_user + times.children_system)
    except (psutil.NoSuchProcess, OSError):
        return 0.0


def memory(roots: Iterable[int]) -> dict[str, float]:
    """Resident and proportional memory in MB (10^6 bytes) summed over the trees, and the number of processes."""
    sums = {"Rss": 0, "Pss": 0}
    processes = tree(roots)
    for process in processes:
        for name, kilobytes in _rollup(process.pid).items():
            sums[name] += kilobytes
    return {
        "rss_mb": round(sums["Rss"] * 1024 / 1e6, 1),
        "pss_mb": round(sums["Pss"] * 1024 / 1e6, 1),
        "processes": len(processes),
    }


def _rollup(pid: int) -> dict[str, int]:
    try:
        lines = Path(f"/proc/{pid}/smaps_rollup").read_text(encoding="ascii").splitlines()
    except (OSError, UnicodeDecodeError):
        return {}
    pairs = (line.split()[:2] for line in lines[1:])
    return {name[:-1]: int(value) for name, value in pairs if name in {"Rss:", "Pss:"}}


def _busy_seconds() -> float:
    with Path("/proc/stat").open(encoding="ascii") as file:
        fields = file.readline().split()[1:]
    return sum(int(fields[number]) for number in _BUSY) / _TICKS


@dataclass(frozen=True, slots=True)
class Usage:
    """CPU seconds used so far by the workers, the servers, all of the benchmark, and the whole machine."""

    at: float
    workers: float
    servers: float
    own: float
    machine: float

    @classmethod
    def now(cls, workers: Iterable[int], servers: Iterable[int]) -> Usage:
        """Take all readings, the others' last, since ours cost some time."""
        at = time.monotonic()
        return cls(at, cpu_seconds(workers), cpu_seconds(servers), cpu_seconds([os.getpid()]), _busy_seconds())

    def since(self, before: Usage) -> dict[str, float]:
        """What was used in between: seconds, CPU of workers and servers, and the cores that others kept busy."""
        seconds = self.at - before.at
        foreign = (self.machine - before.machine) - (self.own - before.own)
        return {
            "window": seconds,
            "worker_cpu": self.workers - before.workers,
            "server_cpu": self.servers - before.servers,
            "foreign": max(0.0, round(foreign / seconds, 3)) if seconds > 0 else 0.0,
        }


def describe() -> dict[str, object]:
    """The machine, for the head of a results file; no name that tells whose it is."""
    model = next(
        (line.partition(":")[2].strip() for line in _lines("/proc/cpuinfo") if line.startswith("model name")), ""
    )
    return {
        "cpus": os.cpu_count(),
        "cpu": model or platform.processor(),
        "memory_gb": round(psutil.virtual_memory().total / 1e9, 1),
        "system": f"{platform.system()} {platform.release()}",
        "python": platform.python_version(),
    }


def _lines(path: str) -> list[str]:
    try:
        return Path(path).read_text(encoding="utf-8").splitlines()
    except OSError:
        return []
