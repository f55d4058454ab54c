"""Webhooks by a real worker: its log lines are those of the user's document, and dead letters are replayed."""

from __future__ import annotations

import os
import subprocess
import sys
from collections.abc import Iterator
from pathlib import Path

import pytest

from callboard import transaction
from tests.board import Board
from tests.integration.memory.hooks import Hooks, attempts, delivery, letters
from tests.integration.memory.kit import rows_of, value_of
from tests.support import eventually

FIRST = 8821
VARIABLES = {
    "CALLBOARD_ACTORS": "actors.memory.webhooks",
    "CALLBOARD_LOG_FORMAT": "text",
    "CALLBOARD_MEMORY_ALLOW_PRIVATE": "true",
    "NO_COLOR": "1",
}


@pytest.fixture
def log(webhooks_board: Board, hooks: Hooks, tmp_path: Path) -> Iterator[Path]:
    """What a worker of the webhooks logs; deliveries are numbered from `FIRST`."""
    del webhooks_board, hooks
    with transaction() as connection:
        connection.exec_driver_sql(f"alter table memory.webhook_deliveries alter column id restart with {FIRST}")
    path = tmp_path / "worker.log"
    with path.open("wb") as out:
        worker = subprocess.Popen(_callboard("worker", "-t", "2"), env=os.environ | VARIABLES, stdout=out, stderr=out)
    yield path
    worker.terminate()
    worker.wait(20)


def _callboard(*words: str) -> list[str]:
    return [sys.executable, "-m", "cli", *words]


def replay(letter: int) -> str:
    """What the command says; it must succeed."""
    words = _callboard("dead-letters", "replay", str(letter), "--yes")
    done = subprocess.run(words, env=os.environ | VARIABLES, capture_output=True, text=True, timeout=60, check=False)
    assert done.returncode == 0, done.stderr
    return done.stdout


def lines(log: Path, name: str) -> list[str]:
    """The lines of one delivery's runs."""
    return [line for line in log.read_text().splitlines() if f" id={name} " in line]


def test_the_lines_of_the_users_document(hooks: Hooks, log: Path) -> None:
    hooks.add("fast")
    hooks.add("failing", status=503, retry_base_seconds=0.1, retry_factor=1.0, events=["memory.deleted"])
    hooks.emit("1")
    hooks.emit("2", type="memory.deleted")
    eventually(lambda: len(lines(log, "wd_8822")) == 3, 30, what="the last attempt")
    assert lines(log, "wd_8821") == ["[task] webhook.deliver id=wd_8821 attempt=1 status=success http_status=200"]
    assert lines(log, "wd_8822") == [
        "[task] webhook.deliver id=wd_8822 attempt=1 status=retry http_status=503",
        "[task] webhook.deliver id=wd_8822 attempt=2 status=retry http_status=503",
        "[task] webhook.deliver id=wd_8822 attempt=3 status=dead_letter http_status=503",
    ]
    secrets = [secret for each in hooks.receiver.endpoints.values() for secret in each.secrets]
    assert not any(secret in log.read_text() for secret in secrets)


def test_a_webhook_is_tried_from_the_command_line(hooks: Hooks, log: Path) -> None:
    hooks.add("crm", events=["memory.deleted"])
    hooks.add("gone", status=404)
    del log
    for name, code, told in (("crm", 0, "webhook.deliver completed"), ("gone", 1, "webhook 'gone' answered 404")):
        words = _callboard("webhooks", "test", name, "--wait")
        done = subprocess.run(
            words, env=os.environ | VARIABLES, capture_output=True, text=True, timeout=60, check=False
        )
        assert (done.returncode, told in done.stdout) == (code, True), done
    ((_, came),) = hooks.receiver.endpoints["crm"].webhooks.items()
    assert came["type"] == "webhook.test"


def test_a_dead_letter_is_replayed_until_it_gets_through(hooks: Hooks, log: Path) -> None:
    hooks.add("crm", status=503, max_retries=0)
    (first,) = hooks.emit("1")
    open_letter = "select id from board.dead_letters where state = 'open' and job = 'webhook.deliver'"
    replay(eventually(lambda: rows_of(open_letter), 30)[0]["id"])
    second = eventually(lambda: rows_of(open_letter), 30)[0]["id"]
    hooks.receiver.add("crm")
    replay(second)
    eventually(lambda: value_of("select count(*) from memory.webhook_deliveries where status = 'delivered'"), 30)
    assert attempts() == [(FIRST, 1, 503), (FIRST + 1, 1, 503), (FIRST + 2, 1, 200)]
    (before, after) = letters()
    rows = [delivery(f"wd_{FIRST + at}") for at in range(3)]
    assert [row["replay_of"] for row in rows] == [None, before["id"], after["id"]]
    assert len({row["event_id"] for row in rows}) == 1
    assert all(each["replayed_by"].startswith("replay:") and each["replayed_at"] for each in (before, after))
    ((_, came),) = hooks.receiver.endpoints["crm"].webhooks.items()
    assert came["attempts"] == 1
    last = eventually(lambda: lines(log, first)[2:], what="the line of the second replay")
    assert last == [f"[task] webhook.deliver id={first} attempt=1 status=success delivery=wd_8823 http_status=200"]
