//! A TCP proxy in front of PostgreSQL that recognises one statement: COMMIT.

use std::net::SocketAddr;
use std::path::PathBuf;
use std::sync::atomic::{AtomicBool, Ordering};
use std::sync::{Arc, Mutex};
use std::time::Duration;
use tokio::io::{AsyncReadExt, AsyncWriteExt};
use tokio::net::{TcpListener, TcpStream, UnixStream};
use tokio::runtime::Handle;

/// What the proxy does with a COMMIT.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq)]
pub enum Commit {
    /// The COMMIT is passed on to PostgreSQL.
    #[default]
    Passes,
    /// The connection is reset, and PostgreSQL does not receive the COMMIT.
    Never,
    /// PostgreSQL executes the COMMIT. Then the connection is reset, and the client does not receive the
    /// reply.
    Unheard,
    /// The COMMIT is delayed by 0.7 s.
    Late,
    /// The COMMIT is held back until it is released.
    Held,
    /// PostgreSQL executes the COMMIT. Its reply is held back until the proxy is ordered to release it.
    AnswerHeld,
}

#[derive(Default)]
struct Orders {
    next: Mutex<Next>,
    /// A COMMIT or its reply is held back now.
    holds: AtomicBool,
}

/// What is done with the next commits.
#[derive(Default)]
struct Next {
    mode: Commit,
    /// This many are passed on first.
    pass: u64,
    left: u64,
}

impl Orders {
    /// What to do with this COMMIT.
    fn take(&self) -> Commit {
        let mut next = self.next.lock().expect("no panic");
        if next.left == 0 {
            return Commit::Passes;
        }
        if next.pass > 0 {
            next.pass -= 1;
            return Commit::Passes;
        }
        next.left -= 1;
        next.mode
    }

    async fn hold(&self) {
        self.holds.store(true, Ordering::SeqCst);
        while self.holds.load(Ordering::SeqCst) {
            tokio::time::sleep(Duration::from_millis(1)).await;
        }
    }
}

/// The proxy; it ends with the runtime.
pub struct Proxy {
    pub address: SocketAddr,
    orders: Arc<Orders>,
}

impl Proxy {
    /// Starts the proxy in front of the PostgreSQL at this socket. PostgreSQL may start and stop later.
    pub fn start(runtime: &Handle, socket: PathBuf) -> Self {
        let listener = runtime.block_on(TcpListener::bind("127.0.0.1:0")).expect("a port");
        let address = listener.local_addr().expect("bound");
        let orders = Arc::new(Orders::default());
        let theirs = Arc::clone(&orders);
        runtime.spawn(async move {
            while let Ok((client, _)) = listener.accept().await {
                let (socket, orders) = (socket.clone(), Arc::clone(&theirs));
                tokio::spawn(async move {
                    if let Ok(server) = UnixStream::connect(&socket).await {
                        between(client, server, &orders).await;
                    }
                });
            }
        });
        Self { address, orders }
    }

    /// Applies `mode` to `count` commits, after `pass` other commits have passed.
    pub fn order(&self, mode: Commit, pass: u64, count: u64) {
        *self.orders.next.lock().expect("no panic") = Next { mode, pass, left: count };
    }

    /// How many of the commits to which `mode` applies have not arrived yet.
    pub fn left(&self) -> u64 {
        self.orders.next.lock().expect("no panic").left
    }

    /// Whether a commit or its reply is held back now.
    pub fn holds(&self) -> bool {
        self.orders.holds.load(Ordering::SeqCst)
    }

    /// Releases what is held back.
    pub fn release(&self) {
        self.orders.holds.store(false, Ordering::SeqCst);
    }
}

/// Copies bytes both ways until one side ends, or a COMMIT ends the connection.
async fn between(mut client: TcpStream, mut server: UnixStream, orders: &Orders) {
    let (mut asked, mut told) = (vec![0; 65_536], vec![0; 65_536]);
    let (mut unheard, mut held) = (false, false);
    loop {
        tokio::select! {
            read = client.read(&mut asked) => {
                let Ok(count @ 1..) = read else { return };
                // COMMIT is a simple query, which sqlx sends in one write of its own.
                let fate = if asked[..count].windows(7).any(|bytes| bytes == b"COMMIT\0") { orders.take() } else { Commit::Passes };
                match fate {
                    Commit::Passes => {}
                    Commit::Never => return reset(client),
                    Commit::Unheard => unheard = true,
                    Commit::Held => orders.hold().await,
                    Commit::AnswerHeld => held = true,
                    Commit::Late => tokio::time::sleep(Duration::from_millis(700)).await,
                }
                if server.write_all(&asked[..count]).await.is_err() { return }
            }
            read = server.read(&mut told) => {
                let Ok(count @ 1..) = read else { return };
                if unheard {
                    return reset(client);
                }
                if std::mem::take(&mut held) {
                    orders.hold().await;
                }
                if client.write_all(&told[..count]).await.is_err() { return }
            }
        }
    }
}

/// Ends a connection with a reset (RST), not with an orderly close (FIN).
#[expect(clippy::needless_pass_by_value, reason = "dropping it is what ends the connection")]
fn reset(client: TcpStream) {
    client.set_zero_linger().expect("a socket");
}
