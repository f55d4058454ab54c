"""Fixtures of all tests: real servers, fresh databases, and a watch over what a test leaves behind."""

from __future__ import annotations

import logging
import signal
import sys
from contextlib import closing
from itertools import count
from pathlib import Path
from typing import TYPE_CHECKING

import dramatiq.broker
import pytest
import redis
import structlog
from xdist.scheduler import LoadScopeScheduling

sys.path.insert(0, str(Path(__file__).parent.parent))  # for `from tests.support import`, however pytest is started

from callboard.embedded import EmbeddedServers, Endpoints
from callboard.embedded._endpoints import connect
from callboard.ledger import migrate
from tests.board import Board, open_board
from tests.databases import Databases
from tests.rabbitmq import rabbitmq  # noqa: F401 - a fixture
from tests.support import child_processes, eventually, non_daemon_threads

if TYPE_CHECKING:
    from collections.abc import Callable, Iterator

    from xdist.remote import Producer

# A shell that starts us in the background has SIGINT ignored, and so would every command that a test interrupts.
signal.signal(signal.SIGINT, signal.default_int_handler)

pytest_plugins = ["callboard.testing"]

TEMPLATE = "callboard_template"
#: Tests whose names have this in common run in one process: a browser, a server of seconds, a night of metrics.
SHARED = ("tests/browser/", "rabbitmq", "tests/observability/test_queries.py")
#: Seconds in which what a test has started may still end.
PATIENCE = 3.0
_numbers = count(1)


class Together(LoadScopeScheduling):
    """Each test goes to the next free process of the run, but for those that share what is dear to start."""

    def _split_scope(self, nodeid: str) -> str:
        return next((shared for shared in SHARED if shared in nodeid), nodeid)


@pytest.hookimpl(optionalhook=True)
def pytest_xdist_make_scheduler(config: pytest.Config, log: Producer) -> Together:
    """With pytest 9.2, xdist 3.8 takes no notice of its own mark `xdist_group`."""
    config.option.loadscopereorder = False  # the long ones stand first, the smallest last
    return Together(config, log)


@pytest.fixture(scope="session")
def embedded(tmp_path_factory: pytest.TempPathFactory) -> Iterator[Endpoints]:
    """Postgres and Valkey of this test session, in a folder of their own."""
    with EmbeddedServers(tmp_path_factory.mktemp("servers")) as servers:
        yield servers.start()


@pytest.fixture(scope="session")
def new_database(embedded: Endpoints) -> Callable[[str], str]:
    """Makes an empty or, from a template, a filled database, and returns its URL."""

    def make(name: str, template: str = "template1") -> str:
        with closing(connect(embedded.database_url, autocommit=True)) as connection:
            connection.execute(f"CREATE DATABASE {name} TEMPLATE {template}")
        return embedded.database_url.replace("/callboard?", f"/{name}?", 1)

    return make


@pytest.fixture(scope="session")
def template_database(new_database: Callable[[str], str]) -> str:
    """The name of a migrated database that nobody is connected to."""
    migrate.upgrade(new_database(TEMPLATE))
    return TEMPLATE


@pytest.fixture
def empty_postgres_url(embedded: Endpoints, new_database: Callable[[str], str]) -> Iterator[str]:
    """A fresh database without any table, for tests of the migrations themselves."""
    name = f"empty_{next(_numbers)}"
    yield new_database(name)
    _drop(embedded, name)


@pytest.fixture(scope="session")
def databases(embedded: Endpoints, new_database: Callable[..., str], template_database: str) -> Databases:
    """Migrated databases of this session."""
    return Databases(lambda name: new_database(name, template_database), lambda name: _drop(embedded, name))


@pytest.fixture
def postgres_url(databases: Databases) -> Iterator[str]:
    """A migrated database without a row for this test alone."""
    database = databases.take()
    yield database.url
    databases.give_back(database)


@pytest.fixture
def broker_url(embedded: Endpoints) -> str:
    """The Valkey of this session, emptied."""
    with closing(redis.Redis.from_url(embedded.broker_url)) as client:
        client.flushall()
    return embedded.broker_url


@pytest.fixture
def board(monkeypatch: pytest.MonkeyPatch, postgres_url: str, broker_url: str) -> Iterator[Board]:
    """The engine on a fresh ledger and an empty broker; jobs that the test declares belong to it."""
    with open_board(monkeypatch, postgres_url, broker_url) as opened:
        yield opened


@pytest.fixture(autouse=True)
def _nothing_left_behind() -> Iterator[None]:
    """A test that leaves a thread, a child process or another global broker fails; wider fixtures may keep theirs."""
    threads, children, broker = non_daemon_threads(), child_processes(), dramatiq.broker.global_broker
    yield
    left = dramatiq.broker.global_broker
    assert broker in (None, left), "the test left another global broker, which has none of our jobs"
    eventually(lambda: non_daemon_threads() <= threads, PATIENCE, what="the end of every thread the test has started")
    eventually(lambda: child_processes() <= children, PATIENCE, what="the end of every process the test has started")


@pytest.fixture(autouse=True)
def _logs_as_before() -> Iterator[None]:
    """A command that runs in this process configures the logs; the next test finds them as this one did."""
    root, configured = logging.getLogger(), structlog.is_configured()
    handlers, level = root.handlers[:], root.level
    yield
    root.handlers[:], root.level = handlers, level
    if not configured and structlog.is_configured():
        structlog.reset_defaults()


def _drop(embedded: Endpoints, name: str) -> None:
    with closing(connect(embedded.database_url, autocommit=True)) as connection:
        connection.execute(f"DROP DATABASE {name} WITH (FORCE)")
