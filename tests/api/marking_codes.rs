//! Marking codes in requests and responses: which key signed them, and how the GS1 separator (GS, U+001D) is
//! written.

use crate::stored_logs::encoded;
use crate::world::{Answer, Org, World};
use axum::body::Body;
use axum::http::Request;
use ormantrace::timber::seal::MarkingCode;
use ormantrace::timber::seal::gs1::Gtin;
use ormantrace::timber::seal::marking_code::Identification;
use ormantrace::timber::seal::signing::SigningKey;
use serde_json::{Value, json};

fn identification(serial: &str) -> Identification {
    Identification::new(Gtin::DEMONSTRATION, serial).unwrap()
}

async fn parties() -> (World, Org, Org) {
    let world = World::new().await;
    let (operator, enterprise) = (world.operator().await, world.enterprise().await);
    (world, operator, enterprise)
}

async fn send(world: &World, org: &Org, path: &str, media: &str, body: Vec<u8>) -> Answer {
    let request = Request::post(path)
        .header("authorization", format!("Bearer {}", org.token))
        .header("content-type", media);
    world.send(request.body(Body::from(body)).unwrap()).await
}

async fn signature_check(world: &World, code: &MarkingCode) -> (Value, Value) {
    let path = encoded(code.as_str());
    let answer = world.get(&format!("/v1/verify/{path}"), &world.operator_of().await).await.expect(200);
    let checks = answer["checks"].as_array().unwrap();
    let check = checks.iter().find(|check| check["code"] == "signature");
    (answer["verdict"].clone(), check.map(|check| check["outcome"].clone()).unwrap_or_default())
}

impl World {
    /// A caller with a token, so that limits by address do not apply.
    async fn operator_of(&self) -> Org {
        self.organization(40, "«Ағаш бақылау»", &["inspector"]).await
    }
}

#[tokio::test]
async fn seals_of_other_makers_are_registered_with_their_own_codes() {
    let (world, operator, enterprise) = parties().await;
    let unsigned = identification("UNSIGNED1").as_str().to_owned();
    let foreign = SigningKey::from_seed(&[9; 32]).sign(&identification("FOREIGN1"));
    // A code with a signature of 44 characters, the second of the two lengths that GS1 codes of this kind may
    // have.
    let short = format!("{}\u{1d}91QQQQ\u{1d}92{}", identification("SHORT1").as_str(), "A".repeat(44));
    let body = json!({"holder_bin": enterprise.bin, "seals": [
        {"number": "PL-00001", "marking_code": unsigned},
        {"number": "PL-00002", "marking_code": foreign.as_str()},
        {"number": "PL-00003", "marking_code": short},
    ]});
    world.post("/v1/seals", &operator, body).await.expect(201);
    for (number, code) in [("PL-00001", &*unsigned), ("PL-00002", foreign.as_str()), ("PL-00003", &*short)] {
        let seal = world.get(&format!("/v1/seals/{number}"), &enterprise).await.expect(200);
        assert_eq!(seal["marking_code"], code, "stored unchanged");
        let verdict = world.get(&format!("/v1/verify/{number}"), &enterprise).await.expect(200);
        assert_eq!(verdict["verdict"], "unused");
    }
    // A signature by an unknown key cannot be checked, so the response makes no statement about it.
    let (verdict, outcome) = signature_check(&world, &foreign).await;
    assert_eq!((verdict, outcome), (json!("unused"), json!("unknown")));
}

#[tokio::test]
async fn a_code_that_names_our_key_and_was_not_signed_with_it_is_refused() {
    let (world, operator, enterprise) = parties().await;
    let ours = world.app.signing_key.id().as_str().to_owned();
    let stranger = SigningKey::from_seed(&[9; 32]);
    let signed = stranger.sign(&identification("FORGED1"));
    let claimed = signed.as_str().replace(&format!("91{}", stranger.id().as_str()), &format!("91{ours}"));
    assert_ne!(claimed, signed.as_str());
    // Signed by us, for another seal.
    let lent = world.app.signing_key.sign(&identification("LENT1"));
    let lent = lent.as_str().replace("LENT1", "LENT2");
    let short = format!("{}\u{1d}91{ours}\u{1d}92{}", identification("SHORT2").as_str(), "A".repeat(44));
    let good = world.app.signing_key.sign(&identification("GOOD1"));
    let seals =
        [("SE-00001", good.as_str()), ("SE-00002", &claimed), ("SE-00003", &lent), ("SE-00004", &short)];

    let items: Vec<Value> =
        seals.iter().map(|(number, code)| json!({"number": number, "marking_code": code})).collect();
    let body = json!({"holder_bin": enterprise.bin, "seals": items});
    let refused = world.post("/v1/seals", &operator, body).await.expect(422);
    let told = |field: &str| -> Vec<Value> {
        let errors = refused["errors"].as_array().unwrap();
        errors.iter().map(|entry| entry[field].clone()).collect()
    };
    assert_eq!(told("code"), ["forged-marking-code"; 3]);
    assert_eq!(told("pointer"), [1, 2, 3].map(|n| json!(format!("/seals/{n}/marking_code"))));

    let mut sheet = String::from("number,marking_code\n");
    for (number, code) in seals {
        sheet += &format!("{number},{code}\n");
    }
    let path = format!("/v1/seals?holder_bin={}", enterprise.bin);
    let refused = send(&world, &operator, &path, "text/csv", sheet.into_bytes()).await.expect(422);
    let places: Vec<(Value, Value)> = refused["errors"]
        .as_array()
        .unwrap()
        .iter()
        .map(|entry| (entry["line"].clone(), entry["column"].clone()))
        .collect();
    assert_eq!(places, [3, 4, 5].map(|line| (json!(line), json!("marking_code"))));
    world.get("/v1/seals/SE-00001", &operator).await.expect(404);
}

#[tokio::test]
async fn gs_is_an_escape_in_json_and_a_byte_in_csv_and_both_come_back() {
    let (world, operator, enterprise) = parties().await;
    let order = json!({"holder_bin": enterprise.bin, "quantity": 3});
    let batch = world.post("/v1/seal-batches", &operator, order).await.expect(201);
    let path = format!("/v1/seal-batches/{}/seals", batch["id"].as_str().unwrap());
    let list = async |accept: &str| {
        let request = Request::get(&path)
            .header("authorization", format!("Bearer {}", operator.token))
            .header("accept", accept);
        let answer = world.send(request.body(Body::empty()).unwrap()).await;
        assert_eq!(answer.status, 200);
        answer.bytes
    };

    let lines = list("application/x-ndjson").await;
    assert!(!lines.contains(&0x1d), "a control byte is not JSON");
    let lines = String::from_utf8(lines).unwrap();
    assert_eq!(lines.matches(r"\u001d").count(), 6, "{lines}");
    let items: Vec<Value> = lines.lines().map(|line| serde_json::from_str(line).unwrap()).collect();

    let sheet = String::from_utf8(list("text/csv").await).unwrap();
    assert_eq!(sheet.matches('\u{1d}').count(), 6, "{sheet:?}");
    assert!(!sheet.contains('"') && !sheet.contains("u001d"), "{sheet:?}");
    for accept in ["Text/CSV", "application/x-ndjson;q=0.5, text/csv", "application/x-ndjson;q=0, */*"] {
        assert_eq!(list(accept).await, sheet.as_bytes(), "{accept}");
    }
    assert_eq!(list("text/csv;q=0, */*").await, lines.as_bytes());
    let rows: Vec<(&str, &str)> = sheet.lines().skip(1).filter_map(|line| line.split_once(',')).collect();
    assert_eq!(items.len(), rows.len());
    for (item, (number, code)) in items.iter().zip(&rows) {
        assert_eq!((item["number"].as_str(), item["marking_code"].as_str()), (Some(*number), Some(*code)));
        assert!(MarkingCode::parse_strict(code).is_ok(), "no leading separator: {code:?}");
    }

    // Another server accepts either form unchanged.
    let (other, operator, enterprise) = parties().await;
    let body = format!(
        r#"{{"holder_bin":"{}","seals":[{}]}}"#,
        enterprise.bin,
        lines.lines().collect::<Vec<_>>().join(",")
    );
    let answer = send(&other, &operator, "/v1/seals", "application/json", body.clone().into_bytes()).await;
    answer.expect(201);
    let (third, operator, enterprise) = parties().await;
    let path = format!("/v1/seals?holder_bin={}", enterprise.bin);
    send(&third, &operator, &path, "text/csv", sheet.into_bytes()).await.expect(201);
    // A GS character that is not escaped in a JSON string makes the body invalid JSON.
    let raw = body.replace(r"\u001d", "\u{1d}").into_bytes();
    send(&third, &operator, "/v1/seals", "application/json", raw).await.expect(400);
}
