"""A command group that imports a command's module when that command is asked for."""

from __future__ import annotations

import difflib
from importlib import import_module
from typing import TYPE_CHECKING

import typer
from typer.core import TyperGroup

from cli._commands import COMMANDS

if TYPE_CHECKING:
    from typer._click import Command, Context, HelpFormatter


class LazyGroup(TyperGroup):
    """The commands of `COMMANDS`: the help of the whole needs no module of a command."""

    def list_commands(self, ctx: Context) -> list[str]:  # noqa: ARG002 - Typer's signature
        """The names, in the order of the table."""
        return list(COMMANDS)

    def get_command(self, ctx: Context, cmd_name: str) -> Command | None:  # noqa: ARG002 - Typer's signature
        """Import the command's module and build the command, once."""
        entry = COMMANDS.get(cmd_name)
        if entry is None:
            return None
        if cmd_name not in self.commands:
            command = typer.main.get_command(import_module(entry.module).app)
            command.name, command.hidden = cmd_name, entry.hidden
            self.commands[cmd_name] = command
        return self.commands[cmd_name]

    def format_commands(self, ctx: Context, formatter: HelpFormatter) -> None:  # noqa: ARG002 - Typer's signature
        """The commands under the headings of the table."""
        width = max(map(len, COMMANDS))
        for section in dict.fromkeys(entry.section for entry in COMMANDS.values()):
            rows = [
                (name.ljust(width), entry.summary)
                for name, entry in COMMANDS.items()
                if entry.section == section and not entry.hidden
            ]
            with formatter.section(section):
                formatter.write_dl(rows)

    def resolve_command(self, ctx: Context, args: list[str]) -> tuple[str | None, Command | None, list[str]]:
        """Find the command; an unknown one is answered with those that are close."""
        if args and args[0] not in COMMANDS and not args[0].startswith("-"):
            close = difflib.get_close_matches(args[0], COMMANDS, 2)
            hint = f"did you mean {' or '.join(close)}?" if close else "`callboard --help` lists the commands."
            ctx.fail(f"No command is called {args[0]!r}; {hint}")
        return super().resolve_command(ctx, args)
