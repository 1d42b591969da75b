//! Replacement of a log's seal: its effect on the log, on the old seal's batch and on a buyer's check; and
//! what a seal discloses about its holder.

use crate::world::{Felled, World};
use ormantrace::evidence::chain::Hash;
use ormantrace::evidence::register::receipt::Promise;
use serde_json::{Value, json};

fn new_seal(felled: &Felled, n: usize) -> Value {
    json!({"new_seal_number": felled.seals[n], "reason": "Тасығанда түсіп қалды"})
}

async fn history(world: &World, felled: &Felled, number: &str) -> Vec<Value> {
    let history = world.get(&format!("/v1/seals/{number}/history"), &felled.enterprise).await.expect(200);
    history["events"].as_array().unwrap().clone()
}

#[tokio::test]
async fn a_replaced_seal_is_void_by_an_event_of_its_batch() {
    let world = World::new().await;
    let felled = world.felled(2).await;
    let (by, logs) = (&felled.enterprise, &felled.logs);
    world.event(by, "seal_replaced", &logs[..1], new_seal(&felled, 0)).await.expect(201);
    let told = history(&world, &felled, &logs[0]).await;
    let types: Vec<_> = told.iter().map(|event| &event["type"]).collect();
    assert_eq!(types, ["seals_registered", "seals_voided"]);
    assert_eq!(
        (&told[1]["details"]["number"], &told[1]["details"]["reason"]),
        (&json!(logs[0]), &json!("replaced"))
    );
    let seal = world.get(&format!("/v1/seals/{}", logs[0]), by).await.expect(200);
    assert_eq!((&seal["status"], &seal["void_reason"]), (&json!("void"), &json!("replaced")));
    assert_eq!(history(&world, &felled, &felled.seals[0]).await.len(), 1, "the new one is in force");

    // The replaced seal was void already. It is not voided again, and keeps its first reason.
    world.post(&format!("/v1/seals/{}/void", logs[1]), by, json!({"reason": "stolen"})).await.expect(200);
    world.event(by, "seal_replaced", &logs[1..], new_seal(&felled, 1)).await.expect(201);
    let told = history(&world, &felled, &logs[1]).await;
    let reasons: Vec<_> = told[1..].iter().map(|event| &event["details"]["reason"]).collect();
    assert_eq!(reasons, ["stolen"]);
    // The new seal can be replaced by another new seal.
    world.event(by, "seal_replaced", &logs[..1], new_seal(&felled, 2)).await.expect(201);
    assert_eq!(history(&world, &felled, &felled.seals[0]).await[1]["details"]["reason"], "replaced");
    assert_eq!(world.unsound().await, [""; 0]);

    // If the row of `seal_move` that records the voiding in the batch is missing, `fsck` reports an error,
    // although the chain of the log has an event of its own.
    let mut owner = world.owner().await;
    for table in ["event", "seal_move"] {
        let sql = format!("ALTER TABLE {table} DISABLE TRIGGER USER");
        sqlx::query(sqlx::AssertSqlSafe(sql)).execute(&mut owner).await.unwrap();
    }
    sqlx::query("DELETE FROM seal_move WHERE number = $1").bind(&logs[0]).execute(&mut owner).await.unwrap();
    let unsound = world.unsound().await;
    let missing = format!("event-missing seal {}", logs[0]);
    assert!(unsound.iter().any(|found| found.starts_with(&missing)), "{unsound:#?}");
}

#[tokio::test]
async fn the_receipt_of_a_replacement_covers_both_of_its_events() {
    let world = World::new().await;
    let felled = world.felled(1).await;
    let mut body = new_seal(&felled, 0);
    body["operation_id"] = json!("0199aaaa-0000-7000-8000-000000000007");
    let answer =
        world.event(&felled.enterprise, "seal_replaced", &felled.logs, body.clone()).await.expect(201);
    let leaves: Vec<Hash> = answer["receipt"]["leaves"]
        .as_array()
        .unwrap()
        .iter()
        .map(|leaf| Hash::from_hex(leaf.as_str().unwrap()).unwrap())
        .collect();
    let of_batch = history(&world, &felled, &felled.logs[0]).await[1]["hash"].clone();
    let told: Vec<String> = leaves.iter().map(ToString::to_string).collect();
    assert_eq!(json!(told), json!([answer["events"][0]["hash"], of_batch]));
    let key = world.app.queue.receipt_key().verifier().clone();
    Promise::open(answer["receipt"]["note"].as_str().unwrap(), &[key], &leaves).unwrap();
    // If the same request is sent again, it returns the events of its logs and the same receipt.
    let again = world.event(&felled.enterprise, "seal_replaced", &felled.logs, body).await.expect(200);
    assert_eq!((&again["events"], &again["receipt"]), (&answer["events"], &answer["receipt"]));
}

#[tokio::test]
async fn a_check_of_the_old_seal_reports_it_void() {
    let world = World::new().await;
    let felled = world.felled(1).await;
    let old = world.get(&format!("/v1/seals/{}", felled.logs[0]), &felled.enterprise).await.expect(200);
    world.event(&felled.enterprise, "seal_replaced", &felled.logs, new_seal(&felled, 0)).await.expect(201);
    let whole = crate::stored_logs::encoded(old["marking_code"].as_str().unwrap());
    for code in [felled.logs[0].as_str(), whole.as_str()] {
        let answer = world.get(&format!("/v1/verify/{code}"), &felled.sawmill).await.expect(200);
        assert_eq!(
            (&answer["verdict"], &answer["reason"]["code"]),
            (&json!("void"), &json!("replaced")),
            "{code}"
        );
        assert_eq!(answer["log"]["species"], "pinus_sylvestris");
    }
    let new = world.get(&format!("/v1/verify/{}", felled.seals[0]), &felled.sawmill).await.expect(200);
    assert_eq!(new["verdict"], "valid");
}

#[tokio::test]
async fn of_eight_replacements_by_one_seal_one_succeeds_and_the_others_are_refused() {
    let world = World::new().await;
    let felled = world.felled(1).await;
    let posts =
        (0..8).map(|_| world.event(&felled.enterprise, "seal_replaced", &felled.logs, new_seal(&felled, 0)));
    let answers = futures_util::future::join_all(posts).await;
    let (made, lost): (Vec<_>, Vec<_>) = answers.iter().partition(|answer| answer.status.as_u16() == 201);
    assert_eq!(made.len(), 1);
    for answer in lost {
        answer.expect(409);
        assert_eq!(answer.codes(), ["seal-applied"]);
    }
    assert_eq!(world.unsound().await, [""; 0]);
}

#[tokio::test]
async fn replacements_by_different_seals_follow_on_each_other() {
    let world = World::new().await;
    let felled = world.felled(1).await;
    // All four replacements conflict with each other. A write request that conflicts is executed up to four
    // times, so all succeed.
    let posts =
        (0..4).map(|n| world.event(&felled.enterprise, "seal_replaced", &felled.logs, new_seal(&felled, n)));
    for answer in futures_util::future::join_all(posts).await {
        answer.expect(201);
    }
    let void = world.get("/v1/seals?status=void", &felled.enterprise).await.expect(200);
    assert_eq!(void["items"].as_array().unwrap().len(), 4);
    assert_eq!(world.unsound().await, [""; 0]);
}

#[tokio::test]
async fn a_log_lost_with_a_void_seal_comes_back_by_reversing_its_loss() {
    let world = World::new().await;
    let felled = world.felled(1).await;
    let (by, logs) = (&felled.enterprise, &felled.logs);
    world.post(&format!("/v1/seals/{}/void", logs[0]), by, json!({"reason": "lost"})).await.expect(200);
    world.event(by, "lost", logs, json!({})).await.expect(201);
    for (what, more) in [("found", json!({})), ("seal_replaced", new_seal(&felled, 0))] {
        world.event(by, what, logs, more).await.expect(409);
    }
    world.event(&felled.inspector, "found", logs, json!({})).await.expect(409);
    let undo = json!({"corrects": 3, "reason": "Өзен жағасынан табылды", "reverse": true});
    world.event(&felled.inspector, "corrected", logs, undo).await.expect(201);
    world.event(by, "seal_replaced", logs, new_seal(&felled, 0)).await.expect(201);
    world.event(by, "stored", logs, json!({})).await.expect(201);
    assert_eq!(world.unsound().await, [""; 0]);
}

#[tokio::test]
async fn a_sole_traders_name_and_number_are_hidden_from_a_later_holder() {
    let world = World::new().await;
    let felled = world.felled(1).await;
    let (seller, buyer, logs) = (&felled.enterprise, &felled.sawmill, &felled.logs);
    world.event(seller, "transferred", logs, json!({"to_bin": buyer.bin})).await.expect(201);
    world.event(buyer, "accepted", logs, json!({})).await.expect(201);
    let path = format!("/v1/seals/{}", logs[0]);
    for kind in ["sole_trader", "farm", "legal_entity"] {
        sqlx::query("UPDATE organization SET kind = $2, name = 'ЖК «Сүлейменова Айгүл»' WHERE id = $1")
            .bind(seller.id)
            .bind(kind)
            .execute(&mut world.owner().await)
            .await
            .unwrap();
        for who in [seller, buyer, &felled.operator, &felled.inspector] {
            let seal = world.get(&path, who).await.expect(200);
            let history = world.get(&format!("{path}/history"), who).await.expect(200);
            assert_eq!(seal["holder"], history["seal"]["holder"]);
            assert_eq!(seal["holder"]["id"], json!(seller.id));
            let told = (seal["holder"].get("bin"), seal["holder"].get("name"));
            if kind != "legal_entity" && who.id == buyer.id {
                assert_eq!(told, (None, Some(&Value::Null)), "{kind}");
            } else {
                assert_eq!(
                    told,
                    (Some(&json!(seller.bin)), Some(&json!("ЖК «Сүлейменова Айгүл»"))),
                    "{kind}"
                );
            }
        }
    }
}
