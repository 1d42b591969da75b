//! An outside observer that polls the published checkpoint.

use ormantrace::evidence::tlog::Folder;
use std::sync::Arc;
use std::sync::atomic::{AtomicBool, Ordering};
use std::thread::JoinHandle;
use std::time::Duration;

/// Collects every checkpoint it sees.
pub struct Watcher {
    stop: Arc<AtomicBool>,
    looking: JoinHandle<Vec<Vec<u8>>>,
}

impl Watcher {
    /// Starts to poll the published checkpoint, far more often than checkpoints are published.
    pub fn start(folder: Folder) -> Self {
        let stop = Arc::new(AtomicBool::new(false));
        let told = Arc::clone(&stop);
        let looking = std::thread::spawn(move || {
            let mut seen: Vec<Vec<u8>> = Vec::new();
            while !told.load(Ordering::SeqCst) {
                let bytes = folder.published().expect("the folder can be read");
                if let Some(bytes) = bytes.filter(|bytes| seen.last() != Some(bytes)) {
                    seen.push(bytes);
                }
                std::thread::sleep(Duration::from_millis(5));
            }
            seen
        });
        Self { stop, looking }
    }

    /// The checkpoints in order, without consecutive repeats.
    pub fn end(self) -> Vec<Vec<u8>> {
        self.stop.store(true, Ordering::SeqCst);
        self.looking.join().expect("no panic")
    }
}
