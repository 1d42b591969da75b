//! Measures two sides in turns (A B A B; each turn is a round), so that other load on the machine affects
//! both sides.

use super::pgbench::Run;
use super::process::Cpu;
use super::traffic::Traffic;
use serde::Serialize;
use std::error::Error;

type Failure = Box<dyn Error + Send + Sync>;

/// The results of one side over all measuring rounds.
#[derive(Clone, Debug, Default)]
pub struct Side {
    /// Requests, or transactions.
    pub done: u64,
    /// Total seconds of all rounds.
    pub seconds: f64,
    /// Each round's rate.
    pub rates: Vec<f64>,
    /// Latencies in microseconds, of all requests or of a sample.
    pub latencies: Vec<u32>,
    /// Processor time.
    pub cpu: Cpu,
}

impl Side {
    /// Adds a round of traffic; any response except 2xx is a failure.
    ///
    /// # Errors
    /// A response that was not 2xx.
    pub fn add_traffic(&mut self, traffic: &Traffic, cpu: Cpu) -> Result<(), Failure> {
        if let Some(bad) = &traffic.first_bad {
            return Err(format!("{} responses were not 2xx, the first: {bad}", traffic.bad).into());
        }
        if traffic.good == 0 {
            return Err("no answer at all".into());
        }
        self.done += traffic.good;
        self.seconds += traffic.seconds;
        self.rates.push(traffic.good as f64 / traffic.seconds);
        self.latencies.extend(&traffic.latencies);
        self.cpu = self.cpu + cpu;
        Ok(())
    }

    /// Adds a round of pgbench.
    pub fn add_run(&mut self, run: &Run, cpu: Cpu) {
        self.done += run.done;
        self.seconds += run.done as f64 / run.rate;
        self.rates.push(run.rate);
        self.latencies.extend(&run.latencies);
        self.cpu = self.cpu + cpu;
    }

    /// Operations per second.
    #[must_use]
    pub fn rate(&self) -> f64 {
        self.done as f64 / self.seconds
    }

    /// The time within which the fraction `part` of all requests is answered, in microseconds.
    #[must_use]
    pub fn percentile(&self, part: f64) -> f64 {
        let mut sorted = self.latencies.clone();
        sorted.sort_unstable();
        // The last of `n` samples has the index `n - 1`. A fractional index is rounded down.
        let at = (sorted.len().saturating_sub(1)) as f64 * part;
        sorted.get(at as usize).copied().map_or(0.0, f64::from)
    }

    /// The side's figures.
    #[must_use]
    pub fn figures(&self) -> Figures {
        let each = |time: std::time::Duration| time.as_secs_f64() * 1e6 / self.done.max(1) as f64;
        Figures {
            per_second: self.rate(),
            p50_us: self.percentile(0.5),
            p99_us: self.percentile(0.99),
            cpu_server_us: each(self.cpu.server),
            cpu_postgres_us: each(self.cpu.postgres),
            cpu_generator_us: each(self.cpu.generator),
        }
    }
}

/// Figures of one side.
#[derive(Clone, Copy, Debug, Serialize)]
pub struct Figures {
    /// Operations per second.
    pub per_second: f64,
    /// Median, microseconds.
    pub p50_us: f64,
    /// 99th percentile, microseconds.
    pub p99_us: f64,
    /// Processor time of the server per request, microseconds.
    pub cpu_server_us: f64,
    /// Processor time of PostgreSQL per request, microseconds.
    pub cpu_postgres_us: f64,
    /// Processor time of the load generator (this program, or pgbench) per request, microseconds.
    pub cpu_generator_us: f64,
}

/// A comparison of the server with the database alone.
#[derive(Clone, Debug, Serialize)]
pub struct Line {
    /// The operation measured.
    pub what: String,
    /// Connections.
    pub connections: usize,
    /// Figures of the database alone.
    pub alone: Figures,
    /// Figures of the server.
    pub server: Figures,
    /// The server's rate divided by the database's.
    pub ratio: f64,
    /// The lowest and the highest ratio within one measuring round.
    pub spread: [f64; 2],
}

impl Line {
    /// Builds the comparison of two sides.
    #[must_use]
    pub fn of(what: impl Into<String>, connections: usize, alone: &Side, server: &Side) -> Self {
        let pairs = alone.rates.iter().zip(&server.rates).map(|(a, b)| b / a);
        let spread = pairs.fold([f64::MAX, f64::MIN], |[least, most], x| [least.min(x), most.max(x)]);
        Self {
            what: what.into(),
            connections,
            alone: alone.figures(),
            server: server.figures(),
            ratio: server.rate() / alone.rate(),
            spread,
        }
    }
}
