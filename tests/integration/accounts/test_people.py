"""Users, teams and projects: what holds whatever is done to them."""

from __future__ import annotations

from concurrent.futures import ThreadPoolExecutor
from functools import partial
from typing import TYPE_CHECKING
from uuid import uuid4

import pytest
from sqlalchemy import text

from callboard.accounts import Permission, keys, local_operator, may, permissions, projects, sign_in, teams, users
from callboard.errors import CallboardError, Conflict, Forbidden, Invalid, NotFound
from callboard.ledger.database import transaction
from callboard.operations import accounts
from tests.integration.accounts.conftest import PASSWORD, WHO, Town
from tests.support import eventually

if TYPE_CHECKING:
    from collections.abc import Callable

    from sqlalchemy import Connection

_WAITING = text("""
select count(*) from pg_stat_activity where datname = current_database() and wait_event_type = 'Lock'
""")


def _somebody_waits() -> bool:
    with transaction() as connection:  # one of its own: within one, the statistics do not change
        return bool(connection.execute(_WAITING).scalar_one())


def meanwhile(first: Callable[[Connection], object], second: Callable[[], object]) -> BaseException | None:
    """What the second act raised, begun while the first was done but not yet committed."""
    with ThreadPoolExecutor(1) as pool:
        with transaction() as connection:
            first(connection)
            waiting = pool.submit(second)
            eventually(_somebody_waits, what="the second act at the first one's lock")
        return waiting.exception(10)


def test_an_address_is_one_person_in_any_case(town: Town) -> None:
    with pytest.raises(Conflict, match=r"Root@Example\.org is there already"):
        accounts.create_user("Root@Example.org", who=WHO)
    with transaction() as connection:
        assert users.by_email(connection, " ROOT@example.org ").id == town.root.id
        assert [user.email[:4] for user in users.listing(connection)] == ["adam", "mia@", "olga", "root"]
        assert [user.email for user in users.listing(connection, search="MIA")] == ["mia@example.org"]
        assert [user.email[:4] for user in users.listing(connection, after="MIA@example.org", limit=1)] == ["olga"]


def test_what_does_not_fit_names_its_field(town: Town) -> None:
    acts: dict[str, Callable[[], object]] = {
        "email": partial(accounts.create_user, "nobody", who=WHO),
        "role": partial(accounts.set_role, town.mia.id, "boss", who=WHO),
        "password": partial(accounts.set_password, town.mia.id, "short", who=WHO),
        "slug": partial(accounts.create_team, "Red", slug="Red!", who=WHO),
        "minutes": partial(accounts.make_link, town.mia.id, minutes=0, who=WHO),
    }
    for field, act in acts.items():
        with pytest.raises(Invalid) as refused:
            act()
        assert refused.value.field == field


def test_what_postgres_cannot_hold_is_just_not_there(town: Town) -> None:
    odd = "a\x00\ud800"
    with transaction() as connection:
        assert users.listing(connection, search=odd, after=odd) == []
        for find in (users.by_email, teams.by_slug, keys.by_prefix, partial(projects.by_slug, slug=odd)):
            with pytest.raises(NotFound):
                find(connection, odd)
        assert not sign_in.end(connection, town.root.id, odd)


def test_a_user_with_a_bad_password_is_not_made(town: Town) -> None:
    with pytest.raises(Invalid):
        accounts.create_user("new@example.org", password="short", who=WHO)
    with transaction() as connection, pytest.raises(NotFound, match=r"No user is new@example\.org"):
        users.by_email(connection, "new@example.org")
    assert town.root.has_password


def test_the_last_admin_stays(town: Town) -> None:
    for act in (
        partial(accounts.disable, town.root.id, who=WHO),
        partial(accounts.set_role, town.root.id, "operator", who=WHO),
        partial(accounts.set_role, town.root.id, None, who=WHO),
    ):
        with pytest.raises(Conflict, match="last admin"):
            act()
    accounts.set_role(town.olga.id, "admin", who=WHO)
    accounts.disable(town.olga.id, who=WHO)
    with pytest.raises(Conflict, match="last admin"):  # a disabled one is no help
        accounts.disable(town.root.id, who=WHO)


def test_two_admins_who_remove_each_other_leave_one(town: Town) -> None:
    accounts.set_role(town.olga.id, "admin", who=WHO)
    first = partial(users.set_role, user_id=town.root.id, role=None)
    assert isinstance(meanwhile(first, partial(accounts.disable, town.olga.id, who=WHO)), Conflict)


def test_a_disabled_user_is_out_at_once_and_comes_back_without_their_sign_ins(town: Town) -> None:
    accounts.set_password(town.mia.id, PASSWORD, who=WHO)
    session = sign_in.with_password("mia@example.org", PASSWORD, ip=None, agent=None)
    key, link = town.key(town.mia), accounts.make_link(town.mia.id, who=WHO)
    accounts.disable(town.mia.id, who=WHO)
    assert (sign_in.find(session.token), keys.find(key)) == (None, None)
    with pytest.raises(Forbidden, match="disabled"):
        accounts.make_link(town.mia.id, who=WHO)
    accounts.enable(town.mia.id, who=WHO)
    assert sign_in.find(session.token) is None
    assert keys.find(key) is not None
    with pytest.raises(CallboardError, match="used before"):
        sign_in.with_link(link, ip=None, agent=None)


def test_the_local_operator_is_made_once(ledger: None) -> None:
    assert ledger is None
    with ThreadPoolExecutor(6) as pool:
        (one,) = set(pool.map(lambda _: local_operator(), range(6)))
    assert (one.email, one.role, one.has_password) == ("operator@localhost", "admin", False)
    with transaction() as connection:
        assert [user.id for user in users.listing(connection)] == [one.id]


def test_the_last_owner_of_a_team_stays(town: Town) -> None:
    for act in (
        partial(accounts.set_member, town.red.id, town.olga.id, "admin", who=WHO, principal=None),
        partial(accounts.remove_member, town.red.id, town.olga.id, who=WHO, principal=None),
        partial(accounts.remove_member, town.red.id, town.olga.id, who=WHO, principal=town.principal(town.olga)),
    ):
        with pytest.raises(Conflict, match="last owner"):
            act()
    accounts.set_member(town.red.id, town.adam.id, "owner", who=WHO, principal=town.principal(town.olga))
    first = partial(teams.remove_member, team_id=town.red.id, user_id=town.olga.id, principal=None)
    second = partial(accounts.remove_member, town.red.id, town.adam.id, who=WHO, principal=None)
    assert isinstance(meanwhile(first, second), Conflict)


def test_only_an_owner_makes_and_unmakes_owners(town: Town) -> None:
    adam = town.principal(town.adam)
    for act in (
        partial(accounts.set_member, town.red.id, town.mia.id, "owner", who=WHO, principal=adam),
        partial(accounts.set_member, town.red.id, town.olga.id, "member", who=WHO, principal=adam),
        partial(accounts.set_member, town.red.id, town.adam.id, "owner", who=WHO, principal=adam),
        partial(accounts.remove_member, town.red.id, town.olga.id, who=WHO, principal=adam),
    ):
        with pytest.raises(Forbidden, match="owner"):
            act()
    accounts.set_member(town.red.id, town.mia.id, "admin", who=WHO, principal=adam)
    accounts.remove_member(town.red.id, town.mia.id, who=WHO, principal=adam)
    with pytest.raises(NotFound, match="not in this team"):
        accounts.remove_member(town.red.id, town.mia.id, who=WHO, principal=adam)


def test_a_member_may_leave_and_change_nobody(town: Town) -> None:
    mia = town.principal(town.mia)
    with pytest.raises(Forbidden, match="team role owner or admin"):
        accounts.remove_member(town.red.id, town.adam.id, who=WHO, principal=mia)
    accounts.remove_member(town.red.id, town.mia.id, who=WHO, principal=mia)
    assert town.projects_of(town.principal(town.mia)) == set()


def test_everybody_sees_the_projects_of_their_teams(town: Town) -> None:
    red, blue = str(town.red_one.id), str(town.blue_one.id)
    seen = {user.email[:4]: town.projects_of(town.principal(user)) for user in (town.root, town.adam, town.mia)}
    assert seen == {"root": {red, blue}, "adam": {red, blue}, "mia@": {red}}
    with transaction() as connection:
        assert permissions.reach(connection, town.principal(town.root)) is None
        assert permissions.reach(connection, town.principal(town.mia)) == {red}


def test_a_deleted_team_is_out_of_reach_with_all_it_has(town: Town) -> None:
    key, roots = town.key(town.olga, team=town.red.id), town.key(town.root, team=town.red.id)
    accounts.delete_team(town.red.id, who=WHO)
    assert (keys.find(key), keys.find(roots)) == (None, None)
    olga = town.principal(town.olga)
    assert not may(olga, Permission.TEAM_READ, team_id=town.red.id)
    assert town.projects_of(olga) == set()
    assert town.projects_of(town.principal(town.root)) == {str(town.blue_one.id)}
    with transaction() as connection:
        assert permissions.team_of_project(connection, town.red_one.id) is None
        assert [team.slug for team in teams.listing(connection)] == ["blue"]
        assert [project.team for project in projects.listing(connection)] == ["blue"]
        for find in (partial(teams.get, connection, town.red.id), partial(teams.by_slug, connection, "red")):
            with pytest.raises(NotFound):
                find()
    for act in (
        partial(accounts.delete_team, town.red.id, who=WHO),
        partial(accounts.rename_team, town.red.id, "Rot", who=WHO),
        partial(accounts.create_project, town.red.id, "Two", who=WHO),
        partial(accounts.set_member, town.red.id, town.mia.id, "admin", who=WHO, principal=None),
    ):
        with pytest.raises(NotFound):
            act()


def test_a_slug_is_free_again_after_a_deletion(town: Town) -> None:
    with pytest.raises(Conflict, match="red is there already"):
        accounts.create_team("RED", who=WHO)
    accounts.delete_team(town.red.id, who=WHO)
    assert accounts.create_team("RED", who=WHO).slug == "red"
    with pytest.raises(Conflict, match="one already"):
        accounts.create_project(town.blue.id, "one", who=WHO)
    accounts.delete_project(town.blue_one.id, who=WHO)
    assert accounts.create_project(town.blue.id, "one", who=WHO).slug == "one"


def test_a_deleted_project_is_out_of_reach(town: Town) -> None:
    accounts.delete_project(town.red_one.id, who=WHO)
    assert town.projects_of(town.principal(town.olga)) == set()
    with transaction() as connection:
        assert permissions.team_of_project(connection, str(town.blue_one.id)) == town.blue.id
        for gone in (town.red_one.id, uuid4(), "no id at all"):
            assert permissions.team_of_project(connection, gone) is None


def test_names_change_and_slugs_stay(town: Town) -> None:
    team, project = (
        accounts.rename_team(town.red.id, "Rot", who=WHO),
        accounts.rename_project(town.red_one.id, "Eins", who=WHO),
    )
    assert (team.slug, team.name, team.members, team.projects) == ("red", "Rot", 3, 1)
    assert (project.team, project.slug, project.name) == ("red", "one", "Eins")
    assert accounts.set_name(town.mia.id, "Mia M.", who=WHO).name == "Mia M."
    with transaction() as connection:
        assert [(one.email[:4], one.role) for one in teams.members(connection, team.id)] == [
            ("adam", "admin"),
            ("mia@", "member"),
            ("olga", "owner"),
        ]
