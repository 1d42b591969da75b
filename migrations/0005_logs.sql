-- Harvests, and the logs and stacks that came of them.

CREATE TABLE harvest (
    id              uuid          PRIMARY KEY,
    organization_id uuid          NOT NULL REFERENCES organization,
    ticket_id       uuid          NOT NULL REFERENCES felling_ticket,
    operation_id    uuid          NOT NULL,
    personal_id     uuid          NOT NULL,
    log_count       integer       NOT NULL CHECK (log_count >= 1),
    volume_m3       numeric(14,4) NOT NULL,
    received_at     timestamptz   NOT NULL,
    CONSTRAINT harvest_operation_key UNIQUE (organization_id, operation_id)
);
CREATE INDEX harvest_ticket ON harvest (ticket_id, id);
COMMENT ON TABLE harvest IS 'One posting of harvested timber';
COMMENT ON COLUMN harvest.personal_id IS 'The responsible person, in table personal until erased';
COMMENT ON COLUMN harvest.operation_id IS 'The client''s or our name for the posting';
COMMENT ON COLUMN harvest.volume_m3 IS 'Sum of the declared volumes at recording, cubic metres';

-- No foreign keys on the two big tables: their ids are read under lock in the
-- transaction that writes them, nothing is ever deleted, and a check per row
-- would cost a harvest of 5,000 logs 20,000 look-ups of the same four rows.
CREATE TABLE log (
    id                uuid          PRIMARY KEY,
    salt              bytea         NOT NULL CHECK (octet_length(salt) = 32),
    head_seq          integer       NOT NULL,
    head_hash         bytea         NOT NULL CHECK (octet_length(head_hash) = 32),
    head_received_at  timestamptz   NOT NULL,
    kind              text          NOT NULL,
    species           text          NOT NULL,
    wood              text          NOT NULL,
    assortment        text,
    grade             smallint,
    length_m          numeric(5,2),
    top_diameter_cm   numeric(4,1),
    pieces            integer,
    volume_m3         numeric(10,4) NOT NULL,
    table_volume_m3   numeric(10,4),
    measurement_method text         NOT NULL,
    felled_on         date          NOT NULL,
    harvest_id        uuid          NOT NULL,
    ticket_id         uuid          NOT NULL,
    line_id           uuid          NOT NULL,
    issuer_id         uuid          NOT NULL,
    seal_number       text COLLATE "C" NOT NULL,
    seal_void         boolean       NOT NULL DEFAULT false,
    status            text          NOT NULL,
    holder_id         uuid          NOT NULL,
    owner_id          uuid          NOT NULL,
    pending_from      uuid,
    pending_to        uuid,
    pending_of        text,
    carrier_id        uuid,
    vehicle           text,
    last_type         text          NOT NULL,
    last_on           date          NOT NULL,
    last_region       text,
    last_occurred_at  timestamptz   NOT NULL,
    CHECK (status IN ('at_felling', 'stored', 'loaded', 'in_transit', 'arrived', 'received',
                      'processed', 'exported', 'sold', 'lost', 'destroyed')),
    CHECK ((pending_to IS NULL) = (pending_of IS NULL) AND (pending_to IS NULL) = (pending_from IS NULL)),
    CHECK (pending_of IN ('both', 'possession', 'ownership'))
) WITH (fillfactor = 85);
CREATE INDEX log_holder ON log (holder_id, id);
CREATE INDEX log_owner ON log (owner_id, id) WHERE owner_id <> holder_id;
CREATE INDEX log_ticket ON log (ticket_id, id);
CREATE INDEX log_harvest ON log (harvest_id, id);
COMMENT ON TABLE log IS 'A log or a stack as it stands now, derived from its events; head of its chain';
COMMENT ON COLUMN log.salt IS 'Salt of the subject''s ref';
COMMENT ON COLUMN log.head_seq IS 'Number of events of the chain so far';
COMMENT ON COLUMN log.head_hash IS 'Hash of the newest event';
COMMENT ON COLUMN log.head_received_at IS 'received_at of the newest event';
COMMENT ON COLUMN log.kind IS 'log or stack';
COMMENT ON COLUMN log.length_m IS 'Length, metres';
COMMENT ON COLUMN log.top_diameter_cm IS 'Top-end diameter, centimetres';
COMMENT ON COLUMN log.volume_m3 IS 'Declared volume, dense cubic metres';
COMMENT ON COLUMN log.table_volume_m3 IS 'Volume of GOST 2708-75 for the same diameter and length, where the table covers it';
COMMENT ON COLUMN log.felled_on IS 'Local date of the harvest';
COMMENT ON COLUMN log.harvest_id IS 'The posting that recorded it';
COMMENT ON COLUMN log.line_id IS 'The ticket line its volume counts against';
COMMENT ON COLUMN log.issuer_id IS 'Issuer of the ticket, who may read the harvest data';
COMMENT ON COLUMN log.seal_number IS 'The seal it bears now (or bore last)';
COMMENT ON COLUMN log.seal_void IS 'The present seal is void and not yet replaced';
COMMENT ON COLUMN log.holder_id IS 'Who has it (possession)';
COMMENT ON COLUMN log.owner_id IS 'Whose it is (ownership)';
COMMENT ON COLUMN log.pending_from IS 'Sender of a transfer that waits for the other side';
COMMENT ON COLUMN log.pending_to IS 'Receiver of that transfer';
COMMENT ON COLUMN log.pending_of IS 'What it transfers: both, possession or ownership';
COMMENT ON COLUMN log.carrier_id IS 'Carrier named at loading, until received';
COMMENT ON COLUMN log.vehicle IS 'Vehicle named at loading, until received';
COMMENT ON COLUMN log.last_type IS 'Type of the newest event that was not out of order';
COMMENT ON COLUMN log.last_on IS 'Local date of that event';
COMMENT ON COLUMN log.last_region IS 'Region of the last event that named one';
COMMENT ON COLUMN log.last_occurred_at IS 'Claimed time of that event';

CREATE TABLE log_seal (
    seal_number text COLLATE "C" CONSTRAINT log_seal_pkey PRIMARY KEY,
    log_id      uuid    NOT NULL,
    from_seq    integer NOT NULL,
    until_seq   integer
);
CREATE INDEX log_seal_log ON log_seal (log_id, from_seq);
COMMENT ON TABLE log_seal IS 'Which seal was on which log, from which event to which; a seal is applied once, ever';
COMMENT ON COLUMN log_seal.from_seq IS 'Event of the log that put the seal on';
COMMENT ON COLUMN log_seal.until_seq IS 'Event of the log that replaced it; null while it is the log''s seal';

CREATE TABLE past_party (
    log_id          uuid    NOT NULL,
    organization_id uuid    NOT NULL,
    until_seq       integer NOT NULL,
    PRIMARY KEY (log_id, organization_id)
);
COMMENT ON TABLE past_party IS 'Who held or owned a log before, and the last event they may still read';
COMMENT ON COLUMN past_party.until_seq IS 'The event by which it left them';
