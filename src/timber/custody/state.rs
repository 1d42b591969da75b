//! The present state of a log, as a fold over its events. Table `log` stores the result, which can be
//! deleted and recomputed.

use super::content::{Content, Corrects, DetailsPart, LogBusiness};
use super::table::{CallerRoles, check};
use crate::base::error::{Error, Result};
use crate::base::ids::{LineId, OrganizationId};
use crate::base::region::Region;
use crate::base::units::{Diameter, Length, Pieces, Volume};
use crate::timber::event::types::LogEventType;
use crate::timber::event::vocabulary::{Outcome, Status, TransferOf};
use crate::timber::seal::SealNumber;
use crate::timber::wood::bounds::{Measures, Share};
use crate::timber::wood::species::{Assortment, Grade, LogKind, MeasurementMethod, Species, Wood};
use chrono::{DateTime, NaiveDate, Utc};
use std::collections::BTreeMap;

/// A transfer that was offered and is not yet accepted, rejected or withdrawn.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub struct PendingTransfer {
    /// The organisation that offered it.
    pub from: OrganizationId,
    /// The organisation it is offered to.
    pub to: OrganizationId,
    /// What it hands over.
    pub of: TransferOf,
}

/// Why a log may not be moved, sold or used until an inspector decides.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct Hold {
    /// When it began.
    pub since: DateTime<Utc>,
    /// The time at which the hold ends by itself. `None` if only a release ends it.
    pub until: Option<DateTime<Utc>>,
    /// Its reason.
    pub reason: String,
}

impl Hold {
    /// Whether the hold still stands at `at`, a time after its beginning.
    #[must_use]
    pub fn stands(&self, at: DateTime<Utc>) -> bool {
        self.until.is_none_or(|until| at < until)
    }
}

/// The newest event of a log that was not out of order.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct LastEvent {
    /// Its type.
    pub event_type: LogEventType,
    /// The hashed day of the event: the day in Kazakhstan; in content version 1, the day at the client's UTC
    /// offset.
    pub on: NaiveDate,
    /// Its time, as the client stated.
    pub occurred_at: DateTime<Utc>,
    /// The last region that any event named.
    pub region: Option<Region>,
}

/// The state of a log after its events.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct LogState {
    /// Log or stack.
    pub kind: LogKind,
    /// Species code.
    pub species: Species,
    /// Kind of wood.
    pub wood: Wood,
    /// Assortment.
    pub assortment: Option<Assortment>,
    /// Grade.
    pub grade: Option<Grade>,
    /// Length in metres.
    pub length_m: Option<Length>,
    /// Top diameter in centimetres.
    pub top_diameter_cm: Option<Diameter>,
    /// Pieces of a stack.
    pub pieces: Option<Pieces>,
    /// Volume in cubic metres.
    pub volume_m3: Volume,
    /// The volume by the table of GOST 2708-75, if the table covers the log's length and diameter.
    pub table_volume_m3: Option<Volume>,
    /// How the volume was determined.
    pub method: MeasurementMethod,
    /// Local day of the harvest.
    pub felled_on: NaiveDate,
    /// The ticket line that the volume counts against.
    pub line: LineId,
    /// The seal that the log bears now, or bore last.
    pub seal: SealNumber,
    /// Whether that seal is void.
    pub seal_void: bool,
    /// Status.
    pub status: Status,
    /// The status before the newest `loaded`, to which `unloaded` returns. It is not stored in the log's row:
    /// only a state that was computed from events has it.
    pub before_loading: Option<Status>,
    /// The organisation that holds it.
    pub holder: OrganizationId,
    /// The organisation that owns it.
    pub owner: OrganizationId,
    /// The forest owner that records for the holder, if that is an individual: the wood is for own use. `None` again
    /// once it is seized.
    pub keeper: Option<OrganizationId>,
    /// Pending transfer.
    pub pending: Option<PendingTransfer>,
    /// Carrier named at loading, until received.
    pub carrier: Option<OrganizationId>,
    /// Vehicle named at loading, until received.
    pub vehicle: Option<String>,
    /// Its own hold, by `detained`.
    pub hold: Option<Hold>,
    /// The hold of the felling ticket, if it applies to this log. It is stored in the log's row and not in an
    /// event of the log, so a state that was computed from events alone has `None`.
    pub ticket_hold: Option<Hold>,
    /// Whether an inspection found the log's seal missing or damaged, and the seal has not been replaced
    /// since.
    pub reseal: bool,
    /// Newest event.
    pub last: LastEvent,
}

impl LogState {
    /// The state after the first event.
    pub fn first(event: &Content) -> Result<Self> {
        let Content { seq, public, business } = event;
        let missing = |what: &str| Error::CorruptRow(format!("event {}/{seq}: no {what}", business.log));
        if public.event_type != LogEventType::Harvested {
            return Err(missing("harvest"));
        }
        Ok(Self {
            kind: public.subject,
            species: public.species.ok_or_else(|| missing("species"))?,
            wood: business.wood.ok_or_else(|| missing("wood"))?,
            assortment: business.assortment,
            grade: business.grade,
            length_m: public.length_m,
            top_diameter_cm: public.top_diameter_cm,
            pieces: public.pieces,
            volume_m3: public.volume_m3.ok_or_else(|| missing("volume_m3"))?,
            table_volume_m3: business.table_volume_m3,
            method: business.method.ok_or_else(|| missing("method"))?,
            felled_on: public.on,
            line: business.line.ok_or_else(|| missing("line"))?,
            seal: public.seal.clone().ok_or_else(|| missing("seal"))?,
            seal_void: false,
            status: Status::AtFelling,
            before_loading: None,
            holder: business.holder.unwrap_or(business.organization),
            owner: business.holder.unwrap_or(business.organization),
            keeper: business.holder.map(|_| business.organization),
            pending: None,
            carrier: None,
            vehicle: None,
            hold: None,
            ticket_hold: None,
            reseal: false,
            last: LastEvent {
                event_type: public.event_type,
                on: public.on,
                occurred_at: business.occurred.instant(),
                region: public.region,
            },
        })
    }

    /// The state after one more event. A correction that reverses an earlier event
    /// cannot be applied to a state alone: [`replay`] applies it from the complete chain.
    pub fn apply(&mut self, event: &Content) -> Result<()> {
        let Content { public, business, .. } = event;
        if business.out_of_order {
            return Ok(());
        }
        let before = self.status;
        if let Some(status) = becomes(public.event_type) {
            self.status = status;
        }
        match public.event_type {
            LogEventType::Stored
            | LogEventType::Processed
            | LogEventType::Exported
            | LogEventType::Sold
            | LogEventType::Found => {
                self.leave_vehicle();
            }
            LogEventType::Loaded => {
                self.before_loading = Some(before);
                self.carrier = business.carrier;
                self.vehicle.clone_from(&business.vehicle);
            }
            LogEventType::Unloaded => {
                // In an order of events that the custody rules do not allow (`state_at`), the log may not be
                // loaded; then nothing is unloaded.
                if self.status == Status::Loaded {
                    self.status = self.before_loading.unwrap_or(Status::Stored);
                    self.leave_vehicle();
                }
            }
            LogEventType::Received => {
                if !business.held && self.pending.is_some_and(|p| p.to == business.organization) {
                    self.settle();
                }
                self.leave_vehicle();
            }
            LogEventType::Transferred => {
                let (Some(to), Some(of)) = (business.to, business.of) else {
                    return Err(Error::CorruptRow(format!(
                        "event {}/{}: no receiver",
                        business.log, event.seq
                    )));
                };
                self.pending = Some(PendingTransfer { from: business.organization, to, of });
            }
            LogEventType::Accepted => self.settle(),
            LogEventType::Rejected | LogEventType::Withdrawn => self.pending = None,
            LogEventType::Lost | LogEventType::Destroyed => {
                self.pending = None;
                self.leave_vehicle();
            }
            LogEventType::SealReplaced => {
                if let Some(seal) = &public.seal {
                    self.seal.clone_from(seal);
                }
                self.seal_void = false;
                self.reseal = false;
            }
            LogEventType::Detained => {
                let reason = business.details.as_ref().and_then(|details| details.reason.clone());
                let since = self.hold.as_ref().map_or(business.occurred.instant(), |hold| hold.since);
                self.hold = Some(Hold { since, until: None, reason: reason.unwrap_or_default() });
            }
            LogEventType::Released => self.hold = None,
            LogEventType::Seized => {
                self.holder = business.custodian.unwrap_or(self.holder);
                self.keeper = None;
                self.pending = None;
                self.leave_vehicle();
            }
            LogEventType::Confiscated => {
                self.owner = business.to.unwrap_or(self.owner);
                self.pending = None;
            }
            LogEventType::Inspected => {
                // Inspections without `hold` do not change the state: their outcome is `match`, or they were
                // recorded before logs could be held.
                if let Some(DetailsPart { outcome: Some(outcome), hold: Some(_), .. }) = &business.details {
                    self.reseal |= matches!(outcome, Outcome::SealMissing | Outcome::SealDamaged);
                }
            }
            LogEventType::SealVoided => self.seal_void = true,
            LogEventType::Corrected => self.correct(event),
            LogEventType::Harvested | LogEventType::Departed | LogEventType::Arrived => {}
        }
        self.last = LastEvent {
            event_type: public.event_type,
            on: public.on,
            occurred_at: business.occurred.instant(),
            region: public.region.or(self.last.region),
        };
        Ok(())
    }

    /// Its declared volume and what that is compared with.
    #[must_use]
    pub const fn measures(&self) -> Measures {
        Measures {
            kind: self.kind,
            method: self.method,
            top_diameter: self.top_diameter_cm,
            length: self.length_m,
            pieces: self.pieces,
            volume: self.volume_m3,
        }
    }

    /// What it adds to its ticket line.
    #[must_use]
    pub fn share(&self) -> Share {
        Share {
            volume: self.volume_m3,
            table: self.table_volume_m3.filter(|_| self.measures().is_by_table()),
        }
    }

    /// Whether `organization` is a present party to the log, and so may see all of it.
    #[must_use]
    pub fn concerns(&self, organization: OrganizationId) -> bool {
        self.holder == organization
            || self.owner == organization
            || self.keeper == Some(organization)
            || self.carrier == Some(organization)
            || self.pending.is_some_and(|p| p.to == organization || p.from == organization)
    }

    /// Whether `organization` acts as the holder: it is the holder, or records for it.
    #[must_use]
    pub fn is_held_by(&self, organization: OrganizationId) -> bool {
        self.holder == organization || self.keeper == Some(organization)
    }

    /// The log's own hold or that of its ticket, if it stands at the time `at`.
    #[must_use]
    pub fn held(&self, at: DateTime<Utc>) -> Option<&Hold> {
        [&self.hold, &self.ticket_hold].into_iter().flatten().find(|hold| hold.stands(at))
    }

    fn leave_vehicle(&mut self) {
        self.carrier = None;
        self.vehicle = None;
    }

    fn settle(&mut self) {
        if let Some(transfer) = self.pending.take() {
            if transfer.of.moves_possession() {
                self.holder = transfer.to;
            }
            if transfer.of.moves_ownership() {
                self.owner = transfer.to;
            }
        }
    }

    fn correct(&mut self, event: &Content) {
        let Content { public, business, .. } = event;
        if business.annul {
            (self.status, self.seal_void) = (Status::Annulled, true);
            self.pending = None;
            self.leave_vehicle();
        }
        self.species = public.species.unwrap_or(self.species);
        self.wood = business.wood.unwrap_or(self.wood);
        self.volume_m3 = public.volume_m3.unwrap_or(self.volume_m3);
        self.line = business.line.unwrap_or(self.line);
        self.length_m = public.length_m.or(self.length_m);
        self.top_diameter_cm = public.top_diameter_cm.or(self.top_diameter_cm);
        if public.length_m.is_some() || public.top_diameter_cm.is_some() {
            self.table_volume_m3 = business.table_volume_m3;
        }
        self.pieces = public.pieces.or(self.pieces);
        self.assortment = business.assortment.or(self.assortment);
        self.grade = business.grade.or(self.grade);
        if let Some(Corrects { seq: 1, .. }) = &business.corrects
            && let Some(day) = business.right_day()
        {
            self.felled_on = day;
        }
    }
}

/// The status after an event, if the event sets one.
fn becomes(event: LogEventType) -> Option<Status> {
    match event.rule().to {
        super::table::To::Becomes(status) => Some(status),
        super::table::To::Unchanged | super::table::To::ByContent | super::table::To::BeforeLoading => None,
    }
}

/// The seqs of the reversed events, each with the seq of the first event that reversed it. This takes eight
/// bytes for each reversed event. An out-of-order event does not change the present state, so it reverses
/// nothing either.
#[derive(Clone, Debug, Default)]
pub struct Reversed(BTreeMap<u32, u32>);

impl Reversed {
    /// The reversed events of a complete chain.
    #[must_use]
    pub fn of(events: &[Content]) -> Self {
        let mut reversed = Self::default();
        for event in events {
            reversed.note(event);
        }
        reversed
    }

    /// Adds the next event of a chain.
    pub fn note(&mut self, event: &Content) {
        if event.business.reverse
            && !event.business.out_of_order
            && let Some(corrects) = &event.business.corrects
        {
            self.0.entry(corrects.seq).or_insert(event.seq);
        }
    }

    /// Whether no event was reversed.
    #[must_use]
    pub fn is_empty(&self) -> bool {
        self.0.is_empty()
    }

    /// Whether the event `seq` was reversed by the event `until` or one before it.
    #[must_use]
    pub fn has(&self, seq: u32, until: u32) -> bool {
        self.0.get(&seq).is_some_and(|first| *first <= until)
    }
}

/// The state of a log at `time`, as far as it is known now. A late event is included at the time at which it
/// happened. So a device may send several events of one journey after the journey has ended: the state for
/// the second event includes the first. An annulment is left out: it says nothing about any time.
pub fn state_at(events: &[Content], time: DateTime<Utc>) -> Result<LogState> {
    let mut history = Vec::with_capacity(events.len());
    for event in events {
        let at = event.business.occurred.instant();
        if (event.seq == 1 || at <= time) && !event.business.annul {
            let mut event = event.clone();
            event.business.out_of_order = false;
            history.push((event.seq != 1, at, event));
        }
    }
    // Stable sort: events with the same time stay in order of receipt.
    history.sort_by_key(|(later, at, _)| (*later, *at));
    let history: Vec<Content> = history.into_iter().map(|(.., event)| event).collect();
    replay(&history)
}

/// The state after a complete chain, without the reversed events.
pub fn replay(events: &[Content]) -> Result<LogState> {
    replay_from(None, events, &Reversed::of(events), u32::MAX)?
        .ok_or_else(|| Error::CorruptRow("a chain without events".into()))
}

/// The state after `events`, consecutive events of a chain. Skips events that were reversed by the event
/// `until` or an earlier one. `state` is the state before the first of `events`; `None` at the beginning of
/// the chain.
pub fn replay_from<'e>(
    mut state: Option<LogState>,
    events: impl IntoIterator<Item = &'e Content>,
    reversed: &Reversed,
    until: u32,
) -> Result<Option<LogState>> {
    for event in events {
        match &mut state {
            None => state = Some(LogState::first(event)?),
            Some(_) if reversed.has(event.seq, until) => {}
            Some(state) => state.apply(event)?,
        }
    }
    Ok(state)
}

/// The event that a reversal would undo now: the last event that is not late, not reversed yet, and no
/// inspection, hold, release or correction. `None` if its type is not reversible: a change of seal is not, so
/// nothing before it can be reversed. `None` too if the log is annulled.
#[must_use]
pub fn last_reversible(events: &[Content]) -> Option<u32> {
    if events.iter().any(|event| event.business.annul) {
        return None;
    }
    let reversed = Reversed::of(events);
    events
        .iter()
        .rev()
        .filter(|event| !event.business.out_of_order && !reversed.has(event.seq, u32::MAX))
        .find(|event| {
            use LogEventType as E;
            !matches!(event.public.event_type, E::Inspected | E::Detained | E::Released | E::Corrected)
        })
        .filter(|event| event.public.event_type.rule().reversible)
        .map(|event| event.seq)
}

fn is_of_journey(event: &Content) -> bool {
    matches!(event.public.event_type, LogEventType::Departed | LogEventType::Arrived)
}

/// The first recorded event that could not have happened if `late` had happened at the time it states. For
/// this, all events are ordered by the time at which they happened. The result is the first event that the
/// custody rules allow in that order without `late`, but do not allow with `late`.
///
/// Whether a recorder was an inspector or the operator is not stored. So an event that requires one of these
/// roles counts as not allowed with or without `late`, and is never the result.
pub fn contradicted(events: &[Content], late: &Content) -> Result<Option<u32>> {
    let time = late.business.occurred.instant();
    let mut order = Vec::with_capacity(events.len() + 1);
    for event in events.iter().filter(|event| !event.business.annul) {
        let mut event = event.clone();
        event.business.out_of_order = false;
        order.push((event.seq != 1, event.business.occurred.instant(), event));
    }
    order.sort_by_key(|(later, at, _)| (*later, *at));
    let before = order.partition_point(|(later, at, _)| !*later || *at <= time);
    let mut without: Vec<Content> = order.into_iter().map(|(.., event)| event).collect();
    let followers = without.split_off(before);
    let mut with = without.clone();
    with.push(Content {
        business: LogBusiness { out_of_order: false, ..late.business.clone() },
        ..late.clone()
    });
    for event in followers {
        let at = event.business.occurred.instant();
        let allowed = |history: &[Content]| {
            let roles = CallerRoles { id: event.business.organization, inspector: false, operator: false };
            replay(history).is_ok_and(|state| check(event.public.event_type, &state, roles, at).is_ok())
        };
        if allowed(&without) && !allowed(&with) {
            // The holder and the carrier may both record the same journey. So a departure or arrival that
            // another departure or arrival has made impossible is a duplicate, not a contradiction.
            if is_of_journey(&event) && is_of_journey(late) {
                without.push(event);
                continue;
            }
            return Ok(Some(event.seq));
        }
        without.push(event.clone());
        with.push(event);
    }
    Ok(None)
}
