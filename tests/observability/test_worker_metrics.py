"""`/metrics` of `callboard worker`: real processes, and what goes wrong with them."""

from __future__ import annotations

import signal
import socket
import sys
from pathlib import Path
from typing import TYPE_CHECKING

import httpx
import psutil  # type: ignore[import-untyped] # ships no types
import pytest
from prometheus_client.parser import text_string_to_metric_families

from tests.chaos.fleet import Fleet
from tests.support import alive, eventually, free_port

if TYPE_CHECKING:
    import subprocess
    from collections.abc import Iterator

SEND = "from callboard import get_broker, get_job; import tests.observability.many_jobs as jobs; "
DONE = "select count(*) from board.runs where state = 'completed'"


class Rig:
    def __init__(self, fleet: Fleet, port: int) -> None:
        self.fleet = fleet
        self.base = f"http://127.0.0.1:{port}"
        self.port = port

    def worker(self, processes: int = 2, **env: str) -> subprocess.Popen[bytes]:
        words = [sys.executable, "-m", "cli", "worker", "-p", str(processes), "-t", "2"]
        return self.fleet.start(words, {name.upper(): value for name, value in env.items()})

    def send(self, code: str) -> None:
        process = self.fleet.start([sys.executable, "-c", SEND + code], {})
        assert process.wait(60) == 0
        self.fleet.processes.remove(process)

    def get(self, path: str) -> httpx.Response:
        try:
            return httpx.get(self.base + path, timeout=10)
        except httpx.TransportError as error:
            raise AssertionError(f"nobody answers: {error}") from error

    def value(self, name: str, **labels: str) -> float | None:
        for family in text_string_to_metric_families(self.get("/metrics").text):
            for sample in family.samples:
                if sample.name == name and sample.labels == labels:
                    return sample.value
        return None

    def await_ready(self) -> None:
        eventually(lambda: self.get("/readyz").status_code == 200, 30)

    def await_done(self, count: int) -> None:
        eventually(lambda: self.fleet.query(DONE)[0][0] == count, 30)


@pytest.fixture
def rig(postgres_url: str, broker_url: str, tmp_path: Path) -> Iterator[Rig]:
    port = free_port()
    fleet = Fleet(
        postgres_url, broker_url, tmp_path, actors="tests.observability.many_jobs", worker_metrics_port=port,
        metrics_most_actors=50,
    )  # fmt: skip
    yield Rig(fleet, port)
    fleet.stop()


def folder_of(process: subprocess.Popen[bytes]) -> Path:
    worker = psutil.Process(process.pid).children()[0]
    return Path(worker.environ()["PROMETHEUS_MULTIPROC_DIR"])


def test_two_thousand_jobs_stay_within_the_budget_of_labels(rig: Rig) -> None:
    rig.worker(processes=1)
    rig.await_ready()
    rig.send("[get_job(f'mistake_{n:04}').send() for n in (1000, 1500, 1999)]; jobs.sell.send('book')")
    rig.await_done(4)
    text = eventually(lambda: rig.get("/metrics").text, 10)
    eventually(lambda: rig.value("callboard_telemetry_dropped_total", signal="label", reason="actor_budget"), 10)
    samples = [sample for family in text_string_to_metric_families(text) for sample in family.samples]
    actors = {sample.labels["actor"] for sample in samples if "actor" in sample.labels}
    assert len(actors) == 51
    assert "_other" in actors
    assert len(samples) < 3000
    other = {"actor": "_other", "queue": "default", "outcome": "success"}
    assert eventually(lambda: rig.value("callboard_attempts_total", **other)) == 3


def test_a_metric_of_the_authors_own_is_served_too(rig: Rig) -> None:
    rig.worker()
    rig.await_ready()
    rig.send("get_broker().enqueue_many([jobs.sell.message('book') for _ in range(30)])")
    rig.await_done(30)
    assert eventually(lambda: rig.value("shop_sold_total", kind="book")) == 30
    assert "callboard_scheduler_" not in rig.get("/metrics").text  # a 0 of what only the scheduler counts would lie


@pytest.mark.long
def test_a_port_that_is_taken_keeps_no_job_from_running(rig: Rig) -> None:
    with socket.create_server(("127.0.0.1", rig.port)):
        rig.worker(processes=1)
        rig.send("jobs.sell.send('book')")
        rig.await_done(1)
    eventually(lambda: rig.value("callboard_worker_threads") == 2, 20)


def test_counting_that_fails_fails_no_job(rig: Rig) -> None:
    process = rig.worker()
    rig.await_ready()
    folder = folder_of(process)
    rig.send("jobs.vandal.send()")
    rig.await_done(1)
    assert not folder.exists()
    rig.send("[get_job('mistake_0001').send() for _ in range(5)]")
    rig.await_done(6)
    assert rig.get("/metrics").status_code == 200
    assert rig.fleet.query("select count(*) from board.runs where attempt > 1")[0][0] == 0


@pytest.mark.long
def test_a_replaced_process_is_told_of_and_its_counts_stay(rig: Rig) -> None:
    process = rig.worker(processes=1)
    rig.await_ready()
    rig.send("jobs.sell.send('book')")
    rig.await_done(1)
    eventually(lambda: rig.value("shop_sold_total", kind="book") == 1)
    (child,) = psutil.Process(process.pid).children()
    child.send_signal(signal.SIGKILL)
    eventually(lambda: not alive(child.pid), 10)
    eventually(lambda: rig.value("callboard_worker_restarts_total", reason="died") == 1, 10)
    rig.await_ready()
    rig.send("jobs.sell.send('book')")
    rig.await_done(2)
    assert eventually(lambda: (rig.value("shop_sold_total", kind="book") or 0) == 2)


@pytest.mark.long
def test_the_folder_goes_with_its_supervisor_or_with_the_next_one(rig: Rig) -> None:
    first = rig.worker(processes=1)
    rig.await_ready()
    left = folder_of(first)
    assert left.stat().st_mode & 0o077 == 0
    rig.fleet.kill(first)
    second = rig.worker(processes=1)
    rig.await_ready()
    own = folder_of(second)
    assert (left.exists(), own.exists()) == (False, True)
    second.terminate()
    second.wait(30)
    assert not own.exists()


def test_nothing_is_counted_where_it_is_not_wanted(rig: Rig) -> None:
    process = rig.worker(processes=1, callboard_metrics="false")
    rig.send("jobs.sell.send('book')")
    rig.await_done(1)
    with pytest.raises(AssertionError, match="nobody answers"):
        rig.get("/metrics")
    assert "PROMETHEUS_MULTIPROC_DIR" not in psutil.Process(process.pid).children()[0].environ()
