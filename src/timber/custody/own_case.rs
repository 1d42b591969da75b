//! No organisation decides in its own case: an inspector does not release, correct or confirm timber in which its own
//! organisation has or had a part.

use super::log::write::LockedLog;
use crate::base::error::{Error, Result};
use crate::base::ids::{LogId, OrganizationId, TicketId};
use crate::evidence::chain::Tx;

/// Refuses a decision of `inspector` on these logs if it takes part in one of them: as present or former holder or
/// owner, as carrier, as a side of a pending transfer, or as issuer or holder of the felling ticket.
///
/// # Errors
/// [`Error::OwnCase`].
pub async fn refuse_logs<'l>(
    tx: &mut Tx<'_>,
    inspector: OrganizationId,
    logs: impl Iterator<Item = &'l LockedLog>,
) -> Result<()> {
    let mut ids = Vec::new();
    for log in logs {
        if log.state.concerns(inspector) || log.issuer == inspector {
            return Err(Error::own_case());
        }
        ids.push(log.id.0);
    }
    let takes_part = sqlx::query_scalar!(
        r#"SELECT EXISTS (SELECT FROM past_party WHERE log_id = ANY($1) AND organization_id = $2)
               OR EXISTS (SELECT FROM log JOIN felling_ticket t ON t.id = log.ticket_id
                          WHERE log.id = ANY($1) AND t.holder_id = $2) AS "takes_part!""#,
        &ids,
        inspector.0
    )
    .fetch_one(&mut **tx)
    .await?;
    if takes_part { Err(Error::own_case()) } else { Ok(()) }
}

/// Whether `organization` takes part in a log, or issued or holds a ticket: for decisions on findings about them.
///
/// # Errors
/// From the database.
pub async fn takes_part(
    tx: &mut Tx<'_>,
    organization: OrganizationId,
    log: Option<LogId>,
    ticket: Option<TicketId>,
) -> Result<bool> {
    let takes_part = sqlx::query_scalar!(
        r#"SELECT EXISTS (SELECT FROM log WHERE id = $2 AND ($1 = ANY(ARRAY[holder_id, owner_id, carrier_id,
                                                                            pending_from, pending_to, issuer_id])))
               OR EXISTS (SELECT FROM past_party WHERE log_id = $2 AND organization_id = $1)
               OR EXISTS (SELECT FROM felling_ticket t
                          WHERE (t.id = $3 OR t.id = (SELECT ticket_id FROM log WHERE id = $2))
                            AND $1 IN (t.issuer_id, t.holder_id)) AS "takes_part!""#,
        organization.0,
        log.map(|log| log.0),
        ticket.map(|ticket| ticket.0)
    )
    .fetch_one(&mut **tx)
    .await?;
    Ok(takes_part)
}
