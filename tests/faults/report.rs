//! The results of a run: a table, and a file if one is named.

use crate::fault::Fault;
use ormantrace::base::clock::Clock;
use std::collections::BTreeMap;
use std::fmt::Write;
use std::path::PathBuf;
use std::process::Command;
use std::time::Instant;

const NOTHING_FOUND: &str =
    "Lost 0, duplicated 0, forks (two different registers signed) 0, inconsistent checkpoints 0.";

/// Heading of the report's last section. The test of availability writes that section, and this test does not
/// change it.
pub const AVAILABILITY: &str = "## Availability under attack";

/// How many rounds with a full disk are run in addition to `rounds` other rounds.
pub fn disk_full_rounds(rounds: u64) -> u64 {
    (rounds / 20).max(1)
}

/// The figures of all rounds of one fault.
#[derive(Default)]
pub struct Figures {
    pub rounds: u32,
    pub acknowledged: u32,
    pub repeated: u32,
    /// Number of published checkpoints that were checked against the leaves.
    pub checkpoints: u32,
    pub slowest_ms: u128,
}

/// A run.
pub struct Report {
    path: Option<PathBuf>,
    seed: u64,
    /// Number of requested rounds, without those with a full disk.
    asked: u64,
    began: Instant,
    date: String,
    commit: String,
    kernel: String,
    pub postgres: String,
    figures: BTreeMap<Fault, Figures>,
    /// Number of events in the finished trials, and in the trial in progress.
    pub events: (usize, usize),
    /// Number of rounds after which everything was recomputed and `fsck` was run.
    pub whole: u32,
    pub skipped: Vec<String>,
    /// The errors found, which end the run.
    found: Option<String>,
    done: bool,
}

/// The output of a program; `None` if it fails or is missing.
fn said(program: &str, arguments: &[&str]) -> Option<String> {
    let said = Command::new(program).args(arguments).output().ok().filter(|said| said.status.success())?;
    Some(String::from_utf8_lossy(&said.stdout).trim().to_owned())
}

/// The commit under test, and whether there are uncommitted changes. The report itself does not count.
fn commit() -> String {
    let Some(commit) = said("git", &["rev-parse", "--short=12", "HEAD"]) else { return "unknown".to_owned() };
    let changed = said("git", &["status", "--porcelain", "--", ".", ":!docs/FAULTS.md"]);
    if changed.is_none_or(|changed| !changed.is_empty()) {
        return format!("{commit} and changes that were not committed");
    }
    commit
}

impl Report {
    pub fn begin(path: Option<PathBuf>, seed: u64, asked: u64) -> Self {
        Self {
            path,
            seed,
            asked,
            began: Instant::now(),
            date: ormantrace::base::units::utc_text(Clock::system().now()),
            commit: commit(),
            kernel: said("uname", &["-srm"]).unwrap_or_else(|| "unknown".to_owned()),
            postgres: String::new(),
            figures: BTreeMap::new(),
            events: (0, 0),
            whole: 0,
            skipped: Vec::new(),
            found: None,
            done: false,
        }
    }

    /// One more round.
    pub fn add(&mut self, fault: Fault, round: &Figures) {
        let sum = self.figures.entry(fault).or_default();
        sum.rounds += 1;
        sum.acknowledged += round.acknowledged;
        sum.repeated += round.repeated;
        sum.checkpoints += round.checkpoints;
        sum.slowest_ms = sum.slowest_ms.max(round.slowest_ms);
        self.write();
    }

    /// Records the error that ended the run, in the file too.
    pub fn fail(&mut self, fault: Fault, found: &str) {
        self.found = Some(format!("{fault}: {found}"));
        self.write();
    }

    /// All requested rounds have run.
    pub fn end(&mut self) -> String {
        self.done = true;
        self.write();
        self.table()
    }

    /// Called after every round, so that an interrupted run leaves its results so far.
    fn write(&self) {
        if let Some(path) = &self.path {
            let before = std::fs::read_to_string(path).unwrap_or_default();
            let kept = before.find(AVAILABILITY).map(|from| format!("\n{}", &before[from..]));
            std::fs::write(path, self.text() + &kept.unwrap_or_default())
                .unwrap_or_else(|error| panic!("{}: {error}", path.display()));
        }
    }

    fn table(&self) -> String {
        let mut text = String::from(
            "| fault | fault rounds | acknowledged writes | requests sent again | checkpoints seen | slowest recovery |\n\
             |---|--:|--:|--:|--:|--:|\n",
        );
        let mut all = Figures::default();
        for (fault, Figures { rounds, acknowledged, repeated, checkpoints, slowest_ms }) in &self.figures {
            let line = format!("| {fault} | {rounds} | {acknowledged} | {repeated} | {checkpoints} |");
            writeln!(text, "{line} {slowest_ms} ms |").expect("a string");
            all.rounds += rounds;
            all.acknowledged += acknowledged;
            all.repeated += repeated;
            all.checkpoints += checkpoints;
        }
        let lost = match &self.found {
            None => NOTHING_FOUND.to_owned(),
            Some(found) => format!("FOUND, and the run ended with it:\n```\n{found}\n```"),
        };
        write!(
            text,
            "\n{} fault rounds in {} s: {} acknowledged writes, {} requests sent again, {} events, {} published checkpoints \
             compared with the leaves; every event was recomputed, and `fsck` run, {} times. {lost}\n",
            all.rounds,
            self.began.elapsed().as_secs(),
            all.acknowledged,
            all.repeated,
            self.events.0 + self.events.1,
            all.checkpoints,
            self.whole,
        )
        .expect("a string");
        text
    }

    fn text(&self) -> String {
        let cores = std::thread::available_parallelism().map_or(0, usize::from);
        let (seed, asked) = (self.seed, self.asked);
        let broken_off = if self.done || self.found.is_some() {
            ""
        } else {
            "\n**Incomplete: the run was stopped after the fault rounds below.**\n"
        };
        let mut skipped = self.skipped.clone();
        if !self.done {
            let (full, others): (Vec<_>, Vec<_>) =
                self.figures.iter().partition(|(fault, _)| **fault == Fault::DiskFull);
            let count =
                |some: &[(&Fault, &Figures)]| some.iter().map(|(_, of)| u64::from(of.rounds)).sum::<u64>();
            skipped.push(format!("{} of the {asked} fault rounds: not reached", asked - count(&others)));
            if full.is_empty() {
                skipped.push("the full disk, which comes last".to_owned());
            }
        }
        let skipped = if skipped.is_empty() {
            "Nothing.".to_owned()
        } else {
            skipped.iter().map(|what| format!("- {what}")).collect::<Vec<_>>().join("\n")
        };
        format!(
            "# Fault injection: faults and results

The fault harness (`tests/faults`) writes this page; do not edit it. In each fault round five writers send requests to
two servers on one database and remember every acknowledged write: the first server runs the private PostgreSQL, the other
connects to it through a proxy, as does the publisher. A fault is injected at a moment derived from the seed. A process
that the fault stopped is started again, and both servers must acknowledge more writes. Requests without a response are sent again
under their idempotency key until each has a final response. The checks after each fault round: each
acknowledged event is stored exactly once, and no other event. Every chain is linked, and `received_at` does not decrease
within a chain. The register's earlier leaves are unchanged. Each checkpoint that was published during the fault round (polled
every 5 ms) is no smaller than the one before, and its root is the root of a tree of the register's first leaves, up to
its size.
\"Recovery\" is the time from the fault to twelve more responses, at least one by each server. It includes the
start of a program, if one is started, and the waits that belong to the fault.

| | |
|---|---|
| started | {} |
| commit | {} |
| program | ormantrace {} |
| PostgreSQL | {} |
| kernel, cores | {}, {cores} |
| seed | {seed} |
| fault rounds | {asked}, and {} more with a full disk |
{broken_off}
{}
## Skipped
{skipped}

Two sequencers run in every fault round, one in each server. Other tests kill the publisher at each of its 238 file calls
(`tests/program/killed.rs`) and restore an old backup (`tests/api/publish.rs`).

## To repeat the run
```sh
ORMANTRACE_FAULT_SEED={seed} ORMANTRACE_FAULT_ROUNDS={asked} ORMANTRACE_FAULT_REPORT=docs/FAULTS.md \\
    cargo test --locked --test faults -- --nocapture
```
The seed repeats the choices, but not the timing of races.
",
            self.date,
            self.commit,
            env!("CARGO_PKG_VERSION"),
            self.postgres,
            self.kernel,
            disk_full_rounds(asked),
            self.table(),
        )
    }
}
