"""`/v1/keys`, `/v1/teams/{team}/keys`, `/v1/accounts/keys`: API keys. One is shown when it is made, and never again."""

from datetime import timedelta
from typing import Annotated
from uuid import UUID

from fastapi import APIRouter, Path, Query

from callboard.accounts import keys
from callboard.errors import NotFound
from callboard.ledger.database import transaction
from callboard.operations import accounts as operations
from console.api import _teams
from console.api._doors import AccountsReader, AccountsWriter, Me, Person, TeamManager, WhoAsks, knows
from console.api._problems import documented
from console.api.models import CreatedKey, Key, Keys, NewKey
from console.api.teams import Why

router = APIRouter(prefix="/v1", tags=["keys"], responses=documented(404))

KeyName = Annotated[
    str, Path(min_length=1, max_length=64, pattern=r"^[A-Za-z0-9_-]+$", description="Its id, or its first characters.")
]
Everything = Annotated[bool, Query(alias="all", description="Also those that are revoked or expired.")]


@router.get("/keys", operation_id="list_keys", summary="Your own keys")
def list_keys(me: Person, *, everything: Everything = False) -> Keys:
    """Newest first."""
    with transaction() as connection:
        return Keys.model_validate({"items": keys.listing(connection, user_id=me.user_id, everything=everything)})


@router.post("/keys", operation_id="create_key", status_code=201, summary="Make a key")
def create_key(asked: NewKey, me: Person, who: WhoAsks) -> CreatedKey:
    """It may do what you may, as far as its scopes and its team reach. The answer is the only one that holds it."""
    lives = None if asked.expires_in_seconds is None else timedelta(seconds=asked.expires_in_seconds)
    team_id = None if asked.team is None else _team(asked.team, me)
    made, key = operations.create_key(me, asked.name, asked.scopes, who=who, team_id=team_id, expires_in=lives)
    return CreatedKey.model_validate(Key.model_validate(key).model_dump() | {"key": made})


@router.delete("/keys/{key_id}", operation_id="revoke_key", summary="Revoke a key of your own")
def revoke_key(key_id: UUID, me: Person, who: WhoAsks, why: Why = "") -> Key:
    """At once and for good."""
    found = _named(str(key_id), user_id=me.user_id)
    return Key.model_validate(operations.revoke_key(found.id, who=who, why=why))


@router.get("/teams/{team}/keys", operation_id="list_team_keys", summary="The keys of a team")
def list_team_keys(at: TeamManager, *, everything: Everything = False) -> Keys:
    """Those that are confined to it, whosever they are."""
    with transaction() as connection:
        return Keys.model_validate({"items": keys.listing(connection, team_id=at.team.id, everything=everything)})


@router.delete("/teams/{team}/keys/{key}", operation_id="revoke_team_key", summary="Revoke a key of a team")
def revoke_team_key(key: KeyName, at: TeamManager, why: Why = "") -> Key:
    """Whosever it is, at once and for good."""
    found = _named(key, team_id=at.team.id)
    return Key.model_validate(operations.revoke_key(found.id, who=at.who, why=why))


@router.get("/accounts/keys", operation_id="list_all_keys", summary="The keys of everybody")
def list_all_keys(
    _: AccountsReader,
    *,
    user_id: Annotated[UUID | None, Query(description="Only those of this user.")] = None,
    everything: Everything = False,
) -> Keys:
    """Newest first, 500 at most."""
    with transaction() as connection:
        return Keys.model_validate({"items": keys.listing(connection, user_id=user_id, everything=everything)})


@router.delete("/accounts/keys/{key}", operation_id="revoke_any_key", summary="Revoke anybody's key")
def revoke_any_key(key: KeyName, _: AccountsWriter, who: WhoAsks, why: Why = "") -> Key:
    """At once and for good."""
    return Key.model_validate(operations.revoke_key(_named(key).id, who=who, why=why))


def _named(key: str, **belongs: UUID) -> keys.Key:
    """The key, if it belongs there; of any other it is not told that it exists."""
    unknown = NotFound(f"No key is {key}.")
    with transaction() as connection:
        try:
            found = keys.named(connection, key)
        except NotFound:
            raise unknown from None
    if any(getattr(found, name) != value for name, value in belongs.items()):
        raise unknown
    return found


def _team(name: str, me: Me) -> UUID:
    with transaction() as connection:
        found = _teams.find(connection, name)
    if found is None or not knows(me, found.id):
        raise NotFound(f"No team is called {name!r}, or you are not in it.")
    return found.id
