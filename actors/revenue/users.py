"""The users of a project's apps, and the integration that tells of them."""

from __future__ import annotations

from dataclasses import dataclass
from typing import TYPE_CHECKING

import orjson
from sqlalchemy import text

from callboard import NotFound, PermanentError, seal, transaction, unseal

if TYPE_CHECKING:
    from collections.abc import Iterator, Mapping, Sequence
    from uuid import UUID

    from sqlalchemy import Connection, RowMapping

    from actors.revenue.properties import Change

PROVIDER = "revenuecat"
_PAGE = 500

_INTEGRATION = """
from revenue.integrations i
join revenue.projects p on p.id = i.project_id and p.deleted_at is null
join revenue.teams t on t.id = p.team_id and t.deleted_at is null
where i.provider = :provider and i.enabled and i.deleted_at is null
"""
_FIND = text(f"select i.api_key, i.settings {_INTEGRATION} and i.project_id = :project_id")
_PROJECTS = text(f"select i.project_id {_INTEGRATION} order by i.project_id")
_CONNECT = text("""
insert into revenue.integrations (project_id, provider, api_key, settings)
values (:project_id, :provider, :api_key, cast(:settings as jsonb))
on conflict (project_id, provider) where deleted_at is null
do update set api_key = excluded.api_key, settings = excluded.settings, enabled = true
""")
# A new connection makes a new row; the key is of no use any more and must not wait for the cleanup.
_DISCONNECT = text("""
update revenue.integrations set enabled = false, deleted_at = now(), api_key = ''::bytea
where project_id = :project_id and provider = :provider and deleted_at is null
""")
_NAMED = text("""
select id, name from revenue.projects where deleted_at is null and (id::text = lower(:word) or name = :word) order by id
""")
_LIST = text("""
select i.project_id, p.name as project, t.name as team, i.provider, i.enabled,
       coalesce(i.settings->>'project_id', '') as provider_project, i.created_at
from revenue.integrations i
join revenue.projects p on p.id = i.project_id and p.deleted_at is null
join revenue.teams t on t.id = p.team_id and t.deleted_at is null
where i.deleted_at is null order by t.name, p.name, p.id limit :limit
""")
_COUNT = text("select count(*) from revenue.app_users where project_id = :project_id and not is_anonymous")
_NEXT = text("""
select user_id from revenue.app_users where project_id = :project_id and not is_anonymous and user_id > :last
order by user_id limit :limit
""")
_KEEP = text("""
insert into revenue.app_users as u (project_id, user_id, properties)
values (:project_id, :user_id, cast(:filled as jsonb) || cast(:written as jsonb))
on conflict (project_id, user_id) do update set properties =
    cast(:filled as jsonb) || (u.properties - cast(:removed as text[])) || cast(:written as jsonb)
""")


@dataclass(frozen=True, slots=True)
class Integration:
    """A project's key for RevenueCat, and the project's id there; empty: the first that the key may see."""

    api_key: str
    provider_project: str


def connect(connection: Connection, project_id: UUID, api_key: str, settings: Mapping[str, str] | None = None) -> None:
    """Keep a project's secret key of RevenueCat, sealed; it replaces the one before.

    Args:
        connection: In a transaction of the caller's.
        project_id: Of `revenue.projects`.
        api_key: A secret key of the API's version 2.
        settings: `project_id`: RevenueCat's own id of the project.

    Raises:
        PermanentError: This installation has no key to seal with.
    """
    given = {"project_id": project_id, "provider": PROVIDER, "api_key": seal(api_key.encode())}
    connection.execute(_CONNECT, {**given, "settings": orjson.dumps(dict(settings or {})).decode()})


def disconnect(connection: Connection, project_id: UUID) -> None:
    """Forget a project's key; its users keep the properties they have.

    Raises:
        NotFound: It has no integration.
    """
    if connection.execute(_DISCONNECT, {"project_id": project_id, "provider": PROVIDER}).rowcount != 1:
        raise NotFound(f"project {project_id} has no integration with RevenueCat.")


def projects_named(connection: Connection, word: str) -> Sequence[RowMapping]:
    """Projects that a word names, be it an id or a name."""
    return connection.execute(_NAMED, {"word": word}).mappings().all()


def integrations(connection: Connection, *, limit: int) -> Sequence[RowMapping]:
    """Integrations by team and project, without their keys."""
    return connection.execute(_LIST, {"limit": limit}).mappings().all()


def integration(project_id: UUID) -> Integration:
    """The integration of a project.

    Raises:
        PermanentError: It has none, or a disabled one, or its key cannot be unsealed here.
    """
    with transaction() as connection:
        row = connection.execute(_FIND, {"project_id": project_id, "provider": PROVIDER}).one_or_none()
    if row is None:
        raise PermanentError(
            f"RevenueCat integration not found or disabled for project {project_id}: connect it, or enable it again"
        )
    return Integration(unseal(row.api_key).decode(), str(row.settings.get("project_id") or ""))


def projects_to_sync() -> list[UUID]:
    """Projects that have an enabled integration."""
    with transaction() as connection:
        return list(connection.scalars(_PROJECTS, {"provider": PROVIDER}))


def count_users(project_id: UUID) -> int:
    """How many users of a project are not anonymous."""
    with transaction() as connection:
        return int(connection.execute(_COUNT, {"project_id": project_id}).scalar_one())


def users(project_id: UUID) -> Iterator[str]:
    """Their ids, in order; some hundreds at a time are in memory."""
    last = ""
    while True:
        with transaction() as connection:
            page = list(connection.scalars(_NEXT, {"project_id": project_id, "last": last, "limit": _PAGE}))
        yield from page
        if len(page) < _PAGE:
            return
        last = page[-1]


def keep(project_id: UUID, user_id: str, change: Change) -> None:
    """Change a user's properties, and make the user if there is none; what others wrote stays."""
    given = {
        "project_id": project_id,
        "user_id": user_id,
        "filled": orjson.dumps(change.filled).decode(),
        "written": orjson.dumps(change.written).decode(),
        "removed": list(change.removed),
    }
    with transaction() as connection:
        connection.execute(_KEEP, given)
