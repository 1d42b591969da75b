//! `ormantrace backup`.

use super::manifest::{FORMAT, Manifest, RegisterState};
use super::sums::{self, Writer};
use super::{DUMP, Failure, MANIFEST, at, blocking, megabytes, register};
use crate::base::clock::Clock;
use crate::base::config::DatabaseSettings;
use crate::db;
use crate::db::dump;
use crate::db::programs::ClientProgram;
use crate::evidence::tlog::note::Kind;
use crate::evidence::tlog::{Folder, Signer};
use sqlx::{Connection, PgConnection};
use std::fs;
use std::io;
use std::path::{Path, PathBuf};

/// Settings of a backup.
#[derive(Clone, Debug)]
pub struct BackupOptions {
    /// The folder to write.
    pub dir: PathBuf,
    /// The database.
    pub database: DatabaseSettings,
    /// Folder of the register; by default `register` in the data directory, if it exists.
    pub register_dir: Option<PathBuf>,
    /// File of the marking key; by default in the data directory.
    pub marking_key: Option<PathBuf>,
    /// File of the receipt key; by default in the data directory.
    pub receipt_key: Option<PathBuf>,
    /// Files of the register's keys, in addition to those in the data directory.
    pub register_keys: Vec<PathBuf>,
    /// Whether the keys are left out.
    pub without_keys: bool,
}

/// Makes a backup; returns its manifest.
///
/// # Errors
/// A message for the administrator. What was written remains, without its checksums.
pub async fn backup(options: &BackupOptions, clock: &Clock) -> Result<Manifest, Failure> {
    sums::check_empty(&options.dir)?;
    let keys = if options.without_keys { Vec::new() } else { find_keys(options)? };
    let folder = register_folder(options)?;
    let database = db::open_existing(&options.database).await?;
    let made = write(options, &database, folder, keys, clock).await;
    database.close().await;
    made
}

fn register_folder(options: &BackupOptions) -> Result<Option<Folder>, Failure> {
    let default = options.database.data_dir()?.join("register");
    match &options.register_dir {
        Some(dir) if !dir.is_dir() => Err(at(dir)(io::ErrorKind::NotFound.into())),
        Some(dir) => Ok(Some(Folder::new(dir))),
        None => Ok(default.is_dir().then(|| Folder::new(default))),
    }
}

async fn write(
    options: &BackupOptions,
    database: &db::Database,
    folder: Option<Folder>,
    keys: Vec<(String, PathBuf)>,
    clock: &Clock,
) -> Result<Manifest, Failure> {
    let mut owner = database.owner().await?;
    let program = ClientProgram::find("pg_dump", server_major(&mut owner).await?)?;
    let dir = options.dir.clone();
    let (mut writer, register) = blocking(move || {
        let mut writer = Writer::create(&dir)?;
        let register = copy_register(folder.as_ref(), &mut writer)?;
        Ok((writer, register))
    })
    .await?;

    // The events and leaves are counted in the same snapshot that `pg_dump` dumps below, so the manifest
    // matches the dump.
    let mut snapshot = owner.begin_with("BEGIN ISOLATION LEVEL REPEATABLE READ READ ONLY").await?;
    sqlx::query("SET LOCAL idle_in_transaction_session_timeout = 0").execute(&mut *snapshot).await?;
    let made_at = clock.now();
    let counts = Counts::read(&mut snapshot).await?;
    let id = sqlx::query_scalar!(r#"SELECT pg_export_snapshot() AS "id!""#).fetch_one(&mut *snapshot).await?;
    if let Some(RegisterState { size, .. }) = register
        && size > counts.leaves
    {
        return Err(Failure::OlderThanRegister { register: size, database: counts.leaves });
    }
    drop(writer.touch(DUMP)?);
    let login = database.login();
    tracing::info!(database = login.database(), size = %megabytes(counts.size), "dumping the database");
    let file = writer.path(DUMP);
    dump::dump(&program, &login, &id, &file, |bytes| {
        tracing::info!(written = %megabytes(bytes), "dumping the database");
    })
    .await?;
    snapshot.rollback().await?;
    owner.close().await?;

    let mut manifest = Manifest {
        format: FORMAT.to_owned(),
        version: env!("CARGO_PKG_VERSION").to_owned(),
        made_at,
        database: login.database().to_owned(),
        schema: counts.schema,
        pg_dump: program.major,
        events: counts.events,
        leaves: counts.leaves,
        register,
        keys: keys.iter().map(|(name, _)| name.clone()).collect(),
        files: 0,
        bytes: 0,
    };
    blocking(move || {
        writer.add_written(DUMP)?;
        for (name, path) in keys {
            writer.put(&format!("keys/{name}"), &fs::read(&path).map_err(at(&path))?)?;
        }
        (manifest.files, manifest.bytes) = writer.totals();
        writer.put(MANIFEST, &manifest.to_json())?;
        writer.finish()?;
        Ok(manifest)
    })
    .await
}

fn copy_register(folder: Option<&Folder>, writer: &mut Writer) -> Result<Option<RegisterState>, Failure> {
    let Some(folder) = folder else {
        tracing::warn!("there is no folder of a register: the backup has only the database and keys");
        return Ok(None);
    };
    register::copy(folder, |name, bytes| writer.put(&format!("register/{name}"), bytes))
}

pub async fn server_major(db: &mut PgConnection) -> Result<u32, Failure> {
    let version = sqlx::query_scalar!(r#"SELECT current_setting('server_version_num')::int AS "version!""#)
        .fetch_one(db)
        .await?;
    Ok(u32::try_from(version / 10_000).unwrap_or_default())
}

/// Numbers of a database.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub struct Counts {
    pub events: i64,
    pub leaves: u64,
    pub schema: i64,
    pub size: u64,
}

impl Counts {
    pub async fn read(db: &mut PgConnection) -> Result<Self, Failure> {
        let row = sqlx::query!(
            r#"SELECT (SELECT count(*) FROM event) AS "events!",
                      (SELECT coalesce(max(index) + 1, 0) FROM leaf) AS "leaves!",
                      pg_database_size(current_database()) AS "size!""#
        )
        .fetch_one(&mut *db)
        .await?;
        // This query is not checked at build time, because sqlx's migrator creates the table
        // `_sqlx_migrations`, and no migration does.
        let schema = sqlx::query_scalar("SELECT max(version) FROM _sqlx_migrations WHERE success");
        Ok(Self {
            events: row.events,
            leaves: row.leaves.unsigned_abs(),
            schema: schema.fetch_one(db).await?,
            size: row.size.unsigned_abs(),
        })
    }
}

/// The keys to copy, each with its name in the backup: the marking key, the receipt key, and the register's
/// keys, both the given ones and those in the data directory. A witness's key is left out: a witness must
/// never be restored from a copy.
fn find_keys(options: &BackupOptions) -> Result<Vec<(String, PathBuf)>, Failure> {
    let folder = options.database.data_dir()?.join("keys");
    let mut keys = Vec::new();
    for (name, file) in [("marking.key", &options.marking_key), ("receipt.key", &options.receipt_key)] {
        let path = file.clone().unwrap_or_else(|| folder.join(name));
        if !path.is_file() {
            return Err(Failure::NoKey(path));
        }
        keys.push((name.to_owned(), path));
    }
    for (index, path) in options.register_keys.iter().enumerate() {
        let name = match index {
            0 => "register.key".to_owned(),
            _ => path.file_name().unwrap_or_default().to_string_lossy().into_owned(),
        };
        keys.push((name, path.clone()));
    }
    for path in files_of(&folder).map_err(at(&folder))? {
        let Some(name) = path.file_name().and_then(|name| name.to_str()) else { continue };
        let is_key = path.extension().is_some_and(|extension| extension == "key");
        if is_key && !keys.iter().any(|(taken, _)| taken == name) && is_register_key(&path)? {
            keys.push((name.to_owned(), path));
        }
    }
    if !keys.iter().any(|(name, _)| name == "register.key") {
        tracing::warn!("the backup has no key of the register: back it up where the publisher runs");
    }
    Ok(keys)
}

fn is_register_key(path: &Path) -> Result<bool, Failure> {
    let text = fs::read_to_string(path).map_err(at(path))?;
    Ok(Signer::parse(text.trim_end()).is_ok_and(|signer| signer.verifier().kind() == Kind::Text))
}

fn files_of(folder: &Path) -> io::Result<Vec<PathBuf>> {
    match fs::read_dir(folder) {
        Ok(entries) => {
            let mut files = entries.map(|entry| Ok(entry?.path())).collect::<io::Result<Vec<_>>>()?;
            files.retain(|path| path.is_file());
            files.sort();
            Ok(files)
        }
        Err(error) if error.kind() == io::ErrorKind::NotFound => Ok(Vec::new()),
        Err(error) => Err(error),
    }
}
