"""HTTP to one provider: tokens renewed, rate limits waited for, sizes bounded, a breaker around every call.

TransientError        down, slow, or answers what cannot be understood (counted by the breaker)
+-- RateLimited         asked too often (not counted: it is one user's limit, and no sign of an illness)
+-- BreakerOpen         left alone for a while
PermanentError        asking again will not help
AuthenticationError   the user must connect again
"""

from __future__ import annotations

from time import sleep
from typing import TYPE_CHECKING, Any, Protocol, Self

import httpx

from actors.memory.clients.answer import Answer, pause_of, too_many
from actors.memory.clients.source import RateLimited
from callboard import AuthenticationError, PermanentError, TransientError, breaker, http_client

if TYPE_CHECKING:
    from collections.abc import Callable, Container, Mapping
    from types import TracebackType

_CONNECT_SECONDS, _READ_SECONDS = 5.0, 30.0
_LONGEST_PAGE = 32 * 1024 * 1024
_SHOWN = 200  # characters of an answer that an error message quotes
_WAITS = 5
_DEFAULT_WAIT = 5.0  # seconds, where a provider does not say how long
_UNAUTHORISED, _SERVER_ERROR = 401, 500


class Access(Protocol):
    """The tokens of one connection."""

    def token(self) -> str:
        """One that should be good now.

        Raises:
            TransientError, AuthenticationError: It had to be renewed, and could not be.
        """
        ...

    def renew(self) -> None:
        """Get another one, because the provider refused the last.

        Raises:
            TransientError, AuthenticationError: It could not be.
        """
        ...


class TooLarge(PermanentError):  # noqa: N818 - what it is
    """The answer is longer than we want to read."""


class Provider:
    """A connection kept open for the `with` block.

    Args:
        name: As in `connections.provider`; the key of the breaker too.
        base_url: No token goes anywhere else.
        access: Tokens.
        headers: Sent with every request.
        limited: Whether an answer says that we asked too often.
        patience: Longest wait, in seconds, that is sat out here; for a longer one RateLimited is raised.
    """

    def __init__(
        self,
        name: str,
        base_url: str,
        access: Access,
        *,
        headers: Mapping[str, str] | None = None,
        limited: Callable[[Answer], bool] = too_many,
        patience: float = 10.0,
    ) -> None:
        self.name = name
        self._access, self._limited, self._patience = access, limited, patience
        self._base = httpx.URL(base_url)
        self._http = http_client(
            base_url=base_url,
            timeout=httpx.Timeout(_READ_SECONDS, connect=_CONNECT_SECONDS),
            headers=dict(headers or {}),
            follow_redirects=True,  # httpx takes the token off where one leads to another origin
            max_redirects=3,
        )

    def __enter__(self) -> Self:
        return self

    def __exit__(
        self, kind: type[BaseException] | None, error: BaseException | None, trace: TracebackType | None
    ) -> None:
        self._http.close()

    def ask(
        self,
        method: str,
        target: str,
        *,
        also: Container[int] = (),
        limit: int = _LONGEST_PAGE,
        **options: Any,  # noqa: ANN401 - httpx's own: params, json, headers
    ) -> Answer:
        """The answer to a request.

        Args:
            method: Of HTTP.
            target: A path, or a whole URL that the provider gave.
            also: Statuses beyond 2xx that the caller understands.
            limit: Longest answer that is read, in bytes.
            **options: As `httpx.Client.request`.

        Raises:
            TransientError, RateLimited, PermanentError, TooLarge, AuthenticationError: See the head of this file.
        """
        self._require_home(target)
        answer = self._patiently(method, target, limit, options)
        if answer.status == _UNAUTHORISED:
            self._access.renew()
            answer = self._patiently(method, target, limit, options)
        if answer.status in also or httpx.codes.is_success(answer.status):
            return answer
        raise self._refusal(answer)

    def _require_home(self, target: str) -> None:
        try:
            url = self._base.join(target)
        except httpx.InvalidURL as error:
            raise PermanentError(f"{self.name} sent us to what is no URL: {error}") from None
        if (url.scheme, url.host, url.port) != (self._base.scheme, self._base.host, self._base.port):
            raise PermanentError(f"{self.name} sent us to {url.host}; no token goes anywhere but to {self._base.host}")

    def _patiently(self, method: str, target: str, limit: int, options: dict[str, Any]) -> Answer:
        for _ in range(_WAITS):
            answer = self._send(method, target, limit, options)
            if not self._limited(answer):
                return answer
            pause = pause_of(answer.headers)
            if pause is not None and pause > self._patience:
                break
            sleep(min(_DEFAULT_WAIT if pause is None else pause, self._patience))
        raise RateLimited(self._said(answer), retry_after=pause)

    def _send(self, method: str, target: str, limit: int, options: dict[str, Any]) -> Answer:
        headers = {**options.get("headers", {}), "Authorization": f"Bearer {self._access.token()}"}
        request = self._http.build_request(method, target, **{**options, "headers": headers})
        with breaker(f"sync:{self.name}"):
            try:
                answer = self._received(request, limit)
            except httpx.RequestError as error:
                raise TransientError(
                    f"{self.name} at {self._base} cannot be reached ({type(error).__name__}: {error})"
                ) from error
            if answer.status >= _SERVER_ERROR:
                raise TransientError(self._said(answer), retry_after=pause_of(answer.headers))
        return answer

    def _received(self, request: httpx.Request, limit: int) -> Answer:
        response = self._http.send(request, stream=True)
        try:
            body = bytearray()
            for part in response.iter_bytes():
                body += part
                if len(body) > limit:
                    raise TooLarge(f"{self.name} at {_shown(response.url)} answered more than {limit} bytes")
            return Answer(_shown(response.url), response.status_code, response.headers, bytes(body))
        finally:
            response.close()

    def _refusal(self, answer: Answer) -> PermanentError | AuthenticationError:
        if answer.status == _UNAUTHORISED:
            return AuthenticationError(f"{self._said(answer)}; the user must connect {self.name} again")
        return PermanentError(self._said(answer))

    def _said(self, answer: Answer) -> str:
        text = " ".join(answer.body[: 4 * _SHOWN].decode("utf-8", "replace").split())
        return f"{self.name} at {answer.url} answered {answer.status}: {text[:_SHOWN]}"


def _shown(url: httpx.URL) -> str:
    """Without its query, in which there may be a token."""
    return str(url.copy_with(query=None, userinfo=b""))
