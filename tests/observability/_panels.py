"""The built dashboards, taken apart for the tests."""

from __future__ import annotations

import json
import re
from dataclasses import dataclass
from functools import cache
from typing import TYPE_CHECKING, Any

from observability.dashboards.build import render
from observability.rules.config import ObservabilityConfig

if TYPE_CHECKING:
    from collections.abc import Iterator

#: Words and functions of PromQL are followed by a bracket or are in this list; all else is a metric or a label.
_METRIC = re.compile(r"(?<![\w:$\"])((?:\w+:)?(?:callboard|redis|pg)_[a-zA-Z_0-9]+(?::\w+)?)(?![\w\"])")


@dataclass(frozen=True)
class Target:
    """One query of one panel."""

    board: str
    panel: str
    query: dict[str, Any]

    @property
    def expr(self) -> str:
        return str(self.query.get("expr", ""))

    @property
    def sql(self) -> str:
        return str(self.query.get("rawSql", ""))

    @property
    def id(self) -> str:
        return f"{self.board.removeprefix('callboard-')}: {self.panel} {self.query['refId']}"


@cache
def boards() -> dict[str, dict[str, Any]]:
    """Uid to dashboard, as built with the default settings."""
    texts = render(ObservabilityConfig())
    return {name.removesuffix(".json"): json.loads(text) for name, text in texts.items()}


def panels(board: dict[str, Any]) -> list[dict[str, Any]]:
    """Without the headings."""
    return [panel for panel in board["panels"] if panel["type"] != "row"]


def every_panel() -> Iterator[tuple[str, dict[str, Any]]]:
    """Of all dashboards, with the dashboard's uid."""
    for uid, board in boards().items():
        for panel in panels(board):
            yield uid, panel


def targets() -> list[Target]:
    """Every query of every panel."""
    return [Target(uid, panel["title"], query) for uid, panel in every_panel() for query in panel["targets"]]


def marks() -> list[Target]:
    """Every query that puts marks on the time axis."""
    return [
        Target(uid, mark["name"], {"refId": "", **mark})
        for uid, board in boards().items()
        for mark in board["annotations"]["list"]
    ]


def metrics_of(expr: str) -> set[str]:
    """Names of ours and of the servers' exporters in an expression; recorded ones keep their colons."""
    return set(_METRIC.findall(expr))


def links(value: object) -> Iterator[str]:
    """Every address anywhere in the JSON."""
    if isinstance(value, dict):
        url = value.get("url")
        if isinstance(url, str):
            yield url
        for inner in value.values():
            yield from links(inner)
    elif isinstance(value, list):
        for inner in value:
            yield from links(inner)
