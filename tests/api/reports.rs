//! What inspectors observe, their photos, and what buyers report.

use crate::proofs::{publish, trust};
use crate::world::{Answer, Felled, Org, World};
use axum::body::Body;
use axum::extract::ConnectInfo;
use axum::http::{Method, Request};
use futures_util::future::join_all;
use ormantrace::commands::erase::{self, ErasureTarget};
use ormantrace::services::reports::{Swept, sweep};
use ormantrace::services::verifier::mirror::Mirror;
use ormantrace::services::verifier::{Trust, verify};
use serde_json::{Value, json};
use std::net::SocketAddr;

/// Uploads a file that begins as a JPEG.
pub async fn photo(world: &World, who: &Org, content: &[u8]) -> Answer {
    upload(world, who, "image/jpeg", &[b"\xFF\xD8\xFF\xE0", content].concat()).await
}

async fn upload(world: &World, who: &Org, media_type: &str, bytes: &[u8]) -> Answer {
    let request =
        Request::builder().method(Method::POST).uri("/v1/photos").header("content-type", media_type);
    let request = request.header("authorization", format!("Bearer {}", who.token));
    world.send(request.body(Body::from(bytes.to_vec())).unwrap()).await
}

/// Sends a report from an address.
async fn report(world: &World, from: &str, code: &str, body: &Value) -> Answer {
    let request = Request::builder().method(Method::POST).uri(format!("/v1/verify/{code}/report"));
    let mut request =
        request.header("content-type", "application/json").body(Body::from(body.to_string())).unwrap();
    request.extensions_mut().insert(ConnectInfo(SocketAddr::new(from.parse().unwrap(), 4_711)));
    world.send(request).await
}

/// Sends the form of a seal's page.
async fn form(world: &World, from: &str, code: &str, fields: &str) -> Answer {
    let request = Request::builder().method(Method::POST).uri(format!("/verify/{code}/report?lang=kk"));
    let request = request.header("content-type", "application/x-www-form-urlencoded");
    let mut request = request.header("accept", "text/html").body(Body::from(fields.to_owned())).unwrap();
    request.extensions_mut().insert(ConnectInfo(SocketAddr::new(from.parse().unwrap(), 4_711)));
    world.send(request).await
}

async fn list(world: &World, who: &Org, query: &str) -> Vec<Value> {
    let page = world.get(&format!("/v1/findings?{query}"), who).await.expect(200);
    page["items"].as_array().unwrap().clone()
}

fn path(finding: &Value) -> String {
    format!("/v1/findings/{}", finding["id"].as_str().unwrap())
}

fn seen(photos: &Value) -> Value {
    json!({
        "what": "no_papers", "text": "A lorry without papers; the driver did not say where it was loaded.",
        "occurred_at": "2026-10-05T09:30:00+05:00", "position": {"lat": 50.4111, "lon": 80.2275},
        "plate": "123 ABC 10", "volume_m3": 12.5,
        "photos": [{"sha256": photos["sha256"], "taken_at": "2026-10-05T09:31:00+05:00"}]
    })
}

async fn unsound(world: &World) -> Vec<String> {
    let mut found: Vec<ormantrace::commands::fsck::FsckError> = Vec::new();
    let scope = ormantrace::commands::fsck::Scope::default();
    ormantrace::commands::fsck::check(&mut world.owner().await, &scope, &mut found).await.unwrap();
    found.retain(|error| error.table.starts_with("finding") || error.table == "event");
    found.iter().map(ToString::to_string).collect()
}

#[tokio::test]
async fn an_inspector_observes_wood_that_nobody_recorded() {
    let world = World::new().await;
    let felled = world.felled(1).await;
    let inspector = &felled.inspector;
    let photo = photo(&world, inspector, b"lorry").await.expect(201);
    let body = seen(&photo);
    world.post("/v1/findings", &felled.enterprise, body.clone()).await.expect(403);
    let made = world.post("/v1/findings", inspector, body).await.expect(201);
    assert_eq!(
        (&made["rule"], &made["severity"], &made["events"]),
        (&json!("observation"), &json!("warning"), &json!(1))
    );
    assert_eq!((&made["organization"], &made["log"]), (&Value::Null, &Value::Null));
    assert_eq!(
        made["subject"],
        json!({"kind": "finding", "id": made["id"]}),
        "nothing of it is in the register"
    );
    assert!(made["message"]["kk"].as_str().unwrap().contains("құжатсыз"), "{made}");
    let one = world.get(&path(&made), inspector).await.expect(200);
    let observation = &one["observation"];
    assert_eq!(observation["plate"], "123 ABC 10");
    assert_eq!(observation["photos"][0]["sha256"], photo["sha256"]);
    assert_eq!((&observation["volume_m3"], &observation["position"]["lat"]), (&json!(12.5), &json!(50.4111)));
    for other in [&felled.enterprise, &felled.sawmill, &felled.operator] {
        world.get(&path(&made), other).await.expect(404);
    }
    assert_eq!(unsound(&world).await, Vec::<String>::new());
    // It is decided as other findings are, and proved to the inspectorate.
    let decision = json!({"state": "confirmed", "reason": "The wood was seized", "expected_seq": 1});
    world.post(&format!("{}/decision", path(&made)), inspector, decision).await.expect(200);
    publish(&world).await;
    let file = world.get(&format!("{}/export", path(&made)), inspector).await;
    let register = Some(Mirror::new(world.app.register.folder().root()));
    let report = verify(&file.bytes, &Trust { register, ..trust() }).report;
    assert!(report.holds(), "{report}");
    assert!(String::from_utf8_lossy(&file.bytes).contains(photo["sha256"].as_str().unwrap()));
    assert_eq!(unsound(&world).await, Vec::<String>::new());
}

#[tokio::test]
async fn an_observation_of_a_registered_log_questions_its_holder() {
    let world = World::new().await;
    let felled = world.felled(1).await;
    let body = json!({
        "what": "unknown_seal", "text": "The number is on two logs.", "occurred_at": "2026-10-05T09:30:00+05:00",
        "code": felled.logs[0]
    });
    let made = world.post("/v1/findings", &felled.inspector, body).await.expect(201);
    assert_eq!(made["organization"], json!(felled.enterprise.id));
    assert_eq!(made["subject"]["kind"], "log");
    assert_eq!(made["ticket"], json!(felled.ticket));
    // The holder may explain it, and does not see what the inspector wrote about persons.
    let one = world.get(&path(&made), &felled.enterprise).await.expect(200);
    assert_eq!(
        (&one["observation"]["what"], &one["observation"]["text"]),
        (&json!("unknown_seal"), &Value::Null)
    );
    let history = world.get(&format!("{}/history", path(&made)), &felled.enterprise).await.expect(200);
    assert!(!history.to_string().contains("on two logs"), "{history}");
    let text = json!({"text": "The other one is not ours"});
    world.post(&format!("{}/explanation", path(&made)), &felled.enterprise, text).await.expect(200);
    world.get(&path(&made), &felled.sawmill).await.expect(404);
    // A decision may hold the log.
    let decision = json!({"state": "confirmed", "reason": "Compared", "hold": true});
    world.post(&format!("{}/decision", path(&made)), &felled.inspector, decision).await.expect(200);
    let log = world.get(&format!("/v1/logs/{}", felled.logs[0]), &felled.inspector).await.expect(200);
    assert_eq!(log["held"]["reason"], "Finding observation");
    assert_eq!(unsound(&world).await, Vec::<String>::new());
}

#[tokio::test]
async fn all_errors_of_an_observation_are_reported_at_once() {
    let world = World::new().await;
    let felled = world.felled(1).await;
    let inspector = &felled.inspector;
    let photo = photo(&world, &felled.enterprise, b"of others").await.expect(201);
    let mut body = seen(&photo);
    body["occurred_at"] = json!("2026-10-05T10:06:00+05:00");
    body["photos"][0]["taken_at"] = json!("2026-10-06T10:00:00+05:00");
    let refused = world.post("/v1/findings", inspector, body.clone()).await;
    refused.expect(422);
    assert_eq!(refused.codes(), ["in-the-future", "in-the-future", "unknown-photo"]);
    body["text"] = json!("Loaded by 850101300005");
    body["what"] = json!("fire");
    body["photos"] = json!([body["photos"][0], body["photos"][0]]);
    body["code"] = json!("9".repeat(101));
    let refused = world.post("/v1/findings", inspector, body).await;
    let mut codes = refused.codes();
    codes.sort_unstable();
    assert_eq!(codes, ["unknown-observation"], "the rest of the members need a readable request");
    let mut body = seen(&photo);
    body["text"] = json!("Loaded by 850101 300005");
    body["code"] = json!("9".repeat(101));
    body["photos"] = json!([body["photos"][0], body["photos"][0]]);
    let mut codes = world.post("/v1/findings", inspector, body).await.codes();
    codes.sort_unstable();
    assert_eq!(codes, ["duplicate-photo", "looks-like-iin", "text-too-long"]);
}

#[tokio::test]
async fn photos_are_read_by_their_uploader_and_by_inspectors() {
    let world = World::new().await;
    let felled = world.felled(1).await;
    let made = photo(&world, &felled.enterprise, b"bark").await.expect(201);
    let path = format!("/v1/photos/{}", made["sha256"].as_str().unwrap());
    for reader in [&felled.enterprise, &felled.inspector] {
        let file = world.get(&path, reader).await;
        assert_eq!(
            (file.status.as_u16(), &file.headers["content-type"]),
            (200, &"image/jpeg".parse().unwrap())
        );
        assert_eq!(file.bytes, b"\xFF\xD8\xFF\xE0bark");
        assert_eq!(file.headers["cache-control"], "no-store");
    }
    for other in [&felled.sawmill, &felled.operator, &felled.carrier] {
        world.get(&path, other).await.expect(404);
    }
    // The same file again is the same photo; the same file of another organisation is another's.
    assert_eq!(photo(&world, &felled.enterprise, b"bark").await.expect(201), made.clone());
    photo(&world, &felled.sawmill, b"bark").await.expect(201);
    assert_eq!(world.get(&path, &felled.sawmill).await.status.as_u16(), 200);
    for (media_type, bytes) in [
        ("image/png", &b"\xFF\xD8\xFF\xE0"[..]),
        ("image/jpeg", b"<svg xmlns='http://www.w3.org/2000/svg'/>"),
        ("image/svg+xml", b"<svg/>"),
        ("image/jpeg", b""),
    ] {
        assert_eq!(upload(&world, &felled.inspector, media_type, bytes).await.status.as_u16(), 415);
    }
    let png = [&b"\x89PNG\r\n\x1a\n"[..], &vec![0; 5 * 1024 * 1024 - 8]].concat();
    assert_eq!(upload(&world, &felled.inspector, "image/png", &png).await.status.as_u16(), 201);
    let larger = [&png[..], b"0"].concat();
    assert_eq!(upload(&world, &felled.inspector, "image/png", &larger).await.status.as_u16(), 413);
}

/// What a buyer reports is a notice for inspectors. The holder sees nothing of it before a decision, and never when,
/// where or in which words it was reported.
#[tokio::test]
async fn a_party_sees_nothing_of_a_report_before_a_decision() {
    let world = World::new().await;
    let felled = world.felled(1).await;
    let (party, inspector) = (&felled.enterprise, &felled.inspector);
    let body = json!({"what": "wrong_size", "text": "It is much thicker, at Almaty market", "contact": "+7 701 000 00 00",
                      "position": {"lat": 43.2567, "lon": 76.9286}});
    let taken = report(&world, "192.0.2.1", &felled.logs[0], &body).await;
    assert_eq!((taken.status.as_u16(), taken.bytes.len()), (202, 0));
    world.later(60);
    report(&world, "192.0.3.1", &felled.logs[0], &json!({"what": "wrong_species"})).await.status.as_u16();
    let notice = list(&world, inspector, "rule=citizen-report").await.remove(0);
    assert_eq!(
        (&notice["severity"], &notice["count"], &notice["events"]),
        (&json!("notice"), &json!(2), &json!(0))
    );
    assert_eq!((&notice["organization"], &notice["state"]), (&json!(party.id), &json!("new")));
    let one = world.get(&path(&notice), inspector).await.expect(200);
    assert_eq!(one["reports"].as_array().map(Vec::len), Some(2));
    assert_eq!(one["reports"][0]["contact"], "+7 701 000 00 00");

    let nothing = async |world: &World| {
        assert_eq!(list(world, party, "").await.len(), 0);
        assert_eq!(list(world, party, "order=rank").await.len(), 0);
        for what in ["", "/history", "/export", "/proof"] {
            world.get(&format!("{}{what}", path(&notice)), party).await.expect(404);
        }
        let text = json!({"text": "We know nothing of it"});
        world.post(&format!("{}/explanation", path(&notice)), party, text).await.expect(404);
        let log = world.get(&format!("/v1/logs/{}", felled.logs[0]), party).await.expect(200);
        assert!(!log.to_string().contains("citizen"), "{log}");
    };
    nothing(&world).await;
    world.post(&format!("{}/open", path(&notice)), party, json!({})).await.expect(403);
    world.later(60);
    let to = format!("{}/open", path(&notice));
    let open = world.call(Method::POST, &to, Some(&inspector.token), Value::Null).await.expect(200);
    assert_eq!((&open["events"], &open["created_at"]), (&json!(1), &json!("2026-10-05T07:00:00.000000Z")));
    assert_eq!(
        world.post(&format!("{}/open", path(&notice)), inspector, json!({})).await.expect(200)["events"],
        1
    );
    nothing(&world).await;
    assert_eq!(unsound(&world).await, Vec::<String>::new());

    let decision = json!({"state": "confirmed", "reason": "Measured again"});
    world.post(&format!("{}/decision", path(&notice)), inspector, decision).await.expect(200);
    publish(&world).await;
    let one = world.get(&path(&notice), party).await.expect(200);
    assert_eq!((&one["state"], &one["reports"]), (&json!("confirmed"), &json!([])));
    let mut shown = one.to_string();
    for what in ["/history", "/export"] {
        shown +=
            &String::from_utf8(world.get(&format!("{}{what}", path(&notice)), party).await.bytes).unwrap();
    }
    for hidden in ["Almaty", "+7 701", "43.2567", "2026-10-05T05:00", "2026-10-05T06:00"] {
        assert!(!shown.contains(hidden), "{hidden}");
    }
    // The id tells no time: it is not one of those that begin with it.
    let id: uuid::Uuid = notice["id"].as_str().unwrap().parse().unwrap();
    assert_eq!(id.get_version_num(), 4);
    let own = world.get(&format!("{}/history", path(&notice)), inspector).await.expect(200);
    assert!(own.to_string().contains("Almaty market"));
    let text = json!({"text": "It grew"});
    world.post(&format!("{}/explanation", path(&notice)), party, text).await.expect(200);
    assert_eq!(unsound(&world).await, Vec::<String>::new());

    // The next report is a new notice.
    report(&world, "192.0.4.1", &felled.logs[0], &json!({"what": "other"})).await;
    let notices = list(&world, inspector, "rule=citizen-report").await;
    assert_eq!(notices.len(), 2);
    assert_eq!(list(&world, party, "rule=citizen-report").await.len(), 1);
}

#[tokio::test]
async fn reports_are_limited_by_block_of_addresses_and_by_code() {
    let world = World::new().await;
    let felled = world.felled(2).await;
    let code = &felled.logs[0];
    let body = json!({"what": "broken_seal"});
    for last in 1..=3 {
        assert_eq!(report(&world, &format!("203.0.113.{last}"), code, &body).await.status.as_u16(), 202);
    }
    let refused = report(&world, "203.0.113.200", &felled.logs[1], &body).await;
    assert_eq!(refused.status.as_u16(), 429);
    assert!(refused.headers["retry-after"].to_str().unwrap().parse::<u64>().unwrap() > 3_500);
    // What cannot be read counts for nothing.
    for _ in 0..5 {
        assert_eq!(
            report(&world, "198.51.100.1", code, &json!({"what": "fire"})).await.codes(),
            ["unknown-report"]
        );
        assert_eq!(
            report(&world, "198.51.100.1", "01999999-9999-7999-8999-999999999999", &body)
                .await
                .status
                .as_u16(),
            404
        );
    }
    let iin = json!({"what": "other", "text": "Sold by 850101300005"});
    assert_eq!(report(&world, "198.51.100.1", code, &iin).await.codes(), ["looks-like-iin"]);
    // 64 at once, from as many blocks: seven more make ten.
    let sent = (0..64).map(|block| format!("10.1.{block}.1"));
    let answers = join_all(sent.map(|from| {
        let (world, body) = (&world, &body);
        async move { report(world, &from, code, body).await.status.as_u16() }
    }))
    .await;
    assert_eq!(answers.iter().filter(|status| **status == 202).count(), 7, "{answers:?}");
    assert!(answers.iter().all(|status| matches!(status, 202 | 429)), "{answers:?}");
    let notices = list(&world, &felled.inspector, "rule=citizen-report").await;
    assert_eq!((notices.len(), &notices[0]["count"]), (1, &json!(10)), "one is open, and it counts");
    world.later(24 * 60 + 1);
    assert_eq!(report(&world, "10.2.0.1", code, &body).await.status.as_u16(), 202);
}

/// Codes that nobody registered, and forged ones, are reported too, and question no one.
#[tokio::test]
async fn a_report_of_an_unknown_code_questions_no_one() {
    let world = World::new().await;
    let felled = world.felled(1).await;
    let none = list(&world, &felled.inspector, "rule=citizen-report").await;
    assert_eq!(none.len(), 0);
    for code in ["KZ-9999999", &felled.seals[0]] {
        assert_eq!(report(&world, "192.0.2.1", code, &json!({"what": "no_seal"})).await.status.as_u16(), 202);
    }
    let notices = list(&world, &felled.inspector, "rule=citizen-report").await;
    let unknown = notices.iter().find(|notice| notice["organization"].is_null()).unwrap();
    assert_eq!(unknown["subject"], json!({"kind": "finding", "id": unknown["id"]}));
    // A seal of the stock questions who has it.
    let stock = notices.iter().find(|notice| !notice["organization"].is_null()).unwrap();
    assert_eq!(stock["organization"], json!(felled.enterprise.id));
    // No report is above a warning.
    let ranked = list(&world, &felled.inspector, "order=rank").await;
    assert!(ranked.iter().all(|one| one["rule"] != "citizen-report" || one["severity"] == "notice"));
}

#[tokio::test]
async fn of_64_that_open_or_decide_a_report_each_finds_one_chain() {
    let world = World::new().await;
    let felled = world.felled(1).await;
    report(&world, "192.0.2.1", &felled.logs[0], &json!({"what": "other", "text": "Оны көрдім"})).await;
    let notice = list(&world, &felled.inspector, "rule=citizen-report").await.remove(0);
    let decision = json!({"state": "false", "reason": "Seen", "expected_seq": 0});
    let all = (0..64).map(|at| {
        let (world, notice, felled, decision) = (&world, &notice, &felled, decision.clone());
        async move {
            let (what, body) = if at % 2 == 0 { ("open", json!({})) } else { ("decision", decision) };
            let path = format!("{}/{what}", path(notice));
            (what, world.post(&path, &felled.inspector, body).await.status.as_u16())
        }
    });
    let answers = join_all(all).await;
    assert!(answers.iter().all(|(what, status)| *status == 200 || *what == "decision"), "{answers:?}");
    let decided = answers.iter().filter(|(what, status)| *what == "decision" && *status == 200).count();
    assert!(decided <= 1, "{answers:?}");
    let history = world.get(&format!("{}/history", path(&notice)), &felled.inspector).await.expect(200);
    let types: Vec<&str> =
        history["events"].as_array().unwrap().iter().map(|event| event["type"].as_str().unwrap()).collect();
    assert_eq!(types.iter().filter(|of| **of == "opened").count(), 1, "{types:?}");
    assert_eq!(unsound(&world).await, Vec::<String>::new());
}

/// The form on the page works without a script, in the language of the page.
#[tokio::test]
async fn the_form_on_the_page_takes_a_report() {
    let world = World::new().await;
    let felled = world.felled(1).await;
    let code = &felled.logs[0];
    let page = world.send(Request::get(format!("/verify/{code}?lang=kk")).body(Body::empty()).unwrap()).await;
    let html = String::from_utf8(page.bytes).unwrap();
    assert!(html.contains(&format!("action=\"/verify/{code}/report?lang=kk\" method=\"post\"")), "{html}");
    assert!(html.contains("Пломба сынған немесе бос тұр") && !html.contains("<script"), "{html}");
    let sent =
        form(&world, "192.0.2.9", code, "what=broken_seal&text=%D0%96%D0%BE%D0%BB%0D%0Aboyinda&contact=")
            .await;
    assert_eq!(sent.status.as_u16(), 303);
    let to = sent.headers["location"].to_str().unwrap().to_owned();
    assert_eq!(to, format!("/verify/{code}?lang=kk&reported=1#report"));
    let page = world.send(Request::get(to.split('#').next().unwrap()).body(Body::empty()).unwrap()).await;
    assert!(String::from_utf8(page.bytes).unwrap().contains("Хабарыңыз инспекторларда"));
    let notice = list(&world, &felled.inspector, "rule=citizen-report").await.remove(0);
    let one = world.get(&path(&notice), &felled.inspector).await.expect(200);
    assert_eq!(
        (&one["reports"][0]["text"], &one["reports"][0]["contact"]),
        (&json!("Жол boyinda"), &Value::Null)
    );
    // What was entered is shown again with the reason, and as text.
    let sent = form(&world, "192.0.2.9", code, "what=other&text=%3Cb%3E850101300005&contact=a").await;
    let html = String::from_utf8(sent.bytes).unwrap();
    assert_eq!(sent.status.as_u16(), 422);
    assert!(
        html.contains("Мәтінде ЖСН жазбаңыз") && html.contains("850101300005") && !html.contains("<b>850"),
        "{html}"
    );
    for _ in 0..2 {
        assert_eq!(form(&world, "192.0.2.9", code, "what=other").await.status.as_u16(), 303);
    }
    let sent = form(&world, "192.0.2.9", code, "what=other").await;
    assert_eq!(sent.status.as_u16(), 429);
    assert!(String::from_utf8(sent.bytes).unwrap().contains("тым көп хабар"));
}

/// Reports that no inspector opens go after 180 days, opened ones stay.
#[tokio::test]
async fn reports_go_after_180_days_unless_they_are_opened() {
    let world = World::new().await;
    let felled = world.felled(2).await;
    let now = || world.clock.now();
    let swept = async || sweep(&world.app.pool, &world.app.rulebook, now()).await.unwrap();
    for (at, code) in felled.logs.iter().enumerate() {
        report(&world, &format!("192.0.{at}.1"), code, &json!({"what": "other", "text": "Көрдім"})).await;
    }
    let unused = photo(&world, &felled.inspector, b"unused").await.expect(201);
    let notices = list(&world, &felled.inspector, "rule=citizen-report").await;
    world.post(&format!("{}/open", path(&notices[0])), &felled.inspector, json!({})).await.expect(200);
    world.later(7 * 24 * 60);
    assert_eq!(swept().await, Swept::default(), "to the minute");
    world.later(1);
    assert_eq!(swept().await, Swept { photos: 1, ..Swept::default() });
    world
        .get(&format!("/v1/photos/{}", unused["sha256"].as_str().unwrap()), &felled.inspector)
        .await
        .expect(404);
    world.later(173 * 24 * 60 - 1);
    assert_eq!(swept().await, Swept::default(), "180 days to the minute");
    world.later(1);
    assert_eq!(swept().await, Swept { reports: 1, ..Swept::default() });
    let left = list(&world, &felled.inspector, "rule=citizen-report").await;
    assert_eq!((left.len(), &left[0]["id"]), (1, &notices[0]["id"]));
    world.get(&path(&notices[1]), &felled.inspector).await.expect(404);
    assert_eq!(unsound(&world).await, Vec::<String>::new());
}

#[tokio::test]
async fn an_appeal_that_waits_for_15_days_is_found_once() {
    let world = World::new().await;
    let felled = world.felled(1).await;
    let details = json!({"details": {"outcome": "mismatch", "hold": false}});
    let made = world.event(&felled.inspector, "inspected", &felled.logs, details).await.expect(201);
    let found = &made["findings"][0];
    let decision = json!({"state": "confirmed", "reason": "Measured again"});
    world.post(&format!("{}/decision", path(found)), &felled.inspector, decision.clone()).await.expect(200);
    let appeal = json!({"text": "We do not agree", "appeal": true});
    world.post(&format!("{}/explanation", path(found)), &felled.enterprise, appeal.clone()).await.expect(200);
    let swept = async || {
        let all =
            join_all((0..8).map(|_| sweep(&world.app.pool, &world.app.rulebook, world.clock.now()))).await;
        all.into_iter().map(|swept| swept.unwrap().appeals).sum::<usize>()
    };
    world.later(15 * 24 * 60);
    assert_eq!(swept().await, 0, "15 days to the minute");
    world.later(1);
    assert_eq!(swept().await, 1, "of eight servers at once, one finds it");
    assert_eq!(swept().await, 0);
    let late = list(&world, &felled.inspector, "rule=appeal-unanswered").await;
    assert_eq!((late.len(), &late[0]["organization"]), (1, &json!(felled.inspector.id)));
    assert_eq!((&late[0]["count"], &late[0]["inputs"]["days"]), (&json!(1), &json!(15)));
    assert_eq!(late[0]["subject"], json!({"kind": "finding", "id": found["id"]}));
    // An answer ends it; the next appeal has a term of its own.
    world.post(&format!("{}/decision", path(found)), &felled.inspector, decision).await.expect(200);
    world.post(&format!("{}/explanation", path(found)), &felled.enterprise, appeal).await.expect(200);
    world.later(15 * 24 * 60);
    assert_eq!(swept().await, 0);
    world.later(1);
    assert_eq!(swept().await, 1);
    assert_eq!(unsound(&world).await, Vec::<String>::new());
}

/// Everything personal in a finding can be erased, and its chain still verifies.
#[tokio::test]
async fn what_is_personal_in_a_finding_is_erased() {
    let world = World::new().await;
    let felled = world.felled(1).await;
    let inspector = &felled.inspector;
    let photo = photo(&world, inspector, b"driver").await.expect(201);
    let mut body = seen(&photo);
    body["text"] = json!("The driver Жүнісбеков. ".repeat(40));
    let observed = world.post("/v1/findings", inspector, body).await.expect(201);
    report(
        &world,
        "192.0.2.1",
        &felled.logs[0],
        &json!({"what": "other", "text": "Жүнісбеков sold it", "contact": "a@b.kz",
        "position": {"lat": 43.2567, "lon": 76.9286}}),
    )
    .await;
    let notice = list(&world, inspector, "rule=citizen-report").await.remove(0);
    world.post(&format!("{}/open", path(&notice)), inspector, json!({})).await.expect(200);
    for (finding, reports, photos) in [(&observed, 0, 1), (&notice, 1, 0)] {
        let target = ErasureTarget::Finding(finding["id"].as_str().unwrap().parse().unwrap());
        let preview = erase::preview(&mut world.owner().await, &target, &world.clock).await.unwrap();
        assert!(preview.to_string().contains("a text about finding"), "{preview}");
        let erased = erase::delete(&mut world.owner().await, &target, &world.clock).await.unwrap();
        assert_eq!((erased.parts, erased.reports, erased.photos), (1, reports, photos), "{erased}");
        let one = world.get(&path(finding), inspector).await.expect(200);
        let history = world.get(&format!("{}/history", path(finding)), inspector).await.expect(200);
        for gone in ["Жүнісбеков", "123 ABC 10", "a@b.kz", "43.2567"] {
            assert!(!one.to_string().contains(gone) && !history.to_string().contains(gone), "{gone}");
        }
    }
    world.get(&format!("/v1/photos/{}", photo["sha256"].as_str().unwrap()), inspector).await.expect(404);
    assert_eq!(unsound(&world).await, Vec::<String>::new());
    publish(&world).await;
    let file = world.get(&format!("{}/export", path(&observed)), inspector).await;
    let register = Some(Mirror::new(world.app.register.folder().root()));
    let report = verify(&file.bytes, &Trust { register, ..trust() }).report;
    assert!(report.holds(), "{report}");
}

/// No reason or note may contain a personal number: it would stay readable in the chain.
#[tokio::test]
async fn a_personal_number_is_refused_in_every_reason_and_note() {
    let world = World::new().await;
    let felled: Felled = world.felled(1).await;
    let iin = "By order of 850101300005";
    let (logs, inspector) = (&felled.logs, &felled.inspector);
    for answer in [
        world
            .event(inspector, "inspected", logs, json!({"details": {"outcome": "match", "note": iin}}))
            .await,
        world.event(inspector, "detained", logs, json!({"details": {"reason": iin}})).await,
        world
            .event(
                &felled.enterprise,
                "corrected",
                logs,
                json!({"corrects": 1, "reason": iin, "set": {"length_m": 6}}),
            )
            .await,
        world
            .post(&format!("/v1/felling-tickets/{}/hold", felled.ticket), inspector, json!({"reason": iin}))
            .await,
        world
            .post(
                &format!("/v1/felling-tickets/{}/cancel", felled.ticket),
                &felled.forest_owner,
                json!({"reason": iin}),
            )
            .await,
    ] {
        assert!(answer.codes().contains(&"looks-like-iin".to_owned()), "{:?}", answer.codes());
    }
}
