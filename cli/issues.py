"""`callboard issues`: failures folded into one row each, and what health checks have found."""

from collections.abc import Iterator
from typing import Annotated, Any

import typer
from rich.text import Text

from callboard import filters
from cli import _times
from cli._filters import say_more
from cli._groups import ListGroup
from cli._ids import short
from cli._options import AsJson, Limit, age, application, usage
from cli._output import Column, Row, console, pick, print_json, say, state, table
from cli._output import show as show_rows
from cli.board import board

app = application(cls=ListGroup, help="List issues; show, take, resolve, reopen and silence one.")

Number = Annotated[str, typer.Argument(metavar="N", help="Number of the issue.")]
Why = Annotated[str, typer.Option("--why", metavar="TEXT", help="The reason, for those who look at it later.")]
Words = Annotated[
    list[str] | None,
    typer.Argument(metavar="FILTER", help="E.g. status:open 'job:sync_*' 'age:<1d'; without one, all not resolved."),
]
_UNSOLVED = "status:open,pending"
_EMPTY = "No issue fits: nothing to mend. `callboard issues list status:resolved` shows those that were."
KEYS = (
    "id",
    "type",
    "severity",
    "status",
    "job",
    "subject",
    "scope",
    "project_id",
    "kind",
    "error_type",
    "title",
    "occurrences",
    "reopened",
    "first_seen_at",
    "last_seen_at",
    "last_run_id",
    "status_at",
    "status_by",
    "note",
    "silenced_until",
    "silenced_by",
)
_FAILURE_KEYS = ("id", "run_id", "attempt", "kind", "retryable", "error_type", "error", "occurred_at")
_FAILURES = (
    Column("failure", lambda failure: str(failure["id"]), justify="right", keep=True),
    Column("when", lambda failure: _times.relative(failure["occurred_at"], _times.now()), keep=True),
    Column("run", lambda failure: short(failure["run_id"]), keep=True),
    Column("attempt", lambda failure: str(failure["attempt"]), justify="right"),
    Column("error", lambda failure: f"{failure['error_type']}: {failure['error']}"),
)


@app.callback(invoke_without_command=True)
def issues(context: typer.Context, *, limit: Limit = 20, as_json: AsJson = False) -> None:
    """List issues; show, take, resolve, reopen and silence one."""
    if context.invoked_subcommand is None:
        _list(_UNSOLVED, limit, as_json=as_json)


@app.command("list")
def list_issues(
    words: Words = None,
    *,
    cursor: Annotated[str | None, typer.Option(metavar="CURSOR", help="Go on where a listing said it ended.")] = None,
    limit: Limit = 20,
    as_json: AsJson = False,
) -> None:
    """List issues, those that happened last first."""
    _list(" ".join(words or ()) or _UNSOLVED, limit, cursor, as_json=as_json)


def _list(text: str, limit: int, cursor: str | None = None, *, as_json: bool) -> None:
    chosen = filters.parse(text, "issues")
    found = board().search(chosen, cursor=cursor, limit=limit)
    show_rows([pick(row, KEYS) for row in found.rows], _COLUMNS, as_json=as_json, empty=_EMPTY)
    say_more(found)


@app.command()
def show(
    number: Number,
    *,
    as_json: Annotated[bool, typer.Option("--json", help="Print one JSON object instead of text.")] = False,
) -> None:
    """Show one issue: its last failures, its dead letters, and what to do next."""
    issue, letters, failed = board().issue(_number(number))
    if as_json:
        told: dict[str, Any] = pick(issue, KEYS) | dict(letters)
        print_json(told | {"failures": [pick(one, _FAILURE_KEYS) for one in failed], "next": _next(issue, letters)})
        return
    say(Text.assemble(f"issue {issue['id']}  ", (issue["title"], "bold"), "  ", _status(issue)))
    for label, value in _facts(issue, letters):
        if value:
            say(Text.assemble((f"  {label:<12}", "dim"), value))
    if failed:
        say(Text("\nlast failures", style="dim"))
        console().print(table(failed, _FAILURES))
    say(Text(f"\n{_next(issue, letters)}", style="dim"))


@app.command()
def resolve(number: Number, *, why: Why = "") -> None:
    """Say that the cause is gone; the issue opens again if it comes back."""
    issue = board().change_issue(_number(number), "resolve", why)
    say(f"Issue {issue['id']} is resolved; it opens again if it comes back.")


@app.command()
def take(number: Number, *, why: Why = "") -> None:
    """Say that you work on it."""
    issue = board().change_issue(_number(number), "take", why)
    say(f"Issue {issue['id']} is yours ({issue['status_by']}); `callboard issues resolve {issue['id']}` ends it.")


@app.command()
def reopen(number: Number, *, why: Why = "") -> None:
    """Say that it is not over, or that nobody works on it any more."""
    issue = board().change_issue(_number(number), "reopen", why)
    say(f"Issue {issue['id']} is open.")


@app.command()
def silence(
    number: Number,
    *,
    span: Annotated[str | None, typer.Option("--for", metavar="AGE", help="How long, e.g. 2h or 3d.")] = None,
    end: Annotated[bool, typer.Option("--end", help="End the silence now.")] = False,
    why: Why = "",
) -> None:
    """Let an issue alarm nobody for a while; it still counts."""
    lasts = age(span, "--for")
    if (lasts is None) is not end:
        usage("say how long with --for 2h, or --end to let it alarm again")
    until = None if lasts is None else _times.now() + lasts
    issue = board().silence(_number(number), until, why)
    told = f"silent until {_times.clock(until, _times.now())} UTC" if until else "no longer silent"
    say(f"Issue {issue['id']} is {told}.")


def _number(word: str) -> int:
    if not word.removeprefix("#").isdecimal():
        usage(f"{word!r} is no number of an issue: `callboard issues` shows them")
    return int(word.removeprefix("#"))


def _status(issue: Row) -> Text:
    shown = state(issue["status"])
    until = issue["silenced_until"]
    return shown.append(" silent", style="dim") if until is not None and until > _times.now() else shown


def _facts(issue: Row, letters: Row) -> Iterator[tuple[str, str]]:
    moment = _times.now()
    again = f", came back {_times_of(issue['reopened'])}" if issue["reopened"] else ""
    yield "type", f"{issue['type']}, {issue['severity']}"
    yield "of", issue["job"] or issue["subject"]
    yield "scope", issue["scope"]
    yield "project", issue["project_id"] or ""
    yield "happened", f"{_times_of(issue['occurrences'])}{again}"
    yield "first", f"{_times.clock(issue['first_seen_at'], moment)} UTC"
    yield "last", f"{_times.clock(issue['last_seen_at'], moment)} UTC, run {issue['last_run_id'] or '-'}"
    if issue["status_at"] is not None:
        yield issue["status"], f"by {issue['status_by']}, {_times.relative(issue['status_at'], moment)}"
    yield "note", issue["note"] or ""
    if issue["silenced_until"] is not None and issue["silenced_until"] > moment:
        yield "silent", f"until {_times.clock(issue['silenced_until'], moment)} UTC, by {issue['silenced_by']}"
    yield "letters", f"{letters['open_letters']} open of {letters['letters']}" if letters["letters"] else ""


def _times_of(number: int) -> str:
    return "once" if number == 1 else f"{number} times"


_BY_TYPE = {
    "queue_health_degraded": "`callboard workers` shows who works on what; a worker that takes the queue resolves it.",
    "dependency_unavailable": "`callboard check` asks our own servers; it resolves itself once it answers.",
    "job_health_degraded": "Mend and replay the issues that it names: that resolves it, and so does an hour with less.",
}


def _next(issue: Row, letters: Row) -> str:
    """The next safe command: one that shows before anything is done."""
    if issue["status"] != "resolved" and issue["type"] in _BY_TYPE:
        return _BY_TYPE[issue["type"]]
    if letters["open_letters"]:
        first = "Renew the credential first. " if issue["kind"] == "authentication" else "Mend the cause first. "
        return f"{first}`callboard dead-letters replay issue:{issue['id']} --dry-run` says what would run again."
    if issue["status"] == "resolved":
        return "It is resolved, and nothing is left of it."
    return f"Nothing is left to replay: `callboard issues resolve {issue['id']} --why ...` closes it."


_COLUMNS = (
    Column("id", lambda issue: str(issue["id"]), justify="right", keep=True),
    Column("status", _status, keep=True),
    Column("severity", lambda issue: state(issue["severity"]), keep=True),
    Column("of", lambda issue: issue["job"] or issue["subject"]),
    Column("times", lambda issue: str(issue["occurrences"]), justify="right", keep=True),
    Column("last", lambda issue: _times.relative(issue["last_seen_at"], _times.now()), keep=True),
    Column("title", lambda issue: issue["title"]),
)
