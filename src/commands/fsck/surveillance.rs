//! Checks the findings of surveillance: folds all leaves that the engine has read again, in memory, and
//! compares.
//!
//! Its memory grows with the number of logs, by about a kilobyte each, unlike that of the other passes: the
//! windows of the engine may not be trusted here. Findings about persons (L15, L16) are compared with their
//! rows of table `finding` only, because an erasure removes what they follow from.

use super::Failure;
use super::report::{Code, Report};
use super::snapshot::Reader;
use crate::base::error::Error;
use crate::services::surveillance::engine::{Engine, VERSION};
use crate::services::surveillance::finding::Change;
use crate::services::surveillance::postgres::{PersonSecret, leaves};
use crate::services::surveillance::window::Memory;
use crate::timber::finding::rules::surveillance::{COPIED_MEASURES, MARKED_TOO_FAST};
use crate::timber::parameter::{Parameters, record};
use chrono::{DateTime, Utc};
use sqlx::PgConnection;
use std::collections::BTreeMap;
use std::sync::Arc;
use uuid::Uuid;

const TABLE: &str = "surveillance_finding";

/// Rule, kind of subject, subject, key.
type Name = (String, i16, Uuid, String);
/// Version, severity, organisation, ticket.
type Facts = (i16, String, Uuid, Option<Uuid>);

pub(super) async fn check(reader: &mut Reader<'_>, report: &mut Report<'_>) -> Result<(), Failure> {
    reader.begin().await?;
    let held = sqlx::query!("SELECT version, cursor, swept FROM surveillance WHERE NOT trial")
        .fetch_optional(&mut *reader.db)
        .await?;
    let secret = sqlx::query_scalar!("SELECT value FROM server_secret WHERE name = 'surveillance'")
        .fetch_optional(&mut *reader.db)
        .await?;
    let parameters = parameters(reader.db).await?;
    let stored = stored(reader.db, report).await?;
    reader.end().await?;
    let Some(held) = held else {
        for (rule, _, subject, key) in stored.keys() {
            report.find(
                Code::RowUnexplained,
                TABLE,
                format!("{rule}/{subject}/{key}"),
                None,
                "the engine never ran",
            );
        }
        return Ok(());
    };
    if held.version != VERSION {
        report.list(&format!(
            "surveillance-version {TABLE} {}: this program has version {VERSION}; its findings were not recomputed",
            held.version
        ));
        return Ok(());
    }
    let secret = PersonSecret(secret.and_then(|value| value.try_into().ok()).unwrap_or_default());
    let (mut engine, mut memory) = (Engine::new(Arc::new(parameters), 0), Memory::default());
    let (mut found, mut changes): (BTreeMap<Name, Facts>, Vec<Change>) = (BTreeMap::new(), Vec::new());
    let mut next = 0;
    while next < held.cursor {
        reader.begin().await?;
        let page = leaves(reader.db, &secret, next, reader.rows.min(held.cursor - next)).await;
        reader.end().await?;
        let page = match page {
            Ok(page) if page.is_empty() => break,
            Ok(page) => page,
            Err(Error::Database(error)) => return Err(error.into()),
            // The pass over the register has reported it.
            Err(_) => return Ok(()),
        };
        for leaf in &page {
            engine.step(leaf, &mut memory, &mut changes);
        }
        apply(&mut found, changes.drain(..));
        next += i64::try_from(page.len()).unwrap_or(i64::MAX);
        report.progress("surveillance", page.len(), held.cursor.unsigned_abs());
    }
    if let Some(swept) = DateTime::<Utc>::from_timestamp(held.swept.saturating_mul(3_600), 0) {
        engine.sweep(swept, &mut memory, &mut changes);
        apply(&mut found, changes.drain(..));
    }
    compare(&stored, &found, report);
    Ok(())
}

/// The dated parameters. Their own pass compares them with the events that set them.
async fn parameters(db: &mut PgConnection) -> Result<Parameters, Failure> {
    match record::load(db).await {
        Ok(parameters) => Ok(parameters),
        Err(Error::Database(error)) => Err(error.into()),
        Err(_) => Ok(Parameters::default()),
    }
}

fn apply(found: &mut BTreeMap<Name, Facts>, changes: impl Iterator<Item = Change>) {
    for change in changes {
        match change {
            Change::Found(finding) => {
                let at = finding.at;
                let name = (at.rule.to_owned(), i16::from(at.kind), at.subject, at.key);
                let version = i16::try_from(finding.version).unwrap_or(i16::MAX);
                let severity = finding.severity.as_str().to_owned();
                found.entry(name).or_insert((version, severity, finding.organization, finding.ticket));
            }
            Change::Withdrawn(at) => {
                found.remove(&(at.rule.to_owned(), i16::from(at.kind), at.subject, at.key));
            }
        }
    }
}

fn compare(stored: &BTreeMap<Name, Facts>, found: &BTreeMap<Name, Facts>, report: &mut Report<'_>) {
    let of_person = |name: &Name| [COPIED_MEASURES.id, MARKED_TOO_FAST.id].contains(&name.0.as_str());
    let text = |(rule, _, subject, key): &Name| format!("{rule}/{subject}/{key}");
    for (name, facts) in stored.iter().filter(|(name, _)| !of_person(name)) {
        match found.get(name) {
            None => report.find(Code::RowUnexplained, TABLE, text(name), None, "no event gives this finding"),
            Some(expected) if expected != facts => {
                let detail = format!("the events give {expected:?}, the row has {facts:?}");
                report.find(Code::StateDiffers, TABLE, text(name), None, detail);
            }
            Some(_) => {}
        }
    }
    for name in found.keys().filter(|name| !of_person(name) && !stored.contains_key(*name)) {
        report.find(Code::RowMissing, TABLE, text(name), None, "the events give this finding");
    }
}

/// The stored findings; each is compared with its row of table `finding`.
async fn stored(db: &mut PgConnection, report: &mut Report<'_>) -> sqlx::Result<BTreeMap<Name, Facts>> {
    let rows = sqlx::query!(
        r#"SELECT s.rule, s.subject_kind, s.subject_id, s.key, s.version, s.severity, s.organization_id, s.ticket_id,
                  f.id AS "finding?",
                  f.rule = s.rule AND f.organization_id = s.organization_id
                      AND f.subject_kind = s.subject_kind AND f.subject_id = s.subject_id
                      AND (f.key = s.key OR starts_with(f.key, s.key || '~'))
                      AND (f.count > 1 OR f.severity = s.severity AND f.inputs = s.inputs)
                      AND f.ticket_id IS NOT DISTINCT FROM s.ticket_id
                      AS "same?"
           FROM surveillance_finding s LEFT JOIN finding f ON f.id = s.finding_id
           WHERE NOT s.trial"#
    )
    .fetch_all(db)
    .await?;
    let mut all = BTreeMap::new();
    for row in rows {
        let key = format!("{}/{}/{}", row.rule, row.subject_id, row.key);
        match (row.finding, row.same) {
            (None, _) => {
                report.find(Code::RowMissing, "finding", key, None, "surveillance has made this finding");
            }
            (Some(id), same) if same != Some(true) => {
                let detail = format!("it differs from that of surveillance, {key}");
                report.find(Code::StateDiffers, "finding", id, None, detail);
            }
            _ => {}
        }
        let name = (row.rule, row.subject_kind, row.subject_id, row.key);
        all.insert(name, (row.version, row.severity, row.organization_id, row.ticket_id));
    }
    Ok(all)
}
