"""The replay of a dead letter: a new delivery of the same event, which points at the letter.

The engine replays a run with the arguments it had, so the job is given the name of the delivery that failed first; from
there the way leads over its dead letter to the delivery that replays it, and on, if that one failed too.
"""

from __future__ import annotations

from typing import TYPE_CHECKING

from sqlalchemy import text

from actors.memory.webhooks.rows import LOOKED_AFTER
from callboard import PermanentError

if TYPE_CHECKING:
    from datetime import datetime

    from sqlalchemy import Connection

    from callboard import Run

_TRIGGERS = ("replay:", "retry:")
_LAST = text("""
with recursive chain as (
    select id, status, run_id, 1 as place from memory.webhook_deliveries where id = :id
    union all
    select d.id, d.status, d.run_id, c.place + 1
    from chain c
    join memory.webhook_dead_letters l on l.delivery_id = c.id
    join memory.webhook_deliveries d on d.replay_of = l.id
)
select id, status, run_id from chain order by place desc limit 1
""")
_REPLAY = text("""
with letter as (
    update memory.webhook_dead_letters set replayed_at = :now, replayed_by = :by
    where delivery_id = :id and replayed_at is null returning *
)
insert into memory.webhook_deliveries (webhook_id, event_id, event_type, payload_json, replay_of, looked_after_until)
select webhook_id, event_id, event_type, payload_json, id, :until from letter
returning id
""")


def is_replay(run: Run) -> bool:
    """Whether an operator, or the engine for one, asked for a run that had failed."""
    return run.trigger.startswith(_TRIGGERS)


def replayed(connection: Connection, delivery_id: int, run: Run, now: datetime) -> int:
    """The delivery that the run is to make: a new one, unless the run itself had made one before.

    Raises:
        PermanentError: The delivery was deleted together with its webhook, or somebody else was faster.
    """
    last = connection.execute(_LAST, {"id": delivery_id}).one_or_none()
    if last is None:
        raise PermanentError(f"wd_{delivery_id} was deleted together with its webhook; there is nowhere to send it.")
    if last.status != "dead_letter" or last.run_id == run.id:
        return int(last.id)
    given = {"id": last.id, "now": now, "by": run.trigger, "until": now + LOOKED_AFTER}
    made = connection.execute(_REPLAY, given).scalar_one_or_none()
    if made is None:
        raise PermanentError(f"wd_{last.id} is being replayed, or was; a dead letter is replayed at most once.")
    return int(made)
