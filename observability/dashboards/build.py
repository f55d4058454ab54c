"""All dashboards, and their files.

python -m observability.dashboards           write grafana/dashboards/*.json and docs/reference/dashboards.md
python -m observability.dashboards --check   exit 1 if a file differs from what the code builds
"""

from __future__ import annotations

import argparse
import sys
from pathlib import Path
from typing import TYPE_CHECKING

from observability.dashboards import (
    failures,
    job,
    overview,
    page,
    platform,
    queue,
    reference,
    runs,
    schedules,
    slo,
    workers,
)
from observability.rules.config import ObservabilityConfig

if TYPE_CHECKING:
    from collections.abc import Sequence

    from observability.dashboards.page import Page

__all__ = ["ROOT", "files", "main", "outdated", "pages", "render"]

#: The checkout; built files are no part of an installed package.
ROOT = Path(__file__).resolve().parent.parent.parent
_COMMAND = "python -m observability.dashboards"
_MODULES = (overview, queue, job, schedules, runs, failures, workers, slo, platform)


def pages(config: ObservabilityConfig) -> list[Page]:
    """The dashboards, in the order in which one reads them."""
    return [module.page(config) for module in _MODULES]


def render(config: ObservabilityConfig) -> dict[str, str]:
    """File name to JSON, for grafana/dashboards/."""
    return {f"{each.uid}.json": page.to_json(each, config) for each in pages(config)}


def files(root: Path = ROOT) -> dict[Path, str]:
    """Every built file and its text, with the settings as they are by default."""
    config = ObservabilityConfig()
    built = {root / "grafana" / "dashboards" / name: text for name, text in render(config).items()}
    return built | {root / "docs" / "reference" / "dashboards.md": reference.text(pages(config), _COMMAND)}


def outdated(root: Path = ROOT) -> list[Path]:
    """Files that are missing, differ from what the code builds, or belong to no dashboard any more."""
    built = files(root)
    stale = [path for path, text in built.items() if not path.exists() or path.read_text("utf-8") != text]
    return stale + [path for path in (root / "grafana" / "dashboards").glob("*.json") if path not in built]


def main(arguments: Sequence[str] | None = None, root: Path = ROOT) -> int:
    """Write or check the files; the exit code is 1 if a check finds a difference."""
    parser = argparse.ArgumentParser(
        prog=_COMMAND, description="Build the Grafana dashboards and their reference page."
    )
    parser.add_argument("--check", action="store_true", help="write nothing; exit 1 if a file is out of date")
    if parser.parse_args(arguments).check:
        return _report(outdated(root), root)
    for path, text in files(root).items():
        path.parent.mkdir(parents=True, exist_ok=True)
        path.write_text(text, encoding="utf-8")
    return 0


def _report(stale: list[Path], root: Path) -> int:
    for path in stale:
        sys.stderr.write(f"{path.relative_to(root)} is out of date: run `{_COMMAND}`\n")
    return 1 if stale else 0
