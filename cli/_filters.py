"""What the listings that take a filter have in common."""

from __future__ import annotations

from typing import TYPE_CHECKING

from callboard.filters import FIELDS
from cli import _times
from cli._output import say

if TYPE_CHECKING:
    from callboard.filters import Resource
    from callboard.ledger.pages import Page


def keys(resource: Resource) -> str:
    """For the end of a command's help: what can stand in its filter."""
    return f"Keys of a filter: {', '.join(key for key in FIELDS[resource] if key != 'text')}; see filters.md."


def say_more(page: Page) -> None:
    """Say on stderr how to see what a listing left out, if it did."""
    if page.next is None:
        return
    until = page.searched_until
    searched = "" if until is None else f"Searched back to {_times.clock(until, _times.now())} UTC. "
    say(f"{searched}More: the same with --cursor {page.next}", stderr=True)
