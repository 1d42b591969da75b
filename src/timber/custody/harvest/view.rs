//! A harvest as clients see it: recorded, or only rehearsed in a dry run.

use crate::base::error::{Error, Result};
use crate::base::ids::{HarvestId, LogId, OperationId, TicketId};
use crate::base::units::serialize_utc;
use crate::evidence::chain::{Hash, Tx};
use crate::timber::finding::message::FindingMessage;
use crate::timber::finding::rules::Severity;
use crate::timber::finding::write::Finding;
use crate::timber::party::key::Caller;
use crate::timber::party::role::Role;
use crate::timber::seal::marking_code::MarkingCode;
use crate::timber::seal::number::SealNumber;
use crate::timber::ticket::{self, TicketView};
use chrono::{DateTime, Utc};
use serde::Serialize;
use sqlx::PgExecutor;
use utoipa::ToSchema;

/// A log or stack that a harvest created.
#[derive(Clone, Debug, Serialize, ToSchema)]
pub struct HarvestedLog {
    /// Its id.
    pub id: LogId,
    /// The seal hammered into it.
    #[schema(value_type = String)]
    pub seal_number: SealNumber,
    /// That seal's marking code.
    #[schema(value_type = String)]
    pub marking_code: MarkingCode,
    /// Seq of its first event.
    pub seq: u32,
    /// That event's hash.
    pub hash: Hash,
}

/// A harvest, as returned to the client.
#[derive(Clone, Debug, Serialize, ToSchema)]
pub struct Harvest {
    /// Its id.
    pub id: HarvestId,
    /// The request's operation id.
    pub operation_id: OperationId,
    /// When the server received it.
    #[schema(value_type = String, format = DateTime)]
    #[serde(serialize_with = "serialize_utc")]
    pub received_at: DateTime<Utc>,
    /// The logs that the harvest created, in the order of the request.
    pub logs: Vec<HarvestedLog>,
    /// The ticket with its remaining volumes.
    pub ticket: TicketView,
    /// Findings: what looked unusual.
    pub findings: Vec<Finding>,
}

/// The result of a rehearsed harvest: the response of a real one, without the members that exist only once it
/// is stored (ids, hashes, times).
#[derive(Clone, Debug, Serialize, ToSchema)]
pub struct Rehearsal {
    /// Always true: nothing was stored.
    #[schema(example = true)]
    pub rehearsal: bool,
    /// The logs that would be made, in the order of the request.
    pub logs: Vec<RehearsedLog>,
    /// The ticket as it would be after the harvest, with its remaining volumes.
    pub ticket: TicketView,
    /// Findings: what looks unusual.
    pub findings: Vec<RehearsedFinding>,
}

/// A log or stack of a rehearsed harvest.
#[derive(Clone, Debug, Serialize, ToSchema)]
pub struct RehearsedLog {
    /// The seal.
    #[schema(value_type = String)]
    pub seal_number: SealNumber,
    /// That seal's marking code.
    #[schema(value_type = String)]
    pub marking_code: MarkingCode,
}

/// A finding that a harvest would have.
#[derive(Clone, Debug, Serialize, ToSchema)]
pub struct RehearsedFinding {
    /// The rule, as in `docs/DOMAIN.md`.
    pub rule: String,
    /// The rule's version.
    pub version: i16,
    /// How much attention it needs.
    pub severity: Severity,
    /// The seal of the log that the finding is about; null if the finding is about the ticket.
    #[schema(value_type = Option<String>)]
    pub seal_number: Option<SealNumber>,
    /// One English sentence with the figures.
    pub detail: String,
    /// The sentence in each language.
    pub message: FindingMessage,
}

impl From<Harvest> for Rehearsal {
    fn from(harvest: Harvest) -> Self {
        let seal_of =
            |id: LogId| harvest.logs.iter().find(|log| log.id == id).map(|log| log.seal_number.clone());
        let findings = harvest.findings.iter().map(|finding| RehearsedFinding {
            rule: finding.rule.clone(),
            version: finding.version,
            severity: finding.severity,
            seal_number: finding.log.and_then(seal_of),
            detail: finding.detail.clone(),
            message: finding.message.clone(),
        });
        let findings = findings.collect();
        let logs = harvest
            .logs
            .into_iter()
            .map(|log| RehearsedLog { seal_number: log.seal_number, marking_code: log.marking_code });
        Self { rehearsal: true, logs: logs.collect(), ticket: harvest.ticket, findings }
    }
}

/// Whether `caller` may see a harvest: the enterprise that recorded it, the issuer of its ticket, and
/// inspectors may.
pub async fn is_visible(db: impl PgExecutor<'_>, caller: &Caller, id: HarvestId) -> Result<bool> {
    let seen = sqlx::query_scalar!(
        r#"SELECT (h.organization_id = $2 OR t.issuer_id = $2 OR $3) AS "seen!"
           FROM harvest h JOIN felling_ticket t ON t.id = h.ticket_id WHERE h.id = $1"#,
        id.0,
        caller.organization.0,
        caller.is(Role::Inspector)
    )
    .fetch_optional(db)
    .await?;
    Ok(seen == Some(true))
}

/// A harvest as recorded. The caller of this function checks access with [`is_visible`].
pub async fn view(tx: &mut Tx<'_>, id: HarvestId, now: DateTime<Utc>) -> Result<Option<Harvest>> {
    let Some(row) =
        sqlx::query!("SELECT ticket_id, operation_id, received_at FROM harvest WHERE id = $1", id.0)
            .fetch_optional(&mut **tx)
            .await?
    else {
        return Ok(None);
    };
    let logs = logs_of(&mut **tx, id).await?;
    let ticket = ticket::view(tx, TicketId(row.ticket_id), now).await?;
    let findings = crate::timber::finding::write::of_harvest(&mut **tx, id, row.received_at).await?;
    let (operation_id, received_at) = (row.operation_id.into(), row.received_at);
    Ok(Some(Harvest { id, operation_id, received_at, logs, ticket, findings }))
}

/// The logs that a harvest created, in the order of its request, which is also the order of their ids.
async fn logs_of(db: impl PgExecutor<'_>, harvest: HarvestId) -> Result<Vec<HarvestedLog>> {
    let rows = sqlx::query!(
        r#"SELECT log.id, s.seal_number AS "seal_number: SealNumber", seal.marking_code AS "marking_code: MarkingCode",
                  event.hash
           FROM log
           JOIN log_seal s ON s.log_id = log.id AND s.from_seq = 1
           JOIN seal ON seal.number = s.seal_number
           JOIN event ON event.subject_id = log.id AND event.seq = 1
           WHERE log.harvest_id = $1 ORDER BY log.id"#,
        harvest.0
    )
    .fetch_all(db)
    .await?;
    rows.into_iter()
        .map(|row| {
            let hash = Hash::from_slice(&row.hash)
                .ok_or_else(|| Error::CorruptRow(format!("event.hash of {}/1", row.id)))?;
            let (id, seal_number, marking_code) = (row.id.into(), row.seal_number, row.marking_code);
            Ok(HarvestedLog { id, seal_number, marking_code, seq: 1, hash })
        })
        .collect()
}
