//! The head of an organisation's chain. Keys, marking keys and erasures are events on it.

use crate::base::error::{Error, Result};
use crate::base::ids::OrganizationId;
use crate::evidence::chain::{Draft, LockedHead, NewHead, Tx};
use crate::timber::event::heads::chain_heads;
use chrono::{DateTime, Utc};

chain_heads!(Organization, "organization");

/// Locks and returns the head of an organisation's chain.
///
/// # Errors
/// Not found, if there is no such organisation.
pub(crate) async fn lock(tx: &mut Tx<'_>, id: OrganizationId) -> Result<LockedHead> {
    lock_heads(tx, &[id.0]).await?.pop().ok_or(Error::NotFound)
}

/// Adds an event after a locked head, updates the organisation's row, and returns the new head.
///
/// # Errors
/// From the database.
pub(crate) async fn add(tx: &mut Tx<'_>, now: DateTime<Utc>, draft: Draft) -> Result<NewHead> {
    let id = draft.head.id();
    let added = append_and_store(tx, now, vec![draft]).await?.pop();
    added.ok_or_else(|| Error::CorruptRow(format!("organization {id}: no event was added")))
}
