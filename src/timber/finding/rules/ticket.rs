//! Rules about felling tickets: bans, allowable cuts, plots.

use super::{Draft, Rule, Severity, TICKET_BREACH};
use crate::base::geo::Plot;
use crate::base::ids::TicketId;
use crate::base::units::{Area, Volume};
use crate::timber::parameter::Parameters;
use crate::timber::parameter::name::ParameterName;
use chrono::NaiveDate;
use rust_decimal::Decimal;
use rust_decimal::prelude::ToPrimitive as _;

/// A ticket without an allowable cut.
pub const NO_ALLOWABLE_CUT: Rule = Rule {
    id: "no-allowable-cut",
    version: 2,
    severity: Severity::Warning,
    legal_basis: Some("Forest Code of Kazakhstan, art. 4(4)"),
    about: "A ticket was issued or extended for a year for which its issuer has no allowable cut: a warning above 1,000 m³ or to the issuer itself, else a notice.",
};

/// A ticket made after the felling.
pub const TICKET_AFTER_FELLING: Rule = Rule {
    id: "ticket-after-felling",
    version: 1,
    severity: Severity::Warning,
    legal_basis: TICKET_BREACH,
    about: "A ticket was received more than 3 days after its first day of felling, or extended more than 3 days after its last one.",
};

/// A harvest in a ban.
pub const HARVEST_IN_BAN: Rule = Rule {
    id: "harvest-in-ban",
    version: 1,
    severity: Severity::Serious,
    legal_basis: TICKET_BREACH,
    about: "Timber was felled on a day on which felling is banned there, under a ticket that was issued before the ban.",
};

/// A ticket with an area unlike that of its plot.
pub const AREA_UNLIKE_PLOT: Rule = Rule {
    id: "area-unlike-plot",
    version: 1,
    severity: Severity::Notice,
    legal_basis: None,
    about: "The area that a ticket states differs from that of its plot by more than 10 %.",
};

/// Two tickets with the same wood.
pub const PLOTS_OVERLAP: Rule = Rule {
    id: "plots-overlap",
    version: 1,
    severity: Severity::Warning,
    legal_basis: TICKET_BREACH,
    about: "The plots of two tickets with a common day of felling share more than 5 % of the smaller one.",
};

/// Another plot.
pub const PLOT_REPLACED: Rule = Rule {
    id: "plot-replaced",
    version: 1,
    severity: Severity::Warning,
    legal_basis: None,
    about: "The plot of a ticket was replaced: a notice before the first harvest, a warning afterwards.",
};

/// The rules of this file.
pub const ALL: [Rule; 6] =
    [NO_ALLOWABLE_CUT, HARVEST_IN_BAN, AREA_UNLIKE_PLOT, PLOTS_OVERLAP, PLOT_REPLACED, TICKET_AFTER_FELLING];

/// The finding for a plot that was replaced, before or after the first harvest.
#[must_use]
pub fn plot_replaced(before: Option<&Plot>, after: &Plot, harvested: bool) -> Draft {
    let severity = if harvested { Severity::Warning } else { Severity::Notice };
    let had = before.map_or(0.0, Plot::area_ha);
    PLOT_REPLACED
        .found(severity)
        .input("case", if harvested { "after" } else { "before" })
        .input("had_ha", format_args!("{had:.2}"))
        .input("has_ha", format_args!("{:.2}", after.area_ha()))
}

/// A finding if the stated area differs from that of the plot.
#[must_use]
pub fn area_unlike_plot(stated: Area, plot: &Plot, percent: Decimal) -> Option<Draft> {
    let area = plot.area_ha();
    let differs = (stated.decimal().to_f64()? - area).abs() * 100.0 > area * percent.to_f64()?;
    let draft = AREA_UNLIKE_PLOT.found(AREA_UNLIKE_PLOT.severity);
    differs.then(|| draft.input("stated_ha", stated).input("plot_ha", format_args!("{area:.2}")))
}

/// A finding if a plot shares more than `percent` of the smaller one with the plot of another ticket, which has the id
/// `other`.
#[must_use]
pub fn plots_overlap(plot: &Plot, other: &Plot, id: TicketId, percent: Decimal) -> Option<Draft> {
    let shared = plot.shared_ha(other);
    let share = shared * 100.0 / plot.area_ha().min(other.area_ha());
    (share > percent.to_f64()?).then(|| {
        PLOTS_OVERLAP
            .found(PLOTS_OVERLAP.severity)
            .input("shared_ha", format_args!("{shared:.2}"))
            .input("share_percent", format_args!("{share:.0}"))
            .input("ticket", id)
    })
}

/// A ticket that may be without an allowable cut.
#[derive(Clone, Copy, Debug)]
pub struct Uncut {
    /// Its permitted volume; `None` if the sum is too large.
    pub volume: Option<Volume>,
    /// Whether its issuer is also its holder.
    pub own: bool,
    /// The day on which it is received.
    pub today: NaiveDate,
}

/// A finding if the issuer of a ticket has no allowable cut for some years of its term. Above
/// [`ParameterName::UncutVolume`], and if the issuer is also the holder, it is a warning: nothing limits such a ticket.
#[must_use]
pub fn no_allowable_cut(years: &[i32], ticket: &Uncut, parameters: &Parameters) -> Option<Draft> {
    if years.is_empty() {
        return None;
    }
    let limit = parameters.on(ParameterName::UncutVolume, ticket.today).normalize();
    let large = ticket.volume.is_none_or(|volume| volume.decimal() > limit);
    let (severity, case) = match (ticket.own, large) {
        (true, _) => (Severity::Warning, "own"),
        (false, true) => (Severity::Warning, "large"),
        (false, false) => (Severity::Notice, "small"),
    };
    let years: Vec<_> = years.iter().map(ToString::to_string).collect();
    let mut draft = NO_ALLOWABLE_CUT.found(severity).input("case", case).input("years", years.join(", "));
    if let Some(volume) = ticket.volume {
        draft = draft.at_stake(volume).input("volume_m3", volume);
    }
    Some(draft.input("limit_m3", limit))
}

/// A finding if a ticket is received long after its first day of felling: it may have been made for wood that was felled
/// without one.
#[must_use]
pub fn ticket_after_felling(
    from: NaiveDate,
    until: NaiveDate,
    received: NaiveDate,
    parameters: &Parameters,
) -> Option<Draft> {
    let case = if until < received { "ended" } else { "began" };
    after(from, received, parameters)
        .map(|draft| draft.input("case", case).input("felling_from", from).input("felling_until", until))
}

/// A finding if a ticket is extended long after its last day of felling.
#[must_use]
pub fn extended_after_term(
    ended: NaiveDate,
    until: NaiveDate,
    received: NaiveDate,
    parameters: &Parameters,
) -> Option<Draft> {
    after(ended, received, parameters).map(|draft| {
        draft
            .key(format_args!("extended-{ended}"))
            .input("case", "extended")
            .input("ended_on", ended)
            .input("felling_until", until)
    })
}

fn after(day: NaiveDate, received: NaiveDate, parameters: &Parameters) -> Option<Draft> {
    let days = (received - day).num_days();
    let late = days > parameters.whole(ParameterName::TicketReceiptDays, received);
    late.then(|| TICKET_AFTER_FELLING.found(TICKET_AFTER_FELLING.severity).number("days", days))
}

/// The finding for timber that was felled on a day of a ban; `ban` is the sentence about it.
#[must_use]
pub fn harvest_in_ban(felled: NaiveDate, ban: &str) -> Draft {
    HARVEST_IN_BAN.found(HARVEST_IN_BAN.severity).input("felled_on", felled).input("ban", ban)
}
