"""Every query of every panel, asked of a Prometheus that holds six hours with an incident, and of a real ledger."""

from __future__ import annotations

import math
import re
from contextlib import closing
from typing import TYPE_CHECKING, Any

import httpx
import pytest

from callboard.embedded._endpoints import connect
from tests.observability._history import blocks
from tests.observability._ledger import fill
from tests.observability._panels import Target, boards, marks, targets
from tests.observability._prometheus import ask, prometheus
from tests.observability._sql import SQL, expanded
from tests.observability._world import END, START

if TYPE_CHECKING:
    from collections.abc import Iterator

STEP = 60
_VALUES = {
    "$__rate_interval": "4m",
    "$__interval": "1m",
    "$__range": "6h",
    "$actor": "webhook.deliver",
    "$queue": ".+",
    "$schedule": ".+",
    "$slo": ".+",
    "$job": ".+",
}
_PROMQL = [target for target in targets() if target.expr]


def filled(expr: str) -> str:
    """The expression as Grafana sends it, with All chosen wherever one may choose all."""
    for name in sorted(_VALUES, key=len, reverse=True):
        expr = expr.replace(name, _VALUES[name])
    return expr


@pytest.fixture(scope="module")
def history(tmp_path_factory: pytest.TempPathFactory) -> Iterator[httpx.Client]:
    with (
        prometheus(blocks(tmp_path_factory.mktemp("history"), STEP)) as url,
        httpx.Client(base_url=url, timeout=30) as client,
    ):
        yield client


def numbers(series: list[Any]) -> list[float]:
    """All values of all series that are numbers."""
    found = [float(value) for each in series for _, value in each.get("values", [each.get("value")])]
    return [value for value in found if not math.isnan(value)]


@pytest.mark.parametrize("target", _PROMQL, ids=lambda target: target.id)
def test_a_panel_shows_something_that_night(history: httpx.Client, target: Target) -> None:
    expr = filled(target.expr)
    assert "$" not in expr
    found = ask(history, expr, START, END, step=STEP, instant=target.query.get("instant", False))
    assert numbers(found), f"no data: {expr}"


@pytest.mark.parametrize("target", marks()[:3], ids=lambda target: target.panel)
def test_the_incident_leaves_marks_on_the_time_axis(history: httpx.Client, target: Target) -> None:
    assert numbers(ask(history, filled(target.expr), START, END, step=STEP))


def test_a_picker_offers_values(history: httpx.Client) -> None:
    for board in boards().values():
        for variable in board["templating"]["list"]:
            if variable["type"] != "query":
                continue
            asked = re.fullmatch(r"label_values\((.+), (\w+)\)", variable["query"]["query"])
            assert asked
            found = ask(history, f"count by ({asked[2]}) ({filled(asked[1])})", START, END, instant=True)
            assert found, variable["name"]


def test_panels_that_are_alike_on_every_night_differ_in_the_incident(history: httpx.Client) -> None:
    late = "max(callboard_queue_oldest_ready_age_seconds / on (queue) group_left () callboard_queue_max_age_seconds)"
    course = numbers(ask(history, late, START, END, step=STEP))
    assert max(course[:200]) < 0.8
    assert course[-1] > 1


@pytest.mark.parametrize("target", SQL, ids=lambda target: target.id)
def test_the_ledger_answers_a_panel(postgres_url: str, target: Target) -> None:
    with closing(connect(postgres_url)) as connection:
        fill(connection)
        cursor = connection.execute(expanded(target.sql))
        assert cursor.fetchall(), f"no rows: {target.sql}"
        assert cursor.description
        assert len({column.name for column in cursor.description}) == len(cursor.description)
