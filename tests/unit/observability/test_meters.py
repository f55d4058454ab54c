"""What one process counts, and how one `/metrics` is made of the files of several."""

from __future__ import annotations

import json
import os
import subprocess
import sys
from pathlib import Path

import pytest
from prometheus_client import CollectorRegistry, generate_latest
from prometheus_client.openmetrics.exposition import generate_latest as generate_openmetrics
from prometheus_client.parser import text_string_to_metric_families

from observability.catalogue import OTHER, of
from observability.intent import Intent, IntentFile, answer_all, ask, read_answer, read_intent
from observability.meters import Batch, Meters, Tally
from observability.multiprocess import SIDECAR, ProcessesCollector

BOUNDS = next(metric.buckets for metric in of("worker") if metric.name == "callboard_queue_wait_seconds")
# A process that counts `argv[2]` successes of 0.2 s, the last with an exemplar; then it does as `argv[3]` says.
COUNTER = """
import os, sys
from observability.meters import Batch, Meters, Tally
from observability.catalogue import WAIT_BUCKETS
meters = Meters(("worker",))
batch, tally = Batch(), Tally(WAIT_BUCKETS)
batch.inc("attempts_total", ("q", "work", "success"), float(sys.argv[1]))
for number in range(int(sys.argv[1])):
    tally.add(0.2, ("t" * 32, "s" * 16))
batch.merge("queue_wait_seconds", ("q",), tally)
meters.set("last_progress_timestamp_seconds", float(sys.argv[1]), ("work",))
meters.set("worker_prefetched_messages", 5)
meters.intend(batch, ("00000000-0000-0000-0000-000000000001", "2026-01-01T00:00:00+00:00", 7, 1))
if sys.argv[2] == "half":
    meters.inc("attempts_total", ("q", "work", "success"), 1)
if sys.argv[2] == "all":
    meters.add(batch)
    meters.done()
os._exit(0)
"""


def count(folder: Path, number: int, what: str = "all") -> int:
    """Run such a process to its end; its pid."""
    env = os.environ | {"PROMETHEUS_MULTIPROC_DIR": str(folder), "PYTHONPATH": str(Path.cwd())}
    process = subprocess.Popen([sys.executable, "-c", COUNTER, str(number), what], env=env)
    assert process.wait(30) == 0
    return process.pid


def scraped(collector: ProcessesCollector) -> dict[str, float]:
    registry = CollectorRegistry()
    registry.register(collector)
    text = generate_latest(registry).decode()
    samples = [sample for family in text_string_to_metric_families(text) for sample in family.samples]
    return {f"{one.name}{sorted(one.labels.values())}": one.value for one in samples}


SUCCESSES = "callboard_attempts_total['q', 'success', 'work']"
WAITED = "callboard_queue_wait_seconds_bucket['0.25', 'q']"
FAST = "callboard_queue_wait_seconds_bucket['0.1', 'q']"


def test_values_of_all_processes_add_up(tmp_path: Path) -> None:
    count(tmp_path, 3)
    count(tmp_path, 4)
    found = scraped(ProcessesCollector(tmp_path))
    assert (found[SUCCESSES], found.get(FAST, 0), found[WAITED]) == (7, 0, 7)
    assert found["callboard_queue_wait_seconds_count['q']"] == 7
    assert found["callboard_queue_wait_seconds_sum['q']"] == pytest.approx(1.4)
    assert found["callboard_last_progress_timestamp_seconds['work']"] == 4
    assert found["callboard_worker_prefetched_messages[]"] == 10


def test_the_counts_of_the_dead_stay_and_their_gauges_go(tmp_path: Path) -> None:
    collector = ProcessesCollector(tmp_path)
    dead = count(tmp_path, 3)
    count(tmp_path, 4)
    before = scraped(collector)
    collector.bury(dead)
    after = scraped(collector)
    assert not [path for path in tmp_path.iterdir() if str(dead) in path.name and "gauge_max" not in path.name]
    assert after["callboard_worker_prefetched_messages[]"] == 5
    del before["callboard_worker_prefetched_messages[]"], after["callboard_worker_prefetched_messages[]"]
    assert after == before


@pytest.mark.parametrize("what", ["none", "half"])
@pytest.mark.parametrize("kept", [True, False])
def test_what_was_committed_and_not_counted_is_found_out(tmp_path: Path, what: str, kept: bool) -> None:  # noqa: FBT001 - a parameter
    collector = ProcessesCollector(tmp_path)
    pid = count(tmp_path, 3, what)
    collector.bury(pid)
    asked: list[object] = []
    answer_all(tmp_path, lambda attempt: asked.append(attempt) or kept)
    answer_all(tmp_path, lambda attempt: asked.append(attempt) or not kept)
    assert asked == [("00000000-0000-0000-0000-000000000001", "2026-01-01T00:00:00+00:00", 7, 1)]
    collector.settle()
    assert scraped(collector).get(SUCCESSES, 0) == (3 if kept else (what == "half"))
    assert not list(tmp_path.glob("a*.json"))


def test_nobody_is_asked_about_what_was_counted(tmp_path: Path) -> None:
    collector = ProcessesCollector(tmp_path)
    collector.bury(count(tmp_path, 3, "all"))
    assert not list(tmp_path.glob("ask_*"))


def test_an_exemplar_reaches_the_scrape_and_outlives_its_process(tmp_path: Path) -> None:
    pid = count(tmp_path, 2)
    collector = ProcessesCollector(tmp_path)
    registry = CollectorRegistry()
    registry.register(collector)
    for _ in range(2):
        lines = [line for line in generate_openmetrics(registry).decode().splitlines() if " # {" in line]
        assert len(lines) == 1
        assert 'queue_wait_seconds_bucket{le="0.25",queue="q"} 2.0 # {' in lines[0]
        assert f'trace_id="{"t" * 32}"' in lines[0]
        collector.bury(pid)
    assert not (tmp_path / SIDECAR.format(pid=pid)).exists()


def test_an_intent_that_is_too_long_is_not_kept(tmp_path: Path) -> None:
    path = tmp_path / "intent_1.bin"
    file = IntentFile(path)
    file.write(("a", "b", 1, 1), [("counter", "k", 1.0)])
    assert read_intent(path) == Intent(("a", "b", 1, 1), [("counter", "k", 1.0)])
    file.clear()
    assert read_intent(path) is None
    file.write(("a", "b", 1, 1), [("counter", "k" * 300_000, 1.0)])
    assert read_intent(path) is None


def test_a_question_is_answered_once(tmp_path: Path) -> None:
    ask(tmp_path, 5, ("a", "b", 1, 1))
    assert read_answer(tmp_path, 5) is None
    answer_all(tmp_path, lambda attempt: attempt == ("a", "b", 1, 1))
    assert read_answer(tmp_path, 5) is True
    assert not list(tmp_path.iterdir())
    assert read_answer(tmp_path, 5) is None


def test_jobs_beyond_the_budget_are_one_and_counted() -> None:
    registry = CollectorRegistry()
    meters = Meters(("worker",), most_actors=2, registry=registry)
    labels = [meters.actor(name) for name in ("a", "b", "c", "d", "a", "c")]
    assert labels == ["a", "b", OTHER, OTHER, "a", OTHER]
    dropped = {"signal": "label", "reason": "actor_budget"}
    assert registry.get_sample_value("callboard_telemetry_dropped_total", dropped) == 2


def test_classes_of_errors_are_bounded() -> None:
    meters = Meters(("worker",), registry=CollectorRegistry())
    labels = {meters.error_type(f"Error{number}") for number in range(1000)}
    assert (len(labels), OTHER in labels, meters.error_type("Error3")) == (101, True, "Error3")


def test_a_batch_is_what_its_parts_are_one_by_one() -> None:
    together, apart = CollectorRegistry(), CollectorRegistry()
    meters, single = Meters(("worker",), registry=together), Meters(("worker",), registry=apart)
    batch, tally = Batch(), Tally(BOUNDS)
    for seconds in (-1.0, 0.0, 0.05, 0.051, 7.0, 9999.0):
        tally.add(seconds)
        alone = Tally(BOUNDS)
        alone.add(seconds)
        part = Batch()
        part.merge("queue_wait_seconds", ("q",), alone)
        single.add(part)
    batch.merge("queue_wait_seconds", ("q",), tally)
    meters.add(batch)
    assert generate_latest(together) == generate_latest(apart)
    assert together.get_sample_value("callboard_queue_wait_seconds_bucket", {"queue": "q", "le": "0.05"}) == 3
    assert together.get_sample_value("callboard_queue_wait_seconds_bucket", {"queue": "q", "le": "3600.0"}) == 5


def test_a_broken_sidecar_of_nobody_harms_no_scrape(tmp_path: Path) -> None:
    (tmp_path / SIDECAR.format(pid=1)).write_text(json.dumps([]))
    assert scraped(ProcessesCollector(tmp_path)) == {}
