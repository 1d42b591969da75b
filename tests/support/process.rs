//! The built program as a separate process, and requests to it byte by byte.

use rustix::process::{Pid, Signal, kill_process};
use serde_json::Value;
use std::io::{BufRead, BufReader, Read, Write};
use std::net::{SocketAddr, TcpStream};
use std::path::Path;
use std::process::{Child, Command, ExitStatus, Output, Stdio};
use std::sync::mpsc;
use std::time::{Duration, Instant};

/// The operator's first token.
pub const TOKEN: &str = "operator-token-of-the-tests-in-Semey";
/// A timeout long enough for the slowest machine; no test waits for it to expire.
pub const PATIENCE: Duration = Duration::from_mins(1);

/// The program, without any setting from the environment of the tests.
pub fn program() -> Command {
    let mut command = Command::new(env!("CARGO_BIN_EXE_ormantrace"));
    for (name, _) in std::env::vars_os() {
        let ours =
            name.to_str().is_some_and(|name| name.starts_with("ORMANTRACE_") || name == "DATABASE_URL");
        if ours {
            command.env_remove(name);
        }
    }
    // The codes of these servers lead to this machine.
    command.env("ORMANTRACE_ALLOW_DEMONSTRATION_CODES", "true");
    command
}

pub fn data() -> tempfile::TempDir {
    tempfile::tempdir_in(super::pg::scratch()).expect("a folder")
}

pub fn run(arguments: &[&str]) -> Output {
    program().args(arguments).stdin(Stdio::null()).output().expect("runs")
}

pub fn text(bytes: &[u8]) -> String {
    String::from_utf8_lossy(bytes).into_owned()
}

/// A running server, and the address it listens on.
pub struct Running {
    pub child: Child,
    pub address: SocketAddr,
    lines: mpsc::Receiver<String>,
    pub told: Vec<String>,
}

impl Running {
    /// Starts `ormantrace serve` and waits until it serves.
    pub fn start(data: &Path, more: &[&str]) -> Self {
        Self::start_as("serve", data, more)
    }

    /// Starts `ormantrace demo` or another command that serves, and waits until it serves.
    pub fn start_as(name: &str, data: &Path, more: &[&str]) -> Self {
        Self::start_by(program(), name, data, more)
    }

    /// As [`Self::start_as`], but with another program, which must run `ormantrace` with the arguments that
    /// it gets.
    #[expect(
        clippy::zombie_processes,
        reason = "a start that fails ends the test, and the process ends it then"
    )]
    pub fn start_by(mut command: Command, name: &str, data: &Path, more: &[&str]) -> Self {
        command.args(["--log-format", "json", name, "--listen", "127.0.0.1:0", "--data-dir"]).arg(data);
        command.args(more).stdin(Stdio::null()).stdout(Stdio::null()).stderr(Stdio::piped());
        let mut child = command.spawn().expect("starts");
        let (send, lines) = mpsc::channel();
        let errors = BufReader::new(child.stderr.take().expect("piped"));
        std::thread::spawn(move || {
            for line in errors.lines().map_while(Result::ok) {
                if send.send(line).is_err() {
                    break;
                }
            }
        });
        let mut told = Vec::new();
        loop {
            let line = lines.recv_timeout(PATIENCE).unwrap_or_else(|_| panic!("never served: {told:#?}"));
            let event: Value = serde_json::from_str(&line).unwrap_or_default();
            told.push(line);
            if event["message"] == "serving" {
                let address = event["address"].as_str().and_then(|text| text.parse().ok());
                return Self { child, address: address.expect("an address"), lines, told };
            }
        }
    }

    /// Status and body of a GET.
    pub fn get(&self, path: &str, token: Option<&str>) -> (u16, String) {
        get(self.address, path, token)
    }

    pub fn signal(&self, signal: Signal) {
        let pid = i32::try_from(self.child.id()).ok().and_then(Pid::from_raw).expect("a number");
        kill_process(pid, signal).expect("signalled");
    }

    /// Waits until the server ends; returns its exit status and everything that it logged.
    pub fn end(mut self) -> (ExitStatus, String) {
        let status = wait(&mut self.child);
        self.told.extend(self.lines.iter());
        (status, self.told.join("\n"))
    }
}

impl Drop for Running {
    fn drop(&mut self) {
        // A failed test must leave no process running. When the server is killed, its PostgreSQL ends too.
        let _ = self.child.kill();
        let _ = self.child.wait();
    }
}

pub fn wait(child: &mut Child) -> ExitStatus {
    let since = Instant::now();
    loop {
        if let Some(status) = child.try_wait().expect("waited for") {
            return status;
        }
        assert!(since.elapsed() < PATIENCE, "does not end");
        std::thread::sleep(Duration::from_millis(5));
    }
}

pub fn get(address: SocketAddr, path: &str, token: Option<&str>) -> (u16, String) {
    ask(address, &format!("GET {path} HTTP/1.1"), token, None)
}

/// Sends a POST, with an `Idempotency-Key` if one is given; returns the status and the body of the response.
pub fn post(address: SocketAddr, path: &str, token: &str, key: Option<&str>, body: &Value) -> (u16, String) {
    ask(address, &format!("POST {path} HTTP/1.1"), Some(token), Some((key, body)))
}

fn ask(
    address: SocketAddr,
    line: &str,
    token: Option<&str>,
    posted: Option<(Option<&str>, &Value)>,
) -> (u16, String) {
    let mut stream = TcpStream::connect(address).expect("connects");
    let token = token.map(|token| format!("authorization: Bearer {token}\r\n")).unwrap_or_default();
    let mut request = format!("{line}\r\nhost: orman.test\r\n{token}connection: close\r\n");
    if let Some((key, body)) = posted {
        let body = body.to_string();
        let key = key.map(|key| format!("idempotency-key: {key}\r\n")).unwrap_or_default();
        request +=
            &format!("{key}content-type: application/json\r\ncontent-length: {}\r\n\r\n{body}", body.len());
    } else {
        request += "\r\n";
    }
    stream.write_all(request.as_bytes()).expect("sent");
    let mut answer = String::new();
    stream.read_to_string(&mut answer).expect("text");
    let status = answer.split(' ').nth(1).and_then(|status| status.parse().ok()).expect("a status");
    (status, answer.split_once("\r\n\r\n").map(|(_, body)| body.to_owned()).unwrap_or_default())
}
