"""A lane: queues with threads of their own, and how much of them to fetch ahead."""

from __future__ import annotations

import math
import threading
import time
from collections import deque
from typing import TYPE_CHECKING, NamedTuple, Protocol

from callboard.worker.quarantine import SUSPECT_CRASHES

if TYPE_CHECKING:
    from collections.abc import Sequence

    from callboard.broker.delivery import Delivery
    from callboard.worker.quarantine import Quarantine

#: Threads are woken for what lies ready only as far as they are needed to be done with it in this time: more would only
#: pass the interpreter's lock around. Where nothing has ended for so long, the rest are woken too.
NUDGE_SECONDS = 0.002
# What lies ready here should be taken within this long at the pace of the last jobs; more is left to other workers.
_AHEAD_SECONDS = 0.02
_MOST_AHEAD = 256
# A job takes longer than this (seconds).
_LEAST = 1e-6
# Weight of the latest job in the moving average of run times.
_WEIGHT = 0.1


class LanePlan(NamedTuple):
    """A lane as it is asked for; without queues it takes all that no other lane names."""

    name: str
    queues: tuple[str, ...]
    threads: int


class Owner(Protocol):
    """What a lane needs of its worker."""

    quarantine: Quarantine

    def execute(self, delivery: Delivery) -> None:
        """Do one delivery; never raises."""

    def has_room(self) -> None:
        """The lane can take more, and had been full."""

    def refuse(self, delivery: Delivery, *, suspect: bool) -> None:
        """Take a delivery that may not begin now; `suspect` if it is one that must run alone."""


class LanePool:
    """Threads that take deliveries from one deque, so that none waits behind a particular slow one.

    `deque.popleft` needs no lock; the lock is only for threads that have nothing to do.

    Args:
        plan: Its name, its queues, and how many jobs it does at once.
        owner: What the threads work for.
    """

    def __init__(self, plan: LanePlan, owner: Owner) -> None:
        self.name, self.queues, self.threads = plan
        self.full = True
        self._owner = owner
        self._execute, self._on_room, self._quarantine = owner.execute, owner.has_room, owner.quarantine
        self._ready: deque[Delivery] = deque()
        self._wake = threading.Condition(threading.Lock())
        self._idle = 0
        self._mean = _AHEAD_SECONDS
        self._ended = self._ended_before = self._seen = 0
        self._seen_at = 0.0
        self._running = True
        self._members = [
            threading.Thread(target=self._work, name=f"{plan.name}-{number}", daemon=True)
            for number in range(plan.threads)
        ]

    def start(self) -> None:
        """Start the threads."""
        for member in self._members:
            member.start()

    def room(self) -> int:
        """How many deliveries to fetch now; 0 while enough lie ready.

        Free threads, and what the lane gets through in 20 ms: a lane of long jobs fetches nothing ahead.
        """
        self.full = True  # before the threads are counted: one that becomes free now sees it, and says so
        ready, ahead = len(self._ready), self._ahead
        moved, self._ended_before = self._ended != self._ended_before, self._ended
        if (ready and not self._idle and not moved) or self._quarantine.closed:
            return 0  # what lies ready is to be given back rather than added to
        room = self._idle + ahead - ready
        if room <= 0 or (ready > ahead // 2 and ready >= self._idle):
            return 0
        self.full = False
        return room

    @property
    def _ahead(self) -> int:
        return min(int(self.threads * _AHEAD_SECONDS / max(self._mean, _LEAST)), _MOST_AHEAD)

    def put(self, deliveries: Sequence[Delivery]) -> None:
        """Hand deliveries to the threads."""
        self._ready.extend(deliveries)
        idle = self._idle
        wanted = math.ceil(len(self._ready) * self._mean / NUDGE_SECONDS)
        missing = min(max(wanted, 1) - (self.threads - idle), idle)
        if missing > 0:
            with self._wake:
                self._wake.notify(missing)

    @property
    def idle(self) -> int:
        """Threads that have nothing to do."""
        return self._idle

    def nudge(self) -> None:
        """Wake whoever is idle: a job takes longer than such jobs did, and others must not wait behind it."""
        with self._wake:
            self._wake.notify(len(self._ready))

    def stalled_for(self, now: float) -> float:
        """Seconds for which deliveries have lain here and none has ended; asked again and again."""
        if self._ended != self._seen or not self.waiting:
            self._seen, self._seen_at = self._ended, now
        return now - self._seen_at

    @property
    def waiting(self) -> int:
        """Deliveries that no thread has begun."""
        return len(self._ready)

    def take_back(self) -> list[Delivery]:
        """Everything that no thread has begun; the lane has it no more, and expects long jobs from now on."""
        self._mean = max(self._mean, 1.0)
        taken = []
        while self._ready:
            try:
                taken.append(self._ready.popleft())
            except IndexError:
                break
        return taken

    def stop(self) -> list[Delivery]:
        """Take no more; threads end with what they are doing. Returns what was not begun."""
        self._running = False
        taken = self.take_back()
        with self._wake:
            self._wake.notify_all()
        return taken

    def join(self, deadline: float) -> bool:
        """Wait for the threads until `deadline` (monotonic); True if all have ended."""
        for member in self._members:
            member.join(max(deadline - time.monotonic(), 0.0))
        return not any(member.is_alive() for member in self._members)

    def _work(self) -> None:
        ready, quarantine, me = self._ready, self._quarantine, threading.current_thread().name
        busy = quarantine.busy
        while self._running:
            try:
                delivery = ready.popleft()
            except IndexError:
                self._wait()
                continue
            busy.add(me)  # before the gate is looked at, see there
            if quarantine.closed or delivery.crashes >= SUSPECT_CRASHES:
                busy.discard(me)
                self._do_carefully(delivery)
                continue
            began = time.monotonic()
            self._execute(delivery)
            mean = self._mean  # read once: `take_back` may set it meanwhile, and a mean below 0 would leave no room
            self._mean = mean + (time.monotonic() - began - mean) * _WEIGHT
            self._ended += 1
            busy.discard(me)
            if quarantine.closed:
                quarantine.ended()
            if self.full and len(ready) <= self._ahead // 2:
                self._on_room()

    def _do_carefully(self, delivery: Delivery) -> None:
        suspect = delivery.crashes >= SUSPECT_CRASHES
        if not (suspect and self._quarantine.enter()):
            self._owner.refuse(delivery, suspect=suspect)
            self._quarantine.await_open()
            return
        try:
            self._execute(delivery)
        finally:
            self._ended += 1
            self._quarantine.leave()

    def _wait(self) -> None:
        with self._wake:
            self._idle += 1
            if self.full:
                self._on_room()
            while self._running and not self._ready:
                self._wake.wait()
            self._idle -= 1
