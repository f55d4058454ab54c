"""A webhook receiver for Alertmanager: keeps what it was sent, and prints a line for each alert.

python -m sandbox.alert_receiver --port 9094

POST   /alerts    what Alertmanager posts
GET    /alerts    the alerts, oldest first, at most 1,000: status, labels, annotations, startsAt, endsAt, receiver
GET    /healthz   whether it listens
"""

from __future__ import annotations

import argparse
import signal
import sys
import threading
from collections import deque
from typing import TYPE_CHECKING, Any

from sandbox.stand_in import ApiError, StandIn, parse_object

if TYPE_CHECKING:
    from collections.abc import Sequence
    from typing import TextIO

    from sandbox.faults import Fault

_KEPT = 1000
_FIELDS = ("status", "labels", "annotations", "startsAt", "endsAt")


class AlertReceiver(StandIn):
    """Takes version 4 of Alertmanager's webhook.

    Args:
        port: 0 takes any free one.
        host: Address to listen on.
        out: Where a line for each alert goes; None: nowhere.
    """

    def __init__(self, port: int = 0, *, host: str = "127.0.0.1", out: TextIO | None = None) -> None:
        super().__init__(port, host=host)
        self.alerts: deque[dict[str, Any]] = deque(maxlen=_KEPT)
        self._out = out

    def answer(self, method: str, path: str, body: bytes, fault: Fault) -> object:  # noqa: ARG002 - StandIn's signature
        """Take a notification, or tell what was taken."""
        match method, path:
            case "POST", "/alerts":
                return {"taken": self._take(parse_object(body))}
            case "GET", "/alerts":
                return list(self.alerts)
            case "GET", "/healthz":
                return {"alerts": len(self.alerts)}
        raise ApiError(404, f"no {method} {path}")

    def named(self, name: str, status: str = "firing") -> list[dict[str, Any]]:
        """The alerts of one name that came in this state."""
        taken = list(self.alerts)
        return [each for each in taken if each["labels"].get("alertname") == name and each["status"] == status]

    def _take(self, document: dict[str, Any]) -> int:
        alerts = document.get("alerts")
        if document.get("version") != "4" or not isinstance(alerts, list):
            raise ApiError(400, "a webhook of Alertmanager, version 4, is expected")
        for alert in alerts:
            taken = {name: alert.get(name) for name in _FIELDS} | {"receiver": document.get("receiver")}
            self.alerts.append(taken)
            if self._out is not None:
                self._out.write(f"{line(taken)}\n")
                self._out.flush()
        return len(alerts)


def line(alert: dict[str, Any]) -> str:
    """One alert on one line: `page firing CallboardNoConsumers queue=mail: ... | callboard worker`."""
    labels = {name: value for name, value in alert["labels"].items() if name != "alertname"}
    told = " ".join(f"{name}={value}" for name, value in sorted(labels.items()))
    notes = alert.get("annotations") or {}
    text = f"{alert['receiver']} {alert['status']} {alert['labels'].get('alertname')} {told}"
    return f"{text}: {notes.get('description', '')} | {notes.get('command', '')}".replace("\n", " ")


def options(description: str, port: int) -> argparse.ArgumentParser:
    """The options that the receivers share."""
    parser = argparse.ArgumentParser(description=description)
    parser.add_argument("--host", default="127.0.0.1", help="address to listen on; beyond loopback in a container only")
    parser.add_argument("--port", type=int, default=port, help="0: any free one")
    return parser


def until_stopped() -> threading.Event:
    """An event that SIGTERM and SIGINT set."""
    stopping = threading.Event()
    for number in (signal.SIGTERM, signal.SIGINT):
        signal.signal(number, lambda *_: stopping.set())
    return stopping


def main(arguments: Sequence[str] | None = None) -> int:
    """Serve until SIGTERM."""
    given = options("Keep and print what Alertmanager sends.", 9094).parse_args(arguments)
    stopping = until_stopped()
    with AlertReceiver(given.port, host=given.host, out=sys.stdout) as receiver:
        sys.stdout.write(f"alerts are taken at {receiver.url}/alerts\n")
        sys.stdout.flush()
        stopping.wait()
    return 0


if __name__ == "__main__":
    sys.exit(main())
