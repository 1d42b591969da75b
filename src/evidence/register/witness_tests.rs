use super::*;
use crate::evidence::tlog::tile::Builder;
use crate::evidence::tlog::{Tile, to_base64};
use chrono::{DateTime, TimeZone as _, Utc};
use proptest::prelude::*;
use std::collections::HashMap;
use std::sync::Arc;
use tower::ServiceExt as _;

const ORIGIN: &str = "register.example/timber";

fn now() -> DateTime<Utc> {
    Utc.with_ymd_and_hms(2026, 11, 24, 4, 0, 0).unwrap()
}

fn register() -> Signer {
    Signer::from_seed(ORIGIN, Kind::Text, &[1; 32]).unwrap()
}

fn witness_key() -> Signer {
    Signer::from_seed("witness.example/w1", Kind::Cosignature, &[2; 32]).unwrap()
}

fn open(dir: &Path) -> Result<Witness, WitnessError> {
    let watched = vec![register().verifier().clone()];
    Witness::open(dir, Disk::system(), witness_key(), watched, Clock::held(now()))
}

/// A register for tests. `first` is part of every leaf, so another value gives a register with another
/// history.
struct Log {
    builder: Builder,
    tiles: HashMap<String, Vec<u8>>,
    first: u8,
}

impl Log {
    fn new(first: u8) -> Self {
        Self { builder: Builder::new(), tiles: HashMap::new(), first }
    }

    fn at(mut self, size: u64) -> Self {
        while self.builder.size() < size {
            let mut entry = [self.first; crate::evidence::chain::bytes::ENTRY_LEN];
            entry[33..41].copy_from_slice(&self.builder.size().to_be_bytes());
            let tiles = &mut self.tiles;
            self.builder.push(&entry, |tile, bytes| {
                tiles.insert(tile.to_string(), bytes);
            });
        }
        self.tiles.extend(self.builder.unfilled().into_iter().map(|(tile, bytes)| (tile.to_string(), bytes)));
        self
    }

    fn note(&self, signer: &Signer) -> Note {
        let text = Checkpoint::new(ORIGIN, self.builder.size(), self.builder.root()).unwrap().to_string();
        Note::sign(text, &[signer], now()).unwrap()
    }

    fn request(&self, old: u64, signer: &Signer) -> Vec<u8> {
        let fetch = |tile: &Tile| self.tiles.get(&tile.to_string()).cloned().ok_or("absent");
        let mut tree = crate::evidence::tlog::tile::TileReader::new(self.builder.size(), fetch);
        let proof: Vec<_> = tree.consistency(old).unwrap().iter().map(to_base64).collect();
        request(old, &proof, &self.note(signer).to_string())
    }
}

fn request(old: u64, proof: &[String], note: &str) -> Vec<u8> {
    let lines: Vec<_> = proof.iter().map(|hash| format!("{hash}\n")).collect();
    format!("old {old}\n{}\n{note}", lines.concat()).into_bytes()
}

fn is_signed(verdict: &Verdict) -> bool {
    matches!(verdict, Verdict::Signed(_))
}

#[test]
fn what_follows_is_countersigned() {
    let dir = tempfile::tempdir().unwrap();
    let witness = open(dir.path()).unwrap();
    let mut log = Log::new(1);
    for (old, size) in [(0, 0), (0, 5), (5, 5), (5, 300), (300, 1000)] {
        log = log.at(size);
        let Verdict::Signed(line) = witness.add_checkpoint(&log.request(old, &register())) else {
            panic!("{old} to {size}")
        };
        // The witness's line, appended to the checkpoint, makes a valid note.
        let note = Note::parse(format!("{}{line}", log.note(&register())).as_bytes()).unwrap();
        let keys = [witness_key().verifier().clone()];
        assert_eq!(note.verify(&keys).unwrap()[0].time, Some(now()));
    }
    // The stored checkpoint survives a restart.
    drop(witness);
    let witness = open(dir.path()).unwrap();
    assert_eq!(witness.size_of(ORIGIN), 1000);
    assert_eq!(witness.add_checkpoint(&log.request(0, &register())), Verdict::Conflict(1000));
}

#[test]
fn a_fork_and_a_rollback_are_not() {
    let dir = tempfile::tempdir().unwrap();
    let witness = open(dir.path()).unwrap();
    assert!(is_signed(&witness.add_checkpoint(&Log::new(1).at(300).request(0, &register()))));
    // The witness gets a checkpoint of an earlier size, in requests that state different old sizes.
    let early = Log::new(1).at(200);
    assert_eq!(witness.add_checkpoint(&early.request(0, &register())), Verdict::Conflict(300));
    assert_eq!(witness.add_checkpoint(&early.request(200, &register())), Verdict::Conflict(300));
    let lied = request(300, &[], &early.note(&register()).to_string());
    assert!(matches!(witness.add_checkpoint(&lied), Verdict::Malformed(_)));
    // The witness gets checkpoints of another history: first of the same size, then of a larger one.
    let other = Log::new(2).at(300);
    assert_eq!(witness.add_checkpoint(&other.request(300, &register())), Verdict::Conflict(300));
    let evidence = file_of(dir.path(), ORIGIN).with_extension("refused");
    assert_eq!(std::fs::read(&evidence).unwrap(), other.note(&register()).to_string().into_bytes());
    let other = other.at(400);
    assert_eq!(witness.add_checkpoint(&other.request(300, &register())), Verdict::Inconsistent);
    assert_eq!(std::fs::read(&evidence).unwrap(), other.note(&register()).to_string().into_bytes());
    // The stored checkpoint is unchanged: the true history can continue.
    assert!(is_signed(&witness.add_checkpoint(&Log::new(1).at(400).request(300, &register()))));
}

#[test]
fn whose_it_is_not() {
    let dir = tempfile::tempdir().unwrap();
    let witness = open(dir.path()).unwrap();
    let log = Log::new(1).at(3);
    let outsider = Signer::from_seed(ORIGIN, Kind::Text, &[9; 32]).unwrap();
    assert_eq!(witness.add_checkpoint(&log.request(0, &outsider)), Verdict::Unsigned);
    let forged = String::from_utf8(log.request(0, &register())).unwrap().replace("\n3\n", "\n4\n");
    assert_eq!(witness.add_checkpoint(forged.as_bytes()), Verdict::Unsigned);
    let text = Checkpoint::new("other.example", 0, empty_root()).unwrap().to_string();
    let other = Signer::from_seed("other.example", Kind::Text, &[3; 32]).unwrap();
    let note = Note::sign(text, &[&other, &register()], now()).unwrap();
    assert_eq!(witness.add_checkpoint(&request(0, &[], &note.to_string())), Verdict::Unknown);
    assert_eq!(witness.size_of(ORIGIN), 0);
}

#[test]
fn what_is_no_request() {
    let dir = tempfile::tempdir().unwrap();
    let witness = open(dir.path()).unwrap();
    let log = Log::new(1).at(3);
    let note = log.note(&register()).to_string();
    let hash = to_base64(&Hash::ZERO);
    let long: Vec<_> = std::iter::repeat_n(hash.clone(), 64).collect();
    for bad in [
        Vec::new(),
        b"old 0\n".to_vec(),
        note.clone().into_bytes(),
        format!("old 00\n\n{note}").into_bytes(),
        format!("old -1\n\n{note}").into_bytes(),
        format!("old 9223372036854775808\n\n{note}").into_bytes(),
        format!("old 4\n\n{note}").into_bytes(),
        format!("new 0\n\n{note}").into_bytes(),
        format!("old 0\nlarch\n\n{note}").into_bytes(),
        format!("old 0\n\n\n{note}").into_bytes(),
        format!("old 0\n\n{}", &note[..note.len() - 9]).into_bytes(),
        request(0, &long, &note),
        [b"old 0\n\n\xff".as_slice(), note.as_bytes()].concat(),
    ] {
        let verdict = witness.add_checkpoint(&bad);
        assert!(matches!(verdict, Verdict::Malformed(_)), "{verdict:?}: {}", String::from_utf8_lossy(&bad));
    }
    assert_eq!(witness.add_checkpoint(&request(0, &[hash], &note)), Verdict::Inconsistent);
    assert!(is_signed(&witness.add_checkpoint(&log.request(0, &register()))));
}

#[test]
fn of_many_at_once_one_history_is_signed() {
    let dir = tempfile::tempdir().unwrap();
    let witness = open(dir.path()).unwrap();
    let requests: Vec<_> = (1..=16).map(|n| Log::new(n).at(10).request(0, &register())).collect();
    let signed = std::thread::scope(|scope| {
        let threads: Vec<_> = requests
            .iter()
            .map(|request| scope.spawn(|| is_signed(&witness.add_checkpoint(request))))
            .collect();
        threads
            .into_iter()
            .filter(|_| true)
            .map(|thread| thread.join().unwrap())
            .filter(|signed| *signed)
            .count()
    });
    assert_eq!(signed, 1);
}

#[test]
fn what_cannot_be_remembered_is_not_signed() {
    let dir = tempfile::tempdir().unwrap();
    let full = Disk::gated(|_, _| Err(io::Error::from(io::ErrorKind::StorageFull)));
    let watched = vec![register().verifier().clone()];
    let witness = Witness::open(dir.path(), full, witness_key(), watched, Clock::held(now())).unwrap();
    assert_eq!(witness.add_checkpoint(&Log::new(1).at(3).request(0, &register())), Verdict::NotStored);
    assert_eq!(witness.size_of(ORIGIN), 0);
}

/// Runs the witness once for each file-system call N; in run N, call N and all later calls fail. A checkpoint
/// is cosigned only if every call succeeds, so it was synced to disk before. After each run, the witness
/// opens with the complete old checkpoint or the complete new one.
#[test]
fn what_is_signed_was_remembered_whatever_call_fails() {
    use crate::evidence::tlog::disk::Call::{self, Create, Rename, Sync, SyncDir, Write};
    let order = [Create, Write, Sync, Rename, SyncDir];
    for dies_at in 0..=order.len() {
        let dir = tempfile::tempdir().unwrap();
        let witness = open(dir.path()).unwrap();
        assert!(is_signed(&witness.add_checkpoint(&Log::new(1).at(3).request(0, &register()))));
        drop(witness);
        let calls = Arc::new(Mutex::new(Vec::<Call>::new()));
        let recorded = Arc::clone(&calls);
        let disk = Disk::gated(move |call, _| {
            let mut recorded = recorded.lock().unwrap();
            recorded.push(call);
            if recorded.len() <= dies_at { Ok(()) } else { Err(io::ErrorKind::StorageFull.into()) }
        });
        let watched = vec![register().verifier().clone()];
        let witness = Witness::open(dir.path(), disk, witness_key(), watched, Clock::held(now())).unwrap();
        let verdict = witness.add_checkpoint(&Log::new(1).at(300).request(3, &register()));
        drop(witness);
        let reached = calls.lock().unwrap().clone();
        assert_eq!(reached, order[..(dies_at + 1).min(order.len())], "each in its turn");
        assert_eq!(is_signed(&verdict), dies_at == order.len(), "call {dies_at}: {verdict:?}");
        let again = open(dir.path()).unwrap();
        let size = if order[..dies_at].contains(&Rename) { 300 } else { 3 };
        assert_eq!(again.size_of(ORIGIN), size, "call {dies_at}");
        assert!(is_signed(&again.add_checkpoint(&Log::new(1).at(400).request(size, &register()))));
    }
}

/// The folder itself is synced, and so is stored evidence against a register.
#[test]
fn a_folder_and_evidence_last() {
    use crate::evidence::tlog::disk::Call::{Create, MakeDir, Rename, Sync, SyncDir, Write};
    let temp = tempfile::tempdir().unwrap();
    let calls = Arc::new(Mutex::new(Vec::new()));
    let recorded = Arc::clone(&calls);
    let disk = Disk::gated(move |call, _| {
        recorded.lock().unwrap().push(call);
        Ok(())
    });
    let watched = vec![register().verifier().clone()];
    let dir = temp.path().join("witness");
    let witness = Witness::open(&dir, disk, witness_key(), watched, Clock::held(now())).unwrap();
    assert_eq!(std::mem::take(&mut *calls.lock().unwrap()), [MakeDir, SyncDir]);
    assert!(is_signed(&witness.add_checkpoint(&Log::new(1).at(3).request(0, &register()))));
    assert_eq!(std::mem::take(&mut *calls.lock().unwrap()), [Create, Write, Sync, Rename, SyncDir]);
    assert_eq!(witness.add_checkpoint(&Log::new(2).at(3).request(3, &register())), Verdict::Conflict(3));
    assert_eq!(std::mem::take(&mut *calls.lock().unwrap()), [Create, Write, Sync, Rename, SyncDir]);
}

#[test]
fn a_witness_is_one_process_with_its_memory_and_its_own_key() {
    let dir = tempfile::tempdir().unwrap();
    let witness = open(dir.path()).unwrap();
    assert!(matches!(open(dir.path()), Err(WitnessError::InUse { .. })));
    assert!(is_signed(&witness.add_checkpoint(&Log::new(1).at(3).request(0, &register()))));
    drop(witness);
    std::fs::write(file_of(dir.path(), ORIGIN), "birch").unwrap();
    let damaged = open(dir.path()).unwrap_err().to_string();
    assert!(damaged.contains("the witness might sign a second history"), "{damaged}");
    let elsewhere = tempfile::tempdir().unwrap();
    let open = |signer, watched| {
        Witness::open(elsewhere.path(), Disk::system(), signer, watched, Clock::held(now())).map(drop)
    };
    assert!(matches!(open(register(), vec![]), Err(WitnessError::NoWitness(_))));
    let own = vec![witness_key().verifier().clone()];
    assert!(matches!(open(witness_key(), own), Err(WitnessError::NoRegister(_))));
}

#[tokio::test]
async fn over_http() {
    let dir = tempfile::tempdir().unwrap();
    let witness = Arc::new(open(dir.path()).unwrap());
    let post = async |body: Vec<u8>| {
        let request =
            axum::http::Request::post("/add-checkpoint").body(axum::body::Body::from(body)).unwrap();
        let response = crate::http::witness::routes(Arc::clone(&witness)).oneshot(request).await.unwrap();
        let kind = response.headers().get("content-type").map(|kind| kind.to_str().unwrap().to_owned());
        let status = response.status().as_u16();
        let body = axum::body::to_bytes(response.into_body(), 10_000).await.unwrap();
        (status, kind.unwrap_or_default(), String::from_utf8(body.to_vec()).unwrap())
    };
    let log = Log::new(1).at(3);
    let (status, _, line) = post(log.request(0, &register())).await;
    assert_eq!(status, 200);
    assert!(line.starts_with("— witness.example/w1 ") && line.ends_with('\n'), "{line}");
    let response = post(log.request(0, &register())).await;
    assert_eq!(response, (409, "text/x.tlog.size".to_owned(), "3\n".to_owned()));
    assert_eq!(post(Log::new(2).at(4).request(3, &register())).await.0, 422);
    let outsider = Signer::from_seed(ORIGIN, Kind::Text, &[9; 32]).unwrap();
    assert_eq!(post(log.request(3, &outsider)).await.0, 403);
    assert_eq!(post(b"spruce".to_vec()).await.0, 400);
    assert_eq!(post(vec![b'x'; MAX_REQUEST + 1]).await.0, 413);
    let text = Checkpoint::new("other.example", 0, empty_root()).unwrap().to_string();
    let note = Note::sign(text, &[&register()], now()).unwrap();
    assert_eq!(post(request(0, &[], &note.to_string())).await.0, 404);
}

proptest! {
    #![proptest_config(ProptestConfig::with_cases(64))]

    #[test]
    fn garbage_gets_no_signature(at in any::<prop::sample::Index>(), byte in any::<u8>(), cut in any::<prop::sample::Index>()) {
        let dir = tempfile::tempdir().unwrap();
        let witness = open(dir.path()).unwrap();
        let good = Log::new(1).at(7).request(0, &register());
        let mut changed = good.clone();
        let at = at.index(changed.len());
        changed[at] = byte;
        if changed != good {
            prop_assert!(!is_signed(&witness.add_checkpoint(&changed)));
        }
        prop_assert!(!is_signed(&witness.add_checkpoint(&good[..cut.index(good.len())])));
        prop_assert!(is_signed(&witness.add_checkpoint(&good)));
    }
}
