//! Migrating a database to this program's schema, under a lock, so that several processes may start at once.

use sqlx::migrate::{MigrateError, Migrator};
use sqlx::postgres::PgConnection;

use super::errors::OpenError;
use super::roles::{self, PUBLISHER, SERVICE};
use crate::base::error::Error;
use futures_util::future::BoxFuture;

/// The migrations that this program was built with.
pub static MIGRATOR: Migrator = sqlx::migrate!("./migrations");

/// Key of the advisory lock around everything that a start changes: migrations and rights. (The
/// migrator's own lock covers only the migrations.) The bytes spell `ormantr1`.
const LOCK: i64 = i64::from_be_bytes(*b"ormantr1");

/// Whether requests have a role of their own.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum Service {
    /// Requests use a role of their own, which exists and has its rights.
    Separate,
    /// Requests use the connected role.
    Owner,
}

/// A function that adds older events to the register: the events that were recorded before the register
/// existed. It runs here, after the register's tables were created, because it needs the migration lock. It
/// is a parameter because its code depends on `db`.
pub type Backfill = for<'c> fn(&'c mut PgConnection) -> BoxFuture<'c, crate::base::error::Result<()>>;

/// The migration that creates the tables of the register.
const REGISTER: i64 = 8;

/// Applies missing migrations, adds the events that were recorded before the register existed to the
/// register, then sets the rights of the roles of service and publisher. `private` means a private cluster,
/// in which both roles already exist. If anything fails, closing the connection releases the lock.
///
/// # Errors
/// A database that a newer program migrated, or that has different migrations, is refused.
pub async fn migrate(
    owner: &mut PgConnection,
    migrator: &Migrator,
    private: bool,
    backfill: Backfill,
) -> Result<Service, OpenError> {
    sqlx::query("SELECT pg_advisory_lock($1)")
        .bind(LOCK)
        .execute(&mut *owner)
        .await
        .map_err(OpenError::Database)?;
    let separate = private || roles::ensure(owner, SERVICE).await.map_err(OpenError::Database)?;
    let publisher = private || roles::ensure(owner, PUBLISHER).await.map_err(OpenError::Database)?;
    migrator.run_direct(None, owner, false).await.map_err(migration_error)?;
    let register = migrator.version_exists(REGISTER);
    if register {
        backfill(owner).await.map_err(|error| match error {
            Error::Database(error) => OpenError::Database(error),
            other => OpenError::Register(other),
        })?;
    }
    if separate {
        roles::grant_service(owner).await.map_err(OpenError::Database)?;
    }
    if publisher && register {
        roles::grant_publisher(owner).await.map_err(OpenError::Database)?;
    }
    sqlx::query("SELECT pg_advisory_unlock($1)")
        .bind(LOCK)
        .execute(&mut *owner)
        .await
        .map_err(OpenError::Database)?;
    Ok(if separate { Service::Separate } else { Service::Owner })
}

/// Checks that the database has exactly the migrations of this program, and changes nothing.
///
/// # Errors
/// A database that a newer program migrated, that has different migrations, or that lacks some.
pub async fn check(db: &mut PgConnection, migrator: &Migrator) -> Result<(), OpenError> {
    let migrated: bool = sqlx::query_scalar("SELECT to_regclass('_sqlx_migrations') IS NOT NULL")
        .fetch_one(&mut *db)
        .await
        .map_err(OpenError::Database)?;
    if !migrated {
        return Err(OpenError::Outdated);
    }
    let applied: Vec<(i64, bool, Vec<u8>)> =
        sqlx::query_as("SELECT version, success, checksum FROM _sqlx_migrations ORDER BY version DESC")
            .fetch_all(&mut *db)
            .await
            .map_err(OpenError::Database)?;
    if let Some((version, ..)) = applied.iter().find(|(version, ..)| !migrator.version_exists(*version)) {
        return Err(OpenError::Newer(*version));
    }
    let mut complete = true;
    for own in migrator.iter() {
        match applied.iter().find(|(version, ..)| *version == own.version) {
            Some((version, _, checksum)) if checksum.as_slice() != &*own.checksum => {
                return Err(OpenError::Changed(*version));
            }
            Some((_, true, _)) => {}
            Some((_, false, _)) | None => complete = false,
        }
    }
    if complete { Ok(()) } else { Err(OpenError::Outdated) }
}

fn migration_error(error: MigrateError) -> OpenError {
    match error {
        MigrateError::VersionMissing(version) => OpenError::Newer(version),
        MigrateError::VersionMismatch(version) => OpenError::Changed(version),
        MigrateError::Execute(error) => OpenError::Database(error),
        other => OpenError::Migration(other),
    }
}
