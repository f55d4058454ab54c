"""A short form of `python -m bench.live`, so that the measurement itself stays true."""

from __future__ import annotations

from argparse import Namespace
from typing import TYPE_CHECKING

from bench.live import measure
from callboard.ledger.database import dispose
from callboard.settings import get_settings

if TYPE_CHECKING:
    from pathlib import Path

    import pytest


def test_twenty_listeners_hear_what_five_hundred_runs_a_second_change(
    monkeypatch: pytest.MonkeyPatch, tmp_path: Path, postgres_url: str, broker_url: str
) -> None:
    given = {"home": tmp_path, "database_url": postgres_url, "broker_url": broker_url, "actors": "bench.live_jobs"}
    quiet = {"console_port": 0, "worker_processes": 1, "worker_metrics_port": 0, "log_level": "error"}
    for name, value in (given | quiet).items():
        monkeypatch.setenv(f"CALLBOARD_{name.upper()}", str(value))
    get_settings.cache_clear()
    dispose()
    try:
        outcome = measure(Namespace(listeners=20, rate=500, seconds=3))
    finally:
        dispose()
        get_settings.cache_clear()
    assert outcome.lost == []
    events = [one["events"] for one in outcome.heard]
    assert len(events) == 20
    assert min(events) >= 6, "three topics, at least twice each"
    assert max(events) <= 5 * 5, "throttled: five topics, at most five times each in three seconds"
    assert outcome.runs > 500
    assert outcome.during.sockets >= 20
    assert outcome.after.sockets <= outcome.before.sockets
