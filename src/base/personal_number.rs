//! The check digit of Kazakhstan's 12-digit numbers (BIN of an organisation, IIN of a person), and IINs in texts.

use crate::base::error::Invalid;
use unicode_normalization::UnicodeNormalization as _;

const FIRST: [u32; 11] = [1, 2, 3, 4, 5, 6, 7, 8, 9, 10, 11];
const SECOND: [u32; 11] = [3, 4, 5, 6, 7, 8, 9, 10, 11, 1, 2];

/// The correct twelfth digit; `None` if no valid number begins with the first eleven digits.
#[must_use]
pub fn check_digit(digits: &[u8; 12]) -> Option<u32> {
    let sum = |weights: [u32; 11]| {
        digits.iter().zip(weights).map(|(digit, weight)| u32::from(digit - b'0') * weight).sum::<u32>() % 11
    };
    [sum(FIRST), sum(SECOND)].into_iter().find(|check| *check < 10)
}

/// How many separators in a row are one gap between groups of digits.
const MAX_GAP: usize = 3;

/// Whether a text contains an IIN: twelve digits of any script, alone or in groups with separators between them, the
/// fifth of which is that of a day, with the right check digit. More digits in a row are another number.
///
/// A date of eight digits is no group, because with a time behind it, it has twelve digits, too. A comma or semicolon
/// with a blank separates the numbers of a list.
#[must_use]
pub fn is_in(text: &str) -> bool {
    let letters = without_dates(&folded(text));
    let mut run: Vec<u8> = Vec::new();
    let mut groups: Vec<usize> = Vec::new();
    let mut gap: Vec<char> = Vec::new();
    let mut found = false;
    for letter in letters.into_iter().chain([END]) {
        if let Some(digit) = letter.to_digit(10) {
            if groups.is_empty() || !gap.is_empty() {
                groups.push(run.len());
            }
            // A digit from 0 to 9 fits.
            run.push(b'0' + u8::try_from(digit).unwrap_or_default());
            gap.clear();
            continue;
        }
        gap.push(letter);
        let is_list = gap.iter().any(|c| matches!(c, ',' | ';')) && gap.iter().any(|c| c.is_whitespace());
        if !is_separator(letter) || gap.len() > MAX_GAP || is_list || run.is_empty() {
            found |= has_iin(&run, &groups);
            run.clear();
            groups.clear();
            gap.clear();
        }
    }
    found
}

/// A letter that stands for no digit and no separator.
const END: char = 'x';

/// What may stand between the groups of a number.
fn is_separator(letter: char) -> bool {
    letter.is_whitespace()
        || matches!(letter, '!'..='/' | ':'..='@' | '['..='`' | '{'..='~')
        || matches!(u32::from(letter), 0xA0..=0xBF | 0x2010..=0x205E | 0x2212 | 0x22C5 | 0x30FB)
}

/// The text with every digit of another script or form as one from 0 to 9, and without letters of no width.
fn folded(text: &str) -> Vec<char> {
    let invisible = |c: &char| matches!(u32::from(*c), 0xAD | 0x34F | 0x61C | 0x180E | 0x200B..=0x200F | 0x2060..=0x206F | 0xFE00..=0xFE0F | 0xFEFF);
    // Of `м³` the unit's power is no digit of a number behind it.
    let mut unit = false;
    let powers = text.chars().map(|c| {
        let power = unit && matches!(c, '²' | '³');
        unit = matches!(c, 'm' | 'м');
        if power { END } else { c }
    });
    powers.nfkc().filter(|c| !invisible(c)).map(|c| decimal(c).unwrap_or(c)).collect()
}

/// The decimal digits of scripts other than ours that NFKC leaves as they are: the code of each zero, after which the
/// other nine follow (general category Nd).
const ZEROS: [u32; 61] = [
    0x660, 0x6F0, 0x7C0, 0x966, 0x9E6, 0xA66, 0xAE6, 0xB66, 0xBE6, 0xC66, 0xCE6, 0xD66, 0xDE6, 0xE50, 0xED0,
    0xF20, 0x1040, 0x1090, 0x17E0, 0x1810, 0x1946, 0x19D0, 0x1A80, 0x1A90, 0x1B50, 0x1BB0, 0x1C40, 0x1C50,
    0xA620, 0xA8D0, 0xA900, 0xA9D0, 0xA9F0, 0xAA50, 0xABF0, 0x104A0, 0x10D30, 0x11066, 0x110F0, 0x11136,
    0x111D0, 0x112F0, 0x11450, 0x114D0, 0x11650, 0x116C0, 0x11730, 0x118E0, 0x11950, 0x11C50, 0x11D50,
    0x11DA0, 0x16A60, 0x16AC0, 0x16B50, 0x1E140, 0x1E2F0, 0x1E4F0, 0x1E950, 0x10D40, 0x11BF0,
];

fn decimal(letter: char) -> Option<char> {
    let code = u32::from(letter);
    let zero = ZEROS.iter().find(|zero| (**zero..**zero + 10).contains(&code))?;
    char::from_digit(code - zero, 10)
}

/// The letters with every date in place of which [`END`] stands: `28.11.2026`, `2026-11-28`, and `28.11.26 10:15`.
fn without_dates(letters: &[char]) -> Vec<char> {
    let mut out = Vec::with_capacity(letters.len());
    let mut at = 0;
    while at < letters.len() {
        let follows_digit = at > 0 && letters[at - 1].is_ascii_digit();
        match date(&letters[at..]).filter(|_| !follows_digit) {
            Some(length) => {
                out.push(END);
                at += length;
            }
            None => {
                out.push(letters[at]);
                at += 1;
            }
        }
    }
    out
}

/// The length of the date at the beginning of `letters`.
fn date(letters: &[char]) -> Option<usize> {
    let (first, after) = number(letters)?;
    let mark = *letters.get(after).filter(|mark| matches!(mark, '.' | '-' | '/'))?;
    let (second, more) = number(&letters[after + 1..])?;
    let next = after + 1 + more;
    if letters.get(next) != Some(&mark) {
        return None;
    }
    let (third, more) = number(&letters[next + 1..])?;
    let end = next + 1 + more;
    let lengths = (after, next - after - 1, end - next - 1);
    let is = |day: u32, month: u32| (1..=31).contains(&day) && (1..=12).contains(&month);
    let is_year = |year: u32| (1900..2100).contains(&year);
    match lengths {
        (4, 2, 2) if is_year(first) && is(third, second) => Some(end),
        (1..=2, 1..=2, 4) if is_year(third) && is(first, second) => Some(end),
        (2, 2, 2) if is(first, second) => time(&letters[end..]).map(|length| end + length),
        _ => None,
    }
}

/// The length of a blank and a time (`10:15`, `10:15:30`) at the beginning of `letters`.
fn time(letters: &[char]) -> Option<usize> {
    let clock = letters.strip_prefix(&[' '])?;
    let (hour, colon) = number(clock).filter(|(hour, length)| *hour < 24 && *length <= 2)?;
    let rest = clock.get(colon..)?.strip_prefix(&[':'])?;
    let (minute, length) = number(rest)?;
    let end = colon + 2 + length;
    let seconds = || number(clock.get(end..)?);
    (minute < 60 && length == 2 && hour < 24).then(|| {
        let seconds = clock.get(end - 1).filter(|c| **c == ':').and_then(|_| seconds());
        seconds.filter(|(_, length)| *length == 2).map_or(end, |(_, length)| end + 1 + length)
    })
}

/// The number at the beginning of `letters`, and how many digits it has, one to four.
fn number(letters: &[char]) -> Option<(u32, usize)> {
    let digits: Vec<u32> = letters.iter().map_while(|letter| letter.to_digit(10)).take(5).collect();
    let number = digits.iter().fold(0, |number, digit| number * 10 + digit);
    (1..=4).contains(&digits.len()).then_some((number, digits.len()))
}

/// Whether a number of whole groups is an IIN; `groups` are their first digits.
fn has_iin(run: &[u8], groups: &[usize]) -> bool {
    let ends = |end: usize| end == run.len() || groups.contains(&end);
    groups.iter().any(|start| {
        let digits: Option<&[u8; 12]> = run.get(*start..start + 12).and_then(|part| part.try_into().ok());
        digits.is_some_and(|digits| {
            let in_groups = groups.iter().any(|group| (start + 1..start + 12).contains(group));
            ends(start + 12)
                && matches!(digits[4], b'0'..=b'3')
                && (!in_groups || begins_as_iin(digits))
                && check_digit(digits) == Some(u32::from(digits[11] - b'0'))
        })
    })
}

/// Whether the first seven digits are a day of birth and a century. Groups of digits must begin so, because a date with
/// another number behind it has twelve digits, too.
fn begins_as_iin(digits: &[u8; 12]) -> bool {
    let two = |at: usize| u32::from(digits[at] - b'0') * 10 + u32::from(digits[at + 1] - b'0');
    (1..=12).contains(&two(2)) && (1..=31).contains(&two(4)) && digits[6] <= b'6'
}

/// The error for a text that contains an IIN.
#[must_use]
pub fn refusal() -> Invalid {
    let detail = "This text contains a personal number (IIN), which would stay readable; leave it out.";
    Invalid::new("looks-like-iin", detail)
}

#[cfg(test)]
mod tests {
    use super::*;

    fn iin(eleven: &str) -> Option<String> {
        let digits: [u8; 12] = format!("{eleven}0").into_bytes().try_into().unwrap();
        check_digit(&digits).map(|check| format!("{eleven}{check}"))
    }

    #[test]
    fn digits_of_other_scripts_and_dots_hide_no_number() {
        let number = iin("85010130001").or_else(|| iin("85010130002")).unwrap();
        let in_script = |zero: u32| -> String {
            number.chars().map(|c| char::from_u32(zero + c.to_digit(10).unwrap()).unwrap()).collect()
        };
        let zeros = ZEROS.into_iter().chain([0xFF10, 0x1D7CE, 0x1D7EC, 0x1FBF0]);
        for zero in zeros {
            assert!(is_in(&in_script(zero)), "U+{zero:04X}");
        }
        let circled: String = number
            .chars()
            .map(|c| if c == '0' { '⓪' } else { char::from_u32(0x245F + c.to_digit(10).unwrap()).unwrap() })
            .collect();
        assert!(is_in(&circled), "{circled}");
        let (day, rest) = number.split_at(6);
        let parts = [&number[..2], &number[2..4], &number[4..6], rest];
        for mark in
            [".", ",", "/", "_", ":", " . ", " - ", "–", "·", "\u{a0}", "  ", "\u{2009}", "\u{200d}", "+"]
        {
            assert!(is_in(&format!("{day}{mark}{rest}")), "{mark:?}");
            assert!(is_in(&parts.join(mark)), "{mark:?}");
            let single: Vec<String> = number.chars().map(String::from).collect();
            assert!(is_in(&single.join(mark)), "{mark:?}");
        }
        assert!(is_in(&format!("28.11.2026 {number}")));
        assert!(is_in(&format!("12.5 м³, {}", parts.join("."))));
    }

    #[test]
    fn volumes_dates_and_lists_are_no_personal_numbers() {
        let mut refused = Vec::new();
        for day in 1..=28 {
            for (hour, minute) in [(8, 5), (10, 15), (14, 40), (23, 59)] {
                for text in [
                    format!("{day:02}.11.2026 {hour:02}:{minute:02}"),
                    format!("{day:02}.11.2026, {hour:02}.{minute:02}"),
                    format!("{day:02}/11/2026 {hour:02}{minute:02}"),
                    format!("2026-11-{day:02} {hour:02}:{minute:02}"),
                    format!("2026-11-{day:02}T{hour:02}:{minute:02}:30+05:00"),
                    format!("{day:02}.11.26 {hour:02}:{minute:02}:30"),
                    format!("{day:02}.11.26 {hour:02}:{minute:02}"),
                    format!("0.{day:02}, 0.33, 0.39, 12.{minute:02}, 8.{hour:02}"),
                    format!("{day}, 11, 12, 26, {hour}, {minute}, 14, 16"),
                    format!("{day:02}.{minute:02} м³, 10.11 м³, 26.3 м³"),
                    format!("3{day:02}.0211 м³ 1{hour:02}.{minute:02} м³"),
                ] {
                    if is_in(&text) {
                        refused.push(text);
                    }
                }
            }
        }
        assert_eq!(refused, [""; 0]);
        for text in [
            "87012345678",
            "+7 701 234 56 78",
            "№ 114-3, 12.10.2026",
            "50.4111, 80.2275",
            "0.33 0.39 0.42 0.5",
        ] {
            assert!(!is_in(text), "{text}");
        }
    }

    #[test]
    fn a_personal_number_is_found_however_it_is_written() {
        let number = iin("85010130001").or_else(|| iin("85010130002")).unwrap();
        for text in [
            number.clone(),
            format!("Felled by {number}, seen."),
            format!("ИИН{number}"),
            format!("{} {}", &number[..6], &number[6..]),
            format!("{}-{}-{} 2026", &number[..3], &number[3..6], &number[6..]),
        ] {
            assert!(is_in(&text), "{text}");
        }
        let mut wrong = number.clone();
        let last = wrong.pop().and_then(|digit| digit.to_digit(10)).unwrap();
        wrong.push(char::from_digit((last + 1) % 10, 10).unwrap());
        for text in [
            wrong,
            format!("{number}1"),
            format!("1{number}"),
            "123456789013".into(),
            "2026-11-28 1234".into(),
            String::new(),
        ] {
            assert!(!is_in(&text), "{text}");
        }
    }
}
