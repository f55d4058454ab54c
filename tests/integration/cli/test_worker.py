from __future__ import annotations

import json
import os
import signal
import socket
from typing import TYPE_CHECKING

import httpx
import psutil  # type: ignore[import-untyped] # ships no types
import pytest

from callboard.ledger import workers
from callboard.ledger.database import transaction
from tests.integration.cli.conftest import living, logged, registered, stop
from tests.support import alive, eventually

if TYPE_CHECKING:
    import subprocess
    from collections.abc import Callable

    from tests.integration.cli.conftest import Board

    Start = Callable[..., subprocess.Popen[str]]


def test_a_killed_worker_comes_back_and_the_others_are_not_touched(board: Board, service: Start) -> None:
    supervisor = service("worker", "--processes", "2", "--threads", "1")
    first, second = sorted(living(2))
    assert {psutil.Process(pid).ppid() for pid in (first, second)} == {supervisor.pid}
    os.kill(first, signal.SIGKILL)
    eventually(lambda: not alive(first), what="its death")
    both = living(2)
    assert second in both
    assert first not in both
    assert stop(supervisor) == 0
    assert not any(alive(pid) for pid in both)
    died = logged(board, "worker.died")
    assert [(line["child"], line["exit_code"]) for line in died] in ([("worker-1", -9)], [("worker-2", -9)])
    assert registered() <= {first}, "the others said goodbye"


@pytest.mark.parametrize("how", [signal.SIGKILL, signal.SIGINT])
def test_workers_end_with_their_supervisor(service: Start, how: signal.Signals) -> None:
    supervisor = service("worker", "--processes", "2", "--threads", "1")
    pids = living(2)
    supervisor.send_signal(how)
    supervisor.wait(12)
    eventually(lambda: not any(alive(pid) for pid in pids), 2, what="the end of the workers")


def test_one_process_works_on_the_queues_named_and_is_supervised_too(service: Start) -> None:
    process = service("worker", "-p", "1", "-t", "3", "--queue", "fast")
    (pid,) = living(1)
    assert psutil.Process(pid).ppid() == process.pid
    with transaction() as connection:
        (row,) = workers.listing(connection)
    assert (row["threads"], row["pid"]) == (3, pid)
    assert stop(process) == 0
    assert registered() == set()


def test_workers_that_can_never_start_end_the_command_with_their_reason(
    board: Board, service: Start, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setenv("CALLBOARD_ACTORS", "no_such_module")
    assert service("worker").wait(30) == 1
    assert "callboard: Actor module 'no_such_module' does not exist" in (board.folder / "service.log").read_text()


def test_a_scheduler_writes_its_schedules_and_stops_when_asked(board: Board, service: Start) -> None:
    process = service("scheduler")
    rows = eventually(lambda: json.loads(board("schedules", "--json").out), 20, what="the schedules")
    assert [row["job"] for row in rows] == ["nightly", "quick"]
    assert stop(process, signal.SIGINT) == 0


def test_an_exporter_serves_the_boards_metrics_and_stops_when_asked(board: Board, service: Start) -> None:
    board("run", "quick")
    process = service("exporter", "--port", "0")

    def url() -> str:
        for line in (board.folder / "service.log").read_text().splitlines():
            if "exporter.started" in line:
                return str(json.loads(line)["url"])
        raise AssertionError("it has not said where it is")

    text = httpx.get(eventually(url, 20), timeout=5).text
    assert 'callboard_exporter_source_up{source="postgres"} 1.0' in text
    assert 'actor="quick"' in text
    assert stop(process) == 0


def test_an_exporter_whose_port_is_taken_says_so_in_one_line(board: Board) -> None:
    with socket.socket() as listener:
        listener.bind(("127.0.0.1", 0))
        listener.listen()
        port = listener.getsockname()[1]
        process = board.start("exporter", "--port", str(port))
        _, err = process.communicate(timeout=20)
    assert process.returncode == 1
    assert err.startswith(f"callboard: metrics cannot be served on 127.0.0.1:{port}")
    assert err.count("\n") == 1
