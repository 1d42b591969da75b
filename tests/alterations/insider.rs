//! One test per threat: what an insider with every right in the database may try.

use crate::scene::{Scene, run};
use ormantrace::commands::fsck::{Code, FsckError, Published};
use ormantrace::evidence::chain::Hash;
use ormantrace::evidence::chain::bytes::{
    Entry, Part, Salt, Secret, SubjectKind, commit, record, subject_ref,
};
use ormantrace::evidence::tlog::Signer;
use ormantrace::evidence::tlog::note::Kind;
use sqlx::{AssertSqlSafe, PgConnection, Row};
use uuid::Uuid;

/// The log that carries this seal, or carried it before its replacement.
pub async fn log(db: &mut PgConnection, seal: &str) -> Uuid {
    sqlx::query_scalar("SELECT log_id FROM log_seal WHERE seal_number = $1")
        .bind(seal)
        .fetch_one(db)
        .await
        .unwrap()
}

async fn last_seq(db: &mut PgConnection, subject: Uuid) -> i32 {
    sqlx::query_scalar("SELECT max(seq) FROM event WHERE subject_id = $1")
        .bind(subject)
        .fetch_one(db)
        .await
        .unwrap()
}

#[track_caller]
pub fn assert_named(found: &[FsckError], code: Code, event: (Uuid, i32)) {
    let told: Vec<_> = found.iter().map(ToString::to_string).collect();
    assert!(
        found.iter().any(|finding| finding.code == code && finding.event == Some(event)),
        "no {code} {event:?} in {told:#?}"
    );
}

async fn of(db: &mut PgConnection, sql: &str, subject: Uuid, seq: i32) {
    let done = sqlx::query(AssertSqlSafe(sql.to_owned())).bind(subject).bind(seq).execute(db).await;
    assert!(done.unwrap().rows_affected() > 0, "{sql}");
}

#[tokio::test]
async fn an_honest_database_has_no_findings() {
    let scene = Scene::new().await;
    let mut db = scene.world.owner().await;
    let mut found = Vec::new();
    let scope =
        ormantrace::commands::fsck::Scope { published: Some(scene.published.clone()), ..Default::default() };
    let summary = ormantrace::commands::fsck::check(&mut db, &scope, &mut found).await.unwrap();
    assert_eq!(found, []);
    assert!(summary.is_clean() && summary.published.is_some(), "{summary}");
    let rows =
        |pass: &str| summary.checked.iter().find(|(known, _)| *known == pass).map_or(0, |(_, rows)| *rows);
    let stored: i64 = sqlx::query_scalar("SELECT count(*) FROM event").fetch_one(&mut db).await.unwrap();
    assert_eq!(
        (rows("events"), rows("rows of search columns")),
        (stored.unsigned_abs(), stored.unsigned_abs())
    );
    assert!(rows("leaves") > 20 && rows("seals") == 16 && rows("erasures") == 3, "{summary}");
}

#[tokio::test]
async fn insider_deletes_the_last_event() {
    let scene = Scene::new().await;
    let mut db = scene.insider().await;
    let subject = log(&mut db, &scene.logs[0]).await;
    let last = last_seq(&mut db, subject).await;
    of(&mut db, "DELETE FROM event WHERE subject_id = $1 AND seq = $2", subject, last).await;
    // The insider also sets the log's row back, as if the event had never existed.
    of(
        &mut db,
        "UPDATE log SET head_seq = $2 - 1, head_hash = e.hash, head_received_at = e.received_at
         FROM event e WHERE log.id = $1 AND e.subject_id = $1 AND e.seq = $2 - 1",
        subject,
        last,
    )
    .await;
    assert_named(&scene.found(&mut db).await, Code::EventMissing, (subject, last));
    // The insider also deletes the leaf. The published register still has it.
    of(&mut db, "DELETE FROM leaf WHERE subject_id = $1 AND seq = $2", subject, last).await;
    let found = scene.found(&mut db).await;
    assert!(found.iter().any(|finding| finding.code == Code::LeafGap), "{found:?}");
}

#[tokio::test]
async fn insider_deletes_an_event_in_the_middle() {
    let scene = Scene::new().await;
    let mut db = scene.insider().await;
    let subject = log(&mut db, &scene.logs[0]).await;
    of(&mut db, "DELETE FROM event WHERE subject_id = $1 AND seq = $2", subject, 3).await;
    let found = scene.found(&mut db).await;
    assert_named(&found, Code::EventMissing, (subject, 3));
    let altered: Vec<_> = found.iter().filter(|finding| finding.code == Code::EventAltered).collect();
    assert!(altered.is_empty(), "other events are reported: {altered:?}");
}

#[tokio::test]
async fn insider_inserts_an_event() {
    let scene = Scene::new().await;
    let mut db = scene.insider().await;
    let subject = log(&mut db, &scene.logs[0]).await;
    let behind = last_seq(&mut db, subject).await + 1;
    of(
        &mut db,
        "INSERT INTO event SELECT subject_id, $2, subject_kind, received_at, hash, secret, public, business,
             personal_commitment, personal_id, type, organization_id, operation_id, occurred_at, region
         FROM event WHERE subject_id = $1 AND seq = $2 - 1",
        subject,
        behind,
    )
    .await;
    // Then the insider makes the chain consistent again: the new event gets the right hash, and becomes the
    // head.
    rehash(&mut db, subject, behind, false).await;
    let found = scene.found(&mut db).await;
    assert_named(&found, Code::LeafMissing, (subject, behind));
}

#[tokio::test]
async fn insider_swaps_two_events() {
    let scene = Scene::new().await;
    let mut db = scene.insider().await;
    let subject = log(&mut db, &scene.logs[0]).await;
    of(&mut db, "UPDATE event SET seq = seq + 100 WHERE subject_id = $1 AND seq = $2", subject, 3).await;
    of(&mut db, "UPDATE event SET seq = seq - 1 WHERE subject_id = $1 AND seq = $2", subject, 4).await;
    of(&mut db, "UPDATE event SET seq = 4 WHERE subject_id = $1 AND seq = $2", subject, 103).await;
    let found = scene.found(&mut db).await;
    assert_named(&found, Code::EventAltered, (subject, 3));
    assert_named(&found, Code::EventAltered, (subject, 4));
}

/// Recomputes a chain from event `from`, including the head; with `leaves`, also the register's leaves.
pub async fn rehash(db: &mut PgConnection, subject: Uuid, from: i32, leaves: bool) {
    let salt: Vec<u8> = sqlx::query_scalar("SELECT salt FROM log WHERE id = $1")
        .bind(subject)
        .fetch_one(&mut *db)
        .await
        .unwrap();
    let subject_ref = subject_ref(SubjectKind::Log, subject, &Salt(salt.try_into().unwrap()));
    let rows = sqlx::query("SELECT * FROM event WHERE subject_id = $1 ORDER BY seq")
        .bind(subject)
        .fetch_all(&mut *db)
        .await
        .unwrap();
    let mut prev = Hash::ZERO;
    for row in rows {
        let seq: i32 = row.get("seq");
        if seq < from {
            prev = Hash::from_slice(row.get("hash")).unwrap();
            continue;
        }
        let secret = Secret(row.get::<&[u8], _>("secret").try_into().unwrap());
        let personal: Option<&[u8]> = row.get("personal_commitment");
        let record = record(
            commit(Part::Public, &secret.salt(Part::Public), row.get("public")),
            commit(Part::Business, &secret.salt(Part::Business), row.get("business")),
            personal.map_or(Hash::ZERO, |bytes| Hash::from_slice(bytes).unwrap()),
        );
        let entry = Entry::new(subject_ref, seq.try_into().unwrap(), row.get("received_at"), prev, record);
        prev = entry.link();
        let sql = "UPDATE event SET hash = $3 WHERE subject_id = $1 AND seq = $2";
        sqlx::query(sql).bind(subject).bind(seq).bind(prev.0.as_slice()).execute(&mut *db).await.unwrap();
        let sql = "UPDATE log SET head_seq = $2, head_hash = $3 WHERE id = $1";
        sqlx::query(sql).bind(subject).bind(seq).bind(prev.0.as_slice()).execute(&mut *db).await.unwrap();
        if leaves {
            let sql = "UPDATE leaf SET entry = $3 WHERE subject_id = $1 AND seq = $2";
            sqlx::query(sql)
                .bind(subject)
                .bind(seq)
                .bind(entry.as_bytes().as_slice())
                .execute(&mut *db)
                .await
                .unwrap();
        }
    }
}

#[tokio::test]
async fn insider_recomputes_a_chain() {
    let scene = Scene::new().await;
    let mut db = scene.insider().await;
    let subject = log(&mut db, &scene.logs[0]).await;
    of(
        &mut db,
        "UPDATE event SET business = replace(business, '123 ABC 10', '777 KZT 10') WHERE subject_id = $1 AND seq = $2",
        subject,
        3,
    )
    .await;
    // The event that records the receipt of the log removes the vehicle from the present state. So no other
    // row contradicts the edited event.
    run(&mut db, "SAVEPOINT edited").await;
    rehash(&mut db, subject, 3, false).await;
    let found = scene.found(&mut db).await;
    assert!(found.iter().all(|finding| finding.code != Code::EventAltered), "{found:?}");
    assert_named(&found, Code::LeafDiffers, (subject, 3));
    run(&mut db, "ROLLBACK TO edited").await;
    rehash(&mut db, subject, 3, true).await;
    let found = scene.found(&mut db).await;
    assert!(found.iter().all(|finding| finding.code != Code::LeafDiffers), "{found:?}");
    assert_named(&found, Code::TileDiffers, (subject, 3));
    assert!(found.iter().any(|finding| finding.code == Code::RootDiffers), "{found:?}");
    // Without the published register the edit cannot be detected: this is the reason for publishing it.
    assert_eq!(scene.found_beside(&mut db, None).await, []);
}

#[tokio::test]
async fn insider_unvoids_a_seal() {
    let scene = Scene::new().await;
    let mut db = scene.insider().await;
    let row = sqlx::query("SELECT number, batch_id, log_id FROM seal WHERE void_reason = 'lost'")
        .fetch_one(&mut db)
        .await
        .unwrap();
    let (number, batch): (String, Uuid) = (row.get(0), row.get(1));
    run(
        &mut db,
        &format!("UPDATE seal SET status = 'applied', void_reason = NULL WHERE number = '{number}'"),
    )
    .await;
    let found = scene.found(&mut db).await;
    assert!(
        found.iter().any(|f| f.code == Code::StateDiffers && f.table == "seal" && f.key == number),
        "{found:?}"
    );
    // Now the insider also deletes the row that records the voiding; the event that voided the seal remains.
    let seq: i32 = sqlx::query_scalar("SELECT seq FROM seal_move WHERE number = $1")
        .bind(&number)
        .fetch_one(&mut db)
        .await
        .unwrap();
    run(&mut db, &format!("DELETE FROM seal_move WHERE number = '{number}'")).await;
    assert_named(&scene.found(&mut db).await, Code::RowMissing, (batch, seq));
}

#[tokio::test]
async fn insider_raises_a_ticket_line() {
    let scene = Scene::new().await;
    let mut db = scene.insider().await;
    for change in ["permitted_m3 = permitted_m3 + 50", "marked_m3 = marked_m3 - 0.33"] {
        run(&mut db, "SAVEPOINT before").await;
        let sql = format!(
            "UPDATE ticket_line SET {change} WHERE ticket_id = '{}' AND wood = 'commercial'",
            scene.ticket
        );
        assert_eq!(run(&mut db, &sql).await, 1);
        assert_named(&scene.found(&mut db).await, Code::StateDiffers, (scene.ticket, 1));
        run(&mut db, "ROLLBACK TO before").await;
    }
}

#[tokio::test]
async fn insider_removes_or_redirects_a_person() {
    let scene = Scene::new().await;
    let mut db = scene.insider().await;
    let subject = log(&mut db, &scene.logs[1]).await;
    let erased: Uuid = sqlx::query_scalar(
        "SELECT personal_id FROM harvest h WHERE NOT EXISTS (SELECT FROM personal p WHERE p.id = h.personal_id)",
    )
    .fetch_one(&mut db)
    .await
    .unwrap();
    let edits = [
        format!(
            "UPDATE event SET personal_id = gen_random_uuid() WHERE subject_id = '{subject}' AND seq = 1"
        ),
        // The event now refers to the personal part of another person, whom a recorded erasure covers.
        format!("UPDATE event SET personal_id = '{erased}' WHERE subject_id = '{subject}' AND seq = 1"),
        format!(
            "DELETE FROM personal WHERE id = (SELECT personal_id FROM event WHERE subject_id = '{subject}' AND seq = 1)"
        ),
    ];
    for edit in edits {
        run(&mut db, "SAVEPOINT before").await;
        assert_eq!(run(&mut db, &edit).await, 1);
        assert_named(&scene.found(&mut db).await, Code::PersonalMissing, (subject, 1));
        run(&mut db, "ROLLBACK TO before").await;
    }
}

#[tokio::test]
async fn insider_drops_a_leaf() {
    let scene = Scene::new().await;
    let mut db = scene.insider().await;
    let row = sqlx::query("DELETE FROM leaf WHERE index = 11 RETURNING subject_id, seq")
        .fetch_one(&mut db)
        .await
        .unwrap();
    let event = (row.get(0), row.get(1));
    let found = scene.found(&mut db).await;
    assert_named(&found, Code::LeafMissing, event);
    assert!(found.iter().any(|f| f.code == Code::LeafGap && f.key == "11"), "{found:?}");
    // The following leaves get the next lower index, as if the leaf had never existed.
    run(&mut db, "UPDATE leaf SET index = -index WHERE index > 11; UPDATE leaf SET index = -index - 1 WHERE index < 0; UPDATE register SET size = size - 1").await;
    let found = scene.found(&mut db).await;
    assert_named(&found, Code::LeafMissing, event);
    assert!(found.iter().any(|f| f.code == Code::TileDiffers), "{found:?}");
}

#[tokio::test]
async fn insider_reorders_leaves() {
    let scene = Scene::new().await;
    let mut db = scene.insider().await;
    let rows = sqlx::query("SELECT subject_id, seq FROM leaf WHERE index IN (8, 9)")
        .fetch_all(&mut db)
        .await
        .unwrap();
    run(&mut db, "UPDATE leaf SET index = -1 WHERE index = 8; UPDATE leaf SET index = 8 WHERE index = 9; UPDATE leaf SET index = 9 WHERE index = -1").await;
    let found = scene.found(&mut db).await;
    for row in rows {
        assert_named(&found, Code::TileDiffers, (row.get(0), row.get(1)));
    }
}

#[tokio::test]
async fn old_backup_restored() {
    let scene = Scene::new().await;
    let mut db = scene.insider().await;
    let size: i64 = sqlx::query_scalar("SELECT count(*) FROM leaf").fetch_one(&mut db).await.unwrap();
    run(&mut db, &format!("DELETE FROM leaf WHERE index >= {0}; UPDATE register SET size = {0}", size - 10))
        .await;
    let found = scene.found(&mut db).await;
    assert!(found.iter().any(|f| f.code == Code::PublishedLarger), "{found:?}");
}

#[tokio::test]
async fn two_histories_shown() {
    let scene = Scene::new().await;
    let mut db = scene.world.owner().await;
    run(&mut db, "BEGIN").await;
    let name = scene.published.keys[0].name();
    let other = Signer::from_seed(name, Kind::Text, &[4; 32]).unwrap();
    let published = Published { keys: vec![other.verifier().clone()], ..scene.published.clone() };
    let found = scene.found_beside(&mut db, Some(published)).await;
    let codes: Vec<Code> = found.iter().map(|finding| finding.code).collect();
    assert_eq!(codes, [Code::SignatureInvalid; 2], "checkpoint and state/checkpoint");
    let tile = walk(&scene.published.folder.join("tile/entries"));
    let mut bytes = std::fs::read(&tile).unwrap();
    bytes[7] ^= 1;
    std::fs::write(&tile, bytes).unwrap();
    let found = scene.found(&mut db).await;
    assert!(found.len() == 1 && found[0].code == Code::TileDiffers && found[0].event.is_some(), "{found:?}");
}

/// The first file below a folder.
fn walk(folder: &std::path::Path) -> std::path::PathBuf {
    let mut entries: Vec<_> = std::fs::read_dir(folder).unwrap().map(|entry| entry.unwrap().path()).collect();
    entries.sort();
    let first = entries.remove(0);
    if first.is_dir() { walk(&first) } else { first }
}
