"""`callboard dead-letters replay`."""

from dataclasses import asdict
from typing import Annotated

import typer

from callboard.exits import Exit
from callboard.ledger.dead_letters import Filter
from callboard.loading import load_actors
from callboard.replay import ReplayEvent, replay_many
from callboard.replay import replay as replay_one
from callboard.settings import get_settings
from cli._ids import short
from cli._options import AsJson, operator
from cli._output import print_json, say
from cli.dead_letters._select import (
    DryRun,
    ErrorFilter,
    Every,
    Ids,
    JobFilter,
    KindFilter,
    NewerThan,
    OlderThan,
    Yes,
    chosen,
    confirm,
    found,
    named,
)

_BAD = ("refused", "canary_failed")


def replay(  # noqa: PLR0913 - the command's options
    ids: Ids = None,
    *,
    job: JobFilter = None,
    error: ErrorFilter = None,
    kind: KindFilter = None,
    older_than: OlderThan = None,
    newer_than: NewerThan = None,
    everything: Every = False,
    rate: Annotated[float | None, typer.Option(metavar="N", help="At most so many a second.", min=0.001)] = None,
    canary: Annotated[bool, typer.Option("--canary", help="One first; the rest only if its run completes.")] = False,
    dry_run: DryRun = False,
    yes: Yes = False,
    as_json: AsJson = False,
) -> None:
    """Run dead letters again, each at most once, as new runs with the same payload."""
    which = chosen(
        ids, everything=everything, job=job, error=error, kind=kind, older_than=older_than, newer_than=newer_than
    )
    letters = found(which)
    if dry_run:
        say(f"Would replay {named(letters)}")
        return
    confirm("replay", letters, yes=yes)
    load_actors(get_settings())
    if len(letters) == 1 and not canary and not as_json:
        facts = replay_one(letters[0], by=operator())
        say(f"Letter {letters[0]} runs again: callboard run show {short(facts.id)}")
    else:
        _bulk(which, letters, rate=rate, canary=canary, as_json=as_json)


def _bulk(which: Filter, letters: list[int], *, rate: float | None, canary: bool, as_json: bool) -> None:
    events: list[ReplayEvent] = []
    try:
        for event in replay_many(which, by=operator(), rate=rate, canary=canary):
            events.append(event)
            if not as_json:
                say(_line(event), stderr=event.result in _BAD)
    except KeyboardInterrupt:
        say(f"Stopped after {_tried(events)} of {len(letters)}; the same command goes on with the rest.", stderr=True)
        raise
    bad = [event for event in events if event.result in _BAD]
    if as_json:
        print_json([asdict(event) for event in events])
    else:
        replayed = sum(event.result == "replayed" for event in events)
        left = len(letters) - _tried(events)
        say(f"{replayed} replayed, {len(bad)} refused or failed, {left} left as they were.")
    raise typer.Exit(Exit.FAILED if bad else Exit.OK)


def _tried(events: list[ReplayEvent]) -> int:
    """How many letters were dealt with; a canary's verdict is a second event of the same letter."""
    return sum(not event.result.startswith("canary") for event in events)


def _line(event: ReplayEvent) -> str:
    match event.result:
        case "replayed":
            return f"letter {event.letter_id}  run {event.detail}"
        case "canary_ok":
            return f"letter {event.letter_id}  its run completed: now the rest"
        case "canary_failed":
            return f"letter {event.letter_id}  the first run did not complete, the rest is left: {event.detail}"
        case _:
            return f"letter {event.letter_id}  refused: {event.detail}"
