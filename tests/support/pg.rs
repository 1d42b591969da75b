//! A PostgreSQL for tests: one server for all test processes, and one database per test, cloned from a
//! migrated template.
//!
//! The server belongs to the keeper, a process that the first test starts. Every test process holds a shared
//! lock on a file as long as it lives; the kernel releases this lock however the process ends. The keeper
//! waits for the exclusive lock. When it gets this lock, no test process is left, and it stops the server and
//! removes every file. It does not request the lock before the cargo that runs the tests has ended, so one
//! server serves a complete run. If the keeper itself is killed, the watcher that `db/private/cluster.rs` starts
//! with each server stops the server, and the next run removes the files.
//!
//! If `DATABASE_URL` is set, the tests use the server that it names instead. Its user must be allowed to
//! create databases; one template stays there, and nothing else.

use std::fs::{self, File, OpenOptions};
use std::hash::{DefaultHasher, Hash, Hasher};
use std::io::{self, BufRead, BufReader, Write};
use std::os::unix::fs::MetadataExt;
use std::os::unix::process::CommandExt;
use std::path::{Path, PathBuf};
use std::process::{Command, Stdio};
use std::sync::atomic::{AtomicU32, Ordering};
use std::sync::{OnceLock, mpsc};
use std::time::Duration;

use ormantrace::db::private::folder::{Folder, PORT};
use ormantrace::db::{self, migrate, roles};
use ormantrace::evidence::register::backfill::on_migration;
use sqlx::postgres::{PgConnectOptions, PgConnection, PgPool};
use sqlx::{AssertSqlSafe, ConnectOptions, Connection, Executor};

/// Environment variable with the path of the test server's folder. A test binary that is executed again with
/// this variable becomes the keeper: the process that owns the server.
const KEEPER: &str = "ORMANTRACE_TEST_KEEPER";
/// Environment variable of the keeper (the process that owns the test server) with the process id of cargo.
/// The keeper does not end before cargo does.
const RUNNER: &str = "ORMANTRACE_TEST_RUNNER";
/// First word of the lines that the keeper (the process that owns the test server) prints for the process
/// that started it.
const SAYS: &str = "keeper:";
/// Advisory lock that a test process holds while it creates the template and drops databases of earlier runs.
const SETTING_UP: i64 = i64::from_be_bytes(*b"ormantst");
/// First number of the advisory lock that each test process holds while it lives; the second is its pid.
const ALIVE: i32 = 0x6f72_6d61;

/// A database for one test. It is dropped together with this value.
pub struct TestDb {
    name: String,
    server: &'static Server,
    pool: PgPool,
}

impl TestDb {
    /// A new database with every migration applied.
    ///
    /// # Panics
    /// With a message, if no PostgreSQL is available.
    pub async fn new() -> Self {
        Self::create(Contents::Migrated).await
    }

    /// A new, empty database, for tests of migrations.
    ///
    /// # Panics
    /// As [`TestDb::new`].
    pub async fn empty() -> Self {
        Self::create(Contents::Nothing).await
    }

    async fn create(contents: Contents) -> Self {
        // The first call blocks until the server is up, so it runs on a thread that no other task needs.
        let made = tokio::task::spawn_blocking(move || {
            let server = SERVER.get_or_init(|| Server::join().unwrap_or_else(|why| panic!("{why}")));
            let name = server.next_name();
            server.ask(Job::Create(name.clone(), contents)).map(|()| (server, name))
        });
        let (server, name) = made.await.expect("a server").unwrap_or_else(|why| panic!("no database: {why}"));
        let pool = db::pool_options(8).connect_lazy_with(server.service(&name));
        Self { name, server, pool }
    }

    /// A pool of eight connections in the service's role, as requests use them.
    pub fn pool(&self) -> &PgPool {
        &self.pool
    }

    /// A separate pool of this many connections in the service's role, for tests of concurrency.
    pub fn pool_of(&self, connections: u32) -> PgPool {
        db::pool_options(connections)
            .acquire_timeout(Duration::from_mins(1))
            .connect_lazy_with(self.server.service(&self.name))
    }

    /// A connection in the role that owns the tables.
    pub async fn owner(&self) -> PgConnection {
        self.server.owner(&self.name).connect().await.expect("the owner may connect")
    }

    /// Connection options of the register's publisher.
    pub fn publisher(&self) -> PgConnectOptions {
        self.server.owner(&self.name).options([("role", roles::PUBLISHER)])
    }

    /// The `DATABASE_URL` for a program: in the role that owns the tables.
    pub fn url(&self) -> String {
        let url = self.server.owner(&self.name).to_url_lossy().to_string();
        // This parameter is known to sqlx only; psql and Python must be able to use the URL too.
        url.split('&').filter(|part| !part.starts_with("statement-cache")).collect::<Vec<_>>().join("&")
    }
}

impl Drop for TestDb {
    fn drop(&mut self) {
        // Dropping the database terminates its remaining connections. If it fails, the next run drops the
        // database; that is no reason to fail a test that has passed.
        if let Err(why) = self.server.ask(Job::Drop(self.name.clone())) {
            eprintln!("the test's database {} is not dropped: {why}", self.name);
        }
    }
}

static SERVER: OnceLock<Server> = OnceLock::new();

/// The PostgreSQL server for one test process.
struct Server {
    owner: PgConnectOptions,
    service: PgConnectOptions,
    jobs: mpsc::Sender<(Job, mpsc::Sender<Result<(), String>>)>,
    number: i32,
    count: AtomicU32,
    /// This process holds the shared lock on this file as long as it lives. The test server is stopped only
    /// when all processes have released this lock.
    _present: Option<File>,
}

enum Job {
    Create(String, Contents),
    Drop(String),
}

#[derive(Clone, Copy)]
enum Contents {
    Migrated,
    Nothing,
}

impl Server {
    fn join() -> Result<Self, String> {
        match std::env::var("DATABASE_URL").ok().filter(|url| !url.is_empty()) {
            Some(url) => Self::given(&url),
            None => Self::own(),
        }
    }

    fn given(url: &str) -> Result<Self, String> {
        let given: PgConnectOptions = url.parse().map_err(|e| format!("DATABASE_URL is not a URL: {e}"))?;
        let template = format!("ormantrace_test_template_{:08x}", short_hash(&migrations()));
        Self::connect(given.clone(), given.clone(), given, template, None)
    }

    fn own() -> Result<Self, String> {
        let (base, present) = join_keeper()?;
        let folder = Folder::open(&base.join("data")).map_err(|e| e.to_string())?;
        let socket = folder.socket_dir().map_err(|e| e.to_string())?;
        let login = |role| -> Result<PgConnectOptions, String> {
            let password = folder.password(role, false).map_err(|e| e.to_string())?;
            let options =
                PgConnectOptions::new_without_pgpass().socket(&socket).port(PORT).database("postgres");
            Ok(options.ssl_mode(sqlx::postgres::PgSslMode::Disable).username(role).password(&password))
        };
        let (administrator, owner, service) =
            (login(roles::SUPERUSER)?, login(roles::OWNER)?, login(roles::SERVICE)?);
        Self::connect(administrator, owner, service, roles::DATABASE.to_owned(), Some(present))
    }

    fn connect(
        administrator: PgConnectOptions,
        owner: PgConnectOptions,
        service: PgConnectOptions,
        template: String,
        present: Option<File>,
    ) -> Result<Self, String> {
        let (jobs, work) = mpsc::channel();
        let (say, said) = mpsc::channel();
        let number = i32::try_from(std::process::id()).unwrap_or(0);
        // This thread has its own runtime, because the runtime of a test ends with the test.
        let thread = std::thread::Builder::new().name("test databases".to_owned());
        thread
            .spawn(move || administrate(&administrator, &template, number, &say, &work))
            .map_err(|e| e.to_string())?;
        let switch = said.recv().map_err(|e| e.to_string())??;
        let service = if switch { service.options([("role", roles::SERVICE)]) } else { service };
        let service = service.disable_statement_logging();
        let owner = owner.disable_statement_logging();
        Ok(Self { owner, service, jobs, number, count: AtomicU32::new(0), _present: present })
    }

    fn next_name(&self) -> String {
        format!("ormantrace_test_{}_{}", self.number, self.count.fetch_add(1, Ordering::Relaxed))
    }

    fn ask(&self, job: Job) -> Result<(), String> {
        let (reply, answer) = mpsc::channel();
        self.jobs.send((job, reply)).map_err(|e| e.to_string())?;
        answer.recv().map_err(|e| e.to_string())?
    }

    fn service(&self, database: &str) -> PgConnectOptions {
        self.service.clone().database(database).application_name("ormantrace")
    }

    fn owner(&self, database: &str) -> PgConnectOptions {
        self.owner.clone().database(database)
    }
}

/// Creates and drops databases, one after the other, for all tests of this process.
fn administrate(
    options: &PgConnectOptions,
    template: &str,
    number: i32,
    say: &mpsc::Sender<Result<bool, String>>,
    work: &mpsc::Receiver<(Job, mpsc::Sender<Result<(), String>>)>,
) {
    let runtime = tokio::runtime::Builder::new_current_thread().enable_all().build().expect("a runtime");
    let set_up = async {
        let mut connection = options.clone().disable_statement_logging().connect().await?;
        let switch = set_up(&mut connection, options, template, number).await?;
        let version: i32 = sqlx::query_scalar("SELECT current_setting('server_version_num')::int")
            .fetch_one(&mut connection)
            .await?;
        Ok::<_, sqlx::Error>((connection, switch, version))
    };
    let (mut connection, version) = match runtime.block_on(set_up) {
        Ok((connection, switch, version)) => {
            let _ = say.send(Ok(switch));
            (connection, version)
        }
        Err(error) => {
            let _ = say.send(Err(format!("the test server cannot be used: {error}")));
            return;
        }
    };
    // The server runs without durability. Copying files is then faster than copying blocks through the WAL.
    let strategy = if version >= 150_000 { " STRATEGY file_copy" } else { "" };
    while let Ok((job, reply)) = work.recv() {
        let done = runtime.block_on(async {
            match job {
                Job::Create(name, Contents::Migrated) => {
                    run(&mut connection, format!("CREATE DATABASE {name} TEMPLATE {template}{strategy}"))
                        .await
                }
                Job::Create(name, Contents::Nothing) => {
                    let owner = if template == roles::DATABASE { "OWNER ormantrace_owner " } else { "" };
                    run(&mut connection, format!("CREATE DATABASE {name} {owner}TEMPLATE template0")).await
                }
                Job::Drop(name) => drop_database(&mut connection, &name).await,
            }
        });
        let _ = reply.send(done.map_err(|e| e.to_string()));
    }
}

/// Terminates all connections, then drops the database. (`WITH (FORCE)` does both, but checks only every
/// tenth of a second whether they have ended.)
async fn drop_database(connection: &mut PgConnection, name: &str) -> sqlx::Result<()> {
    for _ in 0..500 {
        let cut: i64 = sqlx::query_scalar(
            "SELECT count(pg_terminate_backend(pid)) FROM pg_stat_activity WHERE datname = $1",
        )
        .bind(name)
        .fetch_one(&mut *connection)
        .await?;
        if cut == 0 {
            break;
        }
        tokio::time::sleep(Duration::from_millis(2)).await;
    }
    run(connection, format!("DROP DATABASE IF EXISTS {name} WITH (FORCE)")).await
}

/// Drops databases that crashed runs have left, and creates the template if there is none. Returns whether
/// connections for the service must switch to the service's role after they connect.
async fn set_up(
    connection: &mut PgConnection,
    options: &PgConnectOptions,
    template: &str,
    number: i32,
) -> sqlx::Result<bool> {
    sqlx::query("SELECT pg_advisory_lock($1)").bind(SETTING_UP).execute(&mut *connection).await?;
    sqlx::query("SELECT pg_advisory_lock($1, $2)").bind(ALIVE).bind(number).execute(&mut *connection).await?;
    let databases: Vec<String> = sqlx::query_scalar(
        "SELECT datname::text FROM pg_database WHERE datname LIKE 'ormantrace\\_test\\_%'",
    )
    .fetch_all(&mut *connection)
    .await?;
    for name in &databases {
        let owner: Option<i32> = name.split('_').nth(2).and_then(|number| number.parse().ok());
        let gone = match owner {
            Some(owner) if owner == number => true,
            Some(owner) => {
                let free: bool = sqlx::query_scalar("SELECT pg_try_advisory_lock($1, $2)")
                    .bind(ALIVE)
                    .bind(owner)
                    .fetch_one(&mut *connection)
                    .await?;
                if free {
                    sqlx::query("SELECT pg_advisory_unlock($1, $2)")
                        .bind(ALIVE)
                        .bind(owner)
                        .execute(&mut *connection)
                        .await?;
                }
                free
            }
            None => name != template,
        };
        if gone {
            drop_database(connection, name).await?;
        }
    }
    let own = template == roles::DATABASE;
    if !own && !databases.iter().any(|name| name == template) {
        // Under another name until it is complete.
        let unfinished = format!("{template}_unfinished");
        run(connection, format!("CREATE DATABASE {unfinished}")).await?;
        let mut fresh = options.clone().database(&unfinished).disable_statement_logging().connect().await?;
        let migrated = migrate::migrate(&mut fresh, &migrate::MIGRATOR, false, on_migration).await;
        fresh.close().await?;
        migrated.map_err(|e| sqlx::Error::Protocol(e.to_string()))?;
        run(connection, format!("ALTER DATABASE {unfinished} RENAME TO {template}")).await?;
    }
    let switch: bool = sqlx::query_scalar(
        "SELECT NOT $2 AND EXISTS (SELECT FROM pg_roles WHERE rolname = $1 AND pg_has_role(oid, 'MEMBER'))",
    )
    .bind(roles::SERVICE)
    .bind(own)
    .fetch_one(&mut *connection)
    .await?;
    sqlx::query("SELECT pg_advisory_unlock($1)").bind(SETTING_UP).execute(&mut *connection).await?;
    Ok(switch)
}

async fn run(connection: &mut PgConnection, sql: String) -> sqlx::Result<()> {
    connection.execute(sqlx::raw_sql(AssertSqlSafe(sql))).await.map(drop)
}

/// Folder of the server that belongs to this source tree, this user and these migrations.
fn base() -> PathBuf {
    let key = (env!("CARGO_MANIFEST_DIR"), rustix::process::geteuid().as_raw(), migrations());
    scratch().join(format!("ormantrace-test-{:08x}", short_hash(&key)))
}

/// The folder for database files of tests: TMPDIR if set, else `/dev/shm` if at least 1 GiB is free there
/// (a clone is several hundred files, and takes ten times as long on a slow disk), else `/tmp`.
pub fn scratch() -> PathBuf {
    const ROOM: u64 = 1 << 30;
    let memory = Path::new("/dev/shm");
    let room = rustix::fs::statvfs(memory).map_or(0, |fs| fs.f_bavail.saturating_mul(fs.f_frsize));
    match std::env::var_os("TMPDIR") {
        Some(dir) => PathBuf::from(dir),
        None if room >= ROOM => memory.to_path_buf(),
        None => PathBuf::from("/tmp"),
    }
}

fn migrations() -> Vec<u8> {
    migrate::MIGRATOR.iter().flat_map(|m| m.checksum.iter().copied()).collect()
}

fn short_hash(what: &impl Hash) -> u32 {
    let mut hasher = DefaultHasher::new();
    what.hash(&mut hasher);
    u32::try_from(hasher.finish() >> 32).unwrap_or_default()
}

/// A folder that is created once for all test processes, and removed with the server.
///
/// # Panics
/// With a message, if it cannot be created.
pub fn shared_folder(name: &str, make: impl FnOnce(&Path)) -> PathBuf {
    static JOINED: OnceLock<(PathBuf, File)> = OnceLock::new();
    let (base, _) = JOINED.get_or_init(|| join_keeper().unwrap_or_else(|why| panic!("{why}")));
    let lock =
        open(base, &format!("{name}.lock")).expect("opened").expect("the folder outlives this test process");
    lock.lock().expect("locked");
    let folder = base.join(name);
    if !folder.exists() {
        let unfinished = base.join(format!("{name}.new"));
        let _ = fs::remove_dir_all(&unfinished);
        make(&unfinished);
        fs::rename(&unfinished, &folder).expect("renamed");
    }
    folder
}

/// Joins the running test server, or starts one in a new process, the keeper. The caller must hold the
/// returned file as long as the process lives.
fn join_keeper() -> Result<(PathBuf, File), String> {
    let base = base();
    let explain = |error: io::Error| format!("{}: {error}", base.display());
    loop {
        fs::create_dir_all(&base).map_err(explain)?;
        if fs::metadata(&base).map_err(explain)?.uid() != rustix::process::geteuid().as_raw() {
            return Err(format!("{} belongs to another user: remove it", base.display()));
        }
        // The lock on `door` admits one process at a time. When the process that owns the server ends, it
        // removes `door` and `present`, so the locks count only if both files are still in the folder.
        let (Some(door), Some(present)) = (open(&base, "door")?, open(&base, "present")?) else { continue };
        door.lock().map_err(explain)?;
        present.lock_shared().map_err(explain)?;
        if !(is_at(&door, &base, "door") && is_at(&present, &base, "present")) {
            continue;
        }
        let Some(keeper) = open(&base, "keeper")? else { continue };
        match keeper.try_lock() {
            Err(fs::TryLockError::WouldBlock) => return Ok((base, present)),
            Err(fs::TryLockError::Error(error)) => return Err(explain(error)),
            Ok(()) => {}
        }
        drop(keeper);
        remove_leftovers(&base).map_err(explain)?;
        start_keeper(&base)?;
        return Ok((base, present));
    }
}

fn open(base: &Path, name: &str) -> Result<Option<File>, String> {
    let path = base.join(name);
    match OpenOptions::new().read(true).write(true).create(true).truncate(false).open(&path) {
        Ok(file) => Ok(Some(file)),
        // Another process removed the folder after this process had created it.
        Err(error) if error.kind() == io::ErrorKind::NotFound => Ok(None),
        Err(error) => Err(format!("{}: {error}", path.display())),
    }
}

/// Whether an open file is still the file that has this name in the folder.
fn is_at(file: &File, base: &Path, name: &str) -> bool {
    match (file.metadata(), fs::metadata(base.join(name))) {
        (Ok(open), Ok(there)) => (open.dev(), open.ino()) == (there.dev(), there.ino()),
        _ => false,
    }
}

/// Removes the renamed folder that remains if the process that owned the server was killed while it removed
/// its files. (If it was killed earlier, the next such process clears the folder: see `clear`.)
fn remove_leftovers(base: &Path) -> io::Result<()> {
    match fs::remove_dir_all(gone(base)) {
        Err(error) if error.kind() != io::ErrorKind::NotFound => Err(error),
        _ => Ok(()),
    }
}

fn gone(base: &Path) -> PathBuf {
    base.with_extension("gone")
}

fn start_keeper(base: &Path) -> Result<(), String> {
    let module = module_path!().split_once("::").map_or("", |(_, path)| path);
    let mut command = Command::new(std::env::current_exe().map_err(|e| e.to_string())?);
    command.args([&format!("{module}::keeper"), "--exact", "--ignored", "--nocapture", "--test-threads=1"]);
    command.env(KEEPER, base).stdin(Stdio::null()).stdout(Stdio::piped()).stderr(Stdio::null());
    // Ctrl-C must reach the tests only; the new process (the keeper) then stops the server and removes its
    // files.
    command.process_group(0).current_dir("/");
    if let Some(runner) = runner() {
        command.env(RUNNER, runner.to_string());
    }
    let mut keeper = command.spawn().map_err(|e| e.to_string())?;
    let said = BufReader::new(keeper.stdout.take().ok_or("no pipe")?);
    for line in said.lines() {
        let line = line.map_err(|e| e.to_string())?;
        match line.split_once(SAYS).map(|(_, rest)| rest.trim()) {
            Some("ready") => return Ok(()),
            Some(why) => return Err(why.replace('\u{1}', "\n")),
            None => {}
        }
    }
    Err("the keeper of the test server has ended before it was ready".to_owned())
}

/// The process id of the cargo that started this process, if one did.
fn runner() -> Option<u32> {
    let parent = std::os::unix::process::parent_id();
    let name = fs::read_to_string(format!("/proc/{parent}/comm")).ok().or_else(|| {
        let said = Command::new("ps").args(["-o", "comm=", "-p", &parent.to_string()]).output().ok()?;
        String::from_utf8(said.stdout).ok()
    })?;
    let name = Path::new(name.trim()).file_name()?.to_str()?.to_owned();
    name.starts_with("cargo").then_some(parent)
}

fn lives(pid: u32) -> bool {
    match fs::read_to_string(format!("/proc/{pid}/stat")) {
        Ok(stat) => !stat.rsplit_once(')').is_some_and(|(_, rest)| rest.trim_start().starts_with('Z')),
        Err(_) if Path::new("/proc/self").exists() => false,
        Err(_) => i32::try_from(pid)
            .ok()
            .and_then(rustix::process::Pid::from_raw)
            .is_some_and(|pid| rustix::process::test_kill_process(pid).is_ok()),
    }
}

/// Not a test: the process that owns the server, started by the first test from this binary.
#[test]
#[ignore = "the process that owns the test server"]
fn keeper() {
    let Some(base) = std::env::var_os(KEEPER).map(PathBuf::from) else { return };
    let say = |what: &str| {
        let mut out = io::stdout().lock();
        // The process that started the keeper may have ended; then no process reads this.
        let _ = writeln!(out, "\n{SAYS} {}", what.replace('\n', "\u{1}")).and_then(|()| out.flush());
    };
    let runtime = tokio::runtime::Builder::new_multi_thread()
        .worker_threads(1)
        .enable_all()
        .build()
        .expect("a runtime");
    let held = open(&base, "keeper").ok().flatten().filter(|file| file.try_lock().is_ok());
    let Some(held) = held else { return say("another keeper is running") };
    if let Err(error) = clear(&base, &runtime) {
        return say(&error.to_string());
    }
    let database = match runtime.block_on(db::open_disposable(&base.join("data"), on_migration)) {
        Ok(database) => database,
        Err(error) => {
            say(&error.to_string());
            let _ = fs::remove_dir_all(&base);
            return;
        }
    };
    say("ready");
    if let Some(runner) = std::env::var(RUNNER).ok().and_then(|pid| pid.parse().ok()) {
        while lives(runner) {
            std::thread::sleep(Duration::from_millis(50));
        }
    }
    // The lock is granted when the last process that shares it has ended.
    let present = open(&base, "present").ok().flatten().filter(|file| file.lock().is_ok());
    runtime.block_on(database.close());
    // The folder is renamed before it is removed, so that no process sees a folder of which some files are
    // missing.
    let gone = gone(&base);
    let _ = fs::remove_dir_all(&gone);
    let _ = fs::rename(&base, &gone).and_then(|()| fs::remove_dir_all(&gone));
    drop((held, present));
    std::process::exit(0);
}

/// Removes what the previous owner of the test server left if it was killed. First stops its PostgreSQL, if
/// that still runs.
fn clear(base: &Path, runtime: &tokio::runtime::Runtime) -> io::Result<()> {
    if let Ok(cluster) = fs::canonicalize(base.join("data/postgres")) {
        let stopped =
            runtime.block_on(db::private::postmaster::stop_orphan(&cluster, Duration::from_secs(10)));
        stopped.map_err(io::Error::other)?;
    }
    for entry in fs::read_dir(base)?.flatten() {
        if entry.file_type()?.is_dir() {
            fs::remove_dir_all(entry.path())?;
        }
    }
    Ok(())
}
