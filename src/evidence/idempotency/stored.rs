//! The responses stored under the clients' idempotency keys.

use crate::base::error::{Error, Result};
use crate::base::ids::OrganizationId;
use crate::evidence::chain::Tx;
use chrono::{DateTime, TimeDelta, Utc};
use sha2::{Digest, Sha256};
use sqlx::PgPool;
use uuid::Uuid;

/// Reserves the key for this transaction, or fails because its first request is still
/// running. It does not wait: waiting requests would hold the pool's connections.
pub async fn reserve(tx: &mut Tx<'_>, organization: OrganizationId, name: &str) -> Result<()> {
    let lock = lock_of(organization, name);
    let acquired = sqlx::query_scalar!(r#"SELECT pg_try_advisory_xact_lock($1) AS "taken!""#, lock)
        .fetch_one(&mut **tx)
        .await?;
    if acquired { Ok(()) } else { Err(Error::InProgress) }
}

/// Key of the advisory lock for a client's idempotency key.
pub(crate) fn lock_of(organization: OrganizationId, name: &str) -> i64 {
    let mut hasher = Sha256::new();
    hasher.update(organization.0.as_bytes());
    hasher.update(name.as_bytes());
    let digest: [u8; 32] = hasher.finalize().into();
    i64::from_be_bytes(digest[..8].try_into().expect("eight of 32 bytes"))
}

/// The response stored under the client's idempotency key.
#[derive(Clone, Debug)]
pub struct StoredResponse {
    /// The organisation of the caller.
    pub organization: OrganizationId,
    /// The key.
    pub key: String,
    /// Fingerprint of the write request.
    pub fingerprint: [u8; 32],
    /// HTTP status of the response.
    pub status: i16,
    /// The response body, gzip; `None` if it must not be stored.
    pub body: Option<Vec<u8>>,
    /// Text for the problem once the body is no longer stored.
    pub already_done: String,
    /// When the response was made.
    pub created_at: DateTime<Utc>,
    /// Until when the body is stored.
    pub body_until: DateTime<Utc>,
}

/// Stores responses; makes no round trip if there are none.
pub async fn store_responses(tx: &mut Tx<'_>, responses: Vec<StoredResponse>) -> Result<()> {
    if responses.is_empty() {
        return Ok(());
    }
    let organizations: Vec<Uuid> = responses.iter().map(|row| row.organization.0).collect();
    let keys: Vec<&str> = responses.iter().map(|row| row.key.as_str()).collect();
    let fingerprints: Vec<&[u8]> = responses.iter().map(|row| row.fingerprint.as_slice()).collect();
    let statuses: Vec<i16> = responses.iter().map(|row| row.status).collect();
    let bodies: Vec<Option<&[u8]>> = responses.iter().map(|row| row.body.as_deref()).collect();
    let already_done: Vec<&str> = responses.iter().map(|row| row.already_done.as_str()).collect();
    let created_at: Vec<DateTime<Utc>> = responses.iter().map(|row| row.created_at).collect();
    let body_until: Vec<DateTime<Utc>> = responses.iter().map(|row| row.body_until).collect();
    sqlx::query!(
        "INSERT INTO idempotency (organization_id, key, fingerprint, status, body, already_done, created_at, body_until)
         SELECT * FROM UNNEST($1::uuid[], $2::text[], $3::bytea[], $4::smallint[], $5::bytea[], $6::text[],
                              $7::timestamptz[], $8::timestamptz[])",
        &organizations,
        &keys as &[&str],
        &fingerprints as &[&[u8]],
        &statuses,
        &bodies as &[Option<&[u8]>],
        &already_done as &[&str],
        &created_at,
        &body_until,
    )
    .execute(&mut **tx)
    .await?;
    Ok(())
}

/// The row stored under an idempotency key.
#[derive(Clone, Debug)]
pub struct Stored {
    /// Fingerprint of the write request.
    pub fingerprint: Vec<u8>,
    /// HTTP status of the response.
    pub status: i16,
    /// The response body, gzip; `None` if it is not stored.
    pub body: Option<Vec<u8>>,
    /// Text for the problem if the body is not stored.
    pub already_done: String,
}

/// The row stored under a client's idempotency key; `None` if there is none.
pub async fn find(tx: &mut Tx<'_>, organization: OrganizationId, key: &str) -> Result<Option<Stored>> {
    let row = sqlx::query_as!(
        Stored,
        "SELECT fingerprint, status, body, already_done FROM idempotency WHERE organization_id = $1 AND key = $2",
        organization.0,
        key
    );
    Ok(row.fetch_optional(&mut **tx).await?)
}

/// Deletes expired stored responses: bodies first, rows after 90 days.
pub async fn forget_old(pool: &PgPool, now: DateTime<Utc>) -> Result<u64> {
    let bodies =
        sqlx::query!("UPDATE idempotency SET body = NULL WHERE body IS NOT NULL AND body_until < $1", now)
            .execute(pool)
            .await?;
    let rows = sqlx::query!("DELETE FROM idempotency WHERE created_at < $1", now - TimeDelta::days(90))
        .execute(pool)
        .await?;
    Ok(bodies.rows_affected() + rows.rows_affected())
}
