//! Extends and cancels a felling ticket. Only its issuer may do so.

use super::content::{Changed, TicketPublic, texts};
use super::lock::LockedTicket;
use crate::base::error::{Error, FieldError, Location, Result};
use crate::base::ids::TicketId;
use crate::base::units::{LocalDate, Text};
use crate::evidence::chain::Tx;
use crate::evidence::chain::{Draft, append};
use crate::timber::event::actor::Actor;
use crate::timber::event::types::TicketEventType;
use crate::timber::party::key::Caller;
use crate::timber::party::role::Role;

/// A change of a ticket.
#[derive(Clone, Debug)]
pub enum Change {
    /// Later dates; at least one of them.
    Extend {
        /// New last day of felling.
        felling_until: Option<LocalDate>,
        /// New last day of removal.
        removal_until: Option<LocalDate>,
    },
    /// Ends the permission to fell.
    Cancel,
}

impl Change {
    fn event_type(&self) -> TicketEventType {
        match self {
            Self::Extend { .. } => TicketEventType::Extended,
            Self::Cancel => TicketEventType::Cancelled,
        }
    }
}

/// Changes a ticket on behalf of its issuer and records an event.
///
/// # Errors
/// Not found, also for a ticket the caller may not see; forbidden if the caller may see it but is not its
/// issuer.
/// Conflict: `ticket-cancelled`, `not-later`, `removal-before-felling`.
pub async fn change(
    tx: &mut Tx<'_>,
    caller: &Caller,
    act: &Actor,
    ticket: TicketId,
    change: &Change,
    reason: &Text<200>,
) -> Result<()> {
    let (locked, head) = LockedTicket::exclusive(tx, ticket).await?.ok_or(Error::NotFound)?;
    if locked.issuer != caller.organization {
        let seen = locked.holder == caller.organization || caller.is(Role::Inspector);
        return Err(if seen {
            Error::Forbidden("Only the issuer of a ticket may change it.".into())
        } else {
            Error::NotFound
        });
    }
    if locked.cancelled {
        let detail = "The ticket is cancelled.";
        return Err(Error::Conflict(vec![FieldError::new(
            Location::Pointer(String::new()),
            "ticket-cancelled",
            detail,
        )]));
    }
    let (felling_until, removal_until) = match change {
        Change::Extend { felling_until, removal_until } => (*felling_until, *removal_until),
        Change::Cancel => (None, None),
    };
    extendable(&locked, felling_until, removal_until)?;
    let public = TicketPublic {
        v: 1,
        subject: "felling_ticket",
        event_type: change.event_type(),
        on: act.on(),
        region: locked.region,
        forestry: &locked.forestry,
        ticket: &locked.name,
    };
    let business =
        Changed { v: 1, act, ticket_id: ticket, felling_until, removal_until, reason: reason.as_str() };
    let request_texts = [(Location::Pointer("/reason".into()), reason.as_str())];
    let (public, business) = texts(&public, &business, &request_texts)?;
    let draft = Draft {
        head,
        public,
        business,
        personal: None,
        event_type: change.event_type().as_str(),
        organization: act.organization.0,
        operation: act.operation.0,
        occurred_at: act.at(),
        region: Some(locked.region.as_str()),
    };
    let cancelled_at = matches!(change, Change::Cancel).then(|| act.at());
    for head in append(tx, act.at(), vec![draft]).await? {
        sqlx::query!(
            "UPDATE felling_ticket
             SET head_seq = $2, head_hash = $3, head_received_at = $4, felling_until = COALESCE($5, felling_until),
                 removal_until = COALESCE($6, removal_until), cancelled_at = $7
             WHERE id = $1",
            head.id,
            head.seq_i32(),
            head.hash.0.as_slice(),
            head.received_at,
            felling_until.map(LocalDate::day),
            removal_until.map(LocalDate::day),
            cancelled_at
        )
        .execute(&mut **tx)
        .await?;
    }
    Ok(())
}

/// Checks an extension: each new last day must be later than the present one, and removal must not end before
/// felling.
fn extendable(locked: &LockedTicket, felling: Option<LocalDate>, removal: Option<LocalDate>) -> Result<()> {
    let mut conflicts = Vec::new();
    let mut refuse = |pointer: &str, code, detail: String| {
        conflicts.push(FieldError::new(Location::Pointer(pointer.into()), code, detail));
    };
    if felling.is_some_and(|day| day <= locked.felling_until) {
        let detail = format!("The new day must be later than the present one, {}.", locked.felling_until);
        refuse("/felling_until", "not-later", detail);
    }
    if let (Some(day), Some(present)) = (removal, locked.removal_until)
        && day <= present
    {
        let detail = format!("The new day must be later than the present one, {present}.");
        refuse("/removal_until", "not-later", detail);
    }
    let felling_until = felling.unwrap_or(locked.felling_until);
    if let Some(removal_until) = removal.or(locked.removal_until)
        && removal_until < felling_until
    {
        let pointer = if removal.is_some() { "/removal_until" } else { "/felling_until" };
        let detail = format!("Removal would end on {removal_until}, before felling ends on {felling_until}.");
        refuse(pointer, "removal-before-felling", detail);
    }
    if conflicts.is_empty() { Ok(()) } else { Err(Error::Conflict(conflicts)) }
}
