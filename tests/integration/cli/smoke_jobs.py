"""A catalogue with one good job, one that fails, and one that cannot run by itself."""

from __future__ import annotations

from callboard import current_run, job


@job("straight")
def straight() -> None:
    """Do well."""
    current_run().count(done=1)


@job("crooked")
def crooked() -> None:
    """Fail, and be retried later than anybody waits."""
    raise ValueError("bent")


@job("asking")
def asking(project: str) -> None:
    """Need an argument."""
    current_run().note(project=project)
