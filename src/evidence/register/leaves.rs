//! Reads the two columns of `leaf` that the publisher may read.

use crate::evidence::chain::bytes::{ENTRY_LEN, Entry};
use sqlx::PgConnection;

/// Why leaves cannot be read or used.
#[derive(Debug, thiserror::Error)]
pub enum LeafError {
    /// A database error.
    #[error("{0}")]
    Database(#[from] sqlx::Error),
    /// The indexes have a gap.
    #[error("leaf {expected} is not there, and leaf {found} is")]
    Missing {
        /// The expected index.
        expected: u64,
        /// The index of the next row.
        found: u64,
    },
    /// Not 113 bytes beginning with 1.
    #[error("leaf {0} is no entry")]
    NoEntry(u64),
}

/// Up to `count` entries from leaf `from` on, in order and without a gap; fewer at the end.
///
/// # Errors
/// If an index is missing, an entry is not valid, or a database error.
pub async fn read(
    connection: &mut PgConnection,
    from: u64,
    count: u32,
) -> Result<Vec<[u8; ENTRY_LEN]>, LeafError> {
    let first = i64::try_from(from).unwrap_or(i64::MAX);
    let rows = sqlx::query!(
        "SELECT index, entry FROM leaf WHERE index >= $1 ORDER BY index LIMIT $2",
        first,
        i64::from(count)
    )
    .fetch_all(connection)
    .await?;
    let mut entries = Vec::with_capacity(rows.len());
    for (row, expected) in rows.iter().zip(from..) {
        let found = u64::try_from(row.index).unwrap_or_default();
        if found != expected {
            return Err(LeafError::Missing { expected, found });
        }
        let entry = <[u8; ENTRY_LEN]>::try_from(row.entry.as_slice()).ok();
        let entry = entry.filter(|entry| Entry::from(*entry).is_known_version());
        entries.push(entry.ok_or(LeafError::NoEntry(found))?);
    }
    Ok(entries)
}

/// Number of leaves in the database, computed from the highest index.
///
/// # Errors
/// A database error.
pub async fn count(connection: &mut PgConnection) -> sqlx::Result<u64> {
    let highest = sqlx::query_scalar!("SELECT max(index) FROM leaf").fetch_one(connection).await?;
    Ok(highest.and_then(|index| u64::try_from(index).ok()).map_or(0, |index| index + 1))
}
