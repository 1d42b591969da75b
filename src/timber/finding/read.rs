//! Reading findings.

use super::row::{Finding, FindingRow, FindingState, finding_rows};
use super::rules::{RULES, Severity};
use crate::base::error::{Error, Result};
use crate::base::ids::{FindingId, LogId, OrganizationId, TicketId};
use crate::base::vocabulary::vocabulary;
use crate::evidence::chain::SubjectKind;
use crate::timber::party::reader::Reader;
use chrono::{DateTime, Utc};
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
    Time(FindingId),
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
    let (until, position) = match (order, after) {
        (FindingOrder::Time, Some(FindingCursor::Time(id))) => (None, (0, id.0)),
        (FindingOrder::Rank, Some(FindingCursor::Rank(until, rank, id))) => (Some(until), (rank, id.0)),
        (FindingOrder::Time, _) => (None, (0, Uuid::nil())),
        (FindingOrder::Rank, _) => (Some(now), (i32::MAX, Uuid::max())),
    };
    let rows = match order {
        FindingOrder::Time => {
            finding_rows!(
                "FROM finding f
                 WHERE ($1::uuid IS NULL OR f.organization_id = $1) AND ($2::text IS NULL OR f.rule = $2)
                   AND ($3::text IS NULL OR f.severity = $3) AND ($4::text IS NULL OR f.state = $4)
                   AND ($5::uuid IS NULL OR f.organization_id = $5)
                   AND ($6::uuid IS NULL OR f.log_id = $6 OR f.subject_id = $6
                        OR EXISTS (SELECT FROM finding_evidence e WHERE e.finding_id = f.id AND e.subject_id = $6))
                   AND ($7::uuid IS NULL OR f.ticket_id = $7 OR f.subject_id = $7)
                   AND ($8::timestamptz IS NULL OR f.created_at >= $8)
                   AND ($9::timestamptz IS NULL OR f.created_at < $9)
                   AND f.superseded_at IS NULL AND f.id > $10
                 ORDER BY f.id LIMIT $11",
                own,
                filter.rule.as_deref(),
                severity,
                state,
                organization,
                log,
                ticket,
                filter.from,
                filter.to,
                position.1,
                limit
            )
            .fetch_all(db)
            .await?
        }
        FindingOrder::Rank => {
            finding_rows!(
                "FROM finding f
                 WHERE ($1::uuid IS NULL OR f.organization_id = $1) AND ($2::text IS NULL OR f.rule = $2)
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
                until,
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
            let cursor = match until {
                None => FindingCursor::Time(row.id),
                Some(until) => FindingCursor::Rank(until, row.rank, row.id),
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
}

/// Maximum number of events in the evidence of a response.
const MAX_EVIDENCE: i64 = 1_000;

/// The row of a finding that the reader may see: the questioned organisation, or an inspector.
///
/// # Errors
/// Not found, also for a finding that the reader may not see; database errors.
pub async fn row(db: impl PgExecutor<'_>, reader: Reader, id: FindingId) -> Result<FindingRow> {
    let own = (!reader.inspector).then_some(reader.organization.0);
    finding_rows!("FROM finding f WHERE f.id = $1 AND ($2::uuid IS NULL OR f.organization_id = $2)", id.0, own)
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
    Ok(FindingDetail { finding: row.view()?, legal_basis, evidence })
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
