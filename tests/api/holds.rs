//! Holds: what stops a log, what a stopped log may still do, what the public sees, and what ends it.

use crate::world::{Answer, Felled, Org, World};
use serde_json::{Value, json};

const DETAINED: fn() -> Value = || json!({"details": {"reason": "Ticket number is not on the log"}});

async fn log(world: &World, felled: &Felled, log: &str) -> Value {
    world.get(&format!("/v1/logs/{log}"), &felled.enterprise).await.expect(200)
}

async fn verdict(world: &World, code: &str) -> Value {
    let path = format!("/v1/verify/{code}");
    world.call(axum::http::Method::GET, &path, None, Value::Null).await.expect(200)
}

#[tokio::test]
async fn a_detained_log_stays_where_it_is_until_it_is_released() {
    let world = World::new().await;
    let felled = world.felled(2).await;
    let (holder, inspector, one) = (&felled.enterprise, &felled.inspector, &felled.logs[..1]);
    assert_eq!(world.event(holder, "detained", one, DETAINED()).await.codes(), ["not-yours-to-record"]);
    assert_eq!(world.event(inspector, "released", one, DETAINED()).await.codes(), ["transition-not-allowed"]);
    let stopped = world.event(inspector, "detained", one, DETAINED()).await.expect(201);
    assert_eq!(stopped["events"].as_array().map(Vec::len), Some(1));

    let held = log(&world, &felled, &one[0]).await;
    assert_eq!(held["held"]["reason"], "Ticket number is not on the log");
    assert_eq!(log(&world, &felled, &felled.logs[1]).await["held"], Value::Null, "the other one is free");
    let public = verdict(&world, &one[0]).await;
    assert_eq!((&public["verdict"], &public["for_sale"]), (&json!("held"), &Value::Null));
    assert_eq!(public["message"]["en"], "This timber is stopped. Do not buy it until it is released.");
    let text = public.to_string();
    assert!(
        !text.contains("Ticket number") && !text.contains("инспекция"),
        "neither reason nor inspector: {text}"
    );

    for (event, more) in [
        ("stored", json!({})),
        ("loaded", json!({"carrier_bin": felled.carrier.bin, "vehicle": "123 ABC 10"})),
        ("transferred", json!({"to_bin": felled.sawmill.bin})),
        ("processed", json!({})),
        ("exported", json!({})),
        ("sold", json!({})),
        ("seal_replaced", json!({"new_seal_number": felled.seals[0], "reason": "Torn off"})),
    ] {
        let refused = world.event(holder, event, one, more).await;
        refused.expect(409);
        assert_eq!(refused.codes(), ["held"], "{event}");
        let allowed = &refused.json()["errors"][0]["allowed"];
        assert_eq!(allowed, &json!(["lost", "destroyed"]), "{event}");
    }
    let void = format!("/v1/seals/{}/void", one[0]);
    let refused = world.post(&void, holder, json!({"reason": "spoiled"})).await;
    refused.expect(409);
    assert_eq!(refused.codes(), ["held"]);

    world
        .event(inspector, "released", one, json!({"details": {"reason": "Found in the office"}}))
        .await
        .expect(201);
    assert_eq!(log(&world, &felled, &one[0]).await["held"], Value::Null);
    assert_eq!(verdict(&world, &one[0]).await["verdict"], "valid");
    world.event(holder, "stored", one, json!({})).await.expect(201);
    assert_eq!(world.unsound().await, Vec::<String>::new());
}

#[tokio::test]
async fn an_inspection_that_finds_another_log_stops_it_in_the_same_request() {
    let world = World::new().await;
    let felled = world.felled(4).await;
    let inspector = &felled.inspector;
    let inspect = async |at: usize, details: Value| {
        world.event(inspector, "inspected", &felled.logs[at..=at], json!({"details": details})).await
    };
    let mismatch = inspect(0, json!({"outcome": "mismatch", "observed": {"species": "larix_sibirica"}}))
        .await
        .expect(201);
    let seqs: Vec<_> =
        mismatch["events"].as_array().unwrap().iter().map(|event| event["seq"].clone()).collect();
    assert_eq!(seqs, [json!(2), json!(3)], "inspected, and detained right behind it");
    assert_eq!(mismatch["findings"][0]["rule"], "inspection-mismatch");
    // The finding questions the holder, not the inspector who made it.
    let findings = world.get("/v1/findings", &felled.enterprise).await.expect(200);
    assert_eq!(findings["items"][0]["rule"], "inspection-mismatch");
    let missing = inspect(1, json!({"outcome": "seal_missing", "hold": false})).await.expect(201);
    assert_eq!(missing["events"].as_array().map(Vec::len), Some(1), "the inspector decided not to stop it");
    let damaged = inspect(2, json!({"outcome": "seal_damaged"})).await.expect(201);
    assert_eq!(damaged["events"].as_array().map(Vec::len), Some(1), "damage alone stops nothing");
    let stopped = inspect(3, json!({"outcome": "seal_damaged", "hold": true})).await.expect(201);
    assert_eq!(stopped["events"].as_array().map(Vec::len), Some(2));

    let seen = [verdict(&world, &felled.logs[0]).await, verdict(&world, &felled.logs[1]).await];
    assert_eq!((&seen[0]["verdict"], &seen[1]["verdict"]), (&json!("held"), &json!("valid")));
    assert_eq!(seen[1]["for_sale"], json!({"offered": false, "why": "reseal"}));
    assert!(seen[1]["message"]["ru"].as_str().unwrap().contains("до новой пломбы"), "{}", seen[1]["message"]);
    let body = json!({"new_seal_number": felled.seals[0], "reason": "Seal was missing"});
    world.event(&felled.enterprise, "seal_replaced", &felled.logs[1..2], body).await.expect(201);
    assert_eq!(verdict(&world, &felled.seals[0]).await["for_sale"], json!({"offered": true}));

    let as_recorded = inspect(2, json!({"outcome": "match", "hold": true})).await;
    as_recorded.expect(422);
    assert_eq!(as_recorded.codes(), ["not-for-this-type"]);
    assert_eq!(world.unsound().await, Vec::<String>::new());
}

#[tokio::test]
async fn a_hold_outlives_the_end_of_a_journey_and_the_reversal_before_it() {
    let world = World::new().await;
    let felled = world.felled(1).await;
    let (holder, inspector, one) = (&felled.enterprise, &felled.inspector, &felled.logs[..]);
    let load = json!({"carrier_bin": felled.carrier.bin, "vehicle": "123 ABC 10"});
    world.event(holder, "loaded", one, load).await.expect(201);
    world.event(holder, "transferred", one, json!({"to_bin": felled.sawmill.bin})).await.expect(201);
    world.event(&felled.carrier, "departed", one, json!({})).await.expect(201);
    let official = json!({"details": {
        "reason": "No papers", "official": {"name": "Ермек Сейітов", "post": "Инспектор"},
        "act": {"number": "17-Б", "date": "2026-10-05"}
    }});
    world.event(inspector, "detained", one, official).await.expect(201);
    // A truck that was stopped may arrive and be unloaded; nothing else.
    world.event(&felled.carrier, "arrived", one, json!({})).await.expect(201);
    world.event(&felled.sawmill, "received", one, json!({})).await.expect(201);
    assert_eq!(world.event(&felled.sawmill, "accepted", one, json!({})).await.codes(), ["held"]);
    // The inspector's reversal of the receipt leaves the hold.
    let reversal = json!({"corrects": 7, "reverse": true, "reason": "Wrong truck"});
    world.event(inspector, "corrected", one, reversal).await.expect(201);
    let now = world.get(&format!("/v1/logs/{}", one[0]), inspector).await.expect(200);
    assert_eq!((&now["status"], &now["held"]["reason"]), (&json!("arrived"), &json!("No papers")));
    // The official is personal data: the inspector reads it, the holder does not.
    let path = format!("/v1/logs/{}/history", one[0]);
    let name = |history: &Value| history.to_string().contains("Сейітов");
    assert!(name(&world.get(&path, inspector).await.expect(200)));
    assert!(!name(&world.get(&path, holder).await.expect(200)));
    assert_eq!(world.unsound().await, Vec::<String>::new());
}

#[tokio::test]
async fn a_held_log_that_is_lost_is_a_serious_finding() {
    let world = World::new().await;
    let felled = world.felled(1).await;
    world.event(&felled.inspector, "detained", &felled.logs, DETAINED()).await.expect(201);
    let lost = world.event(&felled.enterprise, "lost", &felled.logs, json!({})).await.expect(201);
    assert_eq!(
        (&lost["findings"][0]["rule"], &lost["findings"][0]["severity"]),
        (&json!("lost-while-held"), &json!("serious"))
    );
    assert_eq!(world.event(&felled.enterprise, "found", &felled.logs, json!({})).await.codes(), ["held"]);
    world.event(&felled.inspector, "found", &felled.logs, json!({})).await.expect(201);
    assert_eq!(verdict(&world, &felled.logs[0]).await["verdict"], "held");
    assert_eq!(world.unsound().await, Vec::<String>::new());
}

#[tokio::test]
async fn an_inspector_voids_a_seal_and_so_stops_its_log() {
    let world = World::new().await;
    let felled = world.felled(1).await;
    let void = |reason: &str| json!({"reason": reason});
    let path = format!("/v1/seals/{}/void", felled.logs[0]);
    for (who, reason) in
        [(&felled.inspector, "stolen"), (&felled.enterprise, "seized"), (&felled.operator, "found_detached")]
    {
        let refused = world.post(&path, who, void(reason)).await;
        assert_eq!(refused.codes(), ["void-reason-not-yours"], "{reason}");
    }
    let voided = world.post(&path, &felled.inspector, void("seized")).await.expect(200);
    assert_eq!(
        voided["events"].as_array().map(Vec::len),
        Some(3),
        "of the batch, and two of the log: {voided}"
    );
    let now = log(&world, &felled, &felled.logs[0]).await;
    assert_eq!((&now["seal"]["status"], &now["held"]["reason"]), (&json!("void"), &json!("seized")));
    assert_eq!(
        verdict(&world, &felled.logs[0]).await["verdict"],
        "void",
        "a void seal is worse than a held log"
    );
    let body = json!({"new_seal_number": felled.seals[0], "reason": "Seized"});
    assert_eq!(
        world.event(&felled.enterprise, "seal_replaced", &felled.logs, body.clone()).await.codes(),
        ["held"]
    );
    world
        .event(&felled.inspector, "released", &felled.logs, json!({"details": {"reason": "Returned"}}))
        .await
        .expect(201);
    world.event(&felled.enterprise, "seal_replaced", &felled.logs, body).await.expect(201);
    // A seal on no log: the inspector found it on the road.
    let loose = format!("/v1/seals/{}/void", felled.seals[1]);
    world.post(&loose, &felled.inspector, void("found_detached")).await.expect(200);
    assert_eq!(world.unsound().await, Vec::<String>::new());
}

/// The official of a void is personal data of both chains, and the official record business data.
#[tokio::test]
async fn an_inspectors_void_names_its_official_and_its_act() {
    let world = World::new().await;
    let felled = world.felled(1).await;
    let inspector = &felled.inspector;
    let more = json!({
        "note": "Torn off at the sawmill", "act": {"number": "17-Б", "date": "2026-10-05"},
        "official": {"name": "Ермек Сейітов", "post": "Инспектор"}
    });
    let void = |reason: &str| {
        let mut body = more.clone();
        body["reason"] = json!(reason);
        body
    };
    let path = |seal: &str| format!("/v1/seals/{seal}/void");
    let refused = world.post(&path(&felled.logs[0]), &felled.enterprise, void("spoiled")).await;
    refused.expect(422);
    assert_eq!(refused.codes(), ["not-for-this-type", "not-for-this-type"]);
    for official in [json!({"name": ""}), json!({"post": "Инспектор"}), json!({"name": "??? ????????"})]
    {
        let mut body = void("seized");
        body["official"] = official;
        world.post(&path(&felled.logs[0]), inspector, body).await.expect(422);
    }
    let voided = world.post(&path(&felled.logs[0]), inspector, void("seized")).await.expect(200);
    assert!(!voided.to_string().contains("Сейітов"));
    let history = format!("/v1/logs/{}/history", felled.logs[0]);
    let parts = |history: &Value| history["events"][1]["parts"].clone();
    let seen = parts(&world.get(&history, inspector).await.expect(200));
    let official = r#"{"name":"Ермек Сейітов","post":"Инспектор","v":1}"#;
    assert_eq!(seen["personal"]["text"], official);
    for part in ["public", "business"] {
        assert!(!seen[part]["text"].as_str().unwrap().contains("Сейітов"));
    }
    assert!(
        seen["business"]["text"].as_str().unwrap().contains(r#""act":{"date":"2026-10-05","number":"17-Б"}"#)
    );
    let of_holder = parts(&world.get(&history, &felled.enterprise).await.expect(200));
    assert_eq!(
        of_holder["personal"]["text"],
        Value::Null,
        "the holder knows that there is an official, and no name"
    );
    assert_eq!(of_holder["personal"]["commitment"], seen["personal"]["commitment"]);

    // A seal on no log: the chain of its batch alone has it, and the history of the seal still adds up.
    let loose = &felled.seals[1];
    world.post(&path(loose), inspector, void("found_detached")).await.expect(200);
    let seal = world.get(&format!("/v1/seals/{loose}/history"), &felled.enterprise).await.expect(200);
    let last = seal["events"].as_array().unwrap().last().unwrap();
    assert_eq!(last["parts"]["personal"]["text"], Value::Null);
    assert_ne!(last["parts"]["personal"]["commitment"], json!("0".repeat(64)));
    assert!(!seal.to_string().contains("Сейітов"));
    assert_eq!(world.unsound().await, Vec::<String>::new());
}

#[tokio::test]
async fn timber_in_circulation_is_not_always_on_offer() {
    let world = World::new().await;
    let felled = world.felled(1).await;
    let (holder, one) = (&felled.enterprise, &felled.logs[..]);
    assert_eq!(verdict(&world, &one[0]).await["for_sale"], json!({"offered": true}));
    world.event(holder, "transferred", one, json!({"to_bin": felled.sawmill.bin})).await.expect(201);
    assert_eq!(verdict(&world, &one[0]).await["for_sale"], json!({"offered": false, "why": "promised"}));
    world.event(holder, "withdrawn", one, json!({})).await.expect(201);
    let load = json!({"carrier_bin": felled.carrier.bin, "vehicle": "123 ABC 10"});
    world.event(holder, "loaded", one, load).await.expect(201);
    assert_eq!(verdict(&world, &one[0]).await["for_sale"], json!({"offered": false, "why": "on_the_road"}));
}

/// The buyer of a held log counts it in; it becomes the buyer's after the release, by an acceptance.
#[tokio::test]
async fn a_held_log_is_received_and_stays_its_sellers() {
    for of in ["both", "ownership"] {
        let world = World::new().await;
        let felled = world.felled(2).await;
        let (holder, buyer, logs) = (&felled.enterprise, &felled.sawmill, &felled.logs[..]);
        let load = json!({"carrier_bin": felled.carrier.bin, "vehicle": "123 ABC 10"});
        world.event(holder, "loaded", logs, load).await.expect(201);
        world.event(holder, "departed", logs, json!({})).await.expect(201);
        world.event(holder, "transferred", logs, json!({"to_bin": buyer.bin, "of": of})).await.expect(201);
        world.event(holder, "arrived", logs, json!({})).await.expect(201);
        let (held, free) = logs.split_at(1);
        world.event(&felled.inspector, "detained", held, DETAINED()).await.expect(201);
        assert_eq!(world.event(buyer, "accepted", held, json!({})).await.codes(), ["held"]);
        world.event(buyer, "received", logs, json!({})).await.expect(201);
        let of_log = async |code: &str| {
            let log = world.get(&format!("/v1/logs/{code}"), holder).await.expect(200);
            (log["status"].clone(), log["owner"]["id"].clone(), log["pending"].is_null())
        };
        assert_eq!(of_log(&held[0]).await, (json!("received"), json!(holder.id), false), "{of}");
        let of_free = world.get(&format!("/v1/logs/{}", free[0]), buyer).await.expect(200);
        assert_eq!((&of_free["owner"]["id"], &of_free["pending"]), (&json!(buyer.id), &Value::Null));
        assert_eq!(world.unsound().await, Vec::<String>::new());
        let free = json!({"details": {"reason": "Papers found"}});
        world.event(&felled.inspector, "released", held, free).await.expect(201);
        world.event(buyer, "accepted", held, json!({})).await.expect(201);
        let now = world.get(&format!("/v1/logs/{}", held[0]), buyer).await.expect(200);
        assert_eq!(now["owner"]["id"], json!(buyer.id));
        assert_eq!(world.unsound().await, Vec::<String>::new());
    }
}

#[tokio::test]
async fn a_decision_names_no_finding_that_does_not_exist() {
    let world = World::new().await;
    let felled = world.felled(1).await;
    let mut more = DETAINED();
    more["details"]["finding_id"] = json!("01999999-9999-7999-8999-999999999999");
    let refused = world.event(&felled.inspector, "detained", &felled.logs, more.clone()).await;
    refused.expect(422);
    assert_eq!(refused.codes(), ["unknown-finding"]);
    assert_eq!(refused.json()["errors"][0]["pointer"], "/details/finding_id");
    let seen = json!({"details": {"outcome": "mismatch", "hold": false}});
    let found = world.event(&felled.inspector, "inspected", &felled.logs, seen).await.expect(201);
    more["details"]["finding_id"] = found["findings"][0]["id"].clone();
    world.event(&felled.inspector, "detained", &felled.logs, more).await.expect(201);
}

/// Timber without a sound seal may be moved and sold, and an inspector sees that.
#[tokio::test]
async fn timber_that_is_traded_before_it_is_sealed_again_is_found() {
    let world = World::new().await;
    let felled = world.felled(2).await;
    let holder = &felled.enterprise;
    let seen = json!({"details": {"outcome": "seal_damaged"}});
    world.event(&felled.inspector, "inspected", &felled.logs, seen).await.expect(201);
    let new = json!({"new_seal_number": felled.seals[0], "reason": "Torn off"});
    world.event(holder, "seal_replaced", &felled.logs[1..], new).await.expect(201);
    let rules = |answer: &Value| -> Vec<Value> {
        answer["findings"].as_array().unwrap().iter().map(|one| one["rule"].clone()).collect()
    };
    let buyer = json!({"buyer": {"kind": "person"}, "document": {"kind": "invoice", "number": "118"}});
    let sold = world.event(holder, "sold", &felled.logs[..1], buyer.clone()).await.expect(201);
    assert_eq!(rules(&sold), [json!("traded-unsealed")]);
    let resealed = [felled.seals[0].clone()];
    let sold = world.event(holder, "sold", &resealed, buyer).await.expect(201);
    assert_eq!(rules(&sold), Vec::<Value>::new());
}

/// 32 sales and a detention of one log at the same time: either the sale came first, or the log is held and not sold.
#[tokio::test]
async fn a_hold_and_a_sale_at_once_have_one_winner() {
    let world = World::new().await;
    let felled = world.felled(16).await;
    for one in felled.logs.chunks(1) {
        let (sold, held) = tokio::join!(
            world.event(&felled.enterprise, "sold", one, json!({})),
            world.event(&felled.inspector, "detained", one, DETAINED()),
        );
        held.expect(201);
        let now = log(&world, &felled, &one[0]).await;
        assert_ne!(now["held"], Value::Null, "no hold is lost");
        match sold.status.as_u16() {
            201 => assert_eq!(now["status"], "sold"),
            409 => {
                assert_eq!((sold.codes(), &now["status"]), (vec!["held".to_owned()], &json!("at_felling")));
            }
            status => panic!("{status}: {}", sold.json()),
        }
    }
    assert_eq!(world.unsound().await, Vec::<String>::new());
}

async fn hold(world: &World, felled: &Felled, who: &Org, more: Value) -> Answer {
    let mut body = json!({"reason": "The stumps are to be counted"});
    for (name, value) in more.as_object().cloned().unwrap_or_default() {
        body[name] = value;
    }
    world.post(&format!("/v1/felling-tickets/{}/hold", felled.ticket), who, body).await
}

async fn release(world: &World, felled: &Felled, who: &Org) -> Answer {
    let path = format!("/v1/felling-tickets/{}/release", felled.ticket);
    world.post(&path, who, json!({"reason": "They agree with the ticket"})).await
}

#[tokio::test]
async fn an_inspectors_hold_of_a_ticket_stops_all_its_logs_and_its_harvests() {
    let world = World::new().await;
    let felled = world.felled(3).await;
    let (holder, inspector) = (&felled.enterprise, &felled.inspector);
    // One of the logs belongs to the sawmill already, and one was sold.
    world
        .event(holder, "transferred", &felled.logs[..1], json!({"to_bin": felled.sawmill.bin}))
        .await
        .expect(201);
    world.event(&felled.sawmill, "accepted", &felled.logs[..1], json!({})).await.expect(201);
    world.event(holder, "sold", &felled.logs[1..2], json!({})).await.expect(201);
    assert_eq!(
        hold(&world, &felled, holder, json!({})).await.expect(403)["status"],
        403,
        "its holder may not"
    );
    let held = hold(&world, &felled, inspector, json!({})).await.expect(200);
    assert_eq!(
        (&held["held"]["by"], &held["held"]["until"]),
        (&json!("inspector"), &json!("2026-10-15T05:00:00.000000Z"))
    );

    assert_eq!(world.event(&felled.sawmill, "stored", &felled.logs[..1], json!({})).await.codes(), ["held"]);
    assert_eq!(world.event(holder, "stored", &felled.logs[2..], json!({})).await.codes(), ["held"]);
    let verdicts: Vec<Value> = [
        verdict(&world, &felled.logs[0]).await,
        verdict(&world, &felled.logs[1]).await,
        verdict(&world, &felled.logs[2]).await,
    ]
    .map(|verdict| verdict["verdict"].clone())
    .into();
    assert_eq!(verdicts, [json!("held"), json!("closed"), json!("held")]);
    let body = World::harvest_of(&felled.ticket, &felled.seals[..1]);
    let refused = world.post("/v1/harvests", holder, body.clone()).await;
    refused.expect(409);
    assert_eq!(refused.codes(), ["held"]);
    // A log's own release does not end the ticket's hold, and the other way round.
    let own = &felled.logs[2..];
    assert_eq!(world.event(inspector, "released", own, DETAINED()).await.codes(), ["transition-not-allowed"]);
    world.event(inspector, "detained", own, DETAINED()).await.expect(201);
    assert_eq!(world.unsound().await, Vec::<String>::new());

    // Overdue is a question to the inspector; the hold stands until it is released.
    world.later(60 * 24 * 30);
    assert_eq!(verdict(&world, &felled.logs[0]).await["verdict"], "held");
    assert_eq!(release(&world, &felled, &felled.forest_owner).await.codes(), ["held-by-inspector"]);
    let free = release(&world, &felled, inspector).await.expect(200);
    assert_eq!(free["held"], Value::Null);
    assert_eq!(release(&world, &felled, inspector).await.codes(), ["not-held"]);
    world.event(&felled.sawmill, "stored", &felled.logs[..1], json!({})).await.expect(201);
    assert_eq!(world.event(holder, "stored", own, json!({})).await.codes(), ["held"], "its own hold stands");
    assert_eq!(world.unsound().await, Vec::<String>::new());
}

#[tokio::test]
async fn an_issuers_hold_stops_what_is_still_with_the_holder_for_three_days_once_a_month() {
    let world = World::new().await;
    let felled = world.felled(2).await;
    let (holder, issuer) = (&felled.enterprise, &felled.forest_owner);
    world
        .event(holder, "transferred", &felled.logs[..1], json!({"to_bin": felled.sawmill.bin}))
        .await
        .expect(201);
    world.event(&felled.sawmill, "accepted", &felled.logs[..1], json!({})).await.expect(201);
    let held = hold(&world, &felled, issuer, json!({})).await.expect(200);
    assert_eq!(held["held"]["by"], "issuer");
    assert_eq!(hold(&world, &felled, issuer, json!({})).await.codes(), ["held"]);
    world.event(&felled.sawmill, "stored", &felled.logs[..1], json!({})).await.expect(201);
    assert_eq!(world.event(holder, "stored", &felled.logs[1..], json!({})).await.codes(), ["held"]);
    assert_eq!(world.unsound().await, Vec::<String>::new());
    world.later(60 * 72 - 1);
    assert_eq!(verdict(&world, &felled.logs[1]).await["verdict"], "held");
    let (path, seen) =
        (format!("/v1/logs/{}", felled.logs[1]), async |path: &str| world.get(path, holder).await);
    let tag = seen(&path).await.headers["etag"].clone();
    world.later(1);
    assert_eq!(verdict(&world, &felled.logs[1]).await["verdict"], "valid");
    assert_ne!(seen(&path).await.headers["etag"], tag, "the end of a hold changes the ETag");
    world.event(holder, "stored", &felled.logs[1..], json!({})).await.expect(201);
    assert_eq!(
        world.get(&format!("/v1/felling-tickets/{}", felled.ticket), issuer).await.expect(200)["held"],
        Value::Null
    );
    assert_eq!(hold(&world, &felled, issuer, json!({})).await.codes(), ["hold-too-soon"]);
    let path = format!("/v1/felling-tickets/{}/cancel", felled.ticket);
    let cancel = json!({"reason": "Issued twice", "hold_logs": true});
    assert_eq!(world.post(&path, issuer, cancel.clone()).await.codes(), ["hold-too-soon"]);
    world.later(60 * 24 * 28);
    let cancelled = world.post(&path, issuer, cancel).await.expect(200);
    assert_eq!((&cancelled["status"], &cancelled["held"]["by"]), (&json!("cancelled"), &json!("issuer")));
    assert_eq!(world.event(holder, "sold", &felled.logs[1..], json!({})).await.codes(), ["held"]);
    // An inspector's hold takes the place of the issuer's, and reaches the sawmill's log too.
    hold(&world, &felled, &felled.inspector, json!({})).await.expect(200);
    assert_eq!(
        world.event(&felled.sawmill, "processed", &felled.logs[..1], json!({})).await.codes(),
        ["held"]
    );
    assert_eq!(world.unsound().await, Vec::<String>::new());
}

#[tokio::test]
async fn the_end_of_an_inspectors_hold_is_within_ten_days() {
    let world = World::new().await;
    let felled = world.felled(1).await;
    for until in ["2026-10-05T05:00:00Z", "2026-10-15T05:00:01Z"] {
        let refused = hold(&world, &felled, &felled.inspector, json!({"until": until})).await;
        refused.expect(422);
        assert_eq!(refused.codes(), ["hold-too-long"], "{until}");
    }
    hold(&world, &felled, &felled.inspector, json!({"until": "2026-10-15T05:00:00Z"})).await.expect(200);
    world.later(60);
    // Extended, with a reason.
    let later =
        hold(&world, &felled, &felled.inspector, json!({"until": "2026-10-15T05:30:00Z"})).await.expect(200);
    assert_eq!(later["held"]["until"], "2026-10-15T05:30:00.000000Z");
    assert_eq!(world.unsound().await, Vec::<String>::new());
}

/// A row of a held log that an insider freed is an `fsck` error.
#[tokio::test]
async fn a_hold_that_an_insider_removes_from_a_row_is_found() {
    let world = World::new().await;
    let felled = world.felled(2).await;
    hold(&world, &felled, &felled.inspector, json!({})).await.expect(200);
    world.event(&felled.inspector, "detained", &felled.logs[..1], DETAINED()).await.expect(201);
    for freed in [
        "ticket_held_since = NULL, ticket_held_reason = NULL, ticket_held_seq = NULL",
        "held_since = NULL, held_reason = NULL",
        "held_reason = 'none'",
        "ticket_held_until = now()",
    ] {
        let mut owner = world.owner().await;
        let set = format!("UPDATE log SET {freed} WHERE seal_number = $1");
        let before: String =
            sqlx::query_scalar("SELECT row_to_json(log)::text FROM log WHERE seal_number = $1")
                .bind(&felled.logs[0])
                .fetch_one(&mut owner)
                .await
                .unwrap();
        sqlx::query(sqlx::AssertSqlSafe(set)).bind(&felled.logs[0]).execute(&mut owner).await.unwrap();
        assert_ne!(world.unsound().await, Vec::<String>::new(), "{freed}");
        let back = "UPDATE log SET (held_since, held_reason, ticket_held_since, ticket_held_until, ticket_held_reason,
                                    ticket_held_seq)
                    = (SELECT o.held_since, o.held_reason, o.ticket_held_since, o.ticket_held_until,
                              o.ticket_held_reason, o.ticket_held_seq FROM json_populate_record(NULL::log, $2::json) o)
                    WHERE seal_number = $1";
        sqlx::query(back).bind(&felled.logs[0]).bind(before).execute(&mut owner).await.unwrap();
        assert_eq!(world.unsound().await, Vec::<String>::new());
    }
}

/// The issuer's hold ends when the request says, within 72 hours; a longer one is refused and not cut.
#[tokio::test]
async fn the_issuers_hold_is_refused_beyond_its_limit() {
    let world = World::new().await;
    let felled = world.felled(1).await;
    let issuer = &felled.forest_owner;
    // It is 05:00 on 5 October.
    for until in ["2026-10-05T05:00:00Z", "2026-10-08T05:00:01Z", "2026-10-14T05:00:00Z"] {
        let refused = hold(&world, &felled, issuer, json!({"until": until})).await;
        let told = refused.expect(422);
        assert_eq!(
            (refused.codes(), &told["errors"][0]["pointer"]),
            (vec!["hold-too-long".to_owned()], &json!("/until"))
        );
        assert!(told["errors"][0]["detail"].as_str().unwrap().contains("72 hours"), "{told}");
    }
    assert_eq!(hold(&world, &felled, &felled.enterprise, json!({})).await.status, 403);
    let held = hold(&world, &felled, issuer, json!({"until": "2026-10-05T17:00:00Z"})).await.expect(200);
    assert_eq!(held["held"]["until"], "2026-10-05T17:00:00.000000Z");
    let stored = async || world.event(&felled.enterprise, "stored", &felled.logs, json!({})).await;
    world.later(12 * 60 - 1);
    assert_eq!(stored().await.codes(), ["held"]);
    world.later(1);
    stored().await.expect(201);
    assert_eq!(world.unsound().await, Vec::<String>::new());
}

#[tokio::test]
async fn the_issuers_hold_may_last_exactly_its_limit() {
    let world = World::new().await;
    let felled = world.felled(1).await;
    let until = json!({"until": "2026-10-08T05:00:00Z"});
    let held = hold(&world, &felled, &felled.forest_owner, until).await.expect(200);
    assert_eq!(held["held"]["until"], "2026-10-08T05:00:00.000000Z");
}
