"""`/v1/users`: who can sign in, for admins of the board."""

from typing import Annotated
from uuid import UUID

from fastapi import APIRouter, Query

from callboard.accounts import keys, require, sign_in, users
from callboard.accounts.permissions import Permission
from callboard.errors import NotFound
from callboard.ledger.database import transaction
from callboard.operations import accounts as operations
from console.api._doors import AccountsReader, AccountsWriter, Credentialer, WhoAsks
from console.api._lists import NO_NUL, Limit
from console.api._problems import documented
from console.api.models import ChangeUser, Done, Key, Keys, Link, Listing, NewLink, NewUser, Reason, User
from console.api.teams import Why

router = APIRouter(prefix="/v1/users", tags=["users"], responses=documented(404, 409))

_Word = Annotated[str | None, Query(max_length=300, pattern=NO_NUL)]


@router.get("", operation_id="list_users", summary="Who can sign in")
def list_users(_: AccountsReader, search: _Word = None, cursor: _Word = None, limit: Limit = 50) -> Listing[User]:
    """By address; `search` looks in address and name."""
    with transaction() as connection:
        found = users.listing(connection, search=search, after=cursor, limit=limit + 1)
    more = len(found) > limit
    last = found[limit - 1].email if more else None
    return Listing[User].model_validate({"items": found[:limit], "cursor": last, "has_more": more})


@router.post("", operation_id="create_user", status_code=201, summary="Let somebody in")
def create_user(asked: NewUser, me: AccountsWriter, who: WhoAsks) -> User:
    """Without a password they sign in by links; setting one needs a person who signed in."""
    password = None if asked.password is None else asked.password.get_secret_value()
    if password is not None:
        require(me, Permission.CREDENTIALS)
    made = operations.create_user(
        asked.email, who=who, name=asked.name, role=asked.role, password=password, why=asked.why
    )
    return User.model_validate(made)


@router.get("/{user_id}", operation_id="get_user", summary="One user")
def get_user(user_id: UUID, _: AccountsReader) -> User:
    """By their id."""
    with transaction() as connection:
        return User.model_validate(users.get(connection, user_id))


@router.patch("/{user_id}", operation_id="change_user", summary="Change a user's name or role, or keep them out")
def change_user(user_id: UUID, asked: ChangeUser, _: AccountsWriter, who: WhoAsks) -> User:
    """What is left out stays. 409 for what would leave no admin."""
    if asked.name is not None:
        operations.set_name(user_id, asked.name, who=who)
    if "role" in asked.model_fields_set:
        operations.set_role(user_id, asked.role, who=who, why=asked.why)
    if asked.disabled is not None:
        act = operations.disable if asked.disabled else operations.enable
        act(user_id, who=who, why=asked.why)
    with transaction() as connection:
        return User.model_validate(users.get(connection, user_id))


@router.post("/{user_id}/sign-out", operation_id="sign_out_user", summary="End all sign-ins of a user")
def sign_out(user_id: UUID, asked: Reason, _: AccountsWriter, who: WhoAsks) -> Done:
    """And the links that were sent to them."""
    operations.sign_out_everywhere(user_id, who=who, why=asked.why)
    return Done()


@router.post(
    "/{user_id}/link", operation_id="make_sign_in_link", status_code=201, summary="A link that signs a user in"
)
def make_link(user_id: UUID, asked: NewLink, _: Credentialer, who: WhoAsks) -> Link:
    """Once, within some minutes. A key never makes one."""
    token = operations.make_link(user_id, who=who, minutes=asked.minutes, why=asked.why)
    return Link(url=sign_in.link_url(token), expires_in_seconds=asked.minutes * 60)


@router.get("/{user_id}/keys", operation_id="list_user_keys", summary="The keys of a user")
def list_user_keys(user_id: UUID, _: AccountsReader) -> Keys:
    """Also those that are revoked or expired."""
    with transaction() as connection:
        users.get(connection, user_id)
        return Keys.model_validate({"items": keys.listing(connection, user_id=user_id, everything=True)})


@router.delete("/{user_id}/keys/{key_id}", operation_id="revoke_user_key", summary="Revoke a key of a user")
def revoke_user_key(user_id: UUID, key_id: UUID, _: AccountsWriter, who: WhoAsks, why: Why = "") -> Key:
    """At once and for good."""
    with transaction() as connection:
        if keys.get(connection, key_id).user_id != user_id:
            raise NotFound(f"No key is {key_id}.")
    return Key.model_validate(operations.revoke_key(key_id, who=who, why=why))
