//! Free text from people: names, reasons, notes.

use crate::base::error::Invalid;
use crate::base::vocabulary::sqlx_as_text;
use unicode_normalization::UnicodeNormalization;

/// One line of text: NFC, trimmed, 1 to `MAX` characters (Unicode scalar values), without control
/// characters, line breaks, invisible spaces, direction overrides or noncharacters.
///
/// Refusals: `text-empty`, `text-too-long`, `text-forbidden-character`.
#[derive(Clone, PartialEq, Eq, PartialOrd, Ord, Hash)]
pub struct Text<const MAX: usize = 200>(String);

/// A longer remark.
pub type Note = Text<1_000>;

impl<const MAX: usize> Text<MAX> {
    /// Normalises and checks.
    pub fn parse(text: &str) -> Result<Self, Invalid> {
        // Normalisation (NFC) combines at most four characters into one. A text of more than 4 × MAX
        // characters would therefore still be too long after normalisation, so it is refused without
        // normalising it.
        if text.trim().chars().nth(MAX * 4).is_some() {
            return Err(Self::too_long());
        }
        let composed: String = text.nfc().collect();
        let trimmed = composed.trim();
        if trimmed.is_empty() {
            return Err(Invalid::new("text-empty", "The text is empty."));
        }
        if let Some(found) = trimmed.chars().find(|&character| forbidden(character)) {
            return Err(Invalid::new(
                "text-forbidden-character",
                format!("The text has the character U+{:04X}, which is not allowed.", u32::from(found)),
            ));
        }
        if trimmed.chars().nth(MAX).is_some() {
            return Err(Self::too_long());
        }
        Ok(Self(trimmed.to_owned()))
    }

    fn too_long() -> Invalid {
        Invalid::new("text-too-long", format!("The text has at most {MAX} characters."))
    }

    /// The text.
    #[must_use]
    pub fn as_str(&self) -> &str {
        &self.0
    }

    /// The text, owned.
    #[must_use]
    pub fn into_string(self) -> String {
        self.0
    }
}

/// The error for a name that a wrong conversion has damaged: it contains `?`, U+FFFD, or letters of Serbian
/// and Macedonian. Programs that convert to windows-1251 replace letters that it lacks by `?`, and KZ-1048
/// read as windows-1251 turns `Қ Һ Ә Ң` into `Ќ Ћ Ј Ѕ`. For names only: `name-letters-lost`.
#[must_use]
pub fn lost_letters(name: &str) -> Option<Invalid> {
    let lost =
        |letter: &char| matches!(letter, '?' | '\u{FFFD}' | 'Ј' | 'ј' | 'Ќ' | 'ќ' | 'Ћ' | 'ћ' | 'Ѕ' | 'ѕ');
    let letter = name.chars().find(lost)?;
    Some(Invalid::new(
        "name-letters-lost",
        format!(
            "The name contains `{letter}`, which stands where a Kazakh letter was lost in a conversion; send it in \
             UTF-8, or a table in KZ-1048 with `charset=kz-1048`."
        ),
    ))
}

/// Characters that would make one name or remark look like another, or break a line.
fn forbidden(character: char) -> bool {
    character.is_control()
        || matches!(u32::from(character),
            0x200B | 0x2028 | 0x2029 | 0x202A..=0x202E | 0x2060..=0x2064 | 0x2066..=0x206F | 0xFEFF
            | 0xFDD0..=0xFDEF | 0xFFF9..=0xFFFB | 0xE0000..=0xE007F)
        || u32::from(character) & 0xFFFE == 0xFFFE
}

/// What the two kinds of text have in common: how they are shown, read and described.
macro_rules! line_of_text {
    ($Kind:ident, $description:literal) => {
        impl<const MAX: usize> std::fmt::Display for $Kind<MAX> {
            fn fmt(&self, f: &mut std::fmt::Formatter<'_>) -> std::fmt::Result {
                f.write_str(self.as_str())
            }
        }

        impl<const MAX: usize> std::fmt::Debug for $Kind<MAX> {
            fn fmt(&self, f: &mut std::fmt::Formatter<'_>) -> std::fmt::Result {
                std::fmt::Debug::fmt(self.as_str(), f)
            }
        }

        impl<const MAX: usize> std::str::FromStr for $Kind<MAX> {
            type Err = Invalid;
            fn from_str(text: &str) -> Result<Self, Self::Err> {
                Self::parse(text)
            }
        }

        impl<const MAX: usize> serde::Serialize for $Kind<MAX> {
            fn serialize<S: serde::Serializer>(&self, serializer: S) -> Result<S::Ok, S::Error> {
                serializer.serialize_str(self.as_str())
            }
        }

        impl<'de, const MAX: usize> serde::Deserialize<'de> for $Kind<MAX> {
            fn deserialize<D: serde::Deserializer<'de>>(deserializer: D) -> Result<Self, D::Error> {
                let text = <std::borrow::Cow<'de, str>>::deserialize(deserializer)?;
                Self::parse(&text).map_err(serde::de::Error::custom)
            }
        }

        impl<const MAX: usize> utoipa::PartialSchema for $Kind<MAX> {
            fn schema() -> utoipa::openapi::RefOr<utoipa::openapi::schema::Schema> {
                utoipa::openapi::ObjectBuilder::new()
                    .schema_type(utoipa::openapi::schema::Type::String)
                    .min_length(Some(1))
                    .max_length(Some(MAX))
                    .description(Some($description))
                    .into()
            }
        }

        impl<const MAX: usize> utoipa::ToSchema for $Kind<MAX> {
            fn name() -> std::borrow::Cow<'static, str> {
                format!("{}{MAX}", stringify!($Kind)).into()
            }
        }

        impl<const MAX: usize> crate::base::input::Read for $Kind<MAX> {
            crate::base::input::whole!();

            fn read_partial(
                node: crate::base::input::Node<'_>,
                errors: &mut crate::base::input::Errors,
            ) -> Option<Self> {
                crate::base::input::read_text(node, errors)
            }
        }

        impl<const MAX: usize> crate::base::input::ParseText for $Kind<MAX> {
            fn parse_text(text: &str) -> Result<Self, Invalid> {
                Self::parse(text)
            }
        }
    };
}

line_of_text!(Text, "One line of text; composed (NFC) and trimmed before it is stored.");
sqlx_as_text!([const MAX: usize] Text<MAX>);

/// The number of a paper or of a vehicle: a [`Text`] with at least one letter or digit. A dash names nothing, and a
/// record with it would look as if there were a paper.
///
/// Refusals: those of [`Text`], `reference-without-letters`.
#[derive(Clone, PartialEq, Eq, PartialOrd, Ord, Hash)]
pub struct Reference<const MAX: usize = 40>(Text<MAX>);

impl<const MAX: usize> Reference<MAX> {
    /// Normalises and checks.
    pub fn parse(text: &str) -> Result<Self, Invalid> {
        let text = Text::parse(text)?;
        // Some signs that count as letters look like a dash, or like nothing.
        let blank = |letter: char| {
            matches!(u32::from(letter), 0x2B0..=0x2FF | 0x115F | 0x1160 | 0x3164 | 0x30FC | 0xFF70 | 0xFFA0)
        };
        let names = |letter: char| letter.is_alphanumeric() && !blank(letter);
        if text.as_str().chars().any(names) {
            return Ok(Self(text));
        }
        let detail = "This names no paper and no vehicle: it has neither a letter nor a digit. Leave it out if there is none.";
        Err(Invalid::new("reference-without-letters", detail))
    }

    /// The text.
    #[must_use]
    pub fn as_str(&self) -> &str {
        self.0.as_str()
    }
}

line_of_text!(
    Reference,
    "One line of text with a letter or a digit; composed (NFC) and trimmed before it is stored."
);

#[cfg(test)]
mod tests {
    use super::*;
    use proptest::prelude::*;

    #[test]
    fn a_dash_names_no_paper() {
        for text in ["-", "—", "...", "- -", "№", "?", "/", "ー", "_", "\u{3164}", "ˉ"] {
            let refused = Reference::<40>::parse(text).unwrap_err();
            assert_eq!(refused.code, "reference-without-letters", "{text}");
        }
        for text in ["1", "А", "a", "123 ABC 10", "№ 7", "-Қ-", "٣", "京"] {
            assert!(Reference::<40>::parse(text).is_ok(), "{text}");
        }
        assert_eq!(Reference::<4>::parse("12345").unwrap_err().code, "text-too-long");
        assert_eq!(Reference::<4>::parse(" ").unwrap_err().code, "text-empty");
    }

    #[test]
    fn a_name_is_composed_and_trimmed() {
        // The first name has й written as и and a combining breve, which NFC combines into one character.
        let name = Text::<200>::parse("  Семеи\u{306} орманы\u{a0}").unwrap();
        assert_eq!(name.as_str(), "Семей орманы");
        assert_eq!(serde_json::to_string(&name).unwrap(), "\"Семей орманы\"");
        assert_eq!(
            Text::<200>::parse("Қызыл-Арай, 12-орам № 3 «Б»").unwrap().as_str(),
            "Қызыл-Арай, 12-орам № 3 «Б»"
        );
    }

    #[test]
    fn a_name_that_lost_its_kazakh_letters_is_noticed() {
        for name in ["Айг?л Сәрсен", "Јйгерім", "Ќайрат", "Айгѕл", "А\u{fffd}гүл"]
        {
            assert_eq!(lost_letters(name).unwrap().code, "name-letters-lost", "{name}");
        }
        for name in ["Айгүл Сәрсен", "Қайрат Һәкім", "Євген Ґалаґан", "Jan", "ТОО «Ертіс ағаш»"]
        {
            assert_eq!(lost_letters(name), None, "{name}");
        }
    }

    #[test]
    fn what_hides_or_breaks_is_refused() {
        for bad in [
            "a\0b",
            "a\nb",
            "a\tb",
            "a\u{202e}b",
            "a\u{2066}b",
            "a\u{200b}b",
            "a\u{feff}b",
            "a\u{ffff}b",
            "\u{7f}a",
        ] {
            assert_eq!(Text::<200>::parse(bad).unwrap_err().code, "text-forbidden-character", "{bad:?}");
        }
        for empty in ["", " ", "\u{3000}\n"] {
            assert_eq!(Text::<200>::parse(empty).unwrap_err().code, "text-empty");
        }
    }

    #[test]
    fn length_counts_characters_after_composition() {
        assert!(Text::<200>::parse(&"ә".repeat(200)).is_ok());
        assert_eq!(Text::<200>::parse(&"ә".repeat(201)).unwrap_err().code, "text-too-long");
        assert!(Text::<200>::parse(&"и\u{306}".repeat(200)).is_ok());
        assert!(Note::parse(&"ә".repeat(1_000)).is_ok());
        assert_eq!(Text::<200>::parse(&"x".repeat(1_000_000)).unwrap_err().code, "text-too-long");
        // Surrounding spaces do not count.
        assert!(Text::<5>::parse(&format!("{0}pine{0}", " ".repeat(1_000))).is_ok());
    }

    #[test]
    fn each_length_has_its_own_schema_name() {
        use utoipa::ToSchema as _;
        assert_ne!(Text::<200>::name(), Note::name());
    }

    proptest! {
        #[test]
        fn parsing_twice_changes_nothing(text in "\\PC{0,60}|.{0,60}") {
            if let Ok(once) = Text::<50>::parse(&text) {
                prop_assert_eq!(&Text::<50>::parse(once.as_str()).unwrap(), &once);
                prop_assert!(once.as_str().chars().count() <= 50);
            }
        }
    }
}
