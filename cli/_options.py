"""Options that several commands share."""

from __future__ import annotations

import getpass
import os
from typing import TYPE_CHECKING, Annotated, Any, NoReturn

import typer

from cli._times import parse_age

if TYPE_CHECKING:
    from datetime import timedelta

    from callboard.operations import Who

AsJson = Annotated[bool, typer.Option("--json", help="Print one JSON array instead of a table.")]
Limit = Annotated[int, typer.Option("--limit", "-n", metavar="N", min=1, help="Print at most so many.")]
Why = Annotated[str, typer.Option("--why", metavar="TEXT", help="The reason, for the audit log.")]
Args = Annotated[
    list[str] | None,
    typer.Option(
        "--arg", metavar="KEY=VALUE", help="An argument of the job: JSON if it is, else text. May be repeated."
    ),
]


def application(**options: Any) -> typer.Typer:  # noqa: ANN401 - Typer's own options
    """The Typer application of one command or group: plain help, as the whole has."""
    ours = {
        "rich_markup_mode": None,
        "add_completion": False,
        "pretty_exceptions_enable": False,
        "context_settings": {"help_option_names": ["-h", "--help"], "max_content_width": 100},
    }
    return typer.Typer(**ours | options)


def age(text: str | None, option: str) -> timedelta | None:
    """The age that an option gives.

    Raises:
        typer.BadParameter: It is not written like one.
    """
    if text is None:
        return None
    try:
        return parse_age(text)
    except ValueError as error:
        raise typer.BadParameter(str(error), param_hint=option) from None


def operator() -> str:
    """Who sits at the keyboard, as the ledger remembers it: `cli:anna`."""
    try:
        return f"cli:{getpass.getuser()}"
    except (OSError, KeyError):  # an id without an account, as in some containers
        return f"cli:uid-{os.getuid()}"


def who() -> Who:
    """The same, as what acts are asked for by."""
    from callboard.operations import Who  # noqa: PLC0415 - only commands that act need it

    return Who(operator())


def usage(message: str) -> NoReturn:
    """End the command for a wrong use of it.

    Raises:
        typer.BadParameter: Always.
    """
    raise typer.BadParameter(message)
