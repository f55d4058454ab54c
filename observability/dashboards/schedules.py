"""Did the nightly job succeed? All schedules in one table, with those that never ran."""

from __future__ import annotations

from typing import TYPE_CHECKING

from observability.dashboards.links import field, row, to
from observability.dashboards.page import Page, Row
from observability.dashboards.panels import bad_above, dashed, exactly_one, stat_panel, states, time_series
from observability.dashboards.query import or_none, quantile, series
from observability.dashboards.table import Column, table
from observability.dashboards.variables import schedules

if TYPE_CHECKING:
    from grafana_foundation_sdk.models.dashboard import Panel

    from observability.rules.config import ObservabilityConfig

_AT = 'schedule=~"$schedule"'
_STATE_WORDS = {
    "0": ("in order", "green"),
    "1": ("last run failed", "orange"),
    "2": ("overdue", "red"),
    "3": ("failing and overdue", "dark-red"),
    "4": ("paused", "#8e8e99"),
}


def page(config: ObservabilityConfig) -> Page:  # noqa: ARG001 - every page is handed the settings
    """The dashboard."""
    return Page(
        "schedules",
        "Schedules",
        "Did it succeed when it had to? Overdue, failing, paused and never-ran schedules, and the scheduler itself.",
        (
            Row("Now", _now()),
            Row("Each schedule", (age_table(_AT, size=(24, 12)), _next())),
            Row("Course", (_states(), _used(), _durations(), _records(), _missed())),
            Row("The scheduler", (_tick(), _lag())),
        ),
        (schedules(),),
    )


def _of(metric: str, at: str = _AT) -> str:
    return f"max by (schedule) (callboard_schedule_{metric}{{{at}}})"


def _age(at: str = _AT) -> str:
    return f"max by (schedule) (schedule:callboard_last_success_age_seconds{{{at}}})"


def _late(at: str = _AT) -> str:
    enabled = f"{_of('enabled', at)} == 1"
    return f"({_age(at)} > on (schedule) {_of('max_age_seconds', at)}) and on (schedule) ({enabled})"


def age_table(at: str = 'schedule=~".+"', *, size: tuple[int, int]) -> Panel:
    """All schedules, the most overdue first."""
    whose = "actor, queue, cron, owner, tier"
    keys = {
        "schedule": Column("Schedule", links=(to("schedules", "This schedule alone", schedule=row("Schedule")),)),
        "actor": Column(
            "Job", links=(to("job", "The job", actor=row("Job")), to("runs", "Its runs", actor=row("Job")))
        ),
        "queue": Column("Queue", links=(to("queue", "The queue", queue=row("Queue")),), width=120),
        "cron": Column("Cadence", width=120),
        "owner": Column("Owner", width=110),
        "tier": Column("If late", width=80),
    }
    info = f"max by (schedule, {whose}) (callboard_schedule_info{{{at}}})"

    used = f"{_age(at)} / on (schedule) {_of('max_age_seconds', at)} and on (schedule) {_of('enabled', at)} == 1"

    def joined(value: str) -> str:
        return f"{info} * on (schedule) group_left () ({value})"

    return table(
        "Last success of every schedule",
        "Age of the last success against the age it may have; without one, the age of the schedule counts.",
        "Used below 80 %, no failures. At 100 % it is overdue. A paused one uses nothing: has somebody forgotten it?",
        keys,
        [
            Column(
                "Used",
                joined(used),
                "percentunit",
                bad_above(0.8, 1),
                decimals=0,
                width=90,
            ),
            Column("Last success", joined(_age(at)), "s", width=110),
            Column("Allowed", joined(_of("max_age_seconds", at)), "s", width=100),
            Column("Failures in a row", joined(_of("consecutive_failures", at)), thresholds=bad_above(1, 3), width=120),
            Column(
                "State",
                joined(_of("enabled", at)),
                words=(("1", "on", "transparent"), ("0", "paused", "orange")),
                width=90,
            ),
            Column("Last took", joined(_of("last_duration_seconds", at)), "s", width=100),
        ],
        size=size,
        sort="Used",
    )


def _now() -> tuple[Panel, ...]:
    return (
        stat_panel("Schedules", "Declared schedules.", "as many as you know of.", series(f"count({_of('enabled')})")),
        stat_panel(
            "Overdue",
            "Enabled ones whose last success is older than it may be.",
            "0.",
            series(f"count({_late()}) or vector(0)"),
            thresholds=bad_above(red=1),
        ),
        stat_panel(
            "Last run failed",
            "Schedules with at least one failure since the last success.",
            "0. At three in a row CallboardScheduleFailing makes a ticket.",
            series(f"count({_of('consecutive_failures')} > 0) or vector(0)"),
            thresholds=bad_above(amber=1),
        ),
        stat_panel(
            "Paused",
            "Schedules that an operator has paused.",
            "0, or you know who did it.",
            series(f"count({_of('enabled')} == 0) or vector(0)"),
            thresholds=bad_above(amber=1),
        ),
        stat_panel(
            "Scheduler looked",
            "Since the scheduler last looked at the cadences.",
            "a few seconds. From 180 s on nothing recurring is sent and CallboardSchedulerDown pages.",
            series("time() - max(callboard_scheduler_last_tick_timestamp_seconds)"),
            unit="s",
            thresholds=bad_above(30, 180),
            no_value="unknown",
        ),
        stat_panel(
            "Leaders",
            "Schedulers that lead. Standbys are at 0 and take over.",
            "exactly 1.",
            series("sum(callboard_scheduler_leader)"),
            thresholds=exactly_one(),
            no_value="none",
        ),
    )


def _next() -> Panel:
    keys = {"schedule": Column("Schedule", links=(to("schedules", "This schedule alone", schedule=row("Schedule")),))}
    return table(
        "Coming and going",
        "When each schedule is due next, and how long ago it last started, ended and succeeded.",
        "Due is never long past; Started and Ended are no older than the interval.",
        keys,
        [
            Column("Due in", f"{_of('next_run_timestamp_seconds')} - time()", "s", width=130),
            Column("Started ago", f"time() - {_of('last_start_timestamp_seconds')}", "s", width=130),
            Column("Ended ago", f"time() - {_of('last_completion_timestamp_seconds')}", "s", width=130),
            Column("Succeeded ago", f"time() - {_of('last_success_timestamp_seconds')}", "s", width=130),
            Column("Known for", f"time() - {_of('created_timestamp_seconds')}", "s", width=130),
            Column("Interval", _of("interval_seconds"), "s", width=110),
            Column("Records", _of("last_records"), width=110),
        ],
        size=(24, 9),
        sort="Due in",
        falling=False,
    )


def _states() -> Panel:
    failing = f"({_of('consecutive_failures')} > bool 0)"
    overdue = f"2 * ({_age()} > bool on (schedule) {_of('max_age_seconds')})"
    paused = f"4 + ({_of('enabled')} == 0)"
    return states(
        "State of each schedule",
        "In order, last run failed, overdue, both, or paused.",
        "green from left to right.",
        series(f"{paused} or on (schedule) ({failing} + on (schedule) {overdue})", "{{schedule}}"),
        texts=_STATE_WORDS,
        size=(24, 9),
    )


def _used() -> Panel:
    panel = time_series(
        "Age of the last success, of what it may be",
        "Of those that are not paused. A saw: it climbs with time and falls with each success. Dashed, the limit.",
        "no tooth reaches the dashed line.",
        series(
            f"{_age()} / on (schedule) {_of('max_age_seconds')} and on (schedule) {_of('enabled')} == 1", "{{schedule}}"
        ),
        series("vector(1)", "overdue"),
        unit="percentunit",
        links=[to("schedules", "This schedule alone", schedule=field("schedule"))],
    )
    return dashed(panel, "^overdue$")


def _durations() -> Panel:
    return time_series(
        "Run time of the last run",
        "How long the last run of each schedule took.",
        "flat, and well below the interval. A line that climbs for days will meet it.",
        series(f"max by (schedule) (callboard_schedule_last_duration_seconds{{{_AT}}})", "{{schedule}}"),
        unit="s",
        links=[to("schedules", "This schedule alone", schedule=field("schedule"))],
    )


def _records() -> Panel:
    return time_series(
        "Records of the last run",
        "Sum of what the last run counted.",
        "the usual size. A run that succeeds with 0 records where there were thousands has failed in disguise.",
        series(_of("last_records"), "{{schedule}}"),
        links=[to("schedules", "This schedule alone", schedule=field("schedule"))],
    )


def _missed() -> Panel:
    missed = f"sum by (schedule, reason) (increase(callboard_schedule_missed_total{{{_AT}}}[$__rate_interval]))"
    return time_series(
        "Due ticks without a run",
        "By schedule and reason: late, the scheduler was down, an earlier run went on (overlap), or it was disabled.",
        "nothing. Overlap means that the job takes longer than its interval.",
        series(or_none(missed, "schedule"), "{{schedule}} {{reason}}"),
        stack=True,
        links=[to("schedules", "This schedule alone", schedule=field("schedule"))],
    )


def _tick() -> Panel:
    return time_series(
        "Scheduler's last look at the cadences",
        "Age of the last look, of the scheduler that looked last.",
        "seconds. A line that climbs is a scheduler that is dead or hangs.",
        series("time() - max(callboard_scheduler_last_tick_timestamp_seconds)", "age"),
        unit="s",
    )


def _lag() -> Panel:
    lag = "callboard_scheduler_tick_lag_seconds"
    return time_series(
        "Due to sent",
        "From the moment a tick was due to its message's being sent.",
        "below a second or two.",
        series(quantile(0.5, lag), "p50"),
        series(quantile(0.99, lag), "p99", exemplars=True),
        unit="s",
    )
