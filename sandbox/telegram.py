"""A stand-in for Telegram's Bot API: `sendMessage`, with the errors that the real one has.

    POST /bot<token>/sendMessage   {"chat_id", "text", ...}
    POST /bot<token>/getMe
    GET  /_sandbox/messages        what was sent, oldest first, at most 1,000

The chat 403 has blocked the bot, and the chat 404 is not there; any other takes what comes. Faults as in every
stand-in: {"status": 429, "retry_after": 3}.

`python -m sandbox.telegram --port 8081 --token 123456789:sandbox` serves until it is interrupted; in tests
`with TelegramStandIn() as telegram:` does.
"""

from __future__ import annotations

import re
import sys
from collections import deque
from itertools import count
from typing import TYPE_CHECKING, Any

from sandbox.alert_receiver import options, until_stopped
from sandbox.stand_in import ApiError, StandIn, parse_object

if TYPE_CHECKING:
    from collections.abc import Sequence

    from sandbox.faults import Fault

TOKEN = "123456789:sandbox"  # noqa: S105 - of a bot that is none
LONGEST_TEXT = 4096
_KEPT = 1000
_PATH = re.compile(r"/bot(?P<token>[^/]*)/(?P<method>\w+)")
_DESCRIPTIONS = {429: "Too Many Requests", 500: "Internal Server Error", 502: "Bad Gateway"}


class TelegramStandIn(StandIn):
    """The Bot API as far as messages go.

    Args:
        port: 0 takes any free one.
        token: The only bot's.
        host: Address to listen on.
    """

    def __init__(self, port: int = 0, *, token: str = TOKEN, host: str = "127.0.0.1") -> None:
        super().__init__(port, host=host)
        self.token = token
        self.messages: deque[dict[str, Any]] = deque(maxlen=_KEPT)
        self._numbers = count(1)

    def answer(self, method: str, path: str, body: bytes, fault: Fault) -> object:  # noqa: ARG002 - StandIn's signature
        """See the head of this file."""
        found = _PATH.fullmatch(path)
        if found is None:
            raise ApiError(404, "Not Found")
        if found["token"] != self.token:
            raise ApiError(401, "Unauthorized")
        match found["method"]:
            case "getMe":
                return {"ok": True, "result": {"id": 123456789, "is_bot": True, "username": "sandbox_bot"}}
            case "sendMessage":
                return {"ok": True, "result": self._send(parse_object(body))}
        raise ApiError(404, "Not Found: method not found")

    def control(self, method: str, path: str, body: bytes) -> object:
        """What was sent, besides what every stand-in has."""
        if (method, path) == ("GET", "/_sandbox/messages"):
            return list(self.messages)
        return super().control(method, path, body)

    def complaint(self, error: ApiError, fault: Fault) -> object:
        """Telegram's form of an error."""
        text = _DESCRIPTIONS.get(error.status, str(error)) if fault.status else str(error)
        told: dict[str, Any] = {"ok": False, "error_code": error.status, "description": text}
        if fault.retry_after:
            told["description"] = f"{text}: retry after {fault.retry_after}"
            told["parameters"] = {"retry_after": fault.retry_after}
        return told

    def _send(self, asked: dict[str, Any]) -> dict[str, Any]:
        chat, text = str(asked.get("chat_id", "")), asked.get("text")
        if not chat:
            raise ApiError(400, "Bad Request: chat_id is empty")
        if chat == "403":
            raise ApiError(403, "Forbidden: bot was blocked by the user")
        if chat == "404":
            raise ApiError(400, "Bad Request: chat not found")
        if not isinstance(text, str) or not text.strip():
            raise ApiError(400, "Bad Request: message text is empty")
        if len(text.encode("utf-16-le")) > 2 * LONGEST_TEXT:
            raise ApiError(400, "Bad Request: message is too long")
        message = {"message_id": next(self._numbers), "chat": {"id": asked["chat_id"]}, "text": text}
        self.messages.append(message)
        return message


def main(arguments: Sequence[str] | None = None) -> int:
    """Serve until SIGTERM."""
    parser = options("Take a bot's messages as Telegram does.", 8081)
    parser.add_argument("--token", default=TOKEN, help=f"the bot's token ({TOKEN})")
    given = parser.parse_args(arguments)
    stopping = until_stopped()
    with TelegramStandIn(given.port, token=given.token, host=given.host) as stand_in:
        sys.stdout.write(f"{stand_in.url} is the Bot API for tgram://{given.token}/1\n")
        sys.stdout.flush()
        stopping.wait()
    return 0


if __name__ == "__main__":
    sys.exit(main())
