"""Single runs, from the ledger: the last ones, the slow ones, and one of them with its history."""

from __future__ import annotations

from typing import TYPE_CHECKING

from observability.dashboards.links import row, to
from observability.dashboards.page import Page, Row
from observability.dashboards.panels import coloured, time_series
from observability.dashboards.query import sql
from observability.dashboards.table import Column, ledger_table
from observability.dashboards.variables import actors, queues, run_id, run_states

if TYPE_CHECKING:
    from grafana_foundation_sdk.models.dashboard import Panel

    from observability.rules.config import ObservabilityConfig

#: The partition key bounds every query; `All` is the regular expression of everything.
_WHERE = (
    "where $__timeFilter(created_at) and job ~ '^(?:${actor:regex})$'",
    "  and queue ~ '^(?:${queue:regex})$' and state ~ '^(?:${state:regex})$'",
)
_STATE_WORDS = (
    ("pending", "pending", "semi-dark-blue"),
    ("running", "running", "semi-dark-yellow"),
    ("completed", "completed", "transparent"),
    ("failed", "failed", "semi-dark-red"),
    ("cancelled", "cancelled", "#8e8e99"),
)
_ATTEMPT_COLUMNS = (
    Column("When", unit="dateTimeAsIso", width=170),
    Column("Attempt", width=80),
    Column("Kind", width=110),
    Column("Error", width=170),
    Column("Retryable", width=90),
)
_COLOURS = {"pending": "blue", "running": "yellow", "completed": "green", "failed": "red", "cancelled": "#8e8e99"}
_NOW = "least(now(), $__timeTo()::timestamptz)"
_WAIT = f"extract(epoch from coalesce(started_at, {_NOW}) - coalesce(eligible_at, created_at))::float8"
_RUN = f"extract(epoch from coalesce(finished_at, {_NOW}) - started_at)::float8"


def page(config: ObservabilityConfig) -> Page:  # noqa: ARG001 - every page is handed the settings
    """The dashboard."""
    return Page(
        "runs",
        "Runs",
        "Single runs, as the ledger has them. A click on an id shows one with its history.",
        (
            Row("Course", (_created(),)),
            Row("One run", (_one(), _more(), _attempts())),
            Row("Runs", (_last(), _slowest(), _waiting())),
        ),
        (actors(), queues(), run_states(), run_id()),
        on_ledger=True,
        hours=1,
    )


def _columns() -> tuple[Column, ...]:
    return (
        Column("Created", unit="dateTimeAsIso", width=170),
        Column("Run", links=(to("runs", "This run", run_id=row("Run")),), width=290),
        Column("Job", links=(to("job", "The job", actor=row("Job")),), width=220),
        Column("Queue", links=(to("queue", "The queue", queue=row("Queue")),), width=120),
        Column("State", words=_STATE_WORDS, width=100),
        Column("Attempt", width=80),
        Column("Waited", unit="s", width=100),
        Column("Ran", unit="s", width=100),
    )


def _created() -> Panel:
    query = sql(
        "select $__timeGroupAlias(created_at, $__interval), state as metric, count(*) as value",
        "from board.runs",
        *_WHERE,
        "group by 1, 2 order by 1",
        over_time=True,
    )
    panel = time_series(
        "Runs created, by present state",
        "How many runs were created in each interval, and what has become of them.",
        "green; at the right edge some blue and yellow, which is work in hand.",
        query,
        size=(24, 7),
        stack=True,
        calcs=("sum",),
    )
    return coloured(panel, _COLOURS)


def _last() -> Panel:
    query = sql(
        'select created_at as "Created", id as "Run", job as "Job", queue as "Queue", state as "State",',
        f'  attempt as "Attempt", {_WAIT} as "Waited", {_RUN} as "Ran",',
        '  coalesce(error_type, reason) as "Why", left(error, 200) as "Error", worker_id as "Worker",',
        '  correlation_id as "Correlation id"',
        "from board.runs",
        *_WHERE,
        "order by created_at desc limit 200",
    )
    return ledger_table(
        "Last 200 runs",
        "Newest first, of the chosen jobs, queues and states. Waited is the last attempt's wait; Ran its run time.",
        "completed. Filter the column State for what is not.",
        query,
        _columns(),
        size=(24, 12),
    )


def _slowest() -> Panel:
    query = sql(
        'select created_at as "Created", id as "Run", job as "Job", queue as "Queue", state as "State",',
        f'  attempt as "Attempt", {_WAIT} as "Waited", {_RUN} as "Ran"',
        "from board.runs",
        *_WHERE,
        "  and started_at is not null",
        f"order by {_RUN} desc limit 20",
    )
    return ledger_table(
        "Slowest runs",
        "Of the time range, the ones that still run included.",
        "the jobs that you expect. A row that runs and is far beyond its job's usual time hangs.",
        query,
        _columns(),
        size=(24, 8),
    )


def _waiting() -> Panel:
    query = sql(
        'select created_at as "Created", id as "Run", job as "Job", queue as "Queue", state as "State",',
        f'  attempt as "Attempt", {_WAIT} as "Waited", retry_at as "Retry at", reason as "Waits for"',
        "from board.runs",
        *_WHERE,
        "  and state = 'pending'",
        "order by coalesce(eligible_at, created_at) limit 50",
    )
    return ledger_table(
        "Longest waiting",
        "Pending runs, those that may start for the longest time first. `callboard run show` says what one waits for.",
        "an empty table, or waits below the promise of the queue.",
        query,
        (*_columns(), Column("Retry at", unit="dateTimeAsIso", width=170)),
        size=(24, 8),
    )


def _one() -> Panel:
    query = sql(
        'select created_at as "Created", job as "Job", queue as "Queue", state as "State", attempt as "Attempt",',
        f'  {_WAIT} as "Waited", {_RUN} as "Ran", error_type as "Error", left(error, 500) as "Message",',
        '  reason as "Reason"',
        "from board.runs where id::text = '${run_id}'",
    )
    return ledger_table(
        "The run",
        "The run whose id stands above; a click on an id in any table puts it there.",
        "completed, in one attempt.",
        query,
        _columns(),
        size=(24, 4),
    )


def _more() -> Panel:
    query = sql(
        'select trigger as "Trigger", scope as "Scope", crashes as "Crashes", missed as "Ticks it stands for",',
        '  worker_id as "Worker", correlation_id as "Correlation id", args::text as "Arguments",',
        '  counts::text as "Counts", progress::text as "Progress", parent_id as "Parent"',
        "from board.runs where id::text = '${run_id}'",
    )
    return ledger_table(
        "More of the run",
        "What asked for it, with which arguments (secrets are left out), and what it counted.",
        "no crashes, and the counts that you expect.",
        query,
        (
            Column("Parent", links=(to("runs", "The run that sent it", run_id=row("Parent")),)),
            Column("Crashes", width=80),
        ),
        size=(24, 4),
    )


def _attempts() -> Panel:
    query = sql(
        'select occurred_at as "When", attempt as "Attempt", kind as "Kind", error_type as "Error",',
        '  left(error, 300) as "Message", retryable as "Retryable", left(traceback, 2000) as "Traceback"',
        "from board.failures where run_id::text = '${run_id}'",
        "order by occurred_at",
    )
    return ledger_table(
        "Its failed attempts",
        "Each attempt of that run that raised, with its traceback.",
        "an empty table.",
        query,
        _ATTEMPT_COLUMNS,
        size=(24, 5),
    )
