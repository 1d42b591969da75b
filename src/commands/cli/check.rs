//! `ormantrace fsck`.

use super::Failure;
use crate::base::config::DatabaseSettings;
use crate::commands::fsck::{self, Published, Scope, console::Console};
use crate::db;
use crate::evidence::tlog::{Folder, VerifierKey};
use crate::services::verifier::command::any_key;
use clap::Args;
use std::io::Write;
use std::path::PathBuf;

/// Settings of `fsck`.
#[derive(Args, Clone, Debug)]
pub struct FsckArgs {
    #[command(flatten)]
    database: DatabaseSettings,

    /// Folder of the published register to compare with; it must have a checkpoint [default: register in the
    /// data directory, if it exists]
    #[arg(long, env = "ORMANTRACE_REGISTER_DIR", value_name = "FOLDER")]
    register_dir: Option<PathBuf>,

    /// Public key that the published register must be signed with, as NAME+ID+BASE64; separate several with
    /// commas, any one of them suffices. Without one, the keys listed in the register's folder are trusted
    #[arg(long, env = "ORMANTRACE_TRUST", value_name = "VKEY", value_delimiter = ',', value_parser = any_key)]
    trust: Vec<VerifierKey>,
}

impl FsckArgs {
    /// # Errors
    /// If the folder that was named does not exist or has no checkpoint: the check would then have nothing to
    /// compare with.
    fn scope(&self) -> Result<Scope, Failure> {
        if let Some(folder) = &self.register_dir {
            let shown = folder.display();
            let unchecked = |what: String| Err(Failure::Unchecked(what));
            if !folder.is_dir() {
                return unchecked(format!("{shown} is no folder of a register: check --register-dir."));
            }
            let register = Folder::new(folder);
            // A file that cannot be read is reported by the check itself.
            if matches!((register.published(), register.signed()), (Ok(None), Ok(None))) {
                return unchecked(format!(
                    "{shown} has no checkpoint, so it holds no published register to compare with: check \
                     --register-dir."
                ));
            }
        }
        let in_data = || self.database.data_dir().ok().map(|dir| dir.join("register"));
        let folder = self.register_dir.clone().or_else(|| in_data().filter(|dir| dir.is_dir()));
        let published = folder.map(|folder| Published { folder, keys: self.trust.clone() });
        Ok(Scope { published, ..Scope::default() })
    }

    /// Runs the check and prints its result.
    pub(super) async fn run(&self) -> Result<(), Failure> {
        match self.is_clean().await {
            Ok(true) => Ok(()),
            Ok(false) => Err(Failure::FsckErrors),
            Err(other) => Err(Failure::Unchecked(other.to_string())),
        }
    }

    async fn is_clean(&self) -> Result<bool, Failure> {
        let scope = self.scope()?;
        let database = db::open_existing(&self.database).await?;
        let mut console = Console::default();
        let checked = async {
            let mut connection = database.owner().await.map_err(fsck::Failure::Database)?;
            fsck::check(&mut connection, &scope, &mut console).await
        };
        let checked = checked.await;
        console.finish();
        database.close().await;
        let summary = checked.map_err(|failure| Failure::Unchecked(failure.to_string()))?;
        writeln!(std::io::stdout(), "{summary}")?;
        Ok(summary.is_clean())
    }
}
