//! Undoes what programs do to a file when they save or transfer it: a byte-order mark, or UTF-16.
//!
//! Windows Notepad and PowerShell write these. What is hashed and signed are texts and not the bytes of
//! the file around them, so nothing is lost.

use std::borrow::Cow;

const NOT_UTF_16: &str = "the file begins like UTF-16, but is not UTF-16";

/// The file in UTF-8 without a byte-order mark. Other content is returned unchanged.
///
/// # Errors
/// If it begins like UTF-16 and is not.
pub(super) fn text(data: &[u8]) -> Result<Cow<'_, [u8]>, &'static str> {
    match data {
        [0xef, 0xbb, 0xbf, rest @ ..] => Ok(Cow::Borrowed(rest)),
        [0xff, 0xfe, rest @ ..] => utf_16(rest, u16::from_le_bytes),
        [0xfe, 0xff, rest @ ..] => utf_16(rest, u16::from_be_bytes),
        // Without a mark: each format here begins with an ASCII character.
        [1..=u8::MAX, 0, ..] => utf_16(data, u16::from_le_bytes),
        [0, 1..=u8::MAX, ..] => utf_16(data, u16::from_be_bytes),
        _ => Ok(Cow::Borrowed(data)),
    }
}

fn utf_16(data: &[u8], unit: impl Fn([u8; 2]) -> u16) -> Result<Cow<'_, [u8]>, &'static str> {
    let (units, []) = data.as_chunks() else { return Err(NOT_UTF_16) };
    let text: Result<String, _> = char::decode_utf16(units.iter().copied().map(unit)).collect();
    text.map(|text| Cow::Owned(text.into_bytes())).map_err(|_| NOT_UTF_16)
}
