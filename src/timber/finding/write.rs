//! Stores the findings of the rules, in the transaction of the record that they are about.

use super::rules::Draft;
use crate::base::error::Result;
use crate::base::ids::{FindingId, LogId, OrganizationId, TicketId};
use crate::evidence::chain::Tx;
use chrono::{DateTime, Utc};
use serde::Serialize;
use utoipa::ToSchema;
use uuid::Uuid;

/// A finding of a rule, and the records that it is about.
#[derive(Clone, Debug)]
pub struct NewFinding {
    /// The finding.
    pub draft: Draft,
    /// The log and the seq of its event, if the finding is about an event of a log.
    pub log: Option<(LogId, u32)>,
    /// The ticket, if it is about one.
    pub ticket: Option<TicketId>,
    /// The organisation that the finding is about. By default this is the organisation that records the
    /// event; for an inspection it is the log's holder.
    pub party: Option<OrganizationId>,
}

/// A finding, as returned to the client.
#[derive(Clone, Debug, Serialize, ToSchema)]
#[schema(as = FindingSummary)]
pub struct Finding {
    /// Its id.
    pub id: FindingId,
    /// The rule, as in `docs/DOMAIN.md`.
    pub rule: String,
    /// The rule's version.
    pub version: i16,
    /// `notice`, `warning` or `serious`.
    pub severity: String,
    /// The log it is about.
    pub log: Option<LogId>,
    /// The felling ticket it is about.
    pub ticket: Option<TicketId>,
    /// One sentence with the figures.
    pub detail: String,
    /// When the finding was made.
    #[schema(value_type = String, format = DateTime)]
    #[serde(serialize_with = "crate::base::units::serialize_utc")]
    pub created_at: DateTime<Utc>,
}

/// Stores findings in one round trip, and returns them for the response. A finding without `party` is about
/// `organization`.
pub async fn store(
    tx: &mut Tx<'_>,
    organization: OrganizationId,
    findings: Vec<NewFinding>,
    now: DateTime<Utc>,
) -> Result<Vec<Finding>> {
    if findings.is_empty() {
        return Ok(Vec::new());
    }
    let parties: Vec<Uuid> = findings.iter().map(|one| one.party.unwrap_or(organization).0).collect();
    let (seqs, findings): (Vec<Option<i32>>, Vec<Finding>) = findings
        .into_iter()
        .map(|one| {
            let seq = one.log.and_then(|(_, seq)| i32::try_from(seq).ok());
            let finding = Finding {
                id: FindingId::new(),
                rule: one.draft.rule.to_owned(),
                version: i16::try_from(one.draft.version).unwrap_or(i16::MAX),
                severity: one.draft.severity.as_str().to_owned(),
                log: one.log.map(|(log, _)| log),
                ticket: one.ticket,
                detail: one.draft.detail,
                created_at: now,
            };
            (seq, finding)
        })
        .unzip();
    let ids: Vec<Uuid> = findings.iter().map(|finding| finding.id.0).collect();
    let rules: Vec<&str> = findings.iter().map(|finding| finding.rule.as_str()).collect();
    let versions: Vec<i16> = findings.iter().map(|finding| finding.version).collect();
    let severities: Vec<&str> = findings.iter().map(|finding| finding.severity.as_str()).collect();
    let logs: Vec<Option<Uuid>> = findings.iter().map(|finding| finding.log.map(|log| log.0)).collect();
    let tickets: Vec<Option<Uuid>> =
        findings.iter().map(|finding| finding.ticket.map(|ticket| ticket.0)).collect();
    let details: Vec<&str> = findings.iter().map(|finding| finding.detail.as_str()).collect();
    sqlx::query!(
        "INSERT INTO finding (id, rule, version, severity, organization_id, ticket_id, log_id, log_seq, detail, created_at)
         SELECT id, rule, version, severity, party, ticket, log, seq, detail, $10
         FROM UNNEST($1::uuid[], $2::text[], $3::smallint[], $4::text[], $5::uuid[], $6::uuid[], $7::int[], $8::text[],
                     $9::uuid[])
              AS new (id, rule, version, severity, ticket, log, seq, detail, party)",
        &ids,
        &rules as &[&str],
        &versions,
        &severities as &[&str],
        &tickets as &[Option<Uuid>],
        &logs as &[Option<Uuid>],
        &seqs as &[Option<i32>],
        &details as &[&str],
        &parties,
        now
    )
    .execute(&mut **tx)
    .await?;
    Ok(findings)
}

/// The findings made when a harvest was recorded.
pub async fn of_harvest(
    db: impl sqlx::PgExecutor<'_>,
    harvest: crate::base::ids::HarvestId,
    received_at: DateTime<Utc>,
) -> Result<Vec<Finding>> {
    let findings = sqlx::query_as!(
        Finding,
        r#"SELECT f.id AS "id: FindingId", f.rule, f.version, f.severity, f.log_id AS "log: LogId",
                  f.ticket_id AS "ticket: TicketId", f.detail, f.created_at
           FROM finding f JOIN harvest h ON h.id = $1 AND f.organization_id = h.organization_id
           WHERE f.created_at = $2 AND f.ticket_id = h.ticket_id ORDER BY f.id"#,
        harvest.0,
        received_at
    )
    .fetch_all(db)
    .await?;
    Ok(findings)
}

/// The findings about the given events of logs.
pub async fn of_events(db: impl sqlx::PgExecutor<'_>, logs: &[Uuid], seqs: &[i32]) -> Result<Vec<Finding>> {
    let findings = sqlx::query_as!(
        Finding,
        r#"SELECT f.id AS "id: FindingId", f.rule, f.version, f.severity, f.log_id AS "log: LogId",
                  f.ticket_id AS "ticket: TicketId", f.detail, f.created_at
           FROM finding f JOIN UNNEST($1::uuid[], $2::int[]) AS made (id, seq)
             ON f.log_id = made.id AND f.log_seq = made.seq
           ORDER BY f.id"#,
        logs,
        seqs
    )
    .fetch_all(db)
    .await?;
    Ok(findings)
}
