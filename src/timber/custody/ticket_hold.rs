//! The hold of a felling ticket: it stops the ticket's logs, and harvests under the ticket.
//!
//! An inspector's hold stops all logs of the ticket until it is released. The issuer's stops the logs that the
//! ticket's holder still holds, ends by itself after [`ParameterName::IssuersHoldHours`] unless an inspector holds the ticket as
//! well, and is possible once in [`ParameterName::IssuersHoldIntervalDays`]: timber that others have bought is not stopped by one side.
//!
//! Lock order: the ticket, then its logs by id. The fact is written to the rows of the logs, so that custody events
//! and checks read the log's row alone.

use crate::base::error::{Error, FieldError, Location, Result};
use crate::base::ids::{LogId, OrganizationId, TicketId};
use crate::base::units::{KAZAKHSTAN_OFFSET_MINUTES, Moment, Text};
use crate::evidence::chain::{LockedHead, Tx};
use crate::timber::event::actor::Actor;
use crate::timber::event::parts::LocalTime;
use crate::timber::event::types::TicketEventType;
use crate::timber::event::vocabulary::HeldBy;
use crate::timber::parameter::Parameters;
use crate::timber::parameter::name::ParameterName;
use crate::timber::party::key::Caller;
use crate::timber::party::role::Role;
use crate::timber::ticket::LockedTicket;
use crate::timber::ticket::change::{self, Change, lock_as_issuer, refuse_cancelled};
use crate::timber::ticket::content::{HeldLogs, logs_digest};
use chrono::{DateTime, TimeDelta, Utc};

fn conflict(code: &'static str, detail: impl Into<std::borrow::Cow<'static, str>>) -> Error {
    Error::Conflict(vec![FieldError::new(Location::body(), code, detail)])
}

/// Holds a ticket, on behalf of its issuer or an inspector. `until`: when an inspector's hold is overdue or the issuer's
/// ends, and where the request states it; by default as late as possible, after [`ParameterName::TicketHoldDays`] or
/// [`ParameterName::IssuersHoldHours`].
///
/// # Errors
/// As for [`lock_as_issuer`], for a caller that is no inspector. Wrong: `hold-too-long` at `until`. Conflict, for the
/// issuer: `held` if the ticket is held, `hold-too-soon`.
pub async fn hold(
    tx: &mut Tx<'_>,
    caller: &Caller,
    act: &Actor,
    ticket: TicketId,
    (until, until_at): (Option<Moment>, Location),
    reason: &Text<200>,
    parameters: &Parameters,
) -> Result<()> {
    let (locked, head, by) = lock(tx, caller, ticket).await?;
    let until = match by {
        HeldBy::Inspector => inspectors_end(act, until, until_at, parameters)?,
        HeldBy::Issuer => {
            may_hold_as_issuer(tx, &locked, act, parameters).await?;
            issuers_end(act, until, until_at, parameters)?
        }
    };
    let (logs, held) = reach(tx, &locked, by, until).await?;
    stop(tx, act, locked, head, Change::Hold(held), &logs, reason).await
}

/// Ends the hold of a ticket: an inspector every hold, the issuer its own.
///
/// # Errors
/// As for [`lock_as_issuer`], for a caller that is no inspector. Conflict: `not-held`, `held-by-inspector`.
pub async fn release(
    tx: &mut Tx<'_>,
    caller: &Caller,
    act: &Actor,
    ticket: TicketId,
    reason: &Text<200>,
) -> Result<()> {
    let (locked, head, by) = lock(tx, caller, ticket).await?;
    match locked.hold.filter(|hold| hold.stands(act.at())) {
        None => return Err(conflict("not-held", "The ticket is not held.")),
        Some(hold) if hold.by == HeldBy::Inspector && by == HeldBy::Issuer => {
            return Err(conflict("held-by-inspector", "An inspector holds this ticket, and may release it."));
        }
        Some(_) => {}
    }
    change::record(tx, act, locked, head, Change::Release, reason).await.map(drop)?;
    // In the order of their ids, as every statement that locks logs.
    sqlx::query!(
        "WITH held AS (
             SELECT id FROM log WHERE ticket_id = $1 AND ticket_held_since IS NOT NULL ORDER BY id FOR UPDATE
         )
         UPDATE log SET ticket_held_since = NULL, ticket_held_until = NULL, ticket_held_reason = NULL,
                        ticket_held_seq = NULL
         FROM held WHERE log.id = held.id",
        ticket.0
    )
    .execute(&mut **tx)
    .await?;
    Ok(())
}

/// Cancels a ticket on behalf of its issuer; with `hold_logs` it also stops the logs that the issuer's hold would stop,
/// for as long. A hold of an inspector stays as it is.
///
/// # Errors
/// As for [`lock_as_issuer`]. Conflict: `ticket-cancelled`; with `hold_logs` also `held` and `hold-too-soon`.
pub async fn cancel(
    tx: &mut Tx<'_>,
    caller: &Caller,
    act: &Actor,
    ticket: TicketId,
    hold_logs: bool,
    reason: &Text<200>,
    parameters: &Parameters,
) -> Result<()> {
    let (locked, head) = lock_as_issuer(tx, caller, ticket).await?;
    refuse_cancelled(&locked)?;
    if !hold_logs {
        return change::record(tx, act, locked, head, Change::Cancel(None), reason).await.map(drop);
    }
    may_hold_as_issuer(tx, &locked, act, parameters).await?;
    let until = issuers_end(act, None, Location::body(), parameters)?;
    let (logs, held) = reach(tx, &locked, HeldBy::Issuer, until).await?;
    stop(tx, act, locked, head, Change::Cancel(Some(held)), &logs, reason).await
}

async fn lock(
    tx: &mut Tx<'_>,
    caller: &Caller,
    ticket: TicketId,
) -> Result<(LockedTicket, LockedHead, HeldBy)> {
    if caller.is(Role::Inspector) {
        let (locked, head) = LockedTicket::exclusive(tx, ticket).await?.ok_or(Error::NotFound)?;
        if [locked.issuer, locked.holder].contains(&caller.organization) {
            return Err(Error::own_case());
        }
        return Ok((locked, head, HeldBy::Inspector));
    }
    let (locked, head) = lock_as_issuer(tx, caller, ticket).await?;
    Ok((locked, head, HeldBy::Issuer))
}

fn moment(at: DateTime<Utc>) -> Result<Moment> {
    Moment::new(at, KAZAKHSTAN_OFFSET_MINUTES).map_err(|error| Error::CorruptRow(format!("clock: {error}")))
}

fn issuers_end(act: &Actor, until: Option<Moment>, at: Location, parameters: &Parameters) -> Result<Moment> {
    let hours = parameters.whole(ParameterName::IssuersHoldHours, act.on());
    end(act, until, at, TimeDelta::hours(hours), &format!("{hours} hours"))
}

fn inspectors_end(
    act: &Actor,
    until: Option<Moment>,
    at: Location,
    parameters: &Parameters,
) -> Result<Moment> {
    let days = parameters.whole(ParameterName::TicketHoldDays, act.on());
    end(act, until, at, TimeDelta::days(days), &format!("{days} days"))
}

/// The end of a hold: `until`, or if the request states none, `longest` from now.
fn end(
    act: &Actor,
    until: Option<Moment>,
    at: Location,
    longest: TimeDelta,
    in_words: &str,
) -> Result<Moment> {
    let latest = moment(act.at() + longest)?;
    let Some(until) = until else { return Ok(latest) };
    if until.instant() <= act.at() || until.instant() > latest.instant() {
        let detail = format!("This hold ends in the future, {in_words} from now at most.");
        return Err(Error::Invalid(vec![FieldError::new(at, "hold-too-long", detail)]));
    }
    Ok(until)
}

async fn may_hold_as_issuer(
    tx: &mut Tx<'_>,
    locked: &LockedTicket,
    act: &Actor,
    parameters: &Parameters,
) -> Result<()> {
    let (now, days) = (act.at(), parameters.whole(ParameterName::IssuersHoldIntervalDays, act.on()));
    if locked.hold.is_some_and(|hold| hold.stands(now)) {
        return Err(conflict("held", "The ticket is held already."));
    }
    // Of a cancelled ticket only the cancellation can have been a hold of its issuer.
    let recent = sqlx::query_scalar!(
        r#"SELECT EXISTS (SELECT FROM event
                          WHERE subject_id = $1 AND organization_id = $2 AND received_at > $3
                            AND (type = $4 OR type = $5 AND business::json ->> 'held_by' IS NOT NULL)) AS "recent!""#,
        locked.id.0,
        locked.issuer.0,
        now - TimeDelta::days(days),
        TicketEventType::Held.as_str(),
        TicketEventType::Cancelled.as_str()
    )
    .fetch_one(&mut **tx)
    .await?;
    if recent {
        let detail = format!(
            "The issuer may hold a ticket once in {days} days; an inspector may hold it at any time."
        );
        return Err(conflict("hold-too-soon", detail));
    }
    Ok(())
}

/// Locks the logs that a hold stops, in the order of their ids. Returns the ids, and what the event hashes about
/// the hold.
async fn reach(
    tx: &mut Tx<'_>,
    locked: &LockedTicket,
    by: HeldBy,
    until: Moment,
) -> Result<(Vec<LogId>, HeldLogs)> {
    let holder: Option<OrganizationId> = (by == HeldBy::Issuer).then_some(locked.holder);
    let logs = sqlx::query_scalar!(
        r#"SELECT id AS "id: LogId" FROM log
           WHERE ticket_id = $1 AND ($2::uuid IS NULL OR holder_id = $2) ORDER BY id FOR UPDATE"#,
        locked.id.0,
        holder.map(|holder| holder.0)
    )
    .fetch_all(&mut **tx)
    .await?;
    let count = u32::try_from(logs.len()).unwrap_or(u32::MAX);
    let held =
        HeldLogs { held_by: by, until: LocalTime::of(until), logs: count, logs_digest: logs_digest(&logs) };
    Ok((logs, held))
}

async fn stop(
    tx: &mut Tx<'_>,
    act: &Actor,
    locked: LockedTicket,
    head: LockedHead,
    change: Change,
    logs: &[LogId],
    reason: &Text<200>,
) -> Result<()> {
    let (ticket, Change::Hold(held) | Change::Cancel(Some(held))) = (locked.id, change) else {
        return Ok(());
    };
    let head = change::record(tx, act, locked, head, change, reason).await?;
    let ids: Vec<uuid::Uuid> = logs.iter().map(|log| log.0).collect();
    // Logs that an earlier hold reached, and this one does not, are stopped no longer: one hold replaces the other.
    sqlx::query!(
        "UPDATE log SET ticket_held_since = CASE WHEN id = ANY($2) THEN $3::timestamptz END,
                        ticket_held_until = CASE WHEN id = ANY($2) THEN $4::timestamptz END,
                        ticket_held_reason = CASE WHEN id = ANY($2) THEN $5::text END,
                        ticket_held_seq = CASE WHEN id = ANY($2) THEN $6::integer END
         WHERE ticket_id = $1 AND (id = ANY($2) OR ticket_held_since IS NOT NULL)",
        ticket.0,
        &ids,
        act.at(),
        (held.held_by == HeldBy::Issuer).then(|| held.until.instant()),
        reason.as_str(),
        head.seq_i32()
    )
    .execute(&mut **tx)
    .await?;
    Ok(())
}
