"""The stand-in for OpenAI against the vendor's documented examples, spoken to in plain HTTP."""

from __future__ import annotations

import base64
import json
import math
from array import array
from typing import TYPE_CHECKING, Any

import httpx
import pytest

from sandbox.openai import QUOTA, OpenAIStandIn

if TYPE_CHECKING:
    from collections.abc import Iterator

HELLO = [
    {"role": "developer", "content": "You are a helpful assistant."},
    {"role": "user", "content": "Hello! Anna drinks tea, Ben drinks coffee."},
]
# From the vendor's guide to structured outputs.
EVENT = {
    "type": "object",
    "properties": {
        "name": {"type": "string"},
        "date": {"type": "string"},
        "participants": {"type": "array", "items": {"type": "string"}},
        "kind": {"type": "string", "enum": ["fair", "talk"]},
        "open": {"type": "boolean"},
        "seats": {"type": "integer", "minimum": 3},
    },
    "required": ["name", "date", "participants", "kind", "open", "seats"],
    "additionalProperties": False,
}


@pytest.fixture
def openai() -> Iterator[OpenAIStandIn]:
    with OpenAIStandIn() as stand_in:
        yield stand_in


@pytest.fixture
def client(openai: OpenAIStandIn) -> Iterator[httpx.Client]:
    with httpx.Client(base_url=openai.api, headers={"Authorization": "Bearer sk-any"}) as opened:
        yield opened


def chat(client: httpx.Client, **more: object) -> httpx.Response:
    return client.post("/chat/completions", json={"model": "gpt-5-mini", "messages": HELLO, **more})


def embed(client: httpx.Client, given: object, **more: object) -> httpx.Response:
    return client.post("/embeddings", json={"model": "text-embedding-3-small", "input": given, **more})


def schema(described: dict[str, Any], **more: object) -> dict[str, Any]:
    return {"type": "json_schema", "json_schema": {"name": "event", "schema": described, "strict": True, **more}}


def test_a_chat_completion_has_the_documented_shape(client: httpx.Client) -> None:
    first, second = chat(client), chat(client)
    assert first.json() == second.json()
    answer = first.json()
    assert answer["object"] == "chat.completion"
    assert answer["id"].startswith("chatcmpl-")
    (choice,) = answer["choices"]
    assert (choice["index"], choice["finish_reason"], choice["message"]["role"]) == (0, "stop", "assistant")
    assert "drinks" in choice["message"]["content"]
    usage = answer["usage"]
    assert usage["prompt_tokens"] == sum(math.ceil(len(one["content"]) / 4) for one in HELLO)
    assert usage["total_tokens"] == usage["prompt_tokens"] + usage["completion_tokens"]


def test_structured_output_fits_its_schema(client: httpx.Client) -> None:
    found = json.loads(chat(client, response_format=schema(EVENT)).json()["choices"][0]["message"]["content"])
    assert list(found) == EVENT["required"]
    assert isinstance(found["participants"], list)
    assert found["kind"] in ("fair", "talk")
    assert (found["open"] in (True, False), found["seats"]) == (True, 3)


@pytest.mark.parametrize(
    ("described", "said"),
    [
        ({**EVENT, "additionalProperties": True}, "additionalProperties"),
        ({**EVENT, "required": ["name"]}, "Missing 'date'"),
        ({"type": "array"}, 'type: "object"'),
    ],
)
def test_a_bad_schema_is_refused(client: httpx.Client, described: dict[str, Any], said: str) -> None:
    answer = chat(client, response_format=schema(described))
    assert answer.status_code == 400
    assert answer.json()["error"]["message"].startswith("Invalid schema for response_format 'event'")
    assert said in answer.json()["error"]["message"]


def test_json_mode_wants_the_word(client: httpx.Client) -> None:
    assert chat(client, response_format={"type": "json_object"}).status_code == 400
    asked = [{"role": "user", "content": "Answer in JSON."}]
    found = chat(client, messages=asked, response_format={"type": "json_object"})
    assert isinstance(json.loads(found.json()["choices"][0]["message"]["content"]), dict)


def test_embeddings_are_normalised_the_same_each_time_and_carry_an_index(client: httpx.Client) -> None:
    answer = embed(client, ["tea", "coffee", "tea"]).json()
    assert (answer["object"], answer["model"]) == ("list", "text-embedding-3-small")
    rows = {row["index"]: row["embedding"] for row in answer["data"]}
    assert [row["index"] for row in answer["data"]] == [2, 1, 0]  # the documented order is the index's alone
    assert (len(rows[0]), rows[0] == rows[2], rows[0] == rows[1]) == (1536, True, False)
    assert math.isclose(math.hypot(*rows[1]), 1)
    assert answer["usage"] == {"prompt_tokens": 4, "total_tokens": 4}


def test_a_single_text_fewer_dimensions_and_base64(client: httpx.Client) -> None:
    plain = embed(client, "tea", dimensions=16).json()["data"][0]["embedding"]
    coded = embed(client, "tea", dimensions=16, encoding_format="base64").json()["data"][0]["embedding"]
    assert array("f", base64.b64decode(coded)) == array("f", plain)


@pytest.mark.parametrize("given", ["", [], ["tea", ""], [1], ["tea"] * 2049])
def test_an_input_that_the_vendor_refuses(client: httpx.Client, given: object) -> None:
    answer = embed(client, given)
    assert (answer.status_code, answer.json()["error"]["type"]) == (400, "invalid_request_error")


def test_too_long_is_too_long(client: httpx.Client) -> None:
    assert "maximum context length is 8192 tokens" in embed(client, "a" * 40_000).json()["error"]["message"]
    answer = chat(client, messages=[{"role": "user", "content": "a" * 600_000}])
    assert (answer.status_code, answer.json()["error"]["code"]) == (400, "context_length_exceeded")


def test_keys_models_and_paths_that_are_wrong(openai: OpenAIStandIn, client: httpx.Client) -> None:
    assert embed(client, "tea", model="none").json()["error"]["code"] == "model_not_found"
    assert client.get("/nowhere").status_code == 404
    assert next(row["id"] for row in client.get("/models").json()["data"]) == "gpt-5-mini"
    openai.key = "sk-right"
    answer = embed(client, "tea")
    assert (answer.status_code, answer.json()["error"]["code"]) == (401, "invalid_api_key")
    assert httpx.post(f"{openai.api}/embeddings", json={}).status_code == 401


def test_the_two_kinds_of_429(openai: OpenAIStandIn, client: httpx.Client) -> None:
    openai.fail(status=429, retry_after=7)
    openai.fail(status=429, answer=QUOTA)
    rate, quota = embed(client, "tea"), embed(client, "tea")
    assert (rate.json()["error"]["code"], rate.headers["Retry-After"]) == ("rate_limit_exceeded", "7")
    assert (quota.status_code, quota.json()["error"]["code"]) == (429, "insufficient_quota")
