"""Tenants, their settings and users, and the users' sign-ins."""

from __future__ import annotations

from dataclasses import dataclass
from datetime import datetime, timedelta
from typing import TYPE_CHECKING
from uuid import UUID

from sandbox.company._copy import copy
from sandbox.company._sealing import Sealer, UserKey
from sandbox.company._words import company, person

if TYPE_CHECKING:
    import random
    from collections.abc import Iterator

    from psycopg import Connection

    from sandbox.company._plan import Plan

_ZONES = ("Europe/Zurich", "Europe/Lisbon", "America/New_York", "Asia/Tokyo", "Australia/Lord_Howe", "UTC")
_PLANS = ("free", "free", "pro", "enterprise")
_MEMORIES_A_USER, _LEAST_USERS, _MOST_USERS = 200, 3, 50


@dataclass(frozen=True, slots=True)
class User:
    """Somebody who remembers things."""

    id: UUID
    email: str
    zone: str
    plan: str
    key: UserKey


@dataclass(frozen=True, slots=True)
class Tenant:
    """A customer with its users, two projects, and the number of memories it has."""

    id: UUID
    name: str
    zone: str
    projects: tuple[UUID | None, ...]
    users: tuple[User, ...]
    memories: int


def make_tenants(plan: Plan, rng: random.Random) -> list[Tenant]:
    """Those of the plan, and one that has nobody and nothing."""
    return [_tenant(rng, share) for share in plan.shares()] + [_tenant(rng, 0, users=0)]


def _tenant(rng: random.Random, memories: int, users: int | None = None) -> Tenant:
    name, zone = company(rng), rng.choice(_ZONES)
    number = max(_LEAST_USERS, min(_MOST_USERS, memories // _MEMORIES_A_USER)) if users is None else users
    people = tuple(_user(rng, name, zone) for _ in range(number))
    return Tenant(uuid(rng), name, zone, (None, uuid(rng), uuid(rng)), people, memories)


def _user(rng: random.Random, firm: str, zone: str) -> User:
    own = uuid(rng)
    address = f"{person(rng).lower().replace(' ', '.')}.{own.hex[:4]}@{firm.lower().replace(' ', '-')}.example"
    return User(own, address, zone if rng.random() < 0.8 else rng.choice(_ZONES), rng.choice(_PLANS), UserKey(own))  # noqa: PLR2004 - most


def write_people(connection: Connection, plan: Plan, tenants: list[Tenant], rng: random.Random) -> int:
    """Put them into the tables; returns how many users they are."""
    born, sealer = plan.now - timedelta(days=400), Sealer(plan.secret_key)
    copy(
        connection,
        "memory.tenants",
        ("id", "name", "timezone", "created_at"),
        ((each.id, each.name, each.zone, born) for each in tenants),
    )
    copy(connection, "memory.tenant_settings", ("tenant_id",), ((each.id,) for each in tenants))
    columns = ("id", "tenant_id", "email", "timezone", "plan", "data_key", "insights_dirty", "created_at")
    users = (
        (user.id, each.id, user.email, user.zone, user.plan, user.key.sealed(sealer), True, born)
        for each in tenants
        for user in each.users
    )
    written = copy(connection, "memory.users", columns, users)
    facts = (
        "id",
        "user_id",
        "device_id",
        "refresh_token_hash",
        "family_id",
        "session_type",
        "is_active",
        "is_current",
        "expires_at",
        "created_at",
    )
    people = [user for each in tenants for user in each.users]
    copy(connection, "memory.sessions", facts, (row for user in people for row in _sessions(rng, user, plan.now)))
    return written


def _sessions(rng: random.Random, user: User, now: datetime) -> Iterator[tuple[object, ...]]:
    """Good for 14 days each; the oldest have expired."""
    family = uuid(rng)
    signed_out = 7
    for age in (0.5, 6.0, 14.5, 15.0):
        start = now - timedelta(days=age)
        kind, token = rng.choice(("web", "api", "mobile", "cli")), f"{rng.getrandbits(256):064x}"
        yield (
            uuid(rng),
            user.id,
            f"device-{rng.randrange(9)}",
            token,
            family,
            kind,
            age < signed_out,
            age < 1,
            start + timedelta(days=14),
            start,
        )


def uuid(rng: random.Random) -> UUID:
    """A random one, by the seed."""
    return UUID(int=rng.getrandbits(128), version=4)
