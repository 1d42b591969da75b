//! The columns that `fsck` does not check, and why. Every other column of the database is recomputed from the
//! events; a test compares this list with the database's catalogue.

/// A column, or with `*` an entire table, that no event gives evidence for.
#[derive(Clone, Copy, Debug)]
pub struct NoEvidence {
    /// The table.
    pub table: &'static str,
    /// The column; `*` for all columns.
    pub column: &'static str,
    /// Why.
    pub reason: &'static str,
}

const fn no(table: &'static str, column: &'static str, reason: &'static str) -> NoEvidence {
    NoEvidence { table, column, reason }
}

/// All columns without evidence.
pub const NO_EVIDENCE: &[NoEvidence] = &[
    no("_sqlx_migrations", "*", "the program's own; compared at each start"),
    no(
        "api_key",
        "label",
        "the organisation's own name for the key, which may name a person; not recorded by an event",
    ),
    no("api_key", "last_used_at", "information for the key's owner"),
    no("device_record", "*", "prevents a device from using a number twice; the number is in the event"),
    no("erasure_epoch", "*", "only changes ETags; the erasures themselves are events"),
    no(
        "finding",
        "*",
        "what a rule concluded from events; once it has a chain, its row is compared with that",
    ),
    no(
        "finding_evidence",
        "*",
        "the events from which a finding was concluded; compared with the finding's chain",
    ),
    no(
        "finding_text",
        "*",
        "long texts beside a finding's chain; compared with the digests in its personal parts",
    ),
    no("citizen_report", "*", "what buyers report; no event is about it, and it is deleted after some time"),
    no("idempotency", "*", "stored responses for repeated requests, for some days"),
    no("leaf", "sequenced_at", "when the sequencer added it; receipts are checked with the published files"),
    no("leaf_queue", "id", "only the order of processing"),
    no("leaf_queue", "queued_at", "only the lag of the register"),
    no("operation", "fingerprint", "prevents recording a write request twice; of a body that is not stored"),
    no("photo", "*", "photos beside the chains; a constraint compares each with its hash"),
    no("register", "one", "the table has one row"),
    no("register", "floor", "a hint for the sequencer"),
    no("register", "sequenced_at", "when the sequencer last worked"),
    no("server_secret", "*", "secrets of the server; no record depends on them"),
    no("seal_check", "*", "counts of buyers' checks; no event says them"),
    no("session", "*", "browsers that have signed in; a session records nothing and ends with its key"),
    no("surveillance", "*", "how far the engine is; a replay makes it again"),
    no(
        "surveillance_finding",
        "*",
        "figures of findings; their pass recomputes rule, subject, key and severity",
    ),
    no("surveillance_state", "*", "windows of the engine; a replay makes them again"),
];

/// Whether no event gives evidence for a column.
#[must_use]
pub fn is_no_evidence(table: &str, column: &str) -> bool {
    NO_EVIDENCE.iter().any(|no| no.table == table && (no.column == "*" || no.column == column))
}
