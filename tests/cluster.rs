//! The private PostgreSQL through its life: created, started, stopped, killed in every way, and the cases
//! in which it refuses to start. Each test has its own data directory; a process that has to be killed is
//! this binary, executed again.

mod support;

use std::borrow::Cow;
use std::fs;
use std::io::{BufRead, BufReader, Read};
use std::os::unix::fs::MetadataExt;
use std::os::unix::process::CommandExt;
use std::path::{Path, PathBuf};
use std::process::{Child, Command, Stdio};
use std::time::{Duration, Instant};

use ormantrace::base::config::DatabaseSettings;
use ormantrace::base::error::DatabaseFailure;
use ormantrace::db::private::postmaster::{self, PidFileState};
use ormantrace::db::{self, Database, Mode, OpenError, migrate, roles};
use ormantrace::evidence::register::backfill::on_migration;
use rustix::process::{Pid, Signal, kill_process};
use sqlx::migrate::{Migration, MigrationType, Migrator};
use sqlx::{Connection, SqlSafeStr};
use support::pg::TestDb;
use tokio::io::{AsyncReadExt, AsyncWriteExt};
use tokio_rustls::rustls;

/// A data directory, removed at the end of the test.
struct Data {
    dir: tempfile::TempDir,
}

impl Data {
    /// Empty.
    fn new() -> Self {
        Self { dir: tempfile::tempdir_in(support::pg::scratch()).expect("a folder") }
    }

    /// Creates a data directory with an initialised and stopped cluster. The cluster is a copy of one that is
    /// created once for all tests, because copying is much faster than creating a cluster.
    async fn made() -> Self {
        let data = Self::new();
        let into = data.path().to_path_buf();
        let copied = tokio::task::spawn_blocking(move || {
            let original = support::pg::shared_folder("cluster", |dir| {
                let runtime = tokio::runtime::Runtime::new().expect("a runtime");
                runtime.block_on(async {
                    let made = db::open(
                        &DatabaseSettings::private(dir),
                        Mode::Serve,
                        ormantrace::evidence::register::backfill::on_migration,
                    )
                    .await;
                    made.unwrap_or_else(|error| panic!("{error}")).close().await;
                });
            });
            Command::new("cp").arg("-pR").arg(original.join(".")).arg(into).status()
        });
        assert!(copied.await.expect("no panic").expect("runs").success());
        data
    }

    fn path(&self) -> &Path {
        self.dir.path()
    }

    fn settings(&self) -> DatabaseSettings {
        DatabaseSettings::private(self.path())
    }

    fn cluster(&self) -> PathBuf {
        self.path().canonicalize().expect("there").join("postgres")
    }

    async fn open(&self) -> Database {
        db::open(&self.settings(), Mode::Serve, ormantrace::evidence::register::backfill::on_migration)
            .await
            .unwrap_or_else(|error| panic!("{error}"))
    }

    fn postmaster(&self) -> Option<i32> {
        match postmaster::check_pid_file(&self.cluster()).expect("readable") {
            PidFileState::Live(one) => Some(one.pid),
            _ => None,
        }
    }
}

async fn remember(database: &Database, stack: &str) {
    let mut owner = database.owner().await.expect("connects");
    sqlx::raw_sql("CREATE TABLE IF NOT EXISTS test_stack (name text)")
        .execute(&mut owner)
        .await
        .expect("made");
    sqlx::query("INSERT INTO test_stack VALUES ($1)").bind(stack).execute(&mut owner).await.expect("added");
}

async fn remembered(database: &Database) -> Vec<String> {
    let mut owner = database.owner().await.expect("connects");
    sqlx::query_scalar("SELECT name FROM test_stack ORDER BY name").fetch_all(&mut owner).await.expect("read")
}

/// Polls until the condition holds; for conditions that send no notification.
async fn until(what: &str, mut is_so: impl AsyncFnMut() -> bool) {
    let since = Instant::now();
    while !is_so().await {
        assert!(since.elapsed() < Duration::from_mins(1), "timed out waiting until {what}");
        tokio::time::sleep(Duration::from_millis(5)).await;
    }
}

const AS_SERVER: &str = "ORMANTRACE_TEST_SERVE";

/// This is no test, but a process that the tests start and kill. It serves a data directory until its
/// standard input ends.
#[test]
#[ignore = "run by the tests that kill it"]
fn serving_process() {
    let Some(dir) = std::env::var_os(AS_SERVER) else { return };
    let runtime = tokio::runtime::Runtime::new().expect("a runtime");
    match runtime.block_on(db::open(
        &DatabaseSettings::private(dir),
        Mode::Serve,
        ormantrace::evidence::register::backfill::on_migration,
    )) {
        Ok(database) => {
            println!("\nserving: ready");
            std::io::stdin().read_to_end(&mut Vec::new()).expect("input");
            runtime.block_on(database.close());
        }
        Err(error) => {
            println!("\nserving: {}", error.to_string().replace('\n', " | "));
            std::process::exit(3);
        }
    }
}

/// Starts `serving_process`; returns its first status line and the process.
fn serve(dir: &Path, set: &[(&str, &str)]) -> (String, Child) {
    let mut command = Command::new(std::env::current_exe().expect("this binary"));
    command.args(["serving_process", "--exact", "--ignored", "--nocapture"]).env(AS_SERVER, dir);
    command.envs(set.iter().copied()).stdin(Stdio::piped()).stdout(Stdio::piped()).stderr(Stdio::null());
    let mut child = command.process_group(0).spawn().expect("starts");
    let lines = BufReader::new(child.stdout.take().expect("piped")).lines();
    let said = lines.map_while(Result::ok).find_map(|line| Some(line.split_once("serving: ")?.1.to_owned()));
    (said.expect("a status line"), child)
}

fn kill(pid: i32) {
    kill_process(Pid::from_raw(pid).expect("a number"), Signal::KILL).expect("killed");
}

#[tokio::test]
async fn what_was_written_is_there_after_a_restart() {
    let data = Data::new();
    let first = data.open().await;
    remember(&first, "pine, Semey").await;
    let settings: Vec<String> = sqlx::query_scalar(
        "SELECT name || '=' || setting FROM pg_settings WHERE name = ANY ($1) ORDER BY name",
    )
    .bind(vec!["listen_addresses", "fsync", "data_checksums", "server_encoding", "synchronous_commit"])
    .fetch_all(&first.pool)
    .await
    .expect("read");
    assert_eq!(
        settings,
        [
            "data_checksums=on",
            "fsync=on",
            "listen_addresses=",
            "server_encoding=UTF8",
            "synchronous_commit=on"
        ]
    );
    let lower: String =
        sqlx::query_scalar("SELECT lower('ОРМАН ӘІҢҒҮҰҚӨҺ')").fetch_one(&first.pool).await.expect("lower");
    assert_eq!(lower, "орман әіңғүұқөһ", "lower() handles Kazakh letters");
    for dir in ["postgres", "run", "passwords"] {
        let mode = fs::metadata(data.path().join(dir)).expect("there").mode() & 0o777;
        assert_eq!(mode, 0o700, "{dir}");
    }
    let rules = fs::read_to_string(data.cluster().join("pg_hba.conf")).expect("readable");
    assert!(!rules.contains("trust"), "{rules}");
    let verifiers: i64 = sqlx::query_scalar(
        "SELECT count(*) FROM pg_authid WHERE rolcanlogin AND rolpassword LIKE 'SCRAM-SHA-256$16:%'",
    )
    .fetch_one(&mut first.maintenance().await.expect("connects"))
    .await
    .expect("counted");
    assert_eq!(verifiers, 4, "superuser, owner, service and publisher all log in with a password");
    first.close().await;
    assert_eq!(postmaster::check_pid_file(&data.cluster()).expect("readable"), PidFileState::Nothing);

    let second = data.open().await;
    assert_eq!(remembered(&second).await, ["pine, Semey"]);
    second.close().await;
}

#[tokio::test]
async fn a_wrong_password_stays_outside() {
    let data = Data::made().await;
    let database = data.open().await;
    for role in [roles::SUPERUSER, roles::OWNER, roles::SERVICE] {
        let options = database.service_options().username(role).password("guess");
        let refusal = sqlx::PgConnection::connect_with(&options).await.expect_err("refused");
        let code = refusal.as_database_error().and_then(|e| e.code().map(Cow::into_owned));
        assert_eq!(code.as_deref(), Some("28P01"), "{role}");
    }
    database.close().await;
}

#[tokio::test]
async fn a_second_one_is_refused_and_a_task_joins() {
    let data = Data::made().await;
    let first = data.open().await;
    let refusal =
        db::open(&data.settings(), Mode::Serve, ormantrace::evidence::register::backfill::on_migration)
            .await
            .expect_err("in use");
    assert!(matches!(refusal, OpenError::InUse { .. }), "{refusal:?}");
    let sentence = refusal.to_string();
    assert!(sentence.contains(&format!("process {}", std::process::id())), "{sentence}");
    let running = data.postmaster();

    let task =
        db::open(&data.settings(), Mode::Attach, ormantrace::evidence::register::backfill::on_migration)
            .await
            .expect("joins");
    remember(&task, "birch, Abai").await;
    task.close().await;
    assert_eq!(data.postmaster(), running, "closing a task does not stop another process's server");
    assert_eq!(remembered(&first).await, ["birch, Abai"]);
    first.close().await;
}

#[tokio::test]
async fn a_task_without_a_running_server_starts_its_own() {
    let data = Data::new();
    let task =
        db::open(&data.settings(), Mode::Attach, ormantrace::evidence::register::backfill::on_migration)
            .await
            .expect("starts");
    assert!(data.postmaster().is_some());
    task.close().await;
    assert_eq!(data.postmaster(), None);
}

#[tokio::test]
async fn a_task_waits_for_a_server_that_is_just_starting() {
    let data = Data::new();
    let settings = data.settings();
    let (serving, task) = tokio::join!(
        db::open(&settings, Mode::Serve, ormantrace::evidence::register::backfill::on_migration),
        async {
            // Opening with `Mode::Serve` and opening with `Mode::Attach` both succeed, whichever of them
            // takes the lock first.
            db::open(&settings, Mode::Attach, ormantrace::evidence::register::backfill::on_migration).await
        }
    );
    let task = task.expect("joined");
    let served = serving.expect("first to the lock");
    task.close().await;
    served.close().await;
}

#[tokio::test]
async fn when_the_program_is_killed_postgresql_stops_and_the_next_start_recovers() {
    let data = Data::made().await;
    let (said, mut child) = serve(data.path(), &[]);
    assert_eq!(said, "ready");
    let task =
        db::open(&data.settings(), Mode::Attach, ormantrace::evidence::register::backfill::on_migration)
            .await
            .expect("joins");
    remember(&task, "larch, Katon-Karagay").await;
    let mut waiting = task.owner().await.expect("connects");
    child.kill().expect("SIGKILL");
    child.wait().expect("reaped");
    let cut = sqlx::query("SELECT pg_sleep(30)").execute(&mut waiting).await.expect_err("cut off");
    assert!(db::is_down(&cut), "{cut}");
    until("the server is gone by itself", async || data.postmaster().is_none()).await;

    let next = data.open().await;
    assert_eq!(remembered(&next).await, ["larch, Katon-Karagay"]);
    next.close().await;
}

#[cfg(target_os = "linux")]
#[tokio::test]
async fn when_the_watcher_is_killed_too_the_orphan_is_stopped() {
    let data = Data::made().await;
    let (said, mut child) = serve(data.path(), &[]);
    assert_eq!(said, "ready");
    let task =
        db::open(&data.settings(), Mode::Attach, ormantrace::evidence::register::backfill::on_migration)
            .await
            .expect("joins");
    remember(&task, "spruce, Markakol").await;
    let orphan = data.postmaster().expect("runs");
    kill(watcher(&data.cluster()));
    child.kill().expect("SIGKILL");
    child.wait().expect("reaped");
    assert_eq!(data.postmaster(), Some(orphan), "no process is left to stop it");

    let next = data.open().await;
    assert_ne!(data.postmaster().expect("runs"), orphan);
    assert_eq!(remembered(&next).await, ["spruce, Markakol"]);
    next.close().await;
}

/// The process id of the watcher: the shell that waits for the end of the process that started the server.
#[cfg(target_os = "linux")]
fn watcher(cluster: &Path) -> i32 {
    let cluster = cluster.to_str().expect("text");
    let processes = fs::read_dir("/proc").expect("readable").flatten();
    let mut pids = processes.filter_map(|entry| entry.file_name().to_str()?.parse::<i32>().ok());
    pids.find(|pid| {
        let command = fs::read(format!("/proc/{pid}/cmdline")).unwrap_or_default();
        let mut arguments = command.split(|byte| *byte == 0);
        arguments.next() == Some(b"/bin/sh") && arguments.any(|one| one == cluster.as_bytes())
    })
    .expect("a watcher")
}

#[tokio::test]
async fn a_killed_postgresql_restarts_by_itself() {
    let data = Data::made().await;
    let database = data.open().await;
    remember(&database, "aspen, Borodulikha").await;
    let before = data.postmaster().expect("runs");
    kill(before);
    until("the pool works again", async || match sqlx::query("SELECT 1").execute(&database.pool).await {
        Ok(_) => data.postmaster().is_some_and(|now| now != before),
        Err(error) => {
            assert!(db::is_down(&error), "{error}");
            false
        }
    })
    .await;
    assert_eq!(remembered(&database).await, ["aspen, Borodulikha"]);
    database.close().await;
    assert_eq!(data.postmaster(), None);
}

#[tokio::test]
async fn a_stale_pid_file_is_no_hindrance() {
    let data = Data::made().await;
    data.open().await.close().await;
    let mut dead = Command::new("true").spawn().expect("runs");
    dead.wait().expect("ended");
    // The file `postmaster.pid` names a dead process, a live process that is not PostgreSQL, or no number at
    // all.
    for pid in [dead.id().to_string(), std::process::id().to_string(), "x".to_owned()] {
        let stale = format!("{pid}\n{}\n1767225600\n5432\n/tmp\n\n\nready\n", data.cluster().display());
        fs::write(postmaster::pid_file(&data.cluster()), stale).expect("written");
        data.open().await.close().await;
    }
}

/// A process that lives until the test ends.
struct Living(Child);

impl Living {
    fn new(data: &Data) -> Self {
        Self(as_postgres(data, "sleep").arg("600").spawn().expect("runs"))
    }
}

/// A command that runs as the user of PostgreSQL, which may not be the user of the tests: PostgreSQL does not
/// regard a process of another user as the holder of a lock.
fn as_postgres(data: &Data, program: &str) -> Command {
    let owner = fs::metadata(data.cluster()).expect("there");
    let mut command = Command::new(program);
    if rustix::process::geteuid().is_root() {
        command.uid(owner.uid()).gid(owner.gid());
    }
    command.current_dir("/");
    command
}

impl Drop for Living {
    fn drop(&mut self) {
        let _ = self.0.kill();
        let _ = self.0.wait();
    }
}

/// Creates the socket of PostgreSQL and its lock file as they remain after PostgreSQL was killed: no process
/// listens on the socket.
fn leave_socket(data: &Data, lock: &str) -> [PathBuf; 2] {
    let run = data.path().join("run");
    let files = [run.join(".s.PGSQL.5432"), run.join(".s.PGSQL.5432.lock")];
    let _ = fs::remove_file(&files[0]);
    drop(std::os::unix::net::UnixListener::bind(&files[0]).expect("bound"));
    fs::write(&files[1], lock).expect("written");
    files
}

fn socket_lock(data: &Data, pid: u32) -> String {
    let run = data.path().join("run");
    format!("{pid}\n{}\n1767225600\n5432\n{}\n", data.cluster().display(), run.display())
}

#[tokio::test]
async fn a_stale_socket_lock_is_no_hindrance() {
    let data = Data::made().await;
    data.open().await.close().await;
    let mut zombie = as_postgres(&data, "true").stdout(Stdio::piped()).spawn().expect("runs");
    zombie.stdout.take().expect("piped").read_to_end(&mut Vec::new()).expect("read");
    let living = Living::new(&data);
    for lock in [
        socket_lock(&data, zombie.id()),
        socket_lock(&data, living.0.id()),
        String::new(),
        "not a number\n".to_owned(),
    ] {
        leave_socket(&data, &lock);
        let kept = data.path().join("run/kept");
        fs::write(&kept, "by the administrator").expect("written");
        data.open().await.close().await;
        assert!(kept.exists(), "nothing else is removed");
    }
    // The lock alone: a copy without sockets.
    let [socket, _] = leave_socket(&data, &socket_lock(&data, living.0.id()));
    fs::remove_file(socket).expect("removed");
    data.open().await.close().await;
    zombie.wait().expect("reaped");
}

#[tokio::test]
async fn a_socket_that_answers_is_left_alone() {
    let data = Data::made().await;
    data.open().await.close().await;
    let living = Living::new(&data);
    let lock = socket_lock(&data, living.0.id());
    let [socket, lock_file] = leave_socket(&data, &lock);
    fs::remove_file(&socket).expect("removed");
    let listener = std::os::unix::net::UnixListener::bind(&socket).expect("bound");
    let refusal = db::open(&data.settings(), Mode::Serve, on_migration).await.expect_err("in use");
    assert!(matches!(refusal, OpenError::Start(_)), "{refusal:?}");
    assert!(socket.exists());
    assert_eq!(fs::read_to_string(lock_file).expect("readable"), lock);
    drop(listener);
    data.open().await.close().await;
}

#[cfg(target_os = "linux")]
#[tokio::test]
async fn when_everything_is_killed_at_once_the_next_start_recovers_at_once() {
    let data = Data::made().await;
    for stack in ["one", "two"] {
        let (said, mut child) = serve(data.path(), &[]);
        assert_eq!(said, "ready");
        let task = db::open(&data.settings(), Mode::Attach, on_migration).await.expect("joins");
        remember(&task, stack).await;
        let (postgres, watcher) = (data.postmaster().expect("runs"), watcher(&data.cluster()));
        kill(watcher);
        kill(postgres);
        child.kill().expect("SIGKILL");
        child.wait().expect("reaped");
        let next = data.open().await;
        assert!(remembered(&next).await.contains(&stack.to_owned()));
        next.close().await;
    }
}

#[tokio::test]
async fn a_directory_copied_while_its_server_runs_starts() {
    let data = Data::made().await;
    let first = data.open().await;
    remember(&first, "pine, Zhanasemey").await;
    let mut superuser = first.maintenance().await.expect("connects");
    sqlx::query("CHECKPOINT").execute(&mut superuser).await.expect("done");
    let copy = Data::new();
    let copied =
        Command::new("cp").arg("-pR").arg(data.path().join(".")).arg(copy.path()).status().expect("runs");
    assert!(copied.success());
    let second = copy.open().await;
    assert_eq!(remembered(&second).await, ["pine, Zhanasemey"]);
    assert_eq!(remembered(&first).await, ["pine, Zhanasemey"], "the original is not disturbed");
    second.close().await;
    assert_eq!(remembered(&first).await, ["pine, Zhanasemey"]);
    first.close().await;
}

fn fsck(arguments: &[&std::ffi::OsStr]) -> (Option<i32>, String) {
    let mut command = support::process::program();
    let output = command.args(["fsck", "--log", "off"]).args(arguments).output().expect("runs");
    let said = [output.stdout, output.stderr].concat();
    (output.status.code(), String::from_utf8_lossy(&said).into_owned())
}

#[tokio::test(flavor = "multi_thread")]
async fn fsck_checks_a_stopped_cluster_and_makes_none() {
    let data = Data::made().await;
    let (code, said) = fsck(&["--data-dir".as_ref(), data.path().as_ref()]);
    assert_eq!(code, Some(0), "{said}");
    assert_eq!(data.postmaster(), None, "it stops what it started");

    // If the file with the owner's password is lost, `fsck` fails and does not create a new password.
    let password = data.path().join("passwords").join(roles::OWNER);
    fs::remove_file(&password).expect("removed");
    let (code, said) = fsck(&["--data-dir".as_ref(), data.path().as_ref()]);
    assert_eq!(code, Some(2), "{said}");
    assert!(said.contains("passwords/ormantrace_owner is missing"), "{said}");
    assert!(!password.exists());

    let wrong = Data::new();
    let (code, said) = fsck(&["--data-dir".as_ref(), wrong.path().as_ref()]);
    assert_eq!(code, Some(2), "{said}");
    assert!(said.contains("no database"), "{said}");
    assert_eq!(fs::read_dir(wrong.path()).expect("there").count(), 0, "nothing is made in it");
    let absent = wrong.path().join("absent");
    let (code, said) = fsck(&["--data-dir".as_ref(), absent.as_ref()]);
    assert_eq!(code, Some(2), "{said}");
    assert!(!absent.exists());
}

#[tokio::test(flavor = "multi_thread")]
async fn fsck_migrates_nothing() {
    let empty = TestDb::empty().await;
    let url = empty.url();
    let (code, said) = fsck(&["--database-url".as_ref(), url.as_ref()]);
    assert_eq!(code, Some(2), "{said}");
    assert!(said.contains("ormantrace migrate"), "{said}");
    let made: Option<String> = sqlx::query_scalar("SELECT to_regclass('_sqlx_migrations')::text")
        .fetch_one(&mut empty.owner().await)
        .await
        .expect("asks");
    assert_eq!(made, None);

    let older = TestDb::new().await;
    let url = older.url();
    let mut owner = older.owner().await;
    for (change, part) in [
        ("DELETE FROM _sqlx_migrations WHERE version = 3", "ormantrace migrate"),
        ("UPDATE _sqlx_migrations SET success = false WHERE version = 2", "ormantrace migrate"),
        ("UPDATE _sqlx_migrations SET checksum = '\\x00' WHERE version = 1", "Migration 1"),
        (
            "INSERT INTO _sqlx_migrations (version, description, success, checksum, execution_time)
             VALUES (99999, 'later', true, '\\x00', 0)",
            "newer Ormantrace",
        ),
    ] {
        sqlx::raw_sql(change).execute(&mut owner).await.expect("done");
        let (code, said) = fsck(&["--database-url".as_ref(), url.as_ref()]);
        assert_eq!(code, Some(2), "{change}: {said}");
        assert!(said.contains(part), "{change}: {said}");
    }
    let applied: i64 = sqlx::query_scalar("SELECT count(*) FROM _sqlx_migrations WHERE version = 3")
        .fetch_one(&mut owner)
        .await
        .expect("read");
    assert_eq!(applied, 0, "nothing is migrated");
}

/// Alterations that only a superuser or the server's administrator can make, each with the beginning of the
/// line that `fsck` reports for it.
const POWERS: &[(&str, &str)] = &[
    ("ALTER ROLE ormantrace_service SUPERUSER", "role-unexpected pg_roles ormantrace_service"),
    ("ALTER ROLE ormantrace_service CREATEROLE", "role-unexpected pg_roles ormantrace_service"),
    ("ALTER ROLE ormantrace_publisher BYPASSRLS", "role-unexpected pg_roles ormantrace_publisher"),
    ("ALTER ROLE ormantrace_service REPLICATION", "role-unexpected pg_roles ormantrace_service"),
    (
        "REVOKE ormantrace_service FROM ormantrace_owner; GRANT ormantrace_owner TO ormantrace_service",
        "role-unexpected pg_roles ormantrace_service",
    ),
    ("GRANT pg_execute_server_program TO ormantrace_service", "role-unexpected pg_roles ormantrace_service"),
    (
        "CREATE ROLE forester; GRANT pg_read_all_data TO forester; GRANT forester TO ormantrace_publisher",
        "role-unexpected pg_roles ormantrace_publisher",
    ),
    (
        "CREATE ROLE forester LOGIN; GRANT ormantrace_owner TO forester",
        "grant-unexpected pg_class event: forester may change it, as a member of the owner",
    ),
    (
        "CREATE ROLE forester; CREATE ROLE keeper; GRANT ormantrace_owner TO keeper; GRANT keeper TO forester",
        "grant-unexpected pg_class leaf: forester may change it, as a member of the owner",
    ),
    ("GRANT ormantrace_service TO ormantrace_publisher", "role-unexpected pg_roles ormantrace_publisher"),
    ("ALTER TABLE event OWNER TO ormantrace_service", "owner-unexpected pg_class event"),
    ("ALTER SCHEMA public OWNER TO ormantrace_service", "owner-unexpected pg_namespace public"),
    ("ALTER DATABASE ormantrace OWNER TO ormantrace_publisher", "owner-unexpected pg_database ormantrace"),
    (
        "CREATE ROLE forester; GRANT forester TO ormantrace_owner; ALTER TABLE leaf OWNER TO forester",
        "owner-unexpected pg_class leaf",
    ),
    (
        "ALTER DATABASE ormantrace SET search_path = x, public",
        "setting-unexpected pg_db_role_setting ormantrace/*",
    ),
    (
        "ALTER ROLE ormantrace_owner SET session_replication_role = replica",
        "setting-unexpected pg_db_role_setting */ormantrace_owner",
    ),
    (
        "ALTER ROLE ormantrace_service IN DATABASE ormantrace SET role = ormantrace_owner",
        "setting-unexpected pg_db_role_setting ormantrace/ormantrace_service",
    ),
    ("ALTER ROLE ALL SET row_security = off", "setting-unexpected pg_db_role_setting */*"),
    (
        "CREATE FUNCTION note() RETURNS event_trigger LANGUAGE plpgsql AS 'BEGIN END';
         CREATE EVENT TRIGGER note ON ddl_command_end EXECUTE FUNCTION note()",
        "trigger-unexpected pg_event_trigger note",
    ),
];

#[tokio::test(flavor = "multi_thread")]
async fn fsck_finds_roles_and_settings_that_are_not_as_set_up() {
    let data = Data::made().await;
    let database = data.open().await;
    let mut superuser = database.maintenance().await.expect("connects");
    // Reads the guards with the owner's rights, as `fsck` does, but within the superuser's transaction, so
    // that the uncommitted changes of this transaction are visible.
    let found = async |db: &mut sqlx::PgConnection| {
        sqlx::raw_sql("SET SESSION AUTHORIZATION ormantrace_owner").execute(&mut *db).await.expect("set");
        let guards = ormantrace::commands::fsck::guards::read(&mut *db).await.expect("read");
        sqlx::raw_sql("RESET SESSION AUTHORIZATION").execute(db).await.expect("reset");
        guards.errors.iter().map(ToString::to_string).collect::<Vec<_>>()
    };
    sqlx::raw_sql("BEGIN").execute(&mut superuser).await.expect("begun");
    let mut missed = found(&mut superuser).await;
    for (change, begins) in POWERS {
        sqlx::raw_sql("SAVEPOINT unaltered").execute(&mut superuser).await.expect("saved");
        sqlx::raw_sql(*change).execute(&mut superuser).await.expect(change);
        let lines = found(&mut superuser).await;
        if !lines.iter().any(|line| line.starts_with(begins)) {
            missed.push(format!("{change}: {lines:#?}"));
        }
        sqlx::raw_sql("ROLLBACK TO unaltered").execute(&mut superuser).await.expect("rolled back");
    }
    assert!(missed.is_empty(), "{}", missed.join("\n"));
    sqlx::raw_sql("ROLLBACK").execute(&mut superuser).await.expect("rolled back");

    // The program `fsck` reports two more alterations: a view that hides rows of a table from one role, and
    // after that a changed setting of the server.
    let check = || fsck(&["--data-dir".as_ref(), data.path().as_ref()]);
    sqlx::raw_sql(
        "CREATE SCHEMA x; CREATE VIEW x.event AS SELECT * FROM public.event WHERE type <> 'inspected';
         GRANT USAGE ON SCHEMA x TO ormantrace_service; GRANT SELECT ON x.event TO ormantrace_service;
         ALTER ROLE ormantrace_service SET search_path = x, public",
    )
    .execute(&mut superuser)
    .await
    .expect("altered");
    let (code, said) = check();
    assert_eq!(code, Some(1), "{said}");
    assert!(said.contains("*/ormantrace_service: sessions begin with search_path=x, public"), "{said}");
    for change in [
        "ALTER ROLE ormantrace_service RESET search_path",
        "ALTER SYSTEM SET session_replication_role = replica",
        "SELECT pg_reload_conf()",
    ] {
        sqlx::query(change).execute(&mut superuser).await.expect(change);
    }
    until("a new session has the setting", async || {
        let mut owner = database.owner().await.expect("connects");
        let setting: String =
            sqlx::query_scalar("SHOW session_replication_role").fetch_one(&mut owner).await.expect("shown");
        setting == "replica"
    })
    .await;
    let (code, said) = check();
    assert_eq!(code, Some(1), "{said}");
    assert!(said.contains("setting-unexpected pg_settings session_replication_role"), "{said}");
    database.close().await;
}

#[tokio::test(flavor = "multi_thread")]
async fn fsck_refuses_a_register_folder_without_a_register() {
    let test = TestDb::new().await;
    let (url, data) = (test.url(), tempfile::tempdir().expect("a folder"));
    fs::create_dir_all(data.path().join("keys")).expect("made");
    fs::create_dir_all(data.path().join("register")).expect("made");
    fs::write(data.path().join("register/checkpoint"), "").expect("written");
    for folder in [data.path().join("keys"), data.path().to_path_buf()] {
        let (code, said) =
            fsck(&["--database-url".as_ref(), url.as_ref(), "--register-dir".as_ref(), folder.as_ref()]);
        assert_eq!(code, Some(2), "{said}");
        assert!(said.contains("has no checkpoint") && !said.contains("Nothing is wrong"), "{said}");
    }
    let mut command = support::process::program();
    command.args(["fsck", "--log", "off", "--database-url", &url]);
    let output = command.env("ORMANTRACE_REGISTER_DIR", data.path()).output().expect("runs");
    assert_eq!(output.status.code(), Some(2), "{output:?}");
}

#[tokio::test(flavor = "multi_thread")]
async fn fsck_refuses_a_register_folder_that_is_not_there() {
    let test = TestDb::new().await;
    let (url, dir) = (test.url(), tempfile::tempdir().expect("a folder"));
    let absent = dir.path().join("register");
    let arguments: [&std::ffi::OsStr; 4] =
        ["--database-url".as_ref(), url.as_ref(), "--register-dir".as_ref(), absent.as_ref()];
    let (code, said) = fsck(&arguments);
    assert_eq!(code, Some(2), "{said}");
    assert!(said.contains("register"), "{said}");
    assert!(!absent.exists());
}

#[tokio::test]
async fn an_interrupted_first_start_is_completed() {
    let data = Data::new();
    let half = data.path().join("postgres.new/base");
    fs::create_dir_all(&half).expect("made");
    fs::write(half.join("1"), "half").expect("written");
    let database = data.open().await;
    assert!(!data.path().join("postgres.new").exists());

    // Makes the state after an interruption between creating the cluster and setting it up: the service role
    // and the owner's password are missing.
    database.pool.close().await;
    let mut superuser = database.maintenance().await.expect("connects");
    sqlx::raw_sql("ALTER ROLE ormantrace_service RENAME TO nobody_knows")
        .execute(&mut superuser)
        .await
        .expect("done");
    sqlx::raw_sql("ALTER ROLE ormantrace_owner PASSWORD NULL").execute(&mut superuser).await.expect("done");
    superuser.close().await.expect("closed");
    database.close().await;
    let again = data.open().await;
    let who: String =
        sqlx::query_scalar("SELECT current_user::text").fetch_one(&again.pool).await.expect("connects");
    assert_eq!(who, roles::SERVICE);
    again.close().await;
}

#[tokio::test]
async fn a_path_too_long_for_a_socket_works() {
    let data = Data::new();
    let deep = data.path().join("ағаш-деректері".repeat(5)).join("x".repeat(60));
    let settings = DatabaseSettings::private(&deep);
    let database = db::open(&settings, Mode::Serve, ormantrace::evidence::register::backfill::on_migration)
        .await
        .unwrap_or_else(|error| panic!("{error}"));
    let socket = database.service_options().get_socket().expect("a socket").clone();
    assert!(!socket.starts_with(&deep), "{}", socket.display());
    assert_eq!(fs::metadata(&socket).expect("there").mode() & 0o777, 0o700);
    sqlx::query("SELECT 1").execute(&database.pool).await.expect("answers");
    let task = db::open(&settings, Mode::Attach, ormantrace::evidence::register::backfill::on_migration)
        .await
        .expect("finds it");
    task.close().await;
    database.close().await;
    assert!(!socket.exists(), "the short folder is removed");
}

#[test]
fn without_postgresql_one_message_says_what_helps() {
    let data = Data::new();
    let (said, mut child) = serve(data.path(), &[("PG_BINDIR", "/nonexistent")]);
    assert_eq!(child.wait().expect("ended").code(), Some(3));
    for part in ["No PostgreSQL is found", "DATABASE_URL=postgres://", "docker compose up", "PG_BINDIR"] {
        assert!(said.contains(part), "{said}");
    }
    assert!(!data.path().join("postgres").exists());
}

#[tokio::test]
async fn a_cluster_of_another_version_is_left_alone() {
    let data = Data::made().await;
    data.open().await.close().await;
    fs::write(data.cluster().join("PG_VERSION"), "99\n").expect("written");
    let refusal =
        db::open(&data.settings(), Mode::Serve, ormantrace::evidence::register::backfill::on_migration)
            .await
            .expect_err("no such version")
            .to_string();
    assert!(refusal.contains("made by PostgreSQL 99"), "{refusal}");
}

#[tokio::test]
async fn the_service_adds_evidence_and_cannot_change_it() {
    let data = Data::made().await;
    let database = data.open().await;
    let mut owner = database.owner().await.expect("connects");
    // The migrations may have created `event` already. Its privileges depend only on its name, so an empty
    // table with this name serves as well.
    sqlx::raw_sql(
        "CREATE TABLE IF NOT EXISTS event (n int); CREATE TABLE test_state (n int, who text UNIQUE)",
    )
    .execute(&mut owner)
    .await
    .expect("made");
    database.close().await;
    let database = data.open().await;
    for forbidden in [
        "UPDATE event SET subject_id = subject_id",
        "DELETE FROM event",
        "TRUNCATE event",
        "TRUNCATE test_state",
        "DROP TABLE test_state",
        "DELETE FROM _sqlx_migrations",
        "INSERT INTO _sqlx_migrations DEFAULT VALUES",
        "CREATE TABLE mine (n int)",
        "CREATE ROLE friend",
    ] {
        let refusal = sqlx::query(forbidden).execute(&database.pool).await.expect_err(forbidden);
        let code = refusal.as_database_error().and_then(|e| e.code().map(Cow::into_owned));
        assert!(matches!(code.as_deref(), Some("42501" | "42703")), "{forbidden}: {refusal}");
    }
    for allowed in ["INSERT INTO test_state VALUES (1, 'IIN 900101300007')", "UPDATE test_state SET n = 2"] {
        sqlx::query(allowed).execute(&database.pool).await.expect(allowed);
    }
    let rights: (bool, bool) = sqlx::query_as(
        "SELECT has_table_privilege('event', 'INSERT, SELECT'), has_table_privilege('event', 'UPDATE, DELETE')",
    )
    .fetch_one(&database.pool)
    .await
    .expect("answers");
    assert_eq!(rights, (true, false));

    // PostgreSQL's own log reports the error, never the contents of the row.
    let again = "INSERT INTO test_state VALUES (3, 'IIN 900101300007')";
    sqlx::query(again).execute(&database.pool).await.expect_err("unique");
    database.close().await;
    let mut records = String::new();
    for entry in fs::read_dir(data.cluster().join("log")).expect("there").flatten() {
        records.push_str(&fs::read_to_string(entry.path()).expect("text"));
    }
    assert!(records.contains("duplicate key") && !records.contains("900101300007"), "{records}");
}

#[tokio::test]
async fn several_instances_migrate_one_database_together() {
    let empty = TestDb::empty().await;
    let settings = DatabaseSettings {
        database_url: Some(empty.url().parse().expect("an address")),
        data_dir: None,
        database_connections: 2,
    };
    let opening: Vec<_> = (0..6)
        .map(|_| {
            let settings = settings.clone();
            tokio::spawn(async move {
                db::open(&settings, Mode::Serve, ormantrace::evidence::register::backfill::on_migration).await
            })
        })
        .collect();
    for one in opening {
        let database = one.await.expect("no panic").unwrap_or_else(|error| panic!("{error}"));
        let who: String =
            sqlx::query_scalar("SELECT current_user::text").fetch_one(&database.pool).await.expect("asks");
        assert_eq!(who, roles::SERVICE, "requests do not run as the owner");
        database.close().await;
    }
    let applied: i64 = sqlx::query_scalar("SELECT count(*) FROM _sqlx_migrations")
        .fetch_one(empty.pool())
        .await
        .expect("read");
    assert_eq!(usize::try_from(applied), Ok(migrate::MIGRATOR.iter().count()));
}

fn migrator(steps: &[(i64, &'static str)]) -> Migrator {
    let one = |&(version, sql): &(i64, &'static str)| {
        Migration::new(version, "test".into(), MigrationType::Simple, sql.into_sql_str(), false)
    };
    Migrator::with_migrations(steps.iter().map(one).collect())
}

#[tokio::test]
async fn a_newer_or_changed_database_is_refused() {
    let empty = TestDb::empty().await;
    let (first, second) = ((1, "CREATE TABLE seal_rack (n int)"), (2, "CREATE TABLE seal_box (n int)"));
    let mut owner = empty.owner().await;
    migrate::migrate(&mut owner, &migrator(&[first, second]), false, on_migration).await.expect("both apply");

    let mut owner = empty.owner().await;
    let older = migrate::migrate(&mut owner, &migrator(&[first]), false, on_migration)
        .await
        .expect_err("newer database");
    assert!(matches!(older, OpenError::Newer(2)), "{older:?}");
    assert!(older.to_string().contains("newer Ormantrace"), "{older}");
    drop(owner);

    let mut owner = empty.owner().await;
    let other = (2, "CREATE TABLE seal_box (n bigint)");
    let changed = migrate::migrate(&mut owner, &migrator(&[first, other]), false, on_migration)
        .await
        .expect_err("changed");
    assert!(matches!(changed, OpenError::Changed(2)), "{changed:?}");
    drop(owner);

    let mut owner = empty.owner().await;
    migrate::migrate(&mut owner, &migrator(&[first, second]), false, on_migration)
        .await
        .expect("refusals leave no lock behind");
}

#[tokio::test]
async fn a_server_that_is_not_up_yet_is_waited_for() {
    let data = Data::made().await;
    let first = data.open().await;
    let socket = first.service_options().get_socket().expect("a socket").display().to_string();
    first.close().await;
    let password = fs::read_to_string(data.path().join("passwords").join(roles::OWNER)).expect("readable");
    let url = format!("postgres://{}:{password}@localhost/{}?host={socket}", roles::OWNER, roles::DATABASE);
    let settings = DatabaseSettings {
        database_url: Some(url.parse().expect("an address")),
        data_dir: None,
        database_connections: 2,
    };
    // Both calls run on this thread. The first connects to the server that the second starts, so it is
    // refused at least once before the second has started anything.
    let (waited, server) = tokio::join!(
        db::open(&settings, Mode::Serve, ormantrace::evidence::register::backfill::on_migration),
        data.open()
    );
    let waited = waited.unwrap_or_else(|error| panic!("{error}"));
    sqlx::query("SELECT 1").execute(&waited.pool).await.expect("answers");
    waited.close().await;
    server.close().await;
}

#[tokio::test]
async fn a_wrong_password_is_not_waited_for() {
    let data = Data::made().await;
    let server = data.open().await;
    let socket = server.service_options().get_socket().expect("a socket").display().to_string();
    let url = format!("postgres://{}:guess@localhost/{}?host={socket}", roles::OWNER, roles::DATABASE);
    let settings = DatabaseSettings {
        database_url: Some(url.parse().expect("an address")),
        data_dir: None,
        database_connections: 2,
    };
    let refusal = db::open(&settings, Mode::Serve, ormantrace::evidence::register::backfill::on_migration)
        .await
        .expect_err("refused");
    assert!(matches!(refusal, OpenError::Database(_)), "{refusal:?}");
    assert!(!refusal.to_string().contains("guess"), "{refusal}");
    server.close().await;
}

/// A certificate that no program can read.
#[derive(Debug)]
struct Unreadable(std::sync::Arc<rustls::sign::CertifiedKey>);

impl rustls::server::ResolvesServerCert for Unreadable {
    fn resolve(
        &self,
        _: rustls::server::ClientHello<'_>,
    ) -> Option<std::sync::Arc<rustls::sign::CertifiedKey>> {
        Some(self.0.clone())
    }
}

/// Starts a server that offers TLS as PostgreSQL does, with a certificate that cannot be parsed. Returns its
/// port.
async fn unreadable_server() -> u16 {
    use rustls::pki_types::pem::PemObject;
    let file = Path::new(env!("CARGO_MANIFEST_DIR")).join("tests/program/tls/witness.key");
    let key = rustls::pki_types::PrivateKeyDer::from_pem_file(file).expect("a key");
    let key = rustls::crypto::ring::sign::any_supported_type(&key).expect("supported");
    let certificate = rustls::pki_types::CertificateDer::from(b"not a certificate".to_vec());
    let certified = rustls::sign::CertifiedKey::new(vec![certificate], key);
    let config = rustls::ServerConfig::builder_with_provider(rustls::crypto::ring::default_provider().into())
        .with_safe_default_protocol_versions()
        .expect("versions")
        .with_no_client_auth()
        .with_cert_resolver(std::sync::Arc::new(Unreadable(certified.into())));
    let acceptor = tokio_rustls::TlsAcceptor::from(std::sync::Arc::new(config));
    let listener = tokio::net::TcpListener::bind("127.0.0.1:0").await.expect("bound");
    let port = listener.local_addr().expect("an address").port();
    tokio::spawn(async move {
        while let Ok((mut stream, _)) = listener.accept().await {
            let mut request = [0; 8];
            let _ = stream.read_exact(&mut request).await;
            let _ = stream.write_all(b"S").await;
            let _ = acceptor.accept(stream).await;
        }
    });
    port
}

#[tokio::test]
async fn encryption_that_fails_is_not_waited_for() {
    let port = unreadable_server().await;
    for (setting, part) in [
        ("sslmode=require", "certificate"),
        ("sslmode=verify-full", "certificate"),
        ("sslmode=verify-ca&sslrootcert=/nonexistent/authority.pem", "sslrootcert"),
    ] {
        let url = format!("postgres://wood:guess@localhost:{port}/trace?{setting}");
        let settings = DatabaseSettings {
            database_url: Some(url.parse().expect("an address")),
            data_dir: None,
            database_connections: 2,
        };
        let since = Instant::now();
        let refusal = db::open(&settings, Mode::Serve, on_migration).await.expect_err("refused");
        assert!(matches!(refusal, OpenError::Tls(_)), "{setting}: {refusal:?}");
        assert!(refusal.to_string().contains(part) && !refusal.to_string().contains("guess"), "{refusal}");
        assert!(since.elapsed() < Duration::from_secs(10), "{setting}: told at once");
    }
}

#[tokio::test]
async fn errors_distinguish_down_from_retryable() {
    let test = TestDb::new().await;
    let (mut one, mut other) = (test.owner().await, test.owner().await);
    let number: i32 = sqlx::query_scalar("SELECT pg_backend_pid()").fetch_one(&mut one).await.expect("asks");
    sqlx::query("SELECT pg_terminate_backend($1, 10000)")
        .bind(number)
        .execute(&mut other)
        .await
        .expect("cut");
    let cut = sqlx::query("SELECT 1").execute(&mut one).await.expect_err("cut off");
    assert!(db::is_down(&cut) && DatabaseFailure::of(&cut) != DatabaseFailure::Lost, "{cut:?}");

    sqlx::raw_sql(
        "CREATE TEMP TABLE head (n int CONSTRAINT event_pkey PRIMARY KEY); INSERT INTO head VALUES (1);
         CREATE TEMP TABLE seal_note (n int PRIMARY KEY); INSERT INTO seal_note VALUES (1)",
    )
    .execute(&mut other)
    .await
    .expect("made");
    let head = sqlx::query("INSERT INTO head VALUES (1)").execute(&mut other).await.expect_err("taken");
    assert_eq!(DatabaseFailure::of(&head), DatabaseFailure::Lost, "{head:?}");
    let seal = sqlx::query("INSERT INTO seal_note VALUES (1)").execute(&mut other).await.expect_err("taken");
    assert_eq!(DatabaseFailure::of(&seal), DatabaseFailure::Refused, "{seal:?}");

    let pool = db::pool_options(1).acquire_timeout(Duration::from_millis(100));
    let pool = pool.connect_lazy_with(test.pool().connect_options().as_ref().clone());
    let mut taken = None;
    until("the only connection is ours", async || {
        taken = pool.acquire().await.ok();
        taken.is_some()
    })
    .await;
    let busy = pool.acquire().await.map(drop).expect_err("none left");
    assert!(db::is_down(&busy), "{busy:?}");
    drop(taken);
}

#[tokio::test]
async fn tests_do_not_see_each_other() {
    let (one, other) = (TestDb::new().await, TestDb::new().await);
    sqlx::raw_sql("CREATE TABLE test_stack (n int)").execute(&mut one.owner().await).await.expect("made");
    let seen: Option<String> = sqlx::query_scalar("SELECT to_regclass('test_stack')::text")
        .fetch_one(other.pool())
        .await
        .expect("asks");
    assert_eq!(seen, None);
    let who: String =
        sqlx::query_scalar("SELECT current_user::text").fetch_one(other.pool()).await.expect("asks");
    assert_eq!(who, roles::SERVICE);
}
