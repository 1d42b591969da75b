//! Receipts: the client's proof of an accepted record, in case the record never reaches the register.
//!
//! A receipt is a note, signed by a separate key. It states the leaves of a write request and when they were
//! received, and promises that they will be in the register within a minute. It is signed before COMMIT and
//! stored with the response, so that a replay includes it; it is sent only after COMMIT.
//!
//! ```text
//! <name of the key>
//! receipt/1
//! <when the last of them was received, RFC 3339 in UTC with microseconds>
//! <number of leaves>
//! <base64 of the RFC 6962 root over the leaf hashes, in the order of the response>
//! within 60
//!
//! — <name of the key> <signature>
//! ```

use crate::base::units::utc_text;
use crate::evidence::chain::Leaves;
use crate::evidence::chain::bytes::Hash;
use crate::evidence::tlog::note::{Note, NoteError, Signer, VerifierKey};
use crate::evidence::tlog::tree::root_of;
use crate::evidence::tlog::{decimal, from_base64, to_base64};
use chrono::{DateTime, TimeDelta, Utc};
use serde::Serialize;
use std::collections::HashSet;
use utoipa::ToSchema;

/// Second line of a receipt.
const FORMAT: &str = "receipt/1";
/// Seconds within which the leaves will be in the register.
const WITHIN: i64 = 60;

/// The receipt of a write: keep it with your records.
#[derive(Clone, Debug, PartialEq, Eq, Serialize, ToSchema)]
pub struct Receipt {
    /// Leaf hashes of the events that the write has added, in the order of the response; absent if the
    /// response has each event's `hash`.
    #[serde(skip_serializing_if = "Option::is_none")]
    pub leaves: Option<Vec<Hash>>,
    /// A signed note: these leaves will be in the register within 60 seconds.
    #[schema(
        example = "orman.example/receipts\nreceipt/1\n2026-10-05T05:00:00.000000Z\n1\nt7e3…=\nwithin 60\n\n— orman.example/receipts …\n"
    )]
    pub note: String,
}

/// The response to a write, with its receipt.
#[derive(Serialize, ToSchema)]
pub struct Receipted<T> {
    /// The response.
    #[serde(flatten)]
    pub answer: T,
    /// The receipt for the events that the write has added; absent for a dry run.
    #[serde(skip_serializing_if = "Option::is_none")]
    pub receipt: Option<Receipt>,
}

impl Receipt {
    /// Signs a receipt for leaves; `None` if there are no leaves.
    pub(super) fn sign(signer: &Signer, leaves: &Leaves) -> Option<Self> {
        if leaves.hashes.is_empty() {
            return None;
        }
        let promise = Promise {
            received_at: leaves.received_at,
            count: leaves.hashes.len() as u64,
            root: root_of(&leaves.hashes),
        };
        let text = promise.text(signer.verifier().name());
        let note = Note::sign(text, &[signer], leaves.received_at).expect("lines without control characters");
        Some(Self { leaves: Some(leaves.hashes.clone()), note: note.to_string() })
    }
}

/// The promise in a receipt.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub struct Promise {
    /// When the last of the leaves was received.
    pub received_at: DateTime<Utc>,
    /// How many there are.
    pub count: u64,
    /// The RFC 6962 root over their hashes.
    pub root: Hash,
}

/// Why a receipt is not valid, or does not cover these leaves.
#[derive(Clone, Debug, PartialEq, Eq, thiserror::Error)]
pub enum ReceiptError {
    /// The text is not a note, or no known key has validly signed it.
    #[error(transparent)]
    Note(#[from] NoteError),
    /// A note that is not a receipt.
    #[error("not a receipt: {0}")]
    Malformed(&'static str),
    /// The receipt is for other leaves.
    #[error("the receipt is for other events, or for them in another order")]
    OtherLeaves,
}

impl Promise {
    fn text(&self, name: &str) -> String {
        let (at, root) = (utc_text(self.received_at), to_base64(&self.root));
        format!("{name}\n{FORMAT}\n{at}\n{}\n{root}\nwithin {WITHIN}\n", self.count)
    }

    /// Parses and verifies a receipt that one of `keys` has signed for exactly these leaves, in this order.
    ///
    /// # Errors
    /// If it is not a receipt, no known key has signed it, or it is for other leaves.
    pub fn open(note: &str, keys: &[VerifierKey], leaves: &[Hash]) -> Result<Self, ReceiptError> {
        let note = Note::parse(note.as_bytes())?;
        let verified = note.verify(keys)?;
        let malformed = ReceiptError::Malformed;
        let mut lines = note.text().lines();
        let mut line = || lines.next().ok_or(malformed("a line is missing"));
        let name = line()?;
        if !verified.iter().any(|signed| signed.key.name() == name) {
            return Err(malformed("its first line is not the name of the key that signed it"));
        }
        if line()? != FORMAT {
            return Err(malformed("its second line is not receipt/1"));
        }
        let received_at = DateTime::parse_from_rfc3339(line()?).map_err(|_| malformed("its time"))?.to_utc();
        let count = decimal(line()?).ok_or(malformed("its number of leaves"))?;
        let root = from_base64(line()?).ok_or(malformed("its root"))?;
        let promise = Self { received_at, count, root };
        // The signer never writes the lines in another form and never adds lines, so the text must be exactly
        // the same.
        if promise.text(name) != note.text() {
            return Err(malformed("its lines are not those of a receipt"));
        }
        if count != leaves.len() as u64 || root != root_of(leaves) {
            return Err(ReceiptError::OtherLeaves);
        }
        Ok(promise)
    }

    /// The time by which the leaves must be in the register.
    #[must_use]
    pub fn due(&self) -> DateTime<Utc> {
        self.received_at + TimeDelta::seconds(WITHIN)
    }
}

/// Those of `leaves` (the leaf hashes of a receipt) that are not in the register; `register` yields the
/// leaf hashes of all published entries. After the receipt's due time, each returned leaf is a record that
/// was dropped, and the receipt proves it.
#[must_use]
pub fn absent(leaves: &[Hash], register: impl IntoIterator<Item = Hash>) -> Vec<Hash> {
    let mut missing: HashSet<Hash> = leaves.iter().copied().collect();
    for leaf in register {
        if missing.is_empty() {
            break;
        }
        missing.remove(&leaf);
    }
    leaves.iter().copied().filter(|leaf| missing.contains(leaf)).collect()
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::evidence::tlog::note::Kind;

    fn signer(seed: u8) -> Signer {
        Signer::from_seed("orman.example/receipts", Kind::Text, &[seed; 32]).expect("a name")
    }

    fn leaves_of(leaves: u8) -> Leaves {
        let mut added = Leaves::default();
        let at =
            |n: u8| DateTime::from_timestamp_micros(1_790_000_000_000_000 + i64::from(n)).expect("a time");
        (0..leaves).for_each(|n| added.push(Hash([n; 32]), at(leaves - n)));
        added
    }

    #[test]
    fn a_receipt_is_for_its_leaves_in_their_order_and_no_others() {
        let (leaves, keys) = (leaves_of(5), [signer(3).verifier().clone()]);
        let receipt = Receipt::sign(&signer(3), &leaves).expect("leaves");
        assert_eq!(
            Some(&receipt),
            Receipt::sign(&signer(3), &leaves).as_ref(),
            "signed again it is the same"
        );
        let promise = Promise::open(&receipt.note, &keys, &leaves.hashes).expect("ours");
        assert_eq!((promise.count, promise.received_at), (5, leaves.received_at));
        assert_eq!(utc_text(promise.due()), "2026-09-21T14:14:20.000005Z");

        let mut other = leaves.hashes.clone();
        other.swap(1, 2);
        for other in [&other[..], &leaves.hashes[..4], &[]] {
            assert_eq!(Promise::open(&receipt.note, &keys, other), Err(ReceiptError::OtherLeaves));
        }
        let other_keys = [signer(4).verifier().clone()];
        assert_eq!(
            Promise::open(&receipt.note, &other_keys, &leaves.hashes),
            Err(ReceiptError::Note(NoteError::Unsigned))
        );
        let later = receipt.note.replace("within 60", "within 90");
        assert!(matches!(Promise::open(&later, &keys, &leaves.hashes), Err(ReceiptError::Note(_))));
        assert!(Receipt::sign(&signer(3), &Leaves::default()).is_none());
    }

    #[test]
    fn what_the_key_signed_for_another_purpose_is_no_receipt() {
        let (signer, leaves) = (signer(3), leaves_of(1));
        let keys = [signer.verifier().clone()];
        let good = Receipt::sign(&signer, &leaves).expect("leaves").note;
        let text = &good[..=good.find("\n\n").expect("an end")];
        for other in [
            text.replace("receipt/1", "receipt/2"),
            text.replace("\n1\n", "\n01\n"),
            text.replace("orman.example/receipts", "orman.example"),
            text.replace('Z', "+00:00"),
            format!("{text}and more\n"),
        ] {
            let note = Note::sign(other, &[&signer], leaves.received_at).expect("a note").to_string();
            let refusal = Promise::open(&note, &keys, &leaves.hashes).expect_err(&note);
            assert!(matches!(refusal, ReceiptError::Malformed(_)), "{refusal}: {note}");
        }
    }

    #[test]
    fn what_is_not_in_the_register_is_named() {
        let leaves = leaves_of(3).hashes;
        let register = [leaves[2], Hash([9; 32]), leaves[0]];
        assert_eq!(absent(&leaves, register), [leaves[1]]);
        assert!(absent(&leaves, leaves.clone()).is_empty());
    }
}
