//! `/healthz`: the process is alive. `/readyz`: it can take requests, that is, it is not
//! draining and its dependencies respond.

use crate::http::core::problem::{Problem, ProblemType};
use axum::Router;
use axum::response::{IntoResponse, Json, Response};
use axum::routing::get;
use futures_util::future::BoxFuture;
use serde_json::{Map, Value};
use std::fmt;
use std::future::Future;
use std::sync::Arc;
use std::sync::atomic::{AtomicBool, Ordering};
use std::time::Duration;
use tokio::sync::Mutex;
use tokio::time::Instant;

/// How long a check may take before it counts as failed.
const CHECK_TIMEOUT: Duration = Duration::from_secs(1);
/// How long a check result is reused, so that probes cost the database next to nothing.
const CHECK_CACHE_TIME: Duration = Duration::from_secs(1);

type Check = Box<dyn Fn() -> BoxFuture<'static, Result<(), String>> + Send + Sync>;
type Figures = Box<dyn Fn() -> Map<String, Value> + Send + Sync>;

/// The state of this process. Clones share it.
#[derive(Clone)]
pub struct Health(Arc<Inner>);

struct Inner {
    draining: AtomicBool,
    check: Check,
    figures: Figures,
    last: Mutex<Option<(Instant, Result<(), String>)>>,
}

impl fmt::Debug for Health {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.debug_struct("Health").field("draining", &self.is_draining()).finish_non_exhaustive()
    }
}

/// Why this process should get no requests.
#[derive(Clone, Debug, PartialEq, Eq, thiserror::Error)]
pub enum Unready {
    /// The process is shutting down.
    #[error("draining")]
    Draining,
    /// A dependency does not respond; the reason is for the trace.
    #[error("{0}")]
    Check(String),
}

impl Health {
    /// Ready while `check`, such as a ping of the database, succeeds within a second.
    pub fn new<F>(check: impl Fn() -> F + Send + Sync + 'static) -> Self
    where
        F: Future<Output = Result<(), String>> + Send + 'static,
    {
        Self::with_members(check, Map::new)
    }

    /// The same as [`Health::new`], with further members that `/readyz` returns while the process is ready.
    pub fn with_members<F>(
        check: impl Fn() -> F + Send + Sync + 'static,
        figures: impl Fn() -> Map<String, Value> + Send + Sync + 'static,
    ) -> Self
    where
        F: Future<Output = Result<(), String>> + Send + 'static,
    {
        Self(Arc::new(Inner {
            draining: AtomicBool::new(false),
            check: Box::new(move || Box::pin(check())),
            figures: Box::new(figures),
            last: Mutex::new(None),
        }))
    }

    /// Makes the process permanently not ready. Called when the shutdown begins, before
    /// the listener closes, so that a load balancer stops sending requests first.
    pub fn drain(&self) {
        self.0.draining.store(true, Ordering::SeqCst);
    }

    /// Whether [`Health::drain`] was called.
    #[must_use]
    pub fn is_draining(&self) -> bool {
        self.0.draining.load(Ordering::SeqCst)
    }

    /// Whether requests should be sent here.
    ///
    /// # Errors
    /// Why not.
    pub async fn ready(&self) -> Result<(), Unready> {
        if self.is_draining() {
            return Err(Unready::Draining);
        }
        // The lock is held during the check, so that concurrent probes make one ping.
        let mut last = self.0.last.lock().await;
        if let Some((at, outcome)) = &*last
            && at.elapsed() < CHECK_CACHE_TIME
        {
            return outcome.clone().map_err(Unready::Check);
        }
        let outcome = match tokio::time::timeout(CHECK_TIMEOUT, (self.0.check)()).await {
            Ok(outcome) => outcome,
            Err(_) => Err(format!("no response within {CHECK_TIMEOUT:?}")),
        };
        *last = Some((Instant::now(), outcome.clone()));
        outcome.map_err(Unready::Check)
    }

    /// The routes of the check whether the process lives, and of the check whether it is ready; both public.
    pub fn routes<S: Clone + Send + Sync + 'static>(&self, [live, ready]: [&str; 2]) -> Router<S> {
        let health = self.clone();
        Router::new()
            .route(live, get(async || status_json("ok", Map::new())))
            .route(ready, get(async move || health.response().await))
    }

    async fn response(&self) -> Response {
        match self.ready().await {
            Ok(()) => status_json("ready", (self.0.figures)()),
            Err(Unready::Draining) => Problem::new(ProblemType::Unavailable, "This server is shutting down.")
                .retry_after(1)
                .into_response(),
            Err(Unready::Check(cause)) => {
                Problem::new(ProblemType::Unavailable, "A dependency of this server does not respond.")
                    .retry_after(1)
                    .caused_by(cause)
                    .into_response()
            }
        }
    }
}

fn status_json(status: &'static str, mut figures: Map<String, Value>) -> Response {
    figures.insert("status".into(), status.into());
    Json(figures).into_response()
}

#[cfg(test)]
mod tests {
    use super::*;
    use axum::body::Body;
    use axum::http::Request;
    use std::sync::atomic::AtomicU32;
    use tower::ServiceExt;

    async fn status(health: &Health, path: &str) -> u16 {
        let request = Request::get(path).body(Body::empty()).unwrap();
        health.routes::<()>(["/healthz", "/readyz"]).oneshot(request).await.unwrap().status().as_u16()
    }

    #[tokio::test]
    async fn draining_is_alive_and_not_ready() {
        let health = Health::new(async || Ok(()));
        assert_eq!((status(&health, "/healthz").await, status(&health, "/readyz").await), (200, 200));
        health.drain();
        assert_eq!((status(&health, "/healthz").await, status(&health, "/readyz").await), (200, 503));
    }

    #[tokio::test]
    async fn a_crowd_of_probes_makes_one_check() {
        let checks = Arc::new(AtomicU32::new(0));
        let counted = Arc::clone(&checks);
        let health = Health::new(move || {
            counted.fetch_add(1, Ordering::SeqCst);
            async { Err("connection refused".to_owned()) }
        });
        let probes = (0..50).map(|_| status(&health, "/readyz"));
        assert!(futures_util::future::join_all(probes).await.into_iter().all(|status| status == 503));
        assert_eq!(checks.load(Ordering::SeqCst), 1);
    }
}
