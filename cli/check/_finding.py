"""What a check says."""

from __future__ import annotations

from collections.abc import Callable, Iterable
from dataclasses import dataclass
from typing import Literal

from callboard.embedded import ServerSilentError

Level = Literal["ok", "warning", "error"]
OK: Level = "ok"
WARNING: Level = "warning"
ERROR: Level = "error"


@dataclass(frozen=True)
class Finding:
    """One thing that was looked at; `mend` is what to do about it, empty where all is well."""

    level: Level
    subject: str
    what: str
    mend: str = ""


#: A check looks at one thing and tells what it found; what it raises becomes a finding too.
Check = Callable[[], Iterable[Finding]]


def ok(subject: str, what: str) -> Finding:
    """All is well."""
    return Finding(OK, subject, what)


def warning(subject: str, what: str, mend: str) -> Finding:
    """It works, but somebody will be surprised."""
    return Finding(WARNING, subject, what, mend)


def error(subject: str, what: str, mend: str) -> Finding:
    """It does not work, or loses something."""
    return Finding(ERROR, subject, what, mend)


def nowhere(subject: str, failure: LookupError, *, is_set: bool) -> Finding:
    """No URL of a server: a warning where nothing was set and nothing was started, an error otherwise."""
    what, _, mend = str(failure.args[0]).partition(". ")
    return (error if is_set or isinstance(failure, ServerSilentError) else warning)(subject, what, mend)
