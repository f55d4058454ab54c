"""The files of Prometheus and Alertmanager, built from the rules.

python -m observability.rules.build           write prometheus/, alertmanager/ and the heads of docs/runbooks/
python -m observability.rules.build --check   exit 1 if a file differs from what the code builds
"""

from __future__ import annotations

import argparse
import sys
from itertools import chain
from pathlib import Path
from typing import TYPE_CHECKING

from observability.rules import jobs, objectives, platform, queues, runbooks, schedules, workers
from observability.rules._yaml import dump
from observability.rules.alert import rule
from observability.rules.alertmanager import alertmanager_text
from observability.rules.config import ObservabilityConfig
from observability.rules.prometheus import prometheus_text
from observability.rules.recording import recordings

if TYPE_CHECKING:
    from collections.abc import Sequence

    from observability.rules._yaml import Tree
    from observability.rules.alert import Alert, JobRunbook

__all__ = ["ROOT", "alerts", "files", "main"]

#: The checkout; what is built here is not part of an installed package.
ROOT = Path(__file__).resolve().parents[2]
_COMMAND = "python -m observability.rules.build"
_NOTICE = f"# Built by `{_COMMAND}`. Change the code in observability/rules, not this file.\n"
_TOPICS = {
    "schedules": schedules,
    "queues": queues,
    "jobs": jobs,
    "objectives": objectives,
    "workers": workers,
    "platform": platform,
}


def alerts(config: ObservabilityConfig) -> list[Alert]:
    """Every alert, topic by topic."""
    return list(chain.from_iterable(topic.alerts(config) for topic in _TOPICS.values()))


def files(config: ObservabilityConfig, own_runbooks: Sequence[JobRunbook] = ()) -> dict[str, str]:
    """Path below the folder that holds prometheus/ and alertmanager/, and text.

    Args:
        config: Selectors, thresholds and addresses.
        own_runbooks: Of the jobs that have one; their alerts link to it.
    """
    return {
        "prometheus/prometheus.yml": _NOTICE + prometheus_text(config),
        "prometheus/rules/callboard.rules.yml": _NOTICE + dump(recording_groups(config)),
        "prometheus/rules/callboard.alerts.yml": _NOTICE + dump(alert_groups(config, own_runbooks)),
        "alertmanager/alertmanager.yml": _NOTICE + alertmanager_text(config),
    }


def recording_groups(config: ObservabilityConfig) -> Tree:
    """The recording rules as a rules file has them."""
    rules: list[Tree] = [{"record": each.record, "expr": each.expr} for each in recordings(config)]
    return {"groups": [{"name": "callboard-recording", "rules": rules}]}


def alert_groups(config: ObservabilityConfig, own_runbooks: Sequence[JobRunbook] = ()) -> Tree:
    """The alerting rules as a rules file has them, one group a topic."""
    groups: list[Tree] = [
        {"name": f"callboard-{name}", "rules": [rule(each, config, own_runbooks) for each in topic.alerts(config)]}
        for name, topic in _TOPICS.items()
    ]
    return {"groups": groups}


def built(root: Path = ROOT) -> dict[Path, str]:
    """What belongs into the checkout: the files with the default configuration, and the runbooks."""
    config = ObservabilityConfig()
    texts = {root / name: text for name, text in files(config).items()}
    return texts | runbooks.pages(alerts(config), root / "docs" / "runbooks")


def main(arguments: Sequence[str] | None = None, root: Path = ROOT) -> int:
    """Write or check the files; the exit code is 1 if a check finds a difference."""
    parser = argparse.ArgumentParser(prog=_COMMAND, description="Build the files of Prometheus and Alertmanager.")
    parser.add_argument("--check", action="store_true", help="write nothing; exit 1 if a file is out of date")
    if parser.parse_args(arguments).check:
        stale = [path for path, text in built(root).items() if not path.exists() or path.read_text("utf-8") != text]
        for path in stale:
            sys.stderr.write(f"{path.relative_to(root)} is out of date: run `{_COMMAND}`\n")
        return 1 if stale else 0
    for path, text in built(root).items():
        path.parent.mkdir(parents=True, exist_ok=True)
        path.write_text(text, encoding="utf-8")
    return 0


if __name__ == "__main__":
    sys.exit(main())
