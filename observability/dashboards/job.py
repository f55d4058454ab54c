"""One job: does it succeed, how long does it take, what breaks it."""

from __future__ import annotations

from typing import TYPE_CHECKING

from observability.dashboards import palette
from observability.dashboards.links import field, to
from observability.dashboards.page import Page, Row
from observability.dashboards.panels import bad_above, coloured, dashed, stat_panel, time_series
from observability.dashboards.query import or_none, quantile, ratio, series
from observability.dashboards.variables import actor

if TYPE_CHECKING:
    from grafana_foundation_sdk.models.dashboard import Panel

    from observability.rules.config import ObservabilityConfig

_AT = 'actor="$actor"'
_CHOSEN = "${actor}"
_RUNNING = f"max(callboard_oldest_running_age_seconds{{{_AT}}})"
_LIMIT = f"max(callboard_actor_time_limit_seconds{{{_AT}}})"


def page(config: ObservabilityConfig) -> Page:
    """The dashboard."""
    return Page(
        "job",
        "Job",
        "One job: does it succeed, how long does it take, what breaks it. Choose it above.",
        (
            Row("Now", (*_now(), *_now_at_work(config))),
            Row("Does it succeed?", (_outcomes(), _errors(), _retries(), _finished())),
            Row("How long does it take?", (_run_time(), _regression(), _running(), _oldest())),
            Row("What does it do?", (_cpu(), _records(), _arriving(), _redelivered())),
        ),
        (actor(),),
    )


def _attempts(outcomes: str) -> str:
    return f'sum(rate(callboard_attempts_total{{{_AT},outcome=~"{outcomes}"}}[$__rate_interval]))'


def _now() -> tuple[Panel, ...]:
    return (
        stat_panel(
            "Attempts that succeed",
            "Of the attempts that ran to an end.",
            "close to 100 %, or as far from it as this job's objective allows.",
            series(ratio(_attempts("success"), _attempts("success|retry|failed|expired"))),
            unit="percentunit",
            no_value="no runs",
            links=[to("failures", "Its failures", actor=_CHOSEN)],
        ),
        stat_panel(
            "Runs finished",
            "Runs that ended for good, per second.",
            "its usual rate.",
            series(f"sum(rate(callboard_finished_total{{{_AT}}}[$__rate_interval]))"),
            unit="ops",
            links=[to("runs", "Its runs", actor=_CHOSEN)],
        ),
        stat_panel(
            "Run time, p95",
            "95 of 100 attempts took no longer, over an hour.",
            "what you know of it; the overlay below shows last week.",
            series(f"max(actor:callboard_run_duration_seconds:p95_1h{{{_AT}}})"),
            unit="s",
        ),
    )


def _now_at_work(config: ObservabilityConfig) -> tuple[Panel, ...]:
    return (
        stat_panel(
            "Running now",
            "Attempts in progress.",
            "below its concurrency limit, if it has one; above 0 while work is ready.",
            series(f"sum(callboard_in_progress{{{_AT}}})"),
            links=[to("workers", "The workers")],
        ),
        stat_panel(
            "Oldest run, of its limit",
            "Run time of the oldest run as a share of the job's time limit.",
            f"below 100 %. From {config.stuck_factor:.0%} on the limit did not work: CallboardRunStuck makes a ticket.",
            series(f"{_RUNNING} / {_LIMIT}"),
            unit="percentunit",
            thresholds=bad_above(0.8, config.stuck_factor),
            no_value="no limit",
        ),
        stat_panel(
            "Dead letters",
            "Messages of this job given up on.",
            "0, or somebody works on them.",
            series(f"sum(max by (queue) (callboard_dead_letters{{{_AT}}}))"),
            thresholds=bad_above(amber=1),
            links=[to("failures", "Its dead letters", actor=_CHOSEN)],
        ),
    )


def _outcomes() -> Panel:
    panel = time_series(
        "Attempts by outcome",
        "Attempts that ended per second. Each has exactly one outcome.",
        "green; no red.",
        series(f"sum by (outcome) (rate(callboard_attempts_total{{{_AT}}}[$__rate_interval])) > 0", "{{outcome}}"),
        unit="ops",
        stack=True,
        links=[to("runs", "Its runs", actor=_CHOSEN)],
    )
    return coloured(panel, palette.OUTCOMES)


def _errors() -> Panel:
    raised = f"sum by (error_type) (rate(callboard_errors_total{{{_AT}}}[$__rate_interval]))"
    return time_series(
        "Errors by class",
        "Attempts that raised, by the class of the exception.",
        "nothing, or a low line that you know. One class that begins with a deploy is that deploy's.",
        series(or_none(raised, "error_type"), "{{error_type}}"),
        unit="ops",
        stack=True,
        links=[to("failures", "Its failures", actor=_CHOSEN)],
    )


def _retries() -> Panel:
    return time_series(
        "Retries per finished run",
        "Attempts that will be tried again, for each run that ended for good.",
        "near 0. Above 0.5 half the work is repetition: is a dependency down?",
        series(
            f"{_attempts('retry')} / sum(rate(callboard_finished_total{{{_AT}}}[$__rate_interval]))",
            "retries per run",
        ),
    )


def _finished() -> Panel:
    colours = {
        name: colour for name, colour in palette.OUTCOMES.items() if name not in ("retry", "shutdown", "postponed")
    }
    panel = time_series(
        "Runs by result",
        "Runs that ended for good, once each, however many attempts they took.",
        "success. What is failed or expired lies with the dead letters.",
        series(f"sum by (result) (rate(callboard_finished_total{{{_AT}}}[$__rate_interval])) > 0", "{{result}}"),
        unit="ops",
        stack=True,
        links=[to("runs", "Its runs", actor=_CHOSEN)],
    )
    return coloured(panel, colours)


def _run_time() -> Panel:
    times = "callboard_run_duration_seconds"
    panel = time_series(
        "Run time",
        "Run time of attempts, without waiting, by percentile. A point is one run: its trace.",
        "flat, with p99 below the time limit. p99 that parts from p50 is one slow input or one slow dependency.",
        *(
            series(quantile(share, times, where=_AT), name, exemplars=True)
            for name, share in (("p50", 0.5), ("p95", 0.95), ("p99", 0.99))
        ),
        unit="s",
        links=[to("runs", "Its runs", actor=_CHOSEN)],
    )
    return coloured(panel, palette.PERCENTILES)


def _regression() -> Panel:
    p95 = f"max(actor:callboard_run_duration_seconds:p95_1h{{{_AT}}}"
    panel = time_series(
        "Run time, p95 over an hour, and a week ago",
        "Dashed, the same hour a week ago.",
        "on the dashed line. Twice as high for half an hour is CallboardDurationRegression.",
        series(f"{p95})", "p95"),
        series(f"{p95} offset 7d)", "a week ago"),
        unit="s",
    )
    return dashed(panel, "^a week ago$", "#8e8e99")


def _running() -> Panel:
    return time_series(
        "Running, by queue",
        "Attempts in progress, by queue.",
        "moves. Flat at the concurrency limit, with work ready, is the limit; flat without ends is a hang.",
        series(f"sum by (queue) (callboard_in_progress{{{_AT}}})", "{{queue}}"),
        links=[to("queue", "The queue", queue=field("queue"))],
    )


def _oldest() -> Panel:
    progress = f"max(time() - callboard_last_progress_timestamp_seconds{{{_AT}}}) and {_RUNNING} > 0"
    panel = time_series(
        "Oldest run, and its time limit",
        "Run time so far of the oldest run, since when it has reported nothing, and dashed its limit.",
        "a saw below the dashed line.",
        series(_RUNNING, "oldest run"),
        series(progress, "since last progress"),
        series(_LIMIT, "time limit"),
        unit="s",
        links=[to("runs", "Its runs", actor=_CHOSEN)],
    )
    return dashed(panel, "^time limit$")


def _cpu() -> Panel:
    cpu = f"sum(rate(callboard_run_cpu_seconds_total{{{_AT}}}[$__rate_interval]))"
    return time_series(
        "CPU share of the run time",
        "CPU time of the running threads as a share of their run time.",
        "steady. Near 0 it waits for others: more threads help. Near 100 % it computes: only more processes help.",
        series(ratio(cpu, f"sum(rate(callboard_run_duration_seconds_sum{{{_AT}}}[$__rate_interval]))"), "CPU"),
        unit="percentunit",
    )


def _records() -> Panel:
    return time_series(
        "Records",
        "What the job counted as read, written or rejected, per second.",
        "the usual rate, with nothing rejected.",
        series(f"sum by (kind) (rate(callboard_records_processed_total{{{_AT}}}[$__rate_interval]))", "{{kind}}"),
        unit="ops",
    )


def _arriving() -> Panel:
    return time_series(
        "Arriving, by source",
        "Who enqueues it.",
        "the usual mix; retries far below the rest.",
        series(f"sum by (source) (rate(callboard_enqueued_total{{{_AT}}}[$__rate_interval])) > 0", "{{source}}"),
        unit="ops",
        stack=True,
    )


def _redelivered() -> Panel:
    return time_series(
        "Started again after a worker died",
        "Starts of messages whose earlier worker died.",
        "0. A message that kills worker after worker is buried as poison.",
        series(f"sum by (queue) (increase(callboard_redeliveries_total{{{_AT}}}[$__rate_interval]))", "{{queue}}"),
        links=[to("workers", "The workers")],
    )
