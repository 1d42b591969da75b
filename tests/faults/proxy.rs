//! A TCP proxy in front of PostgreSQL that knows one word of its protocol: COMMIT.

use std::net::SocketAddr;
use std::path::PathBuf;
use std::sync::atomic::{AtomicBool, Ordering};
use std::sync::{Arc, Mutex};
use std::time::Duration;
use tokio::io::{AsyncReadExt, AsyncWriteExt};
use tokio::net::{TcpListener, TcpStream, UnixStream};
use tokio::runtime::Handle;

/// What happens to a COMMIT on its way.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq)]
pub enum Commit {
    /// It passes.
    #[default]
    Passes,
    /// The connection is reset before PostgreSQL hears of it.
    Never,
    /// PostgreSQL does it, and the connection is reset in place of its answer.
    Unheard,
    /// It is held back for a while.
    Late,
    /// It is held back until released.
    Held,
    /// PostgreSQL does it, and its answer is held back until released.
    AnswerHeld,
}

#[derive(Default)]
struct Orders {
    next: Mutex<Next>,
    /// One is held back now.
    holds: AtomicBool,
}

/// What the next commits meet.
#[derive(Default)]
struct Next {
    mode: Commit,
    /// So many pass before.
    pass: u64,
    left: u64,
}

impl Orders {
    /// What happens to this COMMIT.
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
    /// In front of the server that listens on this socket, whenever it does.
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

    /// The next `count` commits meet this, after `pass` that do not.
    pub fn order(&self, mode: Commit, pass: u64, count: u64) {
        *self.orders.next.lock().expect("no panic") = Next { mode, pass, left: count };
    }

    /// How many of them have not come by yet.
    pub fn left(&self) -> u64 {
        self.orders.next.lock().expect("no panic").left
    }

    /// Whether a commit, or its answer, is held back now.
    pub fn holds(&self) -> bool {
        self.orders.holds.load(Ordering::SeqCst)
    }

    /// Lets what is held back go on.
    pub fn release(&self) {
        self.orders.holds.store(false, Ordering::SeqCst);
    }
}

/// Carries bytes both ways until one side ends, or a COMMIT is met.
async fn between(mut client: TcpStream, mut server: UnixStream, orders: &Orders) {
    let (mut asked, mut told) = (vec![0; 65_536], vec![0; 65_536]);
    let (mut unheard, mut held) = (false, false);
    loop {
        tokio::select! {
            read = client.read(&mut asked) => {
                let Ok(count @ 1..) = read else { return };
                // A simple query, as its message carries it: sent whole, in a piece of its own.
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

/// Ends a connection with a reset, not with a farewell.
#[expect(clippy::needless_pass_by_value, reason = "dropping it is what ends the connection")]
fn reset(client: TcpStream) {
    client.set_zero_linger().expect("a socket");
}
