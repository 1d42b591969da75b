//! Rebuilds the row of an organisation from its events.

use super::key::{Keys, compare_keys};
use super::load::{EventRow, PersonalRow};
use super::report::Code;
use super::row::Expected;
use super::subject::KindCheck;
use super::sweep::Context;
use crate::evidence::idempotency::operation::OperationKind;
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
pub(super) struct OrganizationCheck {
    keys: Keys,
    /// The roles by its last change of roles; `None` if there was none.
    roles: Option<Vec<String>>,
    suspended_since: Option<DateTime<Utc>>,
    /// The personal parts of its changes, which have the new names.
    changes: Vec<Uuid>,
}

impl KindCheck for OrganizationCheck {
    fn apply(&mut self, context: &mut Context<'_, '_, '_>, id: Uuid, events: &[EventRow], _is_first: bool) {
        for event in events {
            if !is_allowed(event) {
                let detail = "an organisation has no event of this type here";
                context.report.event(Code::EventUnreadable, id, event.seq, detail);
            }
            match event.event_type() {
                Some(EventType::Organization(OrganizationEventType::Changed)) => {
                    match serde_json::from_str::<ChangedPublic>(event.public()) {
                        Ok(ChangedPublic { roles }) => self.roles = roles.or(self.roles.take()),
                        Err(_) => {
                            let detail = "the roles in it cannot be read";
                            context.report.event(Code::EventUnreadable, id, event.seq, detail);
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
        self.keys.apply_events(context.report, events);
    }

    fn expected_row(
        self: Box<Self>,
        context: &mut Context<'_, '_, '_>,
        id: Uuid,
        first: &EventRow,
    ) -> Option<Vec<(&'static str, Expected)>> {
        let rows = context.named.keys_of.remove(&id).unwrap_or_default();
        let Self { keys, roles, suspended_since, changes } = *self;
        compare_keys(context.report, id, keys, rows);
        let person = expected_person(first, &changes, &context.loaded.personal)?;
        let public: Public = serde_json::from_str(first.public()).ok()?;
        Some(vec![
            ("kind", Expected::text(public.kind)),
            ("roles", Expected::Words(roles.unwrap_or(public.roles))),
            ("bin", Expected::maybe(person.bin)),
            ("name", Expected::maybe(person.name)),
            ("created_at", Expected::time(first.received())),
            ("suspended_since", suspended_since.map_or(Expected::Null, Expected::Time)),
        ])
    }

    fn personal_parts(&self) -> &[Uuid] {
        &self.changes
    }

    fn write_requests(_event: &EventRow) -> &'static [OperationKind] {
        &[]
    }
}

/// What is known of an organisation from the personal parts that were not erased.
struct ExpectedPerson {
    bin: Option<String>,
    name: Option<String>,
}

/// The number and the name by the personal parts of the first event and of the changes; `None` if one of them
/// cannot be read.
fn expected_person(
    first: &EventRow,
    changes: &[Uuid],
    personal: &HashMap<Uuid, PersonalRow>,
) -> Option<ExpectedPerson> {
    let mut expected = ExpectedPerson { bin: None, name: None };
    if let Some(part) = first.personal_id.and_then(|id| personal.get(&id)) {
        let person: Person = serde_json::from_str(&part.text).ok()?;
        expected = ExpectedPerson { bin: Some(person.bin), name: Some(person.name) };
    }
    for part in changes.iter().filter_map(|id| personal.get(id)) {
        let changed: ChangedPersonal = serde_json::from_str(&part.text).ok()?;
        expected.name = changed.name.or(expected.name);
    }
    Some(expected)
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
