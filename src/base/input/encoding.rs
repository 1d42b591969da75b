//! Encodings of CSV bodies.

use super::Malformed;
use std::borrow::Cow;

/// The bytes to which KZ-1048 (STRK 1048-2002) gives another letter than windows-1251. All of these letters
/// are letters that Kazakh has and Russian lacks.
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
/// - Without a byte order mark or a declared encoding, the text is UTF-8. Bytes that are not UTF-8 are read
///   as windows-1251, but only if no valid multi-byte sequence of UTF-8 occurs: one broken byte must not turn
///   every name of a table into other letters.
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
            Some(Declared::Windows1251) => return table_of_windows_1251(bytes),
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
            table_of_windows_1251(bytes)
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

/// Reads a table as windows-1251. Refuses letters such as `ї` and `є`, because KZ-1048 has Kazakh letters at
/// the same bytes: a name such as `Айгүл` would be stored as `Айгїл`. Serbian and Macedonian letters, which
/// KZ-1048 replaces too, are refused only in names (`lost_letters`).
fn table_of_windows_1251(bytes: &[u8]) -> Result<Cow<'_, str>, Malformed> {
    let text = windows_1251(bytes);
    let Some(at) = text.find(['Ґ', 'ґ', 'Є', 'є', 'Ў', 'ў', 'Ї', 'ї']) else { return Ok(text) };
    let detail = "Read as windows-1251, this letter is neither Kazakh nor Russian (such as `ї` or `є`), so the file \
                  is probably in KZ-1048, or in UTF-8. Send KZ-1048 with `text/csv; charset=kz-1048`, or send UTF-8.";
    Err(Malformed::in_text(text.as_bytes(), at, "not-utf8", detail))
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
        let declared = decode(b"name\n\xD0\x90\xD0\x9E\xD0", Some("windows-1251"));
        assert!(declared.unwrap().starts_with("name\nРђРћ"));
        // No multi-byte sequence of UTF-8: windows-1251.
        assert_eq!(decode(b"\xCE\xF1\xEF\xE0\xED\xEE\xE2", None).unwrap(), "Оспанов");
    }

    #[test]
    fn a_table_with_letters_that_kz_1048_would_give_is_refused() {
        // `Айгүл Сағатова` in KZ-1048.
        let bytes = b"name\n\xC0\xE9\xE3\xBF\xEB \xD1\xE0\xBA\xE0\xF2\xEE\xE2\xE0";
        for charset in [None, Some("windows-1251"), Some("CP1251")] {
            let error = decode(bytes, charset).unwrap_err();
            assert_eq!(error.code, "not-utf8", "{charset:?}");
            assert!(error.detail.contains("charset=kz-1048"), "{}", error.detail);
            assert_eq!(error.at, crate::base::error::Location::Cell { line: 2, column: "4".into() });
        }
        assert_eq!(decode(bytes, Some("kz-1048")).unwrap(), "name\nАйгүл Сағатова");
        for letter in "ҐґЄєЎўЇї".chars() {
            let text = format!("name\n{letter}");
            let bytes = encoding_rs::WINDOWS_1251.encode(&text).0.into_owned();
            assert!(decode(&bytes, None).is_err(), "{letter}");
            assert_eq!(decode(text.as_bytes(), None).unwrap(), text);
        }
        assert_eq!(decode(b"\xB2\xB3\xA8", Some("windows-1251")).unwrap(), "ІіЁ");
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
