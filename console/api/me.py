"""`/v1/me`: who asks, and what they may."""

from fastapi import APIRouter

from callboard.accounts import may, teams
from callboard.accounts.permissions import Permission
from callboard.ledger.database import transaction
from console.api import _doors
from console.api._problems import documented
from console.api.models import Me, TeamOfMine

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
