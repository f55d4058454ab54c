"""The revenue catalogue on a fresh database, and a RevenueCat of its own."""

from __future__ import annotations

import base64
from contextlib import contextmanager
from typing import TYPE_CHECKING

import pytest

from actors.revenue.clients import revenuecat as client
from actors.revenue.settings import get_revenue_settings
from callboard import get_settings
from callboard.ledger import database
from sandbox.revenuecat import RevenueCatStandIn
from tests.integration.revenue.kit import empty

if TYPE_CHECKING:
    from collections.abc import Callable, Iterator
    from pathlib import Path

KEY = base64.b64encode(bytes(range(32))).decode()


@pytest.fixture(autouse=True)
def _no_names_remembered() -> Iterator[None]:
    """Another test's stand-in may have had the same port."""
    client._remembered.clear()
    yield
    client._remembered.clear()


@pytest.fixture(scope="session")
def shared_url(new_database: Callable[..., str], template_database: str) -> str:
    """A database for all tests that leave the event tables themselves alone: emptying it is quicker than making one."""
    return new_database("revenue_shared", template_database)


@pytest.fixture
def revenue(shared_url: str, tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> Iterator[None]:
    """The catalogue on an empty database, and a key to seal with."""
    with _catalogue(shared_url, tmp_path, monkeypatch):
        empty()
        yield


@pytest.fixture
def own_revenue(postgres_url: str, tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> Iterator[None]:
    """The same, on a database of this test's own."""
    with _catalogue(postgres_url, tmp_path, monkeypatch):
        yield


@contextmanager
def _catalogue(url: str, tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> Iterator[None]:
    monkeypatch.setenv("CALLBOARD_DATABASE_URL", url)
    monkeypatch.setenv("CALLBOARD_HOME", str(tmp_path))
    monkeypatch.setenv("CALLBOARD_SECRET_KEYS", KEY)
    monkeypatch.setenv("CALLBOARD_REVENUE_REVENUECAT_PAUSE_SECONDS", "0")
    forget()
    yield
    forget()


@pytest.fixture
def revenuecat(revenue: None, monkeypatch: pytest.MonkeyPatch) -> Iterator[RevenueCatStandIn]:  # noqa: ARG001 - before it
    """The RevenueCat that the catalogue talks to."""
    with RevenueCatStandIn(most_a_minute=1_000_000) as stand_in:
        monkeypatch.setenv("CALLBOARD_REVENUE_REVENUECAT_URL", f"{stand_in.url}/v2")
        forget()
        yield stand_in


def forget() -> None:
    """What this process keeps of settings and connections."""
    database.dispose()
    get_settings.cache_clear()
    get_revenue_settings.cache_clear()
