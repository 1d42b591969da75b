//! The 12-digit numbers of Kazakhstan: BIN of an organisation, IIN of a person.

use crate::base::error::Invalid;
use crate::base::personal_number::check_digit;
use crate::base::vocabulary::sqlx_as_text;

/// A BIN or IIN: 12 digits, the last of which is a check digit. [`Bin::is_person`] distinguishes the two; no
/// other structure is assumed.
///
/// Check digit: Σ digit·weight mod 11 over the first eleven with weights 1…11. If the result is 10, it is
/// computed again with weights 3…11, 1, 2. If it is 10 again, no such number is issued.
///
/// An IIN is personal data: `Debug` shows its last four digits only, so that no error or trace contains it.
#[derive(Clone, Copy, PartialEq, Eq, PartialOrd, Ord, Hash)]
pub struct Bin([u8; 12]);

impl Bin {
    /// Reads 12 digits. Errors: `bin-malformed`, `bin-check-digit`.
    pub fn parse(text: &str) -> Result<Self, Invalid> {
        let digits: [u8; 12] = text
            .as_bytes()
            .try_into()
            .ok()
            .filter(|digits: &[u8; 12]| digits.iter().all(u8::is_ascii_digit))
            .ok_or_else(|| Invalid::new("bin-malformed", "A BIN or IIN is 12 digits."))?;
        match check_digit(&digits) {
            Some(check) if check == u32::from(digits[11] - b'0') => Ok(Self(digits)),
            _ => Err(Invalid::new(
                "bin-check-digit",
                "The last digit, a check digit, does not match the others: the BIN or IIN was mistyped.",
            )),
        }
    }

    /// Whether the number is an IIN, a person's number. The first six digits of an IIN are a date of birth,
    /// so the fifth digit, the first one of the day, is 0 to 3. In a BIN the fifth digit is the kind of
    /// organisation, 4 to 6.
    #[must_use]
    pub fn is_person(&self) -> bool {
        is_person(self.as_str())
    }

    /// The 12 digits.
    #[must_use]
    pub fn as_str(&self) -> &str {
        std::str::from_utf8(&self.0).unwrap_or_default()
    }
}

impl std::fmt::Display for Bin {
    fn fmt(&self, f: &mut std::fmt::Formatter<'_>) -> std::fmt::Result {
        f.pad(self.as_str())
    }
}

impl std::fmt::Debug for Bin {
    fn fmt(&self, f: &mut std::fmt::Formatter<'_>) -> std::fmt::Result {
        write!(f, "Bin(…{})", &self.as_str()[8..])
    }
}

impl std::str::FromStr for Bin {
    type Err = Invalid;
    fn from_str(text: &str) -> Result<Self, Self::Err> {
        Self::parse(text)
    }
}

impl serde::Serialize for Bin {
    fn serialize<S: serde::Serializer>(&self, serializer: S) -> Result<S::Ok, S::Error> {
        serializer.serialize_str(self.as_str())
    }
}

impl<'de> serde::Deserialize<'de> for Bin {
    fn deserialize<D: serde::Deserializer<'de>>(deserializer: D) -> Result<Self, D::Error> {
        let text = <std::borrow::Cow<'de, str>>::deserialize(deserializer)?;
        Self::parse(&text).map_err(serde::de::Error::custom)
    }
}

sqlx_as_text!(Bin);

impl utoipa::PartialSchema for Bin {
    fn schema() -> utoipa::openapi::RefOr<utoipa::openapi::schema::Schema> {
        utoipa::openapi::ObjectBuilder::new()
            .schema_type(utoipa::openapi::schema::Type::String)
            .pattern(Some("^[0-9]{12}$"))
            .description(Some("BIN or IIN: 12 digits, the last of which is a check digit."))
            .examples(["123456789013"])
            .into()
    }
}

impl utoipa::ToSchema for Bin {}

crate::base::input::parse_text!(Bin);

/// [`Bin::is_person`], for a number that is read from the database as text.
pub(super) fn is_person(number: &str) -> bool {
    matches!(number.as_bytes().get(4), Some(b'0'..=b'3'))
}

#[cfg(test)]
mod tests {
    use super::*;
    use proptest::prelude::*;

    /// Eleven digits and their check digit; `None` for digits that have no valid check digit.
    fn completed(eleven: &str) -> Option<String> {
        let digits: [u8; 12] = format!("{eleven}0").into_bytes().try_into().unwrap();
        check_digit(&digits).map(|check| format!("{eleven}{check}"))
    }

    #[test]
    fn the_check_digit_by_hand() {
        // 1·1+2·2+…+9·9 + 0·10 + 1·11 = 285 + 11 = 296; 296 mod 11 = 10, so again:
        // 1·3+2·4+3·5+4·6+5·7+6·8+7·9+8·10+9·11 + 0·1 + 1·2 = 375 + 2 = 377; 377 mod 11 = 3.
        assert_eq!(completed("12345678901").as_deref(), Some("123456789013"));
        assert!(Bin::parse("123456789013").is_ok());
        // 2·1 = 2 and nothing else.
        assert_eq!(completed("20000000000").as_deref(), Some("200000000002"));
        assert_eq!(Bin::parse("200000000003").unwrap_err().code, "bin-check-digit");
    }

    #[test]
    fn some_numbers_are_never_issued() {
        let never =
            (0..200_000_u32).map(|n| format!("{n:011}")).find(|eleven| completed(eleven).is_none()).unwrap();
        for last in 0..10 {
            assert_eq!(Bin::parse(&format!("{never}{last}")).unwrap_err().code, "bin-check-digit");
        }
    }

    #[test]
    fn only_twelve_ascii_digits() {
        for text in [
            "",
            "12345678901",
            "1234567890133",
            "12345678901 ",
            " 23456789013",
            "12345678901x",
            "١٢٣٤٥٦",
            "-23456789013",
        ] {
            assert_eq!(Bin::parse(text).unwrap_err().code, "bin-malformed", "{text}");
        }
    }

    #[test]
    fn the_fifth_digit_tells_a_person_from_an_organisation() {
        for (number, person) in
            [("850101300005", true), ("900101300007", true), ("123456789013", false), ("040640000018", false)]
        {
            assert_eq!(Bin::parse(number).unwrap().is_person(), person, "{number}");
        }
    }

    #[test]
    fn debug_does_not_tell_it() {
        assert_eq!(format!("{:?}", Bin::parse("123456789013").unwrap()), "Bin(…9013)");
    }

    proptest! {
        #[test]
        fn a_number_is_what_its_check_digit_says(eleven in "[0-9]{11}", at in 0_usize..12, step in 1_u8..10) {
            if let Some(valid) = completed(&eleven) {
                prop_assert_eq!(Bin::parse(&valid).unwrap().to_string(), valid.clone());
                let mut invalid = valid.into_bytes();
                invalid[at] = b'0' + (invalid[at] - b'0' + step) % 10;
                let invalid = String::from_utf8(invalid).unwrap();
                // A wrong last digit is always detected. A change of another digit is not: the second set of
                // weights may give the same check digit by chance.
                if at == 11 {
                    prop_assert!(Bin::parse(&invalid).is_err());
                } else if let Ok(bin) = Bin::parse(&invalid) {
                    prop_assert_eq!(completed(&invalid[..11]), Some(bin.to_string()));
                }
            }
        }
    }
}
