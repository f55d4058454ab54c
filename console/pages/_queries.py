"""Queries that only pages ask: a few rows each, from an index of what is open."""

from __future__ import annotations

from typing import TYPE_CHECKING, Any

from sqlalchemy import text

from callboard.errors import NotFound

if TYPE_CHECKING:
    from collections.abc import Sequence

    from sqlalchemy import Connection, RowMapping

_RUNNING = text("""
select id, job, scope, started_at, progress, attempt, cancel_requested_at from board.runs
where state = 'running' order by started_at limit :most
""")
_OLDEST = text("""
select id, job, queue, scope, created_at, eligible_at, retry_at, attempt, reason, error_type,
       coalesce(eligible_at, created_at) as since
from board.runs where state = 'pending' and coalesce(eligible_at, created_at) <= :now
order by coalesce(eligible_at, created_at) limit :most
""")
_ISSUES = text("""
select id, title, job, subject, type, severity, status, kind, error_type, occurrences, reopened, last_seen_at
from board.issues where status <> 'resolved' and (silenced_until is null or silenced_until < :now)
order by last_seen_at desc, id desc limit :most
""")
_JOBS = text("""
select job, min(queue) as queue,
       cast(sum(attempts) filter (where outcome = 'success') as bigint) as completed,
       cast(sum(attempts) filter (where outcome = 'failed') as bigint) as failed,
       cast(sum(attempts) filter (where outcome = 'retry') as bigint) as retried,
       sum(seconds) as seconds, cast(sum(attempts) as bigint) as attempts
from board.totals group by job
""")
_OPEN = text("""
select job, min(queue) as queue, count(*) filter (where state = 'pending') as pending,
       count(*) filter (where state = 'running') as running
from board.runs where state in ('pending', 'running') group by job
""")
_DEAD = text("select job, count(*) as dead from board.dead_letters where state = 'open' group by job")
_DURATIONS = text("""
select count(*) as runs, count(*) filter (where state = 'failed') as failed,
       percentile_cont(0.5) within group (order by extract(epoch from finished_at - started_at)) as p50,
       percentile_cont(0.95) within group (order by extract(epoch from finished_at - started_at)) as p95,
       max(extract(epoch from finished_at - started_at)) as most,
       percentile_cont(0.95) within group (
           order by extract(epoch from started_at - coalesce(eligible_at, created_at))) as wait_p95
from (select state, started_at, finished_at, eligible_at, created_at from board.runs where job = :job
      order by created_at desc limit :last) r
where finished_at is not null and started_at is not null
""")
_OVER_TIME = text("""
select to_timestamp(floor(extract(epoch from occurred_at) / :step) * :step) as at, count(*) as failures
from (select occurred_at from board.failures where issue_id = :issue order by id desc limit 20000) f
where occurred_at > :since group by 1 order by 1
""")
_OF_RESOURCE = text("""
select at, who, action, why, detail from board.audit
where resource_type = :type and resource_id = :id order by id desc limit 20
""")

_FAILURE = text("""
select f.*, r.state as run_state, d.id as letter_id, d.state as letter_state, d.replay_run_id
from board.failures f
left join lateral (select state from board.runs where id = f.run_id limit 1) r on true
left join lateral (select id, state, replay_run_id from board.dead_letters where run_id = f.run_id limit 1) d on true
where f.id = :id
""")
_FAILURES_OF_RUN = text("""
select id, attempt, kind, error_type, error, occurred_at, duration_seconds from board.failures
where run_id = :run order by id limit 100
""")


def _rows(ledger: Connection, query: Any, **given: object) -> Sequence[RowMapping]:  # noqa: ANN401 - SQLAlchemy's text
    return ledger.execute(query, given).mappings().all()


def running(ledger: Connection, *, most: int = 12) -> Sequence[RowMapping]:
    """What runs, longest first."""
    return _rows(ledger, _RUNNING, most=most)


def oldest_waits(ledger: Connection, now: object, *, most: int = 8) -> Sequence[RowMapping]:
    """Runs that may start and have not, longest waiting first."""
    return _rows(ledger, _OLDEST, now=now, most=most)


def open_issues(ledger: Connection, now: object, *, most: int = 8) -> Sequence[RowMapping]:
    """Issues that are not resolved and not silenced, latest first."""
    return _rows(ledger, _ISSUES, now=now, most=most)


def by_job(ledger: Connection) -> dict[str, dict[str, Any]]:
    """Of each job: attempts ever by outcome, runs open now, dead letters."""
    found: dict[str, dict[str, Any]] = {}
    for query in (_JOBS, _OPEN, _DEAD):
        for row in _rows(ledger, query):
            found.setdefault(row["job"], {}).update(row)
    return found


def durations(ledger: Connection, job: str, *, last: int = 1000) -> RowMapping:
    """How long the last runs of a job took and waited, in seconds."""
    return ledger.execute(_DURATIONS, {"job": job, "last": last}).mappings().one()


def failures_over_time(ledger: Connection, issue: int, *, since: object, step: int) -> Sequence[RowMapping]:
    """Failures of an issue in steps of so many seconds; steps without any are left out."""
    return _rows(ledger, _OVER_TIME, issue=issue, since=since, step=step)


def acts_on(ledger: Connection, resource_type: str, resource_id: object) -> Sequence[RowMapping]:
    """What was done to one thing, newest first."""
    return _rows(ledger, _OF_RESOURCE, type=resource_type, id=str(resource_id))


def failure(ledger: Connection, failure_id: int) -> RowMapping:
    """One failed attempt, with what became of its run.

    Raises:
        NotFound: There is none of that id.
    """
    row = ledger.execute(_FAILURE, {"id": failure_id}).mappings().one_or_none()
    if row is None:
        raise NotFound(f"No failure has the id {failure_id}; `callboard failures` lists them.")
    return row


def failures_of_run(ledger: Connection, run_id: object) -> Sequence[RowMapping]:
    """The failed attempts of a run in short, oldest first."""
    return _rows(ledger, _FAILURES_OF_RUN, run=run_id)
