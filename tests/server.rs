//! The listener and the layers over a real port, tested byte by byte: how requests are treated that are slow,
//! malformed or too large, and how the other clients are served meanwhile.
//!
//! If a test needs a timeout to expire, its settings make this timeout short, and the test waits for the
//! effect. No test sleeps for a fixed time.

use axum::Router;
use axum::body::{Body, Bytes};
use axum::extract::Json;
use axum::http::{HeaderMap, StatusCode};
use axum::response::IntoResponse;
use axum::routing::{get, post};
use flate2::Compression;
use flate2::write::GzEncoder;
use ormantrace::http::core::address::{ClientAddr, Network};
use ormantrace::http::core::app::server_settings;
use ormantrace::http::core::body::{BodySettings, batch_body};
use ormantrace::http::core::layers::{ConcurrencyLimits, LayerSettings, with_layers};
use ormantrace::http::core::problem::{PROBLEM_JSON, Problem};
use ormantrace::net::pace::Pace;
use ormantrace::net::server::{Drained, Server, ServerSettings};
use serde_json::Value;
use std::future::Future;
use std::io::Write;
use std::net::SocketAddr;
use std::sync::Arc;
use std::time::Duration;
use tokio::io::{AsyncReadExt, AsyncWriteExt};
use tokio::net::TcpStream;
use tokio::sync::{Notify, mpsc, oneshot};
use tokio::task::JoinHandle;

/// Timeout of each awaited step. It is far longer than any test takes, so that a hang becomes a failure.
const PATIENCE: Duration = Duration::from_secs(20);
const SHORT: Duration = Duration::from_millis(400);

async fn soon<F: Future>(future: F) -> F::Output {
    tokio::time::timeout(PATIENCE, future).await.expect("hangs")
}

struct Running {
    address: SocketAddr,
    stop: Option<oneshot::Sender<()>>,
    served: JoinHandle<Drained>,
}

async fn start(router: Router, layers: LayerSettings, settings: ServerSettings) -> Running {
    let server = Server::bind("127.0.0.1:0".parse().unwrap(), settings).await.unwrap();
    let address = server.local_addr();
    assert_ne!(address.port(), 0);
    let (stop, stopped) = oneshot::channel();
    let shutdown = async {
        let _ = stopped.await;
    };
    let served = tokio::spawn(server.serve(with_layers(router, &layers), shutdown));
    Running { address, stop: Some(stop), served }
}

async fn usual(router: Router) -> Running {
    start(router, LayerSettings::default(), ServerSettings::default()).await
}

struct Answer {
    status: u16,
    head: String,
    body: Vec<u8>,
}

impl Answer {
    fn parse(bytes: &[u8]) -> Self {
        let end = bytes.windows(4).position(|w| w == b"\r\n\r\n").expect("a complete response") + 4;
        let head = String::from_utf8(bytes[..end].to_vec()).unwrap();
        let status = head.split(' ').nth(1).unwrap().parse().unwrap();
        Self { status, head, body: bytes[end..].to_vec() }
    }

    fn header(&self, name: &str) -> Option<&str> {
        self.head.lines().find_map(|line| {
            let (key, value) = line.split_once(": ")?;
            key.eq_ignore_ascii_case(name).then_some(value)
        })
    }

    fn json(&self) -> Value {
        serde_json::from_slice(&self.body).expect("not JSON")
    }

    /// Checks that the response is a complete problem document with this status and type.
    fn is_problem(&self, status: u16, slug: &str) -> &Self {
        assert_eq!(self.header("content-type"), Some(PROBLEM_JSON), "{}", self.head);
        let problem = self.json();
        assert_eq!(problem["type"], format!("/problems/{slug}"), "{problem}");
        assert_eq!((self.status, problem["status"].as_u64()), (status, Some(status.into())));
        assert_eq!(self.header("x-request-id"), problem["request_id"].as_str());
        assert!(problem["instance"].as_str().unwrap().starts_with('/'));
        self
    }
}

impl Running {
    async fn connect(&self) -> TcpStream {
        TcpStream::connect(self.address).await.unwrap()
    }

    /// Sends as many of these bytes as possible and reads until the server closes.
    async fn raw(&self, bytes: &[u8]) -> Vec<u8> {
        let mut stream = self.connect().await;
        // The server may close before all bytes are sent.
        let _ = stream.write_all(bytes).await;
        let mut answer = Vec::new();
        let _ = soon(stream.read_to_end(&mut answer)).await;
        answer
    }

    /// Sends a complete request, then reads the response, as most clients do. They lose the response if
    /// the server closes the connection with unread data.
    async fn whole(&self, bytes: &[u8]) -> Answer {
        let mut stream = self.connect().await;
        soon(stream.write_all(bytes)).await.expect("cut off while sending");
        let mut answer = Vec::new();
        soon(stream.read_to_end(&mut answer)).await.expect("cut off while reading");
        Answer::parse(&answer)
    }

    async fn send(&self, line: &str, headers: &[(&str, &str)], body: &[u8]) -> Answer {
        let mut request = format!("{line} HTTP/1.1\r\nhost: orman\r\nconnection: close\r\n");
        for (name, value) in headers {
            request.extend([name, ": ", value, "\r\n"]);
        }
        if !body.is_empty() {
            request.extend(["content-length: ", &body.len().to_string(), "\r\n"]);
        }
        request += "\r\n";
        self.whole(&[request.as_bytes(), body].concat()).await
    }

    async fn get(&self, path: &str) -> Answer {
        self.send(&format!("GET {path}"), &[], b"").await
    }

    async fn stop(mut self) -> Drained {
        self.stop.take().unwrap().send(()).unwrap();
        soon(self.served).await.unwrap()
    }
}

/// A small API: reads, writes, a batch.
fn forest() -> Router {
    async fn count(body: Bytes) -> Result<(StatusCode, String), Problem> {
        Ok((StatusCode::CREATED, body.len().to_string()))
    }
    Router::new()
        .route("/v1/logs/{code}", get(async || Json(serde_json::json!({"species": "pinus_sylvestris"}))))
        .route("/v1/felling-tickets", post(count))
        .route("/v1/harvests", post(count).layer(batch_body()))
        .route("/v1/me", get(async |ClientAddr(address): ClientAddr| address.to_string()))
        .route("/v1/regions", get(async || Json(vec!["KZ-10"; 500])))
        .route("/v1/broken", get(async || -> &'static str { panic!("SELECT iin FROM persons") }))
        .route("/v1/strict", post(async |Json(_): Json<Vec<u32>>| "read"))
        .route("/v1/refused", post(async || Problem::unauthorized()))
        .route("/verify/{code}", get(async || axum::response::Html("<h1>valid</h1>")))
}

#[tokio::test]
async fn a_route_or_method_that_is_not_there_is_a_problem() {
    let server = usual(forest()).await;
    let answer = server.get("/v1/trees?secret=1").await;
    answer.is_problem(404, "not-found");
    assert_eq!(answer.json()["instance"], "/v1/trees", "the query is not repeated");
    let answer = server.send("DELETE /v1/logs/7", &[], b"").await;
    answer.is_problem(405, "method-not-allowed");
    assert_eq!(answer.header("allow"), Some("GET,HEAD"));
    server.send("FELL /v1/felling-tickets", &[], b"").await.is_problem(405, "method-not-allowed");
    let answer = server.send("GET /v1/felling-tickets", &[("x-request-id", "tablet-17-0042")], b"").await;
    assert_eq!(answer.header("x-request-id"), Some("tablet-17-0042"));
    assert_eq!(answer.header("allow"), Some("POST"));
}

#[tokio::test]
async fn head_is_get_without_its_body() {
    let server = usual(forest()).await;
    let whole = server.get("/v1/logs/7").await;
    let head = server.send("HEAD /v1/logs/7", &[], b"").await;
    assert_eq!((head.status, head.body.len()), (200, 0));
    assert_eq!(head.header("content-length"), whole.header("content-length"));
}

#[tokio::test]
async fn a_panic_is_a_500_without_details_and_the_server_goes_on() {
    let server = usual(forest()).await;
    let answer = server.get("/v1/broken").await;
    answer.is_problem(500, "internal");
    assert!(!String::from_utf8_lossy(&answer.body).contains("SELECT"));
    assert_eq!(server.get("/v1/logs/7").await.status, 200);
}

#[tokio::test]
async fn what_the_framework_refuses_is_a_problem_too() {
    let server = usual(forest()).await;
    let json = [("content-type", "application/json")];
    server.send("POST /v1/strict", &[], b"[1]").await.is_problem(415, "unsupported-media-type");
    server.send("POST /v1/strict", &json, b"[1").await.is_problem(400, "malformed-request");
    server.send("POST /v1/strict", &json, b"[-1]").await.is_problem(422, "unprocessable");
    assert_eq!(server.send("POST /v1/strict", &json, b"[1]").await.status, 200);
}

#[tokio::test]
async fn a_body_has_its_limit_and_a_batch_a_larger_one() {
    let server = usual(forest()).await;
    let (small, large, huge) = (vec![b'1'; 256 * 1024], vec![b'1'; 1024 * 1024], vec![b'1'; 6 * 1024 * 1024]);
    let answer = server.send("POST /v1/felling-tickets", &[], &small).await;
    assert_eq!((answer.status, answer.body.as_slice()), (201, &b"262144"[..]));
    server.send("POST /v1/felling-tickets", &[], &large).await.is_problem(413, "too-large");
    assert_eq!(server.send("POST /v1/harvests", &[], &large).await.status, 201);
    server.send("POST /v1/harvests", &[], &huge).await.is_problem(413, "too-large");
    // Without a Content-Length the limit applies while the body arrives.
    let mut chunked = b"POST /v1/felling-tickets HTTP/1.1\r\nhost: orman\r\nconnection: close\r\n\
                        transfer-encoding: chunked\r\n\r\n"
        .to_vec();
    chunked.extend(format!("{:x}\r\n", large.len()).bytes());
    chunked.extend(&large);
    chunked.extend(b"\r\n0\r\n\r\n");
    server.whole(&chunked).await.is_problem(413, "too-large");
}

#[tokio::test]
async fn a_refused_request_is_answered_without_its_body() {
    let server = usual(forest()).await;
    let expect = [("expect", "100-continue"), ("content-length", "200000")];
    let answer = server.send("POST /v1/refused", &expect, b"").await;
    answer.is_problem(401, "unauthorized");
    assert_eq!(answer.header("www-authenticate"), Some("Bearer"));
    // A client that sends its body anyway still receives the reason.
    server.send("POST /v1/refused", &[], &vec![b'1'; 3_000_000]).await.is_problem(401, "unauthorized");
}

fn pack(bytes: &[u8]) -> Vec<u8> {
    let mut encoder = GzEncoder::new(Vec::new(), Compression::best());
    encoder.write_all(bytes).unwrap();
    encoder.finish().unwrap()
}

#[tokio::test]
async fn gzip_is_unpacked_for_batches_and_a_bomb_does_not_go_off() {
    let server = usual(forest()).await;
    let gzip = [("content-encoding", "gzip")];
    let answer = server.send("POST /v1/harvests", &gzip, &pack(&vec![b'1'; 4_000_000])).await;
    assert_eq!((answer.status, answer.body.as_slice()), (201, &b"4000000"[..]));
    let bomb = pack(&vec![0; 20_000_000]);
    assert!(bomb.len() < 256 * 1024);
    server.send("POST /v1/harvests", &gzip, &bomb).await.is_problem(413, "too-large");
    server.send("POST /v1/felling-tickets", &gzip, &bomb).await.is_problem(415, "unsupported-media-type");
    server
        .send("POST /v1/harvests", &[("content-encoding", "br")], b"x")
        .await
        .is_problem(415, "unsupported-media-type");
    server.send("POST /v1/harvests", &gzip, b"not packed").await.is_problem(400, "malformed-request");
}

#[tokio::test]
async fn large_responses_are_compressed_for_clients_that_accept_gzip() {
    let server = usual(forest()).await;
    let takes = [("accept-encoding", "gzip")];
    let packed = server.send("GET /v1/regions", &takes, b"").await;
    assert_eq!(packed.header("content-encoding"), Some("gzip"));
    assert_eq!(packed.header("vary"), Some("accept-encoding"));
    assert_eq!(server.get("/v1/regions").await.header("content-encoding"), None);
    assert_eq!(server.send("GET /v1/logs/7", &takes, b"").await.header("content-encoding"), None);
}

#[tokio::test]
async fn a_refused_identity_encoding_does_not_turn_a_stored_record_into_a_failure() {
    let server = usual(forest()).await;
    for refused in ["identity;q=0", "*;q=0", "Identity ; Q=0.000", "br, *;q=0"] {
        let takes = [("accept-encoding", refused)];
        let answer = server.send("POST /v1/felling-tickets", &takes, b"{}").await;
        assert_eq!((answer.status, answer.body.as_slice()), (201, &b"2"[..]), "{refused}");
        let answer = server.send("GET /v1/regions", &takes, b"").await;
        assert_eq!((answer.status, answer.header("content-encoding")), (200, None), "{refused}");
    }
    let packed = server.send("GET /v1/regions", &[("accept-encoding", "gzip, identity;q=0")], b"").await;
    assert_eq!(packed.header("content-encoding"), Some("gzip"));
}

#[tokio::test]
async fn a_request_names_its_host_once() {
    let server = start(forest(), LayerSettings::default(), server_settings()).await;
    let send = async |head: &str| {
        Answer::parse(&server.raw(format!("{head}connection: close\r\n\r\n").as_bytes()).await)
    };
    for head in [
        "GET /v1/me HTTP/1.1\r\n",
        "GET http://orman/v1/me HTTP/1.1\r\n",
        "GET /v1/me HTTP/1.1\r\nhost: orman\r\nhost: orman\r\n",
        "GET /v1/me HTTP/1.1\r\nhost: orman\r\nHost: elsewhere\r\n",
        "GET /v1/me HTTP/1.0\r\nhost: orman\r\nhost: elsewhere\r\n",
        "GET /v1/me HTTP/1.1\r\nhost: orman, elsewhere\r\n",
        "GET /v1/me HTTP/1.1\r\nhost: user@orman\r\n",
        "GET /v1/me HTTP/1.1\r\nhost: orman/v1\r\n",
        "GET /v1/me HTTP/1.1\r\nhost: orman:99999\r\n",
        "GET /v1/me HTTP/1.1\r\nhost: orman:x\r\n",
        "GET /v1/me HTTP/1.1\r\nhost: orman:+80\r\n",
        "GET /v1/me HTTP/1.1\r\nhost: [::1]:65536\r\n",
    ] {
        let answer = send(head).await;
        assert_eq!(answer.status, 400, "{head:?}");
        assert_eq!(answer.header("content-type"), Some(PROBLEM_JSON), "{head:?}");
        assert_eq!(answer.json()["type"], "/problems/malformed-request");
        assert_eq!(answer.header("connection"), Some("close"));
    }
    for head in [
        "GET /v1/me HTTP/1.0\r\n",
        "GET /v1/me HTTP/1.0\r\nhost: orman\r\n",
        "GET /v1/me HTTP/1.1\r\nhost:\r\n",
        "GET /v1/me HTTP/1.1\r\nhost: orman:8080\r\n",
        "GET /v1/me HTTP/1.1\r\nhost: [::1]:8080\r\n",
        "GET http://orman/v1/me HTTP/1.1\r\nhost: orman\r\n",
    ] {
        assert_eq!(send(head).await.status, 200, "{head:?}");
    }
}

#[tokio::test]
async fn responses_carry_the_security_headers() {
    let https =
        LayerSettings { public_url: Some("https://orman.example/".into()), ..LayerSettings::default() };
    let plain = usual(forest()).await;
    let server = start(forest(), https, ServerSettings::default()).await;
    let page = server.get("/verify/7").await;
    assert!(page.header("content-security-policy").unwrap().contains("style-src 'self'; img-src 'self'"));
    assert!(!page.header("content-security-policy").unwrap().contains("script-src"));
    assert!(page.header("permissions-policy").is_some());
    assert!(page.header("strict-transport-security").is_some());
    assert!(plain.get("/verify/7").await.header("strict-transport-security").is_none());
    let data = server.send("GET /v1/logs/7", &[("origin", "https://elsewhere.example")], b"").await;
    assert_eq!(data.header("cache-control"), Some("no-store"));
    assert_eq!(data.header("x-content-type-options"), Some("nosniff"));
    assert_eq!(data.header("access-control-allow-origin"), None);
    assert_eq!(server.get("/nowhere").await.json()["type"], "https://orman.example/problems/not-found");
}

#[tokio::test]
async fn an_address_is_believed_from_a_trusted_proxy_only() {
    let forwarded = [("x-forwarded-for", "198.51.100.7")];
    let server = usual(forest()).await;
    assert_eq!(server.send("GET /v1/me", &forwarded, b"").await.body, b"127.0.0.1");
    let trusting = LayerSettings {
        trusted_proxies: vec![Network::parse("127.0.0.0/8").unwrap()],
        ..LayerSettings::default()
    };
    let server = start(forest(), trusting, ServerSettings::default()).await;
    assert_eq!(server.send("GET /v1/me", &forwarded, b"").await.body, b"198.51.100.7");
    for (entry, address) in [("192.0.2.7:5151", "192.0.2.7"), ("[2001:db8::1]:443", "2001:db8::1")] {
        let answer = server.send("GET /v1/me", &[("x-forwarded-for", entry)], b"").await;
        assert_eq!(answer.body, address.as_bytes(), "{entry}");
    }
}

/// Writes `start` and then one byte after another until the server responds or closes; returns the response.
async fn drip(server: &Running, start: &[u8]) -> Vec<u8> {
    let (mut read, mut write) = server.connect().await.into_split();
    write.write_all(start).await.unwrap();
    let dripping = tokio::spawn(async move {
        let mut pace = tokio::time::interval(Duration::from_millis(5));
        while write.write_all(b"a").await.is_ok() {
            pace.tick().await;
        }
    });
    let mut answer = Vec::new();
    let _ = soon(read.read_to_end(&mut answer)).await;
    dripping.abort();
    answer
}

#[tokio::test]
async fn dripped_headers_and_idle_connections_are_let_go() {
    let settings = ServerSettings { header_timeout: SHORT, ..ServerSettings::default() };
    let server = start(forest(), LayerSettings::default(), settings).await;
    assert_eq!(drip(&server, b"GET /v1/me HTTP/1.1\r\nhost: orman\r\nx-drip: ").await, b"");
    assert_eq!(server.raw(b"").await, b"", "a connection without any byte");
    let answer = server.raw(b"GET /v1/me HTTP/1.1\r\nhost: orman\r\n\r\n").await;
    assert_eq!(Answer::parse(&answer).status, 200, "and closed after it idled");
}

#[tokio::test]
async fn a_body_that_stops_or_drips_is_408() {
    let head = b"POST /v1/felling-tickets HTTP/1.1\r\nhost: orman\r\ncontent-length: 100000\r\n\r\n{";
    let with = |pace| LayerSettings {
        body: BodySettings { pace, ..BodySettings::default() },
        ..LayerSettings::default()
    };
    let pace = Pace { bytes_per_second: 8_000, window: 4 * SHORT, total: PATIENCE };
    let server = start(forest(), with(pace), ServerSettings::default()).await;
    Answer::parse(&server.raw(head).await).is_problem(408, "request-timeout");
    // The client never stops sending, but is slower than the pace.
    Answer::parse(&drip(&server, head).await).is_problem(408, "request-timeout");
    // A body that keeps the pace is read to its end, while a slower one is not.
    let (slow, mut steady) = (drip(&server, head), server.connect().await);
    let steady = async move {
        let head = "POST /v1/felling-tickets HTTP/1.1\r\nhost: orman\r\nconnection: close\r\ncontent-length: 40000\r\n\r\n";
        steady.write_all(head.as_bytes()).await.unwrap();
        let mut ticks = tokio::time::interval(SHORT / 8);
        for _ in 0..20 {
            ticks.tick().await;
            steady.write_all(&[b'1'; 2_000]).await.unwrap();
        }
        let mut answer = Vec::new();
        soon(steady.read_to_end(&mut answer)).await.unwrap();
        Answer::parse(&answer)
    };
    let (slow, steady) = tokio::join!(slow, steady);
    Answer::parse(&slow).is_problem(408, "request-timeout");
    assert_eq!((steady.status, steady.body.as_slice()), (201, &b"40000"[..]));
    let pace = Pace { bytes_per_second: 0, window: PATIENCE, total: SHORT };
    let server = start(forest(), with(pace), ServerSettings::default()).await;
    Answer::parse(&drip(&server, head).await).is_problem(408, "request-timeout");
}

/// A route with a response that never ends, and a receiver that ends when the response is dropped.
fn endless() -> (Router, mpsc::Receiver<()>) {
    let (dropped, was_dropped) = mpsc::channel::<()>(1);
    let endless = move || {
        let held = dropped.clone();
        async move {
            let pieces = futures_util::stream::repeat_with(move || {
                let _ = &held;
                Ok::<_, std::io::Error>(Bytes::from_static(&[b'1'; 16384]))
            });
            Body::from_stream(pieces).into_response()
        }
    };
    (Router::new().route("/v1/logs", get(endless)), was_dropped)
}

#[tokio::test]
async fn a_response_that_is_read_in_drips_or_too_long_is_cut() {
    for pace in [
        Pace { bytes_per_second: 8_000_000, window: SHORT, total: PATIENCE },
        Pace { bytes_per_second: 0, window: PATIENCE, total: SHORT },
    ] {
        let settings = ServerSettings { response_pace: pace, ..ServerSettings::default() };
        let (router, mut was_dropped) = endless();
        let server = start(router.merge(forest()), LayerSettings::default(), settings).await;
        let mut stream = server.connect().await;
        stream.write_all(b"GET /v1/logs HTTP/1.1\r\nhost: orman\r\n\r\n").await.unwrap();
        let reading = tokio::spawn(async move {
            let mut pace = tokio::time::interval(Duration::from_millis(5));
            while stream.read_exact(&mut [0; 64]).await.is_ok() {
                pace.tick().await;
            }
        });
        assert_eq!(server.get("/v1/logs/7").await.status, 200, "a client beside it");
        // At its stop, the server waits for open connections for longer than PATIENCE. So this connection was
        // ended by the required pace, and not by the stop.
        assert_eq!(server.stop().await, Drained { cut: 0 });
        assert_eq!(soon(was_dropped.recv()).await, None);
        reading.abort();
    }
}

#[tokio::test]
async fn a_peer_that_reads_nothing_is_disconnected() {
    let (router, mut was_dropped) = endless();
    let response_pace = Pace { window: SHORT, ..Pace::default() };
    let settings = ServerSettings { response_pace, ..ServerSettings::default() };
    let server = start(router, LayerSettings::default(), settings).await;
    let mut stream = server.connect().await;
    stream.write_all(b"GET /v1/logs HTTP/1.1\r\nhost: orman\r\n\r\n").await.unwrap();
    soon(stream.read_exact(&mut [0; 64])).await.unwrap();
    // At its stop, the server waits for open connections for longer than PATIENCE. So this connection was
    // ended by the required pace, and not by the stop.
    assert_eq!(server.stop().await, Drained { cut: 0 });
    assert_eq!(soon(was_dropped.recv()).await, None);
    drop(stream);
}

#[tokio::test]
async fn malformed_http_is_refused_and_harms_no_other_client() {
    let settings = ServerSettings { header_timeout: SHORT, ..ServerSettings::default() };
    let server = start(forest(), LayerSettings::default(), settings).await;
    let long = format!("GET /v1/me HTTP/1.1\r\nhost: orman\r\nx-long: {}\r\n\r\n", "a".repeat(20_000));
    let many = format!("GET /v1/me HTTP/1.1\r\nhost: orman\r\n{}\r\n", "a: b\r\n".repeat(500));
    let far = format!("GET /{} HTTP/1.1\r\nhost: orman\r\n\r\n", "a".repeat(70_000));
    let hostile: [(&[u8], &[u16]); 11] = [
        (b"FELL\r\n\r\n", &[400]),
        (b"GET /v1/me\0 HTTP/1.1\r\n\r\n", &[400]),
        (b"GET /v1/me HTTP/9.9\r\n\r\n", &[400]),
        (b"\x16\x03\x01\x02\x00\x01\x00\x01\xfc\x03\x03", &[400]),
        (b"POST /v1/felling-tickets HTTP/1.1\r\ncontent-length: x\r\n\r\n", &[400]),
        (b"POST /v1/felling-tickets HTTP/1.1\r\ncontent-length: 1\r\ncontent-length: 2\r\n\r\n", &[400]),
        (b"GET /v1/logs/%FF HTTP/1.1\r\nhost: orman\r\nconnection: close\r\n\r\n", &[200, 400]),
        (b"CONNECT orman:443 HTTP/1.1\r\nhost: orman:443\r\nconnection: close\r\n\r\n", &[404, 405]),
        (long.as_bytes(), &[431]),
        (many.as_bytes(), &[431]),
        (far.as_bytes(), &[414, 431]),
    ];
    for (bytes, statuses) in hostile {
        let answer = server.raw(bytes).await;
        let shown = String::from_utf8_lossy(&bytes[..bytes.len().min(60)]);
        assert!(answer.starts_with(b"HTTP/1.1 "), "{shown:?}");
        let status = Answer::parse(&answer).status;
        assert!(statuses.contains(&status), "{shown:?} gave {status}");
    }
    assert_eq!(server.get("/v1/logs/7").await.status, 200);
}

/// Handlers that report when they start, and then wait until the test opens the gate (`open`).
#[derive(Clone)]
struct Gate {
    begun: mpsc::UnboundedSender<()>,
    open: Arc<Notify>,
}

impl Gate {
    fn new() -> (Self, mpsc::UnboundedReceiver<()>) {
        let (begun, has_begun) = mpsc::unbounded_channel();
        (Self { begun, open: Arc::new(Notify::new()) }, has_begun)
    }

    fn route(&self, path: &str) -> Router {
        let gate = self.clone();
        let wait = move || {
            let gate = gate.clone();
            async move {
                gate.begun.send(()).unwrap();
                gate.open.notified().await;
                "valid"
            }
        };
        Router::new().route(path, get(wait))
    }
}

#[tokio::test]
async fn a_shutdown_finishes_what_was_begun() {
    let (gate, mut has_begun) = Gate::new();
    let mut server = usual(gate.route("/v1/logs/{code}")).await;
    let (mut begun, idle) = (server.connect().await, server.connect().await);
    begun.write_all(b"GET /v1/logs/7 HTTP/1.1\r\nhost: orman\r\n\r\n").await.unwrap();
    soon(has_begun.recv()).await.unwrap();
    server.stop.take().unwrap().send(()).unwrap();
    // The server closes its listener at once, while the request is still running.
    soon(async { while TcpStream::connect(server.address).await.is_ok() {} }).await;
    assert!(!server.served.is_finished());
    gate.open.notify_waiters();
    let mut answer = Vec::new();
    soon(begun.read_to_end(&mut answer)).await.unwrap();
    let answer = Answer::parse(&answer);
    assert_eq!((answer.status, answer.body.as_slice()), (200, &b"valid"[..]));
    assert_eq!(soon(server.served).await.unwrap(), Drained { cut: 0 });
    drop(idle);
}

#[tokio::test]
async fn a_shutdown_does_not_wait_for_ever() {
    let (gate, mut has_begun) = Gate::new();
    let settings = ServerSettings { drain: SHORT, ..ServerSettings::default() };
    let server = start(gate.route("/v1/logs/{code}"), LayerSettings::default(), settings).await;
    let mut begun = server.connect().await;
    begun.write_all(b"GET /v1/logs/7 HTTP/1.1\r\nhost: orman\r\n\r\n").await.unwrap();
    soon(has_begun.recv()).await.unwrap();
    assert_eq!(server.stop().await, Drained { cut: 1 });
}

#[tokio::test]
async fn a_flood_of_public_checks_leaves_capacity_for_other_requests() {
    let (gate, mut has_begun) = Gate::new();
    let limits = ConcurrencyLimits { public: 2, wait: SHORT, ..ConcurrencyLimits::default() };
    let layers = LayerSettings { limits, ..LayerSettings::default() };
    let router = forest().merge(gate.route("/v1/verify/{code}"));
    let server = Arc::new(start(router, layers, ServerSettings::default()).await);
    let flood: Vec<_> = (0..30)
        .map(|_| {
            let server = Arc::clone(&server);
            tokio::spawn(async move { server.get("/v1/verify/7").await })
        })
        .collect();
    for _ in 0..2 {
        soon(has_begun.recv()).await.unwrap();
    }
    // Two checks hold both concurrency permits of public requests until the test opens the gate. Writes and
    // reads are still served, because they have permits of their own.
    assert_eq!(server.send("POST /v1/felling-tickets", &[], b"{}").await.status, 201);
    assert_eq!(server.get("/v1/logs/7").await.status, 200);
    let refused = server.get("/v1/verify/8").await;
    refused.is_problem(503, "overloaded");
    assert_eq!(refused.header("retry-after"), Some("1"));
    // Two of the 30 checks hold the two permits until the gate opens. The other 28 are refused with 503.
    let (answered, mut all) = (mpsc::unbounded_channel::<u16>(), Vec::new());
    let (tell, mut told) = answered;
    for one in flood {
        let tell = tell.clone();
        tokio::spawn(async move { tell.send(one.await.unwrap().status) });
    }
    while all.len() < 28 {
        all.push(soon(told.recv()).await.unwrap());
    }
    assert_eq!(all, vec![503; 28]);
    gate.open.notify_waiters();
    assert_eq!((soon(told.recv()).await, soon(told.recv()).await), (Some(200), Some(200)));
}

#[tokio::test]
async fn a_connection_over_the_limit_gets_503_if_none_is_idle() {
    let (gate, mut has_begun) = Gate::new();
    let settings = ServerSettings { connections: 1, ..server_settings() };
    let router = forest().merge(gate.route("/v1/verify/{code}"));
    let server = start(router, LayerSettings::default(), settings).await;
    let mut first = server.connect().await;
    first.write_all(b"GET /v1/verify/7 HTTP/1.1\r\nhost: orman\r\n\r\n").await.unwrap();
    soon(has_begun.recv()).await.unwrap();
    let refused = server.get("/v1/me").await;
    assert_eq!((refused.status, refused.header("retry-after")), (503, Some("1")));
    assert_eq!(refused.json()["type"], "/problems/overloaded");
    gate.open.notify_waiters();
    let mut piece = [0; 16];
    soon(first.read_exact(&mut piece)).await.unwrap();
    assert_eq!(&piece, b"HTTP/1.1 200 OK\r");
    // As soon as the first connection is idle, the server closes it to accept the next one. This may take a
    // moment.
    soon(async { while server.get("/v1/me").await.status != 200 {} }).await;
    let mut rest = Vec::new();
    soon(first.read_to_end(&mut rest)).await.unwrap();
}

#[tokio::test]
async fn silent_connections_of_one_address_cost_other_clients_nothing() {
    let settings = ServerSettings { connections: 20, connections_per_address: 8, ..server_settings() };
    let server = start(forest(), LayerSettings::default(), settings).await;
    let from = async |address: &str| {
        let socket = tokio::net::TcpSocket::new_v4().unwrap();
        socket.bind(address.parse().unwrap()).unwrap();
        socket.connect(server.address).await.unwrap()
    };
    let get = b"GET /v1/me HTTP/1.1\r\nhost: orman\r\n\r\n";
    // A client that keeps its connection open and sends one request after another.
    let mut steady = from("127.0.0.2:0").await;
    let mut answer = [0; 15];
    steady.write_all(get).await.unwrap();
    soon(steady.read_exact(&mut answer)).await.unwrap();
    assert_eq!(&answer, b"HTTP/1.1 200 OK");
    let mut silent = Vec::new();
    for n in 0..50 {
        silent.push(from("127.0.0.1:0").await);
        let answer = {
            let mut one = from("127.0.0.3:0").await;
            one.write_all(b"GET /v1/me HTTP/1.1\r\nhost: orman\r\nconnection: close\r\n\r\n").await.unwrap();
            let mut answer = Vec::new();
            soon(one.read_to_end(&mut answer)).await.unwrap();
            Answer::parse(&answer)
        };
        assert_eq!(answer.status, 200, "after {n}");
    }
    // New connections from the address of the silent clients are accepted too: for them, the server has
    // closed the connections of this address that were idle longest.
    assert_eq!(server.get("/v1/me").await.status, 200);
    let mut rest = Vec::new();
    soon(silent[0].read_to_end(&mut rest)).await.unwrap();
    assert!(rest.is_empty());
    steady.write_all(get).await.unwrap();
    soon(steady.read_exact(&mut answer)).await.expect("the kept connection is still open");
}

#[tokio::test]
async fn unread_responses_of_some_addresses_cost_other_clients_nothing() {
    // The window of the pace is so long that the server cuts no unread response while the test runs.
    let response_pace = Pace { window: 4 * PATIENCE, ..Pace::default() };
    let settings =
        ServerSettings { connections: 16, connections_per_address: 4, response_pace, ..server_settings() };
    let router = forest().route("/v1/logs", get(async || vec![b'x'; 1 << 20]));
    let server = start(router, LayerSettings::default(), settings).await;
    let mut unread = Vec::new();
    for n in 0..16 {
        let socket = tokio::net::TcpSocket::new_v4().unwrap();
        socket.set_recv_buffer_size(8 * 1_024).unwrap();
        socket.bind(format!("127.0.0.{}:0", 2 + n % 4).parse().unwrap()).unwrap();
        let mut one = socket.connect(server.address).await.unwrap();
        one.write_all(b"GET /v1/logs HTTP/1.1\r\nhost: orman\r\nconnection: close\r\n\r\n").await.unwrap();
        let mut status = [0; 15];
        soon(one.read_exact(&mut status)).await.unwrap();
        assert_eq!(&status, b"HTTP/1.1 200 OK");
        unread.push(one);
    }
    soon(async { while server.get("/v1/me").await.status != 200 {} }).await;
    // Only as many connections were closed as were needed.
    let (mut open, mut piece) = (0, vec![0; 64 * 1_024]);
    for mut one in unread {
        let mut length = 0;
        while let Ok(bytes @ 1..) = soon(one.read(&mut piece)).await {
            length += bytes;
        }
        open += usize::from(length > 1 << 20);
    }
    assert!(open >= 12, "{open} of 16 responses were complete");
}

#[tokio::test]
async fn a_trusted_proxy_has_no_bound_of_connections() {
    let settings = ServerSettings { connections: 20, connections_per_address: 2, ..server_settings() };
    let server = Server::bind("127.0.0.1:0".parse().unwrap(), settings).await.unwrap();
    let address = server.local_addr();
    let server = server.counting(|address| (!address.is_loopback()).then_some(address));
    let router = with_layers(forest(), &LayerSettings::default());
    tokio::spawn(server.serve(router, std::future::pending()));
    let mut kept = Vec::new();
    for _ in 0..10 {
        kept.push(TcpStream::connect(address).await.unwrap());
    }
    for stream in &mut kept {
        stream.write_all(b"GET /v1/me HTTP/1.1\r\nhost: orman\r\n\r\n").await.unwrap();
        let mut answer = [0; 15];
        soon(stream.read_exact(&mut answer)).await.unwrap();
        assert_eq!(&answer, b"HTTP/1.1 200 OK");
    }
}

#[tokio::test]
async fn tokens_without_a_known_organisation_have_a_quarter_of_a_class_together() {
    let (gate, mut has_begun) = Gate::new();
    let limits = ConcurrencyLimits { read: 8, wait: SHORT, ..ConcurrencyLimits::default() };
    let layers = LayerSettings { limits, ..LayerSettings::default() };
    let server = Arc::new(start(gate.route("/v1/logs/{code}"), layers, ServerSettings::default()).await);
    let ask = |token: Option<&'static str>| {
        let server = Arc::clone(&server);
        tokio::spawn(async move {
            let headers: Vec<_> = token.map(|token| ("authorization", token)).into_iter().collect();
            server.send("GET /v1/logs/7", &headers, b"").await.status
        })
    };
    let tokens =
        ["Bearer birch", "Bearer pine", "Bearer larch", "Bearer aspen", "Bearer spruce", "Bearer willow"];
    let greedy = tokens.map(|token| ask(Some(token)));
    for _ in 0..2 {
        soon(has_begun.recv()).await.unwrap();
    }
    // Two of the six requests with a token have begun. They hold a quarter of the eight concurrency permits
    // for reads. Requests without a token get other permits.
    let other = [ask(None), ask(None)];
    for _ in 0..2 {
        soon(has_begun.recv()).await.unwrap();
    }
    // The other four requests with a token would exceed a quarter of the permits. They are refused while the
    // first two requests run.
    let mut statuses = Vec::new();
    let (tell, mut told) = mpsc::unbounded_channel();
    for one in greedy {
        let tell = tell.clone();
        tokio::spawn(async move { tell.send(one.await.unwrap()) });
    }
    while statuses.len() < 4 {
        statuses.push(soon(told.recv()).await.unwrap());
    }
    assert_eq!(statuses, [503; 4]);
    gate.open.notify_waiters();
    for one in other {
        assert_eq!(soon(one).await.unwrap(), 200);
    }
    assert_eq!((soon(told.recv()).await, soon(told.recv()).await), (Some(200), Some(200)));
}

#[tokio::test]
async fn a_handler_sees_no_encoding_once_it_is_unpacked() {
    let seen = async |headers: HeaderMap| headers.contains_key("content-encoding").to_string();
    let server = usual(Router::new().route("/v1/harvests", post(seen).layer(batch_body()))).await;
    let answer = server.send("POST /v1/harvests", &[("content-encoding", "gzip")], &pack(b"{}")).await;
    assert_eq!(answer.body, b"false");
}
