"""The exporter's server over real HTTP, read with Prometheus' own parsers."""

from __future__ import annotations

import gzip
import http.client
import socket
import threading
from contextlib import closing, contextmanager
from datetime import UTC, datetime
from typing import TYPE_CHECKING

import pytest
from prometheus_client.openmetrics.parser import text_string_to_metric_families as parse_openmetrics
from prometheus_client.parser import text_string_to_metric_families as parse_text
from prometheus_client.registry import Collector

from observability._http import MAX_CONNECTIONS
from observability.exporter import state_registry
from observability.exposition import choose_plain
from observability.server import MAX_SCRAPES, MetricsServer, fine
from observability.snapshot import BROKER, POSTGRES, JobFacts, QueueFacts, ScheduleFacts, Snapshot, SourceState
from tests.support import eventually

if TYPE_CHECKING:
    import io
    from collections.abc import Callable, Iterator

    from prometheus_client.metrics_core import Metric

    from observability.server import Probe

UP = SourceState(up=True, seconds=0.01)
SCHEDULE = ScheduleFacts(
    "collect", "collect_all", "default", "@hourly", 3600.0, enabled=True, created_at=datetime(2026, 5, 4, tzinfo=UTC),
    missed={"overlap": 7},
)  # fmt: skip
SNAPSHOT = Snapshot(
    queues=(QueueFacts('que"ue\\\n', ready=3, claimed=0, delayed=0, dead=0, orphaned=0),),
    schedules=(SCHEDULE,),
    jobs=(JobFacts("collect_all", "default", dead_letters=7),),
    sources={BROKER: UP, POSTGRES: UP},
)
OPENMETRICS = "application/openmetrics-text;version=1.0.0;q=0.8,text/plain;version=0.0.4;q=0.2"


@contextmanager
def serving(
    collect: Callable[[], Snapshot] = lambda: SNAPSHOT, healthy: Probe = fine, ready: Probe = fine
) -> Iterator[MetricsServer]:
    server = MetricsServer(state_registry(collect), healthy=healthy, ready=ready, encoder=choose_plain)
    server.start()
    try:
        yield server
    finally:
        server.stop()
        assert not [thread for thread in threading.enumerate() if thread.name.startswith("metrics-")]


def request(
    server: MetricsServer, path: str, method: str = "GET", **headers: str
) -> tuple[http.client.HTTPResponse, bytes]:
    with closing(http.client.HTTPConnection("127.0.0.1", server.port, timeout=10)) as connection:
        connection.request(method, path, headers={name.replace("_", "-"): value for name, value in headers.items()})
        response = connection.getresponse()
        return response, response.read()


def test_a_scrape_in_the_text_format() -> None:
    with serving() as server:
        response, body = request(server, "/metrics")
    assert response.status == 200
    assert response.headers["Content-Type"].startswith("text/plain; version=0.0.4")
    families = {family.name: family for family in parse_text(body.decode())}
    assert families["callboard_schedule_missed"].type == "counter"
    assert families["callboard_queue_depth"].samples[0].labels["queue"] == 'que"ue\\\n'


def test_a_scrape_in_openmetrics() -> None:
    with serving() as server:
        response, body = request(server, "/metrics", Accept=OPENMETRICS)
    assert response.headers["Content-Type"].startswith("application/openmetrics-text; version=1.0.0")
    families = {family.name: family for family in parse_openmetrics(body.decode())}  # type: ignore[no-untyped-call]  # it bears no annotations
    assert body.endswith(b"# EOF\n")
    assert families["callboard_dead_letters"].type == "gauge"
    missed = [sample for sample in families["callboard_schedule_missed"].samples if sample.value == 7]
    assert [sample.name for sample in missed] == ["callboard_schedule_missed_total"]
    assert missed[0].labels == {"schedule": "collect", "reason": "overlap"}


def test_a_scrape_may_be_compressed() -> None:
    with serving() as server:
        _, plain = request(server, "/metrics")
        response, body = request(server, "/metrics", Accept_Encoding="gzip, deflate")
    assert response.headers["Content-Encoding"] == "gzip"
    assert gzip.decompress(body) == plain
    assert len(body) < len(plain)


@pytest.mark.parametrize(
    "accept", ["*/*", "", "application/openmetrics-text;version=zzz", ";;;", "text/plain;version="]
)
def test_no_accept_header_breaks_a_scrape(accept: str) -> None:
    with serving() as server:
        assert request(server, "/metrics", Accept=accept)[0].status == 200


def test_a_collection_that_fails_is_told_in_a_metric_not_in_the_status(log_stream: io.StringIO) -> None:
    def collect() -> Snapshot:
        raise ConnectionError("away")

    with serving(collect) as server:
        response, body = request(server, "/metrics")
    assert response.status == 200
    assert b'callboard_exporter_source_up{source="postgres"} 0.0' in body
    assert '"event":"exporter.collect_failed"' in log_stream.getvalue()


def test_a_registry_that_fails_is_an_error_and_the_next_request_is_answered(log_stream: io.StringIO) -> None:
    class Broken(Collector):
        def collect(self) -> Iterator[Metric]:
            raise RuntimeError("broken")

    server = MetricsServer(Broken())
    server.start()
    assert request(server, "/metrics")[0].status == 500
    assert request(server, "/healthz")[0].status == 200
    server.stop()
    assert '"event":"exporter.request_broken"' in log_stream.getvalue()


def test_health_and_readiness() -> None:
    wrong: list[str | None] = [None]
    with serving(ready=lambda: wrong[0]) as server:
        assert [request(server, path)[0].status for path in ("/healthz", "/readyz")] == [200, 200]
        wrong[0] = "cannot reach redis://u:pw@h"
        response, body = request(server, "/readyz")
        assert (response.status, body) == (503, b"cannot reach redis://u:[redacted]@h\n")
        assert request(server, "/healthz")[0].status == 200


def test_a_probe_that_fails_is_not_well() -> None:
    def probe() -> None:
        raise RuntimeError("broken")

    with serving(healthy=probe) as server:
        assert request(server, "/healthz")[0].status == 503


def test_other_paths_and_methods() -> None:
    with serving() as server:
        response, body = request(server, "/nothing")
        assert (response.status, body) == (404, b"nothing here; try /metrics, /healthz, /readyz\n")
        assert request(server, "/metrics?name=x")[0].status == 200
        assert request(server, "/metrics", "POST")[0].status == 501
        head, body = request(server, "/healthz", "HEAD")
        assert (head.status, head.headers["Content-Length"], body) == (200, "3", b"")
        assert "Python" not in head.headers["Server"]


def test_an_idle_client_blocks_nobody() -> None:
    with serving() as server, socket.create_connection(("127.0.0.1", server.port)):
        assert request(server, "/metrics")[0].status == 200


def test_too_many_connections_are_refused_and_room_comes_back() -> None:
    with serving() as server:
        idle = [socket.create_connection(("127.0.0.1", server.port)) for _ in range(MAX_CONNECTIONS)]
        with socket.create_connection(("127.0.0.1", server.port), timeout=5) as refused:
            assert refused.recv(1) == b""
        for connection in idle:
            connection.close()
        assert eventually(lambda: _is_answered(server), what="room for a request")


def test_a_system_without_threads_costs_no_room(monkeypatch: pytest.MonkeyPatch) -> None:
    def start(thread: threading.Thread) -> None:
        raise RuntimeError(f"can't start new thread {thread.name}")

    with serving() as server:
        with monkeypatch.context() as patch:
            patch.setattr(threading.Thread, "start", start)
            for _ in range(MAX_CONNECTIONS + 1):
                with socket.create_connection(("127.0.0.1", server.port), timeout=5) as refused:
                    assert refused.recv(1) == b""
        assert request(server, "/healthz")[0].status == 200


def _is_answered(server: MetricsServer) -> bool:
    try:
        return request(server, "/healthz")[0].status == 200
    except (http.client.RemoteDisconnected, ConnectionResetError):
        return False


def test_too_many_scrapes_are_told_to_come_again_while_health_is_answered() -> None:
    entered = threading.Semaphore(0)
    go_on = threading.Event()

    def collect() -> Snapshot:
        entered.release()
        assert go_on.wait(10)
        return SNAPSHOT

    with serving(collect) as server:
        scrapes = [threading.Thread(target=request, args=(server, "/metrics")) for _ in range(MAX_SCRAPES)]
        for scrape in scrapes:
            scrape.start()
        assert all(entered.acquire(timeout=10) for _ in scrapes)
        response, _ = request(server, "/metrics")
        assert (response.status, response.headers["Retry-After"]) == (503, "5")
        assert request(server, "/healthz")[0].status == 200
        go_on.set()
        for scrape in scrapes:
            scrape.join()
        assert request(server, "/metrics")[0].status == 200


def test_start_and_stop_in_any_order() -> None:
    server = MetricsServer(state_registry(lambda: SNAPSHOT))
    server.stop()
    assert server.port == 0
    server.start()
    port = server.port
    server.start()
    assert server.port == port
    server.stop()
    server.stop()
    server.start()
    assert request(server, "/healthz")[0].status == 200
    server.stop()
    with pytest.raises(ConnectionRefusedError):
        socket.create_connection(("127.0.0.1", port))


def test_stop_hangs_up_on_idle_clients() -> None:
    server = MetricsServer(state_registry(lambda: SNAPSHOT))
    server.start()
    with socket.create_connection(("127.0.0.1", server.port), timeout=5) as idle:
        assert request(server, "/healthz")[0].status == 200
        server.stop()
        assert idle.recv(1) == b""


def test_a_taken_port_names_the_mend() -> None:
    with serving() as server:
        second = MetricsServer(state_registry(lambda: SNAPSHOT), port=server.port)
        with pytest.raises(OSError, match=f"127.0.0.1:{server.port} .*choose another port"):
            second.start()


def test_it_listens_on_the_loopback_address_unless_told_otherwise() -> None:
    with serving() as server:
        assert server.url == f"http://127.0.0.1:{server.port}"
    if socket.has_dualstack_ipv6():
        server = MetricsServer(state_registry(lambda: SNAPSHOT), host="::1")
        server.start()
        assert server.url == f"http://[::1]:{server.port}"
        server.stop()


def test_a_client_that_hangs_up_in_mid_answer_is_not_worth_a_line(
    log_stream: io.StringIO, capsys: pytest.CaptureFixture[str]
) -> None:
    big = Snapshot(jobs=tuple(JobFacts(f"job_{n}", "q") for n in range(500)), sources={POSTGRES: UP})
    with serving(lambda: big) as server:
        for _ in range(5):
            with socket.create_connection(("127.0.0.1", server.port)) as client:
                client.sendall(b"GET /metrics HTTP/1.0\r\n\r\n")
        assert request(server, "/healthz")[0].status == 200
    assert (log_stream.getvalue(), capsys.readouterr().err) == ("", "")
