//! Appends events to chains. The caller holds the head of each chain under lock.
//!
//! The lock order of this crate. Every write transaction runs under READ COMMITTED and takes its locks in one
//! order: idempotency key, operation id, ticket lines, seals, seal batches, tickets, organisations, logs;
//! within each by id. Code that locks a subject's row reads its [`LockedHead`] in the same `SELECT … FOR
//! UPDATE`: PostgreSQL returns the row as it is after the wait, never an older version. An advisory lock
//! returns no row, so code that takes one reads in a separate statement. Group commit
//! ([`crate::services::group_commit`]) never waits for another transaction's locks. The primary key
//! `event_pkey` is the last safeguard: a fork cannot be stored.

use super::bytes::{Entry, Hash, Part, Salt, Secret, SubjectKind, commit, record, subject_ref};
use super::subject::Subject;
use crate::base::error::{Error, Result};
use crate::base::ids::OperationId;
use crate::evidence::chain::Tx;
use chrono::{DateTime, Utc};
use std::sync::Arc;
use uuid::Uuid;

/// The end of a subject's chain, held under the subject's row lock.
///
/// Its members are private, it is not `Clone`, and [`append`] consumes it. So two events cannot follow the
/// same head. A head that was read without the lock is a [`Subject`], to which nothing can be appended.
#[derive(Debug)]
pub struct LockedHead {
    kind: SubjectKind,
    id: Uuid,
    salt: Salt,
    seq: u32,
    hash: Hash,
    received_at: DateTime<Utc>,
}

impl LockedHead {
    /// The head of a chain that has no event yet.
    #[must_use]
    pub fn fresh(kind: SubjectKind, id: Uuid) -> Self {
        Self {
            kind,
            id,
            salt: Salt::random(),
            seq: 0,
            hash: Hash::ZERO,
            received_at: DateTime::<Utc>::UNIX_EPOCH,
        }
    }

    /// Decodes the columns `salt` and `head_…` of a subject's row, which the caller of this function has just
    /// locked.
    ///
    /// # Errors
    /// [`Error::CorruptRow`] if one of them cannot be decoded.
    pub fn stored(
        kind: SubjectKind,
        id: Uuid,
        salt: &[u8],
        head_seq: i32,
        head_hash: &[u8],
        received_at: DateTime<Utc>,
    ) -> Result<Self> {
        let Subject { salt, events, .. } = Subject::stored(kind, id, salt, head_seq)?;
        let corrupt = || Error::CorruptRow(format!("{}.head_hash of {id}", kind.name()));
        let hash = Hash::from_slice(head_hash).ok_or_else(corrupt)?;
        Ok(Self { kind, id, salt, seq: events, hash, received_at })
    }

    /// Kind of the subject.
    #[must_use]
    pub fn kind(&self) -> SubjectKind {
        self.kind
    }

    /// Id of the subject.
    #[must_use]
    pub fn id(&self) -> Uuid {
        self.id
    }

    /// Position of the event that [`append`] will add.
    #[must_use]
    pub fn next_seq(&self) -> u32 {
        self.seq + 1
    }
}

/// Personal data of a write request, in its own table so that deleting one row erases it.
#[derive(Clone)]
pub struct Personal {
    /// Row of table `personal`.
    pub id: Uuid,
    /// The canonical text.
    pub text: String,
    /// Its secret.
    pub secret: Secret,
}

impl Personal {
    /// The personal part `text`, under an id of its own.
    #[must_use]
    pub fn new(text: String) -> Self {
        Self { id: OperationId::new().0, text, secret: Secret::random() }
    }

    /// Stores the personal part of a write request, once for all its events.
    pub async fn store(self, tx: &mut Tx<'_>, organization: Uuid, now: DateTime<Utc>) -> Result<Arc<Self>> {
        sqlx::query!(
            "INSERT INTO personal (id, organization_id, text, secret, created_at) VALUES ($1, $2, $3, $4, $5)",
            self.id,
            organization,
            self.text,
            self.secret.0.as_slice(),
            now
        )
        .execute(&mut **tx)
        .await?;
        Ok(Arc::new(self))
    }
}

/// An event ready to append: its parts as canonical text, and copies of some members as columns for search.
pub struct Draft {
    /// The head it is appended to.
    pub head: LockedHead,
    /// Public part.
    pub public: String,
    /// Business part.
    pub business: String,
    /// Personal part, if it has one.
    pub personal: Option<Arc<Personal>>,
    /// Type, as in the public part.
    pub event_type: &'static str,
    /// The organisation that records the event, as in the business part.
    pub organization: Uuid,
    /// The operation id of the write request, as in the business part.
    pub operation: Uuid,
    /// The time at which the event happened, as the client states it; the same as in the business part.
    pub occurred_at: DateTime<Utc>,
    /// Region, as in the public part.
    pub region: Option<&'static str>,
}

/// The head after an append. The caller must write it into the subject's row ([`NewHead::stored`]).
///
/// It is not `Clone`: [`NewHead::into_locked`] consumes it, so that only one event can follow it.
#[must_use = "the new head must be written into the subject's row"]
#[derive(Debug)]
pub struct NewHead {
    /// Kind of the subject.
    pub kind: SubjectKind,
    /// The subject.
    pub id: Uuid,
    /// The salt of the subject's ref, for the row of a new subject.
    pub salt: Salt,
    /// Number of events now.
    pub seq: u32,
    /// Hash of the event just added.
    pub hash: Hash,
    /// When the added event was received; never earlier than the time of the event before it.
    pub received_at: DateTime<Utc>,
}

impl NewHead {
    /// `seq` in the type of its column.
    #[must_use]
    pub fn seq_i32(&self) -> i32 {
        i32::try_from(self.seq).unwrap_or(i32::MAX)
    }

    /// The new head as it is written into the subject's row.
    #[must_use]
    pub fn stored(&self) -> StoredHead {
        StoredHead { id: self.id, seq: self.seq_i32(), hash: self.hash, received_at: self.received_at }
    }

    /// The head for the next event in the same transaction, which still holds the lock.
    #[must_use]
    pub fn into_locked(self) -> LockedHead {
        let Self { kind, id, salt, seq, hash, received_at } = self;
        LockedHead { kind, id, salt, seq, hash, received_at }
    }
}

/// A head as the subject's row states it. No event can be appended to it.
#[derive(Clone, Copy, Debug)]
pub struct StoredHead {
    /// The subject.
    pub id: Uuid,
    /// Number of events.
    pub seq: i32,
    /// Hash of the newest event.
    pub hash: Hash,
    /// When the newest event was received.
    pub received_at: DateTime<Utc>,
}

/// Maximum number of events in one statement. A connection never shrinks its buffers below the largest
/// statement it has sent: a harvest of 5,000 in one statement would leave each connection some ten megabytes.
pub const MAX_EVENTS_PER_STATEMENT: usize = 500;

/// Appends one event to each head and returns the new heads in the same order.
///
/// The same statement inserts the entries into the register's queue, in the order of the
/// drafts, so that no event is missing from the queue. One round trip for every
/// [`MAX_EVENTS_PER_STATEMENT`] drafts.
pub async fn append(tx: &mut Tx<'_>, now: DateTime<Utc>, drafts: Vec<Draft>) -> Result<Vec<NewHead>> {
    let mut heads = Vec::with_capacity(drafts.len());
    let mut drafts = drafts.into_iter();
    while drafts.len() > 0 {
        let mut rows = Rows::with_capacity(drafts.len().min(MAX_EVENTS_PER_STATEMENT));
        for draft in drafts.by_ref().take(MAX_EVENTS_PER_STATEMENT) {
            let head = link(&draft, now);
            rows.push(draft, &head);
            heads.push(head.head);
        }
        store(tx, &rows).await?;
    }
    for head in &heads {
        tx.record_leaf(head.hash, head.received_at);
    }
    Ok(heads)
}

async fn store(tx: &mut Tx<'_>, rows: &Rows) -> Result<()> {
    let stored = sqlx::query!(
        "WITH queued AS (
             INSERT INTO leaf_queue (entry, subject_id, seq)
             SELECT entry, subject_id, seq
             FROM UNNEST($16::bytea[], $1::uuid[], $2::int[]) WITH ORDINALITY AS draft (entry, subject_id, seq, place)
             ORDER BY place
         )
         INSERT INTO event (subject_id, seq, subject_kind, received_at, hash, secret, public, business,
                            personal_commitment, personal_id, type, organization_id, operation_id, occurred_at, region)
         SELECT * FROM UNNEST($1::uuid[], $2::int[], $3::smallint[], $4::timestamptz[], $5::bytea[], $6::bytea[],
                              $7::text[], $8::text[], $9::bytea[], $10::uuid[], $11::text[], $12::uuid[], $13::uuid[],
                              $14::timestamptz[], $15::text[])",
        &rows.subject,
        &rows.seq,
        &rows.kind,
        &rows.received_at,
        &rows.hash,
        &rows.secret,
        &rows.public,
        &rows.business,
        &rows.personal_commitment as &[Option<Vec<u8>>],
        &rows.personal_id as &[Option<Uuid>],
        &rows.event_type as &[&str],
        &rows.organization,
        &rows.operation,
        &rows.occurred_at,
        &rows.region as &[Option<&str>],
        &rows.entry,
    )
    .execute(&mut **tx)
    .await?
    .rows_affected();
    debug_assert_eq!(stored, rows.subject.len() as u64);
    Ok(())
}

/// A draft that has become the next event of its chain: seq, previous hash and time of receipt are set. It is
/// not stored yet.
pub(crate) struct Linked {
    pub(crate) head: NewHead,
    entry: Entry,
    secret: Secret,
    personal_commitment: Option<Hash>,
}

/// Makes a draft the next event of its chain. Its `received_at` is the later of `now` and the time of the
/// head, so that it never decreases within a chain, even if the clock is set back.
pub(crate) fn link(draft: &Draft, now: DateTime<Utc>) -> Linked {
    let LockedHead { kind, id, salt, hash: prev, received_at: last, .. } = &draft.head;
    let seq = draft.head.next_seq();
    let received_at = now.max(*last);
    let secret = Secret::random();
    let personal_commitment =
        draft.personal.as_ref().map(|p| commit(Part::Personal, &p.secret.personal_salt(*id, seq), &p.text));
    let record = record(
        commit(Part::Public, &secret.salt(Part::Public), &draft.public),
        commit(Part::Business, &secret.salt(Part::Business), &draft.business),
        personal_commitment.unwrap_or(Hash::ZERO),
    );
    let entry = Entry::new(subject_ref(*kind, *id, salt), seq, received_at, *prev, record);
    let head = NewHead { kind: *kind, id: *id, salt: *salt, seq, hash: entry.link(), received_at };
    Linked { head, entry, secret, personal_commitment }
}

/// Event rows as one array per column.
#[derive(Default)]
pub(crate) struct Rows {
    pub(crate) subject: Vec<Uuid>,
    pub(crate) seq: Vec<i32>,
    pub(crate) kind: Vec<i16>,
    pub(crate) received_at: Vec<DateTime<Utc>>,
    pub(crate) hash: Vec<Vec<u8>>,
    pub(crate) secret: Vec<Vec<u8>>,
    pub(crate) public: Vec<String>,
    pub(crate) business: Vec<String>,
    personal_commitment: Vec<Option<Vec<u8>>>,
    personal_id: Vec<Option<Uuid>>,
    pub(crate) event_type: Vec<&'static str>,
    pub(crate) organization: Vec<Uuid>,
    pub(crate) operation: Vec<Uuid>,
    pub(crate) occurred_at: Vec<DateTime<Utc>>,
    pub(crate) region: Vec<Option<&'static str>>,
    pub(crate) entry: Vec<Vec<u8>>,
}

impl Rows {
    fn with_capacity(n: usize) -> Self {
        Self { public: Vec::with_capacity(n), business: Vec::with_capacity(n), ..Self::default() }
    }

    pub(crate) fn push(&mut self, draft: Draft, linked: &Linked) {
        self.subject.push(linked.head.id);
        self.seq.push(linked.head.seq_i32());
        self.kind.push(i16::from(draft.head.kind.byte()));
        self.received_at.push(linked.head.received_at);
        self.hash.push(linked.head.hash.0.to_vec());
        self.secret.push(linked.secret.0.to_vec());
        self.public.push(draft.public);
        self.business.push(draft.business);
        self.personal_commitment.push(linked.personal_commitment.map(|h| h.0.to_vec()));
        self.personal_id.push(draft.personal.map(|p| p.id));
        self.event_type.push(draft.event_type);
        self.organization.push(draft.organization);
        self.operation.push(draft.operation);
        self.occurred_at.push(draft.occurred_at);
        self.region.push(draft.region);
        self.entry.push(linked.entry.as_bytes().to_vec());
    }
}
