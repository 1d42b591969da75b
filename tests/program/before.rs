//! A database of an earlier version opens: it is migrated, passes `fsck`, answers as before, and its exports
//! are still verified.
//!
//! Each folder of `tests/data` has what `ormantrace demo` of a landed commit made, with a few requests more: the dump
//! of its database, an export and the register's keys. Each migration adds the folder of the commit before it.

use crate::support::pg::TestDb;
use crate::support::process::{Running, data, get, post, run, text};
use ormantrace::base::clock::Clock;
use serde_json::{Value, json};
use std::io::Read;
use std::path::{Path, PathBuf};

/// Keys of the demonstration.
const OPERATOR: &str = "demo-operator-key-not-for-production-0000001";
const HARVESTER: &str = "demo-harvester-key-not-for-production-0000001";
const INSPECTOR: &str = "demo-inspector-key-not-for-production-0000001";

fn folder(commit: &str) -> PathBuf {
    Path::new(env!("CARGO_MANIFEST_DIR")).join("tests/data").join(commit)
}

/// The statements of the dump. They set an empty search path, for the connection that runs them.
fn dump(commit: &str) -> String {
    let packed = std::fs::read(folder(commit).join("database.sql.gz")).expect("the dump");
    let mut sql = String::new();
    flate2::read::GzDecoder::new(packed.as_slice()).read_to_string(&mut sql).expect("gzip");
    sql
}

/// Loads the dump of `commit` into an empty database, and calls `check` with its URL.
async fn opened(commit: &str, check: fn(&str)) {
    let database = TestDb::empty().await;
    let mut owner = database.owner().await;
    sqlx::raw_sql(sqlx::AssertSqlSafe(dump(commit))).execute(&mut owner).await.expect("loaded");
    // Stored responses expire after 90 days. The dump is older or will be, so their times are set anew.
    let renewed = "UPDATE public.idempotency SET created_at = now(), body_until = now() + interval '90 days'";
    sqlx::query(renewed).execute(&mut owner).await.expect("renewed");
    drop(owner);
    let url = database.url();
    tokio::task::spawn_blocking(move || check(&url)).await.expect("no panic");
    drop(database);
}

/// `fsck` asks for the migration, and finds nothing wrong after it.
fn migrated(url: &str) {
    let fsck = || run(&["fsck", "--database-url", url]);
    let before = fsck();
    assert_eq!(before.status.code(), Some(2), "{}", text(&before.stderr));
    assert!(text(&before.stderr).contains("ormantrace migrate"), "{}", text(&before.stderr));
    let migrated = run(&["migrate", "--database-url", url]);
    assert!(migrated.status.success(), "{}", text(&migrated.stderr));
    let after = fsck();
    assert_eq!(after.status.code(), Some(0), "{}{}", text(&after.stdout), text(&after.stderr));
}

/// The export that the earlier version made is still valid.
fn export_holds(commit: &str) {
    let keys: Value = serde_json::from_slice(&std::fs::read(folder(commit).join("keys.json")).expect("keys"))
        .expect("JSON");
    let key = keys["keys"][0].as_str().expect("a key");
    let export = folder(commit).join("log-DEMO-000076.json");
    let verified = run(&["verify", export.to_str().expect("UTF-8"), "--trust", key, "--seal", "DEMO-000076"]);
    assert!(verified.status.success(), "{}", text(&verified.stdout));
}

/// A database without holds: no rule is applied backwards to inspections that were recorded before.
#[tokio::test]
async fn a_database_without_holds_is_migrated_and_no_inspection_holds_a_log() {
    opened("22df7b9", |url| {
        migrated(url);
        let place = data();
        let server = Running::start_as("serve", place.path(), &["--database-url", url]);
        // An inspection found its seal missing.
        let (status, log) = get(server.address, "/v1/logs/DEMO-000006", Some(INSPECTOR));
        let log: Value = serde_json::from_str(&log).expect("JSON");
        assert_eq!(
            (status, &log["held"], &log["last_event"]["type"]),
            (200, &Value::Null, &json!("inspected"))
        );
        let (_, verdict) = get(server.address, "/v1/verify/DEMO-000006", None);
        let verdict: Value = serde_json::from_str(&verdict).expect("JSON");
        assert_eq!((&verdict["verdict"], &verdict["for_sale"]), (&json!("valid"), &json!({"offered": true})));
        // From now on an inspection does.
        let now = ormantrace::base::units::utc_text(Clock::system().now());
        let event = json!({
            "type": "inspected", "logs": ["DEMO-000006"], "occurred_at": now,
            "details": {"outcome": "seal_missing"},
        });
        let (status, made) =
            post(server.address, "/v1/custody-events", INSPECTOR, Some("still-missing"), &event);
        let made: Value = serde_json::from_str(&made).expect("JSON");
        assert_eq!((status, made["events"].as_array().map(Vec::len)), (201, Some(2)), "{made}");
        drop(server);
        let after = run(&["fsck", "--database-url", url]);
        assert_eq!(after.status.code(), Some(0), "{}{}", text(&after.stdout), text(&after.stderr));
    })
    .await;
    tokio::task::spawn_blocking(|| export_holds("22df7b9")).await.expect("no panic");
}

#[tokio::test]
async fn a_database_of_the_first_version_is_migrated_and_its_records_hold() {
    opened("b5a8bbc", records_hold).await;
    tokio::task::spawn_blocking(|| export_holds("b5a8bbc")).await.expect("no panic");
}

fn records_hold(url: &str) {
    migrated(url);
    let place = data();
    let server = Running::start_as("serve", place.path(), &["--database-url", url]);
    let read = |path: &str, token| -> Value {
        let (status, body) = get(server.address, path, Some(token));
        assert_eq!(status, 200, "{path}: {body}");
        serde_json::from_str(&body).expect("JSON")
    };
    // This event was sent with the offset -12:00. The hashed day is the day at this offset, although it was
    // already the next day in Kazakhstan.
    let history = read("/v1/logs/DEMO-000005/history", HARVESTER);
    let stored = &history["events"][1];
    assert_eq!(
        (&stored["type"], &stored["occurred_at"]),
        (&json!("stored"), &json!("2026-11-28T06:00:00.000000Z"))
    );
    assert_eq!(history["log"]["last_event"]["on"], "2026-11-27");
    assert_eq!(read("/v1/logs/DEMO-000076/history", INSPECTOR)["events"].as_array().map(Vec::len), Some(8));

    // Requests with idempotency keys that the earlier version recorded: one has a stored response, the other
    // has none.
    let event = json!({
        "type": "stored", "logs": ["DEMO-000005"], "occurred_at": "2026-11-27T18:00:00-12:00",
        "place": {"name": "Жоғарғы склад", "region": "KZ-10", "kind": "storage"},
    });
    let (status, again) =
        post(server.address, "/v1/custody-events", HARVESTER, Some("stored-at-the-yard"), &event);
    let again: Value = serde_json::from_str(&again).expect("JSON");
    assert_eq!((status, &again["events"][0]["hash"]), (201, &stored["hash"]), "{again}");
    let organization =
        read("/v1/organizations", HARVESTER)["items"][0]["id"].as_str().expect("an id").to_owned();
    let path = format!("/v1/organizations/{organization}/keys");
    let label = json!({"label": "weighbridge"});
    let (status, made) = post(server.address, &path, OPERATOR, Some("key-of-the-weighbridge"), &label);
    assert_eq!(status, 409, "{made}");
    assert!(made.contains("/problems/already-created") && made.contains("not stored: key "), "{made}");
    drop(server);
}
