//! The rules that detect suspicious records, one function each.
//!
//! A finding asks an inspector to look at a record. It does not decide whether the record is wrong, and no
//! request is refused because of it. Every rule is pure: it takes its input as arguments and returns a
//! [`Draft`] or `None`. A number such as L6 is the id of a rule, and names a known pattern of timber
//! laundering. If the meaning or threshold of a rule changes, the rule gets a new version; each finding
//! states the version that produced it.

use crate::base::geo::{OUTLINE_MARGIN_M, Plot, Position, within_kazakhstan};
use crate::base::units::{Diameter, Length, Moment, Volume};
use crate::base::vocabulary::vocabulary;
use crate::timber::event::types::LogEventType;
use crate::timber::event::vocabulary::Outcome;
use crate::timber::wood::species::{LogKind, Wood};
use crate::timber::wood::tolerance::{Standing, standing, tolerance};
use chrono::{DateTime, NaiveDate, TimeDelta, Utc};
use rust_decimal::Decimal;

mod volume;

pub use volume::{
    LOGS_AS_STACK, TABLE_NOT_COVERED, VOLUME_UNLIKE_TABLE, logs_as_stack, sums_below_table,
    table_not_covered, volume_unlike_table,
};

vocabulary! {
    /// How much attention a finding needs.
    pub enum Severity: "unknown-severity" {
        /// For information; the record may be correct.
        Notice = "notice",
        /// An inspector should check the record.
        Warning = "warning",
        /// An inspector should check this record first.
        Serious = "serious",
    }
}

/// A rule of the registry.
#[derive(Debug, PartialEq, Eq, serde::Serialize)]
pub struct Rule {
    /// Stable id.
    pub id: &'static str,
    /// Increased whenever the rule's meaning or threshold changes.
    pub version: u16,
    /// The highest severity of its findings.
    pub severity: Severity,
    /// The law on which the rule is based, if one is known.
    pub legal_basis: Option<&'static str>,
    /// What it detects, in one sentence.
    pub about: &'static str,
}

impl Rule {
    fn draft(&self, severity: Severity, detail: String) -> Draft {
        debug_assert!(severity <= self.severity);
        Draft { rule: self.id, version: self.version, severity, detail }
    }
}

/// A finding before it is stored.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct Draft {
    /// The rule's id.
    pub rule: &'static str,
    /// The rule's version.
    pub version: u16,
    /// How much attention it needs.
    pub severity: Severity,
    /// One English sentence with the figures.
    pub detail: String,
}

/// The law on a breach of a ticket's terms. Art. 4(4) of the Forest Code is not cited here, because it is
/// about the annual allowable cut, which is not the volume of one ticket.
const TICKET_BREACH: Option<&str> = Some("Code of Administrative Offences of Kazakhstan, art. 368");

/// L6.
pub const OVER_PERMITTED: Rule = Rule {
    id: "L6",
    version: 1,
    severity: Severity::Warning,
    legal_basis: TICKET_BREACH,
    about: "A harvest or a correction reaches 80 % or 95 % of a ticket line's permitted volume for the first time, brings it above 100 %, or adds to a line above 100 %.",
};

/// L8.
pub const OUTSIDE: Rule = Rule {
    id: "L8",
    version: 1,
    severity: Severity::Serious,
    legal_basis: TICKET_BREACH,
    about: "A position lies outside the ticket's plot, or outside Kazakhstan, by more than its accuracy.",
};

/// L13.
pub const COMMERCIAL_AS_FIREWOOD: Rule = Rule {
    id: "L13",
    version: 1,
    severity: Severity::Warning,
    legal_basis: TICKET_BREACH,
    about: "A log of sawlog size (14 cm and more, longer than 3 m) is declared firewood.",
};

/// L23.
pub const LATE_ENTRY: Rule = Rule {
    id: "L23",
    version: 1,
    severity: Severity::Warning,
    legal_basis: None,
    about: "Something was recorded more than 72 hours after it happened.",
};

/// A piece too small to be marked singly.
pub const SMALL_PIECE: Rule = Rule {
    id: "small-piece",
    version: 1,
    severity: Severity::Notice,
    legal_basis: None,
    about: "A log thinner than 14 cm or shorter than 2 m bears a seal; by GOST 2292-88 such wood is transported in stacks.",
};

/// An event was received after an event that happened later.
pub const OUT_OF_ORDER: Rule = Rule {
    id: "out-of-order",
    version: 1,
    severity: Severity::Notice,
    legal_basis: None,
    about: "An event arrived after one that happened later.",
};

/// An inspector found another log than the one recorded.
pub const INSPECTION_MISMATCH: Rule = Rule {
    id: "inspection-mismatch",
    version: 1,
    severity: Severity::Serious,
    legal_basis: None,
    about: "An inspector found that a log is not the one recorded under its seal.",
};

/// An inspector found no seal on a log.
pub const SEAL_MISSING: Rule = Rule {
    id: "seal-missing",
    version: 1,
    severity: Severity::Serious,
    legal_basis: None,
    about: "An inspector found a log without its seal.",
};

/// An inspector found a damaged seal.
pub const SEAL_DAMAGED: Rule = Rule {
    id: "seal-damaged",
    version: 1,
    severity: Severity::Warning,
    legal_basis: None,
    about: "An inspector found a log whose seal is damaged.",
};

/// A log that is held was recorded as lost or destroyed.
pub const LOST_WHILE_HELD: Rule = Rule {
    id: "lost-while-held",
    version: 1,
    severity: Severity::Serious,
    legal_basis: None,
    about: "A log was recorded as lost or destroyed while it was held.",
};

/// Every rule.
pub static RULES: [Rule; 13] = [
    INSPECTION_MISMATCH,
    SEAL_MISSING,
    SEAL_DAMAGED,
    LOST_WHILE_HELD,
    OVER_PERMITTED,
    OUTSIDE,
    COMMERCIAL_AS_FIREWOOD,
    VOLUME_UNLIKE_TABLE,
    TABLE_NOT_COVERED,
    LOGS_AS_STACK,
    LATE_ENTRY,
    SMALL_PIECE,
    OUT_OF_ORDER,
];

/// Shares of the permitted volume, in percent. A harvest or correction with which a line first reaches one of
/// them gives a finding.
const FILLING: [i64; 2] = [95, 80];

/// L6: a harvest or correction changes a line's marked volume from `before` to `after`.
///
/// At 80 and 95 %, there is a finding only when a line first reaches this share. Above 100 %, every increase
/// gives a finding. An increase to more than the tolerance is rejected, so its finding is never stored.
#[must_use]
pub fn over_permitted(before: Volume, after: Volume, permitted: Volume, on: NaiveDate) -> Option<Draft> {
    if after <= before {
        return None;
    }
    if standing(after, permitted, on) != Standing::Within {
        let allowed = tolerance(permitted, on);
        return Some(OVER_PERMITTED.draft(
            Severity::Warning,
            format!(
                "{after} m³ are marked on a line of {permitted} m³; the tolerance is {} % ({}).",
                allowed.percent, allowed.table_version
            ),
        ));
    }
    let reached = |marked: Volume, percent: i64| {
        marked.decimal() * Decimal::ONE_HUNDRED >= permitted.decimal() * Decimal::from(percent)
    };
    let percent =
        FILLING.into_iter().find(|percent| reached(after, *percent) && !reached(before, *percent))?;
    Some(OVER_PERMITTED.draft(
        Severity::Notice,
        format!("{after} m³ are marked on a line of {permitted} m³: {percent} % is reached."),
    ))
}

/// L13: a log declared as firewood could be sawn.
#[must_use]
pub fn commercial_as_firewood(
    kind: LogKind,
    wood: Wood,
    top_diameter: Option<Diameter>,
    length: Option<Length>,
) -> Option<Draft> {
    let (diameter, length) = (top_diameter?, length?);
    let commercial = diameter.decimal() >= Decimal::from(14) && length.decimal() > Decimal::from(3);
    (kind == LogKind::Log && wood == Wood::Firewood && commercial).then(|| {
        COMMERCIAL_AS_FIREWOOD
            .draft(Severity::Warning, format!("A log of {diameter} cm and {length} m is declared firewood."))
    })
}

/// A single log thinner than 14 cm or shorter than 2 m.
#[must_use]
pub fn small_piece(kind: LogKind, top_diameter: Option<Diameter>, length: Option<Length>) -> Option<Draft> {
    let thin = top_diameter.filter(|diameter| diameter.decimal() < Decimal::from(14));
    let short = length.filter(|length| length.decimal() < Decimal::TWO);
    let problem = match (kind, thin, short) {
        (LogKind::Stack, ..) | (_, None, None) => return None,
        (_, Some(diameter), Some(length)) => format!("{diameter} cm thin and {length} m short"),
        (_, Some(diameter), None) => format!("{diameter} cm thin"),
        (_, None, Some(length)) => format!("{length} m short"),
    };
    Some(SMALL_PIECE.draft(
        Severity::Notice,
        format!("A single piece is {problem}; below 14 cm or 2 m it goes in a stack."),
    ))
}

/// By how many metres, in addition to its own accuracy, a position may be outside the plot.
///
/// Plots are surveyed by compass and tape or by receivers under a canopy, and their borders do not match the
/// map; inspectors do not want findings for that. The margin is twice the error of a phone under trees, which
/// is 10 to 15 m.
pub const PLOT_MARGIN_M: f64 = 30.0;

/// L8: a position outside the country or the plot.
#[must_use]
pub fn outside(position: Position, plot: Option<&Plot>) -> Option<Draft> {
    if !within_kazakhstan(position) {
        return Some(OUTSIDE.draft(
            Severity::Serious,
            format!("{position} lies outside Kazakhstan by more than {} km.", OUTLINE_MARGIN_M / 1_000.0),
        ));
    }
    let away = plot?.distance_outside_m(position);
    let accuracy = position.accuracy().map_or(0.0, crate::base::geo::Accuracy::metres);
    (away > accuracy + PLOT_MARGIN_M).then(|| {
        OUTSIDE.draft(
            Severity::Warning,
            format!("{position} lies {away:.0} m outside the ticket's plot; its accuracy is {accuracy} m."),
        )
    })
}

/// After how many hours a record counts as late. It is the same period in which an organisation may correct
/// its own event, and is long enough for a crew to come back from a weekend without a network.
pub const LATE_AFTER_HOURS: i64 = 72;

/// L23: an event was received long after it happened.
#[must_use]
pub fn late_entry(occurred: Moment, received: DateTime<Utc>) -> Option<Draft> {
    let lag = received - occurred.instant();
    (lag > TimeDelta::hours(LATE_AFTER_HOURS)).then(|| {
        // A missing network does not explain a delay of thirty days.
        let severity = if lag.num_days() >= 30 { Severity::Warning } else { Severity::Notice };
        LATE_ENTRY.draft(
            severity,
            format!("It was recorded {} days after it happened ({occurred}).", lag.num_days()),
        )
    })
}

/// The finding for the outcome of an inspection; `None` for the outcome `match`.
#[must_use]
pub fn inspection(outcome: Outcome) -> Option<Draft> {
    let (rule, detail) = match outcome {
        Outcome::Match => return None,
        Outcome::Mismatch => (&INSPECTION_MISMATCH, "An inspector found another log than the one recorded."),
        Outcome::SealMissing => (&SEAL_MISSING, "An inspector found no seal on the log."),
        Outcome::SealDamaged => (&SEAL_DAMAGED, "An inspector found the seal damaged."),
    };
    Some(rule.draft(rule.severity, detail.to_owned()))
}

/// A finding if a log that is held is recorded as lost or destroyed.
#[must_use]
pub fn lost_while_held(event: LogEventType, held: bool) -> Option<Draft> {
    let gone = matches!(event, LogEventType::Lost | LogEventType::Destroyed);
    (gone && held).then(|| {
        LOST_WHILE_HELD.draft(Severity::Serious, format!("`{event}` was recorded while the log was held."))
    })
}

/// The finding for an event that happened before an event that is already recorded of the same log.
#[must_use]
pub fn out_of_order(occurred: Moment, last_recorded: Moment) -> Option<Draft> {
    (occurred.instant() < last_recorded.instant()).then(|| {
        OUT_OF_ORDER.draft(
            Severity::Notice,
            // The text does not contain the time of the last event: a past party may learn that its own event
            // was late, but nothing about later events.
            format!("It happened {occurred}, before the last event recorded of this log."),
        )
    })
}

#[cfg(test)]
mod tests;
