//! `ormantrace backup` and `ormantrace restore`.
//!
//! ```text
//! DIR/              0700
//!   register/       the published register, copied first
//!   database.dump   pg_dump's custom format, of a snapshot that is younger than the register
//!   keys/           the keys that sign marking codes, receipts and the register
//!   manifest.json   what the backup is of
//!   SHA256SUMS      a line for each file above, in the format of sha256sum; written last
//! ```
//! The register is copied before the database, so that the database of a backup is never older than its
//! register. `SHA256SUMS` is written last, so a backup without it is incomplete; a restore accepts no file
//! that `SHA256SUMS` does not list.

mod loss;
mod make;
mod manifest;
mod register;
mod restore;
mod sums;

pub use loss::Loss;
pub use make::{BackupOptions, backup};
pub use manifest::Manifest;
pub use restore::{RestoreOptions, Restored, restore};

use crate::base::config::shown;
use crate::base::error::Invalid;
use crate::commands::fsck;
use crate::db::OpenError;
use crate::db::dump::DumpError;
use crate::db::programs::NoClient;
use crate::evidence::register::tree_writer::TreeWriterError;
use std::io;
use std::path::{Path, PathBuf};

/// The dump in the backup.
const DUMP: &str = "database.dump";
/// The manifest in the backup.
const MANIFEST: &str = "manifest.json";
/// The checksums in the backup.
const SUMS: &str = "SHA256SUMS";

/// Why a backup was not made or not restored. `Display` is the complete message.
#[derive(Debug, thiserror::Error)]
pub enum Failure {
    /// A setting is wrong.
    #[error("{0}")]
    Settings(#[from] Invalid),
    /// The database cannot be opened.
    #[error("{0}")]
    Open(#[from] OpenError),
    /// `pg_dump` or `pg_restore` is absent.
    #[error("{0}")]
    NoClient(#[from] NoClient),
    /// The database cannot be dumped or loaded.
    #[error("{0}.")]
    Dump(#[from] DumpError),
    /// The database returned an error.
    #[error("The database returned an error: {0}.")]
    Database(#[from] sqlx::Error),
    /// A file cannot be read or written.
    #[error("{0}: {1}.")]
    File(String, #[source] io::Error),
    /// A stop signal was received.
    #[error("Interrupted: the work is not complete.")]
    Interrupted,
    /// The target of a backup has files.
    #[error("{} is not empty: a backup needs a new or an empty folder.", shown(.0))]
    NotEmpty(PathBuf),
    /// A key that a backup must have does not exist.
    #[error(
        "{} does not exist, and a backup without this key cannot be restored completely: name the key's file, or \
         give --without-keys and store the keys elsewhere.", shown(.0)
    )]
    NoKey(PathBuf),
    /// The database has fewer leaves than the register.
    #[error(
        "The register has {register} leaves and the database {database}: this database is older than its register, \
         so nothing is backed up; `ormantrace fsck` checks it."
    )]
    OlderThanRegister {
        /// Signed leaves of the register.
        register: u64,
        /// Leaves of the database.
        database: u64,
    },
    /// The folder is not a complete, unaltered backup.
    #[error("{} is no complete and unaltered backup: {what}. Nothing was restored.", shown(.dir))]
    Damaged {
        /// The folder.
        dir: PathBuf,
        /// What is wrong.
        what: String,
    },
    /// A newer program made the backup.
    #[error(
        "The backup was made by Ormantrace {0}, which is newer than this program: use that version to restore it."
    )]
    Newer(String),
    /// A place into which the restore would write already has data or another key.
    #[error("{0}: restore into an empty data directory or database. Nothing was restored.")]
    Occupied(String),
    /// The backup has no keys, and neither has the data directory.
    #[error(
        "The backup has no keys, and {} does not exist: put the keys there first. A new key would not be the one \
         that signed before.", shown(.0)
    )]
    KeysElsewhere(PathBuf),
    /// The register to compare with cannot be used.
    #[error("The register in {} cannot be compared with the backup: {what}. Nothing was restored.", shown(.dir))]
    Register {
        /// Its folder.
        dir: PathBuf,
        /// The cause.
        what: String,
    },
    /// The register has leaves that the backup lacks.
    #[error(
        "The register in {} has {register} leaves and the backup {backup}: leaves {backup} to {} would be lost. \
         Restore a newer backup or a replica. If there is none, give --accept-loss, which begins a new register. \
         Nothing was restored.", shown(.dir), .register - 1
    )]
    Loss {
        /// The register's folder.
        dir: PathBuf,
        /// Signed leaves of the register.
        register: u64,
        /// Leaves of the backup.
        backup: u64,
    },
    /// The new origin is the old one.
    #[error("{0} is the name of the old register: give another one with --new-origin.")]
    SameOrigin(String),
    /// The new register cannot be begun.
    #[error("The new register cannot be begun: {0}")]
    Begin(#[from] TreeWriterError),
    /// The restored database has other numbers of events or leaves than the manifest.
    #[error(
        "The restored database has {found}, and the backup's manifest {expected}: the restore is not complete."
    )]
    Counts {
        /// What the database has.
        found: String,
        /// What the manifest has.
        expected: String,
    },
    /// The check at the end could not be completed.
    #[error("The data is restored, but it could not be checked: {0} Run `ormantrace fsck`.")]
    Unchecked(#[from] fsck::Failure),
    /// The check at the end found errors.
    #[error("The data is restored, but it does not match its evidence: see the errors on standard output.")]
    FsckErrors,
}

/// An I/O error that names its file.
fn at(path: &Path) -> impl FnOnce(io::Error) -> Failure {
    move |error| Failure::File(shown(path), error)
}

/// Runs blocking disk work on the blocking thread pool.
async fn blocking<T: Send + 'static>(
    work: impl FnOnce() -> Result<T, Failure> + Send + 'static,
) -> Result<T, Failure> {
    match tokio::task::spawn_blocking(work).await {
        Ok(done) => done,
        Err(ended) => Err(Failure::File("The work on the disk".to_owned(), io::Error::other(ended))),
    }
}

/// A number of bytes for people.
fn megabytes(bytes: u64) -> String {
    format!("{}.{} MB", bytes / 1_000_000, bytes / 100_000 % 10)
}
