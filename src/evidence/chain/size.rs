//! Length limits for the texts of an event.
//!
//! The index that serves histories includes both the public and the business part of an event, and an index
//! row has at most 2,704 bytes (PostgreSQL's limit, a third of a page). So the parts are limited: in the
//! table by a CHECK, and here, where the error can still name the texts to shorten.

use crate::base::error::{FieldError, Location};
use std::cmp::Reverse;

/// Maximum bytes (UTF-8) of a public part.
pub const MAX_PUBLIC_BYTES: usize = 700;
/// Maximum bytes (UTF-8) of a business part.
pub const MAX_BUSINESS_BYTES: usize = 1_300;

/// Checks that `part` has at most `bound` bytes. `texts` are the client's texts in it, with their
/// locations; each is within its own limit in characters, but a Cyrillic letter takes two bytes.
///
/// # Errors
/// `too-long-together` at the longest texts, as many as are needed to make up for the excess.
pub fn check(part: &str, bound: usize, texts: &[(Location, &str)]) -> Result<(), Vec<FieldError>> {
    let excess = part.len().saturating_sub(bound);
    if excess == 0 {
        return Ok(());
    }
    let detail = format!(
        "The texts of one record are {excess} bytes too long in total (a Cyrillic letter is two); shorten the longest."
    );
    let mut longest: Vec<&(Location, &str)> = texts.iter().collect();
    longest.sort_by_key(|(_, text)| Reverse(text.len()));
    let (mut saved, mut entries) = (0, Vec::new());
    for (at, text) in longest {
        if saved >= excess {
            break;
        }
        saved += text.len();
        entries.push(FieldError::new(at.clone(), "too-long-together", detail.clone()));
    }
    if entries.is_empty() {
        entries.push(FieldError::new(Location::Pointer(String::new()), "too-long-together", detail));
    }
    Err(entries)
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn the_longest_texts_are_named_and_no_more_than_need_be() {
        let at = |name: &str| Location::Pointer(format!("/{name}"));
        let (note, reason) = ("ж".repeat(150), "ж".repeat(200));
        let texts = [(at("vehicle"), "123 ABC 10"), (at("note"), &*note), (at("reason"), &*reason)];
        let named = |excess: usize| -> Vec<Location> {
            let result = check(&"x".repeat(1_300 + excess), MAX_BUSINESS_BYTES, &texts);
            result.err().unwrap_or_default().into_iter().map(|error| error.at).collect()
        };
        assert_eq!(named(0), []);
        assert_eq!(named(400), [at("reason")]);
        assert_eq!(named(401), [at("reason"), at("note")]);
        assert_eq!(named(5_000).len(), 3);
    }
}
