//! Voids a seal, whether or not it is on a log.

use super::content::{self, DetailsPart};
use super::hold::{self, Detention};
use super::official::{Act, Official};
use crate::base::error::{Error, FieldError, Location, Result};
use crate::base::ids::{LogId, OperationId};
use crate::base::input::RequestErrors;
use crate::base::units::Text;
use crate::evidence::chain::append::Personal;
use crate::evidence::chain::{Draft, NewHead, StoredHead, Tx, append, canonical};
use crate::evidence::idempotency::operation::{self, OperationEvents, OperationKind};
use crate::timber::custody::log::write;
use crate::timber::custody::state::LogState;
use crate::timber::custody::table::{self, CallerRoles, Refused};
use crate::timber::event::actor::Actor;
use crate::timber::event::types::LogEventType;
use crate::timber::party::key::Caller;
use crate::timber::party::role::Role;
use crate::timber::seal::SealName;
use crate::timber::seal::number::SealNumber;
use crate::timber::seal::record::{self as batch, BatchChange, MadeEvent};
use crate::timber::seal::stock::{SealRow, SealStatus, VoidReason, lock_for_use, numbers_of};
use chrono::{DateTime, Utc};
use serde::Serialize;
use std::sync::Arc;
use utoipa::ToSchema;
use uuid::Uuid;

/// The response to voiding a seal.
#[derive(Clone, Debug, Serialize, ToSchema)]
pub struct Voided {
    /// The write request.
    pub operation_id: OperationId,
    /// The seal.
    pub number: SealNumber,
    /// Its new status: `void`.
    pub status: SealStatus,
    /// Reason of the void.
    pub void_reason: Option<VoidReason>,
    /// The log that bears it.
    #[serde(skip_serializing_if = "Option::is_none")]
    pub log_id: Option<LogId>,
    /// The recorded events: one of the seal's batch and, if the seal is on a log, one of the log. If an
    /// inspector voids the seal of a log, the log also has a `detained`.
    pub events: Vec<MadeEvent>,
}

/// The void of a seal, as the client sent it.
#[derive(Clone, Debug)]
pub struct VoidCause {
    /// Reason.
    pub reason: VoidReason,
    /// Remark.
    pub note: Option<Text>,
    /// The official who ordered it, if an inspector does.
    pub official: Option<Official>,
    /// The official record, if an inspector makes one.
    pub act: Option<Act>,
    /// The operation id, if the client sent one.
    pub operation_id: Option<OperationId>,
}

/// Records the void of a seal, or returns the response to the same request that was recorded before. The seal is named
/// by its number or its marking code. The caller must be its holder, the holder of the log that bears it, the operator
/// or an inspector.
///
/// # Errors
/// [`Error::NotFound`] if the seal does not exist or the caller may not see it; 409 `seal-void` if it is void
/// already, `transition-not-allowed` if the log is closed, `held` if the log is held and the caller is no
/// inspector, `not-the-holder` if another organisation now holds the log.
pub async fn record(
    tx: &mut Tx<'_>,
    caller: &Caller,
    act: &Actor,
    name: &SealName,
    cause: &VoidCause,
    fingerprint: [u8; 32],
) -> Result<Voided> {
    let number = numbers_of(tx, &[name]).await?.pop().flatten().ok_or(Error::NotFound)?;
    let organization = caller.organization;
    if let Some(earlier) = operation::reserve(tx, organization, cause.operation_id, &fingerprint).await? {
        return response(tx, &number, &earlier).await;
    }
    let made = void(tx, caller, act, (&number, name), cause).await?;
    operation::record(tx, organization, OperationKind::SealVoid, fingerprint, &made, act.at()).await?;
    response(tx, &number, &made).await
}

async fn void(
    tx: &mut Tx<'_>,
    caller: &Caller,
    act: &Actor,
    (number, name): (&SealNumber, &SealName),
    cause: &VoidCause,
) -> Result<OperationEvents> {
    let seal = lock_visible(tx, caller, number).await?;
    if seal.differs(name) {
        return Err(Error::NotFound);
    }
    if let Some(error) = void_already(&seal) {
        return Err(Error::Conflict(vec![error]));
    }
    let batch = [seal.batch.0];
    let head = batch::lock_heads(tx, &batch)
        .await?
        .pop()
        .ok_or_else(|| Error::CorruptRow(format!("seal.batch_id of {number}: no such batch")))?;
    let done = BatchChange {
        number: Some(number.clone()),
        reason: Some(cause.reason),
        note: cause.note.as_ref().map(|note| note.as_str().to_owned()),
        act: cause.act.as_ref().map(Act::part),
        ..BatchChange::default()
    };
    let official = match &cause.official {
        Some(official) => Some(Personal::new(official.part()).store(tx, act.organization.0, act.at()).await?),
        None => None,
    };
    let heads = batch::add_void(tx, act, (head, done), official.clone()).await?;
    let mut seqs: Vec<i32> = heads.iter().map(NewHead::seq_i32).collect();
    let mut subjects: Vec<Uuid> = heads.iter().map(|head| head.id).collect();
    batch::insert_moves(tx, &[number.as_str()], &subjects, &seqs).await?;
    let changed = sqlx::query!(
        "UPDATE seal SET status = 'void', void_reason = $2 WHERE number = $1 AND status <> 'void'",
        number.as_str(),
        cause.reason.as_str()
    )
    .execute(&mut **tx)
    .await?;
    if changed.rows_affected() != 1 {
        return Err(Error::CorruptRow(format!("seal.status of {number}: changed under its lock")));
    }
    if let (SealStatus::Applied, Some(log)) = (seal.status, seal.log) {
        for head in on_applied_seal_voided(tx, caller, act, log, (cause, official)).await? {
            subjects.push(head.id);
            seqs.push(head.seq);
        }
    }
    Ok(OperationEvents { operation: act.operation, subjects, seqs })
}

/// Adds to `errors` the conflict that the seal shows in a request that has errors already. Nothing is added for a
/// seal that the caller may not see.
///
/// # Errors
/// From the database.
pub async fn check(
    tx: &mut Tx<'_>,
    caller: &Caller,
    name: &SealName,
    now: DateTime<Utc>,
    errors: &mut RequestErrors,
) -> Result<()> {
    let Some(number) = numbers_of(tx, &[name]).await?.pop().flatten() else { return Ok(()) };
    let seal = match lock_visible(tx, caller, &number).await {
        Ok(seal) if seal.differs(name) => return Ok(()),
        Ok(seal) => seal,
        Err(Error::NotFound) => return Ok(()),
        Err(error) => return Err(error),
    };
    errors.conflict.push_some(void_already(&seal));
    if let (SealStatus::Applied, Some(log)) = (seal.status, seal.log)
        && let Some(row) = write::lock(tx, &[log]).await?.pop()
    {
        errors.conflict.push_some(refusal(caller, &row.state, now));
    }
    Ok(())
}

fn void_already(seal: &SealRow) -> Option<FieldError> {
    (seal.status == SealStatus::Void)
        .then(|| conflict("seal-void", format!("{} is void already.", seal.number)))
}

/// Why the caller may not void the seal of a log in this state.
fn refusal(caller: &Caller, state: &LogState, now: DateTime<Utc>) -> Option<FieldError> {
    let roles = CallerRoles {
        id: caller.organization,
        inspector: caller.is(Role::Inspector),
        operator: caller.is(Role::Operator),
    };
    let refused = table::check(LogEventType::SealVoided, state, roles, now).err()?;
    Some(match refused {
        Refused::Held => {
            conflict("held", "The log that bears it is held: only an inspector may void its seal.".to_owned())
        }
        Refused::Transition | Refused::OwnUse => conflict(
            "transition-not-allowed",
            format!("The log that bears it is `{}`: its seal can no longer be voided.", state.status),
        ),
        Refused::NotYours => conflict(
            "not-the-holder",
            "Another organisation now holds the log of this seal and may void it.".to_owned(),
        ),
    })
}

/// Locks and returns the seal, if the caller may see it.
pub async fn lock_visible(tx: &mut Tx<'_>, caller: &Caller, number: &SealNumber) -> Result<SealRow> {
    let rows = lock_for_use(tx, std::slice::from_ref(number)).await?;
    let seal = rows.into_iter().next().flatten().ok_or(Error::NotFound)?;
    if caller.is(Role::Operator) || caller.is(Role::Inspector) || seal.holder == caller.organization {
        return Ok(seal);
    }
    let Some(log) = seal.log else { return Err(Error::NotFound) };
    let holder = sqlx::query_scalar!("SELECT holder_id FROM log WHERE id = $1", log.0)
        .fetch_optional(&mut **tx)
        .await?;
    if holder == Some(caller.organization.0) { Ok(seal) } else { Err(Error::NotFound) }
}

/// Adds `seal_voided` to the log's chain, then `detained` if an inspector voids the seal, and updates the
/// log's present state.
async fn on_applied_seal_voided(
    tx: &mut Tx<'_>,
    caller: &Caller,
    act: &Actor,
    log: LogId,
    (cause, official): (&VoidCause, Option<Arc<Personal>>),
) -> Result<Vec<StoredHead>> {
    let row = write::lock(tx, &[log]).await?.pop();
    let row = row.ok_or_else(|| Error::CorruptRow(format!("seal.log_id: no log {log}")))?;
    if let Some(error) = refusal(caller, &row.state, act.at()) {
        return Err(Error::Conflict(vec![error]));
    }
    let public = content::LogPublic::bare(LogEventType::SealVoided, row.state.kind, act.on(), None);
    let details = DetailsPart {
        note: cause.note.as_ref().map(|note| note.as_str().to_owned()),
        act: cause.act.as_ref().map(Act::part),
        ..DetailsPart::default()
    };
    let business = content::LogBusiness {
        reason: Some(cause.reason.as_str().to_owned()),
        details: Some(details).filter(|details| *details != DetailsPart::default()),
        ..content::LogBusiness::bare(log, act.occurred, act.organization, act.key, act.operation)
    };
    let content = content::Content { seq: row.head.next_seq(), public, business };
    let (public, business) = (canonical::text(&content.public), canonical::text(&content.business));
    let draft = act.draft(row.head, LogEventType::SealVoided, public, business, None);
    let draft = Draft { personal: official, ..draft };
    let no_event = || Error::CorruptRow(format!("log {log}: no event was added"));
    let mut head = append(tx, act.at(), vec![draft]).await?.pop().ok_or_else(no_event)?;
    let mut recorded = vec![head.stored()];
    let mut state = row.state;
    state.apply(&content)?;
    if cause.reason.is_of_inspector() {
        let reason = cause.reason.as_str().to_owned();
        let (draft, after) = hold::detained(state, head, Detention { act, reason })?;
        head = append(tx, act.at(), vec![draft]).await?.pop().ok_or_else(no_event)?;
        recorded.push(head.stored());
        state = after;
    }
    write::save(tx, &[(state, head.stored())], &[]).await?;
    Ok(recorded)
}

/// Builds the response to a void from the events that the void recorded.
async fn response(tx: &mut Tx<'_>, number: &SealNumber, made: &OperationEvents) -> Result<Voided> {
    let OperationEvents { operation, subjects, seqs } = made;
    let row = sqlx::query!(
        r#"SELECT status AS "status: SealStatus", void_reason AS "void_reason: VoidReason", log_id
           FROM seal WHERE number = $1"#,
        number.as_str()
    )
    .fetch_one(&mut **tx)
    .await?;
    let events = batch::made(tx, subjects, seqs).await?.into_iter().map(|(event, _)| event).collect();
    Ok(Voided {
        operation_id: *operation,
        number: number.clone(),
        status: row.status,
        void_reason: row.void_reason,
        log_id: row.log_id.map(Into::into),
        events,
    })
}

fn conflict(code: &'static str, detail: String) -> FieldError {
    FieldError::new(Location::body(), code, detail)
}
