"""Which failures are the same issue."""

from __future__ import annotations

import hashlib
import re
import string

import pytest
from hypothesis import given
from hypothesis import strategies as st

from callboard.failures import fingerprint, issue_key

words = st.text(string.ascii_letters + " .:/'-_äöü", max_size=60)
numbers = st.integers(10, 10**18).map(str)
hexes = st.text("0123456789abcdef", min_size=8, max_size=64).filter(lambda text: re.search("[a-f]", text))
uuids = st.uuids().map(str)
same_sort = st.sampled_from([numbers, hexes | uuids, (hexes | uuids).map(str.upper), hexes.map("0x{}".format)])
pairs_of_ids = same_sort.flatmap(lambda ids: st.tuples(ids, ids))


@given(st.lists(st.tuples(words, pairs_of_ids), min_size=1, max_size=5), words)
def test_messages_that_differ_in_ids_only_share_a_fingerprint(
    parts: list[tuple[str, tuple[str, str]]], end: str
) -> None:
    one, other = ("".join(f"{text} {ids[side]} " for text, ids in parts) + end for side in (0, 1))
    assert fingerprint("sync", "ValueError", one, "") == fingerprint("sync", "ValueError", other, "")


@given(st.text(max_size=400))
def test_any_text_has_a_key_of_at_most_180_characters(message: str) -> None:
    key = issue_key(message)
    assert len(key) <= 180
    assert not re.search("[0-9]{2}", key.replace("\0", ""))
    assert re.fullmatch("[0-9a-f]{64}", fingerprint("sync", "ValueError", message, "7"))


@pytest.mark.parametrize(
    ("message", "key"),
    [
        ("row 4711 of 20 is bad", "row <n> of <n> is bad"),
        ("attempt 3 failed", "attempt 3 failed"),
        ("took 3.14159 s", "took 3.<n> s"),
        ("took 1234567ms", "took <n>ms"),
        ("no session 1b4e28ba-2fa1-11d2-883f-0016d3cca427", "no session <hex>"),
        ("job-1B4E28BA-2FA1-11D2-883F-0016D3CCA427 died", "job-<hex> died"),
        ("<Page object at 0x7f3a2b1c9d50>", "<Page object at <hex>>"),
        ("commit deadbeef and run_0badcafe", "commit <hex> and run_<hex>"),
        ("a decade of facades", "a decade of facades"),
        ("deadbee is short", "deadbee is short"),
        ("key 12345678", "key <n>"),
        ("x" * 300, "x" * 180),
        ("y" * 178 + " 12", "y" * 178 + " <"),
    ],
)
def test_keys(message: str, key: str) -> None:
    assert issue_key(message) == key


def test_job_class_and_scope_tell_issues_apart() -> None:
    prints = {
        fingerprint("sync", "ValueError", "row 17 is bad", "7"),
        fingerprint("sync", "ValueError", "row 18 is bad", "7"),
        fingerprint("sync", "ValueError", "row 17 is worse", "7"),
        fingerprint("sync", "ValueError", "row 17 is bad", "8"),
        fingerprint("sync", "KeyError", "row 17 is bad", "7"),
        fingerprint("index", "ValueError", "row 17 is bad", "7"),
    }
    assert len(prints) == 5


def test_the_fingerprint_is_stable_over_releases() -> None:
    """Rows of the ledger carry it: a change here splits every open issue in two."""
    expected = hashlib.sha256(b"ValueError|sync|7|row <n> is bad").hexdigest()
    assert expected == "9db28884da53bc1af417710acf9d7dd49079f00d78e98b72fde6bd1176e6dcd5"
    assert fingerprint("sync", "ValueError", "row 17 is bad", "7") == expected


def test_a_lone_surrogate_does_not_break_it() -> None:
    assert fingerprint("sync", "ValueError", "bad \udc80", "") == fingerprint("sync", "ValueError", "bad \udc80", "")


def test_a_long_message_takes_no_long_time() -> None:
    """Linear in the message: a pattern that backtracks would take minutes over these."""
    for piece in ("0123456789", "abcdef0123", "f" * 7 + "z"):
        assert len(issue_key(piece * 100_000)) <= 180
