-- What a write request made, as a kind and an id. Until now only a sentence said it, and the program read the
-- kind back from its first word. The sentence is still written for instances of the version before, and goes
-- one release later.

ALTER TABLE idempotency
    ADD COLUMN made_kind text,
    ADD COLUMN made_id   uuid,
    ADD CONSTRAINT idempotency_made CHECK (
        (made_kind IS NULL) = (made_id IS NULL)
        AND made_kind IN ('organization', 'key', 'felling_ticket', 'seal_batch', 'harvest', 'operation')
    );
COMMENT ON COLUMN idempotency.made_kind IS 'Kind of what the request made; operation: the events of a write request. Null in rows of the version before';
COMMENT ON COLUMN idempotency.made_id IS 'Its id';
COMMENT ON COLUMN idempotency.already_done IS 'The same as text, for the version before';

-- The erasure epoch is no secret: it was a row of server_secret, and has a table of its own now.

CREATE TABLE erasure_epoch (
    one   boolean PRIMARY KEY DEFAULT true CHECK (one),
    value bytea   NOT NULL
);
COMMENT ON TABLE erasure_epoch IS 'One row, which every erasure of a person changes: ETags and cached names of before are void';
COMMENT ON COLUMN erasure_epoch.value IS 'Random bytes; empty before the first erasure';
INSERT INTO erasure_epoch (value)
VALUES (COALESCE((SELECT value FROM server_secret WHERE name = 'erasures'), ''));
