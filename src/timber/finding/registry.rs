//! What each rule looks at, and what it cannot see: the part of the registry that readers need and the rules do not.

mod surveillance;

use super::rules::{RULES, Rule};
use crate::timber::parameter::name::ParameterName;

/// What is known about a rule besides its definition.
#[derive(Clone, Copy, Debug)]
pub struct Notes {
    /// Id of the rule.
    pub rule: &'static str,
    /// The figures of its findings, and what each means.
    pub inputs: &'static [(&'static str, &'static str)],
    /// The parameters that it is judged by.
    pub parameters: &'static [ParameterName],
    /// What it cannot see, in one sentence.
    pub blind_to: &'static str,
}

const fn notes(
    rule: &'static str,
    inputs: &'static [(&'static str, &'static str)],
    blind_to: &'static str,
) -> Notes {
    Notes { rule, inputs, parameters: &[], blind_to }
}

impl Notes {
    const fn judged_by(mut self, parameters: &'static [ParameterName]) -> Self {
        self.parameters = parameters;
        self
    }
}

const DECLARED: (&str, &str) = ("declared_m3", "declared volume, in m³");
const METHOD: (&str, &str) = ("method", "how the volume was determined");
const TABLE: (&str, &str) = ("table", "version of the table");
const OCCURRED: (&str, &str) = ("occurred_at", "when it happened, as the record states it");
const DIAMETER: (&str, &str) = ("diameter_cm", "top diameter in cm");
const LENGTH: (&str, &str) = ("length_m", "length in m");

const LENGTH_CM: (&str, &str) = ("length_cm", "recorded length, in cm");

/// The notes of the rules on single records.
pub static NOTES: &[Notes] = &[
    notes("inspection-mismatch", &[], "Logs that no inspector has compared with the record."),
    notes("seal-missing", &[], "Logs that no inspector has looked at."),
    notes("seal-damaged", &[], "Logs that no inspector has looked at."),
    notes(
        "lost-while-held",
        &[("event", "`lost` or `destroyed`")],
        "A held log that disappears without a record.",
    ),
    notes(
        "decision-reversed",
        &[("rule", "rule of the finding that was decided"), ("state", "the new state of that finding")],
        "Findings that were never confirmed although they should have been.",
    ),
    notes(
        "observation",
        &[("what", "what was observed"), ("volume_m3", "volume of the wood, in m³")],
        "What no inspector looks at.",
    ),
    notes(
        "citizen-report",
        &[("what", "what the first report says")],
        "Reports that are made up, and wood that nobody checks.",
    )
    .judged_by(&[ParameterName::CitizenReportDays, ParameterName::CitizenReportsPerCode]),
    notes(
        "appeal-unanswered",
        &[("rule", "rule of the finding that was decided"), ("days", "days since the appeal")],
        "Appeals that were answered without being read.",
    )
    .judged_by(&[ParameterName::AppealAnswerDays]),
    notes(
        "no-papers",
        &[("lacks", "`carrier`, `vehicle`, `carrier_and_vehicle` or `document`")],
        "Papers that are named and do not exist.",
    ),
    notes(
        "traded-unsealed",
        &[("event", "`transferred`, `sold` or `exported`")],
        "Logs that lost their seal and were not inspected.",
    ),
    notes(
        "closing-reversed",
        &[("event", "type of the event that was reversed")],
        "Logs that are sold again without a record.",
    ),
    notes(
        "L18",
        &[
            ("case", "`annulled`, `corrected`, or `moved` to another line"),
            ("returned_m3", "volume that left the line, in m³"),
            ("permitted_m3", "volume that the line permits, in m³"),
            ("earlier", "how often corrections of the ticket returned volume before"),
            ("species", "species of the other line"),
            ("wood", "wood of the other line"),
        ],
        "Volumes declared too small from the start.",
    )
    .judged_by(&[
        ParameterName::ReturnedVolume,
        ParameterName::ReturnedShare,
        ParameterName::ReturnedTimes,
        ParameterName::ReturnedSerious,
    ]),
    notes(
        "no-allowable-cut",
        &[
            ("case", "`own`: its issuer holds it too; `large`: more than the parameter's volume; `small`"),
            ("years", "the years without a cut"),
            ("volume_m3", "permitted volume of the ticket, in m³"),
            ("limit_m3", "volume above which it is a warning, in m³"),
        ],
        "Cuts that are set too high, and many small tickets.",
    )
    .judged_by(&[ParameterName::UncutVolume]),
    notes(
        "ticket-after-felling",
        &[
            (
                "case",
                "`began`: felling began before; `ended`: it ended before, too; `extended`: after the term",
            ),
            (
                "days",
                "days from the first day of felling, or the last one before the extension, to the receipt",
            ),
            ("felling_from", "first day of felling"),
            ("felling_until", "last day of felling"),
            ("ended_on", "last day of felling before the extension"),
        ],
        "Tickets that are received before their term, for wood that was felled already.",
    )
    .judged_by(&[ParameterName::TicketReceiptDays]),
    notes(
        "harvest-in-ban",
        &[("felled_on", "day of felling"), ("ban", "the ban, in English")],
        "Felling that is recorded for another day or under another species.",
    ),
    notes(
        "area-unlike-plot",
        &[("stated_ha", "area that the ticket states, in ha"), ("plot_ha", "area of its plot, in ha")],
        "Tickets without a plot.",
    )
    .judged_by(&[ParameterName::AreaDifferencePercent]),
    notes(
        "plots-overlap",
        &[
            ("shared_ha", "area that both plots share, in ha"),
            ("share_percent", "its share of the smaller plot, in percent"),
            ("ticket", "the other ticket"),
        ],
        "Tickets without a plot.",
    )
    .judged_by(&[ParameterName::PlotOverlapPercent]),
    notes(
        "plot-replaced",
        &[
            ("case", "`before` or `after` the first harvest"),
            ("had_ha", "area of the plot before, in ha; 0: it had none"),
            ("has_ha", "area of the plot since, in ha"),
        ],
        "Plots that were wrong from the start.",
    ),
    notes(
        "export-unspecified",
        &[("lacks", "`country`, `hs` or `country_and_hs`")],
        "Countries that are not the destination.",
    )
    .judged_by(&[ParameterName::ExportSpecified]),
    notes(
        "export-permit",
        &[("permit", "the permit"), ("document", "the document of the ban")],
        "Permits that were not issued.",
    ),
    notes(
        "export-before-ban",
        &[("exported_on", "day of the export"), ("document", "the document of the ban")],
        "Exports that are not recorded.",
    ),
    notes("sale-without-buyer", &[], "Buyers that do not exist."),
    notes("from-suspended", &[], "Timber that was accepted before the suspension."),
    notes(
        "L6",
        &[
            (
                "case",
                "`reached`: a share of the line was reached; `over`: more than the line permits is marked",
            ),
            ("marked_m3", "volume marked on the line, in m³"),
            ("permitted_m3", "volume that the line permits, in m³"),
            ("reached_percent", "share that was reached, in percent"),
            ("tolerance_percent", "tolerance of the line, in percent"),
            ("tolerance_table", "table of tolerances"),
        ],
        "Wood that was felled and never marked, and volumes declared too small.",
    )
    .judged_by(&[ParameterName::LineFirstPercent, ParameterName::LineSecondPercent]),
    notes(
        "L8",
        &[
            ("case", "`country`: outside Kazakhstan; `plot`: outside the ticket's plot"),
            ("position", "latitude, longitude"),
            ("margin_km", "margin along the border, in km"),
            ("distance_m", "distance from the plot, in m"),
            ("accuracy_m", "accuracy of the position that counts, in m"),
        ],
        "Records without a position, tickets without a plot, and positions that a device makes up.",
    )
    .judged_by(&[ParameterName::PositionAccuracyMax]),
    notes(
        "L13",
        &[
            ("case", "`log`, `stack` (by the measures of its pieces) or `pieces` (by the volume of a piece)"),
            ("wood", "`firewood` or `brushwood`"),
            DIAMETER,
            LENGTH,
            DECLARED,
            ("pieces", "number of pieces"),
            ("limit_m3", "volume of a piece above which it is a log, in m³"),
        ],
        "Measures declared too small, and stacks that state no measures and too many pieces.",
    )
    .judged_by(&[
        ParameterName::SawLogFromCm,
        ParameterName::SawLogAboveM,
        ParameterName::CommercialPieceMaxM3,
    ]),
    notes(
        "L14",
        &[
            ("case", "`log`: one log; `sum`: the logs of a ticket"),
            ("logs", "number of these logs"),
            DECLARED,
            METHOD,
            TABLE,
            ("table_m3", "volume in the table, in m³"),
            ("deviation", "difference from the table, in percent, with its sign"),
        ],
        "Sizes outside the table, and logs of which diameter and length are wrong as well.",
    )
    .judged_by(&[
        ParameterName::VolumeTableRemarkable,
        ParameterName::VolumeCellPercent,
        ParameterName::VolumeSumMin,
        ParameterName::VolumeSumFromLogs,
    ]),
    notes(
        "table-not-covered",
        &[DECLARED, METHOD, TABLE, DIAMETER, LENGTH],
        "Whether the printed table has the value.",
    ),
    notes(
        "logs-as-stack",
        &[
            DECLARED,
            ("pieces", "number of pieces"),
            ("limit_m3", "volume of a piece above which it is a log, in m³"),
        ],
        "Stacks of which the number of pieces is declared too large.",
    )
    .judged_by(&[ParameterName::CommercialPieceMaxM3]),
    notes(
        "L23",
        &[("days", "full days between the event and its receipt"), OCCURRED],
        "Events that state a later time than that at which they happened.",
    )
    .judged_by(&[ParameterName::LateEntryHours, ParameterName::LateEntryWarningDays]),
    notes(
        "small-piece",
        &[("case", "`thin`, `short` or `both`"), DIAMETER, LENGTH],
        "Pieces without measures.",
    ),
    notes("out-of-order", &[OCCURRED], "Events that state a later time than that at which they happened."),
];

fn notes_of_all() -> impl Iterator<Item = &'static Notes> {
    NOTES.iter().chain(surveillance::SURVEILLANCE)
}

/// The notes of a rule; `None` if there are none.
#[must_use]
pub fn of(rule: &Rule) -> Option<&'static Notes> {
    notes_of_all().find(|notes| notes.rule == rule.id)
}

/// Every rule, with its notes.
pub fn all() -> impl Iterator<Item = (&'static Rule, Option<&'static Notes>)> {
    RULES.iter().map(|rule| (rule, of(rule)))
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn every_rule_says_what_it_cannot_see() {
        let without: Vec<_> = all().filter(|(_, notes)| notes.is_none()).map(|(rule, _)| rule.id).collect();
        assert_eq!(without, Vec::<&str>::new(), "add them to NOTES");
        assert_eq!(notes_of_all().count(), RULES.len());
        assert!(notes_of_all().all(|notes| notes.blind_to.ends_with('.')));
    }
}
