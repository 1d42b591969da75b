//! The layers around every handler, from the outside in: compression of responses; the request frame (request
//! id, span, metrics, 500 after a panic, problems completed with path and request id, security headers, one
//! trace line per request); limits on concurrent requests; limits on the body.

use crate::http::core::accept::accept_identity;
use crate::http::core::address::{Network, resolve};
use crate::http::core::body::{BodySettings, guard};
use crate::http::core::cookie::{SESSION, cookie};
use crate::http::core::metrics;
use crate::http::core::place::{Places, RequestPlace};
use crate::http::core::problem::{Cause, PROBLEM_JSON, Problem, ProblemType};
use crate::http::core::response_memory::{Owner, ResponseMemory};
use axum::Router;
use axum::extract::{ConnectInfo, DefaultBodyLimit, FromRequestParts, MatchedPath, Request, State};
use axum::http::header::{
    AUTHORIZATION, CACHE_CONTROL, CONTENT_SECURITY_POLICY, CONTENT_TYPE, HeaderName, REFERRER_POLICY,
    STRICT_TRANSPORT_SECURITY, X_CONTENT_TYPE_OPTIONS,
};
use axum::http::request::Parts;
use axum::http::{Extensions, HeaderMap, HeaderValue, Method, StatusCode, Version};
use axum::middleware::{Next, from_fn_with_state};
use axum::response::{IntoResponse, Response};
use futures_util::FutureExt;
use std::convert::Infallible;
use std::net::{IpAddr, Ipv4Addr, SocketAddr};
use std::panic::AssertUnwindSafe;
use std::sync::Arc;
use std::time::{Duration, Instant};
use tower::util::MapRequestLayer;
use tower_http::CompressionLevel;
use tower_http::compression::CompressionLayer;
use tower_http::compression::predicate::{Predicate, SizeAbove};
use tracing::Instrument;

/// The id of a request, in the response header, in problems and in the trace.
pub const X_REQUEST_ID: HeaderName = HeaderName::from_static("x-request-id");

const PERMISSIONS_POLICY: HeaderName = HeaderName::from_static("permissions-policy");

/// The content security policy of pages. Pages may use our own style sheet, images and form; they may not
/// have scripts, load anything from other origins, or be embedded in frames.
pub const PAGE_CSP: &str = "default-src 'none'; style-src 'self'; img-src 'self'; form-action 'self'; \
                            base-uri 'none'; frame-ancestors 'none'";
/// The headers of security that only pages have.
pub const PAGE_HEADERS: [(HeaderName, &str); 2] = [
    (CONTENT_SECURITY_POLICY, PAGE_CSP),
    (PERMISSIONS_POLICY, "camera=(), geolocation=(), microphone=(), payment=(), usb=()"),
];
/// The content security policy of all other responses: a browser that shows one as a document (it does so with an
/// SVG that is opened directly) may load and run nothing for it.
const DATA_CSP: &str = "default-src 'none'; frame-ancestors 'none'";
/// Settings of the layers.
#[derive(Clone, Debug, Default)]
pub struct LayerSettings {
    /// The public URL of this server. Without it, `type` in problems is only a path. HSTS is
    /// sent only if the URL is https.
    pub public_url: Option<String>,
    /// Proxies that may set `X-Forwarded-For`. Default: none, the header is ignored.
    pub trusted_proxies: Vec<Network>,
    /// Limits on request bodies.
    pub body: BodySettings,
    /// How many requests of each class run concurrently.
    pub limits: ConcurrencyLimits,
    /// How long a 429 response is delayed. A client that sends its next request right after the response then
    /// costs next to nothing. Other clients do not wait, since the delayed response holds no concurrency
    /// permit. Default: no delay.
    pub refusal_pause: Duration,
}

/// How many requests of each class run concurrently ([`crate::http::core::place`]), so that many requests of
/// one class leave capacity for the other classes. The classes are also separate in the database: the hot
/// reads (callers, verifications, logs and histories) use [`crate::services::reads`], which has connections
/// of its own and takes none from the pool. `read` also limits the memory of short responses; long histories
/// need memory permits.
#[derive(Clone, Copy, Debug)]
pub struct ConcurrencyLimits {
    /// The public check, pages, public lists. Default 32.
    pub public: usize,
    /// Reads of the API. Default 64.
    pub read: usize,
    /// Writes of the API. Default 64.
    pub write: usize,
    /// Bytes of request bodies that one organisation may have in memory at a time. Default 16 MB.
    pub body_bytes: u64,
    /// Bytes of responses above 16 kB that are in memory at a time because they are not sent yet. One
    /// organisation, or one address without a token, has at most a quarter of them. Default 32 MB.
    pub response_bytes: u64,
    /// How long a request waits for a permit before it gets 503. Default 1 s.
    pub wait: Duration,
}

impl Default for ConcurrencyLimits {
    fn default() -> Self {
        let (body_bytes, response_bytes) = (16 * 1024 * 1024, 32 * 1024 * 1024);
        Self { public: 32, read: 64, write: 64, body_bytes, response_bytes, wait: Duration::from_secs(1) }
    }
}

/// Classes of traffic with separate concurrency limits.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum TrafficClass {
    /// Open to any client: the public check and the pages.
    Public,
    /// An organisation's reads, and checks of many codes.
    Read,
    /// An organisation's writes.
    Write,
    /// Probes, metrics and requests without a matching route: cheap, so never limited.
    Probe,
}

impl TrafficClass {
    /// The class of a request, by its method and the pattern of its route (`None` if no route matched).
    #[must_use]
    pub fn of(method: &Method, route: Option<&str>) -> Self {
        let Some(route) = route else { return Self::Probe };
        let reads = matches!(*method, Method::GET | Method::HEAD);
        match route {
            "/healthz" | "/readyz" | "/metrics" => Self::Probe,
            "/v1/verify" | "/desk/codes" => Self::Read,
            "/v1/species" | "/v1/regions" | "/desk/sign-in" => Self::Public,
            _ if route.starts_with("/desk") && reads => Self::Read,
            _ if route.starts_with("/desk") => Self::Write,
            _ if route.starts_with("/v1/verify/") || !route.starts_with("/v1/") => Self::Public,
            _ if reads => Self::Read,
            _ => Self::Write,
        }
    }

    /// Its name in the metrics.
    pub(super) fn label(self) -> &'static str {
        match self {
            Self::Public => "public",
            Self::Read => "read",
            Self::Write => "write",
            Self::Probe => "probe",
        }
    }
}

/// The id of the current request; an extractor.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct RequestId(Arc<str>);

impl RequestId {
    /// The id as it is written in the response header, in problems and in the trace.
    #[must_use]
    pub fn as_str(&self) -> &str {
        &self.0
    }

    /// The client's own id, if it is 8 to 64 letters, digits, `-`, `_` or `.`; else a new one.
    fn of(headers: &HeaderMap) -> Self {
        let sane = |text: &&str| {
            (8..=64).contains(&text.len())
                && text.bytes().all(|b| b.is_ascii_alphanumeric() || matches!(b, b'-' | b'_' | b'.'))
        };
        let given = headers.get(X_REQUEST_ID).and_then(|id| id.to_str().ok()).filter(sane);
        // An id of any type would do, because the request id is neither stored nor looked up.
        Self(given.map_or_else(|| crate::base::ids::OperationId::new().to_string().into(), Into::into))
    }
}

impl<S: Sync> FromRequestParts<S> for RequestId {
    type Rejection = Infallible;

    async fn from_request_parts(parts: &mut Parts, _: &S) -> Result<Self, Infallible> {
        Ok(parts.extensions.get::<Self>().cloned().unwrap_or_else(|| Self::of(&parts.headers)))
    }
}

/// Adds all layers to `router`, which must have all its routes already.
pub fn with_layers<S>(router: Router<S>, settings: &LayerSettings) -> Router<S>
where
    S: Clone + Send + Sync + 'static,
{
    let frame = Arc::new(RequestFrame::new(settings));
    let packs = SizeAbove::new(1024).and(worth_packing as fn(_, _, &HeaderMap, &Extensions) -> bool);
    router
        .fallback(async || Problem::not_found())
        .method_not_allowed_fallback(method_not_allowed)
        .layer(DefaultBodyLimit::disable())
        .layer(from_fn_with_state(frame, around))
        // The fastest compression is used, although its output is larger, because the database needs the
        // machine's two cores.
        .layer(CompressionLayer::new().quality(CompressionLevel::Fastest).compress_when(packs))
        .layer(MapRequestLayer::new(accept_identity))
}

/// 405 for a known route with a method that it does not support. axum adds `Allow`.
pub(in crate::http) async fn method_not_allowed(method: Method) -> Problem {
    Problem::method_not_allowed(&method, None)
}

fn worth_packing(_: StatusCode, _: Version, headers: &HeaderMap, _: &Extensions) -> bool {
    let kind = headers.get(CONTENT_TYPE).and_then(|kind| kind.to_str().ok()).unwrap_or_default();
    let kind = kind.split(';').next().unwrap_or_default().trim();
    matches!(
        kind,
        "application/json" | PROBLEM_JSON | "text/html" | "text/css" | "text/javascript" | "image/svg+xml"
    )
}

struct RequestFrame {
    base: String,
    https: bool,
    trusted: Vec<Network>,
    body: BodySettings,
    refusal_pause: Duration,
    places: Arc<Places>,
    memory: ResponseMemory,
}

/// The data of a request that is known before its handler runs.
struct RequestInfo {
    id: RequestId,
    method: &'static str,
    route: String,
    path: String,
    class: TrafficClass,
    quiet: bool,
    started: Instant,
}

async fn around(State(frame): State<Arc<RequestFrame>>, mut request: Request, next: Next) -> Response {
    let matched = request.extensions().get::<MatchedPath>().map(|path| path.as_str().to_owned());
    let class = TrafficClass::of(request.method(), matched.as_deref());
    let info = RequestInfo {
        id: RequestId::of(request.headers()),
        method: metrics::method_label(request.method()),
        path: request.uri().path().to_owned(),
        class,
        quiet: matched.is_some() && class == TrafficClass::Probe,
        // The route's pattern, never the requested path: paths contain codes.
        route: matched.unwrap_or_else(|| "none".to_owned()),
        started: Instant::now(),
    };
    let peer = request.extensions().get::<ConnectInfo<SocketAddr>>().map(|info| info.0.ip());
    let peer = peer.unwrap_or(IpAddr::V4(Ipv4Addr::UNSPECIFIED));
    let client = resolve(peer, request.headers(), &frame.trusted);
    request.extensions_mut().insert(client);
    request.extensions_mut().insert(info.id.clone());

    let (id, method, route) = (info.id.as_str(), info.method, info.route.as_str());
    let span = if info.quiet {
        tracing::debug_span!("request", request_id = id, method, route)
    } else {
        tracing::info_span!("request", request_id = id, method, route)
    };
    async move {
        let _in_flight = metrics::InFlight::enter();
        let (request, rules) = guard(request, frame.body);
        let credential = credential(info.route.as_str(), request.headers());
        let place = Arc::new(RequestPlace::new(Arc::clone(&frame.places), info.class, credential));
        let response = frame.work(&place, request, next).await;
        if response.status() == StatusCode::TOO_MANY_REQUESTS {
            place.release();
            tokio::time::sleep(frame.refusal_pause).await;
        }
        let response = match rules.error() {
            Some(error) if is_failure(&response) => Problem::from(error).into_response(),
            _ => response,
        };
        let response = frame.finish(&info, response, &place, client.0).await;
        place.release();
        response
    }
    .instrument(span)
    .await
}

/// What shows for which organisation a request is: its token, and on the desk the secret of its session.
fn credential<'r>(route: &str, headers: &'r HeaderMap) -> Option<&'r [u8]> {
    if route.starts_with("/desk") {
        return cookie(headers, SESSION).map(str::as_bytes);
    }
    headers.get(AUTHORIZATION).map(HeaderValue::as_bytes)
}

fn is_failure(response: &Response) -> bool {
    response.status().is_client_error() || response.status().is_server_error()
}

impl RequestFrame {
    fn new(settings: &LayerSettings) -> Self {
        let base = settings.public_url.as_deref().unwrap_or_default().trim_end_matches('/').to_owned();
        Self {
            https: base.get(..8).is_some_and(|scheme| scheme.eq_ignore_ascii_case("https://")),
            base,
            trusted: settings.trusted_proxies.clone(),
            body: settings.body,
            refusal_pause: settings.refusal_pause,
            places: Arc::new(Places::new(&settings.limits)),
            memory: ResponseMemory::new(&settings.limits),
        }
    }

    /// Takes a place and runs the handler; a panic in it becomes a 500 problem.
    async fn work(&self, place: &Arc<RequestPlace>, mut request: Request, next: Next) -> Response {
        // A POST takes its place later, when its body has arrived: see
        // [`crate::http::core::write::Envelope`].
        if request.method() != Method::POST
            && let Err(problem) = place.take(None).await
        {
            return problem.into_response();
        }
        request.extensions_mut().insert(Arc::clone(place));
        Self::run(request, next).await
    }

    async fn run(request: Request, next: Next) -> Response {
        // Unwinding is safe here: state that the panicking handler shares with other requests is either
        // consistent or behind a poisoned lock, and this function has no state of its own.
        match AssertUnwindSafe(next.run(request)).catch_unwind().await {
            Ok(response) => response,
            Err(payload) => {
                let message = payload
                    .downcast_ref::<&str>()
                    .copied()
                    .or_else(|| payload.downcast_ref::<String>().map(String::as_str));
                Problem::internal(format!("panicked: {}", message.unwrap_or("no message"))).into_response()
            }
        }
    }

    /// Renders a problem (with the base URL, the request's path and id), gives the response its memory permit,
    /// adds the common headers, and records the request in trace and metrics.
    async fn finish(
        &self,
        info: &RequestInfo,
        response: Response,
        place: &RequestPlace,
        client: IpAddr,
    ) -> Response {
        let (cause, mut problem, response) = self.rendered(info, response);
        let owner = Owner::of(place.organization(), client);
        let mut response = match self.memory.hold(response, info.class, owner, || place.keep()).await {
            Ok(response) => response,
            Err(overloaded) => {
                let (_, refusal, response) = self.rendered(info, overloaded.into_response());
                problem = refusal;
                response
            }
        };
        self.add_headers(info, &mut response);

        let elapsed = info.started.elapsed();
        let status = response.status();
        metrics::record_response(&info.route, info.method, status, elapsed);
        let kind = problem.as_ref().map(|problem| problem.kind().slug());
        let cause = cause.as_ref().map(|cause| &*cause.0);
        let latency_us = u64::try_from(elapsed.as_micros()).unwrap_or(u64::MAX);
        let status = status.as_u16();
        match status {
            500 => tracing::error!(status, latency_us, problem = kind, cause, "answered"),
            501.. => tracing::warn!(status, latency_us, problem = kind, cause, "answered"),
            _ if info.quiet => tracing::debug!(status, latency_us, "answered"),
            _ => tracing::info!(status, latency_us, problem = kind, cause, "answered"),
        }
        response
    }

    /// Renders the problem of the response, if it has one.
    fn rendered(
        &self,
        info: &RequestInfo,
        mut response: Response,
    ) -> (Option<Cause>, Option<Arc<Problem>>, Response) {
        let cause = response.extensions_mut().remove::<Cause>();
        let problem =
            response.extensions_mut().remove::<Arc<Problem>>().or_else(|| framework_problem(&response));
        if let Some(problem) = &problem {
            let rendered = problem.render(&self.base, Some(&info.path), Some(info.id.as_str()));
            let (parts, body) = rendered.into_parts();
            response.headers_mut().extend(parts.headers);
            response.headers_mut().remove(axum::http::header::CONTENT_LENGTH);
            *response.body_mut() = body;
        }
        (cause, problem, response)
    }

    fn add_headers(&self, info: &RequestInfo, response: &mut Response) {
        let is_page = response
            .headers()
            .get(CONTENT_TYPE)
            .is_some_and(|kind| kind.as_bytes().starts_with(b"text/html"));
        let headers = response.headers_mut();
        if let Ok(id) = HeaderValue::from_str(info.id.as_str()) {
            headers.insert(X_REQUEST_ID, id);
        }
        let mut unless_set = |name: HeaderName, value: &'static str| {
            headers.entry(name).or_insert(HeaderValue::from_static(value));
        };
        if is_page {
            for (name, value) in PAGE_HEADERS {
                unless_set(name, value);
            }
        } else {
            unless_set(CONTENT_SECURITY_POLICY, DATA_CSP);
        }
        unless_set(X_CONTENT_TYPE_OPTIONS, "nosniff");
        unless_set(REFERRER_POLICY, "no-referrer");
        unless_set(CACHE_CONTROL, "no-store");
        if self.https {
            unless_set(STRICT_TRANSPORT_SECURITY, "max-age=31536000");
        }
    }
}

/// An error response in plain text or without a body comes from the framework or a library: a problem with
/// the same status replaces it. HTML error responses are left as they are.
fn framework_problem(response: &Response) -> Option<Arc<Problem>> {
    let kind = response.headers().get(CONTENT_TYPE).map_or(&b""[..], HeaderValue::as_bytes);
    if !is_failure(response) || !(kind.is_empty() || kind.starts_with(b"text/plain")) {
        return None;
    }
    let kind = ProblemType::ALL.iter().find(|kind| kind.status() == response.status())?;
    Some(Arc::new(Problem::new(*kind, kind.title())))
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn classes_by_route_and_method() {
        let of = |method, route| TrafficClass::of(&method, Some(route));
        assert_eq!(of(Method::GET, "/v1/verify/{code}"), TrafficClass::Public);
        assert_eq!(of(Method::GET, "/verify/{code}"), TrafficClass::Public);
        assert_eq!(of(Method::GET, "/01/{*path}"), TrafficClass::Public);
        assert_eq!(of(Method::POST, "/v1/verify"), TrafficClass::Read);
        assert_eq!(of(Method::HEAD, "/v1/logs/{code}"), TrafficClass::Read);
        assert_eq!(of(Method::POST, "/v1/harvests"), TrafficClass::Write);
        assert_eq!(of(Method::DELETE, "/v1/keys/{id}"), TrafficClass::Write);
        assert_eq!(of(Method::GET, "/desk/sign-in"), TrafficClass::Public);
        assert_eq!(of(Method::GET, "/desk"), TrafficClass::Read);
        assert_eq!(of(Method::POST, "/desk/codes"), TrafficClass::Read);
        assert_eq!(of(Method::POST, "/desk/logs/{code}/checks"), TrafficClass::Write);
        assert_eq!(of(Method::GET, "/readyz"), TrafficClass::Probe);
        assert_eq!(TrafficClass::of(&Method::POST, None), TrafficClass::Probe);
    }

    #[test]
    fn a_request_id_is_the_callers_if_it_is_sane() {
        let of = |given: &'static str| {
            let mut headers = HeaderMap::new();
            headers.insert(X_REQUEST_ID, HeaderValue::from_static(given));
            RequestId::of(&headers).as_str() == given
        };
        assert!(of("tablet-17.0042_a"));
        assert!(!of("short"));
        assert!(!of("with a space"));
        assert!(!of("a-name;drop"));
        assert!(!of("12345678901234567890123456789012345678901234567890123456789012345"));
        let own = RequestId::of(&HeaderMap::new());
        assert_eq!(own.as_str().parse::<uuid::Uuid>().unwrap().get_version_num(), 7);
    }

    #[derive(Clone, Default)]
    struct Paper(Arc<std::sync::Mutex<Vec<u8>>>);

    impl std::io::Write for Paper {
        fn write(&mut self, bytes: &[u8]) -> std::io::Result<usize> {
            self.0.lock().unwrap().extend_from_slice(bytes);
            Ok(bytes.len())
        }

        fn flush(&mut self) -> std::io::Result<()> {
            Ok(())
        }
    }

    #[tokio::test]
    async fn who_asks_too_much_waits_for_being_told_so_and_takes_nobodys_place() {
        let send = |pause: Duration| {
            let refuse = async || Problem::too_many_requests(1);
            let router = Router::new()
                .route("/v1/verify/{code}", axum::routing::get(refuse))
                .route("/verify", axum::routing::get(async || "asked"));
            let limits = ConcurrencyLimits { public: 1, ..ConcurrencyLimits::default() };
            let settings = LayerSettings { limits, refusal_pause: pause, ..LayerSettings::default() };
            let router: Router = with_layers(router, &settings);
            move |path: &'static str| {
                let request = Request::get(path).body(axum::body::Body::empty()).unwrap();
                tower::ServiceExt::oneshot(router.clone(), request)
            }
        };
        let immediate = send(Duration::ZERO);
        assert_eq!(immediate("/v1/verify/KZ-0000417").await.unwrap().status(), 429);
        let delayed = send(Duration::from_hours(1));
        let mut refused = std::pin::pin!(delayed("/v1/verify/KZ-0000417"));
        // After one poll, the refused request is in its pause and has released its permit.
        assert!(refused.as_mut().now_or_never().is_none());
        assert_eq!(delayed("/verify").await.unwrap().status(), 200, "the only permit is free");
        assert!(refused.as_mut().now_or_never().is_none());
    }

    #[tokio::test]
    async fn a_cause_is_logged_once_with_its_request_and_nothing_of_the_callers() {
        let paper = Paper::default();
        let writer = paper.clone();
        let lines = tracing_subscriber::fmt().with_ansi(false).with_writer(move || writer.clone()).finish();
        let _guard = tracing::subscriber::set_default(lines);
        let fail = async || Problem::internal("relation log_event is away");
        let router = Router::new().route("/v1/logs/{code}", axum::routing::get(fail));
        let router: Router = with_layers(router, &LayerSettings::default());
        let request = Request::get("/v1/logs/KZ-0000417?note=Serik")
            .header("authorization", "Bearer birch-token")
            .header(X_REQUEST_ID, "tablet-17-0042")
            .body(axum::body::Body::empty())
            .unwrap();
        let response = tower::ServiceExt::oneshot(router, request).await.unwrap();
        assert_eq!(response.status(), 500);
        let output = String::from_utf8(paper.0.lock().unwrap().clone()).unwrap();
        assert_eq!(output.lines().count(), 1, "{output}");
        assert_eq!(output.matches("relation log_event is away").count(), 1);
        assert!(output.contains("tablet-17-0042") && output.contains("/v1/logs/{code}"), "{output}");
        for secret in ["KZ-0000417", "Serik", "birch"] {
            assert!(!output.contains(secret), "{output}");
        }
    }
}
