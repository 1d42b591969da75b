//! The number printed on a seal's plastic, and ranges of such numbers.
//!
//! The only normal form is 4–20 of `A–Z`, `0–9` and `-`, with a letter or digit
//! at both ends. People type it from frozen plastic, so [`SealNumber::parse`]
//! accepts either case, surrounding space, typographic dashes and Cyrillic
//! letters that look Latin; it repairs nothing else.

use super::column::text_type;
use super::gs1;
use super::marking_code::MarkingCode;
use crate::base::error::Invalid;
use crate::base::input;
use std::borrow::Cow;
use unicode_normalization::UnicodeNormalization;

/// Shortest seal number, in characters.
pub const MIN_LENGTH: usize = 4;
/// Longest seal number, in characters.
pub const MAX_LENGTH: usize = 20;
/// Longest accepted text, in bytes: enough for 20 characters and for the invisible ones that copy and paste
/// adds.
const MAX_INPUT: usize = 512;
/// Most digits that vary within a range; more would let one request name over a billion seals.
const MAX_TAIL: usize = 9;

/// A seal's visible number in its normal form.
#[derive(Clone, Debug, PartialEq, Eq, PartialOrd, Ord, Hash, utoipa::ToSchema)]
#[schema(
    value_type = String,
    min_length = 4,
    max_length = 20,
    pattern = "^[A-Z0-9][A-Z0-9-]{2,18}[A-Z0-9]$",
    examples("AB-0004711")
)]
pub struct SealNumber(Typed);

/// A number as it was typed: in groups, or without blanks. Comparisons ignore the position of the first blank;
/// only [`SealNumber::hyphenated`] uses it.
#[derive(Clone, Debug)]
struct Typed {
    text: String,
    /// Number of characters before the first blank.
    blank: Option<u8>,
}

impl PartialEq for Typed {
    fn eq(&self, other: &Self) -> bool {
        self.text == other.text
    }
}

impl Eq for Typed {}

impl PartialOrd for Typed {
    fn partial_cmp(&self, other: &Self) -> Option<std::cmp::Ordering> {
        Some(self.cmp(other))
    }
}

impl Ord for Typed {
    fn cmp(&self, other: &Self) -> std::cmp::Ordering {
        self.text.cmp(&other.text)
    }
}

impl std::hash::Hash for Typed {
    fn hash<H: std::hash::Hasher>(&self, state: &mut H) {
        self.text.hash(state);
    }
}

/// Why a text is not a seal number.
#[derive(Clone, Debug, PartialEq, Eq, thiserror::Error)]
pub enum NumberError {
    /// No text, or only white space.
    #[error("the seal number is empty")]
    Empty,
    /// Fewer than 4 or more than 20 characters.
    #[error("a seal number has {MIN_LENGTH} to {MAX_LENGTH} characters, this has {0}")]
    Length(usize),
    /// A character that seal numbers do not contain.
    #[error("a seal number contains only Latin letters, digits and hyphens, not {0:?}")]
    Character(char),
    /// It begins or ends with a hyphen.
    #[error("a seal number begins and ends with a letter or a digit, not with a hyphen")]
    Hyphen,
    /// A marking code, or a text with the form of its identification (`01`, 14 digits, `21` and a serial).
    #[error("this is a marking code or its identification, not the number that is printed on the seal")]
    Identification,
}

impl NumberError {
    /// The stable error code in responses.
    #[must_use]
    pub fn code(&self) -> &'static str {
        match self {
            Self::Empty => "seal-number-empty",
            Self::Length(_) => "seal-number-length",
            Self::Character(_) => "seal-number-character",
            Self::Hyphen => "seal-number-hyphen",
            Self::Identification => "seal-number-is-marking-code",
        }
    }
}

impl From<NumberError> for Invalid {
    fn from(error: NumberError) -> Self {
        Self::new(error.code(), error.to_string())
    }
}

impl SealNumber {
    /// Reads a number as typed or scanned. Applies only unambiguous repairs:
    /// - removes surrounding space, invisible characters, the symbology identifier of a reader, and the
    ///   blanks of a number that is printed in groups (`KZ 000 000 041`);
    /// - normalises the text to NFC and converts it to upper case;
    /// - replaces `АВЕКМНОРСТУХ` and `І` with the Latin letters of the same shape, and any dash with a
    ///   hyphen.
    pub fn parse(text: &str) -> Result<Self, NumberError> {
        if text.len() > MAX_INPUT {
            return Err(NumberError::Length(text.chars().count()));
        }
        let visible: String = text.chars().filter(|c| !gs1::is_invisible(*c)).collect();
        let bare = gs1::without_symbology(visible.trim()).trim_start();
        let grouped = ungrouped(bare);
        let normal: String = grouped.as_deref().unwrap_or(bare).nfc().map(repaired).collect();
        Self::check(&normal)?;
        let before = grouped.is_some().then(|| bare.split(is_blank).next().unwrap_or_default());
        let blank = before.and_then(|before| u8::try_from(before.nfc().count()).ok());
        Ok(Self(Typed { text: normal, blank }))
    }

    const fn plain(text: String) -> Self {
        Self(Typed { text, blank: None })
    }

    /// The number in its normal form.
    #[must_use]
    pub fn as_str(&self) -> &str {
        &self.0.text
    }

    fn from_stored(text: String) -> Option<Self> {
        Self::check(&text).is_ok().then(|| Self::plain(text))
    }

    fn check(text: &str) -> Result<(), NumberError> {
        if text.is_empty() {
            return Err(NumberError::Empty);
        }
        let is_forbidden = |c: &char| !(c.is_ascii_uppercase() || c.is_ascii_digit() || *c == '-');
        if let Some(c) = text.chars().find(is_forbidden) {
            return Err(NumberError::Character(c));
        }
        if !(MIN_LENGTH..=MAX_LENGTH).contains(&text.len()) {
            return Err(NumberError::Length(text.len()));
        }
        if text.starts_with('-') || text.ends_with('-') {
            return Err(NumberError::Hyphen);
        }
        if gs1::has_identification_shape(text) {
            return Err(NumberError::Identification);
        }
        Ok(())
    }

    /// The number with a hyphen where it was typed with its first blank, such as `DEMO-000041` for `DEMO 000
    /// 041`. `None` if it was typed without blanks, or if the result is not a valid number.
    #[must_use]
    pub fn hyphenated(&self) -> Option<Self> {
        let (prefix, rest) = self.0.text.split_at_checked(usize::from(self.0.blank?))?;
        Self::from_stored(format!("{prefix}-{rest}")).filter(|_| !prefix.is_empty() && !prefix.ends_with('-'))
    }

    /// The number with digits in place of the letters that look like them (`O` for 0, `I` and `L` for 1), if it has
    /// any after the first digit, or right after a hyphen or `KZ`, the prefix of this system's own numbers. Elsewhere before
    /// the first digit the letter may belong to a prefix (`DEMO000041`).
    #[must_use]
    pub fn with_digits(&self) -> Option<Self> {
        let text = &*self.0.text;
        let digit = text.find(|c: char| c.is_ascii_digit());
        let hyphen = text[..digit.unwrap_or(text.len())].rfind('-').map(|at| at + 1);
        let prefix = hyphen.or_else(|| text.starts_with("KZ").then_some(2));
        let first = prefix.filter(|at| text[*at..].starts_with(['O', 'I', 'L'])).or(digit)?;
        let (prefix, rest) = self.0.text.split_at(first);
        let rest = rest.replace('O', "0").replace(['I', 'L'], "1");
        Self::from_stored(format!("{prefix}{rest}")).filter(|other| other != self)
    }

    /// The number that was probably meant by a text that names no seal: as [`Self::with_digits`], and with 3 for a
    /// Cyrillic `З`, which is no character of a number.
    #[must_use]
    pub fn meant(text: &str) -> Option<Self> {
        let respelled = text.replace(['З', 'з'], "3");
        let number = Self::parse(&respelled).ok()?;
        number.with_digits().or_else(|| (respelled != text).then_some(number))
    }

    /// Splits the number into its prefix and its last digits, at most nine.
    fn split(&self) -> (&str, &str) {
        let digits = self.0.text.bytes().rev().take(MAX_TAIL).take_while(u8::is_ascii_digit).count();
        self.0.text.split_at(self.0.text.len() - digits)
    }
}

text_type!(SealNumber, "seal number");

/// A number that is printed in groups, without the blanks between the groups. Every group but the first must
/// consist of digits, so that two numbers in one field are not joined. `None` if there is no blank, or if a
/// group after the first has other characters.
fn ungrouped(text: &str) -> Option<String> {
    let mut groups = text.split(is_blank);
    groups.next()?;
    let mut groups = groups.peekable();
    groups.peek()?;
    let digits = |group: &str| !group.is_empty() && group.bytes().all(|byte| byte.is_ascii_digit());
    groups.all(digits).then(|| text.replace(is_blank, ""))
}

/// A blank between the groups of a printed number.
const fn is_blank(c: char) -> bool {
    matches!(c, ' ' | '\u{a0}' | '\u{2009}' | '\u{202f}')
}

fn repaired(c: char) -> char {
    match c.to_ascii_uppercase() {
        'А' | 'а' => 'A',
        'В' | 'в' => 'B',
        'Е' | 'е' => 'E',
        'К' | 'к' => 'K',
        'М' | 'м' => 'M',
        'Н' | 'н' => 'H',
        'О' | 'о' => 'O',
        'Р' | 'р' => 'P',
        'С' | 'с' => 'C',
        'Т' | 'т' => 'T',
        'У' | 'у' => 'Y',
        'Х' | 'х' => 'X',
        'І' | 'і' => 'I',
        // Hyphens, en and em dashes, the minus sign and their small and wide forms.
        '\u{2010}'..='\u{2015}' | '\u{2212}' | '\u{2043}' | '\u{fe58}' | '\u{fe63}' | '\u{ff0d}' => '-',
        c => c,
    }
}

/// A range of consecutive seal numbers: same length, same prefix, last digits counting up.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct SealRange {
    first: SealNumber,
    prefix: String,
    width: usize,
    from: u32,
    to: u32,
}

/// Why two numbers do not form a range.
#[derive(Clone, Debug, PartialEq, Eq, thiserror::Error)]
pub enum RangeError {
    /// The two numbers have different lengths: from `A-099` to `A-1000`, it is unclear which numbers are in
    /// between.
    #[error("the first and the last number of a range must have the same length")]
    Lengths,
    /// The two numbers differ in more than the digits at the end.
    #[error("the numbers of a range may differ only in their last digits, at most {MAX_TAIL} of them")]
    Prefix,
    /// The last comes before the first.
    #[error("the last number of a range must not be below the first")]
    Order,
    /// A number inside the range has the form of a marking code.
    #[error("a number inside this range has the form of a marking code")]
    Identification,
}

impl RangeError {
    /// The stable error code in responses.
    #[must_use]
    pub fn code(&self) -> &'static str {
        match self {
            Self::Lengths => "seal-range-lengths",
            Self::Prefix => "seal-range-prefix",
            Self::Order => "seal-range-order",
            Self::Identification => "seal-range-is-marking-code",
        }
    }
}

impl From<RangeError> for Invalid {
    fn from(error: RangeError) -> Self {
        Self::new(error.code(), Cow::Owned(error.to_string()))
    }
}

impl SealRange {
    /// The range from `first` to `last`, both included.
    pub fn new(first: SealNumber, last: &SealNumber) -> Result<Self, RangeError> {
        if first.0.text.len() != last.0.text.len() {
            return Err(RangeError::Lengths);
        }
        let (prefix, tail) = first.split();
        let (last_prefix, last_tail) = last.split();
        if prefix != last_prefix {
            return Err(RangeError::Prefix);
        }
        let width = tail.len();
        let (from, to) = (parse_digits(tail), parse_digits(last_tail));
        if to < from {
            return Err(RangeError::Order);
        }
        // Inside the range, a number may have the form of an identification although the first and the last
        // number do not: if the characters that vary include digits 17 and 18, these may be `21` there.
        let range = Self { prefix: prefix.to_owned(), width, from, to, first };
        if range.crosses_identification() {
            return Err(RangeError::Identification);
        }
        Ok(range)
    }

    /// The range of `quantity` numbers that begins with `first`. `None` if `quantity` is 0, the last digits
    /// cannot count that far, or a number would have the form of a marking code.
    #[must_use]
    pub fn starting_at(first: SealNumber, quantity: u32) -> Option<Self> {
        let (prefix, tail) = first.split();
        let from = parse_digits(tail);
        let to = from.checked_add(quantity.checked_sub(1)?)?;
        let last = SealNumber::plain(numbered(prefix, tail.len(), to));
        if last.0.text.len() != first.0.text.len() || (tail.is_empty() && quantity > 1) {
            return None;
        }
        Self::new(first, &last).ok()
    }

    /// The first number.
    #[must_use]
    pub fn first(&self) -> &SealNumber {
        &self.first
    }

    /// The last number.
    #[must_use]
    pub fn last(&self) -> SealNumber {
        self.number(self.to)
    }

    /// How many numbers; never 0.
    #[must_use]
    #[expect(clippy::len_without_is_empty, reason = "a range holds at least its first number")]
    pub fn len(&self) -> u32 {
        self.to - self.from + 1
    }

    /// The number `ordinal` steps after the first.
    #[must_use]
    pub fn nth(&self, ordinal: u32) -> Option<SealNumber> {
        (ordinal < self.len()).then(|| self.number(self.from + ordinal))
    }

    /// Every number from the first to the last.
    #[must_use]
    pub fn iter(&self) -> impl ExactSizeIterator<Item = SealNumber> + '_ {
        (0..self.len() as usize).map(|n| self.number(self.from + u32::try_from(n).unwrap_or(u32::MAX)))
    }

    fn number(&self, value: u32) -> SealNumber {
        SealNumber::plain(numbered(&self.prefix, self.width, value))
    }

    fn crosses_identification(&self) -> bool {
        let length = self.prefix.len() + self.width;
        // If neither end of the range is an identification, only a range of numbers of 19 or 20 digits can
        // contain one: `01` is then in the prefix, and digits 17 and 18 are in the tail, followed by one or
        // two digits.
        if length < gs1::MIN_IDENTIFICATION || !self.prefix.bytes().all(|b| b.is_ascii_digit()) {
            return false;
        }
        if !self.prefix.starts_with("01") {
            return false;
        }
        let after = 10_u32.pow(u32::try_from(length - 18).unwrap_or(0));
        // In each block of `block` consecutive values there is one run of values in which digits 17 and 18
        // are 21. If the range contains a value of any such run, it contains one in the block of `from` or in
        // the next block. So only these two runs are checked.
        let block = after * 100;
        let offset = 21 * after;
        let base = self.from - self.from % block;
        [base, base.saturating_add(block)]
            .into_iter()
            .map(|b| b.saturating_add(offset))
            .any(|low| low <= self.to && low + after > self.from)
    }
}

/// The value of at most nine ASCII digits, which fits into `u32`.
fn parse_digits(digits: &str) -> u32 {
    digits.bytes().fold(0, |sum, d| sum * 10 + u32::from(d - b'0'))
}

fn numbered(prefix: &str, width: usize, value: u32) -> String {
    if width == 0 { prefix.to_owned() } else { format!("{prefix}{value:0width$}") }
}

impl input::ParseText for SealNumber {
    fn parse_text(text: &str) -> Result<Self, Invalid> {
        Self::parse(text).map_err(|error| match error {
            // A whole code from a scanner: its length or one of its characters is not what is wrong.
            NumberError::Length(_) | NumberError::Character(_) if MarkingCode::parse(text).is_ok() => {
                NumberError::Identification.into()
            }
            error => error.into(),
        })
    }
}

impl input::Read for SealNumber {
    input::whole!();

    fn read_partial(node: input::Node<'_>, errors: &mut input::Errors) -> Option<Self> {
        input::read_text(node, errors)
    }
}

#[cfg(test)]
mod tests {
    use super::*;
    use proptest::prelude::*;

    fn number(text: &str) -> SealNumber {
        SealNumber::parse(text).unwrap()
    }

    #[test]
    fn what_a_person_types_becomes_what_the_plastic_says() {
        for (typed, plastic) in [
            ("AB-0001", "AB-0001"),
            ("  ab-0001\r\n", "AB-0001"),
            ("\u{feff}ab\u{200b}-0001\u{a0}", "AB-0001"),
            ("АВЕКМНОРСТУХ", "ABEKMHOPCTYX"),
            ("авекмнорстух-1", "ABEKMHOPCTYX-1"),
            ("аb–0001", "AB-0001"),
            ("AB—0001", "AB-0001"),
            ("AB−0001", "AB-0001"),
            ("\u{212a}Z-100", "KZ-100"),
            ("00471100", "00471100"),
            ("AB 0001", "AB0001"),
            ("DEMO 000 041", "DEMO000041"),
            ("kz\u{a0}000\u{202f}000\u{2009}041", "KZ000000041"),
            ("]A0KZ-000041", "KZ-000041"),
            ("]Q0 kz-000041", "KZ-000041"),
        ] {
            assert_eq!(number(typed).as_str(), plastic, "{typed:?}");
        }
    }

    #[test]
    fn what_is_no_number_says_why() {
        for (typed, code) in [
            ("", "seal-number-empty"),
            (" \u{feff}\u{a0}", "seal-number-empty"),
            ("A-1", "seal-number-length"),
            ("AB-000100010001000100", "seal-number-length"),
            ("AB 0001 A", "seal-number-character"),
            ("AB-0001 AB-0002", "seal-number-character"),
            ("AB  0001", "seal-number-character"),
            ("AB_0001", "seal-number-character"),
            ("ЖБ-0001", "seal-number-character"),
            ("stra\u{df}e", "seal-number-character"),
            ("AB\u{0}001", "seal-number-character"),
            ("-AB0001", "seal-number-hyphen"),
            ("AB0001–", "seal-number-hyphen"),
            ("0109520000000011217", "seal-number-is-marking-code"),
            ("01999999999999992177", "seal-number-is-marking-code"),
        ] {
            assert_eq!(SealNumber::parse(typed).unwrap_err().code(), code, "{typed:?}");
        }
        assert_eq!(SealNumber::parse(&"A".repeat(10_000)).unwrap_err(), NumberError::Length(10_000));
        assert_eq!(number("010952000000001122").as_str(), "010952000000001122");
    }

    #[test]
    fn a_letter_beside_a_digit_may_be_meant_as_one() {
        for (text, meant) in [
            ("KZO00041", "KZ000041"),
            ("KZ00OO41", "KZ000041"),
            ("KZ0000I4", "KZ000014"),
            ("kz0000l4", "KZ000014"),
            ("KZ-0000О41", "KZ-0000041"),
            ("SE-0I0O1", "SE-01001"),
            ("DEMO-I00001", "DEMO-100001"),
            ("DEMO-O00041", "DEMO-000041"),
            ("KZ0000З4", "KZ000034"),
            ("kz 000 0з4", "KZ000034"),
            ("DEMO-41", ""),
            ("DEMO000041", ""),
            ("KZ000041", ""),
            ("OIL", ""),
            ("ЖЗ-0041", ""),
            ("010952000000001121A", ""),
        ] {
            let number = SealNumber::meant(text);
            assert_eq!(number.as_ref().map_or("", SealNumber::as_str), meant, "{text}");
        }
    }

    #[test]
    fn json_goes_through_the_parser_and_the_database_does_not_repair() {
        assert_eq!(serde_json::from_str::<SealNumber>("\"ab-0001\"").unwrap(), number("AB-0001"));
        assert!(serde_json::from_str::<SealNumber>("\"a\"").is_err());
        assert_eq!(serde_json::to_string(&number("ab-0001")).unwrap(), "\"AB-0001\"");
        assert_eq!(SealNumber::from_stored("ab-0001".into()), None);
        assert_eq!(SealNumber::from_stored("AB-0001".into()), Some(number("AB-0001")));
    }

    #[test]
    fn a_range_counts_its_last_digits() {
        let range = SealRange::new(number("AB-0098"), &number("AB-0102")).unwrap();
        let all: Vec<String> = range.iter().map(|n| n.to_string()).collect();
        assert_eq!(all, ["AB-0098", "AB-0099", "AB-0100", "AB-0101", "AB-0102"]);
        assert_eq!((range.len(), range.nth(2), range.nth(5)), (5, Some(number("AB-0100")), None));
        assert_eq!((range.first(), range.last()), (&number("AB-0098"), number("AB-0102")));
        let one = SealRange::new(number("ABCD"), &number("ABCD")).unwrap();
        assert_eq!((one.len(), one.last()), (1, number("ABCD")));
    }

    #[test]
    fn a_range_of_unlike_numbers_is_refused() {
        for (first, last, code) in [
            ("AB-099", "AB-0100", "seal-range-lengths"),
            ("AB-001", "AC-002", "seal-range-prefix"),
            ("AB-001", "AB-0A2", "seal-range-prefix"),
            ("1000000001", "2000000001", "seal-range-prefix"),
            ("AB-002", "AB-001", "seal-range-order"),
            ("0109520000000011200", "0109520000000011220", "seal-range-is-marking-code"),
            ("0109520000000011000", "0109520000000011999", "seal-range-is-marking-code"),
        ] {
            assert_eq!(SealRange::new(number(first), &number(last)).unwrap_err().code(), code, "{first}");
        }
        assert!(SealRange::new(number("0109520000000011220"), &number("0109520000000011299")).is_ok());
    }

    #[test]
    fn a_range_begins_anywhere_and_ends_where_digits_do() {
        let range = SealRange::starting_at(number("AB-0001"), 9_999).unwrap();
        assert_eq!(range.last(), number("AB-9999"));
        assert_eq!(SealRange::starting_at(number("AB-0001"), 10_000), None);
        assert_eq!(SealRange::starting_at(number("AB-0001"), 0), None);
        assert_eq!(SealRange::starting_at(number("ABCD"), 2), None);
        assert_eq!(SealRange::starting_at(number("A999999999"), u32::MAX), None);
    }

    proptest! {
        #[test]
        fn the_normal_form_reads_as_itself(text in "[A-Z0-9][A-Z0-9-]{2,18}[A-Z0-9]") {
            prop_assume!(!gs1::has_identification_shape(&text));
            prop_assert_eq!(number(&text).to_string(), text.clone());
            prop_assert_eq!(number(&text.to_lowercase()).to_string(), text);
        }

        #[test]
        fn anything_at_all_is_a_number_or_a_refusal(text in any::<String>()) {
            if let Ok(read) = SealNumber::parse(&text) {
                prop_assert_eq!(SealNumber::parse(read.as_str()), Ok(read.clone()));
                prop_assert_eq!(SealNumber::from_stored(read.to_string()), Some(read));
            }
        }

        #[test]
        fn every_number_of_a_range_reads_as_itself(prefix in "[A-Z]{2}-", from in 0_u32..9_000, more in 0_u32..900) {
            let first = number(&format!("{prefix}{from:04}"));
            let range = SealRange::new(first, &number(&format!("{prefix}{:04}", from + more))).unwrap();
            prop_assert_eq!(range.len(), more + 1);
            for read in range.iter() {
                prop_assert_eq!(&number(read.as_str()), &read);
            }
        }

        #[test]
        fn no_range_holds_an_identification(from in 0_u32..9_000_000, more in 0_u32..300_000) {
            let text = |n: u32| format!("010952000000{n:07}");
            let (Ok(first), Ok(last)) = (SealNumber::parse(&text(from)), SealNumber::parse(&text(from + more)))
            else { return Ok(()) };
            let inside = (from..=from + more).any(|n| gs1::has_identification_shape(&text(n)));
            prop_assert_eq!(SealRange::new(first, &last).is_err(), inside);
        }
    }
}
