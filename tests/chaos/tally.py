"""What became of every message: the producer's log, the jobs' own log and the ledger, held against one another."""

from __future__ import annotations

from collections import Counter, defaultdict
from dataclasses import dataclass, field
from math import inf
from typing import TYPE_CHECKING, Any, NamedTuple

if TYPE_CHECKING:
    from collections.abc import Iterable, Sequence

ENDED = ("completed", "failed", "cancelled")


class Effect(NamedTuple):
    """One line that a job wrote: it started (S), ended (E) or raised (X)."""

    seconds: float
    what: str
    job: str
    run: str
    attempt: int
    pid: int


class Row(NamedTuple):
    """One run of the ledger; `interruptions` are events of its history, `letters` is the number of its dead letters."""

    run: str
    job: str
    state: str
    attempt: int
    crashes: int
    interruptions: int
    letters: int


@dataclass(kw_only=True)
class Tally:
    """The counts of one case; every one of the second block must be zero.

    Attributes:
        acked: Messages whose send returned.
        refused: Sends that raised; `unknown_ran` of them reached the ledger all the same.
        restarted: Runs that started more than once and say so.
        lost: Acknowledged, and no run of theirs ended.
        stranded: Runs still open, and messages still in the broker, when the time for healing was over.
        undeclared: Starts that their run does not account for by an attempt or an interruption.
        overlapping: Attempts that began before an earlier one of the same run had ended.
        unfounded: Completed runs whose job never ended, or ended more often than the run accounts for.
        misburied: Failed runs without a dead letter or with two, and dead letters of runs that did not fail.
        recovery: p50, p95 and maximum of the seconds from the fault's end (or the kill) to what it held up.
        facts: Counts of this case alone.
        broken: What else must not be, in words; empty when all is well.
    """

    case: str = ""
    fault: str = ""
    seed: int = 0
    acked: int = 0
    refused: int = 0
    unknown_ran: int = 0
    completed: int = 0
    dead: int = 0
    cancelled: int = 0
    restarted: int = 0

    lost: int = 0
    stranded: int = 0
    undeclared: int = 0
    overlapping: int = 0
    unfounded: int = 0
    misburied: int = 0

    recovery: tuple[float, float, float] | None = None
    facts: dict[str, Any] = field(default_factory=dict)
    broken: list[str] = field(default_factory=list)
    seconds: float = 0.0

    @property
    def clean(self) -> bool:
        """Nothing happened that must not."""
        sins = (self.lost, self.stranded, self.undeclared, self.overlapping, self.unfounded, self.misburied)
        return not any(sins) and not self.broken

    def expect(self, fact: bool, words: str) -> None:  # noqa: FBT001 - reads as an assertion
        """Note what must be, and is not."""
        if not fact:
            self.broken.append(words)


def judge(
    acked: Iterable[str], refused: Iterable[str], rows: Sequence[Row], effects: Sequence[Effect], in_broker: int = 0
) -> Tally:
    """Hold the three accounts against one another; see `Tally` for what is counted."""
    sent, unsure = set(acked), set(refused)
    known = {row.run: row for row in rows}
    ended = {row.run for row in rows if row.state in ENDED}
    starts = Counter(effect.run for effect in effects if effect.what == "S")
    ends = Counter(effect.run for effect in effects if effect.what == "E")
    states = Counter(row.state for row in rows)
    return Tally(
        acked=len(sent),
        refused=len(unsure),
        unknown_ran=len(unsure & known.keys()),
        completed=states["completed"],
        dead=sum(row.state == "failed" for row in rows),
        cancelled=states["cancelled"],
        restarted=sum(starts[run] > 1 and starts[run] <= _declared(known.get(run)) for run in starts),
        lost=len(sent - ended),
        stranded=len(known.keys() - ended) + in_broker,
        undeclared=sum(max(0, starts[run] - _declared(known.get(run))) for run in starts),
        overlapping=overlaps(effects),
        unfounded=sum(not 1 <= ends[row.run] <= _declared(row) for row in rows if row.state == "completed"),
        misburied=sum(row.letters != (row.state == "failed") for row in rows),
    )


def _declared(row: Row | None) -> int:
    """How many starts a run accounts for: an attempt each; one that was interrupted was taken off that count again."""
    return 0 if row is None else row.attempt + row.interruptions


def overlaps(effects: Iterable[Effect]) -> int:
    """Attempts that began while an earlier attempt of their run went on.

    An attempt without an end died with its process, so it is over at its process's last line at the latest.
    """
    attempts: dict[str, list[list[float]]] = defaultdict(list)
    open_: dict[tuple[str, int], list[float]] = {}
    for effect in sorted(effects):
        if effect.what == "S":
            interval = [effect.seconds, effect.seconds]
            if (earlier := open_.get((effect.run, effect.pid))) is not None:
                earlier[1] = inf  # one process began it twice and lives
            open_[effect.run, effect.pid] = interval
            attempts[effect.run].append(interval)
        elif (effect.run, effect.pid) in open_:
            open_.pop((effect.run, effect.pid))[1] = effect.seconds
    return sum(
        later[0] < max(earlier[1] for earlier in runs[:place])
        for runs in attempts.values()
        for place, later in enumerate(runs)
        if place
    )


def percentiles(seconds: Iterable[float]) -> tuple[float, float, float] | None:
    """p50, p95 and the maximum; None of nothing."""
    values = sorted(seconds)
    if not values:
        return None
    picked = (values[len(values) // 2], values[min(len(values) - 1, int(len(values) * 0.95))], values[-1])
    return (round(picked[0], 2), round(picked[1], 2), round(picked[2], 2))
