"""Messages as bytes: strict JSON out, and nothing in that could hurt a worker.

The format is the one of Dramatiq's default encoder, so both kinds of workers and producers understand each other. An
encoder set by `dramatiq.set_encoder` is used as it is, except pickle's: whoever can write to the broker could run code.
"""

from __future__ import annotations

import math
import re
from typing import TYPE_CHECKING, Any

import orjson
from dramatiq import JSONEncoder, Message, PickleEncoder, get_encoder
from dramatiq.errors import DecodeError

from callboard.errors import ArgumentsError, DeclarationError

if TYPE_CHECKING:
    from collections.abc import Iterator

_STRICT = orjson.OPT_PASSTHROUGH_DATETIME | orjson.OPT_PASSTHROUGH_DATACLASS | orjson.OPT_PASSTHROUGH_SUBCLASS
_UUID = re.compile(r"[0-9a-fA-F]{8}-?(?:[0-9a-fA-F]{4}-?){3}[0-9a-fA-F]{12}")
_PLAIN = (str, int, bool, type(None))
_FIELDS: dict[str, type] = {
    "queue_name": str,
    "actor_name": str,
    "args": list,
    "kwargs": dict,
    "options": dict,
    "message_id": str,
    "message_timestamp": int,
}
# Year 1 to 9999 in milliseconds, what a Postgres timestamp and a Python datetime can both hold.
_LAST_TIMESTAMP = 253_402_300_799_000


def encode(message: Message[Any], *, limit: int) -> bytes:
    """The message as JSON of at most `limit` bytes.

    Raises:
        ArgumentsError: An argument is not JSON, or the whole is too large; names the place and the mend.
        DeclarationError: Somebody set the pickle encoder.
    """
    body = _encoded(message)
    if len(body) > limit:
        raise ArgumentsError(
            f"the message for {message.actor_name!r} has {len(body):,} bytes, more than the {limit:,} of "
            "CALLBOARD_MESSAGE_MAX_BYTES: store the data and send a reference to it."
        )
    return body


def _encoded(message: Message[Any]) -> bytes:
    encoder = get_encoder()
    if type(encoder) is not JSONEncoder:
        _refuse_pickle(encoder)
        return message.encode()
    if message.args or message.kwargs:
        _check(message)
    fields = {name: getattr(message, name) for name in _FIELDS}
    try:
        return orjson.dumps(fields, option=_STRICT)
    except TypeError as error:
        raise ArgumentsError(f"the message for {message.actor_name!r} is not JSON: {error}") from None


def _refuse_pickle(encoder: object) -> None:
    if isinstance(encoder, PickleEncoder):
        raise DeclarationError(
            "dramatiq.set_encoder(PickleEncoder()) lets whoever writes to the broker run code here; use JSONEncoder()."
        )


def _check(message: Message[Any]) -> None:
    for place, value in _leaves("args", message.args):
        _refuse(message, place, value)
    for place, value in _leaves("kwargs", message.kwargs):
        _refuse(message, place, value)


def _leaves(place: str, value: object) -> Iterator[tuple[str, object]]:
    """Everything in `value` that is not plainly JSON, with the way to it."""
    if type(value) in _PLAIN or (type(value) is float and math.isfinite(value)):
        return
    if isinstance(value, list | tuple):
        for index, item in enumerate(value):
            yield from _leaves(f"{place}[{index}]", item)
    elif isinstance(value, dict):
        for name, item in value.items():
            if not isinstance(name, str):
                yield f"{place} key", name
            yield from _leaves(f"{place}[{name!r}]", item)
    elif not isinstance(value, str | int):
        yield place, value


def _refuse(message: Message[Any], place: str, value: object) -> None:
    raise ArgumentsError(
        f"{place} of the message for {message.actor_name!r} is {value!r:.80}, a {type(value).__name__}, which JSON "
        "cannot hold: send text, numbers, lists and dicts with text keys (a time as isoformat())."
    )


def decode(body: bytes, queue: str) -> tuple[Message[Any] | None, str]:
    """What the bytes say, and an empty text; or None and what is wrong with them.

    A message is right if every field is there and of its type, the id is a UUID, and it lies in the queue it names.
    """
    encoder = get_encoder()
    try:
        if type(encoder) is not JSONEncoder:
            _refuse_pickle(encoder)
            message: Message[Any] = Message.decode(body)
            fields = vars(message)
        else:
            fields = orjson.loads(body)
            message = _message(fields)
        defect = _defect(fields, queue)
    except (ValueError, TypeError, KeyError, AttributeError, DecodeError, DeclarationError, RecursionError) as error:
        return None, f"the body is no message: {type(error).__name__}: {error}"[:300]
    return (None, defect) if defect else (message, "")


def _message(fields: Any) -> Message[Any]:  # noqa: ANN401 - whatever JSON holds
    for name, kind in _FIELDS.items():
        if type(fields[name]) is not kind:
            raise TypeError(f"{name} is a {type(fields[name]).__name__}, not a {kind.__name__}")
    return Message(
        fields["queue_name"],
        fields["actor_name"],
        tuple(fields["args"]),
        fields["kwargs"],
        fields["options"],
        fields["message_id"],
        fields["message_timestamp"],
    )


def _defect(fields: dict[str, Any], queue: str) -> str:
    if fields["queue_name"] != queue:
        return f"its body names queue {fields['queue_name']!r:.80}, and it lay in {queue!r}"
    if not 0 <= fields["message_timestamp"] <= _LAST_TIMESTAMP:
        return f"message_timestamp {fields['message_timestamp']} is no time in milliseconds"
    if _UUID.fullmatch(fields["message_id"]) is None:
        return f"message_id {fields['message_id']!r:.80} is no UUID"
    return ""
