"""`callboard dead-letters show`."""

import json
import sys
from collections.abc import Iterator, Sequence
from typing import Annotated

import typer
from rich.text import Text

from callboard.ledger.seal import unseal
from cli import _times
from cli._ids import short
from cli._output import Column, Row, console, counted, pick, print_json, say, state, table
from cli.board import board, here_only
from cli.dead_letters._list import KEYS
from cli.dead_letters._select import number

_ATTEMPT_KEYS = (
    "attempt",
    "occurred_at",
    "kind",
    "retryable",
    "label",
    "error_type",
    "error",
    "traceback",
    "log",
    "duration_seconds",
    "trace_id",
)
_STEP_KEYS = (
    "id",
    "run_id",
    "issue_id",
    "created_at",
    "state",
    "settled_at",
    "settled_by",
    "settled_why",
    "replay_run_id",
    "replay_args",
    "replay_state",
)
_LINE_KEYS = ("at", "level", "event", "logger")


def show(
    word: Annotated[str, typer.Argument(metavar="ID", help="Id of the letter.")],
    *,
    payload: Annotated[
        bool, typer.Option("--payload", help="Print the whole message as it was sent; secrets in it are not hidden.")
    ] = False,
    as_json: Annotated[bool, typer.Option("--json", help="Print one JSON object instead of text.")] = False,
) -> None:
    """Show one dead letter: every attempt with its error and log lines, and the replays before and after it."""
    if payload:
        here_only("callboard dead-letters show --payload")
    letter, failed, chain = board().letter(number(word))
    if payload:
        sys.stdout.write(unseal(bytes(letter["payload"])).decode(errors="replace") + "\n")
    elif as_json:
        print_json(_as_json(letter, failed, chain))
    else:
        _page(letter, failed, chain)


def _as_json(letter: Row, failed: Sequence[Row], chain: Sequence[Row]) -> dict[str, object]:
    return pick(letter, KEYS) | {
        "traceback": failed[-1]["traceback"] if failed else None,
        "history": [pick(attempt, _ATTEMPT_KEYS) for attempt in failed],
        "lineage": [pick(step, _STEP_KEYS) for step in chain],
    }


def _page(letter: Row, failed: Sequence[Row], chain: Sequence[Row]) -> None:
    say(Text.assemble(f"letter {letter['id']}  ", (letter["job"], "bold"), "  ", state(letter["state"])))
    for label, value in _facts(letter):
        if value:
            say(Text.assemble((f"  {label:<12}", "dim"), value))
    if len(chain) > 1 or letter["replay_run_id"]:
        moment = _times.now()
        say(Text("\nreplays", style="dim"))
        console().print(table([{**step, "now": moment, "this": letter["id"]} for step in chain], _CHAIN))
    for attempt in failed:
        _print_attempt(attempt, whole=attempt is failed[-1])
    say(Text(f"\n{_next(letter, chain)}", style="dim"))


def _facts(letter: Row) -> Iterator[tuple[str, str]]:
    yield "died", _at(letter, "created_at")
    yield "kind", letter["kind"]
    yield "error", f"{letter['error_type']}: {letter['error']}"
    yield "issue", str(letter["issue_id"] or "")
    yield "given up", f"{letter['reason']}, after {counted(letter['attempts'], 'attempt')}"
    yield "run", str(letter["run_id"])
    yield "queue", letter["queue"]
    yield "scope", letter["scope"]
    yield "project", letter["project_id"] or ""
    yield "arguments", json.dumps(letter["args"]) if letter["args"] else ""
    yield "correlation", letter["correlation_id"]
    if letter["settled_at"]:
        yield letter["state"], f"{_at(letter, 'settled_at')}, by {letter['settled_by']}"
        yield "because", letter["settled_why"] or ""
        yield "as run", str(letter["replay_run_id"] or "")
        yield "changed to", json.dumps(letter["replay_args"]) if letter["replay_args"] else ""


def _at(letter: Row, name: str) -> str:
    moment = _times.now()
    return f"{_times.clock(letter[name], moment)} UTC, {_times.relative(letter[name], moment)}"


def _print_attempt(attempt: Row, *, whole: bool) -> None:
    """One attempt; of all but the last, the traceback is left to --json."""
    head = f"\nattempt {attempt['attempt']} failed {_at(attempt, 'occurred_at')}, {attempt['kind']}: "
    say(Text.assemble((head, "dim"), (f"{attempt['error_type']}: {attempt['error']}", "red")))
    for line in attempt["log"] or ():
        rest = " ".join(f"{key}={value}" for key, value in line.items() if key not in _LINE_KEYS)
        say(f"  {line.get('at', '')} {line.get('level', ''):<7} {line.get('event', '')} {rest}".rstrip())
    if whole and attempt["traceback"]:
        say(Text(attempt["traceback"].rstrip(), style="dim"))


def _next(letter: Row, chain: Sequence[Row]) -> str:
    """The next safe command."""
    if letter["state"] == "open":
        again = f"callboard dead-letters replay {letter['id']}"
        return f"{again} --why TEXT runs it again, once the cause is mended; discard gives it up."
    if letter["state"] == "discarded":
        return f"It was given up; callboard trigger {letter['job']} starts a run of its own."
    last = chain[-1]
    if last["state"] == "open":
        return f"Its replay died too: callboard dead-letters show {last['id']}"
    return f"callboard run show {short(letter['replay_run_id'])} tells how its replay goes."


def _became(step: Row) -> str:
    if step["state"] != "replayed":
        return str(step["state"])
    changed = ", with other arguments" if step["replay_args"] else ""
    return f"run {short(step['replay_run_id'])} {step['replay_state'] or 'is gone'}{changed}"


_CHAIN = (
    Column("letter", lambda step: f"{step['id']}{' *' if step['id'] == step['this'] else ''}", keep=True),
    Column("died", lambda step: _times.relative(step["created_at"], step["now"]), keep=True),
    Column("settled", lambda step: _times.relative(step["settled_at"], step["now"]), keep=True),
    Column("by", lambda step: step["settled_by"] or ""),
    Column("became", _became),
    Column("why", lambda step: step["settled_why"] or ""),
)
