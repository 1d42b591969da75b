//! Check digits of numbers.

/// The mod-10 check digit of GTIN, SSCC and similar numbers. The digits before it have the weights 3, 1, 3, …
/// from the right (General Specifications, 7.9).
#[must_use]
pub const fn mod10(mut body: u64) -> u64 {
    let (mut sum, mut weight) = (0, 3);
    while body > 0 {
        sum += body % 10 * weight;
        weight = 4 - weight;
        body /= 10;
    }
    (10 - sum % 10) % 10
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn check_digits_of_known_numbers() {
        // Two GTINs with known check digits: the usual textbook example, and an example of GS1.
        assert_eq!(mod10(400_638_133_393), 1);
        assert_eq!(mod10(629_104_150_021), 3);
    }
}
