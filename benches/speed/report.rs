//! The results, as a table to read and as JSON to store.

use super::database::Sizes;
use super::measure::Line;
use super::parts::{Buffers, Flood, Harvests, List};
use super::register::Register;
use serde::Serialize;
use std::fmt::Write as _;

/// Everything that was measured.
#[derive(Clone, Debug, Serialize)]
pub struct Report {
    /// Version of the program.
    pub version: &'static str,
    /// Version of PostgreSQL.
    pub postgresql: String,
    /// Processors that this program may use.
    pub cores: usize,
    /// Memory of the machine, bytes.
    pub memory: u64,
    /// Load average of the minute before the first measurement: above 0.5, other programs were running.
    pub load_average: f64,
    /// Shared buffers, MB.
    pub shared_buffers_mb: u64,
    /// Seconds of a round.
    pub round_seconds: u64,
    /// Rounds of each side.
    pub rounds: usize,
    /// Whether the run was a quick one, with meaningless figures.
    pub quick: bool,
    /// One stage for each number of events.
    pub stages: Vec<Stage>,
}

/// The measurements at one number of events.
#[derive(Clone, Debug, Default, Serialize)]
pub struct Stage {
    /// Events loaded.
    pub events: u64,
    /// Seconds that loading took.
    pub load_seconds: f64,
    /// WAL bytes per loaded event, including the event's share of the WAL for the log's row and other tables.
    pub load_wal_per_event: f64,
    /// Disk use of the tables after loading.
    pub sizes: Option<Sizes>,
    /// Pages that a read uses after loading.
    pub buffers: Buffers,
    /// Pages that a read uses after the appends, before the next vacuum of the tables.
    pub buffers_after_appends: Option<Buffers>,
    /// Reads with everything in shared buffers.
    pub warm: Vec<Line>,
    /// Public checks per second at 32 connections, by this program's load generator and by wrk.
    pub generators: Option<[f64; 2]>,
    /// Lists.
    pub lists: Vec<List>,
    /// The cost of the register.
    pub register: Option<Register>,
    /// Custody events.
    pub appends: Vec<Line>,
    /// WAL bytes per event recorded by the server.
    pub append_wal_per_event: f64,
    /// Custody events recorded while many public checks are sent.
    pub flood: Option<Flood>,
    /// Harvests.
    pub harvests: Option<Harvests>,
    /// Reads with the shared buffers of an installation (192 MB). Pages that do not fit into them come from
    /// the kernel's cache.
    pub small: Vec<Line>,
    /// Reads right after a start, with the kernel's cache dropped if permitted.
    pub cold: Vec<Line>,
    /// Whether the kernel's cache was dropped.
    pub caches_dropped: bool,
    /// Resident memory of the server after the reads at 128 connections, and its peak; bytes.
    pub resident: [u64; 2],
    /// Resident memory of the server after harvests and appends, and its peak; bytes.
    pub resident_after_writes: [u64; 2],
    /// Number of responses compared with SQL, all of them correct.
    pub checked: usize,
    /// Parts that failed, and why: their figures are missing.
    pub failed: Vec<String>,
}

impl Report {
    /// Whether no part failed.
    #[must_use]
    pub fn is_whole(&self) -> bool {
        self.stages.iter().all(|stage| stage.failed.is_empty())
    }

    /// The table.
    #[must_use]
    pub fn table(&self) -> String {
        let mut out = String::new();
        // Writing to a string does not fail.
        let _ = writeln!(
            out,
            "ormantrace {}, PostgreSQL {}, {} processors, {:.0} GB memory, shared buffers {} MB, {} rounds of {} s",
            self.version,
            self.postgresql,
            self.cores,
            self.memory as f64 / 1e9,
            self.shared_buffers_mb,
            self.rounds,
            self.round_seconds
        );
        let _ = writeln!(
            out,
            "load average at the start: {:.2} (above 0.5: other programs were running)",
            self.load_average
        );
        for stage in &self.stages {
            stage.write(&mut out);
        }
        if let [first, .., last] = &self.stages[..] {
            let _ =
                writeln!(out, "\nGrowth from {} to {} events, at 32 connections", first.events, last.events);
            for what in ["verify", "history"] {
                if let (Some(a), Some(b)) = (find(&first.warm, what, 32), find(&last.warm, what, 32)) {
                    let _ = writeln!(
                        out,
                        "  {what:<8} server {:.2}, pgbench {:.2}",
                        b.server.per_second / a.server.per_second,
                        b.alone.per_second / a.alone.per_second
                    );
                }
            }
        }
        if self.quick {
            let _ =
                writeln!(out, "\nA quick run: it shows that everything works, but does not measure speed.");
        }
        out
    }
}

fn find<'l>(lines: &'l [Line], what: &str, connections: usize) -> Option<&'l Line> {
    lines.iter().find(|line| line.what == what && line.connections == connections)
}

impl Stage {
    /// Returns the result of a part. If it failed, the error is recorded and the other parts keep their
    /// figures.
    pub fn kept<T: Default>(&mut self, part: Result<T, Box<dyn std::error::Error + Send + Sync>>) -> T {
        part.unwrap_or_else(|error| {
            eprintln!("  failed: {error}");
            self.failed.push(error.to_string());
            T::default()
        })
    }

    fn write(&self, out: &mut String) {
        let _ = writeln!(out, "\n== {} events, {} logs of 10 ==", self.events, self.events / 10);
        let each = |bytes: i64| bytes as f64 / self.events.max(1) as f64;
        if let Some(sizes) = &self.sizes {
            let _ = writeln!(
                out,
                "loaded in {:.0} s; bytes per event: heap {:.0}, chain index {:.0}, other indexes {:.0}, register {:.0}, all else {:.0}; \
                 WAL {:.0} loaded, {:.0} appended; heap {:.0} % all-visible",
                self.load_seconds,
                each(sizes.event_heap),
                each(sizes.event_chain_index),
                each(sizes.event_other_indexes),
                each(sizes.leaf),
                each(sizes.rest),
                self.load_wal_per_event,
                self.append_wal_per_event,
                sizes.all_visible * 100.0
            );
        }
        let buffers = |out: &mut String, when: &str, b: &Buffers| {
            let _ = writeln!(
                out,
                "buffers {when}: chain {:.1} ({:.2} heap fetches), check {:.1}, page of 50 found events {:.1}",
                b.chain.buffers, b.chain.heap_fetches, b.check.buffers, b.search.buffers
            );
        };
        buffers(out, "after loading", &self.buffers);
        if let Some(after) = &self.buffers_after_appends {
            buffers(out, "after appends", after);
        }
        let mb = |bytes: u64| bytes as f64 / 1_048_576.0;
        let _ = writeln!(
            out,
            "server's memory: {:.0} MiB after the reads (peak {:.0}), {:.0} MiB after the writes (peak {:.0})",
            mb(self.resident[0]),
            mb(self.resident[1]),
            mb(self.resident_after_writes[0]),
            mb(self.resident_after_writes[1])
        );
        let _ = writeln!(out, "responses compared with SQL: {}, all correct", self.checked);
        for failed in &self.failed {
            let _ = writeln!(out, "FAILED: {failed}");
        }
        lines(out, "warm", &self.warm);
        lines(out, "durable appends", &self.appends);
        lines(out, "data larger than shared buffers (192 MB)", &self.small);
        let cold = if self.caches_dropped {
            "cold: restarted, caches dropped"
        } else {
            "cold: restarted, caches not dropped"
        };
        lines(out, cold, &self.cold);
        self.write_rest(out);
        self.write_goals(out);
    }

    fn write_rest(&self, out: &mut String) {
        if let Some([ours, wrk]) = self.generators {
            let _ = writeln!(
                out,
                "\nchecks at 32 connections, by load generator: ours {ours:.0}/s, wrk {wrk:.0}/s"
            );
        }
        if !self.lists.is_empty() {
            let _ = writeln!(
                out,
                "\nlists, pages of 50{:>19}{:>10}{:>9}{:>9}{:>9}{:>9}",
                "", "server/s", "p50 µs", "p99 µs", "CPU srv", "CPU pg"
            );
            for List { what, connections, server } in &self.lists {
                let _ = writeln!(
                    out,
                    "{what:<22}{connections:>5} conn.{:>17.0}{:>9.0}{:>9.0}{:>9.0}{:>9.0}",
                    server.per_second,
                    server.p50_us,
                    server.p99_us,
                    server.cpu_server_us,
                    server.cpu_postgres_us
                );
            }
        }
        if let Some(flood) = &self.flood {
            let _ = writeln!(
                out,
                "\nappends at {} connections: idle {:.0}/s p99 {:.0} µs; flooded without a token ({:.0} checks/s, stopped by the limiter) {:.0}/s p99 {:.0} µs = {:.2}; \
                 flooded with a token ({:.0} checks/s) {:.0}/s p99 {:.0} µs = {:.2}",
                flood.appending,
                flood.idle.per_second,
                flood.idle.p99_us,
                flood.strangers_per_second,
                flood.strangers.per_second,
                flood.strangers.p99_us,
                flood.ratio_strangers,
                flood.checks_per_second,
                flood.flooded.per_second,
                flood.flooded.p99_us,
                flood.ratio
            );
        }
        if let Some(register) = &self.register {
            let _ = writeln!(
                out,
                "\nregister at {:.0} of {:.0} events/s: lag p50 {:.0}, p99 {:.0}, longest {:.0} ms; CPU per event without {:.0}, with {:.0} µs = {:.2}; \
                 at full speed with 32 connections without {:.0}/s, with {:.0}/s = {:.2}; a round {:.1} ms, while fsck runs {:.1} ms = {:.2}; \
                 fsck's memory {:.0} MiB; verify of 12 events p50 {:.1}, longest {:.1} ms",
                register.rate[1],
                register.rate[0],
                register.lag_ms[0],
                register.lag_ms[1],
                register.lag_ms[2],
                register.cpu_us[0],
                register.cpu_us[1],
                register.cpu_ratio,
                register.saturated[0],
                register.saturated[1],
                register.saturated_ratio,
                register.round_ms[0],
                register.round_ms[1],
                register.round_ratio,
                register.fsck_peak as f64 / 1_048_576.0,
                register.verify_ms[0],
                register.verify_ms[1]
            );
        }
        if let Some(harvests) = &self.harvests {
            let list = |times: &[f64]| times.iter().map(|t| format!("{t:.2}")).collect::<Vec<_>>().join(" ");
            let _ = writeln!(
                out,
                "\nharvest of {} logs: COPY {} s, server {} s: median {:.2}, best {:.2}",
                harvests.logs,
                list(&harvests.copy_seconds),
                list(&harvests.server_seconds),
                harvests.ratio,
                harvests.ratio_best
            );
        }
    }

    fn write_goals(&self, out: &mut String) {
        let mut goals: Vec<(String, bool)> = Vec::new();
        let mut goal = |what: String, met: bool| goals.push((what, met));
        for what in ["verify", "history"] {
            if let Some(line) = find(&self.warm, what, 32) {
                goal(
                    format!("{what} ≥ 1.0 of pgbench at 32 connections: {:.2}", line.ratio),
                    line.ratio >= 1.0,
                );
                let p99 = line.server.p99_us / line.alone.p99_us;
                goal(format!("{what}: p99 ≤ pgbench's: {p99:.2} of it"), p99 <= 1.0);
            }
        }
        for line in self.appends.iter().filter(|line| line.what == "append") {
            let what = format!("append ≥ 0.9 of pgbench at {}: {:.2}", line.connections, line.ratio);
            goal(what, line.ratio >= 0.9);
        }
        if let Some(harvests) = &self.harvests {
            goal(format!("harvest ≥ 0.5 of COPY: {:.2}", harvests.ratio), harvests.ratio >= 0.5);
        }
        if let Some(register) = &self.register {
            let kept = register.rate[1] >= register.rate[0] * 0.95;
            let lag = register.lag_ms[2];
            goal(format!("register's lag ≤ 1 s at 2,000 events/s: {lag:.0} ms"), kept && lag <= 1_000.0);
            let cpu = register.cpu_ratio;
            goal(
                format!("CPU per event with the register ≤ 1.3 of that without: {cpu:.2}"),
                kept && cpu <= 1.3,
            );
            let flat = register.saturated_ratio;
            goal(format!("appends at full speed ≥ 0.75 of those without it: {flat:.2}"), flat >= 0.75);
            let round = register.round_ratio;
            goal(format!("a sequencer round while fsck runs < 2 × its usual time: {round:.2}"), round < 2.0);
            let [_, longest] = register.verify_ms;
            goal(format!("a check of 12 events ≤ 20 ms: {longest:.1}"), longest <= 20.0);
        }
        if let Some(flood) = &self.flood {
            goal(
                format!("append p99 under a flood without a token < 2 × idle: {:.2}", flood.ratio_strangers),
                flood.ratio_strangers < 2.0,
            );
            goal(
                format!("append p99 under a flood with a token < 2 × idle: {:.2}", flood.ratio),
                flood.ratio < 2.0,
            );
        }
        for (load, [_, peak]) in
            [("reads", self.resident), ("harvests and appends", self.resident_after_writes)]
        {
            // Decimal megabytes, because the goal of 64 MB is stated in them. The peak is zero if the part
            // was not run.
            let peak = peak as f64 / 1e6;
            if peak == 0.0 {
                continue;
            }
            goal(format!("server's memory under {load} ≤ 64 MB: peak {peak:.0} MB"), peak <= 64.0);
        }
        let _ = writeln!(out, "\ngoals");
        for (what, met) in goals {
            let _ = writeln!(out, "  {} {what}", if met { "met    " } else { "NOT MET" });
        }
    }
}

fn lines(out: &mut String, title: &str, lines: &[Line]) {
    if lines.is_empty() {
        return;
    }
    let _ = writeln!(
        out,
        "\n{title}\n{:<22}{:>5}{:>10}{:>10}{:>7}{:>13}{:>16}{:>16}{:>18}{:>22}",
        "",
        "conn.",
        "pgbench/s",
        "server/s",
        "ratio",
        "(rounds)",
        "pgbench p50/p99",
        "server p50/p99",
        "CPU pgb: gen/pg",
        "CPU srv: gen/srv/pg"
    );
    for line in lines {
        let (a, s) = (&line.alone, &line.server);
        let _ = writeln!(
            out,
            "{:<22}{:>5}{:>10.0}{:>10.0}{:>7.2}{:>13}{:>16}{:>16}{:>18}{:>22}",
            line.what,
            line.connections,
            a.per_second,
            s.per_second,
            line.ratio,
            format!("{:.2}–{:.2}", line.spread[0], line.spread[1]),
            format!("{:.0}/{:.0}", a.p50_us, a.p99_us),
            format!("{:.0}/{:.0}", s.p50_us, s.p99_us),
            format!("{:.1}/{:.1}", a.cpu_generator_us, a.cpu_postgres_us),
            format!("{:.1}/{:.1}/{:.1}", s.cpu_generator_us, s.cpu_server_us, s.cpu_postgres_us),
        );
    }
}
