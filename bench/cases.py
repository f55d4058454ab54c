"""The trials. Each takes a peer on empty servers and returns its figures; `PLAN` lists them with their sizes."""

from __future__ import annotations

import math
import random
import time
from dataclasses import dataclass
from typing import TYPE_CHECKING, Any

from bench import machine
from bench.entrants import ALL, OURS
from bench.figures import percentile
from bench.subject import Subject, TrialError
from bench.tally import verdict

if TYPE_CHECKING:
    from collections.abc import Callable, Iterator

    from bench.entrants import Entrant
    from bench.servers import Servers

    _Fits = Callable[[Entrant], bool]

_TAIL_SECONDS = 0.5  # acknowledgements and commits behind the last start belong to the drain
_RECORD_SECONDS = 15.0
_DUE_SECONDS = 2.0
_LATEST_SECONDS = 45.0
_FAR_SECONDS = 3600.0
_BEHAVED = {"lost": 0, "twice": 0, "strange": 0}


@dataclass(frozen=True, slots=True)
class Case:
    """A kind of trial with one choice of sizes.

    Attributes:
        name: What `--cases` calls it; several sizes share a name.
        variant: The size in words, part of the key under which trials are compared.
        run: The trial itself.
        sizes: Its keyword arguments.
        fits: Whether the peer can take part.
        seconds: Roughly how long one trial of the peer takes.
    """

    name: str
    variant: str
    run: Callable[..., dict[str, Any]]
    sizes: dict[str, Any]
    seconds: Callable[[Entrant], float]
    fits: Callable[[Entrant], bool]


def enqueue(entrant: Entrant, servers: Servers, *, count: int, bulk: bool) -> dict[str, Any]:
    """Jobs a second that one process sends, with no worker about."""
    with Subject(entrant, servers, ["default"]) as subject:
        subject.ask("enqueue", job="noop", first=count, count=100, bulk=False, queues=subject.queues)
        before = subject.usage()
        sent = subject.ask("enqueue", job="noop", first=0, count=count, bulk=bulk, queues=subject.queues)
        used = subject.usage().since(before)
        figures = {
            "jobs_per_second": count / sent["seconds"],
            "client_us": sent["cpu"] / count * 1e6,
            "server_us": used["server_cpu"] / count * 1e6,
            "foreign": used["foreign"],
        }
        return figures | {"setting": "one process", "facts": subject.facts}


def drain(
    entrant: Entrant, servers: Servers, *, count: int, job: str = "noop", template: str = "template1"
) -> dict[str, Any]:
    """The queue is filled, then workers start: from the first start of a job to the last one."""
    case = "sleep" if job == "sleep" else "drain"
    with Subject(entrant, servers, ["default"], template) as subject:
        bulk = bool(subject.facts["bulk"])
        subject.ask("enqueue", job=job, first=0, count=count, bulk=bulk, queues=subject.queues)
        servers.settle(subject.database_url)
        subject.start_workers(case)
        first, before = subject.await_marks(1), subject.usage()
        done = (first + subject.tally.count()) / 2  # the readings take some milliseconds, in which hundreds may start
        subject.await_marks(count)
        time.sleep(_TAIL_SECONDS)
        used, memory = subject.usage().since(before), machine.memory(subject.roots)
        recorded = _recorded(subject, count)
        subject.stop_workers()
        figures = _drained(subject, count) | _per_job(used, max(1, count - done)) | memory
        return figures | {"recorded": recorded, "setting": subject.setting, "facts": subject.facts}


def _drained(subject: Subject, count: int) -> dict[str, Any]:
    """The rate, once all workers have gone and every job is known to have run exactly once."""
    marks = subject.tally.marks()
    found = verdict(marks, count)
    if found != _BEHAVED:
        raise subject.error(f"{count} jobs were sent, and of those {found}")
    seconds = marks[-1].at - marks[0].at
    return {"jobs_per_second": (count - 1) / seconds, "seconds": seconds, "pids": len({mark.pid for mark in marks})}


def _per_job(used: dict[str, float], jobs: float) -> dict[str, float]:
    return {
        "worker_us": used["worker_cpu"] / jobs * 1e6,
        "server_us": used["server_cpu"] / jobs * 1e6,
        "cpu_us": (used["worker_cpu"] + used["server_cpu"]) / jobs * 1e6,
        "foreign": used["foreign"],
    }


def _recorded(subject: Subject, count: int) -> int | None:
    """How many runs the peer's own database calls finished, given some seconds to become all of them."""
    deadline = time.monotonic() + _RECORD_SECONDS
    while True:
        found: int | None = subject.ask("recorded")["count"]
        if found is None or found >= count or time.monotonic() > deadline:
            return found
        time.sleep(0.2)


def latency(
    entrant: Entrant, servers: Servers, *, gap: float, jitter: float, count: int, queues: int
) -> dict[str, Any]:
    """Milliseconds from just before the call that enqueues to the start of the job, workers otherwise idle."""
    dice = random.Random(queues)  # noqa: S311 - the same pauses for every peer
    gaps = [gap * (1 + jitter * dice.uniform(-1, 1)) for _ in range(count)]
    with Subject(entrant, servers, _names(queues)) as subject:
        subject.start_workers("idle")
        subject.warm_up()
        time.sleep(gap)
        before = subject.usage()
        sent = subject.ask("pace", job="noop", first=0, gaps=gaps, queues=subject.queues)["at"]
        subject.await_marks(count + queues)
        used = subject.usage().since(before)
        marks = subject.tally.marks(least=0)
        if (found := verdict(marks, count)) != _BEHAVED:
            raise subject.error(f"{count} jobs were sent, and of those {found}")
        waits = [(mark.at - sent[mark.tag]) * 1000 for mark in marks]
        figures = {f"p{share}_ms": percentile(waits, share / 100) for share in (50, 90, 99)}
        figures |= {"max_ms": max(waits), "foreign": used["foreign"]}
        return figures | {"setting": subject.setting, "facts": subject.facts}


def idle(entrant: Entrant, servers: Servers, *, seconds: float, queues: int) -> dict[str, Any]:
    """CPU seconds a minute of workers and of servers while there is nothing to do."""
    with Subject(entrant, servers, _names(queues)) as subject:
        subject.start_workers("idle")
        subject.warm_up()
        time.sleep(min(3.0, seconds))
        before = subject.usage()
        time.sleep(seconds)
        used = subject.usage().since(before)
        figures = {
            "worker_s_per_minute": used["worker_cpu"] / used["window"] * 60,
            "server_s_per_minute": used["server_cpu"] / used["window"] * 60,
            "foreign": used["foreign"],
        }
        return figures | machine.memory(subject.roots) | {"setting": subject.setting, "facts": subject.facts}


def delayed(entrant: Entrant, servers: Servers, *, count: int) -> dict[str, Any]:
    """So many messages due in an hour, then one due in two seconds: how late it starts, how workers grow."""
    with Subject(entrant, servers, ["default"]) as subject:
        subject.start_workers("idle")
        subject.warm_up()
        memory, before = machine.memory(subject.roots), subject.usage()
        subject.ask("delay", job="noop", first=1, count=count, seconds=_FAR_SECONDS, queues=subject.queues)
        time.sleep(_DUE_SECONDS)
        due = subject.ask("delay", job="noop", first=0, count=1, seconds=_DUE_SECONDS, queues=subject.queues)["at"]
        subject.until(lambda: subject.tally.count() > 1, _DUE_SECONDS + _LATEST_SECONDS)
        used, after = subject.usage().since(before), machine.memory(subject.roots)
        started = [mark for mark in subject.tally.marks(least=0) if mark.tag == 0]
        figures = {
            "late_ms": (started[0].at - due) * 1000 if started else None,
            "growth_rss_mb": after["rss_mb"] - memory["rss_mb"],
            "growth_pss_mb": after["pss_mb"] - memory["pss_mb"],
            "too_soon": sum(mark.tag > 0 for mark in subject.tally.marks()),
            "foreign": used["foreign"],
        }
        return figures | {"setting": subject.setting, "facts": subject.facts}


def ledger(entrant: Entrant, servers: Servers, *, rows: int, count: int) -> dict[str, Any]:
    """A drain with so many runs already in the ledger, all in this month's partition."""
    template = f"ledger_{rows}"
    if template not in _templates:
        with Subject(entrant, servers, ["default"]) as subject:
            subject.ask("fill", rows=rows)
            servers.settle(subject.database_url)
            source = subject.database_url.partition("?")[0].rpartition("/")[2]
        servers.drop(template)
        servers.create(template, source)
        _templates.add(template)
    return drain(entrant, servers, count=count, template=template)


_templates: set[str] = set()


def _names(queues: int) -> list[str]:
    return ["default"] if queues == 1 else [f"q{number}" for number in range(queues)]


def plan(scale: float = 1.0) -> Iterator[Case]:
    """All cases; `scale` shrinks counts and windows, to see that a peer works."""
    yield _enqueue("enqueue", _n(5_000, scale), bulk=False)
    yield _enqueue("bulk", _n(20_000, scale), bulk=True)
    for count in sorted({entrant.drain for entrant in ALL.values()}):
        yield _drain("drain", count, scale, _drains(count))
    yield _drain("drain", 100_000, scale, _large)
    yield _drain("sleep", 10_000, scale, _all)
    for queues in (1, 40):
        yield _latency("50 ms", 0.05, 0.0, _n(200, scale), queues)
        yield _latency("1.7 s", 1.7, 0.3, _n(40, scale), queues)
    for queues in (1, 20, 40):
        seconds = 30 * scale
        yield Case("idle", _queues(queues), idle, {"seconds": seconds, "queues": queues}, _takes(seconds + 10), _all)
    for count, fits in ((40_000, _only(OURS, "dramatiq")), (1_000_000, _only(OURS))):
        number = _n(count, scale)
        yield Case("delayed", f"{number:,}", delayed, {"count": number}, _takes(20 + number / 5_000), fits)
    for power in range(3, 8):
        rows, count = _n(10**power, scale), _n(100_000, scale)
        cost = _takes(20 + count / 10_000 + rows / 100_000)
        yield Case("ledger", f"10^{power} rows", ledger, {"rows": rows, "count": count}, cost, _only(OURS))


def _enqueue(name: str, count: int, *, bulk: bool) -> Case:
    def seconds(entrant: Entrant) -> float:
        return 3 + count / (entrant.sends * (4 if bulk else 1))

    return Case(name, f"{count:,}", enqueue, {"count": count, "bulk": bulk}, seconds, _bulk if bulk else _all)


def _drain(name: str, jobs: int, scale: float, fits: _Fits) -> Case:
    count = _n(jobs, scale)
    job = "sleep" if name == "sleep" else "noop"
    most = 2_500 if name == "sleep" else math.inf

    def seconds(entrant: Entrant) -> float:
        filling = count / (entrant.sends * (4 if _bulk(entrant) else 1))
        return 4 + filling + count / min(entrant.drains, most)

    return Case(name, f"{count:,}", drain, {"count": count, "job": job}, seconds, fits)


def _latency(words: str, gap: float, jitter: float, count: int, queues: int) -> Case:
    sizes = {"gap": gap, "jitter": jitter, "count": count, "queues": queues}
    return Case("latency", f"{words}, {_queues(queues)}", latency, sizes, _takes(6 + gap * count), _all)


def _takes(seconds: float) -> Callable[[Entrant], float]:
    return lambda _: seconds


def _all(_: Entrant) -> bool:
    return True


def _bulk(entrant: Entrant) -> bool:
    return entrant.name in {OURS, "rq", "oban", "procrastinate", "pgqueuer"}


def _large(entrant: Entrant) -> bool:
    return entrant.large > 0


def _drains(count: int) -> _Fits:
    return lambda entrant: entrant.drain == count


def _only(*names: str) -> _Fits:
    return lambda entrant: entrant.name in names


def _queues(number: int) -> str:
    return "1 queue" if number == 1 else f"{number} queues"


def _n(count: int, scale: float) -> int:
    return max(10, round(count * scale))


__all__ = ["Case", "TrialError", "plan"]
