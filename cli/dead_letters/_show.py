"""`callboard dead-letters show`."""

import json
import sys
from collections.abc import Iterator
from typing import Annotated

import typer
from rich.text import Text

from callboard.ledger import dead_letters, failures
from callboard.ledger.database import transaction
from cli import _times
from cli._output import Row, console, pick, print_json, say, state
from cli.dead_letters._list import KEYS
from cli.dead_letters._select import number


def show(
    word: Annotated[str, typer.Argument(metavar="ID", help="Id of the letter.")],
    *,
    payload: Annotated[
        bool, typer.Option("--payload", help="Print the whole message as it was sent; secrets in it are not hidden.")
    ] = False,
    as_json: Annotated[bool, typer.Option("--json", help="Print one JSON object instead of text.")] = False,
) -> None:
    """Show one dead letter and how it came to be."""
    with transaction() as connection:
        letter = dead_letters.get(connection, number(word))
        failed = failures.of_run(connection, letter["run_id"])
    if payload:
        sys.stdout.write(bytes(letter["payload"]).decode(errors="replace") + "\n")
    elif as_json:
        print_json(pick(letter, KEYS) | {"traceback": failed[-1]["traceback"] if failed else None})
    else:
        _page(letter, failed[-1]["traceback"] if failed else None)


def _page(letter: Row, traceback: str | None) -> None:
    say(Text.assemble(f"letter {letter['id']}  ", (letter["job"], "bold"), "  ", state(letter["state"])))
    for label, value in _facts(letter):
        if value:
            say(Text.assemble((f"  {label:<12}", "dim"), value))
    if traceback:
        console().print(Text("\n" + traceback.rstrip(), style="dim"), soft_wrap=True)
    if letter["state"] == "open":
        say(Text(f"\ncallboard dead-letters replay {letter['id']} runs it again; discard gives it up.", style="dim"))


def _facts(letter: Row) -> Iterator[tuple[str, str]]:
    moment = _times.now()
    yield "died", f"{_times.clock(letter['created_at'], moment)} UTC, {_times.relative(letter['created_at'], moment)}"
    yield "kind", letter["kind"]
    yield "error", f"{letter['error_type']}: {letter['error']}"
    yield "given up", f"{letter['reason']}, after {letter['attempts']} attempts"
    yield "run", str(letter["run_id"])
    yield "queue", letter["queue"]
    yield "arguments", json.dumps(letter["args"]) if letter["args"] else ""
    yield "correlation", letter["correlation_id"]
    if letter["settled_at"] is not None:
        when = f"{_times.clock(letter['settled_at'], moment)} UTC"
        yield "settled", f"{letter['state']} by {letter['settled_by']}, {when}"
        yield "as run", str(letter["replay_run_id"] or "")
