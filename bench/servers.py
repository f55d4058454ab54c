"""The Valkey and the Postgres that all peers share, emptied before every trial."""

from __future__ import annotations

import os
import time
from contextlib import closing
from typing import TYPE_CHECKING
from urllib.parse import urlsplit

import psutil  # type: ignore[import-untyped] # ships no types
import psycopg
import redis
from psycopg import sql

from callboard.embedded import EmbeddedServers

if TYPE_CHECKING:
    from pathlib import Path

    from psycopg.abc import Query

_AOF_SECONDS = 60.0


class Servers:
    """Started with the object; `roots` are their processes. The settings are those of `callboard up`."""

    def __init__(self, home: Path) -> None:
        before = {child.pid for child in psutil.Process().children()}
        self._embedded = EmbeddedServers(home)
        endpoints = self._embedded.start()
        self.roots = [child.pid for child in psutil.Process().children() if child.pid not in before]
        self.redis_url = endpoints.broker_url
        self._url = urlsplit(endpoints.database_url.replace("postgresql+psycopg:", "postgresql:", 1))
        self._databases: list[str] = []
        self._number = 0

    def stop(self) -> None:
        """Stop both."""
        self._embedded.stop()

    def url(self, database: str) -> str:
        """The address of one database, in the form libpq and asyncpg read."""
        return self._url._replace(path=f"/{database}").geturl()

    def fresh(self, template: str = "template1") -> str:
        """Empty the broker, drop the databases of the trials before, and give the URL of a new one."""
        self._flush()
        while self._databases:
            self.drop(self._databases.pop())
        self._number += 1
        name = f"trial_{os.getpid()}_{self._number}"
        self.create(name, template)
        self._databases.append(name)
        return self.url(name)

    def create(self, name: str, template: str = "template1") -> None:
        """A database like the template, whose files are copied as they are."""
        words = "create database {} template {} strategy file_copy"
        self._execute(sql.SQL(words).format(sql.Identifier(name), sql.Identifier(template)))

    def drop(self, name: str) -> None:
        """Drop a database, whoever is still connected to it."""
        self._execute(sql.SQL("drop database if exists {} with (force)").format(sql.Identifier(name)))

    def settle(self, url: str) -> None:
        """After filling: statistics and visibility as in a database that has been up for a while, nothing to flush."""
        with closing(psycopg.connect(url, autocommit=True)) as connection:
            connection.execute("vacuum analyze")
            connection.execute("checkpoint")

    def versions(self) -> dict[str, str]:
        """What the servers call themselves."""
        with closing(psycopg.connect(self.url("postgres"))) as connection:
            postgres = connection.execute("show server_version").fetchone()
        with closing(redis.Redis.from_url(self.redis_url, decode_responses=True)) as client:
            valkey = dict(client.info("server"))
        return {"postgres": postgres[0] if postgres else "", "valkey": valkey.get("valkey_version", "")}

    def _execute(self, query: Query) -> None:
        with closing(psycopg.connect(self.url("postgres"), autocommit=True)) as connection:
            connection.execute(query)

    def _flush(self) -> None:
        """Also begin a new append-only file, so that its rewriting does not fall into somebody's trial."""
        with closing(redis.Redis.from_url(self.redis_url)) as client:
            client.flushall()
            client.bgrewriteaof()
            deadline = time.monotonic() + _AOF_SECONDS
            while _rewriting(dict(client.info("persistence"))) and time.monotonic() < deadline:
                time.sleep(0.02)


def _rewriting(persistence: dict[str, int]) -> bool:
    return bool(persistence["aof_rewrite_in_progress"] or persistence["aof_rewrite_scheduled"])
