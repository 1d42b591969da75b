//! The processes under test: two servers and a publisher on one private PostgreSQL.

use crate::proxy::Proxy;
use crate::support;
use chrono::{DateTime, TimeDelta};
use ormantrace::base::clock::Clock;
use ormantrace::db::private::folder::{Folder, PORT};
use ormantrace::db::private::postmaster::{self, PidFileState};
use ormantrace::db::roles::{DATABASE, OWNER, SUPERUSER};
use rustix::process::{Pid, Signal, WaitOptions, kill_process, waitpid};
use serde_json::Value;
use sqlx::postgres::{PgConnectOptions, PgConnection};
use sqlx::{ConnectOptions, Connection};
use std::collections::BTreeMap;
use std::io::{BufRead, BufReader};
use std::path::{Path, PathBuf};
use std::process::{Child, Command, ExitStatus, Stdio};
use std::sync::mpsc::{self, RecvTimeoutError};
use std::sync::{Arc, Mutex, OnceLock};
use std::thread::JoinHandle;
use std::time::{Duration, Instant, SystemTime};
use tokio::runtime::Handle;

/// The operator's token.
pub const TOKEN: &str = "operator-token-of-the-faults-in-Semey";
/// Timeout of each awaited step. It is far longer than any step takes, so that a hang becomes a failure.
pub const PATIENCE: Duration = Duration::from_mins(2);

/// Waits for a condition.
pub fn until(what: &str, mut is_so: impl FnMut() -> bool) {
    let since = Instant::now();
    while !is_so() {
        assert!(since.elapsed() < PATIENCE, "timed out waiting until {what}");
        std::thread::sleep(Duration::from_millis(2));
    }
}

/// Sends a signal to a process by its number.
pub fn kill(pid: i32, signal: Signal) {
    // The process may have ended by itself in the meantime.
    let _ = Pid::from_raw(pid).map(|pid| kill_process(pid, signal));
}

/// The time that a process sees.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum Time {
    Real,
    /// Real time plus this many hours.
    Off(i64),
}

/// The preload library of faketime, as the program `faketime` reports it; `None` if it is not installed. The
/// servers are not started with the program `faketime`: it would be a further process between this one and
/// the server to be killed.
pub fn faketime() -> Option<&'static str> {
    static LIBRARY: OnceLock<Option<String>> = OnceLock::new();
    let find = || {
        let said =
            Command::new("faketime").args(["-m", "-f", "+1h", "printenv", "LD_PRELOAD"]).output().ok()?;
        let library = String::from_utf8(said.stdout).ok()?.trim().to_owned();
        (said.status.success() && !library.is_empty()).then_some(library)
    };
    LIBRARY.get_or_init(find).as_deref()
}

impl Time {
    /// Sets the clock that the process will see. Timers use the unchanged monotonic clock, and files have the
    /// real time.
    fn set(self, command: &mut Command) {
        if let Self::Off(hours) = self {
            command.env("LD_PRELOAD", faketime().expect("checked before"));
            command.env("FAKETIME", format!("{hours:+}h"));
            for name in [
                "FAKETIME_DONT_FAKE_MONOTONIC",
                "DONT_FAKE_MONOTONIC",
                "NO_FAKE_STAT",
                "FAKETIME_DISABLE_SHM",
            ] {
                command.env(name, "1");
            }
        }
    }

    /// Checks that the timestamp of a new log line differs from the real time by the expected offset.
    fn check(self, event: &Value) {
        let said = event["timestamp"].as_str().and_then(|text| DateTime::parse_from_rfc3339(text).ok());
        let off = said.expect("a time").to_utc() - Clock::system().now();
        let hours = if let Self::Off(hours) = self { hours } else { 0 };
        assert!((off - TimeDelta::hours(hours)).abs() < TimeDelta::minutes(10), "{self:?}, and {off} off");
    }
}

/// A process of the program, and its log lines.
pub struct Process {
    child: Child,
    lines: Arc<Mutex<Vec<String>>>,
    reader: Option<JoinHandle<()>>,
}

impl Process {
    /// Starts the process; each of its log lines is sent to the receiver as JSON.
    fn spawn(mut command: Command) -> (Self, mpsc::Receiver<Value>) {
        command.stdin(Stdio::null()).stdout(Stdio::null()).stderr(Stdio::piped());
        let mut child = command.spawn().expect("starts");
        let errors = BufReader::new(child.stderr.take().expect("piped"));
        let lines = Arc::new(Mutex::new(Vec::new()));
        let (kept, (say, said)) = (Arc::clone(&lines), mpsc::channel());
        let reader = std::thread::spawn(move || {
            for line in errors.lines().map_while(Result::ok) {
                // Sending fails after the process has started, because the receiver is dropped then.
                let _ = say.send(serde_json::from_str(&line).unwrap_or_default());
                kept.lock().expect("no panic").push(line);
            }
        });
        (Self { child, lines, reader: Some(reader) }, said)
    }

    /// Starts the process, waits for the log line with this message, and returns that line.
    fn start(command: Command, message: &str) -> (Self, Value) {
        let (process, said) = Self::spawn(command);
        let since = Instant::now();
        loop {
            match said.recv_timeout(PATIENCE.saturating_sub(since.elapsed())) {
                Ok(event) if event["message"] == message => return (process, event),
                Ok(_) => {}
                Err(RecvTimeoutError::Timeout | RecvTimeoutError::Disconnected) => {
                    panic!("never logs {message:?}: {:#?}", process.said())
                }
            }
        }
    }

    fn pid(&self) -> Pid {
        Pid::from_child(&self.child)
    }

    /// SIGSTOP: when this returns, all threads of the process are stopped.
    pub fn freeze(&self) {
        kill_process(self.pid(), Signal::STOP).expect("it runs");
        let how = waitpid(Some(self.pid()), WaitOptions::UNTRACED).expect("waited for");
        assert!(how.is_some_and(|(_, status)| status.stopped()), "it ended: {:#?}", self.said());
    }

    /// Continues a frozen process.
    pub fn thaw(&self) {
        kill_process(self.pid(), Signal::CONT).expect("it is frozen");
    }

    /// Waits until the process ends by itself; returns its exit status and its log lines.
    fn ended(mut self) -> (ExitStatus, String) {
        let mut status = None;
        until("it ends", || {
            status = self.child.try_wait().expect("waited for");
            status.is_some()
        });
        self.reader.take().expect("not joined").join().expect("no panic");
        (status.expect("ended"), self.lines.lock().expect("no panic").join("\n"))
    }

    /// Its last 40 log lines.
    pub fn said(&self) -> Vec<String> {
        let lines = self.lines.lock().expect("no panic");
        lines[lines.len().saturating_sub(40)..].to_vec()
    }

    /// kill -9.
    pub fn kill(&mut self) {
        let _ = self.child.kill();
        let _ = self.child.wait();
    }

    /// Sends SIGTERM and returns the exit status.
    pub fn stop(&mut self) -> ExitStatus {
        kill(i32::try_from(self.child.id()).expect("a number"), Signal::TERM);
        let mut status = None;
        until("it ends at SIGTERM", || {
            status = self.child.try_wait().expect("waited for");
            status.is_some()
        });
        status.expect("ended")
    }
}

impl Drop for Process {
    fn drop(&mut self) {
        self.kill();
    }
}

/// The program, without any setting from the environment of the tests.
fn program() -> Command {
    let mut command = Command::new(env!("CARGO_BIN_EXE_ormantrace"));
    for (name, _) in std::env::vars_os() {
        if name.to_str().is_some_and(|name| name.starts_with("ORMANTRACE_") || name == "DATABASE_URL") {
            command.env_remove(name);
        }
    }
    command.args(["--log-format", "json"]);
    command
}

/// A folder for one private PostgreSQL; on a tmpfs of limited size if this user may mount one.
pub struct Ground {
    folder: Option<tempfile::TempDir>,
    mounted: bool,
}

impl Ground {
    /// Creates a folder. If `bytes` is given, mounts a file system of that size there; `None` if it cannot be
    /// mounted.
    pub fn new(bytes: Option<u64>) -> Option<Self> {
        let folder = tempfile::tempdir_in(support::pg::scratch()).expect("a folder");
        let Some(bytes) = bytes else { return Some(Self { folder: Some(folder), mounted: false }) };
        let mounted = Command::new("mount")
            .args(["-t", "tmpfs", "-o", &format!("size={bytes},mode=755"), "ormantrace-faults"])
            .arg(folder.path())
            .stderr(Stdio::null())
            .status()
            .is_ok_and(|status| status.success());
        mounted.then_some(Self { folder: Some(folder), mounted })
    }

    pub fn path(&self) -> &Path {
        self.folder.as_ref().expect("until dropped").path()
    }
}

impl Drop for Ground {
    fn drop(&mut self) {
        if self.mounted {
            let _ = Command::new("umount").arg("-l").arg(self.path()).status();
        }
    }
}

/// All processes of a trial.
pub struct Servers {
    pub first: Option<Process>,
    pub second: Option<Process>,
    pub publisher: Option<Process>,
    pub proxy: Proxy,
    data: PathBuf,
    runtime: Handle,
}

impl Servers {
    /// Starts both servers and the publisher in the folder `ground`; returns the servers' ports.
    pub fn begin(ground: &Ground, runtime: &Handle) -> (Self, [u16; 2]) {
        let data = ground.path().join("data");
        let (first, port) = Self::serve_first(&data);
        let socket = Folder::open(&data).and_then(|folder| folder.socket_dir()).expect("a socket");
        let proxy = Proxy::start(runtime, socket.join(format!(".s.PGSQL.{PORT}")));
        let mut servers =
            Self { first: Some(first), second: None, publisher: None, proxy, data, runtime: runtime.clone() };
        let second = servers.start_second(Time::Real);
        servers.start_publisher(Time::Real);
        (servers, [port, second])
    }

    fn serve_first(data: &Path) -> (Process, u16) {
        let mut command = program();
        command.args([
            "serve",
            "--allow-demonstration-codes",
            "--listen",
            "127.0.0.1:0",
            "--operator-token",
            TOKEN,
            "--origin",
            "orman.test/register",
            // The harness runs and kills the publisher itself.
            "--no-publish",
        ]);
        command.arg("--data-dir").arg(data);
        let (process, event) = Process::start(command, "serving");
        (process, port(&event))
    }

    /// Starts the server that owns the private PostgreSQL; returns its port.
    pub fn start_first(&mut self) -> u16 {
        let (process, port) = Self::serve_first(&self.data);
        self.first = Some(process);
        port
    }

    /// The database URL of the second server and of the publisher. It leads through the proxy.
    fn url(&self) -> String {
        let password =
            Folder::open(&self.data).and_then(|folder| folder.password(OWNER, false)).expect("a password");
        format!("postgres://{OWNER}:{password}@{}/{DATABASE}?sslmode=disable", self.proxy.address)
    }

    /// Starts the server that uses the PostgreSQL of the first; returns its port.
    pub fn start_second(&mut self, time: Time) -> u16 {
        let mut command = program();
        time.set(&mut command);
        command.args(["serve", "--listen", "127.0.0.1:0", "--origin", "orman.test/register"]);
        command.arg("--allow-demonstration-codes");
        command.arg("--marking-key").arg(self.data.join("keys/marking.key"));
        command.arg("--receipt-key").arg(self.data.join("keys/receipt.key"));
        command.arg("--data-dir").arg(self.data.with_file_name("second"));
        command.args(["--database-url", &self.url()]);
        let (process, event) = Process::start(command, "serving");
        time.check(&event);
        self.second = Some(process);
        port(&event)
    }

    fn publish(&self) -> Command {
        let mut command = program();
        command.args(["publish", "--origin", "orman.test/register", "--poll-milliseconds", "50"]);
        command.arg("--register-dir").arg(self.register());
        command.arg("--data-dir").arg(&self.data).args(["--database-url", &self.url()]);
        command
    }

    /// The publisher.
    pub fn start_publisher(&mut self, time: Time) {
        let mut command = self.publish();
        time.set(&mut command);
        let (process, event) = Process::start(command, "the register is open");
        time.check(&event);
        self.publisher = Some(process);
    }

    /// Starts another publisher on the register's folder. It must refuse to run and change nothing; returns
    /// the errors.
    pub fn publish_beside(&self) -> Vec<String> {
        let publisher = self.publisher.as_ref().expect("runs");
        // The first publisher is frozen meanwhile, so that only the second one could change the folder.
        publisher.freeze();
        let before = everything_in(&self.register());
        let (status, said) = Process::spawn(self.publish()).0.ended();
        let after = everything_in(&self.register());
        publisher.thaw();
        let mut wrong = Vec::new();
        if status.code() != Some(1) || !said.contains("is published by another process") {
            wrong.push(format!("a second publisher ended with {status}: {said}"));
        }
        for path in before.keys().chain(after.keys()) {
            if before.get(path) != after.get(path) {
                wrong.push(format!("a second publisher changed {}", path.display()));
            }
        }
        wrong
    }

    /// The folder in which the register is published.
    pub fn register(&self) -> PathBuf {
        self.data.join("register")
    }

    pub fn key(&self, name: &str) -> PathBuf {
        self.data.join("keys").join(name)
    }

    /// Process number of the PostgreSQL server.
    pub fn postmaster(&self) -> Option<i32> {
        let folder = Folder::open(&self.data).expect("there");
        match postmaster::check_pid_file(&folder.cluster()) {
            Ok(PidFileState::Live(one)) if one.ready => Some(one.pid),
            _ => None,
        }
    }

    /// A superuser connection that bypasses the proxy, once PostgreSQL accepts connections.
    pub fn superuser(&self) -> PgConnection {
        superuser_of(&self.data, &self.runtime)
    }

    /// PostgreSQL's version.
    pub fn version_of_postgres(&self) -> String {
        let mut db = self.superuser();
        self.runtime
            .block_on(sqlx::query_scalar("SHOW server_version").fetch_one(&mut db))
            .expect("a version")
    }

    /// Process numbers of the servers' backends.
    pub fn backends(&self) -> Vec<i32> {
        let mut db = self.superuser();
        self.runtime.block_on(async {
            let pids = sqlx::query_scalar(
                "SELECT pid FROM pg_stat_activity WHERE application_name IN ('ormantrace', 'ormantrace-sequencer') ORDER BY pid",
            );
            let pids = pids.fetch_all(&mut db).await.unwrap_or_default();
            let _ = db.close().await;
            pids
        })
    }

    /// The result of `fsck`, if this program has that command.
    pub fn fsck(&self) -> Option<Result<(), String>> {
        let help = program().arg("--help").output().expect("runs");
        if !String::from_utf8_lossy(&help.stdout).lines().any(|line| line.trim_start().starts_with("fsck")) {
            return None;
        }
        let mut command = program();
        command.arg("fsck").arg("--data-dir").arg(&self.data);
        let done = command.stdin(Stdio::null()).output().expect("runs");
        let said =
            || format!("{}{}", String::from_utf8_lossy(&done.stdout), String::from_utf8_lossy(&done.stderr));
        Some(if done.status.success() { Ok(()) } else { Err(said()) })
    }

    /// Stops all processes with SIGTERM. Returns those that did not exit with 0.
    pub fn end(mut self) -> Vec<String> {
        let mut wrong = Vec::new();
        for (name, process) in
            [("publisher", &mut self.publisher), ("second", &mut self.second), ("first", &mut self.first)]
        {
            if let Some(mut process) = process.take() {
                let status = process.stop();
                if status.code() != Some(0) {
                    wrong.push(format!("{name} ended with {status}: {:#?}", process.said()));
                }
            }
        }
        if self.postmaster().is_some() {
            wrong.push("PostgreSQL still runs".to_owned());
        }
        wrong
    }
}

impl Drop for Servers {
    fn drop(&mut self) {
        for process in [&mut self.publisher, &mut self.second, &mut self.first] {
            drop(process.take());
        }
        // The watcher process of the private cluster stops PostgreSQL when the first server has ended. If it
        // does not, PostgreSQL is stopped here, because no process may outlive the test.
        let since = Instant::now();
        while let Some(pid) = self.postmaster() {
            if since.elapsed() > Duration::from_secs(5) {
                kill(pid, Signal::QUIT);
            }
            if since.elapsed() > Duration::from_secs(10) {
                break;
            }
            std::thread::sleep(Duration::from_millis(20));
        }
    }
}

/// A superuser connection to the private cluster of a data folder, once PostgreSQL accepts connections.
pub fn superuser_of(data: &Path, runtime: &Handle) -> PgConnection {
    let folder = Folder::open(data).expect("there");
    let options = PgConnectOptions::new()
        .socket(folder.socket_dir().expect("a folder"))
        .port(PORT)
        .username(SUPERUSER)
        .password(&folder.password(SUPERUSER, false).expect("a password"))
        .database(DATABASE)
        .disable_statement_logging();
    let mut connection = None;
    until("the database is up", || {
        connection = runtime.block_on(options.connect()).ok();
        connection.is_some()
    });
    connection.expect("connected")
}

/// The contents of a folder: for each entry the time of its last change, and the bytes if it is a file.
fn everything_in(folder: &Path) -> BTreeMap<PathBuf, (SystemTime, Vec<u8>)> {
    let (mut all, mut folders) = (BTreeMap::new(), vec![folder.to_owned()]);
    while let Some(folder) = folders.pop() {
        for entry in std::fs::read_dir(&folder).expect("a folder") {
            let path = entry.expect("an entry").path();
            let about = path.metadata().expect("it stays");
            let bytes = if about.is_dir() { Vec::new() } else { std::fs::read(&path).expect("read") };
            if about.is_dir() {
                folders.push(path.clone());
            }
            all.insert(path, (about.modified().expect("a time"), bytes));
        }
    }
    all
}

fn port(event: &Value) -> u16 {
    let address: std::net::SocketAddr =
        event["address"].as_str().and_then(|text| text.parse().ok()).expect("an address");
    address.port()
}
