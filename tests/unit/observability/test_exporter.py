from __future__ import annotations

from dataclasses import replace
from datetime import UTC, datetime
from decimal import Decimal
from typing import TYPE_CHECKING

import pytest
from prometheus_client import generate_latest
from prometheus_client.parser import text_string_to_metric_families
from structlog.testing import capture_logs

from observability.catalogue import CATALOGUE, MISS_REASONS, OUTCOMES, PREFIX, QUEUE_STATES, RESULTS
from observability.exporter import StateCollector, read_source, state_registry
from observability.snapshot import (
    BROKER,
    POSTGRES,
    RUN_BUCKETS,
    JobFacts,
    OccurrenceFacts,
    QueueFacts,
    RunDurations,
    ScheduleFacts,
    Snapshot,
    SourceState,
    WorkersFacts,
)

if TYPE_CHECKING:
    from collections.abc import Callable

Series = dict[tuple[str, frozenset[tuple[str, str]]], float]
CREATED = datetime(2026, 5, 4, 10, tzinfo=UTC)
UP = SourceState(up=True, seconds=0.25)
DOWN = SourceState(up=False, seconds=2.0)

SNAPSHOT = Snapshot(
    queues=(
        QueueFacts(
            "default",
            ready=3,
            claimed=2,
            delayed=1,
            dead=4,
            orphaned=5,
            oldest_ready_age_seconds=1.5,
            consumers=2,
            paused=False,
        ),
        QueueFacts(
            "slow",
            ready=0,
            claimed=0,
            delayed=0,
            dead=0,
            orphaned=0,
            oldest_ready_age_seconds=0.0,
            consumers=0,
            paused=True,
        ),
    ),
    schedules=(
        ScheduleFacts(
            "collect",
            "collect_all",
            "default",
            "every 30 s",
            30.0,
            enabled=True,
            created_at=CREATED,
            last_success_at=CREATED,
            next_run_at=CREATED,
            max_age_seconds=90.0,
            owner="data",
        ),
        ScheduleFacts(
            "backup", "backup", "slow", "0 3 * * *", 86400.0, enabled=False, created_at=CREATED, consecutive_failures=2
        ),
    ),
    jobs=(
        JobFacts(
            "collect_all",
            "default",
            runs={"success": 7, "failed": 1, "lost": 2},
            attempts={"success": 7, "retry": 3, "failed": 1},
            dead_letters=1,
            durations=RunDurations((1, 2) + (3,) * 13, 12.5, 4),
            oldest_running_age_seconds=9.0,
            time_limit_seconds=60.0,
        ),
        JobFacts("backup", "slow"),
    ),
    workers=WorkersFacts(alive=2, stale=1),
    missed=(OccurrenceFacts("collect", "overlap", 5), OccurrenceFacts("collect", "eclipse", 1)),
    sources={BROKER: UP, POSTGRES: UP},
)


def series(collect: Callable[[], Snapshot]) -> Series:
    """All samples as Prometheus would read them; a series that is there twice fails."""
    found: Series = {}
    for family in text_string_to_metric_families(generate_latest(state_registry(collect)).decode()):
        for sample in family.samples:
            key = (sample.name, frozenset(sample.labels.items()))
            assert key not in found
            found[key] = sample.value
    return found


def names(found: Series) -> set[str]:
    return {name for name, _ in found}


def value(found: Series, name: str, **labels: str) -> float | None:
    return found.get((PREFIX + name, frozenset(labels.items())))


@pytest.fixture(scope="module")
def found() -> Series:
    return series(lambda: SNAPSHOT)


def test_all_metrics_of_the_catalogue_and_no_others_are_served() -> None:
    whole = replace(
        SNAPSHOT,
        schedules=(
            replace(
                SNAPSHOT.schedules[0], last_start_at=CREATED, last_completion_at=CREATED, last_duration_seconds=1.0
            ),
        ),
    )
    served = {family.name: family for family in StateCollector(lambda: whole).collect()}
    assert {name + "_total" if family.type == "counter" else name for name, family in served.items()} == {
        metric.name for metric in CATALOGUE
    }
    for metric in CATALOGUE:
        family = served[metric.name.removesuffix("_total")]
        assert (family.type, family.documentation) == (metric.kind, metric.help)
        assert all(set(sample.labels) - {"le"} == set(metric.labels) for sample in family.samples)


def test_the_catalogue_keeps_to_prometheus_conventions() -> None:
    for metric in CATALOGUE:
        assert metric.name.startswith(PREFIX)
        assert metric.name.endswith("_total") == (metric.kind == "counter")
        assert "job" not in metric.labels
        assert metric.help.endswith(".")
    assert len({metric.name for metric in CATALOGUE}) == len(CATALOGUE)


def test_queues(found: Series) -> None:
    depths = {state: value(found, "queue_depth", queue="default", state=state) for state in QUEUE_STATES}
    assert depths == {"ready": 3, "claimed": 2, "delayed": 1, "dead": 4, "orphaned": 5}
    assert value(found, "queue_oldest_ready_age_seconds", queue="default") == 1.5
    assert value(found, "queue_consumers", queue="default") == 2
    assert (value(found, "queue_paused", queue="default"), value(found, "queue_paused", queue="slow")) == (0, 1)


def test_every_state_of_an_empty_queue_is_zero(found: Series) -> None:
    assert [value(found, "queue_depth", queue="slow", state=state) for state in QUEUE_STATES] == [0] * 5


def test_schedules(found: Series) -> None:
    of_run = {"schedule": "collect", "actor": "collect_all"}
    assert value(found, "schedule_last_success_timestamp_seconds", **of_run) == CREATED.timestamp()
    assert value(found, "schedule_created_timestamp_seconds", **of_run) == CREATED.timestamp()
    assert value(found, "schedule_interval_seconds", schedule="collect") == 30
    assert value(found, "schedule_max_age_seconds", schedule="collect") == 90
    assert value(found, "schedule_enabled", schedule="backup") == 0
    assert value(found, "schedule_consecutive_failures", schedule="backup") == 2
    info = {"queue": "default", "cron": "every 30 s", "timezone": "UTC", "owner": "data"}
    assert value(found, "schedule_info", **of_run, **info) == 1


def test_what_never_happened_has_no_series(found: Series) -> None:
    never = {"schedule": "backup", "actor": "backup"}
    assert value(found, "schedule_last_success_timestamp_seconds", **never) is None
    assert value(found, "schedule_created_timestamp_seconds", **never) == CREATED.timestamp()
    assert value(found, "schedule_max_age_seconds", schedule="backup") is None
    assert value(found, "actor_time_limit_seconds", actor="backup") is None


def test_a_naive_moment_is_utc() -> None:
    naive = replace(SNAPSHOT.schedules[0], created_at=datetime(2026, 5, 4, 10))  # noqa: DTZ001 - on purpose
    found = series(lambda: replace(SNAPSHOT, schedules=(naive,)))
    of_run = {"schedule": "collect", "actor": "collect_all"}
    assert value(found, "schedule_created_timestamp_seconds", **of_run) == CREATED.timestamp()


def test_missed_ticks_by_reason(found: Series) -> None:
    missed = {
        reason: value(found, "schedule_missed_total", schedule="collect", reason=reason)
        for reason in (*MISS_REASONS, "_other")
    }
    assert missed == {"late": 0, "scheduler_down": 0, "overlap": 5, "disabled": 0, "_other": 1}
    assert value(found, "schedule_missed_total", schedule="backup", reason="late") == 0


def test_jobs_by_outcome_and_result(found: Series) -> None:
    of_job = {"queue": "default", "actor": "collect_all"}
    attempts = [value(found, "attempts_total", **of_job, outcome=outcome) for outcome in OUTCOMES]
    assert attempts == [7, 3, 1, 0, 0, 0, 0]
    finished = {result: value(found, "finished_total", **of_job, result=result) for result in (*RESULTS, "_other")}
    assert finished == {"success": 7, "failed": 1, "expired": 0, "cancelled": 0, "skipped": 0, "_other": 2}
    assert value(found, "dead_letters", **of_job) == 1
    assert value(found, "oldest_running_age_seconds", actor="collect_all") == 9
    assert value(found, "actor_time_limit_seconds", actor="collect_all") == 60


def test_a_job_that_never_ran_is_zero_everywhere(found: Series) -> None:
    of_job = {"queue": "slow", "actor": "backup"}
    assert [value(found, "attempts_total", **of_job, outcome=outcome) for outcome in OUTCOMES] == [0] * 7
    assert [value(found, "finished_total", **of_job, result=result) for result in RESULTS] == [0] * 5
    assert value(found, "run_duration_seconds_bucket", **of_job, le="+Inf") == 0
    assert value(found, "oldest_running_age_seconds", actor="backup") == 0


def test_durations_are_a_histogram(found: Series) -> None:
    of_job = {"queue": "default", "actor": "collect_all"}
    buckets = {
        dict(labels)["le"]: count
        for (name, labels), count in found.items()
        if name == "callboard_run_duration_seconds_bucket" and ("actor", "collect_all") in labels
    }
    assert [float(bound) for bound in buckets] == [*RUN_BUCKETS, float("inf")]
    assert list(buckets.values()) == [1, 2, *[3] * 13, 4]
    assert value(found, "run_duration_seconds_sum", **of_job) == 12.5
    assert value(found, "run_duration_seconds_count", **of_job) == 4


def test_there_are_no_created_series(found: Series) -> None:
    assert {name for name in names(found) if name.endswith("_created")} == set()


def test_workers(found: Series) -> None:
    assert (value(found, "workers", state="alive"), value(found, "workers", state="stale")) == (2, 1)


def test_sources_that_are_up(found: Series) -> None:
    for source in (BROKER, POSTGRES):
        assert value(found, "exporter_source_up", source=source) == 1
        assert value(found, "exporter_collect_duration_seconds", source=source) == 0.25


def test_a_broker_that_is_down_takes_its_series_only() -> None:
    found = series(lambda: replace(SNAPSHOT, sources={BROKER: DOWN, POSTGRES: UP}))
    assert value(found, "exporter_source_up", source=BROKER) == 0
    assert value(found, "exporter_source_up", source=POSTGRES) == 1
    assert value(found, "exporter_collect_duration_seconds", source=BROKER) == 2
    assert value(found, "queue_depth", queue="default", state="ready") is None
    assert not {"callboard_queue_oldest_ready_age_seconds", "callboard_queue_paused"} & names(found)
    assert value(found, "queue_depth", queue="default", state="dead") == 4
    assert value(found, "queue_consumers", queue="default") == 2
    assert "callboard_attempts_total" in names(found)


def test_a_ledger_that_is_down_takes_its_series_only() -> None:
    found = series(lambda: replace(SNAPSHOT, sources={BROKER: UP, POSTGRES: DOWN}))
    assert value(found, "queue_depth", queue="default", state="ready") == 3
    assert value(found, "queue_depth", queue="default", state="dead") is None
    assert not [name for name in names(found) if "schedule" in name or "attempts" in name or "run_duration" in name]


def test_a_source_that_is_not_told_of_is_down() -> None:
    found = series(lambda: replace(SNAPSHOT, sources={BROKER: UP}))
    assert value(found, "exporter_source_up", source=POSTGRES) == 0
    assert "callboard_attempts_total" not in names(found)


def test_decimals_of_postgres_are_numbers() -> None:
    facts = replace(SNAPSHOT.schedules[0], last_duration_seconds=Decimal("1.25"))  # type: ignore[arg-type]  # as read
    found = series(lambda: replace(SNAPSHOT, schedules=(facts,)))
    assert value(found, "schedule_last_duration_seconds", schedule="collect", actor="collect_all") == 1.25


def test_what_is_not_known_has_no_series() -> None:
    unknown = QueueFacts("default", ready=1)
    found = series(lambda: replace(SNAPSHOT, queues=(unknown,), workers=None))
    assert value(found, "queue_depth", queue="default", state="ready") == 1
    assert value(found, "queue_depth", queue="default", state="claimed") is None
    assert not {"callboard_queue_consumers", "callboard_queue_paused", "callboard_workers"} & names(found)


def test_a_collection_that_fails_leaves_both_sources_down() -> None:
    def collect() -> Snapshot:
        raise ConnectionError("postgresql://u:pw@h is away")

    with capture_logs() as lines:
        found = series(collect)
    assert names(found) == {"callboard_exporter_source_up"}
    assert set(found.values()) == {0}
    assert [line["event"] for line in lines] == ["exporter.collect_failed"]


def test_facts_of_a_wrong_kind_take_away_their_own_metric_and_are_told_of() -> None:
    broken = replace(SNAPSHOT.jobs[0], attempts={"success": "many"})  # type: ignore[dict-item]  # the mistake
    with capture_logs() as lines:
        found = series(lambda: replace(SNAPSHOT, jobs=(SNAPSHOT.jobs[1], broken)))
    assert "callboard_attempts_total" not in names(found)
    assert "callboard_finished_total" in names(found)
    assert (value(found, "exporter_source_up", source=POSTGRES), value(found, "exporter_source_up", source=BROKER)) == (
        0,
        1,
    )
    assert lines[0]["metric"] == "callboard_attempts_total"
    assert "give a number or RunDurations" in str(lines[0]["exc_info"])


def test_registering_asks_no_source() -> None:
    def collect() -> Snapshot:
        raise AssertionError("asked before the first scrape")

    state_registry(collect)


def test_each_scrape_collects_once() -> None:
    asked: list[int] = []

    def collect() -> Snapshot:
        asked.append(1)
        return SNAPSHOT

    registry = state_registry(collect)
    generate_latest(registry)
    generate_latest(registry)
    assert len(asked) == 2


def test_a_source_is_read_and_timed() -> None:
    facts, state = read_source(BROKER, lambda: 1, 0)
    assert facts == 1
    assert state.up
    assert 0 <= state.seconds < 1


def test_a_source_that_fails_gives_the_fallback() -> None:
    def read() -> int:
        raise TimeoutError("too slow")

    with capture_logs() as lines:
        facts, state = read_source(POSTGRES, read, 0)
    assert (facts, state.up) == (0, False)
    assert (lines[0]["event"], lines[0]["source"]) == ("exporter.source_down", POSTGRES)


@pytest.mark.parametrize(("cumulative", "count"), [((1,), 1), ((3, 2) + (3,) * 13, 3), ((1,) * 15, 0)])
def test_counts_that_are_no_histogram_are_refused(cumulative: tuple[int, ...], count: int) -> None:
    with pytest.raises(ValueError, match="give 15 counts"):
        RunDurations(cumulative, 1.0, count)
