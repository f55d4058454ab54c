"""The kinds of fields that hold people and teams, who are known by more than what a row has of them."""

from __future__ import annotations

from dataclasses import dataclass
from typing import TYPE_CHECKING, Any

from sqlalchemy import ColumnElement, String, cast, func, literal, or_, select

from callboard.filters._kinds import Text
from callboard.ledger.account_tables import api_keys, teams, users

if TYPE_CHECKING:
    from collections.abc import Sequence

    from callboard.filters._kinds import Condition, Now
    from callboard.filters._syntax import Item


@dataclass(frozen=True)
class Person(Text):
    """Whoever did something, as the row has it; an address is that person and their keys."""

    name: str = "text"

    def where(self, op: str, items: Sequence[Item], now: Now) -> Condition:
        said = super().where(op, items, now)
        emails = [func.lower(literal(item.plain)) for item in items if is_address(item.plain)]
        if not emails:
            return said
        found = func.lower(users.c.email).in_(emails)
        theirs = select(literal("manual:user:") + cast(users.c.id, String)).where(found)
        keys = select(literal("manual:api_key:") + cast(api_keys.c.id, String))
        keys = keys.join(users, users.c.id == api_keys.c.user_id).where(found)
        return or_(said, self.column.in_(theirs.union_all(keys)))


def is_address(text: str | None) -> bool:
    """Whether a person is named, not a word such as `cli:anna`."""
    return text is not None and "@" in text and ":" not in text


@dataclass(frozen=True)
class OfTeam:
    """A team, by its id or slug."""

    column: ColumnElement[Any]
    name: str = "text"

    def read(self, op: str, items: Sequence[Item]) -> tuple[Item, ...]:
        return Text(self.column).read(op, items)

    def where(self, op: str, items: Sequence[Item], now: Now) -> Condition:
        called = select(teams.c.id).where(Text(teams.c.slug).where(op, items, now))
        return or_(Text(cast(self.column, String)).where(op, items, now), self.column.in_(called))
