"""Logs of real processes: on a terminal, on a pipe, on a pipe that nobody reads any more, and under Dramatiq."""

from __future__ import annotations

import json
import os
import pty
import re
import subprocess
import sys
from typing import Any

PROGRAM = """
import sys, structlog
from observability import logs
logs.configure(format="auto", level="info", service="test")
log = structlog.get_logger("scheduler")
tick = {"job": "auto_summarization_job", "trigger": "schedule", "attempt": 1}
log.info("job.started", **tick, started_at="2026-05-04T10:00:00Z")
log.info("job.finished", **tick, status="success", counts={"scanned": 842}, notes={}, duration_ms=14322)
"""

DRAMATIQ = """
import dramatiq, structlog
from dramatiq.brokers.stub import StubBroker
from observability import logs
logs.configure(format="json", level="info", service="test")
broker = StubBroker(middleware=[])
dramatiq.set_broker(broker)

@dramatiq.actor
def deliver(key):
    structlog.get_logger("actors.webhook").info("webhook.sent", api_key=key)
    raise ValueError("no")

worker = dramatiq.Worker(broker, worker_timeout=50)
worker.start()
deliver.send("hunter2")
broker.join("default")
worker.stop()
"""

PIPE_CLOSED = """
import sys, structlog
from observability import logs
logs.configure(format="json", level="info", service="test")
sys.stdin.readline()
for _ in range(3):
    structlog.get_logger().info("a.b")
print(logs.lost_lines(), "done", flush=True)
"""


def run(program: str) -> subprocess.CompletedProcess[str]:
    return subprocess.run([sys.executable, "-c", program], capture_output=True, text=True, timeout=60, check=True)


def json_lines(text: str) -> list[dict[str, Any]]:
    return [json.loads(line) for line in text.splitlines()]


def test_on_a_pipe_each_line_is_an_object() -> None:
    result = run(PROGRAM)
    assert [line["event"] for line in json_lines(result.stderr)] == ["job.started", "job.finished"]
    assert result.stdout == ""


def test_on_a_terminal_it_is_text() -> None:
    parent, child = pty.openpty()
    environment = os.environ | {"TERM": "xterm", "NO_COLOR": ""}
    subprocess.run([sys.executable, "-c", PROGRAM], stderr=child, timeout=60, check=True, env=environment)
    os.close(child)
    shown = os.read(parent, 10_000).decode()
    os.close(parent)
    assert "\x1b[32mfinished\x1b[0m" in shown
    assert re.sub("\x1b\\[[0-9]+m", "", shown).splitlines() == [
        "[scheduler] tick: job=auto_summarization_job started at=2026-05-04T10:00:00Z",
        "[scheduler] tick: job=auto_summarization_job finished scanned=842 duration_ms=14322",
    ]


def test_dramatiq_tells_no_arguments() -> None:
    result = run(DRAMATIQ)
    lines = json_lines(result.stderr)
    assert "hunter2" not in result.stderr
    assert {"api_key": "[redacted]"}.items() <= next(line for line in lines if line["event"] == "webhook.sent").items()
    assert {line["logger"] for line in lines if line["event"] == "log.message"} == {"dramatiq.worker.Worker"}


def test_a_reader_that_is_gone_fails_nobody() -> None:
    process = subprocess.Popen(
        [sys.executable, "-c", PIPE_CLOSED],
        stdin=subprocess.PIPE, stdout=subprocess.PIPE, stderr=subprocess.PIPE, text=True,
    )  # fmt: skip
    with process:
        assert process.stderr is not None
        process.stderr.close()
        process.stderr = None
        out, _ = process.communicate("go\n", timeout=60)
    assert out == "3 done\n"
