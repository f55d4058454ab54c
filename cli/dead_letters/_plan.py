"""What a command would do to letters, for people."""

from __future__ import annotations

from typing import TYPE_CHECKING

from rich.text import Text

from cli import _times
from cli._output import say
from cli.dead_letters._select import named

if TYPE_CHECKING:
    from collections.abc import Iterable, Iterator, Mapping

    from callboard.operations.letters import ReplayPlan
    from cli.board._port import Letters

_SHOWN = 10


def print_plan(verb: str, which: Letters, plan: ReplayPlan) -> None:
    """Print which letters are meant, of which jobs and issues, and, for a replay, which would be refused."""
    say(f"Would {verb} {named(which, plan.count)}")
    for label, value in _facts(plan, replaying=verb == "replay"):
        say(Text.assemble((f"  {label:<9}", "dim"), value))


def _facts(plan: ReplayPlan, *, replaying: bool) -> Iterator[tuple[str, str]]:
    moment = _times.now()
    if plan.oldest is not None:
        yield "died", f"from {_times.relative(plan.oldest, moment)} to {_times.relative(plan.newest, moment)}"
    yield from _labelled("jobs", (f"{count:>6,}  {job}" for job, count in plan.by_job.items()))
    issues = (f"{one.count:>6,}  issue {one.id}, {one.status}: {one.title}" for one in plan.by_issue)
    yield from _labelled("issues", issues)
    if replaying:
        yield from _labelled("refused", (*_unknown(plan.unknown_jobs), *_single(plan.single_conflicts)))


def _unknown(jobs: Mapping[str, int]) -> Iterator[str]:
    for job, count in jobs.items():
        yield f"{count:>6,}  no loaded module declares {job}: add its module to CALLBOARD_ACTORS"


def _single(jobs: Mapping[str, int]) -> Iterator[str]:
    for job, count in jobs.items():
        yield f"{count:>6,}  {job} runs one at a time: these stay open until that run has ended"


def _labelled(label: str, lines: Iterable[str]) -> Iterator[tuple[str, str]]:
    every = list(lines)
    for line in every[:_SHOWN]:
        yield label, line
        label = ""
    if len(every) > _SHOWN:
        yield "", f"        and {len(every) - _SHOWN} more"
