"""The middleware stack, in order.

Before an attempt the hooks run from the top down, after it from the bottom up. So the ones at the bottom see the
function's outcome first, and the ones at the top see everybody's decision.

| middleware    | why it stands there                                                                          |
|---------------|----------------------------------------------------------------------------------------------|
| Correlation   | what the others see of a message being sent carries its ids                                   |
| RunRecord     | nothing happens before the attempt is in the ledger; it records when all others have decided.  |
|               | The claim that keeps runs from overlapping is taken in the same transaction as the start       |
| Tracing       | its span lasts as long as the attempt, from its start in the ledger until all others have      |
|               | decided; what the engine itself asks the ledger is outside. First to see a message leave       |
| Journal       | the line that an attempt begins has its trace id                                              |
| DeadLetter    | messages that never became a run                                                              |
| Callbacks     | Dramatiq's on_success and on_failure, told what Retries decided                                |
| Pipelines     | Dramatiq's pipelines, the same                                                                |
| Retries       | retry, give up or give back; needs the failure's kind                                          |
| Cancellation  | a run that saw its cancel request and returned                                                |
| FailureKinds  | what the exception is                                                                         |
| Interruption  | a stopping worker's jobs                                                                      |
| HardLimit     | the supervisor's clock, for jobs that the next one cannot reach                               |
| TimeLimit     | the clock starts last, and stops before anybody else acts                                      |
| AgeLimit      | Dramatiq's max_age; it may skip, so the record must have been made                             |
| CurrentMessage| Dramatiq's, for code that asks for it                                                         |
| AsyncIO       | Dramatiq's event loop for `async def` actors                                                  |
"""

from __future__ import annotations

from typing import TYPE_CHECKING

from dramatiq.middleware import AgeLimit, AsyncIO, CurrentMessage

from callboard.middleware.cancellation import Cancellation
from callboard.middleware.correlation import Correlation
from callboard.middleware.dead_letter import DeadLetter
from callboard.middleware.failure_kinds import FailureKinds
from callboard.middleware.follow_ups import Callbacks, Pipelines
from callboard.middleware.hard_limit import HardLimit
from callboard.middleware.interruption import Interruption
from callboard.middleware.journal import Journal
from callboard.middleware.retries import Retries
from callboard.middleware.run_record import RunRecord, conclude
from callboard.middleware.time_limit import TimeLimit
from callboard.middleware.tracing import Tracing

if TYPE_CHECKING:
    from dramatiq import Middleware

__all__ = ["RunRecord", "conclude", "stack"]


def stack(record: RunRecord | None = None) -> list[Middleware]:
    """A fresh stack for one broker; `record` is where attempts are written, the ledger unless said otherwise."""
    return [
        Correlation(),
        record or RunRecord(),
        Tracing(),
        Journal(),
        DeadLetter(),
        Callbacks(),
        Pipelines(),
        Retries(),
        Cancellation(),
        FailureKinds(),
        Interruption(),
        HardLimit(),
        TimeLimit(),
        AgeLimit(),
        CurrentMessage(),
        AsyncIO(),
    ]
