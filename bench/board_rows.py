"""A ledger like that of a busy site, made inside Postgres: `fill(url)`.

Chance is a hash of the row's number, so that every ledger of a size is alike but for the clock. Runs lie evenly over
35 days; 43 jobs of 12 queues, the rarest of them once in several thousand runs; one run in 25 is of one of 30
projects; about 6 % failed, with errors of 400 issues; half of the newest 4 % are pending or running.
"""

from __future__ import annotations

import itertools
from typing import TYPE_CHECKING

from sqlalchemy import create_engine, text
from sqlalchemy.pool import NullPool

if TYPE_CHECKING:
    from collections.abc import Iterator

    from sqlalchemy import Connection

QUEUES = (
    *("default", "mail", "sync", "reports", "maintenance", "billing", "search", "media", "webhooks", "memory"),
    *("assistant", "low"),
)
_VERBS = ("sync", "send", "build", "refresh", "prune", "import", "export", "index")
_NOUNS = ("accounts", "mails", "reports", "tokens", "archive", "prices")
JOBS = tuple(f"{verb}_{noun}" for verb, noun in itertools.product(_VERBS, _NOUNS))[:43]
ISSUES = 400
_CHUNK = 250_000

_FUNCTIONS = """
create or replace function pg_temp.chance(n bigint, what text) returns float8 language sql immutable as
    $$ select (hashtext(what || n)::bigint + 2147483648) / 4294967296.0 $$;
create or replace function pg_temp.of(name text, n bigint) returns uuid language sql immutable as
    $$ select md5(name || n)::uuid $$;
create or replace function pg_temp.at(n bigint, rows bigint) returns timestamptz language sql stable as
    $$ select now() - interval '35 days' * (1 - n / rows::float8) $$;
create or replace function pg_temp.run_id(n bigint, rows bigint) returns uuid language sql stable as
    $$ select (lpad(to_hex((extract(epoch from pg_temp.at(n, rows)) * 1000)::bigint), 12, '0')
               || '7' || substr(md5(n::text), 1, 3) || '8' || substr(md5(n::text), 4, 15))::uuid $$;
create or replace function pg_temp.job(n bigint, jobs text[]) returns text language sql immutable as
    $$ select jobs[1 + floor(cardinality(jobs) * power(pg_temp.chance(n, 'job'), 2.5))::int] $$;
create or replace function pg_temp.queue(job text, queues text[]) returns text language sql immutable as
    $$ select queues[1 + (ascii(job) * 7 + length(job) * 5) % cardinality(queues)] $$;
create or replace function pg_temp.issue(n bigint, issues bigint) returns bigint language sql immutable as
    $$ select 1 + floor(issues * power(pg_temp.chance(n, 'issue'), 2))::bigint $$;
create or replace function pg_temp.kind(issue bigint) returns text language sql immutable as
    $$ select (array['transient', 'transient', 'runtime', 'runtime', 'poison', 'authentication'])[1 + issue % 6] $$;
create or replace function pg_temp.error(issue bigint, n bigint) returns text language sql immutable as
    $$ select format('upstream %s answered %s to account %s', substr(md5('host' || issue), 1, 10), 400 + issue % 130,
                     n % 977) $$;
"""
_MONTHS = """
select format('create table if not exists board.runs_%s partition of board.runs for values from (%L) to (%L)',
              to_char(month, 'YYYY_MM'), month, month + interval '1 month')
from generate_series(date_trunc('month', now() - interval '35 days'), date_trunc('month', now()), '1 month') month
"""
_RUNS = text("""
insert into board.runs (id, created_at, job, queue, state, trigger, scope, correlation_id, parent_id, args, attempt,
    token, worker_id, eligible_at, started_at, finished_at, counts, reason, error_kind, error_type, error, history,
    project_id)
select id, at, job, pg_temp.queue(job, :queues),
    state, trigger, coalesce(project, ''), 'job-' || coalesce(parent, id), parent,
    jsonb_build_object('account', n % 977, 'full', n % 2 = 0), case state when 'pending' then 0 else tries end, n,
    case when state <> 'pending' then pg_temp.of('worker', n % 40) end, at,
    case when state <> 'pending' then at + interval '0.2 s' end,
    case when state not in ('pending', 'running') then at + interval '1 s' * (0.2 + 900 * power(luck, 12)) end,
    case when state = 'completed' then json_build_object('records', n % 500) end,
    case when state = 'cancelled' then 'cancelled by cli:anna' end,
    case when state = 'failed' then pg_temp.kind(issue) end,
    case when state = 'failed' then 'Error' || issue % 37 end,
    case when state = 'failed' then pg_temp.error(issue, n) end,
    case when tries > 1 then jsonb_build_array(jsonb_build_object('at', at, 'event', 'retry', 'detail', 'in 30 s')) end,
    project
from (
    select n, pg_temp.at(n, :rows) as at, pg_temp.run_id(n, :rows) as id, pg_temp.job(n, :jobs) as job,
        case when n > :rows * 0.96 and pg_temp.chance(n, 'open') < 0.5
             then case when n % 40 = 0 then 'running' else 'pending' end
             when pg_temp.chance(n, 'state') < 0.062 then 'failed'
             when pg_temp.chance(n, 'state') < 0.068 then 'cancelled' else 'completed' end as state,
        case when n % 9001 = 0 then 'manual:user:' || pg_temp.of('user', n % 7) when n % 20011 = 0 then 'cli:anna'
             when n % 3 = 0 then 'schedule' when n % 10 = 1 then 'job:sync_accounts' else 'send' end as trigger,
        case when n % 10 = 1 and n > 1000 then pg_temp.run_id(n - n % 1000, :rows) end as parent,
        case when n % 25 = 0 then pg_temp.of('project', n / 25 % 30)::text end as project,
        case when n % 53 = 0 then 3 when n % 17 = 0 then 2 else 1 end as tries,
        pg_temp.issue(n, :issues) as issue, pg_temp.chance(n, 'luck') as luck
    from generate_series(cast(:low as bigint), cast(:high as bigint)) n
) rows
""")
_FAILURES = text("""
insert into board.failures (run_id, issue_id, job, queue, scope, attempt, args, kind, retryable, label, error_type,
    error, traceback, correlation_id, occurred_at, project_id, duration_seconds)
select id, issue, job, queue, scope, attempt, args, error_kind, error_kind = 'transient',
    case error_kind when 'transient' then 'recoverable' else 'non_recoverable' end, error_type, error,
    repeat('  File "/app/jobs.py", line 42, in call' || chr(10) || '    response.raise_for_status()' || chr(10), 20),
    correlation_id, finished_at, project_id, extract(epoch from finished_at - started_at)
from (select r.*, pg_temp.issue(r.token, :issues) as issue from board.runs r where state = 'failed'
      order by created_at desc limit :failures) r
order by created_at
""")
_LETTERS = text("""
insert into board.dead_letters (run_id, issue_id, job, queue, scope, payload, args, kind, reason, error_type, error,
    attempts, correlation_id, created_at, state, settled_at, settled_by, project_id)
select id, issue, job, queue, scope,
    convert_to(json_build_object('queue_name', queue, 'actor_name', job, 'args', json_build_array(), 'kwargs', args,
        'options', json_build_object('callboard', json_build_object('correlation_id', correlation_id)),
        'message_id', id, 'message_timestamp', floor(extract(epoch from created_at) * 1000))::text, 'utf8'),
    args, error_kind, case when attempt > 1 then 'attempts are used up' else 'not retryable' end, error_type, error,
    attempt, correlation_id, finished_at, state, case when state <> 'open' then finished_at + interval '1 h' end,
    case when state <> 'open' then 'cli:anna' end, project_id
from (select r.id, job, queue, scope, args, error_kind, error_type, error, attempt, correlation_id, created_at,
             finished_at, project_id, pg_temp.issue(token, :issues) as issue,
             case when token % 20 = 0 then 'discarded' when token % 10 = 1 then 'replayed' else 'open' end as state
      from board.runs r where r.state = 'failed' order by created_at desc limit :letters) r
order by created_at
""")
_ISSUES = text("""
insert into board.issues (id, fingerprint, job, error_type, title, kind, status, severity, occurrences, first_seen_at,
    last_seen_at, last_run_id, type)
select issue, md5('issue' || issue), job, 'Error' || issue % 37, left('Error' || issue % 37 || ': ' || error, 200),
    pg_temp.kind(issue), case when issue % 5 = 0 then 'resolved' when issue % 7 = 0 then 'pending' else 'open' end,
    case when issue % 29 = 0 then 'critical' else 'error' end, occurrences, first, last, run, 'job_failure'
from (select issue, max(job) as job, max(error) as error, count(*) as occurrences, min(created_at) as first,
             max(finished_at) as last, (array_agg(id order by created_at desc))[1] as run
      from (select r.*, pg_temp.issue(token, :issues) as issue from board.runs r where state = 'failed') r
      group by issue) r
""")


def fill(url: str, *, runs: int = 1_000_000, letters: int = 50_000, failures: int = 10_000) -> None:
    """Fill an empty, migrated ledger; letters and failures are of the newest failed runs, about 6 % of all."""
    given = {"rows": runs, "jobs": list(JOBS), "queues": list(QUEUES), "issues": ISSUES}
    engine = create_engine(url, poolclass=NullPool)
    with engine.begin() as connection:
        _prepare(connection)
        for low, high in _chunks(runs):
            connection.execute(_RUNS, given | {"low": low, "high": high})
        connection.execute(_ISSUES, given)
        connection.execute(text("select setval('board.issues_id_seq', :most)"), {"most": ISSUES})
        connection.execute(_FAILURES, given | {"failures": failures})
        connection.execute(_LETTERS, given | {"letters": letters})
    with engine.connect().execution_options(isolation_level="AUTOCOMMIT") as connection:
        _settle(connection)


def _prepare(connection: Connection) -> None:
    driver = connection.connection.driver_connection
    assert driver is not None  # noqa: S101 - for the type checker
    driver.execute(_FUNCTIONS)
    for (statement,) in driver.execute(_MONTHS).fetchall():
        driver.execute(statement)


def _chunks(rows: int) -> Iterator[tuple[int, int]]:
    for low in range(1, rows + 1, _CHUNK):
        yield low, min(low + _CHUNK - 1, rows)


def _settle(connection: Connection) -> None:
    """Statistics and visibility as in a database that has been up for a while, nothing left to flush."""
    connection.exec_driver_sql("vacuum analyze")
    connection.exec_driver_sql("checkpoint")
