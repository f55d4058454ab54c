"""The transports of the conformance suite, one rig each; every test gets fresh namespaces."""

from __future__ import annotations

from typing import TYPE_CHECKING

import pytest
from dramatiq.errors import DecodeError

from callboard import get_settings
from tests.conformance.rigs import MemoryRig, RedisRig, Rig
from tests.conformance.stock import Lacking, StockRig

if TYPE_CHECKING:
    from collections.abc import Callable, Iterator

    from callboard.embedded import Endpoints

#: How a case may fail on a transport that is known to fail it; anything else is a fault of the suite.
HONEST_FAILURES = (AssertionError, Lacking, DecodeError, pytest.fail.Exception)
RIGS: dict[str, Callable[[Endpoints], Rig]] = {"redis": RedisRig, "stock": StockRig}


#: What the stock broker cannot do is the reason for ours, and no business of a quick run; RabbitMQ is slow to start.
_TRANSPORTS = [
    "memory",
    "redis",
    pytest.param("rabbitmq", marks=pytest.mark.long),
    pytest.param("stock", marks=pytest.mark.long),
]


@pytest.fixture(scope="session", params=_TRANSPORTS)
def make_rig(request: pytest.FixtureRequest) -> Callable[[], Rig]:
    """A new rig of one transport; its server is started once."""
    if request.param == "memory":
        return MemoryRig
    if request.param == "rabbitmq":
        return _rabbit(request)
    endpoints: Endpoints = request.getfixturevalue("embedded")
    return lambda: RIGS[request.param](endpoints)


def _rabbit(request: pytest.FixtureRequest) -> Callable[[], Rig]:
    from tests.conformance.rabbit import RabbitRig

    url: str = request.getfixturevalue("rabbitmq").url
    return lambda: RabbitRig(url)


@pytest.fixture
def rig(request: pytest.FixtureRequest, make_rig: Callable[[], Rig]) -> Iterator[Rig]:
    """A transport; a case that it is known to fail must fail."""
    get_settings.cache_clear()
    rig = make_rig()
    case = request.node.originalname
    if case in rig.fails:
        rig.patience = min(rig.patience, 1.0)
        strict = case not in rig.by_chance
        mark = pytest.mark.xfail(reason=rig.fails[case], strict=strict, raises=HONEST_FAILURES)
        request.node.add_marker(mark)
    yield rig
    rig.close()
