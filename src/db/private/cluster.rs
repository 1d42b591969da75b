//! The private PostgreSQL: made on first use, started and stopped with this process.
//!
//! Promises: the cluster exists whole or not at all (`initdb` works beside it, then a rename);
//! nothing listens on a network; nobody gets in without a password; when this process ends,
//! however it ends, the server ends too; and whatever an end with everything killed has left
//! behind, the next start clears up by itself.

use std::fs::{self, File};
use std::io;
use std::path::{Path, PathBuf};
use std::process::{ExitStatus, Stdio};
use std::time::{Duration, Instant};

use rustix::process::Signal;
use sqlx::postgres::PgConnectOptions;
use tokio::io::AsyncWriteExt;
use tokio::process::{Child, ChildStdin, Command};
use tokio::sync::oneshot;
use tokio::task::JoinHandle;

use super::folder::{Folder, PORT, sync_dir};
use super::postmaster::{self, Found};
use crate::base::config::shown;
use crate::db::errors::OpenError;
use crate::db::lock::Lock;
use crate::db::programs::Programs;
use crate::db::roles::{OWNER, PUBLISHER, SERVICE, SUPERUSER};

/// How long leftovers of a hard end may take to go away.
const PATIENCE: Duration = Duration::from_secs(10);
/// How long a shutdown may take before it is made an immediate one (which the next start repairs).
const SHUTDOWN: Duration = Duration::from_secs(15);
/// How often a starting server is looked at.
const LOOK: Duration = Duration::from_millis(3);

/// What the watcher does. The shell that becomes the server first leaves a child of its own
/// behind, doubly forked so that the server does not take it for one of its workers. That one
/// reads from a pipe whose other end only we hold. End of file means that we are gone, whoever
/// killed us; then it asks the server for a fast shutdown. A line means: the server has ended, the
/// number is nobody's, do nothing. (`$$` stays the number of the first shell, which is the server.)
const WATCHED: &str = r#"
exec 3<&0 </dev/null
( (trap '' HUP INT QUIT TERM; read -r _ <&3 || kill -INT $$) >/dev/null 2>&1 & )
exec 3<&-
exec "$@"
"#;

/// How much the data is worth, and how many come at once.
#[derive(Clone, Copy, Debug)]
pub struct Tuning {
    /// Connections that the server admits.
    pub max_connections: u32,
    /// False only in tests: survives no power cut, and is quicker for it.
    pub durable: bool,
}

impl Tuning {
    /// For real data, and a pool of so many connections; the rest is for readers of their own,
    /// other commands and an administrator.
    #[must_use]
    pub fn durable(pool: u32) -> Self {
        Self { max_connections: pool.saturating_add(32), durable: true }
    }

    fn settings(self) -> String {
        let Self { max_connections, durable } = self;
        let mut text = format!(
            "# Written by Ormantrace at every start; your own settings belong into postgresql.conf.\n\
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
             # A recycled file would keep what was erased.\n\
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

/// What an administrator finds in the cluster as `postgresql.conf`.
const CONF: &str = "# Ormantrace's own settings come first; what you set below them counts.\n\
                    include 'ormantrace.conf'\n";

/// Who gets in: everybody with a password, through the socket, which only one user can reach.
const HBA: &str = "# type  database     user  method\n\
                   local   all          all   scram-sha-256\n\
                   local   replication  all   scram-sha-256\n";

/// A running private PostgreSQL. Dropping it stops the server too, but waits for nothing.
#[derive(Debug)]
pub struct Cluster {
    socket_dir: PathBuf,
    stop: Option<oneshot::Sender<()>>,
    keeper: JoinHandle<()>,
}

impl Cluster {
    /// Makes the cluster if there is none, clears up after a hard end, starts the server and
    /// waits until it takes connections. `lock` is held until the server has ended.
    ///
    /// # Errors
    /// A sentence of [`OpenError`].
    pub async fn start(folder: &Folder, lock: Lock, tuning: Tuning) -> Result<Self, OpenError> {
        let wanted = match fs::read_to_string(folder.cluster().join("PG_VERSION")) {
            Ok(text) => Some(text.trim().parse().map_err(|_| {
                OpenError::Folder(format!(
                    "{} is no cluster of a PostgreSQL that will do.",
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
        let programs = Programs::find(wanted)?;
        // Made before anybody can connect, by the one who holds the lock: whoever joins finds them.
        for role in [OWNER, SERVICE, PUBLISHER] {
            folder.password(role, true)?;
        }
        if wanted.is_none() {
            make(folder, &programs, tuning).await?;
        }
        let socket_dir = folder.socket_dir()?;
        let server = Server { folder: folder.clone(), programs, socket_dir: socket_dir.clone(), tuning };
        let running = server.start().await?;
        let (stop, stopped) = oneshot::channel();
        let keeper = tokio::spawn(keep(server, running, stopped, lock));
        Ok(Self { socket_dir, stop: Some(stop), keeper })
    }

    /// How to reach the server, without a user or a database.
    #[must_use]
    pub fn connection(&self) -> PgConnectOptions {
        connection(&self.socket_dir, PORT)
    }

    /// Stops the server and waits until it has ended.
    pub async fn stop(mut self) {
        if let Some(stop) = self.stop.take() {
            // An error means that the keeper has ended already, and with it the server.
            let _ = stop.send(());
        }
        let _ = self.keeper.await;
    }
}

/// How to reach a server through its socket. Nothing of the environment (`PGPASSWORD`, …) counts.
pub(in crate::db) fn connection(socket_dir: &Path, port: u16) -> PgConnectOptions {
    PgConnectOptions::new_without_pgpass()
        .socket(socket_dir)
        .port(port)
        .ssl_mode(sqlx::postgres::PgSslMode::Disable)
}

/// Runs `initdb` beside the place of the cluster, then renames.
async fn make(folder: &Folder, programs: &Programs, tuning: Tuning) -> Result<(), OpenError> {
    let (new, password_file) = (folder.unfinished(), folder.root().join("postgres-password"));
    let failed = |error: io::Error| OpenError::Initdb(format!("{}: {error}", shown(&new)));
    let verifier = folder.verifier(SUPERUSER)?;
    folder.write_for_postgres(&password_file, verifier.as_str()).map_err(failed)?;
    let mut said = String::new();
    let mut made = false;
    for locale in locales(programs.major) {
        remove(&new).map_err(failed)?;
        // Made here, because the data directory may be root's, where initdb could make nothing.
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
        String::from_utf8_lossy(&output.stderr).trim().clone_into(&mut said);
    }
    fs::remove_file(&password_file).map_err(failed)?;
    if !made {
        remove(&new).map_err(failed)?;
        return Err(OpenError::Initdb(said));
    }
    folder.write_for_postgres(&new.join("postgresql.conf"), CONF).map_err(failed)?;
    folder.write_for_postgres(&new.join("pg_hba.conf"), HBA).map_err(failed)?;
    sync_dir(&new).map_err(failed)?;
    fs::rename(&new, folder.cluster()).map_err(failed)?;
    sync_dir(folder.root()).map_err(failed)
}

/// UTF-8 text sorted by code point on every system. From 17 PostgreSQL brings that along;
/// before, the C library may, and if it does not, plain C only leaves case in Cyrillic alone.
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

/// All it takes to start the server, and to start it again.
struct Server {
    folder: Folder,
    programs: Programs,
    socket_dir: PathBuf,
    tuning: Tuning,
}

/// A server that we started: our child, and the pipe whose end its watcher waits for.
struct Running {
    child: Child,
    watcher: ChildStdin,
}

impl Server {
    /// Starts the server, again and again for a while where something of an earlier one is in
    /// its way, and waits until it is ready.
    async fn start(&self) -> Result<Running, OpenError> {
        let since = Instant::now();
        loop {
            self.clear_up().await?;
            match self.try_start().await? {
                Ok(running) => return Ok(running),
                Err(said) => {
                    // Two ways of PostgreSQL to say that an earlier server's processes still live.
                    let in_the_way = said.contains("postmaster.pid") || said.contains("shared memory");
                    if !in_the_way || since.elapsed() > PATIENCE {
                        return Err(OpenError::Start(said));
                    }
                    tokio::time::sleep(Duration::from_millis(100)).await;
                }
            }
        }
    }

    /// We hold the lock, so whatever runs on the cluster has lost its master.
    async fn clear_up(&self) -> Result<(), OpenError> {
        let cluster = self.folder.cluster();
        let unreadable =
            |error: io::Error| OpenError::Folder(format!("{} cannot be read: {error}.", shown(&cluster)));
        match postmaster::look(&cluster).map_err(unreadable)? {
            Found::Nothing | Found::Dead => Ok(()),
            Found::Deceptive => fs::remove_file(postmaster::pid_file(&cluster)).map_err(unreadable),
            Found::Live(orphan) => {
                tracing::warn!(pid = orphan.pid, "a private PostgreSQL has lost its master; it is stopped");
                postmaster::stop_orphan(&cluster, PATIENCE).await.map_err(OpenError::Start)
            }
        }
    }

    /// One try; within, `Err` is what the server said before it ended.
    async fn try_start(&self) -> Result<Result<Running, String>, OpenError> {
        let cluster = self.folder.cluster();
        let failed = |error: io::Error| OpenError::Start(error.to_string());
        self.folder
            .write_for_postgres(&cluster.join("ormantrace.conf"), &self.tuning.settings())
            .map_err(failed)?;
        let said = self.folder.start_messages();
        let messages = File::create(&said).map_err(failed)?;
        let mut shell = self.folder.command(Path::new("/bin/sh"));
        shell.args(["-c", WATCHED, "sh"]).arg(self.programs.path("postgres")).arg("-D").arg(&cluster);
        // On the command line, where no file can change them.
        let set = |name: &str, value: &str| ["-c".to_owned(), format!("{name}={value}")];
        shell.args(set("listen_addresses", "")).args(set("port", &PORT.to_string()));
        shell.args(set("unix_socket_permissions", "0700"));
        shell.args(set("unix_socket_directories", &list_item(&self.socket_dir)));
        shell.stdout(messages.try_clone().map_err(failed)?).stderr(messages).stdin(Stdio::piped());
        let mut command = Command::from(shell);
        // Else a Ctrl-C in the terminal would stop the server while we still drain.
        command.process_group(0);
        let mut child = command.spawn().map_err(failed)?;
        let watcher =
            child.stdin.take().ok_or_else(|| OpenError::Start("no pipe to its watcher".to_owned()))?;
        let mut running = Running { child, watcher };
        let pid = running.child.id().and_then(|id| i32::try_from(id).ok());
        let (since, mut told) = (Instant::now(), 0);
        loop {
            if running.child.try_wait().map_err(failed)?.is_some() {
                running.dismiss().await;
                return Ok(Err(self.last_words()));
            }
            if let Ok(Found::Live(one)) = postmaster::look(&cluster)
                && one.ready
                && Some(one.pid) == pid
            {
                return Ok(Ok(running));
            }
            // After a hard end it first replays what was written: that is work, not a fault.
            if since.elapsed().as_secs() / 5 > told {
                told += 1;
                tracing::info!("the private PostgreSQL is recovering; waiting for it");
            }
            tokio::time::sleep(LOOK).await;
        }
    }

    /// The end of what the server said, of the records it keeps itself too.
    fn last_words(&self) -> String {
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

/// A folder as an item of a list in PostgreSQL's settings.
fn list_item(dir: &Path) -> String {
    format!("\"{}\"", dir.display().to_string().replace('"', "\"\""))
}

impl Running {
    /// Tells the watcher that its work is done, before the server's number can be another's.
    async fn dismiss(&mut self) {
        // A watcher that somebody killed cannot be told; no matter.
        let _ = self.watcher.write_all(b"done\n").await;
    }

    async fn stop(mut self) {
        for signal in [Signal::INT, Signal::QUIT] {
            // Not yet waited for, so the number is still our child's.
            if let Some(pid) = self.child.id().and_then(|id| i32::try_from(id).ok())
                && let Err(error) = postmaster::send(pid, signal)
            {
                tracing::error!(%error, "the private PostgreSQL cannot be told to stop");
            }
            if let Ok(ended) = tokio::time::timeout(SHUTDOWN, self.child.wait()).await {
                report(&ended);
                break;
            }
            tracing::warn!("the private PostgreSQL takes long to stop");
        }
        self.dismiss().await;
    }
}

fn report(ended: &io::Result<ExitStatus>) {
    match ended {
        Ok(status) if status.success() => tracing::debug!("the private PostgreSQL has stopped"),
        Ok(status) => tracing::warn!(%status, "the private PostgreSQL has stopped, not cleanly"),
        Err(error) => tracing::error!(%error, "the private PostgreSQL cannot be waited for"),
    }
}

/// Keeps the server running until told to stop, or until the [`Cluster`] is dropped: a server
/// that somebody killed is started again.
async fn keep(server: Server, running: Running, stopped: oneshot::Receiver<()>, lock: Lock) {
    keep_running(&server, running, stopped).await;
    server.folder.remove_socket_dir(&server.socket_dir);
    drop(lock);
}

async fn keep_running(server: &Server, mut running: Running, mut stopped: oneshot::Receiver<()>) {
    loop {
        let ended = tokio::select! {
            _ = &mut stopped => return running.stop().await,
            ended = running.child.wait() => ended,
        };
        running.dismiss().await;
        tracing::error!(status = ?ended.ok(), "the private PostgreSQL has ended by itself; starting it again");
        let mut pause = Duration::from_millis(100);
        running = loop {
            let again = tokio::select! {
                _ = &mut stopped => return,
                again = server.start() => again,
            };
            match again {
                Ok(running) => break running,
                Err(error) => tracing::error!(%error, "the private PostgreSQL does not start"),
            }
            tokio::select! {
                _ = &mut stopped => return,
                () = tokio::time::sleep(pause) => pause = (pause * 2).min(Duration::from_secs(5)),
            }
        };
        tracing::info!("the private PostgreSQL runs again");
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
