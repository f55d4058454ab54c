"""Servers of every kind that a broker URL may name, and those that are refused."""

from __future__ import annotations

import asyncio
import socket
import ssl
import subprocess
import threading
from contextlib import contextmanager, suppress
from typing import TYPE_CHECKING

import pytest
import redis
from dramatiq import Message
from dramatiq.errors import ConnectionClosed

from callboard import get_settings
from callboard.broker import Lane, RedisBroker
from callboard.embedded._programs import valkey_program
from callboard.errors import UnsafeBroker
from callboard.ids import new_id
from callboard.outcome import Acknowledge, GiveBack, Resend
from tests.support import eventually

if TYPE_CHECKING:
    from collections.abc import Iterator
    from pathlib import Path

SAFE = ("--appendonly", "yes", "--save", "")


def free_port() -> int:
    with socket.socket() as free:
        free.bind(("127.0.0.1", 0))
        return int(free.getsockname()[1])


def answers(port: int, **options: object) -> bool:
    with redis.Redis(port=port, **options) as client:  # type: ignore[arg-type]  # options of the client
        try:
            return bool(client.ping())
        except redis.ConnectionError:
            return False


@contextmanager
def server(folder: Path, *arguments: str, sentinel: bool = False) -> Iterator[int]:
    """A server of the test's own; yields its port."""
    port = free_port()
    folder.mkdir(exist_ok=True)
    where = ["--port", str(port), "--bind", "127.0.0.1", "--dir", str(folder)]
    command = [valkey_program(), *arguments, *where] if not sentinel else [valkey_program(), *arguments, "--sentinel"]
    with (folder / "log").open("wb") as log:
        process = subprocess.Popen([*command], stdout=log, stderr=log)
    try:
        if not sentinel:
            eventually(lambda: answers(port))
        yield port
    finally:
        process.kill()
        process.wait()


@contextmanager
def broker_at(url: str) -> Iterator[RedisBroker]:
    broker = RedisBroker(url=url, middleware=[], namespace="test")
    try:
        yield broker
    finally:
        broker.close()


def message() -> Message[None]:
    return Message("mail", "send", (), {}, {}, message_id=new_id())


def use(broker: RedisBroker) -> None:
    """Every way a message can go, so that every script runs."""
    lane = [Lane(("mail", "other"), 10)]
    broker.enqueue_many([message(), message(), message()])
    broker.enqueue(message(), delay=60_000)
    taken = broker.fetch(lane, 1)
    assert len(taken) == 3
    broker.settle([(taken[0], Acknowledge()), (taken[1], GiveBack()), (taken[2], Resend(60))])
    assert broker.depths(["mail"])["mail"][:3] == (1, 0, 2)
    assert len(broker.delayed("mail")) == 2
    assert broker.pulse([]) > 0
    assert broker.has([("mail", taken[0].id), ("mail", taken[1].id)]) == [False, True]
    assert broker.alive() == {broker.broker_id}
    broker.leave()
    assert broker.alive() == set()


def test_a_cluster(tmp_path: Path) -> None:
    with server(tmp_path, "--cluster-enabled", "yes", "--cluster-port", str(free_port()), *SAFE) as port:
        with redis.Redis(port=port) as client:
            client.execute_command("CLUSTER", "ADDSLOTSRANGE", 0, 16383)
            eventually(lambda: b"cluster_state:ok" in client.execute_command("CLUSTER", "INFO"))
        with broker_at(f"redis+cluster://127.0.0.1:{port}") as broker:
            use(broker)


@pytest.mark.long
def test_sentinel_names_the_master_and_a_failover_keeps_what_was_replicated(tmp_path: Path) -> None:
    with (
        server(tmp_path / "a", *SAFE) as first,
        server(tmp_path / "b", *SAFE, "--replicaof", "127.0.0.1", str(first)) as second,
    ):
        watcher = free_port()
        (tmp_path / "s").mkdir()
        config = tmp_path / "s" / "sentinel.conf"
        config.write_text(
            f"port {watcher}\nbind 127.0.0.1\ndir {tmp_path / 's'}\nsentinel monitor board 127.0.0.1 {first} 1\n"
            "sentinel down-after-milliseconds board 500\nsentinel failover-timeout board 2000\n"
        )
        with redis.Redis(port=second) as replica:
            eventually(lambda: replica.info("replication")["master_link_status"] == "up", 20)
        with server(tmp_path / "s", str(config), sentinel=True):
            eventually(lambda: answers(watcher))
            with broker_at(f"redis+sentinel://127.0.0.1:{watcher}/board/0") as broker, redis.Redis(port=watcher) as s:
                use(broker)
                eventually(lambda: s.execute_command("SENTINEL", "REPLICAS", "board"), 20)
                with redis.Redis(port=second) as replica:
                    eventually(lambda: replica.hlen("{test}:msgs:mail") == 3, 10)
                with redis.Redis(port=first) as master:
                    master.shutdown(nosave=True, force=True)
                back = eventually(lambda: fetched(broker), 30, what="the failover")
                assert back == 1


def fetched(broker: RedisBroker) -> int:
    """Messages that a fetch brings, or 0 while the new master is not there yet."""
    try:
        return len(broker.fetch([Lane(("mail",), 10)], 0))
    except ConnectionClosed:
        return 0


@contextmanager
def tls_in_front_of(port: int, certificate: Path, key: Path) -> Iterator[int]:
    """Our build of Valkey speaks no TLS, so that this ends it, as a hosted server's front does."""
    context = ssl.SSLContext(ssl.PROTOCOL_TLS_SERVER)
    context.load_cert_chain(certificate, key)
    loop = asyncio.new_event_loop()

    async def pipe(reader: asyncio.StreamReader, writer: asyncio.StreamWriter) -> None:
        with suppress(OSError):
            while data := await reader.read(65536):
                writer.write(data)
                await writer.drain()
        writer.close()

    async def serve(reader: asyncio.StreamReader, writer: asyncio.StreamWriter) -> None:
        behind, before = await asyncio.open_connection("127.0.0.1", port)
        await asyncio.gather(pipe(reader, before), pipe(behind, writer))

    front = loop.run_until_complete(asyncio.start_server(serve, "127.0.0.1", 0, ssl=context))
    thread = threading.Thread(target=loop.run_forever)
    thread.start()
    try:
        yield front.sockets[0].getsockname()[1]
    finally:
        loop.call_soon_threadsafe(front.close)
        asyncio.run_coroutine_threadsafe(_end_tasks(), loop).result(5)
        loop.call_soon_threadsafe(loop.stop)
        thread.join()
        loop.close()


async def _end_tasks() -> None:
    others = asyncio.all_tasks() - {asyncio.current_task()}
    for task in others:
        task.cancel()
    await asyncio.gather(*others, return_exceptions=True)


def test_tls(tmp_path: Path) -> None:
    key, certificate = tmp_path / "key.pem", tmp_path / "cert.pem"
    subprocess.run(
        [
            "openssl",
            "req",
            "-x509",
            "-newkey",
            "rsa:2048",
            "-nodes",
            "-days",
            "1",
            "-subj",
            "/CN=localhost",
            "-addext",
            "subjectAltName=IP:127.0.0.1",
            "-keyout",
            str(key),
            "-out",
            str(certificate),
        ],
        capture_output=True,
        check=True,
    )
    with server(tmp_path / "s", *SAFE) as plain, tls_in_front_of(plain, certificate, key) as port:
        with broker_at(f"rediss://127.0.0.1:{port}?ssl_ca_certs={certificate}") as broker:
            use(broker)
        with broker_at(f"rediss://127.0.0.1:{port}") as stranger, pytest.raises(ConnectionClosed, match=r"(?i)certif"):
            stranger.depths(["mail"])


def test_a_server_without_an_append_only_file_is_refused(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    with server(tmp_path, "--appendonly", "no") as port:
        with broker_at(f"redis://127.0.0.1:{port}") as broker:
            with pytest.raises(UnsafeBroker, match="CONFIG SET appendonly yes"):
                broker.enqueue(message())
            with redis.Redis(port=port) as client:
                assert client.keys() == []
        monkeypatch.setenv("CALLBOARD_BROKER_ALLOW_VOLATILE", "true")
        get_settings.cache_clear()
        with broker_at(f"redis://127.0.0.1:{port}") as broker:
            use(broker)
    get_settings.cache_clear()


def test_a_server_that_may_evict_is_refused(tmp_path: Path) -> None:
    evicting = ("--maxmemory", "64mb", "--maxmemory-policy", "allkeys-lru")
    with (
        server(tmp_path, *SAFE, *evicting) as port,
        broker_at(f"redis://127.0.0.1:{port}") as broker,
        pytest.raises(UnsafeBroker, match="maxmemory-policy noeviction"),
    ):
        broker.enqueue(message())
