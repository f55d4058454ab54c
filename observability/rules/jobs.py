"""Alerts on what jobs do: they fail, hang, kill their worker, or end as dead letters."""

from __future__ import annotations

from typing import TYPE_CHECKING

from observability.rules.alert import Alert
from observability.rules.promql import Query, tidy

if TYPE_CHECKING:
    from collections.abc import Iterator

    from observability.rules.config import ObservabilityConfig

__all__ = ["alerts"]

_DASHBOARD, _FAILURES = "callboard-job", "callboard-failures"
_LINK = ("queue", "actor")


def alerts(config: ObservabilityConfig) -> Iterator[Alert]:
    """Those of this topic."""
    query = Query(config)
    yield _failure_ratio(query)
    yield _retry_storm(query)
    yield _dead_letters_growing(query)
    yield _dead_letters_old(query)
    yield _skipped_or_expired(query)
    yield _stuck(query)
    yield _progress_stopped(query)
    yield _poison(query)
    yield _regression(query)


def _failure_ratio(query: Query) -> Alert:
    failed = query("attempts_total", 'outcome=~"retry|failed"', span="10m")
    every = query("attempts_total", span="10m")
    return Alert(
        name="CallboardFailureRatioHigh",
        severity="warning",
        wait="10m",
        expr=tidy(f"""
            sum by (queue, actor) (rate({failed}))
            /
            sum by (queue, actor) (rate({every}))
            > {query.config.failure_ratio:g}
            and
            sum by (queue, actor) (increase({every})) > {query.config.failure_min_attempts}
        """),
        summary="Many attempts of a job fail.",
        description="{{ $value | humanizePercentage }} of the attempts of {{ $labels.actor }} failed in the last ten "
        "minutes.",
        command="callboard runs --job {{ $labels.actor }} --since 1h",
        dashboard=_DASHBOARD,
        link=("actor",),
    )


def _retry_storm(query: Query) -> Alert:
    retried = query("attempts_total", 'outcome="retry"', span="10m")
    every = query("attempts_total", span="10m")
    return Alert(
        name="CallboardRetryStorm",
        severity="warning",
        wait="10m",
        expr=tidy(f"""
            sum by (queue) (rate({retried}))
            /
            sum by (queue) (rate({every}))
            > {query.config.retry_ratio:g}
            and
            sum by (queue) (increase({every})) > {query.config.retry_min_attempts}
        """),
        summary="Most attempts of a queue end in a retry.",
        description="{{ $value | humanizePercentage }} of the attempts of {{ $labels.queue }} were retried in the last "
        "ten minutes: something that its jobs depend on is away.",
        command="callboard queues pause {{ $labels.queue }}",
        dashboard=_FAILURES,
        link=("queue",),
    )


def _dead_letters_growing(query: Query) -> Alert:
    # The counter does not know of letters that a process buried which has ended since; the ledger knows them all.
    failed = query("finished_total", 'result="failed"', span="15m")
    open_now, before = query("dead_letters"), query("dead_letters", offset="15m")
    return Alert(
        name="CallboardDeadLettersGrowing",
        severity="warning",
        expr=tidy(f"""
            sum by (queue, actor) (increase({failed})) > 0
            or
            max by (queue, actor) ({open_now}) - max by (queue, actor) ({before}) > 0
        """),
        summary="Jobs were given up on.",
        description='About {{ $value | printf "%.0f" }} runs of {{ $labels.actor }} were given up on in the last 15 '
        "minutes; each is a dead letter that can be replayed.",
        command="callboard dead-letters list --job {{ $labels.actor }}",
        dashboard=_FAILURES,
        link=_LINK,
    )


def _dead_letters_old(query: Query) -> Alert:
    age = query("queue_dead_oldest_age_seconds")
    return Alert(
        name="CallboardDeadLettersOld",
        severity="warning",
        wait="10m",
        expr=f"max by (queue) ({age}) > {query.config.dead_letter_age_seconds:g}",
        summary="A dead letter has waited for a decision for long.",
        description="The oldest open dead letter of {{ $labels.queue }} is {{ $value | humanizeDuration }} old. Dead "
        "letters never expire: somebody has to replay or discard them.",
        command=f"callboard dead-letters list --older-than {query.config.dead_letter_age_seconds / 86_400:.0f}d",
        dashboard=_FAILURES,
        link=("queue",),
    )


def _skipped_or_expired(query: Query) -> Alert:
    # A single job that is sent twice is skipped once, as declared; that most attempts are is another matter.
    config = query.config
    expired = query("attempts_total", 'outcome="expired"', span="15m")
    skipped = query("attempts_total", 'outcome="skipped"', span="15m")
    every = query("attempts_total", span="15m")
    return Alert(
        name="CallboardSkippedOrExpired",
        severity="warning",
        expr=tidy(f"""
            sum by (queue, actor, outcome) (increase({expired})) > 0
            or
            (
              sum by (queue, actor, outcome) (increase({skipped})) > {config.skipped_min_attempts}
              and on (queue, actor)
              sum by (queue, actor) (increase({skipped}))
              > {config.skipped_ratio:g} * sum by (queue, actor) (increase({every}))
            )
        """),
        summary="Work was dropped: it was too old, or its turn was taken.",
        description='About {{ $value | printf "%.0f" }} attempts of {{ $labels.actor }} ended as {{ $labels.outcome }} '
        "in the last 15 minutes, and did nothing.",
        command="callboard runs --job {{ $labels.actor }} --since 1h",
        dashboard=_DASHBOARD,
        link=("actor",),
    )


def _stuck(query: Query) -> Alert:
    return Alert(
        name="CallboardRunStuck",
        severity="warning",
        wait="5m",
        expr=tidy(f"""
            max by (actor) ({query("oldest_running_age_seconds")})
            > on (actor)
            {query.config.stuck_factor:g} * max by (actor) ({query("actor_time_limit_seconds")})
        """),
        summary="A run goes on beyond its time limit.",
        description="A run of {{ $labels.actor }} has been running for {{ $value | humanizeDuration }}; its time limit "
        "should have ended it.",
        command="callboard runs --job {{ $labels.actor }} --state running",
        dashboard=_DASHBOARD,
        link=("actor",),
    )


def _progress_stopped(query: Query) -> Alert:
    # A job that never reports has its start in the gauge, and must not be blamed for being long: more changes than
    # starts and ends can explain are the proof that it reports.
    moment, running = query("last_progress_timestamp_seconds"), query("in_progress")
    limit, config = query("actor_time_limit_seconds"), query.config
    changes = query("last_progress_timestamp_seconds", span="1d")
    attempts = query("attempts_total", span="1d")
    return Alert(
        name="CallboardProgressStopped",
        severity="warning",
        wait="5m",
        expr=tidy(f"""
            time() - max by (actor) ({moment}) > {config.progress_silence_seconds:g}
            and on (actor)
            sum by (actor) ({running}) > 0
            and on (actor)
            sum by (actor) (changes({changes}))
            > on (actor)
            2 * (sum by (actor) (increase({attempts})) + on (actor) sum by (actor) ({running}))
            unless on (actor)
            max by (actor) ({limit}) < {config.progress_silence_seconds:g}
        """),
        summary="A long run makes no progress.",
        description="{{ $labels.actor }}, which reports progress, has reported none for "
        "{{ $value | humanizeDuration }}, and runs.",
        command="callboard runs --job {{ $labels.actor }} --state running",
        dashboard=_DASHBOARD,
        link=("actor",),
    )


def _poison(query: Query) -> Alert:
    # The series appears with its first event, which `increase` does not see.
    poison = 'error_type="PoisonMessage"'
    since = query("errors_total", poison, span="30m")
    now, before = query("errors_total", poison), query("errors_total", poison, offset="30m")
    return Alert(
        name="CallboardPoisonMessage",
        severity="critical",
        expr=tidy(f"""
            sum by (actor) (increase({since})) > 0
            or
            sum by (actor) ({now} unless {before}) > 0
        """),
        summary="A message killed its worker again and again.",
        description="A message of {{ $labels.actor }} ended its worker three times and is a dead letter of kind poison "
        "now. Others like it will do the same.",
        command="callboard dead-letters list --job {{ $labels.actor }} --kind poison",
        dashboard=_FAILURES,
        link=("actor",),
    )


def _regression(query: Query) -> Alert:
    p95, config = "actor:callboard_run_duration_seconds:p95_1h", query.config
    count = query("run_duration_seconds_count", span="1h")
    return Alert(
        name="CallboardDurationRegression",
        severity="info",
        wait="30m",
        expr=tidy(f"""
            {p95} > {config.duration_factor:g} * ({p95} offset 7d)
            and
            {p95} > {config.duration_floor_seconds:g}
            and
            sum by (actor) (increase({count})) > {config.duration_min_runs}
        """),
        summary="A job has become much slower than it was a week ago.",
        description="95 % of the attempts of {{ $labels.actor }} end within {{ $value | humanizeDuration }}; a week "
        f"ago it was less than a {config.duration_factor:g}th part of it."
        if config.duration_factor > 2  # noqa: PLR2004 - a half has a word of its own
        else "95 % of the attempts of {{ $labels.actor }} end within {{ $value | humanizeDuration }}; a week ago it "
        "was less than half of it.",
        command="callboard runs --job {{ $labels.actor }} --since 1h",
        dashboard=_DASHBOARD,
        link=("actor",),
    )
