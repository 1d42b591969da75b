//! Numbers that devices give to their records, each unique per organisation for ever.

use crate::base::error::{Error, FieldError, Location, Result};
use crate::base::ids::{OperationId, OrganizationId};
use crate::evidence::chain::Tx;
use chrono::{DateTime, Utc};

/// Reserves a device's number for a write request. Call this only for a request that is not a repetition: a
/// repeated request would conflict with the number that its first execution reserved.
///
/// # Errors
/// [`Error::Conflict`] with `device-seq-used` if the device used that number before.
pub async fn reserve(
    tx: &mut Tx<'_>,
    organization: OrganizationId,
    device: &str,
    seq: i64,
    recorded_at: DateTime<Utc>,
    operation: OperationId,
) -> Result<()> {
    let stored = sqlx::query!(
        "INSERT INTO device_record (organization_id, device_id, seq, recorded_at, operation_id)
         VALUES ($1, $2, $3, $4, $5) ON CONFLICT ON CONSTRAINT device_record_pkey DO NOTHING",
        organization.0,
        device,
        seq,
        recorded_at,
        operation.0
    )
    .execute(&mut **tx)
    .await?;
    if stored.rows_affected() == 1 {
        return Ok(());
    }
    Err(Error::Conflict(vec![FieldError::new(
        Location::Pointer("/device/seq".into()),
        "device-seq-used",
        "This device used that number for another record.",
    )]))
}
