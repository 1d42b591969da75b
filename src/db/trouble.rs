//! What a database error means for the request.

use sqlx::Error;

/// Whether the database is unreachable: a connection was refused or broke, none became free in time,
/// or the server is starting, stopping or closing the connection. The response is 503.
#[must_use]
pub fn is_down(error: &Error) -> bool {
    match error {
        Error::Io(_) | Error::PoolTimedOut | Error::PoolClosed | Error::WorkerCrashed => true,
        // Class 08: connection exceptions; 57P01…57P05: shutdown, crash, starting up, database
        // dropped, idle too long; 53300: too many connections.
        Error::Database(error) => error
            .code()
            .is_some_and(|code| code.starts_with("08") || code.starts_with("57P") || code == "53300"),
        _ => false,
    }
}

/// Whether the whole transaction may be retried: it lost to another one (serialisation failure,
/// deadlock), or another one appended to the same chain first.
#[must_use]
pub fn is_retryable(error: &Error) -> bool {
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
    fn out_of_reach() {
        let refused = std::io::Error::from(std::io::ErrorKind::ConnectionRefused);
        for error in [Error::Io(refused), Error::PoolTimedOut, Error::PoolClosed] {
            assert!(is_down(&error), "{error}");
            assert!(!is_retryable(&error), "{error}");
        }
        assert!(!is_down(&Error::RowNotFound));
        assert!(!is_retryable(&Error::RowNotFound));
    }
}
