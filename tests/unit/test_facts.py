"""JSON for the ledger: nothing that a job reports may keep its run from being written."""

from __future__ import annotations

import json
from typing import Any

import pytest

from callboard.ledger.facts import dumps, readable


@pytest.mark.parametrize(
    ("value", "read"),
    [
        ("nul \x00\x00 gone", "nul  gone"),
        ("the letters \\u0000 stay", "the letters \\u0000 stay"),
        ("\\\x00", "\\"),
        ({"half": "\ud800", "n": 1.5, "none": None}, {"half": "\\ud800", "n": 1.5, "none": None}),
        ([2**63 - 1, 2**64], [2**63 - 1, str(2**64)]),
        ({1: (True, "x")}, {"1": [True, "x"]}),
        (float("nan"), None),
    ],
)
def test_what_json_or_postgres_cannot_hold_is_told_in_words(value: Any, read: Any) -> None:  # noqa: ANN401 - any JSON
    assert json.loads(dumps(value) or "") == read


def test_what_refers_to_itself_ends() -> None:
    knot: list[object] = ["\ud800"]
    knot.append(knot)
    assert "\\\\ud800" in (dumps(knot) or "")


def test_none_is_sqls_null() -> None:
    assert dumps(None) is None


def test_readable_text_keeps_every_letter() -> None:
    assert readable("grün \x00\udcff") == "grün \\udcff"
