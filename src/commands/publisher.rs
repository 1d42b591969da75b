//! The publisher that `serve` runs on a private cluster: `ormantrace publish` as a child process, with its
//! own key file, folder and database role.
//!
//! The separation is weaker than that of a publisher under another user or on another machine, because both
//! processes can read each other's files (docs/TRUST.md). The child never outlives the server: it reads a
//! pipe, the server alone holds the other end, and the child stops when the pipe ends. If the child ends
//! while the server runs, the server starts it again.

use crate::base::config::Settings;
use crate::db::lock::{Denied, Lock};
use crate::evidence::tlog::Folder;
use hyper::http::Uri;
use std::ffi::OsString;
use std::io;
use std::net::IpAddr;
use std::path::PathBuf;
use std::process::Stdio;
use std::time::{Duration, Instant};
use tokio::process::{Child, Command};
use tokio::sync::oneshot;
use tokio::task::JoinHandle;

/// How long to wait before the child is started again: at first, and at most.
const BACKOFF: (Duration, Duration) = (Duration::from_millis(500), Duration::from_mins(1));
/// A child that ran for this long resets the backoff.
const STABLE: Duration = Duration::from_mins(1);
/// How long the child may take to finish its round when the server stops.
const STOP_TIMEOUT: Duration = Duration::from_secs(10);

/// The variables that the child inherits: its own settings, and those of the system. The child does not get
/// the operator's token and the server's other settings.
const INHERITED: [&str; 17] = [
    "HOME",
    "LANG",
    "LC_ALL",
    "LD_LIBRARY_PATH",
    "NO_COLOR",
    "PATH",
    "RUST_BACKTRACE",
    "TMPDIR",
    "TZ",
    "XDG_RUNTIME_DIR",
    "ORMANTRACE_POLL_MILLISECONDS",
    "ORMANTRACE_PUBLISH_METRICS_LISTEN",
    "ORMANTRACE_QUICK_START",
    "ORMANTRACE_QUORUM",
    "ORMANTRACE_REGISTER_KEY",
    "ORMANTRACE_WITNESS",
    "ORMANTRACE_WITNESS_CA",
];

/// Whether a server may run a publisher, and the log settings of that publisher.
#[derive(Clone, Debug, Default)]
pub struct PublisherOptions {
    /// Never run one.
    pub off: bool,
    /// Whether the register's name was given.
    pub named: bool,
    /// The arguments of this process that set the format and filter of log lines; the child gets them too.
    pub log_arguments: Vec<OsString>,
}

/// How the child is started.
#[derive(Clone, Debug)]
pub struct PublisherCommand {
    program: PathBuf,
    arguments: Vec<OsString>,
    folder: Folder,
}

impl PublisherCommand {
    /// Returns the command that starts the publisher, or `None` if this server does not publish. A server
    /// publishes on a private cluster, with `--origin` or a public address that other machines can reach, and
    /// without `--no-publish`.
    ///
    /// # Errors
    /// If this program's path or the data directory is unknown.
    pub fn of(
        settings: &Settings,
        options: &PublisherOptions,
        folder: &Folder,
        origin: &str,
    ) -> io::Result<Option<Self>> {
        let public = settings.serve.public_url.as_ref().is_some_and(|url| !is_loopback(url.as_str()));
        let publishes = settings.database.database_url.is_none() && !options.off && (public || options.named);
        if !publishes {
            return Ok(None);
        }
        let data_dir = settings.database.data_dir().map_err(|error| io::Error::other(error.to_string()))?;
        let mut arguments = options.log_arguments.clone();
        arguments.extend(["publish", "--lifeline", "--data-dir"].map(OsString::from));
        arguments.extend([data_dir.into_os_string(), "--register-dir".into()]);
        arguments.extend([folder.root().as_os_str().to_owned(), "--origin".into(), origin.into()]);
        Ok(Some(Self { program: std::env::current_exe()?, arguments, folder: folder.clone() }))
    }

    fn start(&self) -> io::Result<Child> {
        let mut command = Command::new(&self.program);
        command.args(&self.arguments).env_clear();
        for name in INHERITED {
            if let Some(value) = std::env::var_os(name) {
                command.env(name, value);
            }
        }
        // The child has its own process group: otherwise Ctrl-C in a terminal would also stop the child,
        // before the server has recorded its last requests.
        command.stdin(Stdio::piped()).stdout(Stdio::null()).process_group(0).kill_on_drop(true);
        command.spawn()
    }

    /// Returns a description of the publisher that already uses the folder, or `None` if there is none.
    fn other_publisher(&self) -> Option<String> {
        match Lock::take(&self.folder.lock_file()) {
            Err(Denied::Held(holder)) => Some(holder),
            Ok(_) | Err(Denied::Io(_)) => None,
        }
    }
}

/// Whether the host of a URL is this machine only.
pub(super) fn is_loopback(url: &str) -> bool {
    let uri: Option<Uri> = url.parse().ok();
    let host = uri.as_ref().and_then(Uri::host).unwrap_or_default();
    let address: Option<IpAddr> = host.trim_matches(['[', ']']).parse().ok();
    address.is_some_and(|address| address.is_loopback())
        || host.eq_ignore_ascii_case("localhost")
        || host.to_ascii_lowercase().ends_with(".localhost")
}

/// A publisher that runs as a child process of the server, and is started again whenever it ends.
#[derive(Debug)]
pub struct RunningPublisher {
    stop: oneshot::Sender<()>,
    supervisor: JoinHandle<()>,
}

impl RunningPublisher {
    /// Starts it.
    #[must_use]
    pub fn start(command: PublisherCommand) -> Self {
        let (stop, stopped) = oneshot::channel();
        Self { stop, supervisor: tokio::spawn(supervise(command, stopped)) }
    }

    /// Stops the publisher when its current round is complete, and waits until the process has ended.
    pub async fn stop(self) {
        // Sending fails if the supervisor task has ended already; then the child has ended too.
        let _ = self.stop.send(());
        let _ = self.supervisor.await;
    }
}

async fn supervise(command: PublisherCommand, mut stopped: oneshot::Receiver<()>) {
    let mut pause = BACKOFF.0;
    loop {
        if let Some(holder) = command.other_publisher() {
            // This server does not wait for the lock of the folder. If it did, it would take the lock as soon
            // as the other publisher stopped, and the other publisher could not be started again.
            tracing::info!(
                holder,
                "another process publishes the register, so this server does not; with --no-publish it never does"
            );
            return;
        }
        let since = Instant::now();
        match command.start() {
            Ok(mut child) => {
                let lifeline = child.stdin.take();
                tracing::info!(pid = child.id(), "publishing the register in a process of its own");
                let status = tokio::select! {
                    _ = &mut stopped => {
                        drop(lifeline);
                        return end(child).await;
                    }
                    status = child.wait() => status,
                };
                tracing::warn!(status = ?status.ok(), "the publisher has ended; it is started again");
            }
            Err(error) => tracing::warn!(%error, "the publisher cannot be started; trying again"),
        }
        if since.elapsed() > STABLE {
            pause = BACKOFF.0;
        }
        tokio::select! {
            _ = &mut stopped => return,
            () = tokio::time::sleep(pause) => pause = (pause * 2).min(BACKOFF.1),
        }
    }
}

async fn end(mut child: Child) {
    if tokio::time::timeout(STOP_TIMEOUT, child.wait()).await.is_err() {
        tracing::warn!("the publisher did not stop in time");
        let _ = child.kill().await;
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn loopback_is_this_machine_only() {
        for url in ["http://127.0.0.1:8080", "http://localhost", "http://wood.LOCALHOST:1", "http://[::1]:80"]
        {
            assert!(is_loopback(url), "{url}");
        }
        for url in
            ["https://wood.example", "http://192.0.2.7:8080", "http://[2001:db8::1]", "http://localhost.kz"]
        {
            assert!(!is_loopback(url), "{url}");
        }
    }
}
