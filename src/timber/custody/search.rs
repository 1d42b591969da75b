//! Search over the events of all logs by region, type, time of receipt and recorder, for inspectors.

use super::content::Parties;
use super::history::{LogEventFields, event_fields};
use crate::base::error::{Error, Result};
use crate::base::ids::{LogId, OrganizationId};
use crate::base::region::Region;
use crate::evidence::chain::history::{Disclosure, StoredEvent};
use crate::evidence::chain::schema::described_by;
use crate::evidence::chain::{Hash, bytes::Secret};
use crate::timber::custody::log::read::Names;
use crate::timber::event::types::LogEventType;
use crate::timber::party::reader::Reader;
use chrono::{DateTime, Utc};
use serde::{Deserialize, Serialize};
use sqlx::PgConnection;
use utoipa::ToSchema;
use uuid::Uuid;

/// The filters of a search; an absent filter matches every event.
#[derive(Clone, Copy, Debug, Default)]
pub struct EventFilter {
    /// The region it happened in.
    pub region: Option<Region>,
    /// The event type.
    pub event_type: Option<LogEventType>,
    /// Received at this time or later.
    pub from: Option<DateTime<Utc>>,
    /// Received before this time.
    pub to: Option<DateTime<Utc>>,
    /// Recorded by this organisation.
    pub organization: Option<OrganizationId>,
}

/// Position of an event among all events in order of receipt; the content of a page cursor.
#[derive(Clone, Copy, Debug, Serialize, Deserialize)]
pub struct EventCursor(DateTime<Utc>, Uuid, i32);

/// A matching event. To recompute its hash, read the log's history.
#[derive(serde::Serialize, ToSchema)]
struct FoundEventShape<'t> {
    /// The log it is about.
    log: LogId,
    /// Its members, read from its parts.
    #[serde(flatten)]
    fields: LogEventFields<'t>,
    /// Its hash.
    hash: Hash,
}

/// A matching event, held in its stored form until it is serialised.
pub struct FoundEvent {
    log: LogId,
    event: StoredEvent,
    parties: Parties,
    names: Names,
}

impl serde::Serialize for FoundEvent {
    fn serialize<S: serde::Serializer>(&self, serializer: S) -> Result<S::Ok, S::Error> {
        let fields = event_fields(&self.event, Disclosure::BUSINESS, self.parties, &self.names);
        FoundEventShape { log: self.log, fields, hash: self.event.hash }.serialize(serializer)
    }
}

described_by!(FoundEvent, FoundEventShape<'static>, "FoundEvent");

/// A page of matching events in order of receipt, each with its cursor position. Two round trips.
///
/// # Errors
/// Database errors; a stored event that cannot be decoded.
pub async fn search(
    db: &mut PgConnection,
    reader: Reader,
    filter: EventFilter,
    after: Option<EventCursor>,
    limit: i64,
) -> Result<Vec<(EventCursor, FoundEvent)>> {
    let EventCursor(at, subject, seq) =
        after.unwrap_or(EventCursor(DateTime::<Utc>::UNIX_EPOCH, Uuid::nil(), 0));
    let rows = sqlx::query!(
        "SELECT subject_id, seq, received_at, hash, secret, public, business
         FROM event
         WHERE (received_at, subject_id, seq) > ($1, $2, $3) AND subject_kind = 1
           AND ($4::text IS NULL OR region = $4) AND ($5::text IS NULL OR type = $5)
           AND ($6::timestamptz IS NULL OR received_at >= $6) AND ($7::timestamptz IS NULL OR received_at < $7)
           AND ($8::uuid IS NULL OR organization_id = $8)
         ORDER BY received_at, subject_id, seq LIMIT $9",
        at,
        subject,
        seq,
        filter.region.map(Region::as_str),
        filter.event_type.map(LogEventType::as_str),
        filter.from,
        filter.to,
        filter.organization.map(|id| id.0),
        limit
    )
    .fetch_all(&mut *db)
    .await?;
    let mut events = Vec::with_capacity(rows.len());
    let mut parties = Vec::new();
    for row in rows {
        let corrupt =
            |column: &str| Error::CorruptRow(format!("event.{column} of {} {}", row.subject_id, row.seq));
        let event = StoredEvent {
            seq: u32::try_from(row.seq).map_err(|_| corrupt("seq"))?,
            received_at: row.received_at,
            hash: Hash::from_slice(&row.hash).ok_or_else(|| corrupt("hash"))?,
            // A placeholder: the hash of the previous event is not read, because the response contains
            // neither that hash nor the hashed entry.
            prev: Hash::ZERO,
            secret: Secret(row.secret.as_slice().try_into().map_err(|_| corrupt("secret"))?),
            public: row.public,
            business: row.business,
            personal_commitment: None,
            personal: None,
        };
        let named = Parties::parse(&event.business)?;
        parties.extend(named.ids());
        events.push((EventCursor(row.received_at, row.subject_id, row.seq), event, named));
    }
    let names = Names::read(&mut *db, reader, parties).await?;
    let page = events.into_iter().map(|(cursor, event, parties)| {
        (cursor, FoundEvent { log: cursor.1.into(), event, parties, names: names.clone() })
    });
    Ok(page.collect())
}
