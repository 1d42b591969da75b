//! The rules that `services/surveillance` judges over many events, after they are recorded.

use super::{Rule, Severity, TICKET_BREACH};

/// A rule of surveillance, version 1.
const fn rule(
    id: &'static str,
    severity: Severity,
    legal_basis: Option<&'static str>,
    about: &'static str,
) -> Rule {
    Rule { id, version: 1, severity, legal_basis, about }
}

/// As [`rule`], version 2: of the accuracy that a position states, only a part counts.
const fn second(
    id: &'static str,
    severity: Severity,
    legal_basis: Option<&'static str>,
    about: &'static str,
) -> Rule {
    Rule { version: 2, ..rule(id, severity, legal_basis, about) }
}

/// L3.
pub const SEAL_SEEN_AGAIN: Rule = rule(
    "L3",
    Severity::Serious,
    None,
    "An inspector sees a seal on wood of another species, length or diameter than recorded.",
);

/// L4, which an event of an annulled entry shows at once.
pub const SEAL_MISUSED: Rule = super::SEAL_OF_NO_LOG;

/// L5.
pub const CODE_CLONED: Rule = second(
    "L5",
    Severity::Serious,
    None,
    "A code is checked too far from where its log was at that time, or after its log was used up.",
);

/// L9.
pub const REMOVED_LATE: Rule = second(
    "L9",
    Severity::Serious,
    TICKET_BREACH,
    "Wood leaves the forest after the ticket's last day of removal, or is still there on that day.",
);

/// L10.
pub const FELLED_OUTSIDE_TERM: Rule = rule(
    "L10",
    Severity::Serious,
    TICKET_BREACH,
    "Wood was felled outside the term of its ticket, or after the ticket was cancelled.",
);

/// Movement from a cancelled ticket.
pub const TICKET_CANCELLED: Rule = rule(
    "ticket-cancelled",
    Severity::Serious,
    TICKET_BREACH,
    "Wood leaves the forest after its ticket was cancelled.",
);

/// A journey too fast for a lorry.
pub const IMPOSSIBLE_JOURNEY: Rule = second(
    "impossible-journey",
    Severity::Warning,
    None,
    "Two events of one log are too far apart for the time between them.",
);

/// L15.
pub const COPIED_MEASURES: Rule = rule(
    "L15",
    Severity::Warning,
    None,
    "A person's measures of a month prefer round diameters, or repeat whole series of logs.",
);

/// L16.
pub const MARKED_TOO_FAST: Rule = rule(
    "L16",
    Severity::Warning,
    None,
    "A person marks more logs an hour than can be sealed by hand, at night, or at a yard.",
);

/// L17.
pub const WITHOUT_STOCK: Rule = rule(
    "L17",
    Severity::Warning,
    None,
    "An organisation sells or uses up wood that it did not have, or more of a species than it had.",
);

/// L18, repeated.
pub const VOLUME_GIVEN_BACK: Rule = rule(
    "L18-repeated",
    Severity::Warning,
    TICKET_BREACH,
    "An organisation's corrections of a month give back more volume than its errors in measuring explain.",
);

/// An inspector's hold of a ticket that was not ended in time.
pub const HOLD_OVERDUE: Rule = rule(
    "hold-overdue",
    Severity::Warning,
    None,
    "An inspector's hold of a ticket is past its end and was neither extended nor released.",
);

/// The rules of surveillance.
pub static SURVEILLANCE: [&Rule; 12] = [
    &SEAL_SEEN_AGAIN,
    &SEAL_MISUSED,
    &CODE_CLONED,
    &REMOVED_LATE,
    &FELLED_OUTSIDE_TERM,
    &TICKET_CANCELLED,
    &IMPOSSIBLE_JOURNEY,
    &COPIED_MEASURES,
    &MARKED_TOO_FAST,
    &WITHOUT_STOCK,
    &VOLUME_GIVEN_BACK,
    &HOLD_OVERDUE,
];
