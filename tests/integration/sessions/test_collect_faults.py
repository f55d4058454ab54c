"""What goes wrong around `collect_all` itself: a kill in mid-pass, an adapter that breaks, a database that refuses."""

from __future__ import annotations

import os
import signal
import subprocess
import sys
from concurrent.futures import ThreadPoolExecutor
from typing import TYPE_CHECKING

import pytest
from hypothesis import HealthCheck, given, settings
from hypothesis import strategies as st

from actors.sessions.adapters import ClaudeAdapter, Listing, Source
from actors.sessions.collect import Collector, Writer
from actors.sessions.reader import Stamp
from actors.sessions.settings import get_sessions_settings
from callboard import Run
from sandbox.session_files import Plan, claude_line, folders, write_sessions
from tests.integration.sessions.test_collect import SESSION, append, collect, query, session_file, stored, texts
from tests.support import eventually

if TYPE_CHECKING:
    from collections.abc import Iterator
    from pathlib import Path

    from actors.sessions.adapters import Adapter, Limits, Slice
    from actors.sessions.reader import FileState


def collect_from(*adapters: Adapter) -> dict[str, int]:
    run, options = Run(job="collect_all"), get_sessions_settings()
    with ThreadPoolExecutor(1) as thread:
        Collector(options, run, Writer(options, run, thread)).collect(list(adapters))
    return {name: count for name, count in run.counts.items() if count}


class BrokenAdapter(ClaudeAdapter):
    """An adapter with a bug: it cannot even list."""

    name = "broken"

    def list(self) -> Listing:
        raise ZeroDivisionError


class HalfBrokenAdapter(ClaudeAdapter):
    """An adapter with a bug that shows after the first slice of a file."""

    def read(self, source: Source, state: FileState | None, limits: Limits) -> Iterator[Slice]:
        slices = super().read(source, state, limits._replace(slice_messages=2))
        yield next(slices)
        raise ZeroDivisionError


def test_an_adapter_that_breaks_costs_the_others_nothing(sessions_home: Path) -> None:
    append(session_file(sessions_home), claude_line(SESSION, 0, "0"))
    root = folders(sessions_home)["claude"]
    counts = collect_from(BrokenAdapter(root), ClaudeAdapter(root))
    assert (counts["errors"], counts["messages_inserted"]) == (1, 1)


def test_a_file_that_breaks_its_adapter_is_taken_up_where_it_was_committed(sessions_home: Path) -> None:
    append(session_file(sessions_home), *(claude_line(SESSION, number, str(number)) for number in range(5)))
    assert collect_from(HalfBrokenAdapter(folders(sessions_home)["claude"]))["errors"] == 1
    assert texts() == ["0", "1"]
    assert collect() == {"projects_scanned": 1, "sessions_scanned": 1, "messages_inserted": 3}
    assert texts() == ["0", "1", "2", "3", "4"]


def test_a_state_that_makes_no_sense_is_logged_and_the_file_read_anew(
    sessions_home: Path, capsys: pytest.CaptureFixture[str]
) -> None:
    written = write_sessions(sessions_home, Plan(sessions=4, messages=40))
    collect()
    query("update sessions.files set parser_state = 'nonsense' where source = 'opencode'")
    assert "errors" not in collect()
    assert "sessions.state_unreadable" in capsys.readouterr().out
    assert stored() == written.messages.total()


def test_a_file_that_vanishes_between_listing_and_reading_is_counted(sessions_home: Path) -> None:
    append(session_file(sessions_home), claude_line(SESSION, 0, "0"))

    class Haunted(ClaudeAdapter):
        def list(self) -> Listing:
            listing = super().list()
            listing.sources.append(Source(self.root / "ghost.jsonl", Stamp(1, 1, 1), "-x"))
            return listing

    counts = collect_from(Haunted(folders(sessions_home)["claude"]))
    assert (counts["files_vanished"], counts["messages_inserted"]) == (1, 1)
    assert "errors" not in counts


def test_a_pass_killed_again_and_again_loses_and_doubles_nothing(sessions_home: Path) -> None:
    written = write_sessions(sessions_home, Plan(sessions=60, messages=12_000))
    command = [sys.executable, "-c", "from actors.sessions.collect import collect_all; collect_all()"]
    env = os.environ | {"CALLBOARD_SESSIONS_COLLECT_BATCH_MESSAGES": "100"}
    for _ in range(3):
        before = stored()
        with subprocess.Popen(command, env=env) as process:
            eventually(lambda before=before: stored() > before or process.poll() is not None, 30, what="some progress")
            process.send_signal(signal.SIGKILL)
        assert process.returncode == -signal.SIGKILL
    assert 0 < stored() < written.messages.total()
    collect()
    assert stored() == written.messages.total()
    wrong = query(
        "select s.id from sessions.sessions s left join sessions.messages m on m.session_id = s.id group by s.id "
        "having s.message_count <> count(m.id) or max(m.sequence) <> count(m.id)"
    )
    assert wrong == []


@settings(max_examples=25, deadline=None, suppress_health_check=[HealthCheck.function_scoped_fixture])
@given(st.lists(st.text(min_size=1), min_size=1, max_size=5))
def test_any_text_comes_back_as_it_was_written(sessions_home: Path, words: list[str]) -> None:
    path = session_file(sessions_home)
    path.write_bytes(b"")
    query("truncate sessions.messages, sessions.files")
    append(path, *(claude_line(SESSION, number, word) for number, word in enumerate(words)))
    counts = collect()
    assert counts["messages_inserted"] == len(words)
    expected = [word.replace("\x00", "\ufffd").encode("utf-8", "replace").decode() for word in words]
    assert texts() == expected


@pytest.mark.parametrize("constraint", ["check (name <> 'broken')", "check (source <> 'claude')"])
def test_a_project_that_postgres_refuses_costs_only_its_own_messages(sessions_home: Path, constraint: str) -> None:
    query(f"alter table sessions.projects add {constraint}")
    append(session_file(sessions_home), *(claude_line(SESSION, number, "x") for number in range(3)))
    path = folders(sessions_home)["codex"] / "history.jsonl"
    path.parent.mkdir(parents=True)
    append(path, b'{"session_id":"new","ts":1767607200,"text":"hi"}')
    counts = collect()
    assert (counts["messages_refused"], counts["messages_inserted"]) == (3, 1)
