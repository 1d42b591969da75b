//! Custody: which event may follow which, transfers with two sides, corrections that add events.

use crate::world::{Felled, World};
use serde_json::{Value, json};

async fn status(world: &World, felled: &Felled, log: &str) -> Value {
    world.get(&format!("/v1/logs/{log}"), &felled.inspector).await.expect(200)
}

#[tokio::test]
async fn a_log_travels_from_the_felling_site_to_the_sawmill() {
    let world = World::new().await;
    let felled = world.felled(2).await;
    let (from, to, logs) = (&felled.enterprise, &felled.sawmill, &felled.logs[..]);
    world
        .event(
            from,
            "stored",
            logs,
            json!({"place": {"name": "Жоғарғы қойма", "region": "KZ-10", "kind": "storage"}}),
        )
        .await
        .expect(201);
    world
        .event(from, "loaded", logs, json!({"carrier_bin": felled.carrier.bin, "vehicle": "123 ABC 10"}))
        .await
        .expect(201);
    world.event(from, "transferred", logs, json!({"to_bin": to.bin})).await.expect(201);
    world.event(&felled.carrier, "departed", logs, json!({})).await.expect(201);
    world.event(&felled.carrier, "arrived", logs, json!({})).await.expect(201);
    // The carrier never becomes the holder, so it cannot record that the log was received.
    let refused = world.event(&felled.carrier, "received", logs, json!({})).await;
    refused.expect(409);
    assert_eq!(refused.codes(), ["not-yours-to-record", "not-yours-to-record"]);
    world.event(to, "received", logs, json!({})).await.expect(201);
    let now = status(&world, &felled, &logs[0]).await;
    assert_eq!(
        (&now["status"], &now["holder"]["id"], &now["owner"]["id"]),
        (&json!("received"), &json!(to.id), &json!(to.id))
    );
    assert_eq!(now["pending"], Value::Null);
    assert_eq!(now["carrier"], Value::Null);
    world.event(to, "processed", logs, json!({})).await.expect(201);
    let refused = world.event(to, "loaded", &logs[..1], json!({})).await;
    refused.expect(409);
    assert_eq!(refused.codes(), ["transition-not-allowed"]);
    assert_eq!(refused.json()["errors"][0]["allowed"], json!(["corrected"]));
    world
        .event(&felled.inspector, "inspected", logs, json!({"details": {"outcome": "match"}}))
        .await
        .expect(201);
}

#[tokio::test]
async fn missing_and_foreign_logs_are_refused_alike() {
    let world = World::new().await;
    let felled = world.felled(1).await;
    let foreign = world.event(&felled.sawmill, "stored", &felled.logs, json!({})).await;
    let absent = world.event(&felled.sawmill, "stored", &["KZ999999999".to_owned()], json!({})).await;
    foreign.expect(422);
    assert_eq!(foreign.json()["errors"], absent.json()["errors"]);
}

#[tokio::test]
async fn the_same_log_by_two_names_is_one_log() {
    let world = World::new().await;
    let felled = world.felled(1).await;
    let id = felled.harvest["logs"][0]["id"].as_str().unwrap().to_owned();
    let twice = world.event(&felled.enterprise, "stored", &[felled.logs[0].clone(), id], json!({})).await;
    twice.expect(422);
    assert_eq!(twice.codes(), ["duplicate-in-batch"]);
}

#[tokio::test]
async fn a_transfer_takes_two_sides_and_can_be_refused_or_withdrawn() {
    let world = World::new().await;
    let felled = world.felled(1).await;
    let (from, to, logs) = (&felled.enterprise, &felled.sawmill, &felled.logs[..]);
    world.event(from, "transferred", logs, json!({"to_bin": to.bin, "of": "possession"})).await.expect(201);
    world.event(from, "accepted", logs, json!({})).await.expect(409);
    world.event(from, "sold", logs, json!({})).await.expect(409);
    world.event(to, "rejected", logs, json!({})).await.expect(201);
    world.event(from, "transferred", logs, json!({"to_bin": to.bin, "of": "possession"})).await.expect(201);
    world.event(from, "withdrawn", logs, json!({})).await.expect(201);
    world.event(from, "transferred", logs, json!({"to_bin": to.bin, "of": "possession"})).await.expect(201);
    world.event(to, "accepted", logs, json!({})).await.expect(201);
    let now = status(&world, &felled, &logs[0]).await;
    assert_eq!((&now["holder"]["id"], &now["owner"]["id"]), (&json!(to.id), &json!(from.id)));
    // A holder that is not the owner cannot sell.
    world.event(to, "sold", logs, json!({})).await.expect(409);
}

#[tokio::test]
async fn sixty_four_transfers_at_once_leave_one() {
    let world = World::new().await;
    let felled = world.felled(1).await;
    let posts = (0..64).map(|_| {
        world.event(&felled.enterprise, "transferred", &felled.logs, json!({"to_bin": felled.sawmill.bin}))
    });
    let answers = futures_util::future::join_all(posts).await;
    let won = answers.iter().filter(|answer| answer.status.as_u16() == 201).count();
    let lost = answers.iter().filter(|answer| answer.status.as_u16() == 409).count();
    assert_eq!((won, lost), (1, 63));
}

#[tokio::test]
async fn sixteen_writers_on_one_log_make_one_chain() {
    let world = World::new().await;
    let felled = world.felled(1).await;
    let writers = (0..16).map(async |_| {
        for _ in 0..4 {
            world.event(&felled.enterprise, "stored", &felled.logs, json!({})).await.expect(201);
        }
    });
    futures_util::future::join_all(writers).await;
    let history = format!("/v1/logs/{}/history", felled.logs[0]);
    let history = world.get(&history, &felled.enterprise).await.expect(200);
    let mut prev = json!("0".repeat(64));
    for (event, seq) in history["events"].as_array().unwrap().iter().zip(1..) {
        assert_eq!((&event["seq"], &event["prev_hash"]), (&json!(seq), &prev));
        prev = event["hash"].clone();
    }
    assert_eq!(history["events"].as_array().unwrap().len(), 65);
}

#[tokio::test]
async fn overlapping_batches_never_deadlock() {
    const LOGS: usize = 200;
    let world = World::new().await;
    let felled = world.felled(LOGS).await;
    // Eight writers record events. Each request has twenty logs, which overlap with those of the other
    // writers and are in another order. Some requests are refused, because another writer has just recorded
    // an event after which theirs is not allowed.
    let writers = (0..8_usize).map(async |writer| {
        let (mut recorded, mut refused) = (0, 0);
        for round in 0..12_usize {
            let step = [3, 7, 9, 11, 13, 17, 19, 21][writer];
            let mut logs: Vec<String> =
                (0..20).map(|n| felled.logs[(writer * 31 + round * 53 + n * step) % LOGS].clone()).collect();
            if round % 2 == 1 {
                logs.reverse();
            }
            let event = if round % 4 == 3 { "loaded" } else { "stored" };
            let answer = world.event(&felled.enterprise, event, &logs, json!({})).await;
            match answer.status.as_u16() {
                201 => recorded += 20,
                409 => {
                    let lawful = answer.codes();
                    assert!(lawful.iter().all(|code| code == "transition-not-allowed"), "{lawful:?}");
                    refused += 1;
                }
                _ => panic!("{answer:?}"),
            }
        }
        (recorded, refused)
    });
    let told = futures_util::future::join_all(writers).await;
    let recorded: i64 = told.iter().map(|(recorded, _)| recorded).sum();
    let refused: u32 = told.iter().map(|(_, refused)| refused).sum();
    assert!(recorded > 0 && refused > 0, "{told:?}");
    let row: (i64, i64, i64) = sqlx::query_as(
        "SELECT count(*), count(DISTINCT (event.subject_id, event.seq)), (SELECT sum(head_seq) FROM log)
         FROM event WHERE subject_kind = 1",
    )
    .fetch_one(&world.app.pool)
    .await
    .unwrap();
    let all = recorded + i64::try_from(LOGS).unwrap();
    assert_eq!(row, (all, all, all));
}

#[tokio::test]
async fn received_at_never_falls_when_the_clock_is_set_back() {
    let world = World::new().await;
    let felled = world.felled(1).await;
    world.event(&felled.enterprise, "stored", &felled.logs, json!({})).await.expect(201);
    world.clock.set(world.clock.now() - chrono::TimeDelta::minutes(4));
    world.event(&felled.enterprise, "stored", &felled.logs, json!({})).await.expect(201);
    let history =
        world.get(&format!("/v1/logs/{}/history", felled.logs[0]), &felled.inspector).await.expect(200);
    let times: Vec<&str> =
        history["events"].as_array().unwrap().iter().map(|e| e["received_at"].as_str().unwrap()).collect();
    assert!(times.is_sorted(), "{times:?}");
    assert_eq!(times[1], times[2]);
}

#[tokio::test]
async fn a_replaced_seal_keeps_the_history_and_the_old_number_finds_the_log() {
    let world = World::new().await;
    let felled = world.felled(1).await;
    let more = json!({"new_seal_number": felled.seals[0], "reason": "пломба зақымдалды"});
    world.event(&felled.enterprise, "seal_replaced", &felled.logs, more.clone()).await.expect(201);
    let by_old = status(&world, &felled, &felled.logs[0]).await;
    let by_new = status(&world, &felled, &felled.seals[0]).await;
    assert_eq!(by_old["id"], by_new["id"]);
    assert_eq!(by_new["seal"]["number"], json!(felled.seals[0]));
    let used = world.event(&felled.enterprise, "seal_replaced", &felled.logs, more).await;
    used.expect(409);
    assert_eq!(used.codes(), ["seal-applied"]);
}

#[tokio::test]
async fn a_correction_adds_and_the_balance_follows() {
    let world = World::new().await;
    let felled = world.felled(1).await;
    let set =
        json!({"corrects": 1, "reason": "қателесіп өлшенген", "set": {"wood": "firewood", "volume_m3": 0.3}});
    world.event(&felled.enterprise, "corrected", &felled.logs, set).await.expect(201);
    let ticket =
        world.get(&format!("/v1/felling-tickets/{}", felled.ticket), &felled.enterprise).await.expect(200);
    assert_eq!(ticket["lines"][0]["marked_m3"], json!(0));
    assert_eq!(ticket["lines"][1]["marked_m3"], json!(0.3));
    let now = status(&world, &felled, &felled.logs[0]).await;
    assert_eq!(
        (&now["wood"], &now["volume_m3"], &now["species"]),
        (&json!("firewood"), &json!(0.3), &json!("pinus_sylvestris"))
    );
    let unknown = json!({"corrects": 9, "reason": "?", "set": {"volume_m3": 0.3}});
    let unknown = world.event(&felled.enterprise, "corrected", &felled.logs, unknown).await;
    unknown.expect(422);
    assert_eq!(unknown.codes(), ["unknown-event"]);
}

#[tokio::test]
async fn the_last_event_can_be_reversed_by_its_recorder_for_72_hours_then_by_an_inspector() {
    let world = World::new().await;
    let felled = world.felled(1).await;
    let by = &felled.enterprise;
    world.event(by, "stored", &felled.logs, json!({})).await.expect(201);
    world.event(by, "sold", &felled.logs, json!({})).await.expect(201);
    let reverse = |seq: u32| json!({"corrects": seq, "reason": "қате жазылды", "reverse": true});
    let not_last = world.event(by, "corrected", &felled.logs, reverse(2)).await;
    not_last.expect(409);
    assert_eq!(not_last.codes(), ["not-reversible"]);
    world.event(by, "corrected", &felled.logs, reverse(3)).await.expect(201);
    assert_eq!(status(&world, &felled, &felled.logs[0]).await["status"], "stored");
    world.clock.set(world.clock.now() + chrono::TimeDelta::hours(73));
    let late = world.event(by, "corrected", &felled.logs, reverse(2)).await;
    late.expect(409);
    assert_eq!(late.codes(), ["correction-not-yours"]);
    world.event(&felled.inspector, "corrected", &felled.logs, reverse(2)).await.expect(201);
    assert_eq!(status(&world, &felled, &felled.logs[0]).await["status"], "at_felling");
}

#[tokio::test]
async fn a_late_device_event_is_accepted_and_the_present_state_is_unchanged() {
    let world = World::new().await;
    let felled = world.felled(1).await;
    world.event(&felled.enterprise, "loaded", &felled.logs, json!({})).await.expect(201);
    let earlier = "2026-10-05T09:40:00+05:00";
    let device = json!({"id": "tablet-07", "seq": 41, "recorded_at": earlier});
    let late = json!({"occurred_at": earlier, "device": device});
    let answer = world.event(&felled.enterprise, "stored", &felled.logs, late.clone()).await.expect(201);
    assert!(answer["findings"].as_array().unwrap().iter().any(|f| f["log"].is_string()), "{answer}");
    assert_eq!(status(&world, &felled, &felled.logs[0]).await["status"], "loaded");
    let repeated = world.event(&felled.enterprise, "stored", &felled.logs, late).await;
    repeated.expect(409);
    assert_eq!(repeated.codes(), ["device-seq-used"]);
}

#[tokio::test]
async fn an_event_more_than_five_minutes_ahead_is_refused() {
    let world = World::new().await;
    let felled = world.felled(1).await;
    let ahead = |seconds| json!({"occurred_at": ormantrace::base::units::utc_text(world.clock.now() + chrono::TimeDelta::seconds(seconds))});
    world.event(&felled.enterprise, "stored", &felled.logs, ahead(301)).await.expect(422);
    world.event(&felled.enterprise, "stored", &felled.logs, ahead(300)).await.expect(201);
}

#[tokio::test]
async fn the_operator_writes_nothing_in_anothers_name() {
    let world = World::new().await;
    let felled = world.felled(1).await;
    world.event(&felled.operator, "stored", &felled.logs, json!({})).await.expect(403);
    let harvest = World::harvest_of(&felled.ticket, &felled.seals[..1]);
    world.post("/v1/harvests", &felled.operator, harvest).await.expect(403);
}

#[tokio::test]
async fn a_carrier_reports_a_loss_and_the_last_holder_or_an_inspector_finds() {
    let world = World::new().await;
    let felled = world.felled(1).await;
    let (by, carrier, logs) = (&felled.enterprise, &felled.carrier, &felled.logs[..]);
    world.event(carrier, "lost", logs, json!({})).await.expect(422);
    world.event(by, "loaded", logs, json!({"carrier_bin": carrier.bin})).await.expect(201);
    world.event(by, "transferred", logs, json!({"to_bin": felled.sawmill.bin})).await.expect(201);
    world.event(carrier, "departed", logs, json!({})).await.expect(201);
    world.event(carrier, "lost", logs, json!({"details": {"note": "Өткелде суға кетті"}})).await.expect(201);
    let now = status(&world, &felled, &logs[0]).await;
    assert_eq!(
        (&now["status"], &now["pending"], &now["carrier"]),
        (&json!("lost"), &Value::Null, &Value::Null)
    );
    assert_eq!(now["holder"]["id"], json!(by.id));
    // The loss releases the carrier and ends the pending transfer, so neither carrier nor receiver may record
    // `found`.
    for who in [carrier, &felled.sawmill] {
        world.event(who, "found", logs, json!({})).await.expect(422);
    }
    world.event(by, "found", logs, json!({})).await.expect(201);
    assert_eq!(status(&world, &felled, &logs[0]).await["status"], "stored");
    world.event(by, "found", logs, json!({})).await.expect(409);
    world.event(by, "lost", logs, json!({})).await.expect(201);
    world.event(&felled.inspector, "found", logs, json!({})).await.expect(201);
    let now = status(&world, &felled, &logs[0]).await;
    assert_eq!((&now["status"], &now["holder"]["id"]), (&json!("stored"), &json!(by.id)));
    world.event(by, "stored", logs, json!({})).await.expect(201);
}

#[tokio::test]
async fn what_is_exported_or_destroyed_is_closed_for_good() {
    let world = World::new().await;
    let felled = world.felled(3).await;
    let (by, carrier, logs) = (&felled.enterprise, &felled.carrier, &felled.logs[..]);
    let port = json!({"place": {"name": "Достық шекара бекеті", "region": "KZ-33", "kind": "checkpoint"},
                      "document": {"kind": "customs", "number": "50611/051026/0001"}});
    // While a transfer is pending, an export by the holder is refused.
    world.event(by, "transferred", &logs[..1], json!({"to_bin": felled.sawmill.bin})).await.expect(201);
    let refused = world.event(by, "exported", &logs[..1], port.clone()).await;
    refused.expect(409);
    assert_eq!(refused.codes(), ["transition-not-allowed"]);
    world.event(by, "withdrawn", &logs[..1], json!({})).await.expect(201);
    world.event(by, "exported", &logs[..1], port).await.expect(201);
    // While a log is loaded, its carrier records the destruction; otherwise its holder does.
    world.event(by, "loaded", &logs[1..2], json!({"carrier_bin": carrier.bin})).await.expect(201);
    let fire = json!({"details": {"note": "Өртенді"}});
    world.event(carrier, "destroyed", &logs[1..2], fire.clone()).await.expect(201);
    world.event(by, "destroyed", &logs[2..], fire).await.expect(201);
    for (log, word) in logs.iter().zip(["exported", "destroyed", "destroyed"]) {
        assert_eq!(status(&world, &felled, log).await["status"], word);
        let answer = world.get(&format!("/v1/verify/{log}"), &felled.sawmill).await.expect(200);
        assert_eq!((&answer["verdict"], &answer["reason"]["code"]), (&json!("closed"), &json!(word)));
        for after in ["stored", "found", "lost", "destroyed"] {
            let refused = world.event(by, after, std::slice::from_ref(log), json!({})).await;
            refused.expect(409);
            assert_eq!(refused.json()["errors"][0]["allowed"], json!(["corrected"]), "{after} after {word}");
        }
    }
}

#[tokio::test]
async fn a_correction_checks_measures_only_if_it_changes_them() {
    let world = World::new().await;
    let felled = world.felled(1).await;
    let rules = async |set: Value| {
        let body = json!({"corrects": 1, "reason": "қате жазылған", "set": set});
        let answer = world.event(&felled.enterprise, "corrected", &felled.logs, body).await.expect(201);
        let found = answer["findings"].as_array().unwrap();
        found.iter().map(|found| found["rule"].as_str().unwrap().to_owned()).collect::<Vec<_>>()
    };
    // A sawlog is corrected to firewood and to a length 0.4 m greater, with the volume of the former length.
    // This makes two findings, and the move to the other line a third.
    assert_eq!(
        rules(json!({"wood": "firewood", "length_m": 6.4, "volume_m3": 0.31})).await,
        ["L14", "L13", "L18"]
    );
    assert_eq!(rules(json!({"place": {"name": "41-орам"}})).await, [""; 0]);
    assert_eq!(rules(json!({"occurred_at": "2026-10-05T09:20:00+05:00"})).await, [""; 0]);
    assert_eq!(rules(json!({"grade": 3, "volume_m3": 0.31})).await, [""; 0]);
    assert_eq!(rules(json!({"top_diameter_cm": 24.5})).await, ["L14", "L13"]);
}

/// The harvester may correct its harvest while it has the log, the log is open and not on the road, and no
/// other organisation has recorded an event of it. After that, only an inspector may.
#[tokio::test]
async fn a_correction_of_what_has_gone_on_needs_an_inspector() {
    let world = World::new().await;
    let felled = world.felled(3).await;
    let smaller = json!({"corrects": 1, "reason": "Диаметрі кіші", "set": {"volume_m3": 0.31}});
    let needs_inspector = async |who, log: &String, body: Value| {
        let refused = world.event(who, "corrected", std::slice::from_ref(log), body).await;
        refused.expect(409);
        assert_eq!(refused.codes(), ["correction-by-inspector-only"]);
    };
    let one = |n: usize| std::slice::from_ref(&felled.logs[n]);
    // After the sale, the recorder cannot reduce the volume that counts against the ticket.
    world.event(&felled.enterprise, "sold", one(0), json!({})).await.expect(201);
    needs_inspector(&felled.enterprise, &felled.logs[0], smaller.clone()).await;
    world.event(&felled.inspector, "corrected", one(0), smaller.clone()).await.expect(201);
    // Inspected: an event of another organisation.
    world
        .event(&felled.inspector, "inspected", one(1), json!({"details": {"outcome": "match"}}))
        .await
        .expect(201);
    needs_inspector(&felled.enterprise, &felled.logs[1], smaller.clone()).await;
    // On the road.
    world
        .event(&felled.enterprise, "loaded", one(2), json!({"carrier_bin": felled.carrier.bin}))
        .await
        .expect(201);
    needs_inspector(&felled.enterprise, &felled.logs[2], smaller.clone()).await;
    // The organisation that recorded the loading may reverse it for two hours. After 121 minutes only an
    // inspector may.
    let undo = json!({"corrects": 2, "reason": "Басқа бөрене", "reverse": true});
    world.later(121);
    needs_inspector(&felled.enterprise, &felled.logs[2], undo).await;
    // The carrier records the destruction of the log by mistake. The carrier may reverse this event, although
    // the destruction ended the carrier's part in the custody of the log.
    world.event(&felled.carrier, "destroyed", one(2), json!({})).await.expect(201);
    let undo = json!({"corrects": 3, "reason": "Қате басылды", "reverse": true});
    world.event(&felled.carrier, "corrected", one(2), undo).await.expect(201);
}

#[tokio::test]
async fn one_side_cannot_undo_an_acceptance() {
    let world = World::new().await;
    let felled = world.felled(1).await;
    world
        .event(&felled.enterprise, "transferred", &felled.logs, json!({"to_bin": felled.sawmill.bin}))
        .await
        .expect(201);
    world.event(&felled.sawmill, "accepted", &felled.logs, json!({})).await.expect(201);
    let undo = json!({"corrects": 3, "reason": "Қате", "reverse": true});
    let refused = world.event(&felled.sawmill, "corrected", &felled.logs, undo).await;
    refused.expect(409);
    assert_eq!(refused.codes(), ["correction-by-inspector-only"]);
}

#[tokio::test]
async fn a_correction_adds_nothing_to_a_cancelled_ticket() {
    let world = World::new().await;
    let felled = world.felled(1).await;
    let cancel = format!("/v1/felling-tickets/{}/cancel", felled.ticket);
    world.post(&cancel, &felled.forest_owner, json!({"reason": "Өрт"})).await.expect(200);
    let set = |volume: f64| json!({"corrects": 1, "reason": "Өлшем қате", "set": {"volume_m3": volume}});
    let refused = world.event(&felled.enterprise, "corrected", &felled.logs, set(0.36)).await;
    refused.expect(409);
    assert_eq!(refused.codes(), ["ticket-cancelled"]);
    world.event(&felled.enterprise, "corrected", &felled.logs, set(0.31)).await.expect(201);
}

/// A correction may add volume until the end of the ticket's last day of felling in Kazakhstan.
#[tokio::test]
async fn a_correction_adds_nothing_to_an_expired_ticket() {
    let world = World::new().await;
    let felled = world.felled(1).await;
    let set = |volume: f64| json!({"corrects": 1, "reason": "Өлшем қате", "set": {"volume_m3": volume}});
    world.clock.set("2026-12-31T18:59:00Z".parse().unwrap());
    world.event(&felled.inspector, "corrected", &felled.logs, set(0.34)).await.expect(201);
    world.clock.set("2026-12-31T19:00:00Z".parse().unwrap());
    let refused = world.event(&felled.inspector, "corrected", &felled.logs, set(0.36)).await;
    refused.expect(409);
    assert_eq!(refused.codes(), ["ticket-expired"]);
    world.event(&felled.inspector, "corrected", &felled.logs, set(0.31)).await.expect(201);
    assert_eq!(world.unsound().await, [""; 0]);
}

#[tokio::test]
async fn a_receiver_takes_back_its_own_rejection() {
    let world = World::new().await;
    let felled = world.felled(1).await;
    let (from, to, logs) = (&felled.enterprise, &felled.sawmill, &felled.logs[..]);
    world.event(from, "transferred", logs, json!({"to_bin": to.bin})).await.expect(201);
    world.event(to, "rejected", logs, json!({})).await.expect(201);
    let undo = json!({"corrects": 3, "reason": "Басқа бөрене еді", "reverse": true});
    // An organisation without any part in it cannot.
    world.event(&felled.carrier, "corrected", logs, undo.clone()).await.expect(422);
    world.event(to, "corrected", logs, undo).await.expect(201);
    world.event(to, "accepted", logs, json!({})).await.expect(201);
    assert_eq!(status(&world, &felled, &logs[0]).await["holder"]["id"], json!(to.id));
    assert_eq!(world.unsound().await, [""; 0]);
}

/// The name of an official, as that of every person, is refused if it has lost letters.
#[tokio::test]
async fn an_officials_name_with_lost_letters_is_refused() {
    let world = World::new().await;
    let felled = world.felled(1).await;
    for name in ["Ермек Сей?тов", "Ќайрат Сейтов", "Јрмек"] {
        let details = json!({"details": {"outcome": "match", "official": {"name": name}}});
        let refused = world.event(&felled.inspector, "inspected", &felled.logs, details).await;
        assert_eq!(refused.expect(422)["errors"][0]["pointer"], "/details/official/name");
        assert_eq!(refused.codes(), ["name-letters-lost"]);
    }
    let details = json!({"details": {"outcome": "match", "official": {"name": "Ермек Сейітов"}}});
    world.event(&felled.inspector, "inspected", &felled.logs, details).await.expect(201);
}

#[tokio::test]
async fn a_receipt_that_accepted_the_timber_is_not_undone_by_one_side() {
    let world = World::new().await;
    let felled = world.felled(1).await;
    let (from, to, logs) = (&felled.enterprise, &felled.sawmill, &felled.logs[..]);
    world.event(from, "loaded", logs, json!({})).await.expect(201);
    world.event(from, "departed", logs, json!({})).await.expect(201);
    world.event(from, "arrived", logs, json!({})).await.expect(201);
    world.event(from, "transferred", logs, json!({"to_bin": to.bin})).await.expect(201);
    world.event(to, "received", logs, json!({})).await.expect(201);
    let undo = json!({"corrects": 6, "reason": "Қате", "reverse": true});
    let refused = world.event(to, "corrected", logs, undo).await;
    refused.expect(409);
    assert_eq!(refused.codes(), ["correction-by-inspector-only"]);
}

/// No event of a log may have a time before the felling: neither a new event, nor an event with a corrected
/// time, nor an event that precedes a corrected felling time.
#[tokio::test]
async fn nothing_happens_to_a_log_before_it_was_felled() {
    let world = World::new().await;
    let felled = world.felled(1).await;
    let (by, logs) = (&felled.enterprise, &felled.logs[..]);
    let day_before = world.clock.now() - chrono::TimeDelta::days(1);
    let before = ormantrace::base::units::utc_text(day_before);
    let device = json!({"id": "планшет-1", "seq": 1, "recorded_at": before});
    for more in [json!({"occurred_at": before}), json!({"occurred_at": before, "device": device})] {
        let refused = world.event(by, "stored", logs, more).await;
        refused.expect(409);
        assert_eq!(refused.codes(), ["contradicts-later"]);
    }
    world.event(by, "stored", logs, json!({})).await.expect(201);
    let earlier = json!({"corrects": 2, "reason": "Сағат қате", "set": {"occurred_at": before}});
    let refused = world.event(by, "corrected", logs, earlier).await;
    refused.expect(409);
    assert_eq!(refused.codes(), ["contradicts-later"]);
    world.clock.set(world.clock.now() + chrono::TimeDelta::days(2));
    let after = ormantrace::base::units::utc_text(world.clock.now());
    let later = json!({"corrects": 1, "reason": "Сағат қате", "set": {"occurred_at": after}});
    let refused = world.event(&felled.inspector, "corrected", logs, later).await;
    refused.expect(409);
    assert_eq!(refused.codes(), ["contradicts-later"]);
    assert_eq!(world.unsound().await, [""; 0]);
}
