"""One queue, or some: does work wait too long, does it drain, who takes it."""

from __future__ import annotations

from typing import TYPE_CHECKING

from observability.dashboards import palette
from observability.dashboards.links import field, row, to
from observability.dashboards.page import Page, Row
from observability.dashboards.panels import (
    bad_above,
    bad_below,
    coloured,
    dashed,
    heat_map,
    override_matching,
    stat_panel,
    time_series,
)
from observability.dashboards.query import or_none, quantile, series
from observability.dashboards.table import Column, table
from observability.dashboards.variables import queues

if TYPE_CHECKING:
    from grafana_foundation_sdk.models.dashboard import Panel

    from observability.rules.config import ObservabilityConfig

_AT = 'queue=~"$queue"'
_AGE = f"max by (queue) (callboard_queue_oldest_ready_age_seconds{{{_AT}}})"
_PROMISE = f"max by (queue) (callboard_queue_max_age_seconds{{{_AT}}})"
_DEPTH = "max by (queue, state) (callboard_queue_depth{%s})"


def page(config: ObservabilityConfig) -> Page:  # noqa: ARG001 - every page is handed the settings
    """The dashboard."""
    return Page(
        "queue",
        "Queue",
        "Does work wait too long, does it drain, and who takes it. Choose one queue, or compare them.",
        (
            Row("Now", _now()),
            Row("Is it late?", (_promised(), _ages(), _drain(), backlog(by_state=False), backlog())),
            Row("In and out", (_flow(), _waits(), _wait_heat(), _whole())),
            Row("Who takes it", (_consumers(), _stuck(), _actors(), _sources())),
            Row("All queues", (_table(),)),
        ),
        (queues(),),
    )


def of_promise(by: str) -> str:
    """PromQL: age of the oldest ready message as a share of its queue's promise."""
    return f"{_AGE} / on ({by}) {_PROMISE}"


def backlog(*, by_state: bool = True) -> Panel:
    """Messages in the broker, by state or by queue."""
    if not by_state:
        return time_series(
            "Ready messages by queue",
            "Messages that could start now.",
            "hills with a foot on both sides; no staircase.",
            series(f"queue:callboard_ready:max{{{_AT}}}", "{{queue}}"),
            links=[to("queue", "This queue alone", queue=field("queue"))],
        )
    return coloured(
        time_series(
            "Messages by state",
            "ready could start, claimed is with a worker, delayed waits for its time, orphaned was claimed by a worker "
            "that is gone, dead was given up.",
            "little ready, nothing orphaned for longer than a minute, dead does not grow.",
            series(f"sum by (state) ({_DEPTH % _AT}) > 0", "{{state}}"),
            stack=True,
            links=[to("queue", "The queues")],
        ),
        palette.STATES,
    )


def _now() -> tuple[Panel, ...]:
    return (
        stat_panel(
            "Ready",
            "Messages that could start now.",
            "any number that comes down again.",
            series(f"sum(queue:callboard_ready:max{{{_AT}}})"),
        ),
        stat_panel(
            "Oldest ready",
            "Age of the oldest message that could start.",
            "below the promise beside it.",
            series(f"max({_AGE})"),
            unit="s",
        ),
        stat_panel(
            "Of the promise",
            "Age of the oldest ready message as a share of what its queue promises; the worst of the chosen ones.",
            "below 80 %. At 100 % the queue is late.",
            series(f"max({of_promise('queue')})"),
            unit="percentunit",
            thresholds=bad_above(0.8, 1),
        ),
        stat_panel(
            "Empty in",
            "Ready messages divided by the pace of the last ten minutes; the longest of the chosen ones.",
            "seconds or minutes. No number: nothing was finished in ten minutes.",
            series(f"max(queue:callboard_drain_eta_seconds{{{_AT}}} < Inf)"),
            unit="s",
            no_value="no end",
        ),
        stat_panel(
            "Fewest consumers",
            "Live worker processes that take from the queue; the least served of the chosen ones.",
            "1 or more. With 0 nothing will ever start.",
            series(f"min(max by (queue) (callboard_queue_consumers{{{_AT}}}))"),
            thresholds=bad_below(1, 1),
        ),
        stat_panel(
            "Paused queues",
            "Queues that an operator has paused: work gathers there on purpose.",
            "0, or you know who did it. `callboard queues resume` ends it.",
            series(f"sum(max by (queue) (callboard_queue_paused{{{_AT}}}))"),
            thresholds=bad_above(amber=1),
        ),
    )


def _ages() -> Panel:
    panel = time_series(
        "Oldest ready message against the promise",
        "Age of the oldest message that could start; dashed, the age from which on the queue is late.",
        "each line below its dashed one.",
        series(_AGE, "{{queue}}"),
        series(_PROMISE, "promise {{queue}}"),
        unit="s",
        size=(8, 8),
        links=[to("queue", "This queue alone", queue=field("queue"))],
    )
    return dashed(panel, "promise.*")


def _promised() -> Panel:
    panel = time_series(
        "Oldest ready message, of the promise",
        "Age of the oldest message that could start as a share of what its queue promises; dashed, where it is late.",
        "below the dashed line, and mostly far below.",
        series(of_promise("queue"), "{{queue}}"),
        series("vector(1)", "late"),
        unit="percentunit",
        size=(8, 8),
        links=[to("queue", "This queue alone", queue=field("queue"))],
    )
    return dashed(panel, "^late$")


def _drain() -> Panel:
    return time_series(
        "Time until empty",
        "Ready messages divided by the pace of the last ten minutes, as if nothing more arrived.",
        "minutes, and falling. A line that climbs: arrivals beat the workers. No line: nothing was finished.",
        series(f"queue:callboard_drain_eta_seconds{{{_AT}}} < Inf", "{{queue}}"),
        unit="s",
        size=(8, 8),
        links=[to("queue", "This queue alone", queue=field("queue"))],
    )


def _flow() -> Panel:
    return coloured(
        time_series(
            "Arriving and finished",
            "Messages enqueued, without retries, and runs ended for good, per second.",
            "the two lines lie on one another.",
            series(f'sum(rate(callboard_enqueued_total{{{_AT},source!="retry"}}[$__rate_interval]))', "arriving"),
            series(f"sum(rate(callboard_finished_total{{{_AT}}}[$__rate_interval]))", "finished"),
            unit="ops",
        ),
        palette.FLOW,
    )


def _waits() -> Panel:
    return time_series(
        "Waiting time, p95",
        "From when a message may start to its start, without delays before retries. A point is one run: its trace.",
        "well below the promise of the queue.",
        series(quantile(0.95, "callboard_queue_wait_seconds", "queue", _AT), "{{queue}}", exemplars=True),
        unit="s",
        links=[to("queue", "This queue alone", queue=field("queue"))],
    )


def _wait_heat() -> Panel:
    return heat_map(
        "Waiting times",
        "How many runs began after which wait. Two bands mean that two kinds of work share the queue.",
        "one dark band near the bottom.",
        series(f"sum by (le) (rate(callboard_queue_wait_seconds_bucket{{{_AT}}}[$__rate_interval]))"),
    )


def _whole() -> Panel:
    return time_series(
        "Creation to end, p95",
        "From the creation of a run to its end for good, waiting and retries included: what the sender feels.",
        "little more than waiting and running together; a gap is the time between retries.",
        series(quantile(0.95, "callboard_end_to_end_seconds", "queue", _AT), "{{queue}}", exemplars=True),
        unit="s",
        links=[to("queue", "This queue alone", queue=field("queue"))],
    )


def _consumers() -> Panel:
    return time_series(
        "Consumers",
        "Live worker processes that take from the queue.",
        "a flat line; a step down is a worker that went away.",
        series(f"max by (queue) (callboard_queue_consumers{{{_AT}}})", "{{queue}}"),
        links=[to("workers", "The workers")],
    )


def _stuck() -> Panel:
    overdue = f"max by (queue) (callboard_queue_oldest_delayed_overdue_seconds{{{_AT}}})"
    orphaned = 'max by (queue) (callboard_queue_depth{queue=~"$queue",state="orphaned"})'
    panel = time_series(
        "Orphaned, and delayed for too long",
        "Messages held by workers that are gone, and for how many seconds the first delayed message has been due.",
        "nothing above 0 for longer than a minute.",
        series(or_none(orphaned, "queue"), "orphaned {{queue}}"),
        series(or_none(overdue, "queue"), "overdue {{queue}}"),
    )
    return override_matching(panel, "overdue.*", unit="s", custom__axisPlacement="right")


def _actors() -> Panel:
    busy = f"sum by (actor) (rate(callboard_run_duration_seconds_sum{{{_AT}}}[$__rate_interval]))"
    return time_series(
        "Threads kept busy, by job",
        "Run time per second: 1 is one thread that does nothing else.",
        "no job takes so many threads that the others of the queue starve.",
        series(f"topk(10, {busy})", "{{actor}}"),
        stack=True,
        links=[to("job", "The job", actor=field("actor"))],
    )


def _sources() -> Panel:
    return time_series(
        "Arriving, by source",
        "Who enqueues: api is code, schedule a cadence, chain another job, retry and replay say it themselves.",
        "the usual mix. Retries above the rest are a storm.",
        series(f"sum by (source) (rate(callboard_enqueued_total{{{_AT}}}[$__rate_interval])) > 0", "{{source}}"),
        unit="ops",
        stack=True,
    )


def _table() -> Panel:
    link = to("queue", "This queue alone", queue=row("Queue"))
    states = [
        Column(state, f'max by (queue) (callboard_queue_depth{{{_AT},state="{state}"}})', width=90)
        for state in palette.STATES
    ]
    canary = f"max by (queue) (time() - callboard_canary_last_success_timestamp_seconds{{{_AT}}})"
    return table(
        "Queues",
        "Everything about each queue at the end of the time range.",
        "ages below the promise, at least one consumer, a canary of a minute or two.",
        {"queue": Column("Queue", links=(link,))},
        [
            Column("Of promise", of_promise("queue"), "percentunit", bad_above(0.8, 1), decimals=0, width=110),
            Column("Oldest ready", _AGE, "s", width=120),
            Column("Promise", _PROMISE, "s", width=100),
            *states,
            Column("Oldest dead", f"max by (queue) (callboard_queue_dead_oldest_age_seconds{{{_AT}}})", "s", width=110),
            Column(
                "Consumers",
                f"max by (queue) (callboard_queue_consumers{{{_AT}}})",
                thresholds=bad_below(1, 1),
                width=100,
            ),
            Column(
                "Paused",
                f"max by (queue) (callboard_queue_paused{{{_AT}}})",
                words=(("0", "no", "transparent"), ("1", "paused", "orange")),
                width=90,
            ),
            Column("Canary", canary, "s", width=90),
            Column(
                "Longest limit", f"max by (queue) (callboard_queue_longest_time_limit_seconds{{{_AT}}})", "s", width=110
            ),
        ],
        size=(24, 9),
        sort="Of promise",
    )
