"""Command groups whose listing takes a filter."""

from __future__ import annotations

import difflib
from typing import TYPE_CHECKING

from typer.core import TyperGroup

if TYPE_CHECKING:
    from typer._click import Context


class ListGroup(TyperGroup):
    """Takes `issues FILTER` for `issues list FILTER`."""

    def parse_args(self, ctx: Context, args: list[str]) -> list[str]:
        """Put `list` before what is neither a subcommand, nor nearly one, nor a request for help."""
        if args and args[0] not in (*self.commands, *ctx.help_option_names):
            close = difflib.get_close_matches(args[0], self.commands, 1, 0.75)
            if close:
                ctx.fail(
                    f"No command is called {args[0]!r}; did you mean {close[0]}? "
                    f"`{ctx.command_path} list {args[0]}` looks for the word."
                )
            args = ["list", *args]
        return super().parse_args(ctx, args)
