"""Queries on `board.audit`: who did what, one row for every act."""

from __future__ import annotations

from dataclasses import dataclass
from typing import TYPE_CHECKING, Any
from uuid import UUID

from sqlalchemy import text

from callboard.ledger.facts import dumps, readable
from observability.redaction import redact, redact_text

if TYPE_CHECKING:
    from collections.abc import Iterable, Sequence

    from sqlalchemy import Connection, RowMapping

_INSERT = text("""
insert into board.audit (who, action, resource_type, resource_id, team_id, why, ip, agent, detail)
values (:who, :action, :resource_type, :resource_id, :team_id, :why, :ip, :agent, cast(:detail as jsonb))
""")
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
_LONGEST_TEXT = 500


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


def named(connection: Connection, rows: Sequence[RowMapping]) -> list[dict[str, Any]]:
    """Rows with `who_name`, how people know whoever did it: the address where there is one."""
    told = names(connection, (row["who"] for row in rows))
    return [dict(row) | {"who_name": told.get(row["who"], row["who"])} for row in rows]


def names(connection: Connection, whos: Iterable[str]) -> dict[str, str]:
    """How people know those who are named by an id, of audit rows as of triggers; others are not in it."""
    ids = [found for who in set(whos) if (found := _id_in(who)) is not None]
    if not ids:
        return {}
    return {str(row.who): str(row.name) for row in connection.execute(_NAMES, {"ids": ids})}


def whose(connection: Connection, email: str) -> Sequence[str]:
    """What rows have in `who` for the person of that address, and for their keys."""
    return connection.execute(_WHOSE, {"email": email}).scalars().all()


def _id_in(who: str) -> UUID | None:
    if not who.startswith(("manual:user:", "manual:api_key:")):
        return None
    try:
        return UUID(who.rpartition(":")[2])
    except ValueError:
        return None
