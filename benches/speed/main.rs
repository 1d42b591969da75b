//! Compares the server with PostgreSQL alone: `cargo bench --bench speed`. docs/PERFORMANCE.md explains
//! each figure and how to read it.

#![allow(
    clippy::cast_precision_loss,
    clippy::cast_possible_truncation,
    clippy::cast_sign_loss,
    reason = "figures are rounded anyway"
)]

mod bench;
mod blocking;
#[path = "../../tests/support/chain.rs"]
mod chain;
mod check;
mod database;
mod load;
mod measure;
mod parts;
mod pgbench;
mod plans;
mod process;
mod register;
mod report;
mod scripts;
mod server;
mod settings;
mod timber;
mod traffic;
mod world;

use bench::{Bench, Read, span};
use database::{Cluster, sizes, wal};
use load::Load;
use measure::{Line, Side};
use ormantrace::base::clock::Clock;
use report::{Report, Stage};
use scripts::Scripts;
use settings::{Part, Settings};
use sqlx::{AssertSqlSafe, PgPool};
use std::error::Error;
use std::ops::Range;
use std::path::{Path, PathBuf};
use std::process::ExitCode;
use std::time::Instant;

type Failure = Box<dyn Error + Send + Sync>;

/// Bytes on disk per event with all its rows and indexes. Used to check that the disk has enough free space.
const EVENT_BYTES: u64 = 2_400;
/// The part of `EVENT_BYTES` that the event's leaf in the register takes.
const LEAF_BYTES: u64 = 260;
/// Number of events in one call of the loader. The events of one call are scattered over the chains of this
/// call only, so that the index of these chains fits into the machine's memory. With more events, each one
/// would cost a page read and a page write.
const GO: u64 = 10_000_000;
/// Shared buffers of a private cluster in an installation, in MB.
const AS_INSTALLED: u64 = 192;

fn main() -> ExitCode {
    let settings = Settings::read();
    let runtime = match tokio::runtime::Builder::new_multi_thread().worker_threads(2).enable_all().build() {
        Ok(runtime) => runtime,
        Err(error) => {
            eprintln!("speed: {error}");
            return ExitCode::FAILURE;
        }
    };
    match runtime.block_on(run(settings)) {
        Ok(()) => ExitCode::SUCCESS,
        Err(error) => {
            eprintln!("speed: {error}");
            ExitCode::FAILURE
        }
    }
}

async fn run(settings: Settings) -> Result<(), Failure> {
    let target = std::env::var_os("CARGO_TARGET_DIR")
        .map_or_else(|| Path::new(env!("CARGO_MANIFEST_DIR")).join("target"), PathBuf::from);
    let dir = std::path::absolute(settings.data_dir.clone().unwrap_or_else(|| target.join("speed")))?;
    let json = settings.json.clone().unwrap_or_else(|| target.join("speed.json"));
    if dir.exists() {
        return Err(
            format!("{} is there already: remove it, or choose another --data-dir", dir.display()).into()
        );
    }
    std::fs::create_dir_all(&dir)?;
    let outcome = Box::pin(measure_in(settings.clone(), &dir)).await;
    if !outcome.as_ref().is_ok_and(Report::is_whole) {
        server::complaints(&dir);
    }
    if settings.keep {
        eprintln!("the database is kept in {}", dir.display());
    } else {
        std::fs::remove_dir_all(&dir)?;
    }
    let report = outcome?;
    println!("{}", report.table());
    std::fs::write(&json, serde_json::to_string_pretty(&report)?)?;
    eprintln!("the figures as JSON: {}", json.display());
    if report.is_whole() { Ok(()) } else { Err("a part failed".into()) }
}

async fn measure_in(settings: Settings, dir: &Path) -> Result<Report, Failure> {
    let last = settings.grow_to.unwrap_or_default().max(settings.events);
    settings.fit()?;
    enough_room(dir, last, settings.without_leaves)?;
    let load_average = process::load_average()?;
    let memory = process::memory()?;
    let shared_buffers = settings.shared_buffers.unwrap_or((memory / 4 / 1_048_576).min(8_192));
    let scratch = dir.join("scratch");
    std::fs::create_dir_all(&scratch)?;
    let cluster = Cluster::open(dir, shared_buffers).await?;
    let pool = cluster.administrator()?;
    world::number_seals(&mut *pool.acquire().await?).await?;
    let server = bench::start(&cluster, dir)?;
    let (from, until) = span(Clock::system().now());
    eprintln!("parties, tickets and seals for {} logs", last / u64::from(timber::EVENTS));
    let mut owner = pool.acquire().await?;
    let parties = world::make(server.address, &mut owner, last / u64::from(timber::EVENTS), from).await?;
    drop(owner);
    let pgbench = Bench::pgbench(&cluster, &scratch)?;
    // The events of the organisations have been recorded already. If the server queues events for the
    // register, they are in the queue or in the register.
    let queues: bool =
        sqlx::query_scalar("SELECT EXISTS (SELECT FROM leaf_queue) OR EXISTS (SELECT FROM leaf)")
            .fetch_one(&pool)
            .await?;
    let scripts = Scripts::write(&scratch, queues)?;
    let postgresql: String = sqlx::query_scalar("SHOW server_version").fetch_one(&pool).await?;
    let mut report = Report {
        version: env!("CARGO_PKG_VERSION"),
        postgresql,
        cores: std::thread::available_parallelism()?.get(),
        memory,
        load_average,
        shared_buffers_mb: shared_buffers,
        round_seconds: settings.seconds,
        rounds: settings.rounds,
        quick: settings.quick,
        stages: Vec::new(),
    };
    let mut bench = Bench {
        dir: dir.to_owned(),
        cluster,
        pool,
        server,
        pgbench,
        scripts,
        queues,
        parties,
        logs: 0,
        from,
        until,
        checked: 0,
        seed: 1,
        settings,
    };
    let mut targets = vec![bench.settings.events];
    targets.extend(bench.settings.grow_to.filter(|more| *more > bench.settings.events));
    let whole = targets.len() == 1;
    for events in targets {
        let (next, stage) = Box::pin(measure_at(bench, events, shared_buffers, whole)).await?;
        bench = next;
        report.stages.push(stage);
    }
    let Bench { cluster, pool, server, .. } = bench;
    drop(server);
    pool.close().await;
    cluster.close().await;
    Ok(report)
}

/// Loads events until the database has this many, and measures. If `whole` is set, writes are measured too.
/// They come last, because nothing may be loaded after them.
async fn measure_at(
    mut bench: Bench,
    events: u64,
    shared_buffers: u64,
    whole: bool,
) -> Result<(Bench, Stage), Failure> {
    let logs = bench.logs..events / u64::from(timber::EVENTS);
    let mut stage = Stage { events, ..Stage::default() };
    (bench, stage.load_seconds, stage.load_wal_per_event) =
        Box::pin(load(bench, logs, shared_buffers)).await?;
    stage.sizes = Some(sizes(&bench.pool).await?);
    bench.warm_up().await?;
    stage.buffers = parts::buffers(&bench).await?;
    if bench.settings.wants(Part::Reads) {
        eprintln!("reads");
        let connections = bench.settings.connections();
        stage.warm = stage.kept(parts::reads(&mut bench, connections).await);
    }
    let (now, peak) = process::resident(bench.server.pid())?;
    stage.resident = [now, peak];
    if bench.settings.wrk {
        stage.generators = stage.kept(parts::beside_wrk(&mut bench).await);
    }
    if bench.settings.wants(Part::Lists) {
        eprintln!("lists");
        stage.lists = stage.kept(parts::lists(&mut bench));
    }
    if bench.settings.wants(Part::Small) {
        eprintln!("reads with {AS_INSTALLED} MB of shared buffers");
        (bench, _) = bench.restart(AS_INSTALLED, false).await?;
        bench.warm_up().await?;
        let connections = if bench.settings.quick { 8 } else { 32 };
        stage.small = stage.kept(parts::reads(&mut bench, &[connections]).await);
    }
    if bench.settings.wants(Part::Cold) {
        eprintln!("cold reads");
        for read in [Read::Check, Read::History] {
            let line;
            (bench, line, stage.caches_dropped) = Box::pin(cold(bench, read, shared_buffers)).await?;
            stage.cold.push(line);
        }
    }
    if whole {
        bench = Box::pin(writes(bench, &mut stage, shared_buffers)).await?;
    }
    stage.checked = bench.checked;
    Ok((bench, stage))
}

async fn writes(mut bench: Bench, stage: &mut Stage, shared_buffers: u64) -> Result<Bench, Failure> {
    (bench, _) = bench.restart(shared_buffers, false).await?;
    // The register is measured first, because `fsck` must find no error and the rows that pgbench appends
    // later form no valid chain.
    if bench.settings.wants(Part::Register) {
        eprintln!("the register");
        stage.register = stage.kept(Box::pin(register::register(&mut bench)).await.map(Some));
    }
    if bench.settings.wants(Part::Appends) {
        eprintln!("appends");
        (stage.appends, stage.append_wal_per_event) = stage.kept(parts::appends(&mut bench).await);
        stage.buffers_after_appends = Some(parts::buffers(&bench).await?);
    }
    if bench.settings.wants(Part::Flood) {
        eprintln!("appends under a flood");
        stage.flood = stage.kept(parts::flood(&mut bench).map(Some));
    }
    if bench.settings.wants(Part::Harvests) {
        eprintln!("harvests");
        stage.harvests = stage.kept(parts::harvests(&mut bench).await.map(Some));
    }
    let (now, peak) = process::resident(bench.server.pid())?;
    stage.resident_after_writes = [now, peak];
    Ok(bench)
}

/// Loads more logs while no server runs.
async fn load(bench: Bench, logs: Range<u64>, shared_buffers: u64) -> Result<(Bench, f64, f64), Failure> {
    let Bench { server, .. } = bench;
    drop(server);
    let start = Instant::now();
    let before = wal(&bench.pool).await?;
    let events = (logs.end - logs.start) * u64::from(timber::EVENTS);
    let (from, until) = (bench.from, bench.until);
    let leaves = !bench.settings.without_leaves;
    // Full-page writes are off during loading: the load need not survive a crash, and most of these writes
    // would be pages of the index on the chains.
    full_page_writes(&bench.pool, false).await?;
    for first in logs.clone().step_by(usize::try_from(GO / u64::from(timber::EVENTS))?) {
        let end = logs.end.min(first + GO / u64::from(timber::EVENTS));
        let load = Load { parties: &bench.parties, logs: first..end, from, until, leaves };
        let before = (first - logs.start) * u64::from(timber::EVENTS);
        load.run(&bench.pool, |loaded| {
            let (loaded, seconds) = (before + loaded, start.elapsed().as_secs_f64());
            eprint!("\rloaded {loaded} of {events} events, {:.0}/s ", loaded as f64 / seconds);
        })
        .await?;
    }
    eprintln!();
    let seconds = start.elapsed().as_secs_f64();
    let written = (wal(&bench.pool).await? - before) as f64 / events as f64;
    let server = bench::start(&bench.cluster, &bench.dir)?;
    let bench = Bench { server, logs: logs.end, ..bench };
    full_page_writes(&bench.pool, true).await?;
    // A PostgreSQL checkpoint and a restart complete the work that loading left over, so that the
    // measurements do not include it.
    sqlx::query("CHECKPOINT").execute(&bench.pool).await?;
    let (bench, _) = bench.restart(shared_buffers, false).await?;
    Ok((bench, seconds, written))
}

/// Turns PostgreSQL's full-page writes on, as in an installation, or off.
async fn full_page_writes(pool: &PgPool, on: bool) -> Result<(), Failure> {
    let set = if on { "RESET full_page_writes" } else { "SET full_page_writes = off" };
    sqlx::query(AssertSqlSafe(format!("ALTER SYSTEM {set}"))).execute(pool).await?;
    sqlx::query("SELECT pg_reload_conf()").execute(pool).await?;
    Ok(())
}

/// Measures each side right after a start, with empty caches if dropping them is permitted.
async fn cold(mut bench: Bench, read: Read, shared_buffers: u64) -> Result<(Bench, Line, bool), Failure> {
    let (name, file) = match read {
        Read::Check => ("verify", bench.scripts.check.clone()),
        Read::History => ("history", bench.scripts.chain.clone()),
        Read::BareHistory => ("history, no evidence", bench.scripts.chain.clone()),
    };
    let (mut alone, mut server) = (Side::default(), Side::default());
    let forgotten;
    (bench, _) = bench.restart(shared_buffers, true).await?;
    let variables = Bench::variables(&bench.read_logs());
    let (run, cpu) = bench.bench(&file, 8, bench.settings.seconds, &variables)?;
    alone.add_run(&run, cpu);
    (bench, forgotten) = bench.restart(shared_buffers, true).await?;
    let (traffic, cpu) = bench.read(read, 8, bench.round()).await?;
    server.add_traffic(&traffic, cpu)?;
    Ok((bench, Line::of(name, 8, &alone, &server), forgotten))
}

/// Fails if the disk has too little space for this many events.
fn enough_room(dir: &Path, events: u64, without_leaves: bool) -> Result<(), Failure> {
    let stat = rustix::fs::statvfs(dir)?;
    let each = EVENT_BYTES - if without_leaves { LEAF_BYTES } else { 0 };
    // Plus space for WAL.
    let (free, needed) = (stat.f_bavail * stat.f_frsize, events * each + (2 << 30));
    if free < needed {
        let gb = |bytes: u64| bytes as f64 / 1e9;
        return Err(format!(
            "{} events need about {:.0} GB in {}, and {:.0} GB are free",
            events,
            gb(needed),
            dir.display(),
            gb(free)
        )
        .into());
    }
    Ok(())
}
