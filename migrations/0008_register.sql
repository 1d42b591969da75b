-- The register: one Merkle tree over all events, built after their transactions.
-- An event enters the queue in its own transaction; the sequencer numbers what is committed.

CREATE TABLE leaf_queue (
    id         bigint      GENERATED ALWAYS AS IDENTITY PRIMARY KEY,
    entry      bytea       NOT NULL CHECK (octet_length(entry) = 113),
    subject_id uuid        NOT NULL,
    seq        integer     NOT NULL,
    queued_at  timestamptz NOT NULL DEFAULT clock_timestamp()
) WITH (autovacuum_vacuum_scale_factor = 0, autovacuum_vacuum_threshold = 20000);
COMMENT ON TABLE leaf_queue IS 'Events that wait for their place in the register; a row leaves in the transaction that makes its leaf';
COMMENT ON COLUMN leaf_queue.id IS 'Taken before commit, so later rows may be visible earlier: never read past a remembered id alone';
COMMENT ON COLUMN leaf_queue.entry IS 'The 113 hashed bytes of the event';
COMMENT ON COLUMN leaf_queue.subject_id IS 'The event''s subject';
COMMENT ON COLUMN leaf_queue.seq IS 'The event''s place in its subject''s chain';
COMMENT ON COLUMN leaf_queue.queued_at IS 'When it was queued, by the database''s clock: how far the register is behind';

CREATE TABLE leaf (
    index        bigint      CONSTRAINT leaf_pkey PRIMARY KEY CHECK (index >= 0),
    entry        bytea       NOT NULL CHECK (octet_length(entry) = 113),
    subject_id   uuid        NOT NULL,
    seq          integer     NOT NULL,
    sequenced_at timestamptz NOT NULL,
    CONSTRAINT leaf_event_key UNIQUE (subject_id, seq)
);
COMMENT ON TABLE leaf IS 'The leaves of the register in order: append-only, without a gap from 0';
COMMENT ON COLUMN leaf.index IS 'Place in the tree, from 0';
COMMENT ON COLUMN leaf.entry IS 'The 113 hashed bytes of the event; SHA-256(0x00 || entry) is the leaf hash';
COMMENT ON COLUMN leaf.subject_id IS 'The event''s subject; not for the publisher''s eyes';
COMMENT ON COLUMN leaf.seq IS 'The event''s place in its subject''s chain';
COMMENT ON COLUMN leaf.sequenced_at IS 'When it got its place, by the database''s clock';

CREATE TRIGGER leaf_append_only BEFORE UPDATE OR DELETE ON leaf FOR EACH ROW EXECUTE FUNCTION refuse_change();
CREATE TRIGGER leaf_no_truncate BEFORE TRUNCATE ON leaf FOR EACH STATEMENT EXECUTE FUNCTION refuse_change();
ALTER TABLE leaf ENABLE ALWAYS TRIGGER leaf_append_only;
ALTER TABLE leaf ENABLE ALWAYS TRIGGER leaf_no_truncate;
ALTER TABLE leaf SET (
    autovacuum_vacuum_insert_scale_factor = 0,
    autovacuum_vacuum_insert_threshold = 50000,
    autovacuum_analyze_scale_factor = 0.02
);

CREATE TABLE register (
    one          boolean     PRIMARY KEY DEFAULT true CHECK (one),
    size         bigint      NOT NULL DEFAULT 0 CHECK (size >= 0),
    floor        bigint      NOT NULL DEFAULT 0,
    complete     boolean     NOT NULL DEFAULT false,
    sequenced_at timestamptz
) WITH (fillfactor = 50);
INSERT INTO register DEFAULT VALUES;
COMMENT ON TABLE register IS 'One row: how far the sequencer is. Its row lock lets one sequencer work at a time';
COMMENT ON COLUMN register.size IS 'Number of leaves';
COMMENT ON COLUMN register.floor IS 'Where the next round begins to look in the queue; only a hint, rounds from zero follow';
COMMENT ON COLUMN register.complete IS 'Whether the events from before the register are in it or in the queue';
COMMENT ON COLUMN register.sequenced_at IS 'When the last round with leaves was';
