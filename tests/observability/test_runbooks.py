"""docs/runbooks/: one page for each alert, its facts fresh, and every command on it one that exists."""

from __future__ import annotations

import re
from importlib import import_module

import pytest

from observability.rules.alert import Alert
from observability.rules.build import ROOT, alerts
from observability.rules.config import ObservabilityConfig
from observability.rules.runbooks import END, SECTIONS, head, left_over

FOLDER = ROOT / "docs" / "runbooks"
ALERTS = alerts(ObservabilityConfig())
NAMES = sorted({alert.name for alert in ALERTS})
COMMANDS = (ROOT / "docs" / "reference" / "commands.md").read_text()
#: What stands in a command for the reader to fill in, or for a label.
_BLANK = re.compile(r"\{\{.*?\}\}")


def text_of(name: str) -> str:
    return (FOLDER / f"{name}.md").read_text("utf-8")


def test_none_is_left_over() -> None:
    assert left_over(ALERTS, FOLDER) == []


@pytest.mark.parametrize("name", NAMES)
def test_its_head_is_fresh(name: str) -> None:
    variants = [alert for alert in ALERTS if alert.name == name]
    assert text_of(name).startswith(head(variants)), "run `python -m observability.rules.build`"


@pytest.mark.parametrize("name", NAMES)
def test_it_says_all_that_a_runbook_must(name: str) -> None:
    prose = text_of(name).partition(END)[2]
    parts = re.split(r"^## (.+)$", prose, flags=re.MULTILINE)
    assert parts[1::2] == list(SECTIONS)
    for section, said in zip(parts[1::2], parts[2::2], strict=True):
        assert len(said.split()) >= (1 if section == "Safe silence" else 5), f"{section} is empty"


@pytest.mark.parametrize("name", NAMES)
def test_it_links_to_pages_and_settings_that_exist(name: str) -> None:
    text = text_of(name)
    for target in re.findall(r"\]\(([^)]+)\)", text):
        assert (FOLDER / target).exists(), target
    known = import_module("callboard.settings").Settings.model_fields
    for setting in re.findall(r"\bCALLBOARD_([A-Z_]+)", text):
        assert setting.lower() in known, setting


def check_command(command: str) -> None:
    """Its words are those of docs/reference/commands.md: the longest command they begin with, and its options."""
    words = _BLANK.sub("x", command).split()
    headings = [" ".join(words[:length]) for length in range(len(words), 1, -1)]
    found = next((heading for heading in headings if f"`{heading}`\n" in COMMANDS), None)
    assert found is not None, f"{command!r} is no command"
    section = COMMANDS.partition(f"### `{found}`\n")[2].partition("\n### ")[0]
    for option in re.findall(r"(?<=\s)--[a-z-]+", command):
        assert f"{option} " in section or f"{option}`" in section, f"{found} has no {option}"


@pytest.mark.parametrize("name", NAMES)
def test_every_command_on_it_exists(name: str) -> None:
    prose = text_of(name).partition(END)[2]
    for command in re.findall(r"`(callboard [^`]+)`", prose):
        check_command(command)


@pytest.mark.parametrize("alert", ALERTS, ids=lambda alert: alert.name)
def test_the_command_of_an_alert_exists(alert: Alert) -> None:
    branches = re.fullmatch(r"(.*)\{\{ if [^}]*\}\}(\w+)\{\{ else \}\}(\w+)\{\{ end \}\}(.*)", alert.command)
    commands = [alert.command]
    if branches:
        commands = [branches[1] + each + branches[4] for each in (branches[2], branches[3])]
    for command in commands:
        check_command(command)


def test_a_command_that_is_none_would_be_noticed() -> None:
    for wrong in ("callboard unheard-of", "callboard runs --unheard-of"):
        with pytest.raises(AssertionError):
            check_command(wrong)
