use super::*;
use proptest::prelude::*;

fn volume(text: &str) -> Volume {
    Volume::parse(text).unwrap()
}

#[test]
fn a_quantity_keeps_exactly_what_was_sent() {
    for (sent, expected) in [
        ("0.33", "0.33"),
        ("0.3300", "0.33"),
        ("1e-2", "0.01"),
        ("1.5E+2", "150"),
        ("0.00001e1", "0.0001"),
        ("50", "50"),
        ("007.50", "7.5"),
        ("1000000.0000", "1000000"),
        ("0.33000000000000000000000000000000000000000000", "0.33"),
    ] {
        assert_eq!(volume(sent).to_string(), expected, "{sent}");
        assert_eq!(serde_json::to_string(&volume(sent)).unwrap(), expected, "{sent}");
    }
}

#[test]
fn more_digits_are_refused_never_rounded() {
    for text in
        ["0.33001", "0.00009", "1e-5", "0.33000000000000002", "1e-999999999", "1e-99999999999999999999"]
    {
        assert_eq!(Volume::parse(text).unwrap_err().code, "volume-too-precise", "{text}");
    }
    assert_eq!(Diameter::parse("24.25").unwrap_err().code, "diameter-too-precise");
    assert_eq!(Length::parse("6.123").unwrap_err().code, "length-too-precise");
    assert_eq!(Pieces::parse("3.5").unwrap_err().code, "pieces-too-precise");
}

#[test]
fn what_is_no_number_is_refused() {
    for text in [
        "", "-", ".", ".5", "5.", "+5", "NaN", "Infinity", "-inf", "0x10", "1e", "1e+", "1_000", "1,5", " 1",
        "1 ", "1\0", "٣", "1.2.3", "1e5.0", "--1", "1e--1", "½",
    ] {
        assert_eq!(Volume::parse(text).unwrap_err().code, "volume-not-a-number", "{text:?}");
    }
}

#[test]
fn bounds_are_inclusive_and_named() {
    assert_eq!(Volume::parse("0").unwrap_err().code, "volume-too-small");
    assert_eq!(Volume::parse("-0.0").unwrap_err().code, "volume-too-small");
    assert_eq!(Volume::parse("-1").unwrap_err().code, "volume-too-small");
    assert_eq!(Volume::parse("0e999999999999").unwrap_err().code, "volume-too-small");
    for text in ["1000000.0001", "1e999999999", "1e99999999999999999999", "9".repeat(5_000).as_str()] {
        assert_eq!(Volume::parse(text).unwrap_err().code, "volume-too-large");
    }
    assert_eq!(Length::parse("0.01").unwrap().to_string(), "0.01");
    assert_eq!(Length::parse("30").unwrap().to_string(), "30");
    assert_eq!(Length::parse("30.01").unwrap_err().detail, "The length is at most 30 m.");
    assert_eq!(Diameter::parse("0.9").unwrap_err().detail, "The diameter is at least 1 cm.");
    assert_eq!(Diameter::parse("300").unwrap().to_string(), "300");
    assert_eq!(Pieces::parse("1e4").unwrap().get(), 10_000);
    assert_eq!(Pieces::parse("10001").unwrap_err().code, "pieces-too-large");
    assert_eq!(Pieces::parse("0").unwrap_err().code, "pieces-too-small");
    assert_eq!(Area::parse("3.75").unwrap().to_string(), "3.75");
}

#[test]
fn sums_are_exact_and_stay_within_bounds() {
    let tenth = volume("0.1");
    assert_eq!(Volume::checked_sum([tenth; 3]).unwrap(), volume("0.3"));
    assert_eq!(Volume::checked_sum([]).unwrap(), Volume::ZERO);
    let below = volume("0.25").checked_sub(volume("0.3")).unwrap();
    assert_eq!(below.to_string(), "-0.05");
    assert!(below.is_negative());
    assert!(Volume::checked_sum(std::iter::repeat_n(volume("1000000"), 1_001)).is_none());
}

#[test]
fn a_line_is_exceeded_by_the_last_digit_only() {
    let permitted = volume("10");
    let percent = Decimal::new(66, 1);
    assert!(!volume("10.66").exceeds(permitted, percent));
    assert!(volume("10.6601").exceeds(permitted, percent));
    // 3.33 × 1.12 = 3.7296 exactly; as doubles the product is a hair off.
    assert!(!volume("3.7296").exceeds(volume("3.33"), Decimal::from(12)));
    assert!(volume("3.7297").exceeds(volume("3.33"), Decimal::from(12)));
}

proptest! {
    #[test]
    fn any_volume_is_printed_with_its_own_digits(units in 1_i64..=10_000_000_000) {
        let text = Decimal::new(units, 4).normalize().to_string();
        let parsed = Volume::parse(&text).unwrap();
        prop_assert_eq!(&parsed.to_string(), &text);
        prop_assert_eq!(&serde_json::to_string(&parsed).unwrap(), &text);
        prop_assert_eq!(serde_json::to_value(parsed).unwrap().as_f64(), text.parse::<f64>().ok());
        prop_assert_eq!(Volume::new(parsed.decimal()).unwrap(), parsed);
    }

    #[test]
    fn sums_to_the_ceiling_print_exactly_too(units in -10_000_000_000_000_i64..=10_000_000_000_000) {
        let value = Volume::within(Decimal::new(units, 4)).unwrap();
        prop_assert_eq!(serde_json::to_string(&value).unwrap(), value.to_string());
    }

    #[test]
    fn an_exponent_changes_nothing(units in 1_i64..=9_999_999, shift in 0_u32..12) {
        let moved = format!("{units}{}e-{}", "0".repeat(shift as usize), shift + 4);
        prop_assert_eq!(Volume::parse(&moved).unwrap().decimal(), Decimal::new(units, 4).normalize());
    }

    #[test]
    fn no_text_makes_it_stumble(text in "[-+0-9.eE, ]{0,40}|.{0,20}") {
        let _ = (Volume::parse(&text), Pieces::parse(&text), Diameter::parse(&text));
    }

    #[test]
    fn it_agrees_with_an_independent_reader(text in "-?[0-9]{1,6}(\\.[0-9]{1,6})?") {
        let by_crate = Decimal::from_str_exact(&text).unwrap().normalize();
        match exact(&text, 4) {
            Ok(units) => prop_assert_eq!(Decimal::new(units, 4).normalize(), by_crate),
            Err(error) => {
                prop_assert_eq!(error, NumberError::TooPrecise);
                prop_assert!(by_crate.scale() > 4);
            }
        }
    }
}

#[test]
fn positions_round_half_away_from_zero() {
    for (text, count) in [
        ("50.41111111", Some(504_111_111)),
        ("50.411111150", Some(504_111_112)),
        ("50.41111114999999999999999999999999999999", Some(504_111_111)),
        ("-50.41111115", Some(-504_111_112)),
        ("0.00000004", Some(0)),
        ("0.00000005", Some(1)),
        ("-0.000000001", Some(0)),
        ("1e-999999999", Some(0)),
        ("1e999999999", None),
        ("214.7483648", None),
        ("0e99", Some(0)),
        ("x", None),
    ] {
        assert_eq!(rounded(text, 7), count, "{text}");
    }
}

/// Compiles only if every quantity binds and decodes as a single value, as a nullable one and as an array.
#[test]
fn every_type_binds_to_postgres() {
    fn binds<T>()
    where
        T: sqlx::Type<sqlx::Postgres>
            + sqlx::postgres::PgHasArrayType
            + for<'q> sqlx::Encode<'q, sqlx::Postgres>
            + for<'r> sqlx::Decode<'r, sqlx::Postgres>,
        Option<T>: for<'q> sqlx::Encode<'q, sqlx::Postgres>,
        Vec<T>: for<'q> sqlx::Encode<'q, sqlx::Postgres> + for<'r> sqlx::Decode<'r, sqlx::Postgres>,
    {
    }
    binds::<Volume>();
    binds::<Length>();
    binds::<Diameter>();
    binds::<Area>();
    binds::<Pieces>();
    binds::<Text>();
    binds::<Note>();
    binds::<LocalDate>();
    binds::<crate::base::region::Region>();
    binds::<crate::timber::party::bin::Bin>();
    binds::<crate::timber::wood::species::Species>();
    binds::<crate::timber::wood::species::Grade>();
    binds::<crate::timber::wood::species::Wood>();
}
