//! An event in API responses, with the parts that the reader may see; for all kinds of subjects.
//!
//! Unless a request wants the hashes alone, a response has enough to recompute every hash: the entry, and the
//! commitment of each part. Salt and text are added for the parts that the reader may see. The other fields
//! of the response are read from these same texts, so they cannot contain anything that was not hashed. Only
//! values that have another form in responses are parsed: everything else is written as it was stored.

use super::bytes::{Entry, Hash, Part, Salt, commit, record};
use super::history::{Disclosure, Personal, StoredEvent};
use crate::base::units::utc_text;
use serde::de::{Deserialize, Deserializer, MapAccess, Visitor};
use serde::ser::{Serialize, SerializeMap as _, SerializeSeq as _, Serializer};
use serde_json::value::RawValue;
use std::borrow::Cow;
use std::fmt;
use utoipa::ToSchema;
use uuid::Uuid;

/// The fields of an event. `T`: the type of its event type; `O`: the JSON form of organisations.
#[derive(Debug, serde::Serialize, ToSchema)]
pub struct EventFields<'t, T, O: Serialize> {
    /// Place in the chain, from 1.
    pub seq: u32,
    /// What happened.
    #[serde(rename = "type")]
    pub event_type: Option<T>,
    /// The operation that recorded it.
    #[schema(value_type = Option<Uuid>)]
    pub operation_id: Option<ApiValue<'t>>,
    /// When it happened, as reported by the client; UTC with microseconds.
    #[schema(value_type = Option<DateTime<Utc>>)]
    pub occurred_at: Option<ApiValue<'t>>,
    /// When the server received it; UTC with microseconds; never decreases within a chain.
    #[schema(value_type = DateTime<Utc>)]
    pub received_at: String,
    /// The organisation that recorded it.
    pub organization: Option<O>,
    /// Place where it happened.
    #[serde(skip_serializing_if = "Option::is_none")]
    #[schema(value_type = Option<Object>)]
    pub place: Option<ApiValue<'t>>,
    /// Coordinates where it happened.
    #[serde(skip_serializing_if = "Option::is_none")]
    #[schema(value_type = Option<Object>)]
    pub position: Option<ApiValue<'t>>,
    /// Document that covers it.
    #[serde(skip_serializing_if = "Option::is_none")]
    #[schema(value_type = Option<Object>)]
    pub document: Option<ApiValue<'t>>,
    /// Device that recorded it.
    #[serde(skip_serializing_if = "Option::is_none")]
    #[schema(value_type = Option<Object>)]
    pub device: Option<ApiValue<'t>>,
    /// All other members of the disclosed public and business parts, under the names that were hashed.
    #[schema(value_type = Object)]
    pub details: EventMembers<'t, O>,
}

/// Everything a third party needs to recompute an event's hash.
#[derive(Clone, Debug, serde::Serialize, ToSchema)]
pub struct Evidence<'t> {
    /// Hash of the event before it; 64 zeros for the first.
    pub prev_hash: Hash,
    /// `SHA-256(0x00 || entry)`.
    pub hash: Hash,
    /// The 113 bytes that are hashed, in hex.
    #[schema(value_type = String, pattern = "^01[0-9a-f]{224}$")]
    pub entry: Entry,
    /// The three parts that the entry commits to.
    pub parts: DisclosedParts<'t>,
}

/// The hashes of an event in a history and, unless the request has `evidence=none`, what they are made of.
#[derive(ToSchema)]
#[expect(dead_code, reason = "describes what is written from the stored texts")]
pub(crate) struct HistoryEvidence {
    /// Hash of the event before it; 64 zeros for the first.
    prev_hash: Hash,
    /// `SHA-256(0x00 || entry)`.
    hash: Hash,
    /// The 113 bytes that are hashed, in hex; absent with `evidence=none`.
    #[schema(value_type = Option<String>, pattern = "^01[0-9a-f]{224}$")]
    entry: Option<Entry>,
    /// The three parts that the entry commits to; absent with `evidence=none`.
    parts: Option<DisclosedParts<'static>>,
}

/// One event of a history.
#[derive(ToSchema)]
#[expect(dead_code, reason = "describes what is written from the stored texts")]
struct DisclosedEventShape {
    /// Its fields.
    #[serde(flatten)]
    fields: EventFields<'static, String, Uuid>,
    /// Its hashes and its evidence.
    #[serde(flatten)]
    evidence: HistoryEvidence,
}

/// One event of any kind of subject, held in its stored form until it is serialised.
#[derive(Clone)]
pub struct DisclosedEvent {
    event: StoredEvent,
    subject_ref: Hash,
    open: Disclosure,
    hashes_only: bool,
}

impl DisclosedEvent {
    /// Its place in the chain, from 1.
    #[must_use]
    pub fn seq(&self) -> u32 {
        self.event.seq
    }

    /// The stored event, and which of its parts are disclosed.
    pub(crate) fn stored(&self) -> (&StoredEvent, Disclosure) {
        (&self.event, self.open)
    }

    /// Its evidence.
    #[must_use]
    pub fn evidence(&self) -> Evidence<'_> {
        self.event.evidence(self.subject_ref, self.open)
    }

    /// This event, serialised without `entry` and `parts`, which are most of its JSON.
    #[must_use]
    pub fn without_evidence(self) -> Self {
        Self { hashes_only: true, ..self }
    }

    /// The evidence in its JSON.
    pub(crate) fn shown_evidence(&self) -> ShownEvidence<'_> {
        if self.hashes_only {
            ShownEvidence::Hashes { prev_hash: self.event.prev, hash: self.event.hash }
        } else {
            ShownEvidence::Complete(self.evidence())
        }
    }
}

impl Serialize for DisclosedEvent {
    fn serialize<S: Serializer>(&self, serializer: S) -> Result<S::Ok, S::Error> {
        let mut members = EventMembers::<ApiValue<'_>>::of(&self.event, self.open);
        let (event_type, organization) = (members.take("type"), members.take("organization"));
        let fields = members.fields(&self.event, event_type, organization);
        EventBody { fields, evidence: self.shown_evidence() }.serialize(serializer)
    }
}

super::schema::described_by!(DisclosedEvent, DisclosedEventShape, "ShownEvent");

/// Fields and evidence of an event.
#[derive(serde::Serialize)]
pub(crate) struct EventBody<'t, T: Serialize, O: Serialize> {
    #[serde(flatten)]
    pub(crate) fields: EventFields<'t, T, O>,
    #[serde(flatten)]
    pub(crate) evidence: ShownEvidence<'t>,
}

/// The evidence in an event's JSON: complete, or only the hashes.
#[derive(serde::Serialize)]
#[serde(untagged)]
#[expect(
    clippy::large_enum_variant,
    reason = "on the stack while one event is written; a box would be an allocation per event"
)]
pub(crate) enum ShownEvidence<'t> {
    Complete(Evidence<'t>),
    Hashes { prev_hash: Hash, hash: Hash },
}

/// The parts of an event.
#[derive(Clone, Debug, serde::Serialize, ToSchema)]
#[schema(as = ShownParts)]
pub struct DisclosedParts<'t> {
    /// What a buyer may see.
    pub public: DisclosedPart<'t>,
    /// What the parties and inspectors may see.
    pub business: DisclosedPart<'t>,
    /// Names and IIN.
    pub personal: DisclosedPart<'t>,
}

/// One part: its commitment, and its salt and text if the reader may see them.
#[derive(Clone, Debug, serde::Serialize, ToSchema)]
#[schema(as = ShownPart)]
pub struct DisclosedPart<'t> {
    /// The commitment; 64 zeros if the event has no such part.
    pub commitment: Hash,
    /// The salt, 32 bytes in hex.
    #[serde(skip_serializing_if = "Option::is_none")]
    #[schema(value_type = Option<String>, pattern = "^[0-9a-f]{64}$")]
    pub salt: Option<Salt>,
    /// The exact text that was committed to.
    #[serde(skip_serializing_if = "Option::is_none")]
    #[schema(value_type = Option<String>)]
    pub text: Option<Cow<'t, str>>,
    /// `true` if the text was erased: only the commitment remains.
    #[serde(skip_serializing_if = "Option::is_none")]
    pub erased: Option<bool>,
}

impl<'t> DisclosedPart<'t> {
    fn closed(commitment: Hash) -> Self {
        Self { commitment, salt: None, text: None, erased: None }
    }

    fn opened(commitment: Hash, salt: Salt, text: Cow<'t, str>) -> Self {
        Self { salt: Some(salt), text: Some(text), ..Self::closed(commitment) }
    }

    fn into_owned(self) -> DisclosedPart<'static> {
        let Self { commitment, salt, text, erased } = self;
        DisclosedPart { commitment, salt, text: text.map(|text| Cow::Owned(text.into_owned())), erased }
    }
}

impl Evidence<'_> {
    /// The same with owned texts.
    #[must_use]
    pub fn into_owned(self) -> Evidence<'static> {
        let DisclosedParts { public, business, personal } = self.parts;
        let [public, business, personal] = [public, business, personal].map(DisclosedPart::into_owned);
        Evidence { parts: DisclosedParts { public, business, personal }, ..self }
    }
}

impl StoredEvent {
    /// The entry of the event, the bytes that its hash covers, recomputed from the stored row. `subject_ref`
    /// is the ref of the event's subject.
    #[must_use]
    pub fn entry(&self, subject_ref: Hash) -> Entry {
        let commitment = |part, text: &str| commit(part, &self.secret.salt(part), text);
        let record = record(
            commitment(Part::Public, &self.public),
            commitment(Part::Business, &self.business),
            self.personal_commitment.unwrap_or(Hash::ZERO),
        );
        Entry::new(subject_ref, self.seq, self.received_at, self.prev, record)
    }

    /// The event for a reader who may see the parts that `open` names. `subject_ref` is the ref of the
    /// event's subject.
    #[must_use]
    pub fn shown(self, subject_ref: Hash, open: Disclosure) -> DisclosedEvent {
        DisclosedEvent { event: self, subject_ref, open, hashes_only: false }
    }

    /// Everything that is needed to recompute the event's hash. The parts that `open` names are disclosed.
    #[must_use]
    pub fn evidence(&self, subject_ref: Hash, open: Disclosure) -> Evidence<'_> {
        fn disclose<'t>(event: &StoredEvent, part: Part, text: &'t str, open: bool) -> DisclosedPart<'t> {
            let salt = event.secret.salt(part);
            let commitment = commit(part, &salt, text);
            if open {
                DisclosedPart::opened(commitment, salt, Cow::Borrowed(text))
            } else {
                DisclosedPart::closed(commitment)
            }
        }
        let parts = DisclosedParts {
            public: disclose(self, Part::Public, &self.public, open.public),
            business: disclose(self, Part::Business, &self.business, open.business),
            personal: self.personal_part(open.personal),
        };
        let record = record(parts.public.commitment, parts.business.commitment, parts.personal.commitment);
        let entry = Entry::new(subject_ref, self.seq, self.received_at, self.prev, record);
        Evidence { prev_hash: self.prev, hash: self.hash, entry, parts }
    }

    fn personal_part(&self, open: bool) -> DisclosedPart<'_> {
        let commitment = self.personal_commitment.unwrap_or(Hash::ZERO);
        match &self.personal {
            Some(Personal::Opened { salt, text }) if open => {
                DisclosedPart::opened(commitment, *salt, Cow::Borrowed(text))
            }
            Some(Personal::Erased) if open => {
                DisclosedPart { erased: Some(true), ..DisclosedPart::closed(commitment) }
            }
            _ => DisclosedPart::closed(commitment),
        }
    }
}

/// Members of a canonical object in their order, which is the order of their names. This crate defines the
/// names, and none of them contains a character that needs an escape.
struct Members<'t>(Vec<(&'t str, &'t RawValue)>);

impl<'de: 't, 't> Deserialize<'de> for Members<'t> {
    fn deserialize<D: Deserializer<'de>>(deserializer: D) -> Result<Self, D::Error> {
        struct Into<'t>(std::marker::PhantomData<&'t ()>);
        impl<'de: 't, 't> Visitor<'de> for Into<'t> {
            type Value = Members<'t>;
            fn expecting(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
                f.write_str("an object")
            }
            fn visit_map<A: MapAccess<'de>>(self, mut map: A) -> Result<Members<'t>, A::Error> {
                let mut members = Vec::with_capacity(16);
                while let Some(member) = map.next_entry()? {
                    members.push(member);
                }
                Ok(Members(members))
            }
        }
        deserializer.deserialize_map(Into(std::marker::PhantomData))
    }
}

impl<'t> Members<'t> {
    fn read(text: &'t str) -> Option<Self> {
        serde_json::from_str(text).ok()
    }

    fn get(&self, name: &str) -> Option<&'t RawValue> {
        self.0.iter().find(|(its, _)| *its == name).map(|(_, value)| *value)
    }
}

/// A member of a stored part, which is serialised in API form: a decimal is a string in the part and a number
/// in the response, and a time has a separate offset in the part and is UTC in the response. All else is
/// written as stored.
#[derive(Clone, Copy, Debug)]
pub struct ApiValue<'t> {
    name: &'t str,
    value: &'t RawValue,
}

impl<'t> ApiValue<'t> {
    /// The value as a string; `None` if it is no string or has escapes. The words that this crate defines
    /// (such as event types) have no escapes.
    #[must_use]
    pub fn word(self) -> Option<&'t str> {
        serde_json::from_str(self.value.get()).ok()
    }
}

/// A decimal as a JSON number of the stored digits; `None` if the text is not a number.
fn number(text: &str) -> Option<&RawValue> {
    let starts_as_number = text.starts_with(|first: char| first == '-' || first.is_ascii_digit());
    starts_as_number.then(|| serde_json::from_str(text).ok()).flatten()
}

impl Serialize for ApiValue<'_> {
    fn serialize<S: Serializer>(&self, serializer: S) -> Result<S::Ok, S::Error> {
        let Self { name, value } = *self;
        let text = value.get();
        match text.as_bytes().first() {
            Some(b'"') if is_decimal(name) => match number(text.trim_matches('"')) {
                Some(number) => number.serialize(serializer),
                None => value.serialize(serializer),
            },
            Some(b'{') => match Members::read(text) {
                Some(members) if members.0.len() == 2 && members.get("offset_min").is_some() => {
                    members.get("at").serialize(serializer)
                }
                Some(members) => {
                    let mut map = serializer.serialize_map(Some(members.0.len()))?;
                    for (name, value) in members.0 {
                        map.serialize_entry(name, &ApiValue { name, value })?;
                    }
                    map.end()
                }
                None => value.serialize(serializer),
            },
            Some(b'[') => match serde_json::from_str::<Vec<&RawValue>>(text) {
                Ok(items) => {
                    let mut list = serializer.serialize_seq(Some(items.len()))?;
                    for value in items {
                        list.serialize_element(&ApiValue { name, value })?;
                    }
                    list.end()
                }
                Err(_) => value.serialize(serializer),
            },
            _ => value.serialize(serializer),
        }
    }
}

fn is_decimal(name: &str) -> bool {
    matches!(name, "lat" | "lon" | "length_m" | "accuracy_m")
        || name.ends_with("_m3")
        || name.ends_with("_cm")
        || name.ends_with("_ha")
}

#[derive(Debug)]
enum Member<'t, O> {
    Stored(&'t RawValue),
    /// The objects that the public and the business part have under one name. A member that both objects have
    /// is taken from the business part.
    Joined(&'t RawValue, &'t RawValue),
    Put(O),
}

/// Members of the disclosed parts of an event, as their stored JSON texts. `O` is the JSON form of
/// organisations, which replaces stored ids ([`Self::put`]).
///
/// Members that are not taken out are serialised as one object, in the order of their names.
#[derive(Debug)]
pub struct EventMembers<'t, O> {
    members: Vec<(&'t str, Member<'t, O>)>,
    /// Values of the public part under names that the business part has, too. The values of the business part
    /// are used instead of them.
    covered: Vec<(&'t str, &'t RawValue)>,
}

impl<'t, O: Serialize> EventMembers<'t, O> {
    /// The members of the parts that `open` names.
    #[must_use]
    pub fn of(event: &'t StoredEvent, open: Disclosure) -> Self {
        let mut members = Self { members: Vec::new(), covered: Vec::new() };
        if open.public {
            members.read_members(&event.public);
        }
        if open.business {
            members.read_members(&event.business);
        }
        members
    }

    fn read_members(&mut self, text: &'t str) {
        let Some(Members(members)) = Members::read(text) else { return };
        self.members.reserve(members.len());
        for (name, value) in members {
            if let Some(Member::Stored(covered)) = self.insert(name, Member::Stored(value)) {
                self.covered.push((name, covered));
            }
        }
    }

    fn insert(&mut self, name: &'t str, member: Member<'t, O>) -> Option<Member<'t, O>> {
        match self.members.iter_mut().find(|(its, _)| *its == name) {
            Some((_, before)) => Some(std::mem::replace(before, member)),
            None => {
                self.members.push((name, member));
                None
            }
        }
    }

    fn remove(&mut self, name: &str) -> Option<Member<'t, O>> {
        let index = self.members.iter().position(|(its, _)| *its == name)?;
        Some(self.members.swap_remove(index).1)
    }

    /// Drops members that the response has elsewhere.
    pub fn hide(&mut self, names: &[&str]) {
        for name in names {
            self.remove(name);
        }
    }

    /// Sets the member `name` to `value`.
    pub fn put(&mut self, name: &'t str, value: O) {
        self.insert(name, Member::Put(value));
    }

    /// Merges the two objects that the public and the business part have under `name`.
    pub fn join(&mut self, name: &str) {
        let earlier = self.covered.iter().find(|(its, _)| *its == name).map(|(_, value)| *value);
        let member = self.members.iter_mut().find(|(its, _)| *its == name).map(|(_, member)| member);
        if let (Some(earlier), Some(member)) = (earlier, member)
            && let Member::Stored(later) = member
        {
            *member = Member::Joined(earlier, later);
        }
    }

    /// Removes a value from the members, so that it can be written at another position in the response.
    pub fn take(&mut self, name: &'t str) -> Option<ApiValue<'t>> {
        match self.remove(name)? {
            Member::Stored(value) => Some(ApiValue { name, value }),
            Member::Joined(..) | Member::Put(_) => None,
        }
    }

    /// The fields of the event in API form. The members of the object `details`, if a part has one, are moved
    /// up among the remaining members.
    #[must_use]
    pub fn fields<T>(
        mut self,
        event: &StoredEvent,
        event_type: Option<T>,
        organization: Option<O>,
    ) -> EventFields<'t, T, O> {
        let [operation_id, occurred_at] = ["operation", "occurred"].map(|name| self.take(name));
        let [place, position, document, device] =
            ["place", "position", "document", "device"].map(|name| self.take(name));
        self.remove("v");
        if let Some((_, Member::Stored(details))) = self.members.iter().find(|(name, _)| *name == "details")
            && let Some(Members(inner)) = Members::read(details.get())
        {
            self.remove("details");
            for (name, value) in inner {
                self.insert(name, Member::Stored(value));
            }
        }
        self.members.sort_unstable_by_key(|(name, _)| *name);
        EventFields {
            seq: event.seq,
            event_type,
            operation_id,
            occurred_at,
            received_at: utc_text(event.received_at),
            organization,
            place,
            position,
            document,
            device,
            details: self,
        }
    }
}

impl<O: Serialize> Serialize for EventMembers<'_, O> {
    fn serialize<S: Serializer>(&self, serializer: S) -> Result<S::Ok, S::Error> {
        let mut map = serializer.serialize_map(Some(self.members.len()))?;
        for (name, member) in &self.members {
            match member {
                Member::Stored(value) => map.serialize_entry(name, &ApiValue { name, value })?,
                Member::Joined(earlier, later) => map.serialize_entry(name, &Joined(earlier, later))?,
                Member::Put(value) => map.serialize_entry(name, value)?,
            }
        }
        map.end()
    }
}

/// Two objects serialised as one. A member that both have is taken from the second.
struct Joined<'t>(&'t RawValue, &'t RawValue);

impl Serialize for Joined<'_> {
    fn serialize<S: Serializer>(&self, serializer: S) -> Result<S::Ok, S::Error> {
        let (Some(earlier), Some(later)) = (Members::read(self.0.get()), Members::read(self.1.get())) else {
            return self.1.serialize(serializer);
        };
        let mut members: Vec<_> =
            earlier.0.into_iter().filter(|(name, _)| later.get(name).is_none()).collect();
        members.extend(later.0);
        members.sort_unstable_by_key(|(name, _)| *name);
        let mut map = serializer.serialize_map(Some(members.len()))?;
        for (name, value) in members {
            map.serialize_entry(name, &ApiValue { name, value })?;
        }
        map.end()
    }
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
        let shown = serde_json::to_value(event().shown(subject(), Disclosure::ALL)).unwrap();
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
        let nothing = Disclosure { public: false, business: false, personal: false };
        let [open, closed] = [Disclosure::ALL, nothing]
            .map(|open| serde_json::to_value(event().shown(subject(), open)).unwrap());
        assert_eq!(open["entry"], closed["entry"]);
        assert_eq!(closed["details"], serde_json::json!({}));
        for part in ["public", "business", "personal"] {
            let commitment = &open["parts"][part]["commitment"];
            assert_eq!(closed["parts"][part], serde_json::json!({"commitment": commitment}));
        }
    }

    #[test]
    fn an_opened_part_is_what_was_committed_to() {
        let event = event();
        let parts = event.evidence(subject(), Disclosure::ALL).parts;
        let parts = [
            (Part::Public, parts.public),
            (Part::Business, parts.business),
            (Part::Personal, parts.personal),
        ];
        for (part, shown) in parts {
            assert_eq!(commit(part, &shown.salt.unwrap(), shown.text.as_deref().unwrap()), shown.commitment);
        }
    }

    #[test]
    fn an_erased_part_says_so_to_those_who_could_see_it() {
        let erased = StoredEvent { personal: Some(Personal::Erased), ..event() };
        let commitment = event().personal_commitment.unwrap();
        let shown = erased.evidence(subject(), Disclosure::ALL);
        assert_eq!(
            serde_json::to_value(&shown.parts.personal).unwrap(),
            serde_json::json!({"commitment": commitment, "erased": true})
        );
        assert_eq!(shown.entry, event().evidence(subject(), Disclosure::ALL).entry);
        assert_eq!(erased.evidence(subject(), Disclosure::BUSINESS).parts.personal.erased, None);
    }
}
