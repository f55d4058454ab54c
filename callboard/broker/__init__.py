"""The brokers; `callboard.get_broker` gives the one of this process, with its middleware."""

from __future__ import annotations

from callboard.broker.delivery import Delayed, Delivery, Depth, Lane
from callboard.broker.redis import RedisBroker
from callboard.broker.transport import Transport
from callboard.broker.url import broker_url

__all__ = ["Delayed", "Delivery", "Depth", "Lane", "RedisBroker", "Transport", "broker_url"]
