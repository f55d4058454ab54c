"""From a connection of Postgres to the run that it works for."""

from __future__ import annotations

from typing import TYPE_CHECKING, Any

import pytest

from callboard import Run, current_run, job, transaction
from callboard.ledger.database import get_engine
from callboard.run import enter_run
from tests.support import eventually

if TYPE_CHECKING:
    from tests.board import Board


def test_postgres_tells_which_run_a_connection_works_for(board: Board) -> None:
    seen: list[Any] = []
    activity = (
        "select pid, run_id, correlation_id, query from board.activity where pid <> pg_backend_pid() order by pid"
    )

    @job("ask", single=True)  # which has its row from the start
    def ask() -> None:
        with transaction() as connection, transaction() as other:
            for each in (connection, other):
                each.exec_driver_sql("select 'asked'")
            mine = [each.exec_driver_sql("select pg_backend_pid()").scalar_one() for each in (connection, other)]
            seen.append((current_run(), sorted(mine), board.query(activity)))

    with board.worker():
        ask.send()
        eventually(lambda: seen)
        eventually(lambda: board.query("select 1 from board.runs where state = 'completed'"))
    (run, pids, rows), *_ = seen
    assert [tuple(row)[:3] for row in rows] == [(pid, run.id, run.correlation_id) for pid in pids]
    assert rows[0].query == "select pg_backend_pid() /*job='ask'*/"
    assert board.query(activity) == []


@pytest.mark.usefixtures("board")
def test_a_statement_is_prepared_over_many_runs() -> None:
    with get_engine().connect() as connection:
        for _ in range(8):
            enter_run(Run(job="ask", token=1))
            connection.exec_driver_sql("select 'asked'")
        enter_run(None)
        prepared = connection.exec_driver_sql("select statement from pg_prepared_statements").scalars().all()
    assert "select 'asked' /*job='ask'*/" in prepared


@pytest.mark.usefixtures("board")
def test_a_connection_is_of_one_run_at_a_time() -> None:
    held = "select count(*) from pg_locks where locktype = 'advisory' and pid = pg_backend_pid()"
    counts = []
    for run in (Run(job="one", token=1), Run(job="two", token=1), None, Run(job="detached")):
        enter_run(run)
        with transaction() as connection:
            counts.append(connection.exec_driver_sql(held).scalar_one())
            if run is not None:
                connection.exec_driver_sql("select pg_advisory_lock(7)")  # and forgets it
    enter_run(None)
    assert counts == [1, 1, 0, 0]


def test_a_connection_that_died_in_the_pool_is_replaced(board: Board) -> None:
    with transaction() as connection, transaction() as other:
        pids = [each.exec_driver_sql("select pg_backend_pid()").scalar_one() for each in (connection, other)]
    for pid in pids:
        board.execute(f"select pg_terminate_backend({pid})")
    with transaction() as connection:
        assert connection.exec_driver_sql("select pg_backend_pid()").scalar_one() not in pids
