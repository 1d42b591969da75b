//! What every handler can reach.

use crate::base::clock::Clock;
use crate::evidence::register::Queue;
use crate::evidence::register::published::Published;
use crate::http::core::limit::PublicLimiter;
use crate::http::core::problem::{PROBLEM_JSON, Problem};
use crate::http::core::together::Writes;
use crate::net::server::{Refusal, ServerSettings};
use crate::services::reads::Reads;
use crate::timber::seal::gs1::Gtin;
use crate::timber::seal::signing::{KeyRing, SigningKey};
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

/// The listener's settings, with our problem document for a connection too many.
#[must_use]
pub fn server_settings() -> ServerSettings {
    let body = || Problem::overloaded().to_json("", None, None);
    ServerSettings { refusal: Refusal { content_type: PROBLEM_JSON, body }, ..ServerSettings::default() }
}

impl App {
    /// Wraps it for sharing.
    #[must_use]
    pub fn new(inner: Inner) -> Self {
        Self(Arc::new(inner))
    }
}
