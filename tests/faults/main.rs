//! Nothing that was acknowledged is lost or done twice, whatever fails.
//!
//! Two servers, a publisher and writers who remember every acknowledged answer; a fault at a moment
//! that a seed decides, counted in acknowledged answers; then every posting is settled and all of it
//! is held against the database, recomputed. A few rounds as an ordinary test, more with
//! `ORMANTRACE_FAULT_ROUNDS=200 cargo test --test faults -- --nocapture`; `ORMANTRACE_FAULT_SEED`
//! repeats a run's choices (its races are the machine's).

#[path = "../support/mod.rs"]
mod support;

mod check;
mod client;
mod proxy;
mod random;
mod servers;

use check::Seen;
use client::{Acknowledged, Forest};
use ormantrace::ledger::{Folder, Signer, VerifierKey};
use proxy::Commit;
use random::Random;
use rustix::process::Signal;
use serde_json::{Value, json};
use servers::{Ground, Servers, TOKEN, kill, until};
use sqlx::Connection;
use std::collections::BTreeMap;
use std::fmt;
use std::io::Write;
use std::sync::atomic::{AtomicBool, AtomicU16, AtomicU32, Ordering};
use std::sync::{Arc, Mutex};
use std::time::Instant;

/// Writers of a round.
const WRITERS: u64 = 5;
/// Rounds of an ordinary run.
const ROUNDS: u64 = 6;
/// Every so many rounds everything is recomputed, and `fsck` run.
const WHOLE_EVERY: u64 = 20;
/// A disk that PostgreSQL, its log and a few rounds fit on.
const SMALL_DISK: u64 = 320 << 20;

/// What is done to it.
#[derive(Clone, Copy, Debug, PartialEq, Eq, PartialOrd, Ord)]
enum Fault {
    KillFirst,
    KillSecond,
    KillPostmaster,
    KillBackend,
    CutBackends,
    CommitNever,
    CommitUnheard,
    CommitLate,
    AnswersLost,
    TermFirst,
    TermSecond,
    KillPublisher,
    DiskFull,
}

impl Fault {
    /// Those of every run; a full disk has a ground of its own.
    const ALL: [Self; 12] = [
        Self::KillFirst,
        Self::KillSecond,
        Self::KillPostmaster,
        Self::KillBackend,
        Self::CutBackends,
        Self::CommitNever,
        Self::CommitUnheard,
        Self::CommitLate,
        Self::AnswersLost,
        Self::TermFirst,
        Self::TermSecond,
        Self::KillPublisher,
    ];
}

impl fmt::Display for Fault {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.pad(match self {
            Self::KillFirst => "kill -9 of the server with the private PostgreSQL",
            Self::KillSecond => "kill -9 of the other server",
            Self::KillPostmaster => "kill -9 of PostgreSQL's postmaster",
            Self::KillBackend => "kill -9 of one backend",
            Self::CutBackends => "all backends terminated",
            Self::CommitNever => "connection reset before COMMIT arrives",
            Self::CommitUnheard => "connection reset in place of COMMIT's answer",
            Self::CommitLate => "COMMIT held back for 0.7 s",
            Self::AnswersLost => "client gone before the answer",
            Self::TermFirst => "SIGTERM of the server with the private PostgreSQL",
            Self::TermSecond => "SIGTERM of the other server",
            Self::KillPublisher => "kill -9 of the publisher",
            Self::DiskFull => "disk full",
        })
    }
}

/// What the rounds of one kind came to.
#[derive(Default)]
struct Figures {
    rounds: u32,
    acknowledged: u32,
    repeated: u32,
    slowest_ms: u128,
}

/// One ground with everything on it.
struct Trial {
    servers: Servers,
    forest: Arc<Forest>,
    seen: Seen,
    register_key: VerifierKey,
    random: Random,
    round: u64,
    figures: BTreeMap<Fault, Figures>,
    runtime: tokio::runtime::Handle,
    ground: Ground,
}

impl Trial {
    fn begin(ground: Ground, seed: u64, runtime: &tokio::runtime::Handle) -> Self {
        let (servers, ports) = Servers::begin(&ground, runtime);
        let verifier = |name: &str| Signer::load(&servers.key(name)).expect("a key").verifier().clone();
        let mut random = Random::new(seed);
        let forest = prepared(ports, vec![verifier("receipt.key")], &mut random);
        let register_key = verifier("register.key");
        let mut trial = Self {
            servers,
            forest,
            seen: Seen::default(),
            register_key,
            random,
            round: 0,
            figures: BTreeMap::new(),
            runtime: runtime.clone(),
            ground,
        };
        trial.settled();
        let mut db = trial.servers.superuser();
        let first = trial.runtime.block_on(trial.seen.round(&mut db, &[], true));
        // Only the count can be off: nobody counted what the preparations made.
        assert!(first.iter().all(|fault| fault.starts_with("DOUBLED or LOST")), "{first:#?}");
        trial.seen.begin(trial.seen.size());
        trial
    }

    /// One round; what was found wrong.
    fn round(&mut self, fault: Fault, whole: bool) -> Vec<String> {
        self.round += 1;
        let forest = Arc::clone(&self.forest);
        forest.stop.store(false, Ordering::SeqCst);
        let (before, repeated) =
            (forest.acknowledged.load(Ordering::SeqCst), forest.repeated.load(Ordering::SeqCst));
        let writers: Vec<_> = (0..WRITERS)
            .map(|writer| {
                let (forest, seed) = (Arc::clone(&forest), self.random.next());
                let name = format!("round-{:04}-writer-{writer}", self.round);
                std::thread::spawn(move || forest.write(&name, seed))
            })
            .collect();
        let failed = || !forest.wrong.lock().expect("no panic").is_empty();
        let more = |count: u32| {
            let from = forest.acknowledged.load(Ordering::SeqCst);
            until("answers are acknowledged", || {
                failed() || forest.acknowledged.load(Ordering::SeqCst) >= from + count
            });
        };
        more(u32::try_from(3 + self.random.below(25)).expect("small"));
        let since = Instant::now();
        let mut wrong = self.inject(fault);
        // It goes on, by both servers.
        more(12);
        let took = since.elapsed().as_millis();
        forest.stop.store(true, Ordering::SeqCst);
        let done: Vec<Acknowledged> =
            writers.into_iter().flat_map(|writer| writer.join().expect("no panic")).collect();
        wrong.append(&mut forest.wrong.lock().expect("no panic"));
        if !wrong.is_empty() {
            return wrong;
        }
        self.settled();
        let mut db = self.servers.superuser();
        wrong.extend(self.runtime.block_on(self.seen.round(&mut db, &done, whole)));
        self.runtime.block_on(db.close()).expect("closed");
        wrong.extend(self.published());
        if whole && let Some(Err(said)) = self.servers.fsck() {
            wrong.push(format!("fsck: {said}"));
        }
        let figures = self.figures.entry(fault).or_default();
        figures.rounds += 1;
        figures.acknowledged += forest.acknowledged.load(Ordering::SeqCst) - before;
        figures.repeated += forest.repeated.load(Ordering::SeqCst) - repeated;
        figures.slowest_ms = figures.slowest_ms.max(took);
        wrong
    }

    /// Does it, and brings back what it took away.
    fn inject(&mut self, fault: Fault) -> Vec<String> {
        let mut wrong = Vec::new();
        let ports = &self.forest.ports;
        match fault {
            Fault::KillFirst => {
                self.servers.first.take().expect("runs").kill();
                ports[0].store(self.servers.start_first(), Ordering::SeqCst);
            }
            Fault::KillSecond => {
                self.servers.second.take().expect("runs").kill();
                ports[1].store(self.servers.start_second(), Ordering::SeqCst);
            }
            Fault::KillPostmaster => {
                let pid = self.servers.postmaster().expect("runs");
                kill(pid, Signal::KILL);
                until("PostgreSQL runs again", || {
                    self.servers.postmaster().is_some_and(|other| other != pid)
                });
            }
            Fault::KillBackend | Fault::CutBackends => {
                let mut pids = self.servers.backends();
                if fault == Fault::KillBackend {
                    let one = self.random.below(pids.len().max(1) as u64);
                    pids = pids.into_iter().skip(usize::try_from(one).expect("small")).take(1).collect();
                }
                let signal = if fault == Fault::KillBackend { Signal::KILL } else { Signal::TERM };
                for pid in pids {
                    kill(pid, signal);
                }
            }
            Fault::CommitNever => self.at_commit(Commit::Never),
            Fault::CommitUnheard => self.at_commit(Commit::Unheard),
            Fault::CommitLate => self.at_commit(Commit::Late),
            Fault::AnswersLost => {
                self.forest.deaf.store(8, Ordering::SeqCst);
                until("answers are lost", || self.forest.deaf.load(Ordering::SeqCst) == 0);
            }
            Fault::TermFirst | Fault::TermSecond => {
                let first = fault == Fault::TermFirst;
                let which = if first { &mut self.servers.first } else { &mut self.servers.second };
                let mut process = which.take().expect("runs");
                let status = process.stop();
                if status.code() != Some(0) {
                    wrong.push(format!("SIGTERM: {status}: {:#?}", process.said()));
                }
                let port = if first { self.servers.start_first() } else { self.servers.start_second() };
                ports[usize::from(!first)].store(port, Ordering::SeqCst);
            }
            Fault::KillPublisher => {
                self.servers.publisher.take().expect("runs").kill();
                self.servers.start_publisher();
            }
            Fault::DiskFull => self.fill_the_disk(),
        }
        wrong
    }

    /// The next commits of the second server, its sequencer's among them, meet this.
    fn at_commit(&self, mode: Commit) {
        self.servers.proxy.order(mode, 4);
        until("commits were met", || self.servers.proxy.left() == 0);
    }

    /// Until writes are refused, and then not any more.
    fn fill_the_disk(&self) {
        let path = self.ground.path().join("filler");
        let mut file = std::fs::File::create(&path).expect("made");
        let (repeated, pieces) = (self.forest.repeated.load(Ordering::SeqCst), vec![0x20; 1 << 16]);
        until("writes are refused", || {
            while file.write_all(&pieces).is_ok() {}
            self.forest.repeated.load(Ordering::SeqCst) >= repeated + 10
        });
        drop(file);
        std::fs::remove_file(path).expect("removed");
    }

    /// Waits until every event is in the register, and published.
    fn settled(&mut self) {
        // A publisher that ended by itself is started again by its service manager.
        let mut db = self.servers.superuser();
        until("the queue is empty", || {
            let waiting = sqlx::query_scalar::<_, i64>("SELECT count(*) FROM leaf_queue").fetch_one(&mut db);
            self.runtime.block_on(waiting).is_ok_and(|waiting| waiting == 0)
        });
        self.runtime.block_on(db.close()).expect("closed");
    }

    /// The published checkpoint is that of the leaves, once it has caught up.
    fn published(&mut self) -> Option<String> {
        let folder = Folder::new(self.servers.register());
        let (keys, mut fault) = ([self.register_key.clone()], None);
        let (seen, size) = (&mut self.seen, self.forest.acknowledged.load(Ordering::SeqCst));
        until("all of it is published", || match seen.published(&folder, &keys) {
            Ok(published) => published == seen.size(),
            Err(wrong) => {
                fault = Some(format!("after {size} answers: {wrong}"));
                true
            }
        });
        fault
    }
}

/// A ticket and whoever works under it.
fn prepared(ports: [u16; 2], keys: Vec<VerifierKey>, random: &mut Random) -> Arc<Forest> {
    let bin = |n: u32| {
        let number = |check: u32| format!("04064000{n:03}{check}");
        (0..10).map(number).find(|text| ormantrace::party::bin::Bin::parse(text).is_ok())
    };
    let mut bins = (100..).filter_map(bin);
    let (owner, holder) = (bins.next().expect("a BIN"), bins.next().expect("a BIN"));
    let mut forest = Forest {
        ports: ports.map(AtomicU16::new),
        keys,
        operator: TOKEN.to_owned(),
        enterprise: String::new(),
        bin: holder.clone(),
        ticket: String::new(),
        logs: Mutex::new(Vec::new()),
        stop: AtomicBool::new(false),
        deaf: AtomicU32::new(0),
        acknowledged: AtomicU32::new(0),
        repeated: AtomicU32::new(0),
        wrong: Mutex::new(Vec::new()),
    };
    let mut step = 0;
    let mut make = |path: &str, token: &str, body: Value| {
        step += 1;
        let key = format!("preparation-{step}");
        forest.settle(random, path, token, &key, &body).unwrap_or_else(|wrong| panic!("{wrong}")).answer
    };
    let mut organization = |bin: &str, name: &str, role: &str| {
        let body = json!({"bin": bin, "name": name, "roles": [role]});
        let made = make("/v1/organizations", TOKEN, body);
        let path = format!("/v1/organizations/{}/keys", made["id"].as_str().expect("an id"));
        make(&path, TOKEN, json!({"label": "планшет"}))["token"].as_str().expect("a token").to_owned()
    };
    let issuer = organization(&owner, "«Семей орманы» МОТР", "forest_owner");
    let enterprise = organization(&holder, "ТОО «Ертіс ағаш»", "enterprise");
    let today = ormantrace::clock::Clock::system().now().date_naive();
    let ticket = json!({
        "series": "АБ", "number": "0001245", "issued_on": today - chrono::TimeDelta::days(1), "holder_bin": holder, "felling_kind": "main",
        "forest_category": "қорғаныштық", "forest_type": "қарағайлы",
        "origin": {"region": "KZ-10", "forestry": "Жаңа Семей орманшылығы", "compartment": "12"},
        "felling_from": today - chrono::TimeDelta::days(1), "felling_until": today + chrono::TimeDelta::days(90),
        "lines": [{"species": "pinus_sylvestris", "wood": "commercial", "volume_m3": 90_000}]
    });
    let ticket = make("/v1/felling-tickets", &issuer, ticket)["id"].as_str().expect("an id").to_owned();
    (forest.enterprise, forest.ticket) = (enterprise, ticket);
    forest.acknowledged.store(0, Ordering::SeqCst);
    Arc::new(forest)
}

fn setting(name: &str) -> Option<u64> {
    std::env::var(name)
        .ok()
        .map(|text| text.parse().unwrap_or_else(|_| panic!("{name} is a number, not {text:?}")))
}

#[test]
fn nothing_acknowledged_is_lost_or_doubled() {
    let rounds = setting("ORMANTRACE_FAULT_ROUNDS").unwrap_or(ROUNDS);
    let seed = setting("ORMANTRACE_FAULT_SEED").unwrap_or_else(|| {
        let mut bytes = [0; 4];
        getrandom::fill(&mut bytes).expect("randomness");
        u32::from_be_bytes(bytes).into()
    });
    println!("ORMANTRACE_FAULT_SEED={seed} ORMANTRACE_FAULT_ROUNDS={rounds}");
    let runtime = tokio::runtime::Builder::new_multi_thread()
        .worker_threads(1)
        .enable_all()
        .build()
        .expect("a runtime");
    let mut order = Random::new(seed);
    let began = Instant::now();

    let mut trial = Trial::begin(Ground::new(None).expect("a folder"), order.next(), runtime.handle());
    let mut faults = Vec::new();
    for round in 1..=rounds {
        if faults.is_empty() {
            faults = order.shuffled(&Fault::ALL);
        }
        let fault = faults.pop().expect("filled");
        play(&mut trial, fault, round, rounds, seed);
    }
    let mut figures = std::mem::take(&mut trial.figures);
    let (mut events, mut answers) = (trial.seen.size(), trial.forest.acknowledged.load(Ordering::SeqCst));
    assert_eq!(trial.servers.end(), Vec::<String>::new(), "seed {seed}");
    drop(trial.ground);

    let mut skipped = Vec::new();
    match Ground::new(Some(SMALL_DISK)) {
        None => skipped.push("disk full: this user may mount no disk of its own"),
        Some(ground) => {
            let mut trial = Trial::begin(ground, order.next(), runtime.handle());
            let rounds = (rounds / 20).max(1);
            for round in 1..=rounds {
                play(&mut trial, Fault::DiskFull, round, rounds, seed);
            }
            figures.append(&mut trial.figures);
            events += trial.seen.size();
            answers += trial.forest.acknowledged.load(Ordering::SeqCst);
            assert_eq!(trial.servers.end(), Vec::<String>::new(), "seed {seed}");
            drop(trial.ground);
        }
    }
    skipped.push(
        "clock jumps: the tests hold the server's clock themselves (tests/api), no faketime is used here",
    );

    println!("\n| fault | rounds | acknowledged answers | sent again | until served again, slowest |");
    println!("|---|--:|--:|--:|--:|");
    for (fault, Figures { rounds, acknowledged, repeated, slowest_ms }) in &figures {
        println!("| {fault} | {rounds} | {acknowledged} | {repeated} | {slowest_ms} ms |");
    }
    let all: u32 = figures.values().map(|figures| figures.rounds).sum();
    println!(
        "\nSeed {seed}: {all} rounds in {} s, {answers} acknowledged answers, {events} events. Lost 0, doubled 0, forks 0, \
         inconsistent checkpoints 0.",
        began.elapsed().as_secs()
    );
    for what in skipped {
        println!("SKIPPED: {what}");
    }
}

/// A round that must find nothing.
fn play(trial: &mut Trial, fault: Fault, round: u64, rounds: u64, seed: u64) {
    let whole = round.is_multiple_of(WHOLE_EVERY) || round == rounds;
    let wrong = trial.round(fault, whole);
    assert!(wrong.is_empty(), "seed {seed}, round {round}, {fault}: {wrong:#?}");
    println!("round {round} of {rounds}: {fault}: {} events, nothing lost", trial.seen.size());
}
