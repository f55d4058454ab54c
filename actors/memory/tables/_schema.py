"""What all tables of the catalogue share: the Postgres schema `memory` and a few columns that come again and again."""

from __future__ import annotations

from typing import TYPE_CHECKING

from sqlalchemy import CheckConstraint, Column, DateTime, ForeignKey, MetaData, Text, Uuid, text

if TYPE_CHECKING:
    from collections.abc import Iterable
    from typing import Any

metadata = MetaData(
    schema="memory",
    naming_convention={
        "pk": "%(table_name)s_pkey",
        "fk": "%(table_name)s_%(column_0_name)s_fkey",
        "uq": "%(table_name)s_%(column_0_N_name)s_key",
        "ix": "%(table_name)s_%(column_0_N_name)s_idx",
        "ck": "%(table_name)s_%(constraint_name)s_check",
    },
)

ENVIRONMENTS = ("development", "staging", "production")


def time(name: str, *, required: bool = False, comment: str | None = None) -> Column[Any]:
    """A point in time, UTC; a required one is the row's own moment unless told otherwise."""
    default = text("now()") if required else None
    return Column(name, DateTime(timezone=True), nullable=not required, server_default=default, comment=comment)


def one_of(column: str, words: Iterable[str]) -> CheckConstraint:
    """A check that a text is one of a few words."""
    quoted = ", ".join(f"'{word}'" for word in words)
    return CheckConstraint(f"{column} IN ({quoted})", name=column)


def tenant() -> Column[Any]:
    """Whose the row is."""
    return Column("tenant_id", Uuid, ForeignKey("memory.tenants.id"), nullable=False)


def user(*, required: bool = True) -> Column[Any]:
    """Whose the row is, within the tenant."""
    return Column("user_id", Uuid, ForeignKey("memory.users.id"), nullable=not required)


def environment() -> Column[Any]:
    """Which of the tenant's environments the row belongs to; with `one_of("environment", ENVIRONMENTS)`."""
    return Column("environment", Text, nullable=False, server_default=text("'production'"))
