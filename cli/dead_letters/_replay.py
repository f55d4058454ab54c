"""`callboard dead-letters replay`."""

from dataclasses import asdict
from typing import Annotated

import typer

from callboard.arguments import parse_arguments
from callboard.operations.letters import ReplayEvent
from cli._ids import short
from cli._options import Args, AsJson, usage
from cli._output import print_json, say
from cli.board import board
from cli.dead_letters._bulk import Bulk
from cli.dead_letters._plan import print_plan
from cli.dead_letters._select import (
    ById,
    DryRun,
    ErrorFilter,
    Every,
    JobFilter,
    KindFilter,
    NewerThan,
    OlderThan,
    Why,
    Words,
    Yes,
    chosen,
    confirm,
    require,
)


def replay(  # noqa: PLR0913 - the command's options
    words: Words = None,
    *,
    job: JobFilter = None,
    error: ErrorFilter = None,
    kind: KindFilter = None,
    older_than: OlderThan = None,
    newer_than: NewerThan = None,
    everything: Every = False,
    why: Why = "",
    arg: Args = None,
    rate: Annotated[float | None, typer.Option(metavar="N", help="At most so many a second.", min=0.001)] = None,
    canary: Annotated[bool, typer.Option("--canary", help="One first; the rest only if its run completes.")] = False,
    keep_going: Annotated[
        bool, typer.Option("--keep-going", help="Go on when a replay fails as its letter did; else it stops there.")
    ] = False,
    limit: Annotated[int | None, typer.Option(metavar="N", help="At most so many, oldest first.", min=1)] = None,
    detach: Annotated[
        bool, typer.Option("--detach", help="Let the workers do it, and do not wait: it goes on without this command.")
    ] = False,
    dry_run: DryRun = False,
    yes: Yes = False,
    as_json: AsJson = False,
) -> None:
    """Run dead letters again, each at most once, as new runs with the same payload."""
    which = chosen(
        words, everything=everything, job=job, error=error, kind=kind, older_than=older_than, newer_than=newer_than
    )
    plan = board().plan(which)
    count = require(which, plan.count)
    if dry_run:
        print_json(asdict(plan)) if as_json else print_plan("replay", which, plan)
        return
    if arg and count > 1:
        usage(f"--arg changes the arguments of one letter, and {count:,} are chosen: replay them one by one")
    if arg and detach:
        usage("--arg is for one letter, which is replayed at once: leave --detach out")
    confirm("replay", which, count if limit is None else min(count, limit), yes=yes)
    bulk = Bulk(which, count, why, rate, canary, keep_going, limit)
    if detach:
        bulk.detach(as_json=as_json)
    elif arg or (count == 1 and not canary and not as_json):
        (letter_id,) = which.ids if isinstance(which, ById) else board().letter_ids(which, 1)
        _one(letter_id, arg, why, as_json=as_json)
    else:
        bulk.run(as_json=as_json)


def _one(letter_id: int, arg: list[str] | None, why: str, *, as_json: bool) -> None:
    run_id = board().replay(letter_id, parse_arguments(arg or ()) or None, why)
    if as_json:
        print_json([asdict(ReplayEvent(letter_id, "replayed", str(run_id), run_id))])
    else:
        say(f"Letter {letter_id} runs again: callboard run show {short(run_id)}")
