//! The stock of seals: locks the rows of seals, and applies seals to logs.
//!
//! Every change locks the seals first, in the order of their numbers, then the heads of their batches, then
//! logs (the order of `chain::append`). A status changes in one direction only: `issued` to `applied`, and
//! either of them to `void`.

use super::code::{Code, SealName};
use super::marking_code::{Identification, MarkingCode};
use super::number::SealNumber;
use super::signing::KeyRing;
use crate::base::error::{Error, Result};
use crate::base::ids::{LogId, OrganizationId, SealBatchId};
use crate::base::vocabulary::vocabulary;
use crate::evidence::chain::Tx;
use sqlx::{PgConnection, PgPool};
use std::collections::{HashMap, HashSet};

vocabulary! {
    /// Status of a seal. It never changes back.
    pub enum SealStatus: "unknown-seal-status" {
        /// In the stock of its holder.
        Issued = "issued",
        /// On a log.
        Applied = "applied",
        /// No longer usable.
        Void = "void",
    }
}

vocabulary! {
    /// Why a seal became void.
    pub enum VoidReason: "unknown-void-reason" {
        /// Broken or unreadable before or on application.
        Spoiled = "spoiled",
        /// Lost; its location is unknown.
        Lost = "lost",
        /// Stolen.
        Stolen = "stolen",
        /// Broken up.
        Destroyed = "destroyed",
        /// Replaced by another seal on its log; only a replacement sets this reason.
        Replaced = "replaced",
        /// Its number was recorded in error: the log never bore it; only a replacement sets this reason.
        RecordedInError = "recorded_in_error",
        /// Its log was recorded in error; only an annulment sets this reason.
        Annulled = "annulled",
        /// Seized by an inspector.
        Seized = "seized",
        /// Found by an inspector, on no log.
        FoundDetached = "found_detached",
    }
}

impl VoidReason {
    /// Whether only an inspector may give this reason.
    #[must_use]
    pub const fn is_of_inspector(self) -> bool {
        matches!(self, Self::Seized | Self::FoundDetached)
    }

    /// Whether only a custody event sets this reason: a replacement of the seal, or an annulment of the log.
    #[must_use]
    pub const fn is_of_custody(self) -> bool {
        matches!(self, Self::Replaced | Self::RecordedInError | Self::Annulled)
    }

    /// Whether a replacement of the seal on its log sets this reason.
    #[must_use]
    pub const fn is_of_replacement(self) -> bool {
        matches!(self, Self::Replaced | Self::RecordedInError)
    }
}

/// A seal under lock.
#[derive(Clone, Debug)]
pub struct SealRow {
    /// The number printed on it.
    pub number: SealNumber,
    /// Identification part of its marking code.
    pub identification: Identification,
    /// Complete marking code.
    pub marking_code: MarkingCode,
    /// The batch it was registered in.
    pub batch: SealBatchId,
    /// The organisation that holds the seal, and may apply or void it.
    pub holder: OrganizationId,
    /// Status.
    pub status: SealStatus,
    /// The log it was hammered into.
    pub log: Option<LogId>,
}

impl SealRow {
    /// Whether `name` is a complete marking code with this seal's identification, but differs from the code
    /// with which the seal was registered. Such a code is forged or misread. Always false if the seal was
    /// registered without a signature.
    #[must_use]
    pub fn differs(&self, name: &SealName) -> bool {
        name.differs_from(&self.marking_code)
    }
}

/// The numbers of the seals that `names` name, in the order of `names`; `None` for a marking code that is not
/// registered. A name that is a number is returned unchanged, registered or not, except if only its other reading
/// ([`Code::other_reading`]) is registered: then that is returned. Takes no lock, because the number of a
/// seal with a given identification never changes.
pub async fn numbers_of(db: &mut PgConnection, names: &[&SealName]) -> Result<Vec<Option<SealNumber>>> {
    let mut wanted: Vec<Identification> = Vec::new();
    for name in names {
        wanted.extend(name.code().identification());
        wanted.extend(name.code().other_reading().and_then(|other| other.identification()));
    }
    let readings = |name: &&SealName| match (name.code(), name.code().other_reading()) {
        (Code::SealNumber(number), Some(Code::SealNumber(other))) => Some([number.clone(), other]),
        _ => None,
    };
    let numbers: Vec<SealNumber> = names.iter().filter_map(readings).flatten().collect();
    let registered = if numbers.is_empty() { HashSet::new() } else { registered(&mut *db, &numbers).await? };
    let mut known: HashMap<Identification, SealNumber> = HashMap::new();
    if !wanted.is_empty() {
        let rows = sqlx::query!(
            r#"SELECT number AS "number: SealNumber", identification AS "identification: Identification"
               FROM seal WHERE identification = ANY($1)"#,
            &wanted as &[Identification],
        )
        .fetch_all(db)
        .await?;
        known = rows.into_iter().map(|row| (row.identification, row.number)).collect();
    }
    let by_identification = |code: &Code| known.get(&code.identification()?).cloned();
    let number = |name: &&SealName| match (readings(name), name.code()) {
        (Some([number, other]), _) if !registered.contains(&number) && registered.contains(&other) => {
            Some(other)
        }
        (_, Code::SealNumber(number)) => Some(number.clone()),
        (_, code) => by_identification(code).or_else(|| by_identification(&code.other_reading()?)),
    };
    Ok(names.iter().map(number).collect())
}

/// Those of `numbers` that are registered.
async fn registered(db: &mut PgConnection, numbers: &[SealNumber]) -> Result<HashSet<SealNumber>> {
    let rows = sqlx::query_scalar!(
        r#"SELECT number AS "number: SealNumber" FROM seal WHERE number = ANY($1)"#,
        numbers as &[SealNumber],
    )
    .fetch_all(db)
    .await?;
    Ok(rows.into_iter().collect())
}

/// Locks seals for a change and returns them in the order of `numbers`, with `None` for an unknown
/// number. Must be called before the transaction locks any batch, ticket, organisation or log.
pub async fn lock_for_use(tx: &mut Tx<'_>, numbers: &[SealNumber]) -> Result<Vec<Option<SealRow>>> {
    let rows = sqlx::query!(
        r#"SELECT number AS "number: SealNumber", identification AS "identification: Identification",
                  marking_code AS "marking_code: MarkingCode", batch_id, holder_id, status AS "status: SealStatus", log_id
           FROM seal WHERE number = ANY($1) ORDER BY number FOR UPDATE"#,
        numbers as &[SealNumber],
    )
    .fetch_all(&mut **tx)
    .await?;
    let mut by_number: HashMap<SealNumber, SealRow> = HashMap::with_capacity(rows.len());
    for row in rows {
        let seal = SealRow {
            number: row.number.clone(),
            identification: row.identification,
            marking_code: row.marking_code,
            batch: row.batch_id.into(),
            holder: row.holder_id.into(),
            status: row.status,
            log: row.log_id.map(Into::into),
        };
        by_number.insert(row.number, seal);
    }
    Ok(numbers.iter().map(|number| by_number.get(number).cloned()).collect())
}

/// Applies seals to logs. The caller has locked the seals and checked that they are `issued`. `seq` is the
/// event of each log that records this.
///
/// # Errors
/// [`Error::CorruptRow`] if one of them is not `issued`: the caller has not checked the locked rows.
pub async fn apply(tx: &mut Tx<'_>, seals: &[(SealNumber, LogId)], seq: u32) -> Result<()> {
    let numbers: Vec<&str> = seals.iter().map(|(number, _)| number.as_str()).collect();
    let logs: Vec<uuid::Uuid> = seals.iter().map(|(_, log)| log.0).collect();
    let changed = sqlx::query!(
        "UPDATE seal SET status = 'applied', log_id = new.log_id
         FROM UNNEST($1::text[], $2::uuid[]) AS new (number, log_id)
         WHERE seal.number = new.number AND seal.status = 'issued'",
        &numbers as &[&str],
        &logs
    )
    .execute(&mut **tx)
    .await?;
    if changed.rows_affected() != seals.len() as u64 {
        return Err(Error::CorruptRow(format!(
            "seal.status: {} of {} seals to apply are issued",
            changed.rows_affected(),
            seals.len()
        )));
    }
    sqlx::query!(
        "INSERT INTO log_seal (seal_number, log_id, from_seq) SELECT number, log_id, $3
         FROM UNNEST($1::text[], $2::uuid[]) AS new (number, log_id)",
        &numbers as &[&str],
        &logs,
        stored(seq),
    )
    .execute(&mut **tx)
    .await?;
    Ok(())
}

/// The public keys of all marking codes ever made by this system.
pub async fn load_key_ring(pool: &PgPool) -> Result<KeyRing> {
    let rows =
        sqlx::query!("SELECT key_id, public_key FROM marking_key ORDER BY key_id").fetch_all(pool).await?;
    let mut ring = KeyRing::new();
    for row in rows {
        let corrupt = || Error::CorruptRow(format!("marking_key.public_key of {}", row.key_id));
        let key: [u8; 32] = row.public_key.as_slice().try_into().map_err(|_| corrupt())?;
        ring.add(&key).map_err(|_| corrupt())?;
    }
    Ok(ring)
}

/// A seq as `i32`, the type of the database columns for seqs.
pub(super) fn stored(seq: u32) -> i32 {
    i32::try_from(seq).unwrap_or(i32::MAX)
}
