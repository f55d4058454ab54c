"""The one connection that LISTENs."""

from __future__ import annotations

import asyncio
import random
from typing import TYPE_CHECKING, Any, Final, cast

import psycopg
import structlog

from callboard.ledger.database import database_url
from callboard.news import CHANNEL

if TYPE_CHECKING:
    from collections.abc import Callable

    from callboard.settings import Settings

_log = structlog.get_logger(__name__)

_FIRST_WAIT: Final = 0.1
_LONGEST_WAIT: Final = 5.0
# A peer that is gone without a word is noticed within about 15 s.
_KEEPALIVE: Final = {"keepalives_idle": 5, "keepalives_interval": 3, "keepalives_count": 3, "connect_timeout": 10}


class Listener:
    """Hears NOTIFY for as long as it runs, over as many connections as that takes.

    Args:
        settings: Where Postgres is.
        on_payload: Called with every payload.
        on_connected: Called whenever a connection listens: what was told before it was not heard.
    """

    def __init__(self, settings: Settings, on_payload: Callable[[str], None], on_connected: Callable[[], None]) -> None:
        self._settings = settings
        self._on_payload = on_payload
        self._on_connected = on_connected
        self.listening = asyncio.Event()

    async def run(self) -> None:
        """Listen until cancelled."""
        wait = _FIRST_WAIT
        while True:
            try:
                await self._listen()
            except (psycopg.Error, OSError, LookupError) as error:
                _log.warning("live.listener_lost", error=str(error).partition("\n")[0])
            if self.listening.is_set():
                self.listening.clear()
                wait = _FIRST_WAIT
            await asyncio.sleep(wait * random.uniform(0.8, 1.2))  # noqa: S311 - so that consoles do not come back at once
            wait = min(wait * 2, _LONGEST_WAIT)

    async def _listen(self) -> None:
        url = await asyncio.to_thread(database_url, self._settings)
        address = url.replace("postgresql+psycopg://", "postgresql://", 1)
        connection = await psycopg.AsyncConnection.connect(
            address, autocommit=True, application_name="callboard-console-live", **cast("dict[str, Any]", _KEEPALIVE)
        )
        async with connection:
            await connection.execute(f"listen {CHANNEL}")
            self.listening.set()
            self._on_connected()
            async for notice in connection.notifies():
                self._on_payload(notice.payload)
