"""What was promised, what is left of the budget, and who uses it up."""

from __future__ import annotations

from typing import TYPE_CHECKING

from observability.dashboards import palette
from observability.dashboards.budget import budgets
from observability.dashboards.links import field, row, to
from observability.dashboards.page import Page, Row
from observability.dashboards.panels import bad_above, bad_below, coloured, dashed, time_series
from observability.dashboards.query import quantile, series
from observability.dashboards.table import Column, table
from observability.dashboards.variables import slos

if TYPE_CHECKING:
    from grafana_foundation_sdk.models.dashboard import Panel

    from observability.rules.config import ObservabilityConfig

_AT = 'slo=~"$slo"'
_OBJECTIVE = f"max by (slo) (callboard_slo_objective_ratio{{{_AT}}})"
_FASTEST = {"1h": 14.4, "6h": 6.0, "1d": 3.0, "3d": 1.0}


def page(config: ObservabilityConfig) -> Page:  # noqa: ARG001 - every page is handed the settings
    """The dashboard."""
    return Page(
        "slo",
        "Service levels",
        "What was promised, what is left of the budget of bad runs, how fast it goes, and who uses it up.",
        (
            Row("Now", (budgets((10, 9), _AT), _table())),
            Row("How fast it goes", (_burn("1h"), _burn("6h"), _burn("1d"), _burn("3d"))),
            Row("Who uses it up", (_events(), _short(), _bad_jobs(), _slow())),
        ),
        (slos(),),
        hours=24,
    )


def _burnt(window: str) -> str:
    return f"slo:callboard_error:ratio_rate{window}{{{_AT}}} / on (slo) group_left () (1 - {_OBJECTIVE})"


def _table() -> Panel:
    left = (
        f"1 - avg_over_time(slo:callboard_error:ratio_rate1h{{{_AT}}}[30d]) / on (slo) group_left () (1 - {_OBJECTIVE})"
    )
    events = f"sum by (slo) (increase(callboard_slo_events_total{{{_AT}%s}}[$__range]))"
    burns = [
        Column(
            f"Burn {window}",
            f"max by (slo) ({_burnt(window)})",
            "suffix:x",
            bad_above(1, fastest),
            decimals=1,
            width=90,
        )
        for window, fastest in _FASTEST.items()
    ]
    return table(
        "Objectives",
        "Burn is how many times faster than allowed the budget goes; amber beyond 1, red where an alert begins.",
        "budget left, and every burn below 1.",
        {"slo": Column("Objective", links=(to("slo", "This objective alone", slo=row("Objective")),))},
        [
            Column("Promised", _OBJECTIVE, "percentunit", width=90),
            Column("Budget left", left, "percentunit", bad_below(0.1, 0.25), decimals=0, width=100),
            *burns,
            Column("Runs", events % "", unit="locale", decimals=0, width=90),
            Column("Bad", events % ',result="bad"', unit="locale", decimals=0, width=80),
        ],
        size=(14, 9),
        sort="Burn 1h",
    )


def _burn(window: str) -> Panel:
    panel = time_series(
        f"Burn over {window}",
        f"Bad runs of the last {window} as a multiple of what the objective allows. Dashed, where the alert begins.",
        "below 1.",
        series(_burnt(window), "{{slo}}"),
        series(f"vector({_FASTEST[window]})", "alert"),
        unit="suffix:x",
        links=[to("slo", "This objective alone", slo=field("slo"))],
    )
    return dashed(panel, "^alert$")


def _events() -> Panel:
    rate = f"sum by (result) (rate(callboard_slo_events_total{{{_AT}}}[$__rate_interval]))"
    panel = time_series(
        "Good and bad runs",
        "Runs that ended for good, per second: good ones succeeded within their objective's time.",
        "green.",
        series(rate, "{{result}}"),
        unit="ops",
        stack=True,
    )
    return coloured(panel, palette.EVENTS)


def _short() -> Panel:
    panel = time_series(
        "Error ratio over 5 and 30 minutes, 2 hours",
        "Short windows say whether it is still going on; dashed, what the objectives allow in the long run.",
        "at 0 most of the time.",
        series(f"max(slo:callboard_error:ratio_rate5m{{{_AT}}})", "worst, 5 min"),
        series(f"max(slo:callboard_error:ratio_rate30m{{{_AT}}})", "worst, 30 min"),
        series(f"max(slo:callboard_error:ratio_rate2h{{{_AT}}})", "worst, 2 h"),
        series(f"min(1 - {_OBJECTIVE})", "allowed by the strictest"),
        unit="percentunit",
    )
    panel = coloured(panel, {"worst, 5 min": "red", "worst, 30 min": "orange", "worst, 2 h": "yellow"})
    return dashed(panel, "^allowed.*", "blue")


def _bad_jobs() -> Panel:
    bad = 'round(sum by (actor) (increase(callboard_finished_total{result=~"failed|expired"}[$__range]))) > 0'
    return table(
        "Jobs whose runs failed",
        "Runs that failed for good or expired in the time range, of all jobs.",
        "an empty table.",
        {"actor": Column("Job", links=(to("job", "The job", actor=row("Job")),))},
        [Column("Failed", f"topk(10, {bad})", unit="locale", decimals=0, width=110)],
        size=(12, 8),
        sort="Failed",
    )


def _slow() -> Panel:
    return time_series(
        "Creation to end, p99, by queue",
        "Runs that succeed too late are bad runs too: this is their time.",
        "below the `within` of the objectives.",
        series(quantile(0.99, "callboard_end_to_end_seconds", "queue"), "{{queue}}", exemplars=True),
        unit="s",
        links=[to("queue", "The queue", queue=field("queue"))],
    )
