//! An empty database for `restore` to fill.
//!
//! A private cluster is made in `restoring/` inside the data directory and moved into place only when it is
//! complete: after a restore that was interrupted, the data directory has no database, and the folder
//! `restoring` keeps a server from starting a new one.

use std::fs;
use std::io;

use sqlx::postgres::{PgConnectOptions, PgConnection};
use sqlx::{ConnectOptions, Connection};

use super::dump::Login;
use super::errors::OpenError;
use super::lock::Lock;
use super::migrate::{self, Backfill, MIGRATOR};
use super::open::{connect_with_retries, denial, for_owner};
use super::private::cluster::{Cluster, IfAbsent, Tuning};
use super::private::folder::{Folder, sync_dir};
use super::private::postmaster;
use super::programs::OLDEST;
use super::roles::{self, DATABASE, OWNER, PUBLISHER, SERVICE, SUPERUSER};
use crate::base::config::{DatabaseSettings, shown};

/// A database without tables.
#[derive(Debug)]
pub struct EmptyDatabase {
    owner: PgConnectOptions,
    staged: Option<Staged>,
}

/// A private cluster that is not in its place yet.
#[derive(Debug)]
struct Staged {
    /// The data directory.
    folder: Folder,
    /// The lock of the data directory: no server can start in it while the cluster is being filled.
    _lock: Lock,
    /// The folder of the cluster: `restoring` in the data directory.
    at: Folder,
    cluster: Cluster,
}

/// Makes a private cluster with its roles, or connects to the given database. Refuses a data directory with
/// a cluster, and a database with tables.
///
/// # Errors
/// A message for the administrator; no process is left running.
pub async fn open_empty(settings: &DatabaseSettings) -> Result<EmptyDatabase, OpenError> {
    match &settings.database_url {
        Some(url) => {
            let owner = for_owner(url.expose().parse().map_err(OpenError::Database)?);
            let mut connection = connect_with_retries(&owner).await?;
            check_empty(&mut connection).await?;
            connection.close().await.map_err(OpenError::Database)?;
            Ok(EmptyDatabase { owner, staged: None })
        }
        None => stage(Folder::open(&settings.data_dir()?)?, settings.database_connections).await,
    }
}

async fn check_empty(connection: &mut PgConnection) -> Result<(), OpenError> {
    let (version, database, tables): (i32, String, i64) = sqlx::query_as(
        "SELECT current_setting('server_version_num')::int, current_database()::text,
                (SELECT count(*) FROM pg_class
                 WHERE relnamespace = 'public'::regnamespace AND relkind IN ('r', 'p', 'v', 'm', 'S'))",
    )
    .fetch_one(connection)
    .await
    .map_err(OpenError::Database)?;
    let major = u32::try_from(version / 10_000).unwrap_or(0);
    if major < OLDEST {
        return Err(OpenError::TooOld(major));
    }
    if tables > 0 {
        return Err(OpenError::NotEmpty(format!("The database {database} has tables")));
    }
    Ok(())
}

async fn stage(folder: Folder, connections: u32) -> Result<EmptyDatabase, OpenError> {
    let lock = Lock::take(&folder.lock()).map_err(|denied| denial(&folder, denied))?;
    if folder.cluster().exists() {
        return Err(OpenError::NotEmpty(format!("{} has a database already", shown(folder.root()))));
    }
    remove_leftover(&folder).await?;
    match start(&folder, connections).await {
        Ok((at, cluster, owner)) => {
            Ok(EmptyDatabase { owner, staged: Some(Staged { folder, _lock: lock, at, cluster }) })
        }
        Err(error) => {
            // The folder is removed, because it would keep a server from starting.
            let _ = fs::remove_dir_all(folder.restoring());
            Err(error)
        }
    }
}

async fn start(folder: &Folder, connections: u32) -> Result<(Folder, Cluster, PgConnectOptions), OpenError> {
    let at = Folder::open(&folder.restoring())?;
    let lock = Lock::take(&at.lock()).map_err(|denied| denial(&at, denied))?;
    let cluster = Cluster::start(&at, lock, Tuning::durable(connections), IfAbsent::Make).await?;
    match owner_of(&at, &cluster).await {
        Ok(owner) => Ok((at, cluster, owner)),
        Err(error) => {
            cluster.stop().await;
            Err(error)
        }
    }
}

/// Creates the roles and the database; returns the owner's connection options.
async fn owner_of(folder: &Folder, cluster: &Cluster) -> Result<PgConnectOptions, OpenError> {
    let base = cluster.connection().database(DATABASE);
    let superuser = base.clone().username(SUPERUSER).password(&folder.password(SUPERUSER, false)?);
    let passwords = [
        (OWNER, folder.verifier(OWNER)?),
        (SERVICE, folder.verifier(SERVICE)?),
        (PUBLISHER, folder.verifier(PUBLISHER)?),
    ];
    roles::set_up(&for_owner(superuser), passwords).await.map_err(OpenError::Database)?;
    Ok(for_owner(base.username(OWNER).password(&folder.password(OWNER, false)?)))
}

/// Removes what an interrupted restore left, after its PostgreSQL has ended.
async fn remove_leftover(folder: &Folder) -> Result<(), OpenError> {
    let dir = folder.restoring();
    if !dir.exists() {
        return Ok(());
    }
    let cluster = fs::canonicalize(&dir).unwrap_or_else(|_| dir.clone()).join("postgres");
    if cluster.exists() {
        let timeout = super::private::cluster::CLEANUP_TIMEOUT;
        postmaster::stop_orphan(&cluster, timeout).await.map_err(OpenError::Start)?;
        postmaster::wait_for_workers(&cluster, timeout).await.map_err(OpenError::Start)?;
    }
    tracing::info!(dir = %dir.display(), "removing what an interrupted restore left");
    fs::remove_dir_all(&dir).map_err(|error| failed(&dir, &error))
}

fn failed(path: &std::path::Path, error: &io::Error) -> OpenError {
    OpenError::Folder(format!("{}: {error}.", shown(path)))
}

impl EmptyDatabase {
    /// What client programs need to connect.
    #[must_use]
    pub fn login(&self) -> Login {
        Login::new(&self.owner)
    }

    /// A connection of the owner.
    ///
    /// # Errors
    /// Errors from the database.
    pub async fn owner(&self) -> sqlx::Result<PgConnection> {
        self.owner.connect().await
    }

    /// Applies the migrations that the loaded dump lacks, and grants the roles their rights.
    ///
    /// # Errors
    /// As [`super::open`].
    pub async fn migrate(&self, backfill: Backfill) -> Result<(), OpenError> {
        let mut connection = self.owner.connect().await.map_err(OpenError::Database)?;
        migrate::migrate(&mut connection, &MIGRATOR, self.staged.is_some(), backfill).await?;
        connection.close().await.map_err(OpenError::Database)
    }

    /// Stops a private cluster cleanly and moves it into its place. A server that starts afterwards uses it.
    ///
    /// # Errors
    /// A sentence, if it cannot be moved.
    pub async fn put_in_place(self) -> Result<(), OpenError> {
        let Some(Staged { folder, at, cluster, .. }) = self.staged else { return Ok(()) };
        cluster.stop().await;
        let (from, to) = (at.root().join("passwords"), folder.root().join("passwords"));
        // The data directory has no cluster of its own, so nothing uses its passwords. They are replaced by
        // those of the restored cluster.
        fs::remove_dir_all(&to).map_err(|error| failed(&to, &error))?;
        fs::rename(&from, &to).map_err(|error| failed(&to, &error))?;
        fs::rename(at.cluster(), folder.cluster()).map_err(|error| failed(&folder.cluster(), &error))?;
        fs::remove_dir_all(at.root()).map_err(|error| failed(at.root(), &error))?;
        sync_dir(folder.root()).map_err(|error| failed(folder.root(), &error))
    }

    /// Stops a private cluster that could not be filled, and removes it.
    pub async fn discard(self) {
        let Some(Staged { at, cluster, .. }) = self.staged else { return };
        cluster.stop().await;
        if let Err(error) = fs::remove_dir_all(at.root()) {
            tracing::warn!(dir = %at.root().display(), %error, "what is left of the restore cannot be removed");
        }
    }
}
