//! Rules about felling tickets: bans, allowable cuts, plots.

use super::{Draft, Rule, Severity, TICKET_BREACH};
use chrono::NaiveDate;

/// A ticket without an allowable cut.
pub const NO_ALLOWABLE_CUT: Rule = Rule {
    id: "no-allowable-cut",
    version: 1,
    severity: Severity::Notice,
    legal_basis: Some("Forest Code of Kazakhstan, art. 4(4)"),
    about: "A ticket was issued or extended for a year for which its issuer has no allowable cut.",
};

/// A harvest in a ban.
pub const HARVEST_IN_BAN: Rule = Rule {
    id: "harvest-in-ban",
    version: 1,
    severity: Severity::Serious,
    legal_basis: TICKET_BREACH,
    about: "Timber was felled on a day on which felling is banned there, under a ticket that was issued before the ban.",
};

/// The rules of this file.
pub const ALL: [Rule; 2] = [NO_ALLOWABLE_CUT, HARVEST_IN_BAN];

/// A finding if the issuer of a ticket has no allowable cut for some years of its term.
#[must_use]
pub fn no_allowable_cut(years: &[i32]) -> Option<Draft> {
    let years: Vec<_> = years.iter().map(ToString::to_string).collect();
    let detail = || format!("The issuer has no allowable cut for {}.", years.join(", "));
    (!years.is_empty()).then(|| NO_ALLOWABLE_CUT.draft(NO_ALLOWABLE_CUT.severity, detail()))
}

/// The finding for timber that was felled on a day of a ban; `ban` is the sentence about it.
#[must_use]
pub fn harvest_in_ban(felled: NaiveDate, ban: &str) -> Draft {
    HARVEST_IN_BAN.draft(HARVEST_IN_BAN.severity, format!("It was felled on {felled}. {ban}"))
}
