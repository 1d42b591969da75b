//! A client that keeps to the rules is served, whatever other clients do.
//!
//! Nine shapes of attack run one after another, each against a small server process of its own. During each
//! attack, a client writes, reads and checks codes, each request on its own connection; every request must
//! get a response, and none may be a 503 or a 429. The server's resident memory (99th percentile during the
//! attack) must be within three times that of the idle server. `ORMANTRACE_LONG=1` runs each attack for a
//! minute instead of some seconds, with longer chains and larger harvests; it needs a `--release` build.
//! `ORMANTRACE_AVAILABILITY_REPORT` names a document for the results.

use crate::attack::{Attack, Shape};
use crate::scene::{self, Served};
use crate::servers::until;
use crate::support::process::{Running, TOKEN, data, program};
use ormantrace::base::clock::Clock;
use rustix::process::Signal;
use std::fmt::Write;
use std::path::Path;
use std::process::Command;
use std::sync::atomic::{AtomicBool, Ordering};
use std::sync::{Arc, PoisonError};
use std::time::{Duration, Instant};

/// How much an attack takes and lasts.
struct Size {
    lasts: Duration,
    /// Events of the long chain.
    events: u32,
    /// Logs of the large dry run.
    logs: usize,
}

impl Size {
    fn new() -> Self {
        if is_long() {
            Self { lasts: Duration::from_mins(1), events: 6_000, logs: 5_000 }
        } else {
            Self { lasts: Duration::from_secs(4), events: 1_500, logs: 200 }
        }
    }
}

fn is_long() -> bool {
    std::env::var_os("ORMANTRACE_LONG").is_some_and(|long| long == "1")
}

/// Starts a server, and limits its number of open files if `files` is given.
fn start(folder: &Path, files: Option<u32>) -> Running {
    let options = ["--operator-token", TOKEN, "--origin", "orman.test/register"];
    let ours = program();
    let Some(files) = files else { return Running::start_by(ours, "serve", folder, &options) };
    let mut limited = Command::new("sh");
    limited.args(["-c", &format!("ulimit -n {files}; exec \"$0\" \"$@\"")]).arg(ours.get_program());
    for (name, value) in ours.get_envs() {
        match value {
            Some(value) => limited.env(name, value),
            None => limited.env_remove(name),
        };
    }
    Running::start_by(limited, "serve", folder, &options)
}

/// Resident memory of a process in bytes.
fn resident(pid: u32) -> u64 {
    let status = std::fs::read_to_string(format!("/proc/{pid}/status")).unwrap_or_default();
    let line = status.lines().find_map(|line| line.strip_prefix("VmRSS:"));
    let kilobytes: u64 = line.and_then(|line| line.trim().split(' ').next()?.parse().ok()).unwrap_or(0);
    kilobytes << 10
}

/// The 99th percentile.
fn p99(values: &mut [u64]) -> u64 {
    values.sort_unstable();
    values.get((values.len() * 99 / 100).min(values.len().saturating_sub(1))).copied().unwrap_or(0)
}

/// The results of one shape.
struct Outcome {
    shape: Shape,
    served: Served,
    gains: String,
    idle: u64,
    p99: u64,
}

impl Outcome {
    fn line(&self) -> String {
        let Served { writes, reads, checks, slowest, refused } = &self.served;
        format!(
            "| {} | {writes} | {reads} | {checks} | {} | {} ms | {} | {} MB | {} MB |",
            self.shape,
            refused.len(),
            slowest.as_millis(),
            self.gains,
            self.idle >> 20,
            self.p99 >> 20
        )
    }
}

const HEAD: &str = "| attack | writes | reads | checks | refused or lost | slowest response | what the attacker got | \
                    memory, idle | memory, p99 |\n|---|--:|--:|--:|--:|--:|---|--:|--:|\n";

#[test]
fn a_client_is_served_whatever_others_do() {
    let _alone = crate::ALONE.lock().unwrap_or_else(PoisonError::into_inner);
    // The attackers need many files, too.
    let _ = ormantrace::net::files::raise_limit();
    let size = Size::new();
    let runtime = tokio::runtime::Builder::new_multi_thread()
        .worker_threads(2)
        .enable_all()
        .build()
        .expect("a runtime");
    let wanted = std::env::var("ORMANTRACE_ATTACK").ok();
    let mut outcomes = Vec::new();
    for shape in Shape::ALL
        .into_iter()
        .filter(|shape| wanted.as_ref().is_none_or(|wanted| shape.to_string().contains(wanted.as_str())))
    {
        // Each attack gets a new server, so that what one attack leaves behind does not affect the next
        // result.
        let folder = data();
        let server = start(folder.path(), (shape == Shape::LimitOfFiles).then_some(512));
        let (mut client, attacker) =
            scene::prepare(&server, folder.path(), size.events, size.logs, runtime.handle());
        let attacker = Arc::new(attacker);
        let idle = resident(server.child.id());
        let mut memory = Vec::new();
        let (served, gains) = {
            let _entered = runtime.enter();
            let attack = Attack::begin(shape, server.address, &attacker);
            until("the attack has begun", || attack.gains.opened() > 20);
            let stop = AtomicBool::new(false);
            let served = std::thread::scope(|scope| {
                let working = scope.spawn(|| client.work(&stop));
                let since = Instant::now();
                while since.elapsed() < size.lasts || !working.is_finished() {
                    stop.store(since.elapsed() >= size.lasts, Ordering::SeqCst);
                    memory.push(resident(server.child.id()));
                    std::thread::sleep(Duration::from_millis(20));
                }
                working.join().expect("no panic")
            });
            (served, attack.gains.to_string())
        };
        let outcome = Outcome { shape, served, gains, idle, p99: p99(&mut memory) };
        println!("{}", outcome.line());
        server.signal(Signal::TERM);
        let (status, log) = server.end();
        assert_eq!(status.code(), Some(0), "{shape}: {log}");
        outcomes.push(outcome);
    }
    report(&outcomes, &size);
    let mut failed = String::new();
    for Outcome { shape, served, idle, p99, .. } in &outcomes {
        for refused in &served.refused {
            writeln!(failed, "{shape}: {refused}").expect("a string");
        }
        if served.writes.min(served.reads).min(served.checks) == 0 {
            writeln!(failed, "{shape}: the client was not served at all").expect("a string");
        }
        if *p99 > 3 * idle {
            writeln!(failed, "{shape}: {p99} bytes of memory, {idle} when idle").expect("a string");
        }
    }
    assert!(failed.is_empty(), "\n{failed}");
}

/// Writes the results as a section of the document that `ORMANTRACE_AVAILABILITY_REPORT` names, if it is set.
fn report(outcomes: &[Outcome], size: &Size) {
    let Some(path) = std::env::var_os("ORMANTRACE_AVAILABILITY_REPORT") else { return };
    let profile = if cfg!(debug_assertions) { "debug" } else { "release" };
    let rows: String = outcomes.iter().map(|outcome| outcome.line() + "\n").collect();
    let section = format!(
        "{}\n\nThe harness (`tests/faults/availability.rs`) wrote this section on {}: each attack for {} s against \
         a separate server process\n({profile} build), with chains of {} events and dry runs of {} logs. During the attack a client wrote, read and \
         checked codes; none of its requests\nmay be refused or lost. Memory is the resident memory of the server process: \
         before the attack, and the 99th percentile during it,\nwhich must be within three times the memory before it.\n\n{HEAD}{rows}",
        crate::report::AVAILABILITY,
        ormantrace::base::units::utc_text(Clock::system().now()),
        size.lasts.as_secs(),
        size.events,
        size.logs,
    );
    let before = std::fs::read_to_string(&path).unwrap_or_default();
    let before = before.split(crate::report::AVAILABILITY).next().unwrap_or_default().trim_end();
    std::fs::write(&path, format!("{before}\n\n{section}")).expect("written");
}
