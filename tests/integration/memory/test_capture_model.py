"""The capture queue with a language model, whose vectors tell what is there already."""

from __future__ import annotations

from typing import TYPE_CHECKING

import pytest
from sqlalchemy import text

from actors.memory.capture import process_capture_queue_job, promote_candidate
from actors.memory.settings import get_memory_settings
from callboard import AuthenticationError, Run, TransientError, transaction
from callboard.run import enter_run
from tests.integration.memory.kit import add_tenant, add_user, rows_of, value_of
from tests.integration.memory.queueing import NOTHING, TEA, decisions, drain, memories, queue

if TYPE_CHECKING:
    from uuid import UUID

    from sandbox.openai import OpenAIStandIn

#: The same words in another order: their cosine is 1 for the stand-in.
TEA_AGAIN = "In the morning green tea drinks Anna!"
SISTER = "Anna has a sister, who lives in Lyon."
EMBEDDINGS = "/v1/embeddings"


@pytest.fixture
def tenant(openai: OpenAIStandIn) -> UUID:
    del openai
    return add_tenant()


@pytest.fixture
def user(tenant: UUID) -> UUID:
    return add_user(tenant)


def requests(openai: OpenAIStandIn) -> int:
    return sum(path == EMBEDDINGS for path, _ in openai.requests)


def test_what_is_said_already_under_another_key_is_redundant(tenant: UUID, user: UUID, openai: OpenAIStandIn) -> None:
    """Also when both come in one batch."""
    queue(tenant, user, TEA, SISTER, TEA_AGAIN)
    assert drain() == NOTHING | {"scanned": 3, "created": 2, "discarded_redundant": 1}
    assert requests(openai) == 1
    first, _, again = rows_of("select decision, memory_id from memory.memory_candidates order by id")
    assert (again["decision"], again["memory_id"]) == ("discarded_redundant", first["memory_id"])
    assert value_of("select count(*) from memory.embeddings e join memory.memories m using (content_hash)") == 2


def test_the_same_key_is_superseded_however_like_the_texts_are(tenant: UUID, user: UUID) -> None:
    """Nearly the same words with another number in them are news."""
    queue(tenant, user, TEA, extracted_key="drink")
    queue(tenant, user, TEA_AGAIN, extracted_key="drink")
    queue(tenant, user, "Green tea Anna drinks in the morning.", extracted_key="drink")
    assert drain() == NOTHING | {"scanned": 3, "created": 3}
    first, second, third = memories("id, superseded_by")
    assert (first["superseded_by"], second["superseded_by"], third["superseded_by"]) == (
        second["id"],
        third["id"],
        None,
    )


def test_what_others_know_is_not_redundant(tenant: UUID, user: UUID) -> None:
    queue(tenant, user, TEA)
    queue(tenant, add_user(tenant), TEA_AGAIN)
    queue(tenant, user, TEA_AGAIN, environment="staging", extracted_key="b")
    queue(tenant, user, TEA_AGAIN, project_id=tenant, extracted_key="c")
    assert drain()["created"] == 4


def test_only_what_is_worth_it_is_shown_to_the_model(openai: OpenAIStandIn) -> None:
    """A tenant's denied words least of all."""
    tenant = add_tenant(deny_words=["airport", "salary"])
    ben = add_user(tenant)
    openai.fail(status=500, contains="Anna", times=None)
    queue(tenant, ben, "Anna", "Anna is at the airport.", "Anna has a salary.", "Anna is in a meeting.")
    queue(tenant, ben, TEA, importance=0.1)
    assert drain() == NOTHING | {
        "scanned": 5,
        "created": 1,
        "unchecked": 1,
        "discarded_low_signal": 1,
        "discarded_policy": 2,
        "discarded_transient": 1,
    }
    assert requests(openai) == 0
    assert [row["gated"] for row in memories("gated")] == [True]


def test_while_the_model_is_down_only_what_needs_it_waits(tenant: UUID, user: UUID, openai: OpenAIStandIn) -> None:
    queue(tenant, user, TEA, "Anna is at the gym.", SISTER)
    openai.fail(status=503)
    run = Run(job="process_capture_queue_job")
    enter_run(run)
    with pytest.raises(TransientError):
        process_capture_queue_job()
    assert run.counts == NOTHING | {"scanned": 3, "deferred": 2, "discarded_transient": 1}
    assert rows_of("select decision, attempts from memory.memory_candidates order by id") == [
        {"decision": "pending", "attempts": 0},
        {"decision": "discarded_transient", "attempts": 0},
        {"decision": "pending", "attempts": 0},
    ]
    assert drain() == NOTHING | {"scanned": 2, "created": 2}


def test_a_model_that_is_down_is_left_alone_after_some_batches(
    tenant: UUID, user: UUID, openai: OpenAIStandIn, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setenv("CALLBOARD_MEMORY_CAPTURE_BATCH", "1")
    get_memory_settings.cache_clear()
    openai.fail(status=429, times=None)
    queue(tenant, user, *(f"{TEA} {number}" for number in range(12)))
    with pytest.raises(TransientError):
        drain()
    assert requests(openai) == 5
    assert decisions() == ["pending"] * 12


def test_a_refused_key_ends_the_asking_and_the_run(
    tenant: UUID, user: UUID, openai: OpenAIStandIn, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setenv("CALLBOARD_MEMORY_MODEL_KEY", "expired")
    monkeypatch.setenv("CALLBOARD_MEMORY_CAPTURE_BATCH", "1")
    get_memory_settings.cache_clear()
    queue(tenant, user, TEA, "Anna is at the gym.", SISTER)
    with pytest.raises(AuthenticationError):
        drain()
    assert (requests(openai), decisions()) == (1, ["pending", "discarded_transient", "pending"])


def test_a_text_that_the_model_refuses_is_decided_on_without(tenant: UUID, user: UUID, openai: OpenAIStandIn) -> None:
    openai.fail(status=400, contains="Lyon", times=None)
    queue(tenant, user, TEA, SISTER, TEA_AGAIN)
    assert drain() == NOTHING | {"scanned": 3, "created": 2, "discarded_redundant": 1, "unchecked": 1}


def test_a_tenant_that_has_spent_its_budget_is_not_compared(openai: OpenAIStandIn) -> None:
    tenant = add_tenant(token_budget=0)
    queue(tenant, add_user(tenant), TEA, TEA_AGAIN)
    assert drain() == NOTHING | {"scanned": 2, "created": 2, "unchecked": 2}
    assert requests(openai) == 0


def test_one_candidate_is_compared_too(tenant: UUID, user: UUID) -> None:
    queue(tenant, user, TEA)
    drain()
    queue(tenant, user, TEA_AGAIN, extracted_key="another")
    promote_candidate(value_of("select max(id) from memory.memory_candidates"))
    assert decisions() == ["created", "discarded_redundant"]


def test_a_cluster_that_is_due_is_asked_to_be_summed_up(tenant: UUID, user: UUID) -> None:
    for words in ("tea", "coffee", "lemonade"):
        queue(tenant, user, f"What Anna drinks is {words}.", extracted_key="drink")
    assert drain()["created"] == 3
    assert value_of("select count(*) from board.runs where job = 'summarise_cluster'") == 1


def test_a_user_whose_key_is_damaged_does_not_keep_the_others_of_the_batch(tenant: UUID, user: UUID) -> None:
    queue(tenant, user, TEA)
    with transaction() as connection:
        connection.execute(text("update memory.users set data_key = 'damaged'"))
    queue(tenant, add_user(tenant), TEA)
    assert drain() == NOTHING | {"scanned": 2, "created": 1, "errored": 1}
    assert decisions() == ["pending", "created"]
