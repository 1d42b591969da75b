//! Rebuilds `marking_key`, the public keys that marking codes are verified with, from the operator's chain.

use super::Failure;
use super::report::{Code, Report};
use super::row::{Expected, Row, Stored, compare};
use super::snapshot::Reader;
use crate::timber::event::types::OrganizationEventType;
use crate::timber::seal::marking_key::{MarkingKeyBusiness, MarkingKeyPublic};
use crate::timber::seal::signing::KeyRing;
use chrono::{DateTime, Utc};
use std::collections::BTreeMap;
use uuid::Uuid;

/// A key that an event records.
struct RecordedKey {
    at: (Uuid, i32),
    public: [u8; 32],
    since: Option<DateTime<Utc>>,
}

/// Compares the rows of `marking_key` with the events, and returns the keys of the table.
///
/// In a database that was last used by a server which did not record marking keys, keys exist without events:
/// then only the id of each key is checked, which is derived from the key.
pub(super) async fn check(reader: &mut Reader<'_>, report: &mut Report<'_>) -> Result<KeyRing, Failure> {
    reader.begin().await?;
    let events = sqlx::query!(
        r#"SELECT subject_id AS "subject!", seq AS "seq!", public AS "public?", business AS "business?",
                  received_at AS "received_at?: Stored"
           FROM event WHERE region IS NULL AND type = $1 ORDER BY received_at, subject_id, seq"#,
        OrganizationEventType::MarkingKeyKnown.as_str()
    )
    .fetch_all(&mut *reader.db)
    .await?;
    let rows = sqlx::query!(
        r#"SELECT public_key AS "public_key?", row_to_json(t)::text AS "row!" FROM marking_key t ORDER BY key_id"#
    )
    .fetch_all(&mut *reader.db)
    .await?;
    reader.end().await?;
    let nothing_recorded = events.is_empty();
    let mut known: BTreeMap<String, RecordedKey> = BTreeMap::new();
    for event in events {
        let public =
            event.public.as_deref().and_then(|text| serde_json::from_str::<MarkingKeyPublic>(text).ok());
        let business =
            event.business.as_deref().and_then(|text| serde_json::from_str::<MarkingKeyBusiness>(text).ok());
        let key = public.and_then(|public| <[u8; 32]>::try_from(hex::decode(public.marking_key).ok()?).ok());
        let id = key.and_then(|key| KeyRing::new().add(&key).ok());
        let (Some(key), Some(id), Some(business)) = (key, id, business) else {
            let detail = "it names no valid marking key";
            report.event(Code::EventUnreadable, event.subject, event.seq, detail);
            continue;
        };
        let since = match business.known_since {
            Some(text) => DateTime::parse_from_rfc3339(&text).ok().map(|at| at.to_utc()),
            None => event.received_at.and_then(|at| at.0),
        };
        let new = RecordedKey { at: (event.subject, event.seq), public: key, since };
        known.entry(id.to_string()).or_insert(new);
    }
    let mut ring = KeyRing::new();
    for row in rows {
        let public = row.public_key.and_then(|key| <[u8; 32]>::try_from(key).ok());
        let id = public.and_then(|public| ring.add(&public).ok()).map(|id| id.to_string());
        let row = Row::parse(&row.row);
        let key_id = row.text("key_id").unwrap_or_default();
        if let Some(key) = known.remove(key_id) {
            let expected_row = [
                ("key_id", Expected::CheckedElsewhere),
                ("public_key", Expected::bytes(&key.public)),
                ("created_at", key.since.map_or(Expected::Null, Expected::Time)),
            ];
            compare(report, "marking_key", &key_id, Some(key.at), &expected_row, &row);
        } else if !nothing_recorded {
            let detail = "no event records this key";
            report.find(Code::RowUnexplained, "marking_key", key_id.to_owned(), None, detail);
        } else if id.as_deref() != Some(key_id) {
            let given = id.map(|id| format!(" or {id}")).unwrap_or_default();
            let detail = "the public key is not the one that its id was derived from";
            report.find(Code::StateDiffers, "marking_key", format!("{key_id}{given}"), None, detail);
        }
    }
    for (id, key) in known {
        let detail = "the operator's chain records this key";
        report.find(Code::RowMissing, "marking_key", id, Some(key.at), detail);
    }
    Ok(ring)
}
