//! Group commit of custody events ([`crate::services::group_commit`]). Like the hot reads, it uses a batch
//! loader with a connection of its own, outside the pool.

use crate::base::error::{Error, Result};
use crate::db::batching::{BatchLimits, BatchLoader, BatchQuery};
use crate::db::is_down;
use crate::evidence::chain::Tx;
use crate::evidence::idempotency::stored::{Made, MadeKind, StoredResponse, lock_of};
use crate::http::core::app::App;
use crate::http::core::problem::Problem;
use crate::http::core::write::{WriteRequest, WriteResponse};
use crate::services::group_commit::{self, BatchedWrite, GroupCommit, MAX_LOGS, is_batchable};
use crate::services::reads::with_generic_plans;
use crate::timber::custody::record::CustodyResponse;
use crate::timber::custody::request::NewCustodyEvent;
use crate::timber::event::types::LogEventType;
use crate::timber::party::key::Caller;
use axum::response::Response;
use sqlx::PgPool;
use sqlx::postgres::{PgConnectOptions, PgConnection};
use std::sync::Arc;
use std::time::Duration;
use tokio::time::timeout;

/// Timeout of all statements of a batch before its COMMIT. After the timeout, the batch is retried once on a
/// new connection.
const STATEMENTS_TIMEOUT: Duration = Duration::from_secs(5);
/// Timeout of COMMIT. After the timeout, it is unknown whether the batch was committed.
const COMMIT_TIMEOUT: Duration = Duration::from_secs(15);

/// Limits of a batch. The cost of a write is its number of logs.
const WRITES: BatchLimits = BatchLimits {
    name: "custody_events",
    connections: 1,
    queue: 1_024,
    max_queries: 64,
    cost: 500,
    // This timeout applies to an entire attempt. It is longer than the timeouts of the statements and of
    // COMMIT together, so that it never ends a COMMIT, which must not be retried.
    timeout: Duration::from_mins(1),
};

/// The queue of batchable writes. Clones share it.
pub type Writes = BatchLoader<QueuedWrite>;

/// A queue of writes to the database of `pool`. Its connection has the same role as those of `pool`.
///
/// # Panics
/// Outside a tokio runtime.
#[must_use]
pub fn writes(pool: &PgPool) -> Writes {
    let options: PgConnectOptions = pool.connect_options().as_ref().clone();
    let options = with_generic_plans(options).application_name("ormantrace-writer");
    BatchLoader::new(&Arc::new(options), WRITES)
}

/// A batchable write in the queue.
pub struct QueuedWrite {
    app: App,
    content: Arc<(NewCustodyEvent, Caller)>,
    write: WriteRequest,
}

/// Records a custody event in a batch with the writes that arrive at the same time. `None` if the event needs
/// a transaction of its own; in this case nothing was written.
///
/// # Errors
/// The database is unavailable, too many writes wait, or the outcome of COMMIT is unknown.
pub async fn record(
    app: &App,
    content: &Arc<(NewCustodyEvent, Caller)>,
    write: &WriteRequest,
) -> Result<Option<Response>, Problem> {
    if !is_batchable(&content.0) || app.queue.behind().is_some() {
        return Ok(None);
    }
    let queued = QueuedWrite { app: app.clone(), content: Arc::clone(content), write: write.clone() };
    Ok(app.writes.load(queued).await?.map(WriteResponse::into_response))
}

impl QueuedWrite {
    fn write(&self) -> group_commit::BatchableWrite<'_> {
        let (request, caller) = &*self.content;
        let key = self.write.idempotency_key.as_deref();
        group_commit::BatchableWrite {
            caller,
            request,
            fingerprint: &self.write.fingerprint,
            key: key.map(|key| (key, lock_of(caller.organization, key))),
        }
    }

    /// The response, and the stored response if the client sent an idempotency key.
    fn done(
        &self,
        made: &BatchedWrite,
        now: chrono::DateTime<chrono::Utc>,
    ) -> (WriteResponse, Option<StoredResponse>) {
        let (request, caller) = &*self.content;
        let mut done = done(request, &made.response);
        if let Some(receipt) = self.app.queue.receipt(&made.leaves) {
            done = done.with_receipt(receipt);
        }
        let key = self.write.idempotency_key.as_deref();
        let stored =
            key.map(|key| done.stored_response(caller.organization, key, self.write.fingerprint, now));
        (done, stored)
    }
}

impl BatchQuery for QueuedWrite {
    /// `None` for a write that needs a transaction of its own.
    type Output = Option<WriteResponse>;

    fn cost(&self) -> usize {
        self.content.0.logs.len().min(MAX_LOGS)
    }

    /// Returns an error only if nothing can have been committed, because the batch loader retries a failed
    /// batch.
    async fn load(
        db: &mut PgConnection,
        queries: &[&Self],
    ) -> sqlx::Result<Vec<Result<Option<WriteResponse>>>> {
        let Some(app) = queries.first().map(|query| query.app.clone()) else { return Ok(Vec::new()) };
        let mut tx = Tx::on(db).await?;
        let late = || Err(Error::Database(sqlx::Error::Io(std::io::ErrorKind::TimedOut.into())));
        let done = match timeout(STATEMENTS_TIMEOUT, within(&mut tx, &app, queries))
            .await
            .unwrap_or_else(|_| late())
        {
            Ok(done) => done,
            Err(Error::Database(error)) if is_down(&error) => return Err(error),
            Err(error) => {
                tracing::warn!(postings = queries.len(), %error, "batch failed; run one by one");
                Vec::new()
            }
        };
        if done.iter().all(Option::is_none) {
            tx.rollback().await?;
            return Ok(queries.iter().map(|_| Ok(None)).collect());
        }
        let leaves = tx.leaves().hashes.len();
        let outcome: fn(WriteResponse) -> Result<Option<WriteResponse>> = match timeout(
            COMMIT_TIMEOUT,
            tx.commit(),
        )
        .await
        {
            Ok(Ok(())) => {
                app.queue.committed(leaves);
                let count = done.iter().flatten().count() as u64;
                metrics::counter!("ormantrace_transactions_total", "transaction" => "record_custody_event")
                    .increment(count);
                |done| Ok(Some(done))
            }
            // PostgreSQL rejected the COMMIT: nothing was written.
            Ok(Err(error)) if !is_down(&error) => |_| Ok(None),
            Ok(Err(_)) | Err(_) => {
                |_| Err(Error::OutcomeUnknown(sqlx::Error::Io(std::io::ErrorKind::ConnectionAborted.into())))
            }
        };
        Ok(done.into_iter().map(|done| done.map_or(Ok(None), outcome)).collect())
    }
}

/// Runs everything between BEGIN and COMMIT. Returns a response for each write that succeeds in the batch,
/// and `None` for each other write.
async fn within(tx: &mut Tx<'_>, app: &App, queries: &[&QueuedWrite]) -> Result<Vec<Option<WriteResponse>>> {
    let writes: Vec<_> = queries.iter().map(|query| query.write()).collect();
    let (batch, made) = GroupCommit::decide(tx, &writes, &app.rulebook).await?;
    let mut stored = Vec::new();
    let done = queries.iter().zip(made).map(|(query, made)| {
        let made = made?;
        for hash in &made.leaves.hashes {
            tx.record_leaf(*hash, made.leaves.received_at);
        }
        let (done, response) = query.done(&made, batch.now());
        stored.extend(response);
        Some(done)
    });
    let done = done.collect();
    if !batch.is_empty() {
        batch.store(tx, stored).await?;
    }
    Ok(done)
}

/// The response to a recorded event.
pub(in crate::http) fn done(request: &NewCustodyEvent, response: &CustodyResponse) -> WriteResponse {
    with_hashes(
        request,
        WriteResponse::created(response, Made::new(MadeKind::Operation, response.operation_id)),
    )
}

/// The response contains the hash of every new event, unless a seal was replaced. A replacement also adds an
/// event to the batch of the old seal, and the hash of this event is not in the response.
pub(in crate::http) fn with_hashes(request: &NewCustodyEvent, done: WriteResponse) -> WriteResponse {
    if request.r#type == LogEventType::SealReplaced { done } else { done.with_hashes() }
}
