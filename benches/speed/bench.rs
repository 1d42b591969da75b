//! The state of a run, and the comparison of the two sides (the server, and PostgreSQL alone under pgbench),
//! which are measured in turns.

use super::check;
use super::database::Cluster;
use super::measure::{Line, Side};
use super::pgbench::Pgbench;
use super::plans::{Checks, Histories};
use super::process::{self, Cpu};
use super::scripts::Scripts;
use super::server::Server;
use super::settings::Settings;
use super::timber::{FIRST_ID, FIRST_SEAL, Parties};
use super::traffic::{self, Plan, Traffic};
use chrono::{DateTime, TimeDelta, Utc};
use ormantrace::db::private::folder::PORT;
use ormantrace::db::roles;
use sqlx::PgPool;
use std::error::Error;
use std::ops::Range;
use std::path::{Path, PathBuf};
use std::time::{Duration, Instant};

type Failure = Box<dyn Error + Send + Sync>;

/// The state of a run.
pub struct Bench {
    /// The settings.
    pub settings: Settings,
    /// Folder of the database.
    pub dir: PathBuf,
    /// The database.
    pub cluster: Cluster,
    /// Superuser connections.
    pub pool: PgPool,
    /// The measured server.
    pub server: Server,
    /// PostgreSQL's own load generator.
    pub pgbench: Pgbench,
    /// Scripts of pgbench.
    pub scripts: Scripts,
    /// Whether the server puts its events into the leaf queue of the register.
    pub queues: bool,
    /// The organisations and tickets.
    pub parties: Parties,
    /// Number of loaded logs.
    pub logs: u64,
    /// When the first event was received.
    pub from: DateTime<Utc>,
    /// When the last event was received.
    pub until: DateTime<Utc>,
    /// Number of responses compared with SQL.
    pub checked: usize,
    /// Seed of the next round.
    pub seed: u64,
}

/// The read that the server and pgbench both perform in a comparison.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum Read {
    /// The public check of one seal number.
    Check,
    /// The history of one log.
    History,
    /// The history without its evidence. pgbench runs the same statement as for `History`.
    BareHistory,
}

impl Bench {
    /// pgbench in the database role of the server's requests.
    ///
    /// # Errors
    /// pgbench is not installed.
    pub fn pgbench(cluster: &Cluster, scratch: &Path) -> Result<Pgbench, Failure> {
        let beside = ormantrace::db::programs::Programs::find(None)?.path("pgbench");
        let program = if beside.is_file() { beside } else { PathBuf::from("pgbench") };
        Ok(Pgbench {
            program,
            socket: cluster.socket()?,
            port: PORT,
            user: roles::SERVICE.to_owned(),
            password: cluster.password(roles::SERVICE)?,
            database: roles::DATABASE.to_owned(),
            scratch: scratch.to_owned(),
        })
    }

    /// Logs that are only read.
    #[must_use]
    pub fn read_logs(&self) -> Range<u64> {
        0..self.logs / 10 * 9
    }

    /// Logs that the server appends to, and logs that pgbench appends to. pgbench does not compute hashes, so
    /// the chains of its logs are invalid afterwards.
    #[must_use]
    pub fn append_logs(&self) -> [Range<u64>; 2] {
        let (from, middle) = (self.logs / 10 * 9, self.logs / 20 * 19);
        [from..middle, middle..self.logs]
    }

    /// Variables of the pgbench scripts: the range of logs and of seals to choose from.
    #[must_use]
    pub fn variables(logs: &Range<u64>) -> Vec<(&'static str, String)> {
        let text = |first: u64, log: u64| (first + log).to_string();
        vec![
            ("first_log", text(FIRST_ID, logs.start)),
            ("last_log", text(FIRST_ID, logs.end - 1)),
            ("first_seal", text(FIRST_SEAL, logs.start)),
            ("last_seal", text(FIRST_SEAL, logs.end - 1)),
        ]
    }

    /// Length of one round.
    #[must_use]
    pub fn round(&self) -> Duration {
        Duration::from_secs(self.settings.seconds)
    }

    /// Processor time up to now.
    ///
    /// # Errors
    /// The system is not Linux.
    pub fn cpu(&self) -> Result<Cpu, Failure> {
        Cpu::now(Some(self.server.pid()), self.cluster.postmaster()?)
    }

    /// Sends requests to the server for one measuring round of length `time`.
    ///
    /// # Errors
    /// A connection ends.
    pub fn ask(
        &mut self,
        connections: usize,
        time: Duration,
        plan: &mut impl Plan,
    ) -> Result<(Traffic, Cpu), Failure> {
        self.seed += 1;
        let before = self.cpu()?;
        let traffic = traffic::run(self.server.address, connections, time, self.seed, plan)?;
        Ok((traffic, self.cpu()? - before))
    }

    /// Runs a script by pgbench for one measuring round of `seconds`.
    ///
    /// # Errors
    /// As [`Pgbench::run`].
    pub fn bench(
        &self,
        script: &Path,
        connections: usize,
        seconds: u64,
        variables: &[(&str, String)],
    ) -> Result<(super::pgbench::Run, Cpu), Failure> {
        let before = self.cpu()?;
        let sample =
            if self.settings.quick || script.ends_with("append.sql") || script.ends_with("append_once.sql") {
                1.0
            } else {
                0.2
            };
        let postmaster = self.cluster.postmaster()?;
        let others = process::children(postmaster)?;
        // pgbench counts the time to connect as part of the run, and SCRAM makes connecting slow: so the run
        // is one second longer for every 64 connections.
        let seconds = seconds + connections as u64 / 64;
        let run = self.pgbench.run(script, connections, seconds, sample, variables)?;
        // The processor time of a session counts as PostgreSQL's only after the postmaster has reaped the
        // session's process, so this waits until then.
        let since = Instant::now();
        while process::children(postmaster)? > others && since.elapsed() < Duration::from_secs(2) {
            std::thread::sleep(Duration::from_millis(5));
        }
        Ok((run, self.cpu()? - before))
    }

    /// Sends reads to the server for one measuring round; compares samples of the responses with SQL.
    ///
    /// # Errors
    /// A wrong response.
    pub async fn read(
        &mut self,
        read: Read,
        connections: usize,
        time: Duration,
    ) -> Result<(Traffic, Cpu), Failure> {
        let (logs, tokens) = (self.read_logs(), self.parties.inspectorates.clone());
        let tokens = tokens.as_slice();
        let (traffic, cpu) = match read {
            Read::Check => self.ask(connections, time, &mut Checks { logs, tokens })?,
            Read::History => self.ask(connections, time, &mut Histories { logs, tokens, query: "" })?,
            Read::BareHistory => {
                self.ask(connections, time, &mut Histories { logs, tokens, query: "?evidence=none" })?
            }
        };
        for (log, body) in &traffic.samples {
            match read {
                Read::Check => check::verification(&self.pool, *log, body).await?,
                Read::History => check::history(&self.pool, *log, body).await?,
                Read::BareHistory => check::bare_history(&self.pool, *log, body).await?,
            }
        }
        self.checked += traffic.samples.len();
        Ok((traffic, cpu))
    }

    /// Measures the server and the database alone, in turns, and compares them.
    ///
    /// # Errors
    /// A wrong response, or either side fails.
    pub async fn compare(&mut self, read: Read, connections: usize) -> Result<Line, Failure> {
        let (name, file) = match read {
            Read::Check => ("verify", self.scripts.check.clone()),
            Read::History => ("history", self.scripts.chain.clone()),
            Read::BareHistory => ("history, no evidence", self.scripts.chain.clone()),
        };
        let variables = Self::variables(&self.read_logs());
        let (mut alone, mut server) = (Side::default(), Side::default());
        for _ in 0..self.settings.rounds {
            let (run, cpu) = self.bench(&file, connections, self.settings.seconds, &variables)?;
            alone.add_run(&run, cpu);
            let (traffic, cpu) = self.read(read, connections, self.round()).await?;
            server.add_traffic(&traffic, cpu)?;
        }
        Ok(told(Line::of(name, connections, &alone, &server)))
    }

    /// Compares the server's public check with pgbench, which runs the statement exactly as the server sends
    /// it, with one code per statement.
    ///
    /// # Errors
    /// As [`Bench::compare`].
    pub async fn compare_as_sent(&mut self, connections: usize) -> Result<Line, Failure> {
        let variables = Self::variables(&self.read_logs());
        let file = self.scripts.check_as_sent.clone();
        let (run, cpu) = self.bench(&file, connections, self.settings.seconds, &variables)?;
        let (mut alone, mut server) = (Side::default(), Side::default());
        alone.add_run(&run, cpu);
        let (traffic, cpu) = self.read(Read::Check, connections, self.round()).await?;
        server.add_traffic(&traffic, cpu)?;
        Ok(told(Line::of("verify, as sent", connections, &alone, &server)))
    }

    /// Stops the server and PostgreSQL, drops the kernel's file caches if `forget` is set, and starts both
    /// again with this much memory for shared buffers. Returns whether the caches were dropped.
    ///
    /// # Errors
    /// Either does not start.
    pub async fn restart(self, shared_buffers_mb: u64, forget: bool) -> Result<(Self, bool), Failure> {
        let Self { cluster, pool, server, .. } = self;
        drop(server);
        pool.close().await;
        cluster.close().await;
        let forgotten = forget && process::drop_caches();
        let cluster = Cluster::open(&self.dir, shared_buffers_mb).await?;
        let pool = cluster.administrator()?;
        let server = start(&cluster, &self.dir)?;
        let bench = Self { cluster, pool, server, ..self };
        Ok((bench, forgotten))
    }

    /// Reads each page that the measured reads may need once, so that these pages are in memory.
    ///
    /// # Errors
    /// Those of the database.
    pub async fn warm_up(&self) -> Result<(), Failure> {
        let mut tx = self.pool.begin().await?;
        for sql in [
            "SET LOCAL enable_seqscan = off",
            "SET LOCAL enable_sort = off",
            "SET LOCAL enable_bitmapscan = off",
            "SELECT count(*) FROM (SELECT public FROM event WHERE subject_id > '00000000-0000-0000-0000-000000000000' ORDER BY subject_id, seq OFFSET 0) AS chain",
            "SELECT count(*) FROM (SELECT salt FROM log ORDER BY id OFFSET 0) AS logs",
            "SELECT count(*) FROM (SELECT marking_code FROM seal ORDER BY number OFFSET 0) AS seals",
            "SELECT count(*) FROM (SELECT from_seq FROM log_seal ORDER BY seal_number OFFSET 0) AS seals",
        ] {
            sqlx::query(sql).execute(&mut *tx).await?;
        }
        tx.rollback().await?;
        Ok(())
    }
}

/// Starts the measured server with the settings of an installation, including the limits for public checks.
///
/// # Errors
/// It does not start.
pub fn start(cluster: &Cluster, dir: &Path) -> Result<Server, Failure> {
    Server::start(&cluster.url()?, dir, &[])
}

/// The time span of the loaded events. It is short enough that the felling tickets of all events are still
/// valid.
#[must_use]
pub fn span(now: DateTime<Utc>) -> (DateTime<Utc>, DateTime<Utc>) {
    (now - TimeDelta::days(300), now - TimeDelta::hours(1))
}

/// Prints the result of a comparison as progress.
fn told(line: Line) -> Line {
    eprintln!(
        "  {:<22} {:>4} connections: pgbench {:>7.0}/s, server {:>7.0}/s, ratio {:.2}",
        line.what, line.connections, line.alone.per_second, line.server.per_second, line.ratio
    );
    line
}
