//! The events of a seal batch's chain: registration, transfers, voids.
//!
//! The subject is the batch, not the seal, so that a million seals need only one chain. Table
//! `seal_move` lists which events of the chain, after the registration, concern which seal.

use super::number::SealNumber;
use super::stock::VoidReason;
use crate::base::error::{Error, FieldError, Location, Result};
use crate::base::ids::{OrganizationId, SealBatchId};
use crate::base::input::RequestErrors;
use crate::evidence::chain::append::Personal;
use crate::evidence::chain::{Draft, Hash, LockedHead, NewHead, SubjectKind, Tx, canonical};
use crate::timber::event::actor::Actor;
use crate::timber::event::heads::chain_heads;
use crate::timber::event::parts::ActPart;
use crate::timber::event::types::SealBatchEventType;
use crate::timber::party::bin::Bin;
use crate::timber::party::organization::by_bin_kept;
use chrono::NaiveDate;
use serde::{Deserialize, Serialize};
use sha2::{Digest, Sha256};
use std::sync::Arc;
use uuid::Uuid;

/// The public part of a batch's event, which anyone may see.
#[derive(Clone, Debug, Serialize)]
struct BatchPublic {
    v: u8,
    subject: &'static str,
    #[serde(rename = "type")]
    event_type: SealBatchEventType,
    on: NaiveDate,
}

/// The business part of a batch's event, which only the parties may see.
#[derive(Serialize)]
struct BatchBusiness<'a> {
    v: u8,
    batch: SealBatchId,
    #[serde(flatten)]
    act: &'a Actor,
    #[serde(flatten)]
    change: BatchChange,
}

/// A change of seals of a batch.
#[derive(Clone, Debug, Default, Serialize, Deserialize)]
pub struct BatchChange {
    /// The new holder (registration, transfer).
    #[serde(skip_serializing_if = "Option::is_none", default)]
    pub to: Option<OrganizationId>,
    /// How many seals (registration, transfer).
    #[serde(skip_serializing_if = "Option::is_none", default)]
    pub quantity: Option<u32>,
    /// Lowest number (registration, transfer).
    #[serde(skip_serializing_if = "Option::is_none", default)]
    pub first: Option<String>,
    /// Highest number (registration, transfer).
    #[serde(skip_serializing_if = "Option::is_none", default)]
    pub last: Option<String>,
    /// SHA-256 in hex over sorted lines, one for each seal: `number TAB identification LF` for a
    /// registration, `number LF` for a transfer.
    #[serde(skip_serializing_if = "Option::is_none", default)]
    pub digest: Option<String>,
    /// The public key (Ed25519, 32 bytes in hex) that signed the marking codes (registration of seals
    /// made here). Absent in older registrations and in those of other issuers' codes.
    #[serde(skip_serializing_if = "Option::is_none", default)]
    pub marking_key: Option<String>,
    /// The seal (void).
    #[serde(skip_serializing_if = "Option::is_none", default)]
    pub number: Option<SealNumber>,
    /// Reason (void).
    #[serde(skip_serializing_if = "Option::is_none", default)]
    pub reason: Option<VoidReason>,
    /// A remark (void).
    #[serde(skip_serializing_if = "Option::is_none", default)]
    pub note: Option<String>,
    /// The official record of an inspector (void).
    #[serde(skip_serializing_if = "Option::is_none", default)]
    pub act: Option<ActPart>,
}

impl BatchChange {
    /// Reads the change from a stored business part.
    ///
    /// # Errors
    /// [`Error::CorruptRow`] if it is not the business part of a batch's event.
    pub fn parse(text: &str) -> Result<Self> {
        serde_json::from_str(text)
            .map_err(|error| Error::CorruptRow(format!("event.business: {error}: {text}")))
    }
}

/// Digest of sorted lines, computed line by line.
#[derive(Clone, Default)]
pub struct ListDigest(Sha256);

impl ListDigest {
    /// Adds a line of a registration.
    pub fn add_seal(&mut self, number: &str, identification: &str) {
        self.0.update(number.as_bytes());
        self.0.update(b"\t");
        self.0.update(identification.as_bytes());
        self.0.update(b"\n");
    }

    /// Adds a line of a transfer.
    pub fn add_number(&mut self, number: &str) {
        self.0.update(number.as_bytes());
        self.0.update(b"\n");
    }

    /// The digest.
    #[must_use]
    pub fn finish(self) -> [u8; 32] {
        self.0.finalize().into()
    }
}

chain_heads!(SealBatch, "seal_batch");

/// Builds the draft of one event for each of these batches.
pub(in crate::timber) fn drafts(
    act: &Actor,
    event_type: SealBatchEventType,
    events: Vec<(LockedHead, BatchChange)>,
) -> Vec<Draft> {
    events
        .into_iter()
        .map(|(head, change)| {
            let public =
                BatchPublic { v: 1, subject: SubjectKind::SealBatch.name(), event_type, on: act.on() };
            let business = BatchBusiness { v: 1, batch: head.id().into(), act, change };
            act.draft(head, event_type, canonical::text(&public), canonical::text(&business), None)
        })
        .collect()
}

/// Appends an event to the chain of each of these batches, updates their rows, and returns the new heads in
/// the order of `events`.
pub(in crate::timber) async fn add(
    tx: &mut Tx<'_>,
    act: &Actor,
    event_type: SealBatchEventType,
    events: Vec<(LockedHead, BatchChange)>,
) -> Result<Vec<NewHead>> {
    append_and_store(tx, act.at(), drafts(act, event_type, events)).await
}

/// As [`add`] for the void of one seal, with the official who ordered it as the personal part.
pub(in crate::timber) async fn add_void(
    tx: &mut Tx<'_>,
    act: &Actor,
    of: (LockedHead, BatchChange),
    official: Option<Arc<Personal>>,
) -> Result<Vec<NewHead>> {
    let mut drafts = drafts(act, SealBatchEventType::Voided, vec![of]);
    for draft in &mut drafts {
        draft.personal.clone_from(&official);
    }
    append_and_store(tx, act.at(), drafts).await
}

/// Stores, for each of these seals, which event of its batch's chain concerns it.
pub(in crate::timber) async fn insert_moves(
    tx: &mut Tx<'_>,
    numbers: &[&str],
    batches: &[Uuid],
    seqs: &[i32],
) -> Result<()> {
    sqlx::query!(
        "INSERT INTO seal_move (number, batch_id, seq)
         SELECT * FROM UNNEST($1::text[], $2::uuid[], $3::int[])",
        numbers as &[&str],
        batches,
        seqs
    )
    .execute(&mut **tx)
    .await?;
    Ok(())
}

/// An event that a write request recorded, as its response names it.
#[derive(Clone, Debug, Serialize, utoipa::ToSchema)]
pub struct MadeEvent {
    /// `seal_batch` or `log`.
    pub subject: &'static str,
    /// The batch or log.
    pub id: Uuid,
    /// Position in its chain, from 1.
    pub seq: i32,
    /// Hash of the event.
    pub hash: Hash,
}

/// Reads the events with these subjects and seqs, in this order, with their business parts.
pub(in crate::timber) async fn made(
    tx: &mut Tx<'_>,
    subjects: &[Uuid],
    seqs: &[i32],
) -> Result<Vec<(MadeEvent, String)>> {
    let rows = sqlx::query!(
        r#"SELECT e.subject_id, e.seq, e.subject_kind, e.hash, e.business
           FROM UNNEST($1::uuid[], $2::int[]) WITH ORDINALITY AS m (subject_id, seq, place)
           JOIN event e ON e.subject_id = m.subject_id AND e.seq = m.seq ORDER BY m.place"#,
        subjects,
        seqs
    )
    .fetch_all(&mut **tx)
    .await?;
    rows.into_iter()
        .map(|row| {
            let hash = Hash::from_slice(&row.hash)
                .ok_or_else(|| Error::CorruptRow(format!("event.hash of {} {}", row.subject_id, row.seq)))?;
            let kind =
                u8::try_from(row.subject_kind).ok().and_then(SubjectKind::from_byte).ok_or_else(|| {
                    Error::CorruptRow(format!("event.subject_kind of {} {}", row.subject_id, row.seq))
                })?;
            Ok((MadeEvent { subject: kind.name(), id: row.subject_id, seq: row.seq, hash }, row.business))
        })
        .collect()
}

/// The organisation with this BIN, if it may receive seals, as an enterprise or a forest owner may; otherwise adds an
/// error at `at`: 422 `unknown-organization` or `not-a-seal-holder`, 409 `organization-suspended`.
///
/// # Errors
/// From the database.
pub async fn receiver(
    tx: &mut Tx<'_>,
    bin: &Bin,
    at: Location,
    errors: &mut RequestErrors,
) -> Result<Option<OrganizationId>> {
    let Some(named) = by_bin_kept(tx, *bin).await? else {
        let detail = "No organisation with this BIN is registered.";
        errors.invalid.push(FieldError::new(at, "unknown-organization", detail));
        return Ok(None);
    };
    if !named.roles.iter().any(|role| role.holds_timber()) {
        let detail = "Only an enterprise or a forest owner may hold seals.";
        errors.invalid.push(FieldError::new(at, "not-a-seal-holder", detail));
        return Ok(None);
    }
    Ok(named.unless_suspended(at, errors))
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::base::ids::OperationId;
    use crate::base::units::Moment;
    use crate::evidence::chain::Salt;
    use crate::evidence::chain::bytes::{Part, commit};

    /// The vector of a void with an official record in `docs/CHAIN.md`; its commitments were made with Python's
    /// hashlib.
    #[test]
    fn a_void_with_an_official_record_has_the_bytes_of_the_specification() {
        let id = |last: u32| format!("01999999-9999-7999-8999-9999999999{last:02}").parse::<Uuid>().unwrap();
        let moment = Moment::parse("2026-11-28T09:00:00+05:00").unwrap();
        let act = Actor::at_moment(id(2).into(), id(3).into(), OperationId(id(4)), moment);
        let (event_type, on) = (SealBatchEventType::Voided, act.on());
        let change = BatchChange {
            number: SealNumber::parse("KZ000000001").ok(),
            reason: Some(VoidReason::Seized),
            note: Some("Torn off at the sawmill".to_owned()),
            act: Some(ActPart { number: "17-Б".to_owned(), date: on }),
            ..BatchChange::default()
        };
        let public = BatchPublic { v: 1, subject: SubjectKind::SealBatch.name(), event_type, on };
        let business = BatchBusiness { v: 1, batch: id(9).into(), act: &act, change };
        let texts = [canonical::text(&public), canonical::text(&business)];
        let page = include_str!("../../../docs/CHAIN.md");
        let salts = [
            "ff3158b46e440e52040a9926f0bb67f1ee517040a29362034636221eb806a1ed",
            "cccdd282ebf739590f47bebe5f16f342b91c733c39a1f7f77277f88a180c62f2",
        ];
        for ((kind, text), salt) in [Part::Public, Part::Business].into_iter().zip(&texts).zip(salts) {
            let salt = Salt(hex::decode(salt).unwrap().try_into().unwrap());
            assert!(page.contains(&format!("`{text}` | `{}`", commit(kind, &salt, text))), "{text}");
        }
        let business = BatchChange::parse(&texts[1]).unwrap();
        assert_eq!(business.act.map(|act| act.number).as_deref(), Some("17-Б"));
    }
}
