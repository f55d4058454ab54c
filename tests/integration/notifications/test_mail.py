"""Mail on a real SMTP server: what it answers decides whether a mail is tried again, and never touches the run."""

from __future__ import annotations

import ssl
import subprocess
from collections.abc import Callable, Iterator
from pathlib import Path
from typing import Any

import pytest

from callboard import (
    AuthenticationError,
    NoRetry,
    PermanentError,
    TransientError,
    current_run,
    get_settings,
    job,
    trigger,
)
from callboard.ledger.outgoing import NAME
from callboard.notifications import mail
from callboard.notifications.notice import Notice
from callboard.notifications.sending import deliver
from callboard.operations import Who, letters
from callboard.settings import Settings
from sandbox.smtp import SmtpStandIn
from tests.board import Board
from tests.integration.notifications.conftest import settled
from tests.support import eventually, free_port

NOTICE = Notice(id="0123-7", event="failed", job="sync", label="Sync", error="it broke")
SECRETS = ("hunter2-arg", "hunter2-error", "hunter2-note", "hunter2-smtp")


def settings(server: SmtpStandIn, options: str = "?tls=none", account: str = "", **given: Any) -> Settings:  # noqa: ANN401 - settings
    url = f"smtp://{account}127.0.0.1:{server.smtp_port}{options}"
    return Settings(smtp_url=url, mail_from="Board <board@example.org>", **given)


def run_with_mail() -> str:
    run = trigger(job("told", queue="plain")(lambda: None), by="cli", notify=("ops@example.org",))
    return str(run.id)


def state_of(board: Board, run_id: str) -> str:
    return str(board.one("select state from board.runs where id = :id", id=run_id))


def test_a_server_that_is_down_gets_the_mail_when_it_is_back(
    opened: Callable[..., Board], mailbox: SmtpStandIn
) -> None:
    board = opened()
    mailbox.stop_smtp()
    run_id = run_with_mail()
    with board.worker():
        eventually(lambda: state_of(board, run_id) == "completed")
        eventually(lambda: board.one("select coalesce(max(attempts), 0) from board.notifications") >= 2)
        error = board.one("select error from board.notifications")
        assert error == "the mail server cannot be reached: [Errno 111] Connection refused"
        mailbox.start_smtp()
        assert settled(board, 1) == [("completed", "mail", "ops@example.org", "sent")]
    assert len(mailbox.mails) == 1
    assert board.one("select error from board.notifications") is None


@pytest.mark.parametrize("status", [421, 450, 451])
def test_what_passes_is_tried_again_under_the_same_message_id(
    opened: Callable[..., Board], mailbox: SmtpStandIn, status: int
) -> None:
    board = opened()
    mailbox.fail(status=status, path="DATA", times=2)
    run_with_mail()
    with board.worker():
        settled(board, 1)
    row = board.query("select id, run_id, attempts from board.notifications")[0]
    assert row.attempts == 3
    assert [one.headers["Message-ID"] for one in mailbox.mails] == [f"<{row.run_id.hex}-{row.id}@example.org>"]


def test_550_fails_the_notification_and_not_the_run(opened: Callable[..., Board], mailbox: SmtpStandIn) -> None:
    board = opened()
    mailbox.fail(status=550)
    run_id = run_with_mail()
    with board.worker():
        assert settled(board, 1) == [("completed", "mail", "ops@example.org", "failed")]
        eventually(lambda: board.one("select count(*) from board.dead_letters") == 1)
        row = board.query("select attempts, error from board.notifications")[0]
        assert (row.attempts, row.error) == (1, "the address was refused: 550 5.1.1 No such mailbox")
        assert state_of(board, run_id) == "completed"
        assert board.one("select count(*) from board.notifications") == 1
        letters.replay(board.one("select id from board.dead_letters"), who=Who("cli"))  # somebody has made that mailbox
        eventually(lambda: board.one("select state from board.notifications") == "sent")
    assert board.one("select count(*) from board.runs where job = :job and state = 'failed'", job=NAME) == 1


def test_what_went_out_is_not_sent_again_by_whoever_comes_late(
    opened: Callable[..., Board], mailbox: SmtpStandIn
) -> None:
    board = opened()
    run_with_mail()
    with board.worker():
        settled(board, 1)
    deliver(board.one("select id from board.notifications"))
    assert len(mailbox.mails) == 1
    with pytest.raises(PermanentError, match="no notification 0"):
        deliver(0)


def test_retries_that_run_out_fail_it(opened: Callable[..., Board], mailbox: SmtpStandIn) -> None:
    board = opened()
    board.broker.get_actor(NAME).spec.__dict__["retry"] = type(board.broker.get_actor(NAME).spec.retry)(0.01, jitter=0)
    mailbox.fail(status=451, times=None)
    run_with_mail()
    with board.worker():
        assert settled(board, 1)[0][3] == "failed"
    assert board.one("select attempts from board.notifications") == 2


def test_no_server_at_all_says_what_to_set(opened: Callable[..., Board], monkeypatch: pytest.MonkeyPatch) -> None:
    board = opened()
    monkeypatch.delenv("CALLBOARD_SMTP_URL")
    get_settings.cache_clear()
    run_with_mail()
    with board.worker():
        settled(board, 1)
    assert "set CALLBOARD_SMTP_URL" in board.one("select error from board.notifications")


def test_secrets_do_not_get_into_mails(opened: Callable[..., Board], mailbox: SmtpStandIn) -> None:
    board = opened()

    @job("secretive", queue="plain", notify=("ops@example.org",), retry=NoRetry())
    def secretive(password: str) -> None:
        current_run().note(api_key="hunter2-note", dsn="postgresql://u:hunter2-note@h/d")
        raise ValueError(f"refused: password=hunter2-error for {len(password)}")

    secretive.send(password="hunter2-arg")
    with board.worker():
        settled(board, 1)
    (found,) = mailbox.mails
    assert "refused: password=" in found.text
    for secret in SECRETS:
        assert secret.encode() not in found.raw
        assert secret not in found.text + found.html + found.subject + str(found.headers)


@pytest.mark.parametrize(
    ("verb", "status", "error"),
    [
        ("RCPT", 450, TransientError),
        ("RCPT", 550, PermanentError),
        ("MAIL", 451, TransientError),
        ("MAIL", 554, PermanentError),
        ("DATA", 452, TransientError),
        ("DATA", 554, PermanentError),
        ("EHLO", 421, TransientError),
        ("AUTH", 535, AuthenticationError),
        ("AUTH", 454, TransientError),
    ],
)
def test_each_refusal_is_of_its_kind(verb: str, status: int, error: type[Exception]) -> None:
    with SmtpStandIn(user="board", password="hunter2-smtp") as server:
        server.fail(status=status, path=verb, times=None)
        with pytest.raises(error) as raised:
            mail.send(settings(server, account="board:hunter2-smtp@"), NOTICE, "ops@example.org")
        assert str(status) in str(raised.value) or "hung up" in str(raised.value)  # smtplib asks again, by HELO
        assert "hunter2" not in str(raised.value)


def test_a_broken_connection_may_pass() -> None:
    with SmtpStandIn() as server:
        server.fail(reset=True, path="DATA")
        with pytest.raises(TransientError, match=r"hung up|reached"):
            mail.send(settings(server), NOTICE, "ops@example.org")


def test_signing_in(mailbox: SmtpStandIn) -> None:
    with SmtpStandIn(user="board@example.org", password="p@ss/w:rd") as server:
        account = "board%40example.org:p%40ss%2Fw%3Ard@"
        mail.send(settings(server, account=account).model_copy(update={"mail_from": ""}), NOTICE, "ops@example.org")
        assert (server.mails[0].sender, server.mails[0].user) == ("board@example.org", "board@example.org")
        with pytest.raises(AuthenticationError, match="535"):
            mail.send(settings(server, account="board%40example.org:wrong@"), NOTICE, "ops@example.org")
        with pytest.raises(PermanentError, match="530"):
            mail.send(settings(server), NOTICE, "ops@example.org")
    with pytest.raises(PermanentError, match="STARTTLS"):  # asked for, and this server has none
        mail.send(settings(mailbox, "?tls=starttls"), NOTICE, "ops@example.org")


@pytest.fixture(scope="module")
def certificate(tmp_path_factory: pytest.TempPathFactory) -> Path:
    """A key and a certificate of 127.0.0.1, in one file."""
    folder = tmp_path_factory.mktemp("tls")
    command = ["openssl", "req", "-x509", "-newkey", "ec", "-pkeyopt", "ec_paramgen_curve:prime256v1", "-nodes",
               "-keyout", "key.pem", "-out", "cert.pem", "-days", "1", "-subj", "/CN=127.0.0.1",
               "-addext", "subjectAltName=IP:127.0.0.1"]  # fmt: skip
    subprocess.run(command, cwd=folder, check=True, capture_output=True)
    return folder


@pytest.fixture(params=["starttls", "implicit"])
def secured(request: pytest.FixtureRequest, certificate: Path) -> Iterator[tuple[SmtpStandIn, str]]:
    context = ssl.create_default_context(ssl.Purpose.CLIENT_AUTH)
    context.load_cert_chain(certificate / "cert.pem", certificate / "key.pem")
    with SmtpStandIn(tls=context, implicit=request.param == "implicit") as server:
        yield server, request.param


def test_tls_is_spoken_and_its_certificate_is_checked(secured: tuple[SmtpStandIn, str], certificate: Path) -> None:
    server, tls = secured
    mail.send(settings(server, f"?tls={tls}&ca={certificate / 'cert.pem'}"), NOTICE, "ops@example.org")
    assert server.mails[0].secure
    with pytest.raises(PermanentError, match="certificate: self-signed certificate"):
        mail.send(settings(server, f"?tls={tls}"), NOTICE, "ops@example.org")
    assert len(server.mails) == 1


@pytest.mark.parametrize("address", ["a@b.org\r\nBcc: c@d.org", "no address", ""])
def test_what_is_no_address_is_never_sent(mailbox: SmtpStandIn, address: str) -> None:
    with pytest.raises(PermanentError):
        mail.send(settings(mailbox), NOTICE, address)
    assert not mailbox.mails


def test_an_address_in_unicode(mailbox: SmtpStandIn) -> None:
    mail.send(settings(mailbox), NOTICE, "jürgen@example.org")
    assert mailbox.mails[0].recipients == ["jürgen@example.org"]


def test_a_server_that_never_answers_is_given_up_on(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(mail, "TIMEOUT_SECONDS", 0.1)
    with SmtpStandIn() as server:
        server.fail(delay=5.0, path="EHLO")
        with pytest.raises(TransientError, match="timed out"):
            mail.send(settings(server), NOTICE, "ops@example.org")
    with pytest.raises(TransientError, match="refused"):
        mail.send(Settings(smtp_url=f"smtp://127.0.0.1:{free_port()}?tls=none"), NOTICE, "ops@example.org")
