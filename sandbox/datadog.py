"""A stand-in for the logs intake of Datadog, version 2.

    POST /api/v2/logs         one log or an array of them, plain or with Content-Encoding: gzip; 202 and {}
    GET  /_sandbox/logs       what was taken, oldest first, at most 10,000

Its limits are the vendor's: 1,000 logs and 5 MB a request (else 413), 1 MB a log (what is longer is cut), no log
that is older than 18 hours (taken, and dropped).

`python -m sandbox.datadog --port 8089 --key ...` serves until it is interrupted; in tests `with Datadog() as datadog:`.
"""

from __future__ import annotations

import gzip
import json
import secrets
import sys
import time
import zlib
from collections import deque
from typing import TYPE_CHECKING, Any

from sandbox.alert_receiver import options, until_stopped
from sandbox.stand_in import ApiError, Reply, StandIn

if TYPE_CHECKING:
    from collections.abc import Sequence

    from sandbox.faults import Fault

_KEPT = 10_000
MOST_LOGS, MOST_BYTES, MOST_LOG_BYTES, OLDEST_SECONDS = 1000, 5_000_000, 1_000_000, 18 * 3600


class Datadog(StandIn):
    """One intake with one API key.

    Args:
        port: 0 takes any free one.
        key: 32 hexadecimal digits; None makes them.
        most_bytes: Of an unpacked request; tests lower it.
        host: Address to listen on.
    """

    def __init__(
        self, port: int = 0, *, key: str | None = None, most_bytes: int = MOST_BYTES, host: str = "127.0.0.1"
    ) -> None:
        super().__init__(port, host=host)
        self.key = key or secrets.token_hex(16)
        self.most_bytes = most_bytes
        self.logs: deque[dict[str, Any]] = deque(maxlen=_KEPT)
        #: The idempotency key of each request that was taken, and its logs.
        self.batches: deque[tuple[str, int]] = deque(maxlen=_KEPT)
        self.dropped = 0

    def answer(self, method: str, path: str, body: bytes, fault: Fault) -> object:  # noqa: ARG002 - StandIn's signature
        """Take logs."""
        if (method, path.partition("?")[0]) != ("POST", "/api/v2/logs"):
            raise ApiError(404, f"no {method} {path}")
        given = self.headers.get("DD-API-KEY")
        if given is None:
            raise ApiError(401, "Unauthorized")
        if given != self.key:
            raise ApiError(403, "Forbidden")
        logs = self._logs(body)
        for log in logs:
            self._take(log)
        self.batches.append((self.headers.get("Idempotency-Key", ""), len(logs)))
        return Reply({}, 202)

    def complaint(self, error: ApiError, fault: Fault) -> object:  # noqa: ARG002 - StandIn's signature
        """The vendor's document."""
        return {"errors": [{"status": str(error.status), "title": str(error), "detail": str(error)}]}

    def control(self, method: str, path: str, body: bytes) -> object:
        """What came, besides what every stand-in has."""
        if (method, path) == ("GET", "/_sandbox/logs"):
            return list(self.logs)
        return super().control(method, path, body)

    def _logs(self, body: bytes) -> list[dict[str, Any]]:
        if self.headers.get("Content-Encoding") == "gzip":
            try:
                body = gzip.decompress(body)
            except (OSError, EOFError, zlib.error):
                raise ApiError(400, "Bad Request: body is not gzip") from None
        if len(body) > self.most_bytes:
            raise ApiError(413, "Payload Too Large")
        try:
            document = json.loads(body)
        except ValueError:
            raise ApiError(400, "Bad Request: invalid JSON") from None
        logs = document if isinstance(document, list) else [document]
        if not logs or not all(isinstance(log, dict) for log in logs):
            raise ApiError(400, "Bad Request: logs are JSON objects")
        if len(logs) > MOST_LOGS:
            raise ApiError(413, "Payload Too Large")
        return logs

    def _take(self, log: dict[str, Any]) -> None:
        at = log.get("timestamp")
        if isinstance(at, int | float) and at / 1000 < time.time() - OLDEST_SECONDS:
            self.dropped += 1
            return
        if len(json.dumps(log)) > MOST_LOG_BYTES:
            log = {**log, "message": str(log.get("message", ""))[:MOST_LOG_BYTES], "truncated": True}
        self.logs.append(log)


def main(arguments: Sequence[str] | None = None) -> int:
    """Serve until SIGTERM."""
    parser = options("Take logs as Datadog's intake does.", 8089)
    parser.add_argument("--key", help="the API key; one is made if it is left out")
    given = parser.parse_args(arguments)
    stopping = until_stopped()
    with Datadog(given.port, key=given.key, host=given.host) as stand_in:
        sys.stdout.write(f"logs are taken at {stand_in.url} with the key {stand_in.key}\n")
        sys.stdout.flush()
        stopping.wait()
    return 0


if __name__ == "__main__":
    sys.exit(main())
