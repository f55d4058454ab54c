"""The jobs `auto_summarization_job` and `summarise_cluster`.

The hourly run takes the tenants whose interval is over, one after the other, and stops early in each at
`summary_tenant_limit` summaries: a tenant with most of all rows does not keep the others waiting, and goes on in the
next run. A cluster that fails is left to the next run too; what fails for all of them ends the run.
"""

from __future__ import annotations

from dataclasses import dataclass
from datetime import UTC, datetime
from typing import TYPE_CHECKING
from uuid import UUID

from sqlalchemy import text

from actors.memory.budget import BudgetSpent
from actors.memory.clients.model import Model, fails_for_all
from actors.memory.settings import MemorySettings, get_memory_settings
from actors.memory.summaries.clusters import Cluster, Standing, end_orphans, standings, standings_around
from actors.memory.summaries.summarise import summarise
from callboard import (
    Backoff,
    DuplicateRun,
    PermanentError,
    Run,
    TransientError,
    cron,
    current_run,
    job,
    outbox,
    transaction,
)

if TYPE_CHECKING:
    from collections.abc import Iterator, Sequence

    from sqlalchemy import Connection

_USERS_AT_ONCE = 100
# A time in the future is that of a clock that was set back since.
_DUE = text("""
select t.id from memory.tenants t left join memory.tenant_settings s on s.tenant_id = t.id
where t.deleted_at is null and (s.summarised_at is null or s.summarised_at > :now or s.summarised_at
    <= :now - make_interval(secs => 3600 * coalesce(s.cluster_interval_hours, :interval)))
order by s.summarised_at nulls first, t.id
""")
_USERS = text("""
select id from memory.users
where tenant_id = :tenant and deleted_at is null and id > :last order by id limit :most
""")
_DONE = text("""
insert into memory.tenant_settings as s (tenant_id, summarised_at) values (:tenant, :now)
on conflict (tenant_id) do update set summarised_at = excluded.summarised_at
""")


@job(
    "auto_summarization_job",
    queue="intelligence",
    cadence=cron("5 * * * *"),
    retry=Backoff(max_retries=3, base=60, cap=900),
    time_limit=3300,
    label="Sum up memories",
)
def auto_summarization() -> None:
    """Refresh the summaries of clusters that changed since."""
    run, settings = current_run(), get_memory_settings()
    run.count(scanned=0, summarised=0, skipped_unchanged=0)
    now = datetime.now(UTC)
    with Model.of(settings) as model:
        summarise_tenants(due_tenants(settings, now), _Work(run, model, settings, now))
    if run.counts["scanned"] == run.counts["skipped_unchanged"]:
        run.quiet()


@job(
    "summarise_cluster",
    queue="intelligence",
    single_per="cluster",
    retry=Backoff(max_retries=3, base=15, cap=300),
    time_limit=300,
    label="Sum up one cluster",
)
def summarise_cluster(cluster: str) -> None:
    """Refresh the summary of one cluster, which a write has changed."""
    run, settings = current_run(), get_memory_settings()
    run.count(scanned=1, summarised=0, skipped_unchanged=0)
    with Model.of(settings) as model:
        try:
            made = summarise(Cluster.parse(cluster), model, settings, datetime.now(UTC))
        except BudgetSpent as error:  # the hourly job comes back to it when there is some again
            run.note(budget=str(error))
            return
    run.count(**{"summarised" if made else "skipped_unchanged": 1})


def wanted(connection: Connection, memory_ids: Sequence[int]) -> int:
    """Ask for a summary of every cluster of these memories that is due for one; how many were asked for.

    The runs leave after the commit of the connection's transaction. Costs one statement where nothing is due, and
    nothing at all where no language model is set.
    """
    settings, now = get_memory_settings(), datetime.now(UTC)
    if settings.model_key is None or not memory_ids:
        return 0
    around = standings_around(connection, memory_ids, least=settings.summary_min_cluster_size, now=now)
    return sum(_ask_for(connection, standing.cluster) for standing in around if not standing.is_current)


def _ask_for(connection: Connection, cluster: Cluster) -> bool:
    """Whether there was no run for it already."""
    try:
        outbox.send(connection, summarise_cluster, cluster=str(cluster))
    except DuplicateRun:
        return False
    return True


def due_tenants(settings: MemorySettings, now: datetime) -> list[UUID]:
    """Tenants whose interval is over, those that wait longest first."""
    with transaction() as connection:
        return list(connection.scalars(_DUE, {"now": now, "interval": settings.cluster_interval_hours}))


@dataclass(frozen=True, slots=True)
class _Work:
    """What one run works with."""

    run: Run
    model: Model
    settings: MemorySettings
    now: datetime


def summarise_tenants(tenants: Sequence[UUID], work: _Work) -> None:
    """Look through the clusters of each of these tenants.

    Raises:
        TransientError, PermanentError, AuthenticationError: The model works for nobody; the rest is left undone.
    """
    for done, tenant in enumerate(tenants):
        if work.run.cancelled:
            return
        work.run.progress(done, len(tenants), f"{done} of {len(tenants)} tenants")
        if _summarise_tenant(tenant, work):
            with transaction() as connection:
                connection.execute(_DONE, {"tenant": tenant, "now": work.now})


def _summarise_tenant(tenant: UUID, work: _Work) -> bool:
    """Whether all of its clusters were looked at."""
    left = work.settings.summary_tenant_limit
    for standing in _standings(tenant, work):
        if left == 0 or work.run.cancelled:
            return False
        work.run.count(scanned=1)
        if standing.is_current:
            work.run.count(skipped_unchanged=1)
            continue
        left -= 1
        try:
            _attempt(standing.cluster, work)
        except BudgetSpent as error:
            work.run.count(budget_skipped=1)
            work.run.log.info("summary.budget_spent", tenant_id=str(tenant), reason=str(error))
            return False
    return True


def _attempt(cluster: Cluster, work: _Work) -> None:
    """Sum up one cluster; what fails for this one alone is counted."""
    try:
        made = summarise(cluster, work.model, work.settings, work.now)
    except (TransientError, PermanentError) as error:
        if fails_for_all(error) or isinstance(error, BudgetSpent):
            raise
        work.run.count(failed=1)
        work.run.log.warning("summary.failed", user_id=str(cluster.user_id), error=str(error))
    else:
        work.run.count(**{"summarised" if made else "skipped_unchanged": 1})


def _standings(tenant: UUID, work: _Work) -> Iterator[Standing]:
    last = UUID(int=0)
    while True:
        with transaction() as connection:
            given = {"tenant": tenant, "last": last, "most": _USERS_AT_ONCE}
            users = list(connection.scalars(_USERS, given))
            end_orphans(connection, users, now=work.now)
            found = standings(connection, users, least=work.settings.summary_min_cluster_size, now=work.now)
        yield from found
        if len(users) < _USERS_AT_ONCE:
            return
        last = users[-1]
