//! The measured PostgreSQL: a private cluster created by the program, durable as in operation, with more
//! connections.

use ormantrace::base::config::DatabaseSettings;
use ormantrace::db::private::folder::{Folder, PORT};
use ormantrace::db::{self, Database, Mode, roles};
use ormantrace::services::reads::for_loaders;
use serde_json::Value;
use sqlx::postgres::{PgConnectOptions, PgPool, PgPoolOptions};
use sqlx::{AssertSqlSafe, ConnectOptions, Row as _};
use std::error::Error;
use std::fmt::Write as _;
use std::path::{Path, PathBuf};

type Failure = Box<dyn Error + Send + Sync>;

/// Name of the settings file that is used in addition to the settings of the private cluster.
const SETTINGS: &str = "measurements.conf";

/// A running cluster.
pub struct Cluster {
    folder: Folder,
    database: Database,
}

impl Cluster {
    /// Opens the cluster in `dir`, creating it on first use, with this much memory for shared buffers.
    ///
    /// # Errors
    /// Those of opening a database.
    pub async fn open(dir: &Path, shared_buffers_mb: u64) -> Result<Self, Failure> {
        let folder = Folder::open(dir)?;
        let conf = folder.cluster().join("postgresql.conf");
        let include = format!("include_if_exists '{SETTINGS}'\n");
        if !std::fs::read_to_string(&conf).is_ok_and(|text| text.contains(&include)) {
            Self::database(dir).await?.close().await;
            let mut text = std::fs::read_to_string(&conf)?;
            text.push_str(&include);
            std::fs::write(&conf, text)?;
        }
        let mut settings = String::new();
        writeln!(settings, "shared_buffers = '{shared_buffers_mb}MB'")?;
        writeln!(settings, "max_connections = 300")?;
        // With this size, `pg_stat_activity` shows the complete text of each statement.
        writeln!(settings, "track_activity_query_size = '32kB'")?;
        std::fs::write(folder.cluster().join(SETTINGS), settings)?;
        let database = Self::database(dir).await?;
        Ok(Self { folder, database })
    }

    async fn database(dir: &Path) -> Result<Database, Failure> {
        Ok(db::open(
            &DatabaseSettings::private(dir),
            Mode::Serve,
            ormantrace::evidence::register::backfill::on_migration,
        )
        .await?)
    }

    /// Stops it.
    pub async fn close(self) {
        self.database.close().await;
    }

    /// The folder of the cluster's socket.
    ///
    /// # Errors
    /// Those of the file system.
    pub fn socket(&self) -> Result<PathBuf, Failure> {
        Ok(self.folder.socket_dir()?)
    }

    /// The password of one of the cluster's roles.
    ///
    /// # Errors
    /// Those of the file system.
    pub fn password(&self, role: &str) -> Result<String, Failure> {
        Ok(self.folder.password(role, false)?)
    }

    fn login(&self, role: &str) -> Result<PgConnectOptions, Failure> {
        let options = PgConnectOptions::new_without_pgpass()
            .socket(self.socket()?)
            .port(PORT)
            .ssl_mode(sqlx::postgres::PgSslMode::Disable);
        Ok(options.username(role).password(&self.password(role)?).database(roles::DATABASE))
    }

    /// The server's `DATABASE_URL`.
    ///
    /// # Errors
    /// Those of the file system.
    pub fn url(&self) -> Result<String, Failure> {
        Ok(self.login(roles::OWNER)?.to_url_lossy().to_string())
    }

    /// Superuser connections, without a statement timeout.
    ///
    /// # Errors
    /// Those of the file system.
    pub fn administrator(&self) -> Result<PgPool, Failure> {
        let options = self.login(roles::SUPERUSER)?.disable_statement_logging();
        Ok(PgPoolOptions::new().max_connections(4).test_before_acquire(false).connect_lazy_with(options))
    }

    /// Connections with the planner settings of the server's batch loaders.
    ///
    /// # Errors
    /// Those of the file system.
    pub fn readers(&self) -> Result<PgPool, Failure> {
        let options = for_loaders(self.login(roles::SUPERUSER)?).disable_statement_logging();
        Ok(PgPoolOptions::new().max_connections(1).test_before_acquire(false).connect_lazy_with(options))
    }

    /// The postmaster: the parent of all processes of this PostgreSQL.
    ///
    /// # Errors
    /// No server is running.
    pub fn postmaster(&self) -> Result<u32, Failure> {
        let text = std::fs::read_to_string(self.folder.cluster().join("postmaster.pid"))?;
        Ok(text.lines().next().ok_or("an empty file")?.parse()?)
    }
}

/// Disk use of the tables.
#[derive(Clone, Copy, Debug, serde::Serialize)]
pub struct Sizes {
    /// Rows of table `event`.
    pub events: i64,
    /// Its heap, bytes.
    pub event_heap: i64,
    /// The index that holds the chains, bytes.
    pub event_chain_index: i64,
    /// Its other indexes, bytes.
    pub event_other_indexes: i64,
    /// Table `leaf` with its indexes, bytes.
    pub leaf: i64,
    /// Everything else, bytes.
    pub rest: i64,
    /// The all-visible fraction of its heap pages.
    pub all_visible: f64,
}

/// Measures the disk use.
///
/// # Errors
/// Those of the database.
pub async fn sizes(pool: &PgPool) -> Result<Sizes, Failure> {
    let row = sqlx::query(
        "SELECT (SELECT count(*) FROM event), pg_table_size('event'), pg_relation_size('event_pkey'),
                pg_indexes_size('event') - pg_relation_size('event_pkey'), pg_total_relation_size('leaf'),
                pg_database_size(current_database()) - pg_total_relation_size('event') - pg_total_relation_size('leaf'),
                (SELECT relallvisible::float8 / greatest(relpages, 1) FROM pg_class WHERE oid = 'event'::regclass)",
    )
    .fetch_one(pool)
    .await?;
    Ok(Sizes {
        events: row.try_get(0)?,
        event_heap: row.try_get(1)?,
        event_chain_index: row.try_get(2)?,
        event_other_indexes: row.try_get(3)?,
        leaf: row.try_get(4)?,
        rest: row.try_get(5)?,
        all_visible: row.try_get(6)?,
    })
}

/// Bytes of WAL written so far.
///
/// # Errors
/// Those of the database.
pub async fn wal(pool: &PgPool) -> Result<i64, Failure> {
    let sql = "SELECT pg_wal_lsn_diff(pg_current_wal_insert_lsn(), '0/0')::bigint";
    Ok(sqlx::query_scalar(sql).fetch_one(pool).await?)
}

/// What a statement reads.
#[derive(Clone, Copy, Debug, Default, serde::Serialize)]
pub struct Touched {
    /// Pages, in shared buffers or not.
    pub buffers: f64,
    /// Visits to the heap by index-only scans.
    pub heap_fetches: f64,
}

/// Runs a statement with each of `values` in place of `$1` and returns the averages.
///
/// # Errors
/// Those of the database.
pub async fn touched(pool: &PgPool, sql: &str, values: &[String]) -> Result<Touched, Failure> {
    let mut sum = Touched::default();
    for value in values {
        let sql = format!("EXPLAIN (ANALYZE, BUFFERS, TIMING OFF, FORMAT JSON) {}", sql.replace("$1", value));
        let plan: Value = sqlx::query_scalar(AssertSqlSafe(sql)).fetch_one(pool).await?;
        let plan = &plan[0]["Plan"];
        let number = |name: &str| plan[name].as_f64().unwrap_or_default();
        sum.buffers += number("Shared Hit Blocks") + number("Shared Read Blocks");
        sum.heap_fetches += fetches(plan);
    }
    let count = f64::from(u32::try_from(values.len().max(1))?);
    Ok(Touched { buffers: sum.buffers / count, heap_fetches: sum.heap_fetches / count })
}

fn fetches(plan: &Value) -> f64 {
    let own = plan["Heap Fetches"].as_f64().unwrap_or_default();
    own + plan["Plans"].as_array().into_iter().flatten().map(fetches).sum::<f64>()
}
