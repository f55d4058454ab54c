"""A claim is one run's, however close another one comes."""

from __future__ import annotations

from concurrent.futures import ThreadPoolExecutor
from dataclasses import replace
from typing import TYPE_CHECKING
from uuid import UUID

import pytest

from callboard import job
from callboard.dispatch import message_for
from callboard.envelope import facts_of
from callboard.ledger import claims, runs
from callboard.ledger.database import transaction
from tests.support import eventually

if TYPE_CHECKING:
    from callboard.ledger.facts import RunFacts
    from tests.board import Board

_WAITING = """
select count(*) from pg_stat_activity
where datname = current_database() and wait_event_type = 'Lock' and query like '%board.claims%'
"""


@pytest.fixture
def pair(board: Board) -> tuple[RunFacts, RunFacts]:  # noqa: ARG001 - whose broker has the job
    @job("alone", single=True)
    def alone() -> None: ...

    first, second = (facts_of(message_for(alone, trigger="test"), alone.spec) for _ in range(2))
    return first, second


@pytest.mark.parametrize("many", [False, True], ids=["one", "many"])
@pytest.mark.parametrize("held_before", [False, True], ids=["free", "left behind"])
def test_who_waits_for_the_claim_sees_the_run_that_got_it(
    board: Board, pair: tuple[RunFacts, RunFacts], *, many: bool, held_before: bool
) -> None:
    first, second = pair
    if held_before:  # by a run that is over, so that both may take it
        gone = replace(first, id=UUID(int=7))
        with transaction() as connection:
            claims.take(connection, gone, lease=60)

    def take_second() -> UUID | None:
        with transaction() as connection:
            if many:
                return claims.take_many(connection, [second], lease=60).get(second.id)
            return claims.take(connection, second, lease=60)

    with ThreadPoolExecutor(1) as pool:
        with transaction() as connection:
            assert claims.take(connection, first, lease=60) is None
            runs.insert_pending(connection, first)
            told = pool.submit(take_second)
            eventually(lambda: board.one(_WAITING) == 1, what="the second one to wait for the first")
        assert told.result(10) == first.id
    assert board.one("select run_id from board.claims") == first.id
