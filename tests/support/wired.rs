//! A server that reaches its database through a proxy (`Wire`) that the test controls, and concurrent
//! requests to this server.

use crate::support::wire::Wire;
use crate::world::{Answer, Org, World};
use axum::Router;
use axum::body::Body;
use axum::http::{Method, Request};
use futures_util::future::join_all;
use http_body_util::BodyExt;
use ormantrace::http::core::app::App;
use ormantrace::http::core::layers::LayerSettings;
use ormantrace::http::router::router;
use serde_json::Value;
use std::future::Future;
use std::pin::Pin;
use std::task::Poll;
use std::time::Duration;
use tower::ServiceExt;

pub type Asking = Pin<Box<dyn Future<Output = Answer> + Send>>;

/// A server that reaches its database through a proxy (`Wire`).
pub struct Wired {
    pub wire: Wire,
    pub app: App,
    pub router: Router,
}

impl Wired {
    pub fn to(world: &World) -> Self {
        let wire = Wire::to(&world.database());
        let app = World::instance_at(wire.database(), &world.clock);
        let router = router(app.clone(), &LayerSettings::default());
        Self { wire, app, router }
    }

    pub fn ask(&self, path: &str, org: Option<&Org>) -> Asking {
        ask(&self.router, path, org)
    }

    /// How many statements the database executes for a request. The request is sent twice, and only the
    /// second is counted, because the first also prepares statements.
    pub async fn statements(&self, path: &str, org: Option<&Org>, status: u16) -> usize {
        self.ask(path, org).await.expect(status);
        let before = self.wire.statements();
        self.ask(path, org).await.expect(status);
        self.wire.statements() - before
    }

    /// Sends all requests while the proxy holds back their statements, so that all queries that can be
    /// batched are batched.
    pub async fn together(&self, asking: Vec<Asking>) -> Vec<Answer> {
        self.wire.hold();
        let mut asking = join_all(asking);
        // One poll takes each request to the point where it waits for the database.
        assert!(poll(&mut asking).await.is_pending());
        self.wire.release();
        soon(asking).await
    }
}

pub fn ask(router: &Router, path: &str, org: Option<&Org>) -> Asking {
    let mut request = Request::builder().method(Method::GET).uri(path);
    if let Some(org) = org {
        request = request.header("authorization", format!("Bearer {}", org.token));
    }
    send(router, request.body(Body::empty()).unwrap())
}

/// A write request as a future.
pub fn post(router: &Router, path: &str, org: &Org, key: Option<&str>, body: &Value) -> Asking {
    let mut request = Request::post(path)
        .header("authorization", format!("Bearer {}", org.token))
        .header("content-type", "application/json");
    if let Some(key) = key {
        request = request.header("idempotency-key", key);
    }
    send(router, request.body(Body::from(body.to_string())).unwrap())
}

pub fn send(router: &Router, request: Request<Body>) -> Asking {
    let answering = router.clone().oneshot(request);
    Box::pin(async move {
        let response = answering.await.unwrap();
        let (status, headers) = (response.status(), response.headers().clone());
        let bytes = response.into_body().collect().await.unwrap().to_bytes().to_vec();
        Answer { status, headers, bytes }
    })
}

/// Polls a request once.
pub async fn poll<F: Future + Unpin>(asking: &mut F) -> Poll<F::Output> {
    std::future::poll_fn(|context| Poll::Ready(Pin::new(&mut *asking).poll(context))).await
}

/// Waits for a result. Panics after a minute, so that a hang becomes a failure.
pub async fn soon<F: Future>(future: F) -> F::Output {
    tokio::time::timeout(Duration::from_mins(1), future).await.expect("an answer within a minute")
}
