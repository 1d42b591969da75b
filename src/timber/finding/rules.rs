//! The rules that detect suspicious records, one function each.
//!
//! A finding asks an inspector to look at a record. It does not decide whether the record is wrong, and no
//! request is refused because of it. Every rule is pure: it takes its input as arguments and returns a
//! [`Draft`] or `None`. A number such as L6 is the id of a rule, and names a known pattern of timber
//! laundering. If the meaning or threshold of a rule changes, the rule gets a new version; each finding
//! states the version that produced it.

pub mod departure;
pub mod surveillance;
pub mod ticket;

pub use super::draft::Draft;
use crate::base::geo::{Accuracy, OUTLINE_MARGIN_M, Plot, Position, within_kazakhstan};
use crate::base::units::{Diameter, Length, Moment, Volume};
use crate::base::vocabulary::vocabulary;
use crate::timber::event::types::LogEventType;
use crate::timber::event::vocabulary::Outcome;
use crate::timber::parameter::Parameters;
use crate::timber::parameter::name::ParameterName;
use crate::timber::wood::species::LogKind;
use crate::timber::wood::tolerance::{Standing, standing, tolerance};
use chrono::{DateTime, NaiveDate, TimeDelta, Utc};
use rust_decimal::Decimal;
use rust_decimal::prelude::ToPrimitive as _;

mod volume;

pub use volume::{
    COMMERCIAL_AS_FIREWOOD, LOGS_AS_STACK, TABLE_NOT_COVERED, VOLUME_UNLIKE_TABLE, commercial_as_firewood,
    logs_as_stack, sums_below_table, table_not_covered, volume_unlike_table,
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
    version: 2,
    severity: Severity::Serious,
    legal_basis: TICKET_BREACH,
    about: "A position lies outside the ticket's plot, or outside Kazakhstan, by more than its accuracy, of which 100 m count at most.",
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

/// An inspector changed a decision that had confirmed a finding.
pub const DECISION_REVERSED: Rule = Rule {
    id: "decision-reversed",
    version: 1,
    severity: Severity::Warning,
    legal_basis: None,
    about: "A decision that had confirmed a finding was changed.",
};

/// What an inspector observed outside the records.
pub const OBSERVATION: Rule = Rule {
    id: "observation",
    version: 1,
    severity: Severity::Serious,
    legal_basis: None,
    about: "An inspector observed wood without marks, an unknown seal, a load without papers, or something else.",
};

/// Buyers' reports about one code.
pub const CITIZEN_REPORT: Rule = Rule {
    id: "citizen-report",
    version: 1,
    severity: Severity::Notice,
    legal_basis: None,
    about: "A buyer reported that wood or its seal is not as the record says.",
};

/// An appeal waits for an answer.
pub const APPEAL_UNANSWERED: Rule = Rule {
    id: "appeal-unanswered",
    version: 1,
    severity: Severity::Warning,
    legal_basis: None,
    about: "An appeal against a decision on a finding was not answered for 15 days.",
};

/// Timber came from an organisation that is suspended.
pub const FROM_SUSPENDED: Rule = Rule {
    id: "from-suspended",
    version: 1,
    severity: Severity::Warning,
    legal_basis: None,
    about: "An offer of an organisation was accepted while that organisation was suspended.",
};

mod custody;
pub use custody::{
    CLOSING_REVERSED, NO_PAPERS, RETURNED_VOLUME, ReturnCause, ReturnLimits, SEAL_OF_NO_LOG, TRADED_UNSEALED,
    closing_reversed, no_papers, returned_volume, seal_of_no_log, traded_unsealed,
};

/// Every rule.
pub static RULES: [Rule; 34 + ticket::ALL.len() + departure::ALL.len()] = [
    ticket::NO_ALLOWABLE_CUT,
    ticket::HARVEST_IN_BAN,
    ticket::AREA_UNLIKE_PLOT,
    ticket::PLOTS_OVERLAP,
    ticket::PLOT_REPLACED,
    ticket::TICKET_AFTER_FELLING,
    departure::EXPORT_UNSPECIFIED,
    departure::EXPORT_PERMIT,
    departure::EXPORT_BEFORE_BAN,
    departure::SALE_WITHOUT_BUYER,
    INSPECTION_MISMATCH,
    SEAL_MISSING,
    SEAL_DAMAGED,
    LOST_WHILE_HELD,
    DECISION_REVERSED,
    OBSERVATION,
    CITIZEN_REPORT,
    APPEAL_UNANSWERED,
    FROM_SUSPENDED,
    NO_PAPERS,
    TRADED_UNSEALED,
    CLOSING_REVERSED,
    SEAL_OF_NO_LOG,
    RETURNED_VOLUME,
    OVER_PERMITTED,
    OUTSIDE,
    COMMERCIAL_AS_FIREWOOD,
    VOLUME_UNLIKE_TABLE,
    TABLE_NOT_COVERED,
    LOGS_AS_STACK,
    LATE_ENTRY,
    SMALL_PIECE,
    OUT_OF_ORDER,
    surveillance::SEAL_SEEN_AGAIN,
    surveillance::CODE_CLONED,
    surveillance::REMOVED_LATE,
    surveillance::FELLED_OUTSIDE_TERM,
    surveillance::TICKET_CANCELLED,
    surveillance::IMPOSSIBLE_JOURNEY,
    surveillance::COPIED_MEASURES,
    surveillance::MARKED_TOO_FAST,
    surveillance::WITHOUT_STOCK,
    surveillance::VOLUME_GIVEN_BACK,
    surveillance::HOLD_OVERDUE,
];

/// L6: a harvest or correction changes a line's marked volume from `before` to `after`.
///
/// At the shares of [`ParameterName::LineFirstPercent`] and [`ParameterName::LineSecondPercent`], 80 and 95 % by
/// default, there is a finding only when a line first reaches the share. Above 100 %, every increase
/// gives a finding. An increase to more than the tolerance is rejected, so its finding is never stored.
#[must_use]
pub fn over_permitted(
    before: Volume,
    after: Volume,
    permitted: Volume,
    on: NaiveDate,
    parameters: &Parameters,
) -> Option<Draft> {
    if after <= before {
        return None;
    }
    if standing(after, permitted, on) != Standing::Within {
        let allowed = tolerance(permitted, on);
        let draft = OVER_PERMITTED.found(Severity::Warning).key("over").about_ticket();
        return Some(
            draft
                .at_stake(after)
                .input("case", "over")
                .input("marked_m3", after)
                .input("permitted_m3", permitted)
                .input("tolerance_percent", allowed.percent)
                .input("tolerance_table", allowed.table_version),
        );
    }
    let reached = |marked: Volume, percent: Decimal| {
        marked.decimal() * Decimal::ONE_HUNDRED >= permitted.decimal() * percent
    };
    let shares = [ParameterName::LineSecondPercent, ParameterName::LineFirstPercent];
    let percent = shares
        .into_iter()
        .map(|share| parameters.on(share, on).normalize())
        .find(|percent| reached(after, *percent) && !reached(before, *percent))?;
    let draft = OVER_PERMITTED.found(Severity::Notice).key(percent).about_ticket();
    Some(
        draft
            .at_stake(after)
            .input("case", "reached")
            .input("marked_m3", after)
            .input("permitted_m3", permitted)
            .input("reached_percent", percent),
    )
}

/// A single log thinner than 14 cm or shorter than 2 m.
#[must_use]
pub fn small_piece(kind: LogKind, top_diameter: Option<Diameter>, length: Option<Length>) -> Option<Draft> {
    let thin = top_diameter.filter(|diameter| diameter.decimal() < Decimal::from(14));
    let short = length.filter(|length| length.decimal() < Decimal::TWO);
    let draft = SMALL_PIECE.found(Severity::Notice);
    match (kind, thin, short) {
        (LogKind::Stack, ..) | (_, None, None) => None,
        (_, Some(diameter), Some(length)) => {
            Some(draft.input("case", "both").input("diameter_cm", diameter).input("length_m", length))
        }
        (_, Some(diameter), None) => Some(draft.input("case", "thin").input("diameter_cm", diameter)),
        (_, None, Some(length)) => Some(draft.input("case", "short").input("length_m", length)),
    }
}

/// By how many metres, in addition to its own accuracy, a position may be outside the plot.
///
/// Plots are surveyed by compass and tape or by receivers under a canopy, and their borders do not match the
/// map; inspectors do not want findings for that. The margin is twice the error of a phone under trees, which
/// is 10 to 15 m.
pub const PLOT_MARGIN_M: f64 = 30.0;

/// L8: on `day`, a position outside the country or the plot.
///
/// Of the accuracy that a record states, [`ParameterName::PositionAccuracyMax`] counts at most: otherwise a record could
/// state an accuracy with which it lies in every plot.
#[must_use]
pub fn outside(
    position: Position,
    plot: Option<&Plot>,
    day: NaiveDate,
    parameters: &Parameters,
) -> Option<Draft> {
    if !within_kazakhstan(position) {
        let draft =
            OUTSIDE.found(Severity::Serious).input("case", "country").input("position", place(position));
        return Some(draft.input("margin_km", OUTLINE_MARGIN_M / 1_000.0));
    }
    let away = plot?.distance_outside_m(position);
    let stated = position.accuracy().map_or(0.0, Accuracy::metres);
    let most = parameters.on(ParameterName::PositionAccuracyMax, day).to_f64().unwrap_or_default();
    let accuracy = stated.min(most);
    (away > accuracy + PLOT_MARGIN_M).then(|| {
        let draft = OUTSIDE.found(Severity::Warning).input("case", "plot").input("position", place(position));
        draft.input("distance_m", format_args!("{away:.0}")).input("accuracy_m", accuracy)
    })
}

fn place(position: Position) -> String {
    format!("{}, {}", position.lat(), position.lon())
}

/// L23: an event was received long after it happened. By default 72 hours are not late: a crew comes back from a
/// weekend without a network.
#[must_use]
pub fn late_entry(occurred: Moment, received: DateTime<Utc>, parameters: &Parameters) -> Option<Draft> {
    let lag = received - occurred.instant();
    let whole = |name| parameters.whole(name, occurred.day().day());
    (lag > TimeDelta::hours(whole(ParameterName::LateEntryHours))).then(|| {
        // A missing network does not explain a delay of thirty days.
        let warning = lag.num_days() >= whole(ParameterName::LateEntryWarningDays);
        let severity = if warning { Severity::Warning } else { Severity::Notice };
        LATE_ENTRY.found(severity).number("days", lag.num_days()).input("occurred_at", occurred)
    })
}

/// The finding for the outcome of an inspection; `None` for the outcome `match`.
#[must_use]
pub fn inspection(outcome: Outcome) -> Option<Draft> {
    let rule = match outcome {
        Outcome::Match => return None,
        Outcome::Mismatch => &INSPECTION_MISMATCH,
        Outcome::SealMissing => &SEAL_MISSING,
        Outcome::SealDamaged => &SEAL_DAMAGED,
    };
    Some(rule.found(rule.severity))
}

/// A finding if a log that is held is recorded as lost or destroyed.
#[must_use]
pub fn lost_while_held(event: LogEventType, held: bool) -> Option<Draft> {
    let gone = matches!(event, LogEventType::Lost | LogEventType::Destroyed);
    (gone && held).then(|| LOST_WHILE_HELD.found(Severity::Serious).input("event", event))
}

/// A finding if an offer of a suspended organisation is accepted.
#[must_use]
pub fn from_suspended(suspended: bool) -> Option<Draft> {
    suspended.then(|| FROM_SUSPENDED.found(Severity::Warning))
}

/// The finding for an event that happened before an event that is already recorded of the same log.
#[must_use]
pub fn out_of_order(occurred: Moment, last_recorded: Moment) -> Option<Draft> {
    (occurred.instant() < last_recorded.instant()).then(|| {
        // The figures do not contain the time of the last event: a past party may learn that its own event was
        // late, but nothing about later events.
        OUT_OF_ORDER.found(Severity::Notice).input("occurred_at", occurred)
    })
}

#[cfg(test)]
mod tests;
