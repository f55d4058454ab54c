"""`callboard failures`: attempts that failed, and retries of them."""

import json
from collections.abc import Iterator
from dataclasses import asdict
from typing import Annotated

import typer
from rich.text import Text

from callboard import filters
from callboard.exits import Exit
from cli import _times
from cli._filters import say_more
from cli._groups import ListGroup
from cli._ids import short
from cli._options import AsJson, Limit, Why, application, usage
from cli._output import Column, Row, console, pick, print_json, say
from cli._output import show as show_rows
from cli.board import board

app = application(cls=ListGroup, help="List failed attempts, show one, and retry them.")

Words = Annotated[
    list[str] | None, typer.Argument(metavar="FILTER", help="E.g. 'job:sync_*' kind:transient 'age:<1d' issue:12.")
]
_EMPTY = "No failure fits. `callboard issues` shows them folded by cause."
KEYS = (
    "id",
    "run_id",
    "issue_id",
    "job",
    "queue",
    "scope",
    "project_id",
    "attempt",
    "args",
    "kind",
    "retryable",
    "label",
    "error_type",
    "error",
    "correlation_id",
    "trace_id",
    "occurred_at",
    "duration_seconds",
    "retry_state",
)
_LINE_KEYS = ("at", "level", "event", "logger")


@app.callback(invoke_without_command=True)
def failures(context: typer.Context, *, limit: Limit = 20, as_json: AsJson = False) -> None:
    """List failed attempts, show one, and retry them."""
    if context.invoked_subcommand is None:
        _list("", limit, as_json=as_json)


@app.command("list")
def list_failures(
    words: Words = None,
    *,
    cursor: Annotated[str | None, typer.Option(metavar="CURSOR", help="Go on where a listing said it ended.")] = None,
    limit: Limit = 20,
    as_json: AsJson = False,
) -> None:
    """List failed attempts, newest first."""
    _list(" ".join(words or ()), limit, cursor, as_json=as_json)


def _list(text: str, limit: int, cursor: str | None = None, *, as_json: bool) -> None:
    chosen = filters.parse(text, "failures")
    found = board().search(chosen, cursor=cursor, limit=limit)
    show_rows([pick(row, KEYS) for row in found.rows], _COLUMNS, as_json=as_json, empty=_EMPTY)
    say_more(found)


@app.command()
def show(
    number: Annotated[str, typer.Argument(metavar="ID", help="Number of the failure.")],
    *,
    as_json: Annotated[bool, typer.Option("--json", help="Print one JSON object instead of text.")] = False,
) -> None:
    """Show one failed attempt: what it was given, what it logged, and its traceback."""
    failure = board().failure(_number(number))
    if as_json:
        print_json(pick(failure, (*KEYS, "traceback", "log")))
        return
    say(Text.assemble(f"failure {failure['id']}  ", (failure["job"], "bold"), f"  attempt {failure['attempt']}"))
    for label, value in _facts(failure):
        if value:
            say(Text.assemble((f"  {label:<12}", "dim"), value))
    if failure["log"]:
        say(Text("\nlogged", style="dim"))
    for line in failure["log"] or ():
        rest = " ".join(f"{key}={value}" for key, value in line.items() if key not in _LINE_KEYS)
        say(Text(f"  {line['at']} {line['level']:<7} {line['event']} {rest}".rstrip()))
    if failure["traceback"]:
        console().print(Text("\n" + failure["traceback"].rstrip(), style="dim"), soft_wrap=True)
    say(Text(f"\n{_next(failure)}", style="dim"))


@app.command()
def retry(
    numbers: Annotated[list[str], typer.Argument(metavar="ID", help="Numbers of failures.")],
    *,
    force: Annotated[bool, typer.Option("--force", help="Also where its kind, or the job, says it is no use.")] = False,
    why: Why = "",
    as_json: AsJson = False,
) -> None:
    """Run failed runs again, each at most once, as new runs with the same arguments."""
    wanted = [_number(number) for number in numbers]
    results = board().retry(wanted, why=why, force=force)
    if as_json:
        print_json([asdict(result) for result in results])
    for result in () if as_json else results:
        good = result.result == "retried"
        told = f"runs again: callboard run show {short(result.detail)}" if good else f"refused: {result.detail}"
        say(f"failure {result.failure_id}  {told}", stderr=not good)
    refused = any(result.result != "retried" for result in results)
    raise typer.Exit(Exit.FAILED if refused else Exit.OK)


def _number(word: str) -> int:
    if not word.isdecimal():
        usage(f"{word!r} is no number of a failure: `callboard failures` shows them")
    return int(word)


def _retried(failure: Row) -> str:
    made = (failure["retry_state"] or {}).get("attempts", 0)
    if made:
        return f"{made} made"
    return "may help" if failure["retryable"] and failure["kind"] != "authentication" else "no"


def _facts(failure: Row) -> Iterator[tuple[str, str]]:
    moment, took = _times.now(), failure["duration_seconds"]
    yield (
        "when",
        f"{_times.clock(failure['occurred_at'], moment)} UTC, {_times.relative(failure['occurred_at'], moment)}",
    )
    yield "took", "" if took is None else _times.span(took)
    yield "kind", f"{failure['kind']}, {failure['label']}{', retryable' if failure['retryable'] else ''}"
    yield "error", f"{failure['error_type']}: {failure['error']}"
    yield "run", str(failure["run_id"])
    yield "issue", str(failure["issue_id"] or "")
    yield "queue", failure["queue"]
    yield "scope", failure["scope"]
    yield "arguments", json.dumps(failure["args"]) if failure["args"] else ""
    yield "correlation", failure["correlation_id"]
    yield "trace", failure["trace_id"] or ""
    yield "retries", json.dumps(failure["retry_state"]) if failure["retry_state"] else ""


def _next(failure: Row) -> str:
    told = f"`callboard failures retry {failure['id']}` runs it again, if nobody did"
    if failure["retryable"] and failure["kind"] != "authentication":
        return f"{told}."
    return f"Mend the cause first; then {told} with --force."


_COLUMNS = (
    Column("id", lambda failure: str(failure["id"]), justify="right", keep=True),
    Column("job", lambda failure: failure["job"]),
    Column("when", lambda failure: _times.relative(failure["occurred_at"], _times.now()), keep=True),
    Column("run", lambda failure: short(failure["run_id"]), keep=True),
    Column("kind", lambda failure: failure["kind"]),
    Column("retry", _retried),
    Column("error", lambda failure: f"{failure['error_type']}: {failure['error']}"),
)
