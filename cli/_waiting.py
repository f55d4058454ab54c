"""Why a run does not run, for the pages that show one run."""

from __future__ import annotations

from contextlib import suppress
from typing import TYPE_CHECKING, Any

from callboard.errors import DeclarationError
from callboard.loading import load_actors
from callboard.settings import get_settings
from callboard.surroundings import facts_about
from callboard.waiting import Explanation, reasons
from cli._ids import short

if TYPE_CHECKING:
    from datetime import datetime

    from sqlalchemy import Connection, RowMapping


def why(connection: Connection, run: RowMapping, moment: datetime) -> tuple[Explanation, ...]:
    """What keeps the run from running; nothing is asked of anybody for one that has ended."""
    if run["state"] not in ("pending", "running"):
        return ()
    with suppress(DeclarationError):  # a page is wanted most when something is broken; the row tells the limit too
        load_actors(get_settings())
    return reasons(facts_about(connection, run, now=moment, name=short(run["id"])))


def as_json(found: tuple[Explanation, ...]) -> list[dict[str, Any]]:
    """The reasons as JSON, what holds the run now first."""
    return [{"kind": one.kind, "text": one.text, "command": one.command, "until": one.until} for one in found]
