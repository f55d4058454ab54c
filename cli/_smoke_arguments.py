"""Arguments, taken from the sample company, for jobs that nobody asks for within one session of `callboard smoke`."""

from __future__ import annotations

from typing import TYPE_CHECKING, Any
from uuid import uuid4

from sqlalchemy import text

if TYPE_CHECKING:
    from collections.abc import Callable, Mapping

    from sqlalchemy import Connection

_CLUSTER = text("""
select tenant_id, user_id, project_id, environment, extracted_type, extracted_key from memory.memories
where retention_status = 'active' and not gated group by 1, 2, 3, 4, 5, 6 order by count(*) desc limit 1
""")
_GIVEN_UP = text("""
insert into memory.siem_dead_letters (batch_id, destination_id, first_id, last_id, attempts, last_error)
select :batch, d.id, a.first, a.last, 6, 'made up by callboard smoke'
from (select id, tenant_id from memory.siem_destinations order by id limit 1) d
cross join lateral (
    select min(id) as first, max(id) as last from memory.audit_logs l where l.tenant_id = d.tenant_id
) a
""")


def arguments_for(connection: Connection, job: str) -> dict[str, Any] | None:
    """Arguments that make sense for the job; None if none are known."""
    find = _FINDERS.get(job)
    return None if find is None else find(connection)


def _one(argument: str, query: str) -> Callable[[Connection], dict[str, Any]]:
    def find(connection: Connection) -> dict[str, Any]:
        return {argument: connection.execute(text(query)).scalar_one()}

    return find


def _cluster(connection: Connection) -> dict[str, Any]:
    from actors.memory.summaries.clusters import Cluster  # noqa: PLC0415 - declares jobs, which may not be wanted

    return {"cluster": str(Cluster(*connection.execute(_CLUSTER).one()))}


def _batch(connection: Connection) -> dict[str, Any]:
    batch = uuid4()
    connection.execute(_GIVEN_UP, {"batch": batch})
    return {"batch": str(batch)}


_FINDERS: Mapping[str, Callable[[Connection], dict[str, Any]]] = {
    "embedding_refresh": _one("memory_id", "select max(id) from memory.memories where retention_status = 'active'"),
    "promote_candidate": _one("candidate_id", "select max(id) from memory.memory_candidates"),
    "siem_skip_batch": _batch,
    "summarise_cluster": _cluster,
    "tenant_snapshot": _one("tenant_id", "select id::text from memory.tenants order by id limit 1"),
    "user_snapshot": _one("user_id", "select id::text from memory.users order by id limit 1"),
    "reevaluate_memory": _one("memory_id", "select max(id) from memory.memories where retention_status = 'active'"),
}
