//! The public keys of marking codes. Each key is recorded by an event on the operator's chain, so that two
//! kinds of tampering are recognised. An attacker may insert a key into the table, to make foreign codes pass
//! as issued here: such a key has no event. An attacker may delete a key, so that its seals can no longer be
//! checked: the event still names it.

use super::signing::SigningKey;
use super::stock::load_key_ring;
use crate::base::error::{Error, Result};
use crate::base::ids::{OperationId, OrganizationId};
use crate::base::units::utc_text;
use crate::evidence::chain::Tx;
use crate::evidence::chain::{Draft, SubjectKind, canonical};
use crate::timber::event::actor::desk_moment;
use crate::timber::event::parts::LocalTime;
use crate::timber::event::types::OrganizationEventType;
use crate::timber::party::head;
use chrono::{DateTime, NaiveDate, Utc};
use serde::{Deserialize, Serialize};
use sqlx::{PgExecutor, PgPool};

/// The public part of the event.
#[derive(Clone, Debug, PartialEq, Eq, Serialize, Deserialize)]
pub struct MarkingKeyPublic {
    /// Version of this part.
    pub v: u8,
    /// `organization`.
    pub subject: String,
    /// `marking_key_known`.
    #[serde(rename = "type")]
    pub event_type: OrganizationEventType,
    /// The day in Kazakhstan.
    pub on: NaiveDate,
    /// The public key: Ed25519, 32 bytes in hex.
    pub marking_key: String,
}

/// The business part of the event that records a marking key. It names no API key, because the server itself
/// records the event when it starts.
#[derive(Clone, Debug, PartialEq, Eq, Serialize, Deserialize)]
pub struct MarkingKeyBusiness {
    /// Version of this part.
    pub v: u8,
    /// The operator, the organisation of this chain.
    pub organization: OrganizationId,
    /// Id of the operation. It has one event for each key that it records: usually one; several at the first
    /// start of a version that records keys.
    pub operation: OperationId,
    /// When it was recorded.
    pub occurred: LocalTime,
    /// Creation time of the key, if the key was in the table before keys were recorded by events.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub known_since: Option<String>,
}

/// Records the public half of a server's key permanently. Safe to call at each start and by several
/// instances at once.
///
/// The table may hold keys from versions that did not record them. The first call that records a key records
/// all of them, each with its creation time from the table. After that, a key without an event was not
/// inserted by this program.
///
/// # Errors
/// If there is no operator, or if another key has the same four-character id: then a new key must be made.
pub async fn register(pool: &PgPool, key: &SigningKey, now: DateTime<Utc>) -> Result<()> {
    let public_key = hex::encode(key.public_key());
    if recorded(pool).await?.contains(&public_key) && load_key_ring(pool).await?.has(&key.public_key()) {
        return Ok(());
    }
    let moment = desk_moment(now)?;
    let operation = OperationId::new();
    let mut tx = Tx::begin(pool).await?;
    let mut head = head::lock_operator(&mut tx).await?;
    let operator = head.id();
    // The recorded keys are read again under the lock: if two instances start at once, only one records the
    // key.
    let recorded = recorded(&mut *tx).await?;
    let rows =
        sqlx::query!("SELECT key_id, public_key, created_at FROM marking_key ORDER BY created_at, key_id")
            .fetch_all(&mut *tx)
            .await?;
    let id = key.id();
    if rows.iter().any(|row| row.key_id == id.as_str() && row.public_key != key.public_key()) {
        let text = format!("another marking key already has the id {id}; make a new key file");
        return Err(Error::Unavailable(text.into()));
    }
    let mut keys: Vec<(String, Option<DateTime<Utc>>)> = rows
        .into_iter()
        .map(|row| (hex::encode(row.public_key), Some(row.created_at)))
        .filter(|(public, _)| recorded.is_empty() || *public == public_key)
        .collect();
    let is_new = keys.iter().all(|(public, _)| *public != public_key);
    if is_new {
        keys.push((public_key.clone(), None));
    }
    let mut received_at = moment.instant();
    for (marking_key, since) in keys {
        if recorded.contains(&marking_key) {
            continue;
        }
        let public = MarkingKeyPublic {
            v: 1,
            subject: SubjectKind::Organization.name().to_owned(),
            event_type: OrganizationEventType::MarkingKeyKnown,
            on: moment.day().day(),
            marking_key,
        };
        let business = MarkingKeyBusiness {
            v: 1,
            organization: operator.into(),
            operation,
            occurred: LocalTime::of(moment),
            known_since: since.map(utc_text),
        };
        let draft = Draft {
            head,
            public: canonical::text(&public),
            business: canonical::text(&business),
            personal: None,
            event_type: OrganizationEventType::MarkingKeyKnown.as_str(),
            organization: operator,
            operation: operation.0,
            occurred_at: moment.instant(),
            region: None,
        };
        let added = head::add(&mut tx, now, draft).await?;
        received_at = added.received_at;
        head = added.into_locked();
    }
    if is_new {
        let public = key.public_key();
        sqlx::query!(
            "INSERT INTO marking_key (key_id, public_key, created_at) VALUES ($1, $2, $3)",
            id.as_str(),
            public.as_slice(),
            received_at
        )
        .execute(&mut *tx)
        .await?;
    }
    Ok(tx.commit().await?)
}

/// The keys that events record, in hex.
async fn recorded(db: impl PgExecutor<'_>) -> Result<Vec<String>> {
    let texts = sqlx::query_scalar!(
        "SELECT public FROM event WHERE region IS NULL AND type = $1 ORDER BY received_at",
        OrganizationEventType::MarkingKeyKnown.as_str()
    )
    .fetch_all(db)
    .await?;
    let read = |text: String| {
        let public: MarkingKeyPublic = serde_json::from_str(&text)
            .map_err(|error| Error::CorruptRow(format!("event.public: {error}")))?;
        Ok(public.marking_key)
    };
    texts.into_iter().map(read).collect()
}
