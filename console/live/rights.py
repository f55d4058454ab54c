"""What each listener may hear, as of now: by their sign-in or key, asked again while they listen."""

from __future__ import annotations

import asyncio
from dataclasses import dataclass, field
from typing import TYPE_CHECKING, Final, Literal

import structlog

from callboard.accounts import keys, permissions, sign_in
from callboard.errors import Forbidden
from callboard.ledger.database import AWAY, transaction

if TYPE_CHECKING:
    from collections.abc import Callable, Collection
    from uuid import UUID

    from callboard.accounts import Principal

_log = structlog.get_logger(__name__)

#: A sign-in that has ended, or a role that was taken away, is noticed within this and the time of one round.
REVIEW_SECONDS: Final = 20.0


@dataclass(frozen=True, slots=True)
class Credential:
    """By what somebody listens: the token of their session, or a key."""

    kind: Literal["session", "key"]
    secret: str = field(repr=False)


@dataclass(frozen=True, slots=True)
class Hearing:
    """Who listens, and the projects that they may hear of; None: of everything."""

    credential: Credential
    user_id: UUID
    reach: frozenset[str] | None


def hearing_of(credential: Credential, principal: Principal) -> Hearing:
    """What somebody may hear.

    Raises:
        Forbidden: A key that may not read.
    """
    if principal.scopes is not None and "jobs:read" not in principal.scopes:
        raise Forbidden("this key lacks the scope jobs:read.")
    with transaction() as connection:
        reach = permissions.reach(connection, principal)
    return Hearing(credential, principal.user_id, None if reach is None else frozenset(reach))


def look(credential: Credential) -> Hearing | None:
    """The same for somebody who listens already; None: they may no longer. It does not count as use of a session."""
    is_key = credential.kind == "key"
    principal = keys.find(credential.secret) if is_key else sign_in.find(credential.secret, used=False)
    try:
        return None if principal is None else hearing_of(credential, principal)
    except Forbidden:
        return None


class Rights:
    """Asks again, every 20 s.

    Args:
        asked: Whose rights matter now.
        answer: What became of them; None is a sign-in that has ended.
    """

    def __init__(
        self,
        asked: Callable[[], Collection[Credential]],
        answer: Callable[[dict[Credential, Hearing | None]], None],
        *,
        seconds: float = REVIEW_SECONDS,
    ) -> None:
        self._asked = asked
        self._answer = answer
        self._seconds = seconds

    async def run(self) -> None:
        """Ask until cancelled."""
        while True:
            await asyncio.sleep(self._seconds)
            credentials = list(self._asked())
            try:
                self._answer(await asyncio.to_thread(lambda wanted: {one: look(one) for one in wanted}, credentials))
            except AWAY as error:  # then nothing is told either
                _log.warning("live.rights_unknown", error=str(error).partition("\n")[0])
            except Exception:  # noqa: BLE001 - it outlives whatever one round raises
                _log.exception("live.rights_failed")
