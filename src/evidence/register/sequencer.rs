//! The sequencer: gives events their leaf indexes in the register, after their transactions.
//!
//! Every instance runs one; a lock on the row of table `register` lets only one work at a time. A round is
//! one transaction: rows are deleted from the queue, get the next indexes in the order of their ids, and are
//! inserted as leaves. So an event is either in the queue or in the register, even if the process or the
//! database is killed.
//!
//! Queue ids are assigned before commit, so a lower id may become visible later than a higher one: a reader
//! that continues after the last id it has seen would lose that row for ever. So a round takes all rows from
//! a lower bound, the register's floor, upwards. The floor advances past ids only after all transactions have
//! ended that were running when those ids were seen. The floor lets a round skip the dead index entries below
//! it, which PostgreSQL keeps as long as any snapshot may see them. It is only an optimisation: every few
//! seconds a round starts at zero.

use super::queue::{FULL, Queue, Reading};
use chrono::{DateTime, Utc};
use metrics::{counter, histogram};
use sqlx::postgres::{PgConnectOptions, PgConnection};
use sqlx::{ConnectOptions, Connection};
use std::future::Future;
use std::pin::pin;
use std::time::{Duration, Instant};

/// Time between rounds.
const ROUND_INTERVAL: Duration = Duration::from_millis(200);
/// Time between rounds that start at zero.
const FROM_ZERO_INTERVAL: Duration = Duration::from_secs(5);
/// Maximum number of rounds without a pause while the queue is full.
const MAX_CONSECUTIVE_ROUNDS: u32 = 50;
/// Timeout of all database work of one tick.
const TICK_TIMEOUT: Duration = Duration::from_secs(15);
/// Maximum backoff after a failure.
const MAX_BACKOFF: Duration = Duration::from_secs(2);
/// Timeout of the final rounds at shutdown.
const SHUTDOWN_TIMEOUT: Duration = Duration::from_secs(5);
/// Minimum interval between log lines about a lasting failure.
const LOG_EVERY: Duration = Duration::from_secs(10);

/// Seconds that a round took.
pub(crate) const ROUND: &str = "ormantrace_sequencer_round_seconds";
/// Seconds that the oldest leaf of a round had waited.
pub(crate) const WAITED: &str = "ormantrace_sequencer_waited_seconds";
/// Leaves that were sequenced.
pub(crate) const LEAVES: &str = "ormantrace_sequencer_leaves_total";
/// Rounds that failed.
pub(crate) const FAILURES: &str = "ormantrace_sequencer_failures_total";

/// Where in the queue a round starts.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum Start {
    /// At the register's floor.
    Floor,
    /// At id zero.
    Zero,
}

/// The result of a round.
#[derive(Clone, Copy, Debug, PartialEq)]
pub enum Round {
    /// Another sequencer holds the lock.
    Elsewhere,
    /// Leaves were sequenced, or the queue was empty.
    Placed {
        /// Number of leaves, at most [`FULL`].
        leaves: usize,
        /// Size of the register now.
        size: u64,
        /// How long the oldest of these leaves had waited.
        waited: Duration,
    },
}

/// A candidate for the next floor. It becomes the floor as soon as no running transaction can commit a row
/// below it.
#[derive(Clone, Copy, Debug)]
struct Candidate {
    below: i64,
    /// A transaction id. Transactions with this id or a later one started after the rows below the candidate
    /// were seen. The id is read one round later, because a transaction may take a queue id shortly before it
    /// gets its transaction id.
    until: Option<i64>,
}

/// The sequencer of one process.
#[derive(Debug)]
pub struct Sequencer {
    queue: Queue,
    candidate: Option<Candidate>,
    from_zero: Option<Instant>,
}

impl Sequencer {
    /// A sequencer that stores its readings in `queue`.
    #[must_use]
    pub fn new(queue: Queue) -> Self {
        Self { queue, candidate: None, from_zero: None }
    }

    /// Runs until `stop` resolves, then empties the queue for at most 5 seconds and returns. It has a
    /// connection of its own and opens a new one when that breaks.
    pub async fn run(mut self, options: PgConnectOptions, stop: impl Future<Output = ()>) {
        let options = of_sequencer(options);
        let mut stop = pin!(stop);
        let mut connection: Option<PgConnection> = None;
        let (mut pause, mut warned_at): (_, Option<Instant>) = (ROUND_INTERVAL, None);
        loop {
            tokio::select! {
                () = &mut stop => break,
                () = tokio::time::sleep(pause) => {}
                () = self.queue.full(), if connection.is_some() => {}
            }
            match self.tick_with_timeout(&options, connection.take()).await {
                Ok(open) => {
                    connection = Some(open);
                    pause = ROUND_INTERVAL;
                    if warned_at.take().is_some() {
                        tracing::info!("the register can be written again");
                    }
                }
                Err(error) => {
                    counter!(FAILURES).increment(1);
                    // The candidate is dropped, because rows that were seen in a failed round may still be in
                    // the queue.
                    self.candidate = None;
                    pause = (pause * 2).min(MAX_BACKOFF);
                    if warned_at.is_none_or(|at| at.elapsed() >= LOG_EVERY) {
                        tracing::warn!(%error, "the register cannot be written now; events wait in its queue");
                        warned_at = Some(Instant::now());
                    }
                }
            }
        }
        match tokio::time::timeout(SHUTDOWN_TIMEOUT, self.empty(&options, connection)).await {
            Ok(Ok(())) => {}
            Ok(Err(error)) => {
                tracing::warn!(%error, "events stay in the register's queue until the next start");
            }
            Err(_) => tracing::warn!("events stay in the register's queue until the next start"),
        }
    }

    /// One tick with a timeout, on the existing connection or a new one.
    async fn tick_with_timeout(
        &mut self,
        options: &PgConnectOptions,
        connection: Option<PgConnection>,
    ) -> sqlx::Result<PgConnection> {
        let work = async {
            let mut db = match connection {
                Some(db) => db,
                None => options.connect().await?,
            };
            self.tick(&mut db).await?;
            Ok(db)
        };
        // Without a timeout, a peer that vanished would block this for a quarter of an hour.
        let late = |_| sqlx::Error::Io(std::io::ErrorKind::TimedOut.into());
        tokio::time::timeout(TICK_TIMEOUT, work).await.map_err(late)?
    }

    async fn empty(
        &mut self,
        options: &PgConnectOptions,
        connection: Option<PgConnection>,
    ) -> sqlx::Result<()> {
        let mut db = match connection {
            Some(db) => db,
            None => options.connect().await?,
        };
        while let Round::Placed { leaves: FULL, .. } = self.round(&mut db, Start::Zero).await? {}
        db.close().await
    }

    /// Reads the state of the queue, and sequences what is in it.
    ///
    /// # Errors
    /// A database error.
    pub async fn tick(&mut self, db: &mut PgConnection) -> sqlx::Result<()> {
        self.queue.round_started();
        let from_zero = self.from_zero.is_none_or(|at| at.elapsed() >= FROM_ZERO_INTERVAL);
        let start = if from_zero { Start::Zero } else { Start::Floor };
        let reading = read(db, start).await?;
        self.queue.note(reading);
        let rounds = if reading.oldest.is_some() { MAX_CONSECUTIVE_ROUNDS } else { 0 };
        for _ in 0..rounds {
            // If another sequencer holds the lock, this tick ends here with the reading that was stored
            // above. So if the other sequencer hangs, the lag grows.
            let Round::Placed { leaves, size, waited } = self.round(db, start).await? else { return Ok(()) };
            let more = leaves == FULL;
            self.queue.note(Reading { size, oldest: more.then_some(waited) });
            if !more {
                break;
            }
        }
        if from_zero {
            self.from_zero = Some(Instant::now());
        }
        Ok(())
    }

    /// One round: one transaction of up to [`FULL`] leaves.
    ///
    /// # Errors
    /// A database error.
    pub async fn round(&mut self, db: &mut PgConnection, start: Start) -> sqlx::Result<Round> {
        let began = Instant::now();
        let mut tx = db.begin().await?;
        // The row is locked in a statement of its own, so that the next statement sees the rows as they are
        // once the lock is held.
        let held = sqlx::query!(
            r#"SELECT size, floor, sequenced_at,
                      pg_snapshot_xmin(pg_current_snapshot())::text::bigint AS "oldest_running!",
                      pg_snapshot_xmax(pg_current_snapshot())::text::bigint AS "next!"
               FROM register WHERE complete FOR UPDATE SKIP LOCKED"#
        )
        .fetch_optional(&mut *tx)
        .await?;
        let Some(held) = held else {
            tx.rollback().await?;
            return Ok(Round::Elsewhere);
        };
        let (mut floor, mut candidate) = (held.floor, self.candidate);
        match &mut candidate {
            Some(Candidate { until: until @ None, .. }) => *until = Some(held.next),
            Some(Candidate { below, until: Some(until) }) if held.oldest_running >= *until => {
                floor = floor.max(*below);
                candidate = None;
            }
            _ => {}
        }
        let from = match start {
            Start::Floor => held.floor,
            Start::Zero => 0,
        };
        let placed = place(&mut tx, from, held.size, floor, held.sequenced_at).await?;
        tx.commit().await?;
        self.candidate =
            candidate.or_else(|| placed.last.map(|last| Candidate { below: last + 1, until: None }));
        let size = u64::try_from(held.size).unwrap_or(0) + placed.leaves as u64;
        if placed.leaves > 0 {
            counter!(LEAVES).increment(placed.leaves as u64);
            histogram!(WAITED).record(placed.waited.as_secs_f64());
            histogram!(ROUND).record(began.elapsed().as_secs_f64());
        }
        Ok(Round::Placed { leaves: placed.leaves, size, waited: placed.waited })
    }
}

#[derive(Default)]
struct Placed {
    leaves: usize,
    /// The highest queue id of the round.
    last: Option<i64>,
    waited: Duration,
}

/// Moves queue rows with ids from `from` upwards to the end of the `size` existing leaves.
async fn place(
    tx: &mut PgConnection,
    from: i64,
    size: i64,
    floor: i64,
    before: Option<DateTime<Utc>>,
) -> sqlx::Result<Placed> {
    let row = sqlx::query!(
        r#"WITH taken AS (
               DELETE FROM leaf_queue
               WHERE id = ANY (ARRAY (SELECT id FROM leaf_queue WHERE id >= $1 ORDER BY id LIMIT $2))
               RETURNING id, entry, subject_id, seq, queued_at
           ), placed AS (
               INSERT INTO leaf (index, entry, subject_id, seq, sequenced_at)
               SELECT $3 + row_number() OVER (ORDER BY id) - 1, entry, subject_id, seq,
                      GREATEST(statement_timestamp(), $5::timestamptz)
               FROM taken ORDER BY id
           ), counted AS (
               SELECT count(*) AS leaves, max(id) AS last, min(queued_at) AS oldest FROM taken
           )
           UPDATE register
           SET size = size + leaves, floor = $4,
               sequenced_at = CASE WHEN leaves > 0 THEN GREATEST(statement_timestamp(), $5) ELSE sequenced_at END
           FROM counted WHERE leaves > 0 OR floor < $4
           RETURNING leaves AS "leaves!", last,
                     GREATEST(0, EXTRACT(EPOCH FROM clock_timestamp() - oldest))::float8 AS waited"#,
        from,
        i64::try_from(FULL).unwrap_or(i64::MAX),
        size,
        floor,
        before
    )
    .fetch_optional(tx)
    .await?;
    Ok(row.map_or_else(Placed::default, |row| Placed {
        leaves: usize::try_from(row.leaves).unwrap_or(0),
        last: row.last,
        waited: seconds(row.waited.unwrap_or(0.0)),
    }))
}

/// Reads the state of the queue without locks or writes: an idle server does this five times a second.
async fn read(db: &mut PgConnection, start: Start) -> sqlx::Result<Reading> {
    let row = sqlx::query!(
        r#"SELECT size,
                  (SELECT GREATEST(0, EXTRACT(EPOCH FROM clock_timestamp() - queued_at))::float8
                   FROM leaf_queue WHERE id >= CASE WHEN $1 THEN 0 ELSE floor END ORDER BY id LIMIT 1) AS oldest
           FROM register"#,
        start == Start::Zero
    )
    .fetch_one(db)
    .await?;
    Ok(Reading { size: u64::try_from(row.size).unwrap_or(0), oldest: row.oldest.map(seconds) })
}

fn seconds(seconds: f64) -> Duration {
    Duration::try_from_secs_f64(seconds).unwrap_or_default()
}

/// Connection settings of a sequencer. Once a leaf is visible to others it may be signed, so its commit must
/// be on disk, whatever the server's own setting is. If a sequencer hangs, the timeouts release its lock
/// before the lag blocks writes.
fn of_sequencer(options: PgConnectOptions) -> PgConnectOptions {
    options.application_name("ormantrace-sequencer").options([
        ("synchronous_commit", "on"),
        ("default_transaction_isolation", "read committed"),
        ("statement_timeout", "10s"),
        ("idle_in_transaction_session_timeout", "5s"),
    ])
}
