//! `ormantrace backup` and `ormantrace restore`.

use super::Failure;
use crate::base::clock::Clock;
use crate::base::config::{DatabaseSettings, shown};
use crate::commands::backup::{self, BackupOptions, Manifest, RestoreOptions};
use crate::commands::serve::shutdown_signal;
use crate::evidence::register::backfill::on_migration;
use clap::Args;
use std::io::Write;
use std::path::{Path, PathBuf};

/// Settings of `backup`.
#[derive(Args, Clone, Debug)]
pub struct BackupArgs {
    /// Folder for the backup: new, or empty
    #[arg(value_name = "DIR")]
    dir: PathBuf,

    #[command(flatten)]
    database: DatabaseSettings,

    /// Folder of the register [default: register in the data directory, if it exists]
    #[arg(long, env = "ORMANTRACE_REGISTER_DIR", value_name = "FOLDER")]
    register_dir: Option<PathBuf>,

    /// File of the key that signs marking codes [default: keys/marking.key in the data directory]
    #[arg(long, env = "ORMANTRACE_MARKING_KEY", value_name = "FILE")]
    marking_key: Option<PathBuf>,

    /// File of the key that signs receipts [default: keys/receipt.key in the data directory]
    #[arg(long, env = "ORMANTRACE_RECEIPT_KEY", value_name = "FILE")]
    receipt_key: Option<PathBuf>,

    /// File of the key that signs the register; separate several with commas
    /// [default: the register's keys in the data directory]
    #[arg(long, env = "ORMANTRACE_REGISTER_KEY", value_name = "FILE", value_delimiter = ',')]
    register_key: Vec<PathBuf>,

    /// Leave the keys out, so that they can be stored separately; a restore needs them
    #[arg(long)]
    without_keys: bool,
}

/// Settings of `restore`.
#[derive(Args, Clone, Debug)]
pub struct RestoreArgs {
    /// Folder of the backup
    #[arg(value_name = "DIR")]
    dir: PathBuf,

    #[command(flatten)]
    database: DatabaseSettings,

    /// Folder for the register [default: register in the data directory]
    #[arg(long, env = "ORMANTRACE_REGISTER_DIR", value_name = "FOLDER")]
    register_dir: Option<PathBuf>,

    /// The register as it was published last: the publisher's folder or a copy of it. The restore is refused if
    /// the register has more records than the backup
    #[arg(long, value_name = "FOLDER")]
    register: Option<PathBuf>,

    /// Restore although the register has more records: keep the old register readable, begin a new one, and
    /// print the lost records
    #[arg(long, requires = "register")]
    accept_loss: bool,

    /// Name of the new register [default: the old name, a slash and the date]
    #[arg(long, value_name = "NAME", requires = "accept_loss", value_parser = super::origin)]
    new_origin: Option<String>,
}

impl BackupArgs {
    pub(super) async fn run(self) -> Result<(), Failure> {
        let stop = shutdown_signal()?;
        let options = BackupOptions {
            dir: self.dir,
            database: self.database,
            register_dir: self.register_dir,
            marking_key: self.marking_key,
            receipt_key: self.receipt_key,
            register_keys: self.register_key,
            without_keys: self.without_keys,
        };
        let clock = Clock::system();
        let manifest = tokio::select! {
            made = backup::backup(&options, &clock) => made?,
            () = stop => return Err(backup::Failure::Interrupted.into()),
        };
        Ok(writeln!(std::io::stdout(), "{}", report(&manifest, &options.dir))?)
    }
}

fn report(manifest: &Manifest, dir: &Path) -> String {
    let Manifest { events, leaves, files, bytes, register, keys, .. } = manifest;
    let register = match register {
        Some(register) => format!("the register {} of size {}", register.origin, register.size),
        None => "no register".to_owned(),
    };
    let keys = if keys.is_empty() { "no keys".to_owned() } else { format!("the keys {}", keys.join(", ")) };
    format!(
        "Backed up {events} events with {leaves} leaves, {register} and {keys} in {}: {files} files, {bytes} bytes.",
        shown(dir)
    )
}

impl RestoreArgs {
    pub(super) async fn run(self) -> Result<(), Failure> {
        let stop = shutdown_signal()?;
        let options = RestoreOptions {
            dir: self.dir,
            database: self.database,
            register_dir: self.register_dir,
            register: self.register,
            accept_loss: self.accept_loss,
            new_origin: self.new_origin,
        };
        let clock = Clock::system();
        let restored = tokio::select! {
            done = backup::restore(&options, on_migration, &clock) => done?,
            () = stop => return Err(backup::Failure::Interrupted.into()),
        };
        writeln!(std::io::stdout(), "{restored}")?;
        if restored.is_clean() { Ok(()) } else { Err(backup::Failure::FsckErrors.into()) }
    }
}
