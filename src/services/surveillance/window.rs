//! The state of the engine: one window for each log, ticket, seal, batch, person and organisation.
//!
//! A window has a bounded size, and a leaf touches a few windows, so the memory of the engine does not grow
//! with the number of events: a batch of leaves loads only the windows that its leaves name.

use super::leaf::{Fix, PersonKey, Seen};
use serde::{Deserialize, Serialize};
use sha2::{Digest, Sha256};
use std::cell::RefCell;
use std::collections::{BTreeSet, HashMap, HashSet};
use uuid::Uuid;

/// Events of a log that are kept: the first and the newest. Logs have about ten.
pub(super) const MAX_EVENTS: usize = 64;
/// Distinct measure vectors and hashes of series that are kept for a person and month.
pub(super) const MAX_VECTORS: usize = 512;
/// Hashes of series of logs that are kept for a person and month.
pub(super) const MAX_SERIES: usize = 4_096;
/// Positions of yards that are kept for an organisation.
pub(super) const MAX_YARDS: usize = 16;
/// Changes of a ticket's term, and transfers of a batch, that are kept.
pub(super) const MAX_CHANGES: usize = 64;
/// Events that a finding names as evidence.
pub(super) const MAX_EVIDENCE: usize = 8;

/// Names a window.
#[derive(Clone, Copy, Debug, PartialEq, Eq, PartialOrd, Ord, Hash)]
pub struct Key {
    /// What it is a window of.
    pub kind: Kind,
    /// Which one.
    pub id: Uuid,
}

/// What there are windows of. The number is stored.
#[derive(Clone, Copy, Debug, PartialEq, Eq, PartialOrd, Ord, Hash)]
#[repr(u8)]
pub enum Kind {
    /// A log or stack, by its id.
    Log = 1,
    /// A felling ticket, by its id.
    Ticket = 2,
    /// A seal, by a hash of its number.
    Seal = 3,
    /// A batch of seals, by its id.
    Batch = 4,
    /// A person of an organisation and a day.
    PersonDay = 5,
    /// A person of an organisation and a month.
    PersonMonth = 6,
    /// The yards of an organisation, by its id.
    Yards = 7,
    /// The stock of one species of an organisation.
    Stock = 8,
    /// The corrections of an organisation and a month.
    Back = 9,
}

impl Key {
    /// The window with the stored number `kind` and id.
    #[must_use]
    pub fn stored(kind: i16, id: Uuid) -> Option<Self> {
        let all = [
            Kind::Log,
            Kind::Ticket,
            Kind::Seal,
            Kind::Batch,
            Kind::PersonDay,
            Kind::PersonMonth,
            Kind::Yards,
            Kind::Stock,
            Kind::Back,
        ];
        all.into_iter().find(|one| *one as i16 == kind).map(|kind| Self { kind, id })
    }

    pub(super) fn log(id: Uuid) -> Self {
        Self { kind: Kind::Log, id }
    }

    pub(super) fn ticket(id: Uuid) -> Self {
        Self { kind: Kind::Ticket, id }
    }

    pub(super) fn batch(id: Uuid) -> Self {
        Self { kind: Kind::Batch, id }
    }

    pub(super) fn yards(organization: Uuid) -> Self {
        Self { kind: Kind::Yards, id: organization }
    }

    pub(super) fn seal(number: &str) -> Self {
        Self { kind: Kind::Seal, id: digest(&[number.as_bytes()]) }
    }

    pub(super) fn person(kind: Kind, organization: Uuid, person: &[u8], period: &str) -> Self {
        Self { kind, id: digest(&[organization.as_bytes(), person, period.as_bytes()]) }
    }

    pub(super) fn stock(organization: Uuid, species: &str) -> Self {
        Self { kind: Kind::Stock, id: digest(&[organization.as_bytes(), species.as_bytes()]) }
    }

    pub(super) fn back(organization: Uuid, month: &str) -> Self {
        Self { kind: Kind::Back, id: digest(&[organization.as_bytes(), month.as_bytes()]) }
    }
}

/// The first 16 bytes of the hash of texts that contain no zero byte behind each other.
fn digest(parts: &[&[u8]]) -> Uuid {
    let mut hash = Sha256::new();
    for part in parts {
        hash.update(part);
        hash.update([0]);
    }
    let hash: [u8; 32] = hash.finalize().into();
    Uuid::from_bytes(std::array::from_fn(|at| hash[at]))
}

/// One event of a log, as far as the rules use it.
#[derive(Clone, Debug, PartialEq, Serialize, Deserialize)]
#[expect(clippy::struct_excessive_bools, reason = "facts of an event")]
pub struct Past {
    pub(super) seq: u32,
    /// When it is claimed to have happened; a correction of the time replaces it.
    pub(super) at: i64,
    pub(super) received: i64,
    pub(super) event: String,
    pub(super) organization: Uuid,
    #[serde(skip_serializing_if = "Option::is_none", default)]
    pub(super) region: Option<String>,
    #[serde(skip_serializing_if = "Option::is_none", default)]
    pub(super) fix: Option<Fix>,
    #[serde(skip_serializing_if = "Option::is_none", default)]
    pub(super) to: Option<Uuid>,
    #[serde(skip_serializing_if = "Option::is_none", default)]
    pub(super) outcome: Option<String>,
    #[serde(skip_serializing_if = "Option::is_none", default)]
    pub(super) seen: Option<Seen>,
    #[serde(skip_serializing_if = "Option::is_none", default)]
    pub(super) seal: Option<String>,
    #[serde(skip_serializing_if = "std::ops::Not::not", default)]
    pub(super) ownership: bool,
    #[serde(skip_serializing_if = "std::ops::Not::not", default)]
    pub(super) possession: bool,
    #[serde(skip_serializing_if = "std::ops::Not::not", default)]
    pub(super) day_only: bool,
    /// A receipt that did not accept the offer, because the log was held.
    #[serde(skip_serializing_if = "std::ops::Not::not", default)]
    pub(super) held: bool,
    /// A correction has undone it.
    #[serde(skip_serializing_if = "std::ops::Not::not", default)]
    pub(super) undone: bool,
}

/// The window of a log.
#[derive(Clone, Debug, Default, PartialEq, Serialize, Deserialize)]
pub struct LogWindow {
    pub(super) ticket: Option<Uuid>,
    pub(super) seal: Option<String>,
    pub(super) batch: Option<Uuid>,
    pub(super) species: Option<String>,
    /// In cm.
    pub(super) length: Option<i32>,
    /// In mm.
    pub(super) diameter: Option<i32>,
    /// In 10⁻⁴ m³.
    pub(super) volume: i64,
    /// The organisation in which stock its volume is counted.
    pub(super) counted: Option<Uuid>,
    /// Whether it counts as removed from the forest in its ticket's window.
    pub(super) removed: bool,
    pub(super) events: Vec<Past>,
    pub(super) findings: Vec<(String, String)>,
}

/// The window of a ticket. Terms are lists of (known since, last day).
#[derive(Clone, Debug, Default, PartialEq, Serialize, Deserialize)]
pub struct TicketWindow {
    pub(super) issuer: Uuid,
    pub(super) holder: Uuid,
    pub(super) felling_from: i32,
    pub(super) felling: Vec<(i64, i32)>,
    pub(super) removal: Vec<(i64, i32)>,
    pub(super) cancelled: Option<(i64, u32)>,
    /// Logs that are not removed from the forest yet.
    pub(super) left: i64,
    /// An inspector's hold: organisation, end, event.
    pub(super) held: Option<(Uuid, i64, u32)>,
    /// The last day of removal that the sweep has judged.
    pub(super) swept: i32,
}

/// The window of a seal.
#[derive(Clone, Debug, Default, PartialEq, Serialize, Deserialize)]
pub struct SealWindow {
    /// Logs that bore it: log, claimed time, seq.
    pub(super) logs: Vec<(Uuid, i64, u32)>,
    /// Its void: time, reason, batch, seq.
    pub(super) void: Option<(i64, String, Uuid, u32)>,
}

/// A range of a batch that was given to an organisation.
#[derive(Clone, Debug, PartialEq, Serialize, Deserialize)]
pub struct Range {
    pub(super) first: String,
    pub(super) last: String,
    pub(super) to: Uuid,
    pub(super) at: i64,
    /// Whether it has every number from first to last.
    pub(super) full: bool,
}

/// The window of a batch of seals.
#[derive(Clone, Debug, Default, PartialEq, Serialize, Deserialize)]
pub struct BatchWindow {
    pub(super) ranges: Vec<Range>,
}

/// The window of a person's day: logs marked by minute.
#[derive(Clone, Debug, Default, PartialEq, Serialize, Deserialize)]
pub struct PersonDay {
    pub(super) day: i32,
    /// The day on which its last record was received.
    pub(super) seen: i32,
    pub(super) minutes: Vec<(u16, u32)>,
}

/// The window of a person's month.
#[derive(Clone, Debug, Default, PartialEq, Serialize, Deserialize)]
pub struct PersonMonth {
    /// The month's first day.
    pub(super) first: i32,
    /// The day on which its last record was received.
    pub(super) seen: i32,
    pub(super) logs: u32,
    /// Number of logs by diameter in cm.
    pub(super) diameters: Vec<(i32, u32)>,
    /// Number of logs by measure vector.
    pub(super) vectors: Vec<(u32, u32)>,
    /// Hashes of the last vectors.
    pub(super) last: Vec<u32>,
    /// Hashes of series, sorted.
    pub(super) series: Vec<u32>,
    /// Series that were there before.
    pub(super) repeats: u32,
    /// Logs marked at night, by day of the month.
    pub(super) nights: Vec<(i32, u32)>,
    pub(super) at_yard: u32,
    pub(super) evidence: Vec<(Uuid, u32)>,
    pub(super) findings: Vec<(String, String)>,
}

/// The window of an organisation's yards: mean position and number of logs taken over there.
#[derive(Clone, Debug, Default, PartialEq, Serialize, Deserialize)]
pub struct Yards {
    pub(super) yards: Vec<(i32, i32, u32)>,
}

/// The window of an organisation's stock of a species, in 10⁻⁴ m³.
#[derive(Clone, Debug, Default, PartialEq, Serialize, Deserialize)]
pub struct StockWindow {
    pub(super) organization: Uuid,
    pub(super) species: String,
    pub(super) balance: i64,
    pub(super) below_since: Option<i64>,
    /// When the sweep judges it.
    pub(super) due: Option<i64>,
    pub(super) evidence: Vec<(Uuid, u32)>,
}

/// The window of an organisation's corrections of a month, in 10⁻⁴ m³.
#[derive(Clone, Debug, Default, PartialEq, Serialize, Deserialize)]
pub struct BackWindow {
    pub(super) harvested: i64,
    pub(super) down: (u32, i64),
    pub(super) up: (u32, i64),
    pub(super) evidence: Vec<(Uuid, u32)>,
    pub(super) findings: Vec<(String, String)>,
}

/// A window of any kind.
#[derive(Clone, Debug, PartialEq, Serialize, Deserialize)]
#[expect(missing_docs, reason = "the windows are documented")]
pub enum Window {
    Log(LogWindow),
    Ticket(TicketWindow),
    Seal(SealWindow),
    Batch(BatchWindow),
    PersonDay(PersonDay),
    PersonMonth(PersonMonth),
    Yards(Yards),
    Stock(StockWindow),
    Back(BackWindow),
}

/// For how many days a person's windows are kept: late events of a crew without a network come within weeks.
const PERSON_DAYS: i32 = 70;

impl Window {
    /// When the sweep must judge it, or remove it: microseconds.
    #[must_use]
    pub fn due(&self) -> Option<i64> {
        let end = |day: i32| (i64::from(day) - 719_163 + 1) * 86_400_000_000 - 5 * super::threshold::HOUR;
        match self {
            Self::Ticket(ticket) => {
                let removal = ticket.removal.last().filter(|(_, day)| ticket.left > 0 && *day > ticket.swept);
                let held = ticket.held.map(|(_, until, _)| until);
                [removal.map(|(_, day)| end(*day)), held].into_iter().flatten().min()
            }
            Self::Stock(stock) => stock.due,
            Self::PersonDay(day) => Some(end(day.day.max(day.seen) + PERSON_DAYS)),
            Self::PersonMonth(month) => Some(end((month.first + 31).max(month.seen) + PERSON_DAYS)),
            _ => None,
        }
    }
}

/// Where windows are kept.
pub trait Windows {
    /// Takes a window out; `None` if there is none yet.
    fn take(&mut self, key: Key) -> Option<Window>;
    /// Puts a window back, changed.
    fn put(&mut self, key: Key, window: Window);
    /// A window, without changing it.
    fn peek(&self, key: Key) -> Option<&Window>;
    /// The windows that are due before `until`, in their order.
    fn due(&self, until: i64) -> Vec<Key>;
}

/// Windows in memory: all of a world, or those of a batch of leaves.
#[derive(Debug, Default)]
pub struct Memory {
    /// Keys that were looked up in the database, if only these may be used; `None`: all windows are here.
    looked_up: Option<HashSet<Key>>,
    /// Keys that were used and not looked up.
    missed: RefCell<BTreeSet<Key>>,
    windows: HashMap<Key, Window>,
    due: BTreeSet<(i64, Key)>,
    /// Windows that were put or removed since [`Memory::changed`].
    changed: BTreeSet<Key>,
}

impl Memory {
    /// Windows of a batch, of which these keys were looked up in the database.
    #[must_use]
    pub fn of_batch(looked_up: HashSet<Key>) -> Self {
        Self { looked_up: Some(looked_up), ..Self::default() }
    }

    /// The keys that were used although they were not looked up: the fold must be repeated with them.
    pub fn missed(&mut self) -> BTreeSet<Key> {
        std::mem::take(self.missed.get_mut())
    }

    fn used(&self, key: Key) {
        if self.looked_up.as_ref().is_some_and(|keys| !keys.contains(&key)) {
            self.missed.borrow_mut().insert(key);
        }
    }

    /// Adds a stored window.
    pub fn load(&mut self, key: Key, window: Window) {
        if let Some(due) = window.due() {
            self.due.insert((due, key));
        }
        self.windows.insert(key, window);
    }

    /// Whether the window is here.
    #[must_use]
    pub fn has(&self, key: Key) -> bool {
        self.windows.contains_key(&key)
    }

    /// The windows that were changed since the last call, and those that were removed.
    pub fn changed(&mut self) -> (Vec<(Key, &Window)>, Vec<Key>) {
        let changed = std::mem::take(&mut self.changed);
        let (there, gone): (Vec<Key>, Vec<Key>) =
            changed.into_iter().partition(|key| self.windows.contains_key(key));
        (there.into_iter().filter_map(|key| Some((key, self.windows.get(&key)?))).collect(), gone)
    }

    /// How many windows there are.
    #[must_use]
    pub fn len(&self) -> usize {
        self.windows.len()
    }

    /// Whether there is none.
    #[must_use]
    pub fn is_empty(&self) -> bool {
        self.windows.is_empty()
    }
}

impl Windows for Memory {
    fn take(&mut self, key: Key) -> Option<Window> {
        self.used(key);
        let window = self.windows.remove(&key)?;
        if let Some(due) = window.due() {
            self.due.remove(&(due, key));
        }
        self.changed.insert(key);
        Some(window)
    }

    fn put(&mut self, key: Key, window: Window) {
        self.changed.insert(key);
        self.load(key, window);
    }

    fn peek(&self, key: Key) -> Option<&Window> {
        self.used(key);
        self.windows.get(&key)
    }

    fn due(&self, until: i64) -> Vec<Key> {
        self.due.iter().take_while(|(due, _)| *due < until).map(|(_, key)| *key).collect()
    }
}

/// What stands for the person of an event: the person, else the device.
pub(super) fn marker(person: Option<PersonKey>, device: Option<&str>) -> Option<Vec<u8>> {
    person.map(|key| key.to_vec()).or_else(|| device.map(|id| id.as_bytes().to_vec()))
}
