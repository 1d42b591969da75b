//! An outsider who looks at the published checkpoint all the time.

use ormantrace::evidence::tlog::Folder;
use std::sync::Arc;
use std::sync::atomic::{AtomicBool, Ordering};
use std::thread::JoinHandle;
use std::time::Duration;

/// Keeps every checkpoint it sees, until asked for them.
pub struct Watcher {
    stop: Arc<AtomicBool>,
    looking: JoinHandle<Vec<Vec<u8>>>,
}

impl Watcher {
    /// Looks far more often than anything is published.
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

    /// What was seen, in order, each once unless another came between.
    pub fn end(self) -> Vec<Vec<u8>> {
        self.stop.store(true, Ordering::SeqCst);
        self.looking.join().expect("no panic")
    }
}
