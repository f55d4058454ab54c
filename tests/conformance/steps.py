"""What the cases of the conformance suite are made of."""

from __future__ import annotations

import threading
import time
from typing import TYPE_CHECKING, Any

from dramatiq.errors import ConnectionClosed

from callboard.broker import Delivery, Lane, Transport
from callboard.outcome import Acknowledge, GiveBack, Resend
from tests.support import eventually

if TYPE_CHECKING:
    from collections.abc import Callable, Sequence


def take(worker: Transport, room: int = 10, *queues: str, timeout: float = 0.0) -> list[Delivery]:
    """One fetch of one lane, of queue `q` unless said otherwise; a cut connection is told of once, and then remade."""
    lanes = [Lane(queues or ("q",), room)]
    try:
        return worker.fetch(lanes, timeout)
    except ConnectionClosed:
        return worker.fetch(lanes, timeout)


def collect(worker: Transport, wanted: int, *queues: str) -> list[Delivery]:
    """So many deliveries, by as many fetches and pulses as it takes."""
    found: list[Delivery] = []

    def enough() -> bool:
        worker.pulse()
        found.extend(take(worker, wanted - len(found), *queues, timeout=0.05))
        return len(found) == wanted

    eventually(enough, getattr(worker, "patience", 10.0), what=f"{wanted} deliveries")
    return found


def nothing(worker: Transport, *queues: str) -> bool:
    """Whether a pulse and two looks bring nothing."""
    worker.pulse()
    return take(worker, 10, *queues) == [] and take(worker, 10, *queues, timeout=0.05) == []


def numbers(deliveries: Sequence[Delivery]) -> list[int]:
    """The numbers of the messages, see `rigs.message`."""
    found = [delivery.message for delivery in deliveries]
    assert None not in found, [delivery.defect for delivery in deliveries]
    return [message.args[0] for message in found if message is not None]


def acknowledge(worker: Transport, deliveries: Sequence[Delivery]) -> None:
    worker.settle([(delivery, Acknowledge()) for delivery in deliveries])


def give_back(worker: Transport, deliveries: Sequence[Delivery]) -> None:
    worker.settle([(delivery, GiveBack()) for delivery in deliveries])


def resend(delivery: Delivery, delay: float, *, raised: bool = True) -> tuple[Delivery, Resend]:
    """What a failed attempt is settled with: the message counts one retry more."""
    assert delivery.message is not None
    if raised:
        delivery.message.options["retries"] = delivery.message.options.get("retries", 0) + 1
    return delivery, Resend(delay)


def depth_is(worker: Transport, ready: int, claimed: int, delayed: int, queue: str = "q") -> bool:
    """Whether the queue's counts become these; a transport that sees into no queue counts ready and claimed as one."""

    def as_told() -> bool:
        depth = worker.depths([queue])[queue]
        if worker.knows_contents:
            assert depth[:3] == (ready, claimed, delayed)
        else:
            assert depth.ready + depth.claimed == ready + claimed
        return True

    return eventually(as_told, getattr(worker, "patience", 5.0))


class Waiting:
    """A fetch in a thread of its own, e.g. one that waits."""

    def __init__(self, worker: Transport, *queues: str, room: int = 10, timeout: float = 20.0) -> None:
        self.found: list[Delivery] = []
        self.ended = 0.0
        self._error: BaseException | None = None
        self._call: Callable[[], list[Delivery]] = lambda: take(worker, room, *queues, timeout=timeout)
        self._thread = threading.Thread(target=self._run, daemon=True)
        self._thread.start()

    def _run(self) -> None:
        try:
            self.found = self._call()
        except BaseException as error:  # noqa: BLE001 - raised again where the test waits
            self._error = error
        self.ended = time.monotonic()

    def still(self, seconds: float = 0.2) -> bool:
        """Whether it waits all that time."""
        self._thread.join(seconds)
        return self._thread.is_alive()

    def result(self, *, within: float, since: float | None = None) -> list[Delivery]:
        """What it fetched, at most `within` seconds from now, or from another moment of the monotonic clock."""
        began = time.monotonic() if since is None else since
        self._thread.join(within + 5)
        if self._error is not None:
            raise self._error
        assert not self._thread.is_alive(), "the fetch still waits"
        assert self.ended - began < within
        return self.found


def in_threads(*calls: Callable[[], Any]) -> None:
    """Run all at the same time, until they have ended."""
    errors: list[BaseException] = []

    def run(call: Callable[[], Any]) -> None:
        try:
            call()
        except BaseException as error:  # noqa: BLE001 - told below
            errors.append(error)

    threads = [threading.Thread(target=run, args=(call,), daemon=True) for call in calls]
    for thread in threads:
        thread.start()
    for thread in threads:
        thread.join(30)
    assert not errors, errors
    assert not any(thread.is_alive() for thread in threads), "a thread hangs"
