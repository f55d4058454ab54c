"""The application: its options, and how every error becomes one line and an exit code."""

from __future__ import annotations

import os
import re
import sys
from importlib import import_module
from typing import TYPE_CHECKING, Annotated

import typer
from typer._click.utils import PacifyFlushWrapper
from typer.exceptions import TyperException

from cli import board
from cli._commands import COMMANDS
from cli._lazy import LazyGroup
from cli._options import application

if TYPE_CHECKING:
    from collections.abc import Sequence

_NEGATED = re.compile(r"-[a-z]+:.")

app = application(cls=LazyGroup, name="callboard", no_args_is_help=True, add_completion=True)


def _print_version(wanted: bool) -> None:  # noqa: FBT001 - Typer's signature
    if wanted:
        from importlib.metadata import version  # noqa: PLC0415 - needed by this option only

        typer.echo(f"callboard {version('callboard')}")
        raise typer.Exit


@app.callback(epilog="Exit codes and every option: docs/reference/commands.md")
def _root(
    context: typer.Context,
    *,
    api: Annotated[
        str | None,
        typer.Option("--api", metavar="URL", envvar="CALLBOARD_API_URL", help="Act on the board behind this API."),
    ] = None,
    key: Annotated[
        str | None,
        typer.Option("--key", metavar="KEY", envvar="CALLBOARD_API_KEY", help="The API key; better in the variable."),
    ] = None,
    version: Annotated[  # noqa: ARG001 - its callback prints it
        bool, typer.Option("--version", callback=_print_version, is_eager=True, help="Print the version and end.")
    ] = False,
) -> None:
    """Background jobs on Dramatiq: run them, see them, repair them."""
    board.use(*_far(context, api, key))


def _far(context: typer.Context, api: str | None, key: str | None) -> tuple[str | None, str | None]:
    """The API that this command acts on; the variable means nothing to what starts on this machine."""
    name = context.invoked_subcommand or ""
    entry = COMMANDS.get(name)
    if api is None or entry is None or entry.far == "works":
        return api, key
    if entry.far == "here" and getattr(context.get_parameter_source("api"), "name", "") == "ENVIRONMENT":
        return None, None
    raise typer.BadParameter(
        f"callboard {name} does not work over an API; run it where the board is, without --api and CALLBOARD_API_URL"
    )


def execute(argv: Sequence[str]) -> int:
    """Run one command line and return its exit code (`callboard.exits`); an error is one line on stderr."""
    command = typer.main.get_command(app)
    try:
        code = command.main(args=_readable(argv), prog_name="callboard", standalone_mode=False)
    except TyperException as error:
        return _usage(error, argv)
    except typer.Abort:
        return _complain("stopped: nothing was done.", 130)
    except SystemExit:
        if not isinstance(sys.stdout, PacifyFlushWrapper):  # Typer puts it there when it meets a closed pipe
            raise
        return _pipe_closed()
    except Exception as error:  # noqa: BLE001 - what it means is decided in one place
        if import_module("cli._signals").was_interrupted(error):
            return _complain("stopped.", 130)
        line, exit_code = import_module("cli._errors").explain(error)
        return _complain(line, exit_code)
    return code if isinstance(code, int) else 0


def _readable(argv: Sequence[str]) -> list[str]:
    """The words, so that one of a filter that begins with a minus (`-queue:mail`) is not taken for options."""
    return [f" {word}" if _NEGATED.match(word) else word for word in argv]


def _usage(error: TyperException, argv: Sequence[str]) -> int:
    context = getattr(error, "ctx", None)
    place = context.command_path if context is not None else "callboard"
    message = error.format_message()
    if type(error).__name__ == "NoArgsIsHelpError":  # its message is the help itself
        typer.echo(message, err=True)
        return error.exit_code
    hint = "" if "; " in message else f"; see `{place} --help`."
    if "unexpected extra argument" in message and context is not None and _takes_arg(context):
        hint = "; an argument of the job is given as --arg KEY=VALUE."
    return _complain(message.removeprefix("Invalid value: ").rstrip(".") + _given(error, argv) + hint, error.exit_code)


def _takes_arg(context: typer.Context) -> bool:
    return any(one.name == "arg" for one in context.command.params)


def _given(error: TyperException, argv: Sequence[str]) -> str:
    """The value that an option refused; Typer's own message does not name it."""
    for name in getattr(getattr(error, "param", None), "opts", ()):
        if name in argv[:-1] and name.startswith("-"):
            return f", not {argv[list(argv).index(name) + 1]!r}"
    return ""


def _complain(line: str, exit_code: int) -> int:
    typer.echo(f"callboard: {line}", err=True)
    return exit_code


def _pipe_closed() -> int:
    """Whoever read our output has seen enough, as `head` does; that is no failure."""
    os.dup2(os.open(os.devnull, os.O_WRONLY), sys.stdout.fileno())  # else Python complains when it flushes at exit
    return 0


def main() -> None:
    """The console script `callboard`."""
    sys.exit(execute(sys.argv[1:]))
