//! The byte form of commitments, records, refs and entries, frozen by the first
//! migration. `docs/CHAIN.md` specifies the same in words, with test vectors.
//!
//! `H` is SHA-256, integers are big-endian, a UUID is its 16 bytes, a time is
//! microseconds since 1970-01-01T00:00:00Z without leap seconds.

use chrono::{DateTime, Utc};
use hmac::{Hmac, KeyInit, Mac};
use serde::{Deserialize, Deserializer, Serialize, Serializer};
use sha2::{Digest, Sha256};
use uuid::Uuid;

/// Length of an [`Entry`] in bytes.
pub const ENTRY_LEN: usize = 113;

/// A SHA-256 value; written as 64 lower-case hex digits.
#[derive(Clone, Copy, PartialEq, Eq, Hash)]
pub struct Hash(pub [u8; 32]);

impl Hash {
    /// `prev` of a chain's first event, and the commitment of an absent part.
    pub const ZERO: Self = Self([0; 32]);

    /// The hash stored in a column of 32 bytes; `None` for any other length.
    #[must_use]
    pub fn from_slice(bytes: &[u8]) -> Option<Self> {
        bytes.try_into().ok().map(Self)
    }

    /// Parses 64 hex digits.
    #[must_use]
    pub fn from_hex(text: &str) -> Option<Self> {
        let mut out = [0; 32];
        hex::decode_to_slice(text, &mut out).ok()?;
        Some(Self(out))
    }
}

impl std::fmt::Display for Hash {
    fn fmt(&self, f: &mut std::fmt::Formatter<'_>) -> std::fmt::Result {
        f.write_str(&hex::encode(self.0))
    }
}

impl std::fmt::Debug for Hash {
    fn fmt(&self, f: &mut std::fmt::Formatter<'_>) -> std::fmt::Result {
        std::fmt::Display::fmt(self, f)
    }
}

impl Serialize for Hash {
    fn serialize<S: Serializer>(&self, serializer: S) -> Result<S::Ok, S::Error> {
        in_hex::<64, S>(&self.0, serializer)
    }
}

impl<'de> Deserialize<'de> for Hash {
    fn deserialize<D: Deserializer<'de>>(deserializer: D) -> Result<Self, D::Error> {
        let text = <std::borrow::Cow<'de, str>>::deserialize(deserializer)?;
        Self::from_hex(&text).ok_or_else(|| serde::de::Error::custom("not 64 hex digits"))
    }
}

/// Serialises bytes as `N` hex digits without allocating.
fn in_hex<const N: usize, S: Serializer>(bytes: &[u8], serializer: S) -> Result<S::Ok, S::Error> {
    let mut text = [0; N];
    hex::encode_to_slice(bytes, &mut text).map_err(serde::ser::Error::custom)?;
    serializer.serialize_str(std::str::from_utf8(&text).map_err(serde::ser::Error::custom)?)
}

impl utoipa::PartialSchema for Hash {
    fn schema() -> utoipa::openapi::RefOr<utoipa::openapi::schema::Schema> {
        utoipa::openapi::ObjectBuilder::new()
            .schema_type(utoipa::openapi::schema::Type::String)
            .pattern(Some("^[0-9a-f]{64}$"))
            .description(Some("SHA-256, lower-case hex"))
            .build()
            .into()
    }
}

impl utoipa::ToSchema for Hash {}

/// One line for each kind: the variant, its number and its name.
macro_rules! kinds {
    ($( $(#[$doc:meta])* $kind:ident = $byte:literal, $name:literal; )+) => {
        /// The kind of a chain's subject. The numbers are hashed and never change.
        #[derive(Clone, Copy, Debug, PartialEq, Eq)]
        #[repr(u8)]
        pub enum SubjectKind {
            $( $(#[$doc])* $kind = $byte, )+
        }

        impl SubjectKind {
            /// Every kind, in the order of the numbers.
            pub const ALL: &'static [Self] = &[$( Self::$kind ),+];

            /// The name of this kind in an export. The table of such subjects has the same name. `log` includes
            /// stacks.
            #[must_use]
            pub const fn name(self) -> &'static str {
                match self { $( Self::$kind => $name, )+ }
            }
        }
    };
}

kinds! {
    /// A log or a stack.
    Log = 1, "log";
    /// A felling ticket.
    FellingTicket = 2, "felling_ticket";
    /// A batch of seals.
    SealBatch = 3, "seal_batch";
    /// An organisation.
    Organization = 4, "organization";
    /// A finding.
    Finding = 5, "finding";
    /// Reserved: a waybill.
    Waybill = 6, "waybill";
}

impl SubjectKind {
    /// The byte that is hashed.
    #[must_use]
    pub fn byte(self) -> u8 {
        self as u8
    }

    /// The kind with this byte; `None` if there is none.
    #[must_use]
    pub fn from_byte(byte: u8) -> Option<Self> {
        Self::ALL.iter().copied().find(|kind| kind.byte() == byte)
    }

    /// The kind with this name; `None` if there is none.
    #[must_use]
    pub fn from_name(name: &str) -> Option<Self> {
        Self::ALL.iter().copied().find(|kind| kind.name() == name)
    }
}

/// The three parts of an event. Each has a commitment of its own, so that each can be
/// disclosed, withheld or erased without the others.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
#[repr(u8)]
pub enum Part {
    /// What a buyer may see.
    Public = 1,
    /// What the parties and inspectors may see.
    Business = 2,
    /// Names and IIN; erasable.
    Personal = 3,
}

/// 32 secret bytes from which an event's salts are derived. Stored, never disclosed.
#[derive(Clone, Copy)]
pub struct Secret(pub [u8; 32]);

/// 32 bytes without which the text of a part cannot be guessed from its commitment. They are disclosed with
/// this text.
#[derive(Clone, Copy, PartialEq, Eq, Debug)]
pub struct Salt(pub [u8; 32]);

impl Serialize for Salt {
    fn serialize<S: Serializer>(&self, serializer: S) -> Result<S::Ok, S::Error> {
        in_hex::<64, S>(&self.0, serializer)
    }
}

impl Salt {
    /// A fresh random salt.
    ///
    /// # Panics
    /// If the operating system gives no randomness: nothing can be recorded then.
    #[must_use]
    pub fn random() -> Self {
        Self(random())
    }
}

impl Secret {
    /// A fresh random secret.
    ///
    /// # Panics
    /// If the operating system gives no randomness: nothing can be recorded then.
    #[must_use]
    pub fn random() -> Self {
        Self(random())
    }

    /// The salt of an event's own part.
    #[must_use]
    pub fn salt(&self, part: Part) -> Salt {
        self.derive(part, &[])
    }

    /// The salt of a personal part. It depends on the event, because all events of a write request share one
    /// secret.
    #[must_use]
    pub fn personal_salt(&self, subject: Uuid, seq: u32) -> Salt {
        let mut scope = [0; 24];
        scope[..16].copy_from_slice(subject.as_bytes());
        scope[16..].copy_from_slice(&u64::from(seq).to_be_bytes());
        self.derive(Part::Personal, &scope)
    }

    fn derive(&self, part: Part, scope: &[u8]) -> Salt {
        let mut mac =
            <Hmac<Sha256> as KeyInit>::new_from_slice(&self.0).expect("HMAC takes a key of any length");
        mac.update(b"ormantrace/salt/1\0");
        mac.update(&[part as u8]);
        mac.update(scope);
        Salt(mac.finalize().into_bytes().into())
    }
}

fn random() -> [u8; 32] {
    let mut bytes = [0; 32];
    getrandom::fill(&mut bytes).expect("the operating system provides randomness");
    bytes
}

/// `H("ormantrace/commit/1" 0x00 || k || salt || text)`; `k` is the number of the part.
#[must_use]
pub fn commit(part: Part, salt: &Salt, text: &str) -> Hash {
    let mut hasher = Sha256::new();
    hasher.update(b"ormantrace/commit/1\0");
    hasher.update([part as u8]);
    hasher.update(salt.0);
    hasher.update(text.as_bytes());
    Hash(hasher.finalize().into())
}

/// `H("ormantrace/record/1" 0x00 || commit(1) || commit(2) || commit(3))`; an absent part is 32 zero bytes.
#[must_use]
pub fn record(public: Hash, business: Hash, personal: Hash) -> Hash {
    let mut hasher = Sha256::new();
    hasher.update(b"ormantrace/record/1\0");
    hasher.update(public.0);
    hasher.update(business.0);
    hasher.update(personal.0);
    Hash(hasher.finalize().into())
}

/// `H("ormantrace/ref/1" 0x00 || kind || subject_id || subject_salt)`: names the
/// subject in every entry without disclosing its id.
#[must_use]
pub fn subject_ref(kind: SubjectKind, id: Uuid, salt: &Salt) -> Hash {
    let mut hasher = Sha256::new();
    hasher.update(b"ormantrace/ref/1\0");
    hasher.update([kind.byte()]);
    hasher.update(id.as_bytes());
    hasher.update(salt.0);
    Hash(hasher.finalize().into())
}

/// The 113 bytes that a chain links and the register holds:
/// `0x01 || ref[32] || seq u64 || received_at i64 || prev[32] || record[32]`.
#[derive(Clone, Copy, PartialEq, Eq)]
pub struct Entry([u8; ENTRY_LEN]);

impl Entry {
    /// The first byte of every entry; it determines all algorithms and the layout.
    pub const VERSION: u8 = 1;

    /// Lays out an entry.
    #[must_use]
    pub fn new(subject: Hash, seq: u32, received_at: DateTime<Utc>, prev: Hash, record: Hash) -> Self {
        let mut bytes = [0; ENTRY_LEN];
        bytes[0] = Self::VERSION;
        bytes[1..33].copy_from_slice(&subject.0);
        bytes[33..41].copy_from_slice(&u64::from(seq).to_be_bytes());
        bytes[41..49].copy_from_slice(&received_at.timestamp_micros().to_be_bytes());
        bytes[49..81].copy_from_slice(&prev.0);
        bytes[81..113].copy_from_slice(&record.0);
        Self(bytes)
    }

    /// `H(0x00 || entry)`: the event's hash. It is also `prev` of the next event, and the RFC 6962 leaf hash
    /// of this one.
    #[must_use]
    pub fn link(&self) -> Hash {
        let mut hasher = Sha256::new();
        hasher.update([0]);
        hasher.update(self.0);
        Hash(hasher.finalize().into())
    }

    /// The bytes.
    #[must_use]
    pub fn as_bytes(&self) -> &[u8; ENTRY_LEN] {
        &self.0
    }

    /// Whether the entry has the layout that this type reads. If not, the values that the other methods
    /// return mean nothing.
    #[must_use]
    pub fn is_known_version(&self) -> bool {
        self.0[0] == Self::VERSION
    }

    /// The ref of its subject.
    #[must_use]
    pub fn subject(&self) -> Hash {
        Hash(self.bytes_at(1))
    }

    /// Position of the event in its chain.
    #[must_use]
    pub fn seq(&self) -> u64 {
        u64::from_be_bytes(self.bytes_at(33))
    }

    /// When the server received the event, in microseconds since 1970.
    #[must_use]
    pub fn received_at(&self) -> i64 {
        i64::from_be_bytes(self.bytes_at(41))
    }

    /// Hash of the event before it; zero for the first.
    #[must_use]
    pub fn prev(&self) -> Hash {
        Hash(self.bytes_at(49))
    }

    /// The record that commits to its parts.
    #[must_use]
    pub fn record(&self) -> Hash {
        Hash(self.bytes_at(81))
    }

    /// `N` bytes of the entry, from the offset `start`. Every range that is read is inside the entry.
    fn bytes_at<const N: usize>(&self, start: usize) -> [u8; N] {
        std::array::from_fn(|at| self.0[start + at])
    }
}

impl From<[u8; ENTRY_LEN]> for Entry {
    /// An entry as stored or received; its version is not checked ([`Entry::is_known_version`]).
    fn from(bytes: [u8; ENTRY_LEN]) -> Self {
        Self(bytes)
    }
}

impl Serialize for Entry {
    fn serialize<S: Serializer>(&self, serializer: S) -> Result<S::Ok, S::Error> {
        in_hex::<{ ENTRY_LEN * 2 }, S>(&self.0, serializer)
    }
}

impl std::fmt::Debug for Entry {
    fn fmt(&self, f: &mut std::fmt::Formatter<'_>) -> std::fmt::Result {
        f.write_str(&hex::encode(self.0))
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    /// The vector of `docs/CHAIN.md`, made with Python's hashlib, not with this code.
    #[test]
    fn bytes_are_those_of_the_specification() {
        let id = Uuid::parse_str("01999999-9999-7999-8999-999999999999").unwrap();
        let secret = Secret([7; 32]);
        let text = r#"{"region":"KZ-10","subject":"log","type":"harvested","v":1}"#;
        let public = commit(Part::Public, &secret.salt(Part::Public), text);
        let business = commit(Part::Business, &secret.salt(Part::Business), r#"{"v":1}"#);
        let personal = commit(
            Part::Personal,
            &Secret([9; 32]).personal_salt(id, 1),
            r#"{"name":"Ерлан Оспанов","v":1}"#,
        );
        let record = record(public, business, personal);
        let subject = subject_ref(SubjectKind::Log, id, &Salt([5; 32]));
        let at = DateTime::from_timestamp_micros(1_790_000_000_123_456).unwrap();
        let entry = Entry::new(subject, 1, at, Hash::ZERO, record);
        assert_eq!(
            [public, business, personal, record, subject, entry.link()].map(|h| h.to_string()),
            include_str!("vector.txt").lines().collect::<Vec<_>>()[..]
        );
        let read = Entry::from(*entry.as_bytes());
        assert!(read.is_known_version());
        assert_eq!(
            (read.subject(), read.seq(), read.received_at(), read.prev(), read.record()),
            (subject, 1, 1_790_000_000_123_456, Hash::ZERO, record)
        );
    }
}
