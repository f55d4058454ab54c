"""People, their sessions and their keys, and how each asks the API."""

from __future__ import annotations

from contextlib import ExitStack
from dataclasses import dataclass
from typing import TYPE_CHECKING, Any
from uuid import UUID, uuid4

import httpx
from sqlalchemy import text

from callboard.accounts import _tokens, keys
from callboard.ledger.database import transaction
from console.security import CSRF_HEADER, csrf_token
from tests.console.kit import add_user, session_of

if TYPE_CHECKING:
    from collections.abc import Iterable

_TEAM = text("insert into board.teams (id, slug, name) values (:id, :slug, :slug)")
_MEMBER = text("insert into board.memberships (team_id, user_id, role) values (:team_id, :user_id, :role)")
_PROJECT = text("insert into board.projects (id, team_id, slug, name) values (:id, :team_id, :slug, :slug)")
# Straight into the table: the API makes no key without a scope, but one that has none must open nothing.
_KEY = text("""
insert into board.api_keys (id, team_id, user_id, name, prefix, key_hash, scopes)
values (:id, :team_id, :user_id, 'test', :prefix, :key_hash, :scopes)
""")


@dataclass(frozen=True)
class Team:
    """A team with one project."""

    id: UUID
    slug: str
    project: str


def add_team(slug: str, **members: UUID) -> Team:
    """A team with a project, and members by their role."""
    team = Team(uuid4(), slug, str(uuid4()))
    with transaction() as connection:
        connection.execute(_TEAM, {"id": team.id, "slug": slug})
        connection.execute(_PROJECT, {"id": team.project, "team_id": team.id, "slug": f"{slug}-project"})
        for role, user_id in members.items():
            connection.execute(_MEMBER, {"team_id": team.id, "user_id": user_id, "role": role})
    return team


def add_key(user_id: UUID, scopes: Iterable[str], team_id: UUID | None = None) -> str:
    """A key of this user's; the key itself."""
    key = keys.MARK + _tokens.new_token()
    given = {
        "id": uuid4(),
        "team_id": team_id,
        "user_id": user_id,
        "prefix": key[:11],
        "key_hash": _tokens.digest(key),
        "scopes": list(scopes),
    }
    with transaction() as connection:
        connection.execute(_KEY, given)
    return key


def session_headers(user_id: UUID) -> dict[str, str]:
    """What a page of a new sign-in sends with its requests."""
    return page_headers(session_of(user_id))


def page_headers(token: str) -> dict[str, str]:
    """What a page sends with this session."""
    return {"Cookie": f"callboard={token}", "Sec-Fetch-Site": "same-origin", CSRF_HEADER: csrf_token(token)}


def key_headers(key: str) -> dict[str, str]:
    """What a program sends."""
    return {"Authorization": f"Bearer {key}"}


class Api:
    """Clients of one console."""

    def __init__(self, url: str, opened: ExitStack) -> None:
        self.url = url
        self._opened = opened

    def client(self, headers: dict[str, str] | None = None) -> httpx.Client:
        """A client that sends these with every request."""
        made = httpx.Client(base_url=self.url, headers=headers or {}, timeout=20)
        return self._opened.enter_context(made)

    def signed_in(self, user_id: UUID | None = None, *, role: str | None = "admin") -> httpx.Client:
        """A page of this user, or of a new one of that role on the board."""
        return self.client(session_headers(add_user(role) if user_id is None else user_id))

    def with_key(self, user_id: UUID, *scopes: str, team_id: UUID | None = None) -> httpx.Client:
        """A program with a new key of this user."""
        return self.client(key_headers(add_key(user_id, scopes, team_id)))


def ok(answer: httpx.Response, status: int = 200) -> Any:  # noqa: ANN401 - JSON
    """The body of an answer that must have this status."""
    assert answer.status_code == status, f"{answer.request.method} {answer.url}: {answer.status_code} {answer.text}"
    return answer.json()
