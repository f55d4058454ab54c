"""Any event, however hostile, is one line without control characters, in text and in JSON."""

from __future__ import annotations

import json
import logging
import unicodedata
from datetime import date, timedelta
from enum import Enum
from typing import TYPE_CHECKING, Any

import pytest
from hypothesis import given
from hypothesis import strategies as st

from observability._escape import escape, shorten
from observability._json import JsonRenderer
from observability._line import Line, read
from observability._text import TextRenderer
from observability.events import JOB_FINISHED, JOB_STARTED

if TYPE_CHECKING:
    from collections.abc import ItemsView

TEXT = TextRenderer(show_correlation=True)
JSON = JsonRenderer(service="test", version="1", instance="here")
BIDI = set("\u061c\u200e\u200f\u202a\u202b\u202c\u202d\u202e\u2066\u2067\u2068\u2069")


class Hostile:
    def __repr__(self) -> str:
        raise RuntimeError("no")


class Colour(Enum):
    RED = "red"


class BadMapping(dict[str, int]):
    def items(self) -> ItemsView[str, int]:  # type: ignore[override]  # it never returns
        raise RuntimeError("no")


class Quarrelsome(Exception):
    def __str__(self) -> str:
        raise RuntimeError("no")


texts = st.text() | st.text("\x00\x1b\n\r\t\x7f\x85\u2028\u202e\ud800=\"'\\ a")
values = st.recursive(
    texts | st.binary() | st.integers() | st.floats() | st.none() | st.booleans() | st.datetimes() | st.uuids()
    | st.builds(Hostile) | st.builds(Quarrelsome) | st.decimals() | st.timedeltas(),
    lambda inner: st.lists(inner, max_size=4) | st.dictionaries(texts | st.integers(), inner, max_size=4),
    max_leaves=8,
)  # fmt: skip
RUN_FIELDS = ("job", "trigger", "id", "attempt", "status", "counts", "notes", "duration_ms", "error", "reason")
run_fields = st.fixed_dictionaries({}, optional=dict.fromkeys(RUN_FIELDS, values))
triggers = st.sampled_from([{"trigger": "schedule"}, {"trigger": "cli"}, {}])


def record(message: object, *args: object, error: BaseException | None = None) -> logging.LogRecord:
    exc_info = None if error is None else (type(error), error, error.__traceback__)
    return logging.LogRecord("actors.sessions.collect", logging.INFO, __file__, 1, message, args, exc_info)


def is_one_clean_line(line: str) -> bool:
    return not any(unicodedata.category(c) in {"Cc", "Cs", "Zl", "Zp"} or c in BIDI for c in line)


@given(st.sampled_from([JOB_STARTED, JOB_FINISHED]), run_fields, triggers)
def test_the_event_of_a_run_is_one_clean_line(event: str, fields: dict[str, Any], trigger: dict[str, str]) -> None:
    line = read(record({"event": event} | fields | trigger))
    text = TEXT(line)
    told_by_nothing = event == JOB_STARTED and line.fields.get("trigger") != "schedule"
    assert (text is None) == told_by_nothing
    assert text is None or is_one_clean_line(text)
    assert is_one_clean_line(JSON(line))
    assert json.loads(JSON(line))["event"] == event


@given(
    texts, st.dictionaries(texts, values, max_size=5), st.none() | st.builds(Quarrelsome) | st.builds(ValueError, texts)
)
def test_any_event_is_one_clean_line(event: str, fields: dict[str, Any], error: BaseException | None) -> None:
    line = read(record(fields | {"event": event}, error=error))
    assert is_one_clean_line(TEXT(line) or "")
    assert is_one_clean_line(JSON(line))
    assert json.loads(JSON(line))["logger"] == "actors.sessions.collect"


@given(texts, st.lists(values, max_size=2))
def test_any_record_of_a_library_is_one_clean_line(message: str, args: list[Any]) -> None:
    line = read(record(message, *args))
    assert is_one_clean_line(TEXT(line) or "")
    assert json.loads(JSON(line))["event"] == "log.message"


@given(texts)
def test_escaped_text_is_clean_and_clean_text_is_unchanged(text: str) -> None:
    escaped = escape(text)
    assert is_one_clean_line(escaped)
    assert escape(escaped) == escaped


@pytest.mark.parametrize(
    ("value", "shown"),
    [
        ("plain", "plain"),
        ("two words", '"two words"'),
        ("", '""'),
        ("a=b", '"a=b"'),
        ("\x1b[31mred", r'"\x1b[31mred"'),
        (r"C:\n", r'"C:\\n"'),
        (1.5, "1.5"),
        (True, "true"),
        ([1, 2], "[1,2]"),
        ({"a": "b"}, r'"{\"a\":\"b\"}"'),
        (float("nan"), "nan"),
        (10**100, "0x"),
        (b"ab", "ab"),
        (date(2026, 5, 4), "2026-05-04"),
        (timedelta(minutes=1, milliseconds=500), "60.5s"),
        (Colour.RED, "red"),
        (BadMapping(), '"<unprintable BadMapping: RuntimeError>"'),
        (Hostile(), '"<unprintable Hostile: RuntimeError>"'),
    ],
)
def test_values_in_text(value: object, shown: str) -> None:
    line = TEXT(read(record({"event": "a.b", "x": value}))) or ""
    assert line.partition(" x=")[2].startswith(shown)


def test_text_of_an_event() -> None:
    line = read(record({"event": "sessions.file_torn", "path": "/a b", "line": 8, "run_id": "1", "gone": None}))
    assert (TEXT(line) or "")[8:] == ' info     [sessions] sessions.file_torn path="/a b" line=8'


@pytest.mark.parametrize(
    ("logger", "component"),
    [("actors.sessions.collect", "sessions"), ("callboard.retry", "callboard"), ("actors", "actors"), ("", "root")],
)
def test_the_component_is_the_part_that_people_know(logger: str, component: str) -> None:
    line = read(record("hello"))
    named = Line(line.at, "info", logger, line.event, "hello")
    assert f"[{component}] hello" in (TEXT(named) or "")


def test_a_failure_in_text_says_what_and_where() -> None:
    try:
        fail()
    except ValueError as error:
        shown = TEXT(read(record({"event": "a.b"}, error=error))) or ""
    assert 'error="ValueError: bad password=[redacted]" at="test_rendering.py:' in shown
    assert " fail < test_rendering.py:" in shown
    assert "Traceback" not in shown


def test_a_failure_in_json_has_its_stack() -> None:
    try:
        fail()
    except ValueError as error:
        shown = json.loads(JSON(read(record({"event": "a.b"}, error=error))))
    assert shown["error_type"] == "ValueError"
    assert shown["error"] == "bad password=[redacted]"
    assert shown["stack"].startswith("Traceback (most recent call last)")
    assert "hunter2" not in shown["stack"].rpartition("ValueError")[2]


def fail(message: str = "bad password=" + "hunter2") -> None:
    raise ValueError(message)


def test_json_of_a_run() -> None:
    fields = {
        "job": "j",
        "trigger": "cli",
        "id": "x",
        "attempt": 1,
        "status": "success",
        "counts": {"a": 1},
        "notes": {},
    }
    shown = json.loads(JSON(read(record({"event": JOB_FINISHED} | fields))))
    assert shown["outcome"] == "success"
    assert shown["run_id"] == "x"
    assert shown["counts"] == {"a": 1}
    assert shown["msg"] == "[task] j id=x attempt=1 status=success a=1"
    assert not {"status", "id", "notes", "stack"} & shown.keys()
    assert list(shown)[:6] == ["ts", "level", "logger", "event", "msg", "service"]


def test_the_id_that_people_read_stands_beside_the_run_id() -> None:
    shown = json.loads(JSON(read(record({"event": JOB_FINISHED, "id": "wd_1", "run_id": "uuid"}))))
    assert (shown["run_id"], shown["id"]) == ("uuid", "wd_1")


def test_no_field_of_a_caller_replaces_ours() -> None:
    shown = json.loads(JSON(read(record({"event": "a.b", "level": "hot", "pid": "x", "ts": 1}))))
    assert (shown["level"], shown["level_"], shown["pid_"], shown["ts_"]) == ("info", "hot", "x", 1)


def test_moments_in_json_are_utc_with_milliseconds() -> None:
    line = record("hello")
    line.created = 1_777_888_800.25
    assert json.loads(JSON(read(line)))["ts"] == "2026-05-04T10:00:00.250Z"


def test_long_values_are_cut_and_say_so() -> None:
    line = read(
        record({"event": "a.b", "text": "x" * 100_000, "many": list(range(1000)), "map": dict.fromkeys(range(101))})
    )
    shown = json.loads(JSON(line))
    assert shown["text"].endswith("... (91808 more characters)")
    assert shown["many"][-1] == "900 more items"
    assert shown["map"]["..."] == "1 more items"
    assert len(TEXT(line) or "") < 2000


def test_a_long_stack_keeps_both_ends() -> None:
    try:
        fail("x" * 50_000 + "THE END")
    except ValueError as error:
        stack = json.loads(JSON(read(record("hello", error=error))))["stack"]
    assert len(stack) < 10_000
    assert stack.startswith("Traceback")
    assert stack.endswith("THE END\n")


def test_a_format_that_does_not_fit_its_arguments_still_says_something() -> None:
    shown = TEXT(read(record("%d of %d", "x"))) or ""
    assert shown.endswith("%d of %d ['x']")


def test_prose_of_ours_is_a_message() -> None:
    shown = json.loads(JSON(read(record({"event": "Wrote 3 files", "path": "/a"}))))
    assert (shown["event"], shown["msg"], shown["path"]) == ("log.message", "Wrote 3 files", "/a")


def test_colour_only_where_asked_for() -> None:
    line = read(record({"event": JOB_FINISHED, "job": "j", "status": "retry", "attempt": 1}))
    assert TextRenderer(colour=True)(line) == "[task] j attempt=1 status=\x1b[33mretry\x1b[0m"
    assert TextRenderer()(line) == "[task] j attempt=1 status=retry"


def test_shortening_says_how_much_is_left_out() -> None:
    assert shorten("abcdef", 6) == "abcdef"
    assert shorten("abcdef", 2) == "ab... (4 more characters)"
