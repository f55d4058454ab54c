"""A run's attempts drawn to scale: when it waited, when it ran, how each attempt ended."""

from __future__ import annotations

from dataclasses import dataclass
from datetime import datetime, timedelta
from typing import TYPE_CHECKING

from console._words import duration

if TYPE_CHECKING:
    from collections.abc import Iterator

    from callboard.views.story import Story

_LEAST_WIDTH = 0.4
_STEPS = 4
_MOST_LANES = 24


@dataclass(frozen=True, slots=True)
class Bar:
    """A stretch of one lane: `look` is wait, run, ok, bad or off; places in percent of the whole width."""

    look: str
    x: float
    width: float
    told: str


@dataclass(frozen=True, slots=True)
class Lane:
    """One attempt: what is written above it, and its bars."""

    label: str
    bars: tuple[Bar, ...]


@dataclass(frozen=True, slots=True)
class Timeline:
    """All attempts on one scale; `ticks` are (percent, text) along it; `left_out` earlier attempts are not drawn."""

    lanes: list[Lane]
    ticks: list[tuple[float, str]]
    left_out: int = 0


@dataclass(frozen=True, slots=True)
class _Attempt:
    number: int
    began: datetime
    ended: datetime
    look: str
    how: str


def draw(story: Story) -> Timeline | None:
    """The timeline of a run; None before its first attempt."""
    found = sorted(_attempts(story), key=lambda attempt: attempt.began)
    if not found:
        return None
    attempts = found[-_MOST_LANES:]
    start = _start(story) if len(attempts) == len(found) else attempts[0].began
    end = max(attempt.ended for attempt in attempts)
    whole = max((end - start).total_seconds(), 0.001)
    lanes, before = [], start
    for attempt in attempts:
        lanes.append(Lane(_label(attempt, before), tuple(_bars(attempt, before, start, whole))))
        before = attempt.ended
    ticks = [(100 * step / _STEPS, f"+{duration(whole * step / _STEPS)}") for step in range(_STEPS + 1)]
    return Timeline(lanes, ticks, len(found) - len(attempts))


def _start(story: Story) -> datetime:
    created: datetime = story.run["created_at"]
    return created


def _attempts(story: Story) -> Iterator[_Attempt]:
    run, failed = story.run, {failure["attempt"]: failure for failure in story.failures}
    for number, failure in failed.items():
        ran = timedelta(seconds=failure["duration_seconds"] or 0.0)
        ended = failure["occurred_at"]
        yield _Attempt(number, ended - ran, ended, "bad", str(failure["error_type"]))
    if run["started_at"] is not None and run["attempt"] not in failed:
        ended = run["finished_at"] or (story.now if run["state"] == "running" else run["started_at"])
        look = {"completed": "ok", "running": "run", "failed": "bad"}.get(run["state"], "off")
        how = run["state"] if run["state"] != "pending" else "ended early"
        yield _Attempt(run["attempt"], run["started_at"], max(ended, run["started_at"]), look, how)


def _label(attempt: _Attempt, before: datetime) -> str:
    waited = max(0.0, (attempt.began - before).total_seconds())
    ran = (attempt.ended - attempt.began).total_seconds()
    return f"{attempt.number}: {attempt.how} · waited {duration(waited)} · ran {duration(ran)}"


def _bars(attempt: _Attempt, before: datetime, start: datetime, whole: float) -> Iterator[Bar]:
    if attempt.began > before:
        yield _bar("wait", before, attempt.began, start, whole)
    yield _bar(attempt.look, attempt.began, attempt.ended, start, whole)


def _bar(look: str, began: datetime, ended: datetime, start: datetime, whole: float) -> Bar:
    x = 100 * max(0.0, (began - start).total_seconds()) / whole
    width = max(_LEAST_WIDTH, 100 * (ended - began).total_seconds() / whole)
    x = min(x, 100 - _LEAST_WIDTH)
    told = f"{look} {duration((ended - began).total_seconds())}"
    return Bar(look, round(x, 3), round(min(width, 100 - x), 3), told)
