//! Encodings of CSV bodies.

use super::Malformed;
use std::borrow::Cow;

/// Where KZ-1048 (STRK 1048-2002) differs from windows-1251: the letters of Kazakh.
const KZ_1048: [(u8, char); 16] = [
    (0x8D, 'Қ'),
    (0x8E, 'Һ'),
    (0x9D, 'қ'),
    (0x9E, 'һ'),
    (0xA1, 'Ұ'),
    (0xA2, 'ұ'),
    (0xA3, 'Ә'),
    (0xA5, 'Ө'),
    (0xAA, 'Ғ'),
    (0xAF, 'Ү'),
    (0xB4, 'ө'),
    (0xBA, 'ғ'),
    (0xBC, 'ә'),
    (0xBD, 'Ң'),
    (0xBE, 'ң'),
    (0xBF, 'ү'),
];

/// The names of KZ-1048 that IANA registers, in lower case.
const KZ_1048_NAMES: [&str; 5] = ["kz-1048", "kz1048", "strk1048-2002", "rk1048", "cskz1048"];

/// The text of a CSV body. `charset` is that of the content type.
///
/// - A byte order mark means UTF-8, whatever the content type says.
/// - A declared `utf-8`, `windows-1251` or `kz-1048` is used.
/// - Without either it is UTF-8. Bytes that are not UTF-8 are read as windows-1251, but only if no valid
///   multi-byte sequence of UTF-8 occurs: one broken byte must not turn every name of a table into
///   other letters.
///
/// # Errors
/// `unknown-charset`, `not-utf8`.
pub(super) fn decode<'b>(bytes: &'b [u8], charset: Option<&str>) -> Result<Cow<'b, str>, Malformed> {
    let marked = bytes.strip_prefix(b"\xEF\xBB\xBF");
    let declared = charset.map(str::to_ascii_lowercase);
    let encoding = match declared.as_deref() {
        None => None,
        Some(name) if KZ_1048_NAMES.contains(&name) => Some(Declared::Kz1048),
        Some(name) => match encoding_rs::Encoding::for_label(name.as_bytes()) {
            Some(known) if known == encoding_rs::UTF_8 => Some(Declared::Utf8),
            Some(known) if known == encoding_rs::WINDOWS_1251 => Some(Declared::Windows1251),
            _ => {
                let detail = "The charset must be utf-8, windows-1251 or kz-1048.";
                return Err(Malformed::in_text(b"", 0, "unknown-charset", detail));
            }
        },
    };
    if marked.is_none() {
        match encoding {
            Some(Declared::Windows1251) => return Ok(windows_1251(bytes)),
            Some(Declared::Kz1048) => {
                return Ok(Cow::Owned(bytes.iter().map(|byte| kz_1048(*byte)).collect()));
            }
            Some(Declared::Utf8) | None => {}
        }
    }
    let text = marked.unwrap_or(bytes);
    match std::str::from_utf8(text) {
        Ok(text) => Ok(Cow::Borrowed(text)),
        Err(_) if encoding.is_none() && marked.is_none() && !has_multi_byte_sequence(bytes) => {
            Ok(windows_1251(bytes))
        }
        Err(error) => {
            let detail = "This is not valid UTF-8. If the file is in another encoding, name it in the content \
                          type: `text/csv; charset=windows-1251` or `charset=kz-1048`.";
            Err(Malformed::in_text(text, error.valid_up_to(), "not-utf8", detail))
        }
    }
}

#[derive(Clone, Copy, PartialEq, Eq)]
enum Declared {
    Utf8,
    Windows1251,
    Kz1048,
}

/// Whether some part of the bytes is a character of two or more bytes in UTF-8.
fn has_multi_byte_sequence(bytes: &[u8]) -> bool {
    bytes.utf8_chunks().any(|chunk| !chunk.valid().is_ascii())
}

fn windows_1251(bytes: &[u8]) -> Cow<'_, str> {
    encoding_rs::WINDOWS_1251.decode_without_bom_handling(bytes).0
}

fn kz_1048(byte: u8) -> char {
    if byte.is_ascii() {
        return char::from(byte);
    }
    match KZ_1048.binary_search_by_key(&byte, |(code, _)| *code) {
        Ok(index) => KZ_1048[index].1,
        Err(_) => windows_1251(&[byte]).chars().next().unwrap_or(char::REPLACEMENT_CHARACTER),
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn one_broken_byte_does_not_change_the_encoding_of_a_table() {
        let mut bytes = "name\nОспанов Ерла".as_bytes().to_vec();
        bytes.push(0xD0);
        let error = decode(&bytes, None).unwrap_err();
        assert_eq!(error.code, "not-utf8");
        assert_eq!(error.at, crate::base::error::Location::Cell { line: 2, column: "13".into() });
        // A declared encoding is used even for bytes that are mostly UTF-8.
        assert!(decode(&bytes, Some("windows-1251")).unwrap().starts_with("name\nРћ"));
        // No multi-byte sequence of UTF-8: windows-1251.
        assert_eq!(decode(b"\xCE\xF1\xEF\xE0\xED\xEE\xE2", None).unwrap(), "Оспанов");
    }

    #[test]
    fn kz_1048_has_the_letters_of_kazakh() {
        let bytes: Vec<u8> = (0x80..=0xFF).collect();
        let text = decode(&bytes, Some("KZ-1048")).unwrap();
        assert_eq!(text.chars().count(), 128);
        for letter in "ӘәҒғҚқҢңӨөҰұҮүҺһІіЁё".chars() {
            assert_eq!(text.chars().filter(|other| *other == letter).count(), 1, "{letter}");
        }
        for name in KZ_1048_NAMES {
            assert_eq!(decode(b"\xA3\xE9\xE3\xE5\xF0\xB3\xEC", Some(name)).unwrap(), "Әйгерім");
        }
        assert_eq!(decode(b"x", Some("koi8-r")).unwrap_err().code, "unknown-charset");
    }
}
