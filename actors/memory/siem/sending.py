"""One request to a destination, and what its answer means.

TransientError        down, busy, slow, or too many requests: the same batch again, later
AuthenticationError   the token is refused
PermanentError        it will not take this batch, however often it comes
"""

from __future__ import annotations

import gzip
from datetime import UTC, datetime
from typing import TYPE_CHECKING, Any
from urllib.parse import urlsplit

import orjson
from standardwebhooks import Webhook

from actors.memory.siem import documents
from actors.memory.siem.batches import batch_id
from callboard import AuthenticationError, PermanentError, TransientError, current_run
from callboard import post_pinned as post

if TYPE_CHECKING:
    from collections.abc import Sequence
    from uuid import UUID

    from actors.memory.settings import MemorySettings
    from actors.memory.siem.destinations import Destination
    from callboard import HttpAnswer

_SPLUNK_PATH, _DATADOG_PATH = "/services/collector/event", "/api/v2/logs"
_SUCCESS = range(200, 300)
_REFUSED = (401, 403)
_TOO_LARGE = 413
_PASSING = frozenset({408, 409, 425, 429, *range(500, 600)})
_SPLUNK_PASSING = frozenset({429, *range(500, 600)})
_SPLUNK_BUSY = (8, 9)
_DATADOG_PASSING = frozenset({408, 429, *range(500, 600)})
_SHOWN = 200


class Sender:
    """Sends batches to one destination; `status` is that of the last answer, None where none came."""

    def __init__(self, settings: MemorySettings, destination: Destination) -> None:
        self._settings, self._destination = settings, destination
        self.status: int | None = None
        if destination.url.startswith("http://") and not settings.allow_private:
            raise PermanentError(
                f"SIEM destination {destination.id} is plain HTTP; its URL must begin with https://, or "
                "CALLBOARD_MEMORY_ALLOW_PRIVATE=true lets tests and closed networks do without."
            )

    def send(self, rows: Sequence[Any]) -> int:
        """Send the rows as one batch; one that Datadog finds too large, as two, and so on. Returns the last status.

        Raises:
            TransientError, AuthenticationError, PermanentError: See the head of this file.
        """
        self.status = None
        name = batch_id(self._destination.id, rows[0].id, rows[-1].id)
        answer = self._ask(name, rows)
        self.status = answer.status
        if self._destination.kind == "datadog" and answer.status == _TOO_LARGE and len(rows) > 1:
            half = len(rows) // 2
            self.send(rows[:half])
            return self.send(rows[half:])
        self._judge(answer)
        return answer.status

    def _ask(self, name: UUID, rows: Sequence[Any]) -> HttpAnswer:
        match self._destination.kind:
            case "splunk":
                url, body, headers = self._splunk(name, rows)
            case "datadog":
                url, body, headers = self._datadog(name, rows)
            case _:
                url, body, headers = self._custom(name, rows)
        headers |= {"User-Agent": "Callboard", "X-Correlation-ID": current_run().correlation_id}
        return post(
            url,
            body,
            headers,
            allow_private=self._settings.allow_private,
            timeout=self._settings.siem_timeout_seconds,
            keep_alive=True,
        )

    def _splunk(self, name: UUID, rows: Sequence[Any]) -> tuple[str, bytes, dict[str, str]]:
        headers = {
            "Content-Type": "application/json",
            "Authorization": f"Splunk {self._destination.token}",
            "X-Splunk-Request-Channel": str(name),
        }
        return self._url(_SPLUNK_PATH), documents.splunk(self._destination, name, rows), headers

    def _datadog(self, name: UUID, rows: Sequence[Any]) -> tuple[str, bytes, dict[str, str]]:
        document = documents.datadog(self._destination, name, rows, now=datetime.now(UTC))
        body = gzip.compress(document, compresslevel=1)
        headers = {
            "Content-Type": "application/json",
            "Content-Encoding": "gzip",
            "DD-API-KEY": self._destination.token,
            "Idempotency-Key": str(name),
        }
        return self._url(_DATADOG_PATH), body, headers

    def _custom(self, name: UUID, rows: Sequence[Any]) -> tuple[str, bytes, dict[str, str]]:
        body, at = documents.custom(name, rows), datetime.now(UTC)
        try:
            signature = Webhook(self._destination.token).sign(str(name), at, body.decode())
        except ValueError as error:  # of base64; the secret itself must not be told
            raise PermanentError(f"SIEM destination {self._destination.id}: its secret is no whsec_ one") from error
        headers = {
            "Content-Type": "application/json",
            "webhook-id": str(name),
            "webhook-timestamp": str(int(at.timestamp())),
            "webhook-signature": signature,
        }
        return self._destination.url, body, headers

    def _url(self, path: str) -> str:
        """A base URL with the vendor's path; one that has a path already stays as it is."""
        url = self._destination.url
        return url if urlsplit(url).path.strip("/") else url.rstrip("/") + path

    def _judge(self, answer: HttpAnswer) -> None:
        status, kind = answer.status, self._destination.kind
        code, told = _said(answer) if kind == "splunk" else (0, "")
        if status in _SUCCESS and not code:
            return
        told = f"SIEM destination {self._destination.id} ({kind}) answered {status}{told}"
        passing = {"splunk": _SPLUNK_PASSING, "datadog": _DATADOG_PASSING}.get(kind, _PASSING)
        if status in passing or code in _SPLUNK_BUSY:
            raise TransientError(told, retry_after=answer.retry_after)
        if status in _REFUSED:
            raise AuthenticationError(f"{told}: renew its token")
        raise PermanentError(told)


def _said(answer: HttpAnswer) -> tuple[int, str]:
    """Splunk's own code, 0 for success, and its text."""
    try:
        document = orjson.loads(answer.body)
        code = int(document["code"])
    except (ValueError, TypeError, KeyError):
        return 0, ""
    return code, f", code {code}: {document.get('text', '')}"[:_SHOWN]
