//! Prometheus metrics: requests by matched route, method and status class, requests in flight, requests
//! refused because no place became free in time, and gauges of other modules (the pool's connections). No
//! label value comes from a client: no path, no code, no name.

use crate::http::core::problem::Problem;
use axum::Router;
use axum::http::header::CONTENT_TYPE;
use axum::http::{HeaderMap, Method, StatusCode};
use axum::response::{IntoResponse, Response};
use axum::routing::get;
use metrics::{counter, describe_counter, describe_gauge, describe_histogram, gauge, histogram};
use metrics_exporter_prometheus::{Matcher, PrometheusBuilder, PrometheusHandle};
use std::fmt;
use std::future::Future;
use std::sync::{Arc, OnceLock};
use std::time::Duration;

const REQUESTS: &str = "ormantrace_http_requests_total";
const SECONDS: &str = "ormantrace_http_request_seconds";
const IN_FLIGHT: &str = "ormantrace_http_requests_in_flight";
const SHED: &str = "ormantrace_http_requests_shed_total";
const ABORTED: &str = "ormantrace_http_responses_aborted_total";

/// Upper bounds of the latency histogram in seconds; they span the product's latency targets.
const BUCKETS: &[f64] =
    &[0.0005, 0.001, 0.0025, 0.005, 0.01, 0.025, 0.05, 0.1, 0.25, 0.5, 1.0, 2.5, 5.0, 10.0, 30.0];

/// Interval at which samples are added to their buckets, also without a scrape.
const UPKEEP: Duration = Duration::from_secs(5);

/// Returns the recorder of this process. The first call installs it; later calls return the same recorder,
/// because one process (a test) may start several servers.
///
/// Nothing is recorded before the first call. Returns `None` if another recorder was installed before (the
/// other recorder then has the metrics), or if the upkeep thread cannot be started.
pub fn install() -> Option<&'static PrometheusHandle> {
    static HANDLE: OnceLock<Option<PrometheusHandle>> = OnceLock::new();
    HANDLE
        .get_or_init(|| {
            let builder = PrometheusBuilder::new()
                .set_buckets_for_metric(Matcher::Suffix("_seconds".into()), BUCKETS)
                .ok()?;
            let handle = builder.install_recorder().ok()?;
            describe_counter!(REQUESTS, "Requests answered, by matched route, method and status class.");
            describe_histogram!(SECONDS, "Seconds from the head of a request to the head of its response.");
            describe_gauge!(IN_FLIGHT, "Requests in progress.");
            describe_counter!(
                "ormantrace_merged_statements_total",
                "Statements of the batch loaders, by loader; retries are not counted."
            );
            describe_counter!("ormantrace_merged_askers_total", "Requests served by those statements.");
            crate::evidence::register::describe_figures();
            describe_counter!(SHED, "Requests answered 503 because no permit came free, by class.");
            describe_counter!(ABORTED, "Long responses that were cut because a page could not be read.");
            // Samples stay in memory until a scrape or this thread adds them to their buckets. Without the
            // thread and without scrapes, the memory would grow for ever.
            let folding = handle.clone();
            let spawned = std::thread::Builder::new().name("metrics".into()).spawn(move || {
                loop {
                    std::thread::sleep(UPKEEP);
                    folding.run_upkeep();
                }
            });
            spawned.ok().map(|_| handle)
        })
        .as_ref()
}

/// Only known methods become labels.
pub(in crate::http) fn method_label(method: &Method) -> &'static str {
    match method.as_str() {
        "GET" => "GET",
        "HEAD" => "HEAD",
        "POST" => "POST",
        "PUT" => "PUT",
        "PATCH" => "PATCH",
        "DELETE" => "DELETE",
        "OPTIONS" => "OPTIONS",
        _ => "other",
    }
}

fn class_label(status: StatusCode) -> &'static str {
    match status.as_u16() / 100 {
        2 => "2xx",
        3 => "3xx",
        4 => "4xx",
        5 => "5xx",
        _ => "1xx",
    }
}

pub(in crate::http) fn record_response(
    route: &str,
    method: &'static str,
    status: StatusCode,
    elapsed: Duration,
) {
    let route = route.to_owned();
    counter!(REQUESTS, "route" => route.clone(), "method" => method, "status" => class_label(status))
        .increment(1);
    histogram!(SECONDS, "route" => route, "method" => method).record(elapsed.as_secs_f64());
}

pub(in crate::http) fn shed(class: &'static str) {
    counter!(SHED, "class" => class).increment(1);
}

pub(in crate::http) fn aborted() {
    counter!(ABORTED).increment(1);
}

/// Counts one request as in flight until dropped, however it ends.
pub(in crate::http) struct InFlight(());

impl InFlight {
    pub(in crate::http) fn enter() -> Self {
        gauge!(IN_FLIGHT).increment(1.0);
        Self(())
    }
}

impl Drop for InFlight {
    fn drop(&mut self) {
        gauge!(IN_FLIGHT).decrement(1.0);
    }
}

type Reading = Arc<dyn Fn() -> f64 + Send + Sync>;

/// The content of `/metrics`, with the gauges that are read at each scrape.
#[derive(Clone, Default)]
pub struct Exposition {
    readings: Vec<(&'static str, Reading)>,
}

impl fmt::Debug for Exposition {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.debug_list().entries(self.readings.iter().map(|(name, _)| name)).finish()
    }
}

impl Exposition {
    /// The process's metrics; installs the recorder.
    #[must_use]
    pub fn new() -> Self {
        install();
        Self::default()
    }

    /// Adds a gauge that is read at each scrape, such as the pool's idle connections.
    #[must_use]
    pub fn with_gauge(
        mut self,
        name: &'static str,
        help: &'static str,
        read: impl Fn() -> f64 + Send + Sync + 'static,
    ) -> Self {
        describe_gauge!(name, help);
        self.readings.push((name, Arc::new(read)));
        self
    }

    /// The metrics as Prometheus text (exposition format 0.0.4).
    #[must_use]
    pub fn render(&self) -> String {
        for (name, read) in &self.readings {
            gauge!(*name).set(read());
        }
        install().map(PrometheusHandle::render).unwrap_or_default()
    }

    /// `GET` of `path` for requests that `guard` accepts; `guard` checks the operator's token.
    pub fn routes<S, G, F>(self, path: &str, guard: G) -> Router<S>
    where
        S: Clone + Send + Sync + 'static,
        G: Fn(HeaderMap) -> F + Clone + Send + Sync + 'static,
        F: Future<Output = Result<(), Problem>> + Send + 'static,
    {
        let show = move |headers: HeaderMap| {
            let allowed = guard(headers);
            let exposition = self.clone();
            async move {
                allowed.await?;
                Ok::<_, Problem>(exposition.response())
            }
        };
        Router::new().route(path, get(show))
    }

    /// `GET` of `path` without a token, for a listener of its own (`--metrics-listen`).
    pub fn open_routes<S: Clone + Send + Sync + 'static>(self, path: &str) -> Router<S> {
        self.routes(path, async |_| Ok(()))
    }

    fn response(&self) -> Response {
        ([(CONTENT_TYPE, "text/plain; version=0.0.4; charset=utf-8")], self.render()).into_response()
    }
}

#[cfg(test)]
mod tests {
    use super::*;
    use axum::body::Body;
    use axum::http::Request;
    use tower::ServiceExt;

    #[test]
    fn installing_again_gives_the_same() {
        let first = install().unwrap();
        assert!(std::ptr::eq(first, install().unwrap()));
    }

    #[test]
    fn what_is_counted_is_shown() {
        let exposition = Exposition::new().with_gauge("ormantrace_test_idle", "Idle.", || 3.0);
        record_response("/v1/logs/{code}", "GET", StatusCode::OK, Duration::from_millis(3));
        shed("public");
        let text = exposition.render();
        let expect = r#"ormantrace_http_requests_total{route="/v1/logs/{code}",method="GET",status="2xx"} 1"#;
        assert!(text.contains(expect), "{text}");
        assert!(text.contains("ormantrace_http_request_seconds_bucket"), "{text}");
        assert!(text.contains(r#"ormantrace_http_requests_shed_total{class="public"}"#), "{text}");
        assert!(text.contains("ormantrace_test_idle 3"), "{text}");
    }

    #[test]
    fn a_method_nobody_knows_is_no_label() {
        assert_eq!(method_label(&Method::from_bytes(b"FELL").unwrap()), "other");
    }

    #[tokio::test]
    async fn the_guard_decides() {
        let status = async |router: Router| {
            router.oneshot(Request::get("/metrics").body(Body::empty()).unwrap()).await.unwrap().status()
        };
        assert_eq!(
            status(Exposition::new().routes("/metrics", async |_| Err(Problem::unauthorized()))).await,
            401
        );
        assert_eq!(status(Exposition::new().open_routes("/metrics")).await, 200);
    }
}
