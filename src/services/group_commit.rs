//! Plain events of many postings in one transaction.
//!
//! Most of what a custody event costs is not its rows: it is the statements around them and the wait for
//! the disk. So postings that come at the same time share them, and go to the database in two statements
//! between BEGIN and COMMIT, whatever their number.
//!
//! Only what plainly goes through is taken: no correction and no new seal, logs that nobody holds, a
//! caller who has a part in them, no fault, nothing unusual, no name that was given before. Whatever is
//! anything else is left, and nothing of it is written; [`crate::timber::custody::record::record`] makes of it what it is,
//! in a transaction of its own. So no rule stands here, and no posting waits for another's locks.

use crate::base::clock::Clock;
use crate::base::error::{At, Result};
use crate::base::ids::{LogId, OperationId, OrganizationId};
use crate::evidence::chain::append::{Rows, link};
use crate::evidence::chain::{Leaves, Tx};
use crate::evidence::idempotency::operation;
use crate::evidence::idempotency::stored::{self, Kept};
use crate::timber::custody::harvest::record::{AHEAD, Faults};
use crate::timber::custody::log::row::{self, Columns, LogRow, Wanted, lock_free};
use crate::timber::custody::record::{
    CustodyAnswer, Decided, Organizations, Others, Plan, RecordedEvent, Recorder, Sight, leaving, named,
    organizations,
};
use crate::timber::custody::request::NewCustodyEvent;
use crate::timber::event::words::{EventType, Status, TransferOf};
use crate::timber::party::key::Caller;
use crate::timber::party::role::Role;
use chrono::{DateTime, Utc};
use std::collections::{HashMap, HashSet};
use uuid::Uuid;

/// A posting that may go with others.
#[derive(Clone, Copy)]
pub struct Posting<'p> {
    /// Who posts.
    pub caller: &'p Caller,
    /// What.
    pub request: &'p NewCustodyEvent,
    /// Its fingerprint.
    pub fingerprint: &'p [u8; 32],
    /// The client's idempotency key, and the lock that stands for it.
    pub key: Option<(&'p str, i64)>,
}

/// Logs of a posting that goes with others, at most: one of a whole pile has enough to do of its own.
pub const MOST_LOGS: usize = 100;

/// Whether a posting may go with others, as far as it says itself.
#[must_use]
pub fn is_plain(request: &NewCustodyEvent) -> bool {
    let special = matches!(request.r#type, EventType::Corrected | EventType::SealReplaced);
    !special && request.device.is_none() && request.logs.len() <= MOST_LOGS
}

/// What a posting makes, once it is committed.
pub struct Made {
    /// What to answer.
    pub answer: CustodyAnswer,
    /// Its events.
    pub leaves: Leaves,
}

/// Postings that go through, decided under lock and not yet stored.
#[derive(Default)]
pub struct Together {
    events: Rows<'static>,
    logs: Columns,
    past: Vec<(LogId, OrganizationId, u32)>,
    operations: Operations,
    now: DateTime<Utc>,
}

#[derive(Default)]
struct Operations {
    organization: Vec<Uuid>,
    operation: Vec<Uuid>,
    fingerprint: Vec<Vec<u8>>,
    first: Vec<i32>,
    last: Vec<i32>,
}

impl Together {
    /// Locks what is free and decides; what each posting makes, in their order, nothing for those that
    /// are left.
    ///
    /// # Errors
    /// The database's own, and rows that cannot be.
    pub async fn decide(
        tx: &mut Tx<'_>,
        postings: &[Posting<'_>],
        clock: &Clock,
    ) -> Result<(Self, Vec<Option<Made>>)> {
        let known = organizations(tx, postings.iter().flat_map(|posting| named(posting.request))).await?;
        let (mut wanted, mut spans) = (Wanted::default(), Vec::with_capacity(postings.len()));
        let mut names = Names::default();
        for posting in postings {
            let first = wanted.len();
            if names.are_new(posting) {
                posting.want(&mut wanted);
            }
            spans.push(first..wanted.len());
        }
        let mut rows: HashMap<usize, LogRow> = lock_free(tx, wanted).await?.into_iter().collect();
        // Read behind the locks, as for one posting alone.
        let mut together = Self { now: clock.now(), ..Self::default() };
        let mut taken = HashSet::new();
        let mut made = Vec::with_capacity(postings.len());
        for (posting, span) in postings.iter().zip(spans) {
            let rows: Vec<LogRow> = span.filter_map(|place| rows.remove(&place)).collect();
            let whole = rows.len() == posting.request.logs.len();
            // A log of two postings, or twice in one, goes with the first.
            let free = whole && rows.iter().all(|row| taken.insert(row.id));
            made.push(if free { together.take(posting, rows, &known) } else { None });
        }
        Ok((together, made))
    }

    /// Adds a posting, if it goes through.
    fn take(&mut self, posting: &Posting<'_>, rows: Vec<LogRow>, known: &Organizations) -> Option<Made> {
        let Posting { caller, request, fingerprint, .. } = posting;
        let mut faults = Faults::default();
        let others = Others::of(caller, request, known, &mut faults);
        if !faults.is_empty() || request.occurred_at.instant() > self.now + AHEAD {
            return None;
        }
        let operation = request.operation_id.unwrap_or_default();
        let recorder = Recorder::new(caller, request, others, operation, self.now);
        let mut plans = Vec::with_capacity(rows.len());
        for row in rows {
            let sight = sight(caller, &row)?;
            recorder.check(&row.state, sight, At::Pointer(String::new())).ok()?;
            plans.push(Plan { row, sight, late: false });
        }
        let Decided { drafts, afters, found } = recorder.decide(plans, None, None).ok()?;
        if !found.is_empty() {
            return None;
        }
        Some(self.add(caller.organization, operation, fingerprint, drafts.into_iter().zip(afters)))
    }

    fn add(
        &mut self,
        organization: OrganizationId,
        operation: OperationId,
        fingerprint: &[u8; 32],
        decided: impl Iterator<
            Item = (
                crate::evidence::chain::Draft<'static>,
                (LogRow, crate::timber::custody::state::LogState),
            ),
        >,
    ) -> Made {
        let first = self.events.subject.len() + 1;
        let (mut leaves, mut events) = (Leaves::default(), Vec::new());
        for (draft, (row, after)) in decided {
            let linked = link(&draft, self.now);
            let head = &linked.head;
            leaves.push(head.hash, head.received_at);
            events.push(RecordedEvent { log: row.id, seq: head.seq, hash: head.hash });
            self.past.extend(leaving(&row.state, &after).map(|left| (row.id, left, head.seq)));
            self.logs.push(&after, head);
            self.events.push(draft, &linked);
        }
        let operations = &mut self.operations;
        operations.organization.push(organization.0);
        operations.operation.push(operation.0);
        operations.fingerprint.push(fingerprint.to_vec());
        operations.first.push(i32::try_from(first).unwrap_or(i32::MAX));
        operations.last.push(i32::try_from(self.events.subject.len()).unwrap_or(i32::MAX));
        Made { answer: CustodyAnswer { operation_id: operation, events, findings: Vec::new() }, leaves }
    }

    /// When they were received.
    #[must_use]
    pub fn now(&self) -> DateTime<Utc> {
        self.now
    }

    /// Whether no posting goes through.
    #[must_use]
    pub fn is_empty(&self) -> bool {
        self.operations.operation.is_empty()
    }

    /// Stores all of it, and the answers that are kept, in one statement; in one more each if a log leaves
    /// somebody, and if an answer is kept.
    ///
    /// # Errors
    /// The database's own: among them, that a name was given in the meantime.
    pub async fn store(self, tx: &mut Tx<'_>, kept: Vec<Kept>) -> Result<()> {
        let Self { events, logs, past, operations, now } = self;
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
            &logs.last_type as &[EventType],
            &logs.last_on,
            &logs.last_region as &[Option<String>],
            &logs.last_occurred_at,
            &operations.organization,
            &operations.operation,
            &operations.fingerprint,
            &operations.first,
            &operations.last,
            now,
        )
        .execute(&mut **tx)
        .await?
        .rows_affected();
        debug_assert_eq!(stored, events.subject.len() as u64);
        row::leave(tx, &past).await?;
        stored::keep(tx, kept).await
    }
}

impl Posting<'_> {
    /// The lock that stands for the client's name of the posting, if it gave one.
    fn operation(&self) -> Option<(&OperationId, i64)> {
        let id = self.request.operation_id.as_ref()?;
        Some((id, operation::lock_of(self.caller.organization, *id)))
    }

    fn want(&self, wanted: &mut Wanted) {
        let operation = self.operation();
        for code in &self.request.logs {
            wanted.push(code, self.caller.organization, operation, self.key);
        }
    }
}

/// Names of postings, of which a second one of the same name is not new.
#[derive(Default)]
struct Names<'p> {
    operations: HashSet<(OrganizationId, OperationId)>,
    keys: HashSet<(OrganizationId, &'p str)>,
}

impl<'p> Names<'p> {
    fn are_new(&mut self, posting: &Posting<'p>) -> bool {
        let organization = posting.caller.organization;
        let operation = posting.request.operation_id;
        let operation = operation.is_none_or(|id| self.operations.insert((organization, id)));
        let key = posting.key.is_none_or(|(key, _)| self.keys.insert((organization, key)));
        operation && key
    }
}

/// How much of a log the caller may see, as far as its row tells; whether he had a part in it before is
/// asked elsewhere.
fn sight(caller: &Caller, row: &LogRow) -> Option<Sight> {
    let me = caller.organization;
    if caller.is(Role::Inspector) || row.state.concerns(me) {
        Some(Sight::Whole)
    } else {
        (row.issuer == me).then_some(Sight::Past)
    }
}
