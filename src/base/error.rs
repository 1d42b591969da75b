//! The errors of this crate, independent of HTTP. `http::problem` turns each into an
//! `application/problem+json` response.

use std::borrow::Cow;

/// Why one value is invalid: a stable, documented code and a sentence for a person.
///
/// Every `parse` in this crate fails with this, or with an enum that converts into it.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct Invalid {
    /// Stable kebab-case code, listed in `docs/API.md`.
    pub code: &'static str,
    /// One English sentence: what is wrong, and what would be valid.
    pub detail: Cow<'static, str>,
}

impl Invalid {
    /// An error with its code and sentence.
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

/// The location of an error in a request.
#[derive(Clone, Debug, PartialEq, Eq)]
pub enum Location {
    /// A JSON pointer (RFC 6901) into the body; the empty one is the body itself.
    Pointer(String),
    /// A cell of a CSV body: its line (the header is line 1) and its column's name. For a body that cannot be
    /// parsed at all: the line and the character at which parsing failed.
    Cell {
        /// Line in the file as an editor counts, from 1.
        line: u64,
        /// The column's name as documented; empty if the error concerns the entire line. In a body that
        /// cannot be parsed: the number of the character in its line, from 1.
        column: String,
    },
    /// A query parameter under the name that the client sent, so that the error about an unknown parameter
    /// names it.
    Query(Cow<'static, str>),
    /// A request header.
    Header(&'static str),
}

impl Location {
    /// The request as such, for errors that are about none of its members.
    #[must_use]
    pub const fn body() -> Self {
        Self::Pointer(String::new())
    }
}

/// A field error: one invalid member of a request, with its location.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct FieldError {
    /// The location.
    pub at: Location,
    /// Stable code, listed in `docs/API.md`.
    pub code: &'static str,
    /// One sentence.
    pub detail: Cow<'static, str>,
    /// For a refused transition: the event types that are allowed in the present state.
    pub allowed: Vec<&'static str>,
}

impl FieldError {
    /// A field error at `at`.
    pub fn new(at: Location, code: &'static str, detail: impl Into<Cow<'static, str>>) -> Self {
        Self { at, code, detail: detail.into(), allowed: Vec::new() }
    }

    /// An [`Invalid`] value with its location.
    #[must_use]
    pub fn invalid(at: Location, invalid: Invalid) -> Self {
        Self::new(at, invalid.code, invalid.detail)
    }
}

/// Why a request failed.
#[derive(Debug, thiserror::Error)]
pub enum Error {
    /// The resource does not exist, or the caller may not see it: the response is the same.
    #[error("not found")]
    NotFound,
    /// The caller's role may never do this.
    #[error("forbidden: {0}")]
    Forbidden(Cow<'static, str>),
    /// The caller's organisation is suspended: 403.
    #[error("suspended")]
    Suspended,
    /// An inspector may not decide here, because its own organisation takes part: 403.
    #[error("own case: {0}")]
    OwnCase(&'static str),
    /// Well-formed but invalid: 422, with every field error at once.
    #[error("{} errors in the request", .0.len())]
    Invalid(Vec<FieldError>),
    /// In conflict with the present state: 409.
    #[error("{} conflicts with the present state", .0.len())]
    Conflict(Vec<FieldError>),
    /// Data that was read before it was locked has changed in the meantime. The entire transaction is
    /// retried; 503 if that keeps happening.
    #[error("stale: {0} changed between reading and lock")]
    Stale(&'static str),
    /// A request with the same idempotency key or operation id is running: 409.
    #[error("in progress")]
    InProgress,
    /// The request was executed before, but its response is no longer stored (or never was): 409.
    #[error("already done: {0}")]
    AlreadyDone(String),
    /// Too many requests wait for the same resource: 503.
    #[error("overloaded")]
    Overloaded,
    /// Temporarily impossible; the client may retry after the seconds in `Retry-After`: 503.
    #[error("unavailable: {0}")]
    Unavailable(Cow<'static, str>),
    /// The connection broke during COMMIT, so the outcome is unknown: 503. A retry with the same idempotency
    /// key shows whether the request was executed.
    #[error("outcome unknown")]
    OutcomeUnknown(#[source] sqlx::Error),
    /// An unexpected error from the database, or the database is down.
    #[error(transparent)]
    Database(#[from] sqlx::Error),
    /// A stored row that cannot be decoded. The rules of this server never write such a row. The text names
    /// table, column and row.
    #[error("corrupt row: {0}")]
    CorruptRow(String),
}

impl Error {
    /// The error for a decision in one's own case.
    #[must_use]
    pub const fn own_case() -> Self {
        Self::OwnCase("Your organisation takes part in this case; another inspectorate must decide.")
    }

    /// Whether the same transaction may succeed if it is retried at once.
    #[must_use]
    pub fn is_retryable(&self) -> bool {
        match self {
            Self::Stale(_) => true,
            Self::Database(error) => DatabaseFailure::of(error) == DatabaseFailure::Lost,
            _ => false,
        }
    }
}

/// The result type of most functions in this crate.
pub type Result<T, E = Error> = std::result::Result<T, E>;

/// What a database error means for the statement that failed. Every decision by SQLSTATE (PostgreSQL manual,
/// appendix A) is made here.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum DatabaseFailure {
    /// The database is unreachable: a connection was refused or broke, none became free in time, or the
    /// server is starting, stopping or closing the connection (classes 08 and 57P, and 53300).
    Down,
    /// No statement can succeed at the moment: no connection could be set up, resources are short (class 53),
    /// or a time limit stopped the statement (57014).
    Overloaded,
    /// This statement cannot succeed at the moment: a lock was not available (55P03), or the server is a
    /// standby (25006).
    Busy,
    /// Another transaction came first: a serialisation failure (40001), a deadlock (40P01), or the other
    /// transaction appended to the same chain before. This transaction may be retried as a whole.
    Lost,
    /// The statement itself was refused.
    Refused,
}

impl DatabaseFailure {
    /// The failure behind an error of sqlx.
    #[must_use]
    pub fn of(error: &sqlx::Error) -> Self {
        match error {
            sqlx::Error::Io(_)
            | sqlx::Error::PoolTimedOut
            | sqlx::Error::PoolClosed
            | sqlx::Error::WorkerCrashed => Self::Down,
            sqlx::Error::Tls(_) | sqlx::Error::BeginFailed => Self::Overloaded,
            sqlx::Error::Database(refused) => {
                let state = refused.code().unwrap_or_default();
                Self::of_state(&state, refused.constraint())
            }
            _ => Self::Refused,
        }
    }

    fn of_state(state: &str, constraint: Option<&str>) -> Self {
        match state {
            "40001" | "40P01" => Self::Lost,
            "23505" if constraint == Some("event_pkey") => Self::Lost,
            "55P03" | "25006" => Self::Busy,
            "57014" => Self::Overloaded,
            "53300" => Self::Down,
            _ if state.starts_with("08") || state.starts_with("57P") => Self::Down,
            _ if state.starts_with("53") => Self::Overloaded,
            _ => Self::Refused,
        }
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

    #[test]
    fn each_state_is_of_one_kind() {
        use DatabaseFailure::{Busy, Down, Lost, Overloaded, Refused};
        for (state, kind) in [
            ("08006", Down),
            ("57P01", Down),
            ("53300", Down),
            ("53200", Overloaded),
            ("57014", Overloaded),
            ("55P03", Busy),
            ("25006", Busy),
            ("40001", Lost),
            ("40P01", Lost),
            ("23505", Refused),
            ("42P01", Refused),
            ("22001", Refused),
            ("42501", Refused),
        ] {
            assert_eq!(DatabaseFailure::of_state(state, None), kind, "{state}");
        }
        assert_eq!(DatabaseFailure::of_state("23505", Some("event_pkey")), Lost);
        assert_eq!(DatabaseFailure::of_state("23505", Some("seal_pkey")), Refused);
        for error in [sqlx::Error::PoolTimedOut, sqlx::Error::PoolClosed, sqlx::Error::WorkerCrashed] {
            assert_eq!(DatabaseFailure::of(&error), Down);
        }
        assert_eq!(DatabaseFailure::of(&sqlx::Error::RowNotFound), Refused);
    }
}
