//! Slips and their corrections: entries that never were, wrong seal numbers and persons, loads taken down again;
//! what they give back is found, and nothing brings a seal back. Seizure and confiscation.

use crate::world::{Felled, Org, World};
use ormantrace::commands::erase::{self, ErasureTarget};
use ormantrace::commands::fsck;
use serde_json::{Value, json};

fn annul() -> Value {
    json!({"corrects": 1, "reason": "Recorded twice", "annul": true})
}

async fn log(world: &World, felled: &Felled, log: &str) -> Value {
    world.get(&format!("/v1/logs/{log}"), &felled.inspector).await.expect(200)
}

async fn verdict(world: &World, code: &str) -> Value {
    world.call(axum::http::Method::GET, &format!("/v1/verify/{code}"), None, Value::Null).await.expect(200)
}

async fn marked(world: &World, felled: &Felled) -> Vec<Value> {
    let path = format!("/v1/felling-tickets/{}", felled.ticket);
    let ticket = world.get(&path, &felled.enterprise).await.expect(200);
    ticket["lines"].as_array().unwrap().iter().map(|line| line["marked_m3"].clone()).collect()
}

/// Rule and severity of each finding of a response.
fn found(answer: &Value) -> Vec<(&str, &str)> {
    let findings = answer["findings"].as_array().unwrap();
    findings.iter().map(|one| (one["rule"].as_str().unwrap(), one["severity"].as_str().unwrap())).collect()
}

async fn correct(world: &World, who: &Org, log: &str, body: Value) -> crate::world::Answer {
    world.event(who, "corrected", &[log.to_owned()], body).await
}

#[tokio::test]
async fn an_entry_that_never_was_gives_its_volume_back_and_its_seal_is_void_for_ever() {
    let world = World::new().await;
    let felled = world.felled(2).await;
    let (holder, inspector, code) = (&felled.enterprise, &felled.inspector, felled.logs[0].as_str());
    assert_eq!(marked(&world, &felled).await, [json!(0.66), json!(0)]);
    let answer = correct(&world, holder, code, annul()).await.expect(201);
    assert_eq!(found(&answer), [("L18", "notice")]);
    assert_eq!(marked(&world, &felled).await, [json!(0.33), json!(0)]);
    let now = log(&world, &felled, code).await;
    assert_eq!((&now["status"], &now["seal"]["status"]), (&json!("annulled"), &json!("void")));
    let public = verdict(&world, code).await;
    assert_eq!((&public["verdict"], &public["reason"]["code"]), (&json!("void"), &json!("annulled")));
    assert!(public["message"]["en"].as_str().unwrap().contains("made in error"), "{}", public["message"]);
    assert_eq!(world.unsound().await, Vec::<String>::new());

    // Nothing brings it back.
    let one = &felled.logs[..1];
    for (who, event, more, codes) in [
        (holder, "corrected", annul(), "transition-not-allowed"),
        (inspector, "corrected", annul(), "transition-not-allowed"),
        (
            inspector,
            "corrected",
            json!({"corrects": 2, "reason": "No", "reverse": true}),
            "transition-not-allowed",
        ),
        (
            inspector,
            "corrected",
            json!({"corrects": 1, "reason": "No", "set": {"volume_m3": 0.31}}),
            "transition-not-allowed",
        ),
        (holder, "stored", json!({}), "transition-not-allowed"),
        (inspector, "found", json!({}), "transition-not-allowed"),
        (
            holder,
            "seal_replaced",
            json!({"new_seal_number": felled.seals[0], "reason": "Torn off"}),
            "transition-not-allowed",
        ),
    ] {
        let refused = world.event(who, event, one, more).await;
        refused.expect(409);
        assert_eq!(refused.codes(), [codes], "{event}");
    }
    let again = world.post("/v1/harvests", holder, World::harvest_of(&felled.ticket, one)).await;
    again.expect(409);
    assert_eq!(again.codes(), ["seal-void"]);
    // Timber that bears the seal is serious.
    let seen =
        world.event(inspector, "inspected", one, json!({"details": {"outcome": "match"}})).await.expect(201);
    assert_eq!(found(&seen), [("L4", "serious")]);
    assert_eq!(log(&world, &felled, code).await["status"], "annulled");
    // The issuer of the ticket reads what became of its volume.
    let path = format!("/v1/logs/{code}/history");
    let history = world.get(&path, &felled.forest_owner).await.expect(200);
    assert_eq!(history["events"][1]["details"]["annul"], true);
    assert_eq!(world.unsound().await, Vec::<String>::new());
}

#[tokio::test]
async fn an_annulment_by_its_recorder_is_of_the_harvest_alone_and_within_72_hours() {
    let world = World::new().await;
    let felled = world.felled(6).await;
    let (holder, inspector) = (&felled.enterprise, &felled.inspector);
    let by_inspector = async |code: &str, why: &str| {
        let refused = correct(&world, holder, code, annul()).await;
        refused.expect(409);
        assert_eq!(refused.codes(), ["correction-by-inspector-only"], "{why}");
    };
    let one = |n: usize| &felled.logs[n..=n];
    world.event(holder, "stored", one(0), json!({})).await.expect(201);
    by_inspector(&felled.logs[0], "stored").await;
    let undo = json!({"corrects": 2, "reason": "No", "reverse": true});
    correct(&world, holder, &felled.logs[0], undo).await.expect(201);
    by_inspector(&felled.logs[0], "stored, and that was reversed").await;
    let seen = json!({"details": {"outcome": "match"}});
    world.event(inspector, "inspected", one(1), seen).await.expect(201);
    by_inspector(&felled.logs[1], "inspected").await;
    verdict(&world, &felled.logs[2]).await;
    by_inspector(&felled.logs[2], "checked by a buyer a moment ago").await;
    world.event(holder, "sold", one(2), json!({})).await.expect(201);
    by_inspector(&felled.logs[2], "sold").await;
    // A held log is annulled by an inspector, and stays held.
    let stop = json!({"details": {"reason": "No such log"}});
    world.event(inspector, "detained", one(3), stop).await.expect(201);
    assert_eq!(correct(&world, holder, &felled.logs[3], annul()).await.codes(), ["held"]);
    let held = correct(&world, inspector, &felled.logs[3], annul()).await.expect(201);
    assert_eq!(found(&held)[0].0, "L18", "an inspector's too");
    assert_ne!(log(&world, &felled, &felled.logs[3]).await["held"], Value::Null);

    for (who, code) in [(&felled.forest_owner, "correction-not-yours"), (&felled.sawmill, "unknown-log")] {
        assert_eq!(correct(&world, who, &felled.logs[4], annul()).await.codes(), [code]);
    }
    for (body, code) in [
        (json!({"corrects": 1, "reason": "?", "annul": true, "reverse": true}), "not-for-this-type"),
        (
            json!({"corrects": 1, "reason": "?", "annul": true, "set": {"volume_m3": 0.3}}),
            "not-for-this-type",
        ),
        (json!({"corrects": 1, "reason": "?", "annul": false}), "required"),
    ] {
        let refused = correct(&world, holder, &felled.logs[4], body).await;
        refused.expect(422);
        assert_eq!(refused.codes(), [code]);
    }
    world.event(holder, "stored", one(4), json!({})).await.expect(201);
    let other = json!({"corrects": 2, "reason": "?", "annul": true});
    let refused = correct(&world, inspector, &felled.logs[4], other).await;
    refused.expect(422);
    assert_eq!(refused.codes(), ["only-of-the-harvest"]);
    world.later(72 * 60 + 1);
    assert_eq!(correct(&world, holder, &felled.logs[5], annul()).await.codes(), ["correction-not-yours"]);
    // An inspector annuls what has gone on, too.
    correct(&world, inspector, &felled.logs[2], annul()).await.expect(201);
    assert_eq!(log(&world, &felled, &felled.logs[2]).await["status"], "annulled");
    assert_eq!(world.unsound().await, Vec::<String>::new());
}

#[tokio::test]
async fn an_annulment_by_its_recorder_is_of_one_log_in_a_hundred_and_one_cubic_metre() {
    let world = World::new().await;
    let felled = world.felled(1).await;
    let holder = &felled.enterprise;
    let seals = world.seals(&felled.operator, holder, 399).await;
    // With the first one 199 logs: one of them.
    let body = World::harvest_of(&felled.ticket, &seals[..198]);
    world.post("/v1/harvests", holder, body).await.expect(201);
    correct(&world, holder, &seals[0], annul()).await.expect(201);
    assert_eq!(
        correct(&world, holder, &seals[1], annul()).await.codes(),
        ["correction-by-inspector-only"],
        "two of 199 logs are more than 1 %"
    );
    // 200 logs: two.
    world.post("/v1/harvests", holder, World::harvest_of(&felled.ticket, &seals[198..199])).await.expect(201);
    correct(&world, holder, &seals[1], annul()).await.expect(201);
    assert_eq!(correct(&world, holder, &seals[2], annul()).await.codes(), ["correction-by-inspector-only"]);
    // 300 logs: three, of 0.33 + 0.33 + 0.34 m³; 0.35 m³ would be too much.
    let mut body = World::harvest_of(&felled.ticket, &seals[199..299]);
    body["logs"][0]["volume_m3"] = json!(0.35);
    body["logs"][1]["volume_m3"] = json!(0.34);
    for log in 0..2 {
        body["logs"][log]["measurement_method"] = json!("harvester");
    }
    world.post("/v1/harvests", holder, body).await.expect(201);
    assert_eq!(correct(&world, holder, &seals[199], annul()).await.codes(), ["correction-by-inspector-only"]);
    correct(&world, holder, &seals[200], annul()).await.expect(201);
    correct(&world, &felled.inspector, &seals[199], annul()).await.expect(201);
    assert_eq!(world.unsound().await, Vec::<String>::new());
}

#[tokio::test]
async fn what_a_correction_gives_back_or_moves_is_found() {
    let world = World::new().await;
    let felled = world.felled(9).await;
    let (holder, inspector) = (&felled.enterprise, &felled.inspector);
    let set = |set: Value| json!({"corrects": 1, "reason": "Misread", "set": set});
    let smaller = set(json!({"volume_m3": 0.32}));
    let answer = correct(&world, holder, &felled.logs[0], smaller.clone()).await.expect(201);
    assert_eq!(found(&answer), [("L18", "notice")]);
    let detail = answer["findings"][0]["detail"].as_str().unwrap();
    assert!(detail.starts_with("0.01 m³ left a line of 100 m³"), "{detail}");
    let answer = correct(&world, inspector, &felled.logs[1], smaller.clone()).await.expect(201);
    assert_eq!(found(&answer), [("L18", "notice")], "an inspector's too");
    // To another line of the ticket; the volume stays.
    let answer = correct(&world, holder, &felled.logs[2], set(json!({"wood": "firewood"}))).await.expect(201);
    assert_eq!(found(&answer), [("L13", "warning"), ("L18", "notice")]);
    // What gives nothing back is not found.
    for more in [json!({"volume_m3": 0.34}), json!({"grade": 1}), json!({"volume_m3": 0.34, "grade": 3})] {
        let answer = correct(&world, holder, &felled.logs[3], set(more)).await.expect(201);
        assert_eq!(found(&answer), []);
    }
    for n in [4, 5] {
        let answer = correct(&world, holder, &felled.logs[n], smaller.clone()).await.expect(201);
        assert_eq!(found(&answer), [("L18", "notice")]);
    }
    let answer = correct(&world, holder, &felled.logs[6], smaller.clone()).await.expect(201);
    assert_eq!(found(&answer), [("L18", "warning")], "the sixth on this ticket");
    // The reversal of a closing event.
    world.event(holder, "sold", &felled.logs[7..8], json!({})).await.expect(201);
    let undo = json!({"corrects": 2, "reason": "Not sold", "reverse": true});
    let answer = correct(&world, holder, &felled.logs[7], undo.clone()).await.expect(201);
    assert_eq!(found(&answer), [("closing-reversed", "warning")]);
    world.event(holder, "stored", &felled.logs[8..], json!({})).await.expect(201);
    let answer = correct(&world, holder, &felled.logs[8], undo).await.expect(201);
    assert_eq!(found(&answer), []);
    assert_eq!(world.unsound().await, Vec::<String>::new());
}

/// A record of a device from before the annulment is evidence, and changes nothing.
#[tokio::test]
async fn a_late_record_of_an_annulled_entry_is_serious_and_without_effect() {
    let world = World::new().await;
    let felled = world.felled(1).await;
    let holder = &felled.enterprise;
    world.later(60);
    // The stated time of the annulment does not matter: it may not hide what happened.
    let mut body = annul();
    body["occurred_at"] = json!("2026-10-05T09:31:00+05:00");
    world.event(holder, "corrected", &felled.logs, body).await.expect(201);
    let at = "2026-10-05T10:30:00+05:00";
    let late = json!({"occurred_at": at, "device": {"id": "tablet-07", "seq": 1, "recorded_at": at}});
    let answer = world.event(holder, "stored", &felled.logs, late).await.expect(201);
    assert!(found(&answer).contains(&("L4", "serious")), "{answer}");
    let now = log(&world, &felled, &felled.logs[0]).await;
    assert_eq!((&now["status"], &now["seal"]["status"]), (&json!("annulled"), &json!("void")));
    assert_eq!(marked(&world, &felled).await, [json!(0), json!(0)]);
    assert_eq!(world.unsound().await, Vec::<String>::new());
}

/// A receipt by the holder accepts nothing while the timber is offered to another organisation.
#[tokio::test]
async fn a_receipt_that_accepted_nothing_is_undone_by_its_recorder() {
    let world = World::new().await;
    let felled = world.felled(1).await;
    let (holder, one) = (&felled.enterprise, &felled.logs[..]);
    world.event(holder, "transferred", one, json!({"to_bin": felled.sawmill.bin})).await.expect(201);
    for event in ["loaded", "departed", "arrived", "received"] {
        world.event(holder, event, one, json!({})).await.expect(201);
    }
    let undo = json!({"corrects": 6, "reason": "Wrong log", "reverse": true});
    correct(&world, holder, &one[0], undo).await.expect(201);
    assert_eq!(log(&world, &felled, &one[0]).await["status"], "arrived");
}

#[tokio::test]
async fn a_load_that_is_taken_down_is_where_it_was() {
    let world = World::new().await;
    let felled = world.felled(2).await;
    let (holder, one) = (&felled.enterprise, &felled.logs[..1]);
    let load = json!({"carrier_bin": felled.carrier.bin, "vehicle": "123 ABC 10"});
    assert_eq!(
        world.event(holder, "unloaded", one, json!({})).await.codes(),
        ["transition-not-allowed"],
        "it is not loaded"
    );
    for (before, count) in [("at_felling", 2), ("stored", 1)] {
        if before == "stored" {
            world.event(holder, "stored", one, json!({})).await.expect(201);
        }
        world.event(holder, "loaded", &felled.logs[..count], load.clone()).await.expect(201);
        assert_eq!(
            world.event(&felled.carrier, "unloaded", one, json!({})).await.codes(),
            ["not-yours-to-record"]
        );
        world.event(holder, "unloaded", &felled.logs[..count], json!({})).await.expect(201);
        let now = log(&world, &felled, &one[0]).await;
        assert_eq!((&now["status"], &now["carrier"]), (&json!(before), &Value::Null));
        assert_eq!(world.unsound().await, Vec::<String>::new());
    }
    // From the road it arrives first.
    world.event(holder, "loaded", one, load).await.expect(201);
    world.event(&felled.carrier, "departed", one, json!({})).await.expect(201);
    assert_eq!(world.event(holder, "unloaded", one, json!({})).await.codes(), ["transition-not-allowed"]);
    world.event(&felled.carrier, "arrived", one, json!({})).await.expect(201);
    world.event(holder, "received", one, json!({})).await.expect(201);
    world.event(holder, "loaded", one, json!({})).await.expect(201);
    world.event(holder, "unloaded", one, json!({})).await.expect(201);
    assert_eq!(log(&world, &felled, &one[0]).await["status"], "received");
    // Its recorder reverses the unloading for two hours, as a loading.
    let events =
        world.get(&format!("/v1/logs/{}/history", one[0]), holder).await.expect(200)["events"].clone();
    let undo = json!({"corrects": events.as_array().unwrap().len(), "reason": "Wrong log", "reverse": true});
    correct(&world, holder, &one[0], undo).await.expect(201);
    assert_eq!(log(&world, &felled, &one[0]).await["status"], "loaded");
    world.event(holder, "unloaded", one, json!({})).await.expect(201);
    assert_eq!(log(&world, &felled, &one[0]).await["status"], "received");
    assert_eq!(world.unsound().await, Vec::<String>::new());
}

#[tokio::test]
async fn a_loading_is_reversed_before_the_timber_is_seen_elsewhere() {
    let world = World::new().await;
    let felled = world.felled(3).await;
    let (holder, carrier) = (&felled.enterprise, &felled.carrier);
    let at = |lat: f64| json!({"lat": lat, "lon": 80.25});
    let undo = json!({"corrects": 2, "reason": "Wrong log", "reverse": true});
    let load = json!({"carrier_bin": carrier.bin, "vehicle": "123 ABC 10", "position": at(50.6)});
    world.event(holder, "loaded", &felled.logs, load).await.expect(201);
    world.later(30);
    // A record of a device of an earlier moment does not change the state. 0.0089 degrees of latitude are 990 m.
    let noted = async |n: usize, lat: f64| {
        world
            .event(
                &felled.inspector,
                "inspected",
                &felled.logs[n..=n],
                json!({
                    "details": {"outcome": "match"}, "position": at(lat)
                }),
            )
            .await
            .expect(201);
    };
    noted(0, 50.6).await;
    assert_eq!(
        correct(&world, holder, &felled.logs[0], undo.clone()).await.codes(),
        ["correction-by-inspector-only"],
        "inspected since"
    );
    for (n, lat, codes) in [(1, 50.6089, &[][..]), (2, 50.6091, &["correction-by-inspector-only"][..])] {
        let note = json!({"corrects": 2, "reason": "Place", "set": {"place": {"name": "Қойма"}}, "position": at(lat)});
        correct(&world, holder, &felled.logs[n], note).await.expect(201);
        let reversed = correct(&world, holder, &felled.logs[n], undo.clone()).await;
        if codes.is_empty() {
            reversed.expect(201);
        } else {
            reversed.expect(409);
            assert_eq!(reversed.codes(), codes);
        }
    }
    correct(&world, &felled.inspector, &felled.logs[2], undo).await.expect(201);
    assert_eq!(world.unsound().await, Vec::<String>::new());
}

#[tokio::test]
async fn a_seal_that_was_recorded_in_error_never_comes_back() {
    let world = World::new().await;
    let felled = world.felled(1).await;
    let holder = &felled.enterprise;
    let right = json!({"new_seal_number": felled.seals[0], "reason": "recorded_in_error"});
    world.event(holder, "seal_replaced", &felled.logs, right).await.expect(201);
    let wrong = verdict(&world, &felled.logs[0]).await;
    assert_eq!((&wrong["verdict"], &wrong["reason"]["code"]), (&json!("void"), &json!("recorded_in_error")));
    assert_eq!(verdict(&world, &felled.seals[0]).await["verdict"], "valid");
    let again = json!({"new_seal_number": felled.logs[0], "reason": "recorded_in_error"});
    let refused = world.event(holder, "seal_replaced", &felled.seals[..1], again).await;
    refused.expect(409);
    assert_eq!(refused.codes(), ["seal-void"]);
    let mut body = World::harvest_of(&felled.ticket, &felled.logs);
    body["logs"][0]["grade"] = json!(1);
    let refused = world.post("/v1/harvests", holder, body).await;
    refused.expect(409);
    assert_eq!(refused.codes(), ["seal-void"]);
    for reason in ["recorded_in_error", "annulled", "replaced"] {
        let path = format!("/v1/seals/{}/void", felled.seals[1]);
        let refused = world.post(&path, holder, json!({"reason": reason})).await;
        assert_eq!(
            refused.codes(),
            ["unknown-void-reason"],
            "{reason} is no reason to void a seal by itself"
        );
    }
    assert_eq!(world.unsound().await, Vec::<String>::new());
}

#[tokio::test]
async fn a_seizure_moves_possession_and_a_confiscation_ownership() {
    let world = World::new().await;
    let felled = world.felled(2).await;
    let (holder, inspector, one) = (&felled.enterprise, &felled.inspector, &felled.logs[..1]);
    let paper = json!({"kind": "act", "number": "21-Х"});
    let seize =
        json!({"custodian_bin": felled.forest_owner.bin, "place": {"name": "Қойма № 2"}, "document": paper});
    assert_eq!(world.event(holder, "seized", one, seize.clone()).await.codes(), ["not-yours-to-record"]);
    let bare = world.event(inspector, "seized", one, json!({})).await;
    bare.expect(422);
    assert_eq!(bare.codes(), ["required", "required", "required"]);
    let itself = json!({"custodian_bin": inspector.bin, "place": {"name": "Қойма"}, "document": paper});
    assert_eq!(world.event(inspector, "seized", one, itself).await.codes(), ["transfer-to-oneself"]);
    let carrier = json!({"custodian_bin": felled.carrier.bin, "place": {"name": "Қойма"}, "document": paper});
    assert_eq!(world.event(inspector, "seized", one, carrier).await.codes(), ["holds-no-timber"]);

    // On the road, and offered to a buyer.
    let load = json!({"carrier_bin": felled.carrier.bin, "vehicle": "123 ABC 10"});
    world.event(holder, "loaded", one, load).await.expect(201);
    world.event(holder, "transferred", one, json!({"to_bin": felled.sawmill.bin})).await.expect(201);
    world.event(&felled.carrier, "departed", one, json!({})).await.expect(201);
    let mut with_official = seize.clone();
    with_official["details"] =
        json!({"official": {"name": "Ермек Сейітов"}, "act": {"number": "17-Б", "date": "2026-10-05"}});
    let seized = world.event(inspector, "seized", one, with_official).await.expect(201);
    assert_eq!(seized["events"].as_array().map(Vec::len), Some(2), "and stopped by the same request");
    let now = log(&world, &felled, &one[0]).await;
    assert_eq!(
        (&now["status"], &now["holder"]["id"], &now["owner"]["id"], &now["held"]["reason"]),
        (&json!("stored"), &json!(felled.forest_owner.id), &json!(holder.id), &json!("seized"))
    );
    assert_eq!((&now["carrier"], &now["pending"]), (&Value::Null, &Value::Null));
    assert_eq!(verdict(&world, &one[0]).await["verdict"], "held");
    // The offer is gone: the buyer cannot take it over, and the custodian can do nothing with it.
    assert_eq!(world.event(&felled.sawmill, "received", one, json!({})).await.codes(), ["unknown-log"]);
    assert_eq!(world.event(&felled.forest_owner, "stored", one, json!({})).await.codes(), ["held"]);
    assert_eq!(
        world.event(&felled.forest_owner, "sold", one, json!({})).await.codes(),
        ["not-yours-to-record"]
    );

    let take = json!({"to_bin": felled.forest_owner.bin, "document": {"kind": "act", "number": "Сот-4"}});
    assert_eq!(world.event(inspector, "confiscated", one, json!({})).await.codes(), ["required", "required"]);
    assert_eq!(world.event(holder, "confiscated", one, take.clone()).await.codes(), ["not-yours-to-record"]);
    world.event(inspector, "confiscated", one, take.clone()).await.expect(201);
    let now = log(&world, &felled, &one[0]).await;
    assert_eq!(now["owner"]["id"], json!(felled.forest_owner.id));
    assert_ne!(now["held"], Value::Null, "it stays held");
    for seq in [5, 6, 7] {
        let undo = json!({"corrects": seq, "reason": "No", "reverse": true});
        assert_eq!(correct(&world, inspector, &one[0], undo).await.codes(), ["not-reversible"]);
    }
    let free = json!({"details": {"reason": "Sold by order of the court"}});
    world.event(inspector, "released", one, free).await.expect(201);
    world.event(&felled.forest_owner, "sold", one, json!({})).await.expect(201);
    assert_eq!(
        world.event(inspector, "seized", one, seize).await.codes(),
        ["transition-not-allowed"],
        "what was sold is not here to be seized"
    );
    // The former holder reads what happened up to then.
    let path = format!("/v1/logs/{}/history", one[0]);
    let seen = world.get(&path, holder).await.expect(200);
    let custodian =
        seen["events"].as_array().unwrap().iter().find_map(|event| event["details"].get("custodian"));
    assert_eq!(custodian.unwrap()["id"], json!(felled.forest_owner.id));
    assert_eq!(world.unsound().await, Vec::<String>::new());
}

#[tokio::test]
async fn a_wrong_responsible_person_is_corrected_by_a_new_personal_part() {
    let world = World::new().await;
    let felled = world.felled(1).await;
    let (holder, code) = (&felled.enterprise, felled.logs[0].as_str());
    let set = json!({"corrects": 1, "reason": "Other brigade", "set": {
        "responsible_person": {"name": "Бауыржан Ахметов", "iin": "850101300005"}
    }});
    assert_eq!(correct(&world, &felled.sawmill, code, set.clone()).await.codes(), ["unknown-log"]);
    let answer = correct(&world, holder, code, set).await.expect(201);
    assert_eq!(found(&answer), []);
    let path = format!("/v1/logs/{code}/history");
    let persons = |history: &Value| -> Vec<bool> {
        let events = history["events"].as_array().unwrap();
        events.iter().map(|event| event["parts"]["personal"]["text"].is_string()).collect()
    };
    for who in [holder, &felled.inspector, &felled.forest_owner] {
        let history = world.get(&path, who).await.expect(200);
        assert_eq!(persons(&history), [true, true]);
        let text = history["events"][1]["parts"]["personal"]["text"].as_str().unwrap();
        assert_eq!(text, r#"{"iin":"850101300005","name":"Бауыржан Ахметов","v":1}"#);
        for part in ["public", "business"] {
            let text = history["events"][1]["parts"][part]["text"].as_str().unwrap();
            assert!(!text.contains("Ахметов") && !text.contains("850101300005"), "{text}");
        }
    }
    // The next holder sees neither.
    world.event(holder, "transferred", &felled.logs, json!({"to_bin": felled.sawmill.bin})).await.expect(201);
    world.event(&felled.sawmill, "accepted", &felled.logs, json!({})).await.expect(201);
    assert_eq!(persons(&world.get(&path, &felled.sawmill).await.expect(200)), [false; 4]);
    let late = json!({"corrects": 2, "reason": "?", "set": {"responsible_person": {"name": "Асан"}}});
    let refused = correct(&world, &felled.inspector, code, late).await;
    refused.expect(422);
    assert_eq!(refused.codes(), ["only-of-the-harvest"]);
    assert_eq!(world.unsound().await, Vec::<String>::new());

    // Erasing the person of the harvest erases both; an official of an inspection stays.
    let seen = json!({"details": {"outcome": "match", "official": {"name": "Ермек Сейітов"}}});
    world.event(&felled.inspector, "inspected", &felled.logs, seen).await.expect(201);
    assert_eq!(personal_errors(&world).await, Vec::<String>::new());
    let mut owner = world.owner().await;
    let harvest = felled.harvest["id"].as_str().unwrap().parse::<uuid::Uuid>().unwrap();
    let target = ErasureTarget::Harvest(harvest.into());
    let preview = erase::preview(&mut owner, &target, &world.clock).await.unwrap();
    assert_eq!(preview.lines.len(), 2, "{preview}");
    assert!(
        preview.lines.iter().all(|line| line.contains(&format!("person of harvest {harvest}"))),
        "{preview}"
    );
    let erased = erase::delete(&mut owner, &target, &world.clock).await.unwrap();
    assert_eq!(erased.parts, 2);
    let history = world.get(&path, &felled.inspector).await.expect(200);
    let erased: Vec<_> = history["events"]
        .as_array()
        .unwrap()
        .iter()
        .map(|event| event["parts"]["personal"]["erased"] == true)
        .collect();
    assert_eq!(erased, [true, true, false, false, false]);
    assert!(!history.to_string().contains("Ахметов") && history.to_string().contains("Сейітов"));
    assert_eq!(personal_errors(&world).await, Vec::<String>::new());
    let kept: i64 = sqlx::query_scalar(
        "SELECT count(o.fingerprint) FROM event e JOIN operation o USING (organization_id, operation_id)
         WHERE e.personal_id IS NOT NULL AND e.type IN ('harvested', 'corrected')",
    )
    .fetch_one(&mut owner)
    .await
    .unwrap();
    assert_eq!(kept, 0, "no fingerprint of an erased person stays");
}

/// The `fsck` errors about events and personal parts.
async fn personal_errors(world: &World) -> Vec<String> {
    let mut found: Vec<fsck::FsckError> = Vec::new();
    fsck::check(&mut world.owner().await, &fsck::Scope::default(), &mut found).await.unwrap();
    found.retain(|error| ["personal", "event"].contains(&error.table));
    let own = found.iter().map(ToString::to_string);
    // The world makes its organisations and keys without the API.
    own.filter(|error| !error.contains("api_key") && !error.contains("organization")).collect()
}

#[tokio::test]
async fn a_truck_without_papers_is_found() {
    let world = World::new().await;
    let felled = world.felled(1).await;
    let (holder, one) = (&felled.enterprise, &felled.logs[..]);
    let answer = world.event(holder, "loaded", one, json!({})).await.expect(201);
    assert_eq!(found(&answer), [("no-papers", "warning")]);
    let answer = world.event(holder, "departed", one, json!({})).await.expect(201);
    assert_eq!(found(&answer), [("no-papers", "warning")]);
    world.event(holder, "arrived", one, json!({})).await.expect(201);
    world.event(holder, "received", one, json!({})).await.expect(201);
    let answer = world.event(holder, "loaded", one, json!({"vehicle": "123 ABC 10"})).await.expect(201);
    assert_eq!(found(&answer), [("no-papers", "notice")]);
    world.event(holder, "unloaded", one, json!({})).await.expect(201);
    let load = json!({"vehicle": "123 ABC 10", "carrier_bin": felled.carrier.bin});
    assert_eq!(found(&world.event(holder, "loaded", one, load).await.expect(201)), []);
    let paper = json!({"document": {"kind": "waybill", "number": "ТТН-118"}});
    assert_eq!(found(&world.event(&felled.carrier, "departed", one, paper).await.expect(201)), []);
}

/// 64 pairs of requests at the same time, each about one log. Returns how often the first won; in every pair one
/// of the two is refused.
async fn race(
    world: &World,
    logs: &[String],
    first: (&Org, &str, &Value),
    second: (&Org, &str, &Value),
) -> usize {
    let mut wins = 0;
    let pairs = logs.chunks(1).map(|one| async move {
        tokio::join!(
            world.event(first.0, first.1, one, first.2.clone()),
            world.event(second.0, second.1, one, second.2.clone())
        )
    });
    for (first, second) in futures_util::future::join_all(pairs).await {
        match (first.status.as_u16(), second.status.as_u16()) {
            (201, 409) => wins += 1,
            (409, 201) => {}
            other => panic!("{other:?}: {} {}", first.json(), second.json()),
        }
    }
    assert_eq!(world.unsound().await, Vec::<String>::new());
    wins
}

#[tokio::test]
async fn of_an_annulment_and_a_sale_at_once_one_wins() {
    let world = World::new().await;
    let felled = world.felled(1).await;
    let holder = &felled.enterprise;
    // Its recorder may annul one log in a hundred and 1 m³: 64 tickets with one log of 0.33 m³ each.
    let seals = world.seals(&felled.operator, holder, 64).await;
    for (n, seal) in seals.iter().enumerate() {
        let ticket = world.ticket(&felled.forest_owner, holder, &format!("77{n:05}")).await;
        let body = World::harvest_of(ticket["id"].as_str().unwrap(), std::slice::from_ref(seal));
        world.post("/v1/harvests", holder, body).await.expect(201);
    }
    let offer = json!({"to_bin": felled.sawmill.bin});
    let annulled =
        race(&world, &seals, (holder, "corrected", &annul()), (holder, "transferred", &offer)).await;
    let mut seen = 0;
    for seal in &seals {
        let now = log(&world, &felled, seal).await;
        assert_ne!(now["status"] == "annulled", now["pending"].is_object(), "never both: {now}");
        seen += usize::from(now["status"] == "annulled");
    }
    assert_eq!(seen, annulled);
}

/// Whichever came first, the log is held; it is annulled only if the annulment came first.
#[tokio::test]
async fn a_hold_and_an_annulment_at_once_lose_nothing() {
    let world = World::new().await;
    let felled = world.felled(1).await;
    let holder = &felled.enterprise;
    let seals = world.seals(&felled.operator, holder, 64).await;
    for (n, seal) in seals.iter().enumerate() {
        let ticket = world.ticket(&felled.forest_owner, holder, &format!("78{n:05}")).await;
        let body = World::harvest_of(ticket["id"].as_str().unwrap(), std::slice::from_ref(seal));
        world.post("/v1/harvests", holder, body).await.expect(201);
    }
    let stop = json!({"details": {"reason": "No papers"}});
    let (world, felled, stop) = (&world, &felled, &stop);
    let pairs = seals.chunks(1).map(|one| async move {
        tokio::join!(
            world.event(&felled.inspector, "detained", one, stop.clone()),
            world.event(&felled.enterprise, "corrected", one, annul())
        )
    });
    for (seal, (held, annulled)) in seals.iter().zip(futures_util::future::join_all(pairs).await) {
        held.expect(201);
        let now = log(world, felled, seal).await;
        assert_ne!(now["held"], Value::Null);
        assert_eq!(annulled.status.as_u16() == 201, now["status"] == "annulled", "{}", annulled.json());
        if annulled.status.as_u16() != 201 {
            annulled.expect(409);
            assert_eq!(annulled.codes()[0], "held");
        }
    }
    assert_eq!(world.unsound().await, Vec::<String>::new());
}

#[tokio::test]
async fn of_a_seizure_and_a_sale_at_once_one_wins() {
    let world = World::new().await;
    let felled = world.felled(64).await;
    let seize = json!({
        "custodian_bin": felled.forest_owner.bin, "place": {"name": "Қойма № 2"},
        "document": {"kind": "act", "number": "21-Х"}
    });
    race(
        &world,
        &felled.logs,
        (&felled.inspector, "seized", &seize),
        (&felled.enterprise, "sold", &json!({})),
    )
    .await;
    for one in &felled.logs {
        let now = log(&world, &felled, one).await;
        assert_ne!(now["status"] == "sold", now["held"].is_object(), "{now}");
    }
}

/// 64 annulments of one ticket's logs at once: one in a hundred, and at least one, is one.
#[tokio::test]
async fn annulments_at_once_keep_the_limit_of_their_ticket() {
    let world = World::new().await;
    let felled = world.felled(64).await;
    let all = felled.logs.iter().map(|one| correct(&world, &felled.enterprise, one, annul()));
    let answers = futures_util::future::join_all(all).await;
    let codes: Vec<_> =
        answers.iter().filter(|answer| answer.status.as_u16() != 201).map(|a| a.codes()).collect();
    assert_eq!(codes.len(), 63);
    assert!(codes.iter().all(|codes| codes == &["correction-by-inspector-only"]));
    assert_eq!(world.unsound().await, Vec::<String>::new());
}

/// Sell, reverse, new seal, sell again: the second reversal is an inspector's.
#[tokio::test]
async fn a_second_sale_is_reversed_by_an_inspector_only() {
    let world = World::new().await;
    let felled = world.felled(3).await;
    let holder = &felled.enterprise;
    let one = &felled.logs[..1];
    let undo = |seq: u32| json!({"corrects": seq, "reason": "Not sold", "reverse": true});
    world.event(holder, "sold", one, json!({})).await.expect(201);
    let answer = correct(&world, holder, &one[0], undo(2)).await.expect(201);
    assert_eq!(found(&answer), [("closing-reversed", "warning")]);
    let body = json!({"new_seal_number": felled.seals[0], "reason": "Broken"});
    world.event(holder, "seal_replaced", one, body).await.expect(201);
    // Another way of closing it is no way round.
    world.event(holder, "processed", &felled.seals[..1], json!({})).await.expect(201);
    let refused = correct(&world, holder, &felled.seals[0], undo(5)).await;
    refused.expect(409);
    assert_eq!(refused.codes(), ["correction-by-inspector-only"]);
    let answer = correct(&world, &felled.inspector, &felled.seals[0], undo(5)).await.expect(201);
    assert_eq!(found(&answer), [("closing-reversed", "warning")]);
    // The reversal of what closes nothing is not limited, and no other log is.
    world.event(holder, "stored", &felled.seals[..1], json!({})).await.expect(201);
    correct(&world, holder, &felled.seals[0], undo(7)).await.expect(201);
    world.event(holder, "sold", &felled.logs[1..2], json!({})).await.expect(201);
    correct(&world, holder, &felled.logs[1], undo(2)).await.expect(201);
    assert_eq!(world.unsound().await, Vec::<String>::new());
}

/// After a reversed sale the volume does not return to the ticket by its recorder's hand.
#[tokio::test]
async fn the_harvest_of_a_log_that_was_sold_is_corrected_by_an_inspector_only() {
    let world = World::new().await;
    let felled = world.felled(2).await;
    let holder = &felled.enterprise;
    let smaller = json!({"corrects": 1, "reason": "Misread",
        "set": {"top_diameter_cm": 14, "length_m": 3, "volume_m3": 0.053}});
    let before = marked(&world, &felled).await;
    for closing in ["sold", "lost"] {
        let log = &felled.logs[usize::from(closing == "lost")];
        world.event(holder, closing, std::slice::from_ref(log), json!({})).await.expect(201);
        let undo = json!({"corrects": 2, "reason": "Not so", "reverse": true});
        correct(&world, holder, log, undo).await.expect(201);
        for body in
            [smaller.clone(), json!({"corrects": 1, "reason": "Misread", "set": {"grade": 2}}), annul()]
        {
            let refused = correct(&world, holder, log, body).await;
            refused.expect(409);
            assert_eq!(refused.codes(), ["correction-by-inspector-only"], "{closing}");
        }
    }
    assert_eq!(marked(&world, &felled).await, before);
    correct(&world, &felled.inspector, &felled.logs[0], smaller).await.expect(201);
    assert_eq!(world.unsound().await, Vec::<String>::new());
}
