//! Runs the engine on the database: reads leaves behind its cursor in batches, and writes findings, windows
//! and cursor in one transaction. So each leaf is folded exactly once, whenever the process is killed.
//!
//! One engine a database: it holds an advisory lock on its connection, and its row of table `surveillance` is
//! locked in each transaction. Lock order: that row, then windows, then findings; no request locks these.

use super::checks;
use super::engine::{Engine, VERSION};
use super::postgres::{self, Loaded, PersonSecret};
use super::threshold::HOUR;
use crate::base::clock::Clock;
use crate::base::error::Result;
use crate::evidence::chain::Tx;
use crate::evidence::idempotency::secret;
use crate::timber::parameter::Rulebook;
use chrono::{DateTime, TimeDelta};
use metrics::{counter, describe_counter, describe_gauge, gauge};
use sqlx::postgres::{PgConnectOptions, PgConnection};
use sqlx::{ConnectOptions as _, Connection as _, PgPool};
use std::future::Future;
use std::pin::pin;
use std::time::{Duration, Instant};

/// Pause when there are no leaves.
const IDLE: Duration = Duration::from_secs(1);
/// Maximum backoff after a failure.
const MAX_BACKOFF: Duration = Duration::from_secs(30);
/// Minimum interval between log lines about a lasting failure.
const LOG_EVERY: Duration = Duration::from_mins(1);
/// Timeout of one batch.
const BATCH_TIMEOUT: Duration = Duration::from_mins(1);
/// Leaves of a batch.
pub const BATCH: i64 = 1_000;
/// How long an event may be on its way into the register before the sweep judges the hour without it.
const SWEEP_DELAY: TimeDelta = TimeDelta::minutes(5);
/// Key of the advisory lock. The bytes spell `ormantrs`.
const LOCK: i64 = i64::from_be_bytes(*b"ormantrs");

/// Leaves that are not folded yet.
pub const LAG: &str = "ormantrace_surveillance_lag_leaves";
/// Leaves that were folded.
pub const LEAVES: &str = "ormantrace_surveillance_leaves_total";
/// Batches that failed.
pub const FAILURES: &str = "ormantrace_surveillance_failures_total";

/// What a batch did.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum Batch {
    /// It folded this many leaves.
    Folded(usize),
    /// The stored state is of another version of the rules: `ormantrace surveillance replay` comes first.
    OtherVersion(i16),
    /// Another engine has the lock of the row.
    Elsewhere,
}

/// The engine of one process.
#[derive(Clone, Debug)]
pub struct Runner {
    secret: PersonSecret,
    rulebook: Rulebook,
    clock: Clock,
    /// Whether it writes the rows of a replay.
    trial: bool,
}

impl Runner {
    /// An engine. `trial`: that of a replay, which makes no findings for inspectors.
    #[must_use]
    pub fn new(secret: PersonSecret, rulebook: Rulebook, clock: Clock, trial: bool) -> Self {
        Self { secret, rulebook, clock, trial }
    }

    /// Runs until `stop` resolves, on a connection of its own.
    pub async fn run(self, options: PgConnectOptions, stop: impl Future<Output = ()>) {
        let options = options.application_name("ormantrace-surveillance");
        let mut stop = pin!(stop);
        let mut connection: Option<PgConnection> = None;
        let (mut pause, mut warned): (Duration, Option<Instant>) = (Duration::ZERO, None);
        loop {
            tokio::select! {
                () = &mut stop => break,
                () = tokio::time::sleep(pause) => {}
            }
            let warning = match self.once(&options, &mut connection).await {
                Ok(Batch::Folded(leaves)) => {
                    let full = i64::try_from(leaves).is_ok_and(|leaves| leaves == BATCH);
                    pause = if full { Duration::ZERO } else { IDLE };
                    if warned.take().is_some() {
                        tracing::info!("surveillance goes on");
                    }
                    continue;
                }
                Ok(Batch::Elsewhere) => {
                    pause = MAX_BACKOFF;
                    continue;
                }
                Ok(Batch::OtherVersion(version)) => {
                    pause = MAX_BACKOFF;
                    format!(
                        "its findings are of version {version} of the rules, and this program has version {VERSION}: \
                         run `ormantrace surveillance replay`"
                    )
                }
                Err(error) => {
                    counter!(FAILURES).increment(1);
                    connection = None;
                    pause = (pause * 2).clamp(IDLE, MAX_BACKOFF);
                    error
                }
            };
            if warned.is_none_or(|at| at.elapsed() >= LOG_EVERY) {
                tracing::warn!(reason = warning, "surveillance does not run now; its leaves wait");
                warned = Some(Instant::now());
            }
        }
        if let Some(db) = connection {
            let _ = db.close().await;
        }
    }

    async fn once(
        &self,
        options: &PgConnectOptions,
        connection: &mut Option<PgConnection>,
    ) -> Result<Batch, String> {
        let work = async {
            let mut db = match connection.take() {
                Some(db) => db,
                None => {
                    let mut db = options.connect().await?;
                    if !lock(&mut db).await? {
                        db.close().await?;
                        return Ok(Batch::Elsewhere);
                    }
                    db
                }
            };
            let batch = self.batch(&mut db, BATCH).await?;
            *connection = Some(db);
            Ok::<_, crate::base::error::Error>(batch)
        };
        match tokio::time::timeout(BATCH_TIMEOUT, work).await {
            Ok(done) => done.map_err(|error| error.to_string()),
            Err(_) => Err("a batch takes too long".to_owned()),
        }
    }

    /// Folds up to `count` leaves in one transaction. With none left, judges the rules of time up to the last
    /// hour.
    ///
    /// # Errors
    /// Database errors, and rows that cannot be read.
    pub async fn batch(&self, db: &mut PgConnection, count: i64) -> Result<Batch> {
        let trial = self.trial;
        let mut tx = Tx::on(db).await?;
        sqlx::query!(
            "INSERT INTO surveillance (trial, version) VALUES ($1, $2) ON CONFLICT DO NOTHING",
            trial,
            VERSION
        )
        .execute(&mut *tx)
        .await?;
        let held = sqlx::query!(
            "SELECT version, cursor, swept FROM surveillance WHERE trial = $1 FOR UPDATE SKIP LOCKED",
            trial
        )
        .fetch_optional(&mut *tx)
        .await?;
        let Some(held) = held else { return Ok(Batch::Elsewhere) };
        if held.version != VERSION {
            return Ok(Batch::OtherVersion(held.version));
        }
        let leaves = postgres::leaves(&mut tx, &self.secret, held.cursor, count).await?;
        let now = self.clock.now();
        let caught_up = leaves.len() < usize::try_from(count).unwrap_or(usize::MAX);
        let sweep_at = now - SWEEP_DELAY;
        let last = leaves.iter().map(|leaf| leaf.received_at).chain(caught_up.then_some(sweep_at)).max();
        let until = last.unwrap_or(now).timestamp_micros().div_euclid(HOUR) * HOUR;
        let engine = Engine::new(self.rulebook.parameters(), held.swept);
        let hours = held.swept < until.div_euclid(HOUR);
        if leaves.is_empty() && !hours {
            gauge!(LAG).set(0.0);
            return Ok(Batch::Folded(0));
        }
        let mut loaded = Loaded::of(&mut tx, trial, &leaves, if hours { until } else { i64::MIN }).await?;
        let (engine, mut memory, changes, skipped) = loop {
            let (mut engine, mut memory) = (engine.clone(), loaded.memory());
            let (mut changes, mut skipped) = (Vec::new(), 0_i64);
            for leaf in &leaves {
                skipped += i64::from(!engine.step(leaf, &mut memory, &mut changes));
            }
            if caught_up {
                engine.sweep(sweep_at, &mut memory, &mut changes);
            }
            let missed = memory.missed();
            if missed.is_empty() {
                break (engine, memory, changes, skipped);
            }
            loaded.add(&mut tx, trial, missed).await?;
        };
        postgres::write_changes(&mut tx, trial, changes, now).await?;
        postgres::write_windows(&mut tx, trial, &mut memory).await?;
        if caught_up && hours && !trial {
            let until = DateTime::from_timestamp_micros(until).unwrap_or(now);
            checks::sweep(&mut tx, &self.rulebook.parameters(), until, now).await?;
        }
        let folded = i64::try_from(leaves.len()).unwrap_or(i64::MAX);
        sqlx::query!(
            "UPDATE surveillance SET cursor = cursor + $2, swept = $3, skipped = skipped + $4 WHERE trial = $1",
            trial,
            folded,
            engine.swept(),
            skipped
        )
        .execute(&mut *tx)
        .await?;
        let size = sqlx::query_scalar!("SELECT size FROM register").fetch_one(&mut *tx).await?;
        tx.commit().await?;
        counter!(LEAVES).increment(leaves.len() as u64);
        #[expect(clippy::cast_precision_loss, reason = "a figure for a chart")]
        gauge!(LAG).set((size - held.cursor - folded).max(0) as f64);
        Ok(Batch::Folded(leaves.len()))
    }
}

/// Runs the engine of a server until the task is aborted: a transaction that is not committed has no effect.
pub async fn serve(pool: PgPool, rulebook: Rulebook, clock: Clock, options: PgConnectOptions) {
    describe_gauge!(LAG, "Leaves of the register that surveillance has not read yet.");
    describe_counter!(LEAVES, "Leaves that surveillance has read.");
    describe_counter!(checks::UNCOUNTED, "Checks by buyers that were not counted.");
    describe_counter!(FAILURES, "Batches of surveillance that failed.");
    let secret = loop {
        match secret::shared(&pool, "surveillance").await {
            Ok(secret) => break PersonSecret(secret),
            Err(error) => tracing::warn!(%error, "surveillance cannot start now"),
        }
        tokio::time::sleep(MAX_BACKOFF).await;
    };
    Runner::new(secret, rulebook, clock, false).run(options, std::future::pending()).await;
}

/// Takes the lock of the engine for as long as the connection lives; false if another process has it.
///
/// # Errors
/// Database errors.
pub async fn lock(db: &mut PgConnection) -> sqlx::Result<bool> {
    let taken =
        sqlx::query_scalar!(r#"SELECT pg_try_advisory_lock($1) AS "taken!""#, LOCK).fetch_one(db).await?;
    Ok(taken)
}
