//! Settings of a measurement.

use clap::{Parser, ValueEnum};
use std::path::PathBuf;

/// Compares the server with PostgreSQL alone, on a separate database
#[derive(Clone, Debug, Parser)]
#[expect(clippy::struct_excessive_bools, reason = "each is a flag")]
#[command(name = "speed")]
pub struct Settings {
    /// Number of events to load, rounded up to 10,000
    #[arg(long, default_value_t = 1_000_000)]
    pub events: u64,

    /// Afterwards load more, up to this number of events, and measure the reads again
    #[arg(long, value_name = "EVENTS")]
    pub grow_to: Option<u64>,

    /// Load no leaves of the register, which no read uses: an event takes a ninth less disk space. Only
    /// for reads and lists
    #[arg(long)]
    pub without_leaves: bool,

    /// Seconds per round and side
    #[arg(long, default_value_t = 4)]
    pub seconds: u64,

    /// Rounds of each side, in turns
    #[arg(long, default_value_t = 2)]
    pub rounds: usize,

    /// Few events and short rounds: shows that everything works, but measures no speed
    #[arg(long)]
    pub quick: bool,

    /// Measure only these parts
    #[arg(long, value_enum, value_delimiter = ',')]
    pub only: Vec<Part>,

    /// Folder for the database; removed afterwards [default: target/speed]
    #[arg(long)]
    pub data_dir: Option<PathBuf>,

    /// Keep the database
    #[arg(long)]
    pub keep: bool,

    /// Shared buffers of PostgreSQL in MB [default: a quarter of the machine's memory, at most 8 GB]
    #[arg(long)]
    pub shared_buffers: Option<u64>,

    /// File for the figures as JSON [default: target/speed.json]
    #[arg(long)]
    pub json: Option<PathBuf>,

    /// Compare the load generator with wrk, if wrk is installed
    #[arg(long)]
    pub wrk: bool,

    /// Passed by cargo
    #[arg(long, hide = true)]
    bench: bool,
}

/// A part of the measurements.
#[derive(Clone, Copy, Debug, PartialEq, Eq, ValueEnum)]
pub enum Part {
    /// The public check and histories at 1, 8, 32 and 128 connections
    Reads,
    /// Search over events and lists of holdings
    Lists,
    /// The cost of the register, and its lag
    Register,
    /// Custody events one by one
    Appends,
    /// Custody events while many public checks are sent
    Flood,
    /// Harvests of 5,000 logs
    Harvests,
    /// The reads with less memory for PostgreSQL than the size of the data
    Small,
    /// The reads with empty caches
    Cold,
}

impl Settings {
    /// Reads the command line.
    #[must_use]
    pub fn read() -> Self {
        let mut settings = Self::parse();
        if settings.quick {
            settings.events = settings.events.min(20_000);
            settings.seconds = 1;
            settings.rounds = 1;
            settings.shared_buffers.get_or_insert(128);
        }
        // Rounds up to 10,000 events (1,000 logs), so that every harvest and every truck is complete.
        settings.events = settings.events.div_ceil(10_000) * 10_000;
        settings
    }

    /// Checks that the chosen parts can be measured with the chosen settings.
    ///
    /// # Errors
    /// A message for the user.
    pub fn fit(&self) -> Result<(), String> {
        let writing = [Part::Register, Part::Appends, Part::Flood, Part::Harvests];
        if self.without_leaves && self.grow_to.is_none() && writing.iter().any(|part| self.wants(*part)) {
            return Err("without leaves only reads are measured: say --only reads,lists,small,cold".into());
        }
        Ok(())
    }

    /// Whether a part is to be measured.
    #[must_use]
    pub fn wants(&self, part: Part) -> bool {
        self.only.is_empty() || self.only.contains(&part)
    }

    /// Numbers of connections for the reads.
    #[must_use]
    pub fn connections(&self) -> &'static [usize] {
        if self.quick { &[1, 8] } else { &[1, 8, 32, 128] }
    }
}
