//! The canonical text of hashed content: JCS (RFC 8785) over typed structs.
//!
//! Numbers in hashed content are small integers only; decimals are strings in
//! minimal form, because JCS numbers are doubles. A float panics here, so a
//! struct that holds one fails its first test.

use serde::Serialize;
use serde_json::Value;
use std::fmt::Write;

/// Writes `content` in canonical form: members sorted, no spaces, minimal escapes.
///
/// # Panics
/// If `content` holds a float or a map with keys that are not strings: a bug in
/// the program; input data cannot cause it.
#[must_use]
pub fn text<T: Serialize>(content: &T) -> String {
    let value = serde_json::to_value(content).expect("hashed content serialises");
    let mut out = String::with_capacity(512);
    write_value(&value, &mut out);
    out
}

fn write_value(value: &Value, out: &mut String) {
    match value {
        Value::Null => out.push_str("null"),
        Value::Bool(flag) => out.push_str(if *flag { "true" } else { "false" }),
        Value::Number(number) => {
            let number = number.as_i64().expect("hashed numbers are integers");
            let _ = write!(out, "{number}");
        }
        Value::String(text) => write_string(text, out),
        Value::Array(items) => {
            out.push('[');
            for (index, item) in items.iter().enumerate() {
                if index > 0 {
                    out.push(',');
                }
                write_value(item, out);
            }
            out.push(']');
        }
        Value::Object(members) => {
            // The members are sorted here, because serde_json keeps insertion order if any crate enables
            // `preserve_order`.
            let mut members: Vec<_> = members.iter().collect();
            members.sort_by(|a, b| a.0.encode_utf16().cmp(b.0.encode_utf16()));
            out.push('{');
            for (index, (name, member)) in members.into_iter().enumerate() {
                if index > 0 {
                    out.push(',');
                }
                write_string(name, out);
                out.push(':');
                write_value(member, out);
            }
            out.push('}');
        }
    }
}

fn write_string(text: &str, out: &mut String) {
    out.push('"');
    for c in text.chars() {
        match c {
            '"' => out.push_str("\\\""),
            '\\' => out.push_str("\\\\"),
            '\u{8}' => out.push_str("\\b"),
            '\t' => out.push_str("\\t"),
            '\n' => out.push_str("\\n"),
            '\u{c}' => out.push_str("\\f"),
            '\r' => out.push_str("\\r"),
            c if c < ' ' => {
                let _ = write!(out, "\\u{:04x}", u32::from(c));
            }
            c => out.push(c),
        }
    }
    out.push('"');
}

#[cfg(test)]
mod tests {
    use super::text;
    use serde_json::json;

    #[test]
    fn members_are_sorted_and_nothing_else_is_touched() {
        let value = json!({"b": "Семей \"орманы\"\n", "a": {"z": 1, "y": [true, null, -3]}, "\u{e9}": "€", "A": "\u{1}"});
        assert_eq!(
            text(&value),
            "{\"A\":\"\\u0001\",\"a\":{\"y\":[true,null,-3],\"z\":1},\"b\":\"Семей \\\"орманы\\\"\\n\",\"é\":\"€\"}"
        );
    }

    #[test]
    fn utf16_order_differs_from_utf8_order_and_wins() {
        // RFC 8785, 3.2.3: U+1F600 (surrogates D83D…) sorts before U+FB33.
        assert_eq!(text(&json!({"\u{fb33}": 1, "\u{1f600}": 2})), "{\"\u{1f600}\":2,\"\u{fb33}\":1}");
    }

    #[test]
    #[should_panic(expected = "integers")]
    fn a_float_never_gets_hashed() {
        let _ = text(&json!({"volume_m3": 0.33}));
    }
}
