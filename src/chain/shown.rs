//! An event as answers tell it, as much of it as a reader may see, whatever its subject.
//!
//! What is shown is always enough to recompute every hash: the entry, and for each part its commitment.
//! Salt and text come with the parts that are open to the reader; the fields beside them are read out
//! of those very texts, so that they can say nothing that was not hashed. Of the texts only what has
//! another form in answers is taken apart: all else goes out as it was stored.

use super::bytes::{Entry, Hash, Part, Salt, commit, record};
use super::history::{Openness, Personal, StoredEvent};
use crate::units::utc_text;
use rust_decimal::Decimal;
use serde::Serialize;
use serde_json::value::RawValue;
use std::collections::BTreeMap;
use utoipa::ToSchema;
use uuid::Uuid;

/// What an event says. `T`: its types; `O`: how organisations are answered.
#[derive(Clone, Debug, Serialize, ToSchema)]
pub struct EventFields<T, O> {
    /// Place in the chain, from 1.
    pub seq: u32,
    /// What happened.
    #[serde(rename = "type")]
    pub event_type: Option<T>,
    /// The posting that it came with.
    pub operation_id: Option<Uuid>,
    /// When it happened, as told; UTC with microseconds.
    #[schema(value_type = Option<DateTime<Utc>>)]
    pub occurred_at: Option<String>,
    /// When the server received it; UTC with microseconds; never falls within a chain.
    #[schema(value_type = DateTime<Utc>)]
    pub received_at: String,
    /// The organisation that recorded it.
    pub organization: Option<O>,
    /// Where.
    #[serde(skip_serializing_if = "Option::is_none")]
    #[schema(value_type = Option<Object>)]
    pub place: Option<Box<RawValue>>,
    /// Where exactly.
    #[serde(skip_serializing_if = "Option::is_none")]
    #[schema(value_type = Option<Object>)]
    pub position: Option<Box<RawValue>>,
    /// Under which document.
    #[serde(skip_serializing_if = "Option::is_none")]
    #[schema(value_type = Option<Object>)]
    pub document: Option<Box<RawValue>>,
    /// Recorded by which device.
    #[serde(skip_serializing_if = "Option::is_none")]
    #[schema(value_type = Option<Object>)]
    pub device: Option<Box<RawValue>>,
    /// Whatever else the open public and business parts say, by the names they were hashed under.
    #[schema(value_type = Object)]
    pub details: Box<RawValue>,
}

/// What a stranger recomputes an event's hash from.
#[derive(Clone, Debug, Serialize, ToSchema)]
pub struct Evidence {
    /// Hash of the event before it; 64 zeros for the first.
    pub prev_hash: Hash,
    /// `SHA-256(0x00 || entry)`.
    pub hash: Hash,
    /// The 113 bytes that are hashed, in hex.
    #[schema(pattern = "^01[0-9a-f]{224}$")]
    pub entry: String,
    /// The three parts that the entry commits to.
    pub parts: ShownParts,
}

/// One event as a history answers it.
#[derive(Clone, Debug, Serialize, ToSchema)]
pub struct ShownEvent {
    /// What it says.
    #[serde(flatten)]
    pub said: EventFields<String, Uuid>,
    /// What proves it.
    #[serde(flatten)]
    pub evidence: Evidence,
}

/// The parts of an event.
#[derive(Clone, Debug, Serialize, ToSchema)]
pub struct ShownParts {
    /// What a buyer may see.
    pub public: ShownPart,
    /// What the parties and inspectors may see.
    pub business: ShownPart,
    /// Names and IIN.
    pub personal: ShownPart,
}

/// One part: its commitment, and what opens it where the reader may see it.
#[derive(Clone, Debug, Serialize, ToSchema)]
pub struct ShownPart {
    /// The commitment; 64 zeros if the event has no such part.
    pub commitment: Hash,
    /// The salt, 32 bytes in hex.
    #[serde(skip_serializing_if = "Option::is_none")]
    #[schema(pattern = "^[0-9a-f]{64}$")]
    pub salt: Option<String>,
    /// The exact text that was committed to.
    #[serde(skip_serializing_if = "Option::is_none")]
    pub text: Option<String>,
    /// `true` if the text was erased: the commitment is all that is left.
    #[serde(skip_serializing_if = "Option::is_none")]
    pub erased: Option<bool>,
}

impl ShownPart {
    fn closed(commitment: Hash) -> Self {
        Self { commitment, salt: None, text: None, erased: None }
    }

    fn opened(commitment: Hash, salt: &Salt, text: &str) -> Self {
        Self { salt: Some(hexadecimal(&salt.0)), text: Some(text.to_owned()), ..Self::closed(commitment) }
    }
}

/// As `hex::encode`, which goes letter by letter.
fn hexadecimal(bytes: &[u8]) -> String {
    let mut text = vec![0; bytes.len() * 2];
    match hex::encode_to_slice(bytes, &mut text) {
        Ok(()) => String::from_utf8(text).unwrap_or_default(),
        Err(_) => hex::encode(bytes),
    }
}

impl StoredEvent {
    /// The bytes that its hash covers, laid out anew from what is stored; `subject_ref` names its subject.
    #[must_use]
    pub fn entry(&self, subject_ref: Hash) -> Entry {
        let own = |part, text: &str| commit(part, &self.secret.salt(part), text);
        let record = record(
            own(Part::Public, &self.public),
            own(Part::Business, &self.business),
            self.personal_commitment.unwrap_or(Hash::ZERO),
        );
        Entry::new(subject_ref, self.seq, self.received_at, self.prev, record)
    }

    /// The event for a reader who may see the parts of `open`; `subject_ref` names its subject in every entry.
    #[must_use]
    pub fn shown(&self, subject_ref: Hash, open: Openness) -> ShownEvent {
        let mut said = self.said(open);
        let (event_type, organization) = (said.text("type"), said.id("organization"));
        ShownEvent {
            said: self.fields(said, event_type, organization),
            evidence: self.evidence(subject_ref, open),
        }
    }

    /// What the parts of `open` say.
    #[must_use]
    pub fn said(&self, open: Openness) -> Said<'_> {
        let mut said = Said::default();
        if open.public {
            said.hear(&self.public);
        }
        if open.business {
            said.hear(&self.business);
        }
        said
    }

    /// What is left in `said`, under the names of answers.
    #[must_use]
    pub fn fields<T, O>(
        &self,
        mut said: Said<'_>,
        event_type: Option<T>,
        organization: Option<O>,
    ) -> EventFields<T, O> {
        EventFields {
            seq: self.seq,
            event_type,
            operation_id: said.id("operation"),
            occurred_at: said.text("occurred"),
            received_at: utc_text(self.received_at),
            organization,
            place: said.take("place"),
            position: said.take("position"),
            document: said.take("document"),
            device: said.take("device"),
            details: said.rest(),
        }
    }

    /// What it takes to recompute its hash, with the parts of `open` opened.
    #[must_use]
    pub fn evidence(&self, subject_ref: Hash, open: Openness) -> Evidence {
        let own = |part, text: &str, open| {
            let salt = self.secret.salt(part);
            let commitment = commit(part, &salt, text);
            if open { ShownPart::opened(commitment, &salt, text) } else { ShownPart::closed(commitment) }
        };
        let parts = ShownParts {
            public: own(Part::Public, &self.public, open.public),
            business: own(Part::Business, &self.business, open.business),
            personal: self.personal_part(open.personal),
        };
        let record = record(parts.public.commitment, parts.business.commitment, parts.personal.commitment);
        let entry = Entry::new(subject_ref, self.seq, self.received_at, self.prev, record);
        Evidence { prev_hash: self.prev, hash: self.hash, entry: hexadecimal(entry.as_bytes()), parts }
    }

    fn personal_part(&self, open: bool) -> ShownPart {
        let commitment = self.personal_commitment.unwrap_or(Hash::ZERO);
        match &self.personal {
            Some(Personal::Opened { salt, text }) if open => ShownPart::opened(commitment, salt, text),
            Some(Personal::Erased) if open => {
                ShownPart { erased: Some(true), ..ShownPart::closed(commitment) }
            }
            _ => ShownPart::closed(commitment),
        }
    }
}

/// Members of a canonical object; their names are ours and need no escapes.
type Members<'t> = BTreeMap<&'t str, &'t RawValue>;

enum Told<'t> {
    Stored(&'t RawValue),
    Put(Box<RawValue>),
}

/// What the open parts say, still as it was stored.
#[derive(Default)]
pub struct Said<'t> {
    members: BTreeMap<&'t str, Told<'t>>,
    /// What the one part says under a name that the other uses too.
    covered: Members<'t>,
}

impl<'t> Said<'t> {
    fn hear(&mut self, text: &'t str) {
        for (name, value) in serde_json::from_str::<Members<'t>>(text).unwrap_or_default() {
            if let Some(Told::Stored(covered)) = self.members.insert(name, Told::Stored(value)) {
                self.covered.insert(name, covered);
            }
        }
    }

    /// Leaves out what is told elsewhere.
    pub fn hide(&mut self, names: &[&str]) {
        for name in names {
            self.members.remove(*name);
        }
    }

    /// Says `value` under `name`.
    pub fn put(&mut self, name: &'t str, value: &impl Serialize) {
        if let Ok(value) = serde_json::value::to_raw_value(value) {
            self.members.insert(name, Told::Put(value));
        }
    }

    /// Joins what both parts say in an object of one name.
    pub fn join(&mut self, name: &'t str) {
        let (Some(&Told::Stored(over)), Some(&under)) = (self.members.get(name), self.covered.get(name))
        else {
            return;
        };
        let read = |value: &'t RawValue| serde_json::from_str::<Members<'t>>(value.get());
        if let (Ok(mut joined), Ok(over)) = (read(under), read(over)) {
            joined.extend(over);
            let mut text = String::new();
            object(joined.into_iter(), &mut text);
            self.members.extend(RawValue::from_string(text).ok().map(|value| (name, Told::Put(value))));
        }
    }

    fn take(&mut self, name: &str) -> Option<Box<RawValue>> {
        match self.members.remove(name)? {
            Told::Put(value) => Some(value),
            Told::Stored(value) if is_plain(name, value) => Some(value.to_owned()),
            Told::Stored(value) => {
                let mut text = String::with_capacity(value.get().len());
                answered(name, value, &mut text);
                RawValue::from_string(text).ok()
            }
        }
    }

    /// Takes a text.
    pub fn text(&mut self, name: &str) -> Option<String> {
        serde_json::from_str(self.take(name)?.get()).ok()
    }

    /// Takes an id.
    pub fn id(&mut self, name: &str) -> Option<Uuid> {
        serde_json::from_str(self.take(name)?.get()).ok()
    }

    /// What has no field of its own. A part's own `details` are laid open among the others.
    fn rest(mut self) -> Box<RawValue> {
        self.members.remove("v");
        let inner = match self.members.get("details") {
            Some(Told::Stored(details)) => serde_json::from_str::<Members<'t>>(details.get()).ok(),
            _ => None,
        };
        if let Some(inner) = inner {
            self.members.remove("details");
            self.members.extend(inner.into_iter().map(|(name, value)| (name, Told::Stored(value))));
        }
        let mut text = String::with_capacity(128);
        text.push('{');
        for (name, value) in &self.members {
            member(name, &mut text);
            match value {
                Told::Put(value) => text.push_str(value.get()),
                Told::Stored(value) => answered(name, value, &mut text),
            }
        }
        text.push('}');
        RawValue::from_string(text).unwrap_or_default()
    }
}

/// Whether answers tell a value just as it is stored.
fn is_plain(name: &str, value: &RawValue) -> bool {
    match value.get().as_bytes().first() {
        Some(b'{' | b'[') => false,
        Some(b'"') => !is_decimal(name),
        _ => true,
    }
}

/// Hashed decimals are strings and hashed times keep their offset apart; answers have numbers and UTC.
fn answered(name: &str, value: &RawValue, to: &mut String) {
    let text = value.get();
    match text.as_bytes().first() {
        Some(b'"') if is_decimal(name) => {
            to.push_str(&number(text.trim_matches('"')).unwrap_or_else(|| text.to_owned()));
        }
        Some(b'{') => match serde_json::from_str::<Members<'_>>(text) {
            Ok(members) if members.len() == 2 && members.contains_key("offset_min") => {
                to.push_str(members.get("at").map_or("null", |at| at.get()));
            }
            Ok(members) => object(members.into_iter(), to),
            Err(_) => to.push_str(text),
        },
        Some(b'[') => match serde_json::from_str::<Vec<&RawValue>>(text) {
            Ok(items) => {
                to.push('[');
                for item in items {
                    if !to.ends_with('[') {
                        to.push(',');
                    }
                    answered(name, item, to);
                }
                to.push(']');
            }
            Err(_) => to.push_str(text),
        },
        _ => to.push_str(text),
    }
}

fn object<'t>(members: impl Iterator<Item = (&'t str, &'t RawValue)>, to: &mut String) {
    to.push('{');
    for (name, value) in members {
        member(name, to);
        answered(name, value, to);
    }
    to.push('}');
}

/// The name of the next member of an object that is being written.
fn member(name: &str, to: &mut String) {
    if !to.ends_with('{') {
        to.push(',');
    }
    to.push('"');
    to.push_str(name);
    to.push_str("\":");
}

fn is_decimal(name: &str) -> bool {
    matches!(name, "lat" | "lon" | "length_m" | "accuracy_m")
        || name.ends_with("_m3")
        || name.ends_with("_cm")
        || name.ends_with("_ha")
}

fn number(text: &str) -> Option<String> {
    let decimal: Decimal = text.parse().ok()?;
    let value = crate::units::serialize_decimal(decimal, serde_json::value::Serializer).ok()?;
    Some(value.to_string())
}

#[cfg(test)]
mod tests {
    use super::super::bytes::{Secret, SubjectKind, subject_ref};
    use super::*;

    fn id() -> Uuid {
        Uuid::parse_str("01999999-9999-7999-8999-999999999999").unwrap()
    }

    fn event() -> StoredEvent {
        let personal = Secret([4; 32]);
        let text = r#"{"name":"Ерлан Оспанов","v":1}"#;
        StoredEvent {
            seq: 1,
            received_at: "2026-10-05T05:00:00Z".parse().unwrap(),
            hash: Hash([6; 32]),
            prev: Hash::ZERO,
            secret: Secret([7; 32]),
            public: r#"{"length_m":"6.5","on":"2026-10-05","subject":"log","type":"harvested","v":1}"#.into(),
            business: r#"{"details":{"note":"Қар"},"occurred":{"at":"2026-10-05T04:00:00.000000Z","offset_min":300},"operation":"01999999-9999-7999-8999-999999999999","position":{"lat":"50.5","lon":"80"},"v":1}"#.into(),
            personal_commitment: Some(commit(Part::Personal, &personal.personal_salt(id(), 1), text)),
            personal: Some(Personal::Opened { salt: personal.personal_salt(id(), 1), text: text.into() }),
        }
    }

    fn subject() -> Hash {
        subject_ref(SubjectKind::Log, id(), &Salt([5; 32]))
    }

    #[test]
    fn fields_say_what_was_hashed_in_the_forms_of_answers() {
        let shown = serde_json::to_value(event().shown(subject(), Openness::ALL)).unwrap();
        assert_eq!(shown["type"], "harvested");
        assert_eq!(shown["occurred_at"], "2026-10-05T04:00:00.000000Z");
        assert_eq!(shown["received_at"], "2026-10-05T05:00:00.000000Z");
        assert_eq!(shown["operation_id"], id().to_string());
        assert_eq!(shown["position"], serde_json::json!({"lat": 50.5, "lon": 80}));
        assert_eq!(
            shown["details"],
            serde_json::json!({"length_m": 6.5, "note": "Қар", "on": "2026-10-05", "subject": "log"})
        );
        assert_eq!(shown["prev_hash"], "0".repeat(64));
        assert!(shown["parts"]["personal"]["text"].as_str().unwrap().contains("Ерлан"));
    }

    #[test]
    fn what_is_closed_shows_its_commitment_and_nothing_else() {
        let nothing = Openness { public: false, business: false, personal: false };
        let [open, closed] = [Openness::ALL, nothing]
            .map(|openness| serde_json::to_value(event().shown(subject(), openness)).unwrap());
        assert_eq!(open["entry"], closed["entry"]);
        assert_eq!(closed["details"], serde_json::json!({}));
        for part in ["public", "business", "personal"] {
            let commitment = &open["parts"][part]["commitment"];
            assert_eq!(closed["parts"][part], serde_json::json!({"commitment": commitment}));
        }
    }

    #[test]
    fn an_opened_part_is_what_was_committed_to() {
        let shown = event().shown(subject(), Openness::ALL);
        let parts = [
            (Part::Public, &shown.evidence.parts.public),
            (Part::Business, &shown.evidence.parts.business),
            (Part::Personal, &shown.evidence.parts.personal),
        ];
        for (part, shown) in parts {
            let salt = Hash::from_hex(shown.salt.as_deref().unwrap()).unwrap().0;
            assert_eq!(commit(part, &Salt(salt), shown.text.as_deref().unwrap()), shown.commitment);
        }
    }

    #[test]
    fn an_erased_part_says_so_to_those_who_could_see_it() {
        let erased = StoredEvent { personal: Some(Personal::Erased), ..event() };
        let commitment = event().personal_commitment.unwrap();
        let shown = erased.shown(subject(), Openness::ALL);
        assert_eq!(
            serde_json::to_value(&shown.evidence.parts.personal).unwrap(),
            serde_json::json!({"commitment": commitment, "erased": true})
        );
        assert_eq!(shown.evidence.entry, event().shown(subject(), Openness::ALL).evidence.entry);
        assert_eq!(erased.shown(subject(), Openness::BUSINESS).evidence.parts.personal.erased, None);
    }
}
