//! Looks up records in the register: for proofs, and for the register's line on the buyer's page.

use crate::base::error::{Error, Result};
use crate::evidence::chain::bytes::{ENTRY_LEN, Entry};
use crate::evidence::register::published::{Published, PublishedError, PublishedState};
use crate::evidence::tlog::Proof;
use crate::timber::seal::Code;
use crate::timber::seal::signing::{KeyRing, Signature};
use chrono::{DateTime, Utc};
use serde::Serialize;
use sqlx::PgExecutor;
use utoipa::ToSchema;
use uuid::Uuid;

/// The newest leaf of a subject in the register.
#[derive(Clone, Debug, PartialEq, Eq)]
pub enum SubjectLeaf {
    /// No subject: there is no seal with this code, the seal was never on a log, or the code is forged.
    Unknown,
    /// The subject is recorded, but none of its events is in the searched part of the register.
    NotYet,
    /// The leaf of the subject's newest event in the searched part of the register.
    At {
        /// The leaf's index.
        index: u64,
        /// The leaf's entry.
        entry: [u8; ENTRY_LEN],
    },
}

/// Finds the newest event of a log among the first `size` leaves of the register. The log is the one that
/// carries, or carried, the seal of `code`. Executes one statement, which is the same for every result.
///
/// As in the public check, a marking code gives [`SubjectLeaf::Unknown`] if its signature is forged. A code
/// with an unknown key gives it too, unless it is the code that is registered for the seal.
///
/// # Errors
/// A database error, or a corrupt row.
pub async fn newest(db: impl PgExecutor<'_>, code: &Code, ring: &KeyRing, size: u64) -> Result<SubjectLeaf> {
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
        return Ok(SubjectLeaf::Unknown);
    };
    SubjectLeaf::stored(found.index.zip(found.entry))
}

/// Finds the newest event of a subject among the first `size` leaves of the register. Checks no access. One
/// statement.
///
/// # Errors
/// A database error, or a corrupt row.
pub async fn newest_of(db: impl PgExecutor<'_>, subject: Uuid, size: u64) -> Result<SubjectLeaf> {
    let found = sqlx::query!(
        "SELECT index, entry FROM leaf WHERE subject_id = $1 AND index < $2 ORDER BY seq DESC LIMIT 1",
        subject,
        i64::try_from(size).unwrap_or(i64::MAX)
    )
    .fetch_optional(db)
    .await?;
    SubjectLeaf::stored(found.map(|found| (found.index, found.entry)))
}

impl SubjectLeaf {
    fn stored(leaf: Option<(i64, Vec<u8>)>) -> Result<Self> {
        let Some((index, entry)) = leaf else { return Ok(Self::NotYet) };
        let index = u64::try_from(index).map_err(|_| Error::CorruptRow(format!("leaf.index {index}")))?;
        let entry = entry.try_into().map_err(|_| Error::CorruptRow(format!("leaf.entry of {index}")))?;
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

/// The inclusion proof of a leaf, under the published checkpoint.
///
/// # Errors
/// If the published tiles cannot be read.
pub fn proof(
    published: &Published,
    state: &PublishedState,
    index: u64,
    entry: &[u8; ENTRY_LEN],
) -> std::result::Result<Proof, PublishedError> {
    let hashes = published.inclusion(index, state.checkpoint.size)?;
    Ok(Proof { extra: Some(entry.to_vec()), index, hashes, checkpoint: state.note.clone() })
}

/// Where the newest event of a log is in the public register.
#[derive(Clone, Debug, PartialEq, Eq, Serialize, ToSchema)]
#[schema(as = Registered)]
pub struct RegisterEntry {
    /// Leaf index of the log's newest event in the register, from 0.
    pub index: u64,
    /// When the server received that event, by its own clock: the time in the register's entry.
    /// It does not prove since when the entry has been in the register.
    #[serde(serialize_with = "crate::base::units::serialize_utc")]
    pub received_at: DateTime<Utc>,
    /// How many entries the published register has.
    pub size: u64,
    /// How many witnesses have cosigned it.
    pub witnesses: Witnesses,
}

/// How many of the register's witnesses have cosigned.
#[derive(Clone, Copy, Debug, PartialEq, Eq, Serialize, ToSchema)]
pub struct Witnesses {
    /// Witnesses that have cosigned.
    pub k: usize,
    /// Witnesses of the register.
    pub n: usize,
}

/// The leaf of a log's newest event according to the database. The database administrator can change it:
/// do not trust it before [`Claim::check_against`].
#[derive(Clone, Debug)]
pub struct Claim {
    index: u64,
    size: u64,
    witnesses: Witnesses,
    entry: Vec<u8>,
    /// The hash in the event's row and the hash in the head of the log's row; both must be the leaf hash.
    hashes: [Vec<u8>; 2],
}

impl Claim {
    /// Checks the claim against the published register: the claimed entry must be at the claimed index, and
    /// both hashes from the database must be the leaf hash of that entry. Otherwise returns `None` and logs a
    /// warning. The time in the result is read from the published entry. Reads the entry from disk: do not
    /// call this on an async thread.
    #[must_use]
    pub fn check_against(self, published: &Published) -> Option<RegisterEntry> {
        let Self { index, size, witnesses, .. } = self;
        match published.folder().entry(index, size) {
            Ok(entry) => {
                let read = Entry::from(entry);
                let leaf = read.link();
                let received_at = DateTime::from_timestamp_micros(read.received_at());
                if self.entry == entry
                    && self.hashes.iter().all(|hash| *hash == leaf.0)
                    && let Some(received_at) = received_at
                {
                    return Some(RegisterEntry { index, received_at, size, witnesses });
                }
                tracing::warn!(
                    index,
                    "a record differs from the published register; run `ormantrace fsck` for details"
                );
            }
            Err(error) => {
                tracing::warn!(index, %error, "a record cannot be checked against the published register");
            }
        }
        None
    }
}

/// Reads from the database where in the published register the newest event of a log is. The log is the one
/// that carries, or carried, the seal. `None` if the event is not in the published register yet. One
/// statement.
///
/// # Errors
/// A database error, or a corrupt row.
pub async fn claim(
    db: impl PgExecutor<'_>,
    seal_number: &str,
    state: &PublishedState,
) -> Result<Option<Claim>> {
    let size = state.checkpoint.size;
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
            let index = index.map_err(|_| Error::CorruptRow(format!("leaf.index {}", found.index)))?;
            let witnesses = Witnesses { k: state.witnesses, n: state.policy.witnesses.len() };
            Ok(Claim { index, size, witnesses, entry: found.entry, hashes: [found.hash, found.head_hash] })
        })
        .transpose()
}
