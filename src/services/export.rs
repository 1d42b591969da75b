//! The complete history of one subject in one file that can be checked offline (`ormantrace/export/2`).
//!
//! A log or stack, a felling ticket, a batch of seals, an organisation: all have the same format. The
//! file contains only data that can be checked: the hashed bytes, salt and text of the parts that the
//! reader may see, proofs, and one signed checkpoint. Readable data is in the texts that were hashed.

use crate::base::error::{Error, Result};
use crate::evidence::chain::history::{DisclosedEvent, DisclosedParts, Evidence};
use crate::evidence::chain::{Entry, Hash, Salt, Subject};
use crate::evidence::register::published::{Published, PublishedError, PublishedState};
use crate::services::verifier::export::FORMAT;
use serde::Serialize;
use sqlx::PgExecutor;
use std::collections::HashMap;
use std::hash::BuildHasher;
use utoipa::ToSchema;
use uuid::Uuid;

/// The file.
#[derive(Debug, Serialize, ToSchema)]
pub struct Export {
    /// `ormantrace/export/2`. It fixes every member and every spelling.
    #[schema(value_type = String, example = "ormantrace/export/2")]
    pub format: &'static str,
    /// The kind of the chain's subject, as the number that is hashed into the ref: 1 log or stack, 2 felling
    /// ticket, 3 seal batch, 4 organisation, 5 finding; 6 and 7 are reserved.
    #[schema(minimum = 1, maximum = 7)]
    pub kind: u8,
    /// The seq of the last of `events`, if the reader's access ended with that event; absent if the reader
    /// may see the chain to its end.
    #[serde(skip_serializing_if = "Option::is_none")]
    pub until: Option<u32>,
    /// The subject of the chain: its kind, its id and the salt, from which the ref in the entries is
    /// computed.
    pub subject: ExportSubject,
    /// The events in order, up to the last one that the reader may see.
    pub events: Vec<ExportEvent>,
    /// The published checkpoint, a signed note (C2SP tlog-checkpoint).
    pub checkpoint: String,
    /// A proof from an earlier checkpoint, if requested with `since`.
    #[serde(skip_serializing_if = "Option::is_none")]
    pub consistency: Option<Consistency>,
    /// The register's public keys, for readers without keys from another source.
    pub keys: Vec<String>,
    /// The register's witnesses and quorum.
    pub policy: ExportPolicy,
}

/// The subject of the chain.
#[derive(Clone, Debug, Serialize, ToSchema)]
pub struct ExportSubject {
    /// `log` (for a stack too), `felling_ticket`, `seal_batch`, `organization` or `finding`.
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
    pub parts: DisclosedParts<'static>,
    /// The event's leaf index in the register, from 0.
    #[serde(skip_serializing_if = "Option::is_none")]
    pub index: Option<u64>,
    /// The inclusion proof (RFC 6962, 2.1.1), from the leaf's sibling up.
    #[serde(skip_serializing_if = "Option::is_none")]
    pub proof: Option<Vec<Hash>>,
    /// `true` if the event is not in the tree of the checkpoint yet; otherwise absent.
    #[serde(skip_serializing_if = "Option::is_none")]
    pub pending: Option<bool>,
}

/// Proof that an earlier tree of the register is the beginning of the checkpoint's tree.
#[derive(Clone, Debug, Serialize, ToSchema)]
pub struct Consistency {
    /// The earlier size.
    pub from: u64,
    /// The consistency proof (RFC 6962, 2.1.2).
    pub proof: Vec<Hash>,
}

/// The register's witnesses and quorum.
#[derive(Clone, Debug, Serialize, ToSchema)]
pub struct ExportPolicy {
    /// How many of the witnesses should cosign a checkpoint.
    pub quorum: usize,
    /// Their public keys.
    pub witnesses: Vec<String>,
}

/// Reads the leaf indexes, by seq, of the events `first` to `last` of a chain; leaves out events that are not
/// among the first `size` leaves of the register. One statement.
///
/// # Errors
/// A database error, or a corrupt row.
pub async fn leaves(
    db: impl PgExecutor<'_>,
    subject: Uuid,
    [first, last]: [u32; 2],
    size: u64,
) -> Result<HashMap<u32, u64>> {
    let rows = sqlx::query!(
        "SELECT seq, index FROM leaf WHERE subject_id = $1 AND seq BETWEEN $2 AND $3 AND index < $4",
        subject,
        i32::try_from(first).unwrap_or(i32::MAX),
        i32::try_from(last).unwrap_or(i32::MAX),
        i64::try_from(size).unwrap_or(i64::MAX)
    )
    .fetch_all(db)
    .await?;
    rows.into_iter()
        .map(|row| match (u32::try_from(row.seq), u64::try_from(row.index)) {
            (Ok(seq), Ok(index)) => Ok((seq, index)),
            _ => Err(Error::CorruptRow(format!("leaf {} of {subject}", row.index))),
        })
        .collect()
}

/// Builds the file without its events. `until`: the seq of the last event, if the reader's access ended with
/// that event. Reads tiles from disk: do not call it on an async thread.
///
/// # Errors
/// If the published tiles cannot be read.
pub fn frame(
    subject: &Subject,
    until: Option<u32>,
    published: &Published,
    state: &PublishedState,
    since: Option<u64>,
) -> std::result::Result<Export, PublishedError> {
    let size = state.checkpoint.size;
    let consistency = match since {
        Some(from) => Some(Consistency { from, proof: published.consistency(from, size)? }),
        None => None,
    };
    Ok(Export {
        format: FORMAT,
        kind: subject.kind.byte(),
        until,
        subject: ExportSubject { kind: subject.kind.name(), id: subject.id, salt: subject.salt },
        events: Vec::new(),
        checkpoint: state.note.to_string(),
        consistency,
        keys: state.policy.registers.iter().map(ToString::to_string).collect(),
        policy: ExportPolicy {
            quorum: state.policy.quorum,
            witnesses: state.policy.witnesses.iter().map(ToString::to_string).collect(),
        },
    })
}

/// Adds to a page of the file's events their proofs against the tree of `size` leaves. Reads tiles from disk:
/// do not call it on an async thread.
///
/// # Errors
/// If the published tiles cannot be read.
pub fn proven(
    events: Vec<DisclosedEvent>,
    leaves: &HashMap<u32, u64, impl BuildHasher>,
    published: &Published,
    size: u64,
) -> std::result::Result<Vec<ExportEvent>, PublishedError> {
    let indexes: Vec<Option<u64>> = events.iter().map(|event| leaves.get(&event.seq()).copied()).collect();
    let mut proofs = published.inclusions(indexes.iter().copied().flatten(), size)?.into_iter();
    let events = events.into_iter().zip(indexes).map(|(event, index)| {
        let Evidence { entry, parts, .. } = event.evidence().into_owned();
        let proof = index.and_then(|_| proofs.next());
        ExportEvent { entry, parts, index, proof, pending: index.is_none().then_some(true) }
    });
    Ok(events.collect())
}
