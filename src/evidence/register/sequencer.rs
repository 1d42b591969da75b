//! Giving events their places in the register, after their transactions.
//!
//! Every instance runs one; the lock of the row of table `register` lets one work at a time. A round
//! is one transaction: rows leave the queue, get the next indices in the order of their ids, and
//! become leaves. So an event is in the queue or in the register, never in both or in neither,
//! wherever the process or the database is killed.
//!
//! Ids of the queue are taken before commit, so a lower one may be seen later than a higher one:
//! whoever reads on from the last id that he saw loses it for ever. Here a round takes whatever is
//! there from the register's floor upwards, and the floor follows the ids only once every
//! transaction that was at work when they were seen has ended. It spares a round the dead index
//! entries in front of it, which PostgreSQL keeps as long as anybody's snapshot may see them. The
//! floor is a hint: every few seconds a round begins at zero.

use super::queue::{FULL, Queue, Reading};
use chrono::{DateTime, Utc};
use metrics::{counter, histogram};
use sqlx::postgres::{PgConnectOptions, PgConnection};
use sqlx::{ConnectOptions, Connection};
use std::future::Future;
use std::pin::pin;
use std::time::{Duration, Instant};

/// Time between rounds.
const EVERY: Duration = Duration::from_millis(200);
/// Time between rounds that begin at zero.
const FROM_ZERO_EVERY: Duration = Duration::from_secs(5);
/// Rounds that follow one another without a look at the clock while the queue is full.
const IN_A_ROW: u32 = 50;
/// How long the database may take for what one awakening asks of it.
const PATIENCE: Duration = Duration::from_secs(15);
/// Longest pause after a failure.
const LONGEST_PAUSE: Duration = Duration::from_secs(2);
/// How long the last rounds of a process may take.
const LAST: Duration = Duration::from_secs(5);
/// How often a failure that lasts is told again.
const TELL_EVERY: Duration = Duration::from_secs(10);

/// Seconds a round took.
pub(crate) const ROUND: &str = "ormantrace_sequencer_round_seconds";
/// Seconds the oldest leaf of a round had waited.
pub(crate) const WAITED: &str = "ormantrace_sequencer_waited_seconds";
/// Leaves that got their place.
pub(crate) const LEAVES: &str = "ormantrace_sequencer_leaves_total";
/// Rounds that failed.
pub(crate) const FAILURES: &str = "ormantrace_sequencer_failures_total";

/// Where in the queue a round begins.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum Start {
    /// At the register's floor.
    Floor,
    /// At the very beginning.
    Zero,
}

/// What a round came to.
#[derive(Clone, Copy, Debug, PartialEq)]
pub enum Round {
    /// Another sequencer is at work.
    Elsewhere,
    /// So many leaves got their places.
    Placed {
        /// How many, at most [`FULL`].
        leaves: usize,
        /// Leaves of the register now.
        size: u64,
        /// How long the oldest of them had waited.
        waited: Duration,
    },
}

/// Where the floor may go, once nobody can any more commit a row below.
#[derive(Clone, Copy, Debug)]
struct Candidate {
    below: i64,
    /// Transactions from this number on began after the rows below were seen. Asked a round later:
    /// an id may be taken a moment before its transaction has a number.
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
    /// One that tells `queue` what it reads.
    #[must_use]
    pub fn new(queue: Queue) -> Self {
        Self { queue, candidate: None, from_zero: None }
    }

    /// Works until `stop` resolves, then empties the queue and ends. It has a connection of its own
    /// and makes a new one when that breaks.
    pub async fn run(mut self, options: PgConnectOptions, stop: impl Future<Output = ()>) {
        let options = of_sequencer(options);
        let mut stop = pin!(stop);
        let mut connection: Option<PgConnection> = None;
        let (mut pause, mut told): (_, Option<Instant>) = (EVERY, None);
        loop {
            tokio::select! {
                () = &mut stop => break,
                () = tokio::time::sleep(pause) => {}
                () = self.queue.full(), if connection.is_some() => {}
            }
            match self.awake(&options, connection.take()).await {
                Ok(kept) => {
                    connection = Some(kept);
                    pause = EVERY;
                    if told.take().is_some() {
                        tracing::info!("the register is written again");
                    }
                }
                Err(error) => {
                    counter!(FAILURES).increment(1);
                    // What was seen in a round that failed may still be in the queue.
                    self.candidate = None;
                    pause = (pause * 2).min(LONGEST_PAUSE);
                    if told.is_none_or(|at| at.elapsed() >= TELL_EVERY) {
                        tracing::warn!(%error, "the register cannot be written now; events wait in its queue");
                        told = Some(Instant::now());
                    }
                }
            }
        }
        match tokio::time::timeout(LAST, self.empty(&options, connection)).await {
            Ok(Ok(())) => {}
            Ok(Err(error)) => {
                tracing::warn!(%error, "events stay in the register's queue: the next start takes them");
            }
            Err(_) => tracing::warn!("events stay in the register's queue: the next start takes them"),
        }
    }

    /// One awakening, on the connection there is or a new one.
    async fn awake(
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
        // A peer that went without a word would hold this for a quarter of an hour.
        let late = |_| sqlx::Error::Io(std::io::ErrorKind::TimedOut.into());
        tokio::time::timeout(PATIENCE, work).await.map_err(late)?
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

    /// Reads how far the queue is, and gives what is in it its places.
    ///
    /// # Errors
    /// The database's own.
    pub async fn tick(&mut self, db: &mut PgConnection) -> sqlx::Result<()> {
        self.queue.begins();
        let from_zero = self.from_zero.is_none_or(|at| at.elapsed() >= FROM_ZERO_EVERY);
        let start = if from_zero { Start::Zero } else { Start::Floor };
        let reading = read(db, start).await?;
        self.queue.note(reading);
        let rounds = if reading.oldest.is_some() { IN_A_ROW } else { 0 };
        for _ in 0..rounds {
            // Where another works, the reading stands: should it hang, the lag is seen to grow.
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
    /// The database's own.
    pub async fn round(&mut self, db: &mut PgConnection, start: Start) -> sqlx::Result<Round> {
        let began = Instant::now();
        let mut tx = db.begin().await?;
        // A statement of its own: what follows must see the rows as they are once the lock is held.
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
    /// The highest id that was taken.
    last: Option<i64>,
    waited: Duration,
}

/// Moves what waits from `from` upwards behind the `size` leaves that there are.
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

/// How far the queue is. No lock and nothing written: what an idle server does five times a second.
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

/// The connection of a sequencer. A leaf that was seen may be signed, so it must be on disk by then,
/// whatever the server's own setting; and whoever hangs lets go of the lock before writes must stop.
fn of_sequencer(options: PgConnectOptions) -> PgConnectOptions {
    options.application_name("ormantrace-sequencer").options([
        ("synchronous_commit", "on"),
        ("default_transaction_isolation", "read committed"),
        ("statement_timeout", "10s"),
        ("idle_in_transaction_session_timeout", "5s"),
    ])
}
