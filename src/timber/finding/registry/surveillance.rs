//! The notes of the rules of surveillance.

use super::{LENGTH_CM, Notes, notes};
use crate::timber::parameter::name::ParameterName as Name;

const CASE_DAY: (&str, &str) = ("day", "the day in Kazakhstan");
const CHECKS: (&str, &str) = ("checks", "number of checks by buyers on that day");
const BLOCKS: (&str, &str) = ("blocks", "number of blocks of addresses from which they came");
const SEAL: (&str, &str) = ("seal", "number of the seal");
const EVENT: (&str, &str) = ("event", "type of the event");
const FIRST: (&str, &str) = ("first", "seq of the first event");
const SECOND: (&str, &str) = ("second", "seq of the second event");
const KM: (&str, &str) = ("distance_km", "distance between them at least, in km");
const HOURS: (&str, &str) = ("hours", "claimed time between them, in h");
const KMH: (&str, &str) = ("limit_kmh", "the fastest that a lorry travels, in km/h");
const LOGS: (&str, &str) = ("logs", "number of logs");
const REMOVED: (&str, &str) = ("removed_on", "day on which the wood left the forest");

/// The notes of the rules of surveillance.
pub(super) static SURVEILLANCE: &[Notes] = &[
    notes(
        "L3",
        &[
            ("case", "`species`, `measures` or `both`"),
            ("species", "recorded species"),
            ("seen_species", "species that the inspector saw"),
            LENGTH_CM,
            ("seen_length_cm", "length that the inspector measured, in cm"),
            ("diameter_mm", "recorded top diameter, in mm"),
            ("seen_diameter_mm", "top diameter that the inspector measured, in mm"),
        ],
        "Logs that no inspector has measured, and another log of nearly the same size.",
    )
    .judged_by(&[Name::SeenAgainDiameterCm, Name::SeenAgainLengthM]),
    notes(
        "L4",
        &[
            (
                "case",
                "`annulled`: used although its entry is annulled; `void`: put on when void; `seen`: found on a log when void; `twice`: on two logs; `stock`: of another's stock; `checked`: checked by buyers when void",
            ),
            SEAL,
            EVENT,
            ("reason", "why the seal is void"),
            CASE_DAY,
            CHECKS,
            BLOCKS,
        ],
        "A false seal whose true one is not in use yet, and a void seal that nobody checks.",
    )
    .judged_by(&[Name::ClockDriftMinutes, Name::ClockConfirmedMinutes, Name::ChecksClosed]),
    notes(
        "L5",
        &[
            (
                "case",
                "`far`: two sightings too far apart; `closed`: inspected when used up; `checked`: checked by buyers when used up; `burst`: many checks",
            ),
            FIRST,
            SECOND,
            KM,
            HOURS,
            KMH,
            EVENT,
            ("days", "days after which the code was inspected"),
            SEAL,
            CASE_DAY,
            CHECKS,
            BLOCKS,
        ],
        "A clone that is used near its original, and codes that nobody checks.",
    )
    .judged_by(&[
        Name::JourneyKmh,
        Name::JourneySlackKm,
        Name::JourneyRegionKm,
        Name::ClosedSeenHours,
        Name::ChecksClosed,
        Name::ChecksBurst,
        Name::ChecksBlocks,
    ]),
    notes(
        "L9",
        &[
            ("case", "`removed`: left the forest too late; `left`: still there when the term ended"),
            ("removal_until", "last day of removal"),
            REMOVED,
            LOGS,
        ],
        "Wood whose loading is back-dated, and yards less than a kilometre from the plot.",
    )
    .judged_by(&[Name::RemovalSeriousDays, Name::ClockDriftMinutes]),
    notes(
        "L10",
        &[
            ("case", "`cancelled`: after the ticket was cancelled; `before`, `after`: outside its term"),
            ("felled_on", "day of felling"),
            ("felling_from", "first day of the ticket's term"),
            ("felling_until", "last day of the ticket's term"),
        ],
        "Wood whose felling is back-dated into the term.",
    )
    .judged_by(&[Name::RemovalSeriousDays, Name::ClockDriftMinutes]),
    notes(
        "ticket-cancelled",
        &[REMOVED, ("cancelled_on", "day on which the ticket was cancelled")],
        "Wood whose loading is back-dated before the cancellation.",
    )
    .judged_by(&[Name::ClockDriftMinutes]),
    notes(
        "impossible-journey",
        &[("case", "`far`"), FIRST, SECOND, KM, HOURS, KMH],
        "Events without a position between neighbouring regions, and events of which only the day is known.",
    )
    .judged_by(&[Name::JourneyKmh, Name::JourneySlackKm, Name::JourneyRegionKm, Name::ClockDriftMinutes]),
    notes(
        "L15",
        &[
            ("case", "`digits`: round diameters; `series`: five logs in a row repeat"),
            LOGS,
            ("excess_percent", "share of logs with a round diameter above that of the diameters beside it"),
            ("repeats", "number of repeated series"),
            ("share_percent", "share of logs that end a repeated series"),
        ],
        "Persons with few logs a month, and made-up measures that follow no pattern.",
    )
    .judged_by(&[Name::DigitsMinLogs, Name::DigitsExcess, Name::RepeatsShare]),
    notes(
        "L16",
        &[
            ("case", "`rate`: too many an hour; `night`: at night; `yard`: at a yard"),
            CASE_DAY,
            ("logs_an_hour", "logs marked in the fastest hour"),
            ("nights", "nights of marking in the month"),
            LOGS,
        ],
        "Logs of which the times are made up, and yards where no wood was taken over before.",
    )
    .judged_by(&[
        Name::SealsPerHour,
        Name::NightSeals,
        Name::NightsAMonth,
        Name::YardMetres,
        Name::YardSeals,
    ]),
    notes(
        "L17",
        &[
            ("case", "`log`: a log that it did not have; `stock`: more of a species than it had"),
            EVENT,
            ("owner", "id of the owner at that time"),
            ("holder", "id of the holder at that time"),
            ("species", "species"),
            ("balance_m3", "the stock, in m³"),
        ],
        "Wood that is sold without any record.",
    )
    .judged_by(&[Name::StockBelowM3, Name::StockGraceHours]),
    notes(
        "L18-repeated",
        &[
            ("corrections", "corrections of the month that gave volume back"),
            ("given_back_m3", "volume that they gave back, in m³"),
            ("raised_m3", "volume that other corrections added, in m³"),
            ("harvested_m3", "volume harvested in the month, in m³"),
        ],
        "A few large corrections, which rules on single records see.",
    )
    .judged_by(&[Name::GivenBackCount, Name::GivenBackShare]),
    notes(
        "hold-overdue",
        &[("until", "when the hold ended")],
        "Holds that are extended again and again.",
    )
    .judged_by(&[Name::TicketHoldDays]),
];
