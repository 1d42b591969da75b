//! The marking code: a GS1 element string that identifies one seal to machines.
//!
//! `01` article number, `21` serial, `91` key id, `92` signature. The first two
//! are the identification, which documents quote. One canonical form is stored,
//! compared and returned: no leading FNC1 or GS; `01`, `21`, `91`, `92`, then
//! all other elements in the order of their identifiers; GS after each
//! element of variable length except the last.

use super::column::text_type;
use super::gs1::{self, Element, GS, Gtin};
use super::{scan, written};
use crate::base::error::Invalid;

/// Longest accepted text, in bytes; a longer one is rejected without being read.
pub const MAX_INPUT: usize = 512;
/// Length of a key id (`91`), in characters.
pub const KEY_ID_LENGTH: usize = 4;
/// Allowed lengths of a signature (`92`), in characters.
pub const SIGNATURE_LENGTHS: [usize; 2] = [44, 88];
/// Longest serial (`21`), in characters.
pub const MAX_SERIAL: usize = 20;

/// Offset of the serial in every code: after `01`, 14 digits and `21`.
const SERIAL_AT: usize = 18;

/// Why a text is not a marking code.
#[derive(Clone, Debug, PartialEq, Eq, thiserror::Error)]
pub enum CodeError {
    /// No text, or no visible character.
    #[error("the code is empty")]
    Empty,
    /// More than [`MAX_INPUT`] bytes.
    #[error("a code has at most {MAX_INPUT} bytes")]
    TooLong,
    /// The text is not an element string, and no repair makes it one.
    #[error("this is not a code: a marking code begins with 01 and a 14-digit GTIN, then 21 and a serial")]
    Unrecognised,
    /// A character outside GS1's set.
    #[error("a marking code cannot contain {0:?}")]
    Character(char),
    /// Cyrillic letters that neither a Russian nor a Kazakh keyboard layout can have produced.
    #[error(
        "this code contains Cyrillic letters that no keyboard layout explains; scan again with a Latin layout"
    )]
    Layout,
    /// An identifier that is not in the table.
    #[error("an element begins with {0:?}, which is not a known application identifier")]
    UnknownElement(String),
    /// A value shorter than its identifier allows.
    #[error("the value of ({ai}) has at least {min} characters, this has {has}; the code may be cut off")]
    Short {
        /// The identifier.
        ai: String,
        /// Minimum number of characters.
        min: usize,
        /// Actual number of characters.
        has: usize,
    },
    /// A value longer than its identifier allows.
    #[error("the value of ({ai}) has at most {max} characters, this has {has}")]
    Long {
        /// The identifier.
        ai: String,
        /// Maximum number of characters.
        max: usize,
        /// Actual number of characters.
        has: usize,
    },
    /// A numeric value contains another character.
    #[error("the value of ({ai}) must contain digits only")]
    Digits {
        /// The identifier.
        ai: String,
    },
    /// A repeated identifier.
    #[error("({ai}) occurs twice")]
    Twice {
        /// The identifier.
        ai: String,
    },
    /// No `01`.
    #[error("the article number (01) is missing")]
    GtinMissing,
    /// An article number of invalid length, or with other characters than digits.
    #[error("a GTIN has 14 digits (or 8, 12 or 13, written without leading zeros)")]
    Gtin,
    /// The last digit of the article number is wrong.
    #[error("the check digit of the GTIN should be {expected}; a digit was misread or mistyped")]
    GtinCheckDigit {
        /// The correct last digit.
        expected: u64,
    },
    /// No `21`.
    #[error("the serial (21) is missing")]
    SerialMissing,
    /// `91` of invalid length.
    #[error("the key id (91) has {KEY_ID_LENGTH} characters, this has {0}")]
    KeyIdLength(usize),
    /// `92` of invalid length.
    #[error("the signature (92) has 44 or 88 characters, this has {0}; the code may be cut off")]
    SignatureLength(usize),
    /// `91` without `92` or the other way round.
    #[error("a code has both key id (91) and signature (92), or neither; the code may be cut off")]
    SignatureIncomplete,
    /// A value that contains the text `<GS>` or `<FNC1>`.
    #[error("a value contains a written separator such as <GS>")]
    WrittenSeparator,
    /// A code to register contains a separator that is written out in characters which a serial may contain,
    /// or an identifier in brackets inside a value.
    #[error(
        "a separator is written out in this code, such as _x001D_, <1D>, FNC1 or an identifier in brackets; send \
         the character itself (GS, ASCII 29)"
    )]
    SeparatorWrittenOut,
    /// A required GS is missing, and more than one position is possible for it.
    #[error("a separator (GS, ASCII 29) was lost and its position is unknown; scan again")]
    SeparatorLost,
    /// More than one reading is possible.
    #[error("this can be read as more than one code; scan again")]
    Ambiguous,
    /// A web address without `/01/{gtin}/21/{serial}`.
    #[error("this address does not contain /01/{{gtin}}/21/{{serial}}")]
    Link,
    /// `%` without two hexadecimal digits, or bytes that are not UTF-8.
    #[error("the percent-encoding of this address is invalid")]
    PercentEncoding,
    /// An internal id where only a seal number or a marking code is accepted.
    #[error("an internal id is not accepted here; use the seal's number or its marking code")]
    InternalId,
}

impl CodeError {
    /// The stable error code in responses.
    #[must_use]
    pub fn code(&self) -> &'static str {
        match self {
            Self::Empty => "code-empty",
            Self::TooLong => "code-too-long",
            Self::Unrecognised => "code-unrecognised",
            Self::Character(_) => "code-character",
            Self::Layout => "code-keyboard-layout",
            Self::UnknownElement(_) => "element-unknown",
            Self::Short { .. } => "element-short",
            Self::Long { .. } => "element-long",
            Self::Digits { .. } => "element-digits",
            Self::Twice { .. } => "element-twice",
            Self::GtinMissing => "gtin-missing",
            Self::Gtin => "gtin-digits",
            Self::GtinCheckDigit { .. } => "gtin-check-digit",
            Self::SerialMissing => "serial-missing",
            Self::KeyIdLength(_) => "key-id-length",
            Self::SignatureLength(_) => "signature-length",
            Self::SignatureIncomplete => "signature-incomplete",
            Self::WrittenSeparator => "separator-in-value",
            Self::SeparatorWrittenOut => "separator-written-out",
            Self::SeparatorLost => "separator-lost",
            Self::Ambiguous => "code-ambiguous",
            Self::Link => "link-without-code",
            Self::PercentEncoding => "link-percent-encoding",
            Self::InternalId => "code-is-internal-id",
        }
    }

    pub(super) fn unknown_element(rest: &str) -> Self {
        Self::UnknownElement(rest.chars().take(4).collect())
    }
}

impl From<CodeError> for Invalid {
    fn from(error: CodeError) -> Self {
        Self::new(error.code(), error.to_string())
    }
}

/// The part of a marking code that identifies the seal: `01` GTIN `21` serial.
#[derive(Clone, Debug, PartialEq, Eq, PartialOrd, Ord, Hash, utoipa::ToSchema)]
#[schema(
    value_type = String,
    min_length = 19,
    max_length = 38,
    pattern = r#"^01[0-9]{14}21[!"%-?A-Z_a-z]{1,20}$"#,
    examples("010952000000001121K7M2Q9XJ4TZ0B")
)]
pub struct Identification(String);

impl Identification {
    /// Builds an identification from article number and serial. The serial has 1–20 characters of GS1's set
    /// of 82.
    pub fn new(gtin: Gtin, serial: &str) -> Result<Self, CodeError> {
        check_serial(serial)?;
        Ok(Self(format!("01{gtin}21{serial}")))
    }

    /// Builds an identification from the two parts of a Digital Link path, already percent-decoded.
    pub fn from_parts(gtin: &str, serial: &str) -> Result<Self, CodeError> {
        Self::new(Gtin::parse(gtin)?, serial)
    }

    /// Reads a code in any form that [`MarkingCode::parse`] accepts and returns its identification.
    pub fn parse(text: &str) -> Result<Self, CodeError> {
        MarkingCode::parse(text).map(|code| code.identification())
    }

    /// `01…21…`, as documents write it.
    #[must_use]
    pub fn as_str(&self) -> &str {
        &self.0
    }

    /// The 14 digits of the article number.
    #[must_use]
    pub fn gtin(&self) -> &str {
        &self.0[2..16]
    }

    /// The serial, 1–20 characters.
    #[must_use]
    pub fn serial(&self) -> &str {
        &self.0[SERIAL_AT..]
    }

    /// The GS1 Digital Link under a base address: `{base}/01/{gtin}/21/{serial}`.
    #[must_use]
    pub fn link(&self, base: &str) -> String {
        let mut link = format!("{}/01/{}/21/", base.trim_end_matches('/'), self.gtin());
        for byte in self.serial().bytes() {
            if byte.is_ascii_alphanumeric() || matches!(byte, b'-' | b'.' | b'_' | b'~') {
                link.push(char::from(byte));
            } else {
                use std::fmt::Write as _;
                let _ = write!(link, "%{byte:02X}");
            }
        }
        link
    }

    fn from_stored(text: String) -> Option<Self> {
        MarkingCode::from_stored(text).filter(MarkingCode::is_identification).map(|code| Self(code.0))
    }
}

text_type!(Identification, "identification code");

/// A complete marking code in its canonical form.
#[derive(Clone, Debug, PartialEq, Eq, PartialOrd, Ord, Hash, utoipa::ToSchema)]
#[schema(
    value_type = String,
    min_length = 19,
    max_length = 512,
    examples("010952000000001121K7M2Q9XJ4TZ0B\u{1d}91Qx7-\u{1d}92u5bqfZk1nXn0uG6mW0Zr3o1mYy2n8c4dE5f6g7h8i9j=")
)]
pub struct MarkingCode(String);

impl MarkingCode {
    /// Reads a code as scanners, phones and people send it.
    ///
    /// A text that is valid by the table is accepted unchanged. Otherwise alterations are undone, and the
    /// result is accepted only if exactly one code results. These alterations are undone:
    /// - invisible characters, surrounding white space, symbology prefixes;
    /// - separators that are written out (`<GS>`, `\u001d`, `{GS}`, `␝` …) or lost;
    /// - parentheses around identifiers;
    /// - a Russian or Kazakh keyboard layout;
    /// - a Digital Link address.
    pub fn parse(text: &str) -> Result<Self, CodeError> {
        scan::read(text)
    }

    /// Reads a code to register. As [`MarkingCode::parse`], but a separator that is written with characters
    /// that a serial may contain is refused (`separator-written-out`). A blank or an invisible character
    /// inside the code is refused too.
    pub fn parse_for_registration(text: &str) -> Result<Self, CodeError> {
        scan::read_for_registration(text)
    }

    /// The code with a GS in place of each written-out separator, and with a GS and the identifier in place
    /// of each identifier in brackets; `None` if that gives no other code. It is looked up if nothing is
    /// registered under the code as sent.
    #[must_use]
    pub fn respelled(&self) -> Option<Self> {
        let separated = written::with_separators(&self.0)?;
        Self::parse_strict(&separated).ok().filter(|code| code != self)
    }

    /// Reads an element string by the table, without repairs.
    pub fn parse_strict(text: &str) -> Result<Self, CodeError> {
        if text.len() > MAX_INPUT {
            return Err(CodeError::TooLong);
        }
        assemble(&gs1::elements(text)?)
    }

    /// An unsigned code: the identification alone.
    #[must_use]
    pub fn unsigned(identification: &Identification) -> Self {
        Self(identification.0.clone())
    }

    /// A code with key id and signature. The caller ensures their characters and lengths.
    pub(super) fn signed(identification: &Identification, key_id: &str, signature: &str) -> Self {
        Self(format!("{}{GS}91{key_id}{GS}92{signature}", identification.0))
    }

    /// The canonical element string, GS as the character U+001D.
    #[must_use]
    pub fn as_str(&self) -> &str {
        &self.0
    }

    /// `01…21…`.
    #[must_use]
    pub fn identification(&self) -> Identification {
        Identification(self.identification_str().to_owned())
    }

    /// `01…21…`, borrowed.
    #[must_use]
    pub fn identification_str(&self) -> &str {
        self.elements().next().unwrap_or_default()
    }

    /// The 14 digits of the article number (`01`).
    #[must_use]
    pub fn gtin(&self) -> &str {
        &self.0[2..16]
    }

    /// The serial (`21`).
    #[must_use]
    pub fn serial(&self) -> &str {
        &self.identification_str()[SERIAL_AT..]
    }

    /// The key id (`91`), four characters; `None` if the code is unsigned.
    #[must_use]
    pub fn key_id(&self) -> Option<&str> {
        self.elements().nth(1)?.strip_prefix("91")
    }

    /// The signature (`92`), 44 or 88 characters; `None` if the code is unsigned.
    #[must_use]
    pub fn signature(&self) -> Option<&str> {
        self.key_id()?;
        self.elements().nth(2)?.strip_prefix("92")
    }

    /// Whether the code consists of its identification only.
    #[must_use]
    pub fn is_identification(&self) -> bool {
        self.identification_str().len() == self.0.len()
    }

    /// The parts of the canonical form between its separators. There is a separator after the serial and
    /// after the value of `91`, so the first parts are `01…21…`, `91…` and `92…`.
    fn elements(&self) -> std::str::Split<'_, char> {
        self.0.split(GS)
    }

    /// The human-readable form of the identification: `(01)…(21)…`.
    #[must_use]
    pub fn human_readable(&self) -> String {
        format!("(01){}(21){}", self.gtin(), self.serial())
    }

    fn from_stored(text: String) -> Option<Self> {
        let canonical = Self::parse_strict(&text).is_ok_and(|code| code.0 == text);
        canonical.then_some(Self(text))
    }
}

text_type!(MarkingCode, "marking code");

fn check_serial(serial: &str) -> Result<(), CodeError> {
    let ai = || "21".to_owned();
    if serial.is_empty() {
        return Err(CodeError::Short { ai: ai(), min: 1, has: 0 });
    }
    if let Some(c) = serial.chars().find(|c| !u8::try_from(*c).is_ok_and(gs1::is_value_byte)) {
        return Err(CodeError::Character(c));
    }
    if serial.len() > MAX_SERIAL {
        return Err(CodeError::Long { ai: ai(), max: MAX_SERIAL, has: serial.len() });
    }
    if written::holds_written_separator(serial) {
        return Err(CodeError::WrittenSeparator);
    }
    Ok(())
}

/// Builds the canonical code from its elements, given in any order.
pub(super) fn assemble(elements: &[Element<'_>]) -> Result<MarkingCode, CodeError> {
    let value = |ai: &str| elements.iter().find(|e| e.ai == ai).map(|e| e.value);
    let gtin = Gtin::parse(value("01").ok_or(CodeError::GtinMissing)?)?;
    let serial = value("21").ok_or(CodeError::SerialMissing)?;
    check_serial(serial)?;
    let key_id = value("91");
    if let Some(id) = key_id.filter(|id| id.len() != KEY_ID_LENGTH) {
        return Err(CodeError::KeyIdLength(id.len()));
    }
    let signature = value("92");
    if let Some(signature) = signature.filter(|s| !SIGNATURE_LENGTHS.contains(&s.len())) {
        return Err(CodeError::SignatureLength(signature.len()));
    }
    if key_id.is_some() != signature.is_some() {
        return Err(CodeError::SignatureIncomplete);
    }
    if elements.iter().any(|e| written::holds_written_separator(e.value)) {
        return Err(CodeError::WrittenSeparator);
    }
    let identification = Identification::new(gtin, serial)?;
    let mut code = match (key_id, signature) {
        (Some(id), Some(signature)) => MarkingCode::signed(&identification, id, signature),
        _ => MarkingCode::unsigned(&identification),
    };
    let mut foreign: Vec<&Element<'_>> =
        elements.iter().filter(|e| !matches!(e.ai, "01" | "21" | "91" | "92")).collect();
    foreign.sort();
    let mut open = true;
    for element in foreign {
        if open {
            code.0.push(GS);
        }
        code.0.push_str(element.ai);
        code.0.push_str(element.value);
        open = !element.is_predefined();
    }
    Ok(code)
}

/// A request contains a `MarkingCode` only to register it, and a `Code` in all other cases. So the rules for
/// registration apply here.
impl crate::base::input::ParseText for MarkingCode {
    fn parse_text(text: &str) -> Result<Self, Invalid> {
        Self::parse_for_registration(text).map_err(Into::into)
    }
}

impl crate::base::input::Read for MarkingCode {
    crate::base::input::whole!();

    fn read_partial(
        node: crate::base::input::Node<'_>,
        errors: &mut crate::base::input::Errors,
    ) -> Option<Self> {
        crate::base::input::read_text(node, errors)
    }
}

#[cfg(test)]
pub(super) mod tests {
    use super::*;
    use proptest::prelude::*;

    /// Any valid serial.
    pub(in crate::timber::seal) fn serials() -> impl Strategy<Value = String> {
        let any = r#"[!"%-?A-Z_a-z]{1,20}"#;
        // Serials that contain the text of identifiers and of other elements, which a parser might split
        // wrongly.
        let hostile = "(21|91|92|01|91KZ0192|(91)|(92)){1,5}";
        prop_oneof![3 => any, 1 => hostile]
            .prop_map(|s: String| s.chars().take(MAX_SERIAL).collect::<String>())
            .prop_filter("spells a separator", |s| !written::holds_written_separator(s))
    }

    #[test]
    fn the_parts_of_a_code() {
        let signature = "S".repeat(88);
        let text = format!("010952000000001121210191922191{GS}91KZ01{GS}92{signature}");
        let code = MarkingCode::parse(&text).unwrap();
        assert_eq!(code.as_str(), text);
        assert_eq!((code.gtin(), code.serial()), ("09520000000011", "210191922191"));
        assert_eq!((code.key_id(), code.signature()), (Some("KZ01"), Some(signature.as_str())));
        assert_eq!(code.identification().as_str(), "010952000000001121210191922191");
        assert_eq!(code.human_readable(), "(01)09520000000011(21)210191922191");
        assert!(!code.is_identification());
    }

    #[test]
    fn foreign_elements_are_kept_in_one_order() {
        let signature = "S".repeat(44);
        let expected = format!("010952000000001121A{GS}91KZ01{GS}92{signature}{GS}10LOT{GS}17280101");
        for spelt in [
            format!("010952000000001117280101{GS}10LOT{GS}21A{GS}92{signature}{GS}91KZ01"),
            format!("{GS}1728010110LOT{GS}010952000000001121A{GS}91KZ01{GS}92{signature}{GS}"),
        ] {
            assert_eq!(MarkingCode::parse(&spelt).unwrap().as_str(), expected);
        }
        let short = MarkingCode::parse(&format!("010952000000001121A{GS}93Xy7z")).unwrap();
        assert_eq!((short.key_id(), short.signature(), short.serial()), (None, None, "A"));
        assert!(!short.is_identification());
    }

    #[test]
    fn what_is_wrong_by_the_table_is_named() {
        let sig = "S".repeat(88);
        for (text, code) in [
            (String::new(), "code-empty"),
            (" \u{200b}\u{1d}\n".to_owned(), "code-empty"),
            ("felled by night".to_owned(), "code-unrecognised"),
            ("0109520000000011".to_owned(), "serial-missing"),
            ("21A".to_owned(), "gtin-missing"),
            ("010952000000001221A".to_owned(), "gtin-check-digit"),
            (format!("010952000000001121A{GS}91KZ01"), "signature-incomplete"),
            (format!("010952000000001121A{GS}92{sig}"), "signature-incomplete"),
            (format!("010952000000001121A{GS}91KZ0{GS}92{sig}"), "key-id-length"),
            (format!("010952000000001121A{GS}91KZ01{GS}92{}", &sig[1..]), "signature-length"),
            (format!("010952000000001121A{GS}21B"), "element-twice"),
            ("010952000000001121A@B".to_owned(), "code-character"),
            (format!("010952000000001121A{GS}04XX"), "element-unknown"),
            ("9".repeat(513), "code-too-long"),
        ] {
            assert_eq!(MarkingCode::parse(&text).unwrap_err().code(), code, "{text:?}");
        }
        assert_eq!(Identification::from_parts("09520000000011", "").unwrap_err().code(), "element-short");
        assert_eq!(
            Identification::from_parts("09520000000011", "A<gs>B").unwrap_err().code(),
            "separator-in-value"
        );
        assert_eq!(Identification::from_parts("09520000000011", "A/../B?").unwrap().serial(), "A/../B?");
    }

    #[test]
    fn the_database_gives_back_only_what_is_canonical() {
        let code =
            MarkingCode::parse(&format!("010952000000001121A{GS}91KZ01{GS}92{}", "S".repeat(44))).unwrap();
        assert_eq!(MarkingCode::from_stored(code.to_string()), Some(code.clone()));
        assert_eq!(MarkingCode::from_stored(format!("{GS}{code}")), None);
        assert_eq!(Identification::from_stored(code.to_string()), None);
        let identification = code.identification();
        assert_eq!(Identification::from_stored(identification.to_string()), Some(identification));
    }

    proptest! {
        #[test]
        fn a_code_reads_as_itself(serial in serials(), key in "[!-\"%-?A-Z_a-z]{4}", sig in "[A-Za-z0-9+/=]{88}|[A-Za-z0-9+/=]{44}") {
            prop_assume!(!written::holds_written_separator(&key));
            let identification = Identification::new(Gtin::DEMONSTRATION, &serial).unwrap();
            let code = MarkingCode::signed(&identification, &key, &sig);
            prop_assert_eq!(MarkingCode::parse(code.as_str()), Ok(code.clone()));
            prop_assert_eq!(code.serial(), &serial);
            prop_assert_eq!(code.key_id(), Some(key.as_str()));
            prop_assert_eq!(code.signature(), Some(sig.as_str()));
            prop_assert_eq!(MarkingCode::from_stored(code.to_string()), Some(code));
            prop_assert_eq!(Identification::parse(identification.as_str()), Ok(identification.clone()));
            prop_assert_eq!(Identification::parse(&identification.link("https://o.kz/")), Ok(identification));
        }
    }
}
