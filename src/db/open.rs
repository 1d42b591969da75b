//! Opening and closing the database, given or private.

use std::path::Path;
use std::time::{Duration, Instant};

use sqlx::postgres::{PgConnectOptions, PgConnection, PgPool, PgPoolOptions};
use sqlx::{ConnectOptions, Connection};

use super::dump::Login;
use super::errors::{OpenError, is_down};
use super::lock::{Denied, Lock};
use super::migrate::{self, Backfill, MIGRATOR, Service};
use super::private::cluster::{self, Cluster, IfAbsent, Tuning};
use super::private::folder::Folder;
use super::private::postmaster::{self, PidFileState};
use super::programs::OLDEST;
use super::roles::{self, DATABASE, OWNER, PUBLISHER, SERVICE, SUPERUSER};
use crate::base::config::{DatabaseSettings, DatabaseUrl, shown};

/// How long to wait for a server that is not up yet.
const CONNECT_TIMEOUT: Duration = Duration::from_secs(30);
/// How long a request waits for a free connection.
const ACQUIRE_TIMEOUT: Duration = Duration::from_secs(2);
/// How long one statement of a request may take.
const STATEMENT_TIMEOUT: &str = "10s";
/// How long a transaction of a request may be idle. The task of a transaction that is idle for longer has
/// ended or hangs.
const IDLE_TIMEOUT: &str = "30s";

/// What the database is opened for.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum Mode {
    /// To serve: takes the private cluster for this process alone; refused while another process has it.
    Serve,
    /// For a command that may run next to a server (migrate): joins the server's private cluster, or starts
    /// the cluster if no process runs it.
    Attach,
}

/// An open database.
#[derive(Debug)]
pub struct Database {
    /// Connections for requests, in the service role: it reads and adds evidence, and never changes it.
    pub pool: PgPool,
    service: PgConnectOptions,
    publisher: PgConnectOptions,
    owner: PgConnectOptions,
    superuser: Option<PgConnectOptions>,
    cluster: Option<Cluster>,
}

impl Database {
    /// Connection options of the pool, for code that opens its own connections (a batch loader).
    #[must_use]
    pub fn service_options(&self) -> PgConnectOptions {
        self.service.clone()
    }

    /// Connection options of the register's publisher: its own role in a private cluster; on a given
    /// server the given role, switched to the publisher's role if that is permitted.
    #[must_use]
    pub fn publisher_options(&self) -> PgConnectOptions {
        self.publisher.clone()
    }

    /// A connection in the role that owns the tables, without a statement timeout.
    ///
    /// # Errors
    /// Errors from the database.
    pub async fn owner(&self) -> sqlx::Result<PgConnection> {
        self.owner.connect().await
    }

    /// What client programs, such as `pg_dump`, need to connect as the owner.
    #[must_use]
    pub fn login(&self) -> Login {
        Login::new(&self.owner)
    }

    /// A connection with the most rights available, for maintenance (VACUUM, CHECKPOINT, WAL
    /// removal): the superuser of a private cluster, otherwise the given role. No statement timeout.
    ///
    /// # Errors
    /// Errors from the database.
    pub async fn maintenance(&self) -> sqlx::Result<PgConnection> {
        self.superuser.as_ref().unwrap_or(&self.owner).connect().await
    }

    /// Whether the cluster is private, started by this process or joined.
    #[must_use]
    pub fn is_private(&self) -> bool {
        self.superuser.is_some()
    }

    /// Closes every connection, and cleanly stops a private cluster that this process started.
    pub async fn close(self) {
        // A connection that is still in use must not keep the server from stopping.
        let _ = tokio::time::timeout(Duration::from_secs(5), self.pool.close()).await;
        if let Some(cluster) = self.cluster {
            cluster.stop().await;
        }
    }
}

/// Opens the database, migrates it and adds missing roles and rights.
///
/// # Errors
/// A message for the administrator; no process is left running.
pub async fn open(
    settings: &DatabaseSettings,
    mode: Mode,
    backfill: Backfill,
) -> Result<Database, OpenError> {
    match &settings.database_url {
        Some(url) => open_url(url, settings.database_connections, backfill).await,
        None => open_private(settings, mode, backfill).await,
    }
}

/// Opens a database that exists and has this program's schema. Makes no cluster, no role and no password,
/// and changes neither schema nor rights: for a check, and for commands that must not create a new, empty
/// database when they are given a wrong folder.
///
/// # Errors
/// A message for the administrator; no process is left running.
pub async fn open_existing(settings: &DatabaseSettings) -> Result<Database, OpenError> {
    if let Some(url) = &settings.database_url {
        let options: PgConnectOptions = url.expose().parse().map_err(OpenError::Database)?;
        let owner = for_owner(options.clone());
        let (service, publisher) = (for_requests(options.clone()), for_publisher(options));
        let mut connection = connect_with_retries(&owner).await?;
        migrate::check(&mut connection, &MIGRATOR).await?;
        connection.close().await.map_err(OpenError::Database)?;
        let pool = pool_options(settings.database_connections).connect_lazy_with(service.clone());
        return Ok(Database { pool, service, publisher, owner, superuser: None, cluster: None });
    }
    let folder = Folder::existing(&settings.data_dir()?)?;
    let connections = settings.database_connections;
    let (cluster, base) = attach(&folder, Tuning::durable(connections), IfAbsent::Refuse).await?;
    stop_on_error(cluster, open_existing_cluster(&folder, base, connections).await).await
}

async fn open_existing_cluster(
    folder: &Folder,
    base: PgConnectOptions,
    connections: u32,
) -> Result<Database, OpenError> {
    let base = base.database(DATABASE);
    let login = |role: &str| -> Result<PgConnectOptions, OpenError> {
        Ok(base.clone().username(role).password(&folder.password(role, false)?))
    };
    let (owner, superuser) = (for_owner(login(OWNER)?), for_owner(login(SUPERUSER)?));
    let service = for_requests(login(SERVICE)?);
    // A cluster that is older than the publisher's role has no password for this role. That is harmless here,
    // because the commands that open the database in this way do not publish.
    let publisher = folder.password(PUBLISHER, false).unwrap_or_default();
    let publisher = for_publisher(base.clone().username(PUBLISHER).password(&publisher));
    let mut connection = owner.connect().await.map_err(OpenError::Database)?;
    migrate::check(&mut connection, &MIGRATOR).await?;
    connection.close().await.map_err(OpenError::Database)?;
    let pool = pool_options(connections).connect_lazy_with(service.clone());
    Ok(Database { pool, service, publisher, owner, superuser: Some(superuser), cluster: None })
}

/// Pool options without a connection target, for the pool of requests and for tests.
#[must_use]
pub fn pool_options(connections: u32) -> PgPoolOptions {
    PgPoolOptions::new()
        .max_connections(connections)
        .acquire_timeout(ACQUIRE_TIMEOUT)
        // A connection is not tested when it is taken from the pool. This saves one round trip per request,
        // and a dead connection fails at its first statement anyway.
        .test_before_acquire(false)
}

/// Whether the database responds.
///
/// # Errors
/// Errors from the database.
pub async fn ping(pool: &PgPool) -> sqlx::Result<()> {
    sqlx::query("SELECT 1").execute(pool).await.map(drop)
}

fn for_requests(options: PgConnectOptions) -> PgConnectOptions {
    let settings = [
        ("statement_timeout", STATEMENT_TIMEOUT),
        ("idle_in_transaction_session_timeout", IDLE_TIMEOUT),
        // A write that was acknowledged is on disk, whatever the server's default is.
        ("synchronous_commit", "on"),
    ];
    quiet(options).application_name("ormantrace").options(settings)
}

pub(super) fn for_owner(options: PgConnectOptions) -> PgConnectOptions {
    quiet(options).application_name("ormantrace-owner").options([("statement_timeout", "0")])
}

fn for_publisher(options: PgConnectOptions) -> PgConnectOptions {
    let limits = [("statement_timeout", STATEMENT_TIMEOUT), ("default_transaction_read_only", "on")];
    quiet(options).application_name("ormantrace-publisher").options(limits)
}

/// Turns off the trace of statements: there are too many statements, and slow ones show in the metrics.
fn quiet(options: PgConnectOptions) -> PgConnectOptions {
    options.disable_statement_logging()
}

/// Opens a private cluster that loses its data at a power cut and accepts many connections: for tests
/// and measurements, never for real data.
///
/// # Errors
/// As [`open`].
pub async fn open_disposable(data_dir: &Path, backfill: Backfill) -> Result<Database, OpenError> {
    let folder = Folder::open(data_dir)?;
    let tuning = Tuning { max_connections: 400, durable: false };
    let (cluster, base) = start(&folder, tuning, IfAbsent::Make).await?;
    finish(&folder, cluster, base, 8, backfill).await
}

async fn open_url(url: &DatabaseUrl, connections: u32, backfill: Backfill) -> Result<Database, OpenError> {
    let options: PgConnectOptions = url.expose().parse().map_err(OpenError::Database)?;
    let owner = for_owner(options.clone());
    let mut connection = connect_with_retries(&owner).await?;
    let version: i32 = sqlx::query_scalar("SELECT current_setting('server_version_num')::int")
        .fetch_one(&mut connection)
        .await
        .map_err(OpenError::Database)?;
    let major = u32::try_from(version / 10_000).unwrap_or(0);
    if major < OLDEST {
        return Err(OpenError::TooOld(major));
    }
    let service = migrate::migrate(&mut connection, &MIGRATOR, false, backfill).await?;
    let publisher = publisher_of(options.clone(), &mut connection).await.map_err(OpenError::Database)?;
    connection.close().await.map_err(OpenError::Database)?;
    let mut service_options = for_requests(options);
    match service {
        Service::Separate => service_options = service_options.options([("role", SERVICE)]),
        Service::Owner => tracing::warn!(
            "there is no separate service role: requests run as the owner, and only triggers guard evidence"
        ),
    }
    let pool = pool_options(connections).connect_lazy_with(service_options.clone());
    Ok(Database { pool, service: service_options, publisher, owner, superuser: None, cluster: None })
}

/// Connection options of the publisher on a given server. The connections switch to the publisher's role, if
/// the given role may do that.
async fn publisher_of(
    options: PgConnectOptions,
    connection: &mut PgConnection,
) -> sqlx::Result<PgConnectOptions> {
    let options = for_publisher(options);
    Ok(if roles::may_switch(connection, PUBLISHER).await? {
        options.options([("role", PUBLISHER)])
    } else {
        options
    })
}

/// Connection options of the register's publisher. The database is not opened for it, because the
/// publisher must not have the owner's rights. A private cluster is joined, never started.
///
/// # Errors
/// A sentence: no server was ready and set up within 30 seconds.
pub async fn open_for_publisher(settings: &DatabaseSettings) -> Result<PgConnectOptions, OpenError> {
    if let Some(url) = &settings.database_url {
        let options: PgConnectOptions = url.expose().parse().map_err(OpenError::Database)?;
        let mut connection = connect_with_retries(&for_publisher(options.clone())).await?;
        let options = publisher_of(options, &mut connection).await.map_err(OpenError::Database)?;
        connection.close().await.map_err(OpenError::Database)?;
        return Ok(options);
    }
    let folder = Folder::open(&settings.data_dir()?)?;
    let since = Instant::now();
    loop {
        if let Ok(PidFileState::Live(server)) = postmaster::check_pid_file(&folder.cluster())
            && server.ready
        {
            let base = cluster::connection(&server.socket_dir, server.port).database(DATABASE);
            let password = folder.password(PUBLISHER, false)?;
            let options = for_publisher(base.username(PUBLISHER).password(&password));
            match options.connect().await {
                Ok(connection) => {
                    connection.close().await.map_err(OpenError::Database)?;
                    return Ok(options);
                }
                // The server has not finished setting up the cluster, so the connection is tried again.
                Err(error) if is_unfinished(&error) || is_down(&error) => {}
                Err(error) => return Err(OpenError::Database(error)),
            }
        }
        if since.elapsed() > CONNECT_TIMEOUT {
            return Err(OpenError::Folder(format!(
                "No server runs the database of {}: start `ormantrace serve` there, then run this again.",
                shown(folder.root())
            )));
        }
        tokio::time::sleep(Duration::from_millis(50)).await;
    }
}

/// Connects, retrying while the server is not up.
pub(super) async fn connect_with_retries(options: &PgConnectOptions) -> Result<PgConnection, OpenError> {
    let (since, mut pause) = (Instant::now(), Duration::from_millis(50));
    loop {
        match options.connect().await {
            Ok(connection) => return Ok(connection),
            Err(error) if is_tls_failure(options, &error) => return Err(OpenError::Tls(error)),
            Err(error) if !is_down(&error) => return Err(OpenError::Database(error)),
            Err(error) if since.elapsed() + pause > CONNECT_TIMEOUT => {
                return Err(OpenError::Unreachable(error));
            }
            Err(error) => tracing::info!(%error, "the database is not up yet; trying again"),
        }
        tokio::time::sleep(pause).await;
        pause = (pause * 2).min(Duration::from_secs(2));
    }
}

/// Whether the connection failed because of its encryption, so that a retry does not help: a certificate is
/// wrong or cannot be parsed (`rustls` reports both as invalid data), or a file named in the settings cannot
/// be opened. A TCP connection itself never fails because of a missing file.
fn is_tls_failure(options: &PgConnectOptions, error: &sqlx::Error) -> bool {
    use std::io::ErrorKind;
    match error {
        sqlx::Error::Tls(_) => true,
        sqlx::Error::Io(error) => match error.kind() {
            ErrorKind::InvalidData | ErrorKind::InvalidInput => true,
            ErrorKind::NotFound | ErrorKind::PermissionDenied | ErrorKind::IsADirectory => {
                options.get_socket().is_none()
            }
            _ => false,
        },
        _ => false,
    }
}

async fn open_private(
    settings: &DatabaseSettings,
    mode: Mode,
    backfill: Backfill,
) -> Result<Database, OpenError> {
    let folder = Folder::open(&settings.data_dir()?)?;
    let tuning = Tuning::durable(settings.database_connections);
    let (cluster, base) = match mode {
        Mode::Serve => start(&folder, tuning, IfAbsent::Make).await?,
        Mode::Attach => attach(&folder, tuning, IfAbsent::Make).await?,
    };
    finish(&folder, cluster, base, settings.database_connections, backfill).await
}

/// Sets up and migrates a cluster. If that fails, a cluster that this process started is stopped.
async fn finish(
    folder: &Folder,
    cluster: Option<Cluster>,
    base: PgConnectOptions,
    connections: u32,
    backfill: Backfill,
) -> Result<Database, OpenError> {
    stop_on_error(cluster, open_cluster(folder, base, connections, backfill).await).await
}

/// Adds the cluster that this process started to the database, or stops it after an error.
async fn stop_on_error(
    cluster: Option<Cluster>,
    opened: Result<Database, OpenError>,
) -> Result<Database, OpenError> {
    match opened {
        Ok(database) => Ok(Database { cluster, ..database }),
        Err(error) => {
            if let Some(cluster) = cluster {
                cluster.stop().await;
            }
            Err(error)
        }
    }
}

async fn start(
    folder: &Folder,
    tuning: Tuning,
    if_absent: IfAbsent,
) -> Result<(Option<Cluster>, PgConnectOptions), OpenError> {
    let lock = Lock::take(&folder.lock()).map_err(|denied| denial(folder, denied))?;
    let cluster = Cluster::start(folder, lock, tuning, if_absent).await?;
    let base = cluster.connection();
    Ok((Some(cluster), base))
}

pub(super) fn denial(folder: &Folder, denied: Denied) -> OpenError {
    match denied {
        Denied::Held(holder) => OpenError::InUse { dir: folder.root().to_path_buf(), holder },
        Denied::Io(error) => {
            OpenError::Folder(format!("{} cannot be locked: {error}.", shown(&folder.lock())))
        }
    }
}

/// Joins the cluster of the lock holder once it is ready, or takes the lock and starts the cluster.
async fn attach(
    folder: &Folder,
    tuning: Tuning,
    if_absent: IfAbsent,
) -> Result<(Option<Cluster>, PgConnectOptions), OpenError> {
    let since = Instant::now();
    loop {
        match start(folder, tuning, if_absent).await {
            Err(OpenError::InUse { .. }) if since.elapsed() < CONNECT_TIMEOUT => {}
            other => return other,
        }
        if let Ok(PidFileState::Live(server)) = postmaster::check_pid_file(&folder.cluster())
            && server.ready
        {
            return Ok((None, cluster::connection(&server.socket_dir, server.port)));
        }
        tokio::time::sleep(Duration::from_millis(50)).await;
    }
}

/// Completes the setup of a running private cluster, and migrates it.
async fn open_cluster(
    folder: &Folder,
    base: PgConnectOptions,
    connections: u32,
    backfill: Backfill,
) -> Result<Database, OpenError> {
    let base = base.database(DATABASE);
    let login = |role: &str, password: &str| base.clone().username(role).password(password);
    let superuser_password = folder.password(SUPERUSER, false)?;
    let (owner_password, service_password) =
        (folder.password(OWNER, false)?, folder.password(SERVICE, false)?);
    let superuser = for_owner(login(SUPERUSER, &superuser_password));
    let owner = for_owner(login(OWNER, &owner_password));
    let service = for_requests(login(SERVICE, &service_password));
    let set_up = async || -> Result<(), OpenError> {
        let passwords = [
            (OWNER, folder.verifier(OWNER)?),
            (SERVICE, folder.verifier(SERVICE)?),
            (PUBLISHER, folder.verifier(PUBLISHER)?),
        ];
        roles::set_up(&superuser, passwords).await.map_err(OpenError::Database)
    };
    let mut connection = match owner.connect().await {
        Ok(connection) => connection,
        // There is no such role, its password is wrong, or there is no such database: the cluster is new, or
        // an earlier setup was interrupted.
        Err(error) if is_unfinished(&error) => {
            set_up().await?;
            owner.connect().await.map_err(OpenError::Database)?
        }
        Err(error) => return Err(OpenError::Database(error)),
    };
    let publisher = for_publisher(login(PUBLISHER, &folder.password(PUBLISHER, true)?));
    match publisher.connect().await {
        Ok(connection) => connection.close().await.map_err(OpenError::Database)?,
        // The cluster is older than the publisher's role, or the publisher's password was lost and replaced.
        // The setup creates the role or sets its new password.
        Err(error) if is_unfinished(&error) => set_up().await?,
        Err(error) => return Err(OpenError::Database(error)),
    }
    migrate::migrate(&mut connection, &MIGRATOR, true, backfill).await?;
    connection.close().await.map_err(OpenError::Database)?;
    let pool = pool_options(connections).connect_lazy_with(service.clone());
    Ok(Database { pool, service, publisher, owner, superuser: Some(superuser), cluster: None })
}

fn is_unfinished(error: &sqlx::Error) -> bool {
    let code = error.as_database_error().and_then(sqlx::error::DatabaseError::code);
    matches!(code.as_deref(), Some("28P01" | "28000" | "3D000" | "42501"))
}
