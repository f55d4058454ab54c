"""What is left of each error budget: shown first on the overview and on the dashboard of the service levels."""

from __future__ import annotations

from typing import TYPE_CHECKING

from observability.dashboards.links import field, to
from observability.dashboards.panels import bad_below, bar_gauge
from observability.dashboards.query import instant

if TYPE_CHECKING:
    from grafana_foundation_sdk.models.dashboard import Panel

__all__ = ["budgets"]


def budgets(size: tuple[int, int], at: str = 'slo=~".+"') -> Panel:
    """One bar an objective."""
    spent = f"avg_over_time(slo:callboard_error:ratio_rate1h{{{at}}}[30d])"
    allowed = f"(1 - max by (slo) (callboard_slo_objective_ratio{{{at}}}))"
    return bar_gauge(
        "Error budget left, 30 days",
        "What is left of the bad runs that each objective allows in 30 days.",
        "above 25 %. At 0 the objective is missed.",
        instant(f"sort(clamp_min(1 - {spent} / on (slo) group_left () {allowed}, 0))", "{{slo}}"),
        unit="percentunit",
        thresholds=bad_below(0.1, 0.25),
        size=size,
        links=[to("slo", "The objective", slo=field("slo"))],
    )
