//! Rules about declared volumes that are possible but odd. Impossible ones are refused, by
//! [`crate::timber::wood::bounds`].

use super::{Draft, Rule, Severity, TICKET_BREACH};
use crate::timber::wood::bounds::{Bounds, Measures, TableSums};
use crate::timber::wood::species::{LogKind, Wood};
use crate::timber::wood::volume_table::{self, deviation_percent};

/// L14.
pub const VOLUME_UNLIKE_TABLE: Rule = Rule {
    id: "L14",
    version: 2,
    severity: Severity::Warning,
    legal_basis: None,
    about: "A log's declared volume is more than 1.5 times the volume that GOST 2708-75 gives for its diameter and length; or it is declared to be from that table and fits only a neighbouring cell; or the logs of a ticket, from 100 on, are declared to have less than 0.97 of the table's volume in sum.",
};

/// A volume declared to be from a table that does not have it.
pub const TABLE_NOT_COVERED: Rule = Rule {
    id: "table-not-covered",
    version: 1,
    severity: Severity::Notice,
    legal_basis: None,
    about: "A log's volume is declared to be from GOST 2708-75, but the copy of that table which this program has does not cover its diameter and length.",
};

/// L13.
pub const COMMERCIAL_AS_FIREWOOD: Rule = Rule {
    id: "L13",
    version: 2,
    severity: Severity::Warning,
    legal_basis: TICKET_BREACH,
    about: "A log, or a stack by the measures of its pieces, of sawlog size (14 cm and more, longer than 3 m) is declared firewood or brushwood; or a stack declared so has more than 0.12 m³ a piece.",
};

/// Logs that were not sealed one by one.
pub const LOGS_AS_STACK: Rule = Rule {
    id: "logs-as-stack",
    version: 1,
    severity: Severity::Warning,
    legal_basis: None,
    about: "The pieces of a stack of commercial wood have more than 0.12 m³ on average, which is the size of logs; by GOST 2292-88 each of these bears its own seal.",
};

/// L14: a volume that is possible but far above the table's volume; or a volume that is declared to be from the table
/// but differs from the log's own cell.
#[must_use]
pub fn volume_unlike_table(measures: &Measures, bounds: &Bounds) -> Option<Draft> {
    let table = measures.table()?;
    let severity = if measures.exceed_table(bounds.table_remarkable) {
        Severity::Warning
    } else if measures.table_if_its_method().is_some_and(|own| !measures.are_of_cell(own, bounds)) {
        Severity::Notice
    } else {
        return None;
    };
    let deviation = deviation_percent(measures.volume, table)?;
    let draft = VOLUME_UNLIKE_TABLE.found(severity);
    Some(
        draft
            .input("case", "log")
            .input("declared_m3", measures.volume)
            .input("method", measures.method)
            .input("table", volume_table::VERSION)
            .input("table_m3", table)
            .input("deviation", format_args!("{deviation:+}")),
    )
}

/// L14: because of a harvest or a correction, the total of a ticket's volumes that are declared to be from the table
/// falls below the limit for the table's total.
#[must_use]
pub fn sums_below_table(before: TableSums, after: TableSums, bounds: &Bounds) -> Option<Draft> {
    if before.are_low(bounds) || !after.are_low(bounds) {
        return None;
    }
    let deviation = deviation_percent(after.declared, after.table)?;
    let draft = VOLUME_UNLIKE_TABLE.found(Severity::Warning).about_ticket().key("sum");
    Some(
        draft
            .at_stake(after.declared)
            .input("case", "sum")
            .number("logs", after.logs)
            .input("declared_m3", after.declared)
            .input("table", volume_table::VERSION)
            .input("table_m3", after.table)
            .input("deviation", format_args!("{deviation:+}")),
    )
}

/// A volume declared to be from the table for a log that the table does not cover.
#[must_use]
pub fn table_not_covered(measures: &Measures) -> Option<Draft> {
    let (diameter, length) = (measures.top_diameter?, measures.length?);
    measures.lacks_table().then(|| {
        let draft = TABLE_NOT_COVERED.found(Severity::Notice);
        draft
            .input("declared_m3", measures.volume)
            .input("method", measures.method)
            .input("table", volume_table::VERSION)
            .input("diameter_cm", diameter)
            .input("length_m", length)
    })
}

/// A stack of commercial wood in pieces as large as logs.
#[must_use]
pub fn logs_as_stack(measures: &Measures, wood: Wood, bounds: &Bounds) -> Option<Draft> {
    let pieces = measures.pieces?;
    (wood == Wood::Commercial && measures.are_logs_as_stack(bounds)).then(|| {
        let draft = LOGS_AS_STACK.found(Severity::Warning);
        draft
            .input("declared_m3", measures.volume)
            .number("pieces", pieces.get())
            .input("limit_m3", bounds.commercial_piece_max_m3)
    })
}

/// L13: wood that could be sawn is declared firewood or brushwood. A stack is judged by the measures of its pieces where
/// it states them, and by the volume of a piece.
#[must_use]
pub fn commercial_as_firewood(measures: &Measures, wood: Wood, bounds: &Bounds) -> Option<Draft> {
    if wood == Wood::Commercial {
        return None;
    }
    let draft = COMMERCIAL_AS_FIREWOOD.found(Severity::Warning).input("wood", wood);
    if let Some((diameter, length)) = measures.saw_log(bounds) {
        let case = if measures.kind == LogKind::Log { "log" } else { "stack" };
        return Some(draft.input("case", case).input("diameter_cm", diameter).input("length_m", length));
    }
    let pieces = measures.pieces?;
    measures.are_logs_as_stack(bounds).then(|| {
        draft
            .input("case", "pieces")
            .input("declared_m3", measures.volume)
            .number("pieces", pieces.get())
            .input("limit_m3", bounds.commercial_piece_max_m3)
    })
}
