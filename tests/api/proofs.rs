//! Proofs and exports, as clients get them and as the offline verifier reads them.

use crate::stored_logs::encoded;
use crate::world::{Answer, Felled, World, morning};
use axum::body::Body;
use axum::http::{Method, Request};
use ormantrace::evidence::tlog::note::Kind;
use ormantrace::evidence::tlog::tile::Builder;
use ormantrace::evidence::tlog::tree::leaf_hash;
use ormantrace::evidence::tlog::{Checkpoint, Folder, Note, Signer};
use ormantrace::services::verifier::report::{Check, Outcome, Report, Verdict};
use ormantrace::services::verifier::{Memory, Trust, mirror::Mirror, verify};
use ormantrace::timber::seal::Code;
use serde_json::{Value, json};

const ORIGIN: &str = "timber.example/register";

fn signer() -> Signer {
    Signer::from_seed(ORIGIN, Kind::Text, &[1; 32]).unwrap()
}

fn witness() -> Signer {
    Signer::from_seed("witness.example/office", Kind::Cosignature, &[2; 32]).unwrap()
}

/// Gives every queued event its index and publishes the tree. One of the two witnesses cosigns it.
pub async fn publish(world: &World) -> Note {
    sqlx::query(
        "WITH waiting AS (DELETE FROM leaf_queue RETURNING id, entry, subject_id, seq)
         INSERT INTO leaf (index, entry, subject_id, seq, sequenced_at)
         SELECT (SELECT count(*) FROM leaf) + row_number() OVER (ORDER BY id) - 1, entry, subject_id, seq, $1
         FROM waiting",
    )
    .bind(world.clock.now())
    .execute(&mut world.owner().await)
    .await
    .unwrap();
    let entries: Vec<Vec<u8>> =
        sqlx::query_scalar("SELECT entry FROM leaf ORDER BY index").fetch_all(&world.app.pool).await.unwrap();
    let (mut tree, mut tiles) = (Builder::new(), Vec::new());
    for entry in &entries {
        tree.push(entry.as_slice().try_into().unwrap(), |tile, bytes| tiles.push((tile, bytes)));
    }
    tiles.extend(tree.unfilled());
    let folder: &Folder = world.app.register.folder();
    folder.write_tiles(tiles).unwrap();
    let checkpoint = Checkpoint::new(ORIGIN, tree.size(), tree.root()).unwrap();
    let note = Note::sign(checkpoint.to_string(), &[&signer(), &witness()], morning()).unwrap();
    let absent = Signer::from_seed("witness.example/absent", Kind::Cosignature, &[9; 32]).unwrap();
    let keys = json!({
        "keys": [signer().verifier().to_string()],
        "witnesses": [witness().verifier().to_string(), absent.verifier().to_string()],
        "quorum": 1
    });
    folder.publish_keys(keys.to_string().into_bytes()).unwrap();
    folder.publish(&note).unwrap();
    note
}

/// The trust settings of a verifier with the keys of the register and of the one witness.
pub fn trust() -> Trust {
    Trust {
        keys: vec![signer().verifier().clone()],
        witnesses: vec![witness().verifier().clone()],
        quorum: Some(1),
        ..Trust::default()
    }
}

pub fn failed(report: &Report, check: Check) -> Vec<Option<usize>> {
    let failed = report.lines.iter().filter(|line| line.check == check && line.outcome == Outcome::Failed);
    failed.map(|line| line.event).collect()
}

async fn proof(world: &World, code: &str) -> Answer {
    let path = format!("/v1/logs/{}/proof", encoded(code));
    world.call(Method::GET, &path, None, Value::Null).await
}

async fn page(world: &World, path: &str) -> String {
    let request = Request::get(path).header("accept", "text/html").header("accept-language", "en");
    let answer = world.send(request.body(Body::empty()).unwrap()).await;
    assert_eq!(answer.status, 200);
    String::from_utf8(answer.bytes).unwrap()
}

/// A log that was stored and loaded, so that it has three events.
async fn moved(world: &World) -> Felled {
    let felled = world.felled(1).await;
    world.event(&felled.enterprise, "stored", &felled.logs, json!({})).await.expect(201);
    world.event(&felled.enterprise, "loaded", &felled.logs, json!({})).await.expect(201);
    felled
}

/// The sequence number of the event that a proof is for.
fn seq(proof: &Answer) -> u64 {
    let report = verify(&proof.bytes, &trust()).report;
    assert!(report.holds() && report.trusted, "{report}");
    let text = report.to_string();
    let said = text.split("event ").nth(1).unwrap_or_else(|| panic!("{text}"));
    said.split(' ').next().unwrap().parse().unwrap()
}

#[tokio::test]
async fn anyone_gets_the_proof_by_what_is_on_the_seal() {
    let world = World::new().await;
    let felled = moved(&world).await;
    let log = world.get(&format!("/v1/logs/{}", felled.logs[0]), &felled.enterprise).await.expect(200);
    let early = proof(&world, &felled.logs[0]).await;
    early.expect(404);
    assert!(early.json()["type"].as_str().unwrap().ends_with("/problems/not-published-yet"));
    assert_eq!(early.headers["retry-after"], "2");

    publish(&world).await;
    let marking_code = log["seal"]["marking_code"].as_str().unwrap();
    let identification = Code::parse(marking_code).unwrap().identification().unwrap();
    for code in [felled.logs[0].as_str(), marking_code, identification.as_str()] {
        let answer = proof(&world, code).await;
        assert_eq!(answer.status, 200, "{answer:?}");
        assert_eq!(answer.headers["content-type"], "text/plain; charset=utf-8");
        assert_eq!(seq(&answer), 3);
    }
    // A new event has no proof until the next checkpoint. Until then, the response is the proof for the event
    // before it.
    world.event(&felled.enterprise, "departed", &felled.logs, json!({})).await.expect(201);
    assert_eq!(seq(&proof(&world, &felled.logs[0]).await), 3);
    publish(&world).await;
    assert_eq!(seq(&proof(&world, &felled.logs[0]).await), 4);
}

#[tokio::test]
async fn all_but_codes_of_logs_get_the_same_404_and_count_as_misses() {
    let world = World::new().await;
    let felled = moved(&world).await;
    publish(&world).await;
    let log = world.get(&format!("/v1/logs/{}", felled.logs[0]), &felled.enterprise).await.expect(200);
    let (head, signature) = {
        let code = log["seal"]["marking_code"].as_str().unwrap();
        code.split_at(code.len() - 88)
    };
    let other = if signature.starts_with('A') { 'B' } else { 'A' };
    let forged = format!("{head}{other}{}", &signature[1..]);
    // None of these is the code of a log: an id (ids are not codes), the code of an absent seal, the code of
    // a free seal, a forged code, an unreadable text.
    let names = [log["id"].as_str().unwrap(), "KZ999999999", &felled.seals[0], &forged, "қарағай"];
    let mut answers = Vec::new();
    for name in names {
        let answer = proof(&world, name).await;
        assert_eq!(answer.status, 404, "{name}");
        let mut body = answer.json();
        body["request_id"].take();
        body["instance"].take();
        answers.push(body.to_string());
    }
    answers.dedup();
    assert_eq!(answers.len(), 1, "{answers:?}");
    let mut limited = false;
    for _ in 0..40 {
        limited |= proof(&world, "KZ999999999").await.status == 429;
    }
    assert!(limited, "guessing is limited as for the public check");
    let with_token = world.get(&format!("/v1/logs/{}/proof", felled.logs[0]), &felled.enterprise).await;
    assert_eq!(with_token.status, 200, "callers with a token are not limited by address");
}

#[tokio::test]
async fn an_export_holds_and_what_is_pending_is_named() {
    let world = World::new().await;
    let felled = moved(&world).await;
    let path = format!("/v1/logs/{}/export", felled.logs[0]);
    let early = world.get(&path, &felled.inspector).await;
    early.expect(404);
    assert!(early.json()["type"].as_str().unwrap().ends_with("/problems/not-published-yet"));

    let first = publish(&world).await;
    let size = Checkpoint::parse(first.text()).unwrap().size;
    for who in [&felled.inspector, &felled.enterprise] {
        let export = world.get(&path, who).await;
        assert_eq!(export.expect(200)["events"].as_array().unwrap().len(), 3);
        let report = verify(&export.bytes, &trust()).report;
        assert!(report.holds() && report.trusted, "{report}");
    }
    world.event(&felled.enterprise, "departed", &felled.logs, json!({})).await.expect(201);
    let export = world.get(&path, &felled.inspector).await;
    let events = export.expect(200)["events"].clone();
    assert_eq!((&events[3]["pending"], &events[3]["index"]), (&json!(true), &Value::Null));
    let report = verify(&export.bytes, &trust()).report;
    assert_eq!(failed(&report, Check::Inclusion), [Some(4)], "{report}");

    publish(&world).await;
    let since = world.get(&format!("{path}?since={size}"), &felled.inspector).await;
    since.expect(200);
    let memory = Memory::Seen(first.to_string().into_bytes());
    let report = verify(&since.bytes, &Trust { memory, ..trust() }).report;
    assert!(report.holds(), "{report}");
    let beyond = world.get(&format!("{path}?since=1000000"), &felled.inspector).await;
    beyond.expect(422);
    assert_eq!(beyond.codes(), ["since-beyond-register"]);
}

#[tokio::test]
async fn a_past_holders_export_is_partial_and_the_register_shows_it() {
    let world = World::new().await;
    let felled = moved(&world).await;
    let to = json!({"to_bin": felled.sawmill.bin});
    world.event(&felled.enterprise, "departed", &felled.logs, json!({})).await.expect(201);
    world.event(&felled.enterprise, "arrived", &felled.logs, json!({})).await.expect(201);
    world.event(&felled.enterprise, "transferred", &felled.logs, to).await.expect(201);
    world.event(&felled.sawmill, "received", &felled.logs, json!({})).await.expect(201);
    world.event(&felled.sawmill, "stored", &felled.logs, json!({})).await.expect(201);
    publish(&world).await;
    let path = format!("/v1/logs/{}/export", felled.logs[0]);
    let whole = world.get(&path, &felled.sawmill).await.expect(200)["events"].as_array().unwrap().len();
    let part = world.get(&path, &felled.enterprise).await;
    let shown = part.expect(200)["events"].as_array().unwrap().len();
    assert!(shown < whole, "{shown} of {whole}");
    assert_eq!((&part.json()["kind"], &part.json()["until"]), (&json!(1), &json!(shown)));
    let report = verify(&part.bytes, &trust()).report;
    assert!(report.holds(), "{report}");
    let register = Some(Mirror::new(world.app.register.folder().root()));
    let report = verify(&part.bytes, &Trust { register, ..trust() }).report;
    assert_eq!(whole, shown + 1);
    let hidden = format!(
        "event {whole} is in the register and not shown; the file says its reader's access ended at {shown}, \
         which nothing proves\n"
    );
    assert_eq!(report.verdict(), Verdict::Incomplete, "{report}");
    assert!(report.to_string().contains(&hidden), "{report}");
    world.get(&path, &felled.operator).await.expect(403);
    world.get(&path, &felled.carrier).await.expect(404);
}

#[tokio::test]
async fn an_erased_person_leaves_a_history_that_holds() {
    let world = World::new().await;
    let felled = moved(&world).await;
    publish(&world).await;
    let path = format!("/v1/logs/{}/export", felled.logs[0]);
    let before = world.get(&path, &felled.inspector).await.expect(200);
    assert!(before["events"][0]["parts"]["personal"]["text"].as_str().unwrap().contains("Ерлан"));
    sqlx::query("DELETE FROM personal").execute(&mut world.owner().await).await.unwrap();
    let after = world.get(&path, &felled.inspector).await;
    assert_eq!(after.expect(200)["events"][0]["parts"]["personal"]["erased"], true);
    let report = verify(&after.bytes, &trust()).report;
    assert!(report.holds(), "{report}");
    assert!(report.to_string().contains("1 erased, commitment intact"), "{report}");
}

/// Threat: an insider rewrites the text of a published event, with all triggers disabled.
#[tokio::test]
async fn an_insiders_edit_of_a_published_event_is_named_by_the_verifier() {
    let world = World::new().await;
    let felled = moved(&world).await;
    publish(&world).await;
    let path = format!("/v1/logs/{}/export", felled.logs[0]);
    let mut owner = world.owner().await;
    for sql in [
        "ALTER TABLE event DISABLE TRIGGER ALL",
        "UPDATE event SET public = replace(public, '2026-10-05', '2026-10-04')
         WHERE type = 'stored'",
    ] {
        sqlx::query(sql).execute(&mut owner).await.unwrap();
    }
    let export = world.get(&path, &felled.inspector).await;
    export.expect(200);
    let report = verify(&export.bytes, &trust()).report;
    assert_eq!(failed(&report, Check::Inclusion), [Some(2)], "{report}");
    assert_eq!(report.first_event(), Some(2), "{report}");
}

#[tokio::test]
async fn the_check_shows_the_register_entry_and_its_witnesses() {
    let world = World::new().await;
    let felled = moved(&world).await;
    let path = format!("/v1/verify/{}", felled.logs[0]);
    let asked = format!("{path}?register=true");
    let read = async |path: &str| world.call(Method::GET, path, None, Value::Null).await.expect(200);
    assert_eq!(read(&asked).await["register"], Value::Null);
    assert!(read(&asked).await.as_object().unwrap().contains_key("register"));
    assert!(!page(&world, &format!("/verify/{}", felled.logs[0])).await.contains("public register"));
    assert!(page(&world, "/register").await.contains("publishes no register yet"));

    // Seven minutes later the register includes the event. A proof does not contain this time of inclusion,
    // so the response does not show it.
    world.later(7);
    publish(&world).await;
    let plain = read(&path).await;
    assert!(!plain.as_object().unwrap().contains_key("register"), "only on request: {plain}");
    let register = read(&asked).await["register"].clone();
    assert_eq!(register["witnesses"], json!({"k": 1, "n": 2}));
    assert_eq!(register["received_at"], "2026-10-05T05:00:00.000000Z");
    assert!(register.get("since").is_none(), "no proof has a time of inclusion: {register}");
    assert_eq!(register["index"].as_u64().unwrap() + 1, register["size"].as_u64().unwrap());
    let wrong = world.call(Method::GET, &format!("{path}?register=perhaps"), None, Value::Null).await;
    assert_eq!(wrong.status, 422);

    let html = page(&world, &format!("/verify/{}", felled.logs[0])).await.replace('\u{a0}', " ");
    let line = "received on 5 October 2026, 10:00 (Kazakhstan time, UTC+5), is in the public register";
    assert!(html.contains(line), "{html}");
    assert!(html.contains("witnessed by 1 of 2"), "{html}");
    assert!(html.contains(&format!("href=\"/v1/logs/{}/proof\"", felled.logs[0])), "{html}");
    let how = page(&world, "/register").await;
    // The page escapes `+`; a browser still shows the key.
    assert!(how.replace("&#43;", "+").contains(&signer().verifier().to_string()), "{how}");
    assert!(how.contains("witnessed by 1 of 2"));

    // An insider who can write to the database can back-date `sequenced_at`. The response does not use this
    // column.
    let mut owner = world.owner().await;
    for sql in [
        "ALTER TABLE leaf DISABLE TRIGGER USER",
        "UPDATE leaf SET sequenced_at = sequenced_at - interval '1 year'",
    ] {
        sqlx::query(sql).execute(&mut owner).await.unwrap();
    }
    assert_eq!(read(&asked).await["register"], register);

    // The newest event of the log is not published yet. The response does not show the entry of an older
    // event instead.
    world.event(&felled.enterprise, "departed", &felled.logs, json!({})).await.expect(201);
    assert_eq!(read(&asked).await["register"], Value::Null);
    let unused = read(&format!("/v1/verify/{}?register=true", felled.seals[0])).await;
    assert_eq!(unused["register"], Value::Null);
}

/// The check reports only what the published register itself contains, because an insider who can write to
/// the database can give any record any index.
#[tokio::test]
async fn the_check_shows_no_register_entry_after_event_and_leaf_are_rewritten() {
    let world = World::new().await;
    let felled = moved(&world).await;
    publish(&world).await;
    let asked = format!("/v1/verify/{}?register=true", felled.logs[0]);
    let told =
        async || world.call(Method::GET, &asked, None, Value::Null).await.expect(200)["register"].clone();
    let before = told().await;
    let index = i64::try_from(before["index"].as_u64().unwrap()).unwrap();
    let mut owner = world.owner().await;
    for table in ["event", "leaf", "log"] {
        sqlx::query(sqlx::AssertSqlSafe(format!("ALTER TABLE {table} DISABLE TRIGGER USER")))
            .execute(&mut owner)
            .await
            .unwrap();
    }
    let entry: Vec<u8> = sqlx::query_scalar("SELECT entry FROM leaf WHERE index = $1")
        .bind(index)
        .fetch_one(&mut owner)
        .await
        .unwrap();
    let mut other = entry.clone();
    other[112] ^= 1;
    let event = "UPDATE event e SET hash = $2 FROM leaf f
                 WHERE f.index = $1 AND e.subject_id = f.subject_id AND e.seq = f.seq";
    let head = "UPDATE log l SET head_hash = $2 FROM leaf f WHERE f.index = $1 AND l.id = f.subject_id";
    let leaf = "UPDATE leaf SET entry = $2 WHERE index = $1";
    let hash = |entry: &[u8]| leaf_hash(entry).0.to_vec();
    let (rewritten, true_one) = (hash(&other), hash(&entry));
    // Alters the hash of the event, then the head of the log, then the leaf. After the third change the
    // database is consistent again, but still differs from the published register.
    for (sql, value) in [(event, &rewritten), (head, &rewritten), (leaf, &other)] {
        assert_eq!(
            sqlx::query(sql).bind(index).bind(value).execute(&mut owner).await.unwrap().rows_affected(),
            1
        );
        assert_eq!(told().await, Value::Null, "{sql}");
    }
    let html = page(&world, &format!("/verify/{}", felled.logs[0])).await;
    assert!(!html.contains("in the public register"), "{html}");
    for (sql, value) in [(event, &true_one), (head, &true_one), (leaf, &entry)] {
        sqlx::query(sql).bind(index).bind(value).execute(&mut owner).await.unwrap();
    }
    assert_eq!(told().await, before);
}
