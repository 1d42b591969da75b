//! Operation ids: an `operation_id` identifies a write request, and is unique per organisation for ever.
//!
//! A write request first reserves its operation id, after the idempotency key and before any row
//! lock. At the end it is recorded with the events it made: the same content sent again finds those
//! events and does nothing.

use crate::base::error::{Error, FieldError, Location, Result};
use crate::base::ids::{OperationId, OrganizationId};
use crate::base::input::RequestErrors;
use crate::evidence::chain::Tx;
use crate::evidence::chain::bytes::Hash;
use chrono::{DateTime, Utc};
use sha2::{Digest, Sha256};
use uuid::Uuid;

/// Domain separator: keeps this lock's keys apart from those of idempotency keys.
const LOCK: &[u8] = b"ormantrace/operation\0";

/// The result of reserving an operation id: it is new, or an earlier request has used it.
#[derive(Clone, Debug, PartialEq, Eq)]
pub enum Reservation {
    /// It was never used, and is now reserved for this transaction.
    New,
    /// The same write request was executed before, and made these events, in the order of the request.
    Existing {
        /// Their subjects.
        subjects: Vec<Uuid>,
        /// Their seqs.
        seqs: Vec<i32>,
    },
}

/// Reserves `operation` for this transaction.
///
/// `fingerprint` is that of the write request. If the stored fingerprint was erased with the personal
/// data, the requests can no longer be compared and count as the same.
///
/// # Errors
/// [`Error::InProgress`] if a request with that id is running; [`Error::Conflict`] with
/// `operation-id-used` if the id was used for different content.
pub async fn reserve(
    tx: &mut Tx<'_>,
    organization: OrganizationId,
    operation: OperationId,
    fingerprint: &[u8; 32],
) -> Result<Reservation> {
    let lock = lock_of(organization, operation);
    // Does not wait: waiting requests would hold the pool's connections.
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
        None => Ok(Reservation::New),
        Some(row) if row.fingerprint.as_ref().is_none_or(|known| known == fingerprint) => {
            record_earlier_events(tx, &row.subjects, &row.seqs).await?;
            Ok(Reservation::Existing { subjects: row.subjects, seqs: row.seqs })
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

/// Records the events of an earlier request in the transaction, so that its response has the same receipt.
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

/// An executed write request, recorded for ever.
#[derive(Clone, Debug)]
pub struct Record {
    /// The caller's organisation.
    pub organization: OrganizationId,
    /// The operation id.
    pub operation: OperationId,
    /// The kind of request: `harvest`, `custody_event`, `seal_transfer`, `seal_void`.
    pub kind: &'static str,
    /// Its fingerprint.
    pub fingerprint: [u8; 32],
    /// Subjects of the events that it made, in the order of the request.
    pub subjects: Vec<Uuid>,
    /// Their seqs, in the same order.
    pub seqs: Vec<i32>,
}

/// Records an executed write request under its operation id.
pub async fn record(tx: &mut Tx<'_>, record: Record, now: DateTime<Utc>) -> Result<()> {
    sqlx::query!(
        "INSERT INTO operation (organization_id, operation_id, kind, fingerprint, subjects, seqs, created_at)
         VALUES ($1, $2, $3, $4, $5, $6, $7)",
        record.organization.0,
        record.operation.0,
        record.kind,
        record.fingerprint.as_slice(),
        &record.subjects,
        &record.seqs,
        now
    )
    .execute(&mut **tx)
    .await?;
    Ok(())
}

/// For a request that has errors already: whether its operation id is new, so that its other members can be
/// checked. An id that was used for another request is added to `errors`.
///
/// # Errors
/// From the database.
pub async fn is_free(
    tx: &mut Tx<'_>,
    organization: OrganizationId,
    operation: Option<OperationId>,
    fingerprint: &[u8; 32],
    errors: &mut RequestErrors,
) -> Result<bool> {
    let Some(operation) = operation else { return Ok(true) };
    match reserve(tx, organization, operation, fingerprint).await {
        Ok(reservation) => Ok(reservation == Reservation::New),
        Err(Error::InProgress) => Ok(false),
        Err(error) => errors.add(error).map(|()| false),
    }
}
