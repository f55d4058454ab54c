"""A receiver of Standard Webhooks: verifies signatures, keeps what was signed well, and misbehaves on demand.

    POST /hooks                  a webhook; 400 without a good signature, 200 also for one that came before
    GET  /_sandbox/webhooks      what came, oldest first, at most 1,000: id, attempts, type, timestamp, data
    POST /_sandbox/faults        {"status": 410}, {"status": 429, "retry_after": 5}, {"status": 302}, {"reset": true}

The same id twice is one webhook, with two attempts.

`python -m sandbox.webhook_receiver --port 8082 --secret whsec_...` serves until it is interrupted; in tests
`with WebhookReceiver() as receiver:` does.
"""

from __future__ import annotations

import base64
import binascii
import hashlib
import hmac
import secrets
import sys
import time
from typing import TYPE_CHECKING, Any

from sandbox.alert_receiver import options, until_stopped
from sandbox.stand_in import ApiError, StandIn, parse_object

if TYPE_CHECKING:
    from collections.abc import Sequence

    from sandbox.faults import Fault

_KEPT = 1000
_TOLERANCE_SECONDS = 300
_PREFIX = "whsec_"


def new_secret() -> str:
    """A secret as the specification wants it."""
    return _PREFIX + base64.b64encode(secrets.token_bytes(32)).decode()


class WebhookReceiver(StandIn):
    """One endpoint, with one secret.

    Args:
        port: 0 takes any free one.
        secret: `whsec_` and base64; None makes one.
        host: Address to listen on.
    """

    def __init__(self, port: int = 0, *, secret: str | None = None, host: str = "127.0.0.1") -> None:
        super().__init__(port, host=host)
        self.secret = secret or new_secret()
        self.webhooks: dict[str, dict[str, Any]] = {}

    @property
    def endpoint(self) -> str:
        """The URL of a channel that calls it."""
        return f"{self.url}/hooks#{self.secret}"

    def answer(self, method: str, path: str, body: bytes, fault: Fault) -> object:  # noqa: ARG002 - StandIn's signature
        """Take a webhook."""
        if (method, path) != ("POST", "/hooks"):
            raise ApiError(404, f"no {method} {path}")
        name = self._verified(body)
        document = parse_object(body)
        if not {"type", "timestamp", "data"} <= set(document):
            raise ApiError(400, "a webhook has type, timestamp and data")
        known = self.webhooks.setdefault(name, {"id": name, "attempts": 0, **document})
        known["attempts"] += 1
        if len(self.webhooks) > _KEPT:
            del self.webhooks[next(iter(self.webhooks))]
        return {"taken": name}

    def control(self, method: str, path: str, body: bytes) -> object:
        """What came, besides what every stand-in has."""
        if (method, path) == ("GET", "/_sandbox/webhooks"):
            return list(self.webhooks.values())
        return super().control(method, path, body)

    def _verified(self, body: bytes) -> str:
        name, at = self.headers.get("webhook-id", ""), self.headers.get("webhook-timestamp", "")
        given = self.headers.get("webhook-signature", "")
        if not (name and at.isdigit() and given):
            raise ApiError(400, "webhook-id, webhook-timestamp and webhook-signature are needed")
        if abs(time.time() - int(at)) > _TOLERANCE_SECONDS:
            raise ApiError(400, "the timestamp is too old or too new")
        if not any(hmac.compare_digest(self._sign(name, at, body), one) for one in _signatures(given)):
            raise ApiError(400, "no signature fits")
        return name

    def _sign(self, name: str, at: str, body: bytes) -> bytes:
        key = base64.b64decode(self.secret.removeprefix(_PREFIX))
        return hmac.new(key, f"{name}.{at}.".encode() + body, hashlib.sha256).digest()


def _signatures(given: str) -> list[bytes]:
    """Those of version 1 among `v1,<base64> v1a,<base64>`."""
    found = []
    for part in given.split():
        version, _, text = part.partition(",")
        try:
            signature = base64.b64decode(text, validate=True)
        except binascii.Error:
            continue
        if version == "v1":
            found.append(signature)
    return found


def main(arguments: Sequence[str] | None = None) -> int:
    """Serve until SIGTERM."""
    parser = options("Take signed webhooks.", 8082)
    parser.add_argument("--secret", help="whsec_ and base64; one is made if it is left out")
    given = parser.parse_args(arguments)
    stopping = until_stopped()
    with WebhookReceiver(given.port, secret=given.secret, host=given.host) as stand_in:
        sys.stdout.write(f"webhooks are taken at {stand_in.endpoint}\n")
        sys.stdout.flush()
        stopping.wait()
    return 0


if __name__ == "__main__":
    sys.exit(main())
