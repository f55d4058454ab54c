"""`/v1/teams`: teams, and their audit."""

from typing import Annotated

from fastapi import APIRouter, Query

from callboard.accounts import may, teams
from callboard.accounts.permissions import Permission
from callboard.ledger.database import transaction
from callboard.operations import accounts as operations
from console.api._audit import entries
from console.api._doors import AccountsWriter, Me, TeamManager, TeamOwner, TeamReader, WhoAsks, with_scope
from console.api._lists import NO_NUL, Paged
from console.api._problems import documented
from console.api.models import AuditEntry, CountedListing, Done, NewTeam, Rename, Team, Teams

router = APIRouter(prefix="/v1/teams", tags=["teams"], responses=documented(404))

#: Why something is deleted.
Why = Annotated[str, Query(max_length=500, pattern=NO_NUL, description="The reason; it stands in the audit log.")]


@router.get("", operation_id="list_teams", summary="The teams that you may see")
def list_teams(me: Me) -> Teams:
    """By slug: your own, or all of them with a role on the board."""
    with_scope(me, Permission.TEAM_READ)
    with transaction() as connection:
        found = teams.listing(connection)
    return Teams.model_validate({"items": [team for team in found if may(me, Permission.TEAM_READ, team_id=team.id)]})


@router.post("", operation_id="create_team", status_code=201, responses=documented(404, 409), summary="Make a team")
def create_team(asked: NewTeam, _: AccountsWriter, who: WhoAsks) -> Team:
    """With its first owner, if one is named."""
    made = operations.create_team(asked.name, who=who, slug=asked.slug, owner=asked.owner, why=asked.why)
    return Team.model_validate(made)


@router.get("/{team}", operation_id="get_team", summary="One team")
def get_team(at: TeamReader) -> Team:
    """By its id or slug."""
    return Team.model_validate(at.team)


@router.patch("/{team}", operation_id="rename_team", summary="Rename a team")
def rename_team(asked: Rename, at: TeamManager) -> Team:
    """Its slug stays."""
    return Team.model_validate(operations.rename_team(at.team.id, asked.name, who=at.who, why=asked.why))


@router.delete("/{team}", operation_id="delete_team", summary="Delete a team")
def delete_team(at: TeamOwner, why: Why = "") -> Done:
    """It is hidden with its projects, their runs and its keys; nothing is erased."""
    operations.delete_team(at.team.id, who=at.who, why=why)
    return Done()


@router.get("/{team}/audit", operation_id="list_team_audit", summary="Who did what in a team")
def list_audit(at: TeamManager, paging: Paged) -> CountedListing[AuditEntry]:
    """Those that the filter matches, newest first."""
    return entries(paging, team_id=at.team.id)
