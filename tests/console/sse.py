"""A listener to the stream that a test reads at its own pace."""

from __future__ import annotations

import contextlib
import json
import socket
import threading
from dataclasses import dataclass, field
from queue import Empty, SimpleQueue
from typing import TYPE_CHECKING, Any, Self

import httpx

if TYPE_CHECKING:
    pass


@dataclass
class Event:
    """One event, or with an empty name what came without one: comments, `retry` and the first id."""

    name: str = ""
    id: str = ""
    data: dict[str, Any] = field(default_factory=dict)
    retry: str = ""
    comment: str = ""


class Ears:
    """Listens in a thread of its own, from the moment that the stream is open."""

    def __init__(self, base_url: str, path: str = "/v1/stream", **options: Any) -> None:  # noqa: ANN401 - httpx's
        self._client = httpx.Client(base_url=base_url, timeout=httpx.Timeout(10, read=30))
        self._request = self._client.build_request("GET", path, **options)
        self._events: SimpleQueue[Event] = SimpleQueue()
        self.ended = threading.Event()
        self._thread = threading.Thread(target=self._listen, daemon=True)

    def __enter__(self) -> Self:
        self.response = self._client.send(self._request, stream=True)
        if self.response.status_code != 200:
            self.response.read()
            return self
        self._thread.start()
        self.first = self.next()
        return self

    def __exit__(self, *_: object) -> None:
        self.leave()
        if self._thread.ident is not None:
            self._thread.join(5)
        self._client.close()

    def leave(self) -> None:
        """Go away, as a closed tab does: closing alone would wait for the thread that reads."""
        with contextlib.suppress(OSError):
            self.response.extensions["network_stream"].get_extra_info("socket").shutdown(socket.SHUT_RDWR)

    def _listen(self) -> None:
        event = Event()
        try:
            for line in self.response.iter_lines():
                if line:
                    _read(event, line)
                else:
                    self._events.put(event)
                    event = Event()
        except (httpx.HTTPError, httpx.StreamError, OSError):
            pass
        self.ended.set()

    def next(self, timeout: float = 10) -> Event:
        """The next event."""
        return self._events.get(timeout=timeout)

    def silent(self, seconds: float) -> bool:
        """Whether nothing comes for so long."""
        try:
            self._events.get(timeout=seconds)
        except Empty:
            return True
        return False


def _read(event: Event, line: str) -> None:
    name, _, value = line.partition(":")
    match name:
        case "":
            event.comment = value.strip()
        case "event":
            event.name = value.strip()
        case "id":
            event.id = value.strip()
        case "retry":
            event.retry = value.strip()
        case "data":
            event.data = json.loads(value)
