//! Secrets that all instances of a server share, such as the key of fingerprints.

use crate::base::error::{Error, Result};
use sqlx::PgPool;

/// A secret that all instances share; the first instance that needs it creates it.
pub async fn shared(pool: &PgPool, name: &str) -> Result<[u8; 32]> {
    let fresh = crate::evidence::chain::Salt::random().0;
    sqlx::query!(
        "INSERT INTO server_secret (name, value) VALUES ($1, $2) ON CONFLICT DO NOTHING",
        name,
        fresh.as_slice()
    )
    .execute(pool)
    .await?;
    let value =
        sqlx::query_scalar!("SELECT value FROM server_secret WHERE name = $1", name).fetch_one(pool).await?;
    value.try_into().map_err(|_| Error::CorruptRow(format!("server_secret.value of {name}: not 32 bytes")))
}
