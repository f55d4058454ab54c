"""How long a failed call was told to wait."""

from __future__ import annotations

from datetime import UTC, datetime, timedelta
from email.utils import format_datetime

import httpx
import pytest
from dramatiq.errors import Retry
from hypothesis import given
from hypothesis import strategies as st

from callboard.errors import TransientError
from callboard.retry import retry_after

NOW = datetime(2026, 11, 22, 12, tzinfo=UTC)


def http_error(header: str | None, status: int = 429) -> httpx.HTTPStatusError:
    headers = [] if header is None else [(b"Retry-After", header.encode("latin-1"))]
    request = httpx.Request("GET", "https://api.example.com")
    response = httpx.Response(status, headers=headers, request=request)
    return httpx.HTTPStatusError("too many requests", request=request, response=response)


@pytest.mark.parametrize(
    ("header", "expected"),
    [
        ("120", 120.0),
        (" 7 ", 7.0),
        ("1.5", 1.5),
        ("0", 0.0),
        ("-5", 0.0),
        ("86400", 3600.0),
        ("Sun, 22 Nov 2026 12:02:00 GMT", 120.0),
        ("Sunday, 22-Nov-26 12:02:00 GMT", 120.0),
        ("Sun, 22 Nov 2026 12:02:00 -0000", 120.0),
        ("Sun, 22 Nov 2026 11:00:00 GMT", 0.0),
        ("Fri, 31 Dec 9999 23:59:59 GMT", 3600.0),
        (f"Sun, 22 Nov {'9' * 30} 12:02:00 GMT", None),
        (f"Sun, 22 Nov 2026 12:02:00 +{'9' * 30}", None),
        ("soon", None),
        ("", None),
        ("nan", None),
        ("inf", None),
        (None, None),
    ],
)
def test_the_header_of_an_http_error(header: str | None, expected: float | None) -> None:
    assert retry_after(http_error(header), now=NOW) == expected


@given(st.integers(0, 3_600))
def test_an_http_date_is_as_far_as_it_says(seconds: int) -> None:
    header = format_datetime(NOW + timedelta(seconds=seconds), usegmt=True)
    assert retry_after(http_error(header), now=NOW) == seconds


@given(st.text(st.characters(codec="latin-1", exclude_characters="\r\n\0"), max_size=40))
def test_no_header_breaks_it(header: str) -> None:
    found = retry_after(http_error(header), now=NOW)
    assert found is None or 0 <= found <= 3600


@pytest.mark.parametrize("told", [30, 30.0, "30", timedelta(seconds=30)])
def test_an_attribute_of_the_exception(told: object) -> None:
    error = RuntimeError("slow down")
    error.retry_after = told  # type: ignore[attr-defined]
    assert retry_after(error) == 30.0


@pytest.mark.parametrize("told", [None, True, "later", object(), float("nan"), lambda: 3])
def test_an_attribute_that_says_nothing(told: object) -> None:
    error = RuntimeError("slow down")
    error.retry_after = told  # type: ignore[attr-defined]
    assert retry_after(error) is None


def test_our_own_error_says_it() -> None:
    assert retry_after(TransientError("busy", retry_after=12.5)) == 12.5
    assert retry_after(TransientError("busy")) is None


def test_dramatiqs_own_error_says_it_in_milliseconds() -> None:
    assert retry_after(Retry("again", delay=1_500)) == 1.5
    assert retry_after(Retry("again")) is None


def test_the_chain_of_causes_is_walked_outermost_first() -> None:
    inner = http_error("40")
    middle = RuntimeError("sync failed")
    middle.__cause__ = inner
    outer = TransientError("sync failed")
    outer.__cause__ = middle
    assert retry_after(outer) == 40.0
    outer.retry_after = 5
    assert retry_after(outer) == 5.0


def test_a_ring_of_causes_ends() -> None:
    one, other = RuntimeError("one"), RuntimeError("other")
    one.__cause__, other.__cause__ = other, one
    assert retry_after(one) is None


def test_the_cap_is_the_callers() -> None:
    assert retry_after(TransientError("busy", retry_after=500), cap=60) == 60


def test_the_present_is_the_default_clock() -> None:
    header = format_datetime(datetime.now(UTC) + timedelta(seconds=1_000), usegmt=True)
    found = retry_after(http_error(header))
    assert found is not None
    assert 900 < found <= 1_000
