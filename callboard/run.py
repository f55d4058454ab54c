"""The run that the calling code is part of."""

from __future__ import annotations

import threading
from contextvars import ContextVar
from dataclasses import dataclass, field
from datetime import UTC, datetime
from typing import TYPE_CHECKING, Any
from uuid import UUID, uuid4

import structlog

from observability import logs

if TYPE_CHECKING:
    from callboard.ledger.facts import RunFacts, Started
    from observability.tracing import Trace


def correlation_id_of(run_id: UUID | str) -> str:
    """`job-<uuid>` of the run that nobody caused; inherited by all that it enqueues."""
    return f"job-{run_id}"


@dataclass(eq=False)
class Run:
    """One execution of a job, as its function sees it. Thread-safe: a job may report from threads of its own.

    `first` is the first argument, redacted; `trace` is the span that the attempt runs in, where it is traced.
    """

    job: str
    id: UUID = field(default_factory=uuid4)
    created_at: datetime = field(default_factory=lambda: datetime.now(UTC))
    queue: str = "default"
    trigger: str = "cli"
    correlation_id: str = ""
    attempt: int = 1
    scheduled_for: datetime | None = None
    missed: int = 0
    scope: str = ""
    token: int = 0
    first: object = None
    trace: Trace | None = None
    _counts: dict[str, int] = field(default_factory=dict)
    _notes: dict[str, Any] = field(default_factory=dict)
    _progress: dict[str, Any] | None = None
    _cancel: bool = False
    _cancel_seen: bool = False
    _lock: threading.Lock = field(default_factory=threading.Lock)

    def __post_init__(self) -> None:
        """A run that nobody caused has its own id in its correlation id."""
        self.correlation_id = self.correlation_id or correlation_id_of(self.id)

    @classmethod
    def begin(cls, facts: RunFacts, started: Started) -> Run:
        """The run of an attempt that the ledger let start."""
        return cls(
            job=facts.job,
            id=facts.id,
            created_at=facts.created_at,
            queue=facts.queue,
            trigger=facts.trigger,
            correlation_id=facts.correlation_id,
            attempt=started.attempt,
            scheduled_for=facts.scheduled_for,
            missed=facts.missed,
            scope=facts.scope,
            token=started.token,
            first=next(iter(facts.args.values())) if facts.args else None,
        )

    @property
    def display_id(self) -> str:
        """What `id=` of a task's log line shows: the scope, else a plain first argument, else the run's id."""
        return self.scope or (str(self.first) if isinstance(self.first, str | int) else str(self.id))

    def count(self, **numbers: int) -> None:
        """Add to the run's counts, e.g. `count(scanned=842, summarised=37)`; they add up over calls."""
        with self._lock:
            for name, number in numbers.items():
                self._counts[name] = self._counts.get(name, 0) + number

    def note(self, **fields: Any) -> None:  # noqa: ANN401 - any JSON value may be noted
        """Keep facts for the run's log line and row, e.g. `note(http_status=503)`; the last value wins."""
        with self._lock:
            self._notes.update(fields)

    def progress(self, done: int, total: int, message: str = "") -> None:
        """Say how far the run is; written to the ledger at most once a second.

        Args:
            done: Items processed so far.
            total: Items in all; 0 when unknown.
            message: For people, e.g. "Synced 38 users, 7 skipped".
        """
        with self._lock:
            self._progress = {"processed": done, "total": total, "message": message}

    @property
    def cancelled(self) -> bool:
        """True once somebody asked to cancel; the job should return early. Asking marks the run as cancelled."""
        if self._cancel:
            self._cancel_seen = True
        return self._cancel_seen

    @property
    def cancel_requested(self) -> bool:
        """True once somebody asked to cancel; unlike `cancelled`, asking leaves no mark."""
        return self._cancel

    @property
    def counts(self) -> dict[str, int]:
        """A copy of what was counted so far."""
        if not self._counts:
            return {}
        with self._lock:
            return dict(self._counts)

    @property
    def notes(self) -> dict[str, Any]:
        """A copy of what was noted so far."""
        if not self._notes:
            return {}
        with self._lock:
            return dict(self._notes)

    @property
    def latest_progress(self) -> dict[str, Any] | None:
        """The last progress reported: `{"processed", "total", "message"}`, or None."""
        return self._progress

    @property
    def cancel_was_seen(self) -> bool:
        """True if the job asked `cancelled` and was told yes."""
        return self._cancel_seen

    @property
    def exemplar(self) -> tuple[str, str] | None:
        """Ids of the trace and of the span that the attempt runs in, if these are kept."""
        trace = self.trace
        return (trace.trace_id, trace.span_id) if trace is not None and trace.sampled else None

    @property
    def log(self) -> structlog.stdlib.BoundLogger:
        """A logger whose lines carry the run's id and correlation id."""
        logger: structlog.stdlib.BoundLogger = structlog.get_logger(self.job)
        return logger.bind(run_id=str(self.id), correlation_id=self.correlation_id, job=self.job)

    def request_cancel(self) -> None:
        """Make `cancelled` true; called when the ledger says so."""
        self._cancel = True


_current: ContextVar[Run | None] = ContextVar("callboard_run", default=None)


def _fields() -> dict[str, object]:
    """What every log line of a run carries."""
    run = _current.get()
    if run is None or run.token == 0:
        return {}
    name = str(run.id)
    return {
        "correlation_id": run.correlation_id,
        "message_id": name,
        "run_id": name,
        "job": run.job,
        "queue": run.queue,
        "attempt": run.attempt,
        **({"schedule": run.job} if run.trigger == "schedule" else {}),
    }


logs.add_context(_fields)


def current_run() -> Run:
    """The run that the caller is part of.

    Outside a run (a unit test that calls the function directly) it is a detached one: it keeps what it is told, and
    writes nothing anywhere.
    """
    run = _current.get()
    if run is None:
        run = Run(job="detached")
        _current.set(run)
    return run


def peek_run() -> Run | None:
    """The run that the caller is part of, or None outside one."""
    return _current.get()


def enter_run(run: Run | None) -> None:
    """Make `run` the current one of this thread or task; None leaves it."""
    _current.set(run)
