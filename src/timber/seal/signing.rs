//! Makes marking codes and detects forged ones, without the database.
//!
//! A code made here has in `92` an Ed25519 signature (RFC 8032) and in `91` the id
//! of the signing key. The signature covers these bytes:
//!
//! ```text
//! "ormantrace/marking-code/1" 0x00 || identification || 0x1D || "91" || key id
//! ```
//!
//! where the identification is `01…21…` as in the code and the key id its four
//! characters. The signature is encoded in base64 with padding (RFC 4648,
//! section 4), 88 characters. The key id is the base64url form of the first
//! three bytes of `SHA-256("ormantrace/key-id/1" 0x00 || public key)`: four
//! characters that every GS1 reader transmits. It is a label, not a proof: two
//! keys may have the same id, and then both are tried.

use super::gs1::{GS, Gtin};
use super::marking_code::{Identification, KEY_ID_LENGTH, MarkingCode};
use crate::evidence::tlog::disk::Disk;
use base64::Engine as _;
use base64::engine::general_purpose::{STANDARD, URL_SAFE_NO_PAD};
use ed25519_dalek::Signer as _;
use sha2::{Digest as _, Sha256};
use std::fmt;
use std::io::{self, Read as _};
use std::num::NonZeroUsize;
use std::ops::Range;
use std::os::unix::fs::MetadataExt as _;
use std::path::Path;

const CODE_DOMAIN: &[u8] = b"ormantrace/marking-code/1\0";
const KEY_ID_DOMAIN: &[u8] = b"ormantrace/key-id/1\0";

/// The four-character id of a key, in `91`.
#[derive(Clone, Copy, PartialEq, Eq, Hash)]
pub struct SignerId([u8; KEY_ID_LENGTH]);

impl SignerId {
    fn of(public: &ed25519_dalek::VerifyingKey) -> Self {
        let hash: [u8; 32] =
            Sha256::new().chain_update(KEY_ID_DOMAIN).chain_update(public.as_bytes()).finalize().into();
        let mut id = [0; KEY_ID_LENGTH];
        // Three bytes always encode to four characters, so the buffer fits exactly.
        let _ = URL_SAFE_NO_PAD.encode_slice(&hash[..3], &mut id);
        Self(id)
    }

    /// The id as in a code.
    #[must_use]
    pub fn as_str(&self) -> &str {
        std::str::from_utf8(&self.0).unwrap_or_default()
    }
}

impl fmt::Display for SignerId {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.write_str(self.as_str())
    }
}

impl fmt::Debug for SignerId {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        write!(f, "SignerId({self})")
    }
}

/// The secret that signs marking codes.
pub struct SigningKey {
    secret: ed25519_dalek::SigningKey,
    id: SignerId,
}

impl fmt::Debug for SigningKey {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        write!(f, "SigningKey({})", self.id)
    }
}

impl SigningKey {
    /// Builds the key from its 32-byte seed.
    #[must_use]
    pub fn from_seed(seed: &[u8; 32]) -> Self {
        let secret = ed25519_dalek::SigningKey::from_bytes(seed);
        let id = SignerId::of(&secret.verifying_key());
        Self { secret, id }
    }

    /// Reads the key file, or creates it if there is none.
    ///
    /// The file contains the seed in base64, one line, mode 0600; its folder is
    /// created if necessary. A new file is written with [`Disk::put_secret`]: if two
    /// processes start at once, one key wins and both use it, and no reader sees a
    /// partial key. A file that other users may read, or that contains no key, is an
    /// error.
    pub fn load_or_create(path: &Path) -> io::Result<Self> {
        match Self::load(path) {
            Err(error) if error.kind() == io::ErrorKind::NotFound => {
                create(&Disk::system(), path)?;
                Self::load(path)
            }
            done => done,
        }
    }

    /// Reads the key file.
    pub fn load(path: &Path) -> io::Result<Self> {
        let invalid = |what: &str| {
            io::Error::new(io::ErrorKind::InvalidData, format!("signing key {}: {what}", path.display()))
        };
        let file = std::fs::File::open(path)?;
        let mode = file.metadata()?.mode();
        if mode & 0o077 != 0 {
            return Err(invalid(&format!(
                "mode {:03o} lets others read it; make it 600, and change the key if it may have been read",
                mode & 0o777
            )));
        }
        let mut text = String::new();
        file.take(128).read_to_string(&mut text)?;
        let mut seed = [0_u8; 32];
        match STANDARD.decode(text.trim()) {
            Ok(bytes) if bytes.len() == seed.len() => seed.copy_from_slice(&bytes),
            _ => return Err(invalid("not 32 bytes in base64")),
        }
        Ok(Self::from_seed(&seed))
    }

    /// The id in `91` of every code that this key signs.
    #[must_use]
    pub fn id(&self) -> SignerId {
        self.id
    }

    /// The public half, 32 bytes; it is stored and published.
    #[must_use]
    pub fn public_key(&self) -> [u8; 32] {
        self.secret.verifying_key().to_bytes()
    }

    /// The complete signed code for an identification.
    #[must_use]
    pub fn sign(&self, identification: &Identification) -> MarkingCode {
        let signature = self.secret.sign(&signed_bytes(identification.as_str(), self.id.as_str()));
        MarkingCode::signed(identification, self.id.as_str(), &STANDARD.encode(signature.to_bytes()))
    }
}

fn create(disk: &Disk, path: &Path) -> io::Result<()> {
    let mut seed = [0_u8; 32];
    getrandom::fill(&mut seed).map_err(|error| io::Error::other(error.to_string()))?;
    match disk.put_secret(path, format!("{}\n", STANDARD.encode(seed)).as_bytes()) {
        // Another process created the file first; the key in that file is used.
        Err(error) if error.kind() == io::ErrorKind::AlreadyExists => Ok(()),
        done => done,
    }
}

fn signed_bytes(identification: &str, key_id: &str) -> Vec<u8> {
    let mut bytes = Vec::with_capacity(CODE_DOMAIN.len() + identification.len() + 3 + key_id.len());
    bytes.extend_from_slice(CODE_DOMAIN);
    bytes.extend_from_slice(identification.as_bytes());
    bytes.push(GS as u8);
    bytes.extend_from_slice(b"91");
    bytes.extend_from_slice(key_id.as_bytes());
    bytes
}

/// Result of checking a code's signature.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum Signature {
    /// Made by a key of this system for this identification.
    Valid,
    /// The code names a key of this system that did not make the signature: it is forged or misread.
    Forged,
    /// The code names no key of this system: it is another issuer's code and cannot be checked here.
    UnknownKey,
    /// The code has no signature.
    Absent,
}

/// The public keys that codes are verified with: the present one and all earlier ones.
#[derive(Clone, Debug, Default)]
pub struct KeyRing(Vec<(SignerId, ed25519_dalek::VerifyingKey)>);

/// The bytes are not a usable public key.
#[derive(Clone, Copy, Debug, PartialEq, Eq, thiserror::Error)]
#[error("not an Ed25519 public key, or a weak one, for which signatures can be forged")]
pub struct InvalidPublicKey;

impl KeyRing {
    /// A ring with no key.
    #[must_use]
    pub fn new() -> Self {
        Self::default()
    }

    /// Adds a public key; adding it again changes nothing.
    pub fn add(&mut self, public: &[u8; 32]) -> Result<SignerId, InvalidPublicKey> {
        let key = ed25519_dalek::VerifyingKey::from_bytes(public).map_err(|_| InvalidPublicKey)?;
        if key.is_weak() {
            return Err(InvalidPublicKey);
        }
        let id = SignerId::of(&key);
        if self.0.iter().all(|(_, known)| *known != key) {
            self.0.push((id, key));
        }
        Ok(id)
    }

    /// Whether the ring has no key.
    #[must_use]
    pub fn is_empty(&self) -> bool {
        self.0.is_empty()
    }

    /// Whether the ring contains a public key.
    #[must_use]
    pub fn has(&self, public: &[u8; 32]) -> bool {
        self.0.iter().any(|(_, key)| key.as_bytes() == public)
    }

    /// Checks a code's signature. Does not use the database.
    #[must_use]
    pub fn verify(&self, code: &MarkingCode) -> Signature {
        let (Some(key_id), Some(text)) = (code.key_id(), code.signature()) else { return Signature::Absent };
        let mut named = self.0.iter().filter(|(id, _)| id.as_str() == key_id).peekable();
        if named.peek().is_none() {
            return Signature::UnknownKey;
        }
        let Some(signature) =
            STANDARD.decode(text).ok().and_then(|bytes| ed25519_dalek::Signature::from_slice(&bytes).ok())
        else {
            return Signature::Forged;
        };
        let bytes = signed_bytes(code.identification_str(), key_id);
        if named.any(|(_, key)| key.verify_strict(&bytes, &signature).is_ok()) {
            Signature::Valid
        } else {
            Signature::Forged
        }
    }
}

impl From<&SigningKey> for KeyRing {
    fn from(key: &SigningKey) -> Self {
        Self(vec![(key.id, key.secret.verifying_key())])
    }
}

/// Maximum number of serials that one [`Mint`] makes, because 20 bits of a serial identify the ordinal.
pub const MAX_BATCH: u32 = 1 << ORDINAL_BITS;
const ORDINAL_BITS: u32 = 20;
/// Digits and capital letters without I, L, O and U: no two look alike, and none
/// needs escaping in a URL. 32 characters, five bits each.
const ALPHABET: &[u8; 32] = b"0123456789ABCDEFGHJKMNPQRSTVWXYZ";
const SERIAL_LENGTH: u32 = 13;

/// Whether a serial has the form of the serials that [`Mint`] makes, which cannot be found by guessing. The
/// form requires at least two letters; otherwise consecutive numbers of other issuers, with leading zeros,
/// would have it too. About one in 100,000 serials made by [`Mint`] has fewer letters, and gives false here.
#[must_use]
pub fn is_minted_form(serial: &str) -> bool {
    serial.bytes().filter(u8::is_ascii_uppercase).count() >= 2
        && usize::try_from(SERIAL_LENGTH).is_ok_and(|length| serial.len() == length)
        && serial.bytes().all(|character| ALPHABET.contains(&character))
}

/// A generator of the serials for one batch of seals.
///
/// A serial has 65 bits. The high 45 bits are a hash of the secret and the seal's ordinal in the
/// batch. The low 20 bits are the ordinal plus a mask (a hash of the secret and the high bits),
/// modulo 2²⁰. Equal high bits give equal masks, so different ordinals give different low bits: no
/// serial occurs twice in a batch. Without the secret, no serial can be computed from another.
///
/// Guessing an existing serial takes on average 2⁶⁵ tries divided by the number of seals made. Two
/// batches may share a serial: the probability that this ever happens among 10⁹ seals is about 1 in
/// 74 (n²/2 ÷ 2⁶⁵). The unique constraint then rejects the batch, and the request must be repeated.
pub struct Mint {
    gtin: Gtin,
    secret: [u8; 32],
}

impl fmt::Debug for Mint {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        write!(f, "Mint({})", self.gtin)
    }
}

impl Mint {
    /// A generator of serials with a random secret. Fails if the operating system provides no randomness.
    pub fn new(gtin: Gtin) -> io::Result<Self> {
        let mut secret = [0; 32];
        getrandom::fill(&mut secret).map_err(|error| io::Error::other(error.to_string()))?;
        Ok(Self::with_secret(gtin, secret))
    }

    /// A generator of serials with a given secret, so that the demonstration's fixed data and the tests get
    /// the same serials each time.
    #[must_use]
    pub fn with_secret(gtin: Gtin, secret: [u8; 32]) -> Self {
        Self { gtin, secret }
    }

    /// The identification of the seal with this ordinal; `None` from [`MAX_BATCH`] on.
    #[must_use]
    pub fn identification(&self, ordinal: u32) -> Option<Identification> {
        if ordinal >= MAX_BATCH {
            return None;
        }
        let high = self.derived(b'h', u64::from(ordinal)) >> (64 - 45);
        let mask = self.derived(b'm', high);
        let low = u64::from(ordinal).wrapping_add(mask) % u64::from(MAX_BATCH);
        let bits = u128::from(high) << ORDINAL_BITS | u128::from(low);
        let serial: String = (0..SERIAL_LENGTH)
            .rev()
            .map(|digit| char::from(ALPHABET[(bits >> (5 * digit) & 31) as usize]))
            .collect();
        Identification::new(self.gtin, &serial).ok()
    }

    /// The signed codes for a range of ordinals, in order, made on `threads` threads. Ordinals from
    /// [`MAX_BATCH`] on yield no code. All codes are in memory at once, about 170 bytes each; a caller that
    /// needs a million codes calls this for about ten thousand at a time.
    #[must_use]
    pub fn batch(&self, key: &SigningKey, ordinals: Range<u32>, threads: NonZeroUsize) -> Vec<MarkingCode> {
        let ordinals = ordinals.start.min(MAX_BATCH)..ordinals.end.min(MAX_BATCH);
        let mut identifications: Vec<Identification> = Vec::new();
        identifications.extend(ordinals.filter_map(|ordinal| self.identification(ordinal)));
        let share = identifications.len().div_ceil(threads.get()).max(1);
        std::thread::scope(|scope| {
            let workers: Vec<_> = identifications
                .chunks(share)
                .map(|part| scope.spawn(move || part.iter().map(|i| key.sign(i)).collect::<Vec<_>>()))
                .collect();
            let done = workers.into_iter().map(std::thread::ScopedJoinHandle::join);
            // A worker does not panic; if it did, the panic would be passed to the caller.
            done.flat_map(|part| part.unwrap_or_else(|panic| std::panic::resume_unwind(panic))).collect()
        })
    }

    fn derived(&self, use_: u8, of: u64) -> u64 {
        let hash: [u8; 32] = Sha256::new()
            .chain_update(b"ormantrace/serial/1\0")
            .chain_update(self.secret)
            .chain_update([use_])
            .chain_update(of.to_be_bytes())
            .finalize()
            .into();
        hash[..8].iter().fold(0, |sum, byte| sum << 8 | u64::from(*byte))
    }
}

#[cfg(test)]
mod tests {
    use super::*;
    use proptest::prelude::*;
    use std::collections::HashSet;
    use std::os::unix::fs::PermissionsExt as _;

    fn key() -> SigningKey {
        SigningKey::from_seed(&[7; 32])
    }

    fn code() -> MarkingCode {
        key().sign(&Identification::new(Gtin::DEMONSTRATION, "K7M2Q9XJ4TZ0B").unwrap())
    }

    #[test]
    fn what_a_key_signs_is_valid_and_reads_back() {
        let code = code();
        assert_eq!(MarkingCode::parse(code.as_str()), Ok(code.clone()));
        assert_eq!(code.key_id(), Some(key().id().as_str()));
        assert_eq!(code.signature().map(str::len), Some(88));
        assert_eq!(KeyRing::from(&key()).verify(&code), Signature::Valid);
    }

    #[test]
    fn the_signed_bytes_are_the_documented_ones() {
        // Builds the bytes as another program would.
        let code = code();
        let bytes = [
            &b"ormantrace/marking-code/1\x00010952000000001121K7M2Q9XJ4TZ0B\x1d91"[..],
            code.key_id().unwrap().as_bytes(),
        ]
        .concat();
        let signature = STANDARD.decode(code.signature().unwrap()).unwrap();
        let public = ed25519_dalek::VerifyingKey::from_bytes(&key().public_key()).unwrap();
        assert!(public.verify_strict(&bytes, &signature.as_slice().try_into().unwrap()).is_ok());
    }

    #[test]
    fn a_changed_code_is_forged_and_a_foreign_one_unknown() {
        let ring = KeyRing::from(&key());
        let code = code();
        let verdict = |text: &str| ring.verify(&MarkingCode::parse_strict(text).unwrap());
        assert_eq!(verdict(&code.as_str().replace("K7M2", "K7M3")), Signature::Forged);
        assert_eq!(
            verdict(&code.as_str().replace("0952000000001121", "0952000000002821")),
            Signature::Forged
        );
        let invented = format!("{}{GS}91{}{GS}92", code.identification(), key().id());
        assert_eq!(verdict(&format!("{invented}{}", "A".repeat(88))), Signature::Forged);
        assert_eq!(verdict(&format!("{invented}{}", "A".repeat(44))), Signature::Forged);
        let foreign = SigningKey::from_seed(&[8; 32]).sign(&code.identification());
        assert_eq!(ring.verify(&foreign), Signature::UnknownKey);
        assert_eq!(verdict(code.identification_str()), Signature::Absent);
    }

    #[test]
    fn a_ring_keeps_old_keys_and_takes_no_weak_one() {
        let old = SigningKey::from_seed(&[8; 32]);
        let mut ring = KeyRing::from(&key());
        assert_eq!(ring.add(&old.public_key()), Ok(old.id()));
        assert_eq!(ring.add(&old.public_key()), Ok(old.id()));
        assert_eq!(ring.0.len(), 2);
        assert_eq!(ring.verify(&old.sign(&code().identification())), Signature::Valid);
        assert_eq!(ring.verify(&code()), Signature::Valid);
        let mut neutral = [0; 32];
        neutral[0] = 1;
        assert_eq!(ring.add(&neutral), Err(InvalidPublicKey));
    }

    #[test]
    fn the_key_file_is_made_once_and_for_one_user() {
        let folder = tempfile::tempdir().unwrap();
        let path = folder.path().join("marking.key");
        let start = std::sync::Barrier::new(8);
        let ids: HashSet<SignerId> = std::thread::scope(|scope| {
            let threads: Vec<_> = (0..8)
                .map(|_| {
                    scope.spawn(|| {
                        start.wait();
                        SigningKey::load_or_create(&path).unwrap().id()
                    })
                })
                .collect();
            threads.into_iter().map(|thread| thread.join().unwrap()).collect()
        });
        assert_eq!(ids.len(), 1);
        assert_eq!(std::fs::metadata(&path).unwrap().mode() & 0o777, 0o600);
        let files: Vec<_> =
            std::fs::read_dir(folder.path()).unwrap().map(|f| f.unwrap().file_name()).collect();
        assert_eq!(files, ["marking.key"]);

        std::fs::set_permissions(&path, std::fs::Permissions::from_mode(0o640)).unwrap();
        assert!(SigningKey::load_or_create(&path).unwrap_err().to_string().contains("mode 640"));
    }

    #[test]
    fn a_broken_key_file_is_never_replaced() {
        let folder = tempfile::tempdir().unwrap();
        let path = folder.path().join("marking.key");
        for content in ["", "c2hvcnQ=", "not base64 at all", &"A".repeat(5_000)] {
            std::fs::write(&path, content).unwrap();
            std::fs::set_permissions(&path, std::fs::Permissions::from_mode(0o600)).unwrap();
            assert!(SigningKey::load_or_create(&path).is_err(), "{content:.20}");
            assert_eq!(std::fs::read_to_string(&path).unwrap(), content);
        }
    }

    #[test]
    fn serials_made_here_have_their_form_and_numbers_do_not() {
        let mint = Mint::with_secret(Gtin::DEMONSTRATION, [3; 32]);
        let minted = (0..1_000).filter(|n| is_minted_form(mint.identification(*n).unwrap().serial()));
        assert_eq!(minted.count(), 1_000);
        for serial in
            ["0000000000417", "A000000000417", "AB00000000041", "ABCDEFGH", "abcdefghjkmnp", "ABCDEFGHIJKLM"]
        {
            assert_eq!(is_minted_form(serial), serial == "AB00000000041", "{serial}");
        }
    }

    #[test]
    fn serials_of_a_batch_differ_and_keep_to_the_alphabet() {
        let mint = Mint::new(Gtin::DEMONSTRATION).unwrap();
        let serials: HashSet<String> =
            (0..20_000).map(|n| mint.identification(n).unwrap().serial().to_owned()).collect();
        assert_eq!(serials.len(), 20_000);
        assert!(serials.iter().all(|s| s.len() == 13 && s.bytes().all(|b| ALPHABET.contains(&b))));
        assert_eq!(mint.identification(MAX_BATCH), None);
        let other = Mint::new(Gtin::DEMONSTRATION).unwrap();
        assert_ne!(mint.identification(0), other.identification(0));
    }

    #[test]
    fn a_batch_is_in_order_whatever_the_threads() {
        let mint = Mint::with_secret(Gtin::DEMONSTRATION, [3; 32]);
        let batch = |threads| mint.batch(&key(), 5..42, NonZeroUsize::new(threads).unwrap());
        let one = batch(1);
        assert_eq!(one.len(), 37);
        assert_eq!(one, batch(4));
        assert_eq!(one, batch(64));
        assert_eq!(Some(one[0].identification()), mint.identification(5));
        assert_eq!(mint.batch(&key(), MAX_BATCH..u32::MAX, NonZeroUsize::MIN), []);
        assert!(one.iter().all(|code| KeyRing::from(&key()).verify(code) == Signature::Valid));
    }

    proptest! {
        #![proptest_config(ProptestConfig::with_cases(64))]
        #[test]
        fn one_changed_character_of_a_signature_is_forged(at in 0_usize..86, to in 0_usize..64) {
            let alphabet = b"ABCDEFGHIJKLMNOPQRSTUVWXYZabcdefghijklmnopqrstuvwxyz0123456789+/";
            let code = code();
            let mut bytes = code.as_str().as_bytes().to_vec();
            let index = bytes.len() - 88 + at;
            prop_assume!(bytes[index] != alphabet[to]);
            bytes[index] = alphabet[to];
            let changed = MarkingCode::parse_strict(std::str::from_utf8(&bytes).unwrap()).unwrap();
            prop_assert_eq!(KeyRing::from(&key()).verify(&changed), Signature::Forged);
        }
    }
}
