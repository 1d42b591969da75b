use super::*;
use proptest::prelude::*;

/// The bounds that are in force unless the operator sets others.
fn bounds() -> Bounds {
    let [thick_from_cm, thin_cylinder_max, sum_from_logs, cell_percent] = [14, 6, 100, 10].map(Decimal::from);
    let hundredths = |n| Decimal::new(n, 2).normalize();
    Bounds {
        thick_from_cm,
        cylinder_min: hundredths(85),
        thick_cylinder_max: hundredths(250),
        thin_cylinder_max,
        table_min: hundredths(75),
        table_remarkable: hundredths(150),
        cell_percent,
        uncovered_min: Decimal::ONE,
        uncovered_max: hundredths(170),
        piece_min_m3: Decimal::new(5, 4),
        piece_max_m3: hundredths(20),
        commercial_piece_max_m3: hundredths(12),
        saw_log_from_cm: thick_from_cm,
        saw_log_above_m: Decimal::from(3),
        sum_min: hundredths(97),
        sum_from_logs,
    }
}

fn log(method: MeasurementMethod, diameter: &str, length: &str, declared: &str) -> Measures {
    Measures {
        kind: LogKind::Log,
        method,
        top_diameter: Diameter::parse(diameter).ok(),
        length: Length::parse(length).ok(),
        pieces: None,
        volume: Volume::parse(declared).unwrap(),
    }
}

fn stack(pieces: i64, size: Option<(&str, &str)>, declared: &str) -> Measures {
    let (diameter, length) = size.unzip();
    Measures {
        kind: LogKind::Stack,
        method: MeasurementMethod::StackGeometric,
        top_diameter: diameter.and_then(|diameter| Diameter::parse(diameter).ok()),
        length: length.and_then(|length| Length::parse(length).ok()),
        pieces: Pieces::new(pieces).ok(),
        volume: Volume::parse(declared).unwrap(),
    }
}

fn codes(measures: &Measures) -> Vec<&'static str> {
    measures.refusals(&bounds()).map(|invalid| invalid.code).collect()
}

const MEASURES: &str = "volume-unlike-measures";
const TABLE: &str = "volume-unlike-table";
use MeasurementMethod::{Gost2708_75 as Gost, Harvester};

#[test]
fn a_thick_log_has_085_to_25_cylinders() {
    // 40 cm and 8 m, which the table does not cover: pi × 0.2² × 8 = 1.00531 m³.
    for (declared, expected) in
        [("0.8545", vec![MEASURES]), ("0.8546", vec![]), ("2.5132", vec![]), ("2.5133", vec![MEASURES])]
    {
        assert_eq!(codes(&log(Harvester, "40", "8", declared)), expected, "{declared}");
    }
    let refused = log(Harvester, "40", "8", "0.1").refusals(&bounds()).next().unwrap();
    assert_eq!(
        refused.detail,
        "0.1 m³ are declared. The volume of 1 × 40 cm × 8 m as cylinder is 1.0053 m³; 0.85 to 2.5 times that is possible, \
         which is 0.8546 to 2.5132 m³."
    );
}

#[test]
fn a_thin_log_may_have_six_cylinders() {
    // 13.9 cm and 2 m: 0.030349 m³. 14 cm and 2 m: 0.030788 m³.
    for (diameter, declared, expected) in [
        ("13.9", "0.0257", vec![MEASURES]),
        ("13.9", "0.0258", vec![]),
        ("13.9", "0.182", vec![]),
        ("13.9", "0.1821", vec![MEASURES]),
        ("14", "0.0769", vec![]),
        ("14", "0.077", vec![MEASURES]),
    ] {
        assert_eq!(codes(&log(Harvester, diameter, "2", declared)), expected, "{diameter} cm: {declared}");
    }
}

#[test]
fn a_log_in_the_table_has_three_quarters_of_it() {
    // 14 cm and 6.5 m: the table has 0.135, three quarters are 0.10125; the cylinder has 0.10006 m³.
    assert_eq!(codes(&log(Harvester, "14", "6.5", "0.1012")), [MEASURES]);
    assert!(codes(&log(Harvester, "14", "6.5", "0.1013")).is_empty());
    let refused = log(Harvester, "14", "6.5", "0.1012").refusals(&bounds()).next().unwrap();
    assert_eq!(
        refused.detail,
        "0.1012 m³ are declared. gost-2708-75/1 has 0.135 m³ for 14 cm and 6.5 m, and no log has less than 0.75 of \
         that, which is 0.1013 m³."
    );
}

#[test]
fn eleven_logs_do_not_go_on_the_volume_of_one() {
    assert_eq!(codes(&log(Gost, "24", "6", "0.03")), [MEASURES, TABLE]);
    assert_eq!(codes(&log(Harvester, "24", "6", "0.03")), [MEASURES]);
    assert_eq!(codes(&log(Harvester, "24", "6", "3.3")), [MEASURES]);
}

#[test]
fn a_volume_from_the_table_is_in_the_table() {
    for (diameter, length, declared, possible) in [
        // 24 cm and 6 m: 0.33 m³. The diameter is even, so no other row counts.
        ("24", "6", "0.297", true),
        ("24", "6", "0.2969", false),
        ("24", "6", "0.363", true),
        ("24", "6", "0.3631", false),
        // Between 24 and 26 cm: 0.33 and 0.39 m³.
        ("24.3", "6", "0.297", true),
        ("24.3", "6", "0.429", true),
        ("24.3", "6", "0.4291", false),
        ("25", "6", "0.297", true),
        // The column of the half metre, 6 m, and that of 6.4 m, 0.35 m³ for 24 cm.
        ("24", "6.4", "0.297", true),
        ("24", "6.4", "0.385", true),
        ("24", "6.4", "0.3851", false),
    ] {
        let codes = codes(&log(Gost, diameter, length, declared));
        assert_eq!(codes, if possible { vec![] } else { vec![TABLE] }, "{diameter} × {length}: {declared}");
        assert!(self::codes(&log(Harvester, diameter, length, declared)).is_empty());
    }
    let refused = log(Gost, "24", "6", "0.4").refusals(&bounds()).next().unwrap();
    assert_eq!(
        refused.detail,
        "0.4 m³ are declared by gost_2708_75. gost-2708-75/1 has 0.33 m³ for 24 cm and 6 m, and the volume is more than \
         10 % away from that and from the neighbouring cells."
    );
}

#[test]
fn rows_below_14_cm_are_of_one_centimetre() {
    // 11 cm and 4 m has a row of its own between the even ones.
    let own = log(Gost, "11", "4", "0.05").table().unwrap();
    assert!(codes(&log(Gost, "11", "4", &own.to_string())).is_empty());
    let cells: Vec<_> =
        volume_table::cells(Diameter::parse("11").unwrap(), Length::parse("4").unwrap()).collect();
    assert_eq!(cells.len(), 6);
    assert!(cells.contains(&own));
    let even = log(Gost, "12", "4", "0.05").table().unwrap();
    assert!(even > own && cells.contains(&even));
}

#[test]
fn outside_the_table_its_method_means_one_to_1_7_cylinders() {
    // 24 cm and 8 m: 0.36191 m³.
    for (declared, expected) in
        [("0.3619", vec![MEASURES]), ("0.362", vec![]), ("0.6152", vec![]), ("0.6153", vec![MEASURES])]
    {
        assert_eq!(codes(&log(Gost, "24", "8", declared)), expected, "{declared}");
        assert!(codes(&log(Harvester, "24", "8", declared)).is_empty());
    }
    assert!(log(Gost, "24", "8", "0.4").lacks_table());
    // A thin log: up to 1.7 cylinders by this method, up to 6 by others.
    assert_eq!(codes(&log(Gost, "8", "8", "0.2")), [MEASURES]);
    assert!(codes(&log(Harvester, "8", "8", "0.2")).is_empty());
}

#[test]
fn pieces_of_a_stack_are_small() {
    for (declared, possible) in [("0.0199", false), ("0.02", true), ("8", true), ("8.0001", false)] {
        assert_eq!(codes(&stack(40, None, declared)).is_empty(), possible, "{declared}");
    }
    let refused = stack(40, None, "20").refusals(&bounds()).next().unwrap();
    assert_eq!(refused.code, MEASURES);
    assert_eq!(
        refused.detail,
        "20 m³ are declared for 40 pieces. A piece of a stack has 0.0005 to 0.2 m³, so these have 0.02 to 8 m³."
    );
    // 40 pieces of 8 cm and 2 m: 0.40212 m³ of cylinders.
    for (declared, possible) in [("0.3418", false), ("0.3419", true), ("2.4127", true), ("2.4128", false)] {
        assert_eq!(codes(&stack(40, Some(("8", "2")), declared)).is_empty(), possible, "{declared}");
    }
    // The table is for single logs.
    assert!(codes(&Measures { method: Gost, ..stack(40, Some(("8", "2")), "0.5") }).is_empty());
}

#[test]
fn an_old_volume_moves_only_towards_the_table() {
    let refused = |before: &Measures, declared: &str| {
        let after = Measures { volume: Volume::parse(declared).unwrap(), ..*before };
        !before.refusals_of_correction(&after, &bounds()).is_empty()
    };
    // Outside of the bounds: 0.33 m³ in the table, 0.2475 m³ at least, 0.6785 m³ at most.
    let low = log(Harvester, "24", "6", "0.05");
    assert!(!refused(&low, "0.05"), "unchanged");
    assert!(!refused(&low, "0.06"), "towards the table");
    assert!(!refused(&low, "0.33"));
    assert!(!refused(&low, "0.67"), "beyond the table, but possible");
    assert!(refused(&low, "0.68"));
    assert!(refused(&low, "0.0499"));
    let high = log(Harvester, "24", "6", "3.3");
    assert!(!refused(&high, "2"));
    assert!(refused(&high, "3.3001"));
    assert!(refused(&high, "0.2"));
    // A volume within the bounds cannot be corrected to one outside of them.
    assert!(refused(&log(Harvester, "24", "6", "0.33"), "0.2"));
    // No table: the bounds are 0.3846 to 1.1309 m³.
    let long = log(Harvester, "24", "10", "0.1");
    assert!(!refused(&long, "0.2"));
    assert!(refused(&long, "0.09"));
    assert!(refused(&log(Harvester, "24", "10", "5"), "0.1"));
    // If a correction changes the measures, the volume must be within the bounds of the new measures, even if the
    // volume itself does not change.
    let thinner = Measures { top_diameter: Diameter::parse("22").ok(), ..low };
    assert!(!low.refusals_of_correction(&thinner, &bounds()).is_empty());
    // An old stack without a number of pieces cannot be compared.
    let loose = Measures { pieces: None, ..stack(1, None, "900") };
    assert!(!refused(&loose, "1"));
}

#[test]
fn sums_have_only_logs_by_the_table() {
    let share = |measures: &Measures| Share::from(measures);
    let sums = TableSums::ZERO.with(share(&log(Gost, "24", "6", "0.3"))).unwrap();
    assert_eq!(
        (sums.logs, sums.declared.to_string(), sums.table.to_string()),
        (1, "0.3".into(), "0.33".into())
    );
    assert_eq!(sums.with(share(&log(Harvester, "24", "6", "0.3"))), Some(sums));
    assert_eq!(sums.with(share(&log(Gost, "24", "8", "0.4"))), Some(sums));
    assert_eq!(sums.without(share(&log(Gost, "24", "6", "0.3"))), Some(TableSums::ZERO));
}

proptest! {
    /// The exact volume of the cylinder agrees with the one computed in floating point, and the comparison is right for
    /// volumes 0.1 % above and below a multiple of it.
    #[test]
    fn the_cylinder_is_a_cylinder(tenths in 10_i32..=3_000, cm in 1_i32..=3_000, factor in 10_i32..=300) {
        let (diameter, length) = (f64::from(tenths) / 1_000.0, f64::from(cm) / 100.0);
        let m3 = std::f64::consts::PI / 4.0 * diameter * diameter * length;
        let cylinder = Cylinder::of(
            Diameter::new(Decimal::new(tenths.into(), 1)).unwrap(),
            Length::new(Decimal::new(cm.into(), 2)).unwrap(),
            Decimal::ONE,
        );
        let exact: f64 = cylinder.m3(Decimal::ONE).to_string().parse().unwrap();
        prop_assert!((exact - m3).abs() <= m3 * 9e-8, "{exact} {m3}");
        let declared = Decimal::new(factor.into(), 2) * cylinder.m3(Decimal::ONE);
        prop_assert!(cylinder.compare(declared * Decimal::new(1_001, 3), Decimal::new(factor.into(), 2)).is_gt());
        prop_assert!(cylinder.compare(declared * Decimal::new(999, 3), Decimal::new(factor.into(), 2)).is_lt());
    }

    /// Between two possible volumes for the same measures, every volume is possible.
    #[test]
    fn possible_volumes_are_one_range(tenths in 30_i64..=700, cm in 50_i64..=1_200, a in 1_i64..=60_000, b in 0_i64..=20_000) {
        let measures = |volume: i64| Measures {
            top_diameter: Diameter::new(Decimal::new(tenths, 1)).ok(),
            length: Length::new(Decimal::new(cm, 2)).ok(),
            volume: Volume::new(Decimal::new(volume, 4)).unwrap(),
            ..log(Harvester, "1", "1", "1")
        };
        let possible = |volume| measures(volume).are_possible(&bounds());
        if possible(a) && possible(a + b) {
            prop_assert!(possible(a + b / 2));
        }
    }
}
