//! Extends and cancels a felling ticket. Only its issuer may do so.

use super::content::{Changed, TicketPublic, texts};
use crate::base::error::{Error, FieldError, Location, Result};
use crate::base::ids::{OrganizationId, TicketId};
use crate::base::input::RequestErrors;
use crate::base::region::Region;
use crate::base::units::{LocalDate, Text};
use crate::evidence::chain::Tx;
use crate::evidence::chain::{Draft, LockedHead, SubjectKind, append};
use crate::timber::event::actor::Actor;
use crate::timber::event::content::TicketName;
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

/// A ticket locked for a change.
struct Locked {
    head: LockedHead,
    issuer: OrganizationId,
    holder: OrganizationId,
    name: TicketName,
    region: Region,
    forestry: String,
    felling_until: LocalDate,
    removal_until: Option<LocalDate>,
    cancelled: bool,
}

/// Changes a ticket on behalf of its issuer and records an event.
///
/// # Errors
/// Not found, also for a ticket the caller may not see; forbidden if the caller may see it but is not its
/// issuer.
/// Conflict: `ticket-cancelled`, `not-later`, `removal-before-felling`; all that apply.
pub async fn change(
    tx: &mut Tx<'_>,
    caller: &Caller,
    act: &Actor,
    ticket: TicketId,
    change: &Change,
    reason: &Text<200>,
) -> Result<()> {
    let locked = lock(tx, ticket).await?.ok_or(Error::NotFound)?;
    if locked.issuer != caller.organization {
        let seen = locked.holder == caller.organization || caller.is(Role::Inspector);
        return Err(if seen {
            Error::Forbidden("Only the issuer of a ticket may change it.".into())
        } else {
            Error::NotFound
        });
    }
    let (felling_until, removal_until) = match change {
        Change::Extend { felling_until, removal_until } => (*felling_until, *removal_until),
        Change::Cancel => (None, None),
    };
    let mut errors = RequestErrors::default();
    check_locked(&locked, ReadDates { felling_until, removal_until, are_all: true }, &mut errors);
    errors.into_result()?;
    let public = TicketPublic {
        v: 1,
        subject: "felling_ticket",
        event_type: change.event_type(),
        on: act.on(),
        region: locked.region.as_str(),
        forestry: &locked.forestry,
        ticket: &locked.name,
    };
    let business =
        Changed { v: 1, act, ticket_id: ticket, felling_until, removal_until, reason: reason.as_str() };
    let request_texts = [(Location::Pointer("/reason".into()), reason.as_str())];
    let (public, business) = texts(&public, &business, &request_texts)?;
    let draft = Draft {
        head: locked.head,
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

/// The later dates of a request, as far as they could be read.
#[derive(Clone, Copy, Debug)]
pub struct ReadDates {
    /// New last day of felling.
    pub felling_until: Option<LocalDate>,
    /// New last day of removal.
    pub removal_until: Option<LocalDate>,
    /// Whether the request has no other dates, which could not be read.
    pub are_all: bool,
}

/// Adds to `errors` those that the ticket shows in a request that has errors already. Nothing is added for a ticket that the caller may not change.
///
/// # Errors
/// From the database.
pub async fn check(
    tx: &mut Tx<'_>,
    caller: &Caller,
    ticket: TicketId,
    dates: ReadDates,
    errors: &mut RequestErrors,
) -> Result<()> {
    let locked = lock(tx, ticket).await?;
    if let Some(locked) = locked.filter(|locked| locked.issuer == caller.organization) {
        check_locked(&locked, dates, errors);
    }
    Ok(())
}

/// Checks a change: the ticket is not cancelled, dates move later, and removal does not end before felling.
fn check_locked(locked: &Locked, dates: ReadDates, errors: &mut RequestErrors) {
    let mut refuse = |pointer: &str, code, detail: String| {
        errors.conflict.push(FieldError::new(Location::Pointer(pointer.into()), code, detail));
    };
    if locked.cancelled {
        refuse("", "ticket-cancelled", "The ticket is cancelled.".to_owned());
    }
    let ReadDates { felling_until: felling, removal_until: removal, are_all } = dates;
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
    if !are_all || felling.zip(removal).is_some_and(|(felling, removal)| removal < felling) {
        // The dates were refused when the request was read.
        return;
    }
    let felling_until = felling.unwrap_or(locked.felling_until);
    if let Some(removal_until) = removal.or(locked.removal_until)
        && removal_until < felling_until
    {
        let pointer = if removal.is_some() { "/removal_until" } else { "/felling_until" };
        let detail = format!("Removal would end on {removal_until}, before felling ends on {felling_until}.");
        refuse(pointer, "removal-before-felling", detail);
    }
}

async fn lock(tx: &mut Tx<'_>, id: TicketId) -> Result<Option<Locked>> {
    let row = sqlx::query!(
        r#"SELECT salt, head_seq, head_hash, head_received_at, issuer_id, holder_id, series, number,
                  region AS "region: Region", forestry, felling_until AS "felling_until: LocalDate",
                  removal_until AS "removal_until: LocalDate", cancelled_at
           FROM felling_ticket WHERE id = $1 FOR UPDATE"#,
        id.0
    )
    .fetch_optional(&mut **tx)
    .await?;
    let Some(row) = row else { return Ok(None) };
    let (kind, at) = (SubjectKind::FellingTicket, row.head_received_at);
    Ok(Some(Locked {
        head: LockedHead::stored(kind, id.0, &row.salt, row.head_seq, &row.head_hash, at)?,
        issuer: row.issuer_id.into(),
        holder: row.holder_id.into(),
        name: TicketName { number: row.number, series: row.series },
        region: row.region,
        forestry: row.forestry,
        felling_until: row.felling_until,
        removal_until: row.removal_until,
        cancelled: row.cancelled_at.is_some(),
    }))
}
