//! Reading findings.

use super::content::{FindingPersonal, ObservationPart, RecordPart};
use super::observe::ObservationKind;
use super::report::{self, ReportView};
use super::row::{Finding, FindingRow, FindingState, finding_rows};
use super::rules::{CITIZEN_REPORT, OBSERVATION, RULES, Severity};
use crate::base::error::{Error, Result};
use crate::base::geo::Position;
use crate::base::ids::{FindingId, LogId, OrganizationId, TicketId};
use crate::base::units::{Volume, utc_text};
use crate::base::vocabulary::vocabulary;
use crate::evidence::chain::SubjectKind;
use crate::timber::event::types::FindingEventType;
use crate::timber::party::reader::Reader;
use chrono::{DateTime, NaiveDate, Utc};
use serde::{Deserialize, Serialize};
use sqlx::PgExecutor;
use utoipa::ToSchema;
use uuid::Uuid;

vocabulary! {
    /// The order of a list of findings.
    pub enum FindingOrder: "unknown-order" {
        /// In order of creation; the default.
        Time = "time",
        /// Those that an inspector should look at first: by severity, then by score, volume at stake and repetition.
        Rank = "rank",
    }
}

/// The filters of a list of findings; an absent filter matches every finding.
#[derive(Clone, Debug, Default)]
pub struct FindingFilter {
    /// Of this rule.
    pub rule: Option<String>,
    /// Of this severity.
    pub severity: Option<Severity>,
    /// In this state.
    pub state: Option<FindingState>,
    /// Questioning this organisation.
    pub organization: Option<OrganizationId>,
    /// About this log, or shown by one of its events.
    pub log: Option<LogId>,
    /// About this felling ticket, or about a log of it.
    pub ticket: Option<TicketId>,
    /// Made at this time or later.
    pub from: Option<DateTime<Utc>>,
    /// Made before this time.
    pub to: Option<DateTime<Utc>>,
}

/// The position of a finding in a list; the content of a page cursor. A list in the order of rank consists of the
/// findings that existed when its first page was read.
#[derive(Clone, Copy, Debug, PartialEq, Eq, Serialize, Deserialize)]
pub enum FindingCursor {
    /// In order of creation.
    Time(DateTime<Utc>, FindingId),
    /// In the order of rank, of the findings made until this time.
    Rank(DateTime<Utc>, i32, FindingId),
}

/// A finding in a list, with its position.
#[derive(Clone, Debug)]
pub struct ListedFinding {
    /// Its position.
    pub cursor: FindingCursor,
    /// The finding.
    pub finding: Finding,
}

/// A page of findings: those that question the reader, or all for an inspector. One round trip. `after` has the order
/// of the list. Findings that a newer version of their rule no longer makes are left out.
///
/// # Errors
/// Database errors.
pub async fn list(
    db: impl PgExecutor<'_>,
    reader: Reader,
    filter: &FindingFilter,
    order: FindingOrder,
    after: Option<FindingCursor>,
    (limit, now): (i64, DateTime<Utc>),
) -> Result<Vec<ListedFinding>> {
    let own = (!reader.inspector).then_some(reader.organization.0);
    let (log, ticket) = (filter.log.map(|id| id.0), filter.ticket.map(|id| id.0));
    let organization = filter.organization.map(|id| id.0);
    let severity = filter.severity.map(Severity::as_str);
    let state = filter.state.map(FindingState::as_str);
    // Rows with a time after this one in the order of time, until this one in the order of rank.
    let (time, position) = match (order, after) {
        (FindingOrder::Time, Some(FindingCursor::Time(at, id))) => (at, (0, id.0)),
        (FindingOrder::Rank, Some(FindingCursor::Rank(until, rank, id))) => (until, (rank, id.0)),
        (FindingOrder::Time, _) => (DateTime::UNIX_EPOCH, (0, Uuid::nil())),
        (FindingOrder::Rank, _) => (now, (i32::MAX, Uuid::max())),
    };
    let rows = match order {
        FindingOrder::Time => {
            finding_rows!(
                "FROM finding f
                 WHERE ($1::uuid IS NULL
                        OR f.organization_id = $1 AND (f.rule <> 'citizen-report' OR f.state <> 'new')) AND ($2::text IS NULL OR f.rule = $2)
                   AND ($3::text IS NULL OR f.severity = $3) AND ($4::text IS NULL OR f.state = $4)
                   AND ($5::uuid IS NULL OR f.organization_id = $5)
                   AND ($6::uuid IS NULL OR f.log_id = $6 OR f.subject_id = $6
                        OR EXISTS (SELECT FROM finding_evidence e WHERE e.finding_id = f.id AND e.subject_id = $6))
                   AND ($7::uuid IS NULL OR f.ticket_id = $7 OR f.subject_id = $7)
                   AND ($8::timestamptz IS NULL OR f.created_at >= $8)
                   AND ($9::timestamptz IS NULL OR f.created_at < $9)
                   AND f.superseded_at IS NULL AND (f.created_at, f.id) > ($10, $11)
                 ORDER BY f.created_at, f.id LIMIT $12",
                own,
                filter.rule.as_deref(),
                severity,
                state,
                organization,
                log,
                ticket,
                filter.from,
                filter.to,
                time,
                position.1,
                limit
            )
            .fetch_all(db)
            .await?
        }
        FindingOrder::Rank => {
            finding_rows!(
                "FROM finding f
                 WHERE ($1::uuid IS NULL
                        OR f.organization_id = $1 AND (f.rule <> 'citizen-report' OR f.state <> 'new')) AND ($2::text IS NULL OR f.rule = $2)
                   AND ($3::text IS NULL OR f.severity = $3) AND ($4::text IS NULL OR f.state = $4)
                   AND ($5::uuid IS NULL OR f.organization_id = $5)
                   AND ($6::uuid IS NULL OR f.log_id = $6 OR f.subject_id = $6
                        OR EXISTS (SELECT FROM finding_evidence e WHERE e.finding_id = f.id AND e.subject_id = $6))
                   AND ($7::uuid IS NULL OR f.ticket_id = $7 OR f.subject_id = $7)
                   AND ($8::timestamptz IS NULL OR f.created_at >= $8)
                   AND ($9::timestamptz IS NULL OR f.created_at < $9)
                   AND f.superseded_at IS NULL AND f.created_at <= $10 AND (f.rank, f.id) < ($11, $12)
                 ORDER BY f.rank DESC, f.id DESC LIMIT $13",
                own,
                filter.rule.as_deref(),
                severity,
                state,
                organization,
                log,
                ticket,
                filter.from,
                filter.to,
                time,
                position.0,
                position.1,
                limit
            )
            .fetch_all(db)
            .await?
        }
    };
    rows.into_iter()
        .map(|row| {
            let cursor = match order {
                FindingOrder::Time => FindingCursor::Time(row.created_at, row.id),
                FindingOrder::Rank => FindingCursor::Rank(time, row.rank, row.id),
            };
            Ok(ListedFinding { cursor, finding: row.view()? })
        })
        .collect()
}

/// An event from which a finding was concluded.
#[derive(Clone, Copy, Debug, Serialize, ToSchema)]
pub struct EvidenceView {
    /// The subject of its chain.
    pub subject: super::row::SubjectView,
    /// Its seq.
    pub seq: i32,
}

/// A finding with everything that is known about it.
#[derive(Clone, Debug, Serialize, ToSchema)]
pub struct FindingDetail {
    /// The finding.
    #[serde(flatten)]
    pub finding: Finding,
    /// The law on which its rule is based, if one is known.
    pub legal_basis: Option<&'static str>,
    /// The events from which it was concluded; at most the first 1,000.
    pub evidence: Vec<EvidenceView>,
    /// What the questioned organisation said, in order.
    pub explanations: Vec<ExplanationView>,
    /// What inspectors decided, in order; the last one stands.
    pub decisions: Vec<DecisionView>,
    /// What an inspector observed, if that is how the finding was made.
    pub observation: Option<ObservationView>,
    /// The reports of buyers, for inspectors; at most the first 1,000.
    pub reports: Vec<ReportView>,
}

/// What an inspector observed. Text, plate and photos are for inspectors.
#[derive(Clone, Debug, Serialize, ToSchema)]
pub struct ObservationView {
    /// What.
    pub what: ObservationKind,
    /// When, with the offset that was sent.
    #[schema(value_type = String, format = DateTime)]
    pub occurred_at: String,
    /// Where.
    pub position: Option<Position>,
    /// The code that was read.
    pub code: Option<String>,
    /// Volume of the wood.
    pub volume_m3: Option<Volume>,
    /// In words; null for others than inspectors, and once it was erased.
    pub text: Option<String>,
    /// Registration number of the vehicle.
    pub plate: Option<String>,
    /// The photos.
    pub photos: Vec<PhotoView>,
}

/// A photo of an observation.
#[derive(Clone, Debug, Serialize, ToSchema)]
pub struct PhotoView {
    /// SHA-256 of the file, in hexadecimal digits: `GET /v1/photos/{sha256}`.
    pub sha256: String,
    /// When it was taken; UTC with microseconds.
    #[schema(value_type = String, format = DateTime)]
    pub taken_at: String,
}

/// What the questioned organisation said.
#[derive(Clone, Debug, Serialize, ToSchema)]
pub struct ExplanationView {
    /// Seq of its event in the finding's chain.
    pub seq: i32,
    /// When it was received; UTC with microseconds.
    #[schema(value_type = String, format = DateTime)]
    pub at: String,
    /// The organisation.
    pub organization: OrganizationId,
    /// The text; null once it was erased.
    pub text: Option<String>,
    /// Whether it asks for another decision.
    pub appeal: bool,
}

/// What an inspector decided.
#[derive(Clone, Debug, Serialize, ToSchema)]
pub struct DecisionView {
    /// Seq of its event in the finding's chain.
    pub seq: i32,
    /// When it was received; UTC with microseconds.
    #[schema(value_type = String, format = DateTime)]
    pub at: String,
    /// The organisation of the inspector.
    pub organization: OrganizationId,
    /// The state since.
    pub state: FindingState,
    /// Why; null once it was erased.
    pub reason: Option<String>,
    /// The official who decided, for inspectors.
    pub official: Option<OfficialView>,
    /// Whether the same request stopped the log or ticket.
    pub hold: bool,
    /// The official record.
    pub act: Option<ActView>,
}

/// An official record (act, protocol).
#[derive(Clone, Debug, Serialize, ToSchema)]
#[schema(as = FindingAct)]
pub struct ActView {
    /// Its number.
    pub number: String,
    /// Its day.
    pub date: NaiveDate,
}

/// An official.
#[derive(Clone, Debug, Serialize, ToSchema)]
#[schema(as = FindingOfficial)]
pub struct OfficialView {
    /// Name.
    pub name: String,
    /// Post.
    pub post: Option<String>,
}

/// Maximum number of events in the evidence of a response.
const MAX_EVIDENCE: i64 = 1_000;

/// The row of a finding that the reader may see: the questioned organisation, or an inspector.
///
/// # Errors
/// Not found, also for a finding that the reader may not see; database errors.
pub async fn row(db: impl PgExecutor<'_>, reader: Reader, id: FindingId) -> Result<FindingRow> {
    let own = (!reader.inspector).then_some(reader.organization.0);
    finding_rows!(
        "FROM finding f
         WHERE f.id = $1 AND ($2::uuid IS NULL
             OR f.organization_id = $2 AND (f.rule <> 'citizen-report' OR f.state <> 'new'))",
        id.0,
        own
    )
    .fetch_optional(db)
    .await?
    .ok_or(Error::NotFound)
}

/// A finding with its evidence.
///
/// # Errors
/// As for [`row`].
pub async fn get(db: &mut sqlx::PgConnection, reader: Reader, id: FindingId) -> Result<FindingDetail> {
    let row = row(&mut *db, reader, id).await?;
    let evidence = evidence(&mut *db, id).await?;
    let legal_basis = RULES.iter().find(|rule| rule.id == row.rule).and_then(|rule| rule.legal_basis);
    let (explanations, decisions) =
        if row.is_opened() { said(&mut *db, reader, id).await? } else { (vec![], vec![]) };
    let observation =
        if row.rule == OBSERVATION.id { observation(&mut *db, reader, id).await? } else { None };
    let reports = if row.rule == CITIZEN_REPORT.id && reader.inspector {
        report::of_finding(&mut *db, id).await?
    } else {
        vec![]
    };
    let finding = row.view()?;
    Ok(FindingDetail { finding, legal_basis, evidence, explanations, decisions, observation, reports })
}

/// What the first event of an observation's chain says.
async fn observation(
    db: impl PgExecutor<'_>,
    reader: Reader,
    id: FindingId,
) -> Result<Option<ObservationView>> {
    #[derive(Deserialize)]
    struct Members {
        observed: Option<ObservationPart>,
    }
    let row = sqlx::query!(
        r#"SELECT e.business, p.text AS "personal?", t.text AS "long?"
           FROM event e LEFT JOIN personal p ON p.id = e.personal_id
           LEFT JOIN finding_text t ON t.finding_id = e.subject_id AND t.seq = e.seq
           WHERE e.subject_id = $1 AND e.seq = 1"#,
        id.0
    );
    let Some(row) = row.fetch_optional(db).await? else { return Ok(None) };
    let corrupt = |_| Error::CorruptRow(format!("event 1 of {id}"));
    let Some(seen) = serde_json::from_str::<Members>(&row.business).map_err(corrupt)?.observed else {
        return Ok(None);
    };
    let personal = row.personal.filter(|_| reader.inspector);
    let personal = personal.as_deref().map(serde_json::from_str::<FindingPersonal>).transpose();
    let personal = personal.map_err(corrupt)?;
    let text = personal.as_ref().and_then(|part| part.text.clone().or(row.long));
    let FindingPersonal { plate, photos, .. } = personal.unwrap_or_default();
    let photos = photos
        .into_iter()
        .map(|photo| PhotoView { sha256: photo.sha256.to_string(), taken_at: photo.taken_at });
    let position = seen.position.map(|at| Position::new(at.lat, at.lon, at.accuracy_m));
    Ok(Some(ObservationView {
        what: seen.what,
        occurred_at: seen.occurred.moment().to_string(),
        position,
        code: seen.code,
        volume_m3: seen.volume_m3,
        text,
        plate,
        photos: photos.collect(),
    }))
}

/// The members of an event's parts that explanations and decisions show.
#[derive(Deserialize)]
struct Said {
    organization: OrganizationId,
    #[serde(default)]
    appeal: bool,
    #[serde(default)]
    hold: bool,
    act: Option<RecordPart>,
}

/// The explanations and decisions of a finding.
async fn said(
    db: impl PgExecutor<'_>,
    reader: Reader,
    id: FindingId,
) -> Result<(Vec<ExplanationView>, Vec<DecisionView>)> {
    let rows = sqlx::query!(
        r#"SELECT e.seq, e.type AS event_type, e.received_at, e.public, e.business, p.text AS "personal?", t.text AS "long?"
           FROM event e LEFT JOIN personal p ON p.id = e.personal_id
           LEFT JOIN finding_text t ON t.finding_id = e.subject_id AND t.seq = e.seq
           WHERE e.subject_id = $1 AND e.type IN ('explained', 'decided') ORDER BY e.seq"#,
        id.0
    )
    .fetch_all(db)
    .await?;
    let (mut explanations, mut decisions) = (Vec::new(), Vec::new());
    for row in rows {
        let corrupt = |_| Error::CorruptRow(format!("event {} of {id}", row.seq));
        let said: Said = serde_json::from_str(&row.business).map_err(corrupt)?;
        let personal = row.personal.as_deref().map(serde_json::from_str::<FindingPersonal>);
        let personal = personal.transpose().map_err(corrupt)?;
        // The long text is shown only while the personal part that has its digest is there.
        let text = personal.as_ref().and_then(|part| part.text.clone().or(row.long));
        let (seq, at, organization) = (row.seq, utc_text(row.received_at), said.organization);
        if row.event_type == FindingEventType::Explained.as_str() {
            explanations.push(ExplanationView { seq, at, organization, text, appeal: said.appeal });
            continue;
        }
        let public: StateMember = serde_json::from_str(&row.public).map_err(corrupt)?;
        let official = personal
            .filter(|_| reader.inspector)
            .and_then(|part| part.name.map(|name| OfficialView { name, post: part.post }));
        let (state, hold) = (public.state, said.hold);
        let act = said.act.map(|act| ActView { number: act.number, date: act.date });
        decisions.push(DecisionView { seq, at, organization, state, reason: text, official, hold, act });
    }
    Ok((explanations, decisions))
}

#[derive(Deserialize)]
struct StateMember {
    state: FindingState,
}

async fn evidence(db: impl PgExecutor<'_>, id: FindingId) -> Result<Vec<EvidenceView>> {
    let rows = sqlx::query!(
        "SELECT subject_kind, subject_id, seq FROM finding_evidence WHERE finding_id = $1
         ORDER BY added_at, subject_id, seq LIMIT $2",
        id.0,
        MAX_EVIDENCE
    )
    .fetch_all(db)
    .await?;
    rows.into_iter()
        .map(|row| {
            let kind = u8::try_from(row.subject_kind).ok().and_then(SubjectKind::from_byte);
            let corrupt = || Error::CorruptRow(format!("finding_evidence.subject_kind of {id}"));
            let subject =
                super::row::SubjectView { kind: kind.ok_or_else(corrupt)?.name(), id: row.subject_id };
            Ok(EvidenceView { subject, seq: row.seq })
        })
        .collect()
}
