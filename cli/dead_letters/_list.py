"""`callboard dead-letters list`."""

from typing import Annotated

import typer

from callboard.filters import Filter, parse
from cli import _times
from cli._options import AsJson, Limit, usage
from cli._output import Column, pick, show, state
from cli.board import board
from cli.dead_letters._select import ErrorFilter, FilterWords, JobFilter, KindFilter, NewerThan, OlderThan, filter_of

_STATES = ("open", "replayed", "discarded", "all")
KEYS = (
    "id",
    "run_id",
    "issue_id",
    "job",
    "queue",
    "scope",
    "args",
    "kind",
    "reason",
    "error_type",
    "error",
    "attempts",
    "correlation_id",
    "created_at",
    "state",
    "settled_at",
    "settled_by",
    "settled_why",
    "replay_run_id",
    "replay_args",
    "project_id",
)
_COLUMNS = (
    Column("id", lambda letter: str(letter["id"]), justify="right", keep=True),
    Column("job", lambda letter: letter["job"]),
    Column("state", lambda letter: state(letter["state"]), keep=True),
    Column("died", lambda letter: _times.relative(letter["created_at"], letter["now"]), keep=True),
    Column("kind", lambda letter: letter["kind"]),
    Column("tries", lambda letter: str(letter["attempts"]), justify="right"),
    Column("error", lambda letter: f"{letter['error_type']}: {letter['error']}"),
)


def list_letters(  # noqa: PLR0913 - the command's options
    words: FilterWords = None,
    *,
    job: JobFilter = None,
    error: ErrorFilter = None,
    kind: KindFilter = None,
    older_than: OlderThan = None,
    newer_than: NewerThan = None,
    state_: Annotated[
        str | None, typer.Option("--state", metavar="STATE", help=f"One of {', '.join(_STATES)}; else open.")
    ] = None,
    limit: Limit = 20,
    as_json: AsJson = False,
) -> None:
    """List dead letters, newest first."""
    if state_ not in (None, *_STATES):
        usage(f"--state {state_!r} is none of {', '.join(_STATES)}")
    wanted = filter_of(words, job=job, error=error, kind=kind, older_than=older_than, newer_than=newer_than)
    if state_ is not None:
        wanted = parse(f"{wanted.text} state:{'*' if state_ == 'all' else state_}", "dead_letters")
    moment = _times.now()
    letters = board().search(wanted, limit=limit).rows
    rows = [pick(letter, KEYS) if as_json else {**letter, "now": moment} for letter in letters]
    show(rows, _COLUMNS, as_json=as_json, empty=_empty(wanted))


def _empty(wanted: Filter) -> str:
    return "No dead letter fits." if wanted.words else "No dead letter is open: nothing to repair."
