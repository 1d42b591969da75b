//! The text of an API key, which proves that a caller may use it, and what is stored of it.

use base64::Engine;
use base64::engine::general_purpose::URL_SAFE_NO_PAD;
use sha2::{Digest, Sha256};

/// Characters of the longest token. Ours have 47; the operator's first may be any that an administrator
/// has from elsewhere, but a header that nobody would type is not hashed.
pub const LONGEST_TOKEN: usize = 1_024;

/// A bearer token. `Debug` keeps it to itself.
#[derive(Clone, PartialEq, Eq)]
pub struct Token(String);

impl Token {
    /// A fresh token: 32 random bytes in base64url, with a prefix that secret scanners can look for.
    ///
    /// # Panics
    /// If the operating system gives no randomness.
    #[must_use]
    pub fn random() -> Self {
        let mut bytes = [0; 32];
        getrandom::fill(&mut bytes).expect("the operating system gives randomness");
        Self(format!("omt_{}", URL_SAFE_NO_PAD.encode(bytes)))
    }

    /// A token as it was sent or set: 32 to [`LONGEST_TOKEN`] visible ASCII characters, else nothing.
    #[must_use]
    pub fn from_text(text: &str) -> Option<Self> {
        let fits =
            (32..=LONGEST_TOKEN).contains(&text.len()) && text.bytes().all(|byte| byte.is_ascii_graphic());
        fits.then(|| Self(text.to_owned()))
    }

    /// The token itself, to be shown once.
    #[must_use]
    pub fn expose(&self) -> &str {
        &self.0
    }

    /// What is stored: its SHA-256. 256 random bits cannot be searched, so no slow hash is needed.
    #[must_use]
    pub fn hash(&self) -> [u8; 32] {
        Sha256::digest(self.0.as_bytes()).into()
    }
}

impl std::fmt::Debug for Token {
    fn fmt(&self, f: &mut std::fmt::Formatter<'_>) -> std::fmt::Result {
        f.write_str("Token(…)")
    }
}
