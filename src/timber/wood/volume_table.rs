//! Volumes of round timber by GOST 2708-75: a table by top-end diameter and length, not a formula.
//!
//! # What is covered
//! The columns are the standard's own lengths from 3.0 to 6.9 m: every 0.1 m, and 3.25, 3.75, … 6.75. The
//! rows are diameters: 10 to 13 cm by 1 cm, and 14 to 60 cm by 2 cm. The table has 1,336 of these 1,344
//! cells. The standard covers more (1.0 to 9.5 m, 3 to 120 cm). For other sizes, and for the eight cells that
//! are listed below, there is no value rather than a guessed one.
//!
//! # How far the numbers can be trusted
//! The printed standard was not available, so public transcriptions were compared.
//! - Half-metre columns from 3.0 to 6.5 m, 10 to 38 cm: two or three transcriptions of different form agree
//!   on every cell. They are two short tables by half metres, one to 29 cm and one to 38 cm, and a full
//!   table. For the column 6.0 m, a fourth transcription agrees up to 60 cm.
//! - The other cells are in two full transcriptions. These agree, but share copying errors, so they have one
//!   source. A cell was included only if it fits its neighbours. Between the confirmed half metres, it must
//!   be within about one unit of the table's last digit of the straight line between them. Above 38 cm, the
//!   line goes through its neighbours.
//! - Excluded by that test: 14 cm × 6.7 m, 18 × 5.3, 22 × 5.1, 34 × 6.9, 40 × 4.1, 48 × 6.9, 56 × 5.5, 58 ×
//!   5.9.
//!
//! The tests check what can be checked: growth with diameter and with length, taper, and anchor values.
//!
//! # Which row and column
//! A diameter below 14 cm is rounded to the nearest centimetre (half a centimetre is rounded up). A larger
//! diameter is rounded down to whole centimetres, and then up to an even number (14.9 → 14, 15.0 → 16). The
//! length is rounded down to a column, so that the trimming allowance does not count as wood. Public
//! calculators apply the practice of GOST 2292-88 in this way; the text of that standard was not available.

use crate::base::units::{Diameter, Length, Volume};
use rust_decimal::Decimal;
use std::sync::LazyLock;

/// The version stored with every measurement that was compared with the table.
pub const VERSION: &str = "gost-2708-75/1";

/// Rows by diameter in cm, columns by length in cm, cells in litres (m³ ÷ 1,000); empty: not established.
static SOURCE: &str = include_str!("gost_2708_75.csv");

struct Table {
    lengths_cm: Vec<i64>,
    rows: Vec<(i64, Vec<Option<i64>>)>,
}

static TABLE: LazyLock<Table> = LazyLock::new(|| {
    let mut lines = SOURCE.lines().map(|line| line.split(',').map(|cell| cell.parse::<i64>().ok()));
    let lengths_cm = lines.next().into_iter().flatten().skip(1).flatten().collect();
    let rows = lines.filter_map(|mut line| Some((line.next().flatten()?, line.collect()))).collect();
    Table { lengths_cm, rows }
});

/// The table's volume for one log.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub struct TableVolume {
    /// Solid volume, m³.
    pub volume: Volume,
    /// Version of the table.
    pub version: &'static str,
}

/// The diameter grade in cm that a measured diameter falls into.
fn grade_diameter(diameter: Diameter) -> i64 {
    let tenths = count(diameter.decimal(), 1);
    let nearest = (tenths + 5) / 10;
    if nearest < 14 {
        return nearest;
    }
    let rounded_down = (tenths / 10).max(14);
    rounded_down + rounded_down % 2
}

/// The length column in cm that a measured length falls into.
fn grade_length(length: Length) -> i64 {
    let cm = count(length.decimal(), 2);
    (cm - cm % 10).max(cm - cm % 25)
}

/// A quantity as an integer number of units of 10^-`scale`.
fn count(value: Decimal, scale: u32) -> i64 {
    let mut value = value;
    value.rescale(scale);
    i64::try_from(value.mantissa()).unwrap_or(i64::MAX)
}

/// The volume of a log by GOST 2708-75. `None` if the table does not cover the log's size or lacks its cell.
#[must_use]
pub fn gost_volume(top_diameter: Diameter, length: Length) -> Option<TableVolume> {
    let volume = cell(grade_diameter(top_diameter), grade_length(length))?;
    Some(TableVolume { volume, version: VERSION })
}

/// The volume in the row of this diameter in cm and the column of this length in cm.
fn cell(diameter: i64, length: i64) -> Option<Volume> {
    let column = TABLE.lengths_cm.binary_search(&length).ok()?;
    let row = TABLE.rows.binary_search_by_key(&diameter, |(grade, _)| *grade).ok()?;
    let litres = TABLE.rows[row].1.get(column).copied().flatten()?;
    Volume::new(Decimal::new(litres, 3)).ok()
}

/// The cells that may be read for this log: in its own row and the two even rows around its diameter, in its own
/// column and that of its length rounded down to half a metre. A diameter that is even has only its own row.
pub fn cells(top_diameter: Diameter, length: Length) -> impl Iterator<Item = Volume> {
    let tenths = count(top_diameter.decimal(), 1);
    let rows = [grade_diameter(top_diameter), tenths / 20 * 2, (tenths + 19) / 20 * 2];
    let cm = count(length.decimal(), 2);
    let columns = [grade_length(length), cm - cm % 50];
    rows.into_iter().flat_map(move |row| columns.map(|column| cell(row, column))).flatten()
}

/// The difference between a declared volume and the table's volume, in percent of the table's volume, to one
/// decimal; positive if the declared volume is larger.
#[must_use]
pub fn deviation_percent(declared: Volume, table: Volume) -> Option<Decimal> {
    let difference = declared.decimal() - table.decimal();
    Some((difference * Decimal::ONE_HUNDRED).checked_div(table.decimal())?.round_dp(1).normalize())
}

#[cfg(test)]
mod tests {
    use super::*;

    fn table(diameter: &str, length: &str) -> Option<String> {
        gost_volume(Diameter::parse(diameter).unwrap(), Length::parse(length).unwrap())
            .map(|entry| entry.volume.to_string())
    }

    #[test]
    fn known_values() {
        for (diameter, values) in [
            ("14", ["0.052", "0.073", "0.097", "0.123", "0.135"]),
            ("20", ["0.107", "0.147", "0.19", "0.23", "0.26"]),
            ("24", ["0.157", "0.21", "0.27", "0.33", "0.36"]),
            ("28", ["0.22", "0.29", "0.37", "0.45", "0.49"]),
        ] {
            for (length, value) in ["3", "4", "5", "6", "6.5"].into_iter().zip(values) {
                assert_eq!(table(diameter, length).as_deref(), Some(value), "{diameter} cm × {length} m");
            }
        }
        assert_eq!(table("40", "6").as_deref(), Some("0.9"));
        assert_eq!(table("60", "6").as_deref(), Some("2.05"));
    }

    #[test]
    fn the_file_is_whole() {
        assert_eq!(TABLE.lengths_cm.len(), 48);
        assert_eq!((TABLE.lengths_cm[0], TABLE.lengths_cm[47]), (300, 690));
        let diameters: Vec<_> = TABLE.rows.iter().map(|(diameter, _)| *diameter).collect();
        assert_eq!(diameters, (10..14).chain((14..=60).step_by(2)).collect::<Vec<_>>());
        assert!(TABLE.rows.iter().all(|(_, cells)| cells.len() == 48));
        assert_eq!(TABLE.rows.iter().flat_map(|(_, cells)| cells).flatten().count(), 1_336);
    }

    #[test]
    fn volume_grows_with_diameter_and_never_falls_with_length() {
        for (diameter, cells) in &TABLE.rows {
            let known: Vec<_> = cells.iter().flatten().collect();
            assert!(known.is_sorted(), "{diameter} cm");
        }
        for column in 0..TABLE.lengths_cm.len() {
            let known: Vec<_> = TABLE.rows.iter().filter_map(|(_, cells)| cells[column]).collect();
            assert!(known.is_sorted_by(|thin, thick| thin < thick), "{} cm long", TABLE.lengths_cm[column]);
        }
    }

    #[test]
    fn no_log_is_thinner_than_its_top_or_tapers_like_a_cone() {
        for (diameter, cells) in &TABLE.rows {
            for (length, litres) in TABLE.lengths_cm.iter().zip(cells).filter_map(|(l, v)| v.map(|v| (*l, v)))
            {
                let [diameter, length, litres] =
                    [*diameter, length, litres].map(|n| f64::from(i32::try_from(n).unwrap()));
                // `mean`: the diameter in cm of a cylinder with the same volume and length. `taper`: how much
                // `mean` exceeds the top diameter, in cm per metre of half the length.
                let mean = (litres * 1_000.0 / length * 4.0 / std::f64::consts::PI).sqrt();
                let taper = (mean - diameter) / (length / 200.0);
                assert!((0.3..3.3).contains(&taper), "{diameter} cm × {length} cm tapers {taper:.2} cm/m");
            }
        }
    }

    #[test]
    fn along_a_row_no_cell_stands_out() {
        for (diameter, cells) in &TABLE.rows {
            let known: Vec<_> =
                TABLE.lengths_cm.iter().zip(cells).filter_map(|(l, v)| v.map(|v| (*l, v))).collect();
            for three in known.windows(3) {
                let [(l1, v1), (l2, v2), (l3, v3)] = three else { unreachable!() };
                // `off`: how far the middle value is from the straight line through its neighbours, in tenths
                // of a litre. Allowed are 3.5 litres below 0.2 m³, where the table's last digit is 1 litre,
                // and 12 litres above, where it is 10 litres.
                let off = (v2 - v1) * 10 - (v3 - v1) * 10 * (l2 - l1) / (l3 - l1);
                let unit = if *v3 < 200 { 35 } else { 120 };
                assert!(off.abs() <= unit, "{diameter} cm × {l2} cm: {v1} {v2} {v3}");
            }
        }
    }

    #[test]
    fn what_is_not_established_has_no_answer() {
        for (diameter, length) in [
            ("18", "5.3"),
            ("22", "5.1"),
            ("56", "5.5"),
            ("9.4", "4"),
            ("62", "4"),
            ("20", "2.99"),
            ("20", "7"),
            ("300", "30"),
            ("1", "0.01"),
        ] {
            assert_eq!(table(diameter, length), None, "{diameter} cm × {length} m");
        }
    }

    #[test]
    fn a_measured_log_falls_into_its_grade() {
        let grade = |text| grade_diameter(Diameter::parse(text).unwrap());
        for (measured, graded) in [
            ("9.5", 10),
            ("12.4", 12),
            ("12.5", 13),
            ("13.4", 13),
            ("13.5", 14),
            ("14.9", 14),
            ("15", 16),
            ("16.9", 16),
            ("17", 18),
        ] {
            assert_eq!(grade(measured), graded, "{measured}");
        }
        let column = |text| grade_length(Length::parse(text).unwrap());
        for (measured, graded) in [
            ("3", 300),
            ("3.04", 300),
            ("3.24", 320),
            ("3.25", 325),
            ("3.29", 325),
            ("3.3", 330),
            ("6.79", 675),
        ] {
            assert_eq!(column(measured), graded, "{measured}");
        }
    }

    #[test]
    fn deviation_is_of_the_tables_volume() {
        let volume = |text| Volume::parse(text).unwrap();
        assert_eq!(deviation_percent(volume("0.15"), volume("0.1")).unwrap().to_string(), "50");
        assert_eq!(deviation_percent(volume("0.1"), volume("0.123")).unwrap().to_string(), "-18.7");
        assert_eq!(deviation_percent(volume("0.1"), Volume::ZERO), None);
    }
}
