"""Every query of every panel, asked of a Prometheus that scrapes real workers, scheduler and exporter."""

from __future__ import annotations

import math
import subprocess
import sys
import time
from typing import TYPE_CHECKING

import httpx
import pytest

from tests.observability._panels import metrics_of, targets
from tests.observability._prometheus import ask
from tests.observability.programs import program
from tests.observability.site import Site
from tests.support import eventually

if TYPE_CHECKING:
    from pathlib import Path

    from tests.observability._panels import Target

JOBS = "tests.observability.live_jobs"
_VALUES = {
    "$__rate_interval": "20s",
    "$__interval": "1s",
    "$__range": "60s",
    "$actor": "steady",
    "$queue": ".+",
    "$schedule": ".+",
    "$slo": ".+",
    "$job": ".+",
}
#: Panels that cannot show anything here, and why.
_EMPTY = {"job: Run time, p95 over an hour, and a week ago B": "nothing has run for a week"}


def filled(expr: str) -> str:
    expr = expr.replace('=~"$actor"', '=~".+"')
    for name in sorted(_VALUES, key=len, reverse=True):
        expr = expr.replace(name, _VALUES[name])
    return expr


def is_empty(site: Site, target: Target, start: float) -> bool:
    found = ask(
        site.client, filled(target.expr), start, time.time(), step=1, instant=target.query.get("instant", False)
    )
    values = [float(value) for each in found for _, value in each.get("values", [each.get("value")])]
    return all(math.isnan(value) for value in values)


def was_scraped(site: Site, start: float) -> bool:
    """Prometheus knows a counter of the workers: what is counted before that is no rise of anything."""
    try:
        return bool(ask(site.client, 'callboard_enqueued_total{source="chain"}', start, time.time(), step=1))
    except (httpx.TransportError, ValueError):  # it is not there yet, or not ready
        return False


def is_foreign(target: Target) -> bool:
    """It asks for a metric of the servers' own exporters, which do not run here."""
    return any(name.startswith(("redis_", "pg_")) for name in metrics_of(target.expr))


@pytest.mark.long
@pytest.mark.timeout(200)
def test_no_panel_is_empty_on_real_metrics(tmp_path: Path) -> None:
    with Site(tmp_path, calm=False, actors=JOBS) as site:
        start = time.time()
        eventually(lambda: was_scraped(site, start), 20, what="the first scrape of a worker")
        for _ in range(2):
            sender = site.stage.fleet.start([sys.executable, "-m", JOBS], {})
            assert sender.wait(60) == 0
            site.stage.fleet.processes.remove(sender)
        panels = [target for target in targets() if target.expr and not is_foreign(target)]
        assert len(panels) > 100
        left = panels

        def all_shown() -> bool:
            nonlocal left
            left = [target for target in left if is_empty(site, target, start)]
            assert {target.id for target in left} <= _EMPTY.keys(), sorted(
                {target.id for target in left} - _EMPTY.keys()
            )
            return True

        eventually(all_shown, 90, every=2.0)
        for process in ("worker", "scheduler", "exporter"):
            _lint(site.scrape(process), process)
        assert {target.id for target in left} == _EMPTY.keys()


def _lint(text: str, process: str) -> None:
    """Prometheus' own linter, on what only real processes serve."""
    # Python's own process metrics, which the scheduler serves beside ours, are named as in every Python program.
    ours = "".join(line for line in text.splitlines(keepends=True) if "callboard_" in line)
    assert ours
    words = [program("promtool"), "check", "metrics"]
    checked = subprocess.run(words, input=ours, capture_output=True, text=True, timeout=20, check=False)
    assert (checked.returncode, checked.stdout + checked.stderr) == (0, ""), process
