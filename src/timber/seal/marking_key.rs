//! The keys that sign marking codes, as everybody knows them. Each is an event on the operator's chain:
//! whoever slips a key into the table, so that his codes count as made here, leaves one that no event tells
//! of, and a key that is lost, with which its seals can no longer be checked, is missed.

use super::signing::SigningKey;
use super::stock::load_key_ring;
use crate::base::error::{Error, Result};
use crate::base::ids::{OperationId, OrganizationId};
use crate::base::units::utc_text;
use crate::evidence::chain::Tx;
use crate::evidence::chain::{Draft, canonical};
use crate::timber::event::act::desk_moment;
use crate::timber::event::content::Told;
use crate::timber::party::head;
use chrono::{DateTime, NaiveDate, Utc};
use serde::{Deserialize, Serialize};
use sqlx::{PgExecutor, PgPool};

pub use crate::timber::event::words::MARKING_KEY_KNOWN as KNOWN;

/// Public part.
#[derive(Clone, Debug, PartialEq, Eq, Serialize, Deserialize)]
pub struct Public {
    /// Version of this part.
    pub v: u8,
    /// `organization`.
    pub subject: String,
    /// [`KNOWN`].
    #[serde(rename = "type")]
    pub event_type: String,
    /// The local day.
    pub on: NaiveDate,
    /// The public key: Ed25519, 32 bytes in hex.
    pub marking_key: String,
}

/// Business part. No key of the API is named: a server does this at its start.
#[derive(Clone, Debug, PartialEq, Eq, Serialize, Deserialize)]
pub struct Business {
    /// Version of this part.
    pub v: u8,
    /// The operator, on whose chain it stands.
    pub organization: OrganizationId,
    /// Names what was done: an event, or several at the first start that records keys.
    pub operation: OperationId,
    /// When.
    pub occurred: Told,
    /// Since when the table has a key that was there before its event.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub known_since: Option<String>,
}

/// Makes the public half of a server's own key known for ever. Safe at each start, and by several instances
/// at once.
///
/// Keys may be in the table from before they were recorded. The first time that any is, all of them are,
/// each with the time that the table has: from then on, one without an event was put there by nobody of ours.
///
/// # Errors
/// If there is no operator, or another key has the same four-letter id: a new key must be made.
pub async fn register(pool: &PgPool, key: &SigningKey, now: DateTime<Utc>) -> Result<()> {
    let own = hex::encode(key.public_key());
    if recorded(pool).await?.contains(&own) && load_key_ring(pool).await?.has(&key.public_key()) {
        return Ok(());
    }
    let moment = desk_moment(now)?;
    let operation = OperationId::new();
    let mut tx = Tx::begin(pool).await?;
    // Of several operators the first: whoever else starts locks the same one.
    let operator = sqlx::query_scalar!(
        "SELECT id FROM organization WHERE roles @> ARRAY['operator'] ORDER BY id LIMIT 1"
    )
    .fetch_optional(&mut *tx)
    .await?
    .ok_or(Error::NotFound)?;
    let mut head = head::lock(&mut tx, operator.into()).await?;
    // Read anew under the lock: of two that start at once, one records it.
    let recorded = recorded(&mut *tx).await?;
    let rows =
        sqlx::query!("SELECT key_id, public_key, created_at FROM marking_key ORDER BY created_at, key_id")
            .fetch_all(&mut *tx)
            .await?;
    let id = key.id();
    if rows.iter().any(|row| row.key_id == id.as_str() && row.public_key != key.public_key()) {
        let text = format!("another marking key is already known as {id}, make a new key file");
        return Err(Error::Unavailable(text.into()));
    }
    let mut keys: Vec<(String, Option<DateTime<Utc>>)> = rows
        .into_iter()
        .map(|row| (hex::encode(row.public_key), Some(row.created_at)))
        .filter(|(public, _)| recorded.is_empty() || *public == own)
        .collect();
    let is_new = keys.iter().all(|(public, _)| *public != own);
    if is_new {
        keys.push((own.clone(), None));
    }
    for (marking_key, since) in keys {
        if recorded.contains(&marking_key) {
            continue;
        }
        let public = Public {
            v: 1,
            subject: "organization".to_owned(),
            event_type: KNOWN.to_owned(),
            on: moment.local_date().day(),
            marking_key,
        };
        let business = Business {
            v: 1,
            organization: operator.into(),
            operation,
            occurred: Told::of(moment),
            known_since: since.map(utc_text),
        };
        let draft = Draft {
            head,
            public: canonical::text(&public),
            business: canonical::text(&business),
            personal: None,
            event_type: KNOWN,
            organization: operator,
            operation: operation.0,
            occurred_at: moment.instant(),
            region: None,
        };
        head = head::add(&mut tx, now, draft).await?;
    }
    if is_new {
        let public = key.public_key();
        sqlx::query!(
            "INSERT INTO marking_key (key_id, public_key, created_at) VALUES ($1, $2, $3)",
            id.as_str(),
            public.as_slice(),
            head.received_at
        )
        .execute(&mut *tx)
        .await?;
    }
    Ok(tx.commit().await?)
}

/// The keys that events tell of, in hex.
async fn recorded(db: impl PgExecutor<'_>) -> Result<Vec<String>> {
    let texts = sqlx::query_scalar!(
        "SELECT public FROM event WHERE region IS NULL AND type = 'marking_key_known' ORDER BY received_at"
    )
    .fetch_all(db)
    .await?;
    let read = |text: String| {
        let public: Public =
            serde_json::from_str(&text).map_err(|error| Error::BadRow(format!("event.public: {error}")))?;
        Ok(public.marking_key)
    };
    texts.into_iter().map(read).collect()
}
