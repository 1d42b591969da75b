//! A proxy between a server and its database. It counts statements by the messages of PostgreSQL's protocol.
//! A test can make it hold messages back and break connections.

use sqlx::postgres::{PgConnectOptions, PgSslMode};
use std::path::{Path, PathBuf};
use std::sync::atomic::{AtomicBool, AtomicUsize, Ordering};
use std::sync::{Arc, Mutex};
use tokio::io::{AsyncRead, AsyncReadExt, AsyncWrite, AsyncWriteExt};
use tokio::net::{TcpStream, UnixListener, UnixStream};
use tokio::sync::{Notify, watch};
use tokio::task::{JoinHandle, JoinSet};

/// The proxy; it stops when dropped.
pub struct Wire {
    state: Arc<State>,
    folder: tempfile::TempDir,
    database: PgConnectOptions,
    listening: JoinHandle<()>,
}

struct State {
    statements: AtomicUsize,
    held: watch::Sender<bool>,
    down: AtomicBool,
    cut: Notify,
    trap: Mutex<Option<Trap>>,
}

/// A statement at which the proxy breaks the connection, once.
struct Trap {
    statement: &'static str,
    /// Whether the proxy still passes the statement to the database. Then only the reply is lost.
    passes: bool,
}

impl Wire {
    /// Starts a proxy to a database.
    pub fn to(database: &PgConnectOptions) -> Self {
        let folder = tempfile::tempdir_in("/tmp").unwrap();
        let socket = |dir: &Path| dir.join(format!(".s.PGSQL.{}", database.get_port()));
        let listener = UnixListener::bind(socket(folder.path())).unwrap();
        let state = Arc::new(State {
            statements: AtomicUsize::new(0),
            held: watch::Sender::new(false),
            down: AtomicBool::new(false),
            cut: Notify::new(),
            trap: Mutex::new(None),
        });
        let host = Path::new(database.get_host());
        let local = database.get_socket().map(PathBuf::as_path).or(host.is_absolute().then_some(host));
        let (of, local, target) = (Arc::clone(&state), local.map(socket), database.clone());
        let listening = tokio::spawn(async move {
            let mut carried = JoinSet::new();
            while let Ok((near, _)) = listener.accept().await {
                // While the proxy is `down`, it closes each new connection at once.
                if of.down.load(Ordering::SeqCst) {
                    continue;
                }
                let (of, local, target) = (Arc::clone(&of), local.clone(), target.clone());
                carried.spawn(async move {
                    let cut = of.cut.notified();
                    let carried = async {
                        if let Some(socket) = local {
                            let (up, down) = UnixStream::connect(socket).await.unwrap().into_split();
                            carry(near, up, down, &of).await;
                        } else {
                            let far = TcpStream::connect((target.get_host(), target.get_port()));
                            let (up, down) = far.await.unwrap().into_split();
                            carry(near, up, down, &of).await;
                        }
                    };
                    tokio::select! { () = carried => {}, () = cut => {} }
                });
            }
        });
        Self { state, folder, database: database.clone(), listening }
    }

    /// Connection options that lead through the proxy.
    pub fn database(&self) -> PgConnectOptions {
        self.database.clone().socket(self.folder.path()).ssl_mode(PgSslMode::Disable)
    }

    /// Number of statements executed so far.
    pub fn statements(&self) -> usize {
        self.state.statements.load(Ordering::SeqCst)
    }

    /// Holds back everything to the database until [`Wire::release`].
    pub fn hold(&self) {
        self.state.held.send_replace(true);
    }

    /// Passes everything on again.
    pub fn release(&self) {
        self.state.held.send_replace(false);
    }

    /// Cuts every connection.
    pub fn cut(&self) {
        self.state.cut.notify_waiters();
    }

    /// Breaks the next connection that sends this simple query: before the database receives the query or,
    /// with `passes`, after it, so that only the reply is lost.
    pub fn break_at(&self, statement: &'static str, passes: bool) {
        *self.state.trap.lock().unwrap() = Some(Trap { statement, passes });
    }

    /// Whether the break that [`Wire::break_at`] set up has happened.
    pub fn has_broken(&self) -> bool {
        self.state.trap.lock().unwrap().is_none()
    }

    /// With `down`, breaks every connection and refuses new ones; without it, accepts connections again.
    pub fn down(&self, down: bool) {
        self.state.down.store(down, Ordering::SeqCst);
        self.cut();
    }
}

impl Drop for Wire {
    fn drop(&mut self) {
        self.listening.abort();
    }
}

async fn carry(near: UnixStream, up: impl AsyncRead + Unpin, down: impl AsyncWrite + Unpin, state: &State) {
    let (mut asked, mut answered) = near.into_split();
    let (mut up, mut down) = (up, down);
    tokio::select! {
        _ = listen(&mut asked, &mut down, state) => {}
        _ = tokio::io::copy(&mut up, &mut answered) => {}
    }
}

/// Passes a client's messages to the database one by one, and counts those that execute a statement.
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
        let sprung =
            state.trap.lock().unwrap().take_if(|trap| {
                message[0] == b'Q' && message[start..].starts_with(trap.statement.as_bytes())
            });
        if let Some(trap) = sprung {
            if trap.passes {
                down.write_all(&message).await?;
                down.flush().await?;
            }
            return Ok(());
        }
        down.write_all(&message).await?;
        down.flush().await?;
    }
}
