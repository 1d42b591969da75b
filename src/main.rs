//! The program: parses the command line and calls the library.

use ormantrace::commands::cli::Cli;
use std::process::ExitCode;

#[global_allocator]
static ALLOCATOR: mimalloc::MiMalloc = mimalloc::MiMalloc;

fn main() -> ExitCode {
    match Cli::from_command_line().run() {
        Ok(()) => ExitCode::SUCCESS,
        Err(error) => {
            eprintln!("ormantrace: {error}");
            ExitCode::from(error.exit_code())
        }
    }
}
