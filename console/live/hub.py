"""The hub of a console process: hears what changed, and tells everybody who may know."""

from __future__ import annotations

import asyncio
import contextlib
from collections import Counter
from dataclasses import replace
from typing import TYPE_CHECKING, Final

import structlog

from callboard import news
from console.live.history import History
from console.live.listener import Listener
from console.live.rights import REVIEW_SECONDS, Rights
from console.live.subscriber import Subscriber

if TYPE_CHECKING:
    from collections.abc import Collection
    from uuid import UUID

    from callboard.news import News, Topic
    from callboard.settings import Settings
    from console.live.rights import Credential, Hearing

_log = structlog.get_logger(__name__)

#: Streams that one person, or all together, may hold open.
MOST_OF_ONE: Final = 32
MOST_OF_ALL: Final = 1000


class Full(Exception):  # noqa: N818 - the outcome
    """No stream more; `status` is 429 if this person has too many, 503 if there are too many in all."""

    def __init__(self, status: int, message: str) -> None:
        super().__init__(message)
        self.status = status


class Hub:
    """Start it in the event loop that the streams run in; everything but the rights is done there."""

    def __init__(
        self,
        settings: Settings,
        *,
        most_of_one: int = MOST_OF_ONE,
        most_of_all: int = MOST_OF_ALL,
        review_seconds: float = REVIEW_SECONDS,
    ) -> None:
        self._history = History()
        self._listener = Listener(settings, self._hear, self._after_silence)
        self._rights = Rights(self._credentials, self._review, seconds=review_seconds)
        self._subscribers: dict[Subscriber, tuple[Credential, UUID]] = {}
        self._of_one: Counter[UUID] = Counter()
        self._most_of_one, self._most_of_all = most_of_one, most_of_all
        self._tasks: list[asyncio.Task[None]] = []
        self._ending = False

    @property
    def listeners(self) -> int:
        """Streams that are open."""
        return len(self._subscribers)

    @property
    def hears(self) -> bool:
        """Whether Postgres tells it what changes."""
        return self._listener.listening.is_set()

    @property
    def position(self) -> str:
        """What a page is as old as; with it in `since`, its stream misses nothing that came while it was loading."""
        return self._history.position(self._history.number)

    async def start(self) -> None:
        """Begin to listen; it does not wait for Postgres."""
        self._ending = False
        loop = asyncio.get_running_loop()
        self._tasks = [
            loop.create_task(self._listener.run(), name="live-listener"),
            loop.create_task(self._rights.run(), name="live-rights"),
        ]

    async def stop(self) -> None:
        """End the streams and stop listening."""
        self.end_all()
        for task in self._tasks:
            task.cancel()
        for task in self._tasks:
            with contextlib.suppress(asyncio.CancelledError):
                await task
        self._tasks = []

    def end_all(self) -> None:
        """End every stream; browsers come back by themselves."""
        self._ending = True
        for subscriber in self._subscribers:
            subscriber.end()

    def subscribe(self, topics: Collection[Topic], hearing: Hearing, position: str | None) -> Subscriber:
        """A new listener, with what it has missed since `position`.

        Raises:
            Full: There are too many streams.
        """
        self._require_room(hearing.user_id)
        subscriber = Subscriber(topics, hearing.reach)
        self._subscribers[subscriber] = (hearing.credential, hearing.user_id)
        self._of_one[hearing.user_id] += 1
        if position is not None:
            for number, told in self._history.since(position):
                subscriber.offer(number, told)
        return subscriber

    def _require_room(self, user_id: UUID) -> None:
        if self._ending:
            raise Full(503, "the console is stopping.")
        if self._of_one[user_id] >= self._most_of_one:
            raise Full(429, f"you have {self._most_of_one} live pages open; close some.")
        if len(self._subscribers) >= self._most_of_all:
            raise Full(503, f"{self._most_of_all} live pages are open; reload this one later.")

    def unsubscribe(self, subscriber: Subscriber) -> None:
        """It has gone."""
        _, user_id = self._subscribers.pop(subscriber)
        self._of_one[user_id] -= 1
        if not self._of_one[user_id]:
            del self._of_one[user_id]

    def take(self, subscriber: Subscriber, now: float) -> bytes:
        """What may be told to it now."""
        return subscriber.take(now, self._history.number, self._history.position)

    def _hear(self, payload: str) -> None:
        heard = news.decode(payload)
        if heard is None:
            _log.warning("live.unreadable", payload=payload[:100])
        elif heard.topics:
            self._tell(_with_metrics(heard))

    def _after_silence(self) -> None:
        self._tell(news.EVERYTHING)

    def _tell(self, told: News) -> None:
        number = self._history.add(told)
        for subscriber in self._subscribers:
            subscriber.offer(number, told)

    def _review(self, known: dict[Credential, Hearing | None]) -> None:
        """What became of sign-ins and keys: end what no longer holds, and let nobody hear more than they may now."""
        for subscriber, (credential, _) in self._subscribers.items():
            if credential not in known:
                continue
            hearing = known[credential]
            if hearing is None:
                subscriber.end()
            else:
                subscriber.reach = hearing.reach

    def _credentials(self) -> set[Credential]:
        """Of everybody who listens."""
        return {credential for credential, _ in self._subscribers.values()}


def _with_metrics(told: News) -> News:
    """Where runs changed, the numbers about them did; a listener hears of those less often."""
    if "jobs_changed" not in told.topics:
        return told
    return replace(told, topics=told.topics | {"dashboard_metrics_changed"})
