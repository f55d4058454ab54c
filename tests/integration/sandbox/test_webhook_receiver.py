"""The receiver against the examples of Standard Webhooks, with many endpoints, each with its own behaviour."""

from __future__ import annotations

import json
from collections.abc import Iterator
from datetime import UTC, datetime
from typing import Any

import httpx
import pytest
from standardwebhooks import Webhook

from sandbox.webhook_receiver import WebhookReceiver, new_secret

BODY = json.dumps({"type": "memory.created", "timestamp": "2026-11-22T03:00:00Z", "data": {"memory_id": 7}})


@pytest.fixture
def receiver() -> Iterator[WebhookReceiver]:
    with WebhookReceiver() as opened:
        yield opened


def send(receiver: WebhookReceiver, path: str, *secrets: str, timeout: float = 5.0) -> httpx.Response:
    at = datetime.now(UTC)
    signed = " ".join(Webhook(secret).sign("msg_1", at, BODY) for secret in secrets)
    headers = {"webhook-id": "msg_1", "webhook-timestamp": str(int(at.timestamp())), "webhook-signature": signed}
    return httpx.post(f"{receiver.url}{path}", content=BODY, headers=headers, timeout=timeout)


def test_each_endpoint_has_a_secret_of_its_own(receiver: WebhookReceiver) -> None:
    crm, billing = receiver.add("crm"), receiver.add("billing")
    assert send(receiver, "/hooks/crm", *crm.secrets).status_code == 200
    assert send(receiver, "/hooks/billing", *crm.secrets).json() == {"error": "no signature fits"}
    assert (crm.taken, crm.refused, billing.taken, billing.refused) == (1, 0, 0, 1)
    assert send(receiver, "/hooks", receiver.secret).status_code == 200
    assert send(receiver, "/hooks/nobody", receiver.secret).status_code == 404
    assert list(receiver.webhooks) == ["msg_1"]


def test_while_a_secret_is_rotated_either_side_may_change_first(receiver: WebhookReceiver) -> None:
    old, new = new_secret(), new_secret()
    receiver.add("crm", old)
    assert send(receiver, "/hooks/crm", new, old).status_code == 200
    receiver.add("crm", new, old)
    assert [send(receiver, "/hooks/crm", secret).status_code for secret in (old, new)] == [200, 200]
    receiver.add("crm", new)
    assert send(receiver, "/hooks/crm", old).status_code == 400


@pytest.mark.parametrize(
    ("behaviour", "status", "header"),
    [
        ({"status": 503}, 503, None),
        ({"status": 410}, 410, None),
        ({"status": 429, "retry_after": 7}, 429, ("Retry-After", "7")),
        ({"status": 302, "headers": {"Location": "https://example.org"}}, 302, ("Location", "https://example.org")),
    ],
)
def test_each_endpoint_behaves_as_it_is_told_until_it_is_mended(
    receiver: WebhookReceiver, behaviour: dict[str, Any], status: int, header: tuple[str, str] | None
) -> None:
    well, ill = receiver.add("well"), receiver.add("ill", **behaviour)
    for _ in range(3):
        answer = send(receiver, "/hooks/ill", *ill.secrets)
        assert answer.status_code == status
        assert header is None or answer.headers[header[0]] == header[1]
    assert send(receiver, "/hooks/well", *well.secrets).status_code == 200
    receiver.add("ill")
    assert send(receiver, "/hooks/ill", *ill.secrets).status_code == 200


def test_an_endpoint_may_accept_and_never_answer(receiver: WebhookReceiver) -> None:
    dead = receiver.add("dead", delay=3600)
    with pytest.raises(httpx.ReadTimeout):
        send(receiver, "/hooks/dead", *dead.secrets, timeout=0.2)
    assert dead.taken == 0


def test_endpoints_are_added_and_mended_over_http(receiver: WebhookReceiver) -> None:
    secret, place = new_secret(), f"{receiver.url}/_sandbox/endpoints"
    httpx.post(place, json={"name": "crm", "secret": secret, "status": 503})
    assert send(receiver, "/hooks/crm", secret).status_code == 503
    httpx.post(place, json={"name": "crm"})
    assert send(receiver, "/hooks/crm", secret).status_code == 200
    told = {each["name"]: each for each in httpx.get(place).json()}
    assert told["crm"] == {
        "name": "crm",
        "url": f"{receiver.url}/hooks/crm",
        "webhooks": 1,
        "taken": 1,
        "refused": 0,
    }
    (came,) = httpx.get(f"{receiver.url}/_sandbox/webhooks/crm").json()
    assert (came["id"], came["data"]) == ("msg_1", {"memory_id": 7})


@pytest.mark.parametrize("document", [{}, {"name": 7}, {"name": "crm", "colour": "red"}])
def test_what_is_no_endpoint_is_refused(receiver: WebhookReceiver, document: dict[str, object]) -> None:
    assert httpx.post(f"{receiver.url}/_sandbox/endpoints", json=document).status_code == 400


def test_who_keeps_a_connection_open_is_not_answered_after_the_end() -> None:
    with WebhookReceiver() as opened, httpx.Client() as client:
        assert client.get(f"{opened.url}/_sandbox/webhooks").json() == []
        opened.stop()
        with pytest.raises(httpx.TransportError):
            client.get(f"{opened.url}/_sandbox/webhooks")
