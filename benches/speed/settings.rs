//! What a measurement can be told.

use clap::{Parser, ValueEnum};
use std::path::PathBuf;

/// Measures the server beside PostgreSQL itself, on a database of its own.
#[derive(Clone, Debug, Parser)]
#[expect(clippy::struct_excessive_bools, reason = "each is a flag")]
#[command(name = "speed")]
pub struct Settings {
    /// Events to load, in whole tens of thousands
    #[arg(long, default_value_t = 1_000_000)]
    pub events: u64,

    /// Load more up to so many events afterwards, and measure the reads again
    #[arg(long, value_name = "EVENTS")]
    pub grow_to: Option<u64>,

    /// Load no leaves of the register, which no read touches: an event takes a ninth less disk. Only for
    /// reads and lists
    #[arg(long)]
    pub without_leaves: bool,

    /// Seconds of one round of one side
    #[arg(long, default_value_t = 4)]
    pub seconds: u64,

    /// Rounds of each side, in turn
    #[arg(long, default_value_t = 2)]
    pub rounds: usize,

    /// Few events and short rounds: shows that everything works, and says nothing of speed
    #[arg(long)]
    pub quick: bool,

    /// Only these parts
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

    /// Where the figures go as JSON [default: target/speed.json]
    #[arg(long)]
    pub json: Option<PathBuf>,

    /// Compare the load generator with wrk, where that is installed
    #[arg(long)]
    pub wrk: bool,

    /// Given by cargo
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
    /// What the register costs, and how far it is behind
    Register,
    /// Custody events one by one
    Appends,
    /// Custody events while the public check is flooded
    Flood,
    /// Harvests of 5,000 logs
    Harvests,
    /// The reads with less memory for PostgreSQL than there are data
    Small,
    /// The reads after everything was forgotten
    Cold,
}

impl Settings {
    /// As on the command line.
    #[must_use]
    pub fn read() -> Self {
        let mut settings = Self::parse();
        if settings.quick {
            settings.events = settings.events.min(20_000);
            settings.seconds = 1;
            settings.rounds = 1;
            settings.shared_buffers.get_or_insert(128);
        }
        // Whole tickets' worth of trucks and harvests.
        settings.events = settings.events.div_ceil(10_000) * 10_000;
        settings
    }

    /// Whether the parts that are wanted can be measured in a database as it is wanted.
    ///
    /// # Errors
    /// In words.
    pub fn fit(&self) -> Result<(), String> {
        let writing = [Part::Register, Part::Appends, Part::Flood, Part::Harvests];
        if self.without_leaves && self.grow_to.is_none() && writing.iter().any(|part| self.wants(*part)) {
            return Err("without leaves only reads are measured: say --only reads,lists,small,cold".into());
        }
        Ok(())
    }

    /// Whether a part is wanted.
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
