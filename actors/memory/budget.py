"""What a tenant may still spend on language models today: `tenant_settings.token_budget` against `tenant_tokens`.

Days are UTC's. What a call costs is known when it is over: until then a guess at its prompt stands for it, committed
before anything is asked. So a call whose worker dies is counted, if only by the guess, and calls that run at the same
time see each other; they may still overshoot the budget by what their answers use.
"""

from __future__ import annotations

from contextlib import contextmanager
from datetime import UTC, datetime
from typing import TYPE_CHECKING

from sqlalchemy import text

from callboard import PermanentError, autocommit

if TYPE_CHECKING:
    from collections.abc import Iterator
    from datetime import date
    from uuid import UUID

    from sqlalchemy import Connection

#: Of English; what the model says counts once it has answered.
_BYTES_OF_A_TOKEN = 4
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


class Spending:
    """What one call uses; `tokens` is a guess until the model has told."""

    def __init__(self, *prompts: str) -> None:
        self.tokens = sum(len(prompt.encode(errors="replace")) for prompt in prompts) // _BYTES_OF_A_TOKEN + 1


@contextmanager
def spending(tenant_id: UUID, *prompts: str) -> Iterator[Spending]:
    """Around one call: the tenant pays the guess before it, and the difference after it; nothing if it fails.

    An interrupt is no failure: whatever was asked is answered, and paid for, without us.

    Raises:
        BudgetSpent: There is nothing left to spend.
    """
    day, call = datetime.now(UTC).date(), Spending(*prompts)
    guess = call.tokens
    with autocommit() as connection:
        left = tokens_left(connection, tenant_id, day)
        if left is not None and left <= 0:
            raise BudgetSpent(tenant_id, day)
        spend(connection, tenant_id, day, guess)
    try:
        yield call
    except Exception:
        call.tokens = 0
        raise
    finally:
        if call.tokens != guess:
            with autocommit() as connection:
                spend(connection, tenant_id, day, call.tokens - guess)


def spend(connection: Connection, tenant_id: UUID, day: date, tokens: int) -> None:
    """Add what a call used; less than 0: what it was thought to use, and did not."""
    connection.execute(_SPEND, {"tenant_id": tenant_id, "day": day, "tokens": tokens})
