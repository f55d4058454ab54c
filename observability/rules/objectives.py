"""Alerts on error budgets: pairs of windows, as in the Site Reliability Workbook, chapter 5.

A pair fires when the budget burns `factor` times as fast as it may, over a long window and still over a short one. With
few events one failure is a large share, so there must have been `slo_min_events` in the long window.
"""

from __future__ import annotations

from typing import TYPE_CHECKING, NamedTuple

from observability.rules.alert import Alert
from observability.rules.promql import Query, tidy

if TYPE_CHECKING:
    from collections.abc import Iterator

    from observability.rules.alert import Severity
    from observability.rules.config import ObservabilityConfig

__all__ = ["PAIRS", "Pair", "alerts"]


class Pair(NamedTuple):
    """Two windows, how much faster than allowed the budget burns, and what share of 30 days' budget that costs."""

    name: str
    severity: Severity
    long: str
    short: str
    factor: float
    wait: str
    share: str


PAIRS = (
    Pair("CallboardErrorBudgetBurnFast", "critical", "1h", "5m", 14.4, "2m", "2 %"),
    Pair("CallboardErrorBudgetBurnFast", "critical", "6h", "30m", 6, "15m", "5 %"),
    Pair("CallboardErrorBudgetBurnSlow", "warning", "1d", "2h", 3, "1h", "10 %"),
    Pair("CallboardErrorBudgetBurnSlow", "warning", "3d", "6h", 1, "3h", "10 %"),
)


def alerts(config: ObservabilityConfig) -> Iterator[Alert]:
    """One alert a pair; the objectives themselves are series, so new ones need no new rule."""
    query = Query(config)
    return (_burn(query, pair) for pair in PAIRS)


def _burn(query: Query, pair: Pair) -> Alert:
    allowed = f"{pair.factor:g} * (1 - max by (slo) ({query('slo_objective_ratio')}))"
    return Alert(
        name=pair.name,
        severity=pair.severity,
        wait=pair.wait,
        expr=tidy(f"""
            slo:callboard_error:ratio_rate{pair.long} > on (slo) {allowed}
            and on (slo)
            slo:callboard_error:ratio_rate{pair.short} > on (slo) {allowed}
            and on (slo)
            slo:callboard_events:increase{pair.long} >= {query.config.slo_min_events}
        """),
        summary="An objective's error budget burns too fast."
        if pair.severity == "critical"
        else "An objective's error budget will not last.",
        description=f"{{{{ $value | humanizePercentage }}}} of the runs of {{{{ $labels.slo }}}} were bad over "
        f"{pair.long}, more than {pair.factor:g} times what its objective allows: {pair.share} of 30 days' budget goes "
        f"in {pair.long}.",
        command='callboard runs --{{ if match "^queue:" $labels.slo }}queue{{ else }}job{{ end }} '
        '{{ reReplaceAll "^queue:" "" $labels.slo }} --state failed',
        dashboard="callboard-slo",
        link=("slo",),
        labels={"window": pair.long},
    )
