//! Replays the rules of this version over all leaves, reports what differs from the findings in force, and
//! switches the version on.
//!
//! A replay folds into rows of its own, with the same code and the same memory as the engine, and may be
//! interrupted anywhere. Switching on replaces state and findings in one transaction. A finding that both
//! versions make stays as it is; one that only the old version made is superseded.

use super::finding::{EngineFinding, FindingKey};
use super::postgres::{self, PersonSecret};
use super::runner::{BATCH, Batch, Runner, lock};
use crate::base::clock::Clock;
use crate::base::error::{Error, Result};
use crate::base::ids::FindingId;
use crate::evidence::chain::Tx;
use crate::timber::finding::inputs::Inputs;
use crate::timber::finding::rules::Severity;
use crate::timber::finding::rules::surveillance::SURVEILLANCE;
use crate::timber::parameter::Rulebook;
use sqlx::PgConnection;
use std::fmt;

/// How the findings of a replay differ from those in force, for one rule.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct Difference {
    /// The rule's id.
    pub rule: String,
    /// Findings that both have.
    pub same: i64,
    /// Findings that only the replay has.
    pub new: i64,
    /// Findings that only those in force have.
    pub gone: i64,
}

/// The report of a replay.
#[derive(Clone, Debug, Default, PartialEq, Eq)]
pub struct Report {
    /// Leaves that were folded, in total.
    pub leaves: i64,
    /// One line for each rule that has findings.
    pub rules: Vec<Difference>,
}

impl fmt::Display for Report {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        writeln!(f, "{} leaves were replayed.", self.leaves)?;
        for Difference { rule, same, new, gone } in &self.rules {
            writeln!(f, "{rule}: {same} findings are the same, {new} are new, {gone} are gone")?;
        }
        Ok(())
    }
}

/// Replays all leaves, or those since the last replay with this version, and compares.
///
/// # Errors
/// Database errors, and rows that cannot be read.
pub async fn replay(
    db: &mut PgConnection,
    secret: PersonSecret,
    rulebook: Rulebook,
    clock: Clock,
) -> Result<Report> {
    forget(db).await?;
    let runner = Runner::new(secret, rulebook, clock, true);
    loop {
        match runner.batch(db, BATCH).await? {
            Batch::Folded(leaves) if i64::try_from(leaves).is_ok_and(|leaves| leaves == BATCH) => {}
            Batch::Folded(_) => return report(db).await,
            Batch::Elsewhere => return Err(Error::CorruptRow("another replay is running".to_owned())),
            Batch::OtherVersion(version) => {
                return Err(Error::CorruptRow(format!("surveillance.version: {version} in a replay")));
            }
        }
    }
}

/// Removes an earlier replay: parameters may have changed since.
async fn forget(db: &mut PgConnection) -> Result<()> {
    let mut tx = Tx::on(db).await?;
    sqlx::query!("DELETE FROM surveillance WHERE trial").execute(&mut *tx).await?;
    sqlx::query!("DELETE FROM surveillance_state WHERE trial").execute(&mut *tx).await?;
    sqlx::query!("DELETE FROM surveillance_finding WHERE trial").execute(&mut *tx).await?;
    tx.commit().await?;
    Ok(())
}

async fn report(db: &mut PgConnection) -> Result<Report> {
    let leaves =
        sqlx::query_scalar!("SELECT cursor FROM surveillance WHERE trial").fetch_optional(&mut *db).await?;
    let rules = sqlx::query_as!(
        Difference,
        r#"WITH l AS (SELECT rule, subject_kind, subject_id, key FROM surveillance_finding WHERE NOT trial),
                t AS (SELECT rule, subject_kind, subject_id, key FROM surveillance_finding WHERE trial)
           SELECT coalesce(l.rule, t.rule) AS "rule!",
                  count(*) FILTER (WHERE l.rule IS NOT NULL AND t.rule IS NOT NULL) AS "same!",
                  count(*) FILTER (WHERE l.rule IS NULL) AS "new!",
                  count(*) FILTER (WHERE t.rule IS NULL) AS "gone!"
           FROM l FULL JOIN t USING (rule, subject_kind, subject_id, key)
           GROUP BY coalesce(l.rule, t.rule) ORDER BY 1"#
    )
    .fetch_all(db)
    .await?;
    Ok(Report { leaves: leaves.unwrap_or(0), rules })
}

/// Puts the last replay into force. The engine of a running server must be stopped. False if it is not.
///
/// # Errors
/// Database errors, and rows that cannot be read.
pub async fn apply(db: &mut PgConnection, clock: &Clock) -> Result<bool> {
    if !lock(db).await? {
        return Ok(false);
    }
    let now = clock.now();
    let mut tx = Tx::on(db).await?;
    sqlx::query!(
        "UPDATE surveillance_finding t SET finding_id = l.finding_id
         FROM surveillance_finding l
         WHERE t.trial AND NOT l.trial AND l.rule = t.rule AND l.subject_kind = t.subject_kind
           AND l.subject_id = t.subject_id AND l.key = t.key AND l.severity = t.severity"
    )
    .execute(&mut *tx)
    .await?;
    let gone = sqlx::query!(
        r#"SELECT l.finding_id AS "id!", l.organization_id, COALESCE(t.version, l.version) AS "version!"
           FROM surveillance_finding l
           LEFT JOIN (SELECT rule, max(version) AS version FROM surveillance_finding WHERE trial GROUP BY rule) t
               ON t.rule = l.rule
           WHERE NOT l.trial AND l.finding_id IS NOT NULL
             AND NOT EXISTS (SELECT FROM surveillance_finding t WHERE t.trial AND t.finding_id = l.finding_id)
           ORDER BY l.finding_id"#
    )
    .fetch_all(&mut *tx)
    .await?;
    for row in gone {
        postgres::supersede(&mut tx, FindingId(row.id), row.organization_id, row.version, now).await?;
    }
    sqlx::query!("DELETE FROM surveillance_finding WHERE NOT trial").execute(&mut *tx).await?;
    sqlx::query!("DELETE FROM surveillance_state WHERE NOT trial").execute(&mut *tx).await?;
    sqlx::query!("DELETE FROM surveillance WHERE NOT trial").execute(&mut *tx).await?;
    sqlx::query!("UPDATE surveillance_finding SET trial = false").execute(&mut *tx).await?;
    sqlx::query!("UPDATE surveillance_state SET trial = false").execute(&mut *tx).await?;
    sqlx::query!("UPDATE surveillance SET trial = false").execute(&mut *tx).await?;
    let new = sqlx::query!(
        r#"SELECT rule, subject_kind, subject_id, key, version, severity AS "severity: Severity", organization_id,
                  ticket_id, inputs, evidence
           FROM surveillance_finding WHERE finding_id IS NULL ORDER BY rule, subject_kind, subject_id, key"#
    )
    .fetch_all(&mut *tx)
    .await?;
    for row in new {
        let corrupt = || Error::CorruptRow(format!("surveillance_finding of {}", row.rule));
        let rule = SURVEILLANCE.iter().find(|rule| rule.id == row.rule).ok_or_else(corrupt)?;
        let finding = EngineFinding {
            at: FindingKey {
                rule: rule.id,
                kind: u8::try_from(row.subject_kind).map_err(|_| corrupt())?,
                subject: row.subject_id,
                key: row.key,
            },
            version: u16::try_from(row.version).map_err(|_| corrupt())?,
            severity: row.severity,
            organization: row.organization_id,
            ticket: row.ticket_id,
            inputs: Inputs::parse(&row.inputs),
            evidence: serde_json::from_str(&row.evidence).map_err(|_| corrupt())?,
        };
        postgres::file(&mut tx, &finding, now).await?;
    }
    tx.commit().await?;
    Ok(true)
}
