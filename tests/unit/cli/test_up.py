from __future__ import annotations

import os
import signal
from datetime import UTC, datetime, timedelta
from pathlib import Path
from types import SimpleNamespace
from typing import TYPE_CHECKING, Any
from uuid import UUID

import pytest
from rich.console import Console

from actors.sessions.settings import get_sessions_settings
from callboard.settings import Settings
from cli import _samples
from cli._signals import Stopped, ignored, raising
from cli.up._news import Due, News, Part
from cli.up._sample_sessions import write_samples
from cli.up._sandbox import Sandbox
from cli.up._screen import render
from cli.up._servers import _place
from sandbox.session_files import environment

if TYPE_CHECKING:
    from collections.abc import Iterator

NOW = datetime(2026, 5, 4, 10, 0, tzinfo=UTC)
PARTS = [
    Part("postgres", 27004, "running", "socket in /home/anna/project/.callboard/postgres"),
    Part("valkey", 26959, "running", "127.0.0.1:7379/0"),
    Part("ollama", 27020, "stand-in", "127.0.0.1:43889"),
    Part("scheduler", 27021, "leading", "calls the cadences"),
    Part("worker-1", 27022, "alive", "0 of 8 threads busy, queues indexing maintenance sessions and_many_more_queues"),
    Part("worker-2", None, "restarting", "exit code -9"),
    Part("exporter", 27024, "running", "http://127.0.0.1:9191/metrics"),
    Part("console", 27025, "running", "http://127.0.0.1:9190"),
]


def run(number: int, **other: Any) -> dict[str, Any]:  # noqa: ANN401 - columns of board.runs
    row = {
        "id": UUID(int=number << 96),
        "job": "check_and_archive_all",
        "state": "completed",
        "attempt": 1,
        "created_at": NOW - timedelta(seconds=number + 3),
        "eligible_at": NOW - timedelta(seconds=number + 3),
        "history": None,
        "started_at": NOW - timedelta(seconds=number + 2),
        "finished_at": NOW - timedelta(seconds=number),
        "counts": {"scanned": 842, "summarised": 37, "skipped_unchanged": 805, "a_longer_count": 12},
        "progress": None,
        "reason": None,
        "error": None,
        "error_type": None,
    }
    return row | other


def news(**other: Any) -> News:  # noqa: ANN401 - fields of News
    due = [Due(f"job_{n}", NOW + timedelta(minutes=n)) for n in range(9)]
    made = News(NOW, PARTS, due, [], [run(n) for n in range(20)])
    for name, value in other.items():
        setattr(made, name, value)
    return made


def screen(shown: News, *, width: int = 80, height: int = 24, notes: tuple[str, ...] = ("a note " * 20,)) -> list[str]:
    board: Any = SimpleNamespace(notes=list(notes), metrics_url="http://127.0.0.1:9191/metrics")
    console = Console(width=width, height=height, markup=False, highlight=False, emoji=False)
    with console.capture() as capture:
        console.print(render(board, shown, seconds=61, width=width, height=height))
    return [line.rstrip() for line in capture.get().splitlines()]


@pytest.mark.parametrize(("width", "height"), [(80, 24), (60, 24), (120, 40), (200, 60)])
def test_the_screen_fits_the_terminal(width: int, height: int) -> None:
    lines = screen(news(dead=3), width=width, height=height)
    assert len(lines) <= height
    assert max(map(len, lines)) <= width
    assert all(any(part.name in line for line in lines) for part in PARTS)


def test_a_taller_terminal_shows_more_of_the_past() -> None:
    assert len([line for line in screen(news(), height=40) if "completed" in line]) > len(
        [line for line in screen(news(), height=24) if "completed" in line]
    )


def test_the_screen_says_what_to_try_next() -> None:
    lines = screen(news())
    assert lines[0].startswith("callboard  starting  for 1 min"), "a part is restarting"
    assert "callboard run show 00000000" in lines[-2]
    assert "http://127.0.0.1:9191/metrics" in lines[-1]
    assert "Ctrl-C" in lines[-1]


def test_the_link_that_signs_in_is_shown_whole_until_it_is_used() -> None:
    link = f"http://127.0.0.1:9190/sign-in/link?token={'x' * 32}"
    assert screen(news(link=link))[-2] == f"open {link}"
    assert screen(news(link=link), width=60)[-2] == "sign in to the console: callboard console link"
    assert screen(news(link=""))[-2].startswith("try: ")


def test_the_screen_before_anything_has_happened() -> None:
    lines = screen(News(NOW, PARTS[:1]), notes=())
    assert "nothing yet" in lines
    assert any("callboard run show ID" in line for line in lines)
    assert News(NOW, PARTS[:1]).ready
    assert not News(NOW, PARTS[:1], trouble="away").ready


def test_trouble_and_dead_letters_come_before_notes() -> None:
    lines = screen(news(dead=1, trouble="Postgres does not answer: refused"), notes=("a note",))
    told = [line for line in lines if line.startswith(("Postgres does not", "1 dead letter", "a note"))]
    assert [line.split()[0] for line in told] == ["Postgres", "1", "a"]


def test_running_work_shows_its_progress_and_a_failure_its_error() -> None:
    running = run(1, state="running", finished_at=None, progress={"processed": 3, "total": 9, "message": "files"})
    failed = run(2, state="failed", error="no paper", error_type="OSError")
    lines = screen(news(running=[running], finished=[failed]), width=120)
    assert any("running" in line and "3/9 files" in line for line in lines)
    assert any("failed" in line and "OSError: no paper" in line for line in lines)


def test_a_paused_schedule_is_shown_as_such() -> None:
    assert "paused    nightly" in screen(news(due=[Due("nightly", None)]))


@pytest.mark.parametrize(
    ("url", "place"),
    [
        ("redis://:hunter2@127.0.0.1:7379/0", "127.0.0.1:7379/0"),
        ("postgresql+psycopg://anna:hunter2@db/board", "db/board"),
        ("postgresql+psycopg://postgres@/callboard?host=/tmp/x", "socket/callboard"),
    ],
)
def test_addresses_are_shown_without_passwords(url: str, place: str) -> None:
    assert _place(url) == place


@pytest.fixture
def machine(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> Iterator[Settings]:
    """A machine without session files and without an Ollama."""
    for name in [name for name in os.environ if name.startswith("CALLBOARD_")]:
        monkeypatch.delenv(name)
    monkeypatch.setenv("HOME", str(tmp_path))
    monkeypatch.setenv("CALLBOARD_SESSIONS_OLLAMA_URL", "http://127.0.0.1:1")
    get_sessions_settings.cache_clear()
    yield Settings(home=tmp_path / "home", actors=("actors.sessions",))
    get_sessions_settings.cache_clear()


def test_samples_are_made_where_there_are_no_sessions(machine: Settings) -> None:
    sandbox = Sandbox(machine)
    (note,) = sandbox.prepare()
    assert "sample sessions are used, and a stand-in for Ollama" in note
    (ollama,) = sandbox.stand_ins
    assert ollama.command[2:5] == ["sandbox.ollama", "--port", ollama.address.rpartition(":")[2]]
    sessions = sandbox.folder / "sessions"
    assert environment(sessions).items() <= sandbox.environment.items()
    assert any(sessions.rglob("*.jsonl"))
    files = {path: path.stat().st_mtime_ns for path in sessions.rglob("*")}
    Sandbox(machine).prepare()
    assert {path: path.stat().st_mtime_ns for path in sessions.rglob("*")} == files, "they are made once"


def test_sessions_of_ones_own_are_left_alone(machine: Settings, tmp_path: Path) -> None:
    (tmp_path / ".codex").mkdir()
    assert Sandbox(machine).prepare() != [], "an empty folder is no session"
    (tmp_path / ".codex" / "history.jsonl").touch()
    sandbox = Sandbox(machine)
    assert sandbox.prepare() == []
    assert sandbox.environment == {}
    assert not (sandbox.folder / "environment.json").exists(), "other commands must not use samples any more"


def test_a_folder_that_was_set_on_purpose_is_used_though_it_is_empty(
    machine: Settings, monkeypatch: pytest.MonkeyPatch, tmp_path: Path
) -> None:
    monkeypatch.setenv("CALLBOARD_SESSIONS_CLAUDE_DIR", str(tmp_path / "later"))
    assert Sandbox(machine).prepare() == []


def test_samples_that_were_half_made_are_made_anew(tmp_path: Path) -> None:
    folder = tmp_path / "sandbox" / "sessions"
    half = folder.with_name("sessions.new")
    half.mkdir(parents=True)
    (half / "torn").touch()
    write_samples(folder)
    assert not (folder / "torn").exists()
    assert not half.exists()


def test_other_commands_use_the_samples_unless_told_otherwise(
    machine: Settings, monkeypatch: pytest.MonkeyPatch, capsys: pytest.CaptureFixture[str]
) -> None:
    _samples.use(machine.home)
    assert capsys.readouterr().err == ""
    (machine.home / "sandbox").mkdir(parents=True)
    _samples.remember(machine.home / "sandbox", {"CALLBOARD_SESSIONS_CODEX_DIR": "/samples"})
    monkeypatch.setenv("CALLBOARD_SESSIONS_CODEX_DIR", "/mine")
    _samples.use(machine.home)
    assert os.environ["CALLBOARD_SESSIONS_CODEX_DIR"] == "/mine"
    monkeypatch.delenv("CALLBOARD_SESSIONS_CODEX_DIR")
    _samples.use(machine.home)
    assert os.environ["CALLBOARD_SESSIONS_CODEX_DIR"] == "/samples"
    assert "the samples in" in capsys.readouterr().err


def _signal_twice(number: signal.Signals) -> None:
    with raising():
        try:
            signal.raise_signal(number)
        finally:
            signal.raise_signal(number)


@pytest.mark.parametrize("number", [signal.SIGTERM, signal.SIGINT, signal.SIGHUP])
def test_the_first_signal_stops_and_the_next_ones_change_nothing(number: signal.Signals) -> None:
    before = signal.getsignal(number)
    with pytest.raises(Stopped):
        _signal_twice(number)
    with ignored():
        signal.raise_signal(number)
    assert signal.getsignal(number) == before
