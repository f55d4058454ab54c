"""A board of one test: its own database, its own keys in the broker, and the engine pointed at both."""

from __future__ import annotations

from contextlib import contextmanager
from dataclasses import dataclass
from typing import TYPE_CHECKING, Any

import dramatiq.broker
from dramatiq import set_broker
from sqlalchemy import text

from callboard import get_settings, transaction
from callboard.broker import Transport
from callboard.compose import make_broker
from callboard.ledger.database import dispose
from callboard.worker import Worker, plan_lanes

if TYPE_CHECKING:
    from collections.abc import Iterator, Sequence

    import pytest

    from callboard import Settings


@dataclass
class Board:
    """The engine's parts, on real servers."""

    broker: Transport
    settings: Settings
    database_url: str
    _booted: bool = False

    def query(self, sql: str, **given: object) -> Sequence[Any]:
        """Rows of a query on the ledger."""
        with transaction() as connection:
            return connection.execute(text(sql), given).all()

    def one(self, sql: str, **given: object) -> Any:  # noqa: ANN401 - whatever the column holds
        """The only value of a query on the ledger."""
        with transaction() as connection:
            return connection.execute(text(sql), given).scalar_one()

    def execute(self, sql: str, **given: object) -> None:
        """Change the ledger behind the engine's back."""
        with transaction() as connection:
            connection.execute(text(sql), given)

    @contextmanager
    def worker(self, threads: int = 2) -> Iterator[Worker]:
        """A worker in this process, until the end of the block."""
        if not self._booted:
            self.broker.emit_after("process_boot")
            self._booted = True
        settings = self.settings.model_copy(update={"worker_threads": threads})
        worker = Worker(self.broker, plan_lanes(settings, self.broker.get_declared_queues()))
        worker.start()
        try:
            yield worker
        finally:
            worker.stop(timeout=20)


@contextmanager
def open_board(monkeypatch: pytest.MonkeyPatch, postgres_url: str, broker_url: str, **given: object) -> Iterator[Board]:
    """Point the engine's settings, connections and global broker at these servers."""
    values = {"database_url": postgres_url, "broker_url": broker_url, "worker_threads": 4, **given}
    for name, value in values.items():
        monkeypatch.setenv(f"CALLBOARD_{name.upper()}", str(value))
    get_settings.cache_clear()
    dispose()
    before = dramatiq.broker.global_broker
    broker = make_broker(broker_url)
    set_broker(broker)
    try:
        yield Board(broker, get_settings(), postgres_url)
    finally:
        dramatiq.broker.global_broker = before
        broker.close()
        dispose()
        get_settings.cache_clear()
