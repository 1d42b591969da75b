//! The history of a log, limited to the events that one reader may see.
//!
//! Present parties and inspectors see every event. A past party sees the events up to the last one that it
//! may read. The issuer of the felling ticket sees the harvest and its corrections; of the other events in
//! between, it sees only the hashes, which it needs to verify the chain.

use super::content::{Content, LogBusiness, LogPublic, Parties};
use super::history_query::{HistoryQuery, HistoryRows};
use super::state::{LogState, Reversed, replay_from};
use crate::base::error::{Error, Result};
use crate::base::ids::OrganizationId;
use crate::evidence::chain::Hash;
use crate::evidence::chain::disclosure::{ApiValue, EventBody, HistoryEvidence};
use crate::evidence::chain::history::{
    ChainPosition, DisclosedEvent, Disclosure, EventFields, EventMembers, StoredEvent,
};
use crate::evidence::chain::schema::described_by;
use crate::timber::custody::log::read::{
    Access, HeadView, HoldView, LastEventView, LogRow, LogView, Names, PartyView, PendingView, SealState,
};
use crate::timber::event::types::LogEventType;
use crate::timber::party::reader::Reader;
use chrono::{DateTime, Utc};
use serde::ser::{Serialize, Serializer};
use std::collections::BTreeSet;
use utoipa::ToSchema;

/// A log and its events.
#[derive(serde::Serialize, ToSchema)]
pub struct LogHistory {
    /// The log, as `GET /v1/logs/{code}` returns it.
    pub log: LogView,
    /// The log's events in order of receipt, up to the last one that the reader may see.
    pub events: Vec<LogEvent>,
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

impl LogEvent {
    /// This event, serialised without `entry` and `parts`.
    #[must_use]
    pub fn without_evidence(self) -> Self {
        Self { shown: self.shown.without_evidence(), ..self }
    }

    /// This event without the names of its organisations.
    #[must_use]
    pub fn into_disclosed(self) -> DisclosedEvent {
        self.shown
    }
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

/// The last event that must be read for the part of the history that `access` gives.
///
/// # Errors
/// A corrupt row.
pub fn up_to(row: &LogRow, access: Access) -> Result<u32> {
    // `row` was read first, and newer events may exist by now. They are not read, so that the log and its
    // events show the state at the same moment.
    match access {
        Access::Partial { until, harvest: false } => Ok(until),
        _ => row.head_seq(),
    }
}

/// The query for the part of the history that `reader` may see with this `access`.
///
/// # Errors
/// The row's `head_seq` is corrupt.
pub fn query(row: &LogRow, access: Access, reader: Reader) -> Result<HistoryQuery> {
    Ok(HistoryQuery::chain(row, up_to(row, access)?, reader, sees_persons(row, reader)))
}

/// The query for one page of a long history: the events from `start` up to and including `up_to`, but at most
/// one page.
#[must_use]
pub fn page(row: &LogRow, start: ChainPosition, up_to: u32, reader: Reader) -> HistoryQuery {
    HistoryQuery::page(row, start, up_to, reader, sees_persons(row, reader))
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
    let part = VisiblePart::read(access, &rows.events)?;
    let log = match &part {
        None => row.view(&rows.names)?,
        Some(part) => part.view(row, &rows.names)?,
    };
    Ok(LogHistory { log, events: disclosed(row, part.as_ref(), reader, rows)? })
}

/// The events of `rows` as `reader` may see them. `part` is the part of the log that `reader` may see; `None`
/// means the complete log.
///
/// # Errors
/// A corrupt row.
pub fn disclosed(
    row: &LogRow,
    part: Option<&VisiblePart>,
    reader: Reader,
    rows: HistoryRows,
) -> Result<Vec<LogEvent>> {
    let HistoryRows { mut events, parties, names } = rows;
    let persons = sees_persons(row, reader);
    let subject = row.subject()?.reference();
    if let Some(part) = part {
        events.retain(|event| event.seq <= part.last());
    }
    let shown = events.into_iter().zip(parties).map(|(event, parties)| {
        let public = part.is_none_or(|part| part.opens(event.seq));
        let personal = public && (persons || parties.organization == reader.organization);
        let open = Disclosure { public, business: public, personal };
        LogEvent { shown: event.shown(subject, open), parties, names: names.clone() }
    });
    Ok(shown.collect())
}

fn content(event: &StoredEvent) -> Result<Content> {
    let (public, business) = (LogPublic::parse(&event.public)?, LogBusiness::parse(&event.business)?);
    Ok(Content { seq: event.seq, public, business })
}

/// The members of an event's disclosed parts, as a response contains them: with the names of the
/// organisations.
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
        for (field, id) in
            [("to", parties.to), ("carrier", parties.carrier), ("custodian", parties.custodian)]
        {
            if let Some(id) = id {
                members.put(field, names.of(id));
            }
        }
        members.join("ticket");
    }
    members.fields(event, event_type, organization)
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

/// The part of a log that a past party or the issuer of its ticket may see: for a past party, the events up
/// to `until`; for the issuer, all harvest data too. Events are added one at a time, so that a long chain
/// need not be in memory.
#[derive(Clone, Debug)]
pub struct VisiblePart {
    until: u32,
    harvest: bool,
    /// Disclosed events after `until`, in order.
    later: BTreeSet<u32>,
    /// The last disclosed event that was read.
    newest: Option<(u32, Hash, DateTime<Utc>)>,
    reversed: Reversed,
    state: Option<LogState>,
    is_second_pass: bool,
}

impl VisiblePart {
    /// The part that `access` gives, before any event is added; `None` if it is the complete log.
    #[must_use]
    pub fn new(access: Access) -> Option<Self> {
        let Access::Partial { until, harvest } = access else { return None };
        Some(Self {
            until,
            harvest,
            later: BTreeSet::new(),
            newest: None,
            reversed: Reversed::default(),
            state: None,
            is_second_pass: false,
        })
    }

    /// The part that `access` gives, after adding `events`. They must be all events of the log up to
    /// [`up_to`].
    fn read(access: Access, events: &[StoredEvent]) -> Result<Option<Self>> {
        let Some(mut part) = Self::new(access) else { return Ok(None) };
        loop {
            for event in events {
                part.add(event)?;
            }
            if !part.needs_second_pass() {
                return Ok(Some(part));
            }
        }
    }

    /// Adds the next event of the log. An event that is not disclosed changes nothing, except for the first
    /// event.
    ///
    /// # Errors
    /// An event that cannot be decoded.
    pub fn add(&mut self, event: &StoredEvent) -> Result<()> {
        // The first event is applied even if it is not disclosed (`until` is 0): it is the harvest, and
        // without the harvest no state can be computed.
        let of_party = event.seq <= self.until.max(1);
        let content = content(event)?;
        if event.seq > self.until && self.harvest && is_harvest_data(&content) {
            self.later.insert(event.seq);
        }
        if self.opens(event.seq) {
            self.newest = Some((event.seq, event.hash, event.received_at));
        }
        if of_party {
            if !self.is_second_pass {
                self.reversed.note(&content);
            }
            self.state = replay_from(self.state.take(), [&content], &self.reversed, u32::MAX)?;
        } else if self.opens(event.seq)
            && let Some(state) = &mut self.state
        {
            state.apply(&content)?;
        }
        Ok(())
    }

    /// Whether all events must be added a second time, because one of them reversed an earlier event that had
    /// been applied already. Returns true at most once.
    pub fn needs_second_pass(&mut self) -> bool {
        let first = !self.reversed.is_empty() && !self.is_second_pass;
        if first {
            (self.state, self.is_second_pass) = (None, true);
        }
        first
    }

    /// Whether the event `seq` is disclosed. If the reader may see harvest data, add the event before calling
    /// this.
    #[must_use]
    pub fn opens(&self, seq: u32) -> bool {
        seq <= self.until || self.later.contains(&seq)
    }

    /// The last disclosed event, with which the history ends. If the reader may see harvest data, add all
    /// events before calling this.
    #[must_use]
    pub fn last(&self) -> u32 {
        self.later.last().copied().unwrap_or(self.until)
    }

    /// Whether [`VisiblePart::opens`] and [`VisiblePart::last`] may be called before any event is added. True
    /// if the part depends on `until` only, and not on which events are harvest data.
    #[must_use]
    pub fn is_known_unread(&self) -> bool {
        !self.harvest
    }

    /// The organisations that [`VisiblePart::view`] names.
    #[must_use]
    pub fn parties(&self) -> Vec<OrganizationId> {
        let Some(state) = &self.state else { return Vec::new() };
        let pending = state.pending.map(|pending| [pending.from, pending.to]).into_iter().flatten();
        [state.holder, state.owner].into_iter().chain(state.carrier).chain(pending).collect()
    }

    /// The log as the reader may see it: in the state after the disclosed events only.
    ///
    /// # Errors
    /// A corrupt row, or a log without events.
    pub fn view(&self, row: &LogRow, names: &Names) -> Result<LogView> {
        let corrupt = |what: &str| Error::CorruptRow(format!("chain of log {}: {what}", row.id));
        let (Some(state), Some((seq, hash, received_at))) = (&self.state, self.newest) else {
            return Err(corrupt("no events"));
        };
        let mut view = row.view(names)?;
        let present = view.seal.number == state.seal;
        view.seal.status = if state.seal_void { SealState::Void } else { SealState::Applied };
        view.seal.marking_code = view.seal.marking_code.filter(|_| present);
        view.seal.number.clone_from(&state.seal);
        measures(&mut view, state);
        let custody = self.until > 0;
        view.status = custody.then_some(state.status);
        view.holder = custody.then(|| names.of(state.holder));
        view.owner = custody.then(|| names.of(state.owner));
        view.carrier = state.carrier.filter(|_| custody).map(|carrier| names.of(carrier));
        view.vehicle = state.vehicle.clone().filter(|_| custody);
        view.pending = state.pending.filter(|_| custody).map(|pending| PendingView {
            from: names.of(pending.from),
            to: names.of(pending.to),
            of: pending.of,
        });
        view.held = state.hold.clone().filter(|_| custody).map(HoldView::of);
        view.last_event = custody.then_some(LastEventView {
            event_type: state.last.event_type,
            on: state.last.on,
            region: state.last.region,
        });
        view.head = HeadView { seq, hash, received_at: crate::base::units::utc_text(received_at) };
        Ok(view)
    }
}

fn measures(view: &mut LogView, state: &LogState) {
    view.species = state.species;
    view.wood = state.wood;
    view.assortment = state.assortment;
    view.grade = state.grade;
    view.length_m = state.length_m;
    view.top_diameter_cm = state.top_diameter_cm;
    view.pieces = state.pieces;
    view.volume_m3 = state.volume_m3;
    view.table_volume_m3 = state.table_volume_m3;
    view.measurement_method = state.method;
    view.felled_on = state.felled_on;
}
