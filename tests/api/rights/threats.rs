//! Threats of the design, one test each, named after the threat: what an attacker tries, and the result.
//! `tests/threats.rs` lists all threats, also those tested elsewhere.

use crate::stored_logs::encoded;
use crate::world::{Answer, Org, World};
use axum::Router;
use axum::body::Body;
use axum::extract::ConnectInfo;
use axum::http::{Method, Request};
use chrono::TimeDelta;
use futures_util::future::join_all;
use http_body_util::BodyExt;
use ormantrace::base::units::utc_text;
use ormantrace::http::core::layers::{ConcurrencyLimits, LayerSettings};
use ormantrace::http::router::router;
use ormantrace::timber::seal::MarkingCode;
use ormantrace::timber::seal::gs1::Gtin;
use ormantrace::timber::seal::marking_code::Identification;
use ormantrace::timber::seal::signing::SigningKey;
use serde_json::{Value, json};
use std::collections::BTreeMap;
use std::net::SocketAddr;
use std::sync::Arc;
use std::sync::atomic::{AtomicBool, Ordering};
use std::time::Duration;
use tower::ServiceExt;

/// Sends a request to one of several servers over one database.
async fn at(server: &Router, method: Method, path: &str, token: Option<&str>, body: Value) -> Answer {
    let mut request = Request::builder().method(method).uri(path).header("content-type", "application/json");
    if let Some(token) = token {
        request = request.header("authorization", format!("Bearer {token}"));
    }
    let body = if body.is_null() { Body::empty() } else { Body::from(body.to_string()) };
    answer(server, request.body(body).unwrap()).await
}

async fn answer(server: &Router, request: Request<Body>) -> Answer {
    let response = server.clone().oneshot(request).await.unwrap();
    let (status, headers) = (response.status(), response.headers().clone());
    let bytes = response.into_body().collect().await.unwrap().to_bytes().to_vec();
    Answer { status, headers, bytes }
}

async fn verdict(world: &World, code: &str) -> Value {
    let path = format!("/v1/verify/{}", encoded(code));
    world.call(Method::GET, &path, None, Value::Null).await.expect(200)
}

#[tokio::test]
async fn cloned_seal() {
    let world = World::new().await;
    let felled = world.felled(2).await;
    let (operator, by) = (&felled.operator, &felled.enterprise);
    let original = &felled.logs[0];
    let seal = world.get(&format!("/v1/seals/{original}"), by).await.expect(200);
    let code = seal["marking_code"].as_str().expect("a code").to_owned();

    // The attacker tries to put the copied seal on a second log: by a harvest under the same ticket, and as
    // the new seal of another log.
    let again = World::harvest_of(&felled.ticket, std::slice::from_ref(original));
    let again = world.post("/v1/harvests", by, again).await;
    again.expect(409);
    assert_eq!(again.codes(), ["seal-applied"]);
    let onto = json!({"new_seal_number": original, "reason": "пломба жоғалды"});
    let onto = world.event(by, "seal_replaced", &felled.logs[1..], onto).await;
    onto.expect(409);
    assert_eq!(onto.codes(), ["seal-applied"]);

    // The attacker tries to register the copied code once more, under a new number and under its old number.
    for (number, refusal) in [("SE-77777", "marking-code-registered"), (original, "seal-number-registered")] {
        let seals = json!([{"number": number, "marking_code": code}]);
        let copied = world.post("/v1/seals", operator, json!({"holder_bin": by.bin, "seals": seals})).await;
        copied.expect(409);
        assert!(copied.codes().contains(&refusal.to_owned()), "{:?}", copied.codes());
    }

    // The attacker imitates the seal: a code with the same identification, signed with another key.
    let genuine = MarkingCode::parse_strict(&code).expect("a code of the server");
    let forged = SigningKey::from_seed(&[8; 32]).sign(&genuine.identification());
    let told = verdict(&world, forged.as_str()).await;
    assert_eq!((&told["verdict"], &told["reason"]["code"]), (&json!("unknown"), &json!("forged")));
    assert_eq!(told["log"], Value::Null, "a forgery shows no log");

    // An exact copy of the code passes the check. The check shows species and measures of the log that it was
    // taken from, which a buyer compares with the wood. Once that log is sawn, the verdict is `closed`.
    let told = verdict(&world, &code).await;
    assert_eq!(told["verdict"], "valid");
    assert_eq!(
        (&told["log"]["species"], &told["log"]["length_m"], &told["log"]["top_diameter_cm"]),
        (&json!("pinus_sylvestris"), &json!(6.0), &json!(24.0))
    );
    world.event(by, "processed", &felled.logs[..1], json!({})).await.expect(201);
    let told = verdict(&world, &code).await;
    assert_eq!((&told["verdict"], &told["reason"]["code"]), (&json!("closed"), &json!("processed")));
}

#[tokio::test]
async fn seal_replayed_after_removal() {
    let world = World::new().await;
    let felled = world.felled(3).await;
    let by = &felled.enterprise;
    // Seals were removed from three logs: one was replaced, one was voided while on its log, and one was left
    // over from a log that was sawn.
    let more = json!({"new_seal_number": felled.seals[0], "reason": "пломба зақымдалды"});
    world.event(by, "seal_replaced", &felled.logs[..1], more).await.expect(201);
    let void = format!("/v1/seals/{}/void", felled.logs[1]);
    world.post(&void, by, json!({"reason": "lost"})).await.expect(200);
    world.event(by, "processed", &felled.logs[2..], json!({})).await.expect(201);
    for (removed, refusal, shown, why) in [
        (&felled.logs[0], "seal-void", "void", "replaced"),
        (&felled.logs[1], "seal-void", "void", "lost"),
        (&felled.logs[2], "seal-applied", "closed", "processed"),
    ] {
        let again = World::harvest_of(&felled.ticket, std::slice::from_ref(removed));
        let again = world.post("/v1/harvests", by, again).await;
        again.expect(409);
        assert_eq!(again.codes(), [refusal], "on new wood");
        let onto = json!({"new_seal_number": removed, "reason": "пломба жоғалды"});
        let onto = world.event(by, "seal_replaced", &felled.logs[..1], onto).await;
        onto.expect(409);
        assert_eq!(onto.codes(), [refusal], "on a log that has one");
        let told = verdict(&world, removed).await;
        assert_eq!((&told["verdict"], &told["reason"]["code"]), (&json!(shown), &json!(why)));
    }
    // A removed seal cannot be transferred as if it were unused.
    let (first, to) = (&felled.logs[0], &felled.sawmill.bin);
    let handed = world.post("/v1/seals/transfer", by, json!({"first": first, "last": first, "to_bin": to}));
    handed.await.expect(409);
}

#[tokio::test]
async fn stolen_or_revoked_key() {
    let world = World::new().await;
    let felled = world.felled(2).await;
    let victim = &felled.enterprise;
    // Two servers over one database: a load balancer may send any request to either.
    let [here, there] = [(), ()].map(|()| router(world.instance(), &LayerSettings::default()));
    let history = format!("/v1/logs/{}/history", felled.logs[0]);
    let check = format!("/v1/verify/{}", felled.logs[0]);
    let posting = World::harvest_of(&felled.ticket, &felled.seals[..1]);
    let keyed = |token: &str| {
        Request::post("/v1/harvests")
            .header("authorization", format!("Bearer {token}"))
            .header("content-type", "application/json")
            .header("idempotency-key", "harvest-of-the-stolen-tablet")
            .body(Body::from(posting.to_string()))
            .unwrap()
    };
    for (revoked_at, used_at) in [(&here, &there), (&there, &here)] {
        let (id, stolen) = world.key(victim.id).await;
        let stolen = stolen.expose();
        // While the key is valid, both servers accept it, and a response is stored under the idempotency key.
        for server in [revoked_at, used_at] {
            at(server, Method::GET, &history, Some(stolen), Value::Null).await.expect(200);
            answer(server, keyed(stolen)).await.expect(201);
        }
        let revoke = format!("/v1/keys/{id}");
        at(revoked_at, Method::DELETE, &revoke, Some(&victim.token), Value::Null).await.expect(204);
        // After the revocation, the next request with the key and all later ones are refused.
        at(used_at, Method::GET, &history, Some(stolen), Value::Null).await.expect(401);
        at(used_at, Method::GET, &check, Some(stolen), Value::Null).await.expect(401);
        answer(used_at, keyed(stolen)).await.expect(401);
        let stored = json!({
            "type": "stored", "logs": &felled.logs[1..], "occurred_at": utc_text(world.clock.now())
        });
        at(used_at, Method::POST, "/v1/custody-events", Some(stolen), stored).await.expect(401);
        let keys = format!("/v1/organizations/{}/keys", victim.id);
        at(used_at, Method::POST, &keys, Some(stolen), json!({"label": "thief's own"})).await.expect(401);
        at(revoked_at, Method::GET, &history, Some(stolen), Value::Null).await.expect(401);
    }
    // None of the refused requests was recorded, and the organisation's other key still works.
    let seen = at(&there, Method::GET, &history, Some(&victim.token), Value::Null).await.expect(200);
    assert_eq!(seen["events"].as_array().map(Vec::len), Some(1));
    let path = format!("/v1/logs/{}/history", felled.logs[1]);
    let seen = at(&here, Method::GET, &path, Some(&victim.token), Value::Null).await.expect(200);
    assert_eq!(seen["events"].as_array().map(Vec::len), Some(1));
}

#[tokio::test]
async fn back_dating() {
    let world = World::new().await;
    let felled = world.felled(1).await;
    let by = &felled.enterprise;
    let claimed = |hours: i64| utc_text(world.clock.now() - TimeDelta::hours(hours));
    let harvest = |seal: usize, occurred_at: &str| {
        let mut harvest = World::harvest_of(&felled.ticket, &felled.seals[seal..=seal]);
        harvest["logs"][0]["occurred_at"] = json!(occurred_at);
        harvest
    };
    let rules = |answer: &Value| -> Vec<String> {
        let findings = answer["findings"].as_array().expect("findings").iter();
        findings.filter_map(|finding| finding["rule"].as_str().map(str::to_owned)).collect()
    };
    // Up to three days back is normal for work in the forest; beyond that there is a finding.
    let prompt = world.post("/v1/harvests", by, harvest(0, &claimed(71))).await.expect(201);
    assert!(!rules(&prompt).contains(&"L23".to_owned()), "{prompt}");
    let late = world.post("/v1/harvests", by, harvest(1, &claimed(80))).await.expect(201);
    assert!(rules(&late).contains(&"L23".to_owned()), "{late}");
    // The history shows the claimed time next to the time of the server's clock.
    let path = format!("/v1/logs/{}/history", felled.seals[1]);
    let event = world.get(&path, by).await.expect(200)["events"][0].clone();
    assert_eq!(event["received_at"], utc_text(world.clock.now()));
    let instant =
        |text: &Value| chrono::DateTime::parse_from_rfc3339(text.as_str().expect("a time")).unwrap();
    assert_eq!(instant(&event["occurred_at"]), instant(&json!(claimed(80))));
    // A client cannot set the time of receipt.
    let mut told = harvest(2, &claimed(1));
    told["logs"][0]["received_at"] = json!(claimed(80));
    let told = world.post("/v1/harvests", by, told).await;
    told.expect(422);
    assert_eq!(told.codes(), ["unknown-field"]);
    // A felling time before the ticket's first day is refused.
    let early = world.post("/v1/harvests", by, harvest(2, "2026-08-31T09:00:00+05:00")).await;
    early.expect(422);
    assert_eq!(early.codes(), ["outside-felling-dates"]);
    // Times ahead of the server's clock: up to five minutes are accepted as clock error, more are refused.
    let ahead = |seconds: i64| utc_text(world.clock.now() + TimeDelta::seconds(seconds));
    let refused = world.post("/v1/harvests", by, harvest(2, &ahead(301))).await;
    refused.expect(422);
    assert_eq!(refused.codes(), ["in-the-future"]);
    world.post("/v1/harvests", by, harvest(2, &ahead(300))).await.expect(201);
    let stored = |at: String| json!({"occurred_at": at});
    let refused = world.event(by, "stored", &felled.logs, stored(ahead(301))).await;
    refused.expect(422);
    assert_eq!(refused.codes(), ["in-the-future"]);
    // A custody event that is dated before an already recorded one is accepted with a finding, and does not
    // change the present state.
    world.event(by, "loaded", &felled.logs, json!({})).await.expect(201);
    let slipped = json!({
        "occurred_at": "2026-10-05T09:40:00+05:00",
        "device": {"id": "tablet-07", "seq": 41, "recorded_at": "2026-10-05T09:40:00+05:00"}
    });
    let slipped = world.event(by, "stored", &felled.logs, slipped).await.expect(201);
    assert!(!rules(&slipped).is_empty(), "{slipped}");
    let log = world.get(&format!("/v1/logs/{}", felled.logs[0]), by).await.expect(200);
    assert_eq!(log["status"], "loaded");
}

/// Whether a spreadsheet takes the cell for a formula because of its first character (OWASP).
fn is_formula(cell: &str) -> bool {
    cell.starts_with(['=', '+', '-', '@', '\t', '\r'])
}

#[track_caller]
fn no_formula(table: &[u8], separator: u8) -> usize {
    let table = table.strip_prefix(b"\xEF\xBB\xBF").unwrap_or(table);
    let mut rows =
        csv::ReaderBuilder::new().delimiter(separator).has_headers(false).flexible(true).from_reader(table);
    let mut cells = 0;
    for row in rows.records() {
        for cell in &row.expect("a table") {
            assert!(!is_formula(cell), "{cell:?}");
            cells += 1;
        }
    }
    cells
}

#[tokio::test]
async fn csv_formula_injection() {
    let world = World::new().await;
    let (operator, holder) = (world.operator().await, world.enterprise().await);
    let signer = SigningKey::from_seed(&[7; 32]);
    let code = |serial: &str| {
        signer.sign(&Identification::new(Gtin::DEMONSTRATION, serial).expect("a serial")).as_str().to_owned()
    };
    // A number that a spreadsheet would run as a formula is refused as a seal number.
    for number in ["=1+1", "-0000417", "+0000417", "@SUM(A1)", "\t=0000417", "\r-0000417", "KZ=1", "–0000417"]
    {
        let seals = json!([{"number": number, "marking_code": code("H1")}]);
        let refused = world.post("/v1/seals", &operator, json!({"holder_bin": holder.bin, "seals": seals}));
        refused.await.expect(422);
    }
    // Serials with all the characters that GS1 allows, beginning with those of formulas.
    let serials = ["=1+1", "+7A", "-2", "@", "\"=1+1", ",=1+1", "A,-2", "A\",\"=1", "%&'()*/:;<>?_!"];
    let seals: Vec<Value> = (1..)
        .zip(serials.iter().filter(|serial| !serial.contains('@')))
        .map(|(n, serial)| json!({"number": format!("KZ-{n:06}"), "marking_code": code(serial)}))
        .collect();
    let made = world
        .post("/v1/seals", &operator, json!({"holder_bin": holder.bin, "seals": seals}))
        .await
        .expect(201);
    let path = format!("/v1/seal-batches/{}/seals", made["id"].as_str().expect("an id"));
    for reader in [&operator, &holder] {
        let request = Request::get(&path)
            .header("authorization", format!("Bearer {}", reader.token))
            .header("accept", "text/csv");
        let table = world.send(request.body(Body::empty()).unwrap()).await;
        assert_eq!(table.status, 200);
        assert_eq!(no_formula(&table.bytes, b','), 2 * (seals.len() + 1));
    }
    // The CSV template of a harvest.
    for (lang, separator) in [("kk", b';'), ("ru", b';'), ("en", b',')] {
        let table = world.get(&format!("/v1/harvests/template.csv?lang={lang}"), &holder).await;
        assert_eq!(table.status, 200);
        assert!(no_formula(&table.bytes, separator) > 20, "{lang}");
    }
}

/// One of many clients that send public checks. It checks each of `codes` once, and then checks them again as
/// long as `writing` is set.
async fn asker(server: Router, from: SocketAddr, codes: Vec<String>, writing: Arc<AtomicBool>) -> Vec<u16> {
    let mut statuses = Vec::new();
    for code in codes.iter().cycle() {
        if statuses.len() >= codes.len() && !writing.load(Ordering::SeqCst) {
            break;
        }
        let mut request = Request::get(format!("/v1/verify/{code}")).body(Body::empty()).unwrap();
        request.extensions_mut().insert(ConnectInfo(from));
        statuses.push(answer(&server, request).await.status.as_u16());
    }
    statuses
}

/// One writer. It records `appends` times that a log was stored.
async fn writer(server: Router, by: Org, log: String, at: String, appends: usize) -> Vec<u16> {
    let mut statuses = Vec::new();
    for _ in 0..appends {
        let stored = json!({"type": "stored", "logs": [log], "occurred_at": at});
        let told = self::at(&server, Method::POST, "/v1/custody-events", Some(&by.token), stored).await;
        statuses.push(told.status.as_u16());
    }
    statuses
}

#[tokio::test(flavor = "multi_thread", worker_threads = 4)]
async fn flood_of_the_public_check() {
    const WRITERS: usize = 8;
    const APPENDS: usize = 12;
    const ASKERS: usize = 80;
    let world = World::new().await;
    let felled = world.felled(WRITERS).await;
    // Requests do not wait for a concurrency permit, so a request beyond the limit is refused at once,
    // however slow the machine is.
    let limits = ConcurrencyLimits { public: 8, wait: Duration::ZERO, ..ConcurrencyLimits::default() };
    let server = router(world.app.clone(), &LayerSettings { limits, ..LayerSettings::default() });
    let writing = Arc::new(AtomicBool::new(true));
    // There are at least ten checks for every append; some are of existing seals, the others of missing ones.
    // Half of the clients share an address.
    let codes: Vec<String> = (0..10 * WRITERS * APPENDS / ASKERS)
        .map(|n| felled.logs.get(n % 10).cloned().unwrap_or_else(|| format!("KZ-9{n:05}")))
        .collect();
    let flood: Vec<_> = (0..ASKERS)
        .map(|n| {
            let address = if n % 2 == 0 { [10, 0, 0, 1] } else { [10, 1, 0, u8::try_from(n).unwrap()] };
            tokio::spawn(asker(server.clone(), (address, 4711).into(), codes.clone(), Arc::clone(&writing)))
        })
        .collect();
    let now = utc_text(world.clock.now());
    let writers: Vec<_> = felled
        .logs
        .iter()
        .map(|log| {
            let by = felled.enterprise.clone();
            tokio::spawn(writer(server.clone(), by, log.clone(), now.clone(), APPENDS))
        })
        .collect();
    let appended: Vec<u16> = join_all(writers).await.into_iter().flat_map(Result::unwrap).collect();
    writing.store(false, Ordering::SeqCst);
    assert_eq!(appended, [201; WRITERS * APPENDS], "an append under the flood");
    let mut counted = BTreeMap::new();
    for status in join_all(flood).await.into_iter().flat_map(Result::unwrap) {
        *counted.entry(status).or_insert(0_usize) += 1;
    }
    assert!(counted.values().sum::<usize>() >= 10 * appended.len(), "{counted:?}");
    // Some checks succeed, some exceed the rate limit (429), and some exceed the limit of concurrent requests
    // (503). No other status occurs.
    assert_eq!(counted.keys().copied().collect::<Vec<_>>(), [200, 429, 503], "{counted:?}");
    // Each append is there once.
    for log in &felled.logs {
        let path = format!("/v1/logs/{log}/history");
        let seen = world.get(&path, &felled.enterprise).await.expect(200);
        assert_eq!(seen["events"].as_array().map(Vec::len), Some(APPENDS + 1));
    }
}
