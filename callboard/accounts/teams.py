"""Teams and who is in them. Changes with their audit row: `callboard.operations.accounts`."""

from __future__ import annotations

from dataclasses import dataclass
from typing import TYPE_CHECKING, Any, cast
from uuid import UUID

from sqlalchemy import text

from callboard.accounts import _words, users
from callboard.accounts.permissions import Permission, require
from callboard.errors import Conflict, NotFound
from callboard.ids import new_id
from callboard.ledger.account_tables import TEAM_ROLES

if TYPE_CHECKING:
    from collections.abc import Sequence
    from datetime import datetime

    from sqlalchemy import Connection, RowMapping

    from callboard.accounts.principal import Principal, TeamRole

_SELECT = """
select t.id, t.slug, t.name, t.created_at,
  (select count(*) from board.memberships m where m.team_id = t.id) as members,
  (select count(*) from board.projects p where p.team_id = t.id and p.deleted_at is null) as projects
from board.teams t where t.deleted_at is null
"""
_LIST = text(f"{_SELECT} and (:every or t.id = any(:ids)) order by t.slug")
_GET = text(f"{_SELECT} and t.id = :id")
_BY_SLUG = text(f"{_SELECT} and t.slug = :slug")
_INSERT = text("""
insert into board.teams (id, slug, name) values (:id, :slug, :name)
on conflict (slug) where deleted_at is null do nothing returning id
""")
_RENAME = text("update board.teams set name = :name where id = :id and deleted_at is null")
_DELETE = text("update board.teams set deleted_at = now() where id = :id and deleted_at is null")
_MEMBERS = text("""
select m.user_id, u.email, u.name, m.role, m.created_at, u.disabled_at
from board.memberships m join board.users u on u.id = m.user_id
where m.team_id = :team_id order by lower(u.email)
""")
_ROLE = text("select role from board.memberships where team_id = :team_id and user_id = :user_id")
_SET = text("""
insert into board.memberships (team_id, user_id, role) values (:team_id, :user_id, :role)
on conflict (team_id, user_id) do update set role = excluded.role
""")
_REMOVE = text("delete from board.memberships where team_id = :team_id and user_id = :user_id")
# Whoever changes a team's members waits for whoever did before.
_LOCK = text("select id from board.teams where id = :team_id and deleted_at is null for no key update")
_OTHER_OWNERS = text("""
select count(*) from board.memberships where team_id = :team_id and role = 'owner' and user_id <> :user_id
""")


@dataclass(frozen=True, slots=True)
class Team:
    """A team; `members` and `projects` are how many it has."""

    id: UUID
    slug: str
    name: str
    created_at: datetime
    members: int
    projects: int


@dataclass(frozen=True, slots=True)
class Member:
    """Somebody in a team."""

    user_id: UUID
    email: str
    name: str
    role: TeamRole
    created_at: datetime
    disabled_at: datetime | None


def listing(connection: Connection, ids: Sequence[UUID] | None = None) -> Sequence[Team]:
    """Teams by slug: all, or those of these ids; deleted ones never."""
    given = {"every": ids is None, "ids": list(ids or ())}
    return [_team(row) for row in connection.execute(_LIST, given).mappings()]


def get(connection: Connection, team_id: UUID) -> Team:
    """One team.

    Raises:
        NotFound: There is none of that id, or it is deleted.
    """
    return _found(connection.execute(_GET, {"id": team_id}).mappings().one_or_none(), team_id)


def by_slug(connection: Connection, slug: str) -> Team:
    """One team, by its slug.

    Raises:
        NotFound: There is none called so, or it is deleted.
    """
    return _found(connection.execute(_BY_SLUG, {"slug": _words.sought(slug)}).mappings().one_or_none(), slug)


def create(connection: Connection, name: str, *, slug: str | None = None) -> Team:
    """A team that nobody is in yet.

    Raises:
        Invalid: The name or the slug does not fit, or no slug can be made of the name.
        Conflict: A team is called so.
    """
    told = _words.name(name)
    team_id = UUID(new_id())
    given = {"id": team_id, "slug": _words.slug(slug, told), "name": told}
    if connection.execute(_INSERT, given).one_or_none() is None:
        raise Conflict(f"A team called {given['slug']} is there already; give another slug.")
    return get(connection, team_id)


def rename(connection: Connection, team_id: UUID, name: str) -> Team:
    """Change its name; the slug stays, for links and scripts hold it.

    Raises:
        NotFound: There is no such team.
        Invalid: The name does not fit.
    """
    connection.execute(_RENAME, {"id": team_id, "name": _words.name(name)})
    return get(connection, team_id)


def delete(connection: Connection, team_id: UUID) -> Team:
    """Hide a team with its projects, runs and keys; nothing is erased. What it was.

    Raises:
        NotFound: There is no such team.
    """
    team = get(connection, team_id)
    connection.execute(_DELETE, {"id": team_id})
    return team


def members(connection: Connection, team_id: UUID) -> Sequence[Member]:
    """Who is in a team, by address."""
    return [_member(row) for row in connection.execute(_MEMBERS, {"team_id": team_id}).mappings()]


def set_member(
    connection: Connection, team_id: UUID, user_id: UUID, role: str, *, principal: Principal | None
) -> str | None:
    """Let somebody in, or change their role; what it was before.

    Args:
        connection: Inside the transaction of the act.
        team_id: The team.
        user_id: Whom.
        role: As what.
        principal: Who asks, for only an owner makes and unmakes owners; None: the command line, which may all.

    Raises:
        NotFound: There is no such team or user.
        Invalid: There is no such role.
        Forbidden: They may not.
        Conflict: It is the team's last owner.
    """
    users.get(connection, user_id)
    wanted = _words.one_of(role, TEAM_ROLES, "role")
    before = _changing(connection, team_id, user_id, principal, wanted)
    connection.execute(_SET, {"team_id": team_id, "user_id": user_id, "role": wanted})
    return before


def remove_member(connection: Connection, team_id: UUID, user_id: UUID, *, principal: Principal | None) -> str:
    """Put somebody out of a team; what they were. Parameters as in `set_member`; everybody may leave by themselves.

    Raises:
        NotFound: There is no such team, or they are not in it.
        Forbidden: They may not.
        Conflict: It is the team's last owner.
    """
    leaves = principal is not None and principal.scopes is None and principal.user_id == user_id
    before = _changing(connection, team_id, user_id, None if leaves else principal, None)
    if before is None:
        raise NotFound("They are not in this team.")
    connection.execute(_REMOVE, {"team_id": team_id, "user_id": user_id})
    return before


def _changing(
    connection: Connection, team_id: UUID, user_id: UUID, principal: Principal | None, role: str | None
) -> str | None:
    """Lock the team, check that this change may be, and tell the role before it."""
    given = {"team_id": team_id, "user_id": user_id}
    if connection.execute(_LOCK, given).one_or_none() is None:
        raise NotFound(f"No team is {team_id}.")
    before: str | None = connection.execute(_ROLE, given).scalar_one_or_none()
    if principal is not None:
        touches_owner = "owner" in (before, role)
        require(principal, Permission.TEAM_OWN if touches_owner else Permission.TEAM_MANAGE, team_id=team_id)
    if before == "owner" and role != "owner" and connection.execute(_OTHER_OWNERS, given).scalar_one() == 0:
        raise Conflict("This is the team's last owner: make somebody else one first.")
    return before


def _found(row: RowMapping | None, asked: object) -> Team:
    if row is None:
        raise NotFound(f"No team is {asked}; `callboard teams list` shows them.")
    return _team(row)


def _team(row: RowMapping) -> Team:
    return Team(**cast("dict[str, Any]", dict(row)))


def _member(row: RowMapping) -> Member:
    return Member(**cast("dict[str, Any]", dict(row)))
