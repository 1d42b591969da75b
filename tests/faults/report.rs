//! What a run came to, as a table; and as a file, where one is asked for.

use crate::fault::Fault;
use ormantrace::base::clock::Clock;
use std::collections::BTreeMap;
use std::fmt::Write;
use std::path::PathBuf;
use std::process::Command;
use std::time::Instant;

/// What the rounds of one kind came to.
#[derive(Default)]
pub struct Figures {
    pub rounds: u32,
    pub acknowledged: u32,
    pub repeated: u32,
    /// Published checkpoints that were held against the leaves.
    pub checkpoints: u32,
    pub slowest_ms: u128,
}

/// A run.
pub struct Report {
    path: Option<PathBuf>,
    seed: u64,
    /// Rounds that were asked for, without those of the full disk.
    asked: u64,
    began: Instant,
    date: String,
    commit: String,
    kernel: String,
    pub postgres: String,
    figures: BTreeMap<Fault, Figures>,
    /// Events of the grounds that are done, and of the one that is used.
    pub events: (usize, usize),
    /// Rounds after which everything was recomputed, and `fsck` run.
    pub whole: u32,
    pub skipped: Vec<String>,
    /// What was found wrong: the run ends with it.
    found: Option<String>,
    done: bool,
}

/// What a program says, in one line; nothing where there is none such.
fn said(program: &str, arguments: &[&str]) -> Option<String> {
    let said = Command::new(program).args(arguments).output().ok().filter(|said| said.status.success())?;
    Some(String::from_utf8_lossy(&said.stdout).trim().to_owned())
}

/// The commit that is tried, and whether it is all of it. The report itself does not count.
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

    /// A round that found something: the file says so too.
    pub fn fail(&mut self, fault: Fault, found: &str) {
        self.found = Some(format!("{fault}: {found}"));
        self.write();
    }

    /// Everything that was asked for has run.
    pub fn end(&mut self) -> String {
        self.done = true;
        self.write();
        self.table()
    }

    /// After every round, so that a run that is broken off has told what it came to.
    fn write(&self) {
        if let Some(path) = &self.path {
            std::fs::write(path, self.text()).unwrap_or_else(|error| panic!("{}: {error}", path.display()));
        }
    }

    fn table(&self) -> String {
        let mut text = String::from(
            "| fault | rounds | acknowledged answers | sent again | checkpoints seen | until served again, slowest |\n\
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
            None => "Lost 0, doubled 0, forks 0, inconsistent checkpoints 0.".to_owned(),
            Some(found) => format!("FOUND, and the run ended with it:\n```\n{found}\n```"),
        };
        write!(
            text,
            "\n{} rounds in {} s: {} acknowledged answers, {} requests sent again, {} events, {} published checkpoints \
             held against the leaves, {} times everything recomputed and `fsck` run. {lost}\n",
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
            "\n**Not all of it: the run was broken off after the rounds below.**\n"
        };
        let mut skipped = self.skipped.clone();
        if !self.done {
            let (full, others): (Vec<_>, Vec<_>) =
                self.figures.iter().partition(|(fault, _)| **fault == Fault::DiskFull);
            let count =
                |some: &[(&Fault, &Figures)]| some.iter().map(|(_, of)| u64::from(of.rounds)).sum::<u64>();
            skipped.push(format!("{} of the {asked} rounds, which were not reached", asked - count(&others)));
            if full.is_empty() {
                skipped.push("the disk full, which comes last".to_owned());
            }
        }
        let skipped = if skipped.is_empty() {
            "Nothing.".to_owned()
        } else {
            skipped.iter().map(|what| format!("- {what}")).collect::<Vec<_>>().join("\n")
        };
        format!(
            "# Faults: what was done, and what was found

Written by the fault harness (`tests/faults`); not edited. In every round five writers post to two servers and remember
every acknowledged answer; a fault is done at a moment that the seed decides; everything goes on by both servers; what
was unheard is sent again under its idempotency key until it is settled. Then each acknowledged event must be there
once and nothing else, every chain linked, no time falling, the register's leaves those of before and more, and every
checkpoint that was published meanwhile (looked at every 5 ms) no smaller than the one before, with the root of just
those leaves. \"Until served again\" is from the fault to twelve more answers, some by each server, so it is the time
of a program's start where one is started, and of everything the fault itself waits for.

| | |
|---|---|
| begun | {} |
| commit | {} |
| program | ormantrace {} |
| PostgreSQL | {} |
| kernel, cores | {}, {cores} |
| seed, rounds | {seed}, {asked} and a twentieth of that with the disk full |
{broken_off}
{}
## Skipped
{skipped}

Two sequencers run in every round, one in each server. Elsewhere: the publisher killed at each of its 238 file calls
(`tests/program/killed.rs`), a restored backup (`tests/api/publish.rs`).

## Again
```sh
ORMANTRACE_FAULT_SEED={seed} ORMANTRACE_FAULT_ROUNDS={asked} ORMANTRACE_FAULT_REPORT=docs/FAULTS.md \\
    cargo test --locked --test faults -- --nocapture
```
The seed repeats the choices; the races are the machine's.
",
            self.date,
            self.commit,
            env!("CARGO_PKG_VERSION"),
            self.postgres,
            self.kernel,
            self.table(),
        )
    }
}
