//! The hashed parts of the events of a finding's chain, as `docs/CHAIN.md` specifies them.

use super::draft::EvidenceEvent;
use super::observe::ObservationKind;
use super::row::{FindingRow, FindingState};
use super::rules::Severity;
use crate::base::error::Result;
use crate::base::ids::{FindingId, KeyId, OperationId, OrganizationId};
use crate::base::units::Volume;
use crate::base::units::utc_text;
use crate::evidence::chain::{Hash, canonical};
use crate::timber::event::actor::{Actor, desk_moment};
use crate::timber::event::parts::{LocalTime, PositionPart};
use crate::timber::event::types::FindingEventType;
use chrono::{DateTime, NaiveDate, Utc};
use serde::{Deserialize, Serialize};
use sha2::{Digest, Sha256};
use std::fmt::Write as _;
use uuid::Uuid;

/// The public part of every event of a finding.
#[derive(Serialize)]
pub(super) struct FindingPublic<'a> {
    pub v: u8,
    pub subject: &'static str,
    #[serde(rename = "type")]
    pub event_type: FindingEventType,
    pub on: NaiveDate,
    pub rule: &'a str,
    pub version: i16,
    pub severity: Severity,
    /// The state after the event.
    pub state: FindingState,
}

/// What a finding is about, in the business part.
#[derive(Clone, Copy, Debug, PartialEq, Eq, Serialize, Deserialize)]
pub struct AboutPart {
    /// Its id.
    pub id: Uuid,
    /// The kind of the subject, as in `ref`.
    pub kind: i16,
}

/// Who records an event, and when. An event that the server adds to a request names no key.
#[derive(Clone, Copy, Serialize)]
pub struct RecordedBy {
    #[serde(skip_serializing_if = "Option::is_none")]
    pub(super) key: Option<KeyId>,
    pub(super) occurred: LocalTime,
    pub(super) operation: OperationId,
    pub(super) organization: OrganizationId,
}

impl RecordedBy {
    /// The server, because of a record of `organization` at `now`.
    ///
    /// # Errors
    /// [`Error::Unavailable`](crate::base::error::Error::Unavailable) if the server's clock is wrong.
    pub fn server(organization: OrganizationId, now: DateTime<Utc>) -> Result<Self> {
        let occurred = LocalTime::of(desk_moment(now)?);
        Ok(Self { key: None, occurred, operation: OperationId::new(), organization })
    }

    /// The instant.
    #[must_use]
    pub fn at(&self) -> DateTime<Utc> {
        self.occurred.instant()
    }

    /// The day in Kazakhstan.
    #[must_use]
    pub fn on(&self) -> NaiveDate {
        self.occurred.moment().day().day()
    }
}

impl From<&Actor> for RecordedBy {
    fn from(act: &Actor) -> Self {
        let Actor { key, occurred, operation, organization, .. } = *act;
        Self { key: Some(key), occurred, operation, organization }
    }
}

/// The business part of every event of a finding.
#[derive(Serialize)]
pub(super) struct FindingBusiness {
    pub v: u8,
    #[serde(flatten)]
    pub by: RecordedBy,
    pub finding: FindingId,
    /// The organisation that it questions.
    #[serde(skip_serializing_if = "Option::is_none")]
    pub party: Option<OrganizationId>,
    pub about: AboutPart,
    pub score: i16,
    /// How many events are its evidence, and their digest.
    pub evidence: u32,
    pub evidence_digest: Hash,
    /// Of `opened`: the digest of the finding.
    #[serde(skip_serializing_if = "Option::is_none")]
    pub digest: Option<Hash>,
    /// Of `explained`: the party asks for another decision.
    #[serde(skip_serializing_if = "Option::is_none")]
    pub appeal: Option<bool>,
    /// Of `decided`: the same request holds the log or the ticket.
    #[serde(skip_serializing_if = "Option::is_none")]
    pub hold: Option<bool>,
    /// Of `superseded`: the version of the rule that does not make the finding.
    #[serde(skip_serializing_if = "Option::is_none")]
    pub by_version: Option<u16>,
    /// Of `decided`: the official record.
    #[serde(skip_serializing_if = "Option::is_none")]
    pub act: Option<RecordPart>,
    /// Of `opened`: what an inspector observed.
    #[serde(skip_serializing_if = "Option::is_none")]
    pub observed: Option<ObservationPart>,
}

/// An official record (act, protocol), in the business part of `decided`.
#[derive(Clone, Debug, PartialEq, Eq, Serialize, Deserialize)]
pub struct RecordPart {
    /// Its number.
    pub number: String,
    /// Its day.
    pub date: NaiveDate,
}

/// What an inspector observed, in the business part of `opened`.
#[derive(Clone, Debug, Serialize, Deserialize)]
pub struct ObservationPart {
    /// The code that was read.
    #[serde(skip_serializing_if = "Option::is_none", default)]
    pub code: Option<String>,
    /// When it was observed.
    pub occurred: LocalTime,
    /// Where.
    #[serde(skip_serializing_if = "Option::is_none", default)]
    pub position: Option<PositionPart>,
    /// Volume of the wood.
    #[serde(with = "crate::base::as_text::option", skip_serializing_if = "Option::is_none", default)]
    pub volume_m3: Option<Volume>,
    /// What.
    pub what: ObservationKind,
}

/// The personal part: free text, or the digest of a longer one, and the official.
#[derive(Clone, Debug, Default, PartialEq, Eq, Serialize, Deserialize)]
pub struct FindingPersonal {
    /// Version.
    pub v: u8,
    /// Name of the official.
    #[serde(skip_serializing_if = "Option::is_none", default)]
    pub name: Option<String>,
    /// Post of the official.
    #[serde(skip_serializing_if = "Option::is_none", default)]
    pub post: Option<String>,
    /// A text of at most [`MAX_HASHED_TEXT`] characters.
    #[serde(skip_serializing_if = "Option::is_none", default)]
    pub text: Option<String>,
    /// SHA-256 of a longer text, which is stored beside the chain.
    #[serde(skip_serializing_if = "Option::is_none", default)]
    pub text_digest: Option<Hash>,
    /// Photos, by their SHA-256.
    #[serde(skip_serializing_if = "Vec::is_empty", default)]
    pub photos: Vec<PhotoPart>,
    /// Registration number of a vehicle.
    #[serde(skip_serializing_if = "Option::is_none", default)]
    pub plate: Option<String>,
}

/// A photo in the personal part.
#[derive(Clone, Debug, PartialEq, Eq, Serialize, Deserialize)]
pub struct PhotoPart {
    /// SHA-256 of the file.
    pub sha256: Hash,
    /// When it was taken; UTC with microseconds.
    pub taken_at: String,
}

/// Maximum number of characters of a text that is hashed itself.
pub const MAX_HASHED_TEXT: usize = 300;

impl FindingPersonal {
    /// A part with a text: itself if it is short, else its digest.
    #[must_use]
    pub fn of_text(text: &str) -> Self {
        let short = text.chars().count() <= MAX_HASHED_TEXT;
        Self {
            v: 1,
            text: short.then(|| text.to_owned()),
            text_digest: (!short).then(|| digest(text)),
            ..Self::default()
        }
    }
}

/// What identifies a finding and never changes.
#[derive(Serialize)]
struct Digested<'a> {
    about: AboutPart,
    created_at: String,
    #[serde(skip_serializing_if = "Option::is_none")]
    detail: Option<&'a str>,
    id: FindingId,
    #[serde(skip_serializing_if = "Option::is_none")]
    inputs: Option<serde_json::Value>,
    key: &'a str,
    #[serde(skip_serializing_if = "Option::is_none")]
    party: Option<OrganizationId>,
    rule: &'a str,
    score: i16,
    severity: Severity,
    version: i16,
}

/// The digest of a finding, to which the first event of its chain commits.
#[must_use]
pub fn finding_digest(row: &FindingRow) -> Hash {
    digest(&canonical::text(&Digested {
        about: AboutPart { id: row.subject_id, kind: row.subject_kind },
        created_at: utc_text(row.created_at),
        detail: row.detail.as_deref(),
        id: row.id,
        inputs: row.inputs.as_deref().and_then(|inputs| serde_json::from_str(inputs).ok()),
        key: &row.key,
        party: row.organization,
        rule: &row.rule,
        score: row.score,
        severity: row.severity,
        version: row.version,
    }))
}

/// SHA-256 over the lines `subject_id SPACE seq LF` of the evidence, sorted by subject and seq.
#[must_use]
pub fn evidence_digest(events: &[EvidenceEvent]) -> Hash {
    let mut sorted: Vec<(Uuid, u32)> = events.iter().map(|event| (event.subject, event.seq)).collect();
    sorted.sort_unstable();
    let mut lines = String::with_capacity(sorted.len() * 40);
    for (subject, seq) in sorted {
        // Writing to a string does not fail.
        let _ = writeln!(lines, "{subject} {seq}");
    }
    digest(&lines)
}

/// The organisation that recorded an event, from the event's business part.
#[must_use]
pub fn recorder(business: &str) -> Option<OrganizationId> {
    #[derive(Deserialize)]
    struct Members {
        organization: OrganizationId,
    }
    serde_json::from_str::<Members>(business).ok().map(|members| members.organization)
}

/// SHA-256 of a text.
#[must_use]
pub fn digest(text: &str) -> Hash {
    Hash(Sha256::digest(text.as_bytes()).into())
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::evidence::chain::SubjectKind;
    use crate::evidence::chain::bytes::{Part, Salt, commit};

    fn id(last: u32) -> Uuid {
        format!("01999999-9999-7999-8999-9999999999{last:02}").parse().unwrap()
    }

    fn row() -> FindingRow {
        FindingRow {
            id: FindingId(id(7)),
            rule: "L13".into(),
            version: 1,
            severity: Severity::Warning,
            score: 50,
            rank: 1_200,
            state: FindingState::New,
            count: 1,
            subject_kind: 1,
            subject_id: id(99),
            key: "1".into(),
            organization: Some(OrganizationId(id(2))),
            log: None,
            seq: None,
            ticket: None,
            inputs: Some(r#"{"diameter_cm":"24","length_m":"4"}"#.into()),
            detail: None,
            superseded_at: None,
            appealed_at: None,
            events: 0,
            created_at: "2026-11-27T05:00:00Z".parse().unwrap(),
        }
    }

    /// The vectors "Findings" in `docs/CHAIN.md`; their commitments were made with Python's hashlib.
    #[test]
    fn findings_have_the_bytes_of_the_specification() {
        let now = "2026-11-28T04:00:00Z".parse().unwrap();
        let act = Actor::in_operation(OrganizationId(id(2)), KeyId(id(3)), OperationId(id(4)), now).unwrap();
        let (row, page) = (row(), include_str!("../../../docs/CHAIN.md"));
        let evidence = [EvidenceEvent { subject: id(99), seq: 1, kind: SubjectKind::Log.byte() }];
        let public = |event_type, state| FindingPublic {
            v: 1,
            subject: "finding",
            event_type,
            on: act.on(),
            rule: &row.rule,
            version: row.version,
            severity: row.severity,
            state,
        };
        let business = || FindingBusiness {
            v: 1,
            by: RecordedBy::from(&act),
            finding: row.id,
            party: row.organization,
            about: AboutPart { id: row.subject_id, kind: row.subject_kind },
            score: row.score,
            evidence: 1,
            evidence_digest: evidence_digest(&evidence),
            digest: None,
            appeal: None,
            hold: None,
            by_version: None,
            act: None,
            observed: None,
        };
        let server = RecordedBy { key: None, ..RecordedBy::from(&act) };
        let text = FindingPersonal::of_text("The log is hollow.");
        let reason = FindingPersonal {
            name: Some("Ермек Сейітов".into()),
            ..FindingPersonal::of_text("Seen: it is hollow.")
        };
        let occurred = LocalTime::of(crate::timber::event::actor::desk_moment(now).unwrap());
        let observed = ObservationPart {
            code: Some("KZ-0000041".into()),
            occurred,
            position: Some(crate::base::geo::position("50.4111", "80.2275", Some("8")).into()),
            volume_m3: Some(Volume::parse("12.5").unwrap()),
            what: ObservationKind::NoPapers,
        };
        let seen = FindingPersonal {
            plate: Some("123 ABC 16".into()),
            photos: vec![PhotoPart {
                sha256: digest("photo"),
                taken_at: "2026-11-28T03:58:00.000000Z".into(),
            }],
            ..FindingPersonal::of_text("A lorry on the forest road.")
        };
        let events = [
            (
                public(FindingEventType::Opened, FindingState::New),
                FindingBusiness { digest: Some(finding_digest(&row)), ..business() },
                None,
            ),
            (
                public(FindingEventType::Explained, FindingState::New),
                FindingBusiness { appeal: Some(false), ..business() },
                Some(text),
            ),
            (
                public(FindingEventType::Decided, FindingState::Explained),
                FindingBusiness { hold: Some(false), ..business() },
                Some(reason),
            ),
            (
                public(FindingEventType::EvidenceAdded, FindingState::Explained),
                FindingBusiness { by: server, ..business() },
                None,
            ),
            (
                public(FindingEventType::Superseded, FindingState::New),
                FindingBusiness { by: server, by_version: Some(2), ..business() },
                None,
            ),
            (
                public(FindingEventType::Opened, FindingState::New),
                FindingBusiness {
                    digest: Some(finding_digest(&row)),
                    observed: Some(observed),
                    ..business()
                },
                Some(seen),
            ),
        ];
        let salts = [
            "ff3158b46e440e52040a9926f0bb67f1ee517040a29362034636221eb806a1ed",
            "cccdd282ebf739590f47bebe5f16f342b91c733c39a1f7f77277f88a180c62f2",
            "d8e62e55185b2d880508db3ccb92dea262e87fa9853da45071d891c709d505d9",
        ];
        for (public, business, personal) in events {
            let texts = [
                (Part::Public, Some(canonical::text(&public))),
                (Part::Business, Some(canonical::text(&business))),
                (Part::Personal, personal.map(|personal| canonical::text(&personal))),
            ];
            for ((kind, text), salt) in texts.into_iter().zip(salts) {
                let Some(text) = text else { continue };
                let salt = Salt(hex::decode(salt).unwrap().try_into().unwrap());
                let line = format!("`{text}` | `{}`", commit(kind, &salt, &text));
                assert!(page.contains(&line), "{line}");
            }
        }
    }

    #[test]
    fn a_long_text_is_hashed_by_its_digest() {
        let short = FindingPersonal::of_text(&"ә".repeat(MAX_HASHED_TEXT));
        assert!(short.text.is_some() && short.text_digest.is_none());
        let long = "ә".repeat(MAX_HASHED_TEXT + 1);
        let part = FindingPersonal::of_text(&long);
        assert_eq!((part.text, part.text_digest), (None, Some(digest(&long))));
    }
}
