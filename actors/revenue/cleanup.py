"""The job `soft_delete_cleanup`: what was marked as deleted long ago goes for good.

    1. what belongs to a team or project that is due is due with it: it gets the mark of what it belongs to
    2. the events of apps that are due, which no foreign key ties to them, with a count for each project
    3. children before parents, a parent only once it has no child left

Every step is a short transaction of its own and finds its work in the tables, so that a run that was killed is simply
run again.
"""

from __future__ import annotations

from datetime import UTC, datetime, timedelta
from typing import TYPE_CHECKING, NamedTuple

from sqlalchemy import text

from actors.revenue.event_tables import EVENT_TABLES, partitions
from actors.revenue.settings import get_revenue_settings
from callboard import Backoff, cron, current_run, job, transaction

if TYPE_CHECKING:
    from collections.abc import Sequence
    from uuid import UUID

    from actors.revenue.settings import RevenueSettings
    from callboard import Run

REASON = "soft_delete_cleanup"

_REPORT = (
    *("teams", "projects", "apps", "apiKeys", "metricDefinitions", "funnelDefinitions", "events", "metricEvents"),
    *("funnelEvents", "auditLogs", "teamMembers", "teamInvitations", "integrations", "appUsers"),
)
#: Report names of the event tables.
_EVENTS = dict(zip(EVENT_TABLES, ("events", "metricEvents", "funnelEvents"), strict=True))

# A child that was marked later than its parent goes with it all the same, and must not be left for the foreign key.
_STAMPS = tuple(
    text(f"""
        update revenue.{child} c set deleted_at = p.deleted_at from revenue.{parent}s p
        where p.id = c.{parent}_id and p.deleted_at < :cutoff and (c.deleted_at is null or c.deleted_at > p.deleted_at)
    """)  # noqa: S608 - the names stand below
    for child, parent in (
        ("projects", "team"),
        ("apps", "project"),
        ("metric_definitions", "project"),
        ("funnel_definitions", "project"),
        ("integrations", "project"),
        ("api_keys", "team"),
        ("api_keys", "app"),
    )
)


class _Step(NamedTuple):
    """Rows of a table that are due, by the name they are reported under; `c` is the row."""

    report: str
    table: str
    due: str


_DUE = "c.deleted_at < :cutoff"
_TEAM_DUE = "exists (select from revenue.teams t where t.id = c.team_id and t.deleted_at < :cutoff)"
_PROJECT_DUE = "exists (select from revenue.projects p where p.id = c.project_id and p.deleted_at < :cutoff)"
# An app that still gets events stays until it gets none: nothing would lead to them any more.
_APP_DUE = " and ".join(
    (
        _DUE,
        *(f"not exists (select from revenue.{child} k where k.app_id = c.id)" for child in ("api_keys", *EVENT_TABLES)),
    )
)
_STEPS = (
    _Step("apiKeys", "api_keys", _DUE),
    _Step("apps", "apps", _APP_DUE),
    _Step("metricDefinitions", "metric_definitions", _DUE),
    _Step("funnelDefinitions", "funnel_definitions", _DUE),
    _Step("integrations", "integrations", _DUE),
    _Step("appUsers", "app_users", _PROJECT_DUE),
    _Step("projects", "projects", f"{_DUE} and not exists (select from revenue.apps a where a.project_id = c.id)"),
    _Step("teamInvitations", "team_invitations", _TEAM_DUE),
    _Step("teamMembers", "team_members", _TEAM_DUE),
    _Step("auditLogs", "audit_logs", _TEAM_DUE),
    _Step("teams", "teams", f"{_DUE} and not exists (select from revenue.projects p where p.team_id = c.id)"),
)
_EXPIRED_APPS = text("""
select project_id, array_agg(id) as apps, min(deleted_at) as since from revenue.apps
where deleted_at < :cutoff group by project_id order by project_id
""")
# The row of a run that was killed is gone on with: it is one if an app that was due at its cutoff is still there.
_COUNT_ON = text("""
update revenue.event_deletions d set deleted_count = d.deleted_count + :rows, cutoff_date = :cutoff
where d.id = (
    select max(id) from revenue.event_deletions
    where project_id = :project_id and table_name = :table and reason = :reason and cutoff_date > :since
)
""")
_COUNT = text("""
insert into revenue.event_deletions (project_id, table_name, reason, cutoff_date, deleted_count)
values (:project_id, :table, :reason, :cutoff, :rows)
""")


@job(
    "soft_delete_cleanup",
    queue="maintenance",
    cadence=cron("0 3 * * *"),
    on_crash="fail",
    retry=Backoff(max_retries=3, base=300),
    time_limit=6 * 3600,
    label="Soft-Delete Cleanup",
)
def soft_delete_cleanup() -> None:
    """Hard-delete resources that were soft-deleted more than 7 days ago."""
    run, settings = current_run(), get_revenue_settings()
    run.count(**dict.fromkeys(_REPORT, 0))
    cutoff = datetime.now(UTC) - timedelta(days=settings.soft_delete_days)
    _Cleanup(run, settings, cutoff).all()
    if not any(run.counts.values()):
        run.quiet()


class _Cleanup:
    """One run; everything marked before `cutoff` is due."""

    def __init__(self, run: Run, settings: RevenueSettings, cutoff: datetime) -> None:
        self._run, self._batch, self._cutoff = run, settings.soft_delete_batch, cutoff

    def all(self) -> None:
        """Do the three steps, unless somebody cancels."""
        with transaction() as connection:
            for stamp in _STAMPS:
                connection.execute(stamp, {"cutoff": self._cutoff})
        self._delete_events()
        for step in _STEPS:
            self._delete(step)

    def _delete_events(self) -> None:
        with transaction() as connection:
            expired = connection.execute(_EXPIRED_APPS, {"cutoff": self._cutoff}).all()
            leaves = partitions(connection)
        for number, (project_id, apps, since) in enumerate(expired, start=1):
            for leaf in leaves:
                self._empty(leaf.table, leaf.name, _Expired(project_id, apps, since))
            self._run.progress(number, len(expired), f"Deleted the events of {number} of {len(expired)} projects")

    def _empty(self, table: str, leaf: str, expired: _Expired) -> None:
        """Delete the apps' rows from one partition, a batch in a transaction together with its count."""
        statement = text(f"""
            delete from revenue.{leaf} where ctid = any(array(
                select ctid from revenue.{leaf} where app_id = any(:apps) limit :batch
            ))
        """)  # noqa: S608 - a partition's name, from the catalogue
        rows = self._batch
        while rows == self._batch and not self._run.cancelled:
            with transaction() as connection:
                rows = connection.execute(statement, {"apps": expired.apps, "batch": self._batch}).rowcount
                given = {"project_id": expired.project_id, "table": table, "reason": REASON, "cutoff": self._cutoff}
                if rows and not connection.execute(_COUNT_ON, {**given, "rows": rows, "since": expired.since}).rowcount:
                    connection.execute(_COUNT, {**given, "rows": rows})
            self._run.count(**{_EVENTS[table]: rows})

    def _delete(self, step: _Step) -> None:
        statement = text(f"""
            delete from revenue.{step.table} where ctid = any(array(
                select c.ctid from revenue.{step.table} c where {step.due} limit :batch
            ))
        """)  # noqa: S608 - the names stand above
        rows = self._batch
        while rows == self._batch and not self._run.cancelled:
            with transaction() as connection:
                rows = connection.execute(statement, {"cutoff": self._cutoff, "batch": self._batch}).rowcount
            self._run.count(**{step.report: rows})


class _Expired(NamedTuple):
    """The apps of a project that are due, and when the first of them was marked."""

    project_id: UUID
    apps: Sequence[UUID]
    since: datetime
