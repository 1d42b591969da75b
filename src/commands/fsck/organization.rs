//! Rebuilds the row of an organisation from its first event.

use super::key::{Keys, compare_keys};
use super::load::{EventRow, PersonalRow};
use super::report::Code;
use super::row::Expected;
use super::subject::KindCheck;
use super::sweep::Context;
use crate::evidence::idempotency::operation::OperationKind;
use crate::timber::event::types::EventType;
use serde::Deserialize;
use serde_json::Value;
use uuid::Uuid;

#[derive(Deserialize)]
struct Public {
    kind: String,
    roles: Vec<String>,
}

#[derive(Deserialize)]
struct Person {
    bin: String,
    name: String,
}

impl KindCheck for Keys {
    fn apply(&mut self, context: &mut Context<'_, '_, '_>, id: Uuid, events: &[EventRow], _is_first: bool) {
        for event in events {
            if !is_allowed(event) {
                let detail = "an organisation has no event of this type here";
                context.report.event(Code::EventUnreadable, id, event.seq, detail);
            }
        }
        self.apply_events(context.report, events);
    }

    fn expected_row(
        self: Box<Self>,
        context: &mut Context<'_, '_, '_>,
        id: Uuid,
        first: &EventRow,
    ) -> Option<Vec<(&'static str, Expected)>> {
        let rows = context.named.keys_of.remove(&id).unwrap_or_default();
        compare_keys(context.report, id, *self, rows);
        let personal = first.personal_id.and_then(|id| context.loaded.personal.get(&id));
        expected_row(first, personal)
    }

    fn write_requests(_event: &EventRow) -> &'static [OperationKind] {
        &[]
    }
}

/// The expected values of an organisation's row, except for its head; `None` if the event cannot be read.
///
/// `personal` is the personal part of its first event; `None` once that was erased.
fn expected_row(first: &EventRow, personal: Option<&PersonalRow>) -> Option<Vec<(&'static str, Expected)>> {
    let public: Public = serde_json::from_str(first.public()).ok()?;
    let person = match personal {
        Some(personal) => Some(serde_json::from_str::<Person>(&personal.text).ok()?),
        None => None,
    };
    Some(vec![
        ("kind", Expected::text(public.kind)),
        ("roles", Expected::Words(public.roles)),
        ("bin", Expected::maybe(person.as_ref().map(|person| &person.bin))),
        ("name", Expected::maybe(person.as_ref().map(|person| &person.name))),
        ("created_at", Expected::time(first.received())),
    ])
}

/// Whether an organisation's chain may have an event of this type at its seq.
fn is_allowed(event: &EventRow) -> bool {
    matches!(event.event_type(), Some(of @ EventType::Organization(_)) if of.begins_chain() == (event.seq == 1))
}

/// The time of an event's occurrence, from its business part.
pub(super) fn occurred(business: &Value) -> Option<chrono::DateTime<chrono::Utc>> {
    let at = business.get("occurred")?.get("at")?.as_str()?;
    chrono::DateTime::parse_from_rfc3339(at).ok().map(|at| at.to_utc())
}
