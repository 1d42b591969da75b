-- The evidence: every event of every subject (a log or stack, a felling ticket,
-- a batch of seals, an organisation) in one append-only table.
-- docs/CHAIN.md specifies the bytes that `hash` covers.

CREATE TABLE event (
    subject_id      uuid        NOT NULL,
    seq             integer     NOT NULL CHECK (seq >= 1),
    subject_kind    smallint    NOT NULL CHECK (subject_kind BETWEEN 1 AND 6),
    received_at     timestamptz NOT NULL,
    hash            bytea       NOT NULL CHECK (octet_length(hash) = 32),
    secret          bytea       NOT NULL CHECK (octet_length(secret) = 32),
    public          text        NOT NULL CONSTRAINT event_public_size CHECK (octet_length(public) <= 700),
    business        text        NOT NULL CONSTRAINT event_business_size CHECK (octet_length(business) <= 1300),
    personal_commitment bytea   CHECK (octet_length(personal_commitment) = 32),
    personal_id     uuid,
    type            text        NOT NULL,
    organization_id uuid        NOT NULL,
    operation_id    uuid        NOT NULL,
    occurred_at     timestamptz NOT NULL,
    region          text,
    -- Everything a chain needs rides in the index: a history is one index-only
    -- descent, whatever else the heap holds. `prev` is the row before's hash.
    CONSTRAINT event_pkey PRIMARY KEY (subject_id, seq)
        INCLUDE (received_at, hash, secret, public, business, personal_commitment, personal_id),
    CHECK ((personal_commitment IS NULL) = (personal_id IS NULL))
);

-- Index-only scans live on the visibility map, which only vacuum sets; an
-- insert-only table is vacuumed by insert count alone.
ALTER TABLE event SET (
    autovacuum_vacuum_insert_scale_factor = 0,
    autovacuum_vacuum_insert_threshold = 50000,
    autovacuum_analyze_scale_factor = 0.02
);

CREATE INDEX event_search ON event (region, type, received_at, subject_id, seq);
CREATE INDEX event_received ON event (received_at, subject_id, seq);
CREATE INDEX event_organization ON event (organization_id, received_at, subject_id, seq);

COMMENT ON TABLE event IS 'Append-only evidence: one row an event, chained per subject; never updated, never deleted';
COMMENT ON COLUMN event.subject_id IS 'The log, stack, felling ticket, seal batch or organisation the event is about';
COMMENT ON COLUMN event.seq IS 'Place in the subject''s chain, from 1 without a gap';
COMMENT ON COLUMN event.subject_kind IS '1 log or stack, 2 felling ticket, 3 seal batch, 4 organisation, 5 finding, 6 waybill';
COMMENT ON COLUMN event.received_at IS 'When the server took it, to the microsecond; never falls within a chain; hashed';
COMMENT ON COLUMN event.hash IS 'SHA-256(0x00 || entry): links to the next event and is the leaf hash of the register';
COMMENT ON COLUMN event.secret IS 'Secret from which the salts of the public and business commitments are derived';
COMMENT ON COLUMN event.public IS 'Public part: the exact canonical JSON that was hashed';
COMMENT ON COLUMN event.business IS 'Business part: the exact canonical JSON that was hashed';
COMMENT ON COLUMN event.personal_commitment IS 'Commitment to the personal part; stays when the personal data is erased';
COMMENT ON COLUMN event.personal_id IS 'Row of table personal that holds, or held, the personal part';
COMMENT ON COLUMN event.type IS 'Copy of the public part''s type, for search; recomputable';
COMMENT ON COLUMN event.organization_id IS 'Copy of the business part''s recording organisation, for search; recomputable';
COMMENT ON COLUMN event.operation_id IS 'Copy of the business part''s posting; recomputable';
COMMENT ON COLUMN event.occurred_at IS 'Copy of the business part''s claimed time, for search; recomputable';
COMMENT ON COLUMN event.region IS 'Copy of the public part''s region, for search; recomputable';

-- Personal data lives apart, so that deleting a row leaves every chain verifiable.
CREATE TABLE personal (
    id              uuid        PRIMARY KEY,
    organization_id uuid        NOT NULL,
    text            text        NOT NULL,
    secret          bytea       NOT NULL CHECK (octet_length(secret) = 32),
    created_at      timestamptz NOT NULL
);
-- The statistics of a column keep samples of its values: an erased name would live on there.
ALTER TABLE personal ALTER COLUMN text SET STATISTICS 0;
ALTER TABLE personal ALTER COLUMN text SET STORAGE PLAIN;
COMMENT ON TABLE personal IS 'Personal parts of events (names, IIN); a row is deleted to erase it';
COMMENT ON COLUMN personal.organization_id IS 'The organisation that recorded it';
COMMENT ON COLUMN personal.text IS 'Personal part: the exact canonical JSON that was committed to';
COMMENT ON COLUMN personal.secret IS 'Secret from which the salt of each event''s personal commitment is derived; gone with the row';

CREATE FUNCTION refuse_change() RETURNS trigger LANGUAGE plpgsql AS $$
BEGIN
    RAISE EXCEPTION 'table % is append-only: % is refused', TG_TABLE_NAME, TG_OP USING ERRCODE = 'restrict_violation';
END $$;
COMMENT ON FUNCTION refuse_change() IS 'Trigger of append-only tables';

CREATE TRIGGER event_append_only BEFORE UPDATE OR DELETE ON event FOR EACH ROW EXECUTE FUNCTION refuse_change();
CREATE TRIGGER event_no_truncate BEFORE TRUNCATE ON event FOR EACH STATEMENT EXECUTE FUNCTION refuse_change();
ALTER TABLE event ENABLE ALWAYS TRIGGER event_append_only;
ALTER TABLE event ENABLE ALWAYS TRIGGER event_no_truncate;
