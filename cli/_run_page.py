"""Everything that is known of one run."""

from __future__ import annotations

import json
from dataclasses import asdict
from typing import TYPE_CHECKING, Any

from rich.text import Text

from callboard.waiting import times
from cli import _times, runs
from cli._ids import short
from cli._output import Column, Row, console, counts, pick, state, table
from cli.board import board

if TYPE_CHECKING:
    from collections.abc import Iterator, Sequence
    from datetime import datetime

    from rich.console import Console

    from callboard.views.story import Story
    from callboard.waiting import Explanation

_FAILURE_KEYS = ["attempt", "occurred_at", "kind", "retryable", "label", "error_type", "error", "traceback", "issue_id"]
_LINE_KEYS = ("at", "level", "event", "logger")
_CHILD_KEYS = ["id", "job", "state", "created_at"]


def row_of(run_id: str) -> dict[str, Any]:
    """The run as JSON: a row of `callboard runs`, what it waits for, its history, failures, children and letters."""
    story = board().story(run_id)
    return runs.row_of(story.run, story.now) | {
        "waits": [asdict(one) for one in story.waits],
        "history": story.run["history"] or [],
        "failures": [pick(failure, _FAILURE_KEYS) for failure in story.failures],
        "children": [pick(child, _CHILD_KEYS) for child in story.children],
        "dead_letter": None if story.letter is None else story.letter["id"],
        "replayed_from": None if story.replayed_from is None else story.replayed_from["id"],
        "tokens": [dict(used) for used in story.tokens],
        "log": story.run["log"] or [],
        "trace_id": story.run["trace_id"],
    }


def page(run_id: str) -> None:
    """Print the run for people: the newest failure's traceback last, where the eye ends."""
    story, out = board().story(run_id), console()
    run, moment = story.run, story.now
    out.print(Text.assemble(str(run["id"]), "  ", (run["job"], "bold"), "  ", state(run["state"])))
    for label, value in (*_waits(story.waits), *_facts(run, moment), *_kin(story)):
        if value:
            _print_fact(out, label, value)
    _print_log(out, run["log"])
    _print_failures(out, story.failures, moment)
    if story.children:
        out.print(Text("\ncaused", style="dim"))
        out.print(table(story.children, _CHILDREN))
    for line in _next_steps(story):
        out.print(Text(f"\n{line}", style="dim"), soft_wrap=True)


def _kin(story: Story) -> Iterator[tuple[str, str]]:
    if story.replayed_from is not None:
        letter = story.replayed_from
        yield "replay of", f"dead letter {letter['id']} of run {short(letter['run_id'])}, by {letter['settled_by']}"
    if story.letter is not None:
        letter = story.letter
        again = f", again as run {short(letter['replay_run_id'])}" if letter["replay_run_id"] else ""
        yield "dead letter", f"{letter['id']}, {letter['state']}{again}"
    for used in story.tokens:
        model = f" {used['model']}" if used["model"] else ""
        told = f"{used['prompt_tokens']} in, {used['completion_tokens']} out, {used['calls']} calls"
        yield "tokens", f"{used['category']}{model}: {told}"
    for sent in story.notifications:
        yield "told", f"{sent['target']} by {sent['channel']}: {sent['state']} {sent['error'] or ''}".rstrip()


def _print_log(out: Console, lines: Sequence[Row] | None) -> None:
    if lines:
        out.print(Text("\nlogged", style="dim"))
    for line in lines or ():
        rest = " ".join(f"{key}={value}" for key, value in line.items() if key not in _LINE_KEYS)
        out.print(Text(f"  {line.get('at', '')} {line.get('level', ''):<7} {line.get('event', '')} {rest}".rstrip()))


def _print_fact(out: Console, label: str, value: str) -> None:
    out.print(Text.assemble((f"  {label:<12}", "dim"), value), soft_wrap=True)


def _waits(waits: tuple[Explanation, ...]) -> Iterator[tuple[str, str]]:
    for label, one in zip(("waits", *["and then"] * len(waits)), waits, strict=False):
        yield label, one.text + (f": {one.command}" if one.command else "")


def _facts(run: Row, moment: datetime) -> Iterator[tuple[str, str]]:
    yield "asked by", run["trigger"] + (f" ({run['missed']} missed ticks in one)" if run["missed"] else "")
    yield "queue", run["queue"]
    yield "arguments", json.dumps(run["args"]) if run["args"] else ""
    yield "scope", run["scope"]
    yield from _moments(run, moment)
    yield "attempt", f"{run['attempt']}" + (f", {run['crashes']} of them crashed" if run["crashes"] else "")
    yield "progress", runs.progress_of(run["progress"]) if run["progress"] else ""
    yield "counts", counts(run["counts"])
    yield "notes", counts(run["notes"])
    yield "reason", run["reason"] or ""
    yield "correlation", run["correlation_id"]
    yield "parent", str(run["parent_id"] or "")
    for event in run["history"] or []:
        yield "history", " ".join(str(value) for value in event.values() if value)


def _moments(run: Row, moment: datetime) -> Iterator[tuple[str, str]]:
    for label, name in (
        ("due", "scheduled_for"),
        ("created", "created_at"),
        ("started", "started_at"),
        ("finished", "finished_at"),
        ("next try", "retry_at"),
    ):
        yield label, _at(run[name], moment)
    yield "times", _times_told_apart(run, moment)
    if run["cancel_requested_at"]:
        yield "cancel", f"asked by {run['cancel_requested_by']}, {_at(run['cancel_requested_at'], moment)}"


def _times_told_apart(run: Row, moment: datetime) -> str:
    """`waited 0.2 s, ran 12 s, end to end 14 s`; with `so far` while it goes on."""
    told = times(run, moment)
    words = (("waited", told.wait), ("ran", told.run), ("end to end", told.end_to_end))
    parts = [f"{word} {_times.span(seconds)}" for word, seconds in words if seconds is not None]
    return ", ".join(parts) + (" so far" if run["finished_at"] is None else "")


def _at(when: datetime | None, moment: datetime) -> str:
    return "" if when is None else f"{_times.clock(when, moment)} UTC, {_times.relative(when, moment)}"


def _print_failures(out: Console, failed: Sequence[Row], moment: datetime) -> None:
    for failure in failed:
        when = _times.relative(failure["occurred_at"], moment)
        line = f"\nattempt {failure['attempt']} failed {when}, {failure['kind']}: "
        out.print(Text.assemble((line, "dim"), (f"{failure['error_type']}: {failure['error']}", "red")), soft_wrap=True)
    if failed and failed[-1]["traceback"]:
        out.print(Text(failed[-1]["traceback"].rstrip(), style="dim"), soft_wrap=True)


def _next_steps(story: Story) -> Iterator[str]:
    run, shown = story.run, short(story.run["id"])
    if story.letter is not None and story.letter["state"] == "open":
        yield f"callboard dead-letters replay {story.letter['id']} runs it again, once the cause is mended."
    if run["state"] in ("pending", "running"):
        yield f"callboard cancel {shown} ends it."


_CHILDREN = (
    Column("run", lambda run: short(run["id"]), keep=True),
    Column("job", lambda run: run["job"]),
    Column("state", lambda run: state(run["state"])),
)
