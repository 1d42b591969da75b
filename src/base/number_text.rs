//! The text of a number, split where its signs are.

/// The parts of the text of a JSON number. They are split, not checked: a part may be any text.
pub(super) struct NumberText<'t> {
    /// Whether it begins with `-`.
    pub(super) negative: bool,
    /// What stands before the point and the exponent.
    pub(super) integer: &'t str,
    /// What stands behind the point; `None` without a point.
    pub(super) fraction: Option<&'t str>,
    /// What stands behind `e` or `E`, with its sign; `None` without an exponent.
    pub(super) exponent: Option<&'t str>,
}

impl<'t> NumberText<'t> {
    pub(super) fn split(text: &'t str) -> Self {
        let unsigned = text.strip_prefix('-').unwrap_or(text);
        let (mantissa, exponent) = match unsigned.split_once(['e', 'E']) {
            Some((mantissa, exponent)) => (mantissa, Some(exponent)),
            None => (unsigned, None),
        };
        let (integer, fraction) = match mantissa.split_once('.') {
            Some((integer, fraction)) => (integer, Some(fraction)),
            None => (mantissa, None),
        };
        Self { negative: unsigned.len() < text.len(), integer, fraction, exponent }
    }
}
