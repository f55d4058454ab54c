"""Times, arguments and columns: how values are read and written."""

from __future__ import annotations

import json
from datetime import UTC, datetime, timedelta, timezone
from typing import Any
from uuid import UUID

import pytest
from rich.console import Console
from rich.text import Text

from callboard.arguments import parse_arguments
from callboard.errors import ArgumentsError
from callboard.exits import Exit
from callboard.inline import InlineResult
from callboard.outcome import Cancelled, Completed, Failed, Failure, Interrupted, Outcome
from callboard.standalone import describe, exit_code
from cli import _times
from cli._output import Column, counts, print_json, table

NOW = datetime(2026, 5, 4, 10, 0, tzinfo=UTC)
FAILURE = Failure.of(OSError("no route"), job="x", scope="")


@pytest.mark.parametrize(
    ("seconds", "text"),
    [
        (0, "0.0 s"),
        (0.04, "0.0 s"),
        (9.94, "9.9 s"),
        (14.3, "14 s"),
        (59.4, "59 s"),
        (59.6, "1 min"),
        (125, "2 min 5 s"),
        (3600, "1 h"),
        (3600 * 3 + 60 * 20 + 5, "3 h 20 min"),
        (86400 * 4, "4 d"),
        (86400 * 4 + 3600, "4 d 1 h"),
    ],
)
def test_spans(seconds: float, text: str) -> None:
    assert _times.span(seconds) == text


@pytest.mark.parametrize(
    ("seconds", "text"),
    [(0.4, "0.4 s"), (1, "1 s"), (59.9, "59 s"), (60, "1 min"), (3599, "59 min"), (7300, "2 h"), (90000, "1 d")],
)
def test_short_spans(seconds: float, text: str) -> None:
    assert _times.short_span(seconds) == text


@pytest.mark.parametrize(
    ("seconds", "text"), [(-12, "12 s ago"), (0.4, "now"), (-0.9, "now"), (61, "in 1 min"), (-172800, "2 d ago")]
)
def test_relative_times(seconds: float, text: str) -> None:
    assert _times.relative(NOW + timedelta(seconds=seconds), NOW) == text


def test_what_never_was_is_empty() -> None:
    assert _times.relative(None, NOW) == ""
    assert _times.iso(None) is None


def test_moments_are_told_in_utc() -> None:
    tokyo = timezone(timedelta(hours=9))
    moment = datetime(2026, 5, 4, 19, 0, 1, tzinfo=tokyo)
    assert _times.iso(moment) == "2026-05-04T10:00:01Z"
    assert _times.clock(moment, NOW) == "10:00:01"
    assert _times.clock(moment - timedelta(days=1), NOW) == "2026-05-03 10:00"


@pytest.mark.parametrize(
    ("text", "seconds"),
    [("90s", 90), ("15m", 900), ("15min", 900), ("2h", 7200), ("3d", 259200), ("1 W", 604800), ("1.5h", 5400)],
)
def test_ages_are_read(text: str, seconds: float) -> None:
    assert _times.parse_age(text) == timedelta(seconds=seconds)


@pytest.mark.parametrize("text", ["", "2", "h", "two hours", "-2h", "2h30m", "2y"])
def test_other_ages_are_refused(text: str) -> None:
    with pytest.raises(ValueError, match=r"2h, 3d or 1w"):
        _times.parse_age(text)


@pytest.mark.parametrize(
    ("word", "value"),
    [
        ("x=5", 5),
        ("x=5.5", 5.5),
        ("x=true", True),
        ("x=null", None),
        ("x=[1, 2]", [1, 2]),
        ('x={"a": 1}', {"a": 1}),
        ("x=atlas", "atlas"),
        ("x=2026-05-04", "2026-05-04"),
        ('x="5"', "5"),
        ("x=", ""),
        ("x=a=b", "a=b"),
        ("x=NaN", "NaN"),
        ("x=-Infinity", "-Infinity"),
        ("x=007", "007"),
    ],
)
def test_an_argument_is_json_or_else_text(word: str, value: object) -> None:
    assert parse_arguments([word]) == {"x": value}


@pytest.mark.parametrize("words", [["x"], ["=5"], ["a b=5"], ["5=x"], ["x=1", "x=2"]])
def test_malformed_arguments_are_refused(words: list[str]) -> None:
    with pytest.raises(ArgumentsError, match="--arg"):
        parse_arguments(words)


@pytest.mark.parametrize(
    ("outcome", "code", "words"),
    [
        (Completed(), Exit.OK, "job completed in 1.5 s  items=2"),
        (Failed(FAILURE, "given up"), Exit.FAILED, "job failed: OSError: no route in 1.5 s"),
        (Cancelled("by anna"), Exit.CANCELLED, "job cancelled (by anna) in 1.5 s"),
        (Interrupted(), Exit.INTERRUPTED, "job was interrupted in 1.5 s"),
    ],
)
def test_outcomes_have_a_line_and_a_code(outcome: Outcome, code: Exit, words: str) -> None:
    run_id = UUID("11111111-2222-3333-4444-555555555555")
    line = describe("job", InlineResult(run_id, outcome, 1500, {"items": 2}, {}))
    assert line.startswith(words)
    assert line.endswith(f"run {run_id}")
    assert exit_code(outcome) is code


def test_counts_leave_out_what_is_nothing() -> None:
    assert counts({"scanned": 842, "errors": 0}) == "scanned=842"
    assert counts({"errors": 0}) == "all counts are 0"
    assert counts({}) == counts(None) == ""


COLUMNS = (
    Column("id", lambda row: row["id"], keep=True),
    Column("job", lambda row: row["job"]),
    Column("error", lambda row: row["error"]),
)
ROWS = [{"id": "1a2b3c4d", "job": "a_job_with_a_long_name", "error": "[red]no[/red] paper\nsecond line " + "x" * 90}]


def drawn(width: int, rows: list[dict[str, Any]] = ROWS) -> list[str]:
    console = Console(width=200, markup=False, highlight=False, emoji=False)
    with console.capture() as capture:
        console.print(table(rows, COLUMNS, width=width))
    return [line.rstrip() for line in capture.get().splitlines()]


@pytest.mark.parametrize("width", [160, 80, 60, 40])
def test_a_table_keeps_to_its_width_and_to_a_line_a_row(width: int) -> None:
    lines = drawn(width)
    assert len(lines) == 2
    assert all(len(line) <= width for line in lines)
    assert lines[1].startswith("1a2b3c4d"), "an id is never cut"


def test_the_right_columns_give_way_first() -> None:
    assert drawn(50)[1] == "1a2b3c4d  a_job_with_a_long_name  [red]no[/red] p…"
    assert drawn(24)[1] == "1a2b3c4d  a_job…  [red]…"


def test_a_table_shows_text_as_it_is() -> None:
    assert "[red]no[/red] paper" in drawn(160)[1]
    assert "second line" not in drawn(160)[1]


def test_styled_cells_are_not_changed_by_the_table() -> None:
    cell = Text("one\ntwo", style="red")
    table([{"id": cell}], [Column("id", lambda row: row["id"])], width=80)
    assert cell.plain == "one\ntwo"


def test_json_is_plain(capsys: pytest.CaptureFixture[str]) -> None:
    print_json([{"at": NOW, "took": timedelta(seconds=1.5), "id": UUID(int=1), "text": "ä"}])
    said = capsys.readouterr().out
    assert json.loads(said) == [
        {"at": "2026-05-04T10:00:00Z", "took": 1.5, "id": "00000000-0000-0000-0000-000000000001", "text": "ä"}
    ]
    assert "ä" in said
