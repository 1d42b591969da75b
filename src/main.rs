//! The program: reads settings, sets up telemetry, calls the library.

use ormantrace::cli::Cli;
use std::process::ExitCode;

#[global_allocator]
static ALLOCATOR: mimalloc::MiMalloc = mimalloc::MiMalloc;

fn main() -> ExitCode {
    keep_memory_small();
    match Cli::from_command_line().run() {
        Ok(()) => ExitCode::SUCCESS,
        Err(error) => {
            eprintln!("ormantrace: {error}");
            ExitCode::from(error.exit_code())
        }
    }
}

/// Without huge pages, which the allocator would ask for: they make two megabytes of what needs a few
/// kilobytes, and the server's memory after large postings a third larger (docs/PERFORMANCE.md).
fn keep_memory_small() {
    #[cfg(target_os = "linux")]
    // An old kernel does not know how; then they stay.
    let _ = rustix::thread::disable_transparent_huge_pages(true);
}
