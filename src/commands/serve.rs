//! The life of one server: the database, the keys, the listener, the background tasks, and the shutdown.
//!
//! On a stop signal (SIGTERM, Ctrl-C) the server fails `/readyz`, accepts no new connection, finishes the
//! requests in progress within the drain timeout, closes its connections and stops a private PostgreSQL
//! cleanly. Nothing that it started is left running.

mod hourly;

use super::configuration::{demonstration_codes, operator, warn_about_organizations};
use crate::base::clock::Clock;
use crate::base::config::{OperatorToken, ServeSettings, Settings, shown};
use crate::base::error::{Error, Invalid};
use crate::commands::demo_keys;
use crate::commands::fsck::guards::{self, Guards};
use crate::commands::publisher::{PublisherCommand, PublisherOptions, RunningPublisher};
use crate::commands::rulebook;
use crate::db::{self, Database, Mode, OpenError};
use crate::evidence::idempotency::secret;
use crate::evidence::register::published::Published;
use crate::evidence::register::{Queue, Sequencer};
use crate::evidence::tlog::note::{Kind, Signer, VerifierKey};
use crate::evidence::tlog::{Checkpoint, Folder, Note};
use crate::http::core::address::{Network, subscriber};
use crate::http::core::app::{App, Inner};
use crate::http::core::body::BodySettings;
use crate::http::core::layers::LayerSettings;
use crate::http::core::limit::{LimitSettings, PublicLimiter};
use crate::http::core::metrics::Exposition;
use crate::http::core::write_queue;
use crate::http::router::{self, HEALTH_PATHS, METRICS_PATH, OpsEndpoints};
use crate::net::files;
use crate::net::server::{Server, ServerSettings};
use crate::services::reads::Reads;
use crate::services::surveillance::checks::Checks;
use crate::services::surveillance::runner;
use crate::timber::parameter::Rulebook;
use crate::timber::party::bootstrap::{Bootstrap, bootstrap_operator};
use crate::timber::seal::gs1::Gtin;
use crate::timber::seal::marking_key;
use crate::timber::seal::signing::SigningKey;
use crate::timber::seal::stock::load_key_ring;
pub use hourly::keep_house;
use sqlx::postgres::PgConnectOptions;
use sqlx::{Connection, PgPool};
use std::future::Future;
use std::io::{Read, Write};
use std::net::{IpAddr, SocketAddr, TcpStream};
use std::path::{Path, PathBuf};
use std::time::Duration;
use tokio::signal::unix::{SignalKind, signal};
use tokio::sync::oneshot;
use tokio::task::JoinSet;

/// Delay before the 429 response to an address over its limit. Without the delay, 32 connections of one
/// address used so much of two cores that the 99th percentile of appends grew to five times its idle value.
const REJECTION_DELAY: Duration = Duration::from_millis(200);

/// Maximum number of connections of a listener that serves only metrics or only probes.
const MAX_OWN_CONNECTIONS: usize = 32;

/// Timeout of a probe, for each step.
const PROBE_TIMEOUT: Duration = Duration::from_secs(2);

/// How a server runs, beyond [`Settings`].
#[derive(Clone, Debug, Default)]
pub struct ServeOptions {
    /// File of the key that signs marking codes; by default `keys/marking.key` in the data directory.
    pub marking_key: Option<PathBuf>,
    /// Folder of the published register; by default `register` in the data directory.
    pub register_dir: Option<PathBuf>,
    /// File of the key that signs receipts; by default `keys/receipt.key` in the data directory.
    pub receipt_key: Option<PathBuf>,
    /// Former public keys, with which earlier receipts are checked; shown in addition to the current key.
    pub former_receipt_keys: Vec<VerifierKey>,
    /// Name of the register; by default the public address.
    pub origin: Option<String>,
    /// The publisher that runs next to the server.
    pub publisher: PublisherOptions,
    /// Limits of the public check.
    pub limits: LimitSettings,
    /// Networks of proxies from which `X-Forwarded-For` is accepted.
    pub trusted_proxies: Vec<Network>,
    /// Address of a separate listener for the metrics.
    pub metrics_listen: Option<SocketAddr>,
    /// Address of a separate listener for the probes.
    pub probe_listen: Option<SocketAddr>,
    /// How long `/readyz` fails before the listener is closed.
    pub leave: Duration,
    /// Limits and timeouts of the listener.
    pub server: ServerSettings,
    /// Limits and timeouts of request bodies.
    pub body: BodySettings,
}

/// Why a server did not start. `Display` is the complete message.
#[derive(Debug, thiserror::Error)]
pub enum Failure {
    /// The database cannot be opened.
    #[error("{0}")]
    Open(#[from] OpenError),
    /// The address cannot be listened on.
    #[error("{address} cannot be listened on: {cause}.")]
    Listen {
        /// The address.
        address: SocketAddr,
        /// The error of the system.
        cause: std::io::Error,
    },
    /// The key of marking codes cannot be read or created.
    #[error("The key that signs marking codes cannot be used: {0}.")]
    MarkingKey(std::io::Error),
    /// The key of receipts cannot be read or created.
    #[error("The key that signs receipts cannot be used: {0}.")]
    ReceiptKey(std::io::Error),
    /// A setting is invalid.
    #[error("{0}")]
    Settings(#[from] Invalid),
    /// The database returned an error during start.
    #[error("The server cannot start: {0}.")]
    Start(#[from] Error),
    /// `--origin` is not the name of the register in the folder.
    #[error(
        "--origin is {given}, but the register in {} was begun as {begun} and keeps that name: give --origin {begun}, \
         or the folder of another register with --register-dir.", shown(.dir)
    )]
    OtherOrigin {
        /// The given name.
        given: String,
        /// The name in the folder's checkpoint.
        begun: String,
        /// The folder.
        dir: PathBuf,
    },
    /// Evidence could be altered: its append-only triggers are gone.
    #[error(
        "Nothing keeps the evidence append-only: {0} must be restored first, as the migrations make them. \
         `ormantrace fsck` checks what was altered meanwhile."
    )]
    Unguarded(String),
    /// Signals cannot be received, or standard output cannot be written.
    #[error("{0}.")]
    Io(#[from] std::io::Error),
}

/// A server that is set up and bound, but does not serve yet.
pub struct Ready {
    /// The state that handlers share.
    pub app: App,
    /// Settings of the middleware around the handlers.
    pub layers: LayerSettings,
    /// The address it listens on.
    pub address: SocketAddr,
    server: Server,
    metrics_server: Option<Server>,
    probe_server: Option<Server>,
    /// The folder of the published transparency log.
    pub register: Folder,
    /// The publisher to run next to the server; `None` if this server does not publish.
    pub publisher: Option<PublisherCommand>,
    database: Database,
    leave: Duration,
    /// Number of errors in the guards of the tables, found by the check of the catalogue at the start.
    guard_errors: u64,
}

/// `ormantrace serve`.
///
/// # Errors
/// A sentence for the administrator; nothing is left running.
pub async fn serve(settings: &Settings, operation: ServeOptions) -> Result<(), Failure> {
    let stop = shutdown_signal()?;
    let ready = prepare(settings, operation).await?;
    if let Err(failure) = ready.announce(settings).await {
        ready.database.close().await;
        return Err(failure);
    }
    ready.run(stop).await;
    Ok(())
}

/// Resolves at the first SIGTERM or Ctrl-C after this call. Callers register it before anything else, so that
/// a signal during a long recovery is not lost.
///
/// # Errors
/// If the signal handlers cannot be installed.
pub fn shutdown_signal() -> std::io::Result<impl Future<Output = ()>> {
    let mut terminate = signal(SignalKind::terminate())?;
    let mut interrupt = signal(SignalKind::interrupt())?;
    Ok(async move {
        tokio::select! {
            _ = terminate.recv() => {}
            _ = interrupt.recv() => {}
        }
    })
}

/// Binds the listeners, opens the database and builds the handlers' state. Does not serve yet.
///
/// # Errors
/// A message for the administrator; whatever was opened is closed again.
pub async fn prepare(settings: &Settings, operation: ServeOptions) -> Result<Ready, Failure> {
    let limit = files::raise_limit();
    let connections = files::connections_within(limit, operation.server.connections);
    if connections < operation.server.connections {
        tracing::warn!(limit, connections, "the limit of open files allows fewer connections than usual");
    }
    let trusted = operation.trusted_proxies.clone();
    let counting = move |address: IpAddr| {
        let is_proxy = trusted.iter().any(|network| network.contains(address));
        (!is_proxy).then(|| subscriber(address))
    };
    // The listener is bound first, so that a port in use is reported before a database is created.
    let main = ServerSettings { connections, ..operation.server };
    let server = bind(settings.serve.listen, main).await?.counting(counting);
    let few = ServerSettings { connections: MAX_OWN_CONNECTIONS, ..operation.server };
    let metrics_server = bind_optional(operation.metrics_listen, few).await?;
    let probe_server = bind_optional(operation.probe_listen, few).await?;
    let address = server.local_addr();
    let register = Folder::new(match &operation.register_dir {
        Some(dir) => dir.clone(),
        None => settings.database.data_dir()?.join("register"),
    });
    if let Some(given) = &operation.origin {
        check_origin(given, &register)?;
    }
    let public_url = match &settings.serve.public_url {
        Some(url) => url.as_str().to_owned(),
        None => format!("http://{}", reachable(address)),
    };
    let origin = operation.origin.as_deref().unwrap_or_else(|| origin_of(&public_url));
    let publisher = PublisherCommand::of(settings, &operation.publisher, &register, origin)?;
    let database =
        db::open(&settings.database, Mode::Serve, crate::evidence::register::backfill::on_migration).await?;
    let guard_errors = match check_guards(&database).await {
        Ok(count) => count,
        Err(failure) => {
            database.close().await;
            return Err(failure);
        }
    };
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
        refusal_pause: REJECTION_DELAY,
        ..LayerSettings::default()
    };
    let leave = operation.leave;
    Ok(Ready {
        app,
        layers,
        address,
        server,
        metrics_server,
        probe_server,
        register,
        publisher,
        database,
        leave,
        guard_errors,
    })
}

/// Checks the guards of the tables, logs each error, and returns the number of errors.
///
/// # Errors
/// If an append-only trigger is gone.
async fn check_guards(database: &Database) -> Result<u64, Failure> {
    let mut owner = database.owner().await.map_err(Error::Database)?;
    let Guards { errors, gone, .. } = guards::read(&mut owner).await.map_err(Error::Database)?;
    owner.close().await.map_err(Error::Database)?;
    for error in &errors {
        tracing::warn!(%error, "the database does not guard its evidence as this program set it up");
    }
    if gone.is_empty() { Ok(errors.len() as u64) } else { Err(Failure::Unguarded(gone.join(", "))) }
}

async fn bind_optional(
    address: Option<SocketAddr>,
    settings: ServerSettings,
) -> Result<Option<Server>, Failure> {
    match address {
        Some(address) => Ok(Some(bind(address, settings).await?)),
        None => Ok(None),
    }
}

async fn bind(address: SocketAddr, settings: ServerSettings) -> Result<Server, Failure> {
    Server::bind(address, settings).await.map_err(|cause| Failure::Listen { address, cause })
}

/// The address that a browser on this machine can open: localhost in place of an unspecified address.
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

/// Requests `/readyz` from the server at `address`.
///
/// # Errors
/// If there is no server, or it is not ready.
pub fn probe(address: SocketAddr) -> std::io::Result<()> {
    let address = reachable(address);
    let mut stream = TcpStream::connect_timeout(&address, PROBE_TIMEOUT)?;
    stream.set_read_timeout(Some(PROBE_TIMEOUT))?;
    write!(stream, "GET /readyz HTTP/1.1\r\nhost: {address}\r\nconnection: close\r\n\r\n")?;
    let mut response = String::new();
    stream.read_to_string(&mut response)?;
    if response.starts_with("HTTP/1.1 200 ") { Ok(()) } else { Err(std::io::ErrorKind::Other.into()) }
}

async fn make_app(
    pool: &PgPool,
    settings: &Settings,
    operation: &ServeOptions,
    register: &Folder,
    public_url: String,
) -> Result<App, Failure> {
    let clock = Clock::system();
    let mut key_ring = load_key_ring(pool).await?;
    let served_before = !key_ring.is_empty();
    let marking_file = key_file(settings, operation.marking_key.as_deref(), "marking.key")?;
    warn_if_made_anew(served_before, &marking_file, "marking codes are signed by a new key");
    let signing_key = SigningKey::load_or_create(&marking_file).map_err(Failure::MarkingKey)?;
    // [`bootstrap`] records it permanently.
    key_ring.add(&signing_key.public_key()).map_err(|refused| Error::CorruptRow(refused.to_string()))?;
    let origin = operation.origin.as_deref().unwrap_or_else(|| origin_of(&public_url));
    let receipt_file = key_file(settings, operation.receipt_key.as_deref(), "receipt.key")?;
    warn_if_made_anew(served_before, &receipt_file, "receipts are signed by a new key");
    let receipt_key = Signer::load_or_create(&receipt_file, &format!("{origin}/receipts"), Kind::Text)
        .map_err(Failure::ReceiptKey)?;
    let gtin = Gtin::parse(&settings.serve.gtin).map_err(Invalid::from)?;
    Ok(App::new(Inner {
        not_configured: demonstration_codes(&settings.serve, &public_url, gtin),
        pool: pool.clone(),
        reads: Reads::of(pool),
        writes: write_queue::writes(pool),
        rulebook: Rulebook::new(clock.clone()),
        clock,
        public_url,
        inspectorate_contact: settings.serve.inspectorate_contact.clone(),
        gtin,
        signing_key,
        key_ring,
        limiter: PublicLimiter::new(operation.limits),
        checks: Checks::default(),
        register: Published::new(register.clone()),
        queue: Queue::after(receipt_key, operation.former_receipt_keys.clone()),
        fingerprint_key: secret::shared(pool, "fingerprint").await?,
    }))
}

/// Ensures that an operator with a key exists, and that the marking key is recorded.
///
/// # Errors
/// If the token belongs to another organisation, another marking key has the same id as this server's, or the
/// operator's number in `settings` is no BIN. `settings` matter only at the first start.
pub async fn bootstrap(
    app: &App,
    token: Option<&OperatorToken>,
    settings: Option<&ServeSettings>,
) -> Result<Bootstrap, Failure> {
    let token = token.map(|given| given.token().clone());
    let made = bootstrap_operator(&app.pool, &app.clock, token, &operator(settings)?).await?;
    // The marking key is recorded on the operator's chain, so the operator must exist first.
    marking_key::register(&app.pool, &app.signing_key, app.clock.now()).await?;
    rulebook::begin(app, &made).await?;
    Ok(made)
}

/// The given file, or the file `name` in the data directory's folder `keys`.
fn key_file(settings: &Settings, file: Option<&Path>, name: &str) -> Result<PathBuf, Failure> {
    Ok(match file {
        Some(path) => path.to_path_buf(),
        None => settings.database.data_dir()?.join("keys").join(name),
    })
}

/// Warns if a key file is missing although this database was served before. The file existed at that time, so
/// a restore has probably left it out.
fn warn_if_made_anew(served_before: bool, file: &Path, what: &str) {
    if served_before && !file.exists() {
        tracing::warn!(
            file = %file.display(),
            "THE KEY FILE IS MISSING: {what}; if the old key still exists, stop this server and restore its file"
        );
    }
}

/// Checks that the register in the folder, if it was begun, has the given name: its key has a name, so another one
/// would have no effect. A folder that cannot be read is reported by `publish`.
fn check_origin(given: &str, register: &Folder) -> Result<(), Failure> {
    let signed = register.signed().ok().flatten().or_else(|| register.published().ok().flatten());
    let note = signed.and_then(|bytes| Note::parse(&bytes).ok());
    match note.and_then(|note| Checkpoint::parse(note.text()).ok()) {
        Some(Checkpoint { origin: begun, .. }) if begun != given => {
            Err(Failure::OtherOrigin { given: given.to_owned(), begun, dir: register.root().to_path_buf() })
        }
        _ => Ok(()),
    }
}

/// The URL without its scheme, as tlog-checkpoint recommends for an origin.
fn origin_of(public_url: &str) -> &str {
    public_url.split_once("://").map_or(public_url, |(_, rest)| rest)
}

impl Ready {
    /// Runs [`bootstrap`], and prints or logs what an administrator should know.
    async fn announce(&self, settings: &Settings) -> Result<(), Failure> {
        match bootstrap(&self.app, settings.serve.operator_token.as_ref(), Some(&settings.serve)).await? {
            Bootstrap::Created { token: Some(token), .. } => {
                let mut out = std::io::stdout().lock();
                writeln!(out, "The operator's first token, shown only this once:\n{}", token.expose())?;
                out.flush()?;
            }
            Bootstrap::Created { token: None, .. } => {
                tracing::info!("the operator's first key has the configured token");
            }
            Bootstrap::AlreadyPresent { token_ignored: true } => {
                tracing::warn!("the operator already has keys: the configured token is ignored");
            }
            Bootstrap::AlreadyPresent { token_ignored: false } => {}
        }
        warn_about_organizations(&self.app.pool).await?;
        if let Some(reason) = &self.app.not_configured {
            tracing::warn!(
                "NO SEALS ARE MADE HERE: {reason}; or give --allow-demonstration-codes for a trial"
            );
        }
        if demo_keys::are_in(&self.app.pool).await? {
            tracing::warn!(
                "THIS DATABASE HAS DEMO KEYS, WHICH ARE PUBLIC: any client that reaches this server can \
                 write in the name of every organisation; never put real data into it"
            );
        }
        Ok(())
    }

    /// Connection options of the publisher, with its own database role.
    #[must_use]
    pub fn publisher_options(&self) -> PgConnectOptions {
        self.database.publisher_options()
    }

    /// Closes the database of a server that never served.
    pub async fn close_unserved(self) {
        self.database.close().await;
    }

    /// Serves until `stop` resolves, then drains and closes everything.
    pub async fn run(self, stop: impl Future<Output = ()>) {
        let Self {
            app,
            layers,
            address,
            server,
            metrics_server,
            probe_server,
            register,
            publisher,
            database,
            leave,
            guard_errors,
        } = self;
        let exposition = exposition(&app, &register, guard_errors);
        let (sequenced, last_round) = oneshot::channel();
        let sequencer =
            tokio::spawn(Sequencer::new(app.queue.clone()).run(database.service_options(), async {
                // `last_round` also resolves, with an error, if `sequenced` was dropped without a message.
                // The sequencer stops in this case too.
                let _ = last_round.await;
            }));
        let publisher = publisher.map(RunningPublisher::start);
        let mut tasks = JoinSet::new();
        let metrics = match metrics_server {
            None => Some(exposition),
            Some(metrics_server) => {
                tracing::info!(address = %metrics_server.local_addr(), "metrics are at /metrics");
                let routes = exposition.open_routes(METRICS_PATH);
                tasks.spawn(async move {
                    metrics_server.serve(routes, std::future::pending()).await;
                });
                None
            }
        };
        tasks.spawn(hourly::run(app.clone()));
        tasks.spawn(app.checks.clone().write_every_minute(app.pool.clone()));
        let (rulebook, clock) = (app.rulebook.clone(), app.clock.clone());
        tasks.spawn(runner::serve(app.pool.clone(), rulebook, clock, database.service_options()));
        tasks.spawn(rulebook::read_again(app.clone()));
        let health = router::health(&app);
        if let Some(probe_server) = probe_server {
            tracing::info!(address = %probe_server.local_addr(), "/healthz and /readyz have their own listener");
            let routes = health.routes(HEALTH_PATHS);
            tasks.spawn(async move {
                probe_server.serve(routes, std::future::pending()).await;
            });
        }
        let router = router::served(
            app,
            &layers,
            &OpsEndpoints { health: health.clone(), metrics, register: Some(register) },
        );
        tracing::info!(%address, url = %layers.public_url.as_deref().unwrap_or_default(), "serving");
        let drained = server
            .serve(router, async {
                stop.await;
                tracing::info!("stop signal received: finishing the requests in progress");
                health.drain();
                tokio::time::sleep(leave).await;
            })
            .await;
        if drained.cut > 0 {
            tracing::warn!(connections = drained.cut, "drain timeout: open connections were closed");
        }
        tasks.shutdown().await;
        // The sequencer stops after the last response, so that it also sequences the events of the last write
        // request.
        let _ = sequenced.send(());
        if let Err(error) = sequencer.await {
            tracing::error!(%error, "the sequencer failed; the next start continues with the queue");
        }
        if let Some(publisher) = publisher {
            publisher.stop().await;
        }
        database.close().await;
        tracing::info!("stopped");
    }
}

/// The metrics of the process, of its connection pool and of the transparency log that it serves.
fn exposition(app: &App, register: &Folder, guard_errors: u64) -> Exposition {
    let (all, idle, register) = (app.pool.clone(), app.pool.clone(), register.clone());
    let (lag, size) = (app.queue.clone(), app.queue.clone());
    Exposition::new()
        .with_gauge(
            "ormantrace_sequencer_lag_seconds",
            "Time the oldest event has waited in the sequencer's queue; NaN if unknown.",
            move || lag.lag().map_or(f64::NAN, |lag| lag.lag.as_secs_f64()),
        )
        .with_gauge("ormantrace_sequencer_size", "Leaves of the register.", move || {
            #[expect(clippy::cast_precision_loss, reason = "a figure for a chart")]
            size.lag().map_or(f64::NAN, |lag| lag.size as f64)
        })
        .with_gauge("ormantrace_pool_connections", "Open connections to the database.", move || {
            f64::from(all.size())
        })
        .with_gauge("ormantrace_pool_idle", "Idle connections to the database.", move || {
            f64::from(u32::try_from(idle.num_idle()).unwrap_or(u32::MAX))
        })
        .with_gauge(
            "ormantrace_guard_errors",
            "Errors in row security, rules, triggers and rights of the tables, found at the start.",
            move || f64::from(u32::try_from(guard_errors).unwrap_or(u32::MAX)),
        )
        .with_gauge(
            "ormantrace_register_published_size",
            "Leaves under the published checkpoint.",
            move || published_size(&register).unwrap_or_default(),
        )
}

/// The published number of leaves as a double, because a gauge holds doubles. A double is exact up to 2^53
/// leaves.
#[expect(clippy::cast_precision_loss, reason = "a gauge holds doubles")]
fn published_size(register: &Folder) -> Option<f64> {
    let note = Note::parse(&register.published().ok()??).ok()?;
    Some(Checkpoint::parse(note.text()).ok()?.size as f64)
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
