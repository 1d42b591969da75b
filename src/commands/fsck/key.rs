//! Rebuilds the keys of an organisation (`api_key`) from its chain.

use super::load::EventRow;
use super::report::{Code, Report};
use super::row::{Expected, Row, compare};
use crate::timber::event::types::{EventType, OrganizationEventType};
use chrono::{DateTime, Utc};
use serde::Deserialize;
use std::collections::BTreeMap;
use uuid::Uuid;

/// The business part of an event that makes or revokes a key.
#[derive(Deserialize)]
struct Business {
    of_key: Uuid,
    #[serde(default)]
    token_hash: Option<String>,
    #[serde(default)]
    expires_at: Option<DateTime<Utc>>,
}

struct Key {
    /// Seq of the newest event about it.
    seq: i32,
    token_hash: Option<String>,
    created_at: Option<DateTime<Utc>>,
    expires_at: Option<DateTime<Utc>>,
    revoked_at: Option<DateTime<Utc>>,
}

/// The keys that the events of an organisation's chain have made so far. Each of these keys also has a row in
/// the database. Memory is needed only for them, and not for other events.
#[derive(Default)]
pub(super) struct Keys(BTreeMap<Uuid, Key>);

/// Compares the keys of an organisation. `rows` are the rows of `api_key` that name the organisation.
pub(super) fn compare_keys(report: &mut Report<'_>, organization: Uuid, keys: Keys, rows: Vec<Row>) {
    let mut rows: BTreeMap<Option<Uuid>, Row> = rows.into_iter().map(|row| (row.uuid("id"), row)).collect();
    for (id, key) in keys.0 {
        let at = Some((organization, key.seq));
        let Some(row) = rows.remove(&Some(id)) else {
            report.find(Code::RowMissing, "api_key", id, at, "the organisation made this key");
            continue;
        };
        let expected_row = [
            ("id", Expected::CheckedElsewhere),
            ("organization_id", Expected::text(organization)),
            ("token_hash", Expected::maybe(key.token_hash.map(|hash| format!("\\x{hash}")))),
            ("created_at", Expected::time(key.created_at)),
            ("expires_at", key.expires_at.map_or(Expected::Null, Expected::Time)),
            ("revoked_at", key.revoked_at.map_or(Expected::Null, Expected::Time)),
        ];
        compare(report, "api_key", &id, at, &expected_row, &row);
    }
    for (id, _) in rows {
        let id = id.unwrap_or_default();
        let detail = format!("no event of organisation {organization} made this key");
        report.find(Code::RowUnexplained, "api_key", id, Some((organization, 1)), detail);
    }
}

impl Keys {
    /// Applies the next events.
    pub(super) fn apply_events(&mut self, report: &mut Report<'_>, events: &[EventRow]) {
        for event in events {
            let made = match event.event_type() {
                Some(EventType::Organization(OrganizationEventType::KeyMade)) => true,
                Some(EventType::Organization(OrganizationEventType::KeyRevoked)) => false,
                _ => continue,
            };
            let Ok(business) = serde_json::from_str::<Business>(event.business()) else {
                let detail = "it does not name its key";
                report.event(Code::EventUnreadable, event.subject, event.seq, detail);
                continue;
            };
            if made {
                let key = Key {
                    seq: event.seq,
                    token_hash: business.token_hash,
                    created_at: event.received(),
                    expires_at: business.expires_at,
                    revoked_at: None,
                };
                self.0.insert(business.of_key, key);
            } else if let Some(key) = self.0.get_mut(&business.of_key) {
                (key.seq, key.revoked_at) = (event.seq, event.received());
            } else {
                let detail = "it revokes a key that the organisation never made";
                report.event(Code::EventUnreadable, event.subject, event.seq, detail);
            }
        }
    }
}
