//! Rebuilds the row of an organisation from its events.

use super::key::Keys;
use super::load::{EventRow, PersonalRow};
use super::report::{Code, Report};
use super::row::Expected;
use crate::timber::event::types::{EventType, OrganizationEventType};
use chrono::{DateTime, Utc};
use serde::Deserialize;
use serde_json::Value;
use std::collections::HashMap;
use uuid::Uuid;

#[derive(Deserialize)]
struct Public {
    kind: String,
    roles: Vec<String>,
}

#[derive(Deserialize)]
struct ChangedPublic {
    #[serde(default)]
    roles: Option<Vec<String>>,
}

#[derive(Deserialize)]
struct Person {
    bin: String,
    name: String,
}

#[derive(Deserialize)]
struct ChangedPersonal {
    #[serde(default)]
    name: Option<String>,
}

/// The result of an organisation's events so far. It grows with the number of keys, and of changes of the
/// organisation, and not with other events.
#[derive(Default)]
pub(super) struct Fold {
    /// Its keys.
    pub keys: Keys,
    /// The roles by its last change of roles; `None` if there was none.
    roles: Option<Vec<String>>,
    suspended_since: Option<DateTime<Utc>>,
    /// The personal parts of its changes, which have the new names.
    changes: Vec<Uuid>,
}

impl Fold {
    /// Applies the next events.
    pub(super) fn apply_events(&mut self, report: &mut Report<'_>, events: &[EventRow]) {
        for event in events {
            if !is_allowed(event) {
                let detail = "an organisation has no event of this type here";
                report.event(Code::EventUnreadable, event.subject, event.seq, detail);
            }
            match event.event_type() {
                Some(EventType::Organization(OrganizationEventType::Changed)) => {
                    match serde_json::from_str::<ChangedPublic>(event.public()) {
                        Ok(ChangedPublic { roles }) => self.roles = roles.or(self.roles.take()),
                        Err(_) => {
                            let detail = "the roles in it cannot be read";
                            report.event(Code::EventUnreadable, event.subject, event.seq, detail);
                        }
                    }
                    self.changes.extend(event.personal_id);
                }
                Some(EventType::Organization(OrganizationEventType::Suspended)) => {
                    self.suspended_since = event.received();
                }
                Some(EventType::Organization(OrganizationEventType::Resumed)) => self.suspended_since = None,
                _ => {}
            }
        }
        self.keys.apply_events(report, events);
    }

    /// The personal parts from which the name follows. They are read with the row, in one snapshot, because they may be
    /// erased.
    pub(super) fn personal_parts(&self) -> &[Uuid] {
        &self.changes
    }

    /// The expected values of the organisation's row, except for its head; `None` if an event cannot be read.
    ///
    /// `personal` has the personal parts that were not erased.
    pub(super) fn expected_row(
        self,
        first: &EventRow,
        personal: &HashMap<Uuid, PersonalRow>,
    ) -> Option<Vec<(&'static str, Expected)>> {
        let public: Public = serde_json::from_str(first.public()).ok()?;
        let person = match first.personal_id.and_then(|id| personal.get(&id)) {
            Some(part) => Some(serde_json::from_str::<Person>(&part.text).ok()?),
            None => None,
        };
        let mut name = person.as_ref().map(|person| person.name.clone());
        for part in self.changes.iter().filter_map(|id| personal.get(id)) {
            let changed: ChangedPersonal = serde_json::from_str(&part.text).ok()?;
            name = changed.name.or(name);
        }
        Some(vec![
            ("kind", Expected::text(public.kind)),
            ("roles", Expected::Words(self.roles.unwrap_or(public.roles))),
            ("bin", Expected::maybe(person.map(|person| person.bin))),
            ("name", Expected::maybe(name)),
            ("created_at", Expected::time(first.received())),
            ("suspended_since", self.suspended_since.map_or(Expected::Null, Expected::Time)),
        ])
    }
}

/// Whether an organisation's chain may have an event of this type at its seq.
fn is_allowed(event: &EventRow) -> bool {
    matches!(event.event_type(), Some(of @ EventType::Organization(_)) if of.begins_chain() == (event.seq == 1))
}

/// The time of an event's occurrence, from its business part.
pub(super) fn occurred(business: &Value) -> Option<DateTime<Utc>> {
    let at = business.get("occurred")?.get("at")?.as_str()?;
    DateTime::parse_from_rfc3339(at).ok().map(|at| at.to_utc())
}
