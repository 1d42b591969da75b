//! The standing of an organisation: its roles, and whether it is suspended. A write depends on it, so it must not
//! change between the check and the commit.
//!
//! Every write holds an advisory lock of its caller, shared; a change of roles and a suspension hold that of the
//! organisation that they change, alone. So a sale is committed before its seller is suspended, or refused. A write that
//! gives something to another organisation (timber, seals, a felling ticket, a load) holds a second lock, of the number by
//! which it names that organisation: so nothing is given to an organisation that has just lost the role for it.
//! Row locks would serve too, but each would write to the organisation's row.
//!
//! Lock order: after the idempotency key; the caller's, then those of named organisations, before all rows.

use super::bin::Bin;
use super::key::Caller;
use super::role::Role;
use crate::base::error::{Error, Result};
use crate::base::ids::OrganizationId;
use crate::evidence::chain::Tx;
use sha2::{Digest, Sha256};

/// Domain separators: with them, the keys of these locks differ from those of other locks.
const LOCK: &[u8] = b"ormantrace/standing\0";
const NAMED_LOCK: &[u8] = b"ormantrace/standing of a number\0";

/// Key of the advisory lock on an organisation's standing.
pub(crate) fn lock_of(organization: OrganizationId) -> i64 {
    lock_key(LOCK, organization.0.as_bytes())
}

fn lock_of_named(bin: Bin) -> i64 {
    lock_key(NAMED_LOCK, bin.as_str().as_bytes())
}

fn lock_key(domain: &[u8], of: &[u8]) -> i64 {
    let mut hasher = Sha256::new();
    hasher.update(domain);
    hasher.update(of);
    let digest: [u8; 32] = hasher.finalize().into();
    digest.iter().take(8).fold(0_i64, |lock, byte| lock << 8 | i64::from(*byte))
}

/// Keeps the standing of the organisations with these numbers until the end of the transaction. Read it afterwards, in
/// another statement.
///
/// # Errors
/// From the database.
pub async fn keep_named(tx: &mut Tx<'_>, bins: &[Bin]) -> Result<()> {
    let mut locks: Vec<i64> = bins.iter().copied().map(lock_of_named).collect();
    locks.sort_unstable();
    sqlx::query!("SELECT pg_advisory_xact_lock_shared(key) FROM UNNEST($1::bigint[]) AS key", &locks)
        .execute(&mut **tx)
        .await?;
    Ok(())
}

/// Like [`keep_named`], but never waits: returns the numbers of which the standing is kept, without those that are being
/// changed.
///
/// # Errors
/// From the database.
pub async fn keep_named_if_free(tx: &mut Tx<'_>, bins: &[Bin]) -> Result<Vec<Bin>> {
    let locks: Vec<i64> = bins.iter().copied().map(lock_of_named).collect();
    let kept = sqlx::query_scalar!(
        r#"SELECT key AS "key!" FROM UNNEST($1::bigint[]) AS key WHERE pg_try_advisory_xact_lock_shared(key)"#,
        &locks
    )
    .fetch_all(&mut **tx)
    .await?;
    Ok(bins.iter().copied().filter(|bin| kept.contains(&lock_of_named(*bin))).collect())
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

/// Waits until no write of the organisation, and none that names it, is under way, and keeps new ones waiting until the
/// end of the transaction.
///
/// # Errors
/// From the database.
pub async fn lock(tx: &mut Tx<'_>, organization: OrganizationId) -> Result<()> {
    sqlx::query!("SELECT pg_advisory_xact_lock($1)", lock_of(organization)).execute(&mut **tx).await?;
    let bin =
        sqlx::query_scalar!(r#"SELECT bin AS "bin: Bin" FROM organization WHERE id = $1"#, organization.0)
            .fetch_optional(&mut **tx)
            .await?;
    // An organisation of which the number was erased cannot be named.
    if let Some(bin) = bin.flatten() {
        sqlx::query!("SELECT pg_advisory_xact_lock($1)", lock_of_named(bin)).execute(&mut **tx).await?;
    }
    Ok(())
}
