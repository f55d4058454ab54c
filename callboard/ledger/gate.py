"""The gate: threads that start attempts at the same time share one transaction."""

from __future__ import annotations

import threading
from collections import deque
from dataclasses import dataclass
from typing import TYPE_CHECKING

if TYPE_CHECKING:
    from callboard.ledger.facts import Refused, RunFacts, Started
    from callboard.ledger.recorder import Recorder


@dataclass(slots=True, eq=False)
class _Asking:
    """One thread's question, and what became of it."""

    facts: RunFacts
    answer: Started | Refused | None = None
    error: Exception | None = None


class Gate:
    """Group commit without a thread of its own: who holds the lock asks for all who wait for it."""

    def __init__(self, recorder: Recorder) -> None:
        self._recorder = recorder
        self._asking: deque[_Asking] = deque()
        self._turn = threading.Lock()

    def start(self, facts: RunFacts) -> Started | Refused:
        """Begin an attempt; as `Recorder.start_many` for one."""
        mine = _Asking(facts)
        self._asking.append(mine)
        with self._turn:
            if mine.answer is None and mine.error is None:
                self._ask([self._asking.popleft() for _ in range(len(self._asking))])
        if mine.error is not None:
            raise mine.error
        if mine.answer is None:
            raise RuntimeError(f"nobody asked the ledger for run {facts.id}")
        return mine.answer

    def _ask(self, batch: list[_Asking]) -> None:
        try:
            answers = self._recorder.start_many([one.facts for one in batch])
        except Exception as error:  # noqa: BLE001 - each of the threads raises it
            for one in batch:
                one.error = error
            return
        for one, answer in zip(batch, answers, strict=True):
            one.answer = answer
