//! The history of a log as one reader may see it.
//!
//! Parties of the present and inspectors see every event. Those whose log it was see the events up to
//! their last. The issuer of the felling ticket sees what was harvested, and what corrected that; of
//! events in between only what recomputing the hashes takes.

use super::content::Content;
use super::state::{LogState, replay};
use super::telling::{Telling, Told};
use super::words::EventType;
use crate::chain::bytes::subject_ref;
use crate::chain::history::{Openness, ShownEvent, ShownParts, StoredEvent};
use crate::chain::{Hash, SubjectKind};
use crate::error::{Error, Result};
use crate::ids::OrganizationId;
use crate::log::species::Species;
use crate::log::store::{
    HeadView, LastEventView, LogRow, LogView, Names, PartyView, PendingView, Reader, SealState, Sight,
};
use crate::read::Reads;
use crate::region::Region;
use serde::Serialize;
use serde_json::{Map, Value};
use std::collections::BTreeSet;
use utoipa::ToSchema;
use uuid::Uuid;

/// A log and its events.
#[derive(Clone, Debug, Serialize, ToSchema)]
pub struct LogHistory {
    /// The log, as `GET /v1/logs/{code}` answers it.
    pub log: LogView,
    /// Its events in order of receipt, as far as the reader sees.
    pub events: Vec<LogEvent>,
}

/// One event of a log. The fields from `type` to `details` are read out of the texts in `parts`, and
/// null or absent where those are not the reader's to see.
#[derive(Clone, Debug, Serialize, ToSchema)]
pub struct LogEvent {
    /// Place in the chain, from 1.
    pub seq: u32,
    /// What happened.
    #[serde(rename = "type")]
    #[schema(value_type = Option<EventType>)]
    pub event_type: Option<String>,
    /// The posting that it came with.
    pub operation_id: Option<Uuid>,
    /// When it happened, as told; UTC with microseconds.
    #[schema(value_type = Option<String>, format = DateTime)]
    pub occurred_at: Option<String>,
    /// When the server received it; UTC with microseconds.
    #[schema(value_type = String, format = DateTime)]
    pub received_at: String,
    /// Who recorded it.
    pub organization: Option<PartyView>,
    /// Where.
    #[serde(skip_serializing_if = "Option::is_none")]
    #[schema(value_type = Option<Object>)]
    pub place: Option<Value>,
    /// Where exactly.
    #[serde(skip_serializing_if = "Option::is_none")]
    #[schema(value_type = Option<Object>)]
    pub position: Option<Value>,
    /// Under which document.
    #[serde(skip_serializing_if = "Option::is_none")]
    #[schema(value_type = Option<Object>)]
    pub document: Option<Value>,
    /// Recorded by which device.
    #[serde(skip_serializing_if = "Option::is_none")]
    #[schema(value_type = Option<Object>)]
    pub device: Option<Value>,
    /// All else that the open parts say.
    #[schema(value_type = Object)]
    pub details: Map<String, Value>,
    /// Hash of the event before it; 64 zeros for the first.
    pub prev_hash: Hash,
    /// `SHA-256(0x00 || entry)`.
    pub hash: Hash,
    /// The 113 bytes that are hashed, in hex.
    #[schema(pattern = "^01[0-9a-f]{224}$")]
    pub entry: String,
    /// The three parts that the entry commits to.
    pub parts: ShownParts,
}

/// Reads the history that `sight` leaves `reader`.
///
/// # Errors
/// Those of the database; overloaded; a stored event that cannot be read.
pub async fn read(reads: &Reads, row: &LogRow, sight: Sight, reader: Reader) -> Result<LogHistory> {
    // Not beyond the row that was read before: both answers then tell the same moment.
    let up_to = match sight {
        Sight::Part { until, harvest: false } => until,
        _ => row.head_seq()?,
    };
    let persons = reader.inspector || row.issuer() == reader.organization;
    let told = reads.tell(Telling::chain(row, up_to, reader, persons)).await?;
    let Told { mut events, mut contents, names, room: _room } = told;
    let open = opened(&contents, sight);
    let seen = open.last().copied().unwrap_or(0);
    events.truncate(seen as usize);
    contents.truncate(seen as usize);
    let log = match sight {
        Sight::Whole => row.view(&names)?,
        Sight::Part { until, .. } => part_view(row, &events, &contents, &open, until, &names)?,
    };
    let subject = subject_ref(SubjectKind::Log, row.id.0, &row.salt()?);
    let events = events
        .iter()
        .zip(&contents)
        .map(|(event, content)| {
            let public = open.contains(&event.seq);
            let personal = public && (persons || content.business.organization == reader.organization);
            let shown = event.shown(subject, Openness { public, business: public, personal });
            LogEvent::of(shown, public.then_some(content), &names)
        })
        .collect();
    Ok(LogHistory { log, events })
}

/// The events whose parts are open, in order.
fn opened(events: &[Content], sight: Sight) -> BTreeSet<u32> {
    let harvested = |event: &&Content| match sight {
        Sight::Whole => true,
        Sight::Part { until, harvest } => event.seq <= until || harvest && is_harvest_data(event),
    };
    events.iter().filter(harvested).map(|event| event.seq).collect()
}

/// What the ticket's issuer answers for: the harvest, and corrections of what it said of the timber.
fn is_harvest_data(event: &Content) -> bool {
    let Content { public, business, .. } = event;
    match public.event_type {
        EventType::Harvested => true,
        EventType::Corrected => {
            let of_harvest = business.corrects.as_ref().is_some_and(|corrects| corrects.seq == 1);
            let of_timber = public.species.is_some()
                || public.length_m.is_some()
                || public.top_diameter_cm.is_some()
                || public.pieces.is_some()
                || public.volume_m3.is_some()
                || business.wood.is_some()
                || business.assortment.is_some()
                || business.grade.is_some()
                || business.line.is_some();
            !business.reverse && (of_harvest || of_timber)
        }
        _ => false,
    }
}

/// The log as the events that are open leave it.
fn part_view(
    row: &LogRow,
    events: &[StoredEvent],
    contents: &[Content],
    open: &BTreeSet<u32>,
    until: u32,
    names: &Names,
) -> Result<LogView> {
    let bad = |what: &str| Error::BadRow(format!("chain of log {}: {what}", row.id));
    let whole = contents.len().min((until as usize).max(1));
    let mut state = replay(&contents[..whole])?;
    for event in contents[whole..].iter().filter(|event| open.contains(&event.seq)) {
        state.apply(event)?;
    }
    let last = events.last().ok_or_else(|| bad("no events"))?;
    let mut view = row.view(names)?;
    let present = view.seal.number == state.seal;
    view.seal.status = if state.seal_void { SealState::Void } else { SealState::Applied };
    view.seal.marking_code = view.seal.marking_code.filter(|_| present);
    view.seal.number.clone_from(&state.seal);
    measures(&mut view, &state).ok_or_else(|| bad("a measure cannot be read"))?;
    let custody = until > 0;
    view.status = custody.then_some(state.status);
    view.holder = custody.then(|| names.of(state.holder));
    view.owner = custody.then(|| names.of(state.owner));
    view.carrier = state.carrier.filter(|_| custody).map(|carrier| names.of(carrier));
    view.vehicle = state.vehicle.filter(|_| custody);
    view.pending = state.pending.filter(|_| custody).map(|pending| PendingView {
        from: names.of(pending.from),
        to: names.of(pending.to),
        of: pending.of,
    });
    view.last_event = custody.then_some(LastEventView {
        event_type: state.last.event_type,
        on: state.last.on,
        region: state.last.region.and_then(|code| Region::parse(&code).ok()),
    });
    view.head =
        HeadView { seq: last.seq, hash: last.hash, received_at: crate::units::utc_text(last.received_at) };
    Ok(view)
}

fn measures(view: &mut LogView, state: &LogState) -> Option<()> {
    fn read<T: std::str::FromStr>(text: Option<&String>) -> Result<Option<T>, T::Err> {
        text.map(|text| text.parse()).transpose()
    }
    view.species = Species::parse(&state.species).ok()?;
    view.wood = state.wood;
    view.assortment = state.assortment;
    view.grade = state.grade;
    view.length_m = read(state.length_m.as_ref()).ok()?;
    view.top_diameter_cm = read(state.top_diameter_cm.as_ref()).ok()?;
    view.pieces = state.pieces;
    view.volume_m3 = state.volume_m3.parse().ok()?;
    view.table_volume_m3 = read(state.table_volume_m3.as_ref()).ok()?;
    view.measurement_method = state.method;
    view.felled_on = state.felled_on;
    Some(())
}

impl LogEvent {
    /// The shown event with its organisations named; `content` only if its parts are open.
    pub(super) fn of(shown: ShownEvent, content: Option<&Content>, names: &Names) -> Self {
        let mut details = shown.details;
        if let Some(Content { public, business, .. }) = content {
            for repeated in ["log", "subject", "key"] {
                details.remove(repeated);
            }
            let mut name = |field: &str, id: Option<OrganizationId>| {
                if let Some(party) = id.and_then(|id| serde_json::to_value(names.of(id)).ok()) {
                    details.insert(field.to_owned(), party);
                }
            };
            name("to", business.to);
            name("carrier", business.carrier);
            if let (Some(Value::Object(ticket)), Some(told)) = (details.get_mut("ticket"), &public.ticket) {
                ticket.insert("series".into(), told.series.clone().into());
                ticket.insert("number".into(), told.number.clone().into());
            }
        }
        Self {
            seq: shown.seq,
            event_type: shown.event_type,
            operation_id: shown.operation_id,
            occurred_at: shown.occurred_at,
            received_at: shown.received_at,
            organization: shown.organization.map(|id| names.of(id.into())),
            place: shown.place,
            position: shown.position,
            document: shown.document,
            device: shown.device,
            details,
            prev_hash: shown.prev_hash,
            hash: shown.hash,
            entry: shown.entry,
            parts: shown.parts,
        }
    }
}
