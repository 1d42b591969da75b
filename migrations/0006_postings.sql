-- What makes a repeated posting harmless.

CREATE TABLE operation (
    organization_id uuid        NOT NULL,
    operation_id    uuid        NOT NULL,
    kind            text        NOT NULL,
    fingerprint     bytea       CHECK (octet_length(fingerprint) = 32),
    subjects        uuid[]      NOT NULL,
    seqs            integer[]   NOT NULL,
    created_at      timestamptz NOT NULL,
    CONSTRAINT operation_pkey PRIMARY KEY (organization_id, operation_id)
);
COMMENT ON TABLE operation IS 'Every posting by its operation id, unique per organisation for ever';
COMMENT ON COLUMN operation.kind IS 'harvest, custody_event, seal_transfer, seal_void, …';
COMMENT ON COLUMN operation.fingerprint IS 'HMAC-SHA-256 of the canonical posting; null once personal data in it was erased';
COMMENT ON COLUMN operation.subjects IS 'The events it made: their subjects, in the request''s order';
COMMENT ON COLUMN operation.seqs IS 'The events it made: their seq';

CREATE TABLE idempotency (
    organization_id uuid        NOT NULL,
    key             text        COLLATE "C" NOT NULL,
    fingerprint     bytea       NOT NULL CHECK (octet_length(fingerprint) = 32),
    status          smallint    NOT NULL,
    body            bytea,
    already_done    text        NOT NULL,
    created_at      timestamptz NOT NULL,
    body_until      timestamptz NOT NULL,
    CONSTRAINT idempotency_pkey PRIMARY KEY (organization_id, key)
);
-- Statistics keep samples of values; what is erased would live on in them.
ALTER TABLE idempotency ALTER COLUMN body SET STATISTICS 0;
ALTER TABLE idempotency ALTER COLUMN fingerprint SET STATISTICS 0;
ALTER TABLE operation ALTER COLUMN fingerprint SET STATISTICS 0;
CREATE INDEX idempotency_body_until ON idempotency (body_until) WHERE body IS NOT NULL;
CREATE INDEX idempotency_created ON idempotency (created_at);
COMMENT ON TABLE idempotency IS 'First answers by Idempotency-Key; a row is kept 90 days';
COMMENT ON COLUMN idempotency.fingerprint IS 'HMAC-SHA-256 of method, route, path, query and canonical body';
COMMENT ON COLUMN idempotency.body IS 'The first answer, gzip; null where it may not be stored (a token) or is no longer kept';
COMMENT ON COLUMN idempotency.already_done IS 'What to tell when the answer is no longer kept: the id of what was made';
COMMENT ON COLUMN idempotency.body_until IS 'Until when the answer is kept: 90 days, over 64 kB 7 days';

CREATE TABLE device_record (
    organization_id uuid   NOT NULL,
    device_id       text   NOT NULL,
    seq             bigint NOT NULL,
    recorded_at     timestamptz NOT NULL,
    operation_id    uuid   NOT NULL,
    CONSTRAINT device_record_pkey PRIMARY KEY (organization_id, device_id, seq)
);
COMMENT ON TABLE device_record IS 'Numbers given by recording devices: each once, so that a gap or a repeat shows';
COMMENT ON COLUMN device_record.recorded_at IS 'The device''s own time';
