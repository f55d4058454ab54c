"""Queries on what surrounds a run that does not run: who takes its queue, what runs beside it, who holds its claim."""

from __future__ import annotations

from typing import TYPE_CHECKING, Any

from sqlalchemy import text

if TYPE_CHECKING:
    from sqlalchemy import Connection, RowMapping

_AROUND = text("""
select w.consumers, w.threads, w.busy,
       (select count(*) from board.runs where state = 'running' and job = :job and id <> :id) as running,
       (select extract(epoch from arrival + make_interval(secs => :step) - make_interval(secs => :window) - now())
        from board.rates where job = :job) as rate_opens,
       (select c.run_id from board.claims c join board.runs r on r.id = c.run_id and r.created_at = c.run_created_at
        where c.job = :job and c.scope = :scope and c.run_id <> :id and r.state in ('pending', 'running')) as holder,
       (select case when state in ('alive', 'draining') then extract(epoch from now() - lease_until)
                    else extract(epoch from now() - heartbeat_at) end
        from board.workers where id = :worker_id) as silent
from (
    select count(*) as consumers, coalesce(sum(threads), 0) as threads, coalesce(sum(busy), 0) as busy
    from board.workers where state = 'alive' and lease_until > now() and :queue = any(queues)
) w
""")


def around(connection: Connection, run: RowMapping | dict[str, Any], rate: tuple[int, float] | None) -> RowMapping:
    """Consumers, threads and busy of the queue; running of the job; rate_opens, holder and silent, null without one.

    Args:
        connection: A transaction on the ledger.
        run: The run's row.
        rate: Starts and the seconds they are counted in, if the job has a rate.
    """
    starts, window = rate or (1, 0.0)
    given = {name: run[name] for name in ("id", "job", "queue", "scope", "worker_id")}
    return connection.execute(_AROUND, given | {"step": window / starts, "window": window}).mappings().one()
