"""Panels, apart from tables. Each says what it shows, and what it looks like when all is well.

Sizes are in Grafana's units: 24 columns to a row, 30 pixels and a gap to a unit of height.
"""

from __future__ import annotations

from typing import TYPE_CHECKING, TypeAlias

from grafana_foundation_sdk.models import bargauge, common, heatmap, stat, statetimeline, timeseries
from grafana_foundation_sdk.models.dashboard import (
    DashboardFieldConfigSourceOverrides,
    DynamicConfigValue,
    FieldColor,
    FieldColorModeId,
    FieldConfig,
    FieldConfigSource,
    GridPos,
    MatcherConfig,
    Panel,
    Threshold,
    ThresholdsConfig,
    ThresholdsMode,
    ValueMap,
    ValueMappingResult,
)
from grafana_foundation_sdk.models.prometheus import PromQueryFormat

from observability.dashboards.query import LEDGER, PROMETHEUS, SqlQuery, lettered

if TYPE_CHECKING:
    from collections.abc import Mapping, Sequence

    from grafana_foundation_sdk.models.prometheus import Dataquery as PrometheusQuery

    from observability.dashboards.links import DataLink

    Query: TypeAlias = PrometheusQuery | SqlQuery

__all__ = ["AMBER", "BLUE", "GREEN", "GREY", "RED", "bad_above", "bar_gauge", "coloured", "dashed", "heat_map"]
__all__ += [
    "bad_below",
    "exactly_one",
    "fields_of",
    "frame",
    "mapped",
    "override",
    "override_matching",
    "stat_panel",
    "states",
    "time_series",
]

GREEN, AMBER, RED, BLUE, GREY = "green", "orange", "red", "blue", "#8e8e99"


def bad_above(amber: float | None = None, red: float | None = None) -> ThresholdsConfig:
    """Green, then amber and red from these values on."""
    steps = [Threshold(None, GREEN)]
    steps += [Threshold(value, colour) for value, colour in ((amber, AMBER), (red, RED)) if value is not None]
    return ThresholdsConfig(ThresholdsMode.ABSOLUTE, steps)


def bad_below(red: float, amber: float) -> ThresholdsConfig:
    """Red, then amber and green from these values on."""
    steps = [Threshold(None, RED), Threshold(red, AMBER), Threshold(amber, GREEN)]
    return ThresholdsConfig(ThresholdsMode.ABSOLUTE, steps)


def plain(colour: str = BLUE) -> ThresholdsConfig:
    """One colour whatever the value: for numbers that are neither good nor bad by themselves."""
    return ThresholdsConfig(ThresholdsMode.ABSOLUTE, [Threshold(None, colour)])


def frame(
    kind: str,
    title: str,
    shows: str,
    good: str,
    queries: Sequence[Query],
    *,
    size: tuple[int, int],
    unit: str,
    links: Sequence[DataLink] = (),
) -> Panel:
    """A panel without the options of its kind; `size` is width and height, `links` are those of each value."""
    ledger = any(isinstance(query, SqlQuery) for query in queries)
    fields = FieldConfig(unit=unit, links=list(links) or None)
    return Panel(
        type_val=kind,
        title=title,
        description=f"{shows}\n\n**Good:** {good}",
        datasource=LEDGER if ledger else PROMETHEUS,
        targets=lettered(queries),
        grid_pos=GridPos(w=size[0], h=size[1]),
        field_config=FieldConfigSource(defaults=fields, overrides=[]),
    )


def fields_of(panel: Panel) -> FieldConfig:
    """The defaults of the panel's fields, to be added to."""
    assert panel.field_config is not None  # noqa: S101 - `frame` has set both
    assert panel.field_config.defaults is not None  # noqa: S101 - as above
    return panel.field_config.defaults


def override(panel: Panel, name: str, **properties: object) -> Panel:
    """Change fields of this name; a double underscore in a property's name stands for a dot."""
    return _overridden(panel, MatcherConfig("byName", name), properties)


def override_matching(panel: Panel, pattern: str, **properties: object) -> Panel:
    """The same for fields whose names match the regular expression."""
    return _overridden(panel, MatcherConfig("byRegexp", f"/{pattern}/"), properties)


def _overridden(panel: Panel, matcher: MatcherConfig, properties: Mapping[str, object]) -> Panel:
    values = [DynamicConfigValue(key.replace("__", "."), value) for key, value in properties.items()]
    assert panel.field_config is not None  # noqa: S101 - `frame` has set it
    assert panel.field_config.overrides is not None  # noqa: S101 - as above
    panel.field_config.overrides.append(DashboardFieldConfigSourceOverrides(matcher=matcher, properties=values))
    return panel


def coloured(panel: Panel, colours: Mapping[str, str]) -> Panel:
    """Give each series of these names its colour, the same on every dashboard."""
    for name, colour in colours.items():
        override(panel, name, color={"mode": "fixed", "fixedColor": colour})
    return panel


def dashed(panel: Panel, name: str, colour: str = RED) -> Panel:
    """Draw series whose names match as a dashed line without area: a limit, a promise, last week."""
    look: dict[str, object] = {
        "custom__lineStyle": {"fill": "dash", "dash": [8, 6]},
        "custom__fillOpacity": 0,
        "custom__lineWidth": 2,
        "color": {"mode": "fixed", "fixedColor": colour},
    }
    return override_matching(panel, name, **look)


def mapped(panel: Panel, texts: Mapping[str, tuple[str, str]]) -> Panel:
    """Show values as words: value to word and colour."""
    results = {
        value: ValueMappingResult(text=text, color=colour, index=index)
        for index, (value, (text, colour)) in enumerate(texts.items())
    }
    fields_of(panel).mappings = [ValueMap(options=results)]
    return panel


def time_series(
    title: str,
    shows: str,
    good: str,
    *queries: Query,
    unit: str = "short",
    size: tuple[int, int] = (12, 8),
    stack: bool = False,
    links: Sequence[DataLink] = (),
    calcs: Sequence[str] = ("lastNotNull", "max"),
) -> Panel:
    """Lines over time, or stacked areas; the legend is a table of the last and highest values."""
    panel = frame("timeseries", title, shows, good, queries, size=size, unit=unit, links=links)
    legend = common.VizLegendOptions(
        display_mode=common.LegendDisplayMode.TABLE, placement=common.LegendPlacement.BOTTOM, calcs=list(calcs)
    )
    legend.show_legend, legend.sort_by, legend.sort_desc = True, "Max", True
    tooltip = common.VizTooltipOptions(common.TooltipDisplayMode.MULTI, common.SortOrder.DESCENDING)
    panel.options = timeseries.Options(legend=legend, tooltip=tooltip)
    look = timeseries.FieldConfig(
        line_width=1, fill_opacity=40 if stack else 6, show_points=common.VisibilityMode.NEVER
    )
    look.stacking = common.StackingConfig(common.StackingMode.NORMAL, "A") if stack else None
    fields_of(panel).custom, fields_of(panel).min_val = look, 0
    fields_of(panel).color = FieldColor(FieldColorModeId.PALETTE_CLASSIC_BY_NAME)
    return panel


def stat_panel(  # noqa: PLR0913 - keywords, one per thing that is chosen per panel
    title: str,
    shows: str,
    good: str,
    query: Query,
    *,
    unit: str = "short",
    thresholds: ThresholdsConfig | None = None,
    size: tuple[int, int] = (4, 4),
    links: Sequence[DataLink] = (),
    no_value: str = "-",
    decimals: int | None = None,
) -> Panel:
    """One number, the last of the range, with its course behind it."""
    panel = frame("stat", title, shows, good, [query], size=size, unit=unit, links=links)
    panel.options = stat.Options(
        graph_mode=common.BigValueGraphMode.AREA,
        color_mode=common.BigValueColorMode.BACKGROUND_SOLID if thresholds else common.BigValueColorMode.NONE,
        reduce_options=common.ReduceDataOptions(calcs=["lastNotNull"], fields="", values=False),
    )
    fields = fields_of(panel)
    fields.thresholds, fields.no_value, fields.decimals = thresholds or plain(), no_value, decimals
    fields.color = FieldColor(FieldColorModeId.THRESHOLDS)
    return panel


def bar_gauge(  # noqa: PLR0913 - keywords, one per thing that is chosen per panel
    title: str,
    shows: str,
    good: str,
    query: Query,
    *,
    unit: str,
    thresholds: ThresholdsConfig,
    limits: tuple[float, float] = (0, 1),
    size: tuple[int, int] = (12, 7),
    links: Sequence[DataLink] = (),
) -> Panel:
    """One bar a series."""
    panel = frame("bargauge", title, shows, good, [query], size=size, unit=unit, links=links)
    panel.options = bargauge.Options(
        orientation=common.VizOrientation.HORIZONTAL,
        display_mode=common.BarGaugeDisplayMode.BASIC,
        reduce_options=common.ReduceDataOptions(calcs=["lastNotNull"], fields="", values=False),
    )
    fields = fields_of(panel)
    fields.thresholds, (fields.min_val, fields.max_val) = thresholds, limits
    fields.color = FieldColor(FieldColorModeId.THRESHOLDS)
    return panel


def heat_map(title: str, shows: str, good: str, query: PrometheusQuery, *, size: tuple[int, int] = (12, 8)) -> Panel:
    """The buckets of a histogram over time; the query must be of the form `sum by (le) (rate(…_bucket…))`."""
    query.format_val, query.legend_format = PromQueryFormat.HEATMAP, "{{le}}"
    panel = frame("heatmap", title, shows, good, [query], size=size, unit="short")
    panel.options = heatmap.Options(
        calculate=False,
        color=heatmap.HeatmapColorOptions(
            heatmap.HeatmapColorMode.SCHEME, "Oranges", "dark-orange", heatmap.HeatmapColorScale.EXPONENTIAL, 0.5, 32
        ),
        y_axis=heatmap.YAxisConfig(unit="s"),
        cell_gap=1,
        exemplars=heatmap.ExemplarConfig("rgba(255,0,255,0.7)"),
    )
    return panel


def states(
    title: str, shows: str, good: str, *queries: Query, texts: Mapping[str, tuple[str, str]], size: tuple[int, int]
) -> Panel:
    """A band a series, in the colour of its state at each moment."""
    panel = frame("state-timeline", title, shows, good, queries, size=size, unit="short")
    panel.options = statetimeline.Options(
        show_value=common.VisibilityMode.NEVER,
        merge_values=True,
        row_height=0.85,
        legend=common.VizLegendOptions(
            display_mode=common.LegendDisplayMode.LIST, placement=common.LegendPlacement.BOTTOM, calcs=[]
        ),
    )
    panel.options.legend.show_legend = True
    fields = fields_of(panel)
    fields.custom = statetimeline.FieldConfig(line_width=0, fill_opacity=80)
    fields.color, fields.thresholds = FieldColor(FieldColorModeId.FIXED), plain(GREEN)
    return mapped(panel, texts)


def exactly_one() -> ThresholdsConfig:
    """Red below 1 and from 2 on."""
    steps = [Threshold(None, RED), Threshold(1, GREEN), Threshold(2, RED)]
    return ThresholdsConfig(ThresholdsMode.ABSOLUTE, steps)
