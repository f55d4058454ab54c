"""What fails, why, and what was given up."""

from __future__ import annotations

from typing import TYPE_CHECKING

from observability.dashboards import palette
from observability.dashboards.links import field, row, to
from observability.dashboards.page import Page, Row
from observability.dashboards.panels import bad_above, coloured, stat_panel, time_series
from observability.dashboards.query import or_none, series, sql
from observability.dashboards.table import Column, ledger_table, table
from observability.dashboards.variables import actors, queues

if TYPE_CHECKING:
    from grafana_foundation_sdk.models.dashboard import Panel

    from observability.rules.config import ObservabilityConfig

_AT = 'queue=~"$queue",actor=~"$actor"'
#: `All` is the regular expression of everything; chosen names come escaped.
_JOB, _QUEUE = "job ~ '^(?:${actor:regex})$'", "queue ~ '^(?:${queue:regex})$'"


def page(config: ObservabilityConfig) -> Page:
    """The dashboard."""
    return Page(
        "failures",
        "Failures and dead letters",
        "What fails and why, what was given up, and what somebody has to replay or discard.",
        (
            Row("Now", _now(config)),
            Row("What fails", (_outcomes(), _errors(), _failing(), _silent())),
            Row("What was given up", (_dead(), _given_up(), _newest(), _issues())),
        ),
        (queues(), actors()),
        on_ledger=True,
    )


def _now(config: ObservabilityConfig) -> tuple[Panel, ...]:
    week = config.dead_letter_age_seconds
    return (
        stat_panel(
            "Dead letters",
            "Messages given up on that wait for a replay or a discard.",
            "0, or somebody works on them: `callboard dead-letters`.",
            series(f"sum(max by (queue, actor) (callboard_dead_letters{{{_AT}}}))"),
            thresholds=bad_above(amber=1),
            size=(6, 4),
        ),
        stat_panel(
            "Oldest dead letter",
            "They never expire by themselves: an old one is one that nobody looks at.",
            f"below {week / 86400:.0f} days.",
            series('max(callboard_queue_dead_oldest_age_seconds{queue=~"$queue"})'),
            unit="s",
            thresholds=bad_above(week / 7, week),
            size=(6, 4),
        ),
        stat_panel(
            "Given up in the last hour",
            "Runs that failed for good or expired.",
            "0.",
            series(f'sum(increase(callboard_finished_total{{{_AT},result=~"failed|expired"}}[1h]))'),
            thresholds=bad_above(amber=1),
            size=(6, 4),
            decimals=0,
        ),
        stat_panel(
            "Started again after a crash, 1 h",
            "Starts of messages whose earlier worker died.",
            "0. A message that kills worker after worker is buried as poison.",
            series(f"sum(increase(callboard_redeliveries_total{{{_AT}}}[1h]))"),
            thresholds=bad_above(amber=1),
            size=(6, 4),
            decimals=0,
        ),
    )


def _outcomes() -> Panel:
    rate = f'sum by (outcome) (rate(callboard_attempts_total{{{_AT},outcome!="success"}}[$__rate_interval])) > 0'
    panel = time_series(
        "Attempts that did not succeed",
        "Per second, by outcome.",
        "nothing but a few retries.",
        series(rate, "{{outcome}}"),
        unit="ops",
        stack=True,
    )
    return coloured(panel, palette.OUTCOMES)


def _errors() -> Panel:
    raised = 'rate(callboard_errors_total{actor=~"$actor"}[$__rate_interval])'
    return time_series(
        "Errors by class",
        "Attempts that raised, by the class of the exception.",
        "a low line of errors that you know. A new class is a new fault.",
        series(or_none(f"topk(10, sum by (error_type) ({raised}))", "error_type"), "{{error_type}}"),
        unit="ops",
        stack=True,
    )


def _failing() -> Panel:
    links = (to("job", "The job", actor=row("Job")), to("runs", "Its runs", actor=row("Job")))
    keys = {"actor": Column("Job", links=links)}

    def told(outcome: str) -> str:
        return f'sum by (actor) (increase(callboard_attempts_total{{{_AT},outcome=~"{outcome}"}}[$__range]))'

    share = f"{told('failed|retry')} / ({told('success|failed|retry')} > 0)"
    return table(
        "Jobs that fail",
        "Attempts in the time range, most given up first.",
        "0 failed; the share stays where it always was.",
        keys,
        [
            Column("Failed", told("failed"), unit="locale", decimals=0, width=100),
            Column("Retried", told("retry"), unit="locale", decimals=0, width=100),
            Column("Share", share, "percentunit", bad_above(0.05, 0.2), decimals=1, width=100),
        ],
        size=(12, 8),
        sort="Failed",
    )


def _silent() -> Panel:
    ended = f'callboard_attempts_total{{{_AT},outcome=~"skipped|expired"}}'
    quiet = f"sum by (actor, outcome) (increase({ended}[$__rate_interval]))"
    return time_series(
        "Skipped and expired",
        "Work that was not done and raised nothing: another run of its scope made it needless, or it came too late.",
        "nothing, or the usual overlap of a busy schedule.",
        series(or_none(quiet, "actor"), "{{actor}} {{outcome}}"),
        stack=True,
        links=[to("job", "The job", actor=field("actor"))],
    )


def _dead() -> Panel:
    return time_series(
        "Dead letters by queue",
        "Open ones.",
        "0, or falling while somebody replays.",
        series('max by (queue) (callboard_queue_depth{queue=~"$queue",state="dead"})', "{{queue}}"),
        stack=True,
        links=[to("queue", "The queue", queue=field("queue"))],
    )


def _given_up() -> Panel:
    lost = f'sum by (actor) (increase(callboard_finished_total{{{_AT},result=~"failed|expired"}}[$__rate_interval]))'
    return time_series(
        "Given up, by job",
        "Runs that failed for good or expired.",
        "nothing.",
        series(or_none(lost, "actor"), "{{actor}}"),
        stack=True,
        links=[to("job", "The job", actor=field("actor"))],
    )


def _newest() -> Panel:
    query = sql(
        'select created_at as "Given up", id as "Letter", job as "Job", queue as "Queue", kind as "Kind",',
        '  error_type as "Error", left(error, 300) as "Message", attempts as "Attempts", run_id as "Run"',
        "from board.dead_letters",
        f"where state = 'open' and {_JOB} and {_QUEUE}",
        "order by id desc limit 100",
    )
    return ledger_table(
        "Newest dead letters",
        "The last hundred open ones, whatever the time range. `callboard dead-letters show <letter>` has all of one.",
        "an empty table.",
        query,
        (
            Column("Given up", unit="dateTimeAsIso", width=170),
            Column("Letter", width=80),
            Column("Job", links=(to("job", "The job", actor=row("Job")),), width=220),
            Column("Queue", links=(to("queue", "The queue", queue=row("Queue")),), width=120),
            Column("Run", links=(to("runs", "The run", run_id=row("Run")),), width=290),
            Column("Attempts", width=90),
        ),
        size=(24, 9),
    )


def _issues() -> Panel:
    query = sql(
        'select last_seen_at as "Last seen", first_seen_at as "First seen", occurrences as "Times", job as "Job",',
        '  error_type as "Error", title as "Issue", kind as "Kind", last_run_id as "Last run"',
        "from board.issues",
        f"where status = 'open' and {_JOB}",
        "order by last_seen_at desc limit 100",
    )
    return ledger_table(
        "Open issues",
        "Failures with one fingerprint, folded into one row; the most recent first.",
        "a short list that you know. First seen right after a deploy is that deploy's.",
        query,
        (
            Column("Last seen", unit="dateTimeAsIso", width=170),
            Column("First seen", unit="dateTimeAsIso", width=170),
            Column("Times", thresholds=bad_above(10, 100), width=80),
            Column("Job", links=(to("job", "The job", actor=row("Job")),), width=220),
            Column("Last run", links=(to("runs", "The run", run_id=row("Last run")),), width=290),
        ),
        size=(24, 9),
    )
