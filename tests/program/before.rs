//! A database of an earlier version opens: it is migrated, passes `fsck`, answers as before, and its exports
//! are still verified.
//!
//! `tests/data/b5a8bbc` has what `ormantrace demo` of that commit made, with a few requests more: the dump of its
//! database, an export and the register's keys. Each migration that changes data adds another folder.

use crate::support::pg::TestDb;
use crate::support::process::{Running, data, get, post, run, text};
use serde_json::{Value, json};
use std::io::Read;
use std::path::{Path, PathBuf};

/// Keys of the demonstration.
const OPERATOR: &str = "demo-operator-key-not-for-production-0000001";
const HARVESTER: &str = "demo-harvester-key-not-for-production-0000001";
const INSPECTOR: &str = "demo-inspector-key-not-for-production-0000001";

fn folder() -> PathBuf {
    Path::new(env!("CARGO_MANIFEST_DIR")).join("tests/data/b5a8bbc")
}

/// The SQL statements of the dump. They set an empty search path for the connection that runs them.
fn dump() -> String {
    let packed = std::fs::read(folder().join("database.sql.gz")).expect("the dump");
    let mut sql = String::new();
    flate2::read::GzDecoder::new(packed.as_slice()).read_to_string(&mut sql).expect("gzip");
    sql
}

#[tokio::test]
async fn a_database_of_the_version_before_is_migrated_and_its_records_hold() {
    let database = TestDb::empty().await;
    let mut owner = database.owner().await;
    sqlx::raw_sql(sqlx::AssertSqlSafe(dump())).execute(&mut owner).await.expect("loaded");
    // Stored responses expire after 90 days. The dump will be older at some time, so the test renews the
    // times of its responses.
    let renewed = "UPDATE public.idempotency SET created_at = now(), body_until = now() + interval '90 days'";
    sqlx::query(renewed).execute(&mut owner).await.expect("renewed");
    drop(owner);
    let url = database.url();
    tokio::task::spawn_blocking(move || records_hold(&url)).await.expect("no panic");
    drop(database);
}

fn records_hold(url: &str) {
    let fsck = || run(&["fsck", "--database-url", url]);
    let before = fsck();
    assert_eq!(before.status.code(), Some(2), "{}", text(&before.stderr));
    assert!(text(&before.stderr).contains("ormantrace migrate"), "{}", text(&before.stderr));
    let migrated = run(&["migrate", "--database-url", url]);
    assert!(migrated.status.success(), "{}", text(&migrated.stderr));
    let after = fsck();
    assert_eq!(after.status.code(), Some(0), "{}{}", text(&after.stdout), text(&after.stderr));

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

    let keys: Value =
        serde_json::from_slice(&std::fs::read(folder().join("keys.json")).expect("keys")).expect("JSON");
    let key = keys["keys"][0].as_str().expect("a key");
    let export = folder().join("log-DEMO-000076.json");
    let verified = run(&["verify", export.to_str().expect("UTF-8"), "--trust", key, "--seal", "DEMO-000076"]);
    assert!(verified.status.success(), "{}", text(&verified.stdout));
}
