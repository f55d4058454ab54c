"""A stand-in for RevenueCat's API, version 2: projects, customers and what they bought.

    GET /v2/projects
    GET /v2/projects/<p>/entitlements | products | customers
    GET /v2/projects/<p>/customers/<id>[?expand=attributes]
    GET /v2/projects/<p>/customers/<id>/active_entitlements | subscriptions | purchases | attributes

Lists come in pages (`limit`, `starting_after`); refusals have RevenueCat's form, `backoff_ms` and all; `Retry-After` is
in milliseconds, as it is there. Faults as in every stand-in: {"status": 429, "times": 3}.

`python -m sandbox.revenuecat --port 8091` serves until it is interrupted, and knows every customer it is asked for but
about one in six, whose purchases follow from the id alone; in tests `with RevenueCatStandIn() as revenuecat:` knows
those that were added.
"""

from __future__ import annotations

import math
import sys
import threading
import time
from collections import deque
from typing import TYPE_CHECKING
from urllib.parse import parse_qs, unquote, urlsplit
from zlib import crc32

from sandbox.alert_receiver import options, until_stopped
from sandbox.revenuecat_objects import (
    EPOCH,
    PROJECT,
    Item,
    active_entitlement,
    customer_attribute,
    entitlement,
    invented,
    owned_by,
    page,
    product,
)
from sandbox.stand_in import ApiError, Reply, StandIn

if TYPE_CHECKING:
    from collections.abc import Mapping, Sequence

    from sandbox.faults import Fault

KEY = "sk_sandbox"
MOST_A_MINUTE = 480
_BACKOFF_MS = 20
_TYPES = {
    400: "parameter_error",
    401: "authentication_error",
    403: "authorization_error",
    404: "resource_missing",
    409: "resource_already_exists",
    422: "invalid_request",
    423: "resource_locked_error",
    429: "rate_limit_error",
    503: "store_error",
}
_LISTS = ("active_entitlements", "subscriptions", "purchases", "attributes")
_WAITABLE = (423, 429, 500, 503)


class RevenueCatStandIn(StandIn):
    """One project of RevenueCat's.

    Args:
        port: 0 takes any free one.
        key: The only secret key.
        project: The only project's id.
        everyone: Know customers that nobody added.
        host: Address to listen on.
        most_a_minute: Requests for data of customers in a minute; more are refused.
    """

    def __init__(
        self,
        port: int = 0,
        *,
        key: str = KEY,
        project: str = PROJECT,
        everyone: bool = False,
        host: str = "127.0.0.1",
        most_a_minute: int = MOST_A_MINUTE,
    ) -> None:
        super().__init__(port, host=host)
        self.key, self.project, self.everyone, self.most_a_minute = key, project, everyone, most_a_minute
        self.entitlements: list[Item] = [entitlement("entla1b2c3d4e5", "premium")]
        self.products: list[Item] = [
            product("prod_month", "com.example.premium.monthly"),
            product("prod_year", "com.example.premium.yearly"),
            product("prod_life", "com.example.premium.lifetime"),
        ]
        self.customers: dict[str, dict[str, list[Item]]] = {}
        self._asked: deque[float] = deque()
        self._lock = threading.Lock()

    def add_customer(
        self,
        name: str,
        *,
        entitlements: Sequence[str] = (),
        subscriptions: Sequence[Item] = (),
        purchases: Sequence[Item] = (),
        attributes: Mapping[str, str] | None = None,
    ) -> None:
        """A customer of this id, with the ids of active entitlements and what `subscription` and `purchase` make."""
        told = [customer_attribute(key, value) for key, value in (attributes or {}).items()]
        active = [active_entitlement(one) for one in entitlements]
        lists = (active, owned_by(name, subscriptions), owned_by(name, purchases), told)
        self.customers[name] = dict(zip(_LISTS, lists, strict=True))

    def answer(self, method: str, path: str, body: bytes, fault: Fault) -> object:  # noqa: ARG002 - StandIn's signature
        """See the head of this file."""
        if self.headers.get("Authorization") != f"Bearer {self.key}":
            raise ApiError(401, "Authentication is not valid for the given API key.")
        if method != "GET":
            raise ApiError(405, "Method not allowed.")
        address = urlsplit(path)
        parts = [unquote(part) for part in address.path.strip("/").split("/")]
        given = {name: values[-1] for name, values in parse_qs(address.query).items()}
        document = self._find(parts, address.path, given)
        if len(parts) > 3 and parts[3] == "customers":  # noqa: PLR2004 - the rate limit is theirs
            return Reply(document, headers=self._admit())
        return document

    def complaint(self, error: ApiError, fault: Fault) -> object:  # noqa: ARG002 - StandIn's signature
        """RevenueCat's form of an error."""
        kind = _TYPES.get(error.status, "server_error" if error.status >= 500 else "invalid_request")  # noqa: PLR2004
        told = {"object": "error", "type": kind, "message": str(error), "retryable": error.status in _WAITABLE}
        told["doc_url"] = f"https://errors.rev.cat/{kind.replace('_', '-')}"
        if error.status in _WAITABLE:
            told["backoff_ms"] = error.backoff_ms if isinstance(error, _RateLimitError) else _BACKOFF_MS
        return told

    def _find(self, parts: Sequence[str], path: str, given: Mapping[str, str]) -> object:
        match parts:
            case ["v2", "projects"]:
                return page([self._project()], path, given)
            case ["v2", "projects", project, *_] if project != self.project:
                raise ApiError(403, "The API key does not belong the project you specified.")
            case ["v2", "projects", _, "entitlements"]:
                return page(self.entitlements, path, given)
            case ["v2", "projects", _, "products"]:
                return page(self.products, path, given)
            case ["v2", "projects", _, "customers"]:
                return page([self._customer(name, path, {}) for name in self.customers], path, given)
            case ["v2", "projects", _, "customers", name]:
                return self._customer(name, path, given)
            case ["v2", "projects", _, "customers", name, kind] if kind in _LISTS:
                return page(self._lists(name)[kind], path, given)
        raise ApiError(404, "The requested resource does not exist.")

    def _project(self) -> Item:
        return {"object": "project", "id": self.project, "name": "Sandbox", "created_at": EPOCH}

    def _customer(self, name: str, path: str, given: Mapping[str, str]) -> Item:
        lists = self._lists(name)
        told: Item = {
            "object": "customer",
            "id": name,
            "project_id": self.project,
            "first_seen_at": EPOCH,
            "last_seen_at": EPOCH,
            "last_seen_app_version": "1.0.0",
            "last_seen_country": "US",
            "last_seen_platform": "android",
            "last_seen_platform_version": "35",
            "active_entitlements": page(lists["active_entitlements"], f"{path}/active_entitlements", {}),
            "experiment": None,
        }
        if "attributes" in given.get("expand", "").split(","):
            told["attributes"] = page(lists["attributes"], f"{path}/attributes", {})
        return told

    def _lists(self, name: str) -> dict[str, list[Item]]:
        if self.everyone and name not in self.customers and crc32(name.encode()) % 6:
            self.add_customer(name, **invented(name))
        if name not in self.customers:
            raise ApiError(404, f"Could not find the customer {name}.")
        return self.customers[name]

    def _admit(self) -> dict[str, str]:
        """The headers of an answer, unless there were too many in the last minute."""
        with self._lock:
            now = time.monotonic()
            while self._asked and self._asked[0] < now - 60:
                self._asked.popleft()
            if len(self._asked) >= self.most_a_minute:
                raise _RateLimitError(60 - (now - self._asked[0]))
            self._asked.append(now)
            used = len(self._asked)
        return {
            "RevenueCat-Rate-Limit-Current-Usage": str(used),
            "RevenueCat-Rate-Limit-Current-Limit": str(self.most_a_minute),
        }


class _RateLimitError(ApiError):
    """Refused until so many seconds are over."""

    def __init__(self, seconds: float) -> None:
        super().__init__(429, "Rate limit exceeded")
        self.backoff_ms = math.ceil(seconds * 1000)


def main(arguments: Sequence[str] | None = None) -> int:
    """Serve until SIGTERM."""
    parser = options("Answer as RevenueCat's API of version 2 does.", 8091)
    parser.add_argument("--key", default=KEY, help=f"the secret key ({KEY})")
    parser.add_argument("--project", default=PROJECT, help=f"the project's id ({PROJECT})")
    given = parser.parse_args(arguments)
    stopping = until_stopped()
    made = RevenueCatStandIn(given.port, key=given.key, project=given.project, everyone=True, host=given.host)
    with made as stand_in:
        sys.stdout.write(f"RevenueCat's API is at {stand_in.url}/v2\n")
        sys.stdout.flush()
        stopping.wait()
    return 0


if __name__ == "__main__":
    sys.exit(main())
