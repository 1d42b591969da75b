//! A finding before it is stored: what a rule returns.

use super::inputs::Inputs;
use super::message;
use super::rules::{Rule, Severity};
use crate::base::i18n::Lang;
use crate::base::ids::{FindingId, LogId, OrganizationId, TicketId};
use crate::base::units::Volume;
use crate::evidence::chain::SubjectKind;
use std::fmt::Display;
use uuid::Uuid;

/// What a finding is about.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub struct FindingSubject {
    /// Its kind.
    pub kind: SubjectKind,
    /// Its id.
    pub id: Uuid,
}

impl From<LogId> for FindingSubject {
    fn from(id: LogId) -> Self {
        Self { kind: SubjectKind::Log, id: id.0 }
    }
}

impl From<TicketId> for FindingSubject {
    fn from(id: TicketId) -> Self {
        Self { kind: SubjectKind::FellingTicket, id: id.0 }
    }
}

impl From<FindingId> for FindingSubject {
    fn from(id: FindingId) -> Self {
        Self { kind: SubjectKind::Finding, id: id.0 }
    }
}

impl From<OrganizationId> for FindingSubject {
    fn from(id: OrganizationId) -> Self {
        Self { kind: SubjectKind::Organization, id: id.0 }
    }
}

/// An event from which a finding was concluded.
#[derive(Clone, Copy, Debug, PartialEq, Eq, PartialOrd, Ord)]
pub struct EvidenceEvent {
    /// The subject of the event's chain.
    pub subject: Uuid,
    /// The event's seq.
    pub seq: u32,
    /// The subject's kind, as the byte that is hashed.
    pub kind: u8,
}

impl EvidenceEvent {
    /// The event `seq` of a subject.
    #[must_use]
    pub fn of(subject: impl Into<FindingSubject>, seq: u32) -> Self {
        let FindingSubject { kind, id } = subject.into();
        Self { subject: id, seq, kind: kind.byte() }
    }
}

/// Which of the records of a finding is its subject.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq)]
pub(super) enum Scope {
    /// The log if there is one, else the ticket, else the organisation.
    #[default]
    Record,
    /// The ticket, also if the finding was concluded from an event of a log.
    Ticket,
    /// The organisation that the finding is about.
    Party,
    /// This one.
    Subject(FindingSubject),
    /// The finding itself: what it is about is not in the register.
    Itself,
}

/// Which organisation a finding questions.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq)]
pub(super) enum Questioned {
    /// That of the [`super::write::NewFinding`].
    #[default]
    OfRecord,
    /// This one; `None` if none is known.
    Named(Option<OrganizationId>),
}

/// A finding before it is stored.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct Draft {
    /// The rule's id.
    pub rule: &'static str,
    /// The rule's version.
    pub version: u16,
    /// How much attention it needs.
    pub severity: Severity,
    /// One English sentence with the figures; empty if the sentence is made from `inputs`.
    pub detail: String,
    /// The figures.
    pub inputs: Inputs,
    /// How far the figures are from what is usual, 0 to 100.
    pub score: u8,
    /// The volume at stake; by default that of the log.
    pub at_stake: Option<Volume>,
    pub(super) id: Option<FindingId>,
    pub(super) scope: Scope,
    pub(super) questioned: Questioned,
    pub(super) key: Option<String>,
    pub(super) evidence: Vec<EvidenceEvent>,
}

impl Rule {
    /// A draft with a sentence of its own. Rules with a sentence in `locales/` use [`Rule::found`].
    #[must_use]
    pub fn draft(&self, severity: Severity, detail: String) -> Draft {
        Draft { detail, ..self.found(severity) }
    }

    /// A draft. The rule adds the figures of its sentence with [`Draft::input`] and [`Draft::number`].
    #[must_use]
    pub fn found(&self, severity: Severity) -> Draft {
        debug_assert!(severity <= self.severity);
        let score = match severity {
            Severity::Notice => 20,
            Severity::Warning => 50,
            Severity::Serious => 80,
        };
        Draft {
            rule: self.id,
            version: self.version,
            severity,
            detail: String::new(),
            inputs: Inputs::default(),
            score,
            at_stake: None,
            id: None,
            scope: Scope::Record,
            questioned: Questioned::OfRecord,
            key: None,
            evidence: Vec::new(),
        }
    }
}

impl Draft {
    /// Adds a figure of the sentence: a decimal or a word. The name's ending tells the unit (`_m3`, `_cm`, `_m`,
    /// `_km`, `_percent`), or that it is a time (`_at`). No figure is personal data.
    #[must_use]
    pub fn input(mut self, name: &'static str, value: impl Display) -> Self {
        self.inputs.set(name, value);
        self
    }

    /// Adds a whole number, such as a count, by which the sentence may choose its plural.
    #[must_use]
    pub fn number(mut self, name: &'static str, value: impl Into<i64>) -> Self {
        self.inputs.set_number(name, value.into());
        self
    }

    /// Tells this finding apart from others of the same rule about the same subject. Further findings with this
    /// key are evidence for the first one and raise its count. Without a key, the seq of the log's event is the
    /// key; a finding without a log has then a key of its own.
    #[must_use]
    pub fn key(mut self, key: impl Display) -> Self {
        self.key = Some(key.to_string());
        self
    }

    /// Puts `scope` before the key: the same figures on two lines of a ticket are two findings.
    #[must_use]
    pub fn key_within(mut self, scope: impl Display) -> Self {
        self.key = Some(match self.key {
            Some(key) => format!("{scope}:{key}"),
            None => scope.to_string(),
        });
        self
    }

    /// How far the figures are from what is usual, 0 to 100. By default 20, 50 or 80 by severity.
    #[must_use]
    pub fn score(mut self, score: u8) -> Self {
        self.score = score.min(100);
        self
    }

    /// The volume at stake, if it is not that of the log.
    #[must_use]
    pub fn at_stake(mut self, volume: Volume) -> Self {
        self.at_stake = Some(volume);
        self
    }

    /// The finding is about the ticket, also if an event of a log shows it.
    #[must_use]
    pub fn about_ticket(mut self) -> Self {
        self.scope = Scope::Ticket;
        self
    }

    /// The finding is about the organisation.
    #[must_use]
    pub fn about_party(mut self) -> Self {
        self.scope = Scope::Party;
        self
    }

    /// The finding is about this subject, such as a seal batch.
    #[must_use]
    pub fn about(mut self, subject: impl Into<FindingSubject>) -> Self {
        self.scope = Scope::Subject(subject.into());
        self
    }

    /// The finding is about nothing that is in the register.
    #[must_use]
    pub fn about_itself(mut self) -> Self {
        self.scope = Scope::Itself;
        self
    }

    /// The finding questions this organisation, and none if it is `None`, whatever its record says.
    #[must_use]
    pub fn questions(mut self, party: Option<OrganizationId>) -> Self {
        self.questioned = Questioned::Named(party);
        self
    }

    /// The finding gets this id.
    #[must_use]
    pub(super) fn with_id(mut self, id: FindingId) -> Self {
        self.id = Some(id);
        self
    }

    /// Adds an event from which it was concluded, besides the log's event with which it is stored.
    #[must_use]
    pub fn shown_by(mut self, event: EvidenceEvent) -> Self {
        self.evidence.push(event);
        self
    }

    /// Its sentence in a language.
    #[must_use]
    pub fn sentence(&self, lang: Lang) -> String {
        let inputs = self.inputs.to_text();
        let detail = Some(self.detail.as_str()).filter(|detail| !detail.is_empty());
        message::sentence(lang, self.rule, self.version, Some(&inputs), detail)
    }
}
