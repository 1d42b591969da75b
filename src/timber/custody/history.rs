//! The history of a log, limited to what one reader may see.
//!
//! Present parties and inspectors see every event. Past parties see the events up to their last. The
//! issuer of the felling ticket sees the harvest and its corrections; of the events in between, only what
//! is needed to recompute the hashes.

use super::history_query::{HistoryQuery, HistoryRows};
use super::state::{LogState, replay};
use crate::base::error::{Error, Result};
use crate::base::region::Region;
use crate::base::shares::MemoryPermit;
use crate::evidence::chain::disclosure::{ApiValue, EventBody, HistoryEvidence};
use crate::evidence::chain::history::{DisclosedEvent, Disclosure, EventFields, EventMembers, StoredEvent};
use crate::evidence::chain::schema::described_by;
use crate::timber::custody::log::read::{
    Access, HeadView, LastEventView, LogRow, LogView, Names, PartyView, PendingView, SealState,
};
use crate::timber::event::content::{Content, LogBusiness, LogPublic, Parties};
use crate::timber::event::types::LogEventType;
use crate::timber::party::reader::Reader;
use crate::timber::wood::species::Species;
use serde::ser::{Serialize, Serializer};
use std::collections::BTreeSet;
use utoipa::ToSchema;

/// A log and its events.
#[derive(serde::Serialize, ToSchema)]
pub struct LogHistory {
    /// The log, as `GET /v1/logs/{code}` returns it.
    pub log: LogView,
    /// Its events in order of receipt, up to the last one that the reader may see.
    pub events: Vec<LogEvent>,
    /// Memory permit of a long history.
    #[serde(skip)]
    permit: Option<MemoryPermit>,
}

impl LogHistory {
    /// The same history, serialised without the events' `entry` and `parts`.
    #[must_use]
    pub fn without_evidence(mut self) -> Self {
        let bare = |event: LogEvent| LogEvent { shown: event.shown.without_evidence(), ..event };
        self.events = self.events.into_iter().map(bare).collect();
        self
    }

    /// The memory permit, to be held until the response is sent.
    #[must_use]
    pub fn take_permit(&mut self) -> Option<MemoryPermit> {
        self.permit.take()
    }

    /// Its events alone, and the memory permit that they need.
    #[must_use]
    pub fn into_chain(self) -> (Vec<DisclosedEvent>, Option<MemoryPermit>) {
        (self.events.into_iter().map(|event| event.shown).collect(), self.permit)
    }
}

/// One event of a log. The fields from `type` to `details` are read from the texts in `parts`, and are null
/// or absent if the reader may not see those parts.
#[derive(ToSchema)]
#[expect(dead_code, reason = "describes what is written from the stored texts")]
struct LogEventShape {
    /// Its members, read from the parts.
    #[serde(flatten)]
    fields: LogEventFields<'static>,
    /// Its hashes and the evidence for them.
    #[serde(flatten)]
    evidence: HistoryEvidence,
}

/// One event of a log, held in its stored form until it is serialised.
#[derive(Clone)]
pub struct LogEvent {
    shown: DisclosedEvent,
    parties: Parties,
    names: Names,
}

impl Serialize for LogEvent {
    fn serialize<S: Serializer>(&self, serializer: S) -> Result<S::Ok, S::Error> {
        let (event, open) = self.shown.stored();
        let fields = event_fields(event, open, self.parties, &self.names);
        EventBody { fields, evidence: self.shown.shown_evidence() }.serialize(serializer)
    }
}

described_by!(LogEvent, LogEventShape, "LogEvent");

/// The members of a log event, with the names of its organisations.
pub type LogEventFields<'t> = EventFields<'t, LogEventType, PartyView>;

/// The query for the part of the history that `reader` may see with this `access`.
///
/// # Errors
/// The row's `head_seq` is corrupt.
pub fn query(row: &LogRow, access: Access, reader: Reader) -> Result<HistoryQuery> {
    // Not beyond the row that was read before, so that the log and its events describe the same moment.
    let up_to = match access {
        Access::Partial { until, harvest: false } => until,
        _ => row.head_seq()?,
    };
    Ok(HistoryQuery::chain(row, up_to, reader, sees_persons(row, reader)))
}

/// Whether the reader may see every personal part of a log: an inspector, or the issuer of its ticket.
fn sees_persons(row: &LogRow, reader: Reader) -> bool {
    reader.inspector || row.issuer() == reader.organization
}

/// The history that `reader` may see with this `access`, from the rows that [`query`] has read.
///
/// # Errors
/// A stored event that cannot be read.
pub fn of(row: &LogRow, access: Access, reader: Reader, rows: HistoryRows) -> Result<LogHistory> {
    let HistoryRows { mut events, parties, names, permit } = rows;
    let persons = sees_persons(row, reader);
    let (log, open) = match access {
        Access::Full => (row.view(&names)?, None),
        Access::Partial { until, .. } => {
            let mut contents = events.iter().map(content).collect::<Result<Vec<_>>>()?;
            let open = opened(&contents, access);
            let seen = open.last().copied().unwrap_or(0);
            events.truncate(seen as usize);
            contents.truncate(seen as usize);
            (part_view(row, &events, &contents, &open, until, &names)?, Some(open))
        }
    };
    let subject = row.subject()?.reference();
    let shown = events.into_iter().zip(parties).map(|(event, parties)| {
        let public = open.as_ref().is_none_or(|open| open.contains(&event.seq));
        let personal = public && (persons || parties.organization == reader.organization);
        let open = Disclosure { public, business: public, personal };
        LogEvent { shown: event.shown(subject, open), parties, names: names.clone() }
    });
    Ok(LogHistory { log, events: shown.collect(), permit })
}

fn content(event: &StoredEvent) -> Result<Content> {
    let (public, business) = (LogPublic::parse(&event.public)?, LogBusiness::parse(&event.business)?);
    Ok(Content { seq: event.seq, public, business })
}

/// The members of an event's disclosed parts, with the names of its organisations.
pub(super) fn event_fields<'t>(
    event: &'t StoredEvent,
    open: Disclosure,
    parties: Parties,
    names: &Names,
) -> LogEventFields<'t> {
    let mut members = EventMembers::of(event, open);
    let event_type =
        members.take("type").and_then(ApiValue::word).and_then(|word| LogEventType::parse(word).ok());
    let organization = members.take("organization").map(|_| names.of(parties.organization));
    if open.business {
        members.hide(&["log", "subject", "key"]);
        for (field, id) in [("to", parties.to), ("carrier", parties.carrier)] {
            if let Some(id) = id {
                members.put(field, names.of(id));
            }
        }
        members.join("ticket");
    }
    members.fields(event, event_type, organization)
}

/// The seqs of the events with disclosed parts, in order.
fn opened(events: &[Content], access: Access) -> BTreeSet<u32> {
    let harvested = |event: &&Content| match access {
        Access::Full => true,
        Access::Partial { until, harvest } => event.seq <= until || harvest && is_harvest_data(event),
    };
    events.iter().filter(harvested).map(|event| event.seq).collect()
}

/// Whether an event is harvest data, which the ticket's issuer is responsible for: the harvest itself, or a
/// correction of the timber data that it recorded.
fn is_harvest_data(event: &Content) -> bool {
    let Content { public, business, .. } = event;
    match public.event_type {
        LogEventType::Harvested => true,
        LogEventType::Corrected => {
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

/// The log in the state after its disclosed events only.
fn part_view(
    row: &LogRow,
    events: &[StoredEvent],
    contents: &[Content],
    open: &BTreeSet<u32>,
    until: u32,
    names: &Names,
) -> Result<LogView> {
    let corrupt = |what: &str| Error::CorruptRow(format!("chain of log {}: {what}", row.id));
    let full = contents.len().min((until as usize).max(1));
    let mut state = replay(&contents[..full])?;
    for event in contents[full..].iter().filter(|event| open.contains(&event.seq)) {
        state.apply(event)?;
    }
    let last = events.last().ok_or_else(|| corrupt("no events"))?;
    let mut view = row.view(names)?;
    let present = view.seal.number == state.seal;
    view.seal.status = if state.seal_void { SealState::Void } else { SealState::Applied };
    view.seal.marking_code = view.seal.marking_code.filter(|_| present);
    view.seal.number.clone_from(&state.seal);
    measures(&mut view, &state).ok_or_else(|| corrupt("a measure cannot be read"))?;
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
    view.head = HeadView {
        seq: last.seq,
        hash: last.hash,
        received_at: crate::base::units::utc_text(last.received_at),
    };
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
