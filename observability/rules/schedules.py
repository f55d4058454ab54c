"""Alerts on recurring jobs and on the scheduler that calls them."""

from __future__ import annotations

from typing import TYPE_CHECKING

from observability.rules.alert import Alert
from observability.rules.promql import Query, tidy

if TYPE_CHECKING:
    from collections.abc import Iterator

    from observability.rules.config import ObservabilityConfig

__all__ = ["alerts"]

_DASHBOARD = "callboard-schedules"
_OWNER = "{{ with $labels.owner }} Owner: {{ . }}.{{ end }}"


def alerts(config: ObservabilityConfig) -> Iterator[Alert]:
    """Those of this topic."""
    query = Query(config)
    yield _overdue(query, "critical", 'tier!="ticket"')
    yield _overdue(query, "warning", 'tier="ticket"')
    yield _failing(query)
    yield _missed(query)
    yield _paused(query)
    yield _down(query)
    yield _duplicated(query)


def _owned(expr: str) -> str:
    """With the labels `queue` and `owner` of the schedule, where it has them."""
    inner = tidy(expr).replace("\n", "\n  ")
    return f"(\n  {inner}\n)\n* on (schedule) group_left (queue, owner) schedule:callboard_owner:info"


def _overdue(query: Query, severity: str, tier: str) -> Alert:
    enabled = query("schedule_enabled", span=query.config.schedule_resume_grace)
    return Alert(
        name="CallboardScheduleOverdue",
        severity="critical" if severity == "critical" else "warning",
        wait="2m",
        expr=_owned(f"""
            schedule:callboard_last_success_age_seconds{{{tier}}}
            > on (schedule) group_left ()
            max by (schedule) ({query("schedule_max_age_seconds")})
            and on (schedule)
            max by (schedule) (min_over_time({enabled})) == 1
        """),
        summary="A recurring job has not succeeded for two of its ticks.",
        description="{{ $labels.schedule }} has had no success for {{ $value | humanizeDuration }}, which is longer "
        f"than two ticks and a run of it; if it never succeeded, since it was declared.{_OWNER}",
        command="callboard runs --job {{ $labels.schedule }}",
        dashboard=_DASHBOARD,
        link=("schedule",),
    )


def _failing(query: Query) -> Alert:
    return Alert(
        name="CallboardScheduleFailing",
        severity="warning",
        expr=_owned(f"""
            max by (schedule) ({query("schedule_consecutive_failures")}) >= {query.config.schedule_failures}
            and on (schedule)
            max by (schedule) ({query("schedule_enabled")}) == 1
        """),
        summary="A recurring job fails again and again.",
        description="The last {{ $value }} runs of {{ $labels.schedule }} failed, and none succeeded in between."
        f"{_OWNER}",
        command="callboard runs --job {{ $labels.schedule }} --state failed",
        dashboard=_DASHBOARD,
        link=("schedule",),
    )


def _missed(query: Query) -> Alert:
    # A tick that met its own earlier run, or a pause, is as somebody wished it.
    missed = query("schedule_missed_total", 'reason=~"late|scheduler_down|_other"', span="30m")
    return Alert(
        name="CallboardScheduleMissedRuns",
        severity="warning",
        expr=_owned(f"""
            sum by (schedule) (max by (schedule, reason) (increase({missed}))) > 0
            and on (schedule)
            max by (schedule) ({query("schedule_enabled")}) == 1
        """),
        summary="A recurring job was due and got no run.",
        description='About {{ $value | printf "%.0f" }} ticks of {{ $labels.schedule }} gave no run of their own in '
        f"the last 30 minutes: they came too late, or no scheduler was there.{_OWNER}",
        command="callboard schedules --next",
        dashboard=_DASHBOARD,
        link=("schedule",),
    )


def _paused(query: Query) -> Alert:
    # An hour's look back, so that one missed scrape does not begin the count anew.
    return Alert(
        name="CallboardSchedulePausedLong",
        severity="info",
        wait=query.config.schedule_paused,
        expr=_owned(f"max by (schedule) (max_over_time({query('schedule_enabled', span='1h')})) == 0"),
        summary="A schedule has been paused for long, and no other alert looks at it.",
        description="{{ $labels.schedule }} has been paused for more than "
        f"{query.config.schedule_paused}. Was it forgotten?{_OWNER}",
        command="callboard schedules resume {{ $labels.schedule }}",
        dashboard=_DASHBOARD,
        link=("schedule",),
    )


def _down(query: Query) -> Alert:
    tick = query("scheduler_last_tick_timestamp_seconds")
    return Alert(
        name="CallboardSchedulerDown",
        severity="critical",
        wait="2m",
        expr=tidy(f"""
            time() - max({tick}) > {query.config.scheduler_silence_seconds:g}
            or
            absent({tick})
            or
            sum({query("scheduler_leader")}) == 0
        """),
        summary="No scheduler calls the cadences.",
        description="No scheduler is scraped, the one that is has stopped looking at the cadences, or none leads: "
        "no recurring job is started.",
        command="callboard scheduler",
        dashboard=_DASHBOARD,
    )


def _duplicated(query: Query) -> Alert:
    return Alert(
        name="CallboardSchedulerDuplicated",
        severity="warning",
        wait="5m",
        expr=f"count({query('scheduler_leader')} == 1) > 1",
        summary="More than one scheduler believes that it leads.",
        description="{{ $value }} schedulers say that they lead. The ledger lets each tick fire once all the same.",
        command="callboard check",
        dashboard=_DASHBOARD,
    )
