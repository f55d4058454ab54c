"""`@job`: a Dramatiq actor that carries a `JobSpec`; the one place where a job is registered."""

from __future__ import annotations

from collections.abc import Iterable, Mapping
from dataclasses import replace
from typing import TYPE_CHECKING, Any, ParamSpec, TypeVar

from dramatiq import Message
from dramatiq.actor import Actor

from callboard import coroutines
from callboard.broker import Transport
from callboard.compose import get_broker
from callboard.errors import ArgumentsError, DeclarationError, NotFound
from callboard.ids import new_id
from callboard.spec import JobSpec, check_options

if TYPE_CHECKING:
    from collections.abc import Callable, Sequence
    from datetime import timedelta

    from dramatiq import Broker

P = ParamSpec("P")
R = TypeVar("R")
# What Celery calls them. Dramatiq takes any option, for whatever middleware there is: these would do nothing.
_ELSEWHERE = {
    "countdown": "delay=timedelta(seconds=10), or delay=10_000, in milliseconds",
    "eta": "delay=timedelta(seconds=10), or delay=10_000, in milliseconds",
    "expires": "max_age=60_000, in milliseconds",
}


class Job(Actor[P, R]):
    """An actor declared with `@job`: `send`, `message`, groups and pipelines work as Dramatiq documents them."""

    spec: JobSpec

    def __call__(self, *args: P.args, **kwargs: P.kwargs) -> R:
        """Run the function here and now; an `async def` one is awaitable where a loop runs, else run to its end."""
        if self.spec.is_async:
            answer: R = coroutines.call(self.spec.fn, self.fn, args, kwargs)
            return answer
        return self.fn(*args, **kwargs)

    def message_with_options(
        self,
        *,
        args: tuple[Any, ...] = (),
        kwargs: dict[str, Any] | None = None,
        **options: Any,  # noqa: ANN401 - Dramatiq's message options
    ) -> Message[R]:
        """A message that nobody has sent yet; its id is time-ordered (UUIDv7): the ledger's inserts stay cheap."""
        if "on_failure" in options or "on_success" in options:
            checked = super().message_with_options(args=args, kwargs=kwargs, **options)
            return replace(checked, message_id=new_id())
        return Message(self.queue_name, self.actor_name, tuple(args), kwargs or {}, options, message_id=new_id())

    def send_many(self, arguments: Iterable[Mapping[str, Any] | Sequence[Any]]) -> list[Message[R]]:
        """Send one message for each item, 1,000 in a round trip.

        Args:
            arguments: A mapping is taken as arguments by name, a list or tuple as arguments by position.

        Raises:
            ArgumentsError: Some do not fit the function's signature; nothing is sent.
        """
        messages = [self._message_of(item) for item in arguments]
        broker = self.broker
        if isinstance(broker, Transport):
            return broker.enqueue_many(messages)
        return [broker.enqueue(message) for message in messages]

    def _message_of(self, item: Mapping[str, Any] | Sequence[Any]) -> Message[R]:
        if isinstance(item, str) or not isinstance(item, Mapping | Iterable):
            mend = f"write ({item!r},), or a mapping of arguments by name"
            raise ArgumentsError(f"send_many() of job {self.actor_name!r} was given {item!r} as an item; {mend}.")
        named = isinstance(item, Mapping)
        args, kwargs = ((), dict(item)) if named else (tuple(item), {})
        self.spec.bind(args, kwargs)
        return self.message_with_options(args=args, kwargs=kwargs)

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
            ArgumentsError: They do not fit, or an option is another queue's; nothing is sent.
        """
        for option in _ELSEWHERE.keys() & options.keys():
            raise ArgumentsError(f"Job {self.actor_name!r}: unknown option {option!r}; write {_ELSEWHERE[option]}.")
        self.spec.bind(args, kwargs or {})
        return super().send_with_options(args=args, kwargs=kwargs, delay=delay, **options)


def job(name: str, **options: Any) -> Callable[[Callable[P, R]], Job[P, R]]:  # noqa: ANN401 - see JobSpec
    """Declare a job; the function can still be called directly.

    Args:
        name: How people, the ledger and the metrics call it; unique over all catalogues.
        **options: The fields of `JobSpec`: queue, cadence, retry, time_limit (s), late_limit (s), single, single_per,
            durable, on_crash, priority, scope, permission, notify, concurrency, rate, actionable, log_level, owner,
            runbook, label, slo, tier.

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
