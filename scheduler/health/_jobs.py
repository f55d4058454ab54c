"""When jobs do badly: too many retries waiting, too many errors of one class, too many refused credentials."""

from __future__ import annotations

from itertools import chain
from typing import TYPE_CHECKING

from callboard.ledger import job_health
from callboard.ledger.issues import Sighting

if TYPE_CHECKING:
    from collections.abc import Iterable, Iterator

    from sqlalchemy import Connection, RowMapping

    from callboard.settings import Settings

_MOST_SOURCES = 3


def sightings(connection: Connection, settings: Settings) -> Iterator[Sighting]:
    """What is beyond its bounds now."""
    yield from _retries(job_health.retrying(connection, most=settings.health_retries_critical + 1), settings)
    low, high = settings.health_errors_per_hour_warning, settings.health_errors_per_hour_critical
    for row in job_health.errors_of_an_hour(connection, least=low):
        name, count = row["error_type"], row["failures"]
        title = f"{count} attempts failed with {name} within an hour{_sources([row])}"
        yield Sighting(f"error:{name}", _severity(count, high), title)
    yield from _authentication(connection, settings)


def _retries(count: int, settings: Settings) -> Iterator[Sighting]:
    if count > settings.health_retries_warning:
        high = settings.health_retries_critical
        told = f"more than {high}" if count > high else str(count)
        yield Sighting("retries", _severity(count, high), f"{told} runs wait for a retry")


def _authentication(connection: Connection, settings: Settings) -> Iterator[Sighting]:
    rows = job_health.authentication_of_an_hour(connection)
    total = sum(row["failures"] for row in rows)
    if total > settings.health_authentication_per_hour:
        title = f"{total} credentials were refused within an hour{_sources(rows)}"
        yield Sighting("authentication", "warning", title)
    low, high = settings.health_account_authentication_warning, settings.health_account_authentication_critical
    for row in rows:
        scope, count = row["scope"], row["failures"]
        if scope and count > low:
            title = f"the credential of {scope} was refused {count} times within an hour{_sources([row])}"
            yield Sighting(f"authentication:{scope}", _severity(count, high), title)


def _sources(rows: Iterable[RowMapping]) -> str:
    """The issues behind a count, as every listing takes them for a filter; the newest ones if there are many."""
    found = sorted(set(chain.from_iterable(row["issues"] or () for row in rows)), reverse=True)
    named = [f"issue:{issue}" for issue in found[:_MOST_SOURCES]]
    if more := found[_MOST_SOURCES:]:
        named.append(f"{len(more)} more")
    return f" ({', '.join(named)})" if named else ""


def _severity(count: int, critical: int) -> str:
    return "critical" if count > critical else "warning"
