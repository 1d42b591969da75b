//! Checks the entire database against its own evidence: recomputes every chain, rebuilds every table of
//! present state from the events and compares it, looks up every event in the transparency log (tlog), and
//! rebuilds the published files of the tlog from its leaves.
//!
//! `fsck` only reads, in snapshots of a few thousand rows each, so that a check that takes hours delays
//! neither vacuum nor the sequencer. Values that are compared with each other come from the same snapshot.
//! Memory does not grow with the number of events: each pass reads its tables in index order and joins rows
//! in the program, not with one query per subject. The state of a chain that is longer than a page is carried
//! over to the next page (`subject`), and so is that of a batch of seals (`batch`, `seal`). No value in the
//! database makes the check fail: an unreadable value is reported as an fsck error.
//!
//! Passes: the catalogue (`guards`), subjects in the order of their ids (`sweep`), the search columns of
//! `event` in the order of the table's pages (`search_columns`), harvests, ticket lines, seals, write
//! requests, erasures, leaves, the findings of surveillance.

mod ban;
mod batch;
mod chain;
pub mod console;
pub mod coverage;
mod cut;
mod erasure;
mod finding;
mod foreign;
pub mod guards;
mod harvest;
mod key;
mod load;
mod log;
mod marking_key;
mod operation;
mod organization;
mod parameter;
mod powers;
mod register;
mod report;
mod row;
mod seal;
mod search_columns;
mod snapshot;
mod subject;
mod surveillance;
mod sweep;
mod ticket;
mod unique;

pub use register::Published;
pub use report::{Code, FsckError, Step, Summary, Watch};
pub use snapshot::Snapshots;

use report::Report;
use snapshot::Reader;
use sqlx::PgConnection;

/// What `fsck` checks, and how.
#[derive(Clone, Debug)]
pub struct Scope {
    /// Which snapshots it reads in.
    pub snapshots: Snapshots,
    /// Approximate number of rows of the largest table that are read in one snapshot and held in memory.
    pub rows: i64,
    /// The published transparency log to compare with, if there is one.
    pub published: Option<Published>,
}

impl Default for Scope {
    fn default() -> Self {
        Self { snapshots: Snapshots::Short, rows: 4_000, published: None }
    }
}

/// Why the check could not be completed.
#[derive(Debug, thiserror::Error)]
pub enum Failure {
    /// The database returned an error.
    #[error("The check could not be completed: {0}.")]
    Database(#[from] sqlx::Error),
    /// The published transparency log cannot be read.
    #[error("The published register in {0} cannot be read: {1}.")]
    Published(String, std::io::Error),
}

/// Runs all passes and reports each fsck error to `watch` as it is found.
///
/// # Errors
/// If the database or the published transparency log cannot be read to the end. Differences within either
/// are reported to `watch`; they do not make this function fail.
pub async fn check(db: &mut PgConnection, scope: &Scope, watch: &mut dyn Watch) -> Result<Summary, Failure> {
    let mut report = Report::new(watch);
    let mut reader = Reader::new(db, scope.snapshots, scope.rows);
    reader.prepare().await?;
    guards::check(reader.db, &mut report).await?;
    check_keys(reader.db, &mut report).await?;
    let (missing, counted) = sweep::check(&mut reader, &mut report).await?;
    search_columns::check(&mut reader, &mut report).await?;
    harvest::check(&mut reader, &mut report).await?;
    ticket::check_lines(&mut reader, &mut report, &counted).await?;
    ticket::check_holds(&mut reader, &mut report).await?;
    parameter::check(&mut reader, &mut report).await?;
    ban::check(&mut reader, &mut report).await?;
    cut::check(&mut reader, &mut report).await?;
    seal::check(&mut reader, &mut report).await?;
    operation::check(&mut reader, &mut report).await?;
    erasure::check(&mut reader, &mut report, missing).await?;
    register::check(&mut reader, &mut report, scope.published.as_ref()).await?;
    surveillance::check(&mut reader, &mut report).await?;
    Ok(report.finish())
}

/// Checks that each table has a valid primary key. Tables with a key that the migrations declare are left out
/// here, because `unique` checks those.
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
    let declared = unique::declared();
    for table in without.into_iter().filter(|table| !declared.iter().any(|key| key.table == *table)) {
        let detail = "it has no primary key any more: rows may be duplicated";
        report.find(Code::KeyMissing, "pg_class", table, None, detail);
    }
    Ok(())
}
