"""Events become deliveries: whose, how often, and with which words."""

from __future__ import annotations

import json
from datetime import UTC, datetime, timedelta, timezone
from uuid import UUID, uuid4

import pytest
from sqlalchemy import event

from actors.memory.webhooks import NewWebhook, WebhookEvent, disable, emit, register, rotate
from callboard import PermanentError, get_settings, transaction, unseal
from callboard.ledger.database import get_engine
from tests.board import Board
from tests.integration.memory.hooks import Hooks, delivery
from tests.integration.memory.kit import add_tenant, rows_of, value_of

COUNT = "select count(*) from memory.webhook_deliveries"
RUNS = "select count(*) from board.runs where job = 'webhook.deliver'"


def test_an_event_becomes_a_delivery_and_a_run(hooks: Hooks) -> None:
    hooks.add()
    at = datetime(2026, 3, 10, 13, tzinfo=timezone(timedelta(hours=1)))
    (name,) = hooks.emit("7", at=at)
    row = delivery(name)
    document = json.loads(row["payload_json"])
    assert document == {"type": "memory.created", "timestamp": "2026-03-10T12:00:00Z", "data": {"memory_id": "7"}}
    assert (row["status"], row["retry_count"], row["event_type"]) == ("pending", 0, "memory.created")
    assert row["event_id"].startswith("msg_")
    assert value_of("select args->>'delivery' from board.runs where job = 'webhook.deliver'") == name


def test_an_event_told_twice_is_delivered_once(hooks: Hooks) -> None:
    hooks.add()
    first = hooks.emit("7", "7")
    assert hooks.emit("7", "8")[0] == first[0]
    assert (value_of(COUNT), value_of(RUNS)) == (2, 2)


def test_only_those_hear_of_it_who_asked(hooks: Hooks) -> None:
    project = uuid4()
    wanting = {
        hooks.add("all", events=["*"]),
        hooks.add("created"),
        hooks.add("project", project_id=project),
    }
    hooks.add("deleted", events=["memory.deleted"])
    hooks.add("elsewhere", project_id=uuid4())
    off = hooks.add("off")
    with transaction() as connection:
        disable(connection, off, "moved")
    Hooks(add_tenant(), hooks.receiver).add("stranger", events=["*"])
    hooks.emit("7", project_id=project)
    assert {row["webhook_id"] for row in rows_of("select webhook_id from memory.webhook_deliveries")} == wanting


def test_nothing_leaves_a_transaction_that_is_rolled_back(hooks: Hooks, webhooks_board: Board) -> None:
    hooks.add()
    with transaction() as connection, connection.begin_nested() as savepoint:
        assert emit(connection, [WebhookEvent(hooks.tenant, "memory.created", {}, "7")]) == 1
        savepoint.rollback()
    assert (value_of(COUNT), value_of(RUNS)) == (0, 0)
    assert webhooks_board.broker.depths(["webhooks"])["webhooks"].ready == 0


def test_who_has_no_webhook_costs_one_statement(hooks: Hooks) -> None:
    statements: list[str] = []
    events = [WebhookEvent(hooks.tenant, "memory.created", {}, str(number)) for number in range(500)]
    with transaction() as connection:
        event.listen(get_engine(), "before_cursor_execute", lambda *told: statements.append(told[2]))
        assert emit(connection, []) == 0
        assert not statements
        assert emit(connection, events) == 0
    assert len(statements) == 1


def test_the_id_is_of_tenant_type_and_key_and_nothing_else() -> None:
    tenant, other = UUID(int=1), UUID(int=2)
    one = WebhookEvent(tenant, "a.b", {}, "k")
    assert one.id == WebhookEvent(tenant, "a.b", {"x": 1}, "k", at=datetime(2026, 1, 1, tzinfo=UTC)).id
    others = [
        WebhookEvent(other, "a.b", {}, "k"),
        WebhookEvent(tenant, "a.c", {}, "k"),
        WebhookEvent(tenant, "a.b", {}, "l"),
    ]
    assert one.id not in {each.id for each in others}


def test_secrets_are_sealed(hooks: Hooks) -> None:
    webhook = hooks.add(auth_header=("Authorization", "Bearer hunter2"))
    old = hooks.receiver.endpoints["crm"].secrets[0]
    with transaction() as connection:
        new = rotate(connection, webhook)
    (row,) = rows_of("select * from memory.webhooks")
    assert [unseal(row[name]).decode() for name in ("secret", "previous_secret", "auth_header_value")] == [
        new,
        old,
        "Bearer hunter2",
    ]
    assert not any(secret in str(row) for secret in (old, new, "hunter2"))


def test_without_a_key_no_webhook_is_registered(hooks: Hooks, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.delenv("CALLBOARD_SECRET_KEYS")
    get_settings.cache_clear()
    with pytest.raises(PermanentError, match="CALLBOARD_SECRET_KEYS"):
        hooks.add()


@pytest.mark.parametrize(
    ("fields", "words"),
    [
        ({"url": "ftp://example.org"}, "url"),
        ({"url": "https://user:pw@example.org"}, "no password"),
        ({"events": []}, "events"),
        ({"auth_header": ("Webhook-Id", "x")}, "auth_header"),
        ({"auth_header": ("X: y", "x")}, "auth_header"),
        ({"max_retries": 51}, "max_retries=51 must be a whole number from 0 to 50"),
        ({"timeout_seconds": 31.0}, "timeout_seconds"),
        ({"secret": "whsec_c2hvcnQ="}, "secret"),
    ],
)
def test_what_does_not_fit_is_named(hooks: Hooks, fields: dict[str, object], words: str) -> None:
    given = {"url": "https://example.org", "events": ["*"], **fields}
    with transaction() as connection, pytest.raises(ValueError, match=words):
        register(connection, NewWebhook(hooks.tenant, "crm", **given))  # type: ignore[arg-type]  # what is tested
