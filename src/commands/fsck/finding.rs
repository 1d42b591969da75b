//! Compares the row of a finding that has a chain with the chain: its state, and what its first event commits to. A
//! finding without a chain follows from the events of other subjects by its rule, and has no event of its own.

use super::load::{EventRow, SubjectRow};
use super::organization::occurred;
use super::report::Code;
use super::row::{Expected, Row};
use super::subject::KindCheck;
use super::sweep::Context;
use crate::base::ids::{FindingId, OrganizationId};
use crate::evidence::idempotency::operation::OperationKind;
use crate::timber::event::types::{EventType, FindingEventType};
use crate::timber::finding::content::{evidence_digest, finding_digest};
use crate::timber::finding::draft::EvidenceEvent;
use crate::timber::finding::row::{FindingRow, FindingState};
use crate::timber::finding::rules::Severity;
use chrono::{DateTime, Utc};
use serde_json::Value;
use uuid::Uuid;

/// The result of the events so far. Its size does not grow with their number.
#[derive(Default)]
pub(super) struct Decisions {
    digest: Option<String>,
    evidence_digest: Option<String>,
    public: Option<Value>,
    business: Option<Value>,
    appealed: Option<DateTime<Utc>>,
    superseded: Option<DateTime<Utc>>,
    unreadable: bool,
}

impl Decisions {
    fn apply_event(&mut self, event: &EventRow) -> Option<()> {
        let Some(EventType::Finding(of)) = event.event_type() else { return None };
        let public: Value = serde_json::from_str(event.public()).ok()?;
        let business: Value = serde_json::from_str(event.business()).ok()?;
        let at = occurred(&business)?;
        match of {
            FindingEventType::Opened => self.digest = word(&business, "digest"),
            FindingEventType::Explained if business.get("appeal")?.as_bool()? => {
                self.appealed = self.appealed.or(Some(at));
            }
            FindingEventType::Decided => self.appealed = None,
            FindingEventType::Superseded => self.superseded = Some(at),
            FindingEventType::Explained | FindingEventType::EvidenceAdded => {}
        }
        self.evidence_digest = word(&business, "evidence_digest");
        (self.public, self.business) = (Some(public), Some(business));
        Some(())
    }
}

fn word(part: &Value, name: &str) -> Option<String> {
    part.get(name).and_then(Value::as_str).map(str::to_owned)
}

fn number(part: &Value, name: &str) -> Expected {
    part.get(name).and_then(Value::as_i64).map_or(Expected::Never, Expected::int)
}

impl KindCheck for Decisions {
    fn apply(&mut self, context: &mut Context<'_, '_, '_>, id: Uuid, events: &[EventRow], _is_first: bool) {
        for event in events {
            let is_allowed = matches!(
                event.event_type(),
                Some(of @ EventType::Finding(_)) if of.begins_chain() == (event.seq == 1)
            );
            if !is_allowed {
                let detail = "a finding has no event of this type here";
                context.report.event(Code::EventUnreadable, id, event.seq, detail);
            }
            self.unreadable |= self.apply_event(event).is_none();
        }
    }

    fn expected_row(
        self: Box<Self>,
        context: &mut Context<'_, '_, '_>,
        id: Uuid,
        _first: &EventRow,
    ) -> Option<Vec<(&'static str, Expected)>> {
        let evidence = context.named.evidence_of.remove(&id).unwrap_or_default();
        let (public, business) = (self.public?, self.business?);
        if self.unreadable {
            return None;
        }
        let read = evidence.iter().map(evidence_event).collect::<Option<Vec<_>>>();
        let found = read.map(|events| evidence_digest(&events).to_string());
        if found.is_none() || found != self.evidence_digest {
            let detail = "the events that are its evidence are not those of its newest event";
            context.report.find(Code::StateDiffers, "finding_evidence", id, Some((id, 1)), detail);
        }
        let row = context.loaded.subjects.get(&id).and_then(|row| finding_row(id, row));
        let digest = row.as_ref().map(|row| finding_digest(row).to_string());
        if digest.is_none() || digest != self.digest {
            let detail = "what its first event commits to is not in its row";
            context.report.find(Code::StateDiffers, "finding", id, Some((id, 1)), detail);
        }
        let about = business.get("about");
        let time = |at: Option<DateTime<Utc>>| at.map_or(Expected::Null, Expected::Time);
        let mut expected = vec![
            ("state", Expected::maybe(word(&public, "state"))),
            ("rule", Expected::maybe(word(&public, "rule"))),
            ("version", number(&public, "version")),
            ("severity", Expected::maybe(word(&public, "severity"))),
            ("score", number(&business, "score")),
            ("organization_id", Expected::maybe(word(&business, "party"))),
            ("subject_id", Expected::maybe(about.and_then(|about| word(about, "id")))),
            ("appealed_at", time(self.appealed)),
        ];
        // A finding that was superseded before it had a chain has no event of that.
        if self.superseded.is_some() {
            expected.push(("superseded_at", time(self.superseded)));
        }
        Some(expected)
    }

    fn write_requests(_event: &EventRow) -> &'static [OperationKind] {
        &[]
    }
}

fn evidence_event(row: &Row) -> Option<EvidenceEvent> {
    Some(EvidenceEvent {
        subject: row.uuid("subject_id")?,
        seq: row.int("seq")?.try_into().ok()?,
        kind: row.int("subject_kind")?.try_into().ok()?,
    })
}

/// The columns that the digest of a finding covers; the others are left empty.
fn finding_row(id: Uuid, SubjectRow { row, .. }: &SubjectRow) -> Option<FindingRow> {
    let text = |column: &str| row.text(column).map(str::to_owned);
    let small = |column: &str| row.int(column).and_then(|value| i16::try_from(value).ok());
    Some(FindingRow {
        id: FindingId(id),
        rule: text("rule")?,
        version: small("version")?,
        severity: Severity::parse(row.text("severity")?).ok()?,
        score: small("score")?,
        rank: 0,
        state: FindingState::New,
        count: 1,
        subject_kind: small("subject_kind")?,
        subject_id: row.uuid("subject_id")?,
        key: text("key")?,
        organization: row.uuid("organization_id").map(OrganizationId),
        log: None,
        seq: None,
        ticket: None,
        inputs: text("inputs"),
        detail: text("detail"),
        superseded_at: None,
        appealed_at: None,
        events: 0,
        created_at: DateTime::parse_from_rfc3339(row.text("created_at")?).ok()?.to_utc(),
    })
}
