"""Heat moves up by recalls, each recall is read once, and scores are the same whoever computes them when."""

from __future__ import annotations

from datetime import datetime, timedelta
from typing import TYPE_CHECKING

import pytest

from actors.memory.heat import reevaluate_memory
from actors.memory.heat.importance import Facts, importance
from actors.memory.heat.job import heat_up, share, sweep
from actors.memory.settings import MemorySettings, get_memory_settings
from callboard import transaction
from callboard.ledger.database import get_engine
from callboard.run import Run, enter_run
from tests.integration.memory.kit import NOW, add_memories, add_tenant, add_user, rows_of, value_of

if TYPE_CHECKING:
    from collections.abc import Iterable
    from uuid import UUID

    from tests.board import Board

pytestmark = pytest.mark.usefixtures("intelligence_board")

HOUR = timedelta(hours=1)


def tick(now: datetime = NOW) -> dict[str, int]:
    """What the recalls of one run have changed, without the sweep."""
    run = Run(job="intelligence_reevaluate")
    enter_run(run)
    try:
        heat_up(run, get_memory_settings(), now)
    finally:
        enter_run(None)
    return {name: number for name, number in run.counts.items() if number}


def swept(monkeypatch: pytest.MonkeyPatch, most: int = 3) -> dict[str, int]:
    """What the sweep of one run has changed, if its share is `most` memories."""
    run = Run(job="intelligence_reevaluate")
    monkeypatch.setattr("actors.memory.heat.job.share", lambda _: most)
    sweep(run, get_memory_settings(), NOW)
    return {name: number for name, number in run.counts.items() if number}


def recall(memory: int, times: Iterable[datetime]) -> None:
    with transaction() as connection:
        for at in times:
            connection.exec_driver_sql(
                "insert into memory.recalls (memory_id, tenant_id, user_id, recalled_at) "
                f"select id, tenant_id, user_id, '{at.isoformat()}' from memory.memories where id = {memory}"
            )


def spread(count: int, over: timedelta, end: datetime = NOW) -> list[datetime]:
    return [end - over * place / count for place in range(count)]


def heats() -> list[str]:
    return [row["heat"] for row in rows_of("select heat from memory.memories order by id")]


def change(sql: str) -> None:
    with transaction() as connection:
        connection.exec_driver_sql(sql)


@pytest.fixture
def tenant() -> UUID:
    return add_tenant()


@pytest.fixture
def user(tenant: UUID) -> UUID:
    return add_user(tenant)


def test_five_in_a_day_are_batched_twenty_in_an_hour_are_immediate(
    intelligence_board: Board, tenant: UUID, user: UUID
) -> None:
    cold, warm, hot, slow = add_memories(tenant, user, ["a", "b", "c", "d"])
    recall(cold, spread(4, 24 * HOUR))
    recall(warm, spread(5, 24 * HOUR))
    recall(hot, spread(20, HOUR))
    recall(slow, spread(19, HOUR))
    assert tick() == {
        "recall_events_scanned": 48,
        "became_batched": 2,
        "became_immediate": 1,
        "rescored": 2,
    }
    assert heats() == ["skipped", "batched", "immediate", "batched"]
    assert rows_of("select id from memory.memories where scored_at is not null order by id") == [
        {"id": warm},
        {"id": slow},
    ]
    runs = intelligence_board.query("select args from board.runs where job = 'reevaluate_memory'")
    assert [row.args for row in runs] == [{"memory_id": hot}]
    events = rows_of("select memory_id, event_type from memory.memory_events order by memory_id")
    assert [(row["memory_id"], row["event_type"]) for row in events] == [
        (warm, "memory.heat.batched"),
        (hot, "memory.heat.immediate"),
        (slow, "memory.heat.batched"),
    ]
    assert tick() == {}
    recall(slow, [NOW])
    assert tick() == {"recall_events_scanned": 1, "became_immediate": 1}


def test_heat_never_falls_and_windows_end_at_the_recalls(tenant: UUID, user: UUID) -> None:
    hot, apart = add_memories(tenant, user, ["a", "b"])
    recall(hot, spread(20, HOUR, NOW - 100 * HOUR))  # long before the run: it came late
    recall(apart, [NOW - 30 * HOUR, *spread(4, HOUR)])
    assert tick()["became_immediate"] == 1
    recall(hot, [NOW])
    assert tick() == {"recall_events_scanned": 1}
    assert heats() == ["immediate", "skipped"]


def test_a_clock_set_back_an_hour_loses_no_recall(tenant: UUID, user: UUID) -> None:
    (one,) = add_memories(tenant, user, ["a"])
    recall(one, spread(3, HOUR))
    tick()
    recall(one, spread(2, HOUR, NOW - HOUR))
    assert tick(NOW - HOUR) == {"recall_events_scanned": 2}
    recall(one, [NOW])
    assert tick()["became_batched"] == 1


def test_a_recall_that_is_committed_late_is_read_and_none_is_read_twice(tenant: UUID, user: UUID) -> None:
    one, other = add_memories(tenant, user, ["a", "b"])
    recall(one, spread(4, HOUR))
    with get_engine().connect() as slow:
        slow.exec_driver_sql(
            "insert into memory.recalls (memory_id, tenant_id, user_id, recalled_at) "
            f"select id, tenant_id, user_id, '{NOW.isoformat()}' from memory.memories where id = {one}"
        )
        recall(other, [NOW])
        assert tick() == {"recall_events_scanned": 4}
        slow.commit()
    assert tick() == {"recall_events_scanned": 2, "became_batched": 1, "rescored": 1}


def test_killed_in_the_middle_of_a_batch_it_is_all_done_by_the_next_run(
    monkeypatch: pytest.MonkeyPatch, intelligence_board: Board, tenant: UUID, user: UUID
) -> None:
    (one,) = add_memories(tenant, user, ["a"])
    recall(one, spread(20, HOUR))
    with monkeypatch.context() as patch:

        def killed(*_: object) -> None:
            raise SystemExit

        patch.setattr("actors.memory.heat.job.ask_for", killed)
        with pytest.raises(SystemExit):
            tick()
    assert (heats(), value_of("select count(*) from memory.watermarks")) == (["skipped"], 0)
    assert tick()["became_immediate"] == 1
    assert len(intelligence_board.query("select from board.runs where job = 'reevaluate_memory'")) == 1


def test_a_score_is_of_seven_weighted_parts() -> None:
    weights = MemorySettings().importance_weights
    best = Facts(" ".join(map(str, range(200))), "DECISION", "api", "enterprise", 31, NOW)
    assert importance(best, weights, NOW) == 98  # all but the source's trust, which is 0.8 of 0.10
    assert importance(best, weights, NOW + timedelta(days=60)) == round(98 - 25 * 0.75)
    assert importance(best._replace(usage_count=0), weights, NOW) == 73
    assert importance(best._replace(text="tea tea"), weights, NOW) == round(98 - 5 * (1 - 7 / 400) - 10 / 2)
    worst = Facts("", "?", "?", "?", 0, NOW - timedelta(days=3650))
    assert importance(worst, weights, NOW) == round(100 * 0.5 * (0.15 + 0.10 + 0.10) + 1e-9)
    assert importance(best, weights, NOW - HOUR) == 98  # a clock that was set back
    assert importance(best, (0, 0, 0, 0, 0, 0, 1), NOW) == 100


def test_the_sweep_gates_and_ungates_and_walks_round(
    monkeypatch: pytest.MonkeyPatch, intelligence_board: Board, tenant: UUID, user: UUID
) -> None:
    old = NOW - timedelta(days=400)
    (stale,) = add_memories(tenant, user, ["x x x"], created_at=old, extracted_type="STATUS", source="?")
    (fresh,) = add_memories(tenant, user, ["a decision of weight"], gated=True, extracted_type="DECISION")
    for column in ("pinned", "legal_hold"):
        add_memories(tenant, user, ["x x x"], created_at=old, extracted_type="STATUS", source="?", **{column: True})
    change(
        f"insert into memory.embeddings (memory_id, content_hash, model, embedding) values ({stale}, 'h', 'm', '[1,2]')"
    )
    assert swept(monkeypatch) == {"rescored": 3, "promoted": 1, "demoted": 1}
    assert [row["gated"] for row in rows_of("select gated from memory.memories order by id")] == [True, *[False] * 3]
    assert value_of("select count(*) from memory.embeddings") == 0
    runs = intelligence_board.query("select args from board.runs where job = 'embedding_refresh'")
    assert [row.args for row in runs] == [{"memory_id": fresh}]
    events = rows_of("select memory_id, event_type from memory.memory_events order by memory_id")
    assert [(row["memory_id"], row["event_type"]) for row in events] == [
        (stale, "memory.demoted"),
        (fresh, "memory.promoted"),
    ]
    before = rows_of("select id, importance_score, gated, heat from memory.memories order by id")
    assert swept(monkeypatch) == {"rescored": 1}  # the last one
    assert swept(monkeypatch) == {"rescored": 3}  # and from the first one on
    after = rows_of("select id, importance_score, gated, heat from memory.memories order by id")
    assert after[:3] == before[:3]


def test_without_a_budget_nothing_is_promoted_but_all_is_scored(monkeypatch: pytest.MonkeyPatch) -> None:
    poor = add_tenant(token_budget=0)
    add_memories(poor, add_user(poor), ["a decision of weight"], gated=True, extracted_type="DECISION")
    assert swept(monkeypatch) == {"rescored": 1, "budget_skipped": 1}
    assert value_of("select gated from memory.memories") is True
    change("update memory.tenant_settings set token_budget = null")
    assert swept(monkeypatch) == {"rescored": 1, "promoted": 1}


def test_one_memory_is_scored_on_demand_also_if_its_text_cannot_be_read(
    callboard_run: Run, tenant: UUID, user: UUID
) -> None:
    (one,) = add_memories(tenant, user, ["a"])
    (broken,) = add_memories(tenant, user, ["b"], text_ciphertext=b"broken")
    for memory in (one, broken, 10**9):
        reevaluate_memory(memory)
    assert callboard_run.counts["rescored"] == 2
    assert value_of("select count(*) from memory.memories where scored_at is not null") == 2
    assert list(callboard_run.counts) == [
        "recall_events_scanned",
        "became_batched",
        "became_immediate",
        "rescored",
        "promoted",
        "demoted",
        "budget_skipped",
    ]


def test_nothing_is_done_for_empty_tenants(monkeypatch: pytest.MonkeyPatch) -> None:
    add_tenant()
    assert (tick(), swept(monkeypatch)) == ({}, {})


def test_a_runs_share_is_what_it_takes_to_see_all_in_a_week(tenant: UUID, user: UUID) -> None:
    assert share(get_memory_settings()) == 1
    add_memories(tenant, user, ["a"] * 2100)
    change("analyze memory.memories")
    assert share(get_memory_settings()) == 3  # 2,100 in 7 days of 144 runs
