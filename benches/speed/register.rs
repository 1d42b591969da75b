//! The cost of the register: its lag, its cost for writes, whether `fsck` delays it, and the time of a
//! check of a history.
//!
//! "Without the register" means that the sequencer finds the row of table `register` locked, and that the
//! publisher is stopped. Both occur in operation, so the server needs no code for measuring. Writes are
//! refused once the oldest queued event is 30 s old, so each turn without the register is shorter than that.

use super::bench::Bench;
use super::blocking::{call, post};
use super::plans::Appends;
use super::process;
use super::timber::{FIRST_SEAL, Parties, TRUCK};
use super::traffic::Dice;
use super::world::OPERATOR_TOKEN;
use ormantrace::base::clock::Clock;
use rustix::process::{Pid, Signal, kill_process};
use serde::Serialize;
use serde_json::json;
use std::error::Error;
use std::net::SocketAddr;
use std::ops::Range;
use std::path::{Path, PathBuf};
use std::process::{Child, Command, Stdio};
use std::sync::atomic::{AtomicBool, Ordering};
use std::time::{Duration, Instant};

type Failure = Box<dyn Error + Send + Sync>;

/// Events per second in the goals.
const RATE: u64 = 2_000;
/// Number of connections that produce that rate.
const CONNECTIONS: u64 = 8;
/// Number of connections that write as fast as they get responses.
const SATURATED: usize = 32;
/// Number of checks of one history.
const CHECKS: usize = 50;

/// The results.
#[derive(Clone, Debug, Serialize)]
pub struct Register {
    /// Events per second, sent in requests of twenty events: the target rate and the actual rate.
    pub rate: [f64; 2],
    /// Lag of each checkpoint (from the receipt of the oldest event that it newly covers to its publication):
    /// median, 99th percentile and maximum; ms.
    pub lag_ms: [f64; 3],
    /// Processor time of server, PostgreSQL and publisher per event at the target rate, without the register
    /// and with it; µs.
    pub cpu_us: [f64; 2],
    /// `cpu_us` with the register divided by `cpu_us` without it.
    pub cpu_ratio: f64,
    /// Events per second with one event per request, as fast as responses arrive, without the register and
    /// with it.
    pub saturated: [f64; 2],
    /// `saturated` with the register divided by `saturated` without it.
    pub saturated_ratio: f64,
    /// Time of one round of the sequencer at the target rate, without and with a concurrent `fsck`; ms.
    pub round_ms: [f64; 2],
    /// `round_ms` with `fsck` divided by `round_ms` without it.
    pub round_ratio: f64,
    /// Peak resident memory of the concurrent `fsck`, bytes.
    pub fsck_peak: u64,
    /// Time of a check of a history of twelve events by `ormantrace verify`, including the program's
    /// start: median and maximum; ms.
    pub verify_ms: [f64; 2],
}

/// Measures the register. The database must contain only data written by the server and the loader.
///
/// # Errors
/// A write is refused, or a program fails.
pub async fn register(bench: &mut Bench) -> Result<Register, Failure> {
    let time = bench.round().max(Duration::from_secs(2)) * if bench.settings.quick { 1 } else { 3 };
    // A quick run uses an unoptimised build, which would not reach the complete rate.
    let rate = if bench.settings.quick { RATE / 10 } else { RATE };
    let publisher = Publisher::start(bench)?;
    publisher.caught_up(bench).await?;

    let (mut without, mut with) = (Turn::default(), Turn::default());
    for _ in 0..bench.settings.rounds {
        let held = publisher.hold(bench).await?;
        without.add(paced(bench, &publisher, rate, time)?);
        held.release(&publisher).await?;
        publisher.caught_up(bench).await?;
        with.add(paced(bench, &publisher, rate, time)?);
        publisher.caught_up(bench).await?;
    }
    let lag_ms = with.lag(bench).await?;

    let mut saturated = [0.0, 0.0];
    for _ in 0..bench.settings.rounds {
        let held = publisher.hold(bench).await?;
        saturated[0] += flat_out(bench)?;
        held.release(&publisher).await?;
        publisher.caught_up(bench).await?;
        saturated[1] += flat_out(bench)?;
        publisher.caught_up(bench).await?;
    }
    let saturated = saturated.map(|sum| sum / bench.settings.rounds as f64);

    let before = rounds(bench)?;
    paced(bench, &publisher, rate, time)?;
    let between = rounds(bench)?;
    let fsck = Fsck::start(bench)?;
    paced(bench, &publisher, rate, time)?;
    let after = rounds(bench)?;
    let fsck_peak = fsck.end()?;
    let round = |from: [f64; 2], to: [f64; 2]| (to[0] - from[0]) / (to[1] - from[1]).max(1.0) * 1e3;
    let round_ms = [round(before, between), round(between, after)];
    publisher.caught_up(bench).await?;
    let verify_ms = verify(bench, &publisher).await?;

    let cpu_us = [without.cpu_us(), with.cpu_us()];
    Ok(Register {
        rate: [rate as f64, with.events as f64 / with.seconds],
        lag_ms,
        cpu_us,
        cpu_ratio: cpu_us[1] / cpu_us[0],
        saturated,
        saturated_ratio: saturated[1] / saturated[0],
        round_ms,
        round_ratio: round_ms[1] / round_ms[0],
        fsck_peak,
        verify_ms,
    })
}

/// The measurements of all turns without the register, or of all turns with it.
#[derive(Default)]
struct Turn {
    events: u64,
    seconds: f64,
    cpu: Duration,
    /// The times (µs since 1970) at which checkpoints were first seen, and their sizes; separately for
    /// each turn, because checkpoints published between two turns are seen late.
    seen: Vec<Vec<(i64, u64)>>,
}

impl Turn {
    fn add(&mut self, other: Self) {
        self.events += other.events;
        self.seconds += other.seconds;
        self.cpu += other.cpu;
        self.seen.extend(other.seen);
    }

    fn cpu_us(&self) -> f64 {
        self.cpu.as_secs_f64() * 1e6 / self.events.max(1) as f64
    }

    /// The lag of each checkpoint: from the receipt of the oldest event that no earlier checkpoint covered,
    /// until the checkpoint is first seen. Returns median, 99th percentile and maximum, in ms.
    async fn lag(&self, bench: &Bench) -> Result<[f64; 3], Failure> {
        let mut lags = Vec::new();
        for two in self.seen.iter().flat_map(|turn| turn.windows(2)) {
            let [(_, from), (at, to)] = *two else { continue };
            let oldest: Option<i64> = sqlx::query_scalar(
                "SELECT min((extract(epoch FROM e.received_at) * 1000000)::bigint)
                 FROM leaf l JOIN event e ON e.subject_id = l.subject_id AND e.seq = l.seq
                 WHERE l.index >= $1 AND l.index < $2",
            )
            .bind(i64::try_from(from)?)
            .bind(i64::try_from(to)?)
            .fetch_one(&bench.pool)
            .await?;
            lags.extend(oldest.filter(|_| to > from).map(|oldest| (at - oldest) as f64 / 1e3));
        }
        lags.sort_by(f64::total_cmp);
        let at = |part: f64| lags.get(((lags.len() - 1) as f64 * part) as usize).copied();
        if lags.is_empty() {
            return Err("no checkpoint was published meanwhile".into());
        }
        Ok([0.5, 0.99, 1.0].map(|part| at(part).unwrap_or_default()))
    }
}

/// Records events at a rate, one truck per request, for this long.
fn paced(bench: &Bench, publisher: &Publisher, rate: u64, time: Duration) -> Result<Turn, Failure> {
    let [logs, _] = bench.append_logs();
    let trucks = logs.start.div_ceil(TRUCK)..logs.end / TRUCK;
    let (server, parties) = (bench.server.address, &bench.parties);
    let began = Instant::now();
    let stop = AtomicBool::new(false);
    let used = || -> Result<Duration, Failure> {
        let cpu = bench.cpu()?;
        Ok(cpu.server + cpu.postgres + process::used(publisher.child.id())?)
    };
    let before = used()?;
    let (posted, seen) = std::thread::scope(|scope| {
        let looking = scope.spawn(|| publisher.look(&stop));
        let writers: Vec<_> = (0..CONNECTIONS)
            .map(|writer| {
                let trucks = trucks.clone();
                scope.spawn(move || keep_up(server, parties, &trucks, writer, rate, [began, began + time]))
            })
            .collect();
        let posted: Result<u64, Failure> =
            writers.into_iter().map(|writer| writer.join().map_err(|_| "a writer died")?).sum();
        stop.store(true, Ordering::Relaxed);
        let seen = looking.join().map_err(|_| Failure::from("the look died"));
        (posted, seen)
    });
    let seconds = began.elapsed().as_secs_f64();
    Ok(Turn { events: posted?, seconds, cpu: used()?.saturating_sub(before), seen: vec![seen?] })
}

/// Records this writer's share of the events at the given rate, and returns their number. A writer that is
/// late continues without a pause.
fn keep_up(
    server: SocketAddr,
    parties: &Parties,
    trucks: &Range<u64>,
    writer: u64,
    rate: u64,
    [began, end]: [Instant; 2],
) -> Result<u64, Failure> {
    let step = Duration::from_secs(1) * u32::try_from(TRUCK)? / u32::try_from(rate)?;
    let mut dice = Dice::new(writer + 11);
    let mut events = 0;
    for turn in 0_u32.. {
        let due = began + step * (turn * u32::try_from(CONNECTIONS)? + u32::try_from(writer)?);
        if due >= end {
            break;
        }
        std::thread::sleep(due.saturating_duration_since(Instant::now()));
        let first = (trucks.start + dice.roll(trucks.end - trucks.start)) * TRUCK;
        store(server, parties, first..first + TRUCK)?;
        events += TRUCK;
    }
    Ok(events)
}

/// Records that the logs of one truck were stored.
fn store(server: SocketAddr, parties: &Parties, logs: Range<u64>) -> Result<(), Failure> {
    let token = &parties.sawmill(logs.start).token;
    let numbers: Vec<String> = logs.map(|log| format!("KZ{}", FIRST_SEAL + log)).collect();
    let body = json!({
        "type": "stored", "logs": numbers, "occurred_at": Clock::system().now(),
        "place": {"name": "Семей, дайын өнім алаңы", "region": "KZ-10", "kind": "storage"}
    });
    post(server, token, "/v1/custody-events", &body).map(drop)
}

/// Records events one by one, as fast as responses arrive; returns events per second.
fn flat_out(bench: &mut Bench) -> Result<f64, Failure> {
    let [logs, _] = bench.append_logs();
    let parties = bench.parties.clone();
    let time = bench.round();
    let (traffic, _) =
        bench.ask(SATURATED, time, &mut Appends::new(logs, &parties, Clock::system().now()))?;
    match traffic.first_bad {
        Some(bad) => Err(format!("an append: {bad}").into()),
        None => Ok(traffic.good as f64 / traffic.seconds),
    }
}

/// Total seconds and number of the sequencer's rounds so far, from `/metrics`.
fn rounds(bench: &Bench) -> Result<[f64; 2], Failure> {
    let (_, told) = call(bench.server.address, "GET", "/metrics", Some(OPERATOR_TOKEN), None)?;
    let told = String::from_utf8(told)?;
    let of = |name: &str| -> Result<f64, Failure> {
        let line = told.lines().find_map(|line| line.strip_prefix(name));
        Ok(line.ok_or_else(|| format!("no {name} in /metrics"))?.trim().parse()?)
    };
    Ok([of("ormantrace_sequencer_round_seconds_sum")?, of("ormantrace_sequencer_round_seconds_count")?])
}

/// Adds two events to a log, exports its history, and checks the export repeatedly.
async fn verify(bench: &Bench, publisher: &Publisher) -> Result<[f64; 2], Failure> {
    let log = bench.read_logs().start;
    for _ in 0..2 {
        store(bench.server.address, &bench.parties, log..log + 1)?;
    }
    publisher.caught_up(bench).await?;
    let token = Some(bench.parties.inspector.token.as_str());
    let path = format!("/v1/logs/KZ{}/export", FIRST_SEAL + log);
    let (status, export) = call(bench.server.address, "GET", &path, token, None)?;
    let events = serde_json::from_slice::<serde_json::Value>(&export)?["events"].as_array().map(Vec::len);
    if status != 200 || events != Some(12) {
        return Err(format!("export: {status}, {events:?} events").into());
    }
    let file = bench.dir.join("scratch/export.json");
    std::fs::write(&file, export)?;
    let (_, keys) = call(bench.server.address, "GET", "/keys.json", None, None)?;
    let keys: serde_json::Value = serde_json::from_slice(&keys)?;
    let key = keys["keys"][0].as_str().ok_or("no key in /keys.json")?;
    let mut times = Vec::with_capacity(CHECKS);
    for _ in 0..CHECKS {
        let began = Instant::now();
        let done = program(&["verify", "--trust", key]).arg(&file).output()?;
        times.push(began.elapsed().as_secs_f64() * 1e3);
        if !done.status.success() {
            return Err(format!("verify: {}", String::from_utf8_lossy(&done.stdout)).into());
        }
    }
    times.sort_by(f64::total_cmp);
    Ok([times[CHECKS / 2], times[CHECKS - 1]])
}

fn program(arguments: &[&str]) -> Command {
    let mut command = Command::new(env!("CARGO_BIN_EXE_ormantrace"));
    command.args(arguments).env_remove("DATABASE_URL").stdin(Stdio::null());
    command
}

/// A running publisher.
struct Publisher {
    child: Child,
    checkpoint: PathBuf,
}

impl Publisher {
    fn start(bench: &Bench) -> Result<Self, Failure> {
        let said = std::fs::File::create(bench.dir.join("scratch/publish.txt"))?;
        let child = program(&["publish", "--origin", "measured.example/register"])
            .env("ORMANTRACE_DATA_DIR", &bench.dir)
            .stdout(Stdio::null())
            .stderr(said)
            .spawn()?;
        Ok(Self { child, checkpoint: bench.dir.join("register/checkpoint") })
    }

    /// Number of leaves of the published checkpoint.
    fn size(checkpoint: &Path) -> u64 {
        let text = std::fs::read_to_string(checkpoint).unwrap_or_default();
        text.lines().nth(1).and_then(|size| size.parse().ok()).unwrap_or_default()
    }

    /// Records the times at which new checkpoints are first seen, until `stop` is set.
    fn look(&self, stop: &AtomicBool) -> Vec<(i64, u64)> {
        let mut seen: Vec<(i64, u64)> = Vec::new();
        while !stop.load(Ordering::Relaxed) {
            let size = Self::size(&self.checkpoint);
            if seen.last().is_none_or(|(_, last)| *last < size) {
                seen.push((Clock::system().now().timestamp_micros(), size));
            }
            std::thread::sleep(Duration::from_millis(5));
        }
        seen
    }

    /// Waits until every event is in the register, and published.
    async fn caught_up(&self, bench: &Bench) -> Result<(), Failure> {
        let since = Instant::now();
        loop {
            let (waiting, size): (bool, i64) =
                sqlx::query_as("SELECT EXISTS (SELECT FROM leaf_queue), size FROM register")
                    .fetch_one(&bench.pool)
                    .await?;
            if !waiting && u64::try_from(size)? == Self::size(&self.checkpoint) {
                return Ok(());
            }
            if since.elapsed() > Duration::from_mins(10) {
                let said = std::fs::read_to_string(bench.dir.join("scratch/publish.txt"))?;
                return Err(format!("the register is not published: {said}").into());
            }
            tokio::time::sleep(Duration::from_millis(20)).await;
        }
    }

    fn signal(&self, signal: Signal) -> Result<(), Failure> {
        let pid = Pid::from_raw(i32::try_from(self.child.id())?).ok_or("no such process")?;
        Ok(kill_process(pid, signal)?)
    }

    /// Locks the row of table `register` and stops the publisher with SIGSTOP: from now on nothing is
    /// sequenced or published.
    async fn hold(&self, bench: &Bench) -> Result<Held, Failure> {
        let mut tx = bench.pool.begin().await?;
        sqlx::query("SELECT size FROM register FOR UPDATE").execute(&mut *tx).await?;
        self.signal(Signal::STOP)?;
        Ok(Held(tx))
    }
}

impl Drop for Publisher {
    fn drop(&mut self) {
        let _ = self.signal(Signal::CONT);
        let _ = self.signal(Signal::TERM);
        let _ = self.child.wait();
    }
}

/// Keeps the row of table `register` locked as long as the transaction is open.
struct Held(sqlx::Transaction<'static, sqlx::Postgres>);

impl Held {
    async fn release(self, publisher: &Publisher) -> Result<(), Failure> {
        publisher.signal(Signal::CONT)?;
        Ok(self.0.rollback().await?)
    }
}

/// `fsck` running while the server works.
struct Fsck {
    child: Child,
}

impl Fsck {
    fn start(bench: &Bench) -> Result<Self, Failure> {
        let child = program(&["fsck"])
            .env("ORMANTRACE_DATA_DIR", &bench.dir)
            .stdout(Stdio::null())
            .stderr(Stdio::null())
            .spawn()?;
        Ok(Self { child })
    }

    /// Waits until `fsck` ends, which must find no error; returns its peak memory.
    fn end(mut self) -> Result<u64, Failure> {
        let mut peak = 0;
        loop {
            if let Some(status) = self.child.try_wait()? {
                return if status.success() { Ok(peak) } else { Err(format!("fsck: {status}").into()) };
            }
            if let Ok((_, highest)) = process::resident(self.child.id()) {
                peak = highest;
            }
            std::thread::sleep(Duration::from_millis(20));
        }
    }
}
