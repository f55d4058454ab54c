"""From JSON to the columns of a message: decoding, ids, time stamps, and the marks of `content_full`."""

from __future__ import annotations

import hashlib
import json
import re
from datetime import UTC, datetime
from typing import Any
from uuid import UUID

import orjson

_NAMESPACE = UUID("6f0b7d1c-52a4-5b39-9d0e-6d1f3a1c9e57")
_UUID = re.compile(r"[0-9a-f]{8}-[0-9a-f]{4}-[0-9a-f]{4}-[0-9a-f]{4}-[0-9a-f]{12}")
_CONTINUES = re.compile(r"\[continuation_from:\s*([0-9A-Za-z_-]{8,64})\]")
_MILLIS_FROM = 1e11  # as seconds this is the year 5138: a larger number counts milliseconds


def decode(line: bytes) -> dict[str, Any]:
    """The JSON object in a line.

    Raises:
        ValueError: It is no JSON, no UTF-8, or nested beyond reason.
        TypeError: It is JSON, but no object.
    """
    try:
        value = orjson.loads(line)
    except orjson.JSONDecodeError:
        value = _decode_halves(line)
    if not isinstance(value, dict):
        raise TypeError(f"a JSON object was expected, found {type(value).__name__}")
    return value


def _decode_halves(line: bytes) -> Any:  # noqa: ANN401 - any JSON value
    """Decode a line with half a surrogate pair, as tools leave that cut strings by UTF-16 units; orjson refuses it."""
    if b"\\u" not in line:
        raise ValueError("not JSON in UTF-8")
    try:
        text = json.dumps(json.loads(line.decode("utf-8")), ensure_ascii=False)
    except RecursionError as error:
        raise ValueError("nested too deeply") from error
    return orjson.loads(text.encode("utf-8", "replace"))


def encode(value: Any) -> bytes:  # noqa: ANN401 - any JSON value
    """`value` as compact JSON."""
    return orjson.dumps(value)


def show(value: Any) -> str:  # noqa: ANN401 - any JSON value
    """`value` as text for people: strings as they are, the rest as JSON, nothing for null."""
    if isinstance(value, str):
        return value
    return "" if value is None else orjson.dumps(value).decode()


def name(value: object) -> str | None:
    """`value` if it is a text that says something, else None."""
    return value if isinstance(value, str) and value else None


def message_uuid(given: object, session: str, *parts: object) -> str:
    """The canonical uuid of a message.

    A UUID is taken as it is. Another id is only trusted within its session, and hashed with it (UUIDv5). Without an id
    the `parts` are hashed, which must then hold all that tells the message from others of the session.
    """
    if isinstance(given, str) and given:
        lower = given.lower()
        return lower if _UUID.fullmatch(lower) else _hashed(session.encode(), given.encode())
    return _hashed(session.encode(), *(part if isinstance(part, bytes) else str(part).encode() for part in parts))


def _hashed(*parts: bytes) -> str:
    """A version 5 UUID (RFC 9562, section 5.5) of the parts with colons between them."""
    digest = hashlib.sha1(_NAMESPACE.bytes + b":".join(parts), usedforsecurity=False).digest()
    return str(UUID(bytes=digest[:16], version=5))


def iso(value: object) -> str | None:
    """A time stamp (ISO 8601, or a number of seconds or milliseconds since 1970) as ISO 8601 with an offset."""
    try:
        if isinstance(value, str):
            moment = datetime.fromisoformat(value)
            return moment.isoformat() if moment.tzinfo else moment.isoformat() + "+00:00"
        if isinstance(value, int | float):
            seconds = value / 1000 if value > _MILLIS_FROM else value
            return datetime.fromtimestamp(seconds, UTC).isoformat()
    except (ValueError, OverflowError, OSError):
        return None
    return None


def continues(text: str) -> list[str]:
    """The ids in the text's `[continuation_from: <id>]` marks."""
    return _CONTINUES.findall(text) if "[continuation_from:" in text else []


def join(blocks: list[str]) -> str:
    """Blocks of text, a blank line between them."""
    return "\n\n".join(block for block in blocks if block)


def tool_call(name: str, arguments: object) -> str:
    """A tool call as it stands in `content_full`."""
    return f"[Tool: {name}]\n{show(arguments)}"


def tool_result(text: str, *, failed: bool) -> str:
    """A tool's answer as it stands in `content_full`."""
    return f"[Result Error]\n{text}" if failed else f"[Result]\n{text}"


def thinking(text: str) -> str:
    """Thoughts as they stand in `content_full`; nothing if there are none."""
    return f"[Thinking]\n{text}" if text else ""


def summary(text: str) -> str:
    """A summary as it stands in `content_full`."""
    return f"[Summary]\n{text}"
