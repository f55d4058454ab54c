"""Insights: one snapshot a tenant and day, users only where something changed, and nothing asked twice."""

from __future__ import annotations

from datetime import timedelta
from typing import TYPE_CHECKING, Any

import pytest

from actors.memory.clients.model import Model
from actors.memory.insights import snapshot as steps
from actors.memory.insights import tenant_snapshot, user_snapshot
from actors.memory.insights.job import write_snapshots
from actors.memory.insights.sample import Owner, sample_of
from actors.memory.insights.snapshot import Insights, opened
from actors.memory.settings import get_memory_settings
from callboard import BreakerOpen, PermanentError, Postponed, transaction
from callboard.run import Run, enter_run
from tests.integration.memory.kit import NOW, add_memories, add_tenant, add_user, rows_of, value_of

if TYPE_CHECKING:
    from datetime import datetime
    from uuid import UUID

    from sandbox.openai import OpenAIStandIn
    from tests.board import Board

pytestmark = pytest.mark.usefixtures("intelligence_board")

TEXTS = ["Anna drinks tea", "Ben moved to Berlin", "The launch is in May"]


def day(now: datetime = NOW) -> dict[str, int]:
    run = Run(job="generate_daily_insights_job")
    run.count(tenants_scanned=0, snapshots_written=0, skipped_unchanged=0, low_confidence=0, failed=0)
    enter_run(run)
    try:
        with Model.of(get_memory_settings()) as model:
            write_snapshots(run, model, get_memory_settings(), now)
    finally:
        enter_run(None)
    return run.counts


def counts(tenants: int, written: int, unchanged: int = 0, low: int = 0, failed: int = 0) -> dict[str, int]:
    return {
        "tenants_scanned": tenants,
        "snapshots_written": written,
        "skipped_unchanged": unchanged,
        "low_confidence": low,
        "failed": failed,
    }


def snapshots() -> list[dict[str, Any]]:
    return rows_of("select * from memory.insight_snapshots order by id")


def read(row: dict[str, Any]) -> Insights:
    with transaction() as connection:
        return opened(connection, Owner(row["tenant_id"], row["user_id"]), row["id"])


def insights(**lists: list[str]) -> dict[str, Any]:
    content = Insights(**{"themes": [], "trends": [], "risks": [], "skepticism": [], **lists}).model_dump_json()
    return {"choices": [{"message": {"content": content}, "finish_reason": "stop"}]}


@pytest.fixture
def tenant() -> UUID:
    return add_tenant()


def test_a_day_a_rerun_and_the_day_after(openai: OpenAIStandIn, tenant: UUID) -> None:
    add_tenant(name="empty")
    add_memories(tenant, add_user(tenant), TEXTS)
    assert day() == counts(2, 1)
    (row,) = snapshots()
    assert (row["tenant_id"], row["user_id"], row["snapshot_date"]) == (tenant, None, NOW.date())
    assert (row["sample_size"], row["low_confidence"]) == (3, False)
    assert "anna" in " ".join(read(row).themes)
    assert b"anna" not in bytes(row["content"])
    asked = len(openai.requests)
    assert day() == counts(2, 0, 1)
    assert day(NOW + timedelta(days=1)) == counts(2, 0, 1)
    assert (len(openai.requests), snapshots()) == (asked, [row])
    add_memories(tenant, add_user(tenant), ["Cleo plays chess"])
    assert day() == counts(2, 1)
    (again,) = snapshots()  # of the same day: the same row
    assert (again["id"], again["sample_size"]) == (row["id"], 4)
    add_memories(tenant, add_user(tenant), ["Dan is ill"])
    assert day(NOW.replace(month=3, day=11)) == counts(2, 1)
    assert [each["snapshot_date"].day for each in snapshots()] == [10, 11]


def test_users_are_asked_for_only_when_something_changed(
    intelligence_board: Board, tenant: UUID, callboard_run: Run
) -> None:
    dirty, clean = add_user(tenant, insights_dirty=True), add_user(tenant)
    for user in (dirty, clean):
        add_memories(tenant, user, TEXTS)
    day()
    runs = intelligence_board.query("select args from board.runs where job = 'user_snapshot'")
    assert [row.args for row in runs] == [{"user_id": str(dirty)}]
    enter_run(callboard_run)
    user_snapshot(str(dirty))
    assert callboard_run.counts == counts(1, 1)
    assert value_of("select count(*) from memory.users where insights_dirty") == 0
    _, of_user = snapshots()
    assert (of_user["user_id"], of_user["sample_size"]) == (dirty, 3)
    assert read(of_user).themes
    user_snapshot(str(dirty))
    assert callboard_run.counts == counts(2, 1, 1)


def test_a_write_while_the_model_thinks_leaves_the_user_due(monkeypatch: pytest.MonkeyPatch, tenant: UUID) -> None:
    user = add_user(tenant, insights_dirty=True)
    add_memories(tenant, user, TEXTS)
    write = steps._write

    def and_somebody_wrote(*given: Any) -> Any:  # noqa: ANN401 - passed on
        add_memories(tenant, user, ["Anna sleeps"])
        return write(*given)

    with monkeypatch.context() as patch:
        patch.setattr(steps, "_write", and_somebody_wrote)
        user_snapshot(str(user))
    assert value_of("select insights_dirty from memory.users where id = :user", user=user) is True
    user_snapshot(str(user))
    assert value_of("select insights_dirty from memory.users where id = :user", user=user) is False
    assert [row["sample_size"] for row in snapshots()] == [4]


def test_insights_without_doubts_are_of_low_confidence_where_doubts_are_due(
    openai: OpenAIStandIn, tenant: UUID
) -> None:
    user = add_user(tenant)
    add_memories(tenant, user, TEXTS, extracted_type="DECISION")
    openai.fail(answer=insights(themes=["tea"], risks=["late"]))
    assert day() == counts(1, 1, low=1)
    assert [row["low_confidence"] for row in snapshots()] == [True]
    add_memories(tenant, user, [f"{words} again" for words in TEXTS] * 2, extracted_type="EVENT")
    openai.fail(answer=insights(themes=["tea"]))
    assert day() == counts(1, 1)
    assert [row["low_confidence"] for row in snapshots()] == [False]


def test_one_tenants_failure_does_not_stop_the_rest(openai: OpenAIStandIn, tenant: UUID) -> None:
    for whose in (tenant, add_tenant(), add_tenant(token_budget=0)):
        add_memories(whose, add_user(whose), TEXTS)
    openai.fail(answer={"choices": []})
    assert day() == counts(3, 1, failed=2)
    assert day() == counts(3, 1, 1, failed=1)  # the one without a budget


def test_a_429_storm_ends_the_day_and_a_retry_goes_on(openai: OpenAIStandIn) -> None:
    for _ in range(7):
        whose = add_tenant()
        add_memories(whose, add_user(whose), TEXTS)
    openai.fail(status=429, times=5)
    with pytest.raises(BreakerOpen):
        day()
    assert (len(openai.requests), snapshots()) == (5, [])


def test_a_spent_budget_postpones_a_single_snapshot_to_the_next_day(tenant: UUID) -> None:
    poor = add_tenant(token_budget=0)
    add_memories(poor, add_user(poor), TEXTS)
    with pytest.raises(Postponed, match="token_budget") as raised:
        tenant_snapshot(str(poor))
    assert 0 < raised.value.seconds <= 86_400
    tenant_snapshot(str(tenant))
    assert snapshots() == []


def test_killed_before_the_write_nothing_is_there(monkeypatch: pytest.MonkeyPatch, tenant: UUID) -> None:
    user = add_user(tenant, insights_dirty=True)
    add_memories(tenant, user, TEXTS)
    with monkeypatch.context() as patch:

        def killed(*_: object) -> None:
            raise SystemExit

        patch.setattr(steps, "_sealed", killed)  # after the user was marked as clean: one transaction
        with pytest.raises(SystemExit):
            user_snapshot(str(user))
    assert (snapshots(), value_of("select insights_dirty from memory.users")) == ([], True)


def test_a_sample_is_bounded_and_takes_of_every_kind(monkeypatch: pytest.MonkeyPatch, tenant: UUID) -> None:
    for name, value in {"TOP": 2, "RECENT": 2, "PER_TOPIC": 1}.items():
        monkeypatch.setenv(f"CALLBOARD_MEMORY_INSIGHTS_{name}", str(value))
    user = add_user(tenant)
    plain = add_memories(tenant, user, ["a"] * 9)
    top = add_memories(tenant, user, ["b"] * 2, importance=0.9)
    (odd,) = add_memories(tenant, user, ["c"], extracted_type="EVENT", importance=0.1, created_at=NOW - timedelta(9))
    new = add_memories(tenant, user, ["d"] * 2, created_at=NOW + timedelta(seconds=1))
    for columns in ({"gated": True}, {"superseded_by": plain[0]}, {"retention_status": "archived"}):
        add_memories(tenant, user, ["e"], importance=1.0, **columns)
    with transaction() as connection:
        sample = sample_of(connection, Owner(tenant), type(get_memory_settings())(), NOW + timedelta(seconds=2))
    assert [row.id for row in sample.rows] == [*top, odd, *new]


def test_ids_that_are_none_and_users_who_are_gone(callboard_run: Run) -> None:
    for snapshot in (tenant_snapshot, user_snapshot):
        with pytest.raises(PermanentError, match="must be a UUID"):
            snapshot("x")
    user_snapshot("00000000-0000-0000-0000-000000000001")
    assert callboard_run.notes == {"skipped": "the user is gone"}
