//! Numbers as text, never as `f64`.

use crate::base::error::Invalid;
use crate::base::number_text::NumberText;
use std::borrow::Cow;
use std::fmt::Write as _;

/// Maximum number of characters of a number, also when it is written without its exponent. The longest
/// number in the API has 12; `1e999999999` must not become a gigabyte.
const MAX_LENGTH: usize = 64;

fn too_long() -> Invalid {
    let detail =
        format!("A number has at most {MAX_LENGTH} characters, also when written without an exponent.");
    Invalid::new("number-too-long", detail)
}

/// A JSON number without its exponent, digit for digit.
pub(super) fn plain(text: &str) -> Result<Cow<'_, str>, Invalid> {
    if text.len() > MAX_LENGTH {
        return Err(too_long());
    }
    let NumberText { negative, integer, fraction, exponent } = NumberText::split(text);
    let Some(exponent) = exponent else {
        return Ok(Cow::Borrowed(text));
    };
    // A JSON number's exponent is digits; one that cannot be parsed has too many of them.
    let exponent: i64 = exponent.parse().map_err(|_| too_long())?;
    let fraction = fraction.unwrap_or_default();
    let mut digits = format!("{integer}{fraction}");
    // The position of the decimal point when the number is written without its exponent, counted from the
    // left of `digits`.
    let point = i64::try_from(integer.len()).unwrap_or(i64::MAX).saturating_add(exponent);
    let longest = i64::try_from(MAX_LENGTH).unwrap_or(i64::MAX);
    if !(-longest..=longest).contains(&point) {
        // `0e999` is refused too. Its value is 0, but no client has a reason to send it.
        return Err(too_long());
    }
    let plain = if let Ok(point @ 1..) = usize::try_from(point) {
        while digits.len() < point {
            digits.push('0');
        }
        let (integer, fraction) = digits.split_at(point);
        let integer = match integer.trim_start_matches('0') {
            "" => "0",
            integer => integer,
        };
        if fraction.is_empty() { integer.to_owned() } else { format!("{integer}.{fraction}") }
    } else {
        let zeros = usize::try_from(point.unsigned_abs()).unwrap_or(MAX_LENGTH);
        format!("0.{}{digits}", "0".repeat(zeros))
    };
    let signed = if negative { format!("-{plain}") } else { plain };
    if signed.len() > MAX_LENGTH { Err(too_long()) } else { Ok(Cow::Owned(signed)) }
}

/// A number in a cell or query parameter: `-`, digits, a point (in a table also a comma), digits.
///
/// An exponent is refused, because a spreadsheet writes one where it has dropped digits. A thousands
/// separator is refused, too.
pub(super) fn cell(text: &str, comma: bool) -> Result<Cow<'_, str>, Invalid> {
    if text.len() > MAX_LENGTH {
        return Err(too_long());
    }
    let unsigned = text.strip_prefix('-').unwrap_or(text);
    let (integer, fraction) = match unsigned.find(|sign| sign == '.' || (comma && sign == ',')) {
        Some(at) => (&unsigned[..at], Some(&unsigned[at + 1..])),
        None => (unsigned, None),
    };
    let all_digits = |part: &str| !part.is_empty() && part.bytes().all(|byte| byte.is_ascii_digit());
    if !all_digits(integer) || !fraction.is_none_or(all_digits) {
        let signs = if comma { "a decimal comma or point" } else { "a decimal point" };
        let detail = format!(
            "Expected a number: digits, perhaps {signs}, no spaces, no thousands separators, no exponent."
        );
        return Err(Invalid::new("not-a-number", detail));
    }
    let trimmed = match integer.trim_start_matches('0') {
        "" => "0",
        trimmed => trimmed,
    };
    if trimmed.len() == integer.len() && !unsigned.contains(',') {
        return Ok(Cow::Borrowed(text));
    }
    let mut number = String::with_capacity(text.len());
    if unsigned.len() < text.len() {
        number.push('-');
    }
    number.push_str(trimmed);
    if let Some(fraction) = fraction {
        number.push('.');
        number.push_str(fraction);
    }
    Ok(Cow::Owned(number))
}

/// Writes a JSON number so that equal values are equal bytes: `1.50`, `15e-1` and `0.15E1` are all written as
/// `15e-1`. A number that is too long to be valid is written unchanged.
pub(super) fn write_normal(text: &str, out: &mut String) {
    let NumberText { negative, integer, fraction, exponent } = NumberText::split(text);
    let exponent = exponent.map_or(Ok(0), str::parse::<i64>);
    let (Ok(exponent), true) = (exponent, text.len() <= MAX_LENGTH) else {
        out.push_str(text);
        return;
    };
    let fraction = fraction.unwrap_or_default();
    let digits = format!("{integer}{fraction}");
    let significant = digits.trim_end_matches('0');
    let dropped = digits.len() - significant.len();
    let significant = significant.trim_start_matches('0');
    if significant.is_empty() {
        out.push('0');
        return;
    }
    // The text has at most 64 characters, so its lengths are small and the sum cannot overflow an i128.
    let exponent = i128::from(exponent) - i128::try_from(fraction.len()).unwrap_or_default()
        + i128::try_from(dropped).unwrap_or_default();
    if negative {
        out.push('-');
    }
    out.push_str(significant);
    if exponent != 0 {
        // Writing to a String cannot fail.
        let _ = write!(out, "e{exponent}");
    }
}
