"""Vectors without a model: the same text always gets the same one, and texts that share words lie near each other."""

from __future__ import annotations

import hashlib
import math
import re
from collections import Counter

_WORD = re.compile(r"\w+")
_DIMENSIONS_PER_WORD = 8


def embed(text: str, dimensions: int) -> list[float]:
    """A vector of length 1 for `text`.

    Each word adds, by its hash, to a few dimensions: two texts without a common word are nearly orthogonal, and the
    cosine grows with the share of common words (feature hashing).
    """
    vector = [0.0] * dimensions
    for word, times in Counter(_WORD.findall(text.lower()) or [text]).items():
        weight = 1 + math.log(times)
        for index, sign in _places(word, dimensions):
            vector[index] += sign * weight
    length = math.hypot(*vector)
    if not length:  # the words' dimensions cancelled each other out
        return [1.0, *vector[1:]]
    return [value / length for value in vector]


def _places(word: str, dimensions: int) -> list[tuple[int, int]]:
    """Dimensions and signs of a word."""
    digest = hashlib.blake2b(word.encode(), digest_size=4 * _DIMENSIONS_PER_WORD).digest()
    numbers = [int.from_bytes(digest[at : at + 4], "big") for at in range(0, len(digest), 4)]
    return [((number >> 1) % dimensions, 1 if number & 1 else -1) for number in numbers]
