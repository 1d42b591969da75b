//! Parses the formats of an export, `ormantrace/export/2` and the earlier `/1`; the content is checked
//! elsewhere.
//!
//! The version number in the format's name fixes every member in this file: another member, or another
//! spelling of a value, would need another version. So no data in a file can escape the checks.

use super::json::{FormatError, Json};
use crate::evidence::chain::bytes::{ENTRY_LEN, Entry, Hash, Part, Salt, SubjectKind, subject_ref};
use crate::evidence::tlog::VerifierKey;
use crate::evidence::tlog::note::Kind;
use crate::timber::event::types::EventType;
use uuid::Uuid;

/// The name and version of the format that is written.
pub const FORMAT: &str = "ormantrace/export/2";
/// The name and version of the earlier format, which has neither `kind` nor `until`. Files in it remain
/// valid.
pub const FORMER: &str = "ormantrace/export/1";
/// The kinds of chains that the format provides for. A file of a kind that is not in [`EventType::KINDS`] is refused.
const CHAIN_KINDS: std::ops::RangeInclusive<u64> = 1..=7;

/// The three parts by their names in the file, in the order of their numbers.
pub const PARTS: [(&str, Part); 3] =
    [("public", Part::Public), ("business", Part::Business), ("personal", Part::Personal)];

/// A parsed export.
#[derive(Clone, Debug)]
pub struct Export {
    /// Name and version of its format.
    pub format: &'static str,
    /// The last event that the file's reader may see, as the file claims; nothing proves it. `None` if the
    /// file claims that the reader may see the chain to its end.
    pub until: Option<u64>,
    /// The subject's kind.
    pub kind: SubjectKind,
    /// Id of the subject.
    pub id: Uuid,
    /// The subject's ref, which every entry must have.
    pub subject: Hash,
    /// The signed note.
    pub checkpoint: String,
    /// Keys of the register in the file.
    pub keys: Vec<VerifierKey>,
    /// Keys of witnesses in the file.
    pub witnesses: Vec<VerifierKey>,
    /// The register's quorum in the file.
    pub quorum: usize,
    /// The size of an earlier tree, and the proof that this tree is the beginning of the checkpoint's tree.
    pub consistency: Option<(u64, Vec<Hash>)>,
    /// The events in order, each parsed separately.
    pub events: Vec<Result<Event, FormatError>>,
}

/// One event.
#[derive(Clone, Debug)]
pub struct Event {
    /// The hashed bytes.
    pub entry: Entry,
    /// Their leaf hash.
    pub hash: Hash,
    /// Public, business and personal part.
    pub parts: [DisclosedPart; 3],
    /// Leaf index and inclusion proof; `None` if the event is pending.
    pub proof: Option<(u64, Vec<Hash>)>,
}

/// A part of an event.
#[derive(Clone, Debug)]
pub struct DisclosedPart {
    /// The commitment.
    pub commitment: Hash,
    /// Salt and text, if they are disclosed.
    pub opening: Option<(Salt, String)>,
    /// Whether the file marks the text as erased.
    pub erased: bool,
}

impl Export {
    /// Parses the file's JSON.
    ///
    /// # Errors
    /// The first difference from the format. Errors in events are stored in `events` instead.
    pub fn read(json: &Json) -> Result<Self, FormatError> {
        let needed = ["format", "subject", "events", "checkpoint", "keys", "policy"];
        let second = matches!(json.member("format"), Some(Json::Text(format)) if format == FORMAT);
        let file = if second {
            json.members(&[&needed[..], &["kind"]].concat(), &["consistency", "until"])?
        } else {
            json.members(&needed, &["consistency"])?
        };
        let format = match file.need("format")?.text()? {
            FORMAT => FORMAT,
            FORMER => FORMER,
            _ => return Err(FormatError::new("not a format that is known here")),
        };
        let chain = file.get("kind").map(chain_kind).transpose()?;
        let subject = file.need("subject")?.members(&["kind", "id", "salt"], &[])?;
        let kind = SubjectKind::from_name(subject.need("kind")?.text()?)
            .filter(|kind| EventType::KINDS.contains(kind))
            .ok_or_else(|| FormatError::new("a subject of a kind that is not known here"))?;
        if chain.is_some_and(|chain| chain != kind) {
            return Err(FormatError::new("the chain is of another kind than its subject"));
        }
        let id =
            id(subject.need("id")?.text()?).ok_or_else(|| FormatError::new("the subject's id is no id"))?;
        let salt = Salt(subject.need("salt")?.hex()?);
        let checkpoint = file.need("checkpoint")?.text()?.to_owned();
        let keys = keys_of(file.need("keys")?, Kind::Text)?;
        let policy = file.need("policy")?.members(&["quorum", "witnesses"], &[])?;
        let witnesses = keys_of(policy.need("witnesses")?, Kind::Cosignature)?;
        let quorum = usize::try_from(policy.need("quorum")?.count()?).unwrap_or(usize::MAX);
        if quorum > witnesses.len() {
            return Err(FormatError::new("a quorum of more witnesses than there are"));
        }
        let consistency = match file.get("consistency") {
            Some(value) => {
                let value = value.members(&["from", "proof"], &[])?;
                Some((value.need("from")?.count()?, value.need("proof")?.hashes()?))
            }
            None => None,
        };
        let events = file.need("events")?.list()?;
        if events.is_empty() {
            return Err(FormatError::new("no events"));
        }
        let until = file.get("until").map(Json::count).transpose()?;
        if until.is_some_and(|until| until != events.len() as u64) {
            return Err(FormatError::new("until is not the number of the last event"));
        }
        Ok(Self {
            format,
            until,
            kind,
            id,
            subject: subject_ref(kind, id, &salt),
            checkpoint,
            keys,
            witnesses,
            quorum,
            consistency,
            events: events.iter().map(Event::read).collect(),
        })
    }
}

/// The kind of a chain by its number. The error for a kind without an export names the kind.
fn chain_kind(json: &Json) -> Result<SubjectKind, FormatError> {
    let number = json.count()?;
    if !CHAIN_KINDS.contains(&number) {
        return Err(FormatError(format!("{number} is not the number of a kind of chain")));
    }
    let kind = u8::try_from(number).ok().and_then(SubjectKind::from_byte);
    kind.filter(|kind| EventType::KINDS.contains(kind)).ok_or_else(|| {
        let name = kind.map_or_else(String::new, |kind| format!(", {}", kind.name()));
        FormatError(format!("a chain of kind {number}{name}, which is not known here: use a newer verifier"))
    })
}

/// Parses an id in the only accepted spelling, that of the API.
fn id(text: &str) -> Option<Uuid> {
    Uuid::try_parse(text).ok().filter(|id| id.hyphenated().to_string() == text)
}

fn keys_of(json: &Json, kind: Kind) -> Result<Vec<VerifierKey>, FormatError> {
    let key = |item: &Json| match item.text()?.parse::<VerifierKey>() {
        Ok(key) if key.kind() == kind => Ok(key),
        Ok(_) => Err(FormatError::new("a key of another kind than is needed")),
        Err(error) => Err(FormatError(error.to_string())),
    };
    json.list()?.iter().map(key).collect()
}

impl Event {
    fn read(json: &Json) -> Result<Self, FormatError> {
        let event = json.members(&["entry", "parts"], &["index", "proof", "pending"])?;
        let entry = Entry::from(event.need("entry")?.hex::<ENTRY_LEN>()?);
        let parts = event.need("parts")?.members(&PARTS.map(|(name, _)| name), &[])?;
        let part = |number: usize| DisclosedPart::read(parts.need(PARTS[number].0)?, PARTS[number].1);
        let proof = match (event.get("index"), event.get("proof"), event.flag("pending")?) {
            (Some(index), Some(proof), false) => Some((index.count()?, proof.hashes()?)),
            (None, None, true) => None,
            _ => return Err(FormatError::new("an event has index and proof, or is pending")),
        };
        Ok(Self { entry, hash: entry.link(), parts: [part(0)?, part(1)?, part(2)?], proof })
    }
}

impl DisclosedPart {
    fn read(json: &Json, which: Part) -> Result<Self, FormatError> {
        let part = json.members(&["commitment"], &["salt", "text", "erased"])?;
        let erased = part.flag("erased")?;
        let opening = match (part.get("salt"), part.get("text")) {
            (Some(salt), Some(text)) if !erased => Some((Salt(salt.hex()?), text.text()?.to_owned())),
            (None, None) => None,
            _ => return Err(FormatError::new("a part is opened by salt and text, unless it is erased")),
        };
        let commitment = part.need("commitment")?.hash()?;
        if erased && which != Part::Personal {
            return Err(FormatError::new("only a personal part can be erased"));
        }
        if erased && commitment == Hash::ZERO {
            return Err(FormatError::new("a part is called erased that the event never had"));
        }
        Ok(Self { commitment, opening, erased })
    }
}
