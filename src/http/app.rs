//! What every handler can reach.

use super::limit::PublicLimiter;
use super::together::Writes;
use crate::clock::Clock;
use crate::error::{Error, Result};
use crate::read::Reads;
use crate::register::Queue;
use crate::register::published::Published;
use crate::seal::gs1::Gtin;
use crate::seal::signing::{KeyRing, SigningKey};
use sqlx::PgPool;
use std::sync::Arc;

/// The server's own things, shared by all handlers.
#[derive(Clone)]
pub struct App(Arc<Inner>);

impl std::ops::Deref for App {
    type Target = Inner;
    fn deref(&self) -> &Inner {
        &self.0
    }
}

/// What [`App`] shares.
pub struct Inner {
    /// Connections as the service role.
    pub pool: PgPool,
    /// What is read most, on connections of its own.
    pub reads: Reads,
    /// Custody events that go into one transaction with others.
    pub writes: Writes,
    /// The time.
    pub clock: Clock,
    /// Address that the public reaches us by, without a slash at the end.
    pub public_url: String,
    /// GTIN of the marking codes we make.
    pub gtin: Gtin,
    /// Signs the marking codes we make.
    pub signing_key: SigningKey,
    /// Public keys of all codes ever made here, this server's own included.
    pub key_ring: KeyRing,
    /// Bounds the guessing of codes by address.
    pub limiter: PublicLimiter,
    /// How far the register is behind, and the key of its receipts.
    pub queue: Queue,
    /// The published register, where there is one.
    pub register: Published,
    /// Key of idempotency fingerprints, the same for all instances.
    pub fingerprint_key: [u8; 32],
}

impl App {
    /// Wraps it for sharing.
    #[must_use]
    pub fn new(inner: Inner) -> Self {
        Self(Arc::new(inner))
    }
}

/// A secret that all instances share, made by the first that asks.
pub async fn shared_secret(pool: &PgPool, name: &str) -> Result<[u8; 32]> {
    let fresh = crate::chain::Salt::random().0;
    sqlx::query!(
        "INSERT INTO server_secret (name, value) VALUES ($1, $2) ON CONFLICT DO NOTHING",
        name,
        fresh.as_slice()
    )
    .execute(pool)
    .await?;
    let value =
        sqlx::query_scalar!("SELECT value FROM server_secret WHERE name = $1", name).fetch_one(pool).await?;
    value.try_into().map_err(|_| Error::BadRow(format!("server_secret.value of {name}: not 32 bytes")))
}
