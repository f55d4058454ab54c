"""A webhook whose endpoint has failed for long is disabled, and its tenant hears of it."""

from __future__ import annotations

from contextlib import suppress
from datetime import UTC, datetime, timedelta
from typing import Any
from uuid import UUID

import pytest

from actors.memory.settings import get_memory_settings
from actors.memory.webhooks import deliver, disable, enable
from callboard import PermanentError, TransientError, transaction
from tests.integration.memory.hooks import Hooks, attempts, delivery
from tests.integration.memory.kit import add_tenant, rows_of

LONG = timedelta(days=5, minutes=1)


def state_of(webhook: UUID) -> dict[str, Any]:
    (row,) = rows_of("select active, disabled_reason, failing_since from memory.webhooks where id = :id", id=webhook)
    return row


def has_failed_for(webhook: UUID, how_long: timedelta) -> None:
    """As if the first of the failed attempts had been made so long ago."""
    with transaction() as connection:
        since = (datetime.now(UTC) - how_long).isoformat()
        connection.exec_driver_sql(
            f"update memory.webhooks set failing_since = '{since}' where id = '{webhook}' and failing_since is not null"
        )


def fail(hooks: Hooks, key: str) -> None:
    """One event more, whose delivery is given up on or tried again."""
    with suppress(PermanentError, TransientError):
        deliver(hooks.emit(key)[-1])


@pytest.mark.parametrize("status", [404, 503])
def test_one_that_has_failed_for_days_is_disabled_and_others_hear_of_it(hooks: Hooks, status: int) -> None:
    webhook = hooks.add(status=status, max_retries=0)
    hooks.add("auditors", events=["webhook.disabled"])
    Hooks(add_tenant(), hooks.receiver).add("stranger", events=["*"])
    fail(hooks, "1")
    has_failed_for(webhook, LONG)
    fail(hooks, "2")
    row = state_of(webhook)
    since = f"{row['failing_since']:%Y-%m-%d %H:%M} UTC"
    why = f"every attempt has failed since {since}, the last one: webhook 'crm' answered {status}"
    assert (row["active"], row["disabled_reason"]) == (False, why)
    told = {"webhook_id": str(webhook), "name": "crm", "reason": why}
    audited = rows_of("select event_type, category, payload_json from memory.audit_logs")
    assert [tuple(one.values()) for one in audited] == [("webhook.disabled", "security", told)]
    (last,) = rows_of("select id, event_type from memory.webhook_deliveries order by id")[2:]
    deliver(f"wd_{last['id']}")
    ((_, came),) = hooks.receiver.endpoints["auditors"].webhooks.items()
    assert (came["type"], came["data"]) == ("webhook.disabled", told)
    assert hooks.receiver.endpoints["stranger"].taken == 0


def test_one_that_took_something_in_between_is_not(hooks: Hooks) -> None:
    webhook = hooks.add(status=503, times=1)
    (name,) = hooks.emit("1")
    with pytest.raises(TransientError):
        deliver(name)
    assert state_of(webhook)["failing_since"] == delivery(name)["last_attempt_at"]
    has_failed_for(webhook, LONG)
    deliver(name)
    assert state_of(webhook) == {"active": True, "disabled_reason": None, "failing_since": None}


@pytest.mark.parametrize(("days", "how_long"), [("5", LONG - timedelta(minutes=2)), ("0", timedelta(days=400))])
def test_none_is_before_its_time(hooks: Hooks, monkeypatch: pytest.MonkeyPatch, days: str, how_long: timedelta) -> None:
    monkeypatch.setenv("CALLBOARD_MEMORY_WEBHOOK_DISABLE_AFTER_DAYS", days)
    get_memory_settings.cache_clear()
    webhook = hooks.add(status=404)
    fail(hooks, "1")
    has_failed_for(webhook, how_long)
    fail(hooks, "2")
    assert state_of(webhook)["active"]


def test_a_retry_that_is_left_is_made_first(hooks: Hooks) -> None:
    webhook = hooks.add(status=503, max_retries=1, retry_base_seconds=0.1)
    fail(hooks, "1")
    has_failed_for(webhook, LONG)
    name = hooks.emit("2")[-1]
    with pytest.raises(TransientError):
        deliver(name)
    assert state_of(webhook)["active"]
    with pytest.raises(PermanentError):
        deliver(name)
    assert not state_of(webhook)["active"]


def test_what_was_not_sent_is_no_failure_of_the_endpoint(hooks: Hooks) -> None:
    webhook = hooks.add()
    (name,) = hooks.emit("1")
    with transaction() as connection:
        disable(connection, webhook, "moved")
    with pytest.raises(PermanentError, match="is disabled: moved"):
        deliver(name)
    assert state_of(webhook) == {"active": False, "disabled_reason": "moved", "failing_since": None}
    assert attempts() == []


def test_one_that_is_enabled_again_has_its_days_anew(hooks: Hooks) -> None:
    webhook = hooks.add(status=404)
    fail(hooks, "1")
    has_failed_for(webhook, LONG)
    fail(hooks, "2")
    with transaction() as connection:
        enable(connection, webhook)
    fail(hooks, "3")
    row = state_of(webhook)
    assert (row["active"], row["disabled_reason"]) == (True, None)
    assert datetime.now(UTC) - row["failing_since"] < timedelta(minutes=1)
