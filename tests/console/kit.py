"""A console of one test: the real server on a port of its own, and clients that are signed in."""

from __future__ import annotations

from contextlib import contextmanager
from typing import TYPE_CHECKING
from uuid import UUID, uuid4

import httpx
from sqlalchemy import text

from callboard.accounts import sign_in
from callboard.ledger.database import transaction
from console.app import make_app
from console.security import CSRF_HEADER, csrf_token
from console.server import ConsoleServer

if TYPE_CHECKING:
    from collections.abc import Iterator, Sequence

    from fastapi import APIRouter, FastAPI

    from callboard.settings import Settings

_USER = text("insert into board.users (id, email, name, role) values (:id, :email, '', :role)")
_TEAM = text("insert into board.teams (id, slug, name) values (:id, :slug, '')")
_PROJECT = text("insert into board.projects (id, team_id, slug, name) values (:id, :team_id, :slug, '')")
_MEMBER = text("insert into board.memberships (team_id, user_id, role) values (:team_id, :user_id, :role)")


@contextmanager
def serving(settings: Settings, *, routers: Sequence[APIRouter] = ()) -> Iterator[ConsoleServer]:
    """A console with these routers beside sign-in, stream and probes, until the end of the block."""
    with serving_app(make_app(settings, routers=routers), settings) as server:
        yield server


@contextmanager
def serving_app(app: FastAPI, settings: Settings) -> Iterator[ConsoleServer]:
    """The server of this app."""
    server = ConsoleServer(app, settings, port=0)
    server.start()
    try:
        yield server
    finally:
        server.stop()


def add_user(role: str | None = "admin", email: str | None = None) -> UUID:
    """A person with this role on the board."""
    user_id = uuid4()
    with transaction() as connection:
        connection.execute(_USER, {"id": user_id, "email": email or f"{user_id.hex}@example.org", "role": role})
    return user_id


def add_project(*members: UUID) -> str:
    """A project in a team of its own, whose members these are; its id."""
    team_id, project_id = uuid4(), uuid4()
    with transaction() as connection:
        connection.execute(_TEAM, {"id": team_id, "slug": team_id.hex})
        connection.execute(_PROJECT, {"id": project_id, "team_id": team_id, "slug": project_id.hex})
        for user_id in members:
            connection.execute(_MEMBER, {"team_id": team_id, "user_id": user_id, "role": "member"})
    return str(project_id)


def session_of(user_id: UUID) -> str:
    """The token of a new sign-in."""
    return sign_in.with_link(sign_in.make_link(user_id), ip=None, agent=None).token


@contextmanager
def signed_in(server: ConsoleServer, user_id: UUID | None = None) -> Iterator[httpx.Client]:
    """A browser of this user, or of a new admin: with the cookie, from the same origin, with the token of its forms."""
    token = session_of(add_user() if user_id is None else user_id)
    headers = {"Origin": server.url, CSRF_HEADER: csrf_token(token)}
    with httpx.Client(base_url=server.url, cookies={"callboard": token}, headers=headers, timeout=10) as client:
        yield client
