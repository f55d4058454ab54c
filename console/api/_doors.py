"""Who may come in: each route names what it needs by the type of a parameter."""

from dataclasses import dataclass
from typing import Annotated
from uuid import UUID

from fastapi import Depends, Path, Request, Security
from fastapi.security import HTTPAuthorizationCredentials, HTTPBearer

from callboard.accounts import Principal, permissions
from callboard.accounts.permissions import Permission
from callboard.accounts.teams import Team
from callboard.errors import Forbidden, NotFound
from callboard.ledger.audit import Who
from callboard.ledger.database import transaction
from console import deps
from console.api import _teams

_KEY = HTTPBearer(
    auto_error=False,
    scheme_name="key",
    description="An API key, from `callboard keys create` or the console. The console's own pages send their session's "
    "cookie instead, and its form token with what they change.",
)


def signed_in(request: Request, _: Annotated[HTTPAuthorizationCredentials | None, Security(_KEY)] = None) -> Principal:
    """Who asks; 401 if that is not known."""
    return deps.require_signed_in(request)


Me = Annotated[Principal, Depends(signed_in)]


async def who_asks(request: Request, _: Me) -> Who:
    """The same, for the audit. Like the doors that ask nothing of the ledger, it needs no thread."""
    return deps.who(request)


WhoAsks = Annotated[Who, Depends(who_asks)]


@dataclass(frozen=True)
class BoardDoor:
    """Lets in who may do this on the whole board."""

    permission: Permission

    async def __call__(self, me: Me) -> Principal:
        """Who asks."""
        permissions.require(me, self.permission)
        return me


Reader = Annotated[Principal, Depends(BoardDoor(Permission.BOARD_READ))]
Operator = Annotated[Principal, Depends(BoardDoor(Permission.BOARD_WRITE))]
AccountsReader = Annotated[Principal, Depends(BoardDoor(Permission.ACCOUNTS_READ))]
AccountsWriter = Annotated[Principal, Depends(BoardDoor(Permission.ACCOUNTS_WRITE))]
Auditor = Annotated[Principal, Depends(BoardDoor(Permission.AUDIT_READ))]
Credentialer = Annotated[Principal, Depends(BoardDoor(Permission.CREDENTIALS))]
Person = Annotated[Principal, Depends(BoardDoor(Permission.OWN_ACCOUNT))]


@dataclass(frozen=True)
class InTeam:
    """Who asks, and in which team."""

    me: Principal
    team: Team
    who: Who


TeamName = Annotated[str, Path(min_length=1, max_length=63, pattern=r"^[^\x00]+$", description="Its id or slug.")]


@dataclass(frozen=True)
class TeamDoor:
    """Lets in who may do this in the team of the path.

    `hidden` is what a team is answered with that whoever asks may not know of; the same as for one that is not there.
    """

    permission: Permission
    hidden: type[NotFound | Forbidden] = NotFound

    def __call__(self, request: Request, me: Me, team: TeamName) -> InTeam:
        """Who asks, and in which team."""
        with transaction() as connection:
            found = _teams.find(connection, team)
        if found is None or not knows(me, found.id):
            raise self.hidden(f"No team is called {team!r}, or you are not in it.")
        permissions.require(me, self.permission, team_id=found.id)
        return InTeam(me, found, deps.who(request, found.id))


def with_scope(me: Principal, permission: Permission) -> None:
    """Go on unless a key asks that was not made for this at all.

    Raises:
        Forbidden: It was not.
    """
    scope = permissions.GRANTS[permission].scope
    if me.scopes is not None and scope not in me.scopes:
        raise Forbidden(f"You may not {permission.value}: this key lacks the scope {scope}.")


def knows(me: Principal, team_id: UUID) -> bool:
    """Whether they may know that the team is there."""
    if me.key_team is not None:
        return me.key_team == team_id
    return me.role is not None or team_id in me.team_roles


TeamReader = Annotated[InTeam, Depends(TeamDoor(Permission.TEAM_READ))]
TeamRunner = Annotated[InTeam, Depends(TeamDoor(Permission.TEAM_RUN, hidden=Forbidden))]
TeamManager = Annotated[InTeam, Depends(TeamDoor(Permission.TEAM_MANAGE))]
TeamOwner = Annotated[InTeam, Depends(TeamDoor(Permission.TEAM_OWN))]
