"""Targets outside that are left alone."""

from __future__ import annotations

from typing import TYPE_CHECKING

from sqlalchemy.exc import SQLAlchemyError

from callboard.ledger import breakers
from callboard.ledger.database import transaction
from cli.check._finding import ok, warning

if TYPE_CHECKING:
    from collections.abc import Iterator

    from cli.check._finding import Finding

_NAME = "breakers"
_MOST = 10


def checks() -> Iterator[Finding]:
    """One finding for each breaker that is not closed, the longest open first; at most ten."""
    try:
        with transaction() as connection:
            found = [row for row in breakers.listing(connection, unwell=True) if row["state"] != "closed"]
    except (SQLAlchemyError, LookupError):  # the database's own check tells of it
        return
    for row in found[:_MOST]:
        mend = f"mend it, or wait for the next probe; callboard breakers reset {row['key']} lets calls through now."
        since = f"{row['unwell_since']:%Y-%m-%d %H:%M} UTC"
        yield warning(_NAME, f"{row['key']} is left alone since {since}: {row['last_error']}", mend)
    if len(found) > _MOST:
        yield warning(_NAME, f"{len(found) - _MOST} more targets are left alone", "callboard breakers lists them.")
    if not found:
        yield ok(_NAME, "no target outside is left alone")
