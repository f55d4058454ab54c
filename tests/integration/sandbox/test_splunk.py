"""The stand-in for Splunk's HTTP Event Collector against the vendor's documented examples and reply codes."""

from __future__ import annotations

from typing import TYPE_CHECKING

import httpx
import pytest

from sandbox.splunk import Splunk

if TYPE_CHECKING:
    from collections.abc import Iterator

TOKEN = "B5A79AAD-D822-46CC-80D1-819F80D7BFB0"
EVENT = b'{"event": "hello world"}'


@pytest.fixture
def splunk() -> Iterator[Splunk]:
    with Splunk(token=TOKEN) as stand_in:
        yield stand_in


def post(splunk: Splunk, body: bytes, authorization: str | None = f"Splunk {TOKEN}") -> httpx.Response:
    headers = {} if authorization is None else {"Authorization": authorization}
    return httpx.post(f"{splunk.url}/services/collector/event", content=body, headers=headers)


def test_the_documented_example_is_a_success(splunk: Splunk) -> None:
    body = (
        b'{"event": "Pony 1 has left the barn"}{"event": "Pony 2 has left the barn"}\n{"event": {"nickname": "Cash"}}'
    )
    answer = post(splunk, body)
    assert (answer.status_code, answer.json()) == (200, {"text": "Success", "code": 0})
    assert [each["event"] for each in splunk.events] == [
        "Pony 1 has left the barn",
        "Pony 2 has left the barn",
        {"nickname": "Cash"},
    ]


@pytest.mark.parametrize(
    ("body", "authorization", "status", "code"),
    [
        (EVENT, None, 401, 2),
        (EVENT, "Basic abc", 401, 3),
        (EVENT, "Splunk nobody", 403, 4),
        (b"", f"Splunk {TOKEN}", 400, 5),
        (b'{"event": "a"', f"Splunk {TOKEN}", 400, 6),
        (b'{"event": "a", "index": "secret"}', f"Splunk {TOKEN}", 400, 7),
        (b'{"fields": {}}', f"Splunk {TOKEN}", 400, 12),
        (b'{"event": ""}', f"Splunk {TOKEN}", 400, 13),
    ],
)
def test_what_is_wrong_has_its_code_and_nothing_is_taken(
    splunk: Splunk, body: bytes, authorization: str | None, status: int, code: int
) -> None:
    answer = post(splunk, body, authorization)
    assert (answer.status_code, answer.json()["code"]) == (status, code)
    assert not splunk.events


@pytest.mark.parametrize(("status", "code"), [(503, 9), (500, 8), (403, 1)])
def test_its_troubles(splunk: Splunk, status: int, code: int) -> None:
    splunk.fail(status=status)
    assert post(splunk, EVENT).json()["code"] == code
    assert post(splunk, EVENT).json()["code"] == 0


def test_it_says_that_it_is_healthy(splunk: Splunk) -> None:
    assert httpx.get(f"{splunk.url}/services/collector/health").json() == {"text": "HEC is healthy", "code": 17}
