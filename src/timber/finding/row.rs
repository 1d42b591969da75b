//! The row of a finding as it is read, and the finding in a response, which are the same for the response to a write,
//! for lists, and for one finding.

use super::message::FindingMessage;
use super::rules::Severity;
use crate::base::error::{Error, Result};
use crate::base::i18n::Lang;
use crate::base::ids::{FindingId, LogId, OrganizationId, TicketId};
use crate::base::vocabulary::vocabulary;
use crate::evidence::chain::SubjectKind;
use chrono::{DateTime, Utc};
use serde::Serialize;
use serde_json::Value;
use utoipa::ToSchema;
use uuid::Uuid;

vocabulary! {
    /// State of a finding. Only a decision of an inspector changes it.
    pub enum FindingState: "unknown-finding-state" {
        /// Not decided yet.
        New = "new",
        /// The record is in order, and an inspector accepted why it looks unusual.
        Explained = "explained",
        /// The record is wrong, or what it records was unlawful.
        Confirmed = "confirmed",
        /// The rule was wrong about the record.
        False = "false",
    }
}

/// What a finding is about.
#[derive(Clone, Copy, Debug, PartialEq, Eq, Serialize, ToSchema)]
#[schema(as = FindingSubject)]
pub struct SubjectView {
    /// `log` (for a stack too), `felling_ticket`, `seal_batch` or `organization`.
    #[schema(value_type = String)]
    pub kind: &'static str,
    /// Its id.
    pub id: Uuid,
}

/// The columns of a finding that responses need.
#[derive(Clone, Debug)]
pub struct FindingRow {
    /// `id`.
    pub id: FindingId,
    /// `rule`.
    pub rule: String,
    /// `version`.
    pub version: i16,
    /// `severity`.
    pub severity: Severity,
    /// `score`.
    pub score: i16,
    /// `rank`.
    pub rank: i32,
    /// `state`.
    pub state: FindingState,
    /// `count`.
    pub count: i32,
    /// `subject_kind`.
    pub subject_kind: i16,
    /// `subject_id`.
    pub subject_id: Uuid,
    /// `key`.
    pub key: String,
    /// `organization_id`.
    pub organization: Option<OrganizationId>,
    /// `log_id`.
    pub log: Option<LogId>,
    /// `log_seq`.
    pub seq: Option<i32>,
    /// `ticket_id`.
    pub ticket: Option<TicketId>,
    /// `inputs`.
    pub inputs: Option<String>,
    /// `detail`.
    pub detail: Option<String>,
    /// `superseded_at`.
    pub superseded_at: Option<DateTime<Utc>>,
    /// `appealed_at`.
    pub appealed_at: Option<DateTime<Utc>>,
    /// `head_seq`.
    pub events: i32,
    /// `created_at`.
    pub created_at: DateTime<Utc>,
}

/// A finding: a record that looks suspicious.
#[derive(Clone, Debug, Serialize, ToSchema)]
pub struct Finding {
    /// Its id.
    pub id: FindingId,
    /// The rule, listed in `docs/DOMAIN.md` and by `GET /v1/rules`.
    #[schema(example = "L6")]
    pub rule: String,
    /// The rule's version.
    pub version: i16,
    /// How much attention it needs.
    pub severity: Severity,
    /// How far the figures are from what is usual, 0 to 100.
    #[schema(minimum = 0, maximum = 100)]
    pub score: i16,
    /// Its state.
    pub state: FindingState,
    /// How often it was found.
    #[schema(minimum = 1)]
    pub count: i32,
    /// The number of events of its chain; `expected_seq` of a decision that was made with this answer in view. 0: it
    /// was neither explained nor decided.
    #[schema(minimum = 0)]
    pub events: i32,
    /// What it is about.
    pub subject: SubjectView,
    /// The organisation that it questions; null if none is known.
    pub organization: Option<OrganizationId>,
    /// The log it is about, or an event of which shows it.
    pub log: Option<LogId>,
    /// The seq of that event.
    pub seq: Option<i32>,
    /// The felling ticket it is about.
    pub ticket: Option<TicketId>,
    /// The figures, by name; decimals are strings. Null for findings that were made before figures were stored.
    #[schema(value_type = Option<Object>)]
    pub inputs: Option<Value>,
    /// One sentence with the figures; in lists and for one finding in the language of `Accept-Language`, by default in
    /// English.
    pub detail: String,
    /// The sentence in each language, made from rule, version and figures.
    pub message: FindingMessage,
    /// When a newer version of the rule no longer found it; null: it stands.
    #[schema(value_type = Option<String>, format = DateTime)]
    pub superseded_at: Option<String>,
    /// When the finding was made; UTC with microseconds.
    #[schema(value_type = String, format = DateTime)]
    #[serde(serialize_with = "crate::base::units::serialize_utc")]
    pub created_at: DateTime<Utc>,
}

impl Finding {
    /// With `detail` in `lang`.
    #[must_use]
    pub fn in_language(mut self, lang: Lang) -> Self {
        self.detail = self.message.of_language(lang).to_owned();
        self
    }
}

impl FindingRow {
    /// The kind of its subject.
    ///
    /// # Errors
    /// [`Error::CorruptRow`] for an unknown kind.
    pub fn kind(&self) -> Result<SubjectKind> {
        let kind = u8::try_from(self.subject_kind).ok().and_then(SubjectKind::from_byte);
        kind.ok_or_else(|| Error::CorruptRow(format!("finding.subject_kind of {}", self.id)))
    }

    /// The rule's version as a number.
    #[must_use]
    pub fn version(&self) -> u16 {
        u16::try_from(self.version).unwrap_or_default()
    }

    /// Whether the finding has been opened: it has a chain.
    #[must_use]
    pub fn is_opened(&self) -> bool {
        self.events > 0
    }

    /// The finding in a response, with `detail` in English.
    ///
    /// # Errors
    /// [`Error::CorruptRow`] for an unknown kind of subject.
    pub fn view(self) -> Result<Finding> {
        let kind = self.kind()?;
        let message =
            FindingMessage::of(&self.rule, self.version(), self.inputs.as_deref(), self.detail.as_deref());
        Ok(Finding {
            id: self.id,
            version: self.version,
            severity: self.severity,
            score: self.score,
            state: self.state,
            count: self.count,
            events: self.events,
            subject: SubjectView { kind: kind.name(), id: self.subject_id },
            organization: self.organization,
            log: self.log,
            seq: self.seq,
            ticket: self.ticket,
            inputs: self.inputs.and_then(|inputs| serde_json::from_str(&inputs).ok()),
            detail: message.en.clone(),
            message,
            superseded_at: self.superseded_at.map(crate::base::units::utc_text),
            rule: self.rule,
            created_at: self.created_at,
        })
    }
}

/// Reads rows of findings: `$from` is what follows the list of columns, with the table named `f`.
macro_rules! finding_rows {
    ($from:literal $(, $argument:expr)* $(,)?) => {
        sqlx::query_as!(
            $crate::timber::finding::row::FindingRow,
            r#"SELECT f.id AS "id: _", f.rule, f.version, f.severity AS "severity: _", f.score, f.rank,
                      f.state AS "state: _", f.count, f.subject_kind, f.subject_id, f.key,
                      f.organization_id AS "organization: _", f.log_id AS "log: _", f.log_seq AS seq,
                      f.ticket_id AS "ticket: _", f.inputs, f.detail, f.superseded_at, f.appealed_at,
                      f.head_seq AS events,
                      f.created_at "# + $from
            $(, $argument)*
        )
    };
}
pub(super) use finding_rows;
