"""What a job declares: its options, checked when the module is imported."""

from __future__ import annotations

import difflib
import inspect
import re
from dataclasses import dataclass, field, fields
from functools import cached_property, lru_cache
from typing import TYPE_CHECKING, Any, Literal

from callboard.cadence import Cadence, cron
from callboard.errors import ArgumentsError, DeclarationError
from callboard.objective import Slo
from callboard.retry import Backoff, Delays, NoRetry

if TYPE_CHECKING:
    from collections.abc import Callable

    from dramatiq.actor import Actor

Policy = Backoff | Delays | NoRetry

_NAME = re.compile(r"[A-Za-z_][A-Za-z0-9_.\-]{0,99}")
_QUEUE = re.compile(r"[A-Za-z_][A-Za-z0-9_\-]{0,63}")
_RATE = re.compile(r"[1-9][0-9]*/(s|min|h|d)")
_UNITS = {"s": 1.0, "min": 60.0, "h": 3600.0, "d": 86_400.0}
#: The argument that names the project of a project's job.
PROJECT = "project_id"
_PERMISSION = re.compile(r"[a-z_]+:[a-z_]+")


@dataclass(frozen=True, kw_only=True)
class JobSpec:
    """The options of one job; durations in seconds."""

    name: str
    fn: Callable[..., Any] = field(repr=False, compare=False)
    queue: str = "default"
    cadence: Cadence | None = None
    retry: Policy = field(default_factory=lambda: Backoff(max_retries=5))
    time_limit: float = 600.0
    late_limit: float | None = None
    single: bool | None = None
    single_per: str | None = None
    durable: bool | None = None
    on_crash: Literal["redeliver", "fail"] = "redeliver"
    priority: int = 0
    scope: Literal["system", "project"] = "system"
    permission: str = "jobs:write"
    notify: tuple[str, ...] = ()
    concurrency: int | None = None
    rate: str | None = None
    log_level: Literal["debug", "info", "warning", "error"] = "info"
    owner: str = ""
    runbook: str = ""
    label: str = ""
    slo: Slo | None = None
    tier: Literal["page", "ticket"] = "page"
    actionable: Callable[..., str | None] | None = field(default=None, repr=False, compare=False)

    def __post_init__(self) -> None:
        """Raise DeclarationError for the first option that does not fit."""
        for check in _CHECKS:
            check(self)

    @cached_property
    def recurring(self) -> bool:
        """True if the scheduler calls the job."""
        return self.cadence is not None

    @cached_property
    def interval(self) -> float:
        """Seconds between the two closest ticks; 0 without a cadence."""
        return 0.0 if self.cadence is None else self.cadence.interval_seconds()

    @cached_property
    def is_single(self) -> bool:
        """True if at most one run per scope may be pending or running; a recurring job is, unless it says otherwise."""
        return self.recurring if self.single is None and self.single_by is None else bool(self.single or self.single_by)

    @cached_property
    def is_durable(self) -> bool:
        """True if each run is in the ledger before it is in the broker; a recurring job's runs always are."""
        return self.recurring if self.durable is None else self.durable

    @cached_property
    def rate_window(self) -> tuple[int, float] | None:
        """The rate as (starts, seconds): `(100, 60.0)` for `100/min`; None without one."""
        if self.rate is None:
            return None
        number, _, unit = self.rate.partition("/")
        return int(number), _UNITS[unit]

    @cached_property
    def is_light(self) -> bool:
        """True if nothing has to be asked of the ledger before a first attempt may start."""
        asks = self.is_durable or self.is_single or self.concurrency is not None or self.rate is not None
        return not (asks or self.on_crash == "fail")  # the reaper fails what has a row

    @cached_property
    def slo_name(self) -> str:
        """What its runs are counted under: `<job>` or `queue:<queue>`; empty without an objective."""
        if self.slo is None:
            return ""
        return self.name if self.slo.per == "job" else f"queue:{self.queue}"

    @cached_property
    def single_by(self) -> str | None:
        """The argument that "only one at a time" is counted by; a project's job is counted by project."""
        return self.single_per or (PROJECT if self.scope == "project" and self.single is not False else None)

    @cached_property
    def is_async(self) -> bool:
        """True for an `async def` function."""
        return inspect.iscoroutinefunction(self.fn)

    @property
    def doc(self) -> str:
        """The first line of the function's docstring."""
        return (inspect.getdoc(self.fn) or "").partition("\n")[0]

    @cached_property
    def signature(self) -> inspect.Signature:
        """What the function takes."""
        return inspect.signature(self.fn)

    def bind(self, args: tuple[Any, ...], kwargs: dict[str, Any]) -> dict[str, Any]:
        """Arguments by parameter name.

        Raises:
            ArgumentsError: They do not fit the function's signature.
        """
        try:
            return dict(self.signature.bind(*args, **kwargs).arguments)
        except TypeError as error:
            raise ArgumentsError(
                f"Job {self.name!r}: {error}. It takes {self.name}{self.signature}; send just these arguments."
            ) from None

    def scope_of(self, args: tuple[Any, ...], kwargs: dict[str, Any]) -> str:
        """The value that "only one at a time" is counted by; empty when it is counted by job alone."""
        return "" if self.single_by is None else str(self._argument(self.single_by, args, kwargs) or "")

    def project_of(self, args: tuple[Any, ...], kwargs: dict[str, Any]) -> str | None:
        """Whose run it is; None for a run of the system's own."""
        project = self._argument(PROJECT, args, kwargs) if self.scope == "project" else None
        return None if project is None else str(project)

    def _argument(self, name: str, args: tuple[Any, ...], kwargs: dict[str, Any]) -> object:
        try:
            bound = self.signature.bind_partial(*args, **kwargs)
        except TypeError:  # it cannot run, and whoever looks at its failure wants to know whose it was
            return kwargs.get(name)
        bound.apply_defaults()
        return bound.arguments.get(name)


def _fail(spec: JobSpec, option: str, value: object, mend: str) -> None:
    raise DeclarationError(f"Job {spec.name!r}: {option}={value!r} {mend}")


def _check_names(spec: JobSpec) -> None:
    if not _NAME.fullmatch(spec.name):
        _fail(spec, "name", spec.name, "must start with a letter and hold letters, digits, '_', '-' and '.' only.")
    if not _QUEUE.fullmatch(spec.queue):
        _fail(spec, "queue", spec.queue, "must start with a letter and hold letters, digits, '_' and '-' only.")


def _check_types(spec: JobSpec) -> None:
    if spec.cadence is not None and not isinstance(spec.cadence, Cadence):
        _fail(spec, "cadence", spec.cadence, "is no cadence; write cron('*/5 * * * *') or every(seconds=30).")
    if not isinstance(spec.retry, Policy):
        _fail(
            spec, "retry", spec.retry, "is no retry policy; write Backoff(max_retries=3), Delays(60, 300) or NoRetry()."
        )
    if spec.slo is not None and not isinstance(spec.slo, Slo):
        _fail(spec, "slo", spec.slo, "is no objective; write Slo(objective=0.99, within=60).")
    if not isinstance(spec.priority, int):
        _fail(spec, "priority", spec.priority, "must be a whole number; lower ones go first.")


def _check_numbers(spec: JobSpec) -> None:
    for option in ("time_limit", "late_limit", "concurrency"):
        value = getattr(spec, option)
        if value is not None and (isinstance(value, bool) or not isinstance(value, int | float) or value <= 0):
            _fail(spec, option, value, f"must be a number{'' if option == 'concurrency' else ' of seconds'} above 0.")


def _check_choices(spec: JobSpec) -> None:
    choices = {
        "on_crash": ("redeliver", "fail"),
        "scope": ("system", "project"),
        "log_level": ("debug", "info", "warning", "error"),
        "tier": ("page", "ticket"),
    }
    for option, allowed in choices.items():
        if getattr(spec, option) not in allowed:
            _fail(spec, option, getattr(spec, option), f"must be one of {', '.join(allowed)}.")


def _check_texts(spec: JobSpec) -> None:
    if not _PERMISSION.fullmatch(spec.permission):
        _fail(spec, "permission", spec.permission, "must look like 'jobs:write'.")
    if spec.rate is not None and not _RATE.fullmatch(spec.rate):
        _fail(spec, "rate", spec.rate, "must look like '10/s', '100/min', '5/h' or '1/d'.")
    if isinstance(spec.notify, str) or any("@" not in address for address in spec.notify):
        _fail(spec, "notify", spec.notify, "must be a tuple of mail addresses, e.g. ('ops@example.org',).")


def _check_overlap(spec: JobSpec) -> None:
    parameters = list(inspect.signature(spec.fn).parameters)
    if spec.single_per is not None and spec.single_per not in parameters:
        close = difflib.get_close_matches(spec.single_per, parameters, 1)
        hint = f"did you mean {close[0]!r}?" if close else f"it takes {', '.join(parameters) or 'no arguments'}."
        _fail(spec, "single_per", spec.single_per, f"is no argument of the job; {hint}")
    if spec.single is False and spec.single_per is not None:
        _fail(spec, "single", False, "contradicts single_per; leave one of them out.")


def _check_project(spec: JobSpec) -> None:
    if spec.scope == "project" and PROJECT not in inspect.signature(spec.fn).parameters:
        _fail(spec, "scope", "project", f"needs an argument {PROJECT!r}, which says whose run it is.")


def _check_actionable(spec: JobSpec) -> None:
    if spec.actionable is None:
        return
    if not callable(spec.actionable):
        _fail(spec, "actionable", spec.actionable, "is no function; it takes the job's arguments and returns a reason.")
    takes = inspect.signature(spec.actionable).parameters
    if any(one.kind is inspect.Parameter.VAR_KEYWORD for one in takes.values()):
        return
    missing = [name for name in inspect.signature(spec.fn).parameters if name not in takes]
    if missing:
        name = getattr(spec.actionable, "__name__", spec.actionable)
        _fail(spec, "actionable", name, f"does not take {', '.join(missing)}; it gets the job's arguments by name.")


def _check_recurring(spec: JobSpec) -> None:
    if not spec.recurring:
        if spec.late_limit is not None:
            _fail(spec, "late_limit", spec.late_limit, "needs a cadence; only a recurring job can be late.")
        return
    needed = [p.name for p in inspect.signature(spec.fn).parameters.values() if p.default is p.empty and p.kind < 2]  # noqa: PLR2004 - positional kinds
    if needed:
        _fail(
            spec,
            "cadence",
            str(spec.cadence),
            f"but the scheduler passes no arguments; give {', '.join(needed)} defaults.",
        )
    if spec.durable is False:
        _fail(spec, "durable", False, "contradicts the cadence; a scheduled run is in the ledger before it is sent.")


_CHECKS = (
    _check_names,
    _check_types,
    _check_numbers,
    _check_choices,
    _check_texts,
    _check_overlap,
    _check_project,
    _check_actionable,
    _check_recurring,
)

OPTIONS = tuple(f.name for f in fields(JobSpec) if f.name not in ("name", "fn"))


# What Dramatiq, Celery, RQ and others call it.
_ELSEWHERE = {
    name: ours
    for names, ours in (
        (
            "max_retries retries min_backoff max_backoff retry_backoff",
            "retry=Backoff(max_retries=3, base=15, cap=3600)",
        ),
        ("periodic cron crontab schedule", "cadence=cron('*/5 * * * *') or cadence=every(seconds=30), in UTC"),
        ("timeout job_timeout soft_time_limit", "time_limit=60, in seconds"),
        ("unique lock queueing_lock", "single=True, or single_per='project' for one run per value of an argument"),
        ("rate_limit", "rate='10/s'"),
        ("store_results result_ttl", "current_run().note(...) in the job, or into a table of your own"),
        ("throws", "`raise PermanentError(...)` in the job for what shall not be tried again"),
        ("max_age on_success on_failure", "it when sending: send_with_options(args=..., max_age=60_000)"),
    )
    for name in names.split()
}


def check_options(name: str, given: dict[str, Any]) -> None:
    """Raise DeclarationError for an option that does not exist, with the one that was probably meant."""
    for option in given:
        if option not in OPTIONS:
            raise DeclarationError(f"Job {name!r}: unknown option {option!r}; {_meant(option)}")


def _meant(option: str) -> str:
    if option in _ELSEWHERE:
        return f"write {_ELSEWHERE[option]}."
    close = difflib.get_close_matches(option, OPTIONS, 1)
    return f"did you mean {close[0]!r}?" if close else f"options are {', '.join(OPTIONS)}."


# Dramatiq's own defaults for an actor that says nothing.
_PLAIN_RETRIES, _PLAIN_MIN_BACKOFF, _PLAIN_MAX_BACKOFF, _PLAIN_TIME_LIMIT = 20, 15_000, 604_800_000, 600_000


@lru_cache(maxsize=4096)
def spec_of(actor: Actor[Any, Any]) -> JobSpec:
    """The spec of a job, or one made from the options of a plain Dramatiq actor."""
    declared: JobSpec | None = getattr(actor, "spec", None)
    if declared is not None:
        return declared
    options = actor.options
    periodic = options.get("periodic")
    most = options.get("max_retries", _PLAIN_RETRIES)
    base = options.get("min_backoff", _PLAIN_MIN_BACKOFF) / 1000
    cap = max(base, options.get("max_backoff", _PLAIN_MAX_BACKOFF) / 1000)
    return JobSpec(
        name=actor.actor_name,
        fn=actor.fn,
        queue=actor.queue_name,
        cadence=periodic if periodic is None or isinstance(periodic, Cadence) else cron(str(periodic)),
        retry=Backoff(max_retries=10**6 if most is None else most, base=base, cap=cap),
        time_limit=options.get("time_limit", _PLAIN_TIME_LIMIT) / 1000,
        priority=actor.priority,
    )
