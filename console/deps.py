"""What routes ask for: who is there, on whose behalf, and a connection to the ledger."""

from __future__ import annotations

from typing import TYPE_CHECKING, Annotated, Final
from uuid import UUID  # noqa: TC003 - FastAPI reads annotations at run time

from fastapi import Depends, Request
from sqlalchemy import Connection

from callboard.accounts import Principal, keys, sign_in
from callboard.ledger.database import transaction
from console.security import Policy, bearer, csrf_token

if TYPE_CHECKING:
    from collections.abc import Iterator

    from callboard.operations import Who

# A request may hold one of these and wait for a thread, while its act needs a second one: so few, that the pool and
# the threads always have more.
_MOST_CONNECTIONS: Final = 6
_LONGEST_AGENT: Final = 200


class NotSignedIn(Exception):  # noqa: N818 - the outcome
    """Nobody is signed in, or the key does not hold; answered with a sign-in page or 401."""


def current(request: Request) -> Principal | None:
    """Who asks: by a key if one was sent, else by the session of the cookie; None for nobody. Looked up once."""
    if not hasattr(request.state, "principal"):
        request.state.principal = _find(request)
    found: Principal | None = request.state.principal
    return found


def _find(request: Request) -> Principal | None:
    key = bearer(request)
    if key is not None:
        return keys.find(key)
    session = session_token(request)
    return None if session is None else sign_in.find(session)


def require_signed_in(request: Request) -> Principal:
    """Who asks.

    Raises:
        NotSignedIn: Nobody.
    """
    found = current(request)
    if found is None:
        raise NotSignedIn
    return found


def who(request: Request, team_id: UUID | None = None) -> Who:
    """As what an act is asked for: who, from where, with what, and for which team.

    Raises:
        NotSignedIn: Nobody asks.
    """
    return require_signed_in(request).who(address(request), agent(request), team_id)


def address(request: Request) -> str | None:
    """Where a request came from."""
    return None if request.client is None else request.client.host


def agent(request: Request) -> str | None:
    """The program that sent it."""
    named = request.headers.get("user-agent")
    return None if named is None else named[:_LONGEST_AGENT]


def policy(request: Request) -> Policy:
    """What the settings say of the outside."""
    found: Policy = request.app.state.policy
    return found


def session_token(request: Request) -> str | None:
    """What the session's cookie holds."""
    return request.cookies.get(policy(request).cookie)


def csrf(request: Request) -> str:
    """The token that this session's forms carry in `csrf_token`, and scripts in `X-CSRF-Token`; empty for nobody."""
    session = session_token(request)
    return "" if session is None else csrf_token(session)


def connection() -> Iterator[Connection]:
    """A transaction of the ledger for one request, over before the answer is sent."""
    with transaction() as opened:
        yield opened


#: The same, as routes ask for it.
Ledger = Annotated[Connection, Depends(connection, scope="function", max_concurrency=_MOST_CONNECTIONS)]
SignedIn = Annotated[Principal, Depends(require_signed_in)]
