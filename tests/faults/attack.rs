//! Clients that take as much of a server as they can get: nine shapes of attack.

use crate::scene::Attacker;
use crate::support::process::PATIENCE;
use std::collections::BTreeMap;
use std::fmt;
use std::net::{Ipv4Addr, SocketAddr};
use std::sync::atomic::{AtomicU64, Ordering};
use std::sync::{Arc, Mutex};
use std::time::Duration;
use tokio::io::{AsyncReadExt, AsyncWriteExt};
use tokio::net::{TcpSocket, TcpStream};
use tokio::task::JoinSet;
use tokio::time::{sleep, timeout};

/// Pause before a connection that was closed is opened again.
const AGAIN: Duration = Duration::from_millis(50);

/// How long the attacker leaves a response unread before it closes the connection and opens the next; longer
/// than the server waits for a client that does not read.
const HELD: Duration = Duration::from_secs(15);

/// A shape of attack.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum Shape {
    /// Request bodies that arrive with 16 bytes a second, sent by one organisation.
    DrippingBodies,
    /// Requests for a long history; the attacker reads only the status of each response.
    UnreadResponses,
    /// Connections without a request, from several addresses.
    SilentConnections,
    /// Requests for pages of lists, for the API's document and for long lists of errors; the attacker reads only the
    /// status of each response.
    UnreadLists,
    /// Dry runs of large harvests, by one organisation.
    HeavyRehearsals,
    /// Large harvests with one misspelt species each, by one organisation.
    RefusedHarvests,
    /// Checks of made-up codes, from the same address as the client that must be served.
    CodeFlood,
    /// Reads and write requests with forty keys of one organisation.
    ManyKeys,
    /// More connections than the server's low limit of open files permits.
    LimitOfFiles,
}

impl Shape {
    pub const ALL: [Self; 9] = [
        Self::DrippingBodies,
        Self::UnreadResponses,
        Self::SilentConnections,
        Self::UnreadLists,
        Self::HeavyRehearsals,
        Self::RefusedHarvests,
        Self::CodeFlood,
        Self::ManyKeys,
        Self::LimitOfFiles,
    ];

    /// Number of concurrent connections of the attack, and the last bytes of the addresses that they come
    /// from.
    fn connections(self) -> (u16, &'static [u8]) {
        match self {
            Self::DrippingBodies => (200, &[2]),
            Self::UnreadResponses => (100, &[3]),
            Self::SilentConnections => (1_350, &[4, 5, 6, 7, 8]),
            Self::UnreadLists => (1_100, &[15, 16, 17, 18, 19]),
            Self::HeavyRehearsals => (70, &[9]),
            Self::RefusedHarvests => (40, &[20]),
            // The client's own address.
            Self::CodeFlood => (80, &[1]),
            Self::ManyKeys => (120, &[10]),
            Self::LimitOfFiles => (1_300, &[11, 12, 13, 14]),
        }
    }
}

impl fmt::Display for Shape {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.write_str(match self {
            Self::DrippingBodies => "slow bodies",
            Self::UnreadResponses => "unread responses",
            Self::SilentConnections => "silent connections",
            Self::UnreadLists => "unread pages of lists",
            Self::HeavyRehearsals => "large dry runs",
            Self::RefusedHarvests => "large harvests with a misspelt species",
            Self::CodeFlood => "a flood of codes from the client's address",
            Self::ManyKeys => "many keys of one organisation",
            Self::LimitOfFiles => "a limit of 512 open files",
        })
    }
}

/// What the attacker got: how many responses of each status, and how many connections ended without one.
#[derive(Default)]
pub struct Gains {
    counts: Mutex<BTreeMap<String, u64>>,
    opened: AtomicU64,
}

impl Gains {
    fn add(&self, what: impl Into<String>) {
        *self.counts.lock().expect("no panic").entry(what.into()).or_default() += 1;
    }

    /// Connections that were opened so far.
    pub fn opened(&self) -> u64 {
        self.opened.load(Ordering::SeqCst)
    }
}

impl fmt::Display for Gains {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        write!(f, "{} connections", self.opened())?;
        for (n, (what, count)) in self.counts.lock().expect("no panic").iter().enumerate() {
            let separator = if n == 0 { ';' } else { ',' };
            let status = if what.bytes().all(|byte| byte.is_ascii_digit()) { "status " } else { "" };
            write!(f, "{separator} {status}{what}: {count} times")?;
        }
        Ok(())
    }
}

/// A running attack; it ends when dropped.
pub struct Attack {
    pub gains: Arc<Gains>,
    _connections: JoinSet<()>,
}

impl Attack {
    /// Begins the attack; must be called in a runtime.
    pub fn begin(shape: Shape, server: SocketAddr, attacker: &Arc<Attacker>) -> Self {
        let gains = Arc::new(Gains::default());
        let mut connections = JoinSet::new();
        let (count, addresses) = shape.connections();
        for n in 0..count {
            let from = Ipv4Addr::new(127, 0, 0, addresses[usize::from(n) % addresses.len()]);
            let (gains, attacker) = (Arc::clone(&gains), Arc::clone(attacker));
            connections.spawn(async move {
                // While the attack lasts, each connection is used as long as possible, and opened again when
                // it is closed.
                for round in 0.. {
                    match open(server, from).await {
                        Ok(stream) => {
                            gains.opened.fetch_add(1, Ordering::SeqCst);
                            use_connection(shape, stream, &attacker, &gains, (u64::from(n) << 32) | round)
                                .await;
                        }
                        Err(error) => gains.add(format!("{}", error.kind())),
                    }
                    sleep(AGAIN).await;
                }
            });
        }
        Self { gains, _connections: connections }
    }
}

async fn open(server: SocketAddr, from: Ipv4Addr) -> std::io::Result<TcpStream> {
    let socket = TcpSocket::new_v4()?;
    // The receive buffer is small, so that an unread response stays in the server and not here.
    socket.set_recv_buffer_size(8 * 1024)?;
    socket.bind(SocketAddr::from((from, 0)))?;
    socket.connect(server).await
}

/// Uses one connection until the server closes it or the attack has no more use for it.
async fn use_connection(shape: Shape, mut stream: TcpStream, attacker: &Attacker, gains: &Gains, n: u64) {
    let token = attacker.token(n);
    match shape {
        Shape::DrippingBodies => {
            let head = request("POST", "/v1/harvests", token, Some(100_000));
            if stream.write_all(head.as_bytes()).await.is_ok() {
                let (mut read, mut write) = stream.split();
                let drip = async {
                    while write.write_all(&[b' '; 16]).await.is_ok() {
                        sleep(Duration::from_secs(1)).await;
                    }
                };
                tokio::select! {
                    () = drip => gains.add("closed"),
                    outcome = answer(&mut read) => gains.add(outcome),
                }
            }
        }
        Shape::UnreadResponses => {
            let path = format!("/v1/felling-tickets/{}/history", attacker.long_ticket);
            leave_unread(&mut stream, &request("GET", &path, token, None), gains).await;
        }
        Shape::UnreadLists => {
            let lists =
                ["/v1/seals?limit=1000", "/v1/logs?limit=1000", attacker.batch.as_str(), "/openapi.json"];
            let request = match lists.get(usize::try_from(n % 5).unwrap_or_default()) {
                Some(path) => request("GET", path, token, None),
                None => {
                    let head = request("POST", "/v1/harvests", token, Some(attacker.refused.len()));
                    format!("{head}{}", attacker.refused)
                }
            };
            leave_unread(&mut stream, &request, gains).await;
        }
        Shape::SilentConnections | Shape::LimitOfFiles => {
            let outcome = answer(&mut stream).await;
            gains.add(outcome);
        }
        Shape::HeavyRehearsals | Shape::RefusedHarvests => {
            let (path, body) = if shape == Shape::HeavyRehearsals {
                ("/v1/harvests?dry_run=true", &attacker.rehearsal)
            } else {
                ("/v1/harvests", &attacker.misspelt)
            };
            let head = request("POST", path, token, Some(body.len()));
            let sent = async {
                stream.write_all(head.as_bytes()).await?;
                stream.write_all(body.as_bytes()).await
            };
            if sent.await.is_ok() {
                gains.add(answer(&mut stream).await);
            }
        }
        Shape::CodeFlood => {
            let path = format!("/v1/verify/KZ-{:07}", n.wrapping_mul(0x9e37_79b9_7f4a_7c15) % 10_000_000);
            let request = format!("GET {path} HTTP/1.1\r\nhost: orman.test\r\nconnection: close\r\n\r\n");
            if stream.write_all(request.as_bytes()).await.is_ok() {
                gains.add(answer(&mut stream).await);
            }
        }
        Shape::ManyKeys => {
            let (method, path, body) = match n % 3 {
                0 => ("GET", "/v1/logs?limit=100".to_owned(), None),
                1 => ("GET", format!("/v1/felling-tickets/{}/history", attacker.long_ticket), None),
                _ => ("POST", "/v1/custody-events".to_owned(), Some(attacker.event.as_str())),
            };
            let head = request(method, &path, token, body.map(str::len));
            let sent = stream.write_all(format!("{head}{}", body.unwrap_or_default()).as_bytes()).await;
            if sent.is_ok() {
                gains.add(answer(&mut stream).await);
            }
        }
    }
}

/// Sends a request, reads the status of the response, and leaves the rest unread.
async fn leave_unread(stream: &mut TcpStream, request: &str, gains: &Gains) {
    if stream.write_all(request.as_bytes()).await.is_err() {
        return gains.add("closed");
    }
    let mut begin = [0; 12];
    match timeout(PATIENCE, stream.read_exact(&mut begin)).await {
        Ok(Ok(_)) => gains.add(String::from_utf8_lossy(&begin[9..])),
        Ok(Err(_)) => gains.add("closed"),
        Err(_) => gains.add("timeout"),
    }
    if matches!(&begin[9..], b"200" | b"422") {
        sleep(HELD).await;
    }
}

fn request(method: &str, path: &str, token: &str, length: Option<usize>) -> String {
    let body = length.map(|length| format!("content-type: application/json\r\ncontent-length: {length}\r\n"));
    let body = body.unwrap_or_default();
    format!(
        "{method} {path} HTTP/1.1\r\nhost: orman.test\r\nauthorization: Bearer {token}\r\n{body}connection: close\r\n\r\n"
    )
}

/// Reads the response to its end; returns its status, or how the connection ended without one.
async fn answer(stream: &mut (impl AsyncReadExt + Unpin)) -> String {
    let (mut head, mut piece) = (Vec::new(), vec![0; 64 * 1024]);
    loop {
        match stream.read(&mut piece).await {
            Ok(0) => break,
            Ok(bytes) if head.len() < 12 => head.extend_from_slice(&piece[..bytes.min(12)]),
            Ok(_) => {}
            Err(error) if head.is_empty() => return error.kind().to_string(),
            Err(_) => break,
        }
    }
    head.get(9..12).map_or("closed".to_owned(), |status| String::from_utf8_lossy(status).into_owned())
}
