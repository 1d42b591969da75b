//! The manifest of a backup.

use super::{Failure, MANIFEST};
use crate::db::migrate::MIGRATOR;
use chrono::{DateTime, Utc};
use serde::{Deserialize, Serialize};
use std::fs;
use std::path::Path;

/// The format that this program writes.
pub const FORMAT: &str = "ormantrace/backup/1";

/// What a backup is of; `manifest.json`.
#[derive(Clone, Debug, PartialEq, Eq, Serialize, Deserialize)]
pub struct Manifest {
    /// `ormantrace/backup/1`.
    pub format: String,
    /// Version of the program that made it.
    pub version: String,
    /// When the snapshot of the database was taken.
    pub made_at: DateTime<Utc>,
    /// Name of the database.
    pub database: String,
    /// The last migration of the database.
    pub schema: i64,
    /// Major version of `pg_dump`.
    pub pg_dump: u32,
    /// Events in the dump.
    pub events: i64,
    /// Leaves of the register in the dump. The restored database can continue a register of at most this
    /// size.
    pub leaves: u64,
    /// The newest checkpoint of the register that was copied into the backup; `None` if there was no
    /// register.
    pub register: Option<RegisterState>,
    /// Names of the files in `keys/`.
    pub keys: Vec<String>,
    /// Number of files, without the manifest and the checksums.
    pub files: u64,
    /// Their bytes.
    pub bytes: u64,
}

/// Name and size of a register.
#[derive(Clone, Debug, PartialEq, Eq, Serialize, Deserialize)]
pub struct RegisterState {
    /// Its origin.
    pub origin: String,
    /// Leaves under its newest signed checkpoint.
    pub size: u64,
}

/// The last migration of this program.
pub fn own_schema() -> i64 {
    MIGRATOR.iter().map(|migration| migration.version).max().unwrap_or_default()
}

impl Manifest {
    /// Its bytes.
    #[must_use]
    pub fn to_json(&self) -> Vec<u8> {
        let mut json = serde_json::to_vec_pretty(self).unwrap_or_default();
        json.push(b'\n');
        json
    }

    /// Reads the manifest of a backup.
    ///
    /// # Errors
    /// If it cannot be read, has another format, or is of a newer schema than this program's.
    pub fn read(dir: &Path) -> Result<Self, Failure> {
        let damaged = |what: String| Failure::Damaged { dir: dir.to_path_buf(), what };
        let bytes = fs::read(dir.join(MANIFEST)).map_err(|error| damaged(format!("{MANIFEST}: {error}")))?;
        let json: serde_json::Value =
            serde_json::from_slice(&bytes).map_err(|error| damaged(format!("{MANIFEST}: {error}")))?;
        if json["format"] != FORMAT {
            return Err(damaged(format!("{MANIFEST} is not in the format {FORMAT}")));
        }
        let manifest: Self =
            serde_json::from_value(json).map_err(|error| damaged(format!("{MANIFEST}: {error}")))?;
        if manifest.schema > own_schema() {
            return Err(Failure::Newer(manifest.version));
        }
        Ok(manifest)
    }
}
