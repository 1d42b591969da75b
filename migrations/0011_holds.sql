-- Holds: timber that an inspector has stopped. Only events recorded from now on hold a log; no earlier inspection does.

ALTER TABLE log
    ADD COLUMN held_since         timestamptz,
    ADD COLUMN held_reason        text,
    ADD COLUMN reseal             boolean NOT NULL DEFAULT false,
    ADD COLUMN ticket_held_since  timestamptz,
    ADD COLUMN ticket_held_until  timestamptz,
    ADD COLUMN ticket_held_reason text,
    ADD COLUMN ticket_held_seq    integer,
    ADD CONSTRAINT log_held CHECK ((held_since IS NULL) = (held_reason IS NULL)),
    ADD CONSTRAINT log_ticket_held CHECK (
        (ticket_held_since IS NULL) = (ticket_held_reason IS NULL)
        AND (ticket_held_since IS NULL) = (ticket_held_seq IS NULL)
        AND (ticket_held_since IS NOT NULL OR ticket_held_until IS NULL)
    );
COMMENT ON COLUMN log.held_since IS 'When the log''s own hold began (event detained); null: it has none';
COMMENT ON COLUMN log.held_reason IS 'Reason of that hold';
COMMENT ON COLUMN log.reseal IS 'An inspection found its seal missing or damaged, and it has not been replaced yet';
COMMENT ON COLUMN log.ticket_held_since IS 'When the hold of its felling ticket began that reaches this log; null: none does';
COMMENT ON COLUMN log.ticket_held_until IS 'When that hold ends by itself; null: only by its release';
COMMENT ON COLUMN log.ticket_held_reason IS 'Reason of that hold';
COMMENT ON COLUMN log.ticket_held_seq IS 'The ticket''s event that made that hold';

ALTER TABLE felling_ticket
    ADD COLUMN held_since  timestamptz,
    ADD COLUMN held_until  timestamptz,
    ADD COLUMN held_reason text,
    ADD COLUMN held_by     text,
    ADD COLUMN held_seq    integer,
    ADD CONSTRAINT felling_ticket_held CHECK (
        (held_since IS NULL) = (held_reason IS NULL)
        AND (held_since IS NULL) = (held_by IS NULL)
        AND (held_since IS NULL) = (held_until IS NULL)
        AND (held_since IS NULL) = (held_seq IS NULL)
        AND held_by IN ('issuer', 'inspector')
    );
COMMENT ON COLUMN felling_ticket.held_since IS 'When the present hold began; null: the ticket is not held';
COMMENT ON COLUMN felling_ticket.held_until IS 'An issuer''s hold ends then; an inspector''s is overdue then';
COMMENT ON COLUMN felling_ticket.held_reason IS 'Its reason';
COMMENT ON COLUMN felling_ticket.held_by IS 'issuer: holds the logs that the ticket''s holder holds; inspector: holds all its logs';
COMMENT ON COLUMN felling_ticket.held_seq IS 'The event that made it';
CREATE INDEX felling_ticket_held ON felling_ticket (held_until) WHERE held_since IS NOT NULL;

-- An entry that never was (a correction with `annul`) closes the log. NOT VALID, then VALIDATE: the table is not
-- locked while its rows are read.
ALTER TABLE log DROP CONSTRAINT log_status_check;
ALTER TABLE log ADD CONSTRAINT log_status_check CHECK (status IN (
    'at_felling', 'stored', 'loaded', 'in_transit', 'arrived', 'received',
    'processed', 'exported', 'sold', 'lost', 'destroyed', 'annulled')) NOT VALID;
ALTER TABLE log VALIDATE CONSTRAINT log_status_check;
