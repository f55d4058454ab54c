"""What a provider said: its document, its limits, and how long it wants us to wait."""

from __future__ import annotations

import json
from dataclasses import dataclass
from datetime import UTC, datetime
from email.utils import parsedate_to_datetime
from time import time
from typing import TYPE_CHECKING, Any

from callboard import TransientError

if TYPE_CHECKING:
    from collections.abc import Mapping

    import httpx

_TOO_MANY = 429


@dataclass(frozen=True, slots=True)
class Answer:
    """What a provider said."""

    url: str
    status: int
    headers: httpx.Headers
    body: bytes

    def json(self) -> Any:  # noqa: ANN401 - whatever it holds
        """The document in it.

        Raises:
            TransientError: There is none.
        """
        try:
            return json.loads(self.body)
        except ValueError as error:
            raise TransientError(f"{self.url} answered broken JSON: {type(error).__name__}") from None

    def object(self) -> dict[str, Any]:
        """The object in it.

        Raises:
            TransientError: It is none.
        """
        document = self.json()
        if not isinstance(document, dict):
            raise TransientError(f"{self.url} answered something else than an object")
        return document

    def list(self, name: str) -> list[Any]:
        """The list of that name in the object in it.

        Raises:
            TransientError: There is none.
        """
        found = self.object().get(name)
        if not isinstance(found, list):
            raise TransientError(f"{self.url} answered an object without the list {name!r}")
        return found

    def text(self) -> str:
        """Its content as text, without a byte order mark; what is no UTF-8 is replaced."""
        return self.body.decode("utf-8-sig", "replace")


def too_many(answer: Answer) -> bool:
    """Whether the provider says that it was asked too often."""
    return answer.status == _TOO_MANY


def pause_of(headers: Mapping[str, str], now: float | None = None) -> float | None:
    """Seconds to wait, by Retry-After (seconds or a date) or, once GitHub's limit is used up, until its reset.

    None where the headers say nothing of the kind.
    """
    at = time() if now is None else now
    told = headers.get("retry-after", "").strip()
    if told:
        return _seconds(told, at)
    reset = headers.get("x-ratelimit-reset", "")
    if headers.get("x-ratelimit-remaining") == "0" and reset.isdigit():
        return max(int(reset) - at, 0.0)
    return None


def _seconds(told: str, at: float) -> float | None:
    if told.isdecimal():
        return float(told)
    try:
        moment = parsedate_to_datetime(told)
    except (ValueError, OverflowError):
        return None
    return max((moment if moment.tzinfo else moment.replace(tzinfo=UTC)).timestamp() - at, 0.0)


def moment(text: str) -> datetime:
    """A time as providers write it.

    Raises:
        ValueError: It is none.
    """
    found = datetime.fromisoformat(text)
    return found if found.tzinfo else found.replace(tzinfo=UTC)
