//! The whole database against its own evidence: every chain recomputed, every table of present state
//! made again from the events and compared, every event found in the register, and the register's
//! published files made again from its leaves.
//!
//! It only reads, in snapshots of a few thousand rows each, so that a check of hours holds back
//! neither vacuum nor the sequencer; what is compared with each other is read in the same snapshot.
//! Memory does not grow with the number of events: each pass goes through its tables in the order of
//! an index, and rows meet in the program, not by a query a subject. A chain that is longer than a
//! page is carried on to the next (`subject`), a batch of seals too (`batch`, `seal`). No value in the
//! database can make it fail: what cannot be read is a finding.
//!
//! Passes: subjects in the order of their ids (`sweep`), the copies for the search in the order of
//! the table's own pages (`copies`), harvests, ticket lines, seals, postings, erasures, leaves.

mod batch;
mod chain;
pub mod console;
mod copies;
pub mod coverage;
mod erasure;
mod harvest;
mod key;
mod load;
mod log;
mod marking_key;
mod operation;
mod organization;
mod register;
mod report;
mod row;
mod seal;
mod snapshot;
mod subject;
mod sweep;
mod ticket;

pub use register::Published;
pub use report::{Code, Finding, Step, Summary, Watch};
pub use snapshot::Snapshots;

use report::Report;
use snapshot::Reader;
use sqlx::PgConnection;

/// What is checked, and how.
#[derive(Clone, Debug)]
pub struct Scope {
    /// Whose snapshots.
    pub snapshots: Snapshots,
    /// About so many rows of the largest table are held in memory, and read in one snapshot.
    pub rows: i64,
    /// The published register, if there is one to compare with.
    pub published: Option<Published>,
}

impl Default for Scope {
    fn default() -> Self {
        Self { snapshots: Snapshots::Short, rows: 4_000, published: None }
    }
}

/// Why the check did not come to its end.
#[derive(Debug, thiserror::Error)]
pub enum Failure {
    /// The database said no.
    #[error("The check did not come to its end: {0}.")]
    Database(#[from] sqlx::Error),
    /// The published register cannot be read.
    #[error("The published register in {0} cannot be read: {1}.")]
    Published(String, std::io::Error),
}

/// Checks everything and tells `watch` of each finding as it is made.
///
/// # Errors
/// If the database or the published register cannot be read to the end. What is wrong in either is
/// no error but a finding.
pub async fn check(db: &mut PgConnection, scope: &Scope, watch: &mut dyn Watch) -> Result<Summary, Failure> {
    let mut report = Report::new(watch);
    let mut reader = Reader::new(db, scope.snapshots, scope.rows);
    reader.prepare().await?;
    check_keys(reader.db, &mut report).await?;
    let missing = sweep::check(&mut reader, &mut report).await?;
    copies::check(&mut reader, &mut report).await?;
    harvest::check(&mut reader, &mut report).await?;
    ticket::check_lines(&mut reader, &mut report).await?;
    seal::check(&mut reader, &mut report).await?;
    operation::check(&mut reader, &mut report).await?;
    erasure::check(&mut reader, &mut report, missing).await?;
    register::check(&mut reader, &mut report, scope.published.as_ref()).await?;
    Ok(report.finish())
}

/// Rows are told apart by their tables' keys, and with its key in place no row is there twice. An owner
/// of the table can take it away.
async fn check_keys(db: &mut PgConnection, report: &mut Report<'_>) -> sqlx::Result<()> {
    let without = sqlx::query_scalar!(
        r#"SELECT c.relname::text AS "table!" FROM pg_class c
           WHERE c.relnamespace = 'public'::regnamespace AND c.relkind IN ('r', 'p') AND NOT EXISTS (
               SELECT FROM pg_index i
               WHERE i.indrelid = c.oid AND i.indisprimary AND i.indisunique AND i.indisvalid AND i.indimmediate)
           ORDER BY 1"#
    )
    .fetch_all(db)
    .await?;
    for table in without {
        let detail = "it has no primary key any more: a row may be there twice";
        report.find(Code::KeyMissing, "pg_class", table, None, detail);
    }
    Ok(())
}
