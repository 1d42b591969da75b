//! Findings: one per rule, subject and key; their sentences; lists; explanations, decisions and their chain.

use crate::proofs::{publish, trust};
use crate::world::{Felled, Org, World};
use axum::body::Body;
use axum::http::{Method, Request};
use ormantrace::services::verifier::mirror::Mirror;
use ormantrace::services::verifier::{Trust, verify};
use serde_json::{Value, json};
use std::collections::BTreeSet;

async fn list(world: &World, who: &Org, query: &str) -> Vec<Value> {
    let page = world.get(&format!("/v1/findings?{query}"), who).await.expect(200);
    page["items"].as_array().unwrap().clone()
}

fn ids(items: &[Value]) -> Vec<&str> {
    items.iter().map(|item| item["id"].as_str().unwrap()).collect()
}

/// Inspects a log with the outcome `mismatch` without holding it, and returns the finding.
async fn mismatch(world: &World, felled: &Felled, at: usize) -> Value {
    let details = json!({"details": {"outcome": "mismatch", "hold": false}});
    let made = world.event(&felled.inspector, "inspected", &felled.logs[at..=at], details).await.expect(201);
    made["findings"][0].clone()
}

async fn act(world: &World, who: &Org, finding: &Value, what: &str, body: Value) -> crate::world::Answer {
    world.post(&format!("/v1/findings/{}/{what}", finding["id"].as_str().unwrap()), who, body).await
}

fn decision(state: &str) -> Value {
    json!({"state": state, "reason": "Measured again at the landing"})
}

/// The errors that `fsck` reports of findings and of everything that a world makes through the API.
async fn unsound(world: &World) -> Vec<String> {
    let mut found: Vec<ormantrace::commands::fsck::FsckError> = Vec::new();
    let scope = ormantrace::commands::fsck::Scope::default();
    ormantrace::commands::fsck::check(&mut world.owner().await, &scope, &mut found).await.unwrap();
    found.retain(|error| error.table.starts_with("finding") || error.event.is_some());
    found.retain(|error| error.table.starts_with("finding") || error.table == "event");
    let about = found.iter().map(ToString::to_string);
    about.chain(world.unsound().await).collect()
}

#[tokio::test]
async fn a_finding_has_its_figures_and_its_sentence_in_three_languages() {
    let world = World::new().await;
    let felled = world.felled(1).await;
    let mut late = World::pine(&felled.seals[0]);
    late["occurred_at"] = json!("2026-09-25T09:30:00+05:00");
    late["measurement_method"] = json!("harvester");
    let mut body = World::harvest_of(&felled.ticket, &[]);
    body["logs"] = json!([late]);
    let made = world.post("/v1/harvests", &felled.enterprise, body).await.expect(201);
    let found = &made["findings"][0];
    assert_eq!((&found["rule"], &found["state"], &found["count"]), (&json!("L23"), &json!("new"), &json!(1)));
    assert_eq!(found["inputs"]["days"], 10);
    assert_eq!(found["subject"], json!({"kind": "log", "id": made["logs"][0]["id"]}));
    assert!(found["detail"].as_str().unwrap().starts_with("It was recorded 10 days after"), "{found}");
    assert!(found["message"]["ru"].as_str().unwrap().contains("через 10 дней"), "{found}");
    assert!(found["message"]["kk"].as_str().unwrap().contains("10 күн"), "{found}");
    let path = format!("/v1/findings/{}", found["id"].as_str().unwrap());
    let request = Request::builder().uri(&path).header("accept-language", "ru-KZ, en;q=0.5");
    let request = request.header("authorization", format!("Bearer {}", felled.enterprise.token));
    let one = world.send(request.body(Body::empty()).unwrap()).await.expect(200);
    assert_eq!(one["detail"], found["message"]["ru"]);
    assert_eq!(one["evidence"], json!([{"subject": found["subject"], "seq": 1}]));
    assert_eq!((&one["explanations"], &one["decisions"]), (&json!([]), &json!([])));
    // Another tenant, the ticket's issuer too, gets the same answer as for no finding.
    for other in [&felled.sawmill, &felled.forest_owner, &felled.operator] {
        world.get(&path, other).await.expect(404);
    }
    world.get(&path, &felled.inspector).await.expect(200);
}

/// More than the line permits: every harvest is evidence for one finding of the line, and counts.
#[tokio::test]
async fn more_evidence_raises_the_count_of_one_finding() {
    let world = World::new().await;
    let felled = world.felled(1).await;
    let mut found = Vec::new();
    for (seal, volume) in [(0, 20.0), (1, 0.5), (2, 0.5)] {
        let mut log = World::pine(&felled.seals[seal]);
        log["wood"] = json!("firewood");
        log["kind"] = json!("stack");
        log["pieces"] = json!(200);
        log["volume_m3"] = json!(volume);
        log["measurement_method"] = json!("stack_geometric");
        for member in ["length_m", "top_diameter_cm", "assortment", "grade"] {
            log.as_object_mut().unwrap().remove(member);
        }
        let mut body = World::harvest_of(&felled.ticket, &[]);
        body["logs"] = json!([log]);
        let made = world.post("/v1/harvests", &felled.enterprise, body).await.expect(201);
        let path = format!("/v1/harvests/{}", made["id"].as_str().unwrap());
        let again = world.get(&path, &felled.enterprise).await.expect(200);
        assert_eq!(
            again["findings"][0]["id"], made["findings"][0]["id"],
            "a harvest has the findings it shows"
        );
        found.push(made["findings"].as_array().unwrap().clone());
    }
    let over: Vec<&Value> =
        found[1..].iter().flatten().filter(|one| one["inputs"]["case"] == "over").collect();
    assert_eq!((over[0]["id"].clone(), &over[1]["count"]), (over[1]["id"].clone(), &json!(2)));
    assert_eq!(over[0]["subject"]["kind"], "felling_ticket");
    let items = list(&world, &felled.inspector, &format!("rule=L6&ticket={}", felled.ticket)).await;
    let over = items.iter().find(|one| one["inputs"]["case"] == "over").unwrap();
    let one = world.get(&format!("/v1/findings/{}", over["id"].as_str().unwrap()), &felled.inspector).await;
    assert_eq!(one.expect(200)["evidence"].as_array().map(Vec::len), Some(2));
}

#[tokio::test]
async fn lists_are_filtered_ranked_and_bound_to_their_filters() {
    let world = World::new().await;
    let felled = world.felled(3).await;
    for at in 0..3 {
        world.later(1);
        mismatch(&world, &felled, at).await;
    }
    let damaged = json!({"details": {"outcome": "seal_damaged"}});
    world.event(&felled.inspector, "inspected", &felled.logs[..1], damaged).await.expect(201);
    // The ticket has a finding, too, which questions its issuer.
    let all = list(&world, &felled.inspector, &format!("organization={}", felled.enterprise.id)).await;
    assert_eq!(all.len(), 4);
    assert_eq!(
        list(&world, &felled.enterprise, "").await.len(),
        4,
        "the holder is questioned, not the inspector"
    );
    assert_eq!(list(&world, &felled.sawmill, "").await.len(), 0);
    let log = all[0]["log"].as_str().unwrap();
    for (query, count) in [
        ("rule=seal-damaged".into(), 1),
        ("severity=serious".into(), 3),
        ("state=confirmed".into(), 0),
        (format!("log={log}"), 2),
        (format!("organization={}", felled.enterprise.id), 4),
        (format!("organization={}", felled.sawmill.id), 0),
        ("from=2026-10-05T10:02:00+05:00".into(), 3),
        ("to=2026-10-05T10:02:00+05:00".into(), 2),
    ] {
        assert_eq!(list(&world, &felled.inspector, &query).await.len(), count, "{query}");
    }
    let ranked = list(&world, &felled.inspector, "order=rank").await;
    assert_eq!(ranked[3]["rule"], "seal-damaged", "the only warning comes last");
    // The third serious finding of one party comes before the first.
    assert_eq!(ids(&ranked[..3]), [&all[2], &all[1], &all[0]].map(|one| one["id"].as_str().unwrap()));
    // A page keeps its time: what is found later is not in it.
    let first = world.get("/v1/findings?order=rank&limit=2", &felled.inspector).await.expect(200);
    world.later(1);
    mismatch(&world, &felled, 0).await;
    let next = first["next"].as_str().unwrap();
    let rest = list(&world, &felled.inspector, &format!("order=rank&limit=2&cursor={next}")).await;
    assert_eq!(ids(&rest), ids(&ranked[2..4]));
    for other in ["order=time", "order=rank&severity=serious"] {
        let path = format!("/v1/findings?{other}&limit=2&cursor={next}");
        assert_eq!(world.get(&path, &felled.inspector).await.codes(), ["bad-cursor"], "{other}");
    }
    let request = Request::builder().method(Method::GET).uri("/v1/findings?order=rank");
    let request = request.header("accept", "text/csv").header("accept-language", "kk");
    let request = request.header("authorization", format!("Bearer {}", felled.inspector.token));
    let table = world.send(request.body(Body::empty()).unwrap()).await;
    let text = String::from_utf8(table.bytes).unwrap();
    assert_eq!((text.lines().count(), text.contains("Инспектор пломбаның")), (7, true), "{text}");
}

#[tokio::test]
async fn the_party_explains_an_inspector_decides_and_the_chain_shows_both() {
    let world = World::new().await;
    let felled = world.felled(1).await;
    let found = mismatch(&world, &felled, 0).await;
    let (party, inspector) = (&felled.enterprise, &felled.inspector);
    act(&world, inspector, &found, "explanation", json!({"text": "It is ours"})).await.expect(403);
    act(&world, &felled.sawmill, &found, "explanation", json!({"text": "It is ours"})).await.expect(404);
    act(&world, party, &found, "decision", decision("false")).await.expect(403);
    let appeal = json!({"text": "We do not agree", "appeal": true});
    assert_eq!(act(&world, party, &found, "explanation", appeal.clone()).await.codes(), ["not-decided"]);
    let said = act(&world, party, &found, "explanation", json!({"text": "Bark was lost"})).await.expect(200);
    assert_eq!((&said["state"], &said["events"]), (&json!("new"), &json!(2)), "opened and explained");

    let mut late = decision("confirmed");
    late["expected_seq"] = json!(0);
    assert_eq!(act(&world, inspector, &found, "decision", late.clone()).await.codes(), ["decided-meanwhile"]);
    late["expected_seq"] = json!(2);
    late["official"] = json!({"name": "Ермек Сейітов", "post": "Инспектор"});
    let decided = act(&world, inspector, &found, "decision", late).await.expect(200);
    assert_eq!((&decided["state"], &decided["events"]), (&json!("confirmed"), &json!(3)));

    act(&world, party, &found, "explanation", appeal).await.expect(200);
    let long = "Қабығы түсіп қалған. ".repeat(40);
    let body = json!({"state": "explained", "reason": long});
    act(&world, inspector, &found, "decision", body).await.expect(200);
    let reversed = list(&world, inspector, "rule=decision-reversed").await;
    assert_eq!(reversed.len(), 1);
    assert_eq!(reversed[0]["subject"], json!({"kind": "finding", "id": found["id"]}));
    assert_eq!(reversed[0]["organization"], json!(inspector.id), "it questions the inspectorate");

    let path = format!("/v1/findings/{}", found["id"].as_str().unwrap());
    let one = world.get(&path, party).await.expect(200);
    assert_eq!((&one["state"], one["explanations"].as_array().map(Vec::len)), (&json!("explained"), Some(2)));
    assert_eq!(one["decisions"][1]["reason"], long.trim());
    assert_eq!(one["decisions"][0]["official"], Value::Null, "an official is shown to inspectors");
    let own = world.get(&path, inspector).await.expect(200);
    assert_eq!(own["decisions"][0]["official"]["name"], "Ермек Сейітов");
    let history = world.get(&format!("{path}/history"), party).await.expect(200);
    assert!(!history.to_string().contains("Сейітов") && history.to_string().contains("Bark was lost"));
    assert_eq!(unsound(&world).await, Vec::<String>::new());

    publish(&world).await;
    for reader in [party, inspector] {
        let file = world.get(&format!("{path}/export"), reader).await;
        let register = Some(Mirror::new(world.app.register.folder().root()));
        let report = verify(&file.bytes, &Trust { register, ..trust() }).report;
        assert!(report.holds(), "{report}");
    }
    let proof = world.get(&format!("{path}/proof"), party).await;
    assert_eq!(proof.status.as_u16(), 200);
}

#[tokio::test]
async fn a_decision_can_hold_what_the_finding_is_about() {
    let world = World::new().await;
    let felled = world.felled(1).await;
    let found = mismatch(&world, &felled, 0).await;
    let mut body = decision("confirmed");
    body["hold"] = json!(true);
    body["act"] = json!({"number": "17-Б", "date": "2026-10-05"});
    body["official"] = json!({"name": "Ермек Сейітов"});
    act(&world, &felled.inspector, &found, "decision", body).await.expect(200);
    let log = world.get(&format!("/v1/logs/{}", felled.logs[0]), &felled.inspector).await.expect(200);
    assert_eq!(log["held"]["reason"], "Finding inspection-mismatch");
    let one = world.get(&format!("/v1/findings/{}", found["id"].as_str().unwrap()), &felled.enterprise).await;
    assert_eq!(one.expect(200)["decisions"][0]["act"], json!({"number": "17-Б", "date": "2026-10-05"}));
    let history = world.get(&format!("/v1/logs/{}/history", felled.logs[0]), &felled.inspector).await;
    let history = history.expect(200).to_string();
    assert!(
        history.contains("17-Б") && history.contains("Ермек Сейітов"),
        "the hold has the record and the official"
    );
    assert_eq!(world.event(&felled.enterprise, "sold", &felled.logs, json!({})).await.codes(), ["held"]);
    assert_eq!(unsound(&world).await, Vec::<String>::new());
}

#[tokio::test]
async fn more_evidence_for_an_explained_finding_is_on_its_chain() {
    let world = World::new().await;
    let felled = world.felled(2).await;
    let over = async |seals: &[String], volume: f64| {
        let mut log = World::pine(&seals[0]);
        log["wood"] = json!("firewood");
        log["kind"] = json!("stack");
        log["pieces"] = json!(200);
        log["volume_m3"] = json!(volume);
        log["measurement_method"] = json!("stack_geometric");
        for member in ["length_m", "top_diameter_cm", "assortment", "grade"] {
            log.as_object_mut().unwrap().remove(member);
        }
        let mut body = World::harvest_of(&felled.ticket, &[]);
        body["logs"] = json!([log]);
        let made = world.post("/v1/harvests", &felled.enterprise, body).await.expect(201);
        let found = made["findings"].as_array().unwrap().iter();
        found.filter(|one| one["inputs"]["case"] == "over").cloned().collect::<Vec<_>>()
    };
    over(&felled.seals[..1], 20.0).await;
    let first = over(&felled.seals[1..2], 0.5).await;
    let text = json!({"text": "The line is to be extended"});
    act(&world, &felled.enterprise, &first[0], "explanation", text).await.expect(200);
    world.later(1);
    over(&felled.seals[2..3], 0.5).await;
    let path = format!("/v1/findings/{}/history?evidence=none", first[0]["id"].as_str().unwrap());
    let history = world.get(&path, &felled.enterprise).await.expect(200);
    let types: Vec<&str> =
        history["events"].as_array().unwrap().iter().map(|event| event["type"].as_str().unwrap()).collect();
    assert_eq!(types, ["opened", "explained", "evidence_added"]);
    assert_eq!(unsound(&world).await, Vec::<String>::new());
}

/// Of 64 decisions that were made with the same events in view, one is recorded.
#[tokio::test]
async fn decisions_made_at_once_have_one_winner() {
    let world = World::new().await;
    let felled = world.felled(1).await;
    let found = mismatch(&world, &felled, 0).await;
    let mut body = decision("confirmed");
    body["expected_seq"] = json!(0);
    let all = (0..64).map(|_| act(&world, &felled.inspector, &found, "decision", body.clone()));
    let answers = futures_util::future::join_all(all).await;
    let statuses: Vec<u16> = answers.iter().map(|answer| answer.status.as_u16()).collect();
    assert_eq!(statuses.iter().filter(|status| **status == 200).count(), 1, "{statuses:?}");
    let refused: BTreeSet<String> = answers
        .iter()
        .filter(|answer| answer.status.as_u16() == 409)
        .flat_map(crate::world::Answer::codes)
        .collect();
    assert_eq!(refused, BTreeSet::from(["decided-meanwhile".to_owned()]));
    assert_eq!(unsound(&world).await, Vec::<String>::new());
}

#[tokio::test]
async fn a_personal_number_is_refused_in_a_reason() {
    let world = World::new().await;
    let felled = world.felled(1).await;
    let found = mismatch(&world, &felled, 0).await;
    let iin = (0..10)
        .map(|check| format!("85010130001{check}"))
        .find(|text| ormantrace::timber::party::bin::Bin::parse(text).is_ok_and(|number| number.is_person()))
        .unwrap();
    let mut body = decision("false");
    body["reason"] = json!(format!("Felled by {iin}, seen"));
    let refused = act(&world, &felled.inspector, &found, "decision", body).await;
    refused.expect(422);
    assert_eq!(refused.codes(), ["looks-like-iin"]);
    // Twelve digits with another check digit, and more digits in a row, are no personal number.
    for digits in [format!("{iin}1"), "123456789012".to_owned()] {
        let mut body = decision("false");
        body["reason"] = json!(format!("Act {digits}"));
        act(&world, &felled.inspector, &found, "decision", body).await.expect(200);
    }
}

/// What a decision was cannot be altered in the row, and neither can what was decided upon.
#[tokio::test]
async fn fsck_compares_a_decided_finding_with_its_chain() {
    let world = World::new().await;
    let felled = world.felled(1).await;
    let found = mismatch(&world, &felled, 0).await;
    act(&world, &felled.inspector, &found, "decision", decision("confirmed")).await.expect(200);
    assert_eq!(unsound(&world).await, Vec::<String>::new());
    let holder = format!(
        "UPDATE finding SET organization_id = '{}' WHERE rule = 'inspection-mismatch'",
        felled.enterprise.id
    );
    let back =
        "UPDATE finding SET created_at = created_at + interval '1 day' WHERE rule = 'inspection-mismatch'";
    for (change, undo) in [
        (
            "UPDATE finding SET state = 'false' WHERE rule = 'inspection-mismatch'",
            "UPDATE finding SET state = 'confirmed' WHERE rule = 'inspection-mismatch'",
        ),
        (
            "UPDATE finding SET severity = 'notice' WHERE rule = 'inspection-mismatch'",
            "UPDATE finding SET severity = 'serious' WHERE rule = 'inspection-mismatch'",
        ),
        (
            "UPDATE finding SET key = '9' WHERE rule = 'inspection-mismatch'",
            "UPDATE finding SET key = '2' WHERE rule = 'inspection-mismatch'",
        ),
        (
            "UPDATE finding SET created_at = created_at - interval '1 day' WHERE rule = 'inspection-mismatch'",
            back,
        ),
        ("UPDATE finding SET organization_id = NULL WHERE rule = 'inspection-mismatch'", &holder),
        (
            "UPDATE finding SET head_seq = 0 WHERE head_seq = 2",
            "UPDATE finding SET head_seq = 2 WHERE rule = 'inspection-mismatch'",
        ),
        ("UPDATE finding_evidence SET seq = seq + 1", "UPDATE finding_evidence SET seq = seq - 1"),
    ] {
        let mut owner = world.owner().await;
        sqlx::query(sqlx::AssertSqlSafe(change)).execute(&mut owner).await.unwrap();
        assert_ne!(unsound(&world).await, Vec::<String>::new(), "{change}");
        sqlx::query(sqlx::AssertSqlSafe(undo)).execute(&mut owner).await.unwrap();
        assert_eq!(unsound(&world).await, Vec::<String>::new(), "{undo}");
    }
}
