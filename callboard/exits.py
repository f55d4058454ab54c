"""What the exit code of every command means; scripts, cron and Kubernetes rely on it."""

from __future__ import annotations

from enum import IntEnum
from typing import Any


class Exit(IntEnum):
    """Exit codes; the text of each is what docs/reference/commands.md says."""

    meaning: str

    def __new__(cls, value: int, meaning: str) -> Any:  # noqa: ANN401, D102 - the enum's own protocol
        member = int.__new__(cls, value)
        member._value_ = value
        member.meaning = meaning
        return member

    OK = 0, "It was done."
    FAILED = 1, "The thing asked for failed: a run, a check, a replay that was refused."
    USAGE = 2, "An option, an argument or a setting does not fit; nothing was done."
    DUPLICATE = 3, "The job is already pending or running; nothing was started."
    NOT_FOUND = 4, "No job, run, schedule, queue, message or dead letter of that name or id."
    SERVER_AWAY = 5, "Postgres or the broker cannot be reached."
    CANCELLED = 6, "The run was cancelled."
    INTERRUPTED = 130, "Ctrl-C, as shells count it; a run that was only waited for goes on."
