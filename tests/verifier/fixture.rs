//! A small register with one subject's history, built from the documented formats alone.

use chrono::{DateTime, TimeDelta, Utc};
use ormantrace::evidence::chain::bytes::{
    ENTRY_LEN, Entry, Hash, Part, Salt, Secret, SubjectKind, commit, record, subject_ref,
};
use ormantrace::evidence::tlog::note::Kind;
use ormantrace::evidence::tlog::tile::Builder;
use ormantrace::evidence::tlog::{Checkpoint, Folder, Note, Proof, Signer};
use ormantrace::services::verifier::Trust;
use ormantrace::services::verifier::mirror::Mirror;
use serde_json::{Value, json};
use tempfile::TempDir;
use uuid::Uuid;

pub const ORIGIN: &str = "timber.example/register";
pub const EVENTS: usize = 12;
const OTHERS: u64 = 700;

/// A kind of subject with its history, and which parts of the history are disclosed to the reader.
pub struct Story {
    pub kind: SubjectKind,
    /// The type of the first event, followed by the types that the later events have by turns.
    types: &'static [&'static str],
    /// Seq of the event with a personal part that is disclosed to the reader; `None` if there is none.
    pub person: Option<u32>,
    /// The event with an erased personal part.
    pub erased: Option<u32>,
    /// Seq of the event of which no part is disclosed to the reader; `None` if there is none.
    closed: Option<u32>,
}

/// One history per kind of subject: a log as its holder sees it; a ticket; a batch as the holder of some of
/// its seals sees it; and an organisation as an inspector sees it, without its keys, and with the personal
/// part of its registration erased.
pub const STORIES: [Story; 5] = [
    Story {
        kind: SubjectKind::Log,
        types: &["harvested", "stored", "loaded", "departed", "arrived", "received"],
        person: Some(1),
        erased: Some(2),
        closed: None,
    },
    Story {
        kind: SubjectKind::FellingTicket,
        types: &["ticket_issued", "ticket_extended", "ticket_plot_replaced"],
        person: None,
        erased: None,
        closed: None,
    },
    Story {
        kind: SubjectKind::SealBatch,
        types: &["seals_registered", "seals_transferred", "seals_voided"],
        person: None,
        erased: None,
        closed: Some(3),
    },
    Story {
        kind: SubjectKind::Organization,
        types: &[
            "organization_registered",
            "key_made",
            "key_revoked",
            "personal_erased",
            "marking_key_known",
            "parameter_set",
            "ban_set",
            "ban_ended",
            "allowable_cut_set",
        ],
        person: None,
        erased: Some(1),
        closed: Some(2),
    },
    Story {
        kind: SubjectKind::Finding,
        types: &["opened", "explained", "decided", "evidence_added", "superseded"],
        person: Some(2),
        erased: Some(3),
        closed: None,
    },
];

/// A log whose first seal was replaced, and whose second seal was voided.
pub const VOIDED: Story = Story {
    kind: SubjectKind::Log,
    types: &[
        "harvested",
        "stored",
        "loaded",
        "departed",
        "arrived",
        "received",
        "seal_voided",
        "inspected",
        "seal_replaced",
        "stored",
        "seal_voided",
        "inspected",
    ],
    person: None,
    erased: None,
    closed: None,
};

fn id() -> Uuid {
    Uuid::from_u128(0x0199_a2c4_5d6e_7f80_9123_4567_89ab_cdef)
}

fn salt() -> Salt {
    Salt([5; 32])
}

pub fn morning() -> DateTime<Utc> {
    "2026-10-05T05:00:00Z".parse().unwrap()
}

/// An event with its disclosed parts.
pub struct Made {
    pub entry: Entry,
    pub parts: Value,
    pub index: u64,
}

/// A register: its keys, its folder, and one history.
pub struct Register {
    pub story: &'static Story,
    pub folder: Folder,
    pub signer: Signer,
    pub witness: Signer,
    pub receipts: Signer,
    pub events: Vec<Made>,
    pub note: Note,
    entries: Vec<[u8; ENTRY_LEN]>,
    _dir: TempDir,
}

impl Register {
    /// A register with a log's history.
    pub fn new() -> Self {
        Self::of(&STORIES[0])
    }

    pub fn of(story: &'static Story) -> Self {
        Self::among(story, 0)
    }

    /// A register with the same history and keys as [`Self::new`]. The unrelated entries between the events
    /// differ: they are derived from the parameter.
    pub fn with_stranger(stranger: u8) -> Self {
        Self::among(&STORIES[0], stranger)
    }

    fn among(story: &'static Story, stranger: u8) -> Self {
        let dir = tempfile::tempdir().unwrap();
        let folder = Folder::new(dir.path());
        let signer = Signer::from_seed(ORIGIN, Kind::Text, &[1; 32]).unwrap();
        let witness = Signer::from_seed("witness.example/office", Kind::Cosignature, &[2; 32]).unwrap();
        let receipts = Signer::from_seed(&format!("{ORIGIN}/receipts"), Kind::Text, &[3; 32]).unwrap();
        let mut events = history(story);
        let mut entries = Vec::new();
        for other in 0..OTHERS {
            if other % 53 == 17
                && let Some(event) = events.iter_mut().find(|event| event.index == 0)
            {
                event.index = entries.len() as u64;
                entries.push(*event.entry.as_bytes());
            }
            let subject = Hash([u8::try_from(other % 251).unwrap().wrapping_add(stranger); 32]);
            entries.push(*Entry::new(subject, 1, morning(), Hash::ZERO, subject).as_bytes());
        }
        assert!(events.iter().all(|event| event.index > 0), "too few entries for all events");
        let note = publish(&folder, &entries, &[&signer, &witness]);
        Self { story, folder, signer, witness, receipts, events, note, entries, _dir: dir }
    }

    /// The export of the complete history in the earlier format `ormantrace/export/1`, which has no member
    /// `kind`.
    pub fn former_export(&self) -> Value {
        let mut export = self.export();
        export["format"] = json!("ormantrace/export/1");
        export.as_object_mut().unwrap().remove("kind");
        export
    }

    /// The export as of the register's first `size` leaves, with the events that these leaves contain.
    pub fn earlier_export(&self, size: u64) -> Value {
        let mut export = self.export();
        let earlier = usize::try_from(size).unwrap();
        let (dir, _) = self.earlier_mirror(earlier);
        let folder = Folder::new(dir.path());
        let mut tree = folder.tree(size);
        let here: Vec<&Made> = self.events.iter().filter(|event| event.index < size).collect();
        export["events"].as_array_mut().unwrap().truncate(here.len());
        for (at, event) in here.iter().enumerate() {
            export["events"][at]["proof"] = json!(tree.inclusion(event.index).unwrap());
        }
        export["checkpoint"] =
            json!(sign(&self.entries[..earlier], &[&self.signer, &self.witness]).to_string());
        export
    }

    /// A copy of the register as of its first `size` leaves.
    pub fn earlier_mirror(&self, size: usize) -> (TempDir, Mirror) {
        let dir = tempfile::tempdir().unwrap();
        publish(&Folder::new(dir.path()), &self.entries[..size], &[&self.signer, &self.witness]);
        let mirror = Mirror::new(dir.path());
        (dir, mirror)
    }

    /// A signed checkpoint of the register's first `size` leaves.
    pub fn earlier(&self, size: usize) -> Note {
        sign(&self.entries[..size], &[&self.signer])
    }

    /// What the reader trusts if a test does not change it: the register's key, the witness's key and a
    /// quorum of one.
    pub fn trust(&self) -> Trust {
        Trust {
            keys: vec![self.signer.verifier().clone()],
            witnesses: vec![self.witness.verifier().clone()],
            quorum: Some(1),
            ..Trust::default()
        }
    }

    pub fn mirror(&self) -> Mirror {
        Mirror::new(self.folder.root())
    }

    pub fn size(&self) -> u64 {
        self.entries.len() as u64
    }

    /// The export of the complete history.
    pub fn export(&self) -> Value {
        let mut tree = self.folder.tree(self.size());
        let events: Vec<Value> = self
            .events
            .iter()
            .map(|Made { entry, parts, index }| {
                let proof = tree.inclusion(*index).unwrap();
                json!({"entry": hex::encode(entry.as_bytes()), "parts": parts, "index": index, "proof": proof})
            })
            .collect();
        json!({
            "format": "ormantrace/export/2",
            "kind": self.story.kind.byte(),
            "subject": {"kind": self.story.kind.name(), "id": id(), "salt": hex::encode(salt().0)},
            "events": events,
            "checkpoint": self.note.to_string(),
            "keys": [self.signer.verifier().to_string()],
            "policy": {"quorum": 1, "witnesses": [self.witness.verifier().to_string()]}
        })
    }

    /// The tlog-proof of event `at`, from 0.
    pub fn proof(&self, at: usize) -> String {
        let Made { entry, index, .. } = &self.events[at];
        let hashes = self.folder.tree(self.size()).inclusion(*index).unwrap();
        let extra = Some(entry.as_bytes().to_vec());
        Proof { extra, index: *index, hashes, checkpoint: self.note.clone() }.to_string()
    }

    /// The response to a write request with the first two events, including its receipt.
    pub fn receipt(&self) -> Value {
        let hashes: Vec<Hash> = self.events[..2].iter().map(|event| event.entry.link()).collect();
        let root = ormantrace::evidence::tlog::to_base64(&ormantrace::evidence::tlog::tree::root_of(&hashes));
        let name = self.receipts.verifier().name();
        let at = ormantrace::base::units::utc_text(morning());
        let text = format!("{name}\nreceipt/1\n{at}\n2\n{root}\nwithin 60\n");
        let note = Note::sign(text, &[&self.receipts], morning()).unwrap();
        let events: Vec<Value> = hashes.iter().map(|hash| json!({"hash": hash})).collect();
        json!({"operation_id": id(), "events": events, "findings": [], "receipt": {"note": note.to_string()}})
    }
}

fn sign(entries: &[[u8; ENTRY_LEN]], signers: &[&Signer]) -> Note {
    let mut tree = Builder::new();
    for entry in entries {
        tree.push(entry, |_, _| {});
    }
    let checkpoint = Checkpoint::new(ORIGIN, tree.size(), tree.root()).unwrap();
    Note::sign(checkpoint.to_string(), signers, morning()).unwrap()
}

fn publish(folder: &Folder, entries: &[[u8; ENTRY_LEN]], signers: &[&Signer]) -> Note {
    let mut tree = Builder::new();
    let mut tiles = Vec::new();
    for entry in entries {
        tree.push(entry, |tile, bytes| tiles.push((tile, bytes)));
    }
    tiles.extend(tree.unfilled());
    folder.write_tiles(tiles).unwrap();
    let note = sign(entries, signers);
    folder.publish(&note).unwrap();
    note
}

/// The public part of an event. A log gets a seal in its first event, and another one in its ninth.
fn public(kind: SubjectKind, event: &str, seq: u32) -> String {
    let mut text = json!({"on": "2026-10-05", "subject": kind.name(), "type": event, "v": 1});
    let ticket = json!({"series": "А", "number": "000117"});
    if kind == SubjectKind::FellingTicket {
        text["ticket"] = ticket;
    } else if kind == SubjectKind::Log && [1, 9].contains(&seq) {
        text["seal"] = json!(format!("KZ-{seq:07}"));
        text["identification"] = json!(format!("010460711234567621KZ{seq:07}"));
        if seq == 1 {
            text["species"] = json!("pinus_sylvestris");
            text["ticket"] = ticket;
        }
    }
    text.to_string()
}

/// Its twelve events.
fn history(story: &Story) -> Vec<Made> {
    let subject = subject_ref(story.kind, id(), &salt());
    let mut prev = Hash::ZERO;
    (1_u32..)
        .zip(story.types.iter().take(1).chain(story.types[1..].iter().cycle()))
        .take(EVENTS)
        .map(|(seq, event)| {
            let secret = Secret([u8::try_from(seq).unwrap(); 32]);
            let public = public(story.kind, event, seq);
            let business = format!(r#"{{"details":{{"note":"Қар, {seq}"}},"v":1}}"#);
            let personal = r#"{"name":"Ерлан Оспанов","v":1}"#;
            let opened = |part, text: &str| {
                let salt = secret.salt(part);
                let commitment = commit(part, &salt, text);
                let shown = if story.closed == Some(seq) {
                    json!({"commitment": commitment})
                } else {
                    json!({"commitment": commitment, "salt": hex::encode(salt.0), "text": text})
                };
                (commitment, shown)
            };
            let (public, shown_public) = opened(Part::Public, &public);
            let (business, shown_business) = opened(Part::Business, &business);
            let (personal, shown_personal) = if story.person == Some(seq) {
                opened(Part::Personal, personal)
            } else if story.erased == Some(seq) {
                let (commitment, _) = opened(Part::Personal, personal);
                (commitment, json!({"commitment": commitment, "erased": true}))
            } else {
                (Hash::ZERO, json!({"commitment": Hash::ZERO}))
            };
            let at = morning() + TimeDelta::minutes(i64::from(seq));
            let entry = Entry::new(subject, seq, at, prev, record(public, business, personal));
            prev = entry.link();
            let parts =
                json!({"public": shown_public, "business": shown_business, "personal": shown_personal});
            Made { entry, parts, index: 0 }
        })
        .collect()
}
