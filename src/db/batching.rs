//! Batch loader: merges concurrent reads into one SQL statement.
//!
//! When a connection becomes free, the waiting queries run in one statement, up to the loader's limits, and
//! each caller gets its own part of the result. There is no timer: a single query runs at once, and the more
//! queries wait, the more of them share the cost of a round trip.
//!
//! Promises. A statement begins after the last of its queries arrived, and nothing is cached from one
//! statement to the next. A result therefore includes everything that any server instance had committed when
//! the query arrived. The queue is bounded, and a query that finds it full is refused at once. A caller that
//! gives up does not affect the others. A connection that fails is discarded; its queries run once more on a
//! new one, and are refused after that. No query waits for ever.

use crate::base::error::{DatabaseFailure, Error, Result};
use crate::db::is_down;
use futures_util::FutureExt;
use sqlx::postgres::{PgConnectOptions, PgConnection};
use sqlx::{ConnectOptions, Connection};
use std::collections::VecDeque;
use std::future::Future;
use std::panic::AssertUnwindSafe;
use std::sync::Arc;
use std::time::Duration;
use tokio::sync::{Mutex, mpsc, oneshot};
use tokio::time::{Instant, sleep, timeout};

/// How long to try to connect before the waiting queries are refused.
const CONNECT_TIMEOUT: Duration = Duration::from_secs(2);
/// Pause between two attempts to connect.
const CONNECT_BACKOFF: Duration = Duration::from_millis(25);

/// A query that can be merged with others of its kind.
pub trait BatchQuery: Send + Sync + 'static {
    /// The result of one query.
    type Output: Send + 'static;

    /// The cost of this query, in the same unit as [`BatchLimits::cost`].
    fn cost(&self) -> usize;

    /// Runs all queries and returns their results in the same order. An inner error concerns one query
    /// only; the outer error is the database's.
    fn load(
        db: &mut PgConnection,
        queries: &[&Self],
    ) -> impl Future<Output = sqlx::Result<Vec<Result<Self::Output>>>> + Send;
}

/// Limits of a batch loader.
#[derive(Clone, Copy, Debug)]
pub struct BatchLimits {
    /// Label in the metrics.
    pub name: &'static str,
    /// Connections, each opened when it is first needed.
    pub connections: usize,
    /// Maximum number of waiting queries; the next one is refused.
    pub queue: usize,
    /// Maximum number of queries in one statement.
    pub max_queries: usize,
    /// Maximum total cost of one statement; a query that costs more runs alone.
    pub cost: usize,
    /// Timeout of one attempt.
    pub timeout: Duration,
}

struct QueuedQuery<Q: BatchQuery> {
    query: Q,
    reply: oneshot::Sender<Result<Q::Output>>,
}

/// Runs queries of one kind, merged. Its connections close when the last clone is dropped.
pub struct BatchLoader<Q: BatchQuery> {
    name: &'static str,
    queue: mpsc::Sender<QueuedQuery<Q>>,
}

impl<Q: BatchQuery> Clone for BatchLoader<Q> {
    fn clone(&self) -> Self {
        Self { name: self.name, queue: self.queue.clone() }
    }
}

impl<Q: BatchQuery> BatchLoader<Q> {
    /// Starts the workers; no connection is opened yet.
    ///
    /// # Panics
    /// Outside a tokio runtime.
    #[must_use]
    pub fn new(database: &Arc<PgConnectOptions>, limits: BatchLimits) -> Self {
        let (queue, waiting) = mpsc::channel(limits.queue);
        let waiting = Arc::new(Mutex::new(waiting));
        for _ in 0..limits.connections {
            let worker = Worker {
                limits,
                database: Arc::clone(database),
                waiting: Arc::clone(&waiting),
                pending: VecDeque::with_capacity(limits.max_queries),
                db: None,
            };
            tokio::spawn(worker.work());
        }
        Self { name: limits.name, queue }
    }

    /// Queues a query and waits for its result.
    ///
    /// # Errors
    /// Overloaded, if the queue is full; unavailable or the database's error, if the database fails; the
    /// query's own error.
    pub async fn load(&self, query: Q) -> Result<Q::Output> {
        let (reply, result) = oneshot::channel();
        match self.queue.try_send(QueuedQuery { query, reply }) {
            Ok(()) => {}
            Err(mpsc::error::TrySendError::Full(_)) => return Err(Error::Overloaded),
            Err(mpsc::error::TrySendError::Closed(_)) => return Err(self.ended()),
        }
        result.await.unwrap_or_else(|_| Err(self.ended()))
    }

    fn ended(&self) -> Error {
        Error::Unavailable(format!("the batch loader of {} has ended", self.name).into())
    }
}

struct Worker<Q: BatchQuery> {
    limits: BatchLimits,
    database: Arc<PgConnectOptions>,
    waiting: Arc<Mutex<mpsc::Receiver<QueuedQuery<Q>>>>,
    pending: VecDeque<QueuedQuery<Q>>,
    db: Option<PgConnection>,
}

impl<Q: BatchQuery> Worker<Q> {
    async fn work(mut self) {
        let [mut received, mut batch] = [(); 2].map(|()| Vec::with_capacity(self.limits.max_queries));
        loop {
            if self.pending.is_empty() {
                let mut waiting = self.waiting.lock().await;
                if waiting.recv_many(&mut received, self.limits.max_queries).await == 0 {
                    break;
                }
                // The first query wakes this task at once, before other requests that are ready have sent
                // theirs. So the other tasks run first, as long as that brings more queries.
                let mut before = 0;
                while received.len() > before && received.len() < self.limits.max_queries {
                    before = received.len();
                    tokio::task::yield_now().await;
                    while received.len() < self.limits.max_queries
                        && let Ok(next) = waiting.try_recv()
                    {
                        received.push(next);
                    }
                }
                drop(waiting);
                self.pending.extend(received.drain(..));
            }
            let mut cost = 0_usize;
            while let Some(next) = self.pending.front() {
                let more = cost.saturating_add(next.query.cost());
                if !batch.is_empty() && more > self.limits.cost {
                    break;
                }
                cost = more;
                // A query is dropped if its caller does not wait for the result any more.
                batch.extend(self.pending.pop_front().filter(|next| !next.reply.is_closed()));
            }
            self.run(&mut batch).await;
        }
        if let Some(db) = self.db.take() {
            let _ = timeout(CONNECT_TIMEOUT, db.close()).await;
        }
    }

    /// Runs all queries. If that fails, runs them once more: merged again if the failure concerns all of
    /// them, otherwise each alone, so that a query that the database rejects does not fail the others.
    async fn run(&mut self, batch: &mut Vec<QueuedQuery<Q>>) {
        if batch.is_empty() {
            return;
        }
        metrics::counter!("ormantrace_merged_statements_total", "reader" => self.limits.name).increment(1);
        metrics::counter!("ormantrace_merged_askers_total", "reader" => self.limits.name)
            .increment(u64::try_from(batch.len()).unwrap_or(u64::MAX));
        let error = match self.attempt(batch).await {
            Ok(results) => return send_results(batch, results),
            Err(error) => error,
        };
        tracing::warn!(reader = self.limits.name, error = %error, "merged queries failed; retrying");
        // If a single query may have caused the failure, each query is run alone.
        let size = if concerns_all(&error) { batch.len() } else { 1 };
        while !batch.is_empty() {
            let mut part: Vec<_> = batch.drain(..size.min(batch.len())).collect();
            match self.attempt(&part).await {
                Ok(results) => send_results(&mut part, results),
                Err(error) => {
                    let message = format!("merged queries: {error}");
                    let one = (part.len() == 1).then(|| Error::from(error));
                    let each = one
                        .into_iter()
                        .chain(std::iter::repeat_with(|| Error::Unavailable(message.clone().into())));
                    send_results(&mut part, each.map(Err));
                }
            }
        }
    }

    /// Makes one attempt. After any failure, the connection of the attempt is not used again.
    async fn attempt(&mut self, batch: &[QueuedQuery<Q>]) -> sqlx::Result<Vec<Result<Q::Output>>> {
        let mut db = match self.db.take() {
            Some(db) => db,
            None => connect(&self.database).await?,
        };
        let queries: Vec<&Q> = batch.iter().map(|queued| &queued.query).collect();
        let loading = AssertUnwindSafe(Q::load(&mut db, &queries)).catch_unwind();
        let results = match timeout(self.limits.timeout, loading).await {
            Ok(Ok(results)) => results?,
            Ok(Err(_)) => return Err(sqlx::Error::Protocol("merged queries panicked".into())),
            Err(_) => return Err(timed_out()),
        };
        if results.len() != batch.len() {
            return Err(sqlx::Error::Protocol("merged queries: not one result for each".into()));
        }
        self.db = Some(db);
        Ok(results)
    }
}

fn send_results<Q: BatchQuery>(
    batch: &mut Vec<QueuedQuery<Q>>,
    results: impl IntoIterator<Item = Result<Q::Output>>,
) {
    for (queued, result) in batch.drain(..).zip(results) {
        // The caller may have stopped waiting.
        let _ = queued.reply.send(result);
    }
}

/// Whether the failure concerns all queries of the batch: the database is down, out of resources or too slow.
fn concerns_all(error: &sqlx::Error) -> bool {
    matches!(DatabaseFailure::of(error), DatabaseFailure::Down | DatabaseFailure::Overloaded)
}

fn timed_out() -> sqlx::Error {
    sqlx::Error::Io(std::io::ErrorKind::TimedOut.into())
}

/// Connects, retrying for [`CONNECT_TIMEOUT`] while the server is down.
async fn connect(database: &PgConnectOptions) -> sqlx::Result<PgConnection> {
    let until = Instant::now() + CONNECT_TIMEOUT;
    loop {
        match timeout(CONNECT_TIMEOUT, database.connect()).await {
            Ok(Ok(db)) => return Ok(db),
            Ok(Err(error)) if !is_down(&error) || Instant::now() + CONNECT_BACKOFF > until => {
                return Err(error);
            }
            Ok(Err(_)) => sleep(CONNECT_BACKOFF).await,
            Err(_) => return Err(timed_out()),
        }
    }
}
