//! Judges the window of a log: all rules about one log, over its events in the order in which they are
//! claimed to have happened.

use super::finding::{About, EngineFinding};
use super::journey::{impossible, is_impossible_by_any_clock, slack};
use super::leaf::{day_of, day_text};
use super::threshold::{Dated, Thresholds};
use super::window::{BatchWindow, LogWindow, Past, SealWindow, TicketWindow};
use crate::timber::finding::rules::Severity;
use crate::timber::finding::rules::surveillance as rules;
use serde_json::json;
use uuid::Uuid;

/// A log at a greater distance from its stump was moved, in metres.
const MOVED_M: f64 = 1_000.0;

/// What the rules about a log see.
pub(super) struct Case<'a> {
    pub about: About,
    pub log: &'a LogWindow,
    pub ticket: Option<&'a TicketWindow>,
    pub seal: Option<&'a SealWindow>,
    pub batch: Option<&'a BatchWindow>,
    /// Thresholds by day: each rule uses those of its event's day.
    pub dated: &'a Dated,
}

/// Events that say where the log is. Transfers, corrections and the like are recorded at a desk.
fn is_sighting(event: &str) -> bool {
    matches!(
        event,
        "harvested"
            | "stored"
            | "loaded"
            | "unloaded"
            | "departed"
            | "arrived"
            | "received"
            | "inspected"
            | "processed"
            | "exported"
            | "found"
            | "seal_replaced"
    )
}

/// The events that still stand, in claimed order.
pub(super) fn in_order(log: &LogWindow) -> Vec<&Past> {
    let mut order: Vec<&Past> =
        log.events.iter().filter(|event| !event.undone && event.event != "corrected").collect();
    order.sort_by_key(|event| (event.at, event.seq));
    order
}

/// The event by which the log first left the forest. `stored` more than a kilometre away counts: else a yard
/// in the records would be a way round the term of removal.
pub(super) fn removal<'a>(order: &[&'a Past], dated: &Dated) -> Option<&'a Past> {
    let stump = order.iter().find(|event| event.event == "harvested").and_then(|event| event.fix);
    order
        .iter()
        .copied()
        .enumerate()
        .find(|(at, event)| match event.event.as_str() {
            "departed" | "arrived" | "received" => true,
            // What was unloaded again before it departed has not left.
            "loaded" => order[at + 1..]
                .iter()
                .find(|next| {
                    matches!(next.event.as_str(), "loaded" | "unloaded" | "departed" | "arrived" | "received")
                })
                .is_none_or(|next| next.event != "unloaded"),
            "stored" => stump
                .zip(event.fix)
                .is_some_and(|(from, at)| dated.on(day_of(event.at)).apart_m(from, at) > MOVED_M),
            _ => false,
        })
        .map(|(_, event)| event)
}

/// The last day of a term, as it was known at `at`.
pub(super) fn term(term: &[(i64, i32)], at: i64) -> Option<i32> {
    let known = term.iter().rev().find(|(since, _)| *since <= at);
    known.or_else(|| term.first()).map(|(_, day)| *day)
}

impl Case<'_> {
    /// All findings about the log.
    pub(super) fn judge(&self) -> Vec<EngineFinding> {
        let order = in_order(self.log);
        let mut found = Vec::new();
        self.journeys(&order, &mut found);
        self.seen_closed(&order, &mut found);
        self.seen_again(&order, &mut found);
        self.of_ticket(&order, &mut found);
        self.without_stock(&order, &mut found);
        self.of_seal(&order, &mut found);
        found
    }

    fn evidence(&self, events: &[&Past]) -> Vec<(Uuid, u32)> {
        events.iter().map(|event| (self.about.subject, event.seq)).collect()
    }

    /// About the organisation of an event. For an inspector's event it is that of the event before.
    fn about(&self, organization: Uuid) -> About {
        About { organization, ..self.about }
    }

    /// The thresholds of an event's day.
    fn on(&self, event: &Past) -> Thresholds {
        self.dated.on(day_of(event.at))
    }

    /// `impossible-journey`, and L5 if one of the two events is an inspection: then the code was at two
    /// places.
    fn journeys(&self, order: &[&Past], found: &mut Vec<EngineFinding>) {
        let seen: Vec<&Past> = order
            .iter()
            .copied()
            .filter(|event| is_sighting(&event.event) && (event.fix.is_some() || event.region.is_some()))
            .collect();
        let too_fast = |one: &Past, other: &Past| impossible(one, other, &self.on(other)).is_some();
        for (at, pair) in seen.windows(2).enumerate() {
            let [before, event] = *pair else { continue };
            let t = self.on(event);
            let Some((km, hours)) = impossible(before, event, &t) else { continue };
            let (first, last) = (at.checked_sub(1).map(|at| seen[at]), seen.get(at + 2).copied());
            // If the event of the holder fits neither to the inspection nor to the event on its other side,
            // while these two fit, it is the holder's position that is wrong.
            let (checked, proved) = match (before.event == "inspected", event.event == "inspected") {
                (false, true) => {
                    (!first.is_some_and(|first| too_fast(first, before) && !too_fast(first, event)), true)
                }
                (true, false) => (
                    !last.is_some_and(|last| too_fast(event, last) && !too_fast(before, last)),
                    last.is_some_and(|last| !too_fast(event, last)),
                ),
                (both, _) => (both, true),
            };
            // Phones that are an hour fast send a record again until the server accepts its time, which looks like
            // a time that is right. So it is serious only if no clock explains it.
            let sure = proved && is_impossible_by_any_clock(before, event, &t);
            let (rule, severity) = match (checked, sure) {
                (true, true) => (&rules::CODE_CLONED, Severity::Serious),
                (true, false) => (&rules::CODE_CLONED, Severity::Warning),
                _ => (&rules::IMPOSSIBLE_JOURNEY, Severity::Warning),
            };
            let party = if event.event == "inspected" { before } else { event };
            found.push(self.about(party.organization).finding(
                rule,
                severity,
                format!("{}-{}", before.seq, event.seq),
                json!({
                    "case": "far", "first": before.seq, "second": event.seq, "distance_km": format!("{km:.0}"),
                    "hours": format!("{hours:.1}"), "limit_kmh": t.journey_kmh.to_string(),
                }),
                self.evidence(&[before, event]),
            ));
        }
    }

    /// L5: a code is checked after its log was used up.
    fn seen_closed(&self, order: &[&Past], found: &mut Vec<EngineFinding>) {
        let closed =
            order.iter().find(|event| matches!(event.event.as_str(), "processed" | "exported" | "destroyed"));
        let Some(closed) = closed else { return };
        let t = self.on(closed);
        let seen = order.iter().find(|event| {
            event.event == "inspected"
                && event.outcome.as_deref() != Some("seal_missing")
                && event.at > closed.at + t.closed_seen + slack(closed, &t)
        });
        let Some(seen) = seen else { return };
        found.push(self.about(closed.organization).finding(
            &rules::CODE_CLONED,
            Severity::Warning,
            format!("closed-{}", closed.seq),
            json!({
                "case": "closed", "event": closed.event,
                "days": (seen.at - closed.at) / (24 * super::threshold::HOUR),
            }),
            self.evidence(&[closed, seen]),
        ));
    }

    /// L3: an inspector sees other wood under the seal.
    fn seen_again(&self, order: &[&Past], found: &mut Vec<EngineFinding>) {
        let apart = |one: Option<i32>, other: Option<i32>, by: i32| matches!((one, other), (Some(one), Some(other)) if (one - other).abs() >= by);
        for event in order.iter().copied().filter(|event| event.event == "inspected") {
            let Some((species, length, diameter)) = &event.seen else { continue };
            let other_species =
                matches!((species, &self.log.species), (Some(seen), Some(recorded)) if seen != recorded);
            let t = self.on(event);
            let other_length = apart(*length, self.log.length, t.seen_length);
            let other_diameter = apart(*diameter, self.log.diameter, t.seen_diameter);
            // One measure that differs may be a slip in typing; a log that differs in two is another log.
            let differ = [other_species, other_length, other_diameter].iter().filter(|other| **other).count();
            let severity = match differ {
                0 => continue,
                1 => Severity::Warning,
                _ => Severity::Serious,
            };
            let holder = order.iter().rev().find(|before| {
                before.event != "inspected" && (before.at, before.seq) < (event.at, event.seq)
            });
            let party = holder.map_or(self.about.organization, |holder| holder.organization);
            found.push(self.about(party).finding(
                &rules::SEAL_SEEN_AGAIN,
                severity,
                event.seq.to_string(),
                json!({
                    "case": match (other_species, other_length || other_diameter) {
                        (true, true) => "both",
                        (true, false) => "species",
                        _ => "measures",
                    },
                    "species": self.log.species, "seen_species": species,
                    "length_cm": self.log.length, "seen_length_cm": length,
                    "diameter_mm": self.log.diameter, "seen_diameter_mm": diameter,
                }),
                self.evidence(&[event]),
            ));
        }
    }

    /// L9, L10 and `ticket-cancelled`.
    fn of_ticket(&self, order: &[&Past], found: &mut Vec<EngineFinding>) {
        let Some(ticket) = self.ticket else { return };
        if let Some(moved) = removal(order, self.dated) {
            let t = self.on(moved);
            let late = slack(moved, &t) - t.confirmed;
            let day = day_of(moved.at - late);
            if let Some(until) = term(&ticket.removal, moved.at).filter(|until| day > *until) {
                let serious = day - until > t.serious_days;
                found.push(self.about(moved.organization).finding(
                    &rules::REMOVED_LATE,
                    if serious { Severity::Serious } else { Severity::Warning },
                    moved.seq.to_string(),
                    json!({"case": "removed", "removal_until": day_text(until), "removed_on": day_text(day)}),
                    self.evidence(&[moved]),
                ));
            }
            if let Some((at, seq)) = ticket.cancelled.filter(|(at, _)| moved.at - late > *at) {
                let serious = moved.at - late - at > 24 * super::threshold::HOUR;
                let mut evidence = self.evidence(&[moved]);
                evidence.extend(self.log.ticket.map(|ticket| (ticket, seq)));
                found.push(self.about(moved.organization).finding(
                    &rules::TICKET_CANCELLED,
                    if serious { Severity::Serious } else { Severity::Warning },
                    moved.seq.to_string(),
                    json!({"cancelled_on": day_text(day_of(at)), "removed_on": day_text(day)}),
                    evidence,
                ));
            }
        }
        let Some(felled) = order.iter().find(|event| event.event == "harvested") else { return };
        let t = self.on(felled);
        let late = slack(felled, &t) - t.confirmed;
        let (first, last) = (day_of(felled.at + late), day_of(felled.at - late));
        let until = term(&ticket.felling, felled.at + late);
        let cancelled = ticket.cancelled.is_some_and(|(at, _)| felled.at - late > at);
        let after = until.is_some_and(|until| last > until);
        let before = first < ticket.felling_from;
        if !(cancelled || after || before) {
            return;
        }
        let beyond = until.map_or(0, |until| last - until).max(ticket.felling_from - first);
        let serious = cancelled || beyond > t.serious_days;
        found.push(self.about(felled.organization).finding(
            &rules::FELLED_OUTSIDE_TERM,
            if serious { Severity::Serious } else { Severity::Warning },
            felled.seq.to_string(),
            json!({
                "felled_on": day_text(day_of(felled.at)), "felling_from": day_text(ticket.felling_from),
                "felling_until": until.map(day_text),
                "case": if cancelled { "cancelled" } else if before { "before" } else { "after" },
            }),
            self.evidence(&[felled]),
        ));
    }

    /// L17: an organisation sells or uses up a log that it neither owned nor held.
    fn without_stock(&self, order: &[&Past], found: &mut Vec<EngineFinding>) {
        // After an inspector has moved the log, its party is not known from these events.
        let unknown = |event: &str| matches!(event, "seized" | "confiscated");
        for (at, event) in order.iter().enumerate() {
            if !matches!(event.event.as_str(), "sold" | "processed" | "exported") {
                continue;
            }
            let (mut owner, mut holder, mut pending) = (None, None, None);
            let until = event.at + slack(event, &self.on(event));
            let before = order.iter().enumerate().filter(|(other, past)| *other != at && past.at <= until);
            for (_, past) in before {
                match past.event.as_str() {
                    "harvested" => (owner, holder) = (Some(past.organization), Some(past.organization)),
                    "transferred" => pending = past.to.map(|to| (to, past.ownership, past.possession)),
                    "rejected" | "withdrawn" | "lost" | "destroyed" => pending = None,
                    _ if past.is_acceptance() => {
                        if let Some((_, ownership, possession)) =
                            pending.take_if(|(to, ..)| *to == past.organization)
                        {
                            owner = if ownership { Some(past.organization) } else { owner };
                            holder = if possession { Some(past.organization) } else { holder };
                        }
                    }
                    other if unknown(other) => return,
                    _ => {}
                }
            }
            let Some((owner, holder)) = owner.zip(holder) else { continue };
            if event.organization == owner || event.organization == holder {
                continue;
            }
            found.push(self.about(event.organization).finding(
                &rules::WITHOUT_STOCK,
                Severity::Warning,
                event.seq.to_string(),
                json!({"case": "log", "event": event.event, "owner": owner, "holder": holder}),
                self.evidence(&[event]),
            ));
        }
    }

    /// L4, for the seals that the log bore.
    fn of_seal(&self, order: &[&Past], found: &mut Vec<EngineFinding>) {
        let Some(seal) = self.seal else { return };
        // The event that put the present seal on.
        let number = self.log.seal.as_deref();
        let Some(put) = order.iter().find(|event| event.seal.as_deref() == number) else { return };
        let mut misused = |severity, key: &str, events: &[&Past]| {
            found.push(self.about(put.organization).finding(
                &rules::SEAL_MISUSED,
                severity,
                format!("{key}-{}", put.seq),
                json!({"case": key, "seal": number, "reason": seal.void.as_ref().map(|(_, reason, ..)| reason)}),
                self.evidence(events),
            ));
        };
        let t = self.on(put);
        let slack_of_put = slack(put, &t);
        if let Some((at, reason, ..)) = &seal.void {
            let seen = order.iter().find(|event| {
                event.event == "inspected"
                    && event.outcome.as_deref().is_none_or(|outcome| outcome == "match")
                    && event.at - slack(event, &t) > *at
            });
            if put.at - slack_of_put > *at {
                misused(Severity::Serious, "void", &[put]);
            } else if let Some(seen) = seen {
                let severity = match reason.as_str() {
                    "stolen" | "annulled" => Severity::Serious,
                    _ => Severity::Warning,
                };
                misused(severity, "seen", &[put, seen]);
            }
        }
        let elsewhere = seal
            .logs
            .iter()
            .find(|(log, at, _)| *log != self.about.subject && (*at, *log) < (put.at, self.about.subject));
        if let Some((other, _, seq)) = elsewhere {
            misused(Severity::Serious, "twice", &[put]);
            if let Some(finding) = found.last_mut() {
                finding.evidence.push((*other, *seq));
            }
        } else if let Some((owners, number)) = self.batch.zip(number)
            && [put.at, put.received]
                .iter()
                .all(|at| !owners.may_use(number, put.organization, *at, slack_of_put))
        {
            found.push(self.about(put.organization).finding(
                &rules::SEAL_MISUSED,
                Severity::Serious,
                format!("stock-{}", put.seq),
                json!({"case": "stock", "seal": number}),
                self.evidence(&[put]),
            ));
        }
    }
}
