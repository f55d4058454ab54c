"""1,000 runs with a known mix of ends, on three worker processes of which one is killed: not a unit more or less."""

from __future__ import annotations

import sys
from collections import Counter
from typing import TYPE_CHECKING

import httpx
import pytest
from prometheus_client.parser import text_string_to_metric_families

from tests.chaos.fleet import Fleet
from tests.observability import counted_jobs as jobs
from tests.support import eventually, free_port

if TYPE_CHECKING:
    from collections.abc import Iterator, Mapping
    from pathlib import Path

_ATTEMPTS = "select job, outcome, sum(attempts) from board.totals group by 1, 2"
_RUNS = """
select job, case when state = 'completed' then 'success' when reason like 'overlap%' then 'skipped' else state end,
       count(*)
from board.runs group by 1, 2
"""
_FAILURES = "select job, error_type, count(*) from board.failures group by 1, 2"
_OPEN = "select count(*) from board.runs where state in ('pending', 'running')"

Counts = Counter[tuple[str, str]]


class Rig:
    """Workers, a scheduler, and what they say of themselves."""

    def __init__(self, fleet: Fleet, port: int) -> None:
        self.fleet = fleet
        self.url = f"http://127.0.0.1:{port}/metrics"

    def ledger(self, query: str) -> Counts:
        return Counter({(job, key): int(number) for job, key, number in self.fleet.query(query)})

    def counted(self, name: str, label: str) -> Counts:
        """By actor and another label, as the supervisor serves them."""
        return Counter({(actor, key): round(value) for (actor, key), value in self._samples(name, label) if value})

    def _samples(self, name: str, label: str) -> Iterator[tuple[tuple[str, str], float]]:
        for family in text_string_to_metric_families(self.scrape()):
            for sample in family.samples:
                if sample.name == name:
                    yield (sample.labels.get("actor", ""), sample.labels.get(label, "")), sample.value

    def scrape(self) -> str:
        try:
            return httpx.get(self.url, timeout=5).text
        except httpx.TransportError as error:
            raise AssertionError(f"the supervisor does not answer: {error}") from error


@pytest.fixture
def rig(postgres_url: str, broker_url: str, tmp_path: Path) -> Iterator[Rig]:
    port = free_port()
    settings = {"worker_metrics_port": port, "scheduler_metrics_port": 0, "lease_seconds": 3, "heartbeat_seconds": 1}
    fleet = Fleet(
        postgres_url, broker_url, tmp_path, actors=jobs.__name__, recovery_seconds=1, canary_seconds=0, **settings
    )
    yield Rig(fleet, port)
    fleet.stop()


def expected(of: Mapping[str, int]) -> Counts:
    return Counter(
        {
            ("fine", "success"): of["fine"],
            ("flaky", "success"): of["flaky"],
            ("broken", "failed"): of["broken"],
            ("lonely", "success"): 1,
            ("lonely", "skipped"): of["lonely"] - 1,
            ("called_off", "cancelled"): of["called_off"],
            ("fatal", "success"): of["fatal"],
        }
    )


@pytest.mark.long
def test_counters_equal_the_ledger_to_the_unit(rig: Rig) -> None:
    rig.fleet.start([sys.executable, "-m", "cli", "scheduler"], {})
    rig.fleet.start([sys.executable, "-m", "cli", "worker", "-p", "3", "-t", "4"], {})
    eventually(lambda: "callboard_worker_threads 12.0" in rig.scrape(), 30)
    sender = rig.fleet.start([sys.executable, "-m", jobs.__name__], {})
    assert sender.wait(60) == 0
    rig.fleet.processes.remove(sender)
    eventually(lambda: len(rig.fleet.query("select 1 from board.runs")) == sum(jobs.MIX.values()), 60, every=0.1)
    eventually(lambda: rig.fleet.query(_OPEN)[0][0] == 0, 60, every=0.1)
    finished, ran = expected(jobs.MIX), rig.ledger(_ATTEMPTS)
    assert rig.ledger(_RUNS) == finished
    turned_away = Counter({key: n for key, n in finished.items() if key[1] in ("skipped", "cancelled")})
    # Of the batch that the killed process had committed and not counted, a living worker learns a beat later.
    eventually(lambda: _equal(rig.counted("callboard_attempts_total", "outcome"), ran + turned_away), 20, every=0.2)
    assert rig.counted("callboard_finished_total", "result") == finished
    assert rig.counted("callboard_errors_total", "error_type") == rig.ledger(_FAILURES)
    seconds = rig.counted("callboard_run_duration_seconds_count", "queue")
    assert seconds.total() == ran.total()
    assert ran["flaky", "retry"] > 0
    assert rig.counted("callboard_redeliveries_total", "queue")["fatal", "default"] == 1
    assert rig.counted("callboard_slo_events_total", "result")["", "good"] == jobs.MIX["fine"]
    read = rig.counted("callboard_records_processed_total", "kind")
    assert read == {("fine", "read"): 2 * jobs.MIX["fine"], ("fine", "_other"): jobs.MIX["fine"]}
    assert rig.counted("callboard_worker_restarts_total", "reason") == {("", "died"): 1}


def _equal(found: Counts, known: Counts) -> bool:
    assert found == known, f"too many: {found - known}; too few: {known - found}"
    return True
