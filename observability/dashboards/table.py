"""Tables: columns of PromQL joined over their labels, or the rows of one SQL query."""

from __future__ import annotations

from dataclasses import dataclass
from typing import TYPE_CHECKING

from grafana_foundation_sdk.models import common
from grafana_foundation_sdk.models import table as sdk
from grafana_foundation_sdk.models.dashboard import DataTransformerConfig, Panel, Threshold, ThresholdsConfig

from observability.dashboards.panels import GREEN, fields_of, frame, override
from observability.dashboards.query import SqlQuery, cell

if TYPE_CHECKING:
    from collections.abc import Iterator, Mapping, Sequence

    from observability.dashboards.links import DataLink

__all__ = ["Column", "ledger_table", "table"]


@dataclass(frozen=True)
class Column:
    """One column.

    Attributes:
        name: Its head.
        expr: PromQL of its value, with exactly the table's keys as labels; empty for a key, or a column of SQL.
        unit: Of the value.
        thresholds: Colour the cell.
        links: Of the cell.
        width: In pixels; 0 is what is left over.
        words: Value to (word, colour).
        decimals: Shown behind the point; None: as many as matter.
    """

    name: str
    expr: str = ""
    unit: str = "short"
    thresholds: ThresholdsConfig | None = None
    links: tuple[DataLink, ...] = ()
    width: int = 0
    words: tuple[tuple[str, str, str], ...] = ()
    decimals: int | None = None


def table(
    title: str,
    shows: str,
    good: str,
    keys: Mapping[str, Column],
    columns: Sequence[Column],
    *,
    size: tuple[int, int],
    sort: str,
    falling: bool = True,
) -> Panel:
    """One row per set of labels `keys`, with a column per expression; highest of `sort` first, or lowest."""
    panel = frame("table", title, shows, good, [cell(column.expr) for column in columns], size=size, unit="short")
    panel.transformations = [
        DataTransformerConfig(id_val="merge", options={}),
        DataTransformerConfig(id_val="organize", options=_order(keys, columns)),
    ]
    return _finished(panel, [*keys.values(), *columns], sort, falling=falling)


def ledger_table(
    title: str,
    shows: str,
    good: str,
    query: SqlQuery,
    columns: Sequence[Column],
    *,
    size: tuple[int, int],
    sort: str = "",
) -> Panel:
    """The rows of a query; its columns are named for people, and `columns` say which want more than text."""
    panel = frame("table", title, shows, good, [query], size=size, unit="none")
    return _finished(panel, [column for column in columns if f'"{column.name}"' in query.raw_sql], sort)


def _order(keys: Mapping[str, Column], columns: Sequence[Column]) -> dict[str, object]:
    """Grafana names the value of the only query `Value`, those of several `Value #A`, `Value #B`."""
    values = {f"Value #{letter}": column.name for letter, column in zip("ABCDEFGHIJKLMNOP", columns, strict=False)}
    names = {label: column.name for label, column in keys.items()} | values
    if len(columns) == 1:
        names["Value"] = columns[0].name
    return {
        "excludeByName": {"Time": True},
        "renameByName": names,
        "indexByName": {name: place for place, name in enumerate(names)},
        "includeByName": {},
    }


def _finished(panel: Panel, columns: Sequence[Column], sort: str, *, falling: bool = True) -> Panel:
    order = [common.TableSortByFieldState(sort, desc=falling)] if sort else None
    panel.options = sdk.Options(show_header=True, sort_by=order, cell_height=common.TableCellHeight.SM)
    fields_of(panel).custom = common.TableFieldOptions(filterable=True)
    fields_of(panel).no_value = "-"
    for column in columns:
        if looks := dict(_looks(column)):
            override(panel, column.name, **looks)
    return panel


#: A cell without a value is no good news, and no bad.
_NOTHING = {"type": "special", "options": {"match": "null", "result": {"text": "-", "color": "transparent"}}}


def _calm(thresholds: ThresholdsConfig) -> dict[str, object]:
    """The same without green: in a table only what is wrong has a colour."""
    steps = [Threshold(step.value, step.color.replace(GREEN, "transparent")) for step in thresholds.steps or []]
    return ThresholdsConfig(thresholds.mode, steps).to_json()


def _looks(column: Column) -> Iterator[tuple[str, object]]:
    if column.unit not in ("short", "none"):
        yield "unit", column.unit
    if column.decimals is not None:
        yield "decimals", column.decimals
    if column.thresholds:
        yield "thresholds", _calm(column.thresholds)
        yield "mappings", [_NOTHING]
        yield "custom__cellOptions", {"type": "color-background", "mode": "basic"}
    if column.words:
        results = {
            value: {"text": text, "color": colour, "index": place}
            for place, (value, text, colour) in enumerate(column.words)
        }
        yield "mappings", [{"type": "value", "options": results}]
        yield "custom__cellOptions", {"type": "color-background", "mode": "basic"}
    if column.links:
        yield "links", [link.to_json() for link in column.links]
    if column.width:
        yield "custom__width", column.width
