//! The head of an organisation's chain. Keys, marking keys and erasures are events on it.

use crate::base::error::{Error, Result};
use crate::base::ids::OrganizationId;
use crate::evidence::chain::Tx;
use crate::evidence::chain::{Draft, Head, SubjectKind, append};
use chrono::{DateTime, Utc};
use std::collections::BTreeMap;
use uuid::Uuid;

/// Locks and returns the head of an organisation's chain.
///
/// # Errors
/// Not found, if there is no such organisation.
pub(crate) async fn lock(tx: &mut Tx<'_>, id: OrganizationId) -> Result<Head> {
    lock_all(tx, &[id.0]).await?.remove(&id.0).ok_or(Error::NotFound)
}

/// Locks and returns the heads of the organisations that exist, in the order of their ids.
///
/// # Errors
/// From the database; [`Error::CorruptRow`] for a corrupt head.
pub(crate) async fn lock_all(tx: &mut Tx<'_>, ids: &[Uuid]) -> Result<BTreeMap<Uuid, Head>> {
    let rows = sqlx::query!(
        "SELECT id, salt, head_seq, head_hash, head_received_at FROM organization
         WHERE id = ANY($1) ORDER BY id FOR UPDATE",
        ids
    )
    .fetch_all(&mut **tx)
    .await?;
    rows.into_iter()
        .map(|row| {
            let (kind, at) = (SubjectKind::Organization, row.head_received_at);
            let head = Head::stored(kind, row.id, &row.salt, row.head_seq, &row.head_hash, at)?;
            Ok((row.id, head))
        })
        .collect()
}

/// Adds an event after a locked head, updates the organisation's row, and returns the new head.
///
/// # Errors
/// Those of [`append`].
pub(crate) async fn add(tx: &mut Tx<'_>, now: DateTime<Utc>, draft: Draft<'_>) -> Result<Head> {
    let Head { kind, id, salt, .. } = draft.head;
    let added = append(tx, now, vec![draft]).await?.pop();
    let new = added.ok_or_else(|| Error::CorruptRow(format!("organization {id}: no event was added")))?;
    sqlx::query!(
        "UPDATE organization SET head_seq = $2, head_hash = $3, head_received_at = $4 WHERE id = $1",
        id,
        new.seq_i32(),
        new.hash.0.as_slice(),
        new.received_at
    )
    .execute(&mut **tx)
    .await?;
    Ok(Head { kind, id, salt, seq: new.seq, hash: new.hash, received_at: new.received_at })
}
