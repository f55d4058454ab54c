"""Who did what: one row for every act, written in the transaction of the act where that is in the ledger."""

from __future__ import annotations

from dataclasses import dataclass
from typing import TYPE_CHECKING, Any

from sqlalchemy import text

from callboard.ledger.facts import dumps, readable
from observability.redaction import redact

if TYPE_CHECKING:
    from uuid import UUID

    from sqlalchemy import Connection

_INSERT = text("""
insert into board.audit (who, action, resource_type, resource_id, team_id, why, ip, agent, detail)
values (:who, :action, :resource_type, :resource_id, :team_id, :why, :ip, :agent, cast(:detail as jsonb))
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


def audit(
    connection: Connection,
    who: Who,
    action: str,
    resource: tuple[str, object],
    *,
    why: str = "",
    detail: dict[str, Any] | None = None,
) -> None:
    """Write that somebody did something.

    Args:
        connection: Inside the transaction of the act.
        who: Who asked for it.
        action: What, as `<thing>.<verb>`: `dead_letter.replay`.
        resource: What it was done to: its type and its id or name.
        why: The reason that was given.
        detail: More, redacted before it is written.
    """
    resource_type, resource_id = resource
    given = {
        "who": who.name,
        "action": action,
        "resource_type": resource_type,
        "resource_id": str(resource_id),
        "team_id": who.team_id,
        "why": readable(why)[:_LONGEST_TEXT],
        "ip": who.ip,
        "agent": None if who.agent is None else readable(who.agent)[:_LONGEST_TEXT],
        "detail": dumps(redact(detail)) if detail else None,
    }
    connection.execute(_INSERT, given)
