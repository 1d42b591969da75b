//! The events of a log in plain words: what happened, when, where, and who recorded it. They are read from the JSON of the
//! API's history, so a page never shows more of an event than that does.

use super::words::{amount_of, decimal_of, instant_of, species_of, when, word_of};
use crate::base::geo::Position;
use crate::base::i18n::Lang;
use crate::base::i18n::text::{say, say_with, say_word};
use crate::base::region::Region;
use chrono::{DateTime, TimeDelta, Utc};
use rust_decimal::Decimal;
use rust_decimal::prelude::FromPrimitive;
use serde_json::Value;

/// An event that was received this long after it happened says so.
const LATE: TimeDelta = TimeDelta::hours(24);

/// One event.
pub(super) struct Happening {
    pub(super) seq: u64,
    pub(super) title: String,
    /// When it happened; `None` if the reader may not see it.
    pub(super) when: Option<String>,
    /// When it was recorded, if that was much later.
    pub(super) recorded: Option<String>,
    pub(super) place: Option<String>,
    pub(super) by: Option<String>,
    /// Further facts.
    pub(super) facts: Vec<(String, String)>,
    /// Beginning of its hash.
    pub(super) hash: String,
    at: Option<DateTime<Utc>>,
    position: Option<Position>,
    kind: String,
    /// What an inspector saw.
    observed: Option<Observed>,
}

/// What an inspection saw.
#[derive(Clone)]
pub(super) struct Observed {
    pub(super) when: String,
    pub(super) outcome: String,
    pub(super) species: Option<String>,
    pub(super) length: Option<String>,
    pub(super) diameter: Option<String>,
}

/// A place on the way of a log, with the distance from the one before.
pub(super) struct Stop {
    pub(super) seq: u64,
    pub(super) title: String,
    pub(super) when: String,
    pub(super) place: String,
    pub(super) position: String,
    pub(super) distance: Option<String>,
}

impl Happening {
    /// The event in the JSON of a history.
    pub(super) fn of(event: &Value, lang: Lang) -> Self {
        let kind = event["type"].as_str().unwrap_or("other").to_owned();
        let (at, received) = (instant_of(&event["occurred_at"]), instant_of(&event["received_at"]));
        let late =
            at.zip(received).filter(|(at, received)| *received - *at > LATE).map(|(_, received)| received);
        let details = &event["details"];
        let observed = (kind == "inspected").then(|| Observed {
            when: at.map(|at| when(lang, at)).unwrap_or_default(),
            outcome: word_of("inspection", &details["outcome"], lang).unwrap_or_default(),
            species: species_of(&details["observed"]["species"], lang),
            length: amount_of(lang, "metres", &details["observed"]["length_m"]),
            diameter: amount_of(lang, "centimetres", &details["observed"]["top_diameter_cm"]),
        });
        Self {
            seq: event["seq"].as_u64().unwrap_or_default(),
            // An event of which the reader may see only the hash has no type.
            title: if event["type"].is_null() {
                say(lang, "desk-event-closed")
            } else {
                say_word(lang, "event", &kind)
            },
            when: at.map(|at| when(lang, at)),
            recorded: late.map(|received| {
                say_with(lang, "desk-recorded-late", &[("when", when(lang, received).into())])
            }),
            place: place(event, lang),
            by: event["organization"].is_object().then(|| name(&event["organization"], lang)),
            facts: facts(event, &kind, lang),
            hash: event["hash"].as_str().unwrap_or_default().chars().take(16).collect(),
            at,
            position: position(&event["position"]),
            kind,
            observed,
        }
    }

    pub(super) fn observed(&self) -> Option<&Observed> {
        self.observed.as_ref()
    }

    /// The tone of its mark: an inspector's events and stops stand out.
    pub(super) fn tone(&self) -> &'static str {
        match self.kind.as_str() {
            "detained" | "seized" | "confiscated" | "lost" | "destroyed" | "seal_voided" => "stop",
            "inspected" | "released" | "corrected" => "look",
            _ => "step",
        }
    }
}

/// The events with a position, in the order in which they happened.
pub(super) fn path(events: &[Happening], lang: Lang) -> Vec<Stop> {
    let mut located: Vec<(&Happening, Position, DateTime<Utc>)> =
        events.iter().filter_map(|event| Some((event, event.position?, event.at?))).collect();
    located.sort_by_key(|(event, _, at)| (*at, event.seq));
    let mut before: Option<Position> = None;
    let stops = located.into_iter().map(|(event, position, at)| {
        let from = before.replace(position);
        Stop {
            seq: event.seq,
            title: event.title.clone(),
            when: when(lang, at),
            place: event.place.clone().unwrap_or_else(|| "–".to_owned()),
            position: coordinates(position),
            distance: from.and_then(|from| kilometres(from.distance_m(position), lang)),
        }
    });
    stops.collect()
}

/// The straight distance in kilometres, to a tenth.
fn kilometres(metres: f64, lang: Lang) -> Option<String> {
    let kilometres = Decimal::from_f64(metres / 1_000.0)?.round_dp(1);
    Some(say_with(lang, "desk-kilometres", &[("value", lang.decimal(kilometres).into())]))
}

/// Latitude and longitude with five decimals: to a metre.
fn coordinates(position: Position) -> String {
    let short = |value: Decimal| format!("{:.5}", value.round_dp(5));
    format!("{}, {}", short(position.lat().decimal()), short(position.lon().decimal()))
}

fn position(value: &Value) -> Option<Position> {
    let accuracy = decimal_of(&value["accuracy_m"]);
    Position::from_decimals(decimal_of(&value["lat"])?, decimal_of(&value["lon"])?, accuracy).ok()
}

/// The place, by its name, kind and region.
fn place(event: &Value, lang: Lang) -> Option<String> {
    let place = &event["place"];
    let kind = word_of("place", &place["kind"], lang);
    // The region is repeated in the details, for buyers.
    let region = [&place["region"], &event["details"]["region"]].into_iter().find_map(Value::as_str);
    let region = region
        .and_then(|code| Region::parse(code).ok())
        .map(|region| super::words::region_word(region, lang));
    let name = place["name"].as_str().map(str::to_owned);
    let parts: Vec<String> = [name, kind, region].into_iter().flatten().collect();
    (!parts.is_empty()).then(|| parts.join(", "))
}

/// The name of an organisation in a JSON value.
fn name(party: &Value, lang: Lang) -> String {
    party["name"].as_str().map_or_else(|| say(lang, "desk-nameless"), str::to_owned)
}

/// The further facts of an event, each with its label.
fn facts(event: &Value, kind: &str, lang: Lang) -> Vec<(String, String)> {
    let details = &event["details"];
    let text = |value: &Value| value.as_str().map(str::to_owned);
    let party = |value: &Value| value.is_object().then(|| name(value, lang));
    let yes = |value: &Value| (value == &Value::Bool(true)).then(|| say(lang, "desk-yes"));
    let seq = &details["corrects"]["seq"];
    let position = position(&event["position"]).map(|position| match position.accuracy() {
        Some(accuracy) => {
            let metres = lang.decimal(accuracy.decimal());
            format!("{} (± {})", coordinates(position), say_with(lang, "metres", &[("value", metres.into())]))
        }
        None => coordinates(position),
    });
    let reason = text(&details["reason"]).map(|reason| reason_word(&reason, lang));
    let facts = [
        ("desk-fact-outcome", word_of("inspection", &details["outcome"], lang)),
        ("desk-fact-seen-species", species_of(&details["observed"]["species"], lang)),
        ("desk-fact-seen-length", amount_of(lang, "metres", &details["observed"]["length_m"])),
        ("desk-fact-seen-diameter", amount_of(lang, "centimetres", &details["observed"]["top_diameter_cm"])),
        ("desk-fact-reason", reason),
        ("desk-fact-act", document(&details["act"], "date", None, lang)),
        (
            "desk-fact-document",
            document(
                &event["document"],
                "issued_on",
                word_of("document", &event["document"]["kind"], lang),
                lang,
            ),
        ),
        ("desk-fact-to", party(&details["to"])),
        ("desk-fact-of", word_of("transfer", &details["of"], lang)),
        ("desk-fact-carrier", party(&details["carrier"])),
        ("desk-vehicle", text(&details["vehicle"])),
        ("desk-fact-custodian", party(&details["custodian"])),
        ("desk-fact-country", text(&details["country"])),
        ("desk-fact-hs", text(&details["hs"])),
        (
            "desk-fact-permit",
            document(&details["permit"], "issued_on", text(&details["permit"]["issuer"]), lang),
        ),
        ("desk-fact-buyer", word_of("buyer", &details["buyer"]["kind"], lang)),
        ("seal", text(&details["seal"])),
        ("species", species_of(&details["species"], lang)),
        ("length", amount_of(lang, "metres", &details["length_m"])),
        ("diameter", amount_of(lang, "centimetres", &details["top_diameter_cm"])),
        ("volume", amount_of(lang, "cubic-metres", &details["volume_m3"])),
        ("desk-fact-method", word_of("method", &details["method"], lang)),
        ("desk-fact-corrects", seq.as_u64().map(|seq| format!("№ {seq}"))),
        ("desk-fact-reverse", yes(&details["reverse"])),
        ("desk-fact-annul", yes(&details["annul"])),
        ("desk-fact-out-of-order", yes(&details["out_of_order"])),
        ("desk-fact-person", person(event, kind)),
        ("desk-fact-note", text(&details["note"])),
        ("desk-fact-position", position),
    ];
    facts.into_iter().filter_map(|(key, value)| Some((say(lang, key), value?))).collect()
}

/// A document: its kind, its number, its day.
fn document(of: &Value, day: &str, kind: Option<String>, lang: Lang) -> Option<String> {
    let number = of["number"].as_str()?;
    let day = of[day].as_str().and_then(|day| day.parse().ok()).map(|day| lang.date(day));
    let parts: Vec<String> = [kind, Some(format!("№ {number}")), day].into_iter().flatten().collect();
    Some(parts.join(", "))
}

/// The person whom a personal part names, if it is disclosed.
fn person(event: &Value, kind: &str) -> Option<String> {
    let personal: Value = serde_json::from_str(event["parts"]["personal"]["text"].as_str()?).ok()?;
    let name = personal["name"].as_str().or_else(|| personal["responsible_person"]["name"].as_str())?;
    let post = personal["post"].as_str().filter(|_| kind != "harvested");
    Some(post.map_or_else(|| name.to_owned(), |post| format!("{name}, {post}")))
}

/// The reason of a hold: of one that the server has appended it is the outcome of the inspection or the reason of a void,
/// else the inspector's own words.
pub(super) fn reason_word(reason: &str, lang: Lang) -> String {
    use crate::base::i18n::text::try_say_with;
    let known = ["inspection", "event", "void"];
    let word = known.iter().find_map(|family| try_say_with(lang, &format!("{family}-{reason}"), &[]));
    word.unwrap_or_else(|| reason.to_owned())
}
