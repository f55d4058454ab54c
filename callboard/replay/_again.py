"""The message of a dead letter, for a new run: with its own arguments, or with some of them changed."""

from __future__ import annotations

import difflib
from inspect import Parameter
from typing import TYPE_CHECKING, Any, NamedTuple

from dramatiq import Message

from callboard.broker.codec import decode, encode
from callboard.envelope import KEY, facts_of, stamp
from callboard.errors import ArgumentsError, NotFound, ReplayRefused
from callboard.ids import new_id
from callboard.ledger.seal import unseal
from callboard.settings import get_settings
from callboard.spec import spec_of

if TYPE_CHECKING:
    from collections.abc import Mapping

    from dramatiq import Broker
    from sqlalchemy import RowMapping

    from callboard.ledger.facts import RunFacts
    from callboard.spec import JobSpec

# Of the attempts before, or made anew.
_DROPPED = ("retries", "redis_message_id", "eta", "traceback", KEY)


class Again(NamedTuple):
    """What a letter becomes."""

    letter_id: int
    message: Message[Any]
    facts: RunFacts


def again(letter: RowMapping, broker: Broker, args: Mapping[str, Any] | None = None) -> Again:
    """The new message and its run; nothing is written or sent.

    Args:
        letter: A row of `board.dead_letters`, payload and all.
        broker: The one that has the job.
        args: Arguments by name that take the place of the letter's own.

    Raises:
        NotFound: No loaded module declares its job.
        ReplayRefused: What the letter holds is no message.
        ArgumentsError: The changed arguments do not fit the job's signature, or the message is too large.
    """
    old = _message_of(letter)
    actor = broker.actors.get(old.actor_name)
    if actor is None:
        raise NotFound(
            f"No loaded module declares the job {old.actor_name!r} of letter {letter['id']}; "
            "add its module to CALLBOARD_ACTORS."
        )
    spec = spec_of(actor)
    taken, named = edited(spec, tuple(old.args), dict(old.kwargs), args) if args else (old.args, old.kwargs)
    message: Message[Any] = Message(
        queue_name=letter["queue"] if letter["queue"] in broker.get_declared_queues() else actor.queue_name,
        actor_name=old.actor_name,
        args=taken,
        kwargs=named,
        options={k: v for k, v in old.options.items() if k not in _DROPPED} | {KEY: _envelope(letter, old)},
        message_id=new_id(),
    )
    stamp(message, None)
    body = encode(message, limit=get_settings().message_max_bytes)
    return Again(letter["id"], message, facts_of(message, spec, body=body))


def _message_of(letter: RowMapping) -> Message[Any]:
    message, defect = decode(unseal(bytes(letter["payload"])), letter["queue"])
    if message is None:
        raise ReplayRefused(
            f"Dead letter {letter['id']} holds no message ({defect}), so nothing can run; "
            f"`callboard dead-letters show {letter['id']} --payload` prints it, `discard` gives it up."
        )
    return message


def _envelope(letter: RowMapping, old: Message[Any]) -> dict[str, Any]:
    """Whoever was to be told of the run that failed is told of this one."""
    notify = old.options.get(KEY, {}).get("notify")
    return {
        **({"notify": notify} if notify else {}),
        "correlation_id": letter["correlation_id"],
        "trigger": f"replay:{letter['id']}",
        "parent_id": str(letter["run_id"]),
        "recorded": True,
        "durable": True,
    }


def edited(
    spec: JobSpec, args: tuple[Any, ...], kwargs: dict[str, Any], change: Mapping[str, Any]
) -> tuple[tuple[Any, ...], dict[str, Any]]:
    """A message's arguments with some changed, by name; those given alone where its own do not fit the job any more.

    Raises:
        ArgumentsError: The job takes no such argument, or the whole does not fit its signature.
    """
    try:
        bound = spec.signature.bind_partial(*args, **kwargs)
    except TypeError:
        bound = spec.signature.bind_partial()
    for name, value in change.items():
        _set(spec, bound.arguments, name, value)
    spec.bind(bound.args, bound.kwargs)
    return bound.args, bound.kwargs


def _set(spec: JobSpec, arguments: dict[str, Any], name: str, value: object) -> None:
    parameters = spec.signature.parameters
    known = parameters.get(name)
    if known is not None and known.kind not in (Parameter.VAR_POSITIONAL, Parameter.VAR_KEYWORD):
        arguments[name] = value
        return
    rest = next((one.name for one in parameters.values() if one.kind is Parameter.VAR_KEYWORD), None)
    if rest is None or known is not None:
        close = difflib.get_close_matches(name, parameters, 1)
        hint = f"did you mean {close[0]!r}?" if close else f"it takes {spec.name}{spec.signature}."
        raise ArgumentsError(f"Job {spec.name!r} takes no argument {name!r}; {hint}")
    arguments[rest] = {**arguments.get(rest, {}), name: value}
