//! Writes requests with the same content as the same bytes, so that the server can decide whether two
//! requests are equal.

use super::tree::Kind;
use super::{Document, Node, number};
use crate::base::error::Invalid;
use std::borrow::Cow;
use std::fmt::Write as _;

impl Document<'_> {
    /// Writes the content in a form in which insignificant differences disappear: the order of keys, spaces,
    /// escapes, and how a number is written (`0.330` and `33e-2` are equal). UUIDs are written in lower case,
    /// because some clients send them in capitals, and others change the case between two tries. The order of
    /// a list remains significant, and so does whether a member is `null` or absent.
    ///
    /// The result is JSON, but it is made for hashing, not for people: its numbers look odd.
    pub fn write_canonical(&self, out: &mut Vec<u8>) {
        let mut text = String::with_capacity(self.source.len() + self.decoded.len());
        write(self.root(), &mut text);
        out.extend_from_slice(text.as_bytes());
    }
}

impl Node<'_> {
    /// An object as JSON text, in the form of [`Document::write_canonical`]. Any other value is refused with
    /// `wrong-type`.
    pub fn json(self) -> Result<String, Invalid> {
        if self.kind() != Kind::Object {
            return Err(self.wrong_type("an object"));
        }
        let mut text = String::new();
        write(self, &mut text);
        Ok(text)
    }
}

fn write(node: Node<'_>, out: &mut String) {
    match node.kind() {
        Kind::Null => out.push_str("null"),
        Kind::True => out.push_str("true"),
        Kind::False => out.push_str("false"),
        Kind::Number => number::write_normal(node.raw(), out),
        Kind::Text | Kind::Decoded | Kind::Cell => write_string(&lower_uuids(node.raw()), out),
        Kind::List => {
            out.push('[');
            for (index, item) in node.items().into_iter().flatten().enumerate() {
                if index > 0 {
                    out.push(',');
                }
                write(item, out);
            }
            out.push(']');
        }
        Kind::Object => {
            let mut members: Vec<_> = node.members().into_iter().flatten().collect();
            members.sort_unstable_by_key(|(key, _)| *key);
            out.push('{');
            for (index, (key, value)) in members.into_iter().enumerate() {
                if index > 0 {
                    out.push(',');
                }
                write_string(key, out);
                out.push(':');
                write(value, out);
            }
            out.push('}');
        }
    }
}

/// Escapes only what JSON must: the quote, the backslash, and control characters.
fn write_string(text: &str, out: &mut String) {
    out.push('"');
    for stretch in text.split_inclusive(|character| matches!(character, '"' | '\\' | '\0'..='\x1F')) {
        match stretch.as_bytes() {
            [plain @ .., last @ (b'"' | b'\\' | 0..=0x1F)] => {
                out.push_str(&stretch[..plain.len()]);
                if *last < 0x20 {
                    // Writing to a String cannot fail.
                    let _ = write!(out, "\\u{last:04x}");
                } else {
                    out.push('\\');
                    out.push(char::from(*last));
                }
            }
            _ => out.push_str(stretch),
        }
    }
    out.push('"');
}

/// The text with every hyphenated UUID in it in lower case; a UUID ends where no letter, digit or hyphen
/// follows.
#[must_use]
pub fn lower_uuids(text: &str) -> Cow<'_, str> {
    if text.len() < UUID_LENGTH || !text.bytes().any(|byte| matches!(byte, b'A'..=b'F')) {
        return Cow::Borrowed(text);
    }
    let part_of_word = |character: char| character.is_alphanumeric() || character == '-';
    let words = text.split_inclusive(|character| !part_of_word(character));
    let lower = words.map(|word| {
        let bare = word.trim_end_matches(|character| !part_of_word(character));
        if is_uuid(bare) { Cow::Owned(word.to_ascii_lowercase()) } else { Cow::Borrowed(word) }
    });
    Cow::Owned(lower.collect())
}

const UUID_LENGTH: usize = 36;

fn is_uuid(text: &str) -> bool {
    text.len() == UUID_LENGTH
        && text.bytes().enumerate().all(|(at, byte)| match at {
            8 | 13 | 18 | 23 => byte == b'-',
            _ => byte.is_ascii_hexdigit(),
        })
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn a_uuid_has_one_form_in_either_case() {
        let form = |body: &str| {
            let mut out = Vec::new();
            Document::parse(body.as_bytes()).unwrap().write_canonical(&mut out);
            out
        };
        let small = r#"{"operation_id":"0199abcd-0000-7000-8000-00000000000f"}"#;
        assert_eq!(form(small), form(&small.replace("abcd", "ABCD").replace("00f", "00F")));
        assert_ne!(form(r#"{"note":"ABC"}"#), form(r#"{"note":"abc"}"#));
        let path = "/v1/felling-tickets/0199ABCD-0000-7000-8000-00000000000F/extend?X=0199ABCD";
        let lower = "/v1/felling-tickets/0199abcd-0000-7000-8000-00000000000f/extend?X=0199ABCD";
        assert_eq!(lower_uuids(path), lower);
        assert_eq!(
            lower_uuids("A0199ABCD-0000-7000-8000-00000000000F"),
            "A0199ABCD-0000-7000-8000-00000000000F"
        );
    }
}
