"""One's own account: who one is here, where one is signed in, and a new password."""

from __future__ import annotations

from typing import TYPE_CHECKING, Annotated

from fastapi import APIRouter, Form, Request, Response
from fastapi.responses import RedirectResponse

from callboard.accounts import sign_in, teams, users
from callboard.errors import Invalid, NotFound
from callboard.operations import accounts
from console import deps
from console.deps import Ledger  # noqa: TC001 - FastAPI reads annotations at run time
from console.pages._kit import Person, Told, act, show

if TYPE_CHECKING:
    from callboard.accounts import Session

router = APIRouter(include_in_schema=False)
PATH = "/account"
_Password = Annotated[str, Form(max_length=1024)]


@router.get(PATH)
def mine(request: Request, ledger: Ledger, me: Person) -> Response:
    """Everything of one's own."""
    return show(
        request,
        ledger,
        "account.html",
        user=users.get(ledger, me.user_id),
        teams=teams.listing(ledger, list(me.team_roles)) if me.team_roles else [],
        sign_ins=sign_in.listing(ledger, me.user_id, token=deps.session_token(request) or ""),
    )


@router.post(f"{PATH}/password")
def change_password(request: Request, me: Person, new: _Password, repeated: _Password, old: _Password = "") -> Response:
    """Take a new password, and go on with the sign-in that comes of it: all others end."""
    made: list[Session] = []

    def do() -> Told:
        if new != repeated:
            raise Invalid("repeated", "The new password was written in two ways; write the same twice.")
        who = deps.who(request)
        made.append(accounts.change_own_password(me, old, new, who=who, ip=who.ip, agent=who.agent))
        return Told("Your password is changed; you are signed in here and nowhere else.")

    answer = act(PATH, do)
    for session in made:
        deps.policy(request).set_cookie(answer, session.token)
    return answer


@router.post(PATH + "/sign-ins/{sign_in_id}/end")
def end_sign_in(request: Request, me: Person, sign_in_id: str) -> Response:
    """Sign out there."""

    def do() -> Told:
        if not accounts.end_sign_in(me.user_id, sign_in_id, who=deps.who(request)):
            raise NotFound("That sign-in has ended already.")
        return Told("That sign-in is ended.")

    return act(PATH, do)


@router.post(f"{PATH}/sign-out")
def sign_out_everywhere(request: Request, me: Person) -> Response:
    """End all of one's sign-ins, this one too, and links that were not used yet."""
    accounts.sign_out_everywhere(me.user_id, who=deps.who(request))
    answer = RedirectResponse("/sign-in", 303)
    deps.policy(request).drop_cookie(answer)
    return answer
