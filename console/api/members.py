"""`/v1/teams/{team}/members`: who is in a team."""

from uuid import UUID

from fastapi import APIRouter

from callboard.accounts import teams, users
from callboard.errors import NotFound
from callboard.ledger.database import transaction
from callboard.operations import accounts as operations
from console.api._doors import InTeam, Person, TeamManager, TeamReader
from console.api._problems import documented
from console.api.models import ChangeMember, Done, Member, Members, NewMember
from console.api.teams import Why

router = APIRouter(prefix="/v1/teams/{team}/members", tags=["members"], responses=documented(404, 409))


@router.get("", operation_id="list_members", summary="Who is in a team")
def list_members(at: TeamReader) -> Members:
    """By address."""
    return Members(items=_members(at))


@router.post("", operation_id="add_member", status_code=201, summary="Let somebody into a team")
def add_member(asked: NewMember, at: TeamManager) -> Member:
    """Who has an account already; only an owner makes owners. Who is in it already changes role."""
    with transaction() as connection:
        user = users.by_email(connection, asked.email)
    operations.set_member(at.team.id, user.id, asked.role, who=at.who, principal=at.me, why=asked.why)
    return _one(at, user.id)


@router.delete("/me", operation_id="leave_team", summary="Leave a team")
def leave(at: TeamReader, _: Person, why: Why = "") -> Done:
    """409 for its last owner. A key leaves no team."""
    operations.remove_member(at.team.id, at.me.user_id, who=at.who, principal=at.me, why=why)
    return Done()


@router.patch("/{user_id}", operation_id="change_member", summary="Change somebody's role in a team")
def change_member(user_id: UUID, asked: ChangeMember, at: TeamManager) -> Member:
    """Only an owner makes and unmakes owners; 409 for the last one."""
    _one(at, user_id)
    operations.set_member(at.team.id, user_id, asked.role, who=at.who, principal=at.me, why=asked.why)
    return _one(at, user_id)


@router.delete("/{user_id}", operation_id="remove_member", summary="Put somebody out of a team")
def remove_member(user_id: UUID, at: TeamManager, why: Why = "") -> Done:
    """Their keys of the team do nothing any more; only an owner removes owners, and 409 for the last one."""
    operations.remove_member(at.team.id, user_id, who=at.who, principal=at.me, why=why)
    return Done()


def _members(at: InTeam) -> list[Member]:
    with transaction() as connection:
        return [Member.model_validate(one) for one in teams.members(connection, at.team.id)]


def _one(at: InTeam, user_id: UUID) -> Member:
    found = next((one for one in _members(at) if one.user_id == user_id), None)
    if found is None:
        raise NotFound(f"User {user_id} is not in {at.team.name}.")
    return found
