"""The server of the in-memory broker: what Redis keeps for the Redis broker, in this process, under one lock.

Several brokers on one store are several workers, each with a lease of its own. The store's clock is the server's
clock: leases and delays go by it, and a test may hand in its own.
"""

from __future__ import annotations

import heapq
import itertools
import threading
import time
from collections import OrderedDict, defaultdict
from dataclasses import dataclass, field
from typing import TYPE_CHECKING

from callboard.broker.delivery import Delayed, Depth

if TYPE_CHECKING:
    from collections.abc import Callable, Collection, Iterable, Mapping, Sequence


@dataclass(slots=True, eq=False)
class Entry:
    """A message as the store keeps it.

    Attributes:
        id: The delivery's id, one to a queue.
        queue: Where it lies.
        body: Its bytes.
        priority: Lower is first.
        crashes: How often a worker that held it died.
        since: The store's time when it may start.
        number: Its turn among all messages of the store that became ready.
    """

    id: str
    queue: str
    body: bytes
    priority: int = 0
    crashes: int = 0
    since: float = 0.0
    number: int = 0


@dataclass(slots=True, eq=False)
class _Queue:
    """One queue; a message is in exactly one of `ready`, `claimed` and `later`."""

    ready: defaultdict[int, OrderedDict[str, Entry]] = field(default_factory=lambda: defaultdict(OrderedDict))
    claimed: dict[str, Entry] = field(default_factory=dict)
    later: dict[str, Entry] = field(default_factory=dict)
    limit: int | None = None
    paused: bool = False

    def has(self, delivery: str) -> bool:
        return delivery in self.claimed or delivery in self.later or any(delivery in level for level in self._levels())

    def _levels(self) -> list[OrderedDict[str, Entry]]:
        return [self.ready[priority] for priority in sorted(self.ready)]

    def head(self) -> Entry | None:
        """The next message, whether or not it may be handed out."""
        return next((next(iter(level.values())) for level in self._levels() if level), None)

    def oldest(self, now: float) -> float:
        return max((now - next(iter(level.values())).since for level in self._levels() if level), default=0.0)

    def count(self) -> int:
        return sum(map(len, self.ready.values()))

    def room(self) -> float:
        """How many messages may be handed out."""
        if self.paused:
            return 0
        return float("inf") if self.limit is None else max(self.limit - len(self.claimed), 0)

    def pop(self) -> Entry | None:
        entry = self.head()
        if entry is not None:
            del self.ready[entry.priority][entry.id]
        return entry

    def drop(self, delivery: str) -> bool:
        places: list[dict[str, Entry]] = [self.later, *self._levels()]
        return any(place.pop(delivery, None) is not None for place in places)


class MemoryStore:
    """What the brokers in this process share.

    Args:
        clock: Seconds from any beginning, never going back.
        lease_seconds: A worker that has not pulsed for so long is dead.
        heartbeat_seconds: How often its workers are to pulse.
    """

    def __init__(
        self,
        *,
        clock: Callable[[], float] = time.monotonic,
        lease_seconds: float = 15.0,
        heartbeat_seconds: float = 3.0,
    ) -> None:
        self.clock = clock
        self.lease_seconds = lease_seconds
        self.heartbeat_seconds = heartbeat_seconds
        self.changed = threading.Condition()
        self.leases: dict[str, float] = {}
        self._queues: defaultdict[str, _Queue] = defaultdict(_Queue)
        self._held: defaultdict[str, dict[tuple[str, str], Entry]] = defaultdict(dict)
        self._due: list[tuple[float, int, Entry]] = []  # a heap; what was dropped stays in it until it is due
        self._numbers = itertools.count(1)

    def wake(self) -> None:
        """Let the waiting fetches look again, e.g. after the clock was moved."""
        with self.changed:
            self.changed.notify_all()

    def put(self, entries: Iterable[Entry], delay: float | None) -> None:
        """Keep messages, due after `delay` seconds; one whose id its queue has already is passed over."""
        with self.changed:
            for entry in entries:
                if not self._queues[entry.queue].has(entry.id):
                    self._keep(entry, delay)
            self.changed.notify_all()

    def _keep(self, entry: Entry, delay: float | None) -> None:
        entry.since = self.clock() + (delay or 0.0)
        if delay is None:
            self._make_ready(entry)
        else:
            self._queues[entry.queue].later[entry.id] = entry
            heapq.heappush(self._due, (entry.since, next(self._numbers), entry))

    def _make_ready(self, entry: Entry, *, first: bool = False) -> None:
        level = self._queues[entry.queue].ready[entry.priority]
        if not first:
            entry.number = next(self._numbers)
        level[entry.id] = entry
        level.move_to_end(entry.id, last=not first)

    def promote(self) -> float:
        """Make ready what is due; returns the seconds until the next is, infinite if none waits."""
        with self.changed:
            now = self.clock()
            while self._due and (self._due[0][0] <= now or not self._waits(self._due[0][2])):
                entry = heapq.heappop(self._due)[2]
                if self._waits(entry):
                    del self._queues[entry.queue].later[entry.id]
                    self._make_ready(entry)
                    self.changed.notify_all()
            return self._due[0][0] - now if self._due else float("inf")

    def _waits(self, entry: Entry) -> bool:
        return self._queues[entry.queue].later.get(entry.id) is entry

    def take(self, worker: str, lanes: Iterable[tuple[Sequence[str], int]]) -> list[Entry]:
        """Hand messages to a worker, at most so many from the queues of each lane, the first queue first."""
        with self.changed:
            self.promote()
            if self.leases.get(worker, 0.0) <= self.clock():
                self._renew(worker)
            return [self._hand_over(worker, entry) for queues, room in lanes for entry in self._taken(queues, room)]

    def _taken(self, queues: Sequence[str], room: int) -> Iterable[Entry]:
        for name in queues:
            queue = self._queues[name]
            while room > 0 and queue.room() > 0 and (entry := queue.pop()) is not None:
                room -= 1
                yield entry

    def _hand_over(self, worker: str, entry: Entry) -> Entry:
        self._queues[entry.queue].claimed[entry.id] = entry
        self._held[worker][entry.queue, entry.id] = entry
        return entry

    def release(self, worker: str, queue: str, delivery: str) -> Entry | None:
        """Take a message out of a worker's hands; None if it does not hold it."""
        with self.changed:
            entry = self._held[worker].pop((queue, delivery), None)
            if entry is not None:
                del self._queues[queue].claimed[delivery]
                self.changed.notify_all()
            return entry

    def give_back(self, entries: Sequence[Entry]) -> None:
        """Put released messages before all others of their priority, in the order given."""
        with self.changed:
            for entry in reversed(entries):
                self._make_ready(entry, first=True)
            self.changed.notify_all()

    def _renew(self, worker: str) -> None:
        self.leases[worker] = self.clock() + self.lease_seconds

    def pulse(self, worker: str) -> float:
        """Renew a worker's lease and take over from the dead; returns the seconds until the next message is due."""
        with self.changed:
            self._renew(worker)
            for dead in [name for name, until in self.leases.items() if until <= self.clock()]:
                for entry in self.leave(dead):
                    entry.crashes += 1
            return self.promote()

    def leave(self, worker: str) -> list[Entry]:
        """End a worker's lease and give back what it holds; returns that."""
        with self.changed:
            self.leases.pop(worker, None)
            given = [entry for queue, name in self.held_by(worker) if (entry := self.release(worker, queue, name))]
            self._held.pop(worker, None)
            self.give_back(given)
            return given

    def held_by(self, worker: str) -> list[tuple[str, str]]:
        """The (queue, id) of all that a worker holds."""
        with self.changed:
            return list(self._held.get(worker, ()))

    def alive(self) -> set[str]:
        """The workers whose lease runs."""
        with self.changed:
            return {worker for worker, until in self.leases.items() if until > self.clock()}

    def head(self, queues: Collection[str]) -> str | None:
        """That of the queues whose next message became ready first."""
        with self.changed:
            heads = [entry for name in queues if (entry := self._queues[name].head()) is not None]
            return min(heads, key=lambda entry: entry.number).queue if heads else None

    def has(self, queue: str, delivery: str) -> bool:
        """Whether the message is here, ready, claimed or delayed."""
        with self.changed:
            return self._queues[queue].has(delivery)

    def depth(self, name: str) -> Depth:
        """The counts of one queue; only those of the dead are counted one by one."""
        with self.changed:
            queue, alive = self._queues[name], self.alive()
            dead = [held for worker, held in self._held.items() if worker not in alive]
            orphaned = sum(where == name for held in dead for where, _ in held)
            oldest = queue.oldest(self.clock())
            return Depth(queue.count(), len(queue.claimed), len(queue.later), oldest, orphaned)

    def delayed(self, name: str, limit: int) -> list[Delayed]:
        """What waits for its time, the next one first."""
        with self.changed:
            now = self.clock()
            rows = heapq.nsmallest(limit, self._queues[name].later.values(), key=lambda entry: entry.since)
            return [Delayed(entry.id, entry.body, max(entry.since - now, 0.0)) for entry in rows]

    def drop(self, name: str, delivery: str) -> bool:
        """Forget a message that waits."""
        with self.changed:
            return self._queues[name].drop(delivery)

    def set_paused(self, name: str, *, paused: bool) -> None:
        """Hand out nothing of a queue, or do so again."""
        with self.changed:
            self._queues[name].paused = paused
            self.changed.notify_all()

    def paused(self) -> set[str]:
        """The queues of which nothing is handed out."""
        with self.changed:
            return {name for name, queue in self._queues.items() if queue.paused}

    def set_limits(self, limits: Mapping[str, int | None]) -> None:
        """Bound how many messages of a queue are held at once."""
        with self.changed:
            for name, limit in limits.items():
                self._queues[name].limit = limit
            self.changed.notify_all()
