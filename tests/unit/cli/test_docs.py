from __future__ import annotations

import re
import subprocess
import sys
from typing import TYPE_CHECKING

import pytest

from actors.memory.settings import MemorySettings
from actors.revenue.settings import RevenueSettings
from actors.sessions.settings import SessionsSettings
from callboard.exits import Exit
from callboard.settings import Settings
from cli import docs
from cli._commands import COMMANDS
from cli._problems import variables

if TYPE_CHECKING:
    from pathlib import Path


def test_the_pages_say_what_the_code_says() -> None:
    done = subprocess.run([sys.executable, "-m", "cli.docs", "--check"], capture_output=True, text=True, check=False)
    assert (done.returncode, done.stderr) == (0, "")


def test_a_page_that_differs_or_is_missing_is_noticed(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch, capsys: pytest.CaptureFixture[str]
) -> None:
    monkeypatch.setattr(docs, "ROOT", tmp_path)
    names = ("commands", "settings", "jobs", "permissions", "filters", "api")
    assert docs.outdated(tmp_path) == [f"docs/reference/{name}.md" for name in names]
    assert docs.main([]) == 0
    assert docs.outdated(tmp_path) == []
    page = tmp_path / "docs/reference/settings.md"
    page.write_text(page.read_text().replace("CALLBOARD_HOME", "CALLBOARD_HUT"))
    assert docs.outdated(tmp_path) == ["docs/reference/settings.md"]
    assert capsys.readouterr().err == ""


@pytest.mark.parametrize("name", [name for name, entry in COMMANDS.items() if not entry.hidden])
def test_every_command_is_described(name: str) -> None:
    assert f"### `callboard {name}`" in docs.pages()["docs/reference/commands.md"]


@pytest.mark.parametrize("code", list(Exit))
def test_every_exit_code_is_described(code: Exit) -> None:
    assert f"| {code.value} | {code.meaning} |" in docs.pages()["docs/reference/commands.md"]


def test_every_setting_is_described_with_its_default() -> None:
    page = docs.pages()["docs/reference/settings.md"]
    rows = {row[1]: row for row in re.findall(r"^(\| `(CALLBOARD_\w+)` .*)$", page, re.MULTILINE)}
    assert list(rows) == [
        name for each in (Settings, MemorySettings, RevenueSettings, SessionsSettings) for name in variables(each)
    ]
    assert "| `2` | Worker processes" in rows["CALLBOARD_WORKER_PROCESSES"][0]
    assert "one of `auto`, `json`, `text`" in rows["CALLBOARD_LOG_FORMAT"][0]
    assert "at least 1, at most 256" in rows["CALLBOARD_WORKER_THREADS"][0]
    assert "`$CALLBOARD_HOME/" in rows["CALLBOARD_SESSIONS_VECTORS_DIR"][0]
