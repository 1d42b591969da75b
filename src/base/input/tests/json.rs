//! The JSON parser: its rules at their limits, and compared with `serde_json`.

use crate::base::error::{FieldError, Location};
use crate::base::input::{Document, Malformed};
use proptest::prelude::*;
use serde_json::Value;

fn malformed(body: impl AsRef<[u8]>) -> (&'static str, u64, String) {
    let malformed = Document::parse(body.as_ref()).expect_err("malformed");
    match malformed.at {
        Location::Cell { line, column } => (malformed.code, line, column),
        other => panic!("{other:?}"),
    }
}

fn canonical(body: &str) -> String {
    let mut bytes = Vec::new();
    Document::parse(body.as_bytes()).expect("well-formed").write_canonical(&mut bytes);
    String::from_utf8(bytes).expect("UTF-8")
}

#[test]
fn faults_of_form_have_line_character_and_code() {
    let cases: &[(&[u8], &str, u64, &str)] = &[
        (b"", "not-json", 1, "1"),
        (b" \n ", "not-json", 2, "2"),
        (b"{", "not-json", 1, "2"),
        (b"[1,]", "not-json", 1, "4"),
        (b"[1 2]", "not-json", 1, "4"),
        (b"{\"a\":1,}", "not-json", 1, "8"),
        (b"{a:1}", "not-json", 1, "2"),
        (b"{\"a\" 1}", "not-json", 1, "6"),
        (b"01", "not-json", 1, "2"),
        (b"-", "not-json", 1, "2"),
        (b"+1", "not-json", 1, "1"),
        (b".5", "not-json", 1, "1"),
        (b"1.", "not-json", 1, "3"),
        (b"1e", "not-json", 1, "3"),
        (b"1,5", "not-json", 1, "2"),
        (b"NaN", "not-json", 1, "1"),
        (b"tru", "not-json", 1, "1"),
        (b"truely", "not-json", 1, "5"),
        (b"'a'", "not-json", 1, "1"),
        (b"\"a", "not-json", 1, "1"),
        (b"\"a\\", "not-json", 1, "4"),
        (b"\"\\x\"", "not-json", 1, "3"),
        (b"\"\\u12g4\"", "not-json", 1, "6"),
        (b"\"a\tb\"", "not-json", 1, "3"),
        (b"\"a\nb\"", "not-json", 1, "3"),
        (b"{}{}", "not-json", 1, "3"),
        (b"// x\n1", "not-json", 1, "1"),
        (b"\"\0\"", "nul-character", 1, "2"),
        (b"[\0]", "nul-character", 1, "2"),
        (b"\"a\\u0000\"", "nul-character", 1, "3"),
        (b"{\"a\\u0000\": 1}", "nul-character", 1, "4"),
        (b"\"\\ud800\"", "lone-surrogate", 1, "2"),
        (b"\"\\ud800\\u0041\"", "lone-surrogate", 1, "2"),
        (b"\"\\udc00\"", "lone-surrogate", 1, "2"),
        (b"\xFF\xFE{\0}\0", "not-utf8", 1, "1"),
        (b"{\n \"\xD0\"}", "not-utf8", 2, "3"),
        ("[\n  \"Қарағай\", x]".as_bytes(), "not-json", 2, "14"),
        (b"{\"a\": 1,\n \"b\": 2, \"a\": 3}", "duplicate-key", 2, "10"),
        (b"{\"a\": 1, \"\\u0061\": 1}", "duplicate-key", 1, "10"),
        (b"[{\"x\": {\"a\": 1, \"a\": 1}}]", "duplicate-key", 1, "17"),
    ];
    for (body, code, line, column) in cases {
        assert_eq!(
            malformed(body),
            (*code, *line, (*column).to_owned()),
            "{}",
            String::from_utf8_lossy(body)
        );
    }
}

#[test]
fn a_fault_of_form_becomes_an_entry() {
    let entry = FieldError::from(Document::parse(b"{\"a\":1,\"a\":2}").expect_err("twice"));
    assert_eq!(entry.detail, "The key `a` appears twice in one object.");
    assert_eq!(entry.at, Location::Cell { line: 1, column: "8".to_owned() });
}

#[test]
fn keys_are_compared_in_objects_of_every_size() {
    for count in [1, 2, 31, 32, 33, 34, 500] {
        let keys: Vec<String> = (0..count).map(|key| format!("\"k{key}\": 0")).collect();
        let object = format!("{{{}}}", keys.join(","));
        assert!(Document::parse(object.as_bytes()).is_ok(), "{count}");
        for repeated in [0, count / 2, count - 1] {
            let object = format!("{{{}, \"k{repeated}\": 0}}", keys.join(","));
            let (code, _, column) = malformed(&object);
            let second = object.rfind(&format!("\"k{repeated}\"")).expect("there") + 1;
            assert_eq!((code, column), ("duplicate-key", second.to_string()), "{count}");
        }
    }
    assert!(Document::parse(br#"[{"a": {"a": 1}}, {"a": 1}]"#).is_ok(), "other objects' keys are their own");
}

#[test]
fn nesting_ends_at_32() {
    for (open, close) in [("[", "]"), ("{\"a\":", "}")] {
        let nested = |depth: usize| format!("{}1{}", open.repeat(depth), close.repeat(depth));
        assert!(Document::parse(nested(32).as_bytes()).is_ok());
        assert_eq!(malformed(nested(33)).0, "too-deep");
        assert_eq!(malformed(nested(100_000)).0, "too-deep");
        assert_eq!(malformed(open.repeat(100_000)).0, "too-deep");
    }
}

#[test]
fn values_are_counted() {
    let body = |count: usize| format!("[{}]", vec!["1"; count].join(","));
    assert!(Document::parse(body(499_999).as_bytes()).is_ok());
    assert_eq!(malformed(body(500_000)).0, "too-many-values");
    // 5 MB of the smallest values there are.
    assert_eq!(malformed(body(2_500_000)).0, "too-many-values");
}

#[test]
fn a_byte_order_mark_is_passed_over() {
    assert!(Document::parse("\u{FEFF}{}".as_bytes()).is_ok());
    assert_eq!(malformed("\u{FEFF}\u{FEFF}{}").0, "not-json");
}

#[test]
fn escapes_become_their_characters() {
    let body = r#"["\"\\\/\b\f\n\r\t", "\u049a\u0430\u0440аға\u0439", "\uD83C\uDF32 сосна", "a\u001db"]"#;
    let document = Document::parse(body.as_bytes()).expect("well-formed");
    let texts: Vec<String> = document.read().expect("strings");
    assert_eq!(texts, ["\"\\/\u{8}\u{C}\n\r\t", "Қарағай", "🌲 сосна", "a\u{1D}b"]);
}

#[test]
fn five_megabytes_of_logs_are_read() {
    let log =
        r#"{"seal_number": "KZ-00000001", "kind": "log", "species": "pinus_sylvestris", "wood": "commercial",
        "assortment": "saw_log", "grade": 2, "length_m": 6.10, "top_diameter_cm": 24.5, "volume_m3": 0.3300,
        "measurement_method": "gost_2708_75", "occurred_at": "2026-03-14T09:30:00+05:00",
        "position": {"lat": 50.4112345, "lon": 80.2271234, "accuracy_m": 5}, "note": "FILL"}"#
            .replace("FILL", &"x".repeat(620));
    let body = format!("{{\"logs\": [{}]}}", vec![log; 5_000].join(","));
    assert!((4_900_000..5_600_000).contains(&body.len()), "{}", body.len());
    let document = Document::parse(body.as_bytes()).expect("well-formed");
    let logs = document.root().get("logs").expect("logs");
    assert_eq!(logs.items().expect("a list").len(), 5_000);
    let last = logs.items().expect("a list").last().expect("some");
    let lon = last.get("position").and_then(|position| position.get("lon")).expect("lon");
    assert_eq!(lon.at(), Location::Pointer("/logs/4999/position/lon".to_owned()));
    assert_eq!(lon.number().expect("a number"), "80.2271234");
}

#[test]
fn canonical_bytes_forget_form_and_keep_content() {
    assert_eq!(
        canonical(r#" {"b" : [1, true,null ], "a\u0062": "\u0441осна\n\"\\", "a": {}} "#),
        "{\"a\":{},\"ab\":\"сосна\\u000a\\\"\\\\\",\"b\":[1,true,null]}"
    );
    for (one, other) in [
        ("0.33", "0.330"),
        ("0.33", "33e-2"),
        ("1", "1.0"),
        ("100", "1E2"),
        ("0", "-0.00e7"),
        ("-1.5", "-15e-1"),
        ("1e999999999", "10e999999998"),
    ] {
        assert_eq!(canonical(one), canonical(other));
    }
    for (one, other) in [
        ("0.33", "0.331"),
        ("1", "-1"),
        ("1", "\"1\""),
        ("10", "1"),
        ("0.1", "0.01"),
        ("[1,2]", "[2,1]"),
        ("{\"a\":null}", "{}"),
        ("9007199254740993", "9007199254740992"),
        ("1e99999999999999999999", "1e99999999999999999998"),
    ] {
        assert_ne!(canonical(one), canonical(other));
    }
}

/// Values as JSON text, with odd spacing and every sort of number.
fn json() -> impl Strategy<Value = String> {
    let leaf = prop_oneof![
        Just("null".to_owned()),
        any::<bool>().prop_map(|word| word.to_string()),
        "-?(0|[1-9][0-9]{0,20})(\\.[0-9]{1,5})?([eE][+-]?[0-9]{1,2})?",
        ".{0,8}".prop_map(|text| serde_json::to_string(&text).expect("a string")),
    ];
    leaf.prop_recursive(5, 64, 6, |inner| {
        let key = "[a-z\\\\\"é]{0,3}".prop_map(|key: String| serde_json::to_string(&key).expect("a string"));
        prop_oneof![
            prop::collection::vec(inner.clone(), 0..6).prop_map(|items| format!("[ {}]", items.join(" ,"))),
            prop::collection::vec((key, inner), 0..6).prop_map(|members| {
                let members: Vec<_> =
                    members.into_iter().map(|(key, value)| format!("{key} :{value}")).collect();
                format!("{{{}\n}}", members.join(",\t"))
            }),
        ]
    })
}

/// Intended differences from `serde_json`: duplicate keys, NUL and nesting beyond 32 are refused; numbers
/// beyond f64 and a byte order mark are accepted.
fn compare(body: &[u8]) -> Result<(), TestCaseError> {
    let reference = serde_json::from_slice::<Value>(body);
    match (Document::parse(body), reference) {
        (Ok(document), Ok(value)) => {
            let mut canonical_bytes = Vec::new();
            document.write_canonical(&mut canonical_bytes);
            let again: Value = serde_json::from_slice(&canonical_bytes)
                .map_err(|error| TestCaseError::fail(format!("canonical form is no JSON: {error}")))?;
            prop_assert!(same(&again, &value), "{again} is not {value}");
        }
        (Err(Malformed { code, .. }), Ok(_)) => {
            prop_assert!(matches!(code, "duplicate-key" | "nul-character" | "too-deep"), "{code}");
        }
        (Ok(_), Err(error)) => {
            let bom = body.starts_with(b"\xEF\xBB\xBF");
            prop_assert!(bom || error.to_string().contains("number out of range"), "{error}");
        }
        (Err(_), Err(_)) => {}
    }
    Ok(())
}

/// Numbers may differ in their last binary digit: our parser writes a number with another exponent than the
/// body, and converting the two texts to a double can round differently.
fn same(one: &Value, other: &Value) -> bool {
    match (one, other) {
        (Value::Number(one), Value::Number(other)) => match (one.as_f64(), other.as_f64()) {
            (Some(one), Some(other)) => (one - other).abs() <= one.abs() * 1e-15,
            _ => false,
        },
        (Value::Array(one), Value::Array(other)) => {
            one.len() == other.len() && one.iter().zip(other).all(|(one, other)| same(one, other))
        }
        (Value::Object(one), Value::Object(other)) => {
            one.len() == other.len()
                && one.iter().all(|(key, value)| other.get(key).is_some_and(|other| same(value, other)))
        }
        _ => one == other,
    }
}

proptest! {
    #[test]
    fn agrees_with_serde_on_json(body in json()) {
        compare(body.as_bytes())?;
    }

    #[test]
    fn agrees_with_serde_on_damaged_json(
        body in json(),
        index in any::<prop::sample::Index>(),
        damage in prop_oneof![any::<u8>(), Just(b'"'), Just(b','), Just(b'}'), Just(b'\\'), Just(b'0')],
        insert in any::<bool>(),
    ) {
        let mut bytes = body.into_bytes();
        let index = index.index(bytes.len());
        if insert { bytes.insert(index, damage) } else { bytes[index] = damage }
        compare(&bytes)?;
    }

    #[test]
    fn agrees_with_serde_on_noise(body in "[\\[\\]{}\",:\\\\ua0-9eE.+\\-tfn \u{0}\u{e9}]{0,24}") {
        compare(body.as_bytes())?;
    }

    #[test]
    fn survives_any_bytes(bytes in prop::collection::vec(any::<u8>(), 0..200)) {
        compare(&bytes)?;
    }

    #[test]
    fn canonical_bytes_do_not_change_when_written_again(body in json()) {
        if let Ok(document) = Document::parse(body.as_bytes()) {
            let mut once = Vec::new();
            document.write_canonical(&mut once);
            let mut twice = Vec::new();
            Document::parse(&once).expect("well-formed").write_canonical(&mut twice);
            prop_assert_eq!(once, twice);
        }
    }
}
