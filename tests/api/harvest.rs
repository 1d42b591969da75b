//! Harvest requests of an enterprise.

use crate::world::World;
use axum::body::Body;
use axum::http::{Request, StatusCode};
use serde_json::json;

#[tokio::test]
async fn a_harvest_makes_sealed_logs_and_takes_from_the_ticket() {
    let world = World::new().await;
    let felled = world.felled(3).await;
    let harvest = &felled.harvest;
    assert_eq!(harvest["logs"].as_array().unwrap().len(), 3);
    assert_eq!(harvest["logs"][0]["seal_number"], felled.logs[0]);
    assert_eq!(harvest["logs"][0]["seq"], 1);
    assert_eq!(harvest["ticket"]["lines"][0]["marked_m3"], json!(0.99));
    assert_eq!(harvest["ticket"]["lines"][0]["remaining_m3"], json!(99.01));
    let read =
        world.get(&format!("/v1/harvests/{}", harvest["id"].as_str().unwrap()), &felled.enterprise).await;
    assert_eq!(read.expect(200)["logs"], harvest["logs"]);
    let foreign =
        world.get(&format!("/v1/harvests/{}", harvest["id"].as_str().unwrap()), &felled.sawmill).await;
    foreign.expect(404);
}

#[tokio::test]
async fn all_errors_of_a_batch_are_reported_at_once() {
    let world = World::new().await;
    let felled = world.felled(1).await;
    let mut body = World::harvest_of(&felled.ticket, &felled.seals[..5]);
    body["logs"][0]["seal_number"] = json!("KZ999999999");
    body["logs"][1]["species"] = json!("betula_pendula");
    body["logs"][2]["occurred_at"] = json!("2027-02-01T09:00:00+05:00");
    body["logs"][3]["seal_number"] = json!(felled.logs[0]);
    let answer = world.post("/v1/harvests", &felled.enterprise, body.clone()).await;
    let told = answer.expect(422);
    let pointers: Vec<_> = told["errors"]
        .as_array()
        .unwrap()
        .iter()
        .map(|e| (e["pointer"].as_str().unwrap(), e["code"].as_str().unwrap()))
        .collect();
    for expected in [
        ("/logs/0/seal_number", "unknown-seal"),
        ("/logs/1/species", "not-on-ticket"),
        ("/logs/2/occurred_at", "outside-felling-dates"),
        ("/logs/2/occurred_at", "in-the-future"),
        ("/logs/3/seal_number", "seal-applied"),
    ] {
        assert!(pointers.contains(&expected), "{expected:?} in {pointers:?}");
    }
    // A batch with no errors but conflicts with the present state gets 409.
    let again = World::harvest_of(&felled.ticket, &felled.logs);
    let answer = world.post("/v1/harvests", &felled.enterprise, again).await;
    assert_eq!(answer.status, StatusCode::CONFLICT);
    assert_eq!(answer.codes(), ["seal-applied"]);
}

#[tokio::test]
async fn a_dry_run_answers_the_same_and_stores_nothing() {
    let world = World::new().await;
    let felled = world.felled(1).await;
    let body = World::harvest_of(&felled.ticket, &felled.seals[..2]);
    let rehearsed =
        world.post("/v1/harvests?dry_run=true", &felled.enterprise, body.clone()).await.expect(200);
    assert_eq!(rehearsed["ticket"]["lines"][0]["marked_m3"], json!(0.99));
    let after =
        world.get(&format!("/v1/felling-tickets/{}", felled.ticket), &felled.enterprise).await.expect(200);
    assert_eq!(after["lines"][0]["marked_m3"], json!(0.33));
    world.post("/v1/harvests", &felled.enterprise, body).await.expect(201);
}

#[tokio::test]
async fn a_line_bears_its_permitted_volume_and_tolerance_to_the_last_decimal() {
    let world = World::new().await;
    let felled = world.felled(1).await;
    // 20 m³ of firewood with 8 % tolerance: 21.6 m³ and not 0.0001 m³ more.
    let stack = |seal: &str, volume: f64| {
        json!({"seal_number": seal, "kind": "stack", "species": "pinus_sylvestris", "wood": "firewood",
               "volume_m3": volume, "measurement_method": "stack_geometric", "occurred_at": "2026-10-05T09:30:00+05:00"})
    };
    let post = |logs: Vec<serde_json::Value>| {
        let body = json!({"felling_ticket_id": felled.ticket, "responsible_person": {"name": "Ерлан Оспанов"}, "logs": logs});
        world.post("/v1/harvests", &felled.enterprise, body)
    };
    let over = post(vec![stack(&felled.seals[0], 21.6), stack(&felled.seals[1], 0.0001)]).await;
    over.expect(409);
    assert_eq!(over.codes(), ["line-exceeded"]);
    let within = post(vec![stack(&felled.seals[0], 21.6)]).await.expect(201);
    assert!(within["findings"].as_array().unwrap().iter().any(|f| f["rule"] == "L6"), "{within}");
    post(vec![stack(&felled.seals[1], 0.0001)]).await.expect(409);
}

#[tokio::test]
async fn csv_is_the_same_harvest_with_errors_by_line_and_column() {
    let world = World::new().await;
    let felled = world.felled(1).await;
    let send = |csv: String| {
        let request = Request::post(format!("/v1/harvests?felling_ticket_id={}", felled.ticket))
            .header("authorization", format!("Bearer {}", felled.enterprise.token))
            .header("content-type", "text/csv")
            .body(Body::from(csv))
            .unwrap();
        world.send(request)
    };
    let header = "seal_number;kind;species;wood;length_m;top_diameter_cm;volume_m3;measurement_method;occurred_at;responsible_name";
    let row = |seal: &str, volume: &str| {
        format!(
            "{seal};log;pinus_sylvestris;commercial;6,0;24;{volume};gost_2708_75;2026-10-05T09:30:00+05:00;Ерлан Оспанов"
        )
    };
    let bad =
        format!("{header}\r\n{}\r\n{}\r\n", row(&felled.seals[0], "0,33001"), row("KZ999999999", "0,33"));
    let answer = send(bad).await;
    let told = answer.expect(422);
    assert_eq!(
        (told["errors"][0]["line"].as_u64(), told["errors"][0]["column"].as_str()),
        (Some(2), Some("volume_m3"))
    );
    let unknown = format!("{header}\r\n{}\r\n", row("KZ999999999", "0,33"));
    let told = send(unknown).await.expect(422);
    assert_eq!(told["errors"][0]["code"], "unknown-seal");
    assert_eq!(
        (told["errors"][0]["line"].as_u64(), told["errors"][0]["column"].as_str()),
        (Some(2), Some("seal_number"))
    );
    let good = format!(
        "\u{feff}{header}\r\n{}\r\n{}\r\n",
        row(&felled.seals[0], "0,33"),
        row(&felled.seals[1], "0.33")
    );
    assert_eq!(send(good).await.expect(201)["logs"].as_array().unwrap().len(), 2);
}

#[tokio::test]
async fn sixty_four_harvests_with_one_seal_make_one_log() {
    let world = World::new().await;
    let felled = world.felled(1).await;
    let body = World::harvest_of(&felled.ticket, &felled.seals[..1]);
    let posts = (0..64).map(|_| world.post("/v1/harvests", &felled.enterprise, body.clone()));
    let answers = futures_util::future::join_all(posts).await;
    let count = |status: u16| answers.iter().filter(|answer| answer.status.as_u16() == status).count();
    assert_eq!(
        (count(201), count(409)),
        (1, 63),
        "{:?}",
        answers.iter().map(|a| a.status).collect::<Vec<_>>()
    );
}

#[tokio::test]
async fn a_harvest_with_an_operation_id_is_recorded_once() {
    let world = World::new().await;
    let felled = world.felled(1).await;
    let mut body = World::harvest_of(&felled.ticket, &felled.seals[..1]);
    body["operation_id"] = json!("0199aaaa-0000-7000-8000-000000000001");
    let first = world.post("/v1/harvests", &felled.enterprise, body.clone()).await.expect(201);
    let again = world.post("/v1/harvests", &felled.enterprise, body.clone()).await.expect(200);
    assert_eq!(first["id"], again["id"]);
    assert_eq!(first["logs"], again["logs"]);
    body["logs"][0]["volume_m3"] = json!(0.34);
    let other = world.post("/v1/harvests", &felled.enterprise, body).await;
    other.expect(409);
    assert_eq!(other.codes(), ["operation-id-used"]);
}

#[tokio::test]
async fn an_idempotency_key_gives_the_first_answer_byte_for_byte() {
    let world = World::new().await;
    let felled = world.felled(1).await;
    let body = World::harvest_of(&felled.ticket, &felled.seals[..1]);
    let send = |body: String| {
        let request = Request::post("/v1/harvests")
            .header("authorization", format!("Bearer {}", felled.enterprise.token))
            .header("content-type", "application/json")
            .header("idempotency-key", "harvest-2026-10-05-a")
            .body(Body::from(body))
            .unwrap();
        world.send(request)
    };
    let first = send(body.to_string()).await;
    first.expect(201);
    let again = send(serde_json::to_string_pretty(&body).unwrap()).await;
    assert_eq!((again.status, &again.bytes), (first.status, &first.bytes));
    assert_eq!(again.headers["idempotency-replayed"], "true");
    let mut other = body.clone();
    other["logs"][0]["volume_m3"] = json!(0.34);
    send(other.to_string()).await.expect(422);
    // Stored responses contain no personal data.
    let packed: Vec<u8> =
        sqlx::query_scalar("SELECT body FROM idempotency").fetch_one(&world.app.pool).await.unwrap();
    let mut text = String::new();
    std::io::Read::read_to_string(&mut flate2::read::GzDecoder::new(&packed[..]), &mut text).unwrap();
    assert!(!text.contains("Оспанов"));
}

#[tokio::test]
async fn harvests_and_corrections_at_once_never_overdraw_a_line() {
    let world = World::new().await;
    let felled = world.felled(1).await;
    // 20 m³ of firewood and 8 % tolerance. Four stacks of 1 m³ are corrected to 4 m³ while eight more of 3 m³
    // are harvested.
    let stack = |seal: &str, volume: f64| {
        json!({"seal_number": seal, "kind": "stack", "species": "pinus_sylvestris", "wood": "firewood",
               "volume_m3": volume, "measurement_method": "stack_geometric", "occurred_at": "2026-10-05T09:30:00+05:00"})
    };
    let harvest = |logs: Vec<serde_json::Value>| {
        let body = json!({"felling_ticket_id": felled.ticket, "responsible_person": {"name": "Ерлан Оспанов"}, "logs": logs});
        world.post("/v1/harvests", &felled.enterprise, body)
    };
    harvest(felled.seals[..4].iter().map(|seal| stack(seal, 1.0)).collect()).await.expect(201);
    let fresh = world.seals(&felled.operator, &felled.enterprise, 8).await;
    let harvests = fresh.iter().map(|seal| harvest(vec![stack(seal, 3.0)]));
    let corrections = felled.seals[..4].iter().map(|seal| {
        let right = json!({"corrects": 1, "reason": "қайта өлшенді", "set": {"volume_m3": 4}});
        world.event(&felled.enterprise, "corrected", std::slice::from_ref(seal), right)
    });
    let (harvests, corrections) = futures_util::future::join(
        futures_util::future::join_all(harvests),
        futures_util::future::join_all(corrections),
    )
    .await;
    let mut made = 0;
    for answer in harvests.iter().chain(&corrections) {
        if answer.status == StatusCode::CREATED {
            made += 1;
        } else {
            answer.expect(409);
            assert_eq!(answer.codes(), ["line-exceeded"]);
        }
    }
    // The line has 4 m³, and each accepted write adds 3 m³: five make 19 m³, a sixth would make 22 m³.
    assert_eq!(made, 5);
    let path = format!("/v1/felling-tickets/{}", felled.ticket);
    let ticket = world.get(&path, &felled.enterprise).await.expect(200);
    assert_eq!(ticket["lines"][1]["marked_m3"], json!(19));
    assert_eq!(world.unsound().await, [""; 0]);
}

/// Every rule and every response means the day in Kazakhstan, whatever offset was sent.
#[tokio::test]
async fn a_day_is_a_day_in_kazakhstan() {
    let world = World::new().await;
    let felled = world.felled(1).await;
    // The ticket's first day is 1 September.
    for (occurred_at, accepted) in [
        ("2026-08-31T19:00:00Z", true),
        ("2026-08-31T07:00:00-12:00", true),
        ("2026-08-31T18:59:59Z", false),
        ("2026-09-01T00:30:00+06:00", false),
        ("2026-09-01T08:59:59+14:00", false),
    ] {
        let mut body = World::harvest_of(&felled.ticket, &felled.seals[..1]);
        body["logs"][0]["occurred_at"] = json!(occurred_at);
        let answer = world.post("/v1/harvests?dry_run=true", &felled.enterprise, body).await;
        if accepted {
            answer.expect(200);
        } else {
            assert_eq!(answer.codes(), ["outside-felling-dates"], "{occurred_at}");
        }
    }
    let mut body = World::harvest_of(&felled.ticket, &felled.seals[..1]);
    body["logs"][0]["occurred_at"] = json!("2026-09-30T19:30:00Z");
    world.post("/v1/harvests", &felled.enterprise, body).await.expect(201);
    let log = format!("/v1/logs/{}", felled.seals[0]);
    assert_eq!(world.get(&log, &felled.enterprise).await.expect(200)["felled_on"], "2026-10-01");
    let correction = json!({
        "corrects": 1, "reason": "Планшет басқа уақытта тұрған", "set": {"occurred_at": "2026-10-02T07:30:00-12:00"}
    });
    world.event(&felled.enterprise, "corrected", &felled.seals[..1], correction).await.expect(201);
    assert_eq!(world.get(&log, &felled.enterprise).await.expect(200)["felled_on"], "2026-10-03");
    let history = world.get(&format!("{log}/history"), &felled.enterprise).await.expect(200);
    let business = history["events"][1]["parts"]["business"]["text"].as_str().unwrap();
    assert!(business.contains(r#""right_on":"2026-10-03""#) && business.ends_with(r#""v":2}"#), "{business}");
}
