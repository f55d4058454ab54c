-- What the exporter reads and the ledger did not say yet.
CREATE TABLE board.canaries (
    queue TEXT NOT NULL,
    declared_at TIMESTAMP WITH TIME ZONE DEFAULT now() NOT NULL,
    sent_at TIMESTAMP WITH TIME ZONE,
    delivery TEXT,
    last_success_at TIMESTAMP WITH TIME ZONE,
    PRIMARY KEY (queue)
);
COMMENT ON COLUMN board.canaries.delivery IS 'the broker''s id of the message sent last';

ALTER TABLE board.schedules ADD COLUMN last_records FLOAT;
COMMENT ON COLUMN board.schedules.last_records IS 'sum of what the last run that ended counted';
