"""The proxy does what its faults say, on a real server."""

from __future__ import annotations

import time
from contextlib import closing
from typing import TYPE_CHECKING
from urllib.parse import urlsplit

import psycopg
import pytest
import redis
from redis.backoff import NoBackoff
from redis.retry import Retry

from callboard.embedded._endpoints import connect
from tests.chaos.proxy import Proxy
from tests.chaos.stage import database_through, socket_path, through

if TYPE_CHECKING:
    from collections.abc import Iterator


@pytest.fixture
def proxy(broker_url: str) -> Iterator[Proxy]:
    with Proxy(("127.0.0.1", urlsplit(broker_url).port or 0)) as opened:
        yield opened


@pytest.fixture
def client(broker_url: str, proxy: Proxy) -> Iterator[redis.Redis]:
    url = through(broker_url, proxy)
    with closing(redis.Redis.from_url(url, socket_timeout=0.3, retry=Retry(NoBackoff(), 0))) as opened:
        assert opened.ping()
        yield opened


def test_a_refusing_proxy_cuts_and_refuses_until_it_is_healed(proxy: Proxy, client: redis.Redis) -> None:
    proxy.refuse()
    for _ in range(2):
        with pytest.raises(redis.ConnectionError):
            client.ping()
    proxy.heal()
    assert client.ping()


def test_a_black_hole_accepts_and_answers_nothing(proxy: Proxy, client: redis.Redis) -> None:
    proxy.hold()
    with pytest.raises(redis.TimeoutError):
        client.ping()
    proxy.heal()
    assert client.ping()


@pytest.mark.parametrize(("deliver", "value"), [(True, b"held"), (False, None)])
def test_what_a_black_hole_held_arrives_or_does_not(
    proxy: Proxy,
    client: redis.Redis,
    broker_url: str,
    deliver: bool,  # noqa: FBT001 - pytest passes it by name
    value: bytes | None,
) -> None:
    held = redis.Redis.from_url(through(broker_url, proxy), socket_timeout=2, retry=Retry(NoBackoff(), 0))
    assert held.ping()
    connection = held.connection_pool.get_connection()
    proxy.hold()
    connection.send_command("SET", "word", "held")  # type: ignore[no-untyped-call] # redis-py's own
    time.sleep(0.1)  # the bytes are on their way to the proxy, which tells nobody
    proxy.heal(deliver=deliver)
    if deliver:
        assert connection.read_response() == b"OK"
    else:
        with pytest.raises(redis.ConnectionError):
            connection.read_response()
    assert client.get("word") == value
    connection.disconnect()  # type: ignore[no-untyped-call] # redis-py's own
    held.close()


def test_a_lost_reply_leaves_its_command_done(proxy: Proxy, client: redis.Redis) -> None:
    proxy.lose_replies(2, request=b"counter")
    for _ in range(2):
        with pytest.raises(redis.ConnectionError):
            client.incr("counter")
    assert client.incr("counter") == 3
    assert proxy.dropped == 2


def test_a_reply_can_be_chosen_by_what_it_says(proxy: Proxy, client: redis.Redis) -> None:
    client.set("word", "secret")
    proxy.lose_replies(1, reply=b"secret")
    assert client.ping()
    with pytest.raises(redis.ConnectionError):
        client.get("word")
    assert client.get("word") == b"secret"


def test_latency_is_there_and_goes(proxy: Proxy, client: redis.Redis) -> None:
    proxy.slow(0.05)
    began = time.monotonic()
    client.ping()
    assert time.monotonic() - began > 0.09  # there and back
    proxy.heal()
    began = time.monotonic()
    client.ping()
    assert time.monotonic() - began < 0.05


def test_resets_come_by_chance(proxy: Proxy, client: redis.Redis) -> None:
    proxy.slow(0, reset_chance=0.5)
    failed = 0
    for _ in range(20):
        try:
            client.ping()
        except redis.ConnectionError:
            failed += 1
    assert 0 < failed <= 20


def test_postgres_behind_its_unix_socket_is_reached_too(postgres_url: str) -> None:
    with Proxy(socket_path(postgres_url)) as proxy:
        reached = database_through(postgres_url, proxy)
        with closing(connect(reached)) as connection:
            row = connection.execute("select 1").fetchone()
            assert row == (1,)
            proxy.cut()
            with pytest.raises(psycopg.OperationalError):
                connection.execute("select 1")
        with closing(connect(reached)) as connection:
            assert connection.execute("select 2").fetchone() == (2,)
