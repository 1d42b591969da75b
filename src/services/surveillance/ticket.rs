//! The window of a ticket, and the rules of time about it.

use super::finding::{About, Change};
use super::leaf::{Facts, day_text};
use super::window::{MAX_CHANGES, TicketWindow};
use crate::evidence::chain::SubjectKind;
use crate::timber::finding::rules::Severity;
use crate::timber::finding::rules::surveillance as rules;
use serde_json::json;
use uuid::Uuid;

impl TicketWindow {
    /// Applies an event of the ticket.
    pub(super) fn apply(&mut self, facts: &Facts<'_>) {
        let at = facts.occurred;
        let add = |term: &mut Vec<(i64, i32)>, day: Option<i32>| {
            if let Some(day) = day {
                if term.len() == MAX_CHANGES {
                    term.remove(1);
                }
                term.push((at, day));
            }
        };
        match &*facts.event {
            "ticket_issued" => {
                self.issuer = facts.organization;
                self.holder = facts.holder.unwrap_or_default();
                self.felling_from = facts.felling_from.unwrap_or(i32::MIN);
                add(&mut self.felling, facts.felling_until);
                add(&mut self.removal, facts.removal_until);
            }
            "ticket_extended" => {
                add(&mut self.felling, facts.felling_until);
                add(&mut self.removal, facts.removal_until);
                if let Some((organization, _, seq)) = self.held
                    && let Some(until) = facts.until
                {
                    self.held = Some((organization, until, seq));
                }
            }
            "ticket_cancelled" => self.cancelled = self.cancelled.or(Some((at, facts.seq))),
            "ticket_held" if facts.held_by_inspector => {
                self.held = facts.until.map(|until| (facts.organization, until, facts.seq));
            }
            "ticket_released" => self.held = None,
            _ => {}
        }
    }

    /// Rules of time: wood that is still in the forest after the last day of removal, and a hold that is
    /// overdue. One finding a ticket and period.
    pub(super) fn sweep(&mut self, ticket: Uuid, until: i64, out: &mut Vec<Change>) {
        let about = |organization| About {
            kind: SubjectKind::FellingTicket,
            subject: ticket,
            organization,
            ticket: Some(ticket),
        };
        if let Some((organization, end, seq)) = self.held.filter(|(_, end, _)| *end < until) {
            self.held = None;
            out.push(Change::Found(Box::new(about(organization).finding(
                &rules::HOLD_OVERDUE,
                Severity::Warning,
                seq.to_string(),
                json!({"until": day_text(super::leaf::day_of(end))}),
                vec![(ticket, seq)],
            ))));
        }
        let last = self.removal.last().map(|(_, day)| *day);
        if let Some(day) =
            last.filter(|day| self.left > 0 && *day > self.swept && super::leaf::day_of(until) > *day)
        {
            self.swept = day;
            out.push(Change::Found(Box::new(about(self.holder).finding(
                &rules::REMOVED_LATE,
                Severity::Notice,
                format!("left-{}", day_text(day)),
                json!({"case": "left", "removal_until": day_text(day), "logs": self.left}),
                vec![(ticket, 1)],
            ))));
        }
    }
}
