-- The role that Grafana reads the ledger with. Once, after `callboard migrate`, as the owner of the ledger:
--
--   psql --set=password=… --file=grafana/reader.sql
--
-- It sees runs, failures, issues, dead letters and the two views, but no payload: those hold the arguments as they were
-- sent, secrets and all. A query that runs too long is ended, so that a dashboard cannot slow the workers down.
create role callboard_reader login connection limit 8 password :'password';
alter role callboard_reader set default_transaction_read_only = on;
alter role callboard_reader set statement_timeout = '15s';
alter role callboard_reader set idle_in_transaction_session_timeout = '30s';
grant usage on schema board to callboard_reader;
grant select on board.job_health, board.queue_health, board.failures, board.issues to callboard_reader;
grant select (
    id, created_at, job, queue, state, trigger, scope, correlation_id, parent_id, args, scheduled_for, missed, attempt,
    crashes, worker_id, eligible_at, enqueued_at, started_at, finished_at, retry_at, counts, progress, reason,
    error_kind, error_type, error
) on board.runs to callboard_reader;
grant select (
    id, run_id, issue_id, job, queue, scope, args, kind, reason, error_type, error, attempts, correlation_id,
    created_at, state, settled_at, settled_by, replay_run_id
) on board.dead_letters to callboard_reader;
