//! The listener: our own accept loop over hyper, because `axum::serve` has neither a
//! header timeout nor a limit on connections.
//!
//! It disconnects a peer that does nothing, or next to nothing: one that sends its
//! header slowly or idles between requests, and one that does not read its response.
//! (The timeouts of the body are in [`crate::http::core::body`].) Input that is not HTTP gets a
//! bare 400, 414 or 431 from hyper, and the connection is closed; it does not reach the
//! router. When the shutdown begins, no further connection is accepted and running
//! requests are finished; after the drain time the remaining connections are cut.

use axum::Router;
use axum::body::Body;
use axum::extract::ConnectInfo;
use axum::http::header::{CACHE_CONTROL, CONNECTION, CONTENT_TYPE, HOST};
use axum::http::uri::Authority;
use axum::http::{HeaderValue, StatusCode, Version};
use axum::response::Response;
use hyper::body::Incoming;
use hyper::server::conn::http1;
use hyper::service::service_fn;
use hyper_util::rt::{TokioIo, TokioTimer};
use hyper_util::server::graceful::GracefulShutdown;
use std::future::Future;
use std::io;
use std::net::SocketAddr;
use std::pin::{Pin, pin};
use std::sync::Arc;
use std::task::{Context, Poll, ready};
use std::time::Duration;
use tokio::io::{AsyncRead, AsyncReadExt, AsyncWrite, AsyncWriteExt, ReadBuf};
use tokio::net::{TcpListener, TcpStream};
use tokio::sync::Semaphore;
use tokio::task::JoinSet;
use tokio::time::Sleep;
use tower::ServiceExt;

/// Timeouts and limits of the listener.
#[derive(Clone, Copy, Debug)]
pub struct ServerSettings {
    /// From the end of the last response (or from connecting) to the end of the next header,
    /// so also how long a connection may idle. Default 10 s. A proxy in front should close
    /// idle connections sooner.
    pub header_timeout: Duration,
    /// The maximum bytes of the request line and headers; more is 431. Default 16 kB.
    pub header_bytes: usize,
    /// How long a peer may read nothing of its response before it is cut. Default 30 s.
    pub write_timeout: Duration,
    /// Maximum concurrent connections; further ones get 503 and are closed. Default 1,024.
    pub connections: usize,
    /// How long running requests may take once the shutdown has begun. Default 30 s.
    pub drain: Duration,
    /// The 503 of a connection beyond the limit. Default: one word of plain text.
    pub refusal: Refusal,
    /// The 400 of a request without `Host`, with a repeated or an invalid one. Default: one line of plain text.
    pub host_refusal: Refusal,
}

/// The body of a response that the listener itself sends.
#[derive(Clone, Copy, Debug)]
pub struct Refusal {
    /// Its content type.
    pub content_type: &'static str,
    /// Makes the body.
    pub body: fn() -> Vec<u8>,
}

impl Default for ServerSettings {
    fn default() -> Self {
        Self {
            header_timeout: Duration::from_secs(10),
            header_bytes: 16 * 1024,
            write_timeout: Duration::from_secs(30),
            connections: 1024,
            drain: Duration::from_secs(30),
            refusal: Refusal { content_type: "text/plain; charset=utf-8", body: || b"overloaded\n".to_vec() },
            host_refusal: Refusal {
                content_type: "text/plain; charset=utf-8",
                body: || b"one valid Host header is needed\n".to_vec(),
            },
        }
    }
}

/// How a shutdown ended.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub struct Drained {
    /// Connections that were still open at the end of the drain time, and were cut.
    pub cut: usize,
}

/// A bound listener that does not serve yet.
#[derive(Debug)]
pub struct Server {
    listener: TcpListener,
    address: SocketAddr,
    settings: ServerSettings,
}

/// Maximum concurrent connections that get a 503 above the limit; further ones are closed without it.
const MAX_REJECTING: usize = 64;
const REJECT_TIMEOUT: Duration = Duration::from_secs(1);
/// Pause after an error of `accept` that no single peer caused (mostly: no file descriptors left).
const ACCEPT_BACKOFF: Duration = Duration::from_millis(100);

impl Server {
    /// Binds `address`; port 0 takes a free port, which [`Server::local_addr`] returns.
    ///
    /// # Errors
    /// If the address is in use or not local.
    pub async fn bind(address: SocketAddr, settings: ServerSettings) -> io::Result<Self> {
        Self::new(TcpListener::bind(address).await?, settings)
    }

    /// Uses a listener that is already bound.
    ///
    /// # Errors
    /// If it has no address.
    pub fn new(listener: TcpListener, settings: ServerSettings) -> io::Result<Self> {
        let address = listener.local_addr()?;
        Ok(Self { listener, address, settings })
    }

    /// The bound address.
    #[must_use]
    pub fn local_addr(&self) -> SocketAddr {
        self.address
    }

    /// Serves until `shutdown` resolves, then drains.
    ///
    /// If `/readyz` shall fail for a while before the listener closes, `shutdown` can call
    /// [`crate::http::core::health::Health::drain`] and resolve later.
    pub async fn serve(self, router: Router, shutdown: impl Future<Output = ()>) -> Drained {
        let Self { listener, settings, .. } = self;
        let http = protocol(&settings);
        let permits = Arc::new(Semaphore::new(settings.connections));
        let rejecting = Arc::new(Semaphore::new(MAX_REJECTING));
        let graceful = GracefulShutdown::new();
        let mut peers = JoinSet::new();
        let mut shutdown = pin!(shutdown);

        loop {
            let (stream, peer) = tokio::select! {
                biased;
                () = &mut shutdown => break,
                Some(_) = peers.join_next(), if !peers.is_empty() => continue,
                accepted = listener.accept() => match accepted {
                    Ok(accepted) => accepted,
                    Err(error) => {
                        if !is_peer_error(&error) {
                            tracing::error!(%error, "cannot accept connections");
                            tokio::time::sleep(ACCEPT_BACKOFF).await;
                        }
                        continue;
                    }
                },
            };
            // Small responses are sent at once. A socket that rejects the option is about to fail anyway.
            let _ = stream.set_nodelay(true);
            let Ok(permit) = Arc::clone(&permits).try_acquire_owned() else {
                if let Ok(permit) = Arc::clone(&rejecting).try_acquire_owned() {
                    peers.spawn(async move {
                        let _ = tokio::time::timeout(REJECT_TIMEOUT, reject(stream, settings.refusal)).await;
                        drop(permit);
                    });
                }
                continue;
            };
            let router = router.clone();
            let service = service_fn(move |request: hyper::Request<Incoming>| {
                let router = router.clone();
                async move {
                    if !has_valid_host(&request) {
                        return Ok(host_refused(settings.host_refusal));
                    }
                    let mut request = request.map(Body::new);
                    request.extensions_mut().insert(ConnectInfo(peer));
                    router.oneshot(request).await
                }
            });
            let socket = TokioIo::new(Socket::new(stream, settings.write_timeout));
            let connection = graceful.watch(http.serve_connection(socket, service));
            peers.spawn(async move {
                if let Err(error) = connection.await {
                    tracing::debug!(%error, "connection ended");
                }
                drop(permit);
            });
        }

        drop(listener);
        let finished = async {
            graceful.shutdown().await;
            while peers.join_next().await.is_some() {}
        };
        if tokio::time::timeout(settings.drain, finished).await.is_ok() {
            return Drained { cut: 0 };
        }
        let mut cut = 0;
        peers.abort_all();
        while let Some(ended) = peers.join_next().await {
            cut += usize::from(ended.is_err_and(|error| error.is_cancelled()));
        }
        Drained { cut }
    }
}

fn protocol(settings: &ServerSettings) -> http1::Builder {
    let mut http = http1::Builder::new();
    http.timer(TokioTimer::new())
        .header_read_timeout(settings.header_timeout)
        .max_header_size(settings.header_bytes)
        .max_headers(64)
        .half_close(false);
    http
}

/// Whether a request names its host as RFC 9112, section 3.2, demands: once, except that HTTP/1.0 may omit
/// it, and as an authority. A proxy in front may have read another of two hosts than this server.
fn has_valid_host<B>(request: &hyper::Request<B>) -> bool {
    let mut hosts = request.headers().get_all(HOST).iter();
    match (hosts.next(), hosts.next()) {
        (None, _) => request.version() < Version::HTTP_11,
        (Some(host), None) => {
            let valid = |host: &str| !host.contains('@') && host.parse::<Authority>().is_ok();
            host.is_empty() || host.to_str().is_ok_and(valid)
        }
        (Some(_), Some(_)) => false,
    }
}

/// The 400 for such a request. The connection is closed: the body was not read.
fn host_refused(refusal: Refusal) -> Response {
    let mut response = Response::new(Body::from((refusal.body)()));
    *response.status_mut() = StatusCode::BAD_REQUEST;
    let headers = [(CONTENT_TYPE, refusal.content_type), (CACHE_CONTROL, "no-store"), (CONNECTION, "close")];
    response.headers_mut().extend(headers.map(|(name, value)| (name, HeaderValue::from_static(value))));
    response
}

/// Whether the peer disconnected before it was accepted, which needs no pause.
fn is_peer_error(error: &io::Error) -> bool {
    use io::ErrorKind::{ConnectionAborted, ConnectionRefused, ConnectionReset};
    matches!(error.kind(), ConnectionAborted | ConnectionRefused | ConnectionReset)
}

/// Sends 503 without reading the request, then waits until the peer closes; the caller limits the time.
async fn reject(mut stream: TcpStream, refusal: Refusal) -> io::Result<()> {
    let body = (refusal.body)();
    let head = format!(
        "HTTP/1.1 503 Service Unavailable\r\ncontent-type: {}\r\nretry-after: 1\r\n\
         cache-control: no-store\r\ncontent-length: {}\r\nconnection: close\r\n\r\n",
        refusal.content_type,
        body.len()
    );
    stream.write_all(head.as_bytes()).await?;
    stream.write_all(&body).await?;
    stream.shutdown().await?;
    let mut rest = [0; 1024];
    while stream.read(&mut rest).await? > 0 {}
    Ok(())
}

/// A stream that fails if the peer reads nothing for too long; hyper has no such timer.
struct Socket {
    stream: TcpStream,
    write_timeout: Duration,
    stalled: Option<Pin<Box<Sleep>>>,
}

impl Socket {
    fn new(stream: TcpStream, write_timeout: Duration) -> Self {
        Self { stream, write_timeout, stalled: None }
    }

    fn timed<T>(&mut self, cx: &mut Context<'_>, written: Poll<io::Result<T>>) -> Poll<io::Result<T>> {
        if written.is_ready() {
            self.stalled = None;
            return written;
        }
        let write_timeout = self.write_timeout;
        let alarm = self.stalled.get_or_insert_with(|| Box::pin(tokio::time::sleep(write_timeout)));
        ready!(alarm.as_mut().poll(cx));
        Poll::Ready(Err(io::ErrorKind::TimedOut.into()))
    }
}

impl AsyncRead for Socket {
    fn poll_read(
        mut self: Pin<&mut Self>,
        cx: &mut Context<'_>,
        buffer: &mut ReadBuf<'_>,
    ) -> Poll<io::Result<()>> {
        Pin::new(&mut self.stream).poll_read(cx, buffer)
    }
}

impl AsyncWrite for Socket {
    fn poll_write(mut self: Pin<&mut Self>, cx: &mut Context<'_>, bytes: &[u8]) -> Poll<io::Result<usize>> {
        let written = Pin::new(&mut self.stream).poll_write(cx, bytes);
        self.timed(cx, written)
    }

    fn poll_write_vectored(
        mut self: Pin<&mut Self>,
        cx: &mut Context<'_>,
        pieces: &[io::IoSlice<'_>],
    ) -> Poll<io::Result<usize>> {
        let written = Pin::new(&mut self.stream).poll_write_vectored(cx, pieces);
        self.timed(cx, written)
    }

    fn is_write_vectored(&self) -> bool {
        self.stream.is_write_vectored()
    }

    fn poll_flush(mut self: Pin<&mut Self>, cx: &mut Context<'_>) -> Poll<io::Result<()>> {
        Pin::new(&mut self.stream).poll_flush(cx)
    }

    fn poll_shutdown(mut self: Pin<&mut Self>, cx: &mut Context<'_>) -> Poll<io::Result<()>> {
        Pin::new(&mut self.stream).poll_shutdown(cx)
    }
}
