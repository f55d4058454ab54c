"""A bot's message on Telegram.

Not by Apprise, which keeps to itself what the Bot API answers: that is what says whether and when to try again.
"""

from __future__ import annotations

from typing import TYPE_CHECKING, Any

import orjson

from callboard.errors import AuthenticationError, PermanentError, TransientError
from callboard.notifications import render
from callboard.outside import post_pinned

if TYPE_CHECKING:
    from callboard.channel_urls import Channel
    from callboard.notifications.notice import Notice
    from callboard.outside import HttpAnswer
    from callboard.settings import Settings

LONGEST_TEXT = 4096
_TOO_MANY, _SERVER_ERROR = 429, 500
_BAD_TOKEN = (401, 404)
_LONGEST_ANSWER = 300


def send(settings: Settings, channel: Channel, notice: Notice) -> None:
    """Send one message to the channel's chat.

    Raises:
        TransientError: Telegram is away or wants fewer messages; with the time it asked for.
        PermanentError: The chat takes none: it is not there, or the bot was blocked.
        AuthenticationError: The bot's token is none.
    """
    token, chat = channel.chat
    document = {
        "chat_id": int(chat) if chat.lstrip("-").isdigit() else chat,
        "text": render.short(notice, LONGEST_TEXT),
        "link_preview_options": {"is_disabled": True},
    }
    url = f"{settings.notify_telegram_url.rstrip('/')}/bot{token}/sendMessage"
    headers = {"Content-Type": "application/json", "User-Agent": "Callboard"}
    # The address is the operator's own word, so that it may be a server of theirs.
    _judge(channel.name, post_pinned(url, orjson.dumps(document), headers, allow_private=True))


def _judge(name: str, answer: HttpAnswer) -> None:
    told = _document(answer.body)
    if answer.status == 200 and told.get("ok") is True:  # noqa: PLR2004 - OK, by HTTP
        return
    text = f"channel {name!r}: Telegram answered {answer.status} {told.get('description', '')}"[
        :_LONGEST_ANSWER
    ].strip()
    if answer.status == _TOO_MANY:
        parameters = told.get("parameters")
        asked = parameters.get("retry_after") if isinstance(parameters, dict) else None
        raise TransientError(text, retry_after=answer.retry_after if asked is None else asked)
    if answer.status >= _SERVER_ERROR or answer.status == 200:  # noqa: PLR2004 - an answer that is none
        raise TransientError(text)
    if answer.status in _BAD_TOKEN:
        raise AuthenticationError(f"{text}: its token is none")
    raise PermanentError(text)


def _document(body: bytes) -> dict[str, Any]:
    try:
        found = orjson.loads(body)
    except ValueError:
        return {}
    return found if isinstance(found, dict) else {}
