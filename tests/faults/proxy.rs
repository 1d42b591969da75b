//! A TCP proxy in front of PostgreSQL that knows one word of its protocol: COMMIT.

use std::net::SocketAddr;
use std::path::PathBuf;
use std::sync::Arc;
use std::sync::atomic::{AtomicU8, AtomicU32, Ordering};
use std::time::Duration;
use tokio::io::{AsyncReadExt, AsyncWriteExt};
use tokio::net::{TcpListener, TcpStream, UnixStream};
use tokio::runtime::Handle;

/// What happens to a COMMIT on its way.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
#[repr(u8)]
pub enum Commit {
    /// It passes.
    Passes = 0,
    /// The connection is reset before PostgreSQL hears of it.
    Never = 1,
    /// PostgreSQL does it, and the connection is reset in place of its answer.
    Unheard = 2,
    /// It is held back for a while.
    Late = 3,
}

impl Commit {
    fn of(number: u8) -> Self {
        [Self::Never, Self::Unheard, Self::Late]
            .into_iter()
            .find(|mode| *mode as u8 == number)
            .unwrap_or(Self::Passes)
    }
}

#[derive(Default)]
struct Orders {
    mode: AtomicU8,
    left: AtomicU32,
}

impl Orders {
    /// What happens to this COMMIT.
    fn take(&self) -> Commit {
        let left = self.left.fetch_update(Ordering::SeqCst, Ordering::SeqCst, |left| left.checked_sub(1));
        if left.is_ok() { Commit::of(self.mode.load(Ordering::SeqCst)) } else { Commit::Passes }
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

    /// The next `count` commits meet this.
    pub fn order(&self, mode: Commit, count: u32) {
        self.orders.mode.store(mode as u8, Ordering::SeqCst);
        self.orders.left.store(count, Ordering::SeqCst);
    }

    /// How many of them have not come by yet.
    pub fn left(&self) -> u32 {
        self.orders.left.load(Ordering::SeqCst)
    }
}

/// Carries bytes both ways until one side ends, or a COMMIT is met.
async fn between(mut client: TcpStream, mut server: UnixStream, orders: &Orders) {
    let (mut asked, mut told) = (vec![0; 65_536], vec![0; 65_536]);
    let mut unheard = false;
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
                    Commit::Late => tokio::time::sleep(Duration::from_millis(700)).await,
                }
                if server.write_all(&asked[..count]).await.is_err() { return }
            }
            read = server.read(&mut told) => {
                let Ok(count @ 1..) = read else { return };
                if unheard {
                    return reset(client);
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
