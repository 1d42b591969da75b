-- Who takes part, and the keys they call with.

CREATE TABLE organization (
    id               uuid        PRIMARY KEY,
    salt             bytea       NOT NULL CHECK (octet_length(salt) = 32),
    head_seq         integer     NOT NULL,
    head_hash        bytea       NOT NULL CHECK (octet_length(head_hash) = 32),
    head_received_at timestamptz NOT NULL,
    bin              text        COLLATE "C" CONSTRAINT organization_bin_key UNIQUE,
    name             text,
    kind             text        NOT NULL,
    roles            text[]      NOT NULL CHECK (cardinality(roles) >= 1),
    created_at       timestamptz NOT NULL,
    CHECK ((bin IS NULL) = (name IS NULL))
);
ALTER TABLE organization ALTER COLUMN name SET STATISTICS 0;
ALTER TABLE organization ALTER COLUMN bin SET STATISTICS 0;
COMMENT ON TABLE organization IS 'A participant: operator, forest owner, enterprise, carrier or inspector; head of its chain';
COMMENT ON COLUMN organization.salt IS 'Salt of the subject''s ref in every entry of its chain';
COMMENT ON COLUMN organization.head_seq IS 'Number of events of the chain so far';
COMMENT ON COLUMN organization.head_hash IS 'Hash of the newest event: the next one''s prev';
COMMENT ON COLUMN organization.head_received_at IS 'received_at of the newest event';
COMMENT ON COLUMN organization.bin IS 'BIN or IIN, 12 digits with check digit; null once erased';
COMMENT ON COLUMN organization.name IS 'Name; a sole trader''s is a person''s; null once erased';
COMMENT ON COLUMN organization.kind IS 'legal_entity, sole_trader or farm';
COMMENT ON COLUMN organization.roles IS 'operator, forest_owner, enterprise, carrier, inspector';

CREATE TABLE api_key (
    id              uuid        PRIMARY KEY,
    organization_id uuid        NOT NULL REFERENCES organization,
    label           text        NOT NULL,
    token_hash      bytea       NOT NULL CONSTRAINT api_key_token_key UNIQUE CHECK (octet_length(token_hash) = 32),
    created_at      timestamptz NOT NULL,
    expires_at      timestamptz,
    revoked_at      timestamptz,
    last_used_at    timestamptz
);
CREATE INDEX api_key_organization ON api_key (organization_id, id);
COMMENT ON TABLE api_key IS 'Keys that organisations call with';
COMMENT ON COLUMN api_key.label IS 'What the organisation calls the key';
COMMENT ON COLUMN api_key.token_hash IS 'SHA-256 of the token; the token itself is never stored. 256 random bits need no slow hash';
COMMENT ON COLUMN api_key.revoked_at IS 'When the key was revoked: it fails from that moment';
COMMENT ON COLUMN api_key.last_used_at IS 'Last use, to within a minute';

CREATE TABLE server_secret (
    name  text  PRIMARY KEY,
    value bytea NOT NULL
);
COMMENT ON TABLE server_secret IS 'Secrets that all instances of the server share, made on first start';
COMMENT ON COLUMN server_secret.value IS 'Random bytes';
