//! Where a record is in the register: for proofs, and for the line on the buyer's page.

use crate::base::error::{Error, Result};
use crate::evidence::chain::bytes::ENTRY_LEN;
use crate::evidence::register::leaves;
use crate::evidence::register::published::{Published, PublishedError, Said};
use crate::evidence::tlog::{Proof, leaf_hash};
use crate::timber::seal::Code;
use crate::timber::seal::signing::{KeyRing, Signature};
use chrono::{DateTime, Utc};
use serde::Serialize;
use sqlx::PgExecutor;
use utoipa::ToSchema;
use uuid::Uuid;

/// What the register has of a subject.
#[derive(Clone, Debug, PartialEq, Eq)]
pub enum Place {
    /// Nothing is named: no seal of this code, or one that was never on a log.
    Unknown,
    /// It is recorded, and no event of it is among the leaves asked about.
    NotYet,
    /// Its newest event among them.
    At {
        /// The leaf's index.
        index: u64,
        /// The leaf's entry.
        entry: [u8; ENTRY_LEN],
    },
}

/// Finds the newest event that a register of `size` leaves has of the log that `code` is on: one
/// statement, the same whatever is found.
///
/// A code whose signature claims to be ours and is not names nothing, as in the public check.
///
/// # Errors
/// Those of the database; a leaf that cannot be read.
pub async fn newest(db: impl PgExecutor<'_>, code: &Code, ring: &KeyRing, size: u64) -> Result<Place> {
    let number = match code {
        Code::SealNumber(number) => Some(number.as_str()),
        _ => None,
    };
    let identification = code.identification();
    let found = sqlx::query!(
        r#"SELECT s.marking_code, s.log_id IS NOT NULL AS "recorded!", f.index AS "index?", f.entry AS "entry?"
           FROM seal s
           LEFT JOIN LATERAL (
               SELECT index, entry FROM leaf
               WHERE leaf.subject_id = s.log_id AND leaf.index < $3
               ORDER BY leaf.seq DESC LIMIT 1
           ) f ON true
           WHERE s.number = COALESCE($1, (SELECT number FROM seal WHERE identification = $2))"#,
        number,
        identification.as_ref().map(crate::timber::seal::marking_code::Identification::as_str),
        i64::try_from(size).unwrap_or(i64::MAX)
    )
    .fetch_optional(db)
    .await?;
    let Some(found) = found.filter(|found| found.recorded && !is_forged(code, &found.marking_code, ring))
    else {
        return Ok(Place::Unknown);
    };
    Place::stored(found.index.zip(found.entry))
}

/// Finds the newest event that a register of `size` leaves has of a subject, whoever asks: one statement.
///
/// # Errors
/// Those of the database; a leaf that cannot be read.
pub async fn newest_of(db: impl PgExecutor<'_>, subject: Uuid, size: u64) -> Result<Place> {
    let found = sqlx::query!(
        "SELECT index, entry FROM leaf WHERE subject_id = $1 AND index < $2 ORDER BY seq DESC LIMIT 1",
        subject,
        i64::try_from(size).unwrap_or(i64::MAX)
    )
    .fetch_optional(db)
    .await?;
    Place::stored(found.map(|found| (found.index, found.entry)))
}

impl Place {
    fn stored(leaf: Option<(i64, Vec<u8>)>) -> Result<Self> {
        let Some((index, entry)) = leaf else { return Ok(Self::NotYet) };
        let index = u64::try_from(index).map_err(|_| Error::BadRow(format!("leaf.index {index}")))?;
        let entry = entry.try_into().map_err(|_| Error::BadRow(format!("leaf.entry of {index}")))?;
        Ok(Self::At { index, entry })
    }
}

fn is_forged(code: &Code, registered: &str, ring: &KeyRing) -> bool {
    match code {
        Code::MarkingCode(code) => match ring.verify(code) {
            Signature::Forged => true,
            Signature::UnknownKey => code.as_str() != registered,
            Signature::Valid | Signature::Absent => false,
        },
        _ => false,
    }
}

/// The proof of a place, under the published checkpoint.
///
/// # Errors
/// If the published tiles cannot be read.
pub fn proof(
    published: &Published,
    said: &Said,
    index: u64,
    entry: &[u8; ENTRY_LEN],
) -> std::result::Result<Proof, PublishedError> {
    let hashes = published.inclusion(index, said.checkpoint.size)?;
    Ok(Proof { extra: Some(entry.to_vec()), index, hashes, checkpoint: said.note.clone() })
}

/// That a record is in the public register.
#[derive(Clone, Debug, PartialEq, Eq, Serialize, ToSchema)]
pub struct Registered {
    /// Its newest event's place in the register, from 0.
    pub index: u64,
    /// When the server received that event, by its own clock: the time in the entry that the register has.
    /// Since when the entry has been there, no proof says.
    #[serde(serialize_with = "crate::base::units::serialize_utc")]
    pub received_at: DateTime<Utc>,
    /// How many entries the published register has.
    pub size: u64,
    /// Who countersigned it.
    pub witnesses: Witnesses,
}

/// How many witnesses have countersigned, of how many that are asked.
#[derive(Clone, Copy, Debug, PartialEq, Eq, Serialize, ToSchema)]
pub struct Witnesses {
    /// So many have.
    pub k: usize,
    /// So many are asked.
    pub n: usize,
}

/// What the database has about the place of a log's newest event in the published register. Whoever
/// can write there can write this, too: it says nothing before [`Claim::hold`].
#[derive(Clone, Debug)]
pub struct Claim {
    index: u64,
    size: u64,
    witnesses: Witnesses,
    entry: Vec<u8>,
    /// The event's hash and the one that the log has of its newest event.
    hashes: [Vec<u8>; 2],
}

impl Claim {
    /// The claim, if the published register has that entry at that place and the record is the one
    /// that the entry is of; else nothing, and a line in the log. All that is said of the record is read
    /// out of that entry. Reads tiles; not for an async thread.
    #[must_use]
    pub fn hold(self, published: &Published) -> Option<Registered> {
        let Self { index, size, witnesses, .. } = self;
        match published.folder().entry(index, size) {
            Ok(entry) => {
                let leaf = leaf_hash(&entry);
                let received_at = DateTime::from_timestamp_micros(leaves::received_at(&entry));
                if self.entry == entry
                    && self.hashes.iter().all(|hash| *hash == leaf.0)
                    && let Some(received_at) = received_at
                {
                    return Some(Registered { index, received_at, size, witnesses });
                }
                tracing::warn!(
                    index,
                    "a record is not the one in the published register; `ormantrace fsck` tells more"
                );
            }
            Err(error) => {
                tracing::warn!(index, %error, "a record cannot be held against the published register");
            }
        }
        None
    }
}

/// Where the newest event of the log that carries, or carried, a seal should be in the published
/// register; nothing if it has not got there yet. One statement.
///
/// # Errors
/// Those of the database.
pub async fn claim(db: impl PgExecutor<'_>, seal_number: &str, said: &Said) -> Result<Option<Claim>> {
    let size = said.checkpoint.size;
    let found = sqlx::query!(
        "SELECT f.index, f.entry, e.hash, l.head_hash
         FROM seal s
         JOIN log l ON l.id = s.log_id
         JOIN event e ON e.subject_id = l.id AND e.seq = l.head_seq
         JOIN leaf f ON f.subject_id = l.id AND f.seq = l.head_seq
         WHERE s.number = $1 AND f.index < $2",
        seal_number,
        i64::try_from(size).unwrap_or(i64::MAX)
    )
    .fetch_optional(db)
    .await?;
    found
        .map(|found| {
            let index = u64::try_from(found.index);
            let index = index.map_err(|_| Error::BadRow(format!("leaf.index {}", found.index)))?;
            let witnesses = Witnesses { k: said.witnesses, n: said.policy.witnesses.len() };
            Ok(Claim { index, size, witnesses, entry: found.entry, hashes: [found.hash, found.head_hash] })
        })
        .transpose()
}
