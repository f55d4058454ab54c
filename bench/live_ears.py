"""Listeners to `/v1/stream` in a process of their own: reads its orders as JSON from stdin, answers one line.

Orders: `{"host", "port", "cookie", "sessions", "listeners"}`. It says `ready` when all are connected, listens until a
line comes on stdin, and prints what each has heard.
"""

from __future__ import annotations

import asyncio
import json
import sys
import time
from dataclasses import asdict, dataclass
from typing import Any

_MARK = b"event: jobs_changed"


@dataclass
class Heard:
    """What one listener heard: events, those of `jobs_changed`, the longest pause between two of them in seconds."""

    events: int = 0
    of_jobs: int = 0
    longest_pause: float = 0.0
    lost: str = ""


async def _listen(orders: dict[str, Any], session: str, heard: Heard, connected: asyncio.Event) -> None:
    reader, writer = await asyncio.open_connection(orders["host"], orders["port"])
    try:
        writer.write(
            f"GET /v1/stream HTTP/1.1\r\nHost: {orders['host']}:{orders['port']}\r\n"
            f"Cookie: {orders['cookie']}={session}\r\nAccept: text/event-stream\r\n\r\n".encode()
        )
        head = await reader.readuntil(b"\r\n\r\n")
        if b" 200 " not in head.partition(b"\r\n")[0]:
            heard.lost = head.partition(b"\r\n")[0].decode()
            return
        connected.set()
        await _count(reader, heard)
        heard.lost = "the stream ended"
    except (OSError, asyncio.IncompleteReadError) as error:
        heard.lost = f"{type(error).__name__}: {error}"
    finally:
        connected.set()
        writer.close()


async def _count(reader: asyncio.StreamReader, heard: Heard) -> None:
    last = 0.0
    while line := await reader.readline():
        heard.events += line.startswith(b"event: ")
        if line.startswith(_MARK):
            now = time.monotonic()
            heard.of_jobs += 1
            heard.longest_pause = max(heard.longest_pause, now - last if last else 0.0)
            last = now


async def _run(orders: dict[str, Any]) -> list[dict[str, Any]]:
    heard = [Heard() for _ in range(orders["listeners"])]
    sessions, tasks = orders["sessions"], []
    for number, one in enumerate(heard):
        connected = asyncio.Event()
        tasks.append(asyncio.create_task(_listen(orders, sessions[number % len(sessions)], one, connected)))
        if number % 20 == 19:  # noqa: PLR2004 - so many at once, as browsers come back after a restart
            await connected.wait()
    await connected.wait()
    print("ready", flush=True)
    await asyncio.to_thread(sys.stdin.readline)
    told = [asdict(one) for one in heard]
    for task in tasks:
        task.cancel()
    await asyncio.gather(*tasks, return_exceptions=True)
    return told


if __name__ == "__main__":
    print(json.dumps(asyncio.run(_run(json.loads(sys.stdin.readline())))), flush=True)
