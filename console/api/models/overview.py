"""The board as a whole."""

from pydantic import Field

from console.api.models._base import Answer, Time
from console.api.models.jobs import Schedule


class Counts(Answer):
    """How much there is now; completed, failed and cancelled within the last 24 hours."""

    pending: int
    running: int
    completed: int = Field(description="Attempts, not runs.")
    failed: int
    cancelled: int
    dead_letters: int
    issues: int = Field(description="Neither resolved nor silenced.")
    critical_issues: int
    workers: int
    threads: int
    busy: int


class Point(Answer):
    """One step of a series: attempts by how they ended, and the seconds they ran."""

    at: Time = Field(description="The end of the step.")
    success: int
    failed: int
    retry: int
    cancelled: int
    shutdown: int
    seconds: float


class Overview(Answer):
    """The board on one screen."""

    now: Time
    counts: Counts
    series: list[Point] = Field(description="The last hour.")
    troubled: list[Schedule] = Field(description="Schedules that fail, are overdue or are paused.")


class Trends(Answer):
    """Attempts over time."""

    items: list[Point] = Field(description="In even steps, 240 at most; empty steps are there too.")
