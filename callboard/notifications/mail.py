"""Mail by SMTP: one message to one address.

What the server answers decides: 4xx may pass, 5xx will not, and a refused sign-in needs a person.
"""

from __future__ import annotations

import smtplib
import socket
import ssl
from contextlib import contextmanager, suppress
from email.message import EmailMessage
from email.policy import SMTP, SMTPUTF8
from email.utils import formatdate, parseaddr
from typing import TYPE_CHECKING

from callboard.errors import AuthenticationError, JobError, PermanentError, TransientError
from callboard.mail_server import MailServer
from callboard.notifications import render

if TYPE_CHECKING:
    from collections.abc import Iterator

    from callboard.notifications.notice import Notice
    from callboard.settings import Settings

TIMEOUT_SECONDS = 15.0
_PERMANENT, _LONGEST = 500, 500


def send(settings: Settings, notice: Notice, address: str) -> None:
    """Hand one mail to the server of the settings.

    Raises:
        TransientError: It may go later: the server is away, or said 4xx.
        PermanentError: It will never go: no server is set, or it said 5xx.
        AuthenticationError: The server refused user and password.
    """
    if settings.smtp_url is None:
        raise PermanentError("no mail server: set CALLBOARD_SMTP_URL, then `callboard notifications test mail`.")
    server = MailServer.parse(settings.smtp_url.get_secret_value())
    message = compose(notice, sender(settings, server), address)
    with _told(), _connected(server) as smtp:
        smtp.send_message(message)


def sender(settings: Settings, server: MailServer) -> str:
    """Whom mails are from."""
    if settings.mail_from:
        return settings.mail_from
    return server.user if "@" in server.user else f"callboard@{socket.gethostname()}"


def compose(notice: Notice, sender: str, address: str) -> EmailMessage:
    """The message; a second attempt has the same Message-ID.

    Raises:
        PermanentError: The address, or that of the sender, is none.
    """
    if parseaddr(address)[1] != address or "@" not in address:
        raise PermanentError(f"{address!r} is no mail address; write it like ops@example.org.")
    domain = parseaddr(sender)[1].rpartition("@")[2] or "localhost"
    ascii_only = (address + sender).isascii()
    message = EmailMessage(policy=SMTP if ascii_only else SMTPUTF8)
    try:
        message["From"], message["To"] = sender, address
        message["Subject"] = render.subject(notice)
        message["Message-ID"] = f"<{notice.id}@{domain}>"
    except (ValueError, IndexError) as error:  # a line break, or what the parser of addresses stumbles over
        raise PermanentError(f"cannot write a mail from {sender!r} to {address!r}: {error}") from None
    message["Date"] = formatdate(localtime=False)
    message["Auto-Submitted"] = "auto-generated"  # RFC 3834: nobody's holiday notice answers
    message.set_content(render.plain(notice))
    message.add_alternative(render.as_html(notice), subtype="html")
    return message


@contextmanager
def _connected(server: MailServer) -> Iterator[smtplib.SMTP]:
    """A session in which a message may be sent: encrypted and signed in, as the URL says."""
    if server.tls == "implicit":
        context = _tls(server)
        smtp: smtplib.SMTP = smtplib.SMTP_SSL(server.host, server.port, timeout=TIMEOUT_SECONDS, context=context)
    else:
        smtp = smtplib.SMTP(server.host, server.port, timeout=TIMEOUT_SECONDS)
    try:
        if server.tls == "starttls":
            smtp.starttls(context=_tls(server))
        if server.user:
            smtp.login(server.user, server.password)
        yield smtp
    finally:
        with suppress(OSError):  # the mail is accepted or it is not: how the server says goodbye changes nothing
            smtp.quit()
        smtp.close()


def _tls(server: MailServer) -> ssl.SSLContext:
    return ssl.create_default_context(cafile=server.ca or None)


@contextmanager
def _told() -> Iterator[None]:
    """Errors of smtplib as what they mean for another try."""
    try:
        yield
    except smtplib.SMTPRecipientsRefused as error:
        (code, answer), *_ = error.recipients.values()
        raise _by_code(int(code), answer, "the address") from None
    except smtplib.SMTPAuthenticationError as error:
        if error.smtp_code < _PERMANENT:
            raise TransientError(f"signing in: {_line(error.smtp_code, error.smtp_error)}") from None
        raise AuthenticationError(f"signing in: {_line(error.smtp_code, error.smtp_error)}") from None
    except smtplib.SMTPResponseException as error:
        raise _by_code(error.smtp_code, error.smtp_error, "the mail") from None
    except smtplib.SMTPServerDisconnected as error:
        raise TransientError(f"the mail server hung up: {error}") from None
    except smtplib.SMTPException as error:  # it cannot do what is asked: STARTTLS, AUTH, an address in Unicode
        raise PermanentError(f"the mail server: {error}") from None
    except ssl.SSLCertVerificationError as error:
        raise PermanentError(
            f"the mail server's certificate: {error.verify_message}; ?ca= names one to trust"
        ) from None
    except OSError as error:
        raise TransientError(f"the mail server cannot be reached: {error}") from None


def _by_code(code: int, answer: bytes | str, what: str) -> JobError:
    kind = TransientError if code < _PERMANENT else PermanentError  # -1: an answer that is none
    return kind(f"{what} was refused: {_line(code, answer)}")


def _line(code: int, answer: bytes | str) -> str:
    text = answer.decode("utf-8", "replace") if isinstance(answer, bytes) else answer
    return f"{code} {' '.join(text.split())}"[:_LONGEST]
