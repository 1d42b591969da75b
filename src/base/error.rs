//! What can go wrong in the house, without a word of HTTP. `http::problem`
//! turns each into an `application/problem+json` answer.

use std::borrow::Cow;

/// Why one value is refused: a stable, documented code and a sentence for a person.
///
/// Every `parse` in the house fails with this, or with an enum that turns into it.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct Invalid {
    /// Stable kebab-case code, listed in `docs/API.md`.
    pub code: &'static str,
    /// One English sentence that says what is wrong and what would be right.
    pub detail: Cow<'static, str>,
}

impl Invalid {
    /// A refusal with its code and sentence.
    pub fn new(code: &'static str, detail: impl Into<Cow<'static, str>>) -> Self {
        Self { code, detail: detail.into() }
    }
}

impl std::fmt::Display for Invalid {
    fn fmt(&self, f: &mut std::fmt::Formatter<'_>) -> std::fmt::Result {
        f.write_str(&self.detail)
    }
}

impl std::error::Error for Invalid {}

/// Where in what was sent a fault lies.
#[derive(Clone, Debug, PartialEq, Eq)]
pub enum At {
    /// A JSON pointer (RFC 6901) into the body; the empty one is the whole body.
    Pointer(String),
    /// A cell of a CSV body: its line (the header is line 1) and its column's name. Also a place in
    /// a body that cannot be read at all: its line and character.
    Cell {
        /// Line in the file as an editor counts, from 1.
        line: u64,
        /// The column's name as the contract gives it; the number of the character, from 1, in a
        /// body that cannot be read; empty if the whole line is meant.
        column: String,
    },
    /// A query parameter, as it was sent: an unknown one is refused under its own name.
    Query(Cow<'static, str>),
    /// A request header.
    Header(&'static str),
}

/// One fault of a request, with its place.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct Entry {
    /// Where.
    pub at: At,
    /// Stable code, listed in `docs/API.md`.
    pub code: &'static str,
    /// One sentence.
    pub detail: Cow<'static, str>,
    /// For a refused transition: the event types that would be allowed now.
    pub allowed: Vec<&'static str>,
}

impl Entry {
    /// A fault at `at`.
    pub fn new(at: At, code: &'static str, detail: impl Into<Cow<'static, str>>) -> Self {
        Self { at, code, detail: detail.into(), allowed: Vec::new() }
    }

    /// A parse refusal, placed.
    #[must_use]
    pub fn invalid(at: At, invalid: Invalid) -> Self {
        Self::new(at, invalid.code, invalid.detail)
    }
}

/// Why the house did not do what was asked.
#[derive(Debug, thiserror::Error)]
pub enum Error {
    /// What the URL names does not exist, or the caller may not see it: one answer for both.
    #[error("not found")]
    NotFound,
    /// The caller's role may never do this.
    #[error("forbidden: {0}")]
    Forbidden(Cow<'static, str>),
    /// Well-formed but wrong: 422, every fault at once.
    #[error("{} faults in the request", .0.len())]
    Wrong(Vec<Entry>),
    /// Against the present state: 409.
    #[error("{} conflicts with the present state", .0.len())]
    Conflict(Vec<Entry>),
    /// What was read before the locks is no longer so: the whole transaction is tried again; 503 if that
    /// goes on.
    #[error("stale: {0} changed between reading and lock")]
    Stale(&'static str),
    /// An equal request is being worked on: 409.
    #[error("in progress")]
    InProgress,
    /// Done already, but the answer is no longer kept (or never could be): 409.
    #[error("already done: {0}")]
    AlreadyDone(String),
    /// Too many wait for the same already: 503.
    #[error("overloaded")]
    Overloaded,
    /// Cannot now; the caller may try again after so many seconds: 503.
    #[error("unavailable: {0}")]
    Unavailable(Cow<'static, str>),
    /// The connection broke while COMMIT was on its way: 503, settled by the same idempotency key.
    #[error("outcome unknown")]
    OutcomeUnknown(#[source] sqlx::Error),
    /// The database said no in a way nobody expected, or is gone.
    #[error(transparent)]
    Database(#[from] sqlx::Error),
    /// A stored row that our own rules say cannot be: names table, column and row.
    #[error("bad row: {0}")]
    BadRow(String),
}

impl Error {
    /// Whether the same transaction may well succeed if it is tried again at once.
    #[must_use]
    pub fn is_retryable(&self) -> bool {
        match self {
            Self::Stale(_) => true,
            Self::Database(error) => is_retryable(error),
            _ => false,
        }
    }
}

/// What most of the house returns.
pub type Result<T, E = Error> = std::result::Result<T, E>;

/// Whether the whole transaction may simply be tried again: it lost to another (serialisation
/// failure, deadlock), or another appended to the same chain first.
#[must_use]
pub fn is_retryable(error: &sqlx::Error) -> bool {
    let Some(error) = error.as_database_error() else { return false };
    match error.code().as_deref() {
        Some("40001" | "40P01") => true,
        Some("23505") => error.constraint() == Some("event_pkey"),
        _ => false,
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn what_is_out_of_reach_is_not_tried_again() {
        let refused = std::io::Error::from(std::io::ErrorKind::ConnectionRefused);
        for error in [
            sqlx::Error::Io(refused),
            sqlx::Error::PoolTimedOut,
            sqlx::Error::PoolClosed,
            sqlx::Error::RowNotFound,
        ] {
            assert!(!Error::from(error).is_retryable());
        }
    }
}
