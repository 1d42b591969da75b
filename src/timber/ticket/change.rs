//! Changes of a felling ticket: extended and cancelled by its issuer, held and released by its issuer or an inspector.
//! [`super::site`] replaces its plot.
//! `timber::custody::ticket_hold` decides which logs a hold stops.

use super::ban::felling_bans;
use super::content::{Changed, HeldLogs, TicketPublic, texts};
use super::cut::{self, TicketVolumes};
use super::harvest::NO_COMMERCIAL_WOOD;
use super::issue::store_about;
use super::lock::LockedTicket;
use crate::base::error::{Error, FieldError, Location, Result};
use crate::base::ids::TicketId;
use crate::base::input::RequestErrors;
use crate::base::units::{LocalDate, Text, Volume};
use crate::evidence::chain::Tx;
use crate::evidence::chain::{Hash, LockedHead, NewHead, SubjectKind, append};
use crate::timber::event::actor::Actor;
use crate::timber::event::types::TicketEventType;
use crate::timber::finding::rules;
use crate::timber::finding::write::Finding;
use crate::timber::parameter::Parameters;
use crate::timber::party::key::Caller;
use crate::timber::party::organization;
use crate::timber::party::role::Role;
use crate::timber::wood::species::{Species, Wood};
use chrono::{Datelike, NaiveDate};

/// A change of a ticket.
#[derive(Clone, Copy, Debug)]
pub enum Change {
    /// Later dates; at least one of them.
    Extend {
        /// New last day of felling.
        felling_until: Option<LocalDate>,
        /// New last day of removal.
        removal_until: Option<LocalDate>,
    },
    /// Ends the permission to fell, and stops the logs of the hold, if it has one.
    Cancel(Option<HeldLogs>),
    /// Stops the logs of the hold.
    Hold(HeldLogs),
    /// Ends the hold.
    Release,
    /// Another contour, with this digest; [`super::site`] writes it into the row.
    Plot(Hash),
}

impl Change {
    const fn event_type(&self) -> TicketEventType {
        match self {
            Self::Extend { .. } => TicketEventType::Extended,
            Self::Cancel(_) => TicketEventType::Cancelled,
            Self::Hold(_) => TicketEventType::Held,
            Self::Release => TicketEventType::Released,
            Self::Plot(_) => TicketEventType::PlotReplaced,
        }
    }

    const fn held(&self) -> Option<HeldLogs> {
        match self {
            Self::Cancel(held) => *held,
            Self::Hold(held) => Some(*held),
            Self::Extend { .. } | Self::Release | Self::Plot(_) => None,
        }
    }
}

/// Locks a ticket that its issuer is to change.
///
/// # Errors
/// Not found, also for a ticket the caller may not see; forbidden if the caller may see it but is not its
/// issuer.
pub async fn lock_as_issuer(
    tx: &mut Tx<'_>,
    caller: &Caller,
    ticket: TicketId,
) -> Result<(LockedTicket, LockedHead)> {
    let (locked, head) = LockedTicket::exclusive(tx, ticket).await?.ok_or(Error::NotFound)?;
    if locked.issuer == caller.organization {
        return Ok((locked, head));
    }
    let seen = locked.holder == caller.organization || caller.is(Role::Inspector);
    Err(if seen {
        Error::Forbidden("Only the issuer of a ticket may change it.".into())
    } else {
        Error::NotFound
    })
}

fn pointer(at: &str) -> Location {
    Location::Pointer(at.to_owned())
}

/// Extends a ticket on behalf of its issuer and records an event.
///
/// # Errors
/// As for [`lock_as_issuer`]. Conflict: `ticket-cancelled`, `not-later`, `removal-before-felling`; for a later last day
/// of felling also `banned`, `no-cut-for-forestry`, `allowable-cut-exceeded`, and `own-use` if an individual would
/// fell commercial wood.
pub async fn extend(
    tx: &mut Tx<'_>,
    caller: &Caller,
    act: &Actor,
    ticket: TicketId,
    (felling_until, removal_until): (Option<LocalDate>, Option<LocalDate>),
    reason: &Text<200>,
    parameters: &Parameters,
) -> Result<Vec<Finding>> {
    let (locked, head) = lock_as_issuer(tx, caller, ticket).await?;
    let mut errors = RequestErrors::default();
    check_locked(&locked, ReadDates { felling_until, removal_until, are_all: true }, &mut errors);
    let found = match felling_until {
        Some(until) => check_term(tx, &locked, until, (parameters, act.on()), &mut errors).await?,
        None => Vec::new(),
    };
    errors.into_result()?;
    record(tx, act, locked, head, Change::Extend { felling_until, removal_until }, reason).await.map(drop)?;
    store_about(tx, act, ticket, found).await
}

/// Checks the felling term of a ticket that ends later against the bans, and against the allowable cuts of the years
/// that the ticket did not reach before; and that no individual gets commercial wood. Returns the findings.
async fn check_term(
    tx: &mut Tx<'_>,
    locked: &LockedTicket,
    until: LocalDate,
    (parameters, today): (&Parameters, NaiveDate),
    errors: &mut RequestErrors,
) -> Result<Vec<rules::Draft>> {
    let at = || pointer("/felling_until");
    let lines = sqlx::query!(
        r#"SELECT species AS "species: Species", wood AS "wood: Wood", permitted_m3 AS "permitted: Volume"
           FROM ticket_line WHERE ticket_id = $1 ORDER BY position"#,
        locked.id.0
    )
    .fetch_all(&mut **tx)
    .await?;
    if lines.iter().any(|line| line.wood == Wood::Commercial)
        && organization::individual(&mut **tx, locked.holder).await?.is_some()
    {
        errors.conflict.push(FieldError::new(at(), "own-use", NO_COMMERCIAL_WOOD));
    }
    let lines: Vec<_> = lines.into_iter().map(|line| (line.species, line.permitted)).collect();
    for ban in felling_bans(tx, locked.region, locked.issuer, (locked.felling_from, until)).await? {
        if ban.species.is_none_or(|only| lines.iter().any(|(species, _)| *species == only)) {
            errors.conflict.push(FieldError::new(at(), "banned", ban.sentence()));
        }
    }
    let ticket = TicketVolumes {
        issuer: locked.issuer,
        ticket: Some(locked.id),
        forestry: &locked.forestry,
        lines: &lines,
    };
    let judged = cut::judge(tx, &ticket, locked.felling_until.day().year() + 1..=until.day().year()).await?;
    for against in judged.against {
        errors.conflict.push(FieldError::new(at(), against.code(), against.sentence()));
    }
    let volume = Volume::checked_sum(lines.iter().map(|(_, volume)| *volume));
    let uncut = rules::ticket::Uncut { volume, own: locked.holder == locked.issuer, today };
    let without = rules::ticket::no_allowable_cut(&judged.without, &uncut, parameters);
    let after =
        rules::ticket::extended_after_term(locked.felling_until.day(), until.day(), today, parameters);
    Ok(without.into_iter().chain(after).collect())
}

/// # Errors
/// Conflict: `ticket-cancelled`.
pub fn refuse_cancelled(locked: &LockedTicket) -> Result<()> {
    if locked.cancelled {
        let at = Location::body();
        return Err(Error::Conflict(vec![FieldError::new(
            at,
            "ticket-cancelled",
            "The ticket is cancelled.",
        )]));
    }
    Ok(())
}

/// Appends the event of a change to the ticket's chain and updates the ticket's row. Returns the new head.
///
/// # Errors
/// The reason is too long together with the ticket's names; from the database.
pub async fn record(
    tx: &mut Tx<'_>,
    act: &Actor,
    locked: LockedTicket,
    head: LockedHead,
    change: Change,
    reason: &Text<200>,
) -> Result<NewHead> {
    let (felling_until, removal_until) = match change {
        Change::Extend { felling_until, removal_until } => (felling_until, removal_until),
        Change::Cancel(_) | Change::Hold(_) | Change::Release | Change::Plot(_) => (None, None),
    };
    let held = change.held();
    let plot_digest = if let Change::Plot(digest) = change { Some(digest) } else { None };
    let public = TicketPublic {
        v: 1,
        subject: SubjectKind::FellingTicket.name(),
        event_type: change.event_type(),
        on: act.on(),
        region: locked.region,
        forestry: &locked.forestry,
        ticket: &locked.name,
    };
    let business = Changed {
        v: 1,
        act,
        ticket_id: locked.id,
        felling_until,
        removal_until,
        plot_digest,
        held,
        reason: reason.as_str(),
    };
    let request_texts = [(pointer("/reason"), reason.as_str())];
    let (public, business) = texts(&public, &business, &request_texts)?;
    let draft = act.draft(head, change.event_type(), public, business, Some(locked.region));
    let head = append(tx, act.at(), vec![draft]).await?.pop();
    let head = head.ok_or_else(|| Error::CorruptRow(format!("felling_ticket {}: no event", locked.id)))?;
    let cancelled_at = matches!(change, Change::Cancel(_)).then(|| act.at());
    sqlx::query!(
        "UPDATE felling_ticket
         SET head_seq = $2, head_hash = $3, head_received_at = $4, felling_until = COALESCE($5, felling_until),
             removal_until = COALESCE($6, removal_until), cancelled_at = COALESCE($7, cancelled_at)
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
    if held.is_some() || matches!(change, Change::Release) {
        sqlx::query!(
            "UPDATE felling_ticket
             SET held_since = $2, held_until = $3, held_reason = $4, held_by = $5, held_seq = $6 WHERE id = $1",
            head.id,
            held.map(|_| act.at()),
            held.map(|held| held.until.instant()),
            held.map(|_| reason.as_str()),
            held.map(|held| held.held_by.as_str()),
            held.map(|_| head.seq_i32())
        )
        .execute(&mut **tx)
        .await?;
    }
    Ok(head)
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
    (parameters, today): (&Parameters, NaiveDate),
    errors: &mut RequestErrors,
) -> Result<()> {
    let locked = LockedTicket::exclusive(tx, ticket).await?;
    if let Some((locked, _)) = locked.filter(|(locked, _)| locked.issuer == caller.organization) {
        check_locked(&locked, dates, errors);
        if let Some(until) = dates.felling_until {
            check_term(tx, &locked, until, (parameters, today), errors).await?;
        }
    }
    Ok(())
}

/// Checks a change: the ticket is not cancelled, dates move later, and removal does not end before felling.
fn check_locked(locked: &LockedTicket, dates: ReadDates, errors: &mut RequestErrors) {
    let mut refuse = |at: &str, code, detail: String| {
        errors.conflict.push(FieldError::new(pointer(at), code, detail));
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
