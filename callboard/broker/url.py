"""Where the broker is."""

from __future__ import annotations

from typing import TYPE_CHECKING

from callboard.embedded import read_endpoints

if TYPE_CHECKING:
    from callboard.settings import Settings


def broker_url(settings: Settings) -> str:
    """The URL of the broker: the one that is set, or that of the embedded server that is running.

    Raises:
        LookupError: Neither is there; the message says what to do.
    """
    if settings.broker_url is not None:
        return settings.broker_url
    endpoints = read_endpoints(settings.home)
    if endpoints is None:
        raise LookupError(
            f"No broker: CALLBOARD_BROKER_URL is not set and no embedded server runs under {settings.home}. "
            "Set it, or start one with `callboard up`."
        )
    return endpoints.broker_url
