//! The parts of a measurement.

use super::bench::{Bench, Read};
use super::blocking::call;
use super::database::{Touched, touched, wal};
use super::load::{copy_into, raw_harvest};
use super::measure::{Figures, Line, Side};
use super::plans::{Appends, Checks, Holdings, Searches};
use super::scripts;
use super::timber::{FIRST_ID, FIRST_SEAL, ID_PREFIX, measures, species, volume};
use super::traffic::{self, Dice};
use super::world;
use ormantrace::base::clock::Clock;
use serde::Serialize;
use serde_json::json;
use sqlx::Connection as _;
use std::error::Error;
use std::time::{Duration, Instant};

type Failure = Box<dyn Error + Send + Sync>;

/// A list; pgbench has no counterpart.
#[derive(Clone, Debug, Serialize)]
pub struct List {
    /// The list measured.
    pub what: &'static str,
    /// Connections.
    pub connections: usize,
    /// The server's figures for a page of 50.
    pub server: Figures,
}

/// Appends with and without a flood of public checks.
#[derive(Clone, Copy, Debug, Serialize)]
pub struct Flood {
    /// Number of connections that append, one event after the other.
    pub appending: usize,
    /// Number of connections that check.
    pub flooding: usize,
    /// Appends without a flood.
    pub idle: Figures,
    /// Appends while clients without a token check; the limiter stops them.
    pub strangers: Figures,
    /// Their checks per second, nearly all answered with 429.
    pub strangers_per_second: f64,
    /// Appends while a client with a token checks as quickly as the server responds.
    pub flooded: Figures,
    /// The checks per second of that client.
    pub checks_per_second: f64,
    /// p99 under the limited flood, divided by the p99 without a flood.
    pub ratio_strangers: f64,
    /// p99 under the unlimited flood, divided by the p99 without a flood.
    pub ratio: f64,
}

/// Harvests compared with COPY.
#[derive(Clone, Debug, Serialize)]
pub struct Harvests {
    /// Logs per harvest.
    pub logs: usize,
    /// Seconds of each COPY.
    pub copy_seconds: Vec<f64>,
    /// Seconds of each harvest.
    pub server_seconds: Vec<f64>,
    /// COPY's shortest time divided by the server's shortest.
    pub ratio_best: f64,
    /// COPY's median time divided by the server's median.
    pub ratio: f64,
}

/// Pages that one read uses in the database.
#[derive(Clone, Copy, Debug, Default, Serialize)]
pub struct Buffers {
    /// A chain of ten events.
    pub chain: Touched,
    /// A public check.
    pub check: Touched,
    /// A page of the search over events, fifty of them.
    pub search: Touched,
}

/// The reads at each number of connections.
///
/// # Errors
/// A wrong response, or either side fails.
pub async fn reads(bench: &mut Bench, connections: &[usize]) -> Result<Vec<Line>, Failure> {
    let mut lines = Vec::new();
    for read in [Read::Check, Read::History, Read::BareHistory] {
        for connections in connections {
            lines.push(bench.compare(read, *connections).await?);
            if read == Read::Check && *connections == 32 {
                lines.push(bench.compare_as_sent(*connections).await?);
            }
        }
    }
    Ok(lines)
}

/// The public check at 32 connections by this program's load generator and by wrk, each in requests per
/// second: shows whether ours is as cheap. `None` without wrk.
///
/// # Errors
/// wrk fails.
pub async fn beside_wrk(bench: &mut Bench) -> Result<Option<[f64; 2]>, Failure> {
    let logs = bench.read_logs();
    let script = bench.pgbench.scratch.join("wrk.lua");
    std::fs::write(
        &script,
        format!(
            "request = function()\n  return wrk.format('GET', '/v1/verify/KZ' .. string.format('%d', math.random({}, {})))\nend\n",
            FIRST_SEAL + logs.start,
            FIRST_SEAL + logs.end - 1
        ),
    )?;
    let mut command = std::process::Command::new("wrk");
    command.args(["-t", "1", "-c", "32", "-d", &format!("{}s", bench.settings.seconds), "-s"]).arg(&script);
    command.arg("-H").arg(format!("Authorization: Bearer {}", bench.parties.inspector.token));
    command.arg(format!("http://{}", bench.server.address));
    let Ok(output) = command.output() else { return Ok(None) };
    let said = String::from_utf8_lossy(&output.stdout).into_owned();
    let rate = said.lines().find_map(|line| line.trim().strip_prefix("Requests/sec:")?.trim().parse().ok());
    let wrk = rate.filter(|_| !said.contains("Non-2xx")).ok_or_else(|| format!("wrk said: {said}"))?;
    let (traffic, _) = bench.read(Read::Check, 32, bench.round()).await?;
    Ok(Some([traffic.good as f64 / traffic.seconds, wrk]))
}

/// Search and holdings.
///
/// # Errors
/// A request is refused.
pub fn lists(bench: &mut Bench) -> Result<Vec<List>, Failure> {
    let (inspector, sawmill) =
        (bench.parties.inspector.token.clone(), bench.parties.sawmills[0].token.clone());
    let mut lists = Vec::new();
    for connections in [1, 8] {
        let mut plan = Searches::new(&inspector, bench.from, bench.until);
        let (traffic, cpu) = bench.ask(connections, bench.round(), &mut plan)?;
        let mut side = Side::default();
        side.add_traffic(&traffic, cpu)?;
        lists.push(List { what: "events found", connections, server: side.figures() });
        let mut plan = Holdings::new(&sawmill);
        let (traffic, cpu) = bench.ask(connections, bench.round(), &mut plan)?;
        let mut side = Side::default();
        side.add_traffic(&traffic, cpu)?;
        lists.push(List { what: "holdings", connections, server: side.figures() });
    }
    Ok(lists)
}

/// Pages that reads use, averaged over random logs.
///
/// # Errors
/// Those of the database.
pub async fn buffers(bench: &Bench) -> Result<Buffers, Failure> {
    let mut dice = Dice::new(42);
    let logs: Vec<u64> = (0..200).map(|_| dice.roll(bench.read_logs().end)).collect();
    let ids: Vec<String> = logs.iter().map(|log| format!("'{ID_PREFIX}{}'", FIRST_ID + log)).collect();
    let seals: Vec<String> = logs.iter().map(|log| format!("'KZ{}'", FIRST_SEAL + log)).collect();
    let span = u64::try_from((bench.until - bench.from).num_seconds())?;
    let moments: Vec<String> = (0..50)
        .map(|_| {
            let after = i64::try_from(dice.roll(span)).unwrap_or_default();
            format!("'{}'", (bench.from + chrono::TimeDelta::seconds(after)).to_rfc3339())
        })
        .collect();
    let (chain, check) = (scripts::chain("$1::uuid")?, scripts::check("$1")?);
    let search = "SELECT subject_id, seq, received_at, hash, secret, public, business FROM event
        WHERE (received_at, subject_id, seq) > ($1, '00000000-0000-0000-0000-000000000000', 0) AND subject_kind = 1
          AND region = 'KZ-10' AND type = 'stored' ORDER BY received_at, subject_id, seq LIMIT 51";
    let readers = bench.cluster.readers()?;
    let buffers = Buffers {
        chain: touched(&readers, &chain, &ids).await?,
        check: touched(&readers, &check, &seals).await?,
        search: touched(&bench.pool, search, &moments).await?,
    };
    readers.close().await;
    Ok(buffers)
}

/// Durable custody events, one by one: the server, the same statements in pgbench, and the same in one
/// statement. Also the bytes of WAL per event.
///
/// # Errors
/// Either side fails.
pub async fn appends(bench: &mut Bench) -> Result<(Vec<Line>, f64), Failure> {
    let [ours, theirs] = bench.append_logs();
    let parties = bench.parties.clone();
    let (steps, once) = (bench.scripts.append.clone(), bench.scripts.append_once.clone());
    let sawmill = &parties.sawmills[0];
    let token = ormantrace::base::token::Token::from_text(&sawmill.token).ok_or("no token")?;
    let mut variables = Bench::variables(&theirs);
    variables.push(("token_hash", hex::encode(token.hash())));
    variables.push(("organization", sawmill.id.to_string()));
    variables.push(("c", "0".to_owned()));
    let mut lines = Vec::new();
    let (mut written, mut events) = (0, 0);
    let mut base = 0_u64;
    for &connections in if bench.settings.quick { &[1, 8][..] } else { &[1, 8, 32] } {
        let (mut alone, mut single, mut server) = (Side::default(), Side::default(), Side::default());
        for _ in 0..bench.settings.rounds {
            for (script, side) in [(&steps, &mut alone), (&once, &mut single)] {
                base += 1_000_000;
                let mut variables = variables.clone();
                variables.push(("base", base.to_string()));
                let (run, cpu) = bench.bench(script, connections, bench.settings.seconds, &variables)?;
                side.add_run(&run, cpu);
                drained(bench).await?;
            }
            let before = wal(&bench.pool).await?;
            let mut plan = Appends::new(ours.clone(), &parties, Clock::system().now());
            let (traffic, cpu) = bench.ask(connections, bench.round(), &mut plan)?;
            server.add_traffic(&traffic, cpu)?;
            written += wal(&bench.pool).await? - before;
            events += traffic.good;
            drained(bench).await?;
        }
        for (what, side) in [("append", &alone), ("append, one statement", &single)] {
            let line = Line::of(what, connections, side, &server);
            eprintln!(
                "  {what:<22} {connections:>4} connections: pgbench {:>6.0}/s, server {:>6.0}/s, ratio {:.2}",
                line.alone.per_second, line.server.per_second, line.ratio
            );
            lines.push(line);
        }
    }
    Ok((lines, written as f64 / events.max(1) as f64))
}

/// Waits until the sequencer has emptied the queue, so that its work does not count in the next turn.
async fn drained(bench: &Bench) -> Result<(), Failure> {
    let since = Instant::now();
    while sqlx::query_scalar("SELECT EXISTS (SELECT FROM leaf_queue)").fetch_one(&bench.pool).await? {
        if since.elapsed() > Duration::from_mins(1) {
            return Err("the register's queue is not empty after a minute".into());
        }
        tokio::time::sleep(Duration::from_millis(20)).await;
    }
    Ok(())
}

/// Appends while the public check is flooded, by clients without a token and by one with a token.
///
/// # Errors
/// An append is refused.
pub fn flood(bench: &mut Bench) -> Result<Flood, Failure> {
    let (appending, flooding) = (4, 32);
    let [ours, _] = bench.append_logs();
    let parties = bench.parties.clone();
    let token = parties.inspector.token.clone();
    let (address, reads) = (bench.server.address, bench.read_logs());
    let mut sides = [Side::default(), Side::default(), Side::default()];
    let (mut strangers, mut checks) = (Vec::new(), Vec::new());
    let time = bench.round();
    for _ in 0..bench.settings.rounds {
        for (kind, side) in sides.iter_mut().enumerate() {
            let mut plan = Appends::new(ours.clone(), &parties, Clock::system().now());
            let ((traffic, cpu), flooded) = std::thread::scope(|scope| {
                let flood = (kind > 0).then(|| {
                    let (token, logs) = ((kind == 2).then_some(token.as_str()), reads.clone());
                    // The flood begins before the measured time and ends after it.
                    scope.spawn(move || {
                        let longer = time + Duration::from_millis(600);
                        traffic::run(address, flooding, longer, 7, &mut Checks { logs, token })
                    })
                });
                std::thread::sleep(Duration::from_millis(300));
                let measured = bench.ask(appending, time, &mut plan);
                let flooded = flood.map(|flood| flood.join().map_err(|_| "the flood died"));
                measured.map(|measured| (measured, flooded))
            })?;
            side.add_traffic(&traffic, cpu)?;
            if let Some(flooded) = flooded {
                let flooded = flooded??;
                let rate = (flooded.good + flooded.bad) as f64 / flooded.seconds;
                if kind == 1 { strangers.push(rate) } else { checks.push(rate) }
            }
        }
    }
    let mean = |rates: &[f64]| rates.iter().sum::<f64>() / rates.len().max(1) as f64;
    let [idle, by_strangers, flooded] = sides.map(|side| side.figures());
    Ok(Flood {
        appending,
        flooding,
        idle,
        strangers: by_strangers,
        strangers_per_second: mean(&strangers),
        flooded,
        checks_per_second: mean(&checks),
        ratio_strangers: by_strangers.p99_us / idle.p99_us,
        ratio: flooded.p99_us / idle.p99_us,
    })
}

/// Harvests of 5,000 logs compared with COPY of as many rows into the same tables, each in one durable
/// transaction.
///
/// # Errors
/// Either side fails.
pub async fn harvests(bench: &mut Bench) -> Result<Harvests, Failure> {
    let size: u64 = if bench.settings.quick { 500 } else { 5_000 };
    let rounds = bench.settings.rounds.max(1) as u64 + 1;
    let holder = bench.parties.harvesters[0].clone();
    let first = world::seals(bench.server.address, &holder, size * rounds)?;
    let first: u64 = first.trim_start_matches("KZ").parse()?;
    let (mut copy_seconds, mut server_seconds) = (Vec::new(), Vec::new());
    for round in 0..rounds {
        // Numbers far above those of existing logs.
        let logs = 800_000_000 + round * size..800_000_000 + (round + 1) * size;
        let tables = raw_harvest(&bench.parties, logs, Clock::system().now(), bench.queues)?;
        let mut connection = bench.pool.acquire().await?;
        let start = Instant::now();
        let mut tx = connection.begin().await?;
        for (table, rows) in tables {
            copy_into(&mut tx, table, rows).await?;
        }
        tx.commit().await?;
        copy_seconds.push(start.elapsed().as_secs_f64());
        drop(connection);

        let at = (Clock::system().now() - chrono::TimeDelta::minutes(1)).format("%Y-%m-%dT%H:%M:%SZ");
        let logs: Vec<_> = (0..size)
            .map(|log| {
                let (length, diameter) = measures(log);
                let number = |text: &str| serde_json::from_str::<serde_json::Value>(text).unwrap_or_default();
                json!({
                    "seal_number": format!("KZ{}", first + round * size + log),
                    "kind": "log", "species": species(0), "wood": "commercial", "assortment": "saw_log", "grade": 2,
                    "length_m": number(length), "top_diameter_cm": number(diameter),
                    "volume_m3": number(&volume(log).to_string()), "measurement_method": "gost_2708_75",
                    "occurred_at": at.to_string(),
                })
            })
            .collect();
        let body = serde_json::to_vec(&json!({
            "felling_ticket_id": bench.parties.tickets[0].id,
            "responsible_person": { "name": "Ерлан Жүнісов" },
            "logs": logs,
        }))?;
        let start = Instant::now();
        let (status, answer) =
            call(bench.server.address, "POST", "/v1/harvests", Some(&holder.token), Some(&body))?;
        server_seconds.push(start.elapsed().as_secs_f64());
        if status != 201 {
            return Err(format!("a harvest: {status} {}", String::from_utf8_lossy(&answer)).into());
        }
    }
    let least = |times: &[f64]| times.iter().copied().fold(f64::MAX, f64::min);
    let middle = |times: &[f64]| {
        let mut sorted = times.to_vec();
        sorted.sort_by(f64::total_cmp);
        sorted[sorted.len() / 2]
    };
    let harvests = Harvests {
        logs: usize::try_from(size)?,
        ratio_best: least(&copy_seconds) / least(&server_seconds),
        ratio: middle(&copy_seconds) / middle(&server_seconds),
        copy_seconds,
        server_seconds,
    };
    eprintln!("  harvests of {size}: {harvests:?}");
    Ok(harvests)
}
