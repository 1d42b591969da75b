//! The events of a seal batch's chain: registration, transfers, voids.
//!
//! The subject is the batch, not the seal, so that a million seals need only one chain. Table
//! `seal_move` lists which events of the chain, after the registration, concern which seal.

use crate::base::error::{Error, FieldError, Location, Result};
use crate::base::ids::{KeyId, OperationId, OrganizationId, SealBatchId};
use crate::base::units::{KAZAKHSTAN_OFFSET_MINUTES, Moment};
use crate::evidence::chain::Tx;
use crate::evidence::chain::{self, Draft, Hash, Head, NewHead, SubjectKind};
use crate::timber::event::content::LocalTime;
use crate::timber::party::bin::Bin;
use crate::timber::party::role::Role;
use chrono::{DateTime, NaiveDate, Utc};
use serde::{Deserialize, Serialize};
use sha2::{Digest, Sha256};
use uuid::Uuid;

/// Seals were registered, or made: the first event.
pub const REGISTERED: &str = "seals_registered";
/// Seals went to another holder.
pub const TRANSFERRED: &str = "seals_transferred";
/// A seal became void.
pub const VOIDED: &str = "seals_voided";

/// The caller of a write request, the operation's id and its time.
#[derive(Clone, Copy, Debug)]
pub struct BatchActor {
    /// The organisation.
    pub organization: OrganizationId,
    /// The key it called with.
    pub key: KeyId,
    /// Whether it is the operator.
    pub operator: bool,
    /// The write request.
    pub operation: OperationId,
    /// The server's time.
    pub now: DateTime<Utc>,
}

impl BatchActor {
    /// The time as recorded in events.
    pub(in crate::timber) fn moment(&self) -> Result<Moment> {
        Moment::new(self.now, KAZAKHSTAN_OFFSET_MINUTES)
            .map_err(|error| Error::CorruptRow(format!("clock: {error}")))
    }
}

/// The public part of a batch's event, which anyone may see.
#[derive(Clone, Debug, Serialize)]
struct BatchPublic {
    v: u8,
    subject: &'static str,
    #[serde(rename = "type")]
    event_type: &'static str,
    on: NaiveDate,
}

/// The business part of a batch's event, which only the parties may see.
#[derive(Clone, Debug, Serialize, Deserialize)]
pub struct BatchBusiness {
    /// Version of this part.
    pub v: u8,
    /// The batch.
    pub batch: SealBatchId,
    /// When it happened.
    pub occurred: LocalTime,
    /// The organisation that recorded it.
    pub organization: OrganizationId,
    /// The key it was recorded with.
    pub key: KeyId,
    /// The write request.
    pub operation: OperationId,
    /// The change.
    #[serde(flatten)]
    pub done: BatchChange,
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
    /// SHA-256 in hex over the sorted lines `number TAB identification LF` of a registration,
    /// `number LF` of a transfer.
    #[serde(skip_serializing_if = "Option::is_none", default)]
    pub digest: Option<String>,
    /// The public key (Ed25519, 32 bytes in hex) that signed the marking codes (registration of seals
    /// made here). Absent in older registrations and in those of other issuers' codes.
    #[serde(skip_serializing_if = "Option::is_none", default)]
    pub marking_key: Option<String>,
    /// The seal (void).
    #[serde(skip_serializing_if = "Option::is_none", default)]
    pub number: Option<String>,
    /// Reason (void).
    #[serde(skip_serializing_if = "Option::is_none", default)]
    pub reason: Option<String>,
    /// A remark (void).
    #[serde(skip_serializing_if = "Option::is_none", default)]
    pub note: Option<String>,
}

impl BatchBusiness {
    /// Reads a stored business part.
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

/// Locks the heads of batches, in the order of their ids.
pub(in crate::timber) async fn lock_heads(tx: &mut Tx<'_>, batches: &[Uuid]) -> Result<Vec<Head>> {
    let rows = sqlx::query!(
        "SELECT id, salt, head_seq, head_hash, head_received_at FROM seal_batch
         WHERE id = ANY($1) ORDER BY id FOR UPDATE",
        batches
    )
    .fetch_all(&mut **tx)
    .await?;
    rows.into_iter()
        .map(|row| {
            let (kind, at) = (SubjectKind::SealBatch, row.head_received_at);
            Head::stored(kind, row.id, &row.salt, row.head_seq, &row.head_hash, at)
        })
        .collect()
}

/// Adds an event to each batch and returns the new heads. Does not update the rows of the batches.
pub(in crate::timber) async fn add(
    tx: &mut Tx<'_>,
    actor: &BatchActor,
    event_type: &'static str,
    events: Vec<(Head, BatchChange)>,
) -> Result<Vec<NewHead>> {
    let moment = actor.moment()?;
    let drafts = events
        .into_iter()
        .map(|(head, done)| {
            let public = BatchPublic { v: 1, subject: "seal_batch", event_type, on: moment.day().day() };
            let business = BatchBusiness {
                v: 1,
                batch: head.id.into(),
                occurred: LocalTime::of(moment),
                organization: actor.organization,
                key: actor.key,
                operation: actor.operation,
                done,
            };
            Draft {
                head,
                public: chain::canonical::text(&public),
                business: chain::canonical::text(&business),
                personal: None,
                event_type,
                organization: actor.organization.0,
                operation: actor.operation.0,
                occurred_at: moment.instant(),
                region: None,
            }
        })
        .collect();
    chain::append(tx, actor.now, drafts).await
}

/// Writes new heads into the rows of existing batches.
pub(in crate::timber) async fn save_heads(tx: &mut Tx<'_>, heads: &[NewHead]) -> Result<()> {
    let ids: Vec<Uuid> = heads.iter().map(|head| head.id).collect();
    let seqs: Vec<i32> = heads.iter().map(NewHead::seq_i32).collect();
    let hashes: Vec<Vec<u8>> = heads.iter().map(|head| head.hash.0.to_vec()).collect();
    let times: Vec<DateTime<Utc>> = heads.iter().map(|head| head.received_at).collect();
    sqlx::query!(
        "UPDATE seal_batch SET head_seq = new.seq, head_hash = new.hash, head_received_at = new.received_at
         FROM UNNEST($1::uuid[], $2::int[], $3::bytea[], $4::timestamptz[]) AS new (id, seq, hash, received_at)
         WHERE seal_batch.id = new.id",
        &ids,
        &seqs,
        &hashes,
        &times
    )
    .execute(&mut **tx)
    .await?;
    Ok(())
}

/// Stores which event of its batch concerns each seal.
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

/// The events of a write request in its order, with their business parts.
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
            let batch = row.subject_kind == i16::from(SubjectKind::SealBatch.byte());
            let subject = if batch { "seal_batch" } else { "log" };
            Ok((MadeEvent { subject, id: row.subject_id, seq: row.seq, hash }, row.business))
        })
        .collect()
}

/// The enterprise or forest owner with this BIN, which is to receive seals; a field error at `at` if there is
/// no such organisation or it may not hold seals.
pub async fn receiver(
    tx: &mut Tx<'_>,
    bin: &Bin,
    at: Location,
) -> Result<Result<OrganizationId, FieldError>> {
    let row = sqlx::query!(
        r#"SELECT id, roles AS "roles: Vec<Role>" FROM organization WHERE bin = $1"#,
        bin.as_str()
    )
    .fetch_optional(&mut **tx)
    .await?;
    Ok(match row {
        None => {
            Err(FieldError::new(at, "unknown-organization", "No organisation with this BIN is registered."))
        }
        Some(row) if !row.roles.iter().any(|role| matches!(role, Role::Enterprise | Role::ForestOwner)) => {
            let detail = "Only an enterprise or a forest owner may hold seals.";
            Err(FieldError::new(at, "not-a-seal-holder", detail))
        }
        Some(row) => Ok(row.id.into()),
    })
}
