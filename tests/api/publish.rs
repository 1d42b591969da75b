//! The publisher against a database: what it reads, what it refuses, and which failures it survives.

use crate::world::World;
use ormantrace::evidence::chain::bytes::{Entry, Hash};
use ormantrace::evidence::register::publish::{PublishError, PublishSettings, Publisher};
use ormantrace::evidence::register::tree_writer::TreeWriterError;
use ormantrace::evidence::tlog::note::{Kind, Note, Signer, VerifierKey};
use ormantrace::evidence::tlog::tree::{is_consistent, leaf_hash, root_of};
use ormantrace::evidence::tlog::{Checkpoint, Folder};
use sqlx::{ConnectOptions, Connection, Executor, PgConnection};
use std::path::Path;
use std::time::Duration;
use tokio::sync::oneshot;
use tokio::task::JoinHandle;

const ORIGIN: &str = "orman.test/register";

/// Leaf `number` of a test tree. `history` selects the tree: two trees with different `history` have
/// different records.
fn leaf(history: u8, number: u64) -> Vec<u8> {
    let at = "2026-10-05T05:00:00Z".parse().unwrap();
    let seq = u32::try_from(number).unwrap() + 1;
    Entry::new(Hash([history; 32]), seq, at, Hash::ZERO, Hash([7; 32])).as_bytes().to_vec()
}

fn root(size: u64) -> Hash {
    root_of(&(0..size).map(|n| leaf_hash(&leaf(1, n))).collect::<Vec<_>>())
}

/// Puts leaves into the database, as the sequencer does.
async fn sequence(owner: &mut PgConnection, history: u8, from: u64, to: u64) {
    let index: Vec<i64> = (from..to).map(|n| i64::try_from(n).unwrap()).collect();
    let entries: Vec<Vec<u8>> = (from..to).map(|n| leaf(history, n)).collect();
    sqlx::query(
        "INSERT INTO leaf (index, entry, subject_id, seq, sequenced_at)
         SELECT index, entry, gen_random_uuid(), 1, clock_timestamp() FROM unnest($1::bigint[], $2::bytea[]) AS u (index, entry)",
    )
    .bind(index)
    .bind(entries)
    .execute(owner)
    .await
    .unwrap();
}

/// Runs SQL that only the owner of the tables can run, with triggers disabled.
async fn meddle(owner: &mut PgConnection, sql: &'static str) {
    owner.execute("ALTER TABLE leaf DISABLE TRIGGER USER").await.unwrap();
    owner.execute(sql).await.unwrap();
    owner.execute("ALTER TABLE leaf ENABLE TRIGGER USER").await.unwrap();
}

fn settings(dir: &Path) -> PublishSettings {
    PublishSettings {
        keys: vec![dir.join("register.key")],
        origin: Some(ORIGIN.to_owned()),
        witnesses: Vec::new(),
        witness_ca: None,
        quorum: 0,
        quick: false,
        begin: false,
        poll: Duration::from_millis(10),
    }
}

fn folder(dir: &Path) -> Folder {
    Folder::new(dir.join("register"))
}

fn open(world: &World, dir: &Path, settings: PublishSettings) -> Result<Publisher, PublishError> {
    Publisher::open(settings, folder(dir), world.publisher(), world.clock.clone())
}

/// A publisher at work.
struct Running {
    stop: oneshot::Sender<()>,
    ended: JoinHandle<Result<(), PublishError>>,
}

impl Running {
    fn start(world: &World, dir: &Path) -> Self {
        let publisher = open(world, dir, settings(dir)).unwrap();
        let (stop, stopped) = oneshot::channel();
        Self { stop, ended: tokio::spawn(publisher.run(async { drop(stopped.await) })) }
    }

    async fn until(&self, dir: &Path, size: u64) -> Checkpoint {
        loop {
            if let Some(checkpoint) = published(dir).filter(|checkpoint| checkpoint.size >= size) {
                return checkpoint;
            }
            assert!(!self.ended.is_finished(), "it ended before {size} leaves were published");
            tokio::time::sleep(Duration::from_millis(5)).await;
        }
    }

    async fn stop(self) {
        let _ = self.stop.send(());
        self.ended.await.unwrap().unwrap();
    }
}

fn key(dir: &Path) -> VerifierKey {
    Signer::load(&dir.join("register.key")).unwrap().verifier().clone()
}

fn published(dir: &Path) -> Option<Checkpoint> {
    let note = Note::parse(&folder(dir).published().unwrap()?).unwrap();
    Some(Checkpoint::open(&note, &[key(dir)]).unwrap())
}

/// Publishes the leaves up to `size`, and stops.
async fn publish(world: &World, dir: &Path, size: u64) {
    let running = Running::start(world, dir);
    running.until(dir, size).await;
    running.stop().await;
}

/// The error with which a publisher on this database ends.
async fn refusal(world: &World, dir: &Path, quick: bool) -> PublishError {
    let publisher = open(world, dir, PublishSettings { quick, ..settings(dir) }).unwrap();
    let ended = tokio::time::timeout(Duration::from_mins(2), publisher.run(std::future::pending())).await;
    ended.expect("it publishes and does not end").unwrap_err()
}

#[tokio::test(flavor = "multi_thread")]
async fn the_publishers_role_reads_two_columns_and_nothing_else() {
    let world = World::new().await;
    sequence(&mut world.owner().await, 1, 0, 3).await;
    let mut publisher = world.publisher().connect().await.unwrap();
    let rows: i64 = sqlx::query_scalar("SELECT count(*) FROM (SELECT index, entry FROM leaf) AS leaves")
        .fetch_one(&mut publisher)
        .await
        .unwrap();
    assert_eq!(rows, 3);
    for sql in [
        "SELECT subject_id FROM leaf",
        "SELECT seq FROM leaf",
        "SELECT sequenced_at FROM leaf",
        "SELECT * FROM leaf",
        "SELECT 1 FROM event",
        "SELECT 1 FROM leaf_queue",
        "SELECT 1 FROM register",
        "SELECT 1 FROM organization",
        "SELECT 1 FROM server_secret",
        "INSERT INTO leaf (index, entry) VALUES (9, '')",
        "UPDATE leaf SET entry = entry",
        "DELETE FROM leaf",
        "TRUNCATE leaf",
        "CREATE TABLE birch ()",
    ] {
        let error = publisher.execute(sql).await.expect_err(sql);
        let code = error
            .as_database_error()
            .and_then(sqlx::error::DatabaseError::code)
            .map(std::borrow::Cow::into_owned);
        assert_eq!(code.as_deref(), Some("42501"), "{sql}: {error}");
    }
}

#[tokio::test(flavor = "multi_thread")]
async fn what_is_sequenced_is_published() {
    let world = World::new().await;
    let mut owner = world.owner().await;
    let place = tempfile::tempdir().unwrap();
    let dir = place.path();
    let running = Running::start(&world, dir);
    assert_eq!(running.until(dir, 0).await.size, 0, "the empty register is published too");
    let mut before = published(dir).unwrap();
    for (from, to) in [(0, 1), (1, 256), (256, 700)] {
        sequence(&mut owner, 1, from, to).await;
        let now = running.until(dir, to).await;
        assert_eq!((now.origin.as_str(), now.size, now.root), (ORIGIN, to, root(to)));
        let proof = folder(dir).tree(to).consistency(before.size).unwrap();
        assert!(is_consistent(before.size, before.root, now.size, now.root, &proof));
        before = now;
    }
    let keys: serde_json::Value = serde_json::from_slice(&folder(dir).keys().unwrap().unwrap()).unwrap();
    assert_eq!(keys["keys"], serde_json::json!([key(dir).to_string()]));
    assert_eq!(keys["standing"], "signed, witnessed by 0 of 0");
    for index in [0, 255, 256, 699] {
        assert_eq!(folder(dir).entry(index, 700).unwrap().to_vec(), leaf(1, index));
    }
    running.stop().await;
    // A restarted publisher compares every leaf with its tree and continues.
    sequence(&mut owner, 1, 700, 9000).await;
    publish(&world, dir, 9000).await;
    assert_eq!(published(dir).unwrap().root, root(9000));
}

#[tokio::test(flavor = "multi_thread")]
async fn two_publishers_do_not_share_a_folder() {
    let world = World::new().await;
    let place = tempfile::tempdir().unwrap();
    let running = Running::start(&world, place.path());
    let second = open(&world, place.path(), settings(place.path())).unwrap_err();
    assert!(matches!(second, PublishError::InUse { .. }), "{second}");
    running.stop().await;
    // Where file locks do not work (on some network disks), two publishers may use one folder. A publisher
    // then stops when it finds a checkpoint that the other one has signed.
    let folder_of_both = folder(place.path());
    publish(&world, place.path(), 0).await;
    let running = Running::start(&world, place.path());
    running.until(place.path(), 0).await;
    let signed = Note::parse(&folder_of_both.signed().unwrap().unwrap()).unwrap();
    let signer = Signer::from_seed("other.test/register", Kind::Text, &[4; 32]).unwrap();
    let other = Note::sign(signed.text().to_owned(), &[&signer], world.clock.now()).unwrap();
    folder_of_both.swap_signed(Some(signed.to_string().as_bytes()), &other).unwrap();
    sequence(&mut world.owner().await, 1, 0, 1).await;
    let overtaken = running.ended.await.unwrap().unwrap_err();
    assert!(matches!(overtaken, PublishError::Writer(TreeWriterError::Overtaken(_))), "{overtaken}");
}

#[tokio::test(flavor = "multi_thread")]
async fn an_old_backup_is_refused() {
    let world = World::new().await;
    let mut owner = world.owner().await;
    let place = tempfile::tempdir().unwrap();
    let dir = place.path();
    sequence(&mut owner, 1, 0, 300).await;
    let running = Running::start(&world, dir);
    running.until(dir, 300).await;
    // A running publisher detects the missing leaves.
    meddle(&mut owner, "DELETE FROM leaf WHERE index >= 200").await;
    let shorter = |error: PublishError| {
        assert!(matches!(error, PublishError::Shorter { database: 200, signed: 300 }), "{error}");
        assert!(error.to_string().contains("an old backup was restored"), "{error}");
    };
    shorter(running.ended.await.unwrap().unwrap_err());
    // Every later start detects the lost leaves too, with a quick start or a complete one.
    shorter(refusal(&world, dir, false).await);
    shorter(refusal(&world, dir, true).await);
    // New records at the indices of the lost ones make the tree differ from the published one.
    sequence(&mut owner, 2, 200, 400).await;
    for quick in [false, true] {
        let error = refusal(&world, dir, quick).await;
        let first_told = if quick { 256 } else { 200 };
        assert!(matches!(error, PublishError::Rewritten(leaf) if leaf == first_told), "{error}");
    }
    assert_eq!(published(dir).unwrap().size, 300, "nothing more was signed");
    // After the original leaves are restored, the publisher continues.
    meddle(&mut owner, "DELETE FROM leaf WHERE index >= 200").await;
    sequence(&mut owner, 1, 200, 310).await;
    publish(&world, dir, 310).await;
    assert_eq!(published(dir).unwrap().root, root(310));
}

/// Test of a start with the key and a database with leaves, but without the register's folder. Such a start
/// is refused, because it could begin the register a second time.
#[tokio::test(flavor = "multi_thread")]
async fn a_lost_folder_is_begun_again_only_on_purpose() {
    let world = World::new().await;
    let place = tempfile::tempdir().unwrap();
    let dir = place.path();
    // The key may be made beforehand, to configure the witnesses: with an empty database this is still a
    // first start.
    Signer::load_or_create(&dir.join("register.key"), ORIGIN, Kind::Text).unwrap();
    publish(&world, dir, 0).await;
    sequence(&mut world.owner().await, 1, 0, 300).await;
    publish(&world, dir, 300).await;
    std::fs::rename(dir.join("register"), dir.join("elsewhere")).unwrap();
    for _ in 0..2 {
        let refused = refusal(&world, dir, false).await;
        assert!(matches!(refused, PublishError::Begun { leaves: 300, .. }), "{refused}");
        assert!(refused.to_string().contains("give --begin"), "{refused}");
        assert_eq!(folder(dir).signed().unwrap(), None, "nothing was signed");
    }
    // The lost folder may be restored.
    std::fs::remove_dir_all(dir.join("register")).unwrap();
    std::fs::rename(dir.join("elsewhere"), dir.join("register")).unwrap();
    publish(&world, dir, 300).await;
    // Instead of restoring the folder, the operator can start a new register on purpose with `begin`. Later
    // starts do not need this option.
    std::fs::remove_dir_all(dir.join("register")).unwrap();
    let publisher = open(&world, dir, PublishSettings { begin: true, ..settings(dir) }).unwrap();
    assert_eq!(publisher.size(), 0);
    drop(publisher);
    publish(&world, dir, 300).await;
}

#[tokio::test(flavor = "multi_thread")]
async fn rewritten_rows_are_refused() {
    for (what, sql, told) in [
        (
            "one bit",
            "UPDATE leaf SET entry = set_byte(entry, 112, get_byte(entry, 112) # 1) WHERE index = 17",
            "Leaf 17 of the database is not the one that was signed",
        ),
        (
            "two swapped",
            "UPDATE leaf l SET entry = o.entry FROM leaf o WHERE l.index IN (40, 41) AND o.index = 81 - l.index",
            "Leaf 40 of the database",
        ),
        ("one left out", "DELETE FROM leaf WHERE index = 100", "leaf 100 is not there, and leaf 101 is"),
        ("the last tile", "UPDATE leaf SET entry = set_byte(entry, 1, 9) WHERE index = 299", "Leaf 299"),
        (
            "another layout",
            "UPDATE leaf SET entry = set_byte(entry, 0, 2) WHERE index = 5",
            "leaf 5 is no entry",
        ),
    ] {
        let world = World::new().await;
        let mut owner = world.owner().await;
        let place = tempfile::tempdir().unwrap();
        sequence(&mut owner, 1, 0, 300).await;
        publish(&world, place.path(), 300).await;
        meddle(&mut owner, sql).await;
        let refused = refusal(&world, place.path(), false).await.to_string();
        assert!(refused.contains(told), "{what}: {refused}");
    }
}

#[tokio::test(flavor = "multi_thread")]
async fn rows_altered_while_it_runs_are_not_signed() {
    let world = World::new().await;
    let mut owner = world.owner().await;
    let place = tempfile::tempdir().unwrap();
    let dir = place.path();
    sequence(&mut owner, 1, 0, 300).await;
    let running = Running::start(&world, dir);
    let before = running.until(dir, 300).await;
    meddle(&mut owner, "UPDATE leaf SET entry = set_byte(entry, 112, 0) WHERE index IN (17, 299)").await;
    sequence(&mut owner, 1, 300, 310).await;
    let now = running.until(dir, 310).await;
    // The publisher still has the tree of the original records, and the new checkpoint is consistent with the
    // earlier one.
    assert_eq!(now.root, root(310));
    let proof = folder(dir).tree(310).consistency(300).unwrap();
    assert!(is_consistent(300, before.root, 310, now.root, &proof));
    running.stop().await;
    assert!(matches!(refusal(&world, dir, false).await, PublishError::Rewritten(17)));
}

#[tokio::test(flavor = "multi_thread")]
async fn a_leaf_that_is_no_entry_is_not_signed() {
    let world = World::new().await;
    let mut owner = world.owner().await;
    let place = tempfile::tempdir().unwrap();
    let running = Running::start(&world, place.path());
    running.until(place.path(), 0).await;
    meddle(
        &mut owner,
        "INSERT INTO leaf VALUES (0, decode('02' || repeat('00', 112), 'hex'), gen_random_uuid(), 1, now())",
    )
    .await;
    let refused = running.ended.await.unwrap().unwrap_err();
    assert!(refused.to_string().contains("leaf 0 is no entry"), "{refused}");
    assert_eq!(published(place.path()).unwrap().size, 0);
    // The publisher also refuses to sign a tree if an index is missing among its leaves.
    meddle(&mut owner, "DELETE FROM leaf").await;
    sequence(&mut owner, 1, 1, 2).await;
    let refused = refusal(&world, place.path(), false).await;
    assert!(refused.to_string().contains("leaf 0 is not there, and leaf 1 is"), "{refused}");
}

#[tokio::test(flavor = "multi_thread")]
async fn after_a_reconnect_the_database_is_checked_again() {
    let world = World::new().await;
    let mut owner = world.owner().await;
    let place = tempfile::tempdir().unwrap();
    let dir = place.path();
    sequence(&mut owner, 1, 0, 300).await;
    let running = Running::start(&world, dir);
    running.until(dir, 300).await;
    let cut = "SELECT count(pg_terminate_backend(pid)) FROM pg_stat_activity
               WHERE datname = current_database() AND pid <> pg_backend_pid() AND query LIKE '%FROM leaf%'";
    let cut_off: i64 = sqlx::query_scalar(cut).fetch_one(&mut owner).await.unwrap();
    assert!(cut_off > 0);
    sequence(&mut owner, 1, 300, 301).await;
    running.until(dir, 301).await;
    // Alters a leaf while the publisher is disconnected, as if another database of the same length had been
    // restored.
    let mut busy = owner.begin().await.unwrap();
    busy.execute("ALTER TABLE leaf DISABLE TRIGGER USER").await.unwrap();
    busy.execute("UPDATE leaf SET entry = set_byte(entry, 112, 0) WHERE index = 300").await.unwrap();
    busy.commit().await.unwrap();
    let _: i64 = sqlx::query_scalar(cut).fetch_one(&mut owner).await.unwrap();
    let refused = running.ended.await.unwrap().unwrap_err();
    assert!(matches!(refused, PublishError::Rewritten(300)), "{refused}");
}
