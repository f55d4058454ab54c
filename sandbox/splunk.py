"""A stand-in for Splunk's HTTP Event Collector: tokens, indexes and its reply codes.

    POST /services/collector/event, /services/collector   JSON events, one after the other
    GET  /services/collector/health                       {"text": "HEC is healthy", "code": 17}
    GET  /_sandbox/events                                 what was taken, oldest first, at most 10,000

Plant its troubles as faults: `{"status": 503}` is "server is busy" with code 9, `{"status": 500}` code 8, and
`{"status": 403}` a disabled token.

`python -m sandbox.splunk --port 8088 --token ...` serves until it is interrupted; in tests `with Splunk() as splunk:`.
"""

from __future__ import annotations

import json
import sys
import uuid
from collections import deque
from typing import TYPE_CHECKING, Any

from sandbox.alert_receiver import options, until_stopped
from sandbox.stand_in import ApiError, Reply, StandIn

if TYPE_CHECKING:
    from collections.abc import Collection, Sequence

    from sandbox.faults import Fault

_KEPT = 10_000
_PATHS = ("/services/collector", "/services/collector/event", "/services/collector/event/1.0")
#: Splunk's reply codes: status and text.
CODES = {
    0: (200, "Success"),
    1: (403, "Token disabled"),
    2: (401, "Token is required"),
    3: (401, "Invalid authorization"),
    4: (403, "Invalid token"),
    5: (400, "No data"),
    6: (400, "Invalid data format"),
    7: (400, "Incorrect index"),
    8: (500, "Internal server error"),
    9: (503, "Server is busy"),
    12: (400, "Event field is required"),
    13: (400, "Event field cannot be blank"),
    17: (200, "HEC is healthy"),
}
_OF_STATUS = {403: 1, 500: 8, 503: 9}


class Splunk(StandIn):
    """One collector with one token.

    Args:
        port: 0 takes any free one.
        token: A GUID; None makes one.
        indexes: Those that the token may write to.
        host: Address to listen on.
    """

    def __init__(
        self,
        port: int = 0,
        *,
        token: str | None = None,
        indexes: Collection[str] = ("main", "audit"),
        host: str = "127.0.0.1",
    ) -> None:
        super().__init__(port, host=host)
        self.token = token or str(uuid.uuid4())
        self.indexes = frozenset(indexes)
        self.events: deque[dict[str, Any]] = deque(maxlen=_KEPT)
        #: The channel of each request that was taken, which is the sender's batch id, and its events.
        self.batches: deque[tuple[str, int]] = deque(maxlen=_KEPT)

    def answer(self, method: str, path: str, body: bytes, fault: Fault) -> object:  # noqa: ARG002 - StandIn's signature
        """Take events, all of a request or none."""
        path = path.partition("?")[0]
        if (method, path) == ("GET", "/services/collector/health"):
            return _reply(17)
        if method != "POST" or path not in _PATHS:
            raise ApiError(404, f"no {method} {path}")
        code = self._authorised()
        if code is None:
            events, code = _events(body)
            code = code or next((found for found in map(self._wrong, events) if found), None)
        if code is not None:
            return _reply(code)
        self.events.extend(events)
        self.batches.append((self.headers.get("X-Splunk-Request-Channel", ""), len(events)))
        return _reply(0)

    def complaint(self, error: ApiError, fault: Fault) -> object:
        """Troubles have codes too."""
        code = _OF_STATUS.get(error.status) if fault.status else None
        return {"text": CODES[code][1], "code": code} if code else {"text": str(error), "code": 404}

    def control(self, method: str, path: str, body: bytes) -> object:
        """What came, besides what every stand-in has."""
        if (method, path) == ("GET", "/_sandbox/events"):
            return list(self.events)
        return super().control(method, path, body)

    def _authorised(self) -> int | None:
        given = self.headers.get("Authorization")
        if given is None:
            return 2
        scheme, _, token = given.partition(" ")
        if scheme != "Splunk" or not token:
            return 3
        return None if token == self.token else 4

    def _wrong(self, event: dict[str, Any]) -> int | None:
        if "event" not in event:
            return 12
        if event["event"] in ("", None):
            return 13
        return 7 if event.get("index", "main") not in self.indexes else None


def _events(body: bytes) -> tuple[list[dict[str, Any]], int | None]:
    """JSON objects one after the other, with or without space between them; or the code of what is wrong."""
    text, decoder, at, found = body.decode("utf-8", "replace").strip(), json.JSONDecoder(), 0, []
    while at < len(text):
        try:
            event, at = decoder.raw_decode(text, at)
        except ValueError:
            return [], 6
        if not isinstance(event, dict):
            return [], 6
        found.append(event)
        while at < len(text) and text[at].isspace():
            at += 1
    return found, None if found else 5


def _reply(code: int) -> Reply:
    status, text = CODES[code]
    return Reply({"text": text, "code": code}, status)


def main(arguments: Sequence[str] | None = None) -> int:
    """Serve until SIGTERM."""
    parser = options("Take events as Splunk's HTTP Event Collector does.", 8088)
    parser.add_argument("--token", help="the HEC token; one is made if it is left out")
    given = parser.parse_args(arguments)
    stopping = until_stopped()
    with Splunk(given.port, token=given.token, host=given.host) as stand_in:
        sys.stdout.write(f"events are taken at {stand_in.url} with the token {stand_in.token}\n")
        sys.stdout.flush()
        stopping.wait()
    return 0


if __name__ == "__main__":
    sys.exit(main())
