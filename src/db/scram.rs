//! The verifier that PostgreSQL stores instead of a password (RFC 5803, as its `scram-common.c` writes it).
//!
//! It is computed here, so that no password of a role is ever sent in SQL. The number of iterations is low.
//! Iterations only slow down guessing, and a password of 256 random bits cannot be guessed, but every new
//! connection would have to compute them.

use base64::Engine as _;
use base64::engine::general_purpose::STANDARD;
use hmac::{Hmac, KeyInit, Mac};
use sha2::{Digest, Sha256};

/// PostgreSQL accepts any number from 1.
const ITERATIONS: u32 = 16;

/// A SCRAM verifier. A type of its own, so that a password cannot be passed in its place.
#[derive(Debug)]
pub struct Verifier(String);

impl Verifier {
    /// The verifier of an ASCII password (other characters would need `SASLprep` first).
    pub(in crate::db) fn new(password: &str, salt: [u8; 16]) -> Self {
        Self(verifier(password, salt))
    }

    /// The text for SQL; it has only letters, digits and `$:+/=-`.
    pub(in crate::db) fn as_str(&self) -> &str {
        &self.0
    }
}

fn verifier(password: &str, salt: [u8; 16]) -> String {
    let salted = salted(password.as_bytes(), &salt, ITERATIONS);
    let stored = Sha256::digest(hmac(&salted, b"Client Key"));
    let server = hmac(&salted, b"Server Key");
    let (salt, stored, server) = (STANDARD.encode(salt), STANDARD.encode(stored), STANDARD.encode(server));
    format!("SCRAM-SHA-256${ITERATIONS}:{salt}${stored}:{server}")
}

/// `Hi` of RFC 5802: PBKDF2 with HMAC, one block.
fn salted(password: &[u8], salt: &[u8], iterations: u32) -> [u8; 32] {
    let first: Vec<u8> = salt.iter().copied().chain([0, 0, 0, 1]).collect();
    let mut round = hmac(password, &first);
    let mut sum = round;
    for _ in 1..iterations {
        round = hmac(password, &round);
        sum.iter_mut().zip(round).for_each(|(sum, byte)| *sum ^= byte);
    }
    sum
}

fn hmac(key: &[u8], message: &[u8]) -> [u8; 32] {
    let mut mac =
        Hmac::<Sha256>::new_from_slice(key).unwrap_or_else(|_| unreachable!("HMAC takes keys of any length"));
    mac.update(message);
    mac.finalize().into_bytes().into()
}

#[cfg(test)]
mod tests {
    use super::*;

    /// Computed by Python: `hashlib.pbkdf2_hmac("sha256", b"pencil", bytes(range(16)), 16)`, then `hmac`.
    #[test]
    fn agrees_with_another_implementation() {
        let salt: [u8; 16] = std::array::from_fn(|n| u8::try_from(n).expect("small"));
        assert_eq!(
            verifier("pencil", salt),
            "SCRAM-SHA-256$16:AAECAwQFBgcICQoLDA0ODw==$+kTDhE5a05ruQ0C5RBlOHRYDRcv0gxvznYMokbgpYGM=:8m8MqeQNWkjldDnQ0nx67zREkBE9a+/1g3bDqZTIgZ4="
        );
    }
}
