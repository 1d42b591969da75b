//! The transparency log (tlog) of the register: a Merkle tree over all events, and signed notes about it.
//!
//! No SQL and no HTTP: everything here can be computed by third parties from public data.
//! The formats are those of C2SP, so that other programs can read them:
//! - hashes and proofs: RFC 6962, section 2.1 ([`tree`]);
//! - paths on disk and in URLs: tlog-tiles ([`tile`], [`folder`]);
//! - signatures: signed-note ([`note`]), tlog-checkpoint ([`checkpoint`]),
//!   tlog-cosignature ([`cosignature`]);
//! - offline inclusion proofs: tlog-proof ([`proof`]).
//!
//! Every parser here reads untrusted input: it limits the input size, never panics, and accepts
//! only one spelling of each value.

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

pub use checkpoint::{Checkpoint, Policy, VerifiedCheckpoint};
pub use folder::Folder;
pub use note::{Note, Signer, VerifierKey};
pub use proof::Proof;
pub use tile::Tile;
pub use tree::{Frontier, leaf_hash, node_hash};

use crate::evidence::chain::bytes::Hash;
use base64::Engine as _;
use base64::engine::general_purpose::STANDARD;

/// Maximum number of leaves: the largest value of PostgreSQL's `bigint` and Go's `int64`.
pub const MAX_SIZE: u64 = i64::MAX.unsigned_abs();

/// A hash as written in notes and proofs: base64 with padding (RFC 4648, section 4).
#[must_use]
pub fn to_base64(hash: &Hash) -> String {
    STANDARD.encode(hash.0)
}

/// Decodes a hash from 44 characters of base64; `None` for any other text.
#[must_use]
pub fn from_base64(text: &str) -> Option<Hash> {
    Hash::from_slice(&STANDARD.decode(text).ok()?)
}

/// Parses a number of these formats: ASCII digits, no leading zero, at most [`MAX_SIZE`].
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
