//! Reads chains of any kind of subject: one page by page, or many short ones at once.

use super::bytes::{Hash, Salt, Secret};
pub use super::disclosure::{
    DisclosedEvent, DisclosedPart, DisclosedParts, EventFields, EventMembers, Evidence,
};
use super::subject::Subject;
use crate::base::error::{Error, Result};
use chrono::{DateTime, Utc};
use sqlx::PgConnection;
use std::collections::HashMap;
use uuid::Uuid;

/// An event as stored, with the hash of the event before it.
#[derive(Clone)]
pub struct StoredEvent {
    /// Place in the chain, from 1.
    pub seq: u32,
    /// When the server received it.
    pub received_at: DateTime<Utc>,
    /// Its hash.
    pub hash: Hash,
    /// Hash of the event before it; zero for the first.
    pub prev: Hash,
    /// The secret from which the salts of the public and business part are derived. Never disclosed.
    pub secret: Secret,
    /// Canonical text of the public part.
    pub public: String,
    /// Canonical text of the business part.
    pub business: String,
    /// The commitment to the personal part, if the event has, or had, one.
    pub personal_commitment: Option<Hash>,
    /// The personal part. `None` if the event never had one, and also before [`Chain::open`] adds it.
    pub personal: Option<Personal>,
}

/// A personal part: stored or erased.
#[derive(Clone)]
pub enum Personal {
    /// Its text is stored.
    Opened {
        /// Its salt for this event.
        salt: Salt,
        /// Its canonical text.
        text: String,
    },
    /// It was erased; only the commitment remains.
    Erased,
}

/// Which parts a reader may see.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub struct Disclosure {
    /// What a buyer may see.
    pub public: bool,
    /// What the parties and inspectors may see.
    pub business: bool,
    /// Names and IIN.
    pub personal: bool,
}

impl Disclosure {
    /// Everything.
    pub const ALL: Self = Self { public: true, business: true, personal: true };
    /// Everything except the personal part.
    pub const BUSINESS: Self = Self { public: true, business: true, personal: false };
    /// No part is disclosed, only the commitments, which are enough to recompute the hashes.
    pub const CLOSED: Self = Self { public: false, business: false, personal: false };
}

/// Maximum number of events per query; a longer chain is read page by page.
pub const PAGE: u32 = 500;

/// A position between two events of a chain, where a page begins.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub struct ChainPosition {
    after: u32,
    prev: Hash,
}

impl Default for ChainPosition {
    fn default() -> Self {
        Self { after: 0, prev: Hash::ZERO }
    }
}

impl ChainPosition {
    /// The position after `event`.
    #[must_use]
    pub fn after(event: &StoredEvent) -> Self {
        Self { after: event.seq, prev: event.hash }
    }

    /// Number of events before it.
    #[must_use]
    pub fn events(self) -> u32 {
        self.after
    }
}

/// The pages of one chain, in order, up to the number of events that the subject had when it was read. No
/// connection is held between two pages.
#[derive(Clone, Copy, Debug)]
pub struct ChainPages {
    subject: Subject,
    next: ChainPosition,
}

impl ChainPages {
    /// The pages of this subject's chain.
    #[must_use]
    pub fn of(subject: Subject) -> Self {
        Self { subject, next: ChainPosition::default() }
    }

    /// The events of the next page, each with the parts that `open` allows the reader to see; none after the
    /// last page. One index scan of `event_pkey`; one more query if an event has a personal part.
    ///
    /// # Errors
    /// A database error, or a corrupt or missing row.
    pub async fn next(
        &mut self,
        db: &mut PgConnection,
        open: impl Fn(&StoredEvent) -> Disclosure,
    ) -> Result<Vec<DisclosedEvent>> {
        if self.next.after >= self.subject.events {
            return Ok(Vec::new());
        }
        let mut chain = read_page(db, self.subject.id, self.next, self.subject.events).await??;
        chain.open(|_| true);
        if let Some(last) = chain.events.last() {
            self.next = ChainPosition::after(last);
        }
        let reference = self.subject.reference();
        let shown = chain.events.into_iter().map(|event| {
            let open = open(&event);
            event.shown(reference, open)
        });
        Ok(shown.collect())
    }
}

/// One page of a chain: the events after `start`, up to and including `up_to`, but at most [`PAGE`]. Their
/// personal parts are read too, but [`Chain::open`] must put them into the events. A missing event is an
/// error, so that no response is shorter than the chain.
///
/// # Errors
/// The outer error is a database error while reading events. The inner error is a corrupt row, or a database
/// error while reading personal parts.
pub async fn read_page(
    db: &mut PgConnection,
    subject: Uuid,
    start: ChainPosition,
    up_to: u32,
) -> sqlx::Result<Result<Chain>> {
    let up_to = up_to.min(start.after.saturating_add(PAGE));
    let rows = page(db, subject, start.after, up_to).await?;
    let mut chain = Chain { subject, prev: start.prev, ..Chain::default() };
    let grown = chain.grow(rows, None).and_then(|()| chain.check_complete(start.after, up_to));
    if let Err(error) = grown {
        return Ok(Err(error));
    }
    match chain.read_persons(db).await {
        Ok(()) => Ok(Ok(chain)),
        Err(error) => Ok(Err(error)),
    }
}

/// Rows of one chain, not decoded yet, in order.
#[derive(Clone, Default)]
pub struct Rows {
    subject: Uuid,
    rows: Vec<Row>,
}

#[derive(Clone)]
struct Row {
    subject_id: Uuid,
    seq: i32,
    received_at: DateTime<Utc>,
    hash: Vec<u8>,
    secret: Vec<u8>,
    public: String,
    business: String,
    personal_commitment: Option<Vec<u8>>,
    personal_id: Option<Uuid>,
    /// The text of the personal part; `None` if it was erased, or was not queried.
    person: Option<String>,
    person_secret: Option<Vec<u8>>,
}

/// The events of a chain after `after`, up to and including `up_to`. One round trip.
///
/// # Errors
/// A database error.
pub async fn page(db: &mut PgConnection, subject: Uuid, after: u32, up_to: u32) -> sqlx::Result<Rows> {
    let [after, up_to] = [after, up_to].map(|seq| i32::try_from(seq).unwrap_or(i32::MAX));
    let rows = sqlx::query_as!(
        Row,
        r#"SELECT subject_id, seq, received_at, hash, secret, public, business, personal_commitment, personal_id,
                  NULL::text AS "person?", NULL::bytea AS "person_secret?"
           FROM event WHERE subject_id = $1 AND seq > $2 AND seq <= $3 ORDER BY seq"#,
        subject,
        after,
        up_to
    )
    .fetch_all(db)
    .await?;
    Ok(Rows { subject, rows })
}

/// The chains of many subjects. One round trip and one index-only scan of `event_pkey`. The rows are sorted
/// here, not by `ORDER BY`: the planner does not know that they come in order and would sort all of them.
///
/// # Errors
/// A database error.
pub async fn chains(db: &mut PgConnection, subjects: &[Uuid]) -> sqlx::Result<HashMap<Uuid, Rows>> {
    let rows = sqlx::query_file_as!(Row, "src/evidence/chain/chains.sql", subjects).fetch_all(db).await?;
    let mut chains: HashMap<Uuid, Rows> = HashMap::with_capacity(subjects.len());
    for row in rows {
        let subject = row.subject_id;
        chains.entry(subject).or_insert_with(|| Rows { subject, rows: Vec::new() }).rows.push(row);
    }
    for chain in chains.values_mut() {
        chain.rows.sort_unstable_by_key(|row| row.seq);
    }
    Ok(chains)
}

impl Rows {
    /// Whether there are none.
    #[must_use]
    pub fn is_empty(&self) -> bool {
        self.rows.is_empty()
    }

    /// Decodes the rows as events and drops those after `up_to`. The events have no personal parts before
    /// [`Chain::open`].
    ///
    /// # Errors
    /// A corrupt row.
    pub fn chain(self, up_to: Option<u32>) -> Result<Chain> {
        let mut chain = Chain { subject: self.subject, ..Chain::default() };
        chain.grow(self, up_to)?;
        Ok(chain)
    }
}

/// Consecutive events of one chain, and the ids of the `personal` rows that they have, or had.
pub struct Chain {
    subject: Uuid,
    /// Hash of the event before the first of `events`.
    prev: Hash,
    /// The events.
    pub events: Vec<StoredEvent>,
    /// For each event, the id of its row of table `personal`; `None` if it never had a personal part.
    pub personal: Vec<Option<Uuid>>,
    /// The personal parts read so far; access to them is not checked here.
    persons: Persons,
}

impl Default for Chain {
    fn default() -> Self {
        Self {
            subject: Uuid::nil(),
            prev: Hash::ZERO,
            events: Vec::new(),
            personal: Vec::new(),
            persons: Persons::default(),
        }
    }
}

impl Chain {
    /// Appends the next rows and drops those after `up_to`.
    ///
    /// # Errors
    /// A corrupt row.
    pub fn grow(&mut self, rows: Rows, up_to: Option<u32>) -> Result<()> {
        let Rows { subject, rows } = rows;
        let last = up_to.unwrap_or(u32::MAX);
        let mut prev = self.events.last().map_or(self.prev, |event| event.hash);
        self.events.reserve(rows.len());
        self.personal.reserve(rows.len());
        for row in rows {
            let corrupt =
                |column: &str| Error::CorruptRow(format!("event.{column} of {subject} {}", row.seq));
            let seq = u32::try_from(row.seq).map_err(|_| corrupt("seq"))?;
            if seq > last {
                break;
            }
            let hash = Hash::from_slice(&row.hash).ok_or_else(|| corrupt("hash"))?;
            let commitment =
                |bytes: &[u8]| Hash::from_slice(bytes).ok_or_else(|| corrupt("personal_commitment"));
            if let (Some(id), Some(text), Some(secret)) = (row.personal_id, row.person, row.person_secret) {
                self.persons.add(id, text, &secret)?;
            }
            self.personal.push(row.personal_id);
            self.events.push(StoredEvent {
                seq,
                received_at: row.received_at,
                hash,
                prev,
                secret: Secret(row.secret.as_slice().try_into().map_err(|_| corrupt("secret"))?),
                personal_commitment: row.personal_commitment.as_deref().map(commitment).transpose()?,
                public: row.public,
                business: row.business,
                personal: None,
            });
            prev = hash;
        }
        Ok(())
    }

    /// Checks that this chain has exactly the events after `after`, up to and including `up_to`.
    fn check_complete(&self, after: u32, up_to: u32) -> Result<()> {
        if self.events.iter().map(|event| event.seq).eq(after.saturating_add(1)..=up_to) {
            return Ok(());
        }
        let subject = self.subject;
        Err(Error::CorruptRow(format!(
            "chain of {subject}: events {} to {up_to} are not all stored",
            after + 1
        )))
    }

    /// Reads the personal parts of all events. One round trip, none if no event has one.
    ///
    /// # Errors
    /// A database error, or a corrupt row.
    pub async fn read_persons(&mut self, db: &mut PgConnection) -> Result<()> {
        let ids: Vec<Uuid> = self.personal.iter().flatten().copied().collect();
        if !ids.is_empty() {
            let rows = sqlx::query!("SELECT id, text, secret FROM personal WHERE id = ANY($1)", &ids)
                .fetch_all(db)
                .await?;
            for row in rows {
                self.persons.add(row.id, row.text, &row.secret)?;
            }
        }
        Ok(())
    }

    /// Puts the personal parts that were read into the events that `selected` accepts; `selected` gets the
    /// position of an event, from 0. A part that was not found counts as erased.
    pub fn open(&mut self, selected: impl Fn(usize) -> bool) {
        let parts = self.events.iter_mut().zip(&self.personal).enumerate();
        for (_, (event, id)) in parts.filter(|(index, _)| selected(*index)) {
            event.personal = id.map(|id| match self.persons.0.get(&id) {
                Some((text, secret)) => Personal::Opened {
                    salt: secret.personal_salt(self.subject, event.seq),
                    text: text.clone(),
                },
                None => Personal::Erased,
            });
        }
    }
}

/// Personal parts by their ids.
#[derive(Default)]
struct Persons(HashMap<Uuid, (String, Secret)>);

impl Persons {
    /// Adds a row of table `personal`.
    ///
    /// # Errors
    /// [`Error::CorruptRow`] if the secret is not 32 bytes.
    fn add(&mut self, id: Uuid, text: String, secret: &[u8]) -> Result<()> {
        let secret = secret.try_into();
        let secret =
            secret.map_err(|_| Error::CorruptRow(format!("personal.secret of {id}: not 32 bytes")))?;
        self.0.insert(id, (text, Secret(secret)));
        Ok(())
    }
}
