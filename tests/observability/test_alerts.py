"""Each alert on promtool: quiet, firing, resolved, and what must not make it fire. The cases stand in alert_cases/."""

from __future__ import annotations

import re
import subprocess
from collections import defaultdict
from pathlib import Path
from typing import Any

import pytest
import yaml

from observability.rules.alert import Alert, rule
from observability.rules.build import alerts
from observability.rules.config import ObservabilityConfig
from observability.rules.recording import recordings
from tests.observability.alert_cases.case import Case
from tests.observability.alert_cases.table import CASES
from tests.observability.programs import program

CONFIG = ObservabilityConfig()
ALERTS: dict[str, list[Alert]] = defaultdict(list)
for each in alerts(CONFIG):
    ALERTS[each.name].append(each)


def write(path: Path, tree: dict[str, Any]) -> Path:
    path.write_text(yaml.safe_dump(tree, allow_unicode=True, sort_keys=False))
    return path


def shrunk(span: str, factor: int) -> str:
    """A span in seconds, `factor` times shorter."""
    number, unit = int(span[:-1]), span[-1]
    return f"{number * {'s': 1, 'm': 60, 'h': 3600, 'd': 86_400}[unit] // factor}s"


def shrunk_expr(expr: str, factor: int) -> str:
    return re.sub(r"(\[|offset )([0-9]+[smhd])", lambda found: found[1] + shrunk(found[2], factor), expr)


def rules_of(name: str, folder: Path, factor: int) -> Path:
    """One alert and what it stands on: a hundred cases over all rules would take minutes."""
    own = [rule(alert, CONFIG) for alert in ALERTS[name]]
    needed = [each for each in recordings(CONFIG) if any(each.record in alert.expr for alert in ALERTS[name])]
    recorded = [{"record": each.record, "expr": shrunk_expr(each.expr, factor)} for each in needed]
    alerting = [
        each | {"expr": shrunk_expr(str(each["expr"]), factor), "for": shrunk(str(each["for"]), factor)} for each in own
    ]
    groups = [{"name": "recording", "rules": recorded}, {"name": "alert", "rules": alerting}]
    return write(folder / f"{name}.{factor}.rules.yml", {"groups": groups})


def cases_of(name: str, folder: Path) -> list[Path]:
    """One file for each step of time, since promtool evaluates the rules of a file at one pace."""
    paced: dict[tuple[str, int], list[dict[str, Any]]] = defaultdict(list)
    for case in CASES:
        if case.alert == name:
            paced[case.pace, case.shrink].append(case.as_test())
    return [
        write(
            folder / f"{name}.{pace}.yml",
            {"rule_files": [str(rules_of(name, folder, factor))], "evaluation_interval": pace, "tests": groups},
        )
        for (pace, factor), groups in paced.items()
    ]


@pytest.mark.parametrize("name", sorted(ALERTS))
def test_it_fires_when_it_must_and_only_then(name: str, tmp_path: Path) -> None:
    checked = subprocess.run(
        [program("promtool"), "test", "rules", *cases_of(name, tmp_path)], capture_output=True, text=True, check=False
    )
    assert checked.returncode == 0, checked.stdout + checked.stderr


def stories(name: str) -> list[Case]:
    return [case for case in CASES if case.alert == name and case.kind == "story"]


@pytest.mark.parametrize("name", sorted(ALERTS))
def test_the_table_shows_it_quiet_firing_resolved_and_spared(name: str) -> None:
    told = [case for case in CASES if case.alert == name]
    variants = {(alert.severity, *sorted(alert.labels.items())) for alert in ALERTS[name]}
    seen = {
        (case.severity, *sorted((key, labels[key]) for key in ALERTS[name][0].labels))
        for case in stories(name)
        for expected in case.firing.values()
        for labels in expected
    }
    assert seen == variants
    if name == "CallboardWatchdog":  # it has no other state
        return
    for case in stories(name):
        assert [bool(expected) for _, expected in sorted(case.firing.items())] == [False, True, False]
    assert any(not any(case.firing.values()) for case in told), "no case of a false alarm"


def test_there_is_no_case_of_an_alert_that_is_no_more() -> None:
    assert {case.alert for case in CASES} == set(ALERTS)


@pytest.mark.parametrize("name", sorted(ALERTS))
def test_its_texts_come_out_whole(name: str, tmp_path: Path) -> None:
    """promtool shows what it got where it expected nothing; that is read here."""
    files = []
    for number, case in enumerate(stories(name)):
        rules = str(rules_of(name, tmp_path, case.shrink))
        tree: dict[str, Any] = {"rule_files": [rules], "evaluation_interval": case.pace}
        files.append(write(tmp_path / f"{number}.yml", tree | {"tests": [case.as_exhibit()]}))
    shown = subprocess.run([program("promtool"), "test", "rules", *files], capture_output=True, text=True, check=False)
    text = shown.stdout + shown.stderr
    assert shown.returncode == 1
    assert text.count("Annotations:{command=") >= len(files), text
    for wrong in ("<no value>", "error expanding", "%!", "{{", "var-queue=&", 'var-queue="'):
        assert wrong not in text
