"""API keys: found by one look-up, and never stronger than whose they are."""

from __future__ import annotations

from dataclasses import replace
from datetime import timedelta
from typing import TYPE_CHECKING
from uuid import uuid4

import pytest
from sqlalchemy import event, text

from callboard.accounts import Permission, keys, may
from callboard.errors import Forbidden, Invalid, NotFound
from callboard.ledger.database import get_engine, transaction
from callboard.operations import accounts
from observability.redaction import REDACTED, redact_text
from tests.integration.accounts.conftest import WHO, Town

if TYPE_CHECKING:
    from callboard.accounts import Principal


def found(key: str) -> Principal:
    principal = keys.find(key)
    assert principal is not None
    return principal


def test_a_key_is_its_owner_cut_by_scopes_and_team(town: Town) -> None:
    key, row = accounts.create_key(
        town.principal(town.olga), "ci", ["jobs:write", "jobs:read"], team_id=town.red.id, who=WHO
    )
    principal = found(key)
    assert (principal.user_id, principal.key_id, principal.key_team) == (town.olga.id, row.id, town.red.id)
    assert principal.scopes == frozenset(["jobs:read", "jobs:write"])
    assert may(principal, Permission.TEAM_RUN, team_id=town.red.id)
    assert not may(principal, Permission.TEAM_MANAGE, team_id=town.red.id)
    assert principal.who().name == f"manual:api_key:{row.id}"
    assert (row.team, row.owner, row.state, row.scopes) == (
        "red",
        "olga@example.org",
        "active",
        ("jobs:read", "jobs:write"),
    )


def test_a_key_is_kept_as_a_hash_and_shown_by_its_first_characters(town: Town) -> None:
    key = town.key(town.mia)
    assert (len(key), key[:3]) == (46, "cb_")
    with transaction() as connection:
        (row,) = connection.execute(text("select prefix, k::text as whole from board.api_keys k")).all()
    assert row.prefix == key[:11]
    assert key not in row.whole
    assert redact_text(f"GET /v1/jobs by {key}, refused") == f"GET /v1/jobs by {REDACTED}, refused"


@pytest.mark.parametrize("key", ["", "cb_", "cb_" + "a" * 43, "x" * 46, "cb_" + "\x00" * 43, "cb_" + "\ud800" * 43])
def test_what_is_no_key_is_nobodys(town: Town, key: str) -> None:
    assert town.root.id
    assert keys.find(key) is None


def test_a_demoted_owner_demotes_the_key(town: Town) -> None:
    accounts.set_role(town.olga.id, "operator", who=WHO)
    board, team = town.key(town.olga, "jobs:write"), town.key(town.olga, "jobs:write", team=town.red.id)
    assert may(found(board), Permission.BOARD_WRITE)
    accounts.set_role(town.olga.id, None, who=WHO)
    accounts.set_member(town.red.id, town.adam.id, "owner", who=WHO, principal=None)
    accounts.set_member(town.red.id, town.olga.id, "member", who=WHO, principal=None)
    assert not may(found(board), Permission.BOARD_WRITE)
    assert not may(found(team), Permission.TEAM_RUN, team_id=town.red.id)
    accounts.remove_member(town.red.id, town.olga.id, who=WHO, principal=None)
    assert town.projects_of(found(team)) == set()


def test_an_admins_team_key_sees_that_team_alone(town: Town) -> None:
    principal = found(town.key(town.root, "jobs:read", "accounts:write", team=town.red.id))
    assert town.projects_of(principal) == {str(town.red_one.id)}
    assert may(principal, Permission.TEAM_OWN, team_id=town.red.id)
    assert not may(principal, Permission.TEAM_READ, team_id=town.blue.id)
    assert not may(principal, Permission.BOARD_READ)


def test_a_key_without_the_scope_to_read_sees_no_project(town: Town) -> None:
    assert town.projects_of(found(town.key(town.root, "jobs:write"))) == set()
    assert town.projects_of(found(town.key(town.mia, "jobs:write", team=town.red.id))) == set()


def test_a_revoked_and_an_expired_key_are_nobodys(town: Town) -> None:
    revoked, row = accounts.create_key(town.principal(town.mia), "old", ["jobs:read"], who=WHO)
    expired = accounts.create_key(
        town.principal(town.mia), "short", ["jobs:read"], expires_in=timedelta(hours=1), who=WHO
    )[0]
    found(revoked), found(expired)
    first = accounts.revoke_key(row.id, who=WHO)
    with transaction() as connection:
        connection.execute(text("update board.api_keys set expires_at = now() where name = 'short'"))
    assert (keys.find(revoked), keys.find(expired)) == (None, None)
    with transaction() as connection:
        assert keys.listing(connection, user_id=town.mia.id) == []
        states = {key.name: key.state for key in keys.listing(connection, everything=True)}
        assert keys.by_prefix(connection, revoked[:11]).id == row.id
    assert states == {"old": "revoked", "short": "expired"}
    assert accounts.revoke_key(row.id, who=WHO).revoked_at == first.revoked_at


def test_what_a_key_cannot_be_made_of(town: Town) -> None:
    mia = town.principal(town.mia)
    with pytest.raises(Invalid, match="'jobs:everything' is none of"):
        accounts.create_key(mia, "ci", ["jobs:everything"], who=WHO)
    with pytest.raises(Invalid, match="expires_in"):
        accounts.create_key(mia, "ci", ["jobs:read"], expires_in=timedelta(0), who=WHO)
    with pytest.raises(Forbidden, match=r"mia@example\.org is not in that team"):
        accounts.create_key(mia, "ci", ["jobs:read"], team_id=town.blue.id, who=WHO)
    with pytest.raises(NotFound, match="No team is"):
        accounts.create_key(town.principal(town.root), "ci", ["jobs:read"], team_id=uuid4(), who=WHO)
    with pytest.raises(Forbidden, match="A key cannot make keys"):
        accounts.create_key(found(town.key(town.root, "accounts:write")), "ci", ["jobs:read"], who=WHO)
    with pytest.raises(NotFound):
        accounts.revoke_key(uuid4(), who=WHO)
    assert replace(mia, scopes=None) == mia


def test_a_look_up_is_one_query_and_its_use_is_written_once_a_minute(town: Town) -> None:
    key, statements = town.key(town.mia), list[str]()
    engine = get_engine()
    event.listen(engine, "before_cursor_execute", lambda *given: statements.append(given[2].split()[0]))
    found(key), found(key)
    assert statements == ["select", "update", "select"]
    with transaction() as connection:
        connection.execute(text("update board.api_keys set last_used_at = last_used_at - interval '61 seconds'"))
    statements.clear()
    found(key), found(key)
    assert statements == ["select", "update", "select"]


def test_a_look_up_goes_by_the_index(town: Town) -> None:
    filled = text("""
        insert into board.api_keys (id, user_id, name, prefix, key_hash, scopes)
        select gen_random_uuid(), :user_id, 'k', 'cb_', sha256(n::text::bytea), '{jobs:read}'
        from generate_series(1, 2000) n
    """)
    with transaction() as connection:
        connection.execute(filled, {"user_id": town.mia.id})
        connection.execute(text("analyze board.api_keys"))
        given = {"key_hash": b"x" * 32}
        plan = "\n".join(connection.execute(text(f"explain {keys._FIND.text}"), given).scalars())
    assert "Index Scan using api_keys_key_hash" in plan
