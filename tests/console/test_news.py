"""What is told by NOTIFY, heard on a connection of the test's own."""

from __future__ import annotations

import time
from contextlib import closing
from typing import TYPE_CHECKING
from uuid import UUID

import psycopg
import pytest
from sqlalchemy import create_engine
from sqlalchemy.exc import OperationalError

from callboard import PermanentError, job, news
from callboard.ledger.database import get_engine, transaction
from callboard.news import CHANNEL, Gathered, News, decode
from callboard.operations import Who, audit, runs, schedules
from tests.console.kit import add_project
from tests.support import eventually

if TYPE_CHECKING:
    from collections.abc import Iterator

    from tests.board import Board


class Radio:
    """Hears everything on the channel."""

    def __init__(self, connection: psycopg.Connection) -> None:
        self._connection = connection
        self._calls = 0
        connection.execute(f"listen {CHANNEL}")

    def heard(self) -> list[News]:
        """What was told before this call and not heard yet: the channel keeps the order of the commits."""
        self._calls += 1
        last = News(frozenset({"profiles_table_changed"}), frozenset({f"the end {self._calls}"}))
        with transaction() as connection:
            news.tell(connection, *last.topics, project_ids=last.projects)
        found = []
        for notice in self._connection.notifies(timeout=20):
            said = decode(notice.payload)
            if said == last:
                return found
            assert said is not None, notice.payload
            found.append(said)
        raise AssertionError(f"the end did not come after {found}")


@pytest.fixture
def radio(board: Board) -> Iterator[Radio]:
    url = board.database_url.replace("+psycopg", "")
    with closing(psycopg.connect(url, autocommit=True)) as connection:
        yield Radio(connection)


def test_acts_are_told_once_they_are_committed(board: Board, radio: Radio) -> None:
    @job("sweep", queue="news")
    def sweep() -> None: ...

    made = runs.trigger("sweep", who=Who("cli:test"))
    assert radio.heard() == [News(frozenset({"jobs_changed"}), frozenset({""}))]
    runs.cancel(made.id, who=Who("cli:test"))
    assert radio.heard() == [News(frozenset({"jobs_changed"}), frozenset({""}))]
    board.execute(
        "insert into board.schedules (job, queue, cadence, interval_seconds, watermark)"
        " values ('sweep', 'news', '', 1, now())"
    )
    schedules.pause("sweep", who=Who("cli:test"))
    assert radio.heard() == [News(frozenset({"jobs_changed"}), frozenset({""}))]


def test_an_act_on_a_run_of_a_project_is_told_to_that_project(board: Board, radio: Radio) -> None:
    @job("sync_project", queue="news", scope="project")
    def sync_project(project_id: str) -> None: ...

    project = add_project()
    made = runs.trigger("sync_project", {"project_id": project}, who=Who("cli:test"))
    assert radio.heard() == [News(frozenset({"jobs_changed"}), frozenset({project}))]
    assert board.one("select project_id from board.runs where id = :id", id=made.id) == project


@pytest.mark.parametrize(
    ("resource", "expected"),
    [
        (("queue", "mail"), {"jobs_changed"}),
        (("issue", 4711), {"issues_changed", "job_failures_changed"}),
        (("failure", 4711), {"job_failures_changed"}),
        (("run", UUID(int=7)), {"jobs_changed"}),
        (("user", UUID(int=7)), set()),
        (("moon", "x"), set()),
    ],
)
def test_an_act_tells_what_it_changed(
    board: Board, radio: Radio, resource: tuple[str, object], expected: set[str]
) -> None:
    with transaction() as connection:
        audit(connection, Who("cli:test"), "thing.act", resource)
    assert {topic for told in radio.heard() for topic in told.topics} == expected
    assert board.one("select count(*) from board.audit") == 1


def test_a_topic_that_is_not_there_is_refused(board: Board) -> None:
    assert board.broker is not None
    with transaction() as connection:
        with pytest.raises(ValueError, match="moon_changed"):
            news.tell(connection, "moon_changed")  # type: ignore[arg-type] # what is tested
        with pytest.raises(ValueError, match="jobs_changed"):
            news.tell(connection)


def test_a_worker_tells_of_all_its_runs_but_at_most_twice_a_second(board: Board, radio: Radio) -> None:
    @job("busy", queue="news")
    def busy(number: int) -> None:
        if number == 150:
            raise PermanentError("the last of the first half")

    told: list[News] = []

    def all_told() -> bool:
        told.extend(radio.heard())
        return {"jobs_changed", "job_failures_changed", "issues_changed"} <= {t for one in told for t in one.topics}

    with board.worker():
        began = time.monotonic()
        for number in range(300):
            busy.send(number)
        ended = "select count(*) from board.runs where state in ('completed', 'failed')"
        eventually(lambda: board.one(ended) == 300, 30, what="all to have ended")
        eventually(all_told, what="the failure to be told")
        rounds = (time.monotonic() - began) / 0.5 + 2  # one more that was told just before: the worker came
        of_runs = [one for one in told if "jobs_changed" in one.topics]
        assert 1 <= len(of_runs) <= rounds
    assert any("jobs_changed" in one.topics for one in radio.heard()), "a worker went"


def test_what_could_not_be_told_is_told_with_what_comes_next(radio: Radio) -> None:
    gathered = Gathered()
    gathered.add("jobs_changed", (None,))
    away = create_engine("postgresql+psycopg://nobody@127.0.0.1:1/none", connect_args={"connect_timeout": 1})
    with pytest.raises(OperationalError), gathered.told(away):
        pass
    with pytest.raises(ZeroDivisionError), gathered.told(get_engine()):
        raise ZeroDivisionError
    assert gathered
    assert radio.heard() == []
    gathered.add("issues_changed", ("p1",))
    with gathered.told(get_engine()):
        gathered.add("profiles_table_changed", ("p1",))  # while the transaction goes on
    assert set(radio.heard()) == {
        News(frozenset({"jobs_changed"}), frozenset({""})),
        News(frozenset({"issues_changed", "profiles_table_changed"}), frozenset({"p1"})),
    }
    assert not gathered
