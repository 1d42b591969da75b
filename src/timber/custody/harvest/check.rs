//! Checks a harvest against seals, ticket and balance. Every member of the request that could be read is
//! checked, and all errors are reported at once.

use super::balance::{Balance, Marked};
use super::locations::Locations;
use super::request::{NewHarvest, NewLog, PartialHarvest, PartialLog};
use crate::base::error::{FieldError, Result};
use crate::base::ids::{OperationId, TicketId};
use crate::base::input::RequestErrors;
use crate::base::units::{LocalDate, Moment, utc_text};
use crate::evidence::chain::Tx;
use crate::evidence::idempotency::{device, operation};
use crate::timber::custody::request::Device;
use crate::timber::parameter::{Rulebook, VolumeBounds};
use crate::timber::party;
use crate::timber::party::key::Caller;
use crate::timber::seal::SealName;
use crate::timber::seal::number::SealNumber;
use crate::timber::seal::stock::{self, SealRow, SealStatus};
use crate::timber::ticket::{self, LockedTicket, TicketForHarvest};
use crate::timber::wood::bounds::{Measures, Share};
use crate::timber::wood::species::{Species, Wood};
use chrono::{DateTime, TimeDelta, Utc};
use std::collections::HashMap;
use std::sync::Arc;

/// How far ahead of the server's clock the time of an event may be.
pub const MAX_CLOCK_SKEW: TimeDelta = TimeDelta::minutes(5);

/// What a request claims about one log, as far as it could be read.
struct LogClaim<'r> {
    /// Position in the request.
    index: usize,
    seal: Option<&'r SealName>,
    line: Option<(Species, Wood)>,
    occurred_at: Option<Moment>,
    /// `None` if the volume, or a value that it is compared with, could not be read.
    measures: Option<Measures>,
    /// Whether the log was read completely. The volume of another log is not marked, because a log with errors
    /// must not be the reason why a line is exceeded.
    complete: bool,
}

/// What a request claims, as far as it could be read.
pub(super) struct Claims<'r> {
    ticket: Option<TicketId>,
    device: Option<&'r Device>,
    operation: Option<OperationId>,
    logs: Vec<LogClaim<'r>>,
}

impl<'r> From<&'r NewHarvest> for Claims<'r> {
    fn from(request: &'r NewHarvest) -> Self {
        let claim = |(index, log): (usize, &'r NewLog)| LogClaim {
            index,
            seal: Some(&log.seal_number),
            line: Some((log.species, log.wood)),
            occurred_at: Some(log.occurred_at),
            measures: Some(log.measures()),
            complete: true,
        };
        Self {
            ticket: Some(request.felling_ticket_id),
            device: request.device.as_ref(),
            operation: request.operation_id,
            logs: request.logs.iter().enumerate().map(claim).collect(),
        }
    }
}

impl<'r> From<&'r PartialHarvest> for Claims<'r> {
    fn from(request: &'r PartialHarvest) -> Self {
        let claim = |(index, log): (usize, &'r Option<PartialLog>)| {
            let log = log.as_ref()?;
            Some(LogClaim {
                index,
                seal: log.seal_number.as_ref(),
                line: log.species.zip(log.wood),
                occurred_at: log.occurred_at,
                measures: log.measures(),
                complete: log.is_complete(),
            })
        };
        Self {
            ticket: request.felling_ticket_id,
            device: request.device.as_ref().and_then(Option::as_ref),
            operation: request.operation_id.flatten(),
            logs: request.logs.iter().flatten().enumerate().filter_map(claim).collect(),
        }
    }
}

/// The rows that the checks have locked, and the values that they have computed. If there was no error,
/// `lines` and `seals` contain one element for each log, in the order of the request.
pub(super) struct Checked {
    /// The ticket, if the caller holds it.
    pub(super) ticket: Option<TicketForHarvest>,
    pub(super) marked: Marked,
    /// Index of each log's ticket line.
    pub(super) lines: Vec<usize>,
    pub(super) seals: Vec<SealRow>,
    /// Whether the wood is the individual's that holds the ticket, for own use.
    pub(super) own_use: bool,
    /// The time of receipt, read after the locks were taken.
    pub(super) now: DateTime<Utc>,
}

/// For a request in which errors were found already: checks the members that could be read against seals,
/// ticket and balance, and adds further errors to `errors`.
///
/// # Errors
/// From the database.
pub async fn check_partial(
    tx: &mut Tx<'_>,
    caller: &Caller,
    request: &PartialHarvest,
    fingerprint: &[u8; 32],
    locations: &Locations,
    rulebook: &Rulebook,
    errors: &mut RequestErrors,
) -> Result<()> {
    let claims = Claims::from(request);
    if operation::is_free(tx, caller.organization, claims.operation, fingerprint, errors).await? {
        check(tx, caller, &claims, None, locations, rulebook, errors).await?;
    }
    Ok(())
}

/// Locks ticket, lines and seals, and adds every error to `errors`. `fingerprint` is `None` for a request
/// that was not read completely: it cannot have been recorded before.
pub(super) async fn check(
    tx: &mut Tx<'_>,
    caller: &Caller,
    claims: &Claims<'_>,
    fingerprint: Option<&[u8; 32]>,
    locations: &Locations,
    rulebook: &Rulebook,
    errors: &mut RequestErrors,
) -> Result<Checked> {
    let ticket = match claims.ticket {
        Some(id) => ticket::lock_for_harvest(tx, id).await?,
        None => None,
    };
    let names: Vec<_> = claims.logs.iter().filter_map(|log| log.seal).collect();
    let numbers = stock::numbers_of(tx, &names).await?;
    let known: Vec<SealNumber> = numbers.iter().flatten().cloned().collect();
    let mut rows = stock::lock_for_use(tx, &known).await?.into_iter();
    let seals = numbers.iter().map(|number| number.as_ref().and_then(|_| rows.next().flatten()));

    // The clock is read after the locks are taken. Otherwise a request that waited for the locks of another
    // request could get an earlier time of receipt than that request.
    let now = rulebook.now();

    // An individual has no role: the forest owner that issued its ticket records for it.
    let individual = match &ticket {
        Some(ticket) if ticket.row.issuer == caller.organization => {
            party::organization::individual(&mut **tx, ticket.row.holder).await?
        }
        _ => None,
    };
    let own_use = individual.is_some();
    let ticket = ticket.filter(|ticket| own_use || ticket.row.holder == caller.organization);
    let seals = check_seals(caller, claims, locations, seals.collect(), errors);
    match &ticket {
        None if claims.ticket.is_some() => {
            let detail = "You have no such felling ticket.";
            errors.invalid.push(FieldError::new(locations.ticket(), "unknown-felling-ticket", detail));
        }
        Some(ticket) if ticket.row.cancelled => {
            let detail = "This felling ticket is cancelled; nothing more may be felled under it.";
            errors.conflict.push(FieldError::new(locations.ticket(), "ticket-cancelled", detail));
        }
        Some(ticket) if ticket.row.hold.is_some_and(|hold| hold.stands(now)) => {
            let detail = "This felling ticket is held; nothing may be felled under it until it is released.";
            errors.conflict.push(FieldError::new(locations.ticket(), "held", detail));
        }
        Some(_) if individual.is_some_and(|person| person.suspended) => {
            let detail = "The holder of this felling ticket is suspended.";
            errors.conflict.push(FieldError::new(locations.ticket(), "organization-suspended", detail));
        }
        _ => {}
    }
    check_times(claims, locations, ticket.as_ref().map(|ticket| &ticket.row), now, errors);
    let ticket_lines = ticket.as_ref().map_or(&[][..], |ticket| &ticket.lines);
    check_bans(claims, locations, ticket.as_ref().map(|ticket| &ticket.row), errors);
    if own_use {
        refuse_commercial(claims, locations, errors);
    }
    let parameters = rulebook.parameters();
    let mut bounds = VolumeBounds::new(Arc::clone(&parameters));
    let shares = check_volumes(claims, locations, &mut bounds, now, errors);
    let mut balance = Balance::new(ticket_lines, LocalDate::of(now), &parameters);
    let lines = if ticket.is_some() {
        check_lines(claims, locations, shares, &mut balance, errors)
    } else {
        Vec::new()
    };
    let marked = balance.finish(&bounds.on(LocalDate::of(now).day()));
    if errors.is_empty() {
        return Ok(Checked { ticket, marked, lines, seals, own_use, now });
    }
    if let Some(fingerprint) = fingerprint
        && let Some(again) = recorded_before(tx, caller, fingerprint, &seals, locations).await?
    {
        *errors = RequestErrors::default();
        errors.conflict.push(again);
    } else if let Some(device) = claims.device {
        // `reserve` is called only to report a number that the device has used before. The number does not
        // stay reserved, because the transaction of a request with errors is rolled back.
        let operation = claims.operation.unwrap_or_default();
        let tried = device::reserve(
            tx,
            caller.organization,
            device.id.as_str(),
            device.seq,
            device.recorded_at.instant(),
            operation,
        );
        if let Err(error) = tried.await {
            errors.add(error)?;
        }
    }
    Ok(Checked { ticket, marked, lines, seals, own_use, now })
}

/// The conflict `already-recorded`, if the same request was recorded before. That is so if the first seal is
/// on a log of an earlier harvest with the same fingerprint. This conflict is reported instead of an error
/// for each log.
async fn recorded_before(
    tx: &mut Tx<'_>,
    caller: &Caller,
    fingerprint: &[u8; 32],
    seals: &[SealRow],
    locations: &Locations,
) -> Result<Option<FieldError>> {
    let Some(log) = seals.first().and_then(|seal| seal.log) else { return Ok(None) };
    let before = sqlx::query!(
        "SELECT harvest.id, harvest.received_at
             FROM log
             JOIN harvest ON harvest.id = log.harvest_id
             JOIN operation ON operation.organization_id = harvest.organization_id
                           AND operation.operation_id = harvest.operation_id
             WHERE log.id = $1 AND harvest.organization_id = $2 AND operation.fingerprint = $3",
        log.0,
        caller.organization.0,
        fingerprint.as_slice()
    )
    .fetch_optional(&mut **tx)
    .await?;
    Ok(before.map(|harvest| {
        let detail = format!(
            "This very request was recorded already, at {}, as harvest {}. Send an Idempotency-Key or an \
             operation_id, and a repeated request gets its answer again.",
            utc_text(harvest.received_at),
            harvest.id
        );
        FieldError::new(locations.whole(), "already-recorded", detail)
    }))
}

/// Checks the seals and returns those that the caller holds. `rows` has one entry for each log with a
/// readable seal: `None` if no such seal exists.
fn check_seals(
    caller: &Caller,
    claims: &Claims<'_>,
    locations: &Locations,
    rows: Vec<Option<SealRow>>,
    errors: &mut RequestErrors,
) -> Vec<SealRow> {
    let mut usable: Vec<SealRow> = Vec::with_capacity(rows.len());
    let mut seen = HashMap::with_capacity(rows.len());
    let named = claims.logs.iter().filter_map(|log| Some((log.index, log.seal?)));
    for (row, (index, name)) in rows.into_iter().zip(named) {
        let at = || locations.of(index, "seal_number");
        let Some(seal) = row.filter(|seal| seal.holder == caller.organization) else {
            // Not looked up: the hint says nothing about the other number.
            let meant = name.number().and_then(SealNumber::with_digits);
            let hint = meant.map_or_else(String::new, |number| format!(" Did you mean {number}?"));
            let detail = format!("You have no seal {name}.{hint}");
            errors.invalid.push(FieldError::new(at(), "unknown-seal", detail));
            continue;
        };
        // Two logs with the same seal text are refused when the request is read. But two different texts, a
        // number and a marking code, may also name the same seal.
        if let Some(first) = seen.insert(seal.number.clone(), index) {
            let detail =
                format!("Seal {} is already used by {} of this harvest.", seal.number, locations.item(first));
            errors.invalid.push(FieldError::new(at(), "duplicate-in-batch", detail));
        }
        if seal.differs(name) {
            let detail = format!(
                "This code is not the one that seal {} was registered with; it is forged or misread.",
                seal.number
            );
            errors.invalid.push(FieldError::new(at(), "marking-code-differs", detail));
        }
        match seal.status {
            SealStatus::Issued => {}
            SealStatus::Applied => {
                let detail = format!("Seal {name} is on a log already; a seal is applied once.");
                errors.conflict.push(FieldError::new(at(), "seal-applied", detail));
            }
            SealStatus::Void => {
                let detail = format!("Seal {name} is void.");
                errors.conflict.push(FieldError::new(at(), "seal-void", detail));
            }
        }
        usable.push(seal);
    }
    usable
}

/// Checks the times against the clock and, if the ticket is known, against the ticket.
fn check_times(
    claims: &Claims<'_>,
    locations: &Locations,
    ticket: Option<&LockedTicket>,
    now: DateTime<Utc>,
    errors: &mut RequestErrors,
) {
    for (index, time) in claims.logs.iter().filter_map(|log| Some((log.index, log.occurred_at?))) {
        let at = || locations.of(index, "occurred_at");
        let day = time.day();
        if let Some(ticket) = ticket
            && (day < ticket.felling_from || day > ticket.felling_until)
        {
            let detail = format!(
                "{day} is outside the ticket's felling dates, {} to {}.",
                ticket.felling_from, ticket.felling_until
            );
            errors.invalid.push(FieldError::new(at(), "outside-felling-dates", detail));
        }
        if time.instant() > now + MAX_CLOCK_SKEW {
            let detail = "This is more than five minutes in the future.";
            errors.invalid.push(FieldError::new(at(), "in-the-future", detail));
        }
    }
}

/// Refuses logs that were felled on a day of a ban that is on existing tickets too.
fn check_bans(
    claims: &Claims<'_>,
    locations: &Locations,
    ticket: Option<&LockedTicket>,
    errors: &mut RequestErrors,
) {
    let bans = ticket.map_or(&[][..], |ticket| &ticket.bans);
    for log in &claims.logs {
        let Some(((species, _), felled)) = log.line.zip(log.occurred_at) else { continue };
        let ban = bans.iter().find(|ban| ban.existing_tickets && ban.forbids(species, felled.day().day()));
        errors.conflict.push_some(
            ban.map(|ban| FieldError::new(locations.of(log.index, "occurred_at"), "banned", ban.sentence())),
        );
    }
}

/// Refuses commercial wood under the ticket of an individual: older tickets may have such lines.
fn refuse_commercial(claims: &Claims<'_>, locations: &Locations, errors: &mut RequestErrors) {
    let commercial = |log: &&LogClaim<'_>| log.line.is_some_and(|(_, wood)| wood == Wood::Commercial);
    for log in claims.logs.iter().filter(commercial) {
        let at = locations.of(log.index, "wood");
        errors.conflict.push(FieldError::new(at, "own-use", ticket::NO_COMMERCIAL_WOOD));
    }
}

/// Compares the volumes with the measures, by the bounds in force on the day of each log; by those of today
/// if its day could not be read. Returns what each log adds to its ticket line: `None` if it has an error.
fn check_volumes(
    claims: &Claims<'_>,
    locations: &Locations,
    bounds: &mut VolumeBounds,
    now: DateTime<Utc>,
    errors: &mut RequestErrors,
) -> Vec<Option<Share>> {
    let mut shares = Vec::with_capacity(claims.logs.len());
    for log in &claims.logs {
        let Some(measures) = &log.measures else {
            shares.push(None);
            continue;
        };
        let day = log.occurred_at.map_or(LocalDate::of(now).day(), |time| time.day().day());
        let mut possible = true;
        for invalid in measures.refusals(&bounds.on(day)) {
            possible = false;
            errors.invalid.push(FieldError::invalid(locations.of(log.index, "volume_m3"), invalid));
        }
        shares.push((possible && log.complete).then(|| Share::from(measures)));
    }
    shares
}

/// Finds the ticket line of each log and marks its volume; returns the index of each log's line.
fn check_lines(
    claims: &Claims<'_>,
    locations: &Locations,
    shares: Vec<Option<Share>>,
    balance: &mut Balance<'_>,
    errors: &mut RequestErrors,
) -> Vec<usize> {
    let mut lines = Vec::with_capacity(claims.logs.len());
    for (log, share) in claims.logs.iter().zip(shares) {
        let Some((species, wood)) = log.line else { continue };
        let Some(line) = balance.line(species, wood) else {
            let detail = format!("The ticket has no line for {species} {wood}.");
            let at = locations.of(log.index, "species");
            errors.invalid.push(FieldError::new(at, "not-on-ticket", detail));
            continue;
        };
        lines.push(line);
        if let Some(share) = share {
            let at = || locations.of(log.index, "volume_m3");
            errors.conflict.push_some(balance.mark(line, share, at));
        }
    }
    lines
}
