"""What the tables of schema `board` are made of."""

from __future__ import annotations

from sqlalchemy import CheckConstraint, Column, DateTime, MetaData, text

SCHEMA = "board"

metadata = MetaData(schema=SCHEMA)
NOW = text("now()")


def time(name: str, *, required: bool = False) -> Column[object]:
    """A moment, in UTC; a required one is the moment of writing unless it is said."""
    return Column(name, DateTime(timezone=True), nullable=not required, server_default=NOW if required else None)


def one_of(column: str, values: tuple[str, ...], name: str) -> CheckConstraint:
    """A column that holds one of a closed set."""
    return CheckConstraint(f"{column} in ({', '.join(repr(value) for value in values)})", name=name)
