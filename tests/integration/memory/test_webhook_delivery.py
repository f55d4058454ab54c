"""One delivery, against a real endpoint: what is sent, and what each answer means."""

from __future__ import annotations

import socket
import time
from contextlib import suppress
from datetime import UTC, datetime, timedelta
from typing import Any
from uuid import uuid4

import pytest

from actors.memory.settings import get_memory_settings
from actors.memory.webhooks import deliver, disable, forget_previous, rotate
from actors.memory.webhooks.delivery import backoff
from actors.memory.webhooks.poller import take_up
from actors.memory.webhooks.rows import taken
from actors.memory.webhooks.sweep import sweep
from callboard import PermanentError, Postponed, TransientError, autocommit, current_run, transaction
from callboard.outside import close_idle
from tests.integration.memory.hooks import Hooks, attempts, delivery, letters
from tests.integration.memory.kit import rows_of, value_of
from tests.support import eventually, free_port


def test_a_delivery_is_signed_and_told_of(hooks: Hooks) -> None:
    hooks.add(auth_header=("Authorization", "Bearer hunter2"))
    (name,) = hooks.emit("7")
    deliver(name)
    endpoint = hooks.receiver.endpoints["crm"]
    ((event_id, came),) = endpoint.webhooks.items()
    assert (came["type"], came["data"], came["attempts"]) == ("memory.created", {"memory_id": "7"}, 1)
    assert endpoint.headers["x-memorysync-event"] == "memory.created"
    assert endpoint.headers["authorization"] == "Bearer hunter2"
    assert endpoint.headers["x-correlation-id"] == current_run().correlation_id
    row = delivery(name)
    assert (row["status"], row["event_id"]) == ("delivered", event_id)
    assert row["ended_at"] >= row["last_attempt_at"] >= row["created_at"]
    (attempt,) = rows_of("select * from memory.webhook_attempts")
    assert (attempt["attempt"], attempt["http_status"], attempt["error"]) == (1, 200, None)
    assert 0 < attempt["latency_seconds"] < 5


def test_what_was_delivered_is_not_sent_again(hooks: Hooks) -> None:
    hooks.add()
    (name,) = hooks.emit("7")
    deliver(name)
    deliver(name)
    assert hooks.receiver.endpoints["crm"].taken == 1


@pytest.mark.parametrize("status", [408, 409, 425, 429, 500, 503])
def test_some_answers_pass(hooks: Hooks, status: int) -> None:
    hooks.add(status=status, retry_base_seconds=100.0)
    (name,) = hooks.emit("7")
    with pytest.raises(TransientError, match=f"webhook 'crm' answered {status}") as raised:
        deliver(name)
    row = delivery(name)
    assert (row["status"], row["retry_count"]) == ("retry", 1)
    assert attempts() == [(row["id"], 1, status)]
    asked = raised.value.retry_after or 0.0
    assert 75 <= asked <= 125
    wait = row["scheduled_retry_at"] - row["last_attempt_at"]
    assert wait == pytest.approx(timedelta(seconds=asked), abs=timedelta(milliseconds=1))


@pytest.mark.parametrize("status", [400, 401, 403, 404, 410, 413, 302, 307])
def test_others_do_not(hooks: Hooks, status: int) -> None:
    webhook = hooks.add(status=status, headers={"Location": hooks.receiver.url + "/hooks/there"})
    hooks.receiver.add("there")
    (name,) = hooks.emit("7")
    with pytest.raises(PermanentError, match=f"answered {status}"):
        deliver(name)
    (letter,) = letters()
    assert delivery(name)["status"] == "dead_letter"
    assert (letter["last_status"], letter["attempts"], letter["event_type"]) == (status, 1, "memory.created")
    assert letter["payload_json"] == delivery(name)["payload_json"]
    active = value_of("select active from memory.webhooks where id = :id", id=webhook)
    assert active is (status != 410)
    assert hooks.receiver.endpoints["there"].taken == 0
    audited = rows_of("select event_type, category, payload_json from memory.audit_logs")
    assert [(row["event_type"], row["category"]) for row in audited] == (
        [("webhook.disabled", "security")] if status == 410 else []
    )


def test_after_its_ceiling_it_is_given_up(hooks: Hooks) -> None:
    hooks.add(status=503)
    (name,) = hooks.emit("7")
    for _ in range(2):
        with pytest.raises(TransientError):
            deliver(name)
    with pytest.raises(PermanentError, match="answered 503"):
        deliver(name)
    (letter,) = letters()
    assert (letter["attempts"], letter["last_status"], letter["last_error"]) == (3, 503, "webhook 'crm' answered 503")
    assert [number for _, number, _ in attempts()] == [1, 2, 3]
    with pytest.raises(PermanentError, match="answered 503"):  # the run died before the engine knew, and starts again
        deliver(name)
    assert (len(attempts()), len(letters())) == (3, 1)


@pytest.mark.parametrize(("asked", "waits"), [(90, 90), (50_000, 50_000), (500_000, 86_400)])
def test_retry_after_is_honoured_where_it_is_longer(hooks: Hooks, asked: int, waits: int) -> None:
    hooks.add(status=429, retry_after=asked, retry_base_seconds=1.0)
    (name,) = hooks.emit("7")
    with pytest.raises(TransientError) as raised:
        deliver(name)
    assert raised.value.retry_after == waits


def test_waits_grow_to_a_day_where_the_owner_says_so(hooks: Hooks) -> None:
    hooks.add(status=503, retry_base_seconds=3000.0, retry_factor=10.0, max_retries=9)
    (name,) = hooks.emit("7")
    asked = []
    for _ in range(3):
        with pytest.raises(TransientError) as raised:
            deliver(name)
        asked.append(raised.value.retry_after)
    assert asked == [pytest.approx(envelope, rel=0.25) for envelope in (3_000, 30_000, 69_120)]


@pytest.mark.parametrize(("fault", "words"), [({"delay": 30.0}, "within 1 s"), ({"reset": True}, "cannot be reached")])
def test_no_answer_is_tried_again(hooks: Hooks, fault: dict[str, Any], words: str) -> None:
    hooks.add(timeout_seconds=1.0, **fault)
    (name,) = hooks.emit("7")
    with pytest.raises(TransientError, match=words):
        deliver(name)
    assert attempts() == [(delivery(name)["id"], 1, None)]


def test_nobody_there_is_tried_again(hooks: Hooks) -> None:
    hooks.add(url=f"http://127.0.0.1:{free_port()}/x")
    (name,) = hooks.emit("7")
    with pytest.raises(TransientError, match="Connection refused"):
        deliver(name)


def test_an_address_that_is_not_public_is_refused(hooks: Hooks, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setenv("CALLBOARD_MEMORY_ALLOW_PRIVATE", "false")
    get_memory_settings.cache_clear()
    hooks.add("plain")
    hooks.add("private", url=f"https://localhost:{hooks.receiver.url.rpartition(':')[2]}/hooks")
    for name, words in zip(hooks.emit("7"), ("is plain HTTP", "no public address.*ALLOW_PRIVATE"), strict=True):
        with pytest.raises(PermanentError, match=words):
            deliver(name)
    assert not hooks.receiver.requests


def test_a_disabled_webhook_is_not_called(hooks: Hooks) -> None:
    webhook = hooks.add()
    (name,) = hooks.emit("7")
    with transaction() as connection:
        disable(connection, webhook, "moved")
    with pytest.raises(PermanentError, match="is disabled: moved; enable it, then replay"):
        deliver(name)
    assert not hooks.receiver.requests
    assert attempts() == []
    assert letters()[0]["attempts"] == 0


def test_both_secrets_sign_while_they_are_rotated(hooks: Hooks) -> None:
    webhook = hooks.add()
    endpoint = hooks.receiver.endpoints["crm"]
    with transaction() as connection:
        new = rotate(connection, webhook)
    deliver(hooks.emit("7")[-1])
    endpoint.secrets = (new,)
    deliver(hooks.emit("8")[-1])
    assert endpoint.taken == 2
    assert len(endpoint.headers["webhook-signature"].split()) == 2
    with transaction() as connection:
        forget_previous(connection, webhook)
    deliver(hooks.emit("9")[-1])
    assert len(endpoint.headers["webhook-signature"].split()) == 1


def test_a_delivery_that_is_under_way_is_left_to_whoever_makes_it(hooks: Hooks) -> None:
    hooks.add()
    (name,) = hooks.emit("7")
    with autocommit() as connection, taken(connection, delivery(name)["id"], get_memory_settings()) as held:
        assert held is not None
        assert held.has_slot
        deliver(name)
    assert not hooks.receiver.requests
    deliver(name)
    assert hooks.receiver.endpoints["crm"].taken == 1


@pytest.mark.parametrize(("slots", "endpoint_slots"), [(10, 2), (2, 9)])
def test_only_so_many_are_under_way(
    hooks: Hooks, monkeypatch: pytest.MonkeyPatch, slots: int, endpoint_slots: int
) -> None:
    monkeypatch.setenv("CALLBOARD_MEMORY_WEBHOOK_CONCURRENCY", str(slots))
    monkeypatch.setenv("CALLBOARD_MEMORY_WEBHOOK_ENDPOINT_CONCURRENCY", str(endpoint_slots))
    get_memory_settings.cache_clear()
    hooks.add()
    first, second, third = hooks.emit("1", "2", "3")
    settings = get_memory_settings()
    with autocommit() as one, autocommit() as two:
        with taken(one, delivery(first)["id"], settings), taken(two, delivery(second)["id"], settings):
            with pytest.raises(Postponed, match="no free slot"):
                deliver(third)
            assert delivery(third)["retry_count"] == 0
        deliver(third)
    assert attempts() == [(delivery(third)["id"], 1, 200)]


def test_the_slots_of_a_process_that_died_are_free(hooks: Hooks) -> None:
    hooks.add(concurrency=1)
    first, second = hooks.emit("1", "2")
    with autocommit() as connection:
        with taken(connection, delivery(first)["id"], get_memory_settings()):
            with pytest.raises(Postponed):
                deliver(second)
            connection.invalidate()  # its session ends, as that of a killed process does
        eventually(lambda: _is_free_for(second), what="that the server notices")
    deliver(first)
    assert hooks.receiver.endpoints["crm"].taken == 2


def _is_free_for(name: str) -> bool:
    try:
        deliver(name)
    except Postponed:
        return False
    return True


def test_a_breaker_opens_and_deliveries_wait_without_using_up_attempts(hooks: Hooks) -> None:
    hooks.add(status=503, max_retries=50)
    first, second = hooks.emit("1", "2")
    for _ in range(5):
        with pytest.raises(TransientError):
            deliver(first)
    with pytest.raises(Postponed, match="breaker"):
        deliver(second)
    assert (len(hooks.receiver.requests), delivery(second)["retry_count"]) == (5, 0)


def test_the_poller_takes_up_what_nobody_looks_after(hooks: Hooks) -> None:
    webhook = hooks.add()
    (sent,) = hooks.emit("7")
    now = datetime.now(UTC)
    with transaction() as connection:
        assert take_up(now, 50) == []
        connection.exec_driver_sql(
            "insert into memory.webhook_deliveries (webhook_id, event_id, event_type, payload_json) "
            f"select '{webhook}', 'msg_' || n, 'memory.created', '{{}}' from generate_series(1, 60) n"
        )
    assert len(take_up(now, 50)) == 50
    assert len(take_up(now, 50)) == 10
    assert take_up(now, 50) == []
    assert take_up(now + timedelta(minutes=20), 1) == [delivery(sent)["id"]]


def test_a_clock_set_back_an_hour_delays_nothing_that_has_a_run(hooks: Hooks) -> None:
    hooks.add()
    (name,) = hooks.emit("7")
    assert take_up(datetime.now(UTC) - timedelta(hours=1), 50) == []
    deliver(name)
    assert delivery(name)["status"] == "delivered"


def test_a_delivery_whose_webhook_is_deleted_ends_quietly(hooks: Hooks) -> None:
    hooks.add()
    (name,) = hooks.emit("7")
    with transaction() as connection:
        connection.exec_driver_sql("delete from memory.webhooks")
    deliver(name)
    with pytest.raises(PermanentError, match="is no delivery"):
        deliver("8822")


def test_the_waits_grow(hooks: Hooks) -> None:
    hooks.add()
    (name,) = hooks.emit("7")
    with autocommit() as connection, taken(connection, delivery(name)["id"], get_memory_settings()) as found:
        assert found is not None
        assert 3.75 <= backoff(found) <= 6.25


def test_a_connection_is_kept_and_one_that_was_closed_is_replaced(hooks: Hooks) -> None:
    close_idle()
    webhook = hooks.add()
    with socket.create_server(("127.0.0.1", 0)) as server:
        answer = b"HTTP/1.1 200 OK\r\nContent-Length: 2\r\n\r\n{}"
        url = f"http://127.0.0.1:{server.getsockname()[1]}/x"
        with transaction() as connection:
            connection.exec_driver_sql(f"update memory.webhooks set url = '{url}' where id = '{webhook}'")
        for number in range(2):
            _serve_once(server, answer, lambda at=number: deliver(hooks.emit(str(at))[-1]))
    assert [status for _, _, status in attempts()] == [200, 200]
    close_idle()


def _serve_once(server: socket.socket, answer: bytes, act: Any) -> None:  # noqa: ANN401 - a function
    """Answer one request on a new connection, then close it, while `act` runs."""
    import threading

    def serve() -> None:
        peer, _ = server.accept()
        with peer:
            while b"{" not in peer.recv(65_536):
                pass
            peer.sendall(answer)

    thread = threading.Thread(target=serve)
    thread.start()
    act()
    thread.join(10)


def test_an_endpoint_that_dribbles_holds_nobody_longer_than_its_time(hooks: Hooks) -> None:
    hooks.add(url="http://127.0.0.1:1", timeout_seconds=1.0)
    with socket.create_server(("127.0.0.1", 0)) as server:
        with transaction() as connection:
            port = server.getsockname()[1]
            connection.exec_driver_sql(f"update memory.webhooks set url = 'http://127.0.0.1:{port}/x'")
        (name,) = hooks.emit(uuid4().hex)
        began = time.monotonic()
        thread = _dribble(server)
        with pytest.raises(TransientError, match="did not answer within 1 s"):
            deliver(name)
        assert time.monotonic() - began < 3
        thread.join(10)


def _dribble(server: socket.socket) -> Any:  # noqa: ANN401 - a thread
    import threading

    def serve() -> None:
        peer, _ = server.accept()
        with peer:
            try:
                for _ in range(100):
                    peer.sendall(b"H" if _ == 0 else b"x")
                    time.sleep(0.1)
            except OSError:
                return

    thread = threading.Thread(target=serve)
    thread.start()
    return thread


def test_what_was_delivered_long_ago_is_forgotten(hooks: Hooks) -> None:
    hooks.add()
    hooks.add("failing", status=400)
    for name in hooks.emit("1"):
        with suppress(PermanentError):
            deliver(name)
    (waiting,) = hooks.emit("2", "3")[-1:]
    deliver(hooks.emit()[2])
    run, now = current_run(), datetime.now(UTC)
    sweep(run, get_memory_settings(), now + timedelta(days=29))
    assert run.counts["deleted"] == 0
    sweep(run, get_memory_settings(), now + timedelta(days=31))
    assert run.counts["deleted"] == 2
    left = rows_of("select status from memory.webhook_deliveries order by id")
    assert [row["status"] for row in left] == ["dead_letter", "pending", "pending", "pending"]
    assert delivery(waiting)["status"] == "pending"
    assert len(attempts()) == 1
