"""The stand-in for Datadog's logs intake against the vendor's documented example, limits and answers."""

from __future__ import annotations

import gzip
import json
import time
from typing import TYPE_CHECKING, Any

import httpx
import pytest

from sandbox.datadog import MOST_LOGS, Datadog

if TYPE_CHECKING:
    from collections.abc import Iterator

EXAMPLE = {
    "ddsource": "nginx",
    "ddtags": "env:staging,version:5.1",
    "hostname": "i-012345678",
    "message": "2019-11-19T14:37:58,995 INFO [process.name][20081] Hello World",
    "service": "payment",
}


@pytest.fixture
def datadog() -> Iterator[Datadog]:
    with Datadog() as stand_in:
        yield stand_in


def post(datadog: Datadog, logs: Any, **headers: str) -> httpx.Response:  # noqa: ANN401 - any JSON
    body = logs if isinstance(logs, bytes) else json.dumps(logs).encode()
    given = {"DD-API-KEY": datadog.key, "Content-Type": "application/json", **headers}
    return httpx.post(f"{datadog.url}/api/v2/logs", content=body, headers=given)


def test_the_documented_example_is_accepted(datadog: Datadog) -> None:
    answer = post(datadog, [EXAMPLE])
    assert (answer.status_code, answer.json()) == (202, {})
    assert post(datadog, EXAMPLE).status_code == 202
    packed = gzip.compress(json.dumps([EXAMPLE]).encode())
    assert post(datadog, packed, **{"Content-Encoding": "gzip"}).status_code == 202
    assert list(datadog.logs) == [EXAMPLE] * 3


def test_a_key_is_needed_and_must_be_right(datadog: Datadog) -> None:
    assert httpx.post(f"{datadog.url}/api/v2/logs", json=[EXAMPLE]).status_code == 401
    answer = post(datadog, [EXAMPLE], **{"DD-API-KEY": "0" * 32})
    assert (answer.status_code, answer.json()["errors"][0]["title"]) == (403, "Forbidden")


@pytest.mark.parametrize("body", [b"{", b"[1]", b"[]"])
def test_what_is_no_log_is_a_bad_request(datadog: Datadog, body: bytes) -> None:
    assert post(datadog, body).status_code == 400
    assert post(datadog, body, **{"Content-Encoding": "gzip"}).status_code == 400


def test_too_many_and_too_much_are_too_large(datadog: Datadog) -> None:
    assert post(datadog, [{"message": "a"}] * (MOST_LOGS + 1)).status_code == 413
    assert post(datadog, [{"message": "a" * 2_600_000}] * 2).status_code == 413
    assert post(datadog, [{"message": "a"}] * MOST_LOGS).status_code == 202


def test_a_long_log_is_cut_and_an_old_one_dropped(datadog: Datadog) -> None:
    old = int((time.time() - 19 * 3600) * 1000)
    assert post(datadog, [{"message": "a" * 1_200_000}, {"message": "old", "timestamp": old}]).status_code == 202
    (taken,) = datadog.logs
    assert (len(taken["message"]), taken["truncated"], datadog.dropped) == (1_000_000, True, 1)
