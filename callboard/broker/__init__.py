"""The broker of this process, made when the first job is declared; it connects at its first command."""

from __future__ import annotations

import dramatiq.broker
from dramatiq import Broker, set_broker

from callboard.broker.redis import Depth, RedisBroker, broker_url
from callboard.errors import DeclarationError
from callboard.middleware import RunRecord, stack

__all__ = ["Depth", "RedisBroker", "broker_url", "get_broker", "make_broker"]


def make_broker(url: str | None = None, *, namespace: str | None = None) -> RedisBroker:
    """A broker with the whole middleware stack; it reads its settings and connects at its first command."""
    return RedisBroker(url=url, middleware=stack(), namespace=namespace)


def get_broker() -> Broker:
    """Dramatiq's global broker; Callboard's own when none was set yet.

    Raises:
        DeclarationError: Somebody set a broker without Callboard's middleware.
    """
    broker: Broker | None = dramatiq.broker.global_broker
    if broker is None:
        broker = make_broker()
        set_broker(broker)
    if not any(isinstance(middleware, RunRecord) for middleware in broker.middleware):
        raise DeclarationError(
            f"The global broker {broker!r} lacks Callboard's middleware: build it with "
            "callboard.broker.make_broker(), or with middleware=callboard.middleware.stack()."
        )
    return broker
