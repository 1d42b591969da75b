//! Reading a chain whole and showing as much of it as a reader may see, whatever its subject.
//!
//! What is shown is always enough to recompute every hash: the entry, and for each part its
//! commitment. Salt and text come with the parts that are open to the reader; the fields beside them
//! are read out of those very texts, so that they can say nothing that was not hashed.

use super::bytes::{Entry, Hash, Part, Salt, Secret, commit, record};
use crate::error::{Error, Result};
use crate::units::utc_text;
use chrono::{DateTime, Utc};
use rust_decimal::Decimal;
use serde::Serialize;
use serde_json::{Map, Value};
use sqlx::PgConnection;
use std::collections::HashMap;
use utoipa::ToSchema;
use uuid::Uuid;

/// An event as the table keeps it, linked to the one before.
#[derive(Clone)]
pub struct StoredEvent {
    /// Place in the chain, from 1.
    pub seq: u32,
    /// When the server received it.
    pub received_at: DateTime<Utc>,
    /// Its hash.
    pub hash: Hash,
    /// Hash of the event before it; zero for the first.
    pub prev: Hash,
    /// What the salts of the public and the business part are made from. Never shown.
    pub secret: Secret,
    /// Canonical text of the public part.
    pub public: String,
    /// Canonical text of the business part.
    pub business: String,
    /// Commitment to the personal part, if there is, or was, one.
    pub personal_commitment: Option<Hash>,
    /// The personal part; nothing if there never was one, or it was not asked for.
    pub personal: Option<Personal>,
}

/// What is left of a personal part.
#[derive(Clone)]
pub enum Personal {
    /// It is there.
    Opened {
        /// Its salt for this event.
        salt: Salt,
        /// Its canonical text.
        text: String,
    },
    /// It was erased; only the commitment is left.
    Erased,
}

/// Which parts a reader may see.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub struct Openness {
    /// What a buyer may see.
    pub public: bool,
    /// What the parties and inspectors may see.
    pub business: bool,
    /// Names and IIN.
    pub personal: bool,
}

impl Openness {
    /// Everything.
    pub const ALL: Self = Self { public: true, business: true, personal: true };
    /// Everything but persons.
    pub const BUSINESS: Self = Self { public: true, business: true, personal: false };
}

/// The chain of a subject in order, up to and with event `up_to`; the whole of it if nothing is said.
///
/// One index-only descent of `event_pkey`. The personal parts take a second query, made only if `personal`
/// says that the reader may see them and some event has one; else [`StoredEvent::personal`] is nothing.
pub async fn read(
    db: &mut PgConnection,
    subject: Uuid,
    up_to: Option<u32>,
    personal: bool,
) -> Result<Vec<StoredEvent>> {
    let mut chain = page(db, subject, 0, up_to.unwrap_or(u32::MAX)).await?.chain(None)?;
    let wanted: Vec<Uuid> = chain.personal.iter().flatten().copied().collect();
    if personal && !wanted.is_empty() {
        let kept = persons(db, &wanted).await?;
        chain.open(&kept, |_| true);
    }
    Ok(chain.events)
}

/// Rows of one chain as they came from the table, in order.
#[derive(Clone, Default)]
pub struct Rows {
    subject: Uuid,
    rows: Vec<Row>,
}

#[derive(Clone)]
struct Row {
    subject_id: Uuid,
    seq: i32,
    received_at: DateTime<Utc>,
    hash: Vec<u8>,
    secret: Vec<u8>,
    public: String,
    business: String,
    personal_commitment: Option<Vec<u8>>,
    personal_id: Option<Uuid>,
}

/// The events of a chain behind `after`, up to and with `up_to`. One round trip.
///
/// # Errors
/// The database's own.
pub async fn page(db: &mut PgConnection, subject: Uuid, after: u32, up_to: u32) -> sqlx::Result<Rows> {
    let [after, up_to] = [after, up_to].map(|seq| i32::try_from(seq).unwrap_or(i32::MAX));
    let rows = sqlx::query_as!(
        Row,
        "SELECT subject_id, seq, received_at, hash, secret, public, business, personal_commitment, personal_id
         FROM event WHERE subject_id = $1 AND seq > $2 AND seq <= $3 ORDER BY seq",
        subject,
        after,
        up_to
    )
    .fetch_all(db)
    .await?;
    Ok(Rows { subject, rows })
}

/// The chains of many subjects. One round trip, one index-only scan of `event_pkey`, sorted by nobody
/// but us: the planner does not know that the rows come in order.
///
/// # Errors
/// The database's own.
pub async fn chains(db: &mut PgConnection, subjects: &[Uuid]) -> sqlx::Result<HashMap<Uuid, Rows>> {
    let rows = sqlx::query_file_as!(Row, "src/chain/chains.sql", subjects).fetch_all(db).await?;
    let mut chains: HashMap<Uuid, Rows> = HashMap::with_capacity(subjects.len());
    for row in rows {
        let subject = row.subject_id;
        chains.entry(subject).or_insert_with(|| Rows { subject, rows: Vec::new() }).rows.push(row);
    }
    chains.values_mut().for_each(|chain| chain.rows.sort_unstable_by_key(|row| row.seq));
    Ok(chains)
}

impl Rows {
    /// Whether there are none.
    #[must_use]
    pub fn is_empty(&self) -> bool {
        self.rows.is_empty()
    }

    /// The rows as events, those behind `up_to` left out; personal parts are still closed.
    ///
    /// # Errors
    /// A stored row that cannot be.
    pub fn chain(self, up_to: Option<u32>) -> Result<Chain> {
        let mut chain = Chain { subject: self.subject, events: Vec::new(), personal: Vec::new() };
        chain.grow(self, up_to)?;
        Ok(chain)
    }
}

/// Events of one chain from its first, and where their personal parts lie, or lay.
#[derive(Default)]
pub struct Chain {
    subject: Uuid,
    /// The events.
    pub events: Vec<StoredEvent>,
    /// For each event its row of table `personal`.
    pub personal: Vec<Option<Uuid>>,
}

impl Chain {
    /// Adds the rows that follow, those behind `up_to` left out.
    ///
    /// # Errors
    /// A stored row that cannot be.
    pub fn grow(&mut self, rows: Rows, up_to: Option<u32>) -> Result<()> {
        let Rows { subject, rows } = rows;
        let last = up_to.unwrap_or(u32::MAX);
        let mut prev = self.events.last().map_or(Hash::ZERO, |event| event.hash);
        self.events.reserve(rows.len());
        self.personal.reserve(rows.len());
        for row in rows {
            let bad = |column: &str| Error::BadRow(format!("event.{column} of {subject} {}", row.seq));
            let seq = u32::try_from(row.seq).map_err(|_| bad("seq"))?;
            if seq > last {
                break;
            }
            let hash = Hash::from_slice(&row.hash).ok_or_else(|| bad("hash"))?;
            let commitment = |bytes: &[u8]| Hash::from_slice(bytes).ok_or_else(|| bad("personal_commitment"));
            self.personal.push(row.personal_id);
            self.events.push(StoredEvent {
                seq,
                received_at: row.received_at,
                hash,
                prev,
                secret: Secret(row.secret.as_slice().try_into().map_err(|_| bad("secret"))?),
                personal_commitment: row.personal_commitment.as_deref().map(commitment).transpose()?,
                public: row.public,
                business: row.business,
                personal: None,
            });
            prev = hash;
        }
        Ok(())
    }

    /// Puts the personal parts into those events that have one and that `whose` says: what `persons`
    /// does not have was erased. `whose` is asked by place, from 0.
    pub fn open(&mut self, persons: &Persons, whose: impl Fn(usize) -> bool) {
        let parts = self.events.iter_mut().zip(&self.personal).enumerate();
        for (_, (event, id)) in parts.filter(|(place, _)| whose(*place)) {
            event.personal = id.map(|id| match persons.0.get(&id) {
                Some((text, secret)) => Personal::Opened {
                    salt: secret.personal_salt(self.subject, event.seq),
                    text: text.clone(),
                },
                None => Personal::Erased,
            });
        }
    }
}

/// Personal parts by their ids.
#[derive(Default)]
pub struct Persons(HashMap<Uuid, (String, Secret)>);

impl Persons {
    /// Adds a row of table `personal`.
    ///
    /// # Errors
    /// A secret that is none.
    pub fn add(&mut self, id: Uuid, text: String, secret: &[u8]) -> Result<()> {
        let secret = secret.try_into();
        let secret = secret.map_err(|_| Error::BadRow(format!("personal.secret of {id}: not 32 bytes")))?;
        self.0.insert(id, (text, Secret(secret)));
        Ok(())
    }
}

async fn persons(db: &mut PgConnection, ids: &[Uuid]) -> Result<Persons> {
    let rows = sqlx::query!("SELECT id, text, secret FROM personal WHERE id = ANY($1)", ids)
        .fetch_all(&mut *db)
        .await?;
    let mut persons = Persons::default();
    for row in rows {
        persons.add(row.id, row.text, &row.secret)?;
    }
    Ok(persons)
}

/// One event as a history answers it.
#[derive(Clone, Debug, Serialize, ToSchema)]
pub struct ShownEvent {
    /// Place in the chain, from 1.
    pub seq: u32,
    /// What happened.
    #[serde(rename = "type")]
    #[schema(example = "ticket_issued")]
    pub event_type: Option<String>,
    /// The posting that it came with.
    pub operation_id: Option<Uuid>,
    /// When it happened, as told; UTC with microseconds.
    #[schema(value_type = Option<DateTime<Utc>>)]
    pub occurred_at: Option<String>,
    /// When the server received it; UTC with microseconds; never falls within a chain.
    #[schema(value_type = DateTime<Utc>)]
    pub received_at: String,
    /// The organisation that recorded it.
    pub organization: Option<Uuid>,
    /// Where.
    #[serde(skip_serializing_if = "Option::is_none")]
    #[schema(value_type = Option<Object>)]
    pub place: Option<Value>,
    /// Where exactly.
    #[serde(skip_serializing_if = "Option::is_none")]
    #[schema(value_type = Option<Object>)]
    pub position: Option<Value>,
    /// Under which document.
    #[serde(skip_serializing_if = "Option::is_none")]
    #[schema(value_type = Option<Object>)]
    pub document: Option<Value>,
    /// Recorded by which device.
    #[serde(skip_serializing_if = "Option::is_none")]
    #[schema(value_type = Option<Object>)]
    pub device: Option<Value>,
    /// Whatever else the open public and business parts say, by the names they were hashed under.
    #[schema(value_type = Object)]
    pub details: Map<String, Value>,
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
        Self { salt: Some(hex::encode(salt.0)), text: Some(text.to_owned()), ..Self::closed(commitment) }
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
        let mut said = Said::default();
        if open.public {
            said.hear(&self.public);
        }
        if open.business {
            said.hear(&self.business);
        }
        ShownEvent {
            seq: self.seq,
            event_type: said.text("type"),
            operation_id: said.id("operation"),
            occurred_at: said.text("occurred"),
            received_at: utc_text(self.received_at),
            organization: said.id("organization"),
            place: said.0.remove("place"),
            position: said.0.remove("position"),
            document: said.0.remove("document"),
            device: said.0.remove("device"),
            details: said.rest(),
            prev_hash: self.prev,
            hash: self.hash,
            entry: hex::encode(entry.as_bytes()),
            parts,
        }
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

/// What the open parts say, in the forms of answers.
#[derive(Default)]
struct Said(Map<String, Value>);

impl Said {
    fn hear(&mut self, text: &str) {
        if let Ok(Value::Object(members)) = serde_json::from_str(text) {
            self.0.extend(members.into_iter().map(|(name, value)| {
                let value = answered(&name, value);
                (name, value)
            }));
        }
    }

    fn text(&mut self, name: &str) -> Option<String> {
        match self.0.remove(name) {
            Some(Value::String(text)) => Some(text),
            _ => None,
        }
    }

    fn id(&mut self, name: &str) -> Option<Uuid> {
        self.text(name)?.parse().ok()
    }

    /// What has no field of its own. A part's own `details` are laid open among the others.
    fn rest(mut self) -> Map<String, Value> {
        self.0.remove("v");
        if let Some(Value::Object(inner)) = self.0.remove("details") {
            self.0.extend(inner);
        }
        self.0
    }
}

/// Hashed decimals are strings and hashed times keep their offset apart; answers have numbers and UTC.
fn answered(name: &str, value: Value) -> Value {
    match value {
        Value::String(text) if is_decimal(name) => number(&text).unwrap_or(Value::String(text)),
        Value::Array(items) => items.into_iter().map(|item| answered(name, item)).collect(),
        Value::Object(mut members) if members.len() == 2 && members.contains_key("offset_min") => {
            members.remove("at").unwrap_or(Value::Null)
        }
        Value::Object(members) => members
            .into_iter()
            .map(|(name, value)| {
                let value = answered(&name, value);
                (name, value)
            })
            .collect::<Map<_, _>>()
            .into(),
        other => other,
    }
}

fn is_decimal(name: &str) -> bool {
    matches!(name, "lat" | "lon" | "length_m" | "accuracy_m")
        || name.ends_with("_m3")
        || name.ends_with("_cm")
        || name.ends_with("_ha")
}

fn number(text: &str) -> Option<Value> {
    let decimal: Decimal = text.parse().ok()?;
    crate::units::serialize_decimal(decimal, serde_json::value::Serializer).ok()
}

#[cfg(test)]
mod tests {
    use super::super::bytes::{SubjectKind, subject_ref};
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
            (Part::Public, &shown.parts.public),
            (Part::Business, &shown.parts.business),
            (Part::Personal, &shown.parts.personal),
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
            serde_json::to_value(&shown.parts.personal).unwrap(),
            serde_json::json!({"commitment": commitment, "erased": true})
        );
        assert_eq!(shown.entry, event().shown(subject(), Openness::ALL).entry);
        assert_eq!(erased.shown(subject(), Openness::BUSINESS).parts.personal.erased, None);
    }
}
