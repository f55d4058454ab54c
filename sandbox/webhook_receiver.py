"""A receiver of Standard Webhooks: verifies signatures, keeps what was signed well, and misbehaves on demand.

    POST   /hooks, /hooks/<name>          a webhook; 400 without a good signature, 200 also for one that came before
    GET    /_sandbox/webhooks[/<name>]    what came, oldest first, at most 1,000: id, attempts, type, timestamp, data
    GET    /_sandbox/endpoints            name, url, how many requests were taken and refused, and how many webhooks
    POST   /_sandbox/endpoints            {"name": "crm", "secret": "whsec_...", "status": 503}: one more, or others
                                          secrets, or another behaviour: any field of a fault; none: it behaves
    POST   /_sandbox/faults               {"status": 410}, {"status": 429, "retry_after": 5}, {"reset": true}; with
                                          {"path": "/hooks/crm"} for one endpoint

The same id twice is one webhook, with two attempts. An endpoint has one secret, or two while they are rotated: what is
signed with either is taken. `{"delay": 3600}` accepts a request and never answers.

`python -m sandbox.webhook_receiver --port 8082 --secret whsec_... --endpoint '{"name": "crm", "status": 503}'` serves
until it is interrupted; in tests `with WebhookReceiver() as receiver:` does.
"""

from __future__ import annotations

import base64
import binascii
import hashlib
import hmac
import json
import secrets
import sys
import threading
import time
from dataclasses import dataclass, field
from typing import TYPE_CHECKING, Any

from sandbox.alert_receiver import options, until_stopped
from sandbox.faults import Fault
from sandbox.stand_in import ApiError, StandIn, parse_object

if TYPE_CHECKING:
    from collections.abc import Mapping, Sequence

_KEPT = 1000
_ROOT = "/hooks"
_TOLERANCE_SECONDS = 300
_PREFIX = "whsec_"


def new_secret() -> str:
    """A secret as the specification wants it."""
    return _PREFIX + base64.b64encode(secrets.token_bytes(32)).decode()


@dataclass(eq=False)
class Endpoint:
    """One path of the receiver, and what came there; `headers` are those of the last webhook that was taken."""

    path: str
    secrets: tuple[str, ...]
    webhooks: dict[str, dict[str, Any]] = field(default_factory=dict)
    headers: dict[str, str] = field(default_factory=dict)
    taken: int = 0
    refused: int = 0
    _lock: threading.Lock = field(default_factory=threading.Lock)

    def take(self, name: str, document: Mapping[str, Any], headers: Mapping[str, str]) -> None:
        """Keep a webhook that was signed well."""
        with self._lock:
            self.taken += 1
            self.headers = {key.lower(): value for key, value in headers.items()}
            known = self.webhooks.setdefault(name, {"id": name, "attempts": 0, **document})
            known["attempts"] += 1
            if len(self.webhooks) > _KEPT:
                del self.webhooks[next(iter(self.webhooks))]

    def refuse(self) -> None:
        """Count one that was not."""
        with self._lock:
            self.refused += 1

    def is_signed(self, name: str, at: str, body: bytes, given: str) -> bool:
        """Whether one of the signatures was made with one of the secrets."""
        right = [_sign(secret, name, at, body) for secret in self.secrets]
        return any(hmac.compare_digest(each, one) for one in _signatures(given) for each in right)


class WebhookReceiver(StandIn):
    """One endpoint with one secret, and as many more as are added.

    Args:
        port: 0 takes any free one.
        secret: `whsec_` and base64; None makes one.
        host: Address to listen on.
    """

    def __init__(self, port: int = 0, *, secret: str | None = None, host: str = "127.0.0.1") -> None:
        super().__init__(port, host=host)
        self.secret = secret or new_secret()
        self.endpoints = {"": Endpoint(_ROOT, (self.secret,))}

    @property
    def webhooks(self) -> dict[str, dict[str, Any]]:
        """What came to the first endpoint."""
        return self.endpoints[""].webhooks

    @property
    def endpoint(self) -> str:
        """The URL of a channel that calls it."""
        return f"{self.url}{_ROOT}#{self.secret}"

    def add(self, name: str, *secrets: str, **behaviour: Any) -> Endpoint:  # noqa: ANN401 - the fields of Fault
        """Add the endpoint /hooks/<name>, or give one that is there other secrets or another behaviour.

        Args:
            name: What stands behind /hooks/.
            secrets: Those it accepts; none: those it has, or a new one.
            behaviour: Fields of `Fault`; without `times` it lasts until it is changed. None: it behaves.
        """
        path = f"{_ROOT}/{name}" if name else _ROOT
        endpoint = self.endpoints.setdefault(name, Endpoint(path, secrets or (new_secret(),)))
        endpoint.secrets = secrets or endpoint.secrets
        self.faults.clear(path)
        if behaviour:
            self.faults.plant(Fault(**{"times": None, **behaviour, "path": path}))
        return endpoint

    def answer(self, method: str, path: str, body: bytes, fault: Fault) -> object:  # noqa: ARG002 - StandIn's signature
        """Take a webhook."""
        endpoint = next((each for each in self.endpoints.values() if each.path == path), None)
        if method != "POST" or endpoint is None:
            raise ApiError(404, f"no {method} {path}")
        try:
            name, document = self._verified(endpoint, body), _document(body)
        except ApiError:
            endpoint.refuse()
            raise
        endpoint.take(name, document, dict(self.headers.items()))
        return {"taken": name}

    def control(self, method: str, path: str, body: bytes) -> object:
        """What came and where, besides what every stand-in has."""
        asked, _, name = path.removeprefix("/_sandbox/").partition("/")
        match method, asked:
            case "GET", "webhooks" if name in self.endpoints:
                return list(self.endpoints[name].webhooks.values())
            case "GET", "endpoints":
                pass
            case "POST", "endpoints":
                self.add_described(parse_object(body))
            case _:
                return super().control(method, path, body)
        return [self._told(name) for name in list(self.endpoints)]

    def add_described(self, document: dict[str, Any]) -> Endpoint:
        """Add an endpoint that is given as JSON.

        Raises:
            ApiError: It has no name, or a field is unknown.
        """
        name, secret = document.pop("name", ""), document.pop("secret", None)
        if not isinstance(name, str) or not name:
            raise ApiError(400, "an endpoint has a name")
        try:
            Fault.parse(document)
        except ValueError as error:
            raise ApiError(400, str(error)) from None
        return self.add(name, *([secret] if secret else []), **document)

    def _told(self, name: str) -> dict[str, Any]:
        found = self.endpoints[name]
        told = {"name": name, "url": f"{self.url}{found.path}", "webhooks": len(found.webhooks)}
        return told | {"taken": found.taken, "refused": found.refused}

    def _verified(self, endpoint: Endpoint, body: bytes) -> str:
        name, at = self.headers.get("webhook-id", ""), self.headers.get("webhook-timestamp", "")
        given = self.headers.get("webhook-signature", "")
        if not (name and at.isdigit() and given):
            raise ApiError(400, "webhook-id, webhook-timestamp and webhook-signature are needed")
        if abs(time.time() - int(at)) > _TOLERANCE_SECONDS:
            raise ApiError(400, "the timestamp is too old or too new")
        if not endpoint.is_signed(name, at, body, given):
            raise ApiError(400, "no signature fits")
        return name


def _document(body: bytes) -> dict[str, Any]:
    document = parse_object(body)
    if not {"type", "timestamp", "data"} <= set(document):
        raise ApiError(400, "a webhook has type, timestamp and data")
    return document


def _sign(secret: str, name: str, at: str, body: bytes) -> bytes:
    key = base64.b64decode(secret.removeprefix(_PREFIX))
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
    parser.add_argument("--endpoint", action="append", default=[], help="one more, as JSON: see the module's text")
    given = parser.parse_args(arguments)
    stopping = until_stopped()
    with WebhookReceiver(given.port, secret=given.secret, host=given.host) as stand_in:
        for each in given.endpoint:
            stand_in.add_described(json.loads(each))
        sys.stdout.write(f"webhooks are taken at {stand_in.endpoint}\n")
        sys.stdout.flush()
        stopping.wait()
    return 0


if __name__ == "__main__":
    sys.exit(main())
