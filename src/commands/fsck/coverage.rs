//! What the check does not look at, and why. Everything else in the database, column by column, is
//! recomputed from the events; a test holds this list against the database's own catalogue.

/// A column, or with `*` a whole table, that no event says anything about.
#[derive(Clone, Copy, Debug)]
pub struct NoEvidence {
    /// The table.
    pub table: &'static str,
    /// The column; `*` for all.
    pub column: &'static str,
    /// Why.
    pub because: &'static str,
}

const fn no(table: &'static str, column: &'static str, because: &'static str) -> NoEvidence {
    NoEvidence { table, column, because }
}

/// All of them.
pub const NO_EVIDENCE: &[NoEvidence] = &[
    no("_sqlx_migrations", "*", "the program's own; compared at each start"),
    no(
        "api_key",
        "label",
        "the organisation's own word for the key, which may name a person; not recorded by an event",
    ),
    no("api_key", "last_used_at", "for the key's owner to look at"),
    no("device_record", "*", "keeps a device from giving a number twice; the number itself is in the event"),
    no("finding", "*", "what a rule thought of an event; it decides nothing"),
    no("idempotency", "*", "answers kept for repeated requests, for some days"),
    no("leaf", "sequenced_at", "when the register got to it; the promise of a receipt is kept elsewhere"),
    no("leaf_queue", "id", "only an order of work"),
    no("leaf_queue", "queued_at", "only how far the register is behind"),
    no("operation", "fingerprint", "keeps a posting from being recorded twice; of a body that is not kept"),
    no("register", "one", "the table has one row"),
    no("register", "floor", "a hint for the sequencer"),
    no("register", "sequenced_at", "when the sequencer last worked"),
    no("server_secret", "*", "secrets of the server; nothing that was recorded rests on them"),
];

/// Whether no event says anything about a column.
#[must_use]
pub fn is_no_evidence(table: &str, column: &str) -> bool {
    NO_EVIDENCE.iter().any(|no| no.table == table && (no.column == "*" || no.column == column))
}
