-- Bans on felling and export, and the annual allowable cuts. Each row is made by an event of the operator's chain.

CREATE TABLE ban (
    id                 uuid        PRIMARY KEY,
    kind               text        NOT NULL CHECK (kind IN ('felling', 'export')),
    region             text,
    forest_owner_id    uuid        REFERENCES organization,
    species            text,
    hs                 text[]      NOT NULL,
    from_day           date        NOT NULL,
    until_day          date        NOT NULL CHECK (until_day >= from_day),
    existing_tickets   boolean     NOT NULL,
    document_kind      text        NOT NULL,
    document_number    text        NOT NULL,
    document_issued_on date,
    made_at            timestamptz NOT NULL,
    ended_on           date,
    end_reason         text,
    CHECK ((ended_on IS NULL) = (end_reason IS NULL))
);
COMMENT ON TABLE ban IS 'A ban on felling or export that the operator recorded';
COMMENT ON COLUMN ban.kind IS 'felling or export';
COMMENT ON COLUMN ban.region IS 'Only timber of this region; null: of all';
COMMENT ON COLUMN ban.forest_owner_id IS 'Only timber of this issuer of tickets; null: of all';
COMMENT ON COLUMN ban.species IS 'Only this species; null: all';
COMMENT ON COLUMN ban.hs IS 'HS codes that an export ban is on; empty: all';
COMMENT ON COLUMN ban.from_day IS 'First day in Kazakhstan';
COMMENT ON COLUMN ban.until_day IS 'Last day in Kazakhstan, unless it was ended before';
COMMENT ON COLUMN ban.existing_tickets IS 'Whether a felling ban also stops harvests under tickets that were issued before it';
COMMENT ON COLUMN ban.document_kind IS 'Kind of the document that decided it';
COMMENT ON COLUMN ban.document_number IS 'Number of that document';
COMMENT ON COLUMN ban.document_issued_on IS 'Day of that document';
COMMENT ON COLUMN ban.made_at IS 'When the operator recorded it';
COMMENT ON COLUMN ban.ended_on IS 'First day on which it is not in force any more, if it was ended; null: it was not';
COMMENT ON COLUMN ban.end_reason IS 'Why it was ended';

CREATE TABLE allowable_cut (
    id                 uuid          PRIMARY KEY,
    forest_owner_id    uuid          NOT NULL REFERENCES organization,
    year               integer       NOT NULL,
    forestry           text,
    forestry_key       text          NOT NULL,
    species_group      text          NOT NULL,
    volume_m3          numeric(14,4) NOT NULL CHECK (volume_m3 > 0),
    document_kind      text          NOT NULL,
    document_number    text          NOT NULL,
    document_issued_on date,
    set_at             timestamptz   NOT NULL,
    CONSTRAINT allowable_cut_subject_key UNIQUE (forest_owner_id, year, forestry_key, species_group)
);
COMMENT ON TABLE allowable_cut IS 'Volume that may be felled on a forest owner''s tickets in a year (расчётная лесосека)';
COMMENT ON COLUMN allowable_cut.forestry IS 'Only this forestry, as the operator wrote it; null: all of the forest owner';
COMMENT ON COLUMN allowable_cut.forestry_key IS 'That forestry as it is compared: without case, spaces and quotes; empty: all';
COMMENT ON COLUMN allowable_cut.species_group IS 'Only species of this group; empty: all';
COMMENT ON COLUMN allowable_cut.volume_m3 IS 'Dense volume, cubic metres';
COMMENT ON COLUMN allowable_cut.document_kind IS 'Kind of the document that decided it';
COMMENT ON COLUMN allowable_cut.document_number IS 'Number of that document';
COMMENT ON COLUMN allowable_cut.document_issued_on IS 'Day of that document';
COMMENT ON COLUMN allowable_cut.set_at IS 'When the operator set it';

CREATE INDEX felling_ticket_number ON felling_ticket (number, id);
COMMENT ON INDEX felling_ticket_number IS 'For the look-up of a ticket by the number on its paper';
