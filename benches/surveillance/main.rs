//! Processor time of surveillance for each event: `cargo bench --bench surveillance`. It folds a generated year
//! in memory, in one thread, and writes the windows of each batch as text and reads them again, as the engine does
//! with the database. The database's own time is not in the figure.

#![allow(
    clippy::cast_precision_loss,
    clippy::cast_possible_truncation,
    reason = "figures are rounded anyway"
)]
#![allow(dead_code, reason = "the labels of the world are for the test")]

#[path = "../../tests/surveillance/random.rs"]
mod random;
#[path = "../../tests/surveillance/world.rs"]
mod world;

use ormantrace::services::surveillance::engine::Engine;
use ormantrace::services::surveillance::window::Memory;
use ormantrace::timber::parameter::Parameters;
use std::sync::Arc;
use std::time::Instant;
use world::{Maker, Plan};

/// Leaves of a batch, as in the engine.
const BATCH: usize = 1_000;

fn main() {
    let world = Maker::make(Plan { seed: 4_001, enterprises: 9, logs_a_day: 60, days: 365, dishonest: true });
    let mut engine = Engine::new(Arc::new(Parameters::default()), 0);
    let (mut memory, mut found, mut bytes) = (Memory::default(), Vec::new(), 0);
    let since = Instant::now();
    for batch in world.leaves.chunks(BATCH) {
        for leaf in batch {
            engine.step(leaf, &mut memory, &mut found);
        }
        let (there, _) = memory.changed();
        let texts: Vec<_> = there
            .iter()
            .map(|(key, window)| (*key, serde_json::to_vec(window).unwrap_or_default()))
            .collect();
        for (key, text) in texts {
            bytes += text.len();
            if let Ok(window) = serde_json::from_slice(&text) {
                memory.load(key, window);
            }
        }
    }
    let micros = since.elapsed().as_secs_f64() * 1e6 / world.leaves.len() as f64;
    println!(
        "surveillance: {} events, {} changes of findings, {micros:.1} us an event, {:.0} bytes of windows an event",
        world.leaves.len(),
        found.len(),
        bytes as f64 / world.leaves.len() as f64
    );
}
