//! Shared state of the handlers.

use crate::base::clock::Clock;
use crate::base::ids::OrganizationId;
use crate::base::shares::Shares;
use crate::evidence::register::Queue;
use crate::evidence::register::published::Published;
use crate::http::core::limit::PublicLimiter;
use crate::http::core::problem::{PROBLEM_JSON, Problem};
use crate::http::core::write_queue::Writes;
use crate::net::server::{Refusal, ServerSettings};
use crate::services::reads::Reads;
use crate::services::surveillance::checks::Checks;
use crate::timber::parameter::Rulebook;
use crate::timber::seal::gs1::Gtin;
use crate::timber::seal::signing::{KeyRing, SigningKey};
use sqlx::PgPool;
use std::sync::Arc;
use tokio::sync::Semaphore;

/// The state of the server, shared by all handlers.
#[derive(Clone)]
pub struct App(Arc<Inner>, Arc<Shares<OrganizationId>>);

impl std::ops::Deref for App {
    type Target = Inner;
    fn deref(&self) -> &Inner {
        &self.0
    }
}

/// The content of [`App`].
pub struct Inner {
    /// Connections with the service role.
    pub pool: PgPool,
    /// Hot reads, on connections of their own.
    pub reads: Reads,
    /// Group commit of custody events.
    pub writes: Writes,
    /// The clock.
    pub clock: Clock,
    /// The clock and the dated parameters, for the checks of records.
    pub rulebook: Rulebook,
    /// The public URL of this server, without a trailing slash.
    pub public_url: String,
    /// How a buyer reaches the forest inspectorate, shown on the verification page.
    pub inspectorate_contact: Option<String>,
    /// GTIN of the marking codes made here.
    pub gtin: Gtin,
    /// Why this server makes no seals: its settings are those of a demonstration. `None` if it does.
    pub not_configured: Option<String>,
    /// Signs the marking codes made here.
    pub signing_key: SigningKey,
    /// Public keys of all marking codes ever made here, including this server's own key.
    pub key_ring: KeyRing,
    /// Limits the guessing of codes, by client address.
    pub limiter: PublicLimiter,
    /// Counters of checks by buyers.
    pub checks: Checks,
    /// How far the published register is behind, and the keys of receipts.
    pub queue: Queue,
    /// The published register, if there is one.
    pub register: Published,
    /// Key of the request fingerprints, the same for all instances.
    pub fingerprint_key: [u8; 32],
}

/// The listener's settings. Its responses to a connection above the limit and to an invalid `Host` are
/// problem documents.
#[must_use]
pub fn server_settings() -> ServerSettings {
    let refusal = |body| Refusal { content_type: PROBLEM_JSON, body };
    ServerSettings {
        refusal: refusal(|| Problem::overloaded().to_json("", None, None)),
        host_refusal: refusal(|| {
            Problem::malformed("An HTTP/1.1 request has exactly one valid Host header.")
                .to_json("", None, None)
        }),
        ..ServerSettings::default()
    }
}

impl App {
    /// Wraps it for sharing.
    #[must_use]
    pub fn new(inner: Inner) -> Self {
        let connections = inner.pool.options().get_max_connections();
        let half = usize::try_from(connections / 2).unwrap_or(Semaphore::MAX_PERMITS);
        Self(Arc::new(inner), Arc::new(Shares::new(half)))
    }

    /// The organisations' shares of the pool's connections ([`crate::http::core::share`]).
    pub(super) fn connections(&self) -> &Shares<OrganizationId> {
        &self.1
    }
}
