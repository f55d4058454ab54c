"""Jobs for the tests of the API."""

from __future__ import annotations

from callboard import NoRetry, PermanentError, cron, current_run, every, job


@job("sync_project", scope="project", queue="projects", durable=True)
def sync_project(project_id: str, pages: int = 2, token: str = "") -> None:  # noqa: ARG001 - of the trigger
    """Sync one project."""
    run = current_run()
    run.progress(pages, pages, "done")
    run.count(pages=pages)
    run.note(status="fresh")


@job("bill_project", scope="project", queue="projects", durable=True, permission="accounts:write")
def bill_project(project_id: str) -> None:
    """Ask for a scope of its own."""


@job("prune", queue="upkeep", cadence=cron("0 2 * * *"))
def prune() -> None:
    """Never due while a test runs."""


@job("tidy", queue="upkeep", cadence=every(seconds=3600))
def tidy() -> None:
    """Never due either."""


@job("load", queue="upkeep", durable=True)
def load(items: int = 1, password: str = "") -> None:  # noqa: ARG001 - of the trigger
    """Do something."""
    current_run().count(items=items)


@job("broken", queue="upkeep", retry=NoRetry(), durable=True)
def broken(reason: str = "the disk is full", *, mended: bool = False, **more: str) -> None:  # noqa: ARG001
    """Fail for good, unless told that it is mended."""
    if not mended:
        raise PermanentError(reason)
