//! Transfers seals to another holder.

use super::number::{SealNumber, SealRange};
use super::record::{self, BatchChange, ListDigest, MadeEvent, SealErrors};
use super::stock::{SealStatus, lock_for_use};
use crate::base::error::{Error, FieldError, Location, Result};
use crate::base::ids::{OperationId, OrganizationId};
use crate::evidence::chain::{NewHead, Tx};
use crate::timber::event::actor::Actor;
use crate::timber::event::types::SealBatchEventType;
use crate::timber::party::key::Caller;
use crate::timber::party::role::Role;
use serde::Serialize;
use std::collections::{BTreeMap, HashMap};
use utoipa::ToSchema;
use uuid::Uuid;

/// The seals to transfer.
#[derive(Clone, Debug)]
pub enum SealSelection {
    /// These, each once.
    Numbers(Vec<SealNumber>),
    /// A range of numbers, all of which must exist.
    Range(SealRange),
}

impl SealSelection {
    fn numbers(&self) -> Vec<SealNumber> {
        match self {
            Self::Numbers(numbers) => numbers.clone(),
            Self::Range(range) => range.iter().collect(),
        }
    }

    /// Location of an error in the n-th number (from 0). For a range it is `/first`, because a request names
    /// only the ends of a range.
    fn at(&self, index: usize) -> Location {
        Location::Pointer(match self {
            Self::Numbers(_) => format!("/numbers/{index}"),
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

/// Transfers issued seals to `to`. The operator may transfer any seal, a holder only its own.
///
/// # Errors
/// 422 `unknown-seal` for each number that is absent or not the caller's; 409 `seal-applied`, `seal-void`,
/// `already-theirs` for each that cannot be transferred. If both kinds occur: 422 with all of them.
pub async fn transfer(
    tx: &mut Tx<'_>,
    caller: &Caller,
    act: &Actor,
    selection: &SealSelection,
    to: OrganizationId,
) -> Result<Transferred> {
    let numbers = selection.numbers();
    let rows = lock_for_use(tx, &numbers).await?;
    let mut errors = SealErrors::default();
    let mut batches: BTreeMap<Uuid, Vec<&str>> = BTreeMap::new();
    for (index, (number, row)) in numbers.iter().zip(&rows).enumerate() {
        let Some(seal) =
            row.as_ref().filter(|seal| caller.is(Role::Operator) || seal.holder == act.organization)
        else {
            let detail = format!("{number} is not a seal of yours.");
            errors.invalid(FieldError::new(selection.at(index), "unknown-seal", detail));
            continue;
        };
        match seal.status {
            SealStatus::Issued if seal.holder == to => {
                let detail = format!("{number} already belongs to the receiver.");
                errors.conflict(FieldError::new(selection.at(index), "already-theirs", detail));
            }
            SealStatus::Issued => batches.entry(seal.batch.0).or_default().push(number.as_str()),
            SealStatus::Applied => {
                let detail = format!("{number} is on a log.");
                errors.conflict(FieldError::new(selection.at(index), "seal-applied", detail));
            }
            SealStatus::Void => {
                let detail = format!("{number} is void.");
                errors.conflict(FieldError::new(selection.at(index), "seal-void", detail));
            }
        }
    }
    errors.finish()?;
    let ids: Vec<Uuid> = batches.keys().copied().collect();
    let heads = record::lock_heads(tx, &ids).await?;
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
    let heads = record::add(tx, act, SealBatchEventType::Transferred, events).await?;
    let seq_of: HashMap<Uuid, i32> = heads.iter().map(|head| (head.id, head.seq_i32())).collect();
    let mut moved = Vec::with_capacity(numbers.len());
    let (mut batch_ids, mut seqs) = (Vec::with_capacity(numbers.len()), Vec::with_capacity(numbers.len()));
    for (batch, numbers) in &batches {
        for number in numbers {
            moved.push(*number);
            batch_ids.push(*batch);
            seqs.push(seq_of.get(batch).copied().unwrap_or_default());
        }
    }
    record::insert_moves(tx, &moved, &batch_ids, &seqs).await?;
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
    let seqs: Vec<i32> = heads.iter().map(NewHead::seq_i32).collect();
    answer(tx, act.operation, &ids, &seqs).await
}

/// The response to a transfer, built from its events.
pub async fn answer(
    tx: &mut Tx<'_>,
    operation: OperationId,
    subjects: &[Uuid],
    seqs: &[i32],
) -> Result<Transferred> {
    let mut response = Transferred { operation_id: operation, transferred: 0, to: None, events: Vec::new() };
    for (event, business) in record::made(tx, subjects, seqs).await? {
        let done = BatchChange::parse(&business)?;
        response.transferred += done.quantity.unwrap_or_default();
        response.to = done.to;
        response.events.push(event);
    }
    Ok(response)
}
