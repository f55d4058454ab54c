"""`callboard notifications`, and what `callboard check` says of them."""

from __future__ import annotations

import json
from collections.abc import Callable, Iterator
from typing import Any
from uuid import uuid4

import pytest
from sqlalchemy import text

from callboard.ledger import notifications as ledger
from callboard.ledger import workers
from callboard.ledger.database import transaction
from callboard.ledger.facts import RunFacts
from callboard.ledger.outgoing import NAME, QUEUE, Outgoing
from callboard.settings import get_settings
from sandbox.smtp import SmtpStandIn
from sandbox.webhook_receiver import WebhookReceiver
from tests.integration.cli.conftest import Board
from tests.integration.engine.recorder_kit import facts
from tests.support import eventually


@pytest.fixture
def mailbox(monkeypatch: pytest.MonkeyPatch) -> Iterator[SmtpStandIn]:
    with SmtpStandIn(user="board", password="hunter2") as stand_in:
        monkeypatch.setenv("CALLBOARD_SMTP_URL", f"smtp://board:hunter2@127.0.0.1:{stand_in.smtp_port}?tls=none")
        monkeypatch.setenv("SYSTEM_JOBS_ALERT_EMAIL", "ops@example.org")
        yield stand_in


def told() -> RunFacts:
    run = facts("nightly", notify=("anna@example.org",))
    with transaction() as connection:
        Outgoing(get_settings()).ended(connection, run, "failed")
    return run


def findings(board: Board) -> dict[str, list[str]]:
    found: dict[str, list[str]] = {}
    for each in json.loads(board("check", "--json").out):
        if each["subject"] == "notify":
            found.setdefault(each["level"], []).append(each["what"])
    return found


def test_the_list_says_whom_and_what_became_of_it(board: Board) -> None:
    assert "set SYSTEM_JOBS_ALERT_EMAIL" in board("notifications", "list").out
    run = told()
    with transaction() as connection:
        number = ledger.listing(connection)[0]["id"]
        ledger.trying(connection, number)
        ledger.not_sent(connection, number, "451 later")
    said = board("notifications", "list").out
    for word in (str(run.id)[:8], "nightly", "failed", "anna@example.org", "pending", "451 later"):
        assert word in said
    (row,) = json.loads(board("notifications", "list", "--json").out)
    assert (row["run_id"], row["event"], row["channel"], row["target"]) == (
        str(run.id), "failed", "mail", "anna@example.org",
    )  # fmt: skip
    assert (row["state"], row["attempts"], row["error"], row["sent_at"]) == ("pending", 1, "451 later", None)
    assert json.loads(board("notifications", "list", "--json", "--state", "sent").out) == []
    assert len(json.loads(board("notifications", "list", "--json", "--since", "1h").out)) == 1
    assert board("notifications", "list", "--state", "lost").code == 2


def test_a_worker_process_tells_whoever_triggered(
    board: Board, mailbox: SmtpStandIn, worker: Callable[..., object]
) -> None:
    worker()
    answer = board("trigger", "quick", "--notify", "anna@example.org")
    assert answer.code == 0, answer.err
    eventually(lambda: len(mailbox.mails) == 2, 20, what="Anna's mail, and that to the alert address")
    assert {mail.recipients[0] for mail in mailbox.mails} == {"anna@example.org", "ops@example.org"}
    eventually(lambda: '"sent"' in board("notifications", "list", "--json", "--state", "sent").out)


def test_who_asked_for_a_run_hears_that_it_was_cancelled(board: Board) -> None:
    board("trigger", "quick", "--notify", "anna@example.org")
    (run,) = json.loads(board("runs", "--json").out)
    answer = board("cancel", run["id"])
    assert (answer.code, answer.err) == (0, "")
    (row,) = json.loads(board("notifications", "list", "--json").out)
    assert (row["run_id"], row["event"], row["target"]) == (run["id"], "cancelled", "anna@example.org")
    with transaction() as connection:
        query = text("select state, enqueued_at, parent_id, correlation_id from board.runs where job = :job")
        sender = connection.execute(query, {"job": NAME}).one()
    assert (sender.state, sender.enqueued_at is None) == ("pending", False)
    assert (str(sender.parent_id), sender.correlation_id) == (run["id"], run["correlation_id"])


def test_a_test_mail_says_what_happened(board: Board, mailbox: SmtpStandIn) -> None:
    answer = board("notifications", "test", "mail")
    assert (answer.code, answer.out) == (0, "ops@example.org: sent\n")
    assert mailbox.mails[0].subject == "[Callboard] ✅ Test: mail and channels work"
    mailbox.fail(status=550)
    refused = board("notifications", "test", "mail", "--to", "bert@example.org", "--json")
    assert refused.code == 1
    assert json.loads(refused.out) == [
        {
            "channel": "mail",
            "target": "bert@example.org",
            "error": "PermanentError: the address was refused: 550 5.1.1 No such mailbox",
        }
    ]


def test_a_test_of_a_channel_uses_it_again(board: Board, monkeypatch: pytest.MonkeyPatch) -> None:
    with WebhookReceiver() as receiver:
        monkeypatch.setenv("CALLBOARD_NOTIFY_CHANNELS", f"hook={receiver.endpoint}")
        monkeypatch.setenv("CALLBOARD_NOTIFY_ALLOW_PRIVATE", "true")
        assert findings(board) == {"ok": ["channel 'hook' is webhook"]}
        with transaction() as connection:
            channel = get_settings().notify_channels["hook"].get_secret_value()
            ledger.disable(connection, "hook", _fingerprint(channel), "it answered 410")
        (warning,) = findings(board)["warning"]
        assert warning.startswith("channel 'hook' is disabled since")
        assert board("notifications", "test", "hook").out == "hook: sent\n"
        assert [came["type"] for came in receiver.webhooks.values()] == ["test"]
        assert "warning" not in findings(board)
    assert "there is mail, hook" in board("notifications", "test", "nobody").err
    assert board("notifications", "test", "mail").code == 2


def _fingerprint(url: str) -> str:
    from callboard.channel_urls import Channel

    return Channel("hook", "webhook", url).fingerprint


def test_check_says_when_mail_is_asked_for_and_cannot_go(board: Board, monkeypatch: pytest.MonkeyPatch) -> None:
    assert findings(board) == {}
    monkeypatch.setenv("SYSTEM_JOBS_ALERT_EMAIL", "ops@example.org")
    assert findings(board) == {"error": ["SYSTEM_JOBS_ALERT_EMAIL asks for mail, and CALLBOARD_SMTP_URL is not set"]}
    monkeypatch.setenv("CALLBOARD_SMTP_URL", "smtp://u:p@mail.example.org?tls=none")
    found = findings(board)
    assert found["ok"] == ["mail goes out by mail.example.org:25 (none)"]
    assert found["warning"] == ["the password for mail.example.org goes over the wire in the clear"]


def test_check_says_when_no_worker_has_their_queue(board: Board, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setenv("SYSTEM_JOBS_ALERT_EMAIL", "ops@example.org")
    monkeypatch.setenv("CALLBOARD_SMTP_URL", "smtp://mail.example.org")
    row = {"host": "h", "pid": 1, "version": "0", "broker_id": "b", "threads": 1}
    with transaction() as connection:
        workers.register(connection, lease=60.0, id=uuid4(), queues=["default"], **row)
    assert findings(board)["warning"] == ["nobody works on the queue 'callboard_notifications': nothing is sent"]
    with transaction() as connection:
        workers.register(connection, lease=60.0, id=uuid4(), queues=["default", QUEUE], **row)
    assert "warning" not in findings(board)


@pytest.mark.parametrize(
    ("variable", "value", "words"),
    [
        ("CALLBOARD_SMTP_URL", "smtp://board:hunter2", "it must look like smtp://user:"),
        ("CALLBOARD_NOTIFY_CHANNELS", "ops=tgram://hunter2", "must look like tgram://"),
        ("SYSTEM_JOBS_ALERT_EMAIL", "nobody", "no mail address"),
        ("CALLBOARD_SYSTEM_JOBS_ALERT_EMAIL", "nobody", "no mail address"),
    ],
)
def test_settings_that_do_not_fit_are_told_without_their_secrets(
    board: Board, monkeypatch: pytest.MonkeyPatch, variable: str, value: str, words: str
) -> None:
    for command in (("check",), ("runs",)):
        monkeypatch.setenv(variable, value)  # each time: a check takes it out of its process
        answer: Any = board(*command)
        said = answer.out + answer.err
        assert variable in said
        assert words in said
        assert "hunter2" not in said
        assert answer.code != 0
