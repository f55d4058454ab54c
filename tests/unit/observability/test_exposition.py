"""The fast encoders against prometheus_client's: the same samples, whatever stands in a label."""

from __future__ import annotations

import math
from typing import TYPE_CHECKING

import pytest
from prometheus_client.core import CounterMetricFamily, GaugeMetricFamily
from prometheus_client.exposition import generate_latest
from prometheus_client.openmetrics.exposition import generate_latest as generate_openmetrics
from prometheus_client.openmetrics.parser import text_string_to_metric_families as parse_openmetrics
from prometheus_client.parser import text_string_to_metric_families as parse_text
from prometheus_client.registry import Collector, CollectorRegistry

from observability.exposition import choose_any, choose_plain, openmetrics, text

if TYPE_CHECKING:
    from collections.abc import Iterator

    from prometheus_client.metrics_core import Metric

NASTY = ["", "plain", 'a "quote"', "back\\slash", "two\nlines", "trailing\\", "käse 💡", '\\"', "{a=b},c", "\\n"]


class Everything(Collector):
    def collect(self) -> Iterator[Metric]:
        gauge = GaugeMetricFamily("queue_depth", 'A gauge with a \\ and\na "line".', labels=["queue", "state"])
        for place, name in enumerate(NASTY):
            gauge.add_metric([name, "ready"], place / 3)
        yield gauge
        counter = CounterMetricFamily("missed", "A counter.", labels=["schedule"])
        for place, name in enumerate(NASTY):
            counter.add_metric([name], 10.0**place)
        yield counter
        yield GaugeMetricFamily("rows", "Without labels.", value=1e300)
        for name, value in (("much", math.inf), ("little", -math.inf), ("nothing", math.nan)):
            yield GaugeMetricFamily(name, "No number.", value=value)


@pytest.fixture
def registry() -> CollectorRegistry:
    made = CollectorRegistry()
    made.register(Everything())
    return made


def test_the_text_format_says_the_same_as_the_library(registry: CollectorRegistry) -> None:
    ours, theirs = (list(parse_text(body.decode())) for body in (text(registry), generate_latest(registry)))
    assert repr(ours) == repr(theirs)
    assert len(ours) == 6


def test_openmetrics_says_the_same_as_the_library(registry: CollectorRegistry) -> None:
    bodies = openmetrics(registry), generate_openmetrics(registry)  # type: ignore[no-untyped-call]  # it bears no annotations
    ours, theirs = (list(parse_openmetrics(body.decode())) for body in bodies)  # type: ignore[no-untyped-call]  # it bears no annotations
    assert repr(ours) == repr(theirs)
    assert [len(family.samples) for family in ours] == [len(NASTY), len(NASTY), 1, 1, 1, 1]


@pytest.mark.parametrize(
    ("accept", "encode"),
    [
        ("application/openmetrics-text;version=1.0.0;q=0.8,text/plain;version=0.0.4;q=0.2", openmetrics),
        ("text/plain;version=0.0.4", text),
        ("*/*", text),
        ("", text),
        ("text/plain;version=zzz", text),
    ],
)
def test_the_format_is_the_one_that_was_asked_for(accept: str, encode: object) -> None:
    chosen, content_type = choose_plain(accept)
    assert chosen is encode
    assert content_type == choose_any(accept)[1]
