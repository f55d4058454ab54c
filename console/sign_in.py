"""Signing in and out: by password, or by a link that works once."""

from __future__ import annotations

from typing import TYPE_CHECKING, Annotated

from fastapi import APIRouter, Form, Query, Request
from fastapi.responses import RedirectResponse, Response

from callboard.accounts import sign_in
from callboard.accounts.permissions import Permission, may
from callboard.errors import SignInRefused
from console.answers import headers_of, status_of
from console.deps import address, agent, current, policy, session_token
from console.templating import page

if TYPE_CHECKING:
    from callboard.accounts import Principal, Session

router = APIRouter(include_in_schema=False)
_START = "/"


@router.get("/sign-in")
def ask(request: Request, next: str = "") -> Response:  # noqa: A002 - the parameter's name in the address
    """The form."""
    if current(request) is not None:
        return RedirectResponse(_inside(next), 303)
    return page(request, "sign_in.html", email="", problem="", next=_inside(next))


@router.post("/sign-in")
def with_password(
    request: Request,
    email: Annotated[str, Form(max_length=320)],
    password: Annotated[str, Form(max_length=1024)],
    next: Annotated[str, Form(max_length=2000)] = "",  # noqa: A002 - the field's name
) -> Response:
    """Sign in."""
    try:
        session = sign_in.with_password(email, password, ip=address(request), agent=agent(request))
    except SignInRefused as refused:
        return _refused(request, "sign_in.html", refused, email=email, next=_inside(next))
    return _welcome(request, session, next)


@router.get("/sign-in/link")
def ask_link(request: Request, token: Annotated[str, Query(max_length=200)] = "") -> Response:
    """A button: a mail program or chat that looks at the address must not use the link up."""
    return page(request, "sign_in_link.html", token=token, problem="")


@router.post("/sign-in/link")
def with_link(request: Request, token: Annotated[str, Form(max_length=200)]) -> Response:
    """Sign in by the link."""
    try:
        session = sign_in.with_link(token, ip=address(request), agent=agent(request))
    except SignInRefused as refused:
        return _refused(request, "sign_in_link.html", refused, token="")
    return _welcome(request, session, "")


@router.post("/sign-out")
def leave(request: Request) -> Response:
    """Sign out."""
    token = session_token(request)
    if token is not None:
        sign_in.out(token)
    answer = RedirectResponse("/sign-in", 303)
    policy(request).drop_cookie(answer)
    return answer


def _refused(request: Request, template: str, refused: SignInRefused, **shown: str) -> Response:
    answer = page(request, template, status=status_of(refused), problem=str(refused), **shown)
    answer.headers.update(headers_of(refused))
    return answer


def _welcome(request: Request, session: Session, wanted: str) -> Response:
    """A new session in place of the browser's old one, and on to where they wanted to go."""
    before = session_token(request)
    if before is not None:
        sign_in.out(before)
    answer = RedirectResponse(_where(session.principal, wanted), 303)
    policy(request).set_cookie(answer, session.token)
    return answer


def _where(principal: Principal, wanted: str) -> str:
    """Where they wanted to go; else the start, which for people without a role on the board is their teams."""
    path = _inside(wanted)
    return "/teams" if path == _START and not may(principal, Permission.BOARD_READ) else path


def _inside(wanted: str) -> str:
    """The path if it is one of ours: no link may lead elsewhere by way of us. Browsers read a backslash as a slash."""
    path = wanted.replace("\\", "/")
    ours = path.startswith("/") and not path.startswith(("//", "/sign-in")) and path.isprintable()
    return wanted if ours else _START
