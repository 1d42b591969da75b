//! Percent escapes in URLs, decoded strictly or leniently and encoded.

use percent_encoding::{AsciiSet, NON_ALPHANUMERIC, percent_decode_str, utf8_percent_encode};

/// The characters that are percent-encoded, because they could have a meaning in a URL: all except the
/// unreserved characters of RFC 3986, which are letters, digits and these four.
const SEGMENT: &AsciiSet = &NON_ALPHANUMERIC.remove(b'-').remove(b'.').remove(b'_').remove(b'~');

/// The decoded bytes; `None` if a `%` is not followed by two hexadecimal digits.
#[must_use]
pub fn decode(text: &str) -> Option<Vec<u8>> {
    let is_escape =
        |after: &str| after.get(..2).is_some_and(|two| two.bytes().all(|b| b.is_ascii_hexdigit()));
    let is_valid = text.match_indices('%').all(|(at, _)| is_escape(&text[at + 1..]));
    is_valid.then(|| percent_decode_str(text).collect())
}

/// The decoded text: a broken escape stays as it is, and bytes that are not UTF-8 become U+FFFD.
#[must_use]
pub fn decode_lossy(text: &str) -> String {
    percent_decode_str(text).decode_utf8_lossy().into_owned()
}

/// A text as one segment of a path.
#[must_use]
pub fn encode_segment(text: &str) -> String {
    utf8_percent_encode(text, SEGMENT).to_string()
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn broken_escapes_are_refused_or_kept() {
        for broken in ["%", "%4", "%4g", "a%zz", "%%41", "%é0"] {
            assert_eq!(decode(broken), None, "{broken}");
        }
        assert_eq!(decode("%41%d0%90").unwrap(), "AА".as_bytes());
        assert_eq!(decode_lossy("%4g%41%ff"), "%4gA\u{fffd}");
        assert_eq!(encode_segment("SN/1 ~\u{1d}"), "SN%2F1%20~%1D");
    }
}
