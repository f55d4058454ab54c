"""What the middleware of one attempt tell each other: it hangs on the message while the attempt lasts."""

from __future__ import annotations

import time
from dataclasses import dataclass, field
from typing import TYPE_CHECKING

if TYPE_CHECKING:
    from dramatiq.broker import MessageProxy

    from callboard.ledger.facts import Ending, RunFacts, Started
    from callboard.outcome import Failure, Outcome
    from callboard.run import Run
    from callboard.spec import JobSpec


@dataclass(slots=True, eq=False)
class Execution:
    """One attempt that was allowed to start."""

    spec: JobSpec
    facts: RunFacts
    started: Started
    run: Run
    began: float = field(default_factory=time.monotonic)
    cpu: float = field(default_factory=time.thread_time)
    failure: Failure | None = None
    outcome: Outcome | None = None
    ending: Ending | None = None


def execution_of(message: MessageProxy) -> Execution | None:
    """The attempt that the message belongs to, or None when it was not allowed to start."""
    return vars(message).get("execution")
