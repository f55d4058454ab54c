"""Where the embedded servers are, and the file that tells other processes."""

from __future__ import annotations

import json
import os
from contextlib import closing
from dataclasses import asdict, dataclass, field, fields
from typing import TYPE_CHECKING

import psycopg
import redis
from redis.backoff import NoBackoff
from redis.retry import Retry

from callboard.embedded._errors import ServerSilentError

if TYPE_CHECKING:
    from pathlib import Path

_FILE = "endpoints.json"
_ANSWER_SECONDS = 2


@dataclass(frozen=True, slots=True)
class Endpoints:
    """Addresses of the two servers, for SQLAlchemy and for redis-py; `owner` is the process that holds them."""

    database_url: str
    broker_url: str = field(repr=False)  # it carries the password
    owner: int = 0


def read_endpoints(home: Path) -> Endpoints | None:
    """The running servers of the folder `home`; None if there are none, or if they do not answer within 2 s each."""
    endpoints = load(home)
    if endpoints is None or not (postgres_answers(endpoints.database_url) and valkey_answers(endpoints.broker_url)):
        return None
    return endpoints


def database_of(home: Path) -> str | None:
    """The database URL of the embedded Postgres of `home`; None if `home` has none.

    Raises:
        ServerSilentError: It has one, which does not answer within 2 s; the message says what happens now.
    """
    endpoints = load(home)
    if endpoints is not None and not postgres_answers(endpoints.database_url):
        raise ServerSilentError(_silent("Postgres", home, endpoints.owner))
    return None if endpoints is None else endpoints.database_url


def broker_of(home: Path) -> str | None:
    """The broker URL of the embedded Valkey of `home`, as `database_of` tells that of its Postgres."""
    endpoints = load(home)
    if endpoints is not None and not valkey_answers(endpoints.broker_url):
        raise ServerSilentError(_silent("Valkey", home, endpoints.owner))
    return None if endpoints is None else endpoints.broker_url


def _silent(server: str, home: Path, owner: int) -> str:
    return (
        f"The embedded {server} of {home} does not answer. `callboard up`, process {owner}, starts it again within "
        "seconds; if that process is gone, start `callboard up`."
    )


def load(home: Path) -> Endpoints | None:
    """What the file says, whether or not it is still true; None if it is missing or not ours."""
    try:
        content = json.loads((home / _FILE).read_text(encoding="utf-8"))
        return Endpoints(**{each.name: content[each.name] for each in fields(Endpoints)})
    except (FileNotFoundError, ValueError, KeyError, TypeError):
        return None


def save(home: Path, endpoints: Endpoints) -> None:
    """Write the file in one step, readable by its owner only."""
    draft = home / f"{_FILE}.{os.getpid()}"
    draft.unlink(missing_ok=True)
    with os.fdopen(os.open(draft, os.O_WRONLY | os.O_CREAT | os.O_EXCL, 0o600), "w", encoding="utf-8") as file:
        json.dump(asdict(endpoints), file, indent=2)
    draft.replace(home / _FILE)


def remove(home: Path) -> None:
    """Take the file away, if it is there."""
    (home / _FILE).unlink(missing_ok=True)


def connect(database_url: str, **options: str | bool) -> psycopg.Connection:
    """A plain psycopg connection to a URL written for SQLAlchemy."""
    plain = database_url.replace("postgresql+psycopg://", "postgresql://", 1)
    return psycopg.connect(plain, connect_timeout=_ANSWER_SECONDS, **options)  # type: ignore[arg-type] # options of libpq


def postgres_answers(database_url: str) -> bool:
    """Whether Postgres lets us in; a server that is starting, recovering or stopping does not."""
    try:
        connect(database_url).close()
    except psycopg.OperationalError:
        return False
    return True


def valkey_answers(broker_url: str) -> bool:
    """Whether Valkey replies to a PING; while it loads its file it does not."""
    once = Retry(NoBackoff(), 0)
    client = redis.Redis.from_url(
        broker_url, socket_timeout=_ANSWER_SECONDS, socket_connect_timeout=_ANSWER_SECONDS, retry=once
    )
    with closing(client):
        try:
            return bool(client.ping())
        except redis.RedisError:
            return False
