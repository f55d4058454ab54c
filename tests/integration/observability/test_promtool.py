"""The exposition through Prometheus' own linter, where the Debian package `prometheus` is installed."""

from __future__ import annotations

import shutil
import subprocess
from dataclasses import replace
from datetime import UTC, datetime

import pytest

from observability.exporter import state_registry
from observability.exposition import text
from observability.snapshot import (
    BROKER,
    POSTGRES,
    JobFacts,
    QueueFacts,
    ScheduleFacts,
    Snapshot,
    SourceState,
    WorkersFacts,
)
from tests.support import missing

UP = SourceState(up=True, seconds=0.01)
NOW = datetime(2026, 5, 4, 10, tzinfo=UTC)
SCHEDULE = ScheduleFacts(
    "collect", "collect_all", "default", "every 30 s", 30.0, enabled=True, created_at=NOW, last_success_at=NOW,
    last_start_at=NOW, last_completion_at=NOW, next_run_at=NOW, last_duration_seconds=1.0, last_records=3.0,
    max_age_seconds=90.0,
)  # fmt: skip
SNAPSHOT = Snapshot(
    queues=(
        QueueFacts(
            "default",
            1,
            2,
            3,
            4,
            5,
            oldest_ready_age_seconds=1.0,
            consumers=1,
            paused=False,
            max_age_seconds=60.0,
            oldest_delayed_overdue_seconds=0.0,
            dead_oldest_age_seconds=0.0,
            longest_time_limit_seconds=60.0,
            canary_at=NOW,
        ),
    ),
    schedules=(SCHEDULE, replace(SCHEDULE, schedule="backup")),
    jobs=(JobFacts("collect_all", "default", time_limit_seconds=60.0),),
    workers=WorkersFacts(1, 0),
    workers_expected=1,
    clock_skew_seconds=0.0,
    objectives={"collect": 0.99},
    outbox_oldest_age_seconds=0.0,
    table_rows={"runs": 1.0},
    sources={BROKER: UP, POSTGRES: UP},
)


@pytest.mark.parametrize("snapshot", [SNAPSHOT, Snapshot()], ids=["all", "nothing"])
def test_promtool_finds_nothing_to_mend(snapshot: Snapshot) -> None:
    promtool = shutil.which("promtool")
    if promtool is None:
        missing("promtool, of the Debian package `prometheus`,")
    exposition = text(state_registry(lambda: snapshot))
    checked = subprocess.run(
        [promtool, "check", "metrics", "--extended"], input=exposition, capture_output=True, check=False
    )
    assert (checked.returncode, checked.stderr.decode()) == (0, "")
