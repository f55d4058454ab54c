from __future__ import annotations

import os
import subprocess
import sys
import time
from importlib import import_module

import pytest
import typer

from cli import app, execute
from cli._commands import COMMANDS

HEAVY = ("sqlalchemy", "dramatiq", "redis", "psycopg", "pydantic", "alembic", "callboard", "rich.table", "httpx")


def python(code: str) -> str:
    done = subprocess.run([sys.executable, "-c", code], capture_output=True, text=True, check=True)
    return done.stdout


def test_help_imports_nothing_that_the_commands_need() -> None:
    code = f"import sys; from cli import execute; execute(['--help']); print([m for m in {HEAVY} if m in sys.modules])"
    assert python(code).splitlines()[-1] == "[]"


def test_help_comes_at_once() -> None:
    def seconds() -> float:
        began = time.monotonic()
        # isolated: neither the measuring of coverage nor a user's own start-up files count
        command = [sys.executable, "-I", "-c", "from cli import execute; execute(['--help'])"]
        environment = {name: value for name, value in os.environ.items() if not name.startswith("COV")}
        subprocess.run(command, capture_output=True, check=True, env=environment)
        return time.monotonic() - began

    assert min(seconds() for _ in range(3)) < 0.4


def test_help_lists_every_command_under_its_heading(capsys: pytest.CaptureFixture[str]) -> None:
    assert execute(["--help"]) == 0
    said = capsys.readouterr().out
    for name, entry in COMMANDS.items():
        assert (f"  {name.ljust(14)}" in said) is not entry.hidden
        assert entry.hidden or entry.section in said


@pytest.mark.parametrize("name", COMMANDS)
def test_the_table_says_what_the_command_says(name: str) -> None:
    command = typer.main.get_command(import_module(COMMANDS[name].module).app)
    assert command.help is not None
    assert command.help.splitlines()[0] == COMMANDS[name].summary


@pytest.mark.parametrize("name", COMMANDS)
def test_every_command_has_help(name: str, capsys: pytest.CaptureFixture[str]) -> None:
    assert execute([name, "-h"]) == 0
    assert f"Usage: callboard {name}" in capsys.readouterr().out


@pytest.mark.parametrize(
    ("argv", "words"),
    [
        (["rusn"], "did you mean run or runs?"),
        (["xyzzy"], "`callboard --help` lists the commands"),
        (["--colour"], "No such option: --colour"),
        (["runs", "--colour"], "see `callboard runs --help`"),
        (["dead-letters", "lst"], "did you mean list?"),
        (["trigger"], "Missing argument 'JOB'"),
    ],
)
def test_a_wrong_use_is_one_line_and_exit_2(capsys: pytest.CaptureFixture[str], argv: list[str], words: str) -> None:
    assert execute(argv) == 2
    said = capsys.readouterr()
    assert words in said.err
    assert said.err.startswith("callboard: ")
    assert said.err.count("\n") == 1
    assert said.out == ""


def test_no_command_shows_the_help(capsys: pytest.CaptureFixture[str]) -> None:
    assert execute([]) == 2
    assert "Run the board:" in capsys.readouterr().err


def test_the_version_is_that_of_the_package(capsys: pytest.CaptureFixture[str]) -> None:
    assert execute(["--version"]) == 0
    assert capsys.readouterr().out.startswith("callboard 0.")


def test_a_reader_that_has_seen_enough_is_no_failure() -> None:
    process = subprocess.Popen(
        [sys.executable, "-m", "cli", "jobs", "--json"], stdout=subprocess.PIPE, stderr=subprocess.PIPE
    )
    with process:
        assert process.stdout is not None
        assert process.stderr is not None
        process.stdout.close()
        assert process.stderr.read() == b""
    assert process.returncode == 0


def test_the_application_is_the_one_that_main_runs() -> None:
    assert isinstance(app, typer.Typer)
