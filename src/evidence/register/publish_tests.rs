use super::*;
use crate::evidence::register::witness::Witness;
use crate::evidence::tlog::checkpoint::{Checkpoint, Policy};
use crate::evidence::tlog::disk::{Call, Disk};
use crate::net::server::{Server, ServerSettings};
use chrono::DateTime;
use futures_util::FutureExt as _;
use futures_util::future::FusedFuture as _;
use std::path::Path;
use std::sync::atomic::{AtomicBool, Ordering};
use tokio::io::AsyncReadExt as _;
use tokio::task::JoinHandle;

const ORIGIN: &str = "register.example/timber";

fn entries(from: u64, to: u64) -> Vec<[u8; ENTRY_LEN]> {
    let entry = |number: u64| {
        let mut entry = [1; ENTRY_LEN];
        entry[33..41].copy_from_slice(&number.to_be_bytes());
        entry
    };
    (from..to).map(entry).collect()
}

fn clock() -> Clock {
    Clock::held(DateTime::UNIX_EPOCH)
}

fn settings(dir: &Path, witnesses: Vec<WitnessAddress>, quorum: usize) -> PublishSettings {
    PublishSettings {
        keys: vec![dir.join("register.key")],
        origin: Some(ORIGIN.to_owned()),
        witnesses,
        witness_ca: None,
        quorum,
        quick: false,
        // Some tests create the key before they open the publisher. Without `begin`, the publisher would
        // first check that the database has no leaves, but these tests have no database.
        begin: true,
        poll: Duration::from_millis(10),
    }
}

/// A publisher that never connects to its database.
fn open(dir: &Path, settings: PublishSettings) -> Result<Publisher, PublishError> {
    Publisher::open(
        settings,
        Folder::new(dir.join("register")),
        PgConnectOptions::new_without_pgpass(),
        clock(),
    )
}

fn witness(dir: &Path, publisher_key: &Path, seed: u8) -> Arc<Witness> {
    let register = Signer::load_or_create(publisher_key, ORIGIN, Kind::Text).unwrap();
    let key = Signer::from_seed(&format!("witness{seed}.example"), Kind::Cosignature, &[seed; 32]).unwrap();
    let dir = dir.join(format!("witness{seed}"));
    let watched = vec![register.verifier().clone()];
    Arc::new(Witness::open(&dir, Disk::system(), key, watched, clock()).unwrap())
}

/// Serves a witness; ends with the task.
fn listen(witness: &Arc<Witness>, listener: std::net::TcpListener) -> JoinHandle<()> {
    listener.set_nonblocking(true).unwrap();
    let server =
        Server::new(tokio::net::TcpListener::from_std(listener).unwrap(), ServerSettings::default()).unwrap();
    tokio::spawn(crate::http::witness::serve(Arc::clone(witness), server, std::future::pending()))
}

fn port() -> (std::net::TcpListener, String) {
    let listener = std::net::TcpListener::bind("127.0.0.1:0").unwrap();
    let url = format!("http://{}", listener.local_addr().unwrap());
    (listener, url)
}

fn standing(dir: &Path) -> serde_json::Value {
    let json = Folder::new(dir.join("register")).keys().unwrap().unwrap();
    serde_json::from_slice(&json).unwrap()
}

#[tokio::test]
async fn with_too_few_witnesses_it_signs_and_says_so() {
    let temp = tempfile::tempdir().unwrap();
    let dir = temp.path();
    let key_file = dir.join("register.key");
    let witnesses: Vec<_> = (2..4).map(|seed| witness(dir, &key_file, seed)).collect();
    let (first, first_url) = port();
    let (second, second_url) = port();
    let addresses = vec![
        WitnessAddress::new(&first_url, witnesses[0].key().clone()).unwrap(),
        WitnessAddress::new(&second_url, witnesses[1].key().clone()).unwrap(),
    ];
    let serving = listen(&witnesses[0], first);
    // No witness listens at the second address yet.
    drop(second);
    let mut publisher = open(dir, settings(dir, addresses.clone(), 2)).unwrap();
    publisher.round(&entries(0, 300)).await.unwrap();
    assert_eq!(standing(dir)["standing"], "signed, witnessed by 1 of 2; 2 are asked for");
    assert_eq!(standing(dir)["quorum_reached"], false);
    let policy = Policy {
        registers: publisher.keys().verifiers().cloned().collect(),
        witnesses: addresses.iter().map(|address| address.key.clone()).collect(),
        quorum: 2,
    };
    let published = || Note::parse(&Folder::new(dir.join("register")).published().unwrap().unwrap()).unwrap();
    let seen = policy.check(&published()).unwrap();
    assert_eq!((seen.checkpoint.size, seen.witnesses.len(), seen.quorum), (300, 1, false));
    // The second witness starts. The published checkpoint gets its cosignature, although there is no new
    // leaf.
    let again = std::net::TcpListener::bind(second_url.trim_start_matches("http://")).unwrap();
    let second = listen(&witnesses[1], again);
    while !policy.check(&published()).unwrap().quorum {
        publisher.round(&[]).await.unwrap();
        tokio::task::yield_now().await;
    }
    assert_eq!(standing(dir)["standing"], "signed, witnessed by 2 of 2");
    // After a restart the published checkpoint still has the cosignatures, although no witness responds now.
    serving.abort();
    second.abort();
    let _ = (serving.await, second.await);
    drop(publisher);
    let mut publisher = open(dir, settings(dir, addresses, 2)).unwrap();
    publisher.round(&[]).await.unwrap();
    assert!(policy.check(&published()).unwrap().quorum);
    assert_eq!(witnesses[1].size_of(ORIGIN), 300);
}

/// If the publisher does not know how many leaves a witness has cosigned, the witness returns that number,
/// and the publisher then sends a proof from that size.
#[tokio::test]
async fn a_witness_is_met_where_it_is() {
    let temp = tempfile::tempdir().unwrap();
    let dir = temp.path();
    let witness = witness(dir, &dir.join("register.key"), 2);
    let (listener, url) = port();
    let address = WitnessAddress::new(&url, witness.key().clone()).unwrap();
    let _serving = listen(&witness, listener);
    for (from, to) in [(0, 5), (5, 700), (700, 701)] {
        let mut publisher = open(dir, settings(dir, vec![address.clone()], 1)).unwrap();
        publisher.round(&entries(from, to)).await.unwrap();
        assert_eq!(witness.size_of(ORIGIN), to);
        assert_eq!(standing(dir)["witnessed_by"], serde_json::json!(["witness2.example"]));
    }
    // A second history of the same register, as it results if folder and database are restored from a backup
    // and then other records are added.
    let elsewhere = tempfile::tempdir().unwrap();
    std::fs::copy(dir.join("register.key"), elsewhere.path().join("register.key")).unwrap();
    let mut other = open(elsewhere.path(), settings(elsewhere.path(), vec![address.clone()], 1)).unwrap();
    other.round(&entries(1000, 1500)).await.unwrap();
    assert_eq!(standing(elsewhere.path())["quorum_reached"], false, "a shorter history");
    other.round(&entries(1500, 2500)).await.unwrap();
    let mut other = {
        drop(other);
        open(elsewhere.path(), settings(elsewhere.path(), vec![address], 1)).unwrap()
    };
    other.round(&entries(2500, 2600)).await.unwrap();
    assert_eq!(standing(elsewhere.path())["quorum_reached"], false, "a longer one that does not follow");
    assert_eq!(witness.size_of(ORIGIN), 701);
}

/// Accepts every connection, reads requests and never responds; returns whether a client has disconnected.
fn black_hole(listener: std::net::TcpListener) -> Arc<AtomicBool> {
    let given_up = Arc::new(AtomicBool::new(false));
    let flag = Arc::clone(&given_up);
    listener.set_nonblocking(true).unwrap();
    let listener = tokio::net::TcpListener::from_std(listener).unwrap();
    tokio::spawn(async move {
        while let Ok((mut stream, _)) = listener.accept().await {
            let flag = Arc::clone(&flag);
            tokio::spawn(async move {
                while stream.read(&mut [0; 4096]).await.is_ok_and(|read| read > 0) {}
                flag.store(true, Ordering::SeqCst);
            });
        }
    });
    given_up
}

#[tokio::test]
async fn a_witness_that_never_answers_delays_nothing() {
    let temp = tempfile::tempdir().unwrap();
    let dir = temp.path();
    let (listener, url) = port();
    let key = Signer::from_seed("hole.example", Kind::Cosignature, &[2; 32]).unwrap();
    let given_up = black_hole(listener);
    let addresses = vec![WitnessAddress::new(&url, key.verifier().clone()).unwrap()];
    let mut publisher = open(dir, settings(dir, addresses, 1)).unwrap();
    let folder = Folder::new(dir.join("register"));
    let size = || {
        let note = Note::parse(&folder.published().unwrap()?).unwrap();
        Some(Checkpoint::parse(note.text()).unwrap().size)
    };
    let first = entries(0, 300);
    {
        let mut round = std::pin::pin!(publisher.round(&first).map(Result::unwrap).fuse());
        while size() != Some(300) {
            tokio::select! {
                biased;
                _ = &mut round => {}
                () = tokio::task::yield_now() => {}
            }
            assert!(!given_up.load(Ordering::SeqCst), "it was waited for before publishing");
        }
        if !round.is_terminated() {
            round.await;
        }
    }
    // The first request to the witness is still running. It does not delay the publication of later leaves.
    publisher.round(&entries(300, 301)).await.unwrap();
    assert_eq!(size(), Some(301));
    assert!(!given_up.load(Ordering::SeqCst), "it was waited for to its end");
    assert_eq!(standing(dir)["standing"], "signed, witnessed by 0 of 1; 1 are asked for");
}

/// A forged cosignature in the published checkpoint is not copied into the next one.
#[tokio::test]
async fn a_forged_cosignature_is_not_kept() {
    let temp = tempfile::tempdir().unwrap();
    let dir = temp.path();
    let witness = witness(dir, &dir.join("register.key"), 2);
    let (listener, url) = port();
    let address = WitnessAddress::new(&url, witness.key().clone()).unwrap();
    let mut publisher = open(dir, settings(dir, vec![], 0)).unwrap();
    publisher.round(&entries(0, 5)).await.unwrap();
    drop(publisher);
    let folder = Folder::new(dir.join("register"));
    let mut note = Note::parse(&folder.published().unwrap().unwrap()).unwrap();
    let other = Signer::from_seed("witness2.example", Kind::Cosignature, &[2; 32]).unwrap();
    note.add(other.sign("another text\n", DateTime::UNIX_EPOCH));
    folder.publish(&note).unwrap();
    let mut publisher = open(dir, settings(dir, vec![address.clone()], 1)).unwrap();
    drop(listener);
    publisher.round(&[]).await.unwrap();
    assert_eq!(standing(dir)["witnessed_by"], serde_json::json!([]));
    let policy = Policy {
        registers: publisher.keys().verifiers().cloned().collect(),
        witnesses: vec![address.key],
        quorum: 1,
    };
    let published = Note::parse(&folder.published().unwrap().unwrap()).unwrap();
    assert!(!policy.check(&published).unwrap().quorum, "the line is gone, and the rest is good");
}

/// The lag is that of the oldest event that is not yet published, and it grows while no round succeeds.
#[test]
fn how_far_it_is_behind() {
    let received = |seconds: i64| {
        let mut entry = [1; ENTRY_LEN];
        entry[41..49].copy_from_slice(&(seconds * 1_000_000).to_be_bytes());
        entry
    };
    let at = |seconds: i64| seconds * 1_000_000;
    let mut behind = Behind { since: at(100) };
    assert_eq!(behind.lag(at(107)), Duration::from_secs(7), "the database never answered");
    let batch = [received(90), received(80), received(110)];
    behind.unpublished(&batch);
    assert_eq!(behind.lag(at(112)), Duration::from_secs(32), "the oldest one waits");
    behind.published(&batch, true, at(112));
    assert_eq!(behind.lag(at(112)), Duration::from_secs(2), "what is next is no older than these");
    behind.published(&batch, false, at(112));
    assert_eq!(behind.lag(at(113)), Duration::from_secs(1), "all that was there then");
    behind.unpublished(&[]);
    assert_eq!(behind.lag(at(113)), Duration::from_secs(1), "only publishing brings it nearer");
}

/// Every created folder is synced before anything is written into it.
#[tokio::test]
async fn the_folder_is_made_to_last() {
    let temp = tempfile::tempdir().unwrap();
    let dir = temp.path();
    let calls = Arc::new(std::sync::Mutex::new(Vec::new()));
    let seen = Arc::clone(&calls);
    let disk = Disk::gated(move |call, path| {
        seen.lock().unwrap().push((call, path.to_path_buf()));
        Ok(())
    });
    let folder = Folder::on(dir.join("register"), disk);
    let database = PgConnectOptions::new_without_pgpass();
    drop(Publisher::open(settings(dir, vec![], 0), folder, database, clock()).unwrap());
    let calls = calls.lock().unwrap();
    let at = |call: (Call, PathBuf)| calls.iter().position(|known| *known == call);
    let first_file = calls.iter().position(|(call, _)| *call == Call::Create).unwrap();
    for (made, within) in
        [(dir.join("register"), dir.to_path_buf()), (dir.join("register/state"), dir.join("register"))]
    {
        assert!(at((Call::MakeDir, made.clone())).is_some_and(|at| at < first_file), "{calls:?}");
        assert!(
            at((Call::SyncDir, within)).is_some_and(|at| at < first_file),
            "{}: {calls:?}",
            made.display()
        );
    }
}

#[test]
fn settings_that_cannot_be() {
    let temp = tempfile::tempdir().unwrap();
    let dir = temp.path();
    let nameless = PublishSettings { origin: None, ..settings(dir, vec![], 0) };
    let refused = open(dir, nameless.clone()).unwrap_err();
    assert!(refused.to_string().contains("give --origin NAME"), "{refused}");
    assert!(matches!(
        open(dir, settings(dir, vec![], 1)),
        Err(PublishError::Quorum { quorum: 1, witnesses: 0 })
    ));
    let first = open(dir, settings(dir, vec![], 0)).unwrap();
    let second = open(dir, settings(dir, vec![], 0)).unwrap_err();
    assert!(matches!(second, PublishError::InUse { .. }), "{second}");
    drop(first);
    // After the key was created, `--origin` is not needed. A key that was lost is not replaced by a new one.
    drop(open(dir, nameless).unwrap());
    std::fs::remove_file(dir.join("register.key")).unwrap();
    let lost = open(dir, settings(dir, vec![], 0)).unwrap_err().to_string();
    assert!(lost.contains("a new key would not be the register's"), "{lost}");
}

#[test]
fn witnesses_by_address_and_key() {
    let key = Signer::from_seed("witness.example", Kind::Cosignature, &[2; 32]).unwrap();
    let register = Signer::from_seed(ORIGIN, Kind::Text, &[1; 32]).unwrap();
    let good: WitnessAddress = format!("https://witness.example/w1/={}", key.verifier()).parse().unwrap();
    assert_eq!((good.url.as_str(), &good.key), ("https://witness.example/w1", key.verifier()));
    for bad in [
        String::new(),
        key.verifier().to_string(),
        format!("witness.example={}", key.verifier()),
        format!("ftp://witness.example={}", key.verifier()),
        format!("https://={}", key.verifier()),
        format!("https://witness.example={}", register.verifier()),
        "https://witness.example=larch".to_owned(),
    ] {
        assert!(bad.parse::<WitnessAddress>().is_err(), "{bad}");
    }
}
