from __future__ import annotations

import math

import pytest
from hypothesis import given
from hypothesis import strategies as st

from sandbox.vectors import embed


def cosine(left: str, right: str) -> float:
    return sum(a * b for a, b in zip(embed(left, 1024), embed(right, 1024), strict=True))


@given(st.text(), st.integers(1, 1024))
def test_every_vector_has_length_one_and_is_always_the_same(text: str, dimensions: int) -> None:
    vector = embed(text, dimensions)
    assert len(vector) == dimensions
    assert math.hypot(*vector) == pytest.approx(1)
    assert vector == embed(text, dimensions)


def test_texts_are_the_nearer_the_more_words_they_share() -> None:
    query = "postgres snapshot isolation"
    near, far = cosine(query, "Isolation levels of Postgres: the snapshot"), cosine(query, "postgres on a laptop")
    assert near > far > cosine(query, "a recipe for soup") + 0.1
    assert abs(cosine(query, "a recipe for soup")) < 0.15
