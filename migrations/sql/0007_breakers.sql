-- Circuit breakers, one row for each target that has ever failed; all workers share them.
CREATE TABLE board.breakers (
    key TEXT NOT NULL,
    state TEXT DEFAULT 'closed' NOT NULL,
    failures INTEGER DEFAULT 0 NOT NULL,
    threshold INTEGER NOT NULL,
    cooldown FLOAT NOT NULL,
    opened_at TIMESTAMP WITH TIME ZONE,
    unwell_since TIMESTAMP WITH TIME ZONE,
    probe_owner UUID,
    probe_until TIMESTAMP WITH TIME ZONE,
    last_failure_at TIMESTAMP WITH TIME ZONE,
    last_error TEXT,
    changed_at TIMESTAMP WITH TIME ZONE DEFAULT now() NOT NULL,
    CONSTRAINT breakers_pkey PRIMARY KEY (key),
    CONSTRAINT breakers_state CHECK (state in ('closed', 'open', 'half_open'))
);
COMMENT ON COLUMN board.breakers.key IS 'kind:target';
COMMENT ON COLUMN board.breakers.failures IS 'in a row';
COMMENT ON COLUMN board.breakers.threshold IS 'failures in a row that open it, as its caller last said';
COMMENT ON COLUMN board.breakers.cooldown IS 'seconds that it stays open before a probe';
COMMENT ON COLUMN board.breakers.opened_at IS 'when the cooldown began';
COMMENT ON COLUMN board.breakers.unwell_since IS 'when it opened first since it was closed last';
-- What every process reads once a second: those that are not simply closed.
CREATE INDEX breakers_unwell ON board.breakers (key) WHERE state <> 'closed' OR failures > 0;
