"""Why a run does not run, and how its time is told apart. Plain facts in, words out: it asks nobody.

wait        from when the run might start to when it did; the pause before a retry is none of it
run         the attempt that ended it, or that runs now
end to end  from its creation to its end for good, everything included
"""

from __future__ import annotations

from dataclasses import dataclass
from datetime import UTC, datetime
from typing import TYPE_CHECKING, Any, Literal, NamedTuple, get_args

if TYPE_CHECKING:
    from collections.abc import Iterator, Mapping

__all__ = ["KINDS", "UNKNOWN_JOB", "Explanation", "Facts", "Times", "reasons", "times"]

Kind = Literal[
    "retry",
    "postponed",
    "scheduled",
    "paused",
    "no_worker",
    "unknown_job",
    "lost",
    "limit",
    "overlap",
    "queued",
    "silent_worker",
    "unknown",
]
KINDS: tuple[str, ...] = get_args(Kind)
#: The reason in the row of a run that a worker was given and does not know the job of.
UNKNOWN_JOB = "unknown job"


@dataclass(frozen=True, slots=True)
class Explanation:
    """One thing that keeps a run from running; `command` is what looks into it or mends it, empty if nothing does."""

    kind: Kind
    text: str
    command: str = ""
    until: datetime | None = None


@dataclass(frozen=True, slots=True, kw_only=True)
class Facts:
    """A run and what surrounds it, as of `now`; None is not known.

    Attributes:
        run: How people name the run: its id, or the beginning of it.
        reason: The row's own: what the engine knew when it last refused a start.
        error: What the last attempt failed with.
        sent: Whether the broker is known to have taken a message.
        resent: Whether the scheduler sends a lost message again: of durable runs it does.
        has_message: Whether the broker still holds the message.
        consumers: Worker processes that take the queue; they have `threads`, of which `busy` have work.
        ready: Messages of the queue that wait for a thread, this one among them; `claimed` are with a worker.
        most_claimed: What `callboard queues limit` bounds `claimed` by.
        concurrency: Runs of the job that may run at once; `running` do.
        rate: Starts and the seconds they are counted in; the next one may be in `rate_opens` seconds.
        holder: The other run that is the only one allowed now.
        silent: Seconds for which the lease of the worker that has the run is over.
    """

    now: datetime
    run: str
    state: str
    job: str
    queue: str
    attempt: int = 0
    eligible_at: datetime | None = None
    retry_at: datetime | None = None
    reason: str = ""
    error: str = ""
    sent: bool = True
    resent: bool = False
    has_message: bool | None = None
    paused: bool | None = None
    consumers: int | None = None
    threads: int | None = None
    busy: int | None = None
    ready: int | None = None
    claimed: int | None = None
    most_claimed: int | None = None
    concurrency: int | None = None
    running: int | None = None
    rate: tuple[int, float] | None = None
    rate_opens: float | None = None
    holder: str = ""
    silent: float | None = None

    @property
    def later(self) -> bool:
        """Whether its time has not come."""
        return any(moment is not None and moment > self.now for moment in (self.retry_at, self.eligible_at))


def reasons(facts: Facts) -> tuple[Explanation, ...]:
    """What keeps the run from running, what holds it now first; empty for one that runs or has ended."""
    if facts.state == "running":
        return tuple(_silent_worker(facts))
    if facts.state != "pending":
        return ()
    checks = _ALWAYS if facts.later else (*_ALWAYS, *_WHEN_DUE)
    found = tuple(explanation for check in checks for explanation in check(facts))
    return found or tuple(_queued(facts))


def _retry(facts: Facts) -> Iterator[Explanation]:
    if facts.retry_at is not None and facts.retry_at > facts.now:
        if facts.reason.startswith("postponed: "):
            told = facts.reason.removeprefix("postponed: ")
            text = f"it put itself off: {told}; again in {_span(facts.retry_at, facts.now)}"
            yield Explanation("postponed", text, f"callboard run show {facts.run}", facts.retry_at)
            return
        after = f" after {facts.error}" if facts.error else ""
        text = f"attempt {facts.attempt + 1} in {_span(facts.retry_at, facts.now)}{after}"
        yield Explanation("retry", text, f"callboard run show {facts.run}", facts.retry_at)


def _scheduled(facts: Facts) -> Iterator[Explanation]:
    retries = facts.retry_at is not None and facts.retry_at > facts.now
    if not retries and facts.eligible_at is not None and facts.eligible_at > facts.now:
        text = f"scheduled for later: in {_span(facts.eligible_at, facts.now)}"
        yield Explanation("scheduled", text, f"callboard queues delayed {facts.queue}", facts.eligible_at)


def _paused(facts: Facts) -> Iterator[Explanation]:
    if facts.paused:
        yield Explanation("paused", f"queue {facts.queue} is paused", f"callboard queues resume {facts.queue}")


def _no_worker(facts: Facts) -> Iterator[Explanation]:
    if facts.consumers == 0:
        yield Explanation("no_worker", f"no worker takes queue {facts.queue}", "callboard worker")


def _unknown_job(facts: Facts) -> Iterator[Explanation]:
    if facts.reason == UNKNOWN_JOB:
        text = f"the worker that took it does not know job {facts.job}; it waits for one that does"
        yield Explanation("unknown_job", text, "callboard workers")


def _lost(facts: Facts) -> Iterator[Explanation]:
    if facts.has_message is not False:
        return
    if facts.resent:
        told = "its message is not in the broker" + (" any more" if facts.sent else ", lost or not sent yet")
        yield Explanation("lost", f"{told}; the scheduler sends it", "callboard check")
    else:
        text = "its message is not in the broker, and nobody sends it again: it is not durable"
        yield Explanation("lost", text, f"callboard cancel {facts.run}")


def _limit(facts: Facts) -> Iterator[Explanation]:
    listing = f"callboard runs --job {facts.job} --state running"
    if facts.concurrency is not None and facts.running is not None and facts.running >= facts.concurrency:
        text = f"over a limit: {facts.running} of {facts.concurrency} allowed runs of {facts.job} are running"
        yield Explanation("limit", text, listing)
    elif facts.rate is not None and facts.rate_opens is not None and facts.rate_opens > 0:
        starts, seconds = facts.rate
        text = f"over a limit: {starts} starts in {seconds:g} s, the next one in {_seconds(facts.rate_opens)}"
        yield Explanation("limit", text, f"callboard runs --job {facts.job}")
    elif facts.most_claimed is not None and facts.claimed is not None and facts.claimed >= facts.most_claimed:
        text = f"over a limit: workers hold {facts.claimed} of {facts.most_claimed} allowed messages of {facts.queue}"
        yield Explanation("limit", text, f"callboard queues limit {facts.queue} N")
    elif facts.reason.startswith("limit: "):
        told = facts.reason.removeprefix("limit: ")
        yield Explanation("limit", f"over a limit ({told}) when it was last tried, and tried again soon", listing)


def _overlap(facts: Facts) -> Iterator[Explanation]:
    if facts.holder:
        text = f"only one run of {facts.job} at a time, and run {facts.holder} is there"
        yield Explanation("overlap", text, f"callboard run show {facts.holder}")


def _queued(facts: Facts) -> Iterator[Explanation]:
    if facts.paused is None and facts.ready is None:
        yield Explanation("unknown", "the broker does not answer, and knows where the message is", "callboard check")
        return
    others = max(0, (facts.ready or 0) - 1)
    text = f"queued behind up to {others} others" if others else "queued, and next in line"
    if facts.threads and facts.busy is not None:
        text += f"; {min(facts.busy, facts.threads)} of {facts.threads} threads that take {facts.queue} are busy"
    yield Explanation("queued", text, "callboard queues")


def _silent_worker(facts: Facts) -> Iterator[Explanation]:
    if facts.silent is not None and facts.silent > 0:
        text = f"its worker's lease has been over for {_seconds(facts.silent)}; another worker gets the run"
        yield Explanation("silent_worker", text, "callboard workers")


_ALWAYS = (_retry, _scheduled, _paused, _no_worker, _unknown_job, _lost)
_WHEN_DUE = (_limit, _overlap)


class Times(NamedTuple):
    """Seconds, so far for a run that has not ended; None for what has not begun."""

    wait: float | None
    run: float | None
    end_to_end: float


def times(run: Mapping[Any, Any], now: datetime) -> Times:
    """The times of a run's row: that of its attempt now or last, and of the run as a whole.

    A run that was lost with its worker waits from when the loss was seen: before, it ran, or nobody knew.
    """
    end = run["finished_at"] or now
    since, started = _since(run), run["started_at"]
    total = _between(run["created_at"], end)
    if started is None or _went_back(run, since):
        return Times(_between(since, end), None, total)
    return Times(_between(since, started), _between(started, end), total)


def _went_back(run: Mapping[Any, Any], since: datetime) -> bool:
    """Whether the run waited after its last attempt, and did so to the end."""
    ended_waiting = run["state"] == "cancelled" or run["reason"] == "poison"
    return run["state"] == "pending" or bool(ended_waiting and since > run["started_at"])


def _since(run: Mapping[Any, Any]) -> datetime:
    since: datetime = run["eligible_at"] or run["created_at"]
    lost = [event["at"] for event in run["history"] or () if event.get("event") == "lost" and event.get("at")]
    return max(since, datetime.fromisoformat(lost[-1]).astimezone(UTC)) if lost else since


def _between(start: datetime, end: datetime) -> float:
    return max(0.0, (end - start).total_seconds())


def _span(moment: datetime, now: datetime) -> str:
    return _seconds((moment - now).total_seconds())


def _seconds(seconds: float) -> str:
    """`0.4 s`, `12 s`, `5 min`, `3 h`, `2 d`."""
    for unit, size, least in (("d", 86400, 172_800), ("h", 3600, 7200), ("min", 60, 120)):
        if seconds >= least:
            return f"{seconds / size:.0f} {unit}"
    return f"{seconds:.1f} s" if seconds < 10 else f"{seconds:.0f} s"  # noqa: PLR2004 - a digit more is worth reading
