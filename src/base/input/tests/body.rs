//! JSON bodies read into request types.

use super::{Load, listed};
use crate::base::input::{Document, Errors, MAX_FIELD_ERRORS, Read, did_you_mean};
use chrono::{DateTime, FixedOffset, NaiveDate};
use rust_decimal::Decimal;
use utoipa::PartialSchema as _;
use uuid::Uuid;

fn read<T: Read>(body: &str) -> Result<T, String> {
    let document = Document::parse(body.as_bytes()).expect("well-formed");
    document.read().map_err(|errors| listed(&errors))
}

#[test]
fn a_good_load_is_read() {
    let load: Load = read(
        r#"{"logs": [{"volume_m3": 0.3300, "seal_number": "KZ-000001", "type": "stack", "pieces": 3e1,
            "position": {"lat": 50.41, "lon": 8.02e1, "accuracy_m": null}}],
            "ticket": "018F3C9E-7a1b-7c44-9d21-5f0e6a7b8c9d", "responsible_person": null}"#,
    )
    .expect("good");
    let piece = &load.logs[0];
    assert_eq!((piece.volume_m3.0.as_str(), piece.seal_number.0.as_str()), ("0.3300", "KZ-000001"));
    assert_eq!((piece.pieces, piece.r#type.as_deref()), (Some(30), Some("stack")));
    let spot = piece.position.as_ref().expect("given");
    assert_eq!((spot.lat.0.as_str(), spot.lon.0.as_str(), spot.accuracy_m), ("50.41", "80.2", None));
    assert!(load.responsible_person.is_none() && load.dry.is_none() && load.ticket.is_some());
}

#[test]
fn every_fault_is_told_at_once_with_its_place() {
    let errors = read::<Load>(
        r#"{"ticket": "018f", "dry": "true", "Logs": 1, "a/b~c": 2, "responsible_person": [],
            "logs": [{"seal_number": "KZ-1", "volume_m3": 0.12345},
                     {"seal_number": 7, "volume_m3": "0.33", "position": {"lat": 50, "lon": null}, "pieces": 1.5},
                     {"seal_number": "KZ-000003", "volume_m3": 1, "pieces": 2, "type": "log", "note": null}]}"#,
    )
    .expect_err("faulty");
    assert_eq!(
        errors,
        "/Logs unknown-field
/a~1b~0c unknown-field
/ticket not-a-uuid
/responsible_person wrong-type
/logs/0/seal_number seal-number
/logs/0/volume_m3 volume
/logs/1/seal_number wrong-type
/logs/1/volume_m3 wrong-type
/logs/1/pieces not-an-integer
/logs/1/position/lon required
/logs/2/note unknown-field
/logs/2/pieces not-for-log
/dry wrong-type"
    );
}

#[test]
fn wrong_types_say_what_was_expected_and_what_found() {
    let document = Document::parse(br#"{"logs": {"seal_number": 1}}"#).expect("well-formed");
    let errors = document.read::<Load>().expect_err("faulty");
    assert_eq!(errors[0].detail, "Expected a list, found an object.");
    for (body, found) in [("[]", "a list"), ("7", "a number"), ("null", "null"), ("\"x\"", "a string")] {
        let document = Document::parse(body.as_bytes()).expect("well-formed");
        let errors = document.read::<Load>().expect_err("faulty");
        assert_eq!(listed(&errors), " wrong-type");
        assert_eq!(errors[0].detail, format!("Expected an object, found {found}."));
    }
}

#[test]
fn a_near_name_is_suggested_and_a_far_one_is_not() {
    let document = Document::parse(br#"{"logs": [{"seal_nubmer": "x"}], "zebra": 1}"#).expect("well-formed");
    let errors = document.read::<Load>().expect_err("faulty");
    assert_eq!(errors[0].detail, "`zebra` is not known here.");
    assert_eq!(errors[1].detail, "`seal_nubmer` is not known here. Did you mean `seal_number`?");
    assert_eq!(did_you_mean("Volume-M3", &["volume_m3", "length_m"]), Some("volume_m3"));
    assert_eq!(did_you_mean("", &["volume_m3"]), None);
    assert_eq!(did_you_mean("x", &[]), None);
}

#[test]
fn lists_are_bounded_at_their_edges() {
    let body = |count: usize| {
        let piece = r#"{"seal_number": "KZ-000001", "volume_m3": 1}"#;
        format!(r#"{{"logs": [{}]}}"#, vec![piece; count].join(","))
    };
    assert_eq!(read::<Load>(&body(0)).expect_err("none"), "/logs too-few");
    assert_eq!(read::<Load>(&body(1)).expect("one").logs.len(), 1);
    assert_eq!(read::<Load>(&body(3)).expect("three").logs.len(), 3);
    assert_eq!(read::<Load>(&body(4)).expect_err("four"), "/logs too-many");
    assert_eq!(read::<Load>(r#"{"logs": null}"#).expect_err("null"), "/logs required");
    assert_eq!(read::<Load>(r#"{"logs": [null]}"#).expect_err("null"), "/logs/0 wrong-type");
}

#[test]
fn entries_are_capped_and_the_rest_counted() {
    let body = format!("[{}]", vec!["1"; MAX_FIELD_ERRORS + 7].join(","));
    let document = Document::parse(body.as_bytes()).expect("well-formed");
    let errors = document.read::<Vec<bool>>().expect_err("faulty");
    assert_eq!(errors.len(), MAX_FIELD_ERRORS + 1);
    let last = errors.last().expect("some");
    assert_eq!((last.code, last.detail.as_ref()), ("too-many-errors", "7 more errors are not listed."));
    let exactly = format!("[{}]", vec!["1"; MAX_FIELD_ERRORS].join(","));
    let document = Document::parse(exactly.as_bytes()).expect("well-formed");
    assert_eq!(document.read::<Vec<bool>>().expect_err("faulty").len(), MAX_FIELD_ERRORS);
}

#[test]
fn an_unknown_name_does_not_come_back_by_the_megabyte() {
    let body = format!(r#"{{"{}": 1}}"#, "б".repeat(500_000));
    let document = Document::parse(body.as_bytes()).expect("well-formed");
    let errors = document.read::<Load>().expect_err("faulty");
    assert_eq!(listed(&errors), " unknown-field\n/logs required");
    assert!(errors[0].detail.len() < 300);
}

#[test]
fn nothing_read_is_never_taken_for_success() {
    assert_eq!(listed(&Errors::new().finish::<()>(None).expect_err("nothing")), " unreadable");
}

#[test]
fn numbers_keep_every_digit_and_never_become_huge() {
    let number = |text: &str| read::<super::Cubic>(text).map(|cubic| cubic.0);
    assert_eq!(number("9007199254740993"), Ok("9007199254740993".to_owned()));
    for (sent, plain) in [
        ("0.10", "0.10"),
        ("-0", "-0"),
        ("1e0", "1"),
        ("15E-2", "0.15"),
        ("1.50e1", "15.0"),
        ("1.5e+3", "1500"),
        ("-120e-1", "-12.0"),
        ("0.05e1", "0.5"),
        ("0.005e3", "5"),
    ] {
        assert_eq!(number(sent), Ok(plain.to_owned()), "{sent}");
    }
    for huge in ["1e999999999", "-1e99999999999999999999", "1e-400", "0e999", "1e65"] {
        assert_eq!(number(huge), Err(" number-too-long".to_owned()), "{huge}");
    }
    assert!(number(&"9".repeat(64)).is_ok());
    assert_eq!(number(&"9".repeat(65)), Err(" number-too-long".to_owned()));
}

#[test]
fn whole_numbers_and_decimals_hold_what_they_hold() {
    assert_eq!(read::<u32>("4294967295"), Ok(u32::MAX));
    assert_eq!(read::<u32>("4294967296"), Err(" out-of-range".to_owned()));
    assert_eq!(read::<u32>("-1"), Err(" out-of-range".to_owned()));
    assert_eq!(read::<u32>("-0"), Ok(0));
    assert_eq!(read::<i64>("-9223372036854775808"), Ok(i64::MIN));
    assert_eq!(read::<i64>("9223372036854775808"), Err(" out-of-range".to_owned()));
    assert_eq!(read::<i64>("5.00"), Ok(5));
    assert_eq!(read::<Decimal>("0.3300").map(|number| number.to_string()), Ok("0.3300".to_owned()));
    assert_eq!(read::<Decimal>("0.12345678901234567890123456789"), Err(" too-many-digits".to_owned()));
}

#[test]
fn ids_are_hyphenated_uuids_and_an_operations_has_version_4_or_7() {
    assert!(read::<Uuid>(r#""018f3c9e-7a1b-7c44-9d21-5f0e6a7b8c9d""#).is_ok());
    for text in [
        "018f3c9e7a1b7c449d215f0e6a7b8c9d",
        "{018f3c9e-7a1b-7c44-9d21-5f0e6a7b8c9d}",
        "",
        "018f3c9e-7a1b-7c44-9d21-5f0e6a7b8c9я",
    ] {
        assert_eq!(read::<Uuid>(&format!("{text:?}")), Err(" not-a-uuid".to_owned()));
    }
    let operation = |version: char| {
        read::<crate::base::ids::OperationId>(&format!("\"018f3c9e-7a1b-{version}c44-9d21-5f0e6a7b8c9d\""))
    };
    assert!(operation('4').is_ok() && operation('7').is_ok());
    assert_eq!(operation('1'), Err(" wrong-uuid-version".to_owned()));
    assert!(read::<crate::base::ids::OperationId>(r#""00000000-0000-0000-0000-000000000000""#).is_err());
}

#[test]
fn times_have_offsets_and_dates_ten_characters() {
    let time = read::<DateTime<FixedOffset>>(r#""2026-03-14T09:30:00.1234567+05:00""#).expect("good");
    assert_eq!(time.to_rfc3339(), "2026-03-14T09:30:00.123456+05:00");
    for text in [
        "2026-03-14T09:30:00",
        "2026-03-14",
        "2026-06-30T23:59:60Z",
        "0000-01-01T00:00:00Z",
        "0001-01-01T00:00:00+05:00",
        "2026-02-30T00:00:00Z",
        "",
    ] {
        let refused = read::<DateTime<FixedOffset>>(&format!("{text:?}"));
        assert_eq!(refused, Err(" not-a-time".to_owned()), "{text}");
    }
    assert!(read::<NaiveDate>(r#""2024-02-29""#).is_ok());
    for text in ["2026-02-29", "2026-3-14", "+026-03-14", "14.03.2026", "0000-01-01", "2026-03-14T00:00:00Z"]
    {
        assert_eq!(read::<NaiveDate>(&format!("{text:?}")), Err(" not-a-date".to_owned()), "{text}");
    }
}

#[test]
fn texts_kept_whole_end_at_a_thousand_characters() {
    let text = |count: usize| read::<String>(&format!("\"{}\"", "қ".repeat(count)));
    assert!(text(1_000).is_ok());
    assert_eq!(text(1_001), Err(" too-long".to_owned()));
}

#[test]
fn the_schema_says_what_the_reader_does() {
    let schema = serde_json::to_value(Load::schema()).expect("a schema");
    assert_eq!(schema["additionalProperties"], false);
    assert_eq!(schema["description"], "A load.");
    assert_eq!(schema["required"], serde_json::json!(["logs"]));
    assert_eq!(schema["properties"]["logs"]["minItems"], 1);
    assert_eq!(schema["properties"]["logs"]["maxItems"], 3);
    assert_eq!(schema["properties"]["logs"]["description"], "The pieces.");
    let piece = serde_json::to_value(super::Piece::schema()).expect("a schema");
    assert!(piece["properties"]["type"].is_object(), "{piece}");
}
