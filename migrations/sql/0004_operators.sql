-- What operators and team admins have: issues with a life of their own, what a failed attempt logged, notifications,
-- people and what they may do, and who did what.
ALTER TABLE board.runs ADD COLUMN project_id TEXT, ADD COLUMN trace_id TEXT, ADD COLUMN log JSON;
COMMENT ON COLUMN board.runs.project_id IS 'whose run it is; null for the system''s own';
COMMENT ON COLUMN board.runs.trace_id IS 'of the last attempt, if its trace is kept';
COMMENT ON COLUMN board.runs.log IS '[{at, level, event, ...}]: the last lines that the last attempt logged itself';
CREATE INDEX runs_ended_badly ON board.runs (created_at, id) INCLUDE (state, job, queue, error_kind)
    WHERE state in ('failed', 'cancelled');
CREATE INDEX runs_job_ended_badly ON board.runs (job, created_at, id) INCLUDE (state)
    WHERE state in ('failed', 'cancelled');
CREATE INDEX runs_with_error ON board.runs (created_at, id) INCLUDE (error_kind, job, queue)
    WHERE error_kind is not null;
CREATE INDEX runs_by_hand ON board.runs (created_at, id)
    WHERE trigger not in ('send', 'schedule') and left(trigger, 4) <> 'job:';
CREATE INDEX runs_project ON board.runs (project_id, created_at, id) WHERE project_id is not null;
CREATE INDEX runs_correlation ON board.runs (correlation_id) WHERE correlation_id <> ('job-' || id::text);

ALTER TABLE board.issues DROP CONSTRAINT issues_status;
UPDATE board.issues SET status = 'open' WHERE status = 'silenced';
ALTER TABLE board.issues
    ADD CONSTRAINT issues_status CHECK (status in ('open', 'pending', 'resolved')),
    ADD COLUMN type TEXT DEFAULT 'job_failure' NOT NULL,
    ADD COLUMN severity TEXT DEFAULT 'error' NOT NULL,
    ADD COLUMN subject TEXT DEFAULT '' NOT NULL,
    ADD COLUMN scope TEXT DEFAULT '' NOT NULL,
    ADD COLUMN project_id TEXT,
    ADD COLUMN reopened INTEGER DEFAULT 0 NOT NULL,
    ADD COLUMN status_at TIMESTAMP WITH TIME ZONE,
    ADD COLUMN status_by TEXT,
    ADD COLUMN note TEXT,
    ADD COLUMN silenced_until TIMESTAMP WITH TIME ZONE,
    ADD COLUMN silenced_by TEXT,
    ADD CONSTRAINT issues_severity CHECK (severity in ('info', 'warning', 'error', 'critical'));
COMMENT ON COLUMN board.issues.job IS 'empty for an issue of a queue or of something outside';
COMMENT ON COLUMN board.issues.subject IS 'the queue, or what is outside';
COMMENT ON COLUMN board.issues.reopened IS 'times it came back after it was resolved';
COMMENT ON COLUMN board.issues.note IS 'why the status is what it is';
CREATE INDEX issues_last_seen_at ON board.issues (last_seen_at, id);

ALTER TABLE board.failures
    ADD COLUMN project_id TEXT,
    ADD COLUMN trace_id TEXT,
    ADD COLUMN log JSON,
    ADD COLUMN duration_seconds FLOAT,
    ADD COLUMN retry_state JSONB;
COMMENT ON COLUMN board.failures.log IS 'the last lines that the attempt logged itself';
COMMENT ON COLUMN board.failures.retry_state IS 'of batch retries: attempts, last_retry_at, last_retry_run_id, source, error';
CREATE INDEX failures_job ON board.failures (job, id);
CREATE INDEX failures_issue ON board.failures (issue_id, id);
CREATE INDEX failures_project ON board.failures (project_id, id) WHERE project_id is not null;

ALTER TABLE board.dead_letters
    ADD COLUMN settled_why TEXT,
    ADD COLUMN replay_args JSONB,
    ADD COLUMN project_id TEXT;
COMMENT ON COLUMN board.dead_letters.replay_args IS 'redacted; what the arguments were changed to, if they were';
DROP INDEX board.dead_letters_open;
CREATE INDEX dead_letters_open ON board.dead_letters (id) INCLUDE (job, queue, kind, issue_id, created_at) WHERE state = 'open';
CREATE INDEX dead_letters_job ON board.dead_letters (job, id);
CREATE INDEX dead_letters_issue ON board.dead_letters (issue_id, id);
CREATE INDEX dead_letters_project ON board.dead_letters (project_id, id) WHERE project_id is not null;
CREATE INDEX dead_letters_replay ON board.dead_letters (replay_run_id) WHERE replay_run_id is not null;

CREATE TABLE board.token_usages (
    run_id UUID NOT NULL,
    category TEXT NOT NULL,
    model TEXT NOT NULL,
    correlation_id TEXT NOT NULL,
    calls BIGINT NOT NULL,
    prompt_tokens BIGINT NOT NULL,
    completion_tokens BIGINT NOT NULL,
    recorded_at TIMESTAMP WITH TIME ZONE DEFAULT now() NOT NULL,
    PRIMARY KEY (run_id, category, model)
);
CREATE INDEX token_usages_correlation ON board.token_usages (correlation_id);
COMMENT ON COLUMN board.token_usages.category IS 'what the model was asked for, e.g. summary or embedding';

CREATE TABLE board.bulk_replays (
    id BIGSERIAL NOT NULL,
    run_id UUID NOT NULL,
    created_at TIMESTAMP WITH TIME ZONE DEFAULT now() NOT NULL,
    filter TEXT NOT NULL,
    who TEXT NOT NULL,
    ip TEXT,
    agent TEXT,
    team_id UUID,
    why TEXT DEFAULT '' NOT NULL,
    rate FLOAT,
    canary BOOLEAN NOT NULL,
    stop_on_same BOOLEAN NOT NULL,
    most INTEGER,
    total INTEGER NOT NULL,
    newest BIGINT NOT NULL,
    last_failure BIGINT NOT NULL,
    place BIGINT DEFAULT '0' NOT NULL,
    waiting BOOLEAN DEFAULT false NOT NULL,
    replayed INTEGER DEFAULT '0' NOT NULL,
    refused BIGINT[] DEFAULT '{}' NOT NULL,
    refusals TEXT[] DEFAULT '{}' NOT NULL,
    issues BIGINT[] DEFAULT '{}' NOT NULL,
    first_run UUID,
    canary_ok BOOLEAN DEFAULT false NOT NULL,
    result TEXT,
    detail TEXT DEFAULT '' NOT NULL,
    letters_left INTEGER,
    ended_at TIMESTAMP WITH TIME ZONE,
    PRIMARY KEY (id),
    CONSTRAINT bulk_replays_result CHECK (result in ('done', 'stopped', 'canary_failed', 'same_failure'))
);
CREATE INDEX bulk_replays_under_way ON board.bulk_replays (id) WHERE result is null;
COMMENT ON COLUMN board.bulk_replays.run_id IS 'the run that does it, or did it last';
COMMENT ON COLUMN board.bulk_replays.rate IS 'letters a second at most; null: as fast as it goes';
COMMENT ON COLUMN board.bulk_replays.most IS 'letters at most; null: all that fit';
COMMENT ON COLUMN board.bulk_replays.total IS 'letters that it was to deal with when it was asked for';
COMMENT ON COLUMN board.bulk_replays.newest IS 'the newest letter then: younger ones are not meant';
COMMENT ON COLUMN board.bulk_replays.last_failure IS 'the newest failure there was then';
COMMENT ON COLUMN board.bulk_replays.place IS 'the letter that was dealt with last';
COMMENT ON COLUMN board.bulk_replays.waiting IS 'for what others hold';
COMMENT ON COLUMN board.bulk_replays.refused IS 'letters that stayed open';
COMMENT ON COLUMN board.bulk_replays.refusals IS 'why, of the first ones';
COMMENT ON COLUMN board.bulk_replays.issues IS 'of the replayed letters';
COMMENT ON COLUMN board.bulk_replays.first_run IS 'of the first letter; the canary, where one was asked for';
COMMENT ON COLUMN board.bulk_replays.result IS 'how it ended; null: it has not';
COMMENT ON COLUMN board.bulk_replays.detail IS 'why it ended before all were dealt with';

CREATE TABLE board.notifications (
    id BIGSERIAL NOT NULL,
    run_id UUID NOT NULL,
    job TEXT NOT NULL,
    event TEXT NOT NULL,
    channel TEXT NOT NULL,
    target TEXT NOT NULL,
    state TEXT DEFAULT 'pending' NOT NULL,
    attempts INTEGER DEFAULT '0' NOT NULL,
    error TEXT,
    created_at TIMESTAMP WITH TIME ZONE DEFAULT now() NOT NULL,
    sent_at TIMESTAMP WITH TIME ZONE,
    PRIMARY KEY (id),
    CONSTRAINT notifications_state CHECK (state in ('pending', 'sent', 'failed'))
);
CREATE INDEX notifications_created_at ON board.notifications (created_at);
CREATE INDEX notifications_job ON board.notifications (job, created_at);
CREATE UNIQUE INDEX notifications_once ON board.notifications (run_id, event, channel, target);
COMMENT ON COLUMN board.notifications.run_id IS 'the run that it tells of';
COMMENT ON COLUMN board.notifications.job IS 'its job';
COMMENT ON COLUMN board.notifications.event IS 'completed, failed, cancelled, or channel_disabled:<name>';
COMMENT ON COLUMN board.notifications.channel IS 'mail, telegram, webhook or apprise';
COMMENT ON COLUMN board.notifications.target IS 'an address, or a target''s name in the settings; no secret';

CREATE TABLE board.disabled_channels (
    name TEXT NOT NULL,
    fingerprint TEXT NOT NULL,
    disabled_at TIMESTAMP WITH TIME ZONE DEFAULT now() NOT NULL,
    why TEXT NOT NULL,
    PRIMARY KEY (name)
);
COMMENT ON COLUMN board.disabled_channels.fingerprint IS 'of its URL: another one makes it a new channel';

CREATE TABLE board.trends (
    at TIMESTAMP WITH TIME ZONE NOT NULL,
    job TEXT NOT NULL,
    outcome TEXT NOT NULL,
    attempts BIGINT NOT NULL,
    seconds FLOAT NOT NULL,
    PRIMARY KEY (at, job, outcome)
);
COMMENT ON COLUMN board.trends.at IS 'the end of the minute that is counted';

CREATE TABLE board.trend_marks (
    job TEXT NOT NULL,
    outcome TEXT NOT NULL,
    attempts BIGINT NOT NULL,
    seconds FLOAT NOT NULL,
    PRIMARY KEY (job, outcome)
);
COMMENT ON COLUMN board.trend_marks.attempts IS 'the total that was counted up to the last minute';

CREATE TABLE board.users (
    id UUID NOT NULL,
    email TEXT NOT NULL,
    name TEXT DEFAULT '' NOT NULL,
    password_hash TEXT,
    role TEXT,
    created_at TIMESTAMP WITH TIME ZONE DEFAULT now() NOT NULL,
    disabled_at TIMESTAMP WITH TIME ZONE,
    last_sign_in_at TIMESTAMP WITH TIME ZONE,
    PRIMARY KEY (id),
    CONSTRAINT users_role CHECK (role in ('admin', 'operator', 'viewer'))
);
CREATE UNIQUE INDEX users_email ON board.users (lower(email));
COMMENT ON COLUMN board.users.password_hash IS 'argon2id; null: signs in by a link only';
COMMENT ON COLUMN board.users.role IS 'on the whole board; null: sees their teams only';

CREATE TABLE board.teams (
    id UUID NOT NULL,
    slug TEXT NOT NULL,
    name TEXT NOT NULL,
    created_at TIMESTAMP WITH TIME ZONE DEFAULT now() NOT NULL,
    deleted_at TIMESTAMP WITH TIME ZONE,
    PRIMARY KEY (id)
);
CREATE UNIQUE INDEX teams_slug ON board.teams (slug) WHERE deleted_at is null;

CREATE TABLE board.memberships (
    team_id UUID NOT NULL,
    user_id UUID NOT NULL,
    role TEXT NOT NULL,
    created_at TIMESTAMP WITH TIME ZONE DEFAULT now() NOT NULL,
    PRIMARY KEY (team_id, user_id),
    CONSTRAINT memberships_role CHECK (role in ('owner', 'admin', 'member')),
    FOREIGN KEY(team_id) REFERENCES board.teams (id) ON DELETE CASCADE,
    FOREIGN KEY(user_id) REFERENCES board.users (id) ON DELETE CASCADE
);
CREATE INDEX memberships_user ON board.memberships (user_id);

CREATE TABLE board.projects (
    id UUID NOT NULL,
    team_id UUID NOT NULL,
    slug TEXT NOT NULL,
    name TEXT NOT NULL,
    created_at TIMESTAMP WITH TIME ZONE DEFAULT now() NOT NULL,
    deleted_at TIMESTAMP WITH TIME ZONE,
    PRIMARY KEY (id),
    FOREIGN KEY(team_id) REFERENCES board.teams (id)
);
CREATE UNIQUE INDEX projects_slug ON board.projects (team_id, slug) WHERE deleted_at is null;

CREATE TABLE board.api_keys (
    id UUID NOT NULL,
    team_id UUID,
    user_id UUID NOT NULL,
    name TEXT NOT NULL,
    prefix TEXT NOT NULL,
    key_hash BYTEA NOT NULL,
    scopes TEXT[] NOT NULL,
    created_at TIMESTAMP WITH TIME ZONE DEFAULT now() NOT NULL,
    expires_at TIMESTAMP WITH TIME ZONE,
    revoked_at TIMESTAMP WITH TIME ZONE,
    last_used_at TIMESTAMP WITH TIME ZONE,
    PRIMARY KEY (id),
    FOREIGN KEY(team_id) REFERENCES board.teams (id),
    FOREIGN KEY(user_id) REFERENCES board.users (id),
    UNIQUE (key_hash)
);
CREATE INDEX api_keys_team ON board.api_keys (team_id) WHERE team_id is not null;
CREATE INDEX api_keys_user ON board.api_keys (user_id);
COMMENT ON COLUMN board.api_keys.team_id IS 'null: it acts on the whole board';
COMMENT ON COLUMN board.api_keys.user_id IS 'whose it is: it may do no more than they';
COMMENT ON COLUMN board.api_keys.prefix IS 'the first characters, by which people tell keys apart';
COMMENT ON COLUMN board.api_keys.key_hash IS 'SHA-256 of the key, which is random';

CREATE TABLE board.sign_ins (
    token_hash BYTEA NOT NULL,
    user_id UUID NOT NULL,
    created_at TIMESTAMP WITH TIME ZONE DEFAULT now() NOT NULL,
    expires_at TIMESTAMP WITH TIME ZONE DEFAULT now() NOT NULL,
    last_seen_at TIMESTAMP WITH TIME ZONE DEFAULT now() NOT NULL,
    ip TEXT,
    agent TEXT,
    PRIMARY KEY (token_hash),
    FOREIGN KEY(user_id) REFERENCES board.users (id) ON DELETE CASCADE
);
CREATE INDEX sign_ins_expires_at ON board.sign_ins (expires_at);
CREATE INDEX sign_ins_user ON board.sign_ins (user_id);
COMMENT ON COLUMN board.sign_ins.token_hash IS 'SHA-256 of what the cookie holds';

CREATE TABLE board.sign_in_links (
    token_hash BYTEA NOT NULL,
    user_id UUID NOT NULL,
    created_at TIMESTAMP WITH TIME ZONE DEFAULT now() NOT NULL,
    expires_at TIMESTAMP WITH TIME ZONE DEFAULT now() NOT NULL,
    used_at TIMESTAMP WITH TIME ZONE,
    PRIMARY KEY (token_hash),
    FOREIGN KEY(user_id) REFERENCES board.users (id) ON DELETE CASCADE
);

CREATE TABLE board.sign_in_failures (
    id BIGSERIAL NOT NULL,
    email TEXT NOT NULL,
    ip TEXT NOT NULL,
    at TIMESTAMP WITH TIME ZONE DEFAULT now() NOT NULL,
    PRIMARY KEY (id)
);
CREATE INDEX sign_in_failures_at ON board.sign_in_failures (at);

CREATE TABLE board.audit (
    id BIGSERIAL NOT NULL,
    at TIMESTAMP WITH TIME ZONE DEFAULT now() NOT NULL,
    who TEXT NOT NULL,
    action TEXT NOT NULL,
    resource_type TEXT NOT NULL,
    resource_id TEXT NOT NULL,
    team_id UUID,
    why TEXT DEFAULT '' NOT NULL,
    ip TEXT,
    agent TEXT,
    detail JSONB,
    PRIMARY KEY (id)
);
CREATE INDEX audit_at ON board.audit (at, id);
CREATE INDEX audit_resource ON board.audit (resource_type, resource_id);
CREATE INDEX audit_team ON board.audit (team_id, at, id) WHERE team_id is not null;
CREATE INDEX audit_who ON board.audit (who, at, id);
COMMENT ON COLUMN board.audit.who IS 'cli:anna, manual:user:<id>, manual:api_key:<id>, schedule';
COMMENT ON COLUMN board.audit.action IS 'e.g. dead_letter.replay';
COMMENT ON COLUMN board.audit.detail IS 'redacted';
