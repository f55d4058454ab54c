"""People on a fresh ledger; passwords are hashed with less work than in earnest."""

from __future__ import annotations

from dataclasses import dataclass
from typing import TYPE_CHECKING

import pytest
from sqlalchemy import text

from callboard.accounts import Principal, permissions, principal
from callboard.ledger.database import dispose, transaction
from callboard.operations import Who, accounts
from callboard.settings import get_settings
from tests.passwords import light_hashes  # noqa: F401 - a fixture

if TYPE_CHECKING:
    from collections.abc import Callable, Iterator, Sequence
    from uuid import UUID

    from callboard.accounts.projects import Project
    from callboard.accounts.teams import Team
    from callboard.accounts.users import User

_EMPTY = text("truncate board.users, board.teams, board.audit, board.sign_in_failures cascade")
PASSWORD = "correct horse battery staple"
WHO = Who("cli:test")


@dataclass
class Town:
    """Two teams and those who are in them; Root is an admin of the board and in no team."""

    root: User
    olga: User
    adam: User
    mia: User
    red: Team
    blue: Team
    red_one: Project
    blue_one: Project

    def principal(self, user: User) -> Principal:
        with transaction() as connection:
            found = principal.load(connection, user.id)
        assert found is not None
        return found

    def projects_of(self, who: Principal) -> set[str]:
        with transaction() as connection:
            return permissions.projects_of(connection, who)

    def key(self, user: User, *scopes: str, team: UUID | None = None) -> str:
        wanted: Sequence[str] = scopes or ["jobs:read"]
        return accounts.create_key(self.principal(user), "test", wanted, who=WHO, team_id=team)[0]


@pytest.fixture(scope="session")
def accounts_url(new_database: Callable[..., str], template_database: str) -> str:
    """One database for all tests of accounts: emptying it is much cheaper than a new one."""
    return new_database("accounts", template_database)


@pytest.fixture
def ledger(monkeypatch: pytest.MonkeyPatch, accounts_url: str) -> Iterator[None]:
    """A ledger without anybody; no broker."""
    monkeypatch.setenv("CALLBOARD_DATABASE_URL", accounts_url)
    get_settings.cache_clear()
    dispose()
    with transaction() as connection:
        connection.execute(_EMPTY)
    yield
    dispose()
    get_settings.cache_clear()


@pytest.fixture
def town(ledger: None) -> Town:
    """Root, and a red team of an owner, an admin and a member; the blue one is its owner's alone."""
    assert ledger is None
    root = accounts.create_user("root@example.org", role="admin", password=PASSWORD, who=WHO)
    olga, adam, mia = (accounts.create_user(f"{name}@example.org", who=WHO) for name in ("olga", "adam", "mia"))
    red = accounts.create_team("Red", owner=olga.id, who=WHO)
    accounts.set_member(red.id, adam.id, "admin", who=WHO, principal=None)
    accounts.set_member(red.id, mia.id, "member", who=WHO, principal=None)
    blue = accounts.create_team("Blue", owner=adam.id, who=WHO)
    red_one, blue_one = (accounts.create_project(team.id, "One", who=WHO) for team in (red, blue))
    return Town(root, olga, adam, mia, red, blue, red_one, blue_one)
