"""Signing in and out: by password, or by a link that works once."""

from __future__ import annotations

import math
from typing import TYPE_CHECKING, Annotated

from fastapi import APIRouter, Form, Query, Request
from fastapi.responses import RedirectResponse, Response

from callboard.accounts import sign_in
from callboard.errors import SignInRefused
from console.deps import address, agent, current, policy, session_token
from console.templating import page

if TYPE_CHECKING:
    from callboard.accounts import Session

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
        where = _inside(next)
        answer = page(request, "sign_in.html", status=_status(refused), email=email, problem=str(refused), next=where)
        return _told(answer, refused)
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
        answer = page(request, "sign_in_link.html", status=_status(refused), token="", problem=str(refused))
        return _told(answer, refused)
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


def _status(refused: SignInRefused) -> int:
    return 401 if refused.retry_after is None else 429


def _told(answer: Response, refused: SignInRefused) -> Response:
    if refused.retry_after is not None:
        answer.headers["Retry-After"] = str(math.ceil(refused.retry_after))
    return answer


def _welcome(request: Request, session: Session, wanted: str) -> Response:
    """A new session in place of the browser's old one, and on to where they wanted to go."""
    before = session_token(request)
    if before is not None:
        sign_in.out(before)
    answer = RedirectResponse(_inside(wanted), 303)
    policy(request).set_cookie(answer, session.token)
    return answer


def _inside(wanted: str) -> str:
    """The path if it is one of ours: no link may lead elsewhere by way of us. Browsers read a backslash as a slash."""
    path = wanted.replace("\\", "/")
    ours = path.startswith("/") and not path.startswith(("//", "/sign-in")) and path.isprintable()
    return wanted if ours else _START
