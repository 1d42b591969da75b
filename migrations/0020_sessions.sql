-- Sessions of the desk: a browser that has signed in with a key. No event is about them.

CREATE TABLE session (
    id           uuid        PRIMARY KEY,
    secret_hash  bytea       NOT NULL CONSTRAINT session_secret_key UNIQUE CHECK (octet_length(secret_hash) = 32),
    key_id       uuid        NOT NULL REFERENCES api_key,
    person_id    uuid,
    proof        text        NOT NULL CHECK (proof IN ('key')),
    browser      text        NOT NULL CHECK (char_length(browser) <= 60),
    created_at   timestamptz NOT NULL,
    last_seen_at timestamptz NOT NULL,
    ended_at     timestamptz
);
CREATE INDEX session_key ON session (key_id, last_seen_at);
CREATE INDEX session_seen ON session (last_seen_at);
COMMENT ON TABLE session IS 'Browsers that have signed in at the desk; rows go 30 days after their last use';
COMMENT ON COLUMN session.secret_hash IS 'SHA-256 of the 256 random bits in the cookie; they are never stored';
COMMENT ON COLUMN session.key_id IS 'The key that was signed in with: the session ends with it';
COMMENT ON COLUMN session.person_id IS 'The person to whom the key belongs; null if it names none';
COMMENT ON COLUMN session.proof IS 'How it was signed in: key';
COMMENT ON COLUMN session.browser IS 'Browser and system in two words, so that a person knows the session again';
COMMENT ON COLUMN session.last_seen_at IS 'Last use, to within a minute; a session that is not used ends';
COMMENT ON COLUMN session.ended_at IS 'When it was signed out or ended from another browser';

-- For the desk's home page, which counts what waits for an organisation.
CREATE INDEX log_pending_to ON log (pending_to, id) WHERE pending_to IS NOT NULL;
COMMENT ON INDEX log_pending_to IS 'For the transfers that wait for their receiver';
CREATE INDEX log_pending_from ON log (pending_from, id) WHERE pending_from IS NOT NULL;
COMMENT ON INDEX log_pending_from IS 'For the transfers that wait for the other side';
CREATE INDEX log_held ON log (id) WHERE held_since IS NOT NULL OR ticket_held_since IS NOT NULL;
COMMENT ON INDEX log_held IS 'For the logs that are stopped';
