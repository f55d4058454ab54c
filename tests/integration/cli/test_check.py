from __future__ import annotations

import json
import os
import socket
from base64 import b64encode
from contextlib import closing
from typing import TYPE_CHECKING, Any

import pytest
import redis

from callboard.ledger import migrate

if TYPE_CHECKING:
    from collections.abc import Iterator
    from pathlib import Path

    from tests.integration.cli.conftest import Board


def findings(board: Board, level: str) -> dict[str, str]:
    """What the check says on a level, with the mend of each."""
    found: list[dict[str, Any]] = json.loads(board("check", "--json").out)
    return {each["what"]: each["mend"] for each in found if each["level"] == level}


@pytest.fixture
def careless_broker(broker_url: str) -> Iterator[None]:
    """The broker with settings that lose messages, for one test."""
    with closing(redis.Redis.from_url(broker_url)) as client:
        client.config_set("maxmemory-policy", "allkeys-lru")
        client.config_set("appendonly", "no")
        yield
        client.config_set("appendonly", "yes")
        client.config_set("maxmemory-policy", "noeviction")


@pytest.fixture
def taken_port() -> Iterator[int]:
    """A port that something else listens on."""
    with socket.socket() as listener:
        listener.bind(("127.0.0.1", 0))
        listener.listen()
        listener.settimeout(0.01)
        yield listener.getsockname()[1]


@pytest.fixture
def bad_modules(clean_environment: Path, monkeypatch: pytest.MonkeyPatch) -> str:
    """Three actor modules, each wrong in its own way, beside one that does not exist."""
    folder = clean_environment / "modules"
    folder.mkdir()
    head = "from callboard import cron, job\n"
    never = '@job("yearly", cadence=cron("0 0 31 2 *"))\ndef yearly() -> None: ...\n'
    (folder / "planted_cadence.py").write_text(head + never)
    (folder / "planted_twice.py").write_text(head + '@job("quick")\ndef quick() -> None: ...\n')
    (folder / "planted_syntax.py").write_text("def broken(:\n")
    monkeypatch.syspath_prepend(str(folder))
    names = ["planted_cadence", "planted_twice", "planted_syntax", "planted_missing"]
    return ",".join([os.environ["CALLBOARD_ACTORS"], *names])


def test_a_board_without_mistakes_is_all_fine(board: Board, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setenv("CALLBOARD_SECRET_KEYS", b64encode(bytes(32)).decode())
    answer = board("check")
    assert answer.code == 0
    assert "0 errors, 0 warnings" in answer.out
    assert "it is at revision" in answer.out
    assert board("check", "--quiet").out.startswith("0 errors, 0 warnings")


@pytest.mark.usefixtures("careless_broker")
def test_a_dozen_planted_mistakes_are_found_in_one_run_each_with_its_mend(
    board: Board, monkeypatch: pytest.MonkeyPatch, taken_port: int, bad_modules: str, empty_postgres_url: str
) -> None:
    planted = {
        "CALLBOARD_DATABASE_URL": empty_postgres_url,
        "CALLBOARD_ACTORS": bad_modules,
        "CALLBOARD_WORKER_THREDS": "4",
        "CALLBOARD_WORKER_PROCESSES": "0",
        "CALLBOARD_WORKER_THREADS": "250",
        "CALLBOARD_LEASE_SECONDS": "4",
        "CALLBOARD_LOG_LEVEL": "loud",
        "CALLBOARD_EXPORTER_PORT": str(taken_port),
        "CALLBOARD_QUEUES": "fasst",
        "CALLBOARD_HOME": "/proc/nowhere",
    }
    for name, value in planted.items():
        monkeypatch.setenv(name, value)
    answer = board("check", "--json")
    assert answer.code == 1
    found = json.loads(answer.out)
    errors = {each["what"]: each["mend"] for each in found if each["level"] == "error"}
    expected = {
        "CALLBOARD_WORKER_THREDS is read by nothing": "did you mean CALLBOARD_WORKER_THREADS?",
        "CALLBOARD_WORKER_PROCESSES=0 does not fit": "greater than or equal to 1",
        "CALLBOARD_LEASE_SECONDS=4 does not fit": "at least three times",
        "CALLBOARD_LOG_LEVEL=loud does not fit": "'debug', 'info', 'warning' or 'error'",
        "it was never migrated": "callboard migrate",
        "worker processes of 250 threads": "raise max_connections",
        "it throws messages away": "maxmemory-policy noeviction",
        f"port {taken_port} on 127.0.0.1 is taken": "CALLBOARD_EXPORTER_PORT",
        "CALLBOARD_QUEUES names the queue 'fasst'": "did you mean fast?",
        "CALLBOARD_HOME=/proc/nowhere": "folder of your own",
        "Actor module 'planted_missing' does not exist": "correct CALLBOARD_ACTORS",
        "planted_syntax": "mend planted_syntax",
        "'quick' is declared twice": "rename one of them",
        "0 0 31 2 *": "",
    }
    for what, mend in expected.items():
        assert any(what in told and mend in f"{told} {mended}" for told, mended in errors.items()), (what, mend, errors)
    warnings = [each["what"] for each in found if each["level"] == "warning"]
    assert any("appendonly no" in what for what in warnings)
    assert all(each["mend"] for each in found if each["level"] != "ok")


def test_servers_that_do_not_answer_are_errors_without_passwords(board: Board, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setenv("CALLBOARD_DATABASE_URL", "postgresql://anna:hunter2@127.0.0.1:1/none")
    monkeypatch.setenv("CALLBOARD_BROKER_URL", "redis://:hunter2@127.0.0.1:1/0")
    answer = board("check")
    assert answer.code == 1
    assert "Postgres does not answer at 127.0.0.1:1/none" in answer.out
    assert "the broker does not answer at 127.0.0.1:1/0" in answer.out
    assert "hunter2" not in answer.out


@pytest.mark.parametrize("url", ["mysql://localhost/x", "not a url", "postgresql://"])
def test_a_malformed_database_url_is_an_error_not_a_traceback(
    board: Board, monkeypatch: pytest.MonkeyPatch, url: str
) -> None:
    monkeypatch.setenv("CALLBOARD_DATABASE_URL", url)
    told = findings(board, "error")
    assert any("Postgres does not answer" in what or "names no Postgres" in what for what in told)
    assert not any("a fault of ours" in what for what in told)
    assert "a fault of ours" not in board("runs").err


def test_a_broker_url_without_a_scheme_is_shown_as_no_place(board: Board, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setenv("CALLBOARD_BROKER_URL", "localhost:6379")
    (told,) = (what for what in findings(board, "error") if "broker does not answer" in what)
    assert told.startswith("the broker does not answer at CALLBOARD_BROKER_URL: Redis URL must specify")


def test_a_variable_of_a_catalogue_that_is_not_loaded_is_taken_for_no_other(
    board: Board, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setenv("CALLBOARD_MEMORY_GITHUB_URL", "http://127.0.0.1:1")
    assert "did you mean" not in findings(board, "error")["CALLBOARD_MEMORY_GITHUB_URL is read by nothing"]


def test_without_servers_it_says_what_starts_them(board: Board, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.delenv("CALLBOARD_DATABASE_URL")
    monkeypatch.delenv("CALLBOARD_BROKER_URL")
    warnings = findings(board, "warning")
    assert len([mend for mend in warnings.values() if "callboard up" in mend]) == 2


def test_a_queue_that_the_settings_leave_out_is_a_warning(board: Board, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setenv("CALLBOARD_QUEUES", "fast")
    warnings = findings(board, "warning")
    assert any("nobody works on the queue 'slow' (long, nightly)" in what for what in warnings)
    mend = warnings["nobody works on the queue 'callboard_replays': bulk replays only wait"]
    assert mend == "start a worker for it: callboard worker --queue callboard_replays."


def test_the_catalogues_settings_are_checked_too(board: Board, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setenv("CALLBOARD_ACTORS", "actors.sessions")
    monkeypatch.setenv("CALLBOARD_SESSIONS_EMBED_BATCH", "0")
    monkeypatch.setenv("CALLBOARD_SESSIONS_CLAUD_DIR", "/tmp")  # noqa: S108 - only named, never opened
    errors = findings(board, "error")
    assert errors["CALLBOARD_SESSIONS_CLAUD_DIR is read by nothing"] == "did you mean CALLBOARD_SESSIONS_CLAUDE_DIR?"
    assert "CALLBOARD_SESSIONS_EMBED_BATCH=0 does not fit" in errors
    monkeypatch.delenv("CALLBOARD_SESSIONS_CLAUD_DIR")
    monkeypatch.setenv("CALLBOARD_SESSIONS_EMBED_BATCH", "5")
    monkeypatch.setenv("CALLBOARD_SESSIONS_CLAUDE_DIR", "/no/such/place")
    monkeypatch.setenv("CALLBOARD_SESSIONS_OLLAMA_URL", "http://127.0.0.1:1")
    warnings = " ".join(findings(board, "warning"))
    assert "CALLBOARD_SESSIONS_CLAUDE_DIR=/no/such/place does not exist" in warnings
    assert "CALLBOARD_SESSIONS_OLLAMA_URL=http://127.0.0.1:1 does not answer" in warnings


def test_migrating_and_looking_whether_one_must(
    board: Board, monkeypatch: pytest.MonkeyPatch, empty_postgres_url: str
) -> None:
    monkeypatch.setenv("CALLBOARD_DATABASE_URL", empty_postgres_url)
    unmigrated = board("runs")
    assert unmigrated.code == 1
    assert "run `callboard migrate`" in unmigrated.err
    assert board("migrate", "--check").code == 1
    assert migrate.current(empty_postgres_url) is None, "looking changes nothing"
    assert f"is at {migrate.head()}; it was at nothing" in board("migrate").out
    assert "already" in board("migrate").out
    assert board("migrate", "--check").code == 0
    assert board("runs").code == 0
