//! What each caller may read of a log, and that a history can be recomputed.

use crate::stored_logs::{encoded, log, seal, set};
use crate::world::{Answer, World};
use serde_json::{Value, json};
use std::io::Write;
use std::process::{Command, Stdio};

/// Runs the recomputation of `docs/CHAIN.md` in Python. Returns whether it found no error, and its output.
fn recompute(history: &[u8]) -> (bool, String) {
    let script = concat!(env!("CARGO_MANIFEST_DIR"), "/tests/recompute.py");
    let mut python = Command::new("python3")
        .arg(script)
        .stdin(Stdio::piped())
        .stdout(Stdio::piped())
        .spawn()
        .expect("the recomputation needs python3");
    python.stdin.take().unwrap().write_all(history).unwrap();
    let done = python.wait_with_output().unwrap();
    (done.status.success(), String::from_utf8(done.stdout).unwrap())
}

fn opened(history: &Value, part: &str) -> Vec<u64> {
    let events = history["events"].as_array().unwrap();
    let open = events.iter().filter(|event| event["parts"][part]["text"].is_string());
    open.map(|event| event["seq"].as_u64().unwrap()).collect()
}

#[tokio::test]
async fn every_name_of_a_log_leads_to_it() {
    let world = World::new().await;
    let (owner, enterprise) = (world.forest_owner().await, world.enterprise().await);
    let timber = log(&world, &owner, &enterprise, "KZ-0001", 1).await;
    let names = [
        timber.seal.to_lowercase(),
        timber.id.to_string(),
        encoded(timber.code.identification_str()),
        encoded(timber.code.as_str()),
    ];
    for name in names {
        let found = world.get(&format!("/v1/logs/{name}"), &enterprise).await.expect(200);
        assert_eq!(found["id"], timber.id.to_string(), "{name}");
        assert_eq!(found["seal"]["marking_code"], timber.code.as_str());
        assert_eq!(found["origin"]["region"]["code"], "KZ-10");
        assert_eq!(found["volume_m3"], 0.36);
        assert_eq!(found["holder"]["name"], "ТОО «Ертіс ағаш»");
        assert_eq!(found["head"]["seq"], 1);
    }
}

#[tokio::test]
async fn rights_end_where_the_contract_says() {
    let world = World::new().await;
    let (issuer, holder, other) =
        (world.forest_owner().await, world.enterprise().await, world.sawmill().await);
    let (carrier, inspector, operator) =
        (world.carrier().await, world.inspector().await, world.operator().await);
    let timber = log(&world, &issuer, &holder, "KZ-0001", 4).await;
    let path = format!("/v1/logs/{}/history", timber.seal);

    let refused = world.get(&path, &operator).await;
    assert_eq!(refused.expect(403)["detail"], "The operator reads no histories.");
    world.get(&path, &other).await.expect(404);
    world.get(&path, &carrier).await.expect(404);

    // The holder and an inspector see all business parts. Persons are disclosed to inspectors and to the
    // organisation that recorded them.
    for org in [&holder, &inspector] {
        let history = world.get(&path, org).await.expect(200);
        assert_eq!(opened(&history, "business"), [1, 2, 3, 4]);
        assert_eq!(opened(&history, "personal"), [1]);
    }

    // The issuer sees the harvest with its person, and no custody events.
    let history = world.get(&path, &issuer).await.expect(200);
    assert_eq!(opened(&history, "business"), [1]);
    assert_eq!(opened(&history, "personal"), [1]);
    assert_eq!(history["events"].as_array().unwrap().len(), 1);
    assert_eq!(history["log"]["status"], Value::Null);
    assert_eq!(history["log"]["holder"], Value::Null);
    assert_eq!(history["log"]["volume_m3"], 0.36);
    assert_eq!(history["log"]["head"]["seq"], 1);

    // The pending receiver and the named carrier see all but persons.
    set(&world, &timber, "pending_from = holder_id, pending_to = $2, pending_of = 'both'", &other).await;
    set(&world, &timber, "carrier_id = $2, vehicle = '123 ABC 16'", &carrier).await;
    for org in [&other, &carrier] {
        let history = world.get(&path, org).await.expect(200);
        assert_eq!(opened(&history, "business"), [1, 2, 3, 4]);
        assert_eq!(opened(&history, "personal"), [0_u64; 0]);
        assert_eq!(history["log"]["pending"]["of"], "both");
    }

    // After a transfer the former holder sees the events up to `until_seq` of its row in `past_party`, and
    // none of the next holder's events.
    set(
        &world,
        &timber,
        "holder_id = $2, owner_id = $2, pending_from = NULL, pending_to = NULL, pending_of = NULL",
        &other,
    )
    .await;
    set(&world, &timber, "carrier_id = NULL, vehicle = NULL, status = 'processed'", &other).await;
    world.get(&path, &carrier).await.expect(404);
    world.get(&path, &holder).await.expect(404);
    sqlx::query("INSERT INTO past_party (log_id, organization_id, until_seq) VALUES ($1, $2, 3)")
        .bind(timber.id)
        .bind(holder.id)
        .execute(&world.app.pool)
        .await
        .unwrap();
    let history = world.get(&path, &holder).await.expect(200);
    assert_eq!(opened(&history, "public"), [1, 2, 3]);
    assert_eq!(history["events"].as_array().unwrap().len(), 3);
    assert_eq!(history["log"]["status"], "stored");
    assert_eq!(history["log"]["holder"]["id"], holder.id.to_string());
    assert_eq!(history["log"]["head"]["hash"], history["events"][2]["hash"]);
    assert_eq!(world.get(&format!("/v1/logs/{}", timber.seal), &holder).await.expect(200), history["log"]);
}

#[tokio::test]
async fn missing_and_foreign_logs_get_the_same_bytes() {
    let world = World::new().await;
    let (issuer, holder, stranger) =
        (world.forest_owner().await, world.enterprise().await, world.sawmill().await);
    log(&world, &issuer, &holder, "KZ-0001", 2).await;
    seal(&world, &holder, "KZ-0003").await;
    // The 404 response without the seal number and the request id, which differ only because the requests
    // differ.
    let plain = |answer: &Answer, number: &str| {
        let mut body = answer.expect(404);
        body["request_id"].take();
        let names: Vec<_> = answer.headers.keys().map(ToString::to_string).collect();
        (body.to_string().replace(number, "N"), names)
    };
    for tail in ["", "/history"] {
        let mut answers = Vec::new();
        for number in ["KZ-0001", "KZ-0002", "KZ-0003", "not a code at all, really"] {
            let number = encoded(number);
            let answer = world.get(&format!("/v1/logs/{number}{tail}"), &stranger).await;
            answers.push(plain(&answer, &number));
        }
        answers.dedup();
        assert_eq!(answers.len(), 1, "{answers:?}");
    }
}

#[tokio::test]
async fn a_history_of_10_and_of_500_events_recomputes_in_python() {
    let world = World::new().await;
    let (issuer, holder) = (world.forest_owner().await, world.enterprise().await);
    for (number, events) in [("KZ-0010", 10), ("KZ-0500", 500)] {
        log(&world, &issuer, &holder, number, events).await;
        let answer = world.get(&format!("/v1/logs/{number}/history"), &holder).await;
        let history = answer.expect(200);
        assert_eq!(history["events"].as_array().unwrap().len(), events as usize);
        let (clean, told) = recompute(&answer.bytes);
        assert!(clean, "{told}");
        assert!(told.contains(history["log"]["head"]["hash"].as_str().unwrap()), "{told}");
    }
}

#[tokio::test]
async fn the_python_finds_each_alteration() {
    let world = World::new().await;
    let (issuer, holder) = (world.forest_owner().await, world.enterprise().await);
    log(&world, &issuer, &holder, "KZ-0001", 4).await;
    let history = world.get("/v1/logs/KZ-0001/history", &holder).await.expect(200);
    let altered = |change: &dyn Fn(&mut Value)| {
        let mut copy = history.clone();
        change(&mut copy["events"]);
        recompute(copy.to_string().as_bytes())
    };
    let text = altered(&|events| {
        let text = events[0]["parts"]["public"]["text"].as_str().unwrap().replace("6.5", "7.5");
        events[0]["parts"]["public"]["text"] = text.into();
    });
    assert_eq!(text, (false, "event 1: the public part is not what was committed to\n".into()));
    let dropped = altered(&|events| drop(events.as_array_mut().unwrap().remove(1)));
    assert!(!dropped.0 && dropped.1.contains("event 3: stands where event 2 belongs"), "{}", dropped.1);
    let time = altered(&|events| events[2]["received_at"] = "2026-10-05T05:00:00.000001Z".into());
    assert!(!time.0 && time.1.contains("event 3: the entry has another received_at"), "{}", time.1);
    let hash = altered(&|events| events[1]["hash"] = "0".repeat(64).into());
    assert!(!hash.0 && hash.1.contains("event 2: the hash is not that of the entry"), "{}", hash.1);
}

#[tokio::test]
async fn lists_contain_own_logs_in_pages() {
    let world = World::new().await;
    let (issuer, holder, other) =
        (world.forest_owner().await, world.enterprise().await, world.sawmill().await);
    let inspector = world.inspector().await;
    let mut ids = Vec::new();
    for n in 1..=5 {
        ids.push(log(&world, &issuer, &holder, &format!("KZ-000{n}"), n).await);
    }
    // The organisation still owns the second log, but another organisation holds it.
    set(&world, &ids[1], "holder_id = $2", &other).await;
    let of = |page: &Value| -> Vec<String> {
        page["items"].as_array().unwrap().iter().map(|log| log["id"].as_str().unwrap().into()).collect()
    };
    let mut seen = Vec::new();
    let mut path = "/v1/logs?limit=2".to_owned();
    loop {
        let page = world.get(&path, &holder).await.expect(200);
        seen.extend(of(&page));
        let Some(next) = page["next"].as_str() else { break };
        path = format!("/v1/logs?limit=2&cursor={next}");
    }
    assert_eq!(seen, ids.iter().map(|log| log.id.to_string()).collect::<Vec<_>>());
    assert_eq!(of(&world.get("/v1/logs?holder=me", &holder).await.expect(200)).len(), 4);
    assert_eq!(of(&world.get("/v1/logs?holder=me", &other).await.expect(200)).len(), 1);
    assert_eq!(of(&world.get("/v1/logs", &issuer).await.expect(200)).len(), 0);
    assert_eq!(of(&world.get("/v1/logs?status=stored", &inspector).await.expect(200)).len(), 4);
    assert_eq!(of(&world.get("/v1/logs?species=acer", &inspector).await.expect(200)).len(), 0);
    let wrong = world.get("/v1/logs?holder=them&status=gone&limit=0&what=1", &holder).await;
    wrong.expect(422);
    assert_eq!(wrong.codes().len(), 4);
}

#[tokio::test]
async fn only_inspectors_search_all_events() {
    let world = World::new().await;
    let (issuer, holder, inspector) =
        (world.forest_owner().await, world.enterprise().await, world.inspector().await);
    for number in ["KZ-0001", "KZ-0002"] {
        log(&world, &issuer, &holder, number, 3).await;
    }
    world.get("/v1/events", &holder).await.expect(403);
    let (mut seen, mut path) = (Vec::new(), "/v1/events?limit=4&region=KZ-10".to_owned());
    loop {
        let page = world.get(&path, &inspector).await.expect(200);
        for event in page["items"].as_array().unwrap() {
            seen.push((event["log"].to_string(), event["seq"].as_u64().unwrap()));
            assert_eq!(event["organization"]["id"], holder.id.to_string());
        }
        let Some(next) = page["next"].as_str() else { break };
        path = format!("/v1/events?limit=4&region=KZ-10&cursor={next}");
    }
    let mut sorted = seen.clone();
    sorted.dedup();
    assert_eq!((seen.len(), sorted.len()), (6, 6), "each once");
    let count = async |query: String| {
        let page = world.get(&format!("/v1/events?{query}"), &inspector).await.expect(200);
        page["items"].as_array().unwrap().len()
    };
    assert_eq!(count("type=harvested".into()).await, 2);
    assert_eq!(count("region=KZ-11".into()).await, 0);
    assert_eq!(count(format!("organization={}", holder.id)).await, 6);
    assert_eq!(count(format!("organization={}", issuer.id)).await, 0);
    // All events were received at exactly 05:00 UTC. `from` includes this time, `to` excludes it.
    assert_eq!(count("from=2026-10-05T10:00:00%2B05:00".into()).await, 6);
    assert_eq!(count("to=2026-10-05T05:00:00Z".into()).await, 0);
}

#[tokio::test]
async fn findings_are_visible_to_their_organisation_and_to_inspectors() {
    let world = World::new().await;
    let (holder, other, inspector) =
        (world.enterprise().await, world.sawmill().await, world.inspector().await);
    for org in [&holder, &other] {
        sqlx::query(
            "INSERT INTO finding (id, rule, version, severity, organization_id, subject_kind, subject_id, key, salt, detail,
                                  created_at)
             VALUES ($1, 'L6', 1, 'warning', $2, 4, $2, '1', sha256('salt'), 'Marked 101 % of the line.', $3)",
        )
        .bind(ormantrace::base::ids::FindingId::new())
        .bind(org.id)
        .bind(world.clock.now())
        .execute(&world.app.pool)
        .await
        .unwrap();
    }
    let own = world.get("/v1/findings", &holder).await.expect(200);
    assert_eq!(own["items"].as_array().unwrap().len(), 1);
    assert_eq!((&own["items"][0]["rule"], &own["items"][0]["severity"]), (&"L6".into(), &"warning".into()));
    let all = world.get("/v1/findings", &inspector).await.expect(200);
    assert_eq!(all["items"].as_array().unwrap().len(), 2);
}

#[test]
fn the_specification_contains_the_test_vector_of_the_code() {
    let page = include_str!("../../docs/CHAIN.md");
    for value in include_str!("../../src/evidence/chain/vector.txt").lines() {
        assert!(page.contains(value), "{value}");
    }
}

#[tokio::test]
async fn a_plus_in_a_query_need_not_be_escaped_in_a_time() {
    let world = World::new().await;
    let felled = world.felled(1).await;
    for (query, events) in [
        ("from=2026-10-05T00:00:00+05:00", 1),
        ("from=2026-10-05T00:00:00%2B05:00", 1),
        ("from=2026-10-05T00:00:00%2005:00", 1),
        ("to=2026-10-05T00:00:00+05:00", 0),
        // 05:00 UTC is 10:00 in Semey. The `+` of the offset arrives as a blank and is still read as `+`.
        ("from=2026-10-05T10:00:00+05:00&to=2026-10-05T10:00:01+05:00", 1),
    ] {
        let page = world.get(&format!("/v1/events?{query}"), &felled.inspector).await.expect(200);
        assert_eq!(page["items"].as_array().unwrap().len(), events, "{query}");
    }
    for query in ["from=2026-10-05+00:00:00+05:00", "from=2026-10-05T00:00:00+", "from=+2026-10-05T00:00:00Z"]
    {
        let answer = world.get(&format!("/v1/events?{query}"), &felled.inspector).await;
        assert_eq!(answer.codes(), ["time-malformed"], "{query}");
    }
    // In a body, a blank is not read as `+`.
    let time = json!({"occurred_at": "2026-10-05T09:30:00 05:00"});
    let answer = world.event(&felled.enterprise, "stored", &felled.logs, time).await;
    assert_eq!(answer.codes(), ["time-malformed"]);
}

/// A phone in the forest reads the history of a log of ten events without evidence in at most 9 kB.
#[tokio::test]
async fn ten_events_without_evidence_are_at_most_nine_kilobytes() {
    let world = World::new().await;
    let felled = world.felled(1).await;
    let (from, logs) = (&felled.enterprise, &felled.logs[..]);
    let place =
        json!({"place": {"name": "Нижний склад, с. Бородулиха", "region": "KZ-10", "kind": "storage"}});
    let carrier = json!({"carrier_bin": felled.carrier.bin, "vehicle": "123 ABC 10"});
    world.event(from, "stored", logs, place).await.expect(201);
    world.event(from, "loaded", logs, carrier).await.expect(201);
    world.event(from, "transferred", logs, json!({"to_bin": felled.sawmill.bin})).await.expect(201);
    world.event(from, "departed", logs, json!({})).await.expect(201);
    world.event(from, "arrived", logs, json!({})).await.expect(201);
    world.event(&felled.sawmill, "received", logs, json!({})).await.expect(201);
    let inspected = json!({"details": {"outcome": "match", "note": "Диаметрі дұрыс",
                                       "official": {"name": "Ермек Сейітов", "post": "Мемлекеттік орман инспекторы"}}});
    world.event(&felled.inspector, "inspected", logs, inspected).await.expect(201);
    world.event(&felled.sawmill, "stored", logs, json!({})).await.expect(201);
    let act = json!({"details": {"reason": "Ticket number is not on the log",
                                 "official": {"name": "Ермек Сейітов"}, "act": {"number": "17-2026", "date": "2026-10-05"}}});
    world.event(&felled.inspector, "detained", logs, act).await.expect(201);
    for reader in [&felled.inspector, &felled.sawmill] {
        let path = format!("/v1/logs/{}/history?evidence=none", logs[0]);
        let history = world.get(&path, reader).await;
        let body = history.expect(200);
        assert_eq!(body["events"].as_array().unwrap().len(), 10);
        assert!(body["log"]["held"].is_object(), "{body}");
        assert!(history.bytes.len() <= 9_000, "{} bytes", history.bytes.len());
    }
}

#[tokio::test]
async fn a_history_without_evidence_has_the_same_events_and_hashes() {
    let world = World::new().await;
    let felled = world.felled(1).await;
    for _ in 0..9 {
        world.event(&felled.enterprise, "stored", &felled.logs, json!({})).await.expect(201);
    }
    let log = format!("/v1/logs/{}/history", felled.logs[0]);
    let seal = format!("/v1/seals/{}/history", felled.logs[0]);
    let ticket = format!("/v1/felling-tickets/{}/history", felled.ticket);
    for (path, org) in
        [(&log, &felled.enterprise), (&seal, &felled.operator), (&ticket, &felled.forest_owner)]
    {
        let full = world.get(path, org).await;
        let bare = world.get(&format!("{path}?evidence=none"), org).await;
        let mut expected = full.expect(200);
        for event in expected["events"].as_array_mut().unwrap() {
            let event = event.as_object_mut().unwrap();
            assert!(event.remove("entry").is_some() && event.remove("parts").is_some(), "{path}");
        }
        assert_eq!(bare.expect(200), expected, "{path}");
        assert_eq!(world.get(&format!("{path}?evidence=full"), org).await.bytes, full.bytes, "{path}");
        let refused = world.get(&format!("{path}?evidence=some"), org).await;
        refused.expect(422);
        assert_eq!(refused.codes(), ["unknown-evidence"]);
        if path == &log {
            assert!(bare.bytes.len() * 2 < full.bytes.len(), "{} of {}", bare.bytes.len(), full.bytes.len());
            assert_ne!(bare.headers["etag"], full.headers["etag"]);
        }
    }
}
