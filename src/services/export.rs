//! The whole history of one subject in one file that anybody checks offline (`ormantrace/export/1`).
//!
//! A log or stack, a felling ticket, a batch of seals, an organisation: the file is made in one way for
//! all of them. It holds only what can be checked: the hashed bytes, what opens them as far as the reader
//! may see it, proofs, and one signed checkpoint. What a person reads stands in the texts that were hashed.

use crate::base::error::{Error, Result};
use crate::evidence::chain::history::{Evidence, ShownEvent, ShownParts};
use crate::evidence::chain::{Entry, Hash, Salt, Subject};
use crate::evidence::register::published::{Published, PublishedError, Said};
use crate::services::verifier::export::FORMAT;
use serde::Serialize;
use sqlx::PgExecutor;
use std::collections::HashMap;
use std::hash::BuildHasher;
use tokio::sync::OwnedSemaphorePermit;
use utoipa::ToSchema;
use uuid::Uuid;

/// A chain as far as a reader sees it: what a file is made of.
pub struct Shown {
    /// What it is about.
    pub subject: Subject,
    /// Its events from the first.
    pub events: Vec<ShownEvent>,
    /// A long chain's room in memory.
    pub room: Option<OwnedSemaphorePermit>,
}

/// The file.
#[derive(Debug, Serialize, ToSchema)]
pub struct Export {
    /// `ormantrace/export/1`. It fixes every member and every spelling.
    #[schema(value_type = String, example = "ormantrace/export/1")]
    pub format: &'static str,
    /// What the chain is about, and what makes the ref in its entries.
    pub subject: ExportSubject,
    /// The events in order, as many as the reader sees.
    pub events: Vec<ExportEvent>,
    /// The published checkpoint, a signed note (C2SP tlog-checkpoint).
    pub checkpoint: String,
    /// A proof from an earlier checkpoint, if `since` asked for it.
    #[serde(skip_serializing_if = "Option::is_none")]
    pub consistency: Option<Consistency>,
    /// The register's public keys, for readers who have none from elsewhere.
    pub keys: Vec<String>,
    /// Which witnesses the register asks, and how many of them it waits for.
    pub policy: ExportPolicy,
    /// A long chain's room in memory, kept until the file is written.
    #[serde(skip)]
    _room: Option<OwnedSemaphorePermit>,
}

/// What the chain is about.
#[derive(Clone, Debug, Serialize, ToSchema)]
pub struct ExportSubject {
    /// `log` (for a stack too), `felling_ticket`, `seal_batch` or `organization`.
    #[schema(value_type = String)]
    pub kind: &'static str,
    /// Its id.
    pub id: Uuid,
    /// The ref's salt, 32 bytes in hex.
    #[schema(value_type = String, pattern = "^[0-9a-f]{64}$")]
    pub salt: Salt,
}

/// One event: either `index` and `proof`, or `pending`.
#[derive(Clone, Debug, Serialize, ToSchema)]
pub struct ExportEvent {
    /// The 113 bytes that are hashed, in hex.
    #[schema(value_type = String, pattern = "^01[0-9a-f]{224}$")]
    pub entry: Entry,
    /// The parts it commits to.
    pub parts: ShownParts<'static>,
    /// Its place in the register, from 0.
    #[serde(skip_serializing_if = "Option::is_none")]
    pub index: Option<u64>,
    /// The inclusion proof (RFC 6962, 2.1.1), from the leaf's sibling up.
    #[serde(skip_serializing_if = "Option::is_none")]
    pub proof: Option<Vec<Hash>>,
    /// `true` if the checkpoint does not cover it yet.
    #[serde(skip_serializing_if = "Option::is_none")]
    pub pending: Option<bool>,
}

/// That an earlier register is the beginning of this one.
#[derive(Clone, Debug, Serialize, ToSchema)]
pub struct Consistency {
    /// The earlier size.
    pub from: u64,
    /// The consistency proof (RFC 6962, 2.1.2).
    pub proof: Vec<Hash>,
}

/// Whom the register asks to countersign.
#[derive(Clone, Debug, Serialize, ToSchema)]
pub struct ExportPolicy {
    /// How many of the witnesses it waits for.
    pub quorum: usize,
    /// Their public keys.
    pub witnesses: Vec<String>,
}

/// The leaves of a chain's first `events` events that a register of `size` has: index by seq. One statement.
///
/// # Errors
/// Those of the database; a leaf that cannot be read.
pub async fn leaves(
    db: impl PgExecutor<'_>,
    subject: Uuid,
    events: usize,
    size: u64,
) -> Result<HashMap<u32, u64>> {
    let rows = sqlx::query!(
        "SELECT seq, index FROM leaf WHERE subject_id = $1 AND seq <= $2 AND index < $3",
        subject,
        i32::try_from(events).unwrap_or(i32::MAX),
        i64::try_from(size).unwrap_or(i64::MAX)
    )
    .fetch_all(db)
    .await?;
    rows.into_iter()
        .map(|row| match (u32::try_from(row.seq), u64::try_from(row.index)) {
            (Ok(seq), Ok(index)) => Ok((seq, index)),
            _ => Err(Error::BadRow(format!("leaf {} of {subject}", row.index))),
        })
        .collect()
}

/// Puts the file together. Reads tiles; not for an async thread.
///
/// # Errors
/// If the published tiles cannot be read.
pub fn export(
    shown: Shown,
    leaves: &HashMap<u32, u64, impl BuildHasher>,
    published: &Published,
    said: &Said,
    since: Option<u64>,
) -> std::result::Result<Export, PublishedError> {
    let Shown { subject, events, room } = shown;
    let size = said.checkpoint.size;
    let places: Vec<Option<u64>> = events.iter().map(|event| leaves.get(&event.seq()).copied()).collect();
    let mut proofs = published.inclusions(places.iter().copied().flatten(), size)?.into_iter();
    let events = events.into_iter().zip(places).map(|(event, index)| {
        let Evidence { entry, parts, .. } = event.evidence().into_owned();
        let proof = index.and_then(|_| proofs.next());
        ExportEvent { entry, parts, index, proof, pending: index.is_none().then_some(true) }
    });
    let events = events.collect();
    let consistency = match since {
        Some(from) => Some(Consistency { from, proof: published.consistency(from, size)? }),
        None => None,
    };
    Ok(Export {
        format: FORMAT,
        subject: ExportSubject { kind: subject.kind.name(), id: subject.id, salt: subject.salt },
        events,
        checkpoint: said.note.to_string(),
        consistency,
        keys: said.policy.registers.iter().map(ToString::to_string).collect(),
        policy: ExportPolicy {
            quorum: said.policy.quorum,
            witnesses: said.policy.witnesses.iter().map(ToString::to_string).collect(),
        },
        _room: room,
    })
}
