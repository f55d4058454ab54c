"""Time limit: Dramatiq's, checked five times a second."""

from __future__ import annotations

from dramatiq.middleware import TimeLimit as StockTimeLimit


class TimeLimit(StockTimeLimit):
    """Raises TimeLimitExceeded in the thread of a job that runs past its `time_limit`.

    It cannot interrupt a call that does not come back to Python, such as a socket without a time-out.
    """

    def __init__(self) -> None:
        super().__init__(interval=200)
