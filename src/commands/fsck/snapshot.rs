//! Reading in short snapshots, from range to range of ids.

use sqlx::{Executor, PgConnection};
use uuid::Uuid;

/// Whose snapshots a check reads in.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum Snapshots {
    /// Its own: a read-only transaction for every few thousand rows.
    Short,
    /// The caller's transaction, which has begun already: nothing changes meanwhile.
    Callers,
}

/// Ids from `low` to `high`, both included. Between them they cover every id there can be.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(super) struct Range {
    pub low: Uuid,
    pub high: Uuid,
}

impl Range {
    /// From `low` up to, but not with, `next`; to the end if there is no next.
    pub(super) fn before(low: Uuid, next: Option<Uuid>) -> Self {
        let high = next.map_or(Uuid::max(), |next| Uuid::from_u128(next.as_u128().saturating_sub(1)));
        // An id that is there twice, its table's key taken away, must not keep the check where it is.
        Self { low, high: high.max(low) }
    }

    /// Where the next range begins; nothing after the last.
    pub(super) fn next(self) -> Option<Uuid> {
        self.high.as_u128().checked_add(1).map(Uuid::from_u128)
    }
}

/// The connection of a check.
pub(super) struct Reader<'c> {
    pub db: &'c mut PgConnection,
    snapshots: Snapshots,
    /// Rows a snapshot.
    pub rows: i64,
}

impl<'c> Reader<'c> {
    pub(super) fn new(db: &'c mut PgConnection, snapshots: Snapshots, rows: i64) -> Self {
        Self { db, snapshots, rows: rows.max(1) }
    }

    /// Makes the texts of values what the comparisons expect, and the plans what the passes are: every
    /// statement takes a few thousand rows by an index and looks up what they name.
    ///
    /// Where the planner takes a page for a larger part of its table than it is, it reads the whole table
    /// instead, and hashes it, for each page anew: at three million events a second a page.
    pub(super) async fn prepare(&mut self) -> sqlx::Result<()> {
        self.db
            .execute(
                "SET bytea_output = 'hex';
                 SET enable_seqscan = off; SET enable_hashjoin = off; SET enable_mergejoin = off;
                 -- A plan that is made for any range takes each for half a percent of its table.
                 SET plan_cache_mode = force_custom_plan",
            )
            .await?;
        Ok(())
    }

    /// A fresh snapshot.
    pub(super) async fn begin(&mut self) -> sqlx::Result<()> {
        if self.snapshots == Snapshots::Short {
            self.db.execute("BEGIN ISOLATION LEVEL REPEATABLE READ READ ONLY").await?;
        }
        Ok(())
    }

    /// About how many rows a table has, as far as PostgreSQL knows without counting; 0 if it does not.
    pub(super) async fn about(&mut self, table: &str) -> sqlx::Result<u64> {
        let rows = sqlx::query_scalar!(
            r#"SELECT GREATEST(reltuples, 0)::bigint AS "rows!" FROM pg_class WHERE oid = to_regclass($1)"#,
            table
        )
        .fetch_optional(&mut *self.db)
        .await?;
        Ok(rows.unwrap_or_default().unsigned_abs())
    }

    /// Lets go of the snapshot.
    pub(super) async fn end(&mut self) -> sqlx::Result<()> {
        if self.snapshots == Snapshots::Short {
            self.db.execute("COMMIT").await?;
        }
        Ok(())
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn ranges_leave_no_id_out() {
        let middle = Uuid::from_u128(1 << 100);
        let first = Range::before(Uuid::nil(), Some(middle));
        assert_eq!(first.next(), Some(middle));
        let last = Range::before(middle, None);
        assert_eq!((last.high, last.next()), (Uuid::max(), None));
        assert_eq!(Range::before(middle, Some(middle)), Range { low: middle, high: middle });
    }
}
