"""A TCP proxy on loopback that breaks a connection in the ways networks do, on demand.

One event loop in one thread; the methods may be called from any other thread and return when the fault is in force.
"""

from __future__ import annotations

import asyncio
import random
import socket
import threading
from contextlib import suppress
from dataclasses import dataclass
from typing import TYPE_CHECKING, Any, Self

if TYPE_CHECKING:
    from collections.abc import Callable, Coroutine

_HOST = "127.0.0.1"
_CHUNK = 1 << 16
# Below the ports that systems give to outgoing connections: while we refuse, nobody else must get ours.
_PORTS = range(20_000, 30_000)


@dataclass(eq=False)
class _Link:
    """One client's connection and ours to the server behind it."""

    client: asyncio.StreamWriter
    server: asyncio.StreamWriter
    swallow: bool = False

    def cut(self) -> None:
        for writer in (self.client, self.server):
            writer.transport.abort()


@dataclass
class _Drop:
    """Replies still to be lost: those to a request that holds `request`, or those that hold `reply`."""

    left: int
    request: bytes = b""
    reply: bytes = b""


class Proxy:
    """Passes bytes between its own port and `upstream`, a `(host, port)` or the path of a unix socket."""

    def __init__(self, upstream: tuple[str, int] | str, *, seed: int = 0) -> None:
        self._upstream = upstream
        self._dice = random.Random(seed)
        self._links: set[_Link] = set()
        self._drop = _Drop(0)
        self._latency = self._jitter = self._reset_chance = 0.0
        self.dropped = 0
        self.port = _free_port(self._dice)
        self._loop = asyncio.new_event_loop()
        self._open = asyncio.Event()
        self._open.set()
        self._server: asyncio.Server | None = None
        self._thread = threading.Thread(target=self._loop.run_forever, name="proxy")
        self._thread.start()
        self._do(self._listen())

    def refuse(self) -> None:
        """Cut every connection and refuse new ones."""
        self._do(self._deafen())

    def hold(self) -> None:
        """Black hole: connections are accepted and stay up, and no byte comes through either way."""
        self._call(self._open.clear)

    def cut(self) -> None:
        """Reset the connections that there are; new ones are let through."""
        self._call(self._cut_all)

    def lose_replies(self, count: int, *, request: bytes = b"", reply: bytes = b"") -> None:
        """Lose the next `count` replies and reset their connections, though the server has done what it was asked.

        Args:
            count: How many.
            request: Those to a request that holds these bytes.
            reply: Those that hold these bytes.
        """
        self._call(lambda: setattr(self, "_drop", _Drop(count, request, reply)))

    def slow(self, seconds: float, jitter: float = 0.0, *, reset_chance: float = 0.0) -> None:
        """Delay every chunk by `seconds` ± `jitter`, and reset a connection instead with the chance given."""
        self._latency, self._jitter, self._reset_chance = seconds, jitter, reset_chance

    def heal(self, *, deliver: bool = True) -> None:
        """End every fault; held bytes are delivered, or else thrown away with their connections."""
        self.slow(0)
        self._do(self._listen(deliver=deliver))

    def close(self) -> None:
        """Cut everything and end the thread."""
        if self._loop.is_closed():
            return
        self._do(self._deafen())
        self._do(self._drain())
        self._loop.call_soon_threadsafe(self._loop.stop)
        self._thread.join()
        self._loop.close()

    def __enter__(self) -> Self:
        return self

    def __exit__(self, *_: object) -> None:
        self.close()

    def _do(self, work: Coroutine[Any, Any, None]) -> None:
        asyncio.run_coroutine_threadsafe(work, self._loop).result(10)

    def _call(self, work: Callable[[], None]) -> None:
        async def run() -> None:
            work()

        self._do(run())

    async def _listen(self, *, deliver: bool = True) -> None:
        self._drop = _Drop(0)
        if not deliver:
            self._cut_all()
        self._open.set()
        if self._server is None:
            self._server = await asyncio.start_server(self._serve, _HOST, self.port)

    async def _deafen(self) -> None:
        if self._server is not None:
            self._server.close()
            self._server = None
        self._cut_all()

    async def _drain(self) -> None:
        """Let every task notice that its connection is gone."""
        self._open.set()
        others = asyncio.all_tasks() - {asyncio.current_task()}
        for task in others:
            task.cancel()
        await asyncio.gather(*others, return_exceptions=True)

    def _cut_all(self) -> None:
        for link in self._links:
            link.cut()

    async def _serve(self, reader: asyncio.StreamReader, writer: asyncio.StreamWriter) -> None:
        with suppress(OSError, asyncio.CancelledError):
            await self._open.wait()
            server_reader, server_writer = await self._connect()
            link = _Link(writer, server_writer)
            self._links.add(link)
            pumps = [
                asyncio.ensure_future(self._pump(link, reader, server_writer, self._note_request)),
                asyncio.ensure_future(self._pump(link, server_reader, writer, self._spoil_reply)),
            ]
            try:
                await asyncio.wait(pumps, return_when=asyncio.FIRST_COMPLETED)
            finally:
                self._links.discard(link)
                link.cut()
                await asyncio.gather(*pumps, return_exceptions=True)
        writer.transport.abort()

    async def _connect(self) -> tuple[asyncio.StreamReader, asyncio.StreamWriter]:
        if isinstance(self._upstream, str):
            return await asyncio.open_unix_connection(self._upstream)
        return await asyncio.open_connection(*self._upstream)

    async def _pump(
        self,
        link: _Link,
        source: asyncio.StreamReader,
        target: asyncio.StreamWriter,
        spoil: Callable[[_Link, bytes], bool],
    ) -> None:
        with suppress(OSError):
            while data := await source.read(_CHUNK):
                if self._latency or self._reset_chance:
                    await asyncio.sleep(max(0.0, self._latency + self._dice.uniform(-self._jitter, self._jitter)))
                await self._open.wait()
                if spoil(link, data) or self._dice.random() < self._reset_chance:
                    return
                target.write(data)
                await target.drain()

    def _note_request(self, link: _Link, data: bytes) -> bool:
        if self._drop.left and self._drop.request and self._drop.request in data:
            self._drop.left -= 1
            link.swallow = True
        return False

    def _spoil_reply(self, link: _Link, data: bytes) -> bool:
        if self._drop.left and self._drop.reply and self._drop.reply in data:
            self._drop.left -= 1
            link.swallow = True
        self.dropped += link.swallow
        return link.swallow


def _free_port(dice: random.Random) -> int:
    """A port that can be bound now; by chance from the system, since two suites may run with one seed."""
    dice = random.Random(f"{dice.random()} {random.SystemRandom().random()}")
    while True:
        port = dice.choice(_PORTS)
        with socket.socket() as probe, suppress(OSError):
            probe.setsockopt(socket.SOL_SOCKET, socket.SO_REUSEADDR, 1)
            probe.bind((_HOST, port))
            return port
