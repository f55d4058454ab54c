"""RabbitMQ in the suite: what its server cannot know, the cases ask otherwise, or are named here with the reason."""

from __future__ import annotations

from contextlib import closing
from itertools import count
from typing import TYPE_CHECKING, Any, ClassVar

import pika

from callboard.broker.rabbitmq import RabbitBroker
from tests.conformance.rigs import Rig

if TYPE_CHECKING:
    from collections.abc import Mapping

    from callboard.broker import Transport

_numbers = count(1)
_BANDS = "RabbitMQ pushes: what lies here already goes before what is more urgent and still there, in three bands"
_UNKNOWN = "nobody can look into a queue, so a repeated enqueue is a second message; the ledger tells them apart"
_NO_REPLY = "nothing is asked for, so no answer is lost: what was sent and did not arrive, the connection's end frees"
FAILS: Mapping[str, str] = {
    "test_the_urgent_overtake_what_is_queued": _BANDS,
    "test_a_message_may_name_its_own_priority": _BANDS,
    "test_what_is_given_back_does_not_overtake_the_urgent": _BANDS,
    "test_what_is_there_is_not_enqueued_again": _UNKNOWN,
    "test_a_repeated_enqueue_is_one_message": _UNKNOWN,
    "test_a_large_batch_is_settled": "a process holds at most 1,000 messages of a queue",
    "test_a_limit_holds_over_all_workers": "a limit is of each process; over all of them the ledger keeps it",
    "test_pause_and_resume_reach_a_waiting_fetch": "other processes hear of a pause within three seconds",
    "test_a_late_pulse_keeps_what_nobody_took": "the lease is the connection: when it is cut, all goes back at once",
    "test_what_a_worker_does_not_know_of_goes_back": _NO_REPLY,
    "test_only_the_unknown_go_back": _NO_REPLY,
}


class RabbitRig(Rig):
    """Our broker on a real RabbitMQ."""

    fails: ClassVar[Mapping[str, str]] = FAILS
    by_chance: ClassVar[frozenset[str]] = frozenset(case for case, why in FAILS.items() if why == _BANDS)
    far_ms = 3 * 365 * 86_400_000
    patience = 4.0

    def __init__(self, url: str) -> None:
        super().__init__()
        self.url = url
        self.namespace = f"conformance-{next(_numbers)}"

    def _open(self) -> Transport:
        broker: Any = RabbitBroker(url=self.url, middleware=[], namespace=self.namespace)
        broker.patience = self.patience
        opened: Transport = broker
        return opened

    def another(self) -> Rig:
        return RabbitRig(self.url)

    def forge(self, queue: str, delivery: str, body: bytes) -> None:
        self.opened[0].depths([queue])  # which declares it
        with closing(pika.BlockingConnection(pika.URLParameters(self.url))) as connection:
            channel = connection.channel()
            channel.confirm_delivery()
            about = pika.BasicProperties(message_id=delivery)
            channel.basic_publish("", f"{self.namespace}.{queue}", body, about, mandatory=True)

    def expire(self, worker: Transport) -> None:
        """A worker is dead when its connection is."""
        assert isinstance(worker, RabbitBroker)
        session = worker._consuming.session()
        transport = session._connection._transport
        session._connection.ioloop.add_callback_threadsafe(transport.abort)
        session.ended.result(10)

    def seconds(self, told: float) -> float:
        """Nobody can hasten what waits in RabbitMQ, so it waits for a 2,000th of the time."""
        return told / 2_000

    def hasten(self, seconds: float) -> None:
        """It comes by itself, see `seconds`."""
