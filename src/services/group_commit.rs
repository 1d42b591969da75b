//! Group commit: batchable events of many write requests in one transaction.
//!
//! Most of the cost of a custody event is not its rows but the statements around them and the wait for the
//! disk. So concurrent requests share these costs: a batch of any size takes two statements between BEGIN
//! and COMMIT, and up to three more (organisations named by BIN, past parties, stored responses).
//!
//! Only requests that would succeed without findings are grouped. Such a request is no correction, replaces
//! no seal and comes from no device; no other transaction has locked its logs; the rows of these logs show
//! that the caller has access; it has no errors; and its operation id and idempotency key are new. Any other
//! request is left out, and nothing of it is written; [`crate::timber::custody::record::record`] handles it
//! in a transaction of its own. So all rules stay in `record`, and no request waits for another's locks.

use crate::base::error::{Error, Location, Result};
use crate::base::ids::{LogId, OperationId, OrganizationId};
use crate::base::input::RequestErrors;
use crate::base::region::Region;
use crate::evidence::chain::append::{Rows, link};
use crate::evidence::chain::{Draft, Leaves, Tx};
use crate::evidence::idempotency::operation;
use crate::evidence::idempotency::stored::{self, StoredResponse};
use crate::timber::custody::check::{
    Organizations, OtherParties, named, organizations_if_free, suspended_senders,
};
use crate::timber::custody::harvest::check::MAX_CLOCK_SKEW;
use crate::timber::custody::log::write::{self, Columns, LockedLog, LogsToLock, lock_free};
use crate::timber::custody::record::{
    Access, CustodyResponse, Decided, Plan, RecordedEvent, Recorder, Step, new_past_parties,
};
use crate::timber::custody::request::NewCustodyEvent;
use crate::timber::event::types::LogEventType;
use crate::timber::event::vocabulary::{Status, TransferOf};
use crate::timber::parameter::{Parameters, Rulebook};
use crate::timber::party::key::Caller;
use crate::timber::party::role::Role;
use chrono::{DateTime, Utc};
use std::collections::{HashMap, HashSet};
use std::sync::Arc;
use uuid::Uuid;

/// A write request that may be batched.
#[derive(Clone, Copy)]
pub struct BatchableWrite<'p> {
    /// The caller.
    pub caller: &'p Caller,
    /// The request's body.
    pub request: &'p NewCustodyEvent,
    /// Its fingerprint.
    pub fingerprint: &'p [u8; 32],
    /// The client's idempotency key, and the number of its advisory lock.
    pub key: Option<(&'p str, i64)>,
}

/// Maximum number of logs in a batchable request. A request with more logs gains little from a shared
/// transaction, because most of its cost is its rows.
pub const MAX_LOGS: usize = 100;

/// Whether a request may be batched, judging by the request alone.
#[must_use]
pub fn is_batchable(request: &NewCustodyEvent) -> bool {
    use LogEventType as E;
    // A batch updates only a log's status, parties, pending transfer, carrier, vehicle and last event. The
    // events listed here also change other data, such as the timber data, the seal or a hold, or have a personal
    // part, or need further reads (the export bans, the chain of an unloaded log).
    let special = matches!(
        request.r#type,
        E::Corrected
            | E::SealReplaced
            | E::Detained
            | E::Released
            | E::Inspected
            | E::Unloaded
            | E::Seized
            | E::Confiscated
            | E::Exported
            | E::Sold
    );
    !special && request.device.is_none() && request.logs.len() <= MAX_LOGS
}

/// The result of one request, valid only after the transaction is committed.
pub struct BatchedWrite {
    /// The response.
    pub response: CustodyResponse,
    /// Its events, as leaves of the transparency log.
    pub leaves: Leaves,
}

/// The accepted requests of a batch, decided under lock and not yet stored.
#[derive(Default)]
pub struct GroupCommit {
    events: Rows,
    logs: Columns,
    past: Vec<(LogId, OrganizationId, u32)>,
    operations: OperationRows,
    now: DateTime<Utc>,
    parameters: Arc<Parameters>,
}

#[derive(Default)]
struct OperationRows {
    organization: Vec<Uuid>,
    operation: Vec<Uuid>,
    fingerprint: Vec<Vec<u8>>,
    first: Vec<i32>,
    last: Vec<i32>,
    /// The roles of the caller, joined by commas, as they were when the request arrived.
    roles: Vec<String>,
}

impl GroupCommit {
    /// Locks the logs that no other transaction has locked, and decides each request. Returns the results of
    /// the requests in order; `None` for each request that is left out.
    ///
    /// # Errors
    /// Database errors and corrupt rows.
    pub async fn decide(
        tx: &mut Tx<'_>,
        writes: &[BatchableWrite<'_>],
        rulebook: &Rulebook,
    ) -> Result<(Self, Vec<Option<BatchedWrite>>)> {
        let (known, kept) =
            organizations_if_free(tx, writes.iter().flat_map(|write| named(write.request))).await?;
        let (mut to_lock, mut spans) = (LogsToLock::default(), Vec::with_capacity(writes.len()));
        let mut names = RequestIds::default();
        for write in writes {
            let first = to_lock.len();
            if names.are_new(write) {
                write.add_logs_to(&mut to_lock);
            }
            spans.push(first..to_lock.len());
        }
        let mut rows: HashMap<usize, LockedLog> = lock_free(tx, to_lock).await?.into_iter().collect();
        // The time is read after taking the locks: no event may have an earlier time of receipt than the
        // event before it in its chain, which another transaction may just have committed.
        let mut batch = Self { now: rulebook.now(), parameters: rulebook.parameters(), ..Self::default() };
        let (mut taken, mut suspended) = (HashSet::new(), HashSet::new());
        let mut made = Vec::with_capacity(writes.len());
        for (write, span) in writes.iter().zip(spans) {
            let rows: Vec<LockedLog> = span.filter_map(|index| rows.remove(&index)).collect();
            let complete = rows.len() == write.request.logs.len();
            suspended.extend(suspended_senders(tx, write.caller, write.request, rows.iter()).await?);
            // If two requests name one log, only the first can be in the batch. A request that names a log
            // twice is left out.
            let standing = named(write.request).all(|bin| kept.contains(bin));
            let free = complete && standing && rows.iter().all(|row| taken.insert(row.id));
            made.push(if free { batch.take(write, rows, &known, &suspended) } else { None });
        }
        Ok((batch, made))
    }

    /// Decides one request, and adds it to the batch if it succeeds without findings; otherwise returns
    /// `None`.
    fn take(
        &mut self,
        write: &BatchableWrite<'_>,
        rows: Vec<LockedLog>,
        known: &Organizations,
        suspended: &HashSet<OrganizationId>,
    ) -> Option<BatchedWrite> {
        let BatchableWrite { caller, request, fingerprint, .. } = write;
        // Whether an inspector would decide in its own case is checked outside batches.
        if caller.suspended || caller.is(Role::Inspector) {
            return None;
        }
        let mut errors = RequestErrors::default();
        let others = OtherParties::of(caller, request, known, &mut errors);
        if !errors.is_empty() || request.occurred_at.instant() > self.now + MAX_CLOCK_SKEW {
            return None;
        }
        let operation = request.operation_id.unwrap_or_default();
        let parameters = Arc::clone(&self.parameters);
        let recorder = Recorder::new(caller, request, others, operation, self.now, parameters)
            .with_suspended(suspended.clone());
        let mut plans = Vec::with_capacity(rows.len());
        for row in rows {
            let access = access(caller, &row)?;
            recorder.check(&row.state, access, self.now, Location::body()).ok()?;
            plans.push(Plan { row, access, late: false });
        }
        let Decided { drafts, steps, found } = recorder.decide(plans, None, None).ok()?;
        if !found.is_empty() {
            return None;
        }
        Some(self.add(caller, operation, fingerprint, drafts.into_iter().zip(steps)))
    }

    fn add(
        &mut self,
        caller: &Caller,
        operation: OperationId,
        fingerprint: &[u8; 32],
        decided: impl Iterator<Item = (Draft, Step)>,
    ) -> BatchedWrite {
        let first = self.events.subject.len() + 1;
        let (mut leaves, mut events) = (Leaves::default(), Vec::new());
        for (draft, Step { log, before, after }) in decided {
            let linked = link(&draft, self.now);
            let head = &linked.head;
            leaves.push(head.hash, head.received_at);
            events.push(RecordedEvent { log, seq: head.seq, hash: head.hash });
            self.past.extend(new_past_parties(&before, &after).map(|left| (log, left, head.seq)));
            self.logs.push(&after, head.stored());
            self.events.push(draft, &linked);
        }
        let operations = &mut self.operations;
        operations.organization.push(caller.organization.0);
        let roles: Vec<&str> = caller.roles.iter().map(|role| role.as_str()).collect();
        operations.roles.push(roles.join(","));
        operations.operation.push(operation.0);
        operations.fingerprint.push(fingerprint.to_vec());
        operations.first.push(i32::try_from(first).unwrap_or(i32::MAX));
        operations.last.push(i32::try_from(self.events.subject.len()).unwrap_or(i32::MAX));
        BatchedWrite {
            response: CustodyResponse { operation_id: operation, events, findings: Vec::new() },
            leaves,
        }
    }

    /// When the batch's events were received.
    #[must_use]
    pub fn now(&self) -> DateTime<Utc> {
        self.now
    }

    /// Whether no request was accepted.
    #[must_use]
    pub fn is_empty(&self) -> bool {
        self.operations.operation.is_empty()
    }

    /// Stores the batch in one statement; one more if there are new past parties, and one more if responses
    /// are stored under idempotency keys.
    ///
    /// # Errors
    /// Database errors; among them a unique violation if an operation id or idempotency key was used in the
    /// meantime. [`Error::Stale`] if a caller was suspended or got other roles in the meantime: nothing is stored.
    pub async fn store(self, tx: &mut Tx<'_>, responses: Vec<StoredResponse>) -> Result<()> {
        let Self { events, logs, past, operations, now, .. } = self;
        let stored = sqlx::query_file!(
            "src/services/group_commit.sql",
            &events.subject,
            &events.seq,
            &events.kind,
            &events.received_at,
            &events.hash,
            &events.secret,
            &events.public,
            &events.business,
            &events.event_type as &[&str],
            &events.organization,
            &events.operation,
            &events.occurred_at,
            &events.region as &[Option<&str>],
            &events.entry,
            &logs.status as &[Status],
            &logs.holder_id,
            &logs.owner_id,
            &logs.pending_from as &[Option<Uuid>],
            &logs.pending_to as &[Option<Uuid>],
            &logs.pending_of as &[Option<TransferOf>],
            &logs.carrier_id as &[Option<Uuid>],
            &logs.vehicle as &[Option<String>],
            &logs.last_type as &[LogEventType],
            &logs.last_on,
            &logs.last_region as &[Option<Region>],
            &logs.last_occurred_at,
            &operations.organization,
            &operations.operation,
            &operations.fingerprint,
            &operations.first,
            &operations.last,
            now,
            &operations.roles,
        )
        .execute(&mut **tx)
        .await?
        .rows_affected();
        if stored != events.subject.len() as u64 {
            return Err(Error::Stale("organization"));
        }
        write::record_past_parties(tx, &past).await?;
        stored::store_responses(tx, responses).await
    }
}

impl BatchableWrite<'_> {
    /// The client's operation id and the number of its advisory lock, if the client sent one.
    fn operation(&self) -> Option<(&OperationId, i64)> {
        let id = self.request.operation_id.as_ref()?;
        Some((id, operation::lock_of(self.caller.organization, *id)))
    }

    fn add_logs_to(&self, to_lock: &mut LogsToLock) {
        let operation = self.operation();
        for code in &self.request.logs {
            to_lock.push(code, self.caller.organization, operation, self.key);
        }
    }
}

/// The operation ids and idempotency keys of a batch. Another request that repeats one of them is not added
/// to the batch; it gets a transaction of its own.
#[derive(Default)]
struct RequestIds<'p> {
    operations: HashSet<(OrganizationId, OperationId)>,
    keys: HashSet<(OrganizationId, &'p str)>,
}

impl<'p> RequestIds<'p> {
    fn are_new(&mut self, write: &BatchableWrite<'p>) -> bool {
        let organization = write.caller.organization;
        let operation = write.request.operation_id;
        let operation = operation.is_none_or(|id| self.operations.insert((organization, id)));
        let key = write.key.is_none_or(|(key, _)| self.keys.insert((organization, key)));
        operation && key
    }
}

/// The caller's access to a log as far as the log's row shows it. Past parties are not in that row; `record`
/// looks them up.
fn access(caller: &Caller, row: &LockedLog) -> Option<Access> {
    let me = caller.organization;
    if caller.is(Role::Inspector) || row.state.concerns(me) {
        Some(Access::Full)
    } else {
        (row.issuer == me).then_some(Access::Past)
    }
}
