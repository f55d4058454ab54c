"""A stand-in for a mail server: takes mail by SMTP, keeps it, and refuses on demand.

    GET    /_sandbox/mails    the mails, oldest first, at most 1,000: sender, recipients, subject, headers, text, html
    DELETE /_sandbox/mails    forget them
    POST   /_sandbox/faults   refuse, e.g. {"status": 550, "contains": "anna@", "times": 2}

A fault's `path` is the command that is refused: EHLO, AUTH, MAIL, RCPT or DATA; without one it is AUTH for 535, else
RCPT. `contains` is looked for in the command's argument, for DATA in the mail. `delay` and `reset` do what they say.

`python -m sandbox.smtp --port 2525 --http-port 8025` serves until it is interrupted; in tests
`with SmtpStandIn() as mailbox:` does.
"""

from __future__ import annotations

import asyncio
import email
import email.policy
import socket
import sys
import warnings
from collections import deque
from dataclasses import asdict, dataclass, field, replace
from typing import TYPE_CHECKING, Any, Self

from aiosmtpd.controller import Controller
from aiosmtpd.smtp import AuthResult, LoginPassword

from sandbox.alert_receiver import options, until_stopped
from sandbox.faults import Fault
from sandbox.stand_in import ApiError, StandIn

if TYPE_CHECKING:
    import ssl
    from collections.abc import Awaitable, Sequence
    from email.message import EmailMessage
    from types import TracebackType

_KEPT = 1000
_CLOSING, _BAD_CREDENTIALS = 421, 535
_WORDS = {
    421: "4.3.2 Service shutting down",
    450: "4.2.0 Mailbox busy, try again later",
    451: "4.3.0 Local error in processing",
    452: "4.3.1 Insufficient system storage",
    454: "4.7.0 Temporary authentication failure",
    530: "5.7.0 Authentication required",
    535: "5.7.8 Authentication credentials invalid",
    550: "5.1.1 No such mailbox",
    554: "5.7.1 Refused",
}


@dataclass(frozen=True)
class Mail:
    """A mail as it came."""

    sender: str
    recipients: list[str]
    subject: str
    headers: dict[str, str]
    text: str
    html: str
    secure: bool
    user: str = ""
    raw: bytes = field(default=b"", repr=False)


class SmtpStandIn(StandIn):
    """A mail server on loopback, with an HTTP door to read what it took.

    Args:
        port: Of the HTTP door; 0 takes any free one.
        smtp_port: 0 takes any free one.
        user: Whoever sends must sign in with this name; empty: nobody has to.
        password: And this password.
        tls: A certificate: STARTTLS is offered, or, with `implicit`, TLS is spoken from the first byte.
        implicit: See `tls`.
        host: Address to listen on.
    """

    def __init__(
        self,
        port: int = 0,
        *,
        smtp_port: int = 0,
        user: str = "",
        password: str = "",
        tls: ssl.SSLContext | None = None,
        implicit: bool = False,
        host: str = "127.0.0.1",
    ) -> None:
        super().__init__(port, host=host)
        self.mails: deque[Mail] = deque(maxlen=_KEPT)
        self._account = (user, password)
        self._tls, self._implicit = tls, implicit
        self._listening = socket.create_server((host, smtp_port))
        self.smtp_port = int(self._listening.getsockname()[1])
        self._controller: Controller | None = None

    def answer(self, method: str, path: str, body: bytes, fault: Fault) -> object:  # noqa: ARG002 - StandIn's signature
        """Mail is read under `/_sandbox/`."""
        raise ApiError(404, f"no {method} {path}")

    def control(self, method: str, path: str, body: bytes) -> object:
        """See the head of this file."""
        match method, path:
            case "GET", "/_sandbox/mails":
                return [{name: value for name, value in asdict(mail).items() if name != "raw"} for mail in self.mails]
            case "DELETE", "/_sandbox/mails":
                self.mails.clear()
                return []
        return super().control(method, path, body)

    def to(self, address: str) -> list[Mail]:
        """The mails that came for an address."""
        return [mail for mail in list(self.mails) if address in mail.recipients]

    def __enter__(self) -> Self:
        self.start_smtp()
        return super().__enter__()

    def __exit__(
        self, kind: type[BaseException] | None, error: BaseException | None, trace: TracebackType | None
    ) -> None:
        self.stop_smtp()
        super().__exit__(kind, error, trace)

    def start_smtp(self) -> None:
        """Take mail, after `stop_smtp` on the same port again."""
        if self._listening.fileno() < 0:
            self._listening = socket.create_server(("127.0.0.1", self.smtp_port))
        with warnings.catch_warnings():
            warnings.simplefilter("ignore")  # that a sign-in without TLS is unsafe, which is the caller's choice
            self._controller = _Controller(self, self._listening, tls=self._tls, implicit=self._implicit)
            self._controller.start()

    def stop_smtp(self) -> None:
        """Be a mail server that is down; the HTTP door stays open. May be called twice."""
        if self._controller is not None:
            self._controller.stop()
            self._controller = None
        self._listening.close()

    def refusal(self, verb: str, text: str) -> Fault | None:
        """The fault that is planted for such a command."""
        fault = self.faults.take(verb, text.encode())
        self.requests.append((verb, len(text)))
        return fault

    def _plant(self, document: dict[str, Any]) -> None:
        status = document.get("status", 0)
        super()._plant({"path": _verb(status)} | document)

    def fail(self, **fault: Any) -> None:  # noqa: ANN401 - the fields of Fault
        """Plant a fault: `fail(status=451, times=3)`."""
        planted = Fault(**fault)
        self.faults.plant(replace(planted, path=planted.path or _verb(planted.status)))

    def admits(self, login: str, password: str) -> bool:
        """Whether these are the name and the password."""
        return (login, password) == self._account

    @property
    def has_account(self) -> bool:
        """Whether one has to sign in."""
        return bool(self._account[0])


def _verb(status: int) -> str:
    return "AUTH" if status in (_BAD_CREDENTIALS, 454) else "RCPT"


class _Controller(Controller):
    def __init__(
        self, stand_in: SmtpStandIn, listening: socket.socket, *, tls: ssl.SSLContext | None, implicit: bool
    ) -> None:
        secured: dict[str, Any] = {"ssl_context": tls} if implicit else {"tls_context": tls}
        super().__init__(
            _Handler(stand_in),
            hostname="127.0.0.1",
            port=stand_in.smtp_port,
            authenticator=_authenticate(stand_in),
            auth_require_tls=False,
            **secured,
        )
        self._listening = listening

    def _create_server(self) -> Awaitable[asyncio.AbstractServer]:
        return self.loop.create_server(self._factory_invoker, sock=self._listening, ssl=self.ssl_context)


def _authenticate(stand_in: SmtpStandIn) -> Any:  # noqa: ANN401 - aiosmtpd's protocol
    def authenticate(_server: Any, session: Any, _envelope: Any, _mechanism: str, given: Any) -> AuthResult:  # noqa: ANN401 - the same
        if not isinstance(given, LoginPassword):
            return AuthResult(success=False, handled=False)
        login, password = given.login.decode(), given.password.decode()
        fault = stand_in.refusal("AUTH", login)
        if fault is not None and fault.status != _BAD_CREDENTIALS:
            return AuthResult(success=False, handled=False, message=_line(fault.status))
        session.callboard_user = login
        return AuthResult(success=fault is None and stand_in.admits(login, password), handled=False)

    return authenticate


class _Handler:
    """What aiosmtpd asks; the names of the methods are its own."""

    def __init__(self, stand_in: SmtpStandIn) -> None:
        self._stand_in = stand_in

    async def handle_EHLO(  # noqa: N802 - aiosmtpd's name
        self,
        server: Any,  # noqa: ANN401 - aiosmtpd's protocol
        session: Any,  # noqa: ANN401 - the same
        _envelope: object,
        hostname: str,
        responses: list[str],
    ) -> list[str]:
        session.host_name = hostname
        refused = await self._refused(server, "EHLO", hostname)
        return [refused] if refused else responses

    async def handle_MAIL(  # noqa: N802 - aiosmtpd's name
        self,
        server: Any,  # noqa: ANN401 - aiosmtpd's protocol
        session: Any,  # noqa: ANN401 - the same
        envelope: Any,  # noqa: ANN401 - the same
        address: str,
        mail_options: list[str],
    ) -> str:
        if self._stand_in.has_account and not session.authenticated:
            return _line(530)
        refused = await self._refused(server, "MAIL", address)
        if refused:
            return refused
        envelope.mail_from = address
        envelope.mail_options.extend(mail_options)
        return "250 2.1.0 OK"

    async def handle_RCPT(  # noqa: N802 - aiosmtpd's name
        self,
        server: Any,  # noqa: ANN401 - aiosmtpd's protocol
        _session: object,
        envelope: Any,  # noqa: ANN401 - the same
        address: str,
        rcpt_options: list[str],
    ) -> str:
        refused = await self._refused(server, "RCPT", address)
        if refused:
            return refused
        envelope.rcpt_tos.append(address)
        envelope.rcpt_options.extend(rcpt_options)
        return "250 2.1.5 OK"

    async def handle_DATA(self, server: Any, session: Any, envelope: Any) -> str:  # noqa: ANN401, N802 - aiosmtpd's name
        refused = await self._refused(server, "DATA", envelope.content.decode("utf-8", "replace"))
        if refused:
            return refused
        secure = server.transport.get_extra_info("sslcontext") is not None
        self._stand_in.mails.append(_mail(session, envelope, secure=secure))
        return "250 2.0.0 OK, kept"

    async def _refused(self, server: Any, verb: str, text: str) -> str:  # noqa: ANN401 - aiosmtpd's protocol
        """The line that refuses, if a fault says so; what else the fault does is done here."""
        fault = self._stand_in.refusal(verb, text)
        if fault is None:
            return ""
        if fault.delay:
            await asyncio.sleep(fault.delay)
        if fault.reset:
            server.transport.abort()
            return "421 4.3.2 gone"
        if fault.status == _CLOSING:  # as RFC 5321 has it: the server says so and hangs up
            asyncio.get_running_loop().call_soon(server.transport.close)
        return _line(fault.status) if fault.status else ""


def _line(status: int) -> str:
    return f"{status} {_WORDS.get(status, 'planted fault')}"


def _mail(session: Any, envelope: Any, *, secure: bool) -> Mail:  # noqa: ANN401 - aiosmtpd's protocol
    message: EmailMessage = email.message_from_bytes(envelope.content, policy=email.policy.default)
    return Mail(
        sender=envelope.mail_from,
        recipients=list(envelope.rcpt_tos),
        subject=str(message["Subject"] or ""),
        headers={name: str(value) for name, value in message.items()},
        text=_part(message, "plain"),
        html=_part(message, "html"),
        secure=secure,
        user=getattr(session, "callboard_user", ""),
        raw=envelope.content,
    )


def _part(message: EmailMessage, kind: str) -> str:
    part = message.get_body((kind,))
    return "" if part is None else str(part.get_content()).replace("\r\n", "\n")


def main(arguments: Sequence[str] | None = None) -> int:
    """Serve until SIGTERM."""
    parser = options("Take mail by SMTP and show it over HTTP.", 2525)
    parser.add_argument("--http-port", type=int, default=8025, help="where the mails are read; 0: any free one")
    given = parser.parse_args(arguments)
    stopping = until_stopped()
    with SmtpStandIn(given.http_port, smtp_port=given.port, host=given.host) as stand_in:
        sys.stdout.write(f"smtp://127.0.0.1:{stand_in.smtp_port}?tls=none is read at {stand_in.url}/_sandbox/mails\n")
        sys.stdout.flush()
        stopping.wait()
    return 0


if __name__ == "__main__":
    sys.exit(main())
