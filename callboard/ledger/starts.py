"""The statement that begins many attempts at once."""

from __future__ import annotations

from base64 import b64encode
from typing import TYPE_CHECKING, Any

from callboard.ledger.facts import dumps
from callboard.ledger.rows import INTO, TOLD, VALUES, event, told
from callboard.ledger.seal import seal
from callboard.ledger.tokens import NEXT

if TYPE_CHECKING:
    from collections.abc import Iterable
    from uuid import UUID

    from callboard.ledger.facts import RunFacts
    from callboard.ledger.wire import Cursor

# A delayed message may come this much before its time: the broker's clock is not ours.
_EARLY_SECONDS = 1.0

# A run without a row is written as running, unless it was given out too often before.
_START = f"""
insert into board.runs as r ({INTO}, delivery, payload, crashes, history, state, attempt, token, worker_id, started_at)
select {VALUES}, delivery, decode(payload, 'base64'), crashes, history,
       case when poison then 'pending' else 'running' end, case when poison then crashes else crashes + 1 end,
       case when not poison then {NEXT} end, case when not poison then %(worker_id)s::uuid end,
       case when not poison then now() end
from (
    select *, crashes >= %(max_crashes)s as poison
    from json_to_recordset(%(rows)s::json)
        as told ({TOLD}, delivery text, payload text, crashes smallint, history jsonb)
    order by id
) g
on conflict (id, created_at) do update
set state = 'running', attempt = r.attempt + 1, token = {NEXT}, worker_id = %(worker_id)s::uuid, started_at = now(),
    retry_at = null, reason = null
where r.state = 'pending' and r.crashes < %(max_crashes)s and r.cancel_requested_at is null
  and (r.retry_at is null or r.retry_at <= now() + make_interval(secs => %(early)s))
returning id, attempt, token
"""  # noqa: S608 - constants only


def start(
    cursor: Cursor, runs: Iterable[RunFacts], *, worker_id: UUID, max_crashes: int
) -> dict[UUID, tuple[int, int]]:
    """Begin an attempt of each run that may start now: `(attempt, token)` by id. No run may be there twice."""
    given = {"rows": dumps([_row(facts) for facts in runs]), "worker_id": worker_id}
    cursor.execute(_START, given | {"max_crashes": max_crashes, "early": _EARLY_SECONDS})
    return {row[0]: (row[1], row[2]) for row in cursor if row[2] is not None}


def _row(facts: RunFacts) -> dict[str, Any]:
    row = told(facts) | {"delivery": facts.delivery or None, "crashes": 0}
    if facts.durable:
        row["payload"] = b64encode(seal(facts.payload)).decode()
    if _began_without_a_row(facts):
        detail = "given out before to a worker that died; it may have begun"
        row |= {"crashes": 1, "history": [event("lost", detail)]}
    return row


def _began_without_a_row(facts: RunFacts) -> bool:
    """Whether an attempt may have begun that no row tells of.

    Only the first attempt of a light run starts so, and only when its message is given out for the first time; all
    others are written first, and are counted when their row is taken from the dead worker. So `facts.crashes` stands
    for one unrecorded start at most, however often the message was fetched: a neighbour of a poisonous message, fetched
    with it each time and never begun, must not be taken for poison itself.
    """
    return facts.crashes > 0 and not (facts.durable or facts.single or facts.concurrency or facts.rate)
