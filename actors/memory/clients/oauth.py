"""Renewing OAuth tokens (RFC 6749, section 6)."""

from __future__ import annotations

from dataclasses import dataclass
from datetime import UTC, datetime, timedelta
from typing import TYPE_CHECKING, Any

import httpx

from callboard import AuthenticationError, PermanentError, TransientError, breaker, http_client

if TYPE_CHECKING:
    from pydantic import SecretStr

_DEFAULT_SECONDS = 3600
_SERVER_ERROR, _TOO_MANY = 500, 429
#: Errors that only the user can mend.
_OVER = ("invalid_grant", "interaction_required", "consent_required", "login_required")


@dataclass(frozen=True, slots=True)
class Client:
    """Who we are at a provider; `name` is for messages."""

    name: str
    token_url: str
    client_id: str
    client_secret: SecretStr | None


@dataclass(frozen=True, slots=True)
class Tokens:
    """What a provider gave; `refresh` is None where the old one stays good."""

    access: str
    refresh: str | None
    expires_at: datetime


def renew(client: Client, refresh_token: str, *, now: datetime) -> Tokens:
    """A new access token; where the provider rotates refresh tokens, the old one is void from here on.

    Raises:
        AuthenticationError: The user took the permission back, or it is over: they must connect again.
        PermanentError: The provider does not know this installation.
        TransientError, BreakerOpen: It cannot be reached, or does not answer well.
    """
    form = {"grant_type": "refresh_token", "client_id": client.client_id, "refresh_token": refresh_token}
    if client.client_secret is not None:
        form["client_secret"] = client.client_secret.get_secret_value()
    with breaker(f"oauth:{client.name}"):
        try:
            with http_client() as http:
                response = http.post(client.token_url, data=form)
        except httpx.RequestError as error:
            raise TransientError(f"{client.token_url} cannot be reached ({type(error).__name__}: {error})") from error
        document = _document(response)
        if not response.is_success:
            raise _refusal(client, response, str(document.get("error", "")))
        return _tokens(client, document, now)


def _tokens(client: Client, document: dict[str, Any], now: datetime) -> Tokens:
    access, seconds = document.get("access_token"), document.get("expires_in", _DEFAULT_SECONDS)
    if not isinstance(access, str) or not access or not str(seconds).isdecimal():
        raise TransientError(f"{client.token_url} answered without an access token")
    refresh = document.get("refresh_token")
    return Tokens(
        access, refresh if isinstance(refresh, str) and refresh else None, now + timedelta(seconds=int(seconds))
    )


def _refusal(client: Client, response: httpx.Response, code: str) -> Exception:
    said = f"{client.token_url} answered {response.status_code} {code}".rstrip()
    if response.status_code >= _SERVER_ERROR or response.status_code == _TOO_MANY:
        told = response.headers.get("retry-after", "")
        return TransientError(said, retry_after=float(told) if told.isdecimal() else None)
    if code in _OVER:
        return AuthenticationError(f"{said}; the user must connect {client.name} again")
    prefix = "CALLBOARD_MEMORY_" + client.name.removesuffix("_drive").upper()
    return PermanentError(f"{said}; mend {prefix}_CLIENT_ID and {prefix}_CLIENT_SECRET")


def _document(response: httpx.Response) -> dict[str, Any]:
    try:
        document = response.json()
    except ValueError:
        return {}
    return document if isinstance(document, dict) else {}


def expired(at: datetime | None, *, now: datetime, margin: float = 60.0) -> bool:
    """Whether a token that is good until `at` is better renewed; one without an end never is."""
    return at is not None and at.astimezone(UTC) <= now + timedelta(seconds=margin)
