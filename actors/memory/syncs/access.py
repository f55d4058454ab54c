"""The tokens of one connection: opened when they are needed, renewed in time, kept sealed."""

from __future__ import annotations

from datetime import UTC, datetime
from typing import TYPE_CHECKING

from sqlalchemy import text

from actors.memory.clients import oauth
from callboard import AuthenticationError, seal, transaction, unseal

if TYPE_CHECKING:
    from collections.abc import Callable
    from uuid import UUID

_READ = text("select access_token, refresh_token, token_expires_at from memory.connections where id = :id")
_KEEP = text("""
update memory.connections set access_token = :access, token_expires_at = :expires_at,
    refresh_token = coalesce(:refresh, refresh_token)
where id = :id
""")


class ConnectionAccess:
    """See `Access` of clients/provider.py.

    Args:
        connection_id: Whose tokens.
        client: Who we are at the provider; None where its tokens cannot be renewed.
        clock: Tells the present.
    """

    def __init__(
        self,
        connection_id: UUID,
        client: oauth.Client | None,
        clock: Callable[[], datetime] = lambda: datetime.now(UTC),
    ) -> None:
        self._id, self._client, self._clock = connection_id, client, clock
        with transaction() as connection:
            row = connection.execute(_READ, {"id": connection_id}).one()
        self._access, self._refresh = row.access_token, row.refresh_token
        self._expires_at: datetime | None = row.token_expires_at

    def token(self) -> str:
        """See `Access.token`."""
        if self._access is None or (self._renewable and oauth.expired(self._expires_at, now=self._clock())):
            self.renew()
        return unseal(bytes(self._access)).decode()

    def renew(self) -> None:
        """See `Access.renew`; what came is kept before it is used, for a refresh token may be good only once."""
        if self._client is None or self._refresh is None:
            raise AuthenticationError("the access token is missing, expired or revoked; the user must connect again")
        renewed = oauth.renew(self._client, unseal(bytes(self._refresh)).decode(), now=self._clock())
        self._access, self._expires_at = seal(renewed.access.encode()), renewed.expires_at
        fresh = None if renewed.refresh is None else seal(renewed.refresh.encode())
        self._refresh = fresh or self._refresh
        with transaction() as connection:
            given = {"id": self._id, "access": self._access, "refresh": fresh, "expires_at": self._expires_at}
            connection.execute(_KEEP, given)

    @property
    def _renewable(self) -> bool:
        return self._client is not None and self._refresh is not None
