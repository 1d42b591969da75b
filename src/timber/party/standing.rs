//! The standing of an organisation: its roles, and whether it is suspended. A write depends on it, so it must not
//! change between the check and the commit.
//!
//! Every write holds an advisory lock of its caller, shared; a change of roles and a suspension hold that of the
//! organisation that they change, alone. So a sale is committed before its seller is suspended, or refused.
//! Row locks would serve too, but each would write to the organisation's row.
//!
//! Lock order: after the idempotency key, before the operation id and all rows.

use super::key::Caller;
use super::role::Role;
use crate::base::error::{Error, Result};
use crate::base::ids::OrganizationId;
use crate::evidence::chain::Tx;
use sha2::{Digest, Sha256};

/// Domain separator: with it, the keys of this lock differ from those of other locks.
const LOCK: &[u8] = b"ormantrace/standing\0";

/// Key of the advisory lock on an organisation's standing.
pub(crate) fn lock_of(organization: OrganizationId) -> i64 {
    let mut hasher = Sha256::new();
    hasher.update(LOCK);
    hasher.update(organization.0.as_bytes());
    let digest: [u8; 32] = hasher.finalize().into();
    digest.iter().take(8).fold(0_i64, |lock, byte| lock << 8 | i64::from(*byte))
}

/// Keeps the standing of the caller until the end of the transaction, and compares it with the one that was read
/// when the request arrived.
///
/// # Errors
/// [`Error::Suspended`] if the caller was suspended since; [`Error::Forbidden`] if its roles were changed since.
pub async fn keep(tx: &mut Tx<'_>, caller: &Caller) -> Result<()> {
    sqlx::query!("SELECT pg_advisory_xact_lock_shared($1)", lock_of(caller.organization))
        .execute(&mut **tx)
        .await?;
    // Two statements: the second one sees what was committed while the first one waited.
    let row = sqlx::query!(
        r#"SELECT roles AS "roles: Vec<Role>", suspended_since IS NOT NULL AS "suspended!"
           FROM organization WHERE id = $1"#,
        caller.organization.0
    )
    .fetch_one(&mut **tx)
    .await?;
    if row.suspended && !caller.suspended {
        return Err(Error::Suspended);
    }
    if row.roles != caller.roles {
        return Err(Error::Forbidden("The roles of your organisation were changed; send it again.".into()));
    }
    Ok(())
}

/// Waits until no write of the organisation is under way, and keeps new ones waiting until the end of the
/// transaction.
pub async fn lock(tx: &mut Tx<'_>, organization: OrganizationId) -> Result<()> {
    sqlx::query!("SELECT pg_advisory_xact_lock($1)", lock_of(organization)).execute(&mut **tx).await?;
    Ok(())
}
