//! The life of the measured logs: ten events each, from felling to a sawmill's yard, in the structs that
//! the server hashes.

use chrono::{DateTime, TimeDelta, Utc};
use ormantrace::base::ids::{KeyId, LineId, LogId, OperationId, OrganizationId, TicketId};
use ormantrace::base::region::Region;
use ormantrace::base::units::{Diameter, Length, Moment, Volume};
use ormantrace::evidence::chain::bytes::Hash;
use ormantrace::timber::custody::content::{Content, DetailsPart, LogBusiness, LogPublic, TicketHead};
use ormantrace::timber::event::parts::{DocumentPart, LocalTime, PlacePart, TicketName};
use ormantrace::timber::event::types::LogEventType;
use ormantrace::timber::event::vocabulary::{DocumentKind, Outcome, PlaceKind, TransferOf};
use ormantrace::timber::seal::{Identification, SealNumber};
use ormantrace::timber::wood::species::{Assortment, Grade, LogKind, MeasurementMethod, Species, Wood};
use ormantrace::timber::wood::volume_table::gost_volume;
use uuid::Uuid;

/// Events of one log.
pub const EVENTS: u32 = 10;
/// Logs of one harvest; each harvest has one responsible person.
pub const HARVEST: u64 = 500;
/// Logs that are loaded, transported and recorded in one request.
pub const TRUCK: u64 = 20;
/// Logs felled under one ticket.
pub const TICKET: u64 = 10_000;
/// Kazakhstan's offset from UTC, in minutes.
const OFFSET: i16 = 300;
/// The first seal's number; nine digits, so that a client may write it without padding.
pub const FIRST_SEAL: u64 = 100_000_001;
/// Added to a log's index to make the last twelve digits of its id.
pub const FIRST_ID: u64 = 100_000_000_000;
/// The beginning of each log's id: a UUID of version 7, with a time in August 2025.
pub const ID_PREFIX: &str = "01990000-0000-7000-8000-";

const LENGTHS: [&str; 4] = ["4", "6", "5.5", "6.5"];
const DIAMETERS: [&str; 11] = ["22", "18", "26", "20", "30", "24", "16", "28", "20", "34", "24"];
const SPECIES: [&str; 4] = ["pinus_sylvestris", "betula_pendula", "populus_tremula", "pinus_sylvestris"];

/// An organisation and its key.
#[derive(Clone, Debug)]
pub struct Party {
    /// The organisation.
    pub id: OrganizationId,
    /// Its business identification number.
    pub bin: String,
    /// Its key.
    pub key: KeyId,
    /// That key's token.
    pub token: String,
}

/// A felling ticket with a single line.
#[derive(Clone, Debug)]
pub struct Ticket {
    /// The ticket.
    pub id: TicketId,
    /// The line.
    pub line: LineId,
    /// Its number; the series is [`SERIES`].
    pub number: String,
    /// Newest event of its chain.
    pub head_seq: u32,
    /// That event's hash.
    pub head_hash: Hash,
}

/// Series of all tickets.
pub const SERIES: &str = "АБ";
/// Region of all tickets.
pub const REGION: &str = "KZ-10";
/// Forestry of all tickets.
pub const FORESTRY: &str = "Бородулиха орманшылығы";

/// All organisations in the life of a log.
#[derive(Clone, Debug)]
pub struct Parties {
    /// The harvesters; a log's harvester is the holder of its ticket.
    pub harvesters: Vec<Party>,
    /// The receivers; each truck goes to one of them.
    pub sawmills: Vec<Party>,
    /// The carrier.
    pub carrier: Party,
    /// The inspector.
    pub inspector: Party,
    /// The tokens of the inspectorates that read, beginning with that of [`Self::inspector`]. One organisation
    /// has at most half of the server's places, so with a single one, the benchmark would measure this limit.
    pub inspectorates: Vec<String>,
    /// The issuer of tickets.
    pub forest_owner: Party,
    /// One for every [`TICKET`] logs.
    pub tickets: Vec<Ticket>,
}

/// Id of the `log`th log.
#[must_use]
pub fn log_id(log: u64) -> LogId {
    LogId(Uuid::parse_str(&format!("{ID_PREFIX}{}", FIRST_ID + log)).expect("an id of 36 characters"))
}

/// Number of the `log`th seal.
#[must_use]
pub fn seal_number(log: u64) -> String {
    format!("KZ{}", FIRST_SEAL + log)
}

/// Species code of the `ticket`th ticket's line.
#[must_use]
pub fn species(ticket: usize) -> &'static str {
    SPECIES[ticket % SPECIES.len()]
}

/// Length and top diameter of a log, in metres and centimetres, as written in a request.
#[must_use]
pub fn measures(log: u64) -> (&'static str, &'static str) {
    let at = |count: usize| usize::try_from(log % count as u64).unwrap_or_default();
    (LENGTHS[at(LENGTHS.len())], DIAMETERS[at(DIAMETERS.len())])
}

/// Declared volume of a log, in cubic metres, as the standard's table gives it.
#[must_use]
pub fn volume(log: u64) -> Volume {
    let (length, diameter) = measures(log);
    let table = Diameter::parse(diameter).ok().zip(Length::parse(length).ok());
    table
        .and_then(|(diameter, length)| gost_volume(diameter, length))
        .expect("every log is in the table")
        .volume
}

impl Parties {
    /// The ticket of a log.
    #[must_use]
    pub fn ticket(&self, log: u64) -> &Ticket {
        &self.tickets[Self::ticket_index(log)]
    }

    /// Index of a log's ticket.
    #[must_use]
    pub fn ticket_index(log: u64) -> usize {
        usize::try_from(log / TICKET).unwrap_or(usize::MAX)
    }

    /// The harvester of a log: the holder of its ticket.
    #[must_use]
    pub fn harvester(&self, log: u64) -> &Party {
        self.holder_of(Self::ticket_index(log))
    }

    /// The holder of the `ticket`th ticket.
    #[must_use]
    pub fn holder_of(&self, ticket: usize) -> &Party {
        &self.harvesters[ticket % self.harvesters.len()]
    }

    /// The holder of a log after its ten events.
    #[must_use]
    pub fn sawmill(&self, log: u64) -> &Party {
        &self.sawmills[usize::try_from(log / TRUCK).unwrap_or_default() % self.sawmills.len()]
    }

    /// The recorder of the `seq`th event of a log.
    #[must_use]
    pub fn recorder(&self, log: u64, seq: u32) -> &Party {
        match seq {
            1 | 2 | 4 | 5 => self.harvester(log),
            6 | 7 => &self.carrier,
            8 | 9 => self.sawmill(log),
            _ => &self.inspector,
        }
    }

    /// The content of the `seq`th event of a log, recorded at `received_at` under `operation`.
    /// `identification` is that of the log's seal.
    #[must_use]
    pub fn content(
        &self,
        log: u64,
        seq: u32,
        received_at: DateTime<Utc>,
        operation: Uuid,
        identification: &str,
    ) -> Content {
        let told =
            Moment::new(received_at - TimeDelta::minutes(10), OFFSET).expect("an offset of five hours");
        let recorder = self.recorder(log, seq);
        let mut public =
            LogPublic::bare(event_type(seq), LogKind::Log, told.day().day(), Region::parse(REGION).ok());
        let mut business = LogBusiness::bare(
            log_id(log),
            LocalTime::of(told),
            recorder.id,
            recorder.key,
            OperationId(operation),
        );
        match seq {
            1 => self.harvested(log, identification, &mut public, &mut business),
            2 => business.place = Some(place("Нижний склад, с. Бородулиха", PlaceKind::Storage)),
            3 | 10 => {
                business.details = Some(DetailsPart {
                    outcome: Some(Outcome::Match),
                    note: Some("Таңба анық, өлшемі сәйкес".to_owned()),
                    ..DetailsPart::default()
                });
            }
            4 => {
                business.to = Some(self.sawmill(log).id);
                business.of = Some(TransferOf::Both);
                business.document = Some(DocumentPart {
                    kind: DocumentKind::Invoice,
                    number: format!("{:08}", log / TRUCK),
                    issued_on: Some(told.day().day()),
                });
            }
            5 => {
                business.carrier = Some(self.carrier.id);
                business.vehicle = Some(format!("{:03} ABE 16", log / TRUCK % 1_000));
            }
            8 => business.place = Some(place("Семей, ағаш кесу зауыты", PlaceKind::Sawmill)),
            9 => business.place = Some(place("Семей, дайын өнім алаңы", PlaceKind::Storage)),
            _ => {
                public.region = None;
                business.vehicle = None;
            }
        }
        Content { seq, public, business }
    }

    fn harvested(&self, log: u64, identification: &str, public: &mut LogPublic, business: &mut LogBusiness) {
        let ticket = self.ticket(log);
        let (length, diameter) = measures(log);
        let volume = volume(log);
        public.forestry = Some(FORESTRY.to_owned());
        public.ticket = Some(TicketName { number: ticket.number.clone(), series: SERIES.to_owned() });
        public.species = Species::parse(species(Self::ticket_index(log))).ok();
        public.length_m = Length::parse(length).ok();
        public.top_diameter_cm = Diameter::parse(diameter).ok();
        public.volume_m3 = Some(volume);
        public.seal = Some(SealNumber::parse(&seal_number(log)).expect("a seal number"));
        public.identification = Some(Identification::parse(identification).expect("an identification"));
        business.wood = Some(Wood::Commercial);
        business.assortment = Some(Assortment::SawLog);
        business.grade = Grade::new(2).ok();
        business.method = Some(MeasurementMethod::Gost2708_75);
        business.table_volume_m3 = Some(volume);
        business.table = Some(ormantrace::timber::wood::volume_table::VERSION.to_owned());
        business.ticket = Some(TicketHead { id: ticket.id, seq: ticket.head_seq, hash: ticket.head_hash });
        business.line = Some(ticket.line);
    }
}

/// The type of the `seq`th event.
#[must_use]
pub fn event_type(seq: u32) -> LogEventType {
    match seq {
        1 => LogEventType::Harvested,
        2 | 9 => LogEventType::Stored,
        4 => LogEventType::Transferred,
        5 => LogEventType::Loaded,
        6 => LogEventType::Departed,
        7 => LogEventType::Arrived,
        8 => LogEventType::Received,
        _ => LogEventType::Inspected,
    }
}

fn place(name: &str, kind: PlaceKind) -> PlacePart {
    PlacePart { name: name.to_owned(), region: Region::parse(REGION).ok(), kind: Some(kind) }
}
