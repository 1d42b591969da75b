//! What the engine finds.

use crate::base::error::{Error, Result};
use crate::evidence::chain::SubjectKind;
use crate::timber::finding::draft::{Draft, EvidenceEvent, FindingSubject};
use crate::timber::finding::inputs::Inputs;
use crate::timber::finding::rules::surveillance::SURVEILLANCE;
use crate::timber::finding::rules::{Rule, Severity};
use serde_json::Value;
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
    /// The figures of its sentence (`locales/*/finding.ftl`); no personal data.
    pub inputs: Inputs,
    /// The events that show it: subject and seq.
    pub evidence: Vec<(Uuid, u32)>,
}

impl EngineFinding {
    /// The finding as it is stored for inspectors, under `key`.
    ///
    /// # Errors
    /// [`Error::CorruptRow`] for a rule or kind of subject that surveillance does not have.
    pub(super) fn draft(&self, key: &str) -> Result<Draft> {
        let corrupt =
            || Error::CorruptRow(format!("a finding of {} about kind {}", self.at.rule, self.at.kind));
        let rule = SURVEILLANCE.iter().find(|rule| rule.id == self.at.rule).ok_or_else(corrupt)?;
        let kinds = [SubjectKind::Log, SubjectKind::FellingTicket, SubjectKind::Organization];
        let kind = kinds.into_iter().find(|kind| kind.byte() == self.at.kind).ok_or_else(corrupt)?;
        let subject = FindingSubject { kind, id: self.at.subject };
        let mut draft = rule.found(self.severity).key(key).about(subject);
        draft.inputs.clone_from(&self.inputs);
        for (subject, seq) in &self.evidence {
            let kind =
                if self.ticket == Some(*subject) { SubjectKind::FellingTicket } else { SubjectKind::Log };
            draft = draft.shown_by(EvidenceEvent::of(FindingSubject { kind, id: *subject }, *seq));
        }
        Ok(draft)
    }
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
    /// A finding of `rule`. `inputs` is an object of whole numbers, texts and nulls; nulls are left out.
    #[expect(clippy::needless_pass_by_value, reason = "each caller makes the figures for this call")]
    pub(super) fn finding(
        self,
        rule: &'static Rule,
        severity: Severity,
        key: String,
        inputs: Value,
        evidence: Vec<(Uuid, u32)>,
    ) -> EngineFinding {
        let mut figures = Inputs::default();
        for (name, value) in inputs.as_object().into_iter().flatten() {
            match value {
                Value::Null => {}
                Value::String(text) => figures.set(name, text),
                other => match other.as_i64() {
                    Some(number) => figures.set_number(name, number),
                    None => figures.set(name, other),
                },
            }
        }
        EngineFinding {
            at: FindingKey { rule: rule.id, kind: self.kind.byte(), subject: self.subject, key },
            version: rule.version,
            severity,
            organization: self.organization,
            ticket: self.ticket,
            inputs: figures,
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
        let rule = SURVEILLANCE.iter().find(|rule| rule.id == name.0);
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
