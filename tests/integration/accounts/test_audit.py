"""The audit: every change is in it, and it can be searched and paged."""

from __future__ import annotations

import inspect
from functools import partial
from typing import TYPE_CHECKING

import pytest
from sqlalchemy import text

from callboard.accounts import sign_in
from callboard.errors import FilterError
from callboard.filters import parse
from callboard.ledger import audit, pages
from callboard.ledger.database import transaction
from callboard.operations import Who, accounts
from callboard.operations import audit as note
from tests.integration.accounts.conftest import PASSWORD, WHO, Town

if TYPE_CHECKING:
    from collections.abc import Callable

    from sqlalchemy import RowMapping

    from callboard.ledger.pages import Page


def rows(text_: str = "", cursor: str | None = None, limit: int = 50) -> Page:
    with transaction() as connection:
        return pages.page(connection, parse(text_, "audit"), cursor=cursor, limit=limit)


def fill(count: int, who: Who = WHO) -> None:
    with transaction() as connection:
        for number in range(count):
            note(connection, who, "queue.pause", ("queue", f"q{number}"), why="tired of it")


@pytest.fixture
def empty(town: Town) -> Town:
    with transaction() as connection:
        connection.execute(text("truncate board.audit"))
    return town


def test_every_change_writes_its_row(empty: Town) -> None:
    town, who = empty, Who("manual:user:x", "10.0.0.1", "Firefox")
    user, team = town.mia.id, town.red.id
    by_link = sign_in.with_link(accounts.make_link(town.root.id, who=who), ip=None, agent=None)
    made = [accounts.create_key(town.principal(town.mia), "k", ["jobs:read"], team_id=team, who=who)[1]]
    acts: dict[str, Callable[..., object]] = {
        "create_user": partial(accounts.create_user, "new@example.org", password=PASSWORD),
        "set_name": partial(accounts.set_name, user, "Mia"),
        "set_role": partial(accounts.set_role, user, "viewer", why="on call"),
        "set_password": partial(accounts.set_password, user, PASSWORD),
        "change_own_password": partial(
            accounts.change_own_password, by_link.principal, PASSWORD, PASSWORD, ip=None, agent=None
        ),
        "disable": partial(accounts.disable, user),
        "enable": partial(accounts.enable, user),
        "make_link": partial(accounts.make_link, user),
        "sign_out_everywhere": partial(accounts.sign_out_everywhere, user),
        "end_sign_in": partial(_end_one, town),
        "create_team": partial(accounts.create_team, "Green", owner=user),
        "rename_team": partial(accounts.rename_team, team, "Rot"),
        "set_member": partial(accounts.set_member, team, user, "admin", principal=None),
        "remove_member": partial(accounts.remove_member, team, user, principal=None),
        "create_project": partial(accounts.create_project, team, "Two"),
        "rename_project": partial(accounts.rename_project, town.red_one.id, "Eins"),
        "create_key": partial(accounts.create_key, town.principal(town.olga), "k", ["jobs:read"]),
        "revoke_key": partial(accounts.revoke_key, made[0].id),
        "delete_project": partial(accounts.delete_project, town.red_one.id),
        "delete_team": partial(accounts.delete_team, team),
    }
    assert set(acts) == {name for name, found in vars(accounts).items() if _is_act(name, found)}
    for name, act in acts.items():
        before = _newest()
        act(who=who)
        new = [row for row in rows("who:manual:user:x").rows if row.id > before]
        assert len(new) == 1, name
        assert (new[0].ip, new[0].agent) == ("10.0.0.1", "Firefox")
        assert (new[0].team_id is not None) == (new[0].resource_type in ("team", "project") or name == "revoke_key")
    told = str(rows(limit=500).rows)
    assert PASSWORD not in told
    (role,) = rows("action:user.role").rows
    assert (role.why, role.detail) == ("on call", {"email": "mia@example.org", "before": None, "role": "viewer"})


def _is_act(name: str, found: object) -> bool:
    return inspect.isfunction(found) and found.__module__ == accounts.__name__ and not name.startswith("_")


def _newest() -> int:
    return max((row.id for row in rows(limit=1).rows), default=0)


def _end_one(town: Town, *, who: Who) -> None:
    with transaction() as connection:
        one = sign_in.listing(connection, town.root.id)[0]
    assert accounts.end_sign_in(town.root.id, one.id, who=who)


def test_pages_hold_each_row_once_newest_first_though_rows_come_in_between(empty: Town) -> None:
    assert empty.root.id
    for _ in range(5):
        fill(9)  # one transaction, one moment
    seen: list[RowMapping] = []
    page = rows(limit=7)
    while True:
        seen += page.rows
        if not page.has_more:
            break
        fill(1)
        page = rows(limit=7, cursor=page.next)
    assert (len(seen), page.next) == (45, None)
    assert [(row.at, row.id) for row in seen] == sorted({(row.at, row.id) for row in seen}, reverse=True)


def test_filters_cut_to_what_was_asked_for(empty: Town) -> None:
    fill(3)
    accounts.rename_team(empty.red.id, "Rot", who=Who("cli:anna"))
    with transaction() as connection:
        connection.execute(text("update board.audit set at = at - interval '2 hours' where resource_id = 'q0'"))
    red = f"[{empty.red.id}]"
    for chosen, found in (
        ("type:queue", "[q2, q1, q0]"),
        ("type:queue resource:q1", "[q1]"),
        ("age:>1h", "[q0]"),
        ("age:<1h action:queue.pause", "[q2, q1]"),
        ("action:team.*", red),
        ("who:cli:anna", red),
        ("team:red", red),
        (f"team:{empty.red.id}", red),
        ("-team:red tired", "[q2, q1, q0]"),
        ("team:blue", "[]"),
        ("action:queue", "[]"),
    ):
        assert _resources(rows(chosen)) == found, chosen


def test_people_are_found_and_shown_by_their_address(empty: Town) -> None:
    from callboard.accounts import keys

    found = keys.find(empty.key(empty.mia))
    assert found is not None
    fill(1, who=found.owner().who())
    fill(1, who=found.who())
    fill(1, who=Who("manual:user:no-id"))
    with transaction() as connection:
        told = audit.named(connection, rows("action:queue.pause").rows)
    assert [row["who_name"] for row in told] == [
        "manual:user:no-id",
        "mia@example.org, key test",
        "mia@example.org",
    ]
    assert len(rows("who:MIA@example.org").rows) == 2
    assert len(rows("who:MIA@example.org,manual:user:no-id").rows) == 3
    assert len(rows("-who:mia@example.org action:queue.pause").rows) == 1
    nobody = rows("who:nobody@example.org")
    assert (nobody.rows, nobody.has_more) == ([], False)


@pytest.mark.parametrize("cursor", ["", "x", "AAAA", "W10", "é"])
def test_a_cursor_that_no_page_gave_is_refused(empty: Town, cursor: str) -> None:
    assert empty.root.id
    with pytest.raises(FilterError, match="cursor"):
        rows(cursor=cursor)


def _resources(page: Page) -> str:
    return f"[{', '.join(row['resource_id'] for row in page.rows)}]"
