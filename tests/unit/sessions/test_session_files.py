"""The made-up session files: what other tests and the benchmark rely on."""

from __future__ import annotations

import json
import subprocess
import sys
from datetime import UTC, datetime, timedelta
from typing import TYPE_CHECKING

import pytest

from actors.sessions.adapters import all_adapters
from actors.sessions.settings import SessionsSettings
from sandbox.session_files import (
    DEFAULT_MIX,
    Plan,
    claude_line,
    environment,
    folders,
    shrink,
    write_bad_files,
    write_oversized_line,
    write_sessions,
)
from tests.unit.sessions.support import limits

if TYPE_CHECKING:
    from pathlib import Path


def contents(root: Path) -> dict[str, bytes]:
    return {str(path.relative_to(root)): path.read_bytes() for path in root.rglob("*") if path.is_file()}


def collected(root: Path) -> dict[str, int]:
    """Messages with different uuids by tool, as the adapters find them."""
    settings = SessionsSettings(**{f"{tool}_dir": path for tool, path in folders(root).items()})
    found = {}
    for adapter in all_adapters(settings):
        sources = adapter.list().sources
        parts = [part for source in sources for part in adapter.read(source, None, limits())]
        found[adapter.name] = len({m.uuid for part in parts for talk in part.conversations for m in talk.messages})
    return found


def test_the_same_plan_writes_the_same_bytes(tmp_path: Path) -> None:
    for name in ("a", "b"):
        write_sessions(tmp_path / name, Plan(sessions=12, messages=200, seed=7))
    write_sessions(tmp_path / "c", Plan(sessions=12, messages=200, seed=8))
    assert contents(tmp_path / "a") == contents(tmp_path / "b")
    assert set(contents(tmp_path / "a")) != set(contents(tmp_path / "c"))


def test_all_that_is_written_is_found_by_the_adapters(tmp_path: Path) -> None:
    written = write_sessions(tmp_path, Plan(sessions=60, messages=1007))
    assert written.messages.total() == 1007
    assert written.sessions.total() == 60
    assert collected(tmp_path) == dict(written.messages)


def test_every_tool_gets_a_session_and_then_its_share(tmp_path: Path) -> None:
    written = write_sessions(tmp_path, Plan(sessions=100, messages=100))
    assert all(abs(written.sessions[tool] - share) <= 1 for tool, share in DEFAULT_MIX.items())
    few = write_sessions(tmp_path / "few", Plan(sessions=4, messages=4))
    assert set(few.sessions) == set(DEFAULT_MIX)


def test_dates_and_mtimes_go_back_as_far_as_asked(tmp_path: Path) -> None:
    newest = datetime(2026, 1, 31, 12, tzinfo=UTC)
    write_sessions(tmp_path, Plan(sessions=31, messages=31, mix={"claude": 1}, newest=newest, days=31))
    times = sorted(path.stat().st_mtime for path in tmp_path.rglob("*.jsonl"))
    assert times[-1] == newest.timestamp()
    assert times[0] == (newest - timedelta(days=30)).timestamp()


@pytest.mark.parametrize(
    ("sessions", "messages", "mix", "named"),
    [(5, 4, {"claude": 1}, "sessions=5"), (0, 4, {"claude": 1}, "sessions=0"), (1, 1, {"clod": 1}, "'clod'")],
)
def test_a_plan_that_cannot_be_written_is_refused(
    sessions: int, messages: int, mix: dict[str, int], named: str
) -> None:
    with pytest.raises(ValueError, match=named):
        Plan(sessions=sessions, messages=messages, mix=mix)


def test_the_bad_files_hold_the_messages_they_promise(tmp_path: Path) -> None:
    bad = write_bad_files(tmp_path, oversized_bytes=1 << 17)
    assert sum(collected(tmp_path).values()) == bad.messages
    assert bad.torn.read_bytes()[-1:] != b"\n"
    with pytest.raises(UnicodeDecodeError):
        bad.bad_utf8.read_text(encoding="utf-8")
    with pytest.raises(ValueError, match="Unterminated"):
        json.loads(bad.torn_document.read_text(encoding="utf-8"))


def test_an_oversized_line_has_the_size_asked_for(tmp_path: Path) -> None:
    path = tmp_path / "a.jsonl"
    write_oversized_line(path, 3_000_001)
    (line,) = path.read_bytes().splitlines()
    assert len(json.loads(line)["message"]["content"]) == 3_000_001
    shrink(path, 10)
    assert path.stat().st_size == 10


def test_a_claude_line_is_the_same_for_the_same_arguments() -> None:
    session = "bad00000-0000-4000-a000-000000000001"
    assert claude_line(session, 1, "x") == claude_line(session, 1, "x") != claude_line(session, 2, "x")


def test_the_command_writes_files_and_prints_the_variables_to_set(tmp_path: Path) -> None:
    command = [sys.executable, "-m", "sandbox.session_files", str(tmp_path)]
    sizes = ["--sessions", "6", "--messages", "30", "--days", "3", "--mix", "claude=1,gemini=1", "--bad"]
    done = subprocess.run([*command, *sizes], check=True, capture_output=True, text=True)
    assert dict(line.split("=", 1) for line in done.stdout.splitlines()) == environment(tmp_path)
    assert done.stderr == "6 sessions, 30 messages\n"
    oldest = min(path.stat().st_mtime for path in folders(tmp_path)["gemini"].rglob("*.json"))
    assert datetime.now(UTC).timestamp() - oldest > 86_400
    assert {path.name for path in tmp_path.iterdir()} == {"claude", "gemini"}
