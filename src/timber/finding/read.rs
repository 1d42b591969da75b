//! Reading findings.

use super::rules::Severity;
use crate::base::error::Result;
use crate::base::ids::{FindingId, LogId, TicketId};
use crate::timber::party::reader::Reader;
use serde::Serialize;
use sqlx::PgExecutor;
use utoipa::ToSchema;
use uuid::Uuid;

/// A finding, as returned to the client.
#[derive(Clone, Debug, Serialize, ToSchema)]
#[schema(as = Finding)]
pub struct FindingView {
    /// Its id.
    pub id: FindingId,
    /// The rule, listed in `docs/DOMAIN.md`.
    #[schema(example = "L6")]
    pub rule: String,
    /// The rule's version.
    pub version: i16,
    /// How much attention it needs.
    pub severity: Severity,
    /// The log it is about.
    pub log: Option<LogId>,
    /// The seq of the log's event that caused the finding.
    pub seq: Option<i32>,
    /// The felling ticket it is about.
    pub ticket: Option<TicketId>,
    /// One sentence with the figures.
    pub detail: String,
    /// When the finding was made; UTC with microseconds.
    #[schema(value_type = String, format = DateTime)]
    pub created_at: String,
}

/// A page of findings in order of creation: those about the reader's own records, or all for an inspector.
/// One round trip.
///
/// # Errors
/// Database errors.
pub async fn list(
    db: impl PgExecutor<'_>,
    reader: Reader,
    after: Option<FindingId>,
    limit: i64,
) -> Result<Vec<FindingView>> {
    let organization = (!reader.inspector).then_some(reader.organization.0);
    let rows = sqlx::query!(
        r#"SELECT id AS "id: FindingId", rule, version, severity AS "severity: Severity", log_id AS "log: LogId",
                  log_seq, ticket_id AS "ticket: TicketId", detail, created_at
           FROM finding
           WHERE ($1::uuid IS NULL OR organization_id = $1) AND id > $2
           ORDER BY id LIMIT $3"#,
        organization,
        after.map_or(Uuid::nil(), |id| id.0),
        limit
    )
    .fetch_all(db)
    .await?;
    let views = rows.into_iter().map(|row| FindingView {
        id: row.id,
        rule: row.rule,
        version: row.version,
        severity: row.severity,
        log: row.log,
        seq: row.log_seq,
        ticket: row.ticket,
        detail: row.detail,
        created_at: crate::base::units::utc_text(row.created_at),
    });
    Ok(views.collect())
}
