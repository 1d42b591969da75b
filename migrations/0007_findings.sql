-- What looked wrong at recording. A finding is graded; it decides nothing.

CREATE TABLE finding (
    id              uuid        PRIMARY KEY,
    rule            text        NOT NULL,
    version         smallint    NOT NULL,
    severity        text        NOT NULL,
    organization_id uuid        NOT NULL,
    ticket_id       uuid,
    log_id          uuid,
    log_seq         integer,
    detail          text        NOT NULL,
    created_at      timestamptz NOT NULL
);
CREATE INDEX finding_organization ON finding (organization_id, id);
COMMENT ON TABLE finding IS 'A rule''s finding on a record';
COMMENT ON COLUMN finding.rule IS 'Rule id of docs/DOMAIN.md';
COMMENT ON COLUMN finding.version IS 'Version of the rule that found it';
COMMENT ON COLUMN finding.organization_id IS 'Whose record it is about';
COMMENT ON COLUMN finding.log_seq IS 'The event of the log that gave rise to it';
COMMENT ON COLUMN finding.detail IS 'Inputs and result, in a sentence, without personal data';
