//! The listener: our own accept loop over hyper, because `axum::serve` has neither a
//! header timeout nor a limit on connections.
//!
//! It disconnects a peer that does nothing, or next to nothing: one that sends its header slowly or idles
//! between requests, and one that reads its response slowly. (The pace of the body is in
//! [`crate::http::core::body`].) If a limit of connections is reached, an idle connection is closed for the
//! new one (see `connections.rs`). Input that is not HTTP gets a bare 400, 414 or 431 from hyper, and the
//! connection is closed; it does not reach the router. When the shutdown begins, no further connection is
//! accepted and running requests are finished; after the drain time the remaining connections are cut.

use crate::net::connections::{Connections, Seat};
use crate::net::pace::{Pace, PaceMeter};
use axum::Router;
use axum::body::{Body, Bytes, HttpBody};
use axum::extract::ConnectInfo;
use axum::http::header::{CACHE_CONTROL, CONNECTION, CONTENT_TYPE, HOST};
use axum::http::uri::Authority;
use axum::http::{HeaderValue, StatusCode, Version};
use axum::response::Response;
use hyper::body::{Frame, Incoming, SizeHint};
use hyper::server::conn::http1;
use hyper::service::service_fn;
use hyper_util::rt::{TokioIo, TokioTimer};
use hyper_util::server::graceful::GracefulShutdown;
use std::convert::Infallible;
use std::future::Future;
use std::io;
use std::net::{IpAddr, SocketAddr};
use std::pin::{Pin, pin};
use std::sync::Arc;
use std::task::{Context, Poll, ready};
use std::time::Duration;
use tokio::io::{AsyncRead, AsyncReadExt, AsyncWrite, AsyncWriteExt, ReadBuf};
use tokio::net::{TcpListener, TcpSocket, TcpStream};
use tokio::sync::Semaphore;
use tokio::task::JoinSet;
use tokio::time::{Instant, Sleep};
use tower::ServiceExt;

/// Timeouts and limits of the listener.
#[derive(Clone, Copy, Debug)]
pub struct ServerSettings {
    /// The longest time in which a client may send the header of a request, counted from the end of the
    /// previous response or from the start of the connection. It therefore also limits how long a connection
    /// may be idle. Default 10 s. A proxy in front should close idle connections sooner.
    pub header_timeout: Duration,
    /// The maximum bytes of the request line and headers; more is 431. Default 16 kB.
    pub header_bytes: usize,
    /// The slowest pace at which a peer may read its response, and the longest time for it. Only time in
    /// which the server waits for the peer counts for the pace.
    pub response_pace: Pace,
    /// Maximum concurrent connections. If one more arrives, an idle connection is closed for it; if none is
    /// idle, the new connection gets 503 and is closed. Default 1,024.
    pub connections: usize,
    /// Maximum concurrent connections of one address ([`Server::counting`]). If one more arrives, an idle
    /// connection of this address is closed for it; if none is idle, the new connection gets 503 and is
    /// closed. Default 256.
    pub connections_per_address: usize,
    /// How long running requests may take once the shutdown has begun. Default 30 s.
    pub drain: Duration,
    /// The 503 response to a connection beyond a limit. Default: one word of plain text.
    pub refusal: Refusal,
    /// The 400 response to a request that has no `Host`, more than one, or an invalid one. Default: one line
    /// of plain text.
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
            response_pace: Pace::default(),
            connections: 1024,
            connections_per_address: 256,
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

/// Maps a peer's address to the address for which its connections are counted; `None` means no limit per
/// address.
type Counting = Box<dyn Fn(IpAddr) -> Option<IpAddr> + Send + Sync>;

/// A bound listener that does not serve yet.
pub struct Server {
    listener: TcpListener,
    address: SocketAddr,
    settings: ServerSettings,
    counting: Counting,
}

/// Maximum number of rejected connections that are being sent a 503 at a time; further connections are closed
/// without a response.
const MAX_REJECTING: usize = 64;
const REJECT_TIMEOUT: Duration = Duration::from_secs(1);
/// The size of a connection's send buffer; the kernel doubles it for its own use. Without this limit the
/// kernel buffers megabytes, and only after minutes it becomes visible whether the peer reads at the pace.
const SEND_BUFFER: u32 = 64 * 1024;
const BACKLOG: u32 = 1_024;
/// Pause after an error of `accept` that no single peer caused (mostly: no file descriptors left).
const ACCEPT_BACKOFF: Duration = Duration::from_millis(100);

impl Server {
    /// Binds `address`; port 0 takes a free port, which [`Server::local_addr`] returns.
    ///
    /// # Errors
    /// If the address is in use or not local.
    #[expect(clippy::unused_async, reason = "registers the socket with the runtime, so there must be one")]
    pub async fn bind(address: SocketAddr, settings: ServerSettings) -> io::Result<Self> {
        let socket = if address.is_ipv4() { TcpSocket::new_v4()? } else { TcpSocket::new_v6()? };
        socket.set_reuseaddr(true)?;
        // Accepted sockets inherit it.
        socket.set_send_buffer_size(SEND_BUFFER)?;
        socket.bind(address)?;
        Self::new(socket.listen(BACKLOG)?, settings)
    }

    /// Uses a listener that is already bound.
    ///
    /// # Errors
    /// If it has no address.
    pub fn new(listener: TcpListener, settings: ServerSettings) -> io::Result<Self> {
        let address = listener.local_addr()?;
        Ok(Self { listener, address, settings, counting: Box::new(|address| Some(address.to_canonical())) })
    }

    /// Counts a peer's connections for the address that `counting` returns; `None` means no limit per
    /// address. By default each address counts for itself.
    #[must_use]
    pub fn counting(mut self, counting: impl Fn(IpAddr) -> Option<IpAddr> + Send + Sync + 'static) -> Self {
        self.counting = Box::new(counting);
        self
    }

    /// The bound address.
    #[must_use]
    pub fn local_addr(&self) -> SocketAddr {
        self.address
    }

    /// Serves until `shutdown` resolves, then drains.
    ///
    /// To let `/readyz` fail for a while before the listener closes, `shutdown` can call
    /// [`crate::http::core::health::Health::drain`] and resolve later.
    pub async fn serve(self, router: Router, shutdown: impl Future<Output = ()>) -> Drained {
        let Self { listener, settings, counting, .. } = self;
        let http = protocol(&settings);
        let connections = Connections::new(settings.connections, settings.connections_per_address);
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
            // Small responses are sent at once. An error is ignored, because a socket that rejects the option
            // is about to fail anyway.
            let _ = stream.set_nodelay(true);
            let Some((seat, closed)) = connections.admit(counting(peer.ip())) else {
                if let Ok(permit) = Arc::clone(&rejecting).try_acquire_owned() {
                    peers.spawn(async move {
                        let _ = tokio::time::timeout(REJECT_TIMEOUT, reject(stream, settings.refusal)).await;
                        drop(permit);
                    });
                }
                continue;
            };
            let seat = Arc::new(seat);
            let (router, place) = (router.clone(), Arc::clone(&seat));
            let service = service_fn(move |request: hyper::Request<Incoming>| {
                let valid = has_valid_host(&request);
                let mut request = request.map(Body::new);
                request.extensions_mut().insert(ConnectInfo(peer));
                let (router, place) = (router.clone(), Arc::clone(&place));
                async move {
                    let refused = (!valid).then(|| host_refused(settings.host_refusal));
                    respond(router, request, refused, place).await
                }
            });
            let socket = TokioIo::new(Socket::new(stream, Arc::clone(&seat), settings.response_pace));
            let connection = graceful.watch(http.serve_connection(socket, service));
            peers.spawn(async move {
                tokio::select! {
                    biased;
                    _ = closed => tracing::debug!("connection closed: it was idle for the longest time"),
                    ended = connection => if let Err(error) = ended {
                        tracing::debug!(%error, "connection ended");
                    },
                }
                drop(seat);
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

/// Runs the router. The request ends when the body that this returns is dropped.
async fn respond(
    router: Router,
    request: hyper::Request<Body>,
    refused: Option<Response>,
    seat: Arc<Seat>,
) -> Result<hyper::Response<ResponseBody>, Infallible> {
    if !seat.begin() {
        // The connection is being closed, and this future will be dropped with it.
        std::future::pending::<()>().await;
    }
    let response = match refused {
        Some(response) => response,
        None => router.oneshot(request).await?,
    };
    seat.respond();
    Ok(response.map(|body| ResponseBody { body, seat }))
}

/// The body of a response; hyper drops it when it is complete or cannot be sent.
struct ResponseBody {
    body: Body,
    seat: Arc<Seat>,
}

impl HttpBody for ResponseBody {
    type Data = Bytes;
    type Error = axum::Error;

    fn poll_frame(
        mut self: Pin<&mut Self>,
        cx: &mut Context<'_>,
    ) -> Poll<Option<Result<Frame<Bytes>, axum::Error>>> {
        Pin::new(&mut self.body).poll_frame(cx)
    }

    fn is_end_stream(&self) -> bool {
        self.body.is_end_stream()
    }

    fn size_hint(&self) -> SizeHint {
        self.body.size_hint()
    }
}

impl Drop for ResponseBody {
    fn drop(&mut self) {
        self.seat.end();
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

/// Whether a request has a `Host` as RFC 9112, section 3.2, demands: exactly one (HTTP/1.0 may omit it), and
/// a valid one. Two `Host` headers are refused, because a proxy in front may use one of them and this server
/// the other.
fn has_valid_host<B>(request: &hyper::Request<B>) -> bool {
    let mut hosts = request.headers().get_all(HOST).iter();
    match (hosts.next(), hosts.next()) {
        (None, _) => request.version() < Version::HTTP_11,
        (Some(host), None) => {
            let valid =
                |host: &str| !host.contains('@') && has_valid_port(host) && host.parse::<Authority>().is_ok();
            host.is_empty() || host.to_str().is_ok_and(valid)
        }
        (Some(_), Some(_)) => false,
    }
}

/// Whether the port of a host, if it has one, is empty or a number up to 65,535.
fn has_valid_port(host: &str) -> bool {
    let after_address = host.rsplit_once(']').map_or(host, |(_, rest)| rest);
    after_address.rsplit_once(':').is_none_or(|(_, port)| {
        port.is_empty() || (port.bytes().all(|byte| byte.is_ascii_digit()) && port.parse::<u16>().is_ok())
    })
}

/// The 400 for a request without one valid `Host`. The connection is closed, because the body of the request
/// was not read.
fn host_refused(refusal: Refusal) -> Response {
    let mut response = Response::new(Body::from((refusal.body)()));
    *response.status_mut() = StatusCode::BAD_REQUEST;
    let headers = [(CONTENT_TYPE, refusal.content_type), (CACHE_CONTROL, "no-store"), (CONNECTION, "close")];
    response.headers_mut().extend(headers.map(|(name, value)| (name, HeaderValue::from_static(value))));
    response
}

/// Whether `accept` failed because the peer has already disconnected. In this case no pause is needed before
/// the next `accept`.
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

/// A stream that fails if the peer reads too slowly; hyper has no such timer.
struct Socket {
    stream: TcpStream,
    seat: Arc<Seat>,
    meter: PaceMeter,
    /// The timer of a write that waits for the peer; `None` while no write waits.
    alarm: Option<Pin<Box<Sleep>>>,
}

impl Socket {
    fn new(stream: TcpStream, seat: Arc<Seat>, pace: Pace) -> Self {
        Self { stream, seat, meter: PaceMeter::new(pace), alarm: None }
    }

    fn timed(&mut self, cx: &mut Context<'_>, written: Poll<io::Result<usize>>) -> Poll<io::Result<usize>> {
        if let Poll::Ready(result) = written {
            let bytes = result.as_ref().map_or(0, |bytes| u64::try_from(*bytes).unwrap_or(u64::MAX));
            self.meter.moved(bytes, Instant::now());
            if self.alarm.take().is_some() {
                self.seat.waits_to_write(false);
            }
            return Poll::Ready(result);
        }
        if self.alarm.is_none() {
            self.seat.waits_to_write(true);
        }
        loop {
            let Some(next) = self.meter.waits(self.seat.response_started(), Instant::now()) else {
                return Poll::Ready(Err(io::ErrorKind::TimedOut.into()));
            };
            let alarm = self.alarm.get_or_insert_with(|| Box::pin(tokio::time::sleep_until(next)));
            alarm.as_mut().reset(next);
            ready!(alarm.as_mut().poll(cx));
        }
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
