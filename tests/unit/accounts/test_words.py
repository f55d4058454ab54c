"""Addresses, names and slugs that people type."""

from __future__ import annotations

import re
import unicodedata

import pytest
from hypothesis import given
from hypothesis import strategies as st

from callboard.accounts import _words
from callboard.accounts.keys import known_scopes
from callboard.errors import Invalid


@pytest.mark.parametrize(
    "text", ["ops@example.org", " Ops+1@Example.org ", "operator@localhost", "jürgen@müller.example"]
)
def test_an_address_is_taken_as_it_is(text: str) -> None:
    assert _words.email(text) == text.strip()


@pytest.mark.parametrize(
    "text",
    [
        "",
        "ops",
        "@example.org",
        "ops@",
        "a b@example.org",
        "a@b@c",
        "a@b\r\nBcc: x@y",
        "a\x00@b",
        "<a@b>",
        "a" * 65 + "@b",
        "a\u202e@b",
    ],
)
def test_what_is_no_address_is_refused_with_the_field(text: str) -> None:
    with pytest.raises(Invalid, match="mail address") as refused:
        _words.email(text)
    assert refused.value.field == "email"


@pytest.mark.parametrize(
    ("name", "slug"),
    [("Growth", "growth"), ("  Team Ä & Ö!! ", "team-a-o"), ("a--b", "a-b"), ("x" * 100, "x" * 63), ("Nº 9", "no-9")],
)
def test_a_slug_is_made_of_the_name(name: str, slug: str) -> None:
    assert _words.slug(None, name) == slug


@given(st.text(max_size=120))
def test_a_slug_is_valid_or_must_be_given(name: str) -> None:
    usable = re.search(r"[a-z0-9]", unicodedata.normalize("NFKD", name).encode("ascii", "ignore").decode().lower())
    if usable is None:
        with pytest.raises(Invalid, match="no slug can be made") as refused:
            _words.slug(None, name)
        assert refused.value.field == "slug"
        return
    made = _words.slug(None, name)
    assert re.fullmatch(r"[a-z0-9][a-z0-9-]{0,62}", made)
    assert _words.slug(made, "") == made


@pytest.mark.parametrize("slug", ["", "A", "a_b", "-a", "a-", "a/b", "x" * 64, "ä"])
def test_a_slug_that_does_not_fit_is_refused(slug: str) -> None:
    with pytest.raises(Invalid, match="a-z, 0-9"):
        _words.slug(slug, "name")


def test_names_are_one_line_without_what_cannot_be_seen() -> None:
    assert _words.name("  Growth \n team ") == "Growth team"
    assert _words.name("", required=False) == ""
    for text in ("", "  ", "a\x00b", "a\x1b[31m", "x" * 101):
        with pytest.raises(Invalid, match="one line"):
            _words.name(text)


def test_scopes_are_a_closed_set() -> None:
    assert known_scopes({"jobs:write", "jobs:read"}) == ["jobs:read", "jobs:write"]
    with pytest.raises(Invalid, match="'jobs:all' is none of jobs:read, jobs:write, accounts:write"):
        known_scopes(["jobs:all"])
    with pytest.raises(Invalid, match="empty"):
        known_scopes([])
