"""Streams against lists: what a message costs the server, and a client, in either; `python -m bench.structures`.

Both hold each id once, in a hash, since enqueue must be idempotent and the reconciler asks whether a message is there.
Both move messages in batches of 50 by Lua. The server runs with its append-only file, as ours always does.
"""

from __future__ import annotations

import argparse
import tempfile
import time
from pathlib import Path
from typing import TYPE_CHECKING, Any, NamedTuple
from uuid import uuid4

import redis

from callboard.embedded import EmbeddedServers

if TYPE_CHECKING:
    from collections.abc import Callable

_BATCH = 50
_BODY = b"x" * 300

_STREAM_ENQUEUE = """
for i = 1, #ARGV, 2 do
  if redis.call('HSETNX', KEYS[2], ARGV[i], '1') == 1 then
    local entry = redis.call('XADD', KEYS[1], '*', 'i', ARGV[i], 'b', ARGV[i + 1])
    redis.call('HSET', KEYS[2], ARGV[i], entry)
  end
end
return 1
"""
_STREAM_SETTLE = """
local entries, ids, n = {}, {}, #ARGV / 2
for i = 1, n do entries[i] = ARGV[i] ids[i] = ARGV[n + i] end
redis.call('XACK', KEYS[1], 'group', unpack(entries))
redis.call('XDEL', KEYS[1], unpack(entries))
return redis.call('HDEL', KEYS[2], unpack(ids))
"""
_LIST_ENQUEUE = """
for i = 1, #ARGV, 2 do
  if redis.call('HSETNX', KEYS[2], ARGV[i], ARGV[i + 1]) == 1 then redis.call('RPUSH', KEYS[1], ARGV[i]) end
end
if redis.call('LLEN', KEYS[4]) == 0 then redis.call('RPUSH', KEYS[4], '1') end
return 1
"""
_LIST_FETCH = """
local ids = redis.call('LPOP', KEYS[1], ARGV[1])
if not ids then redis.call('DEL', KEYS[4]) return false end
redis.call('SADD', KEYS[3], unpack(ids))
return {ids, redis.call('HMGET', KEYS[2], unpack(ids))}
"""
_LIST_SETTLE = """
if redis.call('SREM', KEYS[3], unpack(ARGV)) == #ARGV then return redis.call('HDEL', KEYS[2], unpack(ARGV)) end
return 0
"""
_KEYS = ["ready", "messages", "held", "bell"]


class Cost(NamedTuple):
    """Of one message: CPU of the server and wall time seen by one client, in microseconds."""

    server: float
    wall: float


class Bench:
    """One client on one server."""

    def __init__(self, client: redis.Redis, messages: int) -> None:
        self.client = client
        self.messages = messages
        self.held: list[Any] = []

    def _cpu(self) -> float:
        used: Any = self.client.info("cpu")
        return float(used["used_cpu_user"] + used["used_cpu_sys"])

    def measure(self, step: Callable[[], None]) -> Cost:
        """What one step costs for each message."""
        cpu, began = self._cpu(), time.perf_counter()
        step()
        wall = time.perf_counter() - began
        return Cost(1e6 * (self._cpu() - cpu) / self.messages, 1e6 * wall / self.messages)

    def _enqueue(self, script: str) -> None:
        run = self.client.register_script(script)
        for _ in range(0, self.messages, _BATCH):
            args: list[Any] = [part for _ in range(_BATCH) for part in (f"{uuid4()}.0", _BODY)]
            run(keys=_KEYS, args=args)

    def streams(self) -> list[Cost]:
        """Enqueue, fetch and settle with a consumer group."""
        self.client.flushall()
        self.client.xgroup_create("ready", "group", id="0", mkstream=True)
        return [self.measure(step) for step in (self._stream_enqueue, self._stream_fetch, self._stream_settle)]

    def _stream_enqueue(self) -> None:
        self._enqueue(_STREAM_ENQUEUE)

    def _stream_fetch(self) -> None:
        while True:
            answer: Any = self.client.xreadgroup("group", "worker", {"ready": ">"}, count=_BATCH)
            if not answer:
                return
            self.held.append(answer[0][1])

    def _stream_settle(self) -> None:
        run = self.client.register_script(_STREAM_SETTLE)
        for batch in self.held:
            run(keys=_KEYS, args=[entry for entry, _ in batch] + [fields[b"i"] for _, fields in batch])
        self.held.clear()

    def lists(self) -> list[Cost]:
        """The same with a list, a hash and a set."""
        self.client.flushall()
        return [self.measure(step) for step in (self._list_enqueue, self._list_fetch, self._list_settle)]

    def _list_enqueue(self) -> None:
        self._enqueue(_LIST_ENQUEUE)

    def _list_fetch(self) -> None:
        run = self.client.register_script(_LIST_FETCH)
        while answer := run(keys=_KEYS, args=[_BATCH]):
            self.held.append(answer[0])

    def _list_settle(self) -> None:
        run = self.client.register_script(_LIST_SETTLE)
        for ids in self.held:
            run(keys=_KEYS, args=ids)
        self.held.clear()


def main() -> None:
    """Print both, in turns."""
    parser = argparse.ArgumentParser(description=__doc__)
    parser.add_argument("--messages", type=int, default=100_000)
    parser.add_argument("--repeats", type=int, default=3)
    given = parser.parse_args()
    with EmbeddedServers(Path(tempfile.mkdtemp(prefix="bench-")) / "home", broker_port=0) as servers:
        bench = Bench(redis.Redis.from_url(servers.start().broker_url), given.messages)
        for _ in range(given.repeats):
            for name, costs in (("streams", bench.streams()), ("lists", bench.lists())):
                parts = (f"{step} {cost.server:5.2f}" for step, cost in zip(_STEPS, costs, strict=True))
                total, wall = sum(cost.server for cost in costs), sum(cost.wall for cost in costs)
                print(f"{name:8s} server CPU us a message: {', '.join(parts)}, in all {total:5.2f}; wall {wall:5.1f}")


_STEPS = ("enqueue", "fetch", "settle")

if __name__ == "__main__":
    main()
