"""Whatever else Apprise can do: Slack, Discord, ntfy, Matrix, SMS and a hundred more.

Apprise says whether it went and logs why not; so any failure may pass, and the job's retries decide how long to try.
"""

from __future__ import annotations

import logging
from typing import TYPE_CHECKING

from callboard.errors import PermanentError, TransientError
from callboard.notifications import render
from observability.redaction import redact_text

if TYPE_CHECKING:
    from callboard.channel_urls import Channel
    from callboard.notifications.notice import Notice

_LONGEST_TEXT, _LONGEST_ERROR = 20_000, 500


def send(channel: Channel, notice: Notice) -> None:
    """Hand one message to Apprise.

    Raises:
        TransientError: It did not go.
        PermanentError: Apprise is not installed, or knows no such URL.
    """
    try:
        import apprise  # noqa: PLC0415 - an extra, and 1 s of imports
    except ImportError:
        raise PermanentError("Apprise is not installed: pip install 'callboard[channels]'.") from None
    service = apprise.Apprise()
    if not service.add(channel.url):
        raise PermanentError(f"channel {channel.name!r}: Apprise knows no such URL; its documentation lists them.")
    with apprise.LogCapture(level=logging.WARNING, fmt="%(message)s") as said:  # type: ignore[no-untyped-call]  # it bears no annotations
        title, text = render.subject(notice), render.short(notice, _LONGEST_TEXT)
        went = service.notify(body=text, title=title, body_format=apprise.NotifyFormat.TEXT)
        why = " ".join(redact_text(said.getvalue().replace(channel.url, "")).split())
    if not went:
        raise TransientError(f"channel {channel.name!r} did not take it: {why}"[:_LONGEST_ERROR])
