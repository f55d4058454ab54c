"""The sandbox's receivers: what Alertmanager posts is kept, and a Watchdog that stays away is told."""

from __future__ import annotations

import io
import json
import subprocess
import sys
import threading
from typing import Any

import httpx
import pytest

from sandbox.alert_receiver import AlertReceiver
from sandbox.dead_man import DeadMan
from sandbox.faults import Fault
from sandbox.stand_in import StandIn
from tests.support import eventually


def notification(name: str, status: str = "firing", **labels: str) -> dict[str, Any]:
    alert = {"status": status, "labels": {"alertname": name} | labels, "annotations": {"description": "two\nlines"}}
    return {"version": "4", "receiver": "page", "status": status, "alerts": [alert]}


def test_the_receiver_keeps_and_prints_what_it_is_sent() -> None:
    out = io.StringIO()
    with AlertReceiver(out=out) as receiver:
        answer = httpx.post(f"{receiver.url}/alerts", json=notification("A", queue="mail"))
        assert answer.json() == {"taken": 1}
        httpx.post(f"{receiver.url}/alerts", json=notification("A", "resolved", queue="mail"))
        assert [each["status"] for each in httpx.get(f"{receiver.url}/alerts").json()] == ["firing", "resolved"]
        assert len(receiver.named("A")) == len(receiver.named("A", "resolved")) == 1
    assert out.getvalue().splitlines()[0] == "page firing A queue=mail: two lines | "


@pytest.mark.parametrize("body", [b"no json", b"[]", b'{"version": "3", "alerts": []}', b'{"version": "4"}'])
def test_the_receiver_refuses_what_is_no_notification(body: bytes) -> None:
    with AlertReceiver() as receiver:
        assert httpx.post(f"{receiver.url}/alerts", content=body).status_code == 400
        assert list(receiver.alerts) == []


class Pager(StandIn):
    def __init__(self) -> None:
        super().__init__()
        self.calls: list[dict[str, Any]] = []

    def answer(self, method: str, path: str, body: bytes, fault: Fault) -> object:  # noqa: ARG002 - StandIn's signature
        self.calls.append(json.loads(body))
        return {}


class Clock:
    def __init__(self) -> None:
        self.now = 0.0
        self.asked = threading.Event()

    def __call__(self) -> float:
        return self.now


def test_the_dead_man_calls_out_once_and_again_when_it_is_over() -> None:
    clock = Clock()
    with Pager() as pager, DeadMan(60, f"{pager.url}/call", clock=clock) as dead_man:
        assert httpx.get(f"{dead_man.url}/healthz").status_code == 200
        clock.now = 59
        dead_man.check()
        assert pager.calls == []
        clock.now = 61
        eventually(dead_man.silent.is_set)
        dead_man.check()
        assert [call["status"] for call in pager.calls] == ["firing"]
        assert httpx.get(f"{dead_man.url}/healthz").status_code == 503
        assert httpx.get(f"{dead_man.url}/state").json() == {"silent_seconds": 61, "called": True}

        answer = httpx.post(f"{dead_man.url}/watchdog", json=notification("CallboardWatchdog"))
        assert answer.json() == {"counts": True}
        assert [call["status"] for call in pager.calls] == ["firing", "resolved"]
        assert httpx.get(f"{dead_man.url}/healthz").status_code == 200


@pytest.mark.parametrize(("name", "status"), [("CallboardRunStuck", "firing"), ("CallboardWatchdog", "resolved")])
def test_only_a_firing_watchdog_counts(name: str, status: str) -> None:
    clock = Clock()
    with DeadMan(60, clock=clock) as dead_man:
        clock.now = 30
        assert httpx.post(f"{dead_man.url}/watchdog", json=notification(name, status)).json() == {"counts": False}
        assert dead_man.silent_seconds == 30


def test_a_pager_that_is_away_does_not_end_the_watch(capsys: pytest.CaptureFixture[str]) -> None:
    clock = Clock()
    with Pager() as pager:
        address = f"{pager.url}/call"
    with DeadMan(60, address, clock=clock) as dead_man:
        clock.now = 61
        eventually(dead_man.silent.is_set)
        assert dead_man.failed_calls == 1
        assert httpx.get(f"{dead_man.url}/healthz").status_code == 503
    assert "failed" in capsys.readouterr().err


def test_as_a_program_it_ends_with_1_at_the_first_silence() -> None:
    words = [sys.executable, "-m", "sandbox.dead_man", "--port", "0", "--silence", "0.2", "--once"]
    done = subprocess.run(words, capture_output=True, text=True, timeout=30, check=False)
    assert done.returncode == 1
    assert "CallboardWatchdog firing: silent" in done.stderr


def test_the_receiver_as_a_program_serves_until_it_is_told_to_stop() -> None:
    words = [sys.executable, "-m", "sandbox.alert_receiver", "--port", "0"]
    with subprocess.Popen(words, stdout=subprocess.PIPE, text=True) as process:
        assert process.stdout is not None
        url = process.stdout.readline().split()[-1]
        assert httpx.post(url, json=notification("A")).status_code == 200
        assert process.stdout.readline().startswith("page firing A")
        process.terminate()
        assert process.wait(10) == 0
