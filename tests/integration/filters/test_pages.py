"""Pages and counts: by whatever path they are found, they are the rows of the filter, newest first, each once."""

from __future__ import annotations

import random
from datetime import UTC, datetime, timedelta
from typing import TYPE_CHECKING, Any
from uuid import UUID, uuid4

import pytest
from sqlalchemy import Connection, Engine, create_engine, insert, text
from sqlalchemy.pool import NullPool

from callboard.errors import FilterError
from callboard.filters import RESOURCES, Filter, Resource, parse
from callboard.ledger import _search, pages
from callboard.ledger._cursor import Cursor
from callboard.ledger._paths import LISTINGS
from tests.integration.filters import rows, words
from tests.integration.filters.meaning import fits
from tests.integration.filters.rows import NOW, TABLES

if TYPE_CHECKING:
    from collections.abc import Iterator

    Filled = tuple[Engine, dict[str, list[dict[str, Any]]]]

PROJECTS = [None, [], ["p1"], ["p1", "p3", "nobody"]]
_TOP = dict.fromkeys(("created_at", "last_seen_at", "at"), datetime(9000, 1, 1, tzinfo=UTC))
# Such words mean another thing a moment later, and a count is always of now.
_AGEING = {"age", "duration", "since", "until", "created", "started", "finished", "first"}


@pytest.fixture
def small_windows(monkeypatch: pytest.MonkeyPatch) -> None:
    """Searches look at a few rows at a time and then stop, as they do in a ledger with millions."""
    monkeypatch.setattr(_search, "FIRST_WINDOW", 16)
    monkeypatch.setattr(_search, "MOST_FEW", 5)
    monkeypatch.setattr(_search, "PATIENCE", 0.0)


def some_projects(resource: Resource, n: int) -> list[str] | None:
    """An act is of no project."""
    return None if resource == "audit" else PROJECTS[n % len(PROJECTS)]


def top(resource: Resource) -> str:
    """A cursor above every row, of the moment that the rows were made for."""
    key = tuple(
        _TOP.get(name, UUID(int=2**128 - 1) if resource == "runs" else 2**60) for name in LISTINGS[resource].order
    )
    return Cursor(NOW, key).text(resource)


def walk(connection: Connection, chosen: Filter, cursor: str | None, **options: object) -> Iterator[dict[str, Any]]:
    """All rows, page by page."""
    for _ in range(1000):
        page = pages.page(connection, chosen, cursor=cursor, **options)
        assert page.has_more == (page.next is not None)
        yield from map(dict, page.rows)
        if page.next is None:
            return
        assert page.next != cursor, "the search stands still"
        assert page.rows or page.searched_until, "an empty page says how far it has looked"
        cursor = page.next
    pytest.fail("the pages never end")


def in_order(resource: Resource, found: list[dict[str, Any]]) -> list[Any]:
    keys = LISTINGS[resource].order
    return [row["id"] for row in sorted(found, key=lambda row: tuple(row[key] for key in keys), reverse=True)]


def expected(filled: Filled, chosen: Filter, projects: list[str] | None) -> list[Any]:
    allowed = [row for row in filled[1][chosen.resource] if projects is None or row["project_id"] in projects]
    return in_order(chosen.resource, [row for row in allowed if fits(chosen, row)])


def filters(resource: Resource, seed: int, count: int) -> list[Filter]:
    dice = random.Random(seed)
    return [parse("", resource), *(parse(words.some(dice, resource), resource) for _ in range(count))]


@pytest.mark.parametrize("resource", RESOURCES)
@pytest.mark.parametrize("limit", [3, 1000])
def test_pages_are_the_rows_of_the_filter_in_order(filled: Filled, resource: Resource, limit: int) -> None:
    with filled[0].begin() as connection:
        for n, chosen in enumerate(filters(resource, limit, 40)):
            projects = some_projects(resource, n)
            found = walk(connection, chosen, top(resource), limit=limit, projects=projects)
            assert [row["id"] for row in found] == expected(filled, chosen, projects), (chosen.text, projects)


@pytest.mark.usefixtures("small_windows")
@pytest.mark.parametrize("resource", RESOURCES)
def test_searches_that_stop_and_go_on_leave_nothing_out(filled: Filled, resource: Resource) -> None:
    with filled[0].begin() as connection:
        for n, chosen in enumerate(filters(resource, 11, 25)):
            projects = some_projects(resource, n)
            found = walk(connection, chosen, top(resource), limit=4, projects=projects)
            assert [row["id"] for row in found] == expected(filled, chosen, projects), (chosen.text, projects)


@pytest.mark.parametrize("resource", RESOURCES)
def test_counts_are_exact_up_to_the_most_and_estimates_beyond(filled: Filled, resource: Resource) -> None:
    with filled[0].begin() as connection:
        for n, chosen in enumerate(filters(resource, 13, 40)):
            if _AGEING & {term.key for term in chosen.terms}:
                continue
            projects = some_projects(resource, n)
            number = len(expected(filled, chosen, projects))
            assert pages.count(connection, chosen, projects=projects) == pages.Count(number, exact=True)
            few = pages.count(connection, chosen, most=2, projects=projects)
            assert few.exact == (number <= 2)
            assert few.number == number if few.exact else few.number > 2
            first = pages.page(connection, chosen, limit=3, projects=projects)
            assert first.count == (pages.Count(number, exact=True) if number <= 3 else None)


@pytest.mark.usefixtures("small_windows")
def test_a_count_that_stops_says_that_it_is_an_estimate(filled: Filled) -> None:
    with filled[0].begin() as connection:
        counted = pages.count(connection, parse("attempt:>0", "runs"))
        assert not counted.exact
        page = pages.page(connection, parse("attempt:>0", "runs"), limit=500)
        assert page.count == counted, "one look is enough"
        assert pages.page(connection, parse("attempt:>0", "runs"), cursor=page.next).count is None
        assert pages.count(connection, parse("state:running", "runs")).exact, "an index leads to these"


@pytest.mark.usefixtures("small_windows")
def test_a_patient_search_goes_on_until_it_has_found_enough(filled: Filled) -> None:
    chosen = parse("attempt:3", "runs")
    every = expected(filled, chosen, None)
    with filled[0].begin() as connection:
        assert pages.page(connection, chosen).searched_until is not None
        assert [row["id"] for row in pages.search(connection, chosen, limit=500).rows] == every
        two = pages.search(connection, chosen, limit=2)
        assert [row["id"] for row in two.rows] == every[:2]
        assert two.has_more
        assert pages.search(connection, chosen, limit=500, seconds=0).searched_until is not None


@pytest.mark.usefixtures("small_windows")
def test_a_search_begins_where_the_time_that_is_asked_for_does(filled: Filled) -> None:
    hour_ago = NOW - timedelta(hours=1)
    assert sum(row["created_at"] >= hour_ago for row in filled[1]["runs"]) > _search.FIRST_WINDOW
    chosen = parse(f"until:{hour_ago.isoformat()} attempt:<9", "runs")
    with filled[0].begin() as connection:
        assert len(pages.page(connection, chosen, limit=3).rows) == 3


def test_a_team_never_sees_rows_of_the_system(filled: Filled) -> None:
    with filled[0].begin() as connection:
        for resource in (one for one in RESOURCES if one != "audit"):
            for text_ in ("", 'project:""', "-project:p1", "project:p2"):
                chosen = parse(text_, resource)
                seen = {row["project_id"] for row in walk(connection, chosen, None, projects=["p1"])}
                assert seen <= ({"p1"} if text_ == "" else set())
            everybody = walk(connection, parse("", resource), None, system=False)
            assert {row["project_id"] for row in everybody} == {"p1", "p2", "p3"}


@pytest.mark.parametrize("resource", RESOURCES)
def test_no_list_has_a_payload(filled: Filled, resource: Resource) -> None:
    with filled[0].begin() as connection:
        (row, *_) = pages.page(connection, parse("", resource)).rows
    assert not {"payload", "log", "traceback"} & set(row)
    assert set(row) == set(TABLES[resource].c.keys()) - {"payload", "log", "traceback"}


#: Fixed: what tests are called must be the same in every process that collects them.
THEN = datetime(2026, 5, 4, 10, 30, tzinfo=UTC)


@pytest.mark.parametrize(
    "cursor",
    [
        "",
        "nonsense",
        "!",
        "é",
        "x" * 5000,
        "e30",
        "W10",
        "bnVsbA",
        Cursor(THEN, (5,)).text("runs"),
        Cursor(THEN, (5,)).text("failures"),
        Cursor(THEN, (2**64,)).text("dead_letters"),
        Cursor(THEN.replace(tzinfo=None), (5,)).text("dead_letters"),
    ],
)
def test_a_cursor_that_is_none_of_ours_is_refused(filled: Filled, cursor: str) -> None:
    with filled[0].begin() as connection, pytest.raises(FilterError, match=r"cursor .* cannot be used: .* Begin again"):
        pages.page(connection, parse("", "dead_letters"), cursor=cursor)


@pytest.mark.usefixtures("small_windows")
@pytest.mark.parametrize("resource", ["runs", "failures", "dead_letters"])
def test_what_comes_while_one_pages_is_neither_shown_nor_shifts_the_rest(postgres_url: str, resource: Resource) -> None:
    engine = create_engine(postgres_url, poolclass=NullPool)
    with engine.begin() as connection:
        before = rows.fill(connection, random.Random(3))[resource]
    for chosen in (
        parse("", resource),
        parse("job:sync_*", resource),
        parse("attempt:>=1" if resource != "dead_letters" else "attempts:>=1", resource),
    ):
        shown: list[Any] = []
        cursor: str | None = None
        while True:
            with engine.begin() as connection:
                page = pages.page(connection, chosen, cursor=cursor, limit=2)
                shown += [row["id"] for row in page.rows]
                _add(connection, resource, before[len(shown) % 60])
            if page.next is None:
                break
            cursor = page.next
        known = {row["id"] for row in before}
        assert [one for one in shown if one in known] == in_order(
            resource, [row for row in before if fits(chosen, row)]
        )
        assert len(shown) == len(set(shown))


def _add(connection: Connection, resource: Resource, like: dict[str, Any]) -> None:
    """A row like another one, that comes now."""
    row = {key: value for key, value in like.items() if key not in ("id", "issues")}
    if resource == "runs":
        row |= {"id": uuid4(), "created_at": datetime.now(UTC)}
    else:
        connection.execute(text(f"select setval('board.{resource}_id_seq', max(id)) from board.{resource}"))
    connection.execute(insert(TABLES[resource]), [row])


def test_ages_are_counted_from_the_first_page_on_all_pages(postgres_url: str) -> None:
    engine = create_engine(postgres_url, poolclass=NullPool)
    with engine.begin() as connection:
        rows.fill(connection, random.Random(3))
        chosen = parse("age:<3h", "runs")
        first = pages.page(connection, chosen, limit=1)
        every = [row["id"] for row in walk(connection, chosen, None, limit=50)]
    assert first.next is not None
    later = Cursor(NOW + timedelta(days=90), (_TOP["created_at"], UUID(int=0))).text("runs")
    with engine.begin() as connection:
        rest = [row["id"] for row in walk(connection, chosen, first.next, limit=50)]
        assert pages.page(connection, chosen, cursor=later).rows == []
    assert [first.rows[0]["id"], *rest] == every


def test_the_settings_of_a_page_end_with_it(filled: Filled) -> None:
    with filled[0].begin() as connection:
        before = connection.execute(text("show statement_timeout")).scalar_one()
        pages.page(connection, parse("", "runs"))
        pages.count(connection, parse("", "runs"))
        assert connection.execute(text("show statement_timeout")).scalar_one() == before
        assert connection.execute(text("show plan_cache_mode")).scalar_one() == "auto"
