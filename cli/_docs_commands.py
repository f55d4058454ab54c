"""docs/reference/commands.md: every command with its options, and the exit codes."""

from __future__ import annotations

from typing import TYPE_CHECKING

import typer
from typer.core import TyperGroup

from callboard.exits import Exit
from cli._app import app
from cli._commands import COMMANDS
from cli._markdown import page, table

if TYPE_CHECKING:
    from collections.abc import Iterator

    from typer._click import Command, Context

_INTRODUCTION = (
    "Listings print a table for people and, with `--json`, one array for programs: keys do not change, times are ISO "
    "8601 in UTC, durations are in seconds. Errors are one line on stderr. A run's id may be shortened to its first 4 "
    "or more characters. `callboard COMMAND --help` says what this page says."
)


_FAR = (
    "`callboard --api URL COMMAND`, with the key in `CALLBOARD_API_KEY`, acts on the board behind a console's API, as "
    "whose the key is: it needs no database, broker or job here. `CALLBOARD_API_URL` says the same as `--api`. The key "
    "can be given as `--key` too, but then other users of the machine can see it. Tables, JSON and exit codes are the "
    "same; a refused key is exit code 1, an API that does not answer 5."
)


def _far() -> Iterator[str]:
    """Which commands work over an API."""
    for far, told in (("works", "These work so"), ("refuses", "These do not, and say so")):
        names = ", ".join(f"`{name}`" for name, entry in COMMANDS.items() if entry.far == far)
        yield f"{told}: {names}."
    yield (
        "Of these, `run JOB`, `queues delayed`, `queues drop` and `dead-letters show --payload` work only where the "
        "board is; so do `users password`, `users link` and `keys create`, for no key may give somebody a way in. The "
        "other commands are of the machine that they run on, and refuse `--api`."
    )


def commands_page() -> str:
    """The text of the page."""
    root = typer.main.get_command(app)
    context = typer.Context(root, info_name="callboard")
    parts = [
        _INTRODUCTION,
        "## Exit codes",
        table(["Code", "Meaning"], ([str(code.value), code.meaning] for code in Exit)),
    ]
    parts += ["## Over an API", _FAR, *_far()]
    assert isinstance(root, TyperGroup)  # noqa: S101 - for the type checker
    for section in dict.fromkeys(entry.section for entry in COMMANDS.values()):
        parts.append(f"## {section}")
        for name, entry in COMMANDS.items():
            if entry.section == section and not entry.hidden:
                command = root.get_command(context, name)
                assert command is not None  # noqa: S101 - the table names it
                parts += _describe(command, context, name)
    parts.append(
        "`python -m actors JOB [--arg KEY=VALUE]...` does what `callboard run JOB` does, with the same exit codes."
    )
    return page("Commands", "python -m cli.docs", parts)


def _describe(command: Command, parent: Context, name: str) -> Iterator[str]:
    context = typer.Context(command, info_name=name, parent=parent)
    usage = " ".join([context.command_path, *command.collect_usage_pieces(context)])
    yield f"### `{context.command_path}`"
    yield f"```text\n{usage}\n```"
    yield (command.help or "").replace("\b", "").strip()
    records = [record for param in command.params if (record := param.get_help_record(context)) is not None]
    if records:
        yield table(["Option", "Meaning"], ([f"`{option.strip()}`", meaning] for option, meaning in records))
    if isinstance(command, TyperGroup):
        for child in command.list_commands(context):
            found = command.get_command(context, child)
            if found is not None and not found.hidden:
                yield from _describe(found, context, child)
