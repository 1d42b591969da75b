//! One byte form per content, to decide whether two requests are equal.

use super::tree::Kind;
use super::{Document, Node, number};
use crate::base::error::Invalid;
use std::fmt::Write as _;

impl Document<'_> {
    /// Writes the content so that insignificant differences vanish: the order of keys, spaces, escapes,
    /// and how a number is written (`0.330` and `33e-2` are equal). It is JSON, but made for hashing, not
    /// for people: numbers look odd. The order of a list, and `null` against absence, are significant.
    pub fn write_canonical(&self, out: &mut Vec<u8>) {
        let mut text = String::with_capacity(self.source.len() + self.decoded.len());
        write(self.root(), &mut text);
        out.extend_from_slice(text.as_bytes());
    }
}

impl Node<'_> {
    /// An object as JSON text, in the form of [`Document::write_canonical`]. Else `wrong-type`.
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
        Kind::Text | Kind::Decoded | Kind::Cell => write_string(node.raw(), out),
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
