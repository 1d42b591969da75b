//! Idempotency: keys of different organisations, and how long responses are stored.

use crate::world::{Answer, Org, World};
use axum::body::Body;
use axum::http::{Method, Request};
use chrono::TimeDelta;
use ormantrace::base::clock::ClockWatch;
use ormantrace::commands::serve::keep_house;
use ormantrace::evidence::idempotency::stored::forget_old;
use serde_json::{Value, json};

async fn post(world: &World, org: &Org, path: &str, key: &str, body: &Value) -> Answer {
    let request = Request::post(path)
        .header("authorization", format!("Bearer {}", org.token))
        .header("content-type", "application/json")
        .header("idempotency-key", key)
        .body(Body::from(body.to_string()))
        .unwrap();
    world.send(request).await
}

/// Sets the clock to this long after the start of the world, deletes what has expired by then, and returns
/// the number of deletions.
async fn later(world: &World, after: TimeDelta) -> u64 {
    world.clock.set(crate::world::morning() + after);
    forget_old(&world.app.pool, world.app.clock.now()).await.unwrap()
}

fn is_replayed(answer: &Answer) -> bool {
    answer.headers.contains_key("idempotency-replayed")
}

#[tokio::test]
async fn equal_keys_of_two_organisations_are_independent() {
    let world = World::new().await;
    let enterprise = world.enterprise().await;
    let (semey, borodulikha) =
        (world.forest_owner().await, world.organization(7, "Бородулиха орманы", &["forest_owner"]).await);
    let ticket = World::ticket_of(&enterprise, "0001245", 100);
    let first = post(&world, &semey, "/v1/felling-tickets", "ticket-0001245", &ticket).await;
    let second = post(&world, &borodulikha, "/v1/felling-tickets", "ticket-0001245", &ticket).await;
    assert_ne!(first.expect(201)["id"], second.expect(201)["id"]);
    assert!(!is_replayed(&second));
    // Two organisations may also use the same idempotency key for different contents.
    let other = World::ticket_of(&enterprise, "0001246", 40);
    post(&world, &semey, "/v1/felling-tickets", "ticket-0001246", &ticket).await.expect(409);
    post(&world, &semey, "/v1/felling-tickets", "ticket-0001247", &other).await.expect(201);
    let third = World::ticket_of(&enterprise, "0001300", 40);
    post(&world, &borodulikha, "/v1/felling-tickets", "ticket-0001247", &third).await.expect(201);
    // A repeated request gets the response stored for its own organisation.
    let again = post(&world, &borodulikha, "/v1/felling-tickets", "ticket-0001245", &ticket).await;
    assert!(is_replayed(&again));
    assert_eq!(again.bytes, second.bytes);
}

#[tokio::test]
async fn a_response_is_stored_for_ninety_days() {
    let world = World::new().await;
    let (owner, enterprise) = (world.forest_owner().await, world.enterprise().await);
    let ticket = World::ticket_of(&enterprise, "0001245", 100);
    let send = |ticket: Value| {
        let (world, owner) = (&world, &owner);
        async move { post(world, owner, "/v1/felling-tickets", "ticket-0001245", &ticket).await }
    };
    let first = send(ticket.clone()).await;
    first.expect(201);
    assert_eq!(later(&world, TimeDelta::days(90)).await, 0);
    let again = send(ticket.clone()).await;
    assert!(is_replayed(&again));
    assert_eq!((again.status, &again.bytes), (first.status, &first.bytes));
    // The stored body of this response and its row in the table `idempotency` expire at the same time, so the
    // row is deleted.
    assert_ne!(later(&world, TimeDelta::days(90) + TimeDelta::seconds(1)).await, 0);
    let kept: i64 = sqlx::query_scalar("SELECT count(*) FROM idempotency WHERE key = 'ticket-0001245'")
        .fetch_one(&world.app.pool)
        .await
        .unwrap();
    assert_eq!(kept, 0);
    // The idempotency key can be used again. The 409 does not concern the key, but the ticket, which exists
    // already.
    let refused = send(ticket).await;
    refused.expect(409);
    assert_eq!(refused.codes(), ["ticket-number-taken"]);
    send(World::ticket_of(&enterprise, "0001246", 100)).await.expect(201);
}

#[tokio::test]
async fn a_clock_that_jumped_deletes_nothing() {
    let world = World::new().await;
    let (owner, enterprise) = (world.forest_owner().await, world.enterprise().await);
    let ticket = World::ticket_of(&enterprise, "0001245", 100);
    post(&world, &owner, "/v1/felling-tickets", "ticket-0001245", &ticket).await.expect(201);
    let start = world.clock.now();
    let watch = ClockWatch::new(world.clock.clone());
    for days in [100, -100] {
        world.clock.set(start + TimeDelta::days(days));
        assert_eq!(keep_house(&world.app.pool, &watch).await, 0, "{days} days off");
    }
    // Back again: the response is still there.
    world.clock.set(start + TimeDelta::minutes(59));
    assert_eq!(keep_house(&world.app.pool, &watch).await, 0);
    assert!(is_replayed(&post(&world, &owner, "/v1/felling-tickets", "ticket-0001245", &ticket).await));
    // A server that starts after the clock has jumped cannot detect the jump, so it deletes what has expired
    // by this clock.
    world.clock.set(start + TimeDelta::days(100));
    assert_ne!(keep_house(&world.app.pool, &ClockWatch::new(world.clock.clone())).await, 0);
}

#[tokio::test]
async fn a_large_response_is_stored_for_seven_days_and_its_result_is_named_later() {
    let world = World::new().await;
    let (operator, owner, enterprise) =
        (world.operator().await, world.forest_owner().await, world.enterprise().await);
    let ticket = World::ticket_of(&enterprise, "0001245", 500);
    let ticket = world.post("/v1/felling-tickets", &owner, ticket).await.expect(201);
    let seals = world.seals(&operator, &enterprise, 400).await;
    let body = World::harvest_of(ticket["id"].as_str().unwrap(), &seals);
    let send = |body: Value| {
        let (world, enterprise) = (&world, &enterprise);
        async move { post(world, enterprise, "/v1/harvests", "harvest-2026-10-05", &body).await }
    };
    let first = send(body.clone()).await;
    let harvest = first.expect(201);
    assert!(first.bytes.len() > 64 * 1024, "{}", first.bytes.len());
    later(&world, TimeDelta::days(7)).await;
    let again = send(body.clone()).await;
    assert!(is_replayed(&again));
    assert_eq!(again.bytes, first.bytes);
    later(&world, TimeDelta::days(7) + TimeDelta::seconds(1)).await;
    let late = send(body.clone()).await;
    let told = late.expect(409);
    assert!(told["type"].as_str().unwrap().ends_with("/problems/already-done"), "{told}");
    let id = harvest["id"].as_str().unwrap();
    assert!(told["detail"].as_str().unwrap().contains(&format!("harvest {id}")), "{told}");
    assert!(!is_replayed(&late));
    // Even after the stored body of the response has expired, the idempotency key accepts only the content of
    // its first request.
    let mut other = body;
    other["logs"][0]["volume_m3"] = json!(0.34);
    let reused = send(other).await;
    reused.expect(422);
    assert_eq!(reused.codes(), ["idempotency-key-reused"]);
}

#[tokio::test]
async fn a_dry_run_has_the_errors_of_the_harvest_and_takes_no_key() {
    let world = World::new().await;
    let felled = world.felled(1).await;
    let rehearse = async |body: &Value| {
        post(&world, &felled.enterprise, "/v1/harvests?dry_run=true", "harvest-2026-10-05", body).await
    };
    let mut wrong = World::harvest_of(&felled.ticket, &felled.seals[..3]);
    wrong["logs"][0]["seal_number"] = json!("KZ999999999");
    wrong["logs"][1]["species"] = json!("betula_pendula");
    let rehearsed = rehearse(&wrong).await;
    let done = post(&world, &felled.enterprise, "/v1/harvests", "harvest-2026-10-04", &wrong).await;
    assert_eq!(rehearsed.expect(422)["errors"], done.expect(422)["errors"]);
    assert_eq!(rehearsed.codes(), ["unknown-seal", "not-on-ticket"]);
    let mut over = World::harvest_of(&felled.ticket, &felled.seals[..3]);
    for log in over["logs"].as_array_mut().unwrap() {
        (log["kind"], log["wood"]) = (json!("stack"), json!("firewood"));
        (log["length_m"], log["top_diameter_cm"], log["pieces"]) = (json!(2), json!(12), json!(250));
        log["volume_m3"] = json!(7.3);
    }
    let rehearsed = rehearse(&over).await;
    rehearsed.expect(409);
    assert_eq!(rehearsed.codes(), ["line-exceeded"]);
    // None of these requests has used up the key or the seals.
    let right = World::harvest_of(&felled.ticket, &felled.seals[..3]);
    rehearse(&right).await.expect(200);
    assert!(!is_replayed(&rehearse(&right).await));
    let done = post(&world, &felled.enterprise, "/v1/harvests", "harvest-2026-10-05", &right).await;
    done.expect(201);
    assert!(!is_replayed(&done));
}

#[tokio::test]
async fn the_template_is_a_harvest_but_for_its_seal() {
    let world = World::new().await;
    let felled = world.felled(1).await;
    let columns = "seal_number,kind,species,wood,assortment,grade,length_m,top_diameter_cm,pieces,volume_m3,\
                   measurement_method,occurred_at,lat,lon,accuracy_m,responsible_name,responsible_iin";
    for (lang, separator, volume) in [("kk", ";", "0,33"), ("ru", ";", "0,33"), ("en", ",", "0.33")] {
        let path = format!("/v1/harvests/template.csv?lang={lang}");
        let answer = world.get(&path, &felled.enterprise).await;
        assert_eq!(answer.status, 200, "{lang}");
        assert_eq!(answer.headers["content-type"], "text/csv; charset=utf-8");
        assert_eq!(answer.headers["content-disposition"], "attachment; filename=\"harvest.csv\"");
        let table = String::from_utf8(answer.bytes).unwrap();
        let lines: Vec<&str> = table.strip_prefix('\u{feff}').unwrap().split_terminator("\r\n").collect();
        assert_eq!(lines[0], columns.replace(',', separator), "{lang}");
        assert_eq!(lines.len(), 2, "{lang}");
        assert!(lines[1].contains(&format!("{separator}{volume}{separator}")), "{lang}: {}", lines[1]);
        let filled = table.replace("KZ000000001", &felled.seals[0]);
        assert_ne!(filled, table);
        let request = Request::post(format!("/v1/harvests?dry_run=true&felling_ticket_id={}", felled.ticket))
            .header("authorization", format!("Bearer {}", felled.enterprise.token))
            .header("content-type", "text/csv")
            .body(Body::from(filled))
            .unwrap();
        let rehearsed = world.send(request).await.expect(200);
        assert_eq!(rehearsed["logs"][0]["seal_number"], felled.seals[0], "{lang}");
    }
    let by_header = Request::get("/v1/harvests/template.csv")
        .header("authorization", format!("Bearer {}", felled.enterprise.token))
        .header("accept-language", "en")
        .body(Body::empty())
        .unwrap();
    assert!(String::from_utf8(world.send(by_header).await.bytes).unwrap().contains(columns));
    let path = "/v1/harvests/template.csv?lang=de";
    let answer = world.call(Method::GET, path, Some(&felled.enterprise.token), Value::Null).await;
    answer.expect(422);
    assert_eq!(answer.codes(), ["unknown-language"]);
}

#[tokio::test]
async fn a_header_that_names_one_thing_is_sent_once() {
    let world = World::new().await;
    let (owner, enterprise) = (world.forest_owner().await, world.enterprise().await);
    let ticket = World::ticket_of(&enterprise, "0001245", 100).to_string();
    let twice = async |name: &str, values: [&str; 2], body: &str| {
        let mut request = Request::post("/v1/felling-tickets")
            .header("authorization", format!("Bearer {}", owner.token))
            .header(name, values[0])
            .header(name, values[1]);
        if name != "content-type" {
            request = request.header("content-type", "application/json");
        }
        world.send(request.body(Body::from(body.to_owned())).unwrap()).await
    };
    let keys = ["ticket-0001245", "ticket-0001246"];
    let answer = twice("idempotency-key", keys, &ticket).await;
    answer.expect(422);
    assert_eq!(answer.codes(), ["duplicate-header"]);
    assert_eq!(answer.json()["errors"][0]["header"], "Idempotency-Key");
    assert_eq!(twice("idempotency-key", [keys[0]; 2], &ticket).await.codes(), ["duplicate-header"]);
    // Reported with the errors of the body.
    let codes = twice("idempotency-key", keys, "{}").await.codes();
    assert!(
        codes.contains(&"duplicate-header".to_owned()) && codes.contains(&"required".to_owned()),
        "{codes:?}"
    );
    twice("content-type", ["application/json", "text/csv"], &ticket).await.expect(415);
    twice("content-encoding", ["identity", "gzip"], &ticket).await.expect(415);
    let listed = world.get("/v1/felling-tickets", &owner).await.expect(200);
    assert_eq!(listed["items"], json!([]), "nothing was stored");
}
