//! The histories of the demonstration's logs: changed seals, storage, transport to the sawmill, sales, losses,
//! offers, inspections and corrections.

use super::Failure;
use super::script::Script;
use super::timber::{seal, thinner};
use crate::commands::demo_keys::Participant;
use serde_json::{Value, json};
use std::ops::RangeInclusive;

/// Loaded, and on the road now.
pub const ON_THE_ROAD: RangeInclusive<u32> = 41..=60;
/// Received by the sawmill.
pub const AT_THE_SAWMILL: RangeInclusive<u32> = 61..=75;
/// Sawn.
pub const SAWN: RangeInclusive<u32> = 76..=90;
/// Handed to the trader and sold.
pub const SOLD: RangeInclusive<u32> = 91..=100;
/// Its seal was void and was replaced.
pub const RESEALED: u32 = 110;
/// Its new seal.
pub const NEW_SEAL: u32 = 186;
/// The seal of this log is void, and the log has not received a new one.
pub const UNSEALED: u32 = 111;
/// The inspector recorded that this log differs from what the events state.
pub const MISMATCHED: u32 = 114;
/// An inspector found this log without its seal, and a court gave it to the forest owner.
pub const SEIZED: u32 = 120;
/// The harvester recorded this log twice, and annulled the second entry.
pub const ANNULLED: u32 = 150;
/// The harvester measured these logs again and corrected them to thinner ones, so that volume went back to the ticket.
pub const REMEASURED: RangeInclusive<u32> = 131..=136;
/// These logs left without carrier, vehicle and document.
pub const WITHOUT_PAPERS: RangeInclusive<u32> = 141..=142;
/// This log was offered to the sawmill, which has neither accepted nor rejected the offer.
pub const OFFERED: u32 = 117;

/// Makes the histories.
pub async fn make(script: &mut Script) -> Result<(), Failure> {
    // Seals change first, because a seal is voided at the current time, and later events of the same log need
    // later times.
    seals_change(script).await?;
    storage(script).await?;
    to_the_sawmill(script).await?;
    sales(script).await?;
    losses(script).await?;
    offers(script).await?;
    inspections(script).await?;
    reports(script).await?;
    corrections(script).await
}

/// A custody event of some logs.
async fn event(
    script: &mut Script,
    participant: Participant,
    event: &str,
    logs: RangeInclusive<u32>,
    hours: f64,
    more: Value,
) -> Result<(), Failure> {
    let logs: Vec<String> = logs.map(seal).collect();
    let mut body = json!({ "type": event, "logs": logs, "occurred_at": script.hours_ago(hours) });
    if let (Some(body), Value::Object(more)) = (body.as_object_mut(), more) {
        body.extend(more);
    }
    script.post(event, participant, "/v1/custody-events", body).await.map(drop)
}

fn lower_yard() -> Value {
    json!({ "place": { "name": "Төменгі қойма, Бородулиха", "region": "KZ-10", "kind": "storage" } })
}

fn sawmill() -> Value {
    json!({ "place": { "name": "Ағаш тілу цехы, Семей", "region": "KZ-10", "kind": "sawmill" } })
}

/// A departure under a waybill.
fn departure(script: &Script, named: &str) -> Value {
    json!({ "document": { "kind": "waybill", "number": named, "issued_on": script.date(-1) } })
}

/// Loading with a carrier, under a waybill.
fn waybill(script: &Script, named: &str) -> Value {
    json!({
        "carrier_bin": Participant::Carrier.bin(),
        "vehicle": "KAMAZ 123 ABC 18",
        "place": { "name": "41-орам, кеспеағаш", "region": "KZ-10", "kind": "felling_site" },
        "document": { "kind": "waybill", "number": named, "issued_on": script.date(-1) }
    })
}

fn offer_to(participant: Participant, of: &str) -> Value {
    json!({ "to_bin": participant.bin(), "of": of, "document": { "kind": "contract", "number": "2026/41" } })
}

async fn seals_change(script: &mut Script) -> Result<(), Failure> {
    for n in [RESEALED, UNSEALED] {
        let path = format!("/v1/seals/{}/void", seal(n));
        script
            .post("void a seal on a log", Participant::Harvester, &path, json!({ "reason": "lost" }))
            .await?;
    }
    let more = json!({ "new_seal_number": seal(NEW_SEAL), "reason": "Тасығанда түсіп қалды" });
    // -0.05 hours means three minutes after the fixed day: later than the voiding above, which is recorded at
    // the current time. The API accepts a time that is up to five minutes ahead of the server's clock.
    event(script, Participant::Harvester, "seal_replaced", RESEALED..=RESEALED, -0.05, more).await?;
    let more = json!({ "new_seal_number": seal(NEW_SEAL + 1), "reason": "Шытынаған" });
    event(script, Participant::Harvester, "seal_replaced", 112..=112, 20.0, more).await
}

async fn storage(script: &mut Script) -> Result<(), Failure> {
    event(script, Participant::Harvester, "stored", 21..=109, 48.0, lower_yard()).await?;
    event(script, Participant::Harvester, "stored", 113..=120, 47.5, lower_yard()).await?;
    event(script, Participant::Trader, "stored", 201..=240, 48.5, lower_yard()).await
}

async fn to_the_sawmill(script: &mut Script) -> Result<(), Failure> {
    let loaded = waybill(script, "ТТН-000411");
    event(script, Participant::Harvester, "loaded", ON_THE_ROAD, 3.0, loaded).await?;
    let paper = departure(script, "ТТН-000411");
    event(script, Participant::Carrier, "departed", ON_THE_ROAD, 2.5, paper).await?;
    let unnamed = WITHOUT_PAPERS;
    event(script, Participant::Harvester, "loaded", unnamed.clone(), 4.0, json!({})).await?;
    event(script, Participant::Harvester, "departed", unnamed, 3.8, json!({})).await?;

    let logs = *AT_THE_SAWMILL.start()..=*SAWN.end();
    event(
        script,
        Participant::Harvester,
        "transferred",
        logs.clone(),
        40.0,
        offer_to(Participant::Sawmill, "both"),
    )
    .await?;
    let loaded = waybill(script, "ТТН-000398");
    event(script, Participant::Harvester, "loaded", logs.clone(), 39.0, loaded).await?;
    let paper = departure(script, "ТТН-000398");
    event(script, Participant::Carrier, "departed", logs.clone(), 38.5, paper).await?;
    event(script, Participant::Carrier, "arrived", logs.clone(), 35.0, sawmill()).await?;
    event(script, Participant::Sawmill, "received", logs, 34.5, sawmill()).await?;
    event(script, Participant::Sawmill, "processed", SAWN, 20.0, sawmill()).await
}

async fn sales(script: &mut Script) -> Result<(), Failure> {
    event(script, Participant::Harvester, "transferred", SOLD, 30.0, offer_to(Participant::Trader, "both"))
        .await?;
    event(script, Participant::Trader, "accepted", SOLD, 29.0, json!({})).await?;
    event(script, Participant::Trader, "stored", SOLD, 28.0, lower_yard()).await?;
    let sold = json!({ "document": { "kind": "invoice", "number": "ЭСФ-7741" } });
    event(script, Participant::Trader, "sold", SOLD, 10.0, sold).await
}

async fn losses(script: &mut Script) -> Result<(), Failure> {
    let loaded = waybill(script, "ТТН-000405");
    event(script, Participant::Harvester, "loaded", 106..=107, 26.0, loaded).await?;
    let paper = departure(script, "ТТН-000405");
    event(script, Participant::Carrier, "departed", 106..=107, 25.5, paper).await?;
    let note = json!({ "details": { "note": "Өткелде суға кетті" } });
    event(script, Participant::Carrier, "lost", 106..=107, 23.0, note).await?;
    event(script, Participant::Harvester, "lost", 108..=108, 24.0, json!({})).await?;
    event(script, Participant::Harvester, "found", 108..=108, 12.0, lower_yard()).await?;
    let note = json!({ "details": { "note": "Өртенді" } });
    event(script, Participant::Harvester, "destroyed", 109..=109, 22.0, note).await
}

async fn offers(script: &mut Script) -> Result<(), Failure> {
    event(
        script,
        Participant::Harvester,
        "transferred",
        101..=103,
        27.0,
        offer_to(Participant::Trader, "both"),
    )
    .await?;
    event(script, Participant::Trader, "rejected", 101..=103, 26.0, json!({})).await?;
    event(
        script,
        Participant::Harvester,
        "transferred",
        104..=105,
        27.0,
        offer_to(Participant::Sawmill, "both"),
    )
    .await?;
    event(script, Participant::Harvester, "withdrawn", 104..=105, 21.0, json!({})).await?;
    event(
        script,
        Participant::Harvester,
        "transferred",
        OFFERED..=OFFERED,
        5.0,
        offer_to(Participant::Sawmill, "both"),
    )
    .await?;
    // Log 118 is sold but stays in the harvester's yard. Log 119 is handed over to be sorted, but is not
    // sold.
    event(
        script,
        Participant::Harvester,
        "transferred",
        118..=118,
        19.0,
        offer_to(Participant::Trader, "ownership"),
    )
    .await?;
    event(script, Participant::Trader, "accepted", 118..=118, 18.0, json!({})).await?;
    event(
        script,
        Participant::Harvester,
        "transferred",
        119..=119,
        19.0,
        offer_to(Participant::Sawmill, "possession"),
    )
    .await?;
    event(script, Participant::Sawmill, "accepted", 119..=119, 18.0, json!({})).await
}

async fn inspections(script: &mut Script) -> Result<(), Failure> {
    let as_recorded = json!({ "details": { "outcome": "match" }, "place": checkpoint() });
    event(script, Participant::Inspector, "inspected", 113..=113, 15.0, as_recorded.clone()).await?;
    event(script, Participant::Inspector, "inspected", 41..=45, 1.0, as_recorded).await?;
    let other = json!({
        "details": {
            "outcome": "mismatch",
            "observed": { "species": "betula_pendula", "top_diameter_cm": 31.5 },
            "note": "Қарағай деп жазылған, қайың тұр"
        },
        "place": checkpoint()
    });
    event(script, Participant::Inspector, "inspected", MISMATCHED..=MISMATCHED, 14.0, other).await?;
    let bare = json!({ "details": { "outcome": "seal_missing" } });
    event(script, Participant::Inspector, "inspected", SEIZED..=SEIZED, 13.0, bare).await?;
    let seized = json!({
        "custodian_bin": Participant::ForestOwner.bin(),
        "place": { "name": "Сақтау орны, Бородулиха", "region": "KZ-10", "kind": "storage" },
        "document": { "kind": "act", "number": "21-Х", "issued_on": script.date(-1) },
        "details": { "official": { "name": "Ермек Сейітов", "post": "Мемлекеттік орман инспекторы" } }
    });
    event(script, Participant::Inspector, "seized", SEIZED..=SEIZED, 12.5, seized).await
}

/// What buyers reported of sold timber.
async fn reports(script: &mut Script) -> Result<(), Failure> {
    let sold = seal(*SOLD.start());
    for (what, text) in [("wrong_species", "Қарағай емес, қайың"), ("broken_seal", "Пломба сынған")]
    {
        let body = json!({ "what": what, "text": text });
        // The trader's key is sent as with each call; the report does not need it, and does not keep it.
        let path = format!("/v1/verify/{sold}/report");
        script.post("report a seal", Participant::Trader, &path, body).await?;
    }
    Ok(())
}

fn checkpoint() -> Value {
    json!({ "name": "Орман күзеті бекеті, Семей", "region": "KZ-10", "kind": "checkpoint" })
}

async fn corrections(script: &mut Script) -> Result<(), Failure> {
    let grade = json!({ "corrects": 1, "reason": "Сорты қате жазылған", "set": { "grade": 2 } });
    event(script, Participant::Harvester, "corrected", 115..=115, 11.0, grade).await?;
    let place = json!({ "name": "Жоғарғы қойма, Бородулиха", "region": "KZ-10", "kind": "storage" });
    let moved = json!({ "corrects": 2, "reason": "Қойма шатастырылған", "set": { "place": place } });
    event(script, Participant::Harvester, "corrected", 116..=116, 11.0, moved).await?;
    let undone = json!({ "corrects": 2, "reason": "Басқа бөрене болды", "reverse": true });
    event(script, Participant::Trader, "corrected", 240..=240, 11.0, undone).await?;
    // What these give back to the ticket is found.
    let annulled = json!({ "corrects": 1, "reason": "Екі рет жазылған", "annul": true });
    event(script, Participant::Harvester, "corrected", ANNULLED..=ANNULLED, 10.0, annulled).await?;
    for n in REMEASURED {
        let thinner = json!({ "corrects": 1, "reason": "Жуандығы қате өлшенген", "set": thinner(n) });
        event(script, Participant::Harvester, "corrected", n..=n, 9.0, thinner).await?;
    }
    Ok(())
}
