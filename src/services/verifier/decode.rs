//! Undoes what programs do to a file when they save or transfer it: a byte-order mark, or UTF-16. Used for the
//! file that is checked, for the memory and for the checkpoint of a copy of the register.
//!
//! Windows Notepad and PowerShell write such files. Hashes and signatures are over the texts in the file and
//! not over the file's own bytes, so they stay valid.

use std::borrow::Cow;

const NOT_UTF_16: &str = "the file begins like UTF-16, but is not UTF-16";

/// Formats that are often saved by mistake, by their first bytes: the page of a link, an archive, a list of files.
const FOREIGN: [(&[u8], &str); 6] = [
    (b"<", "a web page (HTML or XML)"),
    (b"[", "a list in JSON"),
    (b"\"", "a text in JSON"),
    (b"PK\x03\x04", "a ZIP archive or a spreadsheet"),
    (b"\x1f\x8b", "a file packed with gzip"),
    (b"%PDF", "a PDF"),
];

/// The format of a file that certainly cannot be checked, by its first bytes; `None` for all other files.
pub(super) fn foreign(data: &[u8]) -> Option<&'static str> {
    let at = data.iter().position(|byte| !b" \t\r\n".contains(byte))?;
    FOREIGN.iter().find(|(begin, _)| data[at..].starts_with(begin)).map(|(_, what)| *what)
}

/// The file in UTF-8 without a byte-order mark. Other content is returned unchanged.
///
/// # Errors
/// The file begins like UTF-16 but is not valid UTF-16.
pub(super) fn text(data: &[u8]) -> Result<Cow<'_, [u8]>, &'static str> {
    match data {
        [0xef, 0xbb, 0xbf, rest @ ..] => Ok(Cow::Borrowed(rest)),
        [0xff, 0xfe, rest @ ..] => utf_16(rest, u16::from_le_bytes),
        [0xfe, 0xff, rest @ ..] => utf_16(rest, u16::from_be_bytes),
        // UTF-16 without a byte-order mark. Every format that is checked begins with an ASCII character, so
        // one of the first two bytes is 0.
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
