"""The stand-ins for mail, Telegram and webhooks speak the real protocols, and misbehave when told to."""

from __future__ import annotations

import json
import smtplib
import subprocess
import sys
from collections.abc import Iterator
from datetime import UTC, datetime, timedelta
from email.message import EmailMessage

import httpx
import pytest
from standardwebhooks import Webhook

from sandbox.smtp import SmtpStandIn
from sandbox.telegram import TOKEN, TelegramStandIn
from sandbox.webhook_receiver import WebhookReceiver


def letter(to: str = "a@example.org") -> EmailMessage:
    mail = EmailMessage()
    mail["From"], mail["To"], mail["Subject"] = "b@example.org", to, "Grüße ✅"
    mail.set_content("plain äöü")
    mail.add_alternative("<p>html</p>", subtype="html")
    return mail


class TestSmtp:
    @pytest.fixture
    def client(self, mailbox: SmtpStandIn) -> Iterator[smtplib.SMTP]:
        with smtplib.SMTP("127.0.0.1", mailbox.smtp_port, timeout=5) as client:
            yield client

    def test_a_mail_is_kept_and_read_over_http(self, mailbox: SmtpStandIn, client: smtplib.SMTP) -> None:
        client.send_message(letter())
        (mail,) = httpx.get(f"{mailbox.url}/_sandbox/mails").json()
        assert (mail["subject"], mail["text"], mail["html"]) == ("Grüße ✅", "plain äöü\n", "<p>html</p>\n")
        assert (mail["sender"], mail["recipients"], mail["secure"]) == ("b@example.org", ["a@example.org"], False)
        assert httpx.delete(f"{mailbox.url}/_sandbox/mails").json() == []
        assert not mailbox.mails

    @pytest.mark.parametrize("status", [450, 451, 550])
    def test_a_recipient_is_refused_and_the_next_is_not(
        self, mailbox: SmtpStandIn, client: smtplib.SMTP, status: int
    ) -> None:
        planted = httpx.post(f"{mailbox.url}/_sandbox/faults", json={"status": status, "contains": "bad@"}).json()
        assert [(fault["path"], fault["status"]) for fault in planted] == [("RCPT", status)]
        refused = client.send_message(letter("bad@example.org, good@example.org"))
        assert {address: code for address, (code, _) in refused.items()} == {"bad@example.org": status}
        assert mailbox.to("good@example.org")

    def test_421_hangs_up(self, mailbox: SmtpStandIn, client: smtplib.SMTP) -> None:
        mailbox.fail(status=421, path="MAIL")
        with pytest.raises(smtplib.SMTPSenderRefused, match="421"):
            client.send_message(letter())
        with pytest.raises(smtplib.SMTPServerDisconnected):
            client.noop()

    def test_who_has_an_account_signs_in(self) -> None:
        with SmtpStandIn(user="u", password="p") as server, smtplib.SMTP("127.0.0.1", server.smtp_port) as client:
            with pytest.raises(smtplib.SMTPSenderRefused, match="530"):
                client.send_message(letter())
            with pytest.raises(smtplib.SMTPAuthenticationError, match="535"):
                client.login("u", "wrong")
            server.fail(status=535, times=None)  # smtplib tries every mechanism that is offered
            with pytest.raises(smtplib.SMTPAuthenticationError, match="535"):
                client.login("u", "p")
            server.faults.clear()
            client.login("u", "p")
            client.send_message(letter())
            assert server.mails[0].user == "u"

    def test_the_command_serves(self) -> None:
        command = [sys.executable, "-m", "sandbox.smtp", "--port", "0", "--http-port", "0"]
        with subprocess.Popen(command, stdout=subprocess.PIPE, text=True) as process:
            assert process.stdout is not None
            smtp, *_, http = process.stdout.readline().split()
            port = int(smtp.removeprefix("smtp://127.0.0.1:").partition("?")[0])
            with smtplib.SMTP("127.0.0.1", port) as client:
                client.send_message(letter())
            assert len(httpx.get(http).json()) == 1
            process.terminate()
        assert process.returncode == 0


class TestTelegram:
    @pytest.fixture
    def client(self, telegram: TelegramStandIn) -> Iterator[httpx.Client]:
        with httpx.Client(base_url=f"{telegram.url}/bot{TOKEN}/") as client:
            yield client

    def test_messages_are_kept(self, telegram: TelegramStandIn, client: httpx.Client) -> None:
        sent = client.post("sendMessage", json={"chat_id": 5, "text": "hi"}).json()
        assert (sent["ok"], sent["result"]["message_id"], sent["result"]["text"]) == (True, 1, "hi")
        assert httpx.get(f"{telegram.url}/_sandbox/messages").json() == [sent["result"]]
        assert client.post("getMe").json()["result"]["is_bot"] is True

    @pytest.mark.parametrize(
        ("asked", "status", "words"),
        [
            ({"text": "hi"}, 400, "chat_id is empty"),
            ({"chat_id": 1, "text": " "}, 400, "message text is empty"),
            ({"chat_id": 1, "text": "x" * 4097}, 400, "message is too long"),
            ({"chat_id": 404, "text": "hi"}, 400, "chat not found"),
            ({"chat_id": 403, "text": "hi"}, 403, "bot was blocked by the user"),
        ],
    )
    def test_errors_have_telegrams_form(
        self, client: httpx.Client, asked: dict[str, object], status: int, words: str
    ) -> None:
        answer = client.post("sendMessage", json=asked)
        told = answer.json()
        assert (answer.status_code, told["ok"], told["error_code"]) == (status, False, status)
        assert words in told["description"]

    def test_too_many_requests_say_when_to_come_again(self, telegram: TelegramStandIn, client: httpx.Client) -> None:
        httpx.post(f"{telegram.url}/_sandbox/faults", json={"status": 429, "retry_after": 3})
        answer = client.post("sendMessage", json={"chat_id": 1, "text": "hi"})
        assert (answer.status_code, answer.json()["parameters"]) == (429, {"retry_after": 3})
        assert answer.headers["Retry-After"] == "3"

    def test_another_token_is_unauthorized(self, telegram: TelegramStandIn) -> None:
        assert httpx.post(f"{telegram.url}/bot1:x/getMe").status_code == 401
        assert httpx.post(f"{telegram.url}/bot{TOKEN}/sendPhoto").status_code == 404


class TestWebhookReceiver:
    BODY = json.dumps({"type": "run.failed", "timestamp": "2026-11-22T03:00:00Z", "data": {}})

    def headers(self, receiver: WebhookReceiver, at: datetime, name: str = "msg_1") -> dict[str, str]:
        signature = Webhook(receiver.secret).sign(name, at, self.BODY)
        return {
            "webhook-id": name,
            "webhook-timestamp": str(int(at.timestamp())),
            "webhook-signature": f"v1a,AAAA {signature}",
        }

    def test_what_the_reference_library_signs_is_taken(self, receiver: WebhookReceiver) -> None:
        headers = self.headers(receiver, datetime.now(UTC))
        for _ in range(2):
            assert httpx.post(f"{receiver.url}/hooks", content=self.BODY, headers=headers).status_code == 200
        (came,) = httpx.get(f"{receiver.url}/_sandbox/webhooks").json()
        assert (came["id"], came["type"], came["attempts"]) == ("msg_1", "run.failed", 2)

    @pytest.mark.parametrize("minutes", [-6, 6])
    def test_what_is_old_or_of_the_future_is_not(self, receiver: WebhookReceiver, minutes: int) -> None:
        headers = self.headers(receiver, datetime.now(UTC) + timedelta(minutes=minutes))
        answer = httpx.post(f"{receiver.url}/hooks", content=self.BODY, headers=headers)
        assert (answer.status_code, answer.json()["error"]) == (400, "the timestamp is too old or too new")

    def test_another_body_or_no_signature_is_not(self, receiver: WebhookReceiver) -> None:
        headers = self.headers(receiver, datetime.now(UTC))
        for content, given in (
            (self.BODY + " ", headers),
            (self.BODY, {}),
            (self.BODY, {**headers, "webhook-id": "x"}),
        ):
            assert httpx.post(f"{receiver.url}/hooks", content=content, headers=given).status_code == 400
        assert not receiver.webhooks

    def test_faults(self, receiver: WebhookReceiver) -> None:
        receiver.fail(status=410)
        headers = self.headers(receiver, datetime.now(UTC))
        assert httpx.post(f"{receiver.url}/hooks", content=self.BODY, headers=headers).status_code == 410
        assert httpx.get(f"{receiver.url}/nowhere").status_code == 404


@pytest.mark.parametrize("module", ["telegram", "webhook_receiver"])
def test_the_other_commands_serve(module: str) -> None:
    command = [sys.executable, "-m", f"sandbox.{module}", "--port", "0"]
    with subprocess.Popen(command, stdout=subprocess.PIPE, text=True) as process:
        assert process.stdout is not None
        words = process.stdout.readline().split()
        url = next(word for word in words if word.startswith("http://")).partition("/hooks")[0]
        assert httpx.get(f"{url}/_sandbox/requests").json() == []
        process.terminate()
    assert process.returncode == 0
