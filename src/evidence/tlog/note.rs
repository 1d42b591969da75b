//! Signed notes: a text followed by signatures (C2SP signed-note).
//!
//! ```text
//! text, ending in a newline
//!
//! — key name base64(key id[4] || signature)
//! ```
//! A signature by an unknown key is ignored; an invalid signature by a known key makes the complete
//! note invalid. Public keys are written `name+id+base64(type || key)`, secret keys
//! `PRIVATE+KEY+name+id+base64(type || seed)`, as in Go's `golang.org/x/mod/sumdb/note`.

use super::cosignature;
use super::disk::Disk;
use base64::Engine as _;
use base64::engine::general_purpose::STANDARD;
use chrono::{DateTime, Utc};
use ed25519_dalek::Signer as _;
use sha2::{Digest, Sha256};
use std::fmt;
use std::io::{self, Read};
use std::os::unix::fs::MetadataExt;
use std::path::Path;
use std::str::FromStr;

/// Maximum length of a note, in bytes.
pub const MAX_LENGTH: usize = 1_000_000;
/// Maximum number of signatures of a note; the specification requires support for at least 16.
pub const MAX_SIGNATURES: usize = 100;
/// Maximum length of a key's name, in bytes: it must fit a checkpoint's first line and a URL.
pub const MAX_NAME: usize = 255;

const SECRET: &str = "PRIVATE+KEY+";

/// The type of a key: what its signatures cover.
#[derive(Clone, Copy, Debug, PartialEq, Eq, Hash)]
#[repr(u8)]
pub enum Kind {
    /// The note's text: the register's own signature.
    Text = 1,
    /// A time and the note's text: a witness's cosignature.
    Cosignature = 4,
}

impl Kind {
    fn from_byte(byte: u8) -> Option<Self> {
        [Self::Text, Self::Cosignature].into_iter().find(|kind| *kind as u8 == byte)
    }
}

/// Why a note or key is not valid, or a note is not signed.
#[derive(Clone, Debug, PartialEq, Eq, thiserror::Error)]
pub enum NoteError {
    /// Not in the format of a note.
    #[error("not a signed note: {0}")]
    Malformed(&'static str),
    /// Not in the format of a key.
    #[error("not a key: {0}")]
    NotAKey(&'static str),
    /// A known key's signature is invalid.
    #[error("the signature by {0} is not over this text")]
    Forged(String),
    /// No known key has signed.
    #[error("no signature is by a key that is known here")]
    Unsigned,
}

/// Whether a name is valid for a key, and as a register's origin: not empty, no space, no `+`, no
/// control character, at most [`MAX_NAME`] bytes.
#[must_use]
pub fn is_name(name: &str) -> bool {
    let never = |c: char| c.is_whitespace() || c.is_control() || c == '+';
    !name.is_empty() && name.len() <= MAX_NAME && !name.contains(never)
}

fn key_id(name: &str, kind: Kind, public: &[u8; 32]) -> u32 {
    let digest = Sha256::new()
        .chain_update(name.as_bytes())
        .chain_update([b'\n', kind as u8])
        .chain_update(public)
        .finalize();
    u32::from_be_bytes([digest[0], digest[1], digest[2], digest[3]])
}

/// Parses `name+id+material` into name, id, kind and 32 bytes.
fn parse_key(text: &str) -> Result<(&str, u32, Kind, [u8; 32]), NoteError> {
    let not_a_key = NoteError::NotAKey;
    let mut parts = text.splitn(3, '+');
    let (Some(name), Some(id), Some(material)) = (parts.next(), parts.next(), parts.next()) else {
        return Err(not_a_key("the form is name+id+key"));
    };
    if !is_name(name) {
        return Err(not_a_key("the name is empty, too long or has a space in it"));
    }
    let hex = id.len() == 8 && id.bytes().all(|byte| matches!(byte, b'0'..=b'9' | b'a'..=b'f'));
    let id =
        u32::from_str_radix(id, 16).ok().filter(|_| hex).ok_or(not_a_key("the id is not 8 hex digits"))?;
    let material = STANDARD.decode(material).map_err(|_| not_a_key("the key is not base64"))?;
    let (kind, bytes) = material.split_first().ok_or(not_a_key("there is nothing in it"))?;
    let kind = Kind::from_byte(*kind).ok_or(not_a_key("its type is neither 1 nor 4"))?;
    let bytes = bytes.try_into().map_err(|_| not_a_key("an Ed25519 key has 32 bytes"))?;
    Ok((name, id, kind, bytes))
}

/// A public key and its name.
#[derive(Clone, PartialEq, Eq)]
pub struct VerifierKey {
    name: String,
    id: u32,
    kind: Kind,
    key: ed25519_dalek::VerifyingKey,
}

impl VerifierKey {
    /// A public key under a name.
    ///
    /// # Errors
    /// If the name is not valid, or the bytes are not an Ed25519 key, or a weak one.
    pub fn new(name: &str, kind: Kind, public: &[u8; 32]) -> Result<Self, NoteError> {
        if !is_name(name) {
            return Err(NoteError::NotAKey("the name is empty, too long or has a space in it"));
        }
        let key = ed25519_dalek::VerifyingKey::from_bytes(public)
            .ok()
            .filter(|key| !key.is_weak())
            .ok_or(NoteError::NotAKey("these bytes are no Ed25519 key"))?;
        Ok(Self { name: name.to_owned(), id: key_id(name, kind, public), kind, key })
    }

    /// Its name.
    #[must_use]
    pub fn name(&self) -> &str {
        &self.name
    }

    /// The first four bytes of the hash over name, type and key.
    #[must_use]
    pub fn id(&self) -> u32 {
        self.id
    }

    /// What its signatures cover.
    #[must_use]
    pub fn kind(&self) -> Kind {
        self.kind
    }

    /// The key itself.
    #[must_use]
    pub fn public_key(&self) -> [u8; 32] {
        self.key.to_bytes()
    }

    /// Verifies a signature over a text. `None` if it was not made by this key.
    fn verify<'a>(&'a self, text: &str, signature: &[u8]) -> Option<Verified<'a>> {
        let time = match self.kind {
            Kind::Text => {
                let signature = ed25519_dalek::Signature::from_slice(signature).ok()?;
                self.key.verify_strict(text.as_bytes(), &signature).ok()?;
                None
            }
            Kind::Cosignature => Some(cosignature::verify(&self.key, text, signature)?),
        };
        Some(Verified { key: self, time })
    }
}

impl fmt::Display for VerifierKey {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        let material = [&[self.kind as u8], self.key.as_bytes().as_slice()].concat();
        write!(f, "{}+{:08x}+{}", self.name, self.id, STANDARD.encode(material))
    }
}

impl fmt::Debug for VerifierKey {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        fmt::Display::fmt(self, f)
    }
}

impl FromStr for VerifierKey {
    type Err = NoteError;

    fn from_str(text: &str) -> Result<Self, NoteError> {
        let (name, id, kind, public) = parse_key(text)?;
        let key = Self::new(name, kind, &public)?;
        if key.id == id { Ok(key) } else { Err(NoteError::NotAKey("its id is another key's")) }
    }
}

/// A secret key and its name; `Debug` prints the public key.
pub struct Signer {
    secret: ed25519_dalek::SigningKey,
    verifier: VerifierKey,
}

impl fmt::Debug for Signer {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        write!(f, "Signer({})", self.verifier)
    }
}

impl Signer {
    /// Makes a signer from the 32 bytes of its secret key (the seed).
    ///
    /// # Errors
    /// If the name is not valid.
    pub fn from_seed(name: &str, kind: Kind, seed: &[u8; 32]) -> Result<Self, NoteError> {
        let secret = ed25519_dalek::SigningKey::from_bytes(seed);
        let verifier = VerifierKey::new(name, kind, secret.verifying_key().as_bytes())?;
        Ok(Self { secret, verifier })
    }

    /// A fresh key.
    ///
    /// # Errors
    /// If the name is not valid.
    ///
    /// # Panics
    /// If the operating system gives no randomness: no key can be made then.
    pub fn generate(name: &str, kind: Kind) -> Result<Self, NoteError> {
        let mut seed = [0; 32];
        getrandom::fill(&mut seed).expect("the operating system provides randomness");
        Self::from_seed(name, kind, &seed)
    }

    /// Parses the text form of a secret key.
    ///
    /// # Errors
    /// If it is not in the format, or its id does not match the key.
    pub fn parse(text: &str) -> Result<Self, NoteError> {
        let rest =
            text.strip_prefix(SECRET).ok_or(NoteError::NotAKey("it does not begin with PRIVATE+KEY+"))?;
        let (name, id, kind, seed) = parse_key(rest)?;
        let signer = Self::from_seed(name, kind, &seed)?;
        if signer.verifier.id == id { Ok(signer) } else { Err(NoteError::NotAKey("its id is another key's")) }
    }

    /// Reads a key file: the text form on one line. Only its owner may have access to the file.
    ///
    /// # Errors
    /// If it cannot be read, other users may read it, or it holds no valid key. The message names the file.
    pub fn load(path: &Path) -> io::Result<Self> {
        let invalid = |what: String| {
            io::Error::new(io::ErrorKind::InvalidData, format!("key file {}: {what}", path.display()))
        };
        let named =
            |error: io::Error| io::Error::new(error.kind(), format!("key file {}: {error}", path.display()));
        let file = std::fs::File::open(path).map_err(named)?;
        let mode = file.metadata().map_err(named)?.mode();
        if mode & 0o077 != 0 {
            return Err(invalid(format!(
                "mode {:03o} lets others read it; make it 600, and change the key if it may have been read",
                mode & 0o777
            )));
        }
        let mut text = String::new();
        file.take(1024).read_to_string(&mut text).map_err(named)?;
        Self::parse(text.trim_end()).map_err(|error| invalid(error.to_string()))
    }

    /// Writes a new key file that only this user may read, and creates its folder if needed. The file is
    /// synced: without its key a register or witness cannot continue what it has signed.
    ///
    /// # Errors
    /// As [`Disk::put_secret`].
    pub fn save(&self, path: &Path) -> io::Result<()> {
        self.save_on(&Disk::system(), path)
    }

    fn save_on(&self, disk: &Disk, path: &Path) -> io::Result<()> {
        disk.put_secret(path, format!("{}\n", self.secret_text()).as_bytes())
    }

    /// Reads the key file; if it does not exist, creates it with a new key of that name.
    ///
    /// # Errors
    /// As [`Signer::load`] and [`Signer::save`].
    pub fn load_or_create(path: &Path, name: &str, kind: Kind) -> io::Result<Self> {
        match Self::load(path) {
            Err(error) if error.kind() == io::ErrorKind::NotFound => {
                let made = Self::generate(name, kind)
                    .map_err(|error| io::Error::new(io::ErrorKind::InvalidInput, error.to_string()))?;
                match made.save(path) {
                    // Another process has created the file first: use its key.
                    Err(error) if error.kind() != io::ErrorKind::AlreadyExists => Err(error),
                    _ => Self::load(path),
                }
            }
            done => done,
        }
    }

    /// The public key.
    #[must_use]
    pub fn verifier(&self) -> &VerifierKey {
        &self.verifier
    }

    /// The text form of the secret key: never print it.
    fn secret_text(&self) -> String {
        let VerifierKey { name, id, kind, .. } = &self.verifier;
        let material = [&[*kind as u8], self.secret.as_bytes().as_slice()].concat();
        format!("{SECRET}{name}+{id:08x}+{}", STANDARD.encode(material))
    }

    /// The signature line over a text. `now` is the time of a cosignature; the register's own
    /// signature has no time.
    #[must_use]
    pub fn sign(&self, text: &str, now: DateTime<Utc>) -> SignatureLine {
        let bytes = match self.verifier.kind {
            Kind::Text => self.secret.sign(text.as_bytes()).to_bytes().to_vec(),
            Kind::Cosignature => cosignature::sign(&self.secret, text, now),
        };
        SignatureLine { name: self.verifier.name.clone(), id: self.verifier.id, bytes }
    }
}

/// One signature line of a note.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct SignatureLine {
    name: String,
    id: u32,
    bytes: Vec<u8>,
}

impl SignatureLine {
    /// Parses one line, without its newline.
    ///
    /// # Errors
    /// If it is not a signature line.
    pub fn parse(line: &str) -> Result<Self, NoteError> {
        let malformed = || NoteError::Malformed("a signature line is not `— name base64`");
        let (name, text) =
            line.strip_prefix("— ").and_then(|rest| rest.split_once(' ')).ok_or_else(malformed)?;
        let bytes = STANDARD.decode(text).map_err(|_| malformed())?;
        let (id, bytes) = bytes.split_first_chunk::<4>().ok_or_else(malformed)?;
        if !is_name(name) || bytes.is_empty() {
            return Err(malformed());
        }
        Ok(Self { name: name.to_owned(), id: u32::from_be_bytes(*id), bytes: bytes.to_vec() })
    }

    /// The name of the key that the line states as its signer; not verified.
    #[must_use]
    pub fn name(&self) -> &str {
        &self.name
    }

    /// Whether the line states this key as its signer; not verified.
    #[must_use]
    pub fn is_by(&self, key: &VerifierKey) -> bool {
        self.id == key.id && self.name == key.name
    }
}

impl fmt::Display for SignatureLine {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        let bytes = [self.id.to_be_bytes().as_slice(), &self.bytes].concat();
        write!(f, "— {} {}", self.name, STANDARD.encode(bytes))
    }
}

/// A text and its signatures, none of them verified.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct Note {
    text: String,
    signatures: Vec<SignatureLine>,
}

/// A valid signature by a known key.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct Verified<'a> {
    /// The key.
    pub key: &'a VerifierKey,
    /// The time in a cosignature; the register's own signature has none.
    pub time: Option<DateTime<Utc>>,
}

impl Note {
    /// Signs a text, which must end in a newline and have no control characters.
    ///
    /// # Errors
    /// If the text is not valid for a note.
    pub fn sign(text: String, signers: &[&Signer], now: DateTime<Utc>) -> Result<Self, NoteError> {
        check_text(&text)?;
        let signatures = signers.iter().map(|signer| signer.sign(&text, now)).collect();
        Ok(Self { text, signatures })
    }

    /// A text with one signature line, received separately.
    #[must_use]
    pub fn from_parts(text: &str, line: SignatureLine) -> Self {
        Self { text: text.to_owned(), signatures: vec![line] }
    }

    /// Parses a received note.
    ///
    /// # Errors
    /// If it is not exactly in the format.
    pub fn parse(bytes: &[u8]) -> Result<Self, NoteError> {
        let malformed = NoteError::Malformed;
        if bytes.len() > MAX_LENGTH {
            return Err(malformed("it is longer than a million bytes"));
        }
        let full = std::str::from_utf8(bytes).map_err(|_| malformed("it is not UTF-8"))?;
        // The next three errors are typical of programs that save or transfer a text, so each has its own
        // message.
        if full.trim_matches([' ', '\t', '\r', '\n']).is_empty() {
            return Err(malformed("it is empty"));
        }
        if full.starts_with('\u{feff}') {
            return Err(malformed("it begins with a byte-order mark"));
        }
        if full.contains("\r\n") {
            return Err(malformed("its lines end in CR LF; those of a note end in LF alone"));
        }
        let at = full.rfind("\n\n").ok_or(malformed("no empty line ends its text"))?;
        let (text, lines) = (&full[..=at], &full[at + 2..]);
        check_text(text)?;
        let lines = lines.strip_suffix('\n').ok_or(malformed("no signature line ends it"))?;
        if lines.split('\n').nth(MAX_SIGNATURES).is_some() {
            return Err(malformed("it has too many signatures"));
        }
        let signatures = lines.split('\n').map(SignatureLine::parse).collect::<Result<_, _>>()?;
        Ok(Self { text: text.to_owned(), signatures })
    }

    /// The text, with its last newline. Do not trust it before [`Note::verify`].
    #[must_use]
    pub fn text(&self) -> &str {
        &self.text
    }

    /// The signature lines.
    #[must_use]
    pub fn signatures(&self) -> &[SignatureLine] {
        &self.signatures
    }

    /// Adds a signature line, unless there is one with the same name and id.
    pub fn add(&mut self, line: SignatureLine) {
        if !self.signatures.iter().any(|known| known.name == line.name && known.id == line.id) {
            self.signatures.push(line);
        }
    }

    /// The note with only the signature lines of these keys.
    #[must_use]
    pub fn only_by(&self, keys: &[VerifierKey]) -> Self {
        let lines = self.signatures.iter().filter(|line| keys.iter().any(|key| line.is_by(key)));
        Self { text: self.text.clone(), signatures: lines.cloned().collect() }
    }

    /// The known keys that have signed, each once, in the order of the lines.
    ///
    /// # Errors
    /// If a known key's signature is invalid, or no known key has signed.
    pub fn verify<'a>(&self, keys: &'a [VerifierKey]) -> Result<Vec<Verified<'a>>, NoteError> {
        let mut verified: Vec<Verified<'a>> = Vec::new();
        for line in &self.signatures {
            let mut claimed = keys.iter().filter(|key| line.is_by(key)).peekable();
            if claimed.peek().is_none() || verified.iter().any(|known| line.is_by(known.key)) {
                continue;
            }
            // An id has only 32 bits, so two known keys may have the same id. All keys with this name and id
            // are tried.
            let valid = claimed.find_map(|key| key.verify(&self.text, &line.bytes));
            verified.push(valid.ok_or_else(|| NoteError::Forged(line.name.clone()))?);
        }
        if verified.is_empty() { Err(NoteError::Unsigned) } else { Ok(verified) }
    }
}

impl fmt::Display for Note {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        writeln!(f, "{}", self.text)?;
        self.signatures.iter().try_for_each(|line| writeln!(f, "{line}"))
    }
}

fn check_text(text: &str) -> Result<(), NoteError> {
    let never = |c: char| c.is_ascii_control() && c != '\n' && c != '\x7f';
    if text.contains(never) {
        return Err(NoteError::Malformed("it has a control character"));
    }
    if text.ends_with('\n') { Ok(()) } else { Err(NoteError::Malformed("its text ends without a newline")) }
}

#[cfg(test)]
#[path = "note_tests.rs"]
mod tests;
