"""The client of the language model against the stand-in: answers, tokens, the budget, and whose fault a failure is."""

from __future__ import annotations

from contextlib import suppress
from datetime import UTC, datetime
from typing import TYPE_CHECKING, Any

import pytest
from pydantic import BaseModel, ConfigDict

from actors.memory.budget import BudgetSpent, spending
from actors.memory.clients.model import InputRefused, Model, ModelMissing, OutOfQuota, fails_for_all
from actors.memory.settings import MemorySettings, get_memory_settings
from callboard import AuthenticationError, BreakerOpen, PermanentError, TransientError
from callboard.failures import classify
from callboard.retry import retry_after
from sandbox.openai import QUOTA
from tests.integration.memory.kit import add_tenant, rows_of

if TYPE_CHECKING:
    from collections.abc import Callable, Iterator
    from uuid import UUID

    from callboard import Run
    from sandbox.openai import OpenAIStandIn


class Verdict(BaseModel):
    model_config = ConfigDict(extra="forbid")

    good: bool
    why: list[str]


@pytest.fixture
def model(openai: OpenAIStandIn) -> Iterator[Model]:
    del openai
    with Model.of(get_memory_settings()) as opened:
        yield opened


def ask(model: Model, tenant: UUID) -> Verdict:
    return model.chat("Judge.", "Tea is good.", schema=Verdict, category="verdict", tenant_id=tenant)


def spent(tenant: UUID) -> list[dict[str, Any]]:
    return rows_of("select day, tokens from memory.tenant_tokens where tenant_id = :tenant", tenant=tenant)


def completion(content: object, **choice: object) -> dict[str, Any]:
    message = {"role": "assistant", "content": content, **choice}
    return {"choices": [{"message": message, "finish_reason": choice.get("finish_reason", "stop")}], "usage": None}


def test_an_answer_fits_its_schema_and_its_tokens_are_counted(model: Model, callboard_run: Run) -> None:
    tenant = add_tenant()
    assert len(ask(model, tenant).why) == 2
    (usage,) = callboard_run.token_usages or []
    assert (usage["category"], usage["model"], usage["calls"]) == ("verdict", "gpt-5-mini", 1)
    assert usage["prompt"] == 2 + 3
    ask(model, tenant)
    assert spent(tenant) == [{"day": datetime.now(UTC).date(), "tokens": 2 * (5 + usage["completion"])}]


def test_vectors_come_in_the_order_of_the_texts_and_in_batches(
    openai: OpenAIStandIn, monkeypatch: pytest.MonkeyPatch, callboard_run: Run
) -> None:
    monkeypatch.setenv("CALLBOARD_MEMORY_EMBED_BATCH", "2")
    tenant = add_tenant()
    with Model.of(MemorySettings()) as model:
        tea, coffee, again = model.embed(["tea", "coffee", "tea"], tenant_id=tenant)
        assert model.embed([], tenant_id=tenant) == []
    assert (tea == again, tea == coffee, len(tea)) == (True, False, 64)
    assert [path for path, _ in openai.requests] == ["/v1/embeddings"] * 2
    assert callboard_run.token_usages == [
        {"category": "embedding", "model": "text-embedding-3-small", "calls": 2, "prompt": 4, "completion": 0}
    ]


def test_vectors_as_plain_lists_are_read_too(model: Model, openai: OpenAIStandIn) -> None:
    row = {"index": 0, "embedding": [1.0] + [0.0] * 63}
    openai.fail(answer={"data": [row]})
    assert list(model.embed(["tea"], tenant_id=add_tenant())[0])[:2] == [1.0, 0.0]


CHAT_FAULTS: list[tuple[dict[str, Any], type[Exception], str]] = [
    ({"status": 429}, TransientError, "429"),
    ({"status": 500}, TransientError, "500"),
    ({"status": 503}, TransientError, "503"),
    ({"reset": True}, TransientError, "cannot be reached"),
    ({"malformed": True}, TransientError, "something else than JSON"),
    ({"answer": [1]}, TransientError, "a JSON object"),
    ({"answer": {"choices": []}}, TransientError, "a chat completion"),
    ({"answer": completion("no JSON at all")}, TransientError, "a Verdict"),
    ({"answer": completion('{"good": true}')}, TransientError, "a Verdict"),
    ({"answer": completion('{"good": true, "why": [], "more": 1}')}, TransientError, "a Verdict"),
    ({"answer": completion('{"good":', finish_reason="length")}, TransientError, "length"),
    ({"answer": completion(None, refusal="I cannot")}, InputRefused, "refuses"),
    ({"status": 400}, InputRefused, "400"),
    ({"status": 404}, ModelMissing, "CALLBOARD_MEMORY_CHAT_MODEL"),
    ({"status": 401}, AuthenticationError, "CALLBOARD_MEMORY_MODEL_KEY"),
    ({"status": 429, "answer": QUOTA}, OutOfQuota, "current quota"),
    ({"status": 405}, PermanentError, "CALLBOARD_MEMORY_MODEL_URL"),
]
EMBEDDING_FAULTS: list[tuple[dict[str, Any], type[Exception], str]] = [
    ({"dimensions": 32}, PermanentError, "CALLBOARD_MEMORY_EMBEDDING_DIMENSIONS"),
    ({"answer": {"data": []}}, TransientError, "1 vectors"),
    ({"answer": {"data": [{"index": 0, "embedding": "?"}]}}, TransientError, "1 vectors"),
    ({"answer": {"data": [{"index": 0, "embedding": [0.0] * 64}]}}, InputRefused, "no direction"),
    ({"answer": {"data": [{"index": n, "embedding": [1.0] * 64} for n in (0, 1)]}}, TransientError, "2 of them"),
]


def test_whose_fault_a_failed_chat_is(model: Model, openai: OpenAIStandIn) -> None:
    tenant = add_tenant()
    for fault, kind, said in CHAT_FAULTS:
        openai.requests.clear()
        openai.fail(**fault)
        with pytest.raises(kind, match=said) as raised:
            ask(model, tenant)
        assert raised.type is kind or kind is TransientError, fault
        assert len(openai.requests) == 1, f"{fault}: the client itself tries nothing again"
        assert ask(model, tenant), fault


def test_whose_fault_it_is_that_there_are_no_vectors(model: Model, openai: OpenAIStandIn) -> None:
    tenant = add_tenant()
    for fault, kind, said in EMBEDDING_FAULTS:
        openai.fail(**fault)
        with pytest.raises(kind, match=said):
            model.embed(["tea"], tenant_id=tenant)
        assert model.embed(["tea"], tenant_id=tenant), fault


def test_a_429_says_how_long_to_wait_and_the_engine_hears_it(model: Model, openai: OpenAIStandIn) -> None:
    openai.fail(status=429, retry_after=17)
    with pytest.raises(TransientError) as raised:
        ask(model, add_tenant())
    assert (retry_after(raised.value), classify(raised.value).retryable) == (17.0, True)


def test_a_429_storm_opens_the_breaker_of_this_endpoint_only(model: Model, openai: OpenAIStandIn) -> None:
    tenant = add_tenant()
    openai.fail(status=429, times=None, path="/v1/chat/completions")
    for _ in range(5):
        with pytest.raises(TransientError, match="429"):
            ask(model, tenant)
    asked = len(openai.requests)
    with pytest.raises(BreakerOpen, match="/chat") as raised:
        ask(model, tenant)
    assert len(openai.requests) == asked
    assert fails_for_all(raised.value)
    assert model.embed(["tea"], tenant_id=tenant)


def test_quota_and_bad_answers_open_no_breaker(model: Model, openai: OpenAIStandIn) -> None:
    tenant = add_tenant()
    openai.fail(status=429, answer=QUOTA, times=6)
    openai.fail(answer=completion("{}"), times=6)
    for kind in [OutOfQuota] * 6 + [TransientError] * 6:
        with pytest.raises(kind):
            ask(model, tenant)
    assert ask(model, tenant)


def test_a_budget_ends_calls_before_they_are_made(model: Model, openai: OpenAIStandIn) -> None:
    poor, rich = add_tenant(token_budget=5), add_tenant()
    ask(model, poor)  # what a call costs is known when it is over
    asked = len(openai.requests)
    calls: list[Callable[[], object]] = [lambda: ask(model, poor), lambda: model.embed(["tea"], tenant_id=poor)]
    for call in calls:
        with pytest.raises(BudgetSpent, match="token_budget"):
            call()
    assert len(openai.requests) == asked
    assert ask(model, rich)


@pytest.mark.usefixtures("memory_database")
def test_a_call_whose_worker_dies_has_been_counted() -> None:
    class Killed(BaseException):
        """No handler sees a SIGKILL, so nothing that is an Exception will do."""

    tenant = add_tenant(token_budget=150)
    for asked in (101, 202):
        with suppress(Killed), spending(tenant, "Judge." * 50, "Tea." * 25):
            assert [row["tokens"] for row in spent(tenant)] == [asked], "committed before anything is asked"
            raise Killed
        assert [row["tokens"] for row in spent(tenant)] == [asked]
    with pytest.raises(BudgetSpent), spending(tenant, "Tea."):
        pytest.fail("two calls that nobody heard the end of have used it up")


def test_a_call_that_fails_costs_nothing(model: Model, openai: OpenAIStandIn) -> None:
    tenant = add_tenant()
    openai.fail(status=500, times=2)
    for call in (lambda: ask(model, tenant), lambda: model.embed(["tea"], tenant_id=tenant)):
        with pytest.raises(TransientError):
            call()
    assert [row["tokens"] for row in spent(tenant)] == [0]


def test_without_a_key_the_error_names_the_setting(memory_database: str, monkeypatch: pytest.MonkeyPatch) -> None:
    del memory_database
    monkeypatch.delenv("CALLBOARD_MEMORY_MODEL_KEY", raising=False)
    with Model.of(MemorySettings()) as model, pytest.raises(AuthenticationError, match="CALLBOARD_MEMORY_MODEL_KEY"):
        ask(model, add_tenant())


def test_no_answer_is_quoted_in_an_error(model: Model, openai: OpenAIStandIn) -> None:
    tenant, secret = add_tenant(), "Anna is ill"
    answers: list[object] = [
        secret,
        {secret.replace(" ", "_"): 1, "choices": secret},
        completion(secret),
        completion(f'{{"good": "{secret}"}}'),
        completion(None, refusal=f"I cannot say that {secret}"),
    ]
    for answer in answers:
        openai.fail(answer=answer)
        with pytest.raises((TransientError, PermanentError)) as raised:
            ask(model, tenant)
        assert secret not in str(raised.value)


def test_nothing_of_the_key_is_in_an_error(openai: OpenAIStandIn, monkeypatch: pytest.MonkeyPatch) -> None:
    openai.key = "another"
    monkeypatch.setenv("CALLBOARD_MEMORY_MODEL_URL", openai.api.replace("//", "//user:hunter2@"))
    with Model.of(MemorySettings()) as model, pytest.raises(AuthenticationError) as raised:
        ask(model, add_tenant())
    assert "hunter2" not in str(raised.value)
    assert "sk-test" not in str(raised.value)
