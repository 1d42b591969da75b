-- Seals: which exist, who holds them, on which log each was hammered.

CREATE TABLE seal_batch (
    id               uuid        PRIMARY KEY,
    salt             bytea       NOT NULL CHECK (octet_length(salt) = 32),
    head_seq         integer     NOT NULL,
    head_hash        bytea       NOT NULL CHECK (octet_length(head_hash) = 32),
    head_received_at timestamptz NOT NULL,
    registered_by    uuid        NOT NULL REFERENCES organization,
    allotted_to      uuid        NOT NULL REFERENCES organization,
    quantity         integer     NOT NULL CHECK (quantity BETWEEN 1 AND 1000000),
    first_number     text        COLLATE "C" NOT NULL,
    last_number      text        COLLATE "C" NOT NULL,
    list_digest      bytea       NOT NULL CHECK (octet_length(list_digest) = 32),
    created_at       timestamptz NOT NULL
);
COMMENT ON TABLE seal_batch IS 'Seals registered or made in one posting; head of the chain that records their registration, transfers and voids';
COMMENT ON COLUMN seal_batch.registered_by IS 'The operator''s organisation that registered it';
COMMENT ON COLUMN seal_batch.allotted_to IS 'Who got the seals at registration';
COMMENT ON COLUMN seal_batch.first_number IS 'Least seal number of the batch';
COMMENT ON COLUMN seal_batch.last_number IS 'Greatest seal number of the batch';
COMMENT ON COLUMN seal_batch.list_digest IS 'SHA-256 over the sorted lines "number TAB identification LF", as in the registration event';
COMMENT ON COLUMN seal_batch.salt IS 'Salt of the subject''s ref';
COMMENT ON COLUMN seal_batch.head_seq IS 'Number of events of the chain so far';
COMMENT ON COLUMN seal_batch.head_hash IS 'Hash of the newest event';
COMMENT ON COLUMN seal_batch.head_received_at IS 'received_at of the newest event';

CREATE TABLE seal (
    number         text COLLATE "C" CONSTRAINT seal_pkey PRIMARY KEY,
    identification text COLLATE "C" NOT NULL CONSTRAINT seal_identification_key UNIQUE,
    marking_code   text COLLATE "C" NOT NULL,
    batch_id       uuid NOT NULL,
    holder_id      uuid NOT NULL,
    status         text NOT NULL DEFAULT 'issued',
    log_id         uuid,
    void_reason    text,
    CHECK (status IN ('issued', 'applied', 'void')),
    CHECK (status <> 'applied' OR log_id IS NOT NULL),
    CHECK ((status = 'void') = (void_reason IS NOT NULL))
) WITH (fillfactor = 85);
CREATE INDEX seal_holder ON seal (holder_id, status, number);
CREATE INDEX seal_of_batch ON seal (batch_id, number);
CREATE INDEX seal_log ON seal (log_id) WHERE log_id IS NOT NULL;
COMMENT ON TABLE seal IS 'A seal as it stands now; one row a seal, for ever';
COMMENT ON COLUMN seal.number IS 'The number printed on the plastic';
COMMENT ON COLUMN seal.identification IS 'Identification part of the marking code: 01 + GTIN + 21 + serial';
COMMENT ON COLUMN seal.marking_code IS 'Whole marking code, GS (0x1D) between its parts, without a leading FNC1';
COMMENT ON COLUMN seal.batch_id IS 'The batch it was registered in';
COMMENT ON COLUMN seal.holder_id IS 'The organisation that may apply or void it';
COMMENT ON COLUMN seal.status IS 'issued, applied or void; nothing leads back';
COMMENT ON COLUMN seal.log_id IS 'The log it was hammered into; stays when the seal becomes void';
COMMENT ON COLUMN seal.void_reason IS 'spoiled, lost, stolen, destroyed, or replaced';

CREATE TABLE seal_move (
    number   text COLLATE "C" NOT NULL,
    batch_id uuid    NOT NULL,
    seq      integer NOT NULL,
    PRIMARY KEY (number, seq)
);
COMMENT ON TABLE seal_move IS 'Which events of its batch''s chain, after the registration, concern a seal';
COMMENT ON COLUMN seal_move.seq IS 'Event of the batch''s chain';

CREATE SEQUENCE seal_number_seq AS bigint;
COMMENT ON SEQUENCE seal_number_seq IS 'Next number for seals that we name';

CREATE TABLE marking_key (
    key_id     text  COLLATE "C" PRIMARY KEY CHECK (length(key_id) = 4),
    public_key bytea NOT NULL CHECK (octet_length(public_key) = 32),
    created_at timestamptz NOT NULL
);
COMMENT ON TABLE marking_key IS 'Public keys (Ed25519) of the marking codes we made; never removed, or old seals could not be checked';
