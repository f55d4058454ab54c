"""Audit rows on their way to the systems that auditors watch: order, batches, retries, dead letters."""

from __future__ import annotations

from functools import partial
from typing import TYPE_CHECKING, Any
from uuid import UUID

import pytest
from sqlalchemy import text

from actors.memory.audit import AuditRow, audit
from actors.memory.settings import get_memory_settings
from actors.memory.siem import (
    add_destination,
    batch_id,
    batches,
    forward,
    siem_forward_batch,
    siem_forwarding_job,
    siem_skip_batch,
)
from callboard import breaker, transaction
from callboard.breakers import circuit
from callboard.breakers import known as knowing
from callboard.ledger.database import get_engine
from sandbox.datadog import Datadog
from sandbox.splunk import Splunk
from sandbox.webhook_receiver import WebhookReceiver
from tests.integration.memory.kit import add_tenant, rows_of, value_of

if TYPE_CHECKING:
    from collections.abc import Iterator

    from callboard.testing import MemoryBroker

pytest_plugins = ["callboard.testing"]

#: Longer than any test; a breaker that opens is tested by name.
_PATIENT = 1000


@pytest.fixture(autouse=True)
def _catalogue(memory_database: str, monkeypatch: pytest.MonkeyPatch, callboard_broker: MemoryBroker) -> None:
    del memory_database, callboard_broker
    monkeypatch.setenv("CALLBOARD_MEMORY_ALLOW_PRIVATE", "true")
    get_memory_settings.cache_clear()
    monkeypatch.setattr(circuit, "known", knowing.Known())
    monkeypatch.setattr(forward, "breaker", partial(breaker, failures=_PATIENT))


@pytest.fixture
def splunk() -> Iterator[Splunk]:
    with Splunk() as stand_in:
        yield stand_in


@pytest.fixture
def tenant() -> UUID:
    return add_tenant()


def write(tenant: UUID, count: int, **given: Any) -> None:  # noqa: ANN401 - the fields of AuditRow
    row = {"tenant_id": tenant, "event_type": "memory.create", "resource_type": "memory", "action": "create", **given}
    with transaction() as connection:
        audit(connection, [AuditRow(**row, payload={"n": number}) for number in range(count)])


def to_splunk(tenant: UUID, splunk: Splunk, **given: Any) -> UUID:  # noqa: ANN401 - of add_destination
    with transaction() as connection:
        return add_destination(connection, tenant_id=tenant, kind="splunk", url=splunk.url, token=splunk.token, **given)


def tick(broker: MemoryBroker) -> dict[str, int]:
    """A run of the job and of all that it sends. Returns what it counted."""
    siem_forwarding_job.send()
    runs = [run for run in broker.drain() if run.facts.job == "siem_forwarding_job"]
    return runs[-1].report.counts


def cursor(name: UUID) -> int:
    found: int = value_of("select cursor_id from memory.siem_destinations where id = :id", id=name)
    return found


def ids(splunk: Splunk) -> list[int]:
    return [each["event"]["id"] for each in splunk.events]


def test_batches_of_a_hundred_in_order_and_nothing_twice(
    callboard_broker: MemoryBroker, tenant: UUID, splunk: Splunk
) -> None:
    write(tenant, 250)
    name = to_splunk(tenant, splunk, options={"index": "audit", "sourcetype": "memory:audit"})
    assert tick(callboard_broker) == {"destinations": 1, "batches": 1, "forwarded": 0, "failed": 0, "breaker_open": 0}
    rows = [row["id"] for row in rows_of("select id from memory.audit_logs order by id")]
    assert ids(splunk) == rows
    expected = [
        batch_id(name, rows[0], rows[99]),
        batch_id(name, rows[100], rows[199]),
        batch_id(name, rows[200], rows[249]),
    ]
    assert list(splunk.batches) == [(str(expected[0]), 100), (str(expected[1]), 100), (str(expected[2]), 50)]
    assert (splunk.events[0]["index"], splunk.events[0]["sourcetype"]) == ("audit", "memory:audit")
    assert cursor(name) == rows[-1]
    logged = rows_of("select batch_id, events, attempt, http_status, error from memory.siem_attempts order by id")
    assert [row["batch_id"] for row in logged] == expected
    assert {(row["attempt"], row["http_status"], row["error"]) for row in logged} == {(1, 200, None)}
    again = tick(callboard_broker)
    assert again == {"destinations": 1, "batches": 0, "forwarded": 250, "failed": 0, "breaker_open": 0}
    assert tick(callboard_broker)["forwarded"] == 0
    assert len(splunk.events) == 250


def test_the_cursor_waits_for_a_2xx_and_the_batch_stays_the_same(
    callboard_broker: MemoryBroker, tenant: UUID, splunk: Splunk, monkeypatch: pytest.MonkeyPatch
) -> None:
    write(tenant, 40)
    name = to_splunk(tenant, splunk)
    splunk.fail(status=503, times=2)
    seen: list[int] = []
    real = batches.failed

    def failed(*args: Any, **given: Any) -> None:  # noqa: ANN401 - as the real one
        seen.append(cursor(name))
        write(tenant, 30)  # what is written meanwhile goes with the next batch
        real(*args, **given)

    monkeypatch.setattr(batches, "failed", failed)
    tick(callboard_broker)
    assert seen == [0, 0]
    assert [events for _, events in splunk.batches] == [40, 60]
    logged = rows_of("select batch_id, attempt, http_status, error from memory.siem_attempts order by id")
    assert [(row["attempt"], row["http_status"]) for row in logged] == [(1, 503), (2, 503), (3, 200), (1, 200)]
    assert len({row["batch_id"] for row in logged[:3]}) == 1
    assert "code 9: Server is busy" in logged[0]["error"]
    assert ids(splunk) == sorted(ids(splunk))


def test_at_the_ceiling_it_is_a_dead_letter_and_order_is_kept(
    callboard_broker: MemoryBroker, tenant: UUID, splunk: Splunk
) -> None:
    write(tenant, 150)
    name = to_splunk(tenant, splunk)
    splunk.fail(status=500, times=None)
    tick(callboard_broker)
    (letter,) = rows_of("select * from memory.siem_dead_letters")
    assert (letter["attempts"], letter["resolved_at"], cursor(name)) == (6, None, 0)
    assert "code 8" in letter["last_error"]
    (run,) = [run for run in callboard_broker.runs if run.facts.job == "siem_forward_batch"]
    assert (run.state, run.attempts) == ("failed", 6)
    splunk.faults.clear()
    counted = tick(callboard_broker)
    assert (counted["batches"], counted["failed"]) == (0, 6)
    assert not splunk.events
    siem_forward_batch.send(destination=str(name))  # as a replay, or a person's trigger
    callboard_broker.drain()
    (letter,) = rows_of("select * from memory.siem_dead_letters")
    assert (letter["resolution"], letter["resolved_at"] is None) == ("replayed", False)
    assert next(iter(splunk.batches)) == (str(letter["batch_id"]), 100)
    assert ids(splunk) == sorted(ids(splunk))
    assert len(splunk.events) == 150


def test_a_batch_can_be_skipped(callboard_broker: MemoryBroker, tenant: UUID, splunk: Splunk) -> None:
    write(tenant, 101)
    name = to_splunk(tenant, splunk)
    splunk.fail(status=401)
    tick(callboard_broker)
    (letter,) = rows_of("select * from memory.siem_dead_letters")
    assert (letter["attempts"], "renew its token" in letter["last_error"]) == (1, True)
    for _ in range(2):
        siem_skip_batch.send(batch=str(letter["batch_id"]))
        callboard_broker.drain()
    assert value_of("select resolution from memory.siem_dead_letters") == "skipped"
    assert [run.state for run in callboard_broker.runs if run.facts.job == "siem_skip_batch"] == ["completed", "failed"]
    assert cursor(name) == letter["last_id"] + 2, "it goes on at once"
    assert [each["event"]["event_type"] for each in splunk.events] == ["memory.create", "siem.batch_skipped"]


def test_rows_of_a_transaction_that_still_runs_are_not_skipped(
    callboard_broker: MemoryBroker, tenant: UUID, splunk: Splunk
) -> None:
    to_splunk(tenant, splunk)
    one = AuditRow(tenant_id=tenant, event_type="memory.create", resource_type="memory", action="create")
    with get_engine().connect() as first, get_engine().connect() as slow:
        first.execute(text("select pg_current_xact_id()"))  # began before, and wrote after
        audit(slow, [one])
        audit(first, [one])
        first.commit()
        write(tenant, 1)
        tick(callboard_broker)
        taken = ids(splunk)
        slow.commit()
    tick(callboard_broker)
    every = {row["id"] for row in rows_of("select id from memory.audit_logs")}
    assert len(taken) == 1, "the first one, whose id is above that of a row which nobody can see yet"
    assert sorted(ids(splunk)) == sorted(every)
    assert len(every) == 3


def test_a_process_that_dies_after_the_answer_sends_the_same_batch_again(
    callboard_broker: MemoryBroker, tenant: UUID, splunk: Splunk, monkeypatch: pytest.MonkeyPatch
) -> None:
    write(tenant, 5)
    name = to_splunk(tenant, splunk)
    real, deaths = batches.succeeded, [1]

    def succeeded(*args: Any, **given: Any) -> bool:  # noqa: ANN401 - as the real one
        if deaths:
            write(tenant, 5)
            raise MemoryError(deaths.pop())
        return real(*args, **given)

    monkeypatch.setattr(batches, "succeeded", succeeded)
    tick(callboard_broker)
    first, again, rest = splunk.batches
    assert first == again == (str(batch_id(name, ids(splunk)[0], ids(splunk)[4])), 5)
    assert rest[1] == 5
    assert cursor(name) == ids(splunk)[-1]


def test_datadog_gets_tags_a_status_and_halves_of_what_is_too_large(
    callboard_broker: MemoryBroker, tenant: UUID
) -> None:
    with Datadog(most_bytes=30_000) as datadog:
        write(tenant, 98)
        write(tenant, 1, event_type="api_key.revoked")
        write(tenant, 1, status="failure")
        with transaction() as connection:
            name = add_destination(
                connection,
                tenant_id=tenant,
                kind="datadog",
                url=datadog.url,
                token=datadog.key,
                options={"service": "memory", "env": "staging"},
            )
        tick(callboard_broker)
        taken = list(datadog.logs)
        parts = list(datadog.batches)
    assert [each["audit"]["id"] for each in taken] == [
        row["id"] for row in rows_of("select id from memory.audit_logs order by id")
    ]
    assert [each["status"] for each in taken[-3:]] == ["info", "error", "warning"]
    assert taken[98]["ddtags"] == "env:staging,service:memory,event-type:api_key.revoked"
    assert sum(logs for _, logs in parts) == 100
    assert 2 <= len(parts) <= 8
    first = taken[: parts[0][1]]
    assert parts[0][0] == str(batch_id(name, first[0]["audit"]["id"], first[-1]["audit"]["id"]))
    assert value_of("select http_status from memory.siem_attempts") == 202
    assert cursor(name) == taken[-1]["audit"]["id"]


def test_rows_older_than_datadog_takes_are_not_lost(callboard_broker: MemoryBroker, tenant: UUID) -> None:
    with Datadog() as datadog:
        write(tenant, 3)
        with transaction() as connection:
            connection.execute(text("update memory.audit_logs set created_at = now() - interval '3 days'"))
            add_destination(connection, tenant_id=tenant, kind="datadog", url=datadog.url, token=datadog.key)
        tick(callboard_broker)
        assert (len(datadog.logs), datadog.dropped) == (3, 0)


def test_a_custom_endpoint_gets_a_signed_webhook(callboard_broker: MemoryBroker, tenant: UUID) -> None:
    with WebhookReceiver() as receiver:
        write(tenant, 3)
        receiver.fail(status=429, retry_after=7)
        with transaction() as connection:
            name = add_destination(
                connection, tenant_id=tenant, kind="custom", url=f"{receiver.url}/hooks", token=receiver.secret
            )
        tick(callboard_broker)
        (taken,) = receiver.webhooks.values()
    first, last = (
        row["id"]
        for row in rows_of(
            "select min(id) as id from memory.audit_logs union all select max(id) from memory.audit_logs"
        )
    )
    assert taken["id"] == taken["data"]["batch_id"] == str(batch_id(name, first, last))
    assert (taken["type"], taken["data"]["count"], len(taken["data"]["events"])) == ("audit.batch", 3, 3)


@pytest.mark.parametrize("switch", ["catalogue", "tenant", "destination"])
def test_each_switch_turns_it_off(
    callboard_broker: MemoryBroker, tenant: UUID, splunk: Splunk, monkeypatch: pytest.MonkeyPatch, switch: str
) -> None:
    write(tenant, 1)
    name = to_splunk(tenant, splunk)
    if switch == "catalogue":
        monkeypatch.setenv("CALLBOARD_MEMORY_SIEM_ENABLED", "false")
        get_memory_settings.cache_clear()
    with transaction() as connection:
        if switch == "tenant":
            connection.execute(text("update memory.tenant_settings set siem_enabled = false"))
        if switch == "destination":
            connection.execute(text("update memory.siem_destinations set active = false"))
    assert tick(callboard_broker)["destinations"] == 0
    siem_forward_batch.send(destination=str(name))
    callboard_broker.drain()
    assert not splunk.events
    assert not splunk.requests


def test_only_the_categories_that_it_wants(callboard_broker: MemoryBroker, tenant: UUID, splunk: Splunk) -> None:
    write(tenant, 2)
    write(tenant, 2, event_type="session.created")
    to_splunk(tenant, splunk, categories=["auth", "security"])
    other = add_tenant(name="Other")
    write(other, 2, event_type="session.created")
    tick(callboard_broker)
    assert [each["event"]["category"] for each in splunk.events] == ["auth", "auth"]


def test_an_open_breaker_puts_the_run_off_and_spares_the_others(
    callboard_broker: MemoryBroker, tenant: UUID, splunk: Splunk, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr(forward, "breaker", partial(breaker, failures=2, cooldown=30.0))
    write(tenant, 1)
    with Splunk() as other:
        bad, good = to_splunk(tenant, splunk), to_splunk(tenant, other)
        splunk.fail(status=503, times=None)
        siem_forward_batch.send(destination=str(bad))
        siem_forward_batch.send(destination=str(good))
        with pytest.raises(RuntimeError, match="attempts were made"):
            callboard_broker.drain(most=5)
        assert len(other.events) == 1
    assert len(splunk.requests) == 2, "nothing is sent while it is open"
    assert value_of("select count(*) from memory.siem_attempts where destination_id = :id", id=bad) == 2
    assert value_of("select state from board.breakers where key = :key", key=f"siem:{bad}") == "open"
    assert [run.state for run in callboard_broker.runs] == ["pending", "completed"]
    assert cursor(bad) == 0


def test_a_batch_that_fails_after_others_has_all_its_attempts(
    callboard_broker: MemoryBroker, tenant: UUID, splunk: Splunk
) -> None:
    write(tenant, 250)
    to_splunk(tenant, splunk)
    splunk.fail(status=503, times=4, contains='"n":0}')
    splunk.fail(status=503, times=4, contains='"n":100}')
    tick(callboard_broker)
    assert [events for _, events in splunk.batches] == [100]
    tick(callboard_broker)
    assert [events for _, events in splunk.batches] == [100, 100, 50]
    assert not rows_of("select 1 from memory.siem_dead_letters")


class TestAtOnce:
    """Rows of security do not wait for the tick."""

    def test_once_its_transaction_is_over_and_before_any_tick(
        self, callboard_broker: MemoryBroker, tenant: UUID, splunk: Splunk
    ) -> None:
        to_splunk(tenant, splunk)
        write(tenant, 2)
        assert callboard_broker.drain() == []
        write(tenant, 1, event_type="webhook.disable")
        (run,) = callboard_broker.drain()
        assert (run.facts.job, run.state, run.report.counts["forwarded"]) == ("siem_forward_batch", "completed", 3)
        assert [each["event"]["severity"] for each in splunk.events] == ["info", "info", "high"]

    def test_not_if_it_is_rolled_back(self, callboard_broker: MemoryBroker, tenant: UUID, splunk: Splunk) -> None:
        to_splunk(tenant, splunk)
        row = AuditRow(tenant_id=tenant, event_type="webhook.disable", resource_type="webhook", action="disable")
        with get_engine().connect() as connection:
            audit(connection, [row])
            connection.rollback()
        assert (callboard_broker.drain(), len(splunk.requests)) == ([], 0)

    def test_of_many_transactions_one_run_sends_all(
        self, callboard_broker: MemoryBroker, tenant: UUID, splunk: Splunk
    ) -> None:
        to_splunk(tenant, splunk)
        for _ in range(3):
            write(tenant, 1, event_type="webhook.disable")
        assert [run.report.counts["forwarded"] for run in callboard_broker.drain()] == [3]

    def test_only_where_it_is_wanted_and_may_go(
        self, callboard_broker: MemoryBroker, tenant: UUID, splunk: Splunk
    ) -> None:
        to_splunk(tenant, splunk, categories=["data"])
        to_splunk(add_tenant(), splunk)
        stuck = to_splunk(tenant, splunk)
        write(tenant, 1)
        splunk.fail(status=401)
        siem_forward_batch.send(destination=str(stuck))
        callboard_broker.drain()
        before = len(callboard_broker.runs)
        write(tenant, 1, event_type="webhook.disable")
        assert len(callboard_broker.drain()) == before

    def test_behind_a_transaction_that_still_runs_it_waits_for_that(
        self, callboard_broker: MemoryBroker, tenant: UUID, splunk: Splunk
    ) -> None:
        to_splunk(tenant, splunk)
        with get_engine().connect() as slow:
            slow.execute(text("select pg_current_xact_id()"))
            write(tenant, 1, event_type="webhook.disable")
            with pytest.raises(RuntimeError, match="attempts were made"):
                callboard_broker.drain(most=3)
            assert not splunk.requests
        assert [run.state for run in callboard_broker.drain()] == ["completed"]
        assert len(splunk.events) == 1


def test_a_database_that_came_by_a_dump_is_told_of(
    callboard_broker: MemoryBroker, tenant: UUID, splunk: Splunk
) -> None:
    write(tenant, 1)
    to_splunk(tenant, splunk)
    with transaction() as connection:
        connection.execute(
            text("update memory.siem_destinations set cursor_transaction = 1000000000000, cursor_id = 1")
        )
    tick(callboard_broker)
    (run,) = [run for run in callboard_broker.runs if run.facts.job == "siem_forward_batch"]
    assert run.failure is not None
    assert "came here by a dump" in run.failure.error


def test_plain_http_is_refused_unless_it_is_allowed(
    callboard_broker: MemoryBroker, tenant: UUID, splunk: Splunk, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setenv("CALLBOARD_MEMORY_ALLOW_PRIVATE", "false")
    get_memory_settings.cache_clear()
    write(tenant, 1)
    name = to_splunk(tenant, splunk)
    siem_forward_batch.send(destination=str(name))
    (run,) = callboard_broker.drain()
    assert run.failure is not None
    assert "must begin with https://" in run.failure.error
    assert not splunk.requests


def test_a_destination_that_makes_no_sense_is_refused(tenant: UUID) -> None:
    with transaction() as connection:
        with pytest.raises(ValueError, match="kind='syslog' must be one of splunk, datadog, custom"):
            add_destination(connection, tenant_id=tenant, kind="syslog", url="https://a.example", token="t")
        with pytest.raises(ValueError, match="must be some of auth, security, data, org, api"):
            add_destination(
                connection, tenant_id=tenant, kind="splunk", url="https://a.example", token="t", categories=["x"]
            )


def test_the_token_is_sealed(tenant: UUID, splunk: Splunk) -> None:
    to_splunk(tenant, splunk)
    assert splunk.token.encode() not in bytes(value_of("select token from memory.siem_destinations"))
