"""A bulk replay as a run of `callboard.bulk_replay`: its place is in the ledger, and its report is of the whole."""

from __future__ import annotations

from dataclasses import dataclass
from typing import TYPE_CHECKING

from callboard.compose import get_broker
from callboard.errors import NotFound, PermanentError
from callboard.filters import parse
from callboard.ledger import bulk_replays as ledger
from callboard.ledger.audit import Who
from callboard.ledger.database import transaction
from callboard.operations._bulk_replay import BulkReplay, Place, fixed
from callboard.replay import Pace
from callboard.run import current_run

if TYPE_CHECKING:
    from sqlalchemy import Connection, RowMapping

    from callboard.operations._bulk_replay import ReplayEvent
    from callboard.run import Run

_EARLY = ("stopped", "canary_failed", "same_failure")


def carry_out(replay_id: int) -> None:
    """Replay the letters that are left of it, until the end, the stop, or a reason to stop."""
    run = current_run()
    try:
        with transaction() as connection:
            row = ledger.taken_on(connection, replay_id, run.id)
    except NotFound as error:
        raise PermanentError(str(error)) from error
    run.count(replayed=row["replayed"], refused=len(row["refused"]))
    if row["result"] is not None:
        run.quiet()
        return
    bulk, last = _bulk(row, run), None
    for event in bulk.events(canary=row["canary"]):
        _tell(run, bulk.place, row["total"])
        last = event
    _end(run, replay_id, last)


def _bulk(row: RowMapping, run: Run) -> BulkReplay:
    return BulkReplay(
        broker=get_broker(),
        chosen=fixed(parse(row["filter"], "dead_letters"), row["created_at"]),
        who=Who(row["who"], row["ip"], row["agent"], row["team_id"]),
        why=row["why"],
        pace=Pace(row["rate"]),
        stop_on_same=row["stop_on_same"],
        limit=row["most"],
        stop=lambda: run.cancelled,
        book=_Row(row["id"]),
    )


@dataclass(frozen=True, slots=True)
class _Row:
    """The row as the book of its replay."""

    id: int

    def open(self, connection: Connection) -> Place:
        row = ledger.hold(connection, self.id)
        return Place(
            newest=row["newest"],
            last_failure=row["last_failure"],
            at=row["place"],
            waiting=row["waiting"],
            replayed=row["replayed"],
            refused=set(row["refused"]),
            refusals=list(row["refusals"]),
            issues=set(row["issues"]),
            first_run=row["first_run"],
            canary_ok=row["canary_ok"],
        )

    def close(self, connection: Connection, place: Place) -> None:
        ledger.save(
            connection,
            self.id,
            place=place.at,
            waiting=place.waiting,
            replayed=place.replayed,
            refused=sorted(place.refused),
            refusals=place.refusals,
            issues=sorted(place.issues),
            first_run=place.first_run,
            canary_ok=place.canary_ok,
        )


def _tell(run: Run, place: Place, total: int) -> None:
    """The report is of all attempts, and of a process that took this one for dead, if there is one."""
    told = run.counts
    if told["replayed"] + told["refused"] == place.tried:
        return
    run.count(replayed=place.replayed - told["replayed"], refused=len(place.refused) - told["refused"])
    run.progress(place.tried, max(total, place.tried), f"{place.replayed:,} replayed, {len(place.refused):,} refused")


def _end(run: Run, replay_id: int, last: ReplayEvent | None) -> None:
    early = last if last is not None and last.result in _EARLY else None
    with transaction() as connection:
        if early is None:
            ledger.end(connection, replay_id, "done")
        else:
            ledger.end(connection, replay_id, early.result, detail=early.detail, left=early.left)
    if early is not None:
        run.note(ended=early.result, why=early.detail, left=early.left)
        run.log.warning("bulk_replay.ended_early", result=early.result, detail=early.detail, left=early.left)
