"""`/v1/me`: who asks, and what they may."""

from fastapi import APIRouter, Request, Response

from callboard.accounts import may, teams
from callboard.accounts.permissions import Permission
from callboard.ledger.database import transaction
from callboard.operations import accounts as operations
from console import deps
from console.api import _doors
from console.api._problems import documented
from console.api.models import ChangePassword, Done, Me, TeamOfMine

router = APIRouter(prefix="/v1/me", tags=["me"], responses=documented())


@router.get("", operation_id="get_me", summary="Who you are, and what you may do")
def get_me(me: _doors.Me) -> Me:
    """Also for a key with no scope at all, so that a script can tell what is wrong."""
    ids = [team_id for team_id in me.team_roles if me.key_team in (None, team_id)]
    with transaction() as connection:
        found = teams.listing(connection, ids)
    mine = [TeamOfMine(id=team.id, slug=team.slug, name=team.name, role=me.team_roles[team.id]) for team in found]
    return Me(
        user_id=me.user_id,
        name=me.name,
        email=me.email,
        role=me.role,
        key_id=me.key_id,
        key_team=me.key_team,
        scopes=None if me.scopes is None else sorted(me.scopes),
        permissions=[one.name.lower() for one in Permission if may(me, one)],
        teams=mine,
    )


@router.post("/password", operation_id="change_password", summary="Change your password", responses=documented(429))
def change_password(
    asked: ChangePassword, request: Request, response: Response, me: _doors.Person, who: _doors.WhoAsks
) -> Done:
    """All your sign-ins and links end; the answer's cookie is a new sign-in, for the one that asks. A key never may."""
    session = operations.change_own_password(
        me, asked.old.get_secret_value(), asked.new.get_secret_value(), who=who, ip=who.ip, agent=who.agent
    )
    deps.policy(request).set_cookie(response, session.token)
    return Done()
