//! Events that a device recorded offline and sends late. An event is accepted if it was allowed at the time
//! it happened; a correction and a replacement of the seal take effect on arrival.

use crate::world::{Answer, Felled, Org, World};
use serde_json::{Value, json};

/// Members of a request that make it a late event: a tablet recorded it at this local time on the day of the
/// test world.
fn at(time: &str, seq: u32) -> Value {
    let at = format!("2026-10-05T{time}:00+05:00");
    json!({"occurred_at": at, "device": {"id": "tablet-07", "seq": seq, "recorded_at": at}})
}

fn with(mut body: Value, more: &Value) -> Value {
    for (name, value) in more.as_object().unwrap() {
        body[name] = value.clone();
    }
    body
}

async fn log(world: &World, felled: &Felled) -> Value {
    world.get(&format!("/v1/logs/{}", felled.logs[0]), &felled.inspector).await.expect(200)
}

async fn events(world: &World, felled: &Felled) -> Vec<Value> {
    let path = format!("/v1/logs/{}/history", felled.logs[0]);
    let history = world.get(&path, &felled.inspector).await.expect(200);
    history["events"].as_array().unwrap().clone()
}

fn rules(answer: &Value) -> Vec<&str> {
    answer["findings"].as_array().unwrap().iter().map(|found| found["rule"].as_str().unwrap()).collect()
}

#[tokio::test]
async fn a_late_correction_is_in_force_when_it_comes_for_line_and_log_alike() {
    let world = World::new().await;
    let felled = world.felled(1).await;
    world.event(&felled.enterprise, "stored", &felled.logs, json!({})).await.expect(201);
    let right =
        json!({"corrects": 1, "reason": "қателесіп өлшенген", "set": {"wood": "firewood", "volume_m3": 0.3}});
    let right = with(right, &at("09:45", 41));
    let answer = world.event(&felled.enterprise, "corrected", &felled.logs, right).await.expect(201);
    assert!(rules(&answer).contains(&"out-of-order"), "{answer}");
    let now = log(&world, &felled).await;
    assert_eq!((&now["wood"], &now["volume_m3"]), (&json!("firewood"), &json!(0.3)));
    let ticket =
        world.get(&format!("/v1/felling-tickets/{}", felled.ticket), &felled.enterprise).await.expect(200);
    let marked: Vec<_> = ticket["lines"].as_array().unwrap().iter().map(|line| &line["marked_m3"]).collect();
    assert_eq!(marked, [&json!(0), &json!(0.3)]);
    assert_eq!(events(&world, &felled).await[2]["details"].get("out_of_order"), None);
    assert_eq!(world.unsound().await, [""; 0]);
    // After further corrections, the marked volume of the ticket line still equals the volume of the log: no
    // correction is lost or counted twice.
    for (seq, volume) in [(42, 0.32), (43, 0.32), (44, 0.31)] {
        let right = json!({"corrects": 1, "reason": "қайта өлшенді", "set": {"volume_m3": volume}});
        let right = with(right, &at("09:46", seq));
        world.event(&felled.enterprise, "corrected", &felled.logs, right).await.expect(201);
    }
    assert_eq!(world.unsound().await, [""; 0]);
}

#[tokio::test]
async fn a_late_reversal_reverses_and_does_so_once() {
    let world = World::new().await;
    let felled = world.felled(1).await;
    world.event(&felled.enterprise, "stored", &felled.logs, json!({})).await.expect(201);
    world.event(&felled.enterprise, "loaded", &felled.logs, json!({})).await.expect(201);
    let undo = |corrects: u32, seq: u32| {
        with(
            json!({"corrects": corrects, "reason": "басқа бөрене болды", "reverse": true}),
            &at("09:50", seq),
        )
    };
    world.event(&felled.enterprise, "corrected", &felled.logs, undo(3, 1)).await.expect(201);
    assert_eq!(log(&world, &felled).await["status"], "stored");
    let again = world.event(&felled.enterprise, "corrected", &felled.logs, undo(3, 2)).await;
    again.expect(409);
    assert_eq!(again.codes(), ["not-reversible"]);
    world.event(&felled.enterprise, "corrected", &felled.logs, undo(2, 3)).await.expect(201);
    assert_eq!(log(&world, &felled).await["status"], "at_felling");
    assert_eq!(world.unsound().await, [""; 0]);
}

#[tokio::test]
async fn a_late_replacement_changes_the_seal_everywhere() {
    let world = World::new().await;
    let felled = world.felled(1).await;
    world.event(&felled.enterprise, "stored", &felled.logs, json!({})).await.expect(201);
    let new = json!({"new_seal_number": felled.seals[0], "reason": "пломба шытынаған"});
    world
        .event(&felled.enterprise, "seal_replaced", &felled.logs, with(new, &at("09:45", 41)))
        .await
        .expect(201);
    assert_eq!(log(&world, &felled).await["seal"]["number"], json!(felled.seals[0]));
    for (number, verdict) in [(&felled.seals[0], "valid"), (&felled.logs[0], "void")] {
        let answer = world.get(&format!("/v1/verify/{number}"), &felled.sawmill).await.expect(200);
        assert_eq!(answer["verdict"], verdict);
    }
    assert_eq!(world.unsound().await, [""; 0]);
}

/// A log that was loaded at 10:00 on the carrier's lorry. While the carrier's tablet was offline, the holder
/// recorded the journey to its end.
async fn driven() -> (World, Felled) {
    let world = World::new().await;
    let felled = world.felled(1).await;
    let (from, to, logs) = (&felled.enterprise, &felled.sawmill, &felled.logs[..]);
    world.event(from, "loaded", logs, json!({"carrier_bin": felled.carrier.bin})).await.expect(201);
    world.event(from, "transferred", logs, json!({"to_bin": to.bin})).await.expect(201);
    world.later(120);
    world.event(from, "departed", logs, json!({})).await.expect(201);
    world.event(from, "arrived", logs, json!({})).await.expect(201);
    world.later(5);
    world.event(to, "received", logs, json!({})).await.expect(201);
    world.later(60);
    (world, felled)
}

#[tokio::test]
async fn a_carriers_late_events_of_a_past_journey_are_accepted() {
    let (world, felled) = driven().await;
    let carrier = &felled.carrier;
    world.get(&format!("/v1/logs/{}", felled.logs[0]), carrier).await.expect(404);
    let answer = world.event(carrier, "departed", &felled.logs, at("10:20", 1)).await.expect(201);
    assert_eq!(rules(&answer), ["no-papers", "out-of-order"]);
    assert!(!answer.to_string().contains("12:05"), "the time of the last event is disclosed: {answer}");
    // An event from a device that was offline may follow an earlier such event.
    world.event(carrier, "arrived", &felled.logs, at("11:40", 2)).await.expect(201);
    let told: Vec<_> = events(&world, &felled).await;
    let late: Vec<_> =
        told[6..].iter().map(|event| (&event["type"], &event["details"]["out_of_order"])).collect();
    assert_eq!(late, [(&json!("departed"), &json!(true)), (&json!("arrived"), &json!(true))]);
    let now = log(&world, &felled).await;
    assert_eq!((&now["status"], &now["last_event"]["type"]), (&json!("received"), &json!("received")));
    world.get(&format!("/v1/logs/{}", felled.logs[0]), carrier).await.expect(404);
    assert_eq!(world.unsound().await, [""; 0]);
}

/// The offer was withdrawn at 11:00, so a late event cannot record that it was rejected at 10:30.
#[tokio::test]
async fn a_late_event_that_a_recorded_one_contradicts_is_refused() {
    let world = World::new().await;
    let felled = world.felled(1).await;
    let (from, to, logs) = (&felled.enterprise, &felled.sawmill, &felled.logs[..]);
    world.event(from, "transferred", logs, json!({"to_bin": to.bin})).await.expect(201);
    world.later(60);
    world.event(from, "withdrawn", logs, json!({})).await.expect(201);
    world.later(60);
    let refused = world.event(to, "rejected", logs, at("10:30", 1)).await;
    refused.expect(409);
    assert_eq!(refused.codes(), ["contradicts-later"]);
    assert_eq!(log(&world, &felled).await["last_event"]["type"], "withdrawn");
}

/// A departure and an arrival are no duplicates of a late event that ends the journey between them.
#[tokio::test]
async fn a_late_end_of_a_log_on_its_journey_is_refused() {
    let world = World::new().await;
    let felled = world.felled(1).await;
    let (from, logs) = (&felled.enterprise, &felled.logs[..]);
    world.event(from, "loaded", logs, json!({})).await.expect(201);
    world.event(from, "departed", logs, json!({})).await.expect(201);
    world.later(120);
    world.event(from, "arrived", logs, json!({})).await.expect(201);
    world.later(60);
    for (seq, end) in [(1, "lost"), (2, "destroyed"), (3, "sold")] {
        let refused = world.event(from, end, logs, at("11:00", seq)).await;
        refused.expect(409);
        assert!(
            ["contradicts-later", "transition-not-allowed"].contains(&refused.codes()[0].as_str()),
            "{end}"
        );
        if ["lost", "destroyed"].contains(&end) {
            assert_eq!(refused.codes(), ["contradicts-later"], "{end}");
        }
    }
    // The carrier's own record of the same journey is a duplicate.
    world.event(from, "arrived", logs, at("11:30", 5)).await.expect(201);
    assert_eq!(log(&world, &felled).await["last_event"]["type"], "arrived");
    assert_eq!(world.unsound().await, [""; 0]);
}

/// A former owner cannot record a late sale of a log that it has handed over since. The sale would close the
/// log, and the new owner's own late events would be refused.
#[tokio::test]
async fn a_former_owners_late_sale_is_refused() {
    let world = World::new().await;
    let felled = world.felled(1).await;
    let (from, to, logs) = (&felled.enterprise, &felled.sawmill, &felled.logs[..]);
    world.later(60);
    world.event(from, "transferred", logs, json!({"to_bin": to.bin})).await.expect(201);
    world.event(to, "accepted", logs, json!({})).await.expect(201);
    world.later(60);
    world.event(to, "stored", logs, json!({})).await.expect(201);
    let refused = world.event(from, "sold", logs, at("10:30", 1)).await;
    refused.expect(409);
    assert_eq!(refused.codes(), ["contradicts-later"]);
    assert_eq!(world.unsound().await, [""; 0]);
}

/// A former owner's device delivers late that the log was loaded, for a time when the log was its own. The
/// true late records of the new owner are accepted all the same, in either order.
#[tokio::test]
async fn a_former_owners_late_event_does_not_block_those_of_the_new_owner() {
    for of_former_owner in [&["loaded"][..], &["stored", "loaded", "departed"]] {
        let world = World::new().await;
        let felled = world.felled(1).await;
        let (from, to, logs) = (&felled.enterprise, &felled.sawmill, &felled.logs[..]);
        world.later(60);
        world.event(from, "transferred", logs, json!({"to_bin": to.bin})).await.expect(201);
        world.event(to, "accepted", logs, json!({})).await.expect(201);
        world.later(120);
        world.event(to, "transferred", logs, json!({"to_bin": from.bin})).await.expect(201);
        world.event(to, "withdrawn", logs, json!({})).await.expect(201);
        for (seq, event) in (1..).zip(of_former_owner) {
            let more = at(&format!("10:3{seq}"), seq);
            world.event(from, event, logs, more).await.expect(201);
        }
        // At noon the log was the new owner's.
        world.event(to, "stored", logs, at("12:00", 1)).await.expect(201);
        world.event(to, "loaded", logs, at("12:10", 2)).await.expect(201);
        // The present owner is bound by its own late events, and by what is in force.
        let refused = world.event(to, "sold", logs, at("12:20", 3)).await;
        refused.expect(409);
        assert_eq!(refused.codes(), ["transition-not-allowed"]);
        let refused = world.event(to, "sold", logs, at("11:30", 3)).await;
        refused.expect(409);
        assert_eq!(refused.codes(), ["contradicts-later"]);
        // A past party is bound by all of them.
        let refused = world.event(from, "lost", logs, at("10:50", 9)).await;
        refused.expect(409);
        assert_eq!(log(&world, &felled).await["status"], "at_felling");
        assert_eq!(world.unsound().await, [""; 0]);
    }
}

/// Late events are bounded, so that no organisation can fill another one's chain.
#[tokio::test]
async fn late_events_of_one_organisation_on_a_log_are_bounded() {
    let world = World::new().await;
    let felled = world.felled(1).await;
    world.later(120);
    world.event(&felled.enterprise, "stored", &felled.logs, json!({})).await.expect(201);
    for seq in 1..=20 {
        world.event(&felled.enterprise, "stored", &felled.logs, at("10:30", seq)).await.expect(201);
    }
    let refused = world.event(&felled.enterprise, "stored", &felled.logs, at("10:30", 21)).await;
    refused.expect(409);
    assert_eq!(refused.codes(), ["too-many-late-events"]);
}

#[tokio::test]
async fn a_late_event_not_allowed_at_its_time_gets_unknown_log() {
    let (world, felled) = driven().await;
    let stranger = world.organization(7, "ТОО «Алтай тасымал»", &["carrier"]).await;
    let absent = ["KZ999999999".to_owned()];
    let told = async |who: &Org, what: &str, logs: &[String], more: Value| -> Answer {
        let answer = world.event(who, what, logs, more).await;
        answer.expect(422);
        answer
    };
    let unknown = told(&felled.carrier, "departed", &absent, at("10:20", 1)).await.json()["errors"].clone();
    assert_eq!(unknown[0]["code"], "unknown-log");
    // In these requests, the time is before the carrier was named or after it was released, or the event has
    // no record of a device.
    for more in
        [at("09:40", 2), at("12:30", 3), json!({}), json!({"occurred_at": "2026-10-05T10:20:00+05:00"})]
    {
        let answer = told(&felled.carrier, "departed", &felled.logs, more.clone()).await;
        assert_eq!(answer.json()["errors"], unknown, "{more}");
    }
    // An organisation that was never a party gets the same error. So does a past carrier that sends a
    // correction, because a correction requires present access.
    assert_eq!(told(&stranger, "departed", &felled.logs, at("10:20", 4)).await.json()["errors"], unknown);
    let right =
        with(json!({"corrects": 2, "reason": "?", "set": {"place": {"name": "Қойма"}}}), &at("10:20", 5));
    assert_eq!(told(&felled.carrier, "corrected", &felled.logs, right).await.json()["errors"], unknown);
    // During its journey the carrier may not record `stored`.
    let stored = world.event(&felled.carrier, "stored", &felled.logs, at("10:20", 6)).await;
    stored.expect(409);
    assert_eq!(stored.codes(), ["not-yours-to-record"]);
}
