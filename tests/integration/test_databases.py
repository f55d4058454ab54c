"""The databases that tests use one after the other: each test finds one that is as new."""

from __future__ import annotations

from contextlib import closing
from typing import TYPE_CHECKING

import pytest

from callboard.embedded._endpoints import connect
from tests.databases import RESTING, Database, Databases

if TYPE_CHECKING:
    from collections.abc import Callable, Iterator

    from callboard.embedded import Endpoints

ROW = "insert into board.teams (id, slug, name) values (gen_random_uuid(), 'crew', '')"


class Pool(Databases):
    """Databases of one test; what it drops is told."""

    def __init__(self, make: Callable[[str], str], drop: Callable[[str], None]) -> None:
        self.dropped: list[str] = []
        self.there: list[str] = []
        super().__init__(lambda name: make(self._called(name)), lambda name: self._tell(drop, name))

    def _called(self, name: str) -> str:
        self.there.append(f"pool_{name}")
        return self.there[-1]

    def _tell(self, drop: Callable[[str], None], name: str) -> None:
        drop(f"pool_{name}")
        self.dropped.append(name)
        self.there.remove(f"pool_{name}")

    def after(self, used: Database) -> Database:
        """What is handed out when it is the turn of `used`."""
        for database in (used, *[self.take() for _ in range(RESTING)]):
            self.give_back(database)
        return self.take()


@pytest.fixture
def pool(embedded: Endpoints, new_database: Callable[..., str], template_database: str) -> Iterator[Pool]:
    def drop(name: str) -> None:
        with closing(connect(embedded.database_url, autocommit=True)) as connection:
            connection.execute(f"drop database {name} with (force)")

    made = Pool(lambda name: new_database(name, template_database), drop)
    yield made
    for name in made.there:
        drop(name)


def test_it_comes_back_without_rows_and_counts_from_one(pool: Pool) -> None:
    first = pool.take()
    number = "select nextval('board.dead_letters_id_seq')"
    with closing(connect(first.url, autocommit=True)) as connection:
        connection.execute(ROW)
        assert connection.execute(number).fetchone() == (1,)
    again = pool.after(first)
    assert (again.name, pool.dropped) == (first.name, [])
    with closing(connect(again.url, autocommit=True)) as connection:
        assert connection.execute("select count(*) from board.teams").fetchone() == (0,)
        assert connection.execute(number).fetchone() == (1,)


@pytest.mark.parametrize(
    "change",
    [
        "create table extra (n int)",
        "alter table board.teams add constraint odd check (slug <> 'odd')",
        "create or replace view odd as select 1 as n",
        "drop table board.occurrences",
        "drop table alembic_version",
        "update alembic_version set version_num = '0001'",
    ],
)
def test_one_whose_tables_or_revision_were_changed_is_dropped(pool: Pool, change: str) -> None:
    first = pool.take()
    with closing(connect(first.url, autocommit=True)) as connection:
        connection.execute(change)
    assert pool.after(first).name != first.name
    assert pool.dropped == [first.name]


def test_one_that_somebody_is_still_connected_to_is_dropped(pool: Pool) -> None:
    first = pool.take()
    with closing(connect(first.url)):
        assert pool.after(first).name != first.name
    assert pool.dropped == [first.name]
