//! Runs pgbench, PostgreSQL's own load generator, over the server's socket with prepared statements: it
//! measures the speed of the database alone.

use std::error::Error;
use std::path::{Path, PathBuf};
use std::process::Command;

type Failure = Box<dyn Error + Send + Sync>;

/// The planner settings of the server's batch loaders: generic plans, by primary keys.
const PLANS: &str = "-c plan_cache_mode=force_generic_plan -c enable_hashjoin=off -c enable_mergejoin=off \
                     -c enable_seqscan=off -c enable_bitmapscan=off -c jit=off";

/// How pgbench connects to the database.
#[derive(Clone, Debug)]
pub struct Pgbench {
    /// The program.
    pub program: PathBuf,
    /// Directory of the socket.
    pub socket: PathBuf,
    /// Port, which names the socket.
    pub port: u16,
    /// Role.
    pub user: String,
    /// Its password.
    pub password: String,
    /// Database.
    pub database: String,
    /// Folder for its latency files.
    pub scratch: PathBuf,
}

/// The results of a run.
#[derive(Clone, Debug)]
pub struct Run {
    /// Transactions.
    pub done: u64,
    /// Transactions per second, without the time to connect.
    pub rate: f64,
    /// Latencies of a sample of the transactions, in microseconds.
    pub latencies: Vec<u32>,
}

impl Pgbench {
    /// Runs a script for some seconds.
    ///
    /// # Errors
    /// It cannot be run, a statement fails, or its output cannot be parsed.
    pub fn run(
        &self,
        script: &Path,
        connections: usize,
        seconds: u64,
        sample: f64,
        variables: &[(&str, String)],
    ) -> Result<Run, Failure> {
        let threads = connections.min(std::thread::available_parallelism()?.get());
        let prefix = self.scratch.join("latencies");
        let mut command = Command::new(&self.program);
        command.args(["-n", "-M", "prepared", "-l"]);
        command.arg("-c").arg(connections.to_string()).arg("-j").arg(threads.to_string());
        command.arg("-T").arg(seconds.to_string()).arg("-f").arg(script);
        command.arg("--log-prefix").arg(&prefix).arg(format!("--sampling-rate={sample}"));
        for (name, value) in variables {
            command.arg("-D").arg(format!("{name}={value}"));
        }
        command.arg("-h").arg(&self.socket).arg("-p").arg(self.port.to_string());
        command.arg("-U").arg(&self.user).env("PGPASSWORD", &self.password).env("PGOPTIONS", PLANS);
        command.arg(&self.database);
        let output = command.output()?;
        let (said, complained) =
            (String::from_utf8_lossy(&output.stdout), String::from_utf8_lossy(&output.stderr));
        if !output.status.success() {
            return Err(format!("pgbench: {complained}").into());
        }
        let after = |what: &str| -> Result<&str, Failure> {
            let line = said.lines().find_map(|line| line.strip_prefix(what)).ok_or("pgbench said nothing")?;
            Ok(line.split([' ', '/']).find(|word| !word.is_empty()).ok_or("an empty line")?)
        };
        let done = after("number of transactions actually processed:")?.parse()?;
        let rate = after("tps =")?.parse()?;
        Ok(Run { done, rate, latencies: self.latencies()? })
    }

    /// Reads and removes its latency files.
    fn latencies(&self) -> Result<Vec<u32>, Failure> {
        let mut found = Vec::new();
        for entry in std::fs::read_dir(&self.scratch)? {
            let path = entry?.path();
            if !path.file_name().is_some_and(|name| name.to_string_lossy().starts_with("latencies.")) {
                continue;
            }
            let text = std::fs::read_to_string(&path)?;
            // client, transaction, microseconds, …
            found.extend(text.lines().filter_map(|line| line.split(' ').nth(2)?.parse::<u32>().ok()));
            std::fs::remove_file(path)?;
        }
        Ok(found)
    }
}
