"""The verdicts of `callboard check` on what servers and machines say of themselves."""

from __future__ import annotations

import socket
from pathlib import Path
from typing import TYPE_CHECKING, Any

import pytest

from callboard.ledger import migrate
from callboard.settings import Settings
from cli.check import _broker, _database, _machine
from cli.check._all import _guarded
from cli.check._finding import Finding, ok
from cli.up._ports import free_port, is_free

if TYPE_CHECKING:
    from collections.abc import Iterable, Iterator

GOOD_SERVER: dict[str, Any] = {
    "version": 16,
    "encoding": "UTF8",
    "standby": False,
    "may_create": True,
    "fsync": "on",
    "full_page_writes": "on",
}
GOOD_BROKER: dict[str, Any] = {"aof_enabled": 1, "maxmemory_policy": "noeviction", "role": "master"}


def bad(found: Iterable[Finding]) -> list[tuple[str, str]]:
    return [(each.level, each.what) for each in found if each.level != "ok"]


def test_a_good_server_has_no_faults() -> None:
    assert bad(_database._server(GOOD_SERVER)) == []
    assert bad(_broker._keeping(GOOD_BROKER)) == []
    assert bad(_broker._serving(GOOD_BROKER, "8.1.3")) == []


@pytest.mark.parametrize(
    ("name", "value", "level", "words"),
    [
        ("version", 12, "error", "too old"),
        ("encoding", "SQL_ASCII", "error", "SQL_ASCII"),
        ("standby", True, "error", "standby"),
        ("may_create", False, "warning", "may not create"),
        ("fsync", "off", "error", "fsync is off"),
        ("full_page_writes", "off", "error", "full_page_writes is off"),
    ],
)
def test_a_postgres_that_would_hurt(name: str, value: object, level: str, words: str) -> None:
    ((found, what),) = bad(_database._server(GOOD_SERVER | {name: value}))
    assert found == level
    assert words in what


@pytest.mark.parametrize(
    ("seconds", "level", "words"),
    [(0.2, "ok", "agree"), (-5, "warning", "5 s behind"), (5, "warning", "ahead of"), (90, "error", "90 s ahead")],
)
def test_clocks_that_differ(seconds: float, level: str, words: str) -> None:
    found = _database._skew(seconds)
    assert found.level == level
    assert words in found.what


def test_pools_that_do_not_fit_the_server() -> None:
    settings = Settings(worker_processes=4, worker_threads=16)
    assert _database._connections(settings, 97).level == "ok"
    tight = _database._connections(settings, 90)
    assert tight.level == "error"
    assert "94 connections; the server allows 90" in tight.what


@pytest.mark.parametrize(
    ("info", "level", "words"),
    [
        ({"aof_enabled": 0}, "warning", "appendonly no"),
        ({"maxmemory_policy": "allkeys-lru"}, "error", "allkeys-lru"),
        ({"aof_last_write_status": "err"}, "error", "last write"),
    ],
)
def test_a_broker_that_forgets(info: dict[str, Any], level: str, words: str) -> None:
    ((found, what),) = bad(_broker._keeping(GOOD_BROKER | info))
    assert found == level
    assert words in what


@pytest.mark.parametrize(
    ("info", "version", "words"),
    [({}, "5.0.14", "too old"), ({"role": "slave"}, "7.2", "slave"), ({"cluster_enabled": 1}, "7.2", "cluster")],
)
def test_a_broker_that_cannot_serve(info: dict[str, Any], version: str, words: str) -> None:
    ((found, what),) = bad(_broker._serving(GOOD_BROKER | info, version))
    assert found == "error"
    assert words in what


def test_a_database_of_another_revision(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(migrate, "head", lambda: "0005")
    for at, level, words in (
        (None, "error", "never"),
        ("0004", "error", "needs 0005"),
        ("0006", "error", "newer than"),
    ):
        monkeypatch.setattr(migrate, "current", lambda _url, at=at: at)
        found = _database._revision("url")
        assert found.level == level
        assert words in found.what


@pytest.mark.parametrize(
    ("host", "level"),
    [
        ("127.0.0.1", None),
        ("localhost", None),
        ("::1", None),
        ("0.0.0.0", "warning"),  # noqa: S104 - judged, not listened on
        ("10.1.2.3", "warning"),
        ("nowhere!", "error"),
    ],
)
def test_the_exporter_belongs_on_loopback(host: str, level: str | None) -> None:
    assert [each.level for each in _machine._host(host)] == ([] if level is None else [level])


@pytest.fixture
def listener() -> Iterator[socket.socket]:
    with socket.socket() as made:
        made.bind(("127.0.0.1", 0))
        made.listen()
        yield made


def test_a_taken_port_is_seen_and_got_round(listener: socket.socket) -> None:
    port = listener.getsockname()[1]
    assert not is_free(port, "127.0.0.1")
    other = free_port(port)
    assert other != port
    assert is_free(other, "127.0.0.1")
    assert free_port(other) == other


def test_a_host_that_is_not_ours_has_no_free_port() -> None:
    with pytest.raises(OSError, match="assign requested address"):
        free_port(0, "192.0.2.1")


def test_a_home_that_is_a_file_or_read_only(tmp_path: Path) -> None:
    (tmp_path / "file").touch()
    assert bad(_machine._home(tmp_path / "file"))[0][1].endswith("is no folder")
    assert bad(_machine._home(tmp_path / "file" / "below"))[0][1].endswith("is no folder")
    assert "cannot be written to" in bad(_machine._home(Path("/proc/nothing")))[0][1]
    assert bad(_machine._home(tmp_path / "new" / "folder")) == []
    assert list(tmp_path.iterdir()) == [tmp_path / "file"], "looking leaves nothing"


def test_a_check_that_breaks_is_a_finding_and_the_next_one_runs() -> None:
    def breaks() -> Iterator[Finding]:
        yield ok("x", "so far")
        raise ZeroDivisionError("oh")

    so_far, broken = _guarded("thing", breaks)
    assert so_far.level == "ok"
    assert (broken.level, broken.subject) == ("error", "thing")
    assert "ZeroDivisionError: oh" in broken.what
