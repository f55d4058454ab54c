"""The other product: teams with projects and apps, their users, and what the apps told, by month."""

from __future__ import annotations

from datetime import UTC, datetime, timedelta
from typing import TYPE_CHECKING

from psycopg import sql

from sandbox.company._copy import copy
from sandbox.company._people import uuid
from sandbox.company._sealing import Sealer
from sandbox.company._words import company, topic
from sandbox.company.credentials import API_KEY

if TYPE_CHECKING:
    import random
    from collections.abc import Iterator
    from uuid import UUID

    from psycopg import Connection

    from sandbox.company._plan import Plan

_TABLES = ("events", "metric_events", "funnel_events")
_USERS, _TEAMS, _MONTHS = 45, 4, 3
_LEVELS = ("info", "info", "info", "warn", "error")
_STEPS = ("opened", "signed_up", "tried", "paid")


def write_revenue(connection: Connection, plan: Plan, rng: random.Random) -> int:
    """Four teams, the last one deleted eight days ago; returns how many events there are in all tables."""
    create_partitions(connection, plan.now)
    apps = [_write_team(connection, plan, rng, number) for number in range(_TEAMS)]
    written = 0
    for table, part in zip(_TABLES, (0.8, 0.1, 0.1), strict=True):
        rows = _events(table, plan, rng, apps, int(plan.events * part))
        written += copy(connection, f"revenue.{table}", ("id", "timestamp", "app_id", *_COLUMNS[table]), rows)
    return written


def create_partitions(connection: Connection, now: datetime) -> None:
    """Of the months from three ago to the next one, where they are missing."""
    month = now.astimezone(UTC).year * 12 + now.astimezone(UTC).month - 1
    for number in range(month - _MONTHS, month + 2):
        first, end = (datetime(each // 12, each % 12 + 1, 1, tzinfo=UTC) for each in (number, number + 1))
        for table in _TABLES:
            statement = "create table if not exists {} partition of {} for values from ({}) to ({})"
            names = sql.Identifier("revenue", f"{table}_{first:%Y_%m}"), sql.Identifier("revenue", table)
            bounds = sql.Literal(first.isoformat()), sql.Literal(end.isoformat())
            connection.execute(sql.SQL(statement).format(*names, *bounds))


def _write_team(connection: Connection, plan: Plan, rng: random.Random, number: int) -> UUID:
    """Returns its app."""
    team, project, app = uuid(rng), uuid(rng), uuid(rng)
    gone = plan.now - timedelta(days=8) if number == _TEAMS - 1 else None
    born = plan.now - timedelta(days=300)
    name = company(rng)
    copy(connection, "revenue.teams", ("id", "name", "created_at", "deleted_at"), [(team, name, born, gone)])
    copy(connection, "revenue.team_members", ("team_id", "user_id", "role"), [(team, uuid(rng), "owner")])
    copy(
        connection, "revenue.projects", ("id", "team_id", "name", "created_at"), [(project, team, f"{name} app", born)]
    )
    copy(connection, "revenue.apps", ("id", "project_id", "name", "created_at"), [(app, project, "iOS", born)])
    copy(
        connection,
        "revenue.api_keys",
        ("id", "team_id", "app_id", "name", "key_hash"),
        [(uuid(rng), team, app, "client", f"{rng.getrandbits(256):064x}")],
    )
    columns = ("id", "project_id", "user_id", "is_anonymous", "first_seen_at", "last_seen_at")
    copy(connection, "revenue.app_users", columns, _app_users(plan, rng, project))
    if plan.outside:
        sealed = Sealer(plan.secret_key).seal(API_KEY.encode())
        facts = ("id", "project_id", "provider", "api_key")
        copy(connection, "revenue.integrations", facts, [(uuid(rng), project, "revenuecat", sealed)])
    return app


def _app_users(plan: Plan, rng: random.Random, project: UUID) -> Iterator[tuple[object, ...]]:
    for number in range(_USERS):
        first = plan.now - timedelta(days=rng.uniform(1, 300))
        anonymous = number % 9 == 8  # noqa: PLR2004 - one in nine
        name = f"$RCAnonymousID:{rng.getrandbits(128):032x}" if anonymous else f"user-{rng.getrandbits(32):08x}"
        yield uuid(rng), project, name, anonymous, first, plan.now - (plan.now - first) * rng.random()


_COLUMNS = {
    "events": ("session_id", "user_id", "level", "message", "properties", "client_event_id"),
    "metric_events": ("metric_slug", "tracking_id", "phase", "duration_seconds"),
    "funnel_events": ("step", "user_id"),
}


def _events(table: str, plan: Plan, rng: random.Random, apps: list[UUID], number: int) -> Iterator[tuple[object, ...]]:
    """Over 90 days, the oldest first."""
    for place in range(number):
        at = plan.now - timedelta(days=90 * (1 - (place + rng.random()) / number))
        yield uuid(rng), at, rng.choice(apps), *_facts(table, rng)


def _facts(table: str, rng: random.Random) -> tuple[object, ...]:
    user = f"user-{rng.randrange(_USERS)}"
    if table == "events":
        level, message = rng.choice(_LEVELS), f"{topic(rng)} opened"
        return uuid(rng), user, level, message, {"version": f"1.{rng.randrange(9)}"}, uuid(rng)
    if table == "metric_events":
        return topic(rng), uuid(rng), "complete", round(rng.expovariate(2), 3)
    return rng.choice(_STEPS), user
