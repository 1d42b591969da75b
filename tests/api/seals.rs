//! Seals: registered, made, transferred, voided, read.

use crate::support::chain::{ChainEvent, Revealed, chain_errors};
use crate::world::{Answer, Org, World};
use axum::body::Body;
use axum::http::{Method, Request};
use chrono::DateTime;
use ormantrace::base::ids::LogId;
use ormantrace::evidence::chain::Tx;
use ormantrace::evidence::chain::{Hash, Salt};
use ormantrace::timber::seal::gs1::Gtin;
use ormantrace::timber::seal::marking_code::Identification;
use ormantrace::timber::seal::marking_key;
use ormantrace::timber::seal::signing::{Signature, SigningKey};
use ormantrace::timber::seal::stock::load_key_ring;
use ormantrace::timber::seal::{MarkingCode, SealNumber};
use serde_json::{Value, json};
use sha2::{Digest, Sha256};

fn code(serial: &str) -> String {
    let identification = Identification::new(Gtin::DEMONSTRATION, serial).unwrap();
    SigningKey::from_seed(&[7; 32]).sign(&identification).as_str().to_owned()
}

fn seals(range: std::ops::Range<u32>) -> Vec<Value> {
    range
        .map(|n| json!({"number": format!("SE-{n:05}"), "marking_code": code(&format!("S{n:05}"))}))
        .collect()
}

async fn registered(world: &World, operator: &Org, holder: &Org, range: std::ops::Range<u32>) -> Value {
    let body = json!({"holder_bin": holder.bin, "seals": seals(range)});
    world.post("/v1/seals", operator, body).await.expect(201)
}

async fn csv(world: &World, operator: &Org, query: &str, body: Vec<u8>) -> Answer {
    let request = Request::builder()
        .method(Method::POST)
        .uri(format!("/v1/seals{query}"))
        .header("authorization", format!("Bearer {}", operator.token))
        .header("content-type", "text/csv");
    world.send(request.body(Body::from(body)).unwrap()).await
}

fn entries(answer: &Answer) -> Vec<(String, String)> {
    let body = answer.json();
    let text = |entry: &Value, name: &str| entry[name].as_str().unwrap_or_default().to_owned();
    body["errors"].as_array().unwrap().iter().map(|e| (text(e, "pointer"), text(e, "code"))).collect()
}

fn pairs(expected: &[(&str, &str)]) -> Vec<(String, String)> {
    expected.iter().map(|(at, code)| ((*at).to_owned(), (*code).to_owned())).collect()
}

#[tokio::test]
async fn a_batch_is_registered_and_all_errors_of_another_are_reported() {
    let world = World::new().await;
    let (operator, enterprise) = (world.operator().await, world.enterprise().await);
    let batch = registered(&world, &operator, &enterprise, 1..4).await;
    assert_eq!(batch["quantity"], 3);
    assert_eq!(batch["first_number"], "SE-00001");
    assert_eq!(batch["last_number"], "SE-00003");

    let body = json!({"holder_bin": enterprise.bin, "seals": [
        {"number": "SE-00003", "marking_code": code("OTHER")},
        {"number": "SE-00010", "marking_code": code("S00001")},
        {"number": "SE-00011", "marking_code": code("FRESH")},
    ]});
    let answer = world.post("/v1/seals", &operator, body).await;
    answer.expect(409);
    assert_eq!(
        entries(&answer),
        pairs(&[
            ("/seals/0/number", "seal-number-registered"),
            ("/seals/1/marking_code", "marking-code-registered")
        ])
    );

    let forged = code("FORGED").replace("FORGED", "FORGER");
    let body =
        json!({"holder_bin": "040640000000", "seals": [{"number": "SE-00020", "marking_code": forged}]});
    assert_eq!(world.post("/v1/seals", &operator, body).await.status.as_u16(), 422);
    let body = json!({"holder_bin": enterprise.bin, "seals": [
        {"number": "se-00020", "marking_code": code("A1")},
        {"number": "SE-00020", "marking_code": code("A2")},
        {"number": "SE-00021", "marking_code": code("A1")},
        {"number": "SE-00022", "marking_code": forged},
    ]});
    let answer = world.post("/v1/seals", &operator, body).await;
    answer.expect(422);
    assert_eq!(
        entries(&answer),
        pairs(&[
            ("/seals/1/number", "duplicate-in-batch"),
            ("/seals/2/marking_code", "duplicate-in-batch"),
            ("/seals/3/marking_code", "forged-marking-code"),
        ])
    );
    // A refused request registers none of its seals, including the valid ones.
    for number in ["SE-00010", "SE-00011", "SE-00020", "SE-00021"] {
        world.get(&format!("/v1/seals/{number}"), &operator).await.expect(404);
    }
}

#[tokio::test]
async fn a_registration_sent_twice_is_one_conflict_that_names_its_batch() {
    let world = World::new().await;
    let (operator, enterprise) = (world.operator().await, world.enterprise().await);
    let line = |n: u32| format!("SE-{n:05},{}\r\n", code(&format!("S{n:05}")).replace('\u{1d}', "<GS>"));
    let table = |lines: &mut dyn Iterator<Item = u32>| {
        format!("number,marking_code\r\n{}", lines.map(line).collect::<String>()).into_bytes()
    };
    let query = format!("?holder_bin={}", enterprise.bin);
    let batch = csv(&world, &operator, &query, table(&mut (1..4))).await.expect(201);
    let id = batch["id"].as_str().unwrap();
    // Again, in another order, and as JSON.
    let again = [
        csv(&world, &operator, &query, table(&mut (1..4))).await,
        csv(&world, &operator, &query, table(&mut (1..4).rev())).await,
        world.post("/v1/seals", &operator, json!({"holder_bin": enterprise.bin, "seals": seals(1..4)})).await,
    ];
    for answer in &again {
        answer.expect(409);
        assert_eq!(answer.codes(), ["already-recorded"]);
        let entry = answer.json()["errors"][0].clone();
        assert!(entry["detail"].as_str().unwrap().contains(id), "{entry}");
    }
    assert_eq!(entries(&again[2]), pairs(&[("", "already-recorded")]));
    assert_eq!(again[0].json()["errors"][0]["line"], 1);
    // With one seal more or less, each registered seal is named.
    for (seals, errors) in [(1..5, 6), (2..4, 4)] {
        let answer = csv(&world, &operator, &query, table(&mut seals.into_iter())).await;
        answer.expect(409);
        assert_eq!(answer.codes().len(), errors, "{answer:?}");
    }
    // Two numbers of the batch with exchanged codes.
    let mut swapped = seals(1..3);
    let first = swapped[0]["marking_code"].take();
    swapped[0]["marking_code"] = std::mem::replace(&mut swapped[1]["marking_code"], first);
    let answer =
        world.post("/v1/seals", &operator, json!({"holder_bin": enterprise.bin, "seals": swapped})).await;
    answer.expect(409);
    assert_eq!(answer.codes().len(), 4, "{answer:?}");
    // Seals of two batches.
    registered(&world, &operator, &enterprise, 4..6).await;
    let body = json!({"holder_bin": enterprise.bin, "seals": seals(3..5)});
    assert_eq!(world.post("/v1/seals", &operator, body).await.codes().len(), 4);
}

/// A number with a hyphen is printed in groups on some plastic. It is typed with blanks then, in writes as in the
/// public check.
#[tokio::test]
async fn a_number_typed_in_groups_names_its_seal_in_writes() {
    let world = World::new().await;
    let felled = world.felled(1).await;
    let numbers = ["DEMO-000041", "DEMO-000042", "DEMO-000043", "DEMO-000044", "DEMO000044"];
    let seals: Vec<Value> =
        numbers.iter().map(|n| json!({"number": n, "marking_code": code(&n.replace('-', "x"))})).collect();
    let body = json!({"holder_bin": felled.enterprise.bin, "seals": seals});
    world.post("/v1/seals", &felled.operator, body).await.expect(201);
    let body = World::harvest_of(&felled.ticket, &["DEMO 000 041".to_owned()]);
    let made = world.post("/v1/harvests", &felled.enterprise, body).await.expect(201);
    assert_eq!(made["logs"][0]["seal_number"], "DEMO-000041");
    let logs = ["DEMO\u{a0}000 041".to_owned()];
    world.event(&felled.enterprise, "stored", &logs, json!({})).await.expect(201);
    let new = json!({"new_seal_number": "demo 000 042", "reason": "пломба шытынаған"});
    world.event(&felled.enterprise, "seal_replaced", &logs, new).await.expect(201);
    let log = world.get("/v1/logs/DEMO-000042", &felled.enterprise).await.expect(200);
    assert_eq!(log["seal"]["number"], "DEMO-000042");
    let seal = world.get("/v1/seals/DEMO%20000%20043", &felled.enterprise).await.expect(200);
    assert_eq!(seal["number"], "DEMO-000043");
    let body = json!({"to_bin": felled.sawmill.bin, "numbers": ["DEMO 000 043"]});
    world.post("/v1/seals/transfer", &felled.enterprise, body).await.expect(200);
    let body = json!({"reason": "spoiled"});
    world.post("/v1/seals/DEMO%20000%20043/void", &felled.sawmill, body).await.expect(200);
    // The number without a hyphen is registered too, so it is the one that is meant.
    let seal = world.get("/v1/seals/DEMO%20000%20044", &felled.enterprise).await.expect(200);
    assert_eq!(seal["number"], "DEMO000044");
    assert_eq!(world.unsound().await, [""; 0]);
}

#[tokio::test]
async fn only_enterprises_and_forest_owners_get_seals_and_only_from_the_operator() {
    let world = World::new().await;
    let (operator, enterprise, carrier) =
        (world.operator().await, world.enterprise().await, world.carrier().await);
    let body = json!({"holder_bin": carrier.bin, "seals": seals(1..2)});
    let answer = world.post("/v1/seals", &operator, body.clone()).await;
    assert_eq!(entries(&answer), pairs(&[("/holder_bin", "not-a-seal-holder")]));
    let body_absent = json!({"holder_bin": crate::world::bin(77), "quantity": 5});
    let answer = world.post("/v1/seal-batches", &operator, body_absent).await;
    assert_eq!(entries(&answer), pairs(&[("/holder_bin", "unknown-organization")]));
    for path in ["/v1/seals", "/v1/seal-batches"] {
        world.post(path, &enterprise, body.clone()).await.expect(403);
        world.call(Method::POST, path, None, body.clone()).await.expect(401);
    }
    for quantity in [json!(0), json!(1_000_001), json!(1.5), json!("5"), json!(-1)] {
        let body = json!({"holder_bin": enterprise.bin, "quantity": quantity});
        assert_eq!(world.post("/v1/seal-batches", &operator, body).await.status.as_u16(), 422);
    }
}

#[tokio::test]
async fn hostile_codes_are_repaired_or_refused_in_their_place() {
    let world = World::new().await;
    let (operator, enterprise) = (world.operator().await, world.enterprise().await);
    let clean = code("K7M2Q9XJ4TZ0B");
    let sent = format!("\u{feff}]d2{}", clean.replace('\u{1d}', "<GS>"));
    let body =
        json!({"holder_bin": enterprise.bin, "seals": [{"number": " kz–0000417", "marking_code": sent}]});
    world.post("/v1/seals", &operator, body).await.expect(201);
    let seal = world.get("/v1/seals/KZ-0000417", &enterprise).await.expect(200);
    assert_eq!(seal["marking_code"], clean);
    assert_eq!(seal["status"], "issued");
    assert_eq!(seal["holder"]["bin"], enterprise.bin);

    for bad in ["", "21K7M2", "0109520000000012", "<script>alert(1)</script>", &"0".repeat(600)] {
        let body =
            json!({"holder_bin": enterprise.bin, "seals": [{"number": "KZ-0000418", "marking_code": bad}]});
        let answer = world.post("/v1/seals", &operator, body).await;
        answer.expect(422);
        assert_eq!(entries(&answer)[0].0, "/seals/0/marking_code", "{bad:.20}");
    }
}

#[tokio::test]
async fn csv_comes_with_marks_semicolons_and_windows_letters() {
    let world = World::new().await;
    let (operator, enterprise) = (world.operator().await, world.enterprise().await);
    let query = format!("?holder_bin={}", enterprise.bin);
    let body =
        format!("\u{feff}number;marking_code\r\nAA-00001;{}\r\nAA-00002;{}\r\n", code("C1"), code("C2"));
    let made = csv(&world, &operator, &query, body.into_bytes()).await.expect(201);
    assert_eq!(made["quantity"], 2);

    // The number `АА-00003` is sent in Cyrillic letters, encoded in windows-1251. It is registered with Latin
    // letters.
    let mut body = b"marking_code,number\r\n".to_vec();
    body.extend_from_slice(code("C3").as_bytes());
    body.extend_from_slice(b",\xC0\xC0-00003\r\n");
    let made = csv(&world, &operator, &query, body).await;
    let told = String::from_utf8_lossy(&made.bytes).into_owned();
    assert_eq!(made.expect(201)["first_number"], "AA-00003", "{told}");

    let body = format!("number,marking_code\r\nAA-00004,{}\r\nAA-00004,nonsense\r\n", code("C4"));
    let answer = csv(&world, &operator, &query, body.into_bytes()).await;
    answer.expect(422);
    assert_eq!(answer.json()["errors"][0]["line"], 3);
    assert_eq!(answer.json()["errors"][0]["column"], "marking_code");
    let body = format!("number,marking_code\r\nAA-00001,{}\r\n", code("C9"));
    let answer = csv(&world, &operator, &query, body.clone().into_bytes()).await;
    answer.expect(409);
    assert_eq!(answer.json()["errors"][0]["line"], 2);
    csv(&world, &operator, "", body.into_bytes()).await.expect(422);
}

#[tokio::test]
async fn made_seals_are_signed_numbered_in_a_run_and_handed_out_to_those_concerned() {
    let world = World::new().await;
    let (operator, enterprise, sawmill, inspector) =
        (world.operator().await, world.enterprise().await, world.sawmill().await, world.inspector().await);
    // A seal with the number KZ000000005 exists already, so the new batch gets the consecutive numbers after
    // it.
    let taken =
        json!({"holder_bin": sawmill.bin, "seals": [{"number": "KZ000000005", "marking_code": code("T5")}]});
    world.post("/v1/seals", &operator, taken).await.expect(201);
    let order = json!({"holder_bin": enterprise.bin, "quantity": 12_345});
    let batch = world.post("/v1/seal-batches", &operator, order).await.expect(201);
    assert_eq!(batch["first_number"], "KZ000000006");
    assert_eq!(batch["last_number"], "KZ000012350");
    let path = format!("/v1/seal-batches/{}/seals", batch["id"].as_str().unwrap());

    let lines = world.get(&path, &enterprise).await;
    assert_eq!(lines.headers["content-type"], "application/x-ndjson");
    let lines: Vec<Value> = lines
        .bytes
        .split(|byte| *byte == b'\n')
        .filter(|line| !line.is_empty())
        .map(|line| serde_json::from_slice(line).unwrap())
        .collect();
    assert_eq!(lines.len(), 12_345);
    let mut digest = Sha256::new();
    for line in &lines {
        let made = MarkingCode::parse_strict(line["marking_code"].as_str().unwrap()).unwrap();
        digest.update(format!("{}\t{}\n", line["number"].as_str().unwrap(), made.identification_str()));
    }
    let one = MarkingCode::parse_strict(lines[777]["marking_code"].as_str().unwrap()).unwrap();
    assert_eq!(world.app.key_ring.verify(&one), Signature::Valid);

    let request = Request::get(&path)
        .header("authorization", format!("Bearer {}", operator.token))
        .header("accept", "text/csv");
    let sheet = world.send(request.body(Body::empty()).unwrap()).await;
    let text = String::from_utf8(sheet.bytes).unwrap();
    assert!(text.starts_with("number,marking_code\r\nKZ000000006,"));
    assert!(text.contains('\u{1d}'));
    assert_eq!(text.lines().count(), 12_346);

    for other in [&sawmill, &inspector] {
        world.get(&path, other).await.expect(404);
    }
    world.get("/v1/seal-batches/nonsense/seals", &operator).await.expect(404);

    let history = world.get("/v1/seals/KZ000000006/history", &enterprise).await.expect(200);
    assert_eq!(history["events"][0]["type"], "seals_registered");
    assert_eq!(history["events"][0]["details"]["digest"], hex::encode(digest.finalize()));
}

#[tokio::test]
async fn two_orders_at_once_get_runs_apart() {
    let world = World::new().await;
    let (operator, enterprise) = (world.operator().await, world.enterprise().await);
    let order = json!({"holder_bin": enterprise.bin, "quantity": 40});
    let orders = (0..8).map(|_| world.post("/v1/seal-batches", &operator, order.clone()));
    let made = futures_util::future::join_all(orders).await;
    for answer in &made {
        answer.expect(201);
    }
    let stock = world.get("/v1/seal-stock", &enterprise).await.expect(200);
    assert_eq!(stock, json!({"issued": 320, "applied": 0, "void": 0}));
    let stock = world.get("/v1/seal-stock", &operator).await.expect(200);
    assert_eq!(stock["holders"][0]["issued"], 320);
    assert_eq!(stock["holders"][0]["holder"]["bin"], enterprise.bin);
}

#[tokio::test]
async fn a_third_party_sees_nothing() {
    let world = World::new().await;
    let (operator, enterprise, sawmill, carrier, inspector) = (
        world.operator().await,
        world.enterprise().await,
        world.sawmill().await,
        world.carrier().await,
        world.inspector().await,
    );
    registered(&world, &operator, &enterprise, 1..3).await;
    for path in ["/v1/seals/SE-00001", "/v1/seals/SE-00001/history"] {
        for org in [&operator, &enterprise, &inspector] {
            world.get(path, org).await.expect(200);
        }
        for org in [&sawmill, &carrier] {
            world.get(path, org).await.expect(404);
        }
    }
    let label = world.get("/v1/seals/SE-00001/label.svg", &enterprise).await;
    assert_eq!(label.headers["content-type"], "image/svg+xml");
    assert!(String::from_utf8_lossy(&label.bytes).contains("SE-00001"));
    for org in [&sawmill, &carrier, &inspector] {
        world.get("/v1/seals/SE-00001/label.svg", org).await.expect(404);
    }
    let void = json!({"reason": "lost"});
    world.post("/v1/seals/SE-00001/void", &sawmill, void.clone()).await.expect(404);
    world.post("/v1/seals/SE-09999/void", &sawmill, void.clone()).await.expect(404);
    world.post("/v1/seals/SE-00001/void", &carrier, void.clone()).await.expect(403);
    world.post("/v1/seals/SE-00001/void", &inspector, void).await.expect(422);
    let list = world.get("/v1/seals", &sawmill).await.expect(200);
    assert_eq!(list, json!({"items": [], "next": null}));
    let list = world.get(&format!("/v1/seals?holder_bin={}", enterprise.bin), &sawmill).await.expect(200);
    assert_eq!(list["items"], json!([]));
}

#[tokio::test]
async fn lists_page_by_number_whatever_the_status() {
    let world = World::new().await;
    let (operator, enterprise) = (world.operator().await, world.enterprise().await);
    registered(&world, &operator, &enterprise, 1..8).await;
    world.post("/v1/seals/SE-00002/void", &enterprise, json!({"reason": "spoiled"})).await.expect(200);
    for org in [&enterprise, &operator] {
        let mut path = "/v1/seals?limit=3".to_owned();
        let mut numbers = Vec::new();
        loop {
            let answer = world.get(&path, org).await;
            let page = answer.expect(200);
            numbers.extend(page["items"].as_array().unwrap().iter().map(|s| s["number"].clone()));
            let Some(next) = page["next"].as_str() else { break };
            assert!(answer.headers["link"].to_str().unwrap().contains(next));
            path = format!("/v1/seals?limit=3&cursor={next}");
        }
        let expected: Vec<Value> = (1..8).map(|n| json!(format!("SE-{n:05}"))).collect();
        assert_eq!(numbers, expected);
        let void = world.get("/v1/seals?status=void", org).await.expect(200);
        assert_eq!(void["items"].as_array().unwrap().len(), 1);
        assert_eq!(void["items"][0]["void_reason"], "spoiled");
    }
    for bad in ["limit=0", "limit=1001", "cursor=%21", "cursor=AAAA", "status=gone", "holder_bin=1", "x=1"] {
        assert_eq!(world.get(&format!("/v1/seals?{bad}"), &enterprise).await.status.as_u16(), 422, "{bad}");
    }
}

#[tokio::test]
async fn a_transfer_moves_all_seals_or_is_refused() {
    let world = World::new().await;
    let (operator, enterprise, sawmill, carrier) =
        (world.operator().await, world.enterprise().await, world.sawmill().await, world.carrier().await);
    registered(&world, &operator, &enterprise, 1..11).await;
    registered(&world, &operator, &enterprise, 11..21).await;
    registered(&world, &operator, &sawmill, 21..31).await;
    world.post("/v1/seals/SE-00004/void", &enterprise, json!({"reason": "stolen"})).await.expect(200);

    let body = json!({"numbers": ["SE-00001", "SE-00004", "SE-00025", "SE-77777"], "to_bin": sawmill.bin});
    let answer = world.post("/v1/seals/transfer", &enterprise, body).await;
    answer.expect(422);
    assert_eq!(
        entries(&answer),
        pairs(&[("/numbers/2", "unknown-seal"), ("/numbers/3", "unknown-seal"), ("/numbers/1", "seal-void")])
    );
    let body = json!({"first": "SE-00001", "last": "SE-00004", "to_bin": sawmill.bin});
    let answer = world.post("/v1/seals/transfer", &enterprise, body).await;
    answer.expect(409);
    assert_eq!(entries(&answer), pairs(&[("/first", "seal-void")]));
    let body = json!({"numbers": ["SE-00001", "SE-00002", "SE-00001"], "to_bin": sawmill.bin});
    let answer = world.post("/v1/seals/transfer", &enterprise, body).await;
    assert_eq!(entries(&answer), pairs(&[("/numbers/2", "duplicate-in-batch")]));
    for bad in [
        json!({"numbers": ["SE-00001"], "to_bin": carrier.bin}),
        json!({"numbers": ["SE-00001"], "to_bin": crate::world::bin(88)}),
        json!({"numbers": [], "to_bin": sawmill.bin}),
        json!({"first": "SE-00001", "to_bin": sawmill.bin}),
        json!({"first": "SE-00009", "last": "SE-00001", "to_bin": sawmill.bin}),
        json!({"first": "KZ000000001", "last": "KZ000900001", "to_bin": sawmill.bin}),
        json!({"numbers": ["SE-00001"], "first": "SE-00001", "last": "SE-00002", "to_bin": sawmill.bin}),
        json!({"numbers": ["SE-00001"], "to_bin": sawmill.bin, "operation_id": "00000000-0000-1000-8000-000000000000"}),
    ] {
        assert_eq!(world.post("/v1/seals/transfer", &enterprise, bad).await.status.as_u16(), 422);
    }

    let body = json!({"first": "SE-00005", "last": "SE-00014", "to_bin": sawmill.bin});
    let answer = world.post("/v1/seals/transfer", &enterprise, body).await.expect(200);
    assert_eq!(answer["transferred"], 10);
    assert_eq!(answer["events"].as_array().unwrap().len(), 2);
    let seal = world.get("/v1/seals/SE-00010", &sawmill).await.expect(200);
    assert_eq!(seal["holder"]["bin"], sawmill.bin);
    world.get("/v1/seals/SE-00010", &enterprise).await.expect(404);
    let history = world.get("/v1/seals/SE-00010/history", &sawmill).await.expect(200);
    let types: Vec<&str> =
        history["events"].as_array().unwrap().iter().map(|e| e["type"].as_str().unwrap()).collect();
    assert_eq!(types, ["seals_registered", "seals_transferred"]);
    let numbers = "SE-00005\nSE-00006\nSE-00007\nSE-00008\nSE-00009\nSE-00010\n";
    assert_eq!(history["events"][1]["details"]["digest"], hex::encode(Sha256::digest(numbers)));
    // The operator may transfer seals that belong to any holder.
    let body = json!({"numbers": ["SE-00010", "SE-00021"], "to_bin": enterprise.bin});
    world.post("/v1/seals/transfer", &operator, body).await.expect(200);
}

#[tokio::test]
async fn an_operation_id_names_a_posting_for_ever() {
    let world = World::new().await;
    let (operator, enterprise, sawmill) =
        (world.operator().await, world.enterprise().await, world.sawmill().await);
    registered(&world, &operator, &enterprise, 1..5).await;
    let id = "0198c5a0-0000-7000-8000-000000000001";
    let body = json!({"numbers": ["SE-00001", "SE-00002"], "to_bin": sawmill.bin, "operation_id": id});
    let first = world.post("/v1/seals/transfer", &enterprise, body.clone()).await.expect(200);
    assert_eq!(first["operation_id"], id);
    assert_eq!(world.post("/v1/seals/transfer", &enterprise, body).await.expect(200), first);
    let other = json!({"numbers": ["SE-00003"], "to_bin": sawmill.bin, "operation_id": id});
    let answer = world.post("/v1/seals/transfer", &enterprise, other).await;
    answer.expect(409);
    assert_eq!(entries(&answer), pairs(&[("/operation_id", "operation-id-used")]));
    let void = json!({"reason": "lost", "operation_id": id});
    world.post("/v1/seals/SE-00003/void", &enterprise, void.clone()).await.expect(409);
    // Another organisation may use an operation id that the first organisation has used, and its request is
    // executed independently.
    let voided = world.post("/v1/seals/SE-00002/void", &sawmill, void.clone()).await.expect(200);
    assert_eq!(world.post("/v1/seals/SE-00002/void", &sawmill, void).await.expect(200), voided);
    let answer = world.post("/v1/seals/SE-00002/void", &sawmill, json!({"reason": "lost"})).await;
    answer.expect(409);
    assert_eq!(answer.codes(), ["seal-void"]);
    let replaced = json!({"reason": "replaced"});
    world.post("/v1/seals/SE-00003/void", &enterprise, replaced).await.expect(422);
}

#[tokio::test]
async fn of_64_at_once_one_wins_and_the_chain_holds() {
    let world = World::new().await;
    let (operator, enterprise, sawmill) =
        (world.operator().await, world.enterprise().await, world.sawmill().await);
    let batch = registered(&world, &operator, &enterprise, 1..5).await;
    let voids =
        (0..64).map(|_| world.post("/v1/seals/SE-00001/void", &enterprise, json!({"reason": "spoiled"})));
    let answers = futures_util::future::join_all(voids).await;
    let won = answers.iter().filter(|answer| answer.status.as_u16() == 200).count();
    assert_eq!(won, 1);
    assert!(answers.iter().all(|answer| matches!(answer.status.as_u16(), 200 | 409)));

    let to_mill = json!({"numbers": ["SE-00003", "SE-00002"], "to_bin": sawmill.bin});
    let moves = (0..64).map(|_| world.post("/v1/seals/transfer", &enterprise, to_mill.clone()));
    let answers = futures_util::future::join_all(moves).await;
    assert_eq!(answers.iter().filter(|answer| answer.status.as_u16() == 200).count(), 1);
    assert!(answers.iter().all(|answer| matches!(answer.status.as_u16(), 200 | 422)));
    let same = json!({"numbers": ["SE-00004"], "to_bin": sawmill.bin, "operation_id": "0198c5a0-0000-7000-8000-000000000002"});
    let moves = (0..16).map(|_| world.post("/v1/seals/transfer", &enterprise, same.clone()));
    let answers = futures_util::future::join_all(moves).await;
    assert!(answers.iter().all(|answer| matches!(answer.status.as_u16(), 200 | 409)));

    // Assembles the complete chain of the batch from the histories of its seals.
    let mut events: Vec<Value> = Vec::new();
    for number in ["SE-00001", "SE-00002", "SE-00004"] {
        let history = world.get(&format!("/v1/seals/{number}/history"), &operator).await.expect(200);
        events.extend(history["events"].as_array().unwrap().iter().cloned());
    }
    events.sort_by_key(|event| event["seq"].as_u64());
    events.dedup();
    assert_eq!(events.len(), 4);
    assert_eq!(chain_errors(&events.iter().map(shown).collect::<Vec<_>>()), []);
    let head: (i32, Vec<u8>) =
        sqlx::query_as("SELECT head_seq, head_hash FROM seal_batch WHERE id = $1::uuid")
            .bind(batch["id"].as_str().unwrap())
            .fetch_one(&world.app.pool)
            .await
            .unwrap();
    assert_eq!((head.0, hex::encode(head.1)), (4, events[3]["hash"].as_str().unwrap().to_owned()));
}

fn shown(event: &Value) -> ChainEvent<'_> {
    let hash = |value: &Value| Hash::from_hex(value.as_str().unwrap()).unwrap();
    let entry = hex::decode(event["entry"].as_str().unwrap()).unwrap();
    let parts = ["public", "business", "personal"].map(|name| {
        let part = &event["parts"][name];
        let opening = part["text"].as_str().map(|text| {
            let salt = hex::decode(part["salt"].as_str().unwrap()).unwrap();
            (Salt(salt.try_into().unwrap()), text)
        });
        Revealed { commitment: hash(&part["commitment"]), opening }
    });
    ChainEvent {
        seq: u32::try_from(event["seq"].as_u64().unwrap()).unwrap(),
        received_at: DateTime::parse_from_rfc3339(event["received_at"].as_str().unwrap()).unwrap().to_utc(),
        subject: Hash::from_slice(&entry[1..33]).unwrap(),
        prev: hash(&event["prev_hash"]),
        hash: hash(&event["hash"]),
        parts,
    }
}

/// Puts a seal on a log of `holder` by SQL, without the API.
async fn on_a_log(world: &World, number: &str, holder: &Org, status: &str) -> LogId {
    let (id, other) = (LogId::new(), uuid::Uuid::nil());
    sqlx::query(
        "INSERT INTO log (id, salt, head_seq, head_hash, head_received_at, kind, species, wood, volume_m3,
                          measurement_method, felled_on, harvest_id, ticket_id, line_id, issuer_id, seal_number,
                          status, holder_id, owner_id, last_type, last_on, last_occurred_at)
         VALUES ($1, $2, 1, $3, $4, 'log', 'pinus_sylvestris', 'commercial', 0.33, 'huber', '2026-10-01',
                 $5, $5, $5, $5, $6, $7, $8, $8, 'harvested', '2026-10-01', $4)",
    )
    .bind(id)
    .bind([3_u8; 32].as_slice())
    .bind([4_u8; 32].as_slice())
    .bind(world.clock.now())
    .bind(other)
    .bind(number)
    .bind(status)
    .bind(holder.id)
    .execute(&world.app.pool)
    .await
    .unwrap();
    let mut tx = Tx::begin(&world.app.pool).await.unwrap();
    let number = SealNumber::parse(number).unwrap();
    let rows =
        ormantrace::timber::seal::stock::lock_for_use(&mut tx, std::slice::from_ref(&number)).await.unwrap();
    assert!(rows[0].is_some());
    ormantrace::timber::seal::stock::apply(&mut tx, &[(number.clone(), id)], 1).await.unwrap();
    // A seal is applied only once.
    tx.commit().await.unwrap();
    let mut tx = Tx::begin(&world.app.pool).await.unwrap();
    assert!(ormantrace::timber::seal::stock::apply(&mut tx, &[(number, id)], 1).await.is_err());
    id
}

#[tokio::test]
async fn voiding_an_applied_seal_adds_an_event_to_its_log() {
    let world = World::new().await;
    let (operator, enterprise, sawmill) =
        (world.operator().await, world.enterprise().await, world.sawmill().await);
    registered(&world, &operator, &enterprise, 1..5).await;
    let open = on_a_log(&world, "SE-00001", &sawmill, "stored").await;
    on_a_log(&world, "SE-00002", &enterprise, "sold").await;

    let body = json!({"numbers": ["SE-00001"], "to_bin": sawmill.bin});
    let answer = world.post("/v1/seals/transfer", &enterprise, body).await;
    assert_eq!(answer.codes(), ["seal-applied"]);
    // The sawmill holds the log with SE-00001, as after a purchase. So only the sawmill may void this seal,
    // and no longer the enterprise to which it was allotted.
    let void = json!({"reason": "destroyed", "note": "Қабығымен бірге сыпырылды 🌲"});
    let answer = world.post("/v1/seals/SE-00001/void", &enterprise, void.clone()).await;
    assert_eq!((answer.status.as_u16(), answer.codes()), (409, vec!["not-the-holder".to_owned()]));
    let answer = world.post("/v1/seals/SE-00002/void", &enterprise, void.clone()).await;
    assert_eq!((answer.status.as_u16(), answer.codes()), (409, vec!["transition-not-allowed".to_owned()]));
    let voided = world.post("/v1/seals/SE-00001/void", &sawmill, void).await.expect(200);
    assert_eq!(voided["log_id"], open.to_string());
    assert_eq!(voided["events"][1]["subject"], "log");
    assert_eq!(voided["events"][1]["seq"], 2);
    let row: (bool, i32, String) =
        sqlx::query_as("SELECT seal_void, head_seq, last_type FROM log WHERE id = $1")
            .bind(open)
            .fetch_one(&world.app.pool)
            .await
            .unwrap();
    assert_eq!(row, (true, 2, "seal_voided".to_owned()));
    // The refused requests changed nothing.
    let left: (String, i64) = sqlx::query_as(
        "SELECT status, (SELECT count(*) FROM seal_move WHERE number = 'SE-00002') FROM seal WHERE number = 'SE-00002'",
    )
    .fetch_one(&world.app.pool)
    .await
    .unwrap();
    assert_eq!(left, ("applied".to_owned(), 0));
}

#[tokio::test]
async fn the_longest_note_fits_its_events() {
    let world = World::new().await;
    let (operator, enterprise) = (world.operator().await, world.enterprise().await);
    registered(&world, &operator, &enterprise, 1..3).await;
    on_a_log(&world, "SE-00001", &enterprise, "stored").await;
    let void = json!({"reason": "destroyed", "note": "🌲".repeat(200)});
    world.post("/v1/seals/SE-00001/void", &enterprise, void).await.expect(200);
    let void = json!({"reason": "destroyed", "note": "\"".repeat(201)});
    world.post("/v1/seals/SE-00002/void", &enterprise, void).await.expect(422);
}

#[tokio::test]
async fn codes_signed_with_old_keys_still_verify() {
    let world = World::new().await;
    world.operator().await;
    let old = SigningKey::from_seed(&[9; 32]);
    let now = world.clock.now();
    for key in [&old, &world.app.signing_key, &old] {
        marking_key::register(&world.app.pool, key, now).await.unwrap();
    }
    let ring = load_key_ring(&world.app.pool).await.unwrap();
    let identification = Identification::new(Gtin::DEMONSTRATION, "OLD1").unwrap();
    assert_eq!(ring.verify(&old.sign(&identification)), Signature::Valid);
    assert_eq!(ring.verify(&world.app.signing_key.sign(&identification)), Signature::Valid);
}

/// A label that is printed for a void seal would come onto timber.
#[tokio::test]
async fn a_void_seal_has_no_label() {
    let world = World::new().await;
    let felled = world.felled(2).await;
    let label =
        async |number: &str, org: &Org| world.get(&format!("/v1/seals/{number}/label.svg"), org).await;
    for number in [&felled.seals[0], &felled.logs[0]] {
        assert_eq!(label(number, &felled.enterprise).await.status, 200, "issued and applied seals have one");
    }
    world
        .post(&format!("/v1/seals/{}/void", felled.seals[0]), &felled.enterprise, json!({"reason": "lost"}))
        .await
        .expect(200);
    let new = json!({"new_seal_number": felled.seals[1], "reason": "пломба шытынаған"});
    world.event(&felled.enterprise, "seal_replaced", &felled.logs[..1], new).await.expect(201);
    for (number, reason) in [(&felled.seals[0], "lost"), (&felled.logs[0], "replaced")] {
        for org in [&felled.enterprise, &felled.operator] {
            let answer = label(number, org).await;
            answer.expect(409);
            assert_eq!(answer.codes(), ["seal-void"]);
            assert_eq!(
                answer.json()["detail"],
                format!("{number} is void ({reason}): no label is made for it.")
            );
        }
        label(number, &felled.sawmill).await.expect(404);
    }
    label("KZ999999999", &felled.operator).await.expect(404);
    assert_eq!(label(&felled.seals[1], &felled.enterprise).await.status, 200);
}

/// A client with a scanner sends the whole code where a number is expected.
#[tokio::test]
async fn a_seal_is_named_by_its_number_or_its_whole_code() {
    let world = World::new().await;
    let (operator, enterprise, sawmill) =
        (world.operator().await, world.enterprise().await, world.sawmill().await);
    let numbers = world.seals(&operator, &enterprise, 6).await;
    let mut codes = Vec::new();
    for number in &numbers {
        let seal = world.get(&format!("/v1/seals/{number}"), &enterprise).await.expect(200);
        codes.push(seal["marking_code"].as_str().unwrap().to_owned());
    }
    let transfer = async |body: Value| world.post("/v1/seals/transfer", &enterprise, body).await;
    let forged = |code: &str| {
        let last = if code.ends_with('A') { "B" } else { "A" };
        format!("{}{last}", &code[..code.len() - 1])
    };
    let unknown = codes[0].replacen("21", "21ZZ", 1);
    let unknown = unknown.split('\u{1d}').next().unwrap();
    let body = json!({"to_bin": sawmill.bin,
        "numbers": [numbers[0], codes[0], forged(&codes[1]), unknown, codes[2], numbers[2]]});
    let answer = transfer(body).await;
    answer.expect(422);
    assert_eq!(
        entries(&answer),
        pairs(&[
            ("/numbers/1", "duplicate-in-batch"),
            ("/numbers/3", "unknown-seal"),
            ("/numbers/5", "duplicate-in-batch"),
            ("/numbers/2", "marking-code-differs"),
        ])
    );
    // A code of another organisation's seal does not show its number.
    let theirs = world.seals(&operator, &sawmill, 1).await.remove(0);
    let code = world.get(&format!("/v1/seals/{theirs}"), &sawmill).await.expect(200)["marking_code"].clone();
    let answer = transfer(json!({"to_bin": sawmill.bin, "numbers": [code]})).await;
    assert_eq!(answer.codes(), ["unknown-seal"]);
    assert!(!answer.json().to_string().contains(&theirs), "{}", answer.json());

    let answer =
        transfer(json!({"to_bin": sawmill.bin, "numbers": [codes[0], numbers[1]]})).await.expect(200);
    assert_eq!(answer["transferred"], 2);
    // The ends of a range.
    let answer = transfer(json!({"to_bin": sawmill.bin, "first": codes[4], "last": codes[2]})).await;
    assert_eq!(entries(&answer), pairs(&[("/last", "seal-range-order")]));
    let answer = transfer(json!({"to_bin": sawmill.bin, "first": codes[2], "last": unknown})).await;
    assert_eq!(entries(&answer), pairs(&[("/last", "unknown-seal")]));
    let answer =
        transfer(json!({"to_bin": sawmill.bin, "first": codes[2], "last": codes[4]})).await.expect(200);
    assert_eq!(answer["transferred"], 3);

    // In a path.
    let path = |code: &str| ormantrace::base::percent::encode_segment(code);
    let seal = world.get(&format!("/v1/seals/{}", path(&codes[5])), &enterprise).await.expect(200);
    assert_eq!(seal["number"], json!(numbers[5]));
    world.get(&format!("/v1/seals/{}/history", path(&codes[5])), &enterprise).await.expect(200);
    let label = world.get(&format!("/v1/seals/{}/label.svg", path(&codes[5])), &enterprise).await;
    assert_eq!(label.status, 200);
    for absent in [path(&forged(&codes[5])), path(unknown), path(&codes[4])] {
        world.get(&format!("/v1/seals/{absent}"), &enterprise).await.expect(404);
    }
    let reason = json!({"reason": "spoiled"});
    world
        .post(&format!("/v1/seals/{}/void", path(&forged(&codes[5]))), &enterprise, reason.clone())
        .await
        .expect(404);
    let void =
        world.post(&format!("/v1/seals/{}/void", path(&codes[5])), &enterprise, reason).await.expect(200);
    assert_eq!((&void["number"], &void["status"]), (&json!(numbers[5]), &json!("void")));
    assert_eq!(world.unsound().await, [""; 0]);
}

#[tokio::test]
async fn a_server_with_the_settings_of_a_trial_makes_no_seals() {
    let world = World::new().await;
    let (operator, enterprise) = (world.operator().await, world.enterprise().await);
    let order = json!({"holder_bin": enterprise.bin, "quantity": 10});
    let answer = Answer::of(&world.unconfigured(), "/v1/seal-batches", &operator, &order).await;
    assert_eq!(answer.expect(409)["errors"][0]["pointer"], "");
    assert_eq!(answer.codes(), ["not-configured"]);
    // With what else is wrong.
    let wrong = json!({"holder_bin": enterprise.bin, "quantity": 0});
    let answer = Answer::of(&world.unconfigured(), "/v1/seal-batches", &operator, &wrong).await;
    answer.expect(422);
    assert_eq!(answer.codes(), ["bad-quantity", "not-configured"]);
    // Seals that exist are registered with the codes that they have.
    let seals =
        json!({"holder_bin": enterprise.bin, "seals": [{"number": "AB-1", "marking_code": code("AB1")}]});
    Answer::of(&world.unconfigured(), "/v1/seals", &operator, &seals).await.expect(201);
}
