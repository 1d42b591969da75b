//! The private PostgreSQL: created on first use, started and stopped with this process.
//!
//! Promises: the cluster exists completely or not at all (`initdb` works in another folder, which is
//! then renamed); the server listens on no network; every connection needs a password; when this
//! process ends, however it ends, the server ends too; and after a hard kill of all processes the
//! next start cleans up what they left.

use std::fs::{self, File};
use std::io;
use std::path::{Path, PathBuf};
use std::process::{ExitStatus, Stdio};
use std::time::{Duration, Instant};

use rustix::process::Signal;
use sqlx::postgres::PgConnectOptions;
use tokio::io::AsyncWriteExt;
use tokio::net::UnixStream;
use tokio::process::{Child, ChildStdin, Command};
use tokio::sync::oneshot;
use tokio::task::JoinHandle;

use super::folder::{Folder, PORT, sync_dir};
use super::postmaster::{self, PidFileState};
use crate::base::config::shown;
use crate::db::errors::OpenError;
use crate::db::lock::Lock;
use crate::db::programs::Programs;
use crate::db::roles::{OWNER, PUBLISHER, SERVICE, SUPERUSER};

/// How long leftover processes of a killed server may take to end.
pub(in crate::db) const CLEANUP_TIMEOUT: Duration = Duration::from_secs(10);
/// How long a fast shutdown may take before an immediate one (after which the next start recovers).
const SHUTDOWN_TIMEOUT: Duration = Duration::from_secs(15);
/// Timeout for connecting to the server's socket, which may have no listener.
const CONNECT_TIMEOUT: Duration = Duration::from_secs(1);
/// How often a starting server is polled.
const POLL_INTERVAL: Duration = Duration::from_millis(3);

/// Starts the server with a watcher. The shell that becomes the server first starts the watcher, a
/// child forked twice so that the server does not take it for one of its workers. The watcher
/// reads from a pipe; only this process holds the other end. End of file means that this process
/// has ended, however it was killed: the watcher sends the server a fast shutdown. One line on the
/// pipe means that the server exited and its pid may be reused: the watcher exits. (`$$` remains
/// the pid of the first shell, which is now the server.)
const START_SCRIPT: &str = r#"
exec 3<&0 </dev/null
( (trap '' HUP INT QUIT TERM; read -r _ <&3 || kill -INT $$) >/dev/null 2>&1 & )
exec 3<&-
exec "$@"
"#;

/// Durability and number of connections.
#[derive(Clone, Copy, Debug)]
pub struct Tuning {
    /// Connections that the server accepts.
    pub max_connections: u32,
    /// False only in tests and measurements: faster, but the data does not survive a power cut.
    pub durable: bool,
}

impl Tuning {
    /// For real data, with a pool of `pool` connections; 32 more are for batch loaders, other
    /// commands and an administrator.
    #[must_use]
    pub fn durable(pool: u32) -> Self {
        Self { max_connections: pool.saturating_add(32), durable: true }
    }

    fn settings(self) -> String {
        let Self { max_connections, durable } = self;
        let mut text = format!(
            "# Written by Ormantrace at every start; put your own settings into postgresql.conf.\n\
             max_connections = {max_connections}\n\
             password_encryption = 'scram-sha-256'\n\
             ssl = off\n\
             jit = off\n\
             timezone = 'UTC'\n\
             log_timezone = 'UTC'\n\
             lc_messages = 'C'\n\
             # No statement, parameter or detail: they may hold personal data.\n\
             log_min_messages = warning\n\
             log_min_error_statement = panic\n\
             log_statement = 'none'\n\
             log_min_duration_statement = -1\n\
             log_parameter_max_length = 0\n\
             log_parameter_max_length_on_error = 0\n\
             log_error_verbosity = terse\n\
             log_checkpoints = off\n\
             log_line_prefix = '%m [%p] %q%a '\n"
        );
        text.push_str(if durable {
            "fsync = on\n\
             full_page_writes = on\n\
             synchronous_commit = on\n\
             shared_buffers = '192MB'\n\
             max_wal_size = '1GB'\n\
             wal_compression = on\n\
             # A recycled file would still contain erased data.\n\
             wal_recycle = off\n\
             autovacuum = on\n\
             logging_collector = on\n\
             log_directory = 'log'\n\
             log_filename = 'postgresql-%a.log'\n\
             log_file_mode = 0600\n\
             log_rotation_age = '1d'\n\
             log_rotation_size = '20MB'\n\
             log_truncate_on_rotation = on\n"
        } else {
            "fsync = off\n\
             full_page_writes = off\n\
             synchronous_commit = off\n\
             shared_buffers = '64MB'\n\
             wal_level = minimal\n\
             max_wal_senders = 0\n\
             autovacuum = off\n\
             logging_collector = off\n"
        });
        text
    }
}

/// The cluster's `postgresql.conf`, for the administrator to edit.
const CONF: &str = "# Ormantrace's settings come first; settings below override them.\n\
                    include 'ormantrace.conf'\n";

/// Every role needs its password, and connects through the socket, which only one user can reach.
const HBA: &str = "# type  database     user  method\n\
                   local   all          all   scram-sha-256\n\
                   local   replication  all   scram-sha-256\n";

/// What to do if there is no cluster yet.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum IfAbsent {
    /// Create it, and the passwords of its roles.
    Make,
    /// Refuse: the caller works on existing data only.
    Refuse,
}

/// A running private PostgreSQL. Dropping it also stops the server, without waiting for it.
#[derive(Debug)]
pub struct Cluster {
    socket_dir: PathBuf,
    stop: Option<oneshot::Sender<()>>,
    supervisor: JoinHandle<()>,
}

impl Cluster {
    /// Creates the cluster if there is none and the caller wants one, cleans up after a hard kill, starts the
    /// server and waits until it accepts connections. `lock` is held until the server has ended.
    ///
    /// # Errors
    /// A sentence of [`OpenError`].
    pub async fn start(
        folder: &Folder,
        lock: Lock,
        tuning: Tuning,
        if_absent: IfAbsent,
    ) -> Result<Self, OpenError> {
        let required = match fs::read_to_string(folder.cluster().join("PG_VERSION")) {
            Ok(text) => Some(text.trim().parse().map_err(|_| {
                OpenError::Folder(format!(
                    "{} is not a cluster of a supported PostgreSQL.",
                    shown(&folder.cluster())
                ))
            })?),
            Err(error) if error.kind() == io::ErrorKind::NotFound => None,
            Err(error) => {
                return Err(OpenError::Folder(format!(
                    "{} cannot be read: {error}.",
                    shown(&folder.cluster())
                )));
            }
        };
        let programs = Programs::find(required)?;
        if required.is_none() && folder.restoring().exists() {
            return Err(OpenError::Folder(format!(
                "A restore into {} was interrupted: run it again, or remove {} first.",
                shown(folder.root()),
                shown(&folder.restoring())
            )));
        }
        // The lock holder creates the passwords before any connection is possible, so a process that joins
        // the cluster finds them.
        if if_absent == IfAbsent::Make {
            for role in [OWNER, SERVICE, PUBLISHER] {
                folder.password(role, true)?;
            }
        }
        match (required, if_absent) {
            (Some(_), _) => {}
            (None, IfAbsent::Make) => make(folder, &programs, tuning).await?,
            (None, IfAbsent::Refuse) => return Err(folder.no_database()),
        }
        let socket_dir = folder.socket_dir()?;
        let server = Server { folder: folder.clone(), programs, socket_dir: socket_dir.clone(), tuning };
        let running = server.start().await?;
        let (stop, stopped) = oneshot::channel();
        let supervisor = tokio::spawn(supervise(server, running, stopped, lock));
        Ok(Self { socket_dir, stop: Some(stop), supervisor })
    }

    /// Connection options of the server, without a user or a database.
    #[must_use]
    pub fn connection(&self) -> PgConnectOptions {
        connection(&self.socket_dir, PORT)
    }

    /// Stops the server and waits until it has ended.
    pub async fn stop(mut self) {
        if let Some(stop) = self.stop.take() {
            // Sending fails only if the supervising task, and so the server, has ended already.
            let _ = stop.send(());
        }
        let _ = self.supervisor.await;
    }
}

/// Connection options for a server's socket. They override `PGHOST`, `PGPORT` and `PGSSLMODE`; callers
/// set user, password and database.
pub(in crate::db) fn connection(socket_dir: &Path, port: u16) -> PgConnectOptions {
    PgConnectOptions::new_without_pgpass()
        .socket(socket_dir)
        .port(port)
        .ssl_mode(sqlx::postgres::PgSslMode::Disable)
}

/// Runs `initdb` in a folder next to the cluster's, then renames it.
async fn make(folder: &Folder, programs: &Programs, tuning: Tuning) -> Result<(), OpenError> {
    let (new, password_file) = (folder.unfinished(), folder.root().join("postgres-password"));
    let failed = |error: io::Error| OpenError::Initdb(format!("{}: {error}", shown(&new)));
    let verifier = folder.verifier(SUPERUSER)?;
    folder.write_for_postgres(&password_file, verifier.as_str()).map_err(failed)?;
    let mut stderr = String::new();
    let mut made = false;
    for locale in locales(programs.major) {
        remove(&new).map_err(failed)?;
        // This program creates the folder, because the data directory may belong to root, and then initdb
        // could not create a folder in it.
        folder.make_for_postgres(&new).map_err(failed)?;
        let mut initdb = folder.command(&programs.path("initdb"));
        initdb.arg("--pgdata").arg(&new).arg("--pwfile").arg(&password_file);
        initdb.args(["--username", SUPERUSER, "--auth=scram-sha-256", "--encoding=UTF8"]);
        initdb.args(["--data-checksums", "--no-instructions"]).args(locale);
        if !tuning.durable {
            initdb.arg("--no-sync");
        }
        let output = Command::from(initdb).kill_on_drop(true).output().await.map_err(failed)?;
        if output.status.success() {
            made = true;
            break;
        }
        String::from_utf8_lossy(&output.stderr).trim().clone_into(&mut stderr);
    }
    fs::remove_file(&password_file).map_err(failed)?;
    if !made {
        remove(&new).map_err(failed)?;
        return Err(OpenError::Initdb(stderr));
    }
    folder.write_for_postgres(&new.join("postgresql.conf"), CONF).map_err(failed)?;
    folder.write_for_postgres(&new.join("pg_hba.conf"), HBA).map_err(failed)?;
    sync_dir(&new).map_err(failed)?;
    fs::rename(&new, folder.cluster()).map_err(failed)?;
    sync_dir(folder.root()).map_err(failed)
}

/// Locales for UTF-8 text that is sorted by code point on every system, the best first. PostgreSQL 17
/// has one built in; before that the C library may have one. With plain C as the last resort, only
/// case mapping of Cyrillic letters is missing.
fn locales(major: u32) -> Vec<&'static [&'static str]> {
    let mut locales: Vec<&[&str]> = Vec::new();
    if major >= 17 {
        locales.push(&["--locale=C", "--locale-provider=builtin", "--builtin-locale=C.UTF-8"]);
    }
    locales.push(&["--locale=C.UTF-8"]);
    locales.push(&["--locale=C"]);
    locales
}

fn remove(dir: &Path) -> io::Result<()> {
    match fs::remove_dir_all(dir) {
        Err(error) if error.kind() != io::ErrorKind::NotFound => Err(error),
        _ => Ok(()),
    }
}

/// Everything needed to start the server, and to restart it.
struct Server {
    folder: Folder,
    programs: Programs,
    socket_dir: PathBuf,
    tuning: Tuning,
}

/// A server that this process started: the child process, and the pipe to its watcher.
struct Running {
    child: Child,
    watcher: ChildStdin,
}

impl Server {
    /// Starts the server and waits until it is ready. While processes of an earlier server are in
    /// the way, retries for [`CLEANUP_TIMEOUT`].
    async fn start(&self) -> Result<Running, OpenError> {
        let since = Instant::now();
        loop {
            self.clear_up().await?;
            match self.try_start().await? {
                Ok(running) => return Ok(running),
                Err(output) => {
                    // PostgreSQL's messages for processes of an earlier server that are still alive.
                    let in_the_way = ["postmaster.pid", "shared memory", ".s.PGSQL."];
                    let in_the_way = in_the_way.iter().any(|part| output.contains(part));
                    if !in_the_way || since.elapsed() > CLEANUP_TIMEOUT {
                        return Err(OpenError::Start(output));
                    }
                    tokio::time::sleep(Duration::from_millis(100)).await;
                }
            }
        }
    }

    /// Cleans up before a start. This process holds the lock, so a server on the cluster is orphaned.
    async fn clear_up(&self) -> Result<(), OpenError> {
        let cluster = self.folder.cluster();
        let unreadable =
            |error: io::Error| OpenError::Folder(format!("{} cannot be read: {error}.", shown(&cluster)));
        match postmaster::check_pid_file(&cluster).map_err(unreadable)? {
            PidFileState::Nothing | PidFileState::Dead => {}
            PidFileState::Deceptive => {
                // When the pid file is removed, PostgreSQL itself no longer checks for workers of the earlier
                // server, so this waits for them first.
                postmaster::wait_for_workers(&cluster, CLEANUP_TIMEOUT).await.map_err(OpenError::Start)?;
                fs::remove_file(postmaster::pid_file(&cluster)).map_err(unreadable)?;
            }
            PidFileState::Live(orphan) => {
                tracing::warn!(pid = orphan.pid, "an orphaned private PostgreSQL is running; stopping it");
                postmaster::stop_orphan(&cluster, CLEANUP_TIMEOUT).await.map_err(OpenError::Start)?;
            }
        }
        remove_stale_socket(&self.socket_dir).await
    }

    /// Starts the server once and waits until it is ready. `Ok(Err(output))` if it exited before that;
    /// `output` is what it printed.
    async fn try_start(&self) -> Result<Result<Running, String>, OpenError> {
        let cluster = self.folder.cluster();
        let failed = |error: io::Error| OpenError::Start(error.to_string());
        self.folder
            .write_for_postgres(&cluster.join("ormantrace.conf"), &self.tuning.settings())
            .map_err(failed)?;
        let path = self.folder.start_messages();
        let messages = File::create(&path).map_err(failed)?;
        let mut shell = self.folder.command(Path::new("/bin/sh"));
        shell.args(["-c", START_SCRIPT, "sh"]).arg(self.programs.path("postgres")).arg("-D").arg(&cluster);
        // These settings are given on the command line, so that no configuration file can change them.
        let set = |name: &str, value: &str| ["-c".to_owned(), format!("{name}={value}")];
        shell.args(set("listen_addresses", "")).args(set("port", &PORT.to_string()));
        shell.args(set("unix_socket_permissions", "0700"));
        shell.args(set("unix_socket_directories", &list_item(&self.socket_dir)));
        shell.stdout(messages.try_clone().map_err(failed)?).stderr(messages).stdin(Stdio::piped());
        let mut command = Command::from(shell);
        // The server is in a process group of its own. Otherwise Ctrl-C in the terminal would stop it while
        // requests are still being drained.
        command.process_group(0);
        let mut child = command.spawn().map_err(failed)?;
        let watcher =
            child.stdin.take().ok_or_else(|| OpenError::Start("no pipe to its watcher".to_owned()))?;
        let mut running = Running { child, watcher };
        let pid = running.child.id().and_then(|id| i32::try_from(id).ok());
        let (since, mut reported) = (Instant::now(), 0);
        loop {
            if running.child.try_wait().map_err(failed)?.is_some() {
                running.end_watcher().await;
                return Ok(Err(self.last_output()));
            }
            if let Ok(PidFileState::Live(one)) = postmaster::check_pid_file(&cluster)
                && one.ready
                && Some(one.pid) == pid
            {
                return Ok(Ok(running));
            }
            // After a hard kill the server first replays its write-ahead log, which is no error.
            if since.elapsed().as_secs() / 5 > reported {
                reported += 1;
                tracing::info!("the private PostgreSQL is recovering; waiting for it");
            }
            tokio::time::sleep(POLL_INTERVAL).await;
        }
    }

    /// The last lines of the server's output and of its newest log file.
    fn last_output(&self) -> String {
        let mut files = vec![self.folder.start_messages()];
        if let Ok(entries) = fs::read_dir(self.folder.cluster().join("log")) {
            files.extend(
                entries
                    .flatten()
                    .map(|entry| entry.path())
                    .max_by_key(|path| fs::metadata(path).and_then(|m| m.modified()).ok()),
            );
        }
        let mut words = String::new();
        for text in files.iter().filter_map(|file| fs::read(file).ok()) {
            let text = String::from_utf8_lossy(&text);
            let lines: Vec<&str> = text.lines().collect();
            for line in &lines[lines.len().saturating_sub(10)..] {
                words.push_str(line);
                words.push('\n');
            }
        }
        words.trim_end().to_owned()
    }
}

/// Removes the socket and its lock file if no process listens. The caller holds the directory's lock and
/// found no live server. PostgreSQL itself would trust the lock file: it refuses to start if the file names
/// any live process of its user, or cannot be read.
async fn remove_stale_socket(dir: &Path) -> Result<(), OpenError> {
    let socket = dir.join(format!(".s.PGSQL.{PORT}"));
    let connected = tokio::time::timeout(CONNECT_TIMEOUT, UnixStream::connect(&socket)).await;
    let refused = match connected {
        Ok(Err(error)) => {
            matches!(error.kind(), io::ErrorKind::ConnectionRefused | io::ErrorKind::NotFound)
        }
        Ok(Ok(_)) | Err(_) => false,
    };
    if !refused {
        return Ok(());
    }
    for file in [dir.join(format!(".s.PGSQL.{PORT}.lock")), socket] {
        match fs::remove_file(&file) {
            Ok(()) => {
                tracing::info!(file = %file.display(), "a stale file of the database's socket was removed");
            }
            Err(error) if error.kind() == io::ErrorKind::NotFound => {}
            Err(error) => {
                return Err(OpenError::Folder(format!("{} cannot be removed: {error}.", shown(&file))));
            }
        }
    }
    Ok(())
}

/// A folder as an item of a list in PostgreSQL's settings.
fn list_item(dir: &Path) -> String {
    format!("\"{}\"", dir.display().to_string().replace('"', "\"\""))
}

impl Running {
    /// Makes the watcher exit, so that it does not signal another process that reuses the server's pid.
    async fn end_watcher(&mut self) {
        // The write fails if the watcher was killed, which is harmless.
        let _ = self.watcher.write_all(b"done\n").await;
    }

    async fn stop(mut self) {
        for signal in [Signal::INT, Signal::QUIT] {
            // The child process has not been waited for, so its pid cannot have been reused.
            if let Some(pid) = self.child.id().and_then(|id| i32::try_from(id).ok())
                && let Err(error) = postmaster::send(pid, signal)
            {
                tracing::error!(%error, "the private PostgreSQL cannot be signalled to stop");
            }
            if let Ok(ended) = tokio::time::timeout(SHUTDOWN_TIMEOUT, self.child.wait()).await {
                report(&ended);
                break;
            }
            tracing::warn!("the private PostgreSQL did not stop in time");
        }
        self.end_watcher().await;
    }
}

fn report(ended: &io::Result<ExitStatus>) {
    match ended {
        Ok(status) if status.success() => tracing::debug!("the private PostgreSQL has stopped"),
        Ok(status) => tracing::warn!(%status, "the private PostgreSQL has stopped with an error"),
        Err(error) => tracing::error!(%error, "waiting for the private PostgreSQL to stop failed"),
    }
}

/// Keeps the server running until [`Cluster::stop`] is called or the [`Cluster`] is dropped: a
/// server that exits by itself or is killed is restarted.
async fn supervise(server: Server, running: Running, stopped: oneshot::Receiver<()>, lock: Lock) {
    restart_until_stopped(&server, running, stopped).await;
    server.folder.remove_socket_dir(&server.socket_dir);
    drop(lock);
}

async fn restart_until_stopped(server: &Server, mut running: Running, mut stopped: oneshot::Receiver<()>) {
    loop {
        let ended = tokio::select! {
            _ = &mut stopped => return running.stop().await,
            ended = running.child.wait() => ended,
        };
        running.end_watcher().await;
        tracing::error!(status = ?ended.ok(), "the private PostgreSQL exited unexpectedly; restarting it");
        let mut pause = Duration::from_millis(100);
        running = loop {
            let again = tokio::select! {
                _ = &mut stopped => return,
                again = server.start() => again,
            };
            match again {
                Ok(running) => break running,
                Err(error) => tracing::error!(%error, "the private PostgreSQL did not start"),
            }
            tokio::select! {
                _ = &mut stopped => return,
                () = tokio::time::sleep(pause) => pause = (pause * 2).min(Duration::from_secs(5)),
            }
        };
        tracing::info!("the private PostgreSQL is running again");
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn nobody_is_trusted() {
        assert!(!HBA.contains("trust") && !HBA.contains("host"));
        assert!(
            HBA.lines().filter(|line| !line.starts_with('#')).all(|line| line.ends_with("scram-sha-256"))
        );
    }

    #[test]
    fn real_data_is_durable_and_its_errors_are_terse() {
        let settings = Tuning::durable(8).settings();
        for line in [
            "fsync = on",
            "full_page_writes = on",
            "synchronous_commit = on",
            "wal_recycle = off",
            "log_min_error_statement = panic",
            "log_error_verbosity = terse",
            "max_connections = 40",
        ] {
            assert!(settings.lines().any(|l| l == line), "{line}");
        }
    }
}
