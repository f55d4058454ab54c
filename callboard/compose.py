"""The broker of this process with the middleware stack on it: made when the first job is declared."""

from __future__ import annotations

import os
from typing import TYPE_CHECKING

import dramatiq.broker
from dramatiq import Broker, set_broker

from callboard.broker import RedisBroker
from callboard.errors import DeclarationError
from callboard.metering import count_enqueued
from callboard.middleware import RunRecord, stack
from callboard.settings import PREFIX

if TYPE_CHECKING:
    from dramatiq import Middleware

    from callboard.broker import Transport


def make_broker(url: str | None = None, *, namespace: str | None = None) -> Transport:
    """A broker with the whole middleware stack; it connects at its first command.

    Args:
        url: `redis://`, `rediss://`, `redis+sentinel://`, `redis+cluster://`, `amqp://`, `amqps://` or `memory://`;
            None: from the settings.
        namespace: Prefix of all keys or queues; None: from the settings.
    """
    # Not by the settings: they are checked when they are first needed, not when the first job is declared.
    scheme = (url or os.environ.get(f"{PREFIX}BROKER_URL", "redis://")).partition("://")[0]
    broker = _make(scheme, url, stack(), namespace)
    broker.on_enqueued = count_enqueued
    return broker


def _make(scheme: str, url: str | None, middleware: list[Middleware], namespace: str | None) -> Transport:
    if scheme in ("amqp", "amqps"):
        from callboard.broker.rabbitmq import RabbitBroker  # noqa: PLC0415 - its client is an extra

        return RabbitBroker(url=url, middleware=middleware, namespace=namespace)
    if scheme == "memory":
        from callboard.broker.memory import MemoryBroker  # noqa: PLC0415 - for tests

        return MemoryBroker(middleware=middleware)
    return RedisBroker(url=url, middleware=middleware, namespace=namespace)


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
