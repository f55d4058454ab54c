"""Recording rules: what several alerts and panels ask for, computed once.

Every gauge of the exporter goes through `max by`, so that two exporters side by side count once.
"""

from __future__ import annotations

from dataclasses import dataclass, field
from typing import TYPE_CHECKING

from observability.rules.promql import Query, tidy

if TYPE_CHECKING:
    from collections.abc import Iterator

    from observability.rules.config import ObservabilityConfig

__all__ = ["BURN_WINDOWS", "GUARD_WINDOWS", "Recording", "recordings"]

#: Windows of the error ratio of each objective.
BURN_WINDOWS = ("5m", "30m", "1h", "2h", "6h", "1d", "3d")
#: The long window of each pair: there must have been enough events in it.
GUARD_WINDOWS = ("1h", "6h", "1d", "3d")


@dataclass(frozen=True, slots=True)
class Recording:
    """One rule: the series it writes, and what it means."""

    record: str
    expr: str
    help: str
    labels: dict[str, str] = field(default_factory=dict)


def recordings(config: ObservabilityConfig) -> list[Recording]:
    """All recording rules, in the order in which they stand on each other."""
    query = Query(config)
    return [*_schedules(query), *_queues(query), *_jobs(query), *_objectives(query)]


def _schedules(query: Query) -> Iterator[Recording]:
    success = query("schedule_last_success_timestamp_seconds")
    created = query("schedule_created_timestamp_seconds")
    yield Recording(
        "schedule:callboard_last_success_age_seconds",
        tidy(f"""
            time() - max by (schedule, actor, tier) (
              {success}
              or
              {created}
            )
        """),
        "Age of a schedule's last success; of its declaration, before the first.",
    )
    # Two exporters of two versions may name two owners; a join needs one, and no schedule may fall out of it.
    info, limit = query("schedule_info"), query("schedule_max_age_seconds")
    yield Recording(
        "schedule:callboard_owner:info",
        tidy(f"""
            topk by (schedule) (1, max by (schedule, queue, owner) ({info}))
            or on (schedule)
            0 * max by (schedule) ({limit}) + 1
        """),
        "Always 1; a schedule's queue and owner, for joins.",
    )


def _queues(query: Query) -> Iterator[Recording]:
    ready = query("queue_depth", 'state="ready"')
    held = query("queue_depth", 'state=~"ready|claimed"')
    yield Recording("queue:callboard_ready:max", f"max by (queue) ({ready})", "Messages that could start now.")
    yield Recording(
        "queue:callboard_unfinished:sum",
        f"sum by (queue) (max by (queue, state) ({held}))",
        "Messages that could start now, and those in the hands of a worker.",
    )
    yield Recording(
        "queue:callboard_drain_eta_seconds",
        tidy(f"""
            queue:callboard_ready:max
            / on (queue)
            (sum by (queue) (rate({query("finished_total", span="10m")})) > 0)
        """),
        "Time in which what is ready would be done at the pace of the last ten minutes.",
    )


def _jobs(query: Query) -> Iterator[Recording]:
    buckets = query("run_duration_seconds_bucket", span="1h")
    yield Recording(
        "actor:callboard_run_duration_seconds:p95_1h",
        f"histogram_quantile(0.95, sum by (actor, le) (rate({buckets})))",
        "Run time that 95 % of a job's attempts stay within.",
    )


def _objectives(query: Query) -> Iterator[Recording]:
    for window in BURN_WINDOWS:
        bad = query("slo_events_total", 'result="bad"', span=window)
        every = query("slo_events_total", span=window)
        yield Recording(
            f"slo:callboard_error:ratio_rate{window}",
            tidy(f"""
                sum by (slo) (rate({bad}))
                /
                (sum by (slo) (rate({every})) > 0)
            """),
            f"Share of an objective's runs that were bad, over {window}; no series without runs.",
        )
    for window in GUARD_WINDOWS:
        every = query("slo_events_total", span=window)
        yield Recording(
            f"slo:callboard_events:increase{window}",
            f"sum by (slo) (increase({every}))",
            f"Runs that counted for an objective, over {window}.",
        )
