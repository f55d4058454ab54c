"""The jobs `generate_daily_insights_job`, `tenant_snapshot` and `user_snapshot`.

The daily run makes the tenants' snapshots itself, and asks for one run for each user whose memories changed since.
"""

from __future__ import annotations

from contextlib import suppress
from datetime import UTC, datetime
from typing import TYPE_CHECKING
from uuid import UUID

from sqlalchemy import text

from actors.memory.budget import BudgetSpent
from actors.memory.clients.model import Model, fails_for_all
from actors.memory.insights.sample import Owner
from actors.memory.insights.snapshot import snapshot
from actors.memory.settings import MemorySettings, get_memory_settings
from callboard import (
    Backoff,
    DuplicateRun,
    PermanentError,
    Postponed,
    Run,
    TransientError,
    cron,
    current_run,
    job,
    outbox,
    transaction,
)

if TYPE_CHECKING:
    from collections.abc import Iterator

_AT_ONCE = 500
_COUNTED = {
    "written": ("snapshots_written",),
    "low_confidence": ("snapshots_written", "low_confidence"),
    "unchanged": ("skipped_unchanged",),
    "empty": (),
}
_TENANTS = text("select id from memory.tenants where deleted_at is null and id > :last order by id limit :most")
_DIRTY = text("""
select id from memory.users where tenant_id = :tenant and insights_dirty and deleted_at is null and id > :last
order by id limit :most
""")
_USER = text("select tenant_id from memory.users where id = :id and deleted_at is null")


@job(
    "generate_daily_insights_job",
    queue="intelligence",
    cadence=cron("30 2 * * *"),
    retry=Backoff(max_retries=3, base=300, cap=3600),
    time_limit=6 * 3600,
    label="Find daily insights",
)
def generate_daily_insights() -> None:
    """Write what every tenant's memories come to today, and ask for that of users whose memories changed."""
    run, settings = current_run(), get_memory_settings()
    _zero(run)
    with Model.of(settings) as model:
        write_snapshots(run, model, settings, datetime.now(UTC))
    if not run.counts["snapshots_written"] and not run.counts["failed"]:
        run.quiet()


@job(
    "tenant_snapshot",
    queue="intelligence",
    single_per="tenant_id",
    retry=Backoff(max_retries=3, base=60, cap=900),
    time_limit=600,
    label="Find a tenant's insights",
)
def tenant_snapshot(tenant_id: str) -> None:
    """Write what a tenant's memories come to today."""
    _snapshot_now(Owner(_uuid("tenant_id", tenant_id)))


@job(
    "user_snapshot",
    queue="intelligence",
    single_per="user_id",
    concurrency=4,
    retry=Backoff(max_retries=3, base=60, cap=900),
    time_limit=600,
    label="Find a user's insights",
)
def user_snapshot(user_id: str) -> None:
    """Write what a user's memories come to today."""
    user = _uuid("user_id", user_id)
    with transaction() as connection:
        tenant: UUID | None = connection.scalar(_USER, {"id": user})
    if tenant is None:
        current_run().note(skipped="the user is gone")
        return
    _snapshot_now(Owner(tenant, user))


def write_snapshots(run: Run, model: Model, settings: MemorySettings, now: datetime) -> None:
    """The snapshots of all tenants; one that fails does not stop the others.

    Raises:
        TransientError, PermanentError, AuthenticationError: The model works for nobody; the rest is left undone.
    """
    for tenant in _tenants():
        if run.cancelled:
            return
        run.count(tenants_scanned=1)
        try:
            _count(run, snapshot(Owner(tenant), model, settings, now))
        except (TransientError, PermanentError) as error:
            if fails_for_all(error):
                raise
            run.count(failed=1)
            run.log.warning("insights.failed", tenant_id=str(tenant), error=str(error))
        _ask_for_users(tenant)


def _snapshot_now(owner: Owner) -> None:
    run, settings = current_run(), get_memory_settings()
    _zero(run)
    run.count(tenants_scanned=1)
    now = datetime.now(UTC)
    with Model.of(settings) as model:
        try:
            _count(run, snapshot(owner, model, settings, now))
        except BudgetSpent as error:
            raise Postponed(_until_tomorrow(now), str(error)) from error


def _until_tomorrow(now: datetime) -> float:
    """Seconds to the next UTC day, when there is a budget again."""
    return 86_400.0 - (now - now.replace(hour=0, minute=0, second=0, microsecond=0)).total_seconds()


def _ask_for_users(tenant: UUID) -> None:
    last = UUID(int=0)
    while True:
        with transaction() as connection:
            users = list(connection.scalars(_DIRTY, {"tenant": tenant, "last": last, "most": _AT_ONCE}))
            for user in users:
                with suppress(DuplicateRun):
                    outbox.send(connection, user_snapshot, user_id=str(user))
        if len(users) < _AT_ONCE:
            return
        last = users[-1]


def _tenants() -> Iterator[UUID]:
    last = UUID(int=0)
    while True:
        with transaction() as connection:
            found = list(connection.scalars(_TENANTS, {"last": last, "most": _AT_ONCE}))
        yield from found
        if len(found) < _AT_ONCE:
            return
        last = found[-1]


def _zero(run: Run) -> None:
    run.count(tenants_scanned=0, snapshots_written=0, skipped_unchanged=0, low_confidence=0, failed=0)


def _count(run: Run, outcome: str) -> None:
    run.count(**dict.fromkeys(_COUNTED[outcome], 1))


def _uuid(field: str, given: str) -> UUID:
    try:
        return UUID(given)
    except ValueError:
        raise PermanentError(f"{field} {given!r} must be a UUID.") from None
