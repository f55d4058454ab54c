"""Sanitising, keys, and what can be decided by a text alone."""

from __future__ import annotations

import re
import unicodedata
from uuid import uuid4

import pytest
from hypothesis import given
from hypothesis import strategies as st

from actors.memory.candidates import LONGEST_KEY, LONGEST_TEXT, Candidate, normalised_key, sanitised
from actors.memory.capture.decisions import LOW_SIGNAL, POLICY, TRANSIENT, Decider
from actors.memory.settings import MemorySettings

LETTERS = st.text(st.characters(categories=["L", "N"]), min_size=1, max_size=12)
WORDS = LETTERS.filter(lambda word: re.fullmatch(r"\w+", word.casefold()) is not None)
ANY = st.text(st.characters(exclude_categories=()), max_size=200)  # lone surrogates too
SPACES = st.text(st.sampled_from(" \t\n\r\x0b\x0c\x1c\x85\xa0\u2003\u3000"), min_size=1, max_size=4)
HIDDEN = st.text(st.sampled_from("\x00\x07\x1b\xad\u200b\u202e\u2066\ufeff\ud800\U000e0041"), max_size=3)


@given(ANY)
def test_a_sanitised_text_has_nothing_unwanted(text: str) -> None:
    clean = sanitised(text)
    clean.encode()  # no lone surrogate
    assert not any(unicodedata.category(each) in ("Cc", "Cs") for each in clean)
    assert not re.search(r"\s\s|^\s|\s$|[^\S ]", clean)
    assert unicodedata.is_normalized("NFC", clean)
    assert sanitised(clean) == clean


@given(st.lists(WORDS, min_size=1, max_size=5), st.data())
def test_texts_that_look_alike_are_one(words: list[str], data: st.DataObject) -> None:
    """Spaces, hidden marks and the way in which accents are written make no other text."""
    plain = sanitised(" ".join(words))
    spaced = data.draw(SPACES).join(data.draw(HIDDEN) + word + data.draw(HIDDEN) for word in words)
    assert sanitised(f"{data.draw(SPACES)}{spaced}\n") == plain
    assert sanitised(unicodedata.normalize("NFD", plain)) == plain


@given(st.lists(WORDS, min_size=1, max_size=6))
def test_no_visible_word_is_lost(words: list[str]) -> None:
    kept = [unicodedata.normalize("NFC", word) for word in words]
    assert sanitised(" ".join(words)).split(" ") == kept


@given(st.integers(LONGEST_TEXT - 2, LONGEST_TEXT + 2), st.sampled_from(["a", "e\u0301", "a "]))
def test_a_long_text_is_cut(length: int, part: str) -> None:
    clean = sanitised(part * length)
    assert LONGEST_TEXT - 2 <= len(clean) <= LONGEST_TEXT
    assert sanitised(clean) == clean


def test_joiners_that_make_letters_and_pictures_stay() -> None:
    for text in ("\u0645\u06cc\u200c\u062e\u0648\u0627\u0647\u0645", "\U0001f469\u200d\U0001f52c"):
        assert sanitised(text) == text


@given(ANY)
def test_a_key_is_small_and_of_words(key: str) -> None:
    made = normalised_key(key)
    if made is None:
        assert not re.search(r"[a-z0-9]", key, re.ASCII)
    else:
        assert len(made) <= LONGEST_KEY
        assert re.fullmatch(r"[^\W_]+(_[^\W_]+)*", made)
        assert normalised_key(made) == made


@pytest.mark.parametrize(
    ("key", "made"),
    [
        ("Favourite colour", "favourite_colour"),
        ("  FAVOURITE--Colour!", "favourite_colour"),
        ("Stra\u00dfe", "strasse"),
        ("\uff28ome", "home"),
        ("issue#12", "issue_12"),
        ("?!", None),
        ("", None),
        (None, None),
    ],
)
def test_keys_by_example(key: str | None, made: str | None) -> None:
    assert normalised_key(key) == made


@given(st.integers(100, 140))
def test_long_keys_that_begin_alike_are_not_one(length: int) -> None:
    first, second = (normalised_key("drive " * 20 + "i" * length + end) for end in ("a", "b"))
    assert first != second
    assert normalised_key(first) == first
    assert len(str(first)) <= LONGEST_KEY


@pytest.mark.parametrize(
    ("field", "value"), [("category", "RUMOUR"), ("environment", "prod"), ("importance", -0.1), ("importance", 2.0)]
)
def test_a_bad_candidate_is_refused_by_its_field(field: str, value: object) -> None:
    fields = {"category": "FACT", "source_type": "issue", "content": "text", field: value}
    with pytest.raises(ValueError, match=f"{field} {value!r} must be"):
        Candidate(tenant_id=uuid4(), user_id=uuid4(), **fields)  # type: ignore[arg-type] # it is what is tested


def decider(*deny_words: str) -> Decider:
    return Decider.of(MemorySettings(model_key=None), deny_words)


@given(st.text(max_size=11), st.sampled_from([None, "key"]))
def test_less_than_twelve_characters_are_of_low_signal(text: str, key: str | None) -> None:
    assert decider().discard(text, key) == LOW_SIGNAL


@given(st.text(min_size=12, max_size=40))
def test_without_a_key_a_text_is_of_low_signal(text: str) -> None:
    assert decider().discard(text, None) == LOW_SIGNAL


@pytest.mark.parametrize(
    ("text", "transient"),
    [
        ("Anna is at the airport.", True),
        ("TODAY Anna works from home.", True),
        ("Anna is running late again.", True),
        ("Tom waits in a meeting room.", True),
        ("Anna works at the airport authority of Lyon.", True),
        ("Anna reads USA Today every week.", True),
        ("Anna has lived in Lyon since 2019.", False),
        ("Todays are never like yesterdays.", False),
        ("Tom likes airports.", False),
    ],
)
def test_what_will_not_be_true_for_long(text: str, *, transient: bool) -> None:
    assert decider().discard(text, "key") == (TRANSIENT if transient else None)


@given(WORDS, WORDS, WORDS)
def test_a_denied_word_is_found_wherever_it_stands_alone(word: str, before: str, after: str) -> None:
    rules = decider(word)
    for text in (f"{word} {before} {after}", f"{before}, {word.casefold()}! {after}", f"{before} {after} ({word})"):
        assert rules.discard(f"{text} and more words", "key") == POLICY


@given(st.lists(WORDS, max_size=4), WORDS)
def test_only_whole_words_are_denied(others: list[str], word: str) -> None:
    text = " ".join(["Zanzibar", *others, f"x{word}", f"{word}x", "is far away"])
    found = decider(word).discard(text, "key") == POLICY
    assert found == (word.casefold() in {each.casefold() for each in [*text.split(), "key"]})


def test_nothing_is_denied_by_empty_words() -> None:
    assert decider("", "  ").discard("Anna has lived in Lyon.", "key") is None


def test_denied_comes_before_transient_and_counts_in_the_key() -> None:
    rules = decider("project x")
    assert rules.discard("Today we spoke of Project\u00a0 X at length.", "key") == POLICY
    assert rules.discard("Anna has lived in Lyon.", "project_x") == POLICY
