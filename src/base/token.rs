//! The token of an API key: the secret text that proves the key, and the hash that is stored.

use base64::Engine;
use base64::engine::general_purpose::URL_SAFE_NO_PAD;
use sha2::{Digest, Sha256};

/// Longest token, in characters. Generated tokens have 47. An administrator may choose the operator's first
/// token, so other lengths are accepted, but a header beyond this limit is rejected without hashing it.
pub const MAX_TOKEN_LENGTH: usize = 1_024;

/// A bearer token. `Debug` does not print it.
#[derive(Clone, PartialEq, Eq)]
pub struct Token(String);

impl Token {
    /// A new token: 32 random bytes in base64url, with a prefix that secret scanners can search for.
    ///
    /// # Panics
    /// If the operating system provides no randomness.
    #[must_use]
    pub fn random() -> Self {
        let mut bytes = [0; 32];
        getrandom::fill(&mut bytes).expect("the operating system provides randomness");
        Self(format!("omt_{}", URL_SAFE_NO_PAD.encode(bytes)))
    }

    /// A token as sent or configured: 32 to [`MAX_TOKEN_LENGTH`] visible ASCII characters, else `None`.
    #[must_use]
    pub fn from_text(text: &str) -> Option<Self> {
        let fits =
            (32..=MAX_TOKEN_LENGTH).contains(&text.len()) && text.bytes().all(|byte| byte.is_ascii_graphic());
        fits.then(|| Self(text.to_owned()))
    }

    /// The token's text, to be shown once.
    #[must_use]
    pub fn expose(&self) -> &str {
        &self.0
    }

    /// The token's SHA-256, which is stored. 256 random bits cannot be guessed, so no slow hash is needed.
    #[must_use]
    pub fn hash(&self) -> [u8; 32] {
        Sha256::digest(self.0.as_bytes()).into()
    }
}

/// The secret of a session: 256 random bits. A browser has them in a cookie, the database has their SHA-256.
/// `Debug` does not print them.
#[derive(Clone, Copy, PartialEq, Eq)]
pub struct SessionSecret([u8; 32]);

impl SessionSecret {
    /// A new secret.
    ///
    /// # Panics
    /// If the operating system provides no randomness.
    #[must_use]
    pub fn random() -> Self {
        let mut bytes = [0; 32];
        getrandom::fill(&mut bytes).expect("the operating system provides randomness");
        Self(bytes)
    }

    /// The secret in a cookie, else `None`.
    #[must_use]
    pub fn from_text(text: &str) -> Option<Self> {
        URL_SAFE_NO_PAD.decode(text).ok()?.try_into().ok().map(Self)
    }

    /// The text for the cookie: 43 characters of base64url.
    #[must_use]
    pub fn expose(&self) -> String {
        URL_SAFE_NO_PAD.encode(self.0)
    }

    /// The secret's SHA-256, which is stored.
    #[must_use]
    pub fn hash(&self) -> [u8; 32] {
        Sha256::digest(self.0).into()
    }
}

impl std::fmt::Debug for SessionSecret {
    fn fmt(&self, f: &mut std::fmt::Formatter<'_>) -> std::fmt::Result {
        f.write_str("SessionSecret(…)")
    }
}

impl std::fmt::Debug for Token {
    fn fmt(&self, f: &mut std::fmt::Formatter<'_>) -> std::fmt::Result {
        f.write_str("Token(…)")
    }
}
