-- The ledger. Runs are partitioned by the month they were created in; the default partition catches what no month covers.
create schema if not exists board;
create sequence board.fencing_token increment by 100000;

CREATE TABLE board.claims (
    job TEXT NOT NULL,
    scope TEXT NOT NULL,
    run_id UUID NOT NULL,
    run_created_at TIMESTAMP WITH TIME ZONE NOT NULL,
    claimed_at TIMESTAMP WITH TIME ZONE DEFAULT now() NOT NULL,
    lease_until TIMESTAMP WITH TIME ZONE NOT NULL,
    PRIMARY KEY (job, scope)
);
CREATE INDEX claims_run ON board.claims (run_id);
CREATE TABLE board.dead_letters (
    id BIGSERIAL NOT NULL,
    run_id UUID NOT NULL,
    issue_id BIGINT,
    job TEXT NOT NULL,
    queue TEXT NOT NULL,
    scope TEXT DEFAULT '' NOT NULL,
    payload BYTEA NOT NULL,
    args JSONB,
    kind TEXT NOT NULL,
    reason TEXT NOT NULL,
    error_type TEXT NOT NULL,
    error TEXT NOT NULL,
    attempts SMALLINT NOT NULL,
    correlation_id TEXT NOT NULL,
    created_at TIMESTAMP WITH TIME ZONE DEFAULT now() NOT NULL,
    state TEXT DEFAULT 'open' NOT NULL,
    settled_at TIMESTAMP WITH TIME ZONE,
    settled_by TEXT,
    replay_run_id UUID,
    PRIMARY KEY (id),
    CONSTRAINT dead_letters_state CHECK (state in ('open', 'replayed', 'discarded'))
);
CREATE INDEX dead_letters_run ON board.dead_letters (run_id);
CREATE INDEX dead_letters_open ON board.dead_letters (id) WHERE state = 'open';
CREATE TABLE board.failures (
    id BIGSERIAL NOT NULL,
    run_id UUID NOT NULL,
    issue_id BIGINT,
    job TEXT NOT NULL,
    queue TEXT NOT NULL,
    scope TEXT DEFAULT '' NOT NULL,
    attempt SMALLINT NOT NULL,
    args JSONB,
    kind TEXT NOT NULL,
    retryable BOOLEAN NOT NULL,
    label TEXT NOT NULL,
    error_type TEXT NOT NULL,
    error TEXT NOT NULL,
    traceback TEXT,
    correlation_id TEXT NOT NULL,
    occurred_at TIMESTAMP WITH TIME ZONE DEFAULT now() NOT NULL,
    PRIMARY KEY (id)
);
CREATE INDEX failures_run ON board.failures (run_id);
CREATE INDEX failures_occurred_at ON board.failures (occurred_at);
CREATE TABLE board.issues (
    id BIGSERIAL NOT NULL,
    fingerprint TEXT NOT NULL,
    job TEXT NOT NULL,
    error_type TEXT NOT NULL,
    title TEXT NOT NULL,
    kind TEXT NOT NULL,
    status TEXT DEFAULT 'open' NOT NULL,
    occurrences BIGINT DEFAULT '1' NOT NULL,
    first_seen_at TIMESTAMP WITH TIME ZONE DEFAULT now() NOT NULL,
    last_seen_at TIMESTAMP WITH TIME ZONE DEFAULT now() NOT NULL,
    last_run_id UUID,
    PRIMARY KEY (id),
    CONSTRAINT issues_status CHECK (status in ('open', 'resolved', 'silenced')),
    UNIQUE (fingerprint)
);
CREATE TABLE board.occurrences (
    job TEXT NOT NULL,
    scheduled_for TIMESTAMP WITH TIME ZONE NOT NULL,
    outcome TEXT NOT NULL,
    reason TEXT,
    coalesced_into TIMESTAMP WITH TIME ZONE,
    run_id UUID,
    recorded_at TIMESTAMP WITH TIME ZONE DEFAULT now() NOT NULL,
    PRIMARY KEY (job, scheduled_for),
    CONSTRAINT occurrences_outcome CHECK (outcome in ('fired', 'coalesced', 'skipped'))
);
CREATE INDEX occurrences_recorded_at ON board.occurrences (recorded_at);
CREATE TABLE board.rates (
    job TEXT NOT NULL,
    arrival TIMESTAMP WITH TIME ZONE NOT NULL,
    PRIMARY KEY (job)
);
CREATE TABLE board.runs (
    id UUID NOT NULL,
    created_at TIMESTAMP WITH TIME ZONE NOT NULL,
    job TEXT NOT NULL,
    queue TEXT NOT NULL,
    state TEXT NOT NULL,
    trigger TEXT NOT NULL,
    scope TEXT DEFAULT '' NOT NULL,
    correlation_id TEXT NOT NULL,
    parent_id UUID,
    args JSONB,
    payload BYTEA,
    delivery TEXT,
    scheduled_for TIMESTAMP WITH TIME ZONE,
    missed INTEGER DEFAULT '0' NOT NULL,
    attempt SMALLINT DEFAULT '0' NOT NULL,
    crashes SMALLINT DEFAULT '0' NOT NULL,
    token BIGINT,
    worker_id UUID,
    eligible_at TIMESTAMP WITH TIME ZONE,
    enqueued_at TIMESTAMP WITH TIME ZONE,
    started_at TIMESTAMP WITH TIME ZONE,
    finished_at TIMESTAMP WITH TIME ZONE,
    retry_at TIMESTAMP WITH TIME ZONE,
    cancel_requested_at TIMESTAMP WITH TIME ZONE,
    cancel_requested_by TEXT,
    counts JSON,
    notes JSON,
    progress JSONB,
    notify TEXT[],
    reason TEXT,
    error_kind TEXT,
    error_type TEXT,
    error TEXT,
    history JSONB,
    PRIMARY KEY (id, created_at),
    CONSTRAINT runs_state CHECK (state in ('pending', 'running', 'completed', 'failed', 'cancelled'))
)
 PARTITION BY RANGE (created_at);
CREATE INDEX runs_open ON board.runs (state, job) INCLUDE (created_at, id, queue) WHERE state in ('pending', 'running');
CREATE INDEX runs_created_at ON board.runs (created_at);
CREATE INDEX runs_job_created_at ON board.runs (job, created_at);
CREATE INDEX runs_parent ON board.runs (parent_id) WHERE parent_id is not null;
CREATE TABLE board.schedules (
    job TEXT NOT NULL,
    queue TEXT NOT NULL,
    cadence TEXT NOT NULL,
    interval_seconds FLOAT NOT NULL,
    declared BOOLEAN DEFAULT true NOT NULL,
    created_at TIMESTAMP WITH TIME ZONE DEFAULT now() NOT NULL,
    watermark TIMESTAMP WITH TIME ZONE NOT NULL,
    paused_at TIMESTAMP WITH TIME ZONE,
    paused_by TEXT,
    last_start_at TIMESTAMP WITH TIME ZONE,
    last_success_at TIMESTAMP WITH TIME ZONE,
    last_completion_at TIMESTAMP WITH TIME ZONE,
    last_duration_seconds FLOAT,
    last_state TEXT,
    consecutive_failures INTEGER DEFAULT '0' NOT NULL,
    missed JSONB DEFAULT '{}' NOT NULL,
    PRIMARY KEY (job)
);
CREATE TABLE board.totals (
    job TEXT NOT NULL,
    outcome TEXT NOT NULL,
    shard SMALLINT NOT NULL,
    queue TEXT NOT NULL,
    attempts BIGINT NOT NULL,
    seconds FLOAT NOT NULL,
    buckets BIGINT[] NOT NULL,
    PRIMARY KEY (job, outcome, shard)
);
CREATE TABLE board.workers (
    id UUID NOT NULL,
    host TEXT NOT NULL,
    pid INTEGER NOT NULL,
    version TEXT NOT NULL,
    broker_id TEXT NOT NULL,
    queues TEXT[] NOT NULL,
    threads INTEGER NOT NULL,
    busy INTEGER DEFAULT '0' NOT NULL,
    state TEXT DEFAULT 'alive' NOT NULL,
    started_at TIMESTAMP WITH TIME ZONE DEFAULT now() NOT NULL,
    heartbeat_at TIMESTAMP WITH TIME ZONE DEFAULT now() NOT NULL,
    lease_until TIMESTAMP WITH TIME ZONE NOT NULL,
    PRIMARY KEY (id),
    CONSTRAINT workers_state CHECK (state in ('alive', 'draining', 'stopped', 'dead'))
);
COMMENT ON COLUMN board.dead_letters.payload IS 'the whole message, as it was encoded';
COMMENT ON COLUMN board.dead_letters.args IS 'redacted, for people';
COMMENT ON COLUMN board.occurrences.reason IS 'overlap, paused or late, for a skipped one';
COMMENT ON COLUMN board.occurrences.coalesced_into IS 'the tick whose run stands for this one';
COMMENT ON COLUMN board.rates.arrival IS 'GCRA: when the next start is due by the rate';
COMMENT ON COLUMN board.runs.args IS 'redacted, for people';
COMMENT ON COLUMN board.runs.payload IS 'the encoded message while a durable run is pending';
COMMENT ON COLUMN board.runs.delivery IS 'the broker''s id of the message that will start the next attempt';
COMMENT ON COLUMN board.runs.token IS 'fencing token of the attempt that may end the run, or that ended last';
COMMENT ON COLUMN board.runs.counts IS 'json, not jsonb: it keeps the order in which the job counted';
COMMENT ON COLUMN board.runs.reason IS 'why the run ended as it did, or waits';
COMMENT ON COLUMN board.runs.history IS '[{at, event, detail}] of what is not an ordinary start and finish';
COMMENT ON COLUMN board.schedules.watermark IS 'the last due tick that was dealt with';
COMMENT ON COLUMN board.schedules.missed IS 'ticks without a run of their own, by reason';
COMMENT ON COLUMN board.totals.shard IS 'one per recorder, so that none waits for another''s row';
COMMENT ON COLUMN board.totals.buckets IS 'attempts by run time, one per bound and +Inf';
create table board.runs_default partition of board.runs default;

-- The contract that the exporter, the command line and Grafana read.
create view board.job_health as
select j.job,
       coalesce(s.queue, t.queue) as queue,
       s.cadence,
       s.interval_seconds,
       s.declared,
       s.paused_at,
       s.created_at as scheduled_since,
       s.watermark,
       s.last_start_at,
       s.last_success_at,
       s.last_completion_at,
       s.last_duration_seconds,
       s.last_state,
       s.consecutive_failures,
       extract(epoch from now() - coalesce(s.last_success_at, s.created_at)) as seconds_since_success,
       coalesce(t.completed, 0) as completed,
       coalesce(t.failed, 0) as failed,
       coalesce(t.retried, 0) as retried,
       coalesce(t.cancelled, 0) as cancelled,
       coalesce(d.dead, 0) as dead
from (select job from board.schedules union select job from board.totals union select job from board.dead_letters) j
left join board.schedules s using (job)
left join (
    select job,
           max(queue) as queue,
           sum(attempts) filter (where outcome = 'success') as completed,
           sum(attempts) filter (where outcome = 'failed') as failed,
           sum(attempts) filter (where outcome = 'retry') as retried,
           sum(attempts) filter (where outcome = 'cancelled') as cancelled
    from board.totals group by job
) t using (job)
left join (select job, count(*) as dead from board.dead_letters where state = 'open' group by job) d using (job);

create view board.queue_health as
select q.queue,
       coalesce(r.pending, 0) as pending,
       coalesce(r.waiting, 0) as waiting,
       coalesce(r.running, 0) as running,
       r.oldest_pending_at,
       extract(epoch from now() - r.oldest_pending_at) as oldest_pending_seconds,
       extract(epoch from now() - r.oldest_started_at) as oldest_running_seconds,
       coalesce(d.dead, 0) as dead,
       coalesce(w.consumers, 0) as consumers
from (
    select queue from board.schedules
    union select queue from board.totals
    union select queue from board.dead_letters where state = 'open'
    union select queue from board.runs where state in ('pending', 'running')
) q
left join (
    select queue,
           count(*) filter (where state = 'pending' and (retry_at is null or retry_at <= now())) as pending,
           count(*) filter (where state = 'pending' and retry_at > now()) as waiting,
           count(*) filter (where state = 'running') as running,
           min(coalesce(retry_at, eligible_at, created_at))
               filter (where state = 'pending' and (retry_at is null or retry_at <= now())) as oldest_pending_at,
           min(started_at) filter (where state = 'running') as oldest_started_at
    from board.runs where state in ('pending', 'running') group by queue
) r using (queue)
left join (select queue, count(*) as dead from board.dead_letters where state = 'open' group by queue) d using (queue)
left join (
    select queue, count(*) as consumers
    from board.workers, unnest(queues) as queue where state = 'alive' and lease_until > now() group by queue
) w using (queue);

-- Which run each connection of Postgres works for: `callboard.ledger._naming` takes these locks.
create view board.activity as
select a.pid, r.id as run_id, r.job, r.correlation_id, r.worker_id, a.state, a.xact_start, a.query_start,
       a.wait_event_type, a.wait_event, pg_blocking_pids(a.pid) as blocked_by, a.query
from board.runs r
join pg_locks l on l.locktype = 'advisory' and l.objsubid = 1
    and l.database = (select oid from pg_database where datname = current_database())
    and (l.classid::bigint << 32) | l.objid::bigint = hashtextextended('callboard.run ' || r.id, 0)
join pg_stat_activity a on a.pid = l.pid
where r.state = 'running';
