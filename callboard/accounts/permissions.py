"""Who may do what: one table for people, one for the scopes of keys, and the questions that are asked of them.

A key may do what its owner may at that moment, of that only what its scopes name, and, if it is a team's key, only in
that team: scopes and teams take away and never add.
"""

from __future__ import annotations

from enum import Enum
from typing import TYPE_CHECKING, NamedTuple
from uuid import UUID

from sqlalchemy import text

from callboard.errors import Forbidden

if TYPE_CHECKING:
    from sqlalchemy import Connection

    from callboard.accounts.principal import Principal


class Permission(Enum):
    """All there is to be permitted; the value is what people read."""

    BOARD_READ = "see the whole board"
    BOARD_WRITE = "act on the whole board"
    ACCOUNTS_READ = "see all users and their keys"
    ACCOUNTS_WRITE = "change users, and make teams"
    CREDENTIALS = "set other people's passwords and make their sign-in links"
    AUDIT_READ = "read the audit of the whole board"
    OWN_ACCOUNT = "change one's own password, sign-ins and keys"
    TEAM_READ = "see a team, its projects and their runs"
    TEAM_RUN = "trigger, cancel and replay in a team's projects"
    TEAM_MANAGE = "manage a team's members, projects and keys, and read its audit"
    TEAM_OWN = "appoint and remove a team's owners, and delete the team"


class Grant(NamedTuple):
    """Who has a permission: by their role on the board, by their role in the team asked about; keys by a scope."""

    board: tuple[str, ...]
    team: tuple[str, ...] = ()
    scope: str | None = None
    everyone: bool = False


_ALL, _HANDS, _ADMIN = ("admin", "operator", "viewer"), ("admin", "operator"), ("admin",)

#: The whole of it. A permission without a scope is never a key's: it needs a person who signed in.
GRANTS: dict[Permission, Grant] = {
    Permission.BOARD_READ: Grant(_ALL, scope="jobs:read"),
    Permission.BOARD_WRITE: Grant(_HANDS, scope="jobs:write"),
    Permission.ACCOUNTS_READ: Grant(_ADMIN, scope="accounts:write"),
    Permission.ACCOUNTS_WRITE: Grant(_ADMIN, scope="accounts:write"),
    Permission.CREDENTIALS: Grant(_ADMIN),
    Permission.AUDIT_READ: Grant(_HANDS, scope="accounts:write"),
    Permission.OWN_ACCOUNT: Grant((), everyone=True),
    Permission.TEAM_READ: Grant(_ALL, ("owner", "admin", "member"), "jobs:read"),
    Permission.TEAM_RUN: Grant(_HANDS, ("owner", "admin"), "jobs:write"),
    Permission.TEAM_MANAGE: Grant(_ADMIN, ("owner", "admin"), "accounts:write"),
    Permission.TEAM_OWN: Grant(_ADMIN, ("owner",), "accounts:write"),
}

#: The scopes that a key may have.
SCOPES = ("jobs:read", "jobs:write", "accounts:write")

_PROJECTS = text("""
select p.id::text from board.projects p join board.teams t on t.id = p.team_id
where p.deleted_at is null and t.deleted_at is null and (:every or p.team_id = any(:teams))
""")
_TEAM = text("""
select p.team_id from board.projects p join board.teams t on t.id = p.team_id
where p.id = :project_id and p.deleted_at is null and t.deleted_at is null
""")


def may(principal: Principal, permission: Permission, *, team_id: UUID | None = None) -> bool:
    """Whether they may, now.

    Args:
        principal: Who asks.
        permission: What for.
        team_id: In which team, for a permission that teams give; without one, only a role on the board counts.
    """
    grant = GRANTS[permission]
    if principal.scopes is not None and grant.scope not in principal.scopes:
        return False
    if principal.key_team is not None and not (grant.team and team_id == principal.key_team):
        return False
    team_role = None if team_id is None else principal.team_roles.get(team_id)
    return grant.everyone or principal.role in grant.board or team_role in grant.team


def require(principal: Principal, permission: Permission, *, team_id: UUID | None = None) -> None:
    """Go on only if they may.

    Raises:
        Forbidden: They may not; the message says what would be needed.
    """
    if not may(principal, permission, team_id=team_id):
        raise Forbidden(f"You may not {permission.value}: {_needed(principal, permission, team_id)}.")


def _needed(principal: Principal, permission: Permission, team_id: UUID | None) -> str:
    grant = GRANTS[permission]
    if principal.scopes is not None:
        if grant.scope is None:
            return "a key never may; sign in to the console"
        if grant.scope not in principal.scopes:
            return f"this key lacks the scope {grant.scope}"
        if not may(principal.owner(), permission, team_id=team_id):
            return f"the owner of this key lacks the role; {_roles(grant, team_id)} would do"
        return "this key is confined to one team"
    return f"it needs {_roles(grant, team_id)}"


def _roles(grant: Grant, team_id: UUID | None) -> str:
    team = f"the team role {' or '.join(grant.team)}, or " if grant.team and team_id is not None else ""
    return f"{team}the board role {' or '.join(grant.board)}"


def projects_of(connection: Connection, principal: Principal) -> set[str]:
    """Ids of the projects whose runs they may see, as `runs.project_id` has them; of teams that are there.

    For whoever may BOARD_READ these are all projects; the system's own runs are theirs too, and are in no project.
    """
    teams = [team for team in principal.team_roles if may(principal, Permission.TEAM_READ, team_id=team)]
    if principal.key_team is not None and may(principal, Permission.TEAM_READ, team_id=principal.key_team):
        teams.append(principal.key_team)  # a board admin's key may be confined to a team they are no member of
    every = may(principal, Permission.TEAM_READ)
    return set(connection.execute(_PROJECTS, {"every": every, "teams": teams}).scalars())


def reach(connection: Connection, principal: Principal) -> set[str] | None:
    """The projects that a listing is cut to; None: no cut, the system's own runs too."""
    return None if may(principal, Permission.BOARD_READ) else projects_of(connection, principal)


def team_of_project(connection: Connection, project_id: str | UUID) -> UUID | None:
    """The team that a project belongs to; None if either is deleted or never was."""
    try:
        wanted = UUID(str(project_id))
    except ValueError:
        return None
    found: UUID | None = connection.execute(_TEAM, {"project_id": wanted}).scalar_one_or_none()
    return found
