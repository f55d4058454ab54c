"""A process that sends: `python -m tests.chaos.producer '[{"job": "work", "count": 100, "rate": 20}, ...]'`.

Every attempt to send is one line of `$CHAOS_SENT`: `seconds ok|refused job run error`. A send that raised may have
reached the broker or not; its run's id is known all the same.
"""

from __future__ import annotations

import json
import os
import sys
import time
from datetime import UTC, datetime
from decimal import Decimal
from itertools import count
from typing import TYPE_CHECKING, Any, TextIO
from uuid import UUID

from callboard import get_broker, get_settings
from callboard.broker.transport import Transport
from callboard.job import get_job
from callboard.ledger.database import dispose
from callboard.loading import load_actors

if TYPE_CHECKING:
    from collections.abc import Iterator

    from dramatiq import Message

_numbers = count(1)
_ODD: tuple[object, ...] = (
    datetime(2026, 1, 1, tzinfo=UTC),
    b"bytes",
    {1},
    Decimal("0.1"),
    UUID(int=1),
    object(),
    float("nan"),
    float("inf"),
    {1: "a key that is no text"},
    "\ud800",
    {"deep": [{"deeper": Decimal(1)}]},
    2**64,
)


def _messages(load: dict[str, Any]) -> Iterator[Message[Any]]:
    job = get_job(load["job"])
    began, rate = time.monotonic(), load.get("rate", 0)
    for sent in range(load["count"]):
        if rate:
            time.sleep(max(0.0, began + sent / rate - time.monotonic()))
        yield job.message(number=next(_numbers), **load.get("kwargs", {}))


def _send(message: Message[Any], load: dict[str, Any], sent: TextIO) -> None:
    for left in range(load.get("tries", 1), 0, -1):
        try:
            get_broker().enqueue(message, delay=load.get("delay"))
        except Exception as error:  # noqa: BLE001 - whatever a producer may meet is counted by its name
            _say(sent, f"refused {message.actor_name} {message.message_id} {type(error).__name__}")
            time.sleep(0.2 if left > 1 else 0)
        else:
            _say(sent, f"ok {message.actor_name} {message.message_id} -")
            return


def _say(sent: TextIO, words: str) -> None:
    sent.write(f"{time.monotonic():.6f} {words}\n")
    sent.flush()


def _send_odd(load: dict[str, Any], sent: TextIO) -> None:
    """Values that JSON cannot hold, or that come out of it as something else: each must be refused."""
    for value in _ODD:
        message = get_job(load["job"]).message(number=next(_numbers), milliseconds=value)
        _send(message, load, sent)


def _send_in_bulk(load: dict[str, Any], sent: TextIO) -> None:
    for batch in _slices(_messages(load), load["bulk"]):
        broker = get_broker()
        assert isinstance(broker, Transport)
        broker.enqueue_many(batch, delay=load.get("delay"))
        for message in batch:
            _say(sent, f"ok {message.actor_name} {message.message_id} -")


def _slices(messages: Iterator[Message[Any]], size: int) -> Iterator[list[Message[Any]]]:
    batch: list[Message[Any]] = []
    for message in messages:
        batch.append(message)
        if len(batch) == size:
            yield batch
            batch = []
    if batch:
        yield batch


def main() -> None:
    """Send each load in turn."""
    load_actors(get_settings())
    with open(os.environ["CHAOS_SENT"], "a", encoding="utf-8") as sent:  # noqa: PTH123 - a name is all there is
        for load in json.loads(sys.argv[1]):
            if load.get("odd"):
                _send_odd(load, sent)
            elif load.get("bulk"):
                _send_in_bulk(load, sent)
            else:
                for message in _messages(load):
                    _send(message, load, sent)
    get_broker().close()
    dispose()


if __name__ == "__main__":
    main()
