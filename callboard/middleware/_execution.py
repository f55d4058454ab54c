"""What the middleware of one attempt tell each other: it hangs on the message while the attempt lasts."""

from __future__ import annotations

import time
from dataclasses import dataclass, field
from typing import TYPE_CHECKING

if TYPE_CHECKING:
    from dramatiq.broker import MessageProxy

    from callboard.ledger.facts import RunFacts, Started
    from callboard.outcome import Failure, Outcome
    from callboard.run import Run
    from callboard.spec import JobSpec


@dataclass
class Execution:
    """One attempt that was allowed to start."""

    spec: JobSpec
    facts: RunFacts
    started: Started
    run: Run
    began: float = field(default_factory=time.perf_counter)
    failure: Failure | None = None
    outcome: Outcome | None = None
    recorded: bool = False

    @property
    def milliseconds(self) -> int:
        """Run time so far."""
        return round((time.perf_counter() - self.began) * 1000)


def execution_of(message: MessageProxy) -> Execution | None:
    """The attempt that the message belongs to, or None when it was not allowed to start."""
    return getattr(message, "execution", None)
