"""What a tenant may still spend on language models today: `tenant_settings.token_budget` against `tenant_tokens`.

Days are UTC's. Calls that run at the same time may overshoot the budget by what each of them uses, since a call's cost
is known when it is over; tokens of a call whose worker dies before they are written are not counted.
"""

from __future__ import annotations

from typing import TYPE_CHECKING

from sqlalchemy import text

from callboard import PermanentError

if TYPE_CHECKING:
    from datetime import date
    from uuid import UUID

    from sqlalchemy import Connection

_LEFT = text("""
select s.token_budget - coalesce(t.tokens, 0)
from memory.tenant_settings s
left join memory.tenant_tokens t on t.tenant_id = s.tenant_id and t.day = :day
where s.tenant_id = :tenant_id
""")
_SPEND = text("""
insert into memory.tenant_tokens as t (tenant_id, day, tokens) values (:tenant_id, :day, :tokens)
on conflict (tenant_id, day) do update set tokens = t.tokens + excluded.tokens
""")


class BudgetSpent(PermanentError):  # noqa: N818 - the outcome's name
    """The tenant's tokens of today are used up; nothing was asked."""

    def __init__(self, tenant_id: UUID, day: date) -> None:
        super().__init__(
            f"Tenant {tenant_id} has used up its tokens of {day}: wait for the next UTC day, or raise token_budget in "
            "memory.tenant_settings."
        )


def tokens_left(connection: Connection, tenant_id: UUID, day: date) -> int | None:
    """Tokens that the tenant may still use that day; 0 or below: none; None: no limit."""
    left: int | None = connection.scalar(_LEFT, {"tenant_id": tenant_id, "day": day})
    return left


def spend(connection: Connection, tenant_id: UUID, day: date, tokens: int) -> None:
    """Add what a call used."""
    connection.execute(_SPEND, {"tenant_id": tenant_id, "day": day, "tokens": tokens})
