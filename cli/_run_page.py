"""Everything that is known of one run."""

from __future__ import annotations

import json
from typing import TYPE_CHECKING, Any

from rich.text import Text

from callboard.ledger import failures, listing
from callboard.ledger.database import transaction
from cli import _times, runs
from cli._ids import short
from cli._output import Column, Row, console, counts, pick, state, table

if TYPE_CHECKING:
    from collections.abc import Iterator, Sequence
    from datetime import datetime

    from rich.console import Console

_FAILURE_KEYS = ["attempt", "occurred_at", "kind", "retryable", "label", "error_type", "error", "traceback", "issue_id"]
_CHILD_KEYS = ["id", "job", "state", "created_at"]


def _load(run_id: str) -> tuple[Row, Sequence[Row], Sequence[Row]]:
    with transaction() as connection:
        run = listing.run(connection, run_id)
        return run, failures.of_run(connection, run["id"]), listing.children(connection, run["id"])


def row_of(run_id: str) -> dict[str, Any]:
    """The run as JSON: a row of `callboard runs`, its history, failures and children."""
    run, failed, caused = _load(run_id)
    return runs.row_of(run) | {
        "history": run["history"] or [],
        "failures": [pick(failure, _FAILURE_KEYS) for failure in failed],
        "children": [pick(child, _CHILD_KEYS) for child in caused],
    }


def page(run_id: str) -> None:
    """Print the run for people: the newest failure's traceback last, where the eye ends."""
    run, failed, caused = _load(run_id)
    moment = _times.now()
    out = console()
    out.print(Text.assemble(str(run["id"]), "  ", (run["job"], "bold"), "  ", state(run["state"])))
    for label, value in _facts(run, moment):
        if value:
            _print_fact(out, label, value)
    _print_failures(out, failed, moment)
    if caused:
        out.print(Text("\ncaused", style="dim"))
        out.print(table(caused, _CHILDREN))
    for line in _next_steps(run):
        out.print(Text(f"\n{line}", style="dim"), soft_wrap=True)


def _print_fact(out: Console, label: str, value: str) -> None:
    out.print(Text.assemble((f"  {label:<12}", "dim"), value), soft_wrap=True)


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
    for label, name in (("due", "scheduled_for"), ("created", "created_at"), ("started", "started_at")):
        yield label, _at(run[name], moment)
    took = runs.took(run)
    yield "finished", _at(run["finished_at"], moment) + ("" if took is None else f", after {_times.span(took)}")
    yield "next try", _at(run["retry_at"], moment)
    if run["cancel_requested_at"]:
        yield "cancel", f"asked by {run['cancel_requested_by']}, {_at(run['cancel_requested_at'], moment)}"


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
