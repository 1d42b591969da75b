//! Operation ids: an `operation_id` identifies a write request, and is unique per organisation for ever.
//!
//! A write request first reserves its operation id, after the idempotency key and before any row lock. At the
//! end of the request, the id is recorded with the events that the request made. If the same content is sent
//! again, these events are found and nothing is done.

use crate::base::error::{Error, FieldError, Location, Result};
use crate::base::ids::{OperationId, OrganizationId};
use crate::base::input::RequestErrors;
use crate::evidence::chain::Tx;
use crate::evidence::chain::bytes::Hash;
use chrono::{DateTime, Utc};
use sha2::{Digest, Sha256};
use uuid::Uuid;

/// What the write request with an operation id records.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum OperationKind {
    /// A harvest.
    Harvest,
    /// Events of a log.
    CustodyEvent,
    /// A transfer of seals.
    SealTransfer,
    /// The voiding of a seal.
    SealVoid,
}

impl OperationKind {
    /// The word in the database.
    #[must_use]
    pub const fn as_str(self) -> &'static str {
        match self {
            Self::Harvest => "harvest",
            Self::CustodyEvent => "custody_event",
            Self::SealTransfer => "seal_transfer",
            Self::SealVoid => "seal_void",
        }
    }
}

/// Domain separator: with it, the keys of this lock differ from those for idempotency keys.
const LOCK: &[u8] = b"ormantrace/operation\0";

/// The events that a write request made, in the order of the request.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct OperationEvents {
    /// The operation id.
    pub operation: OperationId,
    /// Their subjects.
    pub subjects: Vec<Uuid>,
    /// Their seqs.
    pub seqs: Vec<i32>,
}

/// Reserves, for this transaction, the operation id that the client sent. Returns the events that are
/// recorded under this id, or `None` if the id is unused. If the client sent no id, nothing is reserved,
/// because the server then generates a new one.
///
/// `fingerprint` is that of the write request. If the stored fingerprint was erased with the personal data,
/// the requests can no longer be compared and count as the same.
///
/// # Errors
/// [`Error::InProgress`] if a request with that id is running; [`Error::Conflict`] with `operation-id-used`
/// if the id was used for different content.
pub async fn reserve(
    tx: &mut Tx<'_>,
    organization: OrganizationId,
    sent: Option<OperationId>,
    fingerprint: &[u8; 32],
) -> Result<Option<OperationEvents>> {
    let Some(operation) = sent else { return Ok(None) };
    let lock = lock_of(organization, operation);
    // This does not wait for the lock, because waiting requests would hold the pool's connections.
    let acquired = sqlx::query_scalar!(r#"SELECT pg_try_advisory_xact_lock($1) AS "taken!""#, lock)
        .fetch_one(&mut **tx)
        .await?;
    if !acquired {
        return Err(Error::InProgress);
    }
    let row = sqlx::query!(
        "SELECT fingerprint, subjects, seqs FROM operation WHERE organization_id = $1 AND operation_id = $2",
        organization.0,
        operation.0
    )
    .fetch_optional(&mut **tx)
    .await?;
    match row {
        None => Ok(None),
        Some(row) if row.fingerprint.as_ref().is_none_or(|known| known == fingerprint) => {
            record_earlier_events(tx, &row.subjects, &row.seqs).await?;
            Ok(Some(OperationEvents { operation, subjects: row.subjects, seqs: row.seqs }))
        }
        Some(_) => Err(Error::Conflict(vec![FieldError::new(
            Location::Pointer("/operation_id".into()),
            "operation-id-used",
            "Your organisation used this operation id for another request; send a new one.",
        )])),
    }
}

/// Key of the advisory lock on an operation id.
pub(crate) fn lock_of(organization: OrganizationId, operation: OperationId) -> i64 {
    let mut hasher = Sha256::new();
    hasher.update(LOCK);
    hasher.update(organization.0.as_bytes());
    hasher.update(operation.0.as_bytes());
    let digest: [u8; 32] = hasher.finalize().into();
    digest.iter().take(8).fold(0_i64, |lock, byte| lock << 8 | i64::from(*byte))
}

/// Records the events of an earlier request in the transaction, so that the response to the repeated request
/// has the same receipt.
async fn record_earlier_events(tx: &mut Tx<'_>, subjects: &[Uuid], seqs: &[i32]) -> Result<()> {
    let rows = sqlx::query!(
        "SELECT event.subject_id, event.hash, event.received_at
         FROM UNNEST($1::uuid[], $2::int[]) WITH ORDINALITY AS made (id, seq, place)
         JOIN event ON event.subject_id = made.id AND event.seq = made.seq ORDER BY made.place",
        subjects,
        seqs
    )
    .fetch_all(&mut **tx)
    .await?;
    for row in rows {
        let hash = Hash::from_slice(&row.hash);
        let hash = hash.ok_or_else(|| Error::CorruptRow(format!("event.hash of {}", row.subject_id)))?;
        tx.record_leaf(hash, row.received_at);
    }
    Ok(())
}

/// Records an executed write request and its events under its operation id, permanently.
pub async fn record(
    tx: &mut Tx<'_>,
    organization: OrganizationId,
    kind: OperationKind,
    fingerprint: [u8; 32],
    made: &OperationEvents,
    now: DateTime<Utc>,
) -> Result<()> {
    sqlx::query!(
        "INSERT INTO operation (organization_id, operation_id, kind, fingerprint, subjects, seqs, created_at)
         VALUES ($1, $2, $3, $4, $5, $6, $7)",
        organization.0,
        made.operation.0,
        kind.as_str(),
        fingerprint.as_slice(),
        &made.subjects,
        &made.seqs,
        now
    )
    .execute(&mut **tx)
    .await?;
    Ok(())
}

/// For a request in which errors were found already: returns whether its operation id is unused, or none was sent.
/// Only then are the other members checked. If the id was used for another request, an error is added to `errors`.
///
/// # Errors
/// From the database.
pub async fn is_free(
    tx: &mut Tx<'_>,
    organization: OrganizationId,
    sent: Option<OperationId>,
    fingerprint: &[u8; 32],
    errors: &mut RequestErrors,
) -> Result<bool> {
    match reserve(tx, organization, sent, fingerprint).await {
        Ok(earlier) => Ok(earlier.is_none()),
        Err(Error::InProgress) => Ok(false),
        Err(error) => errors.add(error).map(|()| false),
    }
}
