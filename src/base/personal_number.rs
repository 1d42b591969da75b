//! The check digit of Kazakhstan's 12-digit numbers (BIN of an organisation, IIN of a person), and IINs in texts.

use crate::base::error::Invalid;

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

/// Whether a text contains an IIN: twelve digits, alone or in groups with single blanks or hyphens between them, the
/// fifth of which is that of a day, with the right check digit. More digits in a row are another number.
#[must_use]
pub fn is_in(text: &str) -> bool {
    let mut run: Vec<u8> = Vec::new();
    let mut groups: Vec<usize> = Vec::new();
    let mut gap = false;
    let mut found = false;
    for letter in text.chars().chain(['.', '.']) {
        let is_gap = matches!(letter, ' ' | '-' | '\u{a0}');
        if let Some(digit) = letter.to_digit(10) {
            if groups.is_empty() || gap {
                groups.push(run.len());
            }
            // A digit from 0 to 9 fits.
            run.push(b'0' + u8::try_from(digit).unwrap_or_default());
            gap = false;
        } else if is_gap && !gap && !run.is_empty() {
            gap = true;
        } else {
            found |= has_iin(&run, &groups);
            run.clear();
            groups.clear();
            gap = false;
        }
    }
    found
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
