//! Requests in which every text has its maximum length: each is accepted, or its errors name the texts to
//! shorten. The texts consist of Cyrillic letters (two bytes each) or of letters of four bytes.

use crate::world::{Answer, Felled, Org, World};
use serde_json::{Value, json};

/// A Cyrillic letter, and a letter that takes four bytes, the maximum in UTF-8.
const LETTERS: [&str; 2] = ["Ж", "𐊀"];

/// Pointers of the errors of a refused request. Panics if it has any error other than `too-long-together`.
#[track_caller]
fn too_long(answer: &Answer) -> Vec<String> {
    let body = answer.expect(422);
    assert!(answer.codes().iter().all(|code| code == "too-long-together"), "{body}");
    let entries = body["errors"].as_array().unwrap();
    entries.iter().map(|entry| entry["pointer"].as_str().unwrap_or_default().to_owned()).collect()
}

/// Whether the request was accepted (201). Otherwise it must be a 422 in which every error names one of the
/// texts of the request.
#[track_caller]
fn fits_or_names(answer: &Answer, request: &Value) -> bool {
    if answer.status.as_u16() == 201 {
        return true;
    }
    let places = too_long(answer);
    assert!(!places.is_empty());
    for place in places {
        assert!(request.pointer(&place).is_some_and(Value::is_string), "{place} names no text of {request}");
    }
    false
}

/// Shortens each of these texts by a quarter.
fn shorten(body: &mut Value, places: &[String]) {
    for place in places {
        let text = body.pointer_mut(place).unwrap();
        let long: Vec<char> = text.as_str().unwrap().chars().collect();
        let shorter: String = long[long.len() / 4..].iter().collect();
        *text = json!(shorter);
    }
}

fn ticket(holder: &Org, letter: &str, number: usize) -> Value {
    let long = |count: usize| json!(letter.repeat(count));
    json!({
        "series": long(20), "number": format!("{}{number}", letter.repeat(39)), "issued_on": "2026-08-20",
        "holder_bin": holder.bin, "felling_kind": "intermediate", "forest_category": long(60),
        "forest_type": long(60),
        "origin": {"region": "KZ-10", "district": long(60), "forestry": long(100), "compartment": long(40),
            "subcompartment": long(40), "cutting_area": long(40)},
        "area_ha": 9999.9999, "felling_from": "2026-09-01", "felling_until": "2026-12-31",
        "removal_until": "2027-03-31",
        "lines": [{"species": "populus_diversifolia", "wood": "brushwood", "volume_m3": 99999.9999}]
    })
}

/// A stack with a value of maximum length in every member, as far as the volume fits the measures.
fn stack(seal: &str) -> Value {
    json!({
        "seal_number": seal, "kind": "stack", "species": "populus_diversifolia", "wood": "brushwood",
        "assortment": "veneer_log", "grade": 4, "length_m": 10.25, "top_diameter_cm": 10.5, "pieces": 10000,
        "volume_m3": 999.9999, "measurement_method": "stack_geometric",
        "occurred_at": "2026-10-05T09:30:00.123456+05:00",
        "position": {"lat": -50.123_456_7, "lon": -180.0, "accuracy_m": 99.99}
    })
}

#[tokio::test]
async fn the_longest_ticket_and_the_longest_harvest_under_it() {
    for letter in LETTERS {
        let world = World::new().await;
        let (operator, owner, holder) =
            (world.operator().await, world.forest_owner().await, world.enterprise().await);
        let mut body = ticket(&holder, letter, 1);
        let mut issued = world.post("/v1/felling-tickets", &owner, body.clone()).await;
        if letter == "Ж" {
            // People write Cyrillic: a ticket with all texts at their maximum length must fit.
            assert_eq!(issued.status.as_u16(), 201, "{issued:?}");
        }
        // A client that shortens the named texts succeeds in the end.
        let mut tries = 0;
        while !fits_or_names(&issued, &body) {
            tries += 1;
            assert!(tries < 20, "{issued:?}");
            shorten(&mut body, &too_long(&issued));
            issued = world.post("/v1/felling-tickets", &owner, body.clone()).await;
        }
        let id = issued.json()["id"].as_str().unwrap().to_owned();
        let serial = "0".repeat(17) + "001";
        let number = "KZ-".to_owned() + &"9".repeat(17);
        let code = ormantrace::timber::seal::marking_code::Identification::new(
            ormantrace::timber::seal::gs1::Gtin::DEMONSTRATION,
            &serial,
        );
        let seals = json!({"holder_bin": holder.bin,
            "seals": [{"number": number, "marking_code": code.unwrap().as_str()}]});
        world.post("/v1/seals", &operator, seals).await.expect(201);
        let harvest = json!({
            "felling_ticket_id": id,
            "responsible_person": {"name": letter.repeat(200), "iin": null},
            "logs": [stack(&number)],
            "device": {"id": letter.repeat(40), "seq": i64::MAX, "recorded_at": "2026-10-05T09:30:00.123456+05:00"}
        });
        let recorded = world.post("/v1/harvests", &holder, harvest.clone()).await;
        recorded.expect(201);
        let path = format!("/v1/felling-tickets/{id}");
        for (verb, mut body) in [
            ("extend", json!({"felling_until": "2027-01-31", "removal_until": "2027-04-30"})),
            ("cancel", json!({})),
        ] {
            body["reason"] = json!(letter.repeat(200));
            world.post(&format!("{path}/{verb}"), &owner, body).await.expect(200);
        }
    }
}

/// An event with every text that its type allows, each at its maximum length.
fn event(event: &str, felled: &Felled, letter: &str) -> Value {
    let long = |count: usize| json!(letter.repeat(count));
    let mut body = json!({
        "place": {"name": long(100), "region": "KZ-10", "kind": "felling_site"},
        "position": {"lat": -50.123_456_7, "lon": -180.0, "accuracy_m": 99.99},
        "document": {"kind": "contract", "number": long(40), "issued_on": "2026-10-01"},
        "details": {"note": long(150)},
        "device": {"id": long(40), "seq": i64::MAX, "recorded_at": "2026-10-05T10:00:00.123456+05:00"}
    });
    match event {
        "loaded" => {
            body["carrier_bin"] = json!(felled.carrier.bin);
            body["vehicle"] = long(40);
        }
        "transferred" => body["to_bin"] = json!(felled.sawmill.bin),
        "seal_replaced" => {
            body["new_seal_number"] = json!(felled.seals[0]);
            body["reason"] = long(200);
        }
        "corrected" => {
            body["corrects"] = json!(1);
            body["reason"] = long(200);
            body["set"] = json!({
                "species": "pinus_sylvestris", "wood": "commercial", "assortment": "veneer_log", "grade": 4,
                "length_m": 6.25, "top_diameter_cm": 24.5, "volume_m3": 0.3377,
                "occurred_at": "2026-10-05T09:31:00.123456+05:00",
                "place": {"name": long(100), "region": "KZ-10", "kind": "felling_site"}
            });
        }
        "inspected" => {
            body["details"]["outcome"] = json!("seal_damaged");
            body["details"]["observed"] =
                json!({"species": "populus_diversifolia", "length_m": 29.99, "top_diameter_cm": 299.9});
        }
        _ => {}
    }
    body
}

#[tokio::test]
async fn every_custody_event_at_its_longest() {
    for letter in LETTERS {
        let world = World::new().await;
        let felled = world.felled(1).await;
        let mut fitted = Vec::new();
        let kinds =
            ["stored", "loaded", "transferred", "seal_replaced", "corrected", "inspected", "lost", "found"];
        for (kind, seq) in kinds.into_iter().zip(1_u32..) {
            let who = if ["inspected", "corrected"].contains(&kind) {
                &felled.inspector
            } else {
                &felled.enterprise
            };
            let mut body = event(kind, &felled, letter);
            body["device"]["seq"] = json!(i64::MAX - i64::from(seq));
            let answer = world.event(who, kind, &felled.logs, body.clone()).await;
            if fits_or_names(&answer, &body) {
                fitted.push(kind);
                continue;
            }
            // A client that shortens the named texts succeeds in the end, and the refusals have used up
            // nothing: the device's sequence number is still free.
            let (mut shorter, mut answer, mut tries) = (body, answer, 0);
            while !fits_or_names(&answer, &shorter) {
                tries += 1;
                assert!(tries < 40, "{answer:?}");
                shorten(&mut shorter, &too_long(&answer));
                answer = world.event(who, kind, &felled.logs, shorter.clone()).await;
            }
        }
        if letter == "Ж" {
            assert!(!fitted.is_empty(), "the plainest events fit in Cyrillic");
        }
    }
}

#[tokio::test]
async fn the_longest_names_of_organisations_keys_and_notes() {
    for letter in LETTERS {
        let world = World::new().await;
        let operator = world.operator().await;
        let body = json!({"bin": crate::world::bin(60), "name": letter.repeat(200), "kind": "farm",
            "roles": ["forest_owner", "enterprise", "carrier"]});
        let made = world.post("/v1/organizations", &operator, body).await.expect(201);
        let path = format!("/v1/organizations/{}/keys", made["id"].as_str().unwrap());
        world.post(&path, &operator, json!({"label": letter.repeat(200)})).await.expect(201);
    }
}
