"""Where the broker is."""

from __future__ import annotations

from typing import TYPE_CHECKING

from callboard.embedded import broker_of

if TYPE_CHECKING:
    from callboard.settings import Settings


def broker_url(settings: Settings) -> str:
    """The URL of the broker: the one that is set, or that of the embedded server that is running.

    Raises:
        LookupError: Neither is there, or the embedded one does not answer; the message says what to do.
    """
    if settings.broker_url is not None:
        return settings.broker_url
    url = broker_of(settings.home)
    if url is None:
        raise LookupError(
            f"No broker: CALLBOARD_BROKER_URL is not set and no embedded server runs under {settings.home}. "
            "Set it, or start one with `callboard up`."
        )
    return url
