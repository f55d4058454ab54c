"""The broker: reachable, writable, keeping what it was given, throwing nothing away."""

from __future__ import annotations

from contextlib import closing
from typing import TYPE_CHECKING, Any
from urllib.parse import urlsplit

import redis
from redis.backoff import NoBackoff
from redis.retry import Retry

from callboard.broker import broker_url
from cli.check._finding import error, nowhere, ok, warning

if TYPE_CHECKING:
    from collections.abc import Iterator

    from callboard.settings import Settings
    from cli.check._finding import Finding

_NAME = "broker"
_ANSWER_SECONDS = 5
_OLDEST_VERSION = (6, 2)


def checks(settings: Settings) -> Iterator[Finding]:
    """Everything about the broker, as far as it answers."""
    try:
        url = broker_url(settings)
    except LookupError as failure:
        yield nowhere(_NAME, failure, is_set=False)
        return
    try:
        info = _info(url)
    except (redis.RedisError, ValueError, OSError) as failure:
        mend = "see that it runs, and that CALLBOARD_BROKER_URL is like redis://:password@host:6379/0."
        yield error(_NAME, f"the broker does not answer at {_shown(url)}: {failure}", mend)
        return
    version = str(info.get("valkey_version") or info.get("redis_version"))
    yield ok(_NAME, f"{info.get('server_name', 'redis')} {version} answers at {_shown(url)}")
    yield from _keeping(info)
    yield from _serving(info, version)


def _info(url: str) -> dict[str, Any]:
    once = Retry(NoBackoff(), 0)
    client = redis.Redis.from_url(
        url, socket_timeout=_ANSWER_SECONDS, socket_connect_timeout=_ANSWER_SECONDS, retry=once, decode_responses=True
    )
    with closing(client):
        return dict(client.info("everything"))


def _shown(url: str) -> str:
    """Where it is, without the password."""
    parts = urlsplit(url)
    if not parts.netloc:
        return "CALLBOARD_BROKER_URL"
    try:
        return f"{parts.hostname or 'localhost'}:{parts.port or 6379}{parts.path}"
    except ValueError:
        return "CALLBOARD_BROKER_URL"


def _keeping(info: dict[str, Any]) -> Iterator[Finding]:
    if not int(info.get("aof_enabled", 0)):
        mend = "set appendonly yes; until then a restart loses messages of jobs that are not durable."
        yield warning(_NAME, "it keeps no append-only file (appendonly no)", mend)
    else:
        yield ok(_NAME, "it keeps an append-only file")
    policy = info.get("maxmemory_policy", "noeviction")
    if policy != "noeviction":
        mend = "set maxmemory-policy noeviction: a broker that is full must refuse, not forget."
        yield error(_NAME, f"it throws messages away when memory is short (maxmemory-policy {policy})", mend)
    if str(info.get("aof_last_write_status", "ok")) != "ok":
        yield error(_NAME, "its last write to the append-only file failed", "see that its disk has room.")


def _serving(info: dict[str, Any], version: str) -> Iterator[Finding]:
    if _number(version) < _OLDEST_VERSION:
        yield error(_NAME, f"version {version} is too old", "take Redis 6.2 or newer, or Valkey.")
    if info.get("role", "master") != "master":
        yield error(
            _NAME,
            f"this server is a {info['role']}: it takes no messages",
            "point CALLBOARD_BROKER_URL at the primary.",
        )
    if int(info.get("cluster_enabled", 0)):
        mend = "take one primary with replicas: a queue's keys must be on one node."
        yield error(_NAME, "it is a cluster", mend)


def _number(version: str) -> tuple[int, ...]:
    return tuple(int(part) for part in version.split(".")[:2] if part.isdigit())
