"""Queries of panels: PromQL and SQL, with the data source as a variable and the scrape job in every selector."""

from __future__ import annotations

import re
from dataclasses import dataclass
from typing import TYPE_CHECKING

from grafana_foundation_sdk.cog.variants import Dataquery
from grafana_foundation_sdk.models.common import DataSourceRef
from grafana_foundation_sdk.models.prometheus import Dataquery as PrometheusQuery
from grafana_foundation_sdk.models.prometheus import PromQueryFormat

if TYPE_CHECKING:
    from collections.abc import Iterable

__all__ = [
    "LEDGER",
    "PROMETHEUS",
    "SqlQuery",
    "cell",
    "instant",
    "lettered",
    "or_none",
    "quantile",
    "ratio",
    "scoped",
    "series",
    "sql",
]

PROMETHEUS = DataSourceRef("prometheus", "${datasource}")
LEDGER = DataSourceRef("grafana-postgresql-datasource", "${ledger}")

#: A metric as processes serve it; recording rules have a colon before the prefix, and no label `job` to select by.
_SERVED = re.compile(r"(?<![\w:])(?P<name>callboard_\w+)(?![\w:])(?P<brace>\{)?")


def scoped(expr: str) -> str:
    """The expression with `job=~"$job"` in the selector of every metric that is scraped from our processes."""

    def put(found: re.Match[str]) -> str:
        return f'{found["name"]}{{job=~"$job"' + ("," if found["brace"] else "}")

    return _SERVED.sub(put, " ".join(expr.split()))


def series(expr: str, legend: str = "__auto", *, exemplars: bool = False) -> PrometheusQuery:
    """A query over the dashboard's time range."""
    return PrometheusQuery(
        expr=scoped(expr),
        legend_format=legend,
        range_val=True,
        instant=False,
        exemplar=exemplars or None,
        datasource=PROMETHEUS,
    )


def instant(expr: str, legend: str = "__auto") -> PrometheusQuery:
    """A query at the end of the time range, one number a series."""
    query = series(expr, legend)
    query.range_val, query.instant = False, True
    return query


def cell(expr: str) -> PrometheusQuery:
    """A column of a table: the labels are the rows' keys."""
    query = instant(expr, "")
    query.format_val = PromQueryFormat.TABLE
    return query


def quantile(share: float, histogram: str, by: str = "", where: str = "") -> str:
    """PromQL for a quantile of a histogram of the catalogue, e.g. of `callboard_queue_wait_seconds`."""
    labels = f"le, {by}" if by else "le"
    selector = f"{{{where}}}" if where else ""
    return f"histogram_quantile({share}, sum by ({labels}) (rate({histogram}_bucket{selector}[$__rate_interval])))"


def or_none(expr: str, label: str) -> str:
    """The series above 0; while there is none, a line at 0 that is called `none`, so that quiet is not "no data"."""
    return f'({expr}) > 0 or label_replace(vector(0), "{label}", "none", "", "")'


def ratio(part: str, whole: str) -> str:
    """PromQL for part of whole."""
    return f"({part}) / ({whole})"


@dataclass
class SqlQuery(Dataquery):
    """What Grafana's Postgres data source asks; the SDK knows no SQL data source.

    Attributes:
        raw_sql: With Grafana's macros and variables.
        format: `table`, or `time_series` for rows of (time, metric, value).
        ref_id: Set by the panel.
    """

    raw_sql: str
    format: str = "table"
    ref_id: str = "A"

    def to_json(self) -> dict[str, object]:
        """As the data source stores it."""
        return {
            "refId": self.ref_id,
            "datasource": LEDGER.to_json(),
            "editorMode": "code",
            "format": self.format,
            "rawQuery": True,
            "rawSql": self.raw_sql,
        }

    @classmethod
    def from_json(cls, data: dict[str, object]) -> SqlQuery:
        """The query that `to_json` wrote."""
        return cls(str(data["rawSql"]), str(data["format"]), str(data["refId"]))


def sql(*lines: str, over_time: bool = False) -> SqlQuery:
    """A query on the ledger."""
    return SqlQuery("\n".join(lines), "time_series" if over_time else "table")


def lettered(queries: Iterable[PrometheusQuery | SqlQuery]) -> list[Dataquery]:
    """The queries with refIds A, B, C, as panels name their queries."""
    named: list[Dataquery] = []
    for letter, query in zip("ABCDEFGHIJKLMNOPQRSTUVWXYZ", queries, strict=False):
        query.ref_id = letter
        named.append(query)
    return named
