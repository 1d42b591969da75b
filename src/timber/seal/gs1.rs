//! The parts of the GS1 General Specifications that marking codes need: the
//! character set of values, the check digit of an article number, and the table
//! that splits an element string into elements. Only the table splits: searching
//! the text for "21" or "91" would also find them inside values.

use super::marking_code::CodeError;
use crate::base::check_digit::mod10;
use crate::base::error::Invalid;
use std::borrow::Cow;

/// The separator that ends an element of variable length: ASCII 29, which a
/// reader outputs for an FNC1 in the middle of a symbol.
pub const GS: char = '\u{1d}';

/// Shortest identification `01` + 14 digits + `21` + one character.
pub const MIN_IDENTIFICATION: usize = 19;

/// Whether a byte is allowed in a value: "encodable character set 82" of the
/// General Specifications, which is the invariant part of ISO/IEC 646.
#[must_use]
pub const fn is_value_byte(byte: u8) -> bool {
    matches!(byte, b'!' | b'"' | b'%'..=b'?' | b'A'..=b'Z' | b'_' | b'a'..=b'z')
}

/// Invisible characters that no code contains: zero-width characters, direction
/// marks, the byte-order mark, the soft hyphen, variation selectors.
#[must_use]
pub const fn is_invisible(c: char) -> bool {
    matches!(c,
        '\u{ad}' | '\u{34f}' | '\u{61c}' | '\u{180e}' | '\u{200b}'..='\u{200f}' | '\u{202a}'..='\u{202e}'
        | '\u{2060}'..='\u{206f}' | '\u{fe00}'..='\u{fe0f}' | '\u{feff}')
}

/// The text without the symbology identifier (ISO/IEC 15424: `]`, a letter, a letter or digit) that a reader
/// puts before the data, if it is set to do so. Neither a seal number nor a code begins with `]`.
#[must_use]
pub fn without_symbology(text: &str) -> &str {
    match text.as_bytes() {
        [b']', letter, modifier, ..] if letter.is_ascii_alphabetic() && modifier.is_ascii_alphanumeric() => {
            &text[3..]
        }
        _ => text,
    }
}

/// Whether the text begins with a known application identifier.
pub(super) fn begins_element(text: &str) -> bool {
    rule_at(text).is_some()
}

/// Whether the text is a known application identifier.
pub(super) fn is_identifier(text: &str) -> bool {
    rule_at(text).is_some_and(|rule| rule.digits == text.len())
}

/// Whether a text that is no longer than a seal number would be read as an identification code: `01`, 14
/// digits, `21`, and one or two more characters.
#[must_use]
pub fn has_identification_shape(text: &str) -> bool {
    let bytes = text.as_bytes();
    bytes.len() >= MIN_IDENTIFICATION
        && bytes.starts_with(b"01")
        && bytes[2..16].iter().all(u8::is_ascii_digit)
        && &bytes[16..18] == b"21"
}

/// A Global Trade Item Number in its 14-digit form, check digit verified.
///
/// Numbers of 8, 12 and 13 digits are the same numbers without their leading zeros.
#[derive(Clone, Copy, Debug, PartialEq, Eq, PartialOrd, Ord, Hash, utoipa::ToSchema)]
#[schema(value_type = String, pattern = "^[0-9]{14}$", examples("09520000000011"))]
pub struct Gtin(u64);

impl Gtin {
    /// The GTIN of generated codes until the operator configures one: GS1
    /// reserves prefix 952 for demonstrations, so no product has it.
    pub const DEMONSTRATION: Self = Self(9_520_000_000_011);

    /// Whether it is of the range that GS1 reserves for demonstrations and examples: prefix 952.
    #[must_use]
    pub const fn is_demonstration(self) -> bool {
        self.0 / 10_000_000_000 % 1_000 == 952
    }

    /// Reads 8, 12, 13 or 14 digits and verifies the last of them.
    pub fn parse(text: &str) -> Result<Self, CodeError> {
        let text = text.trim();
        if !text.bytes().all(|b| b.is_ascii_digit()) || !matches!(text.len(), 8 | 12 | 13 | 14) {
            return Err(CodeError::Gtin);
        }
        let value = text.bytes().fold(0_u64, |sum, d| sum * 10 + u64::from(d - b'0'));
        let expected = mod10(value / 10);
        if value % 10 != expected {
            return Err(CodeError::GtinCheckDigit { expected });
        }
        Ok(Self(value))
    }
}

impl std::fmt::Display for Gtin {
    fn fmt(&self, f: &mut std::fmt::Formatter<'_>) -> std::fmt::Result {
        write!(f, "{:014}", self.0)
    }
}

impl std::str::FromStr for Gtin {
    type Err = Invalid;
    fn from_str(text: &str) -> Result<Self, Self::Err> {
        Self::parse(text).map_err(Into::into)
    }
}

impl serde::Serialize for Gtin {
    fn serialize<S: serde::Serializer>(&self, to: S) -> Result<S::Ok, S::Error> {
        to.collect_str(self)
    }
}

impl<'de> serde::Deserialize<'de> for Gtin {
    fn deserialize<D: serde::Deserializer<'de>>(from: D) -> Result<Self, D::Error> {
        let text = <Cow<'de, str> as serde::Deserialize>::deserialize(from)?;
        Self::parse(&text).map_err(serde::de::Error::custom)
    }
}

/// One row of the table: a group of identifiers and the format of their values.
struct Rule {
    /// First digits of these identifiers.
    prefix: &'static str,
    /// Number of digits of the identifier itself.
    digits: usize,
    /// Shortest and longest value, in characters.
    length: (usize, usize),
    numeric: bool,
    /// Whether GS1 predefines the length: such an element needs no separator after it.
    predefined: bool,
}

const fn predefined(prefix: &'static str, digits: usize, length: usize) -> Rule {
    Rule { prefix, digits, length: (length, length), numeric: true, predefined: true }
}

const fn numeric(prefix: &'static str, min: usize, max: usize) -> Rule {
    Rule { prefix, digits: prefix.len(), length: (min, max), numeric: true, predefined: false }
}

const fn text(prefix: &'static str, min: usize, max: usize) -> Rule {
    Rule { prefix, digits: prefix.len(), length: (min, max), numeric: false, predefined: false }
}

/// Application identifiers used on trade items (General Specifications,
/// section 3), longer prefixes before shorter ones. An identifier outside the
/// table is rejected and named in the error, not guessed.
const TABLE: &[Rule] = &[
    predefined("01", 2, 14),
    text("21", 1, 20),
    text("91", 1, 90),
    text("92", 1, 90),
    predefined("00", 2, 18),
    predefined("02", 2, 14),
    text("10", 1, 20),
    predefined("11", 2, 6),
    predefined("12", 2, 6),
    predefined("13", 2, 6),
    predefined("15", 2, 6),
    predefined("16", 2, 6),
    predefined("17", 2, 6),
    predefined("20", 2, 2),
    text("22", 1, 20),
    text("235", 1, 28),
    text("240", 1, 30),
    text("241", 1, 30),
    numeric("242", 1, 6),
    text("243", 1, 20),
    text("250", 1, 30),
    text("251", 1, 30),
    text("253", 13, 30),
    text("254", 1, 20),
    text("255", 13, 25),
    numeric("30", 1, 8),
    numeric("37", 1, 8),
    predefined("31", 4, 6),
    predefined("32", 4, 6),
    predefined("33", 4, 6),
    predefined("34", 4, 6),
    predefined("35", 4, 6),
    predefined("36", 4, 6),
    Rule { prefix: "390", digits: 4, length: (1, 15), numeric: true, predefined: false },
    Rule { prefix: "391", digits: 4, length: (4, 18), numeric: true, predefined: false },
    Rule { prefix: "392", digits: 4, length: (1, 15), numeric: true, predefined: false },
    Rule { prefix: "393", digits: 4, length: (4, 18), numeric: true, predefined: false },
    text("400", 1, 30),
    text("401", 1, 30),
    numeric("402", 17, 17),
    text("403", 1, 30),
    predefined("41", 3, 13),
    text("420", 1, 20),
    text("421", 4, 12),
    numeric("422", 3, 3),
    numeric("7003", 10, 10),
    numeric("8005", 6, 6),
    text("8008", 8, 12),
    text("8012", 1, 20),
    text("8020", 1, 25),
    text("90", 1, 30),
    text("93", 1, 90),
    text("94", 1, 90),
    text("95", 1, 90),
    text("96", 1, 90),
    text("97", 1, 90),
    text("98", 1, 90),
    text("99", 1, 90),
];

/// One element of an element string.
#[derive(Clone, Copy, Debug, PartialEq, Eq, PartialOrd, Ord)]
pub struct Element<'a> {
    /// The application identifier.
    pub ai: &'a str,
    /// Its value.
    pub value: &'a str,
}

impl Element<'_> {
    /// Whether the element needs no separator after it.
    #[must_use]
    pub fn is_predefined(&self) -> bool {
        rule_at(self.ai).is_some_and(|rule| rule.predefined)
    }
}

fn rule_at(text: &str) -> Option<&'static Rule> {
    let rule = TABLE.iter().find(|rule| text.starts_with(rule.prefix))?;
    let ai = text.as_bytes().get(..rule.digits)?;
    ai.iter().all(u8::is_ascii_digit).then_some(rule)
}

/// Splits an element string into its elements, by the table of application identifiers. Extra separators at the
/// beginning, between elements and at the end are ignored. Without its separator, a value of variable length includes
/// the text that follows, and is an error only if it is then too long. An identifier that occurs twice is an error.
pub fn elements(text: &str) -> Result<Vec<Element<'_>>, CodeError> {
    let mut found: Vec<Element<'_>> = Vec::new();
    let mut rest = text.trim_start_matches(GS);
    while !rest.is_empty() {
        // `rule_at` matches ASCII digits only, so the identifier ends at a character boundary.
        let rule = rule_at(rest).ok_or_else(|| CodeError::unknown_element(rest))?;
        let (ai, after) = rest.split_at(rule.digits);
        let run = after.find(GS).unwrap_or(after.len());
        let end = if rule.predefined { after.floor_char_boundary(run.min(rule.length.0)) } else { run };
        let (value, next) = after.split_at(end);
        if let Some(c) = value.chars().find(|c| !u8::try_from(*c).is_ok_and(is_value_byte)) {
            return Err(CodeError::Character(c));
        }
        if value.len() < rule.length.0 {
            return Err(CodeError::Short { ai: ai.to_owned(), min: rule.length.0, has: value.len() });
        }
        if value.len() > rule.length.1 {
            return Err(CodeError::Long { ai: ai.to_owned(), max: rule.length.1, has: value.len() });
        }
        if rule.numeric && !value.bytes().all(|b| b.is_ascii_digit()) {
            return Err(CodeError::Digits { ai: ai.to_owned() });
        }
        if found.iter().any(|earlier| earlier.ai == ai) {
            return Err(CodeError::Twice { ai: ai.to_owned() });
        }
        found.push(Element { ai, value });
        rest = next.trim_start_matches(GS);
    }
    Ok(found)
}

#[cfg(test)]
mod tests {
    use super::*;
    use proptest::prelude::*;

    #[test]
    fn an_article_number_with_a_wrong_digit_is_refused() {
        assert_eq!(Gtin::parse("9520000000011").unwrap(), Gtin::DEMONSTRATION);
        assert_eq!(Gtin::parse(" 09520000000011 ").unwrap().to_string(), "09520000000011");
        assert_eq!(Gtin::parse("09520000000012").unwrap_err(), CodeError::GtinCheckDigit { expected: 1 });
        for wrong in ["", "0952000000001", "095200000000110", "0952000000001x", "٠٩٥٢٠٠٠٠٠٠٠٠١١"]
        {
            assert!(Gtin::parse(wrong).is_err(), "{wrong}");
        }
    }

    #[test]
    fn eighty_two_characters() {
        assert_eq!((0..=255).filter(|b| is_value_byte(*b)).count(), 82);
        for outside in b" #$@[\\]^`{|}~\x1d\x00\x7f" {
            assert!(!is_value_byte(*outside), "{outside}");
        }
    }

    #[test]
    fn elements_are_cut_by_the_table_not_by_what_they_contain() {
        let cut = |text| {
            elements(text).unwrap().iter().map(|e| format!("{}={}", e.ai, e.value)).collect::<Vec<_>>()
        };
        assert_eq!(
            cut("010952000000001121210191922191\u{1d}91KZ01\u{1d}92AA"),
            ["01=09520000000011", "21=210191922191", "91=KZ01", "92=AA"]
        );
        assert_eq!(
            cut("0109520000000011172801013103001750\u{1d}10LOT\u{1d}\u{1d}21A\u{1d}"),
            ["01=09520000000011", "17=280101", "3103=001750", "10=LOT", "21=A"]
        );
        assert_eq!(cut("\u{1d}4104870000000001\u{1d}21A"), ["410=4870000000001", "21=A"]);
    }

    #[test]
    fn what_the_table_does_not_allow_is_named() {
        for (text, code) in [
            ("0409520000000011", "element-unknown"),
            ("XX", "element-unknown"),
            ("31x3001750", "element-unknown"),
            ("0109520000", "element-short"),
            ("0109520000\u{1d}00001121A", "element-short"),
            ("21", "element-short"),
            ("21ABCDEFGHIJKLMNOPQRSTU", "element-long"),
            ("0109520000 00011", "code-character"),
            ("21AБ", "code-character"),
            ("0109520000000Б1", "code-character"),
            ("010952000000001A", "element-digits"),
            ("21A\u{1d}21B", "element-twice"),
        ] {
            assert_eq!(elements(text).unwrap_err().code(), code, "{text:?}");
        }
    }

    proptest! {
        #[test]
        fn one_wrong_digit_never_passes(body in 0_u64..10_000_000_000_000, at in 0_usize..14, add in 1_u8..10) {
            let right = format!("{body:013}{}", mod10(body));
            prop_assert!(Gtin::parse(&right).is_ok());
            let mut wrong = right.into_bytes();
            wrong[at] = b'0' + (wrong[at] - b'0' + add) % 10;
            prop_assert!(Gtin::parse(std::str::from_utf8(&wrong).unwrap()).is_err());
        }

        #[test]
        fn anything_at_all_is_cut_or_refused(text in "\\PC{0,60}|[0-9\u{1d}]{0,60}|01095200000000112[1-9](.|\u{1d}){0,40}") {
            if let Ok(found) = elements(&text) {
                prop_assert!(found.iter().all(|e| e.value.bytes().all(is_value_byte)));
            }
        }
    }
}
