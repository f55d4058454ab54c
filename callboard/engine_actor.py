"""Actors of the engine's own: they carry a spec as a job does, and no listing of jobs has them."""

from __future__ import annotations

from typing import TYPE_CHECKING, Any, ParamSpec, Self, TypeVar

from dramatiq.actor import Actor

from callboard.ids import new_id

if TYPE_CHECKING:
    from dramatiq import Broker, Message

    from callboard.spec import JobSpec

P = ParamSpec("P")
R = TypeVar("R")


class EngineActor(Actor[P, R]):
    """An actor that is no `Job`; see `callboard.canary`, `callboard.notifications` and `callboard.bulk_replay`."""

    spec: JobSpec

    @classmethod
    def of(cls, spec: JobSpec, broker: Broker) -> Self:
        """Declare it."""
        actor = cls.__new__(cls)
        actor.spec = spec  # as in callboard.job: the middleware asks for it while the actor is declared
        options: dict[str, Any] = {"time_limit": int(spec.time_limit * 1000)}
        actor.__init__(  # type: ignore[misc]  # a class method may call it
            spec.fn,
            broker=broker,
            actor_name=spec.name,
            queue_name=spec.queue,
            priority=spec.priority,
            options=options,
        )
        return actor

    def message_with_options(
        self,
        *,
        args: tuple[Any, ...] = (),
        kwargs: dict[str, Any] | None = None,
        **options: Any,  # noqa: ANN401 - Dramatiq's message options
    ) -> Message[R]:
        """A message under an id of our own kind, as `Job` has it."""
        return super().message_with_options(args=args, kwargs=kwargs, **options).copy(message_id=new_id())
