"""One listener: the topics that wait for it, and when each may be told."""

from __future__ import annotations

import asyncio
from dataclasses import dataclass
from datetime import UTC, datetime
from typing import TYPE_CHECKING, Final

import orjson

from callboard.news import MOST_PROJECTS

if TYPE_CHECKING:
    from collections.abc import Callable, Collection

    from callboard.news import News, Topic

#: Between two messages of one topic to one listener.
THROTTLE_SECONDS: Final = 0.8
#: The same of numbers that cost a page more to draw.
METRICS_SECONDS: Final = 5.0


@dataclass(slots=True)
class _Waiting:
    """A topic that changed: by the first news of it that was not told yet, and the projects of all of them."""

    first: int
    projects: frozenset[str] | None


class Subscriber:
    """Takes news, gives messages. All in the event loop's thread.

    Args:
        topics: What it listens to.
        reach: The projects that it may hear of; None: of everything.
    """

    def __init__(self, topics: Collection[Topic], reach: frozenset[str] | None) -> None:
        self.topics = frozenset(topics)
        self.reach = reach
        self.over = False
        self.wake = asyncio.Event()
        self._waiting: dict[Topic, _Waiting] = {}
        self._next: dict[Topic, float] = {}

    def offer(self, number: int, news: News) -> None:
        """Something changed; what may not be heard is dropped here."""
        wanted = self.topics & news.topics
        if not wanted:
            return
        projects = self._heard(news.projects)
        if projects is not None and not projects:
            return
        for topic in wanted:
            self._add(topic, number, projects)

    def _heard(self, projects: frozenset[str] | None) -> frozenset[str] | None:
        if self.reach is None:
            return projects
        return None if projects is None and self.reach else (projects or frozenset()) & self.reach

    def _add(self, topic: Topic, number: int, projects: frozenset[str] | None) -> None:
        before = self._waiting.get(topic)
        if before is None:
            self._waiting[topic] = _Waiting(number, projects)
            self.wake.set()  # not for what waits already: then it is known when that is due
        elif before.projects is not None:
            both = None if projects is None else before.projects | projects
            before.projects = None if both is None or len(both) > MOST_PROJECTS else both

    def end(self) -> None:
        """No more for this listener."""
        self.over = True
        self.wake.set()

    def take(self, now: float, newest: int, position: Callable[[int], str]) -> bytes:
        """The messages that may be told now; those told too recently stay.

        The id of a message is the position before the first news that still waits: whoever comes back with it misses
        no topic, and hears some twice.
        """
        due = [topic for topic in self._waiting if self._next.get(topic, 0.0) <= now]
        messages = []
        for topic in due:
            waiting = self._waiting.pop(topic)
            self._next[topic] = now + (METRICS_SECONDS if topic == "dashboard_metrics_changed" else THROTTLE_SECONDS)
            told = min((one.first for one in self._waiting.values()), default=newest + 1) - 1
            messages.append(_message(topic, waiting.projects, position(told)))
        return b"".join(messages)

    def next_due(self) -> float | None:
        """When the next of what waits may be told, by the same clock; None if nothing waits."""
        return min((self._next.get(topic, 0.0) for topic in self._waiting), default=None)


def _message(topic: Topic, projects: frozenset[str] | None, position: str) -> bytes:
    body = {
        "topic": topic,
        "sent_at": datetime.now(UTC),
        "payload": {"project_ids": None if projects is None else sorted(projects)},
    }
    return b"id: %b\nevent: %b\ndata: %b\n\n" % (position.encode(), topic.encode(), orjson.dumps(body, option=_FORM))


_FORM: Final = orjson.OPT_UTC_Z | orjson.OPT_OMIT_MICROSECONDS
