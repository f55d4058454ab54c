"""A webhook by the Standard Webhooks specification: signed, with an id that is the same at every attempt."""

from __future__ import annotations

from datetime import UTC, datetime
from typing import TYPE_CHECKING

import orjson

from callboard.errors import AuthenticationError, PermanentError, TransientError
from callboard.notifications import render
from callboard.outside import NotPublic, post_pinned

if TYPE_CHECKING:
    from callboard.channel_urls import Channel
    from callboard.notifications.notice import Notice
    from callboard.outside import HttpAnswer
    from callboard.settings import Settings

_GONE = 410
_PASSING = frozenset({408, 409, 425, 429, *range(500, 600)})
_REFUSED = (401, 403)


class ChannelGone(PermanentError):  # noqa: N818 - what the answer is called
    """The receiver said that it wants nothing any more; the channel is to be disabled."""


def send(settings: Settings, channel: Channel, notice: Notice) -> None:
    """Call the channel's endpoint.

    Raises:
        TransientError: It may take it later; with the time it asked for.
        ChannelGone: It answered 410.
        PermanentError: It will not take it: another answer, a redirect, or an address that is not public.
        AuthenticationError: It answered 401 or 403.
    """
    from standardwebhooks import Webhook  # noqa: PLC0415 - an extra, and only for who has a webhook

    url, secret = channel.endpoint
    if url.startswith("http://") and not settings.notify_allow_private:
        raise PermanentError(f"channel {channel.name!r} is plain HTTP; write https://, or allow private ones.")
    at, name = datetime.now(UTC), f"msg_{notice.id}"
    body = orjson.dumps(render.document(notice))
    headers = {
        "Content-Type": "application/json",
        "User-Agent": "Callboard",
        "webhook-id": name,
        "webhook-timestamp": str(int(at.timestamp())),
        "webhook-signature": Webhook(secret).sign(name, at, body.decode()),
    }
    try:
        answer = post_pinned(url, body, headers, allow_private=settings.notify_allow_private)
    except NotPublic as error:
        raise PermanentError(f"{error} CALLBOARD_NOTIFY_ALLOW_PRIVATE=true lets webhooks call such ones.") from None
    _judge(channel.name, answer)


def _judge(name: str, answer: HttpAnswer) -> None:
    status = answer.status
    if 200 <= status < 300:  # noqa: PLR2004 - success, by HTTP
        return
    told = f"channel {name!r} answered {status}"
    if status in _PASSING:
        raise TransientError(told, retry_after=answer.retry_after)
    if status == _GONE:
        raise ChannelGone(f"{told} Gone: it is disabled")
    if status in _REFUSED:
        raise AuthenticationError(told)
    if 300 <= status < 400:  # noqa: PLR2004 - redirects, by HTTP
        raise PermanentError(f"{told}, a redirect, which is not followed: set its URL to where that leads.")
    raise PermanentError(told)
