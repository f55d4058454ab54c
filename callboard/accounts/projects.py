"""Projects of teams, to which runs belong. Changes with their audit row: `callboard.operations.accounts`."""

from __future__ import annotations

from dataclasses import dataclass
from typing import TYPE_CHECKING, Any, cast
from uuid import UUID

from sqlalchemy import text

from callboard.accounts import _words, teams
from callboard.errors import Conflict, NotFound
from callboard.ids import new_id

if TYPE_CHECKING:
    from collections.abc import Sequence
    from datetime import datetime

    from sqlalchemy import Connection, RowMapping

_SELECT = """
select p.id, p.team_id, t.slug as team, p.slug, p.name, p.created_at
from board.projects p join board.teams t on t.id = p.team_id
where p.deleted_at is null and t.deleted_at is null
"""
_LIST = text(f"{_SELECT} and (:every or p.team_id = any(:teams)) order by t.slug, p.slug")
_GET = text(f"{_SELECT} and p.id = :id")
_BY_SLUG = text(f"{_SELECT} and t.slug = :team and p.slug = :slug")
_INSERT = text("""
insert into board.projects (id, team_id, slug, name) values (:id, :team_id, :slug, :name)
on conflict (team_id, slug) where deleted_at is null do nothing returning id
""")
_RENAME = text("update board.projects set name = :name where id = :id and deleted_at is null")
_DELETE = text("update board.projects set deleted_at = now() where id = :id and deleted_at is null")


@dataclass(frozen=True, slots=True)
class Project:
    """A project; `team` is its team's slug."""

    id: UUID
    team_id: UUID
    team: str
    slug: str
    name: str
    created_at: datetime


def listing(connection: Connection, team_ids: Sequence[UUID] | None = None) -> Sequence[Project]:
    """Projects by team and slug: all, or those of these teams; deleted ones never."""
    given = {"every": team_ids is None, "teams": list(team_ids or ())}
    return [_project(row) for row in connection.execute(_LIST, given).mappings()]


def get(connection: Connection, project_id: UUID) -> Project:
    """One project.

    Raises:
        NotFound: There is none of that id, or it or its team is deleted.
    """
    return _found(connection.execute(_GET, {"id": project_id}).mappings().one_or_none(), project_id)


def by_slug(connection: Connection, team: str, slug: str) -> Project:
    """One project, by the slugs of its team and its own.

    Raises:
        NotFound: There is none called so, or it or its team is deleted.
    """
    row = (
        connection.execute(_BY_SLUG, {"team": _words.sought(team), "slug": _words.sought(slug)})
        .mappings()
        .one_or_none()
    )
    return _found(row, f"{team}/{slug}")


def create(connection: Connection, team_id: UUID, name: str, *, slug: str | None = None) -> Project:
    """A project of a team.

    Raises:
        NotFound: There is no such team.
        Invalid: The name or the slug does not fit, or no slug can be made of the name.
        Conflict: The team has a project called so.
    """
    team, told = teams.get(connection, team_id), _words.name(name)
    project_id = UUID(new_id())
    given = {"id": project_id, "team_id": team_id, "slug": _words.slug(slug, told), "name": told}
    if connection.execute(_INSERT, given).one_or_none() is None:
        raise Conflict(f"The team {team.slug} has a project called {given['slug']} already; give another slug.")
    return get(connection, project_id)


def rename(connection: Connection, project_id: UUID, name: str) -> Project:
    """Change its name; the slug stays, for links and scripts hold it.

    Raises:
        NotFound: There is no such project.
        Invalid: The name does not fit.
    """
    connection.execute(_RENAME, {"id": project_id, "name": _words.name(name)})
    return get(connection, project_id)


def delete(connection: Connection, project_id: UUID) -> Project:
    """Hide a project with its runs; nothing is erased. What it was.

    Raises:
        NotFound: There is no such project.
    """
    project = get(connection, project_id)
    connection.execute(_DELETE, {"id": project_id})
    return project


def _found(row: RowMapping | None, asked: object) -> Project:
    if row is None:
        raise NotFound(f"No project is {asked}; `callboard projects list` shows them.")
    return _project(row)


def _project(row: RowMapping) -> Project:
    return Project(**cast("dict[str, Any]", dict(row)))
