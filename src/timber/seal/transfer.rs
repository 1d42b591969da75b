//! Transfers seals to another holder.

use super::number::{SealNumber, SealRange};
use super::record::{self as batch, BatchChange, ListDigest, MadeEvent, receiver};
use super::stock::{SealRow, SealStatus, lock_for_use};
use crate::base::error::{Error, FieldError, Location, Result};
use crate::base::ids::{OperationId, OrganizationId};
use crate::base::input::RequestErrors;
use crate::evidence::chain::{NewHead, Tx};
use crate::evidence::idempotency::operation::{self, OperationEvents};
use crate::timber::event::actor::Actor;
use crate::timber::event::types::SealBatchEventType;
use crate::timber::party::bin::Bin;
use crate::timber::party::key::Caller;
use crate::timber::party::role::Role;
use serde::Serialize;
use std::collections::{BTreeMap, HashMap};
use utoipa::ToSchema;
use uuid::Uuid;

/// The seals to transfer.
#[derive(Clone, Debug)]
pub enum SealSelection {
    /// These numbers, each once, with their positions in the request.
    Numbers(Vec<(usize, SealNumber)>),
    /// A range of numbers, all of which must exist.
    Range(SealRange),
}

impl SealSelection {
    fn numbers(&self) -> Vec<SealNumber> {
        match self {
            Self::Numbers(numbers) => numbers.iter().map(|(_, number)| number.clone()).collect(),
            Self::Range(range) => range.iter().collect(),
        }
    }

    /// Location of an error in the n-th number (from 0). For a range it is `/first`, because a request names
    /// only the ends of a range.
    fn at(&self, index: usize) -> Location {
        Location::Pointer(match self {
            Self::Numbers(numbers) => {
                format!("/numbers/{}", numbers.get(index).map_or(index, |(position, _)| *position))
            }
            Self::Range(_) => "/first".to_owned(),
        })
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

/// Locks the selected seals, and adds to `errors` each reason against their transfer to `to`: for the
/// receiver, 422 `unknown-organization` or `not-a-seal-holder`; for each number that does not exist or is not
/// the caller's, 422 `unknown-seal`; for each other seal that cannot be transferred, 409 `seal-applied`,
/// `seal-void` or `already-theirs`. A receiver or selection that could not be read is `None`, and is not
/// checked. Returns the receiver and the seals that can be transferred.
///
/// # Errors
/// From the database.
pub async fn check(
    tx: &mut Tx<'_>,
    caller: &Caller,
    selection: Option<&SealSelection>,
    to: Option<&Bin>,
    to_at: Location,
    errors: &mut RequestErrors,
) -> Result<(Option<OrganizationId>, Vec<SealRow>)> {
    let receiver = match to {
        None => None,
        Some(bin) => match receiver(tx, bin, to_at).await? {
            Ok(receiver) => Some(receiver),
            Err(error) => {
                errors.invalid.push(error);
                None
            }
        },
    };
    let Some(selection) = selection else { return Ok((receiver, Vec::new())) };
    let numbers = selection.numbers();
    let rows = lock_for_use(tx, &numbers).await?;
    let mut seals = Vec::with_capacity(rows.len());
    for (index, (number, row)) in numbers.iter().zip(rows).enumerate() {
        let Some(seal) = row.filter(|seal| caller.is(Role::Operator) || seal.holder == caller.organization)
        else {
            let detail = format!("{number} is not a seal of yours.");
            errors.invalid.push(FieldError::new(selection.at(index), "unknown-seal", detail));
            continue;
        };
        match seal.status {
            SealStatus::Issued if receiver == Some(seal.holder) => {
                let detail = format!("{number} already belongs to the receiver.");
                errors.conflict.push(FieldError::new(selection.at(index), "already-theirs", detail));
            }
            SealStatus::Issued => seals.push(seal),
            SealStatus::Applied => {
                let detail = format!("{number} is on a log.");
                errors.conflict.push(FieldError::new(selection.at(index), "seal-applied", detail));
            }
            SealStatus::Void => {
                let detail = format!("{number} is void.");
                errors.conflict.push(FieldError::new(selection.at(index), "seal-void", detail));
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

/// Records a transfer of issued seals, or returns the response to the same request that was recorded before.
/// The operator may transfer any seal, a holder only its own.
///
/// # Errors
/// All errors that [`check`] finds; `operation-id-used`.
pub async fn record(
    tx: &mut Tx<'_>,
    caller: &Caller,
    act: &Actor,
    new: &NewTransfer,
    to_at: Location,
    fingerprint: [u8; 32],
) -> Result<Transferred> {
    let organization = caller.organization;
    if let Some(earlier) = operation::reserve(tx, organization, new.operation_id, &fingerprint).await? {
        return response(tx, &earlier).await;
    }
    let made = transfer(tx, caller, act, &new.selection, &new.to, to_at).await?;
    operation::record(tx, organization, "seal_transfer", fingerprint, &made, act.at()).await?;
    response(tx, &made).await
}

async fn transfer(
    tx: &mut Tx<'_>,
    caller: &Caller,
    act: &Actor,
    selection: &SealSelection,
    to: &Bin,
    to_at: Location,
) -> Result<OperationEvents> {
    let mut errors = RequestErrors::default();
    let (receiver, seals) = check(tx, caller, Some(selection), Some(to), to_at, &mut errors).await?;
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
