"""`/v1/sign-ins`: where you are signed in."""

from typing import Annotated

from fastapi import APIRouter, Path, Request

from callboard.accounts import sign_in
from callboard.errors import NotFound
from callboard.ledger.database import transaction
from callboard.operations import accounts as operations
from console import deps
from console.api._doors import Person, WhoAsks
from console.api._problems import documented
from console.api.models import Done, SignIns

router = APIRouter(prefix="/v1/sign-ins", tags=["sign-ins"], responses=documented(404))


@router.get("", operation_id="list_sign_ins", summary="Where you are signed in")
def list_sign_ins(request: Request, me: Person) -> SignIns:
    """Last used first."""
    token = deps.session_token(request) or ""
    with transaction() as connection:
        return SignIns.model_validate({"items": sign_in.listing(connection, me.user_id, token=token)})


@router.delete("/{sign_in_id}", operation_id="end_sign_in", summary="Sign out there")
def end_sign_in(sign_in_id: Annotated[str, Path(pattern="^[0-9a-f]{16}$")], me: Person, who: WhoAsks) -> Done:
    """By the id of the list; also the one that asks."""
    if not operations.end_sign_in(me.user_id, sign_in_id, who=who):
        raise NotFound(f"No sign-in of yours is {sign_in_id}.")
    return Done()
