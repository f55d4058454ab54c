"""Everything that is known of one run."""

from __future__ import annotations

import json
from dataclasses import dataclass
from typing import TYPE_CHECKING, Any

from rich.text import Text

from callboard.ledger import failures, listing
from callboard.ledger.database import transaction
from callboard.waiting import times
from cli import _times, runs
from cli._ids import short
from cli._output import Column, Row, console, counts, pick, state, table
from cli._waiting import as_json, why

if TYPE_CHECKING:
    from collections.abc import Iterator, Sequence
    from datetime import datetime

    from rich.console import Console

    from callboard.waiting import Explanation

_FAILURE_KEYS = ["attempt", "occurred_at", "kind", "retryable", "label", "error_type", "error", "traceback", "issue_id"]
_CHILD_KEYS = ["id", "job", "state", "created_at"]


@dataclass(frozen=True)
class _Known:
    """What is known of a run at one moment."""

    moment: datetime
    run: Row
    failed: Sequence[Row]
    caused: Sequence[Row]
    waits: tuple[Explanation, ...]


def _load(run_id: str) -> _Known:
    moment = _times.now()
    with transaction() as connection:
        run = listing.run(connection, run_id)
        failed, caused = failures.of_run(connection, run["id"]), listing.children(connection, run["id"])
        return _Known(moment, run, failed, caused, why(connection, run, moment))


def row_of(run_id: str) -> dict[str, Any]:
    """The run as JSON: a row of `callboard runs`, what it waits for, its history, failures and children."""
    known = _load(run_id)
    return runs.row_of(known.run, known.moment) | {
        "waits": as_json(known.waits),
        "history": known.run["history"] or [],
        "failures": [pick(failure, _FAILURE_KEYS) for failure in known.failed],
        "children": [pick(child, _CHILD_KEYS) for child in known.caused],
    }


def page(run_id: str) -> None:
    """Print the run for people: the newest failure's traceback last, where the eye ends."""
    known, out = _load(run_id), console()
    run, moment = known.run, known.moment
    out.print(Text.assemble(str(run["id"]), "  ", (run["job"], "bold"), "  ", state(run["state"])))
    for label, value in (*_waits(known.waits), *_facts(run, moment)):
        if value:
            _print_fact(out, label, value)
    _print_failures(out, known.failed, moment)
    if known.caused:
        out.print(Text("\ncaused", style="dim"))
        out.print(table(known.caused, _CHILDREN))
    for line in _next_steps(run):
        out.print(Text(f"\n{line}", style="dim"), soft_wrap=True)


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


def _next_steps(run: Row) -> Iterator[str]:
    shown = short(run["id"])
    if run["state"] == "failed":
        yield f"callboard dead-letters list --job {run['job']} shows its dead letter, which can be replayed."
    if run["state"] in ("pending", "running"):
        yield f"callboard cancel {shown} ends it."


_CHILDREN = (
    Column("run", lambda run: short(run["id"]), keep=True),
    Column("job", lambda run: run["job"]),
    Column("state", lambda run: state(run["state"])),
)
