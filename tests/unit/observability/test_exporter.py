from __future__ import annotations

from dataclasses import replace
from datetime import UTC, datetime
from decimal import Decimal
from typing import TYPE_CHECKING

import pytest
from prometheus_client import generate_latest
from prometheus_client.parser import text_string_to_metric_families
from structlog.testing import capture_logs

from observability.catalogue import CATALOGUE, MISS_REASONS, PREFIX, QUEUE_STATES, of
from observability.exporter import StateCollector, state_registry
from observability.snapshot import (
    BROKER,
    POSTGRES,
    BreakerFacts,
    JobFacts,
    QueueFacts,
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
            oldest_delayed_overdue_seconds=0.5,
            dead_oldest_age_seconds=600.0,
            consumers=2,
            paused=False,
            max_age_seconds=60.0,
            longest_time_limit_seconds=600.0,
            canary_at=CREATED,
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
            tier="ticket",
            last_records=842,
            missed={"overlap": 5, "eclipse": 1},
        ),
        ScheduleFacts(
            "backup", "backup", "slow", "0 3 * * *", 86400.0, enabled=False, created_at=CREATED, consecutive_failures=2
        ),
    ),
    jobs=(
        JobFacts(
            "collect_all",
            "default",
            dead_letters=1,
            oldest_running_age_seconds=9.0,
            time_limit_seconds=60.0,
        ),
        JobFacts("backup", "slow"),
    ),
    workers=WorkersFacts(alive=2, stale=1),
    workers_expected=3,
    clock_skew_seconds=-0.25,
    objectives={"collect": 0.99, "queue:slow": 0.9},
    outbox_oldest_age_seconds=4.0,
    table_rows={"runs": 1_000_000, "workers": 2},
    breakers=(
        BreakerFacts("siem", "open", 2, 90.0),
        BreakerFacts("siem", "closed", 5),
        BreakerFacts("webhook", "half_open", 1, 7.0),
    ),
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
        metric.name for metric in of("exporter")
    }
    for metric in of("exporter"):
        family = served[metric.name.removesuffix("_total")]
        assert (family.type, family.documentation) == (metric.kind, metric.help)
        assert all(tuple(sample.labels) == metric.labels for sample in family.samples)


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
    assert value(found, "queue_max_age_seconds", queue="default") == 60
    assert value(found, "queue_oldest_delayed_overdue_seconds", queue="default") == 0.5
    assert value(found, "queue_dead_oldest_age_seconds", queue="default") == 600
    assert value(found, "queue_longest_time_limit_seconds", queue="default") == 600
    assert value(found, "canary_last_success_timestamp_seconds", queue="default") == CREATED.timestamp()
    assert (value(found, "queue_paused", queue="default"), value(found, "queue_paused", queue="slow")) == (0, 1)


def test_every_state_of_an_empty_queue_is_zero(found: Series) -> None:
    assert [value(found, "queue_depth", queue="slow", state=state) for state in QUEUE_STATES] == [0] * 5


def test_schedules(found: Series) -> None:
    of_run = {"schedule": "collect", "actor": "collect_all"}
    assert value(found, "schedule_last_success_timestamp_seconds", **of_run, tier="ticket") == CREATED.timestamp()
    assert value(found, "schedule_created_timestamp_seconds", **of_run, tier="ticket") == CREATED.timestamp()
    assert value(found, "schedule_last_records", **of_run) == 842
    assert value(found, "schedule_interval_seconds", schedule="collect") == 30
    assert value(found, "schedule_max_age_seconds", schedule="collect") == 90
    assert value(found, "schedule_enabled", schedule="backup") == 0
    assert value(found, "schedule_consecutive_failures", schedule="backup") == 2
    info = {"queue": "default", "cron": "every 30 s", "timezone": "UTC", "owner": "data", "tier": "ticket"}
    assert value(found, "schedule_info", **of_run, **info) == 1


def test_what_never_happened_has_no_series(found: Series) -> None:
    never = {"schedule": "backup", "actor": "backup"}
    assert value(found, "schedule_last_success_timestamp_seconds", **never, tier="page") is None
    assert value(found, "schedule_created_timestamp_seconds", **never, tier="page") == CREATED.timestamp()
    assert value(found, "schedule_last_records", **never) is None
    assert value(found, "schedule_max_age_seconds", schedule="backup") is None
    assert value(found, "actor_time_limit_seconds", actor="backup") is None


def test_a_naive_moment_is_utc() -> None:
    naive = replace(SNAPSHOT.schedules[0], created_at=datetime(2026, 5, 4, 10))  # noqa: DTZ001 - on purpose
    found = series(lambda: replace(SNAPSHOT, schedules=(naive,)))
    of_run = {"schedule": "collect", "actor": "collect_all", "tier": "ticket"}
    assert value(found, "schedule_created_timestamp_seconds", **of_run) == CREATED.timestamp()


def test_missed_ticks_by_reason(found: Series) -> None:
    missed = {
        reason: value(found, "schedule_missed_total", schedule="collect", reason=reason)
        for reason in (*MISS_REASONS, "_other")
    }
    assert missed == {"late": 0, "scheduler_down": 0, "overlap": 5, "disabled": 0, "_other": 1}
    assert value(found, "schedule_missed_total", schedule="backup", reason="late") == 0


def test_jobs(found: Series) -> None:
    assert value(found, "dead_letters", queue="default", actor="collect_all") == 1
    assert value(found, "oldest_running_age_seconds", actor="collect_all") == 9
    assert value(found, "actor_time_limit_seconds", actor="collect_all") == 60


def test_a_job_that_never_ran_is_zero_everywhere(found: Series) -> None:
    assert value(found, "dead_letters", queue="slow", actor="backup") == 0
    assert value(found, "oldest_running_age_seconds", actor="backup") == 0


def test_the_platform(found: Series) -> None:
    assert value(found, "workers_expected") == 3
    assert value(found, "broker_clock_skew_seconds") == -0.25
    assert (
        value(found, "slo_objective_ratio", slo="collect"),
        value(found, "slo_objective_ratio", slo="queue:slow"),
    ) == (
        0.99,
        0.9,
    )
    assert value(found, "outbox_oldest_age_seconds") == 4
    assert value(found, "run_table_rows", table="runs") == 1_000_000


def test_breakers_by_kind(found: Series) -> None:
    states = {state: value(found, "breakers", kind="siem", state=state) for state in ("closed", "half_open", "open")}
    assert states == {"closed": 5, "half_open": 0, "open": 2}
    assert value(found, "breaker_open_seconds", kind="siem") == 90
    assert value(found, "breaker_open_seconds", kind="webhook") == 7


def test_kinds_of_breakers_beyond_the_budget_are_folded() -> None:
    many = tuple(BreakerFacts(f"k{number:03}", "open", 1, float(number)) for number in range(60))
    folded = series(lambda: replace(SNAPSHOT, breakers=many))
    assert value(folded, "breakers", kind="k049", state="open") == 1
    assert value(folded, "breakers", kind="_other", state="open") == 10
    assert value(folded, "breaker_open_seconds", kind="_other") == 59


def test_what_workers_count_comes_from_workers(found: Series) -> None:
    counted = {metric.name for metric in CATALOGUE if metric.process != "exporter"}
    assert {"callboard_attempts_total", "callboard_finished_total", "callboard_run_duration_seconds"} <= counted
    assert not counted & {name.removesuffix("_bucket") for name in names(found)}


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
    assert not {"callboard_broker_clock_skew_seconds", "callboard_queue_oldest_delayed_overdue_seconds"} & names(found)
    assert "callboard_dead_letters" in names(found)


def test_a_ledger_that_is_down_takes_its_series_only() -> None:
    found = series(lambda: replace(SNAPSHOT, sources={BROKER: UP, POSTGRES: DOWN}))
    assert value(found, "queue_depth", queue="default", state="ready") == 3
    assert value(found, "queue_depth", queue="default", state="dead") is None
    assert not [
        name
        for name in names(found)
        if any(word in name for word in ("schedule", "dead", "canary", "outbox", "rows", "running"))
    ]
    settings = {"callboard_queue_max_age_seconds", "callboard_workers_expected", "callboard_slo_objective_ratio"}
    assert settings <= names(found)


def test_a_source_that_is_not_told_of_is_down() -> None:
    found = series(lambda: replace(SNAPSHOT, sources={BROKER: UP}))
    assert value(found, "exporter_source_up", source=POSTGRES) == 0
    assert "callboard_dead_letters" not in names(found)


def test_decimals_of_postgres_are_numbers() -> None:
    facts = replace(SNAPSHOT.schedules[0], last_duration_seconds=Decimal("1.25"))  # type: ignore[arg-type]  # as read
    found = series(lambda: replace(SNAPSHOT, schedules=(facts,)))
    assert value(found, "schedule_last_duration_seconds", schedule="collect", actor="collect_all") == 1.25


def test_what_is_not_known_has_no_series() -> None:
    unknown = QueueFacts("default", ready=1)
    found = series(
        lambda: replace(SNAPSHOT, queues=(unknown,), workers=None, workers_expected=None, clock_skew_seconds=None)
    )
    assert value(found, "queue_depth", queue="default", state="ready") == 1
    assert value(found, "queue_depth", queue="default", state="claimed") is None
    unknown_too = {"queue_consumers", "queue_paused", "workers", "workers_expected", "broker_clock_skew_seconds"}
    assert not {PREFIX + name for name in unknown_too} & names(found)


def test_a_collection_that_fails_leaves_both_sources_down() -> None:
    def collect() -> Snapshot:
        raise ConnectionError("postgresql://u:pw@h is away")

    with capture_logs() as lines:
        found = series(collect)
    assert names(found) == {"callboard_exporter_source_up"}
    assert set(found.values()) == {0}
    assert [line["event"] for line in lines] == ["exporter.collect_failed"]


def test_facts_of_a_wrong_kind_take_away_their_own_metric_and_are_told_of() -> None:
    broken = replace(SNAPSHOT.jobs[0], dead_letters="many")  # type: ignore[arg-type]  # the mistake
    with capture_logs() as lines:
        found = series(lambda: replace(SNAPSHOT, jobs=(SNAPSHOT.jobs[1], broken)))
    assert "callboard_dead_letters" not in names(found)
    assert "callboard_oldest_running_age_seconds" in names(found)
    assert (value(found, "exporter_source_up", source=POSTGRES), value(found, "exporter_source_up", source=BROKER)) == (
        0,
        1,
    )
    assert lines[0]["metric"] == "callboard_dead_letters"
    assert "give a number" in str(lines[0]["exc_info"])


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
