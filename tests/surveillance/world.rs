//! A year of timber: honest behaviour with its noise, and dishonest patterns with labels.
//!
//! This file knows the events that the server records, and how people launder timber. It knows neither the
//! rules nor their thresholds. Each pattern states its smallest strength: an offender that does less is not counted in
//! the recall.

use crate::random::Random;
use chrono::{DateTime, Utc};
use ormantrace::evidence::chain::SubjectKind;
use ormantrace::services::surveillance::leaf::{Leaf, PersonKey};
use std::collections::{BTreeMap, BTreeSet};
use std::fmt::Write as _;
use uuid::Uuid;

const MINUTE: i64 = 60;
const HOUR: i64 = 60 * MINUTE;
const DAY: i64 = 24 * HOUR;
/// 1 January 2026, 00:00 in Kazakhstan, in seconds.
const NEW_YEAR: i64 = 1_767_207_600;

/// How much of each pattern there is.
#[derive(Clone, Copy, Debug)]
pub struct Plan {
    pub seed: u64,
    pub enterprises: usize,
    /// Logs of an enterprise and working day, about.
    pub logs_a_day: i64,
    pub days: i64,
    /// Whether there are dishonest patterns.
    pub dishonest: bool,
}

/// What a finding should be about: rule, and the log, ticket, organisation, or person and month.
#[derive(Clone, Debug, PartialEq, Eq, PartialOrd, Ord, Hash)]
pub enum Label {
    Subject(&'static str, Uuid),
    Person(&'static str, PersonKey, i64),
}

#[derive(Default)]
pub struct World {
    pub leaves: Vec<Leaf>,
    /// What must be found.
    pub labels: BTreeSet<Label>,
    /// What may be found as well: a consequence of a pattern.
    pub also: BTreeSet<Label>,
    /// Who marked a log, and in which month of the year.
    pub persons: BTreeMap<Uuid, (PersonKey, i64)>,
    pub logs: usize,
}

struct Event {
    subject: Uuid,
    kind: SubjectKind,
    organization: Uuid,
    received: i64,
    public: String,
    business: String,
    person: Option<PersonKey>,
    batch: Option<Uuid>,
    /// Index of the event that it corrects.
    corrects: Option<usize>,
}

#[derive(Clone, Copy)]
struct Spot {
    lat: f64,
    lon: f64,
    region: &'static str,
}

const FORESTS: [Spot; 6] = [
    Spot { lat: 50.75, lon: 79.60, region: "KZ-10" },
    Spot { lat: 50.95, lon: 81.30, region: "KZ-10" },
    Spot { lat: 49.90, lon: 83.10, region: "KZ-63" },
    Spot { lat: 50.30, lon: 83.60, region: "KZ-63" },
    Spot { lat: 52.60, lon: 70.10, region: "KZ-11" },
    Spot { lat: 51.70, lon: 78.20, region: "KZ-55" },
];
const FAR: [Spot; 3] = [
    Spot { lat: 43.30, lon: 77.00, region: "KZ-75" },
    Spot { lat: 50.28, lon: 57.20, region: "KZ-15" },
    Spot { lat: 42.35, lon: 69.60, region: "KZ-79" },
];
const SPECIES: [&str; 4] = ["pinus_sylvestris", "betula_pendula", "picea_obovata", "larix_sibirica"];

struct Person {
    key: PersonKey,
    device: String,
    /// Minutes by which the device's clock is wrong.
    clock: i64,
    /// Diameters are read to this many millimetres.
    reads_to: i64,
    offline: f64,
}

struct Enterprise {
    id: Uuid,
    persons: Vec<Person>,
    forest: Spot,
    batch: Uuid,
    stock: std::ops::Range<u64>,
    /// Whether it has a sawmill of its own.
    yard: Option<Spot>,
}

struct Mill {
    id: Uuid,
    spot: Spot,
}

#[derive(Clone, Copy)]
struct Ticket {
    id: Uuid,
    from: i64,
    until: i64,
    removal: i64,
    spot: Spot,
    species: &'static str,
    mean: f64,
}

/// A log on its way, as the generator sees it.
struct Timber {
    id: Uuid,
    enterprise: usize,
    first: usize,
    at: i64,
    received: i64,
    species: &'static str,
    length: i64,
    diameter: i64,
    volume: i64,
    seal: String,
    batch: Uuid,
    spot: Spot,
    removal: i64,
}

pub struct Maker {
    random: Random,
    plan: Plan,
    events: Vec<Event>,
    world: World,
    mills: Vec<Mill>,
    inspector: Uuid,
    operator: Uuid,
    forest_owner: Uuid,
    next_seal: u64,
    /// How often a person followed a habit in a month: days, or logs.
    done: BTreeMap<(u64, PersonKey, i64), u32>,
    /// Measures that a person has written in a month.
    written: BTreeMap<(PersonKey, i64), Vec<(i64, i64)>>,
}

fn time_text(seconds: i64) -> String {
    DateTime::from_timestamp(seconds, 0).unwrap().format("%Y-%m-%dT%H:%M:%S.000000Z").to_string()
}

fn date_text(day: i64) -> String {
    DateTime::from_timestamp(NEW_YEAR + 5 * HOUR + day * DAY, 0).unwrap().format("%Y-%m-%d").to_string()
}

fn decimal(value: i64, scale: usize) -> String {
    let divisor = 10_i64.pow(u32::try_from(scale).unwrap());
    let text = format!("{}.{:0scale$}", value / divisor, value % divisor);
    text.trim_end_matches('0').trim_end_matches('.').to_owned()
}

/// About the volume of GOST 2708-75, in 10⁻⁴ m³.
fn volume(diameter_mm: i64, length_cm: i64) -> i64 {
    let (d, l) = (diameter_mm as f64 / 1_000.0, length_cm as f64 / 100.0);
    (std::f64::consts::FRAC_PI_4 * d * d * l * 1.18 * 1_000.0).round().max(1.0) as i64 * 10
}

fn month_of(at: i64) -> i64 {
    let date = DateTime::from_timestamp(at + 5 * HOUR, 0).unwrap();
    date.format("%Y%m").to_string().parse().unwrap()
}

fn seal_text(number: u64) -> String {
    format!("KZ{number:08}")
}

impl Maker {
    pub fn make(plan: Plan) -> World {
        let mut random = Random::new(plan.seed);
        let ids = [random.uuid(), random.uuid(), random.uuid()];
        let mut maker = Self {
            random,
            plan,
            events: Vec::new(),
            world: World::default(),
            mills: Vec::new(),
            inspector: ids[0],
            operator: ids[1],
            forest_owner: ids[2],
            next_seal: 1,
            done: BTreeMap::new(),
            written: BTreeMap::new(),
        };
        for forest in FORESTS {
            for _ in 0..2 {
                let spot = maker.near(forest, 120.0);
                let id = maker.random.uuid();
                maker.mills.push(Mill { id, spot });
            }
        }
        let mut enterprises: Vec<Enterprise> = (0..plan.enterprises).map(|at| maker.enterprise(at)).collect();
        for at in 0..enterprises.len() {
            maker.year(at, &mut enterprises);
        }
        maker.finish()
    }

    fn near(&mut self, spot: Spot, km: f64) -> Spot {
        let (north, east) = (self.random.between(-km, km), self.random.between(-km, km));
        let lat = spot.lat + north / 111.2;
        Spot { lat, lon: spot.lon + east / (111.2 * lat.to_radians().cos()), region: spot.region }
    }

    fn enterprise(&mut self, at: usize) -> Enterprise {
        let forest = FORESTS[at % FORESTS.len()];
        let shared = format!("phone-{at}");
        let persons = (0..3)
            .map(|n| {
                let key: PersonKey = *self.random.uuid().as_bytes();
                Person {
                    key,
                    device: if self.random.chance(0.3) { shared.clone() } else { format!("phone-{at}-{n}") },
                    clock: if self.random.chance(0.04) { self.random.within(-150, 150) } else { 0 },
                    reads_to: self.random.pick(&[20, 20, 10, 10, 1]),
                    offline: if self.random.chance(0.2) { 0.6 } else { 0.08 },
                }
            })
            .collect();
        let (id, batch) = (self.random.uuid(), self.random.uuid());
        let quantity =
            u64::try_from((self.plan.logs_a_day * self.plan.days * 2 + 2_000).min(900_000)).unwrap();
        let stock = self.next_seal..self.next_seal + quantity;
        self.next_seal = stock.end;
        let given = |event: &str, to: Uuid| {
            format!(
                r#","to":"{to}","quantity":{quantity},"first":"{}","last":"{}","t":"{event}""#,
                seal_text(stock.start),
                seal_text(stock.end - 1)
            )
        };
        let registered = given("r", self.operator);
        let transferred = given("t", id);
        self.plain(
            batch,
            SubjectKind::SealBatch,
            "seals_registered",
            self.operator,
            NEW_YEAR - 20 * DAY,
            &registered,
        );
        self.plain(
            batch,
            SubjectKind::SealBatch,
            "seals_transferred",
            self.operator,
            NEW_YEAR - 15 * DAY,
            &transferred,
        );
        let yard = at.is_multiple_of(3).then(|| self.near(forest, 60.0));
        Enterprise { id, persons, forest, batch, stock, yard }
    }

    /// An event of a batch or a ticket, recorded at once.
    fn plain(&mut self, subject: Uuid, kind: SubjectKind, event: &str, by: Uuid, at: i64, more: &str) {
        let public = format!(r#"{{"v":1,"type":"{event}"}}"#);
        let business = format!(
            r#"{{"v":1,"occurred":{{"at":"{}","offset_min":300}},"organization":"{by}"{more}}}"#,
            time_text(at)
        );
        self.events.push(Event {
            subject,
            kind,
            organization: by,
            received: at + 1,
            public,
            business,
            person: None,
            batch: None,
            corrects: None,
        });
    }

    fn fix(&mut self, spot: Spot) -> String {
        let spot = self.near(spot, 0.03);
        let accuracy = self.random.within(4, 40);
        format!(
            r#","position":{{"lat":"{:.7}","lon":"{:.7}","accuracy_m":"{accuracy}"}}"#,
            spot.lat, spot.lon
        )
    }

    /// An event of a log. `lag` is how much later it is received. Returns its index.
    #[expect(clippy::too_many_arguments, reason = "an event has many parts")]
    fn event(
        &mut self,
        log: &Timber,
        event: &str,
        by: Uuid,
        at: i64,
        lag: i64,
        spot: Option<Spot>,
        more: (&str, &str),
    ) -> usize {
        let region = spot.map(|spot| format!(r#","region":"{}""#, spot.region)).unwrap_or_default();
        let mut business = format!(
            r#"{{"v":2,"occurred":{{"at":"{}","offset_min":300}},"organization":"{by}"{}"#,
            time_text(at),
            more.1
        );
        if let Some(spot) = spot
            && self.random.chance(0.85)
        {
            // Now and then a phone states where it was the day before.
            let stale = self.random.chance(0.000_1);
            let spot = if stale { self.near(spot, 200.0) } else { spot };
            business.push_str(&self.fix(spot));
        }
        business.push('}');
        let public = format!(r#"{{"v":2,"subject":"log","type":"{event}"{region}{}}}"#, more.0);
        let received = (at + lag.max(2)).max(log.received + 1);
        self.events.push(Event {
            subject: log.id,
            kind: SubjectKind::Log,
            organization: by,
            received,
            public,
            business,
            person: None,
            batch: None,
            corrects: None,
        });
        self.events.len() - 1
    }

    fn late(&mut self, chance: f64) -> i64 {
        if self.random.chance(chance) { self.random.within(HOUR, 3 * DAY) } else { self.random.within(2, 90) }
    }

    fn year(&mut self, at: usize, enterprises: &mut [Enterprise]) {
        let mut day = 3;
        while day < self.plan.days - 90 {
            let length = self.random.within(25, 55);
            let from = day;
            let until = day + length;
            let removal = until + self.random.within(20, 40);
            let spot = {
                let forest = enterprises[at].forest;
                self.near(forest, 40.0)
            };
            let ticket = Ticket {
                id: self.random.uuid(),
                from,
                until,
                removal,
                spot,
                species: self.random.pick(&SPECIES),
                mean: self.random.between(19.0, 28.0),
            };
            self.ticket(at, enterprises, ticket);
            day = until + self.random.within(1, 6);
        }
    }

    fn ticket(&mut self, at: usize, enterprises: &mut [Enterprise], ticket: Ticket) {
        let start = NEW_YEAR + (ticket.from - 2) * DAY + 10 * HOUR;
        let more = format!(
            r#","ticket_id":"{}","holder":"{}","felling_from":"{}","felling_until":"{}","removal_until":"{}""#,
            ticket.id,
            enterprises[at].id,
            date_text(ticket.from),
            date_text(ticket.until),
            date_text(ticket.removal)
        );
        self.plain(ticket.id, SubjectKind::FellingTicket, "ticket_issued", self.forest_owner, start, &more);
        let bad = self.plan.dishonest;
        let mut removal = ticket.removal;
        if self.random.chance(0.15) {
            // Extended in time.
            removal += 20;
            let when = NEW_YEAR + (ticket.removal - 3) * DAY + 9 * HOUR;
            let more = format!(
                r#","ticket_id":"{}","removal_until":"{}","reason":"Rain""#,
                ticket.id,
                date_text(removal)
            );
            self.plain(
                ticket.id,
                SubjectKind::FellingTicket,
                "ticket_extended",
                self.forest_owner,
                when,
                &more,
            );
        }
        let cancelled = (bad && self.random.chance(0.1)).then(|| {
            let when = NEW_YEAR + (ticket.until + 1) * DAY + self.random.within(10, 16) * HOUR;
            let more = format!(r#","ticket_id":"{}","reason":"Fraud""#, ticket.id);
            self.plain(
                ticket.id,
                SubjectKind::FellingTicket,
                "ticket_cancelled",
                self.forest_owner,
                when,
                &more,
            );
            when
        });
        let mut timbers = Vec::new();
        for day in ticket.from..=ticket.until {
            if (day + 3) % 7 < 2 {
                continue;
            }
            self.day(at, enterprises, &ticket, day, &mut timbers);
        }
        self.corrections(at, enterprises, &mut timbers);
        self.outside_term(at, enterprises, &ticket, cancelled, &mut timbers);
        for log in &mut timbers {
            log.removal = removal;
        }
        self.loads(at, enterprises, timbers, cancelled);
    }

    /// A month of a person with a habit: which one, from the person, the month and the seed.
    fn habit(&self, person: &PersonKey, month: i64) -> u64 {
        if !self.plan.dishonest {
            return 99;
        }
        let mut random = Random::new(
            self.plan.seed ^ u64::from(person[0]) << 20 ^ u64::from(person[1]) << 8 ^ month.unsigned_abs(),
        );
        random.next();
        random.next() % 30
    }

    /// The logs that one enterprise marks on one day.
    fn day(
        &mut self,
        at: usize,
        enterprises: &mut [Enterprise],
        ticket: &Ticket,
        day: i64,
        timbers: &mut Vec<Timber>,
    ) {
        for who in 0..enterprises[at].persons.len() {
            if self.random.chance(0.15) {
                continue;
            }
            let share = self.plan.logs_a_day / i64::try_from(enterprises[at].persons.len()).unwrap();
            let mut count = self.random.within(share / 2, share * 3 / 2).max(1);
            let morning = NEW_YEAR + day * DAY;
            let month = month_of(morning);
            let habit = self.habit(&enterprises[at].persons[who].key, month);
            let (key, clock, reads_to, offline) = {
                let person = &enterprises[at].persons[who];
                (person.key, person.clock, person.reads_to, person.offline)
            };
            // Habit 0: round diameters. 1: copied series. 2: rush. 3: at night. 4: at the own yard.
            let rush = habit == 2 && day % 9 == 0;
            let night = habit == 3 && day % 3 == 0;
            let yard = enterprises[at].yard.filter(|_| habit == 4 && day % 4 == 0);
            if rush {
                count = 400;
            }
            if night {
                count = count.max(15);
            }
            let lag = if self.random.chance(offline) { self.random.within(DAY, 4 * DAY) } else { 0 };
            // In the evening, all logs of the day are recorded at once and in their order.
            let evening = self.random.chance(0.25) && !rush && !night;
            let once = morning + 17 * HOUR + 32 * MINUTE + lag + self.random.within(0, 100);
            let mut written = self.written.remove(&(key, month)).unwrap_or_default();
            let did = match habit {
                2 if rush => 1,
                3 if night => 1,
                4 if yard.is_some() => u32::try_from(count).unwrap(),
                _ => 0,
            };
            *self.done.entry((habit, key, month)).or_default() += did;
            for n in 0..count {
                let minute = if rush {
                    // 400 in an hour and a quarter.
                    10 * 60 + n * 75 / count
                } else if night {
                    23 * 60 + n * 3
                } else if evening {
                    17 * 60 + 30
                } else {
                    8 * 60 + n * 9 * 60 / count
                };
                let truly = morning + minute * MINUTE + if evening { 0 } else { self.random.within(0, 50) };
                let occurred = truly + clock * MINUTE;
                let (mut diameter, mut length) = (
                    (self.random.normal(ticket.mean, 4.5) * 10.0).clamp(80.0, 600.0).round() as i64,
                    self.random.pick(&[300, 400, 400, 500, 600, 600, 650]),
                );
                diameter = (diameter + reads_to / 2) / reads_to * reads_to;
                if habit == 0 && self.random.chance(0.45) {
                    let round = if reads_to == 20 { 100 } else { 50 };
                    diameter = (diameter + round / 2) / round * round;
                }
                if habit == 1 && written.len() >= 24 && written.len() % 24 < 12 {
                    // Half of the month is the first dozen again.
                    (diameter, length) = written[written.len() % 24];
                }
                written.push((diameter, length));
                let online = (truly + lag).max(occurred) + 2 + n / 4;
                let received = if evening { once.max(occurred) } else { online };
                let spot = yard.unwrap_or(ticket.spot);
                let made = Marked { occurred, received, diameter, length, spot, key };
                let number = Self::seal(enterprises, at);
                let batch = enterprises[at].batch;
                timbers.push(self.harvest(at, enterprises, who, ticket, &made, number, batch));
            }
            self.written.insert((key, month), written);
        }
    }

    fn seal(enterprises: &mut [Enterprise], at: usize) -> String {
        let next = enterprises[at].stock.next().expect("enough seals");
        seal_text(next)
    }

    #[expect(clippy::too_many_arguments, reason = "a harvest has many parts")]
    fn harvest(
        &mut self,
        at: usize,
        enterprises: &[Enterprise],
        who: usize,
        ticket: &Ticket,
        made: &Marked,
        seal: String,
        batch: Uuid,
    ) -> Timber {
        let enterprise = &enterprises[at];
        let (by, device) = (enterprise.id, enterprise.persons[who].device.clone());
        let mut log = Timber {
            id: self.random.uuid(),
            enterprise: at,
            first: 0,
            at: made.occurred,
            received: made.received,
            species: ticket.species,
            length: made.length,
            diameter: made.diameter,
            volume: volume(made.diameter, made.length),
            seal,
            batch,
            spot: made.spot,
            removal: ticket.removal,
        };
        let public = format!(
            r#","species":"{}","length_m":"{}","top_diameter_cm":"{}","volume_m3":"{}","seal":"{}""#,
            log.species,
            decimal(log.length, 2),
            decimal(log.diameter, 1),
            decimal(log.volume, 4),
            log.seal
        );
        let business =
            format!(r#","ticket":{{"id":"{}","seq":1}},"device":{{"id":"{device}","seq":1}}"#, ticket.id);
        let lag = made.received - made.occurred;
        log.first =
            self.event(&log, "harvested", by, made.occurred, lag, Some(made.spot), (&public, &business));
        let event = &mut self.events[log.first];
        event.received = made.received;
        event.person = Some(made.key);
        event.batch = Some(batch);
        self.world.persons.insert(log.id, (made.key, month_of(made.occurred)));
        self.world.logs += 1;
        log
    }

    /// A correction of a log's measures by the enterprise, soon after.
    fn correct(&mut self, log: &mut Timber, by: Uuid, diameter: i64) {
        log.diameter = diameter;
        log.volume = volume(diameter, log.length);
        let public = format!(
            r#","top_diameter_cm":"{}","volume_m3":"{}""#,
            decimal(log.diameter, 1),
            decimal(log.volume, 4)
        );
        let at = log.received + self.random.within(HOUR, 40 * HOUR);
        let index = self.event(log, "corrected", by, at, 2, None, (&public, r#","reason":"A slip""#));
        self.events[index].corrects = Some(log.first);
    }

    fn corrections(&mut self, at: usize, enterprises: &[Enterprise], timbers: &mut [Timber]) {
        let by = enterprises[at].id;
        let mut months: BTreeMap<i64, (i64, i64, u32)> = BTreeMap::new();
        let gives_back = self.plan.dishonest && self.random.chance(0.12);
        for log in timbers {
            // A slip in typing: a neighbouring key. The log is as the correction says.
            if self.random.chance(0.006) {
                let right = (log.diameter + self.random.pick(&[-60, -40, -20, 20, 40, 60])).max(80);
                if self.random.chance(0.9) {
                    self.correct(log, by, right);
                } else {
                    log.diameter = right;
                }
            } else if gives_back && self.random.chance(0.06) {
                let old = log.volume;
                let smaller = log.diameter * 7 / 10;
                let mut copy = log.copy();
                // The log is thicker than its record from then on, which an inspector may see.
                self.world.also.insert(Label::Subject("L3", log.id));
                self.correct(&mut copy, by, smaller);
                let received = self.events.last().unwrap().received;
                let month = months.entry(month_of(received)).or_default();
                month.0 += old - copy.volume;
                month.2 += 1;
            }
            months.entry(month_of(log.received)).or_default().1 += log.volume;
        }
        let strong =
            months.values().any(|(back, harvested, count)| *count >= 15 && *back * 100 >= *harvested * 2);
        if strong {
            self.world.labels.insert(Label::Subject("L18-repeated", by));
        } else if gives_back {
            self.world.also.insert(Label::Subject("L18-repeated", by));
        }
    }

    /// Wood that is felled after the term of the ticket, or after it was cancelled: at least a day.
    fn outside_term(
        &mut self,
        at: usize,
        enterprises: &mut [Enterprise],
        ticket: &Ticket,
        cancelled: Option<i64>,
        timbers: &mut Vec<Timber>,
    ) {
        if !self.plan.dishonest || !(self.random.chance(0.2) || cancelled.is_some()) {
            return;
        }
        let who = 0;
        let key = enterprises[at].persons[who].key;
        for n in 0..self.random.within(3, 12) {
            let day = ticket.until + self.random.within(2, 9);
            let occurred = NEW_YEAR + day * DAY + 9 * HOUR + n * 5 * MINUTE;
            let received = occurred + self.random.within(2, 4 * HOUR);
            let diameter = (self.random.normal(ticket.mean, 4.5) * 10.0).max(80.0) as i64;
            let made = Marked { occurred, received, diameter, length: 400, spot: ticket.spot, key };
            let number = Self::seal(enterprises, at);
            let batch = enterprises[at].batch;
            let log = self.harvest(at, enterprises, who, ticket, &made, number, batch);
            self.world.labels.insert(Label::Subject("L10", log.id));
            timbers.push(log);
        }
    }

    /// Wood leaves the forest in loads of about 40 logs.
    fn loads(
        &mut self,
        at: usize,
        enterprises: &mut [Enterprise],
        mut timbers: Vec<Timber>,
        cancelled: Option<i64>,
    ) {
        timbers.sort_by_key(|log| log.at);
        let mut load = Vec::new();
        for log in timbers {
            load.push(log);
            if load.len() == 40 {
                let full = std::mem::take(&mut load);
                self.load(at, enterprises, full, cancelled);
            }
        }
        if !load.is_empty() {
            self.load(at, enterprises, load, cancelled);
        }
    }

    fn load(
        &mut self,
        at: usize,
        enterprises: &mut [Enterprise],
        mut load: Vec<Timber>,
        cancelled: Option<i64>,
    ) {
        let bad = self.plan.dishonest;
        let by = enterprises[at].id;
        let removal = load[0].removal;
        let ready = load.iter().map(|log| log.at.max(log.received)).max().unwrap();
        let last = NEW_YEAR + (removal + 1) * DAY;
        let mut when = ready + self.random.within(HOUR, 14 * DAY);
        // By day, and in the term.
        when =
            (when + 5 * HOUR).div_euclid(DAY) * DAY - 5 * HOUR + self.random.within(7 * 60, 15 * 60) * MINUTE;
        when = when.max(ready + HOUR);
        if when > last - 10 * HOUR {
            when = last - self.random.within(9, 20) * HOUR;
            if when < ready {
                // Left in the forest.
                return;
            }
        }
        if let Some(cancelled) = cancelled {
            if self.random.chance(0.5) {
                when = when.max(cancelled + self.random.within(8 * HOUR, 9 * DAY));
            } else if when > cancelled {
                return;
            }
        }
        if bad && self.random.chance(0.04) {
            // Removed after the term, by at least a whole day.
            when = last + DAY + self.random.within(0, 12 * DAY);
        }
        for log in &load {
            if when >= last + DAY {
                self.world.labels.insert(Label::Subject("L9", log.id));
            }
            if cancelled.is_some_and(|cancelled| when >= cancelled + 8 * HOUR) {
                self.world.labels.insert(Label::Subject("ticket-cancelled", log.id));
            }
        }
        self.lose_seals(enterprises, &mut load, when);
        let to = if self.random.chance(0.3) { enterprises[at].yard } else { None };
        let mill = self.random.next() as usize % self.mills.len();
        // The mills of one region lie behind each other.
        let near: Vec<usize> =
            (0..self.mills.len()).filter(|at| self.mills[*at].spot.region == load[0].spot.region).collect();
        let mill = if near.is_empty() { mill } else { near[mill % near.len()] };
        let (owner, place) = match to {
            Some(yard) => (by, yard),
            None => (self.mills[mill].id, self.mills[mill].spot),
        };
        let lag = self.late(0.05);
        let loaded: Vec<i64> = load.iter().map(|_| self.random.within(0, 40) * MINUTE).collect();
        let departs = when + HOUR;
        let kilometres = load.iter().map(|log| distance(log.spot, place)).fold(0.0, f64::max);
        let arrives = departs + (kilometres / self.random.between(35.0, 65.0) * 3_600.0) as i64 + 30 * MINUTE;
        let accepted_late = self.late(0.1);
        let sells = to.is_none();
        // Every second mill accepts by recording the receipt alone.
        let accepts = sells && mill % 2 == 0;
        // Patterns of single logs and of loads.
        let fake_trip = bad && self.random.chance(0.02);
        // The clock of the phone at the lorry may be wrong.
        let wrong = if self.random.chance(0.04) { self.random.within(-150, 150) * MINUTE } else { 0 };
        let lag = lag - wrong;
        for (log, minutes) in load.iter().zip(loaded) {
            self.event(log, "loaded", by, when + minutes + wrong, lag, Some(log.spot), ("", ""));
            self.event(log, "departed", by, departs + wrong, lag, Some(log.spot), ("", ""));
            if sells {
                self.event(
                    log,
                    "transferred",
                    by,
                    departs,
                    5,
                    None,
                    ("", &format!(r#","to":"{owner}","of":"both""#)),
                );
            }
            if fake_trip {
                // A trip on paper: at the far end of the country an hour later.
                let far = FAR[usize::from(log.spot.lat < 50.0)];
                self.event(log, "arrived", by, departs + HOUR, 30, Some(far), ("", ""));
                self.world.labels.insert(Label::Subject("impossible-journey", log.id));
                continue;
            }
            if self.random.chance(0.04) {
                self.inspection(log, by, departs + (arrives - departs) / 2, log.spot, place);
            }
            self.event(log, "arrived", by, arrives + wrong, lag, Some(place), ("", ""));
            if accepts {
                let accepted = arrives + 20 * MINUTE;
                self.event(log, "accepted", owner, accepted, accepted_late, None, ("", ""));
            }
            let received = arrives + self.random.within(25, 60) * MINUTE;
            let received_lag = self.late(0.03);
            self.event(log, "received", owner, received, received_lag, Some(place), ("", ""));
            self.end(log, owner, received, place);
        }
    }

    /// A seal falls off, is declared lost and replaced. Dishonest: a lost or stolen seal stays in use.
    fn lose_seals(&mut self, enterprises: &mut [Enterprise], load: &mut [Timber], when: i64) {
        let bad = self.plan.dishonest;
        for log in load {
            let by = enterprises[log.enterprise].id;
            let after = log.at.max(log.received) + HOUR;
            if after + 3 * HOUR > when {
                continue;
            }
            if self.random.chance(0.004) {
                let void = format!(r#","number":"{}","reason":"lost""#, log.seal);
                self.plain(log.batch, SubjectKind::SealBatch, "seals_voided", by, after, &void);
                let number = Self::seal(enterprises, log.enterprise);
                let put = format!(r#","seal":"{number}""#);
                let index =
                    self.event(log, "seal_replaced", by, after + HOUR, 20, Some(log.spot), (&put, ""));
                self.events[index].batch = Some(log.batch);
                log.seal = number;
            } else if bad && after + 22 * HOUR < when && self.random.chance(0.004) {
                // Declared lost or stolen, and an inspector finds it on a log days later.
                let reason = self.random.pick(&["lost", "stolen"]);
                let void = format!(r#","number":"{}","reason":"{reason}""#, log.seal);
                self.plain(log.batch, SubjectKind::SealBatch, "seals_voided", by, after, &void);
                let (spot, seen) = (log.spot, after + 20 * HOUR);
                self.event(
                    log,
                    "inspected",
                    self.inspector,
                    seen,
                    60,
                    Some(spot),
                    ("", r#","details":{"outcome":"match"}"#),
                );
                self.world.labels.insert(Label::Subject("L4", log.id));
            } else if bad && self.random.chance(0.001) {
                // The seal is one of another enterprise.
                let other = (log.enterprise + 1) % enterprises.len();
                let number = Self::seal(enterprises, other);
                let put = format!(r#","seal":"{number}""#);
                let index =
                    self.event(log, "seal_replaced", by, after + HOUR, 20, Some(log.spot), (&put, ""));
                self.events[index].batch = Some(enterprises[other].batch);
                log.seal = number;
                self.world.labels.insert(Label::Subject("L4", log.id));
            }
        }
    }

    /// An inspector on the road, half of the times with a tape.
    fn inspection(&mut self, log: &Timber, _by: Uuid, at: i64, from: Spot, to: Spot) {
        let middle = Spot {
            lat: f64::midpoint(from.lat, to.lat),
            lon: f64::midpoint(from.lon, to.lon),
            region: from.region,
        };
        let bad = self.plan.dishonest && self.random.chance(0.15);
        let measured = self.random.chance(0.5) || bad;
        let mut details = String::from(r#","details":{"outcome":"match""#);
        if measured {
            let (mut diameter, mut length) = (
                log.diameter + self.random.normal(0.0, 5.0).round() as i64,
                log.length + self.random.normal(0.0, 3.0).round() as i64,
            );
            let mut species = log.species;
            if bad {
                // Another log under the seal: at least 5 cm thicker, and another length or species.
                diameter += self.random.within(60, 140);
                if self.random.chance(0.6) {
                    length += 100;
                } else {
                    species = SPECIES[usize::from(species == SPECIES[0])];
                }
                self.world.labels.insert(Label::Subject("L3", log.id));
            }
            let _ = write!(
                details,
                r#","observed":{{"species":"{species}","length_m":"{}","top_diameter_cm":"{}"}}"#,
                decimal(length, 2),
                decimal(diameter.max(10), 1)
            );
        }
        details.push('}');
        let lag = self.random.within(2, 300);
        self.event(log, "inspected", self.inspector, at, lag, Some(middle), ("", &details));
    }

    /// The end of a log: sawn, sold, or still in the yard.
    fn end(&mut self, log: &Timber, owner: Uuid, received: i64, place: Spot) {
        let bad = self.plan.dishonest;
        let at = received + self.random.within(DAY, 30 * DAY);
        if bad && self.random.chance(0.002) {
            // A clone of the code is found far away, within the hour of a true sighting.
            let far = FAR[usize::from(place.lat < 50.0)];
            let seen = received + self.random.within(5, 50) * MINUTE;
            self.event(
                log,
                "inspected",
                self.inspector,
                seen,
                60,
                Some(far),
                ("", r#","details":{"outcome":"match"}"#),
            );
            self.world.labels.insert(Label::Subject("L5", log.id));
        }
        if bad && self.random.chance(0.003) {
            // Sold by an organisation that never had it.
            let thief = self.mills[(place.lat.to_bits() as usize) % self.mills.len()].id;
            if thief != owner {
                self.event(log, "sold", thief, at, 60, None, ("", ""));
                self.world.labels.insert(Label::Subject("L17", log.id));
                self.world.also.insert(Label::Subject("L17", thief));
                return;
            }
        }
        let lag = self.late(0.03);
        match self.random.within(0, 9) {
            0..=6 => {
                self.event(log, "processed", owner, at, lag, Some(place), ("", ""));
                if bad && self.random.chance(0.002) {
                    // Its seal bears another log, weeks after it was sawn.
                    let seen = at + self.random.within(5 * DAY, 60 * DAY);
                    let details = r#","details":{"outcome":"match"}"#;
                    self.event(log, "inspected", self.inspector, seen, 60, Some(place), ("", details));
                    self.world.labels.insert(Label::Subject("L5", log.id));
                }
            }
            7..=8 => {
                self.event(log, "sold", owner, at, lag, None, ("", ""));
            }
            _ => {}
        }
    }

    fn finish(mut self) -> World {
        let order = {
            let mut order: Vec<usize> = (0..self.events.len()).collect();
            order.sort_by_key(|at| (self.events[*at].received, *at));
            order
        };
        let mut seqs: BTreeMap<Uuid, u32> = BTreeMap::new();
        let mut seq_of = vec![0_u32; self.events.len()];
        for at in &order {
            let seq = seqs.entry(self.events[*at].subject).or_default();
            *seq += 1;
            seq_of[*at] = *seq;
        }
        for (index, at) in order.into_iter().enumerate() {
            let event = &mut self.events[at];
            let mut business = std::mem::take(&mut event.business);
            if let Some(target) = event.corrects {
                business.truncate(business.len() - 1);
                let _ = write!(business, r#","corrects":{{"seq":{}}}}}"#, seq_of[target]);
            }
            self.world.leaves.push(Leaf {
                index: index as u64,
                kind: event.kind,
                subject: event.subject,
                seq: seq_of[at],
                received_at: DateTime::<Utc>::from_timestamp(event.received, 0).unwrap(),
                organization: event.organization,
                public: std::mem::take(&mut event.public),
                business,
                person: event.person,
                batch: event.batch,
            });
        }
        self.strong_habits();
        self.world
    }

    /// Habits are labelled where they are strong enough: 150 logs of a month with round or copied measures;
    /// one day with 400 logs in 75 minutes; four nights; 20 logs at the yard.
    fn strong_habits(&mut self) {
        let mut logs: BTreeMap<(PersonKey, i64), u32> = BTreeMap::new();
        for marked in self.world.persons.values() {
            *logs.entry(*marked).or_default() += 1;
        }
        for ((habit, key, month), done) in &self.done {
            let logs = logs.get(&(*key, *month)).copied().unwrap_or(0);
            let (rule, strong) = match habit {
                0 | 1 => ("L15", logs >= 150),
                2 => ("L16", *done >= 1),
                3 => ("L16", *done >= 4),
                4 => ("L16", *done >= 20),
                _ => continue,
            };
            let label = Label::Person(rule, *key, *month);
            if strong {
                self.world.labels.insert(label);
            } else {
                self.world.also.insert(label);
            }
        }
    }
}

struct Marked {
    occurred: i64,
    received: i64,
    diameter: i64,
    length: i64,
    spot: Spot,
    key: PersonKey,
}

impl Timber {
    fn copy(&self) -> Self {
        Self { seal: self.seal.clone(), ..*self }
    }
}

fn distance(one: Spot, other: Spot) -> f64 {
    let east = (one.lon - other.lon) * 111.2 * one.lat.to_radians().cos();
    ((one.lat - other.lat) * 111.2).hypot(east)
}
