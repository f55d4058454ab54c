"""The gate of the app: who may send what and how much of it, and what every answer carries. Plain ASGI: it streams."""

from __future__ import annotations

import secrets
from typing import TYPE_CHECKING, Final
from urllib.parse import parse_qs

import structlog
from starlette.datastructures import Headers, MutableHeaders
from starlette.exceptions import HTTPException
from starlette.requests import Request

from console import answers
from console.security import (
    CSRF_FIELD,
    CSRF_HEADER,
    HEADERS,
    SAFE_METHODS,
    SIGN_IN_PATHS,
    bearer,
    is_csrf_token,
)

if TYPE_CHECKING:
    from starlette.types import ASGIApp, Message, Receive, Scope, Send

    from console.security import Policy

_log = structlog.get_logger(__name__)

#: Above the largest message that a job can be sent, and whatever a form holds.
MOST_BODY: Final = 1_048_576
#: Asked by whoever looks after the process, by whatever name; they tell nothing.
PROBES: Final = frozenset({"/healthz", "/readyz"})
_FORM: Final = "application/x-www-form-urlencoded"


class Guard:
    """Refuses what must not come in, bounds what may, and dresses every answer."""

    def __init__(self, app: ASGIApp, policy: Policy) -> None:
        self._app = app
        self._policy = policy

    async def __call__(self, scope: Scope, receive: Receive, send: Send) -> None:
        """Serve one request."""
        if scope["type"] != "http":
            await self._app(scope, receive, send)
            return
        request, answer = Request(scope), _Dressed(send)
        try:
            await self._admit(request, receive, answer)
        except HTTPException as refusal:
            await answers.refusal(request, refusal.status_code, refusal.detail)(scope, receive, answer)
        except Exception:
            reference = f"req-{secrets.token_hex(8)}"
            _log.exception("console.request_failed", reference=reference, method=request.method, path=scope["path"])
            if answer.started:
                raise  # half an answer is out: only closing the connection tells the client
            await answers.unexpected(request, reference)(scope, receive, answer)

    async def _admit(self, request: Request, receive: Receive, send: Send) -> None:
        if request.scope["path"] not in PROBES and not self._policy.knows(request.headers.get("host", "")):
            raise HTTPException(421, "this name is not ours: set CALLBOARD_CONSOLE_URL or CALLBOARD_CONSOLE_HOSTS.")
        bounded = _bounded(request.headers, receive)
        if request.method not in SAFE_METHODS and bearer(request) is None:
            bounded = await self._check_origin(request, bounded)
        await self._app(request.scope, bounded, send)

    async def _check_origin(self, request: Request, receive: Receive) -> Receive:
        """Hold a form to having come from one of our own pages, in the session that it is sent with."""
        session = request.cookies.get(self._policy.cookie)
        if session is None and request.scope["path"] not in SIGN_IN_PATHS:
            return receive  # nobody's request: it can do nothing in anybody's name
        if not self._policy.same_origin(request.headers):
            raise HTTPException(403, "this came from another site; open the page here and do it again.")
        if session is None or request.scope["path"] in SIGN_IN_PATHS:
            return receive
        given = request.headers.get(CSRF_HEADER)
        if given is None and request.headers.get("content-type", "").partition(";")[0].strip() == _FORM:
            given, receive = await _form_token(receive)
        if given is None or not is_csrf_token(given, session):
            raise HTTPException(403, "the page is older than this sign-in; reload it and do it again.")
        return receive


class _Dressed:
    """`send` that adds our headers to those that the answer has, and knows whether it has begun."""

    def __init__(self, send: Send) -> None:
        self._send = send
        self.started = False

    async def __call__(self, message: Message) -> None:
        if message["type"] == "http.response.start":
            self.started = True
            headers = MutableHeaders(scope=message)
            for name, value in HEADERS.items():
                headers.setdefault(name, value)
            headers.setdefault("Cache-Control", "no-store")  # it tells of now, and of somebody's right to see it
        await self._send(message)


def _bounded(headers: Headers, receive: Receive) -> Receive:
    """`receive` that gives at most `MOST_BODY` bytes."""
    declared = headers.get("content-length", "0")
    if not declared.isdigit() or int(declared) > MOST_BODY:
        raise HTTPException(413, f"the body is larger than {MOST_BODY} bytes.")
    taken = 0

    async def bounded() -> Message:
        nonlocal taken
        message = await receive()
        taken += len(message.get("body", b""))
        if taken > MOST_BODY:
            raise HTTPException(413, f"the body is larger than {MOST_BODY} bytes.")
        return message

    return bounded


async def _form_token(receive: Receive) -> tuple[str | None, Receive]:
    """The token in a form's body, and a `receive` that gives the body again."""
    body, more = b"", True
    while more:
        message = await receive()
        body, more = body + message.get("body", b""), bool(message.get("more_body"))
    given = parse_qs(body.decode("utf-8", "replace")).get(CSRF_FIELD, [None])[0]
    told = False

    async def again() -> Message:
        nonlocal told
        if told:
            return await receive()
        told = True
        return {"type": "http.request", "body": body, "more_body": False}

    return given, again
