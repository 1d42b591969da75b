//! A wire between a server and its database that can be listened to, held, and cut: it counts the
//! statements that go over it, as PostgreSQL's own messages tell them.

use sqlx::postgres::{PgConnectOptions, PgSslMode};
use std::sync::Arc;
use std::sync::atomic::{AtomicBool, AtomicUsize, Ordering};
use tokio::io::{AsyncRead, AsyncReadExt, AsyncWrite, AsyncWriteExt};
use tokio::net::{TcpListener, TcpStream, UnixStream};
use tokio::sync::{Notify, watch};

/// The wire. Cut for good when dropped.
pub struct Wire {
    state: Arc<State>,
    port: u16,
    database: PgConnectOptions,
}

struct State {
    statements: AtomicUsize,
    held: watch::Sender<bool>,
    down: AtomicBool,
    cut: Notify,
}

impl Wire {
    /// A wire to a database.
    pub async fn to(database: &PgConnectOptions) -> Self {
        let listener = TcpListener::bind("127.0.0.1:0").await.unwrap();
        let port = listener.local_addr().unwrap().port();
        let state = Arc::new(State {
            statements: AtomicUsize::new(0),
            held: watch::Sender::new(false),
            down: AtomicBool::new(false),
            cut: Notify::new(),
        });
        let (of, target) = (Arc::clone(&state), database.clone());
        tokio::spawn(async move {
            while let Ok((near, _)) = listener.accept().await {
                // Whoever knocks at a server that is down finds nobody.
                if of.down.load(Ordering::SeqCst) {
                    continue;
                }
                near.set_nodelay(true).unwrap();
                let (of, target) = (Arc::clone(&of), target.clone());
                tokio::spawn(async move {
                    let cut = of.cut.notified();
                    match target.get_socket().cloned().or_else(|| folder(&target)) {
                        Some(dir) => {
                            let far =
                                UnixStream::connect(dir.join(format!(".s.PGSQL.{}", target.get_port())));
                            let (up, down) = far.await.unwrap().into_split();
                            tokio::select! { () = carry(near, up, down, &of) => {}, () = cut => {} }
                        }
                        None => {
                            let far = TcpStream::connect((target.get_host(), target.get_port()));
                            let (down, up) = far.await.unwrap().into_split();
                            tokio::select! { () = carry(near, up, down, &of) => {}, () = cut => {} }
                        }
                    }
                });
            }
        });
        Self { state, port, database: database.clone() }
    }

    /// How to reach the database over the wire.
    pub fn database(&self) -> PgConnectOptions {
        let name = self.database.get_database().unwrap().to_owned();
        // A socket, once set, is preferred, and cannot be unset: over it, a host that is none.
        let far = self.database.clone().host("127.0.0.1").port(self.port).database(&name);
        far.ssl_mode(PgSslMode::Disable)
    }

    /// Statements that were executed so far.
    pub fn statements(&self) -> usize {
        self.state.statements.load(Ordering::SeqCst)
    }

    /// Lets nothing through to the database until [`Wire::release`].
    pub fn hold(&self) {
        self.state.held.send_replace(true);
    }

    /// Lets everything through again.
    pub fn release(&self) {
        self.state.held.send_replace(false);
    }

    /// Cuts every connection.
    pub fn cut(&self) {
        self.state.cut.notify_waiters();
    }

    /// Cuts every connection and lets none be made, or lets them again.
    pub fn down(&self, down: bool) {
        self.state.down.store(down, Ordering::SeqCst);
        self.cut();
    }
}

fn folder(database: &PgConnectOptions) -> Option<std::path::PathBuf> {
    Some(database.get_host()).filter(|host| host.starts_with('/')).map(Into::into)
}

async fn carry(near: TcpStream, up: impl AsyncRead + Unpin, down: impl AsyncWrite + Unpin, state: &State) {
    let (mut asked, mut answered) = near.into_split();
    let (mut up, mut down) = (up, down);
    tokio::select! {
        _ = listen(&mut asked, &mut down, state) => {}
        _ = tokio::io::copy(&mut up, &mut answered) => {}
    }
}

/// Carries what a client says, message by message, and counts those that execute a statement.
async fn listen(
    asked: &mut (impl AsyncRead + Unpin),
    down: &mut (impl AsyncWrite + Unpin),
    state: &State,
) -> std::io::Result<()> {
    let mut held = state.held.subscribe();
    let mut greeted = false;
    loop {
        let mut message = Vec::new();
        if greeted {
            message.push(asked.read_u8().await?);
        }
        let length = asked.read_u32().await?;
        message.extend(length.to_be_bytes());
        let start = message.len();
        message.resize(start + usize::try_from(length).unwrap() - 4, 0);
        asked.read_exact(&mut message[start..]).await?;
        if greeted && matches!(message[0], b'E' | b'Q') {
            state.statements.fetch_add(1, Ordering::SeqCst);
        }
        greeted = true;
        let _ = held.wait_for(|held| !held).await;
        down.write_all(&message).await?;
        down.flush().await?;
    }
}
