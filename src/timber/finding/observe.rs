//! What inspectors observe outside the records: wood without marks, unknown seals, loads without papers. An observation
//! is a finding with a chain from the start.

use super::chain::{EventContent, lock};
use super::content::{FindingPersonal, ObservationPart, PhotoPart, RecordedBy};
use super::draft::Draft;
use super::photo;
use super::row::FindingState;
use super::rules::OBSERVATION;
use super::rules::Severity;
use super::write::{Finding, NewFinding, store};
use crate::base::error::{Error, Result};
use crate::base::geo::Position;
use crate::base::ids::{LogId, OrganizationId, TicketId};
use crate::base::units::{Moment, Volume, utc_text};
use crate::base::vocabulary::vocabulary;
use crate::evidence::chain::{Hash, Tx};
use crate::timber::event::actor::Actor;
use crate::timber::event::parts::LocalTime;
use crate::timber::event::types::FindingEventType;
use crate::timber::party::key::Caller;
use crate::timber::party::reader::Reader;
use chrono::{DateTime, Utc};

vocabulary! {
    /// What an inspector observed.
    pub enum ObservationKind: "unknown-observation" {
        /// Wood without a seal.
        UnmarkedWood = "unmarked_wood",
        /// A seal that is not registered, or is not on the log it should be on.
        UnknownSeal = "unknown_seal",
        /// Wood that is moved without papers.
        NoPapers = "no_papers",
        /// Anything else.
        Other = "other",
    }
}

impl ObservationKind {
    const fn severity(self) -> Severity {
        match self {
            Self::UnmarkedWood | Self::UnknownSeal => Severity::Serious,
            Self::NoPapers | Self::Other => Severity::Warning,
        }
    }
}

/// An observation.
pub struct Observation<'a> {
    /// What was observed.
    pub what: ObservationKind,
    /// In words; personal.
    pub text: &'a str,
    /// When.
    pub occurred_at: Moment,
    /// Where.
    pub position: Option<Position>,
    /// Registration number of the vehicle; personal.
    pub plate: Option<&'a str>,
    /// The code that was read.
    pub code: Option<&'a str>,
    /// Volume of the wood.
    pub volume: Option<Volume>,
    /// SHA-256 of photos, and when each was taken; the caller has uploaded all of them.
    pub photos: &'a [(Hash, DateTime<Utc>)],
    /// What the code names, if it is registered.
    pub about: Option<Named>,
}

/// What a registered code names.
#[derive(Clone, Copy, Debug)]
pub struct Named {
    /// The log, if the seal is or was on one.
    pub log: Option<LogId>,
    /// The log's ticket.
    pub ticket: Option<TicketId>,
    /// The holder of the log, or of the seal.
    pub holder: OrganizationId,
}

impl Draft {
    /// About the log that a code names, and questioning its holder; without one about nothing but itself, and
    /// questioning no organisation.
    pub(super) fn about_named(self, named: Option<Named>) -> Self {
        let party = named.map(|named| named.holder);
        let draft = self.questions(party);
        match named.and_then(|named| named.log) {
            Some(log) => draft.about(log),
            None => draft.about_itself(),
        }
    }
}

/// Records an observation. Returns its finding.
///
/// # Errors
/// From the database.
pub async fn observe(
    tx: &mut Tx<'_>,
    caller: &Caller,
    act: &Actor,
    observation: &Observation<'_>,
) -> Result<Finding> {
    let mut draft = OBSERVATION.found(observation.what.severity()).input("what", observation.what);
    if let Some(volume) = observation.volume {
        draft = draft.input("volume_m3", volume).at_stake(volume);
    }
    let named = observation.about;
    let draft = draft.about_named(named);
    let ticket = named.and_then(|named| named.ticket);
    let new = NewFinding { draft, log: None, ticket, party: None };
    let stored = store(tx, caller.organization, vec![new], act.at()).await?.pop();
    let stored = stored.ok_or_else(|| Error::CorruptRow("finding: an observation was not stored".into()))?;
    let locked = lock(tx, Reader::from(caller), stored.id).await?;
    let content = EventContent::of_text(observation.text);
    let personal = content.personal.map(|part| FindingPersonal {
        plate: observation.plate.map(str::to_owned),
        photos: observation
            .photos
            .iter()
            .map(|(sha256, taken_at)| PhotoPart { sha256: *sha256, taken_at: utc_text(*taken_at) })
            .collect(),
        ..part
    });
    let observed = ObservationPart {
        code: observation.code.map(str::to_owned),
        occurred: LocalTime::of(observation.occurred_at),
        position: observation.position.map(Into::into),
        volume_m3: observation.volume,
        what: observation.what,
    };
    let content = EventContent { personal, observed: Some(observed), ..content };
    locked
        .record(tx, RecordedBy::from(act), FindingEventType::Opened, FindingState::New, content)
        .await
        .map(drop)?;
    let hashes: Vec<Hash> = observation.photos.iter().map(|(sha256, _)| *sha256).collect();
    photo::keep(tx, caller.organization, &hashes).await?;
    super::read::row(&mut **tx, Reader::from(caller), stored.id).await?.view()
}
