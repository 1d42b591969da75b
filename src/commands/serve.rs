//! One server from its start to its end: the database, the keys, the listener, what runs
//! beside it, and the shutdown.
//!
//! It promises that nothing is left running or half done: told to stop (SIGTERM, Ctrl-C), it
//! says no to `/readyz`, takes no new connection, finishes the requests at work within the
//! drain time, closes its connections and stops a private PostgreSQL cleanly.

use crate::base::clock::Clock;
use crate::base::config::{OperatorToken, Settings};
use crate::base::error::{Error, Invalid};
use crate::base::units::Text;
use crate::commands::demo_keys;
use crate::db::{self, Database, Mode, OpenError};
use crate::evidence::idempotency::{secret, stored};
use crate::evidence::register::published::Published;
use crate::evidence::register::{Queue, Sequencer};
use crate::evidence::tlog::note::{Kind, Signer, VerifierKey};
use crate::evidence::tlog::{Checkpoint, Folder, Note};
use crate::http::core::address::Network;
use crate::http::core::app::{App, Inner};
use crate::http::core::body::BodySettings;
use crate::http::core::layers::LayerSettings;
use crate::http::core::limit::{LimitSettings, PublicLimiter};
use crate::http::core::metrics::Exposition;
use crate::http::core::together;
use crate::http::router::{self, Operations};
use crate::net::server::{Server, ServerSettings};
use crate::services::reads::Reads;
use crate::timber::party::bootstrap::{Bootstrap, bootstrap_operator};
use crate::timber::seal::gs1::Gtin;
use crate::timber::seal::marking_key;
use crate::timber::seal::signing::{KeyRing, SigningKey};
use crate::timber::seal::stock::load_key_ring;
use sqlx::PgPool;
use sqlx::postgres::PgConnectOptions;
use std::future::Future;
use std::io::{Read, Write};
use std::net::{SocketAddr, TcpStream};
use std::path::{Path, PathBuf};
use std::time::Duration;
use tokio::signal::unix::{SignalKind, signal};
use tokio::sync::oneshot;
use tokio::task::JoinSet;

/// What the operator that a first start makes is called.
const OPERATOR: &str = "Орман таңбалау операторы";
/// How often answers whose time is over are forgotten.
const FORGET_EVERY: Duration = Duration::from_hours(1);

/// How long an address that asks too much waits for being told so. Answered at once, 32 connections of
/// one address took so much of two cores that the 99th percentile of appends grew to five times the idle one.
const REFUSAL_PAUSE: Duration = Duration::from_millis(200);

/// How long a probe waits for each step.
const PROBE_TIME: Duration = Duration::from_secs(2);

/// How a server runs, beyond [`Settings`].
#[derive(Clone, Debug, Default)]
pub struct Operation {
    /// File of the key that signs marking codes; by default `keys/marking.key` in the data directory.
    pub marking_key: Option<PathBuf>,
    /// Folder of the published register; by default `register` in the data directory.
    pub register_dir: Option<PathBuf>,
    /// File of the key that signs receipts; by default `keys/receipt.key` in the data directory.
    pub receipt_key: Option<PathBuf>,
    /// Public keys that signed receipts before: shown beside the present one.
    pub former_receipt_keys: Vec<VerifierKey>,
    /// Name of the register, for the keys that are made; by default the public address.
    pub origin: Option<String>,
    /// Limits of the public check.
    pub limits: LimitSettings,
    /// Whose `X-Forwarded-For` is believed.
    pub trusted_proxies: Vec<Network>,
    /// A listener of its own for the figures.
    pub metrics_listen: Option<SocketAddr>,
    /// How long `/readyz` says no before the door closes.
    pub leave: Duration,
    /// The listener's bounds.
    pub server: ServerSettings,
    /// The bounds of bodies.
    pub body: BodySettings,
}

/// Why a server did not start. `Display` is the whole message.
#[derive(Debug, thiserror::Error)]
pub enum Failure {
    /// The database does not open.
    #[error("{0}")]
    Open(#[from] OpenError),
    /// The address cannot be listened on.
    #[error("{address} cannot be listened on: {cause}.")]
    Listen {
        /// Which.
        address: SocketAddr,
        /// Why not.
        cause: std::io::Error,
    },
    /// The signing key cannot be read or made.
    #[error("The key that signs marking codes cannot be used: {0}.")]
    MarkingKey(std::io::Error),
    /// The key of the receipts cannot be read or made.
    #[error("The key that signs receipts cannot be used: {0}.")]
    ReceiptKey(std::io::Error),
    /// A setting is wrong.
    #[error("{0}")]
    Settings(#[from] Invalid),
    /// The database said no while starting.
    #[error("The server cannot start: {0}.")]
    Start(#[from] Error),
    /// The system gives no signals, or no standard output.
    #[error("{0}.")]
    Io(#[from] std::io::Error),
}

/// A server that is set up and bound, but does not serve yet.
pub struct Ready {
    /// What handlers reach.
    pub app: App,
    /// What stands around them.
    pub layers: LayerSettings,
    /// Where it listens.
    pub address: SocketAddr,
    server: Server,
    figures: Option<Server>,
    /// The published register.
    pub register: Folder,
    database: Database,
    leave: Duration,
}

/// `ormantrace serve`.
///
/// # Errors
/// A sentence for the administrator; nothing is left running.
pub async fn serve(settings: &Settings, operation: Operation) -> Result<(), Failure> {
    let stop = told_to_stop()?;
    let ready = prepare(settings, operation).await?;
    if let Err(failure) = ready.introduce(settings).await {
        ready.database.close().await;
        return Err(failure);
    }
    ready.run(stop).await;
    Ok(())
}

/// Resolves at the first SIGTERM or Ctrl-C from now on. Listened for from the very start, so
/// that a stop during a long recovery is not lost.
///
/// # Errors
/// If the system refuses.
pub fn told_to_stop() -> std::io::Result<impl Future<Output = ()>> {
    let mut terminate = signal(SignalKind::terminate())?;
    let mut interrupt = signal(SignalKind::interrupt())?;
    Ok(async move {
        tokio::select! {
            _ = terminate.recv() => {}
            _ = interrupt.recv() => {}
        }
    })
}

/// Opens everything a server needs.
///
/// # Errors
/// A sentence for the administrator; nothing is left running.
pub async fn prepare(settings: &Settings, operation: Operation) -> Result<Ready, Failure> {
    // Bound first: a taken port is told before a database is made.
    let server = bind(settings.serve.listen, operation.server).await?;
    let figures = match operation.metrics_listen {
        Some(address) => Some(bind(address, operation.server).await?),
        None => None,
    };
    let address = server.local_addr();
    let register = Folder::new(match &operation.register_dir {
        Some(dir) => dir.clone(),
        None => settings.database.data_dir()?.join("register"),
    });
    let public_url = match &settings.serve.public_url {
        Some(url) => url.as_str().to_owned(),
        None => format!("http://{}", reachable(address)),
    };
    let database =
        db::open(&settings.database, Mode::Serve, crate::evidence::register::backfill::on_migration).await?;
    let app = match make_app(&database.pool, settings, &operation, &register, public_url.clone()).await {
        Ok(app) => app,
        Err(failure) => {
            database.close().await;
            return Err(failure);
        }
    };
    let layers = LayerSettings {
        public_url: Some(public_url),
        trusted_proxies: operation.trusted_proxies,
        body: operation.body,
        refusal_pause: REFUSAL_PAUSE,
        ..LayerSettings::default()
    };
    Ok(Ready { app, layers, address, server, figures, register, database, leave: operation.leave })
}

async fn bind(address: SocketAddr, settings: ServerSettings) -> Result<Server, Failure> {
    Server::bind(address, settings).await.map_err(|cause| Failure::Listen { address, cause })
}

/// An address that a browser on this machine can go to.
pub(crate) fn reachable(mut address: SocketAddr) -> SocketAddr {
    if address.ip().is_unspecified() {
        let local: std::net::IpAddr = if address.is_ipv4() {
            std::net::Ipv4Addr::LOCALHOST.into()
        } else {
            std::net::Ipv6Addr::LOCALHOST.into()
        };
        address.set_ip(local);
    }
    address
}

/// Asks the server that listens on `address` whether it is ready.
///
/// # Errors
/// If there is none, or it is not.
pub fn probe(address: SocketAddr) -> std::io::Result<()> {
    let address = reachable(address);
    let mut stream = TcpStream::connect_timeout(&address, PROBE_TIME)?;
    stream.set_read_timeout(Some(PROBE_TIME))?;
    write!(stream, "GET /readyz HTTP/1.1\r\nhost: {address}\r\nconnection: close\r\n\r\n")?;
    let mut answer = String::new();
    stream.read_to_string(&mut answer)?;
    if answer.starts_with("HTTP/1.1 200 ") { Ok(()) } else { Err(std::io::ErrorKind::Other.into()) }
}

async fn make_app(
    pool: &PgPool,
    settings: &Settings,
    operation: &Operation,
    register: &Folder,
    public_url: String,
) -> Result<App, Failure> {
    let clock = Clock::system();
    let signing_key = signing_key(settings, operation.marking_key.as_deref())?;
    let key_ring = key_ring(pool, &signing_key).await?;
    let origin = operation.origin.as_deref().unwrap_or_else(|| origin_of(&public_url));
    let receipt_key = receipt_key(settings, operation.receipt_key.as_deref(), origin)?;
    Ok(App::new(Inner {
        pool: pool.clone(),
        reads: Reads::of(pool),
        writes: together::writes(pool),
        clock,
        public_url,
        gtin: Gtin::parse(&settings.serve.gtin).map_err(Invalid::from)?,
        signing_key,
        key_ring,
        limiter: PublicLimiter::new(operation.limits),
        register: Published::new(register.clone()),
        queue: Queue::after(receipt_key, operation.former_receipt_keys.clone()),
        fingerprint_key: secret::shared(pool, "fingerprint").await?,
    }))
}

/// Sees that there is an operator who can call, and that the marking key is known.
///
/// # Errors
/// If the token is another organisation's, or another marking key has the id of this server's.
pub async fn bootstrap(app: &App, token: Option<&OperatorToken>) -> Result<Bootstrap, Failure> {
    let token = token.map(|given| given.token().clone());
    let made = bootstrap_operator(&app.pool, &app.clock, token, &Text::parse(OPERATOR)?).await?;
    // On whose chain the key stands that this server signs marking codes with.
    marking_key::register(&app.pool, &app.signing_key, app.clock.now()).await?;
    Ok(made)
}

fn signing_key(settings: &Settings, file: Option<&Path>) -> Result<SigningKey, Failure> {
    let path = match file {
        Some(path) => path.to_path_buf(),
        None => settings.database.data_dir()?.join("keys").join("marking.key"),
    };
    SigningKey::load_or_create(&path).map_err(Failure::MarkingKey)
}

/// The address without its scheme: what tlog-checkpoint advises as a register's name.
fn origin_of(public_url: &str) -> &str {
    public_url.split_once("://").map_or(public_url, |(_, rest)| rest)
}

fn receipt_key(settings: &Settings, file: Option<&Path>, origin: &str) -> Result<Signer, Failure> {
    let path = match file {
        Some(path) => path.to_path_buf(),
        None => settings.database.data_dir()?.join("keys").join("receipt.key"),
    };
    Signer::load_or_create(&path, &format!("{origin}/receipts"), Kind::Text).map_err(Failure::ReceiptKey)
}

/// The public halves of all keys that ever signed here, and this server's own, which [`bootstrap`] makes
/// known for ever.
async fn key_ring(pool: &PgPool, own: &SigningKey) -> Result<KeyRing, Error> {
    let mut ring = load_key_ring(pool).await?;
    ring.add(&own.public_key()).map_err(|refused| Error::BadRow(refused.to_string()))?;
    Ok(ring)
}

impl Ready {
    /// Sees that the operator can call, and says what an administrator should know.
    async fn introduce(&self, settings: &Settings) -> Result<(), Failure> {
        match bootstrap(&self.app, settings.serve.operator_token.as_ref()).await? {
            Bootstrap::Made { token: Some(token), .. } => {
                let mut out = std::io::stdout().lock();
                writeln!(out, "The operator's first token, shown only this once:\n{}", token.expose())?;
                out.flush()?;
            }
            Bootstrap::Made { token: None, .. } => {
                tracing::info!("the operator has the token of the settings");
            }
            Bootstrap::Kept { token_ignored: true } => {
                tracing::warn!("the operator has keys already: the token of the settings is not used");
            }
            Bootstrap::Kept { token_ignored: false } => {}
        }
        if demo_keys::are_in(&self.app.pool).await? {
            tracing::warn!(
                "THIS DATABASE HAS DEMO KEYS, WHICH EVERYBODY KNOWS: whoever reaches this server may write \
                 in every name; never put real data into it"
            );
        }
        Ok(())
    }

    /// How the register's publisher connects to the database.
    #[must_use]
    pub fn publisher_options(&self) -> PgConnectOptions {
        self.database.publisher_options()
    }

    /// Closes what is open, without having served.
    pub async fn abandon(self) {
        self.database.close().await;
    }

    /// Serves until `stop` resolves, then drains and closes everything.
    pub async fn run(self, stop: impl Future<Output = ()>) {
        let Self { app, layers, address, server, figures, register, database, leave } = self;
        let exposition = exposition(&app, &register);
        let (sequenced, last_round) = oneshot::channel();
        let sequencer =
            tokio::spawn(Sequencer::new(app.queue.clone()).run(database.service_options(), async {
                // Resolves too when the sender is dropped: then there is nothing more to wait for.
                let _ = last_round.await;
            }));
        let mut beside = JoinSet::new();
        let metrics = match figures {
            None => Some(exposition),
            Some(figures) => {
                tracing::info!(address = %figures.local_addr(), "figures are at /metrics");
                let routes = exposition.open_routes();
                beside.spawn(async move {
                    figures.serve(routes, std::future::pending()).await;
                });
                None
            }
        };
        beside.spawn(forget_hourly(app.clone()));
        let health = router::health(&app);
        let router = router::served(
            app,
            &layers,
            &Operations { health: health.clone(), metrics, register: Some(register) },
        );
        tracing::info!(%address, url = %layers.public_url.as_deref().unwrap_or_default(), "serving");
        let drained = server
            .serve(router, async {
                stop.await;
                tracing::info!("told to stop: requests at work are finished");
                health.drain();
                tokio::time::sleep(leave).await;
            })
            .await;
        if drained.cut > 0 {
            tracing::warn!(connections = drained.cut, "the drain time is over: connections were cut");
        }
        beside.shutdown().await;
        // After the last write was answered: its events get their places too.
        let _ = sequenced.send(());
        if let Err(error) = sequencer.await {
            tracing::error!(%error, "the sequencer died; the next start goes on with the queue");
        }
        database.close().await;
        tracing::info!("stopped");
    }
}

/// The process's figures with those of its pool and of the register that it serves.
fn exposition(app: &App, register: &Folder) -> Exposition {
    let (all, idle, register) = (app.pool.clone(), app.pool.clone(), register.clone());
    let (lag, size) = (app.queue.clone(), app.queue.clone());
    Exposition::new()
        .with_gauge(
            "ormantrace_sequencer_lag_seconds",
            "How long the oldest event in the register's queue waits; NaN while nothing is known.",
            move || lag.lag().map_or(f64::NAN, |lag| lag.lag.as_secs_f64()),
        )
        .with_gauge("ormantrace_sequencer_size", "Leaves of the register.", move || {
            #[expect(clippy::cast_precision_loss, reason = "a figure for a chart")]
            size.lag().map_or(f64::NAN, |lag| lag.size as f64)
        })
        .with_gauge("ormantrace_pool_connections", "Open connections to the database.", move || {
            f64::from(all.size())
        })
        .with_gauge("ormantrace_pool_idle", "Connections to the database that nobody uses.", move || {
            f64::from(u32::try_from(idle.num_idle()).unwrap_or(u32::MAX))
        })
        .with_gauge(
            "ormantrace_register_published_size",
            "Leaves under the published checkpoint.",
            move || published_size(&register).unwrap_or_default(),
        )
}

/// As a gauge holds it: a double, exact up to 2^53 leaves.
#[expect(clippy::cast_precision_loss, reason = "a gauge holds doubles")]
fn published_size(register: &Folder) -> Option<f64> {
    let note = Note::parse(&register.published().ok()??).ok()?;
    Some(Checkpoint::parse(note.text()).ok()?.size as f64)
}

async fn forget_hourly(app: App) {
    let mut hours = tokio::time::interval(FORGET_EVERY);
    hours.set_missed_tick_behavior(tokio::time::MissedTickBehavior::Delay);
    loop {
        hours.tick().await;
        match stored::forget_old(&app.pool, app.clock.now()).await {
            Ok(0) => {}
            Ok(rows) => tracing::info!(rows, "old answers forgotten"),
            Err(error) => tracing::warn!(%error, "old answers cannot be forgotten now"),
        }
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn links_lead_to_an_address_one_can_go_to() {
        for (bound, link) in [
            ("0.0.0.0:8080", "127.0.0.1:8080"),
            ("[::]:8080", "[::1]:8080"),
            ("192.0.2.7:80", "192.0.2.7:80"),
        ] {
            assert_eq!(reachable(bound.parse().unwrap()).to_string(), link);
        }
    }
}
