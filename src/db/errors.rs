//! Why the database is not open, and what its errors mean for a caller.

use super::programs::{NoPrograms, OLDEST};
use crate::base::config::shown;
use crate::base::error::Invalid;
use std::path::PathBuf;

/// Why the database is not open. `Display` is the whole message for an administrator.
#[derive(Debug, thiserror::Error)]
pub enum OpenError {
    /// A setting is wrong.
    #[error("{0}")]
    Settings(#[from] Invalid),
    /// PostgreSQL is not installed, or not in the version that the data needs.
    #[error("{0}")]
    NoPrograms(#[from] NoPrograms),
    /// Another process runs the private cluster.
    #[error(
        "The data in {} is in use by another Ormantrace ({holder}): stop that one first, or choose another \
         --data-dir.", shown(.dir)
    )]
    InUse {
        /// The data directory.
        dir: PathBuf,
        /// Who, as the lock file says.
        holder: String,
    },
    /// Something about the data directory: a sentence.
    #[error("{0}")]
    Folder(String),
    /// `initdb` failed; what it said.
    #[error("A private PostgreSQL could not be made: {0}")]
    Initdb(String),
    /// The private server did not start; what it said.
    #[error("The private PostgreSQL does not start: {0}")]
    Start(String),
    /// The given server stays out of reach.
    #[error("The database cannot be reached, tried for half a minute: {0}")]
    Unreachable(#[source] sqlx::Error),
    /// The given server is too old.
    #[error("The database server is PostgreSQL {0}, and {OLDEST} or later is needed.")]
    TooOld(u32),
    /// A newer program has migrated the database.
    #[error(
        "The database was migrated by a newer Ormantrace (migration {0} is unknown to this one): start that \
         version or a later one."
    )]
    Newer(i64),
    /// A migration was changed after it had been applied.
    #[error(
        "Migration {0} of the database is not the one of this program: they were not made by the same \
         Ormantrace, and nothing was changed."
    )]
    Changed(i64),
    /// A migration failed.
    #[error("The database cannot be migrated: {0}")]
    Migration(#[source] sqlx::migrate::MigrateError),
    /// The events from before the register cannot be put into it.
    #[error("The older events cannot be put into the register, and nothing was changed: {0}.")]
    Register(#[source] crate::base::error::Error),
    /// The database said no.
    #[error("The database refuses: {0}")]
    Database(#[source] sqlx::Error),
}

/// Whether the database is out of reach rather than unwilling: refused or broken connections, no
/// connection free in time, a server that starts, stops or was told to cut us off. Answer 503.
#[must_use]
pub fn is_down(error: &sqlx::Error) -> bool {
    use sqlx::Error;
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

#[cfg(test)]
mod tests {
    use super::*;
    use sqlx::Error;

    #[test]
    fn out_of_reach() {
        let refused = std::io::Error::from(std::io::ErrorKind::ConnectionRefused);
        for error in [Error::Io(refused), Error::PoolTimedOut, Error::PoolClosed] {
            assert!(is_down(&error), "{error}");
        }
        assert!(!is_down(&Error::RowNotFound));
    }
}
