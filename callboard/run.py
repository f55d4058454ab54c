"""The run that the calling code is part of."""

from __future__ import annotations

import threading
from contextvars import ContextVar
from dataclasses import dataclass, field
from datetime import UTC, datetime
from typing import TYPE_CHECKING, Any
from uuid import UUID, uuid4

import structlog

from callboard._attempt_log import AttemptLog
from callboard.settings import get_settings
from observability import logs
from observability.events import JOB_FINISHED, JOB_STARTED
from observability.redaction import redact, redact_text

if TYPE_CHECKING:
    from collections.abc import Iterator

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
    _tokens: dict[tuple[str, str], list[int]] | None = None
    _log: AttemptLog | None = None
    _quiet: bool = False
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
        """Keep facts for the run's log line and row, e.g. `note(http_status=503)`; the last value wins.

        Secrets in them are hidden.
        """
        shown: dict[str, Any] = redact(fields)
        with self._lock:
            self._notes.update(shown)

    def progress(self, done: int, total: int, message: str = "") -> None:
        """Say how far the run is; written to the ledger at most once a second.

        Args:
            done: Items processed so far.
            total: Items in all; 0 when unknown.
            message: For people, e.g. "Synced 38 users, 7 skipped".
        """
        with self._lock:
            self._progress = {"processed": done, "total": total, "message": redact_text(message)}

    def tokens(self, category: str, *, model: str = "", prompt: int = 0, completion: int = 0, calls: int = 1) -> None:
        """Say what calls of a language model used; it adds up over calls and over the run's attempts.

        Args:
            category: What for, e.g. `summary` or `embedding`.
            model: Which model, as its provider calls it.
            prompt: Tokens that were sent.
            completion: Tokens that came back.
            calls: How many calls that were.

        Raises:
            ValueError: The category is empty, or a number is below 0.
        """
        numbers = (calls, prompt, completion)
        if not category or min(numbers) < 0:
            raise ValueError(f"tokens({category!r}, {calls=}, {prompt=}, {completion=}): name one, count from 0.")
        with self._lock:
            if self._tokens is None:
                self._tokens = {}
            before = self._tokens.get((category, model), (0, 0, 0))
            self._tokens[category, model] = [old + new for old, new in zip(before, numbers, strict=True)]

    def keep(self, line: logs.Line) -> None:
        """Keep a log line of this attempt, redacted, unless the settings say that none are kept."""
        if self._log is None:
            self._log = AttemptLog(get_settings().log_lines_per_attempt)
        told = logs.kept(line)
        if told.get("run_id") == str(self.id):  # by `log`: what the row says of itself
            told = {name: value for name, value in told.items() if name not in _BOUND}
        self._log.add(told)

    def quiet(self) -> None:
        """Say that there was nothing to do: nobody is told that a scheduled run completed so."""
        self._quiet = True

    @property
    def is_quiet(self) -> bool:
        """True once the job called `quiet`."""
        return self._quiet

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
    def token_usages(self) -> list[dict[str, Any]] | None:
        """What `tokens` was told so far: rows of category, model, calls, prompt and completion; None without any."""
        if self._tokens is None:
            return None
        with self._lock:
            return list(_usages(self._tokens))

    @property
    def log_lines(self) -> list[dict[str, Any]] | None:
        """The last lines that this attempt logged, oldest first; None without any."""
        return None if self._log is None else self._log.lines or None

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


def _usages(tokens: dict[tuple[str, str], list[int]]) -> Iterator[dict[str, Any]]:
    for (category, model), (calls, prompt, completion) in tokens.items():
        yield {"category": category, "model": model, "calls": calls, "prompt": prompt, "completion": completion}


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


def _keep(line: logs.Line) -> None:
    """What the job's own code logs is kept with its attempt; the engine's two lines say what the row says."""
    run = _current.get()
    if run is not None and run.token and line.event not in _OURS:
        run.keep(line)


_OURS = (JOB_STARTED, JOB_FINISHED)
_BOUND = ("run_id", "correlation_id", "job")  # as `Run.log` does
logs.add_context(_fields)
logs.add_listener(_keep)


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
