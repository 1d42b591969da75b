//! Erasure end to end: the served API, the publisher, an `Idempotency-Key`, saved proofs, and everything
//! that each process has logged and written.

use super::register::{key, publish};
use crate::support::process::{PATIENCE, Running, TOKEN, data, post, program, run, text};
use crate::support::remains::{dump, files_with};
use chrono::{DateTime, TimeDelta, Utc};
use flate2::read::GzDecoder;
use ormantrace::base::clock::Clock;
use ormantrace::base::config::DatabaseSettings;
use ormantrace::base::units::utc_text;
use ormantrace::db::{self, Mode};
use ormantrace::timber::party::bin::Bin;
use rustix::process::Signal;
use serde_json::{Value, json};
use std::io::Read;
use std::net::SocketAddr;
use std::path::{Path, PathBuf};
use std::time::{Duration, Instant};

const PERSON: &str = "Жүнісбеков Ерлан";
const TRADER: &str = "ЖК «Сүлейменова Айгүл»";
/// A name that is not erased. The search must find it, otherwise it would prove nothing about erased names.
const OTHER: &str = "Ахметов Бауыржан";

/// A valid BIN or IIN: its first eleven digits (`stem`) and their check digit.
fn number(stem: &str) -> String {
    (0..10).map(|check| format!("{stem}{check}")).find(|text| Bin::parse(text).is_ok()).expect("one is valid")
}

/// Creates an organisation with a key, as the operator does; returns the token.
fn organization(server: SocketAddr, bin: &str, name: &str, roles: &[&str], kind: &str) -> String {
    let body = json!({"bin": bin, "name": name, "roles": roles, "kind": kind});
    let id = made(server, "/v1/organizations", TOKEN, None, &body)["id"].as_str().expect("an id").to_owned();
    let key =
        made(server, &format!("/v1/organizations/{id}/keys"), TOKEN, None, &json!({"label": "Планшет"}));
    key["token"].as_str().expect("a token").to_owned()
}

fn made(server: SocketAddr, path: &str, token: &str, key: Option<&str>, body: &Value) -> Value {
    let (status, answer) = post(server, path, token, key, body);
    assert_eq!(status, 201, "{path}: {answer}");
    serde_json::from_str(&answer).expect("JSON")
}

/// A felling ticket that is valid today.
fn ticket(holder: &str, now: DateTime<Utc>) -> Value {
    let day = |days: i64| (now + TimeDelta::days(days)).date_naive().to_string();
    json!({
        "series": "АБ", "number": "0001245", "issued_on": day(-40), "holder_bin": holder,
        "felling_kind": "main", "forest_category": "II", "forest_type": "С2",
        "origin": {"region": "KZ-10", "forestry": "Бородулиха орманшылығы", "compartment": "41"},
        "area_ha": 4.7, "felling_from": day(-30), "felling_until": day(30),
        "lines": [{"species": "pinus_sylvestris", "wood": "commercial", "volume_m3": 40}]
    })
}

fn harvest(ticket: &str, seal: &str, name: &str, iin: Option<&str>, at: DateTime<Utc>) -> Value {
    json!({
        "felling_ticket_id": ticket, "responsible_person": {"name": name, "iin": iin},
        "logs": [{
            "seal_number": seal, "kind": "log", "species": "pinus_sylvestris", "wood": "commercial", "grade": 2,
            "length_m": 6, "top_diameter_cm": 24, "volume_m3": 0.33, "measurement_method": "gost_2708_75",
            "occurred_at": utc_text(at)
        }]
    })
}

/// Returns the response of `path` as soon as the register covers all events in it.
fn published(server: &Running, path: &str, token: Option<&str>) -> String {
    let since = Instant::now();
    loop {
        let (status, body) = server.get(path, token);
        if status == 200 && !body.contains("\"pending\":true") {
            return body;
        }
        assert!(since.elapsed() < PATIENCE, "{path}: {status} {body}");
        std::thread::sleep(Duration::from_millis(20));
    }
}

/// Asserts that the verifier accepts a file; returns the verifier's output.
fn verified(file: &Path, trust: &str, more: &[&str]) -> String {
    let output = run(&[&["verify", file.to_str().expect("text"), "--trust", trust], more].concat());
    let said = text(&output.stdout);
    assert_eq!(output.status.code(), Some(0), "{said}{}", text(&output.stderr));
    said
}

/// All stored responses, unpacked.
fn kept_answers(data: &Path) -> Vec<String> {
    let runtime = tokio::runtime::Runtime::new().expect("a runtime");
    runtime.block_on(async {
        let database = db::open(
            &DatabaseSettings::private(data),
            Mode::Attach,
            ormantrace::evidence::register::backfill::on_migration,
        )
        .await
        .expect("open");
        let sql = "SELECT body FROM idempotency WHERE body IS NOT NULL";
        let mut owner = database.owner().await.expect("connects");
        let bodies: Vec<Vec<u8>> = sqlx::query_scalar(sql).fetch_all(&mut owner).await.expect("read");
        drop(owner);
        database.close().await;
        let unpack = |body: Vec<u8>| {
            let mut text = String::new();
            GzDecoder::new(body.as_slice()).read_to_string(&mut text).expect("packed text");
            text
        };
        bodies.into_iter().map(unpack).collect()
    })
}

#[test]
fn erasure_removes_the_name_everywhere_and_proofs_stay_valid() {
    let data = data();
    // This folder is outside the data directory. It has an old export with the name, because an erasure does
    // not reach the copies that readers have.
    let saved = tempfile::tempdir().expect("a folder");
    let (iin, trader_iin) = (number("85010130000"), number("91020345055"));
    let words = [PERSON, iin.as_str(), TRADER, trader_iin.as_str()];
    // With the most verbose log settings.
    let server = Running::start(data.path(), &["--operator-token", TOKEN, "--log", "ormantrace=trace,debug"]);
    let publisher = publish(data.path(), &[]);
    let at = server.address;
    let org = |bin: &str, name: &str, roles: &[&str], kind: &str| organization(at, bin, name, roles, kind);
    let owner = org(&number("04064000200"), "«Семей орманы» МОТР", &["forest_owner"], "legal_entity");
    let trader = org(&trader_iin, TRADER, &["enterprise"], "sole_trader");
    let inspector = org(&number("04064000600"), "Орман инспекциясы", &["inspector"], "legal_entity");
    let batch = json!({"holder_bin": trader_iin, "quantity": 2});
    let batch = made(at, "/v1/seal-batches", TOKEN, Some("batch-of-two"), &batch);
    let seal = |name: &str| batch[name].as_str().expect("a number").to_owned();
    let now = Clock::system().now();
    let issued = made(at, "/v1/felling-tickets", &owner, Some("ticket-0001245"), &ticket(&trader_iin, now));
    let ticket = issued["id"].as_str().expect("an id");
    let felled = now - TimeDelta::hours(1);
    let body = harvest(ticket, &seal("first_number"), PERSON, Some(&iin), felled);
    let (status, first) = post(at, "/v1/harvests", &trader, Some("harvest-1"), &body);
    assert_eq!(status, 201, "{first}");
    let again = post(at, "/v1/harvests", &trader, Some("harvest-1"), &body);
    assert_eq!(again, (201, first), "replayed");
    let other = harvest(ticket, &seal("last_number"), OTHER, None, felled);
    made(at, "/v1/harvests", &trader, Some("harvest-2"), &other);

    let path = format!("/v1/logs/{}", seal("first_number"));
    let keep = |name: &str, text: String| -> PathBuf {
        let file = saved.path().join(name);
        std::fs::write(&file, text).expect("written");
        file
    };
    let old_export = published(&server, &format!("{path}/export"), Some(&inspector));
    assert!(old_export.contains(PERSON) && old_export.contains(&iin), "{old_export}");
    let old_export = keep("old-export.json", old_export);
    let old_proof = keep("old.tlog-proof", published(&server, &format!("{path}/proof"), None));
    assert!(dump(data.path()).contains(PERSON) && dump(data.path()).contains(&trader_iin));

    for whose in [&iin, &trader_iin] {
        let listed =
            program().args(["erase", "--dry-run", "--iin", whose, "--data-dir"]).arg(data.path()).output();
        let listed = listed.expect("runs");
        let said = format!("{}{}", text(&listed.stdout), text(&listed.stderr));
        assert_eq!(listed.status.code(), Some(0), "{said}");
        assert!(said.contains("Nothing was changed."), "{said}");
        if *whose == iin {
            assert!(said.contains("stored response: Idempotency-Key "), "{said}");
        }
        assert!(said.contains(if *whose == iin { "personal part " } else { "organisation " }), "{said}");
        assert!(words.iter().all(|word| !said.contains(word)), "{said}");
        assert!(dump(data.path()).contains(whose.as_str()), "a dry run erases nothing");
        let erase = program().args(["erase", "--iin", whose, "--data-dir"]).arg(data.path()).output();
        let erase = erase.expect("runs");
        let said = format!("{}{}", text(&erase.stdout), text(&erase.stderr));
        assert_eq!(erase.status.code(), Some(0), "{said}");
        assert!(words.iter().all(|word| !said.contains(word)), "{said}");
    }

    let trust = key(&["show", data.path().join("keys/register.key").to_str().expect("text")]).to_string();
    let register = data.path().join("register");
    let register = ["--register", register.to_str().expect("text")];
    let new_export = published(&server, &format!("{path}/export"), Some(&inspector));
    assert!(words.iter().all(|word| !new_export.contains(word)), "{new_export}");
    let new_export = keep("new-export.json", new_export);
    let said = verified(&new_export, &trust, &register);
    assert!(said.contains("1 erased, commitment intact"), "{said}");
    let said = verified(&old_export, &trust, &register);
    assert!(!said.contains("erased"), "the old export still opens its parts: {said}");
    verified(&old_proof, &trust, &[]);
    verified(&keep("new.tlog-proof", published(&server, &format!("{path}/proof"), None)), &trust, &[]);

    let fsck = program().args(["fsck", "--trust", &trust, "--data-dir"]).arg(data.path()).output();
    let fsck = fsck.expect("runs");
    let said = text(&fsck.stdout);
    assert_eq!(fsck.status.code(), Some(0), "{said}{}", text(&fsck.stderr));
    assert!(said.contains("2 erasures"), "{said}");

    // The same request, sent again after the erasure, is refused. It is not recorded a second time, and the
    // response does not contain the name.
    let (status, again) = post(at, "/v1/harvests", &trader, Some("harvest-1"), &body);
    assert!((400..500).contains(&status), "{status} {again}");
    let answers = kept_answers(data.path());
    assert!(!answers.is_empty(), "responses are stored");
    let dumped = dump(data.path());
    assert!(dumped.contains(OTHER) && !files_with(data.path(), OTHER).is_empty());
    server.signal(Signal::TERM);
    let (status, log) = server.end();
    assert_eq!(status.code(), Some(0), "{log}");
    assert!(log.contains("/v1/harvests"), "the log contains requests: {log}");
    publisher.signal(Signal::TERM);
    let (_, told) = publisher.end();
    for word in words {
        assert!(!dumped.contains(word), "{word} is in the dump");
        assert!(!log.contains(word), "{word} is in the server's log");
        assert!(!told.contains(word), "{word} is in the publisher's log");
        assert!(!again.contains(word), "{word} is in the response to the repetition: {again}");
        assert!(answers.iter().all(|answer| !answer.contains(word)), "{word} is in a stored response");
        // No file contains the word: tiles, keys.json, tables, indexes, write-ahead log, PostgreSQL's log.
        assert_eq!(files_with(data.path(), word), Vec::<PathBuf>::new(), "{word}");
    }
}
