//! What the engine finds.

use crate::evidence::chain::SubjectKind;
use crate::timber::finding::rules::{Rule, Severity};
use serde_json::{Map, Value};
use uuid::Uuid;

/// What a finding is about, and under which key. There is one finding for each of these values.
#[derive(Clone, Debug, PartialEq, Eq, PartialOrd, Ord, Hash)]
pub struct FindingKey {
    /// The rule's id.
    pub rule: &'static str,
    /// Kind of the subject, as it is hashed.
    pub kind: u8,
    /// The subject.
    pub subject: Uuid,
    /// What in the subject: events, a month, a day.
    pub key: String,
}

/// A finding of the engine.
#[derive(Clone, Debug, PartialEq)]
pub struct EngineFinding {
    /// Rule, subject and key.
    pub at: FindingKey,
    /// The rule's version.
    pub version: u16,
    /// How much attention it needs.
    pub severity: Severity,
    /// The organisation that it is about.
    pub organization: Uuid,
    /// The ticket that it is about.
    pub ticket: Option<Uuid>,
    /// The figures from which the rule has concluded it.
    pub inputs: Map<String, Value>,
    /// One English sentence with the figures; no personal data.
    pub detail: String,
    /// The events that show it: subject and seq.
    pub evidence: Vec<(Uuid, u32)>,
}

/// A change of the set of findings.
#[derive(Clone, Debug, PartialEq)]
pub enum Change {
    /// A new finding.
    Found(Box<EngineFinding>),
    /// A later leaf has explained it.
    Withdrawn(FindingKey),
}

/// Builds findings about one subject.
#[derive(Clone, Copy, Debug)]
pub(super) struct About {
    pub kind: SubjectKind,
    pub subject: Uuid,
    pub organization: Uuid,
    pub ticket: Option<Uuid>,
}

impl About {
    /// A finding of `rule`. `inputs` is an object.
    pub(super) fn finding(
        self,
        rule: &'static Rule,
        severity: Severity,
        key: String,
        inputs: Value,
        detail: String,
        evidence: Vec<(Uuid, u32)>,
    ) -> EngineFinding {
        let inputs = if let Value::Object(inputs) = inputs { inputs } else { Map::new() };
        EngineFinding {
            at: FindingKey { rule: rule.id, kind: self.kind.byte(), subject: self.subject, key },
            version: rule.version,
            severity,
            organization: self.organization,
            ticket: self.ticket,
            inputs,
            detail,
            evidence,
        }
    }
}

/// The changes from the findings that a window had, named by rule and key, to those that it has now. Replaces
/// the names.
pub(super) fn changes(
    about: About,
    had: &mut Vec<(String, String)>,
    now: Vec<EngineFinding>,
    out: &mut Vec<Change>,
) {
    if had.is_empty() && now.is_empty() {
        return;
    }
    let named = |finding: &EngineFinding, (rule, key): &(String, String)| {
        finding.at.rule == rule && finding.at.key == *key
    };
    for name in had.iter() {
        if now.iter().any(|finding| named(finding, name)) {
            continue;
        }
        let rule = crate::timber::finding::rules::surveillance::SURVEILLANCE.iter().find(|rule| rule.id == name.0);
        if let Some(rule) = rule {
            let (kind, subject) = (about.kind.byte(), about.subject);
            out.push(Change::Withdrawn(FindingKey { rule: rule.id, kind, subject, key: name.1.clone() }));
        }
    }
    let names = now.iter().map(|finding| (finding.at.rule.to_owned(), finding.at.key.clone())).collect();
    for finding in now {
        if !had.iter().any(|name| named(&finding, name)) {
            out.push(Change::Found(Box::new(finding)));
        }
    }
    *had = names;
}
