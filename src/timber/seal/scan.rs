//! Reads marking codes as scanners, phones and people actually send them.
//!
//! The repairs do not guess. Each repair turns a text into one or a few candidates; a code is
//! returned only if all candidates that are valid codes are the same code.

use super::gs1::{self, Element, GS, Gtin};
use super::marking_code::{
    CodeError, Identification, KEY_ID_LENGTH, MAX_INPUT, MAX_SERIAL, MarkingCode, SIGNATURE_LENGTHS, assemble,
};
use super::written;
use crate::base::percent;

/// Prefixes that readers put before the data: symbology identifiers of GS1 DataMatrix,
/// GS1-128 and GS1 QR (ISO/IEC 15424), and an FNC1 output as a character.
const PREFIXES: [&str; 7] = ["]d2", "]C1", "]c1", "]Q3", "]q3", "]e0", "\u{e8}"];

/// Reads a code that is to be registered: as [`read`], but rejects three things inside the code:
/// - a separator that is written out as text (such as `<1D>`), because the real seal would look forged when
///   it is scanned if this text were registered as part of the serial;
/// - a blank, because it may stand for a separator or for nothing;
/// - an invisible character, because the seal does not have it.
pub(super) fn read_for_registration(text: &str) -> Result<MarkingCode, CodeError> {
    let code = read(text);
    let signature = code.as_ref().ok().and_then(MarkingCode::signature).unwrap_or_default();
    // The signature is not searched: it is long enough to contain the text of a separator by chance.
    let unsigned = if signature.is_empty() { text.to_owned() } else { text.replace(signature, "") };
    let inside = unsigned.trim_matches(|c: char| c.is_whitespace() || c.is_control() || gs1::is_invisible(c));
    // The text of a link is not searched here, because the slashes of its path separate the elements; the
    // values in it are searched below.
    let is_link = inside.contains("://");
    if !is_link && written::with_words_replaced(&written::separated(inside)).is_some() {
        return Err(CodeError::SeparatorWrittenOut);
    }
    let code = code?;
    let elements = gs1::elements(code.as_str())?;
    // A written separator that was percent-encoded in a link appears only in the decoded values.
    let mut values = elements.iter().filter(|e| !matches!(e.ai, "91" | "92")).map(|e| e.value);
    if values.any(|value| written::with_separators(value).is_some()) {
        return Err(CodeError::SeparatorWrittenOut);
    }
    if inside.contains(char::is_whitespace) {
        return Err(CodeError::Character(' '));
    }
    match inside.chars().find(|c| gs1::is_invisible(*c)) {
        Some(invisible) => Err(CodeError::Character(invisible)),
        None => Ok(code),
    }
}

/// Reads a code; see [`MarkingCode::parse`].
pub(super) fn read(text: &str) -> Result<MarkingCode, CodeError> {
    if text.len() > MAX_INPUT {
        return Err(CodeError::TooLong);
    }
    if let Ok(code) = MarkingCode::parse_strict(text) {
        return Ok(code);
    }
    let seen: String = text.chars().filter(|c| !gs1::is_invisible(*c)).collect();
    let seen = seen.trim_matches(|c: char| c.is_whitespace() || (c.is_control() && c != GS));
    if seen.trim_matches(GS).is_empty() {
        return Err(CodeError::Empty);
    }
    let plain = read_form(seen);
    if plain.is_ok() || !seen.chars().any(is_cyrillic) {
        return plain;
    }
    // A text with Latin and Cyrillic letters does not come from a wrong layout, because one layout types
    // letters of only one alphabet.
    if seen.chars().any(|c| c.is_ascii_alphabetic()) {
        return Err(CodeError::Layout);
    }
    let russian = retyped(seen, russian_key).map(|text| read_form(&text));
    let kazakh = retyped(seen, kazakh_key).map(|text| read_form(&text));
    one_of([russian, kazakh].into_iter().flatten()).map_err(|error| match error {
        CodeError::Ambiguous | CodeError::GtinCheckDigit { .. } | CodeError::SeparatorLost => error,
        _ => CodeError::Layout,
    })
}

/// The one code that the readings agree on; the first error if no reading is a code.
fn one_of(
    readings: impl IntoIterator<Item = Result<MarkingCode, CodeError>>,
) -> Result<MarkingCode, CodeError> {
    let mut found: Option<MarkingCode> = None;
    let mut refusal = None;
    for reading in readings {
        match reading {
            Ok(code) if found.as_ref().is_none_or(|earlier| *earlier == code) => found = Some(code),
            Ok(_) | Err(CodeError::Ambiguous) => return Err(CodeError::Ambiguous),
            Err(error) => refusal = refusal.or(Some(error)),
        }
    }
    found.ok_or(refusal.unwrap_or(CodeError::Unrecognised))
}

/// Reads a web address or an element string that is in Latin letters.
fn read_form(text: &str) -> Result<MarkingCode, CodeError> {
    let text = gs1::without_symbology(text);
    if let Some(path) = after_host(text) {
        return read_link(path);
    }
    let elements = read_elements(text);
    if elements.is_err() && !text.starts_with("01") && !text.contains("://") && text.contains("/01/") {
        // The text may be a link without its scheme, or only the path of one. It is read as an element string
        // first, because a signature may contain `/01/` too.
        return read_link(text);
    }
    let refusal = match elements {
        Ok(code) => return Ok(code),
        Err(refusal) => refusal,
    };
    // Words such as `FNC1` are read as separators only if the unchanged text is no code, because they may be
    // part of a serial.
    let separated = written::with_words_replaced(&written::separated(text)).map(|text| read_elements(&text));
    separated.and_then(Result::ok).ok_or(refusal)
}

fn read_elements(text: &str) -> Result<MarkingCode, CodeError> {
    let mut text = written::separated(text);
    while let Some(rest) = PREFIXES.iter().find_map(|p| text.strip_prefix(p)).or(text.strip_prefix(GS)) {
        text = rest.to_owned();
    }
    // White space is either a line break within the code, or a separator that was converted to white space.
    // Both readings are tried.
    if text.contains(char::is_whitespace) {
        let joined: String = text.split_whitespace().collect();
        let separated: String = text.split_whitespace().collect::<Vec<_>>().join("\u{1d}");
        return match (read_placed(&joined), read_placed(&separated)) {
            // With the white space read as a separator, the end of the code is missing. With the white space
            // removed, the text would be accepted as an unsigned code with a longer serial. So the error of
            // the first reading is returned.
            (
                Ok(code),
                Err(
                    cut @ (CodeError::SignatureIncomplete
                    | CodeError::SignatureLength(_)
                    | CodeError::KeyIdLength(_)),
                ),
            ) if code.signature().is_none() => Err(cut),
            (joined, separated) => one_of([joined, separated]),
        };
    }
    read_placed(&text)
}

fn read_placed(text: &str) -> Result<MarkingCode, CodeError> {
    let bracketed = text.starts_with('(');
    let strict = if bracketed { Err(CodeError::Unrecognised) } else { MarkingCode::parse_strict(text) };
    let Err(refusal) = strict else { return strict };
    let mut search = Search { text, bracketed, found: None, many: false };
    search.step(0, &mut Vec::new());
    if search.many {
        return Err(CodeError::Ambiguous);
    }
    if let Some(code) = search.found {
        return Ok(code);
    }
    Err(match refusal {
        CodeError::UnknownElement(_) if !text.starts_with("01") => CodeError::Unrecognised,
        CodeError::Long { ai, .. } if ai == "21" && !text.contains(GS) => CodeError::SeparatorLost,
        other => other,
    })
}

/// Tries every way to split a text into the elements `01`, `21`, `91` and `92`, each at most once and with an
/// allowed length, with or without separators between them. The search is small: only the serial has many
/// possible lengths, and for each of them at most four endings are possible.
struct Search<'a> {
    text: &'a str,
    bracketed: bool,
    found: Option<MarkingCode>,
    many: bool,
}

impl<'a> Search<'a> {
    fn step(&mut self, at: usize, path: &mut Vec<Element<'a>>) {
        let text = self.text;
        let rest = text[at..].trim_start_matches(GS);
        if rest.is_empty() {
            if let Ok(code) = assemble(path) {
                self.many |= self.found.as_ref().is_some_and(|earlier| *earlier != code);
                self.found = Some(code);
            }
            return;
        }
        let opener = if self.bracketed { rest.get(1..3) } else { rest.get(..2) };
        let Some(ai) = opener.filter(|ai| matches!(*ai, "01" | "21" | "91" | "92")) else { return };
        if path.iter().any(|e| e.ai == ai)
            || (self.bracketed && !(rest.starts_with('(') && rest.as_bytes().get(3) == Some(&b')')))
        {
            return;
        }
        let body = &rest[if self.bracketed { 4 } else { 2 }..];
        let begin = text.len() - body.len();
        let lengths: &mut dyn Iterator<Item = usize> = match ai {
            "01" => &mut std::iter::once(14),
            "21" => &mut (1..=MAX_SERIAL),
            "91" => &mut std::iter::once(KEY_ID_LENGTH),
            _ => &mut SIGNATURE_LENGTHS.into_iter(),
        };
        for length in lengths {
            let Some(value) = body.get(..length) else { break };
            if !value.bytes().all(gs1::is_value_byte) || (ai == "01" && Gtin::parse(value).is_err()) {
                break;
            }
            path.push(Element { ai, value });
            self.step(begin + length, path);
            path.pop();
        }
    }
}

/// The rest of a URL after `http://host` or `https://host`, in upper or lower case.
pub(super) fn after_host(text: &str) -> Option<&str> {
    let (scheme, rest) = text.split_once("://")?;
    let web = scheme.eq_ignore_ascii_case("https") || scheme.eq_ignore_ascii_case("http");
    web.then(|| rest.find('/').map_or("", |at| &rest[at..]))
}

/// Finds `/01/{gtin}/21/{serial}` in the path of a GS1 Digital Link. The segments before `/01/` belong to the
/// site; other qualifiers may be between `{gtin}` and `/21/`; query and fragment do not identify the seal.
fn read_link(address: &str) -> Result<MarkingCode, CodeError> {
    let path = address.split(['?', '#']).next().unwrap_or_default();
    let segments: Vec<&str> = path.trim_end_matches('/').split('/').collect();
    let readings = segments.iter().enumerate().filter(|(_, s)| **s == "01").filter_map(|(at, _)| {
        let pairs = segments[at..].chunks(2).map(|pair| pair.get(1).map(|value| (pair[0], *value)));
        let pairs: Vec<(&str, &str)> = pairs.collect::<Option<_>>()?;
        let digits = |key: &str| !key.is_empty() && key.bytes().all(|b| b.is_ascii_digit());
        let serial = pairs.iter().find(|(key, _)| *key == "21")?.1;
        if !pairs.iter().all(|(key, _)| digits(key)) {
            return None;
        }
        Some(percent_decoded(pairs[0].1).and_then(|gtin| {
            let identification = Identification::from_parts(&gtin, &percent_decoded(serial)?)?;
            Ok(MarkingCode::unsigned(&identification))
        }))
    });
    one_of(readings).map_err(|error| if error == CodeError::Unrecognised { CodeError::Link } else { error })
}

/// RFC 3986 percent-decoding; in a path, `+` is a literal plus sign.
pub(super) fn percent_decoded(text: &str) -> Result<String, CodeError> {
    let bytes = percent::decode(text).ok_or(CodeError::PercentEncoding)?;
    String::from_utf8(bytes).map_err(|_| CodeError::PercentEncoding)
}

fn is_cyrillic(c: char) -> bool {
    matches!(c, '\u{400}'..='\u{52f}')
}

/// Converts a text typed under another layout to what the US layout would have typed.
/// `None` if a character is on no key of that layout.
fn retyped(text: &str, key: fn(char) -> Option<char>) -> Option<String> {
    text.chars().map(|c| if c == GS || c.is_whitespace() { Some(c) } else { key(c) }).collect()
}

/// The US key of a letter. The 32 letters of `LOWER` (all but `ё`) are on the same keys in the Russian and
/// Kazakh layouts.
fn letter_key(c: char) -> Option<char> {
    const LOWER: &str = "йцукенгшщзхъфывапролджэячсмитьбю";
    const KEYS: &str = "qwertyuiop[]asdfghjkl;'zxcvbnm,.";
    const SHIFTED: &str = "QWERTYUIOP{}ASDFGHJKL:\"ZXCVBNM<>";
    let lower = c.to_lowercase().next()?;
    let at = LOWER.chars().position(|letter| letter == lower)?;
    if lower == c { KEYS.chars().nth(at) } else { SHIFTED.chars().nth(at) }
}

/// The US key on which `c` is in the Russian layout of Windows and of X11 (`ru(winkeys)`).
fn russian_key(c: char) -> Option<char> {
    Some(match c {
        '.' => '/',
        ',' => '?',
        '"' => '@',
        '№' => '#',
        ';' => '$',
        ':' => '^',
        '?' => '&',
        '/' => '|',
        'ё' => '`',
        'Ё' => '~',
        '0'..='9' | '!' | '%' | '*' | '(' | ')' | '-' | '_' | '=' | '+' | '\\' => c,
        _ => return letter_key(c),
    })
}

/// The US key on which `c` is in the Kazakh layout of Windows and of X11 (`kz`). In this layout the number
/// row types letters. A scanner uses that row and never the number pad, so a text with a digit was not typed
/// under this layout. Every code contains digits, so no text can be a code under both the Russian and the
/// Kazakh layout.
fn kazakh_key(c: char) -> Option<char> {
    const ROW: &str = "\"әіңғ,.үұқөһ";
    const SHIFTED_ROW: &str = "!ӘІҢҒ;:ҮҰҚӨҺ";
    let on_row = |row: &str, keys: &str| {
        let at = row.chars().position(|letter| letter == c)?;
        keys.chars().nth(at)
    };
    on_row(ROW, "1234567890-=").or_else(|| on_row(SHIFTED_ROW, "!@#$%^&*()_+")).or_else(|| {
        Some(match c {
            '(' => '`',
            ')' => '~',
            '№' => '/',
            '?' => '?',
            '\\' => '\\',
            '/' => '|',
            _ => return letter_key(c),
        })
    })
}

#[cfg(test)]
mod tests {
    use super::super::marking_code::tests::serials;
    use super::*;
    use proptest::prelude::*;
    use written::{WORDS, WRITTEN, with_words_replaced};

    const SERIAL: &str = "K7m/2Q+9=xJ?";
    const SIGNATURE: &str =
        "u5bqfZk1nXn0uG6mW0Zr3o1mYy2n8c4dE5f6g7h8i9j0K+L/mNopQrStUvWxYz0123456789abcdefghijklmn==";

    fn code() -> MarkingCode {
        MarkingCode::parse_strict(&format!("010952000000001121{SERIAL}{GS}91Qx7-{GS}92{SIGNATURE}")).unwrap()
    }

    fn refusal(text: &str) -> &'static str {
        read(text).unwrap_err().code()
    }

    #[test]
    fn separators_written_in_words_are_separators() {
        let code = code();
        for written in WRITTEN.iter().copied().chain([
            "<GS>",
            "<FNC1>",
            "{GS}",
            "\\u001D",
            "\\x1D",
            "\u{1d}\u{1d}",
            " ",
            "\n",
        ]) {
            let text = code.as_str().replace(GS, written);
            assert_eq!(read(&text), Ok(code.clone()), "{written}");
        }
        assert_eq!(refusal("010952000000001121A<GS>B"), "element-unknown");
        assert_eq!(refusal("010952000000001121A 91Qx7-"), "signature-incomplete");
        assert_eq!(read("01 09520000000011 21 K7M2 Q9XJ").unwrap().serial(), "K7M2Q9XJ");
    }

    #[test]
    fn separators_in_words_of_a_serials_characters_are_separators_if_nothing_else_fits() {
        let code = code();
        for word in WORDS {
            let text = code.as_str().replace(GS, word);
            assert_eq!(read(&text), Ok(code.clone()), "{word}");
            // Literal first.
            let literal = format!("010952000000001121B1{word}93Ab1c");
            assert_eq!(read(&literal).unwrap().as_str(), literal);
            let separated = read(&with_words_replaced(&literal).unwrap()).unwrap();
            assert_eq!(separated.as_str(), format!("010952000000001121B1{GS}93Ab1c"));
            assert_eq!(read_for_registration(&literal), Err(CodeError::SeparatorWrittenOut), "{word}");
            assert_eq!(read_for_registration(&text), Err(CodeError::SeparatorWrittenOut), "{word}");
        }
        // At a position where no separator can be, the text of a separator is part of the serial.
        for serial in ["FNC1x", "a=1dZZ", "0x1Dg", "K_GS_k"] {
            let text = format!("010952000000001121{serial}");
            assert_eq!(read_for_registration(&text).unwrap().serial(), serial);
        }
        assert_eq!(read_for_registration(code.as_str()), Ok(code.clone()));
        assert_eq!(read_for_registration(&code.as_str().replace(GS, "<GS>")), Ok(code));
        assert_eq!(read_for_registration("010952000000001121K7M2 Q9XJ"), Err(CodeError::Character(' ')));
        assert_eq!(read_for_registration(" 010952000000001121K7M2Q9XJ\r\n").unwrap().serial(), "K7M2Q9XJ");
    }

    #[test]
    fn a_serial_with_a_written_separator_is_not_registered() {
        for between in [
            "_0x1D_",
            "_1D_",
            "_x1D_",
            "x1D",
            "x1d;",
            "u001D",
            "'GS'",
            "/GS/",
            "*GS*",
            "-GS-",
            "ASCII29",
            "\"gs\"",
            "--GS--",
            "_FNC1_",
            "<ASCII29>",
            "_u001d_",
            "'1D'",
            "-1D-",
            ".1D.",
            ":1d:",
            "<0029>",
            "<001D>",
            "(0029)",
            "<U+1D>",
            "GS",
        ] {
            let text = format!("010460711234567621B1{between}93Ab1c");
            assert_eq!(read(&text).unwrap().as_str(), text, "literal first");
            assert_eq!(read_for_registration(&text), Err(CodeError::SeparatorWrittenOut), "{text}");
            let other = read(&text).unwrap().respelled().unwrap();
            assert_eq!(other.as_str(), format!("010460711234567621B1{GS}93Ab1c"), "{text}");
        }
        for text in [
            "(01)04607112345676(21)S(93)Ab1c",
            "010460711234567621S(93)Ab1c",
            "010460711234567621S<10>Ab1c",
            "(01)04607112345676(21)S(3103)001750",
            "https://o.kz/01/04607112345676/21/S%2893%29Ab1c",
            "https://o.kz/01/04607112345676/21/S%5Fx1D%5F93Ab1c",
        ] {
            assert_eq!(read_for_registration(text), Err(CodeError::SeparatorWrittenOut), "{text}");
            assert!(read(text).unwrap().respelled().is_some(), "{text}");
        }
        for invisible in ['\u{200b}', '\u{ad}', '\u{feff}', '\u{200e}'] {
            let inside = format!("010460711234567621Ab{invisible}1c");
            assert_eq!(read_for_registration(&inside), Err(CodeError::Character(invisible)));
            let around = format!("{invisible}010460711234567621Ab1c{invisible}\r\n");
            assert_eq!(read_for_registration(&around).unwrap().serial(), "Ab1c");
        }
        for serial in [
            "S(5)x",
            "S(93x",
            "(A3)",
            "KX1D93",
            "LOT-1D-0001",
            "KZ-0001-GS",
            "EGGS/93",
            "2026-29-01",
            "LEGS10A",
            "GS93Ab1c",
            "A-1D-91",
            "K<291>7",
        ] {
            let text = format!("010460711234567621{serial}");
            assert_eq!(read_for_registration(&text).map(|code| code.to_string()), Ok(text));
        }
    }

    #[test]
    fn any_symbology_identifier_is_dropped() {
        let bare = MarkingCode::unsigned(&code().identification());
        for before in ["]Q1", "]Q0", "]Q3", "]d1", "]d2", "]C0", "]A0", "]e0", "]z3"] {
            assert_eq!(
                read(&format!("{before}{}", bare.identification().link("http://o.kz"))),
                Ok(bare.clone())
            );
            assert_eq!(read(&format!("{before}{}", code())), Ok(code()), "{before}");
        }
    }

    #[test]
    fn what_surrounds_a_code_is_dropped() {
        let code = code();
        for (before, after) in [
            ("\u{feff}", ""),
            ("", "\r\n"),
            ("\u{a0}", "\u{a0}"),
            ("\u{200b}\u{2060}", "\u{200d}"),
            ("\t", "\0"),
            ("]d2", ""),
            ("]C1", ""),
            ("]Q3", ""),
            ("\u{1d}", "\u{1d}"),
            ("]d2\u{1d}", "\n"),
            ("\u{e8}", ""),
            ("<GS>", ""),
            ("\u{feff}]d2<FNC1>", "<GS>\r\n"),
        ] {
            assert_eq!(read(&format!("{before}{code}{after}")), Ok(code.clone()), "{before:?} {after:?}");
        }
        let dressed: String = code.as_str().chars().flat_map(|c| [c, '\u{200b}']).collect();
        assert_eq!(read(&dressed), Ok(code.clone()));
        let (head, tail) = code.as_str().split_at(70);
        assert_eq!(read(&format!("{head}\r\n{tail}")), Ok(code));
    }

    #[test]
    fn the_form_for_people_is_read() {
        let code = code();
        let written = format!("(01)09520000000011(21){SERIAL}(91)Qx7-(92){SIGNATURE}");
        assert_eq!(read(&written), Ok(code.clone()));
        assert_eq!(read(&written.replace('(', " (").replace(')', ") ")), Ok(code.clone()));
        assert_eq!(read(&code.human_readable()), Ok(MarkingCode::unsigned(&code.identification())));
        assert_eq!(refusal("(01)09520000000012(21)A"), "code-unrecognised");
        assert_eq!(refusal("(01"), "code-unrecognised");
    }

    #[test]
    fn lost_separators_are_put_back_where_only_one_place_fits() {
        let code = code();
        assert_eq!(read(&code.as_str().replace(GS, "")), Ok(code.clone()));
        assert_eq!(read(&code.as_str().replacen(GS, "", 1)), Ok(code.clone()));
        assert_eq!(
            refusal(&format!("010952000000001121{SERIAL}91Qx7-92{}", &SIGNATURE[1..])),
            "separator-lost"
        );
    }

    #[test]
    fn an_address_is_read_whatever_its_site_adds() {
        let bare = MarkingCode::unsigned(&code().identification());
        let path = code().identification().link("");
        for address in [
            format!("https://ormantrace.example{path}"),
            format!("HTTP://ormantrace.example:8080{path}/"),
            format!("https://орман.қаз/ru/check{path}?lang=ru&21=WRONG#01"),
            format!("ormantrace.example{path}"),
            path.clone(),
            format!("https://o.kz/01/9520000000011/10/LOT/21/{}", path.rsplit('/').next().unwrap()),
            format!("https://o.kz{path}?17=280101&10=LOT"),
            format!("\u{feff}https://o.kz{}\n", path.replace("%2F", "%2f")),
        ] {
            assert_eq!(read(&address), Ok(bare.clone()), "{address}");
        }
        for (address, reason) in [
            ("https://o.kz/", "link-without-code"),
            ("https://o.kz", "link-without-code"),
            ("https://o.kz/01/09520000000011", "link-without-code"),
            ("https://o.kz/01/09520000000012/21/A", "gtin-check-digit"),
            ("https://o.kz/01/09520000000011/21/", "link-without-code"),
            ("https://o.kz/01/09520000000011/21/%4", "link-percent-encoding"),
            ("https://o.kz/01/09520000000011/21/%ff", "link-percent-encoding"),
            ("https://o.kz/01/09520000000011/21/%D0%90", "code-character"),
            ("https://o.kz/01/09520000000011/21/A%1D91", "code-character"),
            ("https://o.kz/01/09520000000011/21/A%3CGS%3E91", "separator-in-value"),
            ("ftp://o.kz/01/09520000000011/21/A", "code-unrecognised"),
        ] {
            assert_eq!(refusal(address), reason, "{address}");
        }
    }

    /// The text that appears if a scanner types `text` for the US layout and the computer has the layout of
    /// `key`.
    fn typed_under(text: &str, key: fn(char) -> Option<char>) -> Option<String> {
        let every = (0x20..0x530).filter_map(char::from_u32).chain(['№', GS]);
        let keys: Vec<(char, char)> =
            every.filter_map(|c| if c == GS { Some((c, c)) } else { key(c).map(|k| (k, c)) }).collect();
        text.chars().map(|c| keys.iter().rev().find(|(k, _)| *k == c).map(|(_, typed)| *typed)).collect()
    }

    #[test]
    fn a_scan_under_a_cyrillic_layout_is_retyped() {
        // These texts were typed by hand from pictures of the layouts, so that the table is not tested
        // against itself.
        let bare = MarkingCode::parse_strict("010952000000001121Forest-7/x").unwrap();
        assert_eq!(read("010952000000001121Ащкуые-7.ч"), Ok(bare.clone()));
        assert_eq!(
            read("қ\"қ0952000000001121".replace('0', "қ").as_str()).unwrap_err().code(),
            "code-keyboard-layout"
        );
        let misread = read("қ\"қүғәққққққққ\"\"ә\"Ащкуыеө.№ч");
        assert_eq!(misread, Err(CodeError::GtinCheckDigit { expected: 2 }));
        assert_eq!(read("қ\"құғәққққққққ\"\"ә\"Ащкуыеө.№ч"), Ok(bare));
        let link = "реезыЖ..щкьфт.яд.01.09520000000011.21.Ф";
        assert_eq!(read(link).unwrap().as_str(), "010952000000001121A");
    }

    #[test]
    fn letters_of_two_alphabets_are_no_layout() {
        assert_eq!(refusal("010952000000001121Aж"), "code-keyboard-layout");
        assert_eq!(refusal("010952000000001121х"), "code-keyboard-layout");
        assert_eq!(refusal("бревно без пломбы"), "code-keyboard-layout");
    }

    fn signatures() -> impl Strategy<Value = String> {
        prop_oneof!["[A-Za-z0-9+/]{43}=", "[A-Za-z0-9+/]{86}==", "(91|92|21|01){44}"]
    }

    proptest! {
        #![proptest_config(ProptestConfig::with_cases(128))]

        #[test]
        fn any_code_survives_the_loss_of_its_separators(
            serial in serials(), key in "[A-Za-z0-9_-]{4}|9[12]9[12]", signature in signatures(), lost in 1..4_u8,
        ) {
            let head = format!("010952000000001121{serial}");
            let full = MarkingCode::parse_strict(&format!("{head}{GS}91{key}{GS}92{signature}")).unwrap();
            let gs = |bit: u8| if lost & bit == 0 { "\u{1d}" } else { "" };
            let text = format!("{head}{}91{key}{}92{signature}", gs(1), gs(2));
            prop_assert_eq!(read(&text), Ok(full));
        }

        #[test]
        fn any_signed_code_in_the_form_for_people_is_itself_or_refused(
            serial in serials(), key in "[A-Za-z0-9_-]{4}", signature in signatures(),
        ) {
            let text = format!("(01)09520000000011(21){serial}(91){key}(92){signature}");
            let full = MarkingCode::parse_strict(&format!("010952000000001121{serial}{GS}91{key}{GS}92{signature}"));
            prop_assert_eq!(read(&text), full);
        }

        #[test]
        fn any_code_survives_either_layout(serial in "[A-Za-z0-9/+=?_-]{0,18}[A-Za-z]", signature in "[A-Za-z0-9+/]{86}==") {
            let full = format!("010952000000001121{serial}{GS}91Qx7-{GS}92{signature}");
            let code = MarkingCode::parse_strict(&full).unwrap();
            for key in [russian_key, kazakh_key] {
                let typed = typed_under(&full, key).unwrap();
                prop_assert_eq!(read(&typed), Ok(code.clone()), "{}", typed);
                prop_assert_eq!(read(&typed.replace(GS, "")), Ok(code.clone()), "{}", typed);
            }
        }

        #[test]
        fn anything_at_all_is_a_code_or_a_refusal(
            text in prop_oneof![
                any::<String>(),
                "(01|21|91|92|\\(|\\)|<GS>|\u{1d}|09520000000011|https://o|/|%|[A-Za-zа-яқәі\" ]){0,60}",
                "010952000000001121(.|\u{1d}|91|92){0,120}",
            ]
        ) {
            if let Ok(code) = read(&text) {
                prop_assert_eq!(read(code.as_str()), Ok(code));
            }
        }

        #[test]
        fn a_right_code_is_never_repaired(tail in "([!-\"%-?A-Z_a-z]|\u{1d}){1,40}") {
            let text = format!("010952000000001121{tail}");
            if let Ok(code) = MarkingCode::parse_strict(&text) {
                prop_assert_eq!(read(&text), Ok(code));
            }
        }
    }
}
