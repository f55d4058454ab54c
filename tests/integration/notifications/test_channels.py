"""Telegram, webhooks and Apprise against real servers: what is sent, and what each answer means."""

from __future__ import annotations

import json
import logging
import threading
import warnings
from collections.abc import Callable
from datetime import UTC, datetime
from typing import Any

import pytest
from standardwebhooks import Webhook

from callboard import AuthenticationError, NoRetry, PermanentError, TransientError, get_settings, job, trigger
from callboard.channel_urls import Channel, channels
from callboard.notifications import others, telegram, webhook
from callboard.notifications.notice import Notice
from callboard.outside import is_public
from callboard.settings import Settings
from sandbox.smtp import SmtpStandIn
from sandbox.telegram import TOKEN, TelegramStandIn
from sandbox.webhook_receiver import WebhookReceiver, new_secret
from tests.board import Board
from tests.integration.notifications.conftest import settled, told
from tests.support import eventually, free_port

AT = datetime(2026, 11, 22, 3, 0, tzinfo=UTC)
NOTICE = Notice(id="0123-7", event="failed", job="sync", label="Sync", error="it broke", at=AT, run_id="r1")
PRIVATE = {"notify_allow_private": True}


def chat(stand_in: TelegramStandIn, number: str = "-1001", token: str = TOKEN) -> tuple[Settings, Channel]:
    channel = Channel("ops", "telegram", f"tgram://{token}/{number}")
    return Settings(notify_telegram_url=stand_in.url), channel


def hook(endpoint: str, **given: Any) -> tuple[Settings, Channel]:  # noqa: ANN401 - settings
    return Settings(**{**PRIVATE, **given}), Channel("hook", "webhook", endpoint)


def test_problems_of_system_runs_go_to_the_channels(
    opened: Callable[..., Board], telegram: TelegramStandIn, receiver: WebhookReceiver
) -> None:
    board = opened(
        notify_channels=f"ops=tgram://{TOKEN}/-1001; hook={receiver.endpoint}",
        notify_telegram_url=telegram.url,
        notify_allow_private="true",
    )
    trigger(job("well", queue="plain")(lambda: None), by="cli")
    run = trigger(job("badly", queue="plain", retry=NoRetry())(_fails), by="cli")
    with board.worker():
        found = settled(board, 2)
    assert sorted(found) == [("failed", "telegram", "ops", "sent"), ("failed", "webhook", "hook", "sent")]
    assert telegram.messages[0]["chat"] == {"id": -1001}
    assert telegram.messages[0]["text"].startswith("❌ Job failed: badly\n\nJob:")
    ((name, came),) = receiver.webhooks.items()
    assert name.startswith(f"msg_{run.id.hex}-")
    assert (came["type"], came["data"]["run_id"]) == ("run.failed", str(run.id))
    assert came["data"]["error"] == "RuntimeError: token=[redacted]"
    assert came["timestamp"].endswith("Z")


def _fails() -> None:
    raise RuntimeError("token=hunter2")


def test_all_events_if_so_told(opened: Callable[..., Board], receiver: WebhookReceiver) -> None:
    board = opened(
        notify_channels=f"hook={receiver.endpoint}", notify_channel_events="all", notify_allow_private="true"
    )
    trigger(job("well", queue="plain")(lambda: None), by="cli")
    with board.worker():
        assert settled(board, 1) == [("completed", "webhook", "hook", "sent")]


def test_an_endpoint_that_is_gone_is_disabled_and_that_is_told_once(
    opened: Callable[..., Board], receiver: WebhookReceiver, mailbox: SmtpStandIn, monkeypatch: pytest.MonkeyPatch
) -> None:
    board = opened(
        notify_channels=f"hook={receiver.endpoint}",
        notify_allow_private="true",
        notify_channel_events="all",
        system_jobs_alert_email="ops@example.org",
        system_jobs_alert_on="problems",
    )
    receiver.fail(status=410)
    well = job("well", queue="plain")(lambda: None)
    trigger(well, by="cli")
    with board.worker():
        assert settled(board, 2) == [
            ("completed", "webhook", "hook", "failed"),
            ("channel_disabled:hook", "mail", "ops@example.org", "sent"),
        ]
        run = trigger(well, by="cli")
        eventually(lambda: board.one("select state from board.runs where id = :id", id=run.id) == "completed")
    assert len(told(board)) == 2
    (mail,) = mailbox.mails
    assert mail.subject == "[Callboard] ❌ Channel disabled: hook"
    assert "410" in mail.text
    assert board.one("select name || ' ' || why from board.disabled_channels") == (
        "hook channel 'hook' answered 410 Gone: it is disabled"
    )
    monkeypatch.setenv("CALLBOARD_NOTIFY_CHANNELS", f"hook={receiver.url}/hooks?v=2#{receiver.secret}")
    get_settings.cache_clear()
    trigger(well, by="cli")
    with board.worker():
        eventually(lambda: len(told(board)) == 3, what="a new URL is a new channel")


def test_a_webhook_is_signed_and_its_id_is_the_same_at_every_attempt(receiver: WebhookReceiver) -> None:
    for _ in range(2):
        webhook.send(*hook(receiver.endpoint), NOTICE)
    ((name, came),) = receiver.webhooks.items()
    assert (name, came["attempts"], came["data"]["error"]) == ("msg_0123-7", 2, "it broke")
    with pytest.raises(PermanentError, match="400"):
        webhook.send(*hook(f"{receiver.url}/hooks#{new_secret()}"), NOTICE)


@pytest.mark.parametrize(
    ("fault", "error"),
    [
        ({"status": 500}, TransientError),
        ({"status": 502}, TransientError),
        ({"status": 408}, TransientError),
        ({"reset": True}, TransientError),
        ({"status": 302}, PermanentError),
        ({"status": 404}, PermanentError),
        ({"status": 401}, AuthenticationError),
        ({"status": 410}, webhook.ChannelGone),
    ],
)
def test_each_answer_of_a_webhook_is_of_its_kind(
    receiver: WebhookReceiver, fault: dict[str, Any], error: type[Exception]
) -> None:
    receiver.fail(**fault)
    with pytest.raises(error) as raised:
        webhook.send(*hook(receiver.endpoint), NOTICE)
    assert receiver.secret not in str(raised.value)
    assert "/hooks" not in str(raised.value)


def test_the_time_that_a_server_asks_for_is_honoured(receiver: WebhookReceiver, telegram: TelegramStandIn) -> None:
    receiver.fail(status=429, retry_after=7)
    with pytest.raises(TransientError) as asked:
        webhook.send(*hook(receiver.endpoint), NOTICE)
    assert asked.value.retry_after == 7
    telegram.fail(status=429, retry_after=3)
    with pytest.raises(TransientError, match="retry after 3") as told_so:
        _telegram(telegram)
    assert told_so.value.retry_after == 3
    _telegram(telegram)
    assert len(telegram.messages) == 1


def _telegram(stand_in: TelegramStandIn, notice: Notice = NOTICE, **given: str) -> None:
    telegram.send(*chat(stand_in, **given), notice)


@pytest.mark.parametrize(
    ("given", "error", "words"),
    [
        ({"number": "403"}, PermanentError, "bot was blocked by the user"),
        ({"number": "404"}, PermanentError, "chat not found"),
        ({"token": "1:wrong"}, AuthenticationError, "Unauthorized"),
    ],
)
def test_each_answer_of_telegram_is_of_its_kind(
    telegram: TelegramStandIn, given: dict[str, str], error: type[Exception], words: str
) -> None:
    with pytest.raises(error, match=words) as raised:
        _telegram(telegram, **given)
    assert "wrong" not in str(raised.value)
    telegram.fail(status=502)
    with pytest.raises(TransientError, match="502 Bad Gateway"):
        _telegram(telegram)
    telegram.fail(malformed=True)
    with pytest.raises(TransientError, match="200"):
        _telegram(telegram)


def test_a_long_message_is_cut_as_telegram_counts(telegram: TelegramStandIn) -> None:
    long = Notice(id="1-1", event="failed", job="j", label="j", error="💥" * 4000, url="http://board/run")
    _telegram(telegram, long)
    text = telegram.messages[0]["text"]
    assert len(text.encode("utf-16-le")) <= 2 * 4096
    assert text.endswith("💥\n...\nhttp://board/run")


def test_no_token_gets_into_logs_or_errors(caplog: pytest.LogCaptureFixture) -> None:
    channel = Channel("ops", "telegram", "tgram://1:hunter2/5")
    with caplog.at_level(logging.DEBUG), pytest.raises(TransientError) as raised:
        telegram.send(Settings(notify_telegram_url=f"http://127.0.0.1:{free_port()}"), channel, NOTICE)
    assert "hunter2" not in caplog.text + str(raised.value) + repr(raised.value.__cause__)


def test_private_addresses_are_refused_after_the_name_was_looked_up(receiver: WebhookReceiver) -> None:
    secured = f"https://localhost:{receiver.url.rpartition(':')[2]}/hooks#{receiver.secret}"
    with pytest.raises(PermanentError, match="which is no public address"):
        webhook.send(*hook(secured, notify_allow_private=False), NOTICE)
    with pytest.raises(PermanentError, match="plain HTTP"):
        webhook.send(*hook(receiver.endpoint, notify_allow_private=False), NOTICE)
    assert list(receiver.requests) == []


@pytest.mark.parametrize(
    ("address", "public"),
    [
        ("93.184.215.14", True),
        ("2606:2800:21f:cb07:6820:80da:af6b:8b2c", True),
        *[(each, False) for each in ("127.0.0.1", "10.0.0.1", "169.254.169.254", "0.0.0.0", "100.64.0.1", "224.0.0.1")],  # noqa: S104 - asked about
        *[(each, False) for each in ("::1", "fe80::1%eth0", "fd00::1", "::ffff:10.0.0.1", "2002:7f00:1::")],
        ("64:ff9b::7f00:1", False),
        ("64:ff9b::5db8:d70e", True),
    ],
)
def test_what_is_a_public_address(address: str, public: bool) -> None:  # noqa: FBT001 - parametrized
    assert is_public(address) is public


@pytest.fixture(scope="module")
def apprise_started() -> None:
    """Apprise sends by a pool of threads that lives as long as the process; here all of them are started."""
    with warnings.catch_warnings():
        warnings.simplefilter("ignore")  # it imports what Python 3.13 has no more
        from apprise.apprise import get_shared_executor
    pool = get_shared_executor()
    together = threading.Barrier(pool._max_workers)
    for started in [pool.submit(together.wait) for _ in range(together.parties)]:
        started.result(5)


@pytest.mark.filterwarnings("ignore:'imghdr' is deprecated:DeprecationWarning")  # Apprise's own affair
@pytest.mark.usefixtures("apprise_started")
def test_apprise_sends_what_it_can(telegram: TelegramStandIn) -> None:
    """By its JSON channel, which posts to any server; the stand-in of Telegram keeps what it was asked."""
    place = telegram.url.removeprefix("http://")
    with pytest.raises(TransientError, match="404"):
        others.send(Channel("own", "apprise", f"json://{place}/nowhere"), NOTICE)
    others.send(Channel("own", "apprise", f"json://{place}/bot{TOKEN.replace(':', '%3A')}/getMe"), NOTICE)
    assert len(telegram.requests) == 2
    with pytest.raises(PermanentError, match="knows no such URL"):
        others.send(Channel("own", "apprise", "nonsense://x"), NOTICE)


def test_a_signature_is_one_that_the_reference_library_takes() -> None:
    """The stand-in verifies by its own hand; here the library looks at what was sent."""
    sent: list[tuple[dict[str, str], bytes]] = []

    class Listening(WebhookReceiver):
        def answer(self, method: str, path: str, body: bytes, fault: Any) -> object:  # noqa: ANN401 - a Fault
            sent.append((dict(self.headers.items()), body))
            return super().answer(method, path, body, fault)

    with Listening() as stand_in:
        webhook.send(*hook(stand_in.endpoint), NOTICE)
    headers, body = sent[0]
    assert Webhook(stand_in.secret).verify(body, headers) == json.loads(body)


@pytest.mark.parametrize(
    "text",
    [
        "ops=tgram://1:abc",
        "ops=tgram://1:abc/1/2",
        "hook=https://example.org/x",
        "hook=https://example.org/x#whsec_c2hvcnQ=",
        "Ops=slack://a/b/c",
        "mail=slack://a/b/c",
        "ops",
        "ops=slack://a;ops=slack://b",
    ],
)
def test_channels_that_do_not_fit_are_refused_without_their_urls(text: str) -> None:
    with pytest.raises(ValueError, match="channel") as raised:
        Settings(notify_channels=text)
    assert "abc" not in str(raised.value.errors()[0]["msg"])  # type: ignore[attr-defined]  # pydantic's


def test_channels_by_name() -> None:
    known = channels(Settings(notify_channels="a=tgram://1:x/@room;b=ntfy://topic").notify_channels)
    assert [(each.name, each.kind) for each in known.values()] == [("a", "telegram"), ("b", "apprise")]
    assert known["a"].chat == ("1:x", "@room")
