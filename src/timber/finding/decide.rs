//! What the party says to a finding, and what an inspector decides.

use super::chain::{EventContent, LockedFinding, lock};
use super::content::{FindingPersonal, RecordPart, RecordedBy};
use super::draft::{Draft, EvidenceEvent, FindingSubject};
use super::row::FindingState;
use super::rules::DECISION_REVERSED;
use super::write::{NewFinding, store};
use crate::base::error::{Error, FieldError, Invalid, Result};
use crate::base::ids::FindingId;
use crate::base::personal_number;
use crate::base::units::Text;
use crate::evidence::chain::{SubjectKind, Tx};
use crate::timber::event::actor::Actor;
use crate::timber::event::types::FindingEventType;
use crate::timber::party::key::Caller;
use crate::timber::party::reader::Reader;
use chrono::NaiveDate;

/// Maximum number of events that explanations may bring a chain to; more are no explanation.
const MAX_EVENTS: i32 = 100;

/// Refuses a text with a personal number (IIN): twelve digits in a row with the right check digit.
///
/// # Errors
/// `looks-like-iin`.
pub fn refuse_iin(text: &str) -> Result<(), Invalid> {
    if personal_number::is_in(text) { Err(personal_number::refusal()) } else { Ok(()) }
}

fn conflict(code: &'static str, detail: &'static str) -> Error {
    Error::Conflict(vec![FieldError::new(crate::base::error::Location::body(), code, detail)])
}

/// Adds what the questioned organisation says to a finding. It changes no state. An appeal asks for another decision.
///
/// # Errors
/// Not found; forbidden for another organisation. Conflict: `not-decided` for an appeal against no decision,
/// `too-many-explanations`.
pub async fn explain(
    tx: &mut Tx<'_>,
    caller: &Caller,
    act: &Actor,
    id: FindingId,
    (text, appeal): (&Text<5_000>, bool),
) -> Result<()> {
    let locked = lock(tx, Reader::from(caller), id).await?;
    let row = &locked.row;
    if row.organization != Some(caller.organization) {
        return Err(Error::Forbidden(
            "Only the organisation that a finding questions may explain it.".into(),
        ));
    }
    if appeal && row.state == FindingState::New {
        return Err(conflict("not-decided", "There is no decision yet against which to appeal."));
    }
    if row.events >= MAX_EVENTS {
        return Err(conflict("too-many-explanations", "This finding has too many explanations already."));
    }
    let content = EventContent { appeal: Some(appeal), ..EventContent::of_text(text.as_str()) };
    let state = row.state;
    locked.record(tx, RecordedBy::from(act), FindingEventType::Explained, state, content).await.map(drop)?;
    if appeal {
        sqlx::query!(
            "UPDATE finding SET appealed_at = COALESCE(appealed_at, $2) WHERE id = $1",
            id.0,
            act.at()
        )
        .execute(&mut **tx)
        .await?;
    }
    Ok(())
}

/// An inspector's decision.
pub struct Decision<'a> {
    /// The new state: explained, confirmed or false.
    pub state: FindingState,
    /// Why.
    pub reason: &'a Text<5_000>,
    /// The official, if it is not the key's person: name and post.
    pub official: Option<(&'a str, Option<&'a str>)>,
    /// The official record: number and day.
    pub act: Option<(&'a str, NaiveDate)>,
    /// The number of events that the inspector had in view.
    pub expected_seq: Option<i32>,
    /// Whether the same request holds the log or the ticket.
    pub hold: bool,
}

/// Checks that an organisation does not decide in its own case.
///
/// # Errors
/// [`Error::Forbidden`].
pub fn refuse_own_case(row: &super::row::FindingRow, caller: &Caller) -> Result<()> {
    if row.organization == Some(caller.organization) {
        let detail = "The finding questions your organisation; another inspectorate must decide.";
        return Err(Error::OwnCase(detail));
    }
    Ok(())
}

/// Decides a finding. A decision that changes `confirmed` is found itself.
///
/// # Errors
/// Not found; forbidden in an own case. Conflict: `decided-meanwhile` if the finding has more events than the inspector
/// had in view.
pub async fn decide(
    tx: &mut Tx<'_>,
    caller: &Caller,
    act: &Actor,
    id: FindingId,
    decision: &Decision<'_>,
) -> Result<()> {
    let locked: LockedFinding = lock(tx, Reader::from(caller), id).await?;
    refuse_own_case(&locked.row, caller)?;
    if decision.expected_seq.is_some_and(|seq| seq != locked.row.events) {
        let detail = "The finding was explained or decided meanwhile: read it again, and decide with the new `events`.";
        return Err(conflict("decided-meanwhile", detail));
    }
    let (before, rule) = (locked.row.state, locked.row.rule.clone());
    let content = EventContent::of_text(decision.reason.as_str());
    let personal = content.personal.map(|part| FindingPersonal {
        name: decision.official.map(|(name, _)| name.to_owned()),
        post: decision.official.and_then(|(_, post)| post).map(str::to_owned),
        ..part
    });
    let record = decision.act.map(|(number, date)| RecordPart { number: number.to_owned(), date });
    let content = EventContent { hold: Some(decision.hold), act: record, personal, ..content };
    let by = RecordedBy::from(act);
    let head = locked.record(tx, by, FindingEventType::Decided, decision.state, content).await?;
    sqlx::query!(
        "UPDATE finding SET state = $2, appealed_at = NULL WHERE id = $1",
        id.0,
        decision.state.as_str()
    )
    .execute(&mut **tx)
    .await?;
    if before == FindingState::Confirmed && decision.state != FindingState::Confirmed {
        let finding = FindingSubject { kind: SubjectKind::Finding, id: id.0 };
        let draft: Draft = DECISION_REVERSED
            .found(DECISION_REVERSED.severity)
            .input("rule", rule)
            .input("state", decision.state)
            .about(finding)
            .key(head.seq)
            .shown_by(EvidenceEvent::of(finding, head.seq));
        let new = NewFinding { draft, log: None, ticket: None, party: Some(caller.organization) };
        store(tx, caller.organization, vec![new], act.at()).await?;
    }
    Ok(())
}
