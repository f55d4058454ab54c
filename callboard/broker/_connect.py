"""Clients for the broker's URL, and what is asked of the server before it is trusted with work.

| scheme                              | server                                                        |
|-------------------------------------|---------------------------------------------------------------|
| `redis://`, `rediss://` (TLS), `unix://` | one Redis or Valkey                                      |
| `redis+sentinel://h1:26379,h2:26379/<service>/<db>` | the master that Sentinel names                |
| `redis+cluster://host:port`         | Redis Cluster; all keys of one namespace share a slot          |
"""

from __future__ import annotations

from typing import TYPE_CHECKING, Any, cast
from urllib.parse import parse_qsl, unquote, urlsplit

import redis
import structlog
from redis.backoff import NoBackoff
from redis.cluster import RedisCluster
from redis.retry import Retry
from redis.sentinel import Sentinel

from callboard.errors import UnsafeBroker

if TYPE_CHECKING:
    from collections.abc import Mapping

logger: structlog.stdlib.BoundLogger = structlog.get_logger(__name__)

#: Longer than any command here takes; a server that is silent for so long is treated as away.
TIMEOUT_SECONDS = 5.0
_SENTINEL_PORT = 26379


def connect(url: str) -> redis.Redis:
    """A client with its own pool; it connects at its first command.

    Commands are never repeated behind our back: we repeat those that bear it, and mark what was repeated.
    """
    options: dict[str, Any] = {
        "socket_connect_timeout": TIMEOUT_SECONDS,
        "socket_timeout": TIMEOUT_SECONDS,
        "socket_keepalive": True,
        "retry": Retry(NoBackoff(), 0),
    }
    scheme, _, rest = url.partition("://")
    if scheme == "redis+sentinel":
        return _by_sentinel(url, options)
    if scheme == "redis+cluster":
        del options["retry"]
        return cast("redis.Redis", RedisCluster.from_url(f"redis://{rest}", **options))
    return redis.Redis.from_url(url, **options)


def _by_sentinel(url: str, options: dict[str, Any]) -> redis.Redis:
    parts = urlsplit(url)
    hosts = [host.rpartition(":") for host in parts.netloc.rpartition("@")[2].split(",")]
    sentinels = [(name or port, int(port) if name else _SENTINEL_PORT) for name, _, port in hosts]
    service, _, database = parts.path.strip("/").partition("/")
    if not service:
        raise ValueError(
            f"broker URL {parts.scheme}://… names no service: write redis+sentinel://host:26379/mymaster/0"
        )
    login = {"username": parts.username and unquote(parts.username), "password": parts.password}
    given = {name: unquote(value) for name, value in login.items() if value} | dict(parse_qsl(parts.query))
    sentinel = Sentinel(sentinels, socket_timeout=TIMEOUT_SECONDS, socket_connect_timeout=TIMEOUT_SECONDS)
    return cast("redis.Redis", sentinel.master_for(service, db=int(database or 0), **options, **given))


def require_safe(client: redis.Redis, *, volatile_allowed: bool) -> None:
    """Make sure that the server keeps what it takes.

    Raises:
        UnsafeBroker: It has no append-only file, or evicts keys when memory runs out; the message names the mend.
    """
    facts = _facts(client)
    if int(facts.get("maxmemory", 0)) > 0 and facts.get("maxmemory_policy", "noeviction") != "noeviction":
        raise UnsafeBroker(
            f"the broker may evict messages (maxmemory-policy {facts['maxmemory_policy']}): "
            "run `CONFIG SET maxmemory-policy noeviction` on it."
        )
    if not volatile_allowed and not int(facts.get("aof_enabled", 1)):
        raise UnsafeBroker(
            "the broker has no append-only file, so a restart of it loses every message: run `CONFIG SET appendonly "
            "yes` on it, or, if that is meant so, set CALLBOARD_BROKER_ALLOW_VOLATILE=true."
        )


def _facts(client: redis.Redis) -> Mapping[str, Any]:
    facts: dict[str, Any] = {}
    for section in ("memory", "persistence"):
        try:
            answer = client.info(section)
        except redis.ResponseError as error:  # a hosted server may forbid it
            logger.warning("broker.unchecked", section=section, error=str(error))
            continue
        # A cluster answers by node; the least safe one counts.
        nodes = [node for node in answer.values() if isinstance(node, dict)] if "aof_enabled" not in answer else []
        for node in [answer, *nodes]:
            facts |= {name: node[name] for name in ("maxmemory", "maxmemory_policy", "aof_enabled") if name in node}
    return facts
