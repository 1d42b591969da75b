-- Findings: one per rule, subject and key, with the figures from which its sentence is made, and a chain of its own
-- from its first explanation or decision on; citizens' reports and photos, which no chain contains.

ALTER TABLE finding
    ADD COLUMN state              text        NOT NULL DEFAULT 'new',
    ADD COLUMN score              smallint    NOT NULL DEFAULT 50,
    ADD COLUMN rank               integer     NOT NULL DEFAULT 0,
    ADD COLUMN inputs             text,
    ADD COLUMN subject_kind       smallint,
    ADD COLUMN subject_id         uuid,
    ADD COLUMN key                text        COLLATE "C",
    ADD COLUMN count              integer     NOT NULL DEFAULT 1,
    ADD COLUMN superseded_at      timestamptz,
    ADD COLUMN appealed_at        timestamptz,
    ADD COLUMN salt               bytea,
    ADD COLUMN head_seq           integer     NOT NULL DEFAULT 0,
    ADD COLUMN head_hash          bytea       NOT NULL DEFAULT decode(repeat('00', 32), 'hex'),
    ADD COLUMN head_received_at   timestamptz NOT NULL DEFAULT to_timestamp(0);
ALTER TABLE finding ALTER COLUMN detail DROP NOT NULL, ALTER COLUMN organization_id DROP NOT NULL;
COMMENT ON COLUMN finding.organization_id IS 'The organisation that it questions; null: none is known';

-- Findings that were made before keep their sentence, and each has a key of its own. Their rank has no volume and no
-- repetition.
UPDATE finding SET
    subject_kind = CASE WHEN log_id IS NOT NULL THEN 1 WHEN ticket_id IS NOT NULL THEN 2 ELSE 4 END,
    subject_id = COALESCE(log_id, ticket_id, organization_id),
    key = id::text,
    score = CASE severity WHEN 'serious' THEN 80 WHEN 'warning' THEN 50 ELSE 20 END,
    rank = CASE severity WHEN 'serious' THEN 2320 WHEN 'warning' THEN 1200 ELSE 80 END,
    salt = decode(replace(gen_random_uuid()::text || gen_random_uuid()::text, '-', ''), 'hex');

ALTER TABLE finding
    ALTER COLUMN subject_kind SET NOT NULL,
    ALTER COLUMN subject_id SET NOT NULL,
    ALTER COLUMN key SET NOT NULL,
    ALTER COLUMN salt SET NOT NULL,
    ADD CONSTRAINT finding_key UNIQUE (rule, subject_id, key),
    ADD CONSTRAINT finding_state CHECK (state IN ('new', 'explained', 'confirmed', 'false')),
    ADD CONSTRAINT finding_score CHECK (score BETWEEN 0 AND 100),
    ADD CONSTRAINT finding_count CHECK (count > 0),
    ADD CONSTRAINT finding_sentence CHECK (inputs IS NOT NULL OR detail IS NOT NULL),
    ADD CONSTRAINT finding_salt CHECK (octet_length(salt) = 32),
    ADD CONSTRAINT finding_head CHECK (head_seq >= 0 AND octet_length(head_hash) = 32);
CREATE INDEX finding_rank ON finding (rank, id);
CREATE INDEX finding_organization_rank ON finding (organization_id, rank, id);
CREATE INDEX finding_repetition ON finding (organization_id, created_at) WHERE severity <> 'notice';
CREATE INDEX finding_log ON finding (log_id) WHERE log_id IS NOT NULL;
CREATE INDEX finding_ticket ON finding (ticket_id) WHERE ticket_id IS NOT NULL;
CREATE INDEX finding_chain ON finding (id) WHERE head_seq > 0;
COMMENT ON COLUMN finding.state IS 'new, or the newest decision: explained, confirmed, false';
COMMENT ON COLUMN finding.score IS 'How far the figures are from what is usual, 0 to 100';
COMMENT ON COLUMN finding.rank IS 'Order for inspectors: severity, then score, volume at stake and repetition of the party, as they were when the finding was made';
COMMENT ON COLUMN finding.inputs IS 'The figures of the sentence, canonical JSON (RFC 8785) without personal data; null: detail has the sentence';
COMMENT ON COLUMN finding.detail IS 'The English sentence, where none is made from inputs; without personal data';
COMMENT ON COLUMN finding.subject_kind IS 'Kind of subject_id: 1 log or stack, 2 felling ticket, 3 seal batch, 4 organisation';
COMMENT ON COLUMN finding.subject_id IS 'The log, ticket, seal batch or organisation that it is about';
COMMENT ON COLUMN finding.key IS 'Tells the findings of one rule about one subject apart, such as the seq of the event or the ticket''s line';
COMMENT ON COLUMN finding.count IS 'How often it was found: more evidence for the same rule, subject and key raises it';
COMMENT ON COLUMN finding.superseded_at IS 'A newer version of the rule would not find it';
COMMENT ON COLUMN finding.appealed_at IS 'When the party appealed against the newest decision; null: no appeal waits';
COMMENT ON COLUMN finding.salt IS 'Salt of its ref in the register';
COMMENT ON COLUMN finding.head_seq IS 'Number of events of its chain; 0: it was neither explained nor decided';
COMMENT ON COLUMN finding.head_hash IS 'Hash of the newest event of its chain';
COMMENT ON COLUMN finding.head_received_at IS 'When the newest event of its chain was received';

CREATE TABLE finding_evidence (
    finding_id   uuid        NOT NULL REFERENCES finding,
    subject_id   uuid        NOT NULL,
    seq          integer     NOT NULL CHECK (seq > 0),
    subject_kind smallint    NOT NULL,
    added_at     timestamptz NOT NULL,
    CONSTRAINT finding_evidence_pkey PRIMARY KEY (finding_id, subject_id, seq)
);
CREATE INDEX finding_evidence_event ON finding_evidence (subject_id, seq);
COMMENT ON TABLE finding_evidence IS 'The events from which findings were concluded';
COMMENT ON COLUMN finding_evidence.subject_id IS 'Subject of the event';
COMMENT ON COLUMN finding_evidence.seq IS 'Its seq';
COMMENT ON COLUMN finding_evidence.subject_kind IS 'Kind of the subject, as in event.subject_kind';
COMMENT ON COLUMN finding_evidence.added_at IS 'When it was found';
INSERT INTO finding_evidence (finding_id, subject_id, seq, subject_kind, added_at)
SELECT id, log_id, log_seq, 1, created_at FROM finding WHERE log_id IS NOT NULL AND log_seq > 0;

CREATE TABLE finding_text (
    finding_id uuid    NOT NULL REFERENCES finding,
    seq        integer NOT NULL,
    text       text    NOT NULL,
    CONSTRAINT finding_text_pkey PRIMARY KEY (finding_id, seq)
);
-- Statistics keep samples of values; what is erased would live on in them.
ALTER TABLE finding_text ALTER COLUMN text SET STATISTICS 0;
COMMENT ON TABLE finding_text IS 'Texts of more than 300 characters in explanations and decisions; the event has the digest';
COMMENT ON COLUMN finding_text.seq IS 'The event of the finding''s chain';
COMMENT ON COLUMN finding_text.text IS 'The text; personal data';

CREATE TABLE photo (
    organization_id uuid        NOT NULL REFERENCES organization,
    sha256          bytea       NOT NULL,
    media_type      text        NOT NULL CHECK (media_type IN ('image/jpeg', 'image/png')),
    bytes           bytea       NOT NULL CHECK (octet_length(bytes) BETWEEN 1 AND 5242880),
    kept            boolean     NOT NULL DEFAULT false,
    uploaded_at     timestamptz NOT NULL,
    CONSTRAINT photo_pkey PRIMARY KEY (organization_id, sha256),
    CONSTRAINT photo_hash CHECK (photo.sha256 = sha256(photo.bytes))
);
ALTER TABLE photo ALTER COLUMN bytes SET STORAGE EXTERNAL;
ALTER TABLE photo ALTER COLUMN bytes SET STATISTICS 0;
CREATE INDEX photo_sha256 ON photo (sha256);
CREATE INDEX photo_unused ON photo (uploaded_at) WHERE NOT kept;
COMMENT ON TABLE photo IS 'Photos, outside every chain; the observation that shows one has its hash';
COMMENT ON COLUMN photo.organization_id IS 'Who uploaded it';
COMMENT ON COLUMN photo.sha256 IS 'SHA-256 of the file';
COMMENT ON COLUMN photo.media_type IS 'Media type, by the first bytes of the file';
COMMENT ON COLUMN photo.bytes IS 'The file; personal data';
COMMENT ON COLUMN photo.kept IS 'An observation names it; others are deleted after a week';
COMMENT ON COLUMN photo.uploaded_at IS 'When it was uploaded';

CREATE TABLE citizen_report (
    id          uuid        PRIMARY KEY,
    finding_id  uuid        NOT NULL REFERENCES finding,
    code        text        NOT NULL COLLATE "C",
    what        text        NOT NULL CHECK (what IN ('wrong_species', 'wrong_size', 'no_seal', 'broken_seal', 'other')),
    text        text,
    lat         numeric(10, 7),
    lon         numeric(10, 7),
    contact     text,
    received_at timestamptz NOT NULL
);
-- Statistics keep samples of values; what is erased would live on in them.
ALTER TABLE citizen_report ALTER COLUMN text SET STATISTICS 0, ALTER COLUMN contact SET STATISTICS 0,
    ALTER COLUMN lat SET STATISTICS 0, ALTER COLUMN lon SET STATISTICS 0;
CREATE INDEX citizen_report_finding ON citizen_report (finding_id, received_at);
CREATE INDEX citizen_report_code ON citizen_report (code, received_at);
CREATE INDEX citizen_report_time ON citizen_report (received_at);
COMMENT ON TABLE citizen_report IS 'What buyers report about seals; kept for 180 days, longer if an inspector opened the finding';
COMMENT ON COLUMN citizen_report.finding_id IS 'The notice that counts the reports of one code';
COMMENT ON COLUMN citizen_report.code IS 'The seal number or identification code as read';
COMMENT ON COLUMN citizen_report.what IS 'What was wrong';
COMMENT ON COLUMN citizen_report.text IS 'What was seen; personal data';
COMMENT ON COLUMN citizen_report.lat IS 'Where: degrees north, if the reporter shared it; personal data';
COMMENT ON COLUMN citizen_report.lon IS 'Where: degrees east; personal data';
COMMENT ON COLUMN citizen_report.contact IS 'How to reach the reporter; personal data';
COMMENT ON COLUMN citizen_report.received_at IS 'When it was received';

-- The order of lists: a notice that an inspector opens has the time of that, not of the report.
CREATE INDEX finding_time ON finding (created_at, id);
CREATE INDEX finding_organization_time ON finding (organization_id, created_at, id);
CREATE INDEX finding_appeal ON finding (appealed_at) WHERE appealed_at IS NOT NULL;

-- A request can make a finding.
ALTER TABLE idempotency DROP CONSTRAINT idempotency_made;
ALTER TABLE idempotency
    ADD CONSTRAINT idempotency_made CHECK (
        (made_kind IS NULL) = (made_id IS NULL)
        AND made_kind IN ('organization', 'key', 'felling_ticket', 'seal_batch', 'harvest', 'operation', 'finding')
    ) NOT VALID;
ALTER TABLE idempotency VALIDATE CONSTRAINT idempotency_made;
