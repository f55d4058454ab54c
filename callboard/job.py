"""`@job`: a Dramatiq actor that carries a `JobSpec`; the one place where a job is registered."""

from __future__ import annotations

from typing import TYPE_CHECKING, Any, ParamSpec, TypeVar

from dramatiq.actor import Actor

from callboard.broker import get_broker
from callboard.errors import DeclarationError, NotFound
from callboard.spec import JobSpec, check_options

if TYPE_CHECKING:
    from collections.abc import Callable
    from datetime import timedelta

    from dramatiq import Broker, Message

P = ParamSpec("P")
R = TypeVar("R")


class Job(Actor[P, R]):
    """An actor declared with `@job`: `send`, `message`, groups and pipelines work as Dramatiq documents them."""

    spec: JobSpec

    def send_with_options(
        self,
        *,
        args: tuple[Any, ...] = (),
        kwargs: dict[str, Any] | None = None,
        delay: timedelta | int | None = None,
        **options: Any,  # noqa: ANN401 - Dramatiq's message options
    ) -> Message[R]:
        """Send a message after its arguments were held against the function's signature.

        Raises:
            ArgumentsError: They do not fit; nothing is sent.
        """
        self.spec.bind(args, kwargs or {})
        return super().send_with_options(args=args, kwargs=kwargs, delay=delay, **options)


def job(name: str, **options: Any) -> Callable[[Callable[P, R]], Job[P, R]]:  # noqa: ANN401 - see JobSpec
    """Declare a job; the function can still be called directly.

    Args:
        name: How people, the ledger and the metrics call it; unique over all catalogues.
        **options: The fields of `JobSpec`: queue, cadence, retry, time_limit (s), late_limit (s), single, single_per,
            durable, on_crash, priority, scope, permission, notify, concurrency, rate, log_level, owner, runbook, label.

    Raises:
        DeclarationError: An option is unknown or does not fit; the message says how to mend it.
    """
    if not isinstance(name, str):
        raise DeclarationError('@job needs the job\'s name: write @job("tier_transition_job"), not a bare @job.')
    check_options(name, options)

    def declare(fn: Callable[P, R]) -> Job[P, R]:
        spec = JobSpec(name=name, fn=fn, **options)
        broker = get_broker()
        if name in broker.actors:
            other = broker.actors[name].fn
            raise DeclarationError(
                f"Job {name!r} is declared twice, in {other.__module__} and in {fn.__module__}; rename one of them."
            )
        declared: Job[P, R] = _make(spec, broker)
        declared.__doc__ = fn.__doc__
        return declared

    return declare


def _make(spec: JobSpec, broker: Broker) -> Job[Any, Any]:
    options: dict[str, Any] = {"time_limit": int(spec.time_limit * 1000)}
    if spec.cadence is not None:
        options["periodic"] = spec.cadence
    actor: Job[Any, Any] = Job.__new__(Job)
    actor.spec = spec
    Job.__init__(
        actor,
        spec.fn,
        broker=broker,
        actor_name=spec.name,
        queue_name=spec.queue,
        priority=spec.priority,
        options=options,
    )
    return actor


def all_jobs(broker: Broker | None = None) -> dict[str, Job[Any, Any]]:
    """Every job declared with `@job`, by name."""
    actors = (broker or get_broker()).actors
    return {name: actor for name, actor in sorted(actors.items()) if isinstance(actor, Job)}


def get_job(name: str) -> Job[Any, Any]:
    """The job of that name.

    Raises:
        NotFound: There is none; the message names those that are close.
    """
    import difflib  # noqa: PLC0415 - only for the error

    jobs = all_jobs()
    if name in jobs:
        return jobs[name]
    close = difflib.get_close_matches(name, jobs, 3)
    hint = f"did you mean {' or '.join(close)}?" if close else "`callboard jobs` lists them."
    raise NotFound(f"No job is called {name!r}; {hint}")
