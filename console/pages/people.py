"""Who did what, who may what: audit, accounts, keys."""

from __future__ import annotations

from datetime import timedelta
from typing import TYPE_CHECKING, Annotated
from uuid import UUID

from fastapi import APIRouter, Depends, Form, Request, Response

from callboard.accounts import Principal, keys, projects, sign_in, teams, users
from callboard.accounts.permissions import SCOPES, Permission, may, require
from callboard.errors import CallboardError, Invalid, NotFound
from callboard.ledger.account_tables import BOARD_ROLES
from callboard.operations import accounts
from console import deps
from console.deps import Ledger, SignedIn  # noqa: TC001 - FastAPI reads annotations at run time
from console.pages._kit import Back, Person, Told, Why, act, show
from console.pages._listing import look

if TYPE_CHECKING:
    from sqlalchemy import Connection

router = APIRouter(include_in_schema=False)
_AUDIT = "/admin/audit"


def _auditor(me: SignedIn) -> Principal:
    require(me, Permission.AUDIT_READ)
    return me


def _admin(me: SignedIn) -> Principal:
    require(me, Permission.ACCOUNTS_WRITE)
    return me


Auditor = Annotated[Principal, Depends(_auditor)]
Admin = Annotated[Principal, Depends(_admin)]


@router.get(_AUDIT)
def audit(request: Request, ledger: Ledger, _me: Auditor, q: str = "", cursor: str = "") -> Response:
    """Every act, newest first."""
    return show(request, ledger, "audit.html", list=look(ledger, "audit", _AUDIT, q=q, cursor=cursor))


# Accounts


@router.get("/admin/accounts")
def all_accounts(request: Request, ledger: Ledger, _me: Admin) -> Response:
    """Users, teams and projects."""
    return _accounts(request, ledger)


def _accounts(request: Request, ledger: Connection, **told: object) -> Response:
    found = {"users": users.listing(ledger), "teams": teams.listing(ledger), "projects": projects.listing(ledger)}
    return show(request, ledger, "accounts.html", **found, roles=BOARD_ROLES, **{"link": "", "link_for": "", **told})


@router.post("/admin/accounts/users")
def add_user(
    request: Request,
    _me: Admin,
    email: Annotated[str, Form(max_length=320)],
    name: Annotated[str, Form(max_length=200)] = "",
    role: Annotated[str, Form(max_length=20)] = "",
    back: Back = "/admin/accounts",
) -> Response:
    """Let somebody in."""

    def do() -> Told:
        user = accounts.create_user(email, who=deps.who(request), name=name, role=role or None)
        return Told(f"{user.email} is let in; make them a link that signs in once.")

    return act(back, do)


@router.post("/admin/accounts/users/{user_id}/role")
def set_role(
    request: Request,
    _me: Admin,
    user_id: UUID,
    role: Annotated[str, Form(max_length=20)] = "",
    why: Why = "",
    back: Back = "/admin/accounts",
) -> Response:
    """Change what somebody may on the whole board."""

    def do() -> Told:
        user = accounts.set_role(user_id, role or None, who=deps.who(request), why=why)
        return Told(f"{user.email} is {user.role or 'in their teams only'} now.")

    return act(back, do)


@router.post("/admin/accounts/users/{user_id}/{verb}")
def change_user(
    request: Request, me: Admin, user_id: UUID, verb: str, why: Why = "", back: Back = "/admin/accounts"
) -> Response:
    """Keep somebody out, let them in again, or end their sign-ins."""
    who = deps.who(request)

    def do() -> Told:
        if verb == "disable":
            return Told(f"{accounts.disable(user_id, who=who, why=why).email} is kept out.")
        if verb == "enable":
            return Told(f"{accounts.enable(user_id, who=who, why=why).email} is let in again.")
        if verb == "sign-out":
            require(me, Permission.CREDENTIALS)
            return Told(f"{accounts.sign_out_everywhere(user_id, who=who, why=why)} sign-ins are ended.")
        raise NotFound(f"There is no act {verb!r} on a user.")

    return act(back, do)


@router.post("/admin/accounts/links/{user_id}")
def make_link(request: Request, ledger: Ledger, me: Admin, user_id: UUID) -> Response:
    """A link that signs somebody in once, shown this once."""
    require(me, Permission.CREDENTIALS)
    token = accounts.make_link(user_id, who=deps.who(request))
    address = sign_in.link_url(token, console=str(request.base_url).rstrip("/"))
    return _accounts(request, ledger, link=address, link_for=users.get(ledger, user_id).email)


@router.post("/admin/accounts/teams")
def add_team(
    request: Request,
    _me: Admin,
    name: Annotated[str, Form(max_length=200)],
    owner: Annotated[str, Form(max_length=40)] = "",
    back: Back = "/admin/accounts",
) -> Response:
    """Make a team."""
    owner_id = _id("owner", owner)

    def do() -> Told:
        team = accounts.create_team(name, who=deps.who(request), owner=owner_id)
        return Told(f"Team {team.name} is there.", f"/admin/accounts#team-{team.slug}")

    return act(back, do)


def _id(field: str, given: str) -> UUID | None:
    """What a choice of the form stands for; None for its empty one.

    Raises:
        Invalid: It is none of the choices.
    """
    try:
        return UUID(given) if given else None
    except ValueError:
        raise Invalid(field, f"{field}={given!r} is no id; choose one of the list.") from None


# Keys


@router.get("/admin/keys")
def all_keys(request: Request, ledger: Ledger, me: Person) -> Response:
    """One's own keys; an admin's page has everybody's."""
    return _keys(request, ledger, me)


def _keys(request: Request, ledger: Connection, me: Principal, **told: object) -> Response:
    everybody = may(me, Permission.ACCOUNTS_READ)
    return show(
        request,
        ledger,
        "keys.html",
        **{"secret": "", "made": None, "wrong": "", **told},
        keys=keys.listing(ledger, user_id=None if everybody else me.user_id, everything=True),
        scopes=SCOPES,
        teams=teams.listing(ledger, list(me.team_roles)) if me.team_roles else [],
        everybody=everybody,
    )


@router.post("/admin/keys")
def make_key(
    request: Request,
    ledger: Ledger,
    me: Person,
    *,
    name: Annotated[str, Form(max_length=200)],
    scopes: Annotated[list[str] | None, Form()] = None,
    team: Annotated[str, Form(max_length=40)] = "",
    days: Annotated[int, Form(ge=0, le=3650)] = 90,
) -> Response:
    """A new key, shown this once; not by way of a redirect, so that no cookie holds it."""
    team_id = _id("team", team)
    try:
        text, made = accounts.create_key(
            me,
            name,
            scopes or [],
            who=deps.who(request),
            team_id=team_id,
            expires_in=timedelta(days=days) if days else None,
        )
    except CallboardError as error:
        return _keys(request, ledger, me, wrong=str(error))
    return _keys(request, ledger, me, secret=text, made=made)


@router.post("/admin/keys/{key_id}/revoke")
def revoke_key(
    request: Request, ledger: Ledger, me: Person, key_id: UUID, why: Why = "", back: Back = "/admin/keys"
) -> Response:
    """End a key: one's own, a team's that one manages, or anybody's for an admin."""
    key = keys.get(ledger, key_id)
    if key.user_id != me.user_id and not (key.team_id and may(me, Permission.TEAM_MANAGE, team_id=key.team_id)):
        require(me, Permission.ACCOUNTS_WRITE)

    def do() -> Told:
        accounts.revoke_key(key_id, who=deps.who(request), why=why)
        return Told(f"Key {key.name} is revoked.")

    return act(back, do)
