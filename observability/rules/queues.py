"""Alerts on queues: work waits, and is not done. A paused queue is left alone, but not for ever."""

from __future__ import annotations

from typing import TYPE_CHECKING

from observability.rules.alert import Alert
from observability.rules.promql import Query, tidy

if TYPE_CHECKING:
    from collections.abc import Iterator

    from observability.rules.config import ObservabilityConfig

__all__ = ["alerts"]

_DASHBOARD = "callboard-queue"
_LINK = ("queue",)


def alerts(config: ObservabilityConfig) -> Iterator[Alert]:
    """Those of this topic."""
    query = Query(config)
    short, long = config.seconds("queue_stall"), config.seconds("queue_stall_long")
    yield _stalled(query, config.queue_stall, f"<= {short:g}")
    yield _stalled(query, config.queue_stall_long, f"> {short:g} <= {long:g}")
    yield _latency(query)
    yield _growing(query)
    yield _delayed(query)
    yield _orphaned(query)
    yield _no_consumers(query)
    yield _paused(query)
    yield _canary(query)
    yield _outbox(query)


def _not_paused(query: Query) -> str:
    """Ends an expression: not while the queue is paused, nor just after, when old messages are being worked off."""
    span = query.config.queue_resume_grace
    return f"unless on (queue)\nmax by (queue) (max_over_time({query('queue_paused', span=span)})) == 1"


def _stalled(query: Query, window: str, limits: str) -> Alert:
    # Work must have been there for the whole window, and no job may run for longer than it: then one attempt, at
    # least, must have ended, be it by its time limit.
    work = "queue:callboard_unfinished:sum"
    attempts = query("attempts_total", span=window)
    paused = query("queue_paused", span=window)
    return Alert(
        name="CallboardQueueStalled",
        severity="critical",
        wait="5m",
        expr=tidy(f"""
            min_over_time({work}[{window}]) > 0
            and on (queue)
            {work} offset {window} > 0
            unless on (queue)
            sum by (queue) (increase({attempts})) > 0
            unless on (queue)
            max by (queue) (max_over_time({paused})) == 1
            and on (queue)
            max by (queue) ({query("queue_longest_time_limit_seconds")}) {limits}
        """),
        summary="Work waits in a queue, and no attempt ends.",
        description="{{ $labels.queue }} has held at least {{ $value }} messages all along, and no attempt has ended "
        f"for {window}, which is as long as its jobs may take. Workers hang, or do not take from this queue.",
        command="callboard workers",
        dashboard=_DASHBOARD,
        link=_LINK,
        labels={"window": window},
    )


def _latency(query: Query) -> Alert:
    age, promise = query("queue_oldest_ready_age_seconds"), query("queue_max_age_seconds")
    return Alert(
        name="CallboardQueueLatencyHigh",
        severity="critical",
        wait="5m",
        expr=f"max by (queue) ({age})\n> on (queue)\nmax by (queue) ({promise})\n{_not_paused(query)}",
        summary="Messages wait for longer than their queue promises.",
        description="The oldest ready message of {{ $labels.queue }} has waited for {{ $value | humanizeDuration }}, "
        "longer than the queue promises.",
        command="callboard queues",
        dashboard=_DASHBOARD,
        link=_LINK,
    )


def _growing(query: Query) -> Alert:
    ready, config = "queue:callboard_ready:max", query.config
    usual = f"({ready} offset 1d or 0 * {ready})"
    return Alert(
        name="CallboardQueueGrowing",
        severity="warning",
        wait="30m",
        expr=tidy(f"""
            deriv({ready}[30m]) > 0
            and on (queue)
            predict_linear({ready}[30m], 4 * 3600)
            > on (queue)
            {config.queue_growth_factor:g} * {usual} + {config.queue_growth_floor}
        """)
        + f"\n{_not_paused(query)}",
        summary="A queue grows faster than it is worked off.",
        description='{{ $labels.queue }} grows by {{ $value | printf "%.1f" }} messages a second, and in four hours '
        f"will hold more than {config.queue_growth_factor:g} times what it held a day ago.",
        command="callboard queues",
        dashboard=_DASHBOARD,
        link=_LINK,
    )


def _delayed(query: Query) -> Alert:
    overdue = query("queue_oldest_delayed_overdue_seconds")
    return Alert(
        name="CallboardDelayedOverdue",
        severity="warning",
        wait="5m",
        expr=f"max by (queue) ({overdue}) > {query.config.delayed_overdue_seconds:g}\n{_not_paused(query)}",
        summary="A delayed message is due and stays where it is.",
        description="The first delayed message of {{ $labels.queue }} has been due for "
        "{{ $value | humanizeDuration }}: a retry or a delayed job does not start.",
        command="callboard queues delayed {{ $labels.queue }}",
        dashboard=_DASHBOARD,
        link=_LINK,
    )


def _orphaned(query: Query) -> Alert:
    orphaned = query("queue_depth", 'state="orphaned"')
    return Alert(
        name="CallboardMessagesOrphaned",
        severity="warning",
        wait="10m",
        expr=f"max by (queue) ({orphaned}) > 0",
        summary="Messages of dead workers have not gone back to their queue.",
        description="{{ $value }} messages of {{ $labels.queue }} are held by workers whose lease is over.",
        command="callboard workers --all",
        dashboard=_DASHBOARD,
        link=_LINK,
    )


def _no_consumers(query: Query) -> Alert:
    # An empty queue without workers is how scaling to zero looks.
    return Alert(
        name="CallboardNoConsumers",
        severity="critical",
        wait="3m",
        expr=tidy(f"""
            queue:callboard_ready:max > 0
            and on (queue)
            max by (queue) ({query("queue_consumers")}) == 0
        """)
        + f"\n{_not_paused(query)}",
        summary="Work waits in a queue that no worker takes from.",
        description="{{ $value }} messages are ready in {{ $labels.queue }}, and no live worker takes from it.",
        command="callboard worker",
        dashboard=_DASHBOARD,
        link=_LINK,
    )


def _paused(query: Query) -> Alert:
    return Alert(
        name="CallboardQueuePausedLong",
        severity="warning",
        wait=query.config.queue_paused,
        expr=tidy(f"""
            max_over_time(queue:callboard_ready:max[1h]) > 0
            and on (queue)
            max by (queue) (min_over_time({query("queue_paused", span="1h")})) == 1
        """),
        summary="A queue has been paused for long, with work in it.",
        description="{{ $labels.queue }} has been paused for more than "
        f"{query.config.queue_paused}, and {{{{ $value }}}} messages wait in it. Other alerts leave it alone.",
        command="callboard queues resume {{ $labels.queue }}",
        dashboard=_DASHBOARD,
        link=_LINK,
    )


def _canary(query: Query) -> Alert:
    success = query("canary_last_success_timestamp_seconds")
    return Alert(
        name="CallboardCanaryFailed",
        severity="critical",
        wait="1m",
        expr=f"time() - max by (queue) ({success}) > {query.config.canary_age_seconds:g}\n{_not_paused(query)}",
        summary="A queue's canary job does not come through.",
        description="The canary of {{ $labels.queue }} last succeeded {{ $value | humanizeDuration }} ago: from "
        "scheduler over broker and worker to the ledger, something does not work.",
        command="callboard queues",
        dashboard=_DASHBOARD,
        link=_LINK,
    )


def _outbox(query: Query) -> Alert:
    return Alert(
        name="CallboardOutboxStuck",
        severity="critical",
        wait="2m",
        expr=f"max({query('outbox_oldest_age_seconds')}) > {query.config.outbox_age_seconds:g}",
        summary="Committed messages are not sent.",
        description="The oldest message of the outbox was committed {{ $value | humanizeDuration }} ago and has not "
        "reached the broker: the scheduler, which sends them, is away or cannot reach it.",
        command="callboard check",
        dashboard="callboard-platform",
    )
