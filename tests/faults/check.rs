//! Checks that the database and the register are correct after every test round (a round injects one fault):
//! all conditions are recomputed from the rows in the database.

use crate::client::Acknowledged;
use ormantrace::evidence::chain::bytes::{Hash, Salt, Secret, SubjectKind, subject_ref};
use ormantrace::evidence::chain::history::StoredEvent;
use ormantrace::evidence::tlog::note::Kind;
use ormantrace::evidence::tlog::{Checkpoint, Frontier, Note, Signer, VerifierKey, leaf_hash};
use ormantrace::timber::event::types::EventType;
use sqlx::postgres::PgConnection;
use sqlx::{AssertSqlSafe, Row};
use std::collections::{HashMap, HashSet};
use uuid::Uuid;

/// What the test knows about the register from the earlier rounds.
pub struct Seen {
    /// The hash of every leaf, in the order of the indices. No leaf may ever change.
    leaves: Vec<Hash>,
    /// Number of leaves that must exist: those before the writers started, and those acknowledged since.
    expected: usize,
    acknowledged: HashSet<Hash>,
    /// The tree of the last published checkpoint, computed from `leaves`.
    published: Frontier,
    /// Number of checkpoints that were checked.
    pub checkpoints: u32,
}

impl Default for Seen {
    fn default() -> Self {
        let published = Frontier::new();
        Self { leaves: Vec::new(), expected: 0, acknowledged: HashSet::new(), published, checkpoints: 0 }
    }
}

async fn number(db: &mut PgConnection, sql: &str) -> i64 {
    sqlx::query_scalar(AssertSqlSafe(sql.to_owned()))
        .fetch_one(db)
        .await
        .unwrap_or_else(|error| panic!("{sql}: {error}"))
}

impl Seen {
    /// Number of leaves so far.
    pub fn size(&self) -> usize {
        self.leaves.len()
    }

    /// Number of leaves in the last published checkpoint.
    pub fn published_size(&self) -> usize {
        usize::try_from(self.published.size()).expect("seen")
    }

    /// Sets the number of leaves that exist when the writers start.
    pub fn begin(&mut self, size: usize) {
        self.expected = size;
    }

    /// Compares the acknowledged requests of a finished round with the database; returns all errors. With
    /// `whole`, every event is recomputed, otherwise only the new ones.
    pub async fn round(&mut self, db: &mut PgConnection, done: &[Acknowledged], whole: bool) -> Vec<String> {
        let mut faults = Vec::new();
        let from = if whole { 0 } else { self.leaves.len() };
        self.register(db, &mut faults).await;
        events(db, &self.leaves, from, &mut faults).await;
        let present: HashSet<&Hash> = self.leaves.iter().collect();
        for posting in done {
            self.expected += posting.leaves.len();
            for leaf in &posting.leaves {
                if !present.contains(leaf) {
                    faults.push(format!("LOST: {leaf} of the acknowledged request {}", posting.key));
                }
                if !self.acknowledged.insert(*leaf) {
                    faults.push(format!(
                        "DOUBLED: {leaf} was acknowledged for two requests, the last {}",
                        posting.key
                    ));
                }
            }
        }
        if self.expected != self.leaves.len() {
            // Every write request has its final response by now. So a surplus leaf was written twice, or was
            // written for a request that was not acknowledged; and a missing leaf was lost.
            faults.push(format!(
                "DOUBLED or LOST: {} leaves, but {} acknowledged",
                self.leaves.len(),
                self.expected
            ));
        }
        faults
    }

    async fn register(&mut self, db: &mut PgConnection, faults: &mut Vec<String>) {
        let rows = sqlx::query("SELECT index, entry FROM leaf ORDER BY index")
            .fetch_all(&mut *db)
            .await
            .expect("leaves");
        let before = self.leaves.len();
        if rows.len() < before {
            faults.push(format!("FORK: {before} leaves became {}", rows.len()));
        }
        let mut all = HashSet::with_capacity(rows.len());
        for (place, row) in rows.iter().enumerate() {
            let (index, leaf) = (row.get::<i64, _>(0), leaf_hash(row.get::<&[u8], _>(1)));
            if usize::try_from(index) != Ok(place) {
                faults.push(format!("GAP: leaf {index} is at position {place}"));
            }
            if !all.insert(leaf) {
                faults.push(format!("DOUBLED: leaf {index} equals an earlier one"));
            }
            match self.leaves.get(place) {
                Some(known) if *known != leaf => {
                    faults.push(format!("FORK: leaf {index} has changed"));
                }
                Some(_) => {}
                None => self.leaves.push(leaf),
            }
        }
        let size = number(db, "SELECT size FROM register").await;
        if usize::try_from(size) != Ok(rows.len()) {
            faults.push(format!("register.size is {size}, but there are {} leaves", rows.len()));
        }
        let backwards =
            "SELECT count(*) FROM leaf a JOIN leaf b ON b.subject_id = a.subject_id AND b.seq = a.seq + 1
                         WHERE b.index < a.index";
        let backwards = number(db, backwards).await;
        if backwards != 0 {
            faults.push(format!("{backwards} leaves come before their predecessors"));
        }
        let falling =
            "SELECT count(*) FROM event a JOIN event b ON b.subject_id = a.subject_id AND b.seq = a.seq + 1
                       WHERE b.received_at < a.received_at";
        let falling = number(db, falling).await;
        if falling != 0 {
            faults.push(format!("{falling} events have an earlier received_at than their predecessors"));
        }
    }

    /// Checks a published checkpoint against the leaves and the previous checkpoint. The leaves of the
    /// checkpoint must have been read into `leaves` before.
    pub fn published(&mut self, bytes: &[u8], keys: &[VerifierKey]) -> Result<(), String> {
        let note = Note::parse(bytes).map_err(|error| format!("checkpoint: {error}"))?;
        let Checkpoint { size, root, .. } =
            Checkpoint::open(&note, keys).map_err(|error| format!("checkpoint: {error}"))?;
        let before = self.published.size();
        if size < before {
            return Err(format!("FORK: checkpoint {size} after {before}"));
        }
        // The sizes of checkpoints never decrease, so a single growing tree can compute the root of each of
        // them.
        let (from, until) = (before, usize::try_from(size).map_err(|error| error.to_string())?);
        let Some(more) = self.leaves.get(usize::try_from(from).expect("seen")..until) else {
            return Err(format!("FORK: a checkpoint of {size} leaves, and there are {}", self.leaves.len()));
        };
        for leaf in more {
            self.published.push(*leaf);
        }
        if root != self.published.root() {
            return Err(format!("FORK: the published root of {size} leaves is not theirs"));
        }
        self.checkpoints += 1;
        Ok(())
    }
}

/// Every event has a leaf, a correct hash and its predecessor, and is either the head of its subject or
/// has a successor.
async fn events(db: &mut PgConnection, leaves: &[Hash], from: usize, faults: &mut Vec<String>) {
    let count = number(db, "SELECT count(*) FROM event").await;
    if usize::try_from(count) != Ok(leaves.len()) {
        faults.push(format!("{count} events, but {} leaves", leaves.len()));
    }
    let mut salts: HashMap<Uuid, Salt> = HashMap::new();
    for table in EventType::KINDS.iter().map(|kind| kind.name()) {
        let rows = sqlx::query(AssertSqlSafe(format!("SELECT id, salt FROM {table}")))
            .fetch_all(&mut *db)
            .await
            .expect("salts");
        salts.extend(
            rows.iter().map(|row| (row.get(0), Salt(row.get::<&[u8], _>(1).try_into().expect("32 bytes")))),
        );
        let heads = format!(
            "SELECT count(*) FROM {table} t WHERE t.head_seq > 0 AND NOT EXISTS (
                 SELECT FROM event e WHERE e.subject_id = t.id AND e.seq = t.head_seq AND e.hash = t.head_hash
                     AND NOT EXISTS (SELECT FROM event n WHERE n.subject_id = t.id AND n.seq > e.seq))"
        );
        let wrong = number(db, &heads).await;
        if wrong != 0 {
            faults.push(format!("{wrong} rows of {table} have a head that is not their newest event"));
        }
    }
    let rows = sqlx::query(
        "SELECT e.subject_id, e.seq, e.subject_kind, e.received_at, e.hash, e.secret, e.public, e.business,
                e.personal_commitment, p.hash, l.entry
         FROM event e LEFT JOIN event p ON p.subject_id = e.subject_id AND p.seq = e.seq - 1
              LEFT JOIN leaf l ON l.subject_id = e.subject_id AND l.seq = e.seq
         WHERE l.index IS NULL OR l.index >= $1",
    )
    .bind(i64::try_from(from).expect("small"))
    .fetch_all(&mut *db)
    .await
    .expect("events");
    for row in rows {
        let (subject, seq): (Uuid, i32) = (row.get(0), row.get(1));
        let hash = |column| row.get::<Option<&[u8]>, _>(column).and_then(Hash::from_slice);
        let event = StoredEvent {
            seq: u32::try_from(seq).expect("from 1"),
            received_at: row.get(3),
            hash: hash(4).expect("32 bytes"),
            prev: hash(9).unwrap_or(Hash::ZERO),
            secret: Secret(row.get::<&[u8], _>(5).try_into().expect("32 bytes")),
            public: row.get(6),
            business: row.get(7),
            personal_commitment: hash(8),
            personal: None,
        };
        let kind = u8::try_from(row.get::<i16, _>(2)).ok().and_then(SubjectKind::from_byte).expect("a kind");
        let Some(salt) = salts.get(&subject) else {
            faults.push(format!("event {seq} of {subject} has no subject row"));
            continue;
        };
        let entry = event.entry(subject_ref(kind, subject, salt));
        if (seq > 1) != hash(9).is_some() || entry.link() != event.hash {
            faults.push(format!("UNLINKED: event {seq} of {subject}"));
        }
        if row.get::<Option<&[u8]>, _>(10) != Some(entry.as_bytes().as_slice()) {
            faults.push(format!("LOST: event {seq} of {subject} has no leaf of its own"));
        }
    }
}

/// The checkpoint check detects each kind of error.
#[test]
fn a_checkpoint_that_does_not_follow_is_found() {
    let signer = Signer::from_seed("orman.test/register", Kind::Text, &[7; 32]).expect("a key");
    let keys = [signer.verifier().clone()];
    let signed = |leaves: &[Hash]| {
        let mut tree = Frontier::new();
        for leaf in leaves {
            tree.push(*leaf);
        }
        let checkpoint =
            Checkpoint::new("orman.test/register", tree.size(), tree.root()).expect("a checkpoint");
        Note::sign(checkpoint.to_string(), &[&signer], ormantrace::base::clock::Clock::system().now())
            .expect("signed")
            .to_string()
    };
    let leaves: Vec<Hash> = (0..9).map(|n| leaf_hash(&[n])).collect();
    let after_five = || {
        let mut seen = Seen { leaves: leaves[..8].to_vec(), ..Seen::default() };
        for size in [2, 5, 5] {
            seen.published(signed(&leaves[..size]).as_bytes(), &keys).expect("it follows");
        }
        assert_eq!((seen.checkpoints, seen.published_size()), (3, 5));
        seen
    };
    after_five().published(signed(&leaves[..8]).as_bytes(), &keys).expect("it follows");
    let mut others = leaves.clone();
    others[3] = leaf_hash(b"another");
    for (wrong, why) in [
        (signed(&leaves[..4]), "FORK: checkpoint 4 after 5"),
        (signed(&leaves), "FORK: a checkpoint of 9 leaves, and there are 8"),
        (signed(&others[..5]), "FORK: the published root of 5 leaves is not theirs"),
        (signed(&others[..8]), "FORK: the published root of 8 leaves is not theirs"),
        (signed(&leaves[..8]).replace("\n8\n", "\n7\n"), "checkpoint: "),
    ] {
        let said = after_five().published(wrong.as_bytes(), &keys).expect_err(why);
        assert!(said.starts_with(why), "{said}");
    }
}
