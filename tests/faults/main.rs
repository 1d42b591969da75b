//! No acknowledged write is lost or done twice, whatever fails.
//!
//! Two servers and a publisher run, and writers record every acknowledged response. In each round, one fault
//! is injected at a moment that the seed decides, counted in acknowledged responses. Then every write request
//! gets its final response. The acknowledged events are compared with the recomputed database, and every
//! checkpoint that was published meanwhile with the leaves. As an ordinary test each fault runs once;
//! `ORMANTRACE_FAULT_ROUNDS=200 cargo test --test faults -- --nocapture` runs more. `ORMANTRACE_FAULT_SEED`
//! repeats the choices of a run (not its races, which depend on the machine), and `ORMANTRACE_FAULT_REPORT`
//! names a file for the results.

#[path = "../support/mod.rs"]
mod support;

mod attack;
mod availability;
mod check;
mod client;
mod fault;
mod proxy;
#[path = "../support/random.rs"]
mod random;
mod report;
mod scene;
mod servers;
mod watch;

use check::Seen;
use client::{Acknowledged, Forest};
use fault::Fault;
use ormantrace::evidence::tlog::{Folder, Signer, VerifierKey};
use proxy::Commit;
use random::Random;
use report::{Figures, Report, disk_full_rounds};
use rustix::process::Signal;
use serde_json::{Value, json};
use servers::{Ground, Process, Servers, TOKEN, Time, faketime, kill, until};
use sqlx::Connection;
use std::io::Write;
use std::path::PathBuf;
use std::sync::atomic::{AtomicBool, AtomicU16, AtomicU32, Ordering};
use std::sync::{Arc, Mutex, PoisonError};
use std::time::Instant;
use watch::Watcher;

/// The running test holds this lock, so that only one test runs at a time: each needs the entire machine.
static ALONE: Mutex<()> = Mutex::new(());

/// Writers in a round.
const WRITERS: u64 = 5;
/// Everything is recomputed, and `fsck` is run, once in this many rounds and after the last round.
const WHOLE_EVERY: u64 = 20;
/// Size in bytes of a small disk: enough for PostgreSQL, its write-ahead log and a few rounds.
const SMALL_DISK: u64 = 320 << 20;

/// The processes under test, on one folder.
struct Trial {
    servers: Servers,
    forest: Arc<Forest>,
    seen: Seen,
    register_key: VerifierKey,
    random: Random,
    round: u64,
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
            runtime: runtime.clone(),
            ground,
        };
        trial.settled();
        let mut db = trial.servers.superuser();
        let first = trial.runtime.block_on(trial.seen.round(&mut db, &[], true));
        // The only error may be the number of leaves, because the events of the preparation are not counted
        // as acknowledged.
        assert!(first.iter().all(|fault| fault.starts_with("DOUBLED or LOST")), "{first:#?}");
        trial.seen.begin(trial.seen.size());
        trial
    }

    /// Runs one round. Returns its figures, or the errors that were found.
    fn round(&mut self, fault: Fault, whole: bool) -> Result<Figures, Vec<String>> {
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
        let (watcher, checkpoints) = (Watcher::start(self.register()), self.seen.checkpoints);
        forest.more(u32::try_from(3 + self.random.below(25)).expect("small"));
        let since = Instant::now();
        let mut wrong = self.inject(fault);
        // Both servers must continue to work.
        forest.more(12);
        let took = since.elapsed().as_millis();
        forest.stop.store(true, Ordering::SeqCst);
        let done: Vec<Acknowledged> =
            writers.into_iter().flat_map(|writer| writer.join().expect("no panic")).collect();
        wrong.append(&mut forest.wrong.lock().expect("no panic"));
        if !wrong.is_empty() {
            return Err(wrong);
        }
        self.settled();
        let mut db = self.servers.superuser();
        wrong.extend(self.runtime.block_on(self.seen.round(&mut db, &done, whole)));
        self.runtime.block_on(db.close()).expect("closed");
        wrong.extend(self.published(&watcher.end()));
        if whole && let Some(Err(said)) = self.servers.fsck() {
            wrong.push(format!("fsck: {said}"));
        }
        if !wrong.is_empty() {
            return Err(wrong);
        }
        Ok(Figures {
            rounds: 1,
            acknowledged: forest.acknowledged.load(Ordering::SeqCst) - before,
            repeated: forest.repeated.load(Ordering::SeqCst) - repeated,
            checkpoints: self.seen.checkpoints - checkpoints,
            slowest_ms: took,
        })
    }

    /// Injects the fault, and restarts the processes that the fault has stopped.
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
                ports[1].store(self.servers.start_second(Time::Real), Ordering::SeqCst);
            }
            Fault::KillPostmaster => {
                let pid = self.servers.postmaster().expect("runs");
                kill(pid, Signal::KILL);
                self.other_postmaster(pid);
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
            Fault::SecondBeforeCommit | Fault::SecondAfterCommit => {
                self.hold_a_commit(fault == Fault::SecondBeforeCommit);
                self.servers.second.take().expect("runs").kill();
                self.servers.proxy.release();
                self.forest.ports[1].store(self.servers.start_second(Time::Real), Ordering::SeqCst);
            }
            Fault::PostmasterBeforeCommit | Fault::PostmasterAfterCommit => {
                let pid = self.servers.postmaster().expect("runs");
                self.hold_a_commit(fault == Fault::PostmasterBeforeCommit);
                kill(pid, Signal::KILL);
                self.servers.proxy.release();
                self.other_postmaster(pid);
            }
            Fault::TermFirst => {
                wrong.extend(ended_well(self.servers.first.take()));
                ports[0].store(self.servers.start_first(), Ordering::SeqCst);
            }
            Fault::TermSecond => {
                wrong.extend(ended_well(self.servers.second.take()));
                ports[1].store(self.servers.start_second(Time::Real), Ordering::SeqCst);
            }
            Fault::KillPublisher => {
                self.servers.publisher.take().expect("runs").kill();
                self.servers.start_publisher(Time::Real);
            }
            Fault::SecondPublisher => wrong.extend(self.servers.publish_beside()),
            Fault::ClockAhead => wrong.extend(self.jump(Time::Off(1))),
            Fault::ClockBehind => wrong.extend(self.jump(Time::Off(-1))),
            Fault::DiskFull => self.fill_the_disk(),
        }
        wrong
    }

    /// Waits until PostgreSQL runs again under another process number.
    fn other_postmaster(&self, pid: i32) {
        until("PostgreSQL runs again", || self.servers.postmaster().is_some_and(|other| other != pid));
    }

    /// Applies `mode` to the next four commits of the second server, including the commits of its sequencer.
    fn at_commit(&self, mode: Commit) {
        self.servers.proxy.order(mode, 0, 4);
        until("commits were met", || self.servers.proxy.left() == 0);
    }

    /// Returns as soon as the proxy holds back one commit of the second server, or the reply to it.
    fn hold_a_commit(&mut self, before: bool) {
        let mode = if before { Commit::Held } else { Commit::AnswerHeld };
        // The number of commits that pass first is random, so the held commit is a writer's or the
        // sequencer's.
        self.servers.proxy.order(mode, self.random.below(8), 1);
        until("a commit is held back", || self.servers.proxy.holds());
    }

    /// Restarts the second server and the publisher with a shifted clock, lets them work, and restarts them
    /// with the real time.
    fn jump(&mut self, there: Time) -> Vec<String> {
        let mut wrong = Vec::new();
        for time in [there, Time::Real] {
            wrong.extend(ended_well(self.servers.second.take()));
            wrong.extend(ended_well(self.servers.publisher.take()));
            self.forest.ports[1].store(self.servers.start_second(time), Ordering::SeqCst);
            self.servers.start_publisher(time);
            let published = || self.register().published().expect("the folder can be read");
            let before = published();
            self.forest.more(12);
            until("it is published", || published() != before);
        }
        wrong
    }

    /// Fills the disk until writes are refused, then frees it.
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

    /// Waits until every event is in the register.
    fn settled(&mut self) {
        let mut db = self.servers.superuser();
        until("the queue is empty", || {
            let waiting = sqlx::query_scalar::<_, i64>("SELECT count(*) FROM leaf_queue").fetch_one(&mut db);
            self.runtime.block_on(waiting).is_ok_and(|waiting| waiting == 0)
        });
        self.runtime.block_on(db.close()).expect("closed");
    }

    /// The folder of the published register.
    fn register(&self) -> Folder {
        Folder::new(self.servers.register())
    }

    /// Checks that every published checkpoint in `met` matches the leaves. Then waits until a checkpoint
    /// covers all leaves, and checks the checkpoints published meanwhile. Returns the first error.
    fn published(&mut self, met: &[Vec<u8>]) -> Option<String> {
        let (folder, keys) = (self.register(), [self.register_key.clone()]);
        let seen = &mut self.seen;
        let (mut last, mut fault) = (met.last().cloned(), None);
        for bytes in met {
            if let Err(wrong) = seen.published(bytes, &keys) {
                return Some(format!("while it ran: {wrong}"));
            }
        }
        until("all of it is published", || {
            let now = folder.published().expect("the folder can be read");
            if let Some(bytes) = now.as_ref().filter(|_| now != last)
                && let Err(wrong) = seen.published(bytes, &keys)
            {
                fault = Some(format!("afterwards: {wrong}"));
            }
            last = now;
            fault.is_some() || seen.published_size() == seen.size()
        });
        fault
    }
}

/// Stops a process with SIGTERM; returns an error unless it exits with 0.
fn ended_well(process: Option<Process>) -> Option<String> {
    let mut process = process.expect("runs");
    let status = process.stop();
    (status.code() != Some(0)).then(|| format!("SIGTERM: {status}: {:#?}", process.said()))
}

impl Trial {
    /// Every process ends cleanly.
    fn end(self, report: &mut Report) {
        report.events = (report.events.0 + self.seen.size(), 0);
        assert_eq!(self.servers.end(), Vec::<String>::new());
    }
}

/// A felling ticket and the organisations and keys that work under it.
fn prepared(ports: [u16; 2], keys: Vec<VerifierKey>, random: &mut Random) -> Arc<Forest> {
    let bin = |n: u32| {
        let number = |check: u32| format!("04064000{n:03}{check}");
        (0..10).map(number).find(|text| ormantrace::timber::party::bin::Bin::parse(text).is_ok())
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
        seals: Mutex::new(Vec::new()),
        stop: AtomicBool::new(false),
        deaf: AtomicU32::new(0),
        acknowledged: AtomicU32::new(0),
        by: [0, 0].map(AtomicU32::new),
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
    let today = ormantrace::base::clock::Clock::system().now().date_naive();
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
    let _alone = ALONE.lock().unwrap_or_else(PoisonError::into_inner);
    let mut kinds = Fault::ALL.to_vec();
    if faketime().is_none() {
        kinds.retain(|fault| !fault.is_of_the_clock());
    }
    let rounds = setting("ORMANTRACE_FAULT_ROUNDS").unwrap_or(kinds.len() as u64);
    let seed = setting("ORMANTRACE_FAULT_SEED").unwrap_or_else(|| {
        let mut bytes = [0; 4];
        getrandom::fill(&mut bytes).expect("randomness");
        u32::from_be_bytes(bytes).into()
    });
    println!("ORMANTRACE_FAULT_SEED={seed} ORMANTRACE_FAULT_ROUNDS={rounds}");
    let path = std::env::var_os("ORMANTRACE_FAULT_REPORT").map(PathBuf::from);
    let mut report = Report::begin(path, seed, rounds);
    if faketime().is_none() {
        report.skipped.push("clock jumps: faketime is not installed".to_owned());
    }
    let runtime = tokio::runtime::Builder::new_multi_thread()
        .worker_threads(1)
        .enable_all()
        .build()
        .expect("a runtime");
    let mut order = Random::new(seed);

    let mut trial = Trial::begin(Ground::new(None).expect("a folder"), order.next(), runtime.handle());
    report.postgres = trial.servers.version_of_postgres();
    let mut faults = Vec::new();
    for round in 1..=rounds {
        if faults.is_empty() {
            faults = order.shuffled(&kinds);
        }
        let fault = faults.pop().expect("filled");
        play(&mut trial, &mut report, fault, round, rounds);
    }
    trial.end(&mut report);

    match Ground::new(Some(SMALL_DISK)) {
        None => report.skipped.push("disk full: this user may not mount a file system".to_owned()),
        Some(ground) => {
            let mut trial = Trial::begin(ground, order.next(), runtime.handle());
            let rounds = disk_full_rounds(rounds);
            for round in 1..=rounds {
                play(&mut trial, &mut report, Fault::DiskFull, round, rounds);
            }
            trial.end(&mut report);
        }
    }
    println!("\nSeed {seed}.\n{}", report.end());
    for what in &report.skipped {
        println!("SKIPPED: {what}");
    }
}

/// Runs a round that must find no error.
fn play(trial: &mut Trial, report: &mut Report, fault: Fault, round: u64, rounds: u64) {
    let whole = round.is_multiple_of(WHOLE_EVERY) || round == rounds;
    match trial.round(fault, whole) {
        Ok(figures) => {
            report.events.1 = trial.seen.size();
            report.whole += u32::from(whole);
            report.add(fault, &figures);
        }
        Err(wrong) => {
            report.fail(fault, &wrong.join("\n"));
            panic!("round {round}, {fault}: {wrong:#?}");
        }
    }
    println!("round {round} of {rounds}: {fault}: {} events, nothing lost", trial.seen.size());
}
