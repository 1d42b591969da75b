//! What buyers report about seals. A report is a row of its own; the reports of one code have one notice, which counts
//! them. The notice becomes a finding with a chain when an inspector opens it, else it goes with its reports.
//!
//! The organisation in question sees the finding once it is decided, and never when or where a report was made, or in
//! which words: it might take revenge. So the notice's id is random, and when it is opened it gets the time of that.

use super::chain::{self, EventContent};
use super::content::RecordedBy;
use super::observe::Named;
use super::row::{Finding, FindingState};
use super::rules::{CITIZEN_REPORT, Severity};
use super::write::{NewFinding, store};
use crate::base::error::{Error, FieldError, Location, Result};
use crate::base::geo::Position;
use crate::base::ids::{FindingId, OrganizationId, ReportId};
use crate::base::units::utc_text;
use crate::base::vocabulary::vocabulary;
use crate::evidence::chain::Tx;
use crate::timber::event::actor::Actor;
use crate::timber::event::types::FindingEventType;
use crate::timber::party::key::Caller;
use crate::timber::party::reader::Reader;
use chrono::{DateTime, TimeDelta, Utc};
use rust_decimal::Decimal;
use serde::Serialize;
use sqlx::PgExecutor;
use utoipa::ToSchema;

vocabulary! {
    /// What was wrong.
    pub enum Reported: "unknown-report" {
        /// The wood is of another species than the record says.
        WrongSpecies = "wrong_species",
        /// The measures are not those of the record.
        WrongSize = "wrong_size",
        /// The wood has no seal.
        NoSeal = "no_seal",
        /// The seal is broken or loose.
        BrokenSeal = "broken_seal",
        /// Anything else.
        Other = "other",
    }
}

/// A report.
pub struct Report<'a> {
    /// The code as read: the number of the seal, or the identification.
    pub code: &'a str,
    /// What it names, if it is registered.
    pub about: Option<Named>,
    /// What was wrong.
    pub what: Reported,
    /// In words; personal.
    pub text: Option<&'a str>,
    /// Where; personal.
    pub position: Option<Position>,
    /// How to reach the reporter; personal.
    pub contact: Option<&'a str>,
}

/// Whether a report was stored.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum Taken {
    /// It was.
    Stored,
    /// The code has as many reports of the last day as are stored; the time until the next is.
    Full(TimeDelta),
}

/// Stores a report. `per_code` is how many are stored for a code in 24 hours.
///
/// # Errors
/// From the database.
pub async fn add(tx: &mut Tx<'_>, report: &Report<'_>, per_code: i64, now: DateTime<Utc>) -> Result<Taken> {
    // Reports of one code wait for each other: they are counted, and the first of them makes the notice.
    sqlx::query!("SELECT pg_advisory_xact_lock(hashtextextended('report ' || $1, 0))", report.code)
        .execute(&mut **tx)
        .await?;
    let day = TimeDelta::days(1);
    let taken = sqlx::query!(
        r#"SELECT received_at FROM citizen_report WHERE code = $1 AND received_at > $2
           ORDER BY received_at DESC LIMIT $3"#,
        report.code,
        now - day,
        per_code
    )
    .fetch_all(&mut **tx)
    .await?;
    if i64::try_from(taken.len()).unwrap_or(i64::MAX) >= per_code {
        return Ok(Taken::Full(taken.last().map_or(day, |oldest| oldest.received_at + day - now)));
    }
    let finding = notice(tx, report, now).await?;
    let (lat, lon) = match report.position {
        Some(position) => (Some(position.lat().decimal()), Some(position.lon().decimal())),
        None => (None, None),
    };
    sqlx::query!(
        "INSERT INTO citizen_report (id, finding_id, code, what, text, lat, lon, contact, received_at)
         VALUES ($1, $2, $3, $4, $5, $6, $7, $8, $9)",
        ReportId::new().0,
        finding.0,
        report.code,
        report.what.as_str(),
        report.text,
        lat,
        lon,
        report.contact,
        now
    )
    .execute(&mut **tx)
    .await?;
    Ok(Taken::Stored)
}

/// The open notice of a code, with one report more, or a new one.
async fn notice(tx: &mut Tx<'_>, report: &Report<'_>, now: DateTime<Utc>) -> Result<FindingId> {
    let open = sqlx::query_scalar!(
        r#"UPDATE finding f SET count = f.count + 1
           WHERE f.rule = $2 AND f.state = 'new' AND f.superseded_at IS NULL
             AND f.id IN (SELECT finding_id FROM citizen_report WHERE code = $1)
           RETURNING f.id AS "id: FindingId""#,
        report.code,
        CITIZEN_REPORT.id
    )
    .fetch_optional(&mut **tx)
    .await?;
    if let Some(open) = open {
        return Ok(open);
    }
    let id = FindingId::random();
    let draft = CITIZEN_REPORT.found(Severity::Notice).input("what", report.what).about_named(report.about);
    let draft = draft.with_id(id).key(id);
    let ticket = report.about.and_then(|named| named.ticket);
    // No organisation recorded it; the draft says which one it questions.
    let nobody = OrganizationId(uuid::Uuid::nil());
    store(tx, nobody, vec![NewFinding { draft, log: None, ticket, party: None }], now).await?;
    Ok(id)
}

/// Opens the notice of a buyer's reports: it becomes a finding with a chain. Does nothing if it is open already.
///
/// # Errors
/// Not found. Conflict `not-a-report` for findings of other rules.
pub async fn open(tx: &mut Tx<'_>, caller: &Caller, act: &Actor, id: FindingId) -> Result<Finding> {
    let reader = Reader::from(caller);
    let locked = chain::lock(tx, reader, id).await?;
    if locked.row.rule != CITIZEN_REPORT.id {
        let detail = "Only buyers' reports are opened; other findings are explained and decided.";
        return Err(Error::Conflict(vec![FieldError::new(Location::body(), "not-a-report", detail)]));
    }
    if !locked.row.is_opened() {
        let by = RecordedBy::from(act);
        let content = EventContent::default();
        locked.record(tx, by, FindingEventType::Opened, FindingState::New, content).await.map(drop)?;
    }
    super::read::row(&mut **tx, reader, id).await?.view()
}

/// The texts of the reports of a notice, one a line, in order of receipt; the personal part of `opened`.
pub(super) async fn texts(db: impl PgExecutor<'_>, id: FindingId) -> Result<Option<String>> {
    let texts = sqlx::query_scalar!(
        r#"SELECT text AS "text!" FROM citizen_report WHERE finding_id = $1 AND text IS NOT NULL
           ORDER BY received_at, id"#,
        id.0
    )
    .fetch_all(db)
    .await?;
    Ok(Some(texts.join("\n")).filter(|text| !text.is_empty()))
}

/// A buyer's report, for inspectors.
#[derive(Clone, Debug, Serialize, ToSchema)]
pub struct ReportView {
    /// The code as read.
    pub code: String,
    /// What was wrong.
    pub what: Reported,
    /// In words; null once it was erased.
    pub text: Option<String>,
    /// Where it was.
    pub position: Option<Position>,
    /// How to reach the reporter.
    pub contact: Option<String>,
    /// When it was received; UTC with microseconds.
    #[schema(value_type = String, format = DateTime)]
    pub received_at: String,
}

/// Maximum number of reports in a response.
const MAX_REPORTS: i64 = 1_000;

/// The reports of a notice.
pub(super) async fn of_finding(db: impl PgExecutor<'_>, id: FindingId) -> Result<Vec<ReportView>> {
    let rows = sqlx::query!(
        r#"SELECT code, what AS "what: Reported", text, lat, lon, contact, received_at FROM citizen_report
           WHERE finding_id = $1 ORDER BY received_at, id LIMIT $2"#,
        id.0,
        MAX_REPORTS
    )
    .fetch_all(db)
    .await?;
    rows.into_iter()
        .map(|row| {
            let at = |(lat, lon): (Decimal, Decimal)| Position::from_decimals(lat, lon, None);
            let position = row.lat.zip(row.lon).map(at).transpose();
            let position = position.map_err(|_| Error::CorruptRow(format!("citizen_report of {id}")))?;
            let (code, what, text, contact) = (row.code, row.what, row.text, row.contact);
            Ok(ReportView { code, what, text, position, contact, received_at: utc_text(row.received_at) })
        })
        .collect()
}

/// Deletes reports from before `until` that no inspector has opened, and notices without reports. Returns how many
/// reports.
///
/// # Errors
/// From the database.
pub async fn delete_expired(tx: &mut Tx<'_>, until: DateTime<Utc>) -> Result<u64> {
    // The rows of the notices are locked, so that none is opened meanwhile.
    let notices = sqlx::query_scalar!(
        "SELECT id FROM finding f WHERE f.rule = $2 AND f.head_seq = 0 AND f.state = 'new'
           AND EXISTS (SELECT FROM citizen_report r WHERE r.finding_id = f.id AND r.received_at < $1)
         ORDER BY id FOR UPDATE",
        until,
        CITIZEN_REPORT.id
    )
    .fetch_all(&mut **tx)
    .await?;
    if notices.is_empty() {
        return Ok(0);
    }
    let reports = sqlx::query!(
        "DELETE FROM citizen_report WHERE finding_id = ANY($2) AND received_at < $1",
        until,
        &notices
    );
    let deleted = reports.execute(&mut **tx).await?.rows_affected();
    sqlx::query!(
        "DELETE FROM finding f WHERE f.id = ANY($1)
           AND NOT EXISTS (SELECT FROM citizen_report r WHERE r.finding_id = f.id)",
        &notices
    )
    .execute(&mut **tx)
    .await?;
    Ok(deleted)
}
