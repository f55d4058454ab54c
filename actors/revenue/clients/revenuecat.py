"""RevenueCat's API, version 2: what it knows of a project's customers.

Errors say whose fault it was, and are Callboard's, so that the engine knows what to do with them:

    CallFailed            this call failed, others may not; `status` is the HTTP status, `timeout` or `network`
    +-- CustomerMissing     RevenueCat has no such customer (404)
    +-- Unavailable         the project has no such resource (405, 410, 501)
    AuthenticationError   the key is refused, or may not see the project (401, 403)

A call that is refused for its rate (429), or whose answer says that it may be repeated, waits as long as it is told and
is made again. The documented `Retry-After` is in milliseconds, like `backoff_ms` in the body, which is trusted more.
"""

from __future__ import annotations

import hashlib
import math
import threading
import time
from typing import TYPE_CHECKING, Any, Self
from urllib.parse import parse_qs, quote, urlsplit

import httpx
import orjson

from actors.revenue.properties import Customer, Item, Names, items
from callboard import AuthenticationError, TransientError, current_run, http_client

if TYPE_CHECKING:
    from collections.abc import Callable, Iterator
    from types import TracebackType

    from actors.revenue.settings import RevenueSettings

_CONNECT_SECONDS = 5.0
_SHOWN = 200  # characters of an answer that an error message quotes
_PAGE = 100
_UNTOLD_WAIT = 1.0  # seconds, where RevenueCat does not say how long
_SECONDS_AT_MOST = 1_000.0  # a greater Retry-After is in milliseconds
_UNAVAILABLE = (405, 410, 501)


class CallFailed(TransientError):  # noqa: N818 - the outcome's name
    """One call did not succeed; `status` is what it is counted under."""

    def __init__(self, message: str, status: str, *, retry_after: float | None = None) -> None:
        super().__init__(message, retry_after=retry_after)
        self.status = status


class CustomerMissing(CallFailed):
    """RevenueCat does not know the customer."""


class Unavailable(CallFailed):
    """The project has no such resource."""


class RevenueCat:
    """Keeps a connection open for the `with` block.

    Args:
        settings: Address, time limit, and how often and how long a refused call is waited for.
        key: A secret key of the API's version 2.
        wait: Waits for so many seconds; False when the run was cancelled meanwhile.
    """

    def __init__(self, settings: RevenueSettings, key: str, *, wait: Callable[[float], bool]) -> None:
        self._settings, self._wait = settings, wait
        self._owner = hashlib.sha256(f"{settings.revenuecat_url} {key}".encode()).hexdigest()
        self._http = http_client(
            base_url=settings.revenuecat_url.rstrip("/"),
            timeout=httpx.Timeout(settings.revenuecat_timeout_seconds, connect=_CONNECT_SECONDS),
            headers={"Authorization": f"Bearer {key}", "Accept": "application/json"},
        )

    def __enter__(self) -> Self:
        return self

    def __exit__(
        self, kind: type[BaseException] | None, error: BaseException | None, trace: TracebackType | None
    ) -> None:
        self._http.close()

    def projects(self) -> list[str]:
        """Ids of the projects that the key may see.

        Raises:
            CallFailed, AuthenticationError: See the head of this file.
        """
        return [str(one["id"]) for one in self._list("/projects") if one.get("id")]

    def names(self, project: str) -> Names:
        """What the project's ids are called; remembered for a while. What cannot be read stays out."""
        key = f"{self._owner} {project}"
        known = _remembered.get(key)
        if known is None:
            known = Names(
                self._map(project, "entitlements", "lookup_key"), self._map(project, "products", "store_identifier")
            )
            if known.entitlements and known.products:
                _remembered.put(key, known, self._settings.revenuecat_catalogue_seconds)
        return known

    def customer(self, project: str, customer_id: str) -> tuple[Customer, list[CallFailed]]:
        """A customer, and which calls failed whose part is therefore None.

        Raises:
            CustomerMissing: RevenueCat does not know the customer.
            CallFailed: Not even the entitlements could be read.
            AuthenticationError: The key is refused.
        """
        path, failed = f"/projects/{quote(project, safe='')}/customers/{quote(customer_id, safe='')}", []

        def attempt(read: Callable[[], list[Item]]) -> list[Item] | None:
            try:
                return read()
            except (CustomerMissing, Unavailable):
                return None
            except CallFailed as error:
                failed.append(error)
                return None

        entitlements = self._list(f"{path}/active_entitlements")
        subscriptions = attempt(lambda: self._list(f"{path}/subscriptions"))
        purchases = attempt(lambda: self._list(f"{path}/purchases"))
        attributes = attempt(lambda: items(self._ask(path, {"expand": "attributes"}).get("attributes")))
        return Customer(entitlements, subscriptions, purchases, attributes), failed

    def _map(self, project: str, kind: str, name: str) -> dict[str, str]:
        try:
            listed = self._list(f"/projects/{quote(project, safe='')}/{kind}")
        except (CallFailed, AuthenticationError) as error:
            current_run().log.warning("revenuecat.names_unread", kind=kind, error=str(error))
            return {}
        return {str(one["id"]): str(one[name]) for one in listed if one.get("id") and one.get(name)}

    def _list(self, path: str) -> list[Item]:
        return [one for page in self._pages(path) for one in items(page)]

    def _pages(self, path: str) -> Iterator[dict[str, Any]]:
        """Pages until there is no next one, or the next one is one that was read already.

        Only the cursor is taken from an answer, so that the key never goes to another address.
        """
        seen: set[str] = set()
        cursor = ""
        while cursor not in seen:
            seen.add(cursor)
            page = self._ask(path, {"limit": str(_PAGE), **({"starting_after": cursor} if cursor else {})})
            yield page
            cursor = _cursor(page.get("next_page"))
            if not cursor:
                return
            if len(seen) >= self._settings.revenuecat_page_limit:
                raise CallFailed(f"RevenueCat's {path} has more than {len(seen)} pages", "pages")
        current_run().log.warning("revenuecat.cursor_stands", path=path, pages=len(seen))

    def _ask(self, path: str, given: dict[str, str]) -> dict[str, Any]:
        for left in range(self._settings.revenuecat_tries - 1, -1, -1):
            try:
                return self._ask_once(path, given)
            except CallFailed as error:
                if error.retry_after is None or not left or not self._wait(self._patience(error.retry_after)):
                    raise
        raise AssertionError("revenuecat_tries is at least 1")

    def _patience(self, told: float) -> float:
        return min(told, self._settings.revenuecat_longest_wait_seconds)

    def _ask_once(self, path: str, given: dict[str, str]) -> dict[str, Any]:
        try:
            response = self._http.get(path, params=given)
        except httpx.TimeoutException as error:
            raise CallFailed(f"RevenueCat's {path} did not answer in time", "timeout") from error
        except httpx.RequestError as error:
            raise CallFailed(f"RevenueCat cannot be reached ({type(error).__name__}: {error})", "network") from error
        if not response.is_success:
            raise _failure(path, response)
        document = _parsed(response)
        if not document:
            raise CallFailed(f"RevenueCat's {path} answered something else than an object", "body")
        return document


def _failure(path: str, response: httpx.Response) -> CallFailed | AuthenticationError:
    document, code = _parsed(response), response.status_code
    said = f"RevenueCat's {path} answered {code}: {document.get('message') or response.text[:_SHOWN]}"
    if code in (401, 403):
        return AuthenticationError(f"{said}; make a secret key of API version 2 that may read the project's customers")
    if code == 404:  # noqa: PLR2004 - HTTP's number
        return CustomerMissing(said, str(code))
    if code in _UNAVAILABLE:
        return Unavailable(said, str(code))
    return CallFailed(said, str(code), retry_after=_wait_for(document, response))


def _wait_for(document: dict[str, Any], response: httpx.Response) -> float | None:
    """Seconds until the call may be repeated, or None if that makes no sense."""
    told = document.get("backoff_ms")
    if isinstance(told, int | float) and math.isfinite(told) and told >= 0:
        return told / 1000
    if response.status_code != 429 and document.get("retryable") is not True:  # noqa: PLR2004 - HTTP's number
        return None
    return _retry_after(response.headers.get("Retry-After", ""))


def _retry_after(text: str) -> float:
    try:
        number = float(text)
    except ValueError:
        return _UNTOLD_WAIT
    if not math.isfinite(number) or number < 0:
        return _UNTOLD_WAIT
    return number / 1000 if number > _SECONDS_AT_MOST else number


def _parsed(response: httpx.Response) -> dict[str, Any]:
    """The object in the body; an empty one for anything else."""
    try:
        document = orjson.loads(response.content)
    except orjson.JSONDecodeError:
        return {}
    return document if isinstance(document, dict) else {}


def _cursor(next_page: object) -> str:
    """`starting_after` of the address of the next page; empty when there is none."""
    if not isinstance(next_page, str):
        return ""
    return next(iter(parse_qs(urlsplit(next_page).query).get("starting_after", ())), "")


class _Memory:
    """Names of a few hundred projects, each for a while; safe to use from many threads."""

    def __init__(self, size: int) -> None:
        self._size = size
        self._lock = threading.Lock()
        self._kept: dict[str, tuple[float, Names]] = {}

    def get(self, key: str) -> Names | None:
        """What is remembered and not yet too old."""
        with self._lock:
            until, names = self._kept.get(key, (0.0, None))
        return names if time.monotonic() < until else None

    def put(self, key: str, names: Names, seconds: float) -> None:
        """Remember it for so many seconds; the oldest goes when there are too many."""
        with self._lock:
            self._kept.pop(key, None)
            self._kept[key] = (time.monotonic() + seconds, names)
            while len(self._kept) > self._size:
                del self._kept[next(iter(self._kept))]

    def clear(self) -> None:
        """Forget all."""
        with self._lock:
            self._kept.clear()


_remembered = _Memory(256)
