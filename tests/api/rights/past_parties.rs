//! A past party of a log, or the issuer of its ticket, learns nothing of later events of the log.

use crate::world::{Felled, Org, World};
use axum::body::Body;
use axum::http::Request;
use serde_json::{Value, json};

/// Returns the field errors of each custody event that `who` tries to record. All of them must be refused.
async fn refusals(world: &World, felled: &Felled, who: &Org) -> Value {
    let to = if who.id == felled.forest_owner.id { &felled.enterprise } else { &felled.forest_owner };
    let posts = [
        ("stored", json!({})),
        ("departed", json!({})),
        ("received", json!({})),
        ("accepted", json!({})),
        ("withdrawn", json!({})),
        ("processed", json!({})),
        ("lost", json!({})),
        ("found", json!({})),
        ("transferred", json!({"to_bin": to.bin})),
        ("inspected", json!({"details": {"outcome": "match"}})),
        ("corrected", json!({"corrects": 3, "reason": "?", "set": {"place": {"name": "Қойма"}}})),
        ("corrected", json!({"corrects": 4, "reason": "?", "reverse": true})),
        ("corrected", json!({"corrects": 99, "reason": "?", "reverse": true})),
    ];
    let mut told = Vec::new();
    for (what, more) in posts {
        let answer = world.event(who, what, &felled.logs, more).await;
        answer.expect(409);
        let expected = if what == "corrected" { "correction-not-yours" } else { "not-yours-to-record" };
        assert_eq!(answer.codes(), [expected], "{what}");
        let errors = answer.json()["errors"].clone();
        assert!(errors[0].get("allowed").is_none_or(|allowed| allowed == &json!([])), "{errors}");
        told.push(errors);
    }
    Value::Array(told)
}

#[tokio::test]
async fn a_refusal_is_the_same_whatever_became_of_the_log() {
    let world = World::new().await;
    let felled = world.felled(1).await;
    let (seller, buyer, logs) = (&felled.enterprise, &felled.sawmill, &felled.logs[..]);
    world.event(seller, "transferred", logs, json!({"to_bin": buyer.bin})).await.expect(201);
    world.event(buyer, "accepted", logs, json!({})).await.expect(201);
    let watchers = [seller, &felled.forest_owner];
    let mut first = Vec::new();
    for who in watchers {
        first.push(refusals(&world, &felled, who).await);
    }
    let offer = json!({"to_bin": felled.forest_owner.bin, "of": "ownership"});
    let steps = [
        ("stored", json!({})),
        ("transferred", offer),
        ("withdrawn", json!({})),
        ("loaded", json!({"carrier_bin": felled.carrier.bin})),
        ("departed", json!({})),
        ("arrived", json!({})),
        ("received", json!({})),
        ("void", json!({"reason": "lost"})),
        ("lost", json!({})),
    ];
    for (what, more) in steps {
        if what == "void" {
            world.post(&format!("/v1/seals/{}/void", logs[0]), buyer, more).await.expect(200);
        } else {
            world.event(buyer, what, logs, more).await.expect(201);
        }
        for (who, first) in watchers.iter().zip(&first) {
            // While a transfer to the forest owner is pending, the forest owner sees the log, so its refusals
            // differ.
            if what == "transferred" && who.id == felled.forest_owner.id {
                continue;
            }
            assert_eq!(&refusals(&world, &felled, who).await, first, "after {what}");
        }
    }
    // A refusal to a present party lists the events that are allowed.
    let refused = world.event(buyer, "stored", logs, json!({})).await;
    assert_eq!(refused.codes(), ["seal-void"]);
    assert_eq!(refused.json()["errors"][0]["allowed"], json!(["corrected"]));
}

#[tokio::test]
async fn a_past_holder_corrects_nothing_that_others_have_followed() {
    let world = World::new().await;
    let felled = world.felled(1).await;
    let (seller, buyer, logs) = (&felled.enterprise, &felled.sawmill, &felled.logs[..]);
    world.event(seller, "stored", logs, json!({})).await.expect(201);
    world.event(seller, "transferred", logs, json!({"to_bin": buyer.bin})).await.expect(201);
    world.event(buyer, "accepted", logs, json!({})).await.expect(201);
    world.event(buyer, "stored", logs, json!({})).await.expect(201);
    let right =
        json!({"corrects": 2, "reason": "Қойма шатастырылған", "set": {"place": {"name": "Жоғарғы қойма"}}});
    let refused = world.event(seller, "corrected", logs, right).await;
    refused.expect(409);
    assert_eq!(refused.codes(), ["correction-by-inspector-only"]);
    let undo = |corrects: u32| json!({"corrects": corrects, "reason": "Басқа бөрене болды", "reverse": true});
    let refused = world.event(seller, "corrected", logs, undo(2)).await;
    refused.expect(409);
    assert_eq!(refused.codes(), ["not-reversible"]);
    let detail = refused.json()["errors"][0]["detail"].as_str().unwrap().to_owned();
    assert!(
        !detail.contains(|c: char| c.is_ascii_digit()),
        "the number of the last event is disclosed: {detail}"
    );
    // The present holder gets that number.
    let refused = world.event(buyer, "corrected", logs, undo(4)).await;
    assert!(refused.json()["errors"][0]["detail"].as_str().unwrap().contains(": 5."), "{refused:?}");
    let refused = world.event(buyer, "corrected", logs, undo(99)).await;
    refused.expect(422);
    assert_eq!(refused.codes(), ["unknown-event"]);
}

#[tokio::test]
async fn an_etag_of_a_past_party_holds_while_its_response_does() {
    let world = World::new().await;
    let felled = world.felled(1).await;
    let (seller, buyer, logs) = (&felled.enterprise, &felled.sawmill, &felled.logs[..]);
    world.event(seller, "transferred", logs, json!({"to_bin": buyer.bin})).await.expect(201);
    world.event(buyer, "accepted", logs, json!({})).await.expect(201);
    let log = format!("/v1/logs/{}", logs[0]);
    let paths = [log.clone(), format!("{log}/history"), format!("{log}/history?evidence=none")];
    let read = async |who: &Org| {
        let mut answers = Vec::new();
        for path in &paths {
            let answer = world.get(path, who).await;
            answer.expect(200);
            answers.push((answer.headers["etag"].to_str().unwrap().to_owned(), answer.bytes));
        }
        answers
    };
    let past = [seller, &felled.forest_owner];
    let [sold, issued] = [read(past[0]).await, read(past[1]).await];
    assert_ne!(sold[1].0, issued[1].0, "of one caller");
    assert!(sold[0].0 != sold[1].0 && sold[1].0 != sold[2].0, "of one URL");
    let steps = [
        ("stored", json!({})),
        ("loaded", json!({"carrier_bin": felled.carrier.bin})),
        ("departed", json!({})),
        ("arrived", json!({})),
        ("received", json!({})),
        ("sold", json!({})),
    ];
    for (what, more) in steps {
        world.event(buyer, what, logs, more).await.expect(201);
        for (who, first) in past.into_iter().zip([&sold, &issued]) {
            assert_eq!(&read(who).await, first, "after {what}");
            for (path, (etag, _)) in paths.iter().zip(first) {
                let request = Request::get(path)
                    .header("authorization", format!("Bearer {}", who.token))
                    .header("if-none-match", etag);
                let answer = world.send(request.body(Body::empty()).unwrap()).await;
                assert_eq!(answer.status, 304, "{path} after {what}");
            }
        }
    }
    // The issuer may see a correction of the harvest, so the issuer's response and its ETag change.
    world.later(73 * 60);
    let set = json!({"corrects": 1, "reason": "қате", "set": {"volume_m3": 0.32}});
    world.event(&felled.inspector, "corrected", logs, set).await.expect(201);
    for (before, now) in issued.iter().zip(read(&felled.forest_owner).await) {
        assert!(before.0 != now.0 && before.1 != now.1);
    }
}
