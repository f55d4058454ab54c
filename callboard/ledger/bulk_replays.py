"""Queries on `board.bulk_replays`: what was asked for, how far it is, and how it ended."""

from __future__ import annotations

from typing import TYPE_CHECKING, Any

from sqlalchemy import func, literal_column, select

from callboard.errors import NotFound
from callboard.ledger import tables
from callboard.ledger.facts import readable
from callboard.ledger.replay_tables import bulk_replays
from observability.redaction import redact_text

if TYPE_CHECKING:
    from collections.abc import Sequence
    from uuid import UUID

    from sqlalchemy import Connection, RowMapping, Select

#: The job that does them, and its queue; `callboard.bulk_replay` declares it.
NAME, QUEUE = "callboard_replay", "callboard_replays"

_BULK = bulk_replays.c
_RUN = tables.runs.c
_LONGEST_TEXT = 500
# Constants, so that the partial index is found by them.
_UNDER_WAY = _BULK.result.is_(None) & _RUN.state.in_([literal_column("'pending'"), literal_column("'running'")])


def next_id(connection: Connection) -> int:
    """A number that no other bulk replay has or had."""
    sequence = func.nextval(literal_column("'board.bulk_replays_id_seq'"))
    return int(connection.execute(select(sequence)).scalar_one())


def insert(connection: Connection, **asked: Any) -> None:  # noqa: ANN401 - the columns
    """Write what was asked for; `why` and `agent` are redacted."""
    told = {name: None if asked[name] is None else _told(asked[name]) for name in ("why", "agent")}
    connection.execute(bulk_replays.insert().values(**{**asked, **told}))


def _told(text: str) -> str:
    return redact_text(readable(text))[:_LONGEST_TEXT]


def get(connection: Connection, replay_id: int) -> RowMapping:
    """One, with where its run stands in `run_state` and its like; null when that is gone.

    Raises:
        NotFound: There is none of that id.
    """
    row = connection.execute(_shown().where(_BULK.id == replay_id)).mappings().one_or_none()
    if row is None:
        raise NotFound(f"No bulk replay has the id {replay_id}; /admin/dead_letters shows those under way.")
    return row


def listing(connection: Connection, *, limit: int, under_way: bool = False) -> Sequence[RowMapping]:
    """The newest first, as `get` tells one; or only those that are not over."""
    query = _shown().order_by(_BULK.id.desc()).limit(limit)
    return connection.execute(query.where(_UNDER_WAY) if under_way else query).mappings().all()


def _shown() -> Select[Any]:
    run = [_RUN[name].label(f"run_{name}") for name in ("state", "error", "cancel_requested_at", "finished_at")]
    return select(bulk_replays, *run).select_from(bulk_replays.outerjoin(tables.runs, _RUN.id == _BULK.run_id))


def hold(connection: Connection, replay_id: int) -> RowMapping:
    """One, held until the transaction ends.

    Raises:
        NotFound: There is none of that id.
    """
    query = select(bulk_replays).where(_BULK.id == replay_id).with_for_update()
    row = connection.execute(query).mappings().one_or_none()
    if row is None:
        raise NotFound(f"No bulk replay has the id {replay_id} any more.")
    return row


def save(connection: Connection, replay_id: int, **changed: Any) -> None:  # noqa: ANN401 - the columns
    """Write how far it is."""
    connection.execute(bulk_replays.update().where(_BULK.id == replay_id).values(**changed))


def end(connection: Connection, replay_id: int, result: str, *, detail: str = "", left: int | None = None) -> None:
    """Write how it ended, unless that is known already."""
    ended = {"result": result, "detail": redact_text(detail), "letters_left": left, "ended_at": func.now()}
    connection.execute(bulk_replays.update().where(_BULK.id == replay_id, _BULK.result.is_(None)).values(**ended))


def taken_on(connection: Connection, replay_id: int, run_id: UUID) -> RowMapping:
    """One, from now on the work of this run; what a bulk replay's own dead letter is replayed as goes on with it.

    Raises:
        NotFound: There is none of that id any more.
    """
    row = hold(connection, replay_id)
    save(connection, replay_id, run_id=run_id)
    return row
