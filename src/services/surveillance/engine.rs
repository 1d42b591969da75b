//! The fold: one leaf after another changes windows, and the windows that it changed are judged again.

use super::finding::{About, Change, changes};
use super::judge::{Case, in_order, removal};
use super::leaf::{Facts, Leaf, day_of, month_text};
use super::organization::about;
use super::person::Marked;
use super::threshold::{Dated, HOUR, Thresholds};
use super::window::{
    BackWindow, BatchWindow, Key, Kind, LogWindow, MAX_EVENTS, Past, PersonDay, PersonMonth, SealWindow,
    StockWindow, TicketWindow, Window, Windows, Yards, marker,
};
use crate::evidence::chain::SubjectKind;
use crate::timber::parameter::Parameters;
use chrono::{DateTime, Datelike as _, NaiveDate, Utc};
use std::sync::Arc;
use uuid::Uuid;

/// Version of the fold. A change of a rule, or of what a window means, increases it: the findings of the old
/// version stay until `ormantrace surveillance replay --apply` has replaced them.
pub const VERSION: i16 = 2;

/// The engine: the parameters, and how far the rules of time are.
#[derive(Clone, Debug)]
pub struct Engine {
    dated: Dated,
    /// The hour up to which the sweep has judged, in hours since 1970.
    swept: i64,
}

/// Takes a window of a kind out of the store; a new one if there is none.
macro_rules! take {
    ($windows:expr, $key:expr, $kind:ident) => {
        match $windows.take($key) {
            Some(Window::$kind(window)) => window,
            _ => Default::default(),
        }
    };
}

/// A window of a kind, without changing it.
macro_rules! peek {
    ($windows:expr, $key:expr, $kind:ident) => {
        match $windows.peek($key) {
            Some(Window::$kind(window)) => Some(window),
            _ => None,
        }
    };
}

impl Engine {
    /// An engine that has judged the rules of time up to the hour `swept`, in hours since 1970.
    #[must_use]
    pub fn new(parameters: Arc<Parameters>, swept: i64) -> Self {
        Self { dated: Dated::new(parameters), swept }
    }

    /// The hour up to which the rules of time are judged, in hours since 1970.
    #[must_use]
    pub fn swept(&self) -> i64 {
        self.swept
    }

    /// Judges the rules of time up to the last full hour before `now`: overdue holds, ended terms, stocks
    /// below zero. Removes the windows of persons that are no longer needed.
    pub fn sweep(&mut self, now: DateTime<Utc>, windows: &mut impl Windows, out: &mut Vec<Change>) {
        let hour = now.timestamp_micros().div_euclid(HOUR);
        if hour <= self.swept {
            return;
        }
        self.swept = hour;
        let until = hour * HOUR;
        for key in windows.due(until) {
            match windows.take(key) {
                Some(Window::Ticket(mut ticket)) => {
                    ticket.sweep(key.id, until, out);
                    windows.put(key, Window::Ticket(ticket));
                }
                Some(Window::Stock(mut stock)) => {
                    stock.sweep(until, out);
                    windows.put(key, Window::Stock(stock));
                }
                // A person's window ends here.
                _ => {}
            }
        }
    }

    /// Folds one leaf. Returns whether its texts could be read.
    pub fn step(&mut self, leaf: &Leaf, windows: &mut impl Windows, out: &mut Vec<Change>) -> bool {
        self.sweep(leaf.received_at, windows, out);
        if !matches!(leaf.kind, SubjectKind::Log | SubjectKind::FellingTicket | SubjectKind::SealBatch) {
            return true;
        }
        let Some(facts) = leaf.facts() else { return false };
        let t = self.dated.on(day_of(facts.occurred));
        let dated = &self.dated;
        match leaf.kind {
            SubjectKind::Log => Fold { windows, out, t: &t, dated }.log(leaf.subject, &facts),
            SubjectKind::FellingTicket => {
                let key = Key::ticket(leaf.subject);
                let mut ticket: TicketWindow = take!(windows, key, Ticket);
                ticket.apply(&facts);
                windows.put(key, Window::Ticket(ticket));
            }
            SubjectKind::SealBatch => Fold { windows, out, t: &t, dated }.batch(leaf.subject, &facts),
            _ => {}
        }
        true
    }
}

/// The windows that folding a leaf uses, as far as its texts name them.
pub fn named(leaf: &Leaf, keys: &mut Vec<Key>) {
    let Some(facts) = leaf.facts() else { return };
    match leaf.kind {
        SubjectKind::Log => {
            keys.push(Key::log(leaf.subject));
            keys.extend(facts.ticket.map(Key::ticket));
            keys.extend(facts.seal.map(Key::seal));
            keys.extend(facts.batch.map(Key::batch));
            if let Some(species) = facts.species {
                keys.push(Key::stock(leaf.organization, species));
            }
            if facts.event == "harvested" {
                keys.extend(persons(&facts).into_iter().flat_map(|(_, day, month)| [day, month]));
                keys.push(Key::yards(leaf.organization));
                keys.push(Key::back(leaf.organization, &month_text(day_of(facts.received))));
            } else if facts.event == "corrected" {
                keys.push(Key::back(leaf.organization, &month_text(day_of(facts.received))));
            } else if facts.fix.is_some() && is_taken_over(&facts.event) {
                keys.push(Key::yards(leaf.organization));
            }
        }
        SubjectKind::FellingTicket => keys.push(Key::ticket(leaf.subject)),
        SubjectKind::SealBatch => {
            keys.push(Key::batch(leaf.subject));
            keys.extend(facts.number.map(Key::seal));
        }
        _ => {}
    }
}

/// The windows that folding a leaf uses, as far as the windows named by the leaf name them.
pub fn linked(leaf: &Leaf, window: &Window, keys: &mut Vec<Key>) {
    match window {
        Window::Log(log) => {
            keys.extend(log.ticket.map(Key::ticket));
            keys.extend(log.seal.as_deref().map(Key::seal));
            keys.extend(log.batch.map(Key::batch));
            if let Some(species) = &log.species {
                keys.push(Key::stock(leaf.organization, species));
                // If an acceptance is undone, the stock of an earlier owner changes.
                let owners =
                    log.events.iter().filter(|past| past.event == "harvested" || past.is_acceptance());
                keys.extend(owners.map(|past| Key::stock(past.organization, species)));
            }
        }
        Window::Seal(seal) => keys.extend(seal.logs.iter().map(|(log, ..)| Key::log(*log))),
        _ => {}
    }
}

fn is_taken_over(event: &str) -> bool {
    matches!(event, "received" | "processed")
}

/// The first day of the person's month, and the windows of the day and the month; `None` without a person and
/// a device.
fn persons(facts: &Facts<'_>) -> Option<(i32, Key, Key)> {
    let who = marker(facts.person, facts.device.as_deref())?;
    let day = day_of(facts.occurred);
    let first = NaiveDate::from_num_days_from_ce_opt(day).and_then(|date| date.with_day(1))?;
    let key = |kind, period: &str| Key::person(kind, facts.organization, &who, period);
    let (day_key, month_key) =
        (key(Kind::PersonDay, &super::leaf::day_text(day)), key(Kind::PersonMonth, &month_text(day)));
    Some((first.num_days_from_ce(), day_key, month_key))
}

struct Fold<'a, W> {
    windows: &'a mut W,
    out: &'a mut Vec<Change>,
    /// The thresholds of the leaf's day.
    t: &'a Thresholds,
    dated: &'a Dated,
}

impl<W: Windows> Fold<'_, W> {
    fn batch(&mut self, batch: Uuid, facts: &Facts<'_>) {
        if let Some(number) = facts.number {
            let key = Key::seal(number);
            let mut seal: SealWindow = take!(self.windows, key, Seal);
            seal.voided(batch, facts);
            let logs = seal.logs.clone();
            self.windows.put(key, Window::Seal(seal));
            for (log, ..) in logs {
                let key = Key::log(log);
                if let Some(Window::Log(window)) = self.windows.take(key) {
                    self.judge(log, window);
                }
            }
            return;
        }
        let key = Key::batch(batch);
        let mut window: BatchWindow = take!(self.windows, key, Batch);
        window.given(facts);
        self.windows.put(key, Window::Batch(window));
    }

    fn log(&mut self, id: Uuid, facts: &Facts<'_>) {
        let mut log: LogWindow = take!(self.windows, Key::log(id), Log);
        let (volume, was_gone) = (log.volume, log.removed);
        log.apply(facts);
        if let Some(number) = facts.seal {
            let key = Key::seal(number);
            let mut seal: SealWindow = take!(self.windows, key, Seal);
            seal.put_on(id, facts.occurred, facts.seq);
            self.windows.put(key, Window::Seal(seal));
        }
        let harvested = facts.event == "harvested";
        let gone = log.is_gone(self.dated);
        if let Some(ticket) = log.ticket.filter(|_| harvested || gone != was_gone) {
            let key = Key::ticket(ticket);
            let mut window: TicketWindow = take!(self.windows, key, Ticket);
            window.left += i64::from(harvested) - i64::from(gone) + i64::from(was_gone);
            self.windows.put(key, Window::Ticket(window));
        }
        log.removed = gone;
        self.stock(id, &mut log, volume, facts);
        if harvested {
            self.person(id, &log, facts);
        }
        if harvested || facts.event == "corrected" {
            self.given_back(id, if harvested { None } else { Some(log.volume - volume) }, &log, facts);
        }
        if let Some(fix) = facts.fix.filter(|_| is_taken_over(&facts.event)) {
            let key = Key::yards(facts.organization);
            let mut yards: Yards = take!(self.windows, key, Yards);
            yards.seen(fix, self.t);
            self.windows.put(key, Window::Yards(yards));
        }
        self.judge(id, log);
    }

    /// Judges a log's window, and puts it back.
    fn judge(&mut self, id: Uuid, mut log: LogWindow) {
        let organization = log.events.first().map_or(Uuid::nil(), |event| event.organization);
        let about = About { kind: SubjectKind::Log, subject: id, organization, ticket: log.ticket };
        let seal = log.seal.as_deref().map(Key::seal);
        let now = Case {
            about,
            log: &log,
            ticket: log.ticket.and_then(|ticket| peek!(self.windows, Key::ticket(ticket), Ticket)),
            seal: seal.and_then(|seal| peek!(self.windows, seal, Seal)),
            batch: log.batch.and_then(|batch| peek!(self.windows, Key::batch(batch), Batch)),
            dated: self.dated,
        }
        .judge();
        changes(about, &mut log.findings, now, self.out);
        self.windows.put(Key::log(id), Window::Log(log));
    }

    fn stock(&mut self, id: Uuid, log: &mut LogWindow, before: i64, facts: &Facts<'_>) {
        let Some(species) = log.species.clone() else { return };
        let organization = facts.organization;
        let mut moves: Vec<(Uuid, i64)> = Vec::new();
        match &*facts.event {
            "harvested" => {
                log.counted = Some(organization);
                moves.push((organization, log.volume));
            }
            "accepted" | "received" => moves.extend(log.passed_on()),
            "sold" | "processed" | "exported" | "lost" | "destroyed" => {
                if let Some(from) = log.counted {
                    moves.push((organization, -log.volume));
                    // If another organisation sold it, the acceptance may still come.
                    log.counted = Some(from).filter(|from| *from != organization);
                }
            }
            "confiscated" => moves.extend(log.counted.take().map(|from| (from, -log.volume))),
            "corrected" => {
                let undone =
                    facts.reverse.then(|| log.events.iter().find(|event| Some(event.seq) == facts.corrects));
                match undone.flatten() {
                    Some(event) if is_end(&event.event) && log.counted.is_none() => {
                        log.counted = Some(event.organization);
                        moves.push((event.organization, log.volume));
                    }
                    Some(event) if event.is_acceptance() => moves.extend(log.passed_on()),
                    _ => moves.extend(log.counted.map(|of| (of, log.volume - before))),
                }
            }
            _ => {}
        }
        for (organization, volume) in moves.into_iter().filter(|(_, volume)| *volume != 0) {
            let key = Key::stock(organization, &species);
            let mut stock: StockWindow = take!(self.windows, key, Stock);
            stock.organization = organization;
            stock.species.clone_from(&species);
            stock.change(volume, facts.received, (id, facts.seq), self.t);
            self.windows.put(key, Window::Stock(stock));
        }
    }

    fn person(&mut self, id: Uuid, log: &LogWindow, facts: &Facts<'_>) {
        let Some((first, day_key, month_key)) = persons(facts) else { return };
        let yards = peek!(self.windows, Key::yards(facts.organization), Yards);
        let at_yard = facts.fix.zip(yards).is_some_and(|(fix, yards)| yards.has(fix, self.t));
        let mut day: PersonDay = take!(self.windows, day_key, PersonDay);
        let rate = day.add(facts.occurred, facts.received, self.t).map(|rate| (day.day, rate));
        self.windows.put(day_key, Window::PersonDay(day));
        let mut month: PersonMonth = take!(self.windows, month_key, PersonMonth);
        month.first = first;
        month.seen = month.seen.max(day_of(facts.received));
        month.add(Marked {
            log: id,
            seq: facts.seq,
            at: facts.occurred,
            species: log.species.as_deref().unwrap_or_default(),
            length: log.length.unwrap_or(0),
            diameter: log.diameter.unwrap_or(0),
            volume: log.volume,
            at_yard,
        });
        // Shares change little with each log.
        if rate.is_some() || at_yard || month.logs.is_multiple_of(10) {
            let tag = &month_key.id.simple().to_string()[..12];
            month.judge(about(facts.organization), tag, rate, &self.dated.on(first), self.out);
        }
        self.windows.put(month_key, Window::PersonMonth(month));
    }

    fn given_back(&mut self, id: Uuid, delta: Option<i64>, log: &LogWindow, facts: &Facts<'_>) {
        if delta == Some(0) {
            return;
        }
        let month = month_text(day_of(facts.received));
        let key = Key::back(facts.organization, &month);
        let mut back: BackWindow = take!(self.windows, key, Back);
        match delta {
            None => back.harvested += log.volume,
            Some(delta) => {
                back.correct(delta, (id, facts.seq));
                back.judge(facts.organization, &month, self.t, self.out);
            }
        }
        self.windows.put(key, Window::Back(back));
    }
}

/// Whether the event takes a log out of circulation.
impl Past {
    /// Whether it accepts an offer, if there is one to its recorder.
    pub(super) fn is_acceptance(&self) -> bool {
        self.event == "accepted" || self.event == "received" && !self.held
    }
}

fn is_end(event: &str) -> bool {
    matches!(event, "sold" | "processed" | "exported" | "lost" | "destroyed")
}

impl LogWindow {
    /// Whether the log is no longer where it was felled.
    fn is_gone(&self, dated: &Dated) -> bool {
        let order = in_order(self);
        removal(&order, dated).is_some() || self.volume == 0 || order.iter().any(|event| is_end(&event.event))
    }

    /// The owner by the events of the window, in the order of arrival.
    fn owner(&self) -> Option<Uuid> {
        let (mut owner, mut offer) = (None, None);
        for past in self.events.iter().filter(|past| !past.undone) {
            match past.event.as_str() {
                "harvested" => owner = Some(past.organization),
                "transferred" => offer = past.to.map(|to| (to, past.ownership)),
                "rejected" | "withdrawn" | "lost" | "destroyed" => offer = None,
                _ if past.is_acceptance() => {
                    let accepted = offer.take_if(|(to, _)| *to == past.organization);
                    if accepted.is_some_and(|(_, ownership)| ownership) {
                        owner = Some(past.organization);
                    }
                }
                _ => {}
            }
        }
        owner
    }

    /// Counts the volume in the stock of the present owner from now on: what the stocks change by.
    fn passed_on(&mut self) -> Vec<(Uuid, i64)> {
        let changed = self.counted.zip(self.owner()).filter(|(from, owner)| from != owner);
        let Some((from, owner)) = changed else { return Vec::new() };
        self.counted = Some(owner);
        vec![(from, -self.volume), (owner, self.volume)]
    }

    fn apply(&mut self, facts: &Facts<'_>) {
        if facts.event == "harvested" {
            self.ticket = facts.ticket;
            self.batch = facts.batch;
        }
        if let Some(seal) = facts.seal {
            self.seal = Some(seal.to_owned());
            self.batch = facts.batch;
        }
        if let Some(species) = facts.species {
            self.species = Some(species.to_owned());
        }
        self.length = facts.length.or(self.length);
        self.diameter = facts.diameter.or(self.diameter);
        self.volume = if facts.annul { 0 } else { facts.volume.unwrap_or(self.volume) };
        let corrected = self.events.iter_mut().find(|event| Some(event.seq) == facts.corrects);
        if let Some(event) = corrected {
            event.undone |= facts.reverse;
            event.at = facts.right_occurred.unwrap_or(event.at);
            if let Some(region) = facts.right_region {
                event.region = Some(region.to_owned());
                event.fix = None;
            }
        }
        if self.events.len() == MAX_EVENTS {
            self.events.remove(1);
        }
        self.events.push(Past {
            seq: facts.seq,
            at: facts.occurred,
            received: facts.received,
            event: facts.event.clone().into_owned(),
            organization: facts.organization,
            region: facts.region.map(str::to_owned),
            fix: facts.fix,
            to: facts.to,
            outcome: facts.outcome.map(str::to_owned),
            seen: facts.seen.clone(),
            seal: facts.seal.map(str::to_owned),
            ownership: facts.ownership,
            possession: facts.possession,
            day_only: facts.day_only,
            held: facts.held,
            undone: false,
        });
    }
}
