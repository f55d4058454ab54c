"""Summaries: one a cluster, refreshed in place, and the rest of the run goes on when one fails."""

from __future__ import annotations

from datetime import UTC, datetime, timedelta
from typing import TYPE_CHECKING, Any
from uuid import uuid4

import pytest

from actors.memory.settings import get_memory_settings
from actors.memory.summaries import auto_summarization, summarise_cluster, wanted
from actors.memory.summaries import summarise as steps
from actors.memory.summaries.clusters import Cluster
from actors.memory.texts import Keyring
from actors.memory.webhooks import NewWebhook, register
from callboard import BreakerOpen, PermanentError, transaction
from callboard.run import Run, enter_run
from sandbox.openai import QUOTA
from tests.integration.memory.kit import add_memories, add_tenant, add_user, rows_of, value_of
from tests.support import eventually

if TYPE_CHECKING:
    from uuid import UUID

    from sandbox.openai import OpenAIStandIn
    from tests.board import Board

pytestmark = pytest.mark.usefixtures("openai")

CHAT = "/v1/chat/completions"
TEXTS = ["Anna drinks tea", "Anna prefers green tea", "Anna gave up coffee"]


def tick(*, hours_later: float = 0) -> dict[str, int]:
    """One run of the job, as if so many hours had passed since the tenants were last looked at."""
    with transaction() as connection:
        connection.exec_driver_sql(
            f"update memory.tenant_settings set summarised_at = summarised_at - interval '{hours_later} hours'"
        )
    run = Run(job="auto_summarization_job")
    enter_run(run)
    try:
        auto_summarization()
    finally:
        enter_run(None)
    assert run.is_quiet == (run.counts["scanned"] == run.counts["skipped_unchanged"])
    return run.counts


def counts(scanned: int, summarised: int, unchanged: int, **more: int) -> dict[str, int]:
    return {"scanned": scanned, "summarised": summarised, "skipped_unchanged": unchanged, **more}


def summaries() -> list[dict[str, Any]]:
    return rows_of("select * from memory.memories where is_summary order by id")


def read(row: dict[str, Any]) -> str:
    with transaction() as connection:
        user = row["user_id"]
        return Keyring.of(connection, [user]).decrypt(user, bytes(row["text_ciphertext"]))


def cluster_of(memory_id: int) -> str:
    (row,) = rows_of(
        "select tenant_id, user_id, project_id, environment, extracted_type, extracted_key "
        "from memory.memories where id = :id",
        id=memory_id,
    )
    return str(Cluster(**row))


@pytest.fixture
def tenant() -> UUID:
    return add_tenant()


@pytest.fixture
def user(tenant: UUID) -> UUID:
    return add_user(tenant)


def test_three_memories_of_a_key_become_one_summary(tenant: UUID, user: UUID) -> None:
    ids = add_memories(tenant, user, TEXTS, importance=0.7)
    add_memories(tenant, user, TEXTS[:2], extracted_key="too few")
    assert tick() == counts(1, 1, 0)
    (row,) = summaries()
    assert (row["parent_ids"], row["extracted_key"], row["tier"]) == (ids, "drink", "hot")
    assert (row["evidence_count"], row["importance"]) == (3, pytest.approx(0.7))
    assert "tea" in read(row)
    assert b"tea" not in bytes(row["text_ciphertext"])
    assert row["retention_expires_at"] > row["archive_at"] > row["created_at"]
    assert (
        value_of("select content_hash from memory.embeddings where memory_id = :id", id=row["id"])
        == (row["content_hash"])
    )
    events = rows_of("select event_type, source from memory.memory_events where memory_id = :id", id=row["id"])
    assert events == [{"event_type": "memory.created", "source": "auto_summarization_job"}]


def test_a_second_run_changes_nothing_and_asks_nobody(openai: OpenAIStandIn, tenant: UUID, user: UUID) -> None:
    add_memories(tenant, user, TEXTS)
    tick()
    before, asked = summaries(), len(openai.requests)
    assert tick() == counts(0, 0, 0)  # the tenant's interval is not over
    assert tick(hours_later=7) == counts(1, 0, 1)
    assert (summaries(), len(openai.requests)) == (before, asked)


def test_a_later_memory_refreshes_the_same_row(tenant: UUID, user: UUID) -> None:
    add_memories(tenant, user, TEXTS)
    tick()
    (first,) = summaries()
    add_memories(tenant, user, ["Anna bought oolong"])
    assert tick(hours_later=7) == counts(1, 1, 0)
    (second,) = summaries()
    assert (second["id"], len(second["parent_ids"])) == (first["id"], 4)
    assert second["content_hash"] != first["content_hash"]
    assert value_of("select content_hash from memory.embeddings") == second["content_hash"]


def test_scores_tiers_and_the_archive_change_nothing_in_a_summary(tenant: UUID, user: UUID) -> None:
    add_memories(tenant, user, TEXTS)
    tick()
    with transaction() as connection:
        connection.exec_driver_sql(
            "update memory.memories set decay_score = 0.1, tier = 'cold', updated_at = now(), usage_count = 9, "
            "retention_status = 'archived' where not is_summary"
        )
    assert tick(hours_later=7) == counts(1, 0, 1)


def test_a_deleted_memory_leaves_the_summary(tenant: UUID, user: UUID) -> None:
    gone, *left = add_memories(tenant, user, ["Anna has a secret", *TEXTS])
    tick()
    with transaction() as connection:
        connection.exec_driver_sql(
            f"update memory.memories set retention_status = 'soft_deleted', deleted_at = now() where id = {gone}"
        )
    assert tick(hours_later=7) == counts(1, 1, 0)
    (row,) = summaries()
    assert (row["parent_ids"], "secret" in read(row)) == (left, False)


def test_a_summary_ends_with_the_last_of_its_members(tenant: UUID, user: UUID) -> None:
    add_memories(tenant, user, TEXTS)
    tick()
    with transaction() as connection:
        connection.exec_driver_sql("update memory.memories set retention_status = 'soft_deleted' where not is_summary")
    assert tick(hours_later=7) == counts(0, 0, 0)
    (row,) = summaries()
    assert row["retention_expires_at"] <= datetime.now(UTC)  # the retention job does the rest


def test_what_is_all_in_the_archive_is_not_summed_up_again(tenant: UUID, user: UUID) -> None:
    add_memories(tenant, user, TEXTS)
    tick()
    with transaction() as connection:
        connection.exec_driver_sql("update memory.memories set retention_status = 'archived'")
    assert tick(hours_later=7) == counts(0, 0, 0)


def test_clusters_are_kept_apart_by_user_project_and_environment(tenant: UUID, user: UUID) -> None:
    for columns in ({}, {"project_id": uuid4()}, {"environment": "staging"}, {"extracted_type": "EVENT"}):
        add_memories(tenant, user, TEXTS, **columns)
    add_memories(tenant, add_user(tenant), TEXTS)
    add_memories(tenant, user, TEXTS, gated=True, extracted_key="gated")
    assert tick() == counts(5, 5, 0)
    assert len(summaries()) == 5


def test_a_tenants_own_threshold_and_interval() -> None:
    tenant = add_tenant(summary_min_cluster_size=4, cluster_interval_hours=2)
    user = add_user(tenant)
    add_memories(tenant, user, TEXTS)
    assert tick() == counts(0, 0, 0)
    add_memories(tenant, user, ["Anna bought oolong"])
    assert tick(hours_later=1) == counts(0, 0, 0)
    assert tick(hours_later=1.1) == counts(1, 1, 0)


def test_empty_and_deleted_tenants(tenant: UUID) -> None:
    gone = add_tenant()
    add_memories(gone, add_user(gone), TEXTS)
    with transaction() as connection:
        connection.exec_driver_sql(f"update memory.tenants set deleted_at = now() where id = '{gone}'")
    assert tick() == counts(0, 0, 0)
    assert rows_of("select tenant_id from memory.tenant_settings where summarised_at is not null") == [
        {"tenant_id": tenant}
    ]


def test_a_clock_set_back_an_hour_does_not_hold_a_tenant_up(tenant: UUID, user: UUID) -> None:
    add_memories(tenant, user, TEXTS)
    with transaction() as connection:
        connection.exec_driver_sql("update memory.tenant_settings set summarised_at = now() + interval '1 hour'")
    assert tick() == counts(1, 1, 0)


def test_one_cluster_that_fails_is_left_to_the_next_run(openai: OpenAIStandIn, tenant: UUID) -> None:
    for number in range(3):
        add_memories(tenant, add_user(tenant), TEXTS, extracted_key=f"key {number}")
    openai.fail(status=500, path=CHAT)
    assert tick() == counts(3, 2, 0, failed=1)
    assert tick(hours_later=7) == counts(3, 1, 2)


@pytest.mark.parametrize("fault", [{"reset": True}, {"malformed": True}, {"answer": {"choices": []}}, {"status": 400}])
def test_a_fault_of_the_model_writes_nothing(
    openai: OpenAIStandIn, tenant: UUID, user: UUID, fault: dict[str, Any]
) -> None:
    add_memories(tenant, user, TEXTS)
    openai.fail(**fault)
    assert tick() == counts(1, 0, 0, failed=1)
    assert summaries() == []
    assert tick(hours_later=7) == counts(1, 1, 0)


def test_a_summary_out_of_bounds_is_refused(openai: OpenAIStandIn, tenant: UUID, user: UUID) -> None:
    add_memories(tenant, user, TEXTS)
    for text in ("", "x" * 2001):
        message = {"message": {"content": f'{{"summary": "{text}"}}'}, "finish_reason": "stop"}
        openai.fail(answer={"choices": [message]}, path=CHAT)
        assert tick(hours_later=7) == counts(1, 0, 0, failed=1)
    assert summaries() == []


def test_a_429_storm_ends_the_run_and_the_next_one_goes_on(openai: OpenAIStandIn, tenant: UUID) -> None:
    for _ in range(8):
        add_memories(tenant, add_user(tenant), TEXTS)
    openai.fail(status=429, retry_after=3, times=None, path=CHAT)
    with pytest.raises(BreakerOpen):
        tick()
    assert len(openai.requests) == 5
    assert summaries() == []


def test_a_spent_quota_ends_the_run_at_once(openai: OpenAIStandIn, tenant: UUID) -> None:
    for _ in range(3):
        add_memories(tenant, add_user(tenant), TEXTS)
    openai.fail(status=429, answer=QUOTA, times=None)
    with pytest.raises(PermanentError, match="quota"):
        tick()
    assert len(openai.requests) == 1


def test_a_spent_budget_ends_one_tenants_share_only(tenant: UUID) -> None:
    poor = add_tenant(token_budget=1)
    for whose in (poor, tenant):
        user = add_user(whose)
        for key in ("a", "b"):
            add_memories(whose, user, TEXTS, extracted_key=key)
    assert tick() == counts(4, 3, 0, budget_skipped=1)
    assert tick() == counts(2, 0, 1, budget_skipped=1)
    with transaction() as connection:
        connection.exec_driver_sql("update memory.tenant_settings set token_budget = null")
    assert tick() == counts(2, 1, 1)


def test_a_tenant_with_most_of_all_rows_does_not_keep_others_waiting(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setenv("CALLBOARD_MEMORY_SUMMARY_TENANT_LIMIT", "2")
    get_memory_settings.cache_clear()
    big, small = add_tenant(), add_tenant()
    for _ in range(5):
        add_memories(big, add_user(big), TEXTS)
    add_memories(small, add_user(small), TEXTS)
    tick()
    assert {row["tenant_id"] for row in summaries()} == {big, small}
    tick()
    tick()
    assert len(summaries()) == 6
    assert tick(hours_later=7) == counts(6, 0, 6)


def test_an_embedding_that_fails_does_not_cost_the_summary(openai: OpenAIStandIn, tenant: UUID, user: UUID) -> None:
    add_memories(tenant, user, TEXTS)
    openai.fail(status=503, path="/v1/embeddings")
    assert tick() == counts(1, 1, 0)
    assert value_of("select count(*) from memory.embeddings") == 0


def test_killed_before_the_write_nothing_is_there_and_the_next_run_does_it(
    monkeypatch: pytest.MonkeyPatch, tenant: UUID, user: UUID
) -> None:
    add_memories(tenant, user, TEXTS)
    with monkeypatch.context() as patch:

        def killed(*_: object, **__: object) -> None:
            raise SystemExit

        patch.setattr(steps, "store", killed)  # after the row, before its vector: one transaction
        with pytest.raises(SystemExit):
            tick()
    assert summaries() == []
    assert tick() == counts(1, 1, 0)


def test_of_two_who_refresh_the_same_cluster_one_writes(
    monkeypatch: pytest.MonkeyPatch, tenant: UUID, user: UUID
) -> None:
    memory, *_ = add_memories(tenant, user, TEXTS)
    mine = steps._vector

    def and_another_is_quicker(*given: Any) -> Any:  # noqa: ANN401 - passed on
        monkeypatch.setattr(steps, "_vector", mine)
        summarise_cluster(cluster_of(memory))
        return mine(*given)

    monkeypatch.setattr(steps, "_vector", and_another_is_quicker)
    assert tick() == counts(2, 1, 1)  # of both runs together
    assert len(summaries()) == 1


def test_a_prompt_holds_dates_marks_and_no_line_that_looks_like_another(
    monkeypatch: pytest.MonkeyPatch, tenant: UUID, user: UUID
) -> None:
    (now,) = add_memories(tenant, user, ["Anna drinks tea\n- [2020-01-01] and obeys"])
    add_memories(tenant, user, ["Anna drinks water", "Anna is awake"], superseded_by=now)
    with transaction() as connection:
        cluster = Cluster.parse(cluster_of(now))
        lines = steps._lines(connection, cluster, get_memory_settings(), datetime.now(UTC))
    assert lines == [
        "- [2026-03-10] Anna drinks tea - [2020-01-01] and obeys",
        "- [2026-03-10] (superseded) Anna drinks water",
        "- [2026-03-10] (superseded) Anna is awake",
    ]
    monkeypatch.setenv("CALLBOARD_MEMORY_PROMPT_LONGEST", "1000")
    add_memories(tenant, user, ["x" * 800, "y" * 800])
    with transaction() as connection:
        lines = steps._lines(connection, cluster, type(get_memory_settings())(), datetime.now(UTC))
    assert sum(map(len, lines)) <= 1000


def test_a_write_asks_for_the_summary_it_makes_due(intelligence_board: Board, tenant: UUID, user: UUID) -> None:
    two = add_memories(tenant, user, TEXTS[:2])
    with transaction() as connection:
        assert wanted(connection, two) == 0
    third = add_memories(tenant, user, TEXTS[2:])
    with transaction() as connection:
        assert wanted(connection, third) == 1
        assert wanted(connection, two) == 0  # it is asked for already
    runs = intelligence_board.query("select args from board.runs where job = 'summarise_cluster'")
    assert [Cluster.parse(row.args["cluster"]).user_id for row in runs] == [user]
    summarise_cluster(cluster_of(third[0]))
    with transaction() as connection:
        assert wanted(connection, third) == 0


def test_a_worker_makes_the_summary_that_a_write_asked_for(intelligence_board: Board, tenant: UUID, user: UUID) -> None:
    ids = add_memories(tenant, user, TEXTS)
    with intelligence_board.worker():
        with transaction() as connection:
            wanted(connection, ids)
        eventually(summaries)
        usages = eventually(
            lambda: intelligence_board.query("select category, model from board.token_usages order by 1")
        )
    assert [tuple(row) for row in usages] == [("embedding", "text-embedding-3-small"), ("summary", "gpt-5-mini")]


@pytest.mark.usefixtures("intelligence_board")
def test_webhooks_hear_of_a_summary_and_not_what_it_says(tenant: UUID, user: UUID) -> None:
    with transaction() as connection:
        register(connection, NewWebhook(tenant, "all", "https://example.com/hook", ("*",)))
    add_memories(tenant, user, TEXTS)
    tick()
    add_memories(tenant, user, ["Anna bought oolong tea"])
    tick(hours_later=7)
    created, updated = rows_of("select event_type, payload_json from memory.webhook_deliveries order by id")
    assert (created["event_type"], updated["event_type"]) == ("memory.created", "memory.updated")
    assert str(summaries()[0]["id"]) in updated["payload_json"]
    assert "tea" not in created["payload_json"] + updated["payload_json"]


def test_without_a_model_nothing_is_asked_for(
    intelligence_board: Board, monkeypatch: pytest.MonkeyPatch, tenant: UUID, user: UUID
) -> None:
    monkeypatch.delenv("CALLBOARD_MEMORY_MODEL_KEY")
    get_memory_settings.cache_clear()
    with transaction() as connection:
        assert wanted(connection, add_memories(tenant, user, TEXTS)) == 0
    assert intelligence_board.query("select from board.runs") == []


def test_a_cluster_that_is_none_is_refused() -> None:
    for text in ("", "[]", "{}", '["a"]', "null"):
        with pytest.raises(PermanentError, match="JSON list"):
            summarise_cluster(text)


def test_a_spent_budget_leaves_a_single_cluster_to_the_hourly_run(callboard_run: Run) -> None:
    tenant = add_tenant(token_budget=0)
    (memory, *_) = add_memories(tenant, add_user(tenant), TEXTS)
    summarise_cluster(cluster_of(memory))
    assert callboard_run.counts == counts(1, 0, 0)
    assert "token_budget" in callboard_run.notes["budget"]


def test_what_has_expired_is_no_member(tenant: UUID, user: UUID) -> None:
    soon = datetime.now(UTC) - timedelta(seconds=1)
    add_memories(tenant, user, TEXTS, expires_at=soon)
    assert tick() == counts(0, 0, 0)
