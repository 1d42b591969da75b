-- Felling tickets and how much of each line is marked.

CREATE TABLE felling_ticket (
    id               uuid        PRIMARY KEY,
    salt             bytea       NOT NULL CHECK (octet_length(salt) = 32),
    head_seq         integer     NOT NULL,
    head_hash        bytea       NOT NULL CHECK (octet_length(head_hash) = 32),
    head_received_at timestamptz NOT NULL,
    issuer_id        uuid        NOT NULL REFERENCES organization,
    holder_id        uuid        NOT NULL REFERENCES organization,
    series           text        NOT NULL,
    number           text        NOT NULL,
    issued_on        date        NOT NULL,
    felling_kind     text        NOT NULL,
    forest_category  text        NOT NULL,
    forest_type      text        NOT NULL,
    region           text        NOT NULL,
    district         text,
    forestry         text        NOT NULL,
    compartment      text        NOT NULL,
    subcompartment   text,
    cutting_area     text,
    area_ha          numeric(11,4),
    plot             text,
    felling_from     date        NOT NULL,
    felling_until    date        NOT NULL,
    removal_until    date,
    cancelled_at     timestamptz,
    CONSTRAINT felling_ticket_number_key UNIQUE (issuer_id, series, number)
);
CREATE INDEX felling_ticket_holder ON felling_ticket (holder_id, id);
CREATE INDEX felling_ticket_issuer ON felling_ticket (issuer_id, id);
COMMENT ON TABLE felling_ticket IS 'A felling ticket as it stands now; head of its chain';
COMMENT ON COLUMN felling_ticket.issuer_id IS 'The state forest owner that issued it';
COMMENT ON COLUMN felling_ticket.holder_id IS 'The enterprise that may fell under it';
COMMENT ON COLUMN felling_ticket.plot IS 'Contour as GeoJSON text, WGS 84, [longitude, latitude]';
COMMENT ON COLUMN felling_ticket.area_ha IS 'Area in hectares';
COMMENT ON COLUMN felling_ticket.felling_from IS 'First local day of felling';
COMMENT ON COLUMN felling_ticket.felling_until IS 'Last local day of felling, extensions included';
COMMENT ON COLUMN felling_ticket.removal_until IS 'Last local day of removal, extensions included';
COMMENT ON COLUMN felling_ticket.cancelled_at IS 'When it was cancelled; null while in force';
COMMENT ON COLUMN felling_ticket.salt IS 'Salt of the subject''s ref';
COMMENT ON COLUMN felling_ticket.head_seq IS 'Number of events of the chain so far';
COMMENT ON COLUMN felling_ticket.head_hash IS 'Hash of the newest event';
COMMENT ON COLUMN felling_ticket.head_received_at IS 'received_at of the newest event';

CREATE TABLE ticket_line (
    id           uuid          PRIMARY KEY,
    ticket_id    uuid          NOT NULL REFERENCES felling_ticket,
    position     smallint      NOT NULL,
    species      text          NOT NULL,
    wood         text          NOT NULL,
    permitted_m3 numeric(12,4) NOT NULL CHECK (permitted_m3 > 0),
    marked_m3    numeric(14,4) NOT NULL DEFAULT 0 CHECK (marked_m3 >= 0),
    CONSTRAINT ticket_line_species_key UNIQUE (ticket_id, species, wood)
) WITH (fillfactor = 80);
COMMENT ON TABLE ticket_line IS 'One species line of a ticket and what has been marked on it';
COMMENT ON COLUMN ticket_line.position IS 'Order on the ticket, from 0';
COMMENT ON COLUMN ticket_line.wood IS 'commercial, firewood or brushwood';
COMMENT ON COLUMN ticket_line.permitted_m3 IS 'Permitted dense volume, cubic metres';
COMMENT ON COLUMN ticket_line.marked_m3 IS 'Sum of the volumes marked on it, corrections included; derived from the logs'' chains';
