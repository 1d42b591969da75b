//! The measured server: the program of this crate, as it is installed.

use super::blocking::call;
use super::world::OPERATOR_TOKEN;
use std::error::Error;
use std::fs::File;
use std::net::{SocketAddr, TcpListener};
use std::path::Path;
use std::process::{Child, Command, Stdio};
use std::time::{Duration, Instant};

type Failure = Box<dyn Error + Send + Sync>;

/// Prints the server's last warnings and errors, before its log is deleted with the database.
pub fn complaints(data: &Path) {
    let said = std::fs::read_to_string(data.join("server.txt")).unwrap_or_default();
    let complaints: Vec<_> = said.lines().filter(|line| !line.contains(" INFO ")).collect();
    for line in &complaints[complaints.len().saturating_sub(5)..] {
        eprintln!("server: {line}");
    }
}

/// A running server, stopped when dropped.
pub struct Server {
    child: Child,
    /// Where it listens.
    pub address: SocketAddr,
}

impl Server {
    /// Starts the server on a given database and waits until it is ready.
    ///
    /// # Errors
    /// The server exits, or is not ready within a minute.
    pub fn start(database_url: &str, data: &Path, arguments: &[&str]) -> Result<Self, Failure> {
        // A free port, released for the server.
        let address = TcpListener::bind("127.0.0.1:0")?.local_addr()?;
        let said = File::create(data.join("server.txt"))?;
        let child = Command::new(env!("CARGO_BIN_EXE_ormantrace"))
            .args(["serve", "--listen", &address.to_string()])
            .args(arguments)
            .env("DATABASE_URL", database_url)
            .env("ORMANTRACE_DATA_DIR", data)
            .env("ORMANTRACE_OPERATOR_TOKEN", OPERATOR_TOKEN)
            .env("ORMANTRACE_HITS_PER_KEY_AND_DAY", "0")
            .env("ORMANTRACE_ALLOW_DEMONSTRATION_CODES", "true")
            .env("ORMANTRACE_CONNECTIONS_PER_ADDRESS", "1000000")
            .stdin(Stdio::null())
            .stdout(Stdio::null())
            .stderr(said)
            .spawn()?;
        let mut server = Self { child, address };
        let since = Instant::now();
        loop {
            if let Some(status) = server.child.try_wait()? {
                return Err(format!("the server ended: {status}; see {}", data.display()).into());
            }
            if matches!(call(address, "GET", "/readyz", None, None), Ok((200, _))) {
                return Ok(server);
            }
            if since.elapsed() > Duration::from_mins(1) {
                return Err("the server is not ready after a minute".into());
            }
            std::thread::sleep(Duration::from_millis(5));
        }
    }

    /// Its process.
    #[must_use]
    pub fn pid(&self) -> u32 {
        self.child.id()
    }

    fn terminate(&mut self) {
        let pid = i32::try_from(self.child.id()).ok().and_then(rustix::process::Pid::from_raw);
        if let Some(pid) = pid {
            let _ = rustix::process::kill_process(pid, rustix::process::Signal::TERM);
        }
        let _ = self.child.wait();
    }
}

impl Drop for Server {
    fn drop(&mut self) {
        self.terminate();
    }
}
