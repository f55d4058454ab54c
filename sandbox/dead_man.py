"""A dead man's switch: calls out when the Watchdog has not come for a while.

python -m sandbox.dead_man --port 9095 --silence 180 --call http://pager.example/alarm

POST   /watchdog   what Alertmanager posts for the alert CallboardWatchdog; any other alert does not count
GET    /healthz    200 while it comes, 503 when it does not: for a second watcher, outside
GET    /state      seconds since the last one, and whether it has called out

It has to run elsewhere than Prometheus and Alertmanager: what dies with them can say nothing. A service that waits for
heartbeats does the same. It counts from its own start, so one that is started beside a dead Alertmanager calls out too.
With `--once` it ends with exit code 1 at the first silence.
"""

from __future__ import annotations

import json
import sys
import threading
import time
import urllib.request
from typing import TYPE_CHECKING, Any, Self

from sandbox.alert_receiver import options, until_stopped
from sandbox.stand_in import ApiError, StandIn, parse_object

if TYPE_CHECKING:
    from collections.abc import Callable, Sequence
    from types import TracebackType

    from sandbox.faults import Fault

_NAME = "CallboardWatchdog"
_CALL_SECONDS = 10.0


class DeadMan(StandIn):
    """Watches while the `with` block lasts.

    Args:
        silence: Seconds without a Watchdog after which it calls out, once; the next Watchdog arms it again.
        call: Where it posts `{"status": "firing" | "resolved", "silent_seconds": ..}`; empty: nowhere.
        port: 0 takes any free one.
        host: Address to listen on.
        clock: Seconds that only grow.
    """

    def __init__(
        self,
        silence: float,
        call: str = "",
        *,
        port: int = 0,
        host: str = "127.0.0.1",
        clock: Callable[[], float] = time.monotonic,
    ) -> None:
        super().__init__(port, host=host)
        self._silence, self._call, self._clock = silence, call, clock
        self._last = clock()
        self.silent = threading.Event()
        self.failed_calls = 0
        self._watcher = threading.Thread(target=self._watch, name="dead-man", daemon=True)

    def answer(self, method: str, path: str, body: bytes, fault: Fault) -> object:  # noqa: ARG002 - StandIn's signature
        """Take a Watchdog, or tell how it is."""
        match method, path:
            case "POST", "/watchdog":
                return {"counts": self._take(parse_object(body))}
            case "GET", "/state":
                return {"silent_seconds": self.silent_seconds, "called": self.silent.is_set()}
            case "GET", "/healthz":
                if self.silent_seconds > self._silence:
                    raise ApiError(503, f"no {_NAME} for {self.silent_seconds:.0f} s")
                return {"silent_seconds": self.silent_seconds}
        raise ApiError(404, f"no {method} {path}")

    @property
    def silent_seconds(self) -> float:
        """Time since the last Watchdog, or since the start."""
        return self._clock() - self._last

    def __enter__(self) -> Self:
        super().__enter__()
        self._watcher.start()
        return self

    def __exit__(
        self, kind: type[BaseException] | None, error: BaseException | None, trace: TracebackType | None
    ) -> None:
        super().__exit__(kind, error, trace)
        self._watcher.join(_CALL_SECONDS)

    def check(self) -> None:
        """Call out if it has been silent for too long; the watching thread does so several times in the span."""
        if self.silent_seconds > self._silence and not self.silent.is_set():
            self._tell("firing")
            self.silent.set()

    def _take(self, document: dict[str, Any]) -> bool:
        alerts = [alert for alert in document.get("alerts", []) if isinstance(alert, dict)]
        names = {alert.get("labels", {}).get("alertname") for alert in alerts if alert.get("status") == "firing"}
        if _NAME not in names:
            return False
        self._last = self._clock()
        if self.silent.is_set():
            self.silent.clear()
            self._tell("resolved")
        return True

    def _watch(self) -> None:
        while not self.stopping.wait(min(self._silence / 10, 1.0)):
            self.check()

    def _tell(self, status: str) -> None:
        """A call that fails is counted and printed; `/healthz` says the same."""
        _log(f"{_NAME} {status}: silent for {self.silent_seconds:.0f} s")
        if not self._call:
            return
        body = json.dumps({"status": status, "silent_seconds": self.silent_seconds}).encode()
        kind = {"Content-Type": "application/json"}
        request = urllib.request.Request(self._call, body, kind)  # noqa: S310 - the operator's own address
        try:
            with urllib.request.urlopen(request, timeout=_CALL_SECONDS):  # noqa: S310 - the same
                pass
        except OSError as error:
            self.failed_calls += 1
            _log(f"the call to {self._call} failed: {error}")


def _log(text: str) -> None:
    sys.stderr.write(f"{text}\n")
    sys.stderr.flush()


def main(arguments: Sequence[str] | None = None) -> int:
    """Serve until SIGTERM, or, with `--once`, until the first silence; that is exit code 1."""
    parser = options("Call out when the Watchdog stays away.", 9095)
    parser.add_argument("--silence", type=float, default=180.0, help="seconds without a Watchdog that are too many")
    parser.add_argument("--call", default="", help="address to post to when it is silent, and when it is back")
    parser.add_argument("--once", action="store_true", help="end with exit code 1 at the first silence")
    given = parser.parse_args(arguments)
    stopping = until_stopped()
    with DeadMan(given.silence, given.call, port=given.port, host=given.host) as dead_man:
        _log(f"the watchdog is awaited at {dead_man.url}/watchdog")
        while not stopping.wait(0.1):
            if given.once and dead_man.silent.is_set():
                return 1
    return 0


if __name__ == "__main__":
    sys.exit(main())
