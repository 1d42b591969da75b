//! Why the database could not be opened, and which of its errors mean that it is unreachable.

use super::programs::{NoPrograms, OLDEST};
use crate::base::config::shown;
use crate::base::error::{DatabaseFailure, Invalid};
use std::path::PathBuf;

/// Why the database could not be opened. `Display` is the complete message for an administrator.
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
        /// The lock holder, as named in the lock file.
        holder: String,
    },
    /// An error of the data directory, as a sentence.
    #[error("{0}")]
    Folder(String),
    /// `initdb` failed; its output.
    #[error("The private PostgreSQL could not be created: {0}")]
    Initdb(String),
    /// The private server did not start. Contains its output.
    #[error("The private PostgreSQL did not start: {0}")]
    Start(String),
    /// The target of a restore is not empty. Names the target and what it contains.
    #[error("{0}: restore into an empty data directory or database.")]
    NotEmpty(String),
    /// The given server cannot be reached.
    #[error("The database could not be reached within 30 seconds: {0}")]
    Unreachable(#[source] sqlx::Error),
    /// The given server is too old.
    #[error("The database server is PostgreSQL {0}; {OLDEST} or later is required.")]
    TooOld(u32),
    /// A newer program has migrated the database.
    #[error(
        "The database was migrated by a newer Ormantrace (migration {0} is unknown to this one): start that \
         version or a later one."
    )]
    Newer(i64),
    /// A migration was changed after it had been applied.
    #[error(
        "Migration {0} of the database differs from that of this program: another version of Ormantrace \
         applied it. Nothing was changed."
    )]
    Changed(i64),
    /// The database has no schema of this program, or an older one, and the command does not migrate.
    #[error(
        "The database has an older schema than this program, or none: check which database it is, and run \
         `ormantrace migrate` first. Nothing was changed."
    )]
    Outdated,
    /// The encrypted connection to the given server cannot be set up.
    #[error(
        "No encrypted connection to the database can be set up, and trying again would not help: {0}. Check the \
         server's certificate, and sslmode, sslrootcert, sslcert and sslkey."
    )]
    Tls(#[source] sqlx::Error),
    /// A migration failed.
    #[error("The database cannot be migrated: {0}")]
    Migration(#[source] sqlx::migrate::MigrateError),
    /// Events from before the register existed cannot be added to it.
    #[error("The older events could not be added to the register, and nothing was changed: {0}.")]
    Register(#[source] crate::base::error::Error),
    /// An error from the database.
    #[error("The database returned an error: {0}")]
    Database(#[source] sqlx::Error),
}

/// Whether the database is unreachable ([`DatabaseFailure::Down`]). The response is 503.
#[must_use]
pub fn is_down(error: &sqlx::Error) -> bool {
    DatabaseFailure::of(error) == DatabaseFailure::Down
}
