//! Cosignatures: a witness signs a time and a checkpoint (C2SP tlog-cosignature, `cosignature/v1`).
//!
//! ```text
//! cosignature/v1
//! time 1679315147
//! the checkpoint's text
//! ```
//! In a note, the signature is the time in eight bytes, big-endian, then the 64 bytes of Ed25519.

use chrono::{DateTime, Utc};
use ed25519_dalek::Signer as _;

const LENGTH: usize = 8 + 64;

fn message(time: u64, text: &str) -> Vec<u8> {
    format!("cosignature/v1\ntime {time}\n{text}").into_bytes()
}

/// Signs a checkpoint's text at a time, truncated to seconds; a time before 1970 counts as 1970.
#[must_use]
pub(super) fn sign(secret: &ed25519_dalek::SigningKey, text: &str, now: DateTime<Utc>) -> Vec<u8> {
    let time = u64::try_from(now.timestamp()).unwrap_or_default();
    [time.to_be_bytes().as_slice(), &secret.sign(&message(time, text)).to_bytes()].concat()
}

/// The time in a cosignature; `None` if the signature is not by this key over this text.
#[must_use]
pub(super) fn verify(
    key: &ed25519_dalek::VerifyingKey,
    text: &str,
    signature: &[u8],
) -> Option<DateTime<Utc>> {
    let signature: &[u8; LENGTH] = signature.try_into().ok()?;
    let (time, signature) = signature.split_first_chunk::<8>()?;
    let time = u64::from_be_bytes(*time);
    let signature = ed25519_dalek::Signature::from_slice(signature).ok()?;
    key.verify_strict(&message(time, text), &signature).ok()?;
    DateTime::from_timestamp(i64::try_from(time).ok()?, 0)
}
