"""A machine that does to a broker whatever may happen to one, in any order, and keeps count of every message.

    python -m tests.conformance.state_machine --steps 10000 --transport redis

What it holds true at every step: each delivery that was enqueued is ready, delayed, held by exactly one worker, or
done; the broker's counts say the same; what a fetch brings was ready, of a queue that may give, as urgent as anything
it leaves, and counts exactly the crashes it has survived. At the end all that is not done can be fetched, once.
"""

from __future__ import annotations

import argparse
import random
import sys
import tempfile
import time
from collections import Counter
from collections.abc import Callable, Iterable, Sequence
from dataclasses import dataclass, field
from pathlib import Path
from typing import Any, ClassVar

from dramatiq import Message
from hypothesis import HealthCheck, Phase, seed, settings
from hypothesis import strategies as st
from hypothesis.stateful import (
    RuleBasedStateMachine,
    initialize,
    invariant,
    precondition,
    rule,
    run_state_machine_as_test,
)

from callboard.broker import Delivery, Lane, Transport
from callboard.embedded import EmbeddedServers
from callboard.outcome import Acknowledge, GiveBack, Resend, Settlement
from tests.conformance.rigs import ACTORS, MemoryRig, RedisRig, Rig, message

QUEUES = ("q", "other")
#: Delays are multiples of this, so long that the test's own run time does not count beside it.
DAY = 100_000.0
#: So many messages at a time; more would make every step slower and find nothing else.
_MOST = 40

_some = st.integers(0, 63)
_queues = st.sampled_from(QUEUES)
_actors = st.sampled_from(sorted(ACTORS))


@dataclass
class Piece:
    """One delivery, as it should be."""

    message: Message[Any]
    place: str
    due: float = 0.0
    crashes: int = 0

    @property
    def queue(self) -> str:
        return self.message.queue_name

    @property
    def priority(self) -> int:
        return ACTORS[self.message.actor_name]


@dataclass
class Process:
    """A worker process: what it holds and knows of, and what it holds and does not know of."""

    broker: Transport
    hands: dict[str, Delivery] = field(default_factory=dict)
    lost: set[str] = field(default_factory=set)
    missed_once: set[str] = field(default_factory=set)

    def everything(self) -> set[str]:
        return self.lost | set(self.hands)


class World(RuleBasedStateMachine):
    """Producers, three workers, an operator, and bad luck."""

    make_rig: ClassVar[Callable[[], Rig]]
    steps: ClassVar[int] = 0
    #: How many messages met with what, so that a machine that plays nothing is seen.
    tally: ClassVar[Counter[str]] = Counter()

    def __init__(self) -> None:
        super().__init__()
        self.rig = type(self).make_rig()
        self.pieces: dict[str, Piece] = {}
        self.done: list[tuple[str, str]] = []
        self.processes: list[Process] = []
        self.dead: list[Process] = []
        self.past: list[tuple[Transport, Delivery]] = []
        self.paused: set[str] = set()
        self.limits: dict[str, int | None] = dict.fromkeys(QUEUES)
        self.now = 0.0
        self.number = 0

    @initialize()
    def begin(self) -> None:
        self.producer = self.rig.worker()
        self.processes = [self._process() for _ in range(3)]
        for number in range(12):
            self.producer.enqueue(self._new(QUEUES[number % 2], sorted(ACTORS)[number % 3], 0))
        for who, queues in enumerate([QUEUES, ("q",)]):
            self.fetch(who, 3, queues, lost=bool(who))

    def _process(self) -> Process:
        process = Process(self.rig.worker())
        process.broker.pulse(held=())
        return process

    # Producers

    @precondition(lambda self: len(self.pieces) < _MOST)
    @rule(count=st.integers(1, 6), queue=_queues, actor=_actors, days=st.integers(0, 3), lost=st.booleans())
    def enqueue(self, count: int, queue: str, actor: str, days: int, lost: bool) -> None:  # noqa: FBT001 - drawn by name
        batch = [self._new(queue, actor, days) for _ in range(count)]
        for _ in range(1 + lost):
            if count == 1:
                self.producer.enqueue(batch[0], delay=int(days * DAY * 1000) or None)
            else:
                self.producer.enqueue_many(batch, delay=int(days * DAY * 1000) or None)

    def _new(self, queue: str, actor: str, days: int) -> Message[Any]:
        self.number += 1
        new = message(self.number, queue, actor)
        self._keep(new, days)
        return new

    def _keep(self, new: Message[Any], days: int, crashes: int = 0) -> None:
        name = f"{new.message_id}.{new.options.get('retries', 0)}"
        assert name not in self.pieces
        self.pieces[name] = Piece(new.copy(), "delayed" if days else "ready", self.now + days * DAY, crashes)

    @precondition(lambda self: self.pieces)
    @rule(which=_some)
    def enqueue_what_is_there(self, which: int) -> None:
        self.producer.enqueue(_pick(list(self.pieces.values()), which).message)

    # Workers

    @rule(who=_some, room=st.integers(0, 9), queues=st.sampled_from([("q",), ("other",), QUEUES]), lost=st.booleans())
    def fetch(self, who: int, room: int, queues: Sequence[str], lost: bool) -> None:  # noqa: FBT001 - drawn by name
        process = _pick(self.processes, who)
        self._check_fetch(process, queues, room, process.broker.fetch([Lane(queues, room)], 0), lost=lost)

    @rule(who=_some, room=st.integers(1, 4), other=st.integers(1, 4))
    def fetch_two_lanes(self, who: int, room: int, other: int) -> None:
        process = _pick(self.processes, who)
        found = process.broker.fetch([Lane(("q",), room), Lane(("other",), other)], 0)
        for queue, size in (("q", room), ("other", other)):
            part = [delivery for delivery in found if delivery.queue == queue]
            self._check_fetch(process, (queue,), size, part, lost=False)

    def _check_fetch(
        self, process: Process, queues: Sequence[str], room: int, found: list[Delivery], *, lost: bool
    ) -> None:
        assert len(found) == min(room, sum(self._available(queue) for queue in queues))
        for delivery in found:
            piece = self.pieces[delivery.id]
            assert (piece.place, piece.queue) == ("ready", delivery.queue)
            assert delivery.queue in queues
            assert delivery.message is not None
            assert delivery.message.args == piece.message.args
            assert delivery.crashes == piece.crashes
            piece.place = "held"
        for delivery in found:
            left = [piece.priority for piece in self._at("ready", delivery.queue)]
            assert self.pieces[delivery.id].priority <= min(left, default=1_000)
        self.tally["fetched"] += len(found)
        self.tally["fetched, reply lost"] += lost * len(found)
        if lost:
            process.lost.update(delivery.id for delivery in found)
        else:
            process.hands.update((delivery.id, delivery) for delivery in found)

    def _available(self, queue: str) -> int:
        if queue in self.paused:
            return 0
        ready, held, limit = len(self._at("ready", queue)), len(self._at("held", queue)), self.limits[queue]
        return ready if limit is None else max(min(ready, limit - held), 0)

    def _at(self, place: str, queue: str) -> list[Piece]:
        return [piece for piece in self.pieces.values() if (piece.place, piece.queue) == (place, queue)]

    @precondition(lambda self: any(process.hands for process in self.processes))
    @rule(who=_some, decisions=st.lists(st.integers(0, 3), min_size=2, max_size=9), lost=st.booleans())
    def settle(self, who: int, decisions: list[int], lost: bool) -> None:  # noqa: FBT001 - drawn by name
        process = _pick([process for process in self.processes if process.hands], who)
        chosen = list(zip(list(process.hands.values()), decisions, strict=False))
        batch = [(delivery, _settlement(delivery, decision)) for delivery, decision in chosen]
        for _ in range(1 + lost):
            process.broker.settle(batch)
        for delivery, settlement in batch:
            del process.hands[delivery.id]
            self.past.append((process.broker, delivery))
            self._settled(delivery, settlement)
        self.producer.pulse()  # what was sent again without delay is due

    def _settled(self, delivery: Delivery, settlement: Settlement) -> None:
        self.tally[type(settlement).__name__] += 1
        piece = self.pieces[delivery.id]
        if isinstance(settlement, GiveBack):
            piece.place = "ready"
            return
        del self.pieces[delivery.id]
        self.done.append((piece.queue, delivery.id))
        if isinstance(settlement, Resend):
            assert delivery.message is not None
            self._keep(delivery.message, round(settlement.delay / DAY), crashes=delivery.crashes)

    @rule(who=_some)
    def pulse(self, who: int) -> None:
        process = _pick([process for process in self.processes if process.lost] or self.processes, who)
        process.broker.pulse(held=list(process.hands))
        strays = process.lost & process.missed_once
        self.tally["strays"] += len(strays)
        process.lost -= strays
        process.missed_once = set(process.lost)
        self._ready(strays)

    def _ready(self, names: Iterable[str], *, crashed: bool = False) -> None:
        for name in names:
            self.pieces[name].place = "ready"
            self.pieces[name].crashes += crashed

    @rule(who=_some)
    def leave(self, who: int) -> None:
        process = _pick(self.processes, who)
        process.broker.leave()
        self._gone(process, crashed=False)

    def _gone(self, process: Process, *, crashed: bool) -> None:
        self.tally["taken over" if crashed else "left"] += len(process.everything())
        self._ready(process.everything(), crashed=crashed)
        self.past += [(process.broker, delivery) for delivery in process.hands.values()]
        process.hands, process.lost = {}, set()

    # Bad luck

    @precondition(lambda self: len(self.dead) < 3 and any(process.everything() for process in self.processes))
    @rule(who=_some)
    def crash(self, who: int) -> None:
        process = _pick([process for process in self.processes if process.everything()], who)
        self.processes[self.processes.index(process)] = self._process()
        self.dead.append(process)

    @precondition(lambda self: self.dead)
    @rule(who=_some, finder=_some)
    def the_lease_of_a_dead_one_ends(self, who: int, finder: int) -> None:
        process = self.dead.pop(who % len(self.dead))
        self._expire(process, _pick(self.processes, finder))

    @rule(who=_some)
    def a_frozen_one_is_taken_for_dead(self, who: int) -> None:
        process = _pick(self.processes, who)
        process.broker.pulse()  # it may have left, and must have a lease to lose
        self._expire(process, _pick(self.processes, who + 1))

    def _expire(self, process: Process, finder: Process) -> None:
        if process.broker.broker_id in self.producer.alive():
            self.rig.expire(process.broker)
            finder.broker.pulse()
        self._gone(process, crashed=True)

    @precondition(lambda self: self.past)
    @rule(which=_some, decision=st.integers(0, 3))
    def somebody_settles_too_late(self, which: int, decision: int) -> None:
        broker, delivery = _pick(self.past, -1 - which)
        if not any(process.broker is broker and delivery.id in process.everything() for process in self._all()):
            self.tally["settled too late"] += 1
            broker.settle([(delivery, _settlement(delivery, decision))])

    def _all(self) -> list[Process]:
        return [*self.processes, *self.dead]

    @rule(days=st.integers(1, 2))
    def the_clock_steps(self, days: int) -> None:
        self.rig.hasten(days * DAY)
        self.now += days * DAY
        self.producer.pulse()
        for piece in self.pieces.values():
            if piece.place == "delayed" and piece.due <= self.now:
                piece.place = "ready"
                self.tally["due"] += 1

    # The operator

    @rule(queue=_queues)
    def pause_or_resume(self, queue: str) -> None:
        if queue in self.paused:
            self.producer.resume(queue)
        else:
            self.producer.pause(queue)
        self.paused ^= {queue}
        assert self.producer.paused() == self.paused

    @rule(queue=_queues, limit=st.sampled_from([None, None, 1, 3, 8]))
    def set_limit(self, queue: str, limit: int | None) -> None:
        self.producer.set_limits({queue: limit})
        self.limits[queue] = limit

    @precondition(lambda self: len(self.pieces) > 10)
    @rule(which=_some)
    def drop(self, which: int) -> None:
        name = _pick(list(self.pieces), which)
        piece = self.pieces[name]
        assert self.producer.drop(piece.queue, name) == (piece.place != "held")
        if piece.place != "held":
            self.tally["dropped"] += 1
            del self.pieces[name]
            self.done.append((piece.queue, name))

    # What holds

    @invariant()
    def every_message_is_in_one_place(self) -> None:
        type(self).steps += 1
        for queue, depth in self.producer.depths(QUEUES).items():
            counts = tuple(len(self._at(place, queue)) for place in ("ready", "held", "delayed"))
            assert depth[:3] == counts, queue
        held = [name for process in self._all() for name in process.everything()]
        assert len(held) == len(set(held))
        assert set(held) == {name for name, piece in self.pieces.items() if piece.place == "held"}
        there = [(piece.queue, name) for name, piece in self.pieces.items()]
        assert all(self.producer.has(there))
        assert not any(self.producer.has([one for one in self.done[-20:] if one[1] not in self.pieces]))

    def teardown(self) -> None:
        try:
            if self.processes and sys.exc_info()[0] is None:
                self._nothing_is_lost()
        finally:
            self.rig.close()

    def _nothing_is_lost(self) -> None:
        last = self._process()
        for process in self._all():
            process.broker.leave()
        for queue in QUEUES:
            last.broker.resume(queue)
        last.broker.set_limits(dict.fromkeys(QUEUES))
        self.rig.hasten(10 * DAY)
        last.broker.pulse()
        found = last.broker.fetch([Lane(QUEUES, 500)], 0)
        assert sorted(delivery.id for delivery in found) == sorted(self.pieces)


def _pick(among: Sequence[Any], which: int) -> Any:  # noqa: ANN401 - an element of what is given
    return among[which % len(among)]


def _settlement(delivery: Delivery, decision: int) -> Settlement:
    if decision == 0:
        return Acknowledge()
    if decision == 1:
        return GiveBack()
    assert delivery.message is not None
    delivery.message.options["retries"] = delivery.message.options.get("retries", 0) + 1
    return Resend((decision - 2) * DAY)


def machine(make_rig: Callable[[], Rig], dice: int) -> type[World]:
    """The machine for one transport, with its own count of steps and its seed."""
    return seed(dice)(type("World", (World,), {"make_rig": staticmethod(make_rig), "steps": 0, "tally": Counter()}))


def profile(*, examples: int, steps: int) -> settings:
    """How long Hypothesis plays; it reports a failure by the shortest way to it that it finds."""
    return settings(
        max_examples=examples,
        stateful_step_count=steps,
        deadline=None,
        database=None,
        suppress_health_check=list(HealthCheck),
        phases=[Phase.generate, Phase.shrink],
        print_blob=False,
    )


def play(make_rig: Callable[[], Rig], steps: int, dice: int) -> tuple[int, Counter[str]]:
    """Play at least so many steps; returns how many, and what happened in them."""
    played, tally = 0, Counter[str]()
    while played < steps:
        world = machine(make_rig, dice)
        run_state_machine_as_test(world, settings=profile(examples=20, steps=100))
        played, dice = played + world.steps, dice + 1
        tally += world.tally
    return played, tally


def main() -> None:
    parser = argparse.ArgumentParser(description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter)
    parser.add_argument("--steps", type=int, default=10_000)
    parser.add_argument("--seed", type=int, default=random.SystemRandom().randrange(2**32))
    parser.add_argument("--transport", choices=["memory", "redis"], default="redis")
    options = parser.parse_args()
    sys.stdout.write(f"transport={options.transport} seed={options.seed}\n")
    began = time.monotonic()
    if options.transport == "memory":
        played, tally = play(MemoryRig, options.steps, options.seed)
    else:
        with tempfile.TemporaryDirectory() as folder, EmbeddedServers(Path(folder)) as servers:
            endpoints = servers.start()
            played, tally = play(lambda: RedisRig(endpoints), options.steps, options.seed)
    sys.stdout.write(f"{played} steps in {time.monotonic() - began:.0f} s, conservation holds\n")
    sys.stdout.write(", ".join(f"{what}: {count}" for what, count in sorted(tally.items())) + "\n")


if __name__ == "__main__":
    main()
