"""What all dashboards have in common: variables, annotations, the menu, and where the panels stand."""

from __future__ import annotations

import json
from dataclasses import dataclass, field
from typing import TYPE_CHECKING

from grafana_foundation_sdk.cog.encoder import JSONEncoder
from grafana_foundation_sdk.models.dashboard import (
    AnnotationContainer,
    AnnotationQuery,
    Dashboard,
    DashboardCursorSync,
    DashboardDashboardTemplating,
    DashboardDashboardTime,
    GridPos,
    Panel,
    RowPanel,
)

from observability.dashboards.links import TAG, toolbar
from observability.dashboards.query import PROMETHEUS, scoped
from observability.dashboards.variables import ledger, prometheus, scrape_job

if TYPE_CHECKING:
    from collections.abc import Iterator

    from grafana_foundation_sdk.models.dashboard import VariableModel

    from observability.rules.config import ObservabilityConfig

__all__ = ["Page", "Row", "to_json"]

_COLUMNS = 24


@dataclass(frozen=True)
class Row:
    """Panels under a heading."""

    title: str
    panels: tuple[Panel, ...]


@dataclass(frozen=True)
class Page:
    """One dashboard.

    Attributes:
        name: Its uid is `callboard-<name>`.
        title: For people.
        about: What it answers.
        rows: From top to bottom.
        variables: Those beyond data source and scrape job.
        on_ledger: Whether panels ask Postgres.
        hours: The time range it opens with.
    """

    name: str
    title: str
    about: str
    rows: tuple[Row, ...]
    variables: tuple[VariableModel, ...] = field(default_factory=tuple)
    on_ledger: bool = False
    hours: int = 6

    @property
    def uid(self) -> str:
        """By which links and alerts name it, for good."""
        return f"callboard-{self.name}"


def to_json(page: Page, config: ObservabilityConfig) -> str:
    """The dashboard as Grafana imports and provisions it."""
    given = [prometheus(), scrape_job(config), *([ledger()] if page.on_ledger else []), *page.variables]
    dashboard = Dashboard(
        uid=page.uid,
        title=f"Callboard / {page.title}",
        description=page.about,
        tags=[TAG],
        timezone="utc",
        editable=False,
        graph_tooltip=DashboardCursorSync.CROSSHAIR,
        time=DashboardDashboardTime(f"now-{page.hours}h", "now"),
        refresh="30s",
        panels=list(_placed(page.rows)),
        templating=DashboardDashboardTemplating(given),
        annotations=AnnotationContainer(_annotations()),
        links=toolbar(),
    )
    return json.dumps(dashboard, cls=JSONEncoder, indent=2, ensure_ascii=False) + "\n"


def _placed(rows: tuple[Row, ...]) -> Iterator[Panel | RowPanel]:
    """Panels side by side as long as there is room, each with an id of its own."""
    number, top = 0, 0
    for row in rows:
        number += 1
        yield RowPanel(title=row.title, grid_pos=GridPos(1, _COLUMNS, 0, top), id_val=number, panels=[])
        left, top, height = 0, top + 1, 0
        for panel in row.panels:
            number += 1
            panel.id_val = number
            assert panel.grid_pos is not None  # noqa: S101 - `frame` has set its size
            if left + panel.grid_pos.w > _COLUMNS:
                left, top, height = 0, top + height, 0
            panel.grid_pos.x, panel.grid_pos.y = left, top
            left, height = left + panel.grid_pos.w, max(height, panel.grid_pos.h)
            yield panel
        top += height


def _annotations() -> list[AnnotationQuery]:
    builds = "count by (version, revision) (callboard_worker_build_info)"
    deploys = f"{builds} unless {builds.replace('info)', 'info offset 2m)')}"
    alerts = 'ALERTS{alertname=~"Callboard.*",alertstate="firing",severity!="none"}'
    missed = "sum by (schedule, reason) (increase(callboard_schedule_missed_total[2m])) > 0"
    return [
        _annotation("Deploys", "blue", deploys, "{{version}} {{revision}} deployed"),
        _annotation("Firing alerts", "red", alerts, "{{alertname}}", "{{queue}} {{schedule}} {{actor}} {{slo}}"),
        _annotation("Missed ticks", "orange", missed, "{{schedule}} missed a tick: {{reason}}"),
    ]


def _annotation(name: str, colour: str, expr: str, title: str, text: str = "") -> AnnotationQuery:
    return AnnotationQuery(
        name=name,
        datasource=PROMETHEUS,
        enable=True,
        icon_color=colour,
        expr=scoped(expr),
        title_format=title,
        text_format=text,
        step="60s",
    )
