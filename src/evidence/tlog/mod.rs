//! The register's own bytes: a Merkle tree over the events and notes signed about it.
//!
//! No SQL and no HTTP: what a stranger with public data computes, computed the same way.
//! The formats are those of C2SP, so that other programs read what this one writes:
//! - hashes and proofs: RFC 6962, section 2.1 ([`tree`]);
//! - what lies where on disk and behind a URL: tlog-tiles ([`tile`], [`folder`]);
//! - who says so: signed-note ([`note`]), tlog-checkpoint ([`checkpoint`]),
//!   tlog-cosignature ([`cosignature`]);
//! - a record's place, to be checked offline: tlog-proof ([`proof`]).
//!
//! Every parser here reads what strangers send: it bounds what it takes, never panics, and accepts
//! one spelling of each thing.

pub mod checkpoint;
pub mod cosignature;
pub mod disk;
pub mod folder;
pub mod note;
pub mod proof;
pub mod tile;
pub mod tree;

#[cfg(test)]
mod naive;

pub use checkpoint::{Checkpoint, Policy, Seen};
pub use folder::Folder;
pub use note::{Note, Signer, VerifierKey};
pub use proof::Proof;
pub use tile::Tile;
pub use tree::{Frontier, leaf_hash, node_hash};

use crate::evidence::chain::bytes::Hash;
use base64::Engine as _;
use base64::engine::general_purpose::STANDARD;

/// Largest size a tree may have here: what fits PostgreSQL's `bigint` and Go's `int64`.
pub const MAX_SIZE: u64 = i64::MAX.unsigned_abs();

/// A hash as notes and proofs write it: base64 with padding (RFC 4648, section 4).
#[must_use]
pub fn to_base64(hash: &Hash) -> String {
    STANDARD.encode(hash.0)
}

/// The hash that 44 characters of base64 stand for; `None` for any other text.
#[must_use]
pub fn from_base64(text: &str) -> Option<Hash> {
    Hash::from_slice(&STANDARD.decode(text).ok()?)
}

/// A number as these formats write it: ASCII digits, no leading zero, at most [`MAX_SIZE`].
#[must_use]
pub fn decimal(text: &str) -> Option<u64> {
    let plain = text.bytes().all(|byte| byte.is_ascii_digit()) && (text == "0" || !text.starts_with('0'));
    text.parse().ok().filter(|number| plain && *number <= MAX_SIZE)
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn numbers_have_one_spelling() {
        for (text, number) in [("0", 0), ("7", 7), ("9223372036854775807", MAX_SIZE)] {
            assert_eq!(decimal(text), Some(number));
        }
        for bad in ["", "00", "07", "+7", "-1", " 7", "7 ", "٧", "9223372036854775808", "1e3", "0x7"] {
            assert_eq!(decimal(bad), None, "{bad:?}");
        }
    }

    #[test]
    fn hashes_have_one_spelling() {
        let hash = Hash([0xb7; 32]);
        let text = to_base64(&hash);
        assert_eq!(from_base64(&text), Some(hash));
        for bad in
            ["", "t7e3", &text[1..], &text.replace('=', ""), &format!("{text}\n"), &text.replace("c=", "d=")]
        {
            assert_eq!(from_base64(bad), None, "{bad:?}");
        }
    }
}
