//! A correction is a new event; recorded events are never edited. It replaces values that were recorded
//! wrongly, reverses the last event that changed the log's state, or annuls an entry that never was. The
//! balance of the ticket's lines is checked again; only the values that a correction sets are checked.

use super::content::{Content, Corrects, LogBusiness, LogPublic};
use super::inspector_only::{is_journey, needs_inspector};
use super::record::{Access, Recorder, pointer};
use super::request::Correction;
use super::returned::{Returned, reopened};
use super::state::{LogState, last_reversible, replay};
use crate::base::error::{Error, FieldError, Result};
use crate::base::ids::{LineId, LogId, OrganizationId, TicketId};
use crate::base::input::RequestErrors;
use crate::base::units::LocalDate;
use crate::evidence::chain::Hash;
use crate::evidence::chain::Tx;
use crate::timber::custody::harvest::balance::{Balance, Marked};
use crate::timber::custody::log::write::LockedLog;
use crate::timber::event::parts::{LocalTime, PositionPart};
use crate::timber::event::types::LogEventType;
use crate::timber::event::vocabulary::Status;
use crate::timber::finding::rules;
use crate::timber::finding::write::NewFinding;
use crate::timber::parameter::name::ParameterName;
use crate::timber::parameter::{Parameters, Rulebook};
use crate::timber::party::role::Role;
use crate::timber::seal::replace::Replacement;
use crate::timber::ticket::{self, LineChange, NO_COMMERCIAL_WOOD, TicketForHarvest};
use crate::timber::wood::bounds::{Bounds, Measures, Share};
use crate::timber::wood::species::Wood;
use crate::timber::wood::volume_table::{TableVolume, gost_volume};
use chrono::{DateTime, NaiveDate, TimeDelta, Utc};
use rust_decimal::prelude::ToPrimitive as _;
use std::collections::HashMap;
use std::sync::Arc;
use uuid::Uuid;

/// One stored event with its content.
#[derive(Clone, Debug)]
pub struct ChainEvent {
    /// When the server received it.
    pub received_at: DateTime<Utc>,
    /// Its hash.
    pub hash: Hash,
    /// Its content.
    pub content: Content,
}

/// The complete chains of logs, with parsed contents.
pub(super) async fn chains(tx: &mut Tx<'_>, logs: &[LogId]) -> Result<HashMap<LogId, Vec<ChainEvent>>> {
    let ids: Vec<Uuid> = logs.iter().map(|log| log.0).collect();
    let rows = sqlx::query!(
        "SELECT subject_id, seq, received_at, hash, public, business FROM event
         WHERE subject_id = ANY($1) ORDER BY subject_id, seq",
        &ids
    )
    .fetch_all(&mut **tx)
    .await?;
    let mut chains: HashMap<LogId, Vec<ChainEvent>> = HashMap::with_capacity(logs.len());
    for row in rows {
        let corrupt = || Error::CorruptRow(format!("event {}/{}", row.subject_id, row.seq));
        let seq = u32::try_from(row.seq).map_err(|_| corrupt())?;
        let content = Content {
            seq,
            public: LogPublic::parse(&row.public)?,
            business: LogBusiness::parse(&row.business)?,
        };
        let hash = Hash::from_slice(&row.hash).ok_or_else(corrupt)?;
        let event = ChainEvent { received_at: row.received_at, hash, content };
        chains.entry(row.subject_id.into()).or_default().push(event);
    }
    Ok(chains)
}

/// The data that [`decide`] needs: the log's ticket with its locked lines, what earlier corrections gave back
/// on it, and the log's chain.
pub(super) struct Prepared {
    ticket: TicketForHarvest,
    returned: Returned,
    pub(super) chain: Vec<ChainEvent>,
    /// The seal of the log, locked for an annulment.
    pub(super) seal: Option<Replacement>,
    parameters: Arc<Parameters>,
}

impl Prepared {
    /// The error if no more volume may be marked on the ticket: it is cancelled, or its felling dates are
    /// over.
    fn closed_ticket(&self, now: DateTime<Utc>) -> Option<FieldError> {
        let today = LocalDate::of(now);
        let (code, detail) = if self.ticket.row.cancelled {
            (
                "ticket-cancelled",
                "The felling ticket is cancelled: a correction cannot add volume to it.".to_owned(),
            )
        } else if today > self.ticket.row.felling_until {
            let until = self.ticket.row.felling_until;
            (
                "ticket-expired",
                format!("Felling ended on {until}: a correction cannot add volume to the ticket."),
            )
        } else {
            return None;
        };
        Some(FieldError::new(pointer("/set"), code, detail))
    }

    /// Whether the newest event of the log was recorded by `organization`.
    pub(super) fn ends_with_event_of(&self, organization: OrganizationId) -> bool {
        self.chain.last().is_some_and(|event| event.content.business.organization == organization)
    }

    /// Whether the caller corrects as an inspector. Its own record it may correct as its recorder does; otherwise it must
    /// not be a party.
    ///
    /// # Errors
    /// [`Error::OwnCase`] if it recorded the event itself.
    pub(super) fn corrects_as_inspector(&self, recorder: &Recorder<'_>, row: &LockedLog) -> Result<bool> {
        if !recorder.caller.is(Role::Inspector) {
            return Ok(false);
        }
        let named = recorder.request.corrects;
        let target = named.and_then(|seq| self.chain.iter().find(|event| event.content.seq == seq));
        let Some(target) = target else { return Ok(true) };
        if target.content.business.organization != recorder.caller.organization {
            return Ok(true);
        }
        let in_time = recorder.now - target.received_at <= TimeDelta::hours(own_hours(recorder));
        let reverse = recorder.request.reverse == Some(true);
        if in_time && needs_inspector(reverse, target, self, recorder, row).is_none() {
            return Ok(false);
        }
        Err(Error::own_case())
    }

    /// Whether the event `receipt` (of type `received`) also accepted an offered transfer.
    pub(super) fn accepted_by(&self, receipt: &ChainEvent) -> bool {
        let before = self.chain.iter().take_while(|event| event.content.seq < receipt.content.seq);
        let before: Vec<Content> = before.map(|event| event.content.clone()).collect();
        let receiver = receipt.content.business.organization;
        let offered =
            replay(&before).is_ok_and(|state| state.pending.is_some_and(|pending| pending.to == receiver));
        offered && !receipt.content.business.held
    }

    /// Whether an inspection, or a position away from it, was recorded after `event`.
    fn seen_elsewhere(&self, event: &ChainEvent, day: NaiveDate) -> bool {
        use LogEventType as E;
        let (upto, later) = self.chain.split_at(self.chain.len().min(event.content.seq as usize));
        let inspected = |event: &ChainEvent| {
            let seen = [E::Inspected, E::Detained, E::Released];
            seen.contains(&event.content.public.event_type)
        };
        let most = self.parameters.on(ParameterName::ReversalDistance, day).to_f64().unwrap_or_default();
        let position = |event: &ChainEvent| event.content.business.position.map(PositionPart::position);
        let from = upto.iter().rev().find_map(position);
        let since = event.content.business.occurred.instant();
        let mut positions = later
            .iter()
            .filter(|event| event.content.business.occurred.instant() >= since)
            .filter_map(position);
        // Without an earlier position, a later one may be anywhere.
        let away = positions.any(|at| from.is_none_or(|from| from.distance_m(at) > most));
        later.iter().any(inspected) || away
    }
}

/// Locks the lines of the log's ticket, for an annulment the log's seal, and then the log, in the lock order.
/// Then reads the log's chain.
pub(super) async fn prepare(
    tx: &mut Tx<'_>,
    log: LogId,
    rulebook: &Rulebook,
    annul: bool,
) -> Result<Prepared> {
    let ticket =
        sqlx::query_scalar!("SELECT ticket_id FROM log WHERE id = $1", log.0).fetch_one(&mut **tx).await?;
    let ticket = ticket::lock_for_harvest(tx, TicketId(ticket)).await?;
    let ticket = ticket.ok_or_else(|| Error::CorruptRow(format!("log.ticket_id of {log}")))?;
    let seal = if annul { Some(Replacement::lock_old(tx, log).await?) } else { None };
    crate::timber::custody::log::write::lock(tx, &[log]).await?;
    let returned = Returned::read(tx, ticket.row.id, log, annul).await?;
    let chain = chains(tx, &[log]).await?.remove(&log).unwrap_or_default();
    Ok(Prepared { ticket, returned, chain, seal, parameters: rulebook.parameters() })
}

/// An accepted correction, not yet stored.
pub(crate) struct Decision {
    corrects: Corrects,
    reverse: bool,
    annul: bool,
    set: Option<Set>,
    contents: Vec<Content>,
    marked: Marked,
    findings: Vec<rules::Draft>,
    ticket: TicketId,
}

/// The values that it sets, resolved.
struct Set {
    correction: Correction,
    line: Option<LineId>,
    table: Option<TableVolume>,
}

/// Decides on a correction; adds every reason against it to `errors`. If its `set` and `reverse` are not
/// `readable`, only the event that it names is checked.
pub(super) fn decide(
    prepared: &Prepared,
    recorder: &Recorder<'_>,
    row: &LockedLog,
    access: Access,
    readable: bool,
    errors: &mut RequestErrors,
) -> Option<Decision> {
    let request = recorder.request;
    let today = LocalDate::of(recorder.now).day();
    let before = (errors.invalid.count(), errors.conflict.count());
    let target = find_target(prepared, recorder, access, errors);
    if !readable {
        return None;
    }
    let contents: Vec<Content> = prepared.chain.iter().map(|event| event.content.clone()).collect();
    let (reverse, annul) = (request.reverse == Some(true), request.annul == Some(true));
    if let Some(target) = target {
        check_right((reverse, annul), target, &contents, prepared, recorder, (row, access), today, errors);
    }
    let refused = |errors: &RequestErrors| (errors.invalid.count(), errors.conflict.count()) != before;
    if refused(errors) && access == Access::Past {
        // Further errors would tell a past party about later events.
        return None;
    }
    // The balance of the ticket's lines is for its holder, which recorded the harvest.
    let harvester = prepared.chain.first().map(|event| event.content.business.organization);
    let sees_ticket = recorder.caller.is(Role::Inspector) || harvester == Some(recorder.caller.organization);
    let mut balance = Balance::new(&prepared.ticket.lines, LocalDate::of(recorder.now), &recorder.parameters);
    let mut findings = Vec::new();
    let set = request.set.as_ref().filter(|_| target.is_some() || sees_ticket).map(|correction| {
        if let Some(target) = target {
            check_set(correction, target, prepared, row, errors);
            if target.content.seq == 1 {
                // An inspectorate that recorded the harvest itself is bound as any harvester is.
                let own = harvester == Some(recorder.caller.organization);
                let inspector = recorder.caller.is(Role::Inspector) && !own;
                check_bans(correction, row, prepared, inspector, &mut findings, errors);
            }
        }
        resolve(correction, row, prepared, recorder.now, &mut balance, &mut findings, errors)
    });
    if annul {
        balance.unmark(row.state.line, row.state.share());
    }
    let target = target.filter(|_| !refused(errors))?;
    let after = corrected_state(&row.state, set.as_ref(), annul);
    findings.extend(prepared.returned.finding(
        &prepared.ticket,
        &row.state,
        &after,
        &prepared.parameters,
        today,
    ));
    findings.extend(reopened(target, reverse));
    Some(Decision {
        annul,
        corrects: Corrects { seq: target.content.seq, hash: target.hash },
        reverse,
        set,
        contents,
        marked: balance.finish(&prepared.parameters.volume_bounds(today)),
        findings,
        ticket: prepared.ticket.row.id,
    })
}

/// The values of the state that decide what returns to a ticket line, after a correction that sets `set`.
fn corrected_state(before: &LogState, set: Option<&Set>, annul: bool) -> LogState {
    let mut after = before.clone();
    if let Some(Set { correction, line, .. }) = set {
        after.species = correction.species.unwrap_or(after.species);
        after.wood = correction.wood.unwrap_or(after.wood);
        after.volume_m3 = correction.volume_m3.unwrap_or(after.volume_m3);
        after.line = line.unwrap_or(after.line);
    }
    if annul {
        after.status = Status::Annulled;
    }
    after
}

/// For how many hours after its receipt the recorder of an event may correct it.
fn own_hours(recorder: &Recorder<'_>) -> i64 {
    recorder.parameters.whole(ParameterName::CorrectionHours, LocalDate::of(recorder.now).day())
}

/// The event that the caller corrects, if it exists and the caller may correct it.
fn find_target<'p>(
    prepared: &'p Prepared,
    recorder: &Recorder<'_>,
    access: Access,
    errors: &mut RequestErrors,
) -> Option<&'p ChainEvent> {
    let named = recorder.request.corrects;
    let target = named.and_then(|seq| prepared.chain.iter().find(|event| event.content.seq == seq));
    let hours = own_hours(recorder);
    let period = TimeDelta::hours(hours);
    let is_own = |event: &&ChainEvent| {
        event.content.business.organization == recorder.caller.organization
            && recorder.now - event.received_at <= period
    };
    let correctable = target.filter(|event| recorder.caller.is(Role::Inspector) || is_own(event));
    if correctable.is_none() {
        // A past party gets the same error for a missing event as for someone else's, so it cannot count
        // later events.
        if target.is_none() && access == Access::Full {
            let detail = format!("The log has events 1 to {}.", prepared.chain.len());
            errors.invalid.push(FieldError::new(pointer("/corrects"), "unknown-event", detail));
        } else {
            let detail = format!(
                "Its recorder may correct an event within {hours} hours of receipt; after that, only an inspector may."
            );
            errors.conflict.push(FieldError::new(pointer("/corrects"), "correction-not-yours", detail));
        }
    }
    correctable
}

/// Checks that the event can be reversed or annulled, if it is to be, and that its recorder may still correct it.
#[expect(clippy::too_many_arguments, reason = "each is used once, and none belongs to another")]
fn check_right(
    (reverse, annul): (bool, bool),
    target: &ChainEvent,
    contents: &[Content],
    prepared: &Prepared,
    recorder: &Recorder<'_>,
    (row, access): (&LockedLog, Access),
    today: NaiveDate,
    errors: &mut RequestErrors,
) {
    if annul && target.content.seq != 1 {
        let detail = "An entry is annulled by its harvest: correct event 1.";
        errors.invalid.push(FieldError::new(pointer("/corrects"), "only-of-the-harvest", detail));
        return;
    }
    let last = if reverse { last_reversible(contents) } else { None };
    if reverse && last != Some(target.content.seq) {
        let detail = match (last, access) {
            (_, Access::Past) => "Only the last event that changed the state can be reversed.".to_owned(),
            (Some(seq), Access::Full) => {
                format!("Only the last event that changed the state can be reversed: {seq}.")
            }
            (None, Access::Full) => "No event of this log can be reversed.".to_owned(),
        };
        errors.conflict.push(FieldError::new(pointer("/corrects"), "not-reversible", detail));
    } else if (!recorder.caller.is(Role::Inspector)
        || target.content.business.organization == recorder.caller.organization)
        && let Some(detail) = needs_inspector(reverse, target, prepared, recorder, row)
            .or_else(|| {
                let journey = reverse && is_journey(target.content.public.event_type);
                let seen = journey && prepared.seen_elsewhere(target, today);
                seen.then_some(
                    "The timber was inspected or seen elsewhere since: only an inspector may reverse the journey.",
                )
            })
            .or_else(|| {
                let returned = Some(prepared.returned).filter(|_| annul)?;
                returned.annulment_needs_inspector(&prepared.chain, &row.state, &prepared.parameters, today)
            })
    {
        errors.conflict.push(FieldError::new(pointer("/corrects"), "correction-by-inspector-only", detail));
    }
}

fn check_set(
    correction: &Correction,
    target: &ChainEvent,
    prepared: &Prepared,
    row: &LockedLog,
    errors: &mut RequestErrors,
) {
    if correction.is_of_harvest() && target.content.seq != 1 {
        let detail = "Species, wood, measures, grade and assortment belong to the harvest: correct event 1.";
        errors.invalid.push(FieldError::new(pointer("/set"), "only-of-the-harvest", detail));
    }
    let Some(occurred_at) = correction.occurred_at else { return };
    let (ticket, day) = (&prepared.ticket.row, occurred_at.day());
    if target.content.seq == 1 && (day < ticket.felling_from || day > ticket.felling_until) {
        let detail = format!(
            "{day} is outside the ticket's felling dates, {} to {}.",
            ticket.felling_from, ticket.felling_until
        );
        errors.invalid.push(FieldError::new(pointer("/set/occurred_at"), "outside-felling-dates", detail));
    }
    let at = || pointer("/set/occurred_at");
    let day = day.day();
    if target.content.seq != 1 {
        let permit = target.content.business.permit.as_ref().map(|permit| permit.issued_on);
        if permit.is_some_and(|issued_on| day < issued_on) {
            let detail = "The permit of this export was issued after that day.";
            errors.conflict.push(FieldError::new(at(), "permit-after-export", detail));
        }
        if day < row.state.felled_on {
            let detail =
                format!("The log was felled on {}: nothing happened to it before.", row.state.felled_on);
            errors.conflict.push(FieldError::new(at(), "contradicts-later", detail));
        }
        return;
    }
    let happened = prepared.chain.iter().skip(1).map(|event| &event.content);
    let happened = happened.filter(|event| event.public.event_type != LogEventType::Corrected);
    if let Some(earlier) = happened.filter(|event| event.public.on < day).min_by_key(|event| event.public.on)
    {
        let detail =
            format!("Event {} of this log happened on {}, before that.", earlier.seq, earlier.public.on);
        errors.conflict.push(FieldError::new(at(), "contradicts-later", detail));
    }
}

/// Checks the species and the day of a harvest against the felling bans, as they are after the correction. Otherwise
/// timber could be recorded as a species or on a day that is not banned, and be corrected afterwards. What an inspector
/// corrects is true, so it is found and never refused.
fn check_bans(
    correction: &Correction,
    row: &LockedLog,
    prepared: &Prepared,
    inspector: bool,
    findings: &mut Vec<rules::Draft>,
    errors: &mut RequestErrors,
) {
    let species = correction.species.unwrap_or(row.state.species);
    let felled = correction.occurred_at.map_or(row.state.felled_on, |moment| moment.day().day());
    if (species, felled) == (row.state.species, row.state.felled_on) {
        return;
    }
    let forbidding = || prepared.ticket.row.bans.iter().filter(|ban| ban.forbids(species, felled));
    if let Some(ban) = forbidding().find(|ban| ban.existing_tickets && !inspector) {
        let at = if correction.species.is_some() { "/set/species" } else { "/set/occurred_at" };
        errors.conflict.push(FieldError::new(pointer(at), "banned", ban.sentence()));
    } else {
        findings
            .extend(forbidding().next().map(|ban| rules::ticket::harvest_in_ban(felled, &ban.sentence())));
    }
}

/// Finds the ticket line and the table volume for the corrected values. In `balance`, marks the corrected
/// volume in place of the old one. Adds what it finds to `findings` and `errors`.
fn resolve(
    correction: &Correction,
    row: &LockedLog,
    prepared: &Prepared,
    now: DateTime<Utc>,
    balance: &mut Balance<'_>,
    findings: &mut Vec<rules::Draft>,
    errors: &mut RequestErrors,
) -> Set {
    let state = &row.state;
    let wood = correction.wood.unwrap_or(state.wood);
    let species = correction.species.unwrap_or(state.species);
    let (volume, old) = (correction.volume_m3.unwrap_or(state.volume_m3), state.volume_m3);
    let length = correction.length_m.or(state.length_m);
    let diameter = correction.top_diameter_cm.or(state.top_diameter_cm);
    let measured = correction.length_m.is_some() || correction.top_diameter_cm.is_some();
    let table = diameter.zip(length).filter(|_| measured).and_then(|(d, l)| gost_volume(d, l));
    // The measures belong to the harvest, so they are judged by the bounds in force on its day.
    let felled_on = correction.occurred_at.map_or(state.felled_on, |moment| moment.day().day());
    let bounds = prepared.parameters.volume_bounds(felled_on);
    let before = state.measures();
    let pieces = correction.pieces.or(state.pieces);
    let after = Measures { top_diameter: diameter, length, pieces, volume, ..before };
    check_measures(correction, &before, &after, &bounds, errors);
    let mut line = None;
    if let Some(Err(invalid)) = correction.volume_m3.map(|volume| volume.fits(state.kind)) {
        errors.invalid.push(FieldError::invalid(pointer("/set/volume_m3"), invalid));
    }
    if let Some(Err(invalid)) = correction.pieces.map(|pieces| pieces.fits(state.kind)) {
        errors.invalid.push(FieldError::invalid(pointer("/set/pieces"), invalid));
    }
    match balance.line(species, wood) {
        None => {
            let detail = format!("The ticket has no line for {species} {wood}.");
            errors.invalid.push(FieldError::new(pointer("/set/species"), "not-on-ticket", detail));
        }
        Some(_) if wood == Wood::Commercial && correction.wood.is_some() && state.keeper.is_some() => {
            errors.conflict.push(FieldError::new(pointer("/set/wood"), "own-use", NO_COMMERCIAL_WOOD));
        }
        Some(index) => {
            let id = balance.id(index);
            let old_share = state.share();
            let share = if measured { Share::from(&after) } else { Share { volume, ..old_share } };
            if id != state.line || share != old_share {
                balance.unmark(state.line, old_share);
                // A correction that reduces the volume on the same line is never refused, even if the line
                // remains over its limit.
                if id != state.line || volume > old {
                    errors.conflict.push_some(prepared.closed_ticket(now));
                    errors.conflict.push_some(balance.mark(index, share, || pointer("/set/volume_m3")));
                } else {
                    balance.lower(index, share);
                }
            }
            line = (id != state.line).then_some(id);
        }
    }
    // These rules depend on the measures, the kind of wood and the volume. So they are checked only if one of
    // these is corrected.
    if measured || wood != state.wood || after != before {
        findings.extend(rules::volume_unlike_table(&after, &bounds));
        findings.extend(rules::table_not_covered(&after));
        findings.extend(rules::logs_as_stack(&after, wood, &bounds));
        findings.extend(rules::commercial_as_firewood(&after, wood, &bounds));
    }
    Set { correction: correction.clone(), line, table }
}

/// Checks the corrected measures against the bounds, if one of them is set.
fn check_measures(
    correction: &Correction,
    before: &Measures,
    after: &Measures,
    bounds: &Bounds,
    errors: &mut RequestErrors,
) {
    let set = [
        ("/set/volume_m3", correction.volume_m3.is_some()),
        ("/set/top_diameter_cm", correction.top_diameter_cm.is_some()),
        ("/set/length_m", correction.length_m.is_some()),
        ("/set/pieces", correction.pieces.is_some()),
    ];
    let Some((at, _)) = set.into_iter().find(|(_, set)| *set) else { return };
    if after.lacks_pieces() && before != after {
        // Without them, the stack could get any volume, because there is nothing to compare it with.
        let detail = "Give the number of pieces too: without it, a stack's measures cannot be corrected.";
        errors.invalid.push(FieldError::new(pointer("/set/pieces"), "required", detail));
    }
    for invalid in before.refusals_of_correction(after, bounds) {
        errors.invalid.push(FieldError::invalid(pointer(at), invalid));
    }
}

impl Decision {
    /// Writes the correction into the parts of its event.
    pub(super) fn put(&self, public: &mut LogPublic, business: &mut LogBusiness) {
        business.corrects = Some(self.corrects);
        (business.reverse, business.annul) = (self.reverse, self.annul);
        let Some(Set { correction, line, table }) = &self.set else { return };
        public.species = correction.species;
        public.length_m = correction.length_m;
        public.top_diameter_cm = correction.top_diameter_cm;
        public.pieces = correction.pieces;
        public.volume_m3 = correction.volume_m3;
        business.wood = correction.wood;
        business.assortment = correction.assortment;
        business.grade = correction.grade;
        business.line = *line;
        if let Some(table) = table {
            business.table_volume_m3 = Some(table.volume);
            business.table = Some(table.version.to_owned());
        }
        business.right_occurred = correction.occurred_at.map(LocalTime::of);
        business.right_on = correction.occurred_at.map(|moment| moment.day().day());
        business.right_place = correction.place.as_ref().map(super::request::Place::part);
    }

    /// The state of the log after its recorded events and `correction`, the event of this decision.
    pub(super) fn after(&self, correction: &Content) -> Result<LogState> {
        let mut contents = self.contents.clone();
        contents.push(correction.clone());
        replay(&contents)
    }

    /// Whether it annuls the log.
    pub(super) fn annuls(&self) -> bool {
        self.annul
    }

    /// The changes on the ticket's lines.
    pub(super) fn changes(&self) -> &[LineChange] {
        &self.marked.changes
    }

    /// The findings of the rules.
    pub(super) fn findings(&self, log: Option<(LogId, u32)>) -> Vec<NewFinding> {
        let of_log = self.findings.iter().map(|draft| NewFinding {
            draft: draft.clone(),
            log,
            ticket: Some(self.ticket),
            party: None,
        });
        let of_lines = self.marked.findings.iter().map(|draft| NewFinding {
            draft: draft.clone(),
            log,
            ticket: Some(self.ticket),
            party: None,
        });
        of_log.chain(of_lines).collect()
    }
}
