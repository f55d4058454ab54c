"""Who may do what: properties that hold for every principal there can be, and the table itself."""

from __future__ import annotations

from dataclasses import replace
from uuid import UUID, uuid4

import pytest
from hypothesis import given
from hypothesis import strategies as st

from callboard.accounts import Permission, Principal, may, require
from callboard.accounts.permissions import GRANTS, SCOPES
from callboard.accounts.principal import BoardRole, TeamRole
from callboard.errors import Forbidden
from callboard.ledger.account_tables import BOARD_ROLES, TEAM_ROLES

ONE, TWO, ELSEWHERE = (UUID(int=number) for number in (1, 2, 3))
TEAMS = [ONE, TWO, ELSEWHERE]
BOARD = [permission for permission in Permission if permission.name.startswith(("BOARD", "ACCOUNTS", "AUDIT", "CRED"))]

teams = st.sampled_from([None, *TEAMS])
permissions = st.sampled_from(list(Permission))
people = st.builds(
    Principal,
    user_id=st.just(uuid4()),
    email=st.just("anna@example.org"),
    role=st.sampled_from([None, *BOARD_ROLES]),
    team_roles=st.dictionaries(st.sampled_from([ONE, TWO]), st.sampled_from(TEAM_ROLES)),
)
scopes = st.frozensets(st.sampled_from(SCOPES))
keys = st.builds(
    lambda person, team, scopes: replace(person, key_id=uuid4(), key_team=team, scopes=scopes), people, teams, scopes
)


@given(keys, permissions, teams)
def test_a_key_never_may_what_its_owner_may_not(key: Principal, permission: Permission, team: UUID | None) -> None:
    assert may(key.owner(), permission, team_id=team) or not may(key, permission, team_id=team)


@given(keys, scopes, permissions, teams)
def test_scopes_and_teams_only_take_away(
    key: Principal, more: frozenset[str], permission: Permission, team: UUID | None
) -> None:
    assert key.scopes is not None
    if may(key, permission, team_id=team):
        assert may(replace(key, scopes=key.scopes | more), permission, team_id=team)
        assert may(replace(key, key_team=None), permission, team_id=team)


@given(keys.filter(lambda key: key.key_team is not None), permissions, teams)
def test_a_team_key_has_nothing_but_its_team(key: Principal, permission: Permission, team: UUID | None) -> None:
    if team != key.key_team or permission in BOARD:
        assert not may(key, permission, team_id=team)


@given(st.one_of(people, keys), permissions, teams)
def test_require_refuses_what_may_denies_and_says_what_is_needed(
    principal: Principal, permission: Permission, team: UUID | None
) -> None:
    if may(principal, permission, team_id=team):
        require(principal, permission, team_id=team)
        return
    with pytest.raises(Forbidden, match=permission.value) as refused:
        require(principal, permission, team_id=team)
    assert any(word in str(refused.value) for word in ("role", "scope", "sign in", "one team"))


@given(people, permissions)
def test_a_role_in_a_team_is_nothing_elsewhere(person: Principal, permission: Permission) -> None:
    stranger = replace(person, team_roles={})
    assert may(person, permission, team_id=ELSEWHERE) == may(stranger, permission, team_id=ELSEWHERE)
    assert may(person, permission) == may(stranger, permission)


@pytest.mark.parametrize("permission", Permission)
def test_a_higher_role_has_all_that_a_lower_one_has(permission: Permission) -> None:
    grant = GRANTS[permission]
    assert grant.board in ((), ("admin",), ("admin", "operator"), BOARD_ROLES)
    assert grant.team in ((), ("owner",), ("owner", "admin"), TEAM_ROLES)
    assert grant.scope in (None, *SCOPES)


def test_what_each_role_is_for() -> None:
    def all_of(role: BoardRole | None = None, team: TeamRole | None = None) -> set[str]:
        roles = {} if team is None else {ONE: team}
        person = Principal(user_id=uuid4(), email="a@b", role=role, team_roles=roles)
        return {permission.name for permission in Permission if may(person, permission, team_id=ONE)} - {"OWN_ACCOUNT"}

    assert all_of() == set()
    assert all_of("viewer") == {"BOARD_READ", "TEAM_READ"}
    assert all_of("operator") == {"BOARD_READ", "BOARD_WRITE", "AUDIT_READ", "TEAM_READ", "TEAM_RUN"}
    assert all_of("admin") == {permission.name for permission in Permission} - {"OWN_ACCOUNT"}
    assert all_of(team="member") == {"TEAM_READ"}
    assert all_of(team="admin") == {"TEAM_READ", "TEAM_RUN", "TEAM_MANAGE"}
    assert all_of(team="owner") == {"TEAM_READ", "TEAM_RUN", "TEAM_MANAGE", "TEAM_OWN"}


def test_what_only_a_person_who_signed_in_may() -> None:
    root = Principal(user_id=uuid4(), email="a@b", role="admin", key_id=uuid4(), scopes=frozenset(SCOPES))
    denied = {permission for permission in Permission if not may(root, permission, team_id=ONE)}
    assert denied == {Permission.CREDENTIALS, Permission.OWN_ACCOUNT}


def test_who_is_told_apart_by_person_and_key() -> None:
    user, key = uuid4(), uuid4()
    person = Principal(user_id=user, email="a@b")
    assert person.who("10.0.0.1", "curl", ONE).name == f"manual:user:{user}"
    assert replace(person, key_id=key).who().name == f"manual:api_key:{key}"
    assert (person.who("10.0.0.1", "curl", ONE).ip, person.who(team_id=ONE).team_id) == ("10.0.0.1", ONE)
