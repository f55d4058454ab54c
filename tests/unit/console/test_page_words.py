"""How numbers, times and links are written, and what a page refuses to follow."""

from __future__ import annotations

import hashlib
from datetime import UTC, datetime, timedelta

import pytest

from console import _assets, _words
from console.pages._flash import read
from console.pages._kit import is_ours

NOW = datetime(2026, 11, 22, 3, 0, tzinfo=UTC)


@pytest.mark.parametrize(
    ("seconds", "told"),
    [(0.0, "0 ms"), (0.42, "420 ms"), (1.5, "1.5 s"), (119.0, "119 s"), (300.0, "5 min"), (7200.0, "2 h")],
)  # fmt: skip
def test_a_duration_has_the_unit_that_people_would_choose(seconds: float, told: str) -> None:
    assert _words.duration(seconds) == told


def test_numbers_are_exact_until_they_are_long() -> None:
    assert [_words.compact(value) for value in (9_999, 12_345, 4_500_000)] == ["9,999", "12.3k", "4.5M"]


def test_not_quite_all_is_never_shown_as_all() -> None:
    assert [_words.percent(part) for part in (1.0, 0.9999, 0.5, None)] == ["100 %", "99.9 %", "50 %", "\N{EN DASH}"]


def test_a_moment_tells_its_distance_and_keeps_the_exact_time() -> None:
    told = _words.ago(NOW - timedelta(minutes=5), NOW)
    assert "5 min ago" in told
    assert 'title="2026-11-22 02:55:00 UTC"' in told
    assert "in 2 h" in _words.ago(NOW + timedelta(hours=2), NOW)


def test_only_addresses_become_links_and_all_else_is_escaped() -> None:
    told = _words.linked("see https://example.org/a?b=1&c=2. <script>")
    assert '<a href="https://example.org/a?b=1&amp;c=2" rel="noreferrer noopener">' in told
    assert told.endswith(". &lt;script&gt;")


def test_an_issue_that_a_text_names_is_a_link_to_it() -> None:
    told = _words.referring("11 <failed> (issue:12, 4 more)")
    assert told == '11 &lt;failed&gt; (<a href="/admin/issues/12">issue:12</a>, 4 more)'


@pytest.mark.parametrize("path", ["//evil.example", "https://evil.example", "/\\evil.example", "evil", ""])
def test_an_act_never_leads_away_from_the_console(path: str) -> None:
    assert not is_ours(path)
    assert is_ours("/admin/issues?q=status:open")


class _Asked:
    def __init__(self, value: str) -> None:
        self.cookies = {"callboard-told": value}


@pytest.mark.parametrize("value", ["", "{", "%7B%7D", "[]"])
def test_a_spoilt_message_is_no_message(value: str) -> None:
    assert read(_Asked(value)) is None  # type: ignore[arg-type] # all that is asked of a request


def test_a_message_never_links_outside() -> None:
    found = read(_Asked('{"kind":"ok","text":"x","link":"https://evil.example","link_text":"y"}'))  # type: ignore[arg-type]
    assert found is not None
    assert found["link"] == ""


def test_a_files_address_changes_with_its_bytes() -> None:
    known = _assets.assets()["board.css"]
    assert _assets.url("board.css") == f"/static/{known.version}/board.css"
    assert len(known.packed) < len(known.plain)


def test_what_is_vendored_is_what_npm_has() -> None:
    told = (_assets.ROOT / "vendor/VERSIONS.txt").read_text()
    for name in ("htmx.min.js", "uPlot.min.js", "uPlot.min.css"):
        assert hashlib.sha256((_assets.ROOT / "vendor" / name).read_bytes()).hexdigest() in told
