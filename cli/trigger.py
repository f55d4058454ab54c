"""`callboard trigger`."""

import time
from typing import Annotated, Any
from uuid import UUID

import typer
from dramatiq.errors import BrokerConnectionError
from redis import RedisError

from callboard.arguments import parse_arguments
from callboard.errors import DuplicateRun
from callboard.exits import Exit
from cli._ids import short
from cli._options import Args, application, usage
from cli._output import say
from cli._watch import watch
from cli.board import board

app = application()

_CODES = {"completed": Exit.OK, "cancelled": Exit.CANCELLED}


@app.command()
def trigger(
    name: Annotated[str, typer.Argument(metavar="JOB", help="Name of the job.")],
    *,
    arg: Args = None,
    wait: Annotated[bool, typer.Option("--wait", "-w", help="Show its progress, and exit by its outcome.")] = False,
    notify: Annotated[
        list[str] | None, typer.Option(metavar="MAIL", help="Address to tell when it is done. May be repeated.")
    ] = None,
) -> None:
    """Ask the workers to run a job now."""
    run_id = _ask(name, parse_arguments(arg or ()), tuple(_address(text) for text in notify or ()))
    if not wait:
        say(f"{name} is asked for: callboard run show {short(run_id)}")
        return
    ended = _wait(run_id)
    raise typer.Exit(_CODES.get(ended["state"], Exit.FAILED))


def _address(text: str) -> str:
    if "@" not in text:
        usage(f"--notify {text!r} is no mail address: write it like ops@example.org")
    return text


def _ask(name: str, arguments: dict[str, Any], notify: tuple[str, ...]) -> UUID:
    try:
        return board().trigger(name, arguments, notify)
    except DuplicateRun as error:
        say(f"callboard run show {short(error.existing)} shows the run that is already there.", stderr=True)
        raise
    except (RedisError, BrokerConnectionError):
        say("The run is in the ledger; the scheduler hands it to the broker once that is back.", stderr=True)
        raise


def _wait(run_id: UUID) -> dict[str, Any]:
    began = time.monotonic()
    try:
        return watch(run_id)
    except KeyboardInterrupt:
        say(f"\nNot waiting any longer, after {time.monotonic() - began:.0f} s; the run goes on: "
            f"callboard run show {short(run_id)}, or callboard cancel {short(run_id)}", stderr=True)  # fmt: skip
        raise
