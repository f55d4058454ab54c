"""The jobs as they are declared."""

from __future__ import annotations

from dataclasses import dataclass
from typing import TYPE_CHECKING, Any

from callboard.job import all_jobs

if TYPE_CHECKING:
    from datetime import datetime

    from callboard.job import Job


@dataclass(frozen=True, slots=True, kw_only=True)
class JobView:
    """One job; durations in seconds.

    Attributes:
        cadence: As it is written, None for a job on request only; `cadence_words` says it in words.
        permission: The scope that a key needs to trigger it.
        doc: The first line of its docstring.
        arguments: The names of what it takes.
    """

    job: str
    queue: str
    cadence: str | None
    cadence_words: str | None
    next_at: datetime | None
    time_limit_seconds: float
    single: bool
    single_per: str | None
    durable: bool
    on_crash: str
    retry: str
    priority: int
    scope: str
    permission: str
    owner: str
    module: str
    doc: str
    arguments: list[str]


def listing(*, now: datetime) -> list[JobView]:
    """All loaded jobs by name."""
    return [_view(job, now) for job in all_jobs().values()]


def _view(job: Job[Any, Any], now: datetime) -> JobView:
    spec = job.spec
    cadence = spec.cadence
    return JobView(
        job=spec.name,
        queue=spec.queue,
        cadence=None if cadence is None else str(cadence),
        cadence_words=None if cadence is None else cadence.describe(),
        next_at=None if cadence is None else cadence.after(now),
        time_limit_seconds=spec.time_limit,
        single=spec.is_single,
        single_per=spec.single_by,
        durable=spec.is_durable,
        on_crash=spec.on_crash,
        retry=repr(spec.retry),
        priority=spec.priority,
        scope=spec.scope,
        permission=spec.permission,
        owner=spec.owner,
        module=spec.fn.__module__,
        doc=spec.doc,
        arguments=list(spec.signature.parameters),
    )
