"""Secrets planted in arguments, errors, headers, log lines, notes, reasons and settings come out nowhere.

Looked through: every table of the ledger, byte by byte; every page and every answer that an admin can get; all mails,
webhooks and Telegram messages; all logs, and the command lines of our processes.
"""

from __future__ import annotations

import io
import json
import logging
import re
from base64 import b64encode
from typing import TYPE_CHECKING

import httpx
import pytest
import structlog

from callboard import PermanentError, current_run, get_settings, job, notifications
from callboard.operations import Who, letters, runs
from console.app import make_app
from console.pages import routers as page_routers
from observability import logs
from sandbox.smtp import SmtpStandIn
from sandbox.telegram import TelegramStandIn
from sandbox.webhook_receiver import WebhookReceiver
from tests.board import open_board
from tests.console.kit import add_user, serving_app, signed_in
from tests.support import eventually

if TYPE_CHECKING:
    from collections.abc import Iterator

    from fastapi import FastAPI

    from tests.board import Board

PASSWORD = "hunter2-correct-horse"
BEARER = "sk-live-0123456789abcdefghijklmnop"
URL_PASSWORD = "p4ss-in-a-url"
SMTP_PASSWORD = "smtp-s3cret-word"
BOT = "987654321:AAbbCCddEEffGGhhIIjjKKllMMnnOOppQQr"
HOOK = "whsec_" + b64encode(b"webhook-signing-secret-0").decode()
CONSOLE_TOKEN = "one-time-0123456789abcdef"
SEAL = b64encode(b"k" * 32).decode()
PLANTED = (PASSWORD, BEARER, URL_PASSWORD, SMTP_PASSWORD, BOT, HOOK.removeprefix("whsec_"), CONSOLE_TOKEN, SEAL)

TABLES = "select table_name from information_schema.tables where table_schema = 'board' and table_type = 'BASE TABLE'"
BYTES = """
select table_name, column_name from information_schema.columns where table_schema = 'board' and data_type = 'bytea'
"""
#: The parts of a path that name one thing, and a query that finds one.
NAMED = {
    "run_id": "select id::text from board.runs where state = 'failed' limit 1",
    "job_id": "select id::text from board.runs where project_id is not null limit 1",
    "letter_id": "select id::text from board.dead_letters limit 1",
    "failure_id": "select id::text from board.failures limit 1",
    "issue_id": "select id::text from board.issues limit 1",
    "job": "select 'leaky'",
    "name": "select 'leaky'",
}


class Sinks:
    """Where things are sent to."""

    def __init__(self, mailbox: SmtpStandIn, telegram: TelegramStandIn, receiver: WebhookReceiver) -> None:
        self.mailbox, self.telegram, self.receiver = mailbox, telegram, receiver

    def settings(self) -> dict[str, object]:
        smtp = f"smtp://board:{SMTP_PASSWORD}@127.0.0.1:{self.mailbox.smtp_port}?tls=none"
        channels = f"hook={self.receiver.endpoint};chat=tgram://{BOT}/4711"
        return {
            "smtp_url": smtp,
            "mail_from": "board@example.org",
            "notify_channels": channels,
            "notify_telegram_url": self.telegram.url,
            "notify_allow_private": "true",
            "system_jobs_alert_email": "ops@example.org",
            "console_token": CONSOLE_TOKEN,
            "secret_keys": SEAL,
            "log_level": "debug",
            "trace_url": "https://traces.example.org/{trace_id}",
        }


@pytest.fixture
def sinks() -> Iterator[Sinks]:
    with (
        SmtpStandIn(user="board", password=SMTP_PASSWORD) as mailbox,
        TelegramStandIn(token=BOT) as telegram,
        WebhookReceiver(secret=HOOK) as receiver,
    ):
        yield Sinks(mailbox, telegram, receiver)


@pytest.fixture
def board(monkeypatch: pytest.MonkeyPatch, postgres_url: str, broker_url: str, sinks: Sinks) -> Iterator[Board]:
    with open_board(monkeypatch, postgres_url, broker_url, **sinks.settings()) as opened:
        notifications.declare(opened.broker)
        yield opened


def declare() -> None:
    @job("leaky", notify=("anna@example.org",))
    def leaky(password: str, headers: dict[str, str], target: str) -> None:
        run = current_run()
        run.note(used=f"token={BEARER}", url=target)
        run.progress(1, 2, f"logging in with password={password}")
        structlog.get_logger("leaky").info("calling", headers=headers, password=password, target=target)
        logging.getLogger("leaky.http").warning("sent Authorization: Bearer %s", headers["Authorization"].split()[1])
        raise PermanentError(f"login failed: password={password}, {headers}") from ValueError(f"401 for {target}")


def leave_traces(board: Board) -> None:
    """Run it, let it fail, replay it with another password, and act on it with reasons that tell too much."""
    who = Who("cli:anna", agent=f"curl token={BEARER}")
    given = {
        "password": PASSWORD,
        "headers": {"Authorization": f"Bearer {BEARER}"},
        "target": f"https://bot:{URL_PASSWORD}@api.example.org/login?api_key={BEARER}",
    }
    runs.trigger("leaky", given, who=who, why=f"try with password={PASSWORD}")
    letter = eventually(lambda: board.one("select min(id) from board.dead_letters"))
    letters.replay(letter, who=who, why=f"token={BEARER}", args={"password": PASSWORD + "!"})
    eventually(lambda: board.one("select count(*) from board.dead_letters") == 2)
    eventually(lambda: board.one("select count(*) from board.notifications where state = 'pending'") == 0, 15)


def dumped(board: Board) -> str:
    """Every row of every table of the ledger, as text; bytes both as they are and readable."""
    parts = []
    for (table,) in board.query(TABLES):
        parts += [f"{table}: {row[0]}" for row in board.query(f"select t::text from board.{table} t")]
    for table, column in board.query(BYTES):
        kept = board.query(f"select {column} from board.{table} where {column} is not null")
        parts += [f"{table}.{column}: {bytes(row[0]).decode('latin-1')}" for row in kept]
    return "\n".join(parts)


def paths(app: FastAPI, board: Board) -> list[str]:
    """Every address that answers GET, with something that exists in it."""
    found = []
    for path in _gets(app):
        for name in re.findall(r"{(\w+)[^}]*}", path):
            if name in NAMED:
                path = re.sub(rf"{{{name}[^}}]*}}", str(board.one(NAMED[name])), path)  # noqa: PLW2901 - filled in
        if "{" not in path and "stream" not in path and "sign-out" not in path:
            found.append(path)
    return found


def _gets(app: FastAPI) -> list[str]:
    pages = [route for router in page_routers() for route in router.routes]
    listed = {route.path for route in pages if "GET" in (getattr(route, "methods", None) or ())}  # type: ignore[attr-defined]
    return sorted(listed | {path for path, acts in app.openapi()["paths"].items() if "get" in acts})


def leaks(place: str, text: str) -> list[str]:
    """Where a secret stands, with what is around it."""
    found = []
    for secret in PLANTED:
        at = text.find(secret)
        if at >= 0:
            found.append(f"{place}: …{text[max(0, at - 80) : at + len(secret) + 20]}…")
    return found


def test_no_planted_secret_is_found_anywhere(board: Board, sinks: Sinks, capfd: pytest.CaptureFixture[str]) -> None:
    stream = io.StringIO()
    logs.configure(format="json", level="debug", service="worker", stream=stream)
    declare()
    app = make_app(get_settings())
    with serving_app(app, board.settings) as server, board.worker():
        leave_traces(board)
        found = leaks("tables", dumped(board))
        pages = {}
        with signed_in(server, add_user("admin")) as browser:
            for path in paths(app, board):
                answer = browser.get(path, headers={"X-Token": BEARER}, follow_redirects=True)
                assert answer.status_code < 500, path
                pages[path] = answer.status_code
                found += leaks(path, answer.text + json.dumps(dict(answer.headers)))
        found += leaks("the answer to a wrong key", refused_key(server.url))
    assert sum(status == 200 for status in pages.values()) > 40, pages
    sent = json.dumps([str(mail) for mail in sinks.mailbox.mails])
    assert "login failed" in sent
    found += leaks("mails", sent)
    assert sinks.receiver.webhooks
    assert sinks.telegram.messages
    found += leaks("webhooks and Telegram", f"{sinks.receiver.webhooks} {sinks.telegram.messages}")
    found += leaks("logs", stream.getvalue())
    captured = capfd.readouterr()
    found += leaks("stdout and stderr", captured.out + captured.err)
    found += leaks("settings as they are printed", f"{get_settings()!r} {get_settings()}")
    assert "job.finished" in stream.getvalue()
    assert found == []


def refused_key(url: str) -> str:
    """What is told of a key that is none."""
    answer = httpx.get(f"{url}/v1/me", headers={"Authorization": f"Bearer {BEARER}"})
    assert answer.status_code == 401
    return answer.text
