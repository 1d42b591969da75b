//! Transfers seals to another holder.

use super::code::SealName;
use super::number::{SealNumber, SealRange};
use super::record::{self as batch, BatchChange, ListDigest, MadeEvent, receiver};
use super::stock::{SealRow, SealStatus, lock_for_use, numbers_of};
use crate::base::error::{Error, FieldError, Invalid, Location, Result};
use crate::base::ids::{OperationId, OrganizationId};
use crate::base::input::RequestErrors;
use crate::evidence::chain::{NewHead, Tx};
use crate::evidence::idempotency::operation::{self, OperationEvents, OperationKind};
use crate::timber::event::actor::Actor;
use crate::timber::event::types::SealBatchEventType;
use crate::timber::party::bin::Bin;
use crate::timber::party::key::Caller;
use crate::timber::party::role::Role;
use serde::Serialize;
use std::collections::{BTreeMap, HashMap, HashSet};
use utoipa::ToSchema;
use uuid::Uuid;

/// Maximum seals of one range.
const MAX_IN_RANGE: u32 = 100_000;

/// The seals to transfer, each named by its number or its marking code.
#[derive(Clone, Debug)]
pub enum SealSelection {
    /// These, each once, with their positions in the request.
    Names(Vec<(usize, SealName)>),
    /// A range of numbers, all of which must exist.
    Range {
        /// The first seal.
        first: SealName,
        /// The last seal.
        last: SealName,
    },
}

/// The range from `first` to `last`.
///
/// # Errors
/// The two make no range, or one of more than 100,000 numbers.
pub fn range(first: &SealNumber, last: &SealNumber) -> Result<SealRange, Invalid> {
    let range = SealRange::new(first.clone(), last)?;
    if range.len() > MAX_IN_RANGE {
        return Err(Invalid::new("too-many", format!("A range has at most {MAX_IN_RANGE} numbers.")));
    }
    Ok(range)
}

/// A selected seal: where the request names it, how, and its number.
struct Selected {
    at: SealPlace,
    name: Option<SealName>,
    number: SealNumber,
}

impl std::fmt::Display for Selected {
    /// As the request names it: the number of a code is no answer to a caller that does not hold the seal.
    fn fmt(&self, f: &mut std::fmt::Formatter<'_>) -> std::fmt::Result {
        match &self.name {
            Some(name) => name.fmt(f),
            None => self.number.fmt(f),
        }
    }
}

/// Where a request names a seal.
#[derive(Clone, Copy, Debug)]
pub enum SealPlace {
    /// At this position of its list.
    Numbers(usize),
    /// As the first of a range.
    First,
    /// As the last of a range.
    Last,
}

/// The locations of a request's members, for its errors.
pub struct Locations {
    /// Of the receiver.
    pub to: Location,
    /// Of a seal.
    pub seal: fn(SealPlace) -> Location,
}

fn not_yours(at: Location, name: impl std::fmt::Display) -> FieldError {
    FieldError::new(at, "unknown-seal", format!("{name} is not a seal of yours."))
}

impl SealSelection {
    /// The selected seals with their numbers; adds an error for each code that is not registered, each seal that
    /// is named twice, and ends that make no range.
    async fn resolve(
        &self,
        tx: &mut Tx<'_>,
        at: &Locations,
        errors: &mut RequestErrors,
    ) -> Result<Vec<Selected>> {
        let seal_at = at.seal;
        match self {
            Self::Names(names) => {
                let codes: Vec<&SealName> = names.iter().map(|(_, name)| name).collect();
                let numbers = numbers_of(tx, &codes).await?;
                let mut seen = HashSet::with_capacity(names.len());
                let mut selected = Vec::with_capacity(names.len());
                for ((position, name), number) in names.iter().zip(numbers) {
                    let at = SealPlace::Numbers(*position);
                    match number {
                        None => errors.invalid.push(not_yours(seal_at(at), name)),
                        Some(number) if !seen.insert(number.clone()) => {
                            let detail = "This seal comes earlier in the same batch.";
                            errors.invalid.push(FieldError::new(seal_at(at), "duplicate-in-batch", detail));
                        }
                        Some(number) => selected.push(Selected { at, name: Some(name.clone()), number }),
                    }
                }
                Ok(selected)
            }
            Self::Range { first, last } => {
                let mut ends = numbers_of(tx, &[first, last]).await?.into_iter();
                let mut end = |at: SealPlace, name: &SealName| {
                    let number = ends.next().flatten();
                    if number.is_none() {
                        errors.invalid.push(not_yours(seal_at(at), name));
                    }
                    number
                };
                let (Some(first), Some(last)) = (end(SealPlace::First, first), end(SealPlace::Last, last))
                else {
                    return Ok(Vec::new());
                };
                match range(&first, &last) {
                    // A request names only the ends of a range, so each error is at its first seal.
                    Ok(range) => Ok(range
                        .iter()
                        .map(|number| Selected { at: SealPlace::First, name: None, number })
                        .collect()),
                    Err(invalid) => {
                        errors.invalid.push(FieldError::invalid(seal_at(SealPlace::Last), invalid));
                        Ok(Vec::new())
                    }
                }
            }
        }
    }
}

/// The response to a transfer.
#[derive(Clone, Debug, Serialize, ToSchema)]
pub struct Transferred {
    /// The write request.
    pub operation_id: OperationId,
    /// How many seals.
    pub transferred: u32,
    /// The new holder.
    pub to: Option<OrganizationId>,
    /// One event for each batch.
    pub events: Vec<MadeEvent>,
}

/// Locks the selected seals, and adds to `errors` each reason against their transfer to `to`: 422
/// `unknown-organization` and `not-a-seal-holder`; 422 `unknown-seal` for each seal that is absent or not the
/// caller's; 422 `marking-code-differs`; 409 `seal-applied`, `seal-void`, `already-theirs` for each that cannot be
/// transferred. Receiver and selection are checked as far as they could be read. Returns the receiver and the seals.
///
/// # Errors
/// From the database.
pub async fn check(
    tx: &mut Tx<'_>,
    caller: &Caller,
    selection: Option<&SealSelection>,
    to: Option<&Bin>,
    at: &Locations,
    errors: &mut RequestErrors,
) -> Result<(Option<OrganizationId>, Vec<SealRow>)> {
    let receiver = match to {
        None => None,
        Some(bin) => receiver(tx, bin, at.to.clone(), errors).await?,
    };
    let Some(selection) = selection else { return Ok((receiver, Vec::new())) };
    let selected = selection.resolve(tx, at, errors).await?;
    let numbers: Vec<SealNumber> = selected.iter().map(|seal| seal.number.clone()).collect();
    let rows = lock_for_use(tx, &numbers).await?;
    let mut seals = Vec::with_capacity(rows.len());
    for (selected, row) in selected.into_iter().zip(rows) {
        let Some(seal) = row.filter(|seal| caller.is(Role::Operator) || seal.holder == caller.organization)
        else {
            errors.invalid.push(not_yours((at.seal)(selected.at), &selected));
            continue;
        };
        let (at, number) = ((at.seal)(selected.at), &seal.number);
        if selected.name.as_ref().is_some_and(|name| seal.differs(name)) {
            let detail =
                "This code is not the one that the seal was registered with; it is forged or misread.";
            errors.invalid.push(FieldError::new(at, "marking-code-differs", detail));
            continue;
        }
        match seal.status {
            SealStatus::Issued if receiver == Some(seal.holder) => {
                let detail = format!("{number} already belongs to the receiver.");
                errors.conflict.push(FieldError::new(at, "already-theirs", detail));
            }
            SealStatus::Issued => seals.push(seal),
            SealStatus::Applied => {
                let detail = format!("{number} is on a log.");
                errors.conflict.push(FieldError::new(at, "seal-applied", detail));
            }
            SealStatus::Void => {
                let detail = format!("{number} is void.");
                errors.conflict.push(FieldError::new(at, "seal-void", detail));
            }
        }
    }
    Ok((receiver, seals))
}

/// A transfer, as the client sent it.
#[derive(Clone, Debug)]
pub struct NewTransfer {
    /// The seals.
    pub selection: SealSelection,
    /// The receiver's BIN.
    pub to: Bin,
    /// The operation id, if the client sent one.
    pub operation_id: Option<OperationId>,
}

/// Records a transfer of issued seals, or returns the response to the same request that was recorded before. The
/// operator may transfer any seal, a holder only its own.
///
/// # Errors
/// All errors that [`check`] finds; `operation-id-used`.
pub async fn record(
    tx: &mut Tx<'_>,
    caller: &Caller,
    act: &Actor,
    new: &NewTransfer,
    at: &Locations,
    fingerprint: [u8; 32],
) -> Result<Transferred> {
    let organization = caller.organization;
    if let Some(earlier) = operation::reserve(tx, organization, new.operation_id, &fingerprint).await? {
        return response(tx, &earlier).await;
    }
    let made = transfer(tx, caller, act, &new.selection, &new.to, at).await?;
    operation::record(tx, organization, OperationKind::SealTransfer, fingerprint, &made, act.at()).await?;
    response(tx, &made).await
}

async fn transfer(
    tx: &mut Tx<'_>,
    caller: &Caller,
    act: &Actor,
    selection: &SealSelection,
    to: &Bin,
    at: &Locations,
) -> Result<OperationEvents> {
    let mut errors = RequestErrors::default();
    let (receiver, seals) = check(tx, caller, Some(selection), Some(to), at, &mut errors).await?;
    errors.into_result()?;
    let to = receiver.ok_or_else(|| Error::CorruptRow(format!("organization.bin {to}: not found")))?;
    let mut batches: BTreeMap<Uuid, Vec<&str>> = BTreeMap::new();
    for seal in &seals {
        batches.entry(seal.batch.0).or_default().push(seal.number.as_str());
    }
    let ids: Vec<Uuid> = batches.keys().copied().collect();
    let heads = batch::lock_heads(tx, &ids).await?;
    let mut events = Vec::with_capacity(heads.len());
    for head in heads {
        let moved = batches
            .get_mut(&head.id())
            .ok_or_else(|| Error::CorruptRow(format!("seal_batch {}: not requested", head.id())))?;
        moved.sort_unstable();
        let mut digest = ListDigest::default();
        for number in moved.iter() {
            digest.add_number(number);
        }
        let done = BatchChange {
            to: Some(to),
            quantity: Some(u32::try_from(moved.len()).unwrap_or(u32::MAX)),
            first: moved.first().map(|number| (*number).to_owned()),
            last: moved.last().map(|number| (*number).to_owned()),
            digest: Some(hex::encode(digest.finish())),
            ..BatchChange::default()
        };
        events.push((head, done));
    }
    if events.len() != ids.len() {
        return Err(Error::CorruptRow("seal.batch_id: no such batch".into()));
    }
    let heads = batch::add(tx, act, SealBatchEventType::Transferred, events).await?;
    let seq_of: HashMap<Uuid, i32> = heads.iter().map(|head| (head.id, head.seq_i32())).collect();
    let mut moved = Vec::with_capacity(seals.len());
    let (mut batch_ids, mut seqs) = (Vec::with_capacity(seals.len()), Vec::with_capacity(seals.len()));
    for (batch, numbers) in &batches {
        for number in numbers {
            moved.push(*number);
            batch_ids.push(*batch);
            seqs.push(seq_of.get(batch).copied().unwrap_or_default());
        }
    }
    batch::insert_moves(tx, &moved, &batch_ids, &seqs).await?;
    let changed = sqlx::query!(
        "UPDATE seal SET holder_id = $2 WHERE number = ANY($1) AND status = 'issued'",
        &moved as &[&str],
        to.0
    )
    .execute(&mut **tx)
    .await?;
    if changed.rows_affected() != moved.len() as u64 {
        return Err(Error::CorruptRow("seal.status: changed under its lock".into()));
    }
    let seqs = heads.iter().map(NewHead::seq_i32).collect();
    Ok(OperationEvents { operation: act.operation, subjects: ids, seqs })
}

/// The response to a transfer, built from its events.
async fn response(tx: &mut Tx<'_>, made: &OperationEvents) -> Result<Transferred> {
    let OperationEvents { operation, subjects, seqs } = made;
    let mut response = Transferred { operation_id: *operation, transferred: 0, to: None, events: Vec::new() };
    for (event, business) in batch::made(tx, subjects, seqs).await? {
        let done = BatchChange::parse(&business)?;
        response.transferred += done.quantity.unwrap_or_default();
        response.to = done.to;
        response.events.push(event);
    }
    Ok(response)
}
