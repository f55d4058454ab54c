"""What can be decided on a candidate by its own text alone."""

from __future__ import annotations

import re
from dataclasses import dataclass
from functools import lru_cache
from typing import TYPE_CHECKING

if TYPE_CHECKING:
    from actors.memory.settings import MemorySettings

CREATED = "created"
PENDING = "pending"
LOW_SIGNAL = "discarded_low_signal"
REDUNDANT = "discarded_redundant"
TRANSIENT = "discarded_transient"
POLICY = "discarded_policy"
DISCARDS = (LOW_SIGNAL, REDUNDANT, TRANSIENT, POLICY)


@dataclass(frozen=True, slots=True)
class Decider:
    """The rules of one tenant; `deny_words` are whole words or phrases, in any case."""

    shortest: int
    transient: re.Pattern[str]
    denied: re.Pattern[str] | None

    @classmethod
    def of(cls, settings: MemorySettings, deny_words: tuple[str, ...]) -> Decider:
        """With what this tenant denies."""
        pattern = re.compile(settings.capture_transient_pattern, re.IGNORECASE)
        return cls(settings.capture_min_characters, pattern, _any_of(deny_words))

    def discard(self, content: str, key: str | None) -> str | None:
        """Why the candidate is not worth a memory, if it is not; what is denied is said before what is transient."""
        if len(content) < self.shortest or not key:
            return LOW_SIGNAL
        if self.denied is not None and self.denied.search(f"{content} {key.replace('_', ' ')}".casefold()):
            return POLICY
        return TRANSIENT if self.transient.search(content) else None


@lru_cache(maxsize=1024)
def _any_of(words: tuple[str, ...]) -> re.Pattern[str] | None:
    """Matches any of these in a casefolded text, with any space between the words of a phrase."""
    phrases = {r"\s+".join(map(re.escape, word.casefold().split())) for word in words} - {""}
    return re.compile(rf"(?<!\w)(?:{'|'.join(sorted(phrases))})(?!\w)") if phrases else None
