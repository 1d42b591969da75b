-- Surveillance: the state and the findings of the engine that folds the leaves of the register. Everything here
-- follows from the leaves and can be made again from leaf 0. Rows with `trial` are those of a replay of another
-- version of the rules, which is not in force yet.

CREATE TABLE surveillance (
    trial   boolean  PRIMARY KEY,
    version smallint NOT NULL,
    cursor  bigint   NOT NULL DEFAULT 0 CHECK (cursor >= 0),
    swept   bigint   NOT NULL DEFAULT 0,
    skipped bigint   NOT NULL DEFAULT 0
);
COMMENT ON TABLE surveillance IS 'How far the engine is. Its row lock lets one engine work at a time';
COMMENT ON COLUMN surveillance.trial IS 'Whether the row is that of a replay';
COMMENT ON COLUMN surveillance.version IS 'Version of the fold that made the state';
COMMENT ON COLUMN surveillance.cursor IS 'Index of the next leaf';
COMMENT ON COLUMN surveillance.swept IS 'Hour since 1970 up to which the rules of time are judged';
COMMENT ON COLUMN surveillance.skipped IS 'Leaves with texts that this version cannot read';

CREATE TABLE surveillance_state (
    trial    boolean  NOT NULL,
    kind     smallint NOT NULL,
    id       uuid     NOT NULL,
    "window" bytea    NOT NULL,
    due      bigint,
    PRIMARY KEY (trial, kind, id)
) WITH (fillfactor = 70);
CREATE INDEX surveillance_state_due ON surveillance_state (trial, due) WHERE due IS NOT NULL;
COMMENT ON TABLE surveillance_state IS 'Windows of the engine: a few facts of each log, ticket, seal, batch, person and organisation';
COMMENT ON COLUMN surveillance_state.trial IS 'Whether the row is that of a replay';
COMMENT ON COLUMN surveillance_state.kind IS '1 log, 2 ticket, 3 seal, 4 batch, 5 day and 6 month of a person, 7 yards, 8 stock, 9 corrections';
COMMENT ON COLUMN surveillance_state.id IS 'The subject, or a hash of what the window is about; that of a person is keyed by a secret of the server';
COMMENT ON COLUMN surveillance_state."window" IS 'The window as JSON';
COMMENT ON COLUMN surveillance_state.due IS 'When the sweep judges or removes it: microseconds since 1970';

CREATE TABLE surveillance_finding (
    trial           boolean  NOT NULL,
    rule            text     COLLATE "C" NOT NULL,
    subject_kind    smallint NOT NULL,
    subject_id      uuid     NOT NULL,
    key             text     COLLATE "C" NOT NULL,
    version         smallint NOT NULL,
    severity        text     NOT NULL,
    organization_id uuid     NOT NULL,
    ticket_id       uuid,
    inputs          text     NOT NULL,
    evidence        text     NOT NULL,
    finding_id      uuid,
    PRIMARY KEY (trial, rule, subject_kind, subject_id, key)
);
COMMENT ON TABLE surveillance_finding IS 'What the engine found: one row a rule, subject and key';
COMMENT ON COLUMN surveillance_finding.trial IS 'Whether the row is that of a replay';
COMMENT ON COLUMN surveillance_finding.rule IS 'Rule id of docs/DOMAIN.md';
COMMENT ON COLUMN surveillance_finding.subject_kind IS 'Kind of the subject, as in table event';
COMMENT ON COLUMN surveillance_finding.key IS 'What in the subject: events, a month, a day';
COMMENT ON COLUMN surveillance_finding.inputs IS 'The figures, as JSON';
COMMENT ON COLUMN surveillance_finding.evidence IS 'Subject and seq of the events that show it, as JSON';
COMMENT ON COLUMN surveillance_finding.finding_id IS 'Its row of table finding; null in a replay';

CREATE TABLE seal_check (
    hour        timestamptz NOT NULL,
    seal_number text        COLLATE "C" NOT NULL,
    block       bytea       NOT NULL CHECK (octet_length(block) = 8),
    count       integer     NOT NULL CHECK (count > 0),
    PRIMARY KEY (hour, seal_number, block)
) WITH (fillfactor = 90);
CREATE INDEX seal_check_seal ON seal_check (seal_number);
COMMENT ON TABLE seal_check IS 'How often buyers checked a seal; for 90 days. No event says so, and a kill loses up to a minute';
COMMENT ON COLUMN seal_check.hour IS 'Begin of the hour';
COMMENT ON COLUMN seal_check.block IS 'Keyed hash of a block of addresses; the key is in memory only, and a new one every day';
