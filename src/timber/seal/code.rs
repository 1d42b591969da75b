//! The `{code}` of a URL: any text that identifies a seal or its log.

use super::gs1;
use super::marking_code::{CodeError, Identification, MAX_INPUT, MarkingCode};
use super::number::{MAX_LENGTH, SealNumber};
use super::scan;
use crate::base::error::Invalid;
use crate::base::ids::LogId;
use uuid::Uuid;

/// A text by which a request names a log or a seal.
///
/// The kinds cannot be confused, so the order in which they are tried does not matter. An id has 36
/// characters with hyphens at fixed positions, and does not begin as a marking code does. A seal number has
/// at most 20 characters and may not have the shape `01` + 14 digits + `21` + …, which is the shortest
/// marking code. Any other text is a marking code or invalid. A text of 4 to 20 digits without that shape,
/// such as `00471100`, is therefore always a seal number.
#[derive(Clone, Debug, PartialEq, Eq, Hash)]
pub enum Code {
    /// The number printed on a seal, present or past.
    SealNumber(SealNumber),
    /// `01…21…`, also from a Digital Link.
    Identification(Identification),
    /// A code with elements beyond the identification.
    MarkingCode(MarkingCode),
    /// A log's id; never from [`Code::parse_public`].
    LogId(LogId),
}

impl Code {
    /// Reads any text that names a log, including its id.
    pub fn parse(text: &str) -> Result<Self, Invalid> {
        Self::read(text, true)
    }

    /// Reads a seal number or a code. An internal id is rejected: public access
    /// requires what is printed on the seal.
    pub fn parse_public(text: &str) -> Result<Self, Invalid> {
        Self::read(text, false)
    }

    /// The identification, if this is a marking code, with or without a signature.
    #[must_use]
    pub fn identification(&self) -> Option<Identification> {
        match self {
            Self::Identification(identification) => Some(identification.clone()),
            Self::MarkingCode(code) => Some(code.identification()),
            Self::SealNumber(_) | Self::LogId(_) => None,
        }
    }

    /// The code to look up if nothing is registered under this one: separators that are written out as text
    /// (`<1D>`, `FNC1` …) are read as separators; a number that was typed in groups gets a hyphen in place of its
    /// first blank. `None` if it cannot be read in another way.
    #[must_use]
    pub fn other_reading(&self) -> Option<Self> {
        let code = match self {
            Self::Identification(identification) => MarkingCode::unsigned(identification).respelled(),
            Self::MarkingCode(code) => code.respelled(),
            Self::SealNumber(number) => return number.hyphenated().map(Self::SealNumber),
            Self::LogId(_) => None,
        };
        code.map(Self::of)
    }

    fn of(code: MarkingCode) -> Self {
        if code.is_identification() {
            Self::Identification(code.identification())
        } else {
            Self::MarkingCode(code)
        }
    }

    fn read(text: &str, ids: bool) -> Result<Self, Invalid> {
        match Self::read_plain(text, ids) {
            Ok(code) => Ok(code),
            Err(refusal) => match verified_in_link(text) {
                Some(Ok(code)) => Self::read_plain(&code, false),
                Some(Err(error)) => Err(error.into()),
                None => Err(refusal),
            },
        }
    }

    fn read_plain(text: &str, ids: bool) -> Result<Self, Invalid> {
        if text.len() > MAX_INPUT {
            return Err(CodeError::TooLong.into());
        }
        if let Some(id) = uuid(text.trim()) {
            return if ids { Ok(Self::LogId(id.into())) } else { Err(CodeError::InternalId.into()) };
        }
        let number = SealNumber::parse(text);
        if let Ok(number) = number {
            return Ok(Self::SealNumber(number));
        }
        match MarkingCode::parse(text) {
            Ok(code) => Ok(Self::of(code)),
            Err(error) => Err(match number {
                // A text that is not longer than a seal number, and does not begin like a marking code, was
                // probably meant as a seal number. So the error says why it is no seal number.
                Err(as_number) if text.trim().chars().count() <= MAX_LENGTH && !begins_as_code(text) => {
                    as_number.into()
                }
                _ => error.into(),
            }),
        }
    }
}

/// A seal, named by its number or by its marking code as scanners send it; never by an id.
#[derive(Clone, Debug, PartialEq, Eq, Hash)]
pub struct SealName(Code);

impl SealName {
    /// Reads a number or a code, as [`Code::parse_public`].
    pub fn parse(text: &str) -> Result<Self, Invalid> {
        Code::parse_public(text).map(Self)
    }

    /// The code.
    #[must_use]
    pub const fn code(&self) -> &Code {
        &self.0
    }

    /// The number, unless this is a marking code.
    #[must_use]
    pub const fn number(&self) -> Option<&SealNumber> {
        match &self.0 {
            Code::SealNumber(number) => Some(number),
            _ => None,
        }
    }

    /// Whether this is a complete marking code with the identification of `registered`, but not that code: forged
    /// or misread. Always false if the seal was registered without a signature.
    #[must_use]
    pub fn differs_from(&self, registered: &MarkingCode) -> bool {
        let Code::MarkingCode(code) = &self.0 else { return false };
        code.identification_str() == registered.identification_str()
            && registered.signature().is_some()
            && code != registered
    }
}

impl std::fmt::Display for SealName {
    fn fmt(&self, f: &mut std::fmt::Formatter<'_>) -> std::fmt::Result {
        match self.0.identification() {
            // The signature is left out: error texts show only what people can compare with the seal.
            Some(identification) => identification.fmt(f),
            None => self.0.fmt(f),
        }
    }
}

crate::base::input::parse_text!(SealName);

impl utoipa::PartialSchema for SealName {
    fn schema() -> utoipa::openapi::RefOr<utoipa::openapi::schema::Schema> {
        utoipa::openapi::ObjectBuilder::new()
            .schema_type(utoipa::openapi::schema::Type::String)
            .min_length(Some(4))
            .max_length(Some(MAX_INPUT))
            .description(Some("The number printed on the seal, or its marking code as a scanner sends it."))
            .examples(["AB-0004711"])
            .into()
    }
}

impl utoipa::ToSchema for SealName {}

impl std::fmt::Display for Code {
    fn fmt(&self, f: &mut std::fmt::Formatter<'_>) -> std::fmt::Result {
        match self {
            Self::SealNumber(number) => number.fmt(f),
            Self::Identification(identification) => identification.fmt(f),
            Self::MarkingCode(code) => code.fmt(f),
            Self::LogId(id) => id.fmt(f),
        }
    }
}

impl std::str::FromStr for Code {
    type Err = Invalid;
    fn from_str(text: &str) -> Result<Self, Self::Err> {
        Self::parse(text)
    }
}

/// Accepts only the hyphenated form: 32 bare hexadecimal digits are not an id here.
fn uuid(text: &str) -> Option<Uuid> {
    (text.len() == 36).then(|| Uuid::try_parse(text).ok()).flatten()
}

/// The code in a verification address, as people copy it from a browser: `…/verify/{code}`,
/// `…/verify?code=…`, `…/v1/verify/{code}`. `None` if the text is no such address.
fn verified_in_link(text: &str) -> Option<Result<String, CodeError>> {
    const PATH: &str = "/verify";
    let visible: String = text.chars().filter(|c| !gs1::is_invisible(*c)).collect();
    let address = gs1::without_symbology(visible.trim());
    let path = scan::after_host(address).unwrap_or(address);
    let path = path.split('#').next().unwrap_or_default();
    let (path, query) = path.split_once('?').unwrap_or((path, ""));
    let at = path.find("/verify/").or_else(|| path.ends_with(PATH).then(|| path.len() - PATH.len()))?;
    let code = path[at + PATH.len()..].trim_matches('/');
    if !code.is_empty() {
        return Some(scan::percent_decoded(code));
    }
    let sent = query.split('&').find_map(|pair| pair.strip_prefix("code="))?;
    Some(scan::percent_decoded(&sent.replace('+', "%20")))
}

fn begins_as_code(text: &str) -> bool {
    let text = text.trim();
    text.len() >= gs1::MIN_IDENTIFICATION && (text.starts_with("01") || text.starts_with("(01)"))
}

crate::base::input::parse_text!(Code);

#[cfg(test)]
mod tests {
    use super::*;
    use proptest::prelude::*;

    const ID: &str = "0197a2c4-5d6e-7f80-9123-456789abcdef";

    #[test]
    fn each_kind_is_told_from_the_others() {
        let signed = format!("010952000000001121A\u{1d}91KZ01\u{1d}92{}", "s".repeat(44));
        assert!(matches!(Code::parse("ab-0001").unwrap(), Code::SealNumber(n) if n.as_str() == "AB-0001"));
        assert!(matches!(Code::parse("00471100").unwrap(), Code::SealNumber(_)));
        assert!(matches!(Code::parse("01095200000000112").unwrap(), Code::SealNumber(_)));
        assert!(matches!(Code::parse("010952000000001121A").unwrap(), Code::Identification(_)));
        assert!(matches!(Code::parse("0109520000000011211").unwrap(), Code::Identification(_)));
        assert!(matches!(
            Code::parse("https://x.kz/01/09520000000011/21/A").unwrap(),
            Code::Identification(_)
        ));
        assert!(matches!(Code::parse(&signed).unwrap(), Code::MarkingCode(c) if c.as_str() == signed));
        assert!(matches!(Code::parse(ID).unwrap(), Code::LogId(id) if id.to_string() == ID));
        assert!(matches!(Code::parse(&ID.to_uppercase()).unwrap(), Code::LogId(_)));
    }

    #[test]
    fn the_address_of_a_check_names_its_code() {
        let number = Code::parse("KZ000000041").unwrap();
        for address in [
            "http://HOST/verify/KZ000000041",
            "https://o.kz/verify/kz000000041?lang=ru#x",
            "]Q1https://o.kz/verify/KZ000000041/",
            "o.kz/verify/KZ000000041",
            "/verify?code=KZ000000041",
            "https://o.kz/verify?lang=ru&code=KZ+000+000+041",
            "https://o.kz/v1/verify/KZ000000041",
            "https://o.kz/v1/verify/KZ000000041?register=true",
            "/v1/verify/KZ%20000%20000%20041",
        ] {
            assert_eq!(Code::parse_public(address), Ok(number.clone()), "{address}");
        }
        let code = Code::parse("010952000000001121A/b?").unwrap();
        assert_eq!(Code::parse("https://o.kz/verify/010952000000001121A%2Fb%3F"), Ok(code));
        let id = Code::parse(&format!("https://o.kz/verify/{ID}"));
        assert_eq!(id.unwrap_err().code, "code-is-internal-id");
        for (address, reason) in [
            ("https://orman.example/verify", "link-without-code"),
            ("https://o.kz/verify/KZ%4", "link-percent-encoding"),
            ("https://o.kz/verify/A", "seal-number-length"),
        ] {
            assert_eq!(Code::parse(address).unwrap_err().code, reason, "{address}");
        }
    }

    #[test]
    fn a_number_in_an_address_is_read_as_one_that_is_typed() {
        let hyphenated = SealNumber::parse("DEMO-000041").map(Code::SealNumber).ok();
        for text in [
            "DEMO 000 041",
            "]A0DEMO 000 041",
            "\u{200b}DEMO\u{2009}000\u{202f}041",
            "http://HOST/verify/DEMO%20000%20041",
            "http://HOST/verify/DEMO%C2%A0000%20041?lang=kk",
            "/verify?code=DEMO+000041",
            "https://o.kz/verify?lang=ru&code=%20DEMO+000+041",
        ] {
            let code = Code::parse_public(text).unwrap();
            assert_eq!(code.to_string(), "DEMO000041", "{text}");
            assert_eq!(code.other_reading(), hyphenated, "{text}");
        }
        for text in ["DEMO000041", "http://HOST/verify/DEMO000041"] {
            assert_eq!(Code::parse_public(text).unwrap().other_reading(), None, "{text}");
        }
        let literal = "https://o.kz/verify/010952000000001121B1_x001D_93Ab1c";
        let other = Code::parse_public(literal).unwrap().other_reading().unwrap();
        assert_eq!(other.identification().unwrap().serial(), "B1");
    }

    #[test]
    fn a_code_with_written_separators_has_another_reading() {
        let literal = Code::parse("010952000000001121B1_x001D_93Ab1c").unwrap();
        assert_eq!(literal.identification().unwrap().serial(), "B1_x001D_93Ab1c");
        let other = literal.other_reading().unwrap();
        assert_eq!(other.identification().unwrap().serial(), "B1");
        assert_eq!(other.other_reading(), None);
        assert_eq!(Code::parse("KZ000000041").unwrap().other_reading(), None);
    }

    #[test]
    fn the_public_door_takes_no_id() {
        for spelling in [ID.to_owned(), ID.to_uppercase(), format!(" {ID}\n")] {
            assert_eq!(Code::parse_public(&spelling).unwrap_err().code, "code-is-internal-id");
        }
        for other in [ID.replace('-', ""), format!("{{{ID}}}"), format!("urn:uuid:{ID}")] {
            assert!(Code::parse(&other).is_err(), "{other}");
        }
        assert!(Code::parse_public("AB-0001").is_ok());
    }

    #[test]
    fn the_reason_fits_what_was_meant() {
        for (text, code) in [
            ("", "seal-number-empty"),
            ("A1", "seal-number-length"),
            ("AB_0001", "seal-number-character"),
            ("0109520000000012211", "gtin-check-digit"),
            ("01095200000000112\u{1d}A", "element-unknown"),
            ("what is this thing on the log", "code-unrecognised"),
        ] {
            assert_eq!(Code::parse(text).unwrap_err().code, code, "{text}");
        }
        assert_eq!(Code::parse(&"9".repeat(513)).unwrap_err().code, "code-too-long");
    }

    proptest! {
        #[test]
        fn a_number_of_digits_is_a_seals_or_a_code_never_both(text in "[0-9]{4,20}|01[0-9]{14}21[0-9]{1,2}") {
            match Code::parse(&text) {
                Ok(Code::SealNumber(_)) => prop_assert!(MarkingCode::parse(&text).is_err()),
                Ok(Code::Identification(_)) => prop_assert!(SealNumber::parse(&text).is_err()),
                Ok(other) => prop_assert!(false, "{other:?}"),
                Err(_) => prop_assert!(SealNumber::parse(&text).is_err()),
            }
        }

        #[test]
        fn anything_at_all_is_a_code_or_a_refusal(text in any::<String>()) {
            if let Ok(code) = Code::parse(&text) {
                prop_assert_eq!(Code::parse(&code.to_string()), Ok(code));
            }
        }
    }
}
