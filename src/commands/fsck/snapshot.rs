//! Reads in short snapshots, one range of ids after another.

use sqlx::{Executor, PgConnection};
use uuid::Uuid;

/// Which snapshots a check reads in.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum Snapshots {
    /// The check begins its own snapshots: a read-only transaction for every few thousand rows.
    Short,
    /// The check runs in a transaction that the caller has begun already, so nothing changes during the
    /// check.
    Callers,
}

/// Ids from `low` to `high`, both included. Successive ranges cover every possible id.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(super) struct Range {
    pub low: Uuid,
    pub high: Uuid,
}

impl Range {
    /// From `low` up to, but not including, `next`; up to the greatest id if `next` is `None`.
    pub(super) fn before(low: Uuid, next: Option<Uuid>) -> Self {
        let high = next.map_or(Uuid::max(), |next| Uuid::from_u128(next.as_u128().saturating_sub(1)));
        // If the table has lost its primary key, it may have more rows with one id than a page allows. The
        // range then contains at least this id, so that the check does not repeat the same range forever.
        Self { low, high: high.max(low) }
    }

    /// Where the next range begins; `None` after the last range.
    pub(super) fn next(self) -> Option<Uuid> {
        self.high.as_u128().checked_add(1).map(Uuid::from_u128)
    }
}

/// The connection of a check.
pub(super) struct Reader<'c> {
    pub db: &'c mut PgConnection,
    snapshots: Snapshots,
    /// Rows per snapshot.
    pub rows: i64,
}

impl<'c> Reader<'c> {
    pub(super) fn new(db: &'c mut PgConnection, snapshots: Snapshots, rows: i64) -> Self {
        Self { db, snapshots, rows: rows.max(1) }
    }

    /// Sets the text format that the comparisons expect, and restricts the planner to plans that fit the
    /// passes: every statement reads a few thousand rows by an index and looks up the rows they refer to.
    ///
    /// Without the restrictions, the planner may overestimate the share of a page in its table. Then it reads
    /// and hashes the entire table for each page, which takes a second per page at three million events.
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

    /// Begins a new snapshot.
    pub(super) async fn begin(&mut self) -> sqlx::Result<()> {
        if self.snapshots == Snapshots::Short {
            self.db.execute("BEGIN ISOLATION LEVEL REPEATABLE READ READ ONLY").await?;
        }
        Ok(())
    }

    /// PostgreSQL's estimate of the number of rows in a table, without counting; 0 if it has none.
    pub(super) async fn about(&mut self, table: &str) -> sqlx::Result<u64> {
        let rows = sqlx::query_scalar!(
            r#"SELECT GREATEST(reltuples, 0)::bigint AS "rows!" FROM pg_class WHERE oid = to_regclass($1)"#,
            table
        )
        .fetch_optional(&mut *self.db)
        .await?;
        Ok(rows.unwrap_or_default().unsigned_abs())
    }

    /// Ends the snapshot.
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
