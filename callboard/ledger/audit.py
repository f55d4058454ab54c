"""Queries on `board.audit`: who did what, one row for every act."""

from __future__ import annotations

from dataclasses import dataclass
from datetime import UTC, datetime
from typing import TYPE_CHECKING, Any, cast
from uuid import UUID

from sqlalchemy import select, text, tuple_

from callboard.ledger import _cursor, account_tables
from callboard.ledger.facts import dumps, readable
from observability.redaction import redact, redact_text

if TYPE_CHECKING:
    from collections.abc import Iterable, Sequence
    from datetime import timedelta

    from sqlalchemy import ColumnElement, Connection

_INSERT = text("""
insert into board.audit (who, action, resource_type, resource_id, team_id, why, ip, agent, detail)
values (:who, :action, :resource_type, :resource_id, :team_id, :why, :ip, :agent, cast(:detail as jsonb))
""")
# People are known by their address: what they did themselves, and what their keys did.
_WHOSE = text("""
select 'manual:user:' || id from board.users where lower(email) = lower(:email)
union all
select 'manual:api_key:' || k.id from board.api_keys k join board.users u on u.id = k.user_id
where lower(u.email) = lower(:email)
""")
_NAMES = text("""
select 'manual:user:' || id as who, email as name from board.users where id = any(:ids)
union all
select 'manual:api_key:' || k.id, u.email || ', key ' || k.name
from board.api_keys k join board.users u on u.id = k.user_id where k.id = any(:ids)
""")
_ROWS = account_tables.audit.c
_RESOURCE, _LONGEST_TEXT = "audit", 500


@dataclass(frozen=True, slots=True)
class Who:
    """Who asks: `cli:anna`, `manual:user:<id>`, `manual:api_key:<id>`; a run keeps the same word as its trigger.

    `ip` and `agent` are of the request that brought it, None on a command line; `team_id` is on whose behalf.
    """

    name: str
    ip: str | None = None
    agent: str | None = None
    team_id: UUID | None = None


def write(
    connection: Connection,
    who: Who,
    action: str,
    resource: tuple[str, object],
    *,
    why: str = "",
    detail: dict[str, Any] | None = None,
) -> None:
    """Write a row; the parameters are those of `callboard.operations.audit`."""
    resource_type, resource_id = resource
    given = {
        "who": who.name,
        "action": action,
        "resource_type": resource_type,
        "resource_id": str(resource_id),
        "team_id": who.team_id,
        "why": redact_text(readable(why))[:_LONGEST_TEXT],
        "ip": who.ip,
        "agent": shortened(who.agent),
        "detail": dumps(redact(detail)) if detail else None,
    }
    connection.execute(_INSERT, given)


def shortened(text: str | None) -> str | None:
    """What a client says of itself, as it is kept."""
    return None if text is None else redact_text(readable(text))[:_LONGEST_TEXT]


@dataclass(frozen=True, kw_only=True)
class Filter:
    """Which rows are meant: those that fit all that is given.

    `who` is a word as the rows have it, or an address: of that person and their keys. An action that ends in a dot
    stands for all that begin so: `dead_letter.`.
    """

    who: str | None = None
    action: str | None = None
    resource_type: str | None = None
    resource_id: str | None = None
    team_id: UUID | None = None
    older_than: timedelta | None = None
    newer_than: timedelta | None = None

    def where(self, now: datetime) -> list[ColumnElement[bool]]:
        """The conditions but `who`, for a query on the table; ages are counted from `now`."""
        found: list[ColumnElement[bool]] = [
            _ROWS[name] == (readable(value) if isinstance(value, str) else value)
            for name in ("resource_type", "resource_id", "team_id")
            if (value := getattr(self, name)) is not None
        ]
        if self.action is not None:
            action = readable(self.action)
            begins = _ROWS.action.startswith(action, autoescape=True)
            found.append(begins if action.endswith(".") else _ROWS.action == action)
        if self.older_than is not None:
            found.append(_ROWS.at < now - self.older_than)
        if self.newer_than is not None:
            found.append(_ROWS.at >= now - self.newer_than)
        return found


@dataclass(frozen=True, slots=True)
class Entry:
    """One act; `who_name` is how people know whoever did it, the address where there is one."""

    id: int
    at: datetime
    who: str
    who_name: str
    action: str
    resource_type: str
    resource_id: str
    team_id: UUID | None
    why: str
    ip: str | None
    agent: str | None
    detail: dict[str, Any] | None


@dataclass(frozen=True, slots=True)
class Page:
    """Some rows, newest first; `next` is the cursor of those that follow."""

    rows: Sequence[Entry]
    next: str | None
    has_more: bool


def page(connection: Connection, chosen: Filter, *, cursor: str | None = None, limit: int = 50) -> Page:
    """The rows that fit, newest first, from a cursor on.

    Raises:
        FilterError: The cursor is none that a page gave.
    """
    place = None if cursor is None else _cursor.read(cursor, _RESOURCE, (datetime, int))
    now = datetime.now(UTC) if place is None else place.now
    conditions = chosen.where(now)
    if chosen.who is not None:
        conditions.append(_ROWS.who.in_(_whose(connection, readable(chosen.who))))
    if place is not None:
        conditions.append(tuple_(_ROWS.at, _ROWS.id) < tuple_(*place.key))
    query = select(account_tables.audit).where(*conditions).order_by(_ROWS.at.desc(), _ROWS.id.desc()).limit(limit + 1)
    found = connection.execute(query).mappings().all()
    told = names(connection, (row["who"] for row in found))
    rows = [Entry(**row, who_name=told.get(row["who"], row["who"])) for row in found[:limit]]
    if len(found) <= limit:
        return Page(rows, None, has_more=False)
    return Page(rows, _cursor.Cursor(now, (rows[-1].at, rows[-1].id)).text(_RESOURCE), has_more=True)


def names(connection: Connection, whos: Iterable[str]) -> dict[str, str]:
    """How people know those who are named by an id, of audit rows as of triggers; others are not in it."""
    ids = [found for who in set(whos) if (found := _id_in(who)) is not None]
    if not ids:
        return {}
    return {str(row.who): str(row.name) for row in connection.execute(_NAMES, {"ids": ids})}


def _whose(connection: Connection, who: str) -> Sequence[str]:
    if "@" not in who or ":" in who:
        return [who]
    return cast("Sequence[str]", connection.execute(_WHOSE, {"email": who}).scalars().all())


def _id_in(who: str) -> UUID | None:
    if not who.startswith(("manual:user:", "manual:api_key:")):
        return None
    try:
        return UUID(who.rpartition(":")[2])
    except ValueError:
        return None
