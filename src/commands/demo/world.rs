//! Creates the organisations, seals, tickets and harvests, and then the histories of the logs.

use super::script::Script;
use super::timber::{number, saw_log, seal, stack, sum};
use super::{Failure, histories};
use crate::base::error::Error;
use crate::base::ids::OrganizationId;
use crate::base::units::Volume;
use crate::commands::demo_keys::Participant;
use crate::timber::seal::signing::Mint;
use rust_decimal::{Decimal, RoundingStrategy};
use serde_json::{Value, json};
use std::num::NonZeroUsize;
use std::ops::RangeInclusive;

/// Pine logs of the first harvest.
pub const PINE: RangeInclusive<u32> = 1..=150;
/// Birch logs of the first harvest. Their volume exceeds the permitted volume of their ticket line, within
/// the tolerance.
pub const BIRCH: RangeInclusive<u32> = 151..=180;
/// Stacks of firewood.
pub const STACKS: RangeInclusive<u32> = 181..=185;
/// Seals that the harvester uses for none of its harvests. The first two replace other seals later; the last
/// one is voided in the last step.
pub const SPARE: RangeInclusive<u32> = 186..=200;
/// Aspen logs of the trader.
pub const ASPEN: RangeInclusive<u32> = 201..=280;
/// Sanitary fellings of the forest owner: pines.
pub const SANITARY: RangeInclusive<u32> = 301..=328;
/// Spruces of the same ticket, which were felled while the felling of spruce was banned.
pub const IN_BAN: RangeInclusive<u32> = 329..=330;
/// The seals that each of these participants gets.
const ALLOTTED: [(Participant, RangeInclusive<u32>); 3] = [
    (Participant::Harvester, 1..=200),
    (Participant::Trader, 201..=300),
    (Participant::ForestOwner, 301..=340),
];
/// Secret from which the serials of the marking codes are derived. It is fixed, so that the demonstration has
/// the same serials in every database; the signatures of the codes differ.
const MINT: [u8; 32] = *b"ormantrace demonstration serials";

/// Whether the last step was done. Then all steps were done, because they run in order.
pub async fn is_complete(script: &Script) -> Result<bool, Failure> {
    let last = seal(*SPARE.end());
    let (status, seal) = script.get(Participant::Operator, &format!("/v1/seals/{last}")).await?;
    Ok(status == 200 && seal["status"] == "void")
}

/// Runs all steps.
pub async fn make(script: &mut Script) -> Result<(), Failure> {
    organizations(script).await?;
    seals(script).await?;
    cuts(script).await?;
    let tickets = tickets(script).await?;
    ban(script).await?;
    harvests(script, &tickets).await?;
    histories::make(script).await?;
    let path = format!("/v1/seals/{}/void", seal(*SPARE.end()));
    let body = json!({ "reason": "spoiled", "note": "Қағу кезінде сынды" });
    script.post("void a spoiled seal", Participant::Harvester, &path, body).await.map(drop)
}

async fn organizations(script: &mut Script) -> Result<(), Failure> {
    for participant in
        Participant::ALL.into_iter().filter(|participant| *participant != Participant::Operator)
    {
        let body =
            json!({ "bin": participant.bin(), "name": participant.name(), "roles": participant.roles() });
        let made =
            script.post("register an organisation", Participant::Operator, "/v1/organizations", body).await?;
        let id: OrganizationId = id_of(&made)?.parse().map_err(|_| no_id(&made))?;
        script.give_key(participant, id).await?;
    }
    Ok(())
}

async fn seals(script: &mut Script) -> Result<(), Failure> {
    let mint = Mint::with_secret(script.app.gtin, MINT);
    for (participant, numbers) in ALLOTTED {
        let range = *numbers.start()..numbers.end() + 1;
        let codes = mint.batch(&script.app.signing_key, range, NonZeroUsize::MIN);
        let seals: Vec<Value> = numbers
            .zip(codes)
            .map(|(n, code)| json!({ "number": seal(n), "marking_code": code.as_str() }))
            .collect();
        let body = json!({ "holder_bin": participant.bin(), "seals": seals });
        script.post("register seals", Participant::Operator, "/v1/seals", body).await?;
    }
    let body = json!({ "holder_bin": Participant::Sawmill.bin(), "quantity": 50 });
    script.post("make a batch of seals", Participant::Operator, "/v1/seal-batches", body).await?;
    let body = json!({ "first": seal(191), "last": seal(194), "to_bin": Participant::Trader.bin() });
    script.post("hand seals on", Participant::Harvester, "/v1/seals/transfer", body).await?;
    Ok(())
}

/// What the forest owner may have felled in each year of its tickets' terms.
async fn cuts(script: &mut Script) -> Result<(), Failure> {
    let year = |days| script.date(days).chars().take(4).collect::<String>();
    let mut years = vec![year(-45), year(120)];
    years.dedup();
    for year in years {
        let body = json!({
            "forest_owner_bin": Participant::ForestOwner.bin(), "year": number(&year), "volume_m3": 600,
            "document": { "kind": "other", "number": "18-02/7" }
        });
        script.post("set an allowable cut", Participant::Operator, "/v1/allowable-cuts", body).await?;
    }
    Ok(())
}

/// A ban of a few days, recorded after the tickets were issued.
async fn ban(script: &mut Script) -> Result<(), Failure> {
    let body = json!({
        "kind": "felling", "region": "KZ-10", "species": "picea_obovata",
        "from": script.date(-12), "until": script.date(-7),
        "document": { "kind": "other", "number": "18-02/9", "issued_on": script.date(-13) }
    });
    script.post("ban felling", Participant::Operator, "/v1/bans", body).await.map(drop)
}

/// Ids of the tickets with harvests.
struct Tickets {
    harvester: String,
    trader: String,
    owner: String,
}

async fn tickets(script: &mut Script) -> Result<Tickets, Failure> {
    let line = |species: &str, wood: &str, volume_m3: Value| json!({ "species": species, "wood": wood, "volume_m3": volume_m3 });
    let pine = line("pinus_sylvestris", "commercial", share_of(PINE, "1.3"));
    // The permitted volume is 97 % of the harvested volume, so the marked volume is 3 % above it: a usual
    // error of estimation, which the tolerance covers.
    let birch = line("betula_pendula", "commercial", share_of(BIRCH, "0.97"));
    let firewood = line("betula_pendula", "firewood", json!(40));
    let aspen = line("populus_tremula", "commercial", share_of(ASPEN, "1.15"));
    let sanitary = line("pinus_sylvestris", "commercial", share_of(SANITARY, "2"));
    let spruce = line("picea_obovata", "commercial", share_of(IN_BAN, "3"));
    let small = line("pinus_sylvestris", "commercial", json!(85.5));

    let harvester =
        ticket(script, &PLOTS[0], Participant::Harvester, "main", vec![pine, birch, firewood]).await?;
    let trader = ticket(script, &PLOTS[1], Participant::Trader, "intermediate", vec![aspen]).await?;
    let owner =
        ticket(script, &PLOTS[2], Participant::ForestOwner, "sanitary", vec![sanitary, spruce]).await?;
    let cancelled = ticket(script, &PLOTS[3], Participant::Trader, "main", vec![small.clone()]).await?;
    let extended = ticket(script, &PLOTS[4], Participant::Harvester, "main", vec![small]).await?;

    let body = json!({ "reason": "Учаскеде құстар ұялайды" });
    let path = format!("/v1/felling-tickets/{cancelled}/cancel");
    script.post("cancel a ticket", Participant::ForestOwner, &path, body).await?;
    let body = json!({
        "felling_until": script.date(120),
        "removal_until": script.date(150),
        "reason": "Жол бұзылды"
    });
    let path = format!("/v1/felling-tickets/{extended}/extend");
    script.post("extend a ticket", Participant::ForestOwner, &path, body).await?;
    Ok(Tickets { harvester, trader, owner })
}

/// The volume of some logs times a factor, rounded down to 0.1 m³.
fn share_of(seals: RangeInclusive<u32>, factor: &str) -> Value {
    let sum = sum(seals).map(Volume::decimal).unwrap_or_default();
    let factor: Decimal = factor.parse().unwrap_or(Decimal::ONE);
    number(&(sum * factor).round_dp_with_strategy(1, RoundingStrategy::ToZero).normalize().to_string())
}

/// The place of a ticket's fellings: strips of two compartments.
struct Cutting {
    /// Number of the ticket.
    ticket: &'static str,
    compartment: &'static str,
    /// West and east, in degrees of longitude.
    longitudes: (&'static str, &'static str),
    /// South and north, in degrees of latitude.
    latitudes: (&'static str, &'static str),
    area_ha: &'static str,
}

const fn cutting(
    (ticket, compartment): (&'static str, &'static str),
    longitudes: (&'static str, &'static str),
    latitudes: (&'static str, &'static str),
    area_ha: &'static str,
) -> Cutting {
    Cutting { ticket, compartment, longitudes, latitudes, area_ha }
}

/// The stumps of the logs are within them ([`saw_log`]).
const PLOTS: [Cutting; 5] = [
    cutting(("000117", "41"), ("80.9298", "80.9329"), ("50.6998", "50.7040"), "10.2"),
    cutting(("000118", "41"), ("80.9329", "80.9344"), ("50.6998", "50.7040"), "4.9"),
    cutting(("000119", "41"), ("80.9344", "80.9352"), ("50.6998", "50.7040"), "2.6"),
    cutting(("000120", "42"), ("80.9298", "80.9329"), ("50.7060", "50.7102"), "10.2"),
    cutting(("000121", "42"), ("80.9329", "80.9360"), ("50.7060", "50.7102"), "10.2"),
];

async fn ticket(
    script: &mut Script,
    plot: &Cutting,
    holder: Participant,
    felling_kind: &str,
    lines: Vec<Value>,
) -> Result<String, Failure> {
    let ((west, east), (south, north)) = (plot.longitudes, plot.latitudes);
    let corners = [(west, south), (east, south), (east, north), (west, north), (west, south)];
    let ring: Vec<Value> = corners.map(|(lon, lat)| json!([number(lon), number(lat)])).into();
    let body = json!({
        "series": "АБ",
        "number": plot.ticket,
        "issued_on": script.date(-60),
        "holder_bin": holder.bin(),
        "felling_kind": felling_kind,
        "forest_category": "II",
        "forest_type": "С2",
        "origin": {
            "region": "KZ-10",
            "district": "Бородулиха ауданы",
            "forestry": "Бородулиха орманшылығы",
            "compartment": plot.compartment,
            "subcompartment": "7",
            "cutting_area": "2"
        },
        "area_ha": number(plot.area_ha),
        "plot": { "type": "Polygon", "coordinates": [ring] },
        "felling_from": script.date(-45),
        "felling_until": script.date(60),
        "removal_until": script.date(90),
        "lines": lines,
    });
    let made =
        script.post("issue a felling ticket", Participant::ForestOwner, "/v1/felling-tickets", body).await?;
    id_of(&made)
}

async fn harvests(script: &mut Script, tickets: &Tickets) -> Result<(), Failure> {
    let at = |n: u32, hours: f64| script.hours_ago(hours - f64::from(n % 150) * 0.04);
    let mut harvester_logs: Vec<Value> = PINE.map(|n| saw_log(n, "pinus_sylvestris", &at(n, 66.0))).collect();
    harvester_logs.extend(BIRCH.map(|n| saw_log(n, "betula_pendula", &at(n, 60.0))));
    let stacks =
        STACKS.map(|n| stack(n, "betula_pendula", 60 + n % 7, 5.2, &script.hours_ago(59.0))).collect();
    let trader_logs = ASPEN.map(|n| saw_log(n, "populus_tremula", &at(n, 65.0))).collect();
    let owner_logs = SANITARY.map(|n| saw_log(n, "pinus_sylvestris", &at(n, 62.0))).collect();
    // Recorded nine days after the felling.
    let in_ban = IN_BAN.map(|n| saw_log(n, "picea_obovata", &script.hours_ago(216.0))).collect();
    let requests = [
        (Participant::Harvester, &tickets.harvester, "Ерлан Жүнісов", harvester_logs),
        (Participant::Harvester, &tickets.harvester, "Ерлан Жүнісов", stacks),
        (Participant::Trader, &tickets.trader, "Светлана Ким", trader_logs),
        (Participant::ForestOwner, &tickets.owner, "Айдос Серіков", owner_logs),
        (Participant::ForestOwner, &tickets.owner, "Айдос Серіков", in_ban),
    ];
    for (participant, ticket, person, logs) in requests {
        let logs: Vec<Value> = logs;
        let body =
            json!({ "felling_ticket_id": ticket, "responsible_person": { "name": person }, "logs": logs });
        script.post("record a harvest", participant, "/v1/harvests", body).await?;
    }
    Ok(())
}

fn id_of(made: &Value) -> Result<String, Failure> {
    made["id"].as_str().map(str::to_owned).ok_or_else(|| no_id(made))
}

fn no_id(made: &Value) -> Failure {
    Failure::Library(Error::CorruptRow(format!("a response without an id: {made}")))
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::timber::seal::number::SealNumber;

    #[test]
    fn every_log_has_a_seal_of_its_harvester() {
        let [harvester, trader, owner] = ALLOTTED.map(|(_, numbers)| numbers);
        let within = |outer: &RangeInclusive<u32>, inner: &RangeInclusive<u32>| {
            outer.contains(inner.start()) && outer.contains(inner.end())
        };
        for logs in [PINE, BIRCH, STACKS, SPARE] {
            assert!(within(&harvester, &logs));
        }
        assert!(within(&trader, &ASPEN) && within(&owner, &SANITARY) && within(&owner, &IN_BAN));
        assert!(SealNumber::parse(&seal(1)).is_ok());
    }

    #[test]
    fn the_birch_line_is_exceeded_within_its_tolerance() {
        let permitted = Volume::parse(&share_of(BIRCH, "0.97").to_string()).unwrap();
        let marked = sum(BIRCH).unwrap();
        assert!(
            marked > permitted && !marked.exceeds(permitted, Decimal::from(5)),
            "{marked} of {permitted}"
        );
    }
}
