//! Erasing a person's data for good, on a court's order or the person's request.
//!
//! Personal parts are in a table of their own and enter the chain only as salted commitments.
//! Deleting the row also deletes the secret of the salt, and every chain still verifies. An event
//! records what was erased ([`erasure`]), so that an alteration cannot be passed off as an erasure.
//! But PostgreSQL only marks a deleted row: its bytes stay in the table's file, in its indexes and
//! in the write-ahead log. So the tables are rewritten, and in a private cluster the write-ahead
//! log with the person's data is removed. If an erasure was interrupted anywhere, run it again to
//! complete it.

use crate::base::clock::Clock;
use crate::base::error::Error;
use crate::base::ids::{FindingId, HarvestId};
use crate::db::Database;
use crate::evidence::chain::Salt;
use crate::evidence::chain::Tx;
use crate::timber::event::types::LogEventType;
use crate::timber::party::bin::Bin;
use crate::timber::party::erasure;
use flate2::read::GzDecoder;
use futures_util::TryStreamExt;
use sqlx::postgres::PgConnection;
use sqlx::{AssertSqlSafe, Connection, Executor};
use std::fmt;
use std::io::Read;
use std::time::{Duration, Instant};
use uuid::Uuid;

/// Tables that hold data to be erased. Each is rewritten, and can be neither read nor written meanwhile.
const REWRITTEN: [&str; 7] =
    ["personal", "idempotency", "organization", "operation", "finding_text", "citizen_report", "photo"];
/// How long one attempt may wait for the lock of a table, because all other statements queue behind it.
const LOCK_TIMEOUT: &str = "SET lock_timeout = '3s'";
/// How long to wait for locks, and for transactions that may still see deleted rows.
const WAIT_TIMEOUT: Duration = Duration::from_mins(2);
/// SQLSTATE of a statement that the role may not run.
const FORBIDDEN: &str = "42501";
const RETRY_BACKOFF: Duration = Duration::from_millis(200);

/// The person that is erased.
#[derive(Clone, Debug)]
pub enum ErasureTarget {
    /// The responsible person of one harvest, and every person named by a correction of it.
    Harvest(HarvestId),
    /// The person with this IIN (personal number): as the responsible person of harvests, and as a sole
    /// trader or farm.
    Iin(Bin),
    /// Everything personal in one finding: the texts of explanations, decisions, observations and buyers' reports,
    /// officials, contacts, positions of buyers, and photos.
    Finding(FindingId),
}

/// Why the erasure failed or is incomplete.
#[derive(Debug, thiserror::Error)]
pub enum Failure {
    /// No such harvest.
    #[error("There is no harvest {0}.")]
    NoHarvest(HarvestId),
    /// No such finding.
    #[error("There is no finding {0}.")]
    NoFinding(FindingId),
    /// An error from the database.
    #[error("The erasure is not complete, run it again: {0}.")]
    Database(#[from] sqlx::Error),
    /// The erasure could not be recorded; nothing was deleted.
    #[error("Nothing was erased, because the erasure could not be recorded: {0}.")]
    Record(Error),
    /// After the wait, another transaction can still see the deleted rows.
    #[error(
        "The data is deleted, but its bytes are still in the files: for two minutes another transaction \
         could still read them. Run the erasure again."
    )]
    Held,
}

impl From<Error> for Failure {
    fn from(error: Error) -> Self {
        match error {
            Error::Database(error) => Self::Database(error),
            other => Self::Record(other),
        }
    }
}

/// What was erased. `Display` is the report for the administrator.
#[derive(Clone, Debug, Default, PartialEq, Eq)]
pub struct Erased {
    /// Personal parts.
    pub parts: u64,
    /// Number of sole traders and farms with erased names and numbers.
    pub organizations: u64,
    /// Stored responses.
    pub responses: u64,
    /// Buyers' reports.
    pub reports: u64,
    /// Photos.
    pub photos: u64,
    /// What the administrator of the database server (`DATABASE_URL`) still has to do.
    pub left: Option<String>,
}

impl fmt::Display for Erased {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        write!(
            f,
            "Erased: {} personal parts, {} organisations' names and numbers, {} stored responses, {} buyers' \
             reports, {} photos. Every chain still verifies. Backups contain the data until they are removed.",
            self.parts, self.organizations, self.responses, self.reports, self.photos
        )?;
        if let Some(left) = &self.left {
            write!(f, " {left}")?;
        }
        Ok(())
    }
}

/// Erases a person's data. A server may be running: its requests wait while a table is rewritten.
///
/// # Errors
/// A sentence that states how far the erasure got.
pub async fn erase(database: &Database, target: &ErasureTarget, clock: &Clock) -> Result<Erased, Failure> {
    let mut owner = database.owner().await?;
    let mut erased = delete(&mut owner, target, clock).await?;
    owner.close().await?;
    let mut maintenance = database.maintenance().await?;
    let mut tables = REWRITTEN.to_vec();
    if delete_statistics(&mut maintenance, database.is_private()).await? {
        tables.push("pg_statistic");
    }
    wait_for_readers(&mut maintenance).await?;
    for table in tables {
        rewrite(&mut maintenance, table).await?;
    }
    erased.left = remove_wal(&mut maintenance, database.is_private()).await?;
    maintenance.close().await?;
    Ok(erased)
}

/// Deletes all data of the person that `target` names, and records the erasure, in one transaction. The bytes
/// stay in the files until [`erase`] rewrites the tables.
///
/// # Errors
/// As [`erase`].
pub async fn delete(
    owner: &mut PgConnection,
    target: &ErasureTarget,
    clock: &Clock,
) -> Result<Erased, Failure> {
    let mut tx = Tx::on(owner).await?;
    let (erased, _) = delete_rows(&mut tx, target, clock).await?;
    tx.commit().await?;
    Ok(erased)
}

/// What an erasure would delete, by ids. `Display` is the list for the administrator; it contains no name and
/// no number of a person.
#[derive(Clone, Debug, Default, PartialEq, Eq)]
pub struct Preview {
    /// One line for each row that would be deleted.
    pub lines: Vec<String>,
    /// The totals.
    pub erased: Erased,
}

impl fmt::Display for Preview {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        for line in &self.lines {
            writeln!(f, "{line}")?;
        }
        write!(
            f,
            "Would be erased: {} personal parts, {} organisations' names and numbers, {} stored responses, {} buyers' \
             reports, {} photos. Nothing was changed.",
            self.erased.parts,
            self.erased.organizations,
            self.erased.responses,
            self.erased.reports,
            self.erased.photos
        )
    }
}

/// Finds out what [`erase`] would delete: deletes it in a transaction that is rolled back, so that the list
/// cannot differ from the erasure.
///
/// # Errors
/// As [`erase`].
pub async fn preview(
    owner: &mut PgConnection,
    target: &ErasureTarget,
    clock: &Clock,
) -> Result<Preview, Failure> {
    let mut tx = Tx::on(owner).await?;
    let (erased, removed) = delete_rows(&mut tx, target, clock).await?;
    let lines = removed.lines(&mut tx).await?;
    tx.rollback().await?;
    Ok(Preview { lines, erased })
}

/// The rows that a transaction has deleted.
#[derive(Default)]
struct Removed {
    /// Personal parts.
    personal: Vec<Uuid>,
    /// Sole traders and farms.
    organizations: Vec<Uuid>,
    /// Stored responses: organisation and idempotency key.
    responses: Vec<(Uuid, String)>,
}

impl Removed {
    /// Returns one line for each deleted row. The harvests, events and logs that refer to these rows still
    /// exist, so the lines can name them.
    async fn lines(&self, tx: &mut PgConnection) -> sqlx::Result<Vec<String>> {
        /// A personal part: its id, its harvest, its events, their seals, and its finding.
        type Part = (Uuid, Option<Uuid>, i64, Vec<String>, Option<String>);
        let mut lines = Vec::new();
        let parts: Vec<Part> = sqlx::query_as(
            "SELECT p.id, COALESCE(h.id, (array_agg(l.harvest_id) FILTER (WHERE e.type = 'corrected'))[1]),
                    count(e.seq), coalesce(array_agg(DISTINCT l.seal_number) FILTER (WHERE l.id IS NOT NULL), '{}'),
                    min(e.subject_id::text) FILTER (WHERE e.subject_kind = 5)
             FROM UNNEST($1::uuid[]) WITH ORDINALITY AS p (id, place)
             LEFT JOIN harvest h ON h.personal_id = p.id
             LEFT JOIN event e ON e.personal_id = p.id
             LEFT JOIN log l ON l.id = e.subject_id
             GROUP BY p.id, h.id, p.place ORDER BY p.place",
        )
        .bind(&self.personal)
        .fetch_all(&mut *tx)
        .await?;
        for (id, harvest, events, seals, finding) in parts {
            let of = match (harvest, finding) {
                (Some(harvest), _) => format!("the responsible person of harvest {harvest}"),
                (None, Some(finding)) => format!("a text about finding {finding}"),
                (None, None) => "a person or sole trader".to_owned(),
            };
            let on = if seals.is_empty() { String::new() } else { format!(", on {}", seals.join(" ")) };
            lines.push(format!("personal part {id}: {of}, in {events} events{on}"));
        }
        for id in &self.organizations {
            lines.push(format!("organisation {id}: its name and number"));
        }
        for (organization, key) in &self.responses {
            lines.push(format!("stored response: Idempotency-Key {key} of organisation {organization}"));
        }
        Ok(lines)
    }
}

async fn delete_rows(
    tx: &mut Tx<'_>,
    target: &ErasureTarget,
    clock: &Clock,
) -> Result<(Erased, Removed), Failure> {
    let mut removed = Removed::default();
    let mut personal: Vec<Uuid> = Vec::new();
    // Ids of the affected harvests and organisations. The stored responses to the requests that created them
    // are deleted too.
    let mut made: Vec<Uuid> = Vec::new();
    let mut words: Vec<String> = Vec::new();
    let mut erased = Erased::default();
    match target {
        ErasureTarget::Harvest(harvest) => {
            let found = sqlx::query_scalar!("SELECT personal_id FROM harvest WHERE id = $1", harvest.0)
                .fetch_optional(&mut **tx)
                .await?;
            personal.push(found.ok_or(Failure::NoHarvest(*harvest))?);
            let corrected = sqlx::query_scalar!(
                r#"SELECT e.personal_id AS "id!" FROM log l JOIN event e ON e.subject_id = l.id
                   WHERE l.harvest_id = $1 AND e.type = $2 AND e.personal_id IS NOT NULL"#,
                harvest.0,
                LogEventType::Corrected.as_str()
            );
            personal.extend(corrected.fetch_all(&mut **tx).await?);
        }
        ErasureTarget::Finding(finding) => {
            let known = sqlx::query_scalar!("SELECT id FROM finding WHERE id = $1 FOR UPDATE", finding.0);
            known.fetch_optional(&mut **tx).await?.ok_or(Failure::NoFinding(*finding))?;
            let parts = sqlx::query_scalar!(
                r#"SELECT personal_id AS "id!" FROM event WHERE subject_id = $1 AND personal_id IS NOT NULL"#,
                finding.0
            );
            personal = parts.fetch_all(&mut **tx).await?;
            // A photo is erased for all organisations that uploaded it, and also if another observation names it.
            let photos = sqlx::query!(
                r#"DELETE FROM photo USING personal p, jsonb_array_elements(p.text::jsonb -> 'photos') AS named
                   WHERE p.id = ANY ($1) AND photo.sha256 = decode(named ->> 'sha256', 'hex')"#,
                &personal
            );
            erased.photos = photos.execute(&mut **tx).await?.rows_affected();
            sqlx::query!("DELETE FROM finding_text WHERE finding_id = $1", finding.0)
                .execute(&mut **tx)
                .await?;
            let reports = sqlx::query!(
                "UPDATE citizen_report SET text = NULL, lat = NULL, lon = NULL, contact = NULL WHERE finding_id = $1",
                finding.0
            );
            erased.reports = reports.execute(&mut **tx).await?.rows_affected();
            made.push(finding.0);
        }
        ErasureTarget::Iin(iin) => {
            let quoted = format!("\"{}\"", iin.as_str());
            personal = sqlx::query_scalar!("SELECT id FROM personal WHERE strpos(text, $1) > 0", quoted)
                .fetch_all(&mut **tx)
                .await?;
            let traders = sqlx::query!(
                r#"WITH was AS (
                       SELECT id, name FROM organization
                       WHERE bin = $1 AND ($2 OR kind IN ('sole_trader', 'farm', 'individual')) FOR UPDATE
                   )
                   UPDATE organization o SET bin = NULL, name = NULL FROM was WHERE o.id = was.id
                   RETURNING o.id, was.name"#,
                iin.as_str(),
                iin.is_person()
            )
            .fetch_all(&mut **tx)
            .await?;
            for trader in traders {
                erased.organizations += 1;
                words.push(iin.as_str().to_owned());
                words.extend(trader.name);
                made.push(trader.id);
                removed.organizations.push(trader.id);
                // All its personal parts: names that it had before are the person's too, and reasons may be.
                let parts = sqlx::query!(
                    r#"SELECT e.personal_id AS "id!", p.text::json ->> 'name' AS name
                       FROM event e LEFT JOIN personal p ON p.id = e.personal_id
                       WHERE e.subject_id = $1 AND e.personal_id IS NOT NULL"#,
                    trader.id
                );
                for part in parts.fetch_all(&mut **tx).await? {
                    personal.push(part.id);
                    words.extend(part.name);
                }
            }
        }
    }
    let deleted = sqlx::query_as!(
        erasure::Deleted,
        "DELETE FROM personal WHERE id = ANY ($1) RETURNING id AS personal, organization_id AS organization",
        &personal
    )
    .fetch_all(&mut **tx)
    .await?;
    erased.parts = deleted.len() as u64;
    removed.personal = deleted.iter().map(|part| part.personal).collect();
    let command = match target {
        ErasureTarget::Harvest(_) => "erase --harvest",
        ErasureTarget::Iin(_) => "erase --iin",
        ErasureTarget::Finding(_) => "erase --finding",
    };
    erasure::record(tx, &deleted, command, clock.now()).await?;
    // A fingerprint is a hash under a key that is stored in the same database. With both, erased data could
    // be guessed, so the fingerprints are removed too.
    let harvests = sqlx::query!(
        "UPDATE operation o SET fingerprint = NULL FROM harvest h
         WHERE h.personal_id = ANY ($1) AND o.organization_id = h.organization_id AND o.operation_id = h.operation_id
         RETURNING h.id",
        &personal
    );
    made.extend(harvests.fetch_all(&mut **tx).await?.into_iter().map(|harvest| harvest.id));
    // The condition of index event_personal. A personal part of a harvest has the id of its harvest, and is
    // not searched in its many events.
    let corrections = sqlx::query_scalar!(
        r#"UPDATE operation o SET fingerprint = NULL FROM event e
           WHERE e.personal_id = ANY ($1) AND e.type <> 'harvested' AND e.type <> 'organization_registered'
             AND o.organization_id = e.organization_id AND o.operation_id = e.operation_id
           RETURNING o.operation_id"#,
        &personal
    );
    made.extend(corrections.fetch_all(&mut **tx).await?);
    let harvest_ids = sqlx::query_scalar!("SELECT id FROM harvest WHERE personal_id = ANY ($1)", &personal);
    made.extend(harvest_ids.fetch_all(&mut **tx).await?);
    for id in made {
        let responses = sqlx::query!(
            "DELETE FROM idempotency WHERE made_id = $1 OR (made_id IS NULL AND strpos(already_done, $1::text) > 0)
             RETURNING organization_id, key",
            id
        );
        let responses = responses.fetch_all(&mut **tx).await?;
        removed.responses.extend(responses.into_iter().map(|row| (row.organization_id, row.key)));
    }
    if !words.is_empty() {
        removed.responses.extend(delete_responses_with(tx, &words).await?);
    }
    erased.responses = removed.responses.len() as u64;
    // A new erasure epoch changes every ETag: a response from before the erasure no longer gets 304.
    let epoch = Salt::random().0;
    sqlx::query!("UPDATE erasure_epoch SET value = $1", epoch.as_slice()).execute(&mut **tx).await?;
    // Servers of the previous version read the erasure epoch from this row.
    sqlx::query!(
        "INSERT INTO server_secret (name, value) VALUES ('erasures', $1)
         ON CONFLICT (name) DO UPDATE SET value = EXCLUDED.value",
        epoch.as_slice()
    )
    .execute(&mut **tx)
    .await?;
    Ok((erased, removed))
}

/// Deletes stored responses that contain one of `words`: responses to other organisations may name a
/// trader too, such as the holder of a ticket. Returns organisation and key of each.
async fn delete_responses_with(tx: &mut PgConnection, words: &[String]) -> sqlx::Result<Vec<(Uuid, String)>> {
    let mut matching: Vec<(Uuid, String)> = Vec::new();
    let mut responses = sqlx::query!(
        r#"SELECT organization_id, key, body AS "body!" FROM idempotency WHERE body IS NOT NULL"#
    )
    .fetch(&mut *tx);
    while let Some(response) = responses.try_next().await? {
        let mut text = String::new();
        // A body that cannot be unpacked cannot be searched, so it is deleted too.
        let unpacked = GzDecoder::new(response.body.as_slice()).read_to_string(&mut text);
        if unpacked.is_err() || words.iter().any(|word| text.contains(&json_text(word))) {
            matching.push((response.organization_id, response.key));
        }
    }
    drop(responses);
    for (organization, key) in &matching {
        sqlx::query!("DELETE FROM idempotency WHERE organization_id = $1 AND key = $2", organization, key)
            .execute(&mut *tx)
            .await?;
    }
    Ok(matching)
}

/// `word` as it is written inside a JSON string.
fn json_text(word: &str) -> String {
    let quoted = serde_json::Value::from(word).to_string();
    quoted.trim_matches('"').to_owned()
}

/// Deletes the planner's statistics of `idempotency`, which may contain samples of its values. Returns
/// whether that was permitted. The rewritten tables `personal` and `organization` need no such step: the
/// migrations forbid the planner to sample their columns that name a person.
async fn delete_statistics(maintenance: &mut PgConnection, private: bool) -> Result<bool, Failure> {
    match maintenance.execute("DELETE FROM pg_statistic WHERE starelid = 'idempotency'::regclass").await {
        Ok(_) => Ok(true),
        Err(sqlx::Error::Database(error)) if !private && error.code().as_deref() == Some(FORBIDDEN) => {
            Ok(false)
        }
        Err(error) => Err(error.into()),
    }
}

/// Waits until no transaction can see the deleted rows. If a table were rewritten earlier, PostgreSQL would
/// copy the deleted rows into the new file.
async fn wait_for_readers(maintenance: &mut PgConnection) -> Result<(), Failure> {
    let since = sqlx::query_scalar!(r#"SELECT pg_current_xact_id()::text AS "xid!""#)
        .fetch_one(&mut *maintenance)
        .await?;
    let start = Instant::now();
    loop {
        let held = sqlx::query_scalar!(
            r#"SELECT EXISTS (
                   SELECT FROM pg_stat_activity
                   WHERE pid <> pg_backend_pid()
                     AND GREATEST(age(backend_xmin), age(backend_xid)) >= age($1::text::xid8::xid)
               ) AS "held!""#,
            since
        )
        .fetch_one(&mut *maintenance)
        .await?;
        if !held {
            return Ok(());
        }
        if start.elapsed() > WAIT_TIMEOUT {
            return Err(Failure::Held);
        }
        tokio::time::sleep(RETRY_BACKOFF).await;
    }
}

/// Rewrites a table and its indexes without the deleted rows.
async fn rewrite(maintenance: &mut PgConnection, table: &'static str) -> Result<(), Failure> {
    let start = Instant::now();
    maintenance.execute(LOCK_TIMEOUT).await?;
    loop {
        let sql = AssertSqlSafe(format!("VACUUM (FULL, ANALYZE) {table}"));
        match maintenance.execute(sqlx::raw_sql(sql)).await {
            Ok(_) => return Ok(()),
            // 55P03 means that the lock was not available within `LOCK_TIMEOUT`. The pause lets the
            // statements that queue behind it run before the next attempt.
            Err(sqlx::Error::Database(error))
                if error.code().as_deref() == Some("55P03") && start.elapsed() < WAIT_TIMEOUT =>
            {
                tokio::time::sleep(RETRY_BACKOFF).await;
            }
            Err(error) => return Err(error.into()),
        }
    }
}

/// Removes the write-ahead log (WAL) written so far; the checkpoints also remove the tables' old files. On a
/// server given by `DATABASE_URL`, the role may lack the right to do so; then returns a sentence on what the
/// server's administrator has to do.
async fn remove_wal(maintenance: &mut PgConnection, private: bool) -> Result<Option<String>, Failure> {
    // After the switch to a new WAL file, the PostgreSQL checkpoint removes the older WAL files. The second
    // pass of the loop removes the file that was still in use during the first pass.
    for _ in 0..2 {
        for statement in ["SELECT pg_switch_wal()", "CHECKPOINT"] {
            match maintenance.execute(statement).await {
                Ok(_) => {}
                Err(sqlx::Error::Database(error))
                    if !private && error.code().as_deref() == Some(FORBIDDEN) =>
                {
                    return Ok(Some(
                        "The write-ahead log still contains the data: the server's administrator has to run \
                         CHECKPOINT, and to clean archived log and replicas."
                            .to_owned(),
                    ));
                }
                Err(error) => return Err(error.into()),
            }
        }
    }
    let left = "The server's administrator has to clean recycled and archived log, and replicas.";
    Ok((!private).then(|| left.to_owned()))
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn names_are_looked_for_as_answers_write_them() {
        assert_eq!(json_text("ИП «Сүлейменов»"), "ИП «Сүлейменов»");
        assert_eq!(json_text(r#"ИП "Кедр" \ Ко"#), r#"ИП \"Кедр\" \\ Ко"#);
    }
}
